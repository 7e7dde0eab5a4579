#include "proto/h1_reader.h"
#include "fake_net.h"

static struct fake_net net;
static struct h1_inbuf in;
static struct h1_reader reader;
static struct arena arena;
static unsigned wakes, pulls;
static char seen[1 << 17];
static size_t seen_bytes;

static void woken(void *arg)
{
    assert_ptr_equal(arg, &reader);
    wakes++;
}

static void pulled(struct h1_reader *r)
{
    assert_ptr_equal(r, &reader);
    pulls++;
}

static void reader_begin(const char *held, enum body_kind kind, uint64_t length)
{
    fake_net_init(&net);
    in = (struct h1_inbuf){0};
    wakes = pulls = 0;
    seen_bytes = 0;
    arena_init(&arena, NULL, 0, 0);
    assert_true(h1_inbuf_append(&in, slice_str(held), H1_INBUF_BYTES));
    h1_reader_init(&reader, &net.stream, &in, kind, length, &arena);
    reader.first_pull = pulled;
    source_set_reader(&reader.source, woken, &reader);
}

static void reader_end(void)
{
    source_close(&reader.source);
    h1_inbuf_done(&in);
    arena_done(&arena);
}

/* As net tells: bytes, 0 for FIN, or an error. */
static void receive(const char *bytes, size_t len)
{
    assert_non_null(net.into);
    assert_true(len <= net.into_bytes);
    memcpy(net.into, bytes, len);
    net.into = NULL;
    h1_reader_received(&reader, (int32_t)len, NULL);
}

static void receive_text(const char *text)
{
    receive(text, strlen(text));
}

static void receive_result(int32_t result)
{
    assert_non_null(net.into);
    net.into = NULL;
    h1_reader_received(&reader, result, NULL);
}

/* Pulls what there is, at most step bytes at a time. */
static enum source_state drain(size_t step)
{
    slice shown[2];
    unsigned count;
    enum source_state state;

    while ((state = source_peek(&reader.source, shown, 2, &count)) == SOURCE_READY) {
        size_t n = MIN(step, shown[0].len);
        assert_int_equal(count, 1);
        assert_true(n > 0);
        memcpy(seen + seen_bytes, shown[0].data, n);
        seen_bytes += n;
        source_consume(&reader.source, n);
    }
    return state;
}

static void expect_seen(const char *text)
{
    assert_int_equal(seen_bytes, strlen(text));
    assert_memory_equal(seen, text, seen_bytes);
}

static void expect_left_over(const char *text)
{
    slice left = h1_inbuf_slice(&in);

    assert_int_equal(left.len, strlen(text));
    if (left.len > 0)
        assert_memory_equal(left.data, text, left.len);
}

/* ---- framings ------------------------------------------------------------------------------------------------ */

static void test_none(void)
{
    reader_begin("next message", BODY_NONE, 0);
    assert_true(reader.complete);
    assert_int_equal(drain(1), SOURCE_END);
    expect_left_over("next message");
    assert_int_equal(net.receives, 0);
    reader_end();
}
SEEDED(test_none, 1)

static void test_length(void)
{
    reader_begin("hello", BODY_LENGTH, 10);
    assert_false(reader.complete);
    assert_int_equal(pulls, 0);
    assert_int_equal(drain(2), SOURCE_WAIT);
    assert_int_equal(pulls, 1);
    expect_seen("hello");
    assert_int_equal(net.receives, 1);
    receive_text(" wor");
    assert_int_equal(wakes, 1);
    assert_int_equal(drain(100), SOURCE_WAIT);
    receive_text("ld"
                 "GET / HTTP/1.1\r\n");
    assert_int_equal(drain(100), SOURCE_END);
    expect_seen("hello worl");
    expect_left_over("dGET / HTTP/1.1\r\n"); /* behind the tenth byte: another message's */
    assert_true(reader.complete);
    assert_int_equal(net.receives, 2);
    assert_int_equal(pulls, 1);
    reader_end();
}
SEEDED(test_length, 1)

/* The owner asks reader.complete without another pull. */
static void test_complete_with_the_last_byte(void)
{
    slice shown[1];
    unsigned count;

    reader_begin("abc", BODY_LENGTH, 3);
    assert_int_equal(source_peek(&reader.source, shown, 1, &count), SOURCE_READY);
    assert_false(reader.complete);
    source_consume(&reader.source, 3);
    assert_true(reader.complete);
    assert_null(in.bytes); /* the memory went back at once */
    reader_end();

    reader_begin("1\r\na\r\n0\r\n\r\n", BODY_CHUNKED, 0);
    assert_int_equal(source_peek(&reader.source, shown, 1, &count), SOURCE_READY);
    source_consume(&reader.source, 1);
    assert_true(reader.complete);
    reader_end();

    reader_begin("", BODY_LENGTH, 0);
    assert_true(reader.complete);
    reader_end();
}
SEEDED(test_complete_with_the_last_byte, 1)

