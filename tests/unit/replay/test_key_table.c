/* The table of keys against an array: adds, finds, removes in any order, keys that collide. */
#include "replay/key_table.h"

#include <stdlib.h>

static void test_against_an_array(void **state)
{
    enum {
        KEYS = 5000,
        STEPS = 300000
    };
    static bool is_in[KEYS];
    struct key_table table = {0};
    unsigned seed = 4711, count = 0;

    (void)state;
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)rand_r(&seed) % KEYS;
        uint64_t key = i % 3 == 0 ? (uint64_t)i << 50 : i; /* some differ in their highest bits alone */
        assert_int_equal(key_table_find(&table, key), is_in[i] ? i : KEY_NONE);
        if (is_in[i]) {
            key_table_remove(&table, key);
            count--;
        } else {
            key_table_add(&table, key, i);
            count++;
        }
        is_in[i] = !is_in[i];
        assert_int_equal(table.count, count);
    }
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(key_table_find(&table, i % 3 == 0 ? (uint64_t)i << 50 : i), is_in[i] ? i : KEY_NONE);
    assert_true(table.room >= table.count);
    key_table_done(&table);
}

static void test_empty(void **state)
{
    struct key_table table = {0};

    (void)state;
    assert_int_equal(key_table_find(&table, 0), KEY_NONE);
    key_table_add(&table, 0, 7);
    key_table_add(&table, UINT64_MAX, 8);
    assert_int_equal(key_table_find(&table, 0), 7);
    assert_int_equal(key_table_find(&table, UINT64_MAX), 8);
    key_table_done(&table);
    assert_int_equal(key_table_find(&table, 0), KEY_NONE);
    key_table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_an_array), cmocka_unit_test(test_empty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
