#include "fill/slices.h"

#include "fill/filler.h"

#include <stdlib.h>

#define KEYS_INLINE_BYTES 600u
#define ASKS_MAX         4u  /* for one slice */
#define LOOK_MAX         64u /* slices that are looked for before an answer's head is made */
#define LOOKUP_NS        UINT64_C(1000000000)

/* What is tried next for the slice that is needed. */
enum slice_try { TRY_FOLLOW, TRY_STORE, TRY_FOUND, TRY_ASK };

/* The lookup of one slice: the one that is needed, or the next one while that is read, so that a device's time to find
 * it passes meanwhile. */
enum look_state { LOOK_NONE, LOOK_PENDING, LOOK_DONE };
struct look {
    struct slices *slices;
    struct store_lookup lookup; /* LOOK_DONE: with a reference, or without */
    uint64_t number;
    slice key;
    uint8_t state; /* enum look_state */
    bool is_early; /* what was not there then may be there now */
};

struct slices {
    struct source source;
    struct fill_context *context;
    struct store_object *head;
    struct sliced body;
    struct slices_open open;
    uint64_t at, end;   /* of the body */
    uint64_t number;    /* of the slice that hit reads, or that is needed */
    struct hit_handler hit;
    struct follower follower;
    struct look looks[2]; /* of even and odd numbers */
    slice key;            /* of any slice */
    char *keys;           /* where keys are; inline, or of malloc */
    uint8_t try;        /* enum slice_try */
    uint8_t loss;       /* enum slices_loss */
    uint8_t asks;
    bool is_following;  /* a filler, or it was until now */
    bool is_past;       /* it has written this slice before: look into the store */
    bool is_checked;    /* without a strong validator: all it will read was there */
    bool is_reading;    /* hit is open */
    bool is_settling;   /* hit is closed, and its mail under way */
    bool wants;         /* the last peek said WAIT */
    bool is_closed;
    char keys_inline[KEYS_INLINE_BYTES];
};

size_t slices_block_bytes(void)
{
    return sizeof(struct slices);
}

bool sliced_of(const struct store_object *head, struct sliced *ret_body)
{
    const struct stored_slices *slices;
    const struct stored *stored;
    struct fields view;

    if (!err_is_ok(stored_view(head->meta, &view, &stored)) || (slices = stored_slices_of(stored)) == NULL)
        return false;
    *ret_body = (struct sliced){.key = store_object_key(head),
                                .etag = slices->is_strong ? stored_etag(&view, stored) : SLICE_NONE,
                                .id = slices->id,
                                .length_bytes = (uint64_t)stored->body_bytes,
                                .slice_bytes = slices->slice_bytes};
    return true;
}

/* ---- memory ------------------------------------------------------------------------------------------ */

static void slices_free(struct slices *slices)
{
    if (slices->keys != slices->keys_inline)
        free(slices->keys);
    pool_put(&slices->context->readers, slices);
}

static void slices_maybe_free(struct slices *slices)
{
    if (slices->is_closed && !slices->is_settling && follower_is_settled(&slices->follower))
        slices_free(slices);
}

static void slices_wake(struct slices *slices)
{
    if (!slices->wants)
        return;
    slices->wants = false;
    if (slices->source.on_ready != NULL)
        slices->source.on_ready(slices->source.reader);
}

static void count_slice(const struct slices *slices, enum slice_event event)
{
    if (slices->context->metrics != NULL)
        metric_slice(slices->context->metrics, event);
}

/* ---- one slice --------------------------------------------------------------------------------------- */

static void hit_ready(void *reader)
{
    slices_wake(reader);
}

static void hit_gone(struct hit_handler *hit)
{
    struct slices *slices = container_of(hit, struct slices, hit);

    slices->is_settling = false;
    if (slices->is_closed)
        slices_maybe_free(slices);
    else
        slices_wake(slices);
}

static void slice_close(struct slices *slices)
{
    if (!slices->is_reading)
        return;
    slices->is_reading = false;
    slices->is_settling = true; /* until hit_gone, which may be at once */
    hit_handler_close(&slices->hit, hit_gone);
}

