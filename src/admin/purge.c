/* POST /api/v1/purge: what a tenant's owner says must not be served any more.
 *
 * One request is one or several purges (both schemes of a URL, each of several tags). Each acts when it is asked for;
 * the answer waits until all of them are durable. */
#include "admin/admin_internal.h"
#include "cache/key.h"
#include "http/uri.h"
#include "tenant/tenant.h"

#include <stdlib.h>

#define PURGES_MAX   256u
#define DURABLE_NS   UINT64_C(10000000000) /* a device that takes longer is taken for one that failed */

struct purge_part {
    struct store_purge purge;
    struct purge_run *run;
};

struct purge_run {
    struct admin_request *request;
    uint64_t begun_ns;
    unsigned count, pending;
    bool is_started; /* all have been asked for */
    struct purge_part parts[];
};

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static void purge_answer(struct purge_run *run)
{
    struct admin_request *request = run->request;
    uint64_t seq = 0, matched = 0;
    bool is_exact = true, is_durable = true;

    for (unsigned i = 0; i < run->count; i++) {
        const struct store_purge *purge = &run->parts[i].purge;
        seq = MAX(seq, purge->seq);
        matched += purge->matched;
        is_exact &= purge->matched_is_exact;
        is_durable &= purge->durable;
    }
    metric_purge(request->context->block, os_clock_ns() - run->begun_ns);
    admin_answer_json(request, is_durable ? 200 : 503,
                      json_pack("{s:I, s:I, s:b, s:b}", "seq", (json_int_t)seq, "matched", (json_int_t)matched,
                                "matched_is_exact", (int)is_exact, "durable", (int)is_durable));
}

static void run_step(struct purge_run *run)
{
    if (!run->is_started || run->pending > 0)
        return;
    run->request->purge = NULL;
    purge_answer(run);
    free(run);
}

static void purge_done(struct store_op *op)
{
    struct purge_run *run = container_of(op, struct purge_part, purge.op)->run;

    run->pending--;
    run_step(run);
}

/* ---- a run ------------------------------------------------------------------------------------------------------ */

/* Room for max purges; NULL: answered already. */
static struct purge_run *run_new(struct admin_request *request, unsigned max)
{
    struct purge_run *run = calloc(1, sizeof(*run) + max * sizeof(run->parts[0]));

    if (run == NULL) {
        admin_problem(request, 503, "no memory");
        return NULL;
    }
    run->request = request;
    run->begun_ns = os_clock_ns();
    return run;
}

static struct store_purge *run_add(struct purge_run *run, enum store_label_kind kind, slice text, bool soft)
{
    struct purge_part *part = &run->parts[run->count++];
    struct store_purge *purge = &part->purge;

    part->run = run;
    *purge = (struct store_purge){.tenant = TENANT_DEFAULT, .kind = kind, .soft = soft};
    purge->label = store_label_of(TENANT_DEFAULT, kind, text);
    purge->op.loop = run->request->context->loop;
    purge->op.done = purge_done;
    purge->op.deadline_ns = loop_now_ns(purge->op.loop) + DURABLE_NS;
    return purge;
}

static void run_start(struct purge_run *run)
{
    run->request->purge = run;
    for (unsigned i = 0; i < run->count; i++)
        if (storage_purge(run->request->context->storage, &run->parts[i].purge) == STORE_PENDING)
            run->pending++;
    run->is_started = true;
    run_step(run);
}

void admin_purge_abandon(struct admin_request *request)
{
    struct purge_run *run = request->purge;

    if (run == NULL)
        return;
    for (unsigned i = 0; i < run->count; i++)
        storage_cancel(&run->parts[i].purge.op);
    free(run);
    request->purge = NULL;
}

/* ---- what is to be purged --------------------------------------------------------------------------------------- */

static void purge_everything(struct admin_request *request, bool soft)
{
    struct purge_run *run = run_new(request, 1);

    if (run == NULL)
        return;
    run_add(run, STORE_LABEL_TENANT, SLICE(""), soft);
    run_start(run);
}

