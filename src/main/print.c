#include "main/print.h"

#include "base/log.h"
#include "main/client.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NAME_BYTES  160u
#define VALUE_BYTES 256u
#define DEPTH_MAX   8u
#define ROW_BYTES   4096u

/* ---- sheets --------------------------------------------------------------------------------------------------------- */

static void sheet_row(struct sheet *sheet, char *row)
{
    if (sheet->rows == sheet->room) {
        unsigned room = MAX(64u, 2 * sheet->room);
        char **cells = realloc(sheet->cells, room * sizeof(*cells));
        sheet->has_failed = sheet->has_failed || cells == NULL;
        if (cells == NULL) {
            free(row);
            return;
        }
        sheet->cells = cells;
        sheet->room = room;
    }
    sheet->has_failed = sheet->has_failed || row == NULL;
    if (row != NULL)
        sheet->cells[sheet->rows++] = row;
}

void sheet_init(struct sheet *sheet, const char *const *head)
{
    char row[ROW_BYTES] = "";

    *sheet = (struct sheet){0};
    for (; *head != NULL; head++) {
        size_t len = strlen(row);
        snprintf(row + len, sizeof(row) - len, "%s%s", sheet->columns > 0 ? "\t" : "", *head);
        sheet->columns++;
    }
    INVARIANT(sheet->columns <= SHEET_COLUMNS_MAX);
    sheet_row(sheet, strdup(row));
}

void sheet_add(struct sheet *sheet, const char *format, ...)
{
    char row[ROW_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(row, sizeof(row), format, args);
    va_end(args);
    sheet_row(sheet, strdup(row));
}

int sheet_print(struct sheet *sheet)
{
    size_t widths[SHEET_COLUMNS_MAX] = {0};

    for (unsigned r = 0; r < sheet->rows; r++) {
        const char *cell = sheet->cells[r];
        for (unsigned c = 0; c < sheet->columns; c++) {
            size_t len = strcspn(cell, "\t");
            widths[c] = MAX(widths[c], len);
            cell += len + (cell[len] == '\t');
        }
    }
    for (unsigned r = 0; r < sheet->rows; r++) {
        const char *cell = sheet->cells[r];
        for (unsigned c = 0; c < sheet->columns; c++) {
            size_t len = strcspn(cell, "\t");
            bool is_last = c + 1 == sheet->columns;
            printf("%.*s%*s", (int)len, cell, is_last ? 0 : (int)(widths[c] - len + 2), "");
            cell += len + (cell[len] == '\t');
        }
        putchar('\n');
        free(sheet->cells[r]);
    }
    free(sheet->cells);
    return sheet->has_failed ? EXIT_FAILED : EXIT_DONE;
}

/* ---- trees ---------------------------------------------------------------------------------------------------------- */

/* The table is walked twice: for the width of its first column, and to be printed. */
struct table {
    int width;
    bool print;
};

static void value_text(const json_t *value, char text[VALUE_BYTES])
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        /* names come from outside: nothing of them may steer the terminal */
        log_text(slice_of(json_string_value(value), json_string_length(value)), text, VALUE_BYTES);
        break;
    case JSON_INTEGER:
        snprintf(text, VALUE_BYTES, "%" PRId64, (int64_t)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(text, VALUE_BYTES, "%.6g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        snprintf(text, VALUE_BYTES, "%s", json_is_true(value) ? "yes" : "no");
        break;
    default:
        snprintf(text, VALUE_BYTES, "-");
    }
}

static void table_walk(struct table *table, const char *name, const json_t *value, unsigned depth);

static void table_member(struct table *table, const char *name, const char *member, const json_t *value,
                         unsigned depth)
{
    char path[NAME_BYTES], safe[NAME_BYTES / 2];

    log_text(slice_str(member), safe, sizeof(safe));
    snprintf(path, sizeof(path), "%s%s%s", name, name[0] != '\0' ? "." : "", safe);
    table_walk(table, path, value, depth + 1);
}

/* A line a value; what is inside another is named path.of.it. */
static void table_walk(struct table *table, const char *name, const json_t *value, unsigned depth)
{
    char text[VALUE_BYTES], index[24];

    if (depth < DEPTH_MAX && json_is_object(value)) {
        json_t *object = (json_t *)(uintptr_t)value; /* jansson's iterators want it without const */
        for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at))
            table_member(table, name, json_object_iter_key(at), json_object_iter_value(at), depth);
    } else if (depth < DEPTH_MAX && json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            snprintf(index, sizeof(index), "%zu", i);
            table_member(table, name, index, json_array_get(value, i), depth);
        }
    } else if (table->print) {
        value_text(value, text);
        printf("%-*s  %s\n", table->width, name, text);
    } else {
        table->width = MAX(table->width, (int)strlen(name));
    }
}

void print_tree(const json_t *object)
{
    struct table table = {0};

    table_walk(&table, "", object, 0);
    table.print = true;
    table_walk(&table, "", object, 0);
}

/* ---- values --------------------------------------------------------------------------------------------------------- */

const char *print_bytes(uint64_t bytes, char text[PRINT_VALUE_BYTES])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    unsigned unit = 0;

    while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    snprintf(text, PRINT_VALUE_BYTES, unit > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}

/* Days since 1970 as a date (Hinnant's civil_from_days). */
const char *print_time(int64_t ms, char text[PRINT_VALUE_BYTES])
{
    int64_t s = ms / 1000, days = s / 86400 + 719468, era = days / 146097, of_era = days - era * 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100), month = (5 * of_year + 2) / 153;
    int64_t day = of_year - (153 * month + 2) / 5 + 1, year = year_of_era + era * 400;

    if (ms <= 0) {
        snprintf(text, PRINT_VALUE_BYTES, "-");
        return text;
    }
    month = month < 10 ? month + 3 : month - 9;
    snprintf(text, PRINT_VALUE_BYTES, "%04d-%02d-%02d %02d:%02d:%02d", (int)(year + (month <= 2)), (int)month, (int)day, (int)(s / 3600 % 24),
             (int)(s / 60 % 60), (int)(s % 60));
    return text;
}

void print_lines(FILE *out, const char *text)
{
    slice rest = slice_str(text);

    while (rest.len > 0) {
        size_t plain = log_text_plain(rest);
        fwrite(rest.data, 1, plain, out);
        rest = slice_from(rest, plain);
        if (rest.len == 0)
            break;
        /* a line's end of either kind, and a tab, steer nothing */
        if (rest.data[0] == '\n' || rest.data[0] == '\t' || slice_starts(rest, SLICE("\r\n")))
            fputc(rest.data[0], out);
        else
            fprintf(out, "\\x%02x", (unsigned char)rest.data[0]);
        rest = slice_from(rest, 1);
    }
    if (text[0] != '\0' && text[strlen(text) - 1] != '\n')
        fputc('\n', out);
}

const char *print_text(const json_t *object, const char *name, char *text, size_t size)
{
    const json_t *value = json_object_get(object, name);

    return log_text(json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value)) : SLICE(""), text, size);
}

uint64_t print_number(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}
