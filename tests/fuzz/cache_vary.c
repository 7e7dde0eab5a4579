/* Vary: any response and any two requests. Parsing and normalising never fail but for limits, give the same bytes
 * twice, and a marker made of rubbish is refused or stays within its bytes.
 *
 * Input: parts separated by 0xff: Vary, a field of the spec, its value, further values; the whole is also a marker. */
#include "cache/vary.h"
#include "http/token.h"

#include <stdlib.h>

#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            abort();                                                                                         \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slice next_part(slice *rest)
{
    ptrdiff_t end = slice_find(*rest, (char)0xff);
    slice part = slice_of(rest->data, end >= 0 ? (size_t)end : rest->len);
    *rest = slice_from(*rest, end >= 0 ? part.len + 1 : part.len);
    return slice_trim(part);
}

static void fuzz_values(struct arena *arena, slice rest)
{
    struct fields response, request;
    enum vary_result result;
    slice spec, again, a, b;
    slice vary = next_part(&rest), name = next_part(&rest);
    fields_init(&response, arena);
    fields_init(&request, arena);
    if (!field_value_is_valid(vary) || !token_is_valid(name) || !err_is_ok(fields_add(&response, F_VARY, vary)))
        return;
    while (rest.len > 0) {
        slice value = next_part(&rest);
        if (field_value_is_valid(value) && !err_is_ok(fields_add_named(&request, name, field_id_of(name), value)))
            return;
    }
    if (!err_is_ok(vary_parse(arena, &response, &result, &spec)) || result != VARY_SPEC)
        return;
    CHECK(spec.len > 0 && spec.len <= VARY_SPEC_BYTES_MAX);
    fields_init(&response, arena);
    if (!err_is_ok(fields_add(&response, F_VARY, spec)) || !err_is_ok(vary_parse(arena, &response, &result, &again)))
        return;
    CHECK(result == VARY_SPEC && slice_eq(spec, again)); /* canonical stays canonical */
    if (err_is_ok(vary_values(arena, spec, &request, &a)) && err_is_ok(vary_values(arena, spec, &request, &b)))
        CHECK(slice_eq(a, b));
}

static void fuzz_marker(struct arena *arena, slice bytes)
{
    struct vary_marker marker;
    bool drops;
    hash128 dropped;
    slice blob = arena_copy(arena, bytes);
    if (blob.data == NULL || !err_is_ok(vary_marker_view(blob, &marker)))
        return;
    CHECK(err_is_ok(vary_marker_add(arena, blob, SLICE("foo"), (hash128){1, 2}, &blob, &drops, &dropped)));
    CHECK(err_is_ok(vary_marker_view(blob, &marker)) && vary_marker_has(&marker, SLICE("foo"), (hash128){1, 2}));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 0);
    fuzz_values(&arena, slice_of(data, size));
    fuzz_marker(&arena, slice_of(data, size));
    arena_done(&arena);
    return 0;
}
