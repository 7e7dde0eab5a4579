/* What the tests of src/cache share: heads written as text, one arena per test. */
#ifndef WARP_TESTS_UNIT_CACHE_CACHE_TEST_H
#define WARP_TESTS_UNIT_CACHE_CACHE_TEST_H

#include "cache/freshness.h"
#include "http/date.h"
#include "http/message.h"

#include <stdio.h>

#define T0_S  1790000000ll /* Unix time at which every test begins */
#define T0_MS (T0_S * 1000)

static struct arena arena;

static inline int setup(void **state)
{
    (void)state;
    arena_init(&arena, NULL, 0, 64u << 20);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

#define OK(expr) assert_int_equal((expr).code, 0)

/* "Name: value\nName: value" */
static inline void fields_from(struct fields *fields, const char *text)
{
    fields_init(fields, &arena);
    while (*text != 0) {
        const char *end = strchr(text, '\n'), *colon = strchr(text, ':');
        if (end == NULL)
            end = text + strlen(text);
        slice name = slice_of(text, (size_t)(colon - text));
        OK(fields_add_named(fields, name, field_id_of(name), slice_trim(slice_of(colon + 1, (size_t)(end - colon - 1)))));
        text = *end != 0 ? end + 1 : end;
    }
}

static inline struct response response_of(unsigned status, const char *text)
{
    struct response response = {.status = (uint16_t)status, .minor = 1};
    fields_from(&response.fields, text);
    return response;
}

static inline struct request request_of(enum method method, const char *text)
{
    struct request request = {.method = method, .target = SLICE("/a/b?c=d"), .authority = SLICE("example.com"), .minor = 1};
    fields_from(&request.fields, text);
    return request;
}

/* "Name: " and a date so many seconds from T0, in one of a few buffers. */
static inline const char *dated(const char *name, int64_t offset_s)
{
    static char buffers[8][80];
    static unsigned next;
    char *buffer = buffers[next++ % 8];
    int len = snprintf(buffer, 80, "%s: ", name);
    date_format(T0_S + offset_s, buffer + len);
    buffer[len + (int)DATE_BYTES] = 0;
    return buffer;
}

static inline const char *head(const char *a, const char *b, const char *c, const char *d)
{
    const char *parts[] = {a, b, c, d};
    char buffer[1024] = "";
    for (unsigned i = 0; i < 4; i++)
        if (parts[i] != NULL)
            snprintf(buffer + strlen(buffer), sizeof(buffer) - strlen(buffer), "%s%s", buffer[0] != 0 ? "\n" : "", parts[i]);
    return arena_printf(&arena, "%s", buffer).data;
}

static inline void assert_slice(slice s, const char *text)
{
    if (s.len != strlen(text) || memcmp(s.data, text, s.len) != 0)
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.len, s.data, text);
}

static inline slice value_of(const struct fields *fields, const char *name)
{
    int i = fields_find_named(fields, slice_str(name));
    return i >= 0 ? field_value(fields, (unsigned)i) : SLICE_NONE;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
