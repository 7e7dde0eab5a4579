/* finish: one access record, the counters, everything given back. The only end of a transaction. */
#include "txn/txn_internal.h"

#include <stdio.h>

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
    return then_ns != 0 && now_ns > then_ns ? now_ns - then_ns : 0;
}

/* Whom a trusted proxy names, else the peer. */
static void client_text(const struct txn *txn, char *text, size_t size)
{
    struct os_peer peer = txn->stream->net->peer;
    struct tenant_client client;

    if (txn->request.fields.list != NULL && fields_has(&txn->request.fields, F_X_FORWARDED_FOR) && txn_trusts(txn->context, &peer)) {
        client = txn_client(txn);
        if (client.is_unknown) {
            snprintf(text, size, "unknown");
            return;
        }
        memcpy(peer.ip, client.address, sizeof(peer.ip));
        peer.family = os_peer_is_ipv4(&peer) ? AF_INET : AF_INET6;
    }
    os_peer_text(&peer, text, size);
}

static void finish_record(struct txn *txn, uint64_t now_ns)
{
    struct access_record *record;
    slice id;

    if (txn->context->access == NULL)
        return;
    record = access_log_begin(txn->context->access, txn->context->thread);
    if (record == NULL)
        return; /* full: counted there */
    record->wall_ms = loop_wall_ms(txn->context->loop);
    if (txn->key.data != NULL)
        record->key = storage_key(txn->context->storage, txn->key).hash;
    record->body_bytes = txn->stream->sent_bytes;
    record->total_ns = since(txn->stream->begun_ns, now_ns);
    record->first_byte_ns = since(txn->stream->begun_ns, txn->first_byte_ns);
    record->origin_ns = txn->origin_ns;
    record->reason = txn->end != STREAM_END_COMPLETE ? stream_end_word((enum stream_end)txn->end) : txn->facts.reason;
    record->tenant = txn->tenant;
    record->status = txn->status;
    record->outcome = txn->facts.outcome;
    record->tier = txn->facts.hit ? txn->tier : TIER_COUNT;
    record->version = txn->stream->is_h2 ? 20 : txn->request.minor == 0 ? 10 : 11;
    record->is_tls = txn->request.https;
    client_text(txn, record->client, sizeof(record->client));
    access_record_method(record, txn->request.method_name);
    access_record_url(record, txn->request.authority, txn->request.target);
    id = txn->request.fields.list != NULL ? fields_get(&txn->request.fields, F_X_REQUEST_ID) : SLICE_NONE;
    if (id.data != NULL)
        access_record_request_id(record, id);
    access_log_commit(txn->context->access, txn->context->thread);
}

static void finish_count(struct txn *txn, uint64_t now_ns)
{
    metric_request(txn->context->metrics, txn->tenant, (enum outcome)txn->facts.outcome, txn->stream->sent_bytes,
                   since(txn->stream->begun_ns, txn->first_byte_ns), since(txn->stream->begun_ns, now_ns));
}

static void txn_free(struct txn *txn)
{
    tenant_view_leave(txn->view);
    arena_done(&txn->arena);
    pool_put(&txn->context->pool, txn);
}

static void fill_gone(struct fill_waiter *waiter)
{
    txn_free(container_of(waiter, struct txn, waiter));
}

static void hit_gone(struct hit_handler *hit)
{
    txn_free(container_of(hit, struct txn, serve.hit));
}

enum step_result txn_step_finish(struct txn *txn)
{
    uint64_t now_ns = loop_now_ns(txn->context->loop);

    INVARIANT(txn->ended);
    if (txn->is_sliced)
        serve_slices_done(txn);
    if (txn->is_entered)
        tenant_leave(txn->policy->tenant);
    finish_count(txn, now_ns);
    finish_record(txn, now_ns);
    txn->stream = NULL;
    txn->object = store_object_unref(txn->object);
    if (txn->is_passing) {
        if (txn->pass.handed != NULL)
            fill_handed_free(txn->pass.handed); /* its fetch with it */
        else
            origin_fetch_finish(txn->pass.fetch);
    }
    if (txn->waiting_on == WAIT_STORE)
        storage_cancel(&txn->lookup.op);
    if (txn->waiting_on == WAIT_PURGE)
        purge_batch_abandon(txn->purge.batch); /* its client has gone: the purges act all the same */
    /* the rest may have mail under way: memory goes when that is settled */
    if (txn->waiting_on == WAIT_FILL)
        fill_leave(&txn->waiter, fill_gone);
    else if (txn->is_serving && !txn->is_sliced)
        hit_handler_close(&txn->serve.hit, hit_gone);
    else
        txn_free(txn);
    return STEP_DONE;
}
