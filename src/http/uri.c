#include "http/uri.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "http/token.h"

struct authority_parts {
    slice host; /* without a trailing dot */
    uint32_t port;      /* 0: none */
    bool normal;        /* the host is lower case */
    bool port_shortest; /* without leading zeros */
};

static bool ipv6_is_valid(slice literal)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct in6_addr address;

    if (literal.len >= sizeof(text) || memchr(literal.data, 0, literal.len) != NULL)
        return false;
    memcpy(text, literal.data, literal.len);
    text[literal.len] = 0;
    return inet_pton(AF_INET6, text, &address) == 1; /* no zone, no IPvFuture */
}

/* The name's length up to the port or the end, or 0; one pass. Dots may not begin a name or follow each other:
 * who resolves such a name, and as what, is not said anywhere. */
static size_t host_name_scan(slice raw, bool *ret_normal)
{
    bool normal = true;
    char before = '.';
    size_t at = 0;

    for (; at < raw.len && raw.data[at] != ':'; at++) {
        char c = raw.data[at];
        if (!char_is((unsigned char)c, CHAR_HOST) || (c == '.' && before == '.'))
            return 0;
        normal &= !(c >= 'A' && c <= 'Z');
        before = c;
    }
    *ret_normal = normal;
    return at;
}

static size_t host_literal_scan(slice raw, bool *ret_normal)
{
    ptrdiff_t close = slice_find(raw, ']');
    bool normal = true;

    if (close < 0 || !ipv6_is_valid(slice_of(raw.data + 1, (size_t)close - 1)))
        return 0;
    for (ptrdiff_t i = 0; i < close; i++)
        normal &= !(raw.data[i] >= 'A' && raw.data[i] <= 'F');
    *ret_normal = normal;
    return (size_t)close + 1;
}

static bool port_parse(slice digits, uint32_t *ret_port)
{
    uint64_t port = 0;

    if (digits.len == 0)
        return true; /* "host:" is the default port (RFC 3986 6.2.3) */
    if (digits.len > 5 || !slice_to_u64(digits, &port) || port == 0 || port > 65535)
        return false;
    *ret_port = (uint32_t)port;
    return true;
}

static bool authority_split(slice raw, struct authority_parts *ret_parts)
{
    struct authority_parts parts = {0};
    size_t host_len;

    if (raw.len == 0 || raw.len > AUTHORITY_BYTES_MAX)
        return false;
    host_len = raw.data[0] == '[' ? host_literal_scan(raw, &parts.normal) : host_name_scan(raw, &parts.normal);
    if (host_len == 0)
        return false;
    if (host_len < raw.len &&
        (raw.data[host_len] != ':' || !port_parse(slice_from(raw, host_len + 1), &parts.port)))
        return false;
    parts.port_shortest = host_len + 1 < raw.len && raw.data[host_len + 1] != '0';
    parts.host = slice_of(raw.data, host_len);
    if (raw.data[host_len - 1] == '.')
        parts.host.len--;
    if (parts.host.len == 0 || parts.host.len > AUTHORITY_BYTES_MAX - 7)
        return false;
    *ret_parts = parts;
    return true;
}

err authority_normalise(slice raw, bool https, bool copy, struct arena *arena, slice *ret_authority)
{
    struct authority_parts parts;
    char port[8] = "", *text;
    size_t port_len = 0;

    ENSURE(authority_split(raw, &parts), INVALID);
    if (parts.port == (https ? 443u : 80u))
        parts.port = 0;
    if (parts.normal && !copy && parts.port == 0) {
        *ret_authority = parts.host;
        return ERR_OK;
    }
    if (parts.normal && !copy && parts.port_shortest && raw.data[parts.host.len] == ':') {
        *ret_authority = raw;
        return ERR_OK;
    }
    if (parts.port != 0)
        port_len = (size_t)snprintf(port, sizeof(port), ":%u", (unsigned)parts.port);
    text = arena_alloc(arena, parts.host.len + port_len);
    ENSURE(text != NULL, MEMORY);
    for (size_t i = 0; i < parts.host.len; i++)
        text[i] = (char)ascii_lower((unsigned char)parts.host.data[i]);
    memcpy(text + parts.host.len, port, port_len);
    *ret_authority = slice_of(text, parts.host.len + port_len);
    return ERR_OK;
}

/* "http" or "https" in front of "://": how long that is, or 0. */
static size_t scheme_scan(slice url, bool *ret_https)
{
    if (url.len >= 7 && slice_eq_nocase(slice_of(url.data, 7), SLICE("http://"))) {
        *ret_https = false;
        return 7;
    }
    if (url.len >= 8 && slice_eq_nocase(slice_of(url.data, 8), SLICE("https://"))) {
        *ret_https = true;
        return 8;
    }
    return 0;
}

static slice without_fragment(slice s)
{
    ptrdiff_t hash = slice_find(s, '#');
    return hash >= 0 ? slice_of(s.data, (size_t)hash) : s;
}

/* Does it begin with a scheme (RFC 3986 3.1), whatever it is? */
static bool has_scheme(slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i], lower = ascii_lower(c);
        bool letter = lower >= 'a' && lower <= 'z';
        if (c == ':')
            return i > 0;
        if (!letter && (i == 0 || !(ascii_is_digit(c) || c == '+' || c == '-' || c == '.')))
            return false;
    }
    return false;
}

