/* The disk tier under RAM, on simulated disks: what happens when a device fails in one place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/log.h"
#include "os/sim/sim.h"
#include "store/disk/disk_own.h"
#include "store/storage_ops.h"
#include "store/tiered.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB       (1024u * 1024)
#define NS_S      UINT64_C(1000000000)
#define KEEPERS   3u
#define BODY_SIZE 3000u

static struct {
    struct loop *loop, *keeper_loops[KEEPERS];
    struct sim_thread threads[KEEPERS + 1];
    unsigned thread_count;
    struct purge_log *purges;
    struct disk *disk;
    struct storage *storage;
} node;

static unsigned devices; /* of the store */
static const char *const dirs[KEEPERS] = {"/a", "/b", "/c"};
static const char *const files[KEEPERS] = {"/a/warp.store", "/b/warp.store", "/c/warp.store"};

/* ---- memory that ends ------------------------------------------------------------------------------------------- */

static unsigned memory_left = UINT32_MAX; /* allocations of buffers for files until one fails, once */
static bool memory_failed;

void *__real_os_file_memory(size_t size);
void *__wrap_os_file_memory(size_t size);
void *__wrap_os_file_memory(size_t size)
{
    if (memory_left != UINT32_MAX && memory_left-- == 0) {
        memory_left = UINT32_MAX;
        memory_failed = true;
        return NULL;
    }
    return __real_os_file_memory(size);
}

/* ---- the node ----------------------------------------------------------------------------------------------------- */

static bool loop_turn_one(void *arg)
{
    return loop_turn(arg, 0);
}

static uint64_t loop_next_one(void *arg)
{
    return loop_next_timer_ns(arg);
}

static struct loop *thread_new(unsigned index)
{
    struct loop_config config = {.index = index};
    struct loop *loop;

    assert_true(err_is_ok(loop_new(&config, &loop)));
    node.threads[node.thread_count++] = (struct sim_thread){loop_turn_one, loop_next_one, loop};
    return loop;
}

/* What the store says of itself. */
static err node_open_err(void)
{
    struct disk_config config = {.path_count = devices, .size_bytes = devices * 16ull * MIB, .segment_bytes = 512 * 1024, .snapshot_ns = 3600 * NS_S};
    struct store_ram_config ram = {.max_bytes = 64 * MIB, .shards = 4, .slab_from_bytes = UINT64_MAX};
    struct storage *ram_tier;

    memset(&node, 0, sizeof(node));
    node.purges = purge_log_new(0);
    assert_non_null(node.purges);
    for (unsigned i = 0; i < devices; i++)
        config.paths[i] = dirs[i];
    config.purges = ram.purges = node.purges;
    err e = disk_open(&config, &node.disk);
    ram.secret = err_is_ok(e) ? disk_secret(node.disk) : NULL;
    assert_true(err_is_ok(store_ram_new(&ram, &ram_tier)));
    assert_true(err_is_ok(store_tiered_new(ram_tier, node.disk, false, &node.storage)));
    node.loop = thread_new(0);
    for (unsigned i = 0; i < disk_device_count(node.disk); i++) {
        node.keeper_loops[i] = thread_new(1 + i);
        disk_keeper_begin(node.disk, i, node.keeper_loops[i]);
    }
    return e;
}

static void node_open(void)
{
    assert_true(err_is_ok(node_open_err()));
}

static void node_run(uint64_t ns)
{
    (void)sim_run(node.threads, node.thread_count, os_clock_ns() + ns, NULL, NULL);
}

static struct disk_stats stats(void)
{
    struct disk_stats now;

    disk_stats(node.disk, &now);
    return now;
}

static bool is_recovered(void *arg)
{
    (void)arg;
    return stats().recovering == 0;
}

static void node_recover(void)
{
    assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 60 * NS_S, is_recovered, NULL));
}

static void node_free(void)
{
    unsigned keepers = disk_device_count(node.disk);

    for (unsigned i = 0; i < keepers; i++)
        disk_commits_fail(&node.disk->devices[i]);
    while (loop_turn(node.loop, 0))
        continue;
    storage_free(node.storage);
    disk_free(node.disk);
    loop_free(node.loop);
    for (unsigned i = 0; i < keepers; i++)
        loop_free(node.keeper_loops[i]);
    purge_log_free(node.purges);
}

static void node_kill(void)
{
    sim_disk_crash(SIM_CRASH_KILL);
    node_free();
}

static bool are_ended(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        if (!disk_keeper_is_ended(node.disk, i))
            return false;
    return true;
}

static void node_close(void)
{
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        disk_keeper_end(node.disk, i);
    assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 60 * NS_S, are_ended, NULL));
    node_free();
}

/* ---- objects -------------------------------------------------------------------------------------------------------- */

static struct store_key key_of(unsigned n, char *text)
{
    return storage_key(node.storage, slice_of(text, (size_t)sprintf(text, "key %u", n)));
}