/* The URL as it is in keys and labels; without a scheme both are meant. */
static bool url_parts(struct admin_request *request, slice url, struct key_parts *ret_parts, bool *ret_both)
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

static unsigned levels_of(slice path)
{
    unsigned levels = 0;

    for (size_t i = 0; i < path.len; i++)
        levels += path.data[i] == '/';
    return levels;
}

/* kind: URL or PREFIX, whose labels are made alike. */
static void purge_url(struct admin_request *request, enum store_label_kind kind, slice url, bool soft)
{
    struct key_parts parts;
    bool both;
    slice text, key;

    if (!url_parts(request, url, &parts, &both)) {
        admin_problem(request, 400,
                      kind == STORE_LABEL_URL ? "\"url\" is not a URL: write scheme://host[:port]/path?query"
                                              : "\"prefix\" is not a prefix: write scheme://host[:port]/path/");
        return;
    }
    if (kind == STORE_LABEL_PREFIX && (parts.target.len == 0 || parts.target.data[parts.target.len - 1] != '/' ||
                                       slice_find(parts.target, '?') >= 0)) {
        admin_problem(request, 400, "a \"prefix\" ends in / and has no query: write scheme://host[:port]/path/");
        return;
    }
    if (kind == STORE_LABEL_PREFIX && levels_of(parts.target) > LABEL_PREFIX_LEVELS_MAX) {
        admin_problem(request, 400, "a \"prefix\" has at most 16 levels: deeper ones are not kept");
        return;
    }
    struct purge_run *run = run_new(request, 2);
    for (int i = 0; run != NULL && i <= (int)both; i++) {
        parts.https = i > 0 ? !parts.https : parts.https;
        if (!err_is_ok(key_url(&request->arena, &parts, &text)) || !err_is_ok(key_build(&request->arena, &parts, &key))) {
            free(run);
            admin_problem(request, 503, "no memory");
            return;
        }
        struct store_purge *purge = run_add(run, kind, text, soft);
        if (kind == STORE_LABEL_URL)
            purge->key = storage_key(request->context->storage, key);
    }
    if (run != NULL)
        run_start(run);
}

/* An authority as it is in keys. */
static void purge_host(struct admin_request *request, slice host, bool soft)
{
    struct key_parts parts;
    bool both;
    slice url = host.data != NULL ? arena_printf(&request->arena, "http://" SLICE_FMT "/", SLICE_ARG(host)) : SLICE_NONE;

    if (host.len == 0 || slice_find(host, '/') >= 0 || slice_find(host, '@') >= 0 || url.data == NULL ||
        !url_parts(request, url, &parts, &both)) {
        admin_problem(request, 400, "\"host\" is not a host: write host or host:port");
        return;
    }
    struct purge_run *run = run_new(request, 1);
    if (run == NULL)
        return;
    run_add(run, STORE_LABEL_HOST, parts.authority, soft);
    run_start(run);
}

static void purge_tags(struct admin_request *request, const json_t *tags, bool soft)
{
    struct purge_run *run = run_new(request, (unsigned)json_array_size(tags));

    for (size_t i = 0; run != NULL && i < json_array_size(tags); i++)
        run_add(run, STORE_LABEL_TAG, slice_str(json_string_value(json_array_get(tags, i))), soft);
    if (run != NULL)
        run_start(run);
}

static void purge_tag(struct admin_request *request, slice tag, bool soft)
{
    struct purge_run *run = run_new(request, 1);

    if (run == NULL)
        return;
    run_add(run, STORE_LABEL_TAG, tag, soft);
    run_start(run);
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

static bool is_known_member(const char *name)
{
    static const char *const known[] = {"url", "everything", "soft", "tenant", "prefix", "host",
                                        "tag", "tags",       "refresh", "dry_run"};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(name, known[i]) == 0)
            return true;
    return false;
}

/* A tag as an origin can write one: no space, no comma, nothing invisible. */
static bool is_tag(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (text == NULL || len == 0 || len > LABEL_TAG_BYTES_MAX || strlen(text) != len)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= ' ' || text[i] == ',' || text[i] == 0x7f)
            return false;
    return true;
}

