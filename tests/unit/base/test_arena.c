#include "base/arena.h"

#include <stdio.h>

#define CHUNK_MAX 2048u

static bool is_inside(const void *at, const char *buffer, size_t size)
{
    return (const char *)at >= buffer && (const char *)at < buffer + size;
}

static void test_inline_first(void **state)
{
    _Alignas(8) char buffer[64];
    struct arena arena;

    (void)state;
    arena_init(&arena, buffer, sizeof(buffer), 0);
    assert_ptr_equal(arena_alloc(&arena, 24), buffer);
    assert_ptr_equal(arena_alloc(&arena, 40), buffer + 24);
    assert_null(arena.chunks);
    assert_int_equal(arena.taken_bytes, 0);
    assert_false(is_inside(arena_alloc(&arena, 1), buffer, sizeof(buffer)));
    assert_non_null(arena.chunks);
    assert_true(arena.taken_bytes > 0);
    arena_done(&arena);
    assert_null(arena.chunks);
}

/* A buffer that begins anywhere: its odd bytes are left out, the end is never passed. */
static void test_odd_buffers(void **state)
{
    _Alignas(8) char buffer[80];

    (void)state;
    for (size_t skew = 0; skew < 8; skew++) {
        for (size_t size = 0; size < 40; size++) {
            struct arena arena;
            arena_init(&arena, buffer + skew, size, 0);
            for (int i = 0; i < 8; i++) {
                char *block = arena_alloc(&arena, 8);
                assert_non_null(block);
                assert_int_equal((uintptr_t)block & 7, 0);
                if (is_inside(block, buffer, sizeof(buffer)))
                    assert_true(block + 8 <= buffer + skew + size);
                memset(block, 'x', 8);
            }
            arena_done(&arena);
        }
    }
}

static void test_alignment(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    for (size_t size = 0; size < 300; size++) {
        char *block = arena_alloc(&arena, size);
        assert_int_equal((uintptr_t)block & 7, 0);
        memset(block, 0xa5, size);
    }
    for (size_t size = 1; size < 300; size++) {
        const char *block = arena_zalloc(&arena, size);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(block[i], 0);
    }
    arena_done(&arena);
    arena_done(&arena); /* again is fine */
}

static void test_blocks_do_not_overlap(void **state)
{
    struct arena arena;
    unsigned char *blocks[200];

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    for (unsigned i = 0; i < 200; i++) {
        blocks[i] = arena_alloc(&arena, 1 + i * 7);
        memset(blocks[i], (int)i, 1 + i * 7);
    }
    for (unsigned i = 0; i < 200; i++)
        for (unsigned j = 0; j < 1 + i * 7; j++)
            assert_int_equal(blocks[i][j], i);
    arena_done(&arena);
}

static void test_grow(void **state)
{
    _Alignas(8) char buffer[64];
    struct arena arena;
    char *text, *moved;

    (void)state;
    arena_init(&arena, buffer, sizeof(buffer), 0);
    text = arena_grow(&arena, NULL, 0, 5);
    memcpy(text, "12345", 5);
    assert_ptr_equal(arena_grow(&arena, text, 5, 8), text); /* in what was rounded up */
    assert_ptr_equal(arena_grow(&arena, text, 8, 40), text);
    assert_ptr_equal(arena_alloc(&arena, 8), buffer + 40);
    moved = arena_grow(&arena, text, 40, 48); /* no longer the last */
    assert_ptr_not_equal(moved, text);
    assert_memory_equal(moved, "12345", 5);
    assert_ptr_equal(arena_grow(&arena, moved, 48, 100), moved);
    assert_ptr_equal(arena_grow(&arena, moved, 100, 10), moved); /* smaller stays */
    arena_done(&arena);
}

/* Sizes that wrap when they are rounded up must not look like "fits". */
static void test_hostile_sizes(void **state)
{
    struct arena arena;
    void *block;

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 7));
    assert_null(arena_zalloc(&arena, (size_t)UINT32_MAX + 1));
    block = arena_alloc(&arena, 8);
    assert_non_null(block);
    assert_null(arena_grow(&arena, block, 8, SIZE_MAX));
    assert_null(arena_grow(&arena, block, 8, SIZE_MAX - 3));
    assert_null(arena_grow(&arena, block, 8, SIZE_MAX / 2));
    arena_done(&arena);
}

