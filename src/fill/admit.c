/* ADMIT: what becomes of an answer: stored, merged into what is stored, or handed on. */
#include "cache/key.h"
#include "cache/stored.h"
#include "cache/validate.h"
#include "cache/vary.h"
#include "fill/filler.h"
#include "tenant/edit.h"

#include <stdlib.h>

/* Everything that admit finds out on its way to storing. */
struct admission {
    struct response *response;
    struct freshness freshness;
    struct label_set labels;
    slice key;  /* of the object: primary or variant */
    slice spec; /* of a variant */
    slice meta;
    int64_t now_ms;
    int64_t length_bytes; /* of the whole */
    struct content_range part; /* of a 206 */
    struct sliced sliced;
    bool is_sliced;
    bool is_private; /* stored for those alone who wait */
};

/* ---- not stored ------------------------------------------------------------------------------------------------ */

/* The next ones for this key do not queue behind an answer that is nobody else's. */
static void remember_unshareable(struct fill *fill)
{
    struct store_fill note = {
        .tenant = fill->tenant,
        .kind = STORE_NOTE,
        .seq = fill->seq,
        .labels = fill->url_labels.labels,
        .label_count = fill->url_labels.count,
        .ttl_ms = fill->context->note_ms,
    };
    bool authorized = fields_has(&fill->request.fields, F_AUTHORIZATION);
    slice key;

    if (!fill->in_table || !err_is_ok(fill_note_key(fill->arena, fill->slot_key, authorized, &key)))
        return;
    note.op.loop = fill->context->loop;
    note.op.done = store_op_ignored;
    note.key = storage_key(fill->context->storage, key);
    if (storage_get_miss_handler(fill->context->storage, &note) == STORE_PENDING)
        storage_cancel(&note.op);
}

static struct fill_handed *handed_new(struct fill *fill, const struct response *response)
{
    struct fill_handed *handed = malloc(sizeof(*handed));

    if (handed == NULL)
        return NULL;
    handed->fetch = fill->fetch;
    handed->response = *response;
    handed->arena = fill->arena; /* the head lies there, and what a chunked body's trailers will need */
    return handed;
}

/* The answer goes as it is to whose request it answers; the others are released all at once. */
static void release(struct fill *fill, struct response *response, enum not_stored reason)
{
    struct fill_result result = {.outcome = FILL_HANDED, .reason = reason, .status = response->status};

    fill_count_not_stored(fill, reason);
    if (!fill->has_ask || response->status != 416) /* which is about the range alone */
        remember_unshareable(fill);
    result.handed = handed_new(fill, response);
    if (result.handed == NULL) {
        result.outcome = FILL_RELEASED;
        fill_resolve(fill, &result);
        fill_end(fill);
        return;
    }
    /* the fetch and the arena are the taker's now, or nobody's */
    origin_fetch_hand_over(fill->fetch, NULL, NULL);
    fill->fetch = NULL;
    fill->arena = NULL;
    if (!fill_resolve(fill, &result))
        fill_handed_free(result.handed);
    fill_end(fill);
}

/* ---- 304, and errors while something stale is at hand --------------------------------------------------------------- */

