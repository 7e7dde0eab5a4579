/* The near table: what a hit writes (counted by the instrumented store), and that nothing is handed out of it
 * that the shard would not hand out any more. */
#include "store/near.h"
#include "store/ram_own.h"
#include "store_test.h"
#include "tests/support/contention.h"

enum {
    TAG = 77
};

/* ---- the scene ----------------------------------------------------------------------------------------- */

static struct storage *storage;
static struct store_near *near;

static int scene_open(void **state)
{
    (void)state;
    storage = tier_new(16 * MIB);
    near = storage_near_new(storage);
    assert_non_null(near);
    store_near_enter(near);
    return 0;
}

static int scene_close(void **state)
{
    (void)state;
    near = store_near_free(near);
    assert_null(near_here);
    storage = storage_free(storage);
    return 0;
}

/* What another thread does. */
#define ELSEWHERE(...)          \
    do {                        \
        store_near_enter(NULL); \
        __VA_ARGS__;            \
        store_near_enter(near); \
    } while (0)

static void put(uint64_t object, int64_t length)
{
    assert_true(put_whole(
        storage, (struct put){.object = object, .length = length, .label = {TAG}, .has_label = true}));
}

/* Asked for until it is in the table. */
static void warm(uint64_t object)
{
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(find(storage, object, NULL), STORE_HIT);
}

static bool is_near(uint64_t object)
{
    char buffer[80];

    return near_find(near, storage_key(storage, key_text(buffer, sizeof(buffer), object)).hash) != NULL;
}

static void put_near(uint64_t object, int64_t length)
{
    put(object, length);
    warm(object);
    assert_true(is_near(object));
}

static void purge_tag(bool soft)
{
    ELSEWHERE(purge_label(storage, 0, STORE_LABEL_TAG, (struct store_label){TAG}, soft));
}

static uint32_t refs_of(const struct store_object *object)
{
    return atomic_load_explicit(&stored_of_const(object)->refs, memory_order_relaxed);
}

/* ---- what is written -------------------------------------------------------------------------------------
 */

static void hits(unsigned count, uint64_t object)
{
    for (unsigned i = 0; i < count; i++)
        (void)read_whole(storage, object);
}

