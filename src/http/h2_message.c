#include "http/h2_message.h"

#include "http/h1_chunked.h"
#include "http/rules.h"
#include "http/token.h"

static const struct {
    const char *word, *text;
    uint16_t status;
} errors[H2_ERROR_COUNT - H1_ERROR_COUNT] = {
#define X(name, word, status, text) [H2_##name - H1_ERROR_COUNT] = {word, text, status},
    H2_ERRORS(X)
#undef X
};
static_assert((unsigned)H2_UPPER_CASE == (unsigned)H1_ERROR_COUNT, "one row of numbers");

const struct h1_limits h2_trailer_limits = {TRAILER_BYTES_MAX, TRAILER_BYTES_MAX, 0, TRAILER_FIELDS_MAX};

static bool is_shared(enum h2_error error)
{
    return (unsigned)error < (unsigned)H1_ERROR_COUNT;
}

uint16_t h2_error_status(enum h2_error error)
{
    return is_shared(error) ? h1_error_status((enum h1_error)error) : errors[error - H1_ERROR_COUNT].status;
}

const char *h2_error_text(enum h2_error error)
{
    return is_shared(error) ? h1_error_text((enum h1_error)error) : errors[error - H1_ERROR_COUNT].text;
}

const char *h2_error_word(enum h2_error error)
{
    return is_shared(error) ? h1_error_word((enum h1_error)error) : errors[error - H1_ERROR_COUNT].word;
}

static enum h2_error shared(enum h1_error error)
{
    return (enum h2_error)error;
}

struct h2_head *h2_head_init(void *block, size_t block_bytes, enum h2_head_kind kind, const struct h1_limits *limits)
{
    struct h2_head *head = block;

    INVARIANT(block_bytes > sizeof(*head));
    memset(head, 0, sizeof(*head));
    head->limits = limits;
    head->kind = (uint8_t)kind;
    /* The text doubles as it grows: at most four times the list, beside the cookie's. */
    arena_init(&head->scratch, head + 1, block_bytes - sizeof(*head), 8 * limits->head_bytes_max + (64u << 10));
    fields_init(&head->fields, &head->scratch);
    return head;
}

void h2_head_done(struct h2_head *head)
{
    if (head != NULL)
        arena_done(&head->scratch);
}

/* --- pseudo-header fields (RFC 9113 8.3) --- */

static const struct {
    slice name;
    uint8_t kind; /* enum h2_head_kind */
} pseudos[H2_PSEUDO_COUNT] = {
    [H2_PSEUDO_METHOD] = {{":method", 7}, H2_HEAD_REQUEST},
    [H2_PSEUDO_SCHEME] = {{":scheme", 7}, H2_HEAD_REQUEST},
    [H2_PSEUDO_AUTHORITY] = {{":authority", 10}, H2_HEAD_REQUEST},
    [H2_PSEUDO_PATH] = {{":path", 5}, H2_HEAD_REQUEST},
    [H2_PSEUDO_PROTOCOL] = {{":protocol", 9}, H2_HEAD_REQUEST},
    [H2_PSEUDO_STATUS] = {{":status", 7}, H2_HEAD_RESPONSE},
};

static enum h2_error value_check(slice value)
{
    if (field_value_is_valid(value))
        return H2_OK;
    return value.len > 0 && slice_is_all(value, CHAR_FIELD) ? H2_VALUE_SPACE : shared(H1_CONTROL);
}

static enum h2_error pseudo_add(struct h2_head *head, slice name, slice value)
{
    unsigned at = 0;

    while (at < H2_PSEUDO_COUNT && !slice_eq(pseudos[at].name, name))
        at++;
    if (at == H2_PSEUDO_COUNT || pseudos[at].kind != head->kind)
        return H2_PSEUDO_UNKNOWN;
    if (head->is_regular)
        return H2_PSEUDO_LATE;
    if (head->pseudo[at].data != NULL)
        return H2_PSEUDO_DUPLICATE;
    if (value.len == 0)
        return H2_PSEUDO_EMPTY;
    if (at == H2_PSEUDO_PATH && value.len > head->limits->target_bytes_max)
        return shared(H1_TARGET_TOO_LONG);
    head->pseudo[at] = arena_copy(&head->scratch, value);
    return head->pseudo[at].data != NULL ? H2_OK : shared(H1_MEMORY);
}

