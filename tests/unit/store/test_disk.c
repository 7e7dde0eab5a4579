/* The disk tier's parts one by one, on a real file: what only happens between two steps, or when memory is short. */
static void look_step(void);
#define DISK_LOOK_STEP() look_step()
#include "store/disk/disk_own.h"

#include "store/ram.h"
#include "store/tiered.h"
#include "store_test.h"

#include <errno.h>
#include <unistd.h>

#define SEGMENT (512u * 1024)

/* ---- memory that is not there ----------------------------------------------------------------------------------- */

static bool has_no_memory;

void *__real_os_file_memory(size_t size);
void *__wrap_os_file_memory(size_t size);
void *__wrap_os_file_memory(size_t size)
{
    return has_no_memory ? NULL : __real_os_file_memory(size);
}

/* ---- what happens just before a lock is taken ------------------------------------------------------------------- */

static struct {
    pthread_mutex_t *mutex;
    void (*happens)(void);
} before_lock;

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    if (before_lock.mutex == mutex) {
        before_lock.mutex = NULL;
        before_lock.happens();
    }
    return __real_pthread_mutex_lock(mutex);
}

/* ---- a store ---------------------------------------------------------------------------------------------------- */

struct world {
    char dir[64], path[96];
    struct purge_log *purges;
    struct disk *disk;
    struct disk_device *device;
    struct storage *ram, *storage;
    struct loop *worker, *keeper;
};

static bool is_running(const struct world *w)
{
    return atomic_load(&w->device->keeper_state) == KEEPER_RUNNING;
}

/* Its keeper has done nothing yet. */
static void world_begin(struct world *w, uint64_t size_bytes, uint32_t segment_bytes)
{
    struct disk_config config = {
        .paths = {w->dir}, .path_count = 1, .size_bytes = size_bytes, .segment_bytes = segment_bytes, .buffered = true, .purges = w->purges};
    struct store_ram_config ram = {.max_bytes = 32 * MIB, .purges = w->purges, .slab_from_bytes = UINT64_MAX};

    assert_true(err_is_ok(disk_open(&config, &w->disk)));
    w->device = &w->disk->devices[0];
    ram.secret = disk_secret(w->disk);
    assert_true(err_is_ok(store_ram_new(&ram, &w->ram)));
    assert_true(err_is_ok(store_tiered_new(w->ram, w->disk, false, &w->storage)));
    w->worker = test_loop_new();
    w->keeper = test_loop_new();
    disk_keeper_begin(w->disk, 0, w->keeper);
}

static void world_recover(struct world *w)
{
    while (!is_running(w))
        (void)loop_turn(w->keeper, UINT64_MAX);
}

static void world_open(struct world *w, uint64_t size_bytes, uint32_t segment_bytes)
{
    world_begin(w, size_bytes, segment_bytes);
    world_recover(w);
}

static void world_free(struct world *w)
{
    storage_free(w->storage);
    w->worker = loop_free(w->worker);
    disk_free(w->disk);
    loop_free(w->keeper);
    purge_log_free(w->purges);
}

