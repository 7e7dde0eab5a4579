/* Quotas of tenants: drawn for most seeds, changed in the middle of a life, as a reload does. */
#include "tests/sim/store_run.h"

#define TIERS 2u

static struct store_quota quotas[TIERS][TENANTS + 1];
static uint64_t seen[TIERS][TENANTS + 1]; /* bytes, at the last look */

static uint64_t percent_of(uint64_t bytes, uint64_t percent)
{
    return bytes / 100 * percent;
}

/* Together at most 70 % are guaranteed. */
static void quotas_draw(void)
{
    for (unsigned tier = 0; tier < TIERS; tier++) {
        uint64_t bytes = tier == 0 ? run.ram_bytes : run.devices * run.device_bytes, left = 70;
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

/* I6: no tenant comes above its hard quota; one that is has no more than before. */
void quotas_audit(void)
{
    struct disk_stats stats;

    if (!run.has_quotas)
        return;
    for (unsigned tier = 0; tier < TIERS; tier++) {
        for (unsigned i = 1; i <= TENANTS; i++) {
            uint64_t bytes = storage_tenant_bytes(storage_tier(node.storage, tier), (uint16_t)i), hard = quotas[tier][i].hard_bytes;
            if (bytes > hard && bytes > seen[tier][i])
                run_failed("I6: tenant %u has %llu bytes of tier %u and may have %llu", i, (unsigned long long)bytes, tier, (unsigned long long)hard);
            counts.hard_quotas += hard != STORE_NO_LIMIT && bytes > hard / 2;
            seen[tier][i] = MAX(bytes, hard);
        }
    }
    disk_stats(node.disk, &stats);
    spared_audit(&stats);
    counts.over_quota += stats.decisions[EVICT_OVER_QUOTA];
}
