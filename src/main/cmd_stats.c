/* warp stats: what a running WARP says of itself, as a table. */
#include "main/client.h"
#include "main/commands.h"
#include "main/print.h"

#include <stdlib.h>

static int stats_print(const json_t *stats)
{
    print_tree(stats);
    return EXIT_DONE;
}

int cmd_stats(int argc, char **argv)
{
    bool raw = false;
    const char *tenant = NULL;
    struct client_where where = {0};
    const struct client_flag flags[] = {{"tenant", "NAME", &tenant, NULL, NULL}, {"json", NULL, NULL, &raw, NULL}};
    const struct client_syntax syntax = {.command = "stats", .flags = flags, .flag_count = ARRAY_LEN(flags), .where = &where};
    struct client_question question = {.method = METHOD_GET};
    char *path;
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    path = tenant != NULL ? client_path("/stats?tenant=", tenant, "") : client_path("/stats", "", "");
    question.path = path;
    code = path != NULL ? client_show(&where, &question, raw, stats_print) : EXIT_FAILED;
    free(path);
    return code;
}
