/* The keeper: one thread a device that does everything but look up. In steps, so that none of its duties waits long for
 * another: purges first, then what was offered, then what keeps the device in order. */
#include "store/disk/disk_own.h"

#include "base/log.h"

#include <stdlib.h>

#define TICK_NS          UINT64_C(50000000)
#define OFFERS_MAX       65536u /* as in disk.c */
#define OFFERS_STEP      64u
#define BODY_APART_BYTES 4096u /* a smaller body is written again with its new metadata */
#define HEAD_READ_BYTES  (128u * 1024)
#define SNAPSHOT_SOON_NS UINT64_C(5000000000)
#define SNAPSHOT_NS      UINT64_C(300000000000)

/* ---- what is offered ------------------------------------------------------------------------------------------ */

static bool offer_take(struct disk_device *device, struct disk_offer_entry *ret_offer)
{
    bool is_there;

    pthread_mutex_lock(&device->mutex);
    is_there = device->offer_count > 0;
    if (is_there) {
        *ret_offer = device->offers[device->offer_first];
        device->offer_first = (device->offer_first + 1) % OFFERS_MAX;
        device->offer_count--;
        device->offer_bytes -= ret_offer->bytes;
    }
    pthread_mutex_unlock(&device->mutex);
    return is_there;
}

void disk_offers_drop(struct disk_device *device)
{
    struct disk_offer_entry offer;

    while (offer_take(device, &offer))
        disk_settle(device->disk, offer.stored);
    for (unsigned i = 0; i < EVICT_LOGS; i++)
        disk_pending_drop(&device->streams[i]);
}

static enum disk_kind kind_of(const struct store_object *object, bool is_soft)
{
    switch ((enum store_kind)object->kind) {
    case STORE_ANSWER:
        return is_soft ? DISK_WHOLE_SOFT : DISK_WHOLE;
    case STORE_VARY:
        return DISK_VARY;
    case STORE_SLICE:
        return DISK_SLICE;
    case STORE_NOTE:
        break;
    }
    return DISK_NONE;
}

/* A complete body, from where it lies. */
static size_t body_copy(struct disk_device *device, struct store_object *object, char *to)
{
    size_t copied = 0;
    struct hit_handler hit;
    slice slices[8];
    unsigned count;

    if (object->body == NULL)
        return 0;
    hit_handler_open(&hit, store_object_ref(object), device->loop);
    while (source_peek(&hit.source, slices, ARRAY_LEN(slices), &count) == SOURCE_READY) {
        size_t bytes = 0;
        for (unsigned i = 0; i < count; i++) {
            memcpy(to, slices[i].data, slices[i].len);
            to += slices[i].len;
            bytes += slices[i].len;
        }
        source_consume(&hit.source, bytes);
        copied += bytes;
    }
    source_close(&hit.source);
    return copied;
}

static bool is_writable(const struct store_object *object)
{
    if (object->kind == STORE_NOTE || store_object_is_failed(object) || !store_object_is_complete(object))
        return false;
    return object->body == NULL ||
           (atomic_load_explicit(&object->body->window, memory_order_acquire) == BODY_WHOLE &&
            store_object_length(object) <= (int64_t)STORE_SLICE_BYTES);
}

/* False: it can or may not be written. The sequence is read before the log is asked: a purge that comes between is newer
 * than the record. */