/* Without closing: what waited in buffers is lost, and the keeper wrote nothing at the end. */
static void world_kill(struct world *w)
{
    world_free(w);
    w->purges = purge_log_new(0);
    assert_non_null(w->purges);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_non_null(w);
    snprintf(w->dir, sizeof(w->dir), "/var/tmp/warp-test-disk-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->path, sizeof(w->path), "%s/warp.store", w->dir);
    w->purges = purge_log_new(0);
    assert_non_null(w->purges);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    has_no_memory = false;
    world_free(w);
    unlink(w->path);
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

/* ---- records without a tier above ------------------------------------------------------------------------------- */

static struct disk_append append_of(uint64_t n, uint32_t body_bytes)
{
    return (struct disk_append){.log = EVICT_SMALL,
                                .hash = n * UINT64_C(0x9e3779b97f4a7c15),
                                .entry = {.kind = DISK_WHOLE},
                                .from_segment = DISK_NO_SEGMENT,
                                .record = {.kind = DISK_WHOLE, .key = SLICE("a key"), .body_bytes = body_bytes}};
}

/* As the keeper writes what it copies, and then into the index as what is new. */
static bool append(struct world *w, uint64_t n, uint32_t body_bytes)
{
    struct disk_append append = append_of(n, body_bytes);
    char *meta, *body;

    if (!disk_append_begin(w->device, &append, &meta, &body))
        return false;
    memset(body, 'b', body_bytes);
    assert_true(disk_append_end(w->device, &append));
    assert_true(disk_flush(w->device, EVICT_SMALL));
    disk_entry_put(w->disk, append.hash, &append.entry);
    return true;
}

static uint64_t entries(const struct world *w)
{
    struct disk_stats stats;

    disk_stats(w->disk, &stats);
    return stats.store.objects;
}

static uint32_t free_count(const struct world *w)
{
    return atomic_load(&w->device->free_count);
}

static uint64_t sealed(const struct world *w)
{
    return w->device->chains[EVICT_SMALL].count + w->device->chains[EVICT_MAIN].count;
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

static void test_a_seal_needs_no_memory(void **state)
{
    struct world *w = *state;

    world_open(w, 16 * MIB, SEGMENT);
    for (uint64_t n = 1; n <= 100; n++)
        assert_true(append(w, n, 100));
    uint32_t segment = w->device->streams[EVICT_SMALL].segment;
    has_no_memory = true;
    disk_seal(w->device, EVICT_SMALL);
    has_no_memory = false;
    assert_int_equal(atomic_load(&w->disk->segments[segment].state), SEGMENT_SEALED);
    assert_int_equal(atomic_load(&w->device->failures), 0);
    assert_int_equal(entries(w), 100);

    struct disk_trailer trailer;
    char *footer = disk_segment_footer(w->device, segment, &trailer);
    assert_non_null(footer);
    assert_int_equal(trailer.entries, 100);
    free(footer);
}

static void test_without_memory_no_segment_is_opened(void **state)
{
    struct world *w = *state;

    world_open(w, 16 * MIB, SEGMENT);
    uint32_t before = free_count(w);
    has_no_memory = true;
    assert_false(append(w, 1, 100));
    has_no_memory = false;
    assert_int_equal(free_count(w), before);
    assert_true(append(w, 1, 100));
    assert_int_equal(free_count(w), before - 1);
    assert_int_equal(atomic_load(&w->device->failures), 0);
}

static void test_reclaim_waits_for_memory(void **state)
{
    struct world *w = *state;
    uint64_t n = 0;

    world_open(w, 16 * MIB, SEGMENT);
    while (free_count(w) > 1)
        assert_true(append(w, ++n, 100000));
    uint64_t were_sealed = sealed(w);
    has_no_memory = true;
    for (unsigned i = 0; i < 8; i++)
        assert_false(disk_reclaim_step(w->device)); /* with the next tick */
    assert_int_equal(free_count(w), 1);
    assert_int_equal(sealed(w), were_sealed);
    assert_int_equal(entries(w), n);
    has_no_memory = false;
    while (disk_reclaim_step(w->device))
        continue;
    assert_true(free_count(w) >= 3);
    assert_true(entries(w) < n && entries(w) > 0);
    assert_int_equal(atomic_load(&w->device->failures), 0);
}

/* ---- records that are too large, segments without any ------------------------------------------------------------ */

static struct disk_stats stats_of(const struct world *w)
{
    struct disk_stats stats;

    disk_stats(w->disk, &stats);
    return stats;
}

static void test_what_no_segment_holds_takes_none(void **state)
{
    struct world *w = *state;

    world_open(w, 16 * MIB, SEGMENT);
    assert_true(append(w, 1, 100));
    uint32_t before = free_count(w), segment = w->device->streams[EVICT_SMALL].segment;
    for (uint64_t n = 2; n < 100; n++)
        assert_false(append(w, n, STORE_SLICE_BYTES));
    assert_false(append(w, 100, SEGMENT - 4096)); /* with all that goes with it */
    assert_int_equal(stats_of(w).too_large, 99);
    assert_int_equal(free_count(w), before);
    assert_int_equal(sealed(w), 0);
    assert_int_equal(w->device->streams[EVICT_SMALL].segment, segment);
    assert_true(append(w, 101, 100));
    assert_int_equal(w->device->streams[EVICT_SMALL].segment, segment);
}

/* The largest one that is taken fits into an empty segment, and can be sealed there. */
static void test_what_a_segment_just_holds_is_taken(void **state)
{
    struct world *w = *state;
    uint32_t most = SEGMENT;

    world_open(w, 16 * MIB, SEGMENT);
    while (!append(w, 1, most)) {
        assert_int_equal(w->device->streams[EVICT_SMALL].segment, DISK_NO_SEGMENT);
        most -= 64;
    }
    assert_in_range(most, SEGMENT - 4 * DISK_BLOCK, SEGMENT);
    for (uint64_t n = 2; n < 10; n++)
        assert_true(append(w, n, most));
    assert_int_equal(sealed(w), 8);
    assert_int_equal(entries(w), 9);
}

static void test_a_segment_nothing_came_into_is_free_again(void **state)
{
    struct world *w = *state;
    struct disk_append append = append_of(1, 100);
    char *meta, *body;

    world_open(w, 16 * MIB, SEGMENT);
    uint32_t before = free_count(w);
    assert_true(disk_append_begin(w->device, &append, &meta, &body)); /* and is given up */
    uint32_t segment = w->device->streams[EVICT_SMALL].segment;
    assert_int_equal(free_count(w), before - 1);
    disk_seal(w->device, EVICT_SMALL);
    assert_int_equal(free_count(w), before);
    assert_int_equal(sealed(w), 0);
    assert_int_equal(atomic_load(&w->disk->segments[segment].state), SEGMENT_FREE);
    assert_int_equal(w->device->streams[EVICT_SMALL].segment, DISK_NO_SEGMENT);
}

/* ---- segments that others look at -------------------------------------------------------------------------------- */

static struct disk_segment looked_at;
static unsigned openings_left, openings_at;

/* Of two generations the second is sealed. */
static void opened_once_more(void)
{
    uint64_t generation = atomic_load(&looked_at.generation) + 1;

    atomic_store(&looked_at.state, SEGMENT_FREE);
    atomic_store(&looked_at.generation, generation);
    atomic_store(&looked_at.state, generation % 2 == 0 ? SEGMENT_SEALED : SEGMENT_FILLING);
}

static void look_step(void)
{
    if (openings_at > 0 && --openings_at == 0)
        for (; openings_left > 0; openings_left--)
            opened_once_more();
}

static void test_a_segment_is_opened_between_two_looks(void **state)
{
    uint64_t generation;

    (void)state;
    for (unsigned at = 0; at <= 8; at++)
        for (unsigned openings = 0; openings <= 3; openings++)
            for (unsigned from = 7; from <= 8; from++) {
                atomic_store(&looked_at.generation, from - 1);
                opened_once_more();
                openings_at = at;
                openings_left = openings;
                enum segment_state seen = disk_segment_look(&looked_at, &generation);
                assert_in_range(generation, from, from + openings);
                assert_int_equal(seen, generation % 2 == 0 ? SEGMENT_SEALED : SEGMENT_FILLING);
            }
}

/* ---- lookups ---------------------------------------------------------------------------------------------------- */

#define OLD_BYTES   20000
#define NEWER_BYTES 30000

static const struct put old_answer = {.object = 1, .length = OLD_BYTES, .tenant = 1, .kind = STORE_ANSWER};
static const struct put newer_answer = {.object = 1, .length = NEWER_BYTES, .tenant = 1, .kind = STORE_ANSWER};

static hash128 hash_of(const struct world *w, uint64_t object)
{
    char buffer[80];

    return storage_key(w->storage, key_text(buffer, sizeof(buffer), object)).hash;
}

/* On the disk, and no more in RAM. */
static void put_below(struct world *w, struct put put)
{
    struct store_object *object;

    assert_true(put_whole(w->storage, put));
    while (!disk_has(w->disk, hash_of(w, put.object)))
        (void)loop_turn(w->keeper, UINT64_MAX);
    assert_int_equal(find(w->ram, put.object, &object), STORE_HIT);
    ram_let_go(w->ram, stored_of(object));
    store_object_unref(object);
    assert_int_equal(find(w->ram, put.object, NULL), STORE_MISS);
}

struct asked {
    struct store_lookup lookup;
    char key[80];
    unsigned done;
};

static void asked_done(struct store_op *op)
{
    container_of(op, struct asked, lookup.op)->done++;
}

static void ask(struct world *w, struct asked *asked, uint64_t object)
{
    *asked = (struct asked){.lookup.op = {.loop = w->worker, .done = asked_done}};
    asked->lookup.key = storage_key(w->storage, key_text(asked->key, sizeof(asked->key), object));
    asked->done = storage_lookup(w->storage, &asked->lookup) == STORE_DONE;
}

static void answer(struct world *w, struct asked *asked)
{
    while (asked->done == 0)
        (void)loop_turn(w->worker, UINT64_MAX);
    assert_int_equal(asked->done, 1);
}

/* ---- which of two records is the newer one after a restart ------------------------------------------------------ */

static void check_found(struct world *w, uint64_t object, int64_t length, slice meta)
{
    struct asked asked;

    ask(w, &asked, object);
    answer(w, &asked);
    assert_int_equal(asked.lookup.found, STORE_HIT);
    assert_int_equal(store_object_length(asked.lookup.object), length);
    assert_true(slice_eq(asked.lookup.object->meta, meta));
    store_object_unref(asked.lookup.object);
}

/* A reference to what RAM has of a key that was asked for, with new metadata. */
static struct store_object *renew(struct world *w, uint64_t object, slice meta)
{
    struct store_object *old;

    assert_int_equal(find(w->ram, object, &old), STORE_HIT);
    struct store_update update = {.object = old, .meta = meta, .seq = storage_seq(w->storage)};
    assert_int_equal(storage_update_meta(w->storage, &update), STORE_DONE);
    assert_true(err_is_ok(update.result));
    store_object_unref(old);
    return update.updated;
}

/* The saved index has an older record than the device: it is found and renewed before recovery comes to the newer one. */
static void test_what_was_renewed_in_recovery_is_found_after_the_next(void **state)
{
    struct world *w = *state;
    struct store_object *object;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    while (disk_snapshot_step(w->device, true))
        continue;
    put_below(w, newer_answer);
    world_kill(w);

    world_begin(w, 16 * MIB, SEGMENT);
    while (!atomic_load(&w->disk->is_loaded))
        (void)loop_turn(w->keeper, UINT64_MAX);
    assert_false(is_running(w));
    check_found(w, 1, OLD_BYTES, SLICE(PUT_META));
    object = renew(w, 1, SLICE("renewed"));
    world_recover(w);
    while (!stored_has_flag(stored_of(object), STORED_ON_DISK))
        (void)loop_turn(w->keeper, UINT64_MAX);
    store_object_unref(object);
    world_kill(w);

    world_open(w, 16 * MIB, SEGMENT);
    check_found(w, 1, OLD_BYTES, SLICE("renewed"));
}

/* Into the buffer, as the keeper writes what was offered. */
static void append_new(struct world *w, struct store_object *object)
{
    uint32_t bytes = (uint32_t)store_object_length(object);
    struct disk_append append = {.log = EVICT_SMALL,
                                 .hash = disk_hash(object->hash),
                                 .stored = stored_of(object),
                                 .entry = {.kind = DISK_WHOLE, .tenant = object->tenant},
                                 .from_segment = DISK_NO_SEGMENT,
                                 .record = {.kind = DISK_WHOLE,
                                            .tenant = object->tenant,
                                            .key = store_object_key(object),
                                            .meta = object->meta,
                                            .body_bytes = bytes}};
    char *meta, *body;

    assert_true(disk_quota_take(w->device, object->tenant,
                                disk_record_bytes(append.record.key.len, 0, append.record.meta.len, append.record.body_bytes)));
    assert_true(disk_append_begin(w->device, &append, &meta, &body));
    memset(body, 'n', bytes);
    assert_true(disk_append_end(w->device, &append));
}

/* An older record comes to the disk while the newer one is fetched; it is to be copied while that one waits in a buffer. */
static void test_a_copy_is_not_newer_than_what_waits_in_a_buffer(void **state)
{
    struct world *w = *state;
    struct store_object *object;
    struct disk_entry older;

    world_open(w, 16 * MIB, SEGMENT);
    assert_true(put_whole(w->storage, old_answer));
    assert_int_equal(find(w->ram, 1, &object), STORE_HIT);
    ram_let_go(w->ram, stored_of(object));
    store_object_unref(object);
    struct miss_handler *miss = put_begin(w->storage, newer_answer, NULL);
    assert_non_null(miss);
    hash128 hash = hash_of(w, 1);
    while (!disk_has(w->disk, hash))
        (void)loop_turn(w->keeper, UINT64_MAX);
    for (unsigned log = 0; log < EVICT_LOGS; log++)
        disk_seal(w->device, (enum evict_log)log);
    for (unsigned i = 0; i < DISK_HITS_MAX; i++)
        disk_hit(w->disk, hash); /* worth a copy */
    for (uint64_t n = 2; free_count(w) > 2; n++)
        assert_true(append(w, n, 100000));
    assert_int_equal(put_bytes(miss, 1, NEWER_BYTES), NEWER_BYTES);
    miss_handler_finish(miss);
    assert_int_equal(find(w->ram, 1, &object), STORE_HIT);
    append_new(w, object);
    assert_int_equal(disk_index_find(w->disk->index, disk_hash(hash), DISK_KINDS_BUT_BODY, &older), 1);
    assert_int_equal(w->device->streams[EVICT_SMALL].pending_count, 1);
    while (disk_reclaim_step(w->device))
        continue;
    struct disk_entry now;
    assert_false(disk_entry_find(w->disk, disk_hash(hash), older.segment, older.offset, &now));
    for (unsigned log = 0; log < EVICT_LOGS; log++)
        assert_true(disk_flush(w->device, (enum evict_log)log));
    assert_true(stored_has_flag(stored_of(object), STORED_ON_DISK));
    store_object_unref(object);
    world_kill(w);

    world_open(w, 16 * MIB, SEGMENT);
    check_found(w, 1, NEWER_BYTES, SLICE(PUT_META));
}

/* ---- what happens during a read --------------------------------------------------------------------------------- */

/* What happens between the end of a read and what is made of it. */
static struct {
    struct disk_host host;
    struct world *w;
    void (*happens)(struct world *w);
} between;

static struct store_object *found_later(void *host, const struct disk_found *found, enum store_found *ret_above)
{
    between.happens(between.w);
    return between.host.found(host, found, ret_above);
}

static void between_reads(struct world *w, void (*happens)(struct world *w))
{
    between.host = w->disk->host;
    between.w = w;
    between.happens = happens;
    w->disk->host.found = found_later;
}

static void newer_comes(struct world *w)
{
    assert_true(put_whole(w->storage, newer_answer));
}

static void newer_comes_and_is_purged_softly(struct world *w)
{
    newer_comes(w);
    (void)purge_label(w->ram, 1, STORE_LABEL_TENANT, (struct store_label){0}, true);
}

static void newer_comes_and_is_purged(struct world *w)
{
    newer_comes(w);
    (void)purge_label(w->ram, 1, STORE_LABEL_TENANT, (struct store_label){0}, false);
}

static void test_what_comes_during_a_read_stays(void **state)
{
    struct world *w = *state;
    struct asked asked;
    struct store_object *object;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    between_reads(w, newer_comes);
    ask(w, &asked, 1);
    answer(w, &asked);
    assert_int_equal(find(w->ram, 1, &object), STORE_HIT);
    assert_int_equal(store_object_length(object), NEWER_BYTES);
    store_object_unref(object);
    assert_int_equal(asked.lookup.found, STORE_HIT);
    assert_int_equal(store_object_length(asked.lookup.object), NEWER_BYTES);
    assert_false(asked.lookup.is_below);
    store_object_unref(asked.lookup.object);
}

static void test_what_comes_during_a_read_is_as_stale_as_it_is(void **state)
{
    struct world *w = *state;
    struct asked asked;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    between_reads(w, newer_comes_and_is_purged_softly);
    ask(w, &asked, 1);
    answer(w, &asked);
    assert_int_equal(asked.lookup.found, STORE_HIT_SOFT);
    assert_int_equal(store_object_length(asked.lookup.object), NEWER_BYTES);
    store_object_unref(asked.lookup.object);
}

static void test_what_comes_during_a_read_and_is_purged_is_a_miss(void **state)
{
    struct world *w = *state;
    struct asked asked;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    between_reads(w, newer_comes_and_is_purged);
    ask(w, &asked, 1);
    answer(w, &asked);
    assert_int_equal(asked.lookup.found, STORE_MISS);
    assert_null(asked.lookup.object);
}

static void nothing_comes(struct world *w)
{
    disk_forget(w->disk, hash_of(w, 1));
}

static void test_what_left_the_disk_during_a_read_is_a_miss(void **state)
{
    struct world *w = *state;
    struct asked asked;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    between_reads(w, nothing_comes);
    ask(w, &asked, 1);
    answer(w, &asked);
    assert_int_equal(asked.lookup.found, STORE_MISS);
    assert_int_equal(find(w->ram, 1, NULL), STORE_MISS);
}

static uint32_t reading(const struct world *w)
{
    return atomic_load(&w->device->reading[0]) + atomic_load(&w->device->reading[1]);
}

/* Zeros where the object lies. */
static void damage(const struct world *w, uint64_t object)
{
    static const char zeros[64];
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    FILE *file = fopen(w->path, "r+");

    assert_int_equal(disk_index_find(w->disk->index, disk_hash(hash_of(w, object)), ~0u, entries), 1);
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)disk_at(w->device, entries[0].segment, entries[0].offset * DISK_OFFSET_UNIT), SEEK_SET), 0);
    assert_int_equal(fwrite(zeros, sizeof(zeros), 1, file), 1);
    assert_int_equal(fclose(file), 0);
}

