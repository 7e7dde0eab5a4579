/* h2_wire: an HTTP/2 client that says frames byte by byte, and reads those that come. */
#ifndef WARP_TESTS_H2_WIRE_H
#define WARP_TESTS_H2_WIRE_H

#include "server_test.h"

#include <nghttp2/nghttp2.h>

#define PREFACE     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define END_STREAM  NGHTTP2_FLAG_END_STREAM
#define END_HEADERS NGHTTP2_FLAG_END_HEADERS

struct h2_client {
    struct wire *wire;
    nghttp2_hd_inflater *inflater;
    char head[16384]; /* the last one: "name: value\n" lines */
};

struct h2_frame {
    uint32_t len, id;
    uint8_t type, flags;
    const uint8_t *payload; /* valid until the next one */
};

static inline void put_u32(uint8_t *at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void h2_frame_head(struct h2_client *c, uint8_t type, uint8_t flags, uint32_t id, size_t len)
{
    uint8_t head[9] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags};

    put_u32(head + 5, id);
    wire_say_bytes(c->wire, head, 9);
}

static inline void h2_say(struct h2_client *c, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
    h2_frame_head(c, type, flags, id, len);
    if (len > 0)
        wire_say_bytes(c->wire, payload, len);
}

/* The same as one piece: nothing can come between. */
static inline size_t h2_write(uint8_t *at, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t len)
{
    const uint8_t head[5] = {(uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags};

    memcpy(at, head, 5);
    put_u32(at + 5, id);
    if (len > 0)
        memcpy(at + 9, payload, len);
    return 9 + len;
}

static inline void h2_say_u32(struct h2_client *c, uint8_t type, uint32_t id, uint32_t value)
{
    uint8_t payload[4];

    put_u32(payload, value);
    h2_say(c, type, 0, id, payload, 4);
}

static inline void h2_say_reset(struct h2_client *c, uint32_t id, uint32_t code)
{
    h2_say_u32(c, NGHTTP2_RST_STREAM, id, code);
}

static inline void h2_say_window(struct h2_client *c, uint32_t id, uint32_t n)
{
    h2_say_u32(c, NGHTTP2_WINDOW_UPDATE, id, n);
}

static inline void h2_say_setting(struct h2_client *c, uint16_t id, uint32_t value)
{
    uint8_t payload[6] = {(uint8_t)(id >> 8), (uint8_t)id};

    put_u32(payload + 2, value);
    h2_say(c, NGHTTP2_SETTINGS, 0, 0, payload, 6);
}

static inline uint8_t *hpack_length(uint8_t *at, size_t len)
{
    if (len < 127) {
        *at++ = (uint8_t)len;
        return at;
    }
    *at++ = 127;
    for (len -= 127; len >= 128; len >>= 7)
        *at++ = (uint8_t)(len | 128);
    *at++ = (uint8_t)len;
    return at;
}

/* Literals without indexing, of "name\tvalue\n" lines. */
static inline size_t hpack_write(uint8_t *block, const char *lines)
{
    uint8_t *at = block;

    for (const char *line = lines; *line != 0;) {
        const char *tab = strchr(line, '\t'), *end = strchr(line, '\n');
        size_t name = (size_t)(tab - line), value = (size_t)(end - tab) - 1;
        *at++ = 0;
        at = hpack_length(at, name);
        memcpy(at, line, name);
        at = hpack_length(at + name, value);
        memcpy(at, tab + 1, value);
        at += value;
        line = end + 1;
    }
    return (size_t)(at - block);
}

static inline void h2_say_head(struct h2_client *c, uint32_t id, uint8_t flags, const char *lines)
{
    uint8_t block[16384];

    h2_say(c, NGHTTP2_HEADERS, flags | END_HEADERS, id, block, hpack_write(block, lines));
}

#define GET_LINES(path)  ":method\tGET\n:scheme\thttp\n:authority\texample.com\n:path\t" path "\n"
#define POST_LINES(path) ":method\tPOST\n:scheme\thttp\n:authority\texample.com\n:path\t" path "\n"

static inline void h2_say_data(struct h2_client *c, uint32_t id, uint8_t flags, const char *text)
{
    h2_say(c, NGHTTP2_DATA, flags, id, text, strlen(text));
}

/* ---- what comes ------------------------------------------------------------------------------------------------ */

static inline struct h2_frame h2_next(struct h2_client *c)
{
    const uint8_t *head = (const uint8_t *)wire_expect_any(c->wire, 9);
    struct h2_frame frame = {(uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2], get_u32(head + 5), head[3], head[4], NULL};

    frame.payload = (const uint8_t *)(frame.len > 0 ? wire_expect_any(c->wire, frame.len) : "");
    return frame;
}

/* The next one that is not housekeeping of the connection. */
static inline struct h2_frame h2_next_of(struct h2_client *c, uint8_t type)
{
    for (;;) {
        struct h2_frame frame = h2_next(c);
        bool is_house = frame.type == NGHTTP2_SETTINGS || frame.type == NGHTTP2_WINDOW_UPDATE || frame.type == NGHTTP2_PING;
        if (frame.type == type)
            return frame;
        if (!is_house)
            fail_msg("frame of type %u on stream %u, not %u", frame.type, frame.id, type);
    }
}

static inline void h2_read_head(struct h2_client *c, const struct h2_frame *frame)
{
    const uint8_t *at = frame->payload, *end = at + frame->len;
    size_t used = 0;

    c->head[0] = 0;
    for (;;) {
        nghttp2_nv nv;
        int flags = 0;
        ssize_t n = nghttp2_hd_inflate_hd2(c->inflater, &nv, &flags, at, (size_t)(end - at), 1);
        assert_true(n >= 0);
        at += n;
        if (flags & NGHTTP2_HD_INFLATE_EMIT)
            used += (size_t)snprintf(c->head + used, sizeof(c->head) - used, "%.*s: %.*s\n", (int)nv.namelen, nv.name,
                                     (int)nv.valuelen, nv.value);
        assert_true(used < sizeof(c->head));
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
    }
    nghttp2_hd_inflate_end_headers(c->inflater);
}

static inline const char *h2_expect_head(struct h2_client *c, uint32_t id, bool end_stream)
{
    struct h2_frame frame = h2_next_of(c, NGHTTP2_HEADERS);

    assert_int_equal(frame.id, id);
    assert_int_equal((frame.flags & END_STREAM) != 0, end_stream);
    assert_true(frame.flags & END_HEADERS);
    h2_read_head(c, &frame);
    return c->head;
}

static inline void h2_expect_status(struct h2_client *c, uint32_t id, unsigned status, bool end_stream)
{
    char line[16];

    snprintf(line, sizeof(line), ":status: %u", status);
    h2_expect_head(c, id, end_stream);
    if (strncmp(c->head, line, strlen(line)) != 0)
        fail_msg("not %u: %s", status, c->head);
}

/* One frame. */
static inline void h2_expect_data(struct h2_client *c, uint32_t id, const char *text, bool end_stream)
{
    struct h2_frame frame = h2_next_of(c, NGHTTP2_DATA);

    assert_int_equal(frame.id, id);
    assert_int_equal((frame.flags & END_STREAM) != 0, end_stream);
    assert_int_equal(frame.len, strlen(text));
    assert_memory_equal(frame.payload, text, frame.len);
}

static inline void h2_expect_reset(struct h2_client *c, uint32_t id, uint32_t code)
{
    struct h2_frame frame = h2_next_of(c, NGHTTP2_RST_STREAM);

    assert_int_equal(frame.id, id);
    assert_int_equal(get_u32(frame.payload), code);
}

static inline void h2_expect_goaway(struct h2_client *c, uint32_t code)
{
    struct h2_frame frame = h2_next_of(c, NGHTTP2_GOAWAY);

    assert_int_equal(get_u32(frame.payload + 4), code);
}

/* A GOAWAY, whatever comes before it, and the end. */
static inline void h2_expect_cut(struct h2_client *c, uint32_t code)
{
    struct h2_frame frame;

    do
        frame = h2_next(c);
    while (frame.type != NGHTTP2_GOAWAY);
    assert_int_equal(get_u32(frame.payload + 4), code);
    wire_expect_end(c->wire);
}

/* ---- from the beginning ------------------------------------------------------------------------------------------- */

static inline void h2_connect(struct h2_client *c)
{
    *c = (struct h2_client){.wire = wire_connect(HERE)};
    assert_int_equal(nghttp2_hd_inflate_new(&c->inflater), 0);
    wire_say(c->wire, PREFACE);
}

/* Both have greeted. */
static inline void h2_open(struct h2_client *c)
{
    h2_connect(c);
    h2_say(c, NGHTTP2_SETTINGS, 0, 0, NULL, 0);
    h2_next_of(c, NGHTTP2_SETTINGS);
    h2_say(c, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, NULL, 0);
}

static inline void h2_done(struct h2_client *c)
{
    nghttp2_hd_inflate_del(c->inflater);
    c->inflater = NULL;
}

#endif
