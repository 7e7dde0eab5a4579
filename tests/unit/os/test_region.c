/* The region, through real sockets: what a peer has not read yet stays right whatever becomes of the memory. */
#include "../unit.h"

#include "os/os.h"
#include "os/region_own.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXTENT OS_REGION_EXTENT_BYTES
#define PAGE   4096u

static struct os_region region;

static int open_region(void **state)
{
    (void)state;
    assert_true(err_is_ok(os_region_open(8 * EXTENT, &region)));
    return 0;
}

static int close_region(void **state)
{
    (void)state;
    os_region_close(&region);
    return 0;
}

/* ---- sockets ----------------------------------------------------------------------------------------- */

struct pair {
    int from, to;
};

static struct pair pair_tcp(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct pair pair = {.to = socket(AF_INET, SOCK_STREAM, 0)};

    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(pair.to, (struct sockaddr *)&at, len), 0);
    pair.from = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(pair.from >= 0);
    close(listener);
    return pair;
}

static struct pair pair_unix(void)
{
    struct pair pair;
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    pair = (struct pair){ends[0], ends[1]};
    assert_int_equal(fcntl(pair.from, F_SETFL, O_NONBLOCK), 0);
    return pair;
}

static void pair_close(struct pair pair)
{
    close(pair.from);
    close(pair.to);
}

static struct pair (*const kinds[])(void) = {pair_tcp, pair_unix};

/* ---- bytes ------------------------------------------------------------------------------------------- */

static char pattern(unsigned seed, size_t at)
{
    return (char)((seed * 71 + at * 7 + (at >> 9) * 13) & 0xff);
}

static void fill(char *at, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = pattern(seed, i);
}

/* Bytes that differ from the pattern among the next n of the socket. */
static size_t read_wrong(int fd, size_t from, size_t n, unsigned seed)
{
    size_t wrong = 0, done = 0;
    char buffer[16384];

    while (done < n) {
        ssize_t got = recv(fd, buffer, MIN(sizeof(buffer), n - done), 0);
        assert_true(got > 0);
        for (ssize_t i = 0; i < got; i++)
            wrong += buffer[i] != pattern(seed, from + done + (size_t)i);
        done += (size_t)got;
    }
    return wrong;
}

static size_t region_pages(void)
{
    struct stat stat;

    assert_int_equal(fstat(region.fd, &stat), 0);
    return (size_t)stat.st_blocks * 512 / PAGE;
}

static void take(char *at, size_t bytes)
{
    assert_true(err_is_ok(os_region_take(&region, at, bytes)));
}

