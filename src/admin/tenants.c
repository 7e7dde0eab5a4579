/* /api/v1/tenants: who there is, with limits and usage; made, changed and deleted at run time.
 *
 * A tenant's ETag stands for its configuration, not for its numbers: what it is compared with (If-Match) is what would be
 * overwritten. */
#include "admin/admin_internal.h"

#include "base/hash.h"
#include "http/etag.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TRIES_MAX      8u /* of a change that others come before */
#define PARSE_BYTES_MAX (1u << 20) /* of a file, in a few milliseconds */
#define DIGITS_MAX     15u /* of a number that JSON keeps as it is */

/* ---- the configuration as JSON --------------------------------------------------------------------------------------- */

/* A number as JSON writes it: read again it is the same text. */
static bool is_integer(slice text)
{
    if (text.len == 0 || text.len > DIGITS_MAX || (text.data[0] == '0' && text.len > 1))
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (!ascii_is_digit((unsigned char)text.data[i]))
            return false;
    return true;
}

static json_t *scalar_json(const struct conf_node *node)
{
    uint64_t value;

    if (node->is_quoted)
        return admin_text(node->text);
    if (slice_eq(node->text, SLICE("true")) || slice_eq(node->text, SLICE("false")))
        return json_boolean(node->text.data[0] == 't');
    if (is_integer(node->text) && slice_to_u64(node->text, &value))
        return json_integer((json_int_t)value);
    return admin_text(node->text);
}

/* As deep as a document may be. */
static json_t *node_json(const struct conf_node *node)
{
    json_t *json;

    switch ((enum conf_kind)node->kind) {
    case CONF_SCALAR:
        return scalar_json(node);
    case CONF_LIST:
        json = json_array();
        for (const struct conf_node *item = node->first; item != NULL; item = item->next)
            json_array_append_new(json, node_json(item));
        return json;
    case CONF_MAP:
        json = json_object();
        for (const struct conf_node *entry = node->first; entry != NULL; entry = entry->next)
            json_object_setn_new(json, entry->key.data, entry->key.len, node_json(entry));
        return json;
    case CONF_NULL:
        break;
    }
    return json_null();
}

/* The file that the tenant stands in, as it was read; NULL: the options alone say what it is. */
static const struct conf_file *file_of(const struct admin_context *context, const struct tenant *tenant)
{
    const struct conf_document *document = tenants_settings(context->tenants)->document;

    if (tenants_is_default_only(context->tenants) || document == NULL || tenant->conf->mark.file >= document->file_count)
        return NULL;
    return &document->files[tenant->conf->mark.file];
}

/* The settings keep the texts, not the trees: what is asked for is parsed again. */
static json_t *file_json(const struct conf_file *file, slice name)
{
    const struct conf_node *node = NULL, *tenants;
    struct conf_document *document = NULL;
    struct conf_report *report = NULL;
    json_t *json;

    if (err_is_ok(conf_report_new(&report)) && err_is_ok(conf_document_parse(file->path, file->text, report, &document))) {
        tenants = conf_node_get(document->root, SLICE("tenants"));
        node = file->tenant.len > 0 ? document->root : tenants != NULL ? conf_node_get(tenants, name) : NULL;
    }
    json = node != NULL ? node_json(node) : NULL;
    conf_document_free(document);
    conf_report_free(report);
    return json;
}

/* What was written of it; an empty object where the options alone say what it is. NULL: it is among so much else that looking
 * for it would hold up others. */
static json_t *config_json(const struct admin_context *context, const struct tenant *tenant)
{
    const struct conf_file *file = file_of(context, tenant);

    if (file == NULL)
        return json_object();
    return file->text.len <= PARSE_BYTES_MAX ? file_json(file, tenant->name) : NULL;
}

/* ---- a tenant -------------------------------------------------------------------------------------------------------- */

static json_t *share_json(const struct conf_share *share)
{
    if (!share->is_given)
        return json_null();
    return share->percent > 0 ? json_pack("{s:i}", "percent", (int)share->percent) : json_pack("{s:I}", "bytes", (json_int_t)share->bytes);
}

