/* answer: what all paths' answers have in common: fields, validators, ranges, the page around a text. */
#include "demo/demo_internal.h"
#include "demo/query.h"
#include "http/conditional.h"
#include "http/date.h"
#include "http/range.h"

static const char page_format[] =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>%s &middot; Stillwater</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
    "<link rel=\"icon\" href=\"/favicon.svg\">\n<link rel=\"stylesheet\" href=\"/style.css\">\n</head>\n"
    "<body class=\"note\">\n<header class=\"bar\"><a class=\"brand\" href=\"/\">Stillwater</a>"
    "<span>the demo origin</span></header>\n<main>\n<h1>%s</h1>\n" SLICE_FMT
    "\n<p class=\"back\"><a href=\"/\">&larr; back to the journal</a></p>\n</main>\n</body>\n</html>\n";

bool exchange_is_head(const struct exchange *x)
{
    return x->request.method == METHOD_HEAD;
}

static int64_t now_s(const struct exchange *x)
{
    return loop_wall_ms(x->demo->loop) / 1000;
}

MUST_USE static err fields_add_date(struct fields *fields, enum field_id id, int64_t s)
{
    char text[DATE_BYTES];

    date_format(s, text);
    return fields_add(fields, id, slice_of(text, DATE_BYTES));
}

err answer_begin(struct exchange *x, uint16_t status, slice type)
{
    fields_init(&x->fields, &x->arena);
    TRY(fields_add_date(&x->fields, F_DATE, now_s(x)));
    TRY(fields_add(&x->fields, F_SERVER, SLICE("warp-demo")));
    TRY(fields_add(&x->fields, F_CACHE_CONTROL, x->cache_control));
    if (x->tags.len > 0 && (status < 400 || status == 404))
        TRY(fields_add(&x->fields, F_SURROGATE_KEY, x->tags));
    if (x->cookie.len > 0)
        TRY(fields_add(&x->fields, F_SET_COOKIE, x->cookie));
    if (x->location.len > 0)
        TRY(fields_add(&x->fields, F_LOCATION, x->location));
    if (x->language.len > 0) {
        TRY(fields_add(&x->fields, F_CONTENT_LANGUAGE, x->language));
        TRY(fields_add(&x->fields, F_VARY, SLICE("Accept-Language")));
    }
    if (type.len > 0) {
        TRY(fields_add(&x->fields, F_CONTENT_TYPE, type));
        TRY(fields_add_named(&x->fields, SLICE("X-Content-Type-Options"), F_OTHER, SLICE("nosniff")));
    }
    if (slice_eq(type, TYPE_HTML))
        TRY(fields_add_named(&x->fields, SLICE("Content-Security-Policy"), F_OTHER, SLICE("default-src 'self'")));
    /* Which of the origin's own answers this was: the same number again came from a cache. */
    return fields_add_named(&x->fields, SLICE("Demo-Count"), F_OTHER,
                            arena_printf(&x->arena, "%llu", (unsigned long long)x->count));
}

static bool status_has_body(uint16_t status)
{
    return status >= 200 && status != 204 && status != 205 && status != 304;
}

err answer_source(struct exchange *x, uint16_t status, struct source *body, int64_t length_bytes)
{
    struct reply reply = {.status = status, .added = &x->fields, .length_bytes = length_bytes};

    reply.no_body = exchange_is_head(x) || !status_has_body(status);
    if (!status_has_body(status))
        reply.length_bytes = status == 205 ? 0 : -1;
    INVARIANT(!x->responded);
    x->responded = true;
    stream_respond(x->stream, &reply, reply.no_body ? NULL : body);
    return ERR_OK;
}

err answer_memory(struct exchange *x, uint16_t status, slice text)
{
    source_memory_init(&x->body.memory, text);
    return answer_source(x, status, &x->body.memory.source, (int64_t)text.len);
}

err answer_text(struct exchange *x, uint16_t status, slice type, slice text)
{
    ENSURE(text.data != NULL, MEMORY);
    TRY(answer_begin(x, status, status_has_body(status) ? type : SLICE_NONE));
    return answer_memory(x, status, text);
}

