#include <stdio.h>
#include <stdlib.h>

#include "help.h"

#define HOST "Host: a\r\n"

/* In a block of its own size, so that a sanitizer sees a read behind the end. */
static enum h1_error parse_bytes(slice text, bool https, struct request *ret)
{
    char *copy = malloc(text.len + (text.len == 0));
    enum h1_error error;

    memcpy(copy, text.data, text.len);
    error = h1_parse_request(slice_of(copy, text.len), &H1_LIMITS_REQUEST, https, &test_arena, ret);
    free(copy);
    return error;
}

static struct request good(const char *text)
{
    struct request request = {.minor = 9};
    enum h1_error error = parse_bytes(slice_str(text), false, &request);
    if (error != H1_OK)
        fail_msg("%s: %s", h1_error_word(error), text);
    return request;
}

static void bad(const char *text, enum h1_error want)
{
    struct request request = {.minor = 9};
    enum h1_error error = parse_bytes(slice_str(text), false, &request);
    if (error != want)
        fail_msg("%s, not %s: %s", h1_error_word(error), h1_error_word(want), text);
    assert_int_equal(request.minor, 9);
}

static void a_plain_request(void **state)
{
    struct request r;

    (void)state;
    r = good("GET /a?b=%20%2f HTTP/1.1\r\nhOST:\t A.B.:80 \t\r\nX-Empty:\r\nX: \xff \"a\"\tb\r\n\r\n");
    assert_int_equal(r.method, METHOD_GET);
    assert_slice(r.method_name, "GET");
    assert_int_equal(r.form, TARGET_ORIGIN);
    assert_slice(r.target, "/a?b=%20%2f");
    assert_slice(r.authority, "a.b");
    assert_int_equal(r.minor, 1);
    assert_true(r.keep_alive);
    assert_int_equal(r.body, BODY_NONE);
    assert_int_equal(r.fields.count, 3);
    assert_slice(slice_of(r.fields.text, r.fields.text_len), "hOST: A.B.:80\r\nX-Empty: \r\nX: \xff \"a\"\tb\r\n");
    assert_true(err_is_ok(fields_add(&r.fields, F_VIA, SLICE("1.1 w")))); /* the set may grow */
    assert_slice(field_value(&r.fields, 3), "1.1 w");
    assert_slice(r.target, "/a?b=%20%2f");
}

