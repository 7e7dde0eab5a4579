/* bearer: Authorization: Bearer TOKEN (RFC 6750 2.1). */
#ifndef WARP_HTTP_BEARER_H
#define WARP_HTTP_BEARER_H

#include "http/field.h"

/* What the request's one Authorization field shows; false: there is none of that scheme, or several. */
MUST_USE bool bearer_read(const struct fields *fields, slice *ret_token);
/* Is it this token? The time taken says nothing about how much of it was right. An empty token matches nothing. */
bool bearer_matches(const struct fields *fields, slice token);

#endif
