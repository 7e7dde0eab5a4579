/* The store's side of a body: its chunks and its writer. Its readers are in hit.c. */
#include "store/body_own.h"

#include <stdlib.h>

#define CHUNK_BYTES_MAX   (256u * 1024)
#define CHUNK_BYTES_FIRST (16u * 1024) /* of an unknown length; doubles */
#define CHUNK_BYTES_MIN   (4u * 1024)
#define UNKNOWN_SHARE     4u /* a body of unknown length has to be that much larger before it gets a slab */
#define SLAB_TAIL_BYTES   (64u * 1024)  /* a shorter end of a known length is no slab of its own */
#define SLAB_STEP_BYTES   (512u * 1024) /* a slab grows by so much at a time: its pages are not taken all at once */

/* ---- locks ------------------------------------------------------------------------------------------- */

#define LOCK                      \
    {                             \
        PTHREAD_MUTEX_INITIALIZER \
    }
#define LOCKS_8 LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK, LOCK
static struct {
    _Alignas(64) pthread_mutex_t mutex;
} locks[] = {LOCKS_8, LOCKS_8, LOCKS_8, LOCKS_8, LOCKS_8, LOCKS_8, LOCKS_8, LOCKS_8};

pthread_mutex_t *body_lock_of(const struct store_body *body)
{
    uintptr_t mixed = (uintptr_t)body * (uintptr_t)0x9E3779B97F4A7C15ull;

    return &locks[(mixed >> 40) % ARRAY_LEN(locks)].mutex;
}

/* ---- chunks ------------------------------------------------------------------------------------------ */

/* Of the chunk itself, and its bytes where they lie behind it. */
static uint64_t chunk_charge(const struct body_chunk *chunk)
{
    return store_charge(sizeof(*chunk) + (chunk->is_slab ? 0 : chunk->room));
}

static uint64_t chunk_charge_all(const struct stored *owner, const struct body_chunk *chunk)
{
    return chunk_charge(chunk) + (chunk->is_slab ? slab_bytes(owner->budget->slabs, chunk->bytes) : 0);
}

void body_chunk_free(struct stored *owner, struct body_chunk *chunk)
{
    uint64_t charge = chunk_charge(chunk);

    if (chunk->is_slab)
        slab_free(owner->budget->slabs, chunk->bytes);
    free(chunk);
    store_budget_give(owner->budget, stored_payer(owner), charge);
}

static void chunk_init(struct body_chunk *chunk, uint64_t at, size_t size)
{
    *chunk = (struct body_chunk){.at = at, .bytes = (char *)(chunk + 1), .room = (uint32_t)size};
    atomic_init(&chunk->size, (uint32_t)size);
}

static struct body_chunk *chunk_new(struct stored *owner, uint64_t at, size_t size)
{
    uint64_t charge = store_charge(sizeof(struct body_chunk) + size);
    struct body_chunk *chunk;

    if (!store_budget_take(owner->budget, stored_payer(owner), charge, owner->seen.hash))
        return NULL;
    chunk = malloc(sizeof(*chunk) + size);
    if (chunk == NULL) {
        store_budget_give(owner->budget, stored_payer(owner), charge);
        return NULL;
    }
    chunk_init(chunk, at, size);
    return chunk;
}

/* A slab for up to size bytes of the body, need: as far as that is known, with room for the first of them. */
static struct body_chunk *chunk_new_slab(struct stored *owner, uint64_t at, size_t size, size_t room, size_t need)
{
    struct slabs *slabs = owner->budget->slabs;
    struct body_chunk *chunk = chunk_new(owner, at, 0);

    if (chunk == NULL)
        return NULL;
    chunk->bytes = slab_new(slabs, owner->seen.tenant, owner->seen.hash, room, need);
    if (chunk->bytes == NULL) {
        body_chunk_free(owner, chunk);
        return NULL;
    }
    chunk->is_slab = true;
    chunk->room = (uint32_t)MIN(size, slab_bytes(slabs, chunk->bytes));
    atomic_init(&chunk->size, (uint32_t)size);
    return chunk;
}

/* A chunk of malloc, of size bytes or as many as there were, in the place of a slab nobody reads. The budget never has
 * what lies between: another fill would take it, and this one have nothing left to turn round. */
