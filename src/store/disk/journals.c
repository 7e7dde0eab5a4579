/* The journals of all devices at the start: read, made one, given back to the purge log, written anew. */
#include "store/disk/disk_own.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* What all journals hold together, ascending, each once. */
struct remembered {
    struct purge_entry *entries;
    unsigned count;
    uint64_t forgotten, reserved;
    bool is_whole; /* at least one journal is: every purge is in every journal */
    bool is_blank; /* all are: the power failed between the formatting and the first block */
};

/* What cannot be read in one go is read block by block; one that cannot be read may be in the other half. */
static unsigned blocks_read(struct disk_device *device, uint64_t at, uint32_t size)
{
    uint64_t from = device->super.journal_at + at;
    bool is_read = err_is_ok(os_file_now(&device->file, OS_FILE_READ, device->scratch, size, from));
    unsigned unread = 0;

    for (uint32_t i = 0; i < size; i += DISK_BLOCK) {
        char *block = device->scratch + i;
        bool is_there = is_read || err_is_ok(os_file_now(&device->file, OS_FILE_READ, block, DISK_BLOCK, from + i));
        journal_take(device->journal, is_there ? block : NULL, at + i);
        unread += !is_there;
    }
    return unread;
}

MUST_USE static err journal_read(struct disk_device *device)
{
    uint64_t bytes = device->super.journal_bytes;
    unsigned unread = 0;

    TRY(journal_new(&device->super.store, bytes, &device->journal));
    for (uint64_t at = 0; at < bytes; at += DISK_BUFFER_BYTES)
        unread += blocks_read(device, at, (uint32_t)MIN(bytes - at, DISK_BUFFER_BYTES));
    device->journal_state = journal_taken(device->journal);
    ENSURE(device->journal_state != JOURNAL_UNKNOWN, MEMORY); /* not damage: what lies there stays */
    if (unread > 0) {
        disk_count(device->disk, DISK_ERROR_READ);
        log_warn("%s: %u blocks of the purge journal cannot be read: look at the device", device->path, unread);
    }
    return ERR_OK;
}

/* Only memory is everybody's: a device that cannot be written goes, and the others go on. */
MUST_USE static err device_wrote(struct disk_device *device, const char *what, err e)
{
    char why[256];

    if (err_is_ok(e) || e.code != ERR_SYSTEM || disk_is_memory(e))
        return e;
    snprintf(why, sizeof(why), "cannot write %s (%s)", what, err_text(e));
    disk_device_out(device, why);
    return ERR_OK;
}

static bool is_in_use(const struct disk_device *device)
{
    return !atomic_load(&device->is_offline);
}

static int seq_order(const void *a, const void *b)
{
    uint64_t x = ((const struct purge_entry *)a)->seq, y = ((const struct purge_entry *)b)->seq;

    return x < y ? -1 : x > y;
}

MUST_USE static err collect(struct disk *disk, struct remembered *all)
{
    unsigned total = 0, kept = 0;

    for (unsigned i = 0; i < disk->device_count; i++) {
        const struct purge_entry *entries;
        total += journal_entries(disk->devices[i].journal, &entries);
    }
    all->is_blank = true;
    all->entries = calloc(total + 1u, sizeof(*all->entries));
    ENSURE(all->entries != NULL, MEMORY);
    for (unsigned i = 0; i < disk->device_count; i++) {
        const struct disk_device *device = &disk->devices[i];
        const struct purge_entry *entries;
        unsigned count = journal_entries(device->journal, &entries);
        if (count > 0)
            memcpy(all->entries + all->count, entries, count * sizeof(*entries));
        all->count += count;
        all->forgotten = MAX(all->forgotten, journal_forgotten(device->journal));
        all->reserved = MAX(all->reserved, journal_reserved(device->journal));
        all->is_whole |= device->journal_state == JOURNAL_INTACT;
        all->is_blank &= device->journal_state == JOURNAL_BLANK;
    }
    qsort(all->entries, all->count, sizeof(*all->entries), seq_order);
    for (unsigned i = 0; i < all->count; i++)
        if (kept == 0 || all->entries[kept - 1].seq != all->entries[i].seq)
            all->entries[kept++] = all->entries[i];
    all->count = kept;
    return ERR_OK;
}

