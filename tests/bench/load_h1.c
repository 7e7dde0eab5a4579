/* HTTP/1.1: a request, its whole answer, the next request.
 *
 * While measuring in the clear, long bodies are not copied out: the kernel drops them (MSG_TRUNC) between
 * pieces that are compared with what belongs at that place, so that a lost or doubled byte shows. */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BUFFER_BYTES  (64u << 10)
#define DROP_BYTES    (1u << 20)
#define DROP_LEFT_MIN (96u << 10) /* below this much of a body, its rest is read */

struct conn {
    struct wire wire;
    bool in_body, waiting;
    uint64_t number; /* of the object asked for */
    uint64_t got;    /* of its body */
    uint64_t sent_ns, first_ns;
    size_t held; /* of a head that comes in pieces */
    char head[4096];
};

static char buffer[BUFFER_BYTES];
static char request[512];
static size_t request_len, number_at[2];

static void h1_prepare(void)
{
    int len = snprintf(request, sizeof(request), "GET /%s/%llu/0000000000 HTTP/1.1\r\nHost: bench.test\r\n",
                       opt.kind, (unsigned long long)opt.size);

    number_at[0] = (size_t)(strstr(request, "/0000000000") + 1 - request);
    if (opt.if_none_match) {
        len += snprintf(request + len, sizeof(request) - (size_t)len,
                        "User-Agent: load of the benchmark\r\nIf-None-Match: \"%llu-",
                        (unsigned long long)opt.size);
        number_at[1] = (size_t)len;
        len += snprintf(request + len, sizeof(request) - (size_t)len, "0000000000\"\r\n");
    }
    len += snprintf(request + len, sizeof(request) - (size_t)len, "\r\n");
    request_len = (size_t)len;
    if (!opt.if_none_match && request_len > PLAIN_HEAD_MAX)
        fail("plain request head too long for the floors");
    wire_prepare("http/1.1");
}

static void h1_start(void *of)
{
    struct conn *conn = of;

    conn->waiting = object_next(&conn->number);
    if (!conn->waiting)
        return;
    if (run.issued == 1 || opt.pick != PICK_ONE)
        for (int i = 0; i < 2 && number_at[i] != 0; i++)
            number_write(request + number_at[i], conn->number);
    conn->in_body = false;
    conn->held = 0;
    conn->got = 0;
    conn->sent_ns = run.clock_ns;
    wire_send(&conn->wire, request, request_len);
}

static void answered(struct conn *conn)
{
    run.answered++;
    hist_add(&run.latency, run.clock_ns - conn->sent_ns);
    if (opt.mode == MODE_DRIP)
        hist_add(&run.firsts, conn->first_ns - conn->sent_ns);
    if (opt.mode == MODE_RUN)
        h1_start(conn);
    else
        conn->waiting = false;
}

/* A field's value in a head whose lines end in CR LF, or NULL. */
static const char *field(const char *head, const char *name, size_t name_len)
{
    for (const char *line = strchr(head, '\n'); line != NULL; line = strchr(line, '\n')) {
        line++;
        if ((line[0] | 0x20) == name[0] && strncasecmp(line, name, name_len) == 0 && line[name_len] == ':')
            return line + name_len + 1;
    }
    return NULL;
}

static void head_check(const char *head)
{
    const char *length;
    int status = strncmp(head, "HTTP/1.1 ", 9) == 0 ? atoi(head + 9) : 0;

    if (status != opt.status)
        fail("status %d, not %d", status, opt.status);
    if (status == 304)
        return;
    length = field(head, "content-length", 14);
    if (length == NULL)
        fail("an answer without Content-Length");
    if (strtoull(length, NULL, 10) != opt.size)
        fail("Content-Length %llu, not %llu", strtoull(length, NULL, 10), (unsigned long long)opt.size);
}

/* Takes what belongs to the head; returns how much that was. */
static size_t take_head(struct conn *conn, const char *data, size_t len)
{
    size_t room = sizeof(conn->head) - 1 - conn->held, n = len < room ? len : room, before = conn->held;
    const char *end;

    memcpy(conn->head + conn->held, data, n);
    conn->held += n;
    conn->head[conn->held] = '\0';
    end = strstr(conn->head, "\r\n\r\n");
    if (end == NULL) {
        if (n == room)
            fail("an answer's head of more than %zu bytes", sizeof(conn->head));
        return n;
    }
    conn->held = (size_t)(end + 4 - conn->head);
    conn->head[conn->held] = '\0';
    head_check(conn->head);
    conn->in_body = true;
    return conn->held - before;
}

static uint64_t body_size(void)
{
    return opt.status == 304 ? 0 : opt.size;
}

static void take(struct conn *conn, const char *data, size_t len)
{
    if (!conn->waiting)
        fail("bytes that nobody asked for");
    if (!conn->in_body) {
        size_t n = take_head(conn, data, len);
        data += n;
        len -= n;
        if (!conn->in_body)
            return;
    }
    if (len > body_size() - conn->got)
        fail("more bytes than Content-Length");
    if (len > 0) {
        if (conn->got == 0)
            conn->first_ns = run.clock_ns;
        piece_check(conn->number, conn->got, data, len);
        conn->got += len;
        run.bytes += len;
    }
    if (conn->got == body_size())
        answered(conn);
}

static void drop_middle(struct conn *conn)
{
    uint64_t most = body_size() - conn->got - BUFFER_BYTES;
    ssize_t n = recv(conn->wire.fd, NULL, most < DROP_BYTES ? most : DROP_BYTES, MSG_DONTWAIT | MSG_TRUNC);

    if (n > 0) { /* what is wrong shows in the next one that is read */
        conn->got += (uint64_t)n;
        run.bytes += (uint64_t)n;
    }
}

static void h1_ready(void *of)
{
    struct conn *conn = of;
    ssize_t n;

    do {
        n = wire_recv(&conn->wire, buffer, sizeof(buffer));
        if (n > 0)
            take(conn, buffer, (size_t)n);
        else if (n == 0)
            fail("closed by the server after %llu of %llu bytes", (unsigned long long)conn->got,
                 (unsigned long long)opt.size);
    } while (n > 0 && wire_more(&conn->wire));
    if (n == (ssize_t)sizeof(buffer) && conn->wire.ssl == NULL && !run.warming && conn->waiting &&
        conn->in_body && opt.mode == MODE_RUN && body_size() - conn->got >= DROP_LEFT_MIN)
        drop_middle(conn);
}

static void h1_open(void *conn)
{
    wire_open(conn);
}

const struct protocol protocol_h1 = {
    .conn_size = sizeof(struct conn),
    .prepare = h1_prepare,
    .open = h1_open,
    .start = h1_start,
    .ready = h1_ready,
};
