/* /api/v1/tokens: made, listed, revoked; and their file, in which their texts are not. */
#include "admin/tokens_internal.h"

#include "base/log.h"
#include "conf/config.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_FORMAT 1
#define WRITE_MS    3600000 /* notes of use */

/* ---- the file ------------------------------------------------------------------------------------------------------- */

json_t *token_rights_json(const struct token *token)
{
    json_t *rights = json_array();

    for (unsigned right = 0; right < TOKEN_RIGHT_COUNT; right++)
        if (token->rights & 1u << right)
            json_array_append_new(rights, json_string(token_right_word((enum token_right)right)));
    return rights;
}

json_t *token_json(const struct token *token)
{
    json_t *tenants = json_array();

    for (uint32_t i = 0; i < token->tenant_count; i++)
        json_array_append_new(tenants, json_string(token->tenants[i]));
    return json_pack("{s:s, s:s, s:o, s:o, s:I, s:I, s:I}", "id", token->id, "name", token->name, "rights", token_rights_json(token),
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
    result = context->control->state_read(context->control_arg, TOKENS_FILE, &text, &len);
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
    log_error("%s in the state directory: %s: there are no tokens but the admin's until it is repaired or removed", TOKENS_FILE,
              err_text(result));
    context->tokens_are_damaged = true;
    tokens_free(context->tokens);
    context->tokens = NULL;
    return tokens_new(&context->tokens);
}

static void entry_add(json_t *list, const struct token *token)
{
    json_t *object = token_json(token);
    char hex[2 * TOKEN_HASH_BYTES + 1];

    for (unsigned i = 0; i < TOKEN_HASH_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", token->hash[i]);
    json_object_set_new(object, "sha256", json_string(hex));
    json_array_append_new(list, object);
}

err tokens_file_text(struct tokens *tokens, const struct token *added, char **ret_text, size_t *ret_len)
{
    json_t *list = json_array(), *object;
    struct token token = {0};

    while (tokens_next(tokens, slice_str(token.id), &token))
        entry_add(list, &token);
    if (added != NULL)
        entry_add(list, added);
    object = json_pack("{s:i, s:o}", "format", FILE_FORMAT, "tokens", list);
    *ret_text = json_dumps(object, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    json_decref(object);
    ENSURE(*ret_text != NULL, MEMORY);
    *ret_len = strlen(*ret_text);
    return ERR_OK;
}

void admin_tokens_turn(struct admin_context *context)
{
    int64_t now_ms = loop_wall_ms(context->loop);

    if (context->tokens_written_ms == 0)
        context->tokens_written_ms = now_ms;
    if (context->control == NULL || context->tokens_are_damaged || now_ms - context->tokens_written_ms < WRITE_MS)
        return;
    context->tokens_written_ms = now_ms; /* also when it fails: not again at once */
    token_change_note(context);
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

/* By this machine's clock, by which it is good or not. */
static json_t *listed_json(const struct token *token, int64_t now_ms)
{
    json_t *json = token_json(token);

    json_object_set_new(json, "expired", json_boolean(token->expires_ms != 0 && token->expires_ms <= now_ms));
    return json;
}

void admin_tokens_list(struct admin_request *request)
{
    int64_t now_ms = os_wall_ms();
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
        json_array_append_new(list, listed_json(&token, now_ms));
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

/* A name that is misspelt would make a token that may nothing, or, later, something of somebody else's. False: answered already. */
static bool tenants_are_there(struct admin_request *request, const struct token *token)
{
    const struct tenants *tenants = request->context->tenants;
    const struct settings *settings = tenants_settings(tenants);
    uint32_t count = settings->tenants.count, i = 0;
    const char **names, *nearest;

    while (i < token->tenant_count && tenants_named(tenants, slice_str(token->tenants[i])) != NULL)
        i++;
    if (i == token->tenant_count)
        return true;
    names = arena_alloc(&request->arena, (count + 1) * sizeof(*names));
    for (uint32_t t = 0; names != NULL && t < count; t++)
        names[t] = settings->tenants.items[t].name.data;
    nearest = names != NULL ? config_nearest_of(token->tenants[i], names, count) : NULL;
    if (nearest != NULL)
        admin_problemf(request, 400, "there is no tenant %s; did you mean %s?", token->tenants[i], nearest);
    else
        admin_problemf(request, 400, "there is no tenant %s; make it first (GET /api/v1/tenants has their names)", token->tenants[i]);
    return false;
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
    else if (tenants_are_there(request, &token))
        token_change_make(request, &token);
}

void admin_token_revoke(struct admin_request *request)
{
    if (tokens_can_change(request))
        token_change_revoke(request, request->captures[0]);
}
