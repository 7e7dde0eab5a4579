/* An HTTP/2 connection to a scripted origin, frame by frame. */
#include "h2_wire.h"

#include "proto/client.h"
#include "tests/support/feed.h"
#include "tests/support/taken.h"

#define ORIGIN      "10.0.0.9:8080"
#define WINDOW      (256u << 10)
#define ASKED_MAX   120u
#define OK_LINES    ":status\t200\n"

/* One exchange and what became of it. */
struct exchange {
    struct client_stream *stream;
    struct arena arena;
    unsigned heads, interims, failures;
    bool told, sent, leaves;
    enum client_failure failure;
    char detail[80];
    struct response response;
    struct taken taken;
};

static struct client *client;
static struct client_shared *shared;
static struct door *door;
static struct h2_client origin; /* the scripted end */
static struct exchange asked[ASKED_MAX];
static struct feed uploads[2];
static struct arena arena;
static struct fields fields;
static bool connected, gone;
static unsigned changes;

static void on_connected(void *owner, int32_t result, const char *detail)
{
    (void)owner, (void)detail;
    assert_int_equal(result, 0);
    connected = true;
}

static void on_changed(void *owner)
{
    (void)owner;
    changes++;
}

static void on_gone(void *owner)
{
    (void)owner;
    gone = true;
    client = NULL;
}

static void on_interim(void *user, struct response *response)
{
    struct exchange *a = user;

    assert_true(response->status > 100 && response->status < 200);
    a->interims++;
    if (a->leaves)
        a->stream = client_stream_finish(a->stream);
}

static void on_head(void *user, struct response *response)
{
    struct exchange *a = user;

    a->heads++;
    a->told = true;
    a->response = *response;
    if (a->leaves)
        a->stream = client_stream_finish(a->stream);
}

static void on_failed(void *user, enum client_failure failure, bool sent, const char *detail)
{
    struct exchange *a = user;

    a->failures++;
    a->told = true;
    a->failure = failure;
    a->sent = sent;
    a->stream = NULL;
    snprintf(a->detail, sizeof(a->detail), "%s", detail != NULL ? detail : "");
}

static void ask_with(unsigned at, struct client_request request)
{
    static const struct client_events events = {on_interim, on_head, on_failed};
    struct exchange *a = &asked[at];

    *a = (struct exchange){0};
    arena_init(&a->arena, NULL, 0, 0);
    request.fields = &fields;
    request.arena = &a->arena;
    a->stream = client_begin(client, &request, &events, a);
    assert_non_null(a->stream);
    assert_false(a->told); /* never from inside */
}

static void ask(unsigned at)
{
    ask_with(at, (struct client_request){
                     .method = METHOD_GET, .method_name = SLICE("GET"), .target = SLICE("/x"), .body_bytes = -1});
}

static void finish(unsigned at)
{
    asked[at].stream = client_stream_finish(asked[at].stream);
    take_done(&asked[at].taken);
    arena_done(&asked[at].arena);
}

