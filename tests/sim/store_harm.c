/* What goes wrong with the disks. Two faults that together hide a purge from its journal (both halves of a block, both copies
 * of a superblock) cannot be seen by anybody and are not made: what a device silently loses or mixes up is one write in a seed. */
#include "tests/sim/store_run.h"

#include "base/crc32c.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUPERS_END 131072u

enum harm {
    HARM_NONE,
    HARM_CLOSED_FLIPS, /* while nobody has it open */
    HARM_SUPERS,
    HARM_JOURNAL,
    HARM_BAD_SECTORS,
    HARM_LOST_FILE,
    HARM_RESIZED,
    HARM_REFUSED,
    HARM_HELD,
    HARM_NO_ROOM,
    HARM_AWAY,
    HARM_WORN_OUT,
    HARM_STRANGE,
    HARM_FLIPS, /* while it works */
    HARM_ERRORS,
    HARM_BAD_RANGE,
    HARM_BAD_JOURNAL,
    HARM_STALE,
    HARM_SILENT,
    HARM_VANISHES,
    HARM_SLOW,
    HARM_CUT,
    HARM_KINDS
};

struct device_harm {
    enum harm now;
    bool was_silent; /* its one silent fault, or damage to its journal, has been */
    bool is_held, is_small;
};

static struct device_harm harms[DEVICES_MAX];
static struct sim_timer timers[DEVICES_MAX];

static struct disk_super super_of(struct sim_disk *disk, bool *ret_is_there)
{
    char block[DISK_BLOCK];
    struct disk_super super = {0};

    sim_disk_peek(disk, DISK_SUPER_A, block, DISK_BLOCK);
    *ret_is_there = err_is_ok(disk_super_read(block, &super));
    return super;
}

static void super_poke(struct sim_disk *disk, const struct disk_super *super)
{
    char block[DISK_BLOCK];

    disk_super_write(super, block);
    sim_disk_poke(disk, DISK_SUPER_A, block, DISK_BLOCK);
    sim_disk_poke(disk, DISK_SUPER_B, block, DISK_BLOCK);
}

static void flips(struct sim_disk *disk, uint64_t at, uint64_t size, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        (void)sim_disk_flip(disk, at, size);
    counts.flips += times;
}

/* The journal and what lies before it are left alone: those have faults of their own. */
static void flips_anywhere(struct sim_disk *disk)
{
    bool is_there;
    struct disk_super super = super_of(disk, &is_there);
    unsigned times = (unsigned)(chance(50) ? between(1, 5) : between(1, 300));

    if (!is_there || sim_disk_size(disk) <= super.segments_at)
        return;
    if (chance(30)) /* snapshots */
        flips(disk, super.snapshot_at[0], super.segments_at - super.snapshot_at[0], times);
    else
        flips(disk, super.segments_at, sim_disk_size(disk) - super.segments_at, times);
}

static void journal_flip(struct sim_disk *disk, struct device_harm *harm)
{
    bool is_there;
    struct disk_super super = super_of(disk, &is_there);

    if (!is_there || harm->was_silent || sim_disk_size(disk) < super.snapshot_at[0])
        return;
    harm->was_silent = true;
    flips(disk, super.journal_at + (chance(50) ? 0 : super.journal_bytes / 2), super.journal_bytes / 2, (unsigned)between(1, 300));
}

/* Of a superblock or the journal, from before it is opened on. Counts as a silent fault: the other copy must be right. */
static void sectors_spoil(struct sim_disk *disk, struct device_harm *harm)
{
    bool is_there;
    struct disk_super super = super_of(disk, &is_there);
    unsigned kinds = chance(60) ? SIM_DISK_READS : (unsigned)between(1, 3);

    if (!is_there || harm->was_silent || sim_disk_size(disk) < super.snapshot_at[0])
        return;
    harm->was_silent = true;
    if (chance(20))
        sim_disk_set_bad(disk, chance(50) ? DISK_SUPER_A : DISK_SUPER_B, DISK_BLOCK, kinds);
    else
        sim_disk_set_bad(disk, super.journal_at + between(0, super.journal_bytes - 1), between(1, chance(50) ? DISK_BLOCK : super.journal_bytes), kinds);
}

