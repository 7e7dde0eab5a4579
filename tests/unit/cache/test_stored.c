#include "cache/stored_pack.h"

#include "cache/stored.h"

#include "cache_test.h"

#include <stdlib.h>

static slice build(unsigned status, const char *text)
{
    struct response response = response_of(status, text);
    struct freshness freshness;
    slice blob;
    freshness_of(&response, T0_MS, T0_MS, NULL, &freshness);
    OK(stored_build(&arena, &response, &freshness, T0_MS, T0_MS, 5, 0, &blob));
    return blob;
}

static void fields_that_are_kept(void **state)
{
    (void)state;
    struct fields fields;
    const struct stored *stored;
    slice blob = build(200, "Connection: a, close\na: 1\nB: 2\nKeep-Alive: x\nContent-Length: 5\nTransfer-Encoding: chunked\n"
                            "Trailer: x\nAge: 3\nTE: x\nUpgrade: h2c\nProxy-Connection: x\nProxy-Authenticate: x\n"
                            "Proxy-Authentication-Info: x\nSurrogate-Control: content=x\nCDN-Cache-Control: foo=;\n"
                            "Cache-Control: max-age=9, no-cache=\"secret\", private=hidden\nSecret: s\nHidden: h\nETag: \"e\"");
    OK(stored_view(blob, &fields, &stored));
    assert_slice(slice_of(fields.text, 8), "B: 2\r\nCD");
    assert_int_equal(fields.count, 5); /* B, CDN-Cache-Control, Cache-Control, ETag, Date */
    assert_true(fields_has(&fields, F_DATE));
    assert_false(fields_has(&fields, F_SURROGATE_CONTROL));
    assert_slice(stored_etag(&fields, stored), "\"e\"");
    assert_null(stored_last_modified(&fields, stored).data);
    assert_int_equal(stored->lifetime_s, 9);
    assert_int_equal(stored->body_bytes, 5);
    assert_true(stored->flags & CONTROL_DATE_ADDED);
    stored_set_body_bytes((char *)(uintptr_t)blob.data, 77);
    assert_int_equal(stored->body_bytes, 77);
}

static void check_packed(slice blob, size_t saves)
{
    size_t bytes = stored_packed_bytes(blob);
    char *packed = arena_alloc(&arena, bytes), *back = arena_alloc(&arena, blob.len);

    assert_true(bytes > 0 && bytes + saves <= blob.len);
    stored_pack(blob, packed);
    assert_int_equal(stored_unpacked_bytes(slice_of(packed, bytes)), blob.len);
    assert_true(stored_unpack(slice_of(packed, bytes), back));
    assert_memory_equal(back, blob.data, blob.len);
    for (size_t n = 0; n < bytes; n++) {
        slice cut = slice_of(packed, n);
        assert_true(stored_unpacked_bytes(cut) == 0 || stored_unpacked_bytes(cut) == blob.len);
        assert_false(stored_unpacked_bytes(cut) > 0 && stored_unpack(cut, back));
    }
}

static void packed_is_the_same(void **state)
{
    (void)state;
    struct stored_slices slices = {.id = {1, 2}, .slice_bytes = 4096, .is_strong = 1};
    slice sliced, blob = build(200, "Cache-Control: max-age=9\nSurrogate-Control: max-age=7\nETag: \"e\"\nX-Odd:\n"
                                    "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\nX: a: b");
    check_packed(blob, 150);
    check_packed(build(404, "Cache-Control: max-age=1"), 60);
    OK(stored_set_slices(&arena, blob, &slices, &sliced));
    check_packed(sliced, 100);
}

static void packed_damage_is_found(void **state)
{
    (void)state;
    slice blob = build(200, "Cache-Control: max-age=9\nSurrogate-Control: max-age=7\nETag: \"e\"\nX: y");
    size_t bytes = stored_packed_bytes(blob);
    char *packed = arena_alloc(&arena, bytes);
    struct fields fields;
    const struct stored *stored;

    stored_pack(blob, packed);
    assert_int_equal(stored_packed_bytes(SLICE("not a stored head")), 0);
    /* Whatever a flipped bit does, nothing is written beyond what was said (run under ASan). */
    for (size_t bit = 0; bit < bytes * 8; bit++) {
        packed[bit / 8] ^= (char)(1u << bit % 8);
        size_t len = stored_unpacked_bytes(slice_of(packed, bytes));
        char *back = len > 0 ? malloc(len) : NULL;
        if (back != NULL && stored_unpack(slice_of(packed, bytes), back))
            (void)stored_view(slice_of(back, len), &fields, &stored).code;
        free(back);
        packed[bit / 8] ^= (char)(1u << bit % 8);
    }
}

