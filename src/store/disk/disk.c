/* The disk tier as a whole: opening, accounts, numbers, what the tier above tells it. */
#include "store/disk/disk_own.h"

#include "base/log.h"
#include "os/os.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define FAILURES_MAX        32u
#define FAILURES_MIN        4u
#define FAILURES_SHARE      4u /* a failed write costs a segment: at most one in so many, before the device goes */
#define INDEX_FIRST_SHARE   (256u * 1024) /* bytes of disk for an entry there is room for at the start */
#define INDEX_MAX_SHARE     1024u         /* and at the end */
#define INDEX_FIRST_MIN     1280u
#define OFFERS_MAX          65536u
#define OFFER_BYTES_MAX     (32u << 20)

/* ---- accounts ------------------------------------------------------------------------------------------------- */

void disk_count(struct disk *disk, enum disk_error kind)
{
    atomic_fetch_add_explicit(&disk->errors[kind], 1, memory_order_relaxed);
}

void disk_note_add(struct disk *disk, const char *format, ...)
{
    char text[DISK_PATH_MAX + 256], *note;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    log_warn("%s", text);
    note = strdup(text);
    pthread_mutex_lock(&disk->note_mutex);
    if (note != NULL && disk->note_count < ARRAY_LEN(disk->notes)) {
        disk->notes[disk->note_count++] = note;
        note = NULL;
    }
    pthread_mutex_unlock(&disk->note_mutex);
    free(note);
}

static uint32_t failures_max(const struct disk_device *device)
{
    return MIN(FAILURES_MAX, MAX(FAILURES_MIN, device->super.segments / FAILURES_SHARE));
}

static void in_use_count(struct disk *disk)
{
    uint64_t all = 0, in_use = 0;

    for (unsigned i = 0; i < disk->device_count; i++) {
        all += disk->devices[i].super.segments;
        in_use += atomic_load(&disk->devices[i].is_offline) ? 0 : disk->devices[i].super.segments;
    }
    atomic_store(&disk->in_use_1024ths, all > 0 ? (uint32_t)(in_use * 1024 / all) : 1024);
}

void disk_device_out(struct disk_device *device, const char *why)
{
    struct disk *disk = device->disk;

    if (atomic_exchange(&device->is_offline, true))
        return;
    disk_count(disk, DISK_ERROR_OFFLINE);
    in_use_count(disk);
    disk_note_add(disk, "%s: %s and is out of use until WARP is started again: look at the device, the rest serves on", device->path, why);
    for (unsigned i = 0; i < disk->device_count; i++)
        disk_keeper_wake(&disk->devices[i]); /* its entries leave the index there; the others' superblocks name it */
}

uint64_t disk_devices_out(const struct disk *disk)
{
    uint64_t out = 0;

    for (unsigned i = 0; i < disk->device_count; i++)
        if (atomic_load(&disk->devices[i].is_offline))
            out |= UINT64_C(1) << disk->devices[i].number;
    return out;
}

bool disk_is_in_use(const struct disk *disk)
{
    for (unsigned i = 0; i < disk->device_count; i++)
        if (!atomic_load(&disk->devices[i].is_offline))
            return true;
    return false;
}

void disk_memory_short(struct disk_device *device, const char *what)
{
    if (!atomic_exchange(&device->was_memory_short, true))
        log_warn("%s: %s must wait, or is left out: memory is short; give WARP less of it (--memory), or the machine more", device->path, what);
}

void disk_failed(struct disk_device *device, enum disk_error kind, const char *what, err e)
{
    if (disk_is_memory(e)) {
        disk_memory_short(device, what);
        return;
    }
    uint32_t failures = atomic_fetch_add_explicit(&device->failures, 1, memory_order_relaxed) + 1;

    disk_count(device->disk, kind);
    if (failures <= 3 || (failures & (failures - 1)) == 0)
        log_warn("%s: %s failed (%s), for the %uth time: look at the device", device->path, what, err_text(e), failures);
    if (failures >= failures_max(device)) {
        char why[64];
        snprintf(why, sizeof(why), "failed %u times", failures_max(device));
        disk_device_out(device, why);
    }
}

