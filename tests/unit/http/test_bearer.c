#include "http/bearer.h"

static bool matches(const char *value, const char *token)
{
    struct fields fields;
    struct arena arena;
    bool result;

    arena_init(&arena, NULL, 0, 0);
    fields_init(&fields, &arena);
    if (value != NULL)
        assert_true(err_is_ok(fields_add(&fields, F_AUTHORIZATION, slice_str(value))));
    result = bearer_matches(&fields, slice_str(token));
    arena_done(&arena);
    return result;
}

static void only_the_token(void **state)
{
    (void)state;
    assert_true(matches("Bearer secret", "secret"));
    assert_true(matches("bearer   secret", "secret"));
    assert_false(matches("Bearer secre", "secret"));
    assert_false(matches("Bearer secrets", "secret"));
    assert_false(matches("Bearer secretsecret", "secret"));
    assert_false(matches("Bearer", "secret"));
    assert_false(matches("Basic secret", "secret"));
    assert_false(matches("Bearersecret", "secret"));
    assert_false(matches(NULL, "secret"));
    assert_false(matches("Bearer x", ""));
}

static void what_was_sent(void **state)
{
    (void)state;
    assert_true(bearer_is(SLICE("x"), SLICE("x")));
    assert_false(bearer_is(SLICE(""), SLICE("x")));
    assert_false(bearer_is(SLICE("x"), SLICE("")));
    assert_false(bearer_is(SLICE_NONE, SLICE("")));
    assert_false(bearer_is(SLICE_NONE, SLICE("x")));
}

static void two_lines_are_none(void **state)
{
    struct fields fields;
    struct arena arena;

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    fields_init(&fields, &arena);
    assert_true(err_is_ok(fields_add(&fields, F_AUTHORIZATION, SLICE("Bearer secret"))));
    assert_true(err_is_ok(fields_add(&fields, F_AUTHORIZATION, SLICE("Bearer other"))));
    assert_false(bearer_matches(&fields, SLICE("secret")));
    assert_null(bearer_of(&fields).data);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(only_the_token), cmocka_unit_test(two_lines_are_none), cmocka_unit_test(what_was_sent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