#define MANY 5u

static void ask_many(struct world *w, struct asked asked[MANY])
{
    for (unsigned i = 0; i < MANY; i++)
        ask(w, &asked[i], 1);
}

static void test_lookups_at_a_time_of_one_record_wait_for_one_read(void **state)
{
    struct world *w = *state;
    struct asked asked[MANY];

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    ask_many(w, asked);
    for (unsigned i = 0; i < MANY; i++) {
        answer(w, &asked[i]);
        assert_int_equal(asked[i].lookup.found, STORE_HIT);
        assert_ptr_equal(asked[i].lookup.object, asked[0].lookup.object);
        store_object_unref(asked[i].lookup.object);
    }
    assert_int_equal(stats_of(w).reads, 1);
    assert_int_equal(stats_of(w).store.lookup_hits, 1); /* the others hit in RAM */
    assert_int_equal(read_whole(w->storage, 1), OLD_BYTES);
    assert_int_equal(reading(w), 0);
}

/* Whoever goes, the read goes on for the others. */
static void test_some_of_those_that_wait_for_a_read_go(void **state)
{
    struct world *w = *state;
    struct asked asked[MANY];

    world_open(w, 16 * MIB, SEGMENT);
    for (unsigned which = 0; which < 1u << MANY; which++) {
        put_below(w, old_answer);
        uint64_t before = stats_of(w).reads;
        ask_many(w, asked);
        for (unsigned i = 0; i < MANY; i++)
            if (which >> i & 1)
                storage_cancel(&asked[i].lookup.op);
        for (unsigned i = 0; i < MANY; i++) {
            if (which >> i & 1)
                continue;
            answer(w, &asked[i]);
            assert_int_equal(asked[i].lookup.found, STORE_HIT);
            store_object_unref(asked[i].lookup.object);
        }
        while (reading(w) > 0)
            (void)loop_turn(w->worker, UINT64_MAX);
        assert_int_equal(stats_of(w).reads, before + 1);
        for (unsigned i = 0; i < MANY; i++)
            assert_int_equal(asked[i].done, which >> i & 1 ? 0 : 1);
        storage_drop_hash(w->storage, hash_of(w, 1));
    }
}