static void origin_greets(uint16_t setting, uint32_t value)
{
    origin = (struct h2_client){.wire = door_accept(door)};
    assert_int_equal(nghttp2_hd_inflate_new(&origin.inflater), 0);
    wire_expect(origin.wire, PREFACE);
    assert_int_equal(h2_next(&origin).type, NGHTTP2_SETTINGS);
    if (setting != 0)
        h2_say_setting(&origin, setting, value);
    else
        h2_say(&origin, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    h2_say(&origin, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
}

static void begin_limited(unsigned room_max, uint16_t setting, uint32_t value)
{
    static const struct client_owner owner = {on_connected, on_changed, on_gone};
    struct os_address address = address_of(ORIGIN);
    struct client_config config = {
        .loop = sim_net.loops[0],
        .address = &address,
        .speaks = CLIENT_H2,
        .room_assumed = 100,
        .room_max = room_max,
        .connect_ms = 2000,
        .first_byte_ms = 5000,
        .between_ms = 3000,
        .slow_body_ms = 20000,
        .idle_ms = 10000,
        .events = &owner,
    };

    connected = gone = false;
    changes = 0;
    arena_init(&arena, NULL, 0, 0);
    fields_init(&fields, &arena);
    assert_true(err_is_ok(fields_add(&fields, F_HOST, SLICE("h"))));
    assert_true(err_is_ok(client_shared_new(&shared)));
    config.shared = shared;
    door = door_open(ORIGIN);
    assert_true(err_is_ok(client_new(&config, &client)));
    RUN_UNTIL_TRUE(connected);
    assert_int_equal(client_protocol(client), NET_ALPN_H2);
    origin_greets(setting, value);
    while (h2_next(&origin).type != NGHTTP2_SETTINGS) { /* its ACK: ours are in force */
    }
}

static void begin_with(uint16_t setting, uint32_t value)
{
    begin_limited(0, setting, value);
}

static void begin(void)
{
    begin_with(0, 0);
}

static void end(void)
{
    if (client != NULL)
        client_close(client);
    RUN_UNTIL_TRUE(gone);
    client_shared_free(shared);
    arena_done(&arena);
    h2_done(&origin);
    door_shut(door);
}

static void expect_head(unsigned at, unsigned status)
{
    RUN_UNTIL_TRUE(asked[at].told);
    assert_int_equal(asked[at].failures, 0);
    assert_int_equal(asked[at].response.status, status);
}

static void expect_failed(unsigned at, enum client_failure failure, bool sent, const char *detail)
{
    RUN_UNTIL_TRUE(asked[at].told);
    assert_int_equal(asked[at].heads, 0);
    assert_int_equal(asked[at].failures, 1);
    assert_int_equal(asked[at].failure, failure);
    assert_int_equal(asked[at].sent, sent);
    assert_string_equal(asked[at].detail, detail);
    finish(at);
}

static void expect_body(unsigned at, enum source_state state, const char *text)
{
    take_begin(&asked[at].taken, asked[at].stream->body);
    take_expect(&asked[at].taken, state, text);
}

/* ---- requests and answers ---------------------------------------------------------------------------------------- */

static void test_exchange(void)
{
    begin();
    for (uint32_t id = 1; id < 20; id += 2) {
        ask(0);
        assert_string_equal(h2_expect_head(&origin, id, true), ":method: GET\n:scheme: http\n:authority: h\n:path: /x\n");
        h2_say_head(&origin, id, 0, OK_LINES "content-length\t5\netag\t\"a\"\n");
        h2_say_data(&origin, id, 0, "hel");
        expect_head(0, 200);
        assert_int_equal(asked[0].response.length_bytes, 5);
        h2_say_data(&origin, id, END_STREAM, "lo");
        expect_body(0, SOURCE_END, "hello");
        finish(0);
        assert_int_equal(client_room(client), 100);
    }
    end();
    assert_int_equal(door->count, 1);
}
SEEDED(test_exchange, 1)

static void test_answers_in_any_order(void)
{
    begin();
    for (unsigned i = 0; i < 50; i++)
        ask(i);
    assert_int_equal(client_room(client), 50);
    for (unsigned i = 0; i < 50; i++)
        h2_expect_head(&origin, 2 * i + 1, true);
    for (unsigned i = 50; i-- > 0;) {
        h2_say_head(&origin, 2 * i + 1, 0, OK_LINES);
        h2_say_data(&origin, 2 * i + 1, END_STREAM, "x");
    }
    for (unsigned i = 0; i < 50; i++) {
        expect_head(i, 200);
        expect_body(i, SOURCE_END, "x");
        finish(i);
    }
    assert_int_equal(client_room(client), 100);
    end();
}
SEEDED(test_answers_in_any_order, 1)

static void test_without_body(void)
{
    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, END_STREAM, ":status\t204\n");
    expect_head(0, 204);
    assert_null(asked[0].stream->body);
    finish(0);
    end();
}
SEEDED(test_without_body, 1)

static void test_interims_and_trailers(void)
{
    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, 0, ":status\t100\n");
    for (unsigned i = 0; i < 7; i++)
        h2_say_head(&origin, 1, 0, ":status\t103\nlink\t</x>\n");
    h2_say_head(&origin, 1, 0, OK_LINES);
    h2_say_data(&origin, 1, 0, "x");
    h2_say_head(&origin, 1, END_STREAM, "grpc-status\t0\n");
    expect_head(0, 200);
    assert_int_equal(asked[0].interims, 7);
    expect_body(0, SOURCE_END, "x");
    const struct fields *trailers = source_trailers(asked[0].stream->body);
    assert_non_null(trailers);
    assert_int_equal(fields_find_named(trailers, SLICE("grpc-status")), 0);
    finish(0);
    ask(0);
    h2_expect_head(&origin, 3, true);
    for (unsigned i = 0; i < 9; i++)
        h2_say_head(&origin, 3, 0, ":status\t103\n");
    expect_failed(0, CLIENT_FAILURE_INTERIM, true, "");
    h2_expect_reset(&origin, 3, NGHTTP2_ENHANCE_YOUR_CALM);
    end();
}
SEEDED(test_interims_and_trailers, 1)

