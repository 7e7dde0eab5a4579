/* key: what identifies a stored response, and the labels by which it can be purged.
 *
 * Full key (compared byte for byte before anything is served; the store hashes it):
 *   u8 'K'  u32 tenant  u32 rules generation  u8 scheme (0 http, 1 https)
 *   u32 authority length, authority   u32 target length, target
 * followed by what a tenant's key rules add, where they add anything
 *   u8 'X'  u32 length, extra
 * A variant's key is the primary's key followed by
 *   u8 'V'  u32 spec length, spec     u32 values length, values            (vary.h makes both)
 * Integers are the machine's (a store is not moved between byte orders). Every part has its length, so no two
 * inputs give the same bytes. The bytes are those that are forwarded: nothing is decoded, folded or reordered
 * here (request.authority is normal already). */
#ifndef WARP_CACHE_KEY_H
#define WARP_CACHE_KEY_H

#include "base/arena.h"
#include "base/err.h"
#include "http/field.h"

struct key_parts {
    uint32_t tenant; /* id */
    uint32_t rules;  /* generation of the tenant's key rules */
    bool https;      /* the scheme the client used */
    slice authority; /* as forwarded */
    slice target;    /* path and query as forwarded */
    slice extra;     /* what key rules add: made by tenant/, compared as it is; mostly empty */
    bool is_variant; /* set by key_read only, with the two below */
    slice spec, values;
};

size_t key_size(const struct key_parts *parts);
/* buffer has room for key_size(parts) bytes. Writes the primary key. */
slice key_write(const struct key_parts *parts, char *buffer);
/* The primary key in the arena. */
MUST_USE err key_build(struct arena *arena, const struct key_parts *parts, slice *ret_key);
/* primary is a primary key; spec and values come from vary.h. */
MUST_USE err key_build_variant(struct arena *arena, slice primary, slice spec, slice values, slice *ret_key);
/* Takes a key apart (slices point into it); false when it is not one. */
MUST_USE bool key_read(slice key, struct key_parts *ret_parts);
/* "http://host/path?query", for browse, explain and the URL label. */
MUST_USE err key_url(struct arena *arena, const struct key_parts *parts, slice *ret_url);

#define LABEL_PREFIX_LEVELS_MAX 16u    /* deeper prefixes cannot be purged: the API refuses them */
#define LABEL_TAGS_MAX          256u   /* tags and groups of one response; a group is both */
#define LABEL_TAG_BYTES_MAX     16384u /* the same, their texts in sum */

/* kind, word, text. The kinds are on disk in the purge journal: append only. */
#define LABEL_KINDS(X)                                                                                       \
    X(URL, "url", "one URL: scheme://authority/path?query")                                                  \
    X(HOST, "host", "an authority: host[:port]")                                                             \
    X(PREFIX, "prefix", "scheme://authority/path/ and all below")                                            \
    X(TAG, "tag", "an element of Surrogate-Key, Cache-Tag or Cache-Groups")                                                \
    X(GROUP, "group", "scheme://authority, a space, and a group of Cache-Groups (RFC 9875: per origin)")

enum label_kind {
#define X(name, word, text) LABEL_##name,
    LABEL_KINDS(X)
#undef X
        LABEL_KIND_COUNT
};

const char *label_kind_word(enum label_kind kind);

/* text is valid during the call only. */
typedef void label_fn(void *context, enum label_kind kind, slice text);

/* Calls label once per label of a response: its URL, host, path prefixes ("/" first), tags, groups, in that
 * order, each different tag once is the caller's business (hashes are compared there). Never calls for tags
 * or groups when *ret_too_many: such a response must not be stored, as its tags could not be purged.
 * response may be NULL (no tags). ERR_MEMORY only. */
MUST_USE err labels_build(struct arena *arena, const struct key_parts *parts, const struct fields *response, label_fn *label,
                          void *context, bool *ret_too_many);
/* The text of a group's label, for invalidation (invalidate.h) and purges. */
MUST_USE err label_group_text(struct arena *arena, const struct key_parts *parts, slice group, slice *ret_text);

#endif
