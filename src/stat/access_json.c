/* An access record as one line of JSON. */
#include "stat/access.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

/* The worst URL is all escapes: six bytes for each. */
static_assert(ACCESS_URL_BYTES * 6 + (46 + 16 + 40) * 6 + 1024 <= ACCESS_LINE_BYTES, "a line always fits");

struct line {
    char *at, *end;
};

static void line_bytes(struct line *line, const char *bytes, size_t len)
{
    INVARIANT(len <= (size_t)(line->end - line->at));
    memcpy(line->at, bytes, len);
    line->at += len;
}

static void line_printf(struct line *line, const char *format, ...) PRINTF(2, 3);
static void line_printf(struct line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line->at, (size_t)(line->end - line->at), format, args);
    va_end(args);
    INVARIANT(n >= 0 && n < line->end - line->at);
    line->at += n;
}

static bool is_continuation(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* Length of the well-formed UTF-8 sequence at the start of s (RFC 3629: shortest form, no surrogates), or 0. */
static size_t utf8_length(slice s)
{
    const unsigned char *u = (const unsigned char *)s.data;

    if (u[0] < 0x80)
        return 1;
    if (u[0] >= 0xc2 && u[0] <= 0xdf)
        return s.len >= 2 && is_continuation(u[1]) ? 2 : 0;
    if (u[0] >= 0xe0 && u[0] <= 0xef) {
        if (s.len < 3 || !is_continuation(u[1]) || !is_continuation(u[2]))
            return 0;
        return (u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ? 0 : 3;
    }
    if (u[0] >= 0xf0 && u[0] <= 0xf4) {
        if (s.len < 4 || !is_continuation(u[1]) || !is_continuation(u[2]) || !is_continuation(u[3]))
            return 0;
        return (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f) ? 0 : 4;
    }
    return 0;
}

/* Bytes that are not UTF-8 become the character of the same number: nothing is lost, nothing breaks a reader. */
static void line_text(struct line *line, slice s)
{
    line_bytes(line, "\"", 1);
    while (s.len > 0) {
        unsigned char c = (unsigned char)s.data[0];
        size_t n = utf8_length(s);
        if (c == '"' || c == '\\')
            line_printf(line, "\\%c", c);
        else if (n == 0 || c < 0x20 || c == 0x7f)
            line_printf(line, "\\u%04x", c);
        else
            line_bytes(line, s.data, n);
        s = slice_from(s, MAX(n, 1));
    }
    line_bytes(line, "\"", 1);
}

static void line_field(struct line *line, const char *name, slice value)
{
    line_printf(line, ",\"%s\":", name);
    line_text(line, value);
}

/* Terminated, or as long as its array. */
static slice text_of(const char *text, size_t size)
{
    return slice_of(text, strnlen(text, size));
}

static void line_time(struct line *line, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;

    if (wall_ms < 0 || gmtime_r(&seconds, &utc) == NULL || utc.tm_year > 8099) {
        seconds = 0;
        gmtime_r(&seconds, &utc);
    }
    line_printf(line, "\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", utc.tm_year + 1900, utc.tm_mon + 1,
                utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, (int)(MAX(wall_ms, 0) % 1000));
}

static void line_seconds(struct line *line, const char *name, uint64_t ns)
{
    uint64_t us = ns / 1000;

    line_printf(line, ",\"%s\":%llu.%06llu", name, (unsigned long long)(us / 1000000),
                (unsigned long long)(us % 1000000));
}

static void line_request(struct line *line, const struct access_record *record)
{
    line_field(line, "method", text_of(record->method, sizeof(record->method)));
    line_field(line, "scheme", record->is_tls ? SLICE("https") : SLICE("http"));
    line_field(line, "url", slice_of(record->url, MIN(record->url_len, sizeof(record->url))));
    if (record->is_url_cut)
        line_printf(line, ",\"url_cut\":true");
    line_printf(line, ",\"version\":\"%u.%u\",\"status\":%u", record->version / 10u, record->version % 10u,
                record->status);
}

static void line_cache(struct line *line, const struct access_record *record)
{
    if (record->outcome < OUTCOME_COUNT)
        line_field(line, "outcome", slice_str(outcome_name(record->outcome)));
    if (record->reason != NULL)
        line_field(line, "reason", (slice){record->reason, strnlen(record->reason, 64)});
    if (record->tier < TIER_COUNT)
        line_field(line, "tier", slice_str(tier_name(record->tier)));
    if ((record->key.hi | record->key.lo) != 0)
        line_printf(line, ",\"key\":\"%016llx%016llx\"", (unsigned long long)record->key.hi,
                    (unsigned long long)record->key.lo);
}

size_t access_record_json(const struct access_record *record, const char *tenant_name, char *buffer)
{
    struct line line = {buffer, buffer + ACCESS_LINE_BYTES};

    line_bytes(&line, "{", 1);
    line_time(&line, record->wall_ms);
    if (tenant_name != NULL)
        line_field(&line, "tenant", (slice){tenant_name, strnlen(tenant_name, 64)});
    else
        line_printf(&line, ",\"tenant\":\"%u\"", record->tenant);
    line_field(&line, "client", text_of(record->client, sizeof(record->client)));
    line_request(&line, record);
    line_cache(&line, record);
    line_printf(&line, ",\"bytes\":%llu", (unsigned long long)record->body_bytes);
    line_seconds(&line, "duration", record->total_ns);
    if (record->first_byte_ns != 0)
        line_seconds(&line, "first_byte", record->first_byte_ns);
    if (record->origin_ns != 0)
        line_seconds(&line, "origin", record->origin_ns);
    if (record->request_id[0] != '\0')
        line_field(&line, "request_id", text_of(record->request_id, sizeof(record->request_id)));
    line_bytes(&line, "}\n", 2);
    return (size_t)(line.at - buffer);
}

/* ---- filling a record -------------------------------------------------------------------------------------- */

static size_t put(char *at, size_t room, slice s)
{
    size_t n = MIN(room, s.len);

    if (n > 0)
        memcpy(at, s.data, n);
    return n;
}

void access_record_url(struct access_record *record, slice authority, slice target)
{
    size_t n = put(record->url, sizeof(record->url), authority);

    n += put(record->url + n, sizeof(record->url) - n, target);
    record->url_len = (uint16_t)n;
    record->is_url_cut = n < authority.len + target.len;
}

void access_record_method(struct access_record *record, slice method)
{
    record->method[put(record->method, sizeof(record->method) - 1, method)] = '\0';
}

void access_record_request_id(struct access_record *record, slice id)
{
    record->request_id[put(record->request_id, sizeof(record->request_id) - 1, id)] = '\0';
}
