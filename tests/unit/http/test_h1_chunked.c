#include "help.h"
#include <stdio.h>
#include "http/h1_chunked.h"

static struct h1_chunked decoder;
static char body[65536];
static size_t body_len, consumed_all;

/* Feeds text in pieces of step bytes. */
static enum chunked_result decode(slice text, size_t step)
{
    enum chunked_result result = CHUNKED_MORE;
    size_t at = 0;

    body_len = 0;
    h1_chunked_init(&decoder, &test_arena);
    while (at < text.len && (result == CHUNKED_MORE || result == CHUNKED_DATA)) {
        slice data;
        size_t consumed;
        result = h1_chunked_next(&decoder, slice_of(text.data + at, MIN(step, text.len - at)), &consumed, &data);
        at += consumed;
        memcpy(body + body_len, data.data != NULL ? data.data : "", data.len);
        body_len += data.len;
        if (result == CHUNKED_MORE)
            assert_true(consumed > 0);
    }
    consumed_all = at;
    return result;
}

static void whole_and_split(void **state)
{
    slice text = SLICE("5;a=\"b\"\r\nhello\r\n00A\r\n, world!!!\r\n0\r\nX: y\r\nContent-Length: 5\r\n\r\nGET");

    (void)state;
    for (size_t step = 1; step <= text.len; step++) {
        assert_int_equal(decode(text, step), CHUNKED_DONE);
        assert_slice(slice_of(body, body_len), "hello, world!!!");
        assert_int_equal(consumed_all, text.len - 3);
        assert_non_null(decoder.trailers);
        assert_slice(slice_of(decoder.trailers->text, decoder.trailers->text_len), "X: y\r\n");
    }
    assert_int_equal(decode(SLICE("0\r\n\r\n"), 1), CHUNKED_DONE);
    assert_null(decoder.trailers);
    assert_int_equal(decode(SLICE("0\r\n\r"), 5), CHUNKED_MORE);
    assert_int_equal(decode(SLICE("5\r\nhel"), 5), CHUNKED_DATA);
}

static void hostile(void **state)
{
    static const struct {
        const char *text;
        enum h1_error error;
    } rows[] = {
        {"\r\n", H1_CHUNK_SIZE}, {"+5\r\nhello\r\n", H1_CHUNK_SIZE}, {"-1\r\n", H1_CHUNK_SIZE},
        {"0x5\r\nhello\r\n", H1_CHUNK_SIZE}, {" 5\r\n", H1_CHUNK_SIZE}, {"5 \r\nhello\r\n", H1_CHUNK_SIZE},
        {"g\r\n", H1_CHUNK_SIZE}, {"\n", H1_BARE_LF}, {"5\nhello\n0\n\n", H1_BARE_LF}, {"5\rhello", H1_BARE_CR},
        {"00000000000000005\r\n", H1_CHUNK_SIZE}, {"8000000000000000\r\n", H1_CHUNK_SIZE},
        {"ffffffffffffffff\r\n", H1_CHUNK_SIZE}, {"10000000000000000\r\n", H1_CHUNK_SIZE},
        {"5;a\nb\r\n", H1_BARE_LF}, {"5;a\rb\r\n", H1_BARE_CR}, {"5;\x01\r\n", H1_CHUNK_EXTENSION},
        {"5\r\nhelloX\r\n", H1_CHUNK_END}, {"5\r\nhello\n", H1_BARE_LF}, {"5\r\nhello\rX", H1_CHUNK_END},
        {"0\r\nX y\r\n\r\n", H1_BAD_NAME}, {"0\r\n: y\r\n\r\n", H1_EMPTY_NAME}, {"0\r\nX : y\r\n\r\n", H1_SPACE_BEFORE_COLON},
        {"0\r\nX: y\n\r\n", H1_BARE_LF}, {"0\r\nX: y\rz\r\n\r\n", H1_BARE_CR}, {"0\r\n\n", H1_BARE_LF},
        {"0\r\nX: y\r\n z\r\n\r\n", H1_OBS_FOLD}, {"0\r\n\rX", H1_BARE_CR}, {"0\r\nX: \x01\r\n\r\n", H1_CONTROL},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t step = 1; step < 40; step += 38) {
            enum chunked_result result = decode(slice_str(rows[i].text), step);
            if (result != CHUNKED_ERROR || decoder.error != rows[i].error)
                fail_msg("%s: %d, %s", rows[i].text, result, h1_error_word(decoder.error));
        }
    assert_int_equal(decode(SLICE("7fffffffffffffff\r\nx"), 30), CHUNKED_DATA);
    assert_int_equal(decode(SLICE("0000000000000001\r\nx\r\n0\r\n\r\n"), 30), CHUNKED_DONE);
}

