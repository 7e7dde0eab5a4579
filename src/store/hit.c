/* hit_handler: the reader's side of a body. */
#include "store/body_own.h"

/* hit->state, under the body's lock */
#define HIT_WAITING 1u /* in the fill's list */
#define HIT_MAILED  2u /* a wake-up is in the mail */
/* hit->own */
#define HIT_WANTS   1u /* the last peek said WAIT */
#define HIT_COUNTED 2u /* in the fill's readers */
#define HIT_PINNED  4u /* chunk stays for it */
#define HIT_CLOSED  8u

static const struct source_ops hit_ops;

void hit_mark_mailed(struct hit_handler *hit)
{
    hit->state = (uint8_t)((hit->state & ~HIT_WAITING) | HIT_MAILED);
}

static bool body_is(const struct store_body *body, enum body_state state)
{
    return atomic_load_explicit(&body->state, memory_order_acquire) == state;
}

/* The mailbox orders this behind the writer's change of state; nobody else touches it now. */
static void hit_mailed(struct mail *mail)
{
    struct hit_handler *hit = container_of(mail, struct hit_handler, mail);

    hit->state &= (uint8_t)~HIT_MAILED;
    if (hit->own & HIT_CLOSED) {
        if (hit->gone != NULL)
            hit->gone(hit);
    } else if (hit->own & HIT_WANTS) {
        hit->own &= (uint8_t)~HIT_WANTS;
        if (hit->source.on_ready != NULL)
            hit->source.on_ready(hit->source.reader);
    }
}

void hit_handler_open(struct hit_handler *hit, struct store_object *object, struct loop *loop)
{
    struct store_body *body = object->body;

    INVARIANT(body != NULL);
    *hit =
        (struct hit_handler){.source = {.ops = &hit_ops}, .object = object, .loop = loop, .end = UINT64_MAX};
    hit->mail.run = hit_mailed;
    list_init(&hit->waiting);
    if (!body_is(body, BODY_FILLING))
        return;
    INVARIANT(loop != NULL);
    pthread_mutex_lock(body_lock_of(body));
    if (body_is(body, BODY_FILLING)) {
        body->fill->readers++;
        hit->own |= HIT_COUNTED;
    }
    pthread_mutex_unlock(body_lock_of(body));
}

/* Under the lock. The chunk comes back when it is to be freed. */
static struct body_chunk *hit_unpin(struct hit_handler *hit)
{
    struct body_chunk *chunk = hit->chunk;

    if (!(hit->own & HIT_PINNED))
        return NULL;
    hit->own &= (uint8_t)~HIT_PINNED;
    hit->chunk = NULL;
    INVARIANT(chunk->pins > 0);
    return --chunk->pins == 0 && chunk->is_cut ? chunk : NULL;
}

/* Under the lock: a reader has moved, or waits. True: post the writer's mail. Where it is counts also while the
 * body is whole: one that waits when it becomes a window does not move before there is room. */
static bool hit_pace(const struct hit_handler *hit, struct store_body *body)
{
    if (!body_is(body, BODY_FILLING))
        return false;
    struct miss_handler *miss = body->fill;
    miss->fastest = MAX(miss->fastest, hit->at);
    if (!miss->wants_room)
        return false;
    miss->wants_room = false;
    return miss_mark_mailed(miss);
}

static void chunk_let_go(struct store_body *body, struct body_chunk *chunk)
{
    if (chunk != NULL)
        body_chunk_free(stored_of_body(body), chunk);
}

/* ---- peek -------------------------------------------------------------------------------------------- */

static slice chunk_slice(const struct body_chunk *chunk, uint64_t at, uint64_t limit)
{
    uint64_t end = MIN(chunk_end(chunk), limit);

    return slice_of(atomic_load_explicit(&chunk->bytes, memory_order_acquire) + (at - chunk->at), (size_t)(end - at));
}

static struct body_chunk *chunk_find(struct body_chunk *chunk, uint64_t at)
{
    while (chunk != NULL && at >= chunk_end(chunk))
        chunk = chunk->skip != NULL && chunk->skip->at <= at ? chunk->skip : chunk->next;
    return chunk;
}

/* One piece or two. */
static unsigned show_inline(const struct hit_handler *hit, uint64_t limit, slice *ret_slices, unsigned max)
{
    struct store_body *body = hit->object->body;
    uint64_t first = stored_inline_first(body), at = hit->at;
    unsigned count = 0;

    if (at < first) {
        ret_slices[count++] = slice_of(stored_inline_data(body) + at, (size_t)(MIN(first, limit) - at));
        at = first;
    }
    if (at < limit && count < max)
        ret_slices[count++] = slice_of(stored_inline_tail(body) + (at - first), (size_t)(limit - at));
    return count;
}

