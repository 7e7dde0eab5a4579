/* Who follows which filler, across threads; and how far a filler goes. */
#include "fill/filler.h"

#include <stdlib.h>

struct filler_shard *filler_shard_of(struct fill_table *table, const struct sliced *body)
{
    return &table->filler_shards[body->id.hi % FILLER_SHARDS];
}

static bool is_same_body(const struct filler *filler, const struct sliced *body)
{
    return hash128_eq(filler->body.id, body->id) && slice_eq(filler->body.key, body->key);
}

/* ---- how far ----------------------------------------------------------------------------------------- */

/* Cheaper to finish than to ask for again: for the origin an eighth more than it has sent, at most; for memory what a
 * filler may hold ahead in any case. Without a strong validator a rest cannot be asked for: all would be in vain. */
static bool is_little(const struct filler_view *view)
{
    uint64_t most = view->ahead * view->slice_bytes;

    if (view->is_strong)
        most = MIN(most, MAX(view->slice_bytes, view->all_bytes / 8));
    return view->left_bytes <= most;
}

enum filler_next filler_decide(const struct filler_view *view)
{
    if (!view->has_followers && !view->had_followers) /* those whom it was promised come in a moment */
        return view->next < view->first + view->ahead ? FILLER_GO : FILLER_PAUSE;
    if (!view->has_followers || (view->is_strong && view->next >= view->wanted))
        return is_little(view) ? FILLER_GO : FILLER_STOP;
    return view->next <= view->fastest + view->ahead ? FILLER_GO : FILLER_PAUSE;
}

/* Under the lock. */
static struct filler_view filler_view_of(const struct filler *filler)
{
    uint64_t written = filler->miss != NULL ? miss_handler_written(filler->miss) : 0;
    uint64_t next = filler->ring_to, at = sliced_at(&filler->body, filler->miss != NULL ? next - 1 : next) + written;
    struct filler_view view = {.first = filler->first,
                               .next = next,
                               .limit = filler->limit,
                               .ahead = filler->ahead,
                               .left_bytes = sliced_at(&filler->body, filler->limit) - at,
                               .all_bytes = sliced_at(&filler->body, filler->limit) - sliced_at(&filler->body, filler->first),
                               .slice_bytes = filler->body.slice_bytes,
                               .has_followers = !list_is_empty(&filler->followers),
                               .had_followers = filler->had_followers,
                               .is_strong = filler->body.etag.data != NULL};

    LIST_FOREACH (&filler->followers, it) {
        const struct follower *follower = container_of(it, struct follower, link);
        view.fastest = MAX(view.fastest, follower->slice);
        view.wanted = MAX(view.wanted, follower->wanted);
    }
    return view;
}

enum filler_next filler_may_go_on(struct filler *filler)
{
    struct filler_view view;
    enum filler_next next;

    pthread_mutex_lock(&filler->shard->lock);
    view = filler_view_of(filler);
    next = filler_decide(&view);
    filler->is_paused = next == FILLER_PAUSE;
    pthread_mutex_unlock(&filler->shard->lock);
    return next;
}

/* ---- telling ----------------------------------------------------------------------------------------- */

/* These are under the lock: whoever is told leaves no sooner than its mail has come. */
static void filler_tell(struct filler *filler)
{
    if (filler->is_mailed)
        return;
    filler->is_mailed = true;
    loop_post(filler->context->loop, &filler->mail);
}

static void follower_mailed(struct mail *mail)
{
    struct follower *follower = container_of(mail, struct follower, mail);

    pthread_mutex_lock(&follower->shard->lock);
    follower->is_mailed = false;
    pthread_mutex_unlock(&follower->shard->lock);
    follower->look(follower);
}

static void follower_tell(struct follower *follower)
{
    if (!follower->waits)
        return;
    follower->waits = false;
    if (follower->is_mailed)
        return;
    follower->is_mailed = true;
    follower->mail.run = follower_mailed;
    loop_post(follower->loop, &follower->mail);
}

static void follower_detach(struct follower *follower, enum filler_end end)
{
    list_remove(&follower->link);
    follower->filler = NULL;
    follower->ended = (uint8_t)end;
}

/* ---- following --------------------------------------------------------------------------------------- */

