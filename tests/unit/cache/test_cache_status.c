#include "cache/cache_status.h"

#include "cache_test.h"

static const char *written(const struct cache_status *status)
{
    static char buffer[CACHE_STATUS_BYTES_MAX + 1];
    size_t len = cache_status_write(status, buffer);
    assert_true(len <= CACHE_STATUS_BYTES_MAX);
    buffer[len] = 0;
    return buffer;
}

static void members(void **state)
{
    (void)state;
    assert_string_equal(written(&(struct cache_status){.hit = true, .has_ttl = true, .ttl_s = 3600}), "warp; hit; ttl=3600");
    assert_string_equal(written(&(struct cache_status){.hit = true, .has_ttl = true, .ttl_s = -5}), "warp; hit; ttl=-5");
    assert_string_equal(written(&(struct cache_status){.fwd = CACHE_STATUS_URI_MISS, .fwd_status = 200, .stored = true, .collapsed = true}),
                        "warp; fwd=uri-miss; fwd-status=200; stored; collapsed");
    assert_string_equal(written(&(struct cache_status){.detail = SLICE("origin-down"), .key = SLICE("http://h/\"\\\n\xc3")}),
                        "warp; detail=origin-down; key=\"http://h/\\\"\\\\%0A%C3\"");
    assert_string_equal(written(&(struct cache_status){.detail = SLICE("two words")}), "warp; detail=\"two words\"");
    assert_string_equal(written(&(struct cache_status){.has_ttl = true, .ttl_s = INT32_MIN}), "warp; ttl=-2147483648");
}

static void too_long(void **state)
{
    (void)state;
    char big[5000];
    memset(big, '\n', sizeof(big));
    const char *text = written(&(struct cache_status){.hit = true, .key = slice_of(big, sizeof(big)), .detail = slice_of(big, sizeof(big))});
    assert_true(text[strlen(text) - 1] == '"');
    memset(big, 'a', sizeof(big));
    text = written(&(struct cache_status){.hit = true, .key = slice_of(big, sizeof(big)), .detail = slice_of(big, sizeof(big))});
    assert_true(strlen(text) > CACHE_STATUS_BYTES_MAX - 4); /* room for one %XX is kept */
    assert_true(text[strlen(text) - 1] == '"');
}

static void ages(void **state)
{
    (void)state;
    char buffer[12];
    static const struct {
        int32_t age;
        const char *text;
    } list[] = {{0, "0"}, {-1, "0"}, {7, "7"}, {10, "10"}, {86400, "86400"}, {INT32_MAX, "2147483647"}};
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        assert_slice(slice_of(buffer, age_write(list[i].age, buffer)), list[i].text);
}

static void a_replys_fields(void **state)
{
    (void)state;
    struct fields fields;
    fields_init(&fields, &arena);
    OK(cache_status_add(&fields, &(struct cache_status){.hit = true}, 3));
    assert_slice(slice_of(fields.text, fields.text_len), "Age: 3\r\nVia: 1.1 warp\r\nCache-Status: warp; hit\r\n");
    fields_init(&fields, &arena);
    OK(cache_status_add(&fields, &(struct cache_status){.fwd = CACHE_STATUS_MISS}, -1));
    assert_false(fields_has(&fields, F_AGE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(members), TEST(too_long), TEST(ages), TEST(a_replys_fields)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
