/* One device: finding out what it is, taking it, formatting it, its superblock. */
#include "store/disk/disk_own.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define DIR_MODE   0700
#define STORE_NAME "warp.store"
#define ADVICE     "; the cache is in RAM there until this is mended and WARP started again"

/* A directory holds the store as a file; anything else is taken as the store itself. */
static void store_path(struct disk_device *device, const char *path, bool is_device)
{
    if (is_device)
        snprintf(device->path, sizeof(device->path), "%s", path);
    else
        snprintf(device->path, sizeof(device->path), "%s/%s", path, STORE_NAME);
}

static const char *what_to_do(err e)
{
    if (e.code != ERR_SYSTEM)
        return e.code == ERR_LIMIT   ? "it is too small: --cache-size is 16m or more"
               : e.code == ERR_UNSUPPORTED
                   ? "it was written by another version of WARP, and is left alone: name another --cache-dir, or remove it"
               : e.code == ERR_REFUSED ? "it holds something that is not WARP's, which is left alone: name another --cache-dir, or clear it"
               : e.code == ERR_INVALID ? "it is neither a plain file nor a block device, or smaller than asked for"
                                     : err_text(e);
    switch (e.sys) {
    case EWOULDBLOCK:
        return "another process uses it: stop that one, or name another --cache-dir";
    case ENOSPC:
        return "there is no room for it: free some, or make --cache-size smaller";
    case EROFS:
        return "the file system is read-only: mount it writable, or name another --cache-dir";
    case EACCES:
    case EPERM:
        return "permission denied: give the user WARP runs as the directory, or name another --cache-dir";
    case ELOOP:
        return "it is a symbolic link, and links are not followed: name the place it leads to";
    case ENOTDIR:
        return "a file is in the place of a directory: name another --cache-dir";
    case EBUSY:
        return "it is mounted or in use by something else, and is left alone: name another --cache-dir, or unmount it";
    case EFBIG:
        return "it is larger than a file may be here (ulimit -f, or the file system): make --cache-size smaller";
    default:
        return err_text(e);
    }
}

static err device_refused(struct disk_device *device, err e)
{
    disk_note_add(device->disk, "%s: cannot be used: %s%s", device->path, what_to_do(e), ADVICE);
    os_file_close(&device->file);
    return e;
}

/* ---- superblock ----------------------------------------------------------------------------------------------- */

/* Both copies, one after the other: a crash between the two leaves one that is whole. */
err disk_super_store(struct disk_device *device)
{
    static const uint64_t places[2] = {DISK_SUPER_A, DISK_SUPER_B};
    char *block = os_file_memory(DISK_BLOCK);
    err e = ERR_OK;

    ENSURE(block != NULL, MEMORY);
    device->super.generation++;
    disk_super_write(&device->super, block);
    for (unsigned i = 0; i < 2 && err_is_ok(e); i++) {
        e = disk_write_now(device, block, DISK_BLOCK, places[i], DISK_CAUSE_SUPER);
        if (err_is_ok(e))
            e = os_file_now(&device->file, OS_FILE_SYNC, NULL, 0, 0);
    }
    free(block);
    return e;
}

/* The newer of the two that is valid. ERR_UNSUPPORTED where one is of another version. */
MUST_USE static err super_find(struct disk_device *device, struct disk_super *ret_super)
{
    static const uint64_t places[2] = {DISK_SUPER_A, DISK_SUPER_B};
    char *block = os_file_memory(DISK_BLOCK);
    struct disk_super super;
    err result = ERR(NOT_FOUND);

    ENSURE(block != NULL, MEMORY);
    for (unsigned i = 0; i < 2; i++) {
        err e = os_file_now(&device->file, OS_FILE_READ, block, DISK_BLOCK, places[i]);
        if (err_is_ok(e))
            e = disk_super_read(block, &super);
        if (err_is_ok(e) && (!err_is_ok(result) || super.generation > ret_super->generation)) {
            *ret_super = super;
            result = ERR_OK;
        } else if (e.code == ERR_UNSUPPORTED) {
            result = e;
            break;
        } else if (!err_is_ok(e) && result.code == ERR_NOT_FOUND) {
            result = e;
        }
    }
    free(block);
    return result;
}

