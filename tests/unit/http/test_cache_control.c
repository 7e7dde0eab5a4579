#include "help.h"
#include <stdio.h>
#include "http/cache_control.h"

static struct cache_control read_cc(const char *lines)
{
    struct fields fields = fields_from(lines);
    struct cache_control cc;
    cache_control_read(&fields, F_CACHE_CONTROL, &cc);
    return cc;
}

/* The rows of the public suite's cc-parse and cc-freshness. */
static void max_age(void **state)
{
    static const struct {
        const char *value;
        int32_t want;
    } rows[] = {
        {"max-age=3600", 3600}, {"max-age=\"3600\"", 3600}, {"max-age='3600'", 0}, {"max-age=003600", 3600},
        {"extension=\"max-age=3600\", max-age=1", 1}, {"max-age=1, extension=\"max-age=3600\"", 1},
        {"extension=\"max-age=3600\", max-age=\"1\"", 1}, {"max-age=\"1\", extension=\"max-age=3600\"", 1},
        {"max-age=3600.0", 0}, {"max-age =3600", 0}, {"max-age= 3600", 0}, {"max-age=a3600", 0}, {"max-age=3600a", 0},
        {"max-age=3600, max-age=1800", 1800}, {"max-age=1, max-age=1800", 1}, {"max-age", 0}, {"max-age=", 0},
        {"max-age=-3600", 0}, {"max-age=2147483648", INT32_MAX}, {"max-age=99999999999999999999999", INT32_MAX},
        {"MaX-aGe=3600", 3600}, {"foobar, max-age=3600", 3600}, {"xmax-age=5", -1}, {"\"max-age=5\"", -1},
        {",,max-age=5,,", 5}, {"max-age=5;x", 0}, {"max-age=3600\r\nCache-Control: max-age=60", 60},
    };
    char line[256];

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        snprintf(line, sizeof(line), "Cache-Control: %s\r\n", rows[i].value);
        if (read_cc(line).max_age_s != rows[i].want)
            fail_msg("%s: %d", rows[i].value, read_cc(line).max_age_s);
    }
}

static void directives(void **state)
{
    struct cache_control cc = read_cc("Cache-Control: No-Store, PUBLIC, s-maxage=7, must-revalidate, proxy-revalidate\r\n"
                                      "cache-control: immutable, no-transform, stale-while-revalidate=8, stale-if-error=9\r\n"
                                      "Cache-Control: only-if-cached, min-fresh=3, max-stale, must-understand\r\n");
    (void)state;
    assert_true(cc.valid && cc.no_store && cc.is_public && cc.must_revalidate && cc.proxy_revalidate);
    assert_true(cc.immutable && cc.no_transform && cc.only_if_cached && cc.must_understand);
    assert_false(cc.no_cache || cc.is_private);
    assert_int_equal(cc.s_maxage_s, 7);
    assert_int_equal(cc.stale_while_revalidate_s, 8);
    assert_int_equal(cc.stale_if_error_s, 9);
    assert_int_equal(cc.min_fresh_s, 3);
    assert_int_equal(cc.max_stale_s, CC_SECONDS_MAX);
    assert_int_equal(cc.max_age_s, CC_ABSENT);
    assert_false(read_cc("").valid);
    assert_int_equal(read_cc("Cache-Control: max-stale=x\r\n").max_stale_s, 0);
    assert_int_equal(read_cc("Cache-Control: min-fresh=1, min-fresh=9\r\n").min_fresh_s, 9);
}

static void qualified(void **state)
{
    struct cache_control cc = read_cc("Cache-Control: no-cache=\"Set-Cookie, x\", private=\"y\"\r\n");
    (void)state;
    assert_true(cc.no_cache && cc.no_cache_has_fields && cc.is_private && cc.is_private_has_fields);
    cc = read_cc("Cache-Control: no-cache=\"a\", no-cache\r\n");
    assert_true(cc.no_cache && !cc.no_cache_has_fields);
    cc = read_cc("Cache-Control: private, private=\"a\"\r\n");
    assert_true(cc.is_private && !cc.is_private_has_fields);
    cc = read_cc("Cache-Control: private=\"\", no-cache=\r\n");
    assert_true(cc.is_private && !cc.is_private_has_fields && cc.no_cache && !cc.no_cache_has_fields);
}

