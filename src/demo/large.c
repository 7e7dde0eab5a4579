#include "demo/demo_internal.h"
#include "demo/query.h"

#define LARGE_DEFAULT_BYTES (UINT64_C(100) << 20)
#define LARGE_BYTES_MAX     (UINT64_C(1) << 30)

static uint64_t splitmix64(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static char *put_hex(char *at, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--, value >>= 4)
        at[i - 1] = "0123456789abcdef"[value & 15];
    return at + digits;
}

static void put_line(char *at, uint64_t offset)
{
    at = put_hex(at, offset, 12);
    for (unsigned i = 0; i < 3; i++) {
        *at++ = ' ';
        at = put_hex(at, splitmix64(offset + i), 16);
    }
    *at = '\n';
}
static_assert(12 + 3 * 17 + 1 == LARGE_LINE_BYTES, "a line is exactly filled");
static_assert(LARGE_WINDOW_BYTES % LARGE_LINE_BYTES == 0, "a window holds whole lines");

/* Lines are made whole; what is shown begins and ends inside them. */
static void window_fill(struct large *large)
{
    uint64_t line = large->at - large->at % LARGE_LINE_BYTES;
    uint64_t stop = MIN(large->end, line + LARGE_WINDOW_BYTES);
    char *at = large->window;

    for (uint64_t offset = line; offset < stop; offset += LARGE_LINE_BYTES, at += LARGE_LINE_BYTES)
        put_line(at, offset);
    large->left = slice_of(large->window + (large->at - line), (size_t)(stop - large->at));
    large->at = stop;
}

static enum source_state large_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct large *large = container_of(source, struct large, source);

    INVARIANT(max > 0);
    if (large->left.len == 0 && large->at == large->end)
        return SOURCE_END;
    if (large->left.len == 0) {
        if (large->window == NULL)
            large->window = pool_get(large->pool);
        if (large->window == NULL)
            return SOURCE_FAILED;
        window_fill(large);
    }
    ret_slices[0] = large->left;
    *ret_count = 1;
    return SOURCE_READY;
}

static void large_consume(struct source *source, size_t n)
{
    struct large *large = container_of(source, struct large, source);
    large->left = slice_from(large->left, n);
}

static void large_close(struct source *source)
{
    struct large *large = container_of(source, struct large, source);
    pool_put(large->pool, large->window);
    large->window = NULL;
}

void large_init(struct large *large, struct pool *windows, uint64_t first, uint64_t end)
{
    static const struct source_ops ops = {large_peek, large_consume, large_close, NULL};

    INVARIANT(first <= end);
    *large = (struct large){.source.ops = &ops, .pool = windows, .at = first, .end = end};
}

/* "10m": digits and maybe k, m or g. */
MUST_USE static bool size_parse(slice text, uint64_t *ret_bytes)
{
    unsigned shift = 0;

    if (text.len > 0) {
        switch (ascii_lower((unsigned char)text.data[text.len - 1])) {
        case 'k':
            shift = 10;
            break;
        case 'm':
            shift = 20;
            break;
        case 'g':
            shift = 30;
            break;
        }
    }
    text.len -= shift != 0;
    if (!slice_to_u64(text, ret_bytes) || *ret_bytes > LARGE_BYTES_MAX >> shift)
        return false;
    *ret_bytes <<= shift;
    return true;
}

err large_answer(struct exchange *x)
{
    uint64_t bytes = LARGE_DEFAULT_BYTES;
    slice size = query_get(x->query, SLICE("size"), &x->arena);
    struct entity entity = {.type = SLICE("application/octet-stream")};

    if (size.data != NULL && !size_parse(size, &bytes))
        return answer_bad_request(x, "size is a number of bytes, as 10m, up to 1g.");
    entity.length_bytes = bytes;
    entity.etag = arena_printf(&x->arena, "\"large-1-%llu\"", (unsigned long long)bytes);
    ENSURE(entity.etag.data != NULL, MEMORY);
    return answer_entity(x, &entity);
}
