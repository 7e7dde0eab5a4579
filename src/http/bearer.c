#include "http/bearer.h"

slice bearer_of(const struct fields *fields)
{
    slice value = fields_get(fields, F_AUTHORIZATION);

    if (value.data == NULL || value.len < 7 || fields_count_of(fields, F_AUTHORIZATION) != 1 ||
        !slice_eq_nocase((slice){value.data, 7}, SLICE("Bearer ")))
        return SLICE_NONE;
    return slice_trim(slice_from(value, 7));
}

bool bearer_is(slice bearer, slice token)
{
    unsigned difference = bearer.len != token.len;

    if (token.len == 0 || bearer.data == NULL)
        return false;
    for (size_t i = 0; i < bearer.len; i++) /* all of it, whatever the first bytes are */
        difference |= (unsigned)((unsigned char)bearer.data[i] ^ (unsigned char)token.data[i % token.len]);
    return difference == 0;
}

bool bearer_matches(const struct fields *fields, slice token)
{
    return bearer_is(bearer_of(fields), token);
}