static bool is_in_ring(const struct filler *filler, uint64_t number)
{
    return number >= filler->ring_from && number < filler->ring_to;
}

/* What is far ahead is asked for by a request of its own, where that is possible. Else there is this filler alone: who
 * reads what it has written before keeps it going, too. */
static bool filler_covers(const struct filler *filler, uint64_t number)
{
    bool is_only = filler->body.etag.data == NULL || filler->has_no_ranges;

    if (number >= filler->limit)
        return false;
    if (filler->body.etag.data == NULL || is_in_ring(filler, number))
        return true;
    return number >= filler->ring_to && !filler->is_done && (is_only || number < filler->ring_to + filler->ahead);
}

static struct filler *shard_covering(struct filler_shard *shard, const struct sliced *body, uint64_t number)
{
    LIST_FOREACH (&shard->fillers, it) {
        struct filler *filler = container_of(it, struct filler, link);
        if (is_same_body(filler, body) && filler_covers(filler, number))
            return filler;
    }
    return NULL;
}

static void follower_attach(struct follower *follower, struct filler *filler)
{
    follower->filler = filler;
    filler->had_followers = true;
    list_push_back(&filler->followers, &follower->link);
    if (filler->is_paused)
        filler_tell(filler);
}

bool follower_join(struct fill_context *context, const struct sliced *body, struct follower *follower)
{
    struct fill_table *table = context->table;
    struct filler *filler;

    INVARIANT(follower->filler == NULL);
    if (atomic_load_explicit(&table->filler_count, memory_order_acquire) == 0)
        return false;
    follower->shard = filler_shard_of(table, body);
    pthread_mutex_lock(&follower->shard->lock);
    filler = shard_covering(follower->shard, body, follower->slice);
    if (filler != NULL)
        follower_attach(follower, filler);
    pthread_mutex_unlock(&follower->shard->lock);
    return filler != NULL;
}

/* Under the lock. */
static enum follower_gets take(struct follower *follower, struct store_object **ret_object)
{
    struct filler *filler = follower->filler;

    if (filler == NULL)
        return FOLLOWER_NONE;
    if (is_in_ring(filler, follower->slice)) {
        *ret_object = store_object_ref(filler->ring[follower->slice % FILLER_RING]);
        return FOLLOWER_OBJECT;
    }
    if (filler_covers(filler, follower->slice)) {
        if (follower->slice < filler->ring_from)
            return FOLLOWER_STORE;
        follower->waits = true;
        return FOLLOWER_WAIT;
    }
    follower_detach(follower, FILLER_AGAIN);
    return FOLLOWER_NONE;
}

enum follower_gets follower_take(struct follower *follower, uint64_t number, uint64_t wanted, struct store_object **ret_object)
{
    enum follower_gets gets;
    struct filler *filler;

    pthread_mutex_lock(&follower->shard->lock);
    filler = follower->filler;
    follower->slice = number;
    follower->wanted = wanted;
    gets = take(follower, ret_object);
    if (filler != NULL && (filler->is_paused || list_is_empty(&filler->followers)))
        filler_tell(filler);
    pthread_mutex_unlock(&follower->shard->lock);
    return gets;
}

void follower_leave(struct follower *follower)
{
    if (follower->shard == NULL)
        return;
    pthread_mutex_lock(&follower->shard->lock);
    if (follower->filler != NULL) {
        filler_tell(follower->filler);
        follower_detach(follower, FILLER_AGAIN);
    }
    follower->waits = false;
    pthread_mutex_unlock(&follower->shard->lock);
}

bool follower_is_settled(struct follower *follower)
{
    bool is_mailed = false;

    if (follower->shard != NULL) {
        pthread_mutex_lock(&follower->shard->lock);
        is_mailed = follower->is_mailed;
        pthread_mutex_unlock(&follower->shard->lock);
    }
    return !is_mailed;
}

/* ---- the filler's side ------------------------------------------------------------------------------- */

/* Another one that has still to write what lies behind `first` ends this one's stretch. */
static uint64_t limit_by_others(const struct filler *filler)
{
    uint64_t limit = filler->limit;

    LIST_FOREACH (&filler->shard->fillers, it) {
        const struct filler *other = container_of(it, struct filler, link);
        if (is_same_body(other, &filler->body) && other->ring_to > filler->first && !other->is_done)
            limit = MIN(limit, MAX(other->ring_from, filler->first + 1));
    }
    return limit;
}

