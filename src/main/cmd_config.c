/* warp reload, warp config, warp audit: the configuration that is in force, those that were, and who changed it. */
#include "base/log.h"
#include "main/client.h"
#include "main/commands.h"
#include "main/print.h"

#include <stdlib.h>

#define VERSIONS_PATH "/api/v1/config/versions"
#define AUDIT_PATH    "/api/v1/audit?limit=1000&since="
#define CELL_BYTES    512u

struct config_wish {
    struct client_where where;
    const char *words[3];
    bool raw;
};

int cmd_reload(int argc, char **argv)
{
    struct config_wish wish = {0};
    const struct client_flag flags[] = {{"json", NULL, NULL, &wish.raw, NULL}};
    const struct client_syntax syntax = {.command = "reload", .flags = flags, .flag_count = ARRAY_LEN(flags), .where = &wish.where};
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    return client_show(&wish.where, &(struct client_question){.method = METHOD_POST, .path = "/api/v1/reload"}, wish.raw, client_changed);
}

/* ---- versions -------------------------------------------------------------------------------------------------------- */

static int versions_print(const json_t *root)
{
    static const char *const head[] = {"VERSION", "", "SINCE (UTC)", "WHO", "WHAT", "TENANTS", NULL};
    char who[CELL_BYTES], what[CELL_BYTES], when[PRINT_VALUE_BYTES];
    struct sheet sheet;
    json_t *version;
    size_t i;

    sheet_init(&sheet, head);
    json_array_foreach(json_object_get(root, "versions"), i, version)
    {
        sheet_add(&sheet, "%llu\t%s\t%s\t%s\t%s\t%llu", (unsigned long long)print_number(version, "version"),
                  json_is_true(json_object_get(version, "in_force")) ? "in force" : "",
                  print_time((int64_t)print_number(version, "time_ms"), when), print_text(version, "who", who, sizeof(who)),
                  print_text(version, "what", what, sizeof(what)), (unsigned long long)print_number(version, "tenants"));
    }
    return sheet_print(&sheet);
}

static int text_print(const json_t *version)
{
    const char *text = json_string_value(json_object_get(version, "text"));

    print_lines(stdout, text != NULL ? text : "");
    return EXIT_DONE;
}

static int diff_print(const json_t *diff)
{
    const char *text = json_string_value(json_object_get(diff, "diff"));

    print_lines(stdout, text != NULL ? text : "");
    if (json_is_true(json_object_get(diff, "cut")))
        fprintf(stderr, "warp: there is more that is different\n");
    return EXIT_DONE;
}

/* path: what goes before and behind the version. */
static int version_ask(const struct config_wish *wish, enum method method, const char *behind, int (*show)(const json_t *root))
{
    char *path = client_path(VERSIONS_PATH "/", wish->words[1], behind);
    int code = EXIT_FAILED;

    if (path != NULL)
        code = client_show(&wish->where, &(struct client_question){.method = method, .path = path}, wish->raw, show);
    free(path);
    return code;
}

static int versions_diff(const struct config_wish *wish)
{
    char *behind = wish->words[2] != NULL ? client_path("/diff?to=", wish->words[2], "") : client_path("/diff", "", "");
    int code = behind != NULL ? version_ask(wish, METHOD_GET, behind, diff_print) : EXIT_FAILED;

    free(behind);
    return code;
}

/* The one in force, or a word that is none of a version. */
static int config_show(const struct config_wish *wish)
{
    if (wish->words[1] != NULL)
        return version_ask(wish, METHOD_GET, "", text_print);
    return client_show(&wish->where, &(struct client_question){.method = METHOD_GET, .path = "/api/v1/config"}, wish->raw, text_print);
}

static bool are_numbers(const struct config_wish *wish)
{
    uint64_t number;

    for (unsigned i = 1; i < ARRAY_LEN(wish->words); i++)
        if (wish->words[i] != NULL && !slice_to_u64(slice_str(wish->words[i]), &number))
            return false;
    return true;
}

int cmd_config(int argc, char **argv)
{
    struct config_wish wish = {0};
    const struct client_flag flags[] = {{"json", NULL, NULL, &wish.raw, NULL}};
    const struct client_syntax syntax = {"config", flags, ARRAY_LEN(flags), &wish.where, wish.words, ARRAY_LEN(wish.words)};
    const char *what;
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    what = wish.words[0] != NULL ? wish.words[0] : "versions";
    if (!are_numbers(&wish))
        return client_usage(&syntax, "a version is a number (warp config shows them)");
    if (strcmp(what, "versions") == 0 && wish.words[1] == NULL)
        return client_show(&wish.where, &(struct client_question){.method = METHOD_GET, .path = VERSIONS_PATH}, wish.raw, versions_print);
    if (strcmp(what, "show") == 0 && wish.words[2] == NULL)
        return config_show(&wish);
    if (strcmp(what, "diff") == 0 && wish.words[1] != NULL)
        return versions_diff(&wish);
    if (strcmp(what, "rollback") == 0 && wish.words[1] != NULL && wish.words[2] == NULL)
        return version_ask(&wish, METHOD_POST, "/rollback", client_changed);
    return client_usage(&syntax, "\"%s\" is not how it goes", what);
}