err answer_page(struct exchange *x, uint16_t status, const char *title, slice html)
{
    ENSURE(html.data != NULL, MEMORY);
    return answer_text(x, status, TYPE_HTML, arena_printf(&x->arena, page_format, title, title, SLICE_ARG(html)));
}

err answer_bad_request(struct exchange *x, const char *why)
{
    x->cache_control = SLICE("no-store");
    return answer_page(x, 400, "Bad request", arena_printf(&x->arena, "<p>%s</p>", why));
}

/* ---- entities -------------------------------------------------------------------------------------------- */

MUST_USE static err entity_begin(struct exchange *x, const struct entity *entity, uint16_t status, slice type)
{
    TRY(answer_begin(x, status, type));
    TRY(fields_add(&x->fields, F_ETAG, entity->etag));
    TRY(fields_add_date(&x->fields, F_LAST_MODIFIED, SITE_PUBLISHED_S));
    return fields_add(&x->fields, F_ACCEPT_RANGES, SLICE("bytes"));
}

MUST_USE static err entity_send(struct exchange *x, const struct entity *entity, uint16_t status, uint64_t first,
                                uint64_t end)
{
    if (entity->bytes != NULL) {
        source_memory_init(&x->body.memory, slice_of(entity->bytes + first, (size_t)(end - first)));
        return answer_source(x, status, &x->body.memory.source, (int64_t)(end - first));
    }
    large_init(&x->body.large, &x->demo->large_pool, first, end);
    return answer_source(x, status, &x->body.large.source, (int64_t)(end - first));
}

MUST_USE static err entity_content_range(struct exchange *x, const struct content_range *range)
{
    char text[CONTENT_RANGE_BYTES_MAX];
    size_t len = content_range_format(range, text);

    return fields_add(&x->fields, F_CONTENT_RANGE, slice_of(text, len));
}

MUST_USE static err entity_unsatisfiable(struct exchange *x, const struct entity *entity)
{
    struct content_range range = {.length_bytes = entity->length_bytes};

    x->cache_control = SLICE("no-store");
    TRY(answer_begin(x, 416, TYPE_TEXT));
    TRY(entity_content_range(x, &range));
    return answer_memory(x, 416, SLICE("There are no bytes in that range.\n"));
}

/* One range is answered with 206; several, as RFC 9110 14.2 allows, with everything. */
MUST_USE static err entity_ranges(struct exchange *x, const struct entity *entity, const struct validators *validators)
{
    struct content_range range = {.length_bytes = entity->length_bytes, .satisfied = true};
    struct range_request asked;
    struct range_set set = {.count = 0};
    enum range_result result = RANGE_FULL;

    if (x->request.method == METHOD_GET && cond_if_range(&x->request.fields, validators, now_s(x)) &&
        range_parse(&x->request.fields, &asked))
        result = range_resolve(&asked, entity->length_bytes, &set);
    if (result == RANGE_UNSATISFIABLE)
        return entity_unsatisfiable(x, entity);
    if (result == RANGE_FULL || set.count != 1) {
        TRY(entity_begin(x, entity, 200, entity->type));
        return entity_send(x, entity, 200, 0, entity->length_bytes);
    }
    range.first = set.list[0].first;
    range.last = set.list[0].last;
    TRY(entity_begin(x, entity, 206, entity->type));
    TRY(entity_content_range(x, &range));
    return entity_send(x, entity, 206, range.first, range.last + 1);
}

err answer_entity(struct exchange *x, const struct entity *entity)
{
    struct validators validators = {
        .etag = entity->etag, .last_modified_s = SITE_PUBLISHED_S, .date_s = now_s(x)};

    switch (cond_evaluate(&x->request.fields, x->request.method, &validators, now_s(x))) {
    case COND_PASS:
        break;
    case COND_NOT_MODIFIED:
        x->demo->not_modified++;
        TRY(entity_begin(x, entity, 304, SLICE_NONE));
        return answer_source(x, 304, NULL, -1);
    case COND_FAILED:
        x->cache_control = SLICE("no-store");
        return answer_text(x, 412, TYPE_TEXT, SLICE("The precondition does not hold.\n"));
    }
    return entity_ranges(x, entity, &validators);
}
