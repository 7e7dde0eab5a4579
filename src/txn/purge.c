/* PURGE <url> on the data listener, as users of other caches know it: for a bearer of the purge right. */
#include "cache/key.h"
#include "http/bearer.h"
#include "txn/txn_internal.h"

enum step_result txn_purge(struct txn *txn)
{
    struct key_parts parts = {.tenant = txn->tenant, .authority = txn->request.authority, .target = txn->request.target};
    uint64_t begun_ns = os_clock_ns();
    slice url;

    if (!bearer_matches(&txn->request.fields, slice_str(txn->context->token)))
        return txn_synth(txn, 403, "purge-forbidden", "PURGE needs a bearer token with the purge right.");
    for (int https = 0; https <= 1; https++) {
        parts.https = https != 0;
        if (!err_is_ok(key_url(&txn->arena, &parts, &url)))
            return txn_synth(txn, 503, "no-memory", "The server is short of memory.");
        txn_purge_label(txn, STORE_LABEL_URL, url);
    }
    metric_purge(txn->context->metrics, os_clock_ns() - begun_ns);
    return txn_synth(txn, 200, "purged", "Purged.");
}