static size_t exchange_bytes(const struct stored *owner, const struct body_chunk *slab, size_t size)
{
    return MIN(size, slab_bytes(owner->budget->slabs, slab->bytes) - sizeof(*slab));
}

/* taken: memory for the new one, from before the slab was cut. */
static void chunk_exchange(struct stored *owner, struct body_chunk *slab, struct body_chunk *taken, uint64_t at, size_t size)
{
    size_t behind = exchange_bytes(owner, slab, size);

    slab_exchange(owner->budget->slabs, slab->bytes, store_charge(sizeof(*slab) + behind));
    slab->is_slab = false;
    slab->room = 0;
    body_chunk_free(owner, slab);
    chunk_init(taken, at, behind);
}

uint64_t body_chunk_bytes(struct store_body *body)
{
    pthread_mutex_t *lock = body_lock_of(body);
    uint64_t bytes = 0;

    if (body->is_inline)
        return 0;
    pthread_mutex_lock(lock);
    for (struct body_chunk *chunk = body_first(body); chunk != NULL; chunk = chunk->next)
        bytes += chunk_charge_all(stored_of_body(body), chunk);
    pthread_mutex_unlock(lock);
    return bytes;
}

void body_promote(struct store_body *body, uint32_t hits)
{
    if (body->is_inline || atomic_load_explicit(&body->state, memory_order_acquire) != BODY_COMPLETE)
        return;
    for (struct body_chunk *chunk = body->chunks; chunk != NULL; chunk = chunk->next)
        if (chunk->is_slab)
            slab_promote(stored_of_body(body)->budget->slabs, &chunk->bytes, hits);
}

void body_done(struct stored *owner)
{
    struct store_body *body = owner->seen.body;
    struct body_chunk *chunk = body->is_inline ? NULL : body->chunks;

    if (body->tail_bytes > 0) /* also where its fill never began */
        free(stored_inline_tail(body));
    while (chunk != NULL) {
        struct body_chunk *next = chunk->next;
        body_chunk_free(owner, chunk);
        chunk = next;
    }
}

/* Under the lock: chunk becomes the last one. Every BODY_SKIP-th one knows the one BODY_SKIP later, so that a
 * seek into a body of a gigabyte takes some hundred steps instead of four thousand. */
static void chunk_append(struct miss_handler *miss, struct body_chunk *chunk)
{
    if (miss->last != NULL)
        miss->last->next = chunk;
    else
        miss->first = chunk;
    miss->last = chunk;
    if (miss->chunk_count++ % BODY_SKIP == 0) {
        if (miss->skip_from != NULL)
            miss->skip_from->skip = chunk;
        miss->skip_from = chunk;
    }
}

/* Under the lock: takes the first chunk out. Returns it when nobody reads it; else its last reader frees it.
 */
static struct body_chunk *chunk_cut(struct miss_handler *miss)
{
    struct body_chunk *chunk = miss->first;

    miss->first = chunk->next;
    if (miss->first == NULL)
        miss->last = NULL;
    if (miss->skip_from == chunk)
        miss->skip_from = NULL;
    chunk->next = NULL;
    atomic_store_explicit(&miss->body->window, BODY_START_GONE, memory_order_release);
    if (chunk->pins == 0)
        return chunk;
    chunk->is_cut = true;
    return NULL;
}

/* ---- the writer
 * --------------------------------------------------------------------------------------------- */

static void miss_mailed(struct mail *mail);

static struct miss_handler *miss_new(struct stored *object)
{
    struct store_budget *budget = object->budget;
    struct miss_handler *miss;

    if (!store_budget_take(budget, stored_payer(object), store_charge(sizeof(*miss)), object->seen.hash))
        return NULL;
    miss = calloc(1, sizeof(*miss));
    if (miss == NULL) {
        store_budget_give(budget, stored_payer(object), store_charge(sizeof(*miss)));
        return NULL;
    }
    miss->budget = budget;
    miss->payer = stored_payer(object);
    miss->object = object;
    miss->body = object->seen.body;
    miss->lock = body_lock_of(miss->body);
    miss->mail.run = miss_mailed;
    list_init(&miss->waiting);
    return miss;
}

