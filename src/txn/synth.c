/* synth: answers of WARP's own: refusals, errors, PURGE. Constant bodies: nothing of the request is echoed. */
#include "http/date.h"
#include "http/h1_write.h"
#include "txn/txn_internal.h"

#include "http/token.h"

static const char page[] =
    "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>%u " SLICE_FMT "</title>"
    "<meta name=\"viewport\" content=\"width=device-width\"><style>body{font:16px/1.5 system-ui,sans-serif;"
    "max-width:36em;margin:15vh auto;padding:0 1em;color:#223}h1{font-size:1.4em}small{color:#667}</style></head>"
    "<body><h1>%u " SLICE_FMT "</h1><p>%s</p><p><small>warp: %s &middot; %s</small></p></body></html>\n";
static const char json[] = "{\"type\":\"about:blank\",\"title\":\"" SLICE_FMT "\",\"status\":%u,\"detail\":\"%s\",\"reason\":\"%s\","
                           "\"id\":\"%s\"}\n";

/* The first of the two types that Accept names; pages are for browsers, which name text/html. */
static bool wants_json(const struct txn *txn)
{
    int at = txn->request.fields.list != NULL ? fields_next(&txn->request.fields, F_ACCEPT, 0) : -1;
    slice value, rest, item;

    if (at < 0)
        return false;
    value = field_value(&txn->request.fields, (unsigned)at);
    for (rest = value; list_next(&rest, &item);) {
        if (slice_starts(item, SLICE("text/html")))
            return false;
        if (slice_starts(item, SLICE("application/json")) || slice_starts(item, SLICE("application/problem+json")))
            return true;
    }
    return false;
}

/* As POST /api/v1/purge answers. */
static slice purge_body(struct txn *txn)
{
    const struct purge_batch_result *result = &txn->purge.result;

    return arena_printf(&txn->arena, "{\"seq\":%llu,\"matched\":%llu,\"matched_is_exact\":%s,\"matched_is_least\":%s,\"durable\":%s}\n",
                        (unsigned long long)result->seq, (unsigned long long)result->matched,
                        result->matched_is_exact ? "true" : "false", result->matched_is_least ? "true" : "false", result->durable ? "true" : "false");
}

static slice synth_body(struct txn *txn, bool as_json)
{
    uint16_t status = txn->synth.status;
    slice reason = http_reason(status), id = txn_request_id(txn);

    if (id.data == NULL)
        return SLICE_NONE;
    if (as_json && txn->is_purging)
        return purge_body(txn);
    if (as_json)
        return arena_printf(&txn->arena, json, SLICE_ARG(reason), status, txn->synth.text, txn->synth.word, id.data);
    return arena_printf(&txn->arena, page, status, SLICE_ARG(reason), status, SLICE_ARG(reason), txn->synth.text,
                        txn->synth.word, id.data);
}

/* Of an answer that the tenant's rules have decided. */
static err policy_fields(const struct policy *policy, struct fields *fields)
{
    switch ((enum policy_verdict)policy->verdict) {
    case POLICY_REDIRECT:
        return fields_add(fields, F_LOCATION, policy->location);
    case POLICY_RATE:
    case POLICY_CLIENT_RATE:
    case POLICY_BUSY:
        return fields_addf(fields, F_RETRY_AFTER, "%u", MAX(policy->retry_after_s, 1u));
    default:
        return ERR_OK;
    }
}

static err synth_fields(struct txn *txn, bool as_json, struct fields *ret_fields)
{
    char date[DATE_BYTES];

    fields_init(ret_fields, &txn->arena);
    date_format(loop_wall_ms(txn->context->loop) / 1000, date);
    TRY(fields_add(ret_fields, F_DATE, slice_of(date, DATE_BYTES)));
    TRY(fields_add(ret_fields, F_CONTENT_TYPE, !as_json ? SLICE("text/html; charset=utf-8")
                                               : txn->is_purging ? SLICE("application/json") : SLICE("application/problem+json")));
    TRY(fields_add(ret_fields, F_CACHE_CONTROL, SLICE("no-store")));
    TRY(fields_addf(ret_fields, F_CACHE_STATUS, "warp; detail=%s", txn->synth.word));
    TRY(fields_add(ret_fields, F_VIA, SLICE("1.1 warp")));
    if (txn->synth.status == 405)
        TRY(fields_add(ret_fields, F_ALLOW, SLICE("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")));
    if (txn->policy != NULL)
        TRY(policy_fields(txn->policy, ret_fields));
    if (txn->synth.retry_after_s > 0)
        TRY(fields_addf(ret_fields, F_RETRY_AFTER, "%u", txn->synth.retry_after_s));
    if (txn->synth.failure_type != NULL)
        TRY(fields_addf(ret_fields, F_PROXY_STATUS, "warp; error=%s", txn->synth.failure_type));
    return ERR_OK;
}

enum step_result txn_step_synth(struct txn *txn)
{
    bool as_json = wants_json(txn);
    struct source_memory *body = arena_alloc(&txn->arena, sizeof(*body));
    struct fields fields;
    struct reply reply = {.status = txn->synth.status, .added = &fields, .no_body = txn->is_head};
    slice text = body != NULL ? synth_body(txn, as_json) : SLICE_NONE;

    if (txn->facts.outcome != OUTCOME_error)
        txn->facts.outcome = OUTCOME_synthetic;
    txn->facts.reason = txn->synth.word;
    if (text.data == NULL || !err_is_ok(synth_fields(txn, as_json, &fields))) {
        txn->status = 503; /* not even memory for an error page */
        stream_abort(txn->stream);
        return txn_wait(txn, WAIT_CLIENT);
    }
    source_memory_init(body, text);
    reply.length_bytes = (int64_t)text.len;
    return txn_reply(txn, &reply, txn->is_head ? NULL : &body->source);
}
