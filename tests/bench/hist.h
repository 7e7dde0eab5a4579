/* hist: how often each time was seen, to within 3 %, in fixed memory: 32 steps in each power of two. */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include <stdint.h>
#include <string.h>

#define HIST_STEPS 64u
#define HIST_SLOTS (HIST_STEPS * 59u)

struct hist {
    uint64_t count, max_ns;
    uint32_t slots[HIST_SLOTS];
};

static inline uint32_t hist_slot(uint64_t ns)
{
    unsigned power =
        ns < HIST_STEPS ? 0 : (unsigned)(63 - __builtin_clzll(ns)) - 5; /* ns >> power is 32..63 */

    return power == 0
               ? (uint32_t)ns
               : (power - 1) * (HIST_STEPS / 2) + HIST_STEPS + (uint32_t)(ns >> power) - HIST_STEPS / 2;
}

static inline void hist_reset(struct hist *hist)
{
    memset(hist, 0, sizeof(*hist));
}

static inline void hist_add(struct hist *hist, uint64_t ns)
{
    hist->slots[hist_slot(ns)]++;
    hist->count++;
    if (ns > hist->max_ns)
        hist->max_ns = ns;
}

/* The time that `part` (0..1) of those seen do not exceed. */
static inline double hist_at(const struct hist *hist, double part)
{
    uint64_t wanted = (uint64_t)((double)hist->count * part), seen = 0;

    if (part >= 1)
        return (double)hist->max_ns;
    for (uint32_t slot = 0; slot < HIST_SLOTS; slot++) {
        seen += hist->slots[slot];
        if (seen > wanted) {
            unsigned power = slot < HIST_STEPS ? 0 : (slot - HIST_STEPS) / (HIST_STEPS / 2) + 1;
            uint64_t value = power == 0 ? slot : (slot - HIST_STEPS) % (HIST_STEPS / 2) + HIST_STEPS / 2;
            return (double)(value << power);
        }
    }
    return (double)hist->max_ns;
}

#endif
