/* The simulator's disks. Each sector that is written carries its place and its version, so that whatever is found later
 * says where it is from. */
#include "tests/sim/selftest.h"

#include "os/sim/sim.h"

#include <errno.h>
#include <string.h>

#define PATH        "/cache/warp.store"
#define BLOCK       4096u
#define SECTOR      512u
#define SLOTS       32u
#define SLOT_BLOCKS 4u
#define SLOT_BYTES  (SLOT_BLOCKS * BLOCK)
#define FILE_BYTES  (SLOTS * SLOT_BYTES)

/* ---- a thread with a door, and operations ---------------------------------------------------------------------- */

struct call {
    struct os_file_op file;
    char *bytes;
    unsigned done;
};

static struct os *os;
static struct os_file file;
static struct sim_disk *disk;
static unsigned calls_done;

static bool thread_turn(void *arg)
{
    (void)arg;
    return os_turn(os, 0) > 0;
}

static uint64_t thread_next_ns(void *arg)
{
    (void)arg;
    return UINT64_MAX;
}

static const struct sim_thread thread = {thread_turn, thread_next_ns, NULL};

static void begin(uint64_t seed)
{
    seed_now = seed;
    calls_done = 0;
    sim_begin(seed);
    disk = sim_disk_at(PATH);
    CHECK(disk == sim_disk_at(PATH));
    CHECK(err_is_ok(os_new(NULL, &os)));
    CHECK(err_is_ok(os_file_open(PATH, FILE_BYTES, 0, &file)));
    CHECK(file.is_direct && file.align_bytes == BLOCK && file.size_bytes == FILE_BYTES && !file.is_device);
}

static void end(void)
{
    os_file_close(&file);
    os = os_free(os);
    sim_end();
}

static void call_done(struct os_op *op)
{
    struct call *call = container_of(op, struct call, file.op);

    call->done++;
    calls_done++;
}

static void call_start(struct call *call, enum os_file_kind what, uint64_t at, uint32_t size)
{
    call->done = 0;
    call->file = (struct os_file_op){
        .op.done = call_done, .file = &file, .what = (uint8_t)what, .bytes = call->bytes, .at = at, .size = size};
    os_file_submit(os, &call->file);
    CHECK(call->done == 0);
}

static void call_new(struct call *call)
{
    *call = (struct call){.bytes = os_file_memory(SLOT_BYTES)};
    CHECK(call->bytes != NULL);
}

static bool call_is_done(void *arg)
{
    return ((struct call *)arg)->done > 0;
}

static int32_t call_run(struct call *call, enum os_file_kind what, uint64_t at, uint32_t size)
{
    call_start(call, what, at, size);
    CHECK(sim_run(&thread, 1, SIM_FOREVER, call_is_done, call));
    CHECK(call->done == 1);
    return call->file.op.result;
}

static void all_run(void)
{
    (void)sim_run(&thread, 1, SIM_FOREVER, NULL, NULL);
}

/* ---- stamps ------------------------------------------------------------------------------------------------------ */

struct stamp {
    uint64_t at, version;
};

static void stamps_put(char *bytes, uint64_t at, uint32_t size, uint64_t version)
{
    for (uint32_t i = 0; i < size; i += sizeof(struct stamp)) {
        struct stamp stamp = {(at + i) / SECTOR * SECTOR, version};
        memcpy(bytes + i, &stamp, sizeof(stamp));
    }
}

/* The version of a sector, which is whole and of its place; zeros are version 0. */
static uint64_t stamp_of(const char *bytes, uint64_t at)
{
    struct stamp first, stamp;

    memcpy(&first, bytes, sizeof(first));
    for (uint32_t i = 0; i < SECTOR; i += sizeof(stamp)) {
        memcpy(&stamp, bytes + i, sizeof(stamp));
        CHECK(stamp.at == first.at && stamp.version == first.version);
    }
    CHECK(first.at == (first.version != 0 ? at : 0));
    return first.version;
}

static uint64_t version_at(uint64_t at)
{
    char sector[SECTOR];

    sim_disk_peek(disk, at, sector, SECTOR);
    return stamp_of(sector, at);
}

static int32_t slot_write(struct call *call, unsigned slot, uint64_t version)
{
    stamps_put(call->bytes, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES, version);
    return call_run(call, OS_FILE_WRITE, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES);
}

