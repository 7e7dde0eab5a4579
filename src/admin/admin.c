/* Requests to the admin listener: who may ask, routes, answers. */
#include "admin/admin_internal.h"

#include "http/bearer.h"
#include "http/date.h"
#include "http/token.h"
#include "http/uri.h"

#include <stdlib.h>

#define TYPE_JSON  SLICE("application/json")
#define JSON_STYLE (JSON_INDENT(1) | JSON_PRESERVE_ORDER)

/* ---- answers -------------------------------------------------------------------------------------------------- */

void admin_answer_owned(struct admin_request *request, uint16_t status, slice type, char *text, size_t len)
{
    char date[DATE_BYTES];
    struct fields fields;
    struct reply reply = {.status = status, .added = &fields, .length_bytes = (int64_t)len};

    INVARIANT(!request->answered);
    request->answered = true;
    request->answer = text;
    fields_init(&fields, &request->arena);
    date_format(loop_wall_ms(request->context->loop) / 1000, date);
    if (text == NULL || !err_is_ok(fields_add(&fields, F_DATE, slice_of(date, DATE_BYTES))) ||
        !err_is_ok(fields_add(&fields, F_CONTENT_TYPE, type)) ||
        !err_is_ok(fields_add(&fields, F_CACHE_CONTROL, SLICE("no-store"))) ||
        !err_is_ok(fields_add_named(&fields, SLICE("X-Content-Type-Options"), F_OTHER, SLICE("nosniff"))) ||
        (status == 401 && !err_is_ok(fields_add_named(&fields, SLICE("WWW-Authenticate"), F_OTHER, SLICE("Bearer realm=\"warp\""))))) {
        stream_abort(request->stream);
        return;
    }
    source_memory_init(&request->source, slice_of(text, len));
    reply.no_body = request->request.method == METHOD_HEAD;
    stream_respond(request->stream, &reply, reply.no_body ? NULL : &request->source.source);
}

void admin_answer(struct admin_request *request, uint16_t status, slice type, slice text)
{
    char *copy = malloc(text.len + 1);

    if (copy != NULL)
        memcpy(copy, text.data, text.len);
    admin_answer_owned(request, status, type, copy, text.len);
}

void admin_answer_json(struct admin_request *request, uint16_t status, json_t *root)
{
    size_t size = root != NULL ? json_dumpb(root, NULL, 0, JSON_STYLE) : 0;
    char *text = size > 0 ? malloc(size + 1) : NULL;

    if (text != NULL && json_dumpb(root, text, size, JSON_STYLE) == size)
        text[size++] = '\n';
    json_decref(root);
    admin_answer_owned(request, status, status >= 400 ? SLICE("application/problem+json") : TYPE_JSON, text, size);
}

void admin_problem(struct admin_request *request, uint16_t status, const char *detail)
{
    admin_answer_json(request, status,
                      json_pack("{s:s, s:i, s:s}", "type", "about:blank", "status", (int)status, "detail", detail));
}

