/* Snapshots of the index: taken every few minutes and at the end, so that a start reads some megabytes instead of every
 * segment's footer. Into two areas in turn: the last one that was whole stays so until the newer one is. By the keeper of
 * the first device, for all of them; in steps of one chunk.
 *
 * A snapshot is fuzzy: buckets are copied one after the other while entries come and go. What makes it right is the word
 * of each segment, taken before the first bucket: an entry counts only if its segment still is of that generation, and
 * what was not sealed then is read again by its footer. */
#include "store/disk/disk_own.h"

#include "base/crc32c.h"
#include "base/log.h"

#include <stdlib.h>

struct disk_snapshot {
    struct disk_snapshot_head head;
    unsigned area;
    uint32_t next; /* chunk */
    char *chunk;
    uint64_t *words;
    uint32_t words_bytes;
    struct disk_walk walk;
};

static uint64_t word_of(const struct disk_segment *segment)
{
    uint64_t generation;
    enum segment_state state = disk_segment_look(segment, &generation);

    if (state == SEGMENT_SEALED)
        return generation | DISK_WORD_SEALED;
    return state == SEGMENT_FILLING ? generation : 0;
}

static uint64_t all_swept(const struct disk *disk)
{
    uint64_t seq = purge_log_seq(disk->purges);

    for (unsigned i = 0; i < disk->device_count; i++)
        if (!atomic_load(&disk->devices[i].is_offline))
            seq = MIN(seq, atomic_load(&disk->devices[i].swept_seq));
    return seq;
}

static uint64_t area_at(const struct disk_device *device, const struct disk_snapshot *snapshot)
{
    return device->super.snapshot_at[snapshot->area];
}

static struct disk_snapshot *snapshot_free(struct disk_snapshot *snapshot)
{
    if (snapshot == NULL)
        return NULL;
    free(snapshot->chunk);
    free(snapshot->words);
    free(snapshot);
    return NULL;
}

static void snapshot_let_go(struct disk_device *device)
{
    disk_index_walk_end(device->disk->index, &device->snapshot->walk);
    disk_index_release(device->disk->index);
    device->snapshot = snapshot_free(device->snapshot);
}

static void snapshot_end(struct disk_device *device)
{
    snapshot_let_go(device);
    device->snapshot_at_ns = loop_now_ns(device->loop);
}

static void snapshot_failed(struct disk_device *device, err e)
{
    disk_failed(device, DISK_ERROR_SNAPSHOT, "saving the index", e);
    snapshot_end(device);
}

