#include "http/cache_control.h"

#include "http/sf.h"
#include "http/token.h"

static void control_init(struct cache_control *control)
{
    *control = (struct cache_control){
#define X(text, member) .member = CC_ABSENT,
        CC_SECONDS(X)
#undef X
    };
}

bool delta_seconds_parse(slice s, int32_t *ret_s)
{
    int64_t value = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit((unsigned char)s.data[i]))
            return false;
        value = MIN(value * 10 + (s.data[i] - '0'), (int64_t)CC_SECONDS_MAX);
    }
    *ret_s = (int32_t)value;
    return s.len > 0;
}

/* --- one directive --- */

/* A name and whatever stands behind it, well-formed or not: "max-age =5" is a max-age with a bad value. */
struct directive {
    slice name;
    slice value;     /* without quotation marks */
    bool has_value;
    bool well_formed;
};

static bool directive_split(slice item, struct directive *ret)
{
    struct directive directive = {0};
    struct param param;
    size_t len = 0;

    while (len < item.len && char_is((unsigned char)item.data[len], CHAR_TOKEN))
        len++;
    directive.name = slice_of(item.data, len);
    directive.has_value = len < item.len;
    if (param_parse(item, &param)) {
        directive.value = param.value;
        directive.well_formed = true;
    }
    *ret = directive;
    return len > 0;
}

/* Of two the one that lets less be reused (RFC 9111 4.2.1 advises the first or stale; the smaller is never
 * wrong). min-fresh asks for more the larger it is; max-stale with a bad value allows nothing. */
static void seconds_set(struct cache_control *control, int32_t *member, int32_t value)
{
    if (*member == CC_ABSENT)
        *member = value;
    else
        *member = member == &control->min_fresh_s ? MAX(*member, value) : MIN(*member, value);
}

static int32_t *seconds_find(struct cache_control *control, slice name)
{
#define X(text, member)                                                                                      \
    if (slice_eq_nocase(name, SLICE(text)))                                                                  \
        return &control->member;
    CC_SECONDS(X)
#undef X
    return NULL;
}

static void seconds_directive(struct cache_control *control, int32_t *member, const struct directive *directive)
{
    int32_t value = 0;

    if (!directive->has_value && member == &control->max_stale_s)
        value = CC_SECONDS_MAX; /* RFC 9111 5.2.1.2: any age */
    else if (!directive->well_formed || !delta_seconds_parse(directive->value, &value))
        value = 0;
    seconds_set(control, member, value);
}

/* no-cache and private with field names are about those fields, unless the same stands there without. */
static void qualified_set(bool was_set, bool was_qualified, bool qualified, bool *ret_qualified)
{
    *ret_qualified = qualified && (!was_set || was_qualified);
}

static void flag_directive(struct cache_control *control, const struct directive *directive)
{
    bool qualified = directive->well_formed && directive->has_value && directive->value.len > 0, result;

    if (slice_eq_nocase(directive->name, SLICE("no-cache"))) {
        qualified_set(control->no_cache, control->no_cache_has_fields, qualified, &result);
        control->no_cache_has_fields = result;
    } else if (slice_eq_nocase(directive->name, SLICE("private"))) {
        qualified_set(control->is_private, control->is_private_has_fields, qualified, &result);
        control->is_private_has_fields = result;
    }
#define X(text, member, restricts)                                                                           \
    if (slice_eq_nocase(directive->name, SLICE(text)) && (restricts || !directive->has_value))               \
        control->member = true;
    CC_FLAGS(X)
#undef X
}

static void directive_apply(struct cache_control *control, slice item)
{
    struct directive directive;
    int32_t *seconds;

    if (!directive_split(item, &directive))
        return;
    seconds = seconds_find(control, directive.name);
    if (seconds != NULL)
        seconds_directive(control, seconds, &directive);
    else
        flag_directive(control, &directive);
}

static bool quotes_are_balanced(slice s)
{
    bool inside = false;

    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] == '"')
            inside = !inside;
        else if (inside && s.data[i] == '\\')
            i++;
    }
    return !inside;
}

/* A quotation mark that is never closed must not swallow a no-store behind it: then every comma separates. */
static void plain_list_apply(struct cache_control *control, slice rest)
{
    for (ptrdiff_t comma = 0; comma >= 0;) {
        comma = slice_find(rest, ',');
        directive_apply(control, slice_trim(comma >= 0 ? slice_of(rest.data, (size_t)comma) : rest));
        if (comma >= 0)
            rest = slice_from(rest, (size_t)comma + 1);
    }
}

static void list_apply(struct cache_control *control, slice value)
{
    slice rest = value, item;

    if (!quotes_are_balanced(value)) {
        plain_list_apply(control, value);
        return;
    }
    while (list_next(&rest, &item))
        directive_apply(control, item);
}

