#include "tests/sim/cache_wire.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { AT_HEAD, AT_LENGTH, AT_CLOSE, AT_CHUNK_LINE, AT_CHUNK, AT_CHUNK_END, AT_TRAILERS, AT_STOP, AT_BROKEN };

void wire_init(struct wire *wire, const struct wire_events *events)
{
    wire->events = events;
    wire->head_bytes = wire->line_bytes = wire->trailers = 0;
    wire->left = 0;
    wire->state = AT_HEAD;
}

static void wire_end(struct wire *wire)
{
    wire->state = AT_HEAD;
    wire->head_bytes = 0;
    wire->events->end(wire);
}

static void wire_head(struct wire *wire)
{
    uint64_t length = 0;

    wire->head[wire->head_bytes] = '\0';
    wire->line_bytes = wire->trailers = 0;
    switch (wire->events->head(wire, &length)) {
    case WIRE_NONE:
        wire_end(wire);
        return;
    case WIRE_LENGTH:
        wire->left = length;
        wire->state = AT_LENGTH;
        if (length == 0)
            wire_end(wire);
        return;
    case WIRE_CHUNKED:
        wire->state = AT_CHUNK_LINE;
        return;
    case WIRE_CLOSE:
        wire->state = AT_CLOSE;
        return;
    case WIRE_STOP:
        wire->state = AT_STOP;
        return;
    }
}

static void wire_chunk_line(struct wire *wire)
{
    char *end;

    wire->line[wire->line_bytes] = '\0';
    wire->left = strtoull(wire->line, &end, 16);
    if (end == wire->line || (*end != '\r' && *end != ';'))
        wire->state = AT_BROKEN;
    else
        wire->state = wire->left > 0 ? AT_CHUNK : AT_TRAILERS;
}

/* A whole line of framing lies in wire->line. */
static void wire_line(struct wire *wire)
{
    bool empty = wire->line_bytes == 2 && wire->line[0] == '\r';

    if (wire->state == AT_CHUNK_LINE) {
        wire_chunk_line(wire);
    } else if (wire->state == AT_CHUNK_END) {
        wire->state = empty ? AT_CHUNK_LINE : AT_BROKEN;
    } else if (empty) {
        wire->line_bytes = 0;
        wire_end(wire);
        return;
    } else {
        wire->trailers++;
    }
    wire->line_bytes = 0;
}

static bool wire_head_byte(struct wire *wire, char byte)
{
    if (wire->head_bytes + 1 >= WIRE_HEAD_MAX)
        return false;
    wire->head[wire->head_bytes++] = byte;
    if (wire->head_bytes >= 4 && memcmp(wire->head + wire->head_bytes - 4, "\r\n\r\n", 4) == 0)
        wire_head(wire);
    return true;
}

static size_t wire_body(struct wire *wire, const char *bytes, size_t size)
{
    size_t n = wire->state == AT_CLOSE ? size : (size_t)MIN((uint64_t)size, wire->left);

    wire->events->body(wire, bytes, n);
    if (wire->state == AT_CLOSE || wire->state == AT_STOP)
        return n;
    wire->left -= n;
    if (wire->left == 0 && wire->state == AT_LENGTH)
        wire_end(wire);
    else if (wire->left == 0 && wire->state == AT_CHUNK)
        wire->state = AT_CHUNK_END;
    return n;
}

bool wire_feed(struct wire *wire, const char *bytes, size_t size)
{
    for (size_t at = 0; at < size;) {
        switch (wire->state) {
        case AT_HEAD:
            if (!wire_head_byte(wire, bytes[at++]))
                wire->state = AT_BROKEN;
            break;
        case AT_LENGTH:
        case AT_CLOSE:
        case AT_CHUNK:
            at += wire_body(wire, bytes + at, size - at);
            break;
        case AT_CHUNK_LINE:
        case AT_CHUNK_END:
        case AT_TRAILERS:
            if (wire->line_bytes + 1 >= sizeof(wire->line)) {
                wire->state = AT_BROKEN;
                break;
            }
            wire->line[wire->line_bytes++] = bytes[at++];
            if (wire->line[wire->line_bytes - 1] == '\n')
                wire_line(wire);
            break;
        case AT_STOP:
            return true;
        default:
            return false;
        }
    }
    return wire->state != AT_BROKEN;
}

bool wire_fin(struct wire *wire)
{
    if (wire->state == AT_CLOSE) {
        wire_end(wire);
        return true;
    }
    return wire_is_between(wire);
}

void wire_stop(struct wire *wire)
{
    wire->state = AT_STOP;
}

bool wire_is_between(const struct wire *wire)
{
    return wire->state == AT_STOP || (wire->state == AT_HEAD && wire->head_bytes == 0);
}

static const char *field_next(const char *at, const char *name, size_t name_len)
{
    while ((at = strstr(at, "\r\n")) != NULL) {
        at += 2;
        if (strncasecmp(at, name, name_len) == 0 && at[name_len] == ':')
            return at;
    }
    return NULL;
}

const char *wire_field(const struct wire *wire, const char *name)
{
    static char value[1024];
    size_t name_len = strlen(name), n;
    const char *at = field_next(wire->head, name, name_len);

    if (at == NULL)
        return NULL;
    at += name_len + 1;
    at += strspn(at, " \t");
    n = MIN(strcspn(at, "\r\n"), sizeof(value) - 1);
    memcpy(value, at, n);
    value[n] = '\0';
    return value;
}

unsigned wire_field_count(const struct wire *wire, const char *name)
{
    size_t name_len = strlen(name);
    unsigned count = 0;

    for (const char *at = wire->head; (at = field_next(at, name, name_len)) != NULL;)
        count++;
    return count;
}
