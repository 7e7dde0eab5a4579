/* warp reference: pages of the manual that come from the tables. For tools/reference.py and editors; help does not list it. */
#include "conf/schema.h"
#include "main/client.h"
#include "main/commands.h"

#include <stdio.h>
#include <stdlib.h>

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
    fprintf(stderr, "usage: warp reference config.md | config.schema.json\n");
    return EXIT_USAGE;
}
