#include "fill_test.h"
#include "store/purge.h"

/* Eight who ask for the same on two threads: one request to the origin, one object for all. */
static void test_one_fetch_for_many(void)
{
    struct seeker seekers[8];
    struct wire *wire;

    site_open();
    for (unsigned i = 0; i < 8; i++)
        seek(&seekers[i], "/a", i % 2);
    assert_int_equal(seekers[0].joined, FILL_JOINED_STARTED);
    assert_true(seekers[0].waiter.is_leader);
    for (unsigned i = 1; i < 8; i++) {
        assert_int_equal(seekers[i].joined, FILL_JOINED_RUNNING);
        assert_false(seekers[i].waiter.is_leader);
    }
    wire = origin_next();
    wire_say(wire, "HTTP/1.1 103 Early Hints\r\n\r\n");
    wire_say(wire, FRESH "Content-Length: 5\r\n\r\nhel");
    for (unsigned i = 0; i < 8; i++) {
        expect_outcome(&seekers[i], FILL_OBJECT);
        assert_ptr_equal(seekers[i].waiter.object, seekers[0].waiter.object);
        assert_int_equal(seekers[i].waiter.status, 200);
        assert_true(seekers[i].waiter.fetch_ns > 0);
        assert_int_equal(seekers[i].interims, i == 0); /* the leader's only */
    }
    wire_say(wire, "lo");
    for (unsigned i = 0; i < 8; i++) {
        expect_read(seekers[i].waiter.object, i % 2, SOURCE_END, "hello");
        seeker_end(&seekers[i]);
    }
    assert_int_equal(site.door->count, 1);
    assert_int_equal(site.context[0].count, 0);
    assert_true(is_stored("/a"));
    site_close();
}
SEEDED(test_one_fetch_for_many, THREADS)

static void test_other_keys_do_not_wait(void)
{
    struct seeker a, b;
    struct wire *wire_a, *wire_b;

    site_open();
    seek(&a, "/a", 0);
    seek(&b, "/b", 0);
    assert_int_equal(b.joined, FILL_JOINED_STARTED);
    wire_a = origin_next();
    wire_b = origin_next();
    wire_say(wire_b, FRESH "Content-Length: 0\r\n\r\n");
    (void)wire_a;
    run_until(is_true_, strstr(asked_head, "GET /b") != NULL ? &b.told : &a.told, "an answer");
    assert_true(a.told != b.told);
    wire_say(wire_a, FRESH "Content-Length: 0\r\n\r\n");
    expect_outcome(&a, FILL_OBJECT);
    expect_outcome(&b, FILL_OBJECT);
    seeker_end(&a);
    seeker_end(&b);
    site_close();
}
SEEDED(test_other_keys_do_not_wait, THREADS)

/* ---- leaving ----------------------------------------------------------------------------------------------- */

static void test_leave_before_told(void)
{
    struct seeker first, second;
    struct wire *wire;

    site_open();
    seek(&first, "/a", 0);
    seek(&second, "/a", 1);
    wire = origin_next();
    fill_leave(&first.waiter, seeker_gone);
    assert_true(first.gone); /* at once: nothing is in the mail */
    wire_say(wire, FRESH "Content-Length: 1\r\n\r\nx");
    expect_outcome(&second, FILL_OBJECT); /* the others lose nothing */
    expect_read(second.waiter.object, 1, SOURCE_END, "x");
    seeker_end(&second);
    site_close();
}
SEEDED(test_leave_before_told, THREADS)

/* The last one leaves before the head: nobody wants it. */
static void test_last_one_leaves(void)
{
    struct seeker seekers[2];
    struct wire *wire;

    site_open();
    seek(&seekers[0], "/a", 0);
    seek(&seekers[1], "/a", 1);
    wire = origin_next();
    fill_leave(&seekers[1].waiter, seeker_gone);
    fill_leave(&seekers[0].waiter, seeker_gone);
    wire_expect_end(wire);
    assert_int_equal(site.context[0].count, 0);
    assert_false(is_stored("/a"));
    seek(&seekers[0], "/a", 1); /* the slot is free */
    assert_int_equal(seekers[0].joined, FILL_JOINED_STARTED);
    wire_say(origin_next(), FRESH "Content-Length: 1\r\n\r\nx");
    expect_outcome(&seekers[0], FILL_OBJECT);
    seeker_end(&seekers[0]);
    site_close();
}
SEEDED(test_last_one_leaves, THREADS)