static void set_mounts(struct sim_disk *disk)
{
    bool is_there;
    struct disk_super super = super_of(disk, &is_there);

    if (!is_there)
        return;
    if (chance(50))
        super.mounts = DISK_MOUNTS_MAX;
    else
        super.generation = UINT64_MAX - 1;
    super_poke(disk, &super);
}

/* Of another version, under a valid checksum: is left alone. False: there is none. */
static bool set_version(struct sim_disk *disk)
{
    char block[DISK_BLOCK];
    uint32_t version = 99, crc = 0;
    bool is_there;

    (void)super_of(disk, &is_there);
    sim_disk_peek(disk, DISK_SUPER_A, block, DISK_BLOCK);
    memcpy(block + offsetof(struct disk_super, version), &version, sizeof(version));
    memcpy(block + offsetof(struct disk_super, crc), &crc, sizeof(crc));
    crc = crc32c(0, block, DISK_BLOCK);
    memcpy(block + offsetof(struct disk_super, crc), &crc, sizeof(crc));
    if (is_there)
        sim_disk_poke(disk, DISK_SUPER_A, block, DISK_BLOCK);
    return is_there;
}

/* While it is closed. */
static void harm_closed(unsigned i)
{
    struct device_harm *harm = &harms[i];
    struct sim_disk *disk = node_disk(i);
    static const int refusals[] = {EACCES, EROFS, ELOOP, EIO, ENOENT};
    bool is_there;

    switch (harm->now) {
    case HARM_CLOSED_FLIPS:
        flips_anywhere(disk);
        break;
    case HARM_SUPERS:
        (void)super_of(disk, &is_there);
        if (!is_there) /* a device with bits on it is not WARP's */
            break;
        flips(disk, chance(50) ? DISK_SUPER_A : DISK_SUPER_B, DISK_BLOCK, 1);
        if (chance(30))
            flips(disk, 0, SUPERS_END, 50);
        break;
    case HARM_JOURNAL:
        journal_flip(disk, harm);
        break;
    case HARM_BAD_SECTORS:
        sectors_spoil(disk, harm);
        break;
    case HARM_LOST_FILE:
        sim_disk_remove(disk);
        break;
    case HARM_RESIZED:
        sim_disk_resize(disk, between(0, 2 * run.device_bytes) / 4096 * 4096);
        break;
    case HARM_REFUSED:
        sim_disk_refuse(disk, refusals[sim_random(ARRAY_LEN(refusals))]);
        break;
    case HARM_HELD:
        sim_disk_hold(disk, true);
        break;
    case HARM_NO_ROOM:
        sim_disk_set_room(disk, 1 << 20);
        break;
    case HARM_AWAY:
        sim_disk_vanish(disk, ENODEV);
        break;
    case HARM_WORN_OUT:
        set_mounts(disk);
        break;
    case HARM_STRANGE:
        if (!set_version(disk))
            harm->now = HARM_NONE;
        break;
    default:
        break;
    }
}

static void strange_check(unsigned i)
{
    bool is_there;
    struct disk_super super = super_of(node_disk(i), &is_there);

    if (is_there)
        run_failed("a store of another version was formatted anew, its generation is %llu now", (unsigned long long)super.generation);
    sim_disk_remove(node_disk(i));
}

static void working_fire(struct sim_timer *timer)
{
    unsigned i = (unsigned)(timer - timers);
    struct sim_disk *disk = node_disk(i);

    run_trace("device %u: harm %u", i, (unsigned)harms[i].now);
    switch (harms[i].now) {
    case HARM_FLIPS:
        flips_anywhere(disk);
        break;
    case HARM_VANISHES:
        sim_disk_vanish(disk, chance(50) ? ENODEV : EIO);
        counts.vanished++;
        break;
    case HARM_CUT:
        sim_disk_resize(disk, run.device_bytes / 4096 / 2 * 4096);
        break;
    case HARM_BAD_RANGE:
        sim_disk_set_bad(disk, 0, 0, 0);
        if (chance(50))
            sim_disk_set_bad(disk, between(0, run.device_bytes), between(1, chance(50) ? 8192 : 4 << 20), (unsigned)between(1, 3));
        break;
    default:
        break;
    }
    if (harms[i].now != HARM_VANISHES && harms[i].now != HARM_CUT)
        sim_timer_set(timer, os_clock_ns() + between(0, 3 * NS_S));
}

