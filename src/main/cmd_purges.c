/* warp purges: the newest purges of a running WARP, as a table. */
#include "base/log.h"
#include "main/client.h"
#include "main/commands.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define CELL_BYTES 512u
#define PATH_BYTES 512u

struct purges_wish {
    const char *since, *limit, *tenant;
    bool json;
};

/* ---- what is asked for
 * --------------------------------------------------------------------------------------- */

static void text_add(char path[PATH_BYTES], const char *text)
{
    size_t len = strlen(path);

    snprintf(path + len, PATH_BYTES - len, "%s", text);
}

/* name=value, behind ? or &. Nothing of the value may be taken for more than it. */
static void param_add(char path[PATH_BYTES], const char *name, const char *value)
{
    char one[4];

    if (value == NULL)
        return;
    text_add(path, strchr(path, '?') == NULL ? "?" : "&");
    text_add(path, name);
    text_add(path, "=");
    for (; *value != '\0'; value++) {
        snprintf(one, sizeof(one), "%%%02X", (unsigned char)*value);
        text_add(path, one);
    }
}

static bool is_number(const char *text)
{
    uint64_t value;

    return text == NULL || slice_to_u64(slice_str(text), &value);
}

/* ---- the table
 * ------------------------------------------------------------------------------------------- */

#define COLUMNS(X) X(seq, "PURGE") X(time, "TIME") X(tenant, "TENANT") X(kind, "KIND") X(what, "WHAT") X(matched, "MATCHED") X(who, "WHO")

enum column {
#define X(name, head) COLUMN_##name,
    COLUMNS(X)
#undef X
        COLUMN_COUNT
};

static void text_of(const json_t *value, const char *otherwise, char cell[CELL_BYTES])
{
    if (json_is_string(value))
        log_text(slice_of(json_string_value(value), json_string_length(value)), cell, CELL_BYTES);
    else
        snprintf(cell, CELL_BYTES, "%s", otherwise);
}

static void who_of(const json_t *purge, char cell[CELL_BYTES])
{
    const char *source = json_string_value(json_object_get(purge, "source"));
    size_t len;

    text_of(json_object_get(purge, "who"), "-", cell);
    len = strlen(cell);
    if (source != NULL && strcmp(source, "api") != 0)
        snprintf(cell + len, CELL_BYTES - len, " (%s)", source);
}

static void cell_of(const json_t *purge, enum column column, char cell[CELL_BYTES])
{
    const json_t *matched = json_object_get(purge, "matched"), *durable = json_object_get(purge, "durable");
    bool soft = json_is_true(json_object_get(purge, "soft"));

    switch (column) {
    case COLUMN_seq:
        snprintf(cell, CELL_BYTES, "%lld", (long long)json_integer_value(json_object_get(purge, "seq")));
        break;
    case COLUMN_time:
        text_of(json_object_get(purge, "time"), "-", cell);
        break;
    case COLUMN_tenant:
        text_of(json_object_get(purge, "tenant"), "(all)", cell);
        break;
    case COLUMN_kind:
        snprintf(cell, CELL_BYTES, "%s%s%s", json_string_value(json_object_get(purge, "kind")), soft ? ", soft" : "",
                 json_is_false(durable) ? ", not durable" : "");
        break;
    case COLUMN_what:
        text_of(json_object_get(purge, "what"), "-", cell);
        break;
    case COLUMN_matched:
        if (json_is_null(matched)) /* of all tenants, and not for one of them */
            snprintf(cell, CELL_BYTES, "-");
        else
            snprintf(cell, CELL_BYTES, "%s%lld", json_is_true(json_object_get(purge, "matched_is_exact")) ? "" : "~",
                     (long long)json_integer_value(matched));
        break;
    case COLUMN_who:
    case COLUMN_COUNT:
        who_of(purge, cell);
        break;
    }
}

static void table_print(const json_t *purges)
{
    static const char *const heads[] = {
#define X(name, head) head,
        COLUMNS(X)
#undef X
    };
    int widths[COLUMN_COUNT];
    char cell[CELL_BYTES];
    size_t index;
    json_t *purge;

    for (unsigned c = 0; c < COLUMN_COUNT; c++)
        widths[c] = (int)strlen(heads[c]);
    json_array_foreach(purges, index, purge)
    {
        for (unsigned c = 0; c < COLUMN_COUNT; c++) {
            cell_of(purge, (enum column)c, cell);
            widths[c] = MAX(widths[c], (int)strlen(cell));
        }
    }
    for (unsigned c = 0; c < COLUMN_COUNT; c++)
        printf("%-*s%s", c + 1 < COLUMN_COUNT ? widths[c] : 0, heads[c], c + 1 < COLUMN_COUNT ? "  " : "\n");
    json_array_foreach(purges, index, purge)
    {
        for (unsigned c = 0; c < COLUMN_COUNT; c++) {
            cell_of(purge, (enum column)c, cell);
            printf("%-*s%s", c + 1 < COLUMN_COUNT ? widths[c] : 0, cell, c + 1 < COLUMN_COUNT ? "  " : "\n");
        }
    }
}

static int purges_print(const struct client_answer *answer)
{
    json_t *page = json_loadb(answer->body, answer->len, 0, NULL);
    const json_t *purges = json_object_get(page, "purges");
    int code = json_is_array(purges) ? EXIT_DONE : EXIT_FAILED;

    if (code != EXIT_DONE)
        fprintf(stderr, "warp: the answer is no list of purges\n");
    else if (json_array_size(purges) == 0)
        printf("no purges\n");
    else
        table_print(purges);
    json_decref(page);
    return code;
}

int cmd_purges(int argc, char **argv)
{
    struct purges_wish wish = {0};
    struct client_where where = {0};
    const struct client_flag flags[] = {
        {"since", "SEQ", &wish.since, NULL},
        {"limit", "N", &wish.limit, NULL},
        {"tenant", "NAME", &wish.tenant, NULL},
        {"json", NULL, NULL, &wish.json},
    };
    const struct client_syntax syntax = {.command = "purges", .flags = flags, .flag_count = ARRAY_LEN(flags), .where = &where};
    char path[PATH_BYTES] = "/api/v1/purges";
    const struct client_question question = {.method = METHOD_GET, .path = path};
    struct client_answer answer = {0};
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    if (!is_number(wish.since) || !is_number(wish.limit))
        return client_usage(&syntax, "--since and --limit are numbers");
    if (wish.tenant != NULL && strlen(wish.tenant) > PATH_BYTES / 6)
        return client_usage(&syntax, "this is no name of a tenant");
    param_add(path, "since", wish.since);
    param_add(path, "limit", wish.limit);
    param_add(path, "tenant", wish.tenant);
    code = client_ask(&where, &question, &answer);
    if (code == EXIT_DONE)
        code = client_refusal(&where, &answer);
    if (code == EXIT_DONE && wish.json)
        printf("%s", answer.body);
    else if (code == EXIT_DONE)
        code = purges_print(&answer);
    client_answer_done(&answer);
    return code;
}
