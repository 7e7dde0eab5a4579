/* sf: structured fields (RFC 9651), one member at a time.
 *
 * A field with an error anywhere is ignored as a whole (4.2): fill a local, use it only after SF_END. When a
 * dictionary key comes twice the last one counts: overwrite. */
#ifndef WARP_HTTP_SF_H
#define WARP_HTTP_SF_H

#include "http/field.h"

#define SF_MEMBERS_MAX 1024u /* RFC 9651 3.1: at least 1024; more are an error */

enum sf_type {
    SF_INTEGER,
    SF_DECIMAL, /* number is in thousandths */
    SF_STRING,  /* text is unescaped */
    SF_TOKEN,
    SF_BYTES,   /* text is the base64 as sent */
    SF_BOOLEAN, /* number is 0 or 1 */
    SF_DATE,    /* number is seconds */
    SF_DISPLAY, /* text as sent, percent-encoded */
    SF_INNER,   /* text is what stands between the parentheses: sf_inner_next */
};

struct sf_item {
    enum sf_type type;
    int64_t number;
    slice text;
    slice params; /* checked; walk with sf_param_next */
};

enum sf_result { SF_ITEM, SF_END, SF_INVALID };

/* Slices are within the text, or in the arena where an escape had to go; SF_INVALID also when it is full. */
struct sf_parser {
    slice rest;
    struct arena *arena;
    uint32_t count;
    bool invalid; /* stays so */
};

void sf_parser_init(struct sf_parser *parser, slice text, struct arena *arena);
MUST_USE enum sf_result sf_dict_next(struct sf_parser *parser, slice *ret_key, struct sf_item *ret_item);
MUST_USE enum sf_result sf_list_next(struct sf_parser *parser, struct sf_item *ret_item);
/* Over sf_parser_init(&inner, item.text, arena). */
MUST_USE enum sf_result sf_inner_next(struct sf_parser *parser, struct sf_item *ret_item);
/* Over sf_parser_init(&params, item.params, arena). */
MUST_USE enum sf_result sf_param_next(struct sf_parser *parser, slice *ret_key, struct sf_item *ret_item);
/* A whole field that is one item. false: invalid. */
MUST_USE bool sf_item_read(slice text, struct arena *arena, struct sf_item *ret_item);

/* All lines with that id joined by ", " (RFC 9110 5.3): the line itself when there is one. data NULL when there
 * is none or the arena is full. */
MUST_USE slice fields_joined(const struct fields *fields, enum field_id id, struct arena *arena);

/* Serialisation. A String with its quotation marks; data NULL when s is not printable ASCII or the arena is full. */
MUST_USE slice sf_string(struct arena *arena, slice s);
bool sf_token_is_valid(slice s); /* may be written as it is */
bool sf_key_is_valid(slice s);

#endif