static bool are_all_fresh(const struct disk *disk)
{
    for (unsigned i = 0; i < disk->device_count; i++)
        if (!disk->devices[i].is_fresh && disk->devices[i].super.is_begun != 0)
            return false;
    return true;
}

MUST_USE static err journals_begin(struct disk *disk, const struct remembered *all)
{
    for (unsigned i = 0; i < disk->device_count; i++) {
        struct disk_device *device = &disk->devices[i];
        if (!is_in_use(device))
            continue;
        /* what is recovered has nothing that they matched: a snapshot that is taken before the first sweep says so too */
        atomic_store(&device->swept_seq, all->forgotten);
        TRY(journal_set(device->journal, all->entries, all->count, all->forgotten));
        disk_journal_reserve(device);
        TRY(device_wrote(device, "its purge journal", disk_journal_flush(device)));
    }
    return ERR_OK;
}

/* The power failed again and again while a full journal was written anew, or another device's has less room. */
MUST_USE static err journals_begin_empty(struct disk *disk, struct remembered *all, uint64_t begin)
{
    disk_count(disk, DISK_ERROR_JOURNAL);
    log_warn("%s: the purges before this start no longer fit the purge journal: everything cached on disk is taken for purged",
             disk->devices[0].path);
    all->count = 0;
    all->forgotten = begin;
    return journals_begin(disk, all);
}

/* What was purged is not known, nor how far sequences had come: nothing that lies on the devices may be served. */
MUST_USE static err all_wiped(struct disk *disk, bool is_damage)
{
    if (is_damage)
        disk_count(disk, DISK_ERROR_JOURNAL);
    for (unsigned i = 0; i < disk->device_count; i++) {
        struct disk_device *device = &disk->devices[i];
        if (is_damage) {
            disk_count(disk, DISK_ERROR_FORMATTED);
            log_warn("%s: the purge journal is damaged, so what was purged is not known: formatted anew, what was cached there is gone",
                     device->path);
        }
        TRY(device_wrote(device, "its purge journal", disk_device_wipe(device)));
        if (!is_in_use(device))
            continue;
        device->journal = journal_free(device->journal);
        TRY(journal_new(&device->super.store, device->super.journal_bytes, &device->journal));
    }
    return ERR_OK;
}

MUST_USE static err give_back(struct disk *disk, struct remembered *all)
{
    uint64_t begin = MAX(all->reserved, all->count > 0 ? all->entries[all->count - 1].seq : 1);

    if (!all->is_whole && !are_all_fresh(disk)) {
        TRY(all_wiped(disk, !all->is_blank));
        all->count = 0;
        all->forgotten = 0;
    }
    for (unsigned i = 0; i < all->count; i++)
        purge_log_restore(disk->purges, &all->entries[i]);
    purge_log_begin_at(disk->purges, MAX(begin, 1u));
    err e = journals_begin(disk, all);
    return e.code == ERR_LIMIT ? journals_begin_empty(disk, all, begin) : e;
}

/* That its journal was begun, and which devices were lost until now. */
MUST_USE static err super_begin(struct disk_device *device, uint64_t out)
{
    if (!is_in_use(device) || (device->super.is_begun != 0 && (device->super.out & out) == out))
        return ERR_OK;
    device->super.is_begun = 1;
    device->super.out |= out;
    return device_wrote(device, "its superblock", disk_super_store(device));
}

/* Again for those that are lost at it. */
MUST_USE static err supers_begin(struct disk *disk)
{
    uint64_t out;

    do {
        out = disk_devices_out(disk);
        for (unsigned i = 0; i < disk->device_count; i++)
            TRY(super_begin(&disk->devices[i], out));
    } while (out != disk_devices_out(disk));
    ENSURE(disk_is_in_use(disk), NOT_FOUND);
    atomic_fetch_or(&disk->out_now, out);
    return ERR_OK;
}

err disk_journals_open(struct disk *disk)
{
    struct remembered all = {0};
    err e = ERR_OK;

    for (unsigned i = 0; i < disk->device_count && err_is_ok(e); i++)
        e = journal_read(&disk->devices[i]);
    if (err_is_ok(e))
        e = collect(disk, &all);
    if (err_is_ok(e))
        e = give_back(disk, &all);
    if (err_is_ok(e))
        e = supers_begin(disk);
    free(all.entries);
    return e;
}
