/* node_owner: a change of a tenant that its owner asks for, before it is put together with the rest: what is wrong with its text
 * alone, and what of it is the operator's. What comes behind may be about other tenants, and is not the owner's to read. */
#ifndef WARP_MAIN_NODE_OWNER_H
#define WARP_MAIN_NODE_OWNER_H

#include "admin/control.h"
#include "conf/settings.h"

/* text: the value of tenants.NAME. *ret_report: malloc's; NULL where there is nothing to say. */
enum control_result node_owner_check(const struct settings *in_force, slice name, slice text, char **ret_report);
/* What an owner reads in place of a report on the whole. */
#define NODE_OWNER_HUSHED "the change does not fit the rest of the configuration; the server's log tells the operator why"
#define NODE_OWNER_UNKEPT "the server cannot write it down now; its log tells the operator why"

#endif
