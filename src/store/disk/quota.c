/* The disk tier's quotas. What a tenant has is counted as entries come into the index and leave it (disk_entry_came, _gone),
 * so that recovery, sweeps and devices that fail need nothing of their own. */
#include "store/disk/disk_own.h"

#define OWN_BUCKETS      64u   /* under way at a time: some 300 entries */
#define OWN_BUCKETS_MAX  4096u /* for one new record */

uint64_t disk_tenant_bytes(const struct disk *disk, uint16_t tenant)
{
    return disk->shares != NULL ? store_share_bytes(&disk->shares[tenant]) : 0;
}

void disk_quota_set(struct disk *disk, uint16_t tenant, const struct store_quota *quota)
{
    if (disk->shares == NULL)
        return;
    store_share_set(&disk->shares[tenant], quota);
    if (quota->guaranteed_bytes > 0)
        atomic_store_explicit(&disk->has_guarantees, true, memory_order_relaxed);
}

bool disk_is_over_soft(const struct disk *disk, uint16_t tenant)
{
    return disk->shares != NULL && store_share_is_over_soft(&disk->shares[tenant]);
}

bool disk_is_spared(const struct disk *disk, uint16_t tenant)
{
    return store_share_is_spared(&disk->shares[tenant]);
}

/* ---- at the hard quota ------------------------------------------------------------------------------------------ */

struct own {
    struct disk *disk;
    uint64_t wanted, freed, count;
    uint16_t tenant;
};

/* What was hit stays this time: one hit less. */
static void own_visit(void *arg, struct disk_entry *entry)
{
    struct own *own = arg;

    if (entry->tenant != own->tenant || own->freed >= own->wanted)
        return;
    if (entry->hits > 0) {
        entry->hits--;
        return;
    }
    disk_entry_gone(own->disk, entry);
    own->count++;
    own->freed += disk_size_of_class(entry->size_class);
    entry->kind = DISK_NONE;
}

/* Hashes have no order: any stretch of the index is as good a sample as another. */
static void own_walk(struct disk_device *device, struct own *own)
{
    struct disk_index *index = device->disk->index;
    uint64_t buckets = disk_index_buckets(index), most = MIN(OWN_BUCKETS_MAX, 4 * buckets);
    struct disk_walk walk;

    disk_index_walk_begin(index, &walk);
    for (uint64_t looked = 0; looked < most && own->freed < own->wanted; looked += OWN_BUCKETS) {
        walk.next = device->own_bucket % buckets;
        (void)disk_index_walk(index, &walk, OWN_BUCKETS, own_visit, own);
        device->own_bucket = walk.next;
    }
    disk_index_walk_end(index, &walk);
}

bool disk_own_room(struct disk_device *device, uint16_t tenant, uint64_t bytes)
{
    struct store_share *share = &device->disk->shares[tenant];
    struct own own = {.disk = device->disk, .tenant = tenant};

    bytes = disk_size_of_class(disk_size_class(bytes));
    own.wanted = store_share_excess(share, bytes);
    if (LIKELY(own.wanted == 0))
        return true;
    if (own.wanted == UINT64_MAX)
        return false;
    own_walk(device, &own);
    atomic_fetch_add_explicit(&device->disk->evictions, own.count, memory_order_relaxed);
    atomic_fetch_add_explicit(&device->disk->evicted_bytes, own.freed, memory_order_relaxed);
    return store_share_fits(share, bytes);
}
