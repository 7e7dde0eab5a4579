/* cache_status: what WARP says about a reply: Cache-Status (RFC 9211), Age, Via. No printf: the hit path. */
#ifndef WARP_CACHE_CACHE_STATUS_H
#define WARP_CACHE_CACHE_STATUS_H

#include "http/field.h"

/* name, word (RFC 9211 2.2) */
#define CACHE_STATUS_FWDS(X)                                                                                 \
    X(NONE, "")                                                                                              \
    X(URI_MISS, "uri-miss")                                                                                  \
    X(VARY_MISS, "vary-miss")                                                                                \
    X(MISS, "miss")                                                                                          \
    X(REQUEST, "request")                                                                                    \
    X(STALE, "stale")                                                                                        \
    X(PARTIAL, "partial")                                                                                    \
    X(BYPASS, "bypass")                                                                                      \
    X(METHOD, "method")

enum cache_status_fwd {
#define X(name, word) CACHE_STATUS_##name,
    CACHE_STATUS_FWDS(X)
#undef X
        CACHE_STATUS_FWD_COUNT
};

struct cache_status {
    bool hit;
    enum cache_status_fwd fwd; /* NONE: not forwarded */
    uint16_t fwd_status;       /* 0: not said */
    bool has_ttl;
    int32_t ttl_s;             /* negative: stale */
    bool stored, collapsed;
    slice key;                 /* empty: not said; anything not printable is written as %XX */
    slice detail;              /* empty: not said; a token is written as such, else quoted */
};

#define CACHE_STATUS_BYTES_MAX 1024u /* key and detail are cut to fit */

/* The field's value; buffer has CACHE_STATUS_BYTES_MAX bytes. Returns its length. */
size_t cache_status_write(const struct cache_status *status, char *buffer);
/* The value of Age: digits of age_s (negative: 0). buffer has 12 bytes. Returns the length. */
size_t age_write(int32_t age_s, char *buffer);
/* Adds Age (age_s >= 0), Via and Cache-Status to a reply's own fields. age_s < 0: no Age (not from the store). */
MUST_USE err cache_status_add(struct fields *added, const struct cache_status *status, int32_t age_s);

#endif
