/* Dates, entity tags, authorities and URI references. */
#include "http/date.h"
#include "http/etag.h"
#include "http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void dates(slice text)
{
    char again[DATE_BYTES];
    int64_t s, same;

    if (!date_parse(text, 1800000000, &s))
        return;
    date_format(s, again);
    INVARIANT(s >= 0);
    INVARIANT(s > INT64_C(253402300799) || (date_parse(slice_of(again, DATE_BYTES), 0, &same) && same == s));
}

static void etags(slice text)
{
    struct etag tag;
    slice rest = text;

    if (etag_parse(text, &tag))
        INVARIANT(etag_eq_weak(tag, tag));
    while (etag_next(&rest, &tag))
        INVARIANT(tag.opaque.len >= 2);
}

static void uris(slice text, struct arena *arena)
{
    struct uri base = {.authority = SLICE("a"), .target = SLICE("/b/c/d;p?q")}, uri;
    slice authority, again;

    if (err_is_ok(authority_normalise(text, false, false, arena, &authority))) {
        INVARIANT(err_is_ok(authority_normalise(authority, false, true, arena, &again)));
        INVARIANT(slice_eq(authority, again)); /* normal is normal */
    }
    if (err_is_ok(uri_resolve(&base, text, arena, &uri)))
        INVARIANT(uri.target.data[0] == '/' && uri.authority.len > 0);
    if (err_is_ok(uri_parse(text, arena, &uri)))
        INVARIANT(uri.target.data[0] == '/' && uri.authority.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    slice text = slice_of(data, size);

    arena_init(&arena, NULL, 0, 16u << 20);
    dates(text);
    etags(text);
    uris(text, &arena);
    arena_done(&arena);
    return 0;
}
