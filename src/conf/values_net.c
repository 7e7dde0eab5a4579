/* What the text of a value means: hosts, origins, addresses. */
#include "conf/walk.h"

#include <arpa/inet.h>
#include <stdio.h>

#define HOST_BYTES_MAX   253u
#define LABEL_BYTES_MAX  63u
#define ORIGIN_BYTES_MAX 255u /* origin/origin.h */

MUST_USE static bool is_host_char(unsigned char c)
{
    c = ascii_lower(c);
    return ascii_is_digit(c) || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

/* Labels of 1 to 63 bytes, with dots between them. */
MUST_USE static bool labels_check(slice text)
{
    size_t label = 0;

    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '.') {
            if (label == 0)
                return false;
            label = 0;
        } else if (!is_host_char((unsigned char)text.data[i]) || ++label > LABEL_BYTES_MAX) {
            return false;
        }
    }
    return label > 0 && text.len <= HOST_BYTES_MAX;
}

MUST_USE static bool ip_read(slice text, int family, void *ret_address)
{
    char ip[INET6_ADDRSTRLEN];

    if (text.len == 0 || text.len >= sizeof(ip) || slice_find(text, '\0') >= 0)
        return false;
    snprintf(ip, sizeof(ip), SLICE_FMT, SLICE_ARG(text));
    return inet_pton(family, ip, ret_address) == 1;
}

/* The one spelling of an IPv6 literal (RFC 5952). */
MUST_USE static bool literal_parse(struct conf_scalar *scalar, slice *ret_host)
{
    slice text = scalar->text;
    char ip[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    if (text.data[text.len - 1] != ']' || !ip_read(slice_of(text.data + 1, text.len - 2), AF_INET6, bytes))
        return conf_not(scalar, "a host", CONF_IS_HOST);
    inet_ntop(AF_INET6, bytes, ip, sizeof(ip));
    *ret_host = arena_printf(scalar->walk->document->arena, "[%s]", ip);
    scalar->walk->is_out_of_memory |= ret_host->data == NULL;
    return true;
}

MUST_USE static bool has_high_bytes(slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] >= 0x80)
            return true;
    return false;
}

bool conf_host_parse(struct conf_scalar *scalar, slice *ret_host)
{
    slice text = scalar->text, name = slice_starts(text, SLICE("*.")) ? slice_from(text, 2) : text;

    if (text.len > 2 && text.data[0] == '[')
        return literal_parse(scalar, ret_host);
    if (has_high_bytes(text))
        return conf_because(scalar, "is not in ASCII; write it as it is asked for, in punycode: xn--...");
    if (slice_eq(text, SLICE("*")))
        return conf_because(scalar, "is every host; name the tenant in default-tenant instead");
    if (slice_find(text, '/') >= 0)
        return conf_because(scalar, "has more than a host; write it without scheme and path");
    if (slice_find(text, ':') >= 0)
        return conf_because(scalar, "has a port, or is an IPv6 address without brackets; write www.example or [2001:db8::1]");
    if (slice_ends(text, SLICE(".")))
        return conf_because(scalar, "ends with a dot; write it without");
    if (slice_find(name, '*') >= 0)
        return conf_because(scalar, "has a * that is not its first label; write *.example for every name below");
    if (!labels_check(name))
        return conf_not(scalar, "a host", CONF_IS_HOST);
    *ret_host = conf_lower(scalar->walk, text);
    scalar->walk->is_out_of_memory |= ret_host->data == NULL;
    return true;
}

/* ---- origins: as origin_parse takes them ---------------------------------------------------------------------- */

