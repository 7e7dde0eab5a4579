/* What WARP does: a RAM tier over the disk tier's two logs. What decides is WARP's own code: evict.c for the disk,
 * s3fifo.c for RAM, format.c for what takes how much room. Around it is a model of what moves the bytes:
 *
 *   miss --> RAM --asked for again in RAM | seen not long ago | admission is open--> a segment of one log
 *   hit on disk --> RAM, too                    reclaim: while fewer than RESERVE segments are free, the oldest of a log
 *
 * A body is in slices, each by itself, as in the disk tier. Nothing takes time but what the trace says. */
#include "replay/key_table.h"
#include "replay/policy.h"
#include "store/disk/format.h"
#include "store/evict.h"
#include "store/s3fifo.h"

#include <inttypes.h>
#include <stdlib.h>

#define RESERVE        3u /* as reclaim.c: free segments wanted at least; */
#define RESERVE_LAST   1u /* with no more than that nothing is copied */
#define KEY_BYTES      60u /* of a usual URL, its fields, its labels */
#define META_BYTES     240u
#define LABELS         4u
#define RAM_OBJECT_BYTES 400u /* what an object takes in RAM beside its body */
#define RAM_SHARE      8u     /* no object is more of RAM */
#define GHOSTS_FIRST   1024u
#define SLICE_UNIT     4096u

struct ram_object {
    struct stored stored;
    uint32_t record;
    bool was_offered; /* to the disk; once a stay in RAM */
    uint8_t told;     /* hits the disk was told of, up to DISK_HITS_MAX a stay: so much is kept of an object */
};

/* Of a slice that is in RAM, on disk or both. */
struct record {
    uint64_t hash;
    struct ram_object *ram; /* NULL: not there */
    uint32_t bytes;
    uint32_t segment; /* NOWHERE: not on disk; of a free record: the next one */
    uint8_t hits;     /* up to DISK_HITS_MAX */
};
#define NOWHERE UINT32_MAX

struct segment {
    uint32_t *records; /* as they were written: nothing is purged or replaced here, so they stay */
    uint32_t count, room;
    uint32_t next; /* in a chain */
    uint64_t bytes, footer_bytes;
};

struct chain {
    uint32_t first, last;
    uint64_t count;
};

struct tier {
    struct policy policy;
    struct evict *evict;
    uint64_t slice_bytes, memory_used;
    struct key_table table;
    struct record *records;
    uint32_t record_count, record_room, record_free;
    /* disk */
    uint32_t segment_bytes, segment_count;
    struct segment *segments;
    struct chain free, logs[EVICT_LOGS];
    uint32_t filling[EVICT_LOGS];
    /* RAM */
    struct s3fifo ram;
    struct store_budget budget; /* without shares: there is one tenant */
    uint32_t *ghosts, ghost_count;
    uint64_t ram_objects, ram_hit_bytes;
};