static void damage_is_found(void **state)
{
    (void)state;
    struct fields fields;
    const struct stored *stored;
    slice blob = build(200, "Cache-Control: max-age=9\nSurrogate-Control: max-age=7\nETag: \"e\"\nX: y");
    char *copy = arena_alloc(&arena, blob.len);
    for (size_t len = 0; len < blob.len; len++)
        assert_false(err_is_ok(stored_view(slice_of(memcpy(copy, blob.data, blob.len), len), &fields, &stored)));
    /* Whatever a flipped byte does, nothing that is accepted leads out of the blob (run under ASan). */
    for (size_t i = 0; i < blob.len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            memcpy(copy, blob.data, blob.len);
            copy[i] ^= (char)(1u << bit);
            if (!err_is_ok(stored_view(slice_of(copy, blob.len), &fields, &stored)))
                continue;
            for (unsigned k = 0; k < fields.count; k++)
                assert_true(field_value(&fields, k).data + field_value(&fields, k).len <= copy + blob.len);
            slice etag = stored_etag(&fields, stored);
            assert_true(etag.data == NULL || etag.data + etag.len <= copy + blob.len);
        }
    char *odd = arena_alloc(&arena, blob.len + 8);
    assert_false(err_is_ok(stored_view(slice_of(memcpy(odd + 4, blob.data, blob.len), blob.len), &fields, &stored)));
}

static void a_304_updates(void **state)
{
    (void)state;
    struct fields fields;
    const struct stored *stored;
    enum not_stored reason;
    slice old = build(200, "Cache-Control: max-age=2\nETag: \"a\"\nTest: 1\nTwice: 1\nTwice: 2\nContent-Type: text/plain\n"
                           "Content-Encoding: gzip\nContent-MD5: x\nContent-Range: y\nKept: k"),
          blob;
    struct response r = response_of(304, "Cache-Control: max-age=3600\nETag: \"b\"\ntest: 2\nTwice: 3\nContent-Type: text/html\n"
                                         "Content-Encoding: br\nContent-MD5: z\nContent-Length: 99\nContent-Range: z\nSet-Cookie: a=b\n"
                                         "Connection: Kept\nKept: no");
    OK(stored_merge_304(&arena, old, &r, T0_MS + 9000, T0_MS + 9500, NULL, &blob, &reason));
    OK(stored_view(blob, &fields, &stored));
    assert_int_equal(reason, NOT_STORED_NONE);
    assert_int_equal(stored->lifetime_s, 3600);
    assert_int_equal(stored->initial_age_s, 0); /* the 304 had no Date: the old one must not count */
    assert_int_equal(stored->status, 200);
    assert_int_equal(stored->body_bytes, 5);
    assert_slice(value_of(&fields, "ETag"), "\"a\"");
    assert_slice(value_of(&fields, "Test"), "2");
    assert_slice(value_of(&fields, "Twice"), "3");
    assert_slice(value_of(&fields, "Content-Type"), "text/html");
    assert_slice(value_of(&fields, "Content-Encoding"), "gzip");
    assert_slice(value_of(&fields, "Content-MD5"), "x");
    assert_slice(value_of(&fields, "Content-Range"), "y");
    assert_slice(value_of(&fields, "Kept"), "k");
    assert_null(value_of(&fields, "Set-Cookie").data);
    assert_int_equal(fields_count_of(&fields, F_CACHE_CONTROL), 1);
}

static void targeted_freshness_survives_a_304(void **state)
{
    (void)state;
    struct fields fields;
    const struct stored *stored;
    enum not_stored reason;
    slice blob, old = build(200, "Cache-Control: no-store\nWarp-Cache-Control: max-age=50\nETag: \"a\"");
    struct response r = response_of(304, "X: y");
    OK(stored_merge_304(&arena, old, &r, T0_MS, T0_MS, NULL, &blob, &reason));
    OK(stored_view(blob, &fields, &stored));
    assert_int_equal(stored->lifetime_s, 50);
    assert_int_equal(reason, NOT_STORED_NONE);
    assert_false(fields_has(&fields, F_WARP_CACHE_CONTROL));
    assert_int_equal(stored->hidden_count, 1);
}

