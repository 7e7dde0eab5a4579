#include "origin/group.h"
#include "origin/origin.h"

#define SECOND UINT64_C(1000000000)

static void expect_origin(const char *text, const char *host, uint16_t port, bool https, bool is_address)
{
    struct origin origin;
    const char *why = NULL;

    if (!err_is_ok(origin_parse(slice_str(text), &origin, &why)))
        fail_msg("%s: %s", text, why);
    assert_true(slice_eq(origin.host, slice_str(host)));
    assert_int_equal(origin.port, port);
    assert_int_equal(origin.https, https);
    assert_int_equal(origin.address.len != 0, is_address);
}

static void test_parse_good(void **state)
{
    (void)state;
    expect_origin("http://example.com:8080", "example.com", 8080, false, false);
    expect_origin("https://example.com", "example.com", 443, true, false);
    expect_origin("http://example.com/", "example.com", 80, false, false);
    expect_origin("localhost:3000", "localhost", 3000, false, false);
    expect_origin("my_service-1", "my_service-1", 80, false, false);
    expect_origin("10.0.0.1:81", "10.0.0.1", 81, false, true);
    expect_origin("http://[2001:db8::1]:8443", "2001:db8::1", 8443, false, true);
    expect_origin("https://[::1]", "::1", 443, true, true);
    expect_origin("h2c://10.0.0.1:81", "10.0.0.1", 81, false, true);
    expect_origin("a:65535", "a", 65535, false, false);
}

static void test_parse_bad(void **state)
{
    static const char *const bad[] = {
        "", "http://", "https:///", "ftp://example.com", "h2c://", "h2c:///x", "h2://example.com", "HTTP://example.com", "http://example.com/path", "http://example.com//",
        "http://example.com?x", "http://user@example.com", "http://a:b@example.com", "example.com:", "example.com:0",
        "example.com:65536", "example.com:-1", "example.com:80x", "example.com: 80", ":80", "::1", "[::1", "[]:80", "[::1]x",
        "[::1]:", "exa mple.com", "example.com\r\nHost: x", "ex\xc3\xa4mple.com", "[example.com]:80", "[10.0.0.1]", "[::g]",
        "unix:/run/x",
    };
    struct origin origin;
    const char *why;
    char longest[ORIGIN_NAME_MAX + 1];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        why = NULL;
        if (err_is_ok(origin_parse(slice_str(bad[i]), &origin, &why)))
            fail_msg("taken: %s", bad[i]);
        assert_non_null(why);
    }
    assert_false(err_is_ok(origin_parse(slice_of("a\0b", 3), &origin, &why)));
    memset(longest, 'a', sizeof(longest));
    assert_true(err_is_ok(origin_parse(slice_of(longest, ORIGIN_NAME_MAX - 1), &origin, &why)));
    assert_false(err_is_ok(origin_parse(slice_of(longest, ORIGIN_NAME_MAX), &origin, &why)));
}

static struct origin_group *group_of(unsigned count)
{
    static const slice urls[] = {{"10.0.0.1", 8}, {"10.0.0.2", 8}, {"10.0.0.3", 8}};
    struct origin_group_config config = {.urls = urls, .count = count, .host_override = SLICE("origin.example")};
    struct origin_group *group = NULL;
    char why[256];

    assert_true(err_is_ok(origin_group_new(&config, why, sizeof(why), &group)));
    return group;
}

static bool group_made(const slice *urls, unsigned count, char why[256], struct origin_group **ret_group)
{
    struct origin_group_config config = {.urls = urls, .count = count};

    return err_is_ok(origin_group_new(&config, why, 256, ret_group));
}

