/* lookup: is there a stored answer for this request, and may it be used? fetch: wait for a fill. */
#include "cache/key.h"
#include "cache/vary.h"
#include "txn/txn_internal.h"

#define LOOK_AGAIN_MAX 4u

/* ---- lookup ----------------------------------------------------------------------------------------------------- */

static void lookup_done(struct store_op *op)
{
    txn_resume(container_of(op, struct txn, lookup.op), WAIT_STORE);
}

/* The result is in txn->lookup; false: wait for it. */
static bool lookup_key(struct txn *txn, slice key)
{
    struct store_lookup *lookup = &txn->lookup;

    memset(lookup, 0, sizeof(*lookup));
    lookup->op.loop = txn->context->loop;
    lookup->op.done = lookup_done;
    lookup->op.deadline_ns = loop_now_ns(txn->context->loop) + UINT64_C(1000000000);
    lookup->key = storage_key(txn->context->storage, key);
    return storage_lookup(txn->context->storage, lookup) == STORE_DONE;
}

/* The key of the variant that this request selects under the marker's spec number txn->specs_tried. */
static bool variant_key(struct txn *txn, const struct vary_marker *marker, slice *ret_key)
{
    slice values;

    return txn->specs_tried < marker->spec_count &&
           err_is_ok(vary_values(&txn->arena, marker->specs[txn->specs_tried], &txn->request.fields, &values)) &&
           err_is_ok(key_build_variant(&txn->arena, txn->key, marker->specs[txn->specs_tried], values, ret_key));
}

/* A marker was found: on to the variant under its next spec. False: no spec is left. */
static bool lookup_next_variant(struct txn *txn, slice *ret_key)
{
    struct vary_marker marker;

    if (!err_is_ok(vary_marker_view(txn->object->meta, &marker)) || !variant_key(txn, &marker, ret_key))
        return false;
    if (txn->specs_tried++ == 0)
        txn->slot_key = *ret_key; /* the most recent Vary is what the origin will most likely say again */
    return true;
}

static enum step_result found_nothing(struct txn *txn)
{
    txn->object = store_object_unref(txn->object);
    if (txn->facts.fwd == CACHE_STATUS_NONE)
        txn->facts.fwd = txn->has_marker ? CACHE_STATUS_VARY_MISS : CACHE_STATUS_URI_MISS;
    if (txn->control.only_if_cached)
        return txn_synth(txn, 504, "only-if-cached", "The answer is not stored, and the request asked for nothing else.");
    if (txn->is_head || txn->control.no_store) {
        txn->facts.reason = txn->is_head ? "method" : "request-no-store";
        txn->facts.outcome = txn->is_head ? OUTCOME_miss : OUTCOME_bypass;
        return txn_goto(txn, STEP_PASS);
    }
    return txn_goto(txn, STEP_FETCH);
}

static void revalidate_in_background(struct txn *txn);

/* A stored answer lies in txn->object. */
static enum step_result found_answer(struct txn *txn)
{
    struct reuse_policy policy = fill_reuse_of(txn->policy);
    const struct stored *stored;
    struct fields view;
    struct reuse reuse;

    if (!err_is_ok(stored_view(txn->object->meta, &view, &stored))) {
        storage_drop(txn->context->storage, txn->object);
        return found_nothing(txn);
    }
    policy.soft_purged = txn->soft_purged;
    reuse = reuse_decide(&txn->control, stored, loop_wall_ms(txn->context->loop), &policy);
    txn->facts.age_s = reuse.age_s;
    txn->facts.ttl_s = reuse.ttl_s;
    txn->facts.has_ttl = true;
    switch (reuse.verdict) {
    case REUSE_FRESH:
        txn->facts.hit = true;
        txn->facts.outcome = OUTCOME_hit;
        return txn_goto(txn, STEP_SERVE);
    case REUSE_STALE_WHILE_REVALIDATE:
        revalidate_in_background(txn);
        /* fall through */
    case REUSE_STALE_ALLOWED:
        txn->facts.hit = true;
        txn->facts.outcome = OUTCOME_stale;
        txn->facts.reason = reuse_verdict_word(reuse.verdict);
        return txn_goto(txn, STEP_SERVE);
    case REUSE_GATEWAY_TIMEOUT:
        return txn_synth(txn, 504, "only-if-cached", "The stored answer must be validated first.");
    case REUSE_VALIDATE:
    case REUSE_FETCH:
    case REUSE_VERDICT_COUNT:
        break;
    }
    txn->facts.fwd = slice_eq(slice_str(reuse_reason_fwd(reuse.reason)), SLICE("request")) ? CACHE_STATUS_REQUEST
                                                                                          : CACHE_STATUS_STALE;
    txn->facts.reason = reuse_reason_word(reuse.reason);
    txn->facts.has_ttl = false;
    txn->facts.age_s = -1;
    if (txn->is_head || txn->control.no_store) {
        txn->object = store_object_unref(txn->object);
        txn->facts.outcome = OUTCOME_bypass;
        return txn_goto(txn, STEP_PASS);
    }
    return txn_goto(txn, STEP_FETCH);
}