bool filler_enter(struct filler *filler, struct follower *follower)
{
    struct filler *other = NULL;

    filler->shard = filler_shard_of(filler->context->table, &filler->body);
    pthread_mutex_lock(&filler->shard->lock);
    if (follower != NULL) {
        follower->shard = filler->shard;
        other = shard_covering(filler->shard, &filler->body, follower->slice);
        follower_attach(follower, other != NULL ? other : filler);
        filler->limit = limit_by_others(filler);
    }
    if (other == NULL) {
        list_push_back(&filler->shard->fillers, &filler->link);
        filler->in_table = true;
        atomic_fetch_add_explicit(&filler->context->table->filler_count, 1, memory_order_release);
    }
    pthread_mutex_unlock(&filler->shard->lock);
    return other == NULL;
}

/* Under the lock: the oldest slice that somebody may still want from here. */
static uint64_t ring_needed(const struct filler *filler)
{
    uint64_t needed = filler->had_followers ? filler->ring_to : filler->ring_from;

    LIST_FOREACH (&filler->followers, it)
        needed = MIN(needed, container_of(it, struct follower, link)->slice);
    if (filler->ring_to > filler->ahead) /* too slow: the store may still have it */
        needed = MAX(needed, filler->ring_to - filler->ahead);
    return needed;
}

void filler_push(struct filler *filler, struct store_object *object)
{
    struct store_object *dropped[FILLER_RING];
    unsigned count = 0;
    uint64_t needed;

    pthread_mutex_lock(&filler->shard->lock);
    needed = ring_needed(filler);
    for (; filler->ring_from < needed && filler->ring_from < filler->ring_to; filler->ring_from++)
        dropped[count++] = filler->ring[filler->ring_from % FILLER_RING];
    filler->ring[filler->ring_to++ % FILLER_RING] = object;
    LIST_FOREACH (&filler->followers, it) {
        struct follower *follower = container_of(it, struct follower, link);
        if (follower->slice < filler->ring_to)
            follower_tell(follower);
    }
    pthread_mutex_unlock(&filler->shard->lock);
    while (count > 0)
        store_object_unref(dropped[--count]);
}

void filler_rewind(struct filler *filler)
{
    pthread_mutex_lock(&filler->shard->lock);
    INVARIANT(filler->ring_from == filler->ring_to);
    filler->first = filler->ring_from = filler->ring_to = 0;
    filler->limit = sliced_count(&filler->body);
    filler->has_no_ranges = true;
    pthread_mutex_unlock(&filler->shard->lock);
}

void filler_complete(struct filler *filler)
{
    pthread_mutex_lock(&filler->shard->lock);
    filler->limit = filler->ring_to;
    filler->is_done = true;
    LIST_FOREACH (&filler->followers, it)
        follower_tell(container_of(it, struct follower, link));
    pthread_mutex_unlock(&filler->shard->lock);
}

bool filler_is_wanted(struct filler *filler)
{
    pthread_mutex_lock(&filler->shard->lock);
    bool is_wanted = !list_is_empty(&filler->followers) || !filler->had_followers;
    pthread_mutex_unlock(&filler->shard->lock);
    return is_wanted;
}

bool filler_give_up(struct filler *filler)
{
    pthread_mutex_lock(&filler->shard->lock);
    bool is_new = !filler->had_followers;
    filler->had_followers = true;
    pthread_mutex_unlock(&filler->shard->lock);
    return is_new;
}

void filler_leave(struct filler *filler, enum filler_end end)
{
    pthread_mutex_lock(&filler->shard->lock);
    if (filler->in_table) {
        list_remove(&filler->link);
        atomic_fetch_sub_explicit(&filler->context->table->filler_count, 1, memory_order_release);
    }
    filler->in_table = false;
    while (!list_is_empty(&filler->followers)) {
        struct follower *follower = container_of(list_first(&filler->followers), struct follower, link);
        follower_detach(follower, end);
        follower_tell(follower);
    }
    pthread_mutex_unlock(&filler->shard->lock);
    for (; filler->ring_from < filler->ring_to; filler->ring_from++)
        store_object_unref(filler->ring[filler->ring_from % FILLER_RING]);
}
