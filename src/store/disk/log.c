/* The log: open segments, records on their way, sealing. A keeper's own thread.
 *
 *   append_begin -> (the caller fills meta and body) -> append_end -> in the buffer -> flush: written -> in the index
 *
 * A buffer begins at a whole block of its segment and is written once, padded to the next whole block: what is on the
 * device is never written again. Records follow each other at multiples of DISK_OFFSET_UNIT; behind a flush, at the next
 * block. So a scan that finds no record looks at the next block once more, and else has reached the end. */
#include "store/disk/disk_own.h"

#include "base/log.h"
#include "os/os.h"

#include <stdlib.h>

#define PENDING_FIRST 256u
#define FOOTER_FIRST  65536u

static uint32_t block_up(uint32_t bytes)
{
    return (bytes + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
}

/* ---- chains and free segments --------------------------------------------------------------------------------- */

void disk_chain_push(struct disk *disk, struct disk_chain *chain, uint32_t segment)
{
    disk->segments[segment].next = DISK_NO_SEGMENT;
    if (chain->count++ == 0)
        chain->first = segment;
    else
        disk->segments[chain->last].next = segment;
    chain->last = segment;
}

void disk_segment_free_push(struct disk_device *device, uint32_t segment)
{
    uint32_t count = atomic_load_explicit(&device->free_count, memory_order_relaxed);

    INVARIANT(count < device->super.segments);
    atomic_store(&device->disk->segments[segment].state, SEGMENT_FREE);
    device->free_segments[(device->free_first + count) % device->super.segments] = segment;
    atomic_store_explicit(&device->free_count, count + 1, memory_order_relaxed);
}

/* One that no reader holds any more. */
static uint32_t free_pop(struct disk_device *device)
{
    uint32_t count = atomic_load_explicit(&device->free_count, memory_order_relaxed);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t segment = device->free_segments[device->free_first];
        device->free_first = (device->free_first + 1) % device->super.segments;
        if (atomic_load(&device->disk->segments[segment].pins) == 0) {
            atomic_store_explicit(&device->free_count, count - 1, memory_order_relaxed);
            return segment;
        }
        device->free_segments[(device->free_first + count - 1) % device->super.segments] = segment;
    }
    return DISK_NO_SEGMENT;
}

