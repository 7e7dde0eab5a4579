/* region: what it costs to send from memory by copy and by reference, in small pages and in huge ones; and what it costs
 * to fill 2 MiB of either and to give them back.
 *
 *   region [ROUNDS] -> a line for each size: CPU us of a copy, and the ratio of the others to it; then the CPU us of 2 MiB;
 *   each the least of its rounds: what other processes do to the caches only adds
 *
 * One process sends over loopback from core 1, another reads on core 0. */
#include "os/region_own.h"

#include "os/os.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define BYTES_EACH (20u << 20)
#define EXTENTS    5u

enum way { COPY, SMALL_PAGES, HUGE_PAGES, WAYS };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void on_core(int core)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    CPU_SET(core, &cores);
    (void)sched_setaffinity(0, sizeof(cores), &cores);
}

static void reader_run(int fd)
{
    static char buffer[256 * 1024];

    on_core(0);
    while (read(fd, buffer, sizeof(buffer)) > 0)
        continue;
    _exit(0);
}

static int connect_reader(pid_t *ret_reader)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0), to, from;

    if (bind(listener, (struct sockaddr *)&at, len) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &len) != 0)
        die("listen");
    to = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(to, (struct sockaddr *)&at, len) != 0)
        die("connect");
    from = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    *ret_reader = fork();
    if (*ret_reader == 0) {
        close(from);
        reader_run(to);
    }
    close(to);
    close(listener);
    return from;
}

static void send_all(int fd, char *at, size_t bytes, enum way way)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

    while (bytes > 0) {
        struct iovec iov = {at, bytes};
        ssize_t n = way == COPY ? send(fd, at, bytes, MSG_NOSIGNAL) : region_send(fd, &iov, 1, false);
        if (n < 0 && errno != EAGAIN)
            die("send");
        if (n < 0)
            (void)poll(&poll_fd, 1, -1);
        else {
            at += n;
            bytes -= (size_t)n;
        }
    }
}

/* CPU us of one answer of that size. */
static double measure(int fd, char *at, size_t bytes, enum way way)
{
    unsigned answers = MAX(1u, (unsigned)(BYTES_EACH / bytes));
    uint64_t before = os_thread_cpu_ns();

    for (unsigned i = 0; i < answers; i++)
        send_all(fd, at, bytes, way);
    return (double)(os_thread_cpu_ns() - before) / answers / 1000;
}

/* One extent's life: taken, in huge_pages made one page, filled, punched. */
static void life(struct os_region *region, char *at, bool huge_pages, double least[3])
{
    uint64_t begun = os_thread_cpu_ns(), made, filled;

    if (!err_is_ok(os_region_take(region, at, huge_pages ? os_page_bytes() : OS_REGION_EXTENT_BYTES)) ||
        (huge_pages && !err_is_ok(os_region_collapse(region, at))))
        die("extent");
    made = os_thread_cpu_ns();
    memset(at, 'y', OS_REGION_EXTENT_BYTES);
    filled = os_thread_cpu_ns();
    os_region_punch(region, at, OS_REGION_EXTENT_BYTES);
    least[0] = MIN(least[0], (double)(made - begun) / 1000);
    least[1] = MIN(least[1], (double)(filled - made) / 1000);
    least[2] = MIN(least[2], (double)(os_thread_cpu_ns() - filled) / 1000);
}

static void measure_lives(struct os_region *region, unsigned rounds)
{
    printf("\n%10s %10s %12s %12s\n", "2 MiB in", "take us", "fill us", "punch us");
    for (unsigned huge_pages = 0; huge_pages < 2; huge_pages++) {
        double least[3] = {1e9, 1e9, 1e9};
        os_region_punch(region, region->base, OS_REGION_EXTENT_BYTES);
        for (unsigned i = 0; i < rounds; i++)
            life(region, region->base, huge_pages, least);
        printf("%10s %10.0f %12.0f %12.0f\n", huge_pages ? "a huge one" : "small ones", least[0], least[1], least[2]);
    }
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {8192, 16384, 32768, 65536, 131072, 262144, 1048576, 10485760};
    unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 50;
    struct os_region region;
    pid_t reader;
    int fd;

    if (!err_is_ok(os_region_open((size_t)2 * EXTENTS * OS_REGION_EXTENT_BYTES, &region)) ||
        !err_is_ok(os_region_take(&region, region.base, region.bytes)))
        die("region");
    memset(region.base, 'x', region.bytes);
    char *huge = region.base + EXTENTS * OS_REGION_EXTENT_BYTES;
    for (unsigned i = 0; i < EXTENTS; i++)
        if (!err_is_ok(os_region_collapse(&region, huge + i * OS_REGION_EXTENT_BYTES)))
            printf("no huge page\n");
    signal(SIGPIPE, SIG_IGN);
    fd = connect_reader(&reader);
    on_core(1);
    printf("%10s %10s %12s %12s\n", "bytes", "copy us", "small pages", "huge pages");
    for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
        double least[WAYS] = {1e9, 1e9, 1e9};
        for (unsigned i = 0; i < rounds * WAYS; i++) {
            enum way way = (enum way)(i % WAYS);
            double us = measure(fd, way == HUGE_PAGES ? huge : region.base, sizes[s], way);
            least[way] = MIN(least[way], us);
        }
        printf("%10zu %10.1f %12.2f %12.2f\n", sizes[s], least[COPY], least[SMALL_PAGES] / least[COPY],
               least[HUGE_PAGES] / least[COPY]);
    }
    close(fd);
    (void)waitpid(reader, NULL, 0);
    measure_lives(&region, rounds);
    os_region_close(&region);
    return 0;
}
