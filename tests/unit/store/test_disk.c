/* The disk tier's parts one by one, on a real file: what only happens between two steps, or when memory is short. */
#include "store/disk/disk_own.h"

#include "store/ram.h"
#include "store/tiered.h"
#include "store_test.h"

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

static void world_open(struct world *w, uint64_t size_bytes, uint32_t segment_bytes)
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
    while (!is_running(w))
        (void)loop_turn(w->keeper, UINT64_MAX);
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
    storage_free(w->storage);
    w->worker = loop_free(w->worker);
    disk_free(w->disk);
    loop_free(w->keeper);
    purge_log_free(w->purges);
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_seal_needs_no_memory),
        TEST(test_without_memory_no_segment_is_opened),
        TEST(test_reclaim_waits_for_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
