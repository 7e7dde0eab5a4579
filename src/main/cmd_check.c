/* warp check: says whether warp run would take a file of settings. */
#include "conf/config.h"
#include "main/client.h"
#include "main/commands.h"
#include "os/os.h"

#include <stdio.h>

int cmd_check(int argc, char **argv)
{
    const char *path = NULL;
    const struct client_syntax syntax = {
        .command = "check", .usage = "usage: warp check FILE\n", .word = &path};
    char message[CONFIG_MESSAGE_BYTES];
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    if (path == NULL)
        return client_usage(&syntax, "which file?");
    if (!err_is_ok(config_check_file(path, command_read_settings, message, sizeof(message)))) {
        fprintf(stderr, "%s\n", message);
        return EXIT_USAGE;
    }
    printf("%s: fine\n", path);
    return EXIT_DONE;
}