void disk_settle(struct disk *disk, struct stored *stored)
{
    if (disk->host.settled != NULL)
        disk->host.settled(disk->host.host, stored);
    store_object_unref(&stored->seen);
}

void disk_entry_gone(struct disk *disk, const struct disk_entry *entry)
{
    uint64_t bytes = disk_size_of_class(entry->size_class);

    atomic_fetch_sub_explicit(&disk->segments[entry->segment].live_units, (uint32_t)(bytes / DISK_OFFSET_UNIT), memory_order_relaxed);
    atomic_fetch_sub_explicit(&disk->shares[entry->tenant].bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&disk->live_bytes, bytes, memory_order_relaxed);
}

void disk_entry_came(struct disk *disk, const struct disk_entry *entry)
{
    uint64_t bytes = disk_size_of_class(entry->size_class);

    atomic_fetch_add_explicit(&disk->segments[entry->segment].live_units, (uint32_t)(bytes / DISK_OFFSET_UNIT), memory_order_relaxed);
    atomic_fetch_add_explicit(&disk->shares[entry->tenant].bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&disk->live_bytes, bytes, memory_order_relaxed);
}

static void all_gone(struct disk *disk, const struct disk_gone *gone)
{
    for (unsigned i = 0; i < gone->count; i++)
        disk_entry_gone(disk, &gone->entries[i]);
}

/* Counted before it can be found, so that no account is ever negative. */
void disk_entry_put(struct disk *disk, uint64_t hash, const struct disk_entry *entry)
{
    struct disk_gone gone;

    disk_entry_came(disk, entry);
    disk_index_put(disk->index, hash, entry, &gone);
    all_gone(disk, &gone);
}

static bool is_head(uint8_t kind)
{
    return kind == DISK_HEAD || kind == DISK_HEAD_SOFT;
}

static void become_body(struct disk *disk, uint64_t hash)
{
    struct disk_gone gone;

    disk_index_become_body(disk->index, hash, &gone);
    all_gone(disk, &gone);
}

void disk_entry_take_place(struct disk *disk, uint64_t hash, const struct disk_entry *entry)
{
    struct disk_gone gone;

    if (is_head(entry->kind))
        become_body(disk, hash);
    disk_entry_put(disk, hash, entry);
    if (is_head(entry->kind) || entry->kind == DISK_BODY)
        return;
    disk_index_remove_all(disk->index, hash, 1u << DISK_BODY, &gone);
    all_gone(disk, &gone);
}

bool disk_entry_find(const struct disk *disk, uint64_t hash, uint32_t segment, uint32_t offset, struct disk_entry *ret_entry)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    unsigned count = disk_index_find(disk->index, hash, ~0u, entries);

    for (unsigned i = 0; i < count; i++) {
        if (disk_entry_is_at(&entries[i], segment, offset)) {
            *ret_entry = entries[i];
            return true;
        }
    }
    return false;
}

bool disk_entry_remove(struct disk *disk, uint64_t hash, uint32_t segment, uint32_t offset)
{
    struct disk_entry gone;

    if (!disk_index_remove(disk->index, hash, segment, offset, &gone))
        return false;
    disk_entry_gone(disk, &gone);
    return true;
}

err disk_write_now(struct disk_device *device, void *bytes, uint32_t size, uint64_t at, enum disk_cause cause)
{
    TRY(os_file_now(&device->file, OS_FILE_WRITE, bytes, size, at));
    atomic_fetch_add_explicit(&device->disk->written[cause], size, memory_order_relaxed);
    return ERR_OK;
}

struct disk_place disk_place_of(const struct disk_device *device, uint32_t segment, uint64_t generation, uint32_t offset)
{
    return (struct disk_place){.store = device->super.store, .segment = segment - device->base, .generation = generation, .offset = offset};
}

bool disk_epoch_may_turn(const struct disk_device *device)
{
    return atomic_load(&device->reading[(atomic_load(&device->epoch) + 1) & 1]) == 0;
}

/* Asked when disk_epoch_may_turn: the epoch that ended before is empty, but for readers that have just seen that they came
 * too late for it. Returns the lookups of it that are under way. */
