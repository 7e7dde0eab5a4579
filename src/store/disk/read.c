/* Lookups: index, one read, checks. On the workers' threads.
 *
 *   find -> candidate: enter the device's epoch, pin its segment -> read -> record checked, key compared -> found
 *                ^                                                              |
 *                +------------------- another key's, damaged, unreadable <------+      none left: miss
 *
 * What was found is handed to the tier above inside the epoch and under the pin; then the index is asked once more: an
 * entry that has gone meanwhile (purged and swept, replaced) takes the object with it. An object that the tier above has by
 * then is none of the disk's: it is found as a lookup there would find it.
 *
 * Lookups of one key by one worker wait for one read. */
#include "store/disk/disk_own.h"

#include "base/log.h"
#include "store/storage_ops.h"

#include <errno.h>
#include <stdlib.h>

struct disk_read {
    struct store_pending pending;
    struct list link;      /* of its desk */
    struct list followers; /* struct disk_follower; while there is one, there is a lookup */
    struct os_file_op io;
    struct disk *disk;
    struct store_lookup *lookup; /* NULL: nobody waits any more */
    struct disk_device *device;
    uint64_t hash;
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    unsigned count, at;
    uint64_t generation;
    unsigned epoch;
    uint32_t skew; /* the record begins so far behind the first byte read */
    char *buffer;
    uint32_t buffer_bytes;
    /* a head that was found, while its body is read */
    char *head;
    struct disk_record head_record; /* points into head */
    struct disk_entry head_entry, body_entries[DISK_INDEX_FIND_MAX];
    unsigned bodies;
};

struct disk_follower {
    struct store_pending pending;
    struct list link;
    struct disk *disk;
    struct store_lookup *lookup;
};

/* ---- epochs and pins ------------------------------------------------------------------------------------------ */

static unsigned epoch_enter(struct disk_device *device)
{
    for (;;) {
        uint32_t epoch = atomic_load(&device->epoch);
        atomic_fetch_add(&device->reading[epoch & 1], 1);
        if (atomic_load(&device->epoch) == epoch)
            return epoch & 1;
        atomic_fetch_sub(&device->reading[epoch & 1], 1);
    }
}

static bool is_readable(enum segment_state state)
{
    return state == SEGMENT_FILLING || state == SEGMENT_SEALED;
}

/* The keeper makes a segment free first and looks at the pins then; this is the other way round. */
static bool candidate_enter(struct disk_read *read)
{
    const struct disk_entry *entry = &read->entries[read->at];
    struct disk_segment *segment = &read->disk->segments[entry->segment];

    read->device = disk_device_of_segment(read->disk, entry->segment);
    if (atomic_load_explicit(&read->device->is_offline, memory_order_relaxed))
        return false;
    read->epoch = epoch_enter(read->device);
    atomic_fetch_add(&segment->pins, 1);
    if (is_readable(disk_segment_look(segment, &read->generation)))
        return true;
    atomic_fetch_sub(&segment->pins, 1);
    atomic_fetch_sub(&read->device->reading[read->epoch], 1);
    return false;
}

static void candidate_leave(struct disk_read *read)
{
    atomic_fetch_sub(&read->disk->segments[read->entries[read->at].segment].pins, 1);
    atomic_fetch_sub(&read->device->reading[read->epoch], 1);
}

/* ---- one read ------------------------------------------------------------------------------------------------- */

static void read_done(struct os_op *op);

static bool read_room(struct disk_read *read, uint32_t bytes)
{
    if (read->buffer_bytes >= bytes)
        return true;
    free(read->buffer);
    read->buffer = os_file_memory(bytes);
    read->buffer_bytes = read->buffer != NULL ? bytes : 0;
    return read->buffer != NULL;
}

