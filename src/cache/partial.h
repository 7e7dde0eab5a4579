/* partial: which bytes of a representation are stored (RFC 9111 3.3, 3.4). Bookkeeping only: the bytes are
 * the store's. A flat blob: struct partial | struct partial_range[count], sorted, apart | ETag | zeros to 8.
 * Parts meet only under one strong entity tag and one complete length; a description without a tag holds the
 * parts of one answer and takes no others. */
#ifndef WARP_CACHE_PARTIAL_H
#define WARP_CACHE_PARTIAL_H

#include "http/message.h"
#include "http/range.h"

#define PARTIAL_RANGES_MAX 16u
#define PARTIAL_ETAG_BYTES_MAX 1024u

struct partial_range {
    uint64_t first, end; /* first byte, and one past the last */
};

struct partial {
    uint32_t magic;
    uint16_t version;
    uint16_t count;
    uint64_t length_bytes; /* complete length */
    uint32_t etag_len;     /* 0: none */
    uint32_t total_bytes;
    struct partial_range ranges[];
};

enum partial_result {
    PARTIAL_ADDED,     /* *ret_blob is the new description */
    PARTIAL_BAD,       /* no, several or invalid Content-Range; multipart; unknown complete length; body length disagrees */
    PARTIAL_OTHER,     /* another or no strong entity tag, or another complete length: drop the old parts */
    PARTIAL_TOO_MANY,  /* would be more than PARTIAL_RANGES_MAX pieces: keep the old ones */
};

/* Takes a 206 into a description. old may be empty (the first part). *ret_added: the bytes the 206 brings. */
MUST_USE err partial_add(struct arena *arena, slice old, const struct response *response, slice *ret_blob,
                         struct partial_range *ret_added, enum partial_result *ret_result);
/* blob.data is 8-byte aligned. ERR_CORRUPT for anything partial_add did not make. */
MUST_USE err partial_view(slice blob, const struct partial **ret_partial);
slice partial_etag(const struct partial *partial);
bool partial_covers(const struct partial *partial, struct partial_range wanted); /* empty ranges: no */
bool partial_is_complete(const struct partial *partial);
/* The first bytes at or after from that are missing; false when none. To complete: ask for that. */
bool partial_next_gap(const struct partial *partial, uint64_t from, struct partial_range *ret_gap);
#endif
