/* Who asks, and what they may. */
#include "admin/admin_internal.h"

#include "base/hash.h"
#include "cache/forward.h"
#include "http/bearer.h"
#include "net/digest.h"
#include "tenant/limits.h"

#include <stdio.h>

#define FAILURES_PER_MINUTE 10u
#define NS_PER_S            UINT64_C(1000000000)
#define CHANGES_PER_MINUTE  10u
#define CHANGES_AT_ONCE     60u
#define WHOSE_FAILURES      UINT64_C(0x61646d696e) /* of no tenant's limits */
#define WHOSE_CHANGES       UINT64_C(0x6368616e67)

static const struct conf_rate failure_rate = {.requests = FAILURES_PER_MINUTE, .per_s = 60},
                              change_rate = {.requests = CHANGES_PER_MINUTE, .per_s = 60};

static void refusal_count(struct admin_context *context, enum admin_refusal refusal)
{
    atomic_fetch_add_explicit(&context->refused[refusal], 1, memory_order_relaxed);
}

static void refuse(struct admin_request *request, enum admin_refusal refusal, uint16_t status, const char *detail)
{
    refusal_count(request->context, refusal);
    admin_problem(request, status, detail);
}

static uint32_t seconds_of(uint64_t wait_ns)
{
    return (uint32_t)((wait_ns + NS_PER_S - 1) / NS_PER_S);
}

/* ---- wrong tokens, by address: of all listeners together. Any thread -------------------------------------------------- */

/* Where there were too many the next one is not even looked at. */
static bool is_throttled(struct admin_context *context, const uint8_t address[16], uint64_t now_ns, uint32_t *ret_retry_after_s)
{
    const struct limit limit = limit_of(&failure_rate, FAILURES_PER_MINUTE);
    uint64_t wait_ns = 0;

    if (client_buckets_look(context->failures, WHOSE_FAILURES, address, &limit, now_ns, &wait_ns))
        return false;
    refusal_count(context, ADMIN_REFUSED_THROTTLED);
    *ret_retry_after_s = seconds_of(wait_ns);
    return true;
}

static void failure_count(struct admin_context *context, const uint8_t address[16], uint64_t now_ns)
{
    const struct limit limit = limit_of(&failure_rate, FAILURES_PER_MINUTE);
    uint64_t wait_ns = 0;

    refusal_count(context, ADMIN_REFUSED_WRONG_TOKEN);
    if (!client_buckets_take(context->failures, WHOSE_FAILURES, address, &limit, now_ns, &wait_ns))
        INVARIANT(wait_ns > 0); /* another thread took the last one since it was looked at */
}

/* ---- who ---------------------------------------------------------------------------------------------------------- */

static bool token_find(const struct admin_context *context, slice bearer, struct token *ret_token)
{
    uint8_t hash[DIGEST_SHA256_BYTES];

    return bearer.data != NULL && digest_sha256(bearer, hash) && tokens_find(context->tokens, hash, os_wall_ms(), ret_token);
}

/* 403 says no more than that it was not enough: who guesses here learns nothing of what a token may. */
static uint16_t purge_forbidden(struct admin_context *context, enum admin_refusal refusal)
{
    refusal_count(context, refusal);
    return 403;
}

uint16_t admin_purge_refused(struct admin_context *context, slice bearer, const struct tenant_client *client,
                             const struct tenant *tenant, char ret_who[PURGE_WHO_BYTES + 1], uint32_t *ret_retry_after_s)
{
    struct token token;

    snprintf(ret_who, PURGE_WHO_BYTES + 1, "admin");
    if (bearer.data == NULL)
        return purge_forbidden(context, ADMIN_REFUSED_NO_TOKEN);
    if (!client->is_local && is_throttled(context, client->address, client->now_ns, ret_retry_after_s))
        return 429;
    if (bearer_is(bearer, slice_str(context->token)))
        return 0;
    if (token_find(context, bearer, &token)) {
        snprintf(ret_who, PURGE_WHO_BYTES + 1, "token %s", token.name);
        return token_allows(&token, TOKEN_PURGE, tenant->name) ? 0 : purge_forbidden(context, ADMIN_REFUSED_FORBIDDEN);
    }
    if (client->is_local)
        return purge_forbidden(context, ADMIN_REFUSED_WRONG_TOKEN);
    failure_count(context, client->address, client->now_ns);
    return 403;
}

static bool bearer_find(struct admin_request *request)
{
    struct admin_context *context = request->context;
    struct token *token = arena_alloc(&request->arena, sizeof(*token));
    slice bearer = bearer_of(&request->request.fields);

    if (bearer_is(bearer, slice_str(context->token))) {
        request->identity = ADMIN_EVERYTHING;
        request->who = SLICE("admin");
        return true;
    }
    if (token == NULL || !token_find(context, bearer, token))
        return false;
    request->identity = ADMIN_BEARER;
    request->token = token;
    request->who = arena_printf(&request->arena, "token %s", token->name);
    admin_tokens_turn(context);
    return true;
}

static bool bearer_check(struct admin_request *request)
{
    struct admin_context *context = request->context;
    const uint8_t *address = request->stream->net->peer.ip;
    uint64_t now_ns = loop_now_ns(context->loop);

    if (is_throttled(context, address, now_ns, &request->retry_after_s)) {
        admin_problem(request, 429, "too many wrong tokens from this address: wait as long as Retry-After says");
        return false;
    }
    if (bearer_find(request))
        return true;
    failure_count(context, address, now_ns);
    admin_problem(request, 401, "this is no token of this WARP, or it has expired");
    return false;
}