static uint64_t slot_version(struct call *call, unsigned slot)
{
    uint64_t at = (uint64_t)slot * SLOT_BYTES, version;

    CHECK(call_run(call, OS_FILE_READ, at, SLOT_BYTES) == SLOT_BYTES);
    version = stamp_of(call->bytes, at);
    for (uint32_t i = 0; i < SLOT_BYTES; i += SECTOR)
        CHECK(stamp_of(call->bytes + i, at + i) == version);
    return version;
}

/* ---- a healthy disk ---------------------------------------------------------------------------------------------- */

static void what_is_written_is_read(void)
{
    struct call calls[SLOTS];
    struct sim_disk_counts counts;
    uint64_t began_ns = os_clock_ns();

    for (unsigned slot = 0; slot < SLOTS; slot++) {
        call_new(&calls[slot]);
        stamps_put(calls[slot].bytes, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES, 1 + slot);
        call_start(&calls[slot], OS_FILE_WRITE, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES);
    }
    all_run();
    CHECK(calls_done == SLOTS);
    CHECK(os_clock_ns() > began_ns);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        CHECK(calls[slot].done == 1 && calls[slot].file.op.result == (int32_t)SLOT_BYTES);
        CHECK(slot_version(&calls[0], slot) == 1 + slot);
    }
    CHECK(call_run(&calls[0], OS_FILE_SYNC, 0, 0) == 0);
    CHECK(call_run(&calls[0], OS_FILE_READ, FILE_BYTES - BLOCK, 2 * BLOCK) == 2 * BLOCK); /* zeros behind the end */
    CHECK(stamp_of(calls[0].bytes, FILE_BYTES - BLOCK) == SLOTS);
    CHECK(stamp_of(calls[0].bytes + BLOCK, FILE_BYTES) == 0);
    counts = sim_disk_counts(disk);
    CHECK(counts.opens == 1 && counts.writes == SLOTS && counts.reads == SLOTS + 1 && counts.syncs == 1);
    CHECK(counts.written_bytes == FILE_BYTES && counts.faults == 0);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        free(calls[slot].bytes);
}

static void done_at_once(void)
{
    struct call call;

    call_new(&call);
    stamps_put(call.bytes, BLOCK, BLOCK, 7);
    CHECK(err_is_ok(os_file_now(&file, OS_FILE_WRITE, call.bytes, BLOCK, BLOCK)));
    CHECK(err_is_ok(os_file_now(&file, OS_FILE_SYNC, NULL, 0, 0)));
    memset(call.bytes, 1, SLOT_BYTES);
    CHECK(err_is_ok(os_file_now(&file, OS_FILE_READ, call.bytes, BLOCK, BLOCK)));
    CHECK(stamp_of(call.bytes, BLOCK) == 7);
    sim_disk_crash(SIM_CRASH_POWER);
    CHECK(version_at(BLOCK) == 7);
    CHECK(os_file_now(&file, OS_FILE_READ, call.bytes, BLOCK, BLOCK).sys == EIO); /* of a node that is gone */
    free(call.bytes);
}

/* A door that goes lets what it has asked for happen, and tells all who wait that it has gone. */
static void freed_door_waits(void)
{
    struct call calls[2];

    for (unsigned i = 0; i < 2; i++) {
        call_new(&calls[i]);
        stamps_put(calls[i].bytes, i * SLOT_BYTES, SLOT_BYTES, 5);
        call_start(&calls[i], i == 0 ? OS_FILE_WRITE : OS_FILE_READ, 0, SLOT_BYTES);
    }
    os = os_free(os);
    CHECK(calls_done == 2);
    CHECK(calls[0].file.op.result == -ECANCELED && calls[1].file.op.result == -ECANCELED);
    CHECK(version_at(0) == 5 && stamp_of(calls[1].bytes, 0) == 5);
    free(calls[0].bytes);
    free(calls[1].bytes);
}

