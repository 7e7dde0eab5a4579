/* What the text of a value means: numbers, names, texts. */
#include "conf/walk.h"

#include <stdarg.h>
#include <stdio.h>

#define TEXT_BYTES_MAX 4096u
#define NAME_BYTES_MAX 64u

bool conf_because(struct conf_scalar *scalar, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(scalar->why, sizeof(scalar->why), format, args);
    va_end(args);
    return false;
}

bool conf_not(struct conf_scalar *scalar, const char *what, enum conf_type type)
{
    return conf_because(scalar, "is not %s; write %s", what, conf_types[type].allowed);
}

slice conf_lower(struct conf_walk *walk, slice text)
{
    char *copy = NULL;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (ascii_lower(c) == c)
            continue;
        if (copy == NULL) {
            copy = arena_alloc(walk->document->arena, text.len + 1);
            if (copy == NULL)
                return SLICE_NONE;
            memcpy(copy, text.data, text.len);
            copy[text.len] = '\0';
        }
        copy[i] = (char)ascii_lower(c);
    }
    return copy != NULL ? slice_of(copy, text.len) : text;
}

/* ---- texts --------------------------------------------------------------------------------------------------- */

MUST_USE static bool text_check(struct conf_scalar *scalar)
{
    if (scalar->text.len == 0)
        return conf_because(scalar, "is empty; write something, or leave the setting out");
    if (scalar->text.len > TEXT_BYTES_MAX)
        return conf_because(scalar, "has %zu bytes; write at most %u", scalar->text.len, TEXT_BYTES_MAX);
    for (size_t i = 0; i < scalar->text.len; i++)
        if ((unsigned char)scalar->text.data[i] < 0x20 || scalar->text.data[i] == 0x7f)
            return conf_because(scalar, "holds a control character; write it without");
    return true;
}

/* Beside the file that names it, as what it includes is. */
MUST_USE static bool file_parse(struct conf_scalar *scalar, slice *ret_path)
{
    const struct conf_document *document = scalar->walk->document;
    const char *file = document->files[scalar->mark.file].path, *slash = strrchr(file, '/');
    slice dir = slice_of(file, slash != NULL ? (size_t)(slash - file) + 1 : 0);

    if (scalar->text.data[0] == '/' || dir.len == 0) {
        *ret_path = scalar->text;
        return true;
    }
    *ret_path = arena_printf(document->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(dir), SLICE_ARG(scalar->text));
    scalar->walk->is_out_of_memory |= ret_path->data == NULL;
    return true;
}

MUST_USE static bool is_alnum(char c)
{
    unsigned char lower = ascii_lower((unsigned char)c);

    return ascii_is_digit(lower) || (lower >= 'a' && lower <= 'z');
}

MUST_USE static bool name_check(struct conf_scalar *scalar)
{
    slice text = scalar->text;
    bool is_name = text.len > 0 && text.len <= NAME_BYTES_MAX && is_alnum(text.data[0]);

    for (size_t i = 0; i < text.len && is_name; i++)
        is_name = is_alnum(text.data[i]) || text.data[i] == '-' || text.data[i] == '_' || text.data[i] == '.';
    return is_name || conf_not(scalar, "a name", CONF_IS_NAME);
}

/* ---- numbers ------------------------------------------------------------------------------------------------- */

MUST_USE static bool count_parse(struct conf_scalar *scalar, enum conf_type type, uint32_t min, uint32_t *ret_count)
{
    uint64_t number;

    if (!slice_to_u64(scalar->text, &number) || number < min || number > UINT32_MAX)
        return conf_not(scalar, "such a number", type);
    *ret_count = (uint32_t)number;
    return true;
}

MUST_USE static bool percent_read(slice text, uint8_t *ret_percent)
{
    uint64_t number;

    if (!slice_ends(text, SLICE("%")) || !slice_to_u64(slice_of(text.data, text.len - 1), &number) || number > 100)
        return false;
    *ret_percent = (uint8_t)number;
    return true;
}

