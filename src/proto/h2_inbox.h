/* h2_inbox: bytes of one stream's body that were received and not yet read, in blocks of a pool. As many as the stream's
 * window admits: the peer's windows are the bound. */
#ifndef WARP_PROTO_H2_INBOX_H
#define WARP_PROTO_H2_INBOX_H

#include "base/pool.h"
#include "base/slice.h"

struct h2_inbox_block {
    struct h2_inbox_block *next;
    uint32_t start, end;
    char bytes[]; /* as many as the pool's blocks have room for */
};

struct h2_inbox {
    struct h2_inbox_block *first, *last;
    size_t bytes;
};

/* pool: the same one in all calls; its blocks are larger than a struct h2_inbox_block. False: no memory; some may have been
 * put. */
MUST_USE bool h2_inbox_put(struct h2_inbox *inbox, struct pool *pool, slice bytes);
/* Up to max slices of what was put first; the number of them. */
unsigned h2_inbox_peek(const struct h2_inbox *inbox, slice *ret_slices, unsigned max);
void h2_inbox_drop(struct h2_inbox *inbox, struct pool *pool, size_t n);
void h2_inbox_done(struct h2_inbox *inbox, struct pool *pool);

#endif
