#include "http/token.h"

#define T CHAR_TOKEN
#define F CHAR_FIELD
#define U CHAR_TARGET
#define H CHAR_HOST
#define X CHAR_HEX
/* Runs of letters and digits, without the range designators of GNU C (-Wpedantic). */
#define RUN2(c, v)  [c] = (v), [(c) + 1] = (v)
#define RUN6(c, v)  RUN2(c, v), RUN2((c) + 2, v), RUN2((c) + 4, v)
#define RUN10(c, v) RUN6(c, v), RUN2((c) + 6, v), RUN2((c) + 8, v)
#define RUN20(c, v) RUN10(c, v), RUN10((c) + 10, v)
#define RUN64(c, v) RUN20(c, v), RUN20((c) + 20, v), RUN20((c) + 40, v), RUN2((c) + 60, v), RUN2((c) + 62, v)

const uint8_t char_classes[256] = {
    ['\t'] = F,
    [' '] = F,
    ['"'] = F | U, ['('] = F | U, [')'] = F | U, [','] = F | U, ['/'] = F | U, [':'] = F | U, [';'] = F | U,
    ['<'] = F | U, ['='] = F | U, ['>'] = F | U, ['?'] = F | U, ['@'] = F | U, ['['] = F | U, ['\\'] = F | U,
    [']'] = F | U, ['{'] = F | U, ['}'] = F | U,
    ['#'] = F | T,
    ['!'] = F | U | T, ['$'] = F | U | T, ['%'] = F | U | T, ['&'] = F | U | T, ['\''] = F | U | T,
    ['*'] = F | U | T, ['+'] = F | U | T, ['^'] = F | U | T, ['`'] = F | U | T, ['|'] = F | U | T,
    ['-'] = F | U | T | H, ['.'] = F | U | T | H, ['_'] = F | U | T | H, ['~'] = F | U | T | H,
    RUN10('0', F | U | T | H | X),
    RUN6('A', F | U | T | H | X), RUN20('G', F | U | T | H),
    RUN6('a', F | U | T | H | X), RUN20('g', F | U | T | H),
    RUN64(0x80, F), RUN64(0xc0, F), /* obs-text */
};

bool slice_is_all(slice s, unsigned classes)
{
    for (size_t i = 0; i < s.len; i++)
        if (!char_is((unsigned char)s.data[i], classes))
            return false;
    return s.len > 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool field_value_is_valid(slice s)
{
    size_t plain = 0;

    while (s.len - plain >= 8 && chars_are_plain(s.data + plain))
        plain += 8;
    if (s.len == 0)
        return true;
    return (plain == s.len || slice_is_all(slice_from(s, plain), CHAR_FIELD)) && !is_blank(s.data[0]) && !is_blank(s.data[s.len - 1]);
}

/* Behind the closing quotation mark of the string that begins at at; the end when it is never closed. */
static size_t quoted_end(slice s, size_t at)
{
    for (at++; at < s.len; at++) {
        if (s.data[at] == '"')
            return at + 1;
        if (s.data[at] == '\\')
            at++;
    }
    return s.len;
}

bool list_next(slice *rest, slice *ret_item)
{
    slice s = *rest;

    while (s.len > 0) {
        size_t at = 0;
        slice item;

        while (at < s.len && s.data[at] != ',')
            at = s.data[at] == '"' ? quoted_end(s, at) : at + 1;
        item = slice_trim(slice_of(s.data, at));
        s = slice_from(s, at < s.len ? at + 1 : at);
        if (item.len > 0) {
            *rest = s;
            *ret_item = item;
            return true;
        }
    }
    *rest = s;
    return false;
}

bool param_parse(slice item, struct param *ret_param)
{
    struct param param = {.name = item};
    ptrdiff_t equals = slice_find(item, '=');

    if (equals >= 0) {
        param.name.len = (size_t)equals;
        param.value = slice_from(item, (size_t)equals + 1);
        param.has_value = true;
    }
    if (!token_is_valid(param.name))
        return false;
    if (param.value.len > 0 && param.value.data[0] == '"') {
        if (param.value.len < 2 || quoted_end(param.value, 0) != param.value.len || !slice_ends(param.value, SLICE("\"")))
            return false;
        param.value = slice_of(param.value.data + 1, param.value.len - 2);
        /* An escaped quotation mark at the end closes nothing. */
        for (size_t i = 0; i < param.value.len; i++)
            if (param.value.data[i] == '\\' && ++i == param.value.len)
                return false;
        param.quoted = true;
    } else if (param.has_value && !token_is_valid(param.value)) {
        return false;
    }
    *ret_param = param;
    return true;
}

slice quoted_unescape(struct arena *arena, slice content)
{
    char *text;
    size_t len = 0;

    if (slice_find(content, '\\') < 0)
        return content;
    text = arena_alloc(arena, content.len);
    if (text == NULL)
        return SLICE_NONE;
    for (size_t i = 0; i < content.len; i++) {
        if (content.data[i] == '\\' && i + 1 < content.len)
            i++;
        text[len++] = content.data[i];
    }
    return slice_of(text, len);
}

bool fields_list_contains(const struct fields *fields, enum field_id id, slice token)
{
    for (int i = -1; (i = fields_next(fields, id, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i), item;
        while (list_next(&rest, &item)) {
            ptrdiff_t semicolon = slice_find(item, ';');
            if (semicolon >= 0)
                item = slice_trim(slice_of(item.data, (size_t)semicolon));
            if (slice_eq_nocase(item, token))
                return true;
        }
    }
    return false;
}
