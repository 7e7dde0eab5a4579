#include "base/source.h"

static void test_memory_to_its_end(void **state)
{
    struct source_memory memory;
    slice shown[2];
    unsigned count = 0;

    (void)state;
    source_memory_init(&memory, SLICE("hello"));
    assert_int_equal(source_peek(&memory.source, shown, 2, &count), SOURCE_READY);
    assert_int_equal(count, 1);
    assert_true(slice_eq(shown[0], SLICE("hello")));
    source_consume(&memory.source, 2);
    assert_int_equal(source_peek(&memory.source, shown, 1, &count), SOURCE_READY);
    assert_true(slice_eq(shown[0], SLICE("llo")));
    assert_int_equal(source_peek(&memory.source, shown, 1, &count), SOURCE_READY); /* a look takes nothing */
    assert_true(slice_eq(shown[0], SLICE("llo")));
    source_consume(&memory.source, 0);
    source_consume(&memory.source, 3);
    assert_int_equal(source_peek(&memory.source, shown, 1, &count), SOURCE_END);
    assert_int_equal(source_peek(&memory.source, shown, 1, &count), SOURCE_END);
    assert_null(source_trailers(&memory.source));
    assert_null(source_close(&memory.source));
}

static void test_empty_memory(void **state)
{
    struct source_memory memory;
    slice shown[1];
    unsigned count;

    (void)state;
    source_memory_init(&memory, SLICE_NONE);
    assert_int_equal(source_peek(&memory.source, shown, 1, &count), SOURCE_END);
    source_close(&memory.source);
}

static void nothing(void *reader)
{
    (void)reader;
}

static void test_helpers(void **state)
{
    struct source_memory memory;
    int reader;

    (void)state;
    assert_null(source_close(NULL));
    source_memory_init(&memory, SLICE("x"));
    assert_null(memory.source.on_ready);
    source_set_reader(&memory.source, nothing, &reader);
    assert_ptr_equal(memory.source.reader, &reader);
    assert_true(memory.source.on_ready == nothing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_to_its_end),
        cmocka_unit_test(test_empty_memory),
        cmocka_unit_test(test_helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
