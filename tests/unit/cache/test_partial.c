#include "cache/partial.h"

#include "cache_test.h"

static slice blob;

static enum partial_result add(const char *etag, const char *content_range)
{
    enum partial_result result;
    struct partial_range added;
    const char *text = arena_printf(&arena, "%s%sContent-Range: %s", etag, etag[0] != 0 ? "\n" : "", content_range).data;
    struct response r = response_of(206, text);
    OK(partial_add(&arena, blob, &r, &blob, &added, &result));
    return result;
}

static const struct partial *view(void)
{
    const struct partial *partial = NULL;
    OK(partial_view(blob, &partial));
    return partial;
}

static bool covers(uint64_t first, uint64_t end)
{
    return partial_covers(view(), (struct partial_range){first, end});
}

static void parts_join(void **state)
{
    (void)state;
    struct partial_range gap;
    blob = SLICE_NONE;
    assert_int_equal(add("ETag: \"a\"", "bytes 4-5/10"), PARTIAL_ADDED);
    assert_int_equal(add("ETag: \"a\"", "bytes 8-9/10"), PARTIAL_ADDED);
    assert_int_equal(view()->count, 2);
    assert_true(covers(4, 6) && covers(5, 6) && covers(8, 10) && !covers(4, 7) && !covers(5, 5) && !covers(5, 9));
    assert_true(partial_next_gap(view(), 0, &gap) && gap.first == 0 && gap.end == 4);
    assert_true(partial_next_gap(view(), 5, &gap) && gap.first == 6 && gap.end == 8);
    assert_false(partial_next_gap(view(), 8, &gap));
    assert_int_equal(add("ETag: \"a\"", "bytes 6-7/10"), PARTIAL_ADDED);
    assert_int_equal(view()->count, 1);
    assert_int_equal(add("ETag: \"a\"", "bytes 0-8/10"), PARTIAL_ADDED);
    assert_true(partial_is_complete(view()));
    assert_false(partial_next_gap(view(), 0, &gap));
    assert_slice(partial_etag(view()), "\"a\"");
}

static void parts_that_do_not_fit(void **state)
{
    (void)state;
    blob = SLICE_NONE;
    static const char *const bad[] = {"bytes 5-4/10", "bytes 0-10/10", "bytes 0-4/*", "bytes */10", "items 0-4/10", "bytes 0-4", "bytes -4/10"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(add("ETag: \"a\"", bad[i]), PARTIAL_BAD);
    assert_int_equal(add("", "bytes 0-4/10"), PARTIAL_ADDED); /* alone it may stay */
    assert_int_equal(add("", "bytes 5-9/10"), PARTIAL_OTHER);
    blob = SLICE_NONE;
    assert_int_equal(add("ETag: \"a\"", "bytes 0-4/10"), PARTIAL_ADDED);
    assert_int_equal(add("ETag: \"b\"", "bytes 5-9/10"), PARTIAL_OTHER);
    assert_int_equal(add("ETag: W/\"a\"", "bytes 5-9/10"), PARTIAL_OTHER);
    assert_int_equal(add("ETag: \"a\"", "bytes 5-9/11"), PARTIAL_OTHER);
    assert_int_equal(add("ETag: \"a\"\nContent-Range: bytes 5-9/10", "bytes 5-9/10"), PARTIAL_BAD);
}

static void bounded(void **state)
{
    (void)state;
    blob = SLICE_NONE;
    for (unsigned i = 0; i < PARTIAL_RANGES_MAX; i++)
        assert_int_equal(add("ETag: \"a\"", arena_printf(&arena, "bytes %u-%u/1000", i * 10, i * 10 + 1).data), PARTIAL_ADDED);
    assert_int_equal(add("ETag: \"a\"", "bytes 900-901/1000"), PARTIAL_TOO_MANY);
    assert_int_equal(add("ETag: \"a\"", "bytes 5-90/1000"), PARTIAL_ADDED);
    assert_true(covers(10, 92) && view()->count < PARTIAL_RANGES_MAX);
    const struct partial *p;
    char *copy = arena_alloc(&arena, blob.len);
    for (size_t i = 0; i < blob.len * 8; i++) {
        memcpy(copy, blob.data, blob.len);
        copy[i / 8] ^= (char)(1u << (i % 8));
        if (err_is_ok(partial_view(slice_of(copy, blob.len), &p)))
            assert_true(partial_etag(p).data + partial_etag(p).len <= copy + blob.len || partial_etag(p).data == NULL);
        assert_false(err_is_ok(partial_view(slice_of(blob.data, i / 8), &p)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(parts_join), TEST(parts_that_do_not_fit), TEST(bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
