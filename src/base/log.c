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

const char *log_safe(slice s, char *buffer, size_t size)
{
    size_t at = 0;

    INVARIANT(size >= 8);
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        bool plain = c >= 0x20 && c <= 0x7e && c != '"' && c != '\\';

        if (at + (plain ? 1 : 4) + 4 > size) {
            memcpy(buffer + at, "...", 3);
            at += 3;
            break;
        }
        if (plain) {
            buffer[at++] = (char)c;
        } else {
            static const char hex[] = "0123456789abcdef";
            buffer[at++] = '\\';
            buffer[at++] = 'x';
            buffer[at++] = hex[c >> 4];
            buffer[at++] = hex[c & 15];
        }
    }
    buffer[at] = '\0';
    return buffer;
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
