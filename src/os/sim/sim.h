/* sim: os.h without a kernel. One real thread plays all threads, the network and the peers; one seed decides
 * the order of everything, sizes of chunks, latencies, short sends. The same seed gives the same run, and
 * sim_hash proves it. A test driver:
 *
 *   sim_begin(seed) -> make loops over os.h, peers with sim_connect / sim_listen -> sim_run -> sim_end
 *
 * The clock stands still while anything can run and then jumps to the next deadline. Not simulated: whole
 * files, threads, the resolver's descriptors (IP literals and localhost resolve). */
#ifndef WARP_OS_SIM_SIM_H
#define WARP_OS_SIM_SIM_H

#include "os/os.h"

void sim_begin(uint64_t seed);
void sim_end(void);                  /* after every os_free */
uint64_t sim_hash(void);             /* of all that happened so far */
uint64_t sim_random(uint64_t below); /* from the seed; for the driver's own choices */

/* One simulated thread, in practice a loop: turn says whether anything ran, next_ns when its next timer is
 * due (UINT64_MAX: none). */
struct sim_thread {
    bool (*turn)(void *arg);
    uint64_t (*next_ns)(void *arg);
    void *arg;
};
/* Runs until done(arg) says so (true is returned), the clock reaches until_ns, or nothing can ever happen
 * again. done may be NULL. */
bool sim_run(const struct sim_thread *threads, unsigned count, uint64_t until_ns, bool (*done)(void *arg),
             void *arg);
#define SIM_FOREVER (UINT64_MAX - 1)

/* ---- scripted peers: clients and origins of the code under test -------------------------------------------
 */

struct sim_end;

/* Callbacks may be NULL and may call any of the functions below. Memory: until sim_close, sim_reset or
 * sim_end. */
struct sim_peer {
    void (*connected)(struct sim_peer *peer, int32_t result);               /* of sim_connect: 0 or -errno */
    void (*received)(struct sim_peer *peer, const char *data, size_t size); /* size 0: FIN */
    void (*reset)(struct sim_peer *peer);
    struct sim_end *end;
    char *out; /* not yet in the network */
    size_t out_bytes, out_room;
    bool paused, finishing, fin_told;
};

/* from: NULL means 10.0.0.1 and a port of its own. */
void sim_connect(struct sim_peer *peer, const struct os_address *to, const struct os_peer *from);

struct sim_server {
    /* Returns the peer for the new connection, its callbacks set; NULL refuses it by a reset. */
    struct sim_peer *(*accepted)(struct sim_server *server);
    struct list link;
    struct os_address address;
};
void sim_listen(struct sim_server *server, const struct os_address *address);
void sim_unlisten(struct sim_server *server); /* connects are refused from now on */

void sim_send(struct sim_peer *peer, const void *bytes, size_t size); /* copied; never short */
void sim_finish(struct sim_peer *peer);                               /* FIN behind all that was sent */
void sim_reset(struct sim_peer *peer);                                /* RST; the peer is then closed */
void sim_close(struct sim_peer *peer);                                /* as close(2); drops what is unsent */
void sim_pause(struct sim_peer *peer, bool paused);                   /* stops reading */

struct sim_timer {
    void (*fire)(struct sim_timer *timer);
    uint64_t at_ns; /* 0: not set */
    struct list link;
};
void sim_timer_set(struct sim_timer *timer, uint64_t at_ns); /* zeroed before the first time */
void sim_timer_stop(struct sim_timer *timer);

/* ---- disks: what os_file_open finds ------------------------------------------------------------------------ */

struct sim_disk;
/* The file of that path, also when there is none yet. It outlives its users; until sim_end. */
struct sim_disk *sim_disk_at(const char *path);
/* From now on it is a block device of that size. */
void sim_disk_make_device(struct sim_disk *disk, uint64_t size_bytes);
/* What operations must be a multiple of: 4096 at first; 1 is buffered. Of the next os_file_open. */
void sim_disk_set_align(struct sim_disk *disk, uint32_t align_bytes);
bool sim_disk_is_there(const struct sim_disk *disk);
uint64_t sim_disk_size(const struct sim_disk *disk);
void sim_disk_remove(struct sim_disk *disk); /* nobody has it open */
/* A longer or shorter file, whoever has it open. */
void sim_disk_resize(struct sim_disk *disk, uint64_t size_bytes);

