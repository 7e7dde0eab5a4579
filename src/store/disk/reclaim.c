/* Reclaim: the oldest segment of a log becomes free; what of it is worth keeping is written again. Also what happens to
 * segments and devices that fail. A keeper's own thread.
 *
 * Ends always: a segment that is taken is free after bounded work. When only the last reserve is left, nothing is copied
 * any more. */
#include "store/disk/disk_own.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

#define RESERVE        3u /* free segments wanted at least */
#define RESERVE_SPARED 2u /* with no more than that nothing new is written, where something is guaranteed */
#define RESERVE_LAST   1u /* with no more than that only what is guaranteed is copied */
#define SPARED_LOOKS   32u /* segments of a log that are looked at for the one with the least that is guaranteed */
#define DEAD_SHARE     5u /* a segment with less than 1/5 of live bytes goes out of turn */
#define ERRORS_MAX     4u

/* ---- what lies in a segment ----------------------------------------------------------------------------------- */

MUST_USE static err trailer_read(struct disk_device *device, uint32_t number, struct disk_trailer *ret_trailer)
{
    uint32_t bytes = device->super.segment_bytes;
    struct disk_place place = disk_place_of(device, number, atomic_load(&device->disk->segments[number].generation), bytes - DISK_TRAILER_BYTES);
    char *block = os_file_memory(DISK_BLOCK);

    ENSURE(block != NULL, MEMORY);
    err e = os_file_now(&device->file, OS_FILE_READ, block, DISK_BLOCK, disk_at(device, number, bytes - DISK_BLOCK));
    if (err_is_ok(e))
        e = disk_trailer_read(block, bytes, &place, ret_trailer);
    free(block);
    return e;
}

MUST_USE static err footer_read(struct disk_device *device, uint32_t number, const struct disk_trailer *trailer, char **ret_footer)
{
    uint32_t bytes = device->super.segment_bytes - trailer->footer_at;
    char *footer = os_file_memory(bytes);

    ENSURE(footer != NULL, MEMORY);
    err e = os_file_now(&device->file, OS_FILE_READ, footer, bytes, disk_at(device, number, trailer->footer_at));
    if (err_is_ok(e))
        e = disk_footer_check(footer, trailer);
    if (err_is_ok(e))
        *ret_footer = footer;
    else
        free(footer);
    return e;
}

err disk_segment_footer_read(struct disk_device *device, uint32_t number, struct disk_trailer *ret_trailer, char **ret_footer)
{
    err e = trailer_read(device, number, ret_trailer);

    if (err_is_ok(e))
        e = footer_read(device, number, ret_trailer, ret_footer);
    if (e.sys == ENOMEM)
        return ERR(MEMORY); /* the kernel's: the device did not fail */
    if (e.code == ERR_SYSTEM)
        disk_failed(device, DISK_ERROR_READ, "reading a segment's footer", e);
    else if (!err_is_ok(e) && e.code != ERR_MEMORY)
        disk_count(device->disk, DISK_ERROR_CORRUPT);
    return e;
}

char *disk_segment_footer(struct disk_device *device, uint32_t number, struct disk_trailer *ret_trailer)
{
    char *footer = NULL;

    return err_is_ok(disk_segment_footer_read(device, number, ret_trailer, &footer)) ? footer : NULL;
}

/* ---- entries without a footer ----------------------------------------------------------------------------------- */

struct clearing {
    struct disk *disk;
    uint32_t from, to; /* segments */
    uint32_t offset;   /* what lies before it stays */
};

static void clear_visit(void *arg, struct disk_entry *entry)
{
    const struct clearing *clearing = arg;

    if (entry->segment < clearing->from || entry->segment >= clearing->to || entry->offset < clearing->offset)
        return;
    disk_entry_gone(clearing->disk, entry);
    entry->kind = DISK_NONE;
}

