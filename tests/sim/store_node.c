/* The node: store, workers, keepers; how it begins and how it ends. */
#include "tests/sim/store_run.h"

#include "store/purge.h"
#include "store/ram.h"
#include "store/tiered.h"

#include "base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUSEKEEP_NS (100 * NS_MS)
#define RECOVER_NS   (600 * NS_S)
#define SEGMENTS_MAX 1024u /* of all devices */

struct node node;

static struct timer housekeeper;
static uint64_t keepers_busy_ns[DEVICES_MAX];
static char paths[DEVICES_MAX][32];
/* Segments whose write was under way when the disks stopped: their heads may be the old ones, and what lies behind not. */
static bool torn_segments[SEGMENTS_MAX];

/* ---- disks ------------------------------------------------------------------------------------------------------ */

struct sim_disk *node_disk(unsigned device)
{
    char path[64];

    snprintf(path, sizeof(path), run.block_devices >> device & 1 ? "%s" : "%s/warp.store", paths[device]);
    return sim_disk_at(path);
}

void node_disks_begin(void)
{
    memset(torn_segments, 0, sizeof(torn_segments));
    for (unsigned i = 0; i < run.devices; i++) {
        snprintf(paths[i], sizeof(paths[i]), "/cache%u", i);
        if (run.block_devices >> i & 1)
            sim_disk_make_device(node_disk(i), run.device_bytes);
        if (chance(20))
            sim_disk_set_align(node_disk(i), 512);
    }
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

static bool worker_turn(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    bool ran;

    store_near_enter(node.nears[i]);
    ran = loop_turn(node.loops[i], 0);
    store_near_enter(NULL);
    quotas_step();
    return ran;
}

static uint64_t worker_next_ns(void *arg)
{
    return loop_next_timer_ns(node.loops[(uintptr_t)arg]);
}

/* Reading takes a simulated device no time where its keeper waits for it: so the keeper does nothing for a while. */
static bool keeper_turn(void *arg)
{
    unsigned i = (unsigned)(uintptr_t)arg;
    bool ran;

    if (os_clock_ns() < keepers_busy_ns[i])
        return false;
    ran = loop_turn(node.keeper_loops[i], 0);
    if (run.recovery_step_ns > 0 && atomic_load(&node.disk->devices[i].keeper_state) == KEEPER_RECOVERING)
        keepers_busy_ns[i] = os_clock_ns() + sim_random(run.recovery_step_ns);
    quotas_step();
    return ran;
}

static uint64_t keeper_next_ns(void *arg)
{
    return MAX(loop_next_timer_ns(node.keeper_loops[(uintptr_t)arg]), keepers_busy_ns[(uintptr_t)arg]);
}

static void housekeep(struct timer *timer)
{
    storage_turn(node.storage, loop_wall_ms(node.loops[0]));
    for (unsigned i = 0; i < run.workers; i++)
        if (chance(50))
            store_near_turn(node.nears[i]);
    loop_timer_set(node.loops[0], timer, loop_now_ns(node.loops[0]) + HOUSEKEEP_NS);
}

static void loops_begin(void)
{
    node.thread_count = 0;
    for (unsigned i = 0; i < run.workers; i++) {
        struct loop_config config = {.index = i};
        INVARIANT(err_is_ok(loop_new(&config, &node.loops[i])));
        node.nears[i] = chance(70) ? storage_near_new(node.storage) : NULL;
        node.threads[node.thread_count++] = (struct sim_thread){worker_turn, worker_next_ns, (void *)(uintptr_t)i};
    }
    for (unsigned i = 0; i < disk_device_count(node.disk); i++) {
        struct loop_config config = {.index = run.workers + i};
        INVARIANT(err_is_ok(loop_new(&config, &node.keeper_loops[i])));
        disk_keeper_begin(node.disk, i, node.keeper_loops[i]);
        node.threads[node.thread_count++] = (struct sim_thread){keeper_turn, keeper_next_ns, (void *)(uintptr_t)i};
        keepers_busy_ns[i] = 0;
    }
    timer_init(&housekeeper, housekeep);
    loop_timer_set(node.loops[0], &housekeeper, os_clock_ns() + HOUSEKEEP_NS);
}

bool node_run(uint64_t for_ns, bool (*done)(void *arg))
{
    return sim_run(node.threads, node.thread_count, os_clock_ns() + for_ns, done, NULL);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static struct disk_config node_config(void)
{
    struct disk_config config = {.path_count = run.devices,
                                 .size_bytes = run.device_bytes * run.devices,
                                 .segment_bytes = 512 * 1024,
                                 .write_bytes_per_s = run.write_bytes_per_s,
                                 .probation_bytes = run.ram_bytes * STORE_PROBATION_PERCENT / 100,
                                 .snapshot_ns = run.snapshot_ns,
                                 .buffered = run.is_buffered};

    for (unsigned i = 0; i < run.devices; i++)
        config.paths[i] = paths[i];
    return config;
}

void node_open(void)
{
    struct disk_config config = node_config();
    struct store_ram_config ram = {.max_bytes = run.ram_bytes, .shards = 4, .window_bytes = 65536, .near_at_once = chance(70),
                                   .slab_from_bytes = UINT64_MAX};
    struct storage *ram_tier;

    node = (struct node){.purges = purge_log_new(0), .is_up = true, .began_ns = os_clock_ns()};
    INVARIANT(node.purges != NULL);
    for (unsigned i = 0; i < run.devices; i++)
        node.written_at_open[i] = sim_disk_counts(node_disk(i)).written_bytes;
    config.purges = node.purges;
    err e = disk_open(&config, &node.disk);
    if (!err_is_ok(e) && !sim_disk_has_stopped() && !run.has_faults)
        run_failed("a store without faults cannot be opened: %s", err_text(e));
    ram.purges = node.purges;
    ram.secret = err_is_ok(e) ? disk_secret(node.disk) : NULL;
    INVARIANT(err_is_ok(store_ram_new(&ram, &ram_tier)));
    INVARIANT(err_is_ok(store_tiered_new(ram_tier, node.disk, run.is_ram_off, &node.storage)));
    quotas_set();
    loops_begin();
    quotas_begin();
    if (!sim_disk_has_stopped() || run.has_faults) /* where none is open, one may have been formatted before it failed */
        model_opened(node_devices(false), node_devices(true));
    model_keys_hash(node.storage);
}

/* I10 */
void node_open_twice(void)
{
    struct disk_config config = node_config();
    struct disk *disk;

    if (node_devices(true) != (UINT64_C(1) << run.devices) - 1)
        return;
    config.purges = purge_log_new(0);
    INVARIANT(config.purges != NULL);
    counts.second_openers++;
    if (disk_open(&config, &disk).code != ERR_NOT_FOUND || disk_device_count(disk) > 0)
        run_failed("I10: a second process opens what is in use");
    disk_free(disk);
    purge_log_free(config.purges);
}

uint64_t node_devices(bool fresh_too)
{
    uint64_t devices = 0;

    for (unsigned i = 0; i < disk_device_count(node.disk); i++) {
        const struct disk_device *device = &node.disk->devices[i];
        if (!atomic_load(&device->is_offline) && (fresh_too || !device->is_fresh))
            devices |= UINT64_C(1) << device->number;
    }
    return devices;
}

bool node_is_recovered(void)
{
    struct disk_stats stats;

    if (!node.was_recovered) {
        disk_stats(node.disk, &stats);
        node.was_recovered = stats.recovering == 0;
    }
    return node.was_recovered;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static bool keepers_ended(void *arg)
{
    (void)arg;
    if (sim_disk_has_stopped())
        return true;
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        if (!disk_keeper_is_ended(node.disk, i))
            return false;
    return true;
}

static void count_end(void)
{
    struct store_stats stats;
    struct disk_stats disk;

    storage_stats(node.storage, &stats);
    disk_stats(node.disk, &disk);
    counts.ram_evictions += stats.evictions;
    counts.disk_evictions += disk.store.evictions;
    counts.copied += disk.written_bytes[DISK_CAUSE_RECLAIM];
    counts.snapshots += disk.written_bytes[DISK_CAUSE_SNAPSHOT] > 0;
    counts.offline += disk.devices_offline;
    counts.off += disk.is_off;
    counts.formatted += disk.errors[DISK_ERROR_FORMATTED];
    counts.unopened += disk.errors[DISK_ERROR_OPEN];
    counts.false_reads += disk.reads_false;
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        counts.sweeps += atomic_load(&node.disk->devices[i].swept_seq) > 1;
}

/* Mail that is still in a box belongs to what is under way. */
static void mail_run(void)
{
    loop_timer_stop(node.loops[0], &housekeeper);
    for (bool ran = true; ran;) {
        ran = false;
        for (unsigned i = 0; i < run.workers; i++)
            ran |= worker_turn((void *)(uintptr_t)i);
    }
}

static void node_free(void)
{
    struct disk_stats stats;

    count_end();
    disk_stats(node.disk, &stats);
    if (!node.was_noted && stats.store.evictions > 0)
        node_forget_kept();
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        disk_commits_fail(&node.disk->devices[i]);
    mail_run();
    work_end();
    mail_run();
    for (unsigned i = 0; i < run.workers; i++)
        store_near_free(node.nears[i]);
    unsigned keepers = disk_device_count(node.disk);
    storage_free(node.storage);
    disk_free(node.disk);
    for (unsigned i = 0; i < run.workers; i++)
        loop_free(node.loops[i]);
    for (unsigned i = 0; i < keepers; i++)
        loop_free(node.keeper_loops[i]);
    purge_log_free(node.purges);
    node = (struct node){0};
    model_restart();
}

static bool reads_ended(void *arg)
{
    (void)arg;
    if (sim_disk_has_stopped())
        return true;
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        if (atomic_load(&node.disk->devices[i].reading[0]) + atomic_load(&node.disk->devices[i].reading[1]) > 0)
            return false;
    return true;
}

bool node_close(void)
{
    work_cancel();
    if (!node_run(RECOVER_NS, reads_ended))
        run_failed("a lookup that was cancelled does not end");
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        disk_keeper_end(node.disk, i);
    if (!node_run(RECOVER_NS, keepers_ended))
        run_failed("I4: a keeper does not end");
    if (sim_disk_has_stopped())
        return false;
    node_audit();
    node_note_kept();
    node_free();
    counts.clean_ends++;
    return true;
}

/* Reads of the node that has gone: nobody waits for them, they let go of what they hold. */
static void orphan(struct os_file_op *op)
{
    op->op.result = -EIO;
    op->op.done(&op->op);
}

static void torn_note(void)
{
    INVARIANT(node.disk->segment_count <= SEGMENTS_MAX);
    for (uint32_t i = 0; node.disk->segments != NULL && i < node.disk->segment_count; i++)
        torn_segments[i] |= atomic_load(&node.disk->segments[i].state) == SEGMENT_BAD;
}

static bool has_torn(void)
{
    for (uint32_t i = 0; i < SEGMENTS_MAX; i++)
        if (torn_segments[i])
            return true;
    return false;
}

void node_crash(enum sim_crash kind)
{
    work_cancel();
    if (sim_disk_has_stopped())
        torn_note();
    sim_disk_on_orphan(orphan);
    sim_disk_crash(kind);
    sim_disk_on_orphan(NULL);
    node_free();
    run.had_power_loss |= kind == SIM_CRASH_POWER;
    run_trace("%s", kind == SIM_CRASH_POWER ? "the power fails" : "killed");
}

/* ---- accounts ---------------------------------------------------------------------------------------------------- */

struct audit {
    uint64_t *tenants, total, entries;
    uint64_t *segments;
    struct disk_entry *all;
    uint64_t room;
};

static void audit_visit(void *arg, struct disk_entry *entry)
{
    struct audit *audit = arg;
    uint64_t bytes = disk_size_of_class(entry->size_class);

    audit->tenants[entry->tenant] += bytes;
    audit->segments[entry->segment] += bytes / DISK_OFFSET_UNIT;
    audit->total += bytes;
    counts.heads += entry->kind == DISK_HEAD || entry->kind == DISK_HEAD_SOFT;
    if (audit->entries == audit->room) {
        audit->room = MAX(2 * audit->room, 1024u);
        audit->all = realloc(audit->all, audit->room * sizeof(*audit->all));
        INVARIANT(audit->all != NULL);
    }
    audit->all[audit->entries++] = *entry;
}

/* What waits in buffers counts for its tenant already. */
static void audit_pending(struct audit *audit)
{
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        for (unsigned log = 0; log < EVICT_LOGS; log++) {
            const struct disk_stream *stream = &node.disk->devices[i].streams[log];
            for (unsigned k = 0; k < stream->pending_count; k++)
                if (stream->pending[k].stored != NULL)
                    audit->tenants[stream->pending[k].entry.tenant] += disk_size_of_class(stream->pending[k].entry.size_class);
        }
}

/* The record an entry points to. False: it is not there as it should be. */
static bool record_at(const struct disk_entry *entry, char *memory, struct disk_record *ret_record)
{
    struct disk_device *device = disk_device_of_segment(node.disk, entry->segment);
    uint32_t offset = entry->offset * DISK_OFFSET_UNIT;
    uint32_t size = MIN((uint32_t)disk_size_of_class(entry->size_class), device->super.segment_bytes - offset);
    struct disk_place place = disk_place_of(device, entry->segment, atomic_load(&node.disk->segments[entry->segment].generation), offset);
    uint64_t bytes;

    sim_disk_peek(node_disk(device->number), disk_at(device, entry->segment, offset), memory, size);
    return err_is_ok(disk_record_read(memory, size, &place, ret_record, &bytes)) && ret_record->body.len == ret_record->body_bytes &&
           err_is_ok(disk_record_check_body(ret_record));
}

static bool is_body_kind(unsigned kind)
{
    return kind == DISK_BODY || kind == DISK_WHOLE || kind == DISK_WHOLE_SOFT;
}

/* I3: what the index names is there, and is of a key whose hash that is. */
static void audit_record(const struct disk_entry *entry, char *memory)
{
    const struct disk_segment *segment = &node.disk->segments[entry->segment];
    const struct disk_device *device = disk_device_of_segment(node.disk, entry->segment);
    uint8_t state = atomic_load(&segment->state);
    struct disk_record record;

    if (atomic_load(&device->is_offline))
        return;
    if (state != SEGMENT_FILLING && state != SEGMENT_SEALED)
        run_failed("I3: an entry names segment %u at %u, which is %s", entry->segment, entry->offset,
                   state == SEGMENT_FREE ? "free" : state == SEGMENT_BAD ? "bad" : "unknown");
    if (!record_at(entry, memory, &record)) {
        if (run.has_faults || run.had_power_loss || torn_segments[entry->segment])
            return;
        run_failed("I3: segment %u at %u: what the index names (kind %u) is not there", entry->segment, entry->offset, entry->kind);
    }
    if (record.tenant != entry->tenant || (entry->kind != record.kind && !(entry->kind == DISK_BODY && is_body_kind(record.kind)) &&
                                           !(entry->kind == DISK_WHOLE_SOFT && record.kind == DISK_WHOLE) &&
                                           !(entry->kind == DISK_HEAD_SOFT && record.kind == DISK_HEAD)))
        run_failed("I3: segment %u at %u: an entry of kind %u, tenant %u, and a record of kind %u, tenant %u", entry->segment, entry->offset,
                   entry->kind, entry->tenant, (unsigned)record.kind, record.tenant);
}

/* I12: what was counted as written is what the devices took. */
static void audit_writes(const struct disk_stats *stats)
{
    uint64_t counted = 0, taken = 0;

    if (sim_disk_has_stopped() || run.has_faults)
        return;
    for (unsigned i = 0; i < DISK_CAUSE_COUNT; i++)
        counted += stats->written_bytes[i];
    for (unsigned i = 0; i < run.devices; i++)
        taken += sim_disk_counts(node_disk(i)).written_bytes - node.written_at_open[i];
    if (counted != taken)
        run_failed("I12: %llu bytes are counted as written, and the devices took %llu", (unsigned long long)counted, (unsigned long long)taken);
}

static void audit_errors(const struct disk_stats *stats)
{
    static const char *const words[] = {
#define X(name, word) word,
        DISK_ERRORS(X)
#undef X
    };

    if (run.has_faults || run.had_power_loss || sim_disk_has_stopped())
        return;
    /* a journal that was never begun is told of as damaged */
    for (unsigned i = 0; i < DISK_ERROR_COUNT; i++)
        if (stats->errors[i] > 0 && !(i == DISK_ERROR_JOURNAL && run.had_open_stopped) && !(i == DISK_ERROR_CORRUPT && has_torn()))
            run_failed("%llu errors of kind %s are counted, and there was no fault", (unsigned long long)stats->errors[i], words[i]);
}

/* I12: beyond what it began with and what time has brought, no more than what was in buffers. */
static void audit_budget(const struct disk_stats *stats)
{
    uint64_t rate = run.write_bytes_per_s, passed_s = (os_clock_ns() - node.began_ns) / NS_S + 1;
    uint64_t most = stats->store.max_bytes + stats->devices * (rate * (EVICT_BUDGET_S + passed_s) + 3 * DISK_BUFFER_BYTES);
    uint64_t written = stats->written_bytes[DISK_CAUSE_OBJECTS] + stats->written_bytes[DISK_CAUSE_UPDATES] + stats->written_bytes[DISK_CAUSE_RECLAIM] +
                       stats->written_bytes[DISK_CAUSE_FOOTERS];

    if (rate > 0 && written > most)
        run_failed("I12: %llu bytes were written, and the budget has %llu", (unsigned long long)written, (unsigned long long)most);
    counts.budgets += rate > 0;
}

/* I8: a device with which nothing is wrong is in use. */
static void audit_devices(void)
{
    uint64_t devices = node_devices(true);

    for (unsigned i = 0; i < run.devices && !sim_disk_has_stopped(); i++)
        if (harm_is_whole(i) && (devices >> i & 1) == 0)
            run_failed("I8: device %u is not in use, and nothing is wrong with it", i);
}

void node_audit(void)
{
    struct disk_walk walk;
    struct disk_stats stats;
    struct audit audit = {0};
    char *memory;

    disk_stats(node.disk, &stats);
    audit_devices();
    if (node.disk->index == NULL)
        return;
    audit_budget(&stats);
    quotas_audit();
    counts.audits++;
    audit.tenants = calloc(STORE_TENANTS, sizeof(uint64_t));
    audit.segments = calloc(node.disk->segment_count, sizeof(uint64_t));
    memory = malloc(DISK_BUFFER_BYTES);
    INVARIANT(audit.tenants != NULL && audit.segments != NULL && memory != NULL);
    disk_index_walk_begin(node.disk->index, &walk);
    (void)disk_index_walk(node.disk->index, &walk, UINT64_MAX, audit_visit, &audit);
    disk_index_walk_end(node.disk->index, &walk);
    audit_pending(&audit);
    if (audit.total != stats.store.size_bytes || audit.entries != stats.store.objects)
        run_failed("I6: %llu bytes in %llu entries are counted, and there are %llu in %llu", (unsigned long long)stats.store.size_bytes,
                   (unsigned long long)stats.store.objects, (unsigned long long)audit.total, (unsigned long long)audit.entries);
    for (unsigned i = 0; i <= TENANTS; i++)
        if (audit.tenants[i] != disk_tenant_bytes(node.disk, (uint16_t)i))
            run_failed("I6: %llu bytes of tenant %u are counted, and there are %llu", (unsigned long long)disk_tenant_bytes(node.disk, (uint16_t)i), i,
                       (unsigned long long)audit.tenants[i]);
    for (uint32_t i = 0; i < node.disk->segment_count; i++)
        if (audit.segments[i] != atomic_load(&node.disk->segments[i].live_units))
            run_failed("I6: %u units of segment %u are counted, and there are %llu", atomic_load(&node.disk->segments[i].live_units), i,
                       (unsigned long long)audit.segments[i]);
    for (uint64_t i = 0; i < audit.entries; i++)
        audit_record(&audit.all[i], memory);
    audit_writes(&stats);
    audit_errors(&stats);
    free(audit.all);
    free(audit.tenants);
    free(audit.segments);
    free(memory);
}

/* What the index has, in any order. */
uint64_t node_digest(void)
{
    struct disk_walk walk;
    struct audit audit = {0};
    uint64_t digest = 0;

    if (node.disk->index == NULL)
        return 0;
    audit.tenants = calloc(STORE_TENANTS, sizeof(uint64_t));
    audit.segments = calloc(node.disk->segment_count, sizeof(uint64_t));
    INVARIANT(audit.tenants != NULL && audit.segments != NULL);
    disk_index_walk_begin(node.disk->index, &walk);
    (void)disk_index_walk(node.disk->index, &walk, UINT64_MAX, audit_visit, &audit);
    disk_index_walk_end(node.disk->index, &walk);
    for (uint64_t i = 0; i < audit.entries; i++) {
        const struct disk_entry *entry = &audit.all[i];
        uint64_t words[3] = {(uint64_t)entry->segment << 32 | entry->offset, (uint64_t)entry->tenant << 32 | entry->kind,
                             atomic_load(&node.disk->segments[entry->segment].generation)};
        digest += hash64(slice_of(words, sizeof(words)), 1);
        run_trace("entry: segment %u of generation %llx at %u, kind %u", entry->segment, (unsigned long long)words[2], entry->offset, entry->kind);
    }
    free(audit.all);
    free(audit.tenants);
    free(audit.segments);
    return digest + audit.entries;
}

/* I9: what is in use has free segments again when it was left alone for a while. */
void node_check_free(void)
{
    for (unsigned i = 0; i < disk_device_count(node.disk); i++) {
        const struct disk_device *device = &node.disk->devices[i];
        uint64_t sealed = device->chains[EVICT_SMALL].count + device->chains[EVICT_MAIN].count;
        if (!atomic_load(&device->is_offline) && atomic_load(&device->free_count) < 3 && sealed > 0)
            run_failed("I9: device %u has %u free segments, and %llu to reclaim", device->number, atomic_load(&device->free_count),
                       (unsigned long long)sealed);
    }
}

/* ---- what a restart must find ------------------------------------------------------------------------------------ */

/* The object the index has under the key; MADE_NONE: none that can be read. */
static uint32_t number_on_disk(uint32_t key, char *memory)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    uint64_t hash = disk_hash(storage_key(node.storage, model_key_of(key)).hash);
    unsigned count = disk_index_find(node.disk->index, hash, DISK_KINDS_BUT_BODY, entries);
    struct disk_record record, body;
    uint32_t number = MADE_NONE;

    for (unsigned i = 0; i < count && number == MADE_NONE; i++) {
        if (!record_at(&entries[i], memory, &record) || !slice_eq(record.key, model_key_of(key)))
            continue;
        number = model_number_of(record.meta);
        if (run.tracing)
            run_trace("key %u: on the disk is object %u, segment %u of generation %llx at %u, kind %u, sequence %llx", key, number, entries[i].segment,
                      (unsigned long long)atomic_load(&node.disk->segments[entries[i].segment].generation), entries[i].offset, entries[i].kind,
                      (unsigned long long)record.wseq);
        if (entries[i].kind != DISK_HEAD && entries[i].kind != DISK_HEAD_SOFT)
            break;
        uint64_t body_id = record.body_id;
        unsigned bodies = disk_index_find(node.disk->index, hash, 1u << DISK_BODY, entries);
        if (run.tracing)
            run_trace("key %u: %u bodies, segment %u at %u", key, bodies, entries[0].segment, entries[0].offset);
        if (bodies == 0 || !record_at(&entries[0], memory, &body) || body.body_id != body_id)
            number = MADE_NONE;
        break;
    }
    return number;
}

void node_note_kept(void)
{
    char *memory = malloc(DISK_BUFFER_BYTES);

    INVARIANT(memory != NULL);
    node.was_noted = true;
    for (uint32_t i = 0; i < model_key_count; i++) {
        struct model_key *key = &model_keys[i];
        if (node.was_recovered) /* else what was noted before holds */
            key->kept = node.disk->index != NULL ? number_on_disk(i, memory) : MADE_NONE;
    }
    free(memory);
}

void node_forget_kept(void)
{
    for (uint32_t i = 0; i < model_key_count; i++)
        model_keys[i].kept = MADE_NONE;
}

/* Whatever was there is there again, or something newer is. */
void node_check_kept(void)
{
    char *memory = malloc(DISK_BUFFER_BYTES);
    struct disk_stats stats;

    INVARIANT(memory != NULL);
    disk_stats(node.disk, &stats);
    for (uint32_t i = 0; i < model_key_count; i++) {
        struct model_key *key = &model_keys[i];
        uint32_t kept = key->kept, found;
        if (kept == MADE_NONE || key->is_twin || model_was_ever_purged(kept) || stats.store.evictions > 0 || stats.index_lost > 0)
            continue;
        counts.kept_checked++;
        found = number_on_disk(i, memory);
        if (found == MADE_NONE || model_made(found)->published < model_made(kept)->published)
            run_failed("I3: object %u of key %u was on the disk, and after the restart there is %d", kept, i, (int)found);
    }
    free(memory);
}
