/* POST /api/v1/purge: what a tenant's owner says must not be served any more. */
#include "admin/admin_internal.h"
#include "cache/key.h"
#include "http/uri.h"
#include "tenant/tenant.h"

#include <stdlib.h>

struct purge_call {
    struct store_purge purge;
    struct admin_request *request; /* NULL: its client has gone */
    uint64_t begun_ns;
};

static void purge_answer(struct admin_request *request, const struct purge_call *call)
{
    const struct store_purge *purge = &call->purge;

    metric_purge(request->context->block, os_clock_ns() - call->begun_ns);
    admin_answer_json(request, purge->durable ? 200 : 503,
                      json_pack("{s:I, s:I, s:b, s:b}", "seq", (json_int_t)purge->seq, "matched",
                                (json_int_t)purge->matched, "matched_is_exact", (int)purge->matched_is_exact, "durable",
                                (int)purge->durable));
}

/* Runs one purge to its end; false: the tier did not complete it at once (none does that yet). */
static bool purge_run(struct admin_request *request, struct purge_call *call)
{
    call->purge.tenant = TENANT_DEFAULT;
    call->purge.op.loop = request->context->loop;
    call->purge.op.done = store_op_ignored;
    call->begun_ns = os_clock_ns();
    if (storage_purge(request->context->storage, &call->purge) == STORE_DONE)
        return true;
    storage_cancel(&call->purge.op);
    return false;
}

static void purge_everything(struct admin_request *request, bool soft)
{
    struct purge_call call = {.purge = {.kind = STORE_LABEL_TENANT, .soft = soft}};

    if (purge_run(request, &call))
        purge_answer(request, &call);
    else
        admin_problem(request, 503, "the store did not answer");
}

/* The URL as it is in keys and labels; without a scheme both are meant. */
static bool purge_url_parts(struct admin_request *request, slice url, struct key_parts *ret_parts, bool *ret_both)
{
    struct uri uri;
    slice full = url;

    *ret_both = !slice_starts(url, SLICE("http://")) && !slice_starts(url, SLICE("https://"));
    if (*ret_both)
        full = arena_printf(&request->arena, "http://" SLICE_FMT, SLICE_ARG(url));
    if (full.data == NULL || !err_is_ok(uri_parse(full, &request->arena, &uri)))
        return false;
    *ret_parts = (struct key_parts){
        .tenant = TENANT_DEFAULT, .https = uri.https, .authority = uri.authority, .target = uri.target};
    return true;
}

static void purge_url(struct admin_request *request, slice url, bool soft)
{
    struct purge_call call = {.purge = {.kind = STORE_LABEL_URL, .soft = soft}};
    struct key_parts parts;
    uint64_t matched = 0;
    bool both, exact = true;
    slice text, key;

    if (!purge_url_parts(request, url, &parts, &both)) {
        admin_problem(request, 400, "\"url\" is not a URL: write scheme://host[:port]/path?query");
        return;
    }
    for (int i = 0; i <= (int)both; i++) {
        parts.https = i > 0 ? !parts.https : parts.https;
        if (!err_is_ok(key_url(&request->arena, &parts, &text)) || !err_is_ok(key_build(&request->arena, &parts, &key))) {
            admin_problem(request, 503, "no memory");
            return;
        }
        call.purge.label = store_label_of(TENANT_DEFAULT, STORE_LABEL_URL, text);
        call.purge.key = storage_key(request->context->storage, key);
        if (!purge_run(request, &call)) {
            admin_problem(request, 503, "the store did not answer");
            return;
        }
        matched += call.purge.matched;
        exact &= call.purge.matched_is_exact;
    }
    call.purge.matched = matched;
    call.purge.matched_is_exact = exact;
    purge_answer(request, &call);
}

static bool is_known_member(const char *name)
{
    static const char *const known[] = {"url", "everything", "soft", "tenant", "prefix", "host",
                                        "tag", "tags",       "refresh", "dry_run"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

/* NULL: nothing is wrong with it. */
static const char *purge_objection(const json_t *body)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        if (!is_known_member(name))
            return "an unknown member: known are url, everything, soft, tenant";
    }
    if (json_object_get(body, "prefix") || json_object_get(body, "host") || json_object_get(body, "tag") ||
        json_object_get(body, "tags") || json_object_get(body, "refresh") || json_object_get(body, "dry_run"))
        return "prefix, host, tag, tags, refresh and dry_run are not in this version: write url or everything";
    value = json_object_get(body, "tenant");
    if (value != NULL && (!json_is_string(value) || strcmp(json_string_value(value), TENANT_DEFAULT_NAME) != 0))
        return "no such tenant: the only one is \"default\"";
    value = json_object_get(body, "soft");
    if (value != NULL && !json_is_boolean(value))
        return "\"soft\" is true or false";
    if ((json_object_get(body, "url") != NULL) == (json_object_get(body, "everything") != NULL))
        return "write one of {\"url\": \"http://host/path\"} and {\"everything\": true}";
    value = json_object_get(body, "url");
    if (value != NULL && !json_is_string(value))
        return "\"url\" is a string";
    value = json_object_get(body, "everything");
    if (value != NULL && !json_is_true(value))
        return "\"everything\" is true, or left out";
    return NULL;
}

void admin_purge(struct admin_request *request)
{
    json_error_t error;
    json_t *body = json_loadb(request->body != NULL ? request->body : "", request->body_len, JSON_REJECT_DUPLICATES, &error);
    const char *objection;
    bool soft;

    if (!json_is_object(body)) {
        json_decref(body);
        admin_problem(request, 400, "the body is not a JSON object");
        return;
    }
    objection = purge_objection(body);
    soft = json_is_true(json_object_get(body, "soft"));
    if (objection != NULL)
        admin_problem(request, 400, objection);
    else if (json_object_get(body, "everything") != NULL)
        purge_everything(request, soft);
    else
        purge_url(request, slice_str(json_string_value(json_object_get(body, "url"))), soft);
    json_decref(body);
}
