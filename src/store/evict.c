#include "store/evict.h"

#include "store/ghosts.h"

#include <stdlib.h>

#define SHARE_MIN_PERCENT   2u
#define SHARE_MAX_PERCENT   90u
#define SHARE_FIRST_PERCENT SHARE_MIN_PERCENT
/* Ghosts are remembered for as many bytes as the logs hold, so many times: more and less hit less (docs/eviction.md). */
#define REACHES             2u
/* A ghost moves the border while less than a tenth of the logs has left since: had that log been so much larger, it would
 * have been a hit. */
#define NEAR_TICKS          (GHOST_TICKS / (10 * REACHES))
/* Seen, and asked for again after at least so long, which is more than RAM probation holds: it is no short burst. */
#define COMEBACK_TICKS      1u
#define RATE_EVERY_NS       1000000000u
#define RATE_MEMORY_NS      (60 * (uint64_t)RATE_EVERY_NS)
#define US_PER_S            1000000u
#define BUDGET_MAX_PER_S    (UINT64_C(1) << 36) /* with it nothing overflows; no device writes as much */

/* How much is left of the budget. */
enum purse {
    PURSE_EMPTY,  /* nothing is written */
    PURSE_SHORT,  /* under a half: only what was asked for again, and two hits to stay */
    PURSE_ENOUGH, /* or there is no budget */
    PURSE_RICH,   /* over three quarters: admission is open, and one hit suffices to stay */
};

struct evict {
    uint64_t segments, segment_bytes, logs_bytes;
    struct ghosts ghosts;
    _Atomic uint64_t border_bytes; /* the small log's share of logs_bytes */
    _Atomic bool is_open;

    uint64_t budget_per_s, budget_depth;
    int64_t budget_left;
    uint64_t budget_us, budget_rest; /* when it was filled last; less than a byte, in millionths */
    bool has_begun;
    enum purse purse;

    uint64_t probation_bytes;
    _Atomic uint64_t missed_bytes; /* from the origin, since rate_ns */
    uint64_t rate_ns;
    double rate; /* of them, bytes a second */
    bool is_probation_short;

    _Atomic uint64_t ghost_hits;
    _Atomic uint64_t counts[EVICT_DECISION_COUNT];
};

static void count(struct evict *evict, enum evict_decision decision)
{
    atomic_fetch_add_explicit(&evict->counts[decision], 1, memory_order_relaxed);
}

static uint64_t share_of(const struct evict *evict, unsigned percent)
{
    return evict->logs_bytes / 100 * percent;
}

err evict_new(const struct evict_config *config, struct evict **ret_evict)
{
    struct evict *evict;
    err made;

    ENSURE(config->segments >= EVICT_SEGMENTS_MIN && config->segment_bytes > 0, INVALID);
    ENSURE(config->segments <= UINT64_MAX / config->segment_bytes, INVALID);
    evict = calloc(1, sizeof(*evict));
    ENSURE(evict != NULL, MEMORY);
    evict->segments = config->segments;
    evict->segment_bytes = config->segment_bytes;
    evict->logs_bytes = config->segments * config->segment_bytes;
    evict->probation_bytes = config->probation_bytes;
    evict->budget_per_s = MIN(config->write_bytes_per_s, BUDGET_MAX_PER_S);
    evict->budget_depth = evict->budget_per_s * EVICT_BUDGET_S;
    evict->purse = PURSE_ENOUGH;
    atomic_init(&evict->border_bytes, share_of(evict, SHARE_FIRST_PERCENT));
    made = ghosts_init(&evict->ghosts, config->ghosts > 0 ? config->ghosts : evict->logs_bytes / EVICT_GHOST_BYTES, evict->logs_bytes * REACHES);
    if (!err_is_ok(made)) {
        evict_free(evict);
        return made;
    }
    *ret_evict = evict;
    return ERR_OK;
}

struct evict *evict_free(struct evict *evict)
{
    if (evict != NULL)
        ghosts_done(&evict->ghosts);
    free(evict);
    return NULL;
}

uint64_t evict_bytes(const struct evict *evict)
{
    return sizeof(*evict) + ghosts_bytes(&evict->ghosts);
}

/* ---- time: budget, what probation holds, the thresholds ----------------------------------------------------------- */

static void budget_fill(struct evict *evict, uint64_t now_us)
{
    uint64_t passed_us = MIN(now_us - evict->budget_us, (uint64_t)EVICT_BUDGET_S * US_PER_S);
    uint64_t whole = evict->budget_per_s / US_PER_S * passed_us;
    uint64_t millionths = evict->budget_per_s % US_PER_S * passed_us + evict->budget_rest;
    int64_t depth = (int64_t)evict->budget_depth;

    evict->budget_us = now_us;
    evict->budget_rest = millionths % US_PER_S;
    /* what was granted for the first filling is not cut */
    if (evict->budget_left < depth)
        evict->budget_left = MIN(evict->budget_left + (int64_t)(whole + millionths / US_PER_S), depth);
}