static void opening(void)
{
    struct os_file second = {.fd = -1};
    struct sim_disk *other = sim_disk_at("/dev/sdx");

    CHECK(os_file_open(PATH, FILE_BYTES, 0, &second).sys == EWOULDBLOCK);
    os_file_close(&file);
    os_file_close(&file);
    sim_disk_hold(disk, true);
    CHECK(os_file_open(PATH, FILE_BYTES, 0, &file).sys == EWOULDBLOCK);
    sim_disk_hold(disk, false);
    sim_disk_refuse(disk, EROFS);
    CHECK(os_file_open(PATH, FILE_BYTES, 0, &file).sys == EROFS);
    sim_disk_refuse(disk, 0);
    sim_disk_set_room(disk, FILE_BYTES);
    CHECK(os_file_open(PATH, FILE_BYTES + BLOCK, 0, &file).sys == ENOSPC);
    CHECK(os_file_open("/cache/none", 0, OS_FILE_EXISTING, &second).sys == ENOENT);
    CHECK(!sim_disk_is_there(sim_disk_at("/cache/none")) && second.fd == -1);
    sim_disk_set_align(disk, 8192);
    CHECK(err_is_ok(os_file_open(PATH, 0, OS_FILE_EXISTING, &file)));
    CHECK(file.align_bytes == 8192 && file.is_direct && file.size_bytes == FILE_BYTES);
    os_file_close(&file);
    CHECK(err_is_ok(os_file_open(PATH, 0, OS_FILE_BUFFERED, &file)));
    CHECK(file.align_bytes == 1 && !file.is_direct);

    CHECK(!os_path_is_device("/dev/sdx"));
    sim_disk_make_device(other, 3 * BLOCK);
    CHECK(os_path_is_device("/dev/sdx"));
    CHECK(os_file_open("/dev/sdx", 4 * BLOCK, 0, &second).code == ERR_INVALID);
    CHECK(err_is_ok(os_file_open("/dev/sdx", BLOCK, 0, &second)));
    CHECK(second.is_device && second.size_bytes == 3 * BLOCK);
    os_file_close(&second);
    sim_disk_crash(SIM_CRASH_POWER);
    CHECK(sim_disk_is_there(other) && sim_disk_size(other) == 3 * BLOCK);
}

/* Cut and made longer again: nothing old comes back, also where power is lost. */
static void lengths(void)
{
    struct call call;

    call_new(&call);
    CHECK(slot_write(&call, 0, 3) == SLOT_BYTES);
    CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == 0);
    os_file_close(&file);
    CHECK(err_is_ok(os_file_open(PATH, BLOCK + SECTOR, 0, &file)));
    os_file_close(&file);
    CHECK(err_is_ok(os_file_open(PATH, FILE_BYTES, 0, &file)));
    if (sim_random(2) == 0)
        sim_disk_crash(SIM_CRASH_POWER);
    for (uint64_t at = 0; at < SLOT_BYTES; at += SECTOR)
        CHECK(version_at(at) == (at < BLOCK + SECTOR ? 3 : 0));
    sim_disk_resize(disk, 2 * BLOCK);
    CHECK(sim_disk_size(disk) == 2 * BLOCK && version_at(BLOCK) == 3);
    free(call.bytes);
}

/* ---- faults -------------------------------------------------------------------------------------------------------- */

static void errors(void)
{
    struct call call;

    call_new(&call);
    CHECK(slot_write(&call, 0, 1) == SLOT_BYTES && slot_write(&call, 1, 1) == SLOT_BYTES);
    CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == 0);
    sim_disk_set_faults(disk, &(struct sim_disk_faults){.read_error = 10000, .write_error = 10000, .sync_error = 10000});
    CHECK(call_run(&call, OS_FILE_READ, 0, SLOT_BYTES) == -EIO);
    CHECK(slot_write(&call, 1, 2) == -EIO);
    CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == -EIO);
    CHECK(sim_disk_counts(disk).faults == 3);
    sim_disk_set_faults(disk, NULL);
    CHECK(slot_version(&call, 0) == 1);
    for (uint64_t at = SLOT_BYTES; at < 2 * SLOT_BYTES; at += SECTOR)
        CHECK(version_at(at) == 1 || version_at(at) == 2); /* what failed may have got there, in part */

    sim_disk_set_bad(disk, BLOCK, SECTOR, SIM_DISK_READS);
    CHECK(call_run(&call, OS_FILE_READ, 0, SLOT_BYTES) == -EIO);
    CHECK(call_run(&call, OS_FILE_READ, 0, BLOCK) == BLOCK);
    CHECK(call_run(&call, OS_FILE_READ, 2 * BLOCK, BLOCK) == BLOCK);
    CHECK(slot_write(&call, 0, 3) == SLOT_BYTES);
    sim_disk_set_bad(disk, BLOCK, SECTOR, SIM_DISK_WRITES);
    CHECK(slot_version(&call, 0) == 3);
    CHECK(slot_write(&call, 0, 4) == -EIO);
    sim_disk_set_bad(disk, 0, 0, 0);
    CHECK(slot_write(&call, 0, 5) == SLOT_BYTES);

    call_start(&call, OS_FILE_READ, 0, BLOCK);
    sim_disk_vanish(disk, ENXIO); /* under way */
    all_run();
    CHECK(call.done == 1 && call.file.op.result == -ENXIO);
    CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == -ENXIO);
    os_file_close(&file);
    CHECK(os_file_open(PATH, 0, 0, &file).sys == ENXIO);
    sim_disk_vanish(disk, 0);
    CHECK(err_is_ok(os_file_open(PATH, 0, 0, &file)));
    CHECK(slot_version(&call, 0) == 5);
    free(call.bytes);
}

