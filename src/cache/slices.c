#include "cache/slices.h"

#include "http/etag.h"

#define SLICE_MARK 'S'

err slice_id_text(struct arena *arena, slice key, slice etag, uint64_t length_bytes, uint64_t seq, slice *ret_text)
{
    uint64_t numbers[2] = {length_bytes, seq};
    char *text = arena_alloc(arena, sizeof(numbers) + etag.len + key.len);

    ENSURE(text != NULL, MEMORY);
    memcpy(text, numbers, sizeof(numbers));
    if (etag.len > 0)
        memcpy(text + sizeof(numbers), etag.data, etag.len);
    memcpy(text + sizeof(numbers) + etag.len, key.data, key.len); /* which begins with no quotation mark */

    *ret_text = slice_of(text, sizeof(numbers) + etag.len + key.len);
    return ERR_OK;
}

slice slice_key_write(const struct sliced *body, uint64_t number, char *buffer)
{
    char *at = buffer + body->key.len;

    static_assert(sizeof(body->id) == 16, "part of keys on disk");
    memcpy(buffer, body->key.data, body->key.len);
    *at++ = SLICE_MARK;
    memcpy(at, &body->id, sizeof(body->id));
    memcpy(at + sizeof(body->id), &number, sizeof(number));
    return slice_of(buffer, body->key.len + SLICE_KEY_MORE);
}

void slice_key_set(slice slice_key, uint64_t number)
{
    memcpy((char *)(uintptr_t)slice_key.data + slice_key.len - sizeof(number), &number, sizeof(number));
}

/* ---- ranges ------------------------------------------------------------------------------------------ */

bool slice_ask_cold(const struct range_request *asked, uint32_t slice_bytes, unsigned most, struct slice_ask *ret_ask)
{
    const struct range_spec *spec = &asked->list[0];
    uint64_t span = (uint64_t)slice_bytes * most;
    struct slice_ask ask = {0};

    if (asked->count > 1 || spec->first > INT64_MAX - span)
        return false;
    if (spec->suffix) {
        if (spec->first == 0)
            return false;
        ask.suffix = spec->first + slice_bytes - 1;
    } else {
        if (spec->first < slice_bytes)
            return false;
        ask.first = spec->first - spec->first % slice_bytes;
        ask.last = ask.first + span - 1;
        if (spec->last < ask.last)
            ask.last = spec->last - spec->last % slice_bytes + slice_bytes - 1;
    }
    *ret_ask = ask;
    return true;
}

struct slice_ask slice_ask_of(const struct sliced *body, uint64_t from, uint64_t to)
{
    return (struct slice_ask){.first = sliced_at(body, from), .last = sliced_at(body, to) - 1};
}

bool slice_ask_fits(const struct slice_ask *ask, const struct content_range *range)
{
    uint64_t length = range->length_bytes;

    if (!range->satisfied || length == UINT64_MAX)
        return false;
    if (ask->suffix > 0)
        return range->first == length - MIN(ask->suffix, length) && range->last == length - 1;
    return range->first == ask->first && range->last == MIN(ask->last, length - 1);
}

err slice_ask_add(const struct slice_ask *ask, struct fields *request)
{
    if (ask->suffix > 0)
        return fields_addf(request, F_RANGE, "bytes=-%llu", (unsigned long long)ask->suffix);
    return fields_addf(request, F_RANGE, "bytes=%llu-%llu", (unsigned long long)ask->first, (unsigned long long)ask->last);
}

/* ---- answers ----------------------------------------------------------------------------------------- */

slice strong_etag_of(const struct fields *response)
{
    slice value = fields_get(response, F_ETAG);
    struct etag tag;

    if (fields_count_of(response, F_ETAG) != 1 || !etag_parse(value, &tag) || tag.weak)
        return SLICE_NONE;
    return value;
}

bool part_read(const struct response *response, struct content_range *ret_range)
{
    if (response->status != 206 || fields_count_of(&response->fields, F_CONTENT_RANGE) != 1)
        return false;
    if (!content_range_parse(fields_get(&response->fields, F_CONTENT_RANGE), ret_range) || !ret_range->satisfied)
        return false;
    return response->body == BODY_LENGTH ? response->length_bytes == ret_range->last - ret_range->first + 1
                                         : response->body != BODY_NONE;
}