static void start_lines(void **state)
{
    struct request r;

    (void)state;
    r = good("BREW /x HTTP/1.9\r\n" HOST "\r\n");
    assert_int_equal(r.method, METHOD_OTHER);
    assert_int_equal(r.minor, 1);
    bad("GET  / HTTP/1.1\r\n" HOST "\r\n", H1_BAD_TARGET);
    bad("GET /  HTTP/1.1\r\n" HOST "\r\n", H1_BAD_VERSION);
    bad("GET / x HTTP/1.1\r\n" HOST "\r\n", H1_BAD_VERSION);
    bad("GET / HTTP/1.1 \r\n" HOST "\r\n", H1_BAD_VERSION);
    bad("GET / http/1.1\r\n" HOST "\r\n", H1_BAD_VERSION);
    bad("GET / HTTP/11\r\n" HOST "\r\n", H1_BAD_VERSION);
    bad("GET / HTTP/1.10\r\n" HOST "\r\n", H1_BAD_VERSION);
    bad("GET / HTTP/2.0\r\n" HOST "\r\n", H1_VERSION_UNSUPPORTED);
    bad("GET / HTTP/0.9\r\n" HOST "\r\n", H1_VERSION_UNSUPPORTED);
    bad("GET /\r\n" HOST "\r\n", H1_HTTP_0_9);
    bad(" GET / HTTP/1.1\r\n" HOST "\r\n", H1_BAD_METHOD);
    bad("G(T / HTTP/1.1\r\n" HOST "\r\n", H1_BAD_METHOD);
    bad("GET\t/ HTTP/1.1\r\n" HOST "\r\n", H1_BAD_METHOD);
    bad("GET / HTTP/1.1\n" HOST "\r\n", H1_BARE_LF);
    bad("GET / HTTP/1.1\rX" HOST "\r\n", H1_BARE_CR);
    bad("GET /\x01 HTTP/1.1\r\n" HOST "\r\n", H1_BAD_TARGET);
    bad("GET /\xc3 HTTP/1.1\r\n" HOST "\r\n", H1_BAD_TARGET);
    bad("GET /a#b HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_FRAGMENT);
    bad("GET a HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_FORM);
    bad("GET * HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_FORM);
    bad("", H1_INCOMPLETE);
    bad("\r\n\r\n", H1_BAD_METHOD);
    bad("GET / HTTP/1.1\r\n" HOST, H1_INCOMPLETE);
    bad("GET / HTTP/1.1\r\n\r\n" HOST "\r\n", H1_INCOMPLETE);
}

static void targets(void **state)
{
    struct request r;

    (void)state;
    r = good("GET http://B.c:80?x HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(r.form, TARGET_ABSOLUTE);
    assert_slice(r.authority, "b.c");
    assert_slice(r.target, "/?x");
    r = good("GET HTTP://b/../x HTTP/1.1\r\n" HOST "\r\n");
    assert_slice(r.target, "/../x");
    r = good("OPTIONS http://b HTTP/1.1\r\n" HOST "\r\n");
    assert_slice(r.target, "*");
    r = good("OPTIONS http://b/ HTTP/1.1\r\n" HOST "\r\n");
    assert_slice(r.target, "/");
    r = good("OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(r.form, TARGET_ASTERISK);
    r = good("CONNECT b:443 HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(r.form, TARGET_AUTHORITY);
    assert_slice(r.authority, "b:443");
    r = good("GET //x/..%2f|{}\"^ HTTP/1.1\r\n" HOST "\r\n");
    assert_slice(r.target, "//x/..%2f|{}\"^");
    bad("CONNECT / HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_FORM);
    bad("CONNECT b HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_FORM);
    bad("CONNECT b: HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_FORM);
    bad("GET b:443 HTTP/1.1\r\n" HOST "\r\n", H1_BAD_TARGET);
    bad("GET ftp://b/ HTTP/1.1\r\n" HOST "\r\n", H1_BAD_TARGET);
    bad("GET http://u:p@b/ HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_AUTHORITY);
    bad("GET http:/// HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_AUTHORITY);
    bad("GET https://b/ HTTP/1.1\r\n" HOST "\r\n", H1_TARGET_SCHEME);
    assert_int_equal(parse_bytes(SLICE("GET https://b:443/ HTTP/1.1\r\n" HOST "\r\n"), true, &r), H1_OK);
    assert_slice(r.authority, "b");
}

static void hosts(void **state)
{
    (void)state;
    bad("GET / HTTP/1.1\r\n\r\n", H1_HOST_MISSING);
    bad("GET http://a/ HTTP/1.1\r\n\r\n", H1_HOST_MISSING);
    bad("GET / HTTP/1.1\r\n" HOST HOST "\r\n", H1_HOST_DUPLICATE);
    bad("GET / HTTP/1.0\r\n" HOST HOST "\r\n", H1_HOST_DUPLICATE);
    bad("GET / HTTP/1.1\r\nHost:\r\n\r\n", H1_HOST_EMPTY);
    bad("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", H1_HOST_INVALID);
    bad("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", H1_HOST_INVALID);
    bad("GET http://a/ HTTP/1.1\r\nHost: u@a\r\n\r\n", H1_HOST_INVALID);
    bad("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", H1_HOST_INVALID);
    bad("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", H1_HOST_INVALID);
    assert_slice(good("GET / HTTP/1.0\r\n\r\n").authority, "");
    assert_false(good("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert_true(good("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
    assert_false(good("GET / HTTP/1.0\r\nConnection: Keep-Alive, close\r\n\r\n").keep_alive);
    assert_false(good("GET / HTTP/1.1\r\n" HOST "Connection: x\r\nConnection: CLOSE\r\n\r\n").keep_alive);
}

static void field_lines(void **state)
{
    struct request r;

    (void)state;
    bad("GET / HTTP/1.1\r\n" HOST "X : y\r\n\r\n", H1_SPACE_BEFORE_COLON);
    bad("GET / HTTP/1.1\r\n" HOST "X\t: y\r\n\r\n", H1_SPACE_BEFORE_COLON);
    bad("GET / HTTP/1.1\r\n" HOST ": y\r\n\r\n", H1_EMPTY_NAME);
    bad("GET / HTTP/1.1\r\n" HOST "Xy\r\n\r\n", H1_NO_COLON);
    bad("GET / HTTP/1.1\r\n" HOST "X y: z\r\n\r\n", H1_BAD_NAME);
    bad("GET / HTTP/1.1\r\n" HOST "X(: z\r\n\r\n", H1_BAD_NAME);
    bad("GET / HTTP/1.1\r\n" HOST "X\xc3: z\r\n\r\n", H1_BAD_NAME);
    bad("GET / HTTP/1.1\r\n" HOST " X: z\r\n\r\n", H1_OBS_FOLD);
    bad("GET / HTTP/1.1\r\n " HOST "\r\n", H1_OBS_FOLD);
    bad("GET / HTTP/1.1\r\n" HOST "X: a\r\n\tb\r\n\r\n", H1_OBS_FOLD);
    bad("GET / HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n", H1_BARE_LF);
    bad("GET / HTTP/1.1\r\n" HOST "X: a\rY: b\r\n\r\n", H1_BARE_CR);
    bad("GET / HTTP/1.1\r\n" HOST "X: a\r\r\n\r\n", H1_BARE_CR);
    bad("GET / HTTP/1.1\r\n" HOST "X\r: a\r\n\r\n", H1_BARE_CR);
    bad("GET / HTTP/1.1\r\n" HOST "X\n: a\r\n\r\n", H1_BARE_LF);
    bad("GET / HTTP/1.1\r\n" HOST "X: 0123456789\x0b\r\n\r\n", H1_CONTROL);
    bad("GET / HTTP/1.1\r\n" HOST "X: 0123456789\x7f\r\n\r\n", H1_CONTROL);
    assert_int_equal(parse_bytes(SLICE("GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n"), false, &r), H1_CONTROL);
    assert_int_equal(parse_bytes(SLICE("GET / HTTP/1.1\r\n" HOST "X\0: b\r\n\r\n"), false, &r), H1_BAD_NAME);
    assert_int_equal(parse_bytes(SLICE("GET /\0 HTTP/1.1\r\n" HOST "\r\n"), false, &r), H1_BAD_TARGET);
    assert_int_equal(parse_bytes(SLICE("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"), false, &r), H1_CONTROL);
}

/* Every byte at every place of a long value: the eight-byte steps must agree with the table. */
static void value_bytes(void **state)
{
    char text[128];
    struct request r;

    (void)state;
    for (unsigned place = 0; place < 24; place++)
        for (unsigned c = 0; c < 256; c++) {
            size_t len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "X: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n");
            bool ok = c == '\t' || (c >= 0x20 && c != 0x7f);
            text[16 + 9 + 3 + place] = (char)c;
            assert_int_equal(parse_bytes(slice_of(text, len), false, &r) == H1_OK, ok);
            arena_done(&test_arena);
        }
}

static void framing(void **state)
{
    struct request r;

    (void)state;
    r = good("POST / HTTP/1.1\r\n" HOST "Content-Length: 9223372036854775807\r\n\r\n");
    assert_int_equal(r.body, BODY_LENGTH);
    assert_true(r.length_bytes == INT64_MAX);
    assert_int_equal(good("POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n").body, BODY_NONE);
    assert_int_equal(good("POST / HTTP/1.1\r\n" HOST "transfer-encoding: Chunked\r\n\r\n").body, BODY_CHUNKED);
#define CL(v, e) bad("POST / HTTP/1.1\r\n" HOST "Content-Length:" v "\r\n\r\n", e)
    CL("", H1_LENGTH_INVALID);
    CL(" +5", H1_LENGTH_INVALID);
    CL(" -5", H1_LENGTH_INVALID);
    CL(" 0x5", H1_LENGTH_INVALID);
    CL(" 5, 5", H1_LENGTH_INVALID);
    CL(" 5 5", H1_LENGTH_INVALID);
    CL(" 9223372036854775808", H1_LENGTH_INVALID);
    CL(" 18446744073709551621", H1_LENGTH_INVALID);
    CL(" 5\r\nContent-Length: 5", H1_LENGTH_DUPLICATE);
    CL(" 5\r\nX: y\r\ncontent-length: 6", H1_LENGTH_DUPLICATE);
    CL(" 5\r\nTransfer-Encoding: chunked", H1_LENGTH_AND_ENCODING);
    CL(" x\r\nTransfer-Encoding: x", H1_LENGTH_AND_ENCODING);
#define TE(v, e) bad("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:" v "\r\n\r\n", e)
    TE("", H1_ENCODING_INVALID);
    TE(" ,chunked", H1_ENCODING_INVALID);
    TE(" chunked,", H1_ENCODING_INVALID);
    TE(" chunked, chunked", H1_ENCODING_INVALID);
    TE(" chunked\r\nTransfer-Encoding: chunked", H1_ENCODING_INVALID);
    TE(" chunked\r\nTransfer-Encoding: gzip", H1_ENCODING_INVALID);
    TE(" chunked, gzip", H1_ENCODING_INVALID);
    TE(" chunked;a=b", H1_ENCODING_INVALID);
    TE(" chun ked", H1_ENCODING_INVALID);
    TE(" \"chunked\"", H1_ENCODING_INVALID);
    TE(" chunked\x0b", H1_CONTROL);
    TE(" gzip", H1_ENCODING_UNKNOWN);
    TE(" gzip, chunked", H1_ENCODING_UNKNOWN);
    TE(" gzip\r\nTransfer-Encoding: chunked", H1_ENCODING_UNKNOWN);
    TE(" xchunked", H1_ENCODING_UNKNOWN);
    TE(" identity", H1_ENCODING_UNKNOWN);
    TE(" gzip;q=1 ; r=\"x\", chunked", H1_ENCODING_UNKNOWN);
    TE(" gzip;", H1_ENCODING_INVALID);
    bad("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", H1_ENCODING_IN_1_0);
    bad("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n", H1_SPACE_BEFORE_COLON);
}

static void expect_and_upgrade(void **state)
{
    (void)state;
    assert_true(good("PUT / HTTP/1.1\r\n" HOST "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n").expect_continue);
    assert_false(good("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n").expect_continue);
    assert_false(good("PUT / HTTP/1.0\r\nExpect: x\r\nContent-Length: 5\r\n\r\n").expect_continue);
    bad("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue, x\r\n\r\n", H1_EXPECTATION);
    bad("PUT / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nExpect: y\r\n\r\n", H1_EXPECTATION);
    bad("PUT / HTTP/1.1\r\n" HOST "Expect:\r\n\r\n", H1_EXPECTATION);
#define WS(connection, upgrade, key, version)                                                                \
    good("GET / HTTP/1.1\r\n" HOST "Connection: " connection "\r\nUpgrade: " upgrade                         \
         "\r\nSec-WebSocket-Key: " key "\r\nSec-WebSocket-Version: " version "\r\n\r\n").upgrade_websocket
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
    assert_true(WS("keep-alive, Upgrade", "WebSocket", KEY, "13"));
    assert_false(WS("keep-alive", "websocket", KEY, "13"));
    assert_false(WS("upgrade", "h2c", KEY, "13"));
    assert_false(WS("upgrade", "websocket, h2c", KEY, "13"));
    assert_false(WS("upgrade", "websocket", "x", "13"));
    assert_false(WS("upgrade", "websocket", KEY, "12"));
    assert_false(good("POST / HTTP/1.1\r\n" HOST "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n").upgrade_websocket);
}

static void limits_of_parse(void **state)
{
    static char text[40000];
    struct request r;
    size_t len;

    (void)state;
    len = (size_t)snprintf(text, sizeof(text), "GET /%08191d HTTP/1.1\r\n" HOST "\r\n", 0);
    assert_int_equal(parse_bytes(slice_of(text, len), false, &r), H1_OK);
    len = (size_t)snprintf(text, sizeof(text), "GET /%08192d HTTP/1.1\r\n" HOST "\r\n", 0);
    assert_int_equal(parse_bytes(slice_of(text, len), false, &r), H1_TARGET_TOO_LONG);
    len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "X: %016381d\r\n\r\n", 0);
    assert_int_equal(parse_bytes(slice_of(text, len), false, &r), H1_OK);
    len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "X: %016382d\r\n\r\n", 0);
    assert_int_equal(parse_bytes(slice_of(text, len), false, &r), H1_LINE_TOO_LONG);
    len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "%0*d\r\n\r\n", 33000, 0);
    assert_int_equal(parse_bytes(slice_of(text, len), false, &r), H1_HEAD_TOO_LARGE);
    for (unsigned n = 99; n <= 100; n++) {
        len = (size_t)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST);
        for (unsigned i = 0; i < n; i++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "x:\r\n");
        len += (size_t)snprintf(text + len, sizeof(text) - len, "\r\n");
        assert_int_equal(parse_bytes(slice_of(text, len), false, &r), n == 99 ? H1_OK : H1_TOO_MANY_FIELDS);
    }
}

static void memory_ends(void **state)
{
    struct request r;
    (void)state;
    for (uint32_t limit = 1; limit < 8192; limit += 512) {
        struct arena arena;
        enum h1_error error;
        arena_init(&arena, NULL, 0, limit);
        error = h1_parse_request(SLICE("GET http://A/ HTTP/1.1\r\nHost: B:81\r\nX: y\r\n\r\n"), &H1_LIMITS_REQUEST, false, &arena, &r);
        assert_true(error == H1_OK || error == H1_MEMORY);
        arena_done(&arena);
    }
}

/* --- the end of the head --- */

static enum h1_find find_in_steps(const char *text, size_t step, bool is_response, struct h1_finder *finder,
                                  enum h1_error *error)
{
    struct h1_limits small = {.head_bytes_max = 200, .line_bytes_max = 50, .target_bytes_max = 50, .fields_max = 10};
    enum h1_find result = H1_FIND_MORE;
    size_t len = strlen(text);

    *finder = (struct h1_finder){.is_response = is_response};
    for (size_t at = 0; at < len && result == H1_FIND_MORE;) {
        at = MIN(at + step, len);
        result = h1_head_find(finder, slice_of(text, at), &small, error);
    }
    return result;
}

static void finds(void **state)
{
    struct h1_finder finder;
    enum h1_error error;
    const char *text = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET";

    (void)state;
    for (size_t step = 1; step <= strlen(text); step++) {
        assert_int_equal(find_in_steps(text, step, false, &finder, &error), H1_FIND_FOUND);
        assert_int_equal(finder.begin, 4);
        assert_int_equal(finder.end, strlen(text) - 3);
    }
    assert_int_equal(find_in_steps("GET / HTTP/1.1\r\nHost: a\r\n\r", 1, false, &finder, &error), H1_FIND_MORE);
    assert_int_equal(find_in_steps("\r\n\r\n", 1, false, &finder, &error), H1_FIND_MORE);
    assert_int_equal(find_in_steps("HTTP/1.1 200 OK\r\n\r\n", 4, true, &finder, &error), H1_FIND_FOUND);
}

static void find_refuses(const char *text, bool is_response, enum h1_error want)
{
    struct h1_finder finder;
    for (size_t step = 1; step <= strlen(text); step++) {
        enum h1_error error = H1_OK;
        enum h1_find result = find_in_steps(text, step, is_response, &finder, &error);
        if (result != H1_FIND_REFUSED || error != want)
            fail_msg("step %zu: %s: %s", step, h1_error_word(error), text);
    }
}

#define X50 "01234567890123456789012345678901234567890123456789"
static void find_hostile(void **state)
{
    (void)state;
    find_refuses("GET / HTTP/1.1\n", false, H1_BARE_LF);
    find_refuses("\n", false, H1_BARE_LF);
    find_refuses("GET / HTTP/1.1\r\nHost: a\n\r\n", false, H1_BARE_LF);
    find_refuses("\r\n\r\n\r\n", false, H1_EMPTY_LINES);
    find_refuses("\r\nHTTP/1.1 200\r\n\r\n", true, H1_BAD_START);
    find_refuses("\x16\x03\x01", false, H1_BAD_START);
    find_refuses(" GET", false, H1_BAD_START);
    find_refuses("ICY 200 OK\r\n", true, H1_BAD_START);
    find_refuses("GET /" X50, false, H1_TARGET_TOO_LONG);
    find_refuses("GET / HTTP/1.1\r\n" X50 "xy", false, H1_LINE_TOO_LONG);
    find_refuses("GET / HTTP/1.1\r\n" X50 "\r\n" X50 "\r\n" X50 "\r\n" X50 "\r\n", false, H1_HEAD_TOO_LARGE);
}

/* --- responses --- */

static enum h1_error answer(const char *text, enum method method, struct response *ret)
{
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    enum h1_error error;
    memcpy(copy, text, len);
    error = h1_parse_response(slice_of(copy, len), &H1_LIMITS_RESPONSE, method, &test_arena, ret);
    free(copy);
    return error;
}

static struct response good_answer(const char *text, enum method method)
{
    struct response r = {0};
    enum h1_error error = answer(text, method, &r);
    if (error != H1_OK)
        fail_msg("%s: %s", h1_error_word(error), text);
    return r;
}

static void responses(void **state)
{
    struct response r;

    (void)state;
    r = good_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX:y\r\n\r\n", METHOD_GET);
    assert_true(r.status == 200 && r.body == BODY_LENGTH && r.length_bytes == 5 && r.has_length && r.keep_alive);
    assert_int_equal(r.fields.count, 2);
    assert_int_equal(good_answer("HTTP/1.1 200\r\n\r\n", METHOD_GET).body, BODY_CLOSE);
    assert_false(good_answer("HTTP/1.1 200 \r\n\r\n", METHOD_GET).keep_alive);
    assert_int_equal(good_answer("HTTP/1.1 200 \xc3\t!\r\nTransfer-Encoding: chunked\r\n\r\n", METHOD_GET).body, BODY_CHUNKED);
    r = good_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", METHOD_HEAD);
    assert_true(r.body == BODY_NONE && r.has_length && r.length_bytes == 5 && r.keep_alive);
    assert_int_equal(good_answer("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", METHOD_GET).body, BODY_NONE);
    assert_int_equal(good_answer("HTTP/1.1 204 x\r\n\r\n", METHOD_GET).body, BODY_NONE);
    assert_int_equal(good_answer("HTTP/1.1 103 x\r\nLink: y\r\n\r\n", METHOD_GET).body, BODY_NONE);
    assert_false(good_answer("HTTP/1.1 101 x\r\n\r\n", METHOD_GET).keep_alive);
    assert_false(good_answer("HTTP/1.0 200 x\r\nContent-Length: 0\r\n\r\n", METHOD_GET).keep_alive);
    assert_int_equal(good_answer("HTTP/1.1 200 x\r\nContent-Length: 0\r\n\r\n", METHOD_GET).body, BODY_LENGTH);
}

static void hostile_responses(void **state)
{
    static const struct {
        const char *text;
        enum h1_error error;
    } rows[] = {
        {"HTTP/1.1 99 x\r\n\r\n", H1_BAD_STATUS_LINE}, {"HTTP/1.1 600 x\r\n\r\n", H1_BAD_STATUS},
        {"HTTP/1.1 099 x\r\n\r\n", H1_BAD_STATUS}, {"HTTP/1.1 2000 x\r\n\r\n", H1_BAD_STATUS_LINE},
        {"HTTP/1.1  200 x\r\n\r\n", H1_BAD_STATUS_LINE}, {"HTTP/1.1 200x\r\n\r\n", H1_BAD_STATUS_LINE},
        {"HTTP/1.2 200 x\r\n\r\n", H1_BAD_STATUS_LINE}, {"HTTP/2.0 200 x\r\n\r\n", H1_BAD_STATUS_LINE},
        {"ICY 200 OK\r\n\r\n\r\n\r\n", H1_BAD_STATUS_LINE}, {"HTTP/1.1 200 a\x01\r\n\r\n", H1_BAD_STATUS_LINE},
        {"HTTP/1.1 200 a\nb\r\n\r\n", H1_BARE_LF}, {"HTTP/1.1 200 a\rb\r\n\r\n", H1_BARE_CR},
        {"HTTP/1.1 200 x\r\n y: z\r\n\r\n", H1_OBS_FOLD},
        {"HTTP/1.1 200 x\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", H1_LENGTH_DUPLICATE},
        {"HTTP/1.1 200 x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", H1_LENGTH_DUPLICATE},
        {"HTTP/1.1 204 x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", H1_LENGTH_DUPLICATE},
        {"HTTP/1.1 200 x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", H1_LENGTH_AND_ENCODING},
        {"HTTP/1.1 200 x\r\nTransfer-Encoding: xchunked\r\n\r\n", H1_ENCODING_UNKNOWN},
        {"HTTP/1.1 200 x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", H1_ENCODING_UNKNOWN},
        {"HTTP/1.0 200 x\r\nTransfer-Encoding: chunked\r\n\r\n", H1_ENCODING_IN_1_0},
        {"HTTP/1.1 200 x\r\nA b\r\n\r\n", H1_BAD_NAME}, {"", H1_INCOMPLETE}, {"\r\n\r\n", H1_BAD_STATUS_LINE},
    };
    struct response r;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        enum h1_error error = answer(rows[i].text, METHOD_GET, &r);
        if (error != rows[i].error)
            fail_msg("%s, not %s: %s", h1_error_word(error), h1_error_word(rows[i].error), rows[i].text);
    }
}

static void error_table(void **state)
{
    (void)state;
    assert_int_equal(h1_error_status(H1_TARGET_TOO_LONG), 414);
    assert_int_equal(h1_error_status(H1_ENCODING_UNKNOWN), 501);
    assert_int_equal(h1_error_status(H1_EXPECTATION), 417);
    assert_string_equal(h1_error_word(H1_BARE_LF), "bare-lf");
    for (unsigned i = 0; i < H1_ERROR_COUNT; i++)
        assert_true(h1_error_text(i)[0] != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_plain_request), TEST(start_lines), TEST(targets), TEST(hosts), TEST(field_lines), TEST(value_bytes),
        TEST(framing), TEST(expect_and_upgrade), TEST(limits_of_parse), TEST(memory_ends), TEST(finds),
        TEST(find_hostile), TEST(responses), TEST(hostile_responses), TEST(error_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