static void slow(void)
{
    uint64_t began_ns = os_clock_ns(), most_ns = 0;
    struct call call;

    call_new(&call);
    sim_disk_set_faults(disk, &(struct sim_disk_faults){.slow = 10000, .slow_ns = UINT64_C(100000000000)});
    for (unsigned i = 0; i < 10; i++) {
        CHECK(call_run(&call, OS_FILE_READ, 0, BLOCK) == BLOCK);
        most_ns = MAX(most_ns, os_clock_ns() - began_ns);
        began_ns = os_clock_ns();
    }
    CHECK(most_ns > 1000000000); /* of ten of up to 100 s */
    free(call.bytes);
}

static unsigned bits_different(const char *a, const char *b, size_t size)
{
    unsigned bits = 0;

    for (size_t i = 0; i < size; i++)
        bits += (unsigned)__builtin_popcount((unsigned)(unsigned char)(a[i] ^ b[i]));
    return bits;
}

static void lies(void)
{
    struct call call;
    char before[SLOT_BYTES], after[SLOT_BYTES];
    uint64_t place;
    unsigned astray = 0;

    call_new(&call);
    sim_disk_set_faults(disk, &(struct sim_disk_faults){.stale_read = 10000});
    CHECK(slot_write(&call, 0, 1) == SLOT_BYTES);
    CHECK(slot_version(&call, 0) == 0);
    CHECK(slot_write(&call, 0, 2) == SLOT_BYTES);
    CHECK(slot_version(&call, 0) == 1);
    sim_disk_set_faults(disk, &(struct sim_disk_faults){.phantom_write = 10000});
    CHECK(slot_write(&call, 0, 3) == SLOT_BYTES);
    CHECK(slot_version(&call, 0) == 2);
    sim_disk_set_faults(disk, &(struct sim_disk_faults){.flipped_read = 10000});
    sim_disk_peek(disk, 0, before, SLOT_BYTES);
    CHECK(call_run(&call, OS_FILE_READ, 0, SLOT_BYTES) == SLOT_BYTES);
    CHECK(bits_different(before, call.bytes, SLOT_BYTES) == 1);
    sim_disk_set_faults(disk, NULL);
    CHECK(slot_version(&call, 0) == 2);

    place = sim_disk_flip(disk, BLOCK, 2 * BLOCK);
    CHECK(place >= BLOCK && place < 3 * BLOCK);
    CHECK(call_run(&call, OS_FILE_READ, 0, SLOT_BYTES) == SLOT_BYTES);
    CHECK(bits_different(before, call.bytes, SLOT_BYTES) == 1 && before[place] != call.bytes[place]);
    if (sim_random(2) == 0) { /* what was written before does not mend it */
        CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == 0);
        sim_disk_crash(SIM_CRASH_POWER);
        CHECK(err_is_ok(os_file_open(PATH, FILE_BYTES, 0, &file)));
    }
    sim_disk_peek(disk, 0, after, SLOT_BYTES);
    CHECK(before[place] != after[place]);

    sim_disk_set_faults(disk, &(struct sim_disk_faults){.misdirected_write = 10000});
    for (unsigned slot = 2; slot < 10; slot++) {
        stamps_put(call.bytes, (uint64_t)slot * SLOT_BYTES, BLOCK, 9);
        CHECK(call_run(&call, OS_FILE_WRITE, (uint64_t)slot * SLOT_BYTES, BLOCK) == BLOCK);
    }
    for (unsigned block = 0; block < FILE_BYTES / BLOCK; block++) {
        struct stamp stamp;
        sim_disk_peek(disk, (uint64_t)block * BLOCK, &stamp, sizeof(stamp));
        astray += stamp.version == 9 && stamp.at != (uint64_t)block * BLOCK;
    }
    CHECK(astray > 0);
    free(call.bytes);
}