static void test_a_read_that_was_given_up_is_not_waited_for(void **state)
{
    struct world *w = *state;
    struct asked first, second;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    ask(w, &first, 1);
    storage_cancel(&first.lookup.op);
    ask(w, &second, 1);
    answer(w, &second);
    assert_int_equal(second.lookup.found, STORE_HIT);
    store_object_unref(second.lookup.object);
    assert_int_equal(stats_of(w).reads, 2);
}

/* What the first one did not find, the others look for again. */
static void test_those_that_wait_for_a_damaged_record_miss(void **state)
{
    struct world *w = *state;
    struct asked asked[MANY];

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    damage(w, 1);
    ask_many(w, asked);
    for (unsigned i = 0; i < MANY; i++) {
        answer(w, &asked[i]);
        assert_int_equal(asked[i].lookup.found, STORE_MISS);
    }
    assert_int_equal(stats_of(w).reads, 1);
    assert_int_equal(stats_of(w).errors[DISK_ERROR_CORRUPT], 1);
    assert_int_equal(stats_of(w).store.misses, MANY);
}

/* RAM keeps nothing: what is read is for one reader. */
static void test_each_reads_for_itself_where_ram_is_off(void **state)
{
    struct world *w = *state;
    struct asked asked[MANY];

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    w->disk->host.look = NULL;
    ask_many(w, asked);
    for (unsigned i = 0; i < MANY; i++) {
        answer(w, &asked[i]);
        assert_int_equal(asked[i].lookup.found, STORE_HIT);
        store_object_unref(asked[i].lookup.object);
    }
    assert_int_equal(stats_of(w).reads, MANY);
}

