#include "fill_test.h"

static bool has_note(const char *target, bool authorized)
{
    struct store_lookup lookup;
    bool found;
    slice key;

    assert_true(err_is_ok(fill_note_key(&site.arena, key_of(target), authorized, &key)));
    lookup = look(key);
    found = lookup.found == STORE_HIT && lookup.object->kind == STORE_NOTE;
    store_object_unref(lookup.object);
    return found;
}

/* ---- not shareable ------------------------------------------------------------------------------------------- */

static void test_handed_and_released(void)
{
    struct seeker seekers[4];
    struct wire *wire;
    struct taken taken;
    unsigned handed = 0;

    site_open();
    for (unsigned i = 0; i < 4; i++)
        seek(&seekers[i], "/me", i % 2);
    wire = origin_next();
    wire_say(wire, "HTTP/1.1 200 OK\r\nCache-Control: private\r\nSet-Cookie: a=b\r\nContent-Length: 6\r\n\r\nsec");
    for (unsigned i = 0; i < 4; i++) {
        RUN_UNTIL_TRUE(seekers[i].told);
        assert_int_equal(seekers[i].waiter.reason, NOT_STORED_PRIVATE);
        if (seekers[i].waiter.outcome == FILL_HANDED) {
            handed++;
            assert_int_equal(i, 0); /* the first of the fill's thread */
        } else {
            assert_int_equal(seekers[i].waiter.outcome, FILL_RELEASED);
            assert_null(seekers[i].waiter.handed);
        }
        assert_null(seekers[i].waiter.object);
    }
    assert_int_equal(handed, 1);
    assert_int_equal(seekers[0].waiter.handed->response.status, 200);
    assert_true(slice_eq(fields_get(&seekers[0].waiter.handed->response.fields, F_SET_COOKIE), SLICE("a=b")));
    wire_say(wire, "ret");
    take_begin(&taken, origin_fetch_body(seekers[0].waiter.handed->fetch));
    take_expect(&taken, SOURCE_END, "secret");
    take_done(&taken);
    seeker_end(&seekers[0]);
    assert_int_equal(origin_pool_idle(site.pool[0]), 1); /* read to its end: the connection is good */
    assert_false(is_stored("/me"));
    assert_true(has_note("/me", false));
    assert_false(has_note("/me", true));
    site_close();
}
SEEDED(test_handed_and_released, THREADS)

