#include "cache/partial.h"

#include "http/etag.h"

#define PARTIAL_MAGIC   0x50525753u /* "SWRP" */
#define PARTIAL_VERSION 1u

static_assert(sizeof(struct partial) == 24 && sizeof(struct partial_range) == 16, "description of parts on disk");

err partial_view(slice blob, const struct partial **ret_partial)
{
    const struct partial *p = (const struct partial *)(const void *)blob.data;
    ENSURE(blob.len >= sizeof(*p) && (uintptr_t)blob.data % 8 == 0, CORRUPT);
    ENSURE(p->magic == PARTIAL_MAGIC && p->version == PARTIAL_VERSION && p->total_bytes == blob.len, CORRUPT);
    ENSURE(p->count >= 1 && p->count <= PARTIAL_RANGES_MAX && p->etag_len <= PARTIAL_ETAG_BYTES_MAX, CORRUPT);
    size_t used = sizeof(*p) + p->count * sizeof(struct partial_range) + p->etag_len;
    ENSURE(used <= blob.len && blob.len - used < 8, CORRUPT);
    for (unsigned i = 0; i < p->count; i++) {
        const struct partial_range *r = &p->ranges[i];
        ENSURE(r->first < r->end && r->end <= p->length_bytes, CORRUPT);
        ENSURE(i == 0 || p->ranges[i - 1].end < r->first, CORRUPT); /* adjacent ones would be one */
    }
    *ret_partial = p;
    return ERR_OK;
}

slice partial_etag(const struct partial *partial)
{
    if (partial->etag_len == 0)
        return SLICE_NONE;
    return slice_of(&partial->ranges[partial->count], partial->etag_len);
}

bool partial_covers(const struct partial *partial, struct partial_range wanted)
{
    for (unsigned i = 0; i < partial->count && wanted.first < wanted.end; i++)
        if (partial->ranges[i].first <= wanted.first && wanted.end <= partial->ranges[i].end)
            return true;
    return false;
}

bool partial_is_complete(const struct partial *partial)
{
    return partial_covers(partial, (struct partial_range){0, partial->length_bytes});
}

bool partial_next_gap(const struct partial *partial, uint64_t from, struct partial_range *ret_gap)
{
    struct partial_range gap = {from, partial->length_bytes};
    for (unsigned i = 0; i < partial->count; i++) {
        const struct partial_range *r = &partial->ranges[i];
        if (r->end <= gap.first)
            continue;
        if (r->first > gap.first) {
            gap.end = r->first;
            break;
        }
        gap.first = r->end;
    }
    if (gap.first >= gap.end)
        return false;
    *ret_gap = gap;
    return true;
}

/* What a 206 says about itself. */
struct part {
    struct partial_range range;
    uint64_t length_bytes;
    slice etag; /* strong, or none */
};

static bool part_read(const struct response *response, struct part *ret_part)
{
    struct content_range range;
    struct etag tag;
    if (response->status != 206 || fields_count_of(&response->fields, F_CONTENT_RANGE) != 1)
        return false;
    if (!content_range_parse(fields_get(&response->fields, F_CONTENT_RANGE), &range) || !range.satisfied)
        return false;
    if (range.length_bytes == UINT64_MAX)
        return false;
    if (response->body == BODY_LENGTH && response->length_bytes != range.last - range.first + 1)
        return false;
    *ret_part = (struct part){{range.first, range.last + 1}, range.length_bytes, SLICE_NONE};
    slice etag = fields_get(&response->fields, F_ETAG);
    if (fields_count_of(&response->fields, F_ETAG) == 1 && etag_parse(etag, &tag) && !tag.weak && etag.len <= PARTIAL_ETAG_BYTES_MAX)
        ret_part->etag = etag;
    return true;
}

/* old with added in it, sorted, what touches joined. ret has room for count + 1. */
static unsigned merge(const struct partial *old, struct partial_range added, struct partial_range *ret)
{
    unsigned count = 0;
    bool placed = false;
    for (unsigned i = 0; old != NULL && i < old->count; i++) {
        struct partial_range r = old->ranges[i];
        if (r.end < added.first) {
            ret[count++] = r;
        } else if (added.end < r.first) {
            if (!placed)
                ret[count++] = added;
            placed = true;
            ret[count++] = r;
        } else {
            added.first = MIN(added.first, r.first);
            added.end = MAX(added.end, r.end);
        }
    }
    if (!placed)
        ret[count++] = added;
    return count;
}

static err partial_write(struct arena *arena, const struct part *part, const struct partial_range *ranges, unsigned count,
                         slice *ret_blob)
{
    size_t used = sizeof(struct partial) + count * sizeof(*ranges) + part->etag.len;
    size_t total = (used + 7) & ~(size_t)7;
    struct partial *p = arena_zalloc(arena, total);
    ENSURE(p != NULL, MEMORY);
    p->magic = PARTIAL_MAGIC;
    p->version = PARTIAL_VERSION;
    p->count = (uint16_t)count;
    p->length_bytes = part->length_bytes;
    p->etag_len = (uint32_t)part->etag.len;
    p->total_bytes = (uint32_t)total;
    memcpy(p->ranges, ranges, count * sizeof(*ranges));
    if (part->etag.len > 0)
        memcpy((char *)p + sizeof(*p) + count * sizeof(*ranges), part->etag.data, part->etag.len);

    *ret_blob = slice_of(p, total);
    return ERR_OK;
}

err partial_add(struct arena *arena, slice old, const struct response *response, slice *ret_blob, struct partial_range *ret_added,
                enum partial_result *ret_result)
{
    const struct partial *before = NULL;
    struct partial_range ranges[PARTIAL_RANGES_MAX + 1];
    struct part part;
    if (old.len > 0)
        TRY(partial_view(old, &before));
    if (!part_read(response, &part)) {
        *ret_result = PARTIAL_BAD;
        return ERR_OK;
    }
    /* RFC 9111 3.4: parts meet under the same strong validator only. */
    if (before != NULL && (part.etag.len == 0 || !slice_eq(part.etag, partial_etag(before)) ||
                           part.length_bytes != before->length_bytes)) {
        *ret_result = PARTIAL_OTHER;
        return ERR_OK;
    }
    unsigned count = merge(before, part.range, ranges);
    if (count > PARTIAL_RANGES_MAX) {
        *ret_result = PARTIAL_TOO_MANY;
        return ERR_OK;
    }
    TRY(partial_write(arena, &part, ranges, count, ret_blob));
    *ret_added = part.range;
    *ret_result = PARTIAL_ADDED;
    return ERR_OK;
}
