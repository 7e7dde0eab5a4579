/* The admin token: given, or made once and kept beside the cache. */
#include "main/commands.h"
#include "main/node_store.h"

#include "base/log.h"
#include "os/os.h"
#include "os/process.h"

#include <stdio.h>
#include <stdlib.h>

#define TOKEN_RANDOM_BYTES 24u

static bool token_read(const char *path, char *ret_token, size_t size)
{
    char *bytes;
    size_t len;

    if (!err_is_ok(os_file_read(path, size - 1, &bytes, &len)))
        return false;
    while (len > 0 && (bytes[len - 1] == '\n' || bytes[len - 1] == '\r' || bytes[len - 1] == ' '))
        len--;
    memcpy(ret_token, bytes, len);
    ret_token[len] = '\0';
    free(bytes);
    return len > 0;
}

/* The first directory of those the contract names that can be written. */
static bool token_dir(const struct config *config, char *ret_dir, size_t size)
{
    const char *given = config->cache_dir.count > 0 ? config->cache_dir.items[0] : NULL;

    if (given != NULL && strcmp(given, "none") != 0)
        return cache_dir_is_usable(given, "", ret_dir, size);
    if (given != NULL)
        return cache_dir_is_usable(os_environment("XDG_RUNTIME_DIR"), "", ret_dir, size) ||
               cache_dir_is_usable("/run/warp", "", ret_dir, size);
    return cache_dir_default(ret_dir, size);
}

static err token_make(const char *path, char *ret_token, size_t size)
{
    uint8_t random[TOKEN_RANDOM_BYTES];

    ENSURE(size > 2 * sizeof(random), LIMIT);
    os_entropy(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        snprintf(ret_token + 2 * i, 3, "%02x", random[i]);
    return os_file_write(path, slice_str(ret_token), 0600);
}

int token_prepare(const struct config *config, char *ret_token, size_t size, char *ret_path, size_t path_size)
{
    const char *environment = os_environment("WARP_TOKEN");
    char dir[420];

    if (config->admin_token_file != NULL) {
        snprintf(ret_path, path_size, "%s", config->admin_token_file);
        if (token_read(ret_path, ret_token, size))
            return 0;
        fprintf(stderr, "warp: --admin-token-file %s: cannot be read, or is empty\n", config->admin_token_file);
        return 2;
    }
    if (environment != NULL && environment[0] != '\0') {
        snprintf(ret_token, size, "%s", environment);
        return 0;
    }
    if (!token_dir(config, dir, sizeof(dir))) {
        log_warn("no directory for the admin token can be written: changes are refused (--admin-token-file names one)");
        return 0;
    }
    if ((size_t)snprintf(ret_path, path_size, "%s/admin.token", dir) >= path_size)
        return 2;
    if (token_read(ret_path, ret_token, size))
        return 0;
    err result = token_make(ret_path, ret_token, size);
    if (!err_is_ok(result)) {
        log_warn("%s: %s: changes are refused", ret_path, err_text(result));
        ret_token[0] = ret_path[0] = '\0';
    }
    return 0;
}
