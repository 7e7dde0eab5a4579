#include "txn_test.h"

static char body[200000];

static void fill_body(void)
{
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (char)('a' + i % 26);
}

/* Stores /object of n bytes, in chunks where asked: the object then lies in pieces. */
static struct wire *store_object(size_t n, const char *head, bool in_chunks)
{
    struct wire *client = wire_connect(HERE), *origin = NULL;
    char text[400];

    fill_body();
    if (in_chunks)
        snprintf(text, sizeof(text), "%sTransfer-Encoding: chunked\r\n\r\n", head);
    else
        snprintf(text, sizeof(text), "%sContent-Length: %zu\r\n\r\n", head, n);
    wire_say(client, "GET /object HTTP/1.0\r\nHost: example.com\r\nConnection: keep-alive\r\n\r\n");
    origin = door_accept(site.door);
    wire_expect_head(origin);
    wire_say(origin, text);
    for (size_t at = 0; at < n; at += 7001) {
        size_t piece = MIN(n - at, (size_t)7001);
        if (in_chunks) {
            snprintf(text, sizeof(text), "%zx\r\n", piece);
            wire_say(origin, text);
        }
        wire_say_bytes(origin, body + at, piece);
        if (in_chunks)
            wire_say(origin, "\r\n");
    }
    if (in_chunks)
        wire_say(origin, "0\r\n\r\n");
    wire_expect_head(client);
    wire_expect_bytes(client, body, n);
    wire_close(client);
    run_ms(1000);
    return wire_connect(HERE);
}

static const char *get(struct wire *client, const char *fields)
{
    wire_say(client, "GET /object HTTP/1.1\r\nHost: example.com\r\n");
    wire_say(client, fields);
    wire_say(client, "\r\n");
    return wire_expect_head(client);
}

/* RFC 9110 14.6, to the byte. */
static void expect_parts(struct wire *client, const char *head, const size_t (*ranges)[2], unsigned count, size_t length,
                         const char *type)
{
    const char *boundary_at = strstr(head, "Content-Type: multipart/byteranges; boundary=");
    const char *length_at = strstr(head, "Content-Length: ");
    char boundary[80] = "", text[400];
    size_t total = 0, announced = 0;

    assert_int_equal(memcmp(head, "HTTP/1.1 206 Partial Content\r\n", 30), 0);
    assert_non_null(boundary_at);
    assert_non_null(length_at);
    assert_null(strstr(head, "Content-Range")); /* only in the parts */
    assert_null(strstr(boundary_at + 10, "Content-Type"));
    assert_int_equal(sscanf(boundary_at, "Content-Type: multipart/byteranges; boundary=%70[^\r]", boundary), 1);
    assert_int_equal(sscanf(length_at, "Content-Length: %zu", &announced), 1);
    for (unsigned i = 0; i < count; i++) {
        size_t n = ranges[i][1] - ranges[i][0] + 1;
        snprintf(text, sizeof(text), "%s--%s\r\n%s%s%sContent-Range: bytes %zu-%zu/%zu\r\n\r\n", i == 0 ? "" : "\r\n", boundary,
                 type != NULL ? "Content-Type: " : "", type != NULL ? type : "", type != NULL ? "\r\n" : "", ranges[i][0],
                 ranges[i][1], length);
        wire_expect(client, text);
        wire_expect_bytes(client, body + ranges[i][0], n);
        total += strlen(text) + n;
    }
    snprintf(text, sizeof(text), "\r\n--%s--\r\n", boundary);
    wire_expect(client, text);
    assert_int_equal(announced, total + strlen(text));
}

static void test_two_parts(void)
{
    static const size_t ranges[][2] = {{0, 0}, {10, 19}};
    struct wire *client;

    site_open();
    client = store_object(3000, FRESH, false);
    expect_parts(client, get(client, "Range: bytes=0-0, 10-19\r\n"), ranges, 2, 3000, "text/plain");
    get(client, ""); /* the connection is good for another */
    wire_expect_bytes(client, body, 3000);
    site_close();
}
SEEDED(test_two_parts, 1)

static void test_without_a_type(void)
{
    static const size_t ranges[][2] = {{5, 9}, {2995, 2999}};
    struct wire *client;

    site_open();
    client = store_object(3000, "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"v1\"\r\n", false);
    expect_parts(client, get(client, "Range: bytes=5-9,-5\r\n"), ranges, 2, 3000, NULL);
    site_close();
}
SEEDED(test_without_a_type, 1)

/* Over an object whose bytes lie in many pieces, backwards too. */
static void test_in_pieces(void)
{
    static const size_t ranges[][2] = {{150000, 199999}, {0, 99}, {70000, 140000}};
    struct wire *client;

    site_open();
    client = store_object(200000, FRESH, true);
    expect_parts(client, get(client, "Range: bytes=150000-,0-99,70000-140000\r\n"), ranges, 3, 200000, "text/plain");
    site_close();
}
SEEDED(test_in_pieces, 1)

static void test_one_is_no_multipart(void)
{
    struct wire *client;
    const char *head;

    site_open();
    client = store_object(100, FRESH, false);
    head = get(client, "Range: bytes=10-19\r\n");
    assert_non_null(strstr(head, "206"));
    assert_non_null(strstr(head, "Content-Range: bytes 10-19/100\r\n"));
    assert_non_null(strstr(head, "Content-Length: 10\r\n"));
    assert_null(strstr(head, "multipart"));
    wire_expect_bytes(client, body + 10, 10);
    head = get(client, "Range: bytes=200-300,400-500\r\n");
    assert_non_null(strstr(head, "416"));
    assert_non_null(strstr(head, "Content-Range: bytes */100\r\n"));
    head = get(client, "Range: bytes=10-19,500-600\r\n"); /* only one of them can be had */
    assert_non_null(strstr(head, "Content-Range: bytes 10-19/100\r\n"));
    wire_expect_bytes(client, body + 10, 10);
    head = get(client, "Range: bytes=0-1,5-6\r\nIf-Range: \"other\"\r\n");
    assert_non_null(strstr(head, "200 OK"));
    wire_expect_bytes(client, body, 100);
    site_close();
}
SEEDED(test_one_is_no_multipart, 1)

static void test_client_leaves(void)
{
    struct wire *client;

    site_open();
    client = store_object(200000, FRESH, true);
    get(client, "Range: bytes=0-99999,100000-199990\r\n");
    wire_reset(client);
    run_ms(2000);
    site_close(); /* every transaction has ended */
}
SEEDED(test_client_leaves, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_two_parts), SEEDED_TEST(test_without_a_type), SEEDED_TEST(test_in_pieces),
        SEEDED_TEST(test_one_is_no_multipart), SEEDED_TEST(test_client_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