unsigned disk_epoch_turn(struct disk_device *device)
{
    uint32_t epoch = atomic_load_explicit(&device->epoch, memory_order_relaxed);

    atomic_store(&device->epoch, epoch + 1);
    return epoch & 1;
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static uint64_t share_of_plain_file(const struct disk_config *config)
{
    return config->size_bytes / MAX(config->path_count, 1u);
}

static void devices_open(struct disk *disk)
{
    for (unsigned i = 0; i < disk->config.path_count; i++) {
        struct disk_device *device = &disk->devices[disk->device_count];
        memset(device, 0, sizeof(*device));
        device->disk = disk;
        device->number = i;
        err opened = disk_device_open(device, disk->config.paths[i], share_of_plain_file(&disk->config));
        if (err_is_ok(opened))
            disk->device_count++;
        else
            disk_count(disk, DISK_ERROR_OPEN);
    }
}

/* The set is the one whose device was opened most often: others are new. One whose counters are at their end is formatted, and
 * counts no openings: what lies on the others of its set is older than what the next one writes. Which of its devices were out
 * of use while others of it went on, all of these say: two that were each without the other are both out. */
static void set_choose(struct disk *disk)
{
    const struct disk_super *set = NULL;

    for (unsigned i = 0; i < disk->device_count; i++) {
        const struct disk_device *device = &disk->devices[i];
        if (err_is_ok(device->found) && !disk_super_is_worn_out(&device->super) && (set == NULL || device->super.mounts > set->mounts))
            set = &device->super;
    }
    if (set == NULL) {
        os_entropy(disk->set.bytes, sizeof(disk->set.bytes));
        os_entropy(disk->secret, sizeof(disk->secret));
        return;
    }
    disk->set = set->set;
    memcpy(disk->secret, set->secret, sizeof(disk->secret));
    disk->mounts = set->mounts;
    for (unsigned i = 0; i < disk->device_count; i++) {
        const struct disk_super *super = &disk->devices[i].super;
        if (err_is_ok(disk->devices[i].found) && memcmp(super->set.bytes, disk->set.bytes, sizeof(super->set.bytes)) == 0)
            disk->out |= super->out;
    }
}

/* Devices of the set that are not in use now, a bit each. */
static uint64_t devices_missing(const struct disk *disk)
{
    uint64_t missing = (UINT64_C(1) << disk->config.path_count) - 1;

    for (unsigned i = 0; i < disk->device_count; i++)
        missing &= ~(UINT64_C(1) << disk->devices[i].number);
    return missing;
}

enum devices { DEVICES_TO_FORMAT, DEVICES_TO_TAKE, DEVICES_TAKEN };

MUST_USE static err device_keep(struct disk_device *device, enum devices which, uint64_t missing)
{
    if (which == DEVICES_TAKEN)
        return disk_device_tell(device, missing);
    return disk_device_is_good(device) == (which == DEVICES_TO_TAKE) ? disk_device_take(device, missing) : ERR_OK;
}

/* Returns how many were lost at it. */
static unsigned devices_keep(struct disk *disk, enum devices which)
{
    uint64_t missing = devices_missing(disk);
    unsigned before = disk->device_count, kept = 0;

    for (unsigned i = 0; i < before; i++) {
        if (!err_is_ok(device_keep(&disk->devices[i], which, missing))) {
            disk_count(disk, DISK_ERROR_OPEN);
            continue;
        }
        if (kept != i)
            disk->devices[kept] = disk->devices[i];
        kept++;
    }
    disk->device_count = kept;
    return before - kept;
}

static void devices_take(struct disk *disk)
{
    /* those that are to be formatted first: until they are, others have on record that they are not to be trusted */
    unsigned lost = devices_keep(disk, DEVICES_TO_FORMAT) + devices_keep(disk, DEVICES_TO_TAKE);
    while (lost > 0)
        lost = devices_keep(disk, DEVICES_TAKEN); /* those that are left, of those that could not be taken */
    atomic_init(&disk->next_wseq, (disk->mounts + 1) << 40);
}

static err disk_index_open(struct disk *disk)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < disk->device_count; i++)
        bytes += disk->devices[i].super.size_bytes;
    struct disk_index_config config = {.entries_first = MAX(bytes / INDEX_FIRST_SHARE, INDEX_FIRST_MIN)};
    config.entries_max = MAX(bytes / INDEX_MAX_SHARE, config.entries_first);
    return disk_index_new(&config, &disk->index);
}