static bool is_server_failure(uint16_t status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

/* Not once it was purged: some of those who wait may have come after that. */
bool fill_may_serve_stale(const struct fill *fill, int64_t now_ms)
{
    const struct store_object *stale = fill->stale;
    struct reuse_policy reuse = fill_reuse_of(&fill->policy);
    const struct stored *stored;
    struct fields view;

    return stale != NULL && err_is_ok(stored_view(stale->meta, &view, &stored)) &&
           stale_if_error_allowed(stored, now_ms, &reuse) &&
           !storage_is_purged(fill->context->storage, stale->seq, stale->tenant, store_object_labels(stale), stale->label_count);
}

static void serve_stale(struct fill *fill, uint16_t status)
{
    fill_resolve(fill, &(struct fill_result){.outcome = FILL_STALE,
                                             .failure = CLIENT_FAILURE_COUNT,
                                             .status = status,
                                             .object = fill->stale});
    fill_end(fill);
}

err fill_merge(struct arena *arena, const struct store_object *old, slice primary_key, const struct response *response,
               int64_t request_ms, int64_t now_ms, const struct policy *policy, slice *ret_meta, struct label_set *ret_labels,
               enum not_stored *ret_reason)
{
    const struct stored *stored;
    struct freshness_rule rule;
    struct fields view;

    TRY(stored_view(old->meta, &view, &stored));
    rule = fill_freshness_rule(policy, stored->status);
    TRY(stored_merge_304(arena, old->meta, response, request_ms, now_ms, &rule, ret_meta, ret_reason));
    TRY(stored_view(*ret_meta, &view, &stored));
    return label_set_build(arena, old->tenant, primary_key, &view, ret_labels);
}

static void admit_not_modified(struct fill *fill, struct response *response, int64_t now_ms)
{
    struct store_update update = {.object = fill->stale, .seq = fill->seq};
    enum not_stored reason = NOT_STORED_NONE;
    struct label_set labels;
    const struct stored *stored;
    struct fields view;

    if (!err_is_ok(stored_view(fill->stale->meta, &view, &stored)) ||
        validate_match_304(&view, stored, response) == VALIDATE_MISMATCH ||
        !err_is_ok(fill_merge(fill->arena, fill->stale, fill->primary_key, response, fill->request_ms, now_ms, &fill->policy,
                              &update.meta,                              &labels, &reason))) {
        fill_refetch_whole(fill);
        return;
    }
    update.op.loop = fill->context->loop;
    update.op.done = store_op_ignored;
    if (reason != NOT_STORED_NONE) { /* good for whose request it answers, and for nobody else */
        fill_count_not_stored(fill, reason);
        remember_unshareable(fill);
        storage_drop(fill->context->storage, fill->stale);
    }
    update.labels = labels.labels;
    update.label_count = labels.count;
    if (storage_update_meta(fill->context->storage, &update) == STORE_PENDING) {
        storage_cancel(&update.op);
        update.updated = NULL;
    }
    fill_resolve(fill, &(struct fill_result){.outcome = FILL_VALIDATED,
                                             .reason = reason,
                                             .status = response->status,
                                             .leader_only = reason != NOT_STORED_NONE,
                                             .object = update.updated != NULL ? update.updated : fill->stale});
    store_object_unref(update.updated);
    fill_end(fill);
}

/* ---- stored ------------------------------------------------------------------------------------------------------- */

/* The object's key: the primary's, or the variant's that this request and the answer's Vary make. */
static enum not_stored choose_key(struct fill *fill, struct admission *admission)
{
    enum vary_result vary;
    slice values;

    if (!err_is_ok(vary_parse(fill->arena, &admission->response->fields, &vary, &admission->spec)))
        return NOT_STORED_STORE;
    switch (vary) {
    case VARY_STAR:
        return NOT_STORED_VARY_STAR;
    case VARY_TOO_LONG:
        return NOT_STORED_VARY_TOO_LONG;
    case VARY_NONE:
        admission->key = fill->primary_key;
        admission->spec = SLICE_NONE;
        return NOT_STORED_NONE;
    case VARY_SPEC:
        break;
    }
    if (!err_is_ok(vary_values(fill->arena, admission->spec, &fill->request.fields, &values)) ||
        !err_is_ok(key_build_variant(fill->arena, fill->primary_key, admission->spec, values, &admission->key)))
        return NOT_STORED_STORE;
    return NOT_STORED_NONE;
}

/* A large body of a known length goes into slices. */
static err prepare_slices(struct fill *fill, struct admission *admission)
{
    struct storage *storage = fill->context->storage;
    struct stored_slices slices = {.slice_bytes = fill->context->slice_bytes};
    slice etag = strong_etag_of(&admission->response->fields), text;

    TRY(slice_id_text(fill->arena, admission->key, etag, (uint64_t)admission->length_bytes, fill->seq, &text));
    slices.is_strong = etag.data != NULL;
    slices.id = storage_key(storage, text).hash;
    if (!slices.is_strong) /* this fetch's alone */
        os_entropy(&slices.id, sizeof(slices.id));
    admission->sliced = (struct sliced){.key = admission->key,
                                        .etag = etag,
                                        .id = slices.id,
                                        .length_bytes = (uint64_t)admission->length_bytes,
                                        .slice_bytes = slices.slice_bytes};
    return stored_set_slices(fill->arena, admission->meta, &slices, &admission->meta);
}

/* The head's blob, of the whole also where a part has come. */
static err prepare_meta(struct fill *fill, struct admission *admission)
{
    struct response *response = admission->response;
    uint32_t flags = fields_has(&fill->request.fields, F_AUTHORIZATION) ? CONTROL_REQUEST_AUTHORIZED : 0;

    TRY(stored_build(fill->arena, response, &admission->freshness, fill->request_ms, admission->now_ms, admission->length_bytes,
                     flags, &admission->meta));
    if (response->status == 206)
        stored_set_whole((char *)(uintptr_t)admission->meta.data, admission->length_bytes);
    return admission->is_sliced ? prepare_slices(fill, admission) : ERR_OK;
}

static enum not_stored prepare(struct fill *fill, struct admission *admission)
{
    struct response *response = admission->response;
    struct storable_options options = {.asked_range = fill->has_ask,
                                       .static_rule = fill->policy.is_static,
                                       .never_set_cookie = fill->policy.set_cookie == CONF_SET_COOKIE_NEVER};
    enum not_stored reason;

    reason = storable_check(&fill->request, response, &admission->freshness, &options);
    if (reason != NOT_STORED_NONE)
        return reason;
    reason = choose_key(fill, admission);
    if (reason != NOT_STORED_NONE)
        return reason;
    if (!err_is_ok(label_set_build(fill->arena, fill->tenant, fill->primary_key, &response->fields, &admission->labels)))
        return NOT_STORED_STORE;
    if (admission->labels.too_many)
        return NOT_STORED_TOO_MANY_TAGS;
    return err_is_ok(prepare_meta(fill, admission)) ? NOT_STORED_NONE : NOT_STORED_HEAD_TOO_LARGE;
}

/* The marker under the primary key says which request fields choose: written before the variant itself, so
 * that nobody finds a variant's predecessor there. */
static err write_marker(struct fill *fill, const struct admission *admission)
{
    struct storage *storage = fill->context->storage;
    struct store_lookup lookup = {.key = storage_key(storage, fill->primary_key), .peek = true, .at_hand = true};
    struct store_fill put = {
        .key = lookup.key,
        .tenant = fill->tenant,
        .kind = STORE_VARY,
        .seq = fill->seq,
        .labels = fill->url_labels.labels,
        .label_count = fill->url_labels.count,
    };
    hash128 variant = storage_key(storage, admission->key).hash, dropped;
    struct vary_marker marker;
    slice old = SLICE_NONE;
    bool drops = false, is_there = false;
    err result = ERR_OK;

    lookup.op.loop = put.op.loop = fill->context->loop;
    lookup.op.done = put.op.done = store_op_ignored;

    lookup.op.done = store_op_ignored;
    if (storage_lookup(storage, &lookup) == STORE_PENDING)
        storage_cancel(&lookup.op);
    else if (lookup.found != STORE_MISS && lookup.object->kind == STORE_VARY)
        old = lookup.object->meta;
    if (old.data != NULL && err_is_ok(vary_marker_view(old, &marker)))
        is_there = vary_marker_has(&marker, admission->spec, variant);
    else
        old = SLICE_NONE;
    if (!is_there)
        result = vary_marker_add(fill->arena, old, admission->spec, variant, &put.meta, &drops, &dropped);
    store_object_unref(lookup.object);
    if (!is_there && err_is_ok(result)) {
        if (storage_get_miss_handler(storage, &put) == STORE_PENDING)
            storage_cancel(&put.op);
        result = put.result;
        if (drops)
            storage_drop_hash(storage, dropped);
    }
    return result;
}

/* Gets a writer for the body, published unless a purge came first or the tenant has its share. False: the store has no room. */
static bool open_miss_handler(struct fill *fill, struct admission *admission)
{
    struct store_fill put = {
        .key = storage_key(fill->context->storage, admission->key),
        .tenant = fill->tenant,
        .kind = STORE_ANSWER,
        .seq = fill->seq,
        .meta = admission->meta,
        .labels = admission->labels.labels,
        .label_count = admission->labels.count,
        .length_bytes = admission->is_sliced ? 0 : admission->length_bytes, /* of slices: the head alone */
        .on_room = (void (*)(void *))fill_store_body,
        .writer = fill,
    };

    put.op.loop = fill->context->loop;

    put.op.done = store_op_ignored;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (storage_get_miss_handler(fill->context->storage, &put) == STORE_PENDING) {
            storage_cancel(&put.op);
            return false;
        }
        if (err_is_ok(put.result)) {
            fill->miss = put.miss_handler;
            return true;
        }
        if (put.result.code != ERR_REFUSED)
            return false;
        /* purged since the fill began: only those who waited before may have it */
        fill_count_not_stored(fill, put.over_quota ? NOT_STORED_QUOTA : NOT_STORED_PURGED);
        put.private_copy = admission->is_private = true;
    }
    return false;
}

