/* Quotas of tenants: drawn for most seeds, changed in the middle of a life, as a reload does. What is counted is looked at
 * after every turn of every thread. */
#include "tests/sim/store_run.h"

#include <stdio.h>

#define TIERS 2u
#define RAM   0u
#define DISK  1u
#define FLOOD_FROM_BYTES 200u
#define FLOOD_TO_BYTES   40000u
#define FLOOD_LOOK_EVERY 16u

static struct store_quota quotas[TIERS][TENANTS + 1];
static uint64_t seen[TIERS][TENANTS + 1]; /* bytes, at the last look */
static uint64_t nobodys_bytes; /* of RAM: near tables */

static uint64_t percent_of(uint64_t bytes, uint64_t percent)
{
    return bytes / 100 * percent;
}

static uint64_t bytes_of(unsigned tier, unsigned tenant)
{
    return storage_tenant_bytes(storage_tier(node.storage, tier), (uint16_t)tenant);
}

/* Together at most 70 % are guaranteed. */
static void quotas_draw(void)
{
    for (unsigned tier = 0; tier < TIERS; tier++) {
        uint64_t bytes = tier == RAM ? run.ram_bytes : run.devices * run.device_bytes, left = 70;
        for (unsigned i = 1; i <= TENANTS; i++) {
            uint64_t guaranteed = chance(50) ? between(0, left) : 0;
            left -= guaranteed;
            quotas[tier][i] = (struct store_quota){.guaranteed_bytes = percent_of(bytes, guaranteed),
                                                   .soft_bytes = chance(60) ? STORE_NO_LIMIT : percent_of(bytes, between(0, 60)),
                                                   .hard_bytes = chance(60) ? STORE_NO_LIMIT : percent_of(bytes, between(0, 60))};
        }
    }
}

void quotas_set(void)
{
    if (!run.has_quotas)
        return;
    quotas_draw();
    for (unsigned tier = 0; tier < TIERS; tier++)
        for (unsigned i = 1; i <= TENANTS; i++) {
            storage_quota_set(node.storage, tier, (uint16_t)i, &quotas[tier][i]);
            seen[tier][i] = UINT64_MAX; /* what is above goes in time */
        }
    counts.quotas++;
}

/* ---- at every step ---------------------------------------------------------------------------------------------- */

/* I6: no tenant comes above its hard quota; one that is has no more than before. What recovery finds, it finds. */
static void hard_step(unsigned tier, bool is_recovering)
{
    for (unsigned i = 1; i <= TENANTS && run.has_quotas; i++) {
        uint64_t bytes = bytes_of(tier, i), hard = quotas[tier][i].hard_bytes;
        if (bytes > hard && bytes > seen[tier][i])
            run_failed("I6: tenant %u has %llu bytes of tier %u and may have %llu", i, (unsigned long long)bytes, tier, (unsigned long long)hard);
        seen[tier][i] = is_recovering ? UINT64_MAX : MAX(bytes, hard);
    }
}

static uint64_t pending_bytes(void)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        for (unsigned log = 0; log < EVICT_LOGS; log++) {
            const struct disk_stream *stream = &node.disk->devices[i].streams[log];
            for (unsigned k = 0; k < stream->pending_count; k++)
                if (stream->pending[k].stored != NULL)
                    bytes += disk_size_of_class(stream->pending[k].entry.size_class);
        }
    return bytes;
}

static uint64_t ram_bytes(void)
{
    struct store_stats ram;

    storage_stats(storage_tier(node.storage, RAM), &ram);
    return ram.size_bytes;
}

void quotas_begin(void)
{
    nobodys_bytes = ram_bytes();
}

/* I6: a tier has what its tenants have. In RAM what is one reader's alone is nobody's. */
static void sums_step(const struct disk_stats *disk)
{
    uint64_t sums[TIERS] = {nobodys_bytes}, pending = pending_bytes(), ram = ram_bytes();

    for (unsigned tier = 0; tier < TIERS; tier++)
        for (unsigned i = 0; i <= TENANTS; i++)
            sums[tier] += bytes_of(tier, i);
    if (sums[RAM] > ram || (work_is_over() && sums[RAM] != ram))
        run_failed("I6: tenants have %llu bytes of RAM, which has %llu", (unsigned long long)sums[RAM], (unsigned long long)ram);
    if (sums[DISK] != disk->store.size_bytes + pending)
        run_failed("I6: tenants have %llu bytes of the disk, which has %llu, and %llu wait", (unsigned long long)sums[DISK],
                   (unsigned long long)disk->store.size_bytes, (unsigned long long)pending);
}

void quotas_step(void)
{
    struct disk_stats stats;

    disk_stats(node.disk, &stats);
    if (node.disk->index == NULL)
        return;
    hard_step(RAM, false);
    hard_step(DISK, stats.recovering > 0);
    sums_step(&stats);
    counts.quota_steps++;
}

/* ---- now and then ----------------------------------------------------------------------------------------------- */

