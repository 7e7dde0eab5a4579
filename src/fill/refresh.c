#include "fill/refresh.h"

#include "cache/vary.h"

#include <stdlib.h>

#define STEP_NS          (UINT64_C(1000000000) / REFRESH_PER_S)
#define ARENA_BYTES_MAX  (64u << 10)
#define REQUEST_ID_BYTES 8u

struct waiting {
    struct list link;
    uint16_t tenant;
    bool https;
    slice authority, target; /* behind this */
};

/* What is asked for, made from a URL that waited. */
struct refetch {
    struct refresher *refresher;
    struct arena arena;
    struct request request;
    struct fill_start start;
};

static void refresher_fire(struct timer *timer);

void refresher_init(struct refresher *refresher, struct fill_context *fills, struct tenant_view *const *view)
{
    *refresher = (struct refresher){.fills = fills, .view = view};
    list_init(&refresher->queue);
    timer_init(&refresher->timer, refresher_fire);
}

void refresher_stop(struct refresher *refresher)
{
    struct list *link;

    refresher->is_stopped = true;
    loop_timer_stop(refresher->fills->loop, &refresher->timer);
    while ((link = list_pop_front(&refresher->queue)) != NULL)
        free(container_of(link, struct waiting, link));
    refresher->count = 0;
}

static void counted(struct refresher *refresher, enum refresh_result result)
{
    atomic_fetch_add_explicit(&refresher->results[result], 1, memory_order_relaxed);
}

uint64_t refresher_count(const struct refresher *refresher, enum refresh_result result)
{
    return atomic_load_explicit(&refresher->results[result], memory_order_relaxed);
}

const char *refresh_result_word(enum refresh_result result)
{
    static const char *const words[] = {
#define X(name, word) word,
        REFRESH_RESULTS(X)
#undef X
    };
    return (unsigned)result < REFRESH_RESULT_COUNT ? words[result] : "unknown";
}

/* ---- the queue ------------------------------------------------------------------------------------------------ */

static bool is_waiting(const struct refresher *refresher, const struct key_parts *key)
{
    LIST_FOREACH(&refresher->queue, it)
    {
        const struct waiting *waiting = container_of(it, struct waiting, link);
        if (waiting->tenant == key->tenant && waiting->https == key->https && slice_eq(waiting->target, key->target) &&
            slice_eq(waiting->authority, key->authority))
            return true;
    }
    return false;
}

static struct waiting *waiting_new(const struct key_parts *key)
{
    struct waiting *waiting = malloc(sizeof(*waiting) + key->authority.len + key->target.len);
    char *text = (char *)(waiting + 1);

    if (waiting == NULL)
        return NULL;
    memcpy(text, key->authority.data, key->authority.len);
    memcpy(text + key->authority.len, key->target.data, key->target.len);
    *waiting = (struct waiting){.tenant = (uint16_t)key->tenant,
                                .https = key->https,
                                .authority = slice_of(text, key->authority.len),
                                .target = slice_of(text + key->authority.len, key->target.len)};
    return waiting;
}

void refresher_add(struct refresher *refresher, const struct key_parts *key)
{
    struct loop *loop = refresher->fills->loop;
    struct waiting *waiting = NULL;

    if (refresher->is_stopped || is_waiting(refresher, key))
        return;
    if (refresher->count < REFRESH_QUEUE_MAX && key->authority.len + key->target.len <= REFRESH_URL_BYTES_MAX)
        waiting = waiting_new(key);
    if (waiting == NULL) {
        counted(refresher, REFRESH_DROPPED);
        return;
    }
    list_push_back(&refresher->queue, &waiting->link);
    refresher->count++;
    if (!timer_is_set(&refresher->timer))
        loop_timer_set(loop, &refresher->timer, loop_now_ns(loop) + STEP_NS);
}

/* ---- one fetch ------------------------------------------------------------------------------------------------ */

/* Of RAM alone: what is hot is there. */
static enum store_found look(const struct refetch *refetch, slice key, struct store_object **ret_object)
{
    struct storage *storage = refetch->refresher->fills->storage;
    struct store_lookup lookup = {.key = storage_key(storage, key), .peek = true, .at_hand = true};

    lookup.op.loop = refetch->refresher->fills->loop;
    lookup.op.done = store_op_ignored;
    *ret_object = NULL;
    if (storage_lookup(storage, &lookup) == STORE_PENDING) {
        storage_cancel(&lookup.op);
        return STORE_MISS;
    }
    *ret_object = lookup.object;
    return lookup.found;
}

