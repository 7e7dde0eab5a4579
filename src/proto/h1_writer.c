#include "proto/h1_writer.h"

#include "http/h1_write.h"

#include <stdio.h>
#include <stdlib.h>

#define INTERIM_BYTES_MAX 4096u
#define FRAME_BYTES_MAX   (1u << 20) /* a chunk of the coding holds what one peek shows, at most this */
#define PEEK_SLICES       (H1_WRITER_IOV - 4)

static void writer_failed_run(struct task *task)
{
    struct h1_writer *writer = container_of(task, struct h1_writer, failed);
    writer->done(writer, H1_WRITE_BODY_FAILED);
}

void h1_writer_init(struct h1_writer *writer, struct net_stream *net, struct pool *iov_pool)
{
    memset(writer, 0, sizeof(*writer));
    writer->iov_pool = iov_pool;
    writer->net = net;
    task_init(&writer->failed, writer_failed_run);
}

static void writer_release_iov(struct h1_writer *writer)
{
    pool_put(writer->iov_pool, writer->iov);
    writer->iov = NULL;
}

void h1_writer_done(struct h1_writer *writer)
{
    task_cancel(&writer->failed);
    free(writer->interim_text);
    free(writer->trailer_text);
    writer_release_iov(writer);
    writer->interim_text = writer->trailer_text = NULL;
}

bool h1_writer_interim(struct h1_writer *writer, slice head)
{
    if (writer->begun)
        return false;
    if (writer->interim_text == NULL) {
        writer->interim_text = malloc(INTERIM_BYTES_MAX);
        if (writer->interim_text == NULL)
            return false;
        writer->interim = (struct h1_piece){.bytes = writer->interim_text};
    }
    if (writer->interim.len + head.len > INTERIM_BYTES_MAX)
        return false;
    memcpy(writer->interim_text + writer->interim.len, head.data, head.len);
    writer->interim.len += (uint32_t)head.len;
    h1_writer_pump(writer);
    return true;
}

/* The whole body behind the head, when it is here and fits. */
static void head_take_body(struct h1_writer *writer)
{
    char *at = (char *)(uintptr_t)writer->head.bytes + writer->head.len;
    slice shown[PEEK_SLICES];
    unsigned count = 0;
    uint64_t size = 0;

    if (source_peek(writer->body, shown, PEEK_SLICES, &count) != SOURCE_READY)
        return;
    for (unsigned i = 0; i < count; i++)
        size += shown[i].len;
    if (size < writer->length_left || count == 0)
        return;
    for (unsigned i = 0; i < count && writer->length_left > 0; i++) {
        size_t len = (size_t)MIN(writer->length_left, shown[i].len);
        memcpy(at + writer->head_body, shown[i].data, len);
        writer->head_body += (uint32_t)len;
        writer->length_left -= len;
    }
    writer->head.len += writer->head_body;
    source_consume(writer->body, writer->head_body);
}

void h1_writer_begin(struct h1_writer *writer, slice head, struct source *body, enum h1_body framing,
                     uint64_t length_bytes)
{
    INVARIANT(!writer->begun);
    writer->begun = true;
    writer->head = (struct h1_piece){head.data, (uint32_t)head.len, 0};
    writer->body = body;
    writer->framing = (uint8_t)framing;
    writer->length_left = framing == H1_BODY_LENGTH ? length_bytes : 0;
    if (writer->length_left > 0 && writer->length_left <= writer->head_room)
        head_take_body(writer);
    h1_writer_pump(writer);
}

/* The frame behind the last byte of the body: nothing, or the last chunk with the source's trailers. */
static void frame_last(struct h1_writer *writer)
{
    const struct fields *trailers;
    size_t len;

    writer->finished = true;
    if (writer->framing != H1_BODY_CHUNKED)
        return;
    writer->tail = (struct h1_piece){"0\r\n\r\n", 5, 0};
    trailers = source_trailers(writer->body);
    if (trailers == NULL || trailers->count == 0)
        return;
    len = h1_write_last_chunk(NULL, 0, trailers);
    writer->trailer_text = malloc(len);
    if (writer->trailer_text == NULL)
        return; /* trailers may be dropped (RFC 9110 6.5.1); the body is complete without them */
    len = h1_write_last_chunk(writer->trailer_text, len, trailers);
    writer->tail = (struct h1_piece){writer->trailer_text, (uint32_t)len, 0};
}

/* A frame over the bytes the source shows. */
static void frame_open(struct h1_writer *writer, const slice *shown, unsigned count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += shown[i].len;
    if (writer->framing == H1_BODY_CHUNKED)
        bytes = MIN(bytes, FRAME_BYTES_MAX);
    if (writer->framing == H1_BODY_LENGTH) {
        bytes = MIN(bytes, writer->length_left);
        writer->length_left -= bytes;
    }
    writer->data_left = bytes;
    if (writer->framing != H1_BODY_CHUNKED)
        return;
    int len = snprintf(writer->mark_text, sizeof(writer->mark_text), "%llx\r\n", (unsigned long long)bytes);
    writer->mark = (struct h1_piece){writer->mark_text, (uint32_t)len, 0};
    writer->tail = (struct h1_piece){"\r\n", 2, 0};
}

static bool piece_is_sent(const struct h1_piece *piece)
{
    return piece->sent == piece->len;
}

static bool frame_is_sent(const struct h1_writer *writer)
{
    return piece_is_sent(&writer->mark) && writer->data_left == 0 && piece_is_sent(&writer->tail);
}

