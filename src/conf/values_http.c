/* What the text of a value means: paths, methods, fields, parameters. */
#include "conf/walk.h"

#define FIELD_NAME_BYTES_MAX 256u

/* What this side writes, or what frames a message: whoever changed it would make messages ambiguous, or say what is not so.
 * name, why */
#define EDITS_REFUSED(X)                                                                                               \
    X("Connection", "concerns one connection only (RFC 9110 7.6.1)")                                                   \
    X("Keep-Alive", "concerns one connection only (RFC 9110 7.6.1)")                                                   \
    X("Proxy-Connection", "concerns one connection only (RFC 9110 7.6.1)")                                             \
    X("TE", "concerns one connection only (RFC 9110 7.6.1)")                                                           \
    X("Upgrade", "concerns one connection only (RFC 9110 7.6.1)")                                                      \
    X("HTTP2-Settings", "concerns one connection only (RFC 9110 7.6.1)")                                               \
    X("Proxy-Authenticate", "concerns one connection only (RFC 9110 7.6.1)")                                           \
    X("Proxy-Authorization", "concerns one connection only (RFC 9110 7.6.1)")                                          \
    X("Transfer-Encoding", "frames the message")                                                                       \
    X("Content-Length", "frames the message")                                                                          \
    X("Trailer", "frames the message")                                                                                 \
    X("Expect", "frames the message")                                                                                  \
    X("Content-Range", "says which part of the body this is")                                                          \
    X("Range", "is what WARP asks the origin for itself")                                                              \
    X("If-Range", "is what WARP asks the origin for itself")                                                           \
    X("If-Match", "is what WARP asks the origin for itself")                                                           \
    X("If-None-Match", "is what WARP asks the origin for itself")                                                      \
    X("If-Modified-Since", "is what WARP asks the origin for itself")                                                  \
    X("If-Unmodified-Since", "is what WARP asks the origin for itself")                                                \
    X("Host", "is written by WARP; origin-host changes it")                                                            \
    X("Via", "is written by WARP")                                                                                     \
    X("CDN-Loop", "is written by WARP")                                                                                \
    X("Forwarded", "is written by WARP")                                                                               \
    X("X-Forwarded-For", "is written by WARP; trusted-proxies says whom it believes")                                  \
    X("X-Forwarded-Proto", "is written by WARP; trusted-proxies says whom it believes")                                \
    X("X-Forwarded-Host", "is written by WARP")                                                                        \
    X("Age", "is written by WARP")                                                                                     \
    X("Date", "is written by WARP")                                                                                    \
    X("Cache-Status", "is written by WARP")                                                                            \
    X("Proxy-Status", "is written by WARP")                                                                            \
    X("Set-Cookie", "would be one cookie for all clients; set-cookie: drop takes those of the origin out")

/* RFC 9110 5.6.2 */
MUST_USE static bool is_token(slice text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = ascii_lower((unsigned char)text.data[i]);
        if (!ascii_is_digit(c) && !(c >= 'a' && c <= 'z') && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return text.len > 0;
}

static int hex_value(char c)
{
    c = (char)ascii_lower((unsigned char)c);
    return ascii_is_digit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_visible_escape(slice digits)
{
    int high = hex_value(digits.data[0]), low = high >= 0 ? hex_value(digits.data[1]) : -1;

    return low >= 0 && high * 16 + low > 0x20 && high * 16 + low < 0x7f;
}

unsigned conf_stars(slice pattern)
{
    unsigned runs = 0;

    for (size_t i = 0; i < pattern.len; i++)
        runs += pattern.data[i] == '*' && (i == 0 || pattern.data[i - 1] != '*');
    return runs;
}

bool conf_stars_check(struct conf_scalar *scalar)
{
    unsigned stars = conf_stars(scalar->text);

    return stars <= CONF_STARS_MAX || conf_because(scalar, "has * in %u places; write it in at most %u", stars, CONF_STARS_MAX);
}

bool conf_path_check(struct conf_scalar *scalar)
{
    slice text = scalar->text;

    if (text.data[0] != '/')
        return conf_not(scalar, "a pattern of a path", CONF_IS_PATH);
    if (text.len > CONF_PATTERN_MAX)
        return conf_because(scalar, "is too long; write at most %u bytes", CONF_PATTERN_MAX);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c == '%' && i + 2 < text.len && is_visible_escape(slice_from(text, i + 1)))
            return conf_because(scalar, "has %%XX of a visible character, which is resolved before paths are compared; write the character");
        if (c == '?' || c == '#')
            return conf_because(scalar, "has more than a path; match the query by query:");
        if (c <= 0x20 || c >= 0x7f)
            return conf_because(scalar, "holds what requests only have encoded; write %%%02X for that byte", c);
        if (c == '/' && slice_starts(slice_from(text, i + 1), SLICE("/")))
            return conf_because(scalar, "has slashes that follow each other, which are joined before paths are compared; write one");
        if (c == '/' && (slice_starts(slice_from(text, i + 1), SLICE("./")) || slice_starts(slice_from(text, i + 1), SLICE("../")) ||
                         slice_eq(slice_from(text, i + 1), SLICE(".")) || slice_eq(slice_from(text, i + 1), SLICE(".."))))
            return conf_because(scalar, "has a dot segment, which is resolved before paths are compared; write the path without");
    }
    return conf_stars_check(scalar);
}