/* ---- uploads ------------------------------------------------------------------------------------------------------- */

static void upload_begin(unsigned at, const char *text, int64_t body_bytes)
{
    struct feed *feed = &uploads[at];

    feed_init(feed, slice_str(text));
    ask_with(at, (struct client_request){.method = METHOD_POST, .method_name = SLICE("POST"), .target = SLICE("/up"),
                                         .body = &feed->source, .body_bytes = body_bytes});
}

static void test_upload_as_it_comes(void)
{
    begin();
    upload_begin(0, "onetwo", -1);
    assert_non_null(strstr(h2_expect_head(&origin, 1, false), ":method: POST"));
    assert_null(strstr(origin.head, "content-length"));
    wire_expect_silence(origin.wire, 1000);
    feed_more(&uploads[0], 3);
    h2_expect_data(&origin, 1, "one", false);
    feed_more(&uploads[0], 3);
    h2_expect_data(&origin, 1, "two", false);
    feed_end(&uploads[0]);
    h2_expect_data(&origin, 1, "", true);
    h2_say_head(&origin, 1, END_STREAM, OK_LINES);
    expect_head(0, 200);
    finish(0);
    end();
}
SEEDED(test_upload_as_it_comes, 1)

/* By the origin's window and no more. */
static void test_upload_waits_for_the_window(void)
{
    begin_with(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 4);
    upload_begin(0, "0123456789", 10);
    feed_all(&uploads[0]);
    assert_non_null(strstr(h2_expect_head(&origin, 1, false), "content-length: 10\n"));
    h2_expect_data(&origin, 1, "0123", false);
    wire_expect_silence(origin.wire, 1000);
    h2_say_window(&origin, 1, 4);
    h2_expect_data(&origin, 1, "4567", false);
    h2_say_window(&origin, 1, 4);
    h2_expect_data(&origin, 1, "89", true);
    h2_say_head(&origin, 1, END_STREAM, OK_LINES);
    expect_head(0, 200);
    finish(0);
    end();
}
SEEDED(test_upload_waits_for_the_window, 1)

static void test_upload_fails(void)
{
    for (int kind = 0; kind < 3; kind++) {
        begin();
        upload_begin(0, "0123456789", kind == 0 ? 10 : kind == 1 ? 20 : 5);
        feed_more(&uploads[0], 10);
        h2_expect_head(&origin, 1, false);
        if (kind == 0)
            feed_fail(&uploads[0]);
        else
            feed_end(&uploads[0]);
        expect_failed(0, CLIENT_FAILURE_REQUEST_BODY, true, "");
        struct h2_frame frame;
        while ((frame = h2_next(&origin)).type != NGHTTP2_RST_STREAM) /* never a clean end of a cut upload */
            assert_false(frame.type == NGHTTP2_DATA && (frame.flags & END_STREAM));
        end();
    }
}
SEEDED(test_upload_fails, 1)

/* Trailers that nghttp2 refuses to send: the upload is not complete, and nobody waits for an answer to it. */
static void test_trailers_that_cannot_be_sent(void)
{
    static char value[60000];
    struct fields trailers;
    struct arena large;

    begin();
    arena_init(&large, NULL, 0, 0);
    memset(value, 'v', sizeof(value));
    fields_init(&trailers, &large);
    for (unsigned i = 0; i < 5; i++)
        assert_true(err_is_ok(fields_add_named(&trailers, SLICE("x-large"), F_OTHER, slice_of(value, sizeof(value)))));
    upload_begin(0, "body", -1);
    uploads[0].trailers = &trailers;
    feed_all(&uploads[0]);
    feed_end(&uploads[0]);
    h2_expect_head(&origin, 1, false);
    h2_expect_data(&origin, 1, "body", false);
    h2_expect_reset(&origin, 1, NGHTTP2_INTERNAL_ERROR);
    expect_failed(0, CLIENT_FAILURE_REQUEST_BODY, true, "");
    end();
    arena_done(&large);
}
SEEDED(test_trailers_that_cannot_be_sent, 1)

