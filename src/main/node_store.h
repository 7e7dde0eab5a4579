/* node_store: what a worker process stores in: RAM, and where there is a usable --cache-dir a disk tier below it, with the
 * threads that keep it. */
#ifndef WARP_MAIN_NODE_STORE_H
#define WARP_MAIN_NODE_STORE_H

#include "main/node.h"
#include "store/disk/disk.h"

struct node_store {
    struct storage *storage;
    struct disk *disk; /* NULL: RAM only; without devices: none of the --cache-dir can be used */
    struct purge_log *purges;
    uint64_t ram_bytes; /* what the RAM tier may take; of one that is off, its write buffers */
    struct node_keeper {
        struct loop *loop;
        struct os_thread *thread;
    } keepers[DISK_DEVICES_MAX];
    struct os_event *slab_event; /* NULL: the storage has nothing to tend */
    struct os_thread *slab_thread;
    _Atomic bool slab_is_over;
};

/* A disk that cannot be used leaves RAM, and says so (disk_note). */
MUST_USE err node_store_open(const struct node_plan *plan, struct node_store *store);
MUST_USE err node_store_start(struct node_store *store); /* the threads: keepers', and the one of slabs */
/* The workers' threads have ended. Writes what is to be written; safe after a start that failed. */
void node_store_stop(struct node_store *store);
void node_store_free(struct node_store *store);

/* The first directory of those that hold the cache by default and can be written; made where it is not there. */
bool cache_dir_default(char *ret_dir, size_t size);
bool cache_dir_is_usable(const char *base, const char *rest, char *ret_dir, size_t size);

#endif
