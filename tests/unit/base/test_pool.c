#include "base/pool.h"

#include <stdlib.h>
#include <string.h>

static void test_counts(void **state)
{
    struct pool pool;
    void *a, *b, *c;

    (void)state;
    pool_init(&pool, 100, 2);
    a = pool_get(&pool);
    b = pool_get(&pool);
    c = pool_get(&pool);
    assert_int_equal(pool.in_use, 3);
    assert_int_equal(pool.mallocs, 3);
    assert_int_equal(pool.kept, 0);
    memset(a, 1, 100);
    memset(b, 2, 100);
    memset(c, 3, 100);
    pool_put(&pool, a);
    pool_put(&pool, b);
    pool_put(&pool, c); /* one more than is kept: back to malloc */
    assert_int_equal(pool.in_use, 0);
    assert_int_equal(pool.kept, 2);
    pool_put(&pool, NULL);
    assert_int_equal(pool.in_use, 0);
    pool_done(&pool);
    assert_int_equal(pool.kept, 0);
}

static void test_the_last_comes_first(void **state)
{
    struct pool pool;
    void *a, *b;

    (void)state;
    pool_init(&pool, sizeof(void *), 8); /* the smallest block there is */
    a = pool_get(&pool);
    b = pool_get(&pool);
    pool_put(&pool, a);
    pool_put(&pool, b);
    assert_ptr_equal(pool_get(&pool), b); /* warm in the cache */
    assert_ptr_equal(pool_get(&pool), a);
    assert_int_equal(pool.mallocs, 2);
    assert_int_equal(pool.in_use, 2);
    pool_put(&pool, a);
    pool_put(&pool, b);
    pool_done(&pool);
}

static void test_steady_state_makes_no_malloc(void **state)
{
    struct pool pool;
    void *blocks[16];

    (void)state;
    pool_init(&pool, 64, 16);
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < 16; i++)
            blocks[i] = pool_get(&pool);
        for (unsigned i = 0; i < 16; i++)
            pool_put(&pool, blocks[i]);
    }
    assert_int_equal(pool.mallocs, 16);
    pool_done(&pool);
}

static void test_keep_none(void **state)
{
    struct pool pool;

    (void)state;
    pool_init(&pool, 64, 0);
    pool_put(&pool, pool_get(&pool));
    pool_put(&pool, pool_get(&pool));
    assert_int_equal(pool.kept, 0);
    assert_int_equal(pool.mallocs, 2);
    pool_done(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_the_last_comes_first),
        cmocka_unit_test(test_steady_state_makes_no_malloc),
        cmocka_unit_test(test_keep_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
