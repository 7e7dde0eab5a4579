/* PURGE <url> on the data listener, as users of other caches know it: for a bearer of the purge right. */
#include "cache/key.h"
#include "http/bearer.h"
#include "txn/txn_internal.h"

/* Both schemes of one target. */
MUST_USE static err purge_target(struct txn *txn, slice target)
{
    struct key_parts parts = {.tenant = txn->tenant, .authority = txn->request.authority, .target = target};
    slice url;

    for (int https = 0; https <= 1; https++) {
        parts.https = https != 0;
        TRY(key_url(&txn->arena, &parts, &url));
        txn_purge_label(txn, STORE_LABEL_URL, url);
    }
    return ERR_OK;
}

/* What a GET of it is stored under: key rules may leave parameters out. */
MUST_USE static err purge_url(struct txn *txn, const struct tenant *tenant)
{
    struct tenant_client client = txn_client(txn);
    struct request get = txn->request;
    const struct policy *policy;

    get.method = METHOD_GET;
    get.method_name = SLICE("GET");
    policy = tenant_explain(tenant, &get, &client, &txn->arena);
    ENSURE(policy != NULL, MEMORY);
    TRY(purge_target(txn, txn->request.target));
    return policy->target.data != NULL ? purge_target(txn, policy->target) : ERR_OK;
}

enum step_result txn_purge(struct txn *txn, const struct tenant *tenant)
{
    uint64_t begun_ns = os_clock_ns();

    if (!bearer_matches(&txn->request.fields, slice_str(txn->context->token)))
        return txn_synth(txn, 403, "purge-forbidden", "PURGE needs a bearer token with the purge right.");
    if (!err_is_ok(purge_url(txn, tenant)))
        return txn_synth(txn, 503, "no-memory", "The server is short of memory.");
    metric_purge(txn->context->metrics, os_clock_ns() - begun_ns);
    return txn_synth(txn, 200, "purged", "Purged.");
}
