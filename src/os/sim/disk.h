/* Simulated disks and the operations on them; for os/sim/ only. */
#ifndef WARP_OS_SIM_DISK_H
#define WARP_OS_SIM_DISK_H

#include "os/sim/image.h"
#include "os/sim/world.h"

struct sim_disk {
    struct list link;
    char *path;
    struct image image;
    uint32_t align_bytes;
    bool is_device, is_held;
    int gone, refused; /* errno */
    int holder_fd;     /* -1: nobody of this world has it open */
    uint64_t room_bytes;
    uint64_t bad_at, bad_size;
    unsigned bad_kinds;
    struct sim_disk_faults faults;
    struct sim_disk_counts counts;
    struct list under_way; /* struct disk_op, in the order in which they were asked for */
    uint64_t last_write_at;
};

/* asked for -> happened -> told. When its node is gone nobody waits for it: op and os are NULL. */
struct disk_op {
    struct list link; /* sim_disk.under_way, or sim_world.disk_ops_dead */
    struct list due;  /* the door's, from happened to told */
    struct sim_disk *disk;
    struct os_file_op *op;
    struct os *os; /* NULL too where it was done at once */
    uint64_t at, number;
    uint32_t size;
    uint8_t what;    /* enum os_file_kind */
    bool has_event;  /* its time is still to come */
    bool has_happened, is_dead;
    int32_t result;
    uint64_t covers; /* of a sync: what was told by then */
    uint64_t wrote;  /* of a write that happened: the image's number for it */
    char *bytes;     /* of a write: as they were when it was asked for */
};

struct sim_disk *disk_find(const char *path); /* NULL: there is none yet */
/* Nobody waits for it any more. */
void disk_op_forget(struct disk_op *op);

#endif
