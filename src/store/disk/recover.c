/* Recovery: from what lies on the device to the index. A keeper's own thread, in steps; lookups go on meanwhile and miss
 * what is not there yet.
 *
 *   (open)    the newest snapshot that is whole, on the first device: its words, and the shape of the index
 *   HEADS     head and trailer of every segment: free, sealed, or unsealed (WARP ended without closing it)
 *   LOAD      the snapshot's buckets, once the heads of all devices are known; by the first device, others wait for it:
 *             what they replay must find what the snapshot has, to know whether it is newer
 *   REPLAY    what the snapshot does not cover, by footers, in the order it was written; unsealed segments are scanned
 *             record by record up to the first break, and then sealed
 *
 * Purges were given back to the purge log before anything else. What they no longer remember (journal_forgotten) was
 * swept before the snapshot; a record that is older than that and not from the snapshot is left out: it may have been
 * purged. Nothing is changed on the device but that unsealed segments get their footer, so a crash at any step of this
 * leaves what it found. */
#include "store/disk/disk_own.h"

#include "base/crc32c.h"
#include "base/log.h"

#include <stdlib.h>

#define HEADS_STEP   64u
#define ENTRIES_STEP 8192u

enum recovery_phase { RECOVER_HEADS, RECOVER_WAIT, RECOVER_LOAD, RECOVER_REPLAY };

/* The segments of one log that are to be replayed, in the order they were opened; the footer of the one whose turn it is. */
struct replay {
    uint32_t *segments;
    uint32_t count, next;
    uint32_t segment; /* whose footer it is */
    char *footer;
    struct disk_trailer trailer;
    uint32_t at;
    bool is_ready; /* entry is the next one */
    struct disk_footer_entry entry;
};

struct disk_recovery {
    enum recovery_phase phase;
    uint32_t next; /* segment, or chunk */
    uint8_t *unsealed; /* by segment of the device */
    uint32_t *sealed;  /* all that were opened, in the order of that */
    char *chunk;
    bool waits_for_memory; /* the step is to be done again, later */
    struct replay logs[EVICT_LOGS];
    uint64_t started_ns, replayed, loaded;
};

/* ---- heads ---------------------------------------------------------------------------------------------------- */

static void head_take(struct disk_device *device, uint32_t number, const char *first, const char *last)
{
    struct disk_segment *segment = &device->disk->segments[number];
    uint32_t bytes = device->super.segment_bytes;
    struct disk_segment_head head;
    struct disk_trailer trailer;

    if (!err_is_ok(disk_segment_head_read(first, &device->super.store, number - device->base, &head)))
        return; /* never opened, or torn when it was: nothing in it counts */
    struct disk_place place = disk_place_of(device, number, head.first_wseq, bytes - DISK_TRAILER_BYTES);
    segment->log = head.log;
    segment->used = bytes;
    segment->purge_seq_min = 0;
    atomic_store(&segment->generation, head.first_wseq);
    if (err_is_ok(disk_trailer_read(last, bytes, &place, &trailer))) {
        segment->purge_seq_min = trailer.purge_seq_min;
        segment->used = trailer.footer_at;
        segment->last_wseq = trailer.last_wseq;
    } else {
        device->recovery->unsealed[number - device->base] = 1;
    }
    atomic_store(&segment->state, SEGMENT_SEALED);
}

/* That one is not used; many such take the device out. */
static void head_unreadable(struct disk_device *device, uint32_t number, err e)
{
    disk_failed(device, DISK_ERROR_READ, "reading a segment's ends", e);
    atomic_store(&device->disk->segments[number].state, SEGMENT_BAD);
    atomic_fetch_add_explicit(&device->bad_count, 1, memory_order_relaxed);
}

