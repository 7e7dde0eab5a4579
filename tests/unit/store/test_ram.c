/* The RAM tier: keys, purge, update, the cap, what an object costs. */
#include "store_test.h"

#include "store/ram.h"

#include <malloc.h>

static void test_hit_and_miss(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct store_object *object;

    (void)state;
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    assert_true(put_whole(storage, (struct put){.object = 1, .length = 500, .tenant = 9}));
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    assert_int_equal(object->tenant, 9);
    assert_int_equal(store_object_length(object), 500);
    assert_true(slice_eq(object->meta, SLICE("200 OK\r\ncontent-type: text/plain\r\n")));
    store_object_unref(object);
    assert_true(storage_tenant_bytes(storage, 9) >= 500);
    assert_int_equal(storage_tenant_bytes(storage, 8), 0);
    struct store_stats stats = tier_stats(storage);
    assert_int_equal(stats.lookup_hits, 1);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.inserts, 1);
    assert_int_equal(stats.objects, 1);
    assert_string_equal(storage_name(storage), "ram");
    storage_free(storage);
}

/* The same hash, another key: never handed out. */
static void test_full_key_is_compared(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    char buffer[80];
    struct store_lookup lookup = {.key = storage_key(storage, key_text(buffer, sizeof(buffer), 1))};

    (void)state;
    assert_true(put_whole(storage, (struct put){.object = 1, .length = 5}));
    lookup.key.full = SLICE("1|http|example.com|/object/2");
    storage_lookup(storage, &lookup);
    assert_int_equal(lookup.found, STORE_MISS);
    storage_free(storage);
}

static void test_replace(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct store_object *old, *now;
    struct hit_handler hit;
    uint64_t total = 0;

    (void)state;
    assert_true(put_whole(storage, (struct put){.object = 1, .length = 40000}));
    assert_int_equal(find(storage, 1, &old), STORE_HIT);
    struct miss_handler *miss = put_begin(storage, (struct put){.object = 1, .length = 20}, NULL);
    assert_int_equal(find(storage, 1, &now), STORE_HIT); /* the new one is followed from now on */
    assert_ptr_not_equal(old, now);
    store_object_unref(now);
    miss_handler_drop(miss); /* and when it fails, there is nothing */
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    hit_handler_open(&hit, old, NULL); /* who has the old one reads it to its end */
    assert_int_equal(hit_drain(&hit, 1, &total), SOURCE_END);
    assert_int_equal(total, 40000);
    source_close(&hit.source);
    storage_free(storage);
}

/* Puts a new object 1 in the place of the old one; the reference to that is let go of. */
static err put_in_place_of(struct storage *storage, struct store_object *old)
{
    err result = ERR_OK;
    struct miss_handler *miss = put_begin(storage, (struct put){.object = 1, .length = 20, .replaces = old}, &result);

    if (miss != NULL) {
        assert_int_equal(put_bytes(miss, 1, 20), 20);
        miss_handler_finish(miss);
    }
    store_object_unref(old);
    return result;
}

static struct store_object *put_and_find(struct storage *storage, int64_t length)
{
    struct store_object *object;

    assert_true(put_whole(storage, (struct put){.object = 1, .length = length}));
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    return object;
}

static void expect_length(struct storage *storage, int64_t length)
{
    struct store_object *object;

    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    assert_int_equal(store_object_length(object), length);
    store_object_unref(object);
}

/* Only that very object goes for the new one, or one that was evicted; what has come since, or was dropped, stays. */
static void test_replace_one(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct store_object *old;

    (void)state;
    old = put_and_find(storage, 40000);
    assert_true(err_is_ok(put_in_place_of(storage, old)));
    expect_length(storage, 20);

    old = put_and_find(storage, 40000);
    assert_true(put_whole(storage, (struct put){.object = 1, .length = 300}));
    assert_int_equal(put_in_place_of(storage, old).code, ERR_EXISTS);
    expect_length(storage, 300);

    old = put_and_find(storage, 40000);
    ram_let_go(storage, stored_of(old)); /* as an eviction does */
    assert_true(err_is_ok(put_in_place_of(storage, old)));
    expect_length(storage, 20);

    old = put_and_find(storage, 40000);
    storage_drop(storage, old);
    assert_int_equal(put_in_place_of(storage, old).code, ERR_EXISTS);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    storage_free(storage);
}

