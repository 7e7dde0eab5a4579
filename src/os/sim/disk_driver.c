/* What a test driver does to simulated disks. */
#include "os/sim/disk.h"

#include <stdlib.h>

struct sim_disk *sim_disk_at(const char *path)
{
    struct sim_disk *disk = disk_find(path);

    if (disk != NULL)
        return disk;
    disk = world_alloc(sizeof(*disk));
    disk->path = strdup(path);
    INVARIANT(disk->path != NULL);
    image_init(&disk->image);
    disk->align_bytes = OS_FILE_MEMORY_ALIGN;
    disk->holder_fd = -1;
    disk->room_bytes = UINT64_MAX;
    list_init(&disk->under_way);
    list_push_back(&world->disks, &disk->link);
    return disk;
}

static void ops_free(struct list *ops)
{
    while (!list_is_empty(ops)) {
        struct disk_op *op = container_of(list_first(ops), struct disk_op, link);
        op->has_event = false; /* it will not come any more */
        disk_op_forget(op);
    }
}

void disks_free(void)
{
    struct list *link;

    while ((link = list_pop_front(&world->disks)) != NULL) {
        struct sim_disk *disk = container_of(link, struct sim_disk, link);
        ops_free(&disk->under_way);
        image_done(&disk->image);
        free(disk->path);
        free(disk);
    }
    ops_free(&world->disk_ops_dead);
}

/* ---- what is there -------------------------------------------------------------------------------------------- */

void sim_disk_make_device(struct sim_disk *disk, uint64_t size_bytes)
{
    INVARIANT(disk->holder_fd < 0);
    disk->is_device = true;
    image_resize(&disk->image, size_bytes);
    disk->image.is_there_on_medium = true;
    disk->image.size_on_medium = size_bytes;
}

void sim_disk_set_align(struct sim_disk *disk, uint32_t align_bytes)
{
    disk->align_bytes = align_bytes;
}

bool sim_disk_is_there(const struct sim_disk *disk)
{
    return disk->image.is_there;
}

uint64_t sim_disk_size(const struct sim_disk *disk)
{
    return disk->image.size;
}

void sim_disk_remove(struct sim_disk *disk)
{
    INVARIANT(disk->holder_fd < 0);
    image_remove(&disk->image);
}

void sim_disk_resize(struct sim_disk *disk, uint64_t size_bytes)
{
    image_resize(&disk->image, size_bytes);
}

void sim_disk_peek(const struct sim_disk *disk, uint64_t at, void *ret_bytes, uint32_t size)
{
    image_read(&disk->image, IMAGE_NOW, at, size, ret_bytes);
}

void sim_disk_poke(struct sim_disk *disk, uint64_t at, const void *bytes, uint32_t size)
{
    image_poke(&disk->image, at, bytes, size);
}

uint64_t sim_disk_flip(struct sim_disk *disk, uint64_t at, uint64_t size)
{
    uint64_t place = at + world_random(size);
    unsigned char byte;

    sim_disk_peek(disk, place, &byte, 1);
    byte ^= (unsigned char)(1u << world_random(8));
    sim_disk_poke(disk, place, &byte, 1);
    return place;
}

struct sim_disk_copy {
    struct image image;
};

struct sim_disk_copy *sim_disk_copy_new(const struct sim_disk *disk)
{
    struct sim_disk_copy *copy = world_alloc(sizeof(*copy));

    image_init(&copy->image);
    image_copy(&copy->image, &disk->image);
    return copy;
}

struct sim_disk_copy *sim_disk_copy_free(struct sim_disk_copy *copy)
{
    if (copy != NULL)
        image_done(&copy->image);
    free(copy);
    return NULL;
}

void sim_disk_restore(struct sim_disk *disk, const struct sim_disk_copy *copy)
{
    INVARIANT(disk->holder_fd < 0);
    image_copy(&disk->image, &copy->image);
}

/* ---- faults ---------------------------------------------------------------------------------------------------- */

void sim_disk_set_faults(struct sim_disk *disk, const struct sim_disk_faults *faults)
{
    disk->faults = faults != NULL ? *faults : (struct sim_disk_faults){0};
    disk->image.keeps_before |= disk->faults.stale_read > 0;
}

void sim_disk_set_bad(struct sim_disk *disk, uint64_t at, uint64_t size, unsigned kinds)
{
    disk->bad_at = at;
    disk->bad_size = size;
    disk->bad_kinds = kinds;
}

void sim_disk_vanish(struct sim_disk *disk, int error)
{
    disk->gone = error;
}

void sim_disk_refuse(struct sim_disk *disk, int error)
{
    disk->refused = error;
}

void sim_disk_set_room(struct sim_disk *disk, uint64_t bytes)
{
    disk->room_bytes = bytes;
}

void sim_disk_hold(struct sim_disk *disk, bool is_held)
{
    disk->is_held = is_held;
}

struct sim_disk_counts sim_disk_counts(const struct sim_disk *disk)
{
    return disk->counts;
}

/* ---- the end of a node ------------------------------------------------------------------------------------------ */

static void write_ends(struct disk_op *op)
{
    unsigned fate = (unsigned)world_random(3);

    if (fate == 0)
        (void)image_write(&op->disk->image, op->at, op->bytes, op->size);
    else if (fate == 1)
        image_write_torn(&op->disk->image, op->at, op->bytes, op->size);
}

static void ops_end(struct sim_disk *disk)
{
    LIST_FOREACH_SAFE (&disk->under_way, link) {
        struct disk_op *op = container_of(link, struct disk_op, link);
        bool fits = !disk->is_device || op->at + op->size <= disk->image.size;
        if (op->what == OS_FILE_WRITE && !op->has_happened && disk->gone == 0 && fits)
            write_ends(op);
        struct os_file_op *orphan = op->os != NULL ? op->op : NULL;
        disk_op_forget(op);
        if (orphan != NULL && world->disk_orphan != NULL)
            world->disk_orphan(orphan);
    }
}

void sim_disk_crash(enum sim_crash kind)
{
    world_trace(TRACE_DISK_CRASH, kind, 0);
    LIST_FOREACH (&world->disks, link) {
        struct sim_disk *disk = container_of(link, struct sim_disk, link);
        ops_end(disk);
        if (kind == SIM_CRASH_POWER)
            image_lose_power(&disk->image);
        else
            image_tell_all(&disk->image);
        disk->holder_fd = -1;
    }
    world->crashed_fd = world->next_fd;
    world->disk_stop = (struct sim_stop){0};
}

void sim_disk_on_orphan(void (*orphan)(struct os_file_op *op))
{
    world->disk_orphan = orphan;
}

void sim_disk_crash_after(uint64_t operations)
{
    world->disk_stop = (struct sim_stop){.after = operations};
}

bool sim_disk_has_stopped(void)
{
    return disks_have_stopped();
}