/* False: it is not what its key says, and is let go of. */
static bool slice_open(struct slices *slices, struct store_object *object)
{
    uint64_t from = sliced_at(&slices->body, slices->number), bytes = sliced_bytes(&slices->body, slices->number);
    int64_t length = object->kind == STORE_SLICE && object->body != NULL ? store_object_length(object) : -1;

    if ((uint64_t)length != bytes) {
        store_object_unref(object);
        return false;
    }
    hit_handler_open(&slices->hit, object, slices->context->loop);
    hit_handler_seek(&slices->hit, slices->at - from, MIN(slices->end - from, bytes));
    source_set_reader(&slices->hit.source, hit_ready, slices);
    slices->is_reading = true;
    return true;
}

static uint64_t slices_wanted(const struct slices *slices)
{
    return (slices->end + slices->body.slice_bytes - 1) / slices->body.slice_bytes;
}

static void lose(struct slices *slices, enum slices_loss loss)
{
    if (slices->loss != SLICES_LOST_NOTHING)
        return;
    slices->loss = (uint8_t)loss;
    if (loss == SLICES_LOST_CHANGED) /* nobody new begins with it */
        storage_drop(slices->context->storage, slices->head);
}

/* A filler has broken off, or a slice was cut: again from others, from the store, from the origin. */
static void slice_failed(struct slices *slices)
{
    slices->try = TRY_FOLLOW;
    slices->is_past = false;
    if (slices->body.etag.data == NULL)
        lose(slices, SLICES_LOST_BROKEN);
}

/* ---- following --------------------------------------------------------------------------------------- */

static bool slice_join(struct slices *slices)
{
    slices->follower.slice = slices->number;
    slices->follower.wanted = slices_wanted(slices);
    slices->is_following = follower_join(slices->context, &slices->body, &slices->follower);
    slices->open.seen->has_followed |= slices->is_following;
    return slices->is_following;
}

static void filler_has_gone(struct slices *slices)
{
    slices->is_following = slices->is_past = false;
    switch ((enum filler_end)slices->follower.ended) {
    case FILLER_AGAIN:
        slices->try = TRY_STORE;
        break;
    case FILLER_BROKEN:
        slice_failed(slices);
        break;
    case FILLER_CHANGED:
        lose(slices, SLICES_LOST_CHANGED);
        break;
    }
}

/* False: wait. */
static bool slice_follow(struct slices *slices)
{
    struct store_object *object;

    switch (follower_take(&slices->follower, slices->number, slices_wanted(slices), &object)) {
    case FOLLOWER_OBJECT:
        count_slice(slices, SLICE_MISS);
        if (!slice_open(slices, object))
            slice_failed(slices);
        return true;
    case FOLLOWER_WAIT:
        return false;
    case FOLLOWER_STORE:
        slices->is_past = true;
        slices->try = TRY_STORE;
        return true;
    case FOLLOWER_NONE:
        break;
    }
    filler_has_gone(slices);
    return true;
}

/* ---- the store --------------------------------------------------------------------------------------- */

static bool is_stored(struct slices *slices, uint64_t number)
{
    slice_key_set(slices->key, number);
    struct store_key key = storage_key(slices->context->storage, slices->key);
    return storage_has(slices->context->storage, &key);
}

static bool are_stored(struct slices *slices, uint64_t most)
{
    uint64_t to = MIN(slices_wanted(slices), slices->number + most);

    for (uint64_t i = slices->number; i < to; i++)
        if (!is_stored(slices, i))
            return false;
    return true;
}

static void lookup_done(struct store_op *op)
{
    struct look *look = container_of(op, struct look, lookup.op);

    look->state = LOOK_DONE;
    slices_wake(look->slices);
}

static void look_end(struct look *look)
{
    if (look->state == LOOK_PENDING)
        storage_cancel(&look->lookup.op);
    else if (look->state == LOOK_DONE)
        store_object_unref(look->lookup.object);
    look->state = LOOK_NONE;
}

