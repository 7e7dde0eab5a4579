/* A body in slices, as the answer's source: nothing of the answer goes out before its first bytes are there, so that a
 * request that finds another version at the origin can begin anew. */
#include "txn/txn_internal.h"

static void slices_ready(void *reader)
{
    txn_resume(reader, WAIT_SLICE);
}

static void slices_start_of(void *owner, char *ip, size_t ip_size, struct fill_start *ret_start)
{
    *ret_start = txn_fill_start(owner, ip, ip_size);
}

static enum slices_state slices_state_of(struct txn *txn)
{
    struct source *source = slices_source(txn->serve.slices);
    unsigned count;
    slice shown;

    source_set_reader(source, slices_ready, txn);
    switch (source_peek(source, &shown, 1, &count)) {
    case SOURCE_READY:
    case SOURCE_END:
        return SLICES_READY;
    case SOURCE_WAIT:
        return SLICES_WAIT;
    case SOURCE_FAILED:
        break;
    }
    return SLICES_LOST;
}

/* What is known when the answer's head is made; the counters say at the end how it went. */
static void slices_note(struct txn *txn, bool were_stored)
{
    if (!txn->facts.hit)
        return;
    if (!were_stored && !txn->serve.seen.has_followed) {
        txn->facts.hit = txn->facts.has_ttl = false;
        txn->facts.fwd = CACHE_STATUS_PARTIAL; /* RFC 9211 2.2 */
        txn->facts.stored = true;
    } else if (txn->serve.seen.has_followed) {
        txn->facts.collapsed = true;
        metric_collapsed(txn->context->metrics);
    }
}

enum slices_state serve_slices_open(struct txn *txn, uint64_t from, uint64_t to)
{
    struct slices_open open = {
        .context = txn->context->fills, .head = txn->object, .seen = &txn->serve.seen, .start_of = slices_start_of, .owner = txn};
    enum slices_state state;

    if (!txn->is_sliced) {
        memset(&txn->serve, 0, sizeof(txn->serve));
        txn->serve.slices = slices_open(&open);
        if (txn->serve.slices == NULL)
            return SLICES_LOST;
        txn->is_sliced = txn->is_serving = true;
        slices_seek(txn->serve.slices, from, to);
        txn->serve.were_stored = slices_are_stored(txn->serve.slices);
    }
    state = slices_state_of(txn);
    if (state == SLICES_READY)
        slices_note(txn, txn->serve.were_stored);
    return state;
}

/* Nothing of the answer has been sent yet. */
enum step_result serve_slices_lost(struct txn *txn)
{
    enum slices_loss loss = txn->serve.slices != NULL ? slices_loss(txn->serve.slices) : SLICES_LOST_BROKEN;

    if (txn->serve.slices != NULL)
        source_close(slices_source(txn->serve.slices));
    txn->serve.slices = NULL;
    txn->is_sliced = txn->is_serving = false;
    txn->facts.hit = txn->facts.stored = txn->facts.has_ttl = txn->facts.collapsed = false;
    txn->facts.age_s = -1;
    if (loss == SLICES_LOST_CHANGED)
        return txn_look_again(txn);
    txn->object = store_object_unref(txn->object);
    txn->facts.reason = "slices-broken";
    txn->facts.outcome = OUTCOME_bypass;
    return txn_goto(txn, STEP_PASS);
}

void serve_slices_give(struct txn *txn)
{
    txn->serve.slices_given = true;
}

static void slices_seek_to(struct txn *txn, uint64_t from, uint64_t to)
{
    slices_seek(txn->serve.slices, from, to);
}

struct seekable serve_slices_seekable(struct txn *txn)
{
    return (struct seekable){slices_source(txn->serve.slices), slices_seek_to};
}

void serve_slices_done(struct txn *txn)
{
    if (txn->serve.slices != NULL && !txn->serve.slices_given)
        source_close(slices_source(txn->serve.slices));
    txn->serve.slices = NULL;
    if (txn->serve.seen.has_asked && txn->facts.outcome == OUTCOME_hit)
        txn->facts.outcome = OUTCOME_miss; /* a hit is what the origin was not asked for */
}
