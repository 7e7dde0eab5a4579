#include "replay/generate.h"

#include "replay/key_table.h"

#include <math.h>
#include <stdlib.h>

#define RANKS           400000u
#define ZIPF            0.9
#define FRESH_SHARE     0.2
#define ONCE_SHARE      0.15
#define SCAN_SHARE      0.05
#define SCAN_OBJECTS    20000u
#define LIFE_REQUESTS   1000.0
#define LIFE_SIGMA      1.5
#define LIFE_ONCE       0.6
#define LIFE_USES       1.2 /* Pareto's exponent */
#define LIFE_USES_MAX   100000.0
#define BYTES_MIN       64.0
#define BYTES_MAX       256e6
#define LARGE_BYTES_MIN 1e6
#define LARGE_EXPONENT  1.1

/* syn */
struct rank {
    uint64_t object;
    uint64_t fresh_at; /* the request from which on it is another object */
};

struct generator {
    struct generate_config config;
    uint64_t random, number;
    uint64_t *bytes; /* of each object, as they come into being */
    uint64_t objects, objects_room;
    /* syn */
    struct rank *ranks;
    double *weights; /* the sum up to each rank */
    uint64_t rank_count, scan_objects, scan_left, scanned;
    /* short: who is asked for by each request; where to look for a free one from there on */
    uint32_t *plan, *next_free;
};
#define PLAN_FREE UINT32_MAX

/* ---- chance --------------------------------------------------------------------------------------------------- */

