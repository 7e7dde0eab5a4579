/* A response head, to GET and to HEAD. */
#include "http/h1_parse.h"
#include "http/h1_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char buffer[1 << 18];
    struct h1_finder finder = {.is_response = true};
    struct h1_framing framing = {.body = BODY_NONE};
    struct response response, again;
    struct arena arena;
    enum h1_error error;
    slice head;
    size_t written;

    if (h1_head_find(&finder, slice_of(data, size), &H1_LIMITS_RESPONSE, &error) != H1_FIND_FOUND)
        return 0;
    head = slice_of((const char *)data + finder.begin, finder.end - finder.begin);
    arena_init(&arena, NULL, 0, 0);
    error = h1_parse_response(head, &H1_LIMITS_RESPONSE, METHOD_HEAD, &arena, &response);
    INVARIANT(error != H1_OK || response.body == BODY_NONE);
    if (h1_parse_response(head, &H1_LIMITS_RESPONSE, METHOD_GET, &arena, &response) == H1_OK && response.minor == 1) {
        struct h1_limits limits = {1 << 18, 1 << 16, 0, 1000};
        written = h1_write_response(buffer, sizeof(buffer), response.status, &response.fields, NULL, &framing);
        INVARIANT(written <= sizeof(buffer));
        INVARIANT(h1_parse_response(slice_of(buffer, written), &limits, METHOD_GET, &arena, &again) == H1_OK);
        INVARIANT(again.body == response.body && again.length_bytes == response.length_bytes);
    }
    arena_done(&arena);
    return 0;
}
