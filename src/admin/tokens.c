/* /api/v1/tokens: made, listed, revoked; and their file, in which their texts are not. */
#include "admin/admin_internal.h"

#include "base/log.h"
#include "conf/config.h"
#include "net/digest.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_NAME     "tokens.json"
#define FILE_FORMAT   1
#define PREFIX        "warp_" /* so that scanners of source code know one */
#define SECRET_BYTES  24u
#define TEXT_BYTES    (sizeof(PREFIX) + 2 * SECRET_BYTES)
#define WRITE_MS      3600000 /* notes of use */
#define RETRY_NS      UINT64_C(1000000000)

/* ---- the file ------------------------------------------------------------------------------------------------------- */

static json_t *rights_json(const struct token *token)
{
    json_t *rights = json_array();

    for (unsigned right = 0; right < TOKEN_RIGHT_COUNT; right++)
        if (token->rights & 1u << right)
            json_array_append_new(rights, json_string(token_right_word((enum token_right)right)));
    return rights;
}

static json_t *token_json(const struct token *token)
{
    json_t *tenants = json_array();

    for (uint32_t i = 0; i < token->tenant_count; i++)
        json_array_append_new(tenants, json_string(token->tenants[i]));
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I}", "id", token->id, "name", token->name, "rights", rights_json(token),
                     "tenants", tenants, "created_ms", (json_int_t)token->created_ms, "expires_ms", (json_int_t)token->expires_ms,
                     "used_ms", (json_int_t)token->used_ms);
}

static bool hash_read(const char *hex, uint8_t hash[TOKEN_HASH_BYTES])
{
    if (hex == NULL || strlen(hex) != 2 * TOKEN_HASH_BYTES || strspn(hex, "0123456789abcdef") != 2 * TOKEN_HASH_BYTES)
        return false;
    for (unsigned i = 0; i < TOKEN_HASH_BYTES; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        hash[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return true;
}

static slice text_of(const json_t *value)
{
    return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value)) : SLICE_NONE;
}

/* A list of rights; 0: it is none. */
static uint8_t rights_read(const json_t *list)
{
    unsigned rights = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        enum token_right right = token_right_of(text_of(json_array_get(list, i)));
        if (right == TOKEN_RIGHT_COUNT || rights & 1u << right)
            return 0;
        rights |= 1u << right;
    }
    return (uint8_t)rights;
}

/* A list of names of tenants, or none at all. */
static bool tenants_read(const json_t *list, struct token *token)
{
    if (list != NULL && (!json_is_array(list) || json_array_size(list) > TOKEN_TENANTS_MAX))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        slice name = text_of(json_array_get(list, i));
        if (!admin_is_name(name))
            return false;
        memcpy(token->tenants[token->tenant_count++], name.data, name.len);
    }
    return true;
}

static bool token_read(const json_t *object, struct token *ret_token)
{
    struct token token = {.created_ms = json_integer_value(json_object_get(object, "created_ms")),
                          .expires_ms = json_integer_value(json_object_get(object, "expires_ms")),
                          .used_ms = json_integer_value(json_object_get(object, "used_ms"))};
    slice id = text_of(json_object_get(object, "id")), name = text_of(json_object_get(object, "name"));

    if (id.len != TOKEN_ID_BYTES - 1 || !admin_is_name(id) || !admin_is_name(name) ||
        !hash_read(json_string_value(json_object_get(object, "sha256")), token.hash) ||
        !tenants_read(json_object_get(object, "tenants"), &token))
        return false;
    token.rights = rights_read(json_object_get(object, "rights"));
    memcpy(token.id, id.data, id.len);
    memcpy(token.name, name.data, name.len);
    if (token.rights == 0)
        return false;
    *ret_token = token;
    return true;
}

MUST_USE static err file_read(struct tokens *tokens, const json_t *root)
{
    const json_t *list = json_object_get(root, "tokens");
    struct token token;

    ENSURE(json_integer_value(json_object_get(root, "format")) == FILE_FORMAT && json_is_array(list), CORRUPT);
    for (size_t i = 0; i < json_array_size(list); i++) {
        ENSURE(token_read(json_array_get(list, i), &token), CORRUPT);
        TRY(tokens_add(tokens, &token));
    }
    return ERR_OK;
}

/* A file that is not understood keeps everybody out but the admin, and is left for him to look at. */
err admin_tokens_read(struct admin_context *context)
{
    json_error_t error;
    json_t *root;
    char *text;
    size_t len;
    err result;

    if (context->control == NULL)
        return ERR_OK;
    result = context->control->state_read(context->control_arg, FILE_NAME, &text, &len);
    if (result.code == ERR_NOT_FOUND)
        return ERR_OK;
    if (err_is_ok(result)) {
        root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
        result = file_read(context->tokens, root);
        json_decref(root);
        free(text);
    }
    if (err_is_ok(result))
        return ERR_OK;
    log_error("%s in the state directory: %s: there are no tokens but the admin's until it is repaired or removed", FILE_NAME,
              err_text(result));
    context->tokens_are_damaged = true;
    tokens_free(context->tokens);
    context->tokens = NULL;
    return tokens_new(&context->tokens);
}