/* The object may be gone already. */
static void miss_free(struct miss_handler *miss)
{
    store_budget_give(miss->budget, miss->payer, store_charge(sizeof(*miss)));
    free(miss);
}

static bool miss_needs_window(const struct miss_handler *miss, uint64_t bytes)
{
    return bytes > (miss->is_private ? miss->config.window_bytes : miss->config.share_bytes);
}

static void miss_to_window(struct miss_handler *miss)
{
    if (atomic_load_explicit(&miss->body->window, memory_order_relaxed) == BODY_WHOLE)
        atomic_store_explicit(&miss->body->window, BODY_WINDOW, memory_order_release);
}

static size_t miss_chunk_size(const struct miss_handler *miss, uint64_t written)
{
    uint64_t size = CHUNK_BYTES_FIRST;

    if (miss_handler_is_window(miss)) {
        size = MIN(miss->config.window_bytes / 4, CHUNK_BYTES_MAX);
    } else {
        size = miss->length >= 0 ? CHUNK_BYTES_MAX : MIN(MAX(written, size), CHUNK_BYTES_MAX);
        size = MIN(size, MAX(miss->config.share_bytes / 4, CHUNK_BYTES_MIN)) - sizeof(struct body_chunk);
    }
    if (miss->length >= 0)
        size = MIN(size, (uint64_t)miss->length - written);
    return (size_t)size;
}

/* What the body can still need while it is kept whole. */
static uint64_t miss_left(const struct miss_handler *miss, uint64_t written)
{
    uint64_t most = miss->length >= 0 ? (uint64_t)miss->length : miss->config.share_bytes;

    return most - MIN(most, written);
}

/* Only what is kept whole: the memory of a window is written again and again, a slab's must not be. */
static bool miss_wants_slab(const struct miss_handler *miss, uint64_t written)
{
    uint64_t so_far = miss->length >= 0 ? (uint64_t)miss->length : written / UNKNOWN_SHARE;

    if (miss->budget->slabs == NULL || miss->is_private || miss_handler_is_window(miss))
        return false;
    return so_far >= miss->config.slab_from_bytes &&
           miss_left(miss, written) >= MIN(SLAB_TAIL_BYTES, miss->config.slab_bytes);
}

static size_t miss_slab_step(const struct miss_handler *miss)
{
    return MIN(SLAB_STEP_BYTES, MAX(miss->config.share_bytes / 4, CHUNK_BYTES_MIN));
}

static struct body_chunk *miss_new_chunk(struct miss_handler *miss, uint64_t at, size_t size)
{
    struct body_chunk *chunk = NULL;

    if (miss_wants_slab(miss, at)) {
        size_t slab = (size_t)MIN(miss_left(miss, at), miss->config.slab_bytes);
        chunk = chunk_new_slab(miss->object, at, slab, MIN(miss_slab_step(miss), slab),
                               miss->length >= 0 ? slab : 0);
    }
    return chunk != NULL ? chunk : chunk_new(miss->object, at, size);
}

/* Room in an empty body: without it a fill must not begin, because a window needs something to turn round. */
static err miss_first_chunk(struct miss_handler *miss)
{
    struct body_chunk *chunk = miss_new_chunk(miss, 0, miss_chunk_size(miss, 0));

    ENSURE(chunk != NULL, LIMIT);
    chunk_append(miss, chunk);
    return ERR_OK;
}

err body_fill_new(struct stored *object, const struct body_config *config, const struct store_fill *fill,
                  struct miss_handler **ret_miss)
{
    struct store_body *body = object->seen.body;
    struct miss_handler *miss = miss_new(object);

    ENSURE(miss != NULL, LIMIT);
    INVARIANT(fill->on_room == NULL || fill->op.loop != NULL);
    miss->config = *config;
    miss->loop = fill->op.loop;
    miss->on_room = fill->on_room;
    miss->writer = fill->writer;
    miss->length = fill->length_bytes;
    miss->is_private = fill->private_copy;
    body->is_inline = miss->length >= 0 && miss->length == body->inline_bytes;
    if (miss->length >= 0 && miss_needs_window(miss, (uint64_t)miss->length) && !body->is_inline)
        miss_to_window(miss);
    if (!body->is_inline) {
        err e = miss_first_chunk(miss);
        if (!err_is_ok(e)) {
            body->chunks = NULL;
            atomic_store_explicit(&body->state, BODY_FAILED, memory_order_release);
            miss_free(miss);
            return e;
        }
    }
    body->fill = miss;
    store_object_ref(&object->seen);
    *ret_miss = miss;
    return ERR_OK;
}