static void test_notes_and_vary(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct store_object *object;

    (void)state;
    assert_true(put_whole(storage, (struct put){.object = 1, .kind = STORE_VARY}));
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    assert_int_equal(object->kind, STORE_VARY);
    assert_null(object->body);
    assert_true(store_object_is_complete(object));
    assert_int_equal(store_object_length(object), 0);
    store_object_unref(object);
    assert_true(put_whole(storage, (struct put){.object = 2, .kind = STORE_NOTE, .ttl_ms = 60000}));
    assert_true(put_whole(storage, (struct put){.object = 3, .kind = STORE_NOTE, .ttl_ms = 1}));
    int64_t start = os_wall_ms();
    while (os_wall_ms() < start + 3)
        ;
    assert_int_equal(find(storage, 2, NULL), STORE_HIT);
    assert_int_equal(find(storage, 3, NULL), STORE_MISS);
    storage_free(storage);
}

/* ---- purge ------------------------------------------------------------------------------------------- */

static const struct store_label tag = {77};

static void test_purge_during_fill(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct put put = {.object = 1, .length = 30000, .label = tag, .has_label = true};
    uint64_t seq = storage_pin_seq(storage);
    err e;

    (void)state;
    put.seq = seq;
    /* between publication and finish */
    struct miss_handler *miss = put_begin(storage, put, NULL);
    assert_non_null(miss);
    purge_label(storage, 0, STORE_LABEL_TAG, tag, false);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    put_bytes(miss, 1, 30000);
    miss_handler_finish(miss);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    assert_true(storage_is_purged(storage, seq, 0, &tag, 1));
    /* before publication: refused, also after a sweep, because the fill is pinned */
    sweep(storage);
    assert_null(put_begin(storage, put, &e));
    assert_int_equal(e.code, ERR_REFUSED);
    put.private_copy = true; /* those who waited may have it */
    miss = put_begin(storage, put, &e);
    assert_non_null(miss);
    miss_handler_drop(miss);
    storage_unpin_seq(storage, seq);
    /* a fill that begins after it is not purged */
    put.private_copy = false;
    put.seq = storage_pin_seq(storage);
    assert_true(put_whole(storage, put));
    storage_unpin_seq(storage, put.seq);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT);
    sweep(storage);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT);
    storage_free(storage);
}

static void test_purge_kinds_and_counts(void **state)
{
    struct storage *storage = tier_new(64 * MIB);
    struct store_label even = store_label_of(4, STORE_LABEL_TAG, SLICE("even")),
                       odd = store_label_of(4, STORE_LABEL_TAG, SLICE("odd"));

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct put put = {
            .object = i, .length = 100, .tenant = 4, .label = i % 2 ? odd : even, .has_label = true};
        assert_true(put_whole(storage, put));
    }
    assert_true(put_whole(
        storage, (struct put){.object = 5000, .length = 100, .tenant = 5, .label = even, .has_label = true}));
    assert_true(put_whole(
        storage,
        (struct put){.object = 5001, .kind = STORE_VARY, .tenant = 4, .label = even, .has_label = true}));
    struct store_purge purge = purge_label(storage, 4, STORE_LABEL_TAG, odd, true);
    assert_int_equal(purge.matched, 500);
    assert_true(purge.matched_is_exact);
    assert_true(purge.durable);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT_SOFT);
    assert_int_equal(find(storage, 2, NULL), STORE_HIT);
    sweep(storage); /* the entry retires; the objects remember */
    assert_false(purge_log_is_active(storage->purges, 4));
    assert_int_equal(find(storage, 1, NULL), STORE_HIT_SOFT);
    purge = purge_label(storage, 4, STORE_LABEL_TAG, even, false);
    assert_int_equal(purge.matched, 500);
    assert_int_equal(find(storage, 2, NULL), STORE_MISS);
    assert_int_equal(find(storage, 5001, NULL), STORE_MISS);
    assert_int_equal(find(storage, 5000, NULL), STORE_HIT); /* another tenant's */
    purge = purge_label(storage, 4, STORE_LABEL_TAG, even, false);
    assert_int_equal(purge.matched, 0); /* purged before, though not swept */
    purge = (struct store_purge){.tenant = 5, .kind = STORE_LABEL_TAG, .label = odd, .uncounted = true};
    storage_purge(storage, &purge);
    assert_int_equal(purge.matched, 0);
    assert_false(purge.matched_is_exact);
    sweep(storage);
    assert_int_equal(tier_stats(storage).objects, 501);
    purge = purge_label(storage, 4, STORE_LABEL_TENANT, (struct store_label){0}, false);
    assert_int_equal(purge.matched, 500);
    assert_true(purge.matched_is_exact);
    sweep(storage);
    assert_int_equal(tier_stats(storage).objects, 1);
    assert_int_equal(storage_tenant_bytes(storage, 4), 0);
    assert_int_equal(tier_stats(storage).purge_attempts, 5);
    storage_free(storage);
}

