#include "cache_test.h"

static struct freshness fresh(unsigned status, const char *text)
{
    struct response response = response_of(status, text);
    struct freshness freshness;
    freshness_of(&response, T0_MS, T0_MS, NULL, &freshness);
    return freshness;
}

static bool is_fresh(const char *text)
{
    struct freshness f = fresh(200, text);
    return f.lifetime_s > freshness_current_age(f.initial_age_s, T0_MS, T0_MS + 1000);
}

static void the_more_targeted_field_decides(void **state)
{
    (void)state;
    struct freshness f = fresh(200, "Cache-Control: max-age=1\nSurrogate-Control: max-age=2\nCDN-Cache-Control: max-age=3\n"
                                    "Warp-Cache-Control: max-age=4");
    assert_int_equal(f.source, FRESHNESS_WARP_CACHE_CONTROL);
    assert_int_equal(f.lifetime_s, 4);
    f = fresh(200, "Cache-Control: no-store\nCDN-Cache-Control: max-age=3\nSurrogate-Control: max-age=2");
    assert_int_equal(f.source, FRESHNESS_CDN_CACHE_CONTROL);
    assert_false(f.flags & CONTROL_NO_STORE);
    f = fresh(200, "Cache-Control: max-age=9\nCDN-Cache-Control: max-age=;;"); /* does not parse: as if absent */
    assert_int_equal(f.source, FRESHNESS_MAX_AGE);
    f = fresh(200, "Cache-Control: max-age=9\nSurrogate-Control: content=\"ESI/1.0\"");
    assert_int_equal(f.lifetime_s, 9);
    f = fresh(200, "Cache-Control: max-age=9\nSurrogate-Control: no-store");
    assert_true(f.flags & CONTROL_NO_STORE);
    f = fresh(200, "Surrogate-Control: max-age=3600;warp");
    assert_int_equal(f.lifetime_s, 3600);
    assert_int_equal(fresh(200, "Surrogate-Control: max-age=3600;other").source, FRESHNESS_NONE);
}

static void cache_control_outranks_expires(void **state)
{
    (void)state;
    assert_true(is_fresh(head("Cache-Control: max-age=3600", dated("Expires", -7200), dated("Date", 0), NULL)));
    assert_true(is_fresh(head("Cache-Control: max-age=3600", "Expires: 0", dated("Date", 0), NULL)));
    assert_false(is_fresh(head("Cache-Control: max-age=0", dated("Expires", 7200), dated("Date", 0), NULL)));
    assert_true(is_fresh("Cache-Control: max-age=1, s-maxage=3600"));
    assert_false(is_fresh("Cache-Control: max-age=3600, s-maxage=1"));
    assert_true(is_fresh("Cache-Control: max-age=99999999999"));
    assert_false(is_fresh("Cache-Control: max-age=-3600"));
    assert_true(is_fresh("Cache-Control: foobar, MaX-aGe=003600"));
    assert_false(is_fresh("Cache-Control: extension=\"max-age=3600\", max-age=1"));
}

static void expires_is_measured_from_date(void **state)
{
    (void)state;
    assert_true(is_fresh(head(dated("Expires", 3600), dated("Date", 0), NULL, NULL)));
    assert_false(is_fresh(head(dated("Expires", 0), dated("Date", 0), NULL, NULL)));
    assert_false(is_fresh(head(dated("Expires", 300), dated("Date", 400), NULL, NULL)));
    assert_false(is_fresh(head("Expires: 0", dated("Date", 0), NULL, NULL)));
    assert_true(is_fresh(head(dated("Expires", 10), "Date: foo", NULL, NULL)));
    assert_false(is_fresh(head(dated("Expires", 3600), dated("Expires", 3600), dated("Date", 0), NULL)));
    assert_false(is_fresh(head(dated("Expires", 10), dated("Date", -10), "Age: 25", NULL)));
    assert_false(is_fresh(head(dated("Expires", 20), dated("Date", 10), "Age: 15", NULL)));
}

static void an_age_that_is_not_one_number_is_stale(void **state)
{
    (void)state;
    static const char *const bad[] = {"abc", "-7200", "7200.0", "7200,0", "0, 0", "3600, 3600", "7200;foo=bar", "", "0 0", "+1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char line[64];
        snprintf(line, sizeof(line), "Age: %s", bad[i]);
        assert_false(is_fresh(head(dated("Date", 0), "Cache-Control: max-age=10000", line, NULL)));
    }
    assert_false(is_fresh(head("Cache-Control: max-age=10000", "Age: 0", "Age: 0", NULL)));
    assert_true(is_fresh(head("Cache-Control: max-age=10000", "Age: 7200", NULL, NULL)));
    assert_false(is_fresh(head("Cache-Control: max-age=3600", "Age: 7200", NULL, NULL)));
    assert_int_equal(fresh(200, "Cache-Control: max-age=9\nAge: 99999999999999999999").initial_age_s, INT32_MAX);
}

