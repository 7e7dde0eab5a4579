#include "cache/forward.h"

#include "cache_test.h"

static struct forward_options options;
static struct fields sent;

static int start(void **state)
{
    static const uint8_t random[24] = {0x01, 0x23, [23] = 0xff};
    options = (struct forward_options){.client_ip = SLICE("192.0.2.1"), .node = 0xdeadbeef, .request_id = SLICE("id-1"), .trace_random = random};
    return setup(state);
}

static void build(const char *text)
{
    struct request request = request_of(METHOD_GET, text);
    fields_init(&sent, &arena);
    OK(forward_build(&request, &options, &sent));
}

#define SENT(name, value) assert_slice(value_of(&sent, name), value)
#define NOT_SENT(name)    assert_null(value_of(&sent, name).data)

static void what_unkeyed_input_becomes(void **state)
{
    (void)state;
    static const char *const gone[] = {"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy", "TE", "Upgrade",
        "HTTP2-Settings", "Transfer-Encoding", "Content-Length", "Trailer", "Expect", "X-Forwarded-Server", "X-Forwarded-Scheme",
        "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method",
        "X-Method-Override", "X-Host", "X-Original-Host", "X-Real-IP", "True-Client-IP", "X-Client-IP", "x_original_url", "X_REAL_IP"};
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        build(arena_printf(&arena, "%s: evil\nX-Api-Key: k", gone[i]).data);
        NOT_SENT(gone[i]);
        SENT("X-Api-Key", "k");
    }
    build("Host: h\nX-Forwarded-Host: evil\nX-Forwarded-Proto: https\nForwarded: for=evil\nX_Forwarded_Host: evil");
    assert_int_equal(sent.list[0].id, F_HOST);
    SENT("Host", "example.com");
    SENT("X-Forwarded-Host", "example.com");
    SENT("X-Forwarded-Proto", "http");
    SENT("X-Forwarded-For", "192.0.2.1");
    SENT("Forwarded", "for=192.0.2.1;host=example.com;proto=http");
    NOT_SENT("X_Forwarded_Host");
    static const char *const asked[] = {"X-Original-URL", NULL};
    options.also_pass = asked;
    build("X-Original-URL: /x\nX-Rewrite-URL: /y\nConnection: a\nA: b");
    SENT("X-Original-URL", "/x");
    NOT_SENT("X-Rewrite-URL");
    NOT_SENT("A");
}

static void a_fill_is_for_everybody(void **state)
{
    (void)state;
    const char *text = "Range: bytes=0-1\nIf-None-Match: \"a\"\nIf-Range: \"a\"\nIf-Modified-Since: x\nCache-Control: no-cache\nPragma: no-cache\nCookie: c";
    build(text);
    SENT("Range", "bytes=0-1");
    SENT("Cache-Control", "no-cache");
    options.is_fill = true;
    build(text);
    NOT_SENT("Range");
    NOT_SENT("If-None-Match");
    NOT_SENT("If-Modified-Since");
    NOT_SENT("Cache-Control");
    SENT("Cookie", "c");
    options.keep_range = true;
    build(text);
    SENT("Range", "bytes=0-1");
    NOT_SENT("If-None-Match");
}

static void hops_and_ids(void **state)
{
    (void)state;
    build("Via: 1.1 a\nVia: 1.0 b\nCDN-Loop: other");
    SENT("Via", "1.1 a, 1.0 b, 1.1 warp");
    SENT("CDN-Loop", "other, warp; node=deadbeef");
    SENT("X-Request-Id", "id-1");
    SENT("traceparent", "00-01230000000000000000000000000000-00000000000000ff-00");
    const char *good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    build(arena_printf(&arena, "traceparent: %s\ntracestate: a=b\nX-Request-Id: mine.1", good).data);
    SENT("traceparent", good);
    SENT("tracestate", "a=b");
    SENT("X-Request-Id", "mine.1");
    build("traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\ntracestate: a=b\nX-Request-Id: a b");
    NOT_SENT("tracestate");
    SENT("X-Request-Id", "id-1");
    options.client_ip = SLICE("2001:db8::1");
    options.trusted_for = SLICE("198.51.100.7, \"odd");
    options.https = true;
    build("");
    SENT("X-Forwarded-For", "198.51.100.7, \"odd, 2001:db8::1");
    SENT("Forwarded", "for=198.51.100.7, for=unknown, for=\"[2001:db8::1]\";host=example.com;proto=https");
    options.keep_upgrade = true;
    build("Connection: Upgrade, keep-alive\nUpgrade: h2c, websocket");
    SENT("Connection", "Upgrade");
    SENT("Upgrade", "websocket");
}

static void an_answer_that_is_passed(void **state)
{
    (void)state;
    struct response r = response_of(200, "Connection: a\na: 1\nB: 2\nContent-Length: 3\nWarp-Cache-Control: no-store\n"
                                         "Surrogate-Control: x\nSet-Cookie: c\nSet-Cookie: d\nAge: 1");
    fields_init(&sent, &arena);
    OK(forward_response(&r, &sent));
    assert_slice(slice_of(sent.text, sent.text_len), "B: 2\r\nSet-Cookie: c\r\nSet-Cookie: d\r\nAge: 1\r\n");
}

static void a_hostile_connection_field(void **state)
{
    (void)state;
    struct request request = request_of(METHOD_GET, "Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q");
    fields_init(&sent, &arena);
    assert_int_equal(forward_build(&request, &options, &sent).code, ERR_LIMIT);
}

static enum forward_loop loop(const char *text)
{
    struct request request = request_of(METHOD_GET, text);
    return forward_loop_check(&request.fields, 0xdeadbeef);
}

static void loops(void **state)
{
    (void)state;
    assert_int_equal(loop(""), FORWARD_LOOP_NONE);
    assert_int_equal(loop("CDN-Loop: warp; node=00000001, other"), FORWARD_LOOP_NONE);
    assert_int_equal(loop("CDN-Loop: a\nCDN-Loop: b, WARP ;x=y; Node=DEADBEEF"), FORWARD_LOOP_OWN_NODE);
    assert_int_equal(loop("CDN-Loop: other; node=deadbeef"), FORWARD_LOOP_NONE);
    assert_int_equal(loop("CDN-Loop: 1,2,3,4,5,6,7,8"), FORWARD_LOOP_NONE);
    assert_int_equal(loop("CDN-Loop: 1,2,3,4,5,6,7,8,9"), FORWARD_LOOP_HOPS);
}

#define FTEST(name) cmocka_unit_test_setup_teardown(name, start, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {FTEST(what_unkeyed_input_becomes), FTEST(a_fill_is_for_everybody), FTEST(hops_and_ids), FTEST(an_answer_that_is_passed),
                                       FTEST(a_hostile_connection_field), FTEST(loops)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