static err device_prepare(struct disk_device *device)
{
    struct evict_config evict = {.segments = device->super.segments,
                                 .segment_bytes = device->super.segment_bytes,
                                 .write_bytes_per_s = device->disk->config.write_bytes_per_s,
                                 .probation_bytes = device->disk->config.probation_bytes / device->disk->device_count};

    pthread_mutex_init(&device->mutex, NULL);
    list_init(&device->commits);
    atomic_init(&device->is_open, true); /* until its keeper knows better */
    device->sweeper = purge_log_sweeper_new(device->disk->purges);
    for (unsigned i = 0; i < EVICT_LOGS; i++)
        device->chains[i] = (struct disk_chain){DISK_NO_SEGMENT, DISK_NO_SEGMENT, 0};
    device->offers = malloc(OFFERS_MAX * sizeof(*device->offers));
    device->free_segments = malloc(device->super.segments * sizeof(uint32_t));
    device->scratch = os_file_memory(DISK_BUFFER_BYTES);
    ENSURE(device->offers != NULL && device->free_segments != NULL && device->scratch != NULL, MEMORY);
    TRY(disk_streams_open(device));
    TRY(evict_new(&evict, &device->evict));
    return ERR_OK;
}

static err disk_prepare(struct disk *disk)
{
    uint64_t segments = 0;

    for (unsigned i = 0; i < disk->device_count; i++) {
        disk->devices[i].base = (uint32_t)segments;
        segments += disk->devices[i].super.segments;
    }
    ENSURE(segments <= DISK_SEGMENTS_MAX, LIMIT);
    disk->segment_count = (uint32_t)segments;
    in_use_count(disk);
    disk->segments = calloc(disk->segment_count, sizeof(*disk->segments));
    disk->shares = store_shares_new();
    ENSURE(disk->segments != NULL && disk->shares != NULL, MEMORY);
    TRY(disk_index_open(disk));
    TRY(disk_changed_open(disk));
    for (unsigned i = 0; i < disk->device_count; i++)
        TRY(device_prepare(&disk->devices[i]));
    TRY(disk_journals_open(disk));
    if (!atomic_load(&disk->devices[0].is_offline))
        disk_snapshot_find(&disk->devices[0]);
    return ERR_OK;
}

static void device_let_go(struct disk_device *device)
{
    for (uint32_t i = 0; i < device->offer_count; i++)
        store_object_unref(&device->offers[(device->offer_first + i) % OFFERS_MAX].stored->seen);
    device->offer_count = 0;
    disk_streams_close(device);
}

static void device_done(struct disk_device *device)
{
    device_let_go(device);
    disk_recover_close(device);
    disk_snapshot_close(device);
    disk_sweep_close(device);
    disk_reclaim_close(device);
    evict_free(device->evict);
    journal_free(device->journal);
    free(device->offers);
    free(device->free_segments);
    free(device->scratch);
    os_file_close(&device->file);
    pthread_mutex_destroy(&device->mutex);
}

/* What is left of a disk that could not be opened: its notes and counters. */
static void devices_drop(struct disk *disk)
{
    for (unsigned i = 0; i < disk->device_count; i++)
        device_done(&disk->devices[i]);
    disk->device_count = 0;
    atomic_store(&disk->is_off, true);
}

err disk_open(const struct disk_config *config, struct disk **ret_disk)
{
    struct disk *disk = calloc(1, sizeof(*disk));

    ENSURE(disk != NULL, MEMORY);
    disk->config = *config;
    disk->purges = config->purges;
    pthread_mutex_init(&disk->note_mutex, NULL);
    pthread_mutex_init(&disk->changed_mutex, NULL);
    devices_open(disk);
    set_choose(disk);
    devices_take(disk);
    err e = disk->device_count > 0 ? disk_prepare(disk) : ERR(NOT_FOUND);
    if (!err_is_ok(e))
        devices_drop(disk);
    *ret_disk = disk;
    return e;
}

