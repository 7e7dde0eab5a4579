#include <stdio.h>
#include <stdlib.h>

#include "help.h"
#include "http/h1_write.h"
#include "http/h2_message.h"

/* Lists are written as "name\tvalue\n" lines here: no name or value that matters holds either. */
#define GET  ":method\tGET\n:scheme\thttp\n:path\t/a?b\n"
#define HOST ":authority\texample.com\n"
#define KEY  "dGhlIHNhbXBsZSBub25jZQ=="

/* Names and values in blocks of their own size that go at once: a sanitizer sees who keeps or overreads them. */
static void add(struct h2_head *head, slice name, slice value)
{
    char *n = malloc(name.len + (name.len == 0)), *v = malloc(value.len + (value.len == 0));

    memcpy(n, name.data, name.len);
    memcpy(v, value.data, value.len);
    h2_head_add(head, slice_of(n, name.len), slice_of(v, value.len));
    free(n);
    free(v);
}

static struct h2_head *head_of(slice list, enum h2_head_kind kind, const struct h1_limits *limits)
{
    struct h2_head *head = h2_head_init(malloc(1024), 1024, kind, limits);

    while (list.len > 0) {
        ptrdiff_t tab = slice_find(list, '\t'), line = slice_find(list, '\n');
        assert_true(tab >= 0 && line > tab);
        add(head, slice_of(list.data, (size_t)tab), slice_of(list.data + tab + 1, (size_t)(line - tab - 1)));
        list = slice_from(list, (size_t)line + 1);
    }
    return head;
}

static void head_free(struct h2_head *head)
{
    h2_head_done(head);
    memset((void *)head, 0xee, sizeof(*head));
    free(head);
}

static enum h2_error request_of(slice list, const struct h2_request_options *options, struct request *ret)
{
    struct h2_head *head = head_of(list, H2_HEAD_REQUEST, &H1_LIMITS_REQUEST);
    enum h2_error error = h2_request_end(head, options, &test_arena, ret);

    head_free(head);
    return error;
}

static struct request good_with(const char *list, struct h2_request_options options)
{
    struct request request = {.minor = 9};
    enum h2_error error = request_of(slice_str(list), &options, &request);

    if (error != H2_OK)
        fail_msg("%s: %s", h2_error_word(error), list);
    return request;
}

static void bad_with(const char *list, struct h2_request_options options, unsigned want)
{
    struct request request = {.minor = 9};
    enum h2_error error = request_of(slice_str(list), &options, &request);

    if (error != (enum h2_error)want)
        fail_msg("%s, not %s: %s", h2_error_word(error), h2_error_word((enum h2_error)want), list);
    assert_int_equal(request.minor, 9);
}

static struct request good(const char *list)
{
    return good_with(list, (struct h2_request_options){.end_stream = true});
}

static void bad(const char *list, unsigned want)
{
    bad_with(list, (struct h2_request_options){.end_stream = true}, want);
}

/* What the same request says in HTTP/1: fields by name and value, everything else but the case of names. */
static void same_as_h1(const char *list, const char *head, struct h2_request_options options)
{
    struct request h2 = good_with(list, options), h1;

    assert_int_equal(h1_parse_request(slice_str(head), &H1_LIMITS_REQUEST, options.https, &test_arena, &h1), H1_OK);
    assert_int_equal(h2.method, h1.method);
    assert_true(slice_eq(h2.method_name, h1.method_name));
    assert_int_equal(h2.form, h1.form);
    assert_true(slice_eq(h2.target, h1.target));
    assert_true(slice_eq(h2.authority, h1.authority));
    assert_int_equal(h2.https, h1.https);
    assert_int_equal(h2.minor, h1.minor);
    assert_int_equal(h2.body, h1.body);
    assert_int_equal(h2.length_bytes, h1.length_bytes);
    assert_int_equal(h2.keep_alive, h1.keep_alive);
    assert_int_equal(h2.expect_continue, h1.expect_continue);
    assert_int_equal(h2.upgrade_websocket, h1.upgrade_websocket);
    for (unsigned i = 0; i < h1.fields.count; i++) {
        enum field_id id = (enum field_id)h1.fields.list[i].id;
        int at = fields_find_named(&h2.fields, field_name(&h1.fields, i));
        if (id == F_TRANSFER_ENCODING || id == F_CONNECTION || id == F_UPGRADE)
            continue;
        assert_true(at >= 0);
        assert_int_equal(h2.fields.list[at].id, id);
        assert_true(fields_has(&h2.fields, id));
        assert_true(slice_eq(field_value(&h2.fields, (unsigned)at), field_value(&h1.fields, i)));
    }
}