MUST_USE static bool percent_parse(struct conf_scalar *scalar, uint8_t *ret_percent)
{
    uint64_t number;

    if (percent_read(scalar->text, ret_percent))
        return true;
    if (slice_to_u64(scalar->text, &number) && number <= 100)
        return conf_because(scalar, "is a number and no percentage; write %u%%", (unsigned)number);
    return conf_not(scalar, "from 0% to 100%", CONF_IS_PERCENT);
}

MUST_USE static bool share_parse(struct conf_scalar *scalar, struct conf_share *ret_share)
{
    struct conf_share share = {.is_given = true};

    if (percent_read(scalar->text, &share.percent)) {
        if (share.percent == 0)
            return conf_because(scalar, "is nothing; write 1%% or more, or a size");
    } else if (!config_parse_size(scalar->text, &share.bytes)) {
        return conf_not(scalar, "a share", CONF_IS_SHARE);
    }
    *ret_share = share;
    return true;
}

MUST_USE static bool rate_parse(struct conf_scalar *scalar, struct conf_rate *ret_rate)
{
    static const struct {
        slice name;
        uint32_t seconds;
    } units[] = {{{"s", 1}, 1}, {{"m", 1}, 60}, {{"h", 1}, 3600}};
    ptrdiff_t slash = slice_find(scalar->text, '/');
    uint64_t number;

    if (slash < 0 || !slice_to_u64(slice_of(scalar->text.data, (size_t)slash), &number) || number < 1 || number > UINT32_MAX)
        return conf_not(scalar, "a rate", CONF_IS_RATE);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (slice_eq(slice_from(scalar->text, (size_t)slash + 1), units[i].name)) {
            *ret_rate = (struct conf_rate){.requests = (uint32_t)number, .per_s = units[i].seconds};
            return true;
        }
    }
    return conf_not(scalar, "a rate", CONF_IS_RATE);
}

MUST_USE static bool switch_parse(struct conf_scalar *scalar, bool *ret_on)
{
    if (!slice_eq(scalar->text, SLICE("true")) && !slice_eq(scalar->text, SLICE("false")))
        return conf_because(scalar, "is neither; write true or false");
    *ret_on = scalar->text.data[0] == 't';
    return true;
}

MUST_USE static bool redirect_status_parse(struct conf_scalar *scalar, uint32_t *ret_status)
{
    static const uint32_t known[] = {301, 302, 303, 307, 308};
    uint64_t number;

    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_to_u64(scalar->text, &number) && number == known[i] && scalar->text.len == 3) {
            *ret_status = known[i];
            return true;
        }
    }
    return conf_not(scalar, "the status of a redirect", CONF_IS_REDIRECT_STATUS);
}

MUST_USE static bool set_cookie_parse(struct conf_scalar *scalar, uint8_t *ret_word)
{
    static const char *const words[] = {
#define X(name, word, text) word,
        CONF_SET_COOKIE_WORDS(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq(scalar->text, slice_str(words[i]))) {
            *ret_word = (uint8_t)i;
            return true;
        }
    }
    return conf_not(scalar, "a policy", CONF_IS_SET_COOKIE);
}

MUST_USE static bool duration_parse(struct conf_scalar *scalar, uint64_t *ret_ms)
{
    return config_parse_duration(scalar->text, ret_ms) || conf_not(scalar, "a time", CONF_IS_DURATION);
}

MUST_USE static bool size_parse(struct conf_scalar *scalar, uint64_t *ret_bytes)
{
    return config_parse_size(scalar->text, ret_bytes) || conf_not(scalar, "a size", CONF_IS_SIZE);
}

/* ---- all of them --------------------------------------------------------------------------------------------- */

/* Those whose value is their text. */
MUST_USE static bool text_parse(enum conf_type type, struct conf_scalar *scalar, slice *ret_text)
{
    bool is_fine = true;

    if (type == CONF_IS_FILE)
        return file_parse(scalar, ret_text);
    if (type == CONF_IS_HOST)
        return conf_host_parse(scalar, ret_text);
    if (type == CONF_IS_NAME)
        is_fine = name_check(scalar);
    else if (type == CONF_IS_PATH)
        is_fine = conf_path_check(scalar);
    else if (type == CONF_IS_METHOD)
        is_fine = conf_method_check(scalar);
    else if (type == CONF_IS_TOKEN)
        is_fine = conf_param_check(scalar, scalar->text, true);
    else if (type == CONF_IS_ORIGIN)
        is_fine = conf_origin_check(scalar);
    else if (type == CONF_IS_FIELD)
        is_fine = conf_field_check(scalar, scalar->text);
    else if (type == CONF_IS_EDIT_FIELD)
        is_fine = conf_edit_field_check(scalar, scalar->text);
    if (is_fine)
        *ret_text = type == CONF_IS_FIELD ? conf_lower(scalar->walk, scalar->text) : scalar->text;
    return is_fine;
}

