/* wire: a reader of HTTP/1 messages for the peers of sim_cache, written apart from WARP's own so that the two
 * do not share mistakes. Strict: what it does not know is BROKEN. */
#ifndef WARP_TESTS_SIM_CACHE_WIRE_H
#define WARP_TESTS_SIM_CACHE_WIRE_H

#include "base/base.h"

#define WIRE_HEAD_MAX 8192u

enum wire_body { WIRE_NONE, WIRE_LENGTH, WIRE_CHUNKED, WIRE_CLOSE, WIRE_STOP };

struct wire;
struct wire_events {
    /* A head lies in wire->head, terminated. Says how the body is framed; WIRE_STOP: read nothing more. */
    enum wire_body (*head)(struct wire *wire, uint64_t *ret_length);
    void (*body)(struct wire *wire, const char *bytes, size_t size);
    void (*end)(struct wire *wire); /* the message is complete */
};

struct wire {
    const struct wire_events *events;
    char head[WIRE_HEAD_MAX];
    unsigned head_bytes;
    char line[256];
    unsigned line_bytes;
    uint64_t left;
    unsigned trailers;
    int state;
};

void wire_init(struct wire *wire, const struct wire_events *events);
/* False: broken. */
bool wire_feed(struct wire *wire, const char *bytes, size_t size);
/* FIN: completes a body that ends with the connection. False: in the middle of something else. */
bool wire_fin(struct wire *wire);
void wire_stop(struct wire *wire); /* also from its events */
bool wire_is_between(const struct wire *wire);
/* The value of a field in the head; NULL. Valid until the next call. */
const char *wire_field(const struct wire *wire, const char *name);
unsigned wire_field_count(const struct wire *wire, const char *name);

#endif
