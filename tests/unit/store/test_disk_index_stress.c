/* The index under real threads: what stays is always found, what changes is found as it was or as it is.
 *
 * Each key is written by one thread, which notes what it has done; the version is in the entry's place. Readers compare
 * what they find with the notes before and behind. The table grows from its first size on in each round, while walks
 * and copies go on, which must meet every key that stays. Meant for the thread sanitizer as well. */
#include "store/disk/index_own.h"

#include <stdlib.h>

enum {
    KEYS = 20000,
    STAY = 1000, /* of them, the first ones */
    WRITERS = 2,
    READERS = 2,
    THREADS = WRITERS + READERS + 2,
    ROUNDS = 3,
    STEPS = 30000,
};

/* Of a key: 0 none; else version * 2, and 1 more while its writer is at work. */
static struct {
    struct disk_index *index;
    uint64_t hash[KEYS];
    _Atomic uint32_t state[KEYS];
    _Atomic unsigned writing, filling;
    _Atomic uint64_t certain, uncertain, walked;
    uint64_t lost;
} scene;

struct actor {
    struct os_thread *thread;
    unsigned index;
    uint64_t random;
    uint32_t version;
};

static uint64_t random_next(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random * UINT64_C(0x2545f4914f6cdd1d);
}

static struct disk_entry entry_of(unsigned key, uint32_t version)
{
    return (struct disk_entry){.segment = version, .offset = key, .tenant = (uint16_t)(key ^ version), .kind = DISK_WHOLE, .hits = 1};
}

static void entry_check(const struct disk_entry *entry)
{
    INVARIANT(entry->tenant == (uint16_t)(entry->offset ^ entry->segment) && entry->kind == DISK_WHOLE && entry->offset < KEYS);
}

/* ---- writers -------------------------------------------------------------------------------------------------------------- */

/* False: lost, for want of room. While a walk goes on, that may be; but only what has no hit, as all others have one. */
static bool key_put(unsigned key, uint32_t version)
{
    struct disk_entry entry = entry_of(key, version), found[DISK_INDEX_FIND_MAX];
    struct disk_gone gone;

    entry.hits = 0;
    disk_index_put(scene.index, scene.hash[key], &entry, &gone);
    INVARIANT(gone.count <= 1);
    INVARIANT(!gone.is_lost || gone.entries[0].hits == 0);
    INVARIANT(gone.count == 0 || gone.is_lost || gone.entries[0].offset == key);
    disk_index_hit(scene.index, scene.hash[key], version, key);
    return disk_index_find(scene.index, scene.hash[key], ~0u, found) == 1;
}

static void key_change(struct actor *a, unsigned key)
{
    uint32_t before = atomic_load(&scene.state[key]), version = before / 2, next = ++a->version;
    unsigned action = (unsigned)(random_next(&a->random) >> 60);
    struct disk_entry gone, entry = entry_of(key, next);

    atomic_store(&scene.state[key], before | 1);
    if (before != 0 && action < 4) {
        INVARIANT(disk_index_remove(scene.index, scene.hash[key], version, key, &gone));
        entry_check(&gone);
        next = 0;
    } else if (before != 0 && action < 8) {
        INVARIANT(disk_index_move(scene.index, scene.hash[key], version, key, &entry));
    } else if (before != 0 && action < 12) {
        disk_index_hit(scene.index, scene.hash[key], version, key);
        next = version;
    } else if (!key_put(key, next)) {
        next = 0;
    }
    atomic_store(&scene.state[key], next * 2);
}

static void writer(void *arg)
{
    struct actor *a = arg;

    a->version = 1;
    for (unsigned key = STAY + a->index; key < KEYS; key += WRITERS) { /* so that the table grows all the way */
        atomic_store(&scene.state[key], 1);
        atomic_store(&scene.state[key], key_put(key, a->version) ? a->version * 2 : 0);
    }
    atomic_fetch_sub(&scene.filling, 1);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned key = STAY + (unsigned)(random_next(&a->random) % (KEYS - STAY));
        key_change(a, key - (key - STAY) % WRITERS + a->index);
    }
    atomic_fetch_sub(&scene.writing, 1);
}

/* ---- readers -------------------------------------------------------------------------------------------------------------- */

static void key_look(unsigned key)
{
    struct disk_entry found[DISK_INDEX_FIND_MAX];
    uint32_t before = atomic_load(&scene.state[key]), behind;
    unsigned count = disk_index_find(scene.index, scene.hash[key], ~0u, found);

    behind = atomic_load(&scene.state[key]);
    INVARIANT(count <= 1);
    if (count == 1) {
        entry_check(&found[0]);
        INVARIANT(found[0].offset == key);
    }
    if (before != behind || (before & 1) != 0) {
        atomic_fetch_add_explicit(&scene.uncertain, 1, memory_order_relaxed);
        return;
    }
    INVARIANT(count == (before != 0));
    INVARIANT(before == 0 || found[0].segment == before / 2);
    atomic_fetch_add_explicit(&scene.certain, 1, memory_order_relaxed);
}

static void reader(void *arg)
{
    struct actor *a = arg;

    do {
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t random = random_next(&a->random);
            key_look((unsigned)((random >> 32) % (random & 1 ? STAY : KEYS)));
        }
    } while (atomic_load(&scene.writing) > 0);
}

