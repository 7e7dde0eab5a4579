/* Files of a store without a kernel: opening, operations, and what goes wrong with them. */
#include "os/sim/disk.h"

#include "base/hash.h"

#include <stdlib.h>

#define SCRIBBLE 0xa5 /* what memory holds while a read is under way */

struct sim_disk *disk_find(const char *path)
{
    LIST_FOREACH (&world->disks, link) {
        struct sim_disk *disk = container_of(link, struct sim_disk, link);
        if (strcmp(disk->path, path) == 0)
            return disk;
    }
    return NULL;
}

bool disks_have_stopped(void)
{
    return world->disk_stop.has_stopped;
}

/* ---- where a store lies ------------------------------------------------------------------------------------- */

bool os_path_is_device(const char *path)
{
    const struct sim_disk *disk = disk_find(path);
    return disk != NULL && disk->is_device;
}

err os_dir_make(const char *path, unsigned mode)
{
    (void)path;
    (void)mode;
    return ERR_OK;
}

uint32_t os_process_id(void)
{
    return 1000;
}

/* ---- opening ------------------------------------------------------------------------------------------------- */

MUST_USE static err open_check(const struct sim_disk *disk, uint64_t size_bytes, unsigned wishes)
{
    if (disks_have_stopped())
        return ERR_SYS(EIO);
    if (disk->refused != 0 || disk->gone != 0)
        return ERR_SYS(disk->refused != 0 ? disk->refused : disk->gone);
    if (!disk->image.is_there && (wishes & OS_FILE_EXISTING))
        return ERR_SYS(ENOENT);
    if (disk->is_held || disk->holder_fd >= 0)
        return ERR_SYS(EWOULDBLOCK);
    ENSURE(!disk->is_device || disk->image.size >= size_bytes, INVALID);
    if (!disk->is_device && size_bytes > disk->room_bytes)
        return ERR_SYS(ENOSPC);
    return ERR_OK;
}

err os_file_open(const char *path, uint64_t size_bytes, unsigned wishes, struct os_file *ret_file)
{
    struct sim_disk *disk = sim_disk_at(path);
    err result = open_check(disk, size_bytes, wishes);

    disk->counts.opens++;
    world_trace(TRACE_DISK_OPEN, result.code, (uint64_t)result.sys);
    TRY(result);
    if (!disk->is_device)
        image_resize(&disk->image, size_bytes != 0 ? size_bytes : disk->image.size);
    disk->holder_fd = world->next_fd++;
    *ret_file = (struct os_file){.fd = disk->holder_fd,
                                 .align_bytes = wishes & OS_FILE_BUFFERED ? 1 : disk->align_bytes,
                                 .size_bytes = disk->image.size,
                                 .is_device = disk->is_device,
                                 .own = disk};
    ret_file->is_direct = ret_file->align_bytes > 1;
    return ERR_OK;
}

/* False: it was opened in a node that is gone. */
static bool file_is_live(const struct os_file *file)
{
    const struct sim_disk *disk = file->own;
    bool is_live = disk->holder_fd == file->fd;

    INVARIANT(is_live || file->fd < world->crashed_fd);
    return is_live;
}

void os_file_close(struct os_file *file)
{
    struct sim_disk *disk = file->own;

    if (file->fd >= 0 && file_is_live(file)) {
        INVARIANT(list_is_empty(&disk->under_way) || disks_have_stopped());
        disk->holder_fd = -1;
    }
    file->fd = -1;
}

/* ---- an operation --------------------------------------------------------------------------------------------- */

static struct disk_op *op_new(struct os *os, struct os_file_op *op)
{
    struct sim_disk *disk = op->file->own;
    struct disk_op *made = world_alloc(sizeof(*made));

    *made = (struct disk_op){.disk = disk,
                             .op = op,
                             .os = os,
                             .what = op->what,
                             .at = op->at,
                             .size = op->what != OS_FILE_SYNC ? op->size : 0,
                             .covers = disk->image.tellings};
    list_init(&made->due);
    list_push_back(&disk->under_way, &made->link);
    if (op->what == OS_FILE_WRITE) {
        made->bytes = world_alloc(op->size);
        memcpy(made->bytes, op->bytes, op->size);
    } else if (op->what == OS_FILE_READ) {
        memset(op->bytes, SCRIBBLE, op->size);
    }
    return made;
}

static void op_free(struct disk_op *op)
{
    list_remove(&op->link);
    list_remove(&op->due);
    free(op->bytes);
    free(op);
}

void disk_op_forget(struct disk_op *op)
{
    if (world->disk_stop.at == op) {
        world->disk_stop.at = NULL;
        world->disk_stop.has_stopped = true;
    }
    if (!op->has_event) {
        op_free(op);
        return;
    }
    op->is_dead = true;
    op->op = NULL;
    op->os = NULL;
    list_remove(&op->due);
    list_remove(&op->link);
    list_push_back(&world->disk_ops_dead, &op->link);
}