/* Every cut of a chunked message, byte by byte too. */
static void test_chunked_at_every_split(void)
{
    static const char message[] = "3;ext=\"v\"\r\nabc\r\nA\r\n0123456789\r\n0\r\nX-Trace: t\r\nX-Sum: 1\r\n\r\n";
    const char behind[] = "NEXT";
    size_t len = sizeof(message) - 1;

    for (size_t cut = 0; cut <= len; cut++) {
        char all[sizeof(message) + 4];
        char first[sizeof(message)];
        memcpy(all, message, len);
        memcpy(all + len, behind, 4);
        memcpy(first, message, cut);
        first[cut] = '\0';
        reader_begin(first, BODY_CHUNKED, 0);
        enum source_state state = drain(3);
        if (state == SOURCE_WAIT) {
            receive(all + cut, len + 4 - cut);
            state = drain(3);
            expect_left_over(behind);
        }
        assert_int_equal(state, SOURCE_END);
        expect_seen("abc0123456789");
        assert_non_null(source_trailers(&reader.source));
        assert_int_equal(source_trailers(&reader.source)->count, 2);
        assert_true(slice_eq(field_value(source_trailers(&reader.source), 0), SLICE("t")));
        reader_end();
    }
    reader_begin("", BODY_CHUNKED, 0);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(drain(1), SOURCE_WAIT);
        receive(message + i, 1);
    }
    assert_int_equal(drain(1), SOURCE_END);
    expect_seen("abc0123456789");
    expect_left_over("");
    reader_end();
}
SEEDED(test_chunked_at_every_split, 1)

static void test_forbidden_trailers_are_dropped(void)
{
    reader_begin("0\r\nContent-Length: 5\r\nHost: x\r\nX-Ok: 1\r\n\r\n", BODY_CHUNKED, 0);
    assert_int_equal(drain(1), SOURCE_END);
    assert_non_null(source_trailers(&reader.source));
    assert_int_equal(source_trailers(&reader.source)->count, 1);
    reader_end();
}
SEEDED(test_forbidden_trailers_are_dropped, 1)

static void test_until_close(void)
{
    reader_begin("some", BODY_CLOSE, 0);
    assert_int_equal(drain(100), SOURCE_WAIT);
    receive_text(" bytes");
    assert_int_equal(drain(100), SOURCE_WAIT);
    assert_false(reader.complete);
    receive_result(0);
    assert_int_equal(drain(100), SOURCE_END);
    assert_true(reader.complete);
    expect_seen("some bytes");
    reader_end();
}
SEEDED(test_until_close, 1)

static void test_raw(void)
{
    reader_begin("5\r\nraw", BODY_NONE, 0);
    assert_true(reader.complete);
    h1_reader_make_raw(&reader);
    assert_false(reader.complete);
    assert_int_equal(drain(100), SOURCE_WAIT);
    expect_seen("5\r\nraw"); /* nothing of it is framing */
    assert_int_equal(pulls, 0);
    receive_text("0\r\n\r\n");
    assert_int_equal(drain(100), SOURCE_WAIT);
    receive_result(0);
    assert_int_equal(drain(100), SOURCE_END);
    expect_seen("5\r\nraw0\r\n\r\n");
    reader_end();
}
SEEDED(test_raw, 1)

/* ---- ends too early, errors ---------------------------------------------------------------------------------- */

static void expect_failure(const char *held, enum body_kind kind, uint64_t length, int32_t result)
{
    reader_begin(held, kind, length);
    assert_int_equal(drain(100), SOURCE_WAIT);
    receive_result(result);
    assert_int_equal(wakes, 1);
    assert_int_equal(drain(100), SOURCE_FAILED);
    assert_int_equal(drain(100), SOURCE_FAILED); /* it stays so */
    assert_false(reader.complete);
    assert_int_equal(net.receives, 1);
    reader_end();
}

static void test_fin_too_early(void)
{
    expect_failure("half", BODY_LENGTH, 5, 0);
    expect_failure("", BODY_LENGTH, UINT64_MAX, 0);
    expect_failure("", BODY_CHUNKED, 0, 0);
    expect_failure("5\r\nhel", BODY_CHUNKED, 0, 0);
    expect_failure("5\r\nhello\r\n", BODY_CHUNKED, 0, 0);
    expect_failure("0\r\n", BODY_CHUNKED, 0, 0);
    expect_failure("0\r\nX: y\r\n", BODY_CHUNKED, 0, 0);
}
SEEDED(test_fin_too_early, 1)

