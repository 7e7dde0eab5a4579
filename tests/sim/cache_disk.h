/* The disk tier below the cache of sim_cache. */
#ifndef WARP_TESTS_SIM_CACHE_DISK_H
#define WARP_TESTS_SIM_CACHE_DISK_H

#include "os/sim/sim.h"
#include "store/disk/disk.h"

#define DISKS_MAX 2u

/* Secret and purge log of the RAM tier above are the disk's. */
void node_disks_open(struct store_ram_config *ram);
struct disk *node_disks_disk(void);
unsigned node_disks_begin(struct sim_thread *threads); /* the keepers; returns their number */
void node_disks_check(void);
void node_disks_end(void); /* in order */
void node_disks_crash(enum sim_crash kind);
void node_disks_free(void); /* after the storage above */

#endif