/* True: the disks have stopped at it. */
static bool op_stops(const struct disk_op *op, enum sim_stop_when when)
{
    if (world->disk_stop.at == op && world->disk_stop.when == when)
        world->disk_stop.has_stopped = true;
    return disks_have_stopped();
}

static void op_asked(struct disk_op *op)
{
    struct sim_stop *stop = &world->disk_stop;
    struct sim_disk_counts *counts = &op->disk->counts;

    counts->reads += op->what == OS_FILE_READ;
    counts->writes += op->what == OS_FILE_WRITE;
    counts->syncs += op->what == OS_FILE_SYNC;
    world_trace(TRACE_DISK_ASKED, op->at, (uint64_t)op->what << 32 | op->size);
    if (stop->after == 0 || --stop->after > 0)
        return;
    stop->at = op;
    stop->when = (enum sim_stop_when)world_random(STOP_TELLING + 1);
    (void)op_stops(op, STOP_ASKED);
}

/* ---- what goes wrong ------------------------------------------------------------------------------------------ */

static bool fault_comes(struct disk_op *op, uint16_t of_10000)
{
    bool comes = of_10000 > 0 && world_random(10000) < of_10000;

    op->disk->counts.faults += comes;
    return comes;
}

/* Of a write that is told of as done. */
static bool silent_fault_comes(struct disk_op *op, uint16_t of_10000)
{
    struct sim_disk_faults *faults = &op->disk->faults;
    bool comes = fault_comes(op, of_10000);

    if (comes && faults->silent_most > 0 && --faults->silent_most == 0)
        faults->phantom_write = faults->misdirected_write = 0;
    return comes;
}

static bool touches_bad_range(struct disk_op *op)
{
    const struct sim_disk *disk = op->disk;
    unsigned kind = op->what == OS_FILE_READ ? SIM_DISK_READS : op->what == OS_FILE_WRITE ? SIM_DISK_WRITES : 0;
    bool touches = (disk->bad_kinds & kind) != 0 && op->at < disk->bad_at + disk->bad_size && disk->bad_at < op->at + op->size;

    op->disk->counts.faults += touches;
    return touches;
}

static int op_error(struct disk_op *op)
{
    const struct sim_disk *disk = op->disk;
    const uint16_t chances[] = {[OS_FILE_READ] = disk->faults.read_error,
                                [OS_FILE_WRITE] = disk->faults.write_error,
                                [OS_FILE_SYNC] = disk->faults.sync_error};

    if (disk->gone != 0)
        return disk->gone;
    if (touches_bad_range(op) || fault_comes(op, chances[op->what]))
        return EIO;
    if (op->what == OS_FILE_WRITE && disk->is_device && op->at + op->size > disk->image.size)
        return ENOSPC;
    return 0;
}

/* Where a write goes astray to: any place, or that of the write before. */
static uint64_t place_astray(const struct disk_op *op)
{
    const struct sim_disk *disk = op->disk;
    uint64_t places = disk->image.size >= op->size ? (disk->image.size - op->size) / IMAGE_PAGE_BYTES + 1 : 1;

    if (world_chance(50) && disk->last_write_at + op->size <= disk->image.size)
        return disk->last_write_at;
    return world_random(places) * IMAGE_PAGE_BYTES;
}

/* ---- what happens ---------------------------------------------------------------------------------------------- */

/* Writes under way may have got there already, as far as they like. */
static void read_overlay(const struct disk_op *read, char *into)
{
    LIST_FOREACH (&read->disk->under_way, link) {
        const struct disk_op *op = container_of(link, struct disk_op, link);
        uint64_t from = MAX(op->at, read->at), to = MIN(op->at + op->size, read->at + read->size);
        if (op->what == OS_FILE_WRITE && !op->has_happened && from < to && world_chance(50))
            image_overlay_torn(into + (from - read->at), op->bytes + (from - op->at), (uint32_t)(to - from));
    }
}

static void read_happens(struct disk_op *op, int error)
{
    const struct sim_disk_faults *faults = &op->disk->faults;
    char *into = op->op->bytes;

    if (error != 0)
        return;
    image_read(&op->disk->image, fault_comes(op, faults->stale_read) ? IMAGE_BEFORE : IMAGE_NOW, op->at, op->size, into);
    read_overlay(op, into);
    if (fault_comes(op, faults->flipped_read))
        into[world_random(op->size)] ^= (char)(1 << world_random(8));
    op->disk->counts.read_bytes += op->size;
}

static void write_happens(struct disk_op *op, int error)
{
    const struct sim_disk_faults *faults = &op->disk->faults;
    struct image *image = &op->disk->image;
    uint64_t at = op->at;

    if (error != 0) {
        if (error == EIO && world_chance(50))
            image_write_torn(image, at, op->bytes, op->size);
        return;
    }
    op->disk->counts.written_bytes += op->size;
    if (silent_fault_comes(op, faults->phantom_write))
        return;
    if (silent_fault_comes(op, faults->misdirected_write))
        at = place_astray(op);
    op->wrote = image_write(image, at, op->bytes, op->size);
    op->disk->last_write_at = op->at;
}