static void test_reset(void)
{
    expect_failure("half", BODY_LENGTH, 5, -104);
    expect_failure("half", BODY_CLOSE, 0, -104); /* only a FIN ends it */
    expect_failure("5\r\n", BODY_CHUNKED, 0, -104);
}
SEEDED(test_reset, 1)

static void test_bad_chunks(void)
{
    static const char *const bad[] = {"x\r\n", "-1\r\n", "5\nhello", "1\r\nab", "ffffffffffffffff1\r\n", "1 \r\n", "\r\n", "0x1\r\n"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        reader_begin(bad[i], BODY_CHUNKED, 0);
        assert_int_equal(drain(100), SOURCE_FAILED);
        assert_false(reader.complete);
        assert_int_equal(net.receives, 0);
        reader_end();
    }
}
SEEDED(test_bad_chunks, 1)

/* ---- memory ---------------------------------------------------------------------------------------------------- */

/* Bytes that were shown do not move while a receive is under way behind them. */
static void test_shown_bytes_stay(void)
{
    slice shown[1], again[1];
    unsigned count;

    reader_begin("", BODY_LENGTH, 100000);
    assert_int_equal(drain(100), SOURCE_WAIT);
    receive_text("shown");
    assert_int_equal(source_peek(&reader.source, shown, 1, &count), SOURCE_READY);
    source_consume(&reader.source, 2);
    assert_int_equal(source_peek(&reader.source, again, 1, &count), SOURCE_READY);
    assert_ptr_equal(again[0].data, shown[0].data + 2);
    assert_memory_equal(again[0].data, "own", 3);
    reader_end();
}
SEEDED(test_shown_bytes_stay, 1)

/* Asks the socket only when pulled, for a bounded buffer, over a body of any size. */
static void test_bounded(void)
{
    static char block[H1_INBUF_BYTES];
    uint64_t total = 0;

    memset(block, 'b', sizeof(block));
    reader_begin("", BODY_LENGTH, 1 << 20);
    assert_int_equal(net.receives, 0);
    while (total < (1 << 20)) {
        size_t n;
        seen_bytes = 0;
        assert_int_equal(drain(7000), SOURCE_WAIT);
        assert_true(in.cap <= 2 * H1_INBUF_BYTES);
        assert_int_equal(drain(7000), SOURCE_WAIT); /* again: not another receive */
        n = MIN(net.into_bytes, sizeof(block));
        n = (size_t)MIN(n, (1 << 20) - total);
        receive(block, n);
        total += n;
    }
    assert_int_equal(drain(7000), SOURCE_END);
    assert_int_equal(reader.moved_bytes, 1 << 20);
    assert_null(in.bytes);
    reader_end();
}
SEEDED(test_bounded, 1)

static void test_inbuf(void)
{
    struct h1_inbuf buffer = {0};
    static char many[5000];

    assert_true(h1_inbuf_append(&buffer, SLICE("abc"), 4096));
    assert_true(h1_inbuf_append(&buffer, SLICE("def"), 4096));
    h1_inbuf_consume(&buffer, 2);
    assert_true(slice_eq(h1_inbuf_slice(&buffer), SLICE("cdef")));
    assert_false(h1_inbuf_append(&buffer, slice_of(many, 4093), 4096)); /* one too many */
    assert_true(slice_eq(h1_inbuf_slice(&buffer), SLICE("cdef")));
    assert_true(h1_inbuf_append(&buffer, slice_of(many, 4092), 4096));
    assert_int_equal(h1_inbuf_slice(&buffer).len, 4096);
    assert_memory_equal(h1_inbuf_slice(&buffer).data, "cdef", 4);
    assert_false(h1_inbuf_append(&buffer, SLICE("x"), 4096));
    h1_inbuf_consume(&buffer, 4095);
    assert_true(h1_inbuf_append(&buffer, SLICE("room again"), 4096));
    assert_int_equal(h1_inbuf_slice(&buffer).len, 11);
    assert_false(h1_inbuf_reserve(&buffer, UINT32_MAX, 4096));
    h1_inbuf_consume(&buffer, 11);
    assert_null(buffer.bytes);
    h1_inbuf_done(&buffer);
}
SEEDED(test_inbuf, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_none),
        SEEDED_TEST(test_length),
        SEEDED_TEST(test_complete_with_the_last_byte),
        SEEDED_TEST(test_chunked_at_every_split),
        SEEDED_TEST(test_forbidden_trailers_are_dropped),
        SEEDED_TEST(test_until_close),
        SEEDED_TEST(test_raw),
        SEEDED_TEST(test_fin_too_early),
        SEEDED_TEST(test_reset),
        SEEDED_TEST(test_bad_chunks),
        SEEDED_TEST(test_shown_bytes_stay),
        SEEDED_TEST(test_bounded),
        SEEDED_TEST(test_inbuf),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
