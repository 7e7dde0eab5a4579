/* conditional: a client's preconditions against what is stored (RFC 9110 13, RFC 9111 4.3.2). Pure. */
#ifndef WARP_HTTP_CONDITIONAL_H
#define WARP_HTTP_CONDITIONAL_H

#include "http/message.h"

struct validators {
    slice etag;              /* the field's value; data NULL: none */
    int64_t last_modified_s; /* -1: none */
    int64_t date_s;          /* of the stored answer: its Date, else when it was received */
};

enum cond { COND_PASS, COND_NOT_MODIFIED, COND_FAILED /* 412 */ };

/* In the order of RFC 9110 13.2.2. method: GET or HEAD; for any other a match of If-None-Match is COND_FAILED
 * and If-Modified-Since is ignored. now_s: for two-digit years. */
MUST_USE enum cond cond_evaluate(const struct fields *request, enum method method,
                                 const struct validators *validators, int64_t now_s);

/* Does the Range of the request apply? true without If-Range; else only on a strong match (13.1.5). */
MUST_USE bool cond_if_range(const struct fields *request, const struct validators *validators, int64_t now_s);

bool cond_has_any(const struct fields *request); /* any precondition but If-Range */

#endif
