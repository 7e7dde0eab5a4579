/* bearer: Authorization: Bearer TOKEN (RFC 6750 2.1). */
#ifndef WARP_HTTP_BEARER_H
#define WARP_HTTP_BEARER_H

#include "http/field.h"

/* What was sent for a token; data NULL: nothing, or more than one. */
slice bearer_of(const struct fields *fields);
/* Is it this token? The time taken says nothing about how much of it was right. An empty token is nobody's. */
bool bearer_is(slice bearer, slice token);
bool bearer_matches(const struct fields *fields, slice token);

#endif