/* Of many objects some are looked at: what a purge costs is bounded. Of everybody's everything all are counted. */
static void test_purge_counts_a_part(void **state)
{
    struct storage *storage = tier_new(64 * MIB);

    (void)state;
    for (unsigned i = 0; i < 30000; i++)
        assert_true(put_whole(storage, (struct put){.object = i, .length = 1, .tenant = (uint16_t)(1 + i % 2), .label = tag, .has_label = i % 4 < 2}));
    struct store_purge purge = purge_label(storage, 1, STORE_LABEL_TAG, tag, true);
    assert_false(purge.matched_is_exact);
    assert_in_range(purge.matched, 7500 * 9 / 10, 7500 * 11 / 10);
    sweep(storage);
    purge = (struct store_purge){.tenant = STORE_TENANT_ALL, .kind = STORE_LABEL_TENANT};
    storage_purge(storage, &purge);
    assert_int_equal(purge.matched, 30000);
    assert_true(purge.matched_is_exact);
    assert_int_equal(find(storage, 0, NULL), STORE_MISS);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    sweep(storage);
    assert_int_equal(tier_stats(storage).objects, 0);
    storage_free(storage);
}

static void test_purge_by_key_frees_at_once(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct store_label url = store_label_of(0, STORE_LABEL_URL, SLICE("http://example.com/object/1"));
    uint64_t base = tier_used(storage);
    char buffer[80];

    (void)state;
    assert_true(
        put_whole(storage, (struct put){.object = 1, .length = 100000, .label = url, .has_label = true}));
    struct store_purge purge = {.kind = STORE_LABEL_URL, .label = url};
    purge.key = storage_key(storage, key_text(buffer, sizeof(buffer), 1));
    storage_purge(storage, &purge);
    assert_int_equal(purge.matched, 1);
    assert_int_equal(tier_used(storage), base);
    storage_free(storage);
}

/* A fill with an old sequence is published while a sweep is under way, behind its back. */
static void test_publication_behind_a_sweep(void **state)
{
    struct storage *storage = tier_new(64 * MIB);

    (void)state;
    for (unsigned i = 0; i < 30000; i++)
        put_whole(storage, (struct put){.object = 1000 + i, .kind = STORE_VARY});
    for (unsigned turns = 0; turns < 20; turns++) {
        struct put put = {
            .object = turns, .length = 10, .label = tag, .has_label = true, .seq = storage_pin_seq(storage)};
        struct miss_handler *miss = put_begin(storage, put, NULL);
        purge_label(storage, 0, STORE_LABEL_TAG, tag, false);
        for (unsigned t = 0; t < turns; t++)
            storage_turn(storage, 0);
        put_bytes(miss, turns, 10);
        miss_handler_finish(miss);
        storage_unpin_seq(storage, put.seq);
        assert_int_equal(find(storage, turns, NULL), STORE_MISS);
        sweep(storage);
        assert_int_equal(find(storage, turns, NULL), STORE_MISS);
    }
    storage_free(storage);
}

/* ---- update ------------------------------------------------------------------------------------------ */

static struct store_update update_of(struct storage *storage, struct store_object *object)
{
    return (struct store_update){.object = object,
                                 .meta = SLICE("200 OK\r\nage: 0\r\n"),
                                 .labels = &tag,
                                 .label_count = 1,
                                 .seq = storage_seq(storage)};
}

