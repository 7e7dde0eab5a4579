#include "proto/client.h"
#include "tests/support/feed.h"
#include "tests/support/sim_net.h"
#include "tests/support/taken.h"

#include <errno.h>
#include <stdio.h>

#define ORIGIN "10.0.0.9:8080"

/* One connection and the exchange on it. */
struct user {
    struct client *client;
    struct client_stream *stream;
    struct arena arena;
    struct fields fields;
    int32_t connected; /* 1: not told */
    unsigned idles, gones, heads, interims, failures;
    enum client_failure failure;
    bool sent, has_head, has_failed;
    char detail[80];
    struct response response;
    struct taken taken;
    bool leaves_in_interim;
};
static struct user user;
static struct door *door;

static void on_connected(void *owner, int32_t result, const char *detail)
{
    (void)detail;
    assert_ptr_equal(owner, &user);
    assert_int_equal(user.connected, 1); /* told once */
    user.connected = result;
}

static void on_changed(void *owner)
{
    (void)owner;
    assert_int_equal(client_room(user.client), 1);
    user.idles++;
}

static void on_gone(void *owner)
{
    (void)owner;
    user.gones++;
    user.client = NULL;
}

static const struct client_owner owner_events = {on_connected, on_changed, on_gone};

static void on_interim(void *arg, struct response *response)
{
    (void)arg;
    assert_true(response->status > 100 && response->status < 200);
    user.interims++;
    if (user.leaves_in_interim)
        user.stream = client_stream_finish(user.stream);
}

static void on_head(void *arg, struct response *response)
{
    (void)arg;
    user.heads++;
    user.has_head = true;
    user.response = *response;
}

static void on_failed(void *arg, enum client_failure failure, bool sent, const char *detail)
{
    (void)arg;
    user.failures++;
    user.failure = failure;
    user.sent = sent;
    user.has_failed = true;
    user.stream = NULL;
    snprintf(user.detail, sizeof(user.detail), "%s", detail != NULL ? detail : "");
}

static const struct client_events events = {on_interim, on_head, on_failed};

static void user_new(void)
{
    struct os_address address = address_of(ORIGIN);
    struct client_config config = {
        .loop = sim_net.loops[0],
        .address = &address,
        .connect_ms = 2000,
        .first_byte_ms = 5000,
        .between_ms = 3000,
        .slow_body_ms = 20000,
        .idle_ms = 10000,
        .events = &owner_events,
        .owner = &user,
    };

    user = (struct user){.connected = 1};
    arena_init(&user.arena, NULL, 0, 0);
    fields_init(&user.fields, &user.arena);
    assert_true(err_is_ok(fields_add(&user.fields, F_HOST, SLICE("h"))));
    assert_true(err_is_ok(client_new(&config, &user.client)));
}

static bool user_is_connected(void *arg)
{
    (void)arg;
    return user.connected != 1;
}

/* A connection to a scripted origin; the origin's end is returned. */
static struct wire *user_open(void)
{
    door = door_open(ORIGIN);
    user_new();
    run_until(user_is_connected, NULL, "a connection");
    assert_int_equal(user.connected, 0);
    return door_accept(door);
}

static bool user_is_gone(void *arg)
{
    (void)arg;
    return user.gones > 0;
}

static void user_close(void)
{
    user.stream = client_stream_finish(user.stream);
    if (user.client != NULL)
        client_close(user.client);
    run_until(user_is_gone, NULL, "the connection's end");
    assert_int_equal(user.gones, 1);
    take_done(&user.taken);
    arena_done(&user.arena);
}

static void expect_gone(void)
{
    run_until(user_is_gone, NULL, "the connection's end");
    assert_int_equal(user.gones, 1);
}

static void ask_with(struct client_request *request)
{
    request->fields = &user.fields;
    request->arena = &user.arena;
    user.has_head = user.has_failed = false;
    user.stream = client_begin(user.client, request, &events, &user);
}

static void ask(enum method method, const char *name, const char *target)
{
    struct client_request request = {
        .method = method, .method_name = slice_str(name), .target = slice_str(target), .body_bytes = -1};

    ask_with(&request);
    assert_non_null(user.stream);
}