static void body_ready(void *reader)
{
    fill_store_body(reader);
}

/* ---- a part ------------------------------------------------------------------------------------------- */

/* Is a 206 what was asked for, and good for slices (RFC 9111 3.3)? All of it at once is as good as a 200; else it must
 * have a strong validator, because the rest comes in other answers (RFC 9111 3.4). */
static bool part_is_usable(const struct fill *fill, struct admission *admission)
{
    const struct response *response = admission->response;
    struct content_range *part = &admission->part;

    if (!part_read(response, part) || !slice_ask_fits(&fill->ask, part))
        return false;
    admission->length_bytes = (int64_t)part->length_bytes;
    if (part->first == 0 && part->last == part->length_bytes - 1)
        return true;
    return part->length_bytes > fill->context->slice_bytes && strong_etag_of(&response->fields).data != NULL &&
           part->last - part->first + 1 >= MIN(fill->context->slice_bytes, part->length_bytes - part->first);
}

/* Nobody has asked for these very bytes: each asks for its own. */
static void release_part(struct fill *fill, enum not_stored reason)
{
    fill_count_not_stored(fill, reason);
    remember_unshareable(fill);
    fill_resolve(fill, &(struct fill_result){.outcome = FILL_RELEASED, .reason = reason, .status = 206});
    fill_end(fill);
}