static void test_update(void **state)
{
    static const int64_t lengths[] = {100, 500000, -100001};
    struct storage *storage = tier_new(16 * MIB);
    uint64_t base = tier_used(storage);

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct store_object *object, *again;
        assert_true(put_whole(
            storage, (struct put){.object = 1, .length = lengths[i], .label = tag, .has_label = true}));
        for (unsigned k = 0; k < 5; k++) { /* each shares the first one's body */
            purge_label(storage, 0, STORE_LABEL_TAG, tag, true);
            assert_int_equal(find(storage, 1, &object), STORE_HIT_SOFT);
            struct store_update update = update_of(storage, object);
            storage_update_meta(storage, &update);
            assert_true(err_is_ok(update.result));
            assert_int_equal(find(storage, 1, &again), STORE_HIT); /* fresh again */
            assert_ptr_equal(again, update.updated);
            assert_true(slice_eq(again->meta, update.meta));
            store_object_unref(again);
            store_object_unref(update.updated);
            update = update_of(storage, object); /* the old one is not in the index any more */
            storage_update_meta(storage, &update);
            assert_int_equal(update.result.code, ERR_NOT_FOUND);
            assert_non_null(update.updated);
            store_object_unref(update.updated);
            store_object_unref(object);
        }
        assert_int_equal(read_whole(storage, 1), lengths[i] < 0 ? -1 - lengths[i] : lengths[i]);
        assert_int_equal(find(storage, 1, &object), STORE_HIT);
        storage_drop(storage, object);
        store_object_unref(object);
        assert_int_equal(tier_used(storage), base);
    }
    storage_free(storage);
}

static void test_purge_between_lookup_and_update(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct store_object *object;
    uint64_t total = 0;
    struct hit_handler hit;

    (void)state;
    assert_true(
        put_whole(storage, (struct put){.object = 1, .length = 100, .label = tag, .has_label = true}));
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    struct store_update update = update_of(storage, object);
    purge_label(storage, 0, STORE_LABEL_TAG, tag, false);
    storage_update_meta(storage, &update);
    assert_int_equal(update.result.code, ERR_REFUSED);
    hit_handler_open(&hit, update.updated, NULL); /* for those who waited */
    assert_int_equal(hit_drain(&hit, 1, &total), SOURCE_END);
    source_close(&hit.source);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    /* a validation that began after the purge cannot save the old body either */
    struct store_update late = update_of(storage, object);
    storage_update_meta(storage, &late);
    assert_int_equal(late.result.code, ERR_REFUSED);
    store_object_unref(late.updated);
    sweep(storage);
    struct store_update later = update_of(storage, object);
    storage_update_meta(storage, &later);
    assert_int_not_equal(later.result.code, ERR_NONE);
    store_object_unref(later.updated);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    store_object_unref(object);
    storage_free(storage);
}

/* The fill whose body an updated object shares is cut midway. */
static void test_update_of_a_running_fill(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct miss_handler *miss = put_begin(storage, (struct put){.object = 1, .length = 100000}, NULL);
    struct store_object *object = miss_handler_object(miss);
    struct store_update update = update_of(storage, object);

    (void)state;
    storage_update_meta(storage, &update);
    assert_true(err_is_ok(update.result));
    assert_int_equal(find(storage, 1, NULL), STORE_HIT);
    miss_handler_drop(miss);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    store_object_unref(update.updated);
    store_object_unref(object);
    storage_free(storage);
}

/* ---- off, browse ------------------------------------------------------------------------------------- */

static void test_off(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(0);
    struct miss_handler *miss =
        put_begin(storage, (struct put){.object = 1, .length = 5000, .loop = loop}, NULL);
    struct hit_handler hit;
    uint64_t total = 0;

    (void)state;
    assert_non_null(miss);
    hit_handler_open(&hit, miss_handler_object(miss), loop);
    put_bytes(miss, 1, 5000);
    miss_handler_finish(miss);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    assert_int_equal(hit_drain(&hit, 1, &total), SOURCE_END);
    assert_int_equal(total, 5000);
    source_close(&hit.source);
    miss = put_begin(storage, (struct put){.object = 2, .length = 100 * MIB, .loop = loop}, NULL);
    assert_int_equal(put_bytes(miss, 2, 100 * MIB), MIB);
    assert_true(miss_handler_is_window(miss));
    miss_handler_drop(miss);
    assert_int_equal(tier_stats(storage).max_bytes, 0);
    storage_free(storage);
    loop_free(loop);
}

struct browsed {
    unsigned count;
    uint64_t last;
    uint64_t hits;
};

static void browse_visit(void *arg, const struct store_object *object, uint64_t hits)
{
    struct browsed *browsed = arg;

    assert_true(browsed->count == 0 || object->hash.hi > browsed->last);
    browsed->last = object->hash.hi;
    browsed->count++;
    browsed->hits += hits;
}

