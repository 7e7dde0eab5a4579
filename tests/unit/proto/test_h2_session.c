/* A server's session with a stream whose other side is the test: what leaves together, how much at most. */
#include "fake_net.h"
#include "h2_wire.h"
#include "proto/h2_body.h"

static struct fake_net net;
static struct h2_memory memory;
static struct h2_session session;
static struct h2_sender senders[16];
static struct source_memory bodies[16];
static char body[60000];
static size_t body_bytes;
static unsigned afters, closed, asked_count;

static void after(struct h2_session *s)
{
    assert_ptr_equal(s, &session);
    afters++;
}

static int on_request(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
    static const nghttp2_nv status = {(uint8_t *)(uintptr_t)":status", (uint8_t *)(uintptr_t)"200", 7, 3, 0};
    unsigned at = asked_count;
    nghttp2_data_provider provider;

    assert_ptr_equal(user, &session);
    if (frame->hd.type != NGHTTP2_HEADERS)
        return 0;
    asked_count++;
    source_memory_init(&bodies[at], slice_of(body, body_bytes));
    h2_sender_init(&senders[at], &session, frame->hd.stream_id, &bodies[at].source, (int64_t)body_bytes);
    provider = h2_sender_provider(&senders[at]);
    assert_int_equal(nghttp2_submit_response(ng, frame->hd.stream_id, &status, 1, &provider), 0);
    h2_session_wake(&session); /* waits for the batch's end */
    assert_int_equal(net.sends, 0);
    return 0;
}

static int on_close(nghttp2_session *ng, int32_t id, uint32_t code, void *user)
{
    (void)ng, (void)id, (void)code, (void)user;
    closed++;
    return 0;
}

