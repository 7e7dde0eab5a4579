/* A disk tier under RAM on simulated devices of 16 MiB, with all its threads: opened, killed, closed. */
#ifndef WARP_TESTS_DISK_NODE_H
#define WARP_TESTS_DISK_NODE_H

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

#define MIB     (1024u * 1024)
#define NS_S    UINT64_C(1000000000)
#define KEEPERS 3u

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

static inline bool loop_turn_one(void *arg)
{
    return loop_turn(arg, 0);
}

static inline uint64_t loop_next_one(void *arg)
{
    return loop_next_timer_ns(arg);
}

static inline struct loop *thread_new(unsigned index)
{
    struct loop_config config = {.index = index};
    struct loop *loop;

    assert_true(err_is_ok(loop_new(&config, &loop)));
    node.threads[node.thread_count++] = (struct sim_thread){loop_turn_one, loop_next_one, loop};
    return loop;
}

/* What the store says of itself. */
static inline err node_open_with(uint64_t ram_bytes)
{
    struct disk_config config = {.path_count = devices, .size_bytes = devices * 16ull * MIB, .segment_bytes = 512 * 1024, .snapshot_ns = 3600 * NS_S};
    struct store_ram_config ram = {.max_bytes = ram_bytes, .shards = 4, .slab_from_bytes = UINT64_MAX};
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

static inline struct disk_stats stats(void)
{
    struct disk_stats now;

    disk_stats(node.disk, &now);
    return now;
}

static inline bool is_recovered(void *arg)
{
    (void)arg;
    return stats().recovering == 0;
}

static inline void node_recovered(void)
{
    assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 60 * NS_S, is_recovered, NULL));
}

static inline void node_free(void)
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

static inline void node_kill(void)
{
    sim_disk_crash(SIM_CRASH_KILL);
    node_free();
}

static inline bool are_ended(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        if (!disk_keeper_is_ended(node.disk, i))
            return false;
    return true;
}

static inline void node_close(void)
{
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        disk_keeper_end(node.disk, i);
    assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 60 * NS_S, are_ended, NULL));
    node_free();
}

#endif
