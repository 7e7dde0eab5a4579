/* reuse: what to do with a request whose stored response was found (RFC 9111 4, 5861, 8246). */
#ifndef WARP_CACHE_REUSE_H
#define WARP_CACHE_REUSE_H

#include "cache/stored.h"

#define REUSE_STALE_LIMIT_S 86400

/* name, word, text */
#define REUSE_VERDICTS(X)                                                                                    \
    X(FRESH, "fresh", "answered from the store")                                                             \
    X(STALE_WHILE_REVALIDATE, "stale-while-revalidate", "answered stale; revalidated once in the background") \
    X(STALE_ALLOWED, "stale-allowed", "answered stale; the client's max-stale allows it")                     \
    X(VALIDATE, "validate", "the origin is asked with the stored validator")                                 \
    X(FETCH, "fetch", "the origin is asked anew: nothing to validate with")                                  \
    X(GATEWAY_TIMEOUT, "gateway-timeout", "504: only-if-cached and nothing that may be used")

enum reuse_verdict {
#define X(name, word, text) REUSE_##name,
    REUSE_VERDICTS(X)
#undef X
        REUSE_VERDICT_COUNT
};

/* name, word for explain, value of Cache-Status fwd (RFC 9211 2.2; empty: not forwarded), text */
#define REUSE_REASONS(X)                                                                                     \
    X(FRESH, "fresh", "", "within its lifetime")                                                             \
    X(EXPIRED, "expired", "stale", "older than its lifetime")                                                \
    X(NO_CACHE, "no-cache", "stale", "the origin asks for validation each time")                             \
    X(SOFT_PURGED, "soft-purged", "stale", "purged softly")                                                  \
    X(HEURISTIC_CREDENTIALS, "heuristic-credentials", "request", "only heuristically fresh, and the request has Cookie or Authorization") \
    X(CLIENT_NO_CACHE, "client-no-cache", "request", "the client said no-cache, and is listened to here")    \
    X(CLIENT_MAX_AGE, "client-max-age", "request", "older than the client's max-age")                        \
    X(CLIENT_MIN_FRESH, "client-min-fresh", "request", "not fresh for as long as the client's min-fresh")

enum reuse_reason {
#define X(name, word, fwd, text) REUSE_REASON_##name,
    REUSE_REASONS(X)
#undef X
        REUSE_REASON_COUNT
};

const char *reuse_verdict_word(enum reuse_verdict verdict);
const char *reuse_reason_word(enum reuse_reason reason);
const char *reuse_reason_fwd(enum reuse_reason reason);

struct reuse_policy {
    bool honour_client_directives; /* no-cache, max-age, min-fresh, max-stale, Pragma of the client; default no */
    bool soft_purged;              /* of this object: the store says so */
    int32_t stale_limit_s;         /* beyond the lifetime, where the origin named no limit; 0: only what it named */
    int32_t swr_default_s;         /* stale-while-revalidate where the origin named none; default 0 */
};
#define REUSE_POLICY_DEFAULT ((struct reuse_policy){.stale_limit_s = REUSE_STALE_LIMIT_S})

struct reuse {
    enum reuse_verdict verdict;
    enum reuse_reason reason;
    int32_t age_s; /* current_age: the Age of a reply made from it */
    int32_t ttl_s; /* lifetime - age, negative when stale (RFC 9211 ttl) */
};

/* What the request says about caching; parsed once per request, also for a miss. */
struct request_control {
    bool no_store, no_cache, only_if_cached;
    bool has_credentials;   /* Cookie or Authorization */
    bool has_authorization;
    int32_t max_age_s, min_fresh_s, max_stale_s; /* -1: not said; max_stale without a value: FRESHNESS_SECONDS_MAX */
};
void request_control_of(const struct fields *request, struct request_control *ret_control);

struct reuse reuse_decide(const struct request_control *control, const struct stored *stored, int64_t now_ms,
                          const struct reuse_policy *policy);

/* The origin is down, timed out or answered 500, 502, 503, 504: may the stale response be served instead?
 * Not past the limit (stale-if-error where given, else policy.stale_limit_s); never with no-cache,
 * must-revalidate or proxy-revalidate; with s-maxage only when stale-if-error or stale-while-revalidate was given
 * explicitly (RFC 9111 5.2.2.10 implies proxy-revalidate). */
bool stale_if_error_allowed(const struct stored *stored, int64_t now_ms, const struct reuse_policy *policy);

#endif
