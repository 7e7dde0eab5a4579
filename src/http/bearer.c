#include "http/bearer.h"

bool bearer_read(const struct fields *fields, slice *ret_token)
{
    slice value = fields_get(fields, F_AUTHORIZATION);

    if (value.data == NULL || value.len < 7 || fields_count_of(fields, F_AUTHORIZATION) != 1 ||
        !slice_eq_nocase((slice){value.data, 7}, SLICE("Bearer ")))
        return false;
    *ret_token = slice_trim(slice_from(value, 7));
    return true;
}

bool bearer_matches(const struct fields *fields, slice token)
{
    unsigned difference;
    slice value;

    if (token.len == 0 || !bearer_read(fields, &value))
        return false;
    difference = value.len != token.len;
    for (size_t i = 0; i < value.len; i++) /* all of it, whatever the first bytes are */
        difference |= (unsigned)((unsigned char)value.data[i] ^ (unsigned char)token.data[i % token.len]);
    return difference == 0;
}
