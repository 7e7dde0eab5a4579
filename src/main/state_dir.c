/* Which directory it is. */
#include "main/state.h"

#include "main/node_store.h"
#include "os/os.h"
#include "os/process.h"

#include <stdio.h>
#include <string.h>

/* Where the cache is, or the admin token where there is none. */
static bool state_base(const struct config *config, char *ret_dir, size_t size)
{
    const char *cache = config->cache_dir.count > 0 ? config->cache_dir.items[0] : NULL;

    if (cache == NULL)
        return cache_dir_default(ret_dir, size);
    if (strcmp(cache, "none") != 0 && !os_path_is_device(cache))
        return cache_dir_is_usable(cache, "", ret_dir, size);
    return cache_dir_is_usable(os_environment("XDG_RUNTIME_DIR"), "", ret_dir, size) ||
           cache_dir_is_usable("/run/warp", "", ret_dir, size);
}

void state_open(struct state *state, const struct config *config)
{
    char base[STATE_DIR_BYTES - 8];

    state->dir[0] = '\0';
    if (config->state_dir != NULL)
        snprintf(state->dir, sizeof(state->dir), "%s", strlen(config->state_dir) < sizeof(state->dir) ? config->state_dir : "");
    else if (state_base(config, base, sizeof(base)))
        snprintf(state->dir, sizeof(state->dir), "%s/state", base);
}
