/* load: a load generator that costs less than what it measures. Closed loop: each connection sends its request,
 * reads the whole answer (Content-Length), sends again. Checks status and length of every answer.
 *
 *   load HOST PORT PATH CONNECTIONS REQUESTS -> one line: requests bytes seconds p50_us p99_us */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES (1u << 20)
#define CONNS_MAX    16384

struct conn {
    int fd;
    uint64_t left;   /* of the body under way */
    bool in_body;
    uint64_t sent_ns;
    size_t held;     /* of a head that came in pieces */
    char head[4096];
};

static struct conn conns[CONNS_MAX];
static char buffer[BUFFER_BYTES], request[4096];
static size_t request_len;
static uint64_t started, done, wanted, bytes;
static uint32_t *times;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void conn_send(struct conn *conn)
{
    if (started >= wanted)
        return;
    started++;
    conn->sent_ns = now_ns();
    if (send(conn->fd, request, request_len, MSG_NOSIGNAL) != (ssize_t)request_len)
        die("send");
}

static void conn_answered(struct conn *conn)
{
    times[done++] = (uint32_t)((now_ns() - conn->sent_ns) / 1000);
    conn->in_body = false;
    conn->held = 0;
    conn_send(conn);
}

/* The head is complete in conn->head[0..held): how long the body is. */
static void conn_head(struct conn *conn)
{
    char *length;

    conn->head[conn->held] = '\0';
    if (strncmp(conn->head, "HTTP/1.1 200", 12) != 0 && strncmp(conn->head, "HTTP/1.1 304", 12) != 0)
        die(conn->head);
    length = strcasestr(conn->head, "\r\ncontent-length:");
    conn->left = length != NULL && strncmp(conn->head, "HTTP/1.1 304", 12) != 0 ? strtoull(length + 17, NULL, 10) : 0;
    conn->in_body = true;
}

static void conn_data(struct conn *conn, const char *data, size_t len)
{
    while (len > 0) {
        if (!conn->in_body) {
            size_t room = sizeof(conn->head) - 1 - conn->held, n = len < room ? len : room, before = conn->held;
            char *end;

            memcpy(conn->head + conn->held, data, n);
            conn->held += n;
            conn->head[conn->held] = '\0';
            end = strstr(conn->head, "\r\n\r\n");
            if (end == NULL) {
                if (n == room)
                    die("head too large");
                return;
            }
            n = (size_t)(end + 4 - conn->head) - before;
            conn->held = (size_t)(end + 4 - conn->head);
            data += n;
            len -= n;
            conn_head(conn);
        }
        uint64_t n = len < conn->left ? len : conn->left;
        conn->left -= n;
        bytes += n;
        data += n;
        len -= n;
        if (conn->left == 0)
            conn_answered(conn);
        else
            return;
    }
}

static void conn_ready(struct conn *conn)
{
    ssize_t n = recv(conn->fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    if (n == 0)
        die("closed by the server");
    if (n < 0) {
        if (errno == EAGAIN)
            return;
        die("recv");
    }
    conn_data(conn, buffer, (size_t)n);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct epoll_event events[256];
    uint64_t begun;
    int count, epoll = epoll_create1(0), on = 1;

    if (argc != 6) {
        fprintf(stderr, "usage: load HOST PORT PATH CONNECTIONS REQUESTS\n");
        return 2;
    }
    inet_pton(AF_INET, argv[1], &address.sin_addr);
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    request_len = (size_t)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench.test\r\n\r\n", argv[3]);
    count = atoi(argv[4]);
    wanted = strtoull(argv[5], NULL, 10);
    times = calloc(wanted, sizeof(*times));
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[i]};
        conns[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(conns[i].fd, (struct sockaddr *)&address, sizeof(address)) != 0)
            die("connect");
        setsockopt(conns[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &event);
    }
    begun = now_ns();
    for (int i = 0; i < count; i++)
        conn_send(&conns[i]);
    while (done < wanted) {
        int n = epoll_wait(epoll, events, 256, 10000);
        if (n == 0)
            die("no answer in 10 s");
        for (int i = 0; i < n; i++)
            conn_ready(events[i].data.ptr);
    }
    double seconds = (double)(now_ns() - begun) / 1e9;
    qsort(times, done, sizeof(*times), by_value);
    printf("%llu %llu %.6f %u %u\n", (unsigned long long)done, (unsigned long long)bytes, seconds, times[done / 2],
           times[done - 1 - done / 100]);
    return 0;
}
