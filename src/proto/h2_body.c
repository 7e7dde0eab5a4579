#include "proto/h2_body.h"

#include "proto/h2_fields.h"

/* ---- received -------------------------------------------------------------------------------------------------- */

static enum source_state reader_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct h2_reader *reader = container_of(source, struct h2_reader, source);

    if (!reader->pulled) {
        reader->pulled = true;
        if (reader->first_pull != NULL)
            reader->first_pull(reader);
    }
    *ret_count = h2_inbox_peek(&reader->inbox, ret_slices, max);
    reader->waiting = *ret_count == 0;
    if (*ret_count > 0)
        return SOURCE_READY;
    if (reader->failed)
        return SOURCE_FAILED;
    return reader->ended ? SOURCE_END : SOURCE_WAIT;
}

/* The bytes are out of the way: the peer may send as many more. */
static void reader_open_windows(struct h2_reader *reader, size_t n)
{
    if (reader->session == NULL || reader->session->ng == NULL || n == 0)
        return;
    nghttp2_session_consume(reader->session->ng, reader->stream_id, n);
    h2_session_wake(reader->session);
}

static void reader_consume(struct source *source, size_t n)
{
    struct h2_reader *reader = container_of(source, struct h2_reader, source);

    h2_inbox_drop(&reader->inbox, reader->pool, n);
    reader_open_windows(reader, n);
}

static void reader_close(struct source *source)
{
    container_of(source, struct h2_reader, source)->waiting = false;
    source_set_reader(source, NULL, NULL);
}

static const struct fields *reader_trailers(struct source *source)
{
    return container_of(source, struct h2_reader, source)->trailers;
}

void h2_reader_init(struct h2_reader *reader, struct h2_session *session, struct pool *pool, int32_t stream_id,
                    int64_t length_bytes)
{
    static const struct source_ops ops = {reader_peek, reader_consume, reader_close, reader_trailers};

    memset(reader, 0, sizeof(*reader));
    reader->source.ops = &ops;
    reader->session = session;
    reader->pool = pool;
    reader->stream_id = stream_id;
    reader->left_bytes = length_bytes;
}

void h2_reader_done(struct h2_reader *reader)
{
    reader_open_windows(reader, reader->inbox.bytes); /* the connection's: others share it */
    reader->session = NULL;
    h2_inbox_done(&reader->inbox, reader->pool);
}

bool h2_reader_add(struct h2_reader *reader, slice data)
{
    if (reader->left_bytes >= 0 && (uint64_t)reader->left_bytes < data.len)
        return false;
    if (reader->left_bytes >= 0)
        reader->left_bytes -= (int64_t)data.len;
    reader->moved_bytes += data.len;
    return h2_inbox_put(&reader->inbox, reader->pool, data);
}

bool h2_reader_end(struct h2_reader *reader)
{
    if (reader->left_bytes > 0)
        return false;
    reader->ended = true;
    return true;
}

void h2_reader_cut(struct h2_reader *reader)
{
    if (!reader->ended)
        reader->failed = true;
}

void h2_reader_tell(struct h2_reader *reader)
{
    if (reader->waiting && (reader->inbox.bytes > 0 || reader->ended || reader->failed) && reader->source.on_ready != NULL) {
        reader->waiting = false;
        reader->source.on_ready(reader->source.reader);
    }
}

/* ---- sent ------------------------------------------------------------------------------------------------------- */

#define PEEK_SLICES 8u

void h2_sender_init(struct h2_sender *sender, struct h2_session *session, int32_t stream_id, struct source *body,
                    int64_t length_bytes)
{
    *sender = (struct h2_sender){
        .session = session, .body = body, .left_bytes = length_bytes, .stream_id = stream_id};
}

/* The last byte was framed: END_STREAM, unless trailers carry it. */
static ssize_t sender_end(struct h2_sender *sender, uint32_t *flags)
{
    const struct fields *trailers;

    if (sender->left_bytes > 0) {
        sender->failed = true; /* fewer bytes than announced */
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    trailers = source_trailers(sender->body);
    if (trailers != NULL && trailers->count > 0) {
        if (!h2_submit_trailers(sender->session->ng, sender->stream_id, trailers)) {
            sender->failed = true; /* without a grpc-status, say, the end would not be a clean one */
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    sender->ended = true;
    return 0;
}

static ssize_t sender_read(nghttp2_session *ng, int32_t stream_id, uint8_t *buffer, size_t length, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    struct h2_sender *sender = source->ptr;
    slice shown[PEEK_SLICES];
    unsigned count = 0;
    size_t bytes = 0;

    (void)ng, (void)stream_id, (void)buffer, (void)user;
    if (sender->left_bytes == 0 && sender->body->ops->trailers == NULL)
        return sender_end(sender, flags);
    switch (source_peek(sender->body, shown, PEEK_SLICES, &count)) {
    case SOURCE_READY:
        break;
    case SOURCE_WAIT:
        sender->waiting = true;
        return NGHTTP2_ERR_DEFERRED;
    case SOURCE_END:
        return sender_end(sender, flags);
    case SOURCE_FAILED:
        sender->failed = true;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    for (unsigned i = 0; i < count; i++)
        bytes += shown[i].len;
    if (sender->left_bytes >= 0 && (uint64_t)sender->left_bytes < bytes)
        bytes = (size_t)sender->left_bytes;
    if (bytes == 0) { /* more than announced: the rest is not sent */
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        sender->ended = true;
        return 0;
    }
    bytes = MIN(bytes, length);
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (sender->left_bytes == (int64_t)bytes && sender->body->ops->trailers == NULL) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        sender->ended = true;
    }
    return (ssize_t)bytes;
}

nghttp2_data_provider h2_sender_provider(struct h2_sender *sender)
{
    return (nghttp2_data_provider){.source = {.ptr = sender}, .read_callback = sender_read};
}

void h2_sender_ready(struct h2_sender *sender)
{
    if (!sender->waiting || sender->session->ng == NULL)
        return;
    sender->waiting = false;
    nghttp2_session_resume_data(sender->session->ng, sender->stream_id);
    h2_session_wake(sender->session);
}

/* The payload straight from where the body lies into the output. */
static bool put_body(struct h2_sender *sender, size_t length)
{
    while (length > 0) {
        slice shown[PEEK_SLICES];
        unsigned count = 0;
        size_t taken = 0;

        if (source_peek(sender->body, shown, PEEK_SLICES, &count) != SOURCE_READY)
            return false; /* bytes once shown do not go away */
        for (unsigned i = 0; i < count && taken < length; i++) {
            size_t n = MIN(shown[i].len, length - taken);
            if (!h2_session_put(sender->session, shown[i].data, n))
                return false;
            taken += n;
        }
        source_consume(sender->body, taken);
        sender->sent_bytes += taken;
        if (sender->left_bytes >= 0)
            sender->left_bytes -= (int64_t)taken;
        length -= taken;
    }
    return true;
}

int h2_sender_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t length,
                        nghttp2_data_source *source, void *user)
{
    struct h2_sender *sender = source->ptr;
    struct h2_session *session = user;

    (void)ng;
    INVARIANT(frame->data.padlen == 0); /* nobody asks for padding here */
    if (!h2_session_has_room(session, 9 + length))
        return NGHTTP2_ERR_WOULDBLOCK;
    if (!h2_session_put(session, head, 9) || !put_body(sender, length))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    return 0;
}
