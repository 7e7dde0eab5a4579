/* evict: what the disk tier keeps. Decisions only, no bytes and no I/O: the disk tier (disk/) asks it, and so does
 * warp-sim, which replays a trace through the very same code.
 *
 *   RAM probation --admitted--> SMALL log --hit--> MAIN log --hit often enough since it was written--> MAIN again
 *         |                        |                  |
 *         +-- not asked for again: +-- never hit: gone, its ghost stays for a while --+-- gone
 *             gone, unwritten                         (it comes back into MAIN while the ghost is there)
 *
 * Both logs are FIFO over segments; reclaim takes the oldest segment of the log that is over its share. The share of
 * the small log moves (2 to 90 %) with where ghosts come back. One controller holds the write budget: while there are
 * free segments and budget to spare, admission is open (everything is written within about a second); else probation
 * filters. Thresholds (promote 1-2, rewrite 1-2) are the controller's too. A segment with few live bytes is reclaimed out
 * of turn. At any time plain cyclic FIFO is a correct fallback.
 *
 * Threads: the tier's writer thread, but evict_is_open, which any thread may ask. */
#ifndef WARP_STORE_EVICT_H
#define WARP_STORE_EVICT_H

#include "base/err.h"
#include "base/hash.h"

#include <stdatomic.h>

enum evict_log { EVICT_SMALL, EVICT_MAIN, EVICT_LOGS };

struct evict_config {
    uint64_t segments;       /* usable by the logs */
    uint64_t segment_bytes;
    uint64_t write_bytes_per_s; /* budget; 0: none (all that is offered is written) */
    uint64_t ghosts;         /* fingerprints kept, 4 bytes each; 0: one for each 16 KiB of the logs */
};

struct evict;
MUST_USE err evict_new(const struct evict_config *config, struct evict **ret_evict);
struct evict *evict_free(struct evict *evict);
uint64_t evict_bytes(const struct evict *evict); /* memory */

/* Time passes: the budget fills (now_ns: any monotonic clock). free_segments: neither open nor filled. */
void evict_turn(struct evict *evict, uint64_t now_ns, uint64_t free_segments);

/* Is everything admitted now, without having been asked for again? */
bool evict_is_open(const struct evict *evict);

/* An object that is not on disk: was_used: it was asked for again while in RAM (probation). Where to write it. */
enum evict_admission { EVICT_ADMIT_NOT, EVICT_ADMIT_SMALL, EVICT_ADMIT_MAIN };
enum evict_admission evict_admit(struct evict *evict, uint64_t hash, uint64_t bytes, bool was_used);

/* Bytes went to the device, whatever for. */
void evict_wrote(struct evict *evict, uint64_t bytes);

/* A lookup found nothing in any tier: the border learns from ghosts. Returns whether its ghost was there. */
bool evict_missed(struct evict *evict, uint64_t hash);

/* Which log gives its oldest segment next. segments: how many sealed ones each log has; at least one log has some. */
enum evict_log evict_victim_log(struct evict *evict, const uint64_t segments[EVICT_LOGS]);

/* What becomes of a live record of the victim. hits: since it was written, 0..3. favoured: its tenant is under its
 * guaranteed share. GONE leaves a ghost where it came from SMALL. Forced: free segments are so few that nothing more may
 * be written (always GONE). */
enum evict_fate { EVICT_GONE, EVICT_TO_MAIN };
enum evict_fate evict_fate(struct evict *evict, enum evict_log log, uint64_t hash, uint64_t bytes, uint8_t hits, bool favoured, bool forced);

struct evict_stats {
    uint64_t small_share_percent, ghosts, ghost_hits, promoted, rewritten, dropped, admitted, not_admitted;
    uint64_t budget_left_bytes;
    uint8_t promote_hits, rewrite_hits; /* the thresholds now */
    bool is_open;
};
void evict_stats(const struct evict *evict, struct evict_stats *ret_stats);

#endif
