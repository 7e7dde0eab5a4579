#include "admin/diff.h"

#include "base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CONTEXT    3u
#define HEAD_BYTES 256u

struct line {
    slice text; /* without its end */
    uint64_t hash;
};

struct lines {
    struct line *items;
    unsigned count;
    bool *is_changed; /* it is not in the other text */
};

struct out {
    char *text;
    size_t len, room, max;
    bool is_cut, has_failed;
};

/* ---- lines -------------------------------------------------------------------------------------------------------- */

static void lines_done(struct lines *lines)
{
    free(lines->items);
    free(lines->is_changed);
}

MUST_USE static err lines_of(slice text, struct lines *ret_lines)
{
    size_t count = text.len > 0 && text.data[text.len - 1] != '\n';

    for (size_t i = 0; i < text.len; i++)
        count += text.data[i] == '\n';
    ENSURE(count <= DIFF_LINES_MAX, LIMIT);
    ret_lines->items = calloc(count + 1, sizeof(ret_lines->items[0]));
    ret_lines->is_changed = calloc(count + 1, sizeof(ret_lines->is_changed[0]));
    ENSURE(ret_lines->items != NULL && ret_lines->is_changed != NULL, MEMORY);
    while (text.len > 0) {
        ptrdiff_t end = slice_find(text, '\n');
        slice line = slice_of(text.data, end >= 0 ? (size_t)end : text.len);
        ret_lines->items[ret_lines->count++] = (struct line){line, hash64(line, 0)};
        text = slice_from(text, end >= 0 ? (size_t)end + 1 : text.len);
    }
    return ERR_OK;
}

static bool line_eq(const struct line *a, const struct line *b)
{
    return a->hash == b->hash && slice_eq(a->text, b->text);
}

/* ---- the shortest way --------------------------------------------------------------------------------------------- */

/* What is between the lines that both texts begin and end with. */
struct middle {
    const struct line *a, *b;
    bool *a_changed, *b_changed;
    int n, m;
};

static struct middle middle_of(struct lines *from, struct lines *to)
{
    unsigned head = 0, tail = 0, least = MIN(from->count, to->count);

    while (head < least && line_eq(&from->items[head], &to->items[head]))
        head++;
    while (tail < least - head && line_eq(&from->items[from->count - 1 - tail], &to->items[to->count - 1 - tail]))
        tail++;
    return (struct middle){.a = from->items + head,
                           .b = to->items + head,
                           .a_changed = from->is_changed + head,
                           .b_changed = to->is_changed + head,
                           .n = (int)(from->count - head - tail),
                           .m = (int)(to->count - head - tail)};
}

/* For step d the farthest x on the diagonals k = -d, -d + 2, ... d: a row of d + 1. */
static int *row_of(int *rows, int d)
{
    return rows + (size_t)d * ((size_t)d + 1) / 2;
}

/* Where diagonal k is reached from by step d: true from k + 1 (a line of b more), else from k - 1. */
static bool is_down(const int *before, int d, int k)
{
    return k == -d || (k != d && before[(k - 1 + d - 1) / 2] < before[(k + 1 + d - 1) / 2]);
}

/* Fills the row of step d; true: both ends are reached. */
static bool row_fill(const struct middle *middle, int *rows, int d)
{
    int *row = row_of(rows, d);
    const int *before = d > 0 ? row_of(rows, d - 1) : NULL;

    for (int k = -d; k <= d; k += 2) {
        int x = d == 0 ? 0 : is_down(before, d, k) ? before[(k + 1 + d - 1) / 2] : before[(k - 1 + d - 1) / 2] + 1, y = x - k;
        while (x < middle->n && y >= 0 && y < middle->m && line_eq(&middle->a[x], &middle->b[y])) {
            x++;
            y++;
        }
        row[(k + d) / 2] = x;
        if (x >= middle->n && y >= middle->m)
            return true;
    }
    return false;
}

static void way_back(const struct middle *middle, int *rows, int d)
{
    int x = middle->n, y = middle->m;

    for (; d > 0; d--) {
        int k = x - y;
        const int *before = row_of(rows, d - 1);
        if (is_down(before, d, k)) {
            x = before[(k + 1 + d - 1) / 2];
            y = x - (k + 1);
            if (y < middle->m)
                middle->b_changed[y] = true;
        } else {
            x = before[(k - 1 + d - 1) / 2];
            y = x - (k - 1);
            if (x < middle->n)
                middle->a_changed[x] = true;
        }
    }
}

static void all_changed(const struct middle *middle)
{
    memset(middle->a_changed, true, (size_t)middle->n);
    memset(middle->b_changed, true, (size_t)middle->m);
}