static bool record_of(struct disk_device *device, struct stored *stored, struct disk_append *ret_append)
{
    struct store_object *object = &stored->seen;
    const struct disk_codec *codec = &device->disk->config.codec;
    uint64_t seq = purge_log_seq(device->disk->purges);
    enum purge_verdict verdict = purge_log_check(device->disk->purges, object->seq, object->tenant, store_object_labels(object), object->label_count);
    bool is_soft = verdict == PURGE_SOFT || stored_has_flag(stored, STORED_SOFT);
    slice meta = object->meta;

    if (verdict == PURGE_HARD || stored_has_flag(stored, STORED_OVER))
        return false;
    size_t packed = codec->pack != NULL && object->kind == STORE_ANSWER ? codec->packed_bytes(meta) : 0;
    if (packed > 0)
        meta = slice_of(NULL, packed);
    *ret_append = (struct disk_append){
        .hash = disk_hash(object->hash),
        .stored = stored,
        .entry = {.tenant = object->tenant, .kind = (uint8_t)kind_of(object, is_soft)},
        .record = {.kind = kind_of(object, is_soft),
                   .purge_seq = seq,
                   .stored_ms = object->stored_ms,
                   .tenant = object->tenant,
                   .is_packed = packed > 0,
                   .key = store_object_key(object),
                   .meta = meta,
                   .labels = store_object_labels(object),
                   .label_count = object->label_count,
                   .body_bytes = (uint32_t)MAX(object->body != NULL ? store_object_length(object) : 0, 0)}};
    return true;
}

/* What the record says its body is, is what the object has: by length and checksums. */
static bool body_is_same(struct disk_device *device, struct store_object *object, const struct disk_record *record)
{
    struct disk_record like = *record;
    char *copy;
    bool is_same;

    if (store_object_length(object) != (int64_t)record->body_bytes || (copy = malloc(record->body_bytes + 1)) == NULL)
        return false;
    if (body_copy(device, object, copy) != record->body_bytes) {
        free(copy);
        return false;
    }
    like.body = slice_of(copy, record->body_bytes);
    is_same = err_is_ok(disk_record_check_body(&like));
    free(copy);
    return is_same;
}

/* Is the record the key's, and with the body of that object? Read by the keeper; body_id is what a new head names. */
static bool body_find(struct disk_device *device, struct store_object *object, const struct disk_entry *entry, uint64_t *ret_body_id)
{
    uint32_t offset = entry->offset * DISK_OFFSET_UNIT, skew = offset % DISK_BLOCK;
    uint32_t end = (uint32_t)MIN((offset + disk_size_of_class(entry->size_class) + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK, device->super.segment_bytes);
    struct disk_segment *segment = &device->disk->segments[entry->segment];
    struct disk_place place = disk_place_of(device, entry->segment, atomic_load(&segment->generation), offset);
    struct disk_record record;
    uint64_t bytes;

    end = MIN(end, offset - skew + HEAD_READ_BYTES);
    if (disk_device_of_segment(device->disk, entry->segment) != device || atomic_load(&segment->state) == SEGMENT_BAD)
        return false;
    if (!err_is_ok(os_file_now(&device->file, OS_FILE_READ, device->scratch, end - (offset - skew), disk_at(device, entry->segment, offset - skew))) ||
        !err_is_ok(disk_record_read(device->scratch + skew, end - offset, &place, &record, &bytes)))
        return false;
    *ret_body_id = record.body_id;
    return slice_eq(record.key, store_object_key(object)) && body_is_same(device, object, &record);
}

/* Metadata alone, where the body is large and on this disk already: it is looked up by what the record before it says. */
static bool becomes_head(struct disk_device *device, struct stored *stored, struct disk_append *append)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    unsigned count;

    if (append->record.body_bytes <= BODY_APART_BYTES || stored->seen.kind != STORE_ANSWER)
        return false;
    count = disk_index_find(device->disk->index, append->hash,
                            1u << DISK_WHOLE | 1u << DISK_WHOLE_SOFT | 1u << DISK_BODY, entries);
    for (unsigned i = 0; i < count; i++) {
        if (!body_find(device, &stored->seen, &entries[i], &append->record.body_id))
            continue;
        append->record.kind = append->record.kind == DISK_WHOLE_SOFT ? DISK_HEAD_SOFT : DISK_HEAD;
        append->entry.kind = (uint8_t)append->record.kind;
        append->record.body_bytes = 0;
        return true;
    }
    return false;
}