static void op_happens(struct disk_op *op)
{
    int error = op_error(op);
    slice bytes = slice_of(NULL, 0);

    switch ((enum os_file_kind)op->what) {
    case OS_FILE_READ:
        read_happens(op, error);
        bytes = slice_of(op->op->bytes, op->size);
        break;
    case OS_FILE_WRITE:
        write_happens(op, error);
        bytes = slice_of(op->bytes, op->size);
        break;
    case OS_FILE_SYNC:
        if (error != 0)
            image_sync_fail(&op->disk->image, op->covers);
        else
            image_sync(&op->disk->image, op->covers);
        break;
    }
    op->has_happened = true;
    op->result = error != 0 ? -error : (int32_t)op->size;
    world_trace(TRACE_DISK_HAPPENED, hash64(bytes, op->what), (uint64_t)(uint32_t)op->result);
}

static void op_event(void *arg)
{
    struct disk_op *op = arg;

    op->has_event = false;
    if (op->is_dead) {
        op_free(op);
        return;
    }
    if (disks_have_stopped())
        return;
    op_happens(op);
    if (!op_stops(op, STOP_HAPPENED))
        list_push_back(door_disk_due(op->os), &op->due);
}

/* Mostly a fast device, now and then a busy one. */
static uint64_t op_latency_ns(struct disk_op *op)
{
    unsigned kind = (unsigned)world_random(100);
    uint64_t most_ns = kind < 80 ? 100000 : kind < 97 ? 2000000 : 50000000;
    uint64_t slow_ns = fault_comes(op, op->disk->faults.slow) ? op->disk->faults.slow_ns : 0;

    return 20000 + world_random(most_ns) + (slow_ns > 0 ? world_random(slow_ns) : 0);
}

void os_file_submit(struct os *os, struct os_file_op *file_op)
{
    struct disk_op *op;

    op_file_begin(os, file_op);
    if (!file_is_live(file_op->file))
        return;
    op = op_new(os, file_op);
    if (disks_have_stopped()) {
        op->has_happened = true; /* and never will */
        return;
    }
    op_asked(op);
    op->has_event = true;
    world_later(op_latency_ns(op), op_event, op);
}

/* What its caller hears. */
static void op_tells(struct disk_op *op)
{
    INVARIANT(op->what != OS_FILE_WRITE || memcmp(op->bytes, op->op->bytes, op->size) == 0); /* it may not change them */
    if (op->wrote != 0)
        image_tell(&op->disk->image, op->wrote);
    op->op->op.result = op->result;
    world_trace(TRACE_DISK_TOLD, op->at, (uint64_t)(uint32_t)op->result);
    op_free(op);
}

void disk_op_tell(struct list *due)
{
    struct disk_op *op = container_of(due, struct disk_op, due);
    struct os_file_op *file_op = op->op;

    if (op_stops(op, STOP_TELLING))
        return;
    op_tells(op);
    file_op->op.done(&file_op->op);
}

err os_file_now(struct os_file *file, enum os_file_kind what, void *bytes, uint32_t size, uint64_t at)
{
    struct os_file_op file_op = {.file = file, .bytes = bytes, .at = at, .size = size, .what = (uint8_t)what};
    struct disk_op *op;

    op_file_begin(NULL, &file_op);
    if (!file_is_live(file) || disks_have_stopped())
        return ERR_SYS(EIO);
    op = op_new(NULL, &file_op);
    op_asked(op);
    if (!disks_have_stopped())
        op_happens(op);
    if (op_stops(op, STOP_HAPPENED) || op_stops(op, STOP_TELLING)) {
        op->op = NULL;
        return ERR_SYS(EIO);
    }
    op_tells(op);
    return file_op.op.result < 0 ? ERR_SYS(-file_op.op.result) : ERR_OK;
}

/* Those of a process that has stopped end with sim_disk_crash, which says what became of them. */
void disk_ops_drop(struct os *os)
{
    struct list ended = LIST_INIT(ended);

    LIST_FOREACH (&world->disks, disk_link) {
        struct sim_disk *disk = container_of(disk_link, struct sim_disk, link);
        LIST_FOREACH_SAFE (&disk->under_way, link) {
            struct disk_op *op = container_of(link, struct disk_op, link);
            if (op->os != os)
                continue;
            if (disks_have_stopped()) {
                list_remove(&op->due);
                op->op = NULL;
                op->os = NULL;
                continue;
            }
            if (!op->has_happened)
                op_happens(op);
            list_push_back(&ended, &op->op->op.link);
            disk_op_forget(op);
        }
    }
    op_files_cancelled(&ended);
}
