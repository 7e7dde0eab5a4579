#include "server_test.h"

#include "http/h2_message.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: example.com\r\n\r\n"

static char large[20000];

/* ---- keep-alive, order, framing ---------------------------------------------------------------------------- */

static void test_keep_alive(void)
{
    struct wire *client;
    struct asked *asked;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/1"));
    asked = node_expect("GET", "/1");
    assert_null(asked->stream->body);
    assert_true(asked->request.keep_alive);
    answer(asked, 200, "one");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(asked->sent_bytes, 3);
    wire_say(client, GET("/2"));
    answer(node_expect("GET", "/2"), 404, "");
    wire_expect(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    wire_say(client, "GET /3 HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    answer(node_expect("GET", "/3"), 200, "three");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nthree");
    wire_expect_fin(client);
    node_expect_empty();
    node_close();
}
SEEDED(test_keep_alive, 1)

static void test_hundred_streams_on_one_connection(void)
{
    struct wire *client;
    char text[64], expected[128];

    node_open();
    client = wire_connect(HERE);
    for (unsigned i = 0; i < 100; i++) {
        struct asked *asked;
        snprintf(text, sizeof(text), "/object/%u", i);
        snprintf(expected, sizeof(expected), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", text);
        wire_say(client, expected);
        asked = node_expect("GET", text);
        answer(asked, 200, text);
        snprintf(expected, sizeof(expected), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
        wire_expect(client, expected);
        expect_ended(asked, STREAM_END_COMPLETE);
    }
    assert_int_equal(node.ended, 100);
    assert_int_equal(server_connections(node.server), 1);
    node_close();
}
SEEDED(test_hundred_streams_on_one_connection, 1)

/* All in one go; the second is not even looked at before the first is answered. */
static void test_pipelining(void)
{
    struct wire *client;
    struct asked *first, *second;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "\r\n" GET("/1") "POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody" GET("/3"));
    first = node_expect("GET", "/1");
    wire_expect_silence(client, 1000);
    assert_int_equal(node.begun, 1);
    answer(first, 200, "1");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    second = node_expect("POST", "/2");
    struct taken taken;
    take_begin(&taken, second->stream->body);
    take_expect(&taken, SOURCE_END, "body");
    take_done(&taken);
    answer(second, 201, "2");
    wire_expect(client, "HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\n2");
    answer(node_expect("GET", "/3"), 200, "3");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n3");
    node_close();
}
SEEDED(test_pipelining, 1)

static void test_pipelined_too_much(void)
{
    struct wire *client;
    static char junk[200000];
    struct asked *first;

    node_open();
    client = wire_connect(HERE);
    memset(junk, 'x', sizeof(junk));
    wire_say(client, GET("/1"));
    first = node_expect("GET", "/1");
    wire_say_bytes(client, junk, sizeof(junk));
    run_ms(5000);
    answer(first, 200, "1");
    wire_expect_head(client);
    wire_expect(client, "1");
    expect_ended(first, STREAM_END_COMPLETE);
    run_ms(5000);
    if (node_has_request(NULL)) { /* received as a head that never ends: refused */
        struct asked *second = node_next();
        assert_true(second->refused == 414 || second->refused == 431);
        answer(second, second->refused, "");
    }
    node_expect_empty();
    assert_true(node.begun <= 2);
    node_close();
}

static void test_chunked_and_unknown_lengths(void)
{
    struct wire *client;
    struct asked *asked;
    struct reply reply = {.status = 200, .length_bytes = -1};

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    feed_init(&asked->feed, SLICE("hello world"));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    wire_expect(client, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    feed_more(&asked->feed, 5);
    wire_expect(client, "5\r\nhello\r\n");
    wire_expect_silence(client, 5000);
    feed_more(&asked->feed, 6);
    wire_expect(client, "6\r\n world\r\n");
    feed_end(&asked->feed);
    wire_expect(client, "0\r\n\r\n");
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(asked->feed.closes, 1);
    wire_say(client, GET("/again"));
    answer(node_expect("GET", "/again"), 200, "");
    wire_expect_head(client);
    node_close();
}
SEEDED(test_chunked_and_unknown_lengths, 1)

static void test_http_1_0(void)
{
    struct wire *client;
    struct asked *asked;
    struct reply unknown = {.status = 200, .length_bytes = -1};

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "GET /kept HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    asked = node_expect("GET", "/kept");
    stream_interim(asked->stream, 103, NULL); /* dropped: 1.0 knows none */
    answer(asked, 200, "x");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx");
    wire_say(client, "GET /unknown HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    asked = node_expect("GET", "/unknown");
    feed_init(&asked->feed, SLICE("until the end"));
    stream_respond(asked->stream, &unknown, &asked->feed.source);
    wire_expect(client, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    feed_more(&asked->feed, 5);
    wire_expect(client, "until");
    feed_all(&asked->feed);
    wire_expect(client, " the end");
    wire_expect_fin(client);
    expect_ended(asked, STREAM_END_COMPLETE);

    client = wire_connect(HERE);
    wire_say(client, "GET /once HTTP/1.0\r\n\r\n");
    answer(node_expect("GET", "/once"), 200, "x");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx");
    wire_expect_fin(client);
    node_close();
}
SEEDED(test_http_1_0, 1)

/* What has no body by its nature has none on the wire, whatever the reply carries. */
static void test_bodiless(void)
{
    struct wire *client;
    struct asked *asked;
    struct reply head = {.status = 200, .length_bytes = 1234, .no_body = true};
    struct reply not_modified = {.status = 304, .length_bytes = 99, .no_body = true};
    struct reply no_content = {.status = 204, .length_bytes = 0, .no_body = true};
    struct reply unknown = {.status = 200, .length_bytes = -1, .no_body = true};

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    stream_respond(node_expect("HEAD", "/")->stream, &head, NULL);
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    wire_say(client, GET("/304"));
    asked = node_expect("GET", "/304");
    feed_init(&asked->feed, SLICE("never sent"));
    feed_all(&asked->feed);
    stream_respond(asked->stream, &not_modified, &asked->feed.source);
    wire_expect(client, "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n");
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(asked->feed.closes, 1);
    assert_int_equal(asked->feed.pulls, 0);
    wire_say(client, GET("/204"));
    stream_respond(node_expect("GET", "/204")->stream, &no_content, NULL);
    wire_expect(client, "HTTP/1.1 204 No Content\r\n\r\n");
    wire_say(client, "HEAD /unknown HTTP/1.1\r\nHost: h\r\n\r\n");
    stream_respond(node_expect("HEAD", "/unknown")->stream, &unknown, NULL);
    wire_expect(client, "HTTP/1.1 200 OK\r\n\r\n");
    wire_say(client, GET("/next"));
    answer(node_expect("GET", "/next"), 200, "ok");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    node_close();
}
SEEDED(test_bodiless, 1)

static void test_large_head(void)
{
    struct wire *client;
    struct asked *asked;
    struct fields fields;
    static char value[6000];
    struct reply reply = {.status = 200, .added = &fields, .length_bytes = 0};

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    memset(value, 'v', sizeof(value));
    fields_init(&fields, &asked->arena);
    assert_true(err_is_ok(fields_add(&fields, F_SERVER, slice_of(value, sizeof(value))))); /* beyond the pool's block */
    stream_respond(asked->stream, &reply, NULL);
    assert_int_equal(strlen(wire_expect_head(client)),
                     strlen("HTTP/1.1 200 OK\r\nServer: \r\nContent-Length: 0\r\n\r\n") + sizeof(value));
    node_close();
}
SEEDED(test_large_head, 1)

static void test_interim(void)
{
    struct wire *client;
    struct asked *asked;
    struct fields fields;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    fields_init(&fields, &asked->arena);
    assert_true(err_is_ok(fields_add(&fields, F_LINK, SLICE("</a.css>"))));
    stream_interim(asked->stream, 103, &fields);
    wire_expect(client, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    stream_interim(asked->stream, 103, &fields);
    stream_interim(asked->stream, 102, NULL);
    answer(asked, 200, "x"); /* behind those that are still on their way */
    wire_expect(client, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n");
    wire_expect(client, "HTTP/1.1 102 Processing\r\n\r\n");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    node_close();
}
SEEDED(test_interim, 1)

/* ---- request bodies ------------------------------------------------------------------------------------------ */

static void test_body_and_leftovers(void)
{
    struct wire *client;
    struct asked *asked;
    struct taken taken;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n" GET("/next"));
    asked = node_expect("POST", "/up");
    take_begin(&taken, asked->stream->body);
    take_expect(&taken, SOURCE_END, "hello!");
    take_done(&taken);
    answer(asked, 200, "got it");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ngot it");
    answer(node_expect("GET", "/next"), 200, "");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    node_close();
}
SEEDED(test_body_and_leftovers, 1)

static void test_100_only_when_pulled(void)
{
    struct wire *client;
    struct asked *asked;
    struct taken taken;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    asked = node_expect("PUT", "/");
    wire_expect_silence(client, 3000);
    take_begin(&taken, asked->stream->body);
    wire_expect(client, "HTTP/1.1 100 Continue\r\n\r\n");
    wire_say(client, "abc");
    take_expect(&taken, SOURCE_END, "abc");
    take_done(&taken);
    answer(asked, 200, "");
    wire_expect(client, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"); /* no second 100 */

    /* answered without asking for the body: no 100, and the connection ends */
    wire_say(client, "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    answer(node_expect("PUT", "/"), 413, "");
    wire_expect(client, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    wire_expect_fin(client);
    node_close();
}
SEEDED(test_100_only_when_pulled, 1)

/* The rest of the body cannot be told from a next request: the connection goes, but not by a reset that would
 * overtake the answer. */
static void test_early_answer_closes(void)
{
    struct wire *client;
    struct asked *asked;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nonly a part");
    asked = node_expect("POST", "/");
    answer(asked, 403, "no");
    wire_expect(client, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    wire_expect_fin(client);
    expect_ended(asked, STREAM_END_COMPLETE);
    wire_say(client, "more" GET("/smuggled")); /* read and dropped */
    run_ms(200);
    assert_false(client->reset);
    node_expect_empty();
    assert_int_equal(node.begun, 1);
    node_close();
}
SEEDED(test_early_answer_closes, 1)

static void test_body_cut_short(void)
{
    struct wire *client;
    struct asked *asked;
    struct taken taken;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf");
    wire_finish(client);
    asked = node_expect("POST", "/");
    take_begin(&taken, asked->stream->body);
    take_expect(&taken, SOURCE_FAILED, "half");
    take_done(&taken);
    answer(asked, 400, "");
    wire_expect(client, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    wire_expect_end(client);
    node_close();
}
SEEDED(test_body_cut_short, 1)

/* ---- refused heads ------------------------------------------------------------------------------------------ */

static void expect_refused(const char *head, uint16_t status, enum h1_error error)
{
    struct wire *client = wire_connect(HERE);
    struct asked *asked;

    wire_say(client, head);
    asked = node_next();
    assert_false(asked->has_request);
    assert_int_equal(asked->refused, status);
    assert_int_equal(asked->refused_index, error);
    assert_string_equal(asked->reason, h1_error_word(error));
    assert_string_equal(stream_refusals[error], h1_error_word(error));
    answer(asked, status, "refused");
    assert_non_null(strstr(wire_expect_head(client), "Connection: close\r\n"));
    wire_expect(client, "refused");
    wire_expect_fin(client);
    expect_ended(asked, STREAM_END_COMPLETE);
    wire_close(client);
    node_expect_empty();
}

static void test_refused(void)
{
    node_open();
    expect_refused("GET / HTTP/1.1\nHost: h\n\n", 400, H1_BARE_LF);
    expect_refused("GET / HTTP/1.1\r\n\r\n", 400, H1_HOST_MISSING);
    expect_refused("GET / HTTP/2.0\r\n\r\n", 505, H1_VERSION_UNSUPPORTED);
    expect_refused("GET / HTTP/1.1\r\nHost: h\r\nX : y\r\n\r\n", 400, H1_SPACE_BEFORE_COLON);
    expect_refused("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
                   H1_LENGTH_AND_ENCODING);
    expect_refused("\x16\x03\x01\x02\x00\x01", 400, H1_BAD_START); /* TLS to a plain port */
    node_close();
}
SEEDED(test_refused, 1)

/* What follows a refused head is never another request, and the client still reads the answer. */
static void test_refused_with_more_behind(void)
{
    struct wire *client;
    struct asked *asked;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "GET / HTTP/1.1\r\nBad Header\r\n\r\n" GET("/smuggled") GET("/smuggled"));
    asked = node_next();
    assert_int_equal(asked->refused, 400);
    answer(asked, 400, "no");
    wire_expect_head(client);
    wire_expect(client, "no");
    wire_expect_fin(client);
    wire_say(client, GET("/late"));
    node_expect_empty();
    assert_int_equal(node.begun, 1);
    node_close();
}
SEEDED(test_refused_with_more_behind, 1)

/* Nobody lingers for ever. */
static void test_linger_ends(void)
{
    struct wire *client;
    uint64_t begun_ms;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "BAD\r\n\r\n");
    answer(node_next(), 400, "no");
    wire_expect_head(client);
    wire_expect(client, "no");
    wire_expect_fin(client);
    begun_ms = now_ms();
    node_expect_empty();
    assert_in_range(now_ms() - begun_ms, 0, 2100);
    node_close();
}
SEEDED(test_linger_ends, 1)

static void test_no_memory_for_an_exchange(void)
{
    struct wire *client;

    node_open();
    node.no_memory = true;
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    wire_expect_reset(client);
    client = wire_connect(HERE);
    wire_say(client, "BAD\r\n\r\n");
    wire_expect_reset(client);
    assert_int_equal(node.begun, 0);
    node_close();
}
SEEDED(test_no_memory_for_an_exchange, 1)

static void test_too_many_connections(void)
{
    struct wire *first, *second;

    node_open();
    node.limits.connections_max = 1;
    first = wire_connect(HERE);
    wire_say(first, GET("/"));
    node_next();
    second = wire_connect(HERE);
    run_ms(2000);
    assert_true(wire_has_ended(second)); /* at once, not when it has been idle */
    assert_int_equal(server_connections(node.server), 1);
    node_close();
}
SEEDED(test_too_many_connections, 1)

/* ---- ends --------------------------------------------------------------------------------------------------- */

static void test_abort(void)
{
    struct wire *client;
    struct asked *asked;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    feed_init(&asked->feed, SLICE("0123456789"));
    feed_more(&asked->feed, 4);
    stream_respond(asked->stream, &(struct reply){.status = 200, .length_bytes = 10}, &asked->feed.source);
    run_ms(2000);
    stream_abort(asked->stream);
    expect_ended(asked, STREAM_END_ABORTED);
    assert_int_equal(asked->feed.closes, 1);
    wire_expect_reset(client);
    node_expect_empty();
    node_close();
}
SEEDED(test_abort, 1)

/* A source that fails, or ends too early: never a clean end. */
static void test_failing_sources(void)
{
    for (int kind = 0; kind < 3; kind++) {
        struct wire *client;
        struct asked *asked;

        node_open();
        client = wire_connect(HERE);
        wire_say(client, GET("/"));
        asked = node_next();
        feed_init(&asked->feed, SLICE("0123456789"));
        feed_more(&asked->feed, 4);
        stream_respond(asked->stream, &(struct reply){.status = 200, .length_bytes = kind == 0 ? -1 : 10}, &asked->feed.source);
        run_ms(1000);
        if (kind == 2)
            feed_end(&asked->feed); /* short */
        else
            feed_fail(&asked->feed);
        expect_ended(asked, STREAM_END_BODY_FAILED);
        assert_int_equal(asked->feed.closes, 1);
        wire_expect_reset(client);
        assert_null(strstr(client->got != NULL ? client->got : "", "\r\n0\r\n\r\n"));
        node_close();
    }
}
SEEDED(test_failing_sources, 1)

static void test_client_leaves_while_waiting(void)
{
    struct wire *client;
    struct asked *asked;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    wire_reset(client);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    node_expect_empty();
    node_close();
}
SEEDED(test_client_leaves_while_waiting, 1)

/* The connection is closing, its end not yet told: whatever the transaction still says is swallowed. */
static void test_answer_after_the_client_left(void)
{
    for (int kind = 0; kind < 5; kind++) {
        struct wire *client;
        struct asked *asked;

        node_open();
        client = wire_connect(HERE);
        wire_say(client, "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n");
        asked = node_next();
        feed_init(&asked->feed, SLICE("never sent"));
        feed_all(&asked->feed);
        stream_abort(asked->stream);
        assert_int_equal(asked->ended, 0); /* told from the loop, later */
        if (kind == 0) {
            slice shown[1];
            unsigned count;
            assert_int_equal(source_peek(asked->stream->body, shown, 1, &count), SOURCE_FAILED);
        } else if (kind == 1) {
            stream_interim(asked->stream, 103, NULL);
        } else if (kind == 2) {
            stream_respond(asked->stream, &(struct reply){.status = 200, .length_bytes = -1}, &asked->feed.source);
            feed_more(&asked->feed, 1);
        } else if (kind == 3) {
            stream_respond(asked->stream, &(struct reply){.status = 101, .length_bytes = -1}, &asked->feed.source);
            assert_non_null(asked->stream->body);
        } else {
            stream_abort(asked->stream);
        }
        expect_ended(asked, STREAM_END_ABORTED);
        assert_int_equal(asked->feed.closes, kind == 2 || kind == 3);
        wire_expect_reset(client);
        node_close();
    }
}
SEEDED(test_answer_after_the_client_left, 1)

static void test_client_leaves_while_reading(void)
{
    struct wire *client;
    struct asked *asked;
    static char bytes[2000000];

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    feed_init(&asked->feed, slice_of(bytes, sizeof(bytes)));
    stream_respond(asked->stream, &(struct reply){.status = 200, .length_bytes = sizeof(bytes)}, &asked->feed.source);
    wire_expect_head(client);
    feed_more(&asked->feed, 100000);
    wire_reset(client);
    for (int i = 0; i < 10 && asked->ended == 0; i++) {
        feed_more(&asked->feed, 1000);
        run_ms(100);
    }
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    assert_int_equal(asked->feed.closes, 1);
    assert_true(asked->sent_bytes < sizeof(bytes));
    node_expect_empty();
    node_close();
}
SEEDED(test_client_leaves_while_reading, 1)

/* A FIN behind the request says: no more requests. The answer is still wanted. */
static void test_half_close(void)
{
    struct wire *client;
    struct asked *asked;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    wire_finish(client);
    asked = node_next();
    run_ms(2000);
    assert_int_equal(asked->ended, 0);
    answer(asked, 200, "still");
    assert_non_null(strstr(wire_expect_head(client), "Connection: close"));
    wire_expect(client, "still");
    wire_expect_fin(client);
    expect_ended(asked, STREAM_END_COMPLETE);

    /* but for an endless answer it means that nobody listens */
    client = wire_connect(HERE);
    wire_say(client, GET("/events"));
    asked = node_next();
    asked->stream->leave_on_fin = true;
    feed_init(&asked->feed, SLICE("data"));
    stream_respond(asked->stream, &(struct reply){.status = 200, .length_bytes = -1}, &asked->feed.source);
    wire_expect_head(client);
    run_ms(1000);
    wire_finish(client);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    assert_int_equal(asked->feed.closes, 1);
    node_close();
}
SEEDED(test_half_close, 1)

static void emptied(void *arg)
{
    *(bool *)arg = true;
}

static void test_drain(void)
{
    struct wire *idle, *busy, *late;
    struct asked *asked;
    bool is_empty = false;

    node_open();
    idle = wire_connect(HERE);
    wire_say(idle, GET("/idle"));
    answer(node_expect("GET", "/idle"), 200, "");
    wire_expect_head(idle);
    run_ms(1000);
    busy = wire_connect(HERE);
    wire_say(busy, GET("/busy"));
    asked = node_expect("GET", "/busy");
    server_drain(node.server, emptied, &is_empty);
    wire_expect_fin(idle);
    late = wire_connect(HERE);
    wire_expect_end(late);
    assert_false(is_empty);
    answer(asked, 200, "last");
    assert_non_null(strstr(wire_expect_head(busy), "Connection: close\r\n"));
    wire_expect(busy, "last");
    wire_expect_fin(busy);
    RUN_UNTIL_TRUE(is_empty);
    node_close();

    node_open(); /* with nobody there it is over at once */
    is_empty = false;
    server_drain(node.server, emptied, &is_empty);
    assert_true(is_empty);
    node_close();
}
SEEDED(test_drain, 1)

static void test_stop(void)
{
    struct wire *busy, *idle;
    struct asked *asked;

    node_open();
    idle = wire_connect(HERE);
    busy = wire_connect(HERE);
    wire_say(busy, GET("/"));
    asked = node_next();
    run_until(is_true_, &idle->connected, "a connection");
    run_ms(1000);
    server_stop(node.server);
    expect_ended(asked, STREAM_END_SHUTDOWN);
    wire_expect_reset(busy);
    wire_expect_end(idle);
    node_close();
}
SEEDED(test_stop, 1)

/* ---- time --------------------------------------------------------------------------------------------------- */

static void test_head_timeout(void)
{
    struct wire *client;
    struct asked *asked;
    uint64_t begun_ms;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "GET / HT");
    run_ms(1000);
    begun_ms = now_ms();
    for (int i = 0; i < 8; i++) {
        wire_say(client, "T"); /* bytes that come do not buy time */
        run_ms(1000);
    }
    assert_int_equal(node.begun, 0);
    asked = node_next();
    assert_in_range(now_ms() - begun_ms, 8000, 10100);
    assert_int_equal(asked->refused, 408);
    assert_string_equal(asked->reason, "head-timeout");
    assert_string_equal(stream_refusals[asked->refused_index], "head-timeout");
    answer(asked, 408, "late");
    assert_non_null(strstr(wire_expect_head(client), "408"));
    wire_expect(client, "late");
    wire_expect_fin(client);
    node_expect_empty();
    node_close();
}
SEEDED(test_head_timeout, 1)

static void test_idle_timeout(void)
{
    struct wire *fresh, *kept;
    uint64_t begun_ms = now_ms();

    node_open();
    fresh = wire_connect(HERE); /* never says a word */
    wire_expect_fin(fresh);
    assert_in_range(now_ms() - begun_ms, 30000, 31000);
    kept = wire_connect(HERE);
    wire_say(kept, GET("/"));
    answer(node_next(), 200, "");
    wire_expect_head(kept);
    begun_ms = now_ms();
    wire_expect_fin(kept); /* no 408: nothing was asked */
    assert_in_range(now_ms() - begun_ms, 29000, 31000);
    node_expect_empty();
    node_close();
}
SEEDED(test_idle_timeout, 1)

/* Idle begins when the client has the answer, not when the kernel has it. */
static void test_idle_and_a_slow_reader(void)
{
    struct reply reply = {.status = 200, .length_bytes = sizeof(large)};
    struct wire *client;
    struct asked *asked;

    node_open();
    node.limits.send_min_bytes_per_s = 1;
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    wire_read_in_pieces(client);
    source_memory_init(&asked->memory, slice_of(large, sizeof(large)));
    stream_respond(asked->stream, &reply, &asked->memory.source);
    for (unsigned i = 0; i < 500 && client->len < sizeof(large); i++) {
        wire_read_piece(client);
        run_ms(9000);
    }
    client->in_pieces = false;
    wire_read_piece(client);
    wire_expect_head(client);
    wire_expect_any(client, sizeof(large));
    assert_int_equal(node_limit(STREAM_LIMIT_IDLE_TIME), 0);
    wire_say(client, GET("/2"));
    answer(node_expect("GET", "/2"), 200, "");
    wire_expect_head(client);
    wire_expect_fin(client);
    assert_int_equal(node_limit(STREAM_LIMIT_IDLE_TIME), 1);
    node_expect_empty();
    node_close();
}
SEEDED(test_idle_and_a_slow_reader, 1)

/* What lies there for ever is not waited for. */
static void test_idle_and_no_reader(void)
{
    struct reply reply = {.status = 200, .length_bytes = sizeof(large)};
    struct wire *client;
    struct asked *asked;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    wire_read_in_pieces(client);
    source_memory_init(&asked->memory, slice_of(large, sizeof(large)));
    stream_respond(asked->stream, &reply, &asked->memory.source);
    node_expect_empty();
    assert_int_equal(node_limit(STREAM_LIMIT_IDLE_TIME) + node_limit(STREAM_LIMIT_SEND_RATE), 1);
    node_close();
}
SEEDED(test_idle_and_no_reader, 1)

/* One who does not read is cut after 30 s, and not before. */
static void test_slow_reader(void)
{
    struct wire *client;
    struct asked *asked;
    static char bytes[2000000];
    uint64_t begun_ms;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    feed_init(&asked->feed, slice_of(bytes, sizeof(bytes)));
    feed_all(&asked->feed);
    stream_respond(asked->stream, &(struct reply){.status = 200, .length_bytes = sizeof(bytes)}, &asked->feed.source);
    wire_expect_head(client);
    sim_pause(&client->sim, true);
    begun_ms = now_ms();
    expect_ended(asked, STREAM_END_CLIENT_SLOW);
    assert_in_range(now_ms() - begun_ms, 20000, 41000);
    assert_int_equal(asked->feed.closes, 1);
    node_close();
}
SEEDED(test_slow_reader, 1)

/* One who reads in bursts is not: slow looks that do not follow each other do not add up. */
static void test_bursty_reader(void)
{
    struct wire *client;
    struct asked *asked;
    static char bytes[1200000];

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    feed_init(&asked->feed, slice_of(bytes, sizeof(bytes)));
    stream_respond(asked->stream, &(struct reply){.status = 200, .length_bytes = sizeof(bytes)}, &asked->feed.source);
    wire_expect_head(client);
    for (int i = 0; i < 12; i++) {
        sim_pause(&client->sim, true);
        feed_more(&asked->feed, 100000); /* more than lies in the network */
        run_ms(15000);
        assert_int_equal(asked->ended, 0);
        sim_pause(&client->sim, false);
        run_ms(5000);
    }
    wire_expect_any(client, sizeof(bytes));
    expect_ended(asked, STREAM_END_COMPLETE);
    node_close();
}
SEEDED(test_bursty_reader, 1)

/* A source that has nothing for a long time is the origin's affair, not the client's. */
static void test_slow_source_is_not_the_client(void)
{
    struct wire *client;
    struct asked *asked;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, GET("/"));
    asked = node_next();
    run_ms(120000); /* before the head */
    feed_init(&asked->feed, SLICE("abc"));
    stream_respond(asked->stream, &(struct reply){.status = 200, .length_bytes = 3}, &asked->feed.source);
    wire_expect_head(client);
    run_ms(120000); /* and behind it */
    assert_int_equal(asked->ended, 0);
    feed_all(&asked->feed);
    wire_expect(client, "abc");
    expect_ended(asked, STREAM_END_COMPLETE);
    node_close();
}
SEEDED(test_slow_source_is_not_the_client, 1)

static void test_slow_body(void)
{
    struct wire *client;
    struct asked *asked;
    struct taken taken;
    uint64_t begun_ms;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    asked = node_next();
    take_begin(&taken, asked->stream->body);
    begun_ms = now_ms();
    for (int i = 0; i < 60 && asked->ended == 0; i++) {
        wire_say(client, "x"); /* far below 500 bytes a second */
        run_ms(1000);
    }
    assert_int_equal(asked->ended, 1);
    assert_int_equal(asked->end, STREAM_END_CLIENT_SLOW);
    assert_in_range(now_ms() - begun_ms, 10000, 31000);
    take_done(&taken);
    node_close();
}
SEEDED(test_slow_body, 1)

/* The clock of a body runs while it is waited for: one that is asked for late is not late. */
static void test_body_pulled_late(void)
{
    struct wire *client;
    struct asked *asked;
    struct taken taken;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "PUT / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    asked = node_next();
    run_ms(9500); /* connecting to the origin, say */
    take_begin(&taken, asked->stream->body);
    wire_expect(client, "HTTP/1.1 100 Continue\r\n\r\n");
    run_ms(2000);
    assert_int_equal(asked->ended, 0);
    wire_say(client, "abc");
    take_expect(&taken, SOURCE_END, "abc");
    take_done(&taken);
    answer(asked, 200, "");
    wire_expect_head(client);
    node_close();
}
SEEDED(test_body_pulled_late, 1)

/* ---- tunnels ------------------------------------------------------------------------------------------------ */

static void test_tunnel(void)
{
    struct wire *client;
    struct asked *asked;
    struct taken taken;
    struct fields fields;

    node_open();
    client = wire_connect(HERE);
    wire_say(client, "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly");
    asked = node_next();
    assert_true(asked->request.upgrade_websocket);
    run_ms(1000);
    fields_init(&fields, &asked->arena);
    feed_init(&asked->feed, SLICE("from afar"));
    stream_respond(asked->stream, &(struct reply){.status = 101, .added = &fields, .length_bytes = -1}, &asked->feed.source);
    wire_expect(client, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_non_null(asked->stream->body);
    take_begin(&taken, asked->stream->body);
    wire_say(client, " and late");
    feed_more(&asked->feed, 4);
    wire_expect(client, "from");
    run_ms(300000); /* silence is fine here */
    assert_int_equal(asked->ended, 0);
    feed_more(&asked->feed, 5);
    wire_expect(client, " afar");
    wire_finish(client);
    take_expect(&taken, SOURCE_END, "early and late");
    take_done(&taken);
    feed_end(&asked->feed);
    wire_expect_fin(client);
    expect_ended(asked, STREAM_END_COMPLETE);
    node_expect_empty();
    node_close();
}
SEEDED(test_tunnel, 1)

SEEDED(test_pipelined_too_much, 1)

static void test_words(void **state)
{
    (void)state;
    assert_string_equal(stream_end_word(STREAM_END_CLIENT_SLOW), "client-slow");
    assert_string_equal(client_failure_word(CLIENT_FAILURE_TIMEOUT), "origin-timeout");
    assert_string_equal(client_failure_type(CLIENT_FAILURE_TIMEOUT), "http_response_timeout");
    assert_string_equal(stream_limits[STREAM_LIMIT_SEND_RATE], "send_rate");
    assert_null(stream_refusals[H1_OK]);
    assert_int_equal(stream_refusals_count, H2_ERROR_COUNT + 1);
    assert_true(server_idle_bytes() <= 512);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_keep_alive),
        SEEDED_TEST(test_hundred_streams_on_one_connection),
        SEEDED_TEST(test_pipelining),
        SEEDED_TEST(test_pipelined_too_much),
        SEEDED_TEST(test_chunked_and_unknown_lengths),
        SEEDED_TEST(test_http_1_0),
        SEEDED_TEST(test_bodiless),
        SEEDED_TEST(test_large_head),
        SEEDED_TEST(test_interim),
        SEEDED_TEST(test_body_and_leftovers),
        SEEDED_TEST(test_100_only_when_pulled),
        SEEDED_TEST(test_early_answer_closes),
        SEEDED_TEST(test_body_cut_short),
        SEEDED_TEST(test_refused),
        SEEDED_TEST(test_refused_with_more_behind),
        SEEDED_TEST(test_linger_ends),
        SEEDED_TEST(test_no_memory_for_an_exchange),
        SEEDED_TEST(test_too_many_connections),
        SEEDED_TEST(test_abort),
        SEEDED_TEST(test_failing_sources),
        SEEDED_TEST(test_client_leaves_while_waiting),
        SEEDED_TEST(test_answer_after_the_client_left),
        SEEDED_TEST(test_client_leaves_while_reading),
        SEEDED_TEST(test_half_close),
        SEEDED_TEST(test_drain),
        SEEDED_TEST(test_stop),
        SEEDED_TEST(test_head_timeout),
        SEEDED_TEST(test_idle_timeout),
        SEEDED_TEST(test_idle_and_a_slow_reader),
        SEEDED_TEST(test_idle_and_no_reader),
        SEEDED_TEST(test_slow_reader),
        SEEDED_TEST(test_bursty_reader),
        SEEDED_TEST(test_slow_source_is_not_the_client),
        SEEDED_TEST(test_slow_body),
        SEEDED_TEST(test_body_pulled_late),
        SEEDED_TEST(test_tunnel),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
