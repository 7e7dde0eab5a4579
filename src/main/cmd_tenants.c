/* warp tenants: listed, shown, set, deleted. */
#include "main/client.h"
#include "main/commands.h"
#include "main/print.h"

#include "base/log.h"
#include "os/os.h"

#include <stdlib.h>

#define TENANTS_PATH   "/api/v1/tenants"
#define FILE_BYTES_MAX (1u << 20)
#define LIST_BYTES     512u

struct tenants_wish {
    struct client_where where;
    const char *words[3]; /* what to do, NAME, FILE */
    const char *if_match;
    bool dry_run, create, raw;
};

/* ---- list, show ------------------------------------------------------------------------------------------------------ */

static unsigned healthy_of(const json_t *origins)
{
    unsigned healthy = 0;

    for (size_t i = 0; i < json_array_size(origins); i++)
        healthy += json_is_true(json_object_get(json_array_get(origins, i), "healthy"));
    return healthy;
}

static void tenant_row(struct sheet *sheet, const json_t *tenant)
{
    const json_t *usage = json_object_get(tenant, "usage"), *requests = json_object_get(usage, "requests");
    const json_t *bytes = json_object_get(usage, "bytes"), *origins = json_object_get(tenant, "origins");
    char name[80], ram[PRINT_VALUE_BYTES], disk[PRINT_VALUE_BYTES];

    sheet_add(sheet, "%s\t%zu\t%llu\t%.1f %%\t%s\t%s\t%u/%zu", print_text(tenant, "name", name, sizeof(name)),
              json_array_size(json_object_get(tenant, "hosts")), (unsigned long long)print_number(requests, "all"),
              100 * json_number_value(json_object_get(requests, "hit_ratio")), print_bytes(print_number(bytes, "ram"), ram),
              print_bytes(print_number(bytes, "disk"), disk), healthy_of(origins), json_array_size(origins));
}

static int tenants_list(const struct tenants_wish *wish)
{
    static const char *const head[] = {"NAME", "HOSTS", "REQUESTS", "HITS", "RAM", "DISK", "ORIGINS UP", NULL};
    struct sheet sheet;
    json_t *all = NULL, *tenant;
    size_t i;
    int code = client_pages(&wish->where, TENANTS_PATH, "tenants", &all);

    if (code != EXIT_DONE)
        return code;
    if (wish->raw) {
        json_t *root = json_pack("{s:o}", "tenants", all);
        json_dumpf(root, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
        putchar('\n');
        json_decref(root);
        return EXIT_DONE;
    }
    sheet_init(&sheet, head);
    json_array_foreach(all, i, tenant)
    {
        tenant_row(&sheet, tenant);
    }
    json_decref(all);
    return sheet_print(&sheet);
}

static int tenant_print(const json_t *tenant)
{
    print_tree(tenant);
    return EXIT_DONE;
}

/* ---- set, delete ----------------------------------------------------------------------------------------------------- */

int client_changed(const json_t *changed)
{
    char note[512];
    json_t *line;
    size_t i;

    printf("%s; version %llu of the configuration is in force\n", json_is_true(json_object_get(changed, "changed")) ? "done" : "nothing has changed",
           (unsigned long long)print_number(changed, "version"));
    json_array_foreach(json_object_get(changed, "notes"), i, line)
    {
        printf("%s\n", log_text(slice_of(json_string_value(line), json_string_length(line)), note, sizeof(note)));
    }
    return EXIT_DONE;
}

static int checked_print(const json_t *checked)
{
    (void)checked;
    printf("fine; nothing was changed\n");
    return EXIT_DONE;
}

/* The file, or standard input; free() it. */
static char *file_read(const char *path)
{
    char *text = NULL;
    size_t len = 0;
    unsigned mode;
    err result;

    if (strcmp(path, "-") != 0) {
        result = os_file_read_named(path, FILE_BYTES_MAX, &text, &len, &mode);
        if (err_is_ok(result))
            return text;
        fprintf(stderr, "warp: %s: %s\n", path, err_file_text(result));
        return NULL;
    }
    text = malloc(FILE_BYTES_MAX + 1);
    len = text != NULL ? fread(text, 1, FILE_BYTES_MAX, stdin) : 0;
    if (text != NULL)
        text[len] = '\0';
    return text;
}

static int tenant_set(const struct tenants_wish *wish, const char *path)
{
    struct client_question question = {
        .method = METHOD_PUT, .path = path, .type = "application/yaml", .if_match = wish->if_match, .if_none = wish->create};
    bool is_input = strcmp(wish->words[2], "-") == 0;
    char *text = file_read(wish->words[2]), *dry_path = NULL, named[CONF_NAME_MAX + 32];
    int code = text != NULL ? EXIT_DONE : EXIT_USAGE;

    question.json = text;
    snprintf(named, sizeof(named), "tenant %s (made by the API)", wish->words[1]); /* main/config_text.c */
    question.named = named;
    question.file = is_input ? "standard input" : wish->words[2];
    if (code == EXIT_DONE && wish->dry_run) {
        dry_path = client_path(path, "", "?dry_run=true");
        question.path = dry_path;
    }
    if (code == EXIT_DONE)
        code = client_show(&wish->where, &question, wish->raw, wish->dry_run ? checked_print : client_changed);
    free(dry_path);
    free(text);
    return code;
}

/* ---- the command ----------------------------------------------------------------------------------------------------- */

static int tenant_named(const struct client_syntax *syntax, const struct tenants_wish *wish)
{
    const char *what = wish->words[0];
    char *path = client_path(TENANTS_PATH "/", wish->words[1], "");
    struct client_question question = {.method = METHOD_GET, .path = path, .if_match = wish->if_match};
    int code = EXIT_FAILED;

    if (path == NULL)
        return EXIT_FAILED;
    if (strcmp(what, "set") == 0 && wish->words[2] != NULL) {
        code = tenant_set(wish, path);
    } else if (strcmp(what, "show") == 0 && wish->words[2] == NULL) {
        code = client_show(&wish->where, &question, wish->raw, tenant_print);
    } else if (strcmp(what, "delete") == 0 && wish->words[2] == NULL) {
        question.method = METHOD_DELETE;
        code = client_show(&wish->where, &question, wish->raw, client_changed);
    } else {
        code = client_usage(syntax, "\"%s\" is not how it goes", what);
    }
    free(path);
    return code;
}

int cmd_tenants(int argc, char **argv)
{
    struct tenants_wish wish = {0};
    const struct client_flag flags[] = {
        {"dry-run", NULL, NULL, &wish.dry_run, NULL},
        {"create", NULL, NULL, &wish.create, NULL},
        {"if-match", "ETAG", &wish.if_match, NULL, NULL},
        {"json", NULL, NULL, &wish.raw, NULL},
    };
    const struct client_syntax syntax = {"tenants", flags, ARRAY_LEN(flags), &wish.where, wish.words, ARRAY_LEN(wish.words)};
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    if (wish.words[0] == NULL || (strcmp(wish.words[0], "list") == 0 && wish.words[1] == NULL))
        return tenants_list(&wish);
    if (wish.words[1] == NULL)
        return client_usage(&syntax, "which tenant?");
    return tenant_named(&syntax, &wish);
}