/* --- the other fields --- */

static enum h2_error name_check(slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!char_is((unsigned char)name.data[i], CHAR_TOKEN))
            return shared(H1_BAD_NAME);
        if (name.data[i] >= 'A' && name.data[i] <= 'Z')
            return H2_UPPER_CASE;
    }
    return name.len > 0 ? H2_OK : shared(H1_EMPTY_NAME);
}

/* RFC 9113 8.2.2: the framing is the connection's own, and a list of fields to drop has no place here. */
static bool is_of_a_connection(enum field_id id)
{
    return id == F_CONNECTION || id == F_KEEP_ALIVE || id == F_PROXY_CONNECTION || id == F_TRANSFER_ENCODING ||
           id == F_UPGRADE || id == F_HTTP2_SETTINGS;
}

/* RFC 9113 8.2.3: crumbs are one Cookie again before anything else looks at them, and count as one field. */
static enum h2_error cookie_add(struct h2_head *head, slice crumb)
{
    uint32_t need = head->cookie_len + 2 + (uint32_t)crumb.len;

    if (need > head->cookie_cap) {
        uint32_t cap = MAX(need, 2 * head->cookie_cap);
        char *grown = arena_grow(&head->scratch, head->cookie, head->cookie_cap, cap);
        if (grown == NULL)
            return shared(H1_MEMORY);
        head->cookie = grown;
        head->cookie_cap = cap;
    }
    if (head->cookie_len > 0) {
        memcpy(head->cookie + head->cookie_len, "; ", 2);
        head->cookie_len += 2;
    }
    if (crumb.len > 0)
        memcpy(head->cookie + head->cookie_len, crumb.data, crumb.len);
    head->cookie_len += (uint32_t)crumb.len;
    return head->cookie_len <= head->limits->line_bytes_max ? H2_OK : shared(H1_LINE_TOO_LONG);
}

static enum h2_error regular_add(struct h2_head *head, slice name, slice value)
{
    enum h2_error error = name_check(name);
    enum field_id id;

    head->is_regular = true;
    if (error == H2_OK)
        error = value_check(value);
    if (error != H2_OK)
        return error;
    if (name.len > UINT16_MAX || name.len + 2 + value.len > head->limits->line_bytes_max)
        return shared(H1_LINE_TOO_LONG);
    id = field_id_of(name);
    if (is_of_a_connection(id))
        return H2_CONNECTION_FIELD;
    if (id == F_TE && (head->kind != H2_HEAD_REQUEST || !slice_eq_nocase(value, SLICE("trailers"))))
        return H2_TE;
    if (id == F_COOKIE && head->kind == H2_HEAD_REQUEST)
        return cookie_add(head, value);
    if (head->fields.count + (head->cookie != NULL ? 1u : 0u) >= head->limits->fields_max)
        return shared(H1_TOO_MANY_FIELDS);
    return err_is_ok(fields_add_seen(&head->fields, name, id, value)) ? H2_OK : shared(H1_MEMORY);
}

void h2_head_add(struct h2_head *head, slice name, slice value)
{
    size_t bytes = name.len + value.len + H2_FIELD_OVERHEAD_BYTES;

    if (head->error != H2_OK)
        return;
    if (bytes > head->limits->head_bytes_max - head->list_bytes) {
        head->error = head->kind == H2_HEAD_TRAILERS ? H1_TRAILERS_TOO_LARGE : H1_HEAD_TOO_LARGE;
        return;
    }
    head->list_bytes += (uint32_t)bytes;
    if (name.len > 0 && name.data[0] == ':')
        head->error = (uint16_t)pseudo_add(head, name, value);
    else
        head->error = (uint16_t)regular_add(head, name, value);
}

