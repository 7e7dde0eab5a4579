#include "demo/query.h"

static int hex_digit(char c)
{
    unsigned char lower = ascii_lower((unsigned char)c);

    if (ascii_is_digit(lower))
        return lower - '0';
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* A per cent sign without two digits behind it stands for itself. */
static slice query_decode(slice raw, struct arena *arena)
{
    char *text = arena_alloc(arena, raw.len), *at = text;

    if (text == NULL)
        return SLICE_NONE;
    for (size_t i = 0; i < raw.len; i++) {
        int high = i + 2 < raw.len ? hex_digit(raw.data[i + 1]) : -1;
        int low = i + 2 < raw.len ? hex_digit(raw.data[i + 2]) : -1;
        if (raw.data[i] == '%' && high >= 0 && low >= 0) {
            *at++ = (char)(high << 4 | low);
            i += 2;
        } else {
            *at++ = raw.data[i] == '+' ? ' ' : raw.data[i];
        }
    }
    return slice_of(text, (size_t)(at - text));
}

slice query_get(slice query, slice name, struct arena *arena)
{
    while (query.len > 0) {
        ptrdiff_t end = slice_find(query, '&'), equals;
        slice pair = slice_of(query.data, end >= 0 ? (size_t)end : query.len);

        query = slice_from(query, end >= 0 ? (size_t)end + 1 : query.len);
        equals = slice_find(pair, '=');
        if (equals >= 0 && slice_eq(slice_of(pair.data, (size_t)equals), name))
            return query_decode(slice_from(pair, (size_t)equals + 1), arena);
    }
    return SLICE_NONE;
}

bool query_get_number(slice query, slice name, struct arena *arena, uint64_t least, uint64_t most,
                      uint64_t otherwise, uint64_t *ret_value)
{
    slice text = query_get(query, name, arena);
    uint64_t value = otherwise;

    if (text.data != NULL && (!slice_to_u64(text, &value) || value < least || value > most))
        return false;
    *ret_value = value;
    return true;
}

static slice char_escape(const char *c)
{
    switch (*c) {
    case '&':
        return SLICE("&amp;");
    case '<':
        return SLICE("&lt;");
    case '>':
        return SLICE("&gt;");
    case '"':
        return SLICE("&quot;");
    case '\'':
        return SLICE("&#39;");
    default:
        return (unsigned char)*c < 0x20 || *c == 0x7f ? SLICE("\xef\xbf\xbd") : slice_of(c, 1);
    }
}

slice html_escape(slice text, struct arena *arena)
{
    size_t size = 0;
    char *html, *at;

    for (size_t i = 0; i < text.len; i++)
        size += char_escape(text.data + i).len;
    html = at = arena_alloc(arena, size);
    if (html == NULL)
        return SLICE_NONE;
    for (size_t i = 0; i < text.len; i++) {
        slice piece = char_escape(text.data + i);
        memcpy(at, piece.data, piece.len);
        at += piece.len;
    }
    return slice_of(html, size);
}