/* ---- crashes ------------------------------------------------------------------------------------------------------- */

/* What was seen of writes that no sync covered, over all seeds. */
static struct {
    unsigned kept, lost, torn_sector, torn_page, later_without_earlier, none_lost, all_lost;
    unsigned file_lost, file_kept;
    unsigned happened_untold, not_happened;
    unsigned sync_failed_lost, sync_failed_kept, overlaid, uncovered_lost, copied_kept;
} seen;

/* A slot's sectors: all of the new version, of the old one, or of both. */
static bool slot_judge(unsigned slot, uint64_t before, uint64_t after)
{
    unsigned fresh = 0, pages_mixed = 0;

    for (unsigned block = 0; block < SLOT_BLOCKS; block++) {
        unsigned here = 0;
        for (uint32_t i = 0; i < BLOCK; i += SECTOR) {
            uint64_t version = version_at((uint64_t)slot * SLOT_BYTES + block * BLOCK + i);
            CHECK(version == before || version == after);
            here += version == after;
        }
        pages_mixed += here > 0 && here < BLOCK / SECTOR;
        fresh += here;
    }
    seen.kept += fresh == SLOT_BYTES / SECTOR;
    seen.lost += fresh == 0;
    seen.torn_sector += pages_mixed > 0;
    seen.torn_page += fresh > 0 && fresh < SLOT_BYTES / SECTOR && pages_mixed == 0;
    return fresh == SLOT_BYTES / SECTOR;
}

/* Slots of even numbers are written and synced, then every one is written again: some hear of it, some do not. */
static void power_is_lost(void)
{
    struct call calls[SLOTS];
    unsigned told, kept = 0;
    bool before_kept = true;

    for (unsigned slot = 0; slot < SLOTS; slot++)
        call_new(&calls[slot]);
    for (unsigned slot = 0; slot < SLOTS; slot += 2)
        CHECK(slot_write(&calls[0], slot, 1) == SLOT_BYTES);
    CHECK(call_run(&calls[0], OS_FILE_SYNC, 0, 0) == 0);
    told = (unsigned)sim_random(SLOTS + 1);
    for (unsigned slot = 0; slot < told; slot++)
        CHECK(slot_write(&calls[0], slot, 2) == SLOT_BYTES);
    for (unsigned slot = told; slot < SLOTS; slot++) {
        stamps_put(calls[slot].bytes, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES, 2);
        call_start(&calls[slot], OS_FILE_WRITE, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES);
    }
    calls_done = 0;
    sim_disk_crash(SIM_CRASH_POWER);
    all_run();
    CHECK(calls_done == 0);
    os = os_free(os);
    os_file_close(&file);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        bool is_kept = slot_judge(slot, slot % 2 == 0, 2);
        kept += is_kept;
        seen.later_without_earlier += is_kept && !before_kept && slot < told;
        before_kept = is_kept;
        free(calls[slot].bytes);
    }
    seen.none_lost += kept == SLOTS;
    seen.all_lost += kept == 0;
    CHECK(err_is_ok(os_file_open(PATH, FILE_BYTES, 0, &file)));
}

static void process_is_killed(void)
{
    struct call calls[SLOTS];

    for (unsigned slot = 0; slot < SLOTS; slot++)
        call_new(&calls[slot]);
    for (unsigned slot = 0; slot < SLOTS / 2; slot++)
        CHECK(slot_write(&calls[0], slot, 1) == SLOT_BYTES);
    for (unsigned slot = SLOTS / 2; slot < SLOTS; slot++) {
        stamps_put(calls[slot].bytes, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES, 1);
        call_start(&calls[slot], OS_FILE_WRITE, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES);
    }
    sim_disk_crash(SIM_CRASH_KILL);
    for (unsigned slot = 0; slot < SLOTS; slot++)
        CHECK(slot_judge(slot, 0, 1) || slot >= SLOTS / 2);

    /* The next process' sync covers what the last one wrote. */
    file.fd = -1;
    CHECK(err_is_ok(os_file_open(PATH, FILE_BYTES, 0, &file)));
    CHECK(call_run(&calls[0], OS_FILE_SYNC, 0, 0) == 0);
    sim_disk_crash(SIM_CRASH_POWER);
    for (unsigned slot = 0; slot < SLOTS / 2; slot++)
        CHECK(slot_judge(slot, 0, 1));
    for (unsigned slot = 0; slot < SLOTS; slot++)
        free(calls[slot].bytes);
}