/* The variant that a request without fields selects under the newest Vary. */
static bool variant_key(struct refetch *refetch, const struct store_object *marker, slice *ret_key)
{
    struct vary_marker seen;
    slice values;

    return err_is_ok(vary_marker_view(marker->meta, &seen)) && seen.spec_count > 0 &&
           err_is_ok(vary_values(&refetch->arena, seen.specs[0], &refetch->request.fields, &values)) &&
           err_is_ok(key_build_variant(&refetch->arena, refetch->start.primary_key, seen.specs[0], values, ret_key));
}

/* False: somebody has it anew already, or it is gone. A variant that is not stored is fetched: others of the URL are hot. */
static bool find_stale(struct refetch *refetch)
{
    struct fill_start *start = &refetch->start;
    enum store_found found = look(refetch, start->primary_key, &start->stale);

    start->slot_key = start->primary_key;
    if (start->stale != NULL && start->stale->kind == STORE_VARY) {
        struct store_object *marker = start->stale;
        bool has_key = variant_key(refetch, marker, &start->slot_key);
        store_object_unref(marker);
        start->stale = NULL;
        return has_key && look(refetch, start->slot_key, &start->stale) != STORE_HIT;
    }
    return found == STORE_HIT_SOFT;
}

static bool refetch_prepare(struct refetch *refetch, const struct waiting *waiting, const struct tenant *tenant)
{
    struct tenant_client nobody = {.is_local = true};
    struct key_parts parts = {.tenant = waiting->tenant, .rules = tenant->generation, .https = waiting->https, .authority = waiting->authority};
    const struct policy *policy;
    char id[2 * REQUEST_ID_BYTES + 1];
    uint64_t random;

    refetch->request = (struct request){.method = METHOD_GET,
                                        .method_name = SLICE("GET"),
                                        .authority = waiting->authority,
                                        .target = waiting->target,
                                        .https = waiting->https,
                                        .minor = 1};
    fields_init(&refetch->request.fields, &refetch->arena);
    policy = tenant_explain(tenant, &refetch->request, &nobody, &refetch->arena);
    if (policy == NULL || policy->verdict != POLICY_GO || !policy->cache)
        return false;
    if (policy->target.data != NULL)
        refetch->request.target = policy->target;
    parts.target = refetch->request.target;
    parts.extra = policy->key_extra;
    os_entropy(&random, sizeof(random));
    hex_write(id, random, 2 * REQUEST_ID_BYTES);
    refetch->start.policy = policy;
    refetch->start.request = &refetch->request;
    refetch->start.request_id = arena_copy(&refetch->arena, slice_of(id, 2 * REQUEST_ID_BYTES));
    return err_is_ok(key_build(&refetch->arena, &parts, &refetch->start.primary_key));
}

static enum refresh_result refetch_begin(struct refetch *refetch, const struct waiting *waiting)
{
    const struct tenant *tenant = tenants_of_id(refetch->start.view->tenants, waiting->tenant);

    if (tenant == NULL || !refetch_prepare(refetch, waiting, tenant) || !find_stale(refetch))
        return REFRESH_NEEDLESS;
    switch (fill_join(&refetch->start, NULL)) {
    case FILL_JOINED_STARTED:
        return REFRESH_FETCHED;
    case FILL_JOINED_RUNNING:
        return REFRESH_RUNNING;
    case FILL_JOINED_FULL:
        break;
    }
    return REFRESH_REFUSED;
}

static void refresher_fire(struct timer *timer)
{
    struct refresher *refresher = container_of(timer, struct refresher, timer);
    struct refetch refetch = {.refresher = refresher,
                              .start = {.context = refresher->fills, .view = *refresher->view}};
    struct list *link = list_pop_front(&refresher->queue);

    if (link == NULL)
        return;
    struct waiting *waiting = container_of(link, struct waiting, link);
    refresher->count--;
    arena_init(&refetch.arena, NULL, 0, ARENA_BYTES_MAX);
    counted(refresher, refetch_begin(&refetch, waiting));
    store_object_unref(refetch.start.stale);
    arena_done(&refetch.arena);
    free(waiting);
    if (refresher->count > 0)
        loop_timer_set(refresher->fills->loop, timer, loop_now_ns(refresher->fills->loop) + STEP_NS);
}
