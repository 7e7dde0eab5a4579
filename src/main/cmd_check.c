/* warp check: says whether warp run would take files of settings, all that is wrong with them, and what they imply. */
#include "main/client.h"
#include "main/commands.h"
#include "main/plan.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define FILES_MAX  64
#define MIB(bytes) ((unsigned long long)(((bytes) + (1u << 20) - 1) >> 20))

/* What a file was found to be; settings NULL: not fine. */
struct found {
    const char *path;
    struct conf_report *report;
    struct settings *settings;
    struct settings_memory memory;
    unsigned long long hosts, rules;
};

/* ---- looking ------------------------------------------------------------------------------------------------- */

static void found_count(struct found *found)
{
    const struct settings *settings = found->settings;

    for (uint32_t i = 0; i < settings->tenants.count; i++) {
        found->hosts += settings->tenants.items[i].hosts.count;
        found->rules += settings->tenants.items[i].rules.count;
    }
    settings_memory(settings, plan_workers(&settings->config), os_descriptor_limit_raise(),
                    plan_memory_bytes(&settings->config), &found->memory);
}

#define STANDARD_INPUT "standard input"

MUST_USE static err input_read(size_t max, char **ret_bytes, size_t *ret_len)
{
    size_t room = 64u << 10, len = 0, n;
    char *bytes = malloc(room), *grown;

    ENSURE(bytes != NULL, MEMORY);
    while ((n = fread(bytes + len, 1, room - len - 1, stdin)) > 0) {
        len += n;
        if (len + 1 < room)
            continue;
        room *= 2;
        grown = len <= max ? realloc(bytes, room) : NULL;
        if (grown == NULL) {
            free(bytes);
            return len <= max ? ERR(MEMORY) : ERR(LIMIT);
        }
        bytes = grown;
    }
    if (ferror(stdin) || len > max) {
        free(bytes);
        return len > max ? ERR(LIMIT) : ERR_SYS(EIO);
    }
    bytes[len] = '\0';
    *ret_bytes = bytes;
    *ret_len = len;
    return ERR_OK;
}

/* What it includes is looked for from here. */
static err source_read(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    return strcmp(path, STANDARD_INPUT) == 0 ? input_read(max, ret_bytes, ret_len) : command_source.read(path, max, ret_bytes, ret_len);
}

/* Flags and environment are left out: the file alone is looked at. */
MUST_USE static err found_read(struct found *found)
{
    char flag[] = "--config", *argv[] = {flag, (char *)found->path};
    const struct conf_source source = {.read = source_read, .glob = command_source.glob, .name = command_source.name};
    err result;

    TRY(conf_report_new(&found->report));
    result = settings_read(2, argv, NULL, &source, found->report, &found->settings);
    if (err_is_ok(result)) {
        result = plan_check(found->settings, PLAN_CHECK_ALL, found->report);
        if (!err_is_ok(result))
            found->settings = settings_free(found->settings);
    }
    if (err_is_ok(result))
        found_count(found);
    return result.code == ERR_INVALID ? ERR_OK : result;
}

/* ---- for people ---------------------------------------------------------------------------------------------- */

static void listeners_print(const char *scheme, const struct config_list *list, const char **between)
{
    for (unsigned i = 0; i < list->count; i++) {
        printf("%s%s %s", *between, scheme, list->items[i]);
        *between = ", ";
    }
}

static void found_print(const struct found *found)
{
    const struct settings *settings = found->settings;
    const struct settings_memory *memory = &found->memory;
    const char *between = "";

    printf("%s: fine\n", found->path);
    if (settings->tenants.count > 0)
        printf("  tenants    %u; hosts %llu, rules %llu, files %u\n", settings->tenants.count, found->hosts, found->rules,
               settings->document->file_count);
    else
        printf("  tenants    none by name: every host belongs to the tenant default\n");
    printf("  listeners  ");
    listeners_print("http", &settings->config.listen, &between);
    listeners_print("https", &settings->config.listen_tls, &between);
    printf("; admin %s\n", settings->config.admin);
    printf("  memory     at most %llu MiB: RAM tier %llu, index of the disk %llu, %llu for as many connections as files may be "
           "open,\n"
           "             tenants %llu, everything else %llu\n",
           MIB(memory->total), MIB(memory->ram_tier), MIB(memory->disk_index), MIB(memory->connections), MIB(memory->tenants),
           MIB(memory->fixed));
}