MUST_USE static err mark(const struct middle *middle)
{
    int steps_max = (int)MIN((unsigned)middle->n + (unsigned)middle->m, DIFF_EDITS_MAX), d = 0;
    int *rows;

    if (middle->n == 0 || middle->m == 0) {
        all_changed(middle);
        return ERR_OK;
    }
    rows = malloc(((size_t)steps_max + 1) * ((size_t)steps_max + 2) / 2 * sizeof(*rows));
    ENSURE(rows != NULL, MEMORY);
    while (d <= steps_max && !row_fill(middle, rows, d))
        d++;
    if (d <= steps_max)
        way_back(middle, rows, d);
    else
        all_changed(middle);
    free(rows);
    return ERR_OK;
}

/* ---- as text ------------------------------------------------------------------------------------------------------ */

static void out_line(struct out *out, const char *before, slice text)
{
    size_t size = strlen(before) + text.len + 1;

    if (out->is_cut || out->has_failed)
        return;
    out->is_cut = size > out->max - out->len;
    if (out->is_cut)
        return;
    if (out->len + size >= out->room) {
        size_t room = MAX(2 * out->room, out->len + size + 1);
        char *grown = realloc(out->text, room);
        out->has_failed = grown == NULL;
        if (grown == NULL)
            return;
        out->text = grown;
        out->room = room;
    }
    memcpy(out->text + out->len, before, strlen(before));
    memcpy(out->text + out->len + strlen(before), text.data, text.len);
    out->len += size;
    out->text[out->len - 1] = '\n';
}

/* Lines behind `from` of which one in CONTEXT * 2 is changed belong to one piece: where it ends, in both texts. */
struct piece {
    unsigned a, b, a_end, b_end;
};

static bool piece_next(const struct lines *from, const struct lines *to, struct piece *piece)
{
    unsigned a = piece->a_end, b = piece->b_end, same = 0;

    while (a < from->count && !from->is_changed[a] && !(b < to->count && to->is_changed[b])) {
        a++;
        b++;
    }
    if (a >= from->count && b >= to->count)
        return false;
    piece->a = a;
    piece->b = b;
    while ((a < from->count || b < to->count) && same <= 2 * CONTEXT) {
        bool a_changed = a < from->count && from->is_changed[a], b_changed = b < to->count && to->is_changed[b];
        same = a_changed || b_changed ? 0 : same + 1;
        a += a_changed || !b_changed;
        b += !a_changed; /* first what goes, then what comes */
    }
    piece->a_end = a - same;
    piece->b_end = b - same;
    return true;
}

static void piece_print(struct out *out, const struct lines *from, const struct lines *to, const struct piece *piece)
{
    unsigned before = MIN(CONTEXT, piece->a), behind = MIN(CONTEXT, from->count - piece->a_end);
    unsigned a = piece->a - before, b = piece->b - before, a_end = piece->a_end + behind, b_end = piece->b_end + behind;
    char head[HEAD_BYTES];

    snprintf(head, sizeof(head), "@@ -%u,%u +%u,%u @@", a_end > a ? a + 1 : a, a_end - a, b_end > b ? b + 1 : b, b_end - b);
    out_line(out, head, SLICE(""));
    while (a < a_end || b < b_end) {
        bool a_changed = a < a_end && from->is_changed[a], b_changed = b < b_end && to->is_changed[b];
        if (a_changed) {
            out_line(out, "-", from->items[a++].text);
        } else if (b_changed) {
            out_line(out, "+", to->items[b++].text);
        } else {
            out_line(out, " ", from->items[a++].text);
            b++;
        }
    }
}

MUST_USE static err print(const struct lines *from, const struct lines *to, const char *from_name, const char *to_name, struct out *out)
{
    struct piece piece = {0};
    bool is_first = true;

    out->text = calloc(1, 1);
    ENSURE(out->text != NULL, MEMORY);
    out->room = 1;
    while (!out->is_cut && piece_next(from, to, &piece)) {
        if (is_first) {
            out_line(out, "--- ", slice_str(from_name));
            out_line(out, "+++ ", slice_str(to_name));
        }
        is_first = false;
        piece_print(out, from, to, &piece);
    }
    ENSURE(!out->has_failed, MEMORY);
    out->text[out->len] = '\0';
    return ERR_OK;
}

err diff_unified(slice from, slice to, const char *from_name, const char *to_name, size_t max, char **ret_text, size_t *ret_len,
                 bool *ret_is_cut)
{
    struct lines a = {0}, b = {0};
    struct out out = {.max = max};
    err result = lines_of(from, &a);

    if (err_is_ok(result))
        result = lines_of(to, &b);
    if (err_is_ok(result)) {
        struct middle middle = middle_of(&a, &b);
        result = mark(&middle);
    }
    if (err_is_ok(result))
        result = print(&a, &b, from_name, to_name, &out);
    lines_done(&a);
    lines_done(&b);
    if (!err_is_ok(result)) {
        free(out.text);
        return result;
    }
    *ret_text = out.text;
    *ret_len = out.len;
    *ret_is_cut = out.is_cut;
    return ERR_OK;
}
