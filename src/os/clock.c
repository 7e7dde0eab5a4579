/* Clock and entropy of the kernel; the simulator has its own. */
#include "os/os.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static uint64_t clock_read_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t os_clock_ns(void)
{
    uint64_t now = clock_read_ns(CLOCK_MONOTONIC);
    return now != 0 ? now : 1;
}

int64_t os_wall_ms(void)
{
    return (int64_t)(clock_read_ns(CLOCK_REALTIME) / 1000000u);
}

uint64_t os_thread_cpu_ns(void)
{
    return clock_read_ns(CLOCK_THREAD_CPUTIME_ID);
}

void os_entropy(void *ret_bytes, size_t size)
{
    char *at = ret_bytes;

    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        INVARIANT(n > 0); /* without entropy keys would be guessable: better no process at all */
        at += n;
        size -= (size_t)n;
    }
}
