/* drip: a body that comes piece by piece, at set times. Waits by a timer of the loop, never sleeps.
 *
 *   drip_init --> piece 0 (after first_ns) --> piece 1 (after period_ns) ... --> no piece: end, or failure */
#ifndef WARP_DEMO_DRIP_H
#define WARP_DEMO_DRIP_H

#include "base/source.h"
#include "loop/loop.h"

struct drip {
    struct source source;
    struct loop *loop;
    struct timer timer;
    /* Piece number index, which stays until the next call; data NULL: there are no more. */
    slice (*next)(struct drip *drip, unsigned index);
    void *user;
    uint64_t period_ns;
    slice left;
    unsigned index;
    bool due;        /* the next piece may be taken */
    bool ends_badly; /* after the last piece the body fails instead of ending */
};

/* The first piece is there at once. */
void drip_init(struct drip *drip, struct loop *loop, uint64_t period_ns,
               slice (*next)(struct drip *drip, unsigned index), void *user);

#endif
