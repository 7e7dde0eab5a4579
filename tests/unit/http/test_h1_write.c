#include "help.h"
#include "http/h1_write.h"

static void responses(void **state)
{
    struct fields stored, added;
    struct h1_framing framing = {.body = BODY_LENGTH, .length_bytes = 1234567890123};
    char buffer[512];
    size_t need;

    (void)state;
    stored = fields_from("ETag: \"a\"\r\n");
    added = fields_from("Age: 5\r\n");
    need = h1_write_response(buffer, sizeof(buffer), 200, &stored, &added, &framing);
    assert_slice(slice_of(buffer, need),
                 "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nAge: 5\r\nContent-Length: 1234567890123\r\n\r\n");
    memset(buffer, 'x', sizeof(buffer));
    assert_int_equal(h1_write_response(buffer, need - 1, 200, &stored, &added, &framing), need);
    assert_int_equal(buffer[0], 'x');
    assert_int_equal(h1_write_response(NULL, 0, 200, &stored, &added, &framing), need);
    framing = (struct h1_framing){.body = BODY_CHUNKED, .connection = H1_CONNECTION_CLOSE};
    need = h1_write_response(buffer, sizeof(buffer), 599, NULL, NULL, &framing);
    assert_slice(slice_of(buffer, need),
                 "HTTP/1.1 599 \r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    framing = (struct h1_framing){.body = BODY_NONE, .connection = H1_CONNECTION_WEBSOCKET};
    need = h1_write_response(buffer, sizeof(buffer), 101, NULL, NULL, &framing);
    assert_slice(slice_of(buffer, need),
                 "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    framing = (struct h1_framing){.body = BODY_LENGTH, .connection = H1_CONNECTION_KEEP_ALIVE};
    need = h1_write_response(buffer, sizeof(buffer), 404, NULL, NULL, &framing);
    assert_slice(slice_of(buffer, need),
                 "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

/* What is written must be what the parser reads. */
static void requests_both_ways(void **state)
{
    struct h1_framing framing = {.body = BODY_LENGTH, .length_bytes = UINT32_MAX};
    struct h1_limits limits = H1_LIMITS_REQUEST;
    struct fields fields;
    struct request request;
    char buffer[512];
    size_t need;

    (void)state;
    fields = fields_from("Host: a.b\r\nX: y\r\n");
    need = h1_write_request(buffer, sizeof(buffer), SLICE("POST"), SLICE("/x?y"), &fields, &framing);
    assert_slice(slice_of(buffer, need),
                 "POST /x?y HTTP/1.1\r\nHost: a.b\r\nX: y\r\nContent-Length: 4294967295\r\n\r\n");
    assert_int_equal(h1_write_request(buffer, need - 1, SLICE("POST"), SLICE("/x?y"), &fields, &framing), need);
    assert_int_equal(h1_parse_request(slice_of(buffer, need), &limits, false, &test_arena, &request), H1_OK);
    assert_int_equal(request.length_bytes, UINT32_MAX);
}

static void last_chunk(void **state)
{
    struct fields fields;
    char buffer[64];

    (void)state;
    fields = fields_from("X: y\r\n");
    assert_slice(slice_of(buffer, h1_write_last_chunk(buffer, 64, NULL)), "0\r\n\r\n");
    assert_slice(slice_of(buffer, h1_write_last_chunk(buffer, 64, &fields)), "0\r\nX: y\r\n\r\n");
    assert_int_equal(h1_write_last_chunk(buffer, 10, &fields), 11);
    assert_slice(http_reason(431), "Request Header Fields Too Large");
    assert_slice(http_reason(0), "");
    assert_slice(http_reason(65535), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(responses), TEST(requests_both_ways), TEST(last_chunk)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
