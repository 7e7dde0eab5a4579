/* warp: one binary, its commands. */
#include "main/commands.h"
#include "net/net.h"

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

/* name, function (NULL: a later version's), what it does */
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
        if (commands[i].run != NULL)
            printf("  %-10s %s\n", commands[i].name, commands[i].text);
    printf("\noptions of warp run, also as WARP_NAME in the environment and as name: in a file:\n");
    config_print_options();
    return 0;
}

err command_read_settings(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    char *real = realpath(path, NULL);
    err result = real != NULL ? os_file_read(real, max, ret_bytes, ret_len) : ERR(NOT_FOUND);

    free(real);
    return result;
}

int command_config(struct config *config, int argc, char **argv)
{
    extern char **environ;
    char message[CONFIG_MESSAGE_BYTES];
    const char *unknown = NULL;

    if (!err_is_ok(config_read(config, argc, argv, environ, command_read_settings, message, sizeof(message), &unknown))) {
        fprintf(stderr, "warp: %s\n", message);
        return 2;
    }
    if (unknown != NULL)
        log_warn("%s in the environment is no setting of WARP", unknown);
    return 0;
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