/* First the primary key, then, where that is a marker, variants. Entered again after each WAIT. */
enum step_result txn_step_lookup(struct txn *txn)
{
    slice key = txn->key;

    if (txn->slot_key.data == NULL)
        txn->slot_key = txn->key;
    for (;;) {
        if (!txn->is_looking && !lookup_key(txn, key)) {
            txn->is_looking = true;
            return txn_wait(txn, WAIT_STORE);
        }
        txn->is_looking = false;
        if (txn->lookup.found == STORE_HIT || txn->lookup.found == STORE_HIT_SOFT) {
            if (txn->lookup.object->kind == STORE_ANSWER) {
                store_object_unref(txn->object); /* the marker */
                txn->tier = txn->lookup.is_below ? TIER_disk : TIER_ram;
                txn->object = txn->lookup.object;
                txn->soft_purged = txn->lookup.found == STORE_HIT_SOFT;
                return found_answer(txn);
            }
            if (txn->object == NULL && txn->lookup.object->kind == STORE_VARY) {
                txn->object = txn->lookup.object;
                txn->has_marker = true;
            } else {
                store_object_unref(txn->lookup.object);
            }
        }
        if (!txn->has_marker || txn->object == NULL || !lookup_next_variant(txn, &key))
            return found_nothing(txn);
    }
}

/* ---- fetch: start or join a fill, and wait for it ------------------------------------------------------------------ */

struct fill_start txn_fill_start(struct txn *txn, char *ip, size_t ip_size)
{
    return (struct fill_start){
        .context = txn->context->fills,
        .request = &txn->request,
        .primary_key = txn->key,
        .slot_key = txn->slot_key,
        .view = txn->view,
        .policy = txn->policy,
        .client_ip = txn_client_ip(txn, ip, ip_size),
        .trusted_for = txn_trusted_for(txn),
        .request_id = txn_request_id(txn),
        .stale = txn->object,
        .alone = txn->alone,
    };
}

static void revalidate_in_background(struct txn *txn)
{
    char ip[64];
    struct fill_start start = txn_fill_start(txn, ip, sizeof(ip));

    enum fill_joined joined = fill_join(&start, NULL);

    (void)joined; /* too many fills: the next request tries again */
}

static void fill_done(struct fill_waiter *waiter)
{
    txn_resume(container_of(waiter, struct txn, waiter), WAIT_FILL);
}

static void fill_interim(struct fill_waiter *waiter, struct response *response)
{
    txn_interim(container_of(waiter, struct txn, waiter), response);
}

/* Answers for this key were not shareable a moment ago: do not queue behind one more. */
static bool is_known_unshareable(struct txn *txn)
{
    struct store_lookup lookup = {.peek = true, .at_hand = true};
    bool found;
    slice key;

    if (!err_is_ok(fill_note_key(&txn->arena, txn->slot_key, txn->control.has_authorization, &key)))
        return true;
    lookup.op.loop = txn->context->loop;
    lookup.op.done = store_op_ignored;
    lookup.key = storage_key(txn->context->storage, key);
    if (storage_lookup(txn->context->storage, &lookup) == STORE_PENDING) {
        storage_cancel(&lookup.op); /* a slow tier: collapsing is safe, only slower */
        return false;
    }
    found = lookup.found == STORE_HIT || lookup.found == STORE_HIT_SOFT;
    store_object_unref(lookup.object);
    return found;
}

/* A range of something that is not known yet, where it begins far in: the slices round it (cache/slices.h). */
static bool ask_of_range(struct txn *txn, struct slice_ask *ret_ask)
{
    const struct fill_context *fills = txn->context->fills;
    struct range_request asked;

    return fills->slice_bytes > 0 && txn->object == NULL && range_parse(&txn->request.fields, &asked) &&
           slice_ask_cold(&asked, fills->slice_bytes, (unsigned)(MAX(fills->ahead_bytes / fills->slice_bytes, 1u)), ret_ask);
}

static enum step_result join_fill(struct txn *txn)
{
    char ip[64];
    struct fill_start start;
    struct slice_ask ask;

    txn->alone = txn->alone || is_known_unshareable(txn);
    start = txn_fill_start(txn, ip, sizeof(ip));
    if (ask_of_range(txn, &ask))
        start.ask = &ask;
    memset(&txn->waiter, 0, sizeof(txn->waiter));
    txn->waiter.loop = txn->context->loop;
    txn->waiter.done = fill_done;
    txn->waiter.interim = fill_interim;
    switch (fill_join(&start, &txn->waiter)) {
    case FILL_JOINED_RUNNING:
        txn->facts.collapsed = true;
        metric_collapsed(txn->context->metrics);
        break;
    case FILL_JOINED_STARTED:
        break;
    case FILL_JOINED_FULL:
        txn->facts.reason = "too-many-fills";
        txn->facts.outcome = OUTCOME_bypass;
        txn->object = store_object_unref(txn->object);
        return txn_goto(txn, STEP_PASS);
    }
    txn->is_waiting_for_fill = true;
    return txn_wait(txn, WAIT_FILL);
}

