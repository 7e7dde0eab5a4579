#include "txn_test.h"

/* What the client is told when WARP answers itself: the head, with the whole body in *ret_body. */
static const char *refused(struct wire *client, const char *request, const char **ret_body)
{
    const char *head, *length;
    size_t n;

    wire_say(client, request);
    head = wire_expect_head(client);
    length = strstr(head, "Content-Length: ");
    assert_non_null(length);
    n = (size_t)atol(length + 16);
    *ret_body = wire_expect_any(client, n);
    assert_int_equal(client->len, client->read);
    return head;
}

static bool is_json(const char *head)
{
    bool json = strstr(head, "Content-Type: application/problem+json\r\n") != NULL;
    bool html = strstr(head, "Content-Type: text/html; charset=utf-8\r\n") != NULL;

    assert_true(json != html);
    return json;
}

static void expect_type(const char *accept, bool json)
{
    struct wire *client = wire_connect(HERE);
    const char *head, *body;
    char text[500];

    snprintf(text, sizeof(text), "GET /none HTTP/1.1\r\nHost: h\r\nCache-Control: only-if-cached\r\n%s\r\n", accept);
    head = refused(client, text, &body);
    assert_non_null(strstr(head, "HTTP/1.1 504 Gateway Timeout\r\n"));
    assert_int_equal(is_json(head), json);
    if (json) {
        assert_int_equal(memcmp(body, "{\"type\":\"about:blank\",\"title\":\"Gateway Timeout\",\"status\":504,", 60), 0);
        assert_non_null(strstr(body, "\"reason\":\"only-if-cached\""));
        assert_int_equal(body[strlen(body) - 1], '\n');
    } else {
        assert_int_equal(memcmp(body, "<!doctype html>", 15), 0);
        assert_non_null(strstr(body, "504 Gateway Timeout"));
    }
    assert_non_null(strstr(head, "Cache-Control: no-store\r\n"));
    assert_non_null(strstr(head, "Date: "));
    assert_non_null(strstr(head, "Via: 1.1 warp\r\n"));
    wire_close(client);
}

static void test_choice(void)
{
    site_open();
    expect_type("", false);
    expect_type("Accept: */*\r\n", false);
    expect_type("Accept: application/json\r\n", true);
    expect_type("Accept: application/problem+json, text/html\r\n", true);
    expect_type("Accept: text/html,application/json\r\n", false); /* the first that is named */
    expect_type("Accept: application/jsonp;q=0\r\nAccept: text/html\r\n", true);
    expect_type("Accept: \"\r\n", false);
    site_close();
}
SEEDED(test_choice, 1)

/* Nothing of the request comes back in the page. */
static void test_nothing_is_echoed(void)
{
    struct wire *client;
    const char *body, *head;

    site_open();
    client = wire_connect(HERE);
    head = refused(client,
                   "GET /<script>alert(1)</script>?\"'& HTTP/1.1\r\nHost: h\r\nX-Request-Id: \"><script>\r\n"
                   "Cache-Control: only-if-cached\r\nCookie: secret=1\r\n\r\n",
                   &body);
    assert_null(strstr(body, "script>"));
    assert_null(strstr(body, "secret"));
    assert_null(strstr(head, "script"));
    client = wire_connect(HERE);
    head = refused(client, "GET / HTTP/1.1\r\nHost: evil\"</h1><b>.example\r\n\r\n", &body);
    assert_non_null(strstr(head, "400"));
    assert_null(strstr(body, "evil"));
    site_close();
}
SEEDED(test_nothing_is_echoed, 1)

static void test_statuses(void)
{
    struct wire *client;
    const char *body, *head;

    site_open();
    client = wire_connect(HERE);
    head = refused(client, "TRACE / HTTP/1.1\r\nHost: h\r\n\r\n", &body);
    assert_non_null(strstr(head, "HTTP/1.1 405 "));
    assert_non_null(strstr(head, "Allow: GET, HEAD"));
    assert_non_null(strstr(head, "Cache-Status: warp; detail=method-trace\r\n"));
    head = refused(client, "PURGE / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n\r\n", &body); /* nobody has the right */
    assert_non_null(strstr(head, "HTTP/1.1 403 "));
    head = refused(client, "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\nBad Line\r\n\r\n", &body);
    assert_non_null(strstr(head, "HTTP/1.1 400 "));
    wire_expect_fin(client);
    site_close();
}
SEEDED(test_statuses, 1)

static void test_head_has_no_body(void)
{
    struct wire *client;

    site_open();
    client = wire_connect(HERE);
    wire_say(client, "HEAD /none HTTP/1.1\r\nHost: h\r\nCache-Control: only-if-cached\r\n\r\n");
    assert_non_null(strstr(wire_expect_head(client), "504"));
    wire_expect_silence(client, 1000);
    site_close();
}
SEEDED(test_head_has_no_body, 1)

/* The origin's failures, each with its Proxy-Status. */
static void test_origin_failures(void)
{
    struct wire *client, *origin;
    const char *body, *head;

    site_open();
    client = wire_connect(HERE);
    wire_say(client, "GET /a HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n");
    origin = door_accept(site.door);
    wire_expect_head(origin);
    wire_finish(origin);
    head = refused(client, "", &body);
    assert_non_null(strstr(head, "HTTP/1.1 502 "));
    assert_non_null(strstr(head, "Proxy-Status: warp; error=connection_terminated\r\n"));
    wire_say(client, "GET /b HTTP/1.1\r\nHost: h\r\n\r\n");
    origin = door_accept(site.door);
    wire_expect_head(origin);
    head = refused(client, "", &body); /* nothing comes for 30 s */
    assert_non_null(strstr(head, "HTTP/1.1 504 "));
    assert_non_null(strstr(head, "error=http_response_timeout"));
    site_close();
}
SEEDED(test_origin_failures, 1)

/* The shortest way to stop a proxy: an upload of nothing. */
static void test_empty_post(void)
{
    struct wire *client, *origin;

    site_open();
    client = wire_connect(HERE);
    wire_say(client, "POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    origin = door_accept(site.door);
    assert_non_null(strstr(wire_expect_head(origin), "Content-Length: 0\r\n"));
    wire_say(origin, "HTTP/1.1 204 No Content\r\n\r\n");
    assert_non_null(strstr(wire_expect_head(client), "204 No Content"));
    site_close();
}
SEEDED(test_empty_post, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_choice),           SEEDED_TEST(test_nothing_is_echoed), SEEDED_TEST(test_statuses),
        SEEDED_TEST(test_head_has_no_body), SEEDED_TEST(test_origin_failures),   SEEDED_TEST(test_empty_post),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
