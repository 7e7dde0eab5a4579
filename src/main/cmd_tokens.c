/* warp tokens: who may ask the API. */
#include "base/log.h"
#include "main/client.h"
#include "main/commands.h"
#include "main/print.h"

#include <stdlib.h>

#define TOKENS_PATH "/api/v1/tokens"
#define RIGHTS_MAX  8u
#define TENANTS_MAX 64u
#define LIST_BYTES  512u

struct tokens_wish {
    struct client_where where;
    const char *words[2]; /* what to do, ID */
    const char *name, *expires;
    struct client_list rights, tenants;
    bool raw;
};

/* ---- list ------------------------------------------------------------------------------------------------------------ */

/* "read, purge"; all where there are none. */
static const char *names_text(const json_t *list, const char *none, char text[LIST_BYTES])
{
    size_t len = 0, i;
    char safe[80];
    json_t *name;

    snprintf(text, LIST_BYTES, "%s", none);
    json_array_foreach(list, i, name)
    {
        if (len < LIST_BYTES - 1)
            len += (size_t)snprintf(text + len, LIST_BYTES - len, "%s%s", i > 0 ? ", " : "",
                                    log_text(slice_of(json_string_value(name), json_string_length(name)), safe, sizeof(safe)));
    }
    return text;
}

static void token_row(struct sheet *sheet, const json_t *token)
{
    char id[24], name[80], rights[LIST_BYTES], tenants[LIST_BYTES], expires[PRINT_VALUE_BYTES], used[PRINT_VALUE_BYTES];

    sheet_add(sheet, "%s\t%s\t%s\t%s\t%s%s\t%s", print_text(token, "id", id, sizeof(id)), print_text(token, "name", name, sizeof(name)),
              names_text(json_object_get(token, "rights"), "-", rights), names_text(json_object_get(token, "tenants"), "all", tenants),
              print_time((int64_t)print_number(token, "expires_ms"), expires),
              json_is_true(json_object_get(token, "expired")) ? " expired" : "", print_time((int64_t)print_number(token, "used_ms"), used));
}

static int tokens_list(const struct tokens_wish *wish)
{
    static const char *const head[] = {"ID", "NAME", "RIGHTS", "TENANTS", "EXPIRES (UTC)", "LAST USED", NULL};
    json_t *all = NULL, *token;
    struct sheet sheet;
    size_t i;
    int code = client_pages(&wish->where, TOKENS_PATH, "tokens", &all);

    if (code != EXIT_DONE)
        return code;
    if (wish->raw) {
        json_t *root = json_pack("{s:o}", "tokens", all);
        json_dumpf(root, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(root);
        return EXIT_DONE;
    }
    sheet_init(&sheet, head);
    json_array_foreach(all, i, token)
    {
        token_row(&sheet, token);
    }
    json_decref(all);
    return sheet_print(&sheet);
}

/* ---- create, revoke -------------------------------------------------------------------------------------------------- */

static json_t *list_json(const struct client_list *list)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < list->count; i++) {
        if (json_array_append_new(array, json_string(list->items[i])) == 0)
            continue;
        json_decref(array);
        return NULL;
    }
    return array;
}

/* To be freed; NULL: no memory, or text that is not UTF-8. */
static char *wish_json(const struct tokens_wish *wish)
{
    json_t *body = json_pack("{s:s, s:o}", "name", wish->name, "rights", list_json(&wish->rights));
    int failed = body == NULL;
    char *text = NULL;

    if (wish->tenants.count > 0)
        failed |= json_object_set_new(body, "tenants", list_json(&wish->tenants));
    if (wish->expires != NULL)
        failed |= json_object_set_new(body, "expires", json_string(wish->expires));
    if (failed == 0)
        text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static int made_print(const json_t *token)
{
    char text[128], id[24];

    print_text(token, "token", text, sizeof(text));
    print_text(token, "id", id, sizeof(id));
    fprintf(stderr, "token %s; it is shown this once, and is sent as Authorization: Bearer TOKEN\n", id);
    printf("%s\n", text);
    return EXIT_DONE;
}

static int revoked_print(const json_t *token)
{
    char id[24], name[80];

    printf("revoked %s (%s)\n", print_text(token, "id", id, sizeof(id)), print_text(token, "name", name, sizeof(name)));
    return EXIT_DONE;
}

static int token_create(const struct client_syntax *syntax, const struct tokens_wish *wish)
{
    struct client_question question = {.method = METHOD_POST, .path = TOKENS_PATH};
    char *json;
    int code;

    if (wish->name == NULL)
        return client_usage(syntax, "what is it called? write --name NAME");
    if (wish->rights.count == 0)
        return client_usage(syntax, "what may it do? write --right read, purge, configure or admin");
    json = wish_json(wish);
    if (json == NULL)
        return client_usage(syntax, "the text is not UTF-8");
    question.json = json;
    code = client_show(&wish->where, &question, wish->raw, made_print);
    free(json);
    return code;
}

static int token_revoke(const struct tokens_wish *wish)
{
    char *path = client_path(TOKENS_PATH "/", wish->words[1], "");
    int code = EXIT_FAILED;

    if (path != NULL)
        code = client_show(&wish->where, &(struct client_question){.method = METHOD_DELETE, .path = path}, wish->raw, revoked_print);
    free(path);
    return code;
}

/* ---- the command ----------------------------------------------------------------------------------------------------- */

int cmd_tokens(int argc, char **argv)
{
    const char *rights[RIGHTS_MAX], *tenants[TENANTS_MAX];
    struct tokens_wish wish = {.rights = {rights, 0, RIGHTS_MAX}, .tenants = {tenants, 0, TENANTS_MAX}};
    const struct client_flag flags[] = {
        {"name", "N", &wish.name, NULL, NULL},
        {"right", "R", NULL, NULL, &wish.rights},
        {"tenant", "NAME", NULL, NULL, &wish.tenants},
        {"expires", "TIME", &wish.expires, NULL, NULL},
        {"json", NULL, NULL, &wish.raw, NULL},
    };
    const struct client_syntax syntax = {"tokens", flags, ARRAY_LEN(flags), &wish.where, wish.words, ARRAY_LEN(wish.words)};
    const char *what;
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    what = wish.words[0] != NULL ? wish.words[0] : "list";
    if (strcmp(what, "list") == 0 && wish.words[1] == NULL)
        return tokens_list(&wish);
    if (strcmp(what, "create") == 0 && wish.words[1] == NULL)
        return token_create(&syntax, &wish);
    if (strcmp(what, "revoke") == 0)
        return wish.words[1] != NULL ? token_revoke(&wish) : client_usage(&syntax, "which token?");
    return client_usage(&syntax, "\"%s\" is not how it goes", what);
}
