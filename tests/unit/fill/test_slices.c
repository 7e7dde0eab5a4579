#include "slices_test.h"

#include "fill/filler.h"
#include "store/purge.h"

#define UNTIL(cond)                                                                                          \
    do {                                                                                                     \
        for (unsigned until_ = 0; until_ < 5000 && !(cond); until_++)                                        \
            run_ms(1);                                                                                       \
        assert_true(cond);                                                                                   \
    } while (0)

/* ---- how far a filler goes ------------------------------------------------------------------------------ */

static void test_decide(void **state)
{
    (void)state;
    struct filler_view view = {.first = 10, .next = 12, .limit = 110, .ahead = 4, .left_bytes = 98 * S, .all_bytes = 100 * S,
                               .slice_bytes = S, .is_strong = true};

    assert_int_equal(filler_decide(&view), FILLER_GO); /* nobody has come yet */
    view.next = 14;
    assert_int_equal(filler_decide(&view), FILLER_PAUSE);
    view.has_followers = view.had_followers = true;
    view.fastest = 10;
    view.wanted = 110;
    assert_int_equal(filler_decide(&view), FILLER_GO);
    view.next = 15;
    assert_int_equal(filler_decide(&view), FILLER_PAUSE);
    view.fastest = 50; /* an origin without ranges is far behind it */
    assert_int_equal(filler_decide(&view), FILLER_GO);
    view.wanted = 15; /* a range */
    assert_int_equal(filler_decide(&view), FILLER_STOP);
    view.is_strong = false; /* whole or not at all */
    assert_int_equal(filler_decide(&view), FILLER_GO);
    view.has_followers = false;
    assert_int_equal(filler_decide(&view), FILLER_STOP);
    view.left_bytes = 4 * S; /* what is ahead in any case */
    assert_int_equal(filler_decide(&view), FILLER_GO);
    view.is_strong = true;
    assert_int_equal(filler_decide(&view), FILLER_GO);
    view.all_bytes = 16 * S; /* more than an eighth */
    assert_int_equal(filler_decide(&view), FILLER_STOP);
    view.left_bytes = S;
    assert_int_equal(filler_decide(&view), FILLER_GO);
}

static void lose_slice(uint64_t number)
{
    struct store_object *head = head_of("/a");

    storage_drop_hash(site.storage, slice_key_of(head, number).hash);
    store_object_unref(head);
    assert_false(has_slice(number));
}

static void say_whole(struct wire *wire, const char *head)
{
    char answer[1000];

    snprintf(answer, sizeof(answer), "%sContent-Length: %zu\r\n\r\n%s", head, LENGTH, text);
    wire_say(wire, answer);
}

static void say_part(struct wire *wire, const char *tag, size_t from, size_t to)
{
    char answer[1000];

    snprintf(answer, sizeof(answer),
             "HTTP/1.1 206 Partial\r\nETag: %s\r\nContent-Range: bytes %zu-%zu/%zu\r\nContent-Length: %zu\r\n\r\n%.*s", tag, from,
             to - 1, LENGTH, to - from, (int)(to - from), text + from);
    wire_say(wire, answer);
}

static struct wire *store_film(const char *head)
{
    struct seeker seeker;
    struct reader reader;
    struct wire *wire;

    seek(&seeker, "/a", 0);
    wire = origin_next();
    say_whole(wire, head);
    expect_outcome(&seeker, FILL_OBJECT);
    reader_open(&reader, seeker.waiter.object, 1, 0, LENGTH);
    reader_pull(&reader);
    reader_expect(&reader, SOURCE_END, text);
    reader_close(&reader);
    return wire;
}

/* ---- what is stored, and read again ---------------------------------------------------------------------- */

static void test_store_and_hit(void)
{
    struct reader reader;

    slices_site_open();
    store_film(FRESH);
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(has_slice(i));
    for (unsigned thread = 0; thread < THREADS; thread++) {
        reader_open(&reader, head_of("/a"), thread, 17, 41);
        assert_true(slices_are_stored(reader.slices));
        reader_pull(&reader);
        reader_expect(&reader, SOURCE_END, "bbbccccccccccdddddddddde");
        assert_false(reader.seen.has_asked || reader.seen.has_followed);
        reader_close(&reader);
    }
    assert_int_equal(site.door->count, 1);
    assert_int_equal(site.context[0].count + site.context[1].count, 0);
    site_close();
}
SEEDED(test_store_and_hit, THREADS)

