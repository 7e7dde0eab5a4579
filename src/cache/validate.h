/* validate: conditional requests, ours to the origin and the client's to us (RFC 9111 4.3). */
#ifndef WARP_CACHE_VALIDATE_H
#define WARP_CACHE_VALIDATE_H

#include "cache/stored.h"
#include "http/conditional.h"

/* Adds If-None-Match, and If-Modified-Since where there is no entity tag, to a request being built (RFC 9111
 * 4.3.1). *ret_conditional is false when the stored response has no validator: nothing was added. */
MUST_USE err validate_add_conditions(const struct fields *fields, const struct stored *stored, struct fields *ret_request,
                                     bool *ret_conditional);

enum validate_match {
    VALIDATE_MATCH,     /* the 304 is about what is stored: stored_merge_304 */
    VALIDATE_OTHER_TAG, /* it answers our one If-None-Match, yet names another tag, as servers do that compress late
                           ("x-gzip" answered by "x"): merged all the same, the stored tag stays; count it */
    VALIDATE_MISMATCH,  /* it names another representation: drop it, fetch without conditions */
};
/* Does a 304 to a request made by validate_add_conditions, with no condition but those, speak of the stored
 * response (RFC 9111 4.3.4)? */
enum validate_match validate_match_304(const struct fields *fields, const struct stored *stored, const struct response *not_modified);

/* A client's field that a fill must not forward: conditionals and Range (the fill wants the whole, for all). */
bool validate_is_stripped(enum field_id id);

/* The client's own conditions on a stored response that may be used (http/conditional.h). GET and HEAD. */
MUST_USE enum cond client_precondition(const struct request *request, const struct fields *fields, const struct stored *stored,
                                       int64_t now_s);
/* May the client's Range be answered from it (If-Range)? */
MUST_USE bool client_if_range(const struct request *request, const struct fields *fields, const struct stored *stored,
                              int64_t now_s);
void stored_validators(const struct fields *fields, const struct stored *stored, struct validators *ret_validators);

#endif