static void assert_counted(uint64_t locks, uint64_t shared)
{
    if (contention.count[CONTENTION_locks] == locks && contention_shared_(&contention) == shared)
        return;
#define X(name, text) \
    print_message("%8llu %s\n", (unsigned long long)contention.count[CONTENTION_##name], text);
    CONTENTION_KINDS(X)
#undef X
    fail_msg("expected %llu locks, %llu locks and shared writes", (unsigned long long)locks,
             (unsigned long long)shared);
}

/* The gate: exact, on any machine. */
static void test_hot_hit_writes_nothing_shared(void **state)
{
    (void)state;
    put_near(1, 1000);
    warm(1); /* `use` reaches its end */
    contention = (struct contention){0};
    hits(10000, 1);
    assert_int_equal(contention.count[CONTENTION_own], 10000); /* the instrument is there */
    assert_counted(0, 0);

    /* a turn tells the hits, once */
    contention = (struct contention){0};
    store_near_turn(near);
    hits(100, 1);
    assert_counted(0, 1);
    assert_int_equal(contention.count[CONTENTION_hits], 1);

    /* a purge of something else: looked up in the log, without a write */
    ELSEWHERE(purge_label(storage, 0, STORE_LABEL_TAG, (struct store_label){TAG + 1}, false));
    contention = (struct contention){0};
    hits(100, 1);
    assert_counted(0, 0);
}

/* The same without a table, so that the gate is known to see something. */
static void test_without_a_table(void **state)
{
    (void)state;
    put_near(1, 1000);
    contention = (struct contention){0};
    ELSEWHERE(hits(100, 1));
    assert_int_equal(contention.count[CONTENTION_locks], 100);
    assert_int_equal(contention.count[CONTENTION_refs], 200);
    assert_int_equal(contention.count[CONTENTION_hits], 100);
}

/* Many answers under way at once take one batch, not one write each. */
static void test_batches(void **state)
{
    enum {
        UNDER_WAY = 4000
    };
    static struct store_object *objects[UNDER_WAY];

    (void)state;
    put_near(1, 10);
    contention = (struct contention){0};
    for (unsigned i = 0; i < UNDER_WAY; i++)
        assert_int_equal(find(storage, 1, &objects[i]), STORE_HIT);
    assert_int_equal(contention.count[CONTENTION_refs], UNDER_WAY / NEAR_BATCH);
    for (unsigned i = 0; i < UNDER_WAY; i++)
        store_object_unref(objects[i]);
    assert_true(contention.count[CONTENTION_refs] <= 2 * UNDER_WAY / NEAR_BATCH + 1);
    assert_true(near_find(near, stored_of(objects[0])->seen.hash)->credit < 2 * NEAR_BATCH);
}

/* One credit is the entry's own: it is what keeps the object where the entry points. */
static void test_last_credit_stays(void **state)
{
    enum {
        UNDER_WAY = 2 * NEAR_BATCH
    };
    static struct store_object *objects[UNDER_WAY];

    (void)state;
    put_near(1, 10);
    for (unsigned i = 0; i < UNDER_WAY; i++) {
        assert_int_equal(find(storage, 1, &objects[i]), STORE_HIT);
        assert_in_range(near_find(near, objects[i]->hash)->credit, 1, 2 * NEAR_BATCH);
    }
    ELSEWHERE(storage_drop(storage, objects[0]));
    for (unsigned i = 0; i < UNDER_WAY; i++)
        ELSEWHERE(store_object_unref(objects[i]));
    assert_true(tier_stats(storage).size_bytes > 0); /* still there for the entry */
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    assert_int_equal(tier_stats(storage).size_bytes, 0);
}

/* ---- what must not be found any more
 * ----------------------------------------------------------------------- */

static void test_purged(void **state)
{
    (void)state;
    put_near(1, 100);
    purge_tag(false);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    assert_false(is_near(1));

    put_near(2, 100);
    ELSEWHERE(purge_label(storage, 0, STORE_LABEL_TENANT, (struct store_label){0}, false));
    assert_int_equal(find(storage, 2, NULL), STORE_MISS);

    put_near(3, 100); /* younger than both */
    assert_int_equal(find(storage, 3, NULL), STORE_HIT);
}

/* The purge has retired before anybody asks again: only the flag tells. */
static void test_purged_and_retired(void **state)
{
    struct purge_log_stats stats;

    (void)state;
    put_near(1, 100);
    purge_tag(false);
    ELSEWHERE(sweep(storage));
    purge_log_stats(storage->purges, &stats);
    assert_int_equal(stats.labels, 0);
    assert_true(is_near(1));
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
}

static void test_softly_purged(void **state)
{
    (void)state;
    put_near(1, 100);
    purge_tag(true);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT_SOFT);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT_SOFT);
    ELSEWHERE(sweep(storage)); /* retired: the object remembers */
    assert_true(is_near(1));
    assert_int_equal(find(storage, 1, NULL), STORE_HIT_SOFT);
    purge_tag(false);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
}

static void test_replaced(void **state)
{
    struct store_object *old, *now;

    (void)state;
    put_near(1, 100);
    assert_int_equal(find(storage, 1, &old), STORE_HIT);
    ELSEWHERE(put(1, 200));
    assert_int_equal(find(storage, 1, &now), STORE_HIT);
    assert_ptr_not_equal(old, now);
    assert_int_equal(store_object_length(now), 200);
    store_object_unref(now);
    warm(1);
    assert_int_equal(find(storage, 1, &now), STORE_HIT);
    assert_int_equal(store_object_length(now), 200);
    store_object_unref(now);
    store_object_unref(old);
}

static void test_updated(void **state)
{
    struct store_update update = {.meta = SLICE("new meta")};
    struct store_object *now;

    (void)state;
    put_near(1, 100);
    assert_int_equal(find(storage, 1, &update.object), STORE_HIT);
    update.seq = storage_seq(storage);
    ELSEWHERE(storage_update_meta(storage, &update));
    assert_true(err_is_ok(update.result));
    assert_int_equal(find(storage, 1, &now), STORE_HIT);
    assert_ptr_equal(now, update.updated);
    store_object_unref(now);
    store_object_unref(update.object);
    store_object_unref(update.updated);
    warm(1);
    assert_int_equal(read_whole(storage, 1), 100); /* the body is still the first one's */
    ELSEWHERE(put(1, 300));                        /* and goes with it */
    assert_int_equal(read_whole(storage, 1), 300);
}