static void the_same_request(void **state)
{
    (void)state;
    same_as_h1(GET ":authority\tExample.COM:80\naccept\t*/*\nx-other\tv\n",
               "GET /a?b HTTP/1.1\r\naccept: */*\r\nx-other: v\r\nHost: Example.COM:80\r\n\r\n",
               (struct h2_request_options){.end_stream = true});
    same_as_h1(":authority\t[::1]:443\n:path\t*\n:scheme\thttps\n:method\tOPTIONS\n",
               "OPTIONS * HTTP/1.1\r\nHost: [::1]:443\r\n\r\n",
               (struct h2_request_options){.end_stream = true, .https = true});
    same_as_h1(":method\tBREW\n:scheme\thttp\n:path\t/\nhost\ta\ncontent-length\t4\nexpect\t100-continue\n",
               "BREW / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
               (struct h2_request_options){0});
    same_as_h1(":method\tPOST\n:scheme\thttp\n:path\t/\n" HOST "te\ttrailers\n",
               "POST / HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n",
               (struct h2_request_options){0});
    same_as_h1(":method\tPOST\n:scheme\thttp\n:path\t/\n" HOST "content-length\t0\nexpect\t100-continue\n",
               "POST / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
               (struct h2_request_options){0});
    same_as_h1(":method\tCONNECT\n:scheme\thttp\n:path\t/chat\n:protocol\twebsocket\n" HOST "sec-websocket-version\t13\n",
               "GET /chat HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n",
               (struct h2_request_options){.websocket_key = SLICE(KEY)});
}

static void what_is_written_for_an_origin(void **state)
{
    struct request r = good(GET HOST "cookie\ta=1\naccept\tx\ncookie\tb=2\ncookie\tc=3\n");
    char text[512];
    size_t len;

    (void)state;
    assert_slice(slice_of(r.fields.text, r.fields.text_len),
                 "accept: x\r\nCookie: a=1; b=2; c=3\r\nHost: example.com\r\n");
    len = h1_write_request(text, sizeof(text), r.method_name, r.target, &r.fields, &(struct h1_framing){.body = BODY_NONE});
    assert_slice(slice_of(text, len),
                 "GET /a?b HTTP/1.1\r\naccept: x\r\nCookie: a=1; b=2; c=3\r\nHost: example.com\r\n\r\n");
    assert_true(err_is_ok(fields_add(&r.fields, F_VIA, SLICE("2 w")))); /* the set may grow */
    assert_slice(fields_get(&r.fields, F_COOKIE), "a=1; b=2; c=3");
    r = good(GET HOST "cookie\t\ncookie\ta\ncookie\t\n");
    assert_slice(fields_get(&r.fields, F_COOKIE), "a;");
    assert_int_equal(fields_count_of(&r.fields, F_COOKIE), 1);
}

