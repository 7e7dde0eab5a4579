#include "os/os.h"

#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

err os_memory_reserve(size_t size, void **ret_bytes)
{
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (bytes == MAP_FAILED)
        return ERR_SYS(errno);
    madvise(bytes, size, MADV_NOHUGEPAGE); /* page by page, as promised, also where huge ones are always made */
    madvise(bytes, size, MADV_DONTDUMP);
    *ret_bytes = bytes;
    return ERR_OK;
}

void os_memory_release(void *bytes, size_t size)
{
    if (bytes != NULL)
        munmap(bytes, size);
}

/* jemalloc's, where it is linked in. */
int mallctl(const char *name, void *old, size_t *old_size, void *value, size_t value_size) __attribute__((weak));
#define ALL_ARENAS_PURGE "arena.4096.purge" /* MALLCTL_ARENAS_ALL */

void os_memory_trim(void)
{
    if (mallctl != NULL)
        (void)mallctl(ALL_ARENAS_PURGE, NULL, NULL, NULL, 0);
    else
        (void)malloc_trim(0);
}
