#include "fill_test.h"

/* Between a miss and the place in the table somebody else has stored it: look again, ask nobody. */
static void test_look_again(void)
{
    struct seeker seeker;

    site_open();
    store_one("/a", FRESH, "x");
    seek(&seeker, "/a", 1);
    assert_int_equal(seeker.joined, FILL_JOINED_STARTED);
    expect_outcome(&seeker, FILL_LOOK_AGAIN);
    assert_null(seeker.waiter.object);
    assert_int_equal(site.door->count, 1);
    assert_int_equal(site.context[1].count, 0);
    site_close();
}
SEEDED(test_look_again, THREADS)

/* What is stale in the waiter's own hand is no news. */
static void test_own_stale_is_no_news(void)
{
    struct store_lookup stale;
    struct seeker seeker;
    struct wire *wire;

    site_open();
    wire = store_one("/a", FRESH, "x");
    stale = look(key_of("/a"));
    seek_with(&seeker, (struct seek){.target = "/a", .stale = stale.object});
    wire = origin_again(wire);
    assert_non_null(strstr(asked_head, "If-None-Match"));
    wire_say(wire, "HTTP/1.1 304 Not Modified\r\n\r\n");
    expect_outcome(&seeker, FILL_VALIDATED);
    seeker_end(&seeker);
    store_object_unref(stale.object);
    site_close();
}
SEEDED(test_own_stale_is_no_news, THREADS)

/* ---- what is asked of the origin ------------------------------------------------------------------------------- */

/* The fill is for all: the first client's conditions and Range stay out of it. */
static void test_conditions_are_left_out(void)
{
    struct seeker seeker;

    site_open();
    seek_with(&seeker, (struct seek){.target = "/a?q=1",
                                     .more = "If-None-Match: \"x\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                                             "Range: bytes=0-1\r\nIf-Range: \"x\"\r\nAccept: text/html\r\n"});
    wire_say(origin_next(), FRESH "Content-Length: 0\r\n\r\n");
    assert_ptr_equal(strstr(asked_head, "GET /a?q=1 HTTP/1.1\r\n"), asked_head);
    assert_null(strstr(asked_head, "If-"));
    assert_null(strstr(asked_head, "Range"));
    assert_non_null(strstr(asked_head, "Accept: text/html\r\n"));
    assert_non_null(strstr(asked_head, "Host: h\r\n"));
    expect_outcome(&seeker, FILL_OBJECT);
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_conditions_are_left_out, THREADS)

/* ---- failures ----------------------------------------------------------------------------------------------------- */

static void test_failed(void)
{
    struct seeker seekers[2];
    struct wire *wire;

    site_open();
    for (unsigned i = 0; i < 2; i++)
        seek(&seekers[i], "/a", i);
    wire = origin_next();
    wire_say(wire, "rubbish\r\n\r\n");
    for (unsigned i = 0; i < 2; i++) {
        expect_outcome(&seekers[i], FILL_FAILED);
        assert_int_equal(seekers[i].waiter.failure, CLIENT_FAILURE_INVALID);
        assert_null(seekers[i].waiter.object);
    }
    assert_int_equal(site.context[0].count, 0);
    site_close();
}
SEEDED(test_failed, THREADS)

/* The body does not come to its end: whoever reads sees that, and nobody finds it. */
static void test_body_cut(void)
{
    static const char *const framing[] = {"Content-Length: 10\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"};

    for (size_t i = 0; i < ARRAY_LEN(framing); i++) {
        struct seeker seekers[2];
        struct wire *wire;

        site_open();
        for (unsigned t = 0; t < 2; t++)
            seek(&seekers[t], "/a", t);
        wire = origin_next();
        wire_say(wire, FRESH);
        wire_say(wire, framing[i]);
        for (unsigned t = 0; t < 2; t++)
            expect_outcome(&seekers[t], FILL_OBJECT);
        run_ms(1000);
        wire_finish(wire);
        run_ms(1000);
        for (unsigned t = 0; t < 2; t++) {
            struct hit_handler hit;
            struct taken taken;
            hit_handler_open(&hit, store_object_ref(seekers[t].waiter.object), sim_net.loops[t]);
            take_begin(&taken, &hit.source);
            RUN_UNTIL_TRUE(taken.over);
            assert_int_equal(taken.state, SOURCE_FAILED);
            take_done(&taken);
            source_close(&hit.source);
            run_ms(1);
            assert_true(store_object_is_failed(seekers[t].waiter.object));
            seeker_end(&seekers[t]);
        }
        assert_false(is_stored("/a"));
        site_close();
    }
}
SEEDED(test_body_cut, THREADS)