/* ---- for scripts --------------------------------------------------------------------------------------------- */

static json_t *problems_json(struct conf_report *report)
{
    json_t *problems = json_array();

    conf_report_sort(report);
    for (unsigned i = 0; i < report->count; i++) {
        const struct conf_problem *problem = &report->problems[i];
        char path[512]; /* JSON is UTF-8, paths are bytes */
        json_array_append_new(problems,
                              json_pack("{s:s, s:i, s:i, s:s, s:s}", "file",
                                        log_safe(slice_str(problem->path), path, sizeof(path)), "line", (int)problem->mark.line,
                                        "column", (int)problem->mark.column, "path", problem->where, "problem", problem->what));
    }
    return problems;
}

static json_t *listeners_json(const struct settings *settings)
{
    json_t *listeners = json_array();

    for (unsigned i = 0; i < settings->config.listen.count; i++)
        json_array_append_new(listeners, json_pack("{s:s, s:b}", "address", settings->config.listen.items[i], "tls", 0));
    for (unsigned i = 0; i < settings->config.listen_tls.count; i++)
        json_array_append_new(listeners, json_pack("{s:s, s:b}", "address", settings->config.listen_tls.items[i], "tls", 1));
    return listeners;
}

static json_t *found_json(struct found *found)
{
    const struct settings_memory *memory = &found->memory;
    json_t *object = json_pack("{s:s, s:b, s:o, s:i}", "file", found->path, "fine", found->settings != NULL, "problems",
                               problems_json(found->report), "more_problems", (int)found->report->more);

    if (found->settings == NULL || object == NULL)
        return object;
    json_object_set_new(object, "tenants", json_integer(found->settings->tenants.count));
    json_object_set_new(object, "hosts", json_integer((json_int_t)found->hosts));
    json_object_set_new(object, "rules", json_integer((json_int_t)found->rules));
    json_object_set_new(object, "files", json_integer(found->settings->document->file_count));
    json_object_set_new(object, "listeners", listeners_json(found->settings));
    json_object_set_new(object, "memory_bytes",
                        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "total", (json_int_t)memory->total, "ram_tier",
                                  (json_int_t)memory->ram_tier, "disk_index", (json_int_t)memory->disk_index, "connections",
                                  (json_int_t)memory->connections, "tenants", (json_int_t)memory->tenants, "fixed",
                                  (json_int_t)memory->fixed));
    return object;
}

/* ---- the command --------------------------------------------------------------------------------------------- */

/* json: the array to add to, or NULL. */
static int file_check(const char *path, json_t *json)
{
    struct found found = {.path = strcmp(path, "-") == 0 ? STANDARD_INPUT : path};
    err result = found_read(&found);
    int code = found.settings != NULL ? EXIT_DONE : EXIT_USAGE;

    if (!err_is_ok(result)) {
        fprintf(stderr, "%s: %s\n", path, err_text(result));
        code = EXIT_FAILED;
    } else if (json != NULL) {
        json_array_append_new(json, found_json(&found));
    } else if (found.settings != NULL) {
        found_print(&found);
    } else {
        fputs(conf_report_text(found.report), stderr);
    }
    settings_free(found.settings);
    conf_report_free(found.report);
    return code;
}

static int files_check(char **paths, int count, bool is_json)
{
    json_t *json = is_json ? json_array() : NULL;
    int code = EXIT_DONE;

    for (int i = 0; i < count; i++) {
        int one = file_check(paths[i], json);
        code = MAX(code, one);
    }
    if (is_json) {
        json_dumpf(json, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(json);
    return code;
}

int cmd_check(int argc, char **argv)
{
    bool is_json = false;
    const struct client_flag flags[] = {{"json", NULL, NULL, &is_json}};
    const struct client_syntax syntax = {
        .command = "check", .flags = flags, .flag_count = ARRAY_LEN(flags)};
    char *paths[FILES_MAX], *rest[FILES_MAX];
    int count = 0, rest_count = 0, code;

    if (argc > FILES_MAX)
        return client_usage(&syntax, "at most %d files at a time", FILES_MAX);
    for (int i = 0; i < argc; i++)
        if (argv[i][0] == '-' && argv[i][1] != '\0')
            rest[rest_count++] = argv[i];
        else
            paths[count++] = argv[i];
    if (!client_flags_read(&syntax, rest_count, rest, &code))
        return code;
    if (count == 0)
        return client_usage(&syntax, "which file?");
    return files_check(paths, count, is_json);
}
