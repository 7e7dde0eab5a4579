/* slices: how a large body is cut, what its pieces are called, and which bytes are asked for when some are missing. Pure.
 *
 * A slice's key is the object's key (key.h, primary or variant) followed by
 *   u8 'S'  16 bytes id  u64 number
 * The id is that of the validator, the length and the purge sequence at the start of the head's fetch: slices of two
 * versions never meet, nor those from before a purge with a head from after it. */
#ifndef WARP_CACHE_SLICES_H
#define WARP_CACHE_SLICES_H

#include "base/hash.h"
#include "cache/stored.h"
#include "http/range.h"

#define SLICE_KEY_MORE 25u /* bytes behind the object's key */

/* A large body as its head says. */
struct sliced {
    slice key;  /* the object's */
    slice etag; /* strong; data NULL: none, and what is missing cannot be asked for */
    hash128 id;
    uint64_t length_bytes;
    uint32_t slice_bytes;
};

/* What the id is a hash of, in the arena. */
MUST_USE err slice_id_text(struct arena *arena, slice key, slice etag, uint64_t length_bytes, uint64_t seq, slice *ret_text);
/* buffer has room for key.len + SLICE_KEY_MORE bytes. */
slice slice_key_write(const struct sliced *body, uint64_t number, char *buffer);
/* Only the number is written anew into what slice_key_write made. */
void slice_key_set(slice slice_key, uint64_t number);

static inline uint64_t sliced_count(const struct sliced *body)
{
    return (body->length_bytes + body->slice_bytes - 1) / body->slice_bytes;
}

/* Where that slice begins; of the number behind the last one: the body's end. */
static inline uint64_t sliced_at(const struct sliced *body, uint64_t number)
{
    return MIN(number * body->slice_bytes, body->length_bytes);
}

static inline uint64_t sliced_bytes(const struct sliced *body, uint64_t number)
{
    return sliced_at(body, number + 1) - sliced_at(body, number);
}

/* The bytes that a request to the origin names: [first, last], or the last `suffix` ones. */
struct slice_ask {
    uint64_t first, last;
    uint64_t suffix; /* 0: first and last count */
};

/* A Range for something of which nothing is known: whole slices round what is asked for, `most` at a time. False: better
 * asked for as a whole, because the range begins in the first slice, so that small objects come whole in one answer.
 * A suffix is asked for with a slice more: some slice then begins in it. */
bool slice_ask_cold(const struct range_request *asked, uint32_t slice_bytes, unsigned most, struct slice_ask *ret_ask);
/* Slices [from, to) of a body that is known. */
struct slice_ask slice_ask_of(const struct sliced *body, uint64_t from, uint64_t to);
/* Is a 206's Content-Range what was asked for, to the byte (RFC 9110 15.3.7)? The complete length must be there. */
bool slice_ask_fits(const struct slice_ask *ask, const struct content_range *range);
/* Adds Range to a request. */
MUST_USE err slice_ask_add(const struct slice_ask *ask, struct fields *request);

/* The one strong entity tag of an answer; data NULL: it has none (RFC 9110 8.8.1: parts are combined under no other). */
slice strong_etag_of(const struct fields *response);
/* The Content-Range of a 206 whose body's length, where it says one, agrees; false else. */
bool part_read(const struct response *response, struct content_range *ret_range);

#endif
