#include "base/base.h"
#include "base/err.h"
#include "base/log.h"
#include "base/slice.h"
#include "base/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

noreturn void invariant_failed(const char *condition, const char *file, int line)
{
    log_error("invariant broken: %s at %s:%d", condition, file, line);
    abort();
}

const char *err_text(err e)
{
    static const char *const texts[ERR_COUNT] = {
#define X(name, text) text,
        ERRS(X)
#undef X
    };
    static _Thread_local char buffer[128];

    if (e.code == ERR_SYSTEM && e.sys != 0)
        return strerror_r(e.sys, buffer, sizeof(buffer));
    return e.code < ERR_COUNT ? texts[e.code] : "unknown error";
}

const char *err_file_text(err e)
{
    switch ((enum err_code)e.code) {
    case ERR_NOT_FOUND:
        return "is not there";
    case ERR_LIMIT:
        return "is larger than 1 MiB";
    case ERR_INVALID:
        return "is not a plain file";
    default:
        return err_text(e);
    }
}

bool slice_to_u64(slice s, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!ascii_is_digit((unsigned char)s.data[i]))
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(s.data[i] - '0'), &value))
            return false;
    }
    *ret_value = value;
    return true;
}

static enum source_state memory_peek(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct source_memory *memory = container_of(source, struct source_memory, source);

    if (memory->left.len == 0)
        return SOURCE_END;
    INVARIANT(max > 0);
    ret_slices[0] = memory->left;
    *ret_count = 1;
    return SOURCE_READY;
}

static void memory_consume(struct source *source, size_t n)
{
    struct source_memory *memory = container_of(source, struct source_memory, source);
    memory->left = slice_from(memory->left, n);
}

static void memory_close(struct source *source)
{
    (void)source; /* owns nothing */
}

void source_memory_init(struct source_memory *memory, slice bytes)
{
    static const struct source_ops ops = {memory_peek, memory_consume, memory_close};
    *memory = (struct source_memory){.source = {.ops = &ops}, .left = bytes};
}
