/* stored: the head of a stored response, one flat blob without pointers, the metadata of a store object.
 *
 *   struct stored | struct field[count + hidden_count] | text "Name: value\r\n"... as clients will be sent it
 *                 | hidden text, the same form | zero bytes to 8 | struct stored_slices where the body lies in slices
 *
 * Left out when stored (RFC 9111 3.1): hop-by-hop fields and those Connection names, framing (Content-Length,
 * Transfer-Encoding, Trailer: the connection writes them anew), Age (written per reply), Content-Range of a
 * 206 (so too), fields listed in no-cache="..." and private="..." of the
 * field that decided. Hidden, as they are meant for this cache, yet count again after a 304 without them:
 * Warp-Cache-Control and Surrogate-Control. CDN-Cache-Control stays: RFC 9213 2.1 wants targeted fields passed on unless the cache
 * knows that nobody behind it is meant, and a WARP behind WARP is. A Date is added when the origin sent none.
 * Integers in the blob are the machine's: a store is not moved between byte orders (its superblock says so). */
#ifndef WARP_CACHE_STORED_H
#define WARP_CACHE_STORED_H

#include "base/hash.h"
#include "cache/storable.h"

#define STORED_MAGIC   0x48525753u /* "SWRH" */
#define STORED_VERSION 1u
#define STORED_BYTES_MAX (128u * 1024u)

struct stored {
    uint32_t magic;
    uint16_t version;
    uint16_t status;
    uint32_t total_bytes;  /* of the blob, a multiple of 8 */
    uint32_t flags;        /* enum control_flag */
    int64_t request_time_ms, response_time_ms;
    int64_t date_s;
    int64_t last_modified_s; /* INT64_MIN without CONTROL_LAST_MODIFIED */
    int64_t body_bytes;      /* -1: not known when the head was made */
    int32_t initial_age_s, lifetime_s, swr_s, sie_s;
    uint32_t etag_off, etag_len; /* into text; the value with its quotes; len 0: none */
    uint32_t last_modified_off, last_modified_len;
    uint32_t text_len, hidden_len;
    uint16_t count, hidden_count; /* fields */
    uint8_t source;               /* enum freshness_source */
    uint8_t is_sliced;            /* 1: a struct stored_slices is the blob's end */
    uint8_t reserved[2];          /* zero */
};

/* Where the bytes of a large body are: in objects of their own (cache/slices.h), of body_bytes in all. */
struct stored_slices {
    hash128 id; /* of the validator they came with, or of the fill */
    uint32_t slice_bytes;
    uint32_t is_strong; /* 1: the id is that of a strong entity tag: what is missing can be asked for */
};

/* response, freshness: what came and what freshness_of said. extra_flags: CONTROL_REQUEST_AUTHORIZED or 0.
 * The blob is in the arena, 8-byte aligned. ERR_LIMIT when it would be larger than STORED_BYTES_MAX. */
MUST_USE err stored_build(struct arena *arena, const struct response *response, const struct freshness *freshness,
                          int64_t request_time_ms, int64_t response_time_ms, int64_t body_bytes, uint32_t extra_flags,
                          slice *ret_blob);

/* Looks at a blob in place: meta.data is 8-byte aligned (ERR_CORRUPT else) and outlives both results. Checks
 * every offset, so that the accessors of field.h and below cannot leave the blob whatever its bytes are.
 * ret_fields is read only (arena NULL). */
MUST_USE err stored_view(slice meta, struct fields *ret_fields, const struct stored **ret_stored);

slice stored_etag(const struct fields *fields, const struct stored *stored);          /* data NULL: none */
slice stored_last_modified(const struct fields *fields, const struct stored *stored); /* data NULL: none */

/* The head after a 304 (RFC 9111 3.2, 4.3.4): every field of the 304 replaces all stored ones of its name,
 * but for those never stored and those that describe the stored body or identify it: Content-Encoding,
 * Content-Length, Content-MD5, Content-Range, ETag. A Set-Cookie counts only where one may be stored. Freshness
 * is computed anew from the merged fields. Call validate_match_304 first. rule may be NULL.
 * *ret_reason: NONE, or why the result must not stay in the store, though it answers this request: NO_STORE,
 * PRIVATE, or VARIANT_MISMATCH when its Vary is another one now. */
MUST_USE err stored_merge_304(struct arena *arena, slice old, const struct response *not_modified, int64_t request_time_ms,
                              int64_t response_time_ms, const struct freshness_rule *rule, slice *ret_blob,
                              enum not_stored *ret_reason);

/* The same blob, in arena, for a body in slices; and what it says about them, NULL for any other body. */
MUST_USE err stored_set_slices(struct arena *arena, slice blob, const struct stored_slices *slices, slice *ret_blob);
const struct stored_slices *stored_slices_of(const struct stored *stored);
/* A 206 has told the head of the whole, of that length (RFC 9111 3.3); changes the blob in place, as below. */
void stored_set_whole(char *blob, int64_t body_bytes);

/* The same blob with the body's length known; changes it in place (the caller's copy, not yet published). */
void stored_set_body_bytes(char *blob, int64_t body_bytes);

/* RFC 9111 4.3.5: what a 200 to HEAD says about the stored GET response. */
enum head_compare {
    HEAD_SAME,      /* same validators and length: may be freshened (stored_merge_304 with the HEAD's head) */
    HEAD_DIFFERENT, /* something contradicts: the stored response is stale now (a soft purge) */
    HEAD_UNRELATED, /* no statement (status other than 200) */
};
enum head_compare stored_head_compare(const struct fields *fields, const struct stored *stored, const struct response *head);

#endif