/* --- what all ends do --- */

static bool head_has(const struct h2_head *head, enum h2_pseudo pseudo)
{
    return head->pseudo[pseudo].data != NULL;
}

static enum h2_error cookie_end(struct h2_head *head)
{
    if (head->cookie == NULL)
        return H2_OK;
    if (head->fields.count >= head->limits->fields_max)
        return shared(H1_TOO_MANY_FIELDS);
    /* an empty last crumb leaves the separator's space behind */
    slice joined = slice_trim(slice_of(head->cookie, head->cookie_len));
    return err_is_ok(fields_add(&head->fields, F_COOKIE, joined)) ? H2_OK : shared(H1_MEMORY);
}

/* The fields where they will stay, in one block of their size behind front_bytes of something else. */
static char *fields_settle(const struct h2_head *head, size_t front_bytes, struct arena *arena, struct fields *ret_fields)
{
    const struct fields *from = &head->fields;
    size_t front = (front_bytes + 7) & ~(size_t)7;
    char *block = arena_alloc(arena, front + from->text_len);
    struct field *list = arena_alloc(arena, from->count * sizeof(*list));

    if (block == NULL || list == NULL)
        return NULL;
    *ret_fields = *from;
    ret_fields->arena = arena;
    ret_fields->text = block + front;
    ret_fields->text_cap = from->text_len;
    ret_fields->list = list;
    ret_fields->cap = from->count;
    if (from->count > 0) {
        memcpy(ret_fields->text, from->text, from->text_len);
        memcpy(list, from->list, from->count * sizeof(*list));
    }
    return block;
}

/* --- requests --- */

static enum h2_error scheme_read(const struct h2_head *head, bool https)
{
    slice scheme = head->pseudo[H2_PSEUDO_SCHEME];

    if (scheme.data == NULL)
        return H2_PSEUDO_MISSING;
    return slice_eq(scheme, https ? SLICE("https") : SLICE("http")) ? H2_OK : H2_SCHEME;
}

/* As an origin-form target of HTTP/1, or "*". */
static enum h2_error path_read(const struct h2_head *head, struct request *request)
{
    slice path = head->pseudo[H2_PSEUDO_PATH];

    if (path.data == NULL)
        return H2_PSEUDO_MISSING;
    if (!slice_is_all(path, CHAR_TARGET))
        return shared(slice_find(path, '#') >= 0 ? H1_TARGET_FRAGMENT : H1_BAD_TARGET);
    request->form = TARGET_ORIGIN;
    if (slice_eq(path, SLICE("*")))
        request->form = TARGET_ASTERISK;
    if (request->form == TARGET_ASTERISK ? request->method != METHOD_OPTIONS : path.data[0] != '/')
        return shared(H1_TARGET_FORM);
    request->target = path;
    return H2_OK;
}

/* RFC 9113 8.3.1: :authority, where it is given, is what Host would say. One of them has to. */
static enum h2_error authority_read(struct h2_head *head, struct request *request)
{
    slice raw = head->pseudo[H2_PSEUDO_AUTHORITY], host = SLICE_NONE;
    enum h1_error error = H1_OK;

    if (fields_has(&head->fields, F_HOST))
        error = rule_host(&head->fields, false, request->https, &head->scratch, &host);
    else if (raw.data == NULL)
        error = H1_HOST_MISSING;
    request->authority = host;
    if (error != H1_OK || raw.data == NULL)
        return shared(error);
    error = rule_authority(raw, request->https, H1_TARGET_AUTHORITY, &head->scratch, &request->authority);
    if (error != H1_OK)
        return shared(error);
    if (host.data != NULL)
        return slice_eq(host, request->authority) ? H2_OK : H2_AUTHORITY;
    return err_is_ok(fields_add(&head->fields, F_HOST, raw)) ? H2_OK : shared(H1_MEMORY);
}

