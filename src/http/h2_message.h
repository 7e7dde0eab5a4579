/* h2_message: heads of HTTP/2 messages from their fields (RFC 9113 8), one at a time, by the rules of HTTP/1: what
 * comes of it is what h1_parse would have made of the same message, and may be written as HTTP/1 without another look.
 *
 *   h2_head_init -> h2_head_add... -> h2_request_end | h2_response_end | h2_trailers_end -> h2_head_done
 *
 * Pure: knows names and values, no frames. What was refused stays refused: later fields cost nothing any more. */
#ifndef WARP_HTTP_H2_MESSAGE_H
#define WARP_HTTP_H2_MESSAGE_H

#include "http/h1_parse.h"

/* Reasons to refuse that only HTTP/2 knows. name, word, status for a client, text */
#define H2_ERRORS(X)                                                                                         \
    X(UPPER_CASE, "h2-upper-case", 400, "upper-case letter in a field name")                                 \
    X(CONNECTION_FIELD, "h2-connection-field", 400, "field that concerns an HTTP/1 connection")              \
    X(TE, "h2-te", 400, "TE other than trailers")                                                            \
    X(VALUE_SPACE, "h2-value-space", 400, "white space around a field value")                                \
    X(PSEUDO_UNKNOWN, "h2-pseudo-unknown", 400, "pseudo-header field that does not belong here")             \
    X(PSEUDO_DUPLICATE, "h2-pseudo-duplicate", 400, "pseudo-header field given twice")                       \
    X(PSEUDO_LATE, "h2-pseudo-late", 400, "pseudo-header field behind other fields")                         \
    X(PSEUDO_MISSING, "h2-pseudo-missing", 400, "pseudo-header field missing")                               \
    X(PSEUDO_EMPTY, "h2-pseudo-empty", 400, "empty pseudo-header field")                                     \
    X(SCHEME, "h2-scheme", 400, ":scheme is not the connection's")                                           \
    X(AUTHORITY, "h2-authority", 400, "Host is not :authority")                                              \
    X(PROTOCOL, "h2-protocol", 501, "extended CONNECT for a protocol not served here")                       \
    X(LENGTH, "h2-length", 400, "Content-Length is not the length of the body")

/* H2_OK, enum h1_error's where the rule is the same, then these. An index of the refusals' names (stream_refusals). */
enum h2_error {
    H2_OK = H1_OK,
    H2_ERRORS_BEGIN_ = H1_ERROR_COUNT - 1,
#define X(name, word, status, text) H2_##name,
    H2_ERRORS(X)
#undef X
        H2_ERROR_COUNT
};

uint16_t h2_error_status(enum h2_error error); /* as h1_error_status, for both kinds */
const char *h2_error_text(enum h2_error error);
const char *h2_error_word(enum h2_error error);

#define H2_FIELD_OVERHEAD_BYTES 32u /* that a field counts for beside its bytes (RFC 9113 6.5.2) */
#define H2_HEAD_BLOCK_BYTES     4096u /* fits nearly every head */

enum h2_head_kind { H2_HEAD_REQUEST, H2_HEAD_RESPONSE, H2_HEAD_TRAILERS };

enum h2_pseudo {
    H2_PSEUDO_METHOD,
    H2_PSEUDO_SCHEME,
    H2_PSEUDO_AUTHORITY,
    H2_PSEUDO_PATH,
    H2_PSEUDO_PROTOCOL,
    H2_PSEUDO_STATUS,
    H2_PSEUDO_COUNT
};

/* A head while it is decoded. */
struct h2_head {
    const struct h1_limits *limits; /* head_bytes_max: of the decoded list, with its overhead; line_bytes_max:
                                       of "name: value"; the others as for HTTP/1 */
    struct arena scratch;
    struct fields fields; /* in scratch */
    slice pseudo[H2_PSEUDO_COUNT];
    char *cookie; /* the crumbs so far (RFC 9113 8.2.3), in scratch */
    uint32_t cookie_len, cookie_cap;
    uint32_t list_bytes;
    uint16_t error; /* enum h2_error: the first */
    uint8_t kind;
    bool is_regular; /* pseudo-header fields are over */
};

/* block: the head's memory, with room for its text behind it; limits must outlive it. */
struct h2_head *h2_head_init(void *block, size_t block_bytes, enum h2_head_kind kind, const struct h1_limits *limits);
void h2_head_done(struct h2_head *head); /* the block is the caller's again; NULL is fine */

/* name and value need not outlive the call. */
void h2_head_add(struct h2_head *head, slice name, slice value);

struct h2_request_options {
    bool https;          /* the scheme of the connection */
    bool end_stream;     /* no DATA follows */
    slice websocket_key; /* 24 characters for the handshake of an extended CONNECT (RFC 8441); empty: those are refused */
};

/* Everything in ret_request is in the arena, the head may go. A body of unknown length is BODY_CHUNKED. An extended
 * CONNECT for a WebSocket becomes the GET that asks for one in HTTP/1; another CONNECT is parsed, for the caller to refuse. */
MUST_USE enum h2_error h2_request_end(struct h2_head *head, const struct h2_request_options *options, struct arena *arena,
                                      struct request *ret_request);
/* An origin's answer, interim ones too; 101 is none in HTTP/2. A body of unknown length is BODY_CHUNKED: its end is seen. */
MUST_USE enum h2_error h2_response_end(struct h2_head *head, enum method request_method, bool end_stream,
                                       struct arena *arena, struct response *ret_response);
/* Those that trailers may have; the rest is dropped, as in HTTP/1. */
MUST_USE enum h2_error h2_trailers_end(struct h2_head *head, struct arena *arena, struct fields *ret_fields);
extern const struct h1_limits h2_trailer_limits;

#endif
