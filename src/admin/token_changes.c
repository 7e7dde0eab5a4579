/* Tokens made and revoked: one change at a time.
 *
 *   make    waits --its turn--> is checked --> is written, with its line of the audit log (the control's thread) --> is good, answered
 *   revoke  is good no more --> waits --its turn--> is written, or owed --> answered
 *
 * Whose client has gone before its turn, a token is not made for; behind that it is all the same. */
#include "admin/tokens_internal.h"

#include "base/log.h"
#include "net/digest.h"

#include <stdio.h>
#include <stdlib.h>

enum token_change_kind { TOKEN_MAKE, TOKEN_REVOKE, TOKENS_NOTE };

struct token_change {
    struct list link; /* in the context: the first is under way */
    struct control_write write;
    struct admin_context *context;
    struct admin_request *request; /* NULL: its client has gone, or there was none */
    enum token_change_kind kind;
    struct token token;
    char text[TOKEN_TEXT_BYTES];   /* of MAKE */
    char who[CONF_NAME_MAX + 16];
    char *details; /* of the audit log's line, in braces */
};

static void changes_next(struct admin_context *context);

/* ---- its end ---------------------------------------------------------------------------------------------------------- */

static void change_free(struct token_change *change)
{
    list_remove(&change->link);
    if (change->request != NULL)
        change->request->token_change = NULL;
    free(change->details);
    free(change);
}

/* Takes what is asked away from the change: who gets an answer waits no more. NULL: nobody waits. */
static struct admin_request *change_asker(struct token_change *change)
{
    struct admin_request *request = change->request;

    change->request = NULL;
    if (request != NULL)
        request->token_change = NULL;
    return request;
}

static void change_problem(struct token_change *change, uint16_t status, const char *format, ...) PRINTF(3, 4);
static void change_problem(struct token_change *change, uint16_t status, const char *format, ...)
{
    struct admin_request *request = change_asker(change);
    char detail[256];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    if (request != NULL)
        admin_problem(request, status, detail);
}