static void test_dropped(void **state)
{
    struct store_object *object;

    (void)state;
    put_near(1, 100);
    put_near(2, 100);
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    ELSEWHERE(storage_drop(storage, object));
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    store_object_unref(object);
    assert_int_equal(find(storage, 2, &object), STORE_HIT);
    ELSEWHERE(storage_drop_hash(storage, object->hash));
    assert_int_equal(find(storage, 2, NULL), STORE_MISS);
    store_object_unref(object);
}

/* Another key with the same hash goes by the shard, and never takes the object. */
static void test_full_key(void **state)
{
    char buffer[80];
    struct store_lookup lookup = {.key = storage_key(storage, key_text(buffer, sizeof(buffer), 1))};

    (void)state;
    put_near(1, 100);
    lookup.key.full = SLICE("1|http|example.com|/object/2");
    storage_lookup(storage, &lookup);
    assert_int_equal(lookup.found, STORE_MISS);
    assert_true(is_near(1));
}

static void test_note_expires(void **state)
{
    struct loop *loop = test_loop_new();
    char buffer[80];
    struct store_lookup lookup = {.op = {.loop = loop},
                                  .key = storage_key(storage, key_text(buffer, sizeof(buffer), 1))};

    (void)state;
    assert_true(put_whole(storage, (struct put){.object = 1, .kind = STORE_NOTE, .ttl_ms = 60000}));
    warm(1);
    assert_true(is_near(1));
    struct stored *stored = near_find(near, lookup.key.hash)->stored;
    stored->seen.expires_ms = os_wall_ms() + 100; /* rather than wait a minute */
    storage_lookup(storage, &lookup);
    assert_int_equal(lookup.found, STORE_HIT);
    store_object_unref(lookup.object);
    stored->seen.expires_ms = os_wall_ms() - 1;
    storage_lookup(storage, &lookup);
    assert_int_equal(lookup.found, STORE_MISS);
    loop_free(loop);
}

/* What a fill still writes is followed under the shard's rules, whoever found it how often. */
static void test_running_fill_is_not_kept(void **state)
{
    struct miss_handler *miss = put_begin(storage, (struct put){.object = 1, .length = 100}, NULL);

    (void)state;
    warm(1);
    assert_false(is_near(1));
    miss_handler_drop(miss);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
}

/* An update puts it into a queue before its body is whole. */
static void test_update_of_a_running_fill(void **state)
{
    struct miss_handler *miss = put_begin(storage, (struct put){.object = 1, .length = 100}, NULL);
    struct store_update update = {.meta = SLICE("new meta"), .seq = storage_seq(storage)};

    (void)state;
    assert_int_equal(find(storage, 1, &update.object), STORE_HIT);
    storage_update_meta(storage, &update);
    assert_true(err_is_ok(update.result));
    store_object_unref(update.object);
    store_object_unref(update.updated);
    warm(1);
    assert_false(is_near(1));
    miss_handler_drop(miss);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
}

/* ---- the order of the two looks (near.h, L1 before L2)
 * ------------------------------------------------------ */

static void (*between)(void);

uint64_t __real_purge_log_latest(const struct purge_log *log, uint16_t tenant);
uint64_t __wrap_purge_log_latest(const struct purge_log *log, uint16_t tenant);

/* Linked in its place: runs at the moment before the log is asked. */
uint64_t __wrap_purge_log_latest(const struct purge_log *log, uint16_t tenant)
{
    void (*run)(void) = between;

    between = NULL;
    if (run != NULL)
        ELSEWHERE(run());
    return __real_purge_log_latest(log, tenant);
}

static void retire(void)
{
    sweep(storage);
}

/* Purged before the lookup begins; swept and retired between its first step and its look at the log. If the
 * flag were read first, it would still say yes, and the log would not know any more. */
static void test_retired_while_looking(void **state)
{
    struct purge_log_stats stats;

    (void)state;
    put_near(1, 100);
    purge_tag(false);
    between = retire;
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    assert_null(between);
    purge_log_stats(storage->purges, &stats);
    assert_int_equal(stats.labels, 0);

    put_near(1, 100);
    purge_tag(true);
    between = retire;
    assert_int_equal(find(storage, 1, NULL), STORE_HIT_SOFT);
    assert_null(between);
}

/* ---- memory
 * -------------------------------------------------------------------------------------------------- */

