/* h2_fields: our fields as nghttp2 wants them: lower-case names, in memory that stays until they are compressed. */
#ifndef WARP_PROTO_H2_FIELDS_H
#define WARP_PROTO_H2_FIELDS_H

#include "http/message.h"

#include <nghttp2/nghttp2.h>

#define H2_FIELDS_MAX 320u /* of one list: an origin's 200, and ours */

/* A list under construction; its text, and the copies' names, lie in `text`, which the caller owns. */
struct h2_list {
    nghttp2_nv list[H2_FIELDS_MAX];
    unsigned count;
};

/* How many bytes of text h2_list_copy takes at most. */
size_t h2_fields_bytes(const struct fields *fields);
/* Copies the fields' text (NULL: none) and lists them; returns behind what was used. Beyond H2_FIELDS_MAX: dropped, and
 * the list is not complete (false). */
MUST_USE bool h2_list_copy(struct h2_list *list, const struct fields *fields, char **text);
/* name and value stay where they are. */
void h2_list_add(struct h2_list *list, slice name, slice value);

/* False: no memory, or more than trailers may be. */
MUST_USE bool h2_submit_trailers(nghttp2_session *ng, int32_t stream_id, const struct fields *trailers);

#endif
