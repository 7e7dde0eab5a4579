/* route: the table of paths. Read it first. */
#include "demo/demo_internal.h"

#define TEXT(lit) {lit, sizeof(lit) - 1} /* SLICE, where only constants may stand */

const struct route routes[] = {
    {TEXT("/time"), METHODS_READ, time_answer, TEXT("public, max-age=5, stale-while-revalidate=30"), TEXT("time")},
    {TEXT("/slow"), METHODS_READ, slow_answer, TEXT("public, max-age=30"), TEXT("slow")},
    {TEXT("/large"), METHODS_READ, large_answer, TEXT("public, max-age=3600"), TEXT("large")},
    {TEXT("/search"), METHODS_READ, search_answer, TEXT("public, max-age=10"), TEXT("search")},
    {TEXT("/vary"), METHODS_READ, vary_answer, TEXT("public, max-age=60"), TEXT("vary")},
    {TEXT("/private"), METHODS_READ, private_answer, TEXT("private"), {0}},
    {TEXT("/fail"), METHODS_READ, fail_answer, TEXT("no-store"), {0}},
    {TEXT("/flaky"), METHODS_READ, flaky_answer, TEXT("public, max-age=2, stale-if-error=3600"), TEXT("flaky")},
    {TEXT("/flaky/on"), METHODS_READ | BIT(POST), flaky_on_answer, TEXT("no-store"), {0}},
    {TEXT("/flaky/off"), METHODS_READ | BIT(POST), flaky_off_answer, TEXT("no-store"), {0}},
    {TEXT("/echo"), METHODS_WRITE, echo_answer, TEXT("no-store"), {0}},
    {TEXT("/headers"), METHODS_READ, headers_answer, TEXT("no-store"), {0}},
    {TEXT("/events"), METHODS_READ, events_answer, TEXT("no-store"), {0}},
    {TEXT("/stats"), METHODS_READ, stats_answer, TEXT("no-store"), {0}},
    {TEXT("/status/*"), METHODS_READ, status_answer, TEXT("public, max-age=5"), TEXT("status")},
    {TEXT("/redirect"), METHODS_READ, redirect_answer, TEXT("public, max-age=60"), TEXT("redirect")},
};
const unsigned routes_count = ARRAY_LEN(routes);

/* By type: what one purge by tag should take away together. */
static slice file_tags(const struct site_file *file)
{
    if (slice_eq(file->type, SLICE("image/svg+xml")))
        return SLICE("site pictures");
    return slice_eq(file->type, TYPE_HTML) ? SLICE("site pages") : SLICE("site assets");
}

MUST_USE static err file_answer(struct exchange *x, const struct site_file *file)
{
    struct entity entity = {
        .type = file->type, .etag = file->etag, .length_bytes = file->bytes.len, .bytes = file->bytes.data};

    x->tags = file_tags(file);
    x->cache_control = slice_eq(file->type, TYPE_HTML) ? SLICE("public, max-age=60")
                                                       : SLICE("public, max-age=3600, stale-while-revalidate=86400");
    return answer_entity(x, &entity);
}

/* Writes "GET, HEAD, OPTIONS" for the bits. */
MUST_USE static err add_allow(struct exchange *x, unsigned methods)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{BIT(GET), "GET, "}, {BIT(HEAD), "HEAD, "}, {BIT(POST), "POST, "}, {BIT(PUT), "PUT, "}};
    const char *given[ARRAY_LEN(names)];

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        given[i] = (methods & names[i].bit) != 0 ? names[i].name : "";
    return fields_addf(&x->fields, F_ALLOW, "%s%s%s%sOPTIONS", given[0], given[1], given[2], given[3]);
}

/* OPTIONS, or a method the path does not have. */
MUST_USE static err other_method(struct exchange *x, unsigned methods)
{
    bool asks = x->request.method == METHOD_OPTIONS;
    uint16_t status = asks ? 204 : 405;

    x->cache_control = SLICE("no-store");
    TRY(answer_begin(x, status, asks ? SLICE_NONE : TYPE_TEXT));
    TRY(add_allow(x, methods));
    return answer_memory(x, status, SLICE("This path does not answer that method.\n"));
}

static bool route_matches(const struct route *route, slice path)
{
    if (!slice_ends(route->path, SLICE("*")))
        return slice_eq(route->path, path);
    return slice_starts(path, slice_of(route->path.data, route->path.len - 1));
}

/* The place of a path in demo->counts: a route, a file, or the last place for everything else. */
static unsigned path_index(slice path)
{
    for (unsigned i = 0; i < routes_count; i++)
        if (route_matches(&routes[i], path))
            return i;
    for (unsigned i = 0; i < site_files_count; i++)
        if (slice_eq(site_files[i].path, path))
            return routes_count + i;
    return routes_count + site_files_count;
}

MUST_USE static err not_found(struct exchange *x)
{
    x->cache_control = SLICE("public, max-age=5");
    x->tags = SLICE("missing");
    return answer_page(x, 404, "Nothing here", SLICE("<p>This page was never taken. A cache may remember that for five seconds.</p>"));
}

err route_answer(struct exchange *x)
{
    ptrdiff_t query = slice_find(x->request.target, '?');
    const struct route *route = NULL;
    unsigned index, methods;

    x->path = slice_of(x->request.target.data, query >= 0 ? (size_t)query : x->request.target.len);
    x->query = query >= 0 ? slice_from(x->request.target, (size_t)query + 1) : SLICE("");
    index = path_index(x->path);
    x->demo->requests++;
    x->count = ++x->demo->counts[index];

    if (index < routes_count)
        route = &routes[index];
    methods = route != NULL ? route->methods : METHODS_READ;
    if ((methods & (1u << x->request.method)) == 0)
        return other_method(x, methods);
    if (index == routes_count + site_files_count)
        return not_found(x);
    if (route == NULL)
        return file_answer(x, &site_files[index - routes_count]);
    x->cache_control = route->cache_control;
    x->tags = route->tags;
    return route->answer(x);
}