/* On an error message says which file, and why. */
MUST_USE static err file_write(struct admin_context *context, char *message, size_t size)
{
    json_t *list = json_array(), *object;
    struct token token = {0};
    char *text, hex[2 * TOKEN_HASH_BYTES + 1];
    err result;

    while (tokens_next(context->tokens, slice_str(token.id), &token)) {
        for (unsigned i = 0; i < TOKEN_HASH_BYTES; i++)
            snprintf(hex + 2 * i, 3, "%02x", token.hash[i]);
        object = token_json(&token);
        json_object_set_new(object, "sha256", json_string(hex));
        json_array_append_new(list, object);
    }
    object = json_pack("{s:i, s:o}", "format", FILE_FORMAT, "tokens", list);
    text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    json_decref(object);
    snprintf(message, size, "out of memory");
    ENSURE(text != NULL, MEMORY);
    result = context->control->state_write(context->control_arg, FILE_NAME, slice_str(text), message, size);
    free(text);
    if (err_is_ok(result)) {
        context->tokens_written_ms = loop_wall_ms(context->loop);
        context->tokens_problem[0] = '\0';
    }
    return result;
}

/* What is true already is not in the file: tried again until it is. */
static void file_owe(struct admin_context *context, const char *problem)
{
    snprintf(context->tokens_problem, sizeof(context->tokens_problem), "%s; tokens are not written down as they are yet", problem);
    loop_timer_set(context->loop, &context->tokens_timer, loop_now_ns(context->loop) + RETRY_NS);
}

static void file_retry(struct timer *timer)
{
    struct admin_context *context = container_of(timer, struct admin_context, tokens_timer);
    char message[CONTROL_PROBLEM_BYTES - 64];

    if (context->tokens_problem[0] == '\0')
        return; /* by another change, meanwhile */
    if (err_is_ok(file_write(context, message, sizeof(message))))
        log_info("%s in the state directory is written now", FILE_NAME);
    else
        file_owe(context, message);
}

void admin_tokens_open(struct admin_context *context)
{
    timer_init(&context->tokens_timer, file_retry);
}

void admin_tokens_close(struct admin_context *context)
{
    loop_timer_stop(context->loop, &context->tokens_timer);
    if (context->tokens_problem[0] != '\0')
        log_error("%s", context->tokens_problem);
}

void admin_tokens_turn(struct admin_context *context)
{
    int64_t now_ms = loop_wall_ms(context->loop);
    char message[CONTROL_PROBLEM_BYTES];

    if (context->tokens_written_ms == 0)
        context->tokens_written_ms = now_ms;
    if (context->control == NULL || context->tokens_are_damaged || now_ms - context->tokens_written_ms < WRITE_MS)
        return;
    context->tokens_written_ms = now_ms; /* also when it fails: not again at once */
    if (!err_is_ok(file_write(context, message, sizeof(message))))
        log_warn("%s; when tokens were last used may be lost", message);
}

/* False: answered already. */
static bool tokens_can_change(struct admin_request *request)
{
    if (!admin_has_control(request))
        return false;
    if (request->context->tokens_are_damaged)
        admin_problem(request, 503, "tokens.json in the state directory is damaged: repair or remove it, and start again");
    return !request->context->tokens_are_damaged;
}

/* ---- routes ---------------------------------------------------------------------------------------------------------- */

void admin_tokens_list(struct admin_request *request)
{
    slice cursor = admin_param(request, SLICE("cursor"));
    struct token token = {0};
    json_t *list;
    unsigned limit;
    bool is_more;

    if (!admin_limit(request, &limit))
        return;
    if (cursor.len >= sizeof(token.id)) {
        admin_problem(request, 400, "cursor is what the page before said under \"next\"");
        return;
    }
    if (cursor.len > 0)
        memcpy(token.id, cursor.data, cursor.len);
    list = json_array();
    while (json_array_size(list) < limit && tokens_next(request->context->tokens, slice_str(token.id), &token))
        json_array_append_new(list, token_json(&token));
    struct token behind;
    is_more = json_array_size(list) == limit && tokens_next(request->context->tokens, slice_str(token.id), &behind);
    admin_answer_json(request, 200, json_pack("{s:o, s:s}", "tokens", list, "next", is_more ? token.id : ""));
}

