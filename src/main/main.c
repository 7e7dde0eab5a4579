/* warp: one binary, its commands. */
#include "main/commands.h"
#include "net/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cmd_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("warp %s\n", WARP_VERSION);
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

/* Tenants that the API made come from the state directory, which these settings name. */
static const struct conf_source start_source = {.read = source_read, .glob = os_file_glob, .name = source_name, .is_part = true};

int command_settings(int argc, char **argv, struct settings **ret_settings)
{
    extern char **environ;
    struct conf_report *report;
    err result = conf_report_new(&report);

    if (err_is_ok(result)) {
        result = settings_read(argc, argv, environ, &start_source, report, ret_settings);
        command_problems_print(report);
        conf_report_free(report);
    }
    if (!err_is_ok(result) && result.code != ERR_INVALID)
        fprintf(stderr, "warp: %s\n", err_text(result));
    if (err_is_ok(result) && (*ret_settings)->unknown_variable != NULL)
        log_warn("%s in the environment is no setting of WARP", (*ret_settings)->unknown_variable);
    return err_is_ok(result) ? 0 : 2;
}

/* Of the contract, and of a later version. */
static bool is_later(const char *name)
{
    static const char *const later[] = {"explain", "top", "log", "upgrade"};

    for (size_t i = 0; i < ARRAY_LEN(later); i++)
        if (strcmp(name, later[i]) == 0)
            return true;
    return false;
}

static int unknown(const char *name)
{
    const char *names[64], *nearest;
    unsigned count = 0;
    char safe[80];

    INVARIANT(command_count <= ARRAY_LEN(names));
    for (unsigned i = 0; i < command_count; i++)
        if (commands[i].text[0] != '\0')
            names[count++] = commands[i].name;
    nearest = config_nearest_of(name, names, count);
    log_safe(slice_str(name), safe, sizeof(safe));
    if (nearest != NULL)
        fprintf(stderr, "warp: no command \"%s\"; did you mean %s? warp help lists them\n", safe, nearest);
    else
        fprintf(stderr, "warp: no command \"%s\"; warp help lists them\n", safe);
    return 2;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";
    const struct command *command;

    net_tls_use_tight_memory();
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0)
        name = "version";
    if (is_later(name))
        return cmd_not_yet(name);
    command = command_find(name);
    if (command == NULL)
        return unknown(name);
    if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
        command_help(stdout, command);
        return 0;
    }
    return command->run(argc > 1 ? argc - 2 : 0, argv + 2);
}
