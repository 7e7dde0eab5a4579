/* plan: what a process is to be (struct node_plan), from flags, environment, files and the state directory. Each problem is
 * said on standard error; what is returned is an exit code. */
#ifndef WARP_MAIN_PLAN_H
#define WARP_MAIN_PLAN_H

#include "main/node.h"

/* ret_demo: the demo origin's listener, where plan->has_demo. */
int plan_make(struct node_plan *plan, int argc, char **argv, struct os_listener *ret_demo);
/* In a worker process that is started after another one: with the configuration that was in force. */
void plan_restore(struct node_plan *plan);
/* One more; NULL: no memory. Its shards are not open yet, and it does not count yet (listener_count). */
struct node_listener *plan_listener_add(struct node_plan *plan, const char *text, bool is_tls);
void plan_listener_done(struct node_listener *listener); /* its shards are closed */

/* What is wrong with settings on this machine, each at its place: ERR_INVALID. Files are opened, addresses are not. */
enum plan_check { PLAN_CHECK_REST = 1, PLAN_CHECK_TENANTS = 2, PLAN_CHECK_CERTIFICATES = 4, PLAN_CHECK_ALL = 7 };
MUST_USE err plan_check(const struct settings *settings, unsigned what, struct conf_report *report);

/* What the options are on this machine. */
unsigned plan_workers(const struct config *config);
uint64_t plan_memory_bytes(const struct config *config);

#endif