/* Only what is missing, up to where something is there again, under the tag. */
static void test_missing_slices(void)
{
    struct reader reader;
    struct wire *wire;

    slices_site_open();
    wire = store_film(FRESH);
    lose_slice(3);
    lose_slice(4);
    lose_slice(10);
    reader_open(&reader, head_of("/a"), 0, 5, LENGTH);
    assert_false(slices_are_stored(reader.slices));
    reader_pull(&reader);
    wire = origin_again(wire);
    assert_non_null(strstr(asked_head, "Range: bytes=30-49\r\n"));
    assert_non_null(strstr(asked_head, "If-Match: \"v1\"\r\n"));
    assert_non_null(strstr(asked_head, "X-Asked: again\r\n"));
    say_part(wire, "\"v1\"", 30, 50);
    wire = origin_again(wire);
    assert_non_null(strstr(asked_head, "Range: bytes=100-104\r\n"));
    say_part(wire, "\"v1\"", 100, 105);
    reader_expect(&reader, SOURCE_END, text + 5);
    assert_true(reader.seen.has_asked);
    assert_true(has_slice(3) && has_slice(4) && has_slice(10));
    reader_close(&reader);
    site_close();
}
SEEDED(test_missing_slices, THREADS)

/* No more than what is asked for; a reader of the rest asks for that, so far ahead at a time. */
static void test_no_more_than_wanted(void)
{
    struct reader reader;
    struct wire *wire;

    slices_site_open();
    wire = store_film(FRESH);
    for (unsigned i = 0; i < COUNT; i++)
        lose_slice(i);
    reader_open(&reader, head_of("/a"), 0, 12, 13);
    reader_pull(&reader);
    wire = origin_again(wire);
    assert_non_null(strstr(asked_head, "Range: bytes=10-19\r\n"));
    say_part(wire, "\"v1\"", 10, 20);
    reader_expect(&reader, SOURCE_END, "b");
    reader_close(&reader);
    reader_open(&reader, head_of("/a"), 1, 20, LENGTH);
    reader_pull(&reader);
    wire = origin_again(wire);
    assert_non_null(strstr(asked_head, "Range: bytes=20-59\r\n"));
    say_part(wire, "\"v1\"", 20, 60);
    wire = origin_again(wire);
    assert_non_null(strstr(asked_head, "Range: bytes=60-99\r\n"));
    say_part(wire, "\"v1\"", 60, 100);
    wire = origin_again(wire);
    say_part(wire, "\"v1\"", 100, 105);
    reader_expect(&reader, SOURCE_END, text + 20);
    reader_close(&reader);
    site_close();
}
SEEDED(test_no_more_than_wanted, THREADS)

static void test_one_request_for_two_threads(void)
{
    struct reader readers[4];
    struct wire *wire;

    slices_site_open();
    wire = store_film(FRESH);
    lose_slice(2);
    lose_slice(3);
    for (unsigned i = 0; i < 4; i++) {
        reader_open(&readers[i], head_of("/a"), i % THREADS, 20 + i, 40);
        reader_pull(&readers[i]);
    }
    wire = origin_again(wire);
    say_part(wire, "\"v1\"", 20, 40);
    for (unsigned i = 0; i < 4; i++) {
        char right[32];
        snprintf(right, sizeof(right), "%.*s", (int)(20 - i), text + 20 + i);
        reader_expect(&readers[i], SOURCE_END, right);
        assert_true(readers[i].seen.has_asked || readers[i].seen.has_followed);
        reader_close(&readers[i]);
    }
    wire_expect_silence(wire, 100);
    site_close();
}
SEEDED(test_one_request_for_two_threads, THREADS)

/* ---- it does not go as it should -------------------------------------------------------------------------- */

