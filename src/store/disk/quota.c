/* The disk tier's quotas. What a tenant has is counted as entries come into the index and leave it (disk_entry_came, _gone),
 * so that recovery, sweeps and devices that fail need nothing of their own; what waits in a buffer from when it is put there
 * (disk_quota_take, _give), so that the keepers of all devices together keep a hard quota. */
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
    if (store_share_excess(&disk->shares[tenant], 0) > 0)
        atomic_store(&disk->has_excess, true);
}

bool disk_is_over_soft(const struct disk *disk, uint16_t tenant)
{
    return disk->shares != NULL && store_share_is_over_soft(&disk->shares[tenant]);
}

bool disk_is_spared(const struct disk *disk, uint16_t tenant)
{
    return store_share_is_spared_in(&disk->shares[tenant], atomic_load_explicit(&disk->in_use_1024ths, memory_order_relaxed));
}

/* ---- at the hard quota ------------------------------------------------------------------------------------------ */

struct own {
    struct disk *disk;
    uint64_t wanted, freed, count;
    uint16_t tenant;
};

/* What was hit stays this time: one hit less, and 0. Else the bytes that came free. */
static uint64_t entry_give_up(struct disk *disk, struct disk_entry *entry)
{
    if (entry->hits > 0) {
        entry->hits--;
        return 0;
    }
    disk_entry_gone(disk, entry);
    entry->kind = DISK_NONE;
    return disk_size_of_class(entry->size_class);
}

static void own_visit(void *arg, struct disk_entry *entry)
{
    struct own *own = arg;
    uint64_t freed;

    if (entry->tenant != own->tenant || own->freed >= own->wanted)
        return;
    freed = entry_give_up(own->disk, entry);
    own->count += freed > 0;
    own->freed += freed;
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

bool disk_quota_take(struct disk_device *device, uint16_t tenant, uint64_t bytes)
{
    struct store_share *share = &device->disk->shares[tenant];
    struct own own = {.disk = device->disk, .tenant = tenant};

    bytes = disk_size_of_class(disk_size_class(bytes));
    if (LIKELY(store_share_take(share, bytes)))
        return true;
    own.wanted = store_share_excess(share, bytes);
    if (own.wanted == UINT64_MAX)
        return false;
    own_walk(device, &own);
    atomic_fetch_add_explicit(&device->disk->evictions, own.count, memory_order_relaxed);
    atomic_fetch_add_explicit(&device->disk->evicted_bytes, own.freed, memory_order_relaxed);
    return store_share_take(share, bytes);
}

void disk_quota_give(struct disk *disk, uint16_t tenant, uint64_t bytes)
{
    store_share_give(&disk->shares[tenant], disk_size_of_class(disk_size_class(bytes)));
}

/* ---- above the hard quota --------------------------------------------------------------------------------------- */

struct excess {
    struct disk *disk;
    uint64_t freed, count;
    bool is_met; /* an entry of a tenant that is above */
};

static void excess_visit(void *arg, struct disk_entry *entry)
{
    struct excess *excess = arg;
    uint64_t freed;

    if (LIKELY(store_share_excess(&excess->disk->shares[entry->tenant], 0) == 0))
        return;
    excess->is_met = true;
    freed = entry_give_up(excess->disk, entry);
    excess->count += freed > 0;
    excess->freed += freed;
}

/* Some buckets of the lap. */
static void excess_walk(struct disk_device *device)
{
    struct disk_index *index = device->disk->index;
    struct excess excess = {.disk = device->disk};
    struct disk_walk walk;

    disk_index_walk_begin(index, &walk);
    walk.next = device->excess_bucket;
    device->is_excess_lap = disk_index_walk(index, &walk, OWN_BUCKETS, excess_visit, &excess);
    device->excess_bucket = walk.next;
    disk_index_walk_end(index, &walk);
    if (excess.is_met)
        device->is_excess_met = true;
    atomic_fetch_add_explicit(&device->disk->evictions, excess.count, memory_order_relaxed);
    atomic_fetch_add_explicit(&device->disk->evicted_bytes, excess.freed, memory_order_relaxed);
}

bool disk_excess_step(struct disk_device *device)
{
    struct disk *disk = device->disk;

    if (!device->is_excess_lap) {
        if (LIKELY(!atomic_load_explicit(&disk->has_excess, memory_order_relaxed)) || !atomic_exchange(&disk->has_excess, false))
            return false;
        device->is_excess_lap = true;
        device->is_excess_met = false;
        device->excess_bucket = 0;
    }
    excess_walk(device);
    if (!device->is_excess_lap && device->is_excess_met)
        atomic_store(&disk->has_excess, true);
    return true;
}

/* After what came into the index without being asked for: what recovery found. */
void disk_excess_look(struct disk *disk)
{
    for (unsigned i = 0; i < STORE_TENANTS; i++)
        if (store_share_excess(&disk->shares[i], 0) > 0)
            atomic_store(&disk->has_excess, true);
}

void disk_excess_give_up(struct disk_device *device)
{
    if (device->is_excess_lap)
        atomic_store(&device->disk->has_excess, true);
    device->is_excess_lap = false;
}
