/* cache_control: Cache-Control, Pragma, targeted fields and Surrogate-Control, read into one struct.
 *
 * Reading errs on the side of not caching: a freshness directive with a value that is not a number counts as 0
 * (RFC 9111 4.2.1), of two the smaller counts, a restriction counts whatever stands behind it. */
#ifndef WARP_HTTP_CACHE_CONTROL_H
#define WARP_HTTP_CACHE_CONTROL_H

#include "http/field.h"

#define CC_ABSENT   (-1)
#define CC_SECONDS_MAX INT32_MAX /* delta-seconds saturate (RFC 9111 1.2.2); max-stale without a value */

/* directive, member; seconds */
#define CC_SECONDS(X)                                                                                        \
    X("max-age", max_age_s)                                                                                  \
    X("s-maxage", s_maxage_s)                                                                                \
    X("stale-while-revalidate", stale_while_revalidate_s)                                                    \
    X("stale-if-error", stale_if_error_s)                                                                    \
    X("max-stale", max_stale_s)                                                                              \
    X("min-fresh", min_fresh_s)

/* directive, member, restricts (counts even with an unexpected argument) */
#define CC_FLAGS(X)                                                                                          \
    X("no-cache", no_cache, 1)                                                                               \
    X("no-store", no_store, 1)                                                                               \
    X("no-transform", no_transform, 1)                                                                       \
    X("private", is_private, 1)                                                                              \
    X("public", is_public, 0)                                                                                \
    X("must-revalidate", must_revalidate, 1)                                                                 \
    X("proxy-revalidate", proxy_revalidate, 1)                                                               \
    X("must-understand", must_understand, 0)                                                                 \
    X("immutable", immutable, 0)                                                                             \
    X("only-if-cached", only_if_cached, 1)

struct cache_control {
#define X(text, member) int32_t member; /* CC_ABSENT when absent */
    CC_SECONDS(X)
#undef X
#define X(text, member, restricts) bool member : 1;
    CC_FLAGS(X)
#undef X
    bool no_cache_has_fields : 1;   /* every no-cache seen named fields: it is about those only */
    bool is_private_has_fields : 1; /* the same of private */
    bool no_store_remote : 1;       /* Surrogate-Control: no-store-remote */
    bool valid : 1;                 /* the field was there and could be read; else all is absent and false */
};

/* Of a request or a response; id is usually F_CACHE_CONTROL. All lines with the id count. */
void cache_control_read(const struct fields *fields, enum field_id id, struct cache_control *ret_control);

/* RFC 9213 2.1: a Dictionary (F_CDN_CACHE_CONTROL, F_WARP_CACHE_CONTROL). A field that does not parse, or is
 * empty, is as if it were not there (valid false); a member of the wrong type is ignored, but freshness of a
 * wrong type is 0 and a restriction counts unless it says ?0. arena: for joining lines. */
MUST_USE err cache_control_read_targeted(const struct fields *fields, enum field_id id, struct arena *arena,
                                         struct cache_control *ret_control);

/* W3C Edge Architecture 1.0, 2.3: max-age=N[+M] (M: stale_while_revalidate_s and stale_if_error_s), no-store,
 * no-store-remote, content= (ignored). A directive aimed at another device (";name") is ignored; device may be
 * empty. */
void surrogate_control_read(const struct fields *fields, slice device, struct cache_control *ret_control);

bool pragma_no_cache(const struct fields *fields);

/* 1*DIGIT, saturated at CC_SECONDS_MAX; false on anything else. Also for Age. */
MUST_USE bool delta_seconds_parse(slice s, int32_t *ret_s);

#endif