static void expect_changed(const char *answer)
{
    struct reader reader;
    struct wire *wire;

    slices_site_open();
    wire = store_film(FRESH);
    lose_slice(1);
    reader_open(&reader, head_of("/a"), 0, 0, LENGTH);
    reader_pull(&reader);
    wire = origin_again(wire);
    wire_say(wire, answer);
    reader_expect(&reader, SOURCE_FAILED, "aaaaaaaaaa");
    assert_int_equal(slices_loss(reader.slices), SLICES_LOST_CHANGED);
    assert_false(is_stored("/a"));
    reader_close(&reader);
    site_close();
}

static void test_changed_412(void)
{
    expect_changed("HTTP/1.1 412 Gone on\r\nContent-Length: 0\r\n\r\n");
}
SEEDED(test_changed_412, THREADS)

static void test_changed_tag(void)
{
    expect_changed("HTTP/1.1 206 P\r\nETag: \"v2\"\r\nContent-Range: bytes 10-19/105\r\nContent-Length: 10\r\n\r\nBBBBBBBBBB");
}
SEEDED(test_changed_tag, THREADS)

static void test_changed_length(void)
{
    expect_changed("HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 10-19/106\r\nContent-Length: 10\r\n\r\nBBBBBBBBBB");
}
SEEDED(test_changed_length, THREADS)

static void test_changed_whole(void)
{
    expect_changed("HTTP/1.1 200 OK\r\nETag: \"v2\"\r\nContent-Length: 5\r\n\r\nother");
}
SEEDED(test_changed_whole, THREADS)

/* An origin without ranges, which says no length either: it is the same version all the same. */
static void test_a_whole_in_place_of_a_part(void)
{
    struct reader reader;
    struct wire *wire;
    char answer[400];

    slices_site_open();
    wire = store_film(FRESH);
    lose_slice(5);
    lose_slice(6);
    reader_open(&reader, head_of("/a"), 1, 0, LENGTH);
    reader_pull(&reader);
    wire = origin_again(wire);
    snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n", LENGTH,
             text);
    wire_say(wire, answer);
    reader_expect(&reader, SOURCE_END, text);
    reader_close(&reader);
    assert_true(has_slice(5) && has_slice(6));
    site_close();
}
SEEDED(test_a_whole_in_place_of_a_part, THREADS)

