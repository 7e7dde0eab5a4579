/* The sweep: what purges matched leaves the index, so that they may retire. A keeper's own thread, in steps.
 *
 *   open segments (flushed first: nothing older than the sweep waits in a buffer) -> sealed ones by their footers
 *   -> lookups that were under way have ended -> this device has swept (purge_log_swept)
 *
 * A record that is appended or copied meanwhile was checked against every purge the sweep is about. Softly purged
 * entries get the kind that says so. */
#include "store/disk/disk_own.h"

#include "base/log.h"

#include <stdlib.h>

#define PAUSE_NS   UINT64_C(1000000000)
#define STEP_MAX   4096u /* entries */

enum sweep_phase { SWEEP_SEGMENTS, SWEEP_GRACE };

struct disk_sweep {
    enum sweep_phase phase;
    uint64_t up_to, seq; /* what may retire; the sequence when it began */
    uint32_t next;       /* segment of the device */
    uint32_t segment;    /* the one whose footer is at hand */
    char *footer;
    struct disk_trailer trailer;
    uint32_t at;
    unsigned epoch;
};

static void entry_soften(struct disk *disk, uint32_t segment, const struct disk_footer_entry *entry)
{
    struct disk_entry found[DISK_INDEX_FIND_MAX];
    unsigned count = disk_index_find(disk->index, entry->hash, 1u << DISK_WHOLE | 1u << DISK_HEAD, found);

    for (unsigned i = 0; i < count; i++) {
        if (!disk_entry_is_at(&found[i], segment, entry->offset))
            continue;
        found[i].kind = found[i].kind == DISK_WHOLE ? DISK_WHOLE_SOFT : DISK_HEAD_SOFT;
        (void)disk_index_move(disk->index, entry->hash, segment, entry->offset, &found[i]);
    }
}

static void entry_sweep(struct disk *disk, uint32_t segment, const struct disk_footer_entry *entry, const void *raw)
{
    struct store_label labels[STORE_LABELS_MAX];

    if (purge_log_latest(disk->purges, entry->tenant) <= entry->purge_seq)
        return;
    memcpy(labels, raw, entry->label_count * sizeof(*labels));
    switch (purge_log_check(disk->purges, entry->purge_seq, entry->tenant, labels, entry->label_count)) {
    case PURGE_HARD:
        (void)disk_entry_remove(disk, entry->hash, segment, entry->offset);
        break;
    case PURGE_SOFT:
        entry_soften(disk, segment, entry);
        break;
    case PURGE_NONE:
        break;
    }
}

/* False: the footer has come to its end. */
static bool footer_sweep(struct disk *disk, uint32_t segment, const char *footer, const struct disk_trailer *trailer, uint32_t *at, unsigned max)
{
    struct disk_footer_entry entry;
    const void *labels;

    for (unsigned i = 0; i < max; i++) {
        if (!disk_footer_next(footer, trailer, at, &entry, &labels))
            return false;
        entry_sweep(disk, segment, &entry, labels);
    }
    return true;
}

static void streams_sweep(struct disk_device *device)
{
    for (unsigned i = 0; i < EVICT_LOGS; i++) {
        struct disk_stream *stream = &device->streams[i];
        struct disk_trailer trailer;
        uint32_t at = 0;
        (void)disk_flush(device, (enum evict_log)i);
        if (stream->segment == DISK_NO_SEGMENT)
            continue;
        trailer = (struct disk_trailer){.footer_bytes = stream->footer.size};
        (void)footer_sweep(device->disk, stream->segment, stream->footer.bytes, &trailer, &at, UINT32_MAX);
    }
}

bool disk_all_recovered(const struct disk *disk)
{
    for (unsigned i = 0; i < disk->device_count; i++)
        if (!atomic_load(&disk->devices[i].is_offline) && !atomic_load(&disk->devices[i].has_recovered))
            return false;
    return true;
}

static bool sweep_begin(struct disk_device *device)
{
    struct disk *disk = device->disk;
    uint64_t now_ns = loop_now_ns(device->loop);

    if (now_ns - device->swept_at_ns < PAUSE_NS || !disk_all_recovered(disk))
        return false;
    uint64_t up_to = purge_log_sweep_begin(disk->purges);
    if (up_to == atomic_load(&device->swept_seq))
        return false;
    struct disk_sweep *sweep = calloc(1, sizeof(*sweep));
    if (sweep == NULL)
        return false;
    sweep->seq = purge_log_seq(disk->purges); /* read behind up_to: never less */
    sweep->up_to = up_to;
    device->sweep = sweep;
    streams_sweep(device);
    return true;
}

static bool is_to_sweep(const struct disk_sweep *sweep, const struct disk_segment *segment)
{
    return atomic_load(&segment->state) == SEGMENT_SEALED && segment->purge_seq_min < sweep->seq;
}

/* ERR_NOT_FOUND: no segment is left. ERR_MEMORY: not now. */
MUST_USE static err sweep_next(struct disk_device *device)
{
    struct disk_sweep *sweep = device->sweep;

    while (sweep->next < device->super.segments) {
        uint32_t number = device->base + sweep->next++;
        if (!is_to_sweep(sweep, &device->disk->segments[number]))
            continue;
        err e = disk_segment_footer_read(device, number, &sweep->trailer, &sweep->footer);
        if (disk_is_memory(e)) {
            sweep->next--;
            return ERR(MEMORY);
        }
        sweep->segment = number;
        sweep->at = 0;
        if (err_is_ok(e))
            return ERR_OK;
        disk_segment_unreadable(device, number); /* what cannot be swept must not be served */
    }
    return ERR(NOT_FOUND);
}

static void sweep_end(struct disk_device *device)
{
    struct disk_sweep *sweep = device->sweep;

    atomic_store(&device->swept_seq, sweep->up_to);
    device->swept_at_ns = loop_now_ns(device->loop);
    purge_log_swept(device->disk->purges, device->sweeper, sweep->up_to);
    free(sweep);
    device->sweep = NULL;
}

bool disk_sweep_step(struct disk_device *device)
{
    struct disk_sweep *sweep = device->sweep;

    if (sweep == NULL)
        return sweep_begin(device);
    if (sweep->phase == SWEEP_GRACE) {
        if (atomic_load(&device->reading[sweep->epoch]) > 0)
            return false; /* with the next tick */
        sweep_end(device);
        return false;
    }
    if (sweep->footer == NULL && sweep->next == device->super.segments && !disk_epoch_may_turn(device))
        return false; /* a reader has just looked at the old one */
    err e = sweep->footer == NULL ? sweep_next(device) : ERR_OK;
    if (e.code == ERR_MEMORY) {
        disk_memory_short(device, "sweeping what was purged");
        return false; /* again with the next tick */
    }
    if (e.code == ERR_NOT_FOUND) {
        sweep->phase = SWEEP_GRACE;
        sweep->epoch = disk_epoch_turn(device);
        return true;
    }
    if (sweep->footer != NULL && !footer_sweep(device->disk, sweep->segment, sweep->footer, &sweep->trailer, &sweep->at, STEP_MAX)) {
        free(sweep->footer);
        sweep->footer = NULL;
    }
    return true;
}

void disk_sweep_close(struct disk_device *device)
{
    if (device->sweep != NULL)
        free(device->sweep->footer);
    free(device->sweep);
    device->sweep = NULL;
}