/* What is to be written of it. False: no memory. */
static bool change_describe(struct token_change *change, const char *what)
{
    const struct token *token = &change->token;
    json_t *details = json_pack("{s:s, s:s, s:o, s:I, s:I}", "token", token->id, "name", token->name, "rights", token_rights_json(token),
                                "tenants", (json_int_t)token->tenant_count, "expires_ms", (json_int_t)token->expires_ms);

    if (token->tenant_count > 0)
        json_object_set_new(details, "first_tenant", json_string(token->tenants[0]));
    change->details = json_dumps(details, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
    json_decref(details);
    if (change->details == NULL)
        return false;
    change->write.what = what;
    change->write.who = slice_str(change->who);
    change->write.details = slice_of(change->details + 1, strlen(change->details) - 2);
    return true;
}

/* ---- it is on the disk ------------------------------------------------------------------------------------------------ */

static void make_written(struct token_change *change)
{
    err added = tokens_add(change->context->tokens, &change->token);
    struct admin_request *request;
    json_t *answer;

    if (!err_is_ok(added)) { /* it was checked: there is no memory */
        log_error("the token %s is written down, and good after a restart alone: %s", change->token.name, err_text(added));
        change_problem(change, 503, "the token is written down, but is good after a restart alone: %s", err_text(added));
        return;
    }
    request = change_asker(change);
    if (request == NULL)
        return;
    snprintf(request->location, sizeof(request->location), "/api/v1/tokens/%s", change->token.id);
    answer = token_json(&change->token);
    json_object_set_new(answer, "token", json_string(change->text));
    admin_answer_json(request, 201, answer);
}

static void make_failed(struct token_change *change)
{
    struct admin_request *request = change_asker(change);

    if (request != NULL)
        admin_problem_lines(request, 507, "the token could not be written down; it was not made", change->write.problem);
}

static void revoke_written(struct token_change *change)
{
    struct admin_request *request = change_asker(change);

    if (err_is_ok(change->write.result)) {
        if (request != NULL)
            admin_answer_json(request, 200, token_json(&change->token));
        return;
    }
    log_error("%s; the token %s is revoked, and is good again after a restart until that can be written", change->write.problem,
              change->token.name);
    if (request != NULL)
        admin_problem_lines(request, 507, "revoked, but that could not be written down yet: until it is, a restart makes the token good again",
                            change->write.problem);
}

static void note_written(const struct token_change *change)
{
    if (!err_is_ok(change->write.result))
        log_warn("%s; when tokens were last used may be lost", change->write.problem);
}

static void change_written(struct control_write *write)
{
    struct token_change *change = container_of(write, struct token_change, write);
    struct admin_context *context = change->context;

    if (err_is_ok(write->result))
        context->tokens_written_ms = loop_wall_ms(context->loop);
    switch (change->kind) {
    case TOKEN_MAKE:
        if (err_is_ok(write->result))
            make_written(change);
        else
            make_failed(change);
        break;
    case TOKEN_REVOKE:
        revoke_written(change);
        break;
    case TOKENS_NOTE:
        note_written(change);
        break;
    }
    change_free(change);
    context->tokens_are_written = false;
    changes_next(context);
}

/* ---- its turn ---------------------------------------------------------------------------------------------------------- */

static void hex_random(char *text, unsigned bytes)
{
    uint8_t random[TOKEN_SECRET_BYTES];

    INVARIANT(bytes <= sizeof(random));
    os_entropy(random, bytes);
    for (unsigned i = 0; i < bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
}

/* False: answered already. */
static bool make_begin(struct token_change *change)
{
    struct token *token = &change->token;
    err checked = ERR(MEMORY);

    memcpy(change->text, TOKEN_PREFIX, sizeof(TOKEN_PREFIX));
    hex_random(change->text + sizeof(TOKEN_PREFIX) - 1, TOKEN_SECRET_BYTES);
    hex_random(token->id, (TOKEN_ID_BYTES - 1) / 2);
    if (digest_sha256(slice_str(change->text), token->hash))
        checked = tokens_check(change->context->tokens, token);
    if (checked.code == ERR_EXISTS)
        change_problem(change, 409, "there is a token with the name \"%s\"", token->name);
    else if (checked.code == ERR_LIMIT)
        change_problem(change, 409, "there are %u tokens: more are not kept", TOKENS_MAX);
    else if (!err_is_ok(checked) || !change_describe(change, "token made"))
        change_problem(change, 503, "the token could not be made: %s", err_text(err_is_ok(checked) ? ERR(MEMORY) : checked));
    return err_is_ok(checked) && change->details != NULL;
}

/* False: it has come to its end. */
static bool change_begin(struct token_change *change)
{
    switch (change->kind) {
    case TOKEN_MAKE:
        return change->request != NULL && make_begin(change);
    case TOKEN_REVOKE:
        change->write.is_true = true;
        if (!change_describe(change, "token revoked"))
            log_error("the audit log has no line of it: out of memory: the token %s was revoked by %s", change->token.name, change->who);
        break;
    case TOKENS_NOTE:
        break;
    }
    return true;
}

/* The control's thread. What is revoked meanwhile has a change of its own, which comes later. */
static err change_text(struct control_write *write, char **ret_text, size_t *ret_len)
{
    const struct token_change *change = container_of(write, struct token_change, write);

    return tokens_file_text(change->context->tokens, change->kind == TOKEN_MAKE ? &change->token : NULL, ret_text, ret_len);
}

static void changes_next(struct admin_context *context)
{
    struct list *first;

    while (!context->tokens_are_written && (first = list_first(&context->token_changes)) != NULL) {
        struct token_change *change = container_of(first, struct token_change, link);
        if (!change_begin(change)) {
            change_free(change);
            continue;
        }
        context->tokens_are_written = true;
        change->write.name = TOKENS_FILE;
        change->write.make = change_text;
        change->write.done = change_written;
        context->control->state_write(context->control_arg, &change->write);
    }
}

/* ---- what is asked ------------------------------------------------------------------------------------------------------ */

static struct token_change *change_new(struct admin_context *context, struct admin_request *request, enum token_change_kind kind)
{
    struct token_change *change = calloc(1, sizeof(*change));

    if (change == NULL) {
        if (request != NULL)
            admin_problem(request, 503, "no memory");
        return NULL;
    }
    change->context = context;
    change->kind = kind;
    change->request = request;
    list_push_back(&context->token_changes, &change->link);
    if (request != NULL) {
        INVARIANT(request->token_change == NULL);
        request->token_change = change;
        snprintf(change->who, sizeof(change->who), SLICE_FMT, SLICE_ARG(request->who));
    }
    return change;
}

void token_change_make(struct admin_request *request, const struct token *wish)
{
    struct token_change *change = change_new(request->context, request, TOKEN_MAKE);

    if (change == NULL)
        return;
    change->token = *wish;
    changes_next(request->context);
}

/* In force at once, whatever becomes of its file: who revokes a token has a reason. */
void token_change_revoke(struct admin_request *request, slice which)
{
    struct admin_context *context = request->context;
    struct token_change *change = change_new(context, request, TOKEN_REVOKE);

    if (change == NULL)
        return;
    if (!tokens_remove(context->tokens, which, &change->token)) {
        change_problem(change, 404, "there is no such token");
        change_free(change);
        return;
    }
    changes_next(context);
}

void token_change_note(struct admin_context *context)
{
    if (list_is_empty(&context->token_changes) && change_new(context, NULL, TOKENS_NOTE) != NULL)
        changes_next(context);
}

void admin_tokens_abandon(struct admin_request *request)
{
    if (request->token_change != NULL)
        (void)change_asker(request->token_change);
}

/* The control's thread has ended: nothing is under way. */
void admin_tokens_close(struct admin_context *context)
{
    struct list *first;

    while ((first = list_first(&context->token_changes)) != NULL)
        change_free(container_of(first, struct token_change, link));
}
