/* What an HTTP/2 origin must not do, as raw frames between nghttp2's. Field sections are literals that are not indexed, so
 * that both ends' tables stay in step. */
#include "tests/sim/cache_trunk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLENTY 3000u /* of any control frame: more than anybody has to stand */

/* ---- frames -------------------------------------------------------------------------------------------------------- */

/* Behind all that nghttp2 has to say. */
static void trunk_get_ready(struct trunk *trunk)
{
    trunk->is_muted = false;
    trunk_flush(trunk);
}

static void frame(struct trunk *trunk, uint8_t type, uint8_t flags, uint32_t id, const void *payload, size_t size)
{
    uint8_t head[9] = {(uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type, flags,
                       (uint8_t)(id >> 24),   (uint8_t)(id >> 16),  (uint8_t)(id >> 8), (uint8_t)id};

    sim_send(&trunk->peer, head, sizeof(head));
    sim_send(&trunk->peer, payload, size);
}

static void frame_number(struct trunk *trunk, uint8_t type, uint32_t id, uint32_t number)
{
    uint8_t payload[4] = {(uint8_t)(number >> 24), (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    frame(trunk, type, 0, id, payload, sizeof(payload));
}

static void frame_setting(struct trunk *trunk, uint16_t name, uint32_t value)
{
    uint8_t payload[6] = {(uint8_t)(name >> 8), (uint8_t)name, (uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                          (uint8_t)value};
    frame(trunk, NGHTTP2_SETTINGS, 0, 0, payload, sizeof(payload));
}

/* "name=value" lines as literals without indexing (RFC 7541 6.2.2). Returns the size. */
static size_t literals(const char *lines, uint8_t *into)
{
    size_t at = 0;

    while (*lines != '\0') {
        size_t line = strcspn(lines, "\n"), name = strcspn(lines, "=");
        INVARIANT(name < line && line - name - 1 < 127 && name < 127);
        into[at++] = 0;
        into[at++] = (uint8_t)name;
        memcpy(into + at, lines, name);
        at += name;
        into[at++] = (uint8_t)(line - name - 1);
        memcpy(into + at, lines + name + 1, line - name - 1);
        at += line - name - 1;
        lines += line + (lines[line] == '\n');
    }
    return at;
}

static void head(struct trunk *trunk, uint32_t id, const char *lines, uint8_t flags)
{
    uint8_t bytes[600];
    frame(trunk, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | flags, id, bytes, literals(lines, bytes));
}

/* ---- one message --------------------------------------------------------------------------------------------------- */

/* RFC 9113 8.1.1, 8.2, 8.3.2, 8.6 */
static const char *const bad_heads[] = {
    ":status=20", ":status=abc", ":status=9999", ":status=2 0", ":status=", "x=1", ":status=200\n:status=204", "x=1\n:status=200",
    ":status=200\n:path=/x", ":status=200\n:what=1", ":status=200\nX-Upper=1", ":status=200\nconnection=close",
    ":status=200\ntransfer-encoding=chunked", ":status=200\nkeep-alive=1", ":status=200\nupgrade=h2c",
    ":status=200\nproxy-connection=close", ":status=200\ncontent-length=5\ncontent-length=6", ":status=200\ncontent-length=-1",
    ":status=200\ncontent-length=5x", ":status=200\ncontent-length=99999999999999999999", ":status=200\nx=a\rb",
    ":status=200\nbad name=1", ":status=200\n=nameless", ":status=101", ":status=101\nupgrade=websocket", ":status=099",
    ":status=200\nx:y=1", ":status=600",
};

static void junk_head(struct branch *branch)
{
    const char *lines = bad_heads[sim_random(ARRAY_LEN(bad_heads))];
    bool ends = chance(50);

    counts.origin_h2_malformed++;
    run_trace("origin: a bad head: %s%s", lines, ends ? ", END_STREAM" : "");
    head(branch->trunk, (uint32_t)branch->id, lines, ends ? NGHTTP2_FLAG_END_STREAM : 0);
    if (ends || chance(50))
        branch_reset(branch, NGHTTP2_NO_ERROR); /* nghttp2 did not see it end */
    else
        branch_is_harmed(branch);
}

/* Well formed, each part of it. */
static void junk_order(struct branch *branch)
{
    struct trunk *trunk = branch->trunk;
    uint32_t id = (uint32_t)branch->id;

    counts.origin_h2_malformed++;
    switch (sim_random(strcmp(branch->method, "HEAD") == 0 ? 3 : 4)) {
    case 0:
        frame(trunk, NGHTTP2_DATA, 0, id, "hello", 5);
        break;
    case 1:
        frame(trunk, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, id, NULL, 0);
        break;
    case 2: /* an answer that is none */
        head(trunk, id, ":status=103\nlink=</x>", NGHTTP2_FLAG_END_STREAM);
        break;
    default: /* less than was said */
        head(trunk, id, ":status=200\ncontent-length=5", NGHTTP2_FLAG_END_STREAM);
        break;
    }
    branch_reset(branch, NGHTTP2_NO_ERROR);
}

static void junk_interims(struct branch *branch)
{
    unsigned count = (unsigned)between(9, 60);

    counts.origin_h2_interims++;
    for (unsigned i = 0; i < count; i++)
        head(branch->trunk, (uint32_t)branch->id, chance(50) ? ":status=103\nlink=</x>" : ":status=100", 0);
    branch_is_harmed(branch);
}

/* More than WARP's windows have room for, unless its reader is quick. */
static void junk_overrun(struct branch *branch)
{
    static const char much[16384];

    counts.origin_h2_overruns++;
    run.last_outage_ns = os_clock_ns(); /* it may end the whole connection */
    head(branch->trunk, (uint32_t)branch->id, ":status=500", 0);
    for (unsigned i = 0; i < 20; i++)
        frame(branch->trunk, NGHTTP2_DATA, 0, (uint32_t)branch->id, much, sizeof(much));
    branch_reset(branch, NGHTTP2_INTERNAL_ERROR);
}

static uint32_t draw_error(bool may_refuse)
{
    static const uint32_t errors[] = {NGHTTP2_NO_ERROR, NGHTTP2_CANCEL,      NGHTTP2_INTERNAL_ERROR, NGHTTP2_ENHANCE_YOUR_CALM,
                                      0xdeadbeef,       NGHTTP2_STREAM_CLOSED, NGHTTP2_HTTP_1_1_REQUIRED, NGHTTP2_REFUSED_STREAM};
    return errors[sim_random(ARRAY_LEN(errors) - !may_refuse)];
}

/* ---- the whole connection -------------------------------------------------------------------------------------------- */

static void flood(struct trunk *trunk, uint32_t id)
{
    uint8_t type = (uint8_t[]){NGHTTP2_PING, NGHTTP2_SETTINGS, NGHTTP2_DATA, 0x42}[sim_random(4)];

    counts.origin_h2_floods++;
    run_trace("origin %u: many frames of type %u", trunk->origin, type);
    for (unsigned i = 0; i < PLENTY; i++)
        frame(trunk, type, 0, type == NGHTTP2_DATA ? id : 0, "12345678", type == NGHTTP2_PING ? 8 : 0);
}

static void harm_size(struct trunk *trunk, uint32_t id)
{
    static const char much[20000];

    switch (sim_random(5)) {
    case 0:
        frame(trunk, NGHTTP2_SETTINGS, 0, 0, much, 5);
        break;
    case 1:
        frame(trunk, NGHTTP2_PING, 0, 0, much, 7);
        break;
    case 2:
        frame(trunk, NGHTTP2_DATA, 0, id, much, sizeof(much));
        break;
    case 3:
        frame(trunk, NGHTTP2_GOAWAY, 0, 0, much, 4);
        break;
    default:
        frame(trunk, NGHTTP2_RST_STREAM, 0, id, much, 3);
        break;
    }
}

static void harm_state(struct trunk *trunk, uint32_t id)
{
    switch (sim_random(7)) {
    case 0:
        frame(trunk, NGHTTP2_DATA, 0, 0, "hello", 5);
        break;
    case 1:
        head(trunk, id + 1000, ":status=200", 0); /* nobody has opened that one */
        break;
    case 2:
        frame(trunk, NGHTTP2_PUSH_PROMISE, NGHTTP2_FLAG_END_HEADERS, id, "\0\0\0\2\x88", 5);
        break;
    case 3:
        frame(trunk, NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, id, "\x88", 1);
        break;
    case 4: /* a field section has no other frames in it */
        frame(trunk, NGHTTP2_HEADERS, 0, id, "\x88", 1);
        frame(trunk, NGHTTP2_PING, 0, 0, "12345678", 8);
        break;
    case 5:
        frame_number(trunk, NGHTTP2_RST_STREAM, id + 1000, NGHTTP2_CANCEL);
        break;
    default:
        sim_send(&trunk->peer, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", 47);
        break;
    }
}

static void harm_value(struct trunk *trunk, uint32_t id)
{
    switch (sim_random(6)) {
    case 0:
        frame_setting(trunk, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1u << 31);
        break;
    case 1:
        frame_setting(trunk, NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 1);
        break;
    case 2:
        frame_setting(trunk, NGHTTP2_SETTINGS_ENABLE_PUSH, 1);
        break;
    case 3:
        frame_number(trunk, NGHTTP2_WINDOW_UPDATE, 0, 0x7fffffff);
        break;
    case 4:
        frame_number(trunk, NGHTTP2_WINDOW_UPDATE, chance(50) ? 0 : id, 0);
        break;
    default: /* no such index (RFC 7541 6.1) */
        frame(trunk, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, id, "\xff\xff\xff\x0f", 4);
        break;
    }
}

static void trunk_harm(struct trunk *trunk, uint32_t id)
{
    unsigned which = (unsigned)sim_random(100);

    counts.origin_h2_broken++;
    if (which < 20) {
        trunk_spoil(trunk, "a flood");
        flood(trunk, id);
    } else if (which < 45) {
        trunk_spoil(trunk, "a size");
        harm_size(trunk, id);
    } else if (which < 75) {
        trunk_spoil(trunk, "a frame out of place");
        harm_state(trunk, id);
    } else {
        trunk_spoil(trunk, "a value");
        harm_value(trunk, id);
    }
}

void branch_junk(struct branch *branch)
{
    unsigned which = (unsigned)sim_random(100);

    if (!branch->is_open || branch->trunk->session == NULL)
        return;
    trunk_get_ready(branch->trunk);
    if (which < 50)
        junk_head(branch);
    else if (which < 65)
        junk_order(branch);
    else if (which < 75)
        junk_interims(branch);
    else if (which < 85 || trunk_has_crowd(branch->trunk))
        branch_reset(branch, draw_error(false));
    else if (which < 88)
        junk_overrun(branch);
    else
        trunk_harm(branch->trunk, (uint32_t)branch->id);
    trunk_flush(branch->trunk);
}

/* ---- in the middle of an answer ---------------------------------------------------------------------------------------- */

static void cut_by_trailers(struct branch *branch)
{
    static const char *const bad[] = {":status=200", "X-Upper=1", "connection=close", "x=a\rb", "transfer-encoding=chunked"};
    bool ends = chance(70);

    counts.origin_h2_malformed++;
    head(branch->trunk, (uint32_t)branch->id, ends ? bad[sim_random(ARRAY_LEN(bad))] : "x-sum=1", ends ? NGHTTP2_FLAG_END_STREAM : 0);
    branch_reset(branch, NGHTTP2_NO_ERROR);
}

static void cut_all(struct trunk *trunk)
{
    counts.origin_h2_ends++;
    trunk_down(trunk, "in the middle of an answer");
}

void branch_cut(struct branch *branch)
{
    struct trunk *trunk = branch->trunk;
    unsigned which = (unsigned)sim_random(100);
    bool has_crowd = trunk_has_crowd(trunk);

    trunk_get_ready(trunk);
    if (!branch->is_open)
        return;
    if (branch->has_head && branch->has_length && which < 20) {
        counts.origin_h2_short++;
        branch->is_complete = true; /* with less than it said */
        branch_resume(branch);
    } else if (branch->has_head && which < 30) {
        cut_by_trailers(branch);
    } else if (which < 50 && !has_crowd) {
        cut_all(trunk);
    } else {
        counts.origin_h2_resets++;
        branch_reset(branch, draw_error(branch->has_head));
    }
}

/* ---- without meaning --------------------------------------------------------------------------------------------------- */

void trunk_late(struct trunk *trunk, uint32_t id)
{
    counts.origin_h2_late++;
    run_trace("origin %u: a frame behind the end of stream %u", trunk->origin, id);
    switch (sim_random(4)) {
    case 0:
        frame(trunk, NGHTTP2_DATA, chance(50) ? NGHTTP2_FLAG_END_STREAM : 0, id, "more", 4);
        break;
    case 1:
        head(trunk, id, chance(50) ? ":status=200" : "x-sum=2", chance(50) ? NGHTTP2_FLAG_END_STREAM : 0);
        break;
    case 2:
        frame_number(trunk, NGHTTP2_RST_STREAM, id, NGHTTP2_REFUSED_STREAM);
        break;
    default:
        frame_number(trunk, NGHTTP2_WINDOW_UPDATE, id, 1000);
        break;
    }
}

void trunk_chatter(struct trunk *trunk)
{
    trunk_get_ready(trunk);
    switch (sim_random(5)) {
    case 0: /* of a type that nobody knows (RFC 9113 4.1) */
        frame(trunk, 0x42, 0xff, (uint32_t)sim_random(20), "what is this", 12);
        break;
    case 1:
        frame(trunk, NGHTTP2_PRIORITY, 0, 1, "\0\0\0\0\x10", 5);
        break;
    case 2:
        frame(trunk, 0xa, 0, 0, "\0\1xh3=\":443\"", 12); /* ALTSVC */
        break;
    case 3:
        frame_number(trunk, NGHTTP2_WINDOW_UPDATE, 0, 1);
        break;
    default:
        frame(trunk, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, "unasked!", 8);
        break;
    }
}