/* The kernel has no memory for the read. */
static void (*io_done)(struct os_op *op);

static void refused_done(struct os_op *op)
{
    op->result = -ENOMEM;
    io_done(op);
}

static bool has_kernel_memory = true;
void __real_os_file_submit(struct os *os, struct os_file_op *op);
void __wrap_os_file_submit(struct os *os, struct os_file_op *op);
void __wrap_os_file_submit(struct os *os, struct os_file_op *op)
{
    if (!has_kernel_memory) {
        io_done = op->op.done;
        op->op.done = refused_done;
    }
    __real_os_file_submit(os, op);
}

static void test_a_read_without_memory_is_a_miss_for_now(void **state)
{
    struct world *w = *state;
    struct asked asked;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    has_kernel_memory = false;
    ask(w, &asked, 1);
    answer(w, &asked);
    has_kernel_memory = true;
    assert_int_equal(asked.lookup.found, STORE_MISS);
    assert_int_equal(atomic_load(&w->device->failures), 0);
    ask(w, &asked, 1);
    answer(w, &asked);
    assert_int_equal(asked.lookup.found, STORE_HIT);
    store_object_unref(asked.lookup.object);
}

static void test_what_is_damaged_is_counted_and_asked_for_no_more(void **state)
{
    struct world *w = *state;
    struct asked asked;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    damage(w, 1);
    ask(w, &asked, 1);
    answer(w, &asked);
    assert_int_equal(asked.lookup.found, STORE_MISS);
    assert_int_equal(stats_of(w).errors[DISK_ERROR_CORRUPT], 1);
    assert_false(disk_has(w->disk, hash_of(w, 1)));
}

