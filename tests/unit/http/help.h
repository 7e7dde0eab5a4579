/* What the tests of src/http share. */
#ifndef WARP_TESTS_UNIT_HTTP_HELP_H
#define WARP_TESTS_UNIT_HTTP_HELP_H

#include "http/h1_parse.h"

#define assert_slice(s, text)                                                                                \
    do {                                                                                                     \
        slice got_ = (s), want_ = slice_str(text);                                                           \
        if (!slice_eq(got_, want_))                                                                          \
            fail_msg("got \"%.*s\", not \"%s\"", (int)got_.len, got_.data != NULL ? got_.data : "", text);   \
    } while (0)

static struct arena test_arena;

static inline int test_begin(void **state)
{
    (void)state;
    arena_init(&test_arena, NULL, 0, 16u << 20);
    return 0;
}

static inline int test_end(void **state)
{
    (void)state;
    arena_done(&test_arena);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)

/* A field set from "Name: value\r\n..." lines. */
static inline struct fields fields_from(const char *lines)
{
    struct fields fields;

    fields_init(&fields, &test_arena);
    if (lines[0] != 0)
        assert_int_equal(h1_parse_fields(slice_str(lines), 1000, &test_arena, &fields), H1_OK);
    return fields;
}

#endif
