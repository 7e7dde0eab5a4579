/* The region without a kernel: plain memory. What is punched reads as zeros, so that a reader of bytes that are gone
 * shows. */
#include "os/region.h"

#include <errno.h>
#include <sys/mman.h>

static bool is_open;

unsigned os_page_bytes(void)
{
    return 4096;
}

err os_region_open(size_t bytes, struct os_region *ret_region)
{
    size_t extent = OS_REGION_EXTENT_BYTES;
    char *all;

    ENSURE(!is_open, REFUSED);
    bytes = (bytes + extent - 1) & ~(extent - 1);
    all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return ERR_SYS(errno);
    is_open = true;
    *ret_region = (struct os_region){.base = all, .bytes = bytes, .fd = -1};
    return ERR_OK;
}

void os_region_close(struct os_region *region)
{
    if (region->base == NULL)
        return;
    munmap(region->base, region->bytes);
    *region = (struct os_region){0};
    is_open = false;
}

static void region_check(const struct os_region *region, const char *at, size_t bytes)
{
    size_t offset = (size_t)(at - region->base);

    INVARIANT(bytes > 0 && offset < region->bytes && bytes <= region->bytes - offset);
    INVARIANT((offset | bytes) % os_page_bytes() == 0);
}

err os_region_take(struct os_region *region, char *at, size_t bytes)
{
    region_check(region, at, bytes);
    return ERR_OK;
}

void os_region_punch(struct os_region *region, char *at, size_t bytes)
{
    region_check(region, at, bytes);
    INVARIANT(madvise(at, bytes, MADV_DONTNEED) == 0);
}

err os_region_collapse(struct os_region *region, char *extent)
{
    region_check(region, extent, OS_REGION_EXTENT_BYTES);
    return ERR_OK;
}
