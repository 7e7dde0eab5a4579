/* pattern: what a rule's texts match. */
#ifndef WARP_TENANT_PATTERN_H
#define WARP_TENANT_PATTERN_H

#include "base/arena.h"
#include "base/slice.h"
#include "conf/settings.h"

/* "*": any run of bytes, also none. */
bool pattern_matches(slice pattern, slice text);
/* The same for a path: "*" is any run without "/", "**" any run. */
bool path_matches(slice pattern, slice path);
/* The path of a target as rules see it, so that no spelling of a path slips past a rule: without the query, %XX of visible
 * characters resolved, slashes too, and other %xx in upper case, slashes that follow each other joined, dot segments
 * removed (5.2.4). In target where nothing of that is there, else in the arena; data NULL: no memory. */
slice path_of_target(struct arena *arena, slice target);

/* IPv4 as mapped IPv6. */
bool range_holds(const struct conf_range *range, const uint8_t address[16]);

#endif