static void new_file_may_be_lost(void)
{
    struct call call;
    bool is_synced = sim_random(2) == 0;

    call_new(&call);
    CHECK(slot_write(&call, 0, 1) == SLOT_BYTES);
    if (is_synced)
        CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == 0);
    sim_disk_crash(SIM_CRASH_POWER);
    if (is_synced)
        CHECK(sim_disk_is_there(disk) && sim_disk_size(disk) == FILE_BYTES);
    else if (sim_disk_is_there(disk))
        seen.file_kept++;
    else
        seen.file_lost++;
    free(call.bytes);
}

static void slow_sync_start(struct call *call)
{
    sim_disk_set_faults(disk, &(struct sim_disk_faults){.slow = 10000, .slow_ns = UINT64_C(1000000000000000)});
    call_start(call, OS_FILE_SYNC, 0, 0);
    sim_disk_set_faults(disk, NULL);
}

/* A sync covers what was told of before it was asked for, not what was told of since. */
static void sync_covers(void)
{
    struct call write, sync;

    call_new(&write);
    call_new(&sync);
    CHECK(slot_write(&write, 0, 1) == SLOT_BYTES);
    slow_sync_start(&sync);
    CHECK(slot_write(&write, 1, 1) == SLOT_BYTES);
    all_run();
    CHECK(sync.done == 1 && sync.file.op.result == 0);
    sim_disk_crash(SIM_CRASH_POWER);
    CHECK(slot_judge(0, 0, 1));
    seen.uncovered_lost += !slot_judge(1, 0, 1);
    free(write.bytes);
    free(sync.bytes);
}

/* The second write of a place may reach the medium first: the first one does not come back over it. */
static void older_never_covers_newer(void)
{
    struct call write, sync;

    call_new(&write);
    call_new(&sync);
    slow_sync_start(&sync);
    CHECK(slot_write(&write, 0, 1) == SLOT_BYTES);
    CHECK(slot_write(&write, 0, 2) == SLOT_BYTES);
    all_run();
    CHECK(sync.done == 1);
    CHECK(call_run(&sync, OS_FILE_SYNC, 0, 0) == 0);
    sim_disk_crash(SIM_CRASH_POWER);
    CHECK(slot_judge(0, 0, 2));
    free(write.bytes);
    free(sync.bytes);
}

/* After a sync that failed, what it was for may be gone for good, whatever later syncs say. */
static void failed_sync_is_final(void)
{
    struct call call;

    call_new(&call);
    CHECK(slot_write(&call, 0, 1) == SLOT_BYTES);
    sim_disk_set_faults(disk, &(struct sim_disk_faults){.sync_error = 10000});
    CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == -EIO);
    sim_disk_set_faults(disk, NULL);
    CHECK(slot_version(&call, 0) == 1);
    CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == 0);
    sim_disk_crash(SIM_CRASH_POWER);
    seen.sync_failed_kept += version_at(0) == 1;
    seen.sync_failed_lost += version_at(0) == 0;
    free(call.bytes);
}

/* A read beside a write of the same place brings old and new sectors. */
static void read_beside_a_write(void)
{
    struct call read, write;
    unsigned fresh = 0;

    call_new(&read);
    call_new(&write);
    CHECK(slot_write(&write, 0, 1) == SLOT_BYTES);
    stamps_put(write.bytes, 0, SLOT_BYTES, 2);
    call_start(&read, OS_FILE_READ, 0, SLOT_BYTES);
    call_start(&write, OS_FILE_WRITE, 0, SLOT_BYTES);
    all_run();
    for (uint32_t i = 0; i < SLOT_BYTES; i += SECTOR)
        fresh += stamp_of(read.bytes + i, i) == 2;
    seen.overlaid += fresh > 0 && fresh < SLOT_BYTES / SECTOR;
    CHECK(slot_version(&read, 0) == 2);
    free(read.bytes);
    free(write.bytes);
}

static bool has_stopped(void *arg)
{
    (void)arg;
    return sim_disk_has_stopped();
}

