#include "proto/h1_writer.h"
#include "fake_net.h"
#include "http/message.h"
#include "tests/support/feed.h"

#define HEAD "HTTP/1.1 200 OK\r\n\r\n"

static struct fake_net net;
static struct h1_writer writer;
static struct pool iov_pool;
static struct feed feed;
static unsigned dones, heads_done;
static enum h1_write_end ended;

static void on_done(struct h1_writer *w, enum h1_write_end end)
{
    assert_ptr_equal(w, &writer);
    dones++;
    ended = end;
}

static void on_head_done(struct h1_writer *w)
{
    assert_ptr_equal(w, &writer);
    heads_done++;
}

static void on_ready(void *arg)
{
    h1_writer_pump(arg);
}

static void writer_open(const char *body)
{
    fake_net_init(&net);
    dones = heads_done = 0;
    pool_init(&iov_pool, H1_WRITER_IOV * sizeof(struct iovec), 4);
    h1_writer_init(&writer, &net.stream, &iov_pool);
    writer.done = on_done;
    writer.head_done = on_head_done;
    feed_init(&feed, slice_str(body));
    source_set_reader(&feed.source, on_ready, &writer);
}

static void writer_close(void)
{
    h1_writer_done(&writer);
    assert_int_equal(iov_pool.in_use, 0);
    pool_done(&iov_pool);
    assert_int_equal(feed.closes, 0); /* the body is not the writer's */
}

/* The socket takes at most n bytes of what is under way. */
static void take(size_t n)
{
    size_t taken = fake_take(&net, n);
    h1_writer_sent(&writer, (int32_t)taken);
}

/* The first send is cut after `first` bytes, the next ones take `then` each. */
static void take_all(size_t first, size_t then)
{
    if (net.iov != NULL && first > 0)
        take(first);
    while (net.iov != NULL)
        take(then);
}

static void run_tasks(void)
{
    run_ms(1);
}

static void expect_complete(const char *out)
{
    assert_int_equal(dones, 1);
    assert_int_equal(ended, H1_WRITE_COMPLETE);
    assert_int_equal(heads_done, 1);
    fake_expect_out(&net, out);
    assert_int_equal(writer.moved_bytes, strlen(out));
}

/* ---- framings ------------------------------------------------------------------------------------------------- */

static void test_head_alone(void)
{
    for (size_t n = 1; n <= sizeof(HEAD); n++) {
        writer_open("");
        h1_writer_begin(&writer, SLICE(HEAD), NULL, H1_BODY_NONE, 0);
        assert_int_equal(dones, 0); /* never from inside */
        take_all(0, n);
        expect_complete(HEAD);
        writer_close();
    }
}
SEEDED(test_head_alone, 1)

static void test_length(void)
{
    for (size_t n = 1; n <= 40; n++) {
        writer_open("0123456789");
        feed.piece_bytes = 3;
        feed_all(&feed);
        h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 10);
        take_all(n, 4);
        expect_complete(HEAD "0123456789");
        assert_int_equal(writer.sent_bytes, 10);
        writer_close();
    }
}
SEEDED(test_length, 1)

/* Room behind the head: the whole body goes there, in one piece, and counts as body as it leaves. */
static void test_small_body_behind_its_head(void)
{
    static char head[64];

    for (size_t n = 1; n <= 40; n++) {
        writer_open("0123456789");
        feed.piece_bytes = 3;
        feed_all(&feed);
        memcpy(head, HEAD, sizeof(HEAD));
        writer.head_room = 10;
        h1_writer_begin(&writer, slice_of(head, sizeof(HEAD) - 1), &feed.source, H1_BODY_LENGTH, 10);
        assert_int_equal(net.iov_count, 1);
        assert_int_equal(feed.at, 10);
        take(MIN(n, sizeof(HEAD) + 4));
        assert_int_equal(writer.sent_bytes, n < sizeof(HEAD) ? 0 : MIN(n, sizeof(HEAD) + 4) - (sizeof(HEAD) - 1));
        take_all(0, n);
        expect_complete(HEAD "0123456789");
        assert_int_equal(writer.sent_bytes, 10);
        writer_close();
    }
}
SEEDED(test_small_body_behind_its_head, 1)