static json_t *rate_json(const struct conf_rate *rate)
{
    return rate->per_s > 0 ? json_pack("{s:I, s:I}", "requests", (json_int_t)rate->requests, "seconds", (json_int_t)rate->per_s)
                           : json_null();
}

static json_t *limits_json(const struct conf_tenant *conf)
{
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:o}", "guaranteed_percent", (int)conf->guaranteed_percent,
                     "memory_soft", share_json(&conf->memory_soft), "memory_hard", share_json(&conf->memory_hard), "disk_soft",
                     share_json(&conf->disk_soft), "disk_hard", share_json(&conf->disk_hard), "max_object_bytes",
                     (json_int_t)conf->max_object_bytes, "requests", (json_int_t)conf->requests, "origin_concurrency",
                     (json_int_t)conf->origin_concurrency, "rate", rate_json(&conf->rate), "client_rate", rate_json(&conf->client_rate));
}

/* What everybody sees who sees the tenant, without its numbers. */
static json_t *shown_json(const struct tenant *tenant)
{
    json_t *hosts = json_array(), *origins = json_array();

    for (uint32_t i = 0; i < tenant->conf->hosts.count; i++)
        json_array_append_new(hosts, admin_text(tenant->conf->hosts.items[i]));
    for (unsigned i = 0; i < tenant->origins->count; i++)
        json_array_append_new(origins, admin_text(slice_str(tenant->origins->origins[i].name)));
    return json_pack("{s:I, s:o, s:o, s:o}", "generation", (json_int_t)tenant->generation, "hosts", hosts, "origins", origins, "limits",
                     limits_json(tenant->conf));
}

static uint64_t json_hash(json_t *json, uint64_t seed)
{
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY) : NULL;
    uint64_t hash = hash64(slice_str(text), seed);

    free(text);
    json_decref(json);
    return hash;
}

/* Of what who asks may see, and of nothing else: a tag of what is hidden would be a way to try what it is. Where the
 * configuration is too long to be looked for, of all that stands in the same file: that changes no less often. */
static void etag_write(const struct admin_request *request, const struct tenant *tenant, char etag[ADMIN_FIELD_BYTES])
{
    const struct conf_file *file = file_of(request->context, tenant);
    json_t *config = admin_may(request, TOKEN_CONFIGURE, tenant) ? config_json(request->context, tenant) : NULL;
    uint64_t seed = hash64(tenant->name, 0), hash;

    if (config == NULL && file != NULL && !admin_is_owner(request) && admin_may(request, TOKEN_CONFIGURE, NULL))
        hash = hash64(file->text, seed);
    else
        hash = json_hash(config != NULL ? config : shown_json(tenant), seed);
    snprintf(etag, ADMIN_FIELD_BYTES, "\"%016" PRIx64 "\"", hash);
}

json_t *admin_usage_json(const struct admin_context *context, const struct tenant *tenant)
{
    json_t *bytes = json_object(), *requests = json_object();
    uint64_t all = 0, hits = 0, sent = 0;
    const struct storage *tier;

    for (unsigned i = 0; (tier = storage_tier(context->storage, i)) != NULL; i++)
        json_object_set_new(bytes, storage_name(tier), json_integer((json_int_t)storage_tenant_bytes(tier, tenant->id)));
    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        uint64_t n = metrics_requests(context->metrics, tenant->id, (enum outcome)i);
        json_object_set_new(requests, outcome_name((enum outcome)i), json_integer((json_int_t)n));
        sent += metrics_response_bytes(context->metrics, tenant->id, (enum outcome)i);
        all += n;
        if (i == OUTCOME_hit || i == OUTCOME_stale || i == OUTCOME_revalidated)
            hits += n;
    }
    json_object_set_new(requests, "all", json_integer((json_int_t)all));
    json_object_set_new(requests, "hit_ratio", json_real(all > 0 ? (double)hits / (double)all : 0));
    return json_pack("{s:o, s:o, s:I}", "bytes", bytes, "requests", requests, "response_bytes", (json_int_t)sent);
}

