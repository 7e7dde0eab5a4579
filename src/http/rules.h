/* rules: what the fields of a head must keep to whatever the version of HTTP that brought them. Pure; the reasons to
 * refuse are h1_parse's. */
#ifndef WARP_HTTP_RULES_H
#define WARP_HTTP_RULES_H

#include "http/h1_parse.h"

/* There is a Content-Length: exactly one, digits only, at most 2^63-1. */
MUST_USE enum h1_error rule_length(const struct fields *fields, uint64_t *ret_bytes);
/* Host or an authority, normalised (http/uri.h); invalid: what to say when it is not one. */
MUST_USE enum h1_error rule_authority(slice raw, bool https, enum h1_error invalid, struct arena *arena,
                                      slice *ret_authority);
/* The authority-form of CONNECT: the port is not optional. */
MUST_USE enum h1_error rule_connect_target(slice target, bool https, struct arena *arena, slice *ret_authority);
/* There is a Host: exactly one, valid. HTTP/1.0 may send it empty: *ret_authority is {NULL, 0} then. */
MUST_USE enum h1_error rule_host(const struct fields *fields, bool may_be_empty, bool https, struct arena *arena,
                                 slice *ret_authority);
/* Expect says nothing but 100-continue; none is fine. */
MUST_USE enum h1_error rule_expect(const struct fields *fields);
/* No body follows an answer with that status to that method, whatever its fields say (RFC 9110 6.4.1). */
bool rule_is_bodiless(enum method request_method, uint16_t status);

#endif