/* Too small by one, or not all here yet: as without room. */
static void test_body_that_does_not_go_behind_its_head(void)
{
    for (uint32_t room = 9; room <= 10; room++) {
        writer_open("0123456789");
        if (room == 9)
            feed_all(&feed);
        else
            feed_more(&feed, 9);
        writer.head_room = room;
        h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 10);
        assert_int_equal(net.iov_count, 2);
        assert_int_equal(feed.at, 0);
        feed_all(&feed);
        take_all(0, 100);
        expect_complete(HEAD "0123456789");
        assert_int_equal(writer.sent_bytes, 10);
        writer_close();
    }
}
SEEDED(test_body_that_does_not_go_behind_its_head, 1)

/* A source with more than was announced: not a byte of it. */
static void test_length_long_source(void)
{
    for (size_t n = 1; n <= 40; n++) {
        writer_open("0123456789");
        feed_all(&feed);
        h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 7);
        take_all(0, n);
        expect_complete(HEAD "0123456");
        assert_int_equal(feed.at, 7);
        writer_close();
    }
}
SEEDED(test_length_long_source, 1)

static void test_length_short_source(void)
{
    writer_open("0123456789");
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 11);
    feed_all(&feed);
    take_all(0, 100);
    run_tasks();
    assert_int_equal(dones, 1);
    assert_int_equal(ended, H1_WRITE_BODY_FAILED);
    fake_expect_out(&net, HEAD "0123456789");
    writer_close();
}
SEEDED(test_length_short_source, 1)

static void test_length_zero(void)
{
    writer_open("more than nothing");
    feed_all(&feed);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 0);
    take_all(0, 5);
    expect_complete(HEAD);
    assert_int_equal(feed.pulls, 0);
    writer_close();
}
SEEDED(test_length_zero, 1)

/* Every size of a short send, and every place of the first one. */
static void test_chunked_at_every_split(void)
{
    static const char all[] = HEAD "10\r\n0123456789abcdef\r\n4\r\nWXYZ\r\n0\r\n\r\n";

    for (size_t first = 0; first < sizeof(all); first++) {
        for (size_t then = 1; then <= 9; then++) {
            writer_open("0123456789abcdefWXYZ");
            feed.piece_bytes = 5;
            feed_more(&feed, 16);
            h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_CHUNKED, 0);
            take_all(first, then);
            assert_true(writer.waiting);
            assert_int_equal(iov_pool.in_use, 0); /* an answer that waits holds none */
            feed_more(&feed, 4);
            take_all(first % 11, then);
            feed_end(&feed);
            take_all(0, then);
            expect_complete(all);
            assert_int_equal(writer.sent_bytes, 20);
            writer_close();
        }
    }
}
SEEDED(test_chunked_at_every_split, 1)

/* A chunk announces what one look showed; what the source has more of meanwhile belongs to the next. */
static void test_chunk_does_not_grow(void)
{
    writer_open("0123456789");
    feed_more(&feed, 4);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_CHUNKED, 0);
    take(sizeof(HEAD) + 2); /* head, and a part of the mark */
    feed_more(&feed, 6);
    take_all(0, 100);
    feed_end(&feed);
    take_all(0, 100);
    expect_complete(HEAD "4\r\n0123\r\n6\r\n456789\r\n0\r\n\r\n");
    writer_close();
}
SEEDED(test_chunk_does_not_grow, 1)

/* The source shows less of the chunk at the next look: its end waits for the rest. */
static void test_chunk_in_small_looks(void)
{
    for (size_t n = 1; n < 40; n++) {
        writer_open("0123456789abcdefghij");
        feed_all(&feed);
        h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_CHUNKED, 0);
        take(sizeof(HEAD) + 4);
        feed.piece_bytes = 2;
        take_all(n, n);
        expect_complete(HEAD "14\r\n0123456789abcdefghij\r\n0\r\n\r\n");
        writer_close();
    }
}
SEEDED(test_chunk_in_small_looks, 1)

static void test_chunked_empty(void)
{
    writer_open("");
    feed_end(&feed);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_CHUNKED, 0);
    take_all(0, 3);
    expect_complete(HEAD "0\r\n\r\n");
    writer_close();
}
SEEDED(test_chunked_empty, 1)