static json_t *tenant_json(const struct admin_context *context, const struct tenant *tenant)
{
    json_t *hosts = json_array(), *origins = json_array();

    for (uint32_t i = 0; i < tenant->conf->hosts.count; i++)
        json_array_append_new(hosts, admin_text(tenant->conf->hosts.items[i]));
    for (unsigned i = 0; i < tenant->origins->count; i++)
        json_array_append_new(origins, admin_origin_json(context, tenant, i));
    return json_pack("{s:o, s:I, s:I, s:o, s:o, s:o, s:o}", "name", admin_text(tenant->name), "id", (json_int_t)tenant->id, "generation",
                     (json_int_t)tenant->generation, "hosts", hosts, "limits", limits_json(tenant->conf), "usage",
                     admin_usage_json(context, tenant), "origins", origins);
}

static const char *source_of(const struct admin_context *context, slice name)
{
    char *text;
    size_t len;

    if (tenants_is_default_only(context->tenants))
        return "options";
    if (context->control == NULL || !err_is_ok(context->control->tenant_text(context->control_arg, name, &text, &len)))
        return "file";
    free(text);
    return "api";
}

/* In the order of ids, which never change: a page begins where the one before ended. */
void admin_tenants_list(struct admin_request *request)
{
    const struct tenants *tenants = request->context->tenants;
    slice cursor = admin_param(request, SLICE("cursor"));
    uint64_t id = 0;
    unsigned limit;
    char next[24] = "";
    json_t *list;

    if (!admin_limit(request, &limit))
        return;
    if (cursor.len > 0 && (!slice_to_u64(cursor, &id) || id > TENANT_IDS_MAX)) {
        admin_problem(request, 400, "cursor is what the page before said under \"next\"");
        return;
    }
    list = json_array();
    for (id++; id <= TENANT_IDS_MAX; id++) {
        const struct tenant *tenant = tenants_of_id(tenants, (uint16_t)id);
        if (tenant == NULL || !admin_may(request, TOKEN_READ, tenant))
            continue;
        if (json_array_size(list) == limit) {
            snprintf(next, sizeof(next), "%" JSON_INTEGER_FORMAT,
                     json_integer_value(json_object_get(json_array_get(list, limit - 1), "id")));
            break;
        }
        json_array_append_new(list, tenant_json(request->context, tenant));
    }
    admin_answer_json(request, 200, json_pack("{s:o, s:s}", "tenants", list, "next", next));
}

void admin_tenant_get(struct admin_request *request)
{
    const struct tenant *tenant = admin_tenant(request, TOKEN_READ, request->captures[0]);
    json_t *json;

    if (tenant == NULL)
        return;
    json = tenant_json(request->context, tenant);
    json_object_set_new(json, "source", json_string(source_of(request->context, tenant->name)));
    if (admin_may(request, TOKEN_CONFIGURE, tenant)) { /* fields that are sent to origins may be secrets */
        json_t *config = config_json(request->context, tenant);
        if (config != NULL)
            json_object_set_new(json, "config", config);
    }
    etag_write(request, tenant, request->etag);
    json_object_set_new(json, "etag", json_string(request->etag));
    admin_answer_json(request, 200, json);
}

/* ---- changes --------------------------------------------------------------------------------------------------------- */

/* RFC 9110 13: what the client thinks that it changes. False: answered already, 412. */
static bool precondition_holds(struct admin_request *request, slice name)
{
    const struct fields *fields = &request->request.fields;
    const struct tenant *tenant = tenants_named(request->context->tenants, name);
    bool is_there = tenant != NULL;
    char text[ADMIN_FIELD_BYTES] = "";
    struct etag tag = {0};

    if (is_there) {
        etag_write(request, tenant, text);
        if (!etag_parse(slice_str(text), &tag))
            return false;
    }
    if (fields_has(fields, F_IF_MATCH) && (!is_there || !etag_list_matches(fields, F_IF_MATCH, tag, true))) {
        admin_problem(request, 412, is_there ? "the tenant was changed meanwhile: read it again" : "the tenant has gone meanwhile");
        return false;
    }
    if (fields_has(fields, F_IF_NONE_MATCH) && is_there && etag_list_matches(fields, F_IF_NONE_MATCH, tag, false)) {
        admin_problem(request, 412, "there is such a tenant already");
        return false;
    }
    return true;
}