static void test_browse(void **state)
{
    struct storage *storage = tier_new(64 * MIB);
    uint64_t cursor = 0;

    (void)state;
    for (unsigned i = 0; i < 5000; i++)
        assert_true(put_whole(storage, (struct put){.object = i, .length = 10}));
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(find(storage, i, NULL), STORE_HIT);
    for (unsigned limit = 1; limit < 20000; limit *= 7) {
        struct browsed browsed = {0};
        unsigned calls = 0;
        do {
            unsigned before = browsed.count;
            cursor = storage_browse(storage, cursor, limit, browse_visit, &browsed);
            assert_true(browsed.count - before <= limit);
            calls++;
        } while (cursor != 0);
        assert_int_equal(browsed.count, 5000);
        assert_int_equal(browsed.hits, 10);
        assert_true(calls <= 5000 / limit + 2);
    }
    storage_free(storage);
}

/* ---- the cap ----------------------------------------------------------------------------------------- */

struct step_state {
    struct hit_handler hits[32];
    struct miss_handler *fills[16];
    uint64_t fill_objects[16];
    bool is_open[32];
};

static void random_step(struct storage *storage, struct loop *loop, struct step_state *s, unsigned *seed)
{
    unsigned what = (unsigned)rand_r(seed) % 100, slot = (unsigned)rand_r(seed) % 16,
             object = (unsigned)rand_r(seed) % 3000;
    int64_t length = rand_r(seed) % 20 == 0 ? rand_r(seed) % 3000000 : rand_r(seed) % 30000;

    if (what < 30 && s->fills[slot] == NULL) {
        struct put put = {.object = object,
                          .length = what < 10 ? -1 : length,
                          .loop = loop,
                          .label = {object % 50},
                          .has_label = true};
        s->fills[slot] = put_begin(storage, put, NULL);
        s->fill_objects[slot] = object;
    } else if (what < 60 && s->fills[slot] != NULL) {
        put_bytes(s->fills[slot], s->fill_objects[slot], (uint64_t)rand_r(seed) % 200000);
    } else if (what < 70 && s->fills[slot] != NULL) {
        if (what < 68)
            miss_handler_finish(s->fills[slot]);
        else
            miss_handler_drop(s->fills[slot]);
        s->fills[slot] = NULL;
    } else if (what < 85) {
        struct store_object *found;
        slot = (unsigned)rand_r(seed) % 32;
        if (s->is_open[slot])
            source_close(&s->hits[slot].source);
        s->is_open[slot] = false;
        enum store_found how = find(storage, object, &found);
        if (how == STORE_HIT || how == STORE_HIT_SOFT) {
            hit_handler_open(&s->hits[slot], found, loop);
            s->is_open[slot] = true;
        }
    } else if (what < 98) {
        assert_true(put_whole(storage, (struct put){.object = object,
                                                    .length = length % 20000,
                                                    .label = {object % 50},
                                                    .has_label = true}) ||
                    true);
    } else {
        purge_label(storage, 0, STORE_LABEL_TAG, (struct store_label){object % 50}, what == 98);
        storage_turn(storage, os_wall_ms());
    }
    (void)loop_turn(loop, loop_now_ns(loop));
}

static void test_cap_is_never_exceeded(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(8 * MIB);
    uint64_t base = tier_stats(storage).size_bytes;
    struct step_state *s = calloc(1, sizeof(*s));
    unsigned seed = 20260101;

    (void)state;
    for (unsigned step = 0; step < 40000; step++) {
        random_step(storage, loop, s, &seed);
        if (tier_used(storage) > 8 * MIB)
            fail_msg("seed 20260101, step %u: %llu bytes", step, (unsigned long long)tier_used(storage));
    }
    assert_true(tier_stats(storage).evictions > 100);
    for (unsigned i = 0; i < 16; i++)
        miss_handler_drop(s->fills[i]);
    for (unsigned i = 0; i < 32; i++)
        if (s->is_open[i])
            source_close(&s->hits[i].source);
    purge_label(storage, 0, STORE_LABEL_TENANT, (struct store_label){0}, false);
    for (unsigned i = 0; i < 10; i++)
        (void)loop_turn(loop, loop_now_ns(loop));
    sweep(storage);
    assert_int_equal(tier_stats(storage).objects, 0);
    assert_int_equal(tier_stats(storage).size_bytes, base);
    assert_int_equal(storage_tenant_bytes(storage, 0), 0);
    free(s);
    storage_free(storage);
    loop_free(loop);
}

