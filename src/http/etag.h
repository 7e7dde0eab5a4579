/* etag: entity tags (RFC 9110 8.8.3). Pure; slices point into the input. */
#ifndef WARP_HTTP_ETAG_H
#define WARP_HTTP_ETAG_H

#include "http/field.h"

struct etag {
    slice opaque; /* with its quotation marks; data NULL: none */
    bool weak;
};

/* The whole slice must be one tag; W/ is case-sensitive. */
MUST_USE bool etag_parse(slice s, struct etag *ret_tag);
/* The next tag of a list (If-Match, If-None-Match); what is not a tag is passed over to the next comma. */
bool etag_next(slice *rest, struct etag *ret_tag);

/* RFC 9110 8.8.3.2. Nothing equals no tag. */
bool etag_eq_strong(struct etag a, struct etag b);
bool etag_eq_weak(struct etag a, struct etag b);

/* Does one of the lines with that id name the tag, or is it "*"? tag may be none (then only "*" matches). */
bool etag_list_matches(const struct fields *fields, enum field_id id, struct etag tag, bool strong);

#endif