static void test_chunked_body_is_stored(void)
{
    struct store_lookup lookup;
    struct seeker seeker;

    site_open();
    seek(&seeker, "/a", 0);
    wire_say(origin_next(), FRESH "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
    expect_outcome(&seeker, FILL_OBJECT);
    expect_read(seeker.waiter.object, 0, SOURCE_END, "hello world");
    lookup = look(key_of("/a"));
    assert_int_equal(lookup.found, STORE_HIT);
    assert_int_equal(store_object_length(lookup.object), 11);
    store_object_unref(lookup.object);
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_chunked_body_is_stored, THREADS)

/* ---- windows ------------------------------------------------------------------------------------------------------ */

#define LARGE (8u << 20) /* more than an eighth of the tier */

/* Larger than its share, and nobody reads: it is given up after 5 s, the origin's connection with it. */
static void test_unread_window_is_given_up(void)
{
    static char bytes[LARGE];
    struct seeker seeker;
    struct wire *wire;
    uint64_t begun_ms;

    if (sim_net.seed > 3)
        return;
    site_open();
    seek(&seeker, "/large", 0);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 8388608\r\n\r\n");
    wire_say_bytes(wire, bytes, sizeof(bytes));
    expect_outcome(&seeker, FILL_OBJECT);
    begun_ms = now_ms();
    run_until(is_true_, &wire->reset, "the end of the fill");
    assert_in_range(now_ms() - begun_ms, 4500, 120000);
    assert_int_equal(site.context[0].count, 0);
    assert_true(store_object_is_failed(seeker.waiter.object));
    assert_false(is_stored("/large"));
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_unread_window_is_given_up, THREADS)

/* With a reader it goes through to the end, in bounded memory. */
static void test_window_with_a_reader(void)
{
    static char bytes[LARGE];
    struct hit_handler hit;
    struct seeker seeker;
    struct store_stats stats;
    struct taken taken;
    struct wire *wire;

    if (sim_net.seed > 3)
        return;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 31 + (i >> 12));
    site_open();
    seek(&seeker, "/large", 0);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 8388608\r\n\r\n");
    wire_say_bytes(wire, bytes, sizeof(bytes));
    expect_outcome(&seeker, FILL_OBJECT);
    hit_handler_open(&hit, store_object_ref(seeker.waiter.object), sim_net.loops[0]);
    take_begin(&taken, &hit.source);
    run_ms(50);
    storage_stats(site.storage, &stats);
    assert_true(stats.size_bytes < 3u << 20);
    RUN_UNTIL_TRUE(taken.over);
    assert_int_equal(taken.state, SOURCE_END);
    assert_int_equal(taken.len, sizeof(bytes));
    assert_memory_equal(taken.bytes, bytes, sizeof(bytes));
    take_done(&taken);
    source_close(&hit.source);
    run_ms(10);
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_window_with_a_reader, THREADS)

/* ---- a tier that answers late, or never ------------------------------------------------------------------------------ */

/* Nobody hangs: an answer that cannot be stored at once is handed on. */
static void test_late_tier(void)
{
    for (int early = 0; early < 2; early++) {
        struct seeker seekers[2];
        struct taken taken;
        struct wire *wire;

        site_open_over(late_tier_new(site_tier(), early != 0));
        late_tier_hold_forever(site.storage, true);
        for (unsigned i = 0; i < 2; i++)
            seek(&seekers[i], "/a", i);
        wire = origin_next();
        wire_say(wire, FRESH "Vary: X-Kind\r\nContent-Length: 5\r\n\r\nhello");
        expect_outcome(&seekers[0], FILL_HANDED);
        assert_int_equal(seekers[0].waiter.reason, NOT_STORED_STORE);
        expect_outcome(&seekers[1], FILL_RELEASED);
        take_begin(&taken, origin_fetch_body(seekers[0].waiter.handed->fetch));
        take_expect(&taken, SOURCE_END, "hello");
        take_done(&taken);
        seeker_end(&seekers[0]);
        assert_int_equal(late_tier_pending(site.storage), 0); /* all were cancelled */
        assert_true(late_tier_cancelled(site.storage) > 0);
        late_tier_hold_forever(site.storage, false);
        site_close();
    }
}
SEEDED(test_late_tier, THREADS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_look_again),
        SEEDED_TEST(test_own_stale_is_no_news),
        SEEDED_TEST(test_conditions_are_left_out),
        SEEDED_TEST(test_failed),
        SEEDED_TEST(test_body_cut),
        SEEDED_TEST(test_chunked_body_is_stored),
        SEEDED_TEST(test_unread_window_is_given_up),
        SEEDED_TEST(test_window_with_a_reader),
        SEEDED_TEST(test_late_tier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