/* CONNECT as HTTP/1 knows it: a target that is the authority, and neither scheme nor path (RFC 9113 8.5). */
static enum h2_error connect_read(struct h2_head *head, struct request *request)
{
    slice raw = head->pseudo[H2_PSEUDO_AUTHORITY];
    enum h2_error error;

    if (head_has(head, H2_PSEUDO_SCHEME) || head_has(head, H2_PSEUDO_PATH))
        return H2_PSEUDO_UNKNOWN;
    if (raw.data == NULL)
        return H2_PSEUDO_MISSING;
    error = authority_read(head, request);
    if (error != H2_OK)
        return error;
    request->form = TARGET_AUTHORITY;
    request->target = raw;
    return shared(rule_connect_target(raw, request->https, &head->scratch, &request->authority));
}

/* RFC 8441 5: the GET that would ask for the same WebSocket in HTTP/1. */
static enum h2_error websocket_read(struct h2_head *head, const struct h2_request_options *options, struct request *request)
{
    static const slice version_name = {"sec-websocket-version", 21};
    int version = fields_find_named(&head->fields, version_name);
    err e = ERR_OK;

    if (options->websocket_key.len == 0 || !slice_eq(head->pseudo[H2_PSEUDO_PROTOCOL], SLICE("websocket")))
        return H2_PROTOCOL;
    if (fields_has(&head->fields, F_SEC_WEBSOCKET_KEY) || fields_has(&head->fields, F_CONTENT_LENGTH) || options->end_stream ||
        (version >= 0 && !slice_eq(field_value(&head->fields, (unsigned)version), SLICE("13"))))
        return H2_PROTOCOL;
    request->method = METHOD_GET;
    request->method_name = SLICE("GET");
    request->upgrade_websocket = true;
    e = fields_add(&head->fields, F_SEC_WEBSOCKET_KEY, options->websocket_key);
    if (err_is_ok(e) && version < 0)
        e = fields_add_named(&head->fields, version_name, F_OTHER, SLICE("13"));
    return err_is_ok(e) ? H2_OK : shared(H1_MEMORY);
}

static enum h2_error control_read(struct h2_head *head, const struct h2_request_options *options, struct request *request)
{
    bool is_extended = head_has(head, H2_PSEUDO_PROTOCOL);
    enum h2_error error;

    if (request->method == METHOD_CONNECT && !is_extended)
        return connect_read(head, request);
    if (is_extended && request->method != METHOD_CONNECT)
        return H2_PSEUDO_UNKNOWN;
    error = scheme_read(head, options->https);
    if (error == H2_OK)
        error = authority_read(head, request);
    if (error == H2_OK && is_extended)
        error = websocket_read(head, options, request);
    return error == H2_OK ? path_read(head, request) : error;
}

/* Content-Length and the end of the stream have to agree; where DATA follows its reader counts. */
static enum h2_error length_read(const struct fields *fields, bool end_stream, enum body_kind *ret_body,
                                 uint64_t *ret_bytes, bool *ret_has_length)
{
    enum h1_error error;

    *ret_has_length = fields_has(fields, F_CONTENT_LENGTH);
    *ret_bytes = 0;
    *ret_body = end_stream ? BODY_NONE : BODY_CHUNKED;
    if (!*ret_has_length)
        return H2_OK;
    error = rule_length(fields, ret_bytes);
    *ret_body = BODY_LENGTH;
    return shared(error);
}

static enum h2_error body_read(struct h2_head *head, bool end_stream, struct request *request)
{
    bool has_length;
    enum h2_error error = length_read(&head->fields, end_stream, &request->body, &request->length_bytes, &has_length);

    if (error != H2_OK)
        return error;
    if (end_stream && request->length_bytes > 0)
        return H2_LENGTH;
    if (request->upgrade_websocket || (has_length && request->length_bytes == 0))
        request->body = BODY_NONE;
    error = shared(rule_expect(&head->fields));
    request->expect_continue = fields_has(&head->fields, F_EXPECT) && request->body != BODY_NONE;
    return error;
}

static slice put(char **at, slice s)
{
    slice copy = slice_of(*at, s.len);

    memcpy(*at, s.data, s.len);
    *at += s.len;
    return copy;
}

