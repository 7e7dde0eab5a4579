/* stored_pack: the head of a stored response (stored.h) as it is kept on a disk: a quarter of it is numbers that are small
 * or near each other, and a list that its text repeats.
 *
 *   version 2 B | members of struct stored, in the order of the table | fields, hidden ones behind the others
 *   | struct stored_slices where the body lies in slices
 *   field: id | value's length | value          or: 0 | name's length | value's length | name | value
 *
 * Numbers are variable-length integers. The version is made of the names that have ids (http/field.h), too. Unpacking checks every length; what
 * comes out is still looked at by stored_view. Pure; any thread. */
#ifndef WARP_CACHE_STORED_PACK_H
#define WARP_CACHE_STORED_PACK_H

#include "base/slice.h"

/* 0: not a stored head. */
size_t stored_packed_bytes(slice meta);
void stored_pack(slice meta, char *to); /* as many bytes as stored_packed_bytes says */
/* 0: damaged. */
size_t stored_unpacked_bytes(slice packed);
/* to: 8-byte aligned, as many bytes as stored_unpacked_bytes says. False: damaged. */
bool stored_unpack(slice packed, char *to);

#endif
