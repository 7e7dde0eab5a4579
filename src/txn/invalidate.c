/* What an unsafe request makes invalid (RFC 9111 4.4): a purge per item, by the same log as any purge, but
 * without delaying the answer. */
#include "cache/invalidate.h"
#include "cache/key.h"
#include "txn/txn_internal.h"

static void invalidate_one(void *context, enum label_kind kind, slice text)
{
    struct txn *txn = context;
    struct store_purge purge = {
        .tenant = txn->tenant,
        .kind = kind == LABEL_GROUP ? STORE_LABEL_GROUP : STORE_LABEL_URL,
    };

    purge.label = store_label_of(txn->tenant, purge.kind, text);
    purge.op.loop = txn->context->loop;
    if (storage_purge(txn->context->storage, &purge) == STORE_PENDING)
        storage_detach(&purge.op);
}

void txn_invalidate(struct txn *txn, const struct response *response)
{
    struct key_parts parts;

    if (!invalidate_applies(txn->request.method, response->status) || !key_read(txn->key, &parts))
        return;
    if (!err_is_ok(invalidate_items(&txn->arena, &txn->request, &parts, response, invalidate_one, txn)))
        txn->facts.reason = "invalidation-cut"; /* no memory for more: the target itself comes first */
}
