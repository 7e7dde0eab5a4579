#include "http/h1_parse.h"

#include "http/rules.h"
#include "http/token.h"
#include "http/uri.h"

static const struct {
    const char *word, *text;
    uint16_t status;
} errors[H1_ERROR_COUNT] = {
    [H1_OK] = {"ok", "no error", 200},
#define X(name, word, status, text) [H1_##name] = {word, text, status},
    H1_ERRORS(X)
#undef X
};

uint16_t h1_error_status(enum h1_error error)
{
    return errors[error].status;
}

const char *h1_error_text(enum h1_error error)
{
    return errors[error].text;
}

const char *h1_error_word(enum h1_error error)
{
    return errors[error].word;
}

/* --- where the head ends --- */

static enum h1_error line_limit_error(const struct h1_finder *finder)
{
    return finder->line == finder->begin && !finder->is_response ? H1_TARGET_TOO_LONG : H1_LINE_TOO_LONG;
}

static bool first_byte_is_possible(const struct h1_finder *finder, char c)
{
    if (finder->is_response)
        return c == 'H';
    return char_is((unsigned char)c, CHAR_TOKEN) || c == '\r' || c == '\n';
}

/* A line ended at lf. H1_OK with *ret_found false: go on with the next. */
static enum h1_error line_ended(struct h1_finder *finder, slice buffer, size_t lf,
                                const struct h1_limits *limits, bool *ret_found)
{
    size_t len = lf - finder->line;

    *ret_found = false;
    if (len == 0 || buffer.data[lf - 1] != '\r')
        return H1_BARE_LF;
    if (len - 1 > limits->line_bytes_max)
        return line_limit_error(finder);
    if (len == 1 && finder->line == finder->begin) {
        if (finder->is_response || ++finder->empty_lines > H1_EMPTY_LINES_MAX)
            return H1_EMPTY_LINES;
        finder->begin = (uint32_t)lf + 1;
    }
    *ret_found = len == 1 && finder->line != finder->begin && finder->begin <= finder->line;
    finder->line = (uint32_t)lf + 1;
    if (finder->line - finder->begin > limits->head_bytes_max)
        return H1_HEAD_TOO_LARGE;
    return H1_OK;
}

static enum h1_error head_scan(struct h1_finder *finder, slice buffer, const struct h1_limits *limits,
                               bool *ret_found)
{
    *ret_found = false;
    while (finder->scanned < buffer.len) {
        const char *lf;
        enum h1_error error;

        if (finder->scanned == finder->begin && !first_byte_is_possible(finder, buffer.data[finder->begin]))
            return H1_BAD_START;
        lf = memchr(buffer.data + finder->scanned, '\n', buffer.len - finder->scanned);
        if (lf == NULL)
            break;
        finder->scanned = (uint32_t)(lf - buffer.data) + 1;
        error = line_ended(finder, buffer, (size_t)(lf - buffer.data), limits, ret_found);
        if (error != H1_OK || *ret_found)
            return error;
    }
    finder->scanned = (uint32_t)buffer.len;
    if (buffer.len - finder->line > (size_t)limits->line_bytes_max + 1) /* the CR may be there */
        return line_limit_error(finder);
    return buffer.len - finder->begin > limits->head_bytes_max ? H1_HEAD_TOO_LARGE : H1_OK;
}

enum h1_find h1_head_find(struct h1_finder *finder, slice buffer, const struct h1_limits *limits,
                          enum h1_error *ret_error)
{
    bool found;
    enum h1_error error;

    INVARIANT(buffer.len <= UINT32_MAX / 2);
    INVARIANT(finder->scanned <= buffer.len);
    error = head_scan(finder, buffer, limits, &found);
    *ret_error = error;
    if (error != H1_OK)
        return H1_FIND_REFUSED;
    if (!found)
        return H1_FIND_MORE;
    finder->end = finder->line;
    return H1_FIND_FOUND;
}

/* --- field lines --- */

struct line_reader {
    const char *at, *end; /* end is behind a CRLF: every scan stops there at the latest */
    uint32_t line_bytes_max;
};

/* at is where the name ended and no colon is. */
static enum h1_error name_error(const char *at, bool empty)
{
    const char *behind = at;

