/* floor_epoll: the least a server with epoll can do. Reads a head up to its blank line, sends an answer that
 * lies ready in memory: one receive and one send for a small one. What a cache costs above it is what it
 * does.
 *
 *   floor_epoll PORT */
#include "answer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn {
    int fd;
    bool sending; /* `answer` is not out yet */
    size_t held;
    char head[REQUEST_HEAD_MAX];
    struct answer answer;
};

static int epoll;

static void conn_close(struct conn *conn)
{
    close(conn->fd);
    free(conn);
}

static void conn_want(struct conn *conn, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};

    if (epoll_ctl(epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
        die("epoll_ctl");
}

/* False: the connection is gone. */
static bool conn_send(struct conn *conn)
{
    enum sending sending = answer_send(&conn->answer, conn->fd, UINT64_MAX);
    bool blocked = sending == BLOCKED;

    if (sending == GONE)
        return false;
    if (blocked != conn->sending)
        conn_want(conn, blocked ? EPOLLOUT : EPOLLIN);
    conn->sending = blocked;
    return true;
}

static bool conn_answer(struct conn *conn, size_t head_len)
{
    struct request request;

    if (!request_read(conn->head, head_len, PLAIN_HEAD_MAX, &request))
        return false;
    if (request.size <= READY_SIZE_MAX || request.if_none_match) {
        const struct ready *ready = ready_of(&request);
        return send(conn->fd, ready->bytes, ready->len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)ready->len;
    }
    answer_make(&conn->answer, &request, "Cache-Control: max-age=3600\r\n");
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
    if (head_len != conn->held) /* the generator does not pipeline */
        return false;
    conn->held = 0;
    return conn_answer(conn, head_len);
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct conn *conn = malloc(sizeof(*conn));
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        if (conn == NULL)
            die("malloc");
        conn->fd = fd;
        conn->held = 0;
        conn->sending = false;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll_ctl");
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256], event = {.events = EPOLLIN};
    int listener;

    if (argc != 2) {
        fprintf(stderr, "usage: floor_epoll PORT\n");
        return 2;
    }
    raise_files();
    pattern_init(OBJECT_SIZE_MAX);
    listener = listen_on(argv[1]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll");
    for (;;) {
        int n = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < n; i++) {
            struct conn *conn = events[i].data.ptr;
            if (conn == NULL)
                accept_all(listener);
            else if (!(conn->sending ? conn_send(conn) : conn_receive(conn)))
                conn_close(conn);
        }
    }
}