static void a_304_may_end_the_storing(void **state)
{
    (void)state;
    enum not_stored reason;
    slice blob, old = build(200, "Cache-Control: max-age=5\nETag: \"a\"\nVary: a");
    struct response no_store = response_of(304, "Cache-Control: no-store"), private = response_of(304, "Cache-Control: private"),
                    vary = response_of(304, "Vary: b"), same = response_of(304, "Vary: A");
    OK(stored_merge_304(&arena, old, &no_store, T0_MS, T0_MS, NULL, &blob, &reason));
    assert_int_equal(reason, NOT_STORED_NO_STORE);
    OK(stored_merge_304(&arena, old, &private, T0_MS, T0_MS, NULL, &blob, &reason));
    assert_int_equal(reason, NOT_STORED_PRIVATE);
    OK(stored_merge_304(&arena, old, &vary, T0_MS, T0_MS, NULL, &blob, &reason));
    assert_int_equal(reason, NOT_STORED_VARIANT_MISMATCH);
    OK(stored_merge_304(&arena, old, &same, T0_MS, T0_MS, NULL, &blob, &reason));
    assert_int_equal(reason, NOT_STORED_NONE);
}

static void head_compares(void **state)
{
    (void)state;
    struct fields fields;
    const struct stored *stored;
    OK(stored_view(build(200, "Cache-Control: max-age=5\nETag: \"a\""), &fields, &stored));
    struct response same = response_of(200, "ETag: \"a\""), other = response_of(200, "ETag: \"b\""), gone = response_of(410, "");
    assert_int_equal(stored_head_compare(&fields, stored, &same), HEAD_SAME);
    assert_int_equal(stored_head_compare(&fields, stored, &other), HEAD_DIFFERENT);
    assert_int_equal(stored_head_compare(&fields, stored, &gone), HEAD_UNRELATED);
    same.has_length = true;
    same.length_bytes = 6;
    assert_int_equal(stored_head_compare(&fields, stored, &same), HEAD_DIFFERENT);
}

static slice build_sliced(void)
{
    struct stored_slices slices = {.id = {3, 4}, .slice_bytes = 1000, .is_strong = 1};
    slice blob;

    OK(stored_set_slices(&arena, build(206, "Cache-Control: max-age=2\nETag: \"a\"\nContent-Range: bytes 0-4/5000"), &slices, &blob));
    stored_set_whole((char *)(uintptr_t)blob.data, 5000);
    return blob;
}

/* A 206's head becomes that of the whole; a 304 leaves the body where it is. */
static void slices_are_kept(void **state)
{
    (void)state;
    struct fields fields;
    const struct stored *stored;
    enum not_stored reason;
    struct response r = response_of(304, "Cache-Control: max-age=3600");
    slice blob = build_sliced();

    OK(stored_merge_304(&arena, blob, &r, T0_MS, T0_MS, NULL, &blob, &reason));
    OK(stored_view(blob, &fields, &stored));
    assert_int_equal(stored->status, 200);
    assert_int_equal(stored->body_bytes, 5000);
    assert_int_equal(stored->lifetime_s, 3600);
    assert_null(fields_get(&fields, F_CONTENT_RANGE).data);
    assert_non_null(stored_slices_of(stored));
    assert_int_equal(stored_slices_of(stored)->slice_bytes, 1000);
    assert_int_equal(stored_slices_of(stored)->id.hi, 4);
    OK(stored_view(build(200, "ETag: \"a\""), &fields, &stored));
    assert_null(stored_slices_of(stored));
}

static void damaged_slices_are_found(void **state)
{
    (void)state;
    struct fields fields;
    const struct stored *stored;
    slice blob = build_sliced();
    char *copy = arena_alloc(&arena, blob.len);
    unsigned found = 0;

    for (size_t len = 0; len < blob.len; len++)
        assert_false(err_is_ok(stored_view(slice_of(memcpy(copy, blob.data, blob.len), len), &fields, &stored)));
    for (size_t i = 0; i < blob.len * 8; i++) {
        memcpy(copy, blob.data, blob.len);
        copy[i / 8] ^= (char)(1u << i % 8);
        if (err_is_ok(stored_view(slice_of(copy, blob.len), &fields, &stored)) && stored_slices_of(stored) != NULL)
            assert_true(stored_slices_of(stored)->slice_bytes > 0 && stored->body_bytes > 0);
        else
            found++;
    }
    assert_true(found > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(fields_that_are_kept), TEST(damage_is_found), TEST(packed_is_the_same), TEST(packed_damage_is_found),
                                       TEST(a_304_updates),
                                       TEST(targeted_freshness_survives_a_304), TEST(a_304_may_end_the_storing), TEST(head_compares),
                                       TEST(slices_are_kept), TEST(damaged_slices_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
