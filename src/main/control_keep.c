#include "main/control_keep.h"

#include "base/log.h"
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_MODE 0600

/* ---- lists of files ------------------------------------------------------------------------------------------------- */

void keep_init(struct keep *keep, const struct state *state)
{
    *keep = (struct keep){.state = state};
}

static void temp_remove(char *temp)
{
    if (temp != NULL) {
        err removed = os_file_remove(temp);
        (void)removed; /* its name is nobody's: it only takes room */
    }
    free(temp);
}

static void file_done(struct keep_file *file)
{
    temp_remove(file->temp);
    temp_remove(file->backup);
    free(file->text);
}

void keep_done(struct keep *keep)
{
    for (unsigned i = 0; i < keep->count; i++)
        file_done(&keep->files[i]);
    free(keep->files);
    *keep = (struct keep){.state = keep->state};
}

/* text: taken over; NULL: it goes. */
MUST_USE static err file_add(struct keep *keep, const char *name, char *text, size_t len)
{
    if (keep->count == keep->room) {
        unsigned room = MAX(8u, 2 * keep->room);
        struct keep_file *grown = realloc(keep->files, room * sizeof(*grown));
        if (grown == NULL) {
            free(text);
            return ERR(MEMORY);
        }
        keep->files = grown;
        keep->room = room;
    }
    keep->files[keep->count] = (struct keep_file){.text = text, .len = len};
    snprintf(keep->files[keep->count].name, KEEP_NAME_BYTES, "%s", name);
    keep->count++;
    return ERR_OK;
}

err keep_put(struct keep *keep, const char *name, slice text)
{
    char *copy = malloc(text.len + 1);

    ENSURE(copy != NULL, MEMORY);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    return file_add(keep, name, copy, text.len);
}

err keep_drop(struct keep *keep, const char *name)
{
    return file_add(keep, name, NULL, 0);
}

/* ---- one file ------------------------------------------------------------------------------------------------------- */

MUST_USE static err stage(const char *path, slice text, char **ret_temp)
{
    char temp[STATE_PATH_BYTES + 8], *copy;

    TRY(os_file_stage(path, text, FILE_MODE, temp, sizeof(temp)));
    copy = strdup(temp);
    if (copy == NULL) {
        err removed = os_file_remove(temp);
        return err_is_ok(removed) ? ERR(MEMORY) : removed;
    }
    *ret_temp = copy;
    return ERR_OK;
}

