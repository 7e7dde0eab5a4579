#include "cache/invalidate.h"

#include "http/sf.h"
#include "http/uri.h"

bool invalidate_applies(enum method method, unsigned status)
{
    return !method_is_safe(method) && status >= 200 && status < 400;
}

/* Location or Content-Location: an invalid one, or one of another origin, says nothing (RFC 9111 4.4: else one
 * site could empty another's cache). */
static err item_of_reference(struct arena *arena, const struct uri *base, slice reference, const struct key_parts *parts,
                             invalidate_fn *item, void *context)
{
    struct uri uri;
    if (reference.data == NULL || !err_is_ok(uri_resolve(base, reference, arena, &uri)) || !uri_same_origin(base, &uri))
        return ERR_OK;
    struct key_parts other = *parts;
    slice url;
    other.authority = uri.authority;
    other.target = uri.target;
    TRY(key_url(arena, &other, &url));
    item(context, LABEL_URL, url);
    return ERR_OK;
}

/* RFC 9875 3: a List of Strings, ignored as a whole when it does not parse. */
static unsigned groups_read(struct arena *arena, const struct fields *response, slice *ret_groups)
{
    struct sf_parser parser;
    struct sf_item item;
    enum sf_result result;
    unsigned count = 0;
    slice text = fields_joined(response, F_CACHE_GROUP_INVALIDATION, arena);
    if (text.data == NULL)
        return 0;
    sf_parser_init(&parser, text, arena);
    while ((result = sf_list_next(&parser, &item)) == SF_ITEM)
        if (item.type == SF_STRING && count < INVALIDATE_GROUPS_MAX)
            ret_groups[count++] = item.text;
    return result == SF_END ? count : 0;
}

err invalidate_items(struct arena *arena, const struct request *request, const struct key_parts *parts,
                     const struct response *response, invalidate_fn *item, void *context)
{
    slice groups[INVALIDATE_GROUPS_MAX], text;
    struct uri base = {.https = parts->https, .authority = parts->authority, .target = parts->target};
    if (!invalidate_applies(request->method, response->status))
        return ERR_OK;
    TRY(key_url(arena, parts, &text));
    item(context, LABEL_URL, text);
    if (request->form != TARGET_ASTERISK) {
        TRY(item_of_reference(arena, &base, fields_get(&response->fields, F_LOCATION), parts, item, context));
        TRY(item_of_reference(arena, &base, fields_get(&response->fields, F_CONTENT_LOCATION), parts, item, context));
    }
    unsigned count = groups_read(arena, &response->fields, groups);
    for (unsigned i = 0; i < count; i++) {
        TRY(label_group_text(arena, parts, groups[i], &text));
        item(context, LABEL_GROUP, text);
    }
    return ERR_OK;
}