/* All have left, or only those of other threads are there: nobody takes the answer, the connection is closed. */
static void test_handed_without_a_taker(void)
{
    struct seeker mine, other;
    struct wire *wire;

    site_open();
    seek(&mine, "/me", 0);
    seek(&other, "/me", 1);
    wire = origin_next();
    fill_leave(&mine.waiter, seeker_gone);
    wire_say(wire, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 6\r\n\r\nsec");
    expect_outcome(&other, FILL_RELEASED);
    wire_expect_end(wire);
    seeker_end(&other);
    site_close();
}
SEEDED(test_handed_without_a_taker, THREADS)

/* Told, and then it leaves: what was handed over is given back. */
static void test_handed_to_one_who_left(void)
{
    struct seeker seeker;
    struct wire *wire;

    site_open();
    seek(&seeker, "/me", 0);
    wire = origin_next();
    wire_say(wire, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 6\r\n\r\nsec");
    while (seeker.waiter.handed == NULL) /* written before done() */
        sim_run(sim_net.threads, 1, os_clock_ns() + 1000, NULL, NULL);
    if (!seeker.told) {
        fill_leave(&seeker.waiter, seeker_gone);
        RUN_UNTIL_TRUE(seeker.gone);
    } else {
        seeker_end(&seeker);
    }
    wire_expect_end(wire);
    site_close();
}
SEEDED(test_handed_to_one_who_left, THREADS)

static void test_note_ends(void)
{
    struct seeker seeker;

    site_open();
    seek_with(&seeker, (struct seek){.target = "/me", .more = "Authorization: x\r\n"});
    wire_say(origin_next(), FRESH "Content-Length: 0\r\n\r\n"); /* no public, no s-maxage */
    expect_outcome(&seeker, FILL_HANDED);
    assert_int_equal(seeker.waiter.reason, NOT_STORED_AUTHORIZATION);
    seeker_end(&seeker);
    assert_true(has_note("/me", true));
    assert_false(has_note("/me", false)); /* others may still get something to share */
    run_ms(11000);
    for (unsigned i = 0; i < 100; i++)
        storage_turn(site.storage, os_wall_ms());
    assert_false(has_note("/me", true));
    site_close();
}
SEEDED(test_note_ends, THREADS)

/* ---- 304 --------------------------------------------------------------------------------------------------------- */

static void test_304_merges(void)
{
    struct store_lookup before, after;
    struct seeker seeker;
    struct wire *wire;

    site_open();
    wire = store_one("/a", FRESH "X-Old: 1\r\n", "body");
    before = look(key_of("/a"));
    run_ms(61000);
    seek_with(&seeker, (struct seek){.target = "/a", .stale = before.object});
    wire = origin_again(wire);
    assert_non_null(strstr(asked_head, "If-None-Match: \"v1\"\r\n"));
    wire_say(wire, "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=120\r\nX-New: 2\r\n\r\n");
    expect_outcome(&seeker, FILL_VALIDATED);
    assert_int_equal(seeker.waiter.status, 304);
    expect_read(seeker.waiter.object, 0, SOURCE_END, "body");
    after = look(key_of("/a"));
    assert_ptr_equal(after.object, seeker.waiter.object);
    assert_ptr_not_equal(after.object, before.object);
    struct fields view;
    const struct stored *stored;
    assert_true(err_is_ok(stored_view(after.object->meta, &view, &stored)));
    assert_int_equal(stored->lifetime_s, 120);
    assert_int_equal(stored->status, 200);
    assert_true(fields_find_named(&view, SLICE("X-New")) >= 0);
    seeker_end(&seeker);
    store_object_unref(before.object);
    store_object_unref(after.object);
    site_close();
}
SEEDED(test_304_merges, THREADS)

/* A 304 that names what is not stored says nothing about ours: once more, without conditions. */
static void test_304_of_something_else(void)
{
    struct store_lookup stale;
    struct seeker seeker;
    struct wire *wire;

    site_open();
    store_one("/a", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n", "body");
    stale = look(key_of("/a"));
    run_ms(61000);
    seek_with(&seeker, (struct seek){.target = "/a", .stale = stale.object});
    wire = origin_next();
    assert_non_null(strstr(asked_head, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    wire_say(wire, "HTTP/1.1 304 Not Modified\r\nETag: \"other\"\r\n\r\n");
    wire = origin_again(wire);
    assert_null(strstr(asked_head, "If-"));
    wire_say(wire, FRESH "Content-Length: 3\r\n\r\nnew");
    expect_outcome(&seeker, FILL_OBJECT);
    expect_read(seeker.waiter.object, 0, SOURCE_END, "new");
    seeker_end(&seeker);
    store_object_unref(stale.object);
    site_close();
}
SEEDED(test_304_of_something_else, THREADS)

/* Another tag in the answer to our one If-None-Match (servers that compress late): merged, our tag stays. */
static void test_304_of_another_tag(void)
{
    struct store_lookup stale;
    const struct stored *stored;
    struct seeker seeker;
    struct fields view;

    site_open();
    store_one("/a", FRESH, "body");
    stale = look(key_of("/a"));
    run_ms(61000);
    seek_with(&seeker, (struct seek){.target = "/a", .stale = stale.object});
    wire_say(origin_next(), "HTTP/1.1 304 Not Modified\r\nETag: \"v1-gzip\"\r\n\r\n");
    expect_outcome(&seeker, FILL_VALIDATED);
    assert_true(err_is_ok(stored_view(seeker.waiter.object->meta, &view, &stored)));
    assert_true(slice_eq(stored_etag(&view, stored), SLICE("\"v1\"")));
    seeker_end(&seeker);
    store_object_unref(stale.object);
    site_close();
}
SEEDED(test_304_of_another_tag, THREADS)

/* A validation that began before a purge must not bring the object back. */
static void test_304_after_a_purge(void)
{
    struct store_lookup stale;
    struct seeker seeker;
    struct wire *wire;

    site_open();
    store_one("/a", FRESH, "body");
    stale = look(key_of("/a"));
    run_ms(61000);
    seek_with(&seeker, (struct seek){.target = "/a", .stale = stale.object});
    wire = origin_next();
    purge_host();
    wire_say(wire, "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
    expect_outcome(&seeker, FILL_VALIDATED); /* for the one who waited already */
    expect_read(seeker.waiter.object, 0, SOURCE_END, "body");
    assert_false(is_stored("/a"));
    seeker_end(&seeker);
    store_object_unref(stale.object);
    site_close();
}
SEEDED(test_304_after_a_purge, THREADS)

/* A 304 that makes the answer private is for whose request it answers. */
static void test_304_turns_private(void)
{
    struct store_lookup stale;
    struct seeker leader, other;

    site_open();
    store_one("/a", FRESH, "body");
    stale = look(key_of("/a"));
    run_ms(61000);
    seek_with(&leader, (struct seek){.target = "/a", .stale = stale.object});
    seek_with(&other, (struct seek){.target = "/a", .stale = stale.object, .thread = 1});
    assert_int_equal(other.joined, FILL_JOINED_RUNNING);
    wire_say(origin_next(),
             "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: private, max-age=60\r\nX-User: first\r\n\r\n");
    expect_outcome(&leader, FILL_VALIDATED);
    expect_read(leader.waiter.object, 0, SOURCE_END, "body");
    expect_outcome(&other, FILL_RELEASED);
    assert_int_equal(other.waiter.reason, NOT_STORED_PRIVATE);
    assert_null(other.waiter.object);
    assert_false(is_stored("/a"));
    assert_true(has_note("/a", false));
    seeker_end(&leader);
    store_object_unref(stale.object);
    site_close();
}
SEEDED(test_304_turns_private, THREADS)

static void test_changed(void)
{
    struct store_lookup stale, after;
    struct seeker seeker;

    site_open();
    store_one("/a", FRESH, "body");
    stale = look(key_of("/a"));
    run_ms(61000);
    seek_with(&seeker, (struct seek){.target = "/a", .stale = stale.object});
    wire_say(origin_next(), "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"v2\"\r\nContent-Length: 2\r\n\r\nv2");
    expect_outcome(&seeker, FILL_OBJECT);
    expect_read(seeker.waiter.object, 0, SOURCE_END, "v2");
    expect_read(stale.object, 0, SOURCE_END, "body"); /* whoever still reads the old one */
    after = look(key_of("/a"));
    assert_ptr_equal(after.object, seeker.waiter.object);
    store_object_unref(after.object);
    store_object_unref(stale.object);
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_changed, THREADS)

/* ---- stale ---------------------------------------------------------------------------------------------------------- */

static void expect_stale_for(const char *head, enum fill_outcome outcome, const char *says)
{
    struct store_lookup stale;
    struct seeker seeker;
    struct wire *wire;

    site_open();
    store_one("/a", head, "body");
    stale = look(key_of("/a"));
    run_ms(61000);
    seek_with(&seeker, (struct seek){.target = "/a", .stale = stale.object});
    wire = origin_next();
    wire_say(wire, says);
    if (says[0] == '\0')
        wire_finish(wire);
    expect_outcome(&seeker, outcome);
    if (outcome == FILL_STALE)
        assert_ptr_equal(seeker.waiter.object, stale.object);
    seeker_end(&seeker);
    store_object_unref(stale.object);
    site_close();
}

static void test_stale_on_failure(void)
{
    static const char down[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

    expect_stale_for(FRESH, FILL_STALE, down);
    expect_stale_for(FRESH, FILL_STALE, "");
    expect_stale_for(FRESH, FILL_HANDED, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"); /* an answer */
    expect_stale_for("HTTP/1.1 200 OK\r\nCache-Control: max-age=60, must-revalidate\r\nETag: \"v1\"\r\n", FILL_HANDED, down);
    expect_stale_for("HTTP/1.1 200 OK\r\nCache-Control: max-age=60, must-revalidate\r\nETag: \"v1\"\r\n", FILL_FAILED, "");
    expect_stale_for("HTTP/1.1 200 OK\r\nCache-Control: max-age=60, stale-if-error=0\r\nETag: \"v1\"\r\n", FILL_FAILED, "");
}
SEEDED(test_stale_on_failure, THREADS)

/* A purge while it is validated: an origin that fails does not bring it back. */
static void expect_no_stale_for(const char *says, enum fill_outcome outcome)
{
    struct store_lookup stale;
    struct seeker seeker;
    struct wire *wire;

    site_open();
    store_one("/a", FRESH, "body");
    stale = look(key_of("/a"));
    run_ms(61000);
    seek_with(&seeker, (struct seek){.target = "/a", .stale = stale.object});
    wire = origin_next();
    purge_host();
    wire_say(wire, says);
    if (says[0] == '\0')
        wire_finish(wire);
    expect_outcome(&seeker, outcome);
    assert_null(seeker.waiter.object);
    seeker_end(&seeker);
    store_object_unref(stale.object);
    site_close();
}

static void test_purged_is_not_served_stale(void)
{
    expect_no_stale_for("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", FILL_HANDED);
    expect_no_stale_for("", FILL_FAILED);
}
SEEDED(test_purged_is_not_served_stale, THREADS)

/* ---- variants -------------------------------------------------------------------------------------------------------- */

#define SPY_MAX 256u
static struct {
    uint8_t kinds[SPY_MAX];
    unsigned count;
    const struct storage_ops *real;
} spy;

static enum store_status spy_get_miss_handler(struct storage *storage, struct store_fill *fill)
{
    assert_true(spy.count < SPY_MAX);
    spy.kinds[spy.count++] = fill->kind;
    return spy.real->get_miss_handler(storage, fill);
}

static void spy_on(struct storage *storage)
{
    static struct storage_ops ops;

    spy.real = storage->ops;
    spy.count = 0;
    ops = *storage->ops;
    ops.get_miss_handler = spy_get_miss_handler;
    storage->ops = &ops;
}

static slice variant_of(const char *target, const char *field)
{
    struct request request;
    slice values, key;

    request_of(target, field, &request);
    assert_true(err_is_ok(vary_values(&site.arena, SLICE("x-kind"), &request.fields, &values)));
    assert_true(err_is_ok(key_build_variant(&site.arena, key_of(target), SLICE("x-kind"), values, &key)));
    return key;
}

static void fill_variant(struct wire **wire, const char *field, const char *body, slice slot_key)
{
    struct seeker seeker;
    char text[300];

    seek_with(&seeker, (struct seek){.target = "/v", .more = field, .slot_key = slot_key});
    if (*wire == NULL)
        *wire = origin_next();
    else
        *wire = origin_again(*wire);
    snprintf(text, sizeof(text), FRESH "Vary: X-Kind\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    wire_say(*wire, text);
    expect_outcome(&seeker, FILL_OBJECT);
    expect_read(seeker.waiter.object, 0, SOURCE_END, body);
    seeker_end(&seeker);
}

static void test_marker_before_variant(void)
{
    struct store_lookup marker, variant;
    struct vary_marker view;
    struct wire *wire = NULL;

    site_open();
    spy_on(site.storage);
    fill_variant(&wire, "X-Kind: a\r\n", "A", SLICE_NONE);
    assert_int_equal(spy.count, 2);
    assert_int_equal(spy.kinds[0], STORE_VARY);
    assert_int_equal(spy.kinds[1], STORE_ANSWER);
    marker = look(key_of("/v"));
    assert_int_equal(marker.found, STORE_HIT);
    assert_int_equal(marker.object->kind, STORE_VARY);
    assert_true(err_is_ok(vary_marker_view(marker.object->meta, &view)));
    assert_int_equal(view.spec_count, 1);
    assert_int_equal(view.variant_count, 1);
    store_object_unref(marker.object);
    variant = look(variant_of("/v", "X-Kind: a\r\n"));
    assert_int_equal(variant.found, STORE_HIT);
    expect_read(variant.object, 0, SOURCE_END, "A");
    store_object_unref(variant.object);
    assert_int_equal(look(variant_of("/v", "X-Kind: b\r\n")).found, STORE_MISS);

    /* the same variant again: the marker has it, and is not written again */
    struct store_purge purge = {.tenant = TENANT, .kind = STORE_LABEL_TAG, .label = store_label_of(TENANT, STORE_LABEL_TAG, SLICE("none"))};
    assert_int_equal(storage_purge(site.storage, &purge), STORE_DONE);
    struct store_lookup dropped = look(variant_of("/v", "X-Kind: a\r\n"));
    storage_drop(site.storage, dropped.object);
    store_object_unref(dropped.object);
    fill_variant(&wire, "X-Kind: a\r\n", "A", variant_of("/v", "X-Kind: a\r\n"));
    assert_int_equal(spy.count, 3);
    assert_int_equal(spy.kinds[2], STORE_ANSWER);
    site_close();
}
SEEDED(test_marker_before_variant, THREADS)

/* One variant too many drops the oldest; the marker stays bounded. */
static void test_variant_cap(void)
{
    struct store_lookup marker, lookup;
    struct vary_marker view;
    struct wire *wire = NULL;
    char field[40];

    if (sim_net.seed > 3)
        return; /* long, and the seed changes little */
    site_open();
    for (unsigned i = 0; i <= VARY_VARIANTS_MAX; i++) {
        snprintf(field, sizeof(field), "X-Kind: %u\r\n", i);
        fill_variant(&wire, field, "A", variant_of("/v", field));
    }
    marker = look(key_of("/v"));
    assert_true(err_is_ok(vary_marker_view(marker.object->meta, &view)));
    assert_int_equal(view.variant_count, VARY_VARIANTS_MAX);
    store_object_unref(marker.object);
    assert_int_equal(look(variant_of("/v", "X-Kind: 0\r\n")).found, STORE_MISS);
    lookup = look(variant_of("/v", "X-Kind: 1\r\n"));
    assert_int_equal(lookup.found, STORE_HIT);
    store_object_unref(lookup.object);
    site_close();
}
SEEDED(test_variant_cap, THREADS)

static void test_vary_star(void)
{
    struct seeker seeker;

    site_open();
    seek(&seeker, "/v", 0);
    wire_say(origin_next(), FRESH "Vary: *\r\nContent-Length: 0\r\n\r\n");
    expect_outcome(&seeker, FILL_HANDED);
    assert_int_equal(seeker.waiter.reason, NOT_STORED_VARY_STAR);
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_vary_star, THREADS)

static void test_too_many_tags(void)
{
    struct seeker seeker;
    struct wire *wire;

    site_open();
    seek(&seeker, "/t", 0);
    wire = origin_next();
    wire_say(wire, FRESH "Content-Length: 0\r\nSurrogate-Key:");
    for (unsigned i = 0; i < 300; i++) {
        char tag[16];
        snprintf(tag, sizeof(tag), " t%u", i);
        wire_say(wire, tag);
    }
    wire_say(wire, "\r\n\r\n");
    expect_outcome(&seeker, FILL_HANDED);
    assert_int_equal(seeker.waiter.reason, NOT_STORED_TOO_MANY_TAGS);
    seeker_end(&seeker);
    site_close();
}
SEEDED(test_too_many_tags, THREADS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_handed_and_released),
        SEEDED_TEST(test_handed_without_a_taker),
        SEEDED_TEST(test_handed_to_one_who_left),
        SEEDED_TEST(test_note_ends),
        SEEDED_TEST(test_304_merges),
        SEEDED_TEST(test_304_of_something_else),
        SEEDED_TEST(test_304_of_another_tag),
        SEEDED_TEST(test_304_after_a_purge),
        SEEDED_TEST(test_304_turns_private),
        SEEDED_TEST(test_changed),
        SEEDED_TEST(test_stale_on_failure),
        SEEDED_TEST(test_purged_is_not_served_stale),
        SEEDED_TEST(test_marker_before_variant),
        SEEDED_TEST(test_variant_cap),
        SEEDED_TEST(test_vary_star),
        SEEDED_TEST(test_too_many_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
