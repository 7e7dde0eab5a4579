/* What becomes of a stream when a block cannot be had. */
#include "h2_wire.h"

#include "http/h2_message.h"

#include <limits.h>

#define BLOCK_BYTES 4096u /* of heads and of bodies */

static unsigned left; /* such blocks; UINT_MAX: any number */
static size_t came, credit; /* bytes of bodies; bytes whose windows were opened */

void *__real_pool_get(struct pool *pool);
void *__wrap_pool_get(struct pool *pool);
void *__wrap_pool_get(struct pool *pool)
{
    if (pool->block_bytes == BLOCK_BYTES && left != UINT_MAX && left-- == 0) {
        left = UINT_MAX; /* one that fails */
        return NULL;
    }
    return __real_pool_get(pool);
}

int __real_nghttp2_session_consume(nghttp2_session *session, int32_t stream_id, size_t size);
int __wrap_nghttp2_session_consume(nghttp2_session *session, int32_t stream_id, size_t size);
int __wrap_nghttp2_session_consume(nghttp2_session *session, int32_t stream_id, size_t size)
{
    credit += size;
    return __real_nghttp2_session_consume(session, stream_id, size);
}

struct h2_stream;
void __real_h2_stream_data(struct h2_stream *stream, slice data);
void __wrap_h2_stream_data(struct h2_stream *stream, slice data);
void __wrap_h2_stream_data(struct h2_stream *stream, slice data)
{
    came += data.len;
    __real_h2_stream_data(stream, data);
}

static void begin(struct h2_client *c)
{
    left = UINT_MAX;
    came = credit = 0;
    node_open();
    h2_open(c);
}

static void end(struct h2_client *c)
{
    assert_int_equal(left, UINT_MAX);
    h2_done(c);
    node_close();
}

/* Nothing was done with it: it may be tried again. */
static void test_no_memory_for_a_head(void)
{
    struct h2_client c;

    begin(&c);
    left = 0;
    h2_say_head(&c, 1, END_STREAM, GET_LINES("/"));
    h2_expect_reset(&c, 1, NGHTTP2_REFUSED_STREAM);
    assert_int_equal(node.begun, 0);
    end(&c);
}
SEEDED(test_no_memory_for_a_head, 1)

/* The request is at the origin: it may not. */
static void test_no_memory_for_trailers(void)
{
    struct h2_client c;
    struct asked *asked;

    begin(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/"));
    asked = node_expect("POST", "/");
    left = 0;
    h2_say_head(&c, 1, END_STREAM, "x\ty\n");
    h2_expect_reset(&c, 1, NGHTTP2_INTERNAL_ERROR);
    expect_ended(asked, STREAM_END_ABORTED);
    end(&c);
}
SEEDED(test_no_memory_for_trailers, 1)

/* A body's second block cannot be had: each byte that came opens the window once, whatever became of it. */
static void test_no_memory_for_a_body(void)
{
    static const char data[6000];
    struct h2_client c;
    struct asked *asked;

    begin(&c);
    h2_say_head(&c, 1, 0, POST_LINES("/"));
    asked = node_expect("POST", "/");
    left = 1;
    h2_say(&c, NGHTTP2_DATA, 0, 1, data, sizeof(data));
    h2_next_of(&c, NGHTTP2_RST_STREAM);
    expect_ended(asked, STREAM_END_CLIENT_LEFT);
    h2_say(&c, NGHTTP2_PING, 0, 0, "12345678", 8);
    h2_next_of(&c, NGHTTP2_PING);
    assert_in_range(came, BLOCK_BYTES - 16, sizeof(data)); /* the rest nghttp2 has thrown away, the stream being reset */
    assert_int_equal(credit, came);
    end(&c);
}
SEEDED(test_no_memory_for_a_body, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_no_memory_for_a_head),
        SEEDED_TEST(test_no_memory_for_trailers),
        SEEDED_TEST(test_no_memory_for_a_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