/* ---- formatting ----------------------------------------------------------------------------------------------- */

/* Nothing that lies there may be taken for this store's: store and set are new, and every checksum is bound to them.
 * What is cleared: the heads of the two snapshots, which are bound to the set alone, and the journal. */
MUST_USE static err device_clear(struct disk_device *device)
{
    char *zero = os_file_memory(DISK_CHUNK_BYTES);
    uint64_t journal = device->super.journal_bytes;
    err e = ERR_OK;

    ENSURE(zero != NULL, MEMORY);
    memset(zero, 0, DISK_CHUNK_BYTES);
    for (unsigned i = 0; i < 2 && err_is_ok(e); i++)
        e = disk_write_now(device, zero, DISK_BLOCK, device->super.snapshot_at[i], DISK_CAUSE_SUPER);
    for (uint64_t at = 0; at < journal && err_is_ok(e); at += DISK_CHUNK_BYTES)
        e = disk_write_now(device, zero, (uint32_t)MIN(journal - at, DISK_CHUNK_BYTES), device->super.journal_at + at, DISK_CAUSE_SUPER);
    free(zero);
    return e;
}

MUST_USE static err device_format(struct disk_device *device)
{
    struct disk *disk = device->disk;

    device->is_fresh = true;
    uint64_t generation = device->super.generation; /* goes on: an older copy must not win over the new ones */
    TRY(disk_super_layout(device->file.size_bytes, disk->config.segment_bytes, &device->super));
    device->super.generation = generation;
    os_entropy(device->super.store.bytes, sizeof(device->super.store.bytes));
    device->super.set = disk->set;
    memcpy(device->super.secret, disk->secret, sizeof(disk->secret));
    device->super.device = device->number;
    device->super.devices = disk->config.path_count;
    return device_clear(device);
}

MUST_USE static err device_begin(struct disk_device *device, uint64_t out)
{
    device->super.mounts = device->disk->mounts + 1;
    device->super.out = out;
    device->super.pid = os_process_id();
    device->super.is_clean = 0;
    return disk_super_store(device);
}