/* ---- windows of answers ---------------------------------------------------------------------------------------------- */

/* What nobody reads fills the stream's own window and nothing else. */
static void test_slow_reader(void)
{
    static char block[16384 + 1];
    uint32_t opened[2] = {0};

    memset(block, 'a', sizeof(block) - 1);
    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, 0, OK_LINES);
    for (unsigned i = 0; i < 2 * WINDOW / (sizeof(block) - 1); i++) {
        if (i == WINDOW / (sizeof(block) - 1)) { /* the window is used up: only reading opens it */
            expect_head(0, 200);
            run_ms(1000);
            ask(1);
            while (true) {
                struct h2_frame frame = h2_next(&origin);
                if (frame.type == NGHTTP2_HEADERS) {
                    h2_read_head(&origin, &frame);
                    break;
                }
                assert_int_equal(frame.type, NGHTTP2_WINDOW_UPDATE);
                assert_int_equal(frame.id, 0);
            }
            h2_say_head(&origin, 3, 0, OK_LINES);
            h2_say_data(&origin, 3, END_STREAM, "past it");
            expect_head(1, 200);
            expect_body(1, SOURCE_END, "past it");
            finish(1);
            take_begin(&asked[0].taken, asked[0].stream->body);
            while (opened[1] < WINDOW / 2) {
                struct h2_frame frame = h2_next_of(&origin, NGHTTP2_WINDOW_UPDATE);
                opened[frame.id != 0] += get_u32(frame.payload);
            }
        }
        h2_say(&origin, NGHTTP2_DATA, 0, 1, block, sizeof(block) - 1);
    }
    h2_say_data(&origin, 1, END_STREAM, "");
    run_until(is_true_, &asked[0].taken.over, "the end");
    assert_int_equal(asked[0].taken.state, SOURCE_END);
    assert_int_equal(asked[0].taken.len, 2 * WINDOW);
    finish(0);
    end();
}
SEEDED(test_slow_reader, 1)

/* More than the window admits is the origin's error. */
static void test_window_overrun(void)
{
    static char block[16384];

    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, 0, OK_LINES);
    for (unsigned i = 0; i < WINDOW / sizeof(block) + 1; i++)
        h2_say(&origin, NGHTTP2_DATA, 0, 1, block, sizeof(block));
    expect_head(0, 200);
    h2_expect_reset(&origin, 1, NGHTTP2_FLOW_CONTROL_ERROR);
    take_begin(&asked[0].taken, asked[0].stream->body);
    run_until(is_true_, &asked[0].taken.over, "the end");
    assert_int_equal(asked[0].taken.state, SOURCE_FAILED);
    finish(0);
    end();
}
SEEDED(test_window_overrun, 1)

/* ---- ends that are none ------------------------------------------------------------------------------------------------ */

static void test_reset_in_the_body(void)
{
    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, 0, OK_LINES);
    h2_say_data(&origin, 1, 0, "half");
    h2_say_reset(&origin, 1, NGHTTP2_NO_ERROR);
    expect_head(0, 200);
    expect_body(0, SOURCE_FAILED, "half");
    finish(0);
    assert_int_equal(client_room(client), 100); /* the connection is good */
    end();
}
SEEDED(test_reset_in_the_body, 1)

static void test_lost_in_the_body(void)
{
    begin();
    ask(0);
    ask(1);
    h2_expect_head(&origin, 1, true);
    h2_expect_head(&origin, 3, true);
    h2_say_head(&origin, 1, 0, OK_LINES);
    h2_say_data(&origin, 1, 0, "half");
    h2_say_head(&origin, 3, 0, OK_LINES);
    h2_say_data(&origin, 3, END_STREAM, "whole");
    wire_finish(origin.wire);
    expect_head(0, 200);
    expect_head(1, 200);
    run_ms(1000);
    assert_false(gone); /* not before both were finished */
    expect_body(0, SOURCE_FAILED, "half");
    expect_body(1, SOURCE_END, "whole"); /* its end had come */
    finish(0);
    assert_false(gone);
    finish(1);
    RUN_UNTIL_TRUE(gone);
    end();
}
SEEDED(test_lost_in_the_body, 1)

