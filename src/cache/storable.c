#include "cache/storable.h"

#include "cache/vary.h"
#include "http/cache_control.h"
#include "http/range.h"

static const struct {
    const char *word, *text;
} reasons[] = {
#define X(name, word, text) {word, text},
    NOT_STORED_REASONS(X)
#undef X
};

const char *not_stored_word(enum not_stored reason)
{
    return (unsigned)reason < NOT_STORED_COUNT ? reasons[reason].word : "unknown";
}

const char *not_stored_text(enum not_stored reason)
{
    return (unsigned)reason < NOT_STORED_COUNT ? reasons[reason].text : "unknown";
}

/* RFC 9110 15 and the registry; 206 and 304 have rules of their own below. */
bool status_is_understood(unsigned status)
{
    switch (status) {
    case 200: case 201: case 202: case 203: case 204: case 205: case 206:
    case 300: case 301: case 302: case 303: case 304: case 307: case 308:
    case 400: case 401: case 402: case 403: case 404: case 405: case 406: case 407: case 408: case 409:
    case 410: case 411: case 412: case 413: case 414: case 415: case 416: case 417: case 421: case 422:
    case 425: case 426: case 428: case 429: case 431: case 451:
    case 500: case 501: case 502: case 503: case 504: case 505: case 511:
        return true;
    default:
        return false;
    }
}

/* What a suffix promises: a type, or the beginning of one. The first row that fits decides. */
static const struct {
    const char *suffix;
    const char *types[4];
} suffix_types[] = {
    {".css", {"text/css"}},
    {".js", {"text/javascript", "application/javascript", "application/x-javascript"}},
    {".mjs", {"text/javascript", "application/javascript"}},
    {".json", {"application/json", "application/"}},
    {".map", {"application/", "text/plain"}},
    {".wasm", {"application/wasm"}},
    {".png", {"image/"}},   {".jpg", {"image/"}},  {".jpeg", {"image/"}}, {".gif", {"image/"}},
    {".webp", {"image/"}},  {".avif", {"image/"}}, {".svg", {"image/"}},  {".ico", {"image/"}},
    {".bmp", {"image/"}},
    {".woff", {"font/", "application/"}},
    {".woff2", {"font/", "application/"}},
    {".ttf", {"font/", "application/"}},
    {".otf", {"font/", "application/"}},
    {".eot", {"font/", "application/"}},
    {".mp4", {"video/", "audio/"}}, {".webm", {"video/", "audio/"}}, {".mp3", {"audio/"}}, {".ogg", {"audio/", "video/", "application/ogg"}},
    {".pdf", {"application/pdf"}},
    {".zip", {"application/"}},     {".gz", {"application/"}},
};

static slice path_of(slice target)
{
    ptrdiff_t query = slice_find(target, '?');
    return query >= 0 ? slice_of(target.data, (size_t)query) : target;
}

static bool starts_nocase(slice s, slice prefix)
{
    return s.len >= prefix.len && slice_eq_nocase(slice_of(s.data, prefix.len), prefix);
}

static bool ends_nocase(slice s, slice suffix)
{
    return s.len >= suffix.len && slice_eq_nocase(slice_from(s, s.len - suffix.len), suffix);
}

bool type_contradicts_suffix(slice target, slice content_type)
{
    slice path = path_of(target);
    for (size_t i = 0; i < ARRAY_LEN(suffix_types); i++) {
        if (!ends_nocase(path, slice_str(suffix_types[i].suffix)))
            continue;
        for (size_t t = 0; t < ARRAY_LEN(suffix_types[i].types) && suffix_types[i].types[t] != NULL; t++)
            if (starts_nocase(content_type, slice_str(suffix_types[i].types[t])))
                return false;
        return true; /* also without a type: a browser would guess */
    }
    return false;
}

static enum not_stored check_request(const struct request *request)
{
    struct cache_control control;
    if (request->method != METHOD_GET)
        return NOT_STORED_METHOD;
    if (request->body != BODY_NONE)
        return NOT_STORED_REQUEST_BODY;
    cache_control_read(&request->fields, F_CACHE_CONTROL, &control);
    return control.no_store ? NOT_STORED_REQUEST_NO_STORE : NOT_STORED_NONE;
}

/* RFC 9111 3: final, and not one that speaks of this request's conditions or range only. */
static enum not_stored check_status(const struct response *response, uint32_t flags)
{
    unsigned status = response->status;
    if (status < 200 || status > 599 || status == 304 || status == 412 || status == 416)
        return NOT_STORED_STATUS;
    if ((flags & CONTROL_MUST_UNDERSTAND) && !status_is_understood(status))
        return NOT_STORED_MUST_UNDERSTAND;
    return NOT_STORED_NONE;
}

