/* PURGE <url> on the data listener, as users of other caches know it: for a bearer of the purge right. */
#include "cache/key.h"
#include "txn/txn_internal.h"

/* Every byte is looked at whatever the first ones are: time tells nothing. */
static bool token_matches(slice given, const char *token)
{
    size_t len = strlen(token);
    unsigned difference = given.len != len;

    for (size_t i = 0; i < given.len; i++)
        difference |= (unsigned)(given.data[i] ^ token[len > 0 ? i % len : 0]);
    return difference == 0;
}

static bool may_purge(const struct txn *txn)
{
    slice value = fields_get(&txn->request.fields, F_AUTHORIZATION);

    if (txn->context->token == NULL || value.data == NULL || value.len < 7 ||
        !slice_eq_nocase((slice){value.data, 7}, SLICE("Bearer ")))
        return false;
    return token_matches(slice_trim(slice_from(value, 7)), txn->context->token);
}

enum step_result txn_purge(struct txn *txn)
{
    struct key_parts parts = {.tenant = txn->tenant, .authority = txn->request.authority, .target = txn->request.target};
    uint64_t begun_ns = os_clock_ns();
    slice url;

    if (!may_purge(txn))
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
