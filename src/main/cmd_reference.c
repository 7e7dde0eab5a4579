/* warp reference: pages of the manual that come from the tables. For tools/reference.py and editors; help does not list it. */
#include "conf/schema.h"
#include "main/client.h"
#include "main/commands.h"

#include <stdio.h>
#include <stdlib.h>

/* "warp.1", "warp-purge.1". */
static bool man_write(const char *name)
{
    char page[64];

    for (unsigned i = 0; i <= command_count; i++) {
        const struct command *command = i < command_count ? &commands[i] : NULL;
        if (command != NULL && command->text[0] == '\0')
            continue;
        snprintf(page, sizeof(page), "warp%s%s.1", command != NULL ? "-" : "", command != NULL ? command->name : "");
        if (strcmp(name, page) != 0)
            continue;
        command_man(stdout, command);
        return true;
    }
    return false;
}

int cmd_reference(int argc, char **argv)
{
    static const struct {
        const char *name;
        err (*write)(char **ret_text, size_t *ret_len);
    } pages[] = {{"config.md", conf_reference_write}, {"config.schema.json", conf_json_schema_write}};
    char *text = NULL;
    size_t len = 0;

    for (size_t i = 0; argc == 1 && i < ARRAY_LEN(pages); i++) {
        if (strcmp(argv[0], pages[i].name) != 0)
            continue;
        if (!err_is_ok(pages[i].write(&text, &len)))
            return EXIT_FAILED;
        fwrite(text, 1, len, stdout);
        free(text);
        return EXIT_DONE;
    }
    if (argc == 1 && man_write(argv[0]))
        return EXIT_DONE;
    fprintf(stderr, "usage: warp reference config.md | config.schema.json | warp.1 | warp-COMMAND.1\n");
    return EXIT_USAGE;
}