MUST_USE static err heads_step(struct disk_device *device)
{
    struct disk_recovery *recovery = device->recovery;
    uint32_t bytes = device->super.segment_bytes;
    char *first = device->scratch, *last = device->scratch + DISK_BLOCK;

    for (unsigned i = 0; i < HEADS_STEP && recovery->next < device->super.segments; i++) {
        uint32_t number = device->base + recovery->next;
        err e = os_file_now(&device->file, OS_FILE_READ, first, DISK_BLOCK, disk_at(device, number, 0));
        if (err_is_ok(e))
            e = os_file_now(&device->file, OS_FILE_READ, last, DISK_BLOCK, disk_at(device, number, bytes - DISK_BLOCK));
        if (disk_is_memory(e))
            return ERR(MEMORY);
        if (err_is_ok(e))
            head_take(device, number, first, last);
        else
            head_unreadable(device, number, e);
        recovery->next++;
    }
    if (recovery->next == device->super.segments) {
        recovery->next = 0;
        recovery->phase = RECOVER_WAIT;
        atomic_store(&device->are_heads_known, true);
    }
    return ERR_OK;
}

/* ---- snapshot ------------------------------------------------------------------------------------------------- */

static bool snapshot_fits(const struct disk_device *device, const struct disk_snapshot_head *head)
{
    return head->segments == device->disk->segment_count && head->swept_seq >= journal_forgotten(device->journal) &&
           disk_snapshot_bytes(head) <= device->super.snapshot_bytes;
}

