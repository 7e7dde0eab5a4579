/* range: byte ranges (RFC 9110 14). Pure.
 *
 *   Range --range_parse--> struct range_request --range_resolve(length)--> FULL | SET | UNSATISFIABLE
 *
 * Bounds: at most RANGES_MAX ranges asked for, coalesced; an answer is never larger than 1.1 times the object
 * (SECURITY.md): FULL then. */
#ifndef WARP_HTTP_RANGE_H
#define WARP_HTTP_RANGE_H

#include "http/field.h"

#define RANGES_MAX              16u
#define RANGE_PART_BYTES        128u /* what a part of multipart/byteranges costs beside its bytes, about */
#define CONTENT_RANGE_BYTES_MAX 80u

struct range {
    uint64_t first, last; /* both included */
};

struct range_spec {
    uint64_t first; /* of a suffix range: how many bytes */
    uint64_t last;  /* UINT64_MAX: open */
    bool suffix;
};

struct range_request {
    struct range_spec list[RANGES_MAX];
    unsigned count;
};

struct range_set {
    struct range list[RANGES_MAX]; /* disjoint, not adjacent, in the order asked for */
    unsigned count;                /* 1: a single part; more: multipart/byteranges */
    uint64_t total_bytes;
};

enum range_result {
    RANGE_FULL,          /* answer 200 with everything */
    RANGE_SET,           /* answer 206 */
    RANGE_UNSATISFIABLE, /* answer 416 */
};

/* false: no Range that counts (another unit, bad syntax, too many ranges, more than one line): answer 200. */
MUST_USE bool range_parse(const struct fields *fields, struct range_request *ret_request);
MUST_USE bool range_parse_value(slice value, struct range_request *ret_request);
MUST_USE enum range_result range_resolve(const struct range_request *request, uint64_t length_bytes,
                                         struct range_set *ret_set);

struct content_range {
    uint64_t first, last; /* when satisfied */
    uint64_t length_bytes; /* UINT64_MAX: unknown ("*") */
    bool satisfied;       /* false: unsatisfied-range of a 416 */
};
/* Strict: first <= last < length. */
MUST_USE bool content_range_parse(slice value, struct content_range *ret_range);
/* Writes at most CONTENT_RANGE_BYTES_MAX, no NUL; returns how many. */
size_t content_range_format(const struct content_range *range, char *ret_text);

#endif
