/* query: parameters of a target: found, and kept, dropped or sorted for the key and for the origin. Names are compared as
 * they are written: one that is spelled otherwise is another parameter, and stays. */
#ifndef WARP_TENANT_QUERY_H
#define WARP_TENANT_QUERY_H

#include "base/arena.h"
#include "base/slice.h"
#include "conf/settings.h"

/* The next "name=value" of a list that `separator` divides, without surrounding white space; *list goes on behind it. False:
 * no more. */
bool pair_next(slice *list, char separator, slice *ret_name, slice *ret_value);
/* The query of a target, without "?"; empty without one. */
slice query_of_target(slice target);
/* A name as the settings have it: "id", or "utm_*". */
bool token_matches(slice token, slice name);

/* The target with the key rule's parameters alone: target itself where nothing changes, else in the arena. data NULL: no
 * memory. More than QUERY_SORT_MAX parameters are not sorted. */
#define QUERY_SORT_MAX 256u
slice query_rewrite(struct arena *arena, slice target, const struct conf_key *key);

#endif