/* Under the lock: no room; whoever moves on will say so. Cut chunks come back in ret_free. */
static bool window_cut(struct miss_handler *miss, uint64_t span, struct body_chunk **ret_free)
{
    struct body_chunk *first = miss->first;

    if (first == NULL)
        return span <= miss->config.window_bytes;
    while (first != NULL && miss->written + span - first->at > miss->config.window_bytes) {
        if (chunk_end(first) > miss->fastest) {
            miss->wants_room = true;
            return false;
        }
        if (first == miss->last) /* its memory is what the body goes on in, when there is no other */
            break;
        struct body_chunk *cut = chunk_cut(miss);
        if (cut != NULL) {
            cut->next = *ret_free;
            *ret_free = cut;
        }
        first = miss->first;
    }
    return true;
}

static void chunks_free(struct stored *owner, struct body_chunk *chunk)
{
    while (chunk != NULL) {
        struct body_chunk *next = chunk->next;
        body_chunk_free(owner, chunk);
        chunk = next;
    }
}

/* The budget has nothing left: turn the body's own oldest chunk round, once it was read. A slab goes, and makes room
 * for size bytes. */
static struct body_chunk *window_recycle(struct miss_handler *miss, size_t size)
{
    struct body_chunk *chunk = miss->first, *cut = NULL, *taken = NULL;
    bool is_slab = chunk != NULL && chunk->is_slab;

    if (is_slab)
        taken = malloc(sizeof(*taken) + exchange_bytes(miss->object, chunk, size));
    pthread_mutex_lock(miss->lock);
    miss_to_window(miss);
    if (chunk != NULL && chunk->pins == 0 && chunk_end(chunk) <= miss->fastest && (!is_slab || taken != NULL))
        cut = chunk_cut(miss);
    else
        miss->wants_room = true;
    pthread_mutex_unlock(miss->lock);
    if (cut == NULL) {
        free(taken);
        return NULL;
    }
    if (!is_slab) {
        chunk_init(cut, miss->written, cut->room);
        return cut;
    }
    chunk_exchange(miss->object, cut, taken, miss->written, size);
    return taken;
}

static void miss_leave_index(struct miss_handler *miss)
{
    if (miss->has_left || atomic_load_explicit(&miss->body->window, memory_order_relaxed) != BODY_START_GONE)
        return;
    miss->has_left = true;
    if (miss->config.host != NULL && miss->config.host->leave != NULL)
        miss->config.host->leave(miss->config.storage, miss->object);
}

/* The slab written last has addresses left: pages for more of them. Where there are none, or the body must not grow
 * any further, the slab ends here. */
static bool slab_goes_on(struct miss_handler *miss, struct body_chunk *slab)
{
    size_t room = MIN(slab->room + miss_slab_step(miss), slab->size);

    if (!miss_handler_is_window(miss) &&
        slab_grow(miss->budget->slabs, slab->bytes, miss->object->seen.hash, room)) {
        room = MIN(slab->size, slab_bytes(miss->budget->slabs, slab->bytes));
        pthread_mutex_lock(miss->lock); /* whoever adds up the body's bytes looks at it */
        slab->room = (uint32_t)room;
        pthread_mutex_unlock(miss->lock);
        return true;
    }
    pthread_mutex_lock(miss->lock);
    atomic_store_explicit(&slab->size, slab->room, memory_order_relaxed);
    pthread_mutex_unlock(miss->lock);
    return false;
}

