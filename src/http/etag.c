#include "http/etag.h"

/* etagc: printable but the quotation mark, and obs-text. A backslash is an ordinary character. */
static bool is_etagc(char c)
{
    return (unsigned char)c > 0x20 && c != '"' && c != 0x7f;
}

/* A tag at the front of s; how long it is, 0: none. */
static size_t etag_scan(slice s, struct etag *ret_tag)
{
    bool weak = slice_starts(s, SLICE("W/"));
    size_t begin = weak ? 2 : 0, at = begin + 1;

    if (begin >= s.len || s.data[begin] != '"')
        return 0;
    while (at < s.len && is_etagc(s.data[at]))
        at++;
    if (at >= s.len || s.data[at] != '"')
        return 0;
    *ret_tag = (struct etag){.opaque = slice_of(s.data + begin, at + 1 - begin), .weak = weak};
    return at + 1;
}

bool etag_parse(slice s, struct etag *ret_tag)
{
    struct etag tag;

    if (s.len == 0 || etag_scan(s, &tag) != s.len)
        return false;
    *ret_tag = tag;
    return true;
}

bool etag_next(slice *rest, struct etag *ret_tag)
{
    slice s = *rest;

    while (s.len > 0) {
        struct etag tag;
        size_t len;
        ptrdiff_t comma;

        s = slice_trim(s);
        len = etag_scan(s, &tag);
        comma = slice_find(slice_from(s, len), ',');
        *rest = comma >= 0 ? slice_from(s, len + (size_t)comma + 1) : SLICE("");
        /* Behind a tag only white space may stand before the comma. */
        if (len > 0 && slice_trim(slice_of(s.data + len, comma >= 0 ? (size_t)comma : s.len - len)).len == 0) {
            *ret_tag = tag;
            return true;
        }
        s = *rest;
    }
    *rest = s;
    return false;
}

bool etag_eq_strong(struct etag a, struct etag b)
{
    return !a.weak && !b.weak && etag_eq_weak(a, b);
}

bool etag_eq_weak(struct etag a, struct etag b)
{
    return a.opaque.data != NULL && b.opaque.data != NULL && slice_eq(a.opaque, b.opaque);
}

bool etag_list_matches(const struct fields *fields, enum field_id id, struct etag tag, bool strong)
{
    for (int i = -1; (i = fields_next(fields, id, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i);
        struct etag other;

        if (slice_eq(rest, SLICE("*")))
            return true;
        while (tag.opaque.data != NULL && etag_next(&rest, &other))
            if (strong ? etag_eq_strong(tag, other) : etag_eq_weak(tag, other))
                return true;
    }
    return false;
}
