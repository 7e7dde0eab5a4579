/* Answers of the admin listener, and what its requests say. */
#include "admin/admin_internal.h"

#include "base/log.h"
#include "http/date.h"
#include "http/token.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TYPE_JSON    SLICE("application/json")
#define JSON_STYLE   (JSON_INDENT(1) | JSON_PRESERVE_ORDER)
#define DETAIL_BYTES 512u

/* ---- the answer ---------------------------------------------------------------------------------------------------- */

MUST_USE static err fields_own(struct admin_request *request, struct fields *fields, uint16_t status)
{
    if (status == 401)
        TRY(fields_add_named(fields, SLICE("WWW-Authenticate"), F_OTHER, SLICE("Bearer realm=\"warp\"")));
    if (request->etag[0] != '\0' && status < 300)
        TRY(fields_add(fields, F_ETAG, slice_str(request->etag)));
    if (request->location[0] != '\0' && status < 300)
        TRY(fields_add(fields, F_LOCATION, slice_str(request->location)));
    if (request->allow[0] != '\0')
        TRY(fields_add(fields, F_ALLOW, slice_str(request->allow)));
    return request->retry_after_s > 0 ? fields_addf(fields, F_RETRY_AFTER, "%u", request->retry_after_s) : ERR_OK;
}

MUST_USE static err fields_make(struct admin_request *request, struct fields *fields, uint16_t status, slice type)
{
    char date[DATE_BYTES];

    fields_init(fields, &request->arena);
    date_format(loop_wall_ms(request->context->loop) / 1000, date);
    TRY(fields_add(fields, F_DATE, slice_of(date, DATE_BYTES)));
    TRY(fields_add(fields, F_CONTENT_TYPE, type));
    TRY(fields_add(fields, F_CACHE_CONTROL, SLICE("no-store")));
    TRY(fields_add_named(fields, SLICE("X-Content-Type-Options"), F_OTHER, SLICE("nosniff")));
    return fields_own(request, fields, status);
}

void admin_answer_owned(struct admin_request *request, uint16_t status, slice type, char *text, size_t len)
{
    struct fields fields;
    struct reply reply = {.status = status, .added = &fields, .length_bytes = (int64_t)len};

    INVARIANT(!request->answered);
    request->answered = true;
    request->answer = text;
    if (text == NULL || !err_is_ok(fields_make(request, &fields, status, type))) {
        stream_abort(request->stream);
        return;
    }
    source_memory_init(&request->source, slice_of(text, len));
    reply.no_body = request->request.method == METHOD_HEAD;
    stream_respond(request->stream, &reply, reply.no_body ? NULL : &request->source.source);
}

void admin_answer(struct admin_request *request, uint16_t status, slice type, slice text)
{
    char *copy = malloc(text.len + 1);

    if (copy != NULL)
        memcpy(copy, text.data, text.len);
    admin_answer_owned(request, status, type, copy, text.len);
}

void admin_answer_json(struct admin_request *request, uint16_t status, json_t *root)
{
    size_t size = root != NULL ? json_dumpb(root, NULL, 0, JSON_STYLE) : 0;
    char *text = size > 0 ? malloc(size + 1) : NULL;

    if (text != NULL && json_dumpb(root, text, size, JSON_STYLE) == size)
        text[size++] = '\n';
    json_decref(root);
    admin_answer_owned(request, status, status >= 400 ? SLICE("application/problem+json") : TYPE_JSON, text, size);
}

/* ---- problems ------------------------------------------------------------------------------------------------------ */

/* RFC 9457 4.2.1: with about:blank the title is the status' own phrase. */
static const char *status_phrase(uint16_t status)
{
    static const struct {
        uint16_t status;
        const char *phrase;
    } phrases[] = {
        {400, "Bad Request"},       {401, "Unauthorized"},         {403, "Forbidden"},
        {404, "Not Found"},         {405, "Method Not Allowed"},   {408, "Request Timeout"},
        {409, "Conflict"},          {412, "Precondition Failed"},  {413, "Content Too Large"},
        {414, "URI Too Long"},      {417, "Expectation Failed"},   {421, "Misdirected Request"},
        {422, "Unprocessable Content"}, {429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"}, {501, "Not Implemented"}, {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"}, {507, "Insufficient Storage"}, {508, "Loop Detected"},
    };

    for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
        if (phrases[i].status == status)
            return phrases[i].phrase;
    return status < 500 ? "Bad Request" : "Internal Server Error";
}

static json_t *problem_json(uint16_t status, const char *detail)
{
    return json_pack("{s:s, s:s, s:i, s:o}", "type", "about:blank", "title", status_phrase(status), "status", (int)status, "detail",
                     admin_text(slice_str(detail)));
}

void admin_problem(struct admin_request *request, uint16_t status, const char *detail)
{
    admin_answer_json(request, status, problem_json(status, detail));
}

void admin_problemf(struct admin_request *request, uint16_t status, const char *format, ...)
{
    char detail[DETAIL_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(detail, sizeof(detail), format, args);
    va_end(args);
    admin_problem(request, status, detail);
}

void admin_problem_lines(struct admin_request *request, uint16_t status, const char *detail, const char *lines)
{
    json_t *problem = problem_json(status, detail);

    json_object_set_new(problem, "errors", admin_lines(lines));
    admin_answer_json(request, status, problem);
}

json_t *admin_text(slice text)
{
    json_t *string = json_stringn(text.data != NULL ? text.data : "", text.len);

    return string != NULL ? string : json_string("(not UTF-8)");
}

json_t *admin_lines(const char *lines)
{
    json_t *list = json_array();

    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");
        char safe[1024]; /* paths of files are bytes */
        json_t *line = json_stringn(lines, len);
        json_array_append_new(list, line != NULL ? line : json_string(log_safe(slice_of(lines, len), safe, sizeof(safe))));
        lines += len + (lines[len] == '\n');
    }
    return list;
}