bool disk_free_are_pinned(const struct disk_device *device)
{
    uint32_t count = atomic_load_explicit(&device->free_count, memory_order_relaxed);

    for (uint32_t i = 0; i < count; i++)
        if (atomic_load(&device->disk->segments[device->free_segments[(device->free_first + i) % device->super.segments]].pins) == 0)
            return false;
    return count > 0;
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

err disk_streams_open(struct disk_device *device)
{
    for (unsigned i = 0; i < EVICT_LOGS; i++) {
        struct disk_stream *stream = &device->streams[i];
        *stream = (struct disk_stream){.device = device, .log = (enum evict_log)i, .segment = DISK_NO_SEGMENT};
        stream->buffer = os_file_memory(DISK_BUFFER_BYTES);
        ENSURE(stream->buffer != NULL, MEMORY);
    }
    return ERR_OK;
}

static void pending_let_go(struct disk_stream *stream)
{
    for (unsigned i = 0; i < stream->pending_count; i++) {
        const struct disk_pending *pending = &stream->pending[i];
        struct disk *disk = stream->device->disk;
        if (pending->is_charged)
            disk_quota_give(disk, pending->entry.tenant, disk_size_of_class(pending->entry.size_class));
        if (pending->stored != NULL)
            disk_settle(disk, pending->stored);
    }
    stream->pending_count = 0;
    memset(stream->pending_keys, 0, sizeof(stream->pending_keys));
}

void disk_pending_drop(struct disk_stream *stream)
{
    pending_let_go(stream);
    stream->filled = 0;
}

void disk_streams_close(struct disk_device *device)
{
    for (unsigned i = 0; i < EVICT_LOGS; i++) {
        struct disk_stream *stream = &device->streams[i];
        pending_let_go(stream);
        free(stream->pending);
        free(stream->footer.bytes);
        free(stream->buffer);
        *stream = (struct disk_stream){.segment = DISK_NO_SEGMENT};
    }
}

/* ---- footers -------------------------------------------------------------------------------------------------- */

/* For as many bytes more, and for what else is written with them: a seal takes no memory, and so cannot fail for it. */
MUST_USE static err footer_make_room(struct disk_footer *footer, uint32_t bytes)
{
    uint32_t needed = disk_footer_room((uint64_t)footer->size + bytes);

    if (needed <= footer->room)
        return ERR_OK;
    uint32_t room = MAX(footer->room * 2, needed + FOOTER_FIRST);
    char *grown = os_file_memory(room);
    ENSURE(grown != NULL, MEMORY);
    if (footer->size > 0)
        memcpy(grown, footer->bytes, footer->size);
    free(footer->bytes);
    footer->bytes = grown;
    footer->room = room;
    return ERR_OK;
}

static uint32_t footer_bytes_of(unsigned labels)
{
    return (uint32_t)(sizeof(struct disk_footer_entry) + labels * sizeof(struct store_label));
}

err disk_footer_add(struct disk_footer *footer, const struct disk_record *record, uint64_t hash, uint32_t offset_bytes, uint64_t bytes,
                    uint64_t first_wseq)
{
    struct disk_footer_entry entry = {.hash = hash,
                                      .purge_seq = record->purge_seq,
                                      .offset = offset_bytes / DISK_OFFSET_UNIT,
                                      .units = (uint32_t)(bytes / DISK_OFFSET_UNIT),
                                      .wseq = (uint32_t)(record->wseq - first_wseq),
                                      .tenant = record->tenant,
                                      .label_count = (uint16_t)record->label_count,
                                      .kind = (uint8_t)record->kind};

    TRY(footer_make_room(footer, footer_bytes_of(record->label_count)));
    memcpy(footer->bytes + footer->size, &entry, sizeof(entry));
    if (record->label_count > 0)
        memcpy(footer->bytes + footer->size + sizeof(entry), record->labels, record->label_count * sizeof(struct store_label));
    footer->size += footer_bytes_of(record->label_count);
    footer->purge_seq_min = footer->entries == 0 ? record->purge_seq : MIN(footer->purge_seq_min, record->purge_seq);
    footer->purge_seq_max = MAX(footer->purge_seq_max, record->purge_seq);
    footer->last_wseq = record->wseq;
    footer->entries++;
    return ERR_OK;
}

static void footer_clear(struct disk_footer *footer)
{
    *footer = (struct disk_footer){.bytes = footer->bytes, .room = footer->room};
}

/* ---- opening and sealing -------------------------------------------------------------------------------------- */

/* In the buffer; it goes to the device with the first records. */
static bool stream_open(struct disk_stream *stream)
{
    struct disk_device *device = stream->device;
    struct disk *disk = device->disk;
    uint32_t number;

    footer_clear(&stream->footer);
    if (!err_is_ok(footer_make_room(&stream->footer, 0)) || (number = free_pop(device)) == DISK_NO_SEGMENT)
        return false;
    struct disk_segment *segment = &disk->segments[number];
    struct disk_segment_head head = {.store = device->super.store,
                                     .segment = number - device->base,
                                     .first_wseq = atomic_fetch_add_explicit(&disk->next_wseq, 1, memory_order_relaxed),
                                     .opened_ms = (uint64_t)os_wall_ms(),
                                     .log = (uint8_t)stream->log};
    disk_segment_head_write(&head);
    memcpy(stream->buffer, &head, sizeof(head));
    stream->segment = number;
    stream->flushed = 0;
    stream->filled = sizeof(head);
    stream->copied = stream->updated = 0;
    segment->log = head.log;
    segment->is_new = true;
    segment->errors = 0;
    segment->purge_seq_min = purge_log_seq(disk->purges);
    atomic_store(&segment->generation, head.first_wseq);
    atomic_store(&segment->state, SEGMENT_FILLING);
    return true;
}

static void stream_abandon(struct disk_stream *stream)
{
    uint32_t segment = stream->segment;

    stream->segment = DISK_NO_SEGMENT;
    stream->filled = 0;
    pending_let_go(stream);
    disk_segment_bad(stream->device, segment);
}

/* Nothing was written to it: not even its head is there. */
static void stream_give_back(struct disk_stream *stream)
{
    disk_segment_free_push(stream->device, stream->segment);
    stream->segment = DISK_NO_SEGMENT;
    stream->filled = 0;
}

void disk_seal(struct disk_device *device, enum evict_log log)
{
    struct disk_stream *stream = &device->streams[log];
    struct disk *disk = device->disk;

    if (stream->segment == DISK_NO_SEGMENT || !disk_flush(device, log))
        return;
    if (stream->flushed == 0) {
        stream_give_back(stream);
        return;
    }
    struct disk_segment *segment = &disk->segments[stream->segment];
    uint32_t bytes = device->super.segment_bytes, room = disk_footer_room(stream->footer.size);
    struct disk_trailer trailer = {.footer_bytes = stream->footer.size,
                                   .entries = stream->footer.entries,
                                   .last_wseq = stream->footer.last_wseq,
                                   .purge_seq_min = stream->footer.purge_seq_min,
                                   .purge_seq_max = stream->footer.purge_seq_max};
    struct disk_place place = disk_place_of(device, stream->segment, atomic_load(&segment->generation), bytes - DISK_TRAILER_BYTES);

    INVARIANT(stream->flushed + room <= bytes && room <= stream->footer.room);
    disk_footer_write(stream->footer.bytes, bytes, stream->footer.bytes, &trailer, &place);
    err e = disk_write_now(device, stream->footer.bytes, room, disk_at(device, stream->segment, bytes - room), DISK_CAUSE_FOOTERS);
    evict_wrote(device->evict, room);
    if (!err_is_ok(e)) {
        disk_failed(device, DISK_ERROR_WRITE, "writing a segment's footer", e);
        stream_abandon(stream);
        return;
    }
    segment->used = stream->flushed;
    atomic_store(&segment->state, SEGMENT_SEALED);
    disk_chain_push(disk, &device->chains[log], stream->segment);
    stream->segment = DISK_NO_SEGMENT;
}

/* ---- appending ------------------------------------------------------------------------------------------------ */

static bool fits(const struct disk_device *device, uint32_t flushed, uint64_t filled, uint64_t footer_bytes)
{
    /* one block more: a flush may come between */
    return flushed + block_up((uint32_t)filled) + DISK_BLOCK + disk_footer_room(footer_bytes) <= device->super.segment_bytes;
}

static bool stream_fits(const struct disk_stream *stream, uint64_t bytes, unsigned labels)
{
    return fits(stream->device, stream->flushed, stream->filled + bytes, (uint64_t)stream->footer.size + footer_bytes_of(labels));
}

/* Into an empty segment. Looked at first: else one after the other would be closed for a record that none can take. */
static bool ever_fits(struct disk_device *device, uint64_t bytes, unsigned labels)
{
    if (fits(device, 0, DISK_SEGMENT_HEAD_BYTES + bytes, footer_bytes_of(labels)))
        return true;
    atomic_fetch_add_explicit(&device->disk->too_large, 1, memory_order_relaxed);
    return false;
}

MUST_USE static bool stream_make_room(struct disk_stream *stream, uint64_t bytes, unsigned labels)
{
    struct disk_device *device = stream->device;

    if (stream->segment != DISK_NO_SEGMENT && !stream_fits(stream, bytes, labels))
        disk_seal(device, stream->log);
    if (stream->segment != DISK_NO_SEGMENT && stream->filled + bytes > DISK_BUFFER_BYTES && !disk_flush(device, stream->log))
        return false;
    if (stream->segment == DISK_NO_SEGMENT && !stream_open(stream))
        return false;
    return stream_fits(stream, bytes, labels);
}

MUST_USE static bool pending_room(struct disk_stream *stream)
{
    if (stream->pending_count < stream->pending_room)
        return true;
    unsigned room = MAX(stream->pending_room * 2, PENDING_FIRST);
    struct disk_pending *grown = realloc(stream->pending, room * sizeof(*grown));
    if (grown == NULL)
        return false;
    stream->pending = grown;
    stream->pending_room = room;
    return true;
}

static uint64_t *pending_word(struct disk_stream *stream, uint64_t hash)
{
    return &stream->pending_keys[hash % DISK_PENDING_BITS / 64];
}

static uint64_t pending_bit(uint64_t hash)
{
    return UINT64_C(1) << hash % 64;
}

bool disk_append_begin(struct disk_device *device, struct disk_append *append, char **ret_meta, char **ret_body)
{
    struct disk_stream *stream = &device->streams[append->log];
    struct disk_record *record = &append->record;
    uint64_t bytes = disk_record_bytes(record->key.len, record->label_count, record->meta.len, record->body_bytes);

    if (bytes == 0 || atomic_load_explicit(&device->is_offline, memory_order_relaxed) ||
        !ever_fits(device, bytes, record->label_count) || !pending_room(stream) ||
        !stream_make_room(stream, bytes, record->label_count))
        return false;
    record->wseq = atomic_fetch_add_explicit(&device->disk->next_wseq, 1, memory_order_relaxed);
    if (record->body_id == 0)
        record->body_id = record->wseq;
    append->entry.segment = stream->segment;
    append->entry.offset = (stream->flushed + stream->filled) / DISK_OFFSET_UNIT;
    append->entry.size_class = disk_size_class(bytes);
    disk_record_begin(record, stream->buffer + stream->filled, ret_meta, ret_body);
    return true;
}

bool disk_append_end(struct disk_device *device, struct disk_append *append)
{
    struct disk_stream *stream = &device->streams[append->log];
    const struct disk_record *record = &append->record;
    struct disk_segment *segment = &device->disk->segments[stream->segment];
    uint64_t bytes = disk_record_bytes(record->key.len, record->label_count, record->meta.len, record->body_bytes);
    uint32_t offset = stream->flushed + stream->filled;
    struct disk_place place = disk_place_of(device, stream->segment, atomic_load(&segment->generation), offset);

    disk_record_seal(stream->buffer + stream->filled, &place);
    if (!err_is_ok(disk_footer_add(&stream->footer, record, append->hash, offset, bytes, place.generation)))
        return false; /* what is not in a footer must not be in the index: the next record takes its place */
    segment->purge_seq_min = MIN(segment->purge_seq_min, record->purge_seq);
    if (stream->pending_count == 0)
        stream->first_ns = os_clock_ns();
    stream->pending[stream->pending_count++] =
        (struct disk_pending){append->entry, append->hash, append->stored, append->from_segment, append->from_offset, append->stored != NULL};
    if (append->stored != NULL) {
        stored_ref(append->stored, 1);
        *pending_word(stream, append->hash) |= pending_bit(append->hash);
    }
    if (append->stored == NULL)
        stream->copied += (uint32_t)bytes;
    else if (record->kind == DISK_HEAD || record->kind == DISK_HEAD_SOFT)
        stream->updated += (uint32_t)bytes;
    stream->filled += (uint32_t)bytes;
    return true;
}

/* ---- flushing ------------------------------------------------------------------------------------------------- */

/* What the tier above has replaced or dropped since must not come into the index: it looks at the index after it has
 * marked the object, this one looks at the mark after it has put the entry. Both change the flags, so one comes first:
 * this one sees the mark, or the other one the entry. */
static void publish_new(struct disk *disk, struct disk_pending *pending)
{
    disk_entry_take_place(disk, pending->hash, &pending->entry);
    disk_quota_give(disk, pending->entry.tenant, disk_size_of_class(pending->entry.size_class)); /* the entry counts now */
    pending->is_charged = false;
    if ((atomic_fetch_or(&pending->stored->flags, 0) & STORED_OVER) != 0)
        (void)disk_entry_remove(disk, pending->hash, pending->entry.segment, pending->entry.offset);
    else
        stored_set_flag(pending->stored, STORED_ON_DISK);
    atomic_fetch_add_explicit(&disk->inserts, 1, memory_order_relaxed);
}

/* In the place of what it is a copy of, while that is there; of another size where it went without its metadata. Where a head
 * was written meanwhile, the record is its body from now on; that may happen between look and move, once. */
static void publish_copy(struct disk *disk, const struct disk_pending *pending)
{
    struct disk_entry old, entry = pending->entry;

    for (unsigned i = 0; i < 2 && disk_entry_find(disk, pending->hash, pending->from_segment, pending->from_offset, &old); i++) {
        if (old.kind == DISK_BODY)
            entry.kind = DISK_BODY;
        disk_entry_came(disk, &entry);
        if (disk_index_move(disk->index, pending->hash, pending->from_segment, pending->from_offset, &entry)) {
            disk_entry_gone(disk, &old);
            return;
        }
        disk_entry_gone(disk, &entry);
    }
}

static void publish(struct disk_stream *stream)
{
    for (unsigned i = 0; i < stream->pending_count; i++) {
        if (stream->pending[i].stored != NULL)
            publish_new(stream->device->disk, &stream->pending[i]);
        else
            publish_copy(stream->device->disk, &stream->pending[i]);
    }
    pending_let_go(stream);
}

bool disk_flush(struct disk_device *device, enum evict_log log)
{
    struct disk_stream *stream = &device->streams[log];

    if (stream->segment == DISK_NO_SEGMENT || stream->pending_count == 0)
        return true;
    uint32_t size = block_up(stream->filled);
    memset(stream->buffer + stream->filled, 0, size - stream->filled);
    err e = os_file_now(&device->file, OS_FILE_WRITE, stream->buffer, size, disk_at(device, stream->segment, stream->flushed));
    if (!err_is_ok(e)) {
        disk_failed(device, DISK_ERROR_WRITE, "writing objects", e);
        stream_abandon(stream);
        return false;
    }
    evict_wrote(device->evict, size);
    atomic_fetch_add_explicit(&device->disk->written[DISK_CAUSE_RECLAIM], stream->copied, memory_order_relaxed);
    atomic_fetch_add_explicit(&device->disk->written[DISK_CAUSE_UPDATES], stream->updated, memory_order_relaxed);
    atomic_fetch_add_explicit(&device->disk->written[DISK_CAUSE_OBJECTS], size - stream->copied - stream->updated, memory_order_relaxed);
    stream->flushed += size;
    stream->filled = 0;
    stream->copied = stream->updated = 0;
    publish(stream);
    return true;
}

void disk_flush_key(struct disk_device *device, uint64_t hash)
{
    for (unsigned i = 0; i < EVICT_LOGS; i++)
        if (*pending_word(&device->streams[i], hash) & pending_bit(hash))
            (void)disk_flush(device, (enum evict_log)i);
}

void disk_flush_due(struct disk_device *device, uint64_t now_ns)
{
    for (unsigned i = 0; i < EVICT_LOGS; i++) {
        struct disk_stream *stream = &device->streams[i];
        if (stream->pending_count > 0 && now_ns >= stream->first_ns + DISK_FLUSH_NS) /* a turn may have begun before */
            (void)disk_flush(device, (enum evict_log)i);
    }
}