static void age_counts_delay_and_apparent_age(void **state)
{
    (void)state;
    struct response response = response_of(200, head(dated("Date", -50), "Age: 60", NULL, NULL));
    struct freshness f;
    freshness_of(&response, T0_MS - 5000, T0_MS, NULL, &f);
    assert_int_equal(f.initial_age_s, 65);
    response = response_of(200, dated("Date", -100));
    freshness_of(&response, T0_MS - 5000, T0_MS, NULL, &f);
    assert_int_equal(f.initial_age_s, 100);
    freshness_of(&response, INT64_MAX, T0_MS, NULL, &f); /* a clock that went back */
    assert_int_equal(f.initial_age_s, 100);
    assert_int_equal(freshness_current_age(10, T0_MS, T0_MS - 99999), 10);
    assert_int_equal(freshness_current_age(10, T0_MS, T0_MS + 2999), 12);
    assert_int_equal(freshness_current_age(INT32_MAX, INT64_MIN, INT64_MAX), INT32_MAX);
}

static void heuristic_only_for_its_statuses(void **state)
{
    (void)state;
    const char *text = head(dated("Last-Modified", -86400), dated("Date", 0), NULL, NULL);
    static const unsigned yes[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};
    static const unsigned no[] = {201, 202, 302, 303, 307, 400, 403, 500, 502, 503, 504, 599};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        assert_int_equal(fresh(yes[i], text).lifetime_s, 8640);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        assert_int_equal(fresh(no[i], text).source, FRESHNESS_NONE);
    const char *with_public = head(text, "Cache-Control: public", NULL, NULL);
    assert_int_equal(fresh(599, with_public).source, FRESHNESS_HEURISTIC);
    assert_int_equal(fresh(200, head(dated("Last-Modified", -999999999), NULL, NULL, NULL)).lifetime_s, 86400);
    assert_int_equal(fresh(200, head(dated("Last-Modified", 10), dated("Date", 0), NULL, NULL)).source, FRESHNESS_NONE);
    assert_int_equal(fresh(200, head(text, "Pragma: no-cache", NULL, NULL)).source, FRESHNESS_NONE);
}

static void flags_and_windows(void **state)
{
    (void)state;
    struct freshness f = fresh(200, "Cache-Control: max-age=1, stale-while-revalidate=5, stale-if-error=7, must-revalidate\nETag: W/\"a\"");
    assert_int_equal(f.swr_s, 5);
    assert_int_equal(f.sie_s, 7);
    assert_true(f.flags & CONTROL_MUST_REVALIDATE);
    assert_true((f.flags & CONTROL_ETAG) && !(f.flags & CONTROL_ETAG_STRONG));
    assert_false(fresh(200, "ETag: abc").flags & CONTROL_ETAG);
    assert_false(fresh(200, "Cache-Control: no-cache=\"a\"").flags & CONTROL_NO_CACHE);
    assert_true(fresh(200, "Cache-Control: no-cache=\"a\", no-cache").flags & CONTROL_NO_CACHE);
    struct response r = response_of(200, "Cache-Control: private=\"X-A, x-b\", max-age=5");
    struct control_names names;
    freshness_control_names(&r.fields, F_CACHE_CONTROL, &names);
    assert_true(control_names_has(&names, SLICE("x-B")));
    assert_false(control_names_has(&names, SLICE("max-age")));
    freshness_control_names(&r.fields, F_CDN_CACHE_CONTROL, &names);
    assert_int_equal(names.count, 0);
}

static void a_rule_fills_in_or_overrides(void **state)
{
    (void)state;
    struct freshness f;
    struct response bare = response_of(200, ""), said = response_of(200, "Cache-Control: max-age=1");
    freshness_of(&bare, T0_MS, T0_MS, &(struct freshness_rule){.ttl_s = 60}, &f);
    assert_int_equal(f.lifetime_s, 60);
    freshness_of(&said, T0_MS, T0_MS, &(struct freshness_rule){.ttl_s = 60}, &f);
    assert_int_equal(f.lifetime_s, 1);
    freshness_of(&said, T0_MS, T0_MS, &(struct freshness_rule){.ttl_s = 60, .override_ = true}, &f);
    assert_int_equal(f.source, FRESHNESS_RULE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(the_more_targeted_field_decides), TEST(cache_control_outranks_expires),
                                       TEST(expires_is_measured_from_date), TEST(an_age_that_is_not_one_number_is_stale),
                                       TEST(age_counts_delay_and_apparent_age), TEST(heuristic_only_for_its_statuses),
                                       TEST(flags_and_windows), TEST(a_rule_fills_in_or_overrides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
