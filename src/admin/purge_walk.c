/* Walks over what is stored, for a purge that is only thought of (a dry run), and for what was purged softly and is to be
 * fetched again (refresh). RAM is looked at object by object; what a walk says of the disk is a guess by proportion. */
#include "admin/purge_internal.h"
#include "cache/key.h"
#include "fill/refresh.h"

#include <stdlib.h>

#define STEP_OBJECTS 1024u /* looked at in one turn of the loop: some 0.2 ms */

struct purge_walk {
    struct list link; /* in the context */
    struct admin_context *context;
    struct admin_request *request; /* of a dry run; NULL: a refresh */
    json_t *sample;                /* of a dry run */
    struct timer timer;
    uint64_t cursor;
    uint64_t looked, matched;
    uint64_t below; /* keys that the disk has */
    uint16_t tenant;
    bool is_tenant; /* everything of the tenant, or of everybody */
    bool has_keys;  /* of URLs: the disk was asked for them */
    unsigned count;
    uint32_t hashes[]; /* of labels, ascending */
};

/* ---- what matches --------------------------------------------------------------------------------------------------- */

static int hash_order(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static bool is_meant(const struct purge_walk *walk, const struct store_object *object)
{
    if (object->kind != STORE_ANSWER || (walk->tenant != STORE_TENANT_ALL && object->tenant != walk->tenant))
        return false;
    if (walk->is_tenant)
        return true;
    for (unsigned i = 0; i < object->label_count; i++)
        if (bsearch(&store_object_labels(object)[i].hash, walk->hashes, walk->count, sizeof(walk->hashes[0]), hash_order) != NULL)
            return true;
    return false;
}

/* Variants of one URL are one line. */
static void sample_add(json_t *sample, slice url)
{
    size_t index;
    json_t *item;

    json_array_foreach(sample, index, item)
    {
        if (slice_eq(slice_of(json_string_value(item), json_string_length(item)), url))
            return;
    }
    json_array_append_new(sample, json_stringn(url.data, url.len)); /* what is no UTF-8 is left out */
}

static void visit(void *arg, const struct store_object *object, uint64_t hits)
{
    struct purge_walk *walk = arg;
    struct key_parts parts;
    struct arena arena;
    slice url;

    walk->looked += object->kind == STORE_ANSWER;
    if (!is_meant(walk, object))
        return;
    walk->matched++;
    if (!key_read(store_object_key(object), &parts))
        return;
    if (walk->request == NULL && hits > 0)
        refresher_add(walk->context->refresher, &parts);
    if (walk->request == NULL || json_array_size(walk->sample) >= SAMPLE_MAX)
        return;
    arena_init(&arena, NULL, 0, 0);
    if (err_is_ok(key_url(&arena, &parts, &url)))
        sample_add(walk->sample, url);
    arena_done(&arena);
}

/* ---- what it comes to ------------------------------------------------------------------------------------------------ */

struct guess {
    uint64_t matched;
    bool is_exact, is_least; /* least: there may be any number more */
};

/* The disk's index knows tenants and keys, but no labels: what is there of a label is taken for as much as in RAM. */
static struct guess guess_of(const struct purge_walk *walk)
{
    const struct storage *disk = storage_tier(walk->context->storage, 1);
    struct store_stats stats = {0};
    double share = walk->looked > 0 ? (double)walk->matched / (double)walk->looked : 0;

    if (disk != NULL)
        storage_stats(disk, &stats);
    if (stats.objects == 0)
        return (struct guess){.matched = walk->matched, .is_exact = true};
    if (walk->has_keys)
        return (struct guess){.matched = MAX(walk->matched, walk->below)};
    if (walk->is_tenant)
        share = walk->tenant == STORE_TENANT_ALL ? 1
                : stats.size_bytes > 0           ? (double)storage_tenant_bytes(disk, walk->tenant) / (double)stats.size_bytes
                                                 : 0;
    return (struct guess){.matched = MAX(walk->matched, (uint64_t)(share * (double)stats.objects)), .is_least = !walk->is_tenant};
}

static void walk_end(struct purge_walk *walk)
{
    struct admin_request *request = walk->request;
    struct guess guess = guess_of(walk);
    json_t *sample = walk->sample;

    walk->sample = NULL;
    purge_walk_abandon(walk);
    if (request == NULL)
        return;
    free(request->purge);
    request->purge = NULL;
    admin_answer_json(request, 200,
                      json_pack("{s:I, s:b, s:b, s:o}", "matched", (json_int_t)guess.matched, "matched_is_exact", (int)guess.is_exact,
                                "matched_is_least", (int)guess.is_least, "sample", sample));
}

static void walk_step(struct timer *timer)
{
    struct purge_walk *walk = container_of(timer, struct purge_walk, timer);
    struct loop *loop = walk->context->loop;

    walk->cursor = storage_browse(walk->context->storage, walk->cursor, STEP_OBJECTS, visit, walk);
    if (walk->cursor == 0)
        walk_end(walk);
    else
        loop_timer_set(loop, timer, loop_now_ns(loop) + 1);
}

/* ---- life -------------------------------------------------------------------------------------------------------------- */

static struct purge_walk *walk_new(const struct purge_wish *wish, struct admin_request *request)
{
    struct admin_context *context = wish->request->context;
    struct purge_walk *walk = calloc(1, sizeof(*walk) + wish->count * sizeof(walk->hashes[0]));

    if (walk == NULL)
        return NULL;
    list_push_back(&context->walks, &walk->link);
    context->walk_count++;
    walk->context = context;
    walk->request = request;
    walk->tenant = purge_wish_tenant(wish);
    walk->is_tenant = wish->parts[0].kind == STORE_LABEL_TENANT;
    walk->count = wish->count;
    for (unsigned i = 0; i < wish->count; i++)
        walk->hashes[i] = store_label_of(walk->tenant, wish->parts[i].kind, wish->parts[i].text).hash;
    qsort(walk->hashes, walk->count, sizeof(walk->hashes[0]), hash_order);
    timer_init(&walk->timer, walk_step);
    loop_timer_set(context->loop, &walk->timer, loop_now_ns(context->loop) + 1);
    return walk;
}

void purge_walk_abandon(struct purge_walk *walk)
{
    if (walk == NULL)
        return;
    loop_timer_stop(walk->context->loop, &walk->timer);
    list_remove(&walk->link);
    walk->context->walk_count--;
    json_decref(walk->sample);
    free(walk);
}

static uint64_t keys_below(const struct purge_wish *wish)
{
    const struct storage *storage = wish->request->context->storage;
    uint64_t count = 0;

    for (unsigned i = 0; i < wish->forms.count; i++)
        count += storage_has((struct storage *)(uintptr_t)storage, &wish->forms.form[i].key);
    return count;
}

struct purge_walk *purge_walk_dry(const struct purge_wish *wish)
{
    struct admin_request *request = wish->request;
    struct purge_walk *walk = NULL;

    if (request->context->walk_count >= WALKS_MAX) {
        atomic_fetch_add_explicit(&request->context->walks_refused, 1, memory_order_relaxed);
        admin_problem(request, 503, "16 dry runs and refreshes are under way: try again");
        return NULL;
    }
    walk = walk_new(wish, request);
    if (walk == NULL) {
        admin_problem(request, 503, "no memory");
        return NULL;
    }
    walk->sample = json_array();
    walk->has_keys = wish->forms.count > 0;
    walk->below = keys_below(wish);
    return walk;
}

/* Where there are too many walks the purge acts all the same, and clients fetch. */
void purge_walk_refresh(const struct purge_wish *wish)
{
    struct admin_context *context = wish->request->context;

    if (context->refresher == NULL || context->walk_count >= WALKS_MAX || walk_new(wish, NULL) == NULL)
        atomic_fetch_add_explicit(&context->walks_refused, 1, memory_order_relaxed);
}

void admin_purge_open(struct admin_context *context)
{
    list_init(&context->walks);
}

/* Only refreshes are left: whoever waited for a dry run has gone. */
void admin_purge_close(struct admin_context *context)
{
    while (!list_is_empty(&context->walks))
        purge_walk_abandon(container_of(list_first(&context->walks), struct purge_walk, link));
}