/* Of the next candidate that can be read; false: there is none. */
static bool read_next(struct disk_read *read, struct loop *loop)
{
    for (; read->at < read->count; read->at++) {
        const struct disk_entry *entry = &read->entries[read->at];
        uint64_t offset = (uint64_t)entry->offset * DISK_OFFSET_UNIT, end = offset + disk_size_of_class(entry->size_class);
        if (!candidate_enter(read))
            continue;
        end = MIN((end + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK, read->device->super.segment_bytes);
        read->skew = (uint32_t)(offset % DISK_BLOCK);
        uint32_t size = (uint32_t)(end - (offset - read->skew));
        if (!read_room(read, size)) {
            candidate_leave(read);
            continue;
        }
        read->io = (struct os_file_op){.op = {.done = read_done},
                                       .file = &read->device->file,
                                       .what = OS_FILE_READ,
                                       .bytes = read->buffer,
                                       .size = size,
                                       .at = disk_at(read->device, entry->segment, (uint32_t)offset - read->skew)};
        atomic_fetch_add_explicit(&read->disk->reads, 1, memory_order_relaxed);
        os_file_submit(loop_os(loop), &read->io);
        return true;
    }
    return false;
}

/* ---- what was read -------------------------------------------------------------------------------------------- */

static enum store_kind kind_of(enum disk_kind kind)
{
    return kind == DISK_VARY ? STORE_VARY : kind == DISK_SLICE ? STORE_SLICE : STORE_ANSWER;
}

static bool is_soft_kind(uint8_t kind)
{
    return kind == DISK_WHOLE_SOFT || kind == DISK_HEAD_SOFT;
}

/* Meta and labels aligned as others expect them. NULL: damaged, or no memory. */
static char *found_unpack(const struct disk *disk, const struct disk_record *record, struct disk_found *found)
{
    const struct disk_codec *codec = &disk->config.codec;
    size_t labels = store_label_room(record->label_count) * sizeof(struct store_label);
    bool packed = record->is_packed;
    size_t meta = !packed ? record->meta.len : codec->unpack != NULL ? codec->unpacked_bytes(record->meta) : 0;
    char *memory = packed && meta == 0 ? NULL : malloc(labels + meta + 1);

    if (memory == NULL)
        return NULL;
    if (record->label_count > 0)
        memcpy(memory, record->labels, record->label_count * sizeof(struct store_label));
    if (packed && !codec->unpack(record->meta, memory + labels)) {
        free(memory);
        return NULL;
    }
    if (!packed && meta > 0)
        memcpy(memory + labels, record->meta.data, meta);
    found->labels = (const struct store_label *)(const void *)memory;
    found->label_count = record->label_count;
    found->meta = slice_of(memory + labels, meta);
    return memory;
}

/* The entry, which is the key's, has left the index since it was found, or is no more than the body of a newer head. */
static bool has_left(const struct disk_read *read, const struct disk_entry *entry, bool is_soft)
{
    struct disk_entry now;

    if (!disk_entry_find(read->disk, read->hash, entry->segment, entry->offset, &now) || now.kind == DISK_BODY)
        return true;
    return is_soft_kind(now.kind) && !is_soft; /* swept since: that purge may have retired */
}

static bool hand_over(struct disk_read *read, const struct disk_entry *entry, const struct disk_record *record, slice body)
{
    struct store_lookup *lookup = read->lookup;
    struct disk *disk = read->disk;
    struct disk_found found = {.kind = kind_of(record->kind),
                               .is_soft = is_soft_kind(entry->kind) || is_soft_kind((uint8_t)record->kind),
                               .seq = record->purge_seq,
                               .stored_ms = record->stored_ms,
                               .tenant = record->tenant,
                               .key = record->key,
                               .body = body};
    char *memory = found_unpack(disk, record, &found);

    if (memory == NULL)
        return false;
    switch (purge_log_check(disk->purges, found.seq, found.tenant, found.labels, found.label_count)) {
    case PURGE_HARD:
        if (disk_all_recovered(disk)) /* else recovery could put an older record there that the purge does not name */
            (void)disk_entry_remove(disk, read->hash, entry->segment, entry->offset);
        free(memory);
        return false;
    case PURGE_SOFT:
        found.is_soft = true;
        break;
    case PURGE_NONE:
        break;
    }
    /* Before it can be found above, and after: what was purged and swept left the index first. */
    enum store_found above = STORE_MISS;
    struct store_object *object = has_left(read, entry, found.is_soft) ? NULL : disk->host.found(disk->host.host, &found, &above);
    free(memory);
    if (object == NULL)
        return false;
    if (above == STORE_MISS && has_left(read, entry, found.is_soft)) {
        disk->host.not_found(disk->host.host, object);
        store_object_unref(object);
        return false;
    }
    if (!lookup->peek)
        disk_index_hit(disk->index, read->hash, entry->segment, entry->offset);
    lookup->object = object;
    lookup->is_below = above == STORE_MISS;
    lookup->found = above != STORE_MISS ? above : found.is_soft ? STORE_HIT_SOFT : STORE_HIT;
    return true;
}

/* What cannot be read is not asked for again. What has left the index since it was found there is not damaged: something
 * else may lie there by now. */
static void candidate_bad(struct disk_read *read, enum disk_error kind, err e)
{
    const struct disk_entry *entry = &read->entries[read->at];
    bool was_there = disk_entry_remove(read->disk, read->hash, entry->segment, entry->offset);

    if (kind == DISK_ERROR_CORRUPT && !was_there)
        return;
    if (kind == DISK_ERROR_READ) {
        disk_failed(read->device, kind, "reading an object", e);
        return;
    }
    disk_count(read->disk, kind);
    log_warn("%s: an object in segment %u at %u is damaged: it is a miss, and will be fetched again", read->device->path,
             entry->segment - read->device->base, entry->offset * DISK_OFFSET_UNIT);
}

/* From now on the candidates are bodies. */
static void head_keep(struct disk_read *read, const struct disk_record *record)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];

    read->head = read->buffer;
    read->buffer = NULL;
    read->buffer_bytes = 0;
    read->head_record = *record;
    read->head_entry = read->entries[read->at];
    read->bodies = disk_index_find(read->disk->index, read->hash, 1u << DISK_BODY, entries);
    memcpy(read->body_entries, entries, read->bodies * sizeof(*entries));
}