/* Walks the whole index: only where what lies there can no longer be read. */
static void clear(struct disk *disk, struct clearing clearing)
{
    struct disk_walk walk;

    disk_index_walk_begin(disk->index, &walk);
    (void)disk_index_walk(disk->index, &walk, UINT64_MAX, clear_visit, &clearing);
    disk_index_walk_end(disk->index, &walk);
}

static void segments_clear(struct disk *disk, uint32_t from, uint32_t count)
{
    clear(disk, (struct clearing){disk, from, from + count, 0});
}

void disk_segment_cut(struct disk_device *device, uint32_t number, uint32_t offset)
{
    clear(device->disk, (struct clearing){device->disk, number, number + 1, offset});
}

void disk_segment_bad(struct disk_device *device, uint32_t number)
{
    struct disk_segment *segment = &device->disk->segments[number];

    atomic_store(&segment->state, SEGMENT_BAD);
    atomic_fetch_add_explicit(&device->bad_count, 1, memory_order_relaxed);
    segments_clear(device->disk, number, 1);
    log_warn("%s: segment %u is out of use until WARP is started again", device->path, number - device->base);
}

static bool chain_remove(struct disk *disk, struct disk_chain *chain, uint32_t number)
{
    uint32_t before = DISK_NO_SEGMENT;

    for (uint32_t at = chain->count > 0 ? chain->first : DISK_NO_SEGMENT; at != number; before = at, at = disk->segments[at].next)
        if (at == DISK_NO_SEGMENT)
            return false;
    if (before == DISK_NO_SEGMENT)
        chain->first = disk->segments[number].next;
    else
        disk->segments[before].next = disk->segments[number].next;
    if (chain->last == number)
        chain->last = before;
    chain->count--;
    return true;
}

void disk_segment_unreadable(struct disk_device *device, uint32_t number)
{
    struct disk *disk = device->disk;

    segments_clear(disk, number, 1);
    if (chain_remove(disk, &device->chains[disk->segments[number].log], number)) /* else it is being reclaimed */
        disk_segment_free_push(device, number);
}

bool disk_offline_step(struct disk_device *device)
{
    struct disk *disk = device->disk;

    if (device->is_cleared)
        return false;
    device->is_cleared = true;
    if (device->snapshot != NULL)
        disk_snapshot_drop(device);
    disk_offers_drop(device);
    segments_clear(disk, device->base, device->super.segments);
    purge_log_swept(disk->purges, device->sweeper, UINT64_MAX);
    for (unsigned i = 0; i < disk->device_count; i++)
        disk_keeper_wake(&disk->devices[i]); /* their superblocks name it */
    return false;
}

/* ---- copying -------------------------------------------------------------------------------------------------- */

/* What is copied was checked against the purge log now: soft purges stay with it as its kind. */
static bool copy_prepare(struct disk *disk, const struct disk_record *read, struct disk_append *append)
{
    struct store_label labels[STORE_LABELS_MAX];
    uint64_t seq = purge_log_seq(disk->purges);

    memcpy(labels, read->labels, read->label_count * sizeof(*labels));
    append->record = *read;
    append->record.body = SLICE_NONE;
    switch (purge_log_check(disk->purges, read->purge_seq, read->tenant, labels, read->label_count)) {
    case PURGE_HARD:
        return false;
    case PURGE_SOFT:
        if (read->kind == DISK_WHOLE || read->kind == DISK_HEAD)
            append->record.kind = read->kind == DISK_WHOLE ? DISK_WHOLE_SOFT : DISK_HEAD_SOFT;
        break;
    case PURGE_NONE:
        break;
    }
    if (append->entry.kind == DISK_WHOLE_SOFT || append->entry.kind == DISK_HEAD_SOFT)
        append->record.kind = (enum disk_kind)append->entry.kind; /* swept softly since it was written */
    if (append->entry.kind == DISK_BODY) { /* a newer head has its metadata */
        append->record.kind = DISK_BODY;
        append->record.meta = SLICE_NONE;
    }
    append->record.purge_seq = seq;
    append->entry.kind = (uint8_t)append->record.kind;
    return true;
}

