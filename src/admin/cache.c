/* GET /cache: what is stored, by host and path; JSON, or HTML for a browser. */
#include "admin/admin_internal.h"
#include "cache/freshness.h"
#include "cache/key.h"
#include "cache/stored.h"

#include <inttypes.h>
#include <stdlib.h>

#define LIMIT_DEFAULT 100u
#define LIMIT_MAX     1000u
#define LOOK_MAX      100000u /* objects looked at for one page */

struct browse {
    struct admin_request *request;
    slice host, path;
    json_t *list;
    unsigned limit, looked;
    int64_t now_ms;
};

static json_t *json_slice(slice s)
{
    json_t *text = json_stringn(s.data, s.len);
    return text != NULL ? text : json_string("(not UTF-8)");
}

/* Of a body in slices the head knows. */
static int64_t body_bytes(const struct store_object *object, const struct stored *stored)
{
    return stored_slices_of(stored) != NULL ? stored->body_bytes : store_object_length(object);
}

static void visit(void *arg, const struct store_object *object, uint64_t hits)
{
    struct browse *browse = arg;
    const struct stored *stored;
    struct key_parts parts;
    struct fields view;
    int32_t age;
    slice url;

    browse->looked++;
    if (json_array_size(browse->list) >= browse->limit || object->kind != STORE_ANSWER || !key_read(store_object_key(object), &parts))
        return;
    if ((browse->host.data != NULL && !slice_eq(browse->host, parts.authority)) ||
        (browse->path.data != NULL && !slice_starts(parts.target, browse->path)))
        return;
    if (!err_is_ok(stored_view(object->meta, &view, &stored)) || !err_is_ok(key_url(&browse->request->arena, &parts, &url)))
        return;
    age = freshness_current_age(stored->initial_age_s, stored->response_time_ms, browse->now_ms);
    json_array_append_new(browse->list,
                          json_pack("{s:s, s:o, s:o, s:i, s:I, s:i, s:i, s:I, s:b}", "tenant", "default", "url",
                                    json_slice(url), "vary", json_slice(parts.is_variant ? parts.spec : SLICE("")),
                                    "status", (int)stored->status, "bytes", (json_int_t)body_bytes(object, stored),
                                    "age", (int)age, "ttl", (int)(stored->lifetime_s - age), "hits", (json_int_t)hits,
                                    "complete", (int)store_object_is_complete(object)));
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

void admin_cache(struct admin_request *request)
{
    struct browse browse = {.request = request, .list = json_array(), .limit = LIMIT_DEFAULT};
    slice limit = admin_param(request, SLICE("limit")), from = admin_param(request, SLICE("cursor"));
    uint64_t value, cursor = 0;
    char text[24];

    if (limit.data != NULL && slice_to_u64(limit, &value))
        browse.limit = (unsigned)MAX(1u, MIN(value, LIMIT_MAX));
    if (from.data != NULL && !slice_to_u64(from, &cursor)) {
        json_decref(browse.list);
        admin_problem(request, 400, "cursor is what the page before said under \"next\"");
        return;
    }
    browse.host = admin_param(request, SLICE("host"));
    browse.path = admin_param(request, SLICE("path"));
    browse.now_ms = loop_wall_ms(request->context->loop);
    do {
        cursor = storage_browse(request->context->storage, cursor,
                                (unsigned)MAX(1u, browse.limit - json_array_size(browse.list)), visit, &browse);
    } while (cursor != 0 && json_array_size(browse.list) < browse.limit && browse.looked < LOOK_MAX);
    if (admin_wants(request, SLICE("text/html"))) {
        char *page = html_page(browse.list);
        json_decref(browse.list);
        admin_answer_owned(request, 200, SLICE("text/html; charset=utf-8"), page, page != NULL ? strlen(page) : 0);
        return;
    }
    snprintf(text, sizeof(text), "%" PRIu64, cursor);
    admin_answer_json(request, 200, json_pack("{s:o, s:s}", "objects", browse.list, "next", cursor != 0 ? text : ""));
}
