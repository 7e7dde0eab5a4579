/* Requests to the admin listener: from the head to the handler of their route. */
#include "admin/admin_internal.h"

#include "tenant/limits.h"

#include <stdlib.h>

#define BODY_BYTES_FIRST 4096u
#define API_PREFIX       SLICE("/api/")

/* ---- small handlers ------------------------------------------------------------------------------------------------- */

void admin_healthz(struct admin_request *request)
{
    bool alive = request->context->readiness != ADMIN_STARTING;
    admin_answer_json(request, alive ? 200 : 503, json_pack("{s:s}", "status", alive ? "ok" : "starting"));
}

void admin_readyz(struct admin_request *request)
{
    static const char *const words[] = {"starting", "ready", "draining"};
    int readiness = request->context->readiness;
    json_t *notes = json_array();

    for (unsigned i = 0; i < request->context->note_count; i++)
        json_array_append_new(notes, json_string(request->context->notes[i]));
    for (unsigned i = 0; request->context->disk != NULL && disk_note(request->context->disk, i) != NULL; i++)
        json_array_append_new(notes, json_string(disk_note(request->context->disk, i)));
    if (request->context->tokens_are_damaged)
        json_array_append_new(notes, json_string("tokens.json in the state directory is damaged: there are no tokens but the admin's"));
    for (unsigned i = 0; request->context->control != NULL; i++) {
        const char *reason = request->context->control->reason(request->context->control_arg, i);
        if (reason == NULL)
            break;
        json_array_append_new(notes, admin_text(slice_str(reason)));
    }
    admin_answer_json(request, readiness == ADMIN_READY ? 200 : 503,
                      json_pack("{s:s, s:o}", "status", words[readiness], "reasons", notes));
}

void admin_version(struct admin_request *request)
{
    admin_answer_json(request, 200,
                      json_pack("{s:s, s:s, s:s}", "name", "warp", "version", request->context->version, "io",
                                os_backend_name(loop_os(request->context->loop))));
}

void admin_metrics(struct admin_request *request)
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

/* ---- start, end ------------------------------------------------------------------------------------------------------ */

err admin_open(struct admin_context *context)
{
    list_init(&context->token_changes);
    TRY(client_buckets_new(&context->failures));
    TRY(tokens_new(&context->tokens));
    admin_purge_open(context);
    return ERR_OK;
}

err admin_start(struct admin_context *context)
{
    return admin_tokens_read(context);
}

void admin_close(struct admin_context *context)
{
    if (context->tokens != NULL) {
        admin_purge_close(context);
        admin_tokens_close(context);
    }
    context->failures = client_buckets_unref(context->failures);
    context->tokens = tokens_free(context->tokens);
}

/* ---- to the handler -------------------------------------------------------------------------------------------------- */

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

/* Who asks is known before the body is read: nobody else's is. False: answered already. */
static bool admin_route(struct admin_request *request)
{
    if (!admin_is_no_loop(request))
        return false;
    if (!host_is_ours(request)) {
        admin_problem(request, 421, "the Host must be localhost or an IP address");
        return false;
    }
    request->route = admin_route_find(request->path, request->request.method, request->captures, request->allow);
    if (request->route == NULL && request->allow[0] == '\0') {
        admin_problem(request, 404, "there is nothing at this path");
        return false;
    }
    if (request->route == NULL) {
        admin_problemf(request, 405, "%s: what this path knows", request->allow);
        return false;
    }
    request->allow[0] = '\0';
    if (!admin_identify(request))
        return false;
    if (request->identity == ADMIN_NOBODY || request->route->access == ADMIN_ANY)
        return true; /* who needs no token, or any */
    return request->route->scope == ADMIN_FOR_SOME ? admin_has_right(request, request->route->right)
                                                   : admin_allows(request, request->route->right, NULL);
}

static void admin_dispatch(struct admin_request *request)
{
    for (unsigned i = 0; i < ADMIN_CAPTURES_MAX; i++) {
        if (request->captures[i].data == NULL)
            continue;
        request->captures[i] = admin_decode(request, request->captures[i], false);
        if (request->captures[i].data == NULL || memchr(request->captures[i].data, '\0', request->captures[i].len) != NULL) {
            admin_problem(request, 400, "a part of the path is no name");
            return;
        }
    }
    if (!slice_starts(request->path, API_PREFIX) || admin_params_are_known(request))
        request->route->handle(request);
}

/* ---- the body -------------------------------------------------------------------------------------------------------- */

/* False: answered already. */
static bool body_add(struct admin_request *request, slice bytes)
{
    size_t max = request->route->handle == admin_tenant_put ? ADMIN_TENANT_BYTES_MAX : ADMIN_BODY_BYTES_MAX;

    if (bytes.len > max - request->body_len) {
        admin_problemf(request, 413, "the body is larger than %zu KiB", max / 1024);
        return false;
    }
    if (request->body_len + bytes.len >= request->body_room) {
        size_t room = MAX(MAX(2 * request->body_room, BODY_BYTES_FIRST), request->body_len + bytes.len + 1);
        char *grown = realloc(request->body, room);
        if (grown == NULL) {
            admin_problem(request, 503, "no memory");
            return false;
        }
        request->body = grown;
        request->body_room = room;
    }
    memcpy(request->body + request->body_len, bytes.data, bytes.len);
    request->body_len += bytes.len;
    request->body[request->body_len] = '\0';
    return true;
}

static void body_ready(void *reader)
{
    struct admin_request *request = reader;
    slice shown;
    unsigned count;

    while (!request->answered) {
        switch (source_peek(request->stream->body, &shown, 1, &count)) {
        case SOURCE_READY:
            if (!body_add(request, shown))
                return;
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

static void admin_begin_request(void *user, struct request *head)
{
    struct admin_request *request = user;
    ptrdiff_t question = slice_find(head->target, '?');

    request->request = *head;
    request->path = question >= 0 ? (slice){head->target.data, (size_t)question} : head->target;
    request->query = question >= 0 ? slice_from(head->target, (size_t)question + 1) : SLICE_NONE;
    if (!admin_route(request))
        return;
    if (request->stream->body == NULL) {
        admin_dispatch(request);
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
    admin_change_abandon(request);
    admin_tokens_abandon(request);
    free(request->body);
    free(request->answer);
    arena_done(&request->arena);
    free(request);
}

const struct server_events admin_events = {admin_begin, admin_begin_request, admin_refused, admin_ended};