    if (*at == '\n')
        return H1_BARE_LF;
    if (*at == '\r')
        return at[1] != '\n' ? H1_BARE_CR : empty ? H1_INCOMPLETE : H1_NO_COLON;
    if (*at == ':')
        return H1_EMPTY_NAME;
    if (*at != ' ' && *at != '\t')
        return H1_BAD_NAME;
    if (empty)
        return H1_OBS_FOLD;
    while (*behind == ' ' || *behind == '\t')
        behind++;
    return *behind == ':' ? H1_SPACE_BEFORE_COLON : H1_BAD_NAME;
}

static enum h1_error value_error(const char *at)
{
    return *at == '\n' ? H1_BARE_LF : *at == '\r' ? H1_BARE_CR : H1_CONTROL;
}

/* Eight bytes at a time; then byte by byte, because a HTAB is allowed. */
static const char *value_scan(const char *at, const char *end)
{
    for (;;) {
        while (end - at >= 8 && chars_are_plain(at))
            at += 8;
        for (unsigned i = 0; i < 8; i++, at++)
            if (!char_is((unsigned char)*at, CHAR_FIELD))
                return at;
    }
}

static void field_append(struct fields *fields, slice name, enum field_id id, slice value)
{
    char *out = fields->text + fields->text_len;

    fields->list[fields->count++] = (struct field){
        .name_off = fields->text_len,
        .value_len = (uint32_t)value.len,
        .name_len = (uint16_t)name.len,
        .id = (uint16_t)id,
    };
    memcpy(out, name.data, name.len);
    memcpy(out + name.len, ": ", 2);
    memcpy(out + name.len + 2, value.data, value.len);
    memcpy(out + name.len + 2 + value.len, "\r\n", 2);
    fields_see(fields->seen, id);
    fields->text_len += (uint32_t)(name.len + value.len + 4);
}

/* One line: field-name ":" OWS field-value OWS CRLF (RFC 9112 5). */
static enum h1_error line_read(struct line_reader *reader, struct fields *fields)
{
    const char *begin = reader->at, *at = begin, *value_end;
    slice name, value;
    enum field_id id;

    while (char_is((unsigned char)*at, CHAR_TOKEN))
        at++;
    if (*at != ':' || at == begin)
        return name_error(at, at == begin);
    name = slice_of(begin, (size_t)(at - begin));
    for (at++; *at == ' ' || *at == '\t';)
        at++;
    value_end = value_scan(at, reader->end);
    if (value_end[0] != '\r' || value_end[1] != '\n')
        return value_error(value_end);
    if ((size_t)(value_end - begin) > reader->line_bytes_max || name.len > UINT16_MAX)
        return H1_LINE_TOO_LONG;
    reader->at = value_end + 2;
    value = slice_of(at, (size_t)(value_end - at));
    while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
        value.len--;
    id = field_id_of(name);
    field_append(fields, name, id, value);
    return H1_OK;
}

/* The text was given room for everything before: a line grows by at most the space behind its colon. */
static enum h1_error lines_read(struct line_reader *reader, uint32_t fields_max, struct fields *fields)
{
    while (reader->at < reader->end) {
        enum h1_error error;

        if (fields->count >= MIN(fields_max, (uint32_t)UINT16_MAX))
            return H1_TOO_MANY_FIELDS;
        if (fields->count == fields->cap && !err_is_ok(fields_reserve(fields, 1, 0)))
            return H1_MEMORY;
        error = line_read(reader, fields);
        if (error != H1_OK)
            return error;
    }
    /* A request that waits should not wait with the room of a larger one. */
    arena_shrink(fields->arena, fields->list, fields->cap * sizeof(*fields->list), fields->count * sizeof(*fields->list));
    fields->cap = fields->count;
    return H1_OK;
}

/* Text for lines_bytes of field lines in one block, behind front_bytes for the start line's slices. A line is at
 * least four bytes ("a:\r\n") and may grow by one. */
