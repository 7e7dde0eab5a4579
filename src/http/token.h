/* token: the alphabets of RFC 9110 5.6 and the small grammars made of them. Pure; slices point into the input. */
#ifndef WARP_HTTP_TOKEN_H
#define WARP_HTTP_TOKEN_H

#include "http/field.h"

enum char_class {
    CHAR_TOKEN = 1,  /* tchar (RFC 9110 5.6.2) */
    CHAR_FIELD = 2,  /* HTAB, SP, VCHAR, obs-text: what a field value may hold */
    CHAR_TARGET = 4, /* printable ASCII but '#': what a request target may hold */
    CHAR_HOST = 8,   /* unreserved (RFC 3986 2.3): what a registered name may hold here */
    CHAR_HEX = 16,
};
extern const uint8_t char_classes[256];

static inline bool char_is(unsigned char c, unsigned classes)
{
    return (char_classes[c] & classes) != 0;
}

/* At least one byte, all of them of one of the classes. */
bool slice_is_all(slice s, unsigned classes);
static inline bool token_is_valid(slice s)
{
    return slice_is_all(s, CHAR_TOKEN);
}
/* No CTL but HTAB, no white space at the ends; may be empty. */
bool field_value_is_valid(slice s);

/* The next non-empty member of a comma list (RFC 9110 5.6.1), trimmed; commas in quoted strings do not
 * separate. Behind a quotation mark that is never closed everything is one item. false at the end.
 * Time is linear over all calls. Not for entity tags (a backslash means nothing there): etag_next. */
bool list_next(slice *rest, slice *ret_item);

/* The eight bytes at `at` are none below 0x20 and no DEL. False may be a false alarm (the carry of the subtractions). */
static inline bool chars_are_plain(const char *at)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t word, del;

    memcpy(&word, at, 8);
    del = word ^ (ones * 0x7f);
    return ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & highs) == 0;
}

/* name, name=token or name="quoted string" (RFC 9110 5.6.6). */
struct param {
    slice name;
    slice value;    /* between the quotation marks when quoted, escapes still in */
    bool has_value; /* there was a '=' */
    bool quoted;
};
/* The whole item must be one parameter, without white space around '='. */
MUST_USE bool param_parse(slice item, struct param *ret_param);

/* The content of a quoted string (without its quotation marks) with the escapes taken out: the input itself
 * when it has none, else a copy. data NULL when the arena is full. */
MUST_USE slice quoted_unescape(struct arena *arena, slice content);

/* Is token a member of the list made of all lines with that id? Case-insensitive, parameters not looked at. */
bool fields_list_contains(const struct fields *fields, enum field_id id, slice token);

#endif