/* The last one leaves, and before the fill has heard of it somebody joins: it goes on. */
static void test_joined_while_it_is_given_up(void)
{
    struct seeker first, second;
    struct wire *wire;

    site_open();
    seek(&first, "/a", 0);
    wire = origin_next();
    fill_leave(&first.waiter, seeker_gone);
    seek(&second, "/a", 1);
    assert_int_equal(second.joined, FILL_JOINED_RUNNING);
    run_ms(1000);
    wire_say(wire, FRESH "Content-Length: 1\r\n\r\nx");
    expect_outcome(&second, FILL_OBJECT);
    seeker_end(&second);
    assert_int_equal(site.door->count, 1);
    site_close();
}
SEEDED(test_joined_while_it_is_given_up, THREADS)

/* Told, but the mail is still under way: the memory stays until it has come. */
static void test_leave_after_told(void)
{
    struct seeker seeker;
    struct wire *wire;

    site_open();
    wire = store_one("/other", FRESH, "x");
    seek(&seeker, "/other", 0); /* the store has it by now: told at once to look again */
    assert_false(seeker.told);
    fill_leave(&seeker.waiter, seeker_gone);
    assert_false(seeker.gone);
    RUN_UNTIL_TRUE(seeker.gone);
    assert_false(seeker.told);
    (void)wire;
    site_close();
}
SEEDED(test_leave_after_told, THREADS)

/* A waiter who leaves once the body is being stored stops nothing. */
static void test_stored_without_a_reader(void)
{
    struct seeker seeker;
    struct wire *wire;

    site_open();
    seek(&seeker, "/a", 0);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 10\r\n\r\n01234");
    expect_outcome(&seeker, FILL_OBJECT);
    seeker_end(&seeker);
    wire_say(wire, "56789");
    run_ms(2000);
    assert_int_equal(site.context[0].count, 0);
    assert_true(is_stored("/a"));
    site_close();
}
SEEDED(test_stored_without_a_reader, THREADS)

/* ---- alone, background, full -------------------------------------------------------------------------------- */

static void test_alone(void)
{
    struct seeker first, alone;
    struct wire *one, *two;

    site_open();
    seek(&first, "/a", 0);
    assert_int_equal(seek_with(&alone, (struct seek){.target = "/a", .alone = true}), FILL_JOINED_STARTED);
    one = origin_next();
    two = origin_next(); /* in parallel */
    wire_say(one, FRESH "Content-Length: 1\r\n\r\nx");
    wire_say(two, FRESH "Content-Length: 1\r\n\r\nx");
    expect_outcome(&first, FILL_OBJECT);
    expect_outcome(&alone, FILL_OBJECT);
    seeker_end(&first);
    seeker_end(&alone);
    site_close();
}
SEEDED(test_alone, THREADS)

static void test_full(void)
{
    struct seeker first, second, joins, alone;
    struct wire *wire;

    site_open();
    site.context[0].fills_max = 1;
    seek(&first, "/a", 0);
    seek(&second, "/b", 0);
    assert_int_equal(second.joined, FILL_JOINED_FULL);
    seek_with(&alone, (struct seek){.target = "/a", .alone = true});
    assert_int_equal(alone.joined, FILL_JOINED_FULL);
    seek(&joins, "/a", 0); /* joining costs no fill */
    assert_int_equal(joins.joined, FILL_JOINED_RUNNING);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 1\r\n\r\nx");
    expect_outcome(&first, FILL_OBJECT);
    expect_outcome(&joins, FILL_OBJECT);
    run_ms(1000);
    assert_false(second.told);
    seeker_end(&first);
    seeker_end(&joins);
    seek(&second, "/b", 0);
    assert_int_equal(second.joined, FILL_JOINED_STARTED);
    fill_leave(&second.waiter, seeker_gone);
    site_close();
}
SEEDED(test_full, THREADS)

