/* route: whose request it is, and whether WARP answers such requests at all. key: what identifies it. */
#include "cache/forward.h"
#include "cache/key.h"
#include "cache/storable.h"
#include "net/net.h"
#include "tenant/tenant.h"
#include "txn/txn_internal.h"

/* HTTP/1.0 without Host: the origin's own name is what such a client can only mean. */
static bool route_authority(struct txn *txn)
{
    const struct tenant *unknown;
    const struct origin_group *group;

    if (txn->request.authority.len > 0)
        return true;
    unknown = tenants_find(txn->view->tenants, SLICE(""));
    if (unknown == NULL)
        return false;
    group = unknown->origins;
    if (group->host_override[0] != '\0')
        txn->request.authority = slice_str(group->host_override);
    else
        txn->request.authority = group->origins[0].host;
    return txn->request.authority.len > 0;
}

/* RFC 9110 15.5.20: a connection is for what its certificate covers. */
static bool route_is_misdirected(const struct txn *txn)
{
    slice host = txn->request.authority;
    ptrdiff_t colon;

    if (txn->stream->net->scheme == NET_PLAIN || host.len == 0)
        return false;
    if (host.data[0] == '[') {
        ptrdiff_t end = slice_find(host, ']');
        host = end > 0 ? slice_of(host.data + 1, (size_t)end - 1) : host;
    } else if ((colon = slice_find(host, ':')) >= 0) {
        host.len = (size_t)colon;
    }
    return !net_is_for_host(txn->stream->net, host);
}

/* Every refusal for what comes too often, or too dear, or from the wrong place. */
static void refusal_count(const struct txn *txn, enum policy_verdict verdict)
{
    static const uint8_t limits[POLICY_VERDICT_COUNT] = {
        [POLICY_DENIED] = STREAM_LIMIT_ADDRESS, [POLICY_COSTLY] = STREAM_LIMIT_RULE_STEPS, [POLICY_RATE] = STREAM_LIMIT_RATE,
        [POLICY_CLIENT_RATE] = STREAM_LIMIT_CLIENT_RATE, [POLICY_BUSY] = STREAM_LIMIT_REQUESTS,
    };

    if (verdict != POLICY_GO && verdict != POLICY_REDIRECT)
        metric_limit(txn->context->metrics, limits[verdict]);
}

/* What the tenant's rules say of the request before anything is looked up. */
static enum step_result route_policy(struct txn *txn, const struct tenant *tenant)
{
    const struct policy *policy;

    if (tenant->rules == NULL) {
        txn->policy = &tenant->policy;
        return txn_goto(txn, STEP_KEY);
    }
    struct tenant_client client = txn_client(txn);
    policy = tenant_enter(tenant, &txn->request, &client, &txn->arena);
    if (policy == NULL)
        return txn_synth(txn, 503, "no-memory", "The server is short of memory.");
    txn->policy = policy;
    refusal_count(txn, (enum policy_verdict)policy->verdict);
    switch ((enum policy_verdict)policy->verdict) {
    case POLICY_GO:
        txn->is_entered = true;
        if (policy->target.data != NULL)
            txn->request.target = policy->target;
        return txn_goto(txn, STEP_KEY);
    case POLICY_DENIED:
        return txn_synth(txn, 403, policy_verdict_word(POLICY_DENIED), "This site is not open to your address.");
    case POLICY_COSTLY:
        return txn_synth(txn, policy_verdict_status(POLICY_COSTLY), policy_verdict_word(POLICY_COSTLY),
                         "It takes too long to find out what this site's rules say of that request.");
    case POLICY_REDIRECT:
        return txn_synth(txn, policy->redirect_status, policy_verdict_word(POLICY_REDIRECT), "The answer is elsewhere.");
    default:
        break;
    }
    return txn_synth(txn, policy_verdict_status((enum policy_verdict)policy->verdict),
                     policy_verdict_word((enum policy_verdict)policy->verdict), "Too many requests: try again later.");
}

enum step_result txn_step_route(struct txn *txn)
{
    struct request *request = &txn->request;
    const struct tenant *tenant;

    txn_client_scheme(txn);

    if (request->method == METHOD_CONNECT)
        return txn_synth(txn, 405, "method-connect", "This server is not a tunnel.");
    if (request->method == METHOD_TRACE)
        return txn_synth(txn, 405, "method-trace", "TRACE is not answered here.");
    if (route_is_misdirected(txn))
        return txn_synth(txn, 421, "misdirected", "This connection's certificate is not for that host; ask for it on another one.");
    if (!route_authority(txn))
        return txn_synth(txn, 400, "host-missing", "The request names no host.");
    tenant = tenants_find(txn->view->tenants, request->authority);
    if (tenant == NULL)
        return txn_synth(txn, 421, "unknown-host", "No site of that name is served here.");
    txn->tenant = tenant->id;
    switch (forward_loop_check(&request->fields, txn->context->node)) {
    case FORWARD_LOOP_NONE:
        break;
    case FORWARD_LOOP_OWN_NODE:
        return txn_synth(txn, 508, "loop", "The request has come back to this server: an origin points here.");
    case FORWARD_LOOP_HOPS:
        return txn_synth(txn, 508, "too-many-hops", "The request has passed too many caches.");
    }
    if (request->method == METHOD_PURGE)
        return txn_purge(txn, tenant);
    return route_policy(txn, tenant);
}

/* Why a request does not go through the store; NULL: it does. */
static const char *bypass_reason(const struct txn *txn, enum cache_status_fwd *ret_fwd)
{
    const struct request *request = &txn->request;

    *ret_fwd = CACHE_STATUS_METHOD;
    if (request->method != METHOD_GET && request->method != METHOD_HEAD)
        return "method";
    *ret_fwd = CACHE_STATUS_BYPASS;
    if (request->body != BODY_NONE)
        return "request-body";
    if (request->upgrade_websocket && txn->context->websocket)
        return "websocket";
    if (request->form == TARGET_ASTERISK)
        return "asterisk";
    if (!txn->policy->cache)
        return not_stored_word(NOT_STORED_RULE);
    return NULL;
}

enum step_result txn_step_key(struct txn *txn)
{
    struct key_parts parts = {
        .tenant = txn->tenant,
        .rules = txn->policy->tenant->generation,
        .extra = txn->policy->key_extra,
        .https = txn->request.https,
        .authority = txn->request.authority,
        .target = txn->request.target,
    };
    enum cache_status_fwd fwd;
    const char *reason = bypass_reason(txn, &fwd);

    if (!err_is_ok(key_build(&txn->arena, &parts, &txn->key)))
        return txn_synth(txn, 503, "no-memory", "The server is short of memory.");
    if (reason != NULL) {
        txn->facts.reason = reason;
        txn->facts.fwd = (uint8_t)fwd;
        txn->facts.outcome = OUTCOME_bypass;
        return txn_goto(txn, STEP_PASS);
    }
    request_control_of(&txn->request.fields, &txn->control);
    return txn_goto(txn, STEP_LOOKUP);
}