static bool record_take(struct disk_read *read, const struct disk_record *record)
{
    if (read->head != NULL) {
        if (record->body_id != read->head_record.body_id || (record->kind != DISK_BODY && record->kind != DISK_WHOLE && record->kind != DISK_WHOLE_SOFT))
            return false;
        disk_index_hit(read->disk->index, read->hash, read->entries[read->at].segment, read->entries[read->at].offset);
        return hand_over(read, &read->head_entry, &read->head_record, record->body);
    }
    if (record->kind == DISK_HEAD || record->kind == DISK_HEAD_SOFT) {
        head_keep(read, record);
        return false;
    }
    if (record->kind == DISK_BODY || read->entries[read->at].kind == DISK_BODY)
        return false;
    return hand_over(read, &read->entries[read->at], record, record->body);
}

/* True: it was this key's, and has been handed over. */
static bool candidate_take(struct disk_read *read)
{
    const struct disk_entry *entry = &read->entries[read->at];
    struct disk_place place = disk_place_of(read->device, entry->segment, read->generation, entry->offset * DISK_OFFSET_UNIT);
    struct disk_record record;
    uint64_t bytes;
    err e = read->io.op.result < 0 ? ERR_SYS(-read->io.op.result) : ERR_OK;

    if (e.sys == ENOMEM)
        return false; /* the kernel's: a miss, and nothing wrong with the device */
    if (!err_is_ok(e)) {
        candidate_bad(read, DISK_ERROR_READ, e);
        return false;
    }
    e = disk_record_read(read->buffer + read->skew, read->io.size - read->skew, &place, &record, &bytes);
    if (!err_is_ok(e) || record.body.len != record.body_bytes) {
        candidate_bad(read, DISK_ERROR_CORRUPT, e);
        return false;
    }
    if (!slice_eq(record.key, read->lookup->key.full)) {
        atomic_fetch_add_explicit(&read->disk->reads_false, 1, memory_order_relaxed);
        return false;
    }
    if (!err_is_ok(disk_record_check_body(&record))) {
        candidate_bad(read, DISK_ERROR_CORRUPT, ERR(CORRUPT));
        return false;
    }
    return record_take(read, &record);
}