/* Writes one after the other until the disks stop at one of them. */
static void stopped_at_an_operation(void)
{
    struct call call;
    unsigned stop = 1 + (unsigned)sim_random(SLOTS), slot = 0;
    struct os_file second;

    call_new(&call);
    sim_disk_crash_after(stop);
    for (;; slot++) {
        stamps_put(call.bytes, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES, 1);
        call_start(&call, OS_FILE_WRITE, (uint64_t)slot * SLOT_BYTES, SLOT_BYTES);
        if (!sim_run(&thread, 1, SIM_FOREVER, call_is_done, &call))
            break;
    }
    CHECK(slot == stop - 1);
    CHECK(has_stopped(NULL) && call.done == 0);
    CHECK(os_file_now(&file, OS_FILE_SYNC, NULL, 0, 0).sys == EIO);
    CHECK(os_file_open("/cache/other", 0, 0, &second).sys == EIO);
    call_start(&call, OS_FILE_READ, 0, BLOCK); /* comes from nowhere and goes nowhere */
    all_run();
    CHECK(call.done == 0);
    for (unsigned i = 0; i < slot; i++)
        CHECK(version_at((uint64_t)i * SLOT_BYTES) == 1);
    seen.happened_untold += version_at((uint64_t)slot * SLOT_BYTES) == 1;
    seen.not_happened += version_at((uint64_t)slot * SLOT_BYTES) == 0;
    if (sim_random(2) == 0)
        os = os_free(os); /* in either order */
    sim_disk_crash(SIM_CRASH_KILL);
    CHECK(!has_stopped(NULL));
    os_file_close(&file);
    (void)slot_judge(slot, 0, 1);
    CHECK(err_is_ok(os_file_open(PATH, FILE_BYTES, 0, &file)));
    free(call.bytes);
}

/* Two futures of one state. */
static void copies(void)
{
    struct call call;
    struct sim_disk_copy *copy;

    call_new(&call);
    CHECK(slot_write(&call, 0, 1) == SLOT_BYTES);
    CHECK(call_run(&call, OS_FILE_SYNC, 0, 0) == 0);
    CHECK(slot_write(&call, 1, 1) == SLOT_BYTES);
    copy = sim_disk_copy_new(disk);
    for (unsigned i = 0; i < 8; i++) {
        CHECK(slot_write(&call, 0, 2 + i) == SLOT_BYTES);
        (void)sim_disk_flip(disk, 5 * SLOT_BYTES, SLOT_BYTES);
        sim_disk_crash(SIM_CRASH_KILL);
        sim_disk_restore(disk, copy);
        CHECK(version_at(0) == 1 && version_at(SLOT_BYTES) == 1);
        for (uint64_t at = 5 * SLOT_BYTES; at < 6 * SLOT_BYTES; at += SECTOR)
            CHECK(version_at(at) == 0);
        CHECK(err_is_ok(os_file_open(PATH, FILE_BYTES, 0, &file)));
    }
    sim_disk_crash(SIM_CRASH_POWER);
    CHECK(slot_judge(0, 0, 1));
    seen.copied_kept += slot_judge(1, 0, 1); /* loose in the copy too */
    copy = sim_disk_copy_free(copy);
    free(call.bytes);
}

static void (*const parts[])(void) = {
    what_is_written_is_read, done_at_once, freed_door_waits,     opening,         lengths,
    errors,                  slow,         lies,                 power_is_lost,   process_is_killed,
    new_file_may_be_lost,    sync_covers,  older_never_covers_newer, failed_sync_is_final,
    read_beside_a_write,     stopped_at_an_operation, copies,
};

uint64_t disk_run(uint64_t seed)
{
    uint64_t hash = 0;

    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        begin(seed * ARRAY_LEN(parts) + i);
        parts[i]();
        hash = (hash ^ sim_hash()) * 0x9e3779b97f4a7c15u;
        end();
    }
    return hash;
}

void disk_check_seen(void)
{
    CHECK(seen.kept > 0 && seen.lost > 0 && seen.torn_sector > 0 && seen.torn_page > 0);
    CHECK(seen.later_without_earlier > 0 && seen.none_lost > 0 && seen.all_lost > 0);
    CHECK(seen.file_lost > 0 && seen.file_kept > 0);
    CHECK(seen.happened_untold > 0 && seen.not_happened > 0);
    CHECK(seen.sync_failed_lost > 0 && seen.sync_failed_kept > 0 && seen.overlaid > 0);
    CHECK(seen.uncovered_lost > 0 && seen.copied_kept > 0);
}
