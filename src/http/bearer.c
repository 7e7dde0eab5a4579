#include "http/bearer.h"

bool bearer_matches(const struct fields *fields, slice token)
{
    slice value = fields_get(fields, F_AUTHORIZATION);
    unsigned difference;

    if (token.len == 0 || value.data == NULL || value.len < 7 || fields_count_of(fields, F_AUTHORIZATION) != 1 ||
        !slice_eq_nocase((slice){value.data, 7}, SLICE("Bearer ")))
        return false;
    value = slice_trim(slice_from(value, 7));
    difference = value.len != token.len;
    for (size_t i = 0; i < value.len; i++) /* all of it, whatever the first bytes are */
        difference |= (unsigned)((unsigned char)value.data[i] ^ (unsigned char)token.data[i % token.len]);
    return difference == 0;
}