/* A complete body keeps all its chunks as long as the object: no lock. */
static unsigned show_complete(struct hit_handler *hit, uint64_t limit, slice *ret_slices, unsigned max)
{
    struct body_chunk *from =
        hit->chunk != NULL && hit->chunk->at <= hit->at ? hit->chunk : hit->object->body->chunks;
    struct body_chunk *chunk = chunk_find(from, hit->at);
    unsigned count = 0;

    hit->own &= (uint8_t)~HIT_PINNED;
    hit->chunk = chunk;
    for (uint64_t at = hit->at; at < limit && count < max; chunk = chunk->next) {
        ret_slices[count] = chunk_slice(chunk, at, limit);
        at += ret_slices[count++].len;
    }
    return count;
}

/* A body that is being filled, or a window: what this reader looks at is pinned. 0: its bytes are gone. */
static unsigned show_pinned(struct hit_handler *hit, uint64_t limit, slice *ret_slices)
{
    struct store_body *body = hit->object->body;
    struct body_chunk *chunk = hit->chunk, *freed;

    if (!(hit->own & HIT_PINNED) || hit->at < chunk->at || hit->at >= chunk_end(chunk)) {
        pthread_mutex_lock(body_lock_of(body));
        freed = hit_unpin(hit);
        chunk = chunk_find(body_first(body), hit->at);
        if (chunk != NULL && hit->at >= chunk->at) {
            chunk->pins++;
            hit->chunk = chunk;
            hit->own |= HIT_PINNED;
        }
        pthread_mutex_unlock(body_lock_of(body));
        chunk_let_go(body, freed);
        if (!(hit->own & HIT_PINNED))
            return 0;
    }
    ret_slices[0] = chunk_slice(chunk, hit->at, limit);
    return 1;
}

/* False: something has come meanwhile. */
static bool hit_wait(struct hit_handler *hit, struct store_body *body)
{
    bool waits = false, post = false;
    struct miss_handler *miss = NULL;
    struct body_chunk *freed = NULL;

    pthread_mutex_lock(body_lock_of(body));
    if (body_is(body, BODY_FILLING) &&
        atomic_load_explicit(&body->written, memory_order_relaxed) <= hit->at) {
        waits = true;
        miss = body->fill;
        /* It has taken all it was shown. A slab may be at its end without having said so: it ends where memory does. */
        if (hit->own & HIT_PINNED && (hit->chunk->is_slab || hit->at >= chunk_end(hit->chunk)))
            freed = hit_unpin(hit);
        if (!(hit->state & (HIT_MAILED | HIT_WAITING))) {
            list_push_back(&miss->waiting, &hit->waiting);
            hit->state |= HIT_WAITING;
        }
        post = hit_pace(hit, body);
    }
    pthread_mutex_unlock(body_lock_of(body));
    chunk_let_go(body, freed); /* before the writer asks for room */
    if (post)
        loop_post(miss->loop, &miss->mail);
    return waits;
}

static enum source_state hit_show(struct hit_handler *hit, enum body_state state, uint64_t limit,
                                  slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct store_body *body = hit->object->body;
    bool is_whole = atomic_load_explicit(&body->window, memory_order_acquire) == BODY_WHOLE;

    if (body->is_inline)
        *ret_count = show_inline(hit, limit, ret_slices, max);
    else if (state == BODY_COMPLETE && is_whole)
        *ret_count = show_complete(hit, limit, ret_slices, max);
    else
        *ret_count = show_pinned(hit, limit, ret_slices);
    if (*ret_count > 0)
        return SOURCE_READY;
    hit->is_behind = true;
    return SOURCE_FAILED;
}

static enum source_state hit_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct hit_handler *hit = container_of(source, struct hit_handler, source);
    struct store_body *body = hit->object->body;

    hit->own &= (uint8_t)~HIT_WANTS;
    *ret_count = 0;
    for (;;) {
        enum body_state state = atomic_load_explicit(&body->state, memory_order_acquire);
        uint64_t written = atomic_load_explicit(&body->written, memory_order_acquire);

        if (hit->at >= hit->end || (state == BODY_COMPLETE && hit->at >= written))
            return SOURCE_END;
        if (state == BODY_FAILED || hit->is_behind)
            return SOURCE_FAILED;
        if (hit->at < written)
            return hit_show(hit, state, MIN(hit->end, written), ret_slices, max, ret_count);
        if (hit_wait(hit, body)) {
            hit->own |= HIT_WANTS;
            return SOURCE_WAIT;
        }
    }
}

/* ---- the rest ---------------------------------------------------------------------------------------- */