static void test_trailers(void)
{
    struct fields trailers;
    struct arena arena;

    arena_init(&arena, NULL, 0, 0);
    fields_init(&trailers, &arena);
    assert_true(err_is_ok(fields_add(&trailers, F_ETAG, SLICE("\"t\""))));
    assert_true(err_is_ok(fields_add_named(&trailers, SLICE("X-Sum"), F_OTHER, SLICE("1"))));
    for (size_t n = 1; n < 60; n++) {
        writer_open("x");
        feed.trailers = &trailers;
        feed_all(&feed);
        h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_CHUNKED, 0);
        take_all(0, n);
        expect_complete(HEAD "1\r\nx\r\n0\r\nETag: \"t\"\r\nX-Sum: 1\r\n\r\n");
        writer_close();

        writer_open("x"); /* without chunks there is no place for them */
        feed.trailers = &trailers;
        feed_all(&feed);
        h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 1);
        take_all(0, n);
        expect_complete(HEAD "x");
        writer_close();
    }
    arena_done(&arena);
}
SEEDED(test_trailers, 1)

static void test_raw(void)
{
    writer_open("until it ends");
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_RAW, 0);
    take_all(0, 7);
    feed_more(&feed, 5);
    take_all(0, 2);
    assert_int_equal(dones, 0);
    feed_more(&feed, 100);
    take_all(0, 3);
    assert_int_equal(dones, 0);
    feed_end(&feed);
    expect_complete(HEAD "until it ends");
    writer_close();
}
SEEDED(test_raw, 1)

/* ---- interim answers -------------------------------------------------------------------------------------------- */

static void test_interim_before_head(void)
{
    for (size_t n = 1; n < 50; n++) {
        writer_open("x");
        feed_all(&feed);
        assert_true(h1_writer_interim(&writer, SLICE("HTTP/1.1 103 A\r\n\r\n")));
        assert_true(h1_writer_interim(&writer, SLICE("HTTP/1.1 103 B\r\n\r\n"))); /* while the first is sent */
        take(n);
        h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 1);
        assert_false(h1_writer_interim(&writer, SLICE("too late")));
        take_all(0, n);
        expect_complete("HTTP/1.1 103 A\r\n\r\nHTTP/1.1 103 B\r\n\r\n" HEAD "x");
        writer_close();
    }
}
SEEDED(test_interim_before_head, 1)

static void test_interim_has_a_limit(void)
{
    static char much[3000];

    memset(much, 'i', sizeof(much));
    writer_open("");
    assert_true(h1_writer_interim(&writer, slice_of(much, sizeof(much))));
    assert_false(h1_writer_interim(&writer, slice_of(much, sizeof(much)))); /* dropped, the first stays */
    take_all(0, 1000);
    assert_int_equal(dones, 0);
    h1_writer_begin(&writer, SLICE(HEAD), NULL, H1_BODY_NONE, 0);
    take_all(0, 1000);
    assert_int_equal(dones, 1);
    assert_int_equal(net.out_bytes, sizeof(much) + sizeof(HEAD) - 1);
    writer_close();
}
SEEDED(test_interim_has_a_limit, 1)

/* ---- what goes wrong ------------------------------------------------------------------------------------------------ */

static void test_pump_while_sending(void)
{
    writer_open("0123456789");
    feed_more(&feed, 5);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 10);
    for (int i = 0; i < 3; i++)
        h1_writer_pump(&writer); /* the fake net fails the test on a second send */
    feed_more(&feed, 5);
    take_all(6, 100);
    feed_end(&feed);
    h1_writer_pump(&writer); /* after the end: nothing */
    expect_complete(HEAD "0123456789");
    assert_int_equal(dones, 1);
    writer_close();
}
SEEDED(test_pump_while_sending, 1)

