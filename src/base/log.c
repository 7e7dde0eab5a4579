#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_BYTES 1024

enum log_level log_level_max = LOG_INFO;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_line(enum log_level level, const char *format, ...)
{
    char line[LOG_LINE_BYTES];
    struct timespec now;
    struct tm utc;
    int at, n;
    va_list args;

    if (level > log_level_max)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    at = snprintf(line, sizeof(line), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %-5s ", utc.tm_year + 1900,
                  utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000000,
                  level_names[level]);
    va_start(args, format);
    n = vsnprintf(line + at, sizeof(line) - (size_t)at - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    at = (int)MIN((size_t)(at + n), sizeof(line) - 2);
    line[at++] = '\n';
    /* One write, so that lines of several threads do not mix. A full or closed stderr loses the line. */
    ssize_t written = write(STDERR_FILENO, line, (size_t)at);
    (void)written;
}

static bool is_safe(unsigned char c)
{
    return c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';
}

/* The first `plain` bytes as they are, or one byte escaped. False: there was no room. */
static bool safe_add(slice s, size_t plain, char *buffer, size_t size, size_t *at)
{
    static const char hex[] = "0123456789abcdef";
    size_t len = plain > 0 ? plain : 4;

    if (*at + len + 4 > size) {
        memcpy(buffer + *at, "...", 3);
        *at += 3;
        return false;
    }
    if (plain > 0)
        memcpy(buffer + *at, s.data, plain);
    else
        memcpy(buffer + *at, (char[]){'\\', 'x', hex[(unsigned char)s.data[0] >> 4], hex[s.data[0] & 15]}, 4);
    *at += len;
    return true;
}

const char *log_safe(slice s, char *buffer, size_t size)
{
    size_t at = 0;

    INVARIANT(size >= 8);
    for (; s.len > 0 && safe_add(s, is_safe((unsigned char)s.data[0]), buffer, size, &at); s = slice_from(s, 1)) {
    }
    buffer[at] = '\0';
    return buffer;
}

/* The length of the character that s begins with, if it is UTF-8 (RFC 3629 4) and steers nothing; else 0. */
static size_t character_bytes(slice s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = (unsigned char)s.data[0];
    size_t len = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
    uint32_t c = len == 1 ? first : first & (0x7fu >> len);

    if (len == 0 || len > s.len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)s.data[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | ((unsigned char)s.data[i] & 0x3f);
    }
    if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
        return 0;
    return len;
}

const char *log_text(slice s, char *buffer, size_t size)
{
    size_t at = 0, len;

    INVARIANT(size >= 8);
    for (; s.len > 0; s = slice_from(s, MAX(len, (size_t)1))) {
        len = character_bytes(s);
        if (!safe_add(s, len, buffer, size, &at))
            break;
    }
    buffer[at] = '\0';
    return buffer;
}

size_t log_text_plain(slice s)
{
    size_t at = 0, len;

    while (at < s.len && (len = character_bytes(slice_from(s, at))) > 0)
        at += len;
    return at;
}

bool log_level_parse(slice name, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (slice_eq(name, slice_str(level_names[i]))) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}
