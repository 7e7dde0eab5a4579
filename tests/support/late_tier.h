/* late_tier: a tier over another one that completes its calls late, out of order, or never, as the test says.
 *
 * Every call is STORE_PENDING. late_tier_release runs the next n of them (in order, or shuffled) and
 * completes them: on the thread of their loop. With early, the call takes effect when it is submitted and
 * only its completion is late, so that a cancelled call has results to let go of. */
#ifndef WARP_TESTS_LATE_TIER_H
#define WARP_TESTS_LATE_TIER_H

#include "store/storage.h"

/* Takes inner over. */
struct storage *late_tier_new(struct storage *inner, bool early);
unsigned late_tier_pending(const struct storage *late);
unsigned late_tier_cancelled(const struct storage *late);
/* Completes at most n calls; returns their number. Nothing while held. */
unsigned late_tier_release(struct storage *late, unsigned n);
void late_tier_shuffle(struct storage *late, uint64_t seed); /* 0: in order again */
/* The same for the calls of one loop: with several, each thread completes its own. */
unsigned late_tier_release_on(struct storage *late, const struct loop *loop, unsigned n);
/* Which calls are late, the others complete at once; all are unless this says otherwise. */
enum late_calls { LATE_LOOKUPS = 1, LATE_WRITES = 2, LATE_PURGES = 4 };
void late_tier_delays(struct storage *late, unsigned which);
void late_tier_hold_forever(struct storage *late, bool held);
struct storage *late_tier_inner(struct storage *late);

#endif