/* What is there now, beside its place: to come back without a need for room. None is fine. */
MUST_USE static err file_backup(const struct state *state, struct keep_file *file, const char *path)
{
    char *text;
    size_t len;
    err result = state_read(state, file->name, &text, &len);

    if (result.code == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(result);
    result = stage(path, slice_of(text, len), &file->backup);
    free(text);
    return result;
}

MUST_USE static err file_stage(const struct state *state, struct keep_file *file)
{
    char path[STATE_PATH_BYTES];

    TRY(state_path(state, file->name, path, sizeof(path)));
    if (file->text != NULL) {
        TRY(state_make_room(state, file->name));
        TRY(stage(path, slice_of(file->text, file->len), &file->temp));
    }
    return file_backup(state, file, path);
}

/* Done, even where flushing its directory fails then. */
MUST_USE static err file_move(const struct state *state, struct keep_file *file, char **temp)
{
    char path[STATE_PATH_BYTES];

    TRY(state_path(state, file->name, path, sizeof(path)));
    TRY(os_file_rename(*temp, path));
    free(*temp);
    *temp = NULL;
    file->is_done = true;
    return os_file_rename_flush(path);
}

MUST_USE static err file_place(const struct state *state, struct keep_file *file)
{
    if (file->text != NULL)
        return file_move(state, file, &file->temp);
    TRY(state_remove(state, file->name));
    file->is_done = true;
    return ERR_OK;
}

MUST_USE static err file_back(const struct state *state, struct keep_file *file)
{
    return file->backup != NULL ? file_move(state, file, &file->backup) : state_remove(state, file->name);
}

MUST_USE static err file_write(const struct state *state, const struct keep_file *file)
{
    if (file->text == NULL)
        return state_remove(state, file->name);
    return state_write(state, file->name, slice_of(file->text, file->len));
}

/* ---- what is owed --------------------------------------------------------------------------------------------------- */

static void debt_forget(struct keep_debt *debt, const char *name)
{
    for (unsigned i = debt->files.count; i-- > 0;) {
        struct keep_file *file = &debt->files.files[i];
        if (strcmp(file->name, name) != 0)
            continue;
        file_done(file);
        *file = debt->files.files[--debt->files.count];
    }
}

/* text: taken over; NULL: the file goes. */
static void debt_add(struct keep_debt *debt, const char *name, char *text, size_t len, err why)
{
    char problem[STATE_PROBLEM_BYTES];

    log_warn("%s; it is tried again until it is written", state_problem(debt->files.state, name, why, problem, sizeof(problem)));
    debt->why = why;
    debt_forget(debt, name);
    if (!err_is_ok(file_add(&debt->files, name, text, len)))
        log_error("%s: no memory to try it again", name);
}

void keep_debt_init(struct keep_debt *debt, const struct state *state)
{
    *debt = (struct keep_debt){.why = ERR_OK};
    keep_init(&debt->files, state);
}

void keep_debt_done(struct keep_debt *debt)
{
    for (unsigned i = 0; i < debt->files.count; i++)
        log_error("%s in the state directory was never written", debt->files.files[i].name);
    keep_done(&debt->files);
}

bool keep_debt_pay(struct keep_debt *debt)
{
    for (unsigned i = debt->files.count; i-- > 0;) {
        struct keep_file *file = &debt->files.files[i];
        err written = file_write(debt->files.state, file);
        if (!err_is_ok(written)) {
            debt->why = written;
            continue;
        }
        log_info("%s in the state directory is written now", file->name);
        file_done(file);
        *file = debt->files.files[--debt->files.count];
    }
    return debt->files.count == 0;
}

bool keep_debt_reason(const struct keep_debt *debt, char *buffer, size_t size)
{
    char problem[STATE_PROBLEM_BYTES];

    if (debt->files.count == 0)
        return false;
    state_problem(debt->files.state, debt->files.files[0].name, debt->why, problem, sizeof(problem));
    if (debt->files.count == 1)
        snprintf(buffer, size, "%s; what is in force is not written down yet", problem);
    else
        snprintf(buffer, size, "%s; what is in force is not written down yet, %u files in all", problem, debt->files.count);
    return true;
}

/* ---- all of a change's ---------------------------------------------------------------------------------------------- */

/* What cannot be put back is owed: the text that was there, or that there was none. */
static bool debt_has(const struct keep_debt *debt, const char *name)
{
    for (unsigned i = 0; i < debt->files.count; i++)
        if (strcmp(debt->files.files[i].name, name) == 0)
            return true;
    return false;
}

static void file_undo(const struct state *state, struct keep_file *file, struct keep_debt *debt)
{
    bool was_there = file->backup != NULL;
    err back = file_back(state, file);
    char *text = NULL;
    size_t len = 0;

    file->is_done = false;
    if (err_is_ok(back) || (was_there && file->backup == NULL)) /* there, if perhaps not flushed */
        return;
    if (debt_has(debt, file->name)) /* newer than what was there */
        return;
    if (was_there && !err_is_ok(os_file_read(file->backup, STATE_FILE_BYTES_MAX, &text, &len)))
        log_error("%s in the state directory is of a change that was refused, and cannot be put back", file->name);
    else
        debt_add(debt, file->name, text, len, back);
}

void keep_undo(struct keep *keep, struct keep_debt *debt)
{
    for (unsigned i = keep->count; i-- > 0;)
        if (keep->files[i].is_done)
            file_undo(keep->state, &keep->files[i], debt);
}

err keep_write(struct keep *keep, struct keep_debt *debt, char *message, size_t size)
{
    err result = ERR_OK;
    unsigned at = 0;

    while (at < keep->count && err_is_ok(result = file_stage(keep->state, &keep->files[at])))
        at++;
    if (err_is_ok(result))
        at = 0;
    while (err_is_ok(result) && at < keep->count && err_is_ok(result = file_place(keep->state, &keep->files[at])))
        at++;
    if (!err_is_ok(result)) {
        state_problem(keep->state, keep->files[at].name, result, message, size);
        keep_undo(keep, debt);
        return result;
    }
    return ERR_OK;
}

void keep_settle(const struct keep *keep, struct keep_debt *debt)
{
    for (unsigned i = 0; i < keep->count; i++)
        debt_forget(debt, keep->files[i].name);
}

bool keep_write_or_owe(struct keep *keep, struct keep_debt *debt, char *message, size_t size)
{
    bool is_paid = true;

    for (unsigned i = 0; i < keep->count; i++) {
        struct keep_file *file = &keep->files[i];
        err written = file_write(keep->state, file);
        if (err_is_ok(written)) {
            debt_forget(debt, file->name);
            continue;
        }
        if (is_paid)
            state_problem(keep->state, file->name, written, message, size);
        is_paid = false;
        debt_add(debt, file->name, file->text, file->len, written);
        file->text = NULL; /* the debt's */
    }
    return is_paid;
}