/* RFC 9111 3.3: a part needs a range that says where it belongs. */
static enum not_stored check_partial(const struct response *response, bool asked_range)
{
    struct content_range range;
    if (response->status != 206)
        return NOT_STORED_NONE;
    if (!asked_range)
        return NOT_STORED_PARTIAL_UNASKED;
    if (fields_count_of(&response->fields, F_CONTENT_RANGE) != 1)
        return NOT_STORED_PARTIAL_BAD; /* multipart/byteranges has it in its parts */
    if (!content_range_parse(fields_get(&response->fields, F_CONTENT_RANGE), &range) || !range.satisfied)
        return NOT_STORED_PARTIAL_BAD;
    if (range.length_bytes == UINT64_MAX)
        return NOT_STORED_PARTIAL_BAD;
    if (response->body == BODY_LENGTH && response->length_bytes != range.last - range.first + 1)
        return NOT_STORED_PARTIAL_BAD;
    return NOT_STORED_NONE;
}

/* What the origin said about sharing. */
static enum not_stored check_control(const struct request *request, const struct response *response,
                                     const struct freshness *freshness, bool never_set_cookie)
{
    uint32_t flags = freshness->flags;
    uint32_t shared = CONTROL_PUBLIC | CONTROL_S_MAXAGE | CONTROL_TARGETED;
    /* RFC 9111 5.2.2.3: whoever understands the status ignores the no-store beside must-understand. */
    if ((flags & CONTROL_NO_STORE) && !(flags & CONTROL_MUST_UNDERSTAND))
        return NOT_STORED_NO_STORE;
    if (flags & CONTROL_PRIVATE)
        return NOT_STORED_PRIVATE;
    /* RFC 9111 3.5. A targeted field replaces Cache-Control here too, so it must say so itself; it speaks to a
     * shared cache only, yet max-age alone has never allowed this. */
    if (fields_has(&request->fields, F_AUTHORIZATION) &&
        !(flags & (CONTROL_PUBLIC | CONTROL_S_MAXAGE | CONTROL_MUST_REVALIDATE)))
        return NOT_STORED_AUTHORIZATION;
    if ((flags & CONTROL_SET_COOKIE) && never_set_cookie)
        return NOT_STORED_SET_COOKIE;
    if ((flags & CONTROL_SET_COOKIE) && !(flags & shared)) {
        struct control_names names;
        freshness_control_names(&response->fields, freshness->control_field, &names);
        if (!control_names_has(&names, SLICE("Set-Cookie")))
            return NOT_STORED_SET_COOKIE;
    }
    return NOT_STORED_NONE;
}

static enum not_stored check_freshness(const struct request *request, const struct freshness *freshness)
{
    const struct fields *fields = &request->fields;
    bool has_validator = (freshness->flags & (CONTROL_ETAG | CONTROL_LAST_MODIFIED)) != 0;
    if (freshness->source == FRESHNESS_HEURISTIC) {
        if (fields_has(fields, F_COOKIE) || fields_has(fields, F_AUTHORIZATION))
            return NOT_STORED_HEURISTIC_CREDENTIALS;
        if (freshness->flags & CONTROL_SET_COOKIE)
            return NOT_STORED_SET_COOKIE; /* never, whatever else is said */
    }
    /* no-cache with a validator is explicit enough: stored, and validated each time. */
    if (freshness->source == FRESHNESS_NONE && !((freshness->flags & CONTROL_NO_CACHE) && has_validator))
        return NOT_STORED_NO_FRESHNESS;
    bool is_usable = freshness->lifetime_s > freshness->initial_age_s && !(freshness->flags & CONTROL_NO_CACHE);
    bool may_be_stale = freshness->swr_s > 0 || freshness->sie_s > 0;
    return is_usable || has_validator || may_be_stale ? NOT_STORED_NONE : NOT_STORED_ALREADY_STALE;
}

static enum not_stored check_vary(const struct fields *response)
{
    char buffer[2048];
    struct arena scratch;
    enum vary_result result;
    slice spec;
    if (!fields_has(response, F_VARY))
        return NOT_STORED_NONE;
    arena_init(&scratch, buffer, sizeof(buffer), 0);
    err e = vary_parse(&scratch, response, &result, &spec);
    arena_done(&scratch);
    if (!err_is_ok(e) || result == VARY_TOO_LONG)
        return NOT_STORED_VARY_TOO_LONG;
    return result == VARY_STAR ? NOT_STORED_VARY_STAR : NOT_STORED_NONE;
}

#define CHECK(expr)                                                                                          \
    do {                                                                                                     \
        enum not_stored check_reason_ = (expr);                                                              \
        if (check_reason_ != NOT_STORED_NONE)                                                                \
            return check_reason_;                                                                            \
    } while (0)

enum not_stored storable_check(const struct request *request, const struct response *response,
                               const struct freshness *freshness, const struct storable_options *options)
{
    static const struct storable_options none = {0};
    if (options == NULL)
        options = &none;
    CHECK(check_request(request));
    CHECK(check_status(response, freshness->flags));
    CHECK(check_partial(response, options->asked_range));
    CHECK(check_control(request, response, freshness, options->never_set_cookie));
    CHECK(check_vary(&response->fields));
    CHECK(check_freshness(request, freshness));
    if (options->static_rule && type_contradicts_suffix(request->target, fields_get(&response->fields, F_CONTENT_TYPE)))
        return NOT_STORED_TYPE_MISMATCH;
    return NOT_STORED_NONE;
}