static struct tier *tier_of(struct policy *policy)
{
    return container_of(policy, struct tier, policy);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static uint32_t record_new(struct tier *tier, uint64_t hash, uint32_t bytes)
{
    uint32_t at = tier->record_free;

    if (at != NOWHERE) {
        tier->record_free = tier->records[at].segment;
    } else {
        if (tier->record_count == tier->record_room) {
            tier->record_room = MAX(2 * tier->record_room, 1024);
            tier->records = replay_memory(tier->records, tier->record_room, sizeof(*tier->records));
        }
        at = tier->record_count++;
    }
    tier->records[at] = (struct record){.hash = hash, .bytes = bytes, .segment = NOWHERE};
    key_table_add(&tier->table, hash, at);
    return at;
}

static void record_free_if_gone(struct tier *tier, uint32_t at)
{
    struct record *record = &tier->records[at];

    if (record->ram != NULL || record->segment != NOWHERE)
        return;
    key_table_remove(&tier->table, record->hash);
    record->segment = tier->record_free;
    tier->record_free = at;
}

/* ---- disk: segments --------------------------------------------------------------------------------------------- */

static void chain_push(struct tier *tier, struct chain *chain, uint32_t segment)
{
    tier->segments[segment].next = NOWHERE;
    if (chain->count++ == 0)
        chain->first = segment;
    else
        tier->segments[chain->last].next = segment;
    chain->last = segment;
}

static uint32_t chain_pop(struct tier *tier, struct chain *chain)
{
    uint32_t segment = chain->first;

    INVARIANT(chain->count > 0);
    chain->count--;
    chain->first = tier->segments[segment].next;
    return segment;
}

static void wrote(struct tier *tier, uint64_t bytes)
{
    tier->policy.written_bytes += bytes;
    evict_wrote(tier->evict, bytes);
}

static uint64_t record_bytes(const struct record *record)
{
    return disk_record_bytes(KEY_BYTES, LABELS, META_BYTES, record->bytes);
}

#define FOOTER_ENTRY_BYTES (sizeof(struct disk_footer_entry) + LABELS * sizeof(struct store_label))

static bool segment_has_room(const struct tier *tier, uint32_t at, uint64_t bytes)
{
    const struct segment *segment = &tier->segments[at];

    return segment->bytes + bytes + disk_footer_room(segment->footer_bytes + FOOTER_ENTRY_BYTES) <= tier->segment_bytes;
}

static bool segment_open(struct tier *tier, enum evict_log log)
{
    uint32_t *filling = &tier->filling[log];

    if (*filling != NOWHERE) {
        wrote(tier, disk_footer_room(tier->segments[*filling].footer_bytes));
        chain_push(tier, &tier->logs[log], *filling);
        *filling = NOWHERE;
    }
    if (tier->free.count == 0)
        return false;
    *filling = chain_pop(tier, &tier->free);
    struct segment *segment = &tier->segments[*filling];
    segment->count = 0;
    segment->footer_bytes = 0;
    segment->bytes = DISK_SEGMENT_HEAD_BYTES;
    wrote(tier, DISK_SEGMENT_HEAD_BYTES);
    return true;
}

static bool append(struct tier *tier, enum evict_log log, uint32_t at, uint8_t hits)
{
    uint64_t bytes = record_bytes(&tier->records[at]);

    if ((tier->filling[log] == NOWHERE || !segment_has_room(tier, tier->filling[log], bytes)) && !segment_open(tier, log))
        return false;
    struct segment *segment = &tier->segments[tier->filling[log]];
    if (segment->count == segment->room) {
        segment->room = MAX(2 * segment->room, 64);
        segment->records = replay_memory(segment->records, segment->room, sizeof(*segment->records));
    }
    tier->records[at].segment = tier->filling[log];
    tier->records[at].hits = hits;
    segment->records[segment->count++] = at;
    segment->bytes += bytes;
    segment->footer_bytes += FOOTER_ENTRY_BYTES;
    wrote(tier, bytes);
    return true;
}

/* ---- disk: reclaim ---------------------------------------------------------------------------------------------- */

static void reclaim_record(struct tier *tier, enum evict_log log, uint32_t at)
{
    struct record *record = &tier->records[at];
    bool is_forced = tier->free.count <= RESERVE_LAST;
    uint8_t hits = record->hits;

    if (evict_fate(tier->evict, log, record->hash, record_bytes(record), &hits, false, is_forced) == EVICT_TO_MAIN &&
        append(tier, EVICT_MAIN, at, hits))
        return;
    record->segment = NOWHERE;
    record_free_if_gone(tier, at);
}

static void reclaim(struct tier *tier)
{
    while (tier->free.count < RESERVE) {
        uint64_t sealed[EVICT_LOGS] = {tier->logs[EVICT_SMALL].count, tier->logs[EVICT_MAIN].count};
        if (sealed[EVICT_SMALL] + sealed[EVICT_MAIN] == 0)
            return;
        enum evict_log log = evict_victim_log(tier->evict, sealed);
        uint32_t victim = chain_pop(tier, &tier->logs[log]);
        for (uint32_t i = 0; i < tier->segments[victim].count; i++)
            reclaim_record(tier, log, tier->segments[victim].records[i]);
        chain_push(tier, &tier->free, victim);
    }
}

static void offer(struct tier *tier, uint32_t at, bool was_used)
{
    const struct record *record = &tier->records[at];

    switch (evict_admit(tier->evict, record->hash, record_bytes(record), was_used)) {
    case EVICT_ADMIT_NOT:
        return;
    case EVICT_ADMIT_SMALL:
        (void)append(tier, EVICT_SMALL, at, 0);
        break;
    case EVICT_ADMIT_MAIN:
        (void)append(tier, EVICT_MAIN, at, 0);
        break;
    }
    reclaim(tier);
}

/* ---- RAM ---------------------------------------------------------------------------------------------------------- */

/* As a shard of the RAM tier with its table: as many ghosts as objects, at least; forgotten where it grows. */
static void ghosts_grow(struct tier *tier)
{
    if (tier->ram_objects <= tier->ghost_count)
        return;
    tier->ghost_count = MAX(2 * tier->ghost_count, GHOSTS_FIRST);
    free(tier->ghosts);
    tier->ghosts = replay_memory(NULL, tier->ghost_count, sizeof(*tier->ghosts));
    memset(tier->ghosts, 0, tier->ghost_count * sizeof(*tier->ghosts));
    s3fifo_set_ghosts(&tier->ram, tier->ghosts, tier->ghost_count / S3_GHOST_WAYS);
}

static void ram_free(struct tier *tier, struct ram_object *object)
{
    tier->memory_used -= (uint64_t)object->stored.charge_units * STORED_UNIT_BYTES;
    tier->ram_objects--;
    tier->records[object->record].ram = NULL;
    record_free_if_gone(tier, object->record);
    free(object);
}

/* False: it is too large for it. */
static bool ram_put(struct tier *tier, uint32_t at)
{
    struct record *record = &tier->records[at];
    uint64_t bytes = record->bytes + RAM_OBJECT_BYTES;

    if (bytes > tier->policy.config.memory_bytes / RAM_SHARE)
        return false;
    struct ram_object *object = replay_memory(NULL, 1, sizeof(*object));
    memset(object, 0, sizeof(*object));
    object->record = at;
    object->stored.budget = &tier->budget;
    object->stored.seen.hash = (hash128){record->hash, record->hash};
    list_init(&object->stored.link);
    atomic_init(&object->stored.refs, 1);
    record->ram = object;
    tier->ram_objects++;
    ghosts_grow(tier);
    s3fifo_push(&tier->ram, &object->stored, bytes);
    tier->memory_used += (uint64_t)object->stored.charge_units * STORED_UNIT_BYTES;
    while (tier->memory_used > tier->policy.config.memory_bytes) {
        struct stored *victim = s3fifo_victim(&tier->ram);
        if (victim != NULL)
            ram_free(tier, container_of(victim, struct ram_object, stored));
    }
    return true;
}

/* ---- requests ----------------------------------------------------------------------------------------------------- */

static void slice_missed(struct tier *tier, uint64_t hash, uint32_t bytes)
{
    uint32_t at = record_new(tier, hash, bytes);
    bool was_seen = evict_missed(tier->evict, hash, record_bytes(&tier->records[at]));
    bool is_offered = was_seen || evict_is_open(tier->evict);

    if (is_offered)
        offer(tier, at, was_seen);
    if (!ram_put(tier, at))
        record_free_if_gone(tier, at);
    else if (tier->records[at].ram != NULL)
        tier->records[at].ram->was_offered = is_offered;
}

static void record_hit(struct record *record)
{
    if (record->hits < DISK_HITS_MAX)
        record->hits++;
}

static void ram_hit(struct tier *tier, uint32_t at)
{
    struct record *record = &tier->records[at];
    struct ram_object *ram = record->ram;

    s3fifo_used(&ram->stored);
    tier->ram_hit_bytes += record->bytes;
    if (record->segment != NOWHERE && ram->told < DISK_HITS_MAX) {
        ram->told++;
        record_hit(record);
    } else if (record->segment == NOWHERE && !ram->was_offered) {
        ram->was_offered = true;
        offer(tier, at, true);
    }
}

static bool slice_request(struct tier *tier, uint64_t hash, uint32_t bytes)
{
    uint32_t at = key_table_find(&tier->table, hash);

    if (at == KEY_NONE) {
        slice_missed(tier, hash, bytes);
        return false;
    }
    struct record *record = &tier->records[at];
    if (record->ram != NULL)
        ram_hit(tier, at);
    else {
        record_hit(record);
        (void)ram_put(tier, at);
    }
    return true;
}

static uint64_t slice_hash(uint64_t object, uint64_t i)
{
    uint64_t z = object + i * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static uint64_t tier_request(struct policy *policy, const struct trace_request *request)
{
    struct tier *tier = tier_of(policy);
    uint64_t left = request->bytes, hit_bytes = 0, i = 0;
    bool is_hit = true;

    evict_turn(tier->evict, request->time_ns, tier->free.count);
    do {
        uint32_t bytes = (uint32_t)MIN(left, tier->slice_bytes);
        if (slice_request(tier, slice_hash(request->object, i++), bytes))
            hit_bytes += bytes;
        else
            is_hit = false;
        left -= bytes;
    } while (left > 0);
    policy->hits += is_hit;
    return hit_bytes;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

struct policy_shape policy_warp_shape(const struct policy_config *config)
{
    struct disk_super super;
    err e = disk_super_layout(config->bytes - config->memory_bytes, 0, &super);

    INVARIANT(err_is_ok(e)); /* the caller has seen to the least size */
    return (struct policy_shape){super.segments, super.segment_bytes};
}

static void disk_lay_out(struct tier *tier)
{
    struct policy_shape shape = policy_warp_shape(&tier->policy.config);

    tier->segment_bytes = (uint32_t)shape.segment_bytes;
    tier->segment_count = (uint32_t)shape.segments;
    tier->segments = replay_memory(NULL, tier->segment_count, sizeof(*tier->segments));
    memset(tier->segments, 0, tier->segment_count * sizeof(*tier->segments));
    for (uint32_t i = 0; i < tier->segment_count; i++)
        chain_push(tier, &tier->free, i);
    for (unsigned i = 0; i < EVICT_LOGS; i++)
        tier->filling[i] = NOWHERE;
}

/* Two in a segment at least, and as small as RAM needs them. */
static uint64_t slice_bytes_of(const struct tier *tier)
{
    uint64_t memory_bytes = tier->policy.config.memory_bytes, most = STORE_SLICE_BYTES;

    most = MIN(most, tier->segment_bytes / 2 - 4 * SLICE_UNIT);
    if (memory_bytes > 0)
        most = MIN(most, MAX(memory_bytes / RAM_SHARE / 2, SLICE_UNIT));
    return most - most % SLICE_UNIT;
}

static struct policy *tier_new(const struct policy_config *config)
{
    struct tier *tier = replay_memory(NULL, 1, sizeof(*tier));

    memset(tier, 0, sizeof(*tier));
    tier->policy = (struct policy){.kind = &policy_warp, .config = *config};
    tier->record_free = NOWHERE;
    disk_lay_out(tier);
    tier->slice_bytes = slice_bytes_of(tier);
    s3fifo_init(&tier->ram);
    tier->ram.small_percent = STORE_PROBATION_OVER_DISK_PERCENT;
    struct evict_config evict = {.segments = tier->segment_count,
                                 .segment_bytes = tier->segment_bytes,
                                 .write_bytes_per_s = config->write_bytes_per_s,
                                 .probation_bytes = config->memory_bytes / 100 * STORE_PROBATION_OVER_DISK_PERCENT};
    if (!err_is_ok(evict_new(&evict, &tier->evict)))
        replay_out_of_memory(); /* it is the only thing that can be wrong */
    return &tier->policy;
}

static void tier_free(struct policy *policy)
{
    struct tier *tier = tier_of(policy);

    for (uint32_t i = 0; i < tier->record_count; i++)
        free(tier->records[i].ram);
    for (uint32_t i = 0; i < tier->segment_count; i++)
        free(tier->segments[i].records);
    free(tier->segments);
    free(tier->records);
    free(tier->ghosts);
    key_table_done(&tier->table);
    evict_free(tier->evict);
    free(tier);
}

static double share(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

static void tier_details(const struct policy *policy, FILE *to)
{
    const struct tier *tier = container_of(policy, const struct tier, policy);
    struct evict_stats stats;

    evict_stats(tier->evict, &stats);
    fprintf(to,
            "warp %" PRIu64 ": %" PRIu32 " segments of %" PRIu32 ", RAM %" PRIu64 " (bytes hit there: %.4f), small log %" PRIu64
            " %%, %s, admitted %" PRIu64 ", not admitted %" PRIu64 ", seen again %" PRIu64 ", promoted %" PRIu64 " (at %u), rewritten %" PRIu64
            " (at %u), dropped %" PRIu64 ", ghosts %" PRIu64 "\n",
            policy->config.bytes, tier->segment_count, tier->segment_bytes, policy->config.memory_bytes,
            share(tier->ram_hit_bytes, policy->bytes), stats.small_share_percent, stats.is_open ? "open" : "filtered",
            stats.admitted, stats.not_admitted, stats.ghost_hits, stats.promoted, stats.promote_hits, stats.rewritten,
            stats.rewrite_hits, stats.dropped, stats.ghosts);
}

const struct policy_kind policy_warp = {"warp", "RAM over the two logs of the disk tier", tier_new, tier_free, tier_request, tier_details};
