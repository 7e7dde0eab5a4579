/* print: what client commands show people: sheets of columns, and JSON as lines of name and value. What came from outside
 * never steers the terminal. */
#ifndef WARP_MAIN_PRINT_H
#define WARP_MAIN_PRINT_H

#include "base/base.h"

#include <jansson.h>
#include <stdio.h>

#define SHEET_COLUMNS_MAX 12u
#define PRINT_VALUE_BYTES 80u

/* Rows of text, as wide as they need be. */
struct sheet {
    unsigned columns, rows, room;
    char **cells; /* the first row is the head */
    bool has_failed;
};
/* head: a word a column, ends with NULL. */
void sheet_init(struct sheet *sheet, const char *const *head);
/* A row, as one text with a tab between the cells. */
void sheet_add(struct sheet *sheet, const char *format, ...) PRINTF(2, 3);
/* Prints it, and lets go of it. Returns the exit code. */
int sheet_print(struct sheet *sheet);

/* A text of lines to its last byte, each ended: a configuration can be read again. */
void print_lines(FILE *out, const char *text);
/* A line a value; what is inside another is named path.of.it. */
void print_tree(const json_t *object);
/* "1.5 MiB", "12 KiB", "7 B". */
const char *print_bytes(uint64_t bytes, char text[PRINT_VALUE_BYTES]);
/* "2026-11-23 15:17:30", in UTC; "-" for 0. */
const char *print_time(int64_t ms, char text[PRINT_VALUE_BYTES]);
/* A member that is a text, fit for a terminal; "" where there is none. */
const char *print_text(const json_t *object, const char *name, char *text, size_t size);
uint64_t print_number(const json_t *object, const char *name);

#endif
