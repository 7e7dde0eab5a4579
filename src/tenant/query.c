#include "tenant/query.h"

bool token_matches(slice token, slice name)
{
    if (token.len > 0 && token.data[token.len - 1] == '*')
        return slice_starts(name, slice_of(token.data, token.len - 1));
    return slice_eq(token, name);
}

bool pair_next(slice *list, char separator, slice *ret_name, slice *ret_value)
{
    ptrdiff_t end, equals;
    slice pair;

    if (list->len == 0)
        return false;
    end = slice_find(*list, separator);
    pair = slice_trim(end >= 0 ? slice_of(list->data, (size_t)end) : *list);
    *list = end >= 0 ? slice_from(*list, (size_t)end + 1) : slice_from(*list, list->len);
    equals = slice_find(pair, '=');
    *ret_name = equals >= 0 ? slice_of(pair.data, (size_t)equals) : pair;
    *ret_value = equals >= 0 ? slice_from(pair, (size_t)equals + 1) : slice_of(pair.data + pair.len, 0);
    return true;
}

slice query_of_target(slice target)
{
    ptrdiff_t at = slice_find(target, '?');

    return at >= 0 ? slice_from(target, (size_t)at + 1) : slice_of(target.data + target.len, 0);
}

static bool is_listed(const slice *tokens, uint32_t count, slice name)
{
    for (uint32_t i = 0; i < count; i++)
        if (token_matches(tokens[i], name))
            return true;
    return false;
}

static bool is_kept(const struct conf_key *key, slice name)
{
    if (key->query_keep.count > 0)
        return is_listed(key->query_keep.items, key->query_keep.count, name);
    return !is_listed(key->query_drop.items, key->query_drop.count, name);
}

struct parameter {
    slice name, text;
};

static bool is_before(slice a, slice b)
{
    int order = memcmp(a.data, b.data, MIN(a.len, b.len));
    return order != 0 ? order < 0 : a.len < b.len;
}

/* Stable: those of one name stay in order. */
static void parameters_sort(struct parameter *list, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        struct parameter one = list[i];
        unsigned at = i;
        for (; at > 0 && is_before(one.name, list[at - 1].name); at--)
            list[at] = list[at - 1];
        list[at] = one;
    }
}

static unsigned parameters_keep(const struct conf_key *key, slice query, struct parameter *list)
{
    unsigned count = 0;
    slice name, value;

    while (pair_next(&query, '&', &name, &value))
        if (is_kept(key, name))
            list[count++] = (struct parameter){name, slice_of(name.data, (size_t)(value.data + value.len - name.data))};
    return count;
}

static unsigned parameters_count(slice query)
{
    unsigned count = 1;

    for (size_t i = 0; i < query.len; i++)
        count += query.data[i] == '&';
    return count;
}

static slice target_write(struct arena *arena, slice target, slice query, const struct parameter *list, unsigned count)
{
    size_t path = (size_t)(query.data - target.data) - 1; /* without "?" */
    char *out = arena_alloc(arena, target.len), *at = out;

    if (out == NULL)
        return SLICE_NONE;
    memcpy(at, target.data, path);
    at += path;
    for (unsigned i = 0; i < count; i++) {
        *at++ = i == 0 ? '?' : '&';
        memcpy(at, list[i].text.data, list[i].text.len);
        at += list[i].text.len;
    }
    return slice_of(out, (size_t)(at - out));
}

slice query_rewrite(struct arena *arena, slice target, const struct conf_key *key)
{
    slice query = query_of_target(target), rewritten;
    struct parameter *list;
    unsigned count;

    if (slice_find(target, '?') < 0 || (key->query_keep.count == 0 && key->query_drop.count == 0 && !key->query_sort))
        return target;
    list = arena_alloc(arena, parameters_count(query) * sizeof(*list));
    if (list == NULL)
        return SLICE_NONE;
    count = parameters_keep(key, query, list);
    if (key->query_sort && count <= QUERY_SORT_MAX)
        parameters_sort(list, count);
    rewritten = target_write(arena, target, query, list, count);
    return slice_eq(rewritten, target) ? target : rewritten;
}
