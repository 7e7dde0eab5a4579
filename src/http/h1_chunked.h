/* h1_chunked: the chunked coding (RFC 9112 7.1), decoded as the bytes come; CRLF only.
 *
 *   call h1_chunked_next with what is unread, drop *ret_consumed bytes:
 *     DATA: ret_data (within those bytes) is body, call again     MORE: all was consumed, read on
 *     DONE: the body and its trailers ended there                  ERROR: chunked->error; close
 *
 * Limits: 16 hex digits and 2^63-1 bytes a chunk, 256 bytes of extension a line, 16 KiB of extensions a body,
 * trailers 8 KiB and 32 lines. */
#ifndef WARP_HTTP_H1_CHUNKED_H
#define WARP_HTTP_H1_CHUNKED_H

#include "http/h1_parse.h"

#define CHUNK_EXTENSION_BYTES_MAX  256u
#define CHUNK_EXTENSIONS_BYTES_MAX 16384u
#define TRAILER_BYTES_MAX          8192u
#define TRAILER_FIELDS_MAX         32u

enum chunked_result { CHUNKED_MORE, CHUNKED_DATA, CHUNKED_DONE, CHUNKED_ERROR };

struct h1_chunked {
    uint64_t left;            /* of this chunk's data */
    struct arena *arena;      /* NULL: trailers are checked for size and ends of lines, then dropped */
    char *trailer_text;       /* raw lines so far */
    struct fields *trailers;  /* in the arena, once DONE and when there were any: the allowed ones; else NULL */
    uint32_t trailer_len, trailer_cap;
    uint32_t extensions_bytes; /* of the whole body */
    uint16_t line_bytes;       /* of this line's extension or of this trailer line */
    uint8_t digits;
    uint8_t state;
    uint16_t error;            /* enum h1_error */
};
static_assert(sizeof(struct h1_chunked) <= 64, "one cache line");

void h1_chunked_init(struct h1_chunked *chunked, struct arena *arena);
MUST_USE enum chunked_result h1_chunked_next(struct h1_chunked *chunked, slice input, size_t *ret_consumed,
                                             slice *ret_data);

/* May a field of that name stand in a trailer section? Not what is framing, routing, authentication, a request
 * modifier, cache control or about the content (RFC 9110 6.5.1). */
bool trailer_is_allowed(enum field_id id, slice name);

/* "<hex>\r\n"; size_bytes is not 0 (that would be the end). The chunk's data is followed by CHUNK_END. */
#define CHUNK_HEAD_BYTES_MAX 18u
#define CHUNK_END            SLICE("\r\n")
#define CHUNK_LAST           SLICE("0\r\n\r\n")
size_t h1_chunk_head_write(uint64_t size_bytes, char *ret_text);

#endif