static void test_lost_before_the_answer(void)
{
    begin();
    ask(0);
    ask(1);
    h2_expect_head(&origin, 1, true);
    h2_expect_head(&origin, 3, true);
    h2_say_head(&origin, 3, 0, ":status\t103\n");
    run_ms(100);
    wire_finish(origin.wire);
    expect_failed(0, CLIENT_FAILURE_CLOSED, true, "");
    expect_failed(1, CLIENT_FAILURE_CLOSED, true, "in the middle of the answer");
    RUN_UNTIL_TRUE(gone);
    end();
}
SEEDED(test_lost_before_the_answer, 1)

/* RFC 9113 6.8: above the last stream nothing was processed, below it everything goes on. */
static void test_goaway(void)
{
    static const uint8_t goaway[8] = {0, 0, 0, 1};

    begin();
    for (unsigned i = 0; i < 3; i++) {
        ask(i);
        h2_expect_head(&origin, 2 * i + 1, true);
    }
    h2_say(&origin, NGHTTP2_GOAWAY, 0, 0, goaway, sizeof(goaway));
    expect_failed(1, CLIENT_FAILURE_CLOSED, false, "stream refused");
    expect_failed(2, CLIENT_FAILURE_CLOSED, false, "stream refused");
    assert_int_equal(client_room(client), 0);
    h2_say_head(&origin, 1, 0, OK_LINES);
    h2_say_data(&origin, 1, END_STREAM, "x");
    expect_head(0, 200);
    expect_body(0, SOURCE_END, "x");
    finish(0);
    RUN_UNTIL_TRUE(gone);
    end();
}
SEEDED(test_goaway, 1)

static void test_refused(void)
{
    begin();
    ask(0);
    ask(1);
    h2_expect_head(&origin, 1, true);
    h2_expect_head(&origin, 3, true);
    h2_say_reset(&origin, 3, NGHTTP2_REFUSED_STREAM);
    expect_failed(1, CLIENT_FAILURE_CLOSED, false, "stream refused");
    assert_int_equal(client_room(client), 0); /* no more until another one ends */
    h2_say_head(&origin, 1, END_STREAM, OK_LINES);
    expect_head(0, 200);
    finish(0);
    run_ms(10);
    assert_int_equal(client_room(client), 100);
    /* what was taken of an upload cannot be sent again */
    upload_begin(0, "12", 2);
    feed_all(&uploads[0]);
    h2_expect_head(&origin, 5, false);
    h2_expect_data(&origin, 5, "12", true);
    h2_say_reset(&origin, 5, NGHTTP2_REFUSED_STREAM);
    expect_failed(0, CLIENT_FAILURE_CLOSED, true, "stream refused");
    /* of one that has not begun nothing was */
    upload_begin(0, "12", 2);
    h2_expect_head(&origin, 7, false);
    h2_say_reset(&origin, 7, NGHTTP2_REFUSED_STREAM);
    expect_failed(0, CLIENT_FAILURE_CLOSED, false, "stream refused");
    end();
}
SEEDED(test_refused, 1)

static void test_invalid(void)
{
    static const struct {
        const char *lines, *detail;
    } bad[] = {
        {"x\ty\n", "pseudo-header field missing"},
        {":status\t101\n", "status code outside 100..599"},
        {OK_LINES "connection\tclose\n", "field that concerns an HTTP/1 connection"},
        {OK_LINES "Upper\tx\n", "upper-case letter in a field name"},
        {OK_LINES "content-length\tx\n", "invalid Content-Length"},
    };

    begin();
    for (uint32_t i = 0; i < ARRAY_LEN(bad); i++) {
        ask(0);
        h2_expect_head(&origin, 2 * i + 1, true);
        h2_say_head(&origin, 2 * i + 1, 0, bad[i].lines);
        expect_failed(0, CLIENT_FAILURE_INVALID, true, bad[i].detail);
        h2_expect_reset(&origin, 2 * i + 1, NGHTTP2_PROTOCOL_ERROR);
    }
    assert_int_equal(client_room(client), 100);
    end();
}
SEEDED(test_invalid, 1)

