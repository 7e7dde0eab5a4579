/* ghosts: what was here not long ago, by fingerprint.
 *
 *   word: origin 2 | tick 8 | print 22 bits; sets of GHOST_WAYS words; 0: free
 *
 * Each origin has a clock of its own: it counts the bytes that became ghosts of that origin, GHOST_TICKS ticks for one reach
 * (some times as many bytes as the logs hold: evict.c). A ghost is there until its clock has gone on by a reach: what an LRU of
 * that size would still have. A hand that goes round once a reach frees what is older, long before eight bits of ticks come
 * round. A full set gives up its oldest.
 *
 * A false match (2 in a million lookups) writes an object for nothing, a ghost that was lost costs a hit: never more.
 * Threads: any. Words are single loads and stores: a race loses a ghost, or keeps one too many. */
#ifndef WARP_STORE_GHOSTS_H
#define WARP_STORE_GHOSTS_H

#include "base/err.h"

#include <stdatomic.h>

#define GHOST_WAYS  8u
#define GHOST_TICKS 64u

enum ghost_origin {
    GHOST_NONE,
    GHOST_SEEN,  /* asked for once, and written nowhere */
    GHOST_SMALL, /* left the small log without a hit */
    GHOST_MAIN,  /* left the main log */
    GHOST_ORIGINS
};

struct ghosts {
    _Atomic uint32_t *words;
    uint64_t sets, reach_bytes, tick_bytes, sweep_bytes; /* the hand frees one set for so many bytes */
    _Atomic uint64_t clocks[GHOST_ORIGINS];              /* bytes */
    _Atomic uint64_t passed, hand;                       /* bytes of all clocks; sets the hand has freed */
    _Atomic uint64_t count;
};

struct ghost {
    enum ghost_origin origin;
    unsigned ticks; /* since it left, up to GHOST_TICKS */
};

/* count: of fingerprints, 4 bytes each; rounded up to whole sets. */
MUST_USE err ghosts_init(struct ghosts *ghosts, uint64_t count, uint64_t reach_bytes);
void ghosts_done(struct ghosts *ghosts); /* fine after a failed init */
uint64_t ghosts_bytes(const struct ghosts *ghosts);

/* In the place of the one that is there. */
void ghosts_put(struct ghosts *ghosts, uint64_t hash, enum ghost_origin origin, uint64_t bytes);
struct ghost ghosts_find(const struct ghosts *ghosts, uint64_t hash);
/* The same, and it is gone. */
struct ghost ghosts_take(struct ghosts *ghosts, uint64_t hash);

#endif
