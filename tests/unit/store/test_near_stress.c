/* What was answered is true for everybody who asks afterwards, whatever their near tables remember.
 *
 * Each key is filled by one thread with rising versions. Purges, replacements, updates and drops note what
 * they promise, after they were answered: from now on no object of an older sequence, of an older version,
 * hard or soft. Every lookup reads the promises before it begins, and checks what it found against them.
 * Meant for the thread sanitizer as well.
 *
 * It fails when one of the two looks of near.h is left out. Their order is test_near.c's matter: the wrong
 * one is seen here only with a yield between them. */
#include "store_test.h"

#include <sched.h>

enum {
    THREADS = 4,
    KEYS = 24,
    TAGS = 6,
    STEPS = 300000
};

struct meta {
    uint64_t version;
};

static struct {
    struct storage *storage;
    _Atomic uint64_t hard[TAGS], soft[TAGS]; /* sequence of the last one answered */
    _Atomic uint64_t version[KEYS];          /* nothing older than this */
    _Atomic unsigned running;
    _Atomic uint64_t found, missed, softs;
} scene;

struct actor {
    struct os_thread *thread;
    unsigned index, seed;
    uint64_t next_version;
    struct store_object *held[8];
};

static struct store_key key_of(char *buffer, size_t size, unsigned key)
{
    return storage_key(scene.storage, key_text(buffer, size, key));
}

static void raise_to(_Atomic uint64_t *promise, uint64_t value)
{
    uint64_t now = atomic_load(promise);

    while (now < value && !atomic_compare_exchange_weak(promise, &now, value))
        ;
}

/* Only the thread that fills a key calls this for it, so versions rise. */
static void replace(struct actor *a, unsigned key)
{
    char buffer[80];
    struct meta meta = {.version = ++a->next_version};
    struct store_label label = {key % TAGS + 1};
    uint64_t seq = storage_pin_seq(scene.storage);
    struct store_fill fill = {.key = key_of(buffer, sizeof(buffer), key),
                              .seq = seq,
                              .meta = slice_of((const char *)&meta, sizeof(meta)),
                              .labels = &label,
                              .label_count = 1,
                              .length_bytes = 64};

    (void)storage_get_miss_handler(scene.storage, &fill);
    storage_unpin_seq(scene.storage, seq);
    if (fill.miss_handler == NULL)
        return; /* purged meanwhile: what was there stays as it was */
    (void)put_bytes(fill.miss_handler, key, 64);
    miss_handler_finish(fill.miss_handler);
    raise_to(&scene.version[key], meta.version);
}

static void update(struct actor *a, unsigned key)
{
    char buffer[80];
    struct store_lookup lookup = {.key = key_of(buffer, sizeof(buffer), key)};
    struct meta meta = {.version = ++a->next_version};
    struct store_label label = {key % TAGS + 1};
    uint64_t seq = storage_pin_seq(scene.storage);
    struct store_update update = {
        .meta = slice_of((const char *)&meta, sizeof(meta)), .labels = &label, .label_count = 1, .seq = seq};

    (void)storage_lookup(scene.storage, &lookup);
    if (lookup.object != NULL) {
        update.object = lookup.object;
        (void)storage_update_meta(scene.storage, &update);
        if (err_is_ok(update.result))
            raise_to(&scene.version[key], meta.version);
        store_object_unref(update.updated);
        store_object_unref(lookup.object);
    }
    storage_unpin_seq(scene.storage, seq);
}

static void purge(struct actor *a)
{
    unsigned tag = (unsigned)rand_r(&a->seed) % TAGS;
    bool soft = rand_r(&a->seed) % 3 == 0;
    struct store_purge purge =
        purge_label(scene.storage, 0, STORE_LABEL_TAG, (struct store_label){tag + 1}, soft);

    raise_to(soft ? &scene.soft[tag] : &scene.hard[tag], purge.seq);
}

/* The object that the version promise speaks of is never to be seen again after its drop. */
static void drop(unsigned key)
{
    char buffer[80];
    struct store_lookup lookup = {.key = key_of(buffer, sizeof(buffer), key)};

    (void)storage_lookup(scene.storage, &lookup);
    if (lookup.object == NULL)
        return;
    uint64_t version = ((const struct meta *)(const void *)lookup.object->meta.data)->version;
    storage_drop(scene.storage, lookup.object);
    raise_to(&scene.version[key], version + 1);
    store_object_unref(lookup.object);
}

static void look(struct actor *a, unsigned key)
{
    char buffer[80];
    struct store_lookup lookup = {.key = key_of(buffer, sizeof(buffer), key)};
    unsigned tag = key % TAGS, slot = (unsigned)rand_r(&a->seed) % ARRAY_LEN(a->held);
    uint64_t version = atomic_load(&scene.version[key]), hard = atomic_load(&scene.hard[tag]),
             soft = atomic_load(&scene.soft[tag]);

    (void)storage_lookup(scene.storage, &lookup);
    if (lookup.object == NULL) {
        atomic_fetch_add_explicit(&scene.missed, 1, memory_order_relaxed);
        return;
    }
    INVARIANT(((const struct meta *)(const void *)lookup.object->meta.data)->version >= version);
    INVARIANT(lookup.object->seq >= hard);
    INVARIANT(lookup.object->seq >= soft || lookup.found == STORE_HIT_SOFT);
    atomic_fetch_add_explicit(lookup.found == STORE_HIT_SOFT ? &scene.softs : &scene.found, 1,
                              memory_order_relaxed);
    store_object_unref(a->held[slot]); /* answers under way */
    a->held[slot] = lookup.object;
}

static void act(void *arg)
{
    struct actor *a = arg;
    struct store_near *near = storage_near_new(scene.storage);

    INVARIANT(near != NULL);
    store_near_enter(near);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned random = (unsigned)rand_r(&a->seed), key = random / 1600 % KEYS;
        if (random % 16 == 0)
            replace(a, key - key % THREADS + a->index);
        else if (random % 16 == 1)
            update(a, key - key % THREADS + a->index);
        else if (random % 1600 == 3)
            purge(a);
        else if (random % 1600 == 2)
            drop(key - key % THREADS + a->index);
        else
            look(a, key);
        if (step % 500 == 0)
            store_near_turn(near);
    }
    for (unsigned i = 0; i < ARRAY_LEN(a->held); i++)
        store_object_unref(a->held[i]);
    store_near_free(near);
    atomic_fetch_sub(&scene.running, 1);
}

static void test_promises(void **state)
{
    static struct actor actors[THREADS];

    (void)state;
    scene.storage = tier_new(4 * MIB);
    atomic_store(&scene.running, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (struct actor){.index = i, .seed = 4242 + i};
        assert_true(err_is_ok(os_thread_start("actor", act, &actors[i], &actors[i].thread)));
    }
    while (atomic_load(&scene.running) > 0) { /* sweeps, so that purges retire all the time */
        storage_turn(scene.storage, os_wall_ms());
        sched_yield();
    }
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(actors[i].thread);
    print_message("%llu found, %llu found softly purged, %llu missed\n", (unsigned long long)scene.found,
                  (unsigned long long)scene.softs, (unsigned long long)scene.missed);
    assert_true(scene.found > 10000);
    assert_true(scene.softs > 100);
    assert_true(scene.missed > 100);
    purge_label(scene.storage, 0, STORE_LABEL_TENANT, (struct store_label){0}, false);
    sweep(scene.storage);
    assert_int_equal(tier_stats(scene.storage).size_bytes, 0);
    storage_free(scene.storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_promises),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
