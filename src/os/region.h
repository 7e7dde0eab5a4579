/* region: memory that a socket sends from by reference (sendfile from a memfd, mapped once). One per process.
 *
 * os_socket_send knows bytes of the region by their address and hands the kernel the pages themselves. So bytes
 * that were ever sent are never overwritten in place: a peer that has not read them yet, on this machine or behind
 * a slow link, would see the new ones. Memory is given back by os_region_punch: the pages leave the region, sockets
 * keep theirs, and the next bytes written at that address lie in new pages.
 *
 * Whose bytes are being sent must not go either while the call runs: the reader's reference to the object sees to that.
 *
 * Threads: any. In the simulator the region is plain memory and is sent by copy; what was punched reads as zeros. */
#ifndef WARP_OS_REGION_H
#define WARP_OS_REGION_H

#include "base/err.h"

#include <stddef.h>

#define OS_REGION_EXTENT_BYTES (2u << 20) /* what can be one huge page; the region begins at a multiple of it */

struct os_region {
    char *base;
    size_t bytes; /* of addresses; no memory is taken yet */
    int fd;       /* -1: plain memory */
};

/* bytes is rounded up to whole extents. ERR_SYS where there are no addresses or no memfd left, ERR_UNSUPPORTED where
 * a page may be larger than an extent, ERR_REFUSED when there is a region already. */
MUST_USE err os_region_open(size_t bytes, struct os_region *ret_region);
/* No reader and no socket may use its addresses any more. Zeroes *region; safe on one that is not open. */
void os_region_close(struct os_region *region);
/* Takes the pages now, so that a machine without memory says so here and not by a signal at the first write.
 * at and bytes are multiples of the page size, inside the region. On an error none is kept. */
MUST_USE err os_region_take(struct os_region *region, char *at, size_t bytes);
/* Gives whole pages back; of an extent that was collapsed, only all of it. */
void os_region_punch(struct os_region *region, char *at, size_t bytes);
/* Makes one extent, at least one of its pages taken, one huge page; what was not taken is then taken too and zero.
 * Waits for every CPU and copies: not for a loop's thread. ERR_SYS(EAGAIN): pages are in use by a socket right now;
 * any other: this kernel gives none. */
MUST_USE err os_region_collapse(struct os_region *region, char *extent);
unsigned os_page_bytes(void);

#endif