/* Once it is open. */
static void harm_working(unsigned i)
{
    struct device_harm *harm = &harms[i];
    struct sim_disk *disk = node_disk(i);
    struct sim_disk_faults faults = {0};
    bool is_there;
    struct disk_super super = super_of(disk, &is_there);
    uint16_t often = (uint16_t)(chance(50) ? between(1, 20) : between(20, 2000));

    switch (harm->now) {
    case HARM_ERRORS:
        faults.read_error = chance(70) ? often : 0;
        faults.write_error = chance(50) ? often : 0;
        faults.sync_error = chance(50) ? often : 0;
        break;
    case HARM_STALE:
        faults.stale_read = chance(60) ? often : 0;
        faults.flipped_read = chance(60) ? often : 0;
        break;
    case HARM_SILENT:
        if (harm->was_silent)
            break;
        harm->was_silent = true;
        faults.silent_most = 1;
        faults.phantom_write = chance(50) ? (uint16_t)between(1, 500) : 0;
        faults.misdirected_write = faults.phantom_write == 0 ? (uint16_t)between(1, 500) : 0;
        break;
    case HARM_SLOW:
        faults.slow = often;
        faults.slow_ns = 5 * NS_S;
        break;
    case HARM_BAD_RANGE:
        sim_disk_set_bad(disk, between(0, run.device_bytes), between(1, chance(50) ? 8192 : 4 << 20), (unsigned)between(1, 3));
        sim_timer_set(&timers[i], os_clock_ns() + between(0, 3 * NS_S));
        break;
    case HARM_BAD_JOURNAL:
        if (is_there)
            sim_disk_set_bad(disk, super.journal_at, super.journal_bytes, SIM_DISK_WRITES);
        break;
    case HARM_FLIPS:
    case HARM_VANISHES:
    case HARM_CUT:
        sim_timer_set(&timers[i], os_clock_ns() + between(0, chance(50) ? 3 * NS_S : 100 * NS_MS));
        break;
    default:
        break;
    }
    sim_disk_set_faults(disk, &faults);
}

void harm_begin(void)
{
    memset(harms, 0, sizeof(harms));
    memset(timers, 0, sizeof(timers));
    for (unsigned i = 0; i < run.devices; i++)
        timers[i].fire = working_fire;
}

void harm_before_open(bool has_harm)
{
    for (unsigned i = 0; i < run.devices; i++) {
        harms[i].now = has_harm && chance(60) ? (enum harm)between(HARM_NONE, HARM_KINDS - 1) : HARM_NONE;
        if (run.block_devices >> i & 1 && (harms[i].now == HARM_LOST_FILE || harms[i].now == HARM_RESIZED || harms[i].now == HARM_CUT ||
                                           harms[i].now == HARM_NO_ROOM || harms[i].now == HARM_STRANGE))
            harms[i].now = HARM_NONE;
        if (harms[i].now == HARM_NONE)
            continue;
        run.has_faults = true;
        counts.harms++;
        run_trace("device %u: harm %u", i, (unsigned)harms[i].now);
        harm_closed(i);
    }
}

void harm_after_open(void)
{
    for (unsigned i = 0; i < run.devices; i++)
        harm_working(i);
}

/* The node has ended: what can be mended is. */
void harm_end(void)
{
    for (unsigned i = 0; i < run.devices; i++) {
        struct sim_disk *disk = node_disk(i);
        sim_timer_stop(&timers[i]);
        sim_disk_set_faults(disk, NULL);
        sim_disk_set_bad(disk, 0, 0, 0);
        sim_disk_vanish(disk, 0);
        sim_disk_refuse(disk, 0);
        sim_disk_hold(disk, false);
        sim_disk_set_room(disk, UINT64_MAX);
        if (harms[i].now == HARM_STRANGE)
            strange_check(i);
        harms[i].now = HARM_NONE;
    }
}

bool harm_is_whole(unsigned device)
{
    return harms[device].now == HARM_NONE || harms[device].now == HARM_SLOW;
}
