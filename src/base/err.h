/* err: the result of anything that can fail. A struct, so that it cannot be ignored or mixed with a count.
 * Expected outcomes (hit, miss, stale, more bytes needed) are enums of their own, not errors. */
#ifndef WARP_BASE_ERR_H
#define WARP_BASE_ERR_H

#include "base/base.h"

#define ERRS(X)                                                                                              \
    X(NONE, "no error")                                                                                      \
    X(MEMORY, "out of memory")                                                                               \
    X(LIMIT, "a limit was reached")                                                                          \
    X(INVALID, "invalid value")                                                                              \
    X(CORRUPT, "stored data is damaged")                                                                     \
    X(PROTOCOL, "the peer broke the protocol")                                                               \
    X(CLOSED, "the connection was closed")                                                                   \
    X(TIMEOUT, "a deadline passed")                                                                          \
    X(REFUSED, "refused")                                                                                    \
    X(NOT_FOUND, "not found")                                                                                \
    X(EXISTS, "exists already")                                                                              \
    X(CANCELLED, "cancelled")                                                                                \
    X(UNSUPPORTED, "not supported here")                                                                     \
    X(SYSTEM, "the operating system reported an error")

enum err_code {
#define X(name, text) ERR_##name,
    ERRS(X)
#undef X
        ERR_COUNT
};

typedef struct err {
    uint32_t code; /* enum err_code */
    int32_t sys;   /* errno where code is ERR_SYSTEM, else 0 */
} err;

#define ERR_OK       ((err){0, 0})
#define ERR(name)    ((err){ERR_##name, 0})
#define ERR_SYS(no)  ((err){ERR_SYSTEM, (no)})
#define TRY(expr)                                                                                            \
    do {                                                                                                     \
        err try_err_ = (expr);                                                                               \
        if (try_err_.code != 0)                                                                              \
            return try_err_;                                                                                 \
    } while (0)
#define ENSURE(cond, name)                                                                                   \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            return ERR(name);                                                                                \
    } while (0)

static inline bool err_is_ok(err e)
{
    return e.code == 0;
}

/* Text for logs: the table's, or strerror's for ERR_SYSTEM. Valid until the thread's next call. */
const char *err_text(err e);
/* The same of a file that was to be read whole, of at most 1 MiB: what is wrong with it. */
const char *err_file_text(err e);

#endif