/* Looks at the source and opens the next frame where one is due; ret_shown is what may be sent of it.
 * False: the body cannot be completed. */
static bool frame_next(struct h1_writer *writer, slice *ret_shown, unsigned *ret_count)
{
    bool is_new = frame_is_sent(writer);

    *ret_count = 0;
    if (is_new && (writer->framing == H1_BODY_NONE ||
                   (writer->framing == H1_BODY_LENGTH && writer->length_left == 0)))
        writer->finished = true;
    if (writer->finished || (!is_new && writer->data_left == 0))
        return true;
    switch (source_peek(writer->body, ret_shown, PEEK_SLICES, ret_count)) {
    case SOURCE_READY:
        if (is_new)
            frame_open(writer, ret_shown, *ret_count);
        return true;
    case SOURCE_WAIT:
        writer->waiting = is_new;
        *ret_count = 0;
        return is_new; /* bytes once shown do not go away */
    case SOURCE_END:
        *ret_count = 0;
        if (!is_new || writer->framing == H1_BODY_LENGTH)
            return false; /* fewer bytes than announced */
        frame_last(writer);
        return true;
    case SOURCE_FAILED:
        break;
    }
    return false;
}

static void iov_add(struct h1_writer *writer, unsigned *count, const void *data, size_t len)
{
    if (len == 0)
        return;
    INVARIANT(*count < H1_WRITER_IOV);
    writer->iov[(*count)++] = (struct iovec){(void *)(uintptr_t)data, len};
}

static void iov_add_piece(struct h1_writer *writer, unsigned *count, const struct h1_piece *piece)
{
    if (piece->sent < piece->len)
        iov_add(writer, count, piece->bytes + piece->sent, piece->len - piece->sent);
}

/* The frame's bytes behind its mark; its tail only together with the last of its data. */
static void iov_add_frame(struct h1_writer *writer, unsigned *count, const slice *shown, unsigned shown_count)
{
    uint64_t left = writer->data_left;

    iov_add_piece(writer, count, &writer->mark);
    for (unsigned i = 0; i < shown_count && left > 0; i++) {
        size_t len = (size_t)MIN(left, shown[i].len);
        iov_add(writer, count, shown[i].data, len);
        left -= len;
    }
    if (left == 0)
        iov_add_piece(writer, count, &writer->tail);
}

void h1_writer_pump(struct h1_writer *writer)
{
    slice shown[PEEK_SLICES];
    unsigned shown_count = 0, count = 0;

    if (writer->sending || (writer->begun && writer->finished && frame_is_sent(writer) && piece_is_sent(&writer->head)))
        return;
    writer->waiting = false;
    if (writer->begun && !frame_next(writer, shown, &shown_count)) {
        loop_defer(writer->net->loop, &writer->failed);
        return;
    }
    if (writer->iov == NULL && (writer->iov = pool_get(writer->iov_pool)) == NULL) {
        loop_defer(writer->net->loop, &writer->failed);
        return;
    }
    iov_add_piece(writer, &count, &writer->interim);
    if (writer->begun) {
        iov_add_piece(writer, &count, &writer->head);
        iov_add_frame(writer, &count, shown, shown_count);
    }
    if (count > 0) {
        writer->sending = true;
        net_send(writer->net, writer->iov, count, false);
        return;
    }
    writer_release_iov(writer);
    if (writer->finished) {
        writer->done(writer, H1_WRITE_COMPLETE); /* only the end of a raw body gets here: from the loop */
    }
}

/* Takes n or what the piece still has; returns the rest of n. */
static size_t piece_take(struct h1_piece *piece, size_t n)
{
    size_t taken = MIN(n, (size_t)(piece->len - piece->sent));
    piece->sent += (uint32_t)taken;
    return n - taken;
}

/* The same for the head, whose last bytes may be the body's. */
static size_t head_take(struct h1_writer *writer, size_t n)
{
    uint32_t fields = writer->head.len - writer->head_body, before = MAX(writer->head.sent, fields);
    size_t left = piece_take(&writer->head, n);

    writer->sent_bytes += MAX(writer->head.sent, fields) - before;
    return left;
}

static void writer_take(struct h1_writer *writer, size_t n)
{
    bool head_was_sent = piece_is_sent(&writer->head);
    size_t data;

    writer->moved_bytes += n;
    n = piece_take(&writer->interim, n);
    if (!writer->begun)
        return;
    n = head_take(writer, n);
    if (!head_was_sent && piece_is_sent(&writer->head))
        writer->head_done(writer);
    n = piece_take(&writer->mark, n);
    data = (size_t)MIN((uint64_t)n, writer->data_left);
    if (data > 0) {
        writer->data_left -= data;
        writer->sent_bytes += data;
        source_consume(writer->body, data);
    }
    n = piece_take(&writer->tail, n - data);
    INVARIANT(n == 0);
}

void h1_writer_sent(struct h1_writer *writer, int32_t result)
{
    writer->sending = false;
    writer_release_iov(writer);
    if (result <= 0) {
        writer->done(writer, H1_WRITE_NET_FAILED);
        return;
    }
    writer_take(writer, (size_t)result);
    if (!writer->begun || !piece_is_sent(&writer->head) || !frame_is_sent(writer)) {
        h1_writer_pump(writer);
        return;
    }
    if (writer->framing == H1_BODY_NONE || (writer->framing == H1_BODY_LENGTH && writer->length_left == 0))
        writer->finished = true;
    if (writer->finished)
        writer->done(writer, H1_WRITE_COMPLETE);
    else
        h1_writer_pump(writer);
}
