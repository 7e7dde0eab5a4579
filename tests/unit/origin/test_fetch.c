#include "fetch_test.h"

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

/* A whole exchange, with the origin's end of the connection left idle. */
static struct wire *exchange(struct door *door, struct wire *kept)
{
    struct got got;
    struct wire *wire;

    fetch_get(&got);
    wire = kept != NULL ? kept : door_accept(door);
    wire_expect(wire, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    wire_say(wire, OK_EMPTY);
    expect_head(&got, 200);
    assert_ptr_equal(origin_fetch_origin(got.fetch), group->origins);
    got_done(&got);
    assert_int_equal(origin_pool_idle(pool), 1);
    return wire;
}

/* ---- kept connections -------------------------------------------------------------------------------------------- */

static void test_reuse(void)
{
    struct door *door = door_open(ONE);
    struct wire *wire;

    pool_open(ONE, NULL);
    wire = exchange(door, NULL);
    for (int i = 0; i < 20; i++)
        exchange(door, wire);
    assert_int_equal(door->count, 1);
    assert_int_equal(origin_pool_open(pool), 1);
    pool_close();
}
SEEDED(test_reuse, 1)

/* Closed while the request was on its way: once more on a fresh connection, the client learns nothing. */
static void test_closed_kept_connection(void)
{
    struct door *door = door_open(ONE);
    struct got got;
    struct wire *wire;

    pool_open(ONE, NULL);
    wire = exchange(door, NULL);
    fetch_get(&got);
    wire_expect_head(wire); /* it is out, and will not be answered */
    wire_finish(wire);
    wire = door_accept(door);
    wire_expect_head(wire);
    wire_say(wire, OK_EMPTY);
    expect_head(&got, 200);
    got_done(&got);
    pool_close();
}
SEEDED(test_closed_kept_connection, 1)

static void test_retried_once_only(void)
{
    struct door *door = door_open(ONE);
    struct got got;
    struct wire *wire;

    pool_open(ONE, NULL);
    wire = exchange(door, NULL);
    fetch_get(&got);
    wire_expect_head(wire);
    wire_finish(wire);
    wire = door_accept(door);
    wire_expect_head(wire);
    wire_finish(wire);
    expect_failed(&got, CLIENT_FAILURE_CLOSED);
    assert_int_equal(door->count, 2);
    pool_close();
}
SEEDED(test_retried_once_only, 1)

/* A fresh connection that closes without an answer has seen the request: no retry. */
static void test_fresh_connection_is_not_retried(void)
{
    struct door *door = door_open(ONE);
    struct got got;
    struct wire *wire;

    pool_open(ONE, NULL);
    fetch_get(&got);
    wire = door_accept(door);
    wire_expect_head(wire);
    wire_finish(wire);
    expect_failed(&got, CLIENT_FAILURE_CLOSED);
    assert_int_equal(door->count, 1);
    pool_close();
}
SEEDED(test_fresh_connection_is_not_retried, 1)

/* Neither one with a body (it was taken), nor one that is not idempotent. */
static void test_post_is_not_retried(void)
{
    for (int kind = 0; kind < 3; kind++) {
        struct door *door = door_open(ONE);
        struct got got;
        struct wire *wire;

        pool_open(ONE, NULL);
        wire = exchange(door, NULL);
        if (kind == 0)
            fetch_with(&got, METHOD_POST, "POST", true);
        else if (kind == 1)
            fetch_with(&got, METHOD_POST, "POST", false);
        else
            fetch_with(&got, METHOD_PUT, "PUT", true);
        wire_expect_head(wire);
        wire_finish(wire);
        expect_failed(&got, CLIENT_FAILURE_CLOSED);
        assert_int_equal(door->count, 1);
        pool_close();
        door_shut(door);
    }
}
SEEDED(test_post_is_not_retried, 1)

/* In the middle of the head it is too late to try again. */
static void test_half_a_head_is_not_retried(void)
{
    struct door *door = door_open(ONE);
    struct got got;
    struct wire *wire;

    pool_open(ONE, NULL);
    wire = exchange(door, NULL);
    fetch_get(&got);
    wire_expect_head(wire);
    wire_say(wire, "HTTP/1.1 200");
    run_ms(1000);
    wire_finish(wire);
    expect_failed(&got, CLIENT_FAILURE_CLOSED);
    assert_string_equal(got.detail, "in the middle of the head");
    assert_int_equal(door->count, 1);
    pool_close();
}
SEEDED(test_half_a_head_is_not_retried, 1)

static void test_408(void)
{
    struct door *door = door_open(ONE);
    struct got got;
    struct wire *wire;

    pool_open(ONE, NULL);
    wire = exchange(door, NULL);
    fetch_get(&got);
    wire_expect_head(wire);
    wire_say(wire, "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    wire_finish(wire);
    wire = door_accept(door);
    wire_expect_head(wire);
    wire_say(wire, "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"); /* on a fresh one it is the answer */
    expect_head(&got, 408);
    got_done(&got);
    pool_close();
}
SEEDED(test_408, 1)

static void test_idle_limits(void)
{
    struct door *door = door_open(ONE);
    struct got got[3];
    uint64_t begun_ms;

    pool_open(ONE, NULL);
    limits.idle_max = 2;
    for (int i = 0; i < 3; i++)
        fetch_get(&got[i]);
    for (int i = 0; i < 3; i++) {
        struct wire *wire = door_accept(door);
        wire_expect_head(wire);
        wire_say(wire, OK_EMPTY);
    }
    for (int i = 0; i < 3; i++)
        expect_head(&got[i], 200);
    assert_int_equal(origin_pool_open(pool), 3);
    for (int i = 0; i < 3; i++)
        got_done(&got[i]);
    assert_int_equal(origin_pool_idle(pool), 2);
    begun_ms = now_ms();
    while (origin_pool_open(pool) > 0 && now_ms() - begun_ms < 100000)
        run_ms(500);
    assert_in_range(now_ms() - begun_ms, 24000, 27000);
    pool_close();
}
SEEDED(test_idle_limits, 1)

/* 0 means 25 s, as the header says, not "at once". */
static void test_idle_default(void)
{
    struct door *door = door_open(ONE);
    struct wire *wire;

    pool_open(ONE, NULL);
    limits.idle_ms = 0;
    wire = exchange(door, NULL);
    run_ms(20000);
    exchange(door, wire);
    assert_int_equal(door->count, 1);
    pool_close();
}
SEEDED(test_idle_default, 1)

/* ---- choosing ---------------------------------------------------------------------------------------------------- */

static void test_next_origin_when_refused(void)
{
    struct door *two = door_open(TWO);

    pool_open(ONE, TWO);
    for (int i = 0; i < 6; i++) {
        struct got got;
        struct wire *wire;
        fetch_get(&got);
        wire = door_accept(two);
        wire_expect_head(wire);
        wire_say(wire, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        expect_head(&got, 200);
        assert_ptr_equal(origin_fetch_origin(got.fetch), &group->origins[1]);
        got_done(&got);
    }
    assert_true(atomic_load(&group->origins[0].failures) >= 1);
    assert_int_equal(atomic_load(&group->origins[1].failures), 0);
    pool_close();
}
SEEDED(test_next_origin_when_refused, 1)

static void test_all_refused(void)
{
    struct got got;

    pool_open(ONE, TWO);
    fetch_get(&got);
    expect_failed(&got, CLIENT_FAILURE_CONNECT);
    assert_true(strlen(got.detail) > 0);
    assert_int_equal(atomic_load(&group->origins[0].failures), 1);
    assert_int_equal(atomic_load(&group->origins[1].failures), 1);
    fetch_get(&got); /* both are down, and tried all the same */
    expect_failed(&got, CLIENT_FAILURE_CONNECT);
    pool_close();
}
SEEDED(test_all_refused, 1)

/* "localhost" is two addresses; only the second one answers. */
static void test_next_address(void)
{
    struct door *door = door_open("127.0.0.1:8000");
    struct got got;
    struct wire *wire;

    pool_open("localhost:8000", NULL);
    fetch_get(&got);
    wire = door_accept(door);
    wire_expect_head(wire);
    wire_say(wire, OK_EMPTY);
    expect_head(&got, 200);
    assert_int_equal(atomic_load(&group->origins[0].failures), 0);
    got_done(&got);
    pool_close();
}
SEEDED(test_next_address, 1)

/* An origin that answers an error is healthy: another one is not asked. */
static void test_errors_are_answers(void)
{
    struct door *one = door_open(ONE), *two = door_open(TWO);
    struct got got;
    struct wire *wire;

    pool_open(ONE, TWO);
    fetch_get(&got);
    wire = door_accept(one);
    wire_expect_head(wire);
    wire_say(wire, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    expect_head(&got, 503);
    got_done(&got);
    assert_int_equal(two->count, 0);
    assert_int_equal(atomic_load(&group->origins[0].answers), 1);
    pool_close();
}
SEEDED(test_errors_are_answers, 1)

static void test_pool_limit(void)
{
    struct door *door = door_open(ONE);
    struct got first, second;
    struct wire *wire;

    pool_open(ONE, NULL);
    limits.connections_max = 1;
    fetch_get(&first);
    wire = door_accept(door);
    fetch_get(&second);
    expect_failed(&second, CLIENT_FAILURE_LIMIT);
    wire_expect_head(wire);
    wire_say(wire, OK_EMPTY);
    expect_head(&first, 200);
    got_done(&first);
    exchange(door, wire); /* an idle one is used at the limit too */
    pool_close();
}
SEEDED(test_pool_limit, 1)

/* ---- time -------------------------------------------------------------------------------------------------------- */

static void test_answer_timeout(void)
{
    struct door *door = door_open(ONE);
    struct got got;
    struct wire *wire;
    uint64_t begun_ms = now_ms();

    pool_open(ONE, NULL);
    fetch_get(&got);
    wire = door_accept(door);
    wire_expect_head(wire);
    expect_failed(&got, CLIENT_FAILURE_TIMEOUT);
    assert_in_range(now_ms() - begun_ms, 29000, 32000);
    assert_int_equal(door->count, 1);
    assert_int_equal(atomic_load(&group->origins[0].fetch_failures), 1);
    pool_close();
}
SEEDED(test_answer_timeout, 1)

static void test_body_timeout(void)
{
    struct door *door = door_open(ONE);
    struct taken taken;
    struct got got;
    struct wire *wire;

    pool_open(ONE, NULL);
    fetch_get(&got);
    wire = door_accept(door);
    wire_expect_head(wire);
    wire_say(wire, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    expect_head(&got, 200);
    take_begin(&taken, origin_fetch_body(got.fetch));
    take_expect(&taken, SOURCE_FAILED, "half");
    take_done(&taken);
    got_done(&got);
    assert_int_equal(origin_pool_idle(pool), 0);
    pool_close();
}
SEEDED(test_body_timeout, 1)

/* ---- leaving: whatever it is doing, nothing is told and nothing stays behind --------------------------------------- */

static void test_finish_at_every_state(void)
{
    for (uint64_t ms_or_step = 0; ms_or_step < 40; ms_or_step++) {
        struct door *door = door_open(ONE);
        struct got got;
        struct wire *wire;

        pool_open(ms_or_step % 3 == 0 ? "localhost:80" : ONE, NULL);
        fetch_get(&got);
        if (ms_or_step < 20) { /* starting, resolving, connecting, waiting: wherever it is by then */
            sim_run(sim_net.threads, 1, os_clock_ns() + ms_or_step * 20000, NULL, NULL);
        } else if (ms_or_step % 3 != 0) {
            wire = door_accept(door);
            wire_expect_head(wire);
            if (ms_or_step > 25)
                wire_say(wire, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
            if (ms_or_step > 30)
                expect_head(&got, 200);
        }
        unsigned told = got.heads + got.failures;
        got.fetch = origin_fetch_finish(got.fetch);
        run_ms(5000);
        assert_int_equal(got.heads + got.failures, told);
        assert_int_equal(origin_pool_open(pool), origin_pool_idle(pool));
        got_done(&got);
        pool_close();
        door_shut(door);
    }
    assert_null(origin_fetch_finish(NULL));
}
SEEDED(test_finish_at_every_state, 1)

/* Left before the name is resolved: its answer finds nobody. */
static void test_left_while_resolving(void)
{
    struct door *door = door_open("127.0.0.1:8000");
    struct got got;

    pool_open("localhost:8000", NULL);
    fetch_get(&got);
    (void)loop_turn(sim_net.loops[0], 0); /* begins to resolve; the answer is deferred to the next turn */
    assert_int_equal(origin_pool_open(pool), 0);
    got_done(&got);
    memset(&got, 0xaa, sizeof(got));
    run_ms(1000);
    assert_int_equal(origin_pool_open(pool), 0);
    assert_int_equal(door->count, 0);
    pool_close();
}
SEEDED(test_left_while_resolving, 1)

/* A connection whose fetch has left while it was made serves the next one. */
static void test_left_while_connecting_is_kept(void)
{
    struct door *door = door_open(ONE);
    struct got got;

    pool_open(ONE, NULL);
    fetch_get(&got);
    sim_run(sim_net.threads, 1, os_clock_ns() + 1, NULL, NULL);
    assert_int_equal(origin_pool_open(pool), 1);
    got_done(&got);
    run_ms(1000);
    assert_int_equal(origin_pool_idle(pool), 1);
    exchange(door, door_accept(door));
    assert_int_equal(door->count, 1);
    pool_close();
}
SEEDED(test_left_while_connecting_is_kept, 1)

static void test_hand_over(void)
{
    struct door *door = door_open(ONE);
    struct taken taken;
    struct got got, other = {0};
    struct wire *wire;

    pool_open(ONE, NULL);
    fetch_get(&got);
    wire = door_accept(door);
    wire_expect_head(wire);
    wire_say(wire, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nb");
    expect_head(&got, 200);
    origin_fetch_hand_over(got.fetch, &events, &other);
    other.fetch = got.fetch;
    wire_say(wire, "ody");
    take_begin(&taken, origin_fetch_body(other.fetch));
    take_expect(&taken, SOURCE_END, "body");
    take_done(&taken);
    other.fetch = origin_fetch_finish(other.fetch);
    got.fetch = NULL;
    got_done(&got);
    assert_int_equal(origin_pool_idle(pool), 1);
    pool_close();
}
SEEDED(test_hand_over, 1)

/* ---- how many at a time ------------------------------------------------------------------------------------------ */

static void expect_load(uint32_t under_way, uint32_t waiting)
{
    uint32_t now_under_way, now_waiting;

    origin_group_load(group, &now_under_way, &now_waiting);
    assert_int_equal(now_under_way, under_way);
    assert_int_equal(now_waiting, waiting);
}

static void serve_any(struct door *door)
{
    struct wire *wire = door_accept(door);

    wire_expect_head(wire);
    wire_say(wire, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

static void serve(struct door *door, struct got *got)
{
    serve_any(door);
    expect_head(got, 200);
}

/* The first to come are the first to go; an answer's head does not end a request, its end does. */
static void test_more_wait_for_their_turn(void)
{
    struct door *door = door_open(ONE);
    struct got got[4];

    pool_open(ONE, NULL);
    origin_group_limit(group, 2);
    for (unsigned i = 0; i < 4; i++)
        fetch_get(&got[i]);
    run_ms(10);
    expect_load(2, 2);
    serve_any(door);
    serve_any(door);
    expect_head(&got[0], 200);
    expect_head(&got[1], 200);
    run_ms(10);
    assert_int_equal(door->count, 2);
    got_done(&got[1]);
    run_ms(10);
    expect_load(2, 1);
    serve(door, &got[2]);
    assert_int_equal(door->count, 3);
    got_done(&got[0]);
    serve(door, &got[3]);
    got_done(&got[2]);
    got_done(&got[3]);
    expect_load(0, 0);
    pool_close();
}
SEEDED(test_more_wait_for_their_turn, 1)

/* Also where the turn was given, and the word of it is on its way. */
static void test_who_waits_may_leave(void)
{
    struct door *door = door_open(ONE);
    struct got got[4];

    pool_open(ONE, NULL);
    origin_group_limit(group, 1);
    for (unsigned i = 0; i < 4; i++)
        fetch_get(&got[i]);
    run_ms(10);
    expect_load(1, 3);
    got_done(&got[1]);
    expect_load(1, 2);
    serve(door, &got[0]);
    got_done(&got[0]);
    expect_load(1, 1); /* given to the third */
    got_done(&got[2]);
    expect_load(1, 1);
    run_ms(10);
    expect_load(1, 0); /* and came back */
    serve(door, &got[3]);
    got_done(&got[3]);
    expect_load(0, 0);
    pool_close();
}
SEEDED(test_who_waits_may_leave, 1)

static void test_who_waits_too_long_fails(void)
{
    struct door *door = door_open(ONE);
    struct got first, second;

    pool_open(ONE, NULL);
    limits.first_byte_ms = 500;
    origin_group_limit(group, 1);
    fetch_get(&first);
    fetch_get(&second);
    serve(door, &first);
    expect_failed(&second, CLIENT_FAILURE_CONCURRENCY);
    assert_string_equal(client_failure_word(second.failure), "origin-concurrency");
    got_done(&first);
    expect_load(0, 0);
    pool_close();
}
SEEDED(test_who_waits_too_long_fails, 1)

/* A reload: those that wait go on, as many as there is room for now. */
static void test_the_limit_changes(void)
{
    struct door *door = door_open(ONE);
    struct got got[5];

    pool_open(ONE, NULL);
    fetch_get(&got[0]); /* without a limit: never counted */
    run_ms(10);
    origin_group_limit(group, 1);
    for (unsigned i = 1; i < 5; i++)
        fetch_get(&got[i]);
    run_ms(10);
    expect_load(1, 3);
    origin_group_limit(group, 2);
    run_ms(10);
    expect_load(2, 2);
    origin_group_limit(group, 0);
    run_ms(10);
    expect_load(4, 0);
    origin_group_limit(group, 1);
    for (unsigned i = 0; i < 5; i++)
        serve_any(door);
    for (unsigned i = 0; i < 5; i++) {
        expect_head(&got[i], 200);
        got_done(&got[i]);
    }
    expect_load(0, 0);
    pool_close();
}
SEEDED(test_the_limit_changes, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_reuse),
        SEEDED_TEST(test_closed_kept_connection),
        SEEDED_TEST(test_retried_once_only),
        SEEDED_TEST(test_fresh_connection_is_not_retried),
        SEEDED_TEST(test_post_is_not_retried),
        SEEDED_TEST(test_half_a_head_is_not_retried),
        SEEDED_TEST(test_408),
        SEEDED_TEST(test_idle_limits),
        SEEDED_TEST(test_idle_default),
        SEEDED_TEST(test_next_origin_when_refused),
        SEEDED_TEST(test_all_refused),
        SEEDED_TEST(test_next_address),
        SEEDED_TEST(test_errors_are_answers),
        SEEDED_TEST(test_pool_limit),
        SEEDED_TEST(test_answer_timeout),
        SEEDED_TEST(test_body_timeout),
        SEEDED_TEST(test_finish_at_every_state),
        SEEDED_TEST(test_left_while_resolving),
        SEEDED_TEST(test_left_while_connecting_is_kept),
        SEEDED_TEST(test_hand_over),
        SEEDED_TEST(test_more_wait_for_their_turn),
        SEEDED_TEST(test_who_waits_may_leave),
        SEEDED_TEST(test_who_waits_too_long_fails),
        SEEDED_TEST(test_the_limit_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
