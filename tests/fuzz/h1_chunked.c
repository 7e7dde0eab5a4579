/* A chunked body whole and byte by byte: the same data, the same end. */
#include "http/h1_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct outcome {
    enum chunked_result result;
    uint64_t hash, bytes;
    size_t consumed;
    uint16_t error;
    unsigned trailers;
};

static struct outcome decode(slice input, size_t step)
{
    struct outcome out = {.result = CHUNKED_MORE};
    struct h1_chunked chunked;
    struct arena arena;

    arena_init(&arena, NULL, 0, 0);
    h1_chunked_init(&chunked, &arena);
    while (out.consumed < input.len && (out.result == CHUNKED_MORE || out.result == CHUNKED_DATA)) {
        size_t consumed, take = MIN(step, input.len - out.consumed);
        slice part;
        out.result = h1_chunked_next(&chunked, slice_of(input.data + out.consumed, take), &consumed, &part);
        INVARIANT(consumed <= take);
        for (size_t i = 0; i < part.len; i++)
            out.hash = out.hash * 31 + (unsigned char)part.data[i];
        out.bytes += part.len;
        out.consumed += consumed;
    }
    out.error = chunked.error;
    out.trailers = chunked.trailers != NULL ? chunked.trailers->count : 0;
    arena_done(&arena);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = decode(slice_of(data, size), SIZE_MAX), split = decode(slice_of(data, size), 1);

    INVARIANT(whole.hash == split.hash && whole.bytes == split.bytes);
    INVARIANT((whole.result == CHUNKED_ERROR) == (split.result == CHUNKED_ERROR));
    INVARIANT((whole.result == CHUNKED_DONE) == (split.result == CHUNKED_DONE));
    INVARIANT(whole.error == split.error && whole.trailers == split.trailers);
    INVARIANT(whole.result != CHUNKED_DONE || whole.consumed == split.consumed);
    return 0;
}