static enum purse purse_of(const struct evict *evict)
{
    int64_t quarter = (int64_t)(evict->budget_depth / 4);

    if (evict->budget_per_s == 0)
        return PURSE_ENOUGH;
    if (evict->budget_left <= 0)
        return PURSE_EMPTY;
    return evict->budget_left < 2 * quarter ? PURSE_SHORT : evict->budget_left < 3 * quarter ? PURSE_ENOUGH : PURSE_RICH;
}

static double probation_ms(const struct evict *evict)
{
    return (double)evict->probation_bytes * 1000 / evict->rate;
}

/* It opens under the least time, and closes when there is a fifth more. */
static void rate_turn(struct evict *evict, uint64_t now_ns)
{
    uint64_t passed_ns = now_ns - evict->rate_ns;

    if (passed_ns < RATE_EVERY_NS)
        return;
    double now = (double)atomic_exchange_explicit(&evict->missed_bytes, 0, memory_order_relaxed) / ((double)passed_ns / RATE_EVERY_NS);
    double weight = evict->rate > 0 ? (double)MIN(passed_ns, RATE_MEMORY_NS) / (double)RATE_MEMORY_NS : 1;
    evict->rate += (now - evict->rate) * weight;
    evict->rate_ns = now_ns;
    double least_ms = evict->is_probation_short ? EVICT_PROBATION_MIN_MS * 1.2 : EVICT_PROBATION_MIN_MS;
    evict->is_probation_short = evict->probation_bytes > 0 && evict->rate > 0 && probation_ms(evict) < least_ms;
}

static void open_turn(struct evict *evict, uint64_t free_segments)
{
    bool is_filling = free_segments > EVICT_FREE_MIN;
    bool is_wanted = is_filling || evict->is_probation_short || evict->purse == PURSE_RICH;

    atomic_store_explicit(&evict->is_open, is_wanted && evict->purse >= PURSE_ENOUGH, memory_order_relaxed);
}

void evict_turn(struct evict *evict, uint64_t now_ns, uint64_t free_segments)
{
    if (!evict->has_begun) {
        evict->has_begun = true;
        evict->budget_us = now_ns / 1000;
        evict->rate_ns = now_ns;
        evict->budget_left = (int64_t)(evict->budget_depth + MIN(free_segments, evict->segments) * evict->segment_bytes);
    }
    budget_fill(evict, now_ns / 1000);
    evict->purse = purse_of(evict);
    rate_turn(evict, now_ns);
    open_turn(evict, free_segments);
}

void evict_wrote(struct evict *evict, uint64_t bytes)
{
    if (evict->budget_per_s == 0)
        return;
    evict->budget_left -= (int64_t)bytes;
    evict->purse = purse_of(evict);
    if (evict->purse < PURSE_ENOUGH)
        atomic_store_explicit(&evict->is_open, false, memory_order_relaxed);
}

bool evict_is_open(const struct evict *evict)
{
    return atomic_load_explicit(&evict->is_open, memory_order_relaxed);
}

static uint8_t promote_hits(const struct evict *evict)
{
    return evict->purse >= PURSE_ENOUGH ? 1 : 2;
}

/* Without a budget there is nothing to save for. */
static uint8_t rewrite_hits(const struct evict *evict)
{
    return evict->purse == PURSE_RICH || evict->budget_per_s == 0 ? 1 : 2;
}

/* ---- what comes ------------------------------------------------------------------------------------------------- */

static void border_move(struct evict *evict, enum ghost_origin origin, uint64_t bytes)
{
    uint64_t least = share_of(evict, SHARE_MIN_PERCENT), most = share_of(evict, SHARE_MAX_PERCENT);
    uint64_t old = atomic_load_explicit(&evict->border_bytes, memory_order_relaxed), moved;

    do {
        if (origin == GHOST_SMALL)
            moved = bytes < most - old ? old + bytes : most;
        else
            moved = bytes < old - least ? old - bytes : least;
    } while (!atomic_compare_exchange_weak_explicit(&evict->border_bytes, &old, moved, memory_order_relaxed, memory_order_relaxed));
}

bool evict_missed(struct evict *evict, uint64_t hash, uint64_t bytes)
{
    struct ghost ghost = ghosts_find(&evict->ghosts, hash);

    atomic_fetch_add_explicit(&evict->missed_bytes, bytes, memory_order_relaxed);
    if (ghost.origin == GHOST_NONE)
        ghosts_put(&evict->ghosts, hash, GHOST_SEEN, bytes);
    else if (ghost.origin != GHOST_SEEN && ghost.ticks < NEAR_TICKS)
        border_move(evict, ghost.origin, bytes);
    if (ghost.origin != GHOST_NONE)
        atomic_fetch_add_explicit(&evict->ghost_hits, 1, memory_order_relaxed);
    return ghost.origin != GHOST_NONE;
}