static void ask_get(struct wire *origin, const char *target)
{
    char expected[128];

    ask(METHOD_GET, "GET", target);
    snprintf(expected, sizeof(expected), "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target);
    wire_expect(origin, expected);
}

static void expect_head(unsigned status)
{
    RUN_UNTIL_TRUE(user.has_head);
    assert_int_equal(user.response.status, status);
}

static void expect_body(enum source_state end, const char *text)
{
    assert_non_null(user.stream->body);
    take_begin(&user.taken, user.stream->body);
    take_expect(&user.taken, end, text);
    take_done(&user.taken);
}

static void expect_failed(enum client_failure failure, bool sent)
{
    RUN_UNTIL_TRUE(user.has_failed);
    assert_int_equal(user.failure, failure);
    assert_int_equal(user.sent, sent);
    assert_int_equal(user.heads, 0);
    expect_gone();
    assert_int_equal(user.failures, 1);
    assert_int_equal(user.idles, 0);
}

static void finish(void)
{
    user.stream = client_stream_finish(user.stream);
}

/* ---- used again, or not -------------------------------------------------------------------------------------- */

static void test_reuse(void)
{
    struct wire *origin = user_open();

    for (unsigned i = 0; i < 20; i++) {
        ask_get(origin, "/x");
        if (i % 2 == 0)
            wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        else
            wire_say(origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nETag: \"t\"\r\n\r\n");
        expect_head(200);
        expect_body(SOURCE_END, "hello");
        finish();
        assert_int_equal(user.idles, i + 1);
        assert_int_equal(user.gones, 0);
    }
    user_close();
    assert_int_equal(door->count, 1);
}
SEEDED(test_reuse, 1)

/* Each answer that makes another exchange unsafe: after it the connection is closed. */
static void expect_not_reused(const char *says, enum source_state end, const char *body, bool fin, unsigned may_idle)
{
    struct wire *origin = user_open();

    ask(METHOD_GET, "GET", "/");
    wire_expect_head(origin);
    wire_say(origin, says);
    if (fin)
        wire_finish(origin);
    RUN_UNTIL_TRUE(user.has_head);
    run_ms(2000);
    if (body != NULL)
        expect_body(end, body);
    finish();
    run_ms(3000);
    assert_int_equal(user.gones, 1); /* long before it has been idle for too long */
    assert_true(user.idles <= may_idle); /* where the bytes behind were not read yet: an idle one must be silent */
    user_close();
    door_shut(door);
}

static void test_not_reused(void)
{
    expect_not_reused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", SOURCE_END, "x", false, 0);
    expect_not_reused("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", SOURCE_END, "x", false, 0);
    expect_not_reused("HTTP/1.1 200 OK\r\n\r\nto the end", SOURCE_END, "to the end", true, 0);
    /* bytes behind the message: the answer to a question nobody asked */
    expect_not_reused("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny",
                      SOURCE_END, "x", false, 1);
    expect_not_reused("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", SOURCE_END, "", false, 1);
    expect_not_reused("HTTP/1.1 204 No Content\r\n\r\nbody!", SOURCE_END, NULL, false, 1);
    /* left before the end */
    expect_not_reused("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", SOURCE_END, NULL, false, 0);
}
SEEDED(test_not_reused, 1)

static void test_idle_bytes_close(void)
{
    struct wire *origin = user_open();

    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_head(200);
    assert_null(user.stream->body);
    finish();
    assert_int_equal(user.idles, 1);
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    expect_gone();
    user_close();
}
SEEDED(test_idle_bytes_close, 1)

/* They are here, but the loop has not looked yet: the next request must not get them for its answer. */
static void test_idle_bytes_seen_by_the_next_request(void)
{
    struct wire *origin = user_open();
    struct client_request request = {
        .method = METHOD_GET, .method_name = SLICE("GET"), .target = SLICE("/"), .body_bytes = -1};

    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_head(200);
    finish();
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    sim_run(NULL, 0, os_clock_ns() + 1000000000, NULL, NULL); /* the network moves, our thread sleeps */
    ask_with(&request);
    assert_null(user.stream);
    expect_gone();
    assert_int_equal(user.failures, 0);
    user_close();
}
SEEDED(test_idle_bytes_seen_by_the_next_request, 1)

static void test_idle_fin_and_time(void)
{
    struct wire *origin = user_open();
    uint64_t begun_ms;

    wire_finish(origin);
    expect_gone();
    user_close();
    door_shut(door);
    begun_ms = now_ms();
    user_open();
    expect_gone();
    assert_in_range(now_ms() - begun_ms, 10000, 11500);
    user_close();
}
SEEDED(test_idle_fin_and_time, 1)

/* ---- heads ---------------------------------------------------------------------------------------------------- */

static void test_interims(void)
{
    struct wire *origin = user_open();

    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 100 Continue\r\n\r\n"); /* kept to ourselves */
    for (int i = 0; i < 7; i++)
        wire_say(origin, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect_head(200);
    assert_int_equal(user.interims, 7);
    expect_body(SOURCE_END, "ok");
    finish();
    assert_int_equal(user.idles, 1);
    ask_get(origin, "/"); /* counted anew */
    for (int i = 0; i < 8; i++)
        wire_say(origin, "HTTP/1.1 103 Early Hints\r\n\r\n");
    wire_say(origin, "HTTP/1.1 204 No Content\r\n\r\n");
    expect_head(204);
    assert_int_equal(user.interims, 15);
    user_close();
}
SEEDED(test_interims, 1)

static void test_nine_interims(void)
{
    struct wire *origin = user_open();

    ask_get(origin, "/");
    for (int i = 0; i < 9; i++)
        wire_say(origin, "HTTP/1.1 103 Early Hints\r\n\r\n");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_failed(CLIENT_FAILURE_INTERIM, true);
    user_close();
}
SEEDED(test_nine_interims, 1)

static void test_user_leaves_in_interim(void)
{
    struct wire *origin = user_open();

    user.leaves_in_interim = true;
    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    expect_gone();
    assert_int_equal(user.interims, 1);
    assert_int_equal(user.heads + user.failures, 0);
    user_close();
}
SEEDED(test_user_leaves_in_interim, 1)

static void expect_invalid(const char *says, enum client_failure failure, const char *detail)
{
    struct wire *origin = user_open();

    ask_get(origin, "/");
    wire_say(origin, says);
    if (failure == CLIENT_FAILURE_CLOSED)
        wire_finish(origin);
    expect_failed(failure, true);
    if (detail != NULL)
        assert_string_equal(user.detail, detail);
    user_close();
    door_shut(door);
}

static void test_invalid_heads(void)
{
    expect_invalid("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                   CLIENT_FAILURE_INVALID, "101 that was not asked for");
    expect_invalid("HTTP/1.1 200 OK\nContent-Length: 0\n\n", CLIENT_FAILURE_INVALID, NULL);
    expect_invalid("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", CLIENT_FAILURE_INVALID, NULL);
    expect_invalid("HTTP/1.1 99 Low\r\n\r\n", CLIENT_FAILURE_INVALID, NULL);
    expect_invalid("SSH-2.0-OpenSSH_9.2\r\n", CLIENT_FAILURE_INVALID, NULL);
    expect_invalid("", CLIENT_FAILURE_CLOSED, "");
    expect_invalid("HTTP/1.1 200 O", CLIENT_FAILURE_CLOSED, "in the middle of the head");
}
SEEDED(test_invalid_heads, 1)

static void test_head_too_large(void)
{
    struct wire *origin = user_open();
    static char junk[70000];

    ask_get(origin, "/");
    memset(junk, 'x', sizeof(junk));
    wire_say(origin, "HTTP/1.1 200 OK\r\nX: ");
    wire_say_bytes(origin, junk, sizeof(junk));
    expect_failed(CLIENT_FAILURE_INVALID, true);
    user_close();
}
SEEDED(test_head_too_large, 1)

static void test_bodiless(void)
{
    struct wire *origin = user_open();

    ask(METHOD_HEAD, "HEAD", "/");
    wire_expect(origin, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    expect_head(200);
    assert_null(user.stream->body);
    assert_int_equal(user.response.length_bytes, 1000);
    finish();
    assert_int_equal(user.idles, 1);
    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n");
    expect_head(304);
    assert_null(user.stream->body);
    finish();
    assert_int_equal(user.idles, 2);
    ask(METHOD_HEAD, "HEAD", "/");
    wire_expect_head(origin);
    wire_say(origin, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect_head(200);
    assert_null(user.stream->body);
    finish();
    assert_int_equal(user.idles, 3);
    user_close();
}
SEEDED(test_bodiless, 1)

/* A body that ends with the connection: FIN is its end, RST never. */
static void test_close_delimited(void)
{
    struct wire *origin = user_open();

    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 200 OK\r\n\r\nsome bytes");
    expect_head(200);
    take_begin(&user.taken, user.stream->body);
    run_ms(1000);
    wire_finish(origin);
    take_expect(&user.taken, SOURCE_END, "some bytes");
    user_close();
    door_shut(door);

    origin = user_open();
    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 200 OK\r\n\r\nsome bytes");
    expect_head(200);
    take_begin(&user.taken, user.stream->body);
    run_ms(1000);
    wire_reset(origin);
    take_expect(&user.taken, SOURCE_FAILED, "some bytes");
    user_close();
}
SEEDED(test_close_delimited, 1)

static void test_cut_bodies(void)
{
    static const char *const says[] = {
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n", /* the end of trailers is missing */
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalfX",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n-1\r\n",
    };

    for (size_t i = 0; i < ARRAY_LEN(says); i++) {
        struct wire *origin = user_open();
        ask_get(origin, "/");
        wire_say(origin, says[i]);
        wire_finish(origin);
        expect_head(200);
        expect_body(SOURCE_FAILED, "half");
        finish();
        expect_gone();
        assert_int_equal(user.idles, 0);
        user_close();
        door_shut(door);
    }
}
SEEDED(test_cut_bodies, 1)

/* ---- requests with a body ---------------------------------------------------------------------------------------- */

static struct feed upload;

static void ask_post(int64_t length)
{
    struct client_request request = {.method = METHOD_POST,
                                     .method_name = SLICE("POST"),
                                     .target = SLICE("/up"),
                                     .body = &upload.source,
                                     .body_bytes = length};
    feed_init(&upload, SLICE("0123456789"));
    ask_with(&request);
    assert_non_null(user.stream);
}

static void test_request_bodies(void)
{
    struct wire *origin = user_open();

    ask_post(10);
    wire_expect(origin, "POST /up HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n");
    feed_more(&upload, 4);
    wire_expect(origin, "0123");
    feed_all(&upload);
    wire_expect(origin, "456789");
    wire_say(origin, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    expect_head(201);
    finish();
    assert_int_equal(user.idles, 1);
    ask_post(-1);
    wire_expect(origin, "POST /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    feed_more(&upload, 10);
    wire_expect(origin, "a\r\n0123456789\r\n");
    feed_end(&upload);
    wire_expect(origin, "0\r\n\r\n");
    wire_say(origin, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    expect_head(201);
    finish();
    assert_int_equal(user.idles, 2);
    ask(METHOD_POST, "POST", "/none");
    wire_expect(origin, "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    user_close();
    assert_int_equal(upload.closes, 0); /* not the connection's to close */
}
SEEDED(test_request_bodies, 1)

/* The answer is there before the request is out: it is given, and the connection not used again. */
static void test_early_answer(void)
{
    struct wire *origin = user_open();

    ask_post(10);
    feed_more(&upload, 4);
    wire_expect_head(origin);
    wire_expect(origin, "0123");
    wire_say(origin, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno");
    expect_head(413);
    expect_body(SOURCE_END, "no");
    finish();
    expect_gone();
    assert_int_equal(user.idles, 0);
    wire_expect_end(origin);
    user_close();
}
SEEDED(test_early_answer, 1)

/* An upload that is cut must not look whole to the origin. */
static void test_request_body_fails(void)
{
    for (int kind = 0; kind < 4; kind++) {
        struct wire *origin = user_open();
        ask_post(kind % 2 == 0 ? -1 : 10);
        feed_more(&upload, 4);
        wire_expect_head(origin);
        run_ms(1000);
        if (kind == 3)
            feed_end(&upload); /* fewer bytes than announced */
        else
            feed_fail(&upload);
        expect_failed(CLIENT_FAILURE_REQUEST_BODY, true);
        wire_expect_reset(origin);
        assert_null(strstr(origin->got, "\r\n0\r\n"));
        user_close();
        door_shut(door);
    }
}
SEEDED(test_request_body_fails, 1)

static void test_request_body_fails_behind_the_head(void)
{
    struct wire *origin = user_open();

    ask_post(-1);
    wire_expect_head(origin);
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    expect_head(200);
    take_begin(&user.taken, user.stream->body);
    run_ms(1000);
    feed_fail(&upload);
    take_expect(&user.taken, SOURCE_FAILED, "half");
    finish();
    expect_gone();
    wire_expect_reset(origin);
    user_close();
}
SEEDED(test_request_body_fails_behind_the_head, 1)

/* ---- time ------------------------------------------------------------------------------------------------------ */

static void test_no_answer_in_time(void)
{
    struct wire *origin = user_open();
    uint64_t begun_ms;

    ask_get(origin, "/");
    begun_ms = now_ms();
    run_ms(2000);
    wire_say(origin, "HTTP/1.1 20"); /* bytes of a head do not buy time */
    expect_failed(CLIENT_FAILURE_TIMEOUT, true);
    assert_in_range(now_ms() - begun_ms, 4000, 6000);
    wire_expect_end(origin);
    user_close();
}
SEEDED(test_no_answer_in_time, 1)

/* An upload that waits for its client is not the origin's delay. */
static void test_slow_upload_is_not_the_origin(void)
{
    struct wire *origin = user_open();

    ask_post(10);
    wire_expect_head(origin);
    for (int i = 0; i < 10; i++) {
        run_ms(12000); /* more than first_byte_ms without a byte */
        feed_more(&upload, 1);
    }
    run_ms(1000);
    assert_int_equal(user.failures, 0);
    wire_expect(origin, "0123456789");
    expect_failed(CLIENT_FAILURE_TIMEOUT, true); /* but when all is out, the origin must answer */
    user_close();
}
SEEDED(test_slow_upload_is_not_the_origin, 1)

static void test_body_stalls(void)
{
    struct wire *origin = user_open();
    uint64_t begun_ms;

    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    expect_head(200);
    take_begin(&user.taken, user.stream->body);
    run_ms(2000);
    wire_say(origin, "x");
    run_ms(500);
    begun_ms = now_ms();
    take_expect(&user.taken, SOURCE_FAILED, "halfx");
    assert_in_range(now_ms() - begun_ms, 2000, 3500);
    finish();
    expect_gone();
    user_close();
}
SEEDED(test_body_stalls, 1)

/* So many bytes a second, for 40 seconds or until the body has failed. Returns the milliseconds it took. */
static uint64_t drip(unsigned bytes)
{
    static char second[600];
    struct wire *origin = user_open();
    uint64_t begun_ms;

    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
    expect_head(200);
    take_begin(&user.taken, user.stream->body);
    begun_ms = now_ms();
    for (unsigned i = 0; i < 40 && !user.taken.over; i++) {
        wire_say_bytes(origin, second, bytes);
        run_ms(1000);
    }
    return now_ms() - begun_ms;
}

/* A byte now and then is no stall, and yet not for ever. */
static void test_body_drips(void)
{
    uint64_t took_ms = drip(1);

    assert_true(user.taken.over);
    assert_in_range(took_ms, 20000, 23000);
    finish();
    expect_gone();
    user_close();
}
SEEDED(test_body_drips, 1)

static void test_body_keeps_the_minimum(void)
{
    drip(600);
    assert_false(user.taken.over);
    finish();
    expect_gone();
    user_close();
}
SEEDED(test_body_keeps_the_minimum, 1)

/* Whoever reads slowly is not the origin's fault. */
static void test_slow_reader_is_not_the_origin(void)
{
    struct wire *origin = user_open();

    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody");
    expect_head(200);
    run_ms(60000);
    expect_body(SOURCE_END, "body");
    finish();
    assert_int_equal(user.idles, 1);
    user_close();
}
SEEDED(test_slow_reader_is_not_the_origin, 1)

static void test_event_stream_may_be_silent(void)
{
    struct wire *origin = user_open();

    ask_get(origin, "/");
    wire_say(origin, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n");
    expect_head(200);
    take_begin(&user.taken, user.stream->body);
    run_ms(600000);
    assert_false(user.taken.over);
    wire_say(origin, "3\r\nhey\r\n0\r\n\r\n");
    take_expect(&user.taken, SOURCE_END, "hey");
    user_close();
}
SEEDED(test_event_stream_may_be_silent, 1)

static void test_refused_connect(void)
{
    user_new();
    run_until(user_is_connected, NULL, "a refusal");
    assert_int_equal(user.connected, -ECONNREFUSED);
    expect_gone();
    user_close();
}
SEEDED(test_refused_connect, 1)

static void test_close_while_connecting(void)
{
    user_new();
    client_close(user.client);
    expect_gone();
    assert_int_equal(user.connected, 1); /* not told any more */
    user_close();
}
SEEDED(test_close_while_connecting, 1)

/* ---- tunnels --------------------------------------------------------------------------------------------------- */

static void test_tunnel(void)
{
    struct wire *origin = user_open();
    struct client_request request = {.method = METHOD_GET,
                                     .method_name = SLICE("GET"),
                                     .target = SLICE("/ws"),
                                     .body_bytes = -1,
                                     .upgrade = true};
    struct feed from_client;

    ask_with(&request);
    assert_non_null(strstr(wire_expect_head(origin), "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    wire_say(origin, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
    expect_head(101);
    feed_init(&from_client, SLICE("ping and pong"));
    client_stream_tunnel(user.stream, &from_client.source);
    assert_non_null(user.stream->body);
    take_begin(&user.taken, user.stream->body);
    feed_more(&from_client, 4);
    wire_expect(origin, "ping");
    run_ms(300000); /* longer than between_ms */
    assert_false(user.taken.over);
    wire_say(origin, " bytes");
    feed_all(&from_client);
    wire_expect(origin, " and pong");
    wire_expect_fin(origin); /* the client has finished, not yet the origin */
    wire_say(origin, ".");
    wire_finish(origin);
    take_expect(&user.taken, SOURCE_END, "early bytes.");
    finish();
    expect_gone();
    assert_int_equal(user.idles, 0);
    user_close();
}
SEEDED(test_tunnel, 1)

/* 101 to a request that the origin has not read to its end. */
static void test_tunnel_too_early(void)
{
    struct wire *origin = user_open();
    struct feed body;
    struct client_request request = {.method = METHOD_GET,
                                     .method_name = SLICE("GET"),
                                     .target = SLICE("/ws"),
                                     .body = &body.source,
                                     .body_bytes = 4,
                                     .upgrade = true};

    feed_init(&body, SLICE("body"));
    ask_with(&request);
    wire_expect_head(origin);
    wire_say(origin, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    RUN_UNTIL_TRUE(user.has_failed);
    assert_int_equal(user.failure, CLIENT_FAILURE_INVALID);
    assert_int_equal(user.heads, 0);
    expect_gone();
    user_close();
}
SEEDED(test_tunnel_too_early, 1)

/* The origin may decline the upgrade. */
static void test_tunnel_declined(void)
{
    struct wire *origin = user_open();
    struct client_request request = {.method = METHOD_GET,
                                     .method_name = SLICE("GET"),
                                     .target = SLICE("/ws"),
                                     .body_bytes = -1,
                                     .upgrade = true};

    ask_with(&request);
    wire_expect_head(origin);
    wire_say(origin, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    expect_head(426);
    expect_body(SOURCE_END, "no");
    finish();
    user_close();
}
SEEDED(test_tunnel_declined, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_reuse),
        SEEDED_TEST(test_not_reused),
        SEEDED_TEST(test_idle_bytes_close),
        SEEDED_TEST(test_idle_bytes_seen_by_the_next_request),
        SEEDED_TEST(test_idle_fin_and_time),
        SEEDED_TEST(test_interims),
        SEEDED_TEST(test_nine_interims),
        SEEDED_TEST(test_user_leaves_in_interim),
        SEEDED_TEST(test_invalid_heads),
        SEEDED_TEST(test_head_too_large),
        SEEDED_TEST(test_bodiless),
        SEEDED_TEST(test_close_delimited),
        SEEDED_TEST(test_cut_bodies),
        SEEDED_TEST(test_request_bodies),
        SEEDED_TEST(test_early_answer),
        SEEDED_TEST(test_request_body_fails),
        SEEDED_TEST(test_request_body_fails_behind_the_head),
        SEEDED_TEST(test_no_answer_in_time),
        SEEDED_TEST(test_slow_upload_is_not_the_origin),
        SEEDED_TEST(test_body_stalls),
        SEEDED_TEST(test_body_drips),
        SEEDED_TEST(test_body_keeps_the_minimum),
        SEEDED_TEST(test_slow_reader_is_not_the_origin),
        SEEDED_TEST(test_event_stream_may_be_silent),
        SEEDED_TEST(test_refused_connect),
        SEEDED_TEST(test_close_while_connecting),
        SEEDED_TEST(test_tunnel),
        SEEDED_TEST(test_tunnel_too_early),
        SEEDED_TEST(test_tunnel_declined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