bool conf_method_check(struct conf_scalar *scalar)
{
    if (!is_token(scalar->text))
        return conf_not(scalar, "a method", CONF_IS_METHOD);
    for (size_t i = 0; i < scalar->text.len; i++)
        if (ascii_lower((unsigned char)scalar->text.data[i]) == (unsigned char)scalar->text.data[i] && scalar->text.data[i] >= 'a' &&
            scalar->text.data[i] <= 'z')
            return conf_because(scalar, "is in small letters, and methods are compared with their case; write GET, HEAD, POST");
    return true;
}

bool conf_field_check(struct conf_scalar *scalar, slice name)
{
    if (is_token(name) && name.len <= FIELD_NAME_BYTES_MAX)
        return true;
    return conf_not(scalar, "the name of a field", CONF_IS_FIELD);
}

static const struct {
    const char *name, *why;
} refused[] = {
#define X(name, why) {name, why},
    EDITS_REFUSED(X)
#undef X
};

const char *conf_edit_refused(unsigned i)
{
    return i < ARRAY_LEN(refused) ? refused[i].name : NULL;
}

bool conf_edit_field_check(struct conf_scalar *scalar, slice name)
{
    if (!conf_field_check(scalar, name))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (slice_eq_nocase(name, slice_str(refused[i].name)))
            return conf_because(scalar, "cannot be changed: it %s", refused[i].why);
    return true;
}

/* RFC 9110 5.5 */
bool conf_field_value_check(struct conf_scalar *scalar)
{
    slice text = scalar->text;

    if (slice_trim(text).len != text.len)
        return conf_because(scalar, "begins or ends with a space, which a field cannot; write it without");
    for (size_t i = 0; i < text.len; i++)
        if (((unsigned char)text.data[i] < 0x20 && text.data[i] != '\t') || text.data[i] == 0x7f)
            return conf_because(scalar, "holds a control character, which a field cannot; write it without");
    if (text.len > 4096)
        return conf_because(scalar, "has %zu bytes; write at most 4096", text.len);
    return true;
}

bool conf_param_check(struct conf_scalar *scalar, slice name, bool may_end_in_star)
{
    static const char not_there[] = "&=;,\"\\*#";
    slice plain = name;

    if (may_end_in_star && slice_ends(plain, SLICE("*")))
        plain.len--;
    for (size_t i = 0; i < plain.len; i++) {
        unsigned char c = (unsigned char)plain.data[i];
        if (c <= 0x20 || c >= 0x7f || strchr(not_there, c) != NULL)
            return conf_because(scalar, "is not the name of a query parameter or cookie; write %s",
                                may_end_in_star ? conf_types[CONF_IS_TOKEN].allowed : "one, as requests have it");
    }
    if (name.len == 0)
        return conf_because(scalar, "is not a name; write one");
    return true;
}