static size_t send_some(struct pair pair, const char *at, size_t bytes)
{
    struct iovec iov = {(void *)(uintptr_t)at, bytes};
    ssize_t n = region_send(pair.from, &iov, 1, false);

    assert_true(n > 0);
    return (size_t)n;
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void test_life(void **state)
{
    struct os_region second, closed = {0};

    (void)state;
    assert_int_equal((uintptr_t)region.base % EXTENT, 0);
    assert_int_equal(region.bytes, 8 * EXTENT);
    assert_int_equal(os_region_open(EXTENT, &second).code, ERR_REFUSED);
    os_region_close(&closed);
    os_region_close(&region);
    assert_int_equal(os_region_open(1, &region).code, ERR_NONE);
    assert_int_equal(region.bytes, EXTENT);
    assert_int_equal(region_pages(), 0);
}

static void test_take_and_punch(void **state)
{
    (void)state;
    take(region.base + 2 * EXTENT, 5 * PAGE);
    assert_int_equal(region_pages(), 5);
    fill(region.base + 2 * EXTENT, 5 * PAGE, 1);
    os_region_punch(&region, region.base + 2 * EXTENT + 3 * PAGE, 2 * PAGE);
    assert_int_equal(region_pages(), 3);
    assert_int_equal(region.base[2 * EXTENT + 3 * PAGE - 1], pattern(1, 3 * PAGE - 1));
    os_region_punch(&region, region.base + 2 * EXTENT, EXTENT);
    assert_int_equal(region_pages(), 0);
    take(region.base + 2 * EXTENT, PAGE);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(region.base[2 * EXTENT + i], 0);
}

static void test_no_file_size_left(void **state)
{
    struct rlimit before, less;

    (void)state;
    os_region_close(&region);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    less = before;
    less.rlim_cur = EXTENT;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    err opened = os_region_open(2 * EXTENT, &region);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(opened.code, ERR_SYSTEM);
    assert_null(region.base);
}

static void test_which_pieces(void **state)
{
    char outside[REGION_SEND_BYTES_MIN];
    struct iovec pieces[] = {{outside, sizeof(outside)},
                             {region.base, REGION_SEND_BYTES_MIN - 1},
                             {region.base, REGION_SEND_BYTES_MIN},
                             {region.base + region.bytes - REGION_SEND_BYTES_MIN, REGION_SEND_BYTES_MIN},
                             {region.base + region.bytes, REGION_SEND_BYTES_MIN},
                             {region.base - 1, REGION_SEND_BYTES_MIN}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(pieces); i++)
        assert_int_equal(region_has(&pieces[i]), i == 2 || i == 3);
    assert_true(region_has_any(pieces, 3));
    assert_false(region_has_any(pieces, 2));
    os_region_close(&region);
    assert_false(region_has_any(pieces, ARRAY_LEN(pieces)));
}

/* Head, two pieces of the region apart from each other, a small one, a tail: in order, once, wherever it is cut. */
static void send_in_order(struct pair pair)
{
    static char all[4 * 65536 + 300];
    char *a = region.base + EXTENT - 65536, *b = region.base + 4 * EXTENT;
    size_t a_bytes = 65536 + 40000, b_bytes = 65000, sent = 0, at = 0;
    const struct iovec whole[] = {{all, 100}, {a, a_bytes}, {b, b_bytes}, {b + b_bytes, 500}, {all + 100, 100}};
    size_t bytes = 0;
    char got[4096];

    fill(all, 200, 9);
    fill(a, a_bytes, 2);
    fill(b, b_bytes + 500, 3);
    for (unsigned i = 0; i < ARRAY_LEN(whole); i++) {
        memcpy(all + 300 + bytes, whole[i].iov_base, whole[i].iov_len);
        bytes += whole[i].iov_len;
    }
    while (at < bytes) {
        struct iovec rest[ARRAY_LEN(whole)];
        unsigned count = 0;
        size_t skip = sent;
        for (unsigned i = 0; i < ARRAY_LEN(whole); i++) {
            size_t cut = MIN(skip, whole[i].iov_len);
            skip -= cut;
            if (cut < whole[i].iov_len)
                rest[count++] = (struct iovec){(char *)whole[i].iov_base + cut, whole[i].iov_len - cut};
        }
        ssize_t n = count > 0 ? region_send(pair.from, rest, count, false) : 0;
        if (n < 0)
            assert_int_equal(errno, EAGAIN);
        else
            sent += (size_t)n;
        n = recv(pair.to, got, sizeof(got), 0);
        assert_true(n > 0);
        assert_memory_equal(got, all + 300 + at, (size_t)n);
        at += (size_t)n;
    }
    assert_int_equal(sent, bytes);
}

static void test_order(void **state)
{
    (void)state;
    take(region.base, region.bytes);
    for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++) {
        struct pair pair = kinds[kind]();
        int small = 8192;
        setsockopt(pair.from, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
        send_in_order(pair);
        pair_close(pair);
    }
}

static void test_gone_peer(void **state)
{
    (void)state;
    take(region.base, EXTENT);
    for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++) {
        struct pair pair = kinds[kind]();
        struct iovec iov = {region.base, EXTENT};
        ssize_t n = 0;
        close(pair.to);
        for (unsigned i = 0; i < 100 && n >= 0; i++)
            n = region_send(pair.from, &iov, 1, false);
        assert_true(n < 0); /* an error, and no signal: the process ignores it, as WARP does */
        assert_true(errno == EPIPE || errno == ECONNRESET);
        close(pair.from);
    }
}

