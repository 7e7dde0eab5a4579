/* Keys that were changed while the index is being recovered: what recovery still finds of them is older, and is left where
 * it is. A Bloom filter, as a snapshot's entries have no more of a key than what the index tells keys apart by; a key it
 * takes for another costs a miss. It is there until every device has recovered.
 *
 * Who changes a key notes it first and changes the index then; recovery asks and puts under the lock. So recovery sees the
 * note, or the change finds what recovery has put. */
#include "store/disk/disk_own.h"

#include <stdlib.h>

#define CHANGED_BITS  (UINT64_C(1) << 23) /* 2 % of keys are taken for others when a million were changed */
#define CHANGED_PICKS 4u

err disk_changed_open(struct disk *disk)
{
    disk->changed = calloc(CHANGED_BITS / 64, sizeof(*disk->changed));
    ENSURE(disk->changed != NULL, MEMORY);
    atomic_store(&disk->notes_changes, true);
    return ERR_OK;
}

void disk_changed_close(struct disk *disk)
{
    pthread_mutex_lock(&disk->changed_mutex);
    atomic_store(&disk->notes_changes, false);
    free(disk->changed);
    disk->changed = NULL;
    pthread_mutex_unlock(&disk->changed_mutex);
}

static uint64_t pick(uint64_t sight, unsigned i)
{
    uint64_t mixed = sight * UINT64_C(0x9e3779b97f4a7c15);

    mixed = (mixed ^ mixed >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (mixed + i * (mixed >> 32 | 1)) % CHANGED_BITS;
}

void disk_changed(struct disk *disk, uint64_t hash)
{
    if (LIKELY(!atomic_load(&disk->notes_changes)))
        return;
    uint64_t sight = disk_index_sight(disk->index, hash);
    pthread_mutex_lock(&disk->changed_mutex);
    for (unsigned i = 0; i < CHANGED_PICKS && disk->changed != NULL; i++)
        disk->changed[pick(sight, i) / 64] |= UINT64_C(1) << pick(sight, i) % 64;
    pthread_mutex_unlock(&disk->changed_mutex);
}

void disk_changed_lock(struct disk *disk)
{
    pthread_mutex_lock(&disk->changed_mutex);
}

void disk_changed_unlock(struct disk *disk)
{
    pthread_mutex_unlock(&disk->changed_mutex);
}

bool disk_was_changed(const struct disk *disk, uint64_t sight)
{
    if (disk->changed == NULL)
        return true; /* recovery is over: this device has failed in the middle of it */
    for (unsigned i = 0; i < CHANGED_PICKS; i++)
        if ((disk->changed[pick(sight, i) / 64] >> pick(sight, i) % 64 & 1) == 0)
            return false;
    return true;
}
