#include "cache/hop.h"

#include "http/token.h"

bool hop_is_field(enum field_id id)
{
    switch (id) {
    case F_CONNECTION: case F_KEEP_ALIVE: case F_PROXY_AUTHENTICATE: case F_PROXY_AUTHENTICATION_INFO:
    case F_PROXY_AUTHORIZATION: case F_PROXY_CONNECTION: case F_TE: case F_UPGRADE: case F_HTTP2_SETTINGS:
    case F_TRANSFER_ENCODING: case F_TRAILER: case F_CONTENT_LENGTH:
        return true;
    default:
        return false;
    }
}

bool hop_is_consumed(enum field_id id)
{
    return id == F_WARP_CACHE_CONTROL || id == F_SURROGATE_CONTROL;
}

err hop_names_read(const struct fields *fields, struct hop_names *ret_names)
{
    ret_names->count = 0;
    for (int i = -1; (i = fields_next(fields, F_CONNECTION, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i), name;
        while (list_next(&rest, &name)) {
            ENSURE(ret_names->count < HOP_NAMES_MAX, LIMIT);
            ret_names->names[ret_names->count++] = name;
        }
    }
    return ERR_OK;
}

bool hop_names_has(const struct hop_names *names, slice name)
{
    for (unsigned i = 0; i < names->count; i++)
        if (slice_eq_nocase(names->names[i], name))
            return true;
    return false;
}