static void read_free(struct disk_read *read)
{
    list_remove(&read->link);
    free(read->buffer);
    free(read->head);
    free(read);
}

static void lookup_complete(struct disk *disk, struct store_lookup *lookup)
{
    if (!lookup->peek)
        atomic_fetch_add_explicit(lookup->object != NULL ? &disk->lookup_hits : &disk->misses, 1, memory_order_relaxed);
    storage_complete(&lookup->op);
}

/* ---- followers -------------------------------------------------------------------------------------------------- */

static enum store_status lookup_alone(struct disk *disk, struct store_lookup *lookup, struct disk_desk *desk);

static struct store_lookup *follower_free(struct disk_follower *follower)
{
    struct store_lookup *lookup = follower->lookup;

    list_remove(&follower->link);
    free(follower);
    return lookup;
}

static void follower_cancel(struct store_pending *pending)
{
    (void)follower_free(container_of(pending, struct disk_follower, pending));
}

/* As if it began now: in the tier above, where the read has put what it found, if somebody else has not done more to it since;
 * and here. */
static void follower_end(struct disk_follower *follower)
{
    struct disk *disk = follower->disk;
    struct store_lookup *lookup = follower_free(follower);

    if (disk->host.look(disk->host.host, lookup))
        storage_complete(&lookup->op);
    else if (lookup_alone(disk, lookup, NULL) == STORE_DONE)
        lookup_complete(disk, lookup);
}

/* One that is cancelled by the end of another is no more in the list. */
static void followers_end(struct list *followers)
{
    struct list *link;

    while ((link = list_first(followers)) != NULL)
        follower_end(container_of(link, struct disk_follower, link));
}

MUST_USE static bool follow(struct disk_read *read, struct store_lookup *lookup)
{
    struct disk_follower *follower = malloc(sizeof(*follower));

    if (follower == NULL)
        return false;
    *follower = (struct disk_follower){.pending = {follower_cancel}, .disk = read->disk, .lookup = lookup};
    list_push_back(&read->followers, &follower->link);
    lookup->op.tier = &follower->pending;
    return true;
}

/* ---- desks ------------------------------------------------------------------------------------------------------ */

/* The first loop with its number has it. NULL: the others' lookups wait for none. */
static struct disk_desk *desk_of(struct disk *disk, struct loop *loop)
{
    unsigned number = loop_index(loop);
    struct disk_desk *desk = &disk->desks[number % DISK_DESKS];
    struct loop *owner = atomic_load_explicit(&desk->loop, memory_order_relaxed);

    if (number >= DISK_DESKS || disk->host.look == NULL)
        return NULL;
    if (owner == NULL && atomic_compare_exchange_strong(&desk->loop, &owner, loop)) {
        for (unsigned i = 0; i < DISK_DESK_LISTS; i++)
            list_init(&desk->reads[i]);
        return desk;
    }
    return owner == loop ? desk : NULL;
}

static struct list *desk_list(struct disk_desk *desk, uint64_t hash)
{
    return &desk->reads[hash % DISK_DESK_LISTS];
}

static struct disk_read *desk_find(struct disk_desk *desk, const struct store_lookup *lookup)
{
    uint64_t hash = disk_hash(lookup->key.hash);

    LIST_FOREACH (desk_list(desk, hash), link) {
        struct disk_read *read = container_of(link, struct disk_read, link);
        if (read->hash == hash && read->lookup != NULL && slice_eq(read->lookup->key.full, lookup->key.full))
            return read;
    }
    return NULL;
}

/* ---- the end of a read ------------------------------------------------------------------------------------------ */

