#include "http/sf.h"

#include "http/token.h"

void sf_parser_init(struct sf_parser *parser, slice text, struct arena *arena)
{
    *parser = (struct sf_parser){.rest = text, .arena = arena};
}

/* --- small readers: each takes from the front of rest --- */

static bool at_end(const slice *rest)
{
    return rest->len == 0;
}

static char front(const slice *rest)
{
    return rest->len > 0 ? rest->data[0] : '\0';
}

static bool take(slice *rest, char c)
{
    if (rest->len == 0 || rest->data[0] != c)
        return false;
    *rest = slice_from(*rest, 1);
    return true;
}

static void skip_spaces(slice *rest)
{
    while (take(rest, ' '))
        ;
}

static void skip_blanks(slice *rest)
{
    while (take(rest, ' ') || take(rest, '\t'))
        ;
}

static bool is_lower_alpha(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_key_char(char c)
{
    return is_lower_alpha(c) || ascii_is_digit((unsigned char)c) || c == '_' || c == '-' || c == '.' || c == '*';
}

static bool is_alpha(char c)
{
    return is_lower_alpha((char)ascii_lower((unsigned char)c));
}

static bool is_token_char(char c)
{
    return char_is((unsigned char)c, CHAR_TOKEN) || c == ':' || c == '/';
}

/* The longest run of characters that is_part accepts; the first must be accepted by is_first. */
static bool run_read(slice *rest, bool (*is_first)(char), bool (*is_part)(char), slice *ret_run)
{
    size_t len = 1;

    if (rest->len == 0 || !is_first(rest->data[0]))
        return false;
    while (len < rest->len && is_part(rest->data[len]))
        len++;
    *ret_run = slice_of(rest->data, len);
    *rest = slice_from(*rest, len);
    return true;
}

static bool is_key_first(char c)
{
    return is_lower_alpha(c) || c == '*';
}

static bool key_read(slice *rest, slice *ret_key)
{
    return run_read(rest, is_key_first, is_key_char, ret_key);
}

static bool is_token_first(char c)
{
    return is_alpha(c) || c == '*';
}

/* --- bare items (RFC 9651 4.2.3.1) --- */

static size_t digits_at(slice s, size_t at)
{
    size_t len = 0;
    while (at + len < s.len && ascii_is_digit((unsigned char)s.data[at + len]))
        len++;
    return len;
}

/* Integer: at most 15 digits. Decimal: at most 12, a point, 1 to 3. */
static bool number_read(slice *rest, struct sf_item *item)
{
    bool negative = take(rest, '-');
    slice s = *rest;
    size_t whole = digits_at(s, 0), fraction = 0, used = whole;
    int64_t value = 0;

    if (whole == 0 || whole > 15)
        return false;
    item->type = SF_INTEGER;
    if (whole < s.len && s.data[whole] == '.') {
        fraction = digits_at(s, whole + 1);
        if (whole > 12 || fraction == 0 || fraction > 3)
            return false;
        item->type = SF_DECIMAL;
        used += 1 + fraction;
    }
    for (size_t i = 0; i < used; i++)
        if (s.data[i] != '.')
            value = value * 10 + (s.data[i] - '0');
    for (; item->type == SF_DECIMAL && fraction < 3; fraction++)
        value *= 10;
    item->number = negative ? -value : value;
    *rest = slice_from(s, used);
    return true;
}

/* Between quotation marks: printable ASCII; a backslash only before a quotation mark or a backslash. */
static bool string_read(slice *rest, struct arena *arena, struct sf_item *item)
{
    slice s = slice_from(*rest, 1);
    bool escaped = false;
    size_t at = 0;

    for (; at < s.len && s.data[at] != '"'; at++) {
        if (s.data[at] < 0x20 || s.data[at] > 0x7e)
            return false;
        if (s.data[at] != '\\')
            continue;
        escaped = true;
        if (++at == s.len || (s.data[at] != '"' && s.data[at] != '\\'))
            return false;
    }
    if (at == s.len)
        return false;
    item->type = SF_STRING;
    item->text = slice_of(s.data, at);
    *rest = slice_from(s, at + 1);
    if (escaped)
        item->text = quoted_unescape(arena, item->text);
    return item->text.data != NULL;
}

static bool bytes_read(slice *rest, struct sf_item *item)
{
    slice s = slice_from(*rest, 1);
    ptrdiff_t end = slice_find(s, ':');

    if (end < 0)
        return false;
    for (ptrdiff_t i = 0; i < end; i++) {
        char c = s.data[i];
        if (!is_alpha(c) && !ascii_is_digit((unsigned char)c) && c != '+' && c != '/' && c != '=')
            return false;
    }
    item->type = SF_BYTES;
    item->text = slice_of(s.data, (size_t)end);
    *rest = slice_from(s, (size_t)end + 1);
    return true;
}

static bool is_lower_hex(char c)
{
    return ascii_is_digit((unsigned char)c) || (c >= 'a' && c <= 'f');
}

/* %"..." with lower-case percent-encoding (RFC 9651 4.2.10); whether that is UTF-8 is left to the reader. */
static bool display_read(slice *rest, struct sf_item *item)
{
    slice s = slice_from(*rest, 1);
    size_t at = 1;

    if (front(&s) != '"')
        return false;
    for (; at < s.len && s.data[at] != '"'; at++) {
        if (s.data[at] < 0x20 || s.data[at] > 0x7e)
            return false;
        if (s.data[at] == '%') {
            if (s.len - at < 3 || !is_lower_hex(s.data[at + 1]) || !is_lower_hex(s.data[at + 2]))
                return false;
            at += 2;
        }
    }
    if (at >= s.len)
        return false;
    item->type = SF_DISPLAY;
    item->text = slice_of(s.data + 1, at - 1);
    *rest = slice_from(s, at + 1);
    return true;
}

static bool boolean_read(slice *rest, struct sf_item *item)
{
    *rest = slice_from(*rest, 1);
    item->type = SF_BOOLEAN;
    item->number = front(rest) == '1';
    return take(rest, '0') || take(rest, '1');
}

static bool date_read(slice *rest, struct sf_item *item)
{
    *rest = slice_from(*rest, 1);
    if (!number_read(rest, item) || item->type != SF_INTEGER)
        return false;
    item->type = SF_DATE;
    return true;
}

static bool bare_item_read(slice *rest, struct arena *arena, struct sf_item *item)
{
    char c = front(rest);

    if (c == '-' || ascii_is_digit((unsigned char)c))
        return number_read(rest, item);
    switch (c) {
    case '"':
        return string_read(rest, arena, item);
    case ':':
        return bytes_read(rest, item);
    case '?':
        return boolean_read(rest, item);
    case '@':
        return date_read(rest, item);
    case '%':
        return display_read(rest, item);
    default:
        item->type = SF_TOKEN;
        return run_read(rest, is_token_first, is_token_char, &item->text);
    }
}

/* --- parameters, items, inner lists --- */

/* One parameter; SF_END where none begins. */
static enum sf_result param_read(slice *rest, struct arena *arena, slice *ret_key, struct sf_item *ret_item)
{
    struct sf_item item = {.type = SF_BOOLEAN, .number = 1, .text = SLICE(""), .params = SLICE("")};

    if (!take(rest, ';'))
        return SF_END;
    skip_spaces(rest);
    if (!key_read(rest, ret_key))
        return SF_INVALID;
    if (take(rest, '=') && !bare_item_read(rest, arena, &item))
        return SF_INVALID;
    *ret_item = item;
    return SF_ITEM;
}

static bool params_read(slice *rest, struct arena *arena, slice *ret_params)
{
    const char *begin = rest->data;
    enum sf_result result;
    struct sf_item item;
    slice key;

    while ((result = param_read(rest, arena, &key, &item)) == SF_ITEM)
        ;
    *ret_params = begin != NULL ? slice_of(begin, (size_t)(rest->data - begin)) : SLICE("");
    return result == SF_END;
}

static bool item_read(slice *rest, struct arena *arena, struct sf_item *ret_item)
{
    struct sf_item item = {.text = SLICE("")};

    if (!bare_item_read(rest, arena, &item) || !params_read(rest, arena, &item.params))
        return false;
    *ret_item = item;
    return true;
}

/* RFC 9651 4.2.1.2: items apart by spaces, up to the parenthesis. */
static bool inner_read(slice *rest, struct arena *arena, struct sf_item *ret_item)
{
    struct sf_item list = {.type = SF_INNER}, item;
    slice s = slice_from(*rest, 1);
    const char *begin = s.data;

    for (;;) {
        skip_spaces(&s);
        if (front(&s) == ')')
            break;
        if (!item_read(&s, arena, &item) || (front(&s) != ' ' && front(&s) != ')'))
            return false;
    }
    list.text = slice_of(begin, (size_t)(s.data - begin));
    *rest = slice_from(s, 1);
    if (!params_read(rest, arena, &list.params))
        return false;
    *ret_item = list;
    return true;
}

static bool member_read(slice *rest, struct arena *arena, struct sf_item *ret_item)
{
    return front(rest) == '(' ? inner_read(rest, arena, ret_item) : item_read(rest, arena, ret_item);
}

/* --- what the callers walk with --- */

static enum sf_result refuse(struct sf_parser *parser)
{
    parser->invalid = true;
    return SF_INVALID;
}

/* Before a member: spaces at the very beginning, the end, a bound. */
static enum sf_result member_begin(struct sf_parser *parser)
{
    if (parser->invalid)
        return SF_INVALID;
    if (parser->count == 0)
        skip_spaces(&parser->rest);
    if (at_end(&parser->rest))
        return SF_END;
    return ++parser->count > SF_MEMBERS_MAX ? refuse(parser) : SF_ITEM;
}

/* Behind a member: the end, or a comma with another member behind it (RFC 9651 4.2.1). */
static enum sf_result member_end(struct sf_parser *parser)
{
    slice s = parser->rest;

    skip_spaces(&s);
    if (!at_end(&s)) {
        s = parser->rest;
        skip_blanks(&s);
        if (!take(&s, ','))
            return refuse(parser);
        skip_blanks(&s);
        if (at_end(&s))
            return refuse(parser);
    }
    parser->rest = s;
    return SF_ITEM;
}

enum sf_result sf_dict_next(struct sf_parser *parser, slice *ret_key, struct sf_item *ret_item)
{
    struct sf_item item = {.type = SF_BOOLEAN, .number = 1, .text = SLICE("")};
    enum sf_result result = member_begin(parser);
    slice *rest = &parser->rest, key;

    if (result != SF_ITEM)
        return result;
    if (!key_read(rest, &key))
        return refuse(parser);
    if (take(rest, '=') ? !member_read(rest, parser->arena, &item) : !params_read(rest, parser->arena, &item.params))
        return refuse(parser);
    if (member_end(parser) != SF_ITEM)
        return SF_INVALID;
    *ret_key = key;
    *ret_item = item;
    return SF_ITEM;
}

enum sf_result sf_list_next(struct sf_parser *parser, struct sf_item *ret_item)
{
    enum sf_result result = member_begin(parser);
    struct sf_item item;

    if (result != SF_ITEM)
        return result;
    if (!member_read(&parser->rest, parser->arena, &item))
        return refuse(parser);
    if (member_end(parser) != SF_ITEM)
        return SF_INVALID;
    *ret_item = item;
    return SF_ITEM;
}

enum sf_result sf_inner_next(struct sf_parser *parser, struct sf_item *ret_item)
{
    enum sf_result result;

    skip_spaces(&parser->rest);
    result = member_begin(parser);
    if (result != SF_ITEM)
        return result;
    if (!item_read(&parser->rest, parser->arena, ret_item))
        return refuse(parser);
    if (!at_end(&parser->rest) && front(&parser->rest) != ' ')
        return refuse(parser);
    return SF_ITEM;
}

enum sf_result sf_param_next(struct sf_parser *parser, slice *ret_key, struct sf_item *ret_item)
{
    enum sf_result result;

    if (parser->invalid)
        return SF_INVALID;
    result = param_read(&parser->rest, parser->arena, ret_key, ret_item);
    if (result == SF_END && !at_end(&parser->rest))
        result = SF_INVALID;
    return result == SF_INVALID ? refuse(parser) : result;
}

bool sf_item_read(slice text, struct arena *arena, struct sf_item *ret_item)
{
    struct sf_item item;
    slice rest = text;

    skip_spaces(&rest);
    if (!item_read(&rest, arena, &item))
        return false;
    skip_spaces(&rest);
    if (!at_end(&rest))
        return false;
    *ret_item = item;
    return true;
}

slice fields_joined(const struct fields *fields, enum field_id id, struct arena *arena)
{
    int first = fields_next(fields, id, 0);
    size_t size = 0;
    char *text, *at;

    if (first < 0)
        return SLICE_NONE;
    if (fields_next(fields, id, first + 1) < 0)
        return field_value(fields, (unsigned)first);
    for (int i = -1; (i = fields_next(fields, id, i + 1)) >= 0;)
        size += field_value(fields, (unsigned)i).len + 2;
    text = at = arena_alloc(arena, size);
    if (text == NULL)
        return SLICE_NONE;
    for (int i = -1; (i = fields_next(fields, id, i + 1)) >= 0;) {
        slice value = field_value(fields, (unsigned)i);
        memcpy(at, value.data, value.len);
        memcpy(at + value.len, ", ", 2);
        at += value.len + 2;
    }
    return slice_of(text, size - 2);
}

/* --- serialisation --- */

slice sf_string(struct arena *arena, slice s)
{
    char *text, *at;

    if (s.len > UINT32_MAX / 4)
        return SLICE_NONE;
    text = at = arena_alloc(arena, 2 * s.len + 2);
    if (text == NULL)
        return SLICE_NONE;
    *at++ = '"';
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < 0x20 || s.data[i] > 0x7e)
            return SLICE_NONE;
        if (s.data[i] == '"' || s.data[i] == '\\')
            *at++ = '\\';
        *at++ = s.data[i];
    }
    *at++ = '"';
    return slice_of(text, (size_t)(at - text));
}

bool sf_token_is_valid(slice s)
{
    slice run;
    return run_read(&s, is_token_first, is_token_char, &run) && s.len == 0;
}

bool sf_key_is_valid(slice s)
{
    slice run;
    return key_read(&s, &run) && s.len == 0;
}