static void test_background_once(void)
{
    struct seeker nobody, joins;
    struct wire *wire;

    site_open();
    assert_int_equal(seek_with(&nobody, (struct seek){.target = "/a", .background = true}), FILL_JOINED_STARTED);
    assert_int_equal(seek_with(&nobody, (struct seek){.target = "/a", .background = true, .thread = 1}),
                     FILL_JOINED_RUNNING);
    seek(&joins, "/a", 1);
    wire = origin_next();
    fill_leave(&joins.waiter, seeker_gone); /* it was not for this one's sake */
    run_ms(1000);
    wire_say(wire, FRESH "Content-Length: 1\r\n\r\nx");
    run_ms(2000);
    assert_true(is_stored("/a"));
    assert_int_equal(site.door->count, 1);
    site_close();
}
SEEDED(test_background_once, THREADS)

/* ---- purge --------------------------------------------------------------------------------------------------- */

/* A purge overtakes a running fill: those who come after it get a fill of their own, those who waited get what
 * they waited for, and nobody finds it in the store. */
static void test_purge_overtakes(void)
{
    struct seeker before, after;
    struct wire *old, *fresh;

    site_open();
    seek(&before, "/a", 0);
    old = origin_next();
    purge_host();
    seek(&after, "/a", 1);
    assert_int_equal(after.joined, FILL_JOINED_STARTED);
    fresh = origin_next();
    wire_say(old, FRESH "Content-Length: 3\r\n\r\nold");
    expect_outcome(&before, FILL_OBJECT);
    expect_read(before.waiter.object, 0, SOURCE_END, "old");
    assert_false(is_stored("/a"));
    assert_false(after.told);
    wire_say(fresh, FRESH "Content-Length: 3\r\n\r\nnew");
    expect_outcome(&after, FILL_OBJECT);
    expect_read(after.waiter.object, 1, SOURCE_END, "new");
    assert_true(is_stored("/a"));
    seeker_end(&before);
    seeker_end(&after);
    site_close();
}
SEEDED(test_purge_overtakes, THREADS)

/* The other order: the old one ends last and must not replace the new one. */
static void test_purged_fill_ends_last(void)
{
    struct seeker before, after;
    struct store_lookup lookup;
    struct wire *old, *fresh;

    site_open();
    seek(&before, "/a", 0);
    old = origin_next();
    purge_host();
    seek(&after, "/a", 1);
    fresh = origin_next();
    wire_say(fresh, FRESH "Content-Length: 3\r\n\r\nnew");
    expect_outcome(&after, FILL_OBJECT);
    wire_say(old, FRESH "Content-Length: 3\r\n\r\nold");
    expect_outcome(&before, FILL_OBJECT);
    expect_read(before.waiter.object, 0, SOURCE_END, "old");
    lookup = look(key_of("/a"));
    assert_int_equal(lookup.found, STORE_HIT);
    expect_read(lookup.object, 0, SOURCE_END, "new");
    store_object_unref(lookup.object);
    seeker_end(&before);
    seeker_end(&after);
    site_close();
}
SEEDED(test_purged_fill_ends_last, THREADS)

/* What tags an answer has is not known while it is asked for: who joins after a purge of one asks anew. */
static void test_purge_of_a_tag_overtakes(void)
{
    struct store_purge purge = {
        .tenant = TENANT, .kind = STORE_LABEL_TAG, .label = store_label_of(TENANT, STORE_LABEL_TAG, SLICE("t"))};
    struct seeker before, after;
    struct wire *wire;

    site_open();
    seek(&before, "/a", 0);
    wire = origin_next();
    assert_int_equal(storage_purge(site.storage, &purge), STORE_DONE);
    seek(&after, "/a", 1);
    assert_int_equal(after.joined, FILL_JOINED_RUNNING);
    wire_say(wire, FRESH "Surrogate-Key: s t\r\nContent-Length: 3\r\n\r\nold");
    expect_outcome(&before, FILL_OBJECT);
    expect_read(before.waiter.object, 0, SOURCE_END, "old");
    expect_outcome(&after, FILL_LOOK_AGAIN);
    assert_null(after.waiter.object);
    assert_false(is_stored("/a"));
    seeker_end(&before);
    site_close();
}
SEEDED(test_purge_of_a_tag_overtakes, THREADS)

