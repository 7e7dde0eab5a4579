/* evict: what the disk tier keeps. Decisions only, no bytes and no I/O: the disk tier (disk/) asks it, and so does
 * warp-sim, which replays a trace through the very same code (docs/eviction.md: why, and what it gives).
 *
 *   from the origin --> RAM probation --used in RAM------> SMALL log --hit--> MAIN log --hit often enough--> MAIN again
 *                             |                       |                  ^  |
 *                             |                       '--- not hit ---.  |  '--- not hit ---.
 *                             '-- not asked for again: unwritten ---> gone: its ghost stays for a while, and what is
 *                                                                     missed while it is there comes into MAIN
 *
 * Both logs are FIFO over segments; reclaim takes the oldest segment of the log that is over its share. The share of the
 * small log moves (2 to 90 %): a byte that comes back soon after it left SMALL moves it up by a byte, one that comes back
 * soon after it left MAIN moves it down.
 *
 * What was not asked for again is written only while admission is open:
 *   - there are free segments: a store that is not full has nothing to lose; or
 *   - probation holds less than EVICT_PROBATION_MIN_MS of what comes from the origin, so that leaving it says nothing; or
 *   - there is a write budget, and most of it is left.
 * The budget is a hard cap. As it runs short, thresholds rise (promote 1-2, rewrite 1-2), admission closes, and at its end
 * nothing is written. At any time plain cyclic FIFO is a correct fallback.
 *
 * Threads: the tier's writer thread; evict_is_open and evict_missed any. */
#ifndef WARP_STORE_EVICT_H
#define WARP_STORE_EVICT_H

#include "base/err.h"
#include "base/hash.h"

#include <stdatomic.h>

#define EVICT_SEGMENTS_MIN     4u
#define EVICT_FREE_MIN         4u /* the tier's reserve is less: no more than that is free in a full store */
#define EVICT_PROBATION_MIN_MS 3000u
/* The budget that may be spent at once, and what the thresholds go by: so many seconds of it. Beside it, what the first
 * filling of free segments takes is granted at the start. */
#define EVICT_BUDGET_S         600u
#define EVICT_GHOST_BYTES      (16u * 1024) /* of the logs for each fingerprint */

enum evict_log { EVICT_SMALL, EVICT_MAIN, EVICT_LOGS };

struct evict_config {
    uint64_t segments;          /* usable by the logs */
    uint64_t segment_bytes;
    uint64_t write_bytes_per_s; /* budget; 0: none is known */
    uint64_t ghosts;            /* fingerprints kept, 4 bytes each; 0: one for each EVICT_GHOST_BYTES of the logs */
    uint64_t probation_bytes;   /* what RAM keeps of objects not yet asked for again; 0: unknown, taken for enough */
};

struct evict;
/* ERR_INVALID: fewer segments than EVICT_SEGMENTS_MIN, or of no size. */
MUST_USE err evict_new(const struct evict_config *config, struct evict **ret_evict);
struct evict *evict_free(struct evict *evict);
uint64_t evict_bytes(const struct evict *evict); /* memory */

/* Time passes: the budget fills (now_ns: any monotonic clock). free_segments: neither open nor filled. */
void evict_turn(struct evict *evict, uint64_t now_ns, uint64_t free_segments);

/* Is everything admitted now, without having been asked for again? */
bool evict_is_open(const struct evict *evict);

/* An object that no tier had has come from the origin. True: it was here, or asked for, not long ago; offer it as used.
 * The border learns from it. Once an object. */
bool evict_missed(struct evict *evict, uint64_t hash, uint64_t bytes);

/* An object that is not on disk: was_used: it was asked for again while in RAM (probation), or evict_missed has said so.
 * Where to write it. */
enum evict_admission { EVICT_ADMIT_NOT, EVICT_ADMIT_SMALL, EVICT_ADMIT_MAIN };
enum evict_admission evict_admit(struct evict *evict, uint64_t hash, uint64_t bytes, bool was_used);

/* Is the answer other than EVICT_ADMIT_NOT? Changes nothing. */
bool evict_would_admit(const struct evict *evict, bool was_used);

/* It is not written: its tenant may have no more. */
void evict_over_quota(struct evict *evict);

/* Bytes went to the device, whatever for. */
void evict_wrote(struct evict *evict, uint64_t bytes);

/* Which log gives its oldest segment next. segments: how many sealed ones each log has; at least one log has some. */
enum evict_log evict_victim_log(struct evict *evict, const uint64_t segments[EVICT_LOGS]);

/* What becomes of a live record of the victim. hits: 0..3; what goes to MAIN is given those that it takes along: a stay in
 * MAIN costs the hits that it wants, more of them are good for the next one. favoured: its tenant has no more
 * than it is guaranteed: it stays, whatever its hits and the budget (which it is written from all the same: what is new waits
 * until that has filled). GONE leaves a ghost. Forced: free segments are so few that nothing more may be written (always GONE). */
enum evict_fate { EVICT_GONE, EVICT_TO_MAIN };
enum evict_fate evict_fate(struct evict *evict, enum evict_log log, uint64_t hash, uint64_t bytes, uint8_t *hits, bool favoured, bool forced);

/* name, word: warp_disk_decisions_total{decision} */
#define EVICT_DECISIONS(X)                                                                   \
    X(ADMITTED, "admitted")       /* written for the first time */                           \
    X(REFUSED, "refused")         /* not: nobody asked for it again */                       \
    X(OVER_BUDGET, "over_budget") /* not: the write budget is spent */                       \
    X(OVER_QUOTA, "over_quota")   /* not: its tenant's hard quota is full */                  \
    X(PROMOTED, "promoted")       /* from the small log into the main log */                 \
    X(REWRITTEN, "rewritten")     /* from the main log into it again */                      \
    X(DROPPED, "dropped")         /* gone: not hit often enough, or the budget is spent */
enum evict_decision {
#define X(name, word) EVICT_##name,
    EVICT_DECISIONS(X)
#undef X
        EVICT_DECISION_COUNT
};
/* Any thread. */
uint64_t evict_count(const struct evict *evict, enum evict_decision decision);
uint64_t evict_small_log_bytes(const struct evict *evict); /* its share of the room, by the border */

struct evict_stats {
    uint64_t small_share_percent, ghosts, ghost_hits, promoted, rewritten, dropped, admitted, not_admitted;
    uint64_t budget_left_bytes; /* UINT64_MAX: there is no budget */
    uint64_t probation_ms;      /* what probation holds of what comes from the origin; UINT64_MAX: unknown, or for ever */
    uint8_t promote_hits, rewrite_hits; /* the thresholds now */
    bool is_open;
};
void evict_stats(const struct evict *evict, struct evict_stats *ret_stats);

#endif