void disk_let_go(struct disk *disk)
{
    for (unsigned i = 0; i < disk->device_count; i++)
        device_let_go(&disk->devices[i]);
}

struct disk *disk_free(struct disk *disk)
{
    if (disk == NULL)
        return NULL;
    for (unsigned i = 0; i < disk->device_count; i++)
        device_done(&disk->devices[i]);
    for (unsigned i = 0; i < disk->note_count; i++)
        free(disk->notes[i]);
    disk_changed_close(disk);
    disk_index_free(disk->index);
    free(disk->words);
    free(disk->segments);
    free(disk->shares);
    pthread_mutex_destroy(&disk->note_mutex);
    pthread_mutex_destroy(&disk->changed_mutex);
    free(disk);
    return NULL;
}

const uint8_t *disk_secret(const struct disk *disk)
{
    return disk->secret;
}

unsigned disk_device_count(const struct disk *disk)
{
    return disk->device_count;
}

void disk_set_host(struct disk *disk, const struct disk_host *host)
{
    disk->host = *host;
}

/* ---- what the tier above tells -------------------------------------------------------------------------------- */

static struct disk_device *device_for(struct disk *disk, hash128 hash)
{
    for (unsigned i = 0; i < disk->device_count; i++) {
        struct disk_device *device = &disk->devices[(hash.lo + i) % disk->device_count];
        if (!atomic_load_explicit(&device->is_offline, memory_order_relaxed))
            return device;
    }
    return NULL;
}

bool disk_is_open(struct disk *disk, hash128 hash)
{
    const struct disk_device *device = atomic_load_explicit(&disk->is_off, memory_order_relaxed) ? NULL : device_for(disk, hash);

    return device != NULL && atomic_load_explicit(&device->is_open, memory_order_relaxed);
}

bool disk_missed(struct disk *disk, hash128 hash, uint64_t bytes)
{
    struct disk_device *device = device_for(disk, hash);

    return device != NULL && evict_missed(device->evict, disk_hash(hash), bytes);
}

bool disk_offer(struct disk *disk, struct stored *stored, bool was_used, bool is_update)
{
    struct disk_device *device = device_for(disk, stored->seen.hash);
    uint64_t bytes = (uint64_t)MAX(store_object_length(&stored->seen), 0) + sizeof(*stored);
    bool is_taken, wakes, is_full;

    if (device == NULL || atomic_load_explicit(&disk->is_off, memory_order_relaxed))
        return false;
    pthread_mutex_lock(&device->mutex);
    is_full = device->offer_count == OFFERS_MAX || device->offer_bytes + bytes > OFFER_BYTES_MAX;
    /* Under the lock: the keeper drops what was offered once, after the device went offline. */
    is_taken = !is_full && !atomic_load_explicit(&device->is_offline, memory_order_relaxed);
    if (is_taken) {
        stored_ref(stored, 1);
        device->offers[(device->offer_first + device->offer_count++) % OFFERS_MAX] =
            (struct disk_offer_entry){stored, bytes, was_used, is_update};
        device->offer_bytes += bytes;
    }
    wakes = device->offer_bytes > OFFER_BYTES_MAX / 8 || device->offer_count > OFFERS_MAX / 8;
    pthread_mutex_unlock(&device->mutex);
    if (is_full)
        atomic_fetch_add_explicit(&disk->offers_refused, 1, memory_order_relaxed);
    if (wakes)
        disk_keeper_wake(device);
    return is_taken;
}

void disk_forget(struct disk *disk, hash128 hash)
{
    struct disk_gone gone;

    if (disk->device_count == 0)
        return;
    disk_changed(disk, disk_hash(hash));
    disk_index_remove_all(disk->index, disk_hash(hash), DISK_KINDS_BUT_BODY | 1u << DISK_BODY, &gone);
    all_gone(disk, &gone);
}