/* Where the authority ends: at the path, the query or the end. */
static size_t authority_end(slice s)
{
    size_t at = 0;
    while (at < s.len && s.data[at] != '/' && s.data[at] != '?')
        at++;
    return at;
}

/* path and query behind an authority; an empty path becomes "/". */
static err target_of(slice rest, struct arena *arena, slice *ret_target)
{
    char *text;

    if (rest.len > 0 && rest.data[0] == '/') {
        *ret_target = rest;
        return ERR_OK;
    }
    text = arena_alloc(arena, rest.len + 1);
    ENSURE(text != NULL, MEMORY);
    text[0] = '/';
    if (rest.len > 0)
        memcpy(text + 1, rest.data, rest.len);
    *ret_target = slice_of(text, rest.len + 1);
    return ERR_OK;
}

err uri_parse(slice url, struct arena *arena, struct uri *ret_uri)
{
    struct uri uri = {0};
    slice s = without_fragment(url);
    size_t scheme_len = scheme_scan(s, &uri.https), end;

    ENSURE(s.len == 0 || slice_is_all(s, CHAR_TARGET), INVALID);
    if (scheme_len == 0)
        return has_scheme(s) ? ERR(UNSUPPORTED) : ERR(INVALID);
    s = slice_from(s, scheme_len);
    end = authority_end(s);
    TRY(authority_normalise(slice_of(s.data, end), uri.https, false, arena, &uri.authority));
    TRY(target_of(slice_from(s, end), arena, &uri.target));

    *ret_uri = uri;
    return ERR_OK;
}

/* RFC 3986 5.2.4 in place over path[0..len), which begins with '/'. Returns the new length. */
static size_t dot_segments_remove(char *path, size_t len)
{
    size_t in = 0, out = 0;

    while (in < len) {
        size_t next = in + 1; /* path[in] is '/' */
        slice segment;

        while (next < len && path[next] != '/')
            next++;
        segment = slice_of(path + in + 1, next - in - 1);
        if (slice_eq(segment, SLICE(".."))) {
            while (out > 0 && path[--out] != '/')
                ;
        } else if (!slice_eq(segment, SLICE("."))) {
            memmove(path + out, path + in, next - in);
            out += next - in;
            in = next;
            continue;
        }
        in = next;
        if (in == len) /* a dot segment at the end leaves its slash */
            path[out++] = '/';
    }
    return out;
}

static size_t path_len(slice target)
{
    ptrdiff_t query = slice_find(target, '?');
    return query >= 0 ? (size_t)query : target.len;
}

/* RFC 3986 5.2.3: what of the base path stands before the last slash, then the reference; "?query" keeps the
 * whole path, an empty reference the query too. */
static err target_merge(slice base, slice reference, struct arena *arena, slice *ret_target)
{
    size_t keep = path_len(base), cut, ref_path, path;
    char *text;

    if (reference.len == 0) {
        *ret_target = base;
        return ERR_OK;
    }
    if (reference.data[0] == '/')
        keep = 0;
    else if (reference.data[0] != '?')
        while (keep > 0 && base.data[keep - 1] != '/')
            keep--;
    ENSURE(reference.data[0] == '/' || keep > 0, INVALID); /* base "*" */
    text = arena_alloc(arena, keep + reference.len + 1);
    ENSURE(text != NULL, MEMORY);
    if (keep > 0)
        memcpy(text, base.data, keep);
    memcpy(text + keep, reference.data, reference.len);
    ref_path = path_len(reference);
    path = keep + ref_path;
    ENSURE(path > 0 && text[0] == '/', INVALID);
    cut = dot_segments_remove(text, path);
    memmove(text + cut, reference.data + ref_path, reference.len - ref_path);
    *ret_target = slice_of(text, cut + reference.len - ref_path);
    return ERR_OK;
}

err uri_resolve(const struct uri *base, slice reference, struct arena *arena, struct uri *ret_uri)
{
    struct uri uri = *base;
    slice s = without_fragment(reference);
    bool https;

    ENSURE(s.len == 0 || slice_is_all(s, CHAR_TARGET), INVALID);
    if (scheme_scan(s, &https) != 0) {
        TRY(uri_parse(s, arena, &uri));
        TRY(target_merge(uri.target, uri.target, arena, &uri.target));
    } else if (has_scheme(s)) {
        return ERR(UNSUPPORTED);
    } else if (slice_starts(s, SLICE("//"))) {
        size_t end;
        s = slice_from(s, 2);
        end = authority_end(s);
        TRY(authority_normalise(slice_of(s.data, end), uri.https, false, arena, &uri.authority));
        TRY(target_of(slice_from(s, end), arena, &uri.target));
        TRY(target_merge(uri.target, uri.target, arena, &uri.target));
    } else {
        TRY(target_merge(base->target, s, arena, &uri.target));
    }
    *ret_uri = uri;
    return ERR_OK;
}

bool uri_same_origin(const struct uri *a, const struct uri *b)
{
    return a->https == b->https && slice_eq(a->authority, b->authority);
}
