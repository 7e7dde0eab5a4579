/* The disk tier below the cache of sim_cache. */
#include "tests/sim/cache_disk.h"

#include "cache/stored_pack.h"
#include "store/disk/disk_own.h"
#include "tests/sim/cache_node.h"
#include "tests/sim/cache_run.h"

#include <errno.h>

#define END_NS (200 * NS_S)

static struct disk *disk;
static struct purge_log *purges;
static struct loop *keepers[DISKS_MAX];

struct disk *node_disks_disk(void)
{
    return disk;
}

static bool keeper_turn(void *arg)
{
    return loop_turn(arg, 0);
}

static uint64_t keeper_next_ns(void *arg)
{
    return loop_next_timer_ns(arg);
}

void node_disks_open(struct store_ram_config *ram)
{
    struct disk_config config = {.paths = {"/cache0", "/cache1"},
                                 .path_count = 1 + (unsigned)(run.seed % DISKS_MAX),
                                 .size_bytes = (UINT64_C(20) << 20) * (1 + run.seed % DISKS_MAX),
                                 .segment_bytes = 512 * 1024,
                                 .probation_bytes = run.memory_bytes / 4,
                                 .snapshot_ns = NS_S,
                                 .codec = {stored_packed_bytes, stored_pack, stored_unpacked_bytes, stored_unpack}};

    purges = purge_log_new(0);
    INVARIANT(purges != NULL);
    config.purges = purges;
    INVARIANT(err_is_ok(disk_open(&config, &disk)));
    INVARIANT(disk_device_count(disk) == config.path_count);
    ram->purges = purges;
    ram->secret = disk_secret(disk);
}

unsigned node_disks_begin(struct sim_thread *threads)
{
    for (unsigned i = 0; i < disk_device_count(disk); i++) {
        struct loop_config config = {.index = run.workers + i};
        INVARIANT(err_is_ok(loop_new(&config, &keepers[i])));
        disk_keeper_begin(disk, i, keepers[i]);
        threads[i] = (struct sim_thread){keeper_turn, keeper_next_ns, keepers[i]};
    }
    return disk_device_count(disk);
}

static bool keepers_ended(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < disk_device_count(disk); i++)
        if (!disk_keeper_is_ended(disk, i) || atomic_load(&disk->devices[i].reading[0]) + atomic_load(&disk->devices[i].reading[1]) > 0)
            return false;
    return true;
}

void node_disks_end(void)
{
    for (unsigned i = 0; i < disk_device_count(disk); i++)
        disk_keeper_end(disk, i);
    if (!node_run_until(os_clock_ns() + END_NS, keepers_ended))
        run_failed(-1, 0, "I7: a keeper does not end");
}

static void orphan(struct os_file_op *op)
{
    op->op.result = -EIO;
    op->op.done(&op->op);
}

void node_disks_crash(enum sim_crash kind)
{
    *(kind == SIM_CRASH_POWER ? &counts.powers : &counts.kills) += 1;
    run_trace("%s", kind == SIM_CRASH_POWER ? "the power fails" : "killed");
    sim_disk_on_orphan(orphan);
    sim_disk_crash(kind);
    sim_disk_on_orphan(NULL);
    for (unsigned i = 0; i < disk_device_count(disk); i++)
        disk_commits_fail(&disk->devices[i]);
    for (unsigned i = 0; i < run.workers; i++)
        while (loop_turn(node_loop(i), 0))
            continue;
}

void node_disks_check(void)
{
    struct disk_stats stats;

    disk_stats(disk, &stats);
    counts.disk_hits += stats.store.lookup_hits;
    counts.disk_writes += stats.store.inserts;
    for (unsigned i = 0; i < DISK_ERROR_COUNT; i++)
        if (i != DISK_ERROR_CORRUPT && stats.errors[i] > 0) /* of what was written when the power failed some is torn */
            run_failed(-1, 0, "%llu errors of the disk's kind %u", (unsigned long long)stats.errors[i], i);
}

void node_disks_free(void)
{
    disk = disk_free(disk);
    purges = purge_log_free(purges);
    for (unsigned i = 0; i < DISKS_MAX; i++)
        keepers[i] = loop_free(keepers[i]);
}
