#include "os/os.h"

#include <errno.h>
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
