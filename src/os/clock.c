/* Clock and entropy of the kernel; the simulator has its own. */
#include "os/os.h"

#include <errno.h>
#include <pthread.h>
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

/* Small wants, which are ids of requests, come from a stock of the thread's own: one system call for twenty of them.
 * What was handed out is wiped. A child process begins without. */
#define STOCK_BYTES 512u
static _Thread_local struct {
    unsigned char bytes[STOCK_BYTES];
    size_t left;
} stock;

static void stock_forget(void)
{
    stock.left = 0;
}

__attribute__((constructor)) static void stock_watch_forks(void)
{
    pthread_atfork(NULL, NULL, stock_forget);
}

static void entropy_from_kernel(char *at, size_t size)
{
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        INVARIANT(n > 0); /* without entropy keys would be guessable: better no process at all */
        at += n;
        size -= (size_t)n;
    }
}

void os_entropy(void *ret_bytes, size_t size)
{
    if (size > STOCK_BYTES / 8) {
        entropy_from_kernel(ret_bytes, size);
        return;
    }
    if (stock.left < size) {
        entropy_from_kernel((char *)stock.bytes, STOCK_BYTES);
        stock.left = STOCK_BYTES;
    }
    stock.left -= size;
    memcpy(ret_bytes, stock.bytes + stock.left, size);
    memset(stock.bytes + stock.left, 0, size);
}
