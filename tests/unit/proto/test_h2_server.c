#include "h2_wire.h"

#include "http/h1_chunked.h"
#include "http/h2_message.h"

/* ---- requests and answers ------------------------------------------------------------------------------------- */

static void test_get(void)
{
    struct h2_client c;
    struct asked *asked;

    node_open();
    h2_open(&c);
    h2_say_head(&c, 1, END_STREAM, GET_LINES("/1") "accept\t*/*\n");
    asked = node_expect("GET", "/1");
    assert_null(asked->stream->body);
    assert_true(asked->stream->is_h2);
    assert_true(slice_eq(asked->request.authority, SLICE("example.com")));
    assert_int_equal(asked->request.body, BODY_NONE);
    answer(asked, 200, "one");
    assert_string_equal(h2_expect_head(&c, 1, false), ":status: 200\ncontent-length: 3\n");
    h2_expect_data(&c, 1, "one", true);
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(asked->sent_bytes, 3);
    h2_say_head(&c, 3, END_STREAM, GET_LINES("/2"));
    answer(node_expect("GET", "/2"), 404, "");
    assert_string_equal(h2_expect_head(&c, 3, true), ":status: 404\ncontent-length: 0\n");
    h2_done(&c);
    node_close();
}
SEEDED(test_get, 1)

static void test_greeting(void)
{
    struct h2_client c;
    struct h2_frame frame;

    node_open();
    h2_connect(&c);
    h2_say(&c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    frame = h2_next(&c);
    assert_int_equal(frame.type, NGHTTP2_SETTINGS);
    assert_int_equal(frame.flags, 0);
    assert_int_equal(frame.len, 4 * 6);
    do
        frame = h2_next(&c);
    while (frame.type == NGHTTP2_SETTINGS);
    assert_int_equal(frame.type, NGHTTP2_WINDOW_UPDATE);
    assert_int_equal(65535 + get_u32(frame.payload), 1u << 20);
    h2_done(&c);
    node_close();
}
SEEDED(test_greeting, 1)

static void say_get(struct h2_client *c, uint32_t id, const char *path)
{
    char lines[256];

    snprintf(lines, sizeof(lines), GET_LINES("%s"), path);
    h2_say_head(c, id, END_STREAM, lines);
}

/* All at once, answered in another order. */
static void test_hundred_streams(void)
{
    struct asked *asked[100];
    struct h2_client c;
    char path[32];
    bool seen[200] = {false};

    node_open();
    h2_open(&c);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "/%u", i);
        say_get(&c, 2 * i + 1, path);
    }
    for (unsigned i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "/%u", i);
        asked[i] = node_expect("GET", path);
    }
    for (unsigned i = 100; i > 0; i--)
        answer(asked[i - 1], 200, "body");
    for (unsigned i = 0; i < 200; i++) {
        struct h2_frame frame;
        do
            frame = h2_next(&c);
        while (frame.type == NGHTTP2_SETTINGS || frame.type == NGHTTP2_WINDOW_UPDATE);
        assert_true(frame.id % 2 == 1 && frame.id < 200);
        assert_int_equal(frame.type, seen[frame.id] ? NGHTTP2_DATA : NGHTTP2_HEADERS);
        if (seen[frame.id])
            assert_int_equal(frame.flags, END_STREAM);
        seen[frame.id] = true;
    }
    for (unsigned i = 0; i < 100; i++)
        expect_ended(asked[i], STREAM_END_COMPLETE);
    assert_int_equal(server_connections(node.server), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_hundred_streams, 1)

static void test_fields_of_an_answer(void)
{
    struct h2_client c;
    struct asked *asked;
    struct fields stored, added;
    struct reply reply = {.status = 203, .stored = &stored, .added = &added, .length_bytes = 10, .no_body = true};

    node_open();
    h2_open(&c);
    h2_say_head(&c, 1, END_STREAM, ":method\tHEAD\n:scheme\thttp\n:authority\ta\n:path\t/\n");
    asked = node_expect("HEAD", "/");
    fields_init(&stored, &asked->arena);
    fields_init(&added, &asked->arena);
    assert_true(err_is_ok(fields_add(&stored, F_CONTENT_TYPE, SLICE("text/plain"))));
    assert_true(err_is_ok(fields_add_named(&stored, SLICE("X-Other"), F_OTHER, SLICE("One"))));
    assert_true(err_is_ok(fields_add(&added, F_SET_COOKIE, SLICE("a"))));
    assert_true(err_is_ok(fields_add(&added, F_SET_COOKIE, SLICE("b"))));
    stream_respond(asked->stream, &reply, NULL);
    stored.text[0] = '!'; /* copied before the call returned */
    assert_string_equal(h2_expect_head(&c, 1, true), ":status: 203\ncontent-type: text/plain\nx-other: One\nset-cookie: a\n"
                                                     "set-cookie: b\ncontent-length: 10\n");
    expect_ended(asked, STREAM_END_COMPLETE);
    h2_say_head(&c, 3, END_STREAM, GET_LINES("/"));
    asked = node_next();
    reply = (struct reply){.status = 204, .length_bytes = 5, .no_body = true};
    stream_respond(asked->stream, &reply, NULL);
    assert_string_equal(h2_expect_head(&c, 3, true), ":status: 204\n");
    h2_say_head(&c, 5, END_STREAM, GET_LINES("/"));
    asked = node_next();
    reply = (struct reply){.status = 304, .length_bytes = 5, .no_body = true};
    stream_respond(asked->stream, &reply, NULL);
    assert_string_equal(h2_expect_head(&c, 5, true), ":status: 304\ncontent-length: 5\n");
    h2_done(&c);
    node_close();
}
SEEDED(test_fields_of_an_answer, 1)

/* Fields beyond what a pooled block holds. */
static void test_large_head(void)
{
    static char value[5000];
    struct h2_client c;
    struct asked *asked;
    struct fields added;
    struct reply reply = {.status = 200, .added = &added, .length_bytes = 0};

    node_open();
    h2_open(&c);
    say_get(&c, 1, "/");
    asked = node_next();
    memset(value, 'v', sizeof(value));
    fields_init(&added, &asked->arena);
    assert_true(err_is_ok(fields_add_named(&added, SLICE("x"), F_OTHER, slice_of(value, sizeof(value)))));
    stream_respond(asked->stream, &reply, NULL);
    h2_expect_head(&c, 1, true);
    assert_true(strlen(c.head) > sizeof(value));
    h2_done(&c);
    node_close();
}
SEEDED(test_large_head, 1)

static struct asked *answer_fields(struct h2_client *c, unsigned count, size_t value_bytes)
{
    static char value[60000];
    struct fields added;
    struct reply reply = {.status = 200, .added = &added, .length_bytes = 0};
    struct asked *asked;

