#include "load.h"

#include <stdlib.h>
#include <string.h>

#define ZIPF_DRAWS (1u << 17)

static uint32_t *ranks;

static uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Rank r with probability 1/r, the same draws in every run. */
void objects_prepare(void)
{
    double *below, sum = 0;
    uint64_t state = 20260101;

    pattern_init(opt.size);
    if (opt.pick != PICK_ZIPF)
        return;
    below = calloc(opt.objects, sizeof(*below));
    ranks = calloc(ZIPF_DRAWS, sizeof(*ranks));
    if (below == NULL || ranks == NULL)
        fail("out of memory");
    for (uint64_t i = 0; i < opt.objects; i++)
        below[i] = sum += 1.0 / (double)(i + 1);
    for (uint32_t i = 0; i < ZIPF_DRAWS; i++) {
        double wanted = sum * ((double)(random_next(&state) >> 11) / 9007199254740992.0);
        uint64_t low = 0, high = opt.objects - 1;
        while (low < high) {
            uint64_t middle = (low + high) / 2;
            if (below[middle] < wanted)
                low = middle + 1;
            else
                high = middle;
        }
        ranks[i] = (uint32_t)low;
    }
    free(below);
}

static uint64_t number_of(uint64_t i)
{
    switch (opt.pick) {
    case PICK_ONE:
        return opt.first;
    case PICK_ZIPF: /* while warming, each object */
        return opt.first + (run.warming ? i % opt.objects : ranks[i % ZIPF_DRAWS]);
    case PICK_CYCLE:
        return opt.first + i % opt.objects;
    case PICK_FRESH:
        break;
    }
    return opt.first + i;
}

bool object_next(uint64_t *ret_number)
{
    if (run.issued >= run.quota || (run.stop_issuing_ns != 0 && run.clock_ns >= run.stop_issuing_ns))
        return false;
    *ret_number = number_of(run.issued++);
    return true;
}

void piece_check(uint64_t number, uint64_t at, const char *data, size_t len)
{
    const char *right = pattern_of(number) + at;
    size_t probe = len < PROBE_BYTES ? len : PROBE_BYTES;
    bool same =
        run.warming || opt.mode == MODE_DRIP || opt.size <= 2 * PROBE_BYTES
            ? memcmp(data, right, len) == 0
            : memcmp(data, right, probe) == 0 && memcmp(data + len - probe, right + len - probe, probe) == 0;
    if (!same)
        fail("object %llu: wrong bytes in %zu at %llu", (unsigned long long)number, len,
             (unsigned long long)at);
}

void number_write(char *into, uint64_t number)
{
    for (int i = 9; i >= 0; i--, number /= 10)
        into[i] = (char)('0' + number % 10);
}
