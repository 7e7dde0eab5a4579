#include "demo/large.h"

#include "base/base.h"
#include <stdlib.h>
#include <string.h>

static struct pool windows;

/* Reads [first, end) taking at most step bytes at a time. */
static char *read_all(uint64_t first, uint64_t end, size_t step)
{
    char *bytes = malloc(end - first + 1), *at = bytes;
    struct large large;
    slice shown;
    unsigned count;

    large_init(&large, &windows, first, end);
    while (source_peek(&large.source, &shown, 1, &count) == SOURCE_READY) {
        size_t n = MIN(step, shown.len);
        assert_true(at + n <= bytes + (end - first));
        memcpy(at, shown.data, n);
        at += n;
        source_consume(&large.source, n);
    }
    assert_int_equal(at - bytes, end - first);
    source_close(&large.source);
    return bytes;
}

static void lines_say_where_they_are(void **state)
{
    (void)state;
    char *bytes = read_all(0, 100000, SIZE_MAX);

    assert_memory_equal(bytes, "000000000000 ", 13);
    assert_memory_equal(bytes + 640, "000000000280 ", 13);
    assert_int_equal(bytes[63], '\n');
    assert_int_equal(bytes[64 * 700 + 63], '\n');
    free(bytes);
}

static void ranges_are_parts_of_the_whole(void **state)
{
    (void)state;
    static const uint64_t cuts[] = {0, 1, 63, 64, 65, 127, 32767, 32768, 32769, 65000, 65536, 99999, 100000};
    char *all = read_all(0, 100000, SIZE_MAX);

    for (unsigned i = 0; i < ARRAY_LEN(cuts); i++) {
        for (unsigned j = i; j < ARRAY_LEN(cuts); j++) {
            char *part = read_all(cuts[i], cuts[j], 997);
            assert_memory_equal(part, all + cuts[i], cuts[j] - cuts[i]);
            free(part);
        }
    }
    free(all);
    assert_int_equal(windows.in_use, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_say_where_they_are),
        cmocka_unit_test(ranges_are_parts_of_the_whole),
    };
    pool_init(&windows, LARGE_WINDOW_BYTES, 2);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    pool_done(&windows);
    return failed;
}