static void hostile(void **state)
{
    struct cache_control cc = read_cc("Cache-Control: a=\"x, no-store, max-age=5\r\n");
    (void)state;
    assert_true(cc.no_store); /* an open quotation mark hides nothing */
    assert_true(read_cc("Cache-Control: no-store=1\r\n").no_store);
    assert_true(read_cc("Cache-Control: no-store;x\r\n").no_store);
    assert_false(read_cc("Cache-Control: public=1\r\n").is_public);
    assert_false(read_cc("Cache-Control: \"no-store\"\r\n").no_store);
    assert_false(read_cc("Cache-Control: xno-store, no-storex\r\n").no_store);
}

static struct cache_control read_cdn(const char *lines)
{
    struct fields fields = fields_from(lines);
    struct cache_control cc;
    assert_true(err_is_ok(cache_control_read_targeted(&fields, F_CDN_CACHE_CONTROL, &test_arena, &cc)));
    return cc;
}

static void targeted(void **state)
{
    struct cache_control cc = read_cdn("CDN-Cache-Control: max-age=60;x=y, no-store\r\nCDN-Cache-Control: max-age=5\r\n");
    (void)state;
    assert_true(cc.valid && cc.no_store);
    assert_int_equal(cc.max_age_s, 5);
    assert_false(read_cdn("CDN-Cache-Control: max-age=60, &\r\n").valid);
    assert_false(read_cdn("CDN-Cache-Control: MAX-AGE=60\r\n").valid);
    assert_false(read_cdn("CDN-Cache-Control: \r\n").valid);
    assert_false(read_cdn("").valid);
    assert_int_equal(read_cdn("CDN-Cache-Control: max-age=60,\r\n").max_age_s, CC_ABSENT);
    assert_int_equal(read_cdn("CDN-Cache-Control: max-age=99999999999\r\n").max_age_s, INT32_MAX);
    assert_int_equal(read_cdn("CDN-Cache-Control: max-age=\"60\"\r\n").max_age_s, 0);
    assert_int_equal(read_cdn("CDN-Cache-Control: max-age=-1\r\n").max_age_s, 0);
    assert_true(read_cdn("CDN-Cache-Control: no-store=a\r\n").no_store);
    assert_false(read_cdn("CDN-Cache-Control: no-store=?0\r\n").no_store);
    assert_false(read_cdn("CDN-Cache-Control: public=a\r\n").is_public);
    assert_true(read_cdn("CDN-Cache-Control: private=\"a\"\r\n").is_private_has_fields);
}

static struct cache_control read_surrogate(const char *lines)
{
    struct fields fields = fields_from(lines);
    struct cache_control cc;
    surrogate_control_read(&fields, SLICE("warp"), &cc);
    return cc;
}

static void surrogate(void **state)
{
    struct cache_control cc = read_surrogate("Surrogate-Control: max-age=60+30, content=\"ESI/1.0\"\r\n");
    (void)state;
    assert_true(cc.valid);
    assert_int_equal(cc.max_age_s, 60);
    assert_int_equal(cc.stale_while_revalidate_s, 30);
    assert_int_equal(cc.stale_if_error_s, 30);
    assert_int_equal(read_surrogate("Surrogate-Control: MaX-aGe=3600\r\n").max_age_s, 3600);
    assert_int_equal(read_surrogate("Surrogate-Control: max-age=3600;warp\r\n").max_age_s, 3600);
    assert_false(read_surrogate("Surrogate-Control: max-age=3600;not-for-you\r\n").valid);
    assert_int_equal(read_surrogate("Surrogate-Control: max-age =100\r\n").max_age_s, 0);
    assert_int_equal(read_surrogate("Surrogate-Control: max-age=1+x\r\n").max_age_s, 0);
    assert_true(read_surrogate("Surrogate-Control: no-store\r\n").no_store);
    assert_true(read_surrogate("Surrogate-Control: no-store-remote\r\n").no_store_remote);
    assert_false(read_surrogate("Surrogate-Control: no-store-remote\r\n").no_store);
}

static void pragma(void **state)
{
    struct fields fields;
    (void)state;
    fields = fields_from("Pragma: x, No-Cache\r\n");
    assert_true(pragma_no_cache(&fields));
    fields = fields_from("Pragma: no-cachex\r\n");
    assert_false(pragma_no_cache(&fields));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(max_age), TEST(directives), TEST(qualified), TEST(hostile), TEST(targeted),
                                       TEST(surrogate), TEST(pragma)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