static void bounds(void **state)
{
    static char text[65536];
    size_t len, lines;

    (void)state;
    len = (size_t)sprintf(text, "1;%0256d\r\nx\r\n0\r\n\r\n", 0);
    assert_int_equal(decode(slice_of(text, len), 7), CHUNKED_DONE);
    len = (size_t)sprintf(text, "1;%0257d\r\nx\r\n", 0);
    assert_int_equal(decode(slice_of(text, len), 7), CHUNKED_ERROR);
    assert_int_equal(decoder.error, H1_CHUNK_EXTENSION_LIMIT);
    for (len = 0, lines = 0; lines < 70; lines++)
        len += (size_t)sprintf(text + len, "1;%0250d\r\nx\r\n", 0);
    assert_int_equal(decode(slice_of(text, len), 1000), CHUNKED_ERROR);
    assert_int_equal(decoder.error, H1_CHUNK_EXTENSION_LIMIT);
    len = (size_t)sprintf(text, "0\r\nX: %09000d\r\n\r\n", 0);
    assert_int_equal(decode(slice_of(text, len), 1000), CHUNKED_ERROR);
    assert_int_equal(decoder.error, H1_TRAILERS_TOO_LARGE);
    for (unsigned n = 32; n <= 33; n++) {
        len = (size_t)sprintf(text, "0\r\n");
        for (lines = 0; lines < n; lines++)
            len += (size_t)sprintf(text + len, "a:\r\n");
        len += (size_t)sprintf(text + len, "\r\n");
        assert_int_equal(decode(slice_of(text, len), 1000), n == 32 ? CHUNKED_DONE : CHUNKED_ERROR);
    }
    assert_int_equal(decoder.error, H1_TRAILERS_TOO_LARGE);
    assert_int_equal(decode(SLICE("5\rX"), 3), CHUNKED_ERROR); /* stays an error */
    slice data;
    size_t consumed;
    assert_int_equal(h1_chunked_next(&decoder, SLICE("0\r\n\r\n"), &consumed, &data), CHUNKED_ERROR);
}

static void trailer_names(void **state)
{
    (void)state;
    assert_false(trailer_is_allowed(F_HOST, SLICE("Host")));
    assert_false(trailer_is_allowed(F_OTHER, SLICE("content-anything")));
    assert_false(trailer_is_allowed(F_OTHER, SLICE("WWW-Authenticate")));
    assert_false(trailer_is_allowed(F_SET_COOKIE, SLICE("Set-Cookie")));
    assert_true(trailer_is_allowed(F_OTHER, SLICE("grpc-status")));
    assert_true(trailer_is_allowed(F_OTHER, SLICE("Server-Timing")));
}

static void heads(void **state)
{
    char text[CHUNK_HEAD_BYTES_MAX];

    (void)state;
    assert_slice(slice_of(text, h1_chunk_head_write(1, text)), "1\r\n");
    assert_slice(slice_of(text, h1_chunk_head_write(16, text)), "10\r\n");
    assert_slice(slice_of(text, h1_chunk_head_write(65535, text)), "ffff\r\n");
    assert_slice(slice_of(text, h1_chunk_head_write(UINT64_MAX, text)), "ffffffffffffffff\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(whole_and_split), TEST(hostile), TEST(bounds), TEST(trailer_names), TEST(heads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