static void test_lengths(void)
{
    begin();
    for (uint32_t kind = 0; kind < 3; kind++) {
        uint32_t id = 2 * kind + 1;
        ask(0);
        h2_expect_head(&origin, id, true);
        h2_say_head(&origin, id, 0, OK_LINES "content-length\t4\n");
        if (kind == 0)
            h2_say_data(&origin, id, END_STREAM, "abc");
        else if (kind == 1)
            h2_say_data(&origin, id, 0, "abcde");
        else
            h2_say_head(&origin, id, END_STREAM, "x\ty\n");
        expect_head(0, 200);
        take_begin(&asked[0].taken, asked[0].stream->body);
        run_until(is_true_, &asked[0].taken.over, "the end");
        assert_int_equal(asked[0].taken.state, SOURCE_FAILED);
        h2_expect_reset(&origin, id, NGHTTP2_PROTOCOL_ERROR);
        finish(0);
    }
    end();
}
SEEDED(test_lengths, 1)

/* ---- the origin's limits, and ours --------------------------------------------------------------------------------------- */

static bool has_room(void *arg)
{
    return client_room(client) == *(const unsigned *)arg;
}

static void expect_room(unsigned n)
{
    run_until(has_room, &n, "room");
}

static void test_room(void)
{
    begin_with(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 3);
    assert_int_equal(client_room(client), 3);
    for (unsigned i = 0; i < 3; i++)
        ask(i);
    assert_int_equal(client_room(client), 0);
    run_ms(100);
    finish(1); /* it has its place until the origin is told */
    assert_int_equal(client_room(client), 0);
    expect_room(1);
    h2_say_setting(&origin, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0);
    expect_room(0);
    h2_say_setting(&origin, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000000);
    expect_room(98);
    assert_true(changes >= 3);
    finish(0);
    finish(2);
    end();
}
SEEDED(test_room, 1)

/* Whatever the origin allows. */
static void test_room_of_our_own(void)
{
    begin_limited(2, 0, 0);
    assert_int_equal(client_room(client), 2);
    ask(0);
    ask(1);
    assert_int_equal(client_room(client), 0);
    h2_say_setting(&origin, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1);
    finish(0);
    run_ms(100);
    assert_int_equal(client_room(client), 0);
    assert_int_equal(client_room_max(client), 1);
    finish(1);
    end();
}
SEEDED(test_room_of_our_own, 1)

static void flooded_by(uint8_t type)
{
    static const uint8_t priority[5];

    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    for (unsigned i = 0; i < 1010; i++)
        h2_say(&origin, type, 0, 1, priority, sizeof(priority));
    expect_failed(0, CLIENT_FAILURE_INVALID, true, "too many control frames");
    RUN_UNTIL_TRUE(gone);
    run_ms(1000);
    if (!origin.wire->reset) /* as it is where bytes were left unread */
        h2_expect_goaway(&origin, NGHTTP2_ENHANCE_YOUR_CALM);
    end();
}

static void test_control_flood(void)
{
    flooded_by(NGHTTP2_PRIORITY);
}
SEEDED(test_control_flood, 1)

/* Of types that nghttp2 passes over. */
static void test_unknown_flood(void)
{
    flooded_by(0x42);
    flooded_by(NGHTTP2_PRIORITY_UPDATE);
    flooded_by(NGHTTP2_ALTSVC);
}
SEEDED(test_unknown_flood, 1)

/* ---- time ------------------------------------------------------------------------------------------------------------------ */

static void test_first_byte_timeout(void)
{
    uint64_t begun_ms;

    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    run_ms(3000);
    ask(1);
    h2_expect_head(&origin, 3, true);
    begun_ms = now_ms();
    expect_failed(0, CLIENT_FAILURE_TIMEOUT, true, "");
    assert_in_range(now_ms() - begun_ms, 1900, 2200);
    h2_expect_reset(&origin, 1, NGHTTP2_CANCEL);
    assert_int_equal(client_room(client), 0); /* nothing new on it, and what it carries goes on */
    h2_say_head(&origin, 3, 0, OK_LINES);
    h2_say_data(&origin, 3, END_STREAM, "x");
    expect_head(1, 200);
    expect_body(1, SOURCE_END, "x");
    finish(1);
    RUN_UNTIL_TRUE(gone);
    end();
}
SEEDED(test_first_byte_timeout, 1)

static void test_between_timeout(void)
{
    uint64_t begun_ms;

    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, 0, OK_LINES);
    h2_say_data(&origin, 1, 0, "half");
    expect_head(0, 200);
    run_ms(9000); /* nobody reads: not the origin's delay */
    assert_int_equal(client_room(client), 99);
    begun_ms = now_ms();
    expect_body(0, SOURCE_FAILED, "half");
    assert_in_range(now_ms() - begun_ms, 2900, 3300);
    h2_expect_reset(&origin, 1, NGHTTP2_CANCEL);
    finish(0);
    RUN_UNTIL_TRUE(gone);
    end();
}
SEEDED(test_between_timeout, 1)