enum fate { PUNCHED, OVERWRITTEN };

/* Bytes in flight, their memory given up and used again for other bytes; how many of them are wrong then. */
static size_t wrong_after(struct pair (*kind)(void), enum fate fate, bool huge)
{
    struct pair pair = kind();
    char *extent = region.base + 3 * EXTENT;
    size_t sent, wrong;

    take(extent, EXTENT);
    fill(extent, EXTENT, 5);
    if (huge && !err_is_ok(os_region_collapse(&region, extent)))
        print_message("no huge page here: small ones again\n");
    sent = send_some(pair, extent, EXTENT);
    if (fate == PUNCHED) {
        os_region_punch(&region, extent, EXTENT);
        take(extent, EXTENT);
    }
    fill(extent, EXTENT, 6);
    wrong = read_wrong(pair.to, 0, sent, 5);
    os_region_punch(&region, extent, EXTENT);
    pair_close(pair);
    return wrong;
}

static void test_punch_keeps_what_is_in_flight(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++) {
        assert_int_equal(wrong_after(kinds[kind], PUNCHED, false), 0);
        assert_int_equal(wrong_after(kinds[kind], PUNCHED, true), 0);
    }
}

/* Why nothing is overwritten: the peer sees it. (The test above has teeth.) */
static void test_overwriting_shows(void **state)
{
    (void)state;
    for (unsigned kind = 0; kind < ARRAY_LEN(kinds); kind++) {
        assert_true(wrong_after(kinds[kind], OVERWRITTEN, false) > 0);
        assert_true(wrong_after(kinds[kind], OVERWRITTEN, true) > 0);
    }
}

static void test_collapse(void **state)
{
    char *extent = region.base + EXTENT;
    struct pair pair = pair_tcp();
    err collapsed;

    (void)state;
    take(extent, 300 * PAGE);
    fill(extent, 300 * PAGE, 7);
    collapsed = os_region_collapse(&region, extent);
    if (!err_is_ok(collapsed)) {
        print_message("no huge page here: %s\n", err_text(collapsed));
        pair_close(pair);
        return;
    }
    assert_int_equal(region_pages(), EXTENT / PAGE); /* the rest was taken too */
    size_t sent = send_some(pair, extent, 300 * PAGE);
    assert_true(err_is_ok(os_region_collapse(&region, extent))); /* it is one already */
    assert_int_equal(read_wrong(pair.to, 0, sent, 7), 0);
    for (unsigned i = 0; i < PAGE; i++)
        assert_int_equal(extent[300 * PAGE + i], 0);
    os_region_punch(&region, extent, EXTENT);
    assert_int_equal(region_pages(), 0);

    take(extent, EXTENT); /* pages that a socket holds cannot be moved */
    fill(extent, EXTENT, 8);
    sent = send_some(pair, extent, EXTENT);
    collapsed = os_region_collapse(&region, extent);
    assert_int_equal(collapsed.code, ERR_SYSTEM);
    assert_int_equal(collapsed.sys, EAGAIN);
    assert_int_equal(read_wrong(pair.to, 0, sent, 8), 0);
    pair_close(pair);
    assert_int_equal(extent[EXTENT - 1], pattern(8, EXTENT - 1));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
#define REGION_TEST(test) cmocka_unit_test_setup_teardown(test, open_region, close_region)
    const struct CMUnitTest tests[] = {
        REGION_TEST(test_life),
        REGION_TEST(test_take_and_punch),
        REGION_TEST(test_no_file_size_left),
        REGION_TEST(test_which_pieces),
        REGION_TEST(test_order),
        REGION_TEST(test_gone_peer),
        REGION_TEST(test_punch_keeps_what_is_in_flight),
        REGION_TEST(test_overwriting_shows),
        REGION_TEST(test_collapse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
