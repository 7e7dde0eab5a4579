/* The resolver against a name server of the test's own. */
#include "unit_io.h"

#include "net/resolve.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* ---- the name server: one thread, UDP
 * ------------------------------------------------------------------------ */

static int server_fd;
static struct os_address server_address;
static struct os_thread *server_thread;
static atomic_uint server_questions;
static atomic_bool server_fails;

/* "a.test" out of 1 a 4 test 0; returns the length of the encoded name. */
static size_t name_read(const uint8_t *at, char *ret_text)
{
    size_t i = 0, used = 0;

    while (at[i] != 0) {
        memcpy(ret_text + used, at + i + 1, at[i]);
        used += at[i];
        ret_text[used++] = '.';
        i += at[i] + 1u;
    }
    ret_text[used > 0 ? used - 1 : 0] = '\0';
    return i + 1;
}

static size_t answer_put(uint8_t *at, unsigned type, const void *data, size_t size)
{
    const uint8_t head[12] = {0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 1, 0, (uint8_t)size}; /* TTL 1 */
    memcpy(at, head, 12);
    memcpy(at + 12, data, size);
    return 12 + size;
}

static size_t server_answer(uint8_t *packet)
{
    static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
    char name[256];
    size_t end = 12 + name_read(packet + 12, name);
    unsigned type = packet[end + 1], rcode = 0;

    end += 4;
    packet[2] |= 0x80;        /* an answer */
    memset(packet + 6, 0, 6); /* no records yet, and none of the question's extras */
    if (atomic_load(&server_fails))
        rcode = 2;
    else if (strcasecmp(name, "both.test") != 0 && strcasecmp(name, "four.test") != 0)
        rcode = 3;
    packet[3] = (uint8_t)(0x80 | rcode);
    if (rcode == 0 && type == 1) {
        end += answer_put(packet + end, 1, "\xc0\x00\x02\x01", 4);
        end += answer_put(packet + end, 1, "\xc0\x00\x02\x02", 4);
        packet[7] = 2;
    } else if (rcode == 0 && type == 28 && strcasecmp(name, "both.test") == 0) {
        end += answer_put(packet + end, 28, v6, 16);
        packet[7] = 1;
    }
    return end;
}

static void server_run(void *arg)
{
    uint8_t packet[1024];
    struct sockaddr_in from;

    (void)arg;
    for (;;) {
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(server_fd, packet, sizeof(packet) - 100, 0, (struct sockaddr *)&from, &from_len);
        if (n < 12)
            return; /* one byte ends it */
        atomic_fetch_add(&server_questions, 1);
        if (memmem(packet, (size_t)n, "silent", 6) != NULL)
            continue;
        size_t size = server_answer(packet);
        if (sendto(server_fd, packet, size, 0, (struct sockaddr *)&from, from_len) < 0)
            return;
    }
}

/* ---- asking
 * ---------------------------------------------------------------------------------------------------- */

struct question {
    struct resolve resolve;
    struct os_address addresses[RESOLVE_ADDRESSES_MAX];
    unsigned count, answers;
    char why[64];
};

static struct loop *loop;
static struct resolver *resolver;
static bool inside_call;

static void on_done(struct resolve *resolve, const struct os_address *addresses, unsigned count,
                    const char *why)
{
    struct question *question = container_of(resolve, struct question, resolve);

    assert_false(inside_call);
    question->answers++;
    question->count = count;
    memcpy(question->addresses, addresses, count * sizeof(addresses[0]));
    snprintf(question->why, sizeof(question->why), "%s", why != NULL ? why : "");
}

static void question_start(struct question *question, slice name)
{
    *question = (struct question){.resolve = {.done = on_done}};
    inside_call = true;
    resolve_start(resolver, &question->resolve, name, 8080);
    inside_call = false;
}

#define LOOP_UNTIL(cond)                                \
    do {                                                \
        uint64_t until_ = os_clock_ns() + 20000000000u; \
        while (!(cond)) {                               \
            assert_true(os_clock_ns() < until_);        \
            loop_turn(loop, until_);                    \
        }                                               \
    } while (0)

static void ask(struct question *question, slice name)
{
    question_start(question, name);
    LOOP_UNTIL(question->answers == 1);
}

static bool has(const struct question *question, const char *text)
{
    char buffer[64];
    for (unsigned i = 0; i < question->count; i++)
        if (strcmp(os_address_text(&question->addresses[i], buffer, sizeof(buffer)), text) == 0)
            return true;
    return false;
}