/* An upload that its client is slow with is no delay of the origin's. */
static void test_slow_upload_is_no_timeout(void)
{
    begin();
    upload_begin(0, "0123456789", 10);
    h2_expect_head(&origin, 1, false);
    for (unsigned i = 0; i < 10; i++) {
        run_ms(7000);
        assert_false(asked[0].told);
        feed_more(&uploads[0], 1);
    }
    feed_end(&uploads[0]);
    run_ms(4000);
    assert_false(asked[0].told); /* the origin's time began with the last byte */
    expect_failed(0, CLIENT_FAILURE_TIMEOUT, true, "");
    end();
}
SEEDED(test_slow_upload_is_no_timeout, 1)

static void test_grpc_may_be_silent(void)
{
    begin();
    ask(0);
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, 0, OK_LINES "content-type\tapplication/grpc+proto\n");
    expect_head(0, 200);
    take_begin(&asked[0].taken, asked[0].stream->body);
    run_ms(3000000);
    assert_false(asked[0].taken.over);
    h2_say_data(&origin, 1, END_STREAM, "x");
    take_expect(&asked[0].taken, SOURCE_END, "x");
    finish(0);
    end();
}
SEEDED(test_grpc_may_be_silent, 1)

static void test_idle(void)
{
    uint64_t begun_ms;

    begin();
    run_ms(8000);
    ask(0);
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, END_STREAM, OK_LINES);
    expect_head(0, 200);
    finish(0);
    begun_ms = now_ms();
    RUN_UNTIL_TRUE(gone);
    assert_in_range(now_ms() - begun_ms, 9900, 10200);
    h2_expect_goaway(&origin, NGHTTP2_NO_ERROR);
    end();
}
SEEDED(test_idle, 1)

/* ---- leaving ------------------------------------------------------------------------------------------------------------------ */

static void test_leaving_in_a_callback(void)
{
    begin();
    ask(0);
    asked[0].leaves = true;
    ask(1);
    h2_expect_head(&origin, 1, true);
    h2_expect_head(&origin, 3, true);
    h2_say_head(&origin, 1, 0, ":status\t103\n");
    h2_expect_reset(&origin, 1, NGHTTP2_CANCEL);
    h2_say_head(&origin, 1, END_STREAM, OK_LINES); /* was on its way */
    asked[1].leaves = true;
    h2_say_head(&origin, 3, 0, OK_LINES);
    h2_say_data(&origin, 3, 0, "x");
    h2_expect_reset(&origin, 3, NGHTTP2_CANCEL);
    run_ms(10);
    assert_int_equal(asked[0].heads, 0);
    assert_int_equal(asked[1].heads, 1);
    finish(0);
    finish(1);
    assert_int_equal(client_room(client), 100);
    end();
}
SEEDED(test_leaving_in_a_callback, 1)

static void leave_at_the_end(void *reader)
{
    struct exchange *a = reader;
    slice shown[4];
    unsigned count;

    while (source_peek(a->stream->body, shown, 4, &count) == SOURCE_READY)
        source_consume(a->stream->body, shown[0].len);
    if (source_peek(a->stream->body, shown, 4, &count) == SOURCE_END) {
        a->stream = client_stream_finish(a->stream);
        a->told = true;
    }
}

/* As a fill does, inside the callback that tells of the last byte: the stream is over, and a reset would count against us. */
static void test_nothing_complete_is_reset(void)
{
    begin();
    ask(0);
    asked[0].leaves = true;
    h2_expect_head(&origin, 1, true);
    h2_say_head(&origin, 1, END_STREAM, ":status\t204\n");
    RUN_UNTIL_TRUE(asked[0].told);
    finish(0);
    ask(0);
    h2_expect_head(&origin, 3, true);
    h2_say_head(&origin, 3, 0, OK_LINES);
    expect_head(0, 200);
    source_set_reader(asked[0].stream->body, leave_at_the_end, &asked[0]);
    asked[0].told = false;
    leave_at_the_end(&asked[0]);
    h2_say_data(&origin, 3, 0, "hel");
    h2_say_data(&origin, 3, END_STREAM, "lo");
    RUN_UNTIL_TRUE(asked[0].told);
    assert_null(asked[0].stream);
    finish(0);
    ask(0);
    h2_expect_head(&origin, 5, true); /* the next frame */
    finish(0);
    h2_expect_reset(&origin, 5, NGHTTP2_CANCEL);
    end();
}
SEEDED(test_nothing_complete_is_reset, 1)