void cache_control_read(const struct fields *fields, enum field_id id, struct cache_control *ret_control)
{
    control_init(ret_control);
    for (int i = -1; (i = fields_next(fields, id, i + 1)) >= 0;) {
        ret_control->valid = true;
        list_apply(ret_control, field_value(fields, (unsigned)i));
    }
}

bool pragma_no_cache(const struct fields *fields)
{
    return fields_list_contains(fields, F_PRAGMA, SLICE("no-cache"));
}

/* --- targeted fields (RFC 9213) --- */

/* In a Dictionary the last of two counts, so members are set, not combined. */
static void targeted_seconds(struct cache_control *control, int32_t *member, const struct sf_item *item)
{
    if (item->type == SF_INTEGER && item->number >= 0)
        *member = (int32_t)MIN(item->number, (int64_t)CC_SECONDS_MAX);
    else if (item->type == SF_BOOLEAN && item->number == 1 && member == &control->max_stale_s)
        *member = CC_SECONDS_MAX;
    else
        *member = 0;
}

static void targeted_flags(struct cache_control *control, slice key, const struct sf_item *item)
{
    bool is_boolean = item->type == SF_BOOLEAN;
    bool yes = is_boolean ? item->number == 1 : true;
    /* RFC 9213 2.1 leaves arguments as in Cache-Control: a String with field names. */
    bool qualified = item->type == SF_STRING && item->text.len > 0;

    if (slice_eq(key, SLICE("no-cache")))
        control->no_cache_has_fields = qualified;
    if (slice_eq(key, SLICE("private")))
        control->is_private_has_fields = qualified;
#define X(text, member, restricts)                                                                           \
    if (slice_eq(key, SLICE(text)))                                                                          \
        control->member = (restricts || is_boolean) && yes;
    CC_FLAGS(X)
#undef X
}

err cache_control_read_targeted(const struct fields *fields, enum field_id id, struct arena *arena,
                                struct cache_control *ret_control)
{
    slice text, key;
    struct cache_control control;
    struct sf_parser parser;
    struct sf_item item;
    enum sf_result result;

    control_init(ret_control);
    control_init(&control);
    if (!fields_has(fields, id))
        return ERR_OK;
    text = fields_joined(fields, id, arena);
    ENSURE(text.data != NULL, MEMORY);
    sf_parser_init(&parser, text, arena);
    while ((result = sf_dict_next(&parser, &key, &item)) == SF_ITEM) {
        int32_t *seconds = seconds_find(&control, key);
        if (seconds != NULL)
            targeted_seconds(&control, seconds, &item);
        else
            targeted_flags(&control, key, &item);
    }
    control.valid = result == SF_END && parser.count > 0; /* RFC 9213 2.2: an empty field counts as none */
    if (control.valid)
        *ret_control = control;
    return ERR_OK;
}

/* --- Surrogate-Control --- */

/* N or N+M: fresh for N seconds, then usable for M while it is revalidated. */
static void surrogate_max_age(struct cache_control *control, const struct directive *directive)
{
    ptrdiff_t plus = slice_find(directive->value, '+');
    slice fresh = plus >= 0 ? slice_of(directive->value.data, (size_t)plus) : directive->value;
    int32_t fresh_s = 0, stale_s = 0;
    bool good = directive->well_formed && delta_seconds_parse(fresh, &fresh_s) &&
                (plus < 0 || delta_seconds_parse(slice_from(directive->value, (size_t)plus + 1), &stale_s));

    seconds_set(control, &control->max_age_s, good ? fresh_s : 0);
    if (plus >= 0) {
        seconds_set(control, &control->stale_while_revalidate_s, good ? stale_s : 0);
        seconds_set(control, &control->stale_if_error_s, good ? stale_s : 0);
    }
}

static void surrogate_directive(struct cache_control *control, slice item, slice device)
{
    ptrdiff_t semicolon = slice_find(item, ';');
    struct directive directive;

    if (semicolon >= 0) {
        slice target = slice_trim(slice_from(item, (size_t)semicolon + 1));
        if (device.len == 0 || !slice_eq_nocase(target, device))
            return;
        item = slice_trim(slice_of(item.data, (size_t)semicolon));
    }
    if (!directive_split(item, &directive))
        return;
    control->valid = true;
    if (slice_eq_nocase(directive.name, SLICE("max-age")))
        surrogate_max_age(control, &directive);
    else if (slice_eq_nocase(directive.name, SLICE("no-store")))
        control->no_store = true;
    else if (slice_eq_nocase(directive.name, SLICE("no-store-remote")))
        control->no_store_remote = true;
}

void surrogate_control_read(const struct fields *fields, slice device, struct cache_control *ret_control)
{
    control_init(ret_control);
    for (int i = -1; (i = fields_next(fields, F_SURROGATE_CONTROL, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i), item;
        while (list_next(&rest, &item))
            surrogate_directive(ret_control, item, device);
    }
}