/* True: it is on its way. */
static bool offer_append(struct disk_device *device, struct stored *stored, struct disk_append *append)
{
    char *meta, *body;

    if (!disk_append_begin(device, append, &meta, &body))
        return false;
    if (append->record.is_packed)
        device->disk->config.codec.pack(stored->seen.meta, meta);
    /* of a head the body is not written; else the next record takes its place */
    if (append->record.body_bytes > 0 && body_copy(device, &stored->seen, body) != append->record.body_bytes)
        return false;
    return disk_append_end(device, append);
}

/* Its tenant's own do not go for what is not written anyway: so it is admitted first. */
static bool offer_write(struct disk_device *device, const struct disk_offer_entry *offer)
{
    struct stored *stored = offer->stored;
    struct disk_append append;
    uint64_t bytes;
    bool is_admitted;

    if (!is_writable(&stored->seen) || (stored_has_flag(stored, STORED_ON_DISK) && !offer->is_update) ||
        !record_of(device, stored, &append))
        return false;
    if (offer->is_update)
        (void)becomes_head(device, stored, &append);
    bytes = disk_record_bytes(append.record.key.len, append.record.label_count, append.record.meta.len, append.record.body_bytes);
    if (bytes == 0)
        return false;
    is_admitted = evict_would_admit(device->evict, offer->was_used);
    if (is_admitted && !disk_quota_take(device, append.entry.tenant, bytes)) {
        evict_over_quota(device->evict);
        return false;
    }
    switch (evict_admit(device->evict, append.hash, bytes, offer->was_used)) {
    case EVICT_ADMIT_NOT:
        INVARIANT(!is_admitted);
        return false;
    case EVICT_ADMIT_SMALL:
        append.log = EVICT_SMALL;
        break;
    case EVICT_ADMIT_MAIN:
        append.log = EVICT_MAIN;
        break;
    }
    if (offer_append(device, stored, &append))
        return true;
    disk_quota_give(device->disk, append.entry.tenant, bytes);
    return false;
}

static bool offers_step(struct disk_device *device)
{
    struct disk_offer_entry offer;

    for (unsigned i = 0; i < OFFERS_STEP; i++) {
        if (disk_reclaim_goes_first(device) || !offer_take(device, &offer))
            return false;
        if (offer_write(device, &offer))
            store_object_unref(&offer.stored->seen); /* what is on its way holds another */
        else
            disk_settle(device->disk, offer.stored);
    }
    return true;
}

/* ---- steps ---------------------------------------------------------------------------------------------------- */

static enum keeper_state state_of(const struct disk_device *device)
{
    return (enum keeper_state)atomic_load_explicit(&device->keeper_state, memory_order_relaxed);
}

/* Only snapshots let the journals forget: when those fill up, snapshots come sooner. */
static uint64_t snapshot_ns(const struct disk_device *device)
{
    if (journal_is_crowded(device->journal))
        return SNAPSHOT_SOON_NS;
    return device->disk->config.snapshot_ns > 0 ? device->disk->config.snapshot_ns : SNAPSHOT_NS;
}

static bool running_step(struct disk_device *device, uint64_t now_ns)
{
    bool more;

    evict_turn(device->evict, now_ns, atomic_load_explicit(&device->free_count, memory_order_relaxed));
    atomic_store_explicit(&device->is_open, evict_is_open(device->evict), memory_order_relaxed);
    more = offers_step(device);
    disk_flush_due(device, now_ns);
    more |= disk_reclaim_step(device);
    more |= disk_excess_step(device);
    more |= disk_sweep_step(device);
    more |= disk_snapshot_step(device, now_ns - device->snapshot_at_ns >= snapshot_ns(device));
    return more;
}