static uint64_t random_bits(struct generator *g)
{
    uint64_t z = (g->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* Between 0 and 1, neither of them. */
static double random_unit(struct generator *g)
{
    return ((double)(random_bits(g) >> 11) + 0.5) / 9007199254740992.0;
}

static double random_normal(struct generator *g)
{
    double length = sqrt(-2 * log(random_unit(g)));

    return length * cos(2 * 3.14159265358979323846 * random_unit(g));
}

static double random_bytes(struct generator *g)
{
    double which = random_unit(g);

    if (which < 0.88)
        return 14e3 * exp(1.4 * random_normal(g));
    if (which < 0.98)
        return 250e3 * exp(random_normal(g));
    double most = pow(LARGE_BYTES_MIN / BYTES_MAX, LARGE_EXPONENT); /* what lies above the largest is cut off */
    return LARGE_BYTES_MIN * pow(1 - random_unit(g) * (1 - most), -1 / LARGE_EXPONENT);
}

static uint64_t object_new(struct generator *g)
{
    if (g->objects == g->objects_room) {
        g->objects_room = MAX(2 * g->objects_room, 65536);
        g->bytes = replay_memory(g->bytes, g->objects_room, sizeof(*g->bytes));
    }
    double bytes = random_bytes(g);
    g->bytes[g->objects] = (uint64_t)MAX(MIN(bytes, BYTES_MAX), BYTES_MIN);
    return g->objects++;
}

/* ---- syn ------------------------------------------------------------------------------------------------------ */

static uint64_t scaled(const struct generator *g, uint64_t count)
{
    return MAX(count * g->config.requests / GENERATE_REQUESTS, 1);
}

static void syn_begin(struct generator *g)
{
    double sum = 0;

    g->rank_count = scaled(g, RANKS);
    g->scan_objects = scaled(g, SCAN_OBJECTS);
    g->ranks = replay_memory(NULL, g->rank_count, sizeof(*g->ranks));
    g->weights = replay_memory(NULL, g->rank_count, sizeof(*g->weights));
    for (uint64_t i = 0; i < g->rank_count; i++) {
        g->weights[i] = sum += pow((double)(i + 1), -ZIPF);
        g->ranks[i].object = object_new(g);
        g->ranks[i].fresh_at = UINT64_MAX;
        if (random_unit(g) < FRESH_SHARE)
            g->ranks[i].fresh_at = (uint64_t)(random_unit(g) * (double)g->config.requests);
    }
}

static uint64_t syn_ranked(struct generator *g)
{
    double at = random_unit(g) * g->weights[g->rank_count - 1];
    uint64_t low = 0, high = g->rank_count - 1;

    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (g->weights[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    struct rank *rank = &g->ranks[low];
    if (g->number >= rank->fresh_at) {
        rank->object = object_new(g);
        rank->fresh_at = UINT64_MAX;
    }
    return rank->object;
}

static uint64_t syn_object(struct generator *g)
{
    if (g->scan_left == 0 && (double)g->scanned + (double)g->scan_objects / 2 <= SCAN_SHARE * (double)g->number)
        g->scan_left = g->scan_objects;
    if (g->scan_left > 0 && g->number % 2 == 1) {
        g->scan_left--;
        g->scanned++;
        return object_new(g);
    }
    return random_unit(g) < ONCE_SHARE / (1 - SCAN_SHARE) ? object_new(g) : syn_ranked(g);
}

/* ---- short ---------------------------------------------------------------------------------------------------- */

static void short_begin(struct generator *g)
{
    uint64_t count = g->config.requests;

    g->plan = replay_memory(NULL, count + 1, sizeof(*g->plan));
    g->next_free = replay_memory(NULL, count + 1, sizeof(*g->next_free));
    for (uint64_t i = 0; i <= count; i++) {
        g->plan[i] = PLAN_FREE;
        g->next_free[i] = (uint32_t)i;
    }
}

/* The first request from there on that nobody has; the number of requests where there is none. */
static uint64_t plan_free(struct generator *g, uint64_t from)
{
    uint64_t free_at = from;

    while (g->next_free[free_at] != free_at)
        free_at = g->next_free[free_at];
    while (g->next_free[from] != free_at) { /* and the way there is shorter from now on */
        uint64_t next = g->next_free[from];
        g->next_free[from] = (uint32_t)free_at;
        from = next;
    }
    return free_at;
}

static void plan_take(struct generator *g, uint64_t at, uint64_t object)
{
    g->plan[at] = (uint32_t)object;
    g->next_free[at] = (uint32_t)at + 1;
}

/* The other requests of an object that is asked for the first time now. */
static void short_live(struct generator *g, uint64_t object)
{
    double pareto = pow(random_unit(g), -1 / LIFE_USES), uses = MIN(pareto, LIFE_USES_MAX);
    double life = LIFE_REQUESTS * exp(LIFE_SIGMA * random_normal(g));

    for (; uses >= 1; uses--) {
        double at = (double)g->number + 1 - life * log(random_unit(g));
        uint64_t place = at < (double)g->config.requests ? plan_free(g, (uint64_t)at) : g->config.requests;
        if (place < g->config.requests)
            plan_take(g, place, object);
    }
}

static uint64_t short_object(struct generator *g)
{
    if (g->plan[g->number] != PLAN_FREE)
        return g->plan[g->number];
    uint64_t object = object_new(g);
    plan_take(g, g->number, object);
    if (random_unit(g) >= LIFE_ONCE)
        short_live(g, object);
    return object;
}

/* ---- both ----------------------------------------------------------------------------------------------------- */

struct generator *generator_new(const struct generate_config *config)
{
    struct generator *g = replay_memory(NULL, 1, sizeof(*g));

    INVARIANT(config->requests >= GENERATE_REQUESTS_MIN && config->requests <= GENERATE_REQUESTS_MAX);
    *g = (struct generator){.config = *config, .random = config->seed * UINT64_C(0xd1342543de82ef95) + (uint64_t)config->like};
    if (config->like == GENERATE_SYN)
        syn_begin(g);
    else
        short_begin(g);
    return g;
}

struct generator *generator_free(struct generator *g)
{
    if (g == NULL)
        return NULL;
    free(g->bytes);
    free(g->ranks);
    free(g->weights);
    free(g->plan);
    free(g->next_free);
    free(g);
    return NULL;
}

bool generator_next(struct generator *g, struct generated *ret_request)
{
    if (g->number == g->config.requests)
        return false;
    uint64_t object = g->config.like == GENERATE_SYN ? syn_object(g) : short_object(g);
    *ret_request = (struct generated){g->number, object, g->bytes[object]};
    g->number++;
    return true;
}