static char *fields_text_alloc(struct fields *fields, size_t front_bytes, size_t lines_bytes, struct arena *arena)
{
    size_t front = (front_bytes + 7) & ~(size_t)7;
    size_t cap = lines_bytes + lines_bytes / 4;
    char *block = arena_alloc(arena, front + cap);

    if (block == NULL)
        return NULL;
    fields_init(fields, arena);
    fields->text = block + front;
    fields->text_cap = (uint32_t)cap;
    return block;
}

enum h1_error h1_parse_fields(slice lines, uint32_t fields_max, struct arena *arena, struct fields *ret_fields)
{
    struct line_reader reader = {.at = lines.data, .end = lines.data + lines.len, .line_bytes_max = UINT16_MAX};
    struct fields fields;
    enum h1_error error;

    if (!slice_ends(lines, SLICE("\r\n")))
        return H1_INCOMPLETE;
    if (fields_text_alloc(&fields, 0, lines.len, arena) == NULL)
        return H1_MEMORY;
    error = lines_read(&reader, fields_max, &fields);
    if (error == H1_OK)
        *ret_fields = fields;
    return error;
}

/* --- framing (RFC 9112 6) --- */

struct framing {
    enum body_kind body;
    uint64_t length_bytes;
    bool has_length;
};

static enum h1_error length_read(const struct fields *fields, struct framing *framing)
{
    framing->body = BODY_LENGTH;
    framing->has_length = true;
    return rule_length(fields, &framing->length_bytes);
}

/* One coding of a list: token *( OWS ";" OWS parameter ). */
static enum h1_error coding_check(slice coding)
{
    ptrdiff_t semicolon = slice_find(coding, ';');
    slice name = semicolon >= 0 ? slice_trim(slice_of(coding.data, (size_t)semicolon)) : coding;

    if (!token_is_valid(name))
        return H1_ENCODING_INVALID;
    while (semicolon >= 0) {
        slice part = slice_from(coding, (size_t)semicolon + 1);
        struct param param;
        coding = part;
        semicolon = slice_find(part, ';');
        if (semicolon >= 0)
            part = slice_of(part.data, (size_t)semicolon);
        if (!param_parse(slice_trim(part), &param) || !param.has_value)
            return H1_ENCODING_INVALID;
    }
    return slice_eq_nocase(name, SLICE("chunked")) ? H1_ENCODING_INVALID : H1_ENCODING_UNKNOWN;
}

/* Anything but exactly "chunked" on one line is refused; this finds out whether it is well-formed (501) or not
 * (400). chunked may stand only at the very end, after others. */
static enum h1_error encodings_refuse(const struct fields *fields)
{
    bool chunked_seen = false;

    for (int i = -1; (i = fields_next(fields, F_TRANSFER_ENCODING, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i);
        for (ptrdiff_t comma = 0; comma >= 0;) {
            slice coding;
            comma = slice_find(rest, ',');
            coding = slice_trim(comma >= 0 ? slice_of(rest.data, (size_t)comma) : rest);
            if (comma >= 0)
                rest = slice_from(rest, (size_t)comma + 1);
            if (chunked_seen)
                return H1_ENCODING_INVALID;
            if (slice_eq_nocase(coding, SLICE("chunked")))
                chunked_seen = true;
            else if (coding_check(coding) != H1_ENCODING_UNKNOWN)
                return H1_ENCODING_INVALID;
        }
    }
    return H1_ENCODING_UNKNOWN;
}

static enum h1_error encoding_read(const struct fields *fields, uint8_t minor, bool has_length,
                                   struct framing *framing)
{
    int i = fields_next(fields, F_TRANSFER_ENCODING, 0);