/* Its segment was reclaimed and is written again, say, between the look into the index and the read. */
static void test_what_has_left_the_index_is_not_damaged(void **state)
{
    struct world *w = *state;
    struct asked asked;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    damage(w, 1);
    ask(w, &asked, 1);
    disk_forget(w->disk, hash_of(w, 1));
    answer(w, &asked);
    assert_int_equal(asked.lookup.found, STORE_MISS);
    assert_int_equal(stats_of(w).errors[DISK_ERROR_CORRUPT], 0);
}

/* ---- a worker that ends ----------------------------------------------------------------------------------------- */

static void test_a_worker_ends_during_its_reads(void **state)
{
    struct world *w = *state;
    struct asked cancelled, waiting;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    ask(w, &cancelled, 1);
    ask(w, &waiting, 1);
    storage_cancel(&cancelled.lookup.op);
    assert_true(reading(w) > 0);
    w->worker = loop_free(w->worker);
    assert_int_equal(reading(w), 0); /* a sweep need not wait for them */
    assert_int_equal(cancelled.done + waiting.done, 0);
    storage_cancel(&waiting.lookup.op);
    for (uint32_t i = 0; i < w->disk->segment_count; i++)
        assert_int_equal(atomic_load(&w->disk->segments[i].pins), 0);
}

