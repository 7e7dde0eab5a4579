/* h1_parse: heads of HTTP/1 messages, RFC 9112 to the letter; what is ambiguous is refused, never repaired.
 *
 *   bytes --h1_head_find--> MORE (read on) | REFUSED (error) | FOUND --h1_parse_request/_response--> message
 *
 * After any error the connection must be closed: where the next message begins is unknown. */
#ifndef WARP_HTTP_H1_PARSE_H
#define WARP_HTTP_H1_PARSE_H

#include "http/message.h"

/* name, word (metric label, detail), status for a client (an origin's error is a 502), text */
#define H1_ERRORS(X)                                                                                         \
    X(BARE_LF, "bare-lf", 400, "line feed without carriage return")                                          \
    X(BARE_CR, "bare-cr", 400, "carriage return without line feed")                                          \
    X(CONTROL, "control", 400, "control character in a field value")                                         \
    X(OBS_FOLD, "obs-fold", 400, "folded or indented field line")                                            \
    X(SPACE_BEFORE_COLON, "space-before-colon", 400, "white space between field name and colon")             \
    X(EMPTY_NAME, "empty-name", 400, "field without a name")                                                 \
    X(NO_COLON, "no-colon", 400, "field line without a colon")                                               \
    X(BAD_NAME, "bad-name", 400, "invalid character in a field name")                                        \
    X(BAD_START, "bad-start", 400, "first byte cannot begin a message")                                      \
    X(EMPTY_LINES, "empty-lines", 400, "empty lines before the message")                                     \
    X(INCOMPLETE, "incomplete", 400, "head without its end")                                                 \
    X(BAD_METHOD, "bad-method", 400, "invalid method")                                                       \
    X(BAD_TARGET, "bad-target", 400, "invalid request target")                                               \
    X(TARGET_FRAGMENT, "target-fragment", 400, "fragment in the request target")                             \
    X(TARGET_FORM, "target-form", 400, "request target of a form the method does not allow")                 \
    X(TARGET_AUTHORITY, "target-authority", 400, "invalid authority in the request target")                  \
    X(TARGET_SCHEME, "target-scheme", 421, "scheme of the request target is not the connection's")           \
    X(HTTP_0_9, "http-0-9", 400, "HTTP/0.9 request")                                                         \
    X(BAD_VERSION, "bad-version", 400, "invalid protocol version")                                           \
    X(VERSION_UNSUPPORTED, "version-unsupported", 505, "major protocol version not supported")               \
    X(HOST_MISSING, "host-missing", 400, "no Host in HTTP/1.1")                                              \
    X(HOST_DUPLICATE, "host-duplicate", 400, "more than one Host line")                                      \
    X(HOST_EMPTY, "host-empty", 400, "empty Host")                                                           \
    X(HOST_INVALID, "host-invalid", 400, "invalid Host")                                                     \
    X(LENGTH_AND_ENCODING, "length-and-encoding", 400, "Content-Length together with Transfer-Encoding")     \
    X(LENGTH_DUPLICATE, "length-duplicate", 400, "more than one Content-Length line")                        \
    X(LENGTH_INVALID, "length-invalid", 400, "invalid Content-Length")                                       \
    X(ENCODING_UNKNOWN, "encoding-unknown", 501, "transfer coding other than chunked")                       \
    X(ENCODING_INVALID, "encoding-invalid", 400, "malformed Transfer-Encoding, or chunked is not last and alone") \
    X(ENCODING_IN_1_0, "encoding-in-1-0", 400, "Transfer-Encoding in HTTP/1.0")                              \
    X(LINE_TOO_LONG, "line-too-long", 431, "field line too long")                                            \
    X(TARGET_TOO_LONG, "target-too-long", 414, "request target too long")                                    \
    X(TOO_MANY_FIELDS, "too-many-fields", 431, "too many fields")                                            \
    X(HEAD_TOO_LARGE, "head-too-large", 431, "head too large")                                               \
    X(EXPECTATION, "expectation", 417, "Expect other than 100-continue")                                     \
    X(BAD_STATUS_LINE, "bad-status-line", 502, "invalid status line")                                        \
    X(BAD_STATUS, "bad-status", 502, "status code outside 100..599")                                         \
    X(CHUNK_SIZE, "chunk-size", 400, "invalid chunk size")                                                   \
    X(CHUNK_EXTENSION, "chunk-extension", 400, "invalid chunk extension")                                    \
    X(CHUNK_EXTENSION_LIMIT, "chunk-extension-limit", 400, "chunk extensions too long")                      \
    X(CHUNK_END, "chunk-end", 400, "chunk data longer than announced")                                       \
    X(TRAILERS_TOO_LARGE, "trailers-too-large", 431, "trailer section too large")                            \
    X(MEMORY, "memory", 503, "no memory for the message")