static void test_source_fails(void)
{
    static const enum h1_body framings[] = {H1_BODY_LENGTH, H1_BODY_CHUNKED, H1_BODY_RAW};

    for (size_t i = 0; i < ARRAY_LEN(framings); i++) {
        writer_open("0123456789");
        feed_more(&feed, 5);
        h1_writer_begin(&writer, SLICE(HEAD), &feed.source, framings[i], 10);
        take_all(0, 4);
        assert_int_equal(dones, 0);
        feed_fail(&feed);
        h1_writer_pump(&writer);
        assert_int_equal(dones, 0); /* told from the loop */
        run_tasks();
        assert_int_equal(dones, 1);
        assert_int_equal(ended, H1_WRITE_BODY_FAILED);
        if (framings[i] == H1_BODY_CHUNKED)
            fake_expect_out(&net, HEAD "5\r\n01234\r\n"); /* and no last chunk */
        writer_close();
    }
}
SEEDED(test_source_fails, 1)

static void test_source_fails_before_the_head_is_out(void)
{
    writer_open("");
    feed_fail(&feed);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_CHUNKED, 0);
    assert_int_equal(dones, 0);
    run_tasks();
    assert_int_equal(dones, 1);
    assert_int_equal(ended, H1_WRITE_BODY_FAILED);
    writer_close();
}
SEEDED(test_source_fails_before_the_head_is_out, 1)

static void test_done_before_the_failure_is_told(void)
{
    writer_open("");
    feed_fail(&feed);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_CHUNKED, 0);
    writer_close();
    run_tasks();
    assert_int_equal(dones, 0);
}
SEEDED(test_done_before_the_failure_is_told, 1)

static void test_net_fails(void)
{
    writer_open("x");
    feed_all(&feed);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 1);
    take(4);
    net.iov = NULL;
    h1_writer_sent(&writer, -104);
    assert_int_equal(dones, 1);
    assert_int_equal(ended, H1_WRITE_NET_FAILED);
    assert_int_equal(writer.moved_bytes, 4);
    writer_close();
}
SEEDED(test_net_fails, 1)

/* One chunk is at most 1 MiB, whatever one look shows; a look has no more slices than fit. */
static void test_large_and_many(void)
{
    static char many[3 << 20];
    size_t out = 0;

    writer_open("");
    feed_init(&feed, slice_of(many, sizeof(many)));
    source_set_reader(&feed.source, on_ready, &writer);
    feed_all(&feed);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_CHUNKED, 0);
    while (net.iov != NULL) {
        size_t n = 0;
        for (unsigned i = 0; i < net.iov_count; i++)
            n += net.iov[i].iov_len;
        out += n;
        net.iov = NULL;
        h1_writer_sent(&writer, (int32_t)n);
    }
    assert_int_equal(dones, 1);
    assert_int_equal(out, sizeof(HEAD) - 1 + sizeof(many) + 3 * strlen("100000\r\n\r\n") + 5);
    writer_close();

    writer_open("0123456789012345678901234567890123456789");
    feed.piece_bytes = 1;
    feed_all(&feed);
    h1_writer_begin(&writer, SLICE(HEAD), &feed.source, H1_BODY_LENGTH, 40);
    take_all(0, 100);
    expect_complete(HEAD "0123456789012345678901234567890123456789");
    writer_close();
}
SEEDED(test_large_and_many, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_head_alone),
        SEEDED_TEST(test_length),
        SEEDED_TEST(test_small_body_behind_its_head),
        SEEDED_TEST(test_body_that_does_not_go_behind_its_head),
        SEEDED_TEST(test_length_long_source),
        SEEDED_TEST(test_length_short_source),
        SEEDED_TEST(test_length_zero),
        SEEDED_TEST(test_chunked_at_every_split),
        SEEDED_TEST(test_chunk_does_not_grow),
        SEEDED_TEST(test_chunk_in_small_looks),
        SEEDED_TEST(test_chunked_empty),
        SEEDED_TEST(test_trailers),
        SEEDED_TEST(test_raw),
        SEEDED_TEST(test_interim_before_head),
        SEEDED_TEST(test_interim_has_a_limit),
        SEEDED_TEST(test_pump_while_sending),
        SEEDED_TEST(test_source_fails),
        SEEDED_TEST(test_source_fails_before_the_head_is_out),
        SEEDED_TEST(test_done_before_the_failure_is_told),
        SEEDED_TEST(test_net_fails),
        SEEDED_TEST(test_large_and_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