static void read_finish(struct disk_read *read)
{
    struct store_lookup *lookup = read->lookup;
    struct disk *disk = read->disk;
    struct list followers = LIST_INIT(followers);

    list_splice_back(&followers, &read->followers);
    read_free(read);
    lookup_complete(disk, lookup);
    followers_end(&followers);
}

static void bodies_begin(struct disk_read *read)
{
    memcpy(read->entries, read->body_entries, read->bodies * sizeof(*read->entries));
    read->count = read->bodies;
    read->at = 0;
    read->bodies = 0;
}

/* The worker has ended: whoever still waits there hears no more. */
static void read_abandon(struct disk_read *read)
{
    struct list *link;

    if (read->lookup != NULL)
        read->lookup->op.pending = false;
    while ((link = list_first(&read->followers)) != NULL)
        follower_free(container_of(link, struct disk_follower, link))->op.pending = false;
    read->lookup = NULL;
}

static void read_done(struct os_op *op)
{
    struct disk_read *read = container_of(op, struct disk_read, io.op);

    if (op->result == -ECANCELED)
        read_abandon(read);
    bool is_found = read->lookup != NULL && candidate_take(read);

    candidate_leave(read);
    if (read->lookup == NULL) {
        read_free(read);
        return;
    }
    if (!is_found) {
        read->at++;
        if (read->bodies > 0)
            bodies_begin(read);
        if (read_next(read, read->lookup->op.loop))
            return;
        if (read->head != NULL && disk_all_recovered(read->disk)) /* its body is gone; else it may still be found */
            (void)disk_entry_remove(read->disk, read->hash, read->head_entry.segment, read->head_entry.offset);
    }
    read_finish(read);
}

/* The read goes on for the first of those that wait for it. */
static void read_cancel(struct store_pending *pending)
{
    struct disk_read *read = container_of(pending, struct disk_read, pending);
    struct list *link = list_first(&read->followers);

    read->lookup = link != NULL ? follower_free(container_of(link, struct disk_follower, link)) : NULL;
    if (read->lookup != NULL)
        read->lookup->op.tier = &read->pending;
}

/* ---- lookup --------------------------------------------------------------------------------------------------- */

/* DONE: a miss. desk: where others may find the read; NULL: nowhere. */
static enum store_status lookup_alone(struct disk *disk, struct store_lookup *lookup, struct disk_desk *desk)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    uint64_t hash = disk_hash(lookup->key.hash);
    bool is_off = atomic_load_explicit(&disk->is_off, memory_order_relaxed);
    unsigned count = is_off ? 0 : disk_index_find(disk->index, hash, DISK_KINDS_BUT_BODY, entries);
    struct disk_read *read = count > 0 ? malloc(sizeof(*read)) : NULL;

    if (read == NULL)
        return STORE_DONE;
    *read = (struct disk_read){.pending = {read_cancel}, .disk = disk, .lookup = lookup, .hash = hash, .count = count};
    memcpy(read->entries, entries, count * sizeof(*entries));
    list_init(&read->link);
    list_init(&read->followers);
    lookup->op.tier = &read->pending;
    if (!read_next(read, lookup->op.loop)) {
        read_free(read);
        return STORE_DONE;
    }
    if (desk != NULL)
        list_push_back(desk_list(desk, hash), &read->link);
    return STORE_PENDING;
}

enum store_status disk_lookup(struct disk *disk, struct store_lookup *lookup)
{
    if (lookup->op.loop != NULL) {
        struct disk_desk *desk = desk_of(disk, lookup->op.loop);
        struct disk_read *read = desk != NULL ? desk_find(desk, lookup) : NULL;
        if ((read != NULL && follow(read, lookup)) || lookup_alone(disk, lookup, desk) == STORE_PENDING)
            return STORE_PENDING;
    }
    if (!lookup->peek)
        atomic_fetch_add_explicit(&disk->misses, 1, memory_order_relaxed);
    return STORE_DONE;
}
