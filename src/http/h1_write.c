#include "http/h1_write.h"

#define LENGTH_DIGITS_MAX 20u

/* status, phrase (RFC 9110 15, RFC 6585, RFC 8297, RFC 7725 and the registry) */
#define REASONS(X)                                                                                           \
    X(100, "Continue")                                                                                       \
    X(101, "Switching Protocols")                                                                            \
    X(102, "Processing")                                                                                     \
    X(103, "Early Hints")                                                                                    \
    X(200, "OK")                                                                                             \
    X(201, "Created")                                                                                        \
    X(202, "Accepted")                                                                                       \
    X(203, "Non-Authoritative Information")                                                                  \
    X(204, "No Content")                                                                                     \
    X(205, "Reset Content")                                                                                  \
    X(206, "Partial Content")                                                                                \
    X(207, "Multi-Status")                                                                                   \
    X(208, "Already Reported")                                                                               \
    X(226, "IM Used")                                                                                        \
    X(300, "Multiple Choices")                                                                               \
    X(301, "Moved Permanently")                                                                              \
    X(302, "Found")                                                                                          \
    X(303, "See Other")                                                                                      \
    X(304, "Not Modified")                                                                                   \
    X(305, "Use Proxy")                                                                                      \
    X(307, "Temporary Redirect")                                                                             \
    X(308, "Permanent Redirect")                                                                             \
    X(400, "Bad Request")                                                                                    \
    X(401, "Unauthorized")                                                                                   \
    X(402, "Payment Required")                                                                               \
    X(403, "Forbidden")                                                                                      \
    X(404, "Not Found")                                                                                      \
    X(405, "Method Not Allowed")                                                                             \
    X(406, "Not Acceptable")                                                                                 \
    X(407, "Proxy Authentication Required")                                                                  \
    X(408, "Request Timeout")                                                                                \
    X(409, "Conflict")                                                                                       \
    X(410, "Gone")                                                                                           \
    X(411, "Length Required")                                                                                \
    X(412, "Precondition Failed")                                                                            \
    X(413, "Content Too Large")                                                                              \
    X(414, "URI Too Long")                                                                                   \
    X(415, "Unsupported Media Type")                                                                         \
    X(416, "Range Not Satisfiable")                                                                          \
    X(417, "Expectation Failed")                                                                             \
    X(418, "I'm a teapot")                                                                                   \
    X(421, "Misdirected Request")                                                                            \
    X(422, "Unprocessable Content")                                                                          \
    X(423, "Locked")                                                                                         \
    X(424, "Failed Dependency")                                                                              \
    X(425, "Too Early")                                                                                      \
    X(426, "Upgrade Required")                                                                               \
    X(428, "Precondition Required")                                                                          \
    X(429, "Too Many Requests")                                                                              \
    X(431, "Request Header Fields Too Large")                                                                \
    X(451, "Unavailable For Legal Reasons")                                                                  \
    X(500, "Internal Server Error")                                                                          \
    X(501, "Not Implemented")                                                                                \
    X(502, "Bad Gateway")                                                                                    \
    X(503, "Service Unavailable")                                                                            \
    X(504, "Gateway Timeout")                                                                                \
    X(505, "HTTP Version Not Supported")                                                                     \
    X(506, "Variant Also Negotiates")                                                                        \
    X(507, "Insufficient Storage")                                                                           \
    X(508, "Loop Detected")                                                                                  \
    X(511, "Network Authentication Required")

slice http_reason(uint16_t status)
{
    static const slice reasons[512] = {
#define X(status, phrase) [status] = {phrase, sizeof(phrase) - 1},
        REASONS(X)
#undef X
    };
    return status < ARRAY_LEN(reasons) && reasons[status].data != NULL ? reasons[status] : SLICE("");
}

static char *put(char *at, slice s)
{
    if (s.len > 0)
        memcpy(at, s.data, s.len);
    return at + s.len;
}

static slice fields_text(const struct fields *fields)
{
    return fields != NULL ? slice_of(fields->text, fields->text_len) : SLICE("");
}

