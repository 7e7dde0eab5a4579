#include "store/ghosts.h"

#include <stdlib.h>

#define ORIGIN_SHIFT 30u
#define TICK_SHIFT   22u
#define TICK_MASK    0xffu
#define PRINT_MASK   ((1u << TICK_SHIFT) - 1)
/* The hand frees a ghost at the latest a reach after it is too old. */
static_assert(2 * GHOST_TICKS < TICK_MASK, "a tick must not come round while its ghost is there");
static_assert(GHOST_ORIGINS <= 4, "two bits of origin");

static uint32_t word_of(enum ghost_origin origin, unsigned tick, uint64_t hash)
{
    return (uint32_t)origin << ORIGIN_SHIFT | tick << TICK_SHIFT | ((uint32_t)hash & PRINT_MASK);
}

static enum ghost_origin word_origin(uint32_t word)
{
    return (enum ghost_origin)(word >> ORIGIN_SHIFT);
}

static bool is_print_of(uint32_t word, uint64_t hash)
{
    return word != 0 && (word & PRINT_MASK) == ((uint32_t)hash & PRINT_MASK);
}

static unsigned tick_now(const struct ghosts *ghosts, enum ghost_origin origin)
{
    return (unsigned)(atomic_load_explicit(&ghosts->clocks[origin], memory_order_relaxed) / ghosts->tick_bytes) & TICK_MASK;
}

static unsigned word_ticks(const struct ghosts *ghosts, uint32_t word)
{
    return (tick_now(ghosts, word_origin(word)) - (word >> TICK_SHIFT)) & TICK_MASK;
}

static _Atomic uint32_t *set_of(const struct ghosts *ghosts, uint64_t hash)
{
    return ghosts->words + ((hash >> 32) * ghosts->sets >> 32) * GHOST_WAYS;
}

err ghosts_init(struct ghosts *ghosts, uint64_t count, uint64_t reach_bytes)
{
    *ghosts = (struct ghosts){0};
    ghosts->sets = MAX((count + GHOST_WAYS - 1) / GHOST_WAYS, 1);
    ENSURE(ghosts->sets <= UINT32_MAX && reach_bytes >= GHOST_TICKS, INVALID);
    ghosts->reach_bytes = reach_bytes;
    ghosts->tick_bytes = reach_bytes / GHOST_TICKS;
    ghosts->sweep_bytes = MAX(reach_bytes / ghosts->sets, 1);
    ghosts->words = calloc(ghosts->sets, GHOST_WAYS * sizeof(*ghosts->words));
    ENSURE(ghosts->words != NULL, MEMORY);
    return ERR_OK;
}

void ghosts_done(struct ghosts *ghosts)
{
    free(ghosts->words);
    ghosts->words = NULL;
}

uint64_t ghosts_bytes(const struct ghosts *ghosts)
{
    return ghosts->sets * GHOST_WAYS * sizeof(*ghosts->words);
}

static void word_clear(struct ghosts *ghosts, _Atomic uint32_t *word)
{
    if (atomic_exchange_explicit(word, 0, memory_order_relaxed) != 0)
        atomic_fetch_sub_explicit(&ghosts->count, 1, memory_order_relaxed);
}

static void set_sweep(struct ghosts *ghosts, uint64_t set)
{
    for (unsigned i = 0; i < GHOST_WAYS; i++) {
        _Atomic uint32_t *at = &ghosts->words[set * GHOST_WAYS + i];
        uint32_t word = atomic_load_explicit(at, memory_order_relaxed);
        if (word != 0 && word_ticks(ghosts, word) > GHOST_TICKS)
            word_clear(ghosts, at);
    }
}

/* The clock of one origin goes on, and with it the hand. */
static void time_passes(struct ghosts *ghosts, enum ghost_origin origin, uint64_t bytes)
{
    uint64_t passed = atomic_fetch_add_explicit(&ghosts->passed, bytes, memory_order_relaxed) + bytes;
    uint64_t hand = atomic_load_explicit(&ghosts->hand, memory_order_relaxed);

    atomic_fetch_add_explicit(&ghosts->clocks[origin], bytes, memory_order_relaxed);
    for (unsigned i = 0; hand < passed / ghosts->sweep_bytes && i < ghosts->sets; i++) {
        /* another thread may have taken this step */
        if (!atomic_compare_exchange_strong_explicit(&ghosts->hand, &hand, hand + 1, memory_order_relaxed, memory_order_relaxed))
            continue;
        set_sweep(ghosts, hand++ % ghosts->sets);
    }
}

/* Where a new one goes: its own place, a free one, or the oldest's. */
static _Atomic uint32_t *place_of(struct ghosts *ghosts, uint64_t hash)
{
    _Atomic uint32_t *set = set_of(ghosts, hash), *best = set;
    unsigned oldest = 0;

    for (unsigned i = 0; i < GHOST_WAYS; i++) {
        uint32_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
        unsigned ticks = word == 0 ? TICK_MASK + 1 : word_ticks(ghosts, word);
        if (is_print_of(word, hash))
            return &set[i];
        if (ticks > oldest) {
            oldest = ticks;
            best = &set[i];
        }
    }
    return best;
}

void ghosts_put(struct ghosts *ghosts, uint64_t hash, enum ghost_origin origin, uint64_t bytes)
{
    time_passes(ghosts, origin, bytes);
    if (atomic_exchange_explicit(place_of(ghosts, hash), word_of(origin, tick_now(ghosts, origin), hash), memory_order_relaxed) == 0)
        atomic_fetch_add_explicit(&ghosts->count, 1, memory_order_relaxed);
}

static _Atomic uint32_t *word_find(const struct ghosts *ghosts, uint64_t hash, struct ghost *ret_ghost)
{
    _Atomic uint32_t *set = set_of(ghosts, hash);

    for (unsigned i = 0; i < GHOST_WAYS; i++) {
        uint32_t word = atomic_load_explicit(&set[i], memory_order_relaxed);
        if (!is_print_of(word, hash))
            continue;
        *ret_ghost = (struct ghost){word_origin(word), word_ticks(ghosts, word)};
        if (ret_ghost->ticks > GHOST_TICKS)
            break;
        return &set[i];
    }
    *ret_ghost = (struct ghost){GHOST_NONE, 0};
    return NULL;
}

struct ghost ghosts_find(const struct ghosts *ghosts, uint64_t hash)
{
    struct ghost ghost;

    (void)word_find(ghosts, hash, &ghost);
    return ghost;
}

struct ghost ghosts_take(struct ghosts *ghosts, uint64_t hash)
{
    struct ghost ghost;
    _Atomic uint32_t *word = word_find(ghosts, hash, &ghost);

    if (word != NULL)
        word_clear(ghosts, word);
    return ghost;
}