static void pseudo_fields(void **state)
{
    (void)state;
    bad(GET HOST ":path\t/b\n", H2_PSEUDO_DUPLICATE);
    bad(GET HOST ":method\tPOST\n", H2_PSEUDO_DUPLICATE);
    bad(GET HOST HOST, H2_PSEUDO_DUPLICATE);
    bad(GET HOST ":scheme\thttp\n", H2_PSEUDO_DUPLICATE);
    bad(":method\tGET\n:scheme\thttp\naccept\tx\n:path\t/\n" HOST, H2_PSEUDO_LATE);
    bad(GET HOST ":foo\tx\n", H2_PSEUDO_UNKNOWN);
    bad(GET HOST ":\tx\n", H2_PSEUDO_UNKNOWN);
    bad(GET HOST ":Path\t/\n", H2_PSEUDO_UNKNOWN);
    bad(GET HOST ":status\t200\n", H2_PSEUDO_UNKNOWN);
    bad(GET HOST ":protocol\twebsocket\n", H2_PSEUDO_UNKNOWN);
    bad(":scheme\thttp\n:path\t/\n" HOST, H2_PSEUDO_MISSING);
    bad(":method\tGET\n:path\t/\n" HOST, H2_PSEUDO_MISSING);
    bad(":method\tGET\n:scheme\thttp\n" HOST, H2_PSEUDO_MISSING);
    bad(":method\t\n:scheme\thttp\n:path\t/\n" HOST, H2_PSEUDO_EMPTY);
    bad(":method\tGET\n:scheme\t\n:path\t/\n" HOST, H2_PSEUDO_EMPTY);
    bad(":method\tGET\n:scheme\thttp\n:path\t\n" HOST, H2_PSEUDO_EMPTY);
    bad(GET ":authority\t\n", H2_PSEUDO_EMPTY);
    bad("", H2_PSEUDO_MISSING);
}

static void methods_and_schemes(void **state)
{
    (void)state;
    bad(":method\tGET / HTTP/1.1\n:scheme\thttp\n:path\t/\n" HOST, H1_BAD_METHOD);
    bad(":method\tG\rT\n:scheme\thttp\n:path\t/\n" HOST, H1_BAD_METHOD);
    bad(":method\tGET \n:scheme\thttp\n:path\t/\n" HOST, H1_BAD_METHOD);
    bad(":method\tGET\n:scheme\thttps\n:path\t/\n" HOST, H2_SCHEME);
    bad_with(GET HOST, (struct h2_request_options){.https = true, .end_stream = true}, H2_SCHEME);
    bad(":method\tGET\n:scheme\tHTTP\n:path\t/\n" HOST, H2_SCHEME);
    bad(":method\tGET\n:scheme\tftp\n:path\t/\n" HOST, H2_SCHEME);
    bad(":method\tGET\n:scheme\thttp://evil/\n:path\t/\n" HOST, H2_SCHEME);
    assert_int_equal(good(":method\tget\n:scheme\thttp\n:path\t/\n" HOST).method, METHOD_OTHER);
}

#define PATH(path) ":method\tGET\n:scheme\thttp\n" HOST ":path\t" path "\n"

static void paths(void **state)
{
    char list[9000], path[8300];

    (void)state;
    bad(PATH("a"), H1_TARGET_FORM);
    bad(PATH("http://example.com/"), H1_TARGET_FORM);
    bad(PATH("*"), H1_TARGET_FORM);
    bad(PATH("?x"), H1_TARGET_FORM);
    bad(PATH("/a#b"), H1_TARGET_FRAGMENT);
    bad(PATH("/a b"), H1_BAD_TARGET);
    bad(PATH("/ HTTP/1.1\r"), H1_BAD_TARGET);
    bad(PATH("/\xc3\xa4"), H1_BAD_TARGET);
    bad(PATH("/\x7f"), H1_BAD_TARGET);
    bad(PATH(" /"), H1_BAD_TARGET);
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    snprintf(list, sizeof(list), PATH("%.*s"), 8192, path);
    assert_int_equal(good(list).target.len, 8192);
    snprintf(list, sizeof(list), PATH("%.*s"), 8193, path);
    bad(list, H1_TARGET_TOO_LONG);
}

