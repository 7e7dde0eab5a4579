/* Query parameters: kept, dropped, sorted. */
#include "tenant/query.h"

static void test_pairs(void **state)
{
    slice list = SLICE("a=1; b;c=x=y; ;=z"), name, value;
    static const char *const names[] = {"a", "b", "c", "", ""}, *const values[] = {"1", "", "x=y", "", "z"};
    (void)state;

    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        assert_true(pair_next(&list, ';', &name, &value));
        assert_true(slice_eq(name, slice_str(names[i])));
        assert_true(slice_eq(value, slice_str(values[i])));
    }
    assert_false(pair_next(&list, ';', &name, &value));
}

static void test_tokens(void **state)
{
    (void)state;
    assert_true(token_matches(SLICE("id"), SLICE("id")));
    assert_false(token_matches(SLICE("id"), SLICE("idx")));
    assert_true(token_matches(SLICE("utm_*"), SLICE("utm_source")));
    assert_true(token_matches(SLICE("utm_*"), SLICE("utm_")));
    assert_false(token_matches(SLICE("utm_*"), SLICE("utm")));
    assert_true(token_matches(SLICE("*"), SLICE("")));
}

static slice drop[] = {{"utm_*", 5}, {"fbclid", 6}}, keep[] = {{"id", 2}, {"q", 1}};

static void test_rewriting(void **state)
{
    const struct conf_key dropping = {.query_drop = {drop, 2}}, keeping = {.query_keep = {keep, 2}}, sorting = {.query_sort = true},
                          both = {.query_keep = {keep, 2}, .query_sort = true}, nothing = {0};
    const struct {
        const struct conf_key *key;
        const char *target, *rewritten;
    } cases[] = {
        {&nothing, "/a?b=1", "/a?b=1"},
        {&dropping, "/a", "/a"},
        {&dropping, "/a?utm_source=x&id=1&fbclid=y", "/a?id=1"},
        {&dropping, "/a?utm_source=x", "/a"},
        {&dropping, "/a?id=1", "/a?id=1"},
        {&dropping, "/a?", "/a"},
        {&dropping, "/a?utm%5Fsource=x", "/a?utm%5Fsource=x"}, /* another name */
        {&keeping, "/a?x=1&q=2&q=3&id", "/a?q=2&q=3&id"},
        {&keeping, "/a?x=1", "/a"},
        {&sorting, "/a?b=2&a=1&b=1&aa=3", "/a?a=1&aa=3&b=2&b=1"},
        {&sorting, "/a?b=2?c", "/a?b=2?c"},
        {&sorting, "/a?&", "/a?"},
        {&both, "/a?q=1&z=2&id=3", "/a?id=3&q=1"},
    };
    struct arena arena;
    (void)state;

    arena_init(&arena, NULL, 0, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        slice got = query_rewrite(&arena, slice_str(cases[i].target), cases[i].key);
        if (!slice_eq(got, slice_str(cases[i].rewritten)))
            fail_msg("%s: %.*s, not %s", cases[i].target, SLICE_ARG(got), cases[i].rewritten);
    }
    arena_done(&arena);
}

static void test_what_does_not_change_is_not_copied(void **state)
{
    const struct conf_key key = {.query_drop = {drop, 2}, .query_sort = true};
    slice target = SLICE("/a?a=1&b=2");
    struct arena arena;
    (void)state;

    arena_init(&arena, NULL, 0, 0);
    assert_ptr_equal(query_rewrite(&arena, target, &key).data, target.data);
    arena_done(&arena);
}

static void test_too_many_to_sort(void **state)
{
    const struct conf_key key = {.query_sort = true};
    char target[2 * (QUERY_SORT_MAX + 1) + 2], *at = target;
    struct arena arena;
    slice got;
    (void)state;

    *at++ = '/';
    for (unsigned i = 0; i <= QUERY_SORT_MAX; i++) {
        *at++ = i == 0 ? '?' : '&';
        *at++ = i == 0 ? 'z' : 'a';
    }
    arena_init(&arena, NULL, 0, 0);
    got = query_rewrite(&arena, slice_of(target, (size_t)(at - target)), &key);
    assert_true(slice_eq(got, slice_of(target, (size_t)(at - target))));
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_rewriting),
        cmocka_unit_test(test_what_does_not_change_is_not_copied),
        cmocka_unit_test(test_too_many_to_sort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