/* What a reader would find, and what is there from now on, without an operation or a fault. */
void sim_disk_peek(const struct sim_disk *disk, uint64_t at, void *ret_bytes, uint32_t size);
void sim_disk_poke(struct sim_disk *disk, uint64_t at, const void *bytes, uint32_t size);
/* One bit of [at, at + size), whichever the seed likes, is wrong for ever; returns the byte's place. */
uint64_t sim_disk_flip(struct sim_disk *disk, uint64_t at, uint64_t size);

/* A copy of all that is there, to come back to: the same recovery from the same state. */
struct sim_disk_copy *sim_disk_copy_new(const struct sim_disk *disk);
struct sim_disk_copy *sim_disk_copy_free(struct sim_disk_copy *copy);
void sim_disk_restore(struct sim_disk *disk, const struct sim_disk_copy *copy); /* nobody has it open */

/* Chances are of 10,000 operations. */
struct sim_disk_faults {
    uint16_t read_error, write_error, sync_error; /* EIO; of such a write some may have got there */
    uint16_t slow;
    uint64_t slow_ns;          /* what a slow one may take longer */
    uint16_t stale_read;       /* a read brings what was there before the last write */
    uint16_t phantom_write;    /* a write is told of as done and never happens */
    uint16_t misdirected_write; /* or happens somewhere else */
    uint16_t flipped_read;     /* one bit of what a read brings is wrong, this time */
    uint32_t silent_most;      /* so many writes are phantoms or misdirected, and no more; 0: no limit */
};
void sim_disk_set_faults(struct sim_disk *disk, const struct sim_disk_faults *faults); /* NULL: none */
enum {
    SIM_DISK_READS = 1,
    SIM_DISK_WRITES = 2,
};
/* Operations of these kinds that touch the range fail with EIO until that is taken back (kinds 0). One range. */
void sim_disk_set_bad(struct sim_disk *disk, uint64_t at, uint64_t size, unsigned kinds);
/* Every operation fails from now on, those under way too, and so does os_file_open; 0: it is back. */
void sim_disk_vanish(struct sim_disk *disk, int error);
/* os_file_open fails with that (EACCES, EROFS, ELOOP, ...); 0: no longer. */
void sim_disk_refuse(struct sim_disk *disk, int error);
/* Room for a plain file: a larger one is ENOSPC. UINT64_MAX at first. */
void sim_disk_set_room(struct sim_disk *disk, uint64_t bytes);
/* Another process has it locked. */
void sim_disk_hold(struct sim_disk *disk, bool is_held);

struct sim_disk_counts {
    uint64_t reads, writes, syncs, opens; /* that were asked for */
    uint64_t read_bytes, written_bytes;   /* of those that succeeded */
    uint64_t faults;                      /* of sim_disk_faults and bad ranges, that happened */
};
struct sim_disk_counts sim_disk_counts(const struct sim_disk *disk);

/* The end of a node as its disks see it. */
enum sim_crash {
    SIM_CRASH_KILL,  /* of the process: what was written is there; writes under way happened, or not, or in part */
    SIM_CRASH_POWER, /* of the machine: of what no completed sync covers each write is there, or not, or in part */
};
/* Everything under way is gone and is never called back; locks are free. Call it before the node's memory is freed:
 * operations on files it had open are neither done nor called back any more, its os_file_now fails. */
void sim_disk_crash(enum sim_crash kind);
/* Called by sim_disk_crash for each operation that was submitted and will never be called back, so that its owner can be
 * freed; it may not submit another. NULL: none. */
void sim_disk_on_orphan(void (*orphan)(struct os_file_op *op));
/* When that many more operations on all disks have been asked for, nothing of a disk goes on: the last one has not
 * happened, or it has and nobody heard. The driver sees it by sim_disk_has_stopped, and then calls sim_disk_crash.
 * 0: not any more. */
void sim_disk_crash_after(uint64_t operations);
bool sim_disk_has_stopped(void);

/* ---- others -------------------------------------------------------------------------------------------------- */

/* The next `times` accepts of all acceptors fail with that errno (EMFILE). */
void sim_fail_accepts(int error, unsigned times);

#endif