bool admin_wants(const struct admin_request *request, slice type)
{
    const struct fields *fields = &request->request.fields;

    for (int i = -1; (i = fields_next(fields, F_ACCEPT, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i), item;
        while (list_next(&rest, &item))
            if (slice_starts(item, type))
                return true;
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static slice query_decode(struct admin_request *request, slice raw)
{
    char *out = arena_alloc(&request->arena, raw.len + 1);
    size_t n = 0;

    if (out == NULL)
        return SLICE_NONE;
    for (size_t i = 0; i < raw.len; i++) {
        int high = i + 2 < raw.len && raw.data[i] == '%' ? hex_digit(raw.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(raw.data[i + 2]) : -1;

        if (low >= 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = raw.data[i] == '+' ? ' ' : raw.data[i];
        }
    }
    return slice_of(out, n);
}

slice admin_param(struct admin_request *request, slice name)
{
    slice rest = request->query;

    while (rest.len > 0) {
        ptrdiff_t end = slice_find(rest, '&');
        slice item = end >= 0 ? (slice){rest.data, (size_t)end} : rest;
        ptrdiff_t equals = slice_find(item, '=');

        if (equals >= 0 && slice_eq((slice){item.data, (size_t)equals}, name))
            return query_decode(request, slice_from(item, (size_t)equals + 1));
        rest = end >= 0 ? slice_from(rest, (size_t)end + 1) : SLICE_NONE;
    }
    return SLICE_NONE;
}

/* ---- small handlers ------------------------------------------------------------------------------------------------- */

static void admin_healthz(struct admin_request *request)
{
    bool alive = request->context->readiness != ADMIN_STARTING;
    admin_answer_json(request, alive ? 200 : 503, json_pack("{s:s}", "status", alive ? "ok" : "starting"));
}

static void admin_readyz(struct admin_request *request)
{
    static const char *const words[] = {"starting", "ready", "draining"};
    int readiness = request->context->readiness;
    json_t *notes = json_array();

    for (unsigned i = 0; i < request->context->note_count; i++)
        json_array_append_new(notes, json_string(request->context->notes[i]));
    for (unsigned i = 0; request->context->disk != NULL && disk_note(request->context->disk, i) != NULL; i++)
        json_array_append_new(notes, json_string(disk_note(request->context->disk, i)));
    admin_answer_json(request, readiness == ADMIN_READY ? 200 : 503,
                      json_pack("{s:s, s:o}", "status", words[readiness], "reasons", notes));
}

static void admin_version(struct admin_request *request)
{
    admin_answer_json(request, 200,
                      json_pack("{s:s, s:s, s:s}", "name", "warp", "version", request->context->version, "io",
                                os_backend_name(loop_os(request->context->loop))));
}

static void admin_metrics(struct admin_request *request)
{
    bool open = admin_wants(request, SLICE("application/openmetrics-text"));
    char *text;
    size_t len;

    if (!err_is_ok(metrics_text(request->context->metrics, open ? METRICS_OPENMETRICS : METRICS_PROMETHEUS, &text, &len))) {
        admin_problem(request, 503, "no memory for the metrics");
        return;
    }
    admin_answer_owned(request, 200, open ? SLICE(METRICS_TYPE_OPENMETRICS) : SLICE(METRICS_TYPE_PROMETHEUS), text, len);
}

/* ---- who may ask ----------------------------------------------------------------------------------------------------- */

static const struct admin_route routes[] = {
    {"/", METHOD_GET, ADMIN_OPEN, admin_dashboard},
    {"/healthz", METHOD_GET, ADMIN_OPEN, admin_healthz},
    {"/readyz", METHOD_GET, ADMIN_OPEN, admin_readyz},
    {"/version", METHOD_GET, ADMIN_OPEN, admin_version},
    {"/metrics", METHOD_GET, ADMIN_OPEN, admin_metrics},
    {"/stats", METHOD_GET, ADMIN_LOCAL, admin_stats},
    {"/cache", METHOD_GET, ADMIN_LOCAL, admin_cache},
    {"/api/v1/purge", METHOD_POST, ADMIN_SECRET, admin_purge},
    {"/api/v1/purges", METHOD_GET, ADMIN_SECRET, admin_purges},
};

/* A page on the Internet must not reach us through a name it controls (DNS rebinding). */
static bool host_is_ours(const struct admin_request *request)
{
    slice host = request->request.authority;
    struct os_address address;
    ptrdiff_t colon;

    if (request->stream->net->peer.family == AF_UNIX || host.len == 0)
        return true;
    if (host.data[0] == '[')
        return true; /* only an IPv6 literal gets past the parser */
    colon = slice_find(host, ':');
    if (colon >= 0)
        host.len = (size_t)colon;
    return slice_eq(host, SLICE("localhost")) || err_is_ok(os_address_from_ip(host, 1, &address));
}

static bool is_allowed(const struct admin_request *request, enum admin_access access)
{
    if (access == ADMIN_OPEN || request->stream->net->peer.family == AF_UNIX)
        return true;
    if (access == ADMIN_LOCAL && request->context->is_loopback)
        return true;
    return bearer_matches(&request->request.fields, slice_str(request->context->token));
}

bool admin_may(const struct admin_request *request, enum token_right right, const struct tenant *tenant)
{
    (void)right;
    (void)tenant;
    return is_allowed(request, ADMIN_SECRET);
}

bool admin_allows(struct admin_request *request, enum token_right right, const struct tenant *tenant)
{
    (void)right;
    (void)tenant;
    if (is_allowed(request, ADMIN_SECRET)) {
        request->who = request->stream->net->peer.family == AF_UNIX ? SLICE("socket") : SLICE("admin");
        return true;
    }
    admin_problem(request, 401, "a bearer token is needed: Authorization: Bearer <admin token>");
    return false;
}

const struct tenant *admin_tenant(struct admin_request *request, enum token_right right, slice name)
{
    const struct tenant *tenant = tenants_named(request->context->tenants, name);

    if (!admin_allows(request, right, tenant))
        return NULL;
    if (tenant == NULL)
        admin_problem(request, 404, "there is no such tenant");
    return tenant;
}

static void admin_dispatch(struct admin_request *request)
{
    const struct admin_route *same_path = NULL;
    enum method method = request->request.method == METHOD_HEAD ? METHOD_GET : request->request.method;

    if (!host_is_ours(request)) {
        admin_problem(request, 421, "the Host must be localhost or an IP address");
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (!slice_eq(request->path, slice_str(routes[i].path)))
            continue;
        same_path = &routes[i];
        if (routes[i].method != method)
            continue;
        if (is_allowed(request, routes[i].access))
            routes[i].handle(request);
        else
            admin_problem(request, 401, "a bearer token is needed: Authorization: Bearer <admin token>");
        return;
    }
    if (same_path != NULL)
        admin_problem(request, 405, same_path->method == METHOD_POST ? "POST is the method here" : "GET is the method here");
    else
        admin_problem(request, 404, "there is nothing at this path");
}

/* ---- the stream's events ------------------------------------------------------------------------------------------------ */

static void *admin_begin(void *user, struct server_stream *stream, struct arena **ret_arena)
{
    struct admin_request *request = calloc(1, sizeof(*request));

    if (request == NULL)
        return NULL;
    request->context = user;
    request->stream = stream;
    arena_init(&request->arena, NULL, 0, 0);
    *ret_arena = &request->arena;
    return request;
}

static void body_ready(void *reader)
{
    struct admin_request *request = reader;
    slice shown;
    unsigned count;

    while (!request->answered) {
        switch (source_peek(request->stream->body, &shown, 1, &count)) {
        case SOURCE_READY:
            if (shown.len > ADMIN_BODY_BYTES_MAX - request->body_len) {
                admin_problem(request, 413, "the body is larger than 64 KiB");
                return;
            }
            memcpy(request->body + request->body_len, shown.data, shown.len);
            request->body_len += shown.len;
            source_consume(request->stream->body, shown.len);
            break;
        case SOURCE_WAIT:
            return;
        case SOURCE_END:
            admin_dispatch(request);
            return;
        case SOURCE_FAILED:
            stream_abort(request->stream);
            return;
        }
    }
}

static void admin_begin_request(void *user, struct request *head)
{
    struct admin_request *request = user;
    ptrdiff_t question = slice_find(head->target, '?');

    request->request = *head;
    request->path = question >= 0 ? (slice){head->target.data, (size_t)question} : head->target;
    request->query = question >= 0 ? slice_from(head->target, (size_t)question + 1) : SLICE_NONE;
    if (request->stream->body == NULL) {
        admin_dispatch(request);
        return;
    }
    request->body = malloc(ADMIN_BODY_BYTES_MAX);
    if (request->body == NULL) {
        stream_abort(request->stream);
        return;
    }
    source_set_reader(request->stream->body, body_ready, request);
    body_ready(request);
}

static void admin_refused(void *user, unsigned index, uint16_t status, const char *reason, const char *text)
{
    (void)index;
    (void)reason;
    admin_problem(user, status, text);
}

static void admin_ended(void *user, enum stream_end end)
{
    struct admin_request *request = user;

    (void)end;
    admin_purge_abandon(request);
    free(request->body);
    free(request->answer);
    arena_done(&request->arena);
    free(request);
}

const struct server_events admin_events = {admin_begin, admin_begin_request, admin_refused, admin_ended};
