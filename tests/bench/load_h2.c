/* HTTP/2: so many streams at once on each connection, the requests that one receive makes room for in one
 * send.
 *
 * Frames are written and read by hand, so that the generator costs less than a server. A request's field
 * block is ready but for the digits: :authority enters the server's table with the first request of a
 * connection and is an index from then on, :path is a literal without indexing, as browsers and nghttp2 send
 * it. Of an answer's field block the first field alone is looked at: it has to be the index of ":status:
 * 200". The length of a body is known, its bytes are compared; windows are too large to matter for a stream,
 * and the connection's is opened again a megabyte at a time. What no server has a reason to send ends the
 * run: resets, GOAWAY, pushes, padding, trailers. */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES     (128u << 10)
#define FRAME_HEAD_BYTES 9u
#define FRAME_BYTES_MAX  16384u
#define STREAMS_MAX      256
#define IDS              4096u /* of streams under way, told apart by these low bits: one that is taken is skipped */
#define CREDIT_BYTES     (1u << 20)
#define WINDOW_BYTES     0x40000000u
#define REQUEST_BYTES    96u

enum {
    FRAME_DATA = 0,
    FRAME_HEADERS = 1,
    FRAME_RST_STREAM = 3,
    FRAME_SETTINGS = 4,
    FRAME_PUSH_PROMISE = 5,
    FRAME_PING = 6,
    FRAME_GOAWAY = 7,
    FRAME_WINDOW_UPDATE = 8,
    FRAME_CONTINUATION = 9
};
enum {
    FLAG_END_STREAM = 0x1,
    FLAG_ACK = 0x1,
    FLAG_END_HEADERS = 0x4,
    FLAG_PADDED = 0x8,
    FLAG_PRIORITY = 0x20
};

struct stream {
    uint32_t id; /* 0: not under way */
    bool in_body;
    uint64_t number, got, sent_ns;
};

struct conn {
    struct wire wire;
    bool greeted, has_authority, in_fields; /* in_fields: CONTINUATION has to come */
    uint32_t id_next, credit;
    uint32_t frame_left, frame_stream; /* of the frame that is being read */
    uint8_t frame_type, frame_flags;
    size_t held;
    uint8_t *frame;     /* its head, and its payload unless it is DATA: when it comes in pieces */
    uint8_t of_id[IDS]; /* which of `streams`, plus one */
    struct stream streams[STREAMS_MAX];
};

static uint8_t buffer[BUFFER_BYTES];
static uint8_t out[STREAMS_MAX * REQUEST_BYTES + 4096];
static size_t out_len;
static uint8_t block[2][REQUEST_BYTES]; /* [1]: :authority is in the table */
static size_t block_len[2], number_at;

static void put(const void *data, size_t len)
{
    if (len > sizeof(out) - out_len)
        fail("more frames to answer at once than there is room for");
    memcpy(out + out_len, data, len);
    out_len += len;
}

static void put_u32(uint8_t *at, uint32_t value)
{
    value = __builtin_bswap32(value);
    memcpy(at, &value, 4);
}

static uint32_t get_u32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, 4);
    return __builtin_bswap32(value);
}

static void put_frame(size_t len, uint8_t type, uint8_t flags, uint32_t stream, const void *payload)
{
    uint8_t head[FRAME_HEAD_BYTES] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags};

    put_u32(head + 5, stream);
    put(head, sizeof(head));
    put(payload, len);
}

static void put_credit(uint32_t bytes)
{
    uint8_t payload[4];

    put_u32(payload, bytes);
    put_frame(4, FRAME_WINDOW_UPDATE, 0, 0, payload);
}

static void flush(struct conn *conn)
{
    if (conn->credit >= CREDIT_BYTES) {
        put_credit(conn->credit);
        conn->credit = 0;
    }
    if (out_len > 0)
        wire_send(&conn->wire, out, out_len);
    out_len = 0;
}

/* ---- requests (RFC 7541: the static table's indices) */

static void h2_prepare(void)
{
    static const char authority[] = "bench.test";
    char path[64];
    int path_len =
        snprintf(path, sizeof(path), "/%s/%llu/0000000000", opt.kind, (unsigned long long)opt.size);

    if (opt.if_none_match || opt.status != 200 || opt.mode == MODE_DRIP)
        fail("that is asked over HTTP/1.1 only");
    if (opt.streams < 1 || opt.streams > STREAMS_MAX)
        fail("1 to %d streams", STREAMS_MAX);
    for (int i = 0; i < 2; i++) {
        uint8_t *at = block[i];
        *at++ = 0x82;                                  /* :method: GET */
        *at++ = opt.certificate != NULL ? 0x87 : 0x86; /* :scheme: https, http */
        *at++ = 0x04;                                  /* :path, without indexing */
        *at++ = (uint8_t)path_len;
        memcpy(at, path, (size_t)path_len);
        at += path_len;
        number_at = (size_t)(at - block[i]) - 10;
        if (i == 1) {
            *at++ = 0xbe; /* the newest of the dynamic table */
        } else {
            *at++ = 0x41; /* :authority, with indexing */
            *at++ = sizeof(authority) - 1;
            memcpy(at, authority, sizeof(authority) - 1);
            at += sizeof(authority) - 1;
        }
        block_len[i] = (size_t)(at - block[i]);
    }
    wire_prepare("h2");
}

