/* pattern: what a rule's texts match. */
#ifndef WARP_TENANT_PATTERN_H
#define WARP_TENANT_PATTERN_H

#include "base/arena.h"
#include "base/slice.h"
#include "conf/settings.h"

/* What one request may cost, all patterns together: neither many patterns nor a long path hold a thread. A step is a place in a
 * pattern that is held against a byte, or something else of a few nanoseconds. */
struct pattern_steps {
    uint32_t left;
    bool are_over; /* more were wanted: whatever was answered since is not known */
};
/* False: they are over. */
bool pattern_step(struct pattern_steps *steps, size_t count);
bool pattern_step_bytes(struct pattern_steps *steps, size_t bytes); /* compared, or searched: two steps and one for each 64 */

/* "*": any run of bytes, also none. False as well when the steps are over: ask are_over. */
bool pattern_matches(slice pattern, slice text, struct pattern_steps *steps);
/* The same for a path: "*" is any run without "/", "**" any run. */
bool path_matches(slice pattern, slice path, struct pattern_steps *steps);
/* The path of a target as rules see it, so that no spelling of a path slips past a rule: without the query, %XX of visible
 * characters resolved, slashes too, and other %xx in upper case, slashes that follow each other joined, dot segments
 * removed (5.2.4). In target where nothing of that is there, else in the arena; data NULL: no memory. */
slice path_of_target(struct arena *arena, slice target);

/* IPv4 as mapped IPv6. */
bool range_holds(const struct conf_range *range, const uint8_t address[16]);

#endif