void disk_renew(struct disk *disk, hash128 hash)
{
    struct disk_gone gone;

    if (disk->device_count == 0)
        return;
    disk_changed(disk, disk_hash(hash));
    become_body(disk, disk_hash(hash));
    disk_index_remove_all(disk->index, disk_hash(hash), DISK_KINDS_BUT_BODY, &gone);
    all_gone(disk, &gone);
}

void disk_hit(struct disk *disk, hash128 hash)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    unsigned count = disk_index_find(disk->index, disk_hash(hash), DISK_KINDS_BUT_BODY, entries);

    for (unsigned i = 0; i < count; i++)
        disk_index_hit(disk->index, disk_hash(hash), entries[i].segment, entries[i].offset);
}

bool disk_has(const struct disk *disk, hash128 hash)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];

    return disk->device_count > 0 && disk_index_find(disk->index, disk_hash(hash), DISK_KINDS_BUT_BODY, entries) > 0;
}

/* ---- numbers -------------------------------------------------------------------------------------------------- */

static void device_stats(const struct disk_device *device, struct disk_stats *stats)
{
    uint8_t state = atomic_load_explicit(&device->keeper_state, memory_order_relaxed);

    stats->segments += device->super.segments;
    stats->segments_free += atomic_load_explicit(&device->free_count, memory_order_relaxed);
    stats->segments_bad += atomic_load_explicit(&device->bad_count, memory_order_relaxed);
    stats->store.max_bytes += (uint64_t)device->super.segments * device->super.segment_bytes;
    if (device->evict != NULL) {
        stats->small_log_bytes += evict_small_log_bytes(device->evict);
        for (unsigned i = 0; i < EVICT_DECISION_COUNT; i++)
            stats->decisions[i] += evict_count(device->evict, (enum evict_decision)i);
    }
    stats->devices_offline += atomic_load_explicit(&device->is_offline, memory_order_relaxed);
    stats->recovering += state < KEEPER_RUNNING && !atomic_load_explicit(&device->is_offline, memory_order_relaxed);
}

void disk_stats(const struct disk *disk, struct disk_stats *ret_stats)
{
    struct disk_stats stats = {.devices = disk->device_count, .is_off = atomic_load_explicit(&disk->is_off, memory_order_relaxed)};
    struct disk_index_stats index = {0};

    if (disk->index != NULL)
        disk_index_stats(disk->index, &index);
    for (unsigned i = 0; i < disk->device_count; i++)
        device_stats(&disk->devices[i], &stats);
    for (unsigned i = 0; i < DISK_ERROR_COUNT; i++)
        stats.errors[i] = atomic_load_explicit(&disk->errors[i], memory_order_relaxed);
    for (unsigned i = 0; i < DISK_CAUSE_COUNT; i++)
        stats.written_bytes[i] = atomic_load_explicit(&disk->written[i], memory_order_relaxed);
#define LOAD(field) atomic_load_explicit(&disk->field, memory_order_relaxed)
    stats.store.lookup_hits = LOAD(lookup_hits);
    stats.store.misses = LOAD(misses);
    stats.store.inserts = LOAD(inserts);
    stats.store.evictions = LOAD(evictions);
    stats.store.evicted_bytes = LOAD(evicted_bytes);
    stats.store.purge_attempts = LOAD(purge_attempts);
    stats.store.size_bytes = LOAD(live_bytes);
    stats.reads = LOAD(reads);
    stats.reads_false = LOAD(reads_false);
    stats.offers_refused = LOAD(offers_refused);
    stats.too_large = LOAD(too_large);
    stats.spared_lost_bytes = LOAD(spared_lost_bytes);
#undef LOAD
    stats.store.objects = index.entries;
    stats.store.index_bytes = index.bytes;
    stats.index_lost = index.lost;
    *ret_stats = stats;
}

const char *disk_note(const struct disk *disk, unsigned i)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *)(uintptr_t)&disk->note_mutex; /* the disk is not changed by looking */
    const char *note;

    pthread_mutex_lock(mutex);
    note = i < disk->note_count ? disk->notes[i] : NULL;
    pthread_mutex_unlock(mutex);
    return note;
}