static uint32_t id_free(struct conn *conn)
{
    uint32_t id = conn->id_next;

    while (conn->of_id[id / 2 % IDS] != 0)
        id += 2;
    conn->id_next = id + 2;
    if (id >= 0x7fffff00u)
        fail("no stream ids are left");
    return id;
}

static void ask(struct conn *conn, struct stream *stream)
{
    uint8_t *fields = block[conn->has_authority];

    stream->id = 0;
    if (!object_next(&stream->number))
        return;
    number_write((char *)fields + number_at, stream->number);
    stream->id = id_free(conn);
    stream->in_body = false;
    stream->got = 0;
    stream->sent_ns = run.clock_ns;
    conn->of_id[stream->id / 2 % IDS] = (uint8_t)(stream - conn->streams + 1);
    put_frame(block_len[conn->has_authority], FRAME_HEADERS, FLAG_END_STREAM | FLAG_END_HEADERS, stream->id,
              fields);
    conn->has_authority = true;
}

static void h2_start(void *of)
{
    struct conn *conn = of;

    for (int i = 0; i < opt.streams; i++)
        ask(conn, &conn->streams[i]);
    flush(conn);
}

static void h2_open(void *of)
{
    static const uint8_t settings[] = {0, 2, 0,
                                       0, 0, 0, /* ENABLE_PUSH: 0 */
                                       0, 4, WINDOW_BYTES >> 24,
                                       0, 0, 0}; /* INITIAL_WINDOW_SIZE */
    struct conn *conn = of;

    wire_open(&conn->wire);
    conn->id_next = 1;
    put("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    put_frame(sizeof(settings), FRAME_SETTINGS, 0, 0, settings);
    put_credit(WINDOW_BYTES - 65535);
    flush(conn);
}

/* ---- answers */

static struct stream *stream_of(struct conn *conn)
{
    uint8_t which = conn->of_id[conn->frame_stream / 2 % IDS];
    struct stream *stream = which != 0 ? &conn->streams[which - 1] : NULL;

    if (stream == NULL || stream->id != conn->frame_stream)
        fail("a frame of type %u on stream %u, which is not open", conn->frame_type, conn->frame_stream);
    return stream;
}

static void answered(struct conn *conn, struct stream *stream)
{
    if (stream->got != opt.size)
        fail("object %llu: a body of %llu bytes, not %llu", (unsigned long long)stream->number,
             (unsigned long long)stream->got, (unsigned long long)opt.size);
    conn->of_id[stream->id / 2 % IDS] = 0;
    run.answered++;
    hist_add(&run.latency, run.clock_ns - stream->sent_ns);
    stream->id = 0;
    if (opt.mode == MODE_RUN)
        ask(conn, stream);
}

static void take_data(struct conn *conn, const uint8_t *data, size_t len)
{
    struct stream *stream = stream_of(conn);

    if (conn->frame_flags & FLAG_PADDED)
        fail("padding, which nobody has a reason to send");
    if (!stream->in_body)
        fail("a body before its head");
    if (len > opt.size - stream->got)
        fail("object %llu: a body of more than %llu bytes", (unsigned long long)stream->number,
             (unsigned long long)opt.size);
    if (len > 0)
        piece_check(stream->number, stream->got, (const char *)data, len);
    stream->got += len;
    run.bytes += len;
    conn->credit += (uint32_t)len;
    conn->frame_left -= (uint32_t)len;
    if (conn->frame_left == 0 && (conn->frame_flags & FLAG_END_STREAM))
        answered(conn, stream);
}

static void take_fields(struct conn *conn, const uint8_t *data, size_t len)
{
    struct stream *stream = stream_of(conn);
    size_t at = conn->frame_flags & FLAG_PRIORITY ? 5 : 0;

    if (conn->frame_flags & FLAG_PADDED)
        fail("padding, which nobody has a reason to send");
    if (stream->in_body)
        fail("trailers, which nobody sent");
    while (at < len && (data[at] & 0xe0) == 0x20) { /* a new size of the table (RFC 7541, 6.3) */
        bool more = (data[at++] & 0x1f) == 0x1f;
        while (more && at < len)
            more = (data[at++] & 0x80) != 0;
    }
    if (at >= len || data[at] != 0x88)
        fail("an answer that does not begin with the index of :status 200, but with %02x",
             at < len ? data[at] : 0);
    stream->in_body = true;
    conn->in_fields = (conn->frame_flags & FLAG_END_HEADERS) == 0;
    if (conn->frame_flags & FLAG_END_STREAM)
        answered(conn, stream);
}

static void take_settings(struct conn *conn, const uint8_t *data, size_t len)
{
    conn->greeted = true;
    if (conn->frame_flags & FLAG_ACK)
        return;
    for (; len >= 6; data += 6, len -= 6)
        if (data[0] == 0 && data[1] == 3 && get_u32(data + 2) < (uint32_t)opt.streams)
            fail("the server permits %u streams at once, not %d", get_u32(data + 2), opt.streams);
    put_frame(0, FRAME_SETTINGS, FLAG_ACK, 0, "");
}

/* All but DATA, whole. */
static void take_frame(struct conn *conn, const uint8_t *data, size_t len)
{
    if (conn->in_fields != (conn->frame_type == FRAME_CONTINUATION))
        fail("a frame of type %u where it may not be", conn->frame_type);
    switch (conn->frame_type) {
    case FRAME_HEADERS:
        take_fields(conn, data, len);
        break;
    case FRAME_CONTINUATION:
        conn->in_fields = (conn->frame_flags & FLAG_END_HEADERS) == 0;
        break;
    case FRAME_SETTINGS:
        take_settings(conn, data, len);
        break;
    case FRAME_PING:
        if ((conn->frame_flags & FLAG_ACK) == 0 && len == 8)
            put_frame(8, FRAME_PING, FLAG_ACK, 0, data);
        break;
    case FRAME_RST_STREAM:
        fail("stream %u was reset: error %u", conn->frame_stream, len == 4 ? get_u32(data) : 0);
    case FRAME_GOAWAY:
        fail("GOAWAY: error %u", len >= 8 ? get_u32(data + 4) : 0);
    case FRAME_PUSH_PROMISE:
        fail("a push, which was forbidden");
    default: /* windows, priorities, what is not known */
        break;
    }
}

static void take_head(struct conn *conn, const uint8_t *head)
{
    conn->frame_left = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    conn->frame_type = head[3];
    conn->frame_flags = head[4];
    conn->frame_stream = get_u32(head + 5) & 0x7fffffffu;
    if (!conn->greeted && conn->frame_type != FRAME_SETTINGS)
        fail("no HTTP/2: its first bytes are no SETTINGS");
    if (conn->frame_left > FRAME_BYTES_MAX)
        fail("a frame of %u bytes", conn->frame_left);
    if (conn->frame_type == FRAME_DATA && conn->in_fields)
        fail("DATA within a field block");
}

/* Bytes kept until there are `wanted` of them; how many were taken. */
static size_t keep(struct conn *conn, const uint8_t *data, size_t len, size_t wanted)
{
    size_t n = wanted - conn->held < len ? wanted - conn->held : len;

    if (conn->frame == NULL && (conn->frame = malloc(FRAME_HEAD_BYTES + FRAME_BYTES_MAX)) == NULL)
        fail("out of memory");
    memcpy(conn->frame + conn->held, data, n);
    conn->held += n;
    return n;
}

/* One frame, or what is there of it; returns how much that was. */
static size_t take(struct conn *conn, const uint8_t *data, size_t len)
{
    size_t taken = 0, n;

    if (conn->held < FRAME_HEAD_BYTES) {
        if (conn->held == 0 && len >= FRAME_HEAD_BYTES) {
            take_head(conn, data);
            taken = FRAME_HEAD_BYTES;
            conn->held = FRAME_HEAD_BYTES;
        } else {
            taken = keep(conn, data, len, FRAME_HEAD_BYTES);
            if (conn->held < FRAME_HEAD_BYTES)
                return taken;
            take_head(conn, conn->frame);
        }
    }
    n = len - taken < conn->frame_left ? len - taken : conn->frame_left;
    if (conn->frame_type == FRAME_DATA) {
        bool all = n == conn->frame_left;
        if (n > 0 || all)
            take_data(conn, data + taken, n);
        if (all)
            conn->held = 0;
        return taken + n;
    }
    if (n == conn->frame_left && conn->held == FRAME_HEAD_BYTES) {
        take_frame(conn, data + taken, n);
        conn->held = 0;
        return taken + n;
    }
    n = keep(conn, data + taken, len - taken, FRAME_HEAD_BYTES + conn->frame_left);
    if (conn->held == FRAME_HEAD_BYTES + conn->frame_left) {
        take_frame(conn, conn->frame + FRAME_HEAD_BYTES, conn->frame_left);
        conn->held = 0;
    }
    return taken + n;
}

static void h2_ready(void *of)
{
    struct conn *conn = of;
    ssize_t n;
    size_t len = 0;

    do { /* several records: one send for all that they answer */
        n = wire_recv(&conn->wire, buffer + len, sizeof(buffer) - len);
        if (n > 0)
            len += (size_t)n;
    } while (n > 0 && wire_more(&conn->wire) && len < sizeof(buffer));
    for (size_t at = 0; at < len;)
        at += take(conn, buffer + at, len - at);
    flush(conn);
    if (n == 0)
        fail("closed by the server");
}

const struct protocol protocol_h2 = {
    .conn_size = sizeof(struct conn),
    .prepare = h2_prepare,
    .open = h2_open,
    .start = h2_start,
    .ready = h2_ready,
};
