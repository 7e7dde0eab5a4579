/* Ghosts: how long they are remembered, each origin by its own clock; what gives way; that the hand keeps up. */
#include "store/ghosts.h"

#include <stdlib.h>

#define REACH (64u * 1000) /* a tick is 1,000 bytes */

static uint64_t hash_of(uint64_t n)
{
    uint64_t z = n * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct ghosts ghosts_make(uint64_t count)
{
    struct ghosts ghosts;

    assert_true(err_is_ok(ghosts_init(&ghosts, count, REACH)));
    return ghosts;
}

static void test_found_and_taken(void **state)
{
    struct ghosts ghosts = ghosts_make(1000);

    (void)state;
    assert_int_equal(ghosts_find(&ghosts, hash_of(1)).origin, GHOST_NONE);
    ghosts_put(&ghosts, hash_of(1), GHOST_SEEN, 10);
    ghosts_put(&ghosts, hash_of(2), GHOST_SMALL, 10);
    ghosts_put(&ghosts, hash_of(3), GHOST_MAIN, 10);
    assert_int_equal(ghosts_find(&ghosts, hash_of(1)).origin, GHOST_SEEN);
    assert_int_equal(ghosts_find(&ghosts, hash_of(2)).origin, GHOST_SMALL);
    assert_int_equal(ghosts_find(&ghosts, hash_of(3)).origin, GHOST_MAIN);
    assert_int_equal(ghosts.count, 3);
    ghosts_put(&ghosts, hash_of(1), GHOST_MAIN, 10); /* in its own place */
    assert_int_equal(ghosts.count, 3);
    assert_int_equal(ghosts_take(&ghosts, hash_of(1)).origin, GHOST_MAIN);
    assert_int_equal(ghosts_take(&ghosts, hash_of(1)).origin, GHOST_NONE);
    assert_int_equal(ghosts.count, 2);
    assert_int_equal(ghosts_bytes(&ghosts), 1000 * 4);
    ghosts_done(&ghosts);
}

/* The clock of an origin is what left that way, and nothing else. */
static void test_clocks(void **state)
{
    struct ghosts ghosts = ghosts_make(1000);

    (void)state;
    ghosts_put(&ghosts, hash_of(1), GHOST_SMALL, 0);
    ghosts_put(&ghosts, hash_of(2), GHOST_MAIN, 0);
    for (unsigned i = 0; i < 64; i++)
        ghosts_put(&ghosts, hash_of(3), GHOST_SMALL, 1000);
    assert_int_equal(ghosts_find(&ghosts, hash_of(1)).origin, GHOST_SMALL);
    assert_int_equal(ghosts_find(&ghosts, hash_of(1)).ticks, 64);
    assert_int_equal(ghosts_find(&ghosts, hash_of(3)).ticks, 0);
    assert_int_equal(ghosts_find(&ghosts, hash_of(2)).ticks, 0);
    ghosts_put(&ghosts, hash_of(3), GHOST_SMALL, 1000);
    assert_int_equal(ghosts_find(&ghosts, hash_of(1)).origin, GHOST_NONE); /* a reach ago, and one tick */
    assert_int_equal(ghosts_take(&ghosts, hash_of(1)).origin, GHOST_NONE);
    assert_int_equal(ghosts_find(&ghosts, hash_of(2)).origin, GHOST_MAIN);
    ghosts_done(&ghosts);
}

/* After 256 ticks a clock shows the same again: what is old must not look young. */
static void test_a_tick_does_not_come_round(void **state)
{
    struct ghosts ghosts = ghosts_make(4096);

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        ghosts_put(&ghosts, hash_of(i), GHOST_SEEN, 1);
    for (unsigned tick = 0; tick < 600; tick++) {
        ghosts_put(&ghosts, hash_of(1000), GHOST_SEEN, 1000);
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(ghosts_find(&ghosts, hash_of(i)).origin != GHOST_NONE, tick < 64);
    }
    assert_int_equal(ghosts.count, 1); /* and their places are free */
    ghosts_done(&ghosts);
}

/* In one jump, too: the hand frees the whole table at once where so much has left. */
static void test_a_jump(void **state)
{
    struct ghosts ghosts = ghosts_make(64);

    (void)state;
    ghosts_put(&ghosts, hash_of(1), GHOST_MAIN, 0);
    ghosts_put(&ghosts, hash_of(2), GHOST_MAIN, REACH + 1000);
    assert_int_equal(ghosts.count, 1);
    ghosts_put(&ghosts, hash_of(3), GHOST_MAIN, 3 * REACH);
    assert_int_equal(ghosts_find(&ghosts, hash_of(1)).origin, GHOST_NONE);
    assert_int_equal(ghosts_find(&ghosts, hash_of(2)).origin, GHOST_NONE);
    ghosts_done(&ghosts);
}

/* One set: the oldest gives way, the youngest stay. */
static void test_a_full_set(void **state)
{
    struct ghosts ghosts = ghosts_make(1);

    (void)state;
    for (unsigned i = 0; i < 3 * GHOST_WAYS; i++) {
        ghosts_put(&ghosts, hash_of(i), GHOST_SEEN, 1000);
        assert_int_equal(ghosts.count, MIN(i + 1, GHOST_WAYS));
        for (unsigned j = 0; j <= i; j++)
            assert_int_equal(ghosts_find(&ghosts, hash_of(j)).origin != GHOST_NONE, j + GHOST_WAYS > i);
    }
    ghosts_done(&ghosts);
}

/* Two in a million, by the width of a print and the ways of a set; here in a full table. */
static void test_false_matches(void **state)
{
    enum {
        COUNT = 1u << 16,
        LOOKS = 2000000
    };
    struct ghosts ghosts = ghosts_make(COUNT);
    unsigned found = 0;

    (void)state;
    for (unsigned i = 0; i < COUNT; i++)
        ghosts_put(&ghosts, hash_of(i), GHOST_SEEN, 0);
    for (unsigned i = 0; i < LOOKS; i++)
        found += ghosts_find(&ghosts, hash_of(COUNT + 1 + i)).origin != GHOST_NONE;
    assert_in_range(found, 0, 20);
    ghosts_done(&ghosts);
}

static void test_bounds(void **state)
{
    struct ghosts ghosts;

    (void)state;
    assert_int_equal(ghosts_init(&ghosts, 8, GHOST_TICKS - 1).code, ERR_INVALID);
    ghosts_done(&ghosts);
    assert_int_equal(ghosts_init(&ghosts, UINT64_C(1) << 40, REACH).code, ERR_INVALID);
    ghosts_done(&ghosts);
    assert_true(err_is_ok(ghosts_init(&ghosts, 0, GHOST_TICKS)));
    assert_int_equal(ghosts_bytes(&ghosts), GHOST_WAYS * 4);
    ghosts_done(&ghosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_and_taken), cmocka_unit_test(test_clocks),       cmocka_unit_test(test_a_tick_does_not_come_round),
        cmocka_unit_test(test_a_jump),          cmocka_unit_test(test_a_full_set),   cmocka_unit_test(test_false_matches),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
