/* warp: one binary, its commands. */
#include "main/commands.h"
#include "net/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("warp %s\n", WARP_VERSION);
    return 0;
}

static int cmd_help(int argc, char **argv);

/* name, function (NULL: a later version's), what it does (NULL: not shown) */
static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *text;
} commands[] = {
    {"run", cmd_run, "serve, with the cache in between"},
    {"origin", cmd_origin, "the demo origin alone"},
    {"check", cmd_check, "validate a settings file"},
    {"purge", cmd_purge, "make stored answers unusable"},
    {"purges", cmd_purges, "who purged what, and when"},
    {"stats", cmd_stats, "numbers of a running WARP"},
    {"version", cmd_version, "print the version"},
    {"help", cmd_help, "this text"},
    {"reference", cmd_reference, NULL},
    {"explain", NULL, NULL},
    {"top", NULL, NULL},
    {"log", NULL, NULL},
    {"tenants", NULL, NULL},
    {"tokens", NULL, NULL},
    {"reload", NULL, NULL},
    {"upgrade", NULL, NULL},
};

static int cmd_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("usage: warp COMMAND [options]\n\ncommands:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (commands[i].text != NULL)
            printf("  %-10s %s\n", commands[i].name, commands[i].text);
    printf("\noptions of warp run, also as WARP_NAME in the environment and as name: in a file:\n");
    config_print_options();
    return 0;
}

MUST_USE static err source_read(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    char *real = realpath(path, NULL);
    err result = real != NULL ? os_file_read(real, max, ret_bytes, ret_len) : errno == ENOENT ? ERR(NOT_FOUND) : ERR_SYS(errno);

    free(real);
    return result;
}

static char *source_name(const char *path)
{
    return realpath(path, NULL);
}

const struct conf_source command_source = {.read = source_read, .glob = os_file_glob, .name = source_name};

/* Each line says whose it is: others write to the same standard error. */
void command_problems_print(struct conf_report *report)
{
    for (const char *line = conf_report_text(report); *line != '\0';) {
        int len = (int)strcspn(line, "\n");

        fprintf(stderr, "warp: %.*s\n", len, line);
        line += line[len] == '\n' ? len + 1 : len;
    }
}

int command_settings(int argc, char **argv, struct settings **ret_settings)
{
    extern char **environ;
    struct conf_report *report;
    err result = conf_report_new(&report);

    if (err_is_ok(result)) {
        result = settings_read(argc, argv, environ, &command_source, report, ret_settings);
        command_problems_print(report);
        conf_report_free(report);
    }
    if (!err_is_ok(result) && result.code != ERR_INVALID)
        fprintf(stderr, "warp: %s\n", err_text(result));
    if (err_is_ok(result) && (*ret_settings)->unknown_variable != NULL)
        log_warn("%s in the environment is no setting of WARP", (*ret_settings)->unknown_variable);
    return err_is_ok(result) ? 0 : 2;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";

    net_tls_use_tight_memory();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(name, commands[i].name) != 0)
            continue;
        if (commands[i].run == NULL)
            return cmd_not_yet(name);
        if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0) && commands[i].run == cmd_run)
            return cmd_help(0, NULL);
        return commands[i].run(argc > 1 ? argc - 2 : 0, argv + 2);
    }
    fprintf(stderr, "warp: no command \"%s\"; warp help lists them\n", name);
    return argc > 1 ? 2 : 0;
}
