/* uri: http and https URIs as a cache needs them (RFC 3986, RFC 9110 4.2). Nothing is decoded. Pure. */
#ifndef WARP_HTTP_URI_H
#define WARP_HTTP_URI_H

#include "base/arena.h"
#include "base/err.h"

#define AUTHORITY_BYTES_MAX 262u /* a name of 255, a colon, a port */

struct uri {
    bool https;
    slice authority; /* normalised */
    slice target;    /* path and query, begins with '/' */
};

/* host[:port] -> lower case, default port and empty port dropped, port without leading zeros, one trailing dot
 * dropped. ERR_INVALID: userinfo, an empty host or label, anything but unreserved characters in a name (so also
 * percent-encoding and lists), a bad IPv6 literal, a port outside 1..65535, longer than AUTHORITY_BYTES_MAX.
 * The result is in the arena, or is raw itself when it is normal already and copy is false. */
MUST_USE err authority_normalise(slice raw, bool https, bool copy, struct arena *arena, slice *ret_authority);

/* scheme://authority[path][?query][#fragment]: an absolute URL; the fragment is dropped, an empty path is "/".
 * ERR_UNSUPPORTED: another scheme. Slices are in the arena or within url. */
MUST_USE err uri_parse(slice url, struct arena *arena, struct uri *ret_uri);

/* A reference (Location, Content-Location) against a base (RFC 3986 5.2, dot segments removed). */
MUST_USE err uri_resolve(const struct uri *base, slice reference, struct arena *arena, struct uri *ret_uri);

/* RFC 9110 4.3.1: scheme, host, port. */
bool uri_same_origin(const struct uri *a, const struct uri *b);

#endif
