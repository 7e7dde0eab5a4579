/* log: lines for the operator on stderr. Any thread. Not for access records (stat/access.h).
 * Bytes below 0x20, above 0x7e, quotes and backslashes that came from a peer are escaped: use log_safe. */
#ifndef WARP_BASE_LOG_H
#define WARP_BASE_LOG_H

#include "base/slice.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

extern enum log_level log_level_max; /* set once at start, changed by reload */

void log_line(enum log_level level, const char *format, ...) PRINTF(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                       \
    do {                                                                                                     \
        if (UNLIKELY(log_level_max >= LOG_DEBUG))                                                            \
            log_line(LOG_DEBUG, __VA_ARGS__);                                                                \
    } while (0)

/* Escapes into buffer (always terminated, cut with "..." when too long); returns buffer. */
const char *log_safe(slice s, char *buffer, size_t size);
/* For texts that people read, and scripts: quotes, backslashes and what is not ASCII stay. Escaped are control characters (those
 * of U+0080 to U+009F too), what is not UTF-8, and what turns the order of a line around (Unicode's bidirectional controls). */
const char *log_text(slice s, char *buffer, size_t size);
/* How many of the first bytes such a text shows as they are. */
size_t log_text_plain(slice s);
/* Name to level; false when unknown. */
MUST_USE bool log_level_parse(slice name, enum log_level *ret_level);

#endif