/* ---- what is asked -------------------------------------------------------------------------------------------------- */

bool admin_wants(const struct admin_request *request, slice type)
{
    const struct fields *fields = &request->request.fields;

    for (int i = -1; (i = fields_next(fields, F_ACCEPT, i + 1)) >= 0;) {
        slice rest = field_value(fields, (unsigned)i), item;
        while (list_next(&rest, &item))
            if (slice_starts(item, type))
                return true;
    }
    return false;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

slice admin_decode(struct admin_request *request, slice raw, bool is_query)
{
    char *out = arena_alloc(&request->arena, raw.len + 1);
    size_t n = 0;

    if (out == NULL)
        return SLICE_NONE;
    for (size_t i = 0; i < raw.len; i++) {
        int high = i + 2 < raw.len && raw.data[i] == '%' ? hex_digit(raw.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(raw.data[i + 2]) : -1;

        if (low >= 0) {
            out[n++] = (char)(high << 4 | low);
            i += 2;
        } else {
            out[n++] = raw.data[i] == '+' && is_query ? ' ' : raw.data[i];
        }
    }
    out[n] = '\0';
    return slice_of(out, n);
}

/* The next name=value of a query; false at its end. */
static bool param_next(slice *rest, slice *ret_name, slice *ret_value)
{
    while (rest->len > 0) {
        ptrdiff_t end = slice_find(*rest, '&'), equals;
        slice item = end >= 0 ? (slice){rest->data, (size_t)end} : *rest;

        *rest = end >= 0 ? slice_from(*rest, (size_t)end + 1) : SLICE_NONE;
        if (item.len == 0)
            continue;
        equals = slice_find(item, '=');
        *ret_name = equals >= 0 ? slice_of(item.data, (size_t)equals) : item;
        *ret_value = equals >= 0 ? slice_from(item, (size_t)equals + 1) : SLICE("");
        return true;
    }
    return false;
}

slice admin_param(struct admin_request *request, slice name)
{
    slice rest = request->query, given, value;

    while (param_next(&rest, &given, &value))
        if (slice_eq(given, name))
            return admin_decode(request, value, true);
    return SLICE_NONE;
}

bool admin_params_are_known(struct admin_request *request)
{
    slice rest = request->query, name, value, again, other;
    char safe[80];

    while (param_next(&rest, &name, &value)) {
        slice behind = rest;
        bool is_twice = false;
        while (param_next(&behind, &again, &other))
            is_twice = is_twice || slice_eq(name, again);
        if (!is_twice && admin_route_has_param(request->route, name))
            continue;
        log_safe(name, safe, sizeof(safe));
        if (is_twice)
            admin_problemf(request, 400, "the parameter \"%s\" is there twice", safe);
        else
            admin_problemf(request, 400, "there is no parameter \"%s\" here%s%s", safe, request->route->params[0] != '\0' ? "; known are " : "",
                           request->route->params);
        return false;
    }
    return true;
}

bool admin_number(struct admin_request *request, slice name, uint64_t min, uint64_t max, uint64_t *ret_value)
{
    slice text = admin_param(request, name);
    uint64_t value;

    if (text.data == NULL)
        return true;
    if (slice_to_u64(text, &value) && value >= min && value <= max) {
        *ret_value = value;
        return true;
    }
    if (max == UINT64_MAX)
        admin_problemf(request, 400, SLICE_FMT " is a number from %llu on", SLICE_ARG(name), (unsigned long long)min);
    else
        admin_problemf(request, 400, SLICE_FMT " is a number from %llu to %llu", SLICE_ARG(name), (unsigned long long)min,
                       (unsigned long long)max);
    return false;
}

bool admin_limit(struct admin_request *request, unsigned *ret_limit)
{
    uint64_t limit = ADMIN_LIMIT_DEFAULT;

    if (!admin_number(request, SLICE("limit"), 1, ADMIN_LIMIT_MAX, &limit))
        return false;
    *ret_limit = (unsigned)limit;
    return true;
}

static bool is_known(const char *name, const char *const *known)
{
    for (; *known != NULL; known++)
        if (strcmp(name, *known) == 0)
            return true;
    return false;
}

json_t *admin_object(struct admin_request *request, const char *const *known)
{
    json_error_t error;
    json_t *body = json_loadb(request->body != NULL ? request->body : "", request->body_len, JSON_REJECT_DUPLICATES, &error), *value;
    const char *name;
    char safe[80];

    if (!json_is_object(body)) {
        json_decref(body);
        admin_problem(request, 400, "the body is not a JSON object");
        return NULL;
    }
    json_object_foreach(body, name, value)
    {
        if (is_known(name, known))
            continue;
        admin_problemf(request, 400, "there is no member \"%s\" here", log_safe(slice_str(name), safe, sizeof(safe)));
        json_decref(body);
        return NULL;
    }
    return body;
}

bool admin_is_name(slice name)
{
    if (name.len == 0 || name.len > CONF_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool is_first = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_first && (i == 0 || (c != '-' && c != '_' && c != '.')))
            return false;
    }
    return true;
}
