#include "main/state.h"

#include "os/os.h"

#include <stdio.h>
#include <string.h>

err state_path(const struct state *state, const char *name, char *ret_path, size_t size)
{
    ENSURE(state->dir[0] != '\0', NOT_FOUND);
    ENSURE((size_t)snprintf(ret_path, size, "%s/%s", state->dir, name) < size, INVALID);
    return ERR_OK;
}

static bool is_not_there(err result)
{
    return result.code == ERR_NOT_FOUND;
}

err state_read(const struct state *state, const char *name, char **ret_text, size_t *ret_len)
{
    char path[STATE_PATH_BYTES];

    TRY(state_path(state, name, path, sizeof(path)));
    return os_file_read(path, STATE_FILE_BYTES_MAX, ret_text, ret_len);
}

err state_make_room(const struct state *state, const char *name)
{
    char dir[STATE_PATH_BYTES];

    TRY(state_path(state, name, dir, sizeof(dir)));
    *strrchr(dir, '/') = '\0';
    return os_dir_make(dir, 0700);
}

err state_write(const struct state *state, const char *name, slice text)
{
    char path[STATE_PATH_BYTES];

    TRY(state_make_room(state, name));
    TRY(state_path(state, name, path, sizeof(path)));
    return os_file_write(path, text, 0600);
}

err state_remove(const struct state *state, const char *name)
{
    char path[STATE_PATH_BYTES];
    err result = state_path(state, name, path, sizeof(path));

    if (err_is_ok(result))
        result = os_file_remove(path);
    return is_not_there(result) ? ERR_OK : result;
}

const char *state_problem(const struct state *state, const char *name, err why, char *buffer, size_t size)
{
    if (state->dir[0] == '\0')
        snprintf(buffer, size, "%s: there is no directory for it that can be written (--state-dir names one)", name);
    else
        snprintf(buffer, size, "%s/%s: %s", state->dir, name, err_text(why));
    return buffer;
}

err state_names(const struct state *state, const char *dir, char ***ret_names, unsigned *ret_count)
{
    char path[STATE_PATH_BYTES];
    err result = state_path(state, dir, path, sizeof(path));

    *ret_names = NULL;
    *ret_count = 0;
    if (err_is_ok(result))
        result = os_dir_names(path, ret_names, ret_count);
    return is_not_there(result) ? ERR_OK : result;
}

/* os_file_stage's names: a file's, a dot, and six letters or digits. None that stays ends like that. */
static bool is_left_over(const char *name)
{
    const char *dot = strrchr(name, '.');
    size_t len = 0;

    if (dot == NULL || dot == name)
        return false;
    while ((dot[1 + len] >= '0' && dot[1 + len] <= '9') || (dot[1 + len] >= 'a' && dot[1 + len] <= 'z') ||
           (dot[1 + len] >= 'A' && dot[1 + len] <= 'Z'))
        len++;
    return len == 6 && dot[1 + len] == '\0';
}

static void dir_sweep(const struct state *state, const char *dir)
{
    char name[STATE_PATH_BYTES];
    char **names;
    unsigned count;

    if (!err_is_ok(state_names(state, dir, &names, &count)))
        return;
    for (unsigned i = 0; i < count; i++) {
        if (!is_left_over(names[i]))
            continue;
        snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
        err removed = state_remove(state, name);
        (void)removed; /* it takes room, and nothing else */
    }
    os_dir_names_free(names, count);
}

void state_sweep(const struct state *state)
{
    static const char *const dirs[] = {".", "tenants", "versions"};

    for (unsigned i = 0; i < ARRAY_LEN(dirs); i++)
        dir_sweep(state, dirs[i]);
}