    if (has_length)
        return H1_LENGTH_AND_ENCODING;
    if (minor == 0)
        return H1_ENCODING_IN_1_0;
    if (fields_next(fields, F_TRANSFER_ENCODING, i + 1) >= 0 ||
        !slice_eq_nocase(field_value(fields, (unsigned)i), SLICE("chunked")))
        return encodings_refuse(fields);
    framing->body = BODY_CHUNKED;
    return H1_OK;
}

static enum h1_error framing_read(const struct fields *fields, uint8_t minor,
                                  struct framing *ret_framing)
{
    *ret_framing = (struct framing){.body = BODY_NONE};
    if (fields_has(fields, F_TRANSFER_ENCODING))
        return encoding_read(fields, minor, fields_has(fields, F_CONTENT_LENGTH), ret_framing);
    if (fields_has(fields, F_CONTENT_LENGTH))
        return length_read(fields, ret_framing);
    return H1_OK;
}

/* RFC 9112 9.3. */
static bool keep_alive_read(const struct fields *fields, uint8_t minor)
{
    if (!fields_has(fields, F_CONNECTION))
        return minor == 1;
    if (fields_list_contains(fields, F_CONNECTION, SLICE("close")))
        return false;
    return minor == 1 || fields_list_contains(fields, F_CONNECTION, SLICE("keep-alive"));
}

/* --- the request line (RFC 9112 3) --- */

struct request_line {
    slice method, target;
    uint8_t minor;
    const char *next; /* the first field line */
};

static enum h1_error target_error(const char *at)
{
    switch (*at) {
    case '#':
        return H1_TARGET_FRAGMENT;
    case '\n':
        return H1_BARE_LF;
    case '\r':
        return at[1] == '\n' ? H1_HTTP_0_9 : H1_BARE_CR;
    default:
        return H1_BAD_TARGET;
    }
}

/* "HTTP/" DIGIT "." DIGIT CRLF; a higher minor version is spoken to as 1.1 (RFC 9110 2.5). */
static enum h1_error version_read(slice s, uint8_t *ret_minor)
{
    if (s.len < 10 || !slice_starts(s, SLICE("HTTP/")) || !ascii_is_digit((unsigned char)s.data[5]) ||
        s.data[6] != '.' || !ascii_is_digit((unsigned char)s.data[7]))
        return H1_BAD_VERSION;
    if (s.data[8] != '\r' || s.data[9] != '\n')
        return s.data[8] == '\n' ? H1_BARE_LF : s.data[8] == '\r' ? H1_BARE_CR : H1_BAD_VERSION;
    if (s.data[5] != '1')
        return H1_VERSION_UNSUPPORTED;
    *ret_minor = s.data[7] == '0' ? 0 : 1;
    return H1_OK;
}

static enum h1_error request_line_read(slice head, const struct h1_limits *limits, struct request_line *ret_line)
{
    const char *at = head.data, *end = head.data + head.len;
    struct request_line line;
    enum h1_error error;

    while (char_is((unsigned char)*at, CHAR_TOKEN))
        at++;
    line.method = slice_of(head.data, (size_t)(at - head.data));
    if (line.method.len == 0 || *at != ' ')
        return *at == '\n' ? H1_BARE_LF : H1_BAD_METHOD;
    line.target.data = ++at;
    while (char_is((unsigned char)*at, CHAR_TARGET))
        at++;
    line.target.len = (size_t)(at - line.target.data);
    if (line.target.len > limits->target_bytes_max)
        return H1_TARGET_TOO_LONG;
    if (*at != ' ')
        return target_error(at);
    if (line.target.len == 0)
        return H1_BAD_TARGET;
    at++;
    error = version_read(slice_of(at, (size_t)(end - at)), &line.minor);
    if (error != H1_OK)
        return error;
    line.next = at + 10;
    *ret_line = line;
    return H1_OK;
}

/* --- the target and the authority (RFC 9112 3.2) --- */

static enum h1_error absolute_form(struct request *request, struct arena *arena)
{
    struct uri uri;
    err e = uri_parse(request->target, arena, &uri);
    bool has_path;

    if (!err_is_ok(e))
        return e.code == ERR_MEMORY ? H1_MEMORY : e.code == ERR_UNSUPPORTED ? H1_BAD_TARGET : H1_TARGET_AUTHORITY;
    if (uri.https != request->https)
        return H1_TARGET_SCHEME;
    /* An empty path is "/", but in OPTIONS it is "*" (RFC 9112 3.2.4). */
    has_path = uri.target.len > 1 || slice_ends(request->target, SLICE("/"));
    request->form = TARGET_ABSOLUTE;
    request->authority = uri.authority;
    request->target = request->method == METHOD_OPTIONS && !has_path ? SLICE("*") : uri.target;
    return H1_OK;
}

static enum h1_error target_read(struct request *request, struct arena *arena)
{
    slice target = request->target;