static void release_any(struct fill *fill, struct response *response, enum not_stored reason)
{
    if (fill->has_ask && response->status == 206)
        release_part(fill, reason);
    else
        release(fill, response, reason);
}

/* ---- slices ------------------------------------------------------------------------------------------- */

/* Which slices the answer brings: [*ret_first, *ret_limit), behind *ret_skip bytes. */
static void slices_of_answer(const struct admission *admission, uint64_t *ret_first, uint64_t *ret_limit, uint64_t *ret_skip)
{
    const struct sliced *sliced = &admission->sliced;
    uint64_t bytes = sliced->slice_bytes, end;

    *ret_first = *ret_skip = 0;
    *ret_limit = sliced_count(sliced);
    if (admission->response->status != 206)
        return;
    end = admission->part.last + 1;
    *ret_first = (admission->part.first + bytes - 1) / bytes;
    *ret_limit = end == sliced->length_bytes ? *ret_limit : end / bytes;
    *ret_skip = *ret_first * bytes - admission->part.first;
}

static void admit_slices(struct fill *fill, struct admission *admission)
{
    struct response *response = admission->response;
    uint64_t first, limit, skip;
    struct store_object *head;
    struct filler *filler;

    slices_of_answer(admission, &first, &limit, &skip);
    if (!filler_of_fill(fill, &admission->sliced, &admission->labels, first, limit, skip, response->body == BODY_LENGTH,
                        &filler)) {
        release_any(fill, response, NOT_STORED_STORE);
        return;
    }
    if (!open_miss_handler(fill, admission)) {
        fill->arena = NULL; /* the filler's */
        fill_resolve(fill, &(struct fill_result){.outcome = FILL_RELEASED, .reason = NOT_STORED_STORE});
        filler_end(filler, FILLER_BROKEN);
        fill_end(fill);
        return;
    }
    if (admission->is_private) /* nobody would find its slices */
        filler->is_private = true;
    head = miss_handler_object(fill->miss);
    miss_handler_finish(fill->miss);
    fill->miss = NULL;
    fill_resolve(fill, &(struct fill_result){.outcome = FILL_OBJECT, .status = response->status, .object = head});
    fill->arena = NULL;
    fill_end(fill);
    filler_begin(filler, head);
    store_object_unref(head);
}

