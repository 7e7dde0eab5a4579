/* Commands of a later version. */
#include "main/client.h"
#include "main/commands.h"

#include <stdio.h>

int cmd_not_yet(const char *name)
{
    fprintf(stderr, "warp %s is not in this version\n", name);
    return EXIT_USAGE;
}