static void test_memory_comes_back(void **state)
{
    struct store_object *object;

    (void)state;
    put_near(1, 10000);
    purge_tag(false);
    ELSEWHERE(sweep(storage));
    assert_int_equal(tier_stats(storage).objects, 0);
    assert_true(tier_stats(storage).size_bytes >= 10000); /* held, and counted */
    store_near_turn(near);
    assert_int_equal(tier_stats(storage).size_bytes, 0);

    /* with the last reference of this thread, before any turn */
    put_near(1, 10000);
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    purge_tag(false);
    ELSEWHERE(sweep(storage));
    store_object_unref(object);
    assert_int_equal(tier_stats(storage).size_bytes, 0);
}

/* Not asked for: the table lets go, and the eviction may have it. */
static void test_cools_down(void **state)
{
    struct store_object *object;
    unsigned turns = 0;

    (void)state;
    put_near(1, 100);
    hits(1000, 1);
    ELSEWHERE(find(storage, 1, &object));
    assert_true(refs_of(object) > NEAR_BATCH);
    while (is_near(1)) {
        store_near_turn(near);
        turns++;
    }
    assert_in_range(turns, 2, 6); /* of 100 ms */
    assert_int_equal(refs_of(object), 2);
    store_object_unref(object);
}

static void test_hits_are_told(void **state)
{
    struct store_object *object;

    (void)state;
    put(1, 100);
    hits(500, 1);
    assert_int_equal(tier_stats(storage).lookup_hits, 500); /* at once */
    store_near_turn(near);
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    assert_int_equal(atomic_load_explicit(&stored_of(object)->hits, memory_order_relaxed), 500);
    assert_int_equal(atomic_load_explicit(&stored_of(object)->use, memory_order_relaxed), 3);
    store_object_unref(object);

    char buffer[80];
    struct store_lookup peek = {.peek = true,
                                .key = storage_key(storage, key_text(buffer, sizeof(buffer), 1))};
    storage_lookup(storage, &peek);
    store_object_unref(peek.object);
    assert_int_equal(tier_stats(storage).lookup_hits, 501);
    near = store_near_free(near);
    assert_int_equal(tier_stats(storage).lookup_hits, 501); /* also of a table that has gone */
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    assert_int_equal(atomic_load_explicit(&stored_of(object)->hits, memory_order_relaxed), 502);
    store_object_unref(object);
}

/* A reference has no name: taken here, let go there, and the other way round. */
static void test_references_wander(void **state)
{
    struct store_near *other = storage_near_new(storage);
    struct store_object *mine[100], *theirs[100];

    (void)state;
    put_near(1, 100);
    store_near_enter(other);
    warm(1);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(find(storage, 1, &theirs[i]), STORE_HIT);
    store_near_enter(near);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(find(storage, 1, &mine[i]), STORE_HIT);
    for (unsigned i = 0; i < 100; i++)
        store_object_unref(theirs[i]);
    store_near_enter(other);
    for (unsigned i = 0; i < 50; i++)
        store_object_unref(mine[i]);
    store_near_enter(near);
    store_near_free(other);
    purge_tag(false);
    ELSEWHERE(sweep(storage));
    for (unsigned i = 50; i < 100; i++)
        store_object_unref(mine[i]);
    assert_int_equal(tier_stats(storage).size_bytes, 0);
}

/* All that is asked for is held by tables, and there is always room for more. */
static void test_room_is_made(void **state)
{
    uint64_t max = 2 * MIB;
    struct storage *small = tier_new(max);
    struct store_near *tables[2] = {storage_near_new(small), storage_near_new(small)};

    (void)state;
    assert_non_null(tables[0]);
    assert_non_null(tables[1]);
    for (uint64_t i = 0; i < 3000; i++) {
        assert_true(put_whole(small, (struct put){.object = i, .length = 4000}));
        for (unsigned t = 0; t < 2; t++) {
            store_near_enter(tables[t]);
            for (unsigned n = 0; n < 20; n++)
                (void)find(small, i - (i >= 50 ? n * 2 : 0), NULL);
            assert_true(tables[t]->units * STORED_UNIT_BYTES <= max / NEAR_SHARE / 2);
        }
        assert_true(tier_used(small) <= max);
    }
    assert_true(tables[0]->count > 5);
    assert_true(tier_stats(small).objects > 350); /* what the tables hold is a part of it, no more */
    store_near_enter(near);
    store_near_free(tables[0]);
    store_near_free(tables[1]);
    storage_free(small);
}

/* Everything that could be evicted is held: the thread empties its own table, the others follow with their
 * turn. */