static int setup(void **state)
{
    struct loop_config config = {.os.io = TEST_IO};
    char servers[64], text[64];

    (void)state;
    server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(err_is_ok(os_address_parse(SLICE("127.0.0.1:0"), &server_address)));
    assert_int_equal(bind(server_fd, &server_address.any, server_address.len), 0);
    assert_int_equal(getsockname(server_fd, &server_address.any, &server_address.len), 0);
    atomic_store(&server_questions, 0);
    atomic_store(&server_fails, false);
    assert_true(err_is_ok(os_thread_start("dns", server_run, NULL, &server_thread)));
    assert_true(err_is_ok(loop_new(&config, &loop)));
    assert_true(err_is_ok(resolver_new(loop, &resolver)));
    snprintf(servers, sizeof(servers), "%s", os_address_text(&server_address, text, sizeof(text)));
    assert_true(err_is_ok(resolver_servers_set(resolver, servers)));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    resolver = resolver_free(resolver);
    loop = loop_free(loop);
    assert_int_equal(sendto(server_fd, "x", 1, 0, &server_address.any, server_address.len), 1);
    os_thread_join(server_thread);
    close(server_fd);
    return 0;
}

static void literals_ask_nobody(void **state)
{
    struct question question;

    (void)state;
    ask(&question, SLICE("192.0.2.7"));
    assert_true(question.count == 1 && has(&question, "192.0.2.7:8080"));
    ask(&question, SLICE("[::1]"));
    assert_true(question.count == 1 && has(&question, "[::1]:8080"));
    ask(&question, SLICE("LocalHost"));
    assert_int_equal(question.count, 2);
    assert_int_equal(question.addresses[0].any.sa_family, AF_INET);
    assert_true(has(&question, "127.0.0.1:8080") && has(&question, "[::1]:8080"));
    ask(&question, SLICE("x.localhost."));
    assert_int_equal(question.count, 2);
    ask(&question, SLICE(""));
    assert_int_equal(question.count, 0);
    assert_int_equal(atomic_load(&server_questions), 0);
}

static void both_families_and_joined_questions(void **state)
{
    struct question questions[10], cancelled;

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        question_start(&questions[i], i % 2 ? SLICE("both.test") : SLICE("BOTH.test"));
    question_start(&cancelled, SLICE("both.test"));
    resolve_cancel(resolver, &cancelled.resolve);
    for (unsigned i = 0; i < 10; i++) {
        LOOP_UNTIL(questions[i].answers == 1);
        assert_int_equal(questions[i].count, 3);
        assert_true(has(&questions[i], "192.0.2.1:8080") && has(&questions[i], "192.0.2.2:8080"));
        assert_true(has(&questions[i], "[2001:db8::1]:8080"));
    }
    assert_int_equal(cancelled.answers, 0);
    assert_int_equal(atomic_load(&server_questions), 2); /* A and AAAA, once */
    ask(&questions[0], SLICE("both.test"));
    assert_int_equal(atomic_load(&server_questions), 2);
}

static void no_such_name(void **state)
{
    struct question question;

    (void)state;
    ask(&question, SLICE("none.test"));
    assert_int_equal(question.count, 0);
    assert_string_equal(question.why, "no such name");
}

static bool ttl_over;

static void on_ttl_over(struct timer *timer)
{
    (void)timer;
    ttl_over = true;
}

static void last_good_when_asking_fails(void **state)
{
    struct question question;
    struct timer timer;
    unsigned questions;

    (void)state;
    ask(&question, SLICE("four.test"));
    assert_int_equal(question.count, 2);
    timer_init(&timer, on_ttl_over);
    loop_timer_set(loop, &timer, os_clock_ns() + 1010000000u); /* its TTL is a second */
    LOOP_UNTIL(ttl_over);
    atomic_store(&server_fails, true);
    questions = atomic_load(&server_questions);
    ask(&question, SLICE("four.test"));
    assert_int_equal(question.count, 2);
    assert_true(atomic_load(&server_questions) > questions);
    ask(&question, SLICE("never.test"));
    assert_int_equal(question.count, 0);
    assert_string_not_equal(question.why, "");
}

static void silence_ends_in_time(void **state)
{
    struct question question;
    uint64_t start = os_clock_ns();

    (void)state;
    ask(&question, SLICE("silent.test"));
    assert_int_equal(question.count, 0);
    assert_string_equal(question.why, "timed out");
    assert_true(os_clock_ns() - start < UINT64_C(5500000000));
}

static void freed_while_asking(void **state)
{
    struct question question;

    (void)state;
    question_start(&question, SLICE("silent.test"));
    loop_turn(loop, 0);
}

int main(void)
{
#define WITH_SERVER(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(literals_ask_nobody), WITH_SERVER(both_families_and_joined_questions),
        WITH_SERVER(no_such_name),        WITH_SERVER(last_good_when_asking_fails),
        WITH_SERVER(freed_while_asking),  WITH_SERVER(silence_ends_in_time),
    };
    TEST_IO_NEEDED();
    return cmocka_run_group_tests_name("net/resolve", tests, NULL, NULL);
}
