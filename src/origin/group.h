/* Choice and health of origins; for origin/ only. */
#ifndef WARP_ORIGIN_GROUP_H
#define WARP_ORIGIN_GROUP_H

#include "origin/origin.h"

/* NULL: all were tried (tried: a bit per origin). */
struct origin *origin_pick(struct origin_group *group, uint64_t tried, uint64_t now_ns);
void origin_connected(struct origin *origin);
void origin_connect_failed(struct origin *origin, uint64_t now_ns, const char *why);

#endif
