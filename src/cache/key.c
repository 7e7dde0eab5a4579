#include "cache/key.h"

#include "http/sf.h"

#define KEY_PRIMARY 'K'
#define KEY_EXTRA   'X'
#define KEY_VARIANT 'V'
#define KEY_HEAD_BYTES (1u + 4u + 4u + 1u)

static char *put_u32(char *at, size_t value)
{
    uint32_t v = (uint32_t)value;
    memcpy(at, &v, sizeof(v));
    return at + sizeof(v);
}

static char *put_bytes(char *at, slice bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

static char *put_part(char *at, slice bytes)
{
    return put_bytes(put_u32(at, bytes.len), bytes);
}

size_t key_size(const struct key_parts *parts)
{
    return KEY_HEAD_BYTES + 4 + parts->authority.len + 4 + parts->target.len + (parts->extra.len > 0 ? 1 + 4 + parts->extra.len : 0);
}

slice key_write(const struct key_parts *parts, char *buffer)
{
    char *at = buffer;
    *at++ = KEY_PRIMARY;
    at = put_u32(at, parts->tenant);
    at = put_u32(at, parts->rules);
    *at++ = parts->https ? 1 : 0;
    at = put_part(at, parts->authority);
    at = put_part(at, parts->target);
    if (parts->extra.len > 0) {
        *at++ = KEY_EXTRA;
        at = put_part(at, parts->extra);
    }
    return slice_of(buffer, (size_t)(at - buffer));
}

err key_build(struct arena *arena, const struct key_parts *parts, slice *ret_key)
{
    ENSURE(parts->authority.len <= UINT16_MAX && parts->target.len <= UINT32_MAX && parts->extra.len <= UINT32_MAX, LIMIT);
    char *buffer = arena_alloc(arena, key_size(parts));
    ENSURE(buffer != NULL, MEMORY);

    *ret_key = key_write(parts, buffer);
    return ERR_OK;
}

err key_build_variant(struct arena *arena, slice primary, slice spec, slice values, slice *ret_key)
{
    ENSURE(spec.len <= UINT32_MAX && values.len <= UINT32_MAX, LIMIT);
    size_t size = primary.len + 1 + 4 + spec.len + 4 + values.len;
    char *buffer = arena_alloc(arena, size);
    ENSURE(buffer != NULL, MEMORY);
    char *at = put_bytes(buffer, primary);
    *at++ = KEY_VARIANT;
    at = put_part(at, spec);
    at = put_part(at, values);
    INVARIANT((size_t)(at - buffer) == size);

    *ret_key = slice_of(buffer, size);
    return ERR_OK;
}

static bool take_u32(slice *in, uint32_t *ret_value)
{
    if (in->len < sizeof(*ret_value))
        return false;
    memcpy(ret_value, in->data, sizeof(*ret_value));
    *in = slice_from(*in, sizeof(*ret_value));
    return true;
}

static bool take_byte(slice *in, char *ret_byte)
{
    if (in->len == 0)
        return false;
    *ret_byte = in->data[0];
    *in = slice_from(*in, 1);
    return true;
}

static bool take_part(slice *in, slice *ret_part)
{
    uint32_t len;
    if (!take_u32(in, &len) || in->len < len)
        return false;
    *ret_part = slice_of(in->data, len);
    *in = slice_from(*in, len);
    return true;
}

bool key_read(slice key, struct key_parts *ret_parts)
{
    struct key_parts parts = {0};
    char kind, scheme;
    if (!take_byte(&key, &kind) || kind != KEY_PRIMARY)
        return false;
    if (!take_u32(&key, &parts.tenant) || !take_u32(&key, &parts.rules))
        return false;
    if (!take_byte(&key, &scheme) || scheme < 0 || scheme > 1)
        return false;
    parts.https = scheme == 1;
    if (!take_part(&key, &parts.authority) || !take_part(&key, &parts.target))
        return false;
    if (key.len > 0 && key.data[0] == KEY_EXTRA && (!take_byte(&key, &kind) || !take_part(&key, &parts.extra) || parts.extra.len == 0))
        return false;
    if (key.len > 0) {
        parts.is_variant = true;
        if (!take_byte(&key, &kind) || kind != KEY_VARIANT)
            return false;
        if (!take_part(&key, &parts.spec) || !take_part(&key, &parts.values) || key.len > 0)
            return false;
    }
    *ret_parts = parts;
    return true;
}

static slice scheme_text(const struct key_parts *parts)
{
    return parts->https ? SLICE("https://") : SLICE("http://");
}

/* The three slices one after the other, in the arena. */
static err join(struct arena *arena, slice a, slice b, slice c, slice *ret_text)
{
    char *buffer = arena_alloc(arena, a.len + b.len + c.len + 1);
    ENSURE(buffer != NULL, MEMORY);
    char *end = put_bytes(put_bytes(put_bytes(buffer, a), b), c);

    *ret_text = slice_of(buffer, (size_t)(end - buffer));
    return ERR_OK;
}

err key_url(struct arena *arena, const struct key_parts *parts, slice *ret_url)
{
    return join(arena, scheme_text(parts), parts->authority, parts->target, ret_url);
}

const char *label_kind_word(enum label_kind kind)
{
    static const char *const words[] = {
#define X(name, word, text) word,
        LABEL_KINDS(X)
#undef X
    };
    return (unsigned)kind < LABEL_KIND_COUNT ? words[kind] : "unknown";
}

err label_group_text(struct arena *arena, const struct key_parts *parts, slice group, slice *ret_text)
{
    slice origin;
    TRY(join(arena, scheme_text(parts), parts->authority, SLICE(" "), &origin));
    return join(arena, origin, group, SLICE_NONE, ret_text);
}

/* The tags and groups of a response while they are collected. */
struct tags {
    slice texts[LABEL_TAGS_MAX];
    enum label_kind kinds[LABEL_TAGS_MAX];
    unsigned count;
    size_t bytes;
    bool too_many;
};

static void tags_add(struct tags *tags, enum label_kind kind, slice text)
{
    if (text.len == 0 || tags->too_many)
        return;
    tags->bytes += text.len;
    if (tags->count == LABEL_TAGS_MAX || tags->bytes > LABEL_TAG_BYTES_MAX) {
        tags->too_many = true;
        return;
    }
    tags->kinds[tags->count] = kind;
    tags->texts[tags->count++] = text;
}

/* Elements between separators; white space around them is not theirs. */
static void tags_split(struct tags *tags, slice value, char separator)
{
    size_t start = 0;
    for (size_t i = 0; i <= value.len; i++) {
        bool at_tab = separator == ' ' && i < value.len && value.data[i] == '\t';
        if (i < value.len && value.data[i] != separator && !at_tab)
            continue;
        tags_add(tags, LABEL_TAG, slice_trim(slice_of(value.data + start, i - start)));
        start = i + 1;
    }
}

static void tags_of_field(struct tags *tags, const struct fields *response, enum field_id id, char separator)
{
    for (int i = -1; (i = fields_next(response, id, i + 1)) >= 0 && !tags->too_many;)
        tags_split(tags, field_value(response, (unsigned)i), separator);
}

/* RFC 9875 2.1: a List of Strings. A field that does not parse is ignored as a whole (RFC 9651 4.2). A group is of its
 * origin for other answers of that (invalidate.h), and a tag like any other for whose site it is. */
static void tags_of_groups(struct arena *arena, struct tags *tags, const struct fields *response)
{
    slice text = fields_joined(response, F_CACHE_GROUPS, arena);
    if (text.data == NULL)
        return;
    unsigned count = tags->count;
    size_t bytes = tags->bytes;
    bool too_many = tags->too_many;
    struct sf_parser parser;
    struct sf_item item;
    enum sf_result result;
    sf_parser_init(&parser, text, arena);
    while ((result = sf_list_next(&parser, &item)) == SF_ITEM)
        if (item.type == SF_STRING) {
            tags_add(tags, LABEL_GROUP, item.text);
            tags_add(tags, LABEL_TAG, item.text);
        }
    if (result != SF_INVALID)
        return;
    tags->count = count;
    tags->bytes = bytes;
    tags->too_many = too_many;
}

/* "/" first, then each "/" of the path, the query left aside. */
static void label_prefixes(slice url, size_t path_off, label_fn *label, void *context)
{
    unsigned levels = 0;
    for (size_t i = path_off; i < url.len && url.data[i] != '?' && levels < LABEL_PREFIX_LEVELS_MAX; i++) {
        if (url.data[i] != '/')
            continue;
        label(context, LABEL_PREFIX, slice_of(url.data, i + 1));
        levels++;
    }
}

static err labels_of_tags(struct arena *arena, const struct key_parts *parts, const struct tags *tags, label_fn *label,
                          void *context)
{
    for (unsigned i = 0; i < tags->count; i++) {
        slice text = tags->texts[i];
        if (tags->kinds[i] == LABEL_GROUP)
            TRY(label_group_text(arena, parts, text, &text));
        label(context, tags->kinds[i], text);
    }
    return ERR_OK;
}

err labels_build(struct arena *arena, const struct key_parts *parts, const struct fields *response, label_fn *label,
                 void *context, bool *ret_too_many)
{
    slice url;
    TRY(key_url(arena, parts, &url));
    struct tags *tags = arena_alloc(arena, sizeof(*tags));
    ENSURE(tags != NULL, MEMORY);
    tags->count = 0;
    tags->bytes = 0;
    tags->too_many = false;
    if (response != NULL) {
        tags_of_field(tags, response, F_SURROGATE_KEY, ' ');
        tags_of_field(tags, response, F_CACHE_TAG, ',');
        tags_of_groups(arena, tags, response);
    }

    label(context, LABEL_URL, url);
    label(context, LABEL_HOST, parts->authority);
    label_prefixes(url, url.len - parts->target.len, label, context);
    if (!tags->too_many)
        TRY(labels_of_tags(arena, parts, tags, label, context));
    *ret_too_many = tags->too_many;
    return ERR_OK;
}
