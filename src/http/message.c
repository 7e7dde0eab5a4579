#include "http/message.h"

static const struct {
    slice name;
    bool safe, idempotent;
} methods[METHOD_COUNT] = {
#define X(name, safe, idempotent) [METHOD_##name] = {{#name, sizeof(#name) - 1}, safe, idempotent},
    HTTP_METHODS(X)
#undef X
};

enum method method_of(slice name)
{
    for (unsigned method = 1; method < METHOD_COUNT; method++)
        if (slice_eq(methods[method].name, name))
            return method;
    return METHOD_OTHER;
}

bool method_is_safe(enum method method)
{
    return methods[method].safe;
}

bool method_is_idempotent(enum method method)
{
    return methods[method].idempotent;
}
