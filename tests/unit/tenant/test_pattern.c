/* Patterns, paths as rules see them, ranges of addresses. */
#include "tenant/pattern.h"

#define YES true
#define NO  false

static struct pattern_steps steps;

static bool value_is_matched(slice pattern, slice text)
{
    steps = (struct pattern_steps){.left = 1000000};
    return pattern_matches(pattern, text, &steps) && !steps.are_over;
}

static bool path_is_matched(slice pattern, slice path)
{
    steps = (struct pattern_steps){.left = 1000000};
    return path_matches(pattern, path, &steps) && !steps.are_over;
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"", "", YES},        {"", "a", NO},         {"*", "", YES},         {"*", "any/thing", YES}, {"a", "a", YES},
        {"a", "b", NO},       {"a*", "a", YES},      {"a*", "abc", YES},     {"a*c", "abc", YES},     {"a*c", "ab", NO},
        {"*json*", "application/json; q=1", YES},    {"*json*", "text/html", NO},
        {"*a*b*", "xxaxxbxx", YES},                  {"*a*b", "xaxbxa", NO}, {"*aab", "aaaaab", YES},
        {"a**b", "ab", YES},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (value_is_matched(slice_str(cases[i].pattern), slice_str(cases[i].text)) != cases[i].matches)
            fail_msg("\"%s\" and \"%s\"", cases[i].pattern, cases[i].text);
}

static void test_paths(void **state)
{
    static const struct {
        const char *pattern, *path;
        bool matches;
    } cases[] = {
        {"/", "/", YES},
        {"/", "/a", NO},
        {"/a", "/ab", NO},
        {"/**", "/", YES},
        {"/**", "/a/b/c", YES},
        {"/static/**", "/static/", YES},
        {"/static/**", "/static/a/b.css", YES},
        {"/static/**", "/static", NO},
        {"/static/**", "/stati", NO},
        {"/*", "/a", YES},
        {"/*", "/a/b", NO},
        {"/*/b", "/a/b", YES},
        {"/*/b", "/a/c/b", NO},
        {"/**/b", "/a/c/b", YES},
        {"/**/b", "/b", NO},
        {"/**b", "/b", YES},
        {"/**.css", "/a/b/x.css", YES},
        {"/**.css", "/a/b/x.css/y", NO},
        {"/*.css", "/a/x.css", NO},
        {"/*.css", "/x.css", YES},
        {"/**/*.js", "/a/b/c.js", YES},
        {"/**/*.js", "/a/b/c.js/d", NO},
        {"/a*/b*", "/ax/by", YES},
        {"/a*/b*", "/ax/c/by", NO},
        {"/**/v*/**/x", "/api/v1/q/r/x", YES},
        {"/**/v*/**/x", "/api/v1/q/r/y", NO},
        {"/a***b", "/a/x/b", YES},
        {"/ab**ba", "/aba", NO}, /* head and tail do not share bytes */
        {"/ab*ba", "/abba", YES},
        {"/ab*ba", "/ab/ba", NO},
        {"/a*b", "/ab", YES},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (path_is_matched(slice_str(cases[i].pattern), slice_str(cases[i].path)) != cases[i].matches)
            fail_msg("\"%s\" and \"%s\"", cases[i].pattern, cases[i].path);
}

/* As many stars as a pattern has, against a long path that nearly matches: places are counted, not ways. */
static void test_a_hostile_path_ends(void **state)
{
    char pattern[CONF_PATTERN_MAX + 1] = "/", path[8192];
    size_t len = 1;
    (void)state;

    for (unsigned i = 0; i < CONF_STARS_MAX; i++, len += 30)
        memcpy(pattern + len, "**aaaaaaaaaaaaaaaaaaaaaaaaaaaa", 30);
    assert_true(len <= CONF_PATTERN_MAX);
    memcpy(pattern + len - 4, "b**a", 4);
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    steps = (struct pattern_steps){.left = 10000000};
    assert_false(path_matches(slice_of(pattern, len), slice_of(path, sizeof(path)), &steps));
    assert_false(steps.are_over);
    assert_true(10000000 - steps.left > sizeof(path) && 10000000 - steps.left < sizeof(path) * len);
    path[sizeof(path) - 2] = 'b';
    steps = (struct pattern_steps){.left = 10000000};
    assert_true(path_matches(slice_of(pattern, len), slice_of(path, sizeof(path)), &steps));
}

/* Whoever runs out of steps knows nothing: that is said, and stays said. */
static void test_steps_end(void **state)
{
    char path[4096];
    (void)state;

    memset(path, 'a', sizeof(path));
    path[0] = '/';
    steps = (struct pattern_steps){.left = 1000};
    assert_false(path_matches(SLICE("/**a*b**"), slice_of(path, sizeof(path)), &steps));
    assert_true(steps.are_over && steps.left == 0);
    assert_false(path_matches(SLICE("/"), SLICE("/"), &steps));
    assert_true(steps.are_over);
    steps = (struct pattern_steps){.left = 1000};
    assert_false(pattern_matches(SLICE("*a*b"), slice_of(path, sizeof(path)), &steps));
    assert_true(steps.are_over);
    steps = (struct pattern_steps){.left = 5};
    assert_true(pattern_step(&steps, 5));
    assert_false(steps.are_over);
    assert_false(pattern_step(&steps, 1));
}

/* What sites write costs a step or a few, however long the path. */
static void test_what_sites_write_is_cheap(void **state)
{
    static const char *const patterns[] = {"/static/**", "/**.css", "/**", "/*.css", "/exact", "/img/*/x.jpg", "/a*b"};
    char path[4096];
    (void)state;

    memset(path, 'a', sizeof(path));
    path[0] = '/';
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++) {
        steps = (struct pattern_steps){.left = 1000};
        path_matches(slice_str(patterns[i]), slice_of(path, sizeof(path)), &steps);
        if (steps.left < 900)
            fail_msg("%s took %u", patterns[i], 1000 - steps.left);
    }
}