/* ---- new ------------------------------------------------------------------------------------------------ */

static void store_whole(struct fill *fill, const struct admission *admission)
{
    struct store_object *object = miss_handler_object(fill->miss);

    fill->step = FILL_STORE;
    fill->may_be_cut = admission->response->status == 200 && admission->length_bytes < 0 && !admission->is_private;
    fill_resolve(fill, &(struct fill_result){.outcome = FILL_OBJECT, .status = admission->response->status, .object = object});
    store_object_unref(object);
    fill_unpin(fill); /* purges need not wait for a body that its readers may hold up for long */
    if (fill->body != NULL)
        source_set_reader(fill->body, body_ready, fill);
    fill_store_body(fill);
}

/* Only the whole of a 200, or parts of it, can be asked for piece by piece. */
static bool goes_into_slices(const struct fill *fill, const struct admission *admission)
{
    uint16_t status = admission->response->status;

    return fill->context->slice_bytes > 0 && (status == 200 || status == 206) && fill->body != NULL &&
           admission->length_bytes > (int64_t)fill->context->slice_bytes;
}

static void admit_new(struct fill *fill, struct response *response, int64_t now_ms)
{
    struct freshness_rule rule = fill_freshness_rule(&fill->policy, response->status);
    struct admission admission = {.response = response, .now_ms = now_ms};
    enum not_stored reason;

    admission.length_bytes = response->body == BODY_LENGTH ? (int64_t)response->length_bytes
                             : fill->body == NULL          ? 0
                                                           : -1;
    if (fill->has_ask && response->status == 206 && !part_is_usable(fill, &admission)) {
        fill_refetch_whole(fill);
        return;
    }
    admission.is_sliced = goes_into_slices(fill, &admission);
    freshness_of(response, fill->request_ms, now_ms, &rule, &admission.freshness);
    reason = prepare(fill, &admission);
    if (reason == NOT_STORED_NONE && admission.length_bytes > 0 && (uint64_t)admission.length_bytes > fill->policy.max_object_bytes)
        reason = NOT_STORED_TOO_LARGE;
    if (reason == NOT_STORED_NONE && admission.spec.len > 0 && !err_is_ok(write_marker(fill, &admission)))
        reason = NOT_STORED_STORE;
    if (reason == NOT_STORED_NONE && admission.is_sliced) {
        admit_slices(fill, &admission);
        return;
    }
    if (reason == NOT_STORED_NONE && !open_miss_handler(fill, &admission))
        reason = NOT_STORED_STORE;
    if (reason == NOT_STORED_NONE)
        store_whole(fill, &admission);
    else
        release_any(fill, response, reason);
}

void fill_admit(struct fill *fill, struct response *response)
{
    int64_t now_ms = loop_wall_ms(fill->context->loop);

    if (fill->policy.set_cookie == CONF_SET_COOKIE_DROP && !err_is_ok(edit_drop(fill->arena, F_SET_COOKIE, &response->fields))) {
        release_any(fill, response, NOT_STORED_STORE);
        return;
    }
    if (fill->validating && response->status == 304)
        admit_not_modified(fill, response, now_ms);
    else if (is_server_failure(response->status) && fill_may_serve_stale(fill, now_ms))
        serve_stale(fill, response->status);
    else
        admit_new(fill, response, now_ms);
}