/* ---- a device that fails ---------------------------------------------------------------------------------------- */

static struct disk_device *failing;

static void device_fails(void)
{
    while (!atomic_load(&failing->is_offline))
        disk_failed(failing, DISK_ERROR_READ, "a test", ERR_SYS(EIO));
    assert_false(disk_offline_step(failing)); /* its keeper */
}

static void test_an_offer_to_a_device_that_fails_is_not_held(void **state)
{
    struct world *w = *state;
    struct store_object *object;

    world_open(w, 16 * MIB, SEGMENT);
    put_below(w, old_answer);
    assert_true(put_whole(w->ram, newer_answer));
    assert_int_equal(w->device->offer_count, 1);
    assert_int_equal(find(w->ram, 1, &object), STORE_HIT);
    failing = w->device;
    before_lock.happens = device_fails;
    before_lock.mutex = &w->device->mutex;
    assert_false(disk_offer(w->disk, stored_of(object), true, false));
    assert_null(before_lock.mutex);
    assert_int_equal(w->device->offer_count, 0); /* nobody would take it */
    store_object_unref(object);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_seal_needs_no_memory),
        TEST(test_without_memory_no_segment_is_opened),
        TEST(test_reclaim_waits_for_memory),
        TEST(test_what_no_segment_holds_takes_none),
        TEST(test_what_a_segment_just_holds_is_taken),
        TEST(test_a_segment_nothing_came_into_is_free_again),
        cmocka_unit_test(test_a_segment_is_opened_between_two_looks),
        TEST(test_what_was_renewed_in_recovery_is_found_after_the_next),
        TEST(test_a_copy_is_not_newer_than_what_waits_in_a_buffer),
        TEST(test_what_comes_during_a_read_stays),
        TEST(test_what_comes_during_a_read_is_as_stale_as_it_is),
        TEST(test_what_comes_during_a_read_and_is_purged_is_a_miss),
        TEST(test_what_left_the_disk_during_a_read_is_a_miss),
        TEST(test_lookups_at_a_time_of_one_record_wait_for_one_read),
        TEST(test_some_of_those_that_wait_for_a_read_go),
        TEST(test_a_read_that_was_given_up_is_not_waited_for),
        TEST(test_those_that_wait_for_a_damaged_record_miss),
        TEST(test_each_reads_for_itself_where_ram_is_off),
        TEST(test_a_read_without_memory_is_a_miss_for_now),
        TEST(test_what_is_damaged_is_counted_and_asked_for_no_more),
        TEST(test_what_has_left_the_index_is_not_damaged),
        TEST(test_a_worker_ends_during_its_reads),
        TEST(test_an_offer_to_a_device_that_fails_is_not_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
