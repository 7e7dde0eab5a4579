/* tiered: the RAM tier over the disk tier, as one storage.
 *
 *   lookup  RAM, else disk: what is read there comes into RAM, and is handed out from there
 *   fill    into RAM; complete, it is offered to the disk: at once while that takes everything (disk_is_open), else
 *           when it was asked for again
 *   purge   in effect at once in both (one purge log), answered when the journals have it
 *
 * Room for a secondary behind the disk: decision page docs/decisions/0014-disk-tier.md. */
#ifndef WARP_STORE_TIERED_H
#define WARP_STORE_TIERED_H

#include "store/disk/disk.h"
#include "store/storage.h"

/* Takes over ram, which is freed with it. The disk, which shares ram's purge log, stays the caller's: it is freed after
 * this, when the keepers have ended. is_ram_off: what is on the disk leaves RAM, and hits come from the disk alone. */
MUST_USE err store_tiered_new(struct storage *ram, struct disk *disk, bool is_ram_off, struct storage **ret_storage);

#endif