MUST_USE static bool authority_check(slice text)
{
    slice host = text, port = SLICE_NONE;
    uint8_t ip[16];
    uint64_t number;
    ptrdiff_t at;

    if (slice_starts(text, SLICE("["))) {
        at = slice_find(text, ']');
        if (at < 0 || !ip_read(slice_of(text.data + 1, (size_t)at - 1), AF_INET6, ip))
            return false;
        text = slice_from(text, (size_t)at + 1);
        if (text.len > 0 && text.data[0] != ':')
            return false;
        port = text.len > 0 ? slice_from(text, 1) : SLICE_NONE;
    } else {
        at = slice_find(text, ':');
        host = at >= 0 ? slice_of(text.data, (size_t)at) : text;
        port = at >= 0 ? slice_from(text, (size_t)at + 1) : SLICE_NONE;
        for (size_t i = 0; i < host.len; i++)
            if (!is_host_char((unsigned char)host.data[i]) && host.data[i] != '.')
                return false;
    }
    return host.len > 0 && (port.data == NULL || (slice_to_u64(port, &number) && number >= 1 && number <= 65535));
}

bool conf_origin_check(struct conf_scalar *scalar)
{
    static const char *const schemes[] = {"http://", "https://", "h2c://"};
    slice rest = scalar->text;
    bool has_scheme = false;

    for (size_t i = 0; i < ARRAY_LEN(schemes) && !has_scheme; i++) {
        has_scheme = slice_starts(rest, slice_str(schemes[i]));
        if (has_scheme)
            rest = slice_from(rest, strlen(schemes[i]));
    }
    if (has_scheme && slice_ends(rest, SLICE("/")))
        rest.len--;
    if (slice_find(rest, '@') >= 0)
        return conf_because(scalar, "has a user name, which an origin does not; write it without");
    if (has_scheme && (slice_find(rest, '/') >= 0 || slice_find(rest, '?') >= 0))
        return conf_because(
            scalar, "has a path, which an origin does not: what clients ask for is passed on as it is; write it without");
    if (scalar->text.len > ORIGIN_BYTES_MAX || !authority_check(rest))
        return conf_not(scalar, "an origin", CONF_IS_ORIGIN);
    return true;
}

/* ---- ranges of addresses ------------------------------------------------------------------------------------- */

/* Bits behind the prefix, which say nothing: most likely another range was meant. */
MUST_USE static bool has_host_bits(const struct conf_range *range)
{
    for (unsigned bit = range->bits; bit < 128; bit++)
        if (range->address[bit / 8] & (0x80 >> bit % 8))
            return true;
    return false;
}

static void host_bits_clear(struct conf_range *range)
{
    for (unsigned bit = range->bits; bit < 128; bit++)
        range->address[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
}

MUST_USE static bool host_bits_refused(struct conf_scalar *scalar, struct conf_range range, bool is_ipv4)
{
    char ip[INET6_ADDRSTRLEN];

    host_bits_clear(&range);
    inet_ntop(is_ipv4 ? AF_INET : AF_INET6, is_ipv4 ? range.address + 12 : range.address, ip, sizeof(ip));
    return conf_because(scalar, "has bits behind its prefix; write %s/%u", ip, is_ipv4 ? range.bits - 96u : range.bits);
}

bool conf_range_parse(struct conf_scalar *scalar, struct conf_range *ret_range)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    ptrdiff_t slash = slice_find(scalar->text, '/');
    slice ip = slash >= 0 ? slice_of(scalar->text.data, (size_t)slash) : scalar->text;
    struct conf_range range = {.bits = 128};
    bool is_ipv4 = ip_read(ip, AF_INET, range.address + 12);
    uint64_t bits = is_ipv4 ? 32 : 128, max = bits;

    if (is_ipv4)
        memcpy(range.address, mapped, sizeof(mapped));
    else if (!ip_read(ip, AF_INET6, range.address))
        return conf_not(scalar, "an address", CONF_IS_RANGE);
    if (slash >= 0 && (!slice_to_u64(slice_from(scalar->text, (size_t)slash + 1), &bits) || bits > max))
        return conf_because(scalar, "has a prefix that is none; write a length from 0 to %u behind the /", (unsigned)max);
    range.bits = (uint8_t)(bits + (is_ipv4 ? 96 : 0));
    if (has_host_bits(&range))
        return host_bits_refused(scalar, range, is_ipv4);
    *ret_range = range;
    return true;
}