bool conf_value_parse(enum conf_type type, struct conf_scalar *scalar, void *ret_value)
{
    if (!text_check(scalar))
        return false;
    switch (type) {
    case CONF_IS_SIZE:
        return size_parse(scalar, ret_value);
    case CONF_IS_DURATION:
        return duration_parse(scalar, ret_value);
    case CONF_IS_COUNT:
        return count_parse(scalar, type, 0, ret_value);
    case CONF_IS_BURST:
        return count_parse(scalar, type, 1, ret_value);
    case CONF_IS_REDIRECT_STATUS:
        return redirect_status_parse(scalar, ret_value);
    case CONF_IS_PERCENT:
        return percent_parse(scalar, ret_value);
    case CONF_IS_SWITCH:
        return switch_parse(scalar, ret_value);
    case CONF_IS_SHARE:
        return share_parse(scalar, ret_value);
    case CONF_IS_RATE:
        return rate_parse(scalar, ret_value);
    case CONF_IS_RANGE:
        return conf_range_parse(scalar, ret_value);
    case CONF_IS_SET_COOKIE:
        return set_cookie_parse(scalar, ret_value);
    default:
        return text_parse(type, scalar, ret_value);
    }
}

/* ---- entries: a name and a value ----------------------------------------------------------------------------- */

/* 404, or 5xx. */
MUST_USE static bool status_parse(struct conf_scalar *scalar, slice name, struct conf_status_time *times)
{
    bool is_class = name.len == 3 && name.data[1] == 'x' && name.data[2] == 'x';
    uint64_t number;

    if (is_class && name.data[0] >= '2' && name.data[0] <= '5') {
        times->from = (uint16_t)(100 * (name.data[0] - '0'));
        times->to = (uint16_t)(times->from + 99);
        return true;
    }
    if (name.len != 3 || !slice_to_u64(name, &number) || number < 200 || number > 599)
        return conf_because(scalar, "is not a status; write one from 200 to 599, or 2xx, 3xx, 4xx, 5xx");
    times->from = times->to = (uint16_t)number;
    return true;
}

MUST_USE static bool times_parse(struct conf_scalar *scalar, slice name, struct conf_status_time *ret_times, bool *ret_is_name)
{
    *ret_is_name = !status_parse(scalar, name, ret_times);
    return !*ret_is_name && text_check(scalar) && duration_parse(scalar, &ret_times->ms);
}

bool conf_entry_parse(enum conf_type type, slice name, struct conf_scalar *scalar, void *ret_value, bool *ret_is_name)
{
    struct conf_pair *pair = ret_value;
    bool is_name;

    if (type == CONF_IS_TIMES)
        return times_parse(scalar, name, ret_value, ret_is_name);
    is_name = type == CONF_IS_PARAM_PATTERN   ? conf_param_check(scalar, name, false)
              : type == CONF_IS_FIELD_PATTERN ? conf_field_check(scalar, name)
                                              : conf_edit_field_check(scalar, name);
    *ret_is_name = !is_name;
    if (!is_name)
        return false;
    /* An empty value is one: a parameter without, a field with nothing in it. */
    if (scalar->text.len > 0 && !(type == CONF_IS_EDIT_PAIR ? conf_field_value_check(scalar) : text_check(scalar)))
        return false;
    if (type != CONF_IS_EDIT_PAIR && !conf_stars_check(scalar))
        return false;
    pair->name = type == CONF_IS_FIELD_PATTERN ? conf_lower(scalar->walk, name) : name;
    pair->value = scalar->text;
    return true;
}