MUST_USE static err snapshot_fill_head(struct disk_device *device, struct disk_snapshot *snapshot)
{
    struct disk *disk = device->disk;
    struct disk_index_stats stats;
    struct disk_snapshot_head *head = &snapshot->head;

    disk_index_stats(disk->index, &stats);
    head->set = disk->set;
    head->number = device->snapshot_number + 1;
    head->swept_seq = all_swept(disk);
    head->seq = purge_log_seq(disk->purges);
    head->wseq = atomic_load(&disk->next_wseq);
    head->entries = stats.entries;
    head->segments = disk->segment_count;
    disk_index_shape(disk->index, &head->shape);
    head->chunks = (uint32_t)((head->shape.buckets + DISK_CHUNK_BUCKETS - 1) / DISK_CHUNK_BUCKETS);
    snapshot->area = 1 - device->snapshot_area;
    ENSURE(disk_snapshot_bytes(head) <= device->super.snapshot_bytes, LIMIT);
    snapshot->words_bytes = (uint32_t)((disk->segment_count * sizeof(uint64_t) + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK);
    snapshot->words = os_file_memory(snapshot->words_bytes);
    snapshot->chunk = os_file_memory(DISK_CHUNK_BYTES);
    ENSURE(snapshot->words != NULL && snapshot->chunk != NULL, MEMORY);
    memset(snapshot->words, 0, snapshot->words_bytes);
    for (uint32_t i = 0; i < disk->segment_count; i++)
        snapshot->words[i] = word_of(&disk->segments[i]);
    head->words_crc = crc32c(0, snapshot->words, snapshot->words_bytes);
    return ERR_OK;
}

/* The area's old head goes first: from now on it has no snapshot. */
MUST_USE static err area_clear(struct disk_device *device, const struct disk_snapshot *snapshot)
{
    memset(snapshot->chunk, 0, DISK_BLOCK);
    TRY(disk_write_now(device, snapshot->chunk, DISK_BLOCK, area_at(device, snapshot), DISK_CAUSE_SNAPSHOT));
    return os_file_now(&device->file, OS_FILE_SYNC, NULL, 0, 0);
}

static bool snapshot_begin(struct disk_device *device)
{
    struct disk_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    err e;

    device->snapshot_at_ns = loop_now_ns(device->loop);
    if (snapshot == NULL)
        return false;
    disk_index_hold(device->disk->index);
    disk_index_walk_begin(device->disk->index, &snapshot->walk);
    device->snapshot = snapshot;
    e = snapshot_fill_head(device, snapshot);
    if (err_is_ok(e))
        e = area_clear(device, snapshot);
    if (err_is_ok(e))
        return true;
    if (e.code == ERR_LIMIT) {
        disk_count(device->disk, DISK_ERROR_SNAPSHOT);
        log_warn("%s: the index is too large to be saved: so many small objects are found again by their segments, which takes longer",
                 device->path);
        snapshot_end(device);
    } else {
        snapshot_failed(device, e);
    }
    return false;
}

MUST_USE static err snapshot_write_chunk(struct disk_device *device)
{
    struct disk_snapshot *snapshot = device->snapshot;
    struct disk *disk = device->disk;
    uint64_t count = disk_chunk_buckets(&snapshot->head, snapshot->next);
    uint32_t bytes = (uint32_t)(sizeof(struct disk_chunk_head) + count * DISK_INDEX_BUCKET_BYTES);
    uint32_t whole = disk_chunk_bytes(&snapshot->head, snapshot->next);
    uint64_t at = area_at(device, snapshot) + DISK_BLOCK + snapshot->words_bytes + (uint64_t)snapshot->next * DISK_CHUNK_BYTES;

    INVARIANT(disk_index_copy(disk->index, &snapshot->walk, count, snapshot->chunk + sizeof(struct disk_chunk_head)) == count);
    memset(snapshot->chunk + bytes, 0, whole - bytes);
    disk_chunk_write(snapshot->chunk, &disk->set, snapshot->head.number, snapshot->next, count);
    snapshot->next++;
    evict_wrote(device->evict, whole);
    return disk_write_now(device, snapshot->chunk, whole, at, DISK_CAUSE_SNAPSHOT);
}

/* Everything else is durable before the head says that it is there. */
MUST_USE static err snapshot_commit(struct disk_device *device)
{
    struct disk_snapshot *snapshot = device->snapshot;

    TRY(disk_write_now(device, snapshot->words, snapshot->words_bytes, area_at(device, snapshot) + DISK_BLOCK, DISK_CAUSE_SNAPSHOT));
    TRY(os_file_now(&device->file, OS_FILE_SYNC, NULL, 0, 0));
    disk_snapshot_head_write(&snapshot->head, snapshot->chunk);
    TRY(disk_write_now(device, snapshot->chunk, DISK_BLOCK, area_at(device, snapshot), DISK_CAUSE_SNAPSHOT));
    return os_file_now(&device->file, OS_FILE_SYNC, NULL, 0, 0);
}

bool disk_snapshot_step(struct disk_device *device, bool wanted)
{
    struct disk_snapshot *snapshot = device->snapshot;
    err e;

    if (device != &device->disk->devices[0] || atomic_load(&device->is_offline))
        return false;
    if (snapshot == NULL)
        return wanted && disk_all_recovered(device->disk) && snapshot_begin(device);
    if (snapshot->next < snapshot->head.chunks) {
        e = snapshot_write_chunk(device);
        if (!err_is_ok(e))
            snapshot_failed(device, e);
        return err_is_ok(e);
    }
    e = snapshot_commit(device);
    if (!err_is_ok(e)) {
        snapshot_failed(device, e);
        return false;
    }
    device->snapshot_number = snapshot->head.number;
    device->snapshot_area = snapshot->area;
    /* both snapshots that there are now were taken after the sweep of all that is forgotten */
    atomic_store(&device->disk->forget_seq, MIN(device->snapshot_swept, snapshot->head.swept_seq));
    device->snapshot_swept = snapshot->head.swept_seq;
    snapshot_end(device);
    return false;
}

void disk_snapshot_drop(struct disk_device *device)
{
    snapshot_end(device);
}

void disk_snapshot_close(struct disk_device *device)
{
    if (device->snapshot != NULL)
        snapshot_let_go(device);
}
