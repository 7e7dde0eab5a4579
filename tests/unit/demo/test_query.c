#include "demo/query.h"

static struct arena arena;

static void get_decodes(void **state)
{
    (void)state;
    slice q = SLICE("a=1&q=caf%C3%a9+and%20%2&empty=&q=second&plain");

    arena_init(&arena, NULL, 0, 0);
    assert_true(slice_eq(query_get(q, SLICE("q"), &arena), SLICE("caf\xc3\xa9 and %2")));
    assert_true(slice_eq(query_get(q, SLICE("a"), &arena), SLICE("1")));
    assert_non_null(query_get(q, SLICE("empty"), &arena).data);
    assert_int_equal(query_get(q, SLICE("empty"), &arena).len, 0);
    assert_null(query_get(q, SLICE("plain"), &arena).data); /* no '=' */
    assert_null(query_get(q, SLICE("mpty"), &arena).data);
    assert_null(query_get(SLICE(""), SLICE("q"), &arena).data);
    assert_true(slice_eq(query_get(SLICE("q=%"), SLICE("q"), &arena), SLICE("%")));
    assert_true(slice_eq(query_get(SLICE("q=%zz%4"), SLICE("q"), &arena), SLICE("%zz%4")));
    arena_done(&arena);
}

static void numbers_are_bounded(void **state)
{
    (void)state;
    uint64_t n = 0;

    arena_init(&arena, NULL, 0, 0);
    assert_true(query_get_number(SLICE("n=5"), SLICE("n"), &arena, 1, 9, 3, &n) && n == 5);
    assert_true(query_get_number(SLICE(""), SLICE("n"), &arena, 1, 9, 3, &n) && n == 3);
    assert_false(query_get_number(SLICE("n=0"), SLICE("n"), &arena, 1, 9, 3, &n));
    assert_false(query_get_number(SLICE("n=10"), SLICE("n"), &arena, 1, 9, 3, &n));
    assert_false(query_get_number(SLICE("n=-1"), SLICE("n"), &arena, 0, 9, 3, &n));
    assert_false(query_get_number(SLICE("n="), SLICE("n"), &arena, 0, 9, 3, &n));
    arena_done(&arena);
}

static void html_is_escaped(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, 0);
    assert_true(slice_eq(html_escape(SLICE("<a href='\"&'>"), &arena), SLICE("&lt;a href=&#39;&quot;&amp;&#39;&gt;")));
    assert_true(slice_eq(html_escape(SLICE("a\0b\n"), &arena), SLICE("a\xef\xbf\xbd" "b\xef\xbf\xbd")));
    assert_non_null(html_escape(SLICE(""), &arena).data);
    arena_done(&arena);
    arena_init(&arena, NULL, 0, 64); /* memory ends */
    assert_null(html_escape(SLICE("\"\"\"\"\"\"\"\"\"\"\"\"\"\"\"\""), &arena).data);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_decodes),
        cmocka_unit_test(numbers_are_bounded),
        cmocka_unit_test(html_is_escaped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
