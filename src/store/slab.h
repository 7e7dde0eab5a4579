/* slab: one extent of the region (os/region.h) and the pages taken in it. Large bodies of the RAM tier lie in slabs,
 * each slab in one body, so that sockets send from them by reference.
 *
 *   FREE --slab_new--> USED --slab_promote--> QUEUED --slabs_tend--> MOVING --> USED, huge or as it was
 *     ^                  |                       |                      |  (or copied, and kept beside the copy)
 *     '---- punched -----+------ slab_free ------+---- (when moved) ----'
 *
 * Bytes are charged to the budget when their pages are taken, and given back when they are punched. Bytes of a slab are
 * written once; its addresses are used again only after the punch: sockets may still hold its pages.
 *
 * Huge pages: sending from one costs a sixth less, filling and punching it a third. A body that is known to need half a
 * slab or more gets one of those that slabs_tend keeps ready as long as there is demand; others become huge when they are
 * asked for often and no socket holds them. All that is rounded up for it stays below one part in SLAB_ROUNDING_SHARE of
 * the budget, half of that for bodies nobody has asked for again.
 *
 * Threads: any; slabs_tend one of its own. One lock, never held across a system call or a call of the budget. */
#ifndef WARP_STORE_SLAB_H
#define WARP_STORE_SLAB_H

#include "os/region.h"
#include "store/storage.h"

#define SLAB_BYTES          OS_REGION_EXTENT_BYTES
static_assert(STORE_SLICE_SLAB_BYTES == SLAB_BYTES, "such a slice fills a slab");
#define SLAB_ROUNDING_SHARE 16u /* one part in that many of the budget */
#define SLAB_READY_SHARE    64u
#define SLAB_READY_MAX      8u
#define SLAB_READY_LEAST    2u /* as long as the share allows */

struct slabs;
struct store_budget;

/* bytes_min: what each slab holds at least, on average: with the budget it says how many addresses are needed. The
 * budget outlives it. An error where there is no region to be had: the tier works on without. */
MUST_USE err slabs_new(struct store_budget *budget, size_t bytes_min, struct slabs **ret_slabs);
/* No slab is in use any more. */
struct slabs *slabs_free(struct slabs *slabs);

/* A slab with room for bytes at least (rounded up to pages); need: how many it will hold in the end, 0: unknown. NULL: no
 * memory now. near as in store_budget_take. */
char *slab_new(struct slabs *slabs, uint16_t tenant, hash128 near, size_t bytes, size_t need);
/* Room for bytes in all. False: no memory now, and nothing has changed. */
MUST_USE bool slab_grow(struct slabs *slabs, char *slab, hash128 near, size_t bytes);
/* The body is complete and uses so many bytes: pages behind them go. Until then all is counted as used. */
void slab_trim(struct slabs *slabs, char *slab, size_t bytes);
void slab_free(struct slabs *slabs, char *slab);
/* The same, but bytes of its charge stay taken, for what the caller puts in its place. Of a body that is being filled. */
void slab_exchange(struct slabs *slabs, char *slab, size_t bytes);
/* Bytes charged for it: its room, and that of what it is a copy of. */
size_t slab_bytes(const struct slabs *slabs, const char *slab);
/* Of a complete body that was asked for that often: a small slab has to be sent more often than a large one until it is
 * worth what is rounded up. */
/* place: where its address is kept until slab_free; another one may be put there, with the same bytes, while slabs_tend
 * runs. */
void slab_promote(struct slabs *slabs, char *_Atomic *place, uint32_t hits);

/* Does one piece of slow work: may block for milliseconds. Returns when there may be more: nanoseconds from now, 0: at
 * once, UINT64_MAX: when wake is called. */
uint64_t slabs_tend(struct slabs *slabs);
/* Before the first slab is used; without it nothing becomes huge. */
void slabs_on_work(struct slabs *slabs, void (*wake)(void *arg), void *arg);

struct slab_stats {
    uint64_t used, used_bytes;     /* slabs of bodies, their pages */
    uint64_t huge, rounding_bytes; /* of those */
    uint64_t held_bytes;           /* charged, but of no body: ready, or needed for a move */
    uint64_t table_bytes;
    uint64_t moved, move_failures;
};
void slabs_stats(struct slabs *slabs, struct slab_stats *ret_stats);

#endif
