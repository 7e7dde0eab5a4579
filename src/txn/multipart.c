/* Several ranges in one answer (RFC 9110 14.6): a source of part heads and of the object's bytes. */
#include "txn/txn_internal.h"

struct multipart {
    struct source source;
    struct txn *txn;
    struct seekable body;
    struct range_set ranges;
    slice head[RANGES_MAX + 1]; /* before each part; the last one ends it all */
    unsigned part;
    uint64_t left_bytes; /* of the part's body */
    slice head_left;
};

static void multipart_ready(void *reader)
{
    struct multipart *multipart = reader;
    if (multipart->source.on_ready != NULL)
        multipart->source.on_ready(multipart->source.reader);
}

static void multipart_begin_part(struct multipart *multipart)
{
    const struct range *range = &multipart->ranges.list[multipart->part];

    multipart->head_left = multipart->head[multipart->part];
    multipart->left_bytes = 0;
    if (multipart->part == multipart->ranges.count)
        return;
    multipart->left_bytes = range->last - range->first + 1;
    multipart->body.seek(multipart->txn, range->first, range->last + 1);
}

static enum source_state multipart_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct multipart *multipart = container_of(source, struct multipart, source);

    if (multipart->head_left.len == 0 && multipart->left_bytes == 0) {
        if (multipart->part == multipart->ranges.count)
            return SOURCE_END;
        multipart->part++;
        multipart_begin_part(multipart);
    }
    if (multipart->head_left.len > 0) {
        ret_slices[0] = multipart->head_left;
        *ret_count = 1;
        return SOURCE_READY;
    }
    source_set_reader(multipart->body.source, multipart_ready, multipart);
    switch (source_peek(multipart->body.source, ret_slices, max, ret_count)) {
    case SOURCE_READY:
        return SOURCE_READY;
    case SOURCE_WAIT:
        return SOURCE_WAIT;
    case SOURCE_END: /* the object is shorter than it said */
    case SOURCE_FAILED:
        break;
    }
    return SOURCE_FAILED;
}

static void multipart_consume(struct source *source, size_t n)
{
    struct multipart *multipart = container_of(source, struct multipart, source);

    if (multipart->head_left.len > 0) {
        multipart->head_left = slice_from(multipart->head_left, n);
        return;
    }
    INVARIANT(n <= multipart->left_bytes);
    multipart->left_bytes -= n;
    source_consume(multipart->body.source, n);
}

static void multipart_close(struct source *source)
{
    struct multipart *multipart = container_of(source, struct multipart, source);
    source_close(multipart->body.source);
}

static bool multipart_heads(struct multipart *multipart, uint64_t length, slice type, slice boundary, uint64_t *ret_bytes)
{
    struct arena *arena = &multipart->txn->arena;
    unsigned count = multipart->ranges.count;

    *ret_bytes = multipart->ranges.total_bytes;
    for (unsigned i = 0; i <= count; i++) {
        const struct range *range = &multipart->ranges.list[i];
        struct content_range part = {.length_bytes = length, .satisfied = true};
        char text[CONTENT_RANGE_BYTES_MAX];
        size_t text_len;

        if (i == count) {
            multipart->head[i] = arena_printf(arena, "\r\n--" SLICE_FMT "--\r\n", SLICE_ARG(boundary));
        } else {
            part.first = range->first;
            part.last = range->last;
            text_len = content_range_format(&part, text);
            multipart->head[i] = arena_printf(arena, "%s--" SLICE_FMT "\r\n%s" SLICE_FMT "%sContent-Range: %.*s\r\n\r\n",
                                              i == 0 ? "" : "\r\n", SLICE_ARG(boundary), type.len > 0 ? "Content-Type: " : "",
                                              SLICE_ARG(type), type.len > 0 ? "\r\n" : "", (int)text_len, text);
        }
        if (multipart->head[i].data == NULL)
            return false;
        *ret_bytes += multipart->head[i].len;
    }
    return true;
}

struct source *multipart_new(struct txn *txn, struct seekable body, const struct range_set *ranges, uint64_t length, slice type,
                             slice *ret_type, uint64_t *ret_bytes)
{
    static const struct source_ops ops = {multipart_peek, multipart_consume, multipart_close, NULL};
    struct multipart *multipart = arena_zalloc(&txn->arena, sizeof(*multipart));
    uint64_t random;
    slice boundary;

    if (multipart == NULL)
        return NULL;
    os_entropy(&random, sizeof(random));
    boundary = arena_printf(&txn->arena, "warp-%016llx", (unsigned long long)random);
    *ret_type = arena_printf(&txn->arena, "multipart/byteranges; boundary=" SLICE_FMT, SLICE_ARG(boundary));
    multipart->source.ops = &ops;
    multipart->txn = txn;
    multipart->body = body;
    multipart->ranges = *ranges;
    if (boundary.data == NULL || ret_type->data == NULL || !multipart_heads(multipart, length, type, boundary, ret_bytes))
        return NULL;
    multipart_begin_part(multipart);
    return &multipart->source;
}
