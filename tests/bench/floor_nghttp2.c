/* floor_nghttp2: the least that a server with nghttp2 and OpenSSL can do. One thread, epoll; one receive for
 * all that came, one send for all that it asks for; answers from memory: no lookup, no store, no log. Names
 * and values are handed to nghttp2 without a copy, bodies go past it.
 *
 *   floor_nghttp2 PORT                   HTTP/2 in the clear, with prior knowledge
 *   floor_nghttp2 PORT CERTIFICATE KEY   TLS 1.3, by ALPN HTTP/2 or HTTP/1.1 */
#include "answer.h"
#include "floor_tls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (64u << 10)
#define RECORD_BYTES (16u << 10)
#define BATCH_BYTES  (256u << 10) /* sent before more of the answers is made */

struct stream {
    struct request request;
    uint64_t sent;
    char etag[48], length[24];
    uint8_t etag_len, length_len;
    struct stream *next_free;
};

struct conn {
    int fd;
    bool blocked, ended;      /* ended: closed when all is out */
    nghttp2_session *session; /* NULL: HTTP/1.1, or not known yet */
    struct tls tls;
    struct bytes rest; /* what the socket did not take */
    size_t head_len;   /* HTTP/1.1 */
    char head[REQUEST_HEAD_MAX];
};

static int epoll;
static bool over_tls;
static char buffer[BUFFER_BYTES], plain_in[RECORD_BYTES];
static struct bytes plain, out; /* of the connection at hand: empty between two */
static struct stream *free_streams;
static nghttp2_session_callbacks *callbacks;
static nghttp2_option *options;

/* ---- HTTP/2 */

static int stream_begin(nghttp2_session *session, const nghttp2_frame *frame, void *conn)
{
    struct stream *stream = free_streams;

    (void)conn;
    if (stream != NULL)
        free_streams = stream->next_free;
    else if ((stream = malloc(sizeof(*stream))) == NULL)
        die("malloc");
    stream->request.size = 0;
    stream->sent = 0;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
}

static int stream_end(nghttp2_session *session, int32_t id, uint32_t error, void *conn)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);

    (void)error;
    (void)conn;
    if (stream != NULL) {
        stream->next_free = free_streams;
        free_streams = stream;
    }
    return 0;
}

static int field_came(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                      size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *conn)
{
    (void)flags;
    (void)conn;
    if (name_len == 5 && memcmp(name, ":path", 5) == 0) {
        struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
        if (!path_read((const char *)value, value_len, &stream->request))
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    return 0;
}

static ssize_t body_next(nghttp2_session *session, int32_t id, uint8_t *into, size_t room, uint32_t *flags,
                         nghttp2_data_source *source, void *conn)
{
    struct stream *stream = source->ptr;
    uint64_t left = stream->request.size - stream->sent;

    (void)session;
    (void)id;
    (void)into;
    (void)conn;
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (left <= room)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)(left < room ? left : room);
}

static int body_send(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                     nghttp2_data_source *source, void *conn)
{
    struct stream *stream = source->ptr;

    (void)session;
    (void)frame; /* padding is not asked for */
    (void)conn;
    bytes_add(&plain, head, 9);
    bytes_add(&plain, pattern_of(stream->request.number) + stream->sent, len);
    stream->sent += len;
    return 0;
}

static size_t digits_write(char *into, uint64_t number, size_t digits_min)
{
    char reversed[24];
    size_t n = 0;

    do {
        reversed[n++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || n < digits_min);
    for (size_t i = 0; i < n; i++)
        into[i] = reversed[n - 1 - i];
    return n;
}

static void values_write(struct stream *stream)
{
    char *at = stream->etag;

    stream->length_len = (uint8_t)digits_write(stream->length, stream->request.size, 1);
    *at++ = '"';
    at += digits_write(at, stream->request.size, 1);
    *at++ = '-';
    at += digits_write(at, stream->request.number, 10);
    *at++ = '"';
    stream->etag_len = (uint8_t)(at - stream->etag);
}

#define NV(name, value, value_len)                                                                  \
    {                                                                                               \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, (value_len), \
            NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE                            \
    }
#define NV_TEXT(name, value) NV(name, value, sizeof(value) - 1)

static int frame_came(nghttp2_session *session, const nghttp2_frame *frame, void *conn)
{
    struct stream *stream;
    nghttp2_data_provider body = {.read_callback = body_next};

    (void)conn;
    if (frame->hd.type != NGHTTP2_HEADERS || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    values_write(stream);
    const nghttp2_nv fields[] = {
        NV_TEXT(":status", "200"),
        NV_TEXT("cache-control", "max-age=3600"),
        NV_TEXT("date", "Thu, 01 Jan 2026 00:00:00 GMT"),
        NV("etag", stream->etag, stream->etag_len),
        NV_TEXT("content-type", "application/octet-stream"),
        NV("content-length", stream->length, stream->length_len),
    };
    body.source.ptr = stream;
    return nghttp2_submit_response(session, frame->hd.stream_id, fields, sizeof(fields) / sizeof(fields[0]),
                                   &body);
}

static void h2_prepare(void)
{
    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0)
        die("nghttp2");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, stream_begin);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, field_came);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_came);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_end);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, body_send);
    nghttp2_option_set_no_closed_streams(options, 1);
}

static void h2_begin(struct conn *conn)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 128}};

    if (nghttp2_session_server_new2(&conn->session, callbacks, conn, options) != 0 ||
        nghttp2_submit_settings(conn->session, NGHTTP2_FLAG_NONE, settings, 1) != 0)
        die("nghttp2 session");
}

/* ---- a connection */