err disk_device_wipe(struct disk_device *device)
{
    uint64_t out = device->super.out;

    TRY(device_format(device));
    return device_begin(device, out);
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

bool disk_super_is_worn_out(const struct disk_super *super)
{
    return super->generation >= UINT64_MAX / 2 || super->mounts >= DISK_MOUNTS_MAX;
}

/* Is what was found to be gone on with? Tells why not. */
static const char *objection(const struct disk_device *device)
{
    const struct disk *disk = device->disk;
    const struct disk_super *super = &device->super;

    if (disk_super_is_worn_out(super))
        return "its counters are near their end";
    if (super->size_bytes != device->file.size_bytes - device->file.size_bytes % DISK_BLOCK)
        return "its size has changed";
    if (disk->config.segment_bytes > 0 && super->segment_bytes != disk->config.segment_bytes)
        return "its segments are of another size";
    if (memcmp(super->set.bytes, disk->set.bytes, sizeof(disk->set.bytes)) != 0)
        return "it belonged to another store";
    if (super->devices != disk->config.path_count || super->device != device->number)
        return "it was one of another number of --cache-dir, or in another place among them";
    if (disk->out >> device->number & 1)
        return "it had failed, or WARP has run without it";
    return NULL;
}

bool disk_device_is_good(const struct disk_device *device)
{
    return !device->is_fresh && err_is_ok(device->found) && objection(device) == NULL;
}

err disk_device_take(struct disk_device *device, uint64_t missing)
{
    const char *why = device->found.code == ERR_CORRUPT ? "its superblock is damaged" : NULL;
    err e = ERR_OK;

    if (err_is_ok(device->found))
        why = objection(device);
    if (why != NULL) {
        disk_count(device->disk, DISK_ERROR_FORMATTED);
        log_warn("%s: %s: formatted anew, what was cached there is gone", device->path, why);
    }
    if (why != NULL || !err_is_ok(device->found))
        e = device_format(device);
    if (err_is_ok(e))
        e = device_begin(device, missing);
    return err_is_ok(e) ? ERR_OK : device_refused(device, e);
}

err disk_device_tell(struct disk_device *device, uint64_t missing)
{
    device->super.out = missing;
    err e = disk_super_store(device);
    return err_is_ok(e) ? ERR_OK : device_refused(device, e);
}

/* A block that holds no superblock is none of WARP's, if all before the areas is not zero either. */
MUST_USE static err strange_look(struct disk_device *device, char *head, bool is_device)
{
    TRY(os_file_now(&device->file, OS_FILE_READ, head, DISK_AREAS_AT, 0));
    bool is_empty = slice_is_zero(slice_of(head, DISK_AREAS_AT));
    ENSURE(is_empty || (!is_device && device->file.size_bytes % DISK_BLOCK == 0), REFUSED);
    return ERR_OK;
}

/* Each copy by itself: where one cannot be read the other may say whose it is. ERR_NOT_FOUND: neither is WARP's. */
MUST_USE static err supers_look(struct disk_device *device, char *head)
{
    static const uint64_t places[2] = {DISK_SUPER_A, DISK_SUPER_B};
    struct disk_super super;
    err unread = ERR_OK;
    bool is_ours = false;

    for (unsigned i = 0; i < 2; i++) {
        err e = os_file_now(&device->file, OS_FILE_READ, head, DISK_BLOCK, places[i]); /* zeros behind the end */
        if (!err_is_ok(e)) {
            unread = e;
            continue;
        }
        e = disk_super_read(head, &super);
        if (e.code == ERR_UNSUPPORTED)
            return e;
        is_ours |= e.code != ERR_NOT_FOUND;
    }
    if (is_ours)
        return ERR_OK;
    return err_is_ok(unread) ? ERR(NOT_FOUND) : unread;
}

/* Before anything is changed: what lies there, as it is, may be somebody else's. ERR_REFUSED: it is. */
MUST_USE static err device_look(struct disk_device *device, bool is_device, unsigned wishes)
{
    char *head = os_file_memory(DISK_AREAS_AT);
    err e = head != NULL ? os_file_open(device->path, 0, wishes | OS_FILE_EXISTING | OS_FILE_PATIENT, &device->file) : ERR(MEMORY);

    if (e.code == ERR_SYSTEM && e.sys == ENOENT) {
        free(head);
        return ERR_OK;
    }
    if (err_is_ok(e) && is_device && device->file.size_bytes < DISK_AREAS_AT)
        e = ERR(LIMIT);
    if (err_is_ok(e)) {
        e = supers_look(device, head);
        e = e.code == ERR_NOT_FOUND ? strange_look(device, head, is_device) : e;
    }
    os_file_close(&device->file);
    free(head);
    return e;
}

err disk_device_open(struct disk_device *device, const char *path, uint64_t size_bytes)
{
    bool is_device = os_path_is_device(path);
    unsigned wishes = device->disk->config.buffered ? OS_FILE_BUFFERED : 0;
    err e = ERR_OK;

    device->file.fd = -1;
    device->is_fresh = false;
    store_path(device, path, is_device);
    if (!is_device && size_bytes < DISK_SIZE_MIN)
        return device_refused(device, ERR(LIMIT));
    if (!is_device)
        e = os_dir_make(path, DIR_MODE);
    if (err_is_ok(e))
        e = device_look(device, is_device, wishes);
    if (err_is_ok(e))
        e = os_file_open(device->path, is_device ? 0 : size_bytes - size_bytes % DISK_BLOCK, wishes, &device->file);
    if (err_is_ok(e) && device->file.align_bytes > DISK_BLOCK) {
        os_file_close(&device->file);
        e = os_file_open(device->path, is_device ? 0 : size_bytes - size_bytes % DISK_BLOCK, OS_FILE_BUFFERED, &device->file);
    }
    if (!err_is_ok(e))
        return device_refused(device, e);
    device->found = super_find(device, &device->super);
    if (device->found.code == ERR_SYSTEM || device->found.code == ERR_UNSUPPORTED)
        return device_refused(device, device->found);
    return ERR_OK;
}
