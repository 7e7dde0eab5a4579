/* vary: which request fields chose this response (RFC 9111 4.1), and the marker that remembers it.
 *
 * A spec is the canonical text of a Vary: lower-case names, sorted, unique, joined by ",". The values of a
 * request for a spec are, per name in that order, u32 length (VARY_ABSENT: the request has no such field) and
 * the normalised value. Published normalisations, nothing else is taken as equal:
 *   any field         lines joined by ","; white space around commas outside quotation marks and at the ends dropped
 *   Accept-Encoding   codings in lower case, x-gzip = gzip, x-compress = compress; in the order of their
 *                     preference, equal ones sorted, q itself dropped; q=0 only where it excludes something
 *   Accept-Language   ranges in lower case, in the order of their preference, equal ones sorted, q itself dropped
 * A value of the last two that cannot be read, or names something twice, counts as any field. Codings WARP does
 * not know stay: the origin may know them. A field that Connection names counts as absent: the origin never
 * sees it.
 * Fields that the forwarder writes from the key alone (Host, X-Forwarded-Proto, X-Forwarded-Host) are left out
 * of a spec; those it writes anew for each client (X-Forwarded-For, Forwarded, X-Request-Id, traceparent, ...)
 * make the response as unstorable as "*" does. */
#ifndef WARP_CACHE_VARY_H
#define WARP_CACHE_VARY_H

#include "base/hash.h"
#include "http/field.h"

#define VARY_NAMES_MAX      32u
#define VARY_SPEC_BYTES_MAX 1024u
#define VARY_SPECS_MAX      4u
#define VARY_VARIANTS_MAX   64u
#define VARY_ABSENT         UINT32_MAX

enum vary_result {
    VARY_NONE,     /* no Vary, or nothing in it that is not in the key already */
    VARY_SPEC,     /* *ret_spec is set */
    VARY_STAR,     /* never to be reused */
    VARY_TOO_LONG, /* beyond the limits above: not stored */
};
/* All Vary lines. spec is in the arena. ERR_MEMORY only. A name that is not a token counts as "*". */
MUST_USE err vary_parse(struct arena *arena, const struct fields *response, enum vary_result *ret_result, slice *ret_spec);

/* The values of a request for a spec, in the arena. ERR_LIMIT: Connection names too much (the request is bad). */
MUST_USE err vary_values(struct arena *arena, slice spec, const struct fields *request, slice *ret_values);

/* Next name of a spec: for (slice rest = spec, name; vary_spec_next(&rest, &name);) */
bool vary_spec_next(slice *rest, slice *ret_name);

/* The marker: the body-less object under the primary key when the response varies.
 * A lookup tries the specs in order, most recent first, and builds the variant's key for each. */
struct vary_marker {
    unsigned spec_count;
    slice specs[VARY_SPECS_MAX]; /* into the blob */
    unsigned variant_count;
    const hash128 *variants;     /* into the blob; oldest first */
};
/* blob.data is 8-byte aligned; ERR_CORRUPT for anything but what vary_marker_add made. */
MUST_USE err vary_marker_view(slice blob, struct vary_marker *ret_marker);

/* The marker with spec first and variant (hash of its key) last. old may be empty (the first variant). A
 * variant already listed becomes the newest. *ret_dropped: the oldest fell out, it is *ret_dropped_hash and
 * should be removed from the store. A spec that falls out leaves its variants to age out of the list. */
MUST_USE err vary_marker_add(struct arena *arena, slice old, slice spec, hash128 variant, slice *ret_blob, bool *ret_dropped,
                             hash128 *ret_dropped_hash);
/* Is there nothing to write: spec is first and variant is listed already? */
bool vary_marker_has(const struct vary_marker *marker, slice spec, hash128 variant);

#endif
