#include "cache/reuse.h"

#include "cache_test.h"

static const struct stored *stored_of(const char *text)
{
    struct response response = response_of(200, text);
    struct freshness freshness;
    struct fields fields;
    const struct stored *stored;
    slice blob;
    freshness_of(&response, T0_MS, T0_MS, NULL, &freshness);
    OK(stored_build(&arena, &response, &freshness, T0_MS, T0_MS, 5, 0, &blob));
    OK(stored_view(blob, &fields, &stored));
    return stored;
}

static struct reuse decide(const char *request_text, const char *response_text, int after_s, const struct reuse_policy *policy)
{
    struct request_control control;
    struct request request = request_of(METHOD_GET, request_text);
    request_control_of(&request.fields, &control);
    return reuse_decide(&control, stored_of(response_text), T0_MS + after_s * 1000ll, policy != NULL ? policy : &REUSE_POLICY_DEFAULT);
}

#define IS(request, response, after, word)                                                                   \
    assert_string_equal(reuse_verdict_word(decide(request, response, after, NULL).verdict), word)

static void fresh_and_stale(void **state)
{
    (void)state;
    struct reuse r = decide("", "Cache-Control: max-age=10\nAge: 2", 3, NULL);
    assert_int_equal(r.verdict, REUSE_FRESH);
    assert_int_equal(r.age_s, 5);
    assert_int_equal(r.ttl_s, 5);
    IS("", "Cache-Control: max-age=10", 9, "fresh");
    IS("", "Cache-Control: max-age=10", 10, "fetch");
    IS("", "Cache-Control: max-age=10\nETag: \"a\"", 10, "validate");
    IS("", "Cache-Control: no-cache, max-age=10\nETag: \"a\"", 0, "validate");
    IS("", "Cache-Control: max-age=10, stale-while-revalidate=5", 14, "stale-while-revalidate");
    IS("", "Cache-Control: max-age=10, stale-while-revalidate=5", 15, "fetch");
    IS("", "Cache-Control: max-age=10, stale-while-revalidate=5, must-revalidate", 12, "fetch");
    IS("", "Cache-Control: s-maxage=10, stale-while-revalidate=5", 12, "stale-while-revalidate");
    assert_string_equal(reuse_reason_fwd(decide("", "Cache-Control: max-age=1", 5, NULL).reason), "stale");
}

static void the_clients_words(void **state)
{
    (void)state;
    static const char *const words[] = {"Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: min-fresh=99", "Pragma: no-cache"};
    struct reuse_policy listens = REUSE_POLICY_DEFAULT;
    listens.honour_client_directives = true;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        IS(words[i], "Cache-Control: max-age=60", 5, "fresh");
        assert_int_equal(decide(words[i], "Cache-Control: max-age=60", 5, &listens).verdict, REUSE_FETCH);
    }
    assert_int_equal(decide("Cache-Control: max-stale=9", "Cache-Control: max-age=1", 5, &listens).verdict, REUSE_STALE_ALLOWED);
    assert_int_equal(decide("Cache-Control: max-stale", "Cache-Control: s-maxage=1", 5, &listens).verdict, REUSE_FETCH);
    assert_int_equal(decide("Cache-Control: max-stale", "Cache-Control: max-age=9\nAge: x", 5, &listens).verdict, REUSE_FETCH);
    IS("Cache-Control: only-if-cached", "Cache-Control: max-age=60", 5, "fresh");
    IS("Cache-Control: only-if-cached", "Cache-Control: max-age=60\nETag: \"a\"", 65, "gateway-timeout");
    IS("Cache-Control: no-store", "Cache-Control: max-age=60", 5, "fresh");
}

static void heuristic_answers_and_credentials(void **state)
{
    (void)state;
    const char *text = head(dated("Last-Modified", -86400), dated("Date", 0), NULL, NULL);
    IS("", text, 5, "fresh");
    IS("Cookie: a=b", text, 5, "validate");
    IS("Authorization: x", text, 5, "validate");
    IS("Cookie: a=b", "Cache-Control: max-age=60", 5, "fresh");
}

static void soft_purged(void **state)
{
    (void)state;
    struct reuse_policy policy = REUSE_POLICY_DEFAULT;
    policy.soft_purged = true;
    assert_int_equal(decide("", "Cache-Control: max-age=60", 5, &policy).verdict, REUSE_FETCH);
    assert_int_equal(decide("", "Cache-Control: max-age=60, stale-while-revalidate=9", 5, &policy).verdict, REUSE_STALE_WHILE_REVALIDATE);
    assert_true(stale_if_error_allowed(stored_of("Cache-Control: max-age=60"), T0_MS, &policy));
}

static bool on_error(const char *text, int64_t after_s)
{
    return stale_if_error_allowed(stored_of(text), T0_MS + after_s * 1000, &REUSE_POLICY_DEFAULT);
}

static void when_the_origin_is_down(void **state)
{
    (void)state;
    assert_true(on_error("Cache-Control: max-age=2", 5));
    assert_true(on_error("Cache-Control: max-age=2", 86402));
    assert_false(on_error("Cache-Control: max-age=2", 86403));
    assert_true(on_error("Cache-Control: max-age=2, stale-if-error=60", 62));
    assert_false(on_error("Cache-Control: max-age=2, stale-if-error=60", 63));
    assert_false(on_error("Cache-Control: max-age=2, must-revalidate, stale-if-error=60", 5));
    assert_false(on_error("Cache-Control: max-age=2, proxy-revalidate", 5));
    assert_false(on_error("Cache-Control: max-age=2, no-cache", 5));
    assert_false(on_error("Cache-Control: max-age=2, s-maxage=2", 5));
    assert_true(on_error("Cache-Control: s-maxage=2, stale-if-error=60", 5));
    assert_true(on_error("Cache-Control: s-maxage=2, stale-while-revalidate=60", 5));
    assert_false(on_error("Cache-Control: max-age=2\nAge: nonsense", 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(fresh_and_stale), TEST(the_clients_words), TEST(heuristic_answers_and_credentials),
                                       TEST(soft_purged), TEST(when_the_origin_is_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
