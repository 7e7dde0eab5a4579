#include "proto/h1_reader.h"

#include <stdlib.h>

bool h1_inbuf_reserve(struct h1_inbuf *in, uint32_t more, uint32_t cap_max)
{
    uint32_t held = in->end - in->start, cap = in->cap != 0 ? in->cap : 2048;
    char *bytes;

    if (in->cap - in->end >= more)
        return true;
    if (more > cap_max || held > cap_max - more)
        return false;
    while (cap < held + more)
        cap *= 2;
    if (cap == in->cap) {
        memmove(in->bytes, in->bytes + in->start, held);
    } else {
        bytes = malloc(cap);
        if (bytes == NULL)
            return false;
        if (held > 0)
            memcpy(bytes, in->bytes + in->start, held);
        free(in->bytes);
        in->bytes = bytes;
        in->cap = cap;
    }
    in->start = 0;
    in->end = held;
    return true;
}

bool h1_inbuf_append(struct h1_inbuf *in, slice data, uint32_t cap_max)
{
    if (data.len == 0)
        return true;
    if (data.len > UINT32_MAX || !h1_inbuf_reserve(in, (uint32_t)data.len, cap_max))
        return false;
    memcpy(in->bytes + in->end, data.data, data.len);
    in->end += (uint32_t)data.len;
    return true;
}

void h1_inbuf_consume(struct h1_inbuf *in, uint32_t n)
{
    INVARIANT(n <= in->end - in->start);
    in->start += n;
    if (in->start == in->end)
        h1_inbuf_done(in);
}

void h1_inbuf_done(struct h1_inbuf *in)
{
    free(in->bytes);
    *in = (struct h1_inbuf){0};
}

/* Finds unframed bytes at in->start. True when it got somewhere: bytes to show, the end, or an error. */
static bool reader_unframe_chunked(struct h1_reader *reader)
{
    slice data = SLICE_NONE, input = h1_inbuf_slice(reader->in);
    enum chunked_result result;
    size_t used = 0;

    if (input.len == 0)
        return false;
    result = h1_chunked_next(&reader->chunked, input, &used, &data);
    /* data is the end of what was used: frame bytes go, data stays until it is consumed */
    h1_inbuf_consume(reader->in, (uint32_t)(used - data.len));
    reader->shown_bytes = (uint32_t)data.len;
    reader->complete = result == CHUNKED_DONE;
    reader->failed = result == CHUNKED_ERROR;
    return result != CHUNKED_MORE;
}

static bool reader_find_bytes(struct h1_reader *reader)
{
    uint32_t held = reader->in->end - reader->in->start;

    switch ((enum body_kind)reader->kind) {
    case BODY_NONE:
        reader->complete = true;
        return true;
    case BODY_LENGTH:
        reader->complete = reader->left_bytes == 0;
        reader->shown_bytes = (uint32_t)MIN(held, reader->left_bytes);
        return reader->complete || held > 0;
    case BODY_CHUNKED:
        return reader_unframe_chunked(reader);
    case BODY_CLOSE:
        reader->shown_bytes = held;
        reader->complete = held == 0 && reader->fin;
        return held > 0 || reader->complete;
    }
    return false;
}

static bool reader_unframe(struct h1_reader *reader)
{
    bool found = reader_find_bytes(reader);

    if (reader->complete && reader->at_end != NULL)
        reader->at_end(reader);
    return found;
}

static void reader_receive(struct h1_reader *reader)
{
    if (reader->receiving)
        return;
    if (!h1_inbuf_reserve(reader->in, H1_INBUF_BYTES - (reader->in->end - reader->in->start),
                          H1_INBUF_BYTES * 2)) {
        reader->failed = true;
        return;
    }
    reader->receiving = true;
    reader->asked_ns = loop_now_ns(reader->net->loop);
    net_recv(reader->net, reader->in->bytes + reader->in->end, reader->in->cap - reader->in->end);
}

static enum source_state reader_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct h1_reader *reader = container_of(source, struct h1_reader, source);

    INVARIANT(max > 0);
    if (!reader->pulled) {
        reader->pulled = true;
        if (reader->first_pull != NULL)
            reader->first_pull(reader);
    }
    /* while a receive is under way its buffer must not move: shown bytes only */
    if (reader->shown_bytes == 0 && !reader->complete && !reader->failed && !reader->receiving &&
        !reader_unframe(reader)) {
        if (reader->fin)
            reader->failed = true;
        else
            reader_receive(reader);
    }
    if (reader->shown_bytes > 0) {
        ret_slices[0] = slice_of(reader->in->bytes + reader->in->start, reader->shown_bytes);
        *ret_count = 1;
        return SOURCE_READY;
    }
    if (reader->failed)
        return SOURCE_FAILED;
    return reader->complete ? SOURCE_END : SOURCE_WAIT;
}

static void reader_consume(struct source *source, size_t n)
{
    struct h1_reader *reader = container_of(source, struct h1_reader, source);

    INVARIANT(n <= reader->shown_bytes);
    reader->shown_bytes -= (uint32_t)n;
    if (reader->kind == BODY_LENGTH)
        reader->left_bytes -= n;
    h1_inbuf_consume(reader->in, (uint32_t)n);
    /* The end is known as soon as the last byte is gone, without another peek: the connection asks. */
    if (reader->shown_bytes == 0 && !reader->complete && !reader->failed && !reader->receiving)
        (void)reader_unframe(reader);
}

static void reader_close(struct source *source)
{
    source_set_reader(source, NULL, NULL);
}

static const struct fields *reader_trailers(struct source *source)
{
    return container_of(source, struct h1_reader, source)->chunked.trailers;
}

void h1_reader_init(struct h1_reader *reader, struct net_stream *net, struct h1_inbuf *in, enum body_kind kind,
                    uint64_t length_bytes, struct arena *arena)
{
    static const struct source_ops ops = {reader_peek, reader_consume, reader_close, reader_trailers};

    memset(reader, 0, sizeof(*reader));
    reader->source.ops = &ops;
    reader->net = net;
    reader->in = in;
    reader->kind = (uint8_t)kind;
    reader->left_bytes = length_bytes;
    h1_chunked_init(&reader->chunked, arena);
    reader->complete = kind == BODY_NONE || (kind == BODY_LENGTH && length_bytes == 0);
}

void h1_reader_make_raw(struct h1_reader *reader)
{
    reader->kind = BODY_CLOSE;
    reader->complete = false;
    reader->pulled = true;
}

void h1_reader_received(struct h1_reader *reader, int32_t result, const char *data)
{
    (void)data; /* into the inbuf */
    reader->receiving = false;
    reader->waited_ns += loop_now_ns(reader->net->loop) - reader->asked_ns;
    if (result > 0) {
        reader->in->end += (uint32_t)result;
        reader->moved_bytes += (uint64_t)result;
    } else if (result == 0) {
        reader->fin = true;
    } else {
        reader->failed = true;
    }
    if (reader->source.on_ready != NULL)
        reader->source.on_ready(reader->source.reader);
}
