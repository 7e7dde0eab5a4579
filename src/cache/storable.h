/* storable: may this response be stored for everybody (RFC 9111 3, and rule 5 of the security page)? */
#ifndef WARP_CACHE_STORABLE_H
#define WARP_CACHE_STORABLE_H

#include "cache/freshness.h"

/* name, word (metric label, explain), text. Append only in spirit: dashboards know the words. */
#define NOT_STORED_REASONS(X)                                                                                \
    X(NONE, "stored", "nothing speaks against it")                                                           \
    X(METHOD, "method", "only answers to GET are stored")                                                    \
    X(REQUEST_BODY, "request-body", "the GET had a body, which is not in the key")                           \
    X(REQUEST_NO_STORE, "request-no-store", "the request said no-store")                                     \
    X(STATUS, "status", "not a final status that can be stored (1xx, 304, 412, 416)")                        \
    X(MUST_UNDERSTAND, "must-understand", "must-understand with a status WARP does not know")                \
    X(NO_STORE, "no-store", "the origin said no-store")                                                      \
    X(PRIVATE, "private", "the origin said private")                                                         \
    X(AUTHORIZATION, "authorization", "the request had Authorization and the answer allows no sharing (RFC 9111 3.5)") \
    X(SET_COOKIE, "set-cookie", "Set-Cookie without public, s-maxage or a CDN cache control")                \
    X(VARY_STAR, "vary-star", "Vary: * or a Vary on something only this client has")                         \
    X(VARY_TOO_LONG, "vary-too-long", "Vary names too many fields")                                          \
    X(NO_FRESHNESS, "no-freshness", "no explicit freshness and no ground for a heuristic")                  \
    X(HEURISTIC_CREDENTIALS, "heuristic-credentials", "only heuristically fresh, and the request had Cookie or Authorization") \
    X(ALREADY_STALE, "already-stale", "stale on arrival and nothing to validate it with")                    \
    X(PARTIAL_UNASKED, "partial-unasked", "206 to a request without Range")                                  \
    X(PARTIAL_BAD, "partial-bad", "206 whose Content-Range is missing, invalid or multipart")                \
    X(INCOMPLETE, "incomplete", "the body did not come to its end")                                          \
    X(TOO_LARGE, "too-large", "larger than the store takes")                                                 \
    X(TOO_MANY_TAGS, "too-many-tags", "more tags than 256 or 16 KiB")                                        \
    X(TYPE_MISMATCH, "type-mismatch", "the content type contradicts the suffix under a static rule")         \
    X(HEAD_TOO_LARGE, "head-too-large", "more fields than a stored head takes")                              \
    X(RULE, "rule", "a rule of the tenant turns the cache off")                                              \
    X(VARIANT_MISMATCH, "variant-mismatch", "changed Vary while it was fetched")                             \
    X(PURGED, "purged", "purged while it was fetched")                                                       \
    X(QUOTA, "quota", "the tenant has its share of the store (soft: until it is asked for twice)")               \
    X(STORE, "store", "the store refused it (admission, error)")

enum not_stored {
#define X(name, word, text) NOT_STORED_##name,
    NOT_STORED_REASONS(X)
#undef X
        NOT_STORED_COUNT
};

const char *not_stored_word(enum not_stored reason);
const char *not_stored_text(enum not_stored reason);

struct storable_options {
    bool asked_range;     /* the fill's own request had Range: a 206 is expected */
    bool static_rule;     /* the tenant stores by suffix here: the type must agree with it */
    bool never_set_cookie; /* a rule says that nothing with Set-Cookie is stored */
};

/* Looks at heads only; INCOMPLETE, TOO_LARGE, TOO_MANY_TAGS, PURGED and STORE are the fill's to find later.
 * options may be NULL. The method of request is the client's (a HEAD stores nothing). */
enum not_stored storable_check(const struct request *request, const struct response *response,
                               const struct freshness *freshness, const struct storable_options *options);
/* Is that final status code one whose caching rules WARP knows (for must-understand)? */
bool status_is_understood(unsigned status);
/* Does the type contradict what the path's suffix promises (deception: text/html for "/me/x.css")? */
bool type_contradicts_suffix(slice target, slice content_type);

#endif