static enum h2_error request_settle(const struct h2_head *head, struct request *request, struct arena *arena)
{
    char *front = fields_settle(head, request->method_name.len + request->target.len + request->authority.len, arena,
                                &request->fields);

    if (front == NULL)
        return shared(H1_MEMORY);
    request->method_name = put(&front, request->method_name);
    request->target = put(&front, request->target);
    request->authority = put(&front, request->authority);
    return H2_OK;
}

enum h2_error h2_request_end(struct h2_head *head, const struct h2_request_options *options, struct arena *arena,
                             struct request *ret_request)
{
    struct request request = {.https = options->https, .minor = 1, .h2 = true, .keep_alive = true};
    enum h2_error error = (enum h2_error)head->error;

    INVARIANT(head->kind == H2_HEAD_REQUEST);
    request.method_name = head->pseudo[H2_PSEUDO_METHOD];
    if (error == H2_OK && request.method_name.data == NULL)
        error = H2_PSEUDO_MISSING;
    if (error == H2_OK && !token_is_valid(request.method_name))
        error = shared(H1_BAD_METHOD);
    if (error == H2_OK)
        error = cookie_end(head);
    if (error != H2_OK)
        return error;
    request.method = method_of(request.method_name);
    error = control_read(head, options, &request);
    if (error == H2_OK)
        error = body_read(head, options->end_stream, &request);
    if (error == H2_OK)
        error = request_settle(head, &request, arena);
    if (error == H2_OK)
        *ret_request = request;
    return error;
}

/* --- responses --- */

static enum h2_error status_read(const struct h2_head *head, uint16_t *ret_status)
{
    slice s = head->pseudo[H2_PSEUDO_STATUS];
    uint64_t status;

    if (s.data == NULL)
        return H2_PSEUDO_MISSING;
    if (s.len != 3 || !slice_to_u64(s, &status) || status < 100 || status > 599 || status == 101)
        return shared(H1_BAD_STATUS);
    *ret_status = (uint16_t)status;
    return H2_OK;
}

enum h2_error h2_response_end(struct h2_head *head, enum method request_method, bool end_stream, struct arena *arena,
                              struct response *ret_response)
{
    struct response response = {.minor = 1, .keep_alive = true};
    enum h2_error error = (enum h2_error)head->error;

    INVARIANT(head->kind == H2_HEAD_RESPONSE);
    if (error == H2_OK)
        error = status_read(head, &response.status);
    if (error == H2_OK)
        error = length_read(&head->fields, end_stream, &response.body, &response.length_bytes, &response.has_length);
    if (error != H2_OK)
        return error;
    if (response.status < 200 && end_stream)
        return H2_LENGTH; /* RFC 9113 8.1: the answer itself would be missing */
    if (rule_is_bodiless(request_method, response.status))
        response.body = BODY_NONE;
    else if (end_stream && response.length_bytes > 0)
        return H2_LENGTH;
    else if (end_stream)
        response.body = BODY_LENGTH;
    if (fields_settle(head, 0, arena, &response.fields) == NULL)
        return shared(H1_MEMORY);
    *ret_response = response;
    return H2_OK;
}

/* --- trailers --- */

enum h2_error h2_trailers_end(struct h2_head *head, struct arena *arena, struct fields *ret_fields)
{
    struct fields fields;

    INVARIANT(head->kind == H2_HEAD_TRAILERS);
    if (head->error != H2_OK)
        return head->error == H1_TOO_MANY_FIELDS ? shared(H1_TRAILERS_TOO_LARGE) : (enum h2_error)head->error;
    fields_init(&fields, arena);
    for (unsigned i = 0; i < head->fields.count; i++)
        if (trailer_is_allowed((enum field_id)head->fields.list[i].id, field_name(&head->fields, i)) &&
            !err_is_ok(fields_copy(&fields, &head->fields, i)))
            return shared(H1_MEMORY);
    *ret_fields = fields;
    return H2_OK;
}
