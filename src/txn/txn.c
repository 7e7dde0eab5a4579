/* The table of steps, the loop over it, and the ends. */
#include "cache/key.h"
#include "tenant/tenant.h"
#include "txn/txn_internal.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_LIMIT_BYTES (256u << 10)
#define KEEP_BLOCKS       1024u

static const struct {
    const char *name;
    enum step_result (*run)(struct txn *txn);
} txn_steps[STEP_COUNT] = {
#define X(step_name, NAME) {#step_name, txn_step_##step_name},
    TXN_STEPS(X)
#undef X
};

void txn_context_init(struct txn_context *context)
{
    pool_init(&context->pool, TXN_BLOCK_BYTES, KEEP_BLOCKS);
    arena_pools_init(&context->chunks, KEEP_BLOCKS);
    os_entropy(&context->id_seed, sizeof(context->id_seed));
    context->id_next = 0;
}

void txn_context_use(struct txn_context *context, struct tenant_view *view)
{
    tenant_view_retire(context->view);
    context->view = view;
}

void txn_context_done(struct txn_context *context)
{
    tenant_view_retire(context->view);
    context->view = NULL;
    pool_done(&context->pool);
    arena_pools_done(&context->chunks);
}

size_t txn_block_bytes(void)
{
    return TXN_BLOCK_BYTES;
}

enum step_result txn_goto(struct txn *txn, enum txn_step step)
{
    txn->step = (uint8_t)step;
    return STEP_NEXT;
}

enum step_result txn_wait(struct txn *txn, enum waiting_on what)
{
    INVARIANT(what != WAIT_NONE);
    txn->waiting_on = (uint8_t)what;
    return STEP_WAIT;
}

static void txn_run(struct txn *txn)
{
    enum step_result result;

    INVARIANT(txn->waiting_on == WAIT_NONE);
    INVARIANT(!txn->running);
    txn->running = true;
    do {
        result = txn_steps[txn->step].run(txn);
    } while (result == STEP_NEXT);
    if (result == STEP_DONE)
        return; /* the memory is gone */
    txn->running = false;
    /* A transaction sleeps exactly when it has named what will wake it. */
    INVARIANT((result == STEP_WAIT) == (txn->waiting_on != WAIT_NONE));
}

void txn_resume(struct txn *txn, enum waiting_on what)
{
    INVARIANT(txn->waiting_on == what);
    txn->waiting_on = WAIT_NONE;
    txn_run(txn);
}

/* ---- the stream's events ----------------------------------------------------------------------------------- */

static void *txn_begin(void *user, struct server_stream *stream, struct arena **ret_arena)
{
    struct txn_context *context = user;
    struct txn *txn = pool_get(&context->pool);

    if (txn == NULL)
        return NULL;
    memset(txn, 0, sizeof(*txn));
    txn->context = context;
    txn->stream = stream;
    arena_init(&txn->arena, txn->inline_arena, TXN_BLOCK_BYTES - sizeof(*txn), ARENA_LIMIT_BYTES);
    arena_use_pools(&txn->arena, &context->chunks);
    txn->facts.age_s = -1;
    txn->view = tenant_view_enter(context->view);
    txn->tenant = txn->view->unknown;
    *ret_arena = &txn->arena;
    return txn;
}

static void txn_request(void *user, struct request *request)
{
    struct txn *txn = user;

    txn->request = *request;
    txn->is_head = request->method == METHOD_HEAD;
    txn->step = txn->context->acme_dir != NULL ? STEP_ACME : STEP_ROUTE;
    txn_run(txn);
}

static void txn_refused(void *user, unsigned index, uint16_t status, const char *reason, const char *text)
{
    struct txn *txn = user;

    metric_refused(txn->context->metrics, index);
    txn_synth(txn, status, reason, text);
    txn_run(txn);
}

static void txn_ended(void *user, enum stream_end end)
{
    struct txn *txn = user;

    txn->ended = true;
    txn->end = (uint8_t)end;
    INVARIANT(!txn->running);
    txn->step = STEP_FINISH;
    txn->waiting_on = txn->waiting_on == WAIT_CLIENT ? WAIT_NONE : txn->waiting_on;
    txn->running = true;
    (void)txn_step_finish(txn);
}

const struct server_events txn_events = {txn_begin, txn_request, txn_refused, txn_ended};

/* ---- answers ---------------------------------------------------------------------------------------------------- */

enum step_result txn_synth(struct txn *txn, uint16_t status, const char *word, const char *text)
{
    txn->synth.status = status;
    txn->synth.word = word;
    txn->synth.text = text;
    txn->synth.failure_type = NULL;
    return txn_goto(txn, STEP_SYNTH);
}

enum step_result txn_synth_failure(struct txn *txn, enum client_failure failure)
{
    bool late = failure == CLIENT_FAILURE_TIMEOUT || failure == CLIENT_FAILURE_CONNECT_TIMEOUT;
    bool ours = failure == CLIENT_FAILURE_NO_MEMORY || failure == CLIENT_FAILURE_LIMIT || failure == CLIENT_FAILURE_CONCURRENCY;

    txn_synth(txn, ours ? 503 : late ? 504 : 502, client_failure_word(failure),
              late ? "The origin of this site did not answer in time."
                   : "The origin of this site gave no usable answer.");
    txn->synth.failure_type = client_failure_type(failure);
    txn->facts.outcome = OUTCOME_error;
    return STEP_NEXT;
}

err txn_add_status(struct txn *txn, struct fields *added)
{
    const struct txn_facts *facts = &txn->facts;
    struct cache_status status = {
        .hit = facts->hit,
        .fwd = (enum cache_status_fwd)facts->fwd,
        .fwd_status = facts->fwd_status,
        .has_ttl = facts->has_ttl,
        .ttl_s = facts->ttl_s,
        .stored = facts->stored,
        .collapsed = facts->collapsed,
    };

    if (txn->context->status_key) {
        struct key_parts parts;
        if (txn->key.data != NULL && key_read(txn->key, &parts))
            TRY(key_url(&txn->arena, &parts, &status.key));
        status.detail = slice_str(facts->reason);
    }
    return cache_status_add(added, &status, facts->age_s);
}

enum step_result txn_reply(struct txn *txn, const struct reply *reply, struct source *body)
{
    txn->status = reply->status;
    txn->first_byte_ns = loop_now_ns(txn->context->loop);
    stream_respond(txn->stream, reply, body);
    return txn_wait(txn, WAIT_CLIENT);
}

slice txn_request_id(struct txn *txn)
{
    uint64_t id = ++txn->context->id_next * UINT64_C(0x9e3779b97f4a7c15) ^ txn->context->id_seed;
    char text[17] = ""; /* terminated: it is printed */

    hex_write(text, id, 16);
    slice copy = arena_copy(&txn->arena, slice_of(text, sizeof(text)));
    return copy.data != NULL ? slice_of(copy.data, 16) : SLICE_NONE;
}

slice txn_client_ip(struct txn *txn, char *buffer, size_t size)
{
    return txn->stream->net->peer.family == AF_UNIX ? SLICE_NONE : slice_str(os_peer_text(&txn->stream->net->peer, buffer, size));
}