/* What is wrong with a wish; NULL: nothing. */
static const char *wish_read(const json_t *body, int64_t now_ms, struct token *token)
{
    slice name = text_of(json_object_get(body, "name"));
    const json_t *expires = json_object_get(body, "expires");
    uint64_t life_ms;

    if (!admin_is_name(name))
        return "\"name\" is 1 to 64 letters, digits, -, _ or ., beginning with a letter or digit";
    token->rights = rights_read(json_object_get(body, "rights"));
    if (token->rights == 0)
        return "\"rights\" is a list of one or more of read, purge, configure and admin";
    if (!tenants_read(json_object_get(body, "tenants"), token))
        return "\"tenants\" is a list of at most 64 names of tenants; without it the token is for all";
    if (json_is_array(json_object_get(body, "tenants")) && token->tenant_count == 0)
        return "\"tenants\" is empty: leave it out for all tenants";
    if (expires != NULL && (!config_parse_duration(text_of(expires), &life_ms) || life_ms == 0))
        return "\"expires\" is a time from now: 12h, 30d, 52w";
    memcpy(token->name, name.data, name.len);
    token->created_ms = now_ms;
    token->expires_ms = expires != NULL ? now_ms + (int64_t)life_ms : 0;
    return NULL;
}

static void hex_random(char *text, unsigned bytes)
{
    uint8_t random[SECRET_BYTES];

    INVARIANT(bytes <= sizeof(random));
    os_entropy(random, bytes);
    for (unsigned i = 0; i < bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
}

static json_t *token_details(const struct token *token)
{
    json_t *details = json_pack("{s:s, s:s, s:o, s:I, s:I}", "token", token->id, "name", token->name, "rights", rights_json(token),
                                "tenants", (json_int_t)token->tenant_count, "expires_ms", (json_int_t)token->expires_ms);

    if (token->tenant_count > 0)
        json_object_set_new(details, "first_tenant", json_string(token->tenants[0]));
    return details;
}

/* Nobody has its text: it is as if it had never been. */
static void token_unmake(struct admin_context *context, const struct token *token, bool is_written)
{
    char message[CONTROL_PROBLEM_BYTES - 64];
    struct token removed;

    tokens_remove(context->tokens, slice_str(token->id), &removed);
    if (is_written && !err_is_ok(file_write(context, message, sizeof(message))))
        file_owe(context, message);
}

/* Made, and written down, also in the audit log, before anybody has its text. */
MUST_USE static err token_make(struct admin_request *request, struct token *token, char text[TEXT_BYTES], char *message, size_t size)
{
    struct admin_context *context = request->context;
    err written;

    memcpy(text, PREFIX, sizeof(PREFIX));
    hex_random(text + sizeof(PREFIX) - 1, SECRET_BYTES);
    hex_random(token->id, (TOKEN_ID_BYTES - 1) / 2);
    snprintf(message, size, "out of memory");
    ENSURE(digest_sha256(slice_str(text), token->hash), MEMORY);
    TRY(tokens_add(context->tokens, token));
    written = file_write(context, message, size);
    if (!err_is_ok(written)) {
        token_unmake(context, token, false);
        return written;
    }
    written = admin_audit(request, "token made", token_details(token), message, size);
    if (!err_is_ok(written))
        token_unmake(context, token, true);
    return written;
}

static void token_answer(struct admin_request *request, struct token *token)
{
    char text[TEXT_BYTES], message[CONTROL_PROBLEM_BYTES];
    json_t *answer;
    err made = token_make(request, token, text, message, sizeof(message));

    if (made.code == ERR_EXISTS) {
        admin_problemf(request, 409, "there is a token with the name \"%s\"", token->name);
    } else if (made.code == ERR_LIMIT) {
        admin_problemf(request, 409, "there are %u tokens: more are not kept", TOKENS_MAX);
    } else if (!err_is_ok(made)) {
        admin_problem_lines(request, 507, "the token could not be written down; it was not made", message);
    } else {
        snprintf(request->location, sizeof(request->location), "/api/v1/tokens/%s", token->id);
        answer = token_json(token);
        json_object_set_new(answer, "token", json_string(text));
        admin_answer_json(request, 201, answer);
    }
}

void admin_token_create(struct admin_request *request)
{
    static const char *const known[] = {"name", "rights", "tenants", "expires", NULL};
    struct token token = {0};
    const char *objection;
    json_t *body;

    if (!tokens_can_change(request) || (body = admin_object(request, known)) == NULL)
        return;
    objection = wish_read(body, loop_wall_ms(request->context->loop), &token);
    json_decref(body);
    if (objection != NULL)
        admin_problem(request, 400, objection);
    else
        token_answer(request, &token);
}

/* In force at once, whatever becomes of its files: who revokes a token has a reason. */
void admin_token_revoke(struct admin_request *request)
{
    struct admin_context *context = request->context;
    char message[CONTROL_PROBLEM_BYTES - 64];
    struct token token;
    err written;

    if (!tokens_can_change(request))
        return;
    if (!tokens_remove(context->tokens, request->captures[0], &token)) {
        admin_problem(request, 404, "there is no such token");
        return;
    }
    written = file_write(context, message, sizeof(message));
    admin_audit_later(request, "token revoked", token_details(&token));
    if (err_is_ok(written)) {
        admin_answer_json(request, 200, token_json(&token));
        return;
    }
    log_error("%s; the token %s is revoked, and is good again after a restart until that can be written", message, token.name);
    file_owe(context, message);
    admin_problem_lines(request, 507, "revoked, but that could not be written down yet: until it is, a restart makes the token good again",
                        message);
}