/* ---- audit ----------------------------------------------------------------------------------------------------------- */

/* What an entry has besides: name=value, one after the other. */
static const char *details_text(const json_t *entry, char text[CELL_BYTES])
{
    json_t *object = (json_t *)(uintptr_t)entry, *value; /* jansson's iterators want it without const */
    const char *name;
    char safe[CELL_BYTES];
    size_t len = 0;

    text[0] = '\0';
    json_object_foreach(object, name, value)
    {
        char *shown;
        if (strcmp(name, "number") == 0 || strcmp(name, "time_ms") == 0 || strcmp(name, "who") == 0 || strcmp(name, "what") == 0 ||
            len >= CELL_BYTES - 1)
            continue;
        shown = json_is_string(value) ? strdup(json_string_value(value)) : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
        len += (size_t)snprintf(text + len, CELL_BYTES - len, "%s%s=%s", len > 0 ? " " : "", name,
                                log_text(slice_str(shown != NULL ? shown : ""), safe, sizeof(safe)));
        free(shown);
    }
    return text;
}

static void entry_row(struct sheet *sheet, const json_t *entry)
{
    char who[CELL_BYTES], what[CELL_BYTES], details[CELL_BYTES], when[PRINT_VALUE_BYTES];

    sheet_add(sheet, "%llu\t%s\t%s\t%s\t%s", (unsigned long long)print_number(entry, "number"),
              print_time((int64_t)print_number(entry, "time_ms"), when), print_text(entry, "who", who, sizeof(who)),
              print_text(entry, "what", what, sizeof(what)), details_text(entry, details));
}

/* All entries behind since, page by page, or until there are enough. */
static int entries_read(const struct client_where *where, uint64_t since, uint64_t enough, json_t *all)
{
    char path[sizeof(AUDIT_PATH) + 24];
    size_t before;
    int code;

    do {
        struct client_answer answer = {0};
        json_t *root = NULL;
        before = json_array_size(all);
        snprintf(path, sizeof(path), AUDIT_PATH "%llu", (unsigned long long)since);
        code = client_ask(where, &(struct client_question){.method = METHOD_GET, .path = path}, &answer);
        if (code == EXIT_DONE)
            code = client_refusal(where, &answer);
        if (code == EXIT_DONE) {
            root = json_loadb(answer.body, answer.len, 0, NULL);
            json_array_extend(all, json_object_get(root, "entries"));
            since = print_number(root, "next");
        }
        json_decref(root);
        client_answer_done(&answer);
    } while (code == EXIT_DONE && json_array_size(all) > before && json_array_size(all) < enough);
    return code;
}

/* The first ones behind --since, else the newest. */
static void entries_cut(json_t *all, uint64_t limit, bool is_first)
{
    json_t *some = json_array();
    size_t count = json_array_size(all), keep = MIN(count, limit);

    for (size_t i = 0; i < keep; i++)
        json_array_append(some, json_array_get(all, is_first ? i : count - keep + i));
    json_array_clear(all);
    json_array_extend(all, some);
    json_decref(some);
}

static int entries_print(const json_t *all, bool is_raw)
{
    static const char *const head[] = {"NUMBER", "TIME (UTC)", "WHO", "WHAT", "DETAILS", NULL};
    struct sheet sheet;

    for (size_t i = 0; is_raw && i < json_array_size(all); i++) {
        json_dumpf(json_array_get(all, i), stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
        putchar('\n');
    }
    if (is_raw)
        return EXIT_DONE;
    sheet_init(&sheet, head);
    for (size_t i = 0; i < json_array_size(all); i++)
        entry_row(&sheet, json_array_get(all, i));
    return sheet_print(&sheet);
}

int cmd_audit(int argc, char **argv)
{
    struct config_wish wish = {0};
    const char *since_text = NULL, *limit_text = NULL;
    const struct client_flag flags[] = {
        {"since", "N", &since_text, NULL, NULL}, {"limit", "N", &limit_text, NULL, NULL}, {"json", NULL, NULL, &wish.raw, NULL}};
    const struct client_syntax syntax = {.command = "audit", .flags = flags, .flag_count = ARRAY_LEN(flags), .where = &wish.where};
    uint64_t since = 0, limit = UINT64_MAX;
    json_t *all;
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    if (since_text != NULL && !slice_to_u64(slice_str(since_text), &since))
        return client_usage(&syntax, "--since is a number of the log");
    if (limit_text != NULL && (!slice_to_u64(slice_str(limit_text), &limit) || limit == 0))
        return client_usage(&syntax, "--limit is a number from 1 on");
    all = json_array();
    code = entries_read(&wish.where, since, since_text != NULL ? limit : UINT64_MAX, all);
    if (code == EXIT_DONE)
        entries_cut(all, limit, since_text != NULL);
    if (code == EXIT_DONE)
        code = entries_print(all, wish.raw);
    json_decref(all);
    return code;
}
