/* slice: a view of bytes somebody else owns. Not terminated; may hold NUL. */
#ifndef WARP_BASE_SLICE_H
#define WARP_BASE_SLICE_H

#include "base/base.h"
#include <string.h>

typedef struct slice {
    const char *data;
    size_t len;
} slice;

#define SLICE_NONE   ((slice){NULL, 0})
#define SLICE(lit)   ((slice){"" lit, sizeof(lit) - 1}) /* of a string literal */
#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) (int)(s).len, (s).data

static inline slice slice_of(const void *data, size_t len)
{
    return (slice){data, len};
}

static inline slice slice_str(const char *s)
{
    return (slice){s, s != NULL ? strlen(s) : 0};
}

static inline bool slice_eq(slice a, slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* ASCII only: the case of letters in field names, schemes, hosts and tokens. */
static inline unsigned char ascii_lower(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') ? (unsigned char)(c | 0x20) : c;
}

static inline bool ascii_is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static inline bool slice_eq_nocase(slice a, slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower((unsigned char)a.data[i]) != ascii_lower((unsigned char)b.data[i]))
            return false;
    return true;
}

static inline bool slice_starts(slice s, slice prefix)
{
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

static inline bool slice_starts_nocase(slice s, slice prefix)
{
    return s.len >= prefix.len && slice_eq_nocase((slice){s.data, prefix.len}, prefix);
}

static inline bool slice_ends(slice s, slice suffix)
{
    return s.len >= suffix.len &&
           (suffix.len == 0 || memcmp(s.data + s.len - suffix.len, suffix.data, suffix.len) == 0);
}

/* The rest of s behind its first n bytes; n may be up to s.len. */
static inline slice slice_from(slice s, size_t n)
{
    INVARIANT(n <= s.len);
    return (slice){s.data + n, s.len - n};
}

/* Without leading and trailing optional white space (RFC 9110 5.6.3: SP and HTAB). */
static inline slice slice_trim(slice s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Position of byte c in s, or -1. */
static inline ptrdiff_t slice_find(slice s, char c)
{
    const char *at = s.len > 0 ? memchr(s.data, c, s.len) : NULL;
    return at != NULL ? at - s.data : -1;
}

/* Decimal digits only, no sign, no space, at least one digit; false on anything else or above UINT64_MAX. */
MUST_USE bool slice_to_u64(slice s, uint64_t *ret_value);

/* So many hexadecimal digits, lower case, the most significant first. Returns behind the last one. */
static inline char *hex_write(char *at, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--)
        *at++ = "0123456789abcdef"[(value >> (4 * (i - 1))) & 15];
    return at;
}

static inline bool slice_is_zero(slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] != 0)
            return false;
    return true;
}

#endif
