/* field: the lines of a message head, kept once, in the form in which they are written.
 *
 * text holds "Name: value\r\n" for every field, in order, nothing else; the list says where. Names keep the
 * case they came with; values are trimmed. A set is position independent but for its two pointers, so that a
 * stored head can be looked at in place. Names known to WARP have an id: compare ids, not bytes. */
#ifndef WARP_HTTP_FIELD_H
#define WARP_HTTP_FIELD_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

/* id, name as written */
#define HTTP_FIELDS(X)                                                                                       \
    X(ACCEPT, "Accept")                                                                                      \
    X(ACCEPT_CHARSET, "Accept-Charset")                                                                      \
    X(ACCEPT_ENCODING, "Accept-Encoding")                                                                    \
    X(ACCEPT_LANGUAGE, "Accept-Language")                                                                    \
    X(ACCEPT_RANGES, "Accept-Ranges")                                                                        \
    X(AGE, "Age")                                                                                            \
    X(ALLOW, "Allow")                                                                                        \
    X(ALT_SVC, "Alt-Svc")                                                                                    \
    X(AUTHORIZATION, "Authorization")                                                                        \
    X(CACHE_CONTROL, "Cache-Control")                                                                        \
    X(CACHE_GROUPS, "Cache-Groups")                                                                          \
    X(CACHE_GROUP_INVALIDATION, "Cache-Group-Invalidation")                                                  \
    X(CACHE_STATUS, "Cache-Status")                                                                          \
    X(CACHE_TAG, "Cache-Tag")                                                                                \
    X(CDN_CACHE_CONTROL, "CDN-Cache-Control")                                                                \
    X(CDN_LOOP, "CDN-Loop")                                                                                  \
    X(CONNECTION, "Connection")                                                                              \
    X(CONTENT_ENCODING, "Content-Encoding")                                                                  \
    X(CONTENT_LANGUAGE, "Content-Language")                                                                  \
    X(CONTENT_LENGTH, "Content-Length")                                                                      \
    X(CONTENT_LOCATION, "Content-Location")                                                                  \
    X(CONTENT_RANGE, "Content-Range")                                                                        \
    X(CONTENT_TYPE, "Content-Type")                                                                          \
    X(COOKIE, "Cookie")                                                                                      \
    X(DATE, "Date")                                                                                          \
    X(ETAG, "ETag")                                                                                          \
    X(EXPECT, "Expect")                                                                                      \
    X(EXPIRES, "Expires")                                                                                    \
    X(FORWARDED, "Forwarded")                                                                                \
    X(HOST, "Host")                                                                                          \
    X(HTTP2_SETTINGS, "HTTP2-Settings")                                                                      \
    X(IF_MATCH, "If-Match")                                                                                  \
    X(IF_MODIFIED_SINCE, "If-Modified-Since")                                                                \
    X(IF_NONE_MATCH, "If-None-Match")                                                                        \
    X(IF_RANGE, "If-Range")                                                                                  \
    X(IF_UNMODIFIED_SINCE, "If-Unmodified-Since")                                                            \
    X(KEEP_ALIVE, "Keep-Alive")                                                                              \
    X(LAST_MODIFIED, "Last-Modified")                                                                        \
    X(LINK, "Link")                                                                                          \
    X(LOCATION, "Location")                                                                                  \
    X(MAX_FORWARDS, "Max-Forwards")                                                                          \
    X(NO_VARY_SEARCH, "No-Vary-Search")                                                                      \
    X(ORIGIN, "Origin")                                                                                      \
    X(PRAGMA, "Pragma")                                                                                      \
    X(PRIORITY, "Priority")                                                                                  \
    X(PROXY_AUTHENTICATE, "Proxy-Authenticate")                                                              \
    X(PROXY_AUTHENTICATION_INFO, "Proxy-Authentication-Info")                                                \
    X(PROXY_AUTHORIZATION, "Proxy-Authorization")                                                            \
    X(PROXY_CONNECTION, "Proxy-Connection")                                                                  \
    X(PROXY_STATUS, "Proxy-Status")                                                                          \
    X(RANGE, "Range")                                                                                        \
    X(REFERER, "Referer")                                                                                    \
    X(RETRY_AFTER, "Retry-After")                                                                            \
    X(SEC_WEBSOCKET_ACCEPT, "Sec-WebSocket-Accept")                                                          \
    X(SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key")                                                                \
    X(SERVER, "Server")                                                                                      \
    X(SET_COOKIE, "Set-Cookie")                                                                              \
    X(SURROGATE_CAPABILITY, "Surrogate-Capability")                                                          \
    X(SURROGATE_CONTROL, "Surrogate-Control")                                                                \
    X(SURROGATE_KEY, "Surrogate-Key")                                                                        \
    X(TE, "TE")                                                                                              \
    X(TRACEPARENT, "traceparent")                                                                            \
    X(TRAILER, "Trailer")                                                                                    \
    X(TRANSFER_ENCODING, "Transfer-Encoding")                                                                \
    X(UPGRADE, "Upgrade")                                                                                    \
    X(USER_AGENT, "User-Agent")                                                                              \
    X(VARY, "Vary")                                                                                          \
    X(VIA, "Via")                                                                                            \
    X(WARNING, "Warning")                                                                                    \
    X(WARP_CACHE_CONTROL, "Warp-Cache-Control")                                                              \
    X(X_FORWARDED_FOR, "X-Forwarded-For")                                                                    \
    X(X_FORWARDED_HOST, "X-Forwarded-Host")                                                                  \
    X(X_FORWARDED_PORT, "X-Forwarded-Port")                                                                  \
    X(X_FORWARDED_PROTO, "X-Forwarded-Proto")                                                                \
    X(X_REQUEST_ID, "X-Request-Id")

enum field_id {
    F_OTHER, /* not in the table */
#define X(id, name) F_##id,
    HTTP_FIELDS(X)
#undef X
        F_COUNT
};

/* Case-insensitive; F_OTHER when not in the table. */
enum field_id field_id_of(slice name);
slice field_name_of(enum field_id id); /* id is not F_OTHER */
slice field_name_lower(enum field_id id); /* the same in lower case, as HTTP/2 writes names */

struct field {
    uint32_t name_off;  /* into text */
    uint32_t value_len; /* the value begins at name_off + name_len + 2 */
    uint16_t name_len;
    uint16_t id; /* enum field_id */
};

struct fields {
    char *text;
    struct field *list;
    uint32_t text_len, text_cap;
    uint16_t count, cap;
    struct arena *arena; /* grows here; NULL: read only */
    uint64_t seen[2];    /* a bit an id, F_OTHER too: most questions are about fields that are not there */
};
static_assert(F_COUNT <= 128, "seen has a bit for every id");

void fields_init(struct fields *fields, struct arena *arena);
/* Names and values must be valid already (the parser's, or our own text): asserted in debug builds. */
MUST_USE err fields_add(struct fields *fields, enum field_id id, slice value);
MUST_USE err fields_add_named(struct fields *fields, slice name, enum field_id id, slice value);
/* The same without a look at them: a parser that has just looked. */
MUST_USE err fields_add_seen(struct fields *fields, slice name, enum field_id id, slice value);
/* At most 1023 bytes of value: ERR_LIMIT. */
MUST_USE err fields_addf(struct fields *fields, enum field_id id, const char *format, ...) PRINTF(3, 4);
/* Copies field i of from. */
MUST_USE err fields_copy(struct fields *fields, const struct fields *from, unsigned i);
/* Makes room for that much more, at once, where the size is known. */
MUST_USE err fields_reserve(struct fields *fields, unsigned count, size_t text_bytes);

static inline slice field_name(const struct fields *fields, unsigned i)
{
    return slice_of(fields->text + fields->list[i].name_off, fields->list[i].name_len);
}

static inline slice field_value(const struct fields *fields, unsigned i)
{
    const struct field *f = &fields->list[i];
    return slice_of(fields->text + f->name_off + f->name_len + 2, f->value_len);
}

/* Index of the first field with that id at or after from, or -1. Walk: for (i = -1; (i = fields_next(f, id, i + 1)) >= 0;). */
int fields_next(const struct fields *fields, enum field_id id, int from);
static inline bool fields_has(const struct fields *fields, enum field_id id)
{
    return (fields->seen[id / 64] >> (id % 64)) & 1;
}
/* For who appends to the list. */
static inline void fields_see(uint64_t seen[2], unsigned id)
{
    seen[id / 64] |= (uint64_t)1 << (id % 64);
}
unsigned fields_count_of(const struct fields *fields, enum field_id id);
/* The value of the first field with that id; data NULL when there is none. fields_count_of says how many. */
slice fields_get(const struct fields *fields, enum field_id id);
int fields_find_named(const struct fields *fields, slice name); /* any name; case-insensitive; -1 */

#endif
