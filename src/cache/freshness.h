/* freshness: how long a response may be used without asking the origin (RFC 9111 4.2, 9213, 5861).
 *
 * The first valid field of this order decides alone (RFC 9213 2.2: the others are then ignored, no-store and
 * private included): Warp-Cache-Control, CDN-Cache-Control, Surrogate-Control, Cache-Control; lifetimes under
 * Cache-Control fall back to Expires, then to the heuristic. A Surrogate-Control without a lifetime and without
 * no-store (content= only) decides nothing. All values are seconds, saturated at
 * FRESHNESS_SECONDS_MAX (RFC 9111 1.2.2 allows 2^31 or more). No clock in here. */
#ifndef WARP_CACHE_FRESHNESS_H
#define WARP_CACHE_FRESHNESS_H

#include "http/message.h"

#define FRESHNESS_SECONDS_MAX   INT32_MAX
#define FRESHNESS_DEVICE        "warp" /* our name in Surrogate-Control and Surrogate-Capability */
#define HEURISTIC_SECONDS_MAX   86400 /* RFC 9111 4.2.2 leaves the limit to us */
#define HEURISTIC_DIVISOR       10    /* a tenth of Date - Last-Modified */

/* name, word, text: which information gave the lifetime */
#define FRESHNESS_SOURCES(X)                                                                                 \
    X(NONE, "none", "no explicit freshness and no ground for a heuristic")                                   \
    X(WARP_CACHE_CONTROL, "warp-cache-control", "Warp-Cache-Control (RFC 9213)")                             \
    X(CDN_CACHE_CONTROL, "cdn-cache-control", "CDN-Cache-Control (RFC 9213)")                                \
    X(SURROGATE_CONTROL, "surrogate-control", "Surrogate-Control: max-age")                                  \
    X(S_MAXAGE, "s-maxage", "Cache-Control: s-maxage")                                                       \
    X(MAX_AGE, "max-age", "Cache-Control: max-age")                                                          \
    X(EXPIRES, "expires", "Expires - Date")                                                                  \
    X(HEURISTIC, "heuristic", "a tenth of Date - Last-Modified, a day at most (RFC 9111 4.2.2)")             \
    X(RULE, "rule", "a rule of the tenant")

enum freshness_source {
#define X(name, word, text) FRESHNESS_##name,
    FRESHNESS_SOURCES(X)
#undef X
        FRESHNESS_SOURCE_COUNT
};

const char *freshness_source_word(enum freshness_source source);

/* Kept in stored heads on disk: append only. name, bit, word */
#define CONTROL_FLAGS(X)                                                                                     \
    X(NO_STORE, 0, "no-store")                                                                               \
    X(NO_CACHE, 1, "no-cache")   /* without a field list */                                                  \
    X(PRIVATE, 2, "private")     /* without a field list */                                                  \
    X(PUBLIC, 3, "public")                                                                                   \
    X(MUST_REVALIDATE, 4, "must-revalidate")                                                                 \
    X(PROXY_REVALIDATE, 5, "proxy-revalidate")                                                               \
    X(S_MAXAGE, 6, "s-maxage")                                                                               \
    X(MUST_UNDERSTAND, 7, "must-understand")                                                                 \
    X(IMMUTABLE, 8, "immutable")                                                                             \
    X(TARGETED, 9, "targeted")   /* a CDN field decided (Warp-, CDN-Cache-Control, Surrogate-Control) */     \
    X(HEURISTIC, 10, "heuristic")                                                                            \
    X(SWR, 11, "stale-while-revalidate")                                                                     \
    X(SIE, 12, "stale-if-error")                                                                             \
    X(AGE_INVALID, 13, "age-invalid")                                                                        \
    X(ETAG, 14, "etag")                                                                                      \
    X(ETAG_STRONG, 15, "etag-strong")                                                                        \
    X(LAST_MODIFIED, 16, "last-modified") /* present and a date */                                           \
    X(DATE_ADDED, 18, "date-added") /* the origin sent none */                                               \
    X(REQUEST_AUTHORIZED, 19, "authorized") /* the request that made it had Authorization */                 \
    X(SET_COOKIE, 20, "set-cookie")

enum control_flag {
#define X(name, bit, word) CONTROL_##name = 1u << (bit),
    CONTROL_FLAGS(X)
#undef X
};

struct freshness {
    uint32_t flags;              /* enum control_flag */
    enum freshness_source source;
    bool is_explicit;            /* source is neither NONE nor HEURISTIC */
    enum field_id control_field; /* whose directives counted; F_OTHER: none was there */
    int32_t lifetime_s;          /* 0 without a source */
    int32_t initial_age_s;       /* corrected_initial_age of RFC 9111 4.2.3 */
    int32_t swr_s, sie_s;        /* 0 unless CONTROL_SWR, CONTROL_SIE */
    int64_t date_s;              /* Date, or response_time where there is none or it is no date */
    int64_t last_modified_s;     /* INT64_MIN without CONTROL_LAST_MODIFIED */
};

/* A rule of the tenant, applied where the origin says nothing explicit, or over it. */
struct freshness_rule {
    int32_t ttl_s;   /* -1: no rule */
    bool override_;  /* also over what the origin said; never over no-store, private, no-cache */
};

/* request_time_ms, response_time_ms: when the request for it was sent, when its head arrived (Unix time). rule may be NULL. */
void freshness_of(const struct response *response, int64_t request_time_ms, int64_t response_time_ms,
                  const struct freshness_rule *rule, struct freshness *ret_freshness);

/* The names that no-cache="..." and private="..." of the deciding field list: such fields are not stored. */
#define CONTROL_NAMES_MAX 32u
struct control_names {
    slice names[CONTROL_NAMES_MAX];
    unsigned count;
    bool too_many; /* then the response is not stored */
};
void freshness_control_names(const struct fields *fields, enum field_id control_field, struct control_names *ret_names);
bool control_names_has(const struct control_names *names, slice name);

/* RFC 9111 4.2.3. An Age that is not one non-negative number makes the response stale (AGE_INVALID). */
enum age_parse { AGE_NONE, AGE_OK, AGE_BAD };
enum age_parse freshness_age_parse(const struct fields *fields, int32_t *ret_age_s);

/* current_age: initial age plus resident time; never negative, saturating, also when the clock went back. */
int32_t freshness_current_age(int32_t initial_age_s, int64_t response_time_ms, int64_t now_ms);

/* RFC 9110 15.1: 200 203 204 206 300 301 308 404 405 410 414 501. */
bool status_is_heuristically_cacheable(unsigned status);

#endif