static const char *tags_objection(const json_t *tags)
{
    if (!json_is_array(tags) || json_array_size(tags) == 0 || json_array_size(tags) > PURGES_MAX)
        return "\"tags\" is a list of 1 to 256 tags";
    for (size_t i = 0; i < json_array_size(tags); i++)
        if (!is_tag(json_array_get(tags, i)))
            return "each of \"tags\" is a string without spaces and commas";
    return NULL;
}

/* Of the members that say what: exactly one. */
static unsigned subjects_of(const json_t *body)
{
    static const char *const subjects[] = {"url", "prefix", "host", "tag", "tags", "everything"};
    unsigned count = 0;

    for (size_t i = 0; i < ARRAY_LEN(subjects); i++)
        count += json_object_get(body, subjects[i]) != NULL;
    return count;
}

/* A string without NUL, or absent. */
static bool is_text(const json_t *value)
{
    return value == NULL || (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value));
}

/* NULL: nothing is wrong with it. */
static const char *purge_objection(const json_t *body)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        if (!is_known_member(name))
            return "an unknown member: known are url, prefix, host, tag, tags, everything, soft, tenant";
    }
    if (json_object_get(body, "refresh") || json_object_get(body, "dry_run"))
        return "refresh and dry_run are not in this version";
    value = json_object_get(body, "tenant");
    if (value != NULL && (!json_is_string(value) || strcmp(json_string_value(value), TENANT_DEFAULT_NAME) != 0))
        return "no such tenant: the only one is \"default\"";
    value = json_object_get(body, "soft");
    if (value != NULL && !json_is_boolean(value))
        return "\"soft\" is true or false";
    if (subjects_of(body) != 1)
        return "write one of url, prefix, host, tag, tags and everything: {\"url\": \"http://host/path\"}, {\"everything\": true}";
    if (!is_text(json_object_get(body, "url")))
        return "\"url\" is a string";
    if (!is_text(json_object_get(body, "prefix")))
        return "\"prefix\" is a string";
    if (!is_text(json_object_get(body, "host")))
        return "\"host\" is a string";
    value = json_object_get(body, "tag");
    if (value != NULL && !is_tag(value))
        return "\"tag\" is a string without spaces and commas";
    value = json_object_get(body, "everything");
    if (value != NULL && !json_is_true(value))
        return "\"everything\" is true, or left out";
    value = json_object_get(body, "tags");
    return value != NULL ? tags_objection(value) : NULL;
}

static slice member_of(const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));

    return text != NULL ? slice_str(text) : SLICE_NONE;
}

static void purge_asked(struct admin_request *request, const json_t *body)
{
    bool soft = json_is_true(json_object_get(body, "soft"));

    if (json_object_get(body, "everything") != NULL)
        purge_everything(request, soft);
    else if (json_object_get(body, "url") != NULL)
        purge_url(request, STORE_LABEL_URL, member_of(body, "url"), soft);
    else if (json_object_get(body, "prefix") != NULL)
        purge_url(request, STORE_LABEL_PREFIX, member_of(body, "prefix"), soft);
    else if (json_object_get(body, "host") != NULL)
        purge_host(request, member_of(body, "host"), soft);
    else if (json_object_get(body, "tag") != NULL)
        purge_tag(request, member_of(body, "tag"), soft);
    else
        purge_tags(request, json_object_get(body, "tags"), soft);
}

void admin_purge(struct admin_request *request)
{
    json_error_t error;
    json_t *body = json_loadb(request->body != NULL ? request->body : "", request->body_len, JSON_REJECT_DUPLICATES, &error);
    const char *objection;

    if (!admin_allows(request, TOKEN_PURGE, NULL)) {
        json_decref(body);
        return;
    }
    if (!json_is_object(body)) {
        json_decref(body);
        admin_problem(request, 400, "the body is not a JSON object");
        return;
    }
    objection = purge_objection(body);
    if (objection != NULL)
        admin_problem(request, 400, objection);
    else
        purge_asked(request, body);
    json_decref(body);
}