static void authorities(void **state)
{
    (void)state;
    assert_slice(good(GET "host\tA.b.:80\n").authority, "a.b");
    assert_slice(good(GET ":authority\texample.com:80\nhost\tEXAMPLE.com\n").authority, "example.com");
    assert_int_equal(good(GET HOST "host\texample.com\n").fields.count, 1);
    bad(GET, H1_HOST_MISSING);
    bad(GET HOST "host\tevil.com\n", H2_AUTHORITY);
    bad(GET HOST "host\texample.com:81\n", H2_AUTHORITY);
    bad(GET HOST "host\t\n", H1_HOST_EMPTY);
    bad(GET "host\t\n", H1_HOST_EMPTY);
    bad(GET HOST "host\texample.com\nhost\texample.com\n", H1_HOST_DUPLICATE);
    bad(GET "host\ta b\n", H1_HOST_INVALID);
    bad(GET ":authority\tuser@example.com\n", H1_TARGET_AUTHORITY);
    bad(GET ":authority\texample.com/x\n", H1_TARGET_AUTHORITY);
    bad(GET ":authority\ta,b\n", H1_TARGET_AUTHORITY);
    bad(GET ":authority\ta\r\n", H1_TARGET_AUTHORITY);
}

static void names_and_values(void **state)
{
    struct request r = good(GET HOST "x\t\ny\ta\xff\tb\n");

    (void)state;
    assert_slice(field_value(&r.fields, 0), "");
    bad(GET HOST "Accept\tx\n", H2_UPPER_CASE);
    bad(GET HOST "xX\tx\n", H2_UPPER_CASE);
    bad(GET HOST "\tx\n", H1_EMPTY_NAME);
    bad(GET HOST "a b\tx\n", H1_BAD_NAME);
    bad(GET HOST "a:\tx\n", H1_BAD_NAME);
    bad(GET HOST "a\r\tx\n", H1_BAD_NAME);
    bad(GET HOST "transfer-encoding: chunked\r\tx\n", H1_BAD_NAME);
    bad(GET HOST "a\tx\ry\n", H1_CONTROL);
    bad(GET HOST "a\txxxxxxxxxxxx\x01\n", H1_CONTROL);
    bad(GET HOST "cookie\ta\rb\n", H1_CONTROL);
    bad(GET HOST "a\tx \n", H2_VALUE_SPACE);
    bad(GET HOST "a\t x\n", H2_VALUE_SPACE);
    bad(GET HOST "content-length\t 0\n", H2_VALUE_SPACE);
}

/* The bytes that lines cannot write. */
static void bytes_of_smugglers(void **state)
{
    static const slice values[] = {{"a\0b", 3}, {"a\nb", 3}, {"x\r\nTransfer-Encoding: chunked", 30}, {"\0", 1}, {"x\t", 2}};
    struct h2_request_options options = {.end_stream = true};
    struct request request;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(values); i++) {
        for (unsigned place = 0; place < 5; place++) {
            struct h2_head *head = h2_head_init(malloc(4096), 4096, H2_HEAD_REQUEST, &H1_LIMITS_REQUEST);
            enum h2_error error;
            add(head, SLICE(":method"), place == 0 ? values[i] : SLICE("GET"));
            add(head, SLICE(":scheme"), SLICE("http"));
            add(head, SLICE(":path"), place == 1 ? values[i] : SLICE("/"));
            add(head, SLICE(":authority"), place == 2 ? values[i] : SLICE("a"));
            add(head, place == 3 ? values[i] : SLICE("x"), place == 4 ? values[i] : SLICE("y"));
            error = h2_request_end(head, &options, &test_arena, &request);
            assert_int_not_equal(error, H2_OK);
            assert_int_equal(h2_error_status(error), 400);
            head_free(head);
        }
    }
}

static void fields_of_a_connection(void **state)
{
    static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
                                        "http2-settings"};
    struct request r;
    char list[256];

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(list, sizeof(list), GET HOST "%s\tchunked\n", names[i]);
        bad(list, H2_CONNECTION_FIELD);
    }
    r = good(GET HOST "te\tTrailers\n");
    assert_slice(fields_get(&r.fields, F_TE), "Trailers");
    bad(GET HOST "te\ttrailers, gzip\n", H2_TE);
    bad(GET HOST "te\tchunked\n", H2_TE);
    bad(GET HOST "te\t\n", H2_TE);
}

#define POST ":method\tPOST\n:scheme\thttp\n:path\t/\n" HOST

