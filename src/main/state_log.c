#include "main/state_log.h"

#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 80u

/* ---- lines ---------------------------------------------------------------------------------------------------------- */

/* The number that a line begins with; 0: it is none of ours. */
static uint64_t number_of(slice line)
{
    const slice start = SLICE("{\"number\":");
    uint64_t number;
    size_t digits = 0;

    if (line.len <= start.len || memcmp(line.data, start.data, start.len) != 0 || line.data[line.len - 1] != '}')
        return 0;
    line = slice_from(line, start.len);
    while (digits < line.len && line.data[digits] >= '0' && line.data[digits] <= '9')
        digits++;
    return slice_to_u64(slice_of(line.data, digits), &number) ? number : 0;
}

static slice line_next(slice *rest)
{
    ptrdiff_t end = slice_find(*rest, '\n');
    slice line = end >= 0 ? slice_of(rest->data, (size_t)end) : *rest;

    *rest = slice_from(*rest, end >= 0 ? (size_t)end + 1 : rest->len);
    return line;
}

/* 0: there is none. */
static uint64_t first_number(slice text)
{
    uint64_t number = 0;

    while (text.len > 0 && number == 0)
        number = number_of(line_next(&text));
    return number;
}

static uint64_t last_number(slice text)
{
    uint64_t number = 0;

    while (text.len > 0) {
        slice line = line_next(&text);
        number = MAX(number, number_of(line));
    }
    return number;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static const char *name_before(const struct state_log *log, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%s.1", log->name);
    return name;
}

/* free() it; not there: empty. */
MUST_USE static err file_read(const struct state_log *log, const char *name, slice *ret_text)
{
    char *text = NULL;
    size_t len = 0;
    err result = state_read(log->state, name, &text, &len);

    *ret_text = slice_of(text, len);
    return result.code == ERR_NOT_FOUND ? ERR_OK : result;
}

static void file_free(slice text)
{
    free((char *)(uintptr_t)text.data);
}

void state_log_open(struct state_log *log, const struct state *state, const char *name)
{
    char before_name[NAME_BYTES];
    slice text = SLICE_NONE;

    *log = (struct state_log){.state = state, .name = name};
    if (err_is_ok(file_read(log, name, &text))) {
        log->bytes = text.len;
        log->is_torn = text.len > 0 && text.data[text.len - 1] != '\n';
        log->last = last_number(text);
    }
    file_free(text);
    if (log->last == 0 && err_is_ok(file_read(log, name_before(log, before_name), &text))) {
        log->last = last_number(text);
        file_free(text);
    }
}

/* ---- appending ------------------------------------------------------------------------------------------------------ */

MUST_USE static err turn_over(struct state_log *log)
{
    char from[STATE_PATH_BYTES], to[STATE_PATH_BYTES], before_name[NAME_BYTES];

    TRY(state_path(log->state, log->name, from, sizeof(from)));
    TRY(state_path(log->state, name_before(log, before_name), to, sizeof(to)));
    TRY(os_file_rename(from, to));
    log->bytes = 0;
    log->is_torn = false;
    return ERR_OK;
}

/* Opened for each call: what became of the file meanwhile is seen. */
MUST_USE static err file_append(struct state_log *log, slice lines)
{
    char path[STATE_PATH_BYTES];
    err written = ERR_OK;
    int fd;

    TRY(state_make_room(log->state, log->name));
    TRY(state_path(log->state, log->name, path, sizeof(path)));
    TRY(os_append_open(path, &fd));
    if (log->is_torn)
        written = os_append_whole(fd, SLICE("\n"));
    if (err_is_ok(written))
        written = os_append_whole(fd, lines);
    os_append_close(fd);
    return written;
}

err state_log_append(struct state_log *log, slice lines, uint64_t last)
{
    if (log->bytes > 0 && log->bytes + lines.len > STATE_LOG_BYTES)
        TRY(turn_over(log));
    TRY(file_append(log, lines));
    log->bytes += lines.len;
    log->is_torn = false;
    log->last = last;
    return ERR_OK;
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* Which lines: those behind the number since, without the first `skip`, at most max. */
struct wanted {
    uint64_t since;
    unsigned skip, max;
};

static void copy_wanted(FILE *out, slice text, struct wanted *wanted)
{
    while (text.len > 0 && wanted->max > 0) {
        slice line = line_next(&text);
        if (number_of(line) <= wanted->since)
            continue;
        if (wanted->skip > 0) {
            wanted->skip--;
            continue;
        }
        fprintf(out, SLICE_FMT "\n", SLICE_ARG(line));
        wanted->since = number_of(line); /* where the file was turned over meanwhile its lines come twice */
        wanted->max--;
    }
}

/* The file before is looked at only where it has something to say. */
MUST_USE static err texts_read(const struct state_log *log, uint64_t since, slice *ret_before, slice *ret_now)
{
    char before_name[NAME_BYTES];
    uint64_t first;

    *ret_before = SLICE_NONE;
    TRY(file_read(log, log->name, ret_now));
    first = first_number(*ret_now);
    if (first != 0 && first - 1 <= since)
        return ERR_OK;
    err result = file_read(log, name_before(log, before_name), ret_before);
    if (!err_is_ok(result))
        file_free(*ret_now);
    return result;
}

static unsigned count_lines(slice text)
{
    unsigned count = 0;

    while (text.len > 0)
        count += number_of(line_next(&text)) != 0;
    return count;
}

MUST_USE static err copy_out(slice before, slice now, struct wanted wanted, char **ret_text, size_t *ret_len)
{
    FILE *out = open_memstream(ret_text, ret_len);

    ENSURE(out != NULL, MEMORY);
    copy_wanted(out, before, &wanted);
    copy_wanted(out, now, &wanted);
    ENSURE(fclose(out) == 0, MEMORY);
    return ERR_OK;
}

err state_log_read(const struct state_log *log, uint64_t since, unsigned max, char **ret_text, size_t *ret_len)
{
    slice before, now;

    TRY(texts_read(log, since, &before, &now));
    err result = copy_out(before, now, (struct wanted){since, 0, max}, ret_text, ret_len);
    file_free(before);
    file_free(now);
    return result;
}

err state_log_newest(const struct state_log *log, unsigned max, char **ret_text, size_t *ret_len)
{
    slice before, now;
    unsigned count;

    TRY(texts_read(log, 0, &before, &now));
    count = count_lines(before) + count_lines(now);
    err result = copy_out(before, now, (struct wanted){0, count - MIN(count, max), max}, ret_text, ret_len);
    file_free(before);
    file_free(now);
    return result;
}
