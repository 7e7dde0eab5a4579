/* Which connection a fetch gets, before origins that speak HTTP/2. */
#include "fetch_test.h"

#include "../proto/h2_wire.h"

#define H2_ONE "h2c://" ONE
#define H2_TWO "h2c://" TWO
#define MANY   60u
#define OK_LINES ":status\t200\n"

static struct got many[MANY];

/* Where the next connection arrives: greeted, with that many streams at once. */
static struct h2_client origin_greets(struct door *door, uint32_t streams)
{
    struct h2_client origin = {.wire = door_accept(door)};

    assert_int_equal(nghttp2_hd_inflate_new(&origin.inflater), 0);
    wire_expect(origin.wire, PREFACE);
    assert_int_equal(h2_next(&origin).type, NGHTTP2_SETTINGS);
    h2_say_setting(&origin, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, streams);
    h2_say(&origin, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
    return origin;
}

static void origin_answers(struct h2_client *origin, uint32_t id)
{
    h2_expect_head(origin, id, true);
    h2_say_head(origin, id, END_STREAM, OK_LINES);
}

/* One exchange, after which the origin's limit is known. */
static struct h2_client first_exchange(struct door *door, uint32_t streams)
{
    struct h2_client origin;
    struct got got;

    fetch_get(&got);
    origin = origin_greets(door, streams);
    run_ms(100);
    origin_answers(&origin, 1);
    expect_head(&got, 200);
    got_done(&got);
    assert_int_equal(origin_pool_idle(pool), 1);
    return origin;
}

static void test_all_wait_for_the_first(void)
{
    struct door *door = door_open(ONE);
    struct h2_client origin;

    pool_open(H2_ONE, NULL);
    for (unsigned i = 0; i < MANY; i++)
        fetch_get(&many[i]);
    origin = origin_greets(door, 100);
    for (unsigned i = 0; i < MANY; i++)
        origin_answers(&origin, 2 * i + 1);
    for (unsigned i = 0; i < MANY; i++) {
        expect_head(&many[i], 200);
        got_done(&many[i]);
    }
    assert_int_equal(door->count, 1);
    assert_int_equal(origin_pool_idle(pool), 1);
    h2_done(&origin);
    pool_close();
}
SEEDED(test_all_wait_for_the_first, 1)

/* As many connections as it takes, each filled before the next. */
static void test_the_origins_limit(void)
{
    struct door *door = door_open(ONE);
    struct h2_client origins[4];

    pool_open(H2_ONE, NULL);
    origins[0] = first_exchange(door, 3);
    for (unsigned i = 0; i < 12; i++)
        fetch_get(&many[i]);
    for (unsigned at = 1; at < 4; at++)
        origins[at] = origin_greets(door, 3);
    run_ms(1000);
    for (unsigned at = 0; at < 4; at++)
        for (unsigned i = 0; i < 3; i++)
            origin_answers(&origins[at], 2 * i + (at == 0 ? 3 : 1));
    for (unsigned i = 0; i < 12; i++) {
        expect_head(&many[i], 200);
        got_done(&many[i]);
    }
    assert_int_equal(door->count, 4);
    for (unsigned at = 0; at < 4; at++)
        h2_done(&origins[at]);
    pool_close();
}
SEEDED(test_the_origins_limit, 1)

/* Nobody listens at the first origin: one failure, told to all who waited, who go on to the second together. */
static void test_refused_for_all(void)
{
    struct door *two = door_open(TWO);
    struct h2_client origin;

    pool_open(H2_ONE, H2_TWO);
    atomic_store(&group->origins[1].down_until_ns, os_clock_ns() + UINT64_C(60000000000));
    for (unsigned i = 0; i < 20; i++)
        fetch_get(&many[i]);
    origin = origin_greets(two, 100);
    for (unsigned i = 0; i < 20; i++)
        origin_answers(&origin, 2 * i + 1);
    for (unsigned i = 0; i < 20; i++) {
        expect_head(&many[i], 200);
        got_done(&many[i]);
    }
    assert_int_equal(atomic_load(&group->origins[0].failures), 1);
    assert_int_equal(two->count, 1);
    h2_done(&origin);
    pool_close();
}
SEEDED(test_refused_for_all, 1)

static void test_all_refused(void)
{
    pool_open(H2_ONE, NULL);
    for (unsigned i = 0; i < 20; i++)
        fetch_get(&many[i]);
    for (unsigned i = 0; i < 20; i++)
        expect_failed(&many[i], CLIENT_FAILURE_CONNECT);
    assert_int_equal(atomic_load(&group->origins[0].failures), 1);
    pool_close();
}
SEEDED(test_all_refused, 1)

/* Who opened the connection leaves, others leave the queue: the rest are served by it. */
static void test_leaving_while_connecting(void)
{
    struct door *door = door_open(ONE);
    struct h2_client origin;

    pool_open(H2_ONE, NULL);
    for (unsigned i = 0; i < 6; i++)
        fetch_get(&many[i]);
    sim_run(sim_net.threads, 1, os_clock_ns() + 1, NULL, NULL);
    assert_int_equal(origin_pool_open(pool), 1);
    for (unsigned i = 0; i < 6; i += 2)
        got_done(&many[i]);
    origin = origin_greets(door, 100);
    for (unsigned i = 1; i < 6; i += 2)
        origin_answers(&origin, i);
    for (unsigned i = 1; i < 6; i += 2) {
        expect_head(&many[i], 200);
        got_done(&many[i]);
    }
    assert_int_equal(door->count, 1);
    h2_done(&origin);
    pool_close();
}
SEEDED(test_leaving_while_connecting, 1)

/* An origin known to speak HTTP/1 has a connection for each fetch, at once. */
static void test_http1_does_not_wait(void)
{
    struct door *door = door_open(ONE);

    pool_open(ONE, NULL);
    for (unsigned i = 0; i < 10; i++)
        fetch_get(&many[i]);
    run_ms(100);
    assert_int_equal(door->count, 10);
    for (unsigned i = 0; i < 10; i++)
        got_done(&many[i]);
    pool_close();
}
SEEDED(test_http1_does_not_wait, 1)

static void test_upgrades_go_over_http1(void)
{
    struct door *door = door_open(ONE);
    struct h2_client origin;
    struct got got = {0};
    struct origin_request request = {
        .request = {.method = METHOD_GET, .method_name = SLICE("GET"), .target = SLICE("/x"), .body_bytes = -1, .upgrade = true},
        .events = &events,
        .user = &got};
    struct wire *wire;

    pool_open(H2_ONE, NULL);
    origin = first_exchange(door, 100);
    arena_init(&got.arena, NULL, 0, 0);
    fields_init(&got.fields, &got.arena);
    request.group = group;
    request.request.fields = &got.fields;
    request.request.arena = &got.arena;
    got.fetch = origin_fetch_start(pool, &request);
    wire = door_accept(door);
    wire_expect_head(wire);
    wire_say(wire, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n");
    expect_head(&got, 426);
    got_done(&got);
    assert_int_equal(atomic_load(&group->origins[0].speaks), NET_ALPN_H2);
    h2_done(&origin);
    pool_close();
}
SEEDED(test_upgrades_go_over_http1, 1)

static void goaway(struct h2_client *origin, uint32_t last)
{
    uint8_t payload[8] = {0};

    put_u32(payload, last);
    h2_say(origin, NGHTTP2_GOAWAY, 0, 0, payload, sizeof(payload));
}

/* A POST, too: it was not processed. */
static void test_goaway_is_repeated_elsewhere(void)
{
    struct door *door = door_open(ONE);
    struct h2_client first, second;
    struct got got;

    pool_open(H2_ONE, NULL);
    first = first_exchange(door, 100);
    fetch_with(&got, METHOD_POST, "POST", false);
    h2_expect_head(&first, 3, true);
    goaway(&first, 1);
    second = origin_greets(door, 100);
    origin_answers(&second, 1);
    expect_head(&got, 200);
    got_done(&got);
    h2_done(&first);
    h2_done(&second);
    pool_close();
}
SEEDED(test_goaway_is_repeated_elsewhere, 1)

static void test_goaway_for_ever(void)
{
    struct door *door = door_open(ONE);
    struct got got;

    pool_open(H2_ONE, NULL);
    fetch_get(&got);
    for (unsigned i = 0; i < 5; i++) {
        struct h2_client origin = origin_greets(door, 100);
        h2_expect_head(&origin, 1, true);
        goaway(&origin, 0);
        h2_done(&origin);
    }
    expect_failed(&got, CLIENT_FAILURE_CLOSED);
    assert_string_equal(got.detail, "stream refused");
    assert_int_equal(door->count, 5);
    pool_close();
}
SEEDED(test_goaway_for_ever, 1)

/* Once, when it is idempotent and the connection had answered before; all of them over one new connection. */
static void test_lost_connection(void)
{
    struct door *door = door_open(ONE);
    struct h2_client first, second;

    pool_open(H2_ONE, NULL);
    first = first_exchange(door, 100);
    for (unsigned i = 0; i < 10; i++) {
        if (i == 4)
            fetch_with(&many[i], METHOD_POST, "POST", false);
        else
            fetch_get(&many[i]);
        h2_expect_head(&first, 2 * i + 3, true);
    }
    wire_finish(first.wire);
    second = origin_greets(door, 100);
    for (unsigned i = 0; i < 9; i++)
        origin_answers(&second, 2 * i + 1);
    for (unsigned i = 0; i < 10; i++) {
        if (i == 4) {
            expect_failed(&many[i], CLIENT_FAILURE_CLOSED);
            continue;
        }
        expect_head(&many[i], 200);
        got_done(&many[i]);
    }
    assert_int_equal(door->count, 2);
    h2_done(&first);
    h2_done(&second);
    pool_close();
}
SEEDED(test_lost_connection, 1)

static void test_lost_at_first(void)
{
    struct door *door = door_open(ONE);
    struct h2_client origin;
    struct got got;

    pool_open(H2_ONE, NULL);
    fetch_get(&got);
    origin = origin_greets(door, 100);
    h2_expect_head(&origin, 1, true);
    wire_finish(origin.wire);
    expect_failed(&got, CLIENT_FAILURE_CLOSED); /* it has seen the request, as far as we know */
    assert_int_equal(door->count, 1);
    h2_done(&origin);
    pool_close();
}
SEEDED(test_lost_at_first, 1)

/* close_idle leaves alone what is under way, and takes the connection when that has ended. */
static void test_close_idle(void)
{
    struct door *door = door_open(ONE);
    struct h2_client origin;
    struct got got;

    pool_open(H2_ONE, NULL);
    origin = first_exchange(door, 100);
    fetch_get(&got);
    h2_expect_head(&origin, 3, true);
    origin_pool_close_idle(pool);
    run_ms(1000);
    assert_int_equal(origin_pool_open(pool), 1);
    h2_say_head(&origin, 3, END_STREAM, OK_LINES);
    expect_head(&got, 200);
    got_done(&got);
    run_ms(1000);
    assert_int_equal(origin_pool_open(pool), 1);
    pool_close();
    h2_done(&origin);
}
SEEDED(test_close_idle, 1)

static void test_limits(void)
{
    struct door *door = door_open(ONE);
    struct h2_client origin;

    pool_open(H2_ONE, NULL);
    limits.connections_max = 1;
    origin = first_exchange(door, 2);
    for (unsigned i = 0; i < 3; i++)
        fetch_get(&many[i]);
    expect_failed(&many[2], CLIENT_FAILURE_LIMIT);
    for (unsigned i = 0; i < 2; i++) {
        origin_answers(&origin, 2 * i + 3);
        expect_head(&many[i], 200);
    }
    limits.idle_max = 0;
    for (unsigned i = 0; i < 2; i++)
        got_done(&many[i]);
    run_ms(1000);
    assert_int_equal(origin_pool_open(pool), 0); /* none is kept */
    h2_done(&origin);
    pool_close();
}
SEEDED(test_limits, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_all_wait_for_the_first),
        SEEDED_TEST(test_the_origins_limit),
        SEEDED_TEST(test_refused_for_all),
        SEEDED_TEST(test_all_refused),
        SEEDED_TEST(test_leaving_while_connecting),
        SEEDED_TEST(test_http1_does_not_wait),
        SEEDED_TEST(test_upgrades_go_over_http1),
        SEEDED_TEST(test_goaway_is_repeated_elsewhere),
        SEEDED_TEST(test_goaway_for_ever),
        SEEDED_TEST(test_lost_connection),
        SEEDED_TEST(test_lost_at_first),
        SEEDED_TEST(test_close_idle),
        SEEDED_TEST(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