static void bodies(void **state)
{
    struct h2_request_options open = {.end_stream = false}, over = {.end_stream = true};
    struct request r;

    (void)state;
    r = good_with(POST, open);
    assert_int_equal(r.body, BODY_CHUNKED);
    r = good_with(POST "content-length\t5\n", open);
    assert_int_equal(r.body, BODY_LENGTH);
    assert_int_equal(r.length_bytes, 5);
    r = good_with(POST "content-length\t0\n", open);
    assert_int_equal(r.body, BODY_NONE);
    r = good_with(POST "content-length\t0\n", over);
    assert_int_equal(r.body, BODY_NONE);
    r = good_with(POST "expect\t100-continue\n", over);
    assert_false(r.expect_continue);
    bad_with(POST "content-length\t5\n", over, H2_LENGTH);
    bad_with(POST "content-length\t5\ncontent-length\t5\n", open, H1_LENGTH_DUPLICATE);
    bad_with(POST "content-length\t+5\n", open, H1_LENGTH_INVALID);
    bad_with(POST "content-length\t5, 5\n", open, H1_LENGTH_INVALID);
    bad_with(POST "content-length\t0x5\n", open, H1_LENGTH_INVALID);
    bad_with(POST "content-length\t\n", open, H1_LENGTH_INVALID);
    bad_with(POST "content-length\t9223372036854775808\n", open, H1_LENGTH_INVALID);
    bad_with(POST "expect\tcontinue\n", open, H1_EXPECTATION);
}

#define CONNECT ":method\tCONNECT\n"
#define CHAT    CONNECT ":protocol\twebsocket\n:scheme\thttp\n:path\t/chat\n" HOST

static void connects(void **state)
{
    struct h2_request_options on = {.websocket_key = SLICE(KEY)}, off = {0};
    struct request r = good_with(CONNECT ":authority\texample.com:443\n", off);

    (void)state;
    assert_int_equal(r.method, METHOD_CONNECT);
    assert_int_equal(r.form, TARGET_AUTHORITY);
    bad_with(CONNECT HOST, off, H1_TARGET_FORM);
    bad_with(CONNECT, off, H2_PSEUDO_MISSING);
    bad_with(CONNECT ":authority\ta:1\n:path\t/\n", off, H2_PSEUDO_UNKNOWN);
    bad_with(CONNECT ":authority\ta:1\n:scheme\thttp\n", off, H2_PSEUDO_UNKNOWN);
    r = good_with(CHAT, on);
    assert_int_equal(r.method, METHOD_GET);
    assert_slice(r.method_name, "GET");
    assert_true(r.upgrade_websocket);
    assert_int_equal(r.body, BODY_NONE);
    assert_slice(fields_get(&r.fields, F_SEC_WEBSOCKET_KEY), KEY);
    assert_int_equal(fields_find_named(&r.fields, SLICE("Sec-WebSocket-Version")) >= 0, 1);
    bad_with(CHAT, off, H2_PROTOCOL);
    bad_with(CHAT "content-length\t3\n", on, H2_PROTOCOL);
    bad_with(CHAT "sec-websocket-key\tx\n", on, H2_PROTOCOL);
    bad_with(CHAT "sec-websocket-version\t8\n", on, H2_PROTOCOL);
    bad_with(CONNECT ":protocol\tconnect-udp\n:scheme\thttp\n:path\t/\n" HOST, on, H2_PROTOCOL);
    bad_with(CONNECT ":protocol\twebsocket\n:path\t/\n" HOST, on, H2_PSEUDO_MISSING);
    bad_with(CONNECT ":protocol\twebsocket\n:scheme\thttp\n" HOST, on, H2_PSEUDO_MISSING);
    on.end_stream = true;
    bad_with(CHAT, on, H2_PROTOCOL);
}

/* n fields "x<i>: v" behind a GET. */
static enum h2_error many(unsigned n, unsigned cookies, size_t value_len)
{
    struct h2_head *head = head_of(SLICE(GET HOST), H2_HEAD_REQUEST, &H1_LIMITS_REQUEST);
    struct h2_request_options options = {.end_stream = true};
    struct request request;
    enum h2_error error;
    char name[16], *value = malloc(value_len + 1);