/* A purge of something else costs nobody anything. */
static void test_purge_of_another_tag(void)
{
    struct store_purge purge = {
        .tenant = TENANT, .kind = STORE_LABEL_TAG, .label = store_label_of(TENANT, STORE_LABEL_TAG, SLICE("u"))};
    struct seeker before, after;
    struct wire *wire;

    site_open();
    seek(&before, "/a", 0);
    wire = origin_next();
    assert_int_equal(storage_purge(site.storage, &purge), STORE_DONE);
    seek(&after, "/a", 1);
    wire_say(wire, FRESH "Surrogate-Key: s t\r\nContent-Length: 3\r\n\r\nnew");
    expect_outcome(&before, FILL_OBJECT);
    expect_outcome(&after, FILL_OBJECT);
    expect_read(after.waiter.object, 1, SOURCE_END, "new");
    assert_true(is_stored("/a"));
    seeker_end(&before);
    seeker_end(&after);
    site_close();
}
SEEDED(test_purge_of_another_tag, THREADS)

/* A body that arrives slowly holds up no purge's retirement: its object is in the index. */
static void test_purges_retire_during_the_body(void)
{
    struct purge_log_stats stats;
    struct seeker seeker;
    struct wire *wire;

    site_open();
    seek(&seeker, "/a", 0);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 4\r\n\r\nha");
    expect_outcome(&seeker, FILL_OBJECT);
    purge_host();
    for (unsigned i = 0; i < 200; i++)
        storage_turn(site.storage, os_wall_ms());
    purge_log_stats(site.storage->purges, &stats);
    assert_int_equal(stats.pins, 0);
    assert_int_equal(stats.labels, 0);
    wire_say(wire, "lf");
    expect_read(seeker.waiter.object, 0, SOURCE_END, "half");
    assert_false(is_stored("/a"));
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_purges_retire_during_the_body, THREADS)

/* While its body arrives: readers keep it, the index does not. */
static void test_purge_during_the_body(void)
{
    struct seeker seeker;
    struct wire *wire;

    site_open();
    seek(&seeker, "/a", 0);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 4\r\n\r\nha");
    expect_outcome(&seeker, FILL_OBJECT);
    purge_host();
    assert_false(is_stored("/a"));
    wire_say(wire, "lf");
    expect_read(seeker.waiter.object, 0, SOURCE_END, "half");
    assert_false(is_stored("/a"));
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_purge_during_the_body, THREADS)

static void test_stop(void)
{
    struct seeker seekers[3];

    site_open();
    for (unsigned i = 0; i < 3; i++)
        seek(&seekers[i], "/a", i % 2);
    origin_next();
    fill_context_stop(&site.context[0]);
    for (unsigned i = 0; i < 3; i++) {
        expect_outcome(&seekers[i], FILL_FAILED);
        seeker_end(&seekers[i]);
    }
    site_close();
}
SEEDED(test_stop, THREADS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_one_fetch_for_many),
        SEEDED_TEST(test_other_keys_do_not_wait),
        SEEDED_TEST(test_leave_before_told),
        SEEDED_TEST(test_last_one_leaves),
        SEEDED_TEST(test_joined_while_it_is_given_up),
        SEEDED_TEST(test_leave_after_told),
        SEEDED_TEST(test_stored_without_a_reader),
        SEEDED_TEST(test_alone),
        SEEDED_TEST(test_full),
        SEEDED_TEST(test_background_once),
        SEEDED_TEST(test_purge_overtakes),
        SEEDED_TEST(test_purged_fill_ends_last),
        SEEDED_TEST(test_purge_of_a_tag_overtakes),
        SEEDED_TEST(test_purge_of_another_tag),
        SEEDED_TEST(test_purges_retire_during_the_body),
        SEEDED_TEST(test_purge_during_the_body),
        SEEDED_TEST(test_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
