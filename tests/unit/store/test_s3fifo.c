/* The eviction: against a plain model of the same policy, against LRU on a Zipf trace; and the index under
 * it. */
#include "store_test.h"

#include "store/index.h"
#include "store/s3fifo.h"

#include <math.h>

enum {
    KEYS = 20000,
    REQUESTS = 400000
};

/* A seeded Zipf trace (exponent .9) with one request in five for something asked for once. */
static void trace_new(uint32_t *ret_trace)
{
    double *cumulative = malloc(KEYS * sizeof(*cumulative)), sum = 0;
    unsigned seed = 90210;
    uint32_t once = KEYS;

    for (unsigned i = 0; i < KEYS; i++)
        cumulative[i] = sum += 1 / pow(i + 1, 0.9);
    for (unsigned r = 0; r < REQUESTS; r++) {
        double at = sum * ((double)rand_r(&seed) / ((double)RAND_MAX + 1));
        unsigned low = 0, high = KEYS - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (cumulative[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        ret_trace[r] = rand_r(&seed) % 5 == 0 ? once++ : low;
    }
    free(cumulative);
}

/* ---- LRU and the model: arrays and linked numbers ---------------------------------------------------- */

struct node {
    struct list link;
    uint8_t queue, use;
    uint32_t key;
    uint32_t ghost_until;
};

static unsigned lru_hits(const uint32_t *trace, unsigned capacity)
{
    struct node *nodes = calloc(KEYS + REQUESTS, sizeof(*nodes));
    struct list lru = LIST_INIT(lru);
    unsigned hits = 0, count = 0;

    for (unsigned r = 0; r < REQUESTS; r++) {
        struct node *node = &nodes[trace[r]];
        if (node->queue) {
            hits++;
            list_remove(&node->link);
        } else if (count == capacity) {
            struct node *out = container_of(list_pop_front(&lru), struct node, link);
            out->queue = 0;
        } else {
            count++;
        }
        node->queue = 1;
        list_push_back(&lru, &node->link);
    }
    free(nodes);
    return hits;
}

struct model {
    struct list small, main;
    unsigned small_count, main_count, capacity, evicted_small;
};

static void model_evict(struct model *m)
{
    for (;;) {
        bool from_small =
            m->small_count * 100 > (m->small_count + m->main_count) * S3_SMALL_PERCENT || m->main_count == 0;
        struct node *node =
            container_of(list_pop_front(from_small ? &m->small : &m->main), struct node, link);
        if (from_small) {
            m->small_count--;
            if (node->use > 0) {
                node->use = 0;
                node->queue = S3_MAIN;
                list_push_back(&m->main, &node->link);
                m->main_count++;
                continue;
            }
            node->queue = S3_NONE;
            node->ghost_until = ++m->evicted_small + m->capacity;
            return;
        }
        if (node->use == 0) {
            node->queue = S3_NONE;
            m->main_count--;
            return;
        }
        node->use--;
        list_push_back(&m->main, &node->link);
    }
}

static unsigned model_hits(const uint32_t *trace, unsigned capacity)
{
    struct node *nodes = calloc(KEYS + REQUESTS, sizeof(*nodes));
    struct model m = {.capacity = capacity};
    unsigned hits = 0;

    list_init(&m.small);
    list_init(&m.main);
    for (unsigned r = 0; r < REQUESTS; r++) {
        struct node *node = &nodes[trace[r]];
        if (node->queue != S3_NONE) {
            hits++;
            node->use = (uint8_t)MIN(node->use + 1, 3);
            continue;
        }
        if (m.small_count + m.main_count == capacity)
            model_evict(&m);
        bool is_ghost = node->ghost_until > m.evicted_small;
        node->ghost_until = 0;
        node->use = 0;
        node->queue = is_ghost ? S3_MAIN : S3_SMALL;
        list_push_back(is_ghost ? &m.main : &m.small, &node->link);
        *(is_ghost ? &m.main_count : &m.small_count) += 1;
    }
    free(nodes);
    return hits;
}

static unsigned tier_hits(const uint32_t *trace, unsigned *ret_capacity)
{
    struct storage *storage = tier_new(2 * MIB);
    unsigned hits = 0;

    for (unsigned r = 0; r < REQUESTS; r++) {
        if (find(storage, trace[r], NULL) == STORE_HIT)
            hits++;
        else
            assert_true(put_whole(storage, (struct put){.object = trace[r], .length = 700}));
    }
    *ret_capacity = (unsigned)tier_stats(storage).objects;
    storage_free(storage);
    return hits;
}

static void test_zipf(void **state)
{
    uint32_t *trace = malloc(REQUESTS * sizeof(*trace));
    unsigned capacity;

    (void)state;
    trace_new(trace);
    unsigned tier = tier_hits(trace, &capacity), model = model_hits(trace, capacity),
             lru = lru_hits(trace, capacity);
    print_message("%u objects: tier %.4f, model %.4f, LRU %.4f\n", capacity, (double)tier / REQUESTS,
                  (double)model / REQUESTS, (double)lru / REQUESTS);
    assert_true(tier >= lru);
    assert_true(fabs((double)tier - (double)model) / REQUESTS <
                0.01); /* shards and ghost sets cost less than that */
    free(trace);
}

static struct stored *stored_make(struct store_budget *budget, uint64_t n)
{
    char text[24];
    int len = snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
    struct stored_seed seed = {.kind = STORE_VARY, .key = {.full = slice_of(text, (size_t)len)}};

    seed.key.hash = (hash128){hash64(seed.key.full, 1), hash64(seed.key.full, 2)};
    return stored_new(budget, &seed);
}

static void test_size_aware_and_held(void **state)
{
    struct store_budget budget = {.max = UINT64_MAX};
    struct s3fifo q;
    struct stored *large = stored_make(&budget, 1), *small = stored_make(&budget, 2),
                  *held = stored_make(&budget, 3);

    (void)state;
    s3fifo_init(&q);
    store_object_ref(&held->seen);
    s3fifo_push(&q, held, 1000);
    s3fifo_push(&q, large, S3_LARGE_BYTES + 1);
    s3fifo_push(&q, small, 1000);
    s3fifo_used(large); /* one use is not enough for its size */
    s3fifo_used(small);
    assert_ptr_equal(s3fifo_victim(&q), large);
    assert_int_equal(small->queue, S3_SMALL);
    s3fifo_push(&q, large, S3_LARGE_BYTES + 1);
    s3fifo_used(large);
    assert_ptr_equal(s3fifo_victim(&q), small); /* small goes to main first, then round it comes */
    assert_int_equal(large->queue, S3_MAIN);
    assert_ptr_equal(s3fifo_victim(&q), large);
    assert_null(s3fifo_victim(&q)); /* what somebody holds stays */
    store_object_unref(&held->seen);
    assert_ptr_equal(s3fifo_victim(&q), held);
    assert_null(s3fifo_victim(&q));
    assert_int_equal(q.small_units + q.main_units, 0);
    store_object_unref(&large->seen);
    store_object_unref(&small->seen);
    store_object_unref(&held->seen);
    assert_int_equal(budget.used, 0);
}

/* What is asked for most is always held, by near tables: it must not fill the probation queue for that. */
static void test_held_and_used(void **state)
{
    struct store_budget budget = {.max = UINT64_MAX};
    struct s3fifo q;
    struct stored *held = stored_make(&budget, 1);

    (void)state;
    s3fifo_init(&q);
    store_object_ref(&held->seen);
    s3fifo_push(&q, held, 1000);
    s3fifo_used(held);
    assert_null(s3fifo_victim(&q));
    assert_int_equal(held->queue, S3_MAIN);
    store_object_unref(&held->seen);
    assert_ptr_equal(s3fifo_victim(&q), held);
    store_object_unref(&held->seen);
}

static void test_ghost_goes_to_main(void **state)
{
    struct store_budget budget = {.max = UINT64_MAX};
    uint32_t ghosts[S3_GHOST_WAYS * 4] = {0};
    struct s3fifo q;
    struct stored *stored = stored_make(&budget, 1);

    (void)state;
    s3fifo_init(&q);
    s3fifo_set_ghosts(&q, ghosts, 4);
    s3fifo_push(&q, stored, 1000);
    assert_int_equal(stored->queue, S3_SMALL);
    assert_ptr_equal(s3fifo_victim(&q), stored);
    s3fifo_push(&q, stored, 1000);
    assert_int_equal(stored->queue, S3_MAIN);
    s3fifo_remove(&q, stored);
    s3fifo_push(&q, stored, 1000);
    assert_int_equal(stored->queue, S3_SMALL); /* a ghost is good for once */
    s3fifo_remove(&q, stored);
    store_object_unref(&stored->seen);
}

/* Which queue gives the victim: SMALL once it is over its share, a quarter or as told. */
static void test_small_share(void **state)
{
    struct store_budget budget = {.max = UINT64_MAX};
    struct stored *objects[4];
    struct s3fifo q;

    (void)state;
    for (unsigned percent = S3_SMALL_PERCENT; percent <= 75; percent += 50) {
        s3fifo_init(&q);
        assert_int_equal(q.small_percent, S3_SMALL_PERCENT);
        q.small_percent = percent;
        for (unsigned i = 0; i < 4; i++) {
            objects[i] = stored_make(&budget, i);
            s3fifo_push(&q, objects[i], 1600);
        }
        s3fifo_used(objects[0]);
        /* it goes to MAIN first; then three quarters are in SMALL */
        assert_ptr_equal(s3fifo_victim(&q), percent == 75 ? objects[0] : objects[1]);
        for (unsigned i = 0; i < 4; i++) {
            s3fifo_remove(&q, objects[i]);
            store_object_unref(&objects[i]->seen);
        }
    }
}

/* Random puts and removes, growing; found exactly what is there, and walks see each once. */
static void test_index(void **state)
{
    enum {
        N = 3000
    };
    struct store_budget budget = {.max = UINT64_MAX};
    struct store_index index;
    static struct stored *all[N];
    static bool is_in[N];
    unsigned seed = 31337, count = 0;

    (void)state;
    index_init(&index, 0, calloc(index_slot_count(8), sizeof(uint64_t)), 8);
    for (unsigned i = 0; i < N; i++)
        all[i] = stored_make(&budget, i);
    for (unsigned step = 0; step < 60000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % N;
        struct stored *found = index_find(&index, all[i]->seen.hash, store_object_key(&all[i]->seen));
        assert_ptr_equal(found, is_in[i] ? all[i] : NULL);
        if (is_in[i]) {
            index_remove(&index, all[i]);
            count--;
        } else {
            while (index_is_crowded(&index) || !index_put(&index, all[i])) {
                uint32_t homes = MAX(index_next_homes(&index), index.homes + 8);
                uint64_t *old =
                    index_regrow(&index, calloc(index_slot_count(homes), sizeof(uint64_t)), homes);
                assert_non_null(old);
                free(old);
            }
            count++;
        }
        is_in[i] = !is_in[i];
        assert_int_equal(index.count, count);
    }
    unsigned walked = 0, stretched = 0;
    uint64_t from = 0, cursor = 0;
    for (struct stored *at; (at = index_next(&index, from)) != NULL; from = at->seen.hash.hi + 1)
        walked++;
    assert_int_equal(walked, count);
    do {
        uint32_t first, end;
        cursor = index_stretch(&index, cursor, 16, &first, &end);
        for (uint32_t i = end; i-- > first;) {
            if (index.slots[i] != 0) {
                index_remove(&index, index_at(&index, i));
                stretched++;
            }
        }
    } while (cursor != 0);
    assert_int_equal(stretched, count);
    assert_int_equal(index.count, 0);
    for (unsigned i = 0; i < N; i++)
        store_object_unref(&all[i]->seen);
    free(index.slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zipf),
        cmocka_unit_test(test_size_aware_and_held),
        cmocka_unit_test(test_held_and_used),
        cmocka_unit_test(test_ghost_goes_to_main),
        cmocka_unit_test(test_small_share),
        cmocka_unit_test(test_index),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
