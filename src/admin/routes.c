#include "admin/routes.h"

#include <stdio.h>

const struct admin_route admin_routes[] = {
#define X(method, path, access, right, scope, handler, params, body, answer, statuses, text)                           \
    {METHOD_##method, path, ADMIN_##access, TOKEN_##right, ADMIN_FOR_##scope, handler, params, body, answer, statuses, text},
    ADMIN_ROUTES(X)
#undef X
};
const unsigned admin_route_count = ARRAY_LEN(admin_routes);

static const char *method_word(enum method method)
{
    switch (method) {
    case METHOD_POST:
        return "POST";
    case METHOD_PUT:
        return "PUT";
    case METHOD_DELETE:
        return "DELETE";
    default:
        return "GET, HEAD";
    }
}

/* The part up to the next '/'. */
static slice segment_next(slice *rest)
{
    ptrdiff_t end = slice_find(*rest, '/');
    slice segment = slice_of(rest->data, end >= 0 ? (size_t)end : rest->len);

    *rest = slice_from(*rest, end >= 0 ? (size_t)end + 1 : rest->len);
    return segment;
}

static bool path_matches(slice pattern, slice path, slice captures[ADMIN_CAPTURES_MAX])
{
    unsigned count = 0;

    while (pattern.len > 0 && path.len > 0) {
        bool is_last = slice_find(pattern, '/') < 0;
        slice wanted, given;
        if (is_last != (slice_find(path, '/') < 0))
            return false;
        wanted = segment_next(&pattern);
        given = segment_next(&path);
        if (slice_starts(wanted, SLICE("{"))) {
            INVARIANT(count < ADMIN_CAPTURES_MAX);
            if (given.len == 0)
                return false;
            captures[count++] = given;
        } else if (!slice_eq(wanted, given)) {
            return false;
        }
    }
    return pattern.len == 0 && path.len == 0;
}

const struct admin_route *admin_route_find(slice path, enum method method, slice captures[ADMIN_CAPTURES_MAX], char ret_allow[64])
{
    size_t len = 0;

    ret_allow[0] = '\0';
    for (unsigned i = 0; i < admin_route_count; i++) {
        const struct admin_route *route = &admin_routes[i];
        if (!path_matches(slice_str(route->path), path, captures))
            continue;
        if (route->method == method || (route->method == METHOD_GET && method == METHOD_HEAD))
            return route;
        len += (size_t)snprintf(ret_allow + len, 64 - len, "%s%s", len > 0 ? ", " : "", method_word(route->method));
        INVARIANT(len < 64);
    }
    return NULL;
}

bool admin_route_has_param(const struct admin_route *route, slice name)
{
    slice rest = slice_str(route->params);

    while (rest.len > 0) {
        ptrdiff_t comma = slice_find(rest, ',');
        if (slice_eq(name, slice_of(rest.data, comma >= 0 ? (size_t)comma : rest.len)))
            return true;
        rest = slice_from(rest, comma >= 0 ? (size_t)comma + 1 : rest.len);
    }
    return false;
}
