/* pass: straight through to the origin and back, both directions at once; nothing is stored. */
#include "cache/forward.h"
#include "http/date.h"
#include "tenant/edit.h"
#include "txn/txn_internal.h"

/* ---- the request ---------------------------------------------------------------------------------------------- */

static bool pass_is_upgrade(const struct txn *txn)
{
    return txn->request.upgrade_websocket && txn->context->websocket;
}

static err pass_build_fields(struct txn *txn)
{
    txn->pass.fields = arena_zalloc(&txn->arena, sizeof(*txn->pass.fields));
    ENSURE(txn->pass.fields != NULL, MEMORY);
    return txn_forward_fields(txn, false, txn->pass.fields);
}

/* ---- the answer ------------------------------------------------------------------------------------------------ */

static err pass_answer_fields(struct txn *txn, const struct response *response, struct fields *ret_fields)
{
    fields_init(ret_fields, &txn->arena);
    TRY(fields_reserve(ret_fields, response->fields.count + 4u, response->fields.text_len + 256));
    TRY(forward_response(response, ret_fields));
    if (txn->policy->set_cookie == CONF_SET_COOKIE_DROP)
        TRY(edit_drop(&txn->arena, F_SET_COOKIE, ret_fields));
    TRY(edit_response_fields(txn->policy, &txn->arena, ret_fields));
    if (response->status != 101 && !fields_has(&response->fields, F_DATE)) {
        char date[DATE_BYTES];
        date_format(loop_wall_ms(txn->context->loop) / 1000, date);
        TRY(fields_add(ret_fields, F_DATE, slice_of(date, DATE_BYTES)));
    }
    return txn_add_status(txn, ret_fields);
}

static int64_t pass_length(const struct response *response, const struct source *body)
{
    if (response->body == BODY_LENGTH || response->has_length)
        return (int64_t)response->length_bytes;
    return body == NULL && response->body == BODY_NONE ? -1 : response->body == BODY_NONE ? 0 : -1;
}

static bool is_event_stream(const struct response *response)
{
    slice type = fields_get(&response->fields, F_CONTENT_TYPE);
    return type.data != NULL && type.len >= 17 && slice_eq_nocase((slice){type.data, 17}, SLICE("text/event-stream"));
}

static enum step_result pass_answer(struct txn *txn, struct response *response, struct origin_fetch *fetch)
{
    struct source *body = origin_fetch_body(fetch);
    struct fields fields;
    struct reply reply = {.status = response->status, .added = &fields};
    bool bodiless = txn->is_head || response->status == 204 || response->status == 304;

    txn->facts.fwd_status = response->status;
    if (!err_is_ok(pass_answer_fields(txn, response, &fields)))
        return txn_synth(txn, 502, "answer-too-large", "The origin's answer has too many fields.");
    txn_invalidate(txn, response);
    reply.no_body = bodiless;
    reply.length_bytes = bodiless || body != NULL ? pass_length(response, body) : 0;
    if (response->status == 101)
        reply.length_bytes = -1;
    txn->stream->leave_on_fin = is_event_stream(response);
    txn_reply(txn, &reply, body);
    if (response->status == 101)
        origin_fetch_tunnel(fetch, txn->stream->body);
    return STEP_WAIT;
}

/* A 1xx answer goes on without what concerns the origin's connection only. */
void txn_interim(struct txn *txn, const struct response *response)
{
    struct fields fields;

    fields_init(&fields, &txn->arena);
    if (err_is_ok(forward_response(response, &fields)))
        stream_interim(txn->stream, response->status, &fields);
}

/* ---- events --------------------------------------------------------------------------------------------------------- */

static void pass_interim(void *user, struct response *response)
{
    txn_interim(user, response);
}

static void pass_head(void *user, struct response *response)
{
    struct txn *txn = user;

    txn->origin_ns = loop_now_ns(txn->context->loop) - origin_fetch_begun_ns(txn->pass.fetch);
    txn->pass.response = response;
    txn_resume(txn, WAIT_ORIGIN);
}

static void pass_failed(void *user, enum client_failure failure, const char *detail)
{
    struct txn *txn = user;

    (void)detail;
    txn->is_passing = false;
    txn->waiting_on = WAIT_NONE;
    txn_synth_failure(txn, failure);
    txn->waiting_on = WAIT_ORIGIN;
    txn_resume(txn, WAIT_ORIGIN);
}

static const struct origin_events pass_events = {pass_interim, pass_head, pass_failed};

static enum step_result pass_begin(struct txn *txn)
{
    struct origin_request request = {
        .request = {.method = txn->request.method,
                    .method_name = txn->request.method_name,
                    .target = txn->request.target,
                    .body = txn->stream->body,
                    .body_bytes = txn->request.body == BODY_LENGTH ? (int64_t)txn->request.length_bytes : -1,
                    .upgrade = pass_is_upgrade(txn),
                    .arena = &txn->arena},
        .group = txn->policy->tenant->origins,
        .events = &pass_events,
        .user = txn,
    };

    memset(&txn->pass, 0, sizeof(txn->pass));
    if (!err_is_ok(pass_build_fields(txn)))
        return txn_synth(txn, 503, "no-memory", "The server is short of memory.");
    request.request.fields = txn->pass.fields;
    txn->pass.fetch = origin_fetch_start(txn->context->origins, &request);
    if (txn->pass.fetch == NULL)
        return txn_synth_failure(txn, CLIENT_FAILURE_NO_MEMORY);
    txn->is_passing = true;
    return txn_wait(txn, WAIT_ORIGIN);
}

enum step_result txn_step_pass(struct txn *txn)
{
    if (!txn->is_passing)
        return pass_begin(txn);
    return pass_answer(txn, txn->pass.response, txn->pass.fetch);
}

/* The client's conditions and Range were left out of the fill's request: an answer that nobody stored is given
 * whole, which every client must understand (RFC 9110 13.2.2, 14.2). */
enum step_result txn_pass_handed(struct txn *txn, struct fill_handed *handed)
{
    memset(&txn->pass, 0, sizeof(txn->pass));
    txn->pass.handed = handed;
    txn->pass.fetch = handed->fetch;
    txn->is_passing = true;
    origin_fetch_hand_over(handed->fetch, &pass_events, txn);
    txn->step = STEP_PASS;
    return pass_answer(txn, &handed->response, handed->fetch);
}