/* What is read because a fetch wrote it a moment ago is no use of the cache. */
static struct look *look_begin(struct slices *slices, uint64_t number, bool is_early)
{
    struct look *look = &slices->looks[number % 2];
    struct loop *loop = slices->context->loop;

    look_end(look);
    look->number = number;
    look->is_early = is_early;
    slice_key_set(look->key, number);
    look->lookup = (struct store_lookup){
        .op = {.loop = loop, .done = lookup_done, .deadline_ns = loop_now_ns(loop) + LOOKUP_NS},
        .key = storage_key(slices->context->storage, look->key),
        .peek = slices->open.seen->has_asked || slices->open.seen->has_followed,
    };
    look->state = LOOK_PENDING;
    if (storage_lookup(slices->context->storage, &look->lookup) == STORE_DONE)
        look->state = LOOK_DONE;
    return look;
}

static bool look_is_good(const struct look *look, uint64_t number)
{
    if (look->state == LOOK_NONE || look->number != number)
        return false;
    return look->state == LOOK_PENDING || !look->is_early || look->lookup.object != NULL;
}

/* False: wait. */
static bool slice_look(struct slices *slices)
{
    struct look *look = &slices->looks[slices->number % 2];

    if (slices->body.etag.data == NULL && !slices->is_checked && !slices->is_following) { /* whole or not at all */
        slices->is_checked = true;
        if (!are_stored(slices, UINT64_MAX - slices->number)) {
            lose(slices, SLICES_LOST_CHANGED);
            return true;
        }
    }
    if (!look_is_good(look, slices->number))
        look = look_begin(slices, slices->number, false);
    if (look->state == LOOK_DONE)
        slices->try = TRY_FOUND;
    return look->state == LOOK_DONE;
}

static void slice_found(struct slices *slices)
{
    struct look *look = &slices->looks[slices->number % 2];
    struct store_object *object = look->lookup.object;

    look->state = LOOK_NONE;
    slices->try = TRY_ASK;
    if (object == NULL || !slice_open(slices, object))
        return;
    count_slice(slices, SLICE_HIT);
    if (slices->number + 1 < slices_wanted(slices))
        look_begin(slices, slices->number + 1, true);
}

static void looks_end(struct slices *slices)
{
    look_end(&slices->looks[0]);
    look_end(&slices->looks[1]);
    slices->try = TRY_FOLLOW;
}

/* ---- the origin -------------------------------------------------------------------------------------- */

static void slice_ask(struct slices *slices)
{
    struct fill_start start;
    char ip[64];

    if (slices->body.etag.data == NULL) {
        lose(slices, SLICES_LOST_CHANGED);
        return;
    }
    if (++slices->asks > ASKS_MAX) {
        lose(slices, SLICES_LOST_BROKEN);
        return;
    }
    slices->open.start_of(slices->open.owner, ip, sizeof(ip), &start);
    slices->open.seen->has_asked = true;
    slices->follower.slice = slices->number;
    slices->follower.wanted = slices_wanted(slices);
    slices->is_following = filler_start(&start, &slices->body, slices->head, &slices->follower);
    if (!slices->is_following)
        lose(slices, SLICES_LOST_BROKEN);
}

/* ---- the source -------------------------------------------------------------------------------------- */

/* Towards having the slice open. False: wait. */
static bool slice_step(struct slices *slices)
{
    if (slices->is_following && !slices->is_past)
        return slice_follow(slices);
    switch ((enum slice_try)slices->try) {
    case TRY_FOLLOW:
        if (!slice_join(slices))
            slices->try = TRY_STORE;
        return true;
    case TRY_STORE:
        return slice_look(slices);
    case TRY_FOUND:
        slice_found(slices);
        return true;
    case TRY_ASK:
        if (slices->is_following || !slice_join(slices))
            slice_ask(slices);
        return true;
    }
    return true;
}

static struct slices *slices_of(struct source *source)
{
    return container_of(source, struct slices, source);
}