static void test_paths_as_rules_see_them(void **state)
{
    static const struct {
        const char *target, *path;
    } cases[] = {
        {"/", "/"},
        {"/a?b=/../c", "/a"},
        {"/%61dmin", "/admin"},
        {"/%7Euser", "/~user"},
        {"/%2f%2e%2e%2fx", "/x"}, /* as origins read it that decode first */
        {"/a%20b%e4", "/a%20b%E4"},
        {"/%2561dmin", "/%61dmin"}, /* once */
        {"/a%", "/a%"},
        {"/a%4", "/a%4"},
        {"/a%zz", "/a%zz"},
        {"//admin", "/admin"},
        {"/a//b///c", "/a/b/c"},
        {"/a/./b", "/a/b"},
        {"/a/../b", "/b"},
        {"/a/b/..", "/a/"},
        {"/a/.", "/a/"},
        {"/../../a", "/a"},
        {"/..", "/"},
        {"/%2e%2e/a", "/a"},
        {"/static/%2e%2e/admin", "/admin"},
        {"/a/...", "/a/..."},
        {"/.well-known/x", "/.well-known/x"},
        {"/a/", "/a/"},
        {"/a//", "/a/"},
        {"*", "*"},
    };
    struct arena arena;
    (void)state;

    arena_init(&arena, NULL, 0, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        slice path = path_of_target(&arena, slice_str(cases[i].target));
        if (!slice_eq(path, slice_str(cases[i].path)))
            fail_msg("%s: %.*s, not %s", cases[i].target, SLICE_ARG(path), cases[i].path);
    }
    arena_done(&arena);
}

static void test_ranges(void **state)
{
    struct conf_range ten = {.address = {[10] = 0xff, [11] = 0xff, [12] = 10}, .bits = 96 + 8};
    struct conf_range seven = {.address = {0x20, 0x01, 0x0d, 0xb8, 0x80}, .bits = 33}, all = {.bits = 0};
    uint8_t inside[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 200}, outside[16] = {[10] = 0xff, [11] = 0xff, [12] = 11};
    uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, 0xff}, other[16] = {0x20, 0x01, 0x0d, 0xb8, 0x7f};
    (void)state;

    assert_true(range_holds(&ten, inside));
    assert_false(range_holds(&ten, outside));
    assert_false(range_holds(&ten, six));
    assert_true(range_holds(&seven, six));
    assert_false(range_holds(&seven, other));
    assert_true(range_holds(&all, six) && range_holds(&all, inside));
    ten = (struct conf_range){.bits = 128};
    memcpy(ten.address, inside, 16);
    assert_true(range_holds(&ten, inside));
    assert_false(range_holds(&ten, outside));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_a_hostile_path_ends),
        cmocka_unit_test(test_steps_end),
        cmocka_unit_test(test_what_sites_write_is_cheap),
        cmocka_unit_test(test_paths_as_rules_see_them),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