static struct store_label label_of(unsigned n)
{
    char text[32];

    return store_label_of(1, STORE_LABEL_URL, slice_of(text, (size_t)sprintf(text, "url %u", n)));
}

static void fill(unsigned n)
{
    struct store_label label = label_of(n);
    char text[32], body[BODY_SIZE];
    struct store_fill fill = {.op.loop = node.loop, .key = key_of(n, text), .tenant = 1, .kind = STORE_ANSWER, .seq = storage_seq(node.storage),
                              .meta = SLICE("200"), .labels = &label, .label_count = 1, .length_bytes = sizeof(body)};

    memset(body, (int)n, sizeof(body));
    assert_int_equal(storage_get_miss_handler(node.storage, &fill), STORE_DONE);
    assert_true(err_is_ok(fill.result));
    assert_int_equal(miss_handler_write(fill.miss_handler, slice_of(body, sizeof(body))), sizeof(body));
    miss_handler_finish(fill.miss_handler);
}

static void fill_all(unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        fill(n);
    node_run(2 * NS_S);
    assert_int_equal(stats().store.objects, count);
}

static bool is_done;

static void on_done(struct store_op *op)
{
    (void)op;
    is_done = true;
}

static bool is_it_done(void *arg)
{
    (void)arg;
    return is_done;
}

static void until_done(enum store_status status)
{
    is_done = status == STORE_DONE;
    assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 60 * NS_S, is_it_done, NULL));
}

/* Is it a hit? */
static bool look_up(unsigned n)
{
    char text[32];
    struct store_lookup lookup = {.op = {.loop = node.loop, .done = on_done}, .key = key_of(n, text)};

    is_done = false;
    until_done(storage_lookup(node.storage, &lookup));
    bool is_found = lookup.object != NULL;
    store_object_unref(lookup.object);
    return is_found;
}

static unsigned hits(unsigned count)
{
    unsigned found = 0;

    for (unsigned n = 0; n < count; n++)
        found += look_up(n);
    return found;
}

static void purge_begin(struct store_purge *purge, unsigned n)
{
    *purge = (struct store_purge){.op = {.loop = node.loop, .done = on_done}, .tenant = 1, .kind = STORE_LABEL_URL, .label = label_of(n), .uncounted = true};
    is_done = false;
    is_done = storage_purge(node.storage, purge) == STORE_DONE;
}

/* Is it durable? */
static bool purge(unsigned n)
{
    struct store_purge asked;

    purge_begin(&asked, n);
    until_done(is_done ? STORE_DONE : STORE_PENDING);
    return asked.durable;
}

static int begin_with(unsigned count)
{
    sim_begin(1);
    devices = count;
    log_level_max = LOG_ERROR;
    memory_left = UINT32_MAX;
    memory_failed = false;
    return 0;
}

static int setup_one(void **state)
{
    (void)state;
    return begin_with(1);
}

static int setup_two(void **state)
{
    (void)state;
    return begin_with(2);
}

static int teardown(void **state)
{
    (void)state;
    sim_end();
    return 0;
}

static struct disk_super super_of(unsigned device)
{
    char block[DISK_BLOCK];
    struct disk_super super;

    sim_disk_peek(sim_disk_at(files[device]), DISK_SUPER_B, block, DISK_BLOCK);
    assert_true(err_is_ok(disk_super_read(block, &super)));
    return super;
}

/* ---- superblocks ---------------------------------------------------------------------------------------------------- */

static void test_one_superblock_cannot_be_read(void **state)
{
    static const uint64_t places[] = {DISK_SUPER_A, DISK_SUPER_B};

    (void)state;
    node_open();
    node_recover();
    fill_all(20);
    node_close();
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        sim_disk_set_bad(sim_disk_at(files[0]), places[i], DISK_BLOCK, SIM_DISK_READS);
        node_open();
        node_recover();
        assert_int_equal(hits(20), 20);
        assert_null(disk_note(node.disk, 0));
        node_close();
    }
}

static void test_no_superblock_can_be_read(void **state)
{
    (void)state;
    node_open();
    node_recover();
    fill_all(20);
    node_close();
    sim_disk_set_bad(sim_disk_at(files[0]), 0, DISK_SUPER_B + DISK_BLOCK, SIM_DISK_READS);
    assert_int_equal(node_open_err().code, ERR_NOT_FOUND);
    assert_non_null(disk_note(node.disk, 0));
    node_close();
    sim_disk_set_bad(sim_disk_at(files[0]), 0, 0, 0);
    node_open();
    node_recover();
    assert_int_equal(hits(20), 20);
    node_close();
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup_one, teardown)
#define TWO(test) cmocka_unit_test_setup_teardown(test, setup_two, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_one_superblock_cannot_be_read),
        ONE(test_no_superblock_can_be_read),
    };
    (void)setup_two;
    (void)super_of;
    (void)purge;
    (void)node_kill;
    return cmocka_run_group_tests_name("disk_store", tests, NULL, NULL);
}