    if (request->method == METHOD_CONNECT) {
        request->form = TARGET_AUTHORITY;
        return rule_connect_target(target, request->https, arena, &request->authority);
    }
    if (target.data[0] == '/') {
        request->form = TARGET_ORIGIN;
        return H1_OK;
    }
    if (slice_eq(target, SLICE("*"))) {
        request->form = TARGET_ASTERISK;
        return request->method == METHOD_OPTIONS ? H1_OK : H1_TARGET_FORM;
    }
    if (slice_find(target, ':') < 0)
        return H1_TARGET_FORM;
    return absolute_form(request, arena);
}

/* RFC 9112 3.2: a Host in HTTP/1.1, also when the target names the authority. */
static enum h1_error host_read(struct request *request, struct arena *arena)
{
    slice authority;
    enum h1_error error;

    if (!fields_has(&request->fields, F_HOST))
        return request->minor == 0 ? H1_OK : H1_HOST_MISSING;
    error = rule_host(&request->fields, request->minor == 0, request->https, arena, &authority);
    if (error == H1_OK && request->authority.data == NULL)
        request->authority = authority;
    return error;
}

/* --- the request --- */

/* 16 bytes in base64 (RFC 6455 4.1). */
static bool websocket_key_is_valid(slice key)
{
    if (key.len != 24 || !slice_ends(key, SLICE("==")))
        return false;
    for (unsigned i = 0; i < 22; i++) {
        unsigned char c = (unsigned char)key.data[i], lower = ascii_lower(c);
        if (!(lower >= 'a' && lower <= 'z') && !ascii_is_digit(c) && c != '+' && c != '/')
            return false;
    }
    return true;
}

static bool websocket_is_asked(const struct request *request)
{
    const struct fields *fields = &request->fields;
    int version;

    if (request->method != METHOD_GET || request->minor != 1 || request->body != BODY_NONE ||
        fields_count_of(fields, F_UPGRADE) != 1 || fields_count_of(fields, F_SEC_WEBSOCKET_KEY) != 1 ||
        !slice_eq_nocase(fields_get(fields, F_UPGRADE), SLICE("websocket")) ||
        !fields_list_contains(fields, F_CONNECTION, SLICE("upgrade")) ||
        !websocket_key_is_valid(fields_get(fields, F_SEC_WEBSOCKET_KEY)))
        return false;
    version = fields_find_named(fields, SLICE("Sec-WebSocket-Version"));
    return version >= 0 && slice_eq(field_value(fields, (unsigned)version), SLICE("13"));
}

static enum h1_error expect_read(struct request *request)
{
    if (!fields_has(&request->fields, F_EXPECT) || request->minor == 0) /* RFC 9110 10.1.1: ignored from HTTP/1.0 */
        return H1_OK;
    request->expect_continue = request->body != BODY_NONE;
    return rule_expect(&request->fields);
}

static enum h1_error request_framing(struct request *request)
{
    struct framing framing;
    enum h1_error error = framing_read(&request->fields, request->minor, &framing);

    if (error != H1_OK)
        return error;
    request->body = framing.body == BODY_LENGTH && framing.length_bytes == 0 ? BODY_NONE : framing.body;
    request->length_bytes = framing.length_bytes;
    request->keep_alive = keep_alive_read(&request->fields, request->minor);
    return expect_read(request);
}

static enum h1_error request_interpret(struct arena *arena,
                                       struct request *request)
{
    enum h1_error error = target_read(request, arena);

    if (error == H1_OK)
        error = host_read(request, arena);
    if (error == H1_OK)
        error = request_framing(request);
    if (error == H1_OK && fields_has(&request->fields, F_UPGRADE))
        request->upgrade_websocket = websocket_is_asked(request);
    if (request->authority.data == NULL)
        request->authority = SLICE("");
    return error;
}

static enum h1_error head_check(slice head, const struct h1_limits *limits)
{
    if (head.len > MIN(limits->head_bytes_max, (uint32_t)INT32_MAX))
        return H1_HEAD_TOO_LARGE;
    return slice_ends(head, SLICE("\r\n\r\n")) ? H1_OK : H1_INCOMPLETE;
}

enum h1_error h1_parse_request(slice head, const struct h1_limits *limits, bool https, struct arena *arena,
                               struct request *ret_request)
{
    struct line_reader reader = {.line_bytes_max = limits->line_bytes_max};
    struct request request = {.https = https};
    struct request_line line;
    enum h1_error error = head_check(head, limits);
    char *front;