/* Wherever the conversation is: nothing is told any more and nothing stays behind. */
static void test_finish_at_every_step(void)
{
    for (unsigned step = 0; step < 30; step++) {
        begin();
        ask(0);
        upload_begin(1, "0123456789", 10);
        feed_more(&uploads[1], step % 11);
        if (step >= 5) {
            h2_expect_head(&origin, 1, true);
            h2_say_head(&origin, 1, 0, OK_LINES);
            h2_say_data(&origin, 1, step % 2 == 0 ? END_STREAM : 0, "x");
        }
        sim_run(sim_net.threads, 1, os_clock_ns() + step * 30000, NULL, NULL);
        unsigned told = asked[0].heads + asked[0].failures + asked[1].heads + asked[1].failures;
        finish(step % 2);
        if (step % 3 == 0)
            client_close(client);
        finish(1 - step % 2);
        run_ms(6000);
        assert_int_equal(asked[0].heads + asked[0].failures + asked[1].heads + asked[1].failures, told);
        assert_true(gone == (step % 3 == 0));
        end();
    }
}
SEEDED(test_finish_at_every_step, 1)

/* The network ends in the middle of anything. */
static void test_cut_at_every_byte(void)
{
    uint8_t said[512];
    size_t len = 0;
    uint8_t block[128];

    len += h2_write(said + len, NGHTTP2_HEADERS, END_HEADERS, 1, block, hpack_write(block, OK_LINES));
    len += h2_write(said + len, NGHTTP2_DATA, 0, 1, "half", 4);
    len += h2_write(said + len, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, 1, block, hpack_write(block, "x\ty\n"));
    for (size_t cut = 0; cut <= len; cut++) {
        begin();
        ask(0);
        h2_expect_head(&origin, 1, true);
        wire_say_bytes(origin.wire, said, cut);
        wire_finish(origin.wire);
        RUN_UNTIL_TRUE(asked[0].told);
        assert_int_equal(asked[0].heads + asked[0].failures, 1);
        if (asked[0].heads == 1) {
            take_begin(&asked[0].taken, asked[0].stream->body);
            run_until(is_true_, &asked[0].taken.over, "the end");
            assert_int_equal(asked[0].taken.state, cut == len ? SOURCE_END : SOURCE_FAILED);
        }
        finish(0);
        RUN_UNTIL_TRUE(gone);
        end();
    }
}
SEEDED(test_cut_at_every_byte, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_exchange),
        SEEDED_TEST(test_answers_in_any_order),
        SEEDED_TEST(test_without_body),
        SEEDED_TEST(test_interims_and_trailers),
        SEEDED_TEST(test_upload_as_it_comes),
        SEEDED_TEST(test_upload_waits_for_the_window),
        SEEDED_TEST(test_upload_fails),
        SEEDED_TEST(test_trailers_that_cannot_be_sent),
        SEEDED_TEST(test_slow_reader),
        SEEDED_TEST(test_window_overrun),
        SEEDED_TEST(test_reset_in_the_body),
        SEEDED_TEST(test_lost_in_the_body),
        SEEDED_TEST(test_lost_before_the_answer),
        SEEDED_TEST(test_goaway),
        SEEDED_TEST(test_refused),
        SEEDED_TEST(test_invalid),
        SEEDED_TEST(test_lengths),
        SEEDED_TEST(test_room),
        SEEDED_TEST(test_room_of_our_own),
        SEEDED_TEST(test_control_flood),
        SEEDED_TEST(test_unknown_flood),
        SEEDED_TEST(test_first_byte_timeout),
        SEEDED_TEST(test_between_timeout),
        SEEDED_TEST(test_slow_upload_is_no_timeout),
        SEEDED_TEST(test_grpc_may_be_silent),
        SEEDED_TEST(test_idle),
        SEEDED_TEST(test_leaving_in_a_callback),
        SEEDED_TEST(test_nothing_complete_is_reset),
        SEEDED_TEST(test_finish_at_every_step),
        SEEDED_TEST(test_cut_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