static void test_limit(void **state)
{
    static const char bytes[510];
    struct arena arena;
    unsigned got = 0;

    (void)state;
    arena_init(&arena, NULL, 0, 10000);
    while (arena_alloc(&arena, 500) != NULL)
        assert_true(++got < 21);
    assert_true(got >= 15);
    assert_true(arena.taken_bytes <= 10000);
    assert_null(arena_copy(&arena, slice_of(bytes, sizeof(bytes))).data);
    assert_null(arena_printf(&arena, "%0600d", 1).data);
    assert_string_equal(arena_copy(&arena, SLICE_NONE).data, ""); /* costs nothing */
    arena_done(&arena);

    arena_init(&arena, NULL, 0, 0); /* 1 MiB where nothing is said */
    assert_null(arena_alloc(&arena, (1u << 20) + 8));
    assert_non_null(arena_alloc(&arena, 1u << 20));
    assert_null(arena_alloc(&arena, 8));
    arena_done(&arena);
    assert_non_null(arena_alloc(&arena, 1u << 20)); /* usable again, with its limit */
    assert_null(arena_alloc(&arena, 8));
    arena_done(&arena);
}

static void test_one_large_block(void **state)
{
    struct arena arena;
    char *small, *large;

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    small = arena_alloc(&arena, 16);
    large = arena_alloc(&arena, 100000);
    memset(large, 1, 100000);
    memset(small, 2, 16);
    assert_int_equal(large[0], 1);
    arena_done(&arena);
}

static void test_printf(void **state)
{
    struct arena arena;
    slice text;
    char expected[CHUNK_MAX * 2];

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    text = arena_printf(&arena, "%s=%d", "a", -7);
    assert_int_equal(text.len, 4);
    assert_string_equal(text.data, "a=-7");
    text = arena_printf(&arena, "%s", "");
    assert_int_equal(text.len, 0);
    assert_string_equal(text.data, "");
    text = arena_printf(&arena, "%0*d", 4000, 5); /* more than a chunk */
    snprintf(expected, sizeof(expected), "%0*d", 4000, 5);
    assert_int_equal(text.len, 4000);
    assert_string_equal(text.data, expected);
    arena_done(&arena);
}

static void test_copy(void **state)
{
    struct arena arena;
    char bytes[] = {'a', 0, 'b'};
    slice copy;

    (void)state;
    arena_init(&arena, NULL, 0, 0);
    copy = arena_copy(&arena, slice_of(bytes, 3));
    bytes[0] = 'x';
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.data, "a\0b", 3);
    arena_done(&arena);
}

/* Chunks that are kept between arenas: a small one first, then large ones, what is larger from malloc. */
static void test_pools(void **state)
{
    struct arena_pools pools;
    struct arena arena;

    (void)state;
    arena_pools_init(&pools, 4);
    for (unsigned round = 0; round < 5; round++) {
        arena_init(&arena, NULL, 0, 0);
        arena_use_pools(&arena, &pools);
        assert_non_null(arena_alloc(&arena, 16));
        assert_int_equal(pools.small.in_use, 1);
        assert_int_equal(pools.large.in_use, 0);
        for (unsigned i = 0; i < 3; i++)
            memset(arena_alloc(&arena, 1500), 0xa5, 1500);
        assert_int_equal(pools.small.in_use, 1);
        assert_int_equal(pools.large.in_use, 3);
        memset(arena_alloc(&arena, 100000), 0xa5, 100000);
        assert_int_equal(pools.large.in_use, 3);
        arena_done(&arena);
        assert_int_equal(pools.small.in_use + pools.large.in_use, 0);
    }
    arena_init(&arena, NULL, 0, 0);
    arena_use_pools(&arena, &pools);
    for (unsigned i = 0; i < 60; i++)
        assert_non_null(arena_alloc(&arena, 16)); /* beyond the first chunk: whoever needs more needs much more */
    assert_int_equal(pools.small.in_use, 1);
    assert_int_equal(pools.large.in_use, 1);
    arena_done(&arena);
    assert_int_equal(pools.small.mallocs, 1);
    assert_int_equal(pools.large.mallocs, 3);
    arena_pools_done(&pools);
}

/* The limit counts chunks of a pool as well. */
static void test_limit_with_pools(void **state)
{
    struct arena_pools pools;
    struct arena arena;
    unsigned got = 0;

    (void)state;
    arena_pools_init(&pools, 100);
    arena_init(&arena, NULL, 0, 10000);
    arena_use_pools(&arena, &pools);
    while (arena_alloc(&arena, 500) != NULL)
        assert_true(++got < 21);
    assert_true(arena.taken_bytes <= 10000);
    arena_done(&arena);
    arena_pools_done(&pools);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inline_first),    cmocka_unit_test(test_odd_buffers),
        cmocka_unit_test(test_alignment),       cmocka_unit_test(test_blocks_do_not_overlap),
        cmocka_unit_test(test_grow),            cmocka_unit_test(test_hostile_sizes),
        cmocka_unit_test(test_limit),           cmocka_unit_test(test_one_large_block),
        cmocka_unit_test(test_printf),          cmocka_unit_test(test_copy),
        cmocka_unit_test(test_pools),           cmocka_unit_test(test_limit_with_pools),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