enum h1_error {
    H1_OK,
#define X(name, word, status, text) H1_##name,
    H1_ERRORS(X)
#undef X
        H1_ERROR_COUNT
};

uint16_t h1_error_status(enum h1_error error);  /* 200 for H1_OK */
const char *h1_error_text(enum h1_error error);
const char *h1_error_word(enum h1_error error); /* "bare-lf" */

struct h1_limits {
    uint32_t head_bytes_max;   /* from the first byte of the start line to the last CRLF */
    uint32_t line_bytes_max;   /* one line without its CRLF; at most 65535 */
    uint32_t target_bytes_max; /* requests */
    uint32_t fields_max;       /* at most 65535 */
};
/* docs: SECURITY.md, limits. An origin may send one long line (policies, cookies). */
#define H1_LIMITS_REQUEST  ((struct h1_limits){32768, 16384, 8192, 100})
#define H1_LIMITS_RESPONSE ((struct h1_limits){65536, 65535, 0, 200})

#define H1_EMPTY_LINES_MAX 2u /* tolerated before a request line (RFC 9112 2.2 asks for at least one) */

enum h1_find { H1_FIND_MORE, H1_FIND_FOUND, H1_FIND_REFUSED };

/* Zeroed, with is_response set, before the first call for each message. The buffer may move and grow between
 * calls but must begin with the same byte. */
struct h1_finder {
    uint32_t scanned;   /* bytes looked at so far */
    uint32_t line;      /* where the current line begins */
    uint32_t begin;     /* of the head: behind the empty lines; valid when FOUND */
    uint32_t end;       /* of the head, CRLFCRLF included; valid when FOUND */
    uint8_t empty_lines;
    bool is_response;
};

/* O(n) over all calls. Refuses a bare LF, a line or a head over its limit and an impossible first byte as soon
 * as it sees it. The head is buffer[finder->begin .. finder->end). */
MUST_USE enum h1_find h1_head_find(struct h1_finder *finder, slice buffer, const struct h1_limits *limits,
                                   enum h1_error *ret_error);

/* head: from the start line to the final CRLFCRLF, both included, and nothing more. https: the scheme of the
 * connection. Everything in ret_request is copied into the arena; head may go. CONNECT is parsed (authority-form;
 * target is then the authority too), TRACE too: the caller refuses them. A body of Content-Length 0 is BODY_NONE. */
MUST_USE enum h1_error h1_parse_request(slice head, const struct h1_limits *limits, bool https,
                                        struct arena *arena, struct request *ret_request);

/* As strict toward origins. Interim answers (1xx) are parsed like the rest: BODY_NONE. */
MUST_USE enum h1_error h1_parse_response(slice head, const struct h1_limits *limits,
                                         enum method request_method, struct arena *arena,
                                         struct response *ret_response);

/* Field lines up to the end of lines, each with its CRLF, without the empty line: trailers. The fields are
 * initialised here; at most fields_max of them. */
MUST_USE enum h1_error h1_parse_fields(slice lines, uint32_t fields_max, struct arena *arena,
                                       struct fields *ret_fields);

#endif
