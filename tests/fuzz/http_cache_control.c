/* Cache-Control and its relatives, over one to many lines (a NUL separates them). */
#include "http/cache_control.h"

#include "http/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct cache_control *cc)
{
#define X(text, member) INVARIANT(cc->member >= CC_ABSENT);
    CC_SECONDS(X)
#undef X
    INVARIANT(!cc->no_cache_has_fields || cc->no_cache);
    INVARIANT(!cc->is_private_has_fields || cc->is_private);
}

static void lines_add(struct fields *fields, enum field_id id, slice input)
{
    for (ptrdiff_t nul = 0; nul >= 0 && fields->count < 100;) {
        slice value;
        nul = slice_find(input, '\0');
        value = slice_trim(nul >= 0 ? slice_of(input.data, (size_t)nul) : input);
        if (nul >= 0)
            input = slice_from(input, (size_t)nul + 1);
        if (field_value_is_valid(value) && !err_is_ok(fields_add(fields, id, value)))
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum field_id ids[] = {F_CACHE_CONTROL, F_CDN_CACHE_CONTROL, F_SURROGATE_CONTROL, F_PRAGMA};
    struct cache_control cc;
    struct fields fields;
    struct arena arena;

    arena_init(&arena, NULL, 0, 16u << 20);
    fields_init(&fields, &arena);
    for (unsigned i = 0; i < ARRAY_LEN(ids); i++)
        lines_add(&fields, ids[i], slice_of(data, size));
    cache_control_read(&fields, F_CACHE_CONTROL, &cc);
    check(&cc);
    if (err_is_ok(cache_control_read_targeted(&fields, F_CDN_CACHE_CONTROL, &arena, &cc)))
        check(&cc);
    surrogate_control_read(&fields, SLICE("warp"), &cc);
    check(&cc);
    (void)pragma_no_cache(&fields);
    arena_done(&arena);
    return 0;
}
