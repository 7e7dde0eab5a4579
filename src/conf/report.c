/* What is wrong with a configuration, and where. */
#include "conf/document_own.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

err conf_report_new(struct conf_report **ret_report)
{
    struct conf_report *report = calloc(1, sizeof(*report));
    struct arena *arena = malloc(sizeof(*arena));

    if (report == NULL || arena == NULL) {
        free(report);
        free(arena);
        return ERR(MEMORY);
    }
    arena_init(arena, NULL, 0, 0);
    report->arena = arena;
    *ret_report = report;
    return ERR_OK;
}

struct conf_report *conf_report_free(struct conf_report *report)
{
    if (report != NULL) {
        arena_done(report->arena);
        free(report->arena);
    }
    free(report);
    return NULL;
}

static void report_keep(struct conf_report *report, const struct conf_document *document, struct conf_mark mark,
                        const char *where, const char *what)
{
    bool has_file = document != NULL && mark.file < document->file_count;
    slice path = arena_printf(report->arena, "%s", has_file ? document->files[mark.file].path : "");
    slice kept_where = arena_printf(report->arena, "%s", where), kept = arena_printf(report->arena, "%s", what);

    if (report->count == CONF_PROBLEMS_MAX || path.data == NULL || kept_where.data == NULL || kept.data == NULL) {
        report->more++;
        return;
    }
    report->problems[report->count++] =
        (struct conf_problem){.path = path.data, .mark = mark, .where = kept_where.data, .what = kept.data};
}

void conf_report_add(struct conf_report *report, const struct conf_document *document, struct conf_mark mark, const char *where,
                     const char *format, ...)
{
    char what[CONF_WHAT_BYTES];
    va_list args;

    if (!conf_report_has_room(report)) {
        report->more++;
        return;
    }
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    report_keep(report, document, mark, where, what);
}

/* By place; what has none (flags, the environment) first. */
static bool problem_is_behind(const struct conf_problem *a, const struct conf_problem *b)
{
    bool a_is_placed = a->path[0] != '\0', b_is_placed = b->path[0] != '\0';

    if (a_is_placed != b_is_placed)
        return a_is_placed;
    if (a->mark.file != b->mark.file)
        return a->mark.file > b->mark.file;
    if (a->mark.line != b->mark.line)
        return a->mark.line > b->mark.line;
    return a->mark.column > b->mark.column;
}

void conf_report_sort(struct conf_report *report)
{
    for (unsigned i = 1; i < report->count; i++) {
        struct conf_problem problem = report->problems[i];
        unsigned at = i;

        for (; at > 0 && problem_is_behind(&report->problems[at - 1], &problem); at--)
            report->problems[at] = report->problems[at - 1];
        report->problems[at] = problem;
    }
}

static void problem_write(FILE *out, const struct conf_problem *problem)
{
    char path[512];

    if (problem->path[0] != '\0')
        fprintf(out, "%s:", log_safe(slice_str(problem->path), path, sizeof(path)));
    if (problem->mark.line > 0)
        fprintf(out, "%u:%u:", problem->mark.line, problem->mark.column);
    if (problem->path[0] != '\0')
        fputc(' ', out);
    if (problem->where[0] != '\0')
        fprintf(out, "%s: ", problem->where);
    fprintf(out, "%s\n", problem->what);
}

const char *conf_report_text(struct conf_report *report)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    slice copy = SLICE_NONE;

    if (out == NULL)
        return "out of memory\n";
    conf_report_sort(report);
    for (unsigned i = 0; i < report->count; i++)
        problem_write(out, &report->problems[i]);
    if (report->more > 0)
        fprintf(out, "and %u more\n", report->more);
    if (fclose(out) == 0)
        copy = arena_printf(report->arena, "%s", text);
    free(text);
    return copy.data != NULL ? copy.data : "out of memory\n";
}

/* ---- paths of keys ------------------------------------------------------------------------------------------- */

static size_t path_write(const struct conf_path *path, char *buffer, size_t size)
{
    char key[CONF_QUOTED_BYTES];
    size_t at = path->up != NULL ? path_write(path->up, buffer, size) : 0;

    if (path->is_item)
        at += (size_t)snprintf(buffer + at, size - at, "[%u]", path->index);
    else
        at += (size_t)snprintf(buffer + at, size - at, "%s%s", at > 0 ? "." : "", log_safe(path->key, key, sizeof(key)));
    return MIN(at, size - 1);
}

const char *conf_path_text(const struct conf_path *path, char buffer[CONF_WHERE_BYTES])
{
    buffer[0] = '\0';
    if (path != NULL)
        path_write(path, buffer, CONF_WHERE_BYTES);
    return buffer;
}

void conf_path_problem(struct conf_report *report, const struct conf_document *document, struct conf_mark mark,
                       const struct conf_path *path, const char *format, ...)
{
    char where[CONF_WHERE_BYTES], what[CONF_WHAT_BYTES];
    va_list args;

    if (!conf_report_has_room(report)) {
        report->more++;
        return;
    }
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    report_keep(report, document, mark, path != NULL ? conf_path_text(path, where) : "yaml", what);
}

const char *conf_mark_text(const struct conf_document *document, struct conf_mark mark, char *buffer, size_t size)
{
    snprintf(buffer, size, "%s:%u:%u", document->files[mark.file].path, mark.line, mark.column);
    return buffer;
}

const char *conf_quoted(slice text, char buffer[CONF_QUOTED_BYTES])
{
    size_t len;

    buffer[0] = '"';
    log_safe(text, buffer + 1, CONF_QUOTED_BYTES - 2);
    len = strlen(buffer);
    buffer[len] = '"';
    buffer[len + 1] = '\0';
    return buffer;
}