    say_get(c, 1, "/");
    asked = node_next();
    memset(value, 'v', sizeof(value));
    fields_init(&added, &asked->arena);
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "x%u", i);
        assert_true(err_is_ok(fields_add_named(&added, slice_str(name), F_OTHER, slice_of(value, value_bytes))));
    }
    stream_respond(asked->stream, &reply, NULL);
    return asked;
}

/* As large as an origin's may be: in as many frames as it takes. */
static void test_largest_head(void)
{
    struct h2_client c;
    struct h2_frame frame;
    size_t bytes;

    node_open();
    h2_open(&c);
    answer_fields(&c, 200, 320);
    frame = h2_next_of(&c, NGHTTP2_HEADERS);
    for (bytes = frame.len; (frame.flags & END_HEADERS) == 0; bytes += frame.len) {
        frame = h2_next(&c);
        assert_int_equal(frame.type, NGHTTP2_CONTINUATION);
    }
    assert_true(bytes > 200 * 320 * 7 / 8); /* Huffman's v has 7 bits */
    h2_done(&c);
    node_close();
}
SEEDED(test_largest_head, 1)

/* What nghttp2 refuses to send is not waited for. */
static void test_head_that_cannot_be_sent(void)
{
    struct h2_client c;
    struct asked *asked;

    node_open();
    h2_open(&c);
    asked = answer_fields(&c, 5, 60000);
    h2_expect_reset(&c, 1, NGHTTP2_INTERNAL_ERROR);
    expect_ended(asked, STREAM_END_BODY_FAILED);
    h2_done(&c);
    node_close();
}
SEEDED(test_head_that_cannot_be_sent, 1)

