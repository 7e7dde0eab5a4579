/* Between the files of fill/. */
#ifndef WARP_FILL_INTERNAL_H
#define WARP_FILL_INTERNAL_H

#include "cache/freshness.h"
#include "cache/slices.h"
#include "fill/fill.h"

#include <pthread.h>

#define FILL_BUCKETS 64u /* of each shard */

enum fill_step { FILL_FETCH, FILL_STORE, FILL_ENDED };

struct fill {
    struct fill_context *context;
    struct fill_shard *shard;
    struct list slot;    /* in the shard's bucket; by its lock */
    struct list waiters; /* by the shard's lock */
    struct list link;    /* in context->fills */
    hash128 hash;        /* of slot_key */
    slice slot_key, primary_key;
    struct arena *arena; /* owned; goes with an answer that is handed over */
    struct request request; /* a copy: what storable_check looks at */
    struct fields forward;  /* to the origin, without conditions */
    struct fields conditional; /* the same with conditions */
    struct origin_fetch *fetch;
    struct source *body;
    struct store_object *stale;
    struct miss_handler *miss;
    struct label_set url_labels;
    struct mail abandon;
    struct timer unread; /* a window without a reader is given up */
    struct slice_ask ask; /* what it asks for; has_ask: not the whole */
    uint64_t seq; /* pinned */
    int64_t request_ms;
    uint64_t fetch_ns;
    struct tenant_view *view;
    struct policy policy;
    uint16_t tenant;
    uint8_t step;
    bool is_background, in_table, resolved, abandoning, validating, abandoned, has_ask, may_be_cut;
};

struct fill_shard {
    pthread_mutex_t lock;
    struct list buckets[FILL_BUCKETS];
};

#define FILL_SHARDS   64u
#define FILLER_SHARDS 16u

/* Of fillers (filler.h), by the id of the body. */
struct filler_shard {
    pthread_mutex_t lock;
    struct list fillers;
};

struct fill_table {
    struct fill_shard shards[FILL_SHARDS];
    struct filler_shard filler_shards[FILLER_SHARDS];
    _Atomic uint32_t filler_count; /* without any, nobody need look for one */
};

/* ---- the table -------------------------------------------------------------------------------------------- */

struct fill_result {
    enum fill_outcome outcome;
    enum client_failure failure;
    enum not_stored reason;
    uint16_t status;
    struct store_object *object; /* not taken over: each waiter gets its own reference */
    struct fill_handed *handed;  /* taken over, by the leader */
    bool leader_only;            /* the object is nobody else's: the others are released */
};
/* Out of the table; every waiter is told. Once per fill. Returns false when handed found no taker. */
bool fill_resolve(struct fill *fill, const struct fill_result *result);
void fill_tell_interim(struct fill *fill, struct response *response);

/* ---- steps ------------------------------------------------------------------------------------------------ */

struct fill *fill_new(const struct fill_start *start, hash128 hash);
void fill_begin(struct fill *fill);   /* FETCH, from the loop */
void fill_end(struct fill *fill);     /* frees it */
void fill_unpin(struct fill *fill);   /* its object is published, or never will be */
/* The stored object may take the place of an answer that did not come. */
bool fill_may_serve_stale(const struct fill *fill, int64_t now_ms);
/* ADMIT: what becomes of an answer; resolves the fill. */
void fill_admit(struct fill *fill, struct response *response);
/* After admit chose to store: moves the body. */
void fill_store_body(struct fill *fill);
void fill_refetch_whole(struct fill *fill);

/* ---- what is asked of an origin: also for fillers ---------------------------------------------------------- */

MUST_USE err fill_fields_copy(struct arena *arena, const struct fields *from, struct fields *ret_fields);
/* What a fetch needs of a client's request: a GET without its conditions. */
MUST_USE err fill_request_copy(struct arena *arena, const struct request *request, struct request *ret_request);
/* The fields of a request to the origin, without conditions, as the tenant's rules have them. */
MUST_USE err fill_forward_build(struct arena *arena, const struct fill_start *start, const struct request *request,
                                struct fields *ret_fields);
/* A new arena for a fetch; NULL: no memory. */
struct arena *fill_arena_new(void);
struct arena *fill_arena_free(struct arena *arena);
/* The head in old after that answer (304, 206) with the labels it has now. */
MUST_USE err fill_merge(struct arena *arena, const struct store_object *old, slice primary_key, const struct response *response,
                        int64_t request_ms, int64_t now_ms, const struct policy *policy, slice *ret_meta,
                        struct label_set *ret_labels, enum not_stored *ret_reason);
/* What a fill keeps of the policy of the request that it was started for. */
struct policy fill_policy_of(const struct policy *policy);
/* What the tenant's rules say of the lifetime of an answer of that status. */
struct freshness_rule fill_freshness_rule(const struct policy *policy, unsigned status);

static inline void fill_count_not_stored(const struct fill *fill, enum not_stored reason)
{
    if (fill->context->metrics != NULL)
        metric_not_stored(fill->context->metrics, reason);
}

#endif
