/* The budget of the hot path: a warm hit on a kept connection takes no memory from malloc. */
#include "txn_test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_COUNT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_COUNT 0
#endif
#endif
#ifndef CAN_COUNT
#define CAN_COUNT 1
#endif

static bool counting;
static unsigned long mallocs;

#if CAN_COUNT
/* glibc's own under their second names; everything the process calls comes through here. */
#define SEEN __attribute__((visibility("default")))
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

SEEN void *malloc(size_t size)
{
    mallocs += counting;
    return __libc_malloc(size);
}

SEEN void *calloc(size_t count, size_t size)
{
    mallocs += counting;
    return __libc_calloc(count, size);
}

SEEN void *realloc(void *block, size_t size)
{
    mallocs += counting;
    return __libc_realloc(block, size);
}

SEEN void *aligned_alloc(size_t alignment, size_t size)
{
    mallocs += counting;
    return __libc_memalign(alignment, size);
}
#endif

/* Counts inside the node's own turns only: the network and the script take memory as they like. */
static bool (*turn_inside)(void *arg);
static bool counted_turn(void *arg)
{
    bool ran;

    counting = true;
    ran = turn_inside(arg);
    counting = false;
    return ran;
}

static void count_turns(void)
{
    turn_inside = sim_net.threads[0].turn;
    sim_net.threads[0].turn = counted_turn;
}

static char body[1024];

static void hit(struct wire *client, const char *more)
{
    wire_say(client, "GET /object HTTP/1.1\r\nHost: example.com\r\n");
    wire_say(client, more);
    wire_say(client, "\r\n");
    assert_non_null(strstr(wire_expect_head(client), "warp; hit"));
    wire_expect_bytes(client, body, sizeof(body));
}

#define BROWSER                                                                                              \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"                 \
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"                            \
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"                        \
    "Referer: https://example.com/index.html\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\n"

static struct wire *warm_up(struct wire **origin)
{
    struct wire *client = wire_connect(HERE);
    char text[2000];

    memset(body, 'b', sizeof(body));
    snprintf(text, sizeof(text), FRESH "Content-Length: 1024\r\n\r\n%.*s", (int)sizeof(body), body);
    *origin = NULL;
    miss(client, origin, "/object", text);
    wire_expect_bytes(client, body, sizeof(body));
    for (unsigned i = 0; i < 100; i++)
        hit(client, i % 2 == 0 ? "" : BROWSER);
    return client;
}

/* A head in one segment; where the network cuts one in two, the connection needs a buffer for the first half. */
static unsigned long hits_with_mallocs(struct wire *client, const char *more, unsigned long *ret_most)
{
    unsigned long with = 0;

    *ret_most = 0;
    for (unsigned i = 0; i < 200; i++) {
        unsigned long before = mallocs;
        hit(client, more);
        with += mallocs != before;
        *ret_most = MAX(*ret_most, mallocs - before);
    }
    return with;
}

static void test_warm_hit(void)
{
    struct wire *origin, *client;
    unsigned long most, with;

    if (!CAN_COUNT)
        return;
    count_turns();
    site_open();
    client = warm_up(&origin);
    with = hits_with_mallocs(client, "", &most);
    if (sim_net.seed == 1)
        printf("short head: %lu of 200 hits took memory, %lu calls at most\n", with, most);
    assert_true(most <= 1); /* the half of a head */
    assert_true(with < 150);
    with = hits_with_mallocs(client, BROWSER, &most);
    if (sim_net.seed == 1)
        printf("browser's head: %lu of 200 hits took memory, %lu calls at most\n", with, most);
    assert_true(most <= 1); /* larger than the transaction's own block: its arena's chunks are kept */
    assert_true(with < 150);
    site_close();
}
SEEDED(test_warm_hit, 1)

/* Whole heads only: not one call. */
static void test_no_malloc(void)
{
    struct wire *origin, *client;
    unsigned whole = 0;

    if (!CAN_COUNT)
        return;
    count_turns();
    site_open();
    client = warm_up(&origin);
    for (unsigned i = 0; i < 400; i++) {
        size_t sent_before = client->sim.out_bytes;
        unsigned long before = mallocs;
        static const char request[] = "GET /object HTTP/1.1\r\nHost: example.com\r\n\r\n";

        wire_say(client, request);
        /* not cut by the sender; the receiver may still cut it: then the call is the inbuf's, once */
        bool is_whole = client->sim.out_bytes == sent_before;
        wire_expect_head(client);
        wire_expect_bytes(client, body, sizeof(body));
        if (is_whole && mallocs == before)
            whole++;
        assert_true(mallocs - before <= 1);
    }
    assert_true(whole >= 100);
    if (sim_net.seed == 1)
        printf("warm hits without any call of malloc: %u of 400\n", whole);
    site_close();
}
SEEDED(test_no_malloc, 1)

static void test_miss_is_counted(void)
{
    struct wire *origin, *client;
    char target[40];

    if (!CAN_COUNT)
        return;
    count_turns();
    site_open();
    client = warm_up(&origin);
    for (unsigned i = 0; i < 50; i++) {
        unsigned long before = mallocs;
        snprintf(target, sizeof(target), "/miss/%u", i);
        miss(client, &origin, target, FRESH "Content-Length: 4\r\n\r\nbody");
        wire_expect(client, "body");
        if (sim_net.seed == 1 && i == 49)
            printf("a miss on warm connections: %lu calls of malloc\n", mallocs - before);
        assert_true(mallocs - before < 60); /* a budget: when it grows, somebody should say why */
    }
    site_close();
}
SEEDED(test_miss_is_counted, 1)

static void test_block(void **state)
{
    (void)state;
    assert_true(txn_block_bytes() <= 2048);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_warm_hit),
        SEEDED_TEST(test_no_malloc),
        SEEDED_TEST(test_miss_is_counted),
        cmocka_unit_test(test_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