/* It has been asked for over a time that the small log would only find out again: what is there is for short lives. */
static bool has_come_back(const struct ghost *ghost, bool was_used)
{
    switch (ghost->origin) {
    case GHOST_SMALL:
    case GHOST_MAIN:
        return true;
    case GHOST_SEEN:
        return was_used && ghost->ticks >= COMEBACK_TICKS;
    default:
        return false;
    }
}

bool evict_would_admit(const struct evict *evict, bool was_used)
{
    return evict->purse != PURSE_EMPTY && (was_used || evict_is_open(evict));
}

enum evict_admission evict_admit(struct evict *evict, uint64_t hash, uint64_t bytes, bool was_used)
{
    struct ghost ghost;

    (void)bytes; /* all sizes are worth the same a byte */
    if (!evict_would_admit(evict, was_used)) {
        count(evict, evict->purse == PURSE_EMPTY ? EVICT_OVER_BUDGET : EVICT_REFUSED);
        return EVICT_ADMIT_NOT;
    }
    count(evict, EVICT_ADMITTED);
    ghost = ghosts_take(&evict->ghosts, hash);
    return has_come_back(&ghost, was_used) ? EVICT_ADMIT_MAIN : EVICT_ADMIT_SMALL;
}

void evict_over_quota(struct evict *evict)
{
    count(evict, EVICT_OVER_QUOTA);
}

/* ---- what goes -------------------------------------------------------------------------------------------------- */

enum evict_log evict_victim_log(struct evict *evict, const uint64_t segments[EVICT_LOGS])
{
    uint64_t small_bytes = segments[EVICT_SMALL] * evict->segment_bytes;
    uint64_t bytes = (segments[EVICT_SMALL] + segments[EVICT_MAIN]) * evict->segment_bytes;
    double share = (double)atomic_load_explicit(&evict->border_bytes, memory_order_relaxed) / (double)evict->logs_bytes;

    INVARIANT(bytes > 0);
    if (segments[EVICT_SMALL] == 0 || segments[EVICT_MAIN] == 0)
        return segments[EVICT_SMALL] == 0 ? EVICT_MAIN : EVICT_SMALL;
    return (double)small_bytes > share * (double)bytes ? EVICT_SMALL : EVICT_MAIN;
}

enum evict_fate evict_fate(struct evict *evict, enum evict_log log, uint64_t hash, uint64_t bytes, uint8_t *hits, bool favoured, bool forced)
{
    uint8_t wanted = favoured ? 0 : log == EVICT_SMALL ? promote_hits(evict) : rewrite_hits(evict);

    if (!forced && (favoured || evict->purse != PURSE_EMPTY) && *hits >= wanted) {
        *hits = log == EVICT_SMALL ? 0 : (uint8_t)(*hits - wanted);
        count(evict, log == EVICT_SMALL ? EVICT_PROMOTED : EVICT_REWRITTEN);
        return EVICT_TO_MAIN;
    }
    count(evict, EVICT_DROPPED);
    ghosts_put(&evict->ghosts, hash, log == EVICT_SMALL ? GHOST_SMALL : GHOST_MAIN, bytes);
    return EVICT_GONE;
}

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

uint64_t evict_count(const struct evict *evict, enum evict_decision decision)
{
    return atomic_load_explicit(&evict->counts[decision], memory_order_relaxed);
}

uint64_t evict_small_log_bytes(const struct evict *evict)
{
    return atomic_load_explicit(&evict->border_bytes, memory_order_relaxed);
}

void evict_stats(const struct evict *evict, struct evict_stats *ret_stats)
{
    bool is_known = evict->probation_bytes > 0 && evict->rate > 0;

    *ret_stats = (struct evict_stats){
        .small_share_percent = atomic_load_explicit(&evict->border_bytes, memory_order_relaxed) / MAX(evict->logs_bytes / 100, 1),
        .ghosts = atomic_load_explicit(&evict->ghosts.count, memory_order_relaxed),
        .ghost_hits = atomic_load_explicit(&evict->ghost_hits, memory_order_relaxed),
        .promoted = evict_count(evict, EVICT_PROMOTED),
        .rewritten = evict_count(evict, EVICT_REWRITTEN),
        .dropped = evict_count(evict, EVICT_DROPPED),
        .admitted = evict_count(evict, EVICT_ADMITTED),
        .not_admitted = evict_count(evict, EVICT_REFUSED) + evict_count(evict, EVICT_OVER_BUDGET) + evict_count(evict, EVICT_OVER_QUOTA),
        .budget_left_bytes = evict->budget_per_s == 0 ? UINT64_MAX : (uint64_t)MAX(evict->budget_left, 0),
        .probation_ms = is_known ? (uint64_t)MIN(probation_ms(evict), 1e15) : UINT64_MAX,
        .promote_hits = promote_hits(evict),
        .rewrite_hits = rewrite_hits(evict),
        .is_open = evict_is_open(evict),
    };
}