static void test_memory_is_short(void **state)
{
    struct ram *ram = ram_of(storage);
    struct store_near *other = storage_near_new(storage);

    (void)state;
    put_near(1, 100);
    store_near_enter(other);
    warm(1);
    assert_int_equal(other->count, 1);
    store_near_enter(near);
    assert_true(ram_near_empty(ram));
    assert_int_equal(near->count, 0);
    assert_false(ram_near_empty(ram)); /* nothing more to be had */
    assert_int_equal(other->count, 1);
    store_near_turn(other);
    assert_int_equal(other->count, 0);
    store_near_free(other);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT);
}

/* One lookup of everything displaces nothing. */
static void test_scan(void **state)
{
    (void)state;
    put_near(1, 100);
    hits(100, 1);
    for (uint64_t i = 100; i < 5000; i++) {
        put(i, 10);
        assert_int_equal(find(storage, i, NULL), STORE_HIT);
    }
    assert_true(is_near(1));
    assert_int_equal(near->count, 1);
}

/* The warm one stays where many come by. */
static void test_crowd(void **state)
{
    (void)state;
    put_near(1, 100);
    for (uint64_t i = 100; i < 8000; i++) {
        put(i, 10);
        warm(i);
        if (i % 64 == 0)
            hits(8, 1);
    }
    assert_true(is_near(1));
    assert_true(near->count > NEAR_SETS);
}

/* Three that share a set of two. */
static void test_heat(void **state)
{
    char buffer[80];
    uint64_t object[3] = {1, 0, 0};
    hash128 first = storage_key(storage, key_text(buffer, sizeof(buffer), 1)).hash;

    (void)state;
    for (uint64_t i = 2, n = 1; n < 3; i++)
        if (near_set_of(near, storage_key(storage, key_text(buffer, sizeof(buffer), i)).hash) ==
            near_set_of(near, first))
            object[n++] = i;
    put_near(object[0], 100);
    put_near(object[1], 100);
    hits(20, object[0]);
    hits(20, object[1]);
    put(object[2], 100);
    hits(10, object[2]); /* cools one of them down a little */
    assert_true(is_near(object[0]) && is_near(object[1]));
    hits(20, object[2]);
    assert_true(is_near(object[2])); /* one of them was not asked for meanwhile */
    hits(10, object[2]);
    assert_int_equal(near->count, 2);
}

static void test_who_gets_none(void **state)
{
    struct storage *off = tier_new(0), *small = tier_new(MIB);
    struct store_near *tables[64];
    unsigned count = 0;

    (void)state;
    assert_null(storage_near_new(off));
    while (count < 64 && (tables[count] = storage_near_new(small)) != NULL)
        count++;
    assert_in_range(count, 1, 4); /* in a tier this small the tables would be what it is full of */
    assert_true(tier_stats(small).index_bytes >= count * sizeof(struct store_near));
    while (count > 0)
        store_near_free(tables[--count]);
    store_near_turn(NULL);
    assert_null(store_near_free(NULL));
    storage_free(off);
    storage_free(small);
}

/* A tier of one's own has nothing to do with the table of another. */
static void test_two_tiers(void **state)
{
    struct storage *other = tier_new(16 * MIB);

    (void)state;
    put_near(1, 100);
    assert_true(put_whole(other, (struct put){.object = 1, .length = 50}));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(read_whole(other, 1), 50);
    assert_int_equal(read_whole(storage, 1), 100);
    assert_int_equal(tier_stats(other).lookup_hits, 4);
    storage_free(other);
}

#define SCENE(name) cmocka_unit_test_setup_teardown(name, scene_open, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_hot_hit_writes_nothing_shared),
        SCENE(test_without_a_table),
        SCENE(test_batches),
        SCENE(test_last_credit_stays),
        SCENE(test_purged),
        SCENE(test_purged_and_retired),
        SCENE(test_softly_purged),
        SCENE(test_replaced),
        SCENE(test_updated),
        SCENE(test_dropped),
        SCENE(test_full_key),
        SCENE(test_note_expires),
        SCENE(test_running_fill_is_not_kept),
        SCENE(test_update_of_a_running_fill),
        SCENE(test_retired_while_looking),
        SCENE(test_memory_comes_back),
        SCENE(test_cools_down),
        SCENE(test_hits_are_told),
        SCENE(test_references_wander),
        SCENE(test_room_is_made),
        SCENE(test_memory_is_short),
        SCENE(test_scan),
        SCENE(test_crowd),
        SCENE(test_heat),
        SCENE(test_who_gets_none),
        SCENE(test_two_tiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