static void conn_close(struct conn *conn)
{
    nghttp2_session_del(conn->session);
    if (conn->tls.ssl != NULL)
        tls_close(&conn->tls);
    close(conn->fd);
    free(conn->rest.data);
    free(conn);
}

/* What is in `plain`, encrypted, into `out`. */
static void seal(struct conn *conn)
{
    if (plain.len > 0)
        tls_write(&conn->tls, plain.data, plain.len);
    plain.len = 0;
}

static void conn_want(struct conn *conn, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = conn};

    if (epoll_ctl(epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
        die("epoll_ctl");
}

/* Sends what was collected; keeps what the socket does not take. False: the connection is gone. */
static bool conn_send(struct conn *conn)
{
    struct bytes *from = over_tls ? &out : &plain;
    ssize_t n = from->len > 0 ? send(conn->fd, from->data, from->len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;

    if (n < 0 && errno != EAGAIN) {
        from->len = 0;
        return false;
    }
    n = n < 0 ? 0 : n;
    if ((size_t)n < from->len) {
        bytes_add(&conn->rest, from->data + n, from->len - (size_t)n);
        conn->blocked = true;
        conn_want(conn, EPOLLOUT);
    }
    from->len = 0;
    return true;
}

/* Makes and sends answers until there are none, or the socket is full. */
static bool conn_answer(struct conn *conn)
{
    ssize_t n = 0;

    do {
        const uint8_t *data;
        while (conn->session != NULL && plain.len < BATCH_BYTES &&
               (n = nghttp2_session_mem_send(conn->session, &data)) > 0)
            bytes_add(&plain, data, (size_t)n);
        if (n < 0)
            return false;
        if (over_tls)
            seal(conn);
        if (!conn_send(conn))
            return false;
    } while (n > 0 && !conn->blocked);
    return !(conn->ended && !conn->blocked) &&
           (conn->session == NULL || nghttp2_session_want_read(conn->session) || conn->blocked);
}

static bool h1_answer(struct conn *conn)
{
    struct request request;

    if (!request_read(conn->head, conn->head_len, PLAIN_HEAD_MAX, &request))
        return false;
    conn->head_len = 0;
    if (request.size <= READY_SIZE_MAX || request.if_none_match) {
        const struct ready *ready = ready_of(&request);
        tls_write(&conn->tls, ready->bytes, ready->len);
    } else { /* the first record with the head in it; OpenSSL cuts the rest */
        struct answer answer;
        size_t first;
        answer_make(&answer, &request,
                    "Cache-Control: max-age=3600\r\nDate: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
        first = RECORD_BYTES - answer.head_len < answer.body_len ? RECORD_BYTES - answer.head_len
                                                                 : answer.body_len;
        bytes_add(&plain, answer.head, answer.head_len);
        bytes_add(&plain, answer.body, first);
        seal(conn);
        if (first < answer.body_len)
            tls_write(&conn->tls, answer.body + first, answer.body_len - first);
    }
    return true;
}

static bool h1_take(struct conn *conn, const char *data, size_t len)
{
    size_t head_len;

    if (len > sizeof(conn->head) - conn->head_len)
        return false;
    memcpy(conn->head + conn->head_len, data, len);
    conn->head_len += len;
    head_len = head_length(conn->head, conn->head_len);
    if (head_len == 0)
        return true;
    return head_len == conn->head_len && h1_answer(conn); /* the generator does not pipeline */
}

static bool take(struct conn *conn, const char *data, size_t len)
{
    if (conn->session == NULL)
        return h1_take(conn, data, len);
    return nghttp2_session_mem_recv(conn->session, (const uint8_t *)data, len) == (ssize_t)len;
}

static bool take_records(struct conn *conn, const char *data, size_t len)
{
    size_t n;

    conn->tls.in = data;
    conn->tls.in_len = len;
    for (;;) {
        bool was_shaken = conn->tls.shaken;
        enum tls_read read = tls_read(&conn->tls, plain_in, sizeof(plain_in), &n);
        if (!was_shaken && conn->tls.shaken && tls_is_h2(&conn->tls))
            h2_begin(conn);
        if (read == TLS_DATA && !take(conn, plain_in, n))
            return false;
        conn->ended = read == TLS_ENDED;
        if (read != TLS_DATA)
            return true;
    }
}

static bool conn_receive(struct conn *conn)
{
    ssize_t n = recv(conn->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    bool good;

    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    good = over_tls ? take_records(conn, buffer, (size_t)n) : take(conn, buffer, (size_t)n);
    if (!good) {
        plain.len = out.len = 0;
        return false;
    }
    return conn_answer(conn);
}

/* The socket has room again. */
static bool conn_go_on(struct conn *conn)
{
    ssize_t n = send(conn->fd, conn->rest.data, conn->rest.len, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN;
    conn->rest.len -= (size_t)n;
    memmove(conn->rest.data, conn->rest.data + n, conn->rest.len);
    if (conn->rest.len > 0)
        return true;
    conn->blocked = false;
    conn_want(conn, EPOLLIN);
    return conn_answer(conn);
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
        if (over_tls)
            tls_open(&conn->tls, &out);
        else
            h2_begin(conn);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll_ctl");
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256], event = {.events = EPOLLIN};
    int listener;

    if (argc != 2 && argc != 4) {
        fprintf(stderr, "usage: floor_nghttp2 PORT [CERTIFICATE KEY]\n");
        return 2;
    }
    over_tls = argc == 4;
    if (over_tls)
        tls_prepare(argv[2], argv[3]);
    raise_files();
    pattern_init(OBJECT_SIZE_MAX);
    h2_prepare();
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
            else if (!(conn->blocked ? conn_go_on(conn) : conn_receive(conn)))
                conn_close(conn);
        }
    }
}