/* Nothing that is guaranteed is lost, but where a node that was killed left no segment free: then less than one a device. */
static void spared_audit(const struct disk_stats *stats)
{
    uint64_t most = 0;

    if (run.has_faults || run.had_power_loss || sim_disk_has_stopped())
        return;
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        most += node.disk->devices[i].began_full ? node.disk->devices[i].super.segment_bytes : 0;
    if (stats->spared_lost_bytes > 0 && stats->spared_lost_bytes >= most)
        run_failed("I6: %llu bytes were guaranteed, and were not kept", (unsigned long long)stats->spared_lost_bytes);
    counts.began_full += most > 0;
    counts.spared_lost += stats->spared_lost_bytes;
}

void quotas_audit(void)
{
    struct disk_stats stats;

    if (!run.has_quotas)
        return;
    for (unsigned tier = 0; tier < TIERS; tier++)
        for (unsigned i = 1; i <= TENANTS; i++)
            counts.hard_quotas += quotas[tier][i].hard_bytes != STORE_NO_LIMIT && bytes_of(tier, i) > quotas[tier][i].hard_bytes / 2;
    disk_stats(node.disk, &stats);
    spared_audit(&stats);
    counts.over_quota += stats.decisions[EVICT_OVER_QUOTA];
}

/* ---- a flood ---------------------------------------------------------------------------------------------------- */

static void flood_fill(uint16_t tenant, unsigned n)
{
    static const char body[FLOOD_TO_BYTES];
    size_t left = (size_t)between(FLOOD_FROM_BYTES, FLOOD_TO_BYTES), taken = 1;
    char text[48];
    slice key = slice_of(text, (size_t)snprintf(text, sizeof(text), "flood %llu %u", (unsigned long long)run.floods, n));
    struct store_fill fill = {.op.loop = node.loops[0], .key = storage_key(node.storage, key), .tenant = tenant, .kind = STORE_ANSWER,
                              .seq = storage_seq(node.storage), .meta = SLICE("flood"), .length_bytes = (int64_t)left};

    (void)storage_get_miss_handler(node.storage, &fill);
    if (fill.miss_handler == NULL)
        return;
    while (left > 0 && taken > 0) {
        taken = miss_handler_write(fill.miss_handler, slice_of(body, left));
        left -= taken;
    }
    if (left == 0)
        miss_handler_finish(fill.miss_handler);
    else
        miss_handler_drop(fill.miss_handler); /* a window, and nobody reads it */
}

struct flood_look {
    uint64_t objects[TENANTS + 1], bytes[TENANTS + 1];
};

static void flood_visit(void *arg, const struct store_object *object, uint64_t hits)
{
    (void)hits;
    ((struct flood_look *)arg)->objects[object->tenant]++;
}

static struct flood_look flood_look(void)
{
    struct flood_look look = {0};

    (void)storage_browse(node.storage, 0, UINT32_MAX, flood_visit, &look);
    for (unsigned i = 1; i <= TENANTS; i++)
        look.bytes[i] = bytes_of(RAM, i);
    return look;
}

/* I6: of who has no more than is guaranteed nothing went; who had more has come down to that, but for an object. */
static void flood_check(unsigned loud, const struct flood_look *before, const struct flood_look *now)
{
    for (unsigned i = 1; i <= TENANTS; i++) {
        uint64_t guaranteed = quotas[RAM][i].guaranteed_bytes;
        if (i == loud || guaranteed == 0)
            continue;
        bool is_spared = before->bytes[i] <= guaranteed;
        if (is_spared && now->objects[i] < before->objects[i])
            run_failed("I6: a flood took %llu objects of tenant %u, which has %llu bytes, and %llu are guaranteed",
                       (unsigned long long)(before->objects[i] - now->objects[i]), i, (unsigned long long)before->bytes[i], (unsigned long long)guaranteed);
        if (!is_spared && now->objects[i] < before->objects[i] && now->bytes[i] + run.ram_bytes / 8 + META_MAX + 65536 < guaranteed)
            run_failed("I6: a flood left tenant %u %llu bytes of %llu that are guaranteed", i, (unsigned long long)now->bytes[i],
                       (unsigned long long)guaranteed);
        counts.floods_spared += is_spared && before->objects[i] > 0;
    }
}

/* Everybody else is quiet. More than RAM holds. */
void quotas_flood(void)
{
    unsigned loud = (unsigned)between(1, TENANTS), fills = (unsigned)(run.ram_bytes / (FLOOD_TO_BYTES / 3)) + 1;
    struct flood_look before = flood_look(), now;

    if (!run.has_quotas || run.is_ram_off)
        return;
    run.floods++;
    counts.floods++;
    for (unsigned n = 1; n <= fills; n++) {
        flood_fill((uint16_t)loud, n);
        if (n % FLOOD_LOOK_EVERY != 0)
            continue;
        quotas_step();
        now = flood_look();
        flood_check(loud, &before, &now);
        before = now;
    }
}