    if (error == H1_OK)
        error = request_line_read(head, limits, &line);
    if (error != H1_OK)
        return error;
    reader.at = line.next;
    reader.end = head.data + head.len - 2;
    front = fields_text_alloc(&request.fields, line.method.len + line.target.len,
                              (size_t)(reader.end - reader.at), arena);
    if (front == NULL)
        return H1_MEMORY;
    memcpy(front, line.method.data, line.method.len);
    memcpy(front + line.method.len, line.target.data, line.target.len);
    request.method_name = slice_of(front, line.method.len);
    request.method = method_of(line.method);
    request.target = slice_of(front + line.method.len, line.target.len);
    request.minor = line.minor;
    error = lines_read(&reader, limits->fields_max, &request.fields);
    if (error == H1_OK)
        error = request_interpret(arena, &request);
    if (error == H1_OK)
        *ret_request = request;
    return error;
}

/* --- the response (RFC 9112 4) --- */

/* HTTP/1.[01] SP 3DIGIT [SP reason] CRLF */
static enum h1_error status_line_read(slice head, struct response *response, const char **ret_next)
{
    const char *s = head.data, *at;

    if (head.len < 16 || !slice_starts(head, SLICE("HTTP/1.")) || (s[7] != '0' && s[7] != '1') || s[8] != ' ')
        return H1_BAD_STATUS_LINE;
    for (unsigned i = 9; i < 12; i++)
        if (!ascii_is_digit((unsigned char)s[i]))
            return H1_BAD_STATUS_LINE;
    at = s + 12;
    if (*at == ' ')
        at = value_scan(at, head.data + head.len);
    if (*at == '\n')
        return H1_BARE_LF;
    if (at[0] != '\r' || at[1] != '\n')
        return *at == '\r' ? H1_BARE_CR : H1_BAD_STATUS_LINE;
    response->minor = (uint8_t)(s[7] - '0');
    response->status = (uint16_t)((s[9] - '0') * 100 + (s[10] - '0') * 10 + (s[11] - '0'));
    *ret_next = at + 2;
    return response->status >= 100 && response->status <= 599 ? H1_OK : H1_BAD_STATUS;
}

/* RFC 9112 6.3. */
static enum h1_error response_framing(enum method request_method,
                                      struct response *response)
{
    struct framing framing;
    enum h1_error error = framing_read(&response->fields, response->minor, &framing);

    if (error != H1_OK)
        return error;
    response->has_length = framing.has_length;
    response->length_bytes = framing.length_bytes;
    if (rule_is_bodiless(request_method, response->status))
        response->body = BODY_NONE;
    else
        response->body = framing.body == BODY_NONE ? BODY_CLOSE : framing.body;
    response->keep_alive = response->body != BODY_CLOSE && response->status != 101 &&
                           keep_alive_read(&response->fields, response->minor);
    return H1_OK;
}

enum h1_error h1_parse_response(slice head, const struct h1_limits *limits, enum method request_method,
                                struct arena *arena, struct response *ret_response)
{
    struct line_reader reader = {.line_bytes_max = limits->line_bytes_max};
    struct response response = {0};
    enum h1_error error = head_check(head, limits);

    if (error == H1_OK)
        error = status_line_read(head, &response, &reader.at);
    if (error != H1_OK)
        return error;
    reader.end = head.data + head.len - 2;
    if (fields_text_alloc(&response.fields, 0, (size_t)(reader.end - reader.at), arena) == NULL)
        return H1_MEMORY;
    error = lines_read(&reader, limits->fields_max, &response.fields);
    if (error == H1_OK)
        error = response_framing(request_method, &response);
    if (error == H1_OK)
        *ret_response = response;
    return error;
}