static bool miss_grow(struct miss_handler *miss)
{
    struct body_chunk *chunk = NULL, *freed = NULL;
    bool may_grow = true;

    if (!miss_handler_is_window(miss) && miss_needs_window(miss, miss->written + 1))
        miss_to_window(miss);
    if (miss->last != NULL && miss->last->room < miss->last->size && slab_goes_on(miss, miss->last))
        return true;
    size_t size = miss_chunk_size(miss, miss->written);
    if (miss_handler_is_window(miss)) {
        pthread_mutex_lock(miss->lock);
        may_grow = window_cut(miss, size, &freed);
        pthread_mutex_unlock(miss->lock);
        miss_leave_index(miss);
        chunks_free(miss->object, freed);
    }
    if (may_grow)
        chunk = miss_new_chunk(miss, miss->written, size);
    if (may_grow && chunk == NULL)
        chunk = window_recycle(miss, size);
    miss_leave_index(miss);
    if (chunk == NULL)
        return false;
    pthread_mutex_lock(miss->lock);
    miss->wants_room = false;
    chunk_append(miss, chunk);
    pthread_mutex_unlock(miss->lock);
    return true;
}

/* In the object's own piece, then in its tail. */
static void inline_room(const struct miss_handler *miss, char **ret_at, size_t *ret_bytes)
{
    size_t first = stored_inline_first(miss->body), written = (size_t)miss->written;

    *ret_at = written < first ? stored_inline_data(miss->body) + written
                              : stored_inline_tail(miss->body) + (written - first);
    *ret_bytes = (written < first ? first : (size_t)miss->length) - written;
}

bool miss_handler_room(struct miss_handler *miss, char **ret_at, size_t *ret_bytes)
{
    uint64_t left = miss->length >= 0 ? (uint64_t)miss->length - miss->written : UINT64_MAX;

    if (left == 0)
        return false;
    if (miss->body->is_inline) {
        inline_room(miss, ret_at, ret_bytes);
        return true;
    }
    if (miss->last == NULL || miss->written == miss->last->at + miss->last->room) {
        if (!miss_grow(miss))
            return false;
    }
    size_t used = (size_t)(miss->written - miss->last->at);
    *ret_at = miss->last->bytes + used;
    *ret_bytes = (size_t)MIN(miss->last->room - used, left);
    return true;
}

/* Under the lock: who waits will be mailed; their memory stays until the mail has come. */
static struct list *miss_take_waiting(struct miss_handler *miss, struct list *ret_woken)
{
    list_init(ret_woken);
    list_splice_back(ret_woken, &miss->waiting);
    LIST_FOREACH (ret_woken, it)
        hit_mark_mailed(container_of(it, struct hit_handler, waiting));
    return ret_woken;
}

static void post_woken(struct list *woken)
{
    struct list *it = woken->next;

    while (it != woken) {
        struct hit_handler *hit = container_of(it, struct hit_handler, waiting);
        it = it->next; /* hit may be gone once it is posted */
        loop_post(hit->loop, &hit->mail);
    }
}

void miss_handler_wrote(struct miss_handler *miss, size_t n)
{
    struct list woken;

    INVARIANT(miss->body->is_inline
                  ? miss->written + n <= (uint64_t)miss->length
                  : miss->last != NULL && miss->written + n <= miss->last->at + miss->last->room);
    miss->written += n;
    pthread_mutex_lock(miss->lock);
    atomic_store_explicit(&miss->body->written, miss->written, memory_order_release);
    miss_take_waiting(miss, &woken);
    pthread_mutex_unlock(miss->lock);
    post_woken(&woken);
}

size_t miss_handler_write(struct miss_handler *miss, slice s)
{
    size_t done = 0, room;
    char *at;

    while (done < s.len && miss_handler_room(miss, &at, &room)) {
        room = MIN(room, s.len - done);
        memcpy(at, s.data + done, room);
        miss_handler_wrote(miss, room);
        done += room;
    }
    return done;
}

struct store_object *miss_handler_object(struct miss_handler *miss)
{
    return store_object_ref(&miss->object->seen);
}

uint64_t miss_handler_written(const struct miss_handler *miss)
{
    return miss->written;
}

bool miss_handler_is_window(const struct miss_handler *miss)
{
    return atomic_load_explicit(&miss->body->window, memory_order_relaxed) != BODY_WHOLE;
}

bool miss_handler_has_readers(const struct miss_handler *miss)
{
    pthread_mutex_lock(miss->lock);
    bool has = miss->readers > 0;
    pthread_mutex_unlock(miss->lock);
    return has;
}

