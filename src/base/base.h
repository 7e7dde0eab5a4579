/* base: what every file uses. libc only. */
#ifndef WARP_BASE_BASE_H
#define WARP_BASE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

#define MUST_USE      __attribute__((warn_unused_result))
#define PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define LIKELY(x)     __builtin_expect(!!(x), 1)
#define UNLIKELY(x)   __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a)  (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Scope destructor: AUTO(thing) p = ...; calls thing_free(p) at the end of the scope. Declare it once
 * per type with AUTO_DECLARE(thing). */
#define AUTO_DECLARE(type)                                                                                   \
    static inline void type##_auto_(struct type **p)                                                         \
    {                                                                                                        \
        type##_free(*p);                                                                                     \
    }
#define AUTO(type) __attribute__((cleanup(type##_auto_))) struct type *

/* An invariant is something only our own code can break. It stays on in release builds: the process stops,
 * the supervisor starts another one. What a peer or a disk can cause is an err, never an INVARIANT. */
noreturn void invariant_failed(const char *condition, const char *file, int line);
#define INVARIANT(cond)                                                                                      \
    do {                                                                                                     \
        if (UNLIKELY(!(cond)))                                                                               \
            invariant_failed(#cond, __FILE__, __LINE__);                                                     \
    } while (0)

#endif