static void test_interim_and_expect(void)
{
    struct h2_client c;
    struct asked *asked;
    struct fields hints;
    struct taken taken;

    node_open();
    h2_open(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/") "content-length\t4\nexpect\t100-continue\n");
    asked = node_expect("POST", "/");
    fields_init(&hints, &asked->arena);
    assert_true(err_is_ok(fields_add(&hints, F_LINK, SLICE("<a>"))));
    stream_interim(asked->stream, 103, &hints);
    assert_string_equal(h2_expect_head(&c, 1, false), ":status: 103\nlink: <a>\n");
    wire_expect_silence(c.wire, 1000);
    take_begin(&taken, asked->stream->body);
    assert_string_equal(h2_expect_head(&c, 1, false), ":status: 100\n");
    h2_say_data(&c, 1, END_STREAM, "body");
    take_expect(&taken, SOURCE_END, "body");
    take_done(&taken);
    stream_interim(asked->stream, 103, &hints); /* together with the answer */
    answer(asked, 201, "ok");
    assert_string_equal(h2_expect_head(&c, 1, false), ":status: 103\nlink: <a>\n");
    h2_expect_status(&c, 1, 201, false);
    h2_expect_data(&c, 1, "ok", true);
    expect_ended(asked, STREAM_END_COMPLETE);
    h2_done(&c);
    node_close();
}
SEEDED(test_interim_and_expect, 1)

/* ---- bodies ---------------------------------------------------------------------------------------------------- */

/* Both directions at once, trailers both ways. */
static void test_call(void)
{
    struct h2_client c;
    struct asked *asked;
    struct taken taken;
    struct fields trailers;
    struct reply reply = {.status = 200, .length_bytes = -1};

    node_open();
    h2_open(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/svc/Call") "content-type\tapplication/grpc\nte\ttrailers\n");
    asked = node_expect("POST", "/svc/Call");
    assert_int_equal(asked->request.body, BODY_CHUNKED);
    feed_init(&asked->feed, SLICE("onetwo"));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    h2_expect_status(&c, 1, 200, false);
    take_begin(&taken, asked->stream->body);
    h2_say_data(&c, 1, 0, "ping");
    feed_more(&asked->feed, 3);
    h2_expect_data(&c, 1, "one", false);
    run_ms(60000); /* a call may be silent for as long as it likes */
    h2_say_data(&c, 1, 0, "pong");
    run_ms(1000);
    assert_int_equal(taken.len, 8);
    feed_more(&asked->feed, 3);
    h2_expect_data(&c, 1, "two", false);
    h2_say_head(&c, 1, END_STREAM, "x-sum\t8\ncontent-length\t1\n");
    take_expect(&taken, SOURCE_END, "pingpong");
    assert_int_equal(source_trailers(asked->stream->body)->count, 1);
    assert_true(slice_eq(field_value(source_trailers(asked->stream->body), 0), SLICE("8")));
    fields_init(&trailers, &asked->arena);
    assert_true(err_is_ok(fields_add_named(&trailers, SLICE("Grpc-Status"), F_OTHER, SLICE("0"))));
    asked->feed.trailers = &trailers;
    feed_end(&asked->feed);
    assert_string_equal(h2_expect_head(&c, 1, true), "grpc-status: 0\n");
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(asked->feed.closes, 1);
    take_done(&taken);
    h2_done(&c);
    node_close();
}
SEEDED(test_call, 1)

static struct asked *answer_trailers(struct h2_client *c, uint32_t id, const char *value, unsigned count, struct fields *trailers)
{
    struct reply reply = {.status = 200, .length_bytes = -1};
    struct asked *asked;

    say_get(c, id, "/");
    asked = node_next();
    fields_init(trailers, &asked->arena);
    for (unsigned i = 0; i < count; i++)
        assert_true(err_is_ok(fields_add_named(trailers, SLICE("x"), F_OTHER, slice_str(value))));
    feed_init(&asked->feed, SLICE(""));
    asked->feed.trailers = trailers;
    stream_respond(asked->stream, &reply, &asked->feed.source);
    h2_expect_status(c, id, 200, false);
    feed_end(&asked->feed);
    return asked;
}

/* All that may come from an origin; what is larger is no clean end. */
static void test_large_trailers(void)
{
    char value[9000];
    struct fields trailers;
    struct h2_client c;

    node_open();
    h2_open(&c);
    memset(value, 'v', sizeof(value));
    value[TRAILER_BYTES_MAX / TRAILER_FIELDS_MAX - 5] = 0; /* "x: ", CRLF */
    answer_trailers(&c, 1, value, TRAILER_FIELDS_MAX, &trailers);
    assert_int_equal(trailers.text_len, TRAILER_BYTES_MAX);
    h2_expect_head(&c, 1, true);
    assert_true(strlen(c.head) > TRAILER_BYTES_MAX - 100);
    value[TRAILER_BYTES_MAX / TRAILER_FIELDS_MAX - 5] = 'v';
    value[sizeof(value) - 1] = 0;
    expect_ended(answer_trailers(&c, 3, value, 1, &trailers), STREAM_END_BODY_FAILED);
    h2_expect_reset(&c, 3, NGHTTP2_INTERNAL_ERROR);
    h2_done(&c);
    node_close();
}
SEEDED(test_large_trailers, 1)

#define MEGABYTE (1u << 20)
static char megabyte[MEGABYTE];

static void megabyte_fill(void)
{
    for (unsigned i = 0; i < MEGABYTE; i++)
        megabyte[i] = (char)(i * 2654435761u >> 13);
}

/* The stream's window is all that the server keeps of a body that nobody reads; then it all arrives. */
static void test_upload_within_windows(void)
{
    struct h2_client c;
    struct asked *asked;
    struct taken taken;
    size_t sent = 0;
    int64_t window = 65535, connection = MEGABYTE;

    megabyte_fill();
    node_open();
    h2_open(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/") "content-length\t1048576\n");
    asked = node_expect("POST", "/");
    while (window > 0) {
        size_t n = (size_t)MIN(window, 16384);
        h2_say(&c, NGHTTP2_DATA, 0, 1, megabyte + sent, n);
        sent += n;
        window -= (int64_t)n;
        connection -= (int64_t)n;
    }
    h2_next_of(&c, NGHTTP2_WINDOW_UPDATE); /* the greeting's */
    run_ms(1000);
    take_begin(&taken, asked->stream->body);
    while (sent < MEGABYTE) {
        size_t n = (size_t)MIN(MIN(window, connection), MIN(16384, (int64_t)(MEGABYTE - sent)));
        if (n == 0) {
            struct h2_frame frame = h2_next_of(&c, NGHTTP2_WINDOW_UPDATE);
            *(frame.id == 0 ? &connection : &window) += get_u32(frame.payload);
            continue;
        }
        h2_say(&c, NGHTTP2_DATA, sent + n == MEGABYTE ? END_STREAM : 0, 1, megabyte + sent, n);
        sent += n;
        window -= (int64_t)n;
        connection -= (int64_t)n;
    }
    run_until(is_true_, &taken.over, "the end of the upload");
    assert_int_equal(taken.state, SOURCE_END);
    assert_int_equal(taken.len, MEGABYTE);
    assert_memory_equal(taken.bytes, megabyte, MEGABYTE);
    take_done(&taken);
    answer(asked, 200, "ok");
    h2_expect_status(&c, 1, 200, false);
    h2_done(&c);
    node_close();
}
SEEDED(test_upload_within_windows, 1)

/* More than a window without leave is the client's end (RFC 9113 6.9.1). */
static void test_upload_over_the_window(void)
{
    struct h2_client c;
    struct asked *asked;

    node_open();
    h2_open(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/"));
    asked = node_expect("POST", "/");
    for (unsigned i = 0; i < 5; i++)
        h2_say(&c, NGHTTP2_DATA, 0, 1, megabyte, 16384);
    h2_expect_reset(&c, 1, NGHTTP2_FLOW_CONTROL_ERROR);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    h2_done(&c);
    node_close();
}
SEEDED(test_upload_over_the_window, 1)

/* A large answer through small windows, opened step by step. */
static void test_download_through_windows(void)
{
    struct h2_client c;
    struct asked *asked;
    struct reply reply = {.status = 200, .length_bytes = MEGABYTE};
    struct h2_frame frame;
    size_t got = 0;

    megabyte_fill();
    node_open();
    h2_open(&c);
    h2_say_setting(&c, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 5000);
    say_get(&c, 1, "/");
    asked = node_next();
    source_memory_init(&asked->memory, slice_of(megabyte, MEGABYTE));
    stream_respond(asked->stream, &reply, &asked->memory.source);
    h2_expect_status(&c, 1, 200, false);
    do {
        frame = h2_next_of(&c, NGHTTP2_DATA);
        assert_true(frame.len <= 5000);
        assert_memory_equal(frame.payload, megabyte + got, frame.len);
        got += frame.len;
        h2_say_window(&c, 0, frame.len);
        h2_say_window(&c, 1, frame.len);
    } while ((frame.flags & END_STREAM) == 0);
    assert_int_equal(got, MEGABYTE);
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(asked->sent_bytes, MEGABYTE);
    h2_done(&c);
    node_close();
}
SEEDED(test_download_through_windows, 1)

static void test_unread_body_is_reset(void)
{
    struct h2_client c;
    struct asked *asked;

    node_open();
    h2_open(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/") "content-length\t100\n");
    asked = node_expect("POST", "/");
    answer(asked, 413, "no");
    h2_expect_status(&c, 1, 413, false);
    h2_expect_data(&c, 1, "no", true);
    h2_expect_reset(&c, 1, NGHTTP2_NO_ERROR);
    expect_ended(asked, STREAM_END_COMPLETE);
    h2_say_data(&c, 1, END_STREAM, "late"); /* was under way: nobody minds */
    say_get(&c, 3, "/next");
    answer(node_expect("GET", "/next"), 200, "x");
    h2_expect_status(&c, 3, 200, false);
    h2_done(&c);
    node_close();
}
SEEDED(test_unread_body_is_reset, 1)

/* What cannot be completed is never ended as if it were. */
static void test_cut_answers(void)
{
    struct h2_client c;
    struct asked *asked;
    struct reply reply = {.status = 200, .length_bytes = 10};

    node_open();
    h2_open(&c);
    say_get(&c, 1, "/failed");
    asked = node_next();
    feed_init(&asked->feed, SLICE("half"));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    feed_more(&asked->feed, 4);
    h2_expect_status(&c, 1, 200, false);
    h2_expect_data(&c, 1, "half", false);
    feed_fail(&asked->feed);
    h2_expect_reset(&c, 1, NGHTTP2_INTERNAL_ERROR);
    expect_ended(asked, STREAM_END_BODY_FAILED);
    assert_int_equal(asked->sent_bytes, 4);
    say_get(&c, 3, "/short");
    asked = node_next();
    feed_init(&asked->feed, SLICE("half"));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    feed_all(&asked->feed);
    h2_expect_status(&c, 3, 200, false);
    h2_expect_data(&c, 3, "half", false);
    h2_expect_reset(&c, 3, NGHTTP2_INTERNAL_ERROR);
    expect_ended(asked, STREAM_END_BODY_FAILED);
    say_get(&c, 5, "/aborted");
    asked = node_next();
    stream_abort(asked->stream);
    h2_expect_reset(&c, 5, NGHTTP2_INTERNAL_ERROR);
    expect_ended(asked, STREAM_END_ABORTED);
    assert_int_equal(server_connections(node.server), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_cut_answers, 1)

/* The client leaves a stream: before, during the answer. Its source is closed. */
static void test_client_resets(void)
{
    struct h2_client c;
    struct asked *waiting, *sending;
    struct reply reply = {.status = 200, .length_bytes = -1};

    node_open();
    h2_open(&c);
    say_get(&c, 1, "/waiting");
    waiting = node_next();
    say_get(&c, 3, "/sending");
    sending = node_next();
    feed_init(&sending->feed, SLICE("abc"));
    stream_respond(sending->stream, &reply, &sending->feed.source);
    h2_expect_status(&c, 3, 200, false);
    h2_say_reset(&c, 1, NGHTTP2_CANCEL);
    h2_say_reset(&c, 3, NGHTTP2_CANCEL);
    expect_ended(waiting, STREAM_END_CLIENT_LEFT);
    expect_ended(sending, STREAM_END_CLIENT_LEFT);
    assert_int_equal(sending->feed.closes, 1);
    h2_say_head(&c, 5, 0, POST_LINES("/upload") "content-length\t10\n");
    struct asked *upload = node_next();
    struct taken taken;
    take_begin(&taken, upload->stream->body);
    h2_say_data(&c, 5, 0, "half");
    h2_say_reset(&c, 5, NGHTTP2_CANCEL);
    expect_ended(upload, STREAM_END_CLIENT_LEFT);
    take_done(&taken);
    wire_finish(c.wire);
    node_expect_empty();
    h2_done(&c);
    node_close();
}
SEEDED(test_client_resets, 1)

/* A cut upload is never a complete one. */
static void test_cut_upload(void)
{
    struct h2_client c;
    struct asked *asked;
    struct taken taken;

    node_open();
    h2_open(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/") "content-length\t10\n");
    asked = node_next();
    take_begin(&taken, asked->stream->body);
    h2_say_data(&c, 1, END_STREAM, "short");
    h2_expect_reset(&c, 1, NGHTTP2_PROTOCOL_ERROR);
    run_ms(10);
    assert_int_equal(taken.state, SOURCE_FAILED);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    take_done(&taken);
    h2_say_head(&c, 3, 0, POST_LINES("/") "content-length\t3\n");
    asked = node_next();
    h2_say_data(&c, 3, 0, "more than that");
    h2_expect_reset(&c, 3, NGHTTP2_PROTOCOL_ERROR);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    h2_say_head(&c, 5, 0, POST_LINES("/") "content-length\t0\n");
    asked = node_next();
    assert_null(asked->stream->body);
    h2_say_data(&c, 5, END_STREAM, "x");
    h2_expect_reset(&c, 5, NGHTTP2_PROTOCOL_ERROR);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    h2_say_head(&c, 7, 0, POST_LINES("/"));
    asked = node_next();
    take_begin(&taken, asked->stream->body);
    h2_say_data(&c, 7, 0, "x");
    h2_say_head(&c, 7, 0, "x\ty\n"); /* trailers that do not end the message */
    h2_expect_reset(&c, 7, NGHTTP2_PROTOCOL_ERROR);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    assert_int_equal(taken.state, SOURCE_FAILED);
    take_done(&taken);
    h2_say_head(&c, 9, 0, POST_LINES("/"));
    asked = node_next();
    h2_say_head(&c, 9, END_STREAM, ":path\t/\n");
    h2_expect_reset(&c, 9, NGHTTP2_PROTOCOL_ERROR);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    h2_done(&c);
    node_close();
}
SEEDED(test_cut_upload, 1)

/* ---- refusals ------------------------------------------------------------------------------------------------------ */

static void test_refused_heads(void)
{
    static const struct {
        const char *lines;
        unsigned error;
        uint16_t status;
    } heads[] = {
        {GET_LINES("/") "transfer-encoding\tchunked\n", H2_CONNECTION_FIELD, 400},
        {GET_LINES("/") "connection\tkeep-alive\n", H2_CONNECTION_FIELD, 400},
        {GET_LINES("/") "X\ty\n", H2_UPPER_CASE, 400},
        {GET_LINES("/") "x\ta\rb\n", H1_CONTROL, 400},
        {GET_LINES("/") "a\rb\tx\n", H1_BAD_NAME, 400},
        {GET_LINES("/ HTTP/1.1"), H1_BAD_TARGET, 400},
        {GET_LINES("/a#b"), H1_TARGET_FRAGMENT, 400},
        {GET_LINES("http://evil/"), H1_TARGET_FORM, 400},
        {GET_LINES("/") "host\tevil\n", H2_AUTHORITY, 400},
        {GET_LINES("/") ":path\t/b\n", H2_PSEUDO_DUPLICATE, 400},
        {GET_LINES("/") "x\ty\n:foo\tx\n", H2_PSEUDO_UNKNOWN, 400},
        {GET_LINES("/") "content-length\t5\n", H2_LENGTH, 400},
        {GET_LINES("/") "content-length\t0\ncontent-length\t0\n", H1_LENGTH_DUPLICATE, 400},
        {GET_LINES("/") "te\tgzip\n", H2_TE, 400},
        {GET_LINES("/") "expect\tmagic\n", H1_EXPECTATION, 417},
        {":method\tGET\n:scheme\thttps\n:authority\ta\n:path\t/\n", H2_SCHEME, 400},
        {":method\tGET\n:scheme\thttp\n:path\t/\n", H1_HOST_MISSING, 400},
        {":method\tG T\n:scheme\thttp\n:authority\ta\n:path\t/\n", H1_BAD_METHOD, 400},
        {":method\tCONNECT\n:protocol\tconnect-udp\n:scheme\thttp\n:authority\ta\n:path\t/\n", H2_PROTOCOL, 501},
    };
    struct h2_client c;

    node_open();
    h2_open(&c);
    for (unsigned i = 0; i < ARRAY_LEN(heads); i++) {
        uint32_t id = 2 * i + 1;
        struct asked *asked;
        h2_say_head(&c, id, END_STREAM, heads[i].lines);
        asked = node_next();
        assert_false(asked->has_request);
        assert_int_equal(asked->refused, heads[i].status);
        assert_int_equal(asked->refused_index, heads[i].error);
        assert_string_equal(stream_refusals[asked->refused_index], asked->reason);
        answer(asked, asked->refused, "no");
        h2_expect_status(&c, id, heads[i].status, false);
        h2_expect_data(&c, id, "no", true);
        expect_ended(asked, STREAM_END_COMPLETE);
    }
    h2_done(&c);
    node_close();
}
SEEDED(test_refused_heads, 1)

/* A list within the frame that is larger than allowed, and one that HPACK makes large. */
static void test_large_lists(void)
{
    uint8_t block[16384];
    struct h2_client c;
    struct asked *asked;
    char lines[16384];
    size_t len;

    node_open();
    h2_open(&c);
    len = (size_t)snprintf(lines, sizeof(lines), "%s", GET_LINES("/"));
    for (unsigned i = 0; i < 101; i++)
        len += (size_t)snprintf(lines + len, sizeof(lines) - len, "x%u\ty\n", i);
    h2_say_head(&c, 1, END_STREAM, lines);
    asked = node_next();
    assert_int_equal(asked->refused, 431);
    assert_int_equal(asked->refused_index, H1_TOO_MANY_FIELDS);
    answer(asked, 431, "");
    h2_expect_status(&c, 1, 431, true);
    /* 4000 bytes once in the table, then one byte each */
    len = hpack_write(block, GET_LINES("/"));
    block[len++] = 0x40;
    block[len++] = 1;
    block[len++] = 'x';
    len = (size_t)(hpack_length(block + len, 4000) - block);
    memset(block + len, 'v', 4000);
    len += 4000;
    memset(block + len, 0x80 | 62, 9000);
    len += 9000;
    h2_say(&c, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, 3, block, len);
    asked = node_next();
    assert_int_equal(asked->refused, 431);
    assert_int_equal(asked->refused_index, H1_HEAD_TOO_LARGE);
    answer(asked, 431, "");
    h2_expect_status(&c, 3, 431, true);
    say_get(&c, 5, "/after");
    answer(node_expect("GET", "/after"), 200, "x");
    h2_expect_status(&c, 5, 200, false);
    h2_done(&c);
    node_close();
}
SEEDED(test_large_lists, 1)

/* ---- priorities ------------------------------------------------------------------------------------------------------ */

/* Which of two streams with bodies of three frames each comes first once the connection's window opens. */
static void expect_order(struct h2_client *c, uint32_t first, uint32_t second)
{
    h2_say_window(c, 0, 1u << 20);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(h2_next_of(c, NGHTTP2_DATA).id, i < 3 ? first : second);
}

/* Streams id and id + 2 have answers that wait for the connection's window only. */
static void two_answers(struct h2_client *c, uint32_t id, const char *first, const char *second)
{
    struct reply reply = {.status = 200, .length_bytes = 40000};

    for (unsigned i = 0; i < 2; i++) {
        char lines[256];
        struct asked *asked;
        snprintf(lines, sizeof(lines), GET_LINES("/") "%s", i == 0 ? first : second);
        h2_say_head(c, id + 2 * i, END_STREAM, lines);
        asked = node_next();
        source_memory_init(&asked->memory, slice_of(megabyte, 40000));
        stream_respond(asked->stream, &reply, &asked->memory.source);
        h2_expect_status(c, id + 2 * i, 200, false);
    }
}

static void use_up_window(struct h2_client *c)
{
    struct reply reply = {.status = 200, .length_bytes = 65535};
    struct asked *asked;
    struct h2_frame frame;

    say_get(c, 1, "/");
    asked = node_next();
    source_memory_init(&asked->memory, slice_of(megabyte, 65535));
    stream_respond(asked->stream, &reply, &asked->memory.source);
    h2_expect_status(c, 1, 200, false);
    do
        frame = h2_next_of(c, NGHTTP2_DATA);
    while ((frame.flags & END_STREAM) == 0);
}

static void test_urgency_decides(void)
{
    struct h2_client c;

    node_open();
    h2_open(&c);
    use_up_window(&c);
    two_answers(&c, 3, "priority\tu=5\n", "priority\tu=1\n");
    expect_order(&c, 5, 3);
    h2_done(&c);
    node_close();
}
SEEDED(test_urgency_decides, 1)

static void test_priority_update(void)
{
    struct h2_client c;
    uint8_t payload[7] = {0, 0, 0, 3, 'u', '=', '0'};

    node_open();
    h2_open(&c);
    use_up_window(&c);
    two_answers(&c, 3, "", "");
    h2_say(&c, NGHTTP2_PRIORITY_UPDATE, 0, 0, payload, sizeof(payload));
    payload[3] = 5;
    payload[6] = '6';
    h2_say(&c, NGHTTP2_PRIORITY_UPDATE, 0, 0, payload, sizeof(payload));
    expect_order(&c, 3, 5);
    h2_done(&c);
    node_close();
}
SEEDED(test_priority_update, 1)

/* The origin knows better. */
static void test_priority_of_the_answer(void)
{
    struct reply reply = {.status = 200, .length_bytes = 40000};
    struct fields added;
    struct h2_client c;

    node_open();
    h2_open(&c);
    use_up_window(&c);
    for (uint32_t id = 3; id <= 5; id += 2) {
        struct asked *asked;
        h2_say_head(&c, id, END_STREAM, GET_LINES("/") "priority\tu=4, i\n");
        asked = node_next();
        fields_init(&added, &asked->arena);
        assert_true(err_is_ok(fields_add(&added, F_PRIORITY, id == 3 ? SLICE("u=7, i=?0") : SLICE("u=2, i=?0"))));
        reply.added = &added;
        source_memory_init(&asked->memory, slice_of(megabyte, 40000));
        stream_respond(asked->stream, &reply, &asked->memory.source);
        h2_expect_status(&c, id, 200, false);
    }
    expect_order(&c, 5, 3);
    h2_done(&c);
    node_close();
}
SEEDED(test_priority_of_the_answer, 1)

static void say_update(struct h2_client *c, uint32_t id, const char *value)
{
    uint8_t payload[300];
    size_t len = strlen(value);

    put_u32(payload, id);
    memcpy(payload + 4, value, len);
    h2_say(c, NGHTTP2_PRIORITY_UPDATE, 0, 0, payload, 4 + len);
}

static void begin_updates(struct h2_client *c)
{
    node_open();
    h2_open(c);
    use_up_window(c);
}

static void end_updates(struct h2_client *c, uint32_t first, uint32_t second)
{
    expect_order(c, first, second);
    h2_done(c);
    node_close();
}

/* Said before the request is, and worth more than its Priority. */
static void test_priority_update_before_the_request(void)
{
    struct h2_client c;

    begin_updates(&c);
    say_update(&c, 5, "u=0");
    two_answers(&c, 3, "priority\tu=2\n", "priority\tu=7\n");
    end_updates(&c, 5, 3);
}
SEEDED(test_priority_update_before_the_request, 1)

/* What it leaves out is the default, not what was said before. */
static void test_priority_update_is_all_of_it(void)
{
    struct h2_client c;

    begin_updates(&c);
    two_answers(&c, 3, "priority\tu=1\n", "priority\tu=2\n");
    say_update(&c, 3, "");
    end_updates(&c, 5, 3);
}
SEEDED(test_priority_update_is_all_of_it, 1)

/* Updates for streams in every state, one after the other: what is kept for one that is idle goes with it. */
static void test_priority_updates_of_every_state(void)
{
    struct h2_client c;

    node_open();
    h2_open(&c);
    for (uint32_t id = 1; id < 60; id += 2) {
        say_update(&c, id, "u=1");
        if (id >= 20)
            say_update(&c, id + 2, "u=2, i");
        say_get(&c, id, "/");
        say_update(&c, id, "u=5");
        answer(node_next(), 200, "x");
        h2_expect_status(&c, id, 200, false);
        h2_expect_data(&c, id, "x", true);
        say_update(&c, id, "u=3");
    }
    h2_done(&c);
    node_close();
}
SEEDED(test_priority_updates_of_every_state, 1)

/* Sixteen wait; the oldest is forgotten first. Those below a stream that was opened never will be. */
static void test_priority_updates_that_wait(void)
{
    struct h2_client c;

    begin_updates(&c);
    say_update(&c, 3, "u=7");
    for (uint32_t id = 101; id < 101 + 2 * 16; id += 2)
        say_update(&c, id, "u=1");
    two_answers(&c, 3, "", "");
    expect_order(&c, 3, 5);
    h2_done(&c);
    node_close();

    begin_updates(&c);
    say_update(&c, 3, "u=7");
    for (uint32_t id = 101; id < 101 + 2 * 15; id += 2)
        say_update(&c, id, "u=1");
    say_update(&c, 3, "u=6");
    two_answers(&c, 3, "", "");
    end_updates(&c, 5, 3);
}
SEEDED(test_priority_updates_that_wait, 1)

/* No dictionary, or longer than anybody would say: nothing is changed. */
static void test_priority_updates_that_say_nothing(void)
{
    char text[200];
    struct h2_client c;

    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    begin_updates(&c);
    two_answers(&c, 3, "priority\tu=2\n", "priority\tu=1\n");
    say_update(&c, 3, "u=0, \"");
    say_update(&c, 3, text);
    say_update(&c, 1001, "\x01");
    end_updates(&c, 5, 3);
}
SEEDED(test_priority_updates_that_say_nothing, 1)

static void expect_update_error(uint32_t on, const char *payload, size_t len, uint32_t code)
{
    struct h2_client c;

    node_open();
    h2_open(&c);
    say_get(&c, 1, "/");
    node_next();
    h2_say(&c, NGHTTP2_PRIORITY_UPDATE, 0, on, payload, len);
    h2_expect_cut(&c, code);
    h2_done(&c);
    node_close();
}

/* RFC 9218 7.1. */
static void test_priority_updates_that_are_errors(void)
{
    expect_update_error(0, "\0\0\0\0u=1", 7, NGHTTP2_PROTOCOL_ERROR); /* the connection */
    expect_update_error(0, "\0\0\0\2u=1", 7, NGHTTP2_PROTOCOL_ERROR); /* a push that was never promised */
    expect_update_error(1, "\0\0\0\1u=1", 7, NGHTTP2_PROTOCOL_ERROR); /* on a stream */
    expect_update_error(0, "\0\0\0", 3, NGHTTP2_FRAME_SIZE_ERROR);
    expect_update_error(0, "", 0, NGHTTP2_FRAME_SIZE_ERROR);
}
SEEDED(test_priority_updates_that_are_errors, 1)

static void answer_with_priority(struct h2_client *c, uint32_t id, slice value)
{
    struct reply reply = {.status = 200, .length_bytes = 40000};
    struct asked *asked = node_next();
    struct fields added;

    fields_init(&added, &asked->arena);
    if (value.len > 0)
        assert_true(err_is_ok(fields_add(&added, F_PRIORITY, value)));
    reply.added = &added;
    source_memory_init(&asked->memory, slice_of(megabyte, 40000));
    stream_respond(asked->stream, &reply, &asked->memory.source);
    h2_expect_status(c, id, 200, false);
}

/* What the origin leaves open is what the client said last. */
static void test_priority_of_the_answer_over_an_update(void)
{
    struct h2_client c;

    begin_updates(&c);
    h2_say_head(&c, 3, END_STREAM, GET_LINES("/") "priority\tu=1\n");
    say_update(&c, 3, "u=5");
    h2_say(&c, NGHTTP2_PING, 0, 0, "12345678", 8);
    h2_next_of(&c, NGHTTP2_PING); /* it was seen */
    answer_with_priority(&c, 3, SLICE("i=?0"));
    h2_say_head(&c, 5, END_STREAM, GET_LINES("/") "priority\tu=3\n");
    answer_with_priority(&c, 5, SLICE_NONE);
    end_updates(&c, 5, 3);
}
SEEDED(test_priority_of_the_answer_over_an_update, 1)

/* The origin has the last word, but only where it has said one. */
static void test_priority_update_after_the_answer(void)
{
    struct h2_client c;

    begin_updates(&c);
    h2_say_head(&c, 3, END_STREAM, GET_LINES("/"));
    answer_with_priority(&c, 3, SLICE("u=4"));
    h2_say_head(&c, 5, END_STREAM, GET_LINES("/"));
    answer_with_priority(&c, 5, SLICE("i=?0"));
    say_update(&c, 3, "u=0");
    say_update(&c, 5, "u=2");
    end_updates(&c, 5, 3);

    begin_updates(&c);
    h2_say_head(&c, 3, END_STREAM, GET_LINES("/"));
    answer_with_priority(&c, 3, SLICE("i=?0"));
    h2_say_head(&c, 5, END_STREAM, GET_LINES("/"));
    answer_with_priority(&c, 5, SLICE_NONE);
    say_update(&c, 3, "u=6");
    end_updates(&c, 5, 3);
}
SEEDED(test_priority_update_after_the_answer, 1)

/* ---- WebSocket ------------------------------------------------------------------------------------------------------- */

#define CHAT_LINES ":method\tCONNECT\n:protocol\twebsocket\n:scheme\thttp\n:authority\ta\n:path\t/chat\nsec-websocket-version\t13\n"

/* The answer to the key of RFC 6455's own example: the key is made up by the server, so its answer is, too. */
static void accept_for(slice key, char text[32]);

static struct asked *chat_asked(struct h2_client *c, uint32_t id)
{
    struct asked *asked;

    h2_say_head(c, id, 0, CHAT_LINES);
    asked = node_expect("GET", "/chat");
    assert_true(asked->request.upgrade_websocket);
    assert_int_equal(fields_get(&asked->request.fields, F_SEC_WEBSOCKET_KEY).len, 24);
    return asked;
}

static void chat_accept(struct asked *asked, const char *accept)
{
    struct reply reply = {.status = 101, .length_bytes = -1};
    static struct fields added;

    fields_init(&added, &asked->arena);
    assert_true(err_is_ok(fields_add(&added, F_SEC_WEBSOCKET_ACCEPT, slice_str(accept))));
    assert_true(err_is_ok(fields_add_named(&added, SLICE("Sec-WebSocket-Protocol"), F_OTHER, SLICE("chat"))));
    reply.added = &added;
    feed_init(&asked->feed, SLICE("from the origin"));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    assert_non_null(asked->stream->body);
}

static void test_websocket(void)
{
    struct h2_client c;
    struct asked *asked;
    struct taken taken;
    char accept[32];

    node_open();
    h2_open(&c);
    asked = chat_asked(&c, 1);
    accept_for(fields_get(&asked->request.fields, F_SEC_WEBSOCKET_KEY), accept);
    h2_say_data(&c, 1, 0, "early ");
    chat_accept(asked, accept);
    assert_string_equal(h2_expect_head(&c, 1, false), ":status: 200\nsec-websocket-protocol: chat\n");
    take_begin(&taken, asked->stream->body);
    h2_say_data(&c, 1, 0, "from the client");
    feed_more(&asked->feed, 100);
    h2_expect_data(&c, 1, "from the origin", false);
    run_ms(600000); /* minutes of silence are fine */
    h2_say_data(&c, 1, END_STREAM, "!");
    take_expect(&taken, SOURCE_END, "early from the client!");
    assert_int_equal(asked->ended, 0);
    feed_end(&asked->feed);
    h2_expect_data(&c, 1, "", true);
    expect_ended(asked, STREAM_END_COMPLETE);
    take_done(&taken);
    h2_done(&c);
    node_close();
}
SEEDED(test_websocket, 1)

/* An origin that has not understood, or answers as if nothing had been asked for, makes no tunnel. */
static void test_websocket_refused(void)
{
    struct h2_client c;
    struct asked *asked;

    node_open();
    h2_open(&c);
    asked = chat_asked(&c, 1);
    chat_accept(asked, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    h2_expect_status(&c, 1, 502, true);
    h2_expect_reset(&c, 1, NGHTTP2_NO_ERROR);
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(asked->feed.closes, 1);
    asked = chat_asked(&c, 3);
    answer(asked, 200, "a page");
    h2_expect_status(&c, 3, 502, true);
    h2_expect_reset(&c, 3, NGHTTP2_NO_ERROR);
    asked = chat_asked(&c, 5);
    answer(asked, 403, "no");
    h2_expect_status(&c, 5, 403, false);
    h2_expect_data(&c, 5, "no", true);
    h2_expect_reset(&c, 5, NGHTTP2_NO_ERROR);
    h2_say_head(&c, 7, END_STREAM, ":method\tCONNECT\n:authority\ta:443\n");
    asked = node_next();
    assert_int_equal(asked->request.method, METHOD_CONNECT); /* the transaction refuses it, as in HTTP/1 */
    h2_done(&c);
    node_close();
}
SEEDED(test_websocket_refused, 1)

/* ---- drain and ends ------------------------------------------------------------------------------------------------- */

static void emptied(void *arg)
{
    *(bool *)arg = true;
}

static void test_drain(void)
{
    struct h2_client idle, busy;
    struct asked *asked, *raced;

    node_open();
    h2_open(&idle);
    h2_open(&busy);
    say_get(&busy, 1, "/");
    asked = node_next();
    node_unlisten();
    server_drain(node.server, NULL, NULL);
    h2_expect_cut(&idle, NGHTTP2_NO_ERROR);
    wire_finish(idle.wire);
    struct h2_frame frame = h2_next_of(&busy, NGHTTP2_GOAWAY);
    assert_int_equal(get_u32(frame.payload), 0x7fffffff);
    say_get(&busy, 3, "/was-on-its-way");
    raced = node_next();
    frame = h2_next_of(&busy, NGHTTP2_GOAWAY);
    assert_int_equal(get_u32(frame.payload), 3);
    say_get(&busy, 5, "/too-late");
    run_ms(100);
    assert_int_equal(node.begun, 2);
    answer(asked, 200, "1");
    h2_expect_status(&busy, 1, 200, false);
    h2_expect_data(&busy, 1, "1", true);
    answer(raced, 200, "3");
    h2_expect_status(&busy, 3, 200, false);
    h2_expect_data(&busy, 3, "3", true);
    h2_expect_cut(&busy, NGHTTP2_NO_ERROR);
    wire_finish(busy.wire);
    node_expect_empty();
    h2_done(&idle);
    h2_done(&busy);
    node_close();
}
SEEDED(test_drain, 1)

/* A client that has said all is answered what it asked in full, and no more. */
static void test_half_closed_client(void)
{
    struct h2_client c;
    struct asked *asked, *upload;

    node_open();
    h2_open(&c);
    say_get(&c, 1, "/");
    asked = node_next();
    h2_say_head(&c, 3, 0, POST_LINES("/"));
    upload = node_next();
    wire_finish(c.wire);
    expect_ended(upload, STREAM_END_CLIENT_LEFT);
    h2_expect_reset(&c, 3, NGHTTP2_CANCEL);
    run_ms(60000);
    assert_int_equal(asked->ended, 0);
    answer(asked, 200, "here");
    h2_expect_status(&c, 1, 200, false);
    h2_expect_data(&c, 1, "here", true);
    expect_ended(asked, STREAM_END_COMPLETE);
    h2_expect_goaway(&c, NGHTTP2_NO_ERROR);
    wire_expect_fin(c.wire);
    node_expect_empty();
    h2_done(&c);
    node_close();
}
SEEDED(test_half_closed_client, 1)

/* An endless answer is for somebody who is there; the user says so at any time. */
static void test_half_closed_client_of_events(void)
{
    struct reply reply = {.status = 200, .length_bytes = -1};
    struct h2_client c;
    struct asked *asked;

    for (unsigned late = 0; late < 2; late++) {
        node_open();
        h2_open(&c);
        say_get(&c, 1, "/");
        asked = node_next();
        if (late) {
            wire_finish(c.wire);
            run_ms(1000);
        }
        asked->stream->leave_on_fin = true;
        feed_init(&asked->feed, SLICE("event"));
        stream_respond(asked->stream, &reply, &asked->feed.source);
        feed_more(&asked->feed, 5);
        h2_expect_status(&c, 1, 200, false);
        h2_expect_data(&c, 1, "event", false);
        if (!late)
            wire_finish(c.wire);
        expect_ended(asked, STREAM_END_CLIENT_LEFT);
        node_expect_empty();
        h2_done(&c);
        node_close();
    }
}
SEEDED(test_half_closed_client_of_events, 1)

/* Half a head, half a preface: nothing to wait for. */
static void test_half_closed_before_a_request(void)
{
    struct h2_client c;
    uint8_t block[512];

    node_open();
    h2_open(&c);
    hpack_write(block, GET_LINES("/"));
    h2_say(&c, NGHTTP2_HEADERS, END_STREAM, 1, block, 5);
    wire_finish(c.wire);
    node_expect_empty();
    assert_int_equal(node.begun, 0);
    assert_int_equal(node_limit(STREAM_LIMIT_HEAD_TIME), 0);
    h2_done(&c);
    node_close();
}
SEEDED(test_half_closed_before_a_request, 1)

/* A connection that says only now what it speaks is drained like one that was idle. */
static void test_adopted_in_a_drain(void)
{
    struct h2_client c;
    bool is_empty = false;

    node_open();
    c = (struct h2_client){.wire = wire_connect(HERE)};
    assert_int_equal(nghttp2_hd_inflate_new(&c.inflater), 0);
    wire_say_bytes(c.wire, PREFACE, 10);
    run_ms(1000);
    node_unlisten();
    server_drain(node.server, emptied, &is_empty);
    run_ms(1000);
    assert_false(is_empty);
    wire_say(c.wire, PREFACE + 10);
    h2_say(&c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    h2_say_head(&c, 1, END_STREAM, GET_LINES("/"));
    struct h2_frame frame = h2_next_of(&c, NGHTTP2_GOAWAY);
    assert_int_equal(get_u32(frame.payload), 0); /* safe to be asked again elsewhere */
    assert_int_equal(get_u32(frame.payload + 4), NGHTTP2_NO_ERROR);
    wire_expect_fin(c.wire);
    wire_finish(c.wire);
    RUN_UNTIL_TRUE(is_empty);
    assert_int_equal(node.begun, 0);
    h2_done(&c);
    node_close();
}
SEEDED(test_adopted_in_a_drain, 1)

static void test_stop(void)
{
    struct h2_client c;
    struct asked *asked;
    struct reply reply = {.status = 200, .length_bytes = -1};

    node_open();
    h2_open(&c);
    say_get(&c, 1, "/");
    asked = node_next();
    feed_init(&asked->feed, SLICE("abc"));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    server_stop(node.server);
    expect_ended(asked, STREAM_END_SHUTDOWN);
    assert_int_equal(asked->feed.closes, 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_stop, 1)

static void test_answer_after_the_end(void)
{
    struct h2_client c;
    struct asked *asked;

    node_open();
    h2_open(&c);
    say_get(&c, 1, "/");
    asked = node_next();
    h2_say_head(&c, 3, 0, POST_LINES("/"));
    struct asked *upload = node_next();
    wire_reset(c.wire);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    expect_ended(upload, STREAM_END_CLIENT_LEFT);
    node_expect_empty();
    h2_done(&c);
    node_close();
}
SEEDED(test_answer_after_the_end, 1)

static void test_no_memory_for_a_request(void)
{
    struct h2_client c;

    node_open();
    h2_open(&c);
    node.no_memory = true;
    say_get(&c, 1, "/");
    h2_expect_reset(&c, 1, NGHTTP2_REFUSED_STREAM);
    node.no_memory = false;
    say_get(&c, 3, "/again");
    answer(node_expect("GET", "/again"), 200, "x");
    h2_expect_status(&c, 3, 200, false);
    h2_done(&c);
    node_close();
}
SEEDED(test_no_memory_for_a_request, 1)

#include "net/digest.h"

static void accept_for(slice key, char text[32])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint8_t digest[21] = {0};
    char bytes[64];

    snprintf(bytes, sizeof(bytes), "%.*s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", (int)key.len, key.data);
    assert_true(digest_sha1(slice_str(bytes), digest));
    for (unsigned i = 0; i < 7; i++) {
        uint32_t group = (uint32_t)digest[3 * i] << 16 | (uint32_t)digest[3 * i + 1] << 8 | digest[3 * i + 2];
        for (unsigned d = 0; d < 4; d++)
            text[4 * i + d] = digits[group >> (18 - 6 * d) & 63];
    }
    text[27] = '=';
    text[28] = 0;
}

/* RFC 6455 1.3's own example. */
static void the_handshake_of_the_rfc(void **state)
{
    char text[32];

    (void)state;
    accept_for(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), text);
    assert_string_equal(text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_handshake_of_the_rfc),
        SEEDED_TEST(test_get),
        SEEDED_TEST(test_greeting),
        SEEDED_TEST(test_hundred_streams),
        SEEDED_TEST(test_fields_of_an_answer),
        SEEDED_TEST(test_large_head),
        SEEDED_TEST(test_largest_head),
        SEEDED_TEST(test_head_that_cannot_be_sent),
        SEEDED_TEST(test_interim_and_expect),
        SEEDED_TEST(test_call),
        SEEDED_TEST(test_large_trailers),
        SEEDED_TEST(test_upload_within_windows),
        SEEDED_TEST(test_upload_over_the_window),
        SEEDED_TEST(test_download_through_windows),
        SEEDED_TEST(test_unread_body_is_reset),
        SEEDED_TEST(test_cut_answers),
        SEEDED_TEST(test_client_resets),
        SEEDED_TEST(test_cut_upload),
        SEEDED_TEST(test_refused_heads),
        SEEDED_TEST(test_large_lists),
        SEEDED_TEST(test_urgency_decides),
        SEEDED_TEST(test_priority_update),
        SEEDED_TEST(test_priority_of_the_answer),
        SEEDED_TEST(test_priority_update_before_the_request),
        SEEDED_TEST(test_priority_update_is_all_of_it),
        SEEDED_TEST(test_priority_updates_of_every_state),
        SEEDED_TEST(test_priority_updates_that_wait),
        SEEDED_TEST(test_priority_updates_that_say_nothing),
        SEEDED_TEST(test_priority_updates_that_are_errors),
        SEEDED_TEST(test_priority_of_the_answer_over_an_update),
        SEEDED_TEST(test_priority_update_after_the_answer),
        SEEDED_TEST(test_websocket),
        SEEDED_TEST(test_websocket_refused),
        SEEDED_TEST(test_drain),
        SEEDED_TEST(test_half_closed_client),
        SEEDED_TEST(test_half_closed_client_of_events),
        SEEDED_TEST(test_half_closed_before_a_request),
        SEEDED_TEST(test_adopted_in_a_drain),
        SEEDED_TEST(test_stop),
        SEEDED_TEST(test_answer_after_the_end),
        SEEDED_TEST(test_no_memory_for_a_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