/* ---- mail to the writer ------------------------------------------------------------------------------ */

bool miss_mark_mailed(struct miss_handler *miss)
{
    if (miss->on_room == NULL || miss->is_mailed)
        return false;
    miss->is_mailed = true;
    return true;
}

static void miss_mailed(struct mail *mail)
{
    struct miss_handler *miss = container_of(mail, struct miss_handler, mail);

    pthread_mutex_lock(miss->lock);
    miss->is_mailed = false;
    bool ended = miss->is_ended;
    pthread_mutex_unlock(miss->lock);
    if (ended)
        miss_free(miss);
    else
        miss->on_room(miss->writer);
}

/* ---- the end ----------------------------------------------------------------------------------------- */

/* An unknown length leaves room at the end of its last chunk. Of a slab the pages go; else a smaller copy takes the
 * chunk's place while nobody reads it. Returns what is to be freed. */
static struct body_chunk *chunk_trim(struct miss_handler *miss)
{
    struct body_chunk *last = miss->last, *copy, **at = &miss->first;

    if (last == NULL)
        return NULL;
    size_t used = (size_t)(miss->written - last->at);
    if (last->is_slab) {
        slab_trim(miss->budget->slabs, last->bytes, used);
        return NULL;
    }
    if (miss->length >= 0 || miss_handler_is_window(miss))
        return NULL;
    if (store_charge(sizeof(*last) + used) >= chunk_charge(last) ||
        (copy = chunk_new(miss->object, last->at, used)) == NULL)
        return NULL;
    memcpy(copy->bytes, last->bytes, used);
    pthread_mutex_lock(miss->lock);
    struct body_chunk *freed = last->pins > 0 ? copy : last;
    if (freed == last) {
        if (miss->skip_from == last)
            miss->skip_from = NULL;
        for (struct body_chunk *c = miss->first; c != NULL; c = c->next)
            if (c->skip == last)
                c->skip = copy;
        while (*at != last)
            at = &(*at)->next;
        *at = copy;
        miss->last = copy;
    }
    pthread_mutex_unlock(miss->lock);
    return freed;
}

static void miss_end(struct miss_handler *miss, enum body_state state)
{
    struct store_body *body = miss->body;
    struct stored *object = miss->object;
    struct list woken;

    pthread_mutex_lock(miss->lock);
    miss_take_waiting(miss, &woken);
    body->chunks = body->is_inline ? NULL : miss->first;
    if (state == BODY_COMPLETE && atomic_load_explicit(&body->window, memory_order_relaxed) == BODY_WINDOW)
        atomic_store_explicit(&body->window, BODY_WHOLE, memory_order_relaxed); /* it never lost a byte */
    atomic_store_explicit(&body->state, state, memory_order_release);
    miss->is_ended = true;
    bool is_mailed = miss->is_mailed;
    pthread_mutex_unlock(miss->lock);
    post_woken(&woken);
    if (!is_mailed)
        miss_free(miss);
    store_object_unref(&object->seen);
}

void miss_handler_finish(struct miss_handler *miss)
{
    const struct body_host *host = miss->config.host;
    struct storage *storage = miss->config.storage;
    struct stored *object = miss->object;
    struct body_chunk *freed;

    if (miss->length >= 0 && miss->written != (uint64_t)miss->length) {
        miss_handler_drop(miss); /* never partial as whole, whatever the caller thinks */
        return;
    }
    freed = chunk_trim(miss);
    if (freed != NULL)
        body_chunk_free(object, freed);
    bool is_whole = !miss->is_private && atomic_load(&miss->body->window) != BODY_START_GONE;
    store_object_ref(&object->seen);
    miss_end(miss, BODY_COMPLETE);
    if (is_whole && host != NULL && host->finished != NULL)
        host->finished(storage, object);
    store_object_unref(&object->seen);
}

void miss_handler_drop(struct miss_handler *miss)
{
    if (miss == NULL)
        return;
    if (!miss->has_left && miss->config.host != NULL && miss->config.host->leave != NULL)
        miss->config.host->leave(miss->config.storage, miss->object);
    miss_end(miss, BODY_FAILED);
}
