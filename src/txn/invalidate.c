/* What an unsafe request makes invalid (RFC 9111 4.4): a purge per item, by the same log as any purge, but
 * without delaying the answer. */
#include "cache/invalidate.h"
#include "cache/key.h"
#include "txn/txn_internal.h"

#include "base/log.h"

#include <stdlib.h>

static void purge_done(struct store_op *op)
{
    free(container_of(op, struct store_purge, op));
}

/* Without waiting for it to be durable. */
static void purge_label(struct txn *txn, enum store_label_kind kind, slice text)
{
    char ip[64];
    struct store_purge *purge = calloc(1, sizeof(*purge));

    if (purge == NULL) {
        log_error("no memory to purge one label: what it names stays until it expires");
        return;
    }
    purge->tenant = txn->tenant;
    purge->kind = kind;
    purge->label = store_label_of(txn->tenant, kind, text);
    purge->op.loop = txn->context->loop;
    purge->op.done = purge_done;
    purge->uncounted = true;
    purge->note = (struct purge_note){txn_client_ip(txn, ip, sizeof(ip)), text, PURGE_BY_REQUEST};
    if (storage_purge(txn->context->storage, purge) == STORE_DONE)
        free(purge);
    else
        purge->note = (struct purge_note){0}; /* copied; ours ends here */
}

static void invalidate_one(void *context, enum label_kind kind, slice text)
{
    purge_label(context, kind == LABEL_GROUP ? STORE_LABEL_GROUP : STORE_LABEL_URL, text);
}

void txn_invalidate(struct txn *txn, const struct response *response)
{
    struct key_parts parts;

    if (!invalidate_applies(txn->request.method, response->status) || !key_read(txn->key, &parts))
        return;
    if (!err_is_ok(invalidate_items(&txn->arena, &txn->request, &parts, response, invalidate_one, txn)))
        txn->facts.reason = "invalidation-cut"; /* no memory for more: the target itself comes first */
}