    memset(value, 'v', value_len + 1);
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof(name), "x%u", i);
        add(head, slice_str(name), slice_of(value, value_len));
    }
    for (unsigned i = 0; i < cookies; i++)
        add(head, SLICE("cookie"), SLICE("a=b"));
    error = h2_request_end(head, &options, &test_arena, &request);
    if (error == H2_OK)
        assert_int_equal(request.fields.count, n + (cookies > 0) + 1);
    head_free(head);
    free(value);
    return error;
}

static void limits(void **state)
{
    (void)state;
    assert_int_equal(many(100, 0, 1), H2_OK);
    assert_int_equal(many(101, 0, 1), H1_TOO_MANY_FIELDS);
    assert_int_equal(many(99, 300, 1), H2_OK); /* crumbs are one field */
    assert_int_equal(many(100, 2, 1), H1_TOO_MANY_FIELDS);
    assert_int_equal(many(1, 0, 16384 - 4), H2_OK);
    assert_int_equal(many(1, 0, 16384 - 3), H1_LINE_TOO_LONG);
    assert_int_equal(many(4, 0, 8000), H2_OK);
    assert_int_equal(many(4, 0, 8190), H1_HEAD_TOO_LARGE);
    assert_int_equal(many(0, 1000, 1), H1_HEAD_TOO_LARGE); /* what a crumb counts for beside its bytes */
}

static void no_memory(void **state)
{
    struct h2_request_options options = {.end_stream = true};
    struct h2_head *head = head_of(SLICE(GET HOST "a\tb\n"), H2_HEAD_REQUEST, &H1_LIMITS_REQUEST);
    struct request request = {.minor = 9};
    struct arena tiny;
    char buffer[32];

    (void)state;
    arena_init(&tiny, buffer, sizeof(buffer), 1);
    assert_int_equal(h2_request_end(head, &options, &tiny, &request), H1_MEMORY);
    assert_int_equal(request.minor, 9);
    arena_done(&tiny);
    head_free(head);
}

/* --- responses --- */

static enum h2_error response_of(const char *list, enum method method, bool end_stream, struct response *ret)
{
    struct h2_head *head = head_of(slice_str(list), H2_HEAD_RESPONSE, &H1_LIMITS_RESPONSE);
    enum h2_error error = h2_response_end(head, method, end_stream, &test_arena, ret);

    head_free(head);
    return error;
}

static void response_is(const char *list, enum method method, bool end_stream, enum body_kind body, uint64_t length)
{
    struct response response;

    assert_int_equal(response_of(list, method, end_stream, &response), H2_OK);
    assert_int_equal(response.body, body);
    assert_int_equal(response.length_bytes, length);
}

static void response_bad(const char *list, bool end_stream, unsigned want)
{
    struct response response = {.minor = 9};
    enum h2_error error = response_of(list, METHOD_GET, end_stream, &response);

    if (error != (enum h2_error)want)
        fail_msg("%s, not %s: %s", h2_error_word(error), h2_error_word((enum h2_error)want), list);
    assert_int_equal(response.minor, 9);
}