/* ---- budgets ----------------------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#ifndef OWN_MALLOC
#define OWN_MALLOC 1
#endif

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* At most 200 bytes beside key, meta, body and labels, with the index entry, ghosts and malloc's own. */
static void test_memory_per_object(void **state)
{
    enum {
        OBJECTS = 100000
    };
    struct storage *storage;
    size_t payload = 0, before;
    char buffer[80];

    (void)state;
    if (!OWN_MALLOC) /* a sanitizer's malloc is another one: it cannot be counted or made to fail; release runs this */
        skip();
    storage = tier_new(1024ull * MIB);
    before = heap_bytes();
    for (unsigned i = 0; i < OBJECTS; i++) {
        int64_t length = 1000 + i % 64;
        struct put put = {.object = i, .length = length, .label = tag, .has_label = true};
        assert_true(put_whole(storage, put));
        payload += key_text(buffer, sizeof(buffer), i).len +
                   strlen("200 OK\r\ncontent-type: text/plain\r\n") + (size_t)length + sizeof(tag);
    }
    size_t each = (heap_bytes() - before - payload) / OBJECTS;
    print_message("%zu bytes per object beside its own\n", each);
    assert_true(each <= 200);
    assert_true(tier_used(storage) >= payload);
    storage_free(storage);
}

static _Atomic unsigned long mallocs, malloc_fails; /* counted down: the last one fails */
#if OWN_MALLOC
void *__libc_malloc(size_t size);
void *malloc(size_t size);
void *malloc(size_t size)
{
    mallocs++;
    if (malloc_fails > 0 && --malloc_fails == 0)
        return NULL;
    return __libc_malloc(size);
}
#endif

static hash128 object_hash(struct storage *storage, uint64_t object)
{
    char buffer[80];

    return storage_key(storage, key_text(buffer, sizeof(buffer), object)).hash;
}

static void test_no_malloc_on_the_hit_path(void **state)
{
    struct storage *storage = tier_new(64 * MIB);

    (void)state;
    assert_true(put_whole(storage, (struct put){.object = 1, .length = 1000}));
    assert_true(put_whole(storage, (struct put){.object = 2, .length = 3000000}));
    unsigned long before = mallocs;
    for (unsigned i = 0; i < 10; i++) {
        read_whole(storage, 1);
        read_whole(storage, 2);
    }
    assert_int_equal(mallocs, before);
    storage_free(storage);
}

/* Of one piece, of two, of chunks: each allocation fails in its turn. */
static void test_no_memory_for_an_object(void **state)
{
    static const int64_t lengths[] = {0, 1, 500, 1000, 1100, 1200, 1300, 1400, 16000, 20000, -1001};
    struct storage *storage;
    uint64_t base;

    (void)state;
    if (!OWN_MALLOC) /* a sanitizer's malloc is another one: it cannot be counted or made to fail; release runs this */
        skip();
    storage = tier_new(64 * MIB);
    base = tier_used(storage);
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        bool is_put = false;
        for (unsigned long fails = 1; !is_put; fails++) {
            assert_int_equal(tier_used(storage), base);
            malloc_fails = fails;
            is_put = put_whole(storage, (struct put){.object = i, .length = lengths[i]}) && malloc_fails > 0;
            malloc_fails = 0;
            if (!is_put)
                storage_drop_hash(storage, object_hash(storage, i));
            assert_true(fails < 20);
        }
        storage_drop_hash(storage, object_hash(storage, i));
    }
    assert_int_equal(tier_used(storage), base);
    storage_free(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hit_and_miss),
        cmocka_unit_test(test_full_key_is_compared),
        cmocka_unit_test(test_replace),
        cmocka_unit_test(test_replace_one),
        cmocka_unit_test(test_notes_and_vary),
        cmocka_unit_test(test_purge_during_fill),
        cmocka_unit_test(test_purge_kinds_and_counts),
        cmocka_unit_test(test_purge_counts_a_part),
        cmocka_unit_test(test_purge_by_key_frees_at_once),
        cmocka_unit_test(test_publication_behind_a_sweep),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_purge_between_lookup_and_update),
        cmocka_unit_test(test_update_of_a_running_fill),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_browse),
        cmocka_unit_test(test_cap_is_never_exceeded),
        cmocka_unit_test(test_memory_per_object),
        cmocka_unit_test(test_no_malloc_on_the_hit_path),
        cmocka_unit_test(test_no_memory_for_an_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
