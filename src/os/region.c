#include "os/region_own.h"

#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

struct os_region os_region_open_one;

/* ---- life -------------------------------------------------------------------------------------------- */

unsigned os_page_bytes(void)
{
    return (unsigned)sysconf(_SC_PAGESIZE);
}

/* Punching a part of a huge page zeroes it in place, under a socket's reader: no page may outgrow an extent. */
static bool pages_fit(void)
{
    char *text = NULL;
    size_t len;
    bool fit = os_page_bytes() <= OS_REGION_EXTENT_BYTES;

    if (err_is_ok(os_file_read("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", 65536, &text, &len)))
        fit = strtoull(text, NULL, 10) <= OS_REGION_EXTENT_BYTES;
    free(text);
    return fit;
}

/* A file over the limit is answered by a signal that ends the process. */
static bool file_may_be(size_t bytes)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes);
}

/* Addresses first, one extent more than asked for, so that they can begin at a multiple of it. */
MUST_USE static err region_map(int fd, size_t bytes, char **ret_base)
{
    size_t extra = OS_REGION_EXTENT_BYTES, head;
    char *all = mmap(NULL, bytes + extra, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), *base;

    if (all == MAP_FAILED)
        return ERR_SYS(errno);
    head = (extra - (uintptr_t)all % extra) % extra;
    base = all + head;
    if (mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
        int error = errno;
        munmap(all, bytes + extra);
        return ERR_SYS(error);
    }
    if (head > 0)
        munmap(all, head);
    munmap(base + bytes, extra - head);
    madvise(base, bytes, MADV_DONTDUMP); /* a core of the size of the cache helps nobody */
    *ret_base = base;
    return ERR_OK;
}

MUST_USE static err region_make(size_t bytes, struct os_region *ret_region)
{
    int fd = memfd_create("warp-slabs", MFD_CLOEXEC);
    err mapped;

    if (fd < 0)
        return ERR_SYS(errno);
    mapped = ftruncate(fd, (off_t)bytes) == 0 ? region_map(fd, bytes, &ret_region->base) : ERR_SYS(errno);
    if (!err_is_ok(mapped)) {
        close(fd);
        return mapped;
    }
    ret_region->bytes = bytes;
    ret_region->fd = fd;
    return ERR_OK;
}

err os_region_open(size_t bytes, struct os_region *ret_region)
{
    struct os_region region = {0};

    ENSURE(bytes > 0 && bytes <= SIZE_MAX / 4, INVALID);
    bytes = (bytes + OS_REGION_EXTENT_BYTES - 1) & ~(size_t)(OS_REGION_EXTENT_BYTES - 1);
    ENSURE(os_region_open_one.base == NULL, REFUSED);
    ENSURE(pages_fit(), UNSUPPORTED);
    if (!file_may_be(bytes))
        return ERR_SYS(EFBIG);
    TRY(region_make(bytes, &region));
    os_region_open_one = *ret_region = region;
    return ERR_OK;
}

void os_region_close(struct os_region *region)
{
    if (region->base == NULL)
        return;
    INVARIANT(region->base == os_region_open_one.base);
    os_region_open_one = (struct os_region){0};
    munmap(region->base, region->bytes);
    close(region->fd);
    *region = (struct os_region){0};
}

/* ---- pages ------------------------------------------------------------------------------------------- */

static off_t offset_in(const struct os_region *region, const char *at, size_t bytes)
{
    size_t offset = (size_t)(at - region->base);

    INVARIANT(bytes > 0 && offset < region->bytes && bytes <= region->bytes - offset);
    INVARIANT((offset | bytes) % os_page_bytes() == 0);
    return (off_t)offset;
}

err os_region_take(struct os_region *region, char *at, size_t bytes)
{
    off_t offset = offset_in(region, at, bytes);

    while (fallocate(region->fd, 0, offset, (off_t)bytes) != 0)
        if (errno != EINTR)
            return ERR_SYS(errno); /* the kernel has undone what it took */
    return ERR_OK;
}

void os_region_punch(struct os_region *region, char *at, size_t bytes)
{
    off_t offset = offset_in(region, at, bytes);
    int result;

    do {
        result = fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, (off_t)bytes);
    } while (result != 0 && errno == EINTR);
    INVARIANT(result == 0); /* going on would be overwriting in place */
}

err os_region_collapse(struct os_region *region, char *extent)
{
    (void)offset_in(region, extent, OS_REGION_EXTENT_BYTES);
    if (madvise(extent, OS_REGION_EXTENT_BYTES, MADV_COLLAPSE) != 0)
        return ERR_SYS(errno);
    return ERR_OK;
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static size_t pieces_bytes(const struct iovec *iov, unsigned count)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += iov[i].iov_len;
    return bytes;
}

static ssize_t copy_send(int fd, const struct iovec *iov, unsigned count, bool more)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov,
                             .msg_iovlen = MIN((size_t)count, (size_t)IOV_MAX)};
    ssize_t n;

    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
    } while (n < 0 && errno == EINTR);
    return n;
}

static ssize_t reference_send(int fd, const struct iovec *piece, bool more)
{
    off_t offset = (char *)piece->iov_base - os_region_open_one.base;
    ssize_t n;

    do {
        n = sendfile(fd, os_region_open_one.fd, &offset, piece->iov_len);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSYS))
        return copy_send(fd, piece, 1, more); /* a socket of a kind that takes no references */
    if (n == 0) {
        errno = EIO; /* the region ends before its bytes: never */
        return -1;
    }
    return n;
}

ssize_t region_send(int fd, const struct iovec *iov, unsigned count, bool more)
{
    ssize_t sent = 0;

    for (unsigned at = 0, run; at < count; at += run) {
        ssize_t n;
        for (run = 0; at + run < count && !region_has(&iov[at + run]); run++)
            continue;
        bool more_comes = more || at + MAX(run, 1u) < count;
        if (run > 0) {
            n = copy_send(fd, iov + at, run, more_comes);
        } else {
            run = 1;
            n = reference_send(fd, iov + at, more_comes);
        }
        if (n < 0)
            return sent > 0 ? sent : n;
        sent += n;
        if ((size_t)n < pieces_bytes(iov + at, run))
            break;
    }
    return sent;
}