static void session_open(void)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *options = h2_session_options();
    struct h2_session_config config = {.memory = &memory, .net = &net.stream, .options = options, .is_server = true, .after = after};

    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_request);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, h2_sender_send_data);
    config.callbacks = callbacks;
    fake_net_init(&net);
    h2_memory_init(&memory);
    afters = closed = asked_count = 0;
    assert_true(err_is_ok(h2_session_init(&session, &config)));
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(options);
    assert_int_equal(nghttp2_submit_settings(session.ng, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void session_close(void)
{
    h2_session_done(&session);
    for (unsigned i = 0; i < H2_MEMORY_CLASSES; i++)
        assert_int_equal(memory.classes[i].in_use, 0); /* nghttp2 gave everything back */
    assert_int_equal(memory.out_pool.in_use, 0);
    h2_memory_done(&memory);
}

static void receive_requests(unsigned count, uint32_t window)
{
    uint8_t bytes[4096], block[512], setting[6] = {0, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE};
    size_t len = strlen(PREFACE);

    memcpy(bytes, PREFACE, len);
    put_u32(setting + 2, window);
    len += h2_write(bytes + len, NGHTTP2_SETTINGS, 0, 0, setting, 6);
    put_u32(setting, 1u << 20);
    len += h2_write(bytes + len, NGHTTP2_WINDOW_UPDATE, 0, 0, setting, 4);
    for (unsigned i = 0; i < count; i++)
        len += h2_write(bytes + len, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, block, hpack_write(block, GET_LINES("/")));
    assert_true(h2_session_receive(&session, slice_of((const char *)bytes, len)));
    assert_int_equal(asked_count, count);
}

static unsigned frames_in(const char *out, size_t len, uint8_t type)
{
    unsigned count = 0;

    for (size_t at = 0; at + 9 <= len;) {
        const uint8_t *head = (const uint8_t *)out + at;
        count += head[3] == type;
        at += 9 + ((size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2]);
    }
    return count;
}

/* Ten requests in one receive: ten answers in one send. */
static void test_one_batch_one_send(void)
{
    body_bytes = 1000;
    session_open();
    receive_requests(10, 65535);
    h2_session_pump(&session);
    assert_int_equal(net.sends, 1);
    assert_true(h2_session_sent(&session, (int32_t)fake_take(&net, SIZE_MAX)));
    assert_int_equal(net.sends, 1);
    assert_int_equal(frames_in(net.out, net.out_bytes, NGHTTP2_HEADERS), 10);
    assert_int_equal(frames_in(net.out, net.out_bytes, NGHTTP2_DATA), 10);
    assert_int_equal(closed, 10);
    assert_true(afters >= 2);
    assert_true(h2_session_is_flushed(&session));
    assert_int_equal(session.moved_bytes, net.out_bytes);
    session_close();
}
SEEDED(test_one_batch_one_send, 1)

/* However much there is, so much is taken from bodies at a time; less where the network takes little. */
static void test_output_is_bounded(void)
{
    size_t sent = 0;

    body_bytes = sizeof(body);
    session_open();
    receive_requests(8, 60000);
    h2_session_pump(&session);
    assert_int_equal(net.sends, 1);
    assert_true(session.out_bytes <= H2_OUT_BLOCKS * H2_OUT_BLOCK_BYTES);
    assert_true(session.out_bytes > 3 * H2_OUT_BLOCK_BYTES - H2_FRAME_BYTES_MAX);
    assert_true(h2_session_sent(&session, (int32_t)fake_take(&net, 1000)));
    assert_true(session.is_slow);
    assert_int_equal(net.sends, 2); /* the rest of the same */
    while (!h2_session_is_flushed(&session)) {
        bool was_slow = session.is_slow;
        size_t part = session.out_bytes;
        net.out_bytes = 0;
        sent += part;
        assert_true(h2_session_sent(&session, (int32_t)fake_take(&net, part)));
        if (was_slow && net.iov != NULL)
            assert_true(session.out_bytes > 0);
    }
    assert_true(sent > 8 * sizeof(body) - 1000);
    assert_int_equal(closed, 8);
    session_close();
}
SEEDED(test_output_is_bounded, 1)

/* What happens between batches leaves with the task, once. */
static void test_wake(void)
{
    body_bytes = 10;
    session_open();
    h2_session_wake(&session);
    h2_session_wake(&session);
    assert_int_equal(net.sends, 0);
    run_ms(10);
    assert_int_equal(net.sends, 1);
    assert_true(h2_session_sent(&session, (int32_t)fake_take(&net, SIZE_MAX)));
    assert_false(h2_session_sent(&session, 0));
    assert_false(h2_session_sent(&session, -32));
    session_close();
}
SEEDED(test_wake, 1)

static void test_no_preface(void)
{
    session_open();
    assert_false(h2_session_receive(&session, SLICE("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")));
    assert_int_equal(session.error, NGHTTP2_ERR_BAD_CLIENT_MAGIC);
    session_close();
}
SEEDED(test_no_preface, 1)

/* The first requests take from malloc, the next thousand do not. */
static void test_pools(void)
{
    uint8_t bytes[512], block[512];
    uint64_t mallocs = 0;

    body_bytes = 100;
    session_open();
    receive_requests(8, 65535);
    h2_session_pump(&session);
    for (uint32_t i = 0; i < 1000; i++) {
        size_t len = h2_write(bytes, NGHTTP2_HEADERS, END_HEADERS | END_STREAM, 17 + 2 * i, block, hpack_write(block, GET_LINES("/")));
        net.out_bytes = 0;
        net.sends = 0;
        assert_true(h2_session_sent(&session, (int32_t)fake_take(&net, SIZE_MAX)));
        asked_count = i % 8;
        net.sends = 0;
        assert_true(h2_session_receive(&session, slice_of((const char *)bytes, len)));
        h2_session_pump(&session);
        if (i == 10)
            for (unsigned c = 0; c < H2_MEMORY_CLASSES; c++)
                mallocs += memory.classes[c].mallocs;
    }
    for (unsigned c = 0; c < H2_MEMORY_CLASSES; c++)
        mallocs -= memory.classes[c].mallocs;
    assert_int_equal(mallocs, 0);
    session_close();
}
SEEDED(test_pools, 1)

static void *no_memory_zeroed(size_t count, size_t size, void *user)
{
    (void)count, (void)size, (void)user;
    return NULL;
}

static void test_no_memory(void)
{
    struct h2_memory none;
    struct h2_session_config config = {.memory = &none, .net = &net.stream, .is_server = true, .after = after};
    struct h2_session failed;
    nghttp2_session_callbacks *callbacks;

    h2_memory_init(&none);
    none.mem.calloc = no_memory_zeroed;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    config.callbacks = callbacks;
    assert_int_equal(h2_session_init(&failed, &config).code, ERR_MEMORY);
    h2_session_done(&failed);
    nghttp2_session_callbacks_del(callbacks);
    h2_memory_done(&none);
}
SEEDED(test_no_memory, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_one_batch_one_send), SEEDED_TEST(test_output_is_bounded), SEEDED_TEST(test_wake),
        SEEDED_TEST(test_no_preface),         SEEDED_TEST(test_pools),             SEEDED_TEST(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
