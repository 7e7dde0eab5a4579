/* GET /cache, /api/v1/objects: what is stored, by tenant, host and path; JSON, or HTML for a browser. */
#include "admin/admin_internal.h"
#include "cache/freshness.h"
#include "cache/key.h"
#include "cache/stored.h"

#include <inttypes.h>
#include <stdlib.h>

#define LOOK_MAX 100000u /* objects looked at for one page */

struct browse {
    struct admin_request *request;
    const struct tenant *tenant; /* NULL: all that may be seen */
    slice scheme, host, path;    /* data NULL: any */
    json_t *list;
    unsigned limit, looked;
    int64_t now_ms;
};

/* Of a body in slices the head knows. */
static int64_t body_bytes(const struct store_object *object, const struct stored *stored)
{
    return stored_slices_of(stored) != NULL ? stored->body_bytes : store_object_length(object);
}

/* Whose it is; NULL: not to be shown. What is left of a tenant that has gone is nobody's. */
static const struct tenant *owner_shown(const struct browse *browse, uint16_t id)
{
    const struct tenant *owner = tenants_of_id(browse->request->context->tenants, id);

    if (owner == NULL || (browse->tenant != NULL && browse->tenant != owner))
        return NULL;
    return admin_may(browse->request, TOKEN_READ, owner) ? owner : NULL;
}

static bool is_wanted(const struct browse *browse, const struct key_parts *parts)
{
    return (browse->host.data == NULL || slice_eq(browse->host, parts->authority)) &&
           (browse->path.data == NULL || slice_starts(parts->target, browse->path)) &&
           (browse->scheme.data == NULL || slice_eq(browse->scheme, parts->https ? SLICE("https") : SLICE("http")));
}

static void visit(void *arg, const struct store_object *object, uint64_t hits)
{
    struct browse *browse = arg;
    const struct stored *stored;
    const struct tenant *owner;
    struct key_parts parts;
    struct fields view;
    int32_t age;
    slice url;

    browse->looked++;
    if (json_array_size(browse->list) >= browse->limit || object->kind != STORE_ANSWER ||
        !key_read(store_object_key(object), &parts) || !is_wanted(browse, &parts) ||
        (owner = owner_shown(browse, object->tenant)) == NULL)
        return;
    if (!err_is_ok(stored_view(object->meta, &view, &stored)) || !err_is_ok(key_url(&browse->request->arena, &parts, &url)))
        return;
    age = freshness_current_age(stored->initial_age_s, stored->response_time_ms, browse->now_ms);
    json_array_append_new(browse->list,
                          json_pack("{s:o, s:o, s:o, s:i, s:I, s:i, s:i, s:I, s:b}", "tenant", admin_text(owner->name), "url",
                                    admin_text(url), "vary", admin_text(parts.is_variant ? parts.spec : SLICE("")), "status",
                                    (int)stored->status, "bytes", (json_int_t)body_bytes(object, stored), "age", (int)age, "ttl",
                                    (int)(stored->lifetime_s - age), "hits", (json_int_t)hits, "complete",
                                    (int)store_object_is_complete(object)));
}

/* The tenant in the query, if one is named; false: answered already. */
static bool tenant_asked(struct admin_request *request, const struct tenant **ret_tenant)
{
    slice name = admin_param(request, SLICE("tenant"));

    *ret_tenant = NULL;
    if (name.data == NULL)
        return true;
    *ret_tenant = admin_tenant(request, TOKEN_READ, name);
    return *ret_tenant != NULL;
}

/* Fills the list; the next cursor, 0 at the end. */
static uint64_t browse_run(struct browse *browse, uint64_t cursor)
{
    struct storage *storage = browse->request->context->storage;

    browse->list = json_array();
    browse->now_ms = loop_wall_ms(browse->request->context->loop);
    do {
        cursor = storage_browse(storage, cursor, (unsigned)MAX(1u, browse->limit - json_array_size(browse->list)), visit, browse);
    } while (cursor != 0 && json_array_size(browse->list) < browse->limit && browse->looked < LOOK_MAX);
    return cursor;
}

