#include "cache/vary.h"

#include "cache/hop.h"
#include "http/token.h"

#include <stdlib.h>

/* Bytes that grow in an arena. failed stays set. */
struct out {
    struct arena *arena;
    char *data;
    size_t len, cap;
    bool failed;
};

static void out_put(struct out *out, const void *bytes, size_t len)
{
    if (out->failed || len == 0)
        return;
    if (out->cap - out->len < len) {
        size_t cap = MAX(out->cap * 2, out->len + len + 64);
        char *data = arena_grow(out->arena, out->data, out->cap, cap);
        if (data == NULL) {
            out->failed = true;
            return;
        }
        out->data = data;
        out->cap = cap;
    }
    memcpy(out->data + out->len, bytes, len);
    out->len += len;
}

static void out_byte(struct out *out, char c)
{
    out_put(out, &c, 1);
}

static void out_lower(struct out *out, slice s)
{
    size_t start = out->len;
    out_put(out, s.data, s.len);
    for (size_t i = start; i < out->len; i++)
        out->data[i] = (char)ascii_lower((unsigned char)out->data[i]);
}

static int slice_compare(slice a, slice b)
{
    int order = memcmp(a.data, b.data, MIN(a.len, b.len));
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* --- the spec --- */

/* What a Vary may name although the forwarder writes it: the first are in the key, the second are each client's. */
static const char *const keyed[] = {"host", "x-forwarded-proto", "x-forwarded-host"};
static const char *const personal[] = {"x-forwarded-for", "forwarded", "x-request-id", "traceparent"};

static bool is_one_of(slice name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (slice_eq_nocase(name, slice_str(list[i])))
            return true;
    return false;
}

struct names {
    slice list[VARY_NAMES_MAX];
    unsigned count;
    size_t bytes;
};

static enum vary_result names_add(struct names *names, slice name)
{
    if (!token_is_valid(name) || slice_eq(name, SLICE("*")) || is_one_of(name, personal, ARRAY_LEN(personal)))
        return VARY_STAR;
    if (is_one_of(name, keyed, ARRAY_LEN(keyed)))
        return VARY_NONE;
    for (unsigned i = 0; i < names->count; i++)
        if (slice_eq_nocase(names->list[i], name))
            return VARY_NONE;
    names->bytes += name.len + 1;
    if (names->count == VARY_NAMES_MAX || names->bytes > VARY_SPEC_BYTES_MAX)
        return VARY_TOO_LONG;
    names->list[names->count++] = name;
    return VARY_SPEC;
}

/* Sorted by insertion: 32 names at most. */
static void names_sort(struct names *names)
{
    for (unsigned i = 1; i < names->count; i++)
        for (unsigned k = i; k > 0 && slice_compare(names->list[k], names->list[k - 1]) < 0; k--) {
            slice other = names->list[k];
            names->list[k] = names->list[k - 1];
            names->list[k - 1] = other;
        }
}

static err names_lower(struct arena *arena, struct names *names)
{
    for (unsigned i = 0; i < names->count; i++) {
        slice copy = arena_copy(arena, names->list[i]);
        ENSURE(copy.data != NULL, MEMORY);
        char *text = (char *)(uintptr_t)copy.data;
        for (size_t k = 0; k < copy.len; k++)
            text[k] = (char)ascii_lower((unsigned char)text[k]);
        names->list[i] = copy;
    }
    return ERR_OK;
}

err vary_parse(struct arena *arena, const struct fields *response, enum vary_result *ret_result, slice *ret_spec)
{
    struct names names = {.count = 0};
    enum vary_result result = VARY_NONE;
    *ret_spec = SLICE_NONE;
    for (int i = -1; (i = fields_next(response, F_VARY, i + 1)) >= 0;) {
        slice rest = field_value(response, (unsigned)i), name;
        while (list_next(&rest, &name)) {
            enum vary_result added = names_add(&names, name);
            if (added == VARY_TOO_LONG)
                result = VARY_TOO_LONG; /* a "*" may still follow */
            if (added == VARY_STAR) {
                *ret_result = VARY_STAR;
                return ERR_OK;
            }
        }
    }
    if (result != VARY_TOO_LONG && names.count > 0) {
        struct out out = {.arena = arena};
        TRY(names_lower(arena, &names));
        names_sort(&names);
        for (unsigned i = 0; i < names.count; i++) {
            if (i > 0)
                out_byte(&out, ',');
            out_put(&out, names.list[i].data, names.list[i].len);
        }
        ENSURE(!out.failed, MEMORY);
        result = VARY_SPEC;
        *ret_spec = slice_of(out.data, out.len);
    }
    *ret_result = result;
    return ERR_OK;
}

bool vary_spec_next(slice *rest, slice *ret_name)
{
    if (rest->len == 0)
        return false;
    ptrdiff_t comma = slice_find(*rest, ',');
    size_t len = comma >= 0 ? (size_t)comma : rest->len;
    *ret_name = slice_of(rest->data, len);
    *rest = slice_from(*rest, comma >= 0 ? len + 1 : len);
    return true;
}

/* --- the values --- */

/* Lines of one field in a request. */
struct lines {
    const struct fields *fields;
    enum field_id id;
    slice name;
    int at;
};

static bool lines_next(struct lines *lines, slice *ret_value)
{
    int i = lines->at + 1;
    if (lines->id != F_OTHER) {
        i = fields_next(lines->fields, lines->id, i);
    } else {
        for (;; i++) {
            i = fields_next(lines->fields, F_OTHER, i);
            if (i < 0 || slice_eq_nocase(field_name(lines->fields, (unsigned)i), lines->name))
                break;
        }
    }
    if (i < 0)
        return false;
    lines->at = i;
    *ret_value = field_value(lines->fields, (unsigned)i);
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* One line without the white space around its commas. Returns whether it ends within quotation marks. */
static bool put_line(struct out *out, slice line)
{
    bool quoted = false;
    line = slice_trim(line);
    for (size_t i = 0; i < line.len; i++) {
        char c = line.data[i];
        if (quoted && c == '\\' && i + 1 < line.len) {
            out_put(out, line.data + i, 2);
            i++;
            continue;
        }
        if (c == '"')
            quoted = !quoted;
        if (!quoted && is_space(c)) {
            size_t end = i;
            while (end < line.len && is_space(line.data[end]))
                end++;
            bool at_comma = (end < line.len && line.data[end] == ',') || (i > 0 && line.data[i - 1] == ',');
            if (!at_comma)
                out_put(out, line.data + i, end - i);
            i = end - 1; /* the run is done with as a whole: else long ones would cost their square */
            continue;
        }
        out_byte(out, c);
    }
    return quoted;
}

static void put_any(struct out *out, struct lines lines)
{
    slice line;
    char separator = 0;
    while (lines_next(&lines, &line)) {
        if (separator != 0)
            out_byte(out, separator);
        /* A comma inside an open string is no separator of lines: such lines are never equal to one line. */
        separator = put_line(out, line) ? '\n' : ',';
    }
}

#define PREFERENCES_MAX 64u

struct preference {
    slice name; /* lower case */
    int q;      /* 0..1000 */
};

struct preferences {
    struct preference list[PREFERENCES_MAX];
    unsigned count;
};

/* RFC 9110 12.4.2: 0[.ddd] or 1[.000]. */
static bool q_parse(slice s, int *ret_q)
{
    if (s.len == 0 || s.len > 5 || (s.data[0] != '0' && s.data[0] != '1') || (s.len > 1 && s.data[1] != '.'))
        return false;
    int q = (s.data[0] - '0') * 1000, unit = 100;
    for (size_t i = 2; i < s.len; i++, unit /= 10) {
        if (!ascii_is_digit((unsigned char)s.data[i]))
            return false;
        q += (s.data[i] - '0') * unit;
    }
    *ret_q = q;
    return q <= 1000;
}

/* name [ OWS ";" OWS "q=" qvalue ] */
static bool preference_parse(slice item, struct preference *ret)
{
    ptrdiff_t semicolon = slice_find(item, ';');
    ret->q = 1000;
    ret->name = slice_trim(slice_of(item.data, semicolon >= 0 ? (size_t)semicolon : item.len));
    if (!token_is_valid(ret->name))
        return false;
    if (semicolon < 0)
        return true;
    slice param = slice_trim(slice_from(item, (size_t)semicolon + 1));
    if (param.len < 3 || ascii_lower((unsigned char)param.data[0]) != 'q' || param.data[1] != '=')
        return false;
    return q_parse(slice_from(param, 2), &ret->q);
}

static slice coding_alias(slice name)
{
    if (slice_eq(name, SLICE("x-gzip")))
        return SLICE("gzip");
    return slice_eq(name, SLICE("x-compress")) ? SLICE("compress") : name;
}

static bool preferences_has(const struct preferences *preferences, slice name)
{
    for (unsigned i = 0; i < preferences->count; i++)
        if (slice_eq(preferences->list[i].name, name))
            return true;
    return false;
}

static err preferences_read(struct arena *arena, struct lines lines, struct preferences *preferences, bool *ret_read)
{
    slice line, item;
    preferences->count = 0;
    *ret_read = false;
    while (lines_next(&lines, &line))
        while (list_next(&line, &item)) {
            struct preference preference;
            struct out lower = {.arena = arena};
            if (preferences->count == PREFERENCES_MAX || !preference_parse(item, &preference))
                return ERR_OK;
            out_lower(&lower, preference.name);
            ENSURE(!lower.failed, MEMORY);
            preference.name = slice_of(lower.data, lower.len);
            if (lines.id == F_ACCEPT_ENCODING)
                preference.name = coding_alias(preference.name);
            if (preferences_has(preferences, preference.name))
                return ERR_OK; /* twice: who knows which one the origin takes */
            preferences->list[preferences->count++] = preference;
        }
    *ret_read = true;
    return ERR_OK;
}

static int preference_compare(const void *a, const void *b)
{
    const struct preference *x = a, *y = b;
    return x->q != y->q ? (x->q < y->q) - (x->q > y->q) : slice_compare(x->name, y->name);
}

/* RFC 9110 12.5.3: what is not listed is refused anyway, but for identity, and when "*" admits the rest. */
static bool zero_says_something(const struct preferences *preferences, slice name)
{
    if (slice_eq(name, SLICE("identity")) || slice_eq(name, SLICE("*")))
        return true;
    return preferences_has(preferences, SLICE("*"));
}

/* Groups of equal preference, best first, joined by ";"; "!" before what is excluded. */
static void put_preferences(struct out *out, struct preferences *preferences, bool drop_zeros)
{
    int q = -1;
    qsort(preferences->list, preferences->count, sizeof(preferences->list[0]), preference_compare);
    for (unsigned i = 0; i < preferences->count; i++) {
        const struct preference *p = &preferences->list[i];
        if (p->q == 0 && drop_zeros && !zero_says_something(preferences, p->name))
            continue;
        if (q >= 0)
            out_byte(out, p->q == q ? ',' : ';');
        if (p->q == 0 && q != 0)
            out_byte(out, '!');
        out_put(out, p->name.data, p->name.len);
        q = p->q;
    }
}

static err put_value(struct out *out, struct lines lines)
{
    struct preferences preferences;
    bool read;
    if (lines.id != F_ACCEPT_ENCODING && lines.id != F_ACCEPT_LANGUAGE) {
        put_any(out, lines);
        return ERR_OK;
    }
    /* Not in out's arena order: the names lie beside it, out grows by copying then. */
    TRY(preferences_read(out->arena, lines, &preferences, &read));
    if (read) {
        put_preferences(out, &preferences, lines.id == F_ACCEPT_ENCODING);
    } else {
        out_byte(out, '?'); /* no token begins so: never equal to one that was read */
        put_any(out, lines);
    }
    return ERR_OK;
}

static err put_counted(struct out *out, const struct lines *lines, bool is_absent)
{
    struct lines probe = *lines;
    slice ignored;
    uint32_t len = VARY_ABSENT;
    size_t at = out->len;
    out_put(out, &len, sizeof(len));
    if (is_absent || !lines_next(&probe, &ignored))
        return ERR_OK;
    TRY(put_value(out, *lines));
    ENSURE(!out->failed, MEMORY);
    len = (uint32_t)(out->len - at - sizeof(len));
    memcpy(out->data + at, &len, sizeof(len));
    return ERR_OK;
}

err vary_values(struct arena *arena, slice spec, const struct fields *request, slice *ret_values)
{
    struct hop_names hop;
    struct out out = {.arena = arena};
    slice rest = spec, name;
    TRY(hop_names_read(request, &hop));
    while (vary_spec_next(&rest, &name)) {
        struct lines lines = {.fields = request, .id = field_id_of(name), .name = name, .at = -1};
        TRY(put_counted(&out, &lines, hop_names_has(&hop, name)));
    }
    ENSURE(!out.failed, MEMORY);

    *ret_values = slice_of(out.len > 0 ? out.data : "", out.len);
    return ERR_OK;
}