static void responses(void **state)
{
    struct response r;

    (void)state;
    assert_int_equal(response_of(":status\t200\nset-cookie\ta\nset-cookie\tb\ncookie\tc\ncookie\td\n", METHOD_GET, false, &r),
                     H2_OK);
    assert_int_equal(r.status, 200);
    assert_int_equal(r.body, BODY_CHUNKED);
    assert_slice(slice_of(r.fields.text, r.fields.text_len),
                 "set-cookie: a\r\nset-cookie: b\r\ncookie: c\r\ncookie: d\r\n");
    response_is(":status\t200\ncontent-length\t7\n", METHOD_GET, false, BODY_LENGTH, 7);
    response_is(":status\t200\ncontent-length\t7\n", METHOD_HEAD, true, BODY_NONE, 7);
    response_is(":status\t304\ncontent-length\t7\n", METHOD_GET, true, BODY_NONE, 7);
    response_is(":status\t204\n", METHOD_GET, true, BODY_NONE, 0);
    response_is(":status\t200\n", METHOD_GET, true, BODY_LENGTH, 0);
    response_is(":status\t103\nlink\t<x>\n", METHOD_GET, false, BODY_NONE, 0);
    response_bad(":status\t200\ncontent-length\t7\n", true, H2_LENGTH);
    response_bad(":status\t103\n", true, H2_LENGTH);
    response_bad("content-length\t7\n", false, H2_PSEUDO_MISSING);
    response_bad(":status\t\n", false, H2_PSEUDO_EMPTY);
    response_bad(":status\t200\n:status\t200\n", false, H2_PSEUDO_DUPLICATE);
    response_bad(":status\t200\n:path\t/\n", false, H2_PSEUDO_UNKNOWN);
    response_bad(":status\t099\n", false, H1_BAD_STATUS);
    response_bad(":status\t600\n", false, H1_BAD_STATUS);
    response_bad(":status\t20\n", false, H1_BAD_STATUS);
    response_bad(":status\t+20\n", false, H1_BAD_STATUS);
    response_bad(":status\t200 OK\n", false, H1_BAD_STATUS);
    response_bad(":status\t101\n", false, H1_BAD_STATUS);
    response_bad(":status\t200\nconnection\tclose\n", false, H2_CONNECTION_FIELD);
    response_bad(":status\t200\ntransfer-encoding\tchunked\n", false, H2_CONNECTION_FIELD);
    response_bad(":status\t200\nte\ttrailers\n", false, H2_TE);
    response_bad(":status\t200\ncontent-length\t7\ncontent-length\t7\n", false, H1_LENGTH_DUPLICATE);
    response_bad(":status\t200\nA\tb\n", false, H2_UPPER_CASE);
    response_bad(":status\t200\na\tb\rc\n", false, H1_CONTROL);
}

static void trailers(void **state)
{
    struct h2_head *head = head_of(SLICE("grpc-status\t0\ncontent-length\t9\nhost\tx\nx-sum\t1\n"), H2_HEAD_TRAILERS,
                                   &h2_trailer_limits);
    struct fields fields;

    (void)state;
    assert_int_equal(h2_trailers_end(head, &test_arena, &fields), H2_OK);
    assert_slice(slice_of(fields.text, fields.text_len), "grpc-status: 0\r\nx-sum: 1\r\n");
    head_free(head);
    head = head_of(SLICE(":status\t200\n"), H2_HEAD_TRAILERS, &h2_trailer_limits);
    assert_int_equal(h2_trailers_end(head, &test_arena, &fields), H2_PSEUDO_UNKNOWN);
    head_free(head);
    head = head_of(SLICE("connection\tx\n"), H2_HEAD_TRAILERS, &h2_trailer_limits);
    assert_int_equal(h2_trailers_end(head, &test_arena, &fields), H2_CONNECTION_FIELD);
    head_free(head);
    head = head_of(SLICE(""), H2_HEAD_TRAILERS, &h2_trailer_limits);
    for (unsigned i = 0; i < 33; i++)
        add(head, SLICE("x"), SLICE("y"));
    assert_int_equal(h2_trailers_end(head, &test_arena, &fields), H1_TRAILERS_TOO_LARGE);
    head_free(head);
}

static void each_reason_has_words(void **state)
{
    (void)state;
    for (unsigned i = 1; i < H2_ERROR_COUNT; i++) {
        assert_true(strlen(h2_error_word((enum h2_error)i)) > 0);
        assert_true(strlen(h2_error_text((enum h2_error)i)) > 0);
        assert_in_range(h2_error_status((enum h2_error)i), 400, 505);
    }
    assert_int_equal(h2_error_status((enum h2_error)H1_HEAD_TOO_LARGE), 431);
    assert_int_equal(h2_error_status((enum h2_error)H1_TARGET_TOO_LONG), 414);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_same_request), TEST(what_is_written_for_an_origin), TEST(pseudo_fields), TEST(methods_and_schemes),
        TEST(paths), TEST(authorities), TEST(names_and_values), TEST(bytes_of_smugglers), TEST(fields_of_a_connection),
        TEST(bodies), TEST(connects), TEST(limits), TEST(no_memory), TEST(responses), TEST(trailers),
        TEST(each_reason_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
