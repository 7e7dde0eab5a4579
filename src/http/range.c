#include "http/range.h"

#include <inttypes.h>
#include <stdio.h>

#include "http/token.h"

/* int-range or suffix-range (RFC 9110 14.1.1). */
static bool spec_parse(slice item, struct range_spec *ret_spec)
{
    ptrdiff_t dash = slice_find(item, '-');
    struct range_spec spec = {.last = UINT64_MAX};
    slice first, last;

    if (dash < 0)
        return false;
    first = slice_of(item.data, (size_t)dash);
    last = slice_from(item, (size_t)dash + 1);
    if (first.len == 0) {
        spec.suffix = true;
        if (!slice_to_u64(last, &spec.first))
            return false;
    } else if (!slice_to_u64(first, &spec.first) ||
               (last.len > 0 && (!slice_to_u64(last, &spec.last) || spec.last < spec.first))) {
        return false;
    }
    *ret_spec = spec;
    return true;
}

bool range_parse_value(slice value, struct range_request *ret_request)
{
    struct range_request request = {.count = 0};
    slice rest, item;

    if (value.len < 6 || !slice_eq_nocase(slice_of(value.data, 6), SLICE("bytes=")))
        return false;
    rest = slice_from(value, 6);
    while (list_next(&rest, &item)) {
        if (request.count == RANGES_MAX || !spec_parse(item, &request.list[request.count]))
            return false;
        request.count++;
    }
    if (request.count == 0)
        return false;
    *ret_request = request;
    return true;
}

bool range_parse(const struct fields *fields, struct range_request *ret_request)
{
    int i = fields_next(fields, F_RANGE, 0);

    if (i < 0 || fields_next(fields, F_RANGE, i + 1) >= 0)
        return false;
    return range_parse_value(field_value(fields, (unsigned)i), ret_request);
}

/* false: not satisfiable. length_bytes is not 0. */
static bool spec_resolve(const struct range_spec *spec, uint64_t length_bytes, struct range *ret_range)
{
    if (spec->suffix) {
        if (spec->first == 0)
            return false;
        ret_range->first = length_bytes - MIN(spec->first, length_bytes);
        ret_range->last = length_bytes - 1;
        return true;
    }
    ret_range->first = spec->first;
    ret_range->last = MIN(spec->last, length_bytes - 1);
    return spec->first < length_bytes;
}

/* Overlapping or adjacent; the ends are below 2^64 - 1, so adding one is safe. */
static bool ranges_touch(const struct range *a, const struct range *b)
{
    return a->first <= b->last + 1 && b->first <= a->last + 1;
}

/* Adds a range; all that touch it become one, at the place of the first of them. At most 16 entries, so the
 * passes over them are bounded. */
static void set_add(struct range_set *set, struct range add)
{
    unsigned place = set->count;

    for (unsigned i = 0; i < set->count;) {
        if (!ranges_touch(&set->list[i], &add)) {
            i++;
            continue;
        }
        add.first = MIN(add.first, set->list[i].first);
        add.last = MAX(add.last, set->list[i].last);
        set->count--;
        memmove(&set->list[i], &set->list[i + 1], (set->count - i) * sizeof(add));
        place = MIN(place, i);
        i = 0; /* the larger range may touch an earlier one */
    }
    place = MIN(place, set->count);
    memmove(&set->list[place + 1], &set->list[place], (set->count - place) * sizeof(add));
    set->list[place] = add;
    set->count++;
}

enum range_result range_resolve(const struct range_request *request, uint64_t length_bytes, struct range_set *ret_set)
{
    struct range_set set = {.count = 0};

    INVARIANT(length_bytes <= INT64_MAX);
    for (unsigned i = 0; i < request->count; i++) {
        const struct range_spec *spec = &request->list[i];
        struct range range;

        /* RFC 9110 14.1.2: a suffix of nothing is all of it, and that has no Content-Range. */
        if (length_bytes == 0 && spec->suffix && spec->first > 0)
            return RANGE_FULL;
        if (length_bytes > 0 && spec_resolve(spec, length_bytes, &range))
            set_add(&set, range);
    }
    if (set.count == 0)
        return RANGE_UNSATISFIABLE;
    for (unsigned i = 0; i < set.count; i++)
        set.total_bytes += set.list[i].last - set.list[i].first + 1;
    if (set.count > 1 && set.total_bytes + (uint64_t)set.count * RANGE_PART_BYTES > length_bytes + length_bytes / 10)
        return RANGE_FULL;
    *ret_set = set;
    return RANGE_SET;
}

bool content_range_parse(slice value, struct content_range *ret_range)
{
    struct content_range range = {.length_bytes = UINT64_MAX};
    struct range_spec spec;
    ptrdiff_t slash;
    slice bytes, length;

    if (value.len < 6 || !slice_eq_nocase(slice_of(value.data, 6), SLICE("bytes ")))
        return false;
    value = slice_from(value, 6);
    slash = slice_find(value, '/');
    if (slash < 0)
        return false;
    bytes = slice_of(value.data, (size_t)slash);
    length = slice_from(value, (size_t)slash + 1);
    if (!slice_eq(length, SLICE("*")) &&
        (!slice_to_u64(length, &range.length_bytes) || range.length_bytes > INT64_MAX))
        return false;
    if (slice_eq(bytes, SLICE("*"))) {
        if (range.length_bytes == UINT64_MAX)
            return false;
    } else {
        if (!spec_parse(bytes, &spec) || spec.suffix || spec.last > INT64_MAX || spec.last >= range.length_bytes)
            return false;
        range.first = spec.first;
        range.last = spec.last;
        range.satisfied = true;
    }
    *ret_range = range;
    return true;
}

size_t content_range_format(const struct content_range *range, char *ret_text)
{
    char text[CONTENT_RANGE_BYTES_MAX + 1], length[24] = "*";
    int len;

    if (range->length_bytes != UINT64_MAX)
        snprintf(length, sizeof(length), "%" PRIu64, range->length_bytes);
    if (range->satisfied)
        len = snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%s", range->first, range->last, length);
    else
        len = snprintf(text, sizeof(text), "bytes */%s", length);
    INVARIANT(len > 0);
    INVARIANT((size_t)len < sizeof(text));
    memcpy(ret_text, text, (size_t)len);
    return (size_t)len;
}
