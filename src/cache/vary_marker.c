#include "cache/vary.h"

#define MARKER_MAGIC   0x4d565257u /* "WRVM" */
#define MARKER_VERSION 1u

/* marker_head | hash128[variant_count] | per spec: u16 length, bytes | zero bytes to 8 */
struct marker_head {
    uint32_t magic;
    uint16_t version;
    uint16_t spec_count;
    uint32_t variant_count;
    uint32_t total_bytes;
};
static_assert(sizeof(struct marker_head) == 16 && sizeof(hash128) == 16, "Vary marker on disk");

static bool spec_is_sound(slice spec)
{
    return spec.len > 0 && spec.len <= VARY_SPEC_BYTES_MAX;
}

err vary_marker_view(slice blob, struct vary_marker *ret_marker)
{
    struct vary_marker marker = {0};
    const struct marker_head *head = (const struct marker_head *)(const void *)blob.data;
    ENSURE(blob.len >= sizeof(*head) && (uintptr_t)blob.data % 8 == 0, CORRUPT);
    ENSURE(head->magic == MARKER_MAGIC && head->version == MARKER_VERSION && head->total_bytes == blob.len, CORRUPT);
    ENSURE(head->spec_count >= 1 && head->spec_count <= VARY_SPECS_MAX, CORRUPT);
    ENSURE(head->variant_count >= 1 && head->variant_count <= VARY_VARIANTS_MAX, CORRUPT);

    slice rest = slice_from(blob, sizeof(*head));
    ENSURE(rest.len >= head->variant_count * sizeof(hash128), CORRUPT);
    marker.variants = (const hash128 *)(const void *)rest.data;
    marker.variant_count = head->variant_count;
    rest = slice_from(rest, head->variant_count * sizeof(hash128));
    marker.spec_count = head->spec_count;
    for (unsigned i = 0; i < marker.spec_count; i++) {
        uint16_t len;
        ENSURE(rest.len >= sizeof(len), CORRUPT);
        memcpy(&len, rest.data, sizeof(len));
        rest = slice_from(rest, sizeof(len));
        ENSURE(rest.len >= len, CORRUPT);
        marker.specs[i] = slice_of(rest.data, len);
        ENSURE(spec_is_sound(marker.specs[i]), CORRUPT);
        rest = slice_from(rest, len);
    }
    ENSURE(rest.len < 8, CORRUPT);
    *ret_marker = marker;
    return ERR_OK;
}

bool vary_marker_has(const struct vary_marker *marker, slice spec, hash128 variant)
{
    if (marker->spec_count == 0 || !slice_eq(marker->specs[0], spec))
        return false;
    for (unsigned i = 0; i < marker->variant_count; i++)
        if (hash128_eq(marker->variants[i], variant))
            return true;
    return false;
}

static void add_spec(struct vary_marker *to, const struct vary_marker *from, slice spec)
{
    to->spec_count = 0;
    to->specs[to->spec_count++] = spec;
    for (unsigned i = 0; i < from->spec_count && to->spec_count < VARY_SPECS_MAX; i++)
        if (!slice_eq(from->specs[i], spec))
            to->specs[to->spec_count++] = from->specs[i];
}

/* list has room for VARY_VARIANTS_MAX + 1. */
static unsigned add_variant(hash128 *list, const struct vary_marker *from, hash128 variant)
{
    unsigned count = 0;
    for (unsigned i = 0; i < from->variant_count; i++)
        if (!hash128_eq(from->variants[i], variant))
            list[count++] = from->variants[i];
    list[count++] = variant;
    return count;
}

static err marker_write(struct arena *arena, const struct vary_marker *marker, slice *ret_blob)
{
    size_t size = sizeof(struct marker_head) + marker->variant_count * sizeof(hash128);
    for (unsigned i = 0; i < marker->spec_count; i++)
        size += sizeof(uint16_t) + marker->specs[i].len;
    size_t total = (size + 7) & ~(size_t)7;
    char *blob = arena_zalloc(arena, total);
    ENSURE(blob != NULL, MEMORY);

    struct marker_head head = {.magic = MARKER_MAGIC, .version = MARKER_VERSION, .spec_count = (uint16_t)marker->spec_count,
                               .variant_count = marker->variant_count, .total_bytes = (uint32_t)total};
    char *at = blob;
    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    memcpy(at, marker->variants, marker->variant_count * sizeof(hash128));
    at += marker->variant_count * sizeof(hash128);
    for (unsigned i = 0; i < marker->spec_count; i++) {
        uint16_t len = (uint16_t)marker->specs[i].len;
        memcpy(at, &len, sizeof(len));
        memcpy(at + sizeof(len), marker->specs[i].data, len);
        at += sizeof(len) + len;
    }
    *ret_blob = slice_of(blob, total);
    return ERR_OK;
}

err vary_marker_add(struct arena *arena, slice old, slice spec, hash128 variant, slice *ret_blob, bool *ret_dropped,
                    hash128 *ret_dropped_hash)
{
    struct vary_marker from = {0}, to = {0};
    hash128 list[VARY_VARIANTS_MAX + 1];
    ENSURE(spec_is_sound(spec), INVALID);
    if (old.len > 0)
        TRY(vary_marker_view(old, &from));
    add_spec(&to, &from, spec);
    unsigned count = add_variant(list, &from, variant);
    bool drops = count > VARY_VARIANTS_MAX;
    to.variants = drops ? list + 1 : list;
    to.variant_count = drops ? count - 1 : count;
    TRY(marker_write(arena, &to, ret_blob));

    *ret_dropped = drops;
    if (drops)
        *ret_dropped_hash = list[0];
    return ERR_OK;
}
