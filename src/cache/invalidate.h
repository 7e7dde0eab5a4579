/* invalidate: what an unsafe request makes invalid (RFC 9111 4.4, RFC 9875 3). */
#ifndef WARP_CACHE_INVALIDATE_H
#define WARP_CACHE_INVALIDATE_H

#include "cache/key.h"
#include "http/message.h"

/* kind is LABEL_URL or LABEL_GROUP; text as in key.h, valid during the call only. */
typedef void invalidate_fn(void *context, enum label_kind kind, slice text);

/* Calls item for the target URI, and for Location and Content-Location where they have the same origin, and
 * for each group of Cache-Group-Invalidation. Nothing after a safe method or an answer that is not 2xx or 3xx.
 * At most INVALIDATE_ITEMS_MAX calls. */
#define INVALIDATE_GROUPS_MAX 64u /* RFC 9875 asks for 32 */
#define INVALIDATE_ITEMS_MAX  (3u + INVALIDATE_GROUPS_MAX)
MUST_USE err invalidate_items(struct arena *arena, const struct request *request, const struct key_parts *parts,
                              const struct response *response, invalidate_fn *item, void *context);
bool invalidate_applies(enum method method, unsigned status);

#endif