/* Needs nobody a token there? */
static bool is_open(const struct admin_request *request)
{
    const struct admin_context *context = request->context;

    switch (request->route->access) {
    case ADMIN_OPEN:
        return true;
    case ADMIN_NUMBERS:
        return !tenants_settings(context->tenants)->config.metrics_auth;
    case ADMIN_LOCAL:
    case ADMIN_SECRET:
    case ADMIN_ANY:
        break;
    }
    return false;
}

/* RFC 8586: what this node sent as a proxy is some client's, not the operator's. A name may have led it here. */
bool admin_is_no_loop(struct admin_request *request)
{
    if (forward_loop_check(&request->request.fields, request->context->node) != FORWARD_LOOP_OWN_NODE)
        return true;
    refuse(request, ADMIN_REFUSED_LOOP, 508, "this WARP itself sent the request: an origin of a tenant leads to the admin listener");
    return false;
}

bool admin_identify(struct admin_request *request)
{
    const struct admin_context *context = request->context;

    if (request->stream->net->peer.family == AF_UNIX) { /* the file's permissions say who may */
        request->identity = ADMIN_EVERYTHING;
        request->who = SLICE("socket");
        return true;
    }
    if (is_open(request))
        return true;
    if (request->route->access == ADMIN_LOCAL && context->is_loopback && tenants_is_default_only(context->tenants)) {
        request->identity = ADMIN_LOOPBACK;
        return true;
    }
    if (fields_has(&request->request.fields, F_AUTHORIZATION))
        return bearer_check(request);
    refuse(request, ADMIN_REFUSED_NO_TOKEN, 401, "a bearer token is needed: Authorization: Bearer TOKEN");
    return false;
}

/* ---- what --------------------------------------------------------------------------------------------------------- */

bool admin_may_name(const struct admin_request *request, enum token_right right, slice tenant)
{
    switch ((enum admin_identity)request->identity) {
    case ADMIN_EVERYTHING:
        return true;
    case ADMIN_LOOPBACK:
        return right == TOKEN_READ;
    case ADMIN_BEARER:
        return token_allows(request->token, right, tenant);
    case ADMIN_NOBODY:
        break;
    }
    return false;
}

bool admin_may(const struct admin_request *request, enum token_right right, const struct tenant *tenant)
{
    return admin_may_name(request, right, tenant != NULL ? tenant->name : SLICE(""));
}

bool admin_sees(const struct admin_request *request, slice tenant)
{
    for (unsigned right = 0; right < TOKEN_RIGHT_COUNT; right++)
        if (admin_may_name(request, (enum token_right)right, tenant))
            return true;
    return false;
}

slice admin_only_tenant(const struct admin_request *request)
{
    return request->identity == ADMIN_BEARER && request->token->tenant_count == 1 ? slice_str(request->token->tenants[0]) : SLICE_NONE;
}

bool admin_has_right(struct admin_request *request, enum token_right right)
{
    char detail[128];

    if (request->identity != ADMIN_BEARER || (request->token->rights & (1u << right | 1u << TOKEN_ADMIN)) != 0)
        return true;
    snprintf(detail, sizeof(detail), "the token has not the right to %s", token_right_word(right));
    refuse(request, ADMIN_REFUSED_FORBIDDEN, 403, detail);
    return false;
}

bool admin_allows(struct admin_request *request, enum token_right right, const struct tenant *tenant)
{
    char detail[128];

    if (admin_may(request, right, tenant))
        return true;
    if (request->identity == ADMIN_NOBODY) { /* of a path that wants none */
        refuse(request, ADMIN_REFUSED_NO_TOKEN, 401, "a bearer token is needed: Authorization: Bearer TOKEN");
        return false;
    }
    snprintf(detail, sizeof(detail), "the token has not the right to %s%s", token_right_word(right),
             tenant == NULL ? " for all tenants" : " for this tenant");
    refuse(request, ADMIN_REFUSED_FORBIDDEN, 403, detail);
    return false;
}

bool admin_is_owner(const struct admin_request *request)
{
    return request->identity == ADMIN_BEARER && request->token->tenant_count > 0;
}

bool admin_owner_may_change_now(struct admin_request *request, slice tenant)
{
    const struct limit limit = limit_of(&change_rate, CHANGES_AT_ONCE);
    uint64_t name = hash64(tenant, 0), wait_ns = 0;
    uint8_t whom[16] = {0}; /* in the table of addresses, a /64 of a limit of its own */

    if (!admin_is_owner(request))
        return true;
    memcpy(whom, &name, sizeof(name));
    if (client_buckets_take(request->context->failures, WHOSE_CHANGES, whom, &limit, loop_now_ns(request->context->loop), &wait_ns))
        return true;
    request->retry_after_s = seconds_of(wait_ns);
    refuse(request, ADMIN_REFUSED_CHANGES, 429, "too many changes of this tenant: wait as long as Retry-After says");
    return false;
}

const struct tenant *admin_tenant(struct admin_request *request, enum token_right right, slice name)
{
    const struct tenant *tenant = tenants_named(request->context->tenants, name);

    if (tenant == NULL || !admin_sees(request, name)) {
        admin_problem(request, 404, "there is no such tenant");
        return NULL;
    }
    return admin_allows(request, right, tenant) ? tenant : NULL;
}
