/* Range and Content-Range; the first eight bytes choose the length. */
#include "http/range.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct range_set *set, uint64_t length)
{
    uint64_t total = 0;

    INVARIANT(set->count >= 1 && set->count <= RANGES_MAX);
    for (unsigned i = 0; i < set->count; i++) {
        INVARIANT(set->list[i].first <= set->list[i].last && set->list[i].last < length);
        for (unsigned j = 0; j < i; j++)
            INVARIANT(set->list[i].first > set->list[j].last + 1 || set->list[j].first > set->list[i].last + 1);
        total += set->list[i].last - set->list[i].first + 1;
    }
    INVARIANT(total == set->total_bytes && total <= length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct range_request request;
    struct content_range content;
    struct range_set set;
    uint64_t length;

    if (size < 8)
        return 0;
    memcpy(&length, data, 8);
    length >>= 1 + data[0] % 63;
    if (range_parse_value(slice_of(data + 8, size - 8), &request) &&
        range_resolve(&request, length, &set) == RANGE_SET)
        check(&set, length);
    if (content_range_parse(slice_of(data + 8, size - 8), &content)) {
        char text[CONTENT_RANGE_BYTES_MAX];
        struct content_range again;
        INVARIANT(content_range_parse(slice_of(text, content_range_format(&content, text)), &again));
        INVARIANT(again.first == content.first && again.length_bytes == content.length_bytes);
    }
    return 0;
}