/* Everything is on the device afterwards, and a snapshot of it: the next start reads no more than that. */
static void keeper_close(struct disk_device *device)
{
    while (state_of(device) == KEEPER_RUNNING && offers_step(device))
        continue;
    disk_commit_step(device);
    for (unsigned i = 0; i < EVICT_LOGS; i++)
        disk_seal(device, (enum evict_log)i);
    if (device->snapshot != NULL)
        disk_snapshot_drop(device);
    while (state_of(device) == KEEPER_RUNNING && disk_snapshot_step(device, true))
        continue;
    device->super.is_clean = 1;
    if (!atomic_load(&device->is_offline) && !err_is_ok(disk_super_store(device)))
        disk_count(device->disk, DISK_ERROR_WRITE);
}

/* A device that has failed is on record in the others: what it holds is not to be trusted when it comes back. */
static void supers_tell(struct disk_device *device)
{
    struct disk *disk = device->disk;
    uint64_t before = device->super.out, out = before | disk_devices_out(disk);

    if (out == before)
        return;
    device->super.out = out;
    err e = disk_super_store(device);
    if (err_is_ok(e)) {
        atomic_fetch_or(&disk->out_now, out);
        for (unsigned i = 0; i < disk->device_count; i++)
            disk_keeper_wake(&disk->devices[i]); /* purges may wait for it */
        return;
    }
    device->super.out = before; /* again with the next step */
    disk_failed(device, DISK_ERROR_WRITE, "writing its superblock", e);
}

/* It does nothing more: what it was at is let go, and what it held with it. */
static bool offline_step(struct disk_device *device)
{
    disk_recover_close(device);
    disk_reclaim_close(device);
    disk_sweep_close(device);
    disk_excess_give_up(device);
    bool more = disk_offline_step(device);

    if (disk_all_recovered(device->disk)) /* it may have been the one that others waited for */
        disk_changed_close(device->disk);
    return more;
}

static void keeper_step(struct disk_device *device)
{
    uint64_t now_ns = loop_now_ns(device->loop);
    bool more = false;

    if (atomic_load(&device->is_ending)) {
        keeper_close(device);
        disk_commits_fail(device);
        atomic_store(&device->keeper_state, KEEPER_ENDED);
        loop_stop(device->loop);
        return;
    }
    if (!atomic_load_explicit(&device->is_offline, memory_order_relaxed))
        supers_tell(device);
    disk_commit_step(device);
    if (atomic_load_explicit(&device->is_offline, memory_order_relaxed))
        more = offline_step(device);
    else if (state_of(device) == KEEPER_RECOVERING)
        more = disk_recover_step(device);
    else
        more = running_step(device, now_ns);
    loop_timer_set(device->loop, &device->timer, more ? now_ns + 1 : now_ns + TICK_NS);
}

static void keeper_timer(struct timer *timer)
{
    keeper_step(container_of(timer, struct disk_device, timer));
}

/* ---- mail ----------------------------------------------------------------------------------------------------- */

static void keeper_woken(struct mail *mail)
{
    struct disk_device *device = container_of(mail, struct disk_device, wake);

    atomic_store(&device->is_woken, false);
    if (state_of(device) != KEEPER_ENDED)
        keeper_step(device);
}

void disk_keeper_wake(struct disk_device *device)
{
    if (device->loop != NULL && !atomic_exchange(&device->is_woken, true))
        loop_post(device->loop, &device->wake);
}

/* ---- life ----------------------------------------------------------------------------------------------------- */

void disk_keeper_begin(struct disk *disk, unsigned number, struct loop *loop)
{
    struct disk_device *device = &disk->devices[number];

    device->wake.run = keeper_woken;
    timer_init(&device->timer, keeper_timer);
    device->snapshot_at_ns = os_clock_ns();
    atomic_store(&device->keeper_state, KEEPER_RECOVERING);
    device->loop = loop;
    loop_timer_set(loop, &device->timer, os_clock_ns() + 1);
}

void disk_keeper_end(struct disk *disk, unsigned number)
{
    atomic_store(&disk->devices[number].is_ending, true);
    disk_keeper_wake(&disk->devices[number]);
}

bool disk_keeper_is_ended(const struct disk *disk, unsigned number)
{
    return atomic_load(&disk->devices[number].keeper_state) == KEEPER_ENDED;
}
