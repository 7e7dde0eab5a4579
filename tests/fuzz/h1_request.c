/* A request head in any split; what is accepted must survive being written and read again. */
#include "http/h1_parse.h"
#include "http/h1_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum h1_find find(slice input, size_t step, struct h1_finder *finder, enum h1_error *error)
{
    enum h1_find result = H1_FIND_MORE;

    *finder = (struct h1_finder){0};
    for (size_t at = 0; at < input.len && result == H1_FIND_MORE;) {
        at = MIN(at + step, input.len);
        result = h1_head_find(finder, slice_of(input.data, at), &H1_LIMITS_REQUEST, error);
    }
    return result;
}

static void write_and_read_again(const struct request *request, struct arena *arena)
{
    static char buffer[1 << 17];
    struct h1_framing framing = {.body = BODY_NONE};
    struct request again;
    size_t size = h1_write_request(buffer, sizeof(buffer), request->method_name, request->target, &request->fields,
                                   &framing);
    struct h1_limits limits = {1 << 17, 1 << 16, 1 << 16, 1000};

    INVARIANT(size <= sizeof(buffer));
    if (request->form == TARGET_ABSOLUTE && slice_eq(request->target, SLICE("*")))
        return;
    INVARIANT(h1_parse_request(slice_of(buffer, size), &limits, request->https, arena, &again) == H1_OK);
    INVARIANT(again.body == request->body || request->minor == 0);
    INVARIANT(slice_eq(again.target, request->target));
    INVARIANT(again.fields.text_len == request->fields.text_len);
    INVARIANT(memcmp(again.fields.text, request->fields.text, again.fields.text_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    slice input = slice_of(data, size);
    struct h1_finder whole, split;
    enum h1_error whole_error = H1_OK, split_error = H1_OK;
    enum h1_find result = find(input, size, &whole, &whole_error);
    struct request request;
    struct arena arena;

    INVARIANT(find(input, 3, &split, &split_error) == result);
    if (result != H1_FIND_FOUND)
        return 0;
    INVARIANT(split.begin == whole.begin && split.end == whole.end);
    arena_init(&arena, NULL, 0, 0);
    input = slice_of(input.data + whole.begin, whole.end - whole.begin);
    if (h1_parse_request(input, &H1_LIMITS_REQUEST, false, &arena, &request) == H1_OK && request.minor == 1)
        write_and_read_again(&request, &arena);
    arena_done(&arena);
    return 0;
}
