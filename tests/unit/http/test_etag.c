#include "help.h"
#include "http/etag.h"

static void single(void **state)
{
    struct etag a, b, none = {.opaque = SLICE_NONE};
    static const char *const bad[] = {"", "abc", "W/", "\"", "w/\"a\"", "W\"a\"", "\"a\"b", "\"a b\"", "\"a\"\"", "W/ \"a\"",
                                      "\"a", "\"\x7f\""};

    (void)state;
    assert_true(etag_parse(SLICE("\"a\\\""), &a));
    assert_slice(a.opaque, "\"a\\\"");
    assert_true(etag_parse(SLICE("W/\"a\\\""), &b));
    assert_true(etag_eq_weak(a, b));
    assert_false(etag_eq_strong(a, b));
    assert_false(etag_eq_strong(b, b));
    assert_true(etag_eq_strong(a, a));
    assert_false(etag_eq_weak(none, none));
    assert_true(etag_parse(SLICE("\"\""), &a));
    assert_true(etag_parse(SLICE("\"\xfc\""), &a));
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(etag_parse(slice_str(bad[i]), &a));
}

static bool matches(const char *lines, const char *tag, bool strong)
{
    struct fields fields = fields_from(lines);
    struct etag parsed = {.opaque = SLICE_NONE};

    if (tag != NULL)
        assert_true(etag_parse(slice_str(tag), &parsed));
    return etag_list_matches(&fields, F_IF_NONE_MATCH, parsed, strong);
}

static void lists(void **state)
{
    (void)state;
    assert_true(matches("If-None-Match: \"1\", \"a\" ,W/\"5\"\r\n", "\"a\"", true));
    assert_true(matches("If-None-Match: \"1\"\r\nIf-None-Match: \"a,b\"\r\n", "\"a,b\"", true));
    assert_true(matches("If-None-Match: ,, W/\"5\"\r\n", "\"5\"", false));
    assert_false(matches("If-None-Match: W/\"5\"\r\n", "\"5\"", true));
    assert_true(matches("If-None-Match: *\r\n", NULL, true));
    assert_false(matches("If-None-Match: \"*\"\r\n", NULL, true));
    assert_true(matches("If-None-Match: a, \"b\"x, \"c\"\r\n", "\"c\"", true));
    assert_false(matches("If-None-Match: a, \"b\"x, \"c\"\r\n", "\"b\"", true));
    assert_true(matches("If-None-Match: \"a\\\", \"b\"\r\n", "\"b\"", true));
    assert_false(matches("If-None-Match: \"a, \"b\"\r\n", "\"a\"", true));
    assert_false(matches("", "\"a\"", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(single), TEST(lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
