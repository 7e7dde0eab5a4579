/* LRU and the cyclic log, against lists of a few objects and against arrays. */
#include "replay/policy.h"

#include <stdlib.h>

static struct policy *make(const struct policy_kind *kind, uint64_t bytes)
{
    struct policy_config config = {.bytes = bytes};

    return kind->new(&config);
}

static bool ask(struct policy *policy, uint64_t object, uint64_t bytes)
{
    struct trace_request request = {.object = object, .bytes = bytes};
    uint64_t hits = policy->hits, hit_bytes = policy->kind->request(policy, &request);

    assert_int_equal(hit_bytes, policy->hits > hits ? bytes : 0);
    return policy->hits > hits;
}

static void test_lru(void **state)
{
    struct policy *lru = make(&policy_lru, 100);

    (void)state;
    assert_false(ask(lru, 1, 40));
    assert_false(ask(lru, 2, 40));
    assert_true(ask(lru, 1, 40));
    assert_false(ask(lru, 3, 20)); /* to the last byte */
    assert_true(ask(lru, 2, 40));
    assert_true(ask(lru, 3, 20));
    assert_false(ask(lru, 4, 1)); /* 1 goes: used longest ago */
    assert_false(ask(lru, 1, 40));
    assert_false(ask(lru, 5, 101)); /* larger than everything: nothing goes for it */
    assert_true(ask(lru, 1, 40));
    assert_false(ask(lru, 6, 100));
    assert_false(ask(lru, 1, 40));
    assert_false(ask(lru, 7, 0)); /* nothing is something, too */
    assert_true(ask(lru, 7, 0));
    assert_int_equal(lru->written_bytes, 40 + 40 + 20 + 1 + 40 + 100 + 40);
    lru->kind->free(lru);
}

static void test_fifo(void **state)
{
    struct policy *fifo = make(&policy_fifo, 100);

    (void)state;
    assert_false(ask(fifo, 1, 40));
    assert_false(ask(fifo, 2, 40));
    assert_true(ask(fifo, 1, 40));
    assert_false(ask(fifo, 3, 40)); /* 1 goes: written first */
    assert_true(ask(fifo, 2, 40));
    assert_false(ask(fifo, 1, 40));
    assert_int_equal(fifo->written_bytes, 160);
    fifo->kind->free(fifo);
}

/* Against the time of the last use of each: what LRU has is what was used latest. */
static void test_lru_against_an_array(void **state)
{
    enum {
        OBJECTS = 300,
        REQUESTS = 20000
    };
    static uint64_t used[OBJECTS];
    struct policy *lru = make(&policy_lru, 10000);
    unsigned seed = 99;

    (void)state;
    for (uint64_t now = 1; now <= REQUESTS; now++) {
        unsigned i = (unsigned)rand_r(&seed) % OBJECTS * ((unsigned)rand_r(&seed) % OBJECTS) / OBJECTS;
        uint64_t size = 10 + i * 7 % 400, newer = 0;
        for (unsigned j = 0; j < OBJECTS; j++)
            newer += used[j] > used[i] ? 10 + j * 7 % 400 : 0;
        /* it is there while all that was used since fits beside it */
        assert_int_equal(ask(lru, i, size), used[i] != 0 && newer + size <= 10000);
        used[i] = now;
    }
    lru->kind->free(lru);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lru), cmocka_unit_test(test_fifo), cmocka_unit_test(test_lru_against_an_array)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