MUST_USE static err words_read(struct disk_device *device, const struct disk_snapshot_head *head, unsigned area)
{
    uint32_t bytes = (uint32_t)((head->segments * sizeof(uint64_t) + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK);
    uint64_t *words = os_file_memory(bytes);
    err e = words != NULL ? os_file_now(&device->file, OS_FILE_READ, words, bytes, device->super.snapshot_at[area] + DISK_BLOCK) : ERR(MEMORY);

    if (err_is_ok(e) && crc32c(0, words, bytes) != head->words_crc)
        e = ERR(CORRUPT);
    if (!err_is_ok(e)) {
        free(words);
        return e;
    }
    free(device->disk->words);
    device->disk->words = words;
    return ERR_OK;
}

/* Nobody uses the index yet: it takes on the snapshot's shape. */
MUST_USE static err snapshot_take(struct disk_device *device, const struct disk_snapshot_head *head, unsigned area)
{
    struct disk *disk = device->disk;

    TRY(words_read(device, head, area));
    err e = disk_index_reshape(disk->index, &head->shape);
    if (!err_is_ok(e)) {
        free(disk->words);
        disk->words = NULL;
        return e;
    }
    disk->snapshot = *head;
    disk->snapshot_at = device->super.snapshot_at[area];
    device->snapshot_swept = head->swept_seq;
    device->snapshot_area = area;
    return ERR_OK;
}

static void snapshot_damaged(struct disk_device *device, const char *outcome)
{
    disk_count(device->disk, DISK_ERROR_SNAPSHOT);
    log_warn("%s: the saved index is damaged: %s", device->path, outcome);
}

/* The newest one whose head and words are whole. */
void disk_snapshot_find(struct disk_device *device)
{
    struct disk_snapshot_head heads[2];
    bool usable[2] = {false, false};

    for (unsigned i = 0; i < 2; i++) {
        err e = os_file_now(&device->file, OS_FILE_READ, device->scratch, DISK_BLOCK, device->super.snapshot_at[i]);
        if (err_is_ok(e))
            e = disk_snapshot_head_read(device->scratch, &device->disk->set, &heads[i]);
        usable[i] = err_is_ok(e);
        if (usable[i])
            device->snapshot_number = MAX(device->snapshot_number, heads[i].number);
        else if (e.code != ERR_NOT_FOUND)
            snapshot_damaged(device, "an older one or the segments tell what is there");
        usable[i] = usable[i] && snapshot_fits(device, &heads[i]);
    }
    while (device->disk->words == NULL && (usable[0] || usable[1])) {
        unsigned area = usable[0] && (!usable[1] || heads[0].number > heads[1].number) ? 0 : 1;
        usable[area] = false;
        err e = snapshot_take(device, &heads[area], area);
        if (disk_is_memory(e))
            disk_memory_short(device, "reading the saved index");
        else if (!err_is_ok(e))
            snapshot_damaged(device, "an older one or the segments tell what is there");
    }
}

/* An entry of the snapshot counts if its segment is still what it was. */
static bool entry_counts(void *arg, const struct disk_entry *entry)
{
    struct disk *disk = arg;

    if (entry->segment >= disk->segment_count || entry->kind == DISK_NONE ||
        ((uint64_t)entry->offset + 1) * DISK_OFFSET_UNIT > disk_device_of_segment(disk, entry->segment)->super.segment_bytes)
        return false;
    if (atomic_load(&disk_device_of_segment(disk, entry->segment)->is_offline))
        return false; /* its entries leave, or have left */
    uint64_t word = disk->words[entry->segment] & ~DISK_WORD_SEALED;
    if (word == 0 || word != atomic_load(&disk->segments[entry->segment].generation))
        return false;
    disk_entry_came(disk, entry);
    return true;
}

static bool was_not_changed(void *arg, uint64_t sight)
{
    return !disk_was_changed(arg, sight);
}

static unsigned bucket_load(struct disk *disk, uint64_t bucket, char *bytes)
{
    unsigned loaded;

    disk_changed_lock(disk);
    disk_index_filter(disk->index, bucket, bytes, was_not_changed, disk);
    loaded = disk_index_load(disk->index, bucket, bytes, entry_counts, disk);
    disk_changed_unlock(disk);
    return loaded;
}

MUST_USE static err chunk_load(struct disk_device *device)
{
    struct disk_recovery *recovery = device->recovery;
    struct disk *disk = device->disk;
    uint64_t words = (disk->snapshot.segments * sizeof(uint64_t) + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
    uint64_t at = disk->snapshot_at + DISK_BLOCK + words + (uint64_t)recovery->next * DISK_CHUNK_BYTES;
    uint64_t buckets;

    if (recovery->chunk == NULL)
        recovery->chunk = os_file_memory(DISK_CHUNK_BYTES);
    ENSURE(recovery->chunk != NULL, MEMORY);
    TRY(os_file_now(&device->file, OS_FILE_READ, recovery->chunk, disk_chunk_bytes(&disk->snapshot, recovery->next), at));
    TRY(disk_chunk_read(recovery->chunk, &disk->set, disk->snapshot.number, recovery->next, &buckets));
    ENSURE(buckets == disk_chunk_buckets(&disk->snapshot, recovery->next), CORRUPT);
    for (uint64_t i = 0; i < buckets; i++)
        recovery->loaded += bucket_load(disk, (uint64_t)recovery->next * DISK_CHUNK_BUCKETS + i,
                                        recovery->chunk + sizeof(struct disk_chunk_head) + i * DISK_INDEX_BUCKET_BYTES);
    return ERR_OK;
}

/* A chunk that is damaged costs its entries; footers are not read for it. */
MUST_USE static err load_step(struct disk_device *device)
{
    struct disk_recovery *recovery = device->recovery;
    uint32_t chunks = device->disk->snapshot.chunks;
    err e = recovery->next < chunks ? chunk_load(device) : ERR_OK;

    if (disk_is_memory(e))
        return ERR(MEMORY);
    if (e.code == ERR_SYSTEM)
        disk_failed(device, DISK_ERROR_READ, "reading the saved index", e);
    else if (!err_is_ok(e))
        snapshot_damaged(device, "some of its objects are lost");
    if (++recovery->next < chunks)
        return ERR_OK;
    atomic_store(&device->disk->is_loaded, true);
    recovery->phase = RECOVER_REPLAY;
    return ERR_OK;
}

/* ---- what is to be replayed ----------------------------------------------------------------------------------- */

/* The snapshot has all that was in it. */
static bool is_covered(const struct disk *disk, uint32_t number)
{
    uint64_t generation = atomic_load(&disk->segments[number].generation);

    if (disk->words == NULL || (number >= disk->devices[0].super.segments && !atomic_load(&disk->is_loaded)))
        return false; /* the first device failed before all of the saved index was read */
    return disk->words[number] == (generation | DISK_WORD_SEALED);
}

/* It was free when the snapshot was taken, and has not been opened since. */
static bool was_free(const struct disk *disk, uint32_t number)
{
    return disk->words != NULL && disk->words[number] == 0 && atomic_load(&disk->segments[number].generation) < disk->snapshot.wseq;
}

static const struct disk_segment *sort_table; /* of qsort; keepers take turns */
static pthread_mutex_t sort_mutex = PTHREAD_MUTEX_INITIALIZER;

static int generation_order(const void *a, const void *b)
{
    uint64_t x = atomic_load(&sort_table[*(const uint32_t *)a].generation), y = atomic_load(&sort_table[*(const uint32_t *)b].generation);

    return x < y ? -1 : x > y;
}

static void segments_sort(const struct disk *disk, uint32_t *segments, uint32_t count)
{
    if (count < 2)
        return;
    pthread_mutex_lock(&sort_mutex);
    sort_table = disk->segments;
    qsort(segments, count, sizeof(*segments), generation_order);
    pthread_mutex_unlock(&sort_mutex);
}

/* Room for all of them; what is there already is from a try before. */
MUST_USE static err replay_room(struct disk_device *device)
{
    struct disk_recovery *recovery = device->recovery;

    for (unsigned i = 0; i < EVICT_LOGS; i++) {
        if (recovery->logs[i].segments == NULL)
            recovery->logs[i].segments = malloc(device->super.segments * sizeof(uint32_t));
        ENSURE(recovery->logs[i].segments != NULL, MEMORY);
    }
    if (recovery->sealed == NULL)
        recovery->sealed = malloc(device->super.segments * sizeof(uint32_t));
    ENSURE(recovery->sealed != NULL, MEMORY);
    return ERR_OK;
}

/* Every segment into its chain, in order, and what is to be replayed into its list. */
MUST_USE static err replay_prepare(struct disk_device *device)
{
    struct disk *disk = device->disk;
    struct disk_recovery *recovery = device->recovery;
    uint32_t count = 0;

    TRY(replay_room(device)); /* first: from here on nothing is done twice */
    uint32_t *sealed = recovery->sealed;
    for (uint32_t i = 0; i < device->super.segments; i++) {
        uint32_t number = device->base + i;
        uint8_t state = atomic_load(&disk->segments[number].state);
        if (state == SEGMENT_BAD)
            continue;
        if (state == SEGMENT_UNKNOWN || was_free(disk, number))
            disk_segment_free_push(device, number);
        else
            sealed[count++] = number;
    }
    segments_sort(disk, sealed, count);
    for (uint32_t i = 0; i < count; i++) {
        enum evict_log log = (enum evict_log)disk->segments[sealed[i]].log;
        struct replay *replay = &recovery->logs[log];
        disk_chain_push(disk, &device->chains[log], sealed[i]);
        if (!is_covered(disk, sealed[i]))
            replay->segments[replay->count++] = sealed[i];
    }
    return ERR_OK;
}

/* ---- scanning an unsealed segment ------------------------------------------------------------------------------- */

struct scan {
    struct disk_device *device;
    uint32_t segment;
    uint64_t generation, wseq;
    uint32_t offset, end; /* the next record, if any; behind the last one that was found */
    uint32_t window, window_bytes; /* what of the segment is in scratch */
    struct disk_footer footer;
};

MUST_USE static err scan_window(struct scan *scan)
{
    uint32_t from = scan->offset / DISK_BLOCK * DISK_BLOCK;

    scan->window = from;
    scan->window_bytes = MIN(DISK_BUFFER_BYTES, scan->device->super.segment_bytes - from);
    return os_file_now(&scan->device->file, OS_FILE_READ, scan->device->scratch, scan->window_bytes, disk_at(scan->device, scan->segment, from));
}

/* The record at the offset; ERR_CORRUPT and others: there is none. */
MUST_USE static err scan_record(struct scan *scan, struct disk_record *ret_record, uint64_t *ret_bytes)
{
    struct disk_place place = disk_place_of(scan->device, scan->segment, scan->generation, scan->offset);

    for (unsigned tries = 0; tries < 2; tries++) {
        uint32_t end = scan->window + scan->window_bytes;
        err e = ERR(LIMIT);
        if (scan->offset >= scan->window && scan->offset + sizeof(struct disk_record_head) <= end)
            e = disk_record_read(scan->device->scratch + (scan->offset - scan->window), end - scan->offset, &place, ret_record, ret_bytes);
        if (err_is_ok(e) && ret_record->body.len == ret_record->body_bytes)
            return disk_record_check_body(ret_record); /* of a write that was torn it may be the body that is missing */
        if (!err_is_ok(e) && e.code != ERR_LIMIT)
            return e;
        if (tries == 0)
            TRY(scan_window(scan));
    }
    return ERR(CORRUPT);
}

MUST_USE static err scan_run(struct scan *scan)
{
    struct disk_record record;
    uint64_t bytes = 0;

    while (scan->offset + sizeof(struct disk_record_head) < scan->device->super.segment_bytes) {
        err e = scan_record(scan, &record, &bytes);
        if (e.code == ERR_SYSTEM)
            return e;
        if (err_is_ok(e) && record.wseq > scan->wseq) {
            hash128 hash = hash128_keyed(record.key, scan->device->disk->secret);
            TRY(disk_footer_add(&scan->footer, &record, disk_hash(hash), scan->offset, bytes, scan->generation));
            scan->wseq = record.wseq;
            scan->offset += (uint32_t)bytes;
            scan->end = scan->offset;
        } else if (scan->offset % DISK_BLOCK != 0) {
            scan->offset = (scan->offset / DISK_BLOCK + 1) * DISK_BLOCK;
        } else {
            break;
        }
    }
    return ERR_OK;
}

/* Its footer, and the device gets it too: the next start finds a sealed segment. */
MUST_USE static err segment_scan(struct disk_device *device, uint32_t number, char **ret_footer, struct disk_trailer *ret_trailer)
{
    struct disk_segment *segment = &device->disk->segments[number];
    uint64_t generation = atomic_load(&segment->generation);
    struct scan scan = {.device = device, .segment = number, .generation = generation, .wseq = generation, .offset = DISK_SEGMENT_HEAD_BYTES};
    err e = scan_run(&scan);
    uint32_t bytes = device->super.segment_bytes, room = disk_footer_room(scan.footer.size);
    struct disk_place place = disk_place_of(device, number, generation, bytes - DISK_TRAILER_BYTES);
    char *memory = NULL;

    if (err_is_ok(e) && (scan.end > bytes - room || room > bytes))
        e = ERR(CORRUPT); /* nothing WARP writes */
    if (err_is_ok(e)) {
        memory = os_file_memory(room);
        e = memory != NULL ? ERR_OK : ERR(MEMORY);
    }
    if (err_is_ok(e)) {
        *ret_trailer = (struct disk_trailer){.footer_bytes = scan.footer.size,
                                             .entries = scan.footer.entries,
                                             .last_wseq = scan.footer.last_wseq,
                                             .purge_seq_min = scan.footer.purge_seq_min,
                                             .purge_seq_max = scan.footer.purge_seq_max};
        disk_footer_write(memory, bytes, scan.footer.bytes != NULL ? scan.footer.bytes : memory, ret_trailer, &place);
        e = disk_write_now(device, memory, room, disk_at(device, number, bytes - room), DISK_CAUSE_FOOTERS);
        segment->purge_seq_min = scan.footer.purge_seq_min;
        segment->used = scan.end;
    }
    free(memory);
    if (err_is_ok(e) && scan.footer.bytes == NULL)
        e = ERR(NOT_FOUND); /* opened, and nothing more */
    if (err_is_ok(e))
        *ret_footer = scan.footer.bytes;
    else
        free(scan.footer.bytes);
    return e;
}

/* ---- replay --------------------------------------------------------------------------------------------------- */

/* The snapshot may have entries of a segment that was open then which its footer does not have: its scan ended before them.
 * Nothing would ever sweep or reclaim those. */
static void replay_cut(struct disk_device *device, const struct replay *replay)
{
    const struct disk *disk = device->disk;
    struct disk_footer_entry entry;
    uint32_t at = 0, end = 0;
    const void *labels;

    if (disk->words == NULL || disk->words[replay->segment] != atomic_load(&disk->segments[replay->segment].generation))
        return;
    while (disk_footer_next(replay->footer, &replay->trailer, &at, &entry, &labels))
        end = entry.offset + 1;
    disk_segment_cut(device, replay->segment, end);
}

/* The footer of the log's next segment. False: none is left, or it waits for memory. */
static bool replay_open(struct disk_device *device, struct replay *replay)
{
    struct disk_recovery *recovery = device->recovery;

    while (replay->footer == NULL && replay->next < replay->count) {
        uint32_t number = replay->segments[replay->next++];
        err e = ERR_OK;
        replay->segment = number;
        replay->at = 0;
        if (recovery->unsealed[number - device->base] != 0)
            e = segment_scan(device, number, &replay->footer, &replay->trailer);
        else
            e = disk_segment_footer_read(device, number, &replay->trailer, &replay->footer);
        if (disk_is_memory(e)) {
            replay->next--;
            recovery->waits_for_memory = true;
            return false;
        }
        if (replay->footer != NULL && replay->trailer.entries > 0) {
            replay_cut(device, replay);
            return true;
        }
        free(replay->footer); /* sealed by a recovery before this one, which found nothing in it */
        replay->footer = NULL;
        if (e.code == ERR_SYSTEM && recovery->unsealed[number - device->base] != 0)
            disk_failed(device, DISK_ERROR_READ, "reading a segment that was not closed", e);
        disk_segment_unreadable(device, number);
    }
    return replay->footer != NULL;
}

static bool replay_peek(struct disk_device *device, struct replay *replay)
{
    const void *labels;

    while (!replay->is_ready && replay_open(device, replay)) {
        replay->is_ready = disk_footer_next(replay->footer, &replay->trailer, &replay->at, &replay->entry, &labels);
        if (!replay->is_ready) {
            free(replay->footer);
            replay->footer = NULL;
        }
    }
    return replay->is_ready;
}

static uint64_t replay_wseq(const struct disk *disk, const struct replay *replay)
{
    return atomic_load(&disk->segments[replay->segment].generation) + replay->entry.wseq;
}

/* Of the record that an entry names; 0: it cannot be read. */
static uint64_t entry_wseq(struct disk_device *device, const struct disk_entry *entry)
{
    struct disk *disk = device->disk;
    struct disk_device *other = disk_device_of_segment(disk, entry->segment);
    uint32_t offset = entry->offset * DISK_OFFSET_UNIT, skew = offset % DISK_BLOCK, from = offset - skew;
    uint32_t end = (uint32_t)MIN((offset + disk_size_of_class(entry->size_class) + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK, other->super.segment_bytes);
    struct disk_place place = disk_place_of(other, entry->segment, atomic_load(&disk->segments[entry->segment].generation), offset);
    struct disk_record record;
    uint64_t bytes;

    end = MIN(end, from + DISK_BUFFER_BYTES);
    if (!err_is_ok(os_file_now(&other->file, OS_FILE_READ, device->scratch, end - from, disk_at(other, entry->segment, from))) ||
        !err_is_ok(disk_record_read(device->scratch + skew, end - offset, &place, &record, &bytes)))
        return 0;
    return record.wseq;
}

/* What the snapshot has of a segment that was open at the same time: its record tells. What replay has put itself is older. */
static bool is_overlapping(const struct disk *disk, uint32_t number, uint64_t wseq)
{
    return is_covered(disk, number) && disk->segments[number].last_wseq > wseq;
}

/* Is what the key has in the index newer? Whatever was written since the start is; mostly its segment tells. A body alone is
 * newer too, of which the head was yet to come when the snapshot was taken; but not than heads: one that was moved has a
 * higher sequence than the head that names it. */
static bool is_outdated(struct disk_device *device, uint8_t kind, uint64_t hash, uint64_t wseq)
{
    unsigned kinds = kind == DISK_WHOLE || kind == DISK_WHOLE_SOFT ? DISK_KINDS_BUT_BODY | 1u << DISK_BODY : DISK_KINDS_BUT_BODY;
    struct disk *disk = device->disk;
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    unsigned count = disk_index_find(disk->index, hash, kinds, entries);

    for (unsigned i = 0; i < count; i++)
        if (atomic_load(&disk->segments[entries[i].segment].generation) > wseq ||
            (is_overlapping(disk, entries[i].segment, wseq) && entry_wseq(device, &entries[i]) > wseq))
            return true;
    return false;
}

/* The key was changed, so the record is not put; what it has replaced goes all the same. Else what the saved index had of the
 * key, found and renewed before this record was seen, became the body of a head that is newer than the record: the next
 * recovery would take the record for that body. What was renewed is written whole: a keeper writes nothing before its device
 * has recovered. */
static void replaced_leave(struct disk_device *device, uint64_t hash, uint64_t wseq)
{
    struct disk *disk = device->disk;
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    unsigned count = disk_index_find(disk->index, hash, ~0u, entries);

    for (unsigned i = 0; i < count; i++)
        if (atomic_load(&disk->segments[entries[i].segment].generation) <= wseq && entry_wseq(device, &entries[i]) < wseq)
            (void)disk_entry_remove(disk, hash, entries[i].segment, entries[i].offset);
}

static void replay_take(struct disk_device *device, struct replay *replay)
{
    struct disk *disk = device->disk;
    const struct disk_footer_entry *from = &replay->entry;
    uint64_t bytes = (uint64_t)from->units * DISK_OFFSET_UNIT;
    struct disk_entry entry = {.segment = replay->segment,
                               .offset = from->offset,
                               .tenant = from->tenant,
                               .size_class = disk_size_class(bytes),
                               .kind = from->kind};

    replay->is_ready = false;
    if (from->purge_seq < journal_forgotten(device->journal) || is_outdated(device, from->kind, from->hash, replay_wseq(disk, replay)))
        return;
    disk_changed_lock(disk);
    bool is_wanted = !disk_was_changed(disk, disk_index_sight(disk->index, from->hash));
    if (is_wanted)
        disk_entry_take_place(disk, from->hash, &entry);
    disk_changed_unlock(disk);
    if (!is_wanted && from->kind != DISK_HEAD && from->kind != DISK_HEAD_SOFT)
        replaced_leave(device, from->hash, replay_wseq(disk, replay));
    device->recovery->replayed += is_wanted;
}

/* The older of the two logs' next records. False: none is left. */
static bool replay_step(struct disk_device *device)
{
    struct replay *small = &device->recovery->logs[EVICT_SMALL], *main = &device->recovery->logs[EVICT_MAIN];

    for (unsigned i = 0; i < ENTRIES_STEP; i++) {
        bool has_small = replay_peek(device, small), has_main = replay_peek(device, main);
        if (device->recovery->waits_for_memory)
            return true;
        if (!has_small && !has_main)
            return false;
        bool takes_small = has_small && (!has_main || replay_wseq(device->disk, small) < replay_wseq(device->disk, main));
        replay_take(device, takes_small ? small : main);
    }
    return true;
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

MUST_USE static err recover_begin(struct disk_device *device)
{
    struct disk_recovery *recovery = calloc(1, sizeof(*recovery));
    uint8_t *unsealed = calloc(device->super.segments, 1);

    if (recovery == NULL || unsealed == NULL) {
        free(recovery);
        free(unsealed);
        return ERR(MEMORY);
    }
    recovery->started_ns = os_clock_ns();
    recovery->unsealed = unsealed;
    device->recovery = recovery;
    return ERR_OK;
}

void disk_recover_close(struct disk_device *device)
{
    struct disk_recovery *recovery = device->recovery;

    if (recovery == NULL)
        return;
    for (unsigned i = 0; i < EVICT_LOGS; i++) {
        free(recovery->logs[i].segments);
        free(recovery->logs[i].footer);
    }
    free(recovery->chunk);
    free(recovery->unsealed);
    free(recovery->sealed);
    free(recovery);
    device->recovery = NULL;
}

static void recover_end(struct disk_device *device)
{
    struct disk_recovery *recovery = device->recovery;

    log_info("%s: recovered in %llu ms: %llu objects by the saved index, %llu by segments", device->path,
             (unsigned long long)((os_clock_ns() - recovery->started_ns) / 1000000), (unsigned long long)recovery->loaded,
             (unsigned long long)recovery->replayed);
    disk_recover_close(device);
    atomic_store(&device->has_recovered, true);
    if (disk_all_recovered(device->disk))
        disk_changed_close(device->disk);
    disk_excess_look(device->disk);
    device->began_full = atomic_load_explicit(&device->free_count, memory_order_relaxed) == 0;
    atomic_store(&device->keeper_state, KEEPER_RUNNING);
}

static bool heads_are_known(const struct disk *disk)
{
    for (unsigned i = 0; i < disk->device_count; i++) {
        const struct disk_device *device = &disk->devices[i];
        if (!atomic_load(&device->is_offline) && !atomic_load(&device->are_heads_known))
            return false;
    }
    return true;
}

static bool is_loading(const struct disk *disk)
{
    return disk->words != NULL && !atomic_load(&disk->is_loaded) && !atomic_load(&disk->devices[0].is_offline);
}

MUST_USE static err wait_step(struct disk_device *device)
{
    struct disk *disk = device->disk;
    bool loads = device == &disk->devices[0] && disk->words != NULL;

    if (!heads_are_known(disk) || (!loads && is_loading(disk)))
        return ERR_OK;
    TRY(replay_prepare(device));
    device->recovery->phase = loads ? RECOVER_LOAD : RECOVER_REPLAY;
    return ERR_OK;
}

MUST_USE static err phase_step(struct disk_device *device)
{
    switch (device->recovery->phase) {
    case RECOVER_HEADS:
        return heads_step(device);
    case RECOVER_WAIT:
        return wait_step(device);
    case RECOVER_LOAD:
        return load_step(device);
    case RECOVER_REPLAY:
        device->recovery->waits_for_memory = false;
        if (!replay_step(device))
            recover_end(device);
        else if (device->recovery->waits_for_memory)
            return ERR(MEMORY);
        break;
    }
    return ERR_OK;
}

bool disk_recover_step(struct disk_device *device)
{
    err e = device->recovery != NULL ? ERR_OK : recover_begin(device);

    if (err_is_ok(e))
        e = phase_step(device);
    if (err_is_ok(e))
        return true;
    disk_memory_short(device, "recovering"); /* there is no other error */
    return false; /* again with the next tick */
}