/* Text into HTML; NULL when memory ends. */
static char *html_page(const json_t *list)
{
    static const char head[] =
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>warp: cache</title><style>body{font:14px/1.5 "
        "system-ui,sans-serif;margin:2em}table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:left;"
        "border-bottom:1px solid #ddd}</style><h1>Stored</h1><table><tr><th>URL<th>status<th>bytes<th>age<th>ttl<th>hits";
    size_t size = sizeof(head) + 64, at = sizeof(head) - 1, index;
    char *page;
    json_t *item;

    json_array_foreach(list, index, item)
        size += 6 * strlen(json_string_value(json_object_get(item, "url"))) + 200;
    page = malloc(size);
    if (page == NULL)
        return NULL;
    memcpy(page, head, at);
    json_array_foreach(list, index, item)
    {
        static const char *const numbers[] = {"status", "bytes", "age", "ttl", "hits"};
        at += (size_t)snprintf(page + at, size - at, "<tr><td>");
        for (const char *c = json_string_value(json_object_get(item, "url")); *c != '\0'; c++) {
            const char *safe = *c == '<' ? "&lt;" : *c == '>' ? "&gt;" : *c == '&' ? "&amp;" : *c == '"' ? "&quot;" : NULL;
            at += (size_t)snprintf(page + at, size - at, safe != NULL ? "%s" : "%.1s", safe != NULL ? safe : c);
        }
        for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
            at += (size_t)snprintf(page + at, size - at, "<td>%" JSON_INTEGER_FORMAT,
                                   json_integer_value(json_object_get(item, numbers[i])));
    }
    snprintf(page + at, size - at, "</table></html>\n");
    return page;
}

static void browse_answer(struct browse *browse, uint64_t cursor)
{
    char text[24] = "";

    if (cursor != 0)
        snprintf(text, sizeof(text), "%" PRIu64, cursor);
    admin_answer_json(browse->request, 200, json_pack("{s:o, s:s}", "objects", browse->list, "next", text));
}

/* Where a page begins, and how long it is; false: answered already. */
static bool page_asked(struct browse *browse, uint64_t *ret_cursor)
{
    slice cursor = admin_param(browse->request, SLICE("cursor"));

    *ret_cursor = 0;
    if (!tenant_asked(browse->request, &browse->tenant) || !admin_limit(browse->request, &browse->limit))
        return false;
    if (cursor.len == 0 || slice_to_u64(cursor, ret_cursor))
        return true;
    admin_problem(browse->request, 400, "cursor is what the page before said under \"next\"");
    return false;
}

void admin_cache(struct admin_request *request)
{
    struct browse browse = {.request = request};
    uint64_t cursor;

    if (!page_asked(&browse, &cursor))
        return;
    browse.host = admin_param(request, SLICE("host"));
    browse.path = admin_param(request, SLICE("path"));
    cursor = browse_run(&browse, cursor);
    if (admin_wants(request, SLICE("text/html"))) {
        char *page = html_page(browse.list);
        json_decref(browse.list);
        admin_answer_owned(request, 200, SLICE("text/html; charset=utf-8"), page, page != NULL ? strlen(page) : 0);
        return;
    }
    browse_answer(&browse, cursor);
}

/* scheme://host/path, or without a scheme. */
static void prefix_split(struct browse *browse, slice prefix)
{
    ptrdiff_t slash;

    for (int https = 0; https <= 1; https++) {
        slice scheme = https ? SLICE("https") : SLICE("http");
        if (!slice_starts(prefix, scheme) || !slice_starts(slice_from(prefix, scheme.len), SLICE("://")))
            continue;
        browse->scheme = scheme;
        prefix = slice_from(prefix, scheme.len + 3);
        break;
    }
    slash = slice_find(prefix, '/');
    browse->host = slice_of(prefix.data, slash >= 0 ? (size_t)slash : prefix.len);
    if (slash >= 0)
        browse->path = slice_from(prefix, (size_t)slash);
}

void admin_objects(struct admin_request *request)
{
    struct browse browse = {.request = request};
    slice prefix = admin_param(request, SLICE("prefix"));
    uint64_t cursor;

    if (!page_asked(&browse, &cursor))
        return;
    if (prefix.len > 0)
        prefix_split(&browse, prefix);
    cursor = browse_run(&browse, cursor);
    browse_answer(&browse, cursor);
}