static enum source_state slices_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct slices *slices = slices_of(source);
    enum source_state state;

    slices->wants = false;
    *ret_count = 0;
    for (;;) {
        if (slices->at >= slices->end)
            return SOURCE_END;
        if (slices->loss != SLICES_LOST_NOTHING)
            return SOURCE_FAILED;
        if (slices->is_reading) {
            state = source_peek(&slices->hit.source, ret_slices, max, ret_count);
            if (state == SOURCE_READY)
                return state;
            if (state == SOURCE_WAIT)
                break;
            slice_close(slices);
            slice_failed(slices);
        } else if (slices->is_settling || !slice_step(slices)) {
            break;
        }
    }
    slices->wants = true;
    return SOURCE_WAIT;
}

static void slices_consume(struct source *source, size_t n)
{
    struct slices *slices = slices_of(source);

    source_consume(&slices->hit.source, n);
    slices->at += n;
    if (slices->at < slices->end && slices->at < sliced_at(&slices->body, slices->number + 1))
        return;
    slice_close(slices);
    slices->number = slices->at / slices->body.slice_bytes;
    slices->try = TRY_FOLLOW;
    slices->is_past = false;
    slices->asks = 0;
    if (slices->at < slices->end)
        return;
    follower_leave(&slices->follower);
    slices->is_following = false;
}

static void slices_close(struct source *source)
{
    struct slices *slices = slices_of(source);

    INVARIANT(!slices->is_closed);
    slices->wants = false;
    looks_end(slices);
    slice_close(slices);
    follower_leave(&slices->follower);
    slices->head = store_object_unref(slices->head);
    slices->is_closed = true;
    slices_maybe_free(slices);
}

static void follower_look(struct follower *follower)
{
    struct slices *slices = container_of(follower, struct slices, follower);

    if (slices->is_closed)
        slices_maybe_free(slices);
    else
        slices_wake(slices);
}

/* ---- from outside ------------------------------------------------------------------------------------ */

/* One key for each lookup, and one to ask with. */
static bool slices_set_keys(struct slices *slices)
{
    size_t size = slices->body.key.len + SLICE_KEY_MORE;

    slices->keys = 3 * size <= sizeof(slices->keys_inline) ? slices->keys_inline : malloc(3 * size);
    if (slices->keys == NULL)
        return false;
    slices->key = slice_key_write(&slices->body, 0, slices->keys);
    for (unsigned i = 0; i < 2; i++) {
        slices->looks[i].slices = slices;
        slices->looks[i].key = slice_key_write(&slices->body, i, slices->keys + (i + 1) * size);
    }
    return true;
}

struct slices *slices_open(const struct slices_open *open)
{
    static const struct source_ops ops = {slices_peek, slices_consume, slices_close, NULL};
    struct slices *slices = pool_get(&open->context->readers);
    struct sliced body;

    if (slices == NULL)
        return NULL;
    memset(slices, 0, offsetof(struct slices, keys_inline));
    slices->context = open->context;
    slices->open = *open;
    slices->source.ops = &ops;
    if (!sliced_of(open->head, &body)) {
        pool_put(&open->context->readers, slices);
        return NULL;
    }
    slices->body = body;
    if (!slices_set_keys(slices)) {
        pool_put(&open->context->readers, slices);
        return NULL;
    }
    slices->head = store_object_ref(open->head);
    slices->end = body.length_bytes;
    slices->follower.loop = open->context->loop;
    slices->follower.look = follower_look;
    return slices;
}

struct source *slices_source(struct slices *slices)
{
    return &slices->source;
}

void slices_seek(struct slices *slices, uint64_t from, uint64_t to)
{
    INVARIANT(from <= to);
    INVARIANT(to <= slices->body.length_bytes);
    looks_end(slices);
    slice_close(slices);
    slices->at = from;
    slices->end = to;
    slices->number = from / slices->body.slice_bytes;
    slices->asks = 0;
    slices->is_checked = slices->is_past = false;
}

bool slices_are_stored(struct slices *slices)
{
    return are_stored(slices, LOOK_MAX);
}

enum slices_loss slices_loss(const struct slices *slices)
{
    return (enum slices_loss)slices->loss;
}
