#include "cache/storable.h"

#include "cache_test.h"

static const char *verdict(enum method method, const char *request_text, unsigned status, const char *response_text)
{
    struct request request = request_of(method, request_text);
    struct response response = response_of(status, response_text);
    struct freshness freshness;
    freshness_of(&response, T0_MS, T0_MS, NULL, &freshness);
    return not_stored_word(storable_check(&request, &response, &freshness, NULL));
}

#define GET_IS(request, status, response, word) assert_string_equal(verdict(METHOD_GET, request, status, response), word)

static void what_is_stored(void **state)
{
    (void)state;
    static const unsigned statuses[] = {200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        GET_IS("", statuses[i], "Cache-Control: max-age=60", "stored");
    GET_IS("", 200, "Cache-Control: no-cache\nETag: \"a\"", "stored");
    GET_IS("", 200, "Cache-Control: max-age=0\nETag: \"a\"", "stored");
    GET_IS("", 200, "Cache-Control: max-age=0, stale-while-revalidate=9", "stored");
    GET_IS("Cookie: a=b", 200, "Cache-Control: max-age=60", "stored");
    GET_IS("", 200, head(dated("Last-Modified", -86400), dated("Date", 0), NULL, NULL), "stored");
    GET_IS("", 200, "Cache-Control: no-store, must-understand, max-age=5", "stored");
}

static void what_is_not(void **state)
{
    (void)state;
    assert_string_equal(verdict(METHOD_HEAD, "", 200, "Cache-Control: max-age=60"), "method");
    assert_string_equal(verdict(METHOD_POST, "", 200, "Cache-Control: max-age=60"), "method");
    GET_IS("Cache-Control: no-store", 200, "Cache-Control: max-age=60", "request-no-store");
    GET_IS("", 304, "Cache-Control: max-age=60", "status");
    GET_IS("", 416, "Cache-Control: max-age=60", "status");
    GET_IS("", 599, "Cache-Control: max-age=60, must-understand", "must-understand");
    GET_IS("", 599, "Cache-Control: no-store, max-age=60, must-understand", "must-understand");
    GET_IS("", 200, "Cache-Control: max-age=60, No-StOrE", "no-store");
    GET_IS("", 200, "Cache-Control: private, max-age=60", "private");
    GET_IS("", 200, "", "no-freshness");
    GET_IS("", 200, "ETag: \"a\"", "no-freshness");
    GET_IS("", 200, "Cache-Control: no-cache", "no-freshness");
    GET_IS("", 200, "Cache-Control: max-age=0", "already-stale");
    GET_IS("", 200, "Cache-Control: max-age=60, no-cache", "already-stale");
    GET_IS("", 200, "Cache-Control: max-age=60\nVary: *", "vary-star");
    GET_IS("", 200, "Cache-Control: max-age=60\nVary: X-Forwarded-For", "vary-star");
    struct request get = request_of(METHOD_GET, "");
    struct response response = response_of(200, "Cache-Control: max-age=60");
    struct freshness freshness;
    freshness_of(&response, T0_MS, T0_MS, NULL, &freshness);
    get.body = BODY_LENGTH;
    assert_int_equal(storable_check(&get, &response, &freshness, NULL), NOT_STORED_REQUEST_BODY);
}

static void credentials(void **state)
{
    (void)state;
    const char *heuristic = head(dated("Last-Modified", -86400), dated("Date", 0), NULL, NULL);
    GET_IS("Authorization: x", 200, "Cache-Control: max-age=60", "authorization");
    GET_IS("Authorization: x", 200, head(dated("Expires", 999), dated("Date", 0), NULL, NULL), "authorization");
    GET_IS("Authorization: x", 200, "Cache-Control: max-age=60\nCDN-Cache-Control: max-age=60", "authorization");
    GET_IS("Authorization: x", 200, "Cache-Control: max-age=60, public", "stored");
    GET_IS("Authorization: x", 200, "Cache-Control: max-age=60, must-revalidate", "stored");
    GET_IS("Authorization: x", 200, "Cache-Control: s-maxage=60", "stored");
    GET_IS("Cookie: x", 200, heuristic, "heuristic-credentials");
    GET_IS("Authorization: x", 200, head(heuristic, "Cache-Control: public", NULL, NULL), "heuristic-credentials");
    GET_IS("", 200, head(heuristic, "Cache-Control: public", "Set-Cookie: a=b", NULL), "set-cookie");
    GET_IS("", 200, "Cache-Control: max-age=60\nSet-Cookie: a=b", "set-cookie");
    GET_IS("", 200, "Cache-Control: max-age=60, public\nSet-Cookie: a=b", "stored");
    GET_IS("", 200, "Cache-Control: s-maxage=60\nSet-Cookie: a=b", "stored");
    GET_IS("", 200, "CDN-Cache-Control: max-age=60\nSet-Cookie: a=b", "stored");
    GET_IS("", 200, "Cache-Control: max-age=60, no-cache=\"set-cookie\"\nSet-Cookie: a=b", "stored");
}

static void parts(void **state)
{
    (void)state;
    struct request get = request_of(METHOD_GET, "Range: bytes=0-4");
    struct response r = response_of(206, "Cache-Control: max-age=60\nContent-Range: bytes 0-4/10");
    struct response multi = response_of(206, "Cache-Control: max-age=60\nContent-Type: multipart/byteranges; boundary=x");
    struct freshness f;
    struct storable_options asked = {.asked_range = true};
    freshness_of(&r, T0_MS, T0_MS, NULL, &f);
    assert_int_equal(storable_check(&get, &r, &f, NULL), NOT_STORED_PARTIAL_UNASKED);
    assert_int_equal(storable_check(&get, &r, &f, &asked), NOT_STORED_NONE);
    assert_int_equal(storable_check(&get, &multi, &f, &asked), NOT_STORED_PARTIAL_BAD);
    r.body = BODY_LENGTH;
    r.length_bytes = 6;
    assert_int_equal(storable_check(&get, &r, &f, &asked), NOT_STORED_PARTIAL_BAD);
}

static void deception(void **state)
{
    (void)state;
    assert_true(type_contradicts_suffix(SLICE("/me/x.css"), SLICE("text/html; charset=utf-8")));
    assert_true(type_contradicts_suffix(SLICE("/me/x.PNG?y=.html"), SLICE("text/html")));
    assert_true(type_contradicts_suffix(SLICE("/me/x.js"), SLICE_NONE));
    assert_false(type_contradicts_suffix(SLICE("/x.css"), SLICE("Text/CSS")));
    assert_false(type_contradicts_suffix(SLICE("/x.woff2"), SLICE("font/woff2")));
    assert_false(type_contradicts_suffix(SLICE("/me?x.css"), SLICE("text/html")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(what_is_stored), TEST(what_is_not), TEST(credentials), TEST(parts), TEST(deception)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