/* The lines of a framing, the empty line that ends the head included. */
struct framing_text {
    slice length_name; /* with digits, when BODY_LENGTH */
    char digits[LENGTH_DIGITS_MAX];
    unsigned digits_len;
    slice rest;
};

static unsigned digits_write(uint64_t value, char *ret_digits)
{
    char reversed[LENGTH_DIGITS_MAX];
    unsigned len = 0;

    do {
        reversed[len++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    for (unsigned i = 0; i < len; i++)
        ret_digits[i] = reversed[len - 1 - i];
    return len;
}

static void framing_format(const struct h1_framing *framing, struct framing_text *ret_text)
{
    static const slice plain[] = {
        [H1_CONNECTION_DEFAULT] = {"\r\n", 2},
        [H1_CONNECTION_CLOSE] = {"Connection: close\r\n\r\n", 21},
        [H1_CONNECTION_KEEP_ALIVE] = {"Connection: keep-alive\r\n\r\n", 26},
        [H1_CONNECTION_TE] = {"Connection: TE\r\n\r\n", 18},
        [H1_CONNECTION_WEBSOCKET] = {"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 43},
    };

    ret_text->length_name = SLICE("");
    ret_text->digits_len = 0;
    ret_text->rest = plain[framing->connection];
    if (framing->body == BODY_LENGTH) {
        ret_text->length_name = SLICE("Content-Length: ");
        ret_text->digits_len = digits_write(framing->length_bytes, ret_text->digits);
    } else if (framing->body == BODY_CHUNKED) {
        ret_text->length_name = SLICE("Transfer-Encoding: chunked\r\n");
    }
}

static size_t framing_size(const struct framing_text *text)
{
    return text->length_name.len + (text->digits_len != 0 ? text->digits_len + 2u : 0u) + text->rest.len;
}

static char *framing_put(char *at, const struct framing_text *text)
{
    at = put(at, text->length_name);
    if (text->digits_len != 0) {
        at = put(at, slice_of(text->digits, text->digits_len));
        at = put(at, SLICE("\r\n"));
    }
    return put(at, text->rest);
}

size_t h1_write_request(char *buffer, size_t size, slice method, slice target, const struct fields *fields,
                        const struct h1_framing *framing)
{
    slice text = fields_text(fields);
    struct framing_text end;
    size_t need;

    framing_format(framing, &end);
    need = method.len + target.len + text.len + framing_size(&end) + sizeof("  HTTP/1.1\r\n") - 1;
    if (need > size)
        return need;
    buffer = put(buffer, method);
    *buffer++ = ' ';
    buffer = put(buffer, target);
    buffer = put(buffer, SLICE(" HTTP/1.1\r\n"));
    buffer = put(buffer, text);
    framing_put(buffer, &end);
    return need;
}

size_t h1_write_response(char *buffer, size_t size, uint16_t status, const struct fields *stored,
                         const struct fields *added, const struct h1_framing *framing)
{
    slice reason = http_reason(status), first = fields_text(stored), second = fields_text(added);
    struct framing_text end;
    size_t need;

    INVARIANT(status >= 100);
    INVARIANT(status <= 999);
    framing_format(framing, &end);
    need = sizeof("HTTP/1.1 200 \r\n") - 1 + reason.len + first.len + second.len + framing_size(&end);
    if (need > size)
        return need;
    buffer = put(buffer, SLICE("HTTP/1.1 "));
    digits_write(status, buffer);
    buffer[3] = ' ';
    buffer = put(buffer + 4, reason);
    buffer = put(buffer, SLICE("\r\n"));
    buffer = put(buffer, first);
    buffer = put(buffer, second);
    framing_put(buffer, &end);
    return need;
}

size_t h1_write_last_chunk(char *buffer, size_t size, const struct fields *trailers)
{
    slice text = fields_text(trailers);
    size_t need = 3 + text.len + 2;

    if (need > size)
        return need;
    buffer = put(buffer, SLICE("0\r\n"));
    buffer = put(buffer, text);
    put(buffer, SLICE("\r\n"));
    return need;
}