/* A window wants to know at once where its readers are; else a chunk is let go at the next one. */
static void hit_moved(struct hit_handler *hit, bool lets_go)
{
    struct store_body *body = hit->object->body;
    struct miss_handler *miss = NULL;
    struct body_chunk *freed = NULL;

    if (body->is_inline)
        return;
    if (!lets_go && atomic_load_explicit(&body->window, memory_order_acquire) == BODY_WHOLE)
        return;
    pthread_mutex_lock(body_lock_of(body));
    if (hit->own & HIT_PINNED && (lets_go || hit->at >= chunk_end(hit->chunk)))
        freed = hit_unpin(hit);
    if (hit_pace(hit, body))
        miss = body->fill;
    pthread_mutex_unlock(body_lock_of(body));
    chunk_let_go(body, freed);
    if (miss != NULL)
        loop_post(miss->loop, &miss->mail);
}

static void hit_consume(struct source *source, size_t n)
{
    struct hit_handler *hit = container_of(source, struct hit_handler, source);

    hit->at += n;
    INVARIANT(hit->at <= hit->end);
    hit_moved(hit, false);
}

void hit_handler_seek(struct hit_handler *hit, uint64_t from, uint64_t to)
{
    INVARIANT(from <= to);
    hit->at = from;
    hit->end = to;
    if (hit->own & HIT_PINNED)
        hit_moved(hit, true);
}

/* Under the lock: the reader is no longer one of the fill's. True: post the writer's mail. */
static bool hit_leave(struct hit_handler *hit, struct store_body *body)
{
    if (hit->state & HIT_WAITING) {
        list_remove(&hit->waiting);
        hit->state &= (uint8_t)~HIT_WAITING;
    }
    if (!(hit->own & HIT_COUNTED) || !body_is(body, BODY_FILLING))
        return false;
    struct miss_handler *miss = body->fill;
    INVARIANT(miss->readers > 0);
    miss->readers--;
    bool is_window = atomic_load_explicit(&body->window, memory_order_relaxed) != BODY_WHOLE;
    bool is_last = miss->readers == 0 && (is_window || miss->is_private);
    bool wants_room = miss->wants_room; /* what it had pinned may be what the writer waits for */
    miss->wants_room = false;
    return (is_last || wants_room) && miss_mark_mailed(miss);
}

/* Closed as a source before: only the memory is still to be settled. The state is this thread's alone by then. */
static void hit_settle(struct hit_handler *hit, void (*gone)(struct hit_handler *hit))
{
    hit->gone = gone;
    if (!(hit->state & HIT_MAILED) && gone != NULL)
        gone(hit);
}

void hit_handler_close(struct hit_handler *hit, void (*gone)(struct hit_handler *hit))
{
    struct store_body *body;
    struct miss_handler *miss = NULL;
    struct body_chunk *freed = NULL;
    bool in_mail = false;

    if (hit->own & HIT_CLOSED) {
        hit_settle(hit, gone);
        return;
    }
    body = hit->object->body;
    hit->gone = gone;
    if (hit->own & (HIT_COUNTED | HIT_PINNED)) {
        pthread_mutex_lock(body_lock_of(body));
        if (hit_leave(hit, body))
            miss = body->fill;
        freed = hit_unpin(hit);
        in_mail = (hit->state & HIT_MAILED) != 0;
        pthread_mutex_unlock(body_lock_of(body));
    }
    chunk_let_go(body, freed);
    if (miss != NULL)
        loop_post(miss->loop, &miss->mail);
    hit->own = HIT_CLOSED;
    hit->object = store_object_unref(hit->object);
    if (!in_mail && gone != NULL)
        gone(hit);
}

static void hit_close(struct source *source)
{
    hit_handler_close(container_of(source, struct hit_handler, source), NULL);
}

static const struct source_ops hit_ops = {hit_peek, hit_consume, hit_close};

/* ---- what others ask about an object
 * -------------------------------------------------------------------------- */

int64_t store_object_length(const struct store_object *object)
{
    struct store_body *body = object->body;
    int64_t length;

    if (body == NULL)
        return 0;
    if (body_is(body, BODY_COMPLETE))
        return (int64_t)atomic_load_explicit(&body->written, memory_order_acquire);
    pthread_mutex_lock(body_lock_of(body));
    length = body_is(body, BODY_FILLING) ? body->fill->length : -1;
    if (body_is(body, BODY_COMPLETE))
        length = (int64_t)atomic_load_explicit(&body->written, memory_order_acquire);
    pthread_mutex_unlock(body_lock_of(body));
    return length;
}

bool store_object_is_complete(const struct store_object *object)
{
    return object->body == NULL || body_is(object->body, BODY_COMPLETE);
}

bool store_object_is_failed(const struct store_object *object)
{
    return object->body != NULL && body_is(object->body, BODY_FAILED);
}
