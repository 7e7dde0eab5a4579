/* origin: what every cache of the benchmark stands before. One thread, cheap, counts what it is asked.
 *
 *   /size/BYTES/K     fresh for an hour
 *   /tag/BYTES/K      the same, with the tag "many"
 *   /reval/BYTES/K    stored, but never fresh; 304 for If-None-Match
 *   /drip/BYTES/K     as /size, but in DRIP_STEPS pieces over about a second
 *   /control/0/0      {"requests": N, "not_modified": N}; not counted itself
 *
 *   origin PORT */
#include "answer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DRIP_STEPS   20u
#define DRIP_STEP_NS 50000000u

struct conn {
    int fd;
    bool sending, dripping;
    unsigned drip_step;
    uint64_t drip_at_ns;
    struct conn *next_drip;
    size_t held;
    char head[REQUEST_HEAD_MAX];
    struct answer answer;
};

static int epoll;
static struct conn *drips;
static uint64_t requests, not_modified;

static void conn_close(struct conn *conn)
{
    for (struct conn **at = &drips; *at != NULL; at = &(*at)->next_drip) {
        if (*at == conn) {
            *at = conn->next_drip;
            break;
        }
    }
    close(conn->fd);
    free(conn);
}

static const char *date_field(void)
{
    static char field[64];
    static time_t made_for;
    time_t now = time(NULL);

    if (now != made_for) {
        struct tm tm;
        gmtime_r(&now, &tm);
        strftime(field, sizeof(field), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        made_for = now;
    }
    return field;
}

static void answer_control(struct answer *answer)
{
    char body[96];
    int body_len = snprintf(body, sizeof(body), "{\"requests\": %llu, \"not_modified\": %llu}",
                            (unsigned long long)requests, (unsigned long long)not_modified);

    *answer = (struct answer){0};
    answer->head_len = (size_t)snprintf(
        answer->head, sizeof(answer->head),
        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s", body_len, body);
}

static void answer_to(struct answer *answer, const struct request *request)
{
    char fields[256];
    /* nginx takes no max-age=0 answer into its cache, but one that its own field says expired long ago; it
     * has to come before Cache-Control. Others do not know the field. */
    const char *fresh = strcmp(request->kind, "reval") == 0
                            ? "X-Accel-Expires: @1\r\nCache-Control: max-age=0\r\n"
                            : "Cache-Control: max-age=3600\r\n";

    const char *tag = strcmp(request->kind, "tag") == 0 ? "Surrogate-Key: many\r\n" : "";

    snprintf(fields, sizeof(fields), "%s%s%s", date_field(), fresh, tag);
    answer_make(answer, request, fields);
}

static bool conn_send(struct conn *conn)
{
    uint64_t until = conn->dripping ? conn->answer.body_len * (conn->drip_step + 1) / DRIP_STEPS : UINT64_MAX;
    enum sending sending = answer_send(&conn->answer, conn->fd, until);
    bool blocked = sending == BLOCKED;

    if (sending == GONE)
        return false;
    if (blocked != conn->sending) {
        struct epoll_event event = {.events = blocked ? EPOLLOUT : EPOLLIN, .data.ptr = conn};
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
            die("epoll_ctl");
    }
    conn->sending = blocked;
    return true;
}

static bool conn_answer(struct conn *conn, size_t head_len)
{
    struct request request;

    if (!request_read(conn->head, head_len, 0, &request))
        return false;
    if (strcmp(request.kind, "control") == 0) {
        answer_control(&conn->answer);
        return conn_send(conn);
    }
    requests++;
    not_modified += request.if_none_match;
    answer_to(&conn->answer, &request);
    if (strcmp(request.kind, "drip") == 0 && !request.if_none_match) {
        conn->dripping = true;
        conn->drip_step = 0;
        conn->drip_at_ns = now_ns() + DRIP_STEP_NS;
        conn->next_drip = drips;
        drips = conn;
    }
    return conn_send(conn);
}

static bool conn_receive(struct conn *conn)
{
    ssize_t n = recv(conn->fd, conn->head + conn->held, sizeof(conn->head) - conn->held, MSG_DONTWAIT);
    size_t head_len;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    conn->held += (size_t)n;
    head_len = head_length(conn->head, conn->held);
    if (head_len == 0)
        return conn->held < sizeof(conn->head);
    if (head_len != conn->held || conn->dripping) /* no cache pipelines to its origin */
        return false;
    conn->held = 0;
    return conn_answer(conn, head_len);
}

static void drip_all(void)
{
    uint64_t now = now_ns();
    struct conn *next;

    for (struct conn *conn = drips; conn != NULL; conn = next) {
        next = conn->next_drip;
        if (now < conn->drip_at_ns)
            continue;
        conn->drip_at_ns += DRIP_STEP_NS;
        conn->drip_step++;
        if (!conn_send(conn)) {
            conn_close(conn);
        } else if (conn->drip_step + 1 == DRIP_STEPS) {
            struct conn **at = &drips;
            while (*at != conn)
                at = &(*at)->next_drip;
            *at = conn->next_drip;
            conn->dripping = false; /* what is blocked goes on by EPOLLOUT */
        }
    }
}

static void accept_all(int listener)
{
    int fd, on = 1;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *conn = calloc(1, sizeof(*conn));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        if (conn == NULL)
            die("calloc");
        conn->fd = fd;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll_ctl");
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256], event = {.events = EPOLLIN};
    int listener;

    if (argc != 2) {
        fprintf(stderr, "usage: origin PORT\n");
        return 2;
    }
    raise_files();
    pattern_init(OBJECT_SIZE_MAX);
    listener = listen_on(argv[1]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(epoll, events, 256, drips != NULL ? 5 : -1);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if (conn == NULL)
                accept_all(listener);
            else if (!(conn->sending ? conn_send(conn) : conn_receive(conn)))
                conn_close(conn);
        }
        drip_all();
    }
}
