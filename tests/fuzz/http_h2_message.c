/* Heads of HTTP/2 from any names and values: what is accepted must be what HTTP/1 accepts, too.
 *
 * The input: a byte of options, then fields: a byte of name's length, the name, a byte of value's length, the value. */
#include "http/h1_parse.h"
#include "http/h1_write.h"
#include "http/h2_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slice take(slice *input)
{
    size_t len = 0;
    slice taken;

    if (input->len > 0) {
        len = (unsigned char)input->data[0];
        *input = slice_from(*input, 1);
    }
    taken = slice_of(input->data, MIN(len, input->len));
    *input = slice_from(*input, taken.len);
    return taken;
}

static struct h2_head *fill(char *block, size_t block_bytes, slice input, enum h2_head_kind kind, const struct h1_limits *limits)
{
    struct h2_head *head = h2_head_init(block, block_bytes, kind, limits);

    while (input.len > 0) {
        slice name = take(&input), value = take(&input);
        h2_head_add(head, name, value);
    }
    return head;
}

/* Names in lower case, no framing but a Content-Length that is repeated by h1_write: read back as HTTP/1. */
static void read_as_h1(const struct request *request, struct arena *arena)
{
    static char buffer[1 << 17];
    struct h1_framing framing = {.body = BODY_NONE};
    struct h1_limits limits = {1 << 17, 1 << 16, 1 << 16, 1000};
    struct request again;
    size_t size;

    if (request->form == TARGET_AUTHORITY)
        return;
    size = h1_write_request(buffer, sizeof(buffer), request->method_name, request->target, &request->fields, &framing);
    INVARIANT(size <= sizeof(buffer));
    INVARIANT(h1_parse_request(slice_of(buffer, size), &limits, request->https, arena, &again) == H1_OK);
    INVARIANT(slice_eq(again.target, request->target));
    INVARIANT(slice_eq(again.authority, request->authority));
    INVARIANT(again.method == request->method);
    INVARIANT(again.fields.count == request->fields.count);
    INVARIANT(memcmp(again.fields.text, request->fields.text, again.fields.text_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static _Alignas(16) char block[H2_HEAD_BLOCK_BYTES];
    slice input = slice_of((const char *)data, size);
    unsigned options = size > 0 ? data[0] : 0;
    struct h2_request_options request_options = {.https = options & 1, .end_stream = options & 2};
    struct request request;
    struct response response;
    struct fields trailers;
    struct h2_head *head;
    struct arena arena;

    if (size == 0)
        return 0;
    input = slice_from(input, 1);
    if (options & 4)
        request_options.websocket_key = SLICE("dGhlIHNhbXBsZSBub25jZQ==");
    arena_init(&arena, NULL, 0, 0);
    head = fill(block, sizeof(block), input, H2_HEAD_REQUEST, &H1_LIMITS_REQUEST);
    if (h2_request_end(head, &request_options, &arena, &request) == H2_OK) {
        h2_head_done(head);
        memset(block, 0xee, sizeof(block));
        read_as_h1(&request, &arena);
    } else {
        h2_head_done(head);
    }
    head = fill(block, sizeof(block), input, H2_HEAD_RESPONSE, &H1_LIMITS_RESPONSE);
    if (h2_response_end(head, options & 8 ? METHOD_HEAD : METHOD_GET, options & 2, &arena, &response) == H2_OK)
        INVARIANT(response.status >= 100 && response.status <= 599 && response.status != 101);
    h2_head_done(head);
    head = fill(block, sizeof(block), input, H2_HEAD_TRAILERS, &h2_trailer_limits);
    if (h2_trailers_end(head, &arena, &trailers) == H2_OK)
        INVARIANT(!fields_has(&trailers, F_CONTENT_LENGTH));
    h2_head_done(head);
    arena_done(&arena);
    return 0;
}