/* May who asks change that name? False: answered already. Whoever may not see it does not learn whether it is there. */
static bool may_change(struct admin_request *request, slice name)
{
    if (admin_may_name(request, TOKEN_CONFIGURE, name))
        return true;
    if (admin_sees(request, name))
        return admin_allows(request, TOKEN_CONFIGURE, tenants_named(request->context->tenants, name));
    admin_problem(request, 404, "there is no such tenant");
    return false;
}

static void tenant_answer(struct admin_request *request, const struct control_change *change);

/* The precondition is compared with what is in force now; that nothing else comes into force before the change does is the
 * expected version's to see to. */
static void tenant_change(struct admin_request *request)
{
    const struct control_ops *control = request->context->control;
    slice name = request->captures[0], dry_run = admin_param(request, SLICE("dry_run"));
    bool is_put = request->route->method == METHOD_PUT, is_conditional;
    struct admin_wish wish = {.kind = !is_put                                ? CONTROL_TENANT_DELETE
                                      : slice_eq(dry_run, SLICE("true")) ? CONTROL_CHECK
                                                                             : CONTROL_TENANT_PUT,
                              .tenant = name,
                              .text = slice_of(request->body != NULL ? request->body : "", request->body_len),
                              .answer = tenant_answer};

    if (!precondition_holds(request, name))
        return;
    is_conditional = fields_has(&request->request.fields, F_IF_MATCH) || fields_has(&request->request.fields, F_IF_NONE_MATCH);
    if (is_conditional) {
        wish.expected_version = control->in_force(request->context->control_arg);
        if (wish.expected_version == 0 && request->context->changes_under_way > 0) { /* there is no version yet to hold it to */
            admin_problem(request, 409, "another change is under way: try again");
            return;
        }
    }
    request->is_new = tenants_named(request->context->tenants, name) == NULL;
    request->expected_version = wish.expected_version;
    admin_change(request, &wish);
}

static void tenant_answer(struct admin_request *request, const struct control_change *change)
{
    const struct tenant *tenant = tenants_named(request->context->tenants, request->captures[0]);
    bool is_overtaken = change->result == CONTROL_CONFLICT && request->expected_version > 0 && change->in_force != request->expected_version;

    if (is_overtaken && ++request->tries < TRIES_MAX) { /* by a change of something else, unless the precondition says so */
        tenant_change(request);
        return;
    }
    if (change->kind == CONTROL_TENANT_PUT && tenant != NULL)
        etag_write(request, tenant, request->etag);
    admin_changed(request, change, change->kind == CONTROL_TENANT_PUT && request->is_new ? 201 : 200);
}

void admin_tenant_put(struct admin_request *request)
{
    slice dry_run = admin_param(request, SLICE("dry_run"));

    if (!may_change(request, request->captures[0]) || !admin_has_control(request))
        return;
    if (!admin_owner_may_change_now(request, request->captures[0]))
        return;
    if (dry_run.data != NULL && !slice_eq(dry_run, SLICE("true")) && !slice_eq(dry_run, SLICE("false")))
        admin_problem(request, 400, "dry_run is true or false");
    else if (!admin_is_name(request->captures[0]))
        admin_problem(request, 400, "a tenant's name is 1 to 64 letters, digits, -, _ or ., beginning with a letter or digit");
    else if (request->body_len == 0)
        admin_problem(request, 400, "the body is the tenant's configuration, as YAML or JSON");
    else
        tenant_change(request);
}

/* In force, or made by the API and left out of what is. */
MUST_USE static bool tenant_is_known(struct admin_request *request, slice name)
{
    char *text = NULL;
    size_t len;
    bool is_known = tenants_named(request->context->tenants, name) != NULL ||
                    err_is_ok(request->context->control->tenant_text(request->context->control_arg, name, &text, &len));

    free(text);
    return is_known;
}

void admin_tenant_delete(struct admin_request *request)
{
    if (!may_change(request, request->captures[0]) || !admin_has_control(request) ||
        !admin_owner_may_change_now(request, request->captures[0]))
        return;
    if (!tenant_is_known(request, request->captures[0]))
        admin_problem(request, 404, "there is no such tenant");
    else
        tenant_change(request);
}
