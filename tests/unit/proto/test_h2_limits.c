/* What a client may do beside asking, and for how long it may be waited for. */
#include "h2_wire.h"

#include "http/h2_message.h"

static void say_get(struct h2_client *c, uint32_t id)
{
    h2_say_head(c, id, END_STREAM, GET_LINES("/"));
}

/* The budget ends the connection for that reason, and is counted once. */
static void expect_calm(struct h2_client *c, enum stream_limit limit)
{
    h2_expect_cut(c, NGHTTP2_ENHANCE_YOUR_CALM);
    wire_finish(c->wire);
    node_expect_empty();
    assert_int_equal(node_limit(limit), 1);
    h2_done(c);
    node_close();
}

static void begin(struct h2_client *c)
{
    node_open();
    h2_open(c);
}

static void test_settings(void)
{
    struct h2_client c;

    begin(&c);
    for (unsigned i = 0; i < 12; i++) /* beside the greeting and its acknowledgement */
        h2_say_setting(&c, NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
    say_get(&c, 1);
    answer(node_next(), 200, "x");
    h2_expect_status(&c, 1, 200, false);
    h2_expect_data(&c, 1, "x", true);
    h2_say_setting(&c, NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
    expect_calm(&c, STREAM_LIMIT_H2_SETTINGS);
}
SEEDED(test_settings, 1)

static void test_pings(void)
{
    struct h2_client c;

    begin(&c);
    for (unsigned minute = 0; minute < 3; minute++) {
        for (unsigned i = 0; i < 60; i++)
            h2_say(&c, NGHTTP2_PING, 0, 0, "12345678", 8);
        for (unsigned i = 0; i < 60; i++) {
            struct h2_frame frame = h2_next_of(&c, NGHTTP2_PING);
            assert_int_equal(frame.flags, NGHTTP2_FLAG_ACK);
        }
        say_get(&c, 2 * minute + 1); /* so that the connection is not idle for a minute */
        run_ms(61000);
        answer(node_next(), 200, "x");
        h2_expect_status(&c, 2 * minute + 1, 200, false);
        h2_expect_data(&c, 2 * minute + 1, "x", true);
    }
    for (unsigned i = 0; i < 61; i++)
        h2_say(&c, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "12345678", 8); /* an answer to nothing counts, too */
    expect_calm(&c, STREAM_LIMIT_H2_PING);
}
SEEDED(test_pings, 1)

/* An answer whose bytes come when the test feeds them, one message after the other. */
static struct asked *begin_messages(struct h2_client *c, char *text, size_t size)
{
    struct reply reply = {.status = 200, .length_bytes = -1};
    struct asked *asked;

    memset(text, 'a', size);
    begin(c);
    say_get(c, 1);
    asked = node_next();
    feed_init(&asked->feed, slice_of(text, size));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    h2_expect_status(c, 1, 200, false);
    return asked;
}

/* A gRPC client measures with a ping for what it has received, as often as answers come back. */
static void test_pings_for_messages(void)
{
    static char text[400];
    struct asked *asked;
    struct h2_client c;

    asked = begin_messages(&c, text, sizeof(text));
    for (unsigned i = 0; i < sizeof(text); i++) {
        feed_more(&asked->feed, 1);
        h2_expect_data(&c, 1, "a", false);
        h2_say(&c, NGHTTP2_PING, 0, 0, "12345678", 8);
        assert_int_equal(h2_next_of(&c, NGHTTP2_PING).flags, NGHTTP2_FLAG_ACK);
    }
    for (unsigned i = 0; i < 61; i++) /* and no more than those */
        h2_say(&c, NGHTTP2_PING, 0, 0, "12345678", 8);
    expect_calm(&c, STREAM_LIMIT_H2_PING);
}
SEEDED(test_pings_for_messages, 1)

static void test_priorities(void)
{
    struct h2_client c;
    const uint8_t priority[5] = {0, 0, 0, 0, 15};
    const uint8_t update[7] = {0, 0, 0, 1, 'u', '=', '1'};

    begin(&c);
    say_get(&c, 1);
    node_next();
    for (unsigned i = 0; i < 60; i++)
        h2_say(&c, NGHTTP2_PRIORITY, 0, 1, priority, 5);
    for (unsigned i = 0; i < 61; i++)
        h2_say(&c, NGHTTP2_PRIORITY_UPDATE, 0, 0, update, 7);
    expect_calm(&c, STREAM_LIMIT_H2_PRIORITY);
}
SEEDED(test_priorities, 1)

/* Rapid reset: each request is begun and given up at once. */
static void test_resets(void)
{
    struct h2_client c;

    begin(&c);
    for (uint32_t i = 0; i < 201; i++) {
        say_get(&c, 2 * i + 1);
        h2_say_reset(&c, 2 * i + 1, NGHTTP2_CANCEL);
    }
    h2_expect_cut(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    wire_finish(c.wire);
    node_expect_empty();
    assert_int_equal(node_limit(STREAM_LIMIT_H2_RESETS), 1);
    assert_true(node.begun <= 201);
    h2_done(&c);
    node_close();
}
SEEDED(test_resets, 1)

/* "MadeYouReset": the client makes the server reset, by whatever means. */
static void caused(void (*cause)(struct h2_client *c, uint32_t id))
{
    struct h2_client c;

    begin(&c);
    for (uint32_t i = 0; i < 200; i++) {
        h2_say_head(&c, 2 * i + 1, 0, POST_LINES("/"));
        cause(&c, 2 * i + 1);
        assert_int_equal(h2_next_of(&c, NGHTTP2_RST_STREAM).id, 2 * i + 1);
    }
    h2_say_head(&c, 401, 0, POST_LINES("/"));
    cause(&c, 401);
    assert_int_equal(h2_next_of(&c, NGHTTP2_RST_STREAM).id, 401);
    h2_expect_goaway(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    wire_expect_end(c.wire);
    wire_finish(c.wire);
    node_expect_empty();
    assert_int_equal(node_limit(STREAM_LIMIT_H2_RESETS_CAUSED), 1);
    h2_done(&c);
    node_close();
}

static void cause_by_window_overflow(struct h2_client *c, uint32_t id)
{
    h2_say_window(c, id, 0x7fffffff);
}

static void cause_by_trailers(struct h2_client *c, uint32_t id)
{
    h2_say_head(c, id, 0, "x\ty\n"); /* trailers without END_STREAM */
}

/* nghttp2 makes more of this than RFC 9113 6.9 asks for: the connection's end. */
static void test_zero_window_update(void)
{
    struct h2_client c;

    begin(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/"));
    h2_say_window(&c, 1, 0);
    h2_expect_cut(&c, NGHTTP2_PROTOCOL_ERROR);
    h2_done(&c);
    node_close();
}
SEEDED(test_zero_window_update, 1)

static void test_resets_caused_by_window_overflow(void)
{
    caused(cause_by_window_overflow);
}
SEEDED(test_resets_caused_by_window_overflow, 1)

static void test_resets_caused_by_trailers(void)
{
    caused(cause_by_trailers);
}
SEEDED(test_resets_caused_by_trailers, 1)

/* DATA on a stream that the client has ended is the connection's end or a counted reset, never ignored for free. */
static void test_data_after_the_end(void)
{
    struct h2_client c;
    struct h2_frame frame;

    begin(&c);
    say_get(&c, 1);
    node_next();
    h2_say_data(&c, 1, 0, "x");
    frame = h2_next_of(&c, NGHTTP2_GOAWAY);
    assert_int_equal(get_u32(frame.payload + 4), NGHTTP2_STREAM_CLOSED);
    wire_expect_end(c.wire);
    h2_done(&c);
    node_close();
}
SEEDED(test_data_after_the_end, 1)

static void test_empty_frames(void)
{
    struct h2_client c;
    const uint8_t padding[4] = {3, 0, 0, 0};

    begin(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/"));
    node_next();
    for (unsigned i = 0; i < 50; i++)
        h2_say(&c, NGHTTP2_DATA, 0, 1, NULL, 0);
    for (unsigned i = 0; i < 51; i++)
        h2_say(&c, NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, padding, 4);
    expect_calm(&c, STREAM_LIMIT_H2_EMPTY);
}
SEEDED(test_empty_frames, 1)

/* So many frames of one kind in one piece, 10,000 of which are let pass. */
static void expect_ignored(uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len, unsigned count)
{
    static uint8_t bytes[10001 * 32];
    struct h2_client c;
    size_t used = 0;

    begin(&c);
    say_get(&c, 1);
    answer(node_next(), 200, "x");
    h2_expect_status(&c, 1, 200, false);
    h2_expect_data(&c, 1, "x", true);
    for (unsigned i = 0; i < count; i++)
        used += h2_write(bytes + used, type, flags, id, payload, len);
    wire_say_bytes(c.wire, bytes, used);
    if (count > 10000) {
        expect_calm(&c, STREAM_LIMIT_H2_IGNORED);
        return;
    }
    say_get(&c, 3);
    answer(node_next(), 200, "y");
    h2_expect_status(&c, 3, 200, false);
    h2_done(&c);
    node_close();
}

/* What nghttp2 ignores is seen all the same. */
static void test_ignored_frames(void)
{
    for (unsigned count = 10000; count <= 10001; count++) {
        expect_ignored(NGHTTP2_DATA, 0, 1, NULL, 0, count); /* on a stream that is gone */
        expect_ignored(NGHTTP2_DATA, 0, 1, "x", 1, count);
        expect_ignored(0x77, 0, 1, NULL, 0, count);
        expect_ignored(0x77, 0, 0, "unknown", 7, count);
        expect_ignored(NGHTTP2_HEADERS, END_HEADERS, 1, "\x82", 1, count);
    }
}

/* As long as an answer is under way a client that has said goodbye is listened to. */
static void test_goaways(void)
{
    static uint8_t bytes[10001 * 17];
    struct h2_client c;
    size_t used = 0;

    begin(&c);
    say_get(&c, 1);
    node_next();
    for (unsigned i = 0; i < 10001; i++)
        used += h2_write(bytes + used, NGHTTP2_GOAWAY, 0, 0, "\0\0\0\0\0\0\0\0", 8);
    wire_say_bytes(c.wire, bytes, used);
    expect_calm(&c, STREAM_LIMIT_H2_IGNORED);
}
SEEDED(test_goaways, 1)
SEEDED(test_ignored_frames, 1)

static void test_continuations(void)
{
    struct h2_client c;
    uint8_t block[512];
    size_t len = hpack_write(block, GET_LINES("/"));

    begin(&c);
    for (unsigned n = 5; n <= 6; n++) {
        uint32_t id = 2 * n + 1;
        h2_say(&c, NGHTTP2_HEADERS, END_STREAM, id, block, 1);
        for (unsigned i = 1; i < n; i++)
            h2_say(&c, NGHTTP2_CONTINUATION, 0, id, block + i, 1);
        h2_say(&c, NGHTTP2_CONTINUATION, END_HEADERS, id, block + n, len - n);
        if (n == 5) {
            answer(node_expect("GET", "/"), 200, "x");
            h2_expect_status(&c, id, 200, false);
            h2_expect_data(&c, id, "x", true);
        }
    }
    expect_calm(&c, STREAM_LIMIT_H2_CONTINUATION);
}
SEEDED(test_continuations, 1)

/* Window updates that answer nothing. Those that answer bytes are free. */
static void test_window_updates(void)
{
    struct h2_client c;

    begin(&c);
    for (unsigned i = 0; i < 1001; i++)
        h2_say_window(&c, 0, 1);
    expect_calm(&c, STREAM_LIMIT_H2_WINDOW_UPDATE);
}
SEEDED(test_window_updates, 1)

/* A stream of small messages (gRPC): each may be answered by an update for the stream and one for the connection. */
static void test_window_updates_for_messages(void)
{
    static char text[1200];
    struct asked *asked;
    struct h2_client c;

    asked = begin_messages(&c, text, sizeof(text));
    for (unsigned i = 0; i < sizeof(text); i++) {
        feed_more(&asked->feed, 1);
        h2_expect_data(&c, 1, "a", false);
        h2_say_window(&c, 0, 1);
        h2_say_window(&c, 1, 1);
    }
    feed_end(&asked->feed);
    h2_expect_data(&c, 1, "", true);
    h2_done(&c);
    node_close();
}
SEEDED(test_window_updates_for_messages, 1)

/* A window that is opened byte by byte: as many frames for us as for the client, and nothing in them. */
static void test_window_updates_by_the_byte(void)
{
    static char text[2000];
    struct reply reply = {.status = 200, .length_bytes = -1};
    struct asked *asked;
    struct h2_client c;

    memset(text, 'a', sizeof(text));
    begin(&c);
    h2_say_setting(&c, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0);
    say_get(&c, 1);
    asked = node_next();
    feed_init(&asked->feed, slice_of(text, sizeof(text)));
    feed_all(&asked->feed);
    stream_respond(asked->stream, &reply, &asked->feed.source);
    h2_expect_status(&c, 1, 200, false);
    for (unsigned i = 0; i < 1000; i++) {
        h2_say_window(&c, 1, 1);
        h2_expect_data(&c, 1, "a", false);
    }
    for (unsigned i = 0; i < 10; i++) /* a few more, for the bytes themselves */
        h2_say_window(&c, 1, 1);
    expect_calm(&c, STREAM_LIMIT_H2_WINDOW_UPDATE);
}
SEEDED(test_window_updates_by_the_byte, 1)

/* A hundred streams at once; one that was reset has its place until its work has ended, which is at once here. */
static void test_streams(void)
{
    struct asked *asked[100];
    struct h2_client c;

    begin(&c);
    for (uint32_t i = 0; i < 100; i++) {
        say_get(&c, 2 * i + 1);
        asked[i] = node_next();
    }
    h2_say_reset(&c, 1, NGHTTP2_CANCEL);
    expect_ended(asked[0], STREAM_END_CLIENT_LEFT);
    say_get(&c, 201);
    node_next();
    say_get(&c, 203);
    h2_expect_goaway(&c, NGHTTP2_PROTOCOL_ERROR);
    wire_expect_end(c.wire);
    assert_int_equal(node_limit(STREAM_LIMIT_H2_STREAMS), 1);
    assert_int_equal(node.begun, 101);
    h2_done(&c);
    node_close();
}
SEEDED(test_streams, 1)

/* Before the client has acknowledged the limit nobody can hold it to it: refused, and may be tried again. */
static void test_streams_before_the_acknowledgement(void)
{
    struct h2_client c;

    node_open();
    h2_connect(&c);
    h2_say(&c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    for (uint32_t i = 0; i < 101; i++)
        say_get(&c, 2 * i + 1);
    h2_expect_reset(&c, 201, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(node.begun, 100);
    assert_int_equal(node_limit(STREAM_LIMIT_H2_STREAMS), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_streams_before_the_acknowledgement, 1)

/* The same without end: refusals are counted as they are decided, and what waits to be sent is bounded by that. */
static void test_refusals_before_the_acknowledgement(void)
{
    static uint8_t bytes[1000 * 128];
    struct h2_client c;
    struct h2_frame frame;
    uint8_t block[128];
    size_t block_len = hpack_write(block, GET_LINES("/")), len = 0;
    unsigned resets = 0;

    node_open();
    h2_connect(&c);
    h2_say(&c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    for (uint32_t i = 0; i < 100; i++)
        say_get(&c, 2 * i + 1);
    for (uint32_t i = 100; i < 1000; i++)
        len += h2_write(bytes + len, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, block, block_len);
    wire_say_bytes(c.wire, bytes, len);
    while ((frame = h2_next(&c)).type != NGHTTP2_GOAWAY)
        if (frame.type == NGHTTP2_RST_STREAM)
            resets++;
    assert_int_equal(get_u32(frame.payload + 4), NGHTTP2_ENHANCE_YOUR_CALM);
    assert_in_range(resets, 1, 201); /* those that were not out yet are given up */
    wire_expect_end(c.wire);
    assert_int_equal(node.begun, 100);
    assert_int_equal(node_limit(STREAM_LIMIT_H2_RESETS_CAUSED), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_refusals_before_the_acknowledgement, 1)

/* ---- time ------------------------------------------------------------------------------------------------------------ */

static void test_idle_begins_with_the_last_answer(void)
{
    struct h2_client c;

    begin(&c);
    run_ms(20000);
    say_get(&c, 1);
    answer(node_next(), 200, "x");
    h2_expect_status(&c, 1, 200, false);
    h2_expect_data(&c, 1, "x", true);
    run_ms(20000);
    say_get(&c, 3);
    answer(node_next(), 200, "x");
    h2_expect_status(&c, 3, 200, false);
    h2_expect_data(&c, 3, "x", true);
    h2_expect_cut(&c, NGHTTP2_NO_ERROR);
    h2_done(&c);
    node_close();
}
SEEDED(test_idle_begins_with_the_last_answer, 1)

/* A client that has said hello and no more. */
static void test_no_settings(void)
{
    struct h2_client c;

    node_open();
    h2_connect(&c);
    h2_next_of(&c, NGHTTP2_SETTINGS);
    h2_next_of(&c, NGHTTP2_WINDOW_UPDATE);
    wire_expect_fin(c.wire);
    assert_int_equal(node_limit(STREAM_LIMIT_IDLE_TIME), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_no_settings, 1)

static void test_head_that_does_not_end(void)
{
    struct h2_client c;
    uint8_t block[512];

    begin(&c);
    hpack_write(block, GET_LINES("/"));
    h2_say(&c, NGHTTP2_HEADERS, END_STREAM, 1, block, 5);
    h2_expect_cut(&c, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(node_limit(STREAM_LIMIT_HEAD_TIME), 1);
    assert_int_equal(node.begun, 0);
    h2_done(&c);
    node_close();
}
SEEDED(test_head_that_does_not_end, 1)

static char large[200000];

static struct asked *answer_large(struct h2_client *c, uint32_t id)
{
    struct reply reply = {.status = 200, .length_bytes = sizeof(large)};
    struct asked *asked;

    say_get(c, id);
    asked = node_next();
    source_memory_init(&asked->memory, slice_of(large, sizeof(large)));
    stream_respond(asked->stream, &reply, &asked->memory.source);
    h2_expect_status(c, id, 200, false);
    return asked;
}

static void read_window(struct h2_client *c, size_t bytes)
{
    while (bytes > 0) {
        struct h2_frame frame = h2_next_of(c, NGHTTP2_DATA);
        bytes -= frame.len;
    }
}

/* The window is used up and stays so: that stream ends, others go on. */
static void test_window_starved(void)
{
    struct h2_client c;
    struct asked *asked;

    begin(&c);
    h2_say_window(&c, 0, 1u << 20);
    asked = answer_large(&c, 1);
    read_window(&c, 65535);
    h2_expect_reset(&c, 1, NGHTTP2_ENHANCE_YOUR_CALM);
    expect_ended(asked, STREAM_END_CLIENT_SLOW);
    assert_int_equal(node_limit(STREAM_LIMIT_H2_WINDOW), 1);
    say_get(&c, 3);
    answer(node_next(), 200, "x");
    h2_expect_status(&c, 3, 200, false);
    h2_done(&c);
    node_close();
}
SEEDED(test_window_starved, 1)

/* The same by the connection's window. */
static void test_connection_window_starved(void)
{
    struct h2_client c;
    struct asked *asked;

    begin(&c);
    asked = answer_large(&c, 1);
    read_window(&c, 65535);
    h2_expect_reset(&c, 1, NGHTTP2_ENHANCE_YOUR_CALM);
    expect_ended(asked, STREAM_END_CLIENT_SLOW);
    assert_int_equal(node_limit(STREAM_LIMIT_H2_WINDOW), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_connection_window_starved, 1)

/* A byte now and then is not nothing, but too little. */
static void test_window_in_drops(void)
{
    struct h2_client c;
    struct asked *asked;

    begin(&c);
    h2_say_window(&c, 0, 1u << 20);
    asked = answer_large(&c, 1);
    read_window(&c, 65535);
    for (unsigned i = 0; i < 20 && asked->ended == 0; i++) {
        h2_say_window(&c, 1, 1);
        run_ms(4000);
    }
    expect_ended(asked, STREAM_END_CLIENT_SLOW);
    assert_int_equal(node_limit(STREAM_LIMIT_SEND_RATE), 1);
    assert_int_equal(node_limit(STREAM_LIMIT_H2_WINDOW), 0);
    h2_done(&c);
    node_close();
}
SEEDED(test_window_in_drops, 1)

/* The same by the connection's window, where it is not the stream that waits which gets the byte. */
static void test_connection_window_in_drops(void)
{
    struct asked *asked[10];
    struct h2_client c;
    unsigned ended = 0;

    begin(&c);
    h2_say_setting(&c, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff);
    for (uint32_t i = 0; i < 10; i++) {
        struct reply reply = {.status = 200, .length_bytes = sizeof(large)};
        say_get(&c, 2 * i + 1);
        asked[i] = node_next();
        source_memory_init(&asked[i]->memory, slice_of(large, sizeof(large)));
        stream_respond(asked[i]->stream, &reply, &asked[i]->memory.source);
    }
    for (unsigned i = 0; i < 20; i++) {
        h2_say_window(&c, 0, 1);
        run_ms(3000);
    }
    for (unsigned i = 0; i < 10; i++) {
        ended += asked[i]->ended;
        assert_true(asked[i]->ended == 0 || asked[i]->end == STREAM_END_CLIENT_SLOW);
    }
    assert_int_equal(ended, 10);
    assert_int_equal(node_limit(STREAM_LIMIT_SEND_RATE) + node_limit(STREAM_LIMIT_H2_WINDOW), 10);
    assert_true(node_limit(STREAM_LIMIT_SEND_RATE) >= 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_connection_window_in_drops, 1)

/* Now the network is not read, now the window is shut: each time another reason, and never enough. */
static void test_window_and_network_in_turns(void)
{
    static char huge[4 << 20];
    struct reply reply = {.status = 200, .length_bytes = sizeof(huge)};
    struct h2_client c;
    struct asked *asked;

    begin(&c);
    node.limits.send_min_bytes_per_s = 30000; /* more than what fits between us is less */
    h2_say_setting(&c, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff);
    say_get(&c, 1);
    asked = node_next();
    source_memory_init(&asked->memory, slice_of(huge, sizeof(huge)));
    stream_respond(asked->stream, &reply, &asked->memory.source);
    for (unsigned i = 0; i < 20 && asked->ended == 0; i++) {
        run_ms(5000);
        if (i % 2 == 0) {
            wire_read_in_pieces(c.wire);
            h2_say_window(&c, 0, 140000);
        } else {
            c.wire->in_pieces = false;
            wire_read_piece(c.wire);
        }
    }
    expect_ended(asked, STREAM_END_CLIENT_SLOW);
    assert_int_equal(node_limit(STREAM_LIMIT_SEND_RATE), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_window_and_network_in_turns, 1)

/* A source that has nothing is not the client's doing. */
static void test_slow_source(void)
{
    struct reply reply = {.status = 200, .length_bytes = -1};
    struct h2_client c;
    struct asked *asked;

    begin(&c);
    say_get(&c, 1);
    asked = node_next();
    feed_init(&asked->feed, SLICE("abc"));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    h2_expect_status(&c, 1, 200, false);
    run_ms(300000);
    feed_all(&asked->feed);
    h2_expect_data(&c, 1, "abc", false);
    h2_expect_data(&c, 1, "", true);
    expect_ended(asked, STREAM_END_COMPLETE);
    h2_done(&c);
    node_close();
}
SEEDED(test_slow_source, 1)

/* All of an answer, piece by piece, each after so long; the client opens windows all the while. */
static void take_in_pieces(struct h2_client *c, size_t bytes, unsigned ms)
{
    size_t before = c->wire->len;

    for (unsigned i = 0; i < 500 && c->wire->len < before + bytes && !wire_has_ended(c->wire); i++) {
        h2_say_window(c, 0, 1000);
        wire_read_piece(c->wire);
        run_ms(ms);
    }
    assert_false(wire_has_ended(c->wire));
    c->wire->in_pieces = false;
    wire_read_piece(c->wire);
}

/* An answer as large as the windows, and a client that does not read it yet. */
static struct asked *answer_unread(struct h2_client *c, uint32_t id)
{
    struct reply reply = {.status = 200, .length_bytes = 60000};
    struct asked *asked;

    say_get(c, id);
    asked = node_next();
    run_ms(100);
    wire_read_in_pieces(c->wire);
    source_memory_init(&asked->memory, slice_of(large, 60000));
    stream_respond(asked->stream, &reply, &asked->memory.source);
    return asked;
}

/* A connection is idle when the client has its answers, not when our blocks or the kernel have them. */
static void test_slow_reader(void)
{
    struct h2_client c;

    begin(&c);
    node.limits.send_min_bytes_per_s = 1;
    answer_unread(&c, 1);
    take_in_pieces(&c, 60000, 5000);
    h2_expect_status(&c, 1, 200, false);
    read_window(&c, 60000);
    assert_int_equal(node_limit(STREAM_LIMIT_IDLE_TIME), 0);
    say_get(&c, 3);
    answer(node_next(), 200, "x");
    h2_expect_status(&c, 3, 200, false);
    h2_expect_data(&c, 3, "x", true);
    h2_expect_cut(&c, NGHTTP2_NO_ERROR);
    assert_int_equal(node_limit(STREAM_LIMIT_IDLE_TIME), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_slow_reader, 1)

/* The end of the connection waits for it as well. */
static void test_slow_reader_of_the_last_answer(void)
{
    struct h2_client c;
    size_t got = 0;
    unsigned goaways = 0;

    begin(&c);
    node.limits.send_min_bytes_per_s = 1;
    answer_unread(&c, 1);
    run_ms(100);
    node_unlisten();
    server_drain(node.server, NULL, NULL);
    take_in_pieces(&c, 60000, 4000);
    RUN_UNTIL_TRUE(c.wire->fin);
    wire_finish(c.wire);
    while (c.wire->read < c.wire->len) {
        struct h2_frame frame = h2_next(&c);
        got += frame.type == NGHTTP2_DATA ? frame.len : 0;
        goaways += frame.type == NGHTTP2_GOAWAY;
    }
    assert_int_equal(got, 60000);
    assert_true(goaways > 0);
    node_expect_empty();
    h2_done(&c);
    node_close();
}
SEEDED(test_slow_reader_of_the_last_answer, 1)

/* An answer that nobody takes ends its connection, though no stream is left. */
static void test_no_reader(void)
{
    struct h2_client c;
    struct asked *asked;

    begin(&c);
    asked = answer_unread(&c, 1);
    node_expect_empty();
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(node_limit(STREAM_LIMIT_IDLE_TIME) + node_limit(STREAM_LIMIT_SEND_RATE), 1);
    h2_done(&c);
    node_close();
}
SEEDED(test_no_reader, 1)

/* A GOAWAY that cannot leave is no reason to stay: of the budget, and of a head that does not end. */
static void test_goaway_and_no_reader(void)
{
    struct h2_client c;

    for (unsigned i = 0; i < 2; i++) {
        begin(&c);
        answer_unread(&c, 1);
        if (i == 0)
            for (unsigned n = 0; n < 15; n++)
                h2_say(&c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
        else
            h2_say(&c, NGHTTP2_HEADERS, END_STREAM, 3, "\0", 1);
        node_expect_empty();
        assert_int_equal(node_limit(i == 0 ? STREAM_LIMIT_H2_SETTINGS : STREAM_LIMIT_HEAD_TIME), 1);
        h2_done(&c);
        node_close();
    }
}
SEEDED(test_goaway_and_no_reader, 1)

static void test_slow_upload(void)
{
    struct h2_client c;
    struct asked *asked;
    struct taken taken;

    begin(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/") "content-length\t100000\n");
    asked = node_next();
    run_ms(60000); /* nobody asks for it yet */
    take_begin(&taken, asked->stream->body);
    h2_say_data(&c, 1, 0, "a little");
    h2_expect_reset(&c, 1, NGHTTP2_ENHANCE_YOUR_CALM);
    expect_ended(asked, STREAM_END_CLIENT_SLOW);
    assert_int_equal(node_limit(STREAM_LIMIT_BODY_RATE), 1);
    take_done(&taken);
    h2_done(&c);
    node_close();
}
SEEDED(test_slow_upload, 1)

/* An answer that came early is read on; who read the upload has left, and its bytes fill the window. */
static void test_upload_that_nobody_reads(void)
{
    struct reply reply = {.status = 200, .length_bytes = 1000};
    struct h2_client c;
    struct asked *asked;
    struct taken taken;

    begin(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/") "content-length\t1000000\n");
    asked = node_next();
    take_begin(&taken, asked->stream->body); /* it waits, and leaves */
    source_set_reader(asked->stream->body, NULL, NULL);
    feed_init(&asked->feed, slice_of(large, 1000));
    stream_respond(asked->stream, &reply, &asked->feed.source);
    feed_more(&asked->feed, 1);
    h2_expect_status(&c, 1, 200, false);
    h2_say_data(&c, 1, 0, "a little");
    run_ms(120000);
    feed_all(&asked->feed);
    expect_ended(asked, STREAM_END_COMPLETE);
    assert_int_equal(node_limit(STREAM_LIMIT_BODY_RATE), 0);
    take_done(&taken);
    h2_done(&c);
    node_close();
}
SEEDED(test_upload_that_nobody_reads, 1)

static void test_unknown_frames(void)
{
    struct h2_client c;

    begin(&c);
    for (uint32_t i = 0; i < 5; i++)
        h2_say(&c, 0xbb, 0, 0, "ignored", 7);
    say_get(&c, 1);
    answer(node_next(), 200, "x");
    h2_expect_status(&c, 1, 200, false);
    h2_done(&c);
    node_close();
}
SEEDED(test_unknown_frames, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_settings),
        SEEDED_TEST(test_pings),
        SEEDED_TEST(test_pings_for_messages),
        SEEDED_TEST(test_priorities),
        SEEDED_TEST(test_resets),
        SEEDED_TEST(test_zero_window_update),
        SEEDED_TEST(test_resets_caused_by_window_overflow),
        SEEDED_TEST(test_resets_caused_by_trailers),
        SEEDED_TEST(test_data_after_the_end),
        SEEDED_TEST(test_empty_frames),
        SEEDED_TEST(test_continuations),
        SEEDED_TEST(test_ignored_frames),
        SEEDED_TEST(test_goaways),
        SEEDED_TEST(test_window_updates),
        SEEDED_TEST(test_window_updates_for_messages),
        SEEDED_TEST(test_window_updates_by_the_byte),
        SEEDED_TEST(test_streams),
        SEEDED_TEST(test_streams_before_the_acknowledgement),
        SEEDED_TEST(test_refusals_before_the_acknowledgement),
        SEEDED_TEST(test_idle_begins_with_the_last_answer),
        SEEDED_TEST(test_no_settings),
        SEEDED_TEST(test_head_that_does_not_end),
        SEEDED_TEST(test_window_starved),
        SEEDED_TEST(test_connection_window_starved),
        SEEDED_TEST(test_window_in_drops),
        SEEDED_TEST(test_connection_window_in_drops),
        SEEDED_TEST(test_window_and_network_in_turns),
        SEEDED_TEST(test_slow_source),
        SEEDED_TEST(test_slow_reader),
        SEEDED_TEST(test_slow_reader_of_the_last_answer),
        SEEDED_TEST(test_no_reader),
        SEEDED_TEST(test_goaway_and_no_reader),
        SEEDED_TEST(test_slow_upload),
        SEEDED_TEST(test_upload_that_nobody_reads),
        SEEDED_TEST(test_unknown_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
