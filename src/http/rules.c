#include "http/rules.h"

#include "http/uri.h"

enum h1_error rule_length(const struct fields *fields, uint64_t *ret_bytes)
{
    int i = fields_next(fields, F_CONTENT_LENGTH, 0);
    uint64_t bytes;

    if (fields_next(fields, F_CONTENT_LENGTH, i + 1) >= 0)
        return H1_LENGTH_DUPLICATE;
    if (!slice_to_u64(field_value(fields, (unsigned)i), &bytes) || bytes > INT64_MAX)
        return H1_LENGTH_INVALID;
    *ret_bytes = bytes;
    return H1_OK;
}

enum h1_error rule_authority(slice raw, bool https, enum h1_error invalid, struct arena *arena, slice *ret_authority)
{
    err e = authority_normalise(raw, https, false, arena, ret_authority);
    return err_is_ok(e) ? H1_OK : e.code == ERR_MEMORY ? H1_MEMORY : invalid;
}

enum h1_error rule_connect_target(slice target, bool https, struct arena *arena, slice *ret_authority)
{
    slice port = slice_from(target, target.len - (size_t)MIN(target.len, 6u));

    if (slice_find(port, ':') < 0 || target.data[target.len - 1] == ':')
        return H1_TARGET_FORM;
    return rule_authority(target, https, H1_TARGET_AUTHORITY, arena, ret_authority);
}

/* RFC 9112 3.2: exactly one valid Host, also when the target names the authority. */
enum h1_error rule_host(const struct fields *fields, bool may_be_empty, bool https, struct arena *arena, slice *ret_authority)
{
    int i = fields_next(fields, F_HOST, 0);
    slice host;

    if (fields_next(fields, F_HOST, i + 1) >= 0)
        return H1_HOST_DUPLICATE;
    host = field_value(fields, (unsigned)i);
    if (host.len == 0) {
        *ret_authority = SLICE_NONE;
        return may_be_empty ? H1_OK : H1_HOST_EMPTY;
    }
    return rule_authority(host, https, H1_HOST_INVALID, arena, ret_authority);
}

enum h1_error rule_expect(const struct fields *fields)
{
    for (int i = -1; (i = fields_next(fields, F_EXPECT, i + 1)) >= 0;)
        if (!slice_eq_nocase(field_value(fields, (unsigned)i), SLICE("100-continue")))
            return H1_EXPECTATION;
    return H1_OK;
}

bool rule_is_bodiless(enum method request_method, uint16_t status)
{
    return status < 200 || status == 204 || status == 304 || request_method == METHOD_HEAD ||
           (request_method == METHOD_CONNECT && status < 300);
}