/* Does the object's key fit this request? A fill is joined before its answer's Vary is known. */
static bool is_own_variant(struct txn *txn, const struct store_object *object)
{
    struct key_parts parts;
    slice values;

    if (!key_read(store_object_key(object), &parts))
        return false;
    if (!parts.is_variant)
        return true;
    return err_is_ok(vary_values(&txn->arena, parts.spec, &txn->request.fields, &values)) && slice_eq(values, parts.values);
}

enum step_result txn_look_again(struct txn *txn)
{
    txn->object = store_object_unref(txn->object);
    if (++txn->look_again > LOOK_AGAIN_MAX) {
        txn->facts.reason = "look-again";
        txn->facts.outcome = OUTCOME_bypass;
        return txn_goto(txn, STEP_PASS);
    }
    memset(&txn->lookup, 0, sizeof(txn->lookup));
    txn->facts.collapsed = false;
    txn->slot_key = SLICE_NONE;
    txn->specs_tried = 0;
    txn->has_marker = false;
    return txn_goto(txn, STEP_LOOKUP);
}

/* Whoever only followed may use what the store may reuse, nothing else: an answer that must be validated each
 * time was validated for its leader alone (security.md rule 6). */
static bool may_follow(struct txn *txn, const struct store_object *object)
{
    const struct stored *stored;
    struct fields view;

    struct reuse_policy policy = fill_reuse_of(txn->policy);

    return err_is_ok(stored_view(object->meta, &view, &stored)) &&
           reuse_decide(&txn->control, stored, loop_wall_ms(txn->context->loop), &policy).verdict == REUSE_FRESH;
}

/* A guess at freshness is nobody's word: who sends credentials gets such an answer only validated, and an origin
 * that fails has not validated it. */
static bool may_have_stale(struct txn *txn, const struct store_object *object)
{
    const struct stored *stored;
    struct fields view;

    return err_is_ok(stored_view(object->meta, &view, &stored)) &&
           !((stored->flags & CONTROL_HEURISTIC) && txn->control.has_credentials);
}

static enum step_result fill_gave_object(struct txn *txn, enum fill_outcome outcome, uint16_t status, bool is_leader,
                                         struct store_object *object)
{
    store_object_unref(txn->object);
    txn->object = object;
    if (!is_own_variant(txn, object))
        return txn_look_again(txn);
    if (outcome != FILL_STALE && !is_leader && !may_follow(txn, object)) {
        /* alone from here: it is validated or fetched for this request, in parallel with the others */
        txn->alone = true;
        txn->facts.collapsed = false;
        return txn_goto(txn, STEP_FETCH);
    }
    if (outcome == FILL_STALE && !may_have_stale(txn, object)) {
        txn->object = store_object_unref(txn->object);
        txn->facts.reason = "heuristic-credentials";
        txn->facts.outcome = OUTCOME_bypass;
        return txn_goto(txn, STEP_PASS); /* the origin's own error, or ours about it */
    }
    txn->facts.fwd_status = status;
    txn->facts.outcome = outcome == FILL_VALIDATED ? OUTCOME_revalidated
                         : outcome == FILL_STALE   ? OUTCOME_stale
                                                   : OUTCOME_miss;
    if (outcome == FILL_STALE) {
        txn->facts.hit = true;
        txn->facts.reason = "origin-failed";
    } else {
        txn->facts.stored = true;
    }
    return txn_goto(txn, STEP_SERVE);
}

enum step_result txn_step_fetch(struct txn *txn)
{
    struct fill_waiter waiter;

    if (!txn->is_waiting_for_fill)
        return join_fill(txn);
    txn->is_waiting_for_fill = false;
    waiter = txn->waiter; /* the union is used for what comes next */
    txn->origin_ns = waiter.fetch_ns;
    switch ((enum fill_outcome)waiter.outcome) {
    case FILL_OBJECT:
    case FILL_VALIDATED:
    case FILL_STALE:
        return fill_gave_object(txn, (enum fill_outcome)waiter.outcome, waiter.status, waiter.is_leader, waiter.object);
    case FILL_LOOK_AGAIN:
        return txn_look_again(txn);
    case FILL_RELEASED:
        txn->object = store_object_unref(txn->object);
        txn->facts.reason = not_stored_word((enum not_stored)waiter.reason);
        txn->facts.collapsed = false;
        txn->facts.outcome = OUTCOME_bypass;
        return txn_goto(txn, STEP_PASS);
    case FILL_HANDED:
        txn->object = store_object_unref(txn->object);
        txn->facts.reason = not_stored_word((enum not_stored)waiter.reason);
        txn->facts.outcome = OUTCOME_miss;
        return txn_pass_handed(txn, waiter.handed);
    case FILL_FAILED:
    case FILL_OUTCOME_COUNT:
        break;
    }
    txn->object = store_object_unref(txn->object);
    return txn_synth_failure(txn, (enum client_failure)waiter.failure);
}