/* A refusal concerns the request; after a few the reader gives up, and the object stays. */
static void test_refused(void)
{
    struct reader reader;
    struct wire *wire;

    slices_site_open();
    wire = store_film(FRESH);
    lose_slice(1);
    reader_open(&reader, head_of("/a"), 0, 0, LENGTH);
    reader_pull(&reader);
    for (unsigned i = 0; i < 4; i++) {
        wire = origin_again(wire);
        wire_say(wire, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    }
    reader_expect(&reader, SOURCE_FAILED, "aaaaaaaaaa");
    assert_int_equal(slices_loss(reader.slices), SLICES_LOST_BROKEN);
    assert_true(is_stored("/a"));
    reader_close(&reader);
    site_close();
}
SEEDED(test_refused, THREADS)

/* More bytes than the part has, where no length says so: its last slice is not kept. */
static void test_a_part_too_long(void)
{
    struct reader reader;
    struct wire *wire;

    slices_site_open();
    wire = store_film(FRESH);
    lose_slice(1);
    reader_open(&reader, head_of("/a"), 0, 10, 20);
    reader_pull(&reader);
    wire = origin_again(wire);
    wire_say(wire, "HTTP/1.1 206 P\r\nETag: \"v1\"\r\nContent-Range: bytes 10-19/105\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "b\r\nbbbbbbbbbbX\r\n0\r\n\r\n");
    run_ms(200);
    assert_false(has_slice(1));
    reader_close(&reader);
    site_close();
}
SEEDED(test_a_part_too_long, THREADS)

/* Without a strong tag what is missing cannot be asked for. */
static void test_whole_or_nothing(void)
{
    struct reader reader;

    slices_site_open();
    store_film("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: W/\"v1\"\r\n");
    lose_slice(5);
    reader_open(&reader, head_of("/a"), 0, 0, LENGTH);
    reader_pull(&reader);
    reader_expect(&reader, SOURCE_FAILED, "");
    assert_int_equal(slices_loss(reader.slices), SLICES_LOST_CHANGED);
    assert_false(is_stored("/a"));
    assert_int_equal(site.door->count, 1);
    reader_close(&reader);
    site_close();
}
SEEDED(test_whole_or_nothing, THREADS)

/* The origin breaks off: all that came whole stays, the rest is asked for. */
static void test_broken_off(void)
{
    struct seeker seeker;
    struct reader reader;
    struct wire *wire;

    slices_site_open();
    seek(&seeker, "/a", 0);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 105\r\n\r\naaaaaaaaaabbbbbbbbbbccc");
    expect_outcome(&seeker, FILL_OBJECT);
    reader_open(&reader, seeker.waiter.object, 1, 0, LENGTH);
    reader_pull(&reader);
    UNTIL(reader.taken.len == 23);
    wire_close(wire);
    for (size_t at = 20; at < LENGTH; at += AHEAD * S) {
        wire = origin_next();
        say_part(wire, "\"v1\"", at, MIN(at + AHEAD * S, LENGTH));
        wire_close(wire);
    }
    reader_expect(&reader, SOURCE_END, text);
    reader_close(&reader);
    site_close();
}
SEEDED(test_broken_off, THREADS)

/* ---- pace, leavers, purges -------------------------------------------------------------------------------- */

/* A reader that stands holds the fetch at AHEAD slices; when it leaves, that ends. */
static void test_pace_and_leaver(void)
{
    struct seeker seeker;
    struct reader reader;
    struct wire *wire;
    unsigned count;
    slice shown;

    slices_site_open();
    seek(&seeker, "/a", 0);
    wire = origin_next();
    say_whole(wire, FRESH);
    expect_outcome(&seeker, FILL_OBJECT);
    reader_open(&reader, seeker.waiter.object, 1, 0, LENGTH);
    source_set_reader(slices_source(reader.slices), NULL, NULL);
    (void)source_peek(slices_source(reader.slices), &shown, 1, &count);
    run_ms(3000);
    assert_true(has_slice(AHEAD));
    assert_false(has_slice(AHEAD + 1));
    source_close(slices_source(reader.slices));
    run_ms(10);
    wire_expect_end(wire);
    assert_int_equal(site.context[0].count + site.context[1].count, 0);
    assert_true(has_slice(AHEAD));
    site_close();
}
SEEDED(test_pace_and_leaver, THREADS)

/* What was fetched before a purge is for those who waited before, and for nobody else. */
static void test_purge_in_the_middle(void)
{
    struct seeker seeker;
    struct reader reader;
    struct wire *wire;
    struct store_stats stats;

    slices_site_open();
    seek(&seeker, "/a", 0);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 105\r\n\r\naaaaaaaaaabbbbbbbbbbccc");
    expect_outcome(&seeker, FILL_OBJECT);
    reader_open(&reader, seeker.waiter.object, 1, 0, LENGTH);
    reader_pull(&reader);
    UNTIL(reader.taken.len == 23);
    purge_host();
    assert_false(is_stored("/a"));
    wire_say(wire, text + 23);
    reader_expect(&reader, SOURCE_END, text);
    reader_close(&reader);
    for (unsigned i = 0; i < 200; i++)
        storage_turn(site.storage, os_wall_ms());
    storage_stats(site.storage, &stats);
    assert_int_equal(stats.slices, 0);
    assert_int_equal(stats.objects, 0);
    site_close();
}
SEEDED(test_purge_in_the_middle, THREADS)

/* A fetch that stands still for long does not keep purges from retiring. */
static void test_a_paused_fetch_lets_purges_retire(void)
{
    struct store_purge purge = {.tenant = TENANT, .kind = STORE_LABEL_HOST,
                                .label = store_label_of(TENANT, STORE_LABEL_HOST, SLICE("another"))};
    struct seeker seeker;
    struct reader reader;

    slices_site_open();
    seek(&seeker, "/a", 0);
    wire_say(origin_next(), FRESH "Content-Length: 105\r\n\r\naaaaaaaaaabbbbbbbbbbccc");
    expect_outcome(&seeker, FILL_OBJECT);
    reader_open(&reader, seeker.waiter.object, 1, 0, LENGTH);
    reader_pull(&reader);
    UNTIL(reader.taken.len == 23);
    assert_int_equal(storage_purge(site.storage, &purge), STORE_DONE);
    assert_true(purge_log_is_active(site.storage->purges, TENANT));
    run_ms(2500);
    for (unsigned i = 0; i < 200; i++)
        storage_turn(site.storage, os_wall_ms());
    assert_false(purge_log_is_active(site.storage->purges, TENANT));
    reader_close(&reader);
    site_close();
}
SEEDED(test_a_paused_fetch_lets_purges_retire, THREADS)

/* ---- a tier that answers later ------------------------------------------------------------------------------ */

static void test_late_lookups(void)
{
    struct storage *late = late_tier_new(site_tier(), false);
    struct reader reader;

    late_tier_delays(late, 0);
    slices_site_open_over(late);
    store_film(FRESH);
    late_tier_delays(late, LATE_LOOKUPS);
    struct store_lookup lookup = {.key = storage_key(late, key_of("/a")), .peek = true};
    assert_int_equal(storage_lookup(late_tier_inner(late), &lookup), STORE_DONE);
    reader_open(&reader, lookup.object, 0, 0, LENGTH);
    reader_pull(&reader);
    for (unsigned i = 0; i < COUNT; i++) {
        UNTIL(late_tier_pending(late) == 1); /* the next one while this one is read */
        assert_false(reader.taken.over);
        assert_int_equal(reader.taken.len, i == 0 ? 0 : (i - 1) * S + S);
        late_tier_release(late, 1);
    }
    reader_expect(&reader, SOURCE_END, text);
    assert_int_equal(site.door->count, 1);
    slices_seek(reader.slices, 0, 5);
    reader.taken.over = false;
    taken_pull(&reader.taken);
    assert_int_equal(late_tier_pending(late), 1);
    reader_close(&reader); /* the lookup is cancelled */
    assert_int_equal(late_tier_pending(late), 0);
    site_close();
}
SEEDED(test_late_lookups, THREADS)

/* Slices whose writing begins later. */
static void test_late_writes(void)
{
    struct storage *late = late_tier_new(site_tier(), false);
    struct reader reader;
    struct wire *wire;

    late_tier_delays(late, 0);
    slices_site_open_over(late);
    wire = store_film(FRESH);
    lose_slice(2);
    lose_slice(3);
    late_tier_delays(late, LATE_WRITES);
    reader_open(&reader, head_of("/a"), 0, 20, 40);
    reader_pull(&reader);
    wire = origin_again(wire);
    say_part(wire, "\"v1\"", 20, 40);
    while (!reader.taken.over) {
        run_ms(1);
        late_tier_release_on(late, sim_net.loops[0], 1);
    }
    reader_expect(&reader, SOURCE_END, "ccccccccccdddddddddd");
    late_tier_delays(late, 0);
    reader_close(&reader);
    site_close();
}
SEEDED(test_late_writes, THREADS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decide),
        SEEDED_TEST(test_store_and_hit),
        SEEDED_TEST(test_missing_slices),
        SEEDED_TEST(test_no_more_than_wanted),
        SEEDED_TEST(test_one_request_for_two_threads),
        SEEDED_TEST(test_changed_412),
        SEEDED_TEST(test_changed_tag),
        SEEDED_TEST(test_changed_length),
        SEEDED_TEST(test_changed_whole),
        SEEDED_TEST(test_a_whole_in_place_of_a_part),
        SEEDED_TEST(test_refused),
        SEEDED_TEST(test_a_part_too_long),
        SEEDED_TEST(test_whole_or_nothing),
        SEEDED_TEST(test_broken_off),
        SEEDED_TEST(test_pace_and_leaver),
        SEEDED_TEST(test_purge_in_the_middle),
        SEEDED_TEST(test_a_paused_fetch_lets_purges_retire),
        SEEDED_TEST(test_late_lookups),
        SEEDED_TEST(test_late_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