static void test_group(void **state)
{
    static slice many[ORIGINS_MAX + 1];
    slice broken[] = {SLICE("10.0.0.1"), SLICE("x/y")};
    struct origin_group *group = group_of(2);
    char why[256];

    (void)state;
    assert_int_equal(group->count, 2);
    assert_string_equal(group->host_override, "origin.example");
    group = origin_group_unref(group);
    for (unsigned i = 0; i < ARRAY_LEN(many); i++)
        many[i] = SLICE("10.0.0.1");
    assert_false(group_made(many, ORIGINS_MAX + 1, why, &group));
    assert_string_equal(why, "from 1 to 64 origins can be named");
    assert_true(group_made(many, ORIGINS_MAX, why, &group));
    group = origin_group_unref(group);
    assert_false(group_made(many, 0, why, &group));
    assert_false(group_made(broken, 2, why, &group));
    assert_string_equal(why, "origin x/y: write http://host:port, https://host, h2c://host:port or host:port");
    /* sets share it; with the last one it is retired, whoever still holds it */
    group = group_of(1);
    origin_group_share(group);
    origin_group_ref(group);
    origin_group_leave(group);
    assert_false(group->is_retired);
    origin_group_leave(group);
    assert_true(group->is_retired);
    group = origin_group_unref(group);
    assert_null(origin_group_leave(NULL));
    assert_null(origin_group_unref(NULL));
}

static void test_round_robin(void **state)
{
    struct origin_group *group = group_of(3);
    unsigned counts[3] = {0};

    (void)state;
    for (unsigned i = 0; i < 30; i++)
        counts[origin_pick(group, 0, SECOND) - group->origins]++;
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(counts[i], 10);
    for (unsigned i = 0; i < 10; i++) { /* what was tried is not picked again */
        assert_ptr_equal(origin_pick(group, 5, SECOND), &group->origins[1]);
        assert_null(origin_pick(group, 7, SECOND));
    }
    origin_group_unref(group);
}

static void test_one_down_is_skipped(void **state)
{
    struct origin_group *group = group_of(3);
    struct origin *down = &group->origins[1];

    (void)state;
    origin_connect_failed(down, 10 * SECOND, "test");
    assert_false(origin_is_healthy(down, 10 * SECOND));
    for (unsigned i = 0; i < 30; i++)
        assert_ptr_not_equal(origin_pick(group, 0, 10 * SECOND + SECOND / 2), down);
    assert_true(origin_is_healthy(down, 11 * SECOND)); /* a second later it gets a chance */
    bool picked = false;
    for (unsigned i = 0; i < 3; i++)
        picked |= origin_pick(group, 0, 11 * SECOND) == down;
    assert_true(picked);
    origin_group_unref(group);
}

static void test_back_off(void **state)
{
    static const unsigned pauses_s[] = {1, 2, 4, 8, 16, 30, 30, 30};
    struct origin_group *group = group_of(1);
    struct origin *origin = group->origins;
    uint64_t now = 5 * SECOND;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(pauses_s); i++) {
        origin_connect_failed(origin, now, "test");
        assert_false(origin_is_healthy(origin, now + pauses_s[i] * SECOND - 1));
        assert_true(origin_is_healthy(origin, now + pauses_s[i] * SECOND));
        now += 100 * SECOND;
    }
    for (unsigned i = 0; i < 200; i++) { /* no shift wraps */
        origin_connect_failed(origin, now, "test");
        assert_true(origin_is_healthy(origin, now + 30 * SECOND));
        assert_false(origin_is_healthy(origin, now + 30 * SECOND - 1));
    }
    origin_connected(origin);
    assert_true(origin_is_healthy(origin, now));
    origin_connect_failed(origin, now, "test"); /* from the beginning */
    assert_true(origin_is_healthy(origin, now + SECOND));
    origin_group_unref(group);
}

static void test_the_last_one_is_never_skipped(void **state)
{
    struct origin_group *group = group_of(3);

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        origin_connect_failed(&group->origins[i], SECOND, "test");
    assert_non_null(origin_pick(group, 0, SECOND));
    assert_ptr_equal(origin_pick(group, 3, SECOND), &group->origins[2]);
    assert_null(origin_pick(group, 7, SECOND));
    origin_group_unref(group);
    group = group_of(1);
    origin_connect_failed(group->origins, SECOND, "test");
    assert_ptr_equal(origin_pick(group, 0, SECOND), group->origins);
    origin_group_unref(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_good),
        cmocka_unit_test(test_parse_bad),
        cmocka_unit_test(test_group),
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_one_down_is_skipped),
        cmocka_unit_test(test_back_off),
        cmocka_unit_test(test_the_last_one_is_never_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
