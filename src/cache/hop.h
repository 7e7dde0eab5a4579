/* hop: fields that concern one connection only (RFC 9110 7.6.1): the known ones and those Connection names. */
#ifndef WARP_CACHE_HOP_H
#define WARP_CACHE_HOP_H

#include "http/field.h"

/* More names than this in Connection is nobody's honest message; it keeps the work linear in the fields. */
#define HOP_NAMES_MAX 32u

struct hop_names {
    slice names[HOP_NAMES_MAX];
    unsigned count;
};

/* The names in all Connection lines; ERR_LIMIT when there are too many. */
MUST_USE err hop_names_read(const struct fields *fields, struct hop_names *ret_names);
bool hop_names_has(const struct hop_names *names, slice name);
/* Never stored and never passed on: hop-by-hop and framing. */
bool hop_is_field(enum field_id id);
/* Of a response: meant for this cache, so never shown to clients (RFC 9213 2.1). */
bool hop_is_consumed(enum field_id id);

#endif
