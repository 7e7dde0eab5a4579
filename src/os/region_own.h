/* What a door's send knows of the region. */
#ifndef WARP_OS_REGION_OWN_H
#define WARP_OS_REGION_OWN_H

#include "os/region.h"

#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Shorter pieces are copied: below, a second system call costs more than the copy (docs/performance.md). */
#define REGION_SEND_BYTES_MIN (32u * 1024)

/* The open one; nothing in it when there is none. Set before the first send, reset after the last. */
extern struct os_region os_region_open_one;

static inline bool region_has(const struct iovec *piece)
{
    return piece->iov_len >= REGION_SEND_BYTES_MIN &&
           (uintptr_t)piece->iov_base - (uintptr_t)os_region_open_one.base < os_region_open_one.bytes;
}

static inline bool region_has_any(const struct iovec *iov, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (region_has(&iov[i]))
            return true;
    return false;
}

/* As sendmsg on a non-blocking socket: pieces of the region by reference, what lies between them by copy. Short only
 * where the socket is full: epoll's promise of an edge holds. */
ssize_t region_send(int fd, const struct iovec *iov, unsigned count, bool more);

#endif