static void spared_lost(struct disk *disk, uint64_t bytes)
{
    atomic_fetch_add_explicit(&disk->spared_lost_bytes, bytes, memory_order_relaxed);
}

/* False: it could not be read or written, and is let go. */
static bool record_copy(struct disk_device *device, uint32_t segment, const struct disk_footer_entry *entry, const struct disk_entry *live)
{
    uint32_t offset = entry->offset * DISK_OFFSET_UNIT, skew = offset % DISK_BLOCK, size = entry->units * DISK_OFFSET_UNIT;
    uint32_t read_bytes = (skew + size + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
    struct disk_place place = disk_place_of(device, segment, atomic_load(&device->disk->segments[segment].generation), offset);
    struct disk_append append = {.log = EVICT_MAIN, .hash = entry->hash, .entry = *live, .from_segment = segment, .from_offset = entry->offset};
    struct disk_record record;
    char *meta, *body;
    uint64_t bytes;
    err e;

    if (read_bytes > DISK_BUFFER_BYTES)
        return false;
    e = os_file_now(&device->file, OS_FILE_READ, device->scratch, read_bytes, disk_at(device, segment, offset - skew));
    if (!err_is_ok(e)) {
        disk_failed(device, DISK_ERROR_READ, "reading an object to keep it", e);
        return false;
    }
    e = disk_record_read(device->scratch + skew, size, &place, &record, &bytes);
    if (err_is_ok(e))
        e = disk_record_check_body(&record);
    if (!err_is_ok(e) || record.body.len != record.body_bytes) {
        disk_count(device->disk, DISK_ERROR_CORRUPT);
        return false;
    }
    if (!copy_prepare(device->disk, &record, &append))
        return false;
    if (!disk_append_begin(device, &append, &meta, &body)) {
        if (disk_is_spared(device->disk, live->tenant))
            spared_lost(device->disk, size);
        return false;
    }
    if (record.body.len > 0)
        memcpy(body, record.body.data, record.body.len);
    return disk_append_end(device, &append);
}

/* ---- one segment, in steps ------------------------------------------------------------------------------------ */

struct disk_reclaim {
    uint32_t segment;
    char *footer;
    struct disk_trailer trailer;
    uint32_t at;
    uint64_t spared_bytes; /* that were copied because they are guaranteed */
};

static bool is_last_reserve(const struct disk_device *device)
{
    return atomic_load_explicit(&device->free_count, memory_order_relaxed) <= RESERVE_LAST;
}

static bool has_guarantees(const struct disk_device *device)
{
    return atomic_load_explicit(&device->disk->has_guarantees, memory_order_relaxed);
}

bool disk_reclaim_goes_first(const struct disk_device *device)
{
    return has_guarantees(device) && atomic_load_explicit(&device->free_count, memory_order_relaxed) <= RESERVE_SPARED &&
           (device->reclaim != NULL || device->chains[EVICT_SMALL].count + device->chains[EVICT_MAIN].count > 0);
}

static void host_tell(const struct disk *disk, uint64_t hash, bool is_gone)
{
    if (disk->host.moved != NULL)
        disk->host.moved(disk->host.host, hash, is_gone);
}

static void entry_evict(struct disk *disk, const struct disk_reclaim *reclaim, const struct disk_footer_entry *entry)
{
    if (!disk_entry_remove(disk, entry->hash, reclaim->segment, entry->offset))
        return;
    atomic_fetch_add_explicit(&disk->evictions, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&disk->evicted_bytes, (uint64_t)entry->units * DISK_OFFSET_UNIT, memory_order_relaxed);
    host_tell(disk, entry->hash, true);
}

/* More may be guaranteed than a device holds: another one failed, or is larger. Over a lap of its segments an eighth has to come
 * free, or all of it would be copied for ever. All that is guaranteed in one stretch (70 %) costs less than is lent here. */
static bool spares_too_much(const struct disk_device *device)
{
    return device->spared_debt > (uint64_t)device->super.segments * device->super.segment_bytes / 8;
}

static void spared_settle(struct disk_device *device, uint64_t copied)
{
    uint64_t debt = device->spared_debt + copied, free = device->super.segment_bytes - device->super.segment_bytes / 8;

    device->spared_debt = debt > free ? debt - free : 0;
}

static void entry_reclaim(struct disk_device *device, struct disk_reclaim *reclaim, const struct disk_footer_entry *entry)
{
    struct disk *disk = device->disk;
    enum evict_log log = (enum evict_log)disk->segments[reclaim->segment].log;
    struct disk_entry live;

    disk_flush_key(device, entry->hash);
    if (!disk_entry_find(disk, entry->hash, reclaim->segment, entry->offset, &live))
        return; /* the key has another record now, or none */
    uint64_t bytes = (uint64_t)entry->units * DISK_OFFSET_UNIT;
    bool is_guaranteed = disk_is_spared(disk, live.tenant), is_spared = is_guaranteed && !spares_too_much(device);
    /* what is left of the reserve is for those that are spared */
    if (evict_fate(device->evict, log, entry->hash, bytes, &live.hits, is_spared, !is_spared && is_last_reserve(device)) == EVICT_TO_MAIN &&
        record_copy(device, reclaim->segment, entry, &live)) {
        host_tell(disk, entry->hash, false);
        reclaim->spared_bytes += is_spared ? bytes : 0;
        return;
    }
    if (is_guaranteed && !is_spared)
        spared_lost(disk, bytes);
    entry_evict(disk, reclaim, entry);
}

static void reclaim_end(struct disk_device *device)
{
    struct disk_reclaim *reclaim = device->reclaim;

    /* what was copied is in the index before the old place is given up */
    (void)disk_flush(device, EVICT_MAIN);
    if (reclaim->footer == NULL)
        segments_clear(device->disk, reclaim->segment, 1);
    else
        for (uint32_t at = 0;;) { /* what a failed flush has left */
            struct disk_footer_entry entry;
            const void *labels;
            if (!disk_footer_next(reclaim->footer, &reclaim->trailer, &at, &entry, &labels))
                break;
            (void)disk_entry_remove(device->disk, entry.hash, reclaim->segment, entry.offset);
        }
    disk_segment_free_push(device, reclaim->segment);
    spared_settle(device, reclaim->spared_bytes);
    free(reclaim->footer);
    free(reclaim);
    device->reclaim = NULL;
}

/* The first segment of a log that is mostly dead goes before its turn. */
static uint32_t dead_segment(const struct disk_device *device)
{
    uint32_t units = device->super.segment_bytes / DISK_OFFSET_UNIT / DEAD_SHARE;
    struct disk *disk = device->disk;

    for (unsigned i = 0; i < EVICT_LOGS; i++) {
        const struct disk_chain *chain = &device->chains[i];
        for (uint32_t at = chain->count > 0 ? chain->first : DISK_NO_SEGMENT; at != DISK_NO_SEGMENT; at = disk->segments[at].next)
            if (atomic_load_explicit(&disk->segments[at].live_units, memory_order_relaxed) < units)
                return at;
    }
    return DISK_NO_SEGMENT;
}

/* UINT64_MAX: its footer cannot be read. */
static uint64_t spared_bytes(struct disk_device *device, uint32_t number)
{
    struct disk_trailer trailer;
    struct disk_footer_entry entry;
    struct disk_entry live;
    const void *labels;
    uint32_t at = 0;
    uint64_t bytes = 0;
    char *footer = disk_segment_footer(device, number, &trailer);

    if (footer == NULL)
        return UINT64_MAX;
    while (disk_footer_next(footer, &trailer, &at, &entry, &labels))
        if (disk_entry_find(device->disk, entry.hash, number, entry.offset, &live) && disk_is_spared(device->disk, live.tenant))
            bytes += (uint64_t)entry.units * DISK_OFFSET_UNIT;
    free(footer);
    return bytes;
}

struct least {
    uint32_t number;
    uint64_t bytes, enough;
};

static void least_look(struct disk_device *device, const struct disk_chain *chain, struct least *least)
{
    uint32_t at = chain->count > 0 ? chain->first : DISK_NO_SEGMENT;

    for (unsigned i = 0; i < SPARED_LOOKS && at != DISK_NO_SEGMENT && least->bytes > least->enough; i++, at = device->disk->segments[at].next) {
        uint64_t bytes = spared_bytes(device, at);
        if (bytes < least->bytes) {
            least->bytes = bytes;
            least->number = at;
        }
    }
}

/* Nearly all room is taken: what has to be copied must fit, and leave room for the next time. No segment is free where WARP
 * ended without closing the store: what was being reclaimed then is there again, and what had been has nothing that is
 * guaranteed. */
static uint32_t least_spared(struct disk_device *device)
{
    struct least least = {DISK_NO_SEGMENT, UINT64_MAX, atomic_load_explicit(&device->free_count, memory_order_relaxed) > 0 ? device->super.segment_bytes / 2 : 0};

    for (unsigned i = 0; i < EVICT_LOGS; i++)
        least_look(device, &device->chains[i], &least);
    return least.number;
}

static uint32_t victim(struct disk_device *device)
{
    uint64_t segments[EVICT_LOGS] = {device->chains[EVICT_SMALL].count, device->chains[EVICT_MAIN].count};
    uint32_t least = has_guarantees(device) && is_last_reserve(device) ? least_spared(device) : DISK_NO_SEGMENT;
    if (least != DISK_NO_SEGMENT)
        return least;
    uint32_t dead = dead_segment(device);

    return dead != DISK_NO_SEGMENT ? dead : device->chains[evict_victim_log(device->evict, segments)].first;
}

/* Nothing is taken before the footer is there, or known to be unreadable. */
static bool reclaim_begin(struct disk_device *device)
{
    if (atomic_load_explicit(&device->free_count, memory_order_relaxed) >= RESERVE ||
        device->chains[EVICT_SMALL].count + device->chains[EVICT_MAIN].count == 0)
        return false;
    struct disk_reclaim *reclaim = calloc(1, sizeof(*reclaim));
    if (reclaim == NULL)
        return false;
    reclaim->segment = victim(device);
    if (disk_segment_footer_read(device, reclaim->segment, &reclaim->trailer, &reclaim->footer).code == ERR_MEMORY) {
        free(reclaim);
        return false; /* again with the next tick: what lies there is good */
    }
    bool was_there = chain_remove(device->disk, &device->chains[device->disk->segments[reclaim->segment].log], reclaim->segment);
    INVARIANT(was_there);
    device->reclaim = reclaim;
    return true;
}

bool disk_reclaim_step(struct disk_device *device)
{
    struct disk_reclaim *reclaim = device->reclaim;
    struct disk_footer_entry entry;
    const void *labels;

    if (has_guarantees(device) && disk_free_are_pinned(device))
        return false; /* again with the next tick: what is guaranteed waits for those who read */
    if (reclaim == NULL)
        return reclaim_begin(device);
    for (unsigned i = 0; i < 256; i++) {
        if (reclaim->footer == NULL || !disk_footer_next(reclaim->footer, &reclaim->trailer, &reclaim->at, &entry, &labels)) {
            reclaim_end(device);
            break;
        }
        entry_reclaim(device, reclaim, &entry);
    }
    return true;
}

void disk_reclaim_close(struct disk_device *device)
{
    if (device->reclaim != NULL)
        free(device->reclaim->footer);
    free(device->reclaim);
    device->reclaim = NULL;
}