static void visit_note(void *arg, struct disk_entry *entry)
{
    entry_check(entry);
    if (entry->offset < STAY)
        ((uint8_t *)arg)[entry->offset] = 1;
}

static void all_met(const uint8_t *met)
{
    for (unsigned key = 0; key < STAY; key++)
        INVARIANT(met[key] == 1);
    atomic_fetch_add_explicit(&scene.walked, 1, memory_order_relaxed);
}

static void walker(void *arg)
{
    (void)arg;
    do {
        uint8_t met[STAY] = {0};
        struct disk_walk walk;
        disk_index_walk_begin(scene.index, &walk);
        while (disk_index_walk(scene.index, &walk, 7, visit_note, met))
            continue;
        disk_index_walk_end(scene.index, &walk);
        all_met(met);
    } while (atomic_load(&scene.writing) > 0);
}

/* Holds the table once it has grown: else entries would be lost. */
static void copier(void *arg)
{
    (void)arg;
    do {
        bool holds = atomic_load(&scene.filling) == 0;
        uint8_t met[STAY] = {0}, bytes[5 * DISK_INDEX_BUCKET_BYTES];
        struct disk_walk walk;
        uint64_t copied, total = 0, buckets;
        if (holds)
            disk_index_hold(scene.index);
        buckets = disk_index_buckets(scene.index);
        disk_index_walk_begin(scene.index, &walk);
        while ((copied = disk_index_copy(scene.index, &walk, 5, bytes)) > 0) {
            total += copied;
            for (unsigned i = 0; i < copied * DISK_INDEX_BUCKET_ENTRIES; i++) {
                struct disk_words words =
                    disk_bucket_words(bytes + i / DISK_INDEX_BUCKET_ENTRIES * DISK_INDEX_BUCKET_BYTES, i % DISK_INDEX_BUCKET_ENTRIES);
                struct disk_entry entry = words_entry(&words);
                if (entry.kind != DISK_NONE)
                    visit_note(met, &entry);
            }
        }
        disk_index_walk_end(scene.index, &walk);
        INVARIANT(total >= buckets && (!holds || total == buckets));
        if (holds)
            disk_index_release(scene.index);
        all_met(met);
    } while (atomic_load(&scene.writing) > 0);
}

/* ---- rounds --------------------------------------------------------------------------------------------------------------- */

/* No two of them look alike to the index. */
static void hashes_make(void)
{
    struct disk_index_config config = {.entries_first = 1000, .entries_max = 100000};
    struct disk_index *index;
    struct disk_entry found[DISK_INDEX_FIND_MAX], entry = entry_of(0, 1);
    struct disk_gone gone;
    uint64_t random = 4711;

    assert_true(err_is_ok(disk_index_new(&config, &index)));
    for (unsigned key = 0; key < KEYS; key++) {
        do {
            scene.hash[key] = random_next(&random);
        } while (disk_index_find(index, scene.hash[key], ~0u, found) > 0);
        disk_index_put(index, scene.hash[key], &entry, &gone);
        assert_int_equal(gone.count, 0);
    }
    disk_index_free(index);
}

static void round_begin(void)
{
    struct disk_index_config config = {.entries_first = 1000, .entries_max = 100000};

    assert_true(err_is_ok(disk_index_new(&config, &scene.index)));
    for (unsigned key = 0; key < KEYS; key++)
        atomic_store(&scene.state[key], 0);
    for (unsigned key = 0; key < STAY; key++) {
        assert_true(key_put(key, 1));
        atomic_store(&scene.state[key], 2);
    }
    atomic_store(&scene.writing, WRITERS);
    atomic_store(&scene.filling, WRITERS);
}

static void round_end(void)
{
    struct disk_index_stats stats;
    uint64_t entries = 0;

    for (unsigned key = 0; key < KEYS; key++) {
        key_look(key);
        entries += atomic_load(&scene.state[key]) != 0;
    }
    disk_index_stats(scene.index, &stats);
    assert_int_equal(stats.entries, entries);
    assert_true(stats.lost < KEYS / 50);
    scene.lost += stats.lost;
    assert_true(stats.buckets > 4000);
    disk_index_free(scene.index);
}

static void test_threads(void **state)
{
    static struct actor actors[THREADS];
    static void (*const runs[THREADS])(void *) = {writer, writer, reader, reader, walker, copier};

    (void)state;
    hashes_make();
    for (unsigned round = 0; round < ROUNDS; round++) {
        round_begin();
        for (unsigned i = 0; i < THREADS; i++) {
            actors[i] = (struct actor){.index = i, .random = 88172645463325252u + round * 100 + i};
            assert_true(err_is_ok(os_thread_start("actor", runs[i], &actors[i], &actors[i].thread)));
        }
        for (unsigned i = 0; i < THREADS; i++)
            os_thread_join(actors[i].thread);
        round_end();
    }
    print_message("%llu looks were certain, %llu not; %llu walks and copies; %llu entries lost\n", (unsigned long long)scene.certain,
                  (unsigned long long)scene.uncertain, (unsigned long long)scene.walked, (unsigned long long)scene.lost);
    assert_true(scene.certain > 10000);
    assert_true(scene.walked >= 2 * ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
