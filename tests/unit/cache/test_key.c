#include "cache/key.h"

#include "cache_test.h"

static struct key_parts parts_of(const char *authority, const char *target)
{
    return (struct key_parts){.tenant = 7, .rules = 3, .https = true, .authority = slice_str(authority), .target = slice_str(target)};
}

static void keys_come_apart_again(void **state)
{
    (void)state;
    struct key_parts parts = parts_of("example.com:8443", "/a?b=c"), back;
    slice key, variant, url;
    OK(key_build(&arena, &parts, &key));
    assert_int_equal(key.len, key_size(&parts));
    assert_true(key_read(key, &back));
    assert_false(back.is_variant);
    assert_int_equal(back.tenant, 7);
    assert_int_equal(back.rules, 3);
    OK(key_url(&arena, &back, &url));
    assert_slice(url, "https://example.com:8443/a?b=c");
    OK(key_build_variant(&arena, key, SLICE("foo"), SLICE("\1\0\0\0x"), &variant));
    assert_true(slice_starts(variant, key));
    assert_true(key_read(variant, &back));
    assert_true(back.is_variant);
    assert_slice(back.spec, "foo");
    for (size_t len = 0; len < variant.len; len++)
        assert_true(!key_read(slice_of(variant.data, len), &back) || len == key.len);
}

static void different_inputs_different_keys(void **state)
{
    (void)state;
    struct key_parts list[] = {parts_of("a", "/bc"), parts_of("a/b", "c"), parts_of("", "a/bc"), parts_of("a", "/bc"), parts_of("a", "/bc"), parts_of("a", "/bc")};
    slice keys[ARRAY_LEN(list)];
    list[3].tenant = 8;
    list[4].rules = 4;
    list[5].https = false;
    for (size_t i = 0; i < ARRAY_LEN(list); i++) {
        OK(key_build(&arena, &list[i], &keys[i]));
        for (size_t k = 0; k < i; k++)
            assert_false(slice_eq(keys[i], keys[k]));
    }
    slice a, b;
    OK(key_build_variant(&arena, keys[0], SLICE("x"), SLICE("yz"), &a));
    OK(key_build_variant(&arena, keys[0], SLICE("xy"), SLICE("z"), &b));
    assert_false(slice_eq(a, b));
}

struct seen {
    char text[8192];
    unsigned count;
};

static void see(void *context, enum label_kind kind, slice text)
{
    struct seen *seen = context;
    seen->count++;
    if (strlen(seen->text) + text.len + 32 < sizeof(seen->text))
        snprintf(seen->text + strlen(seen->text), 4096, "%s=%.*s|", label_kind_word(kind), (int)text.len, text.data);
}

static void labels(void **state)
{
    (void)state;
    struct seen seen = {.count = 0};
    struct key_parts parts = parts_of("h:1", "/a/b//c?x=/y/");
    struct response r = response_of(200, "Surrogate-Key: one  two\nSurrogate-Key: three\nCache-Tag: four, five six,,\n"
                                         "Cache-Groups: \"g 1\", \"g\\\"2\";x, token");
    bool too_many;
    OK(labels_build(&arena, &parts, &r.fields, see, &seen, &too_many));
    assert_false(too_many);
    assert_string_equal(seen.text, "url=https://h:1/a/b//c?x=/y/|host=h:1|prefix=https://h:1/|prefix=https://h:1/a/|"
                                   "prefix=https://h:1/a/b/|prefix=https://h:1/a/b//|tag=one|tag=two|tag=three|tag=four|tag=five six|"
                                   "group=https://h:1 g 1|tag=g 1|group=https://h:1 g\"2|tag=g\"2|");
    struct response bad = response_of(200, "Cache-Groups: \"a\", (");
    seen = (struct seen){.count = 0};
    OK(labels_build(&arena, &parts, &bad.fields, see, &seen, &too_many));
    assert_int_equal(seen.count, 6);
}

static void too_many_labels(void **state)
{
    (void)state;
    char text[2 * 257 + 20] = "Surrogate-Key:";
    struct key_parts deep = parts_of("h", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/");
    struct seen seen = {.count = 0};
    bool too_many;
    for (unsigned i = 0; i < 256; i++)
        strcat(text, " x");
    struct response fits = response_of(200, text);
    OK(labels_build(&arena, &deep, &fits.fields, see, &seen, &too_many));
    assert_false(too_many);
    assert_int_equal(seen.count, 2 + LABEL_PREFIX_LEVELS_MAX + 256);
    strcat(text, " x");
    struct response more = response_of(200, text);
    seen.count = 0;
    OK(labels_build(&arena, &deep, &more.fields, see, &seen, &too_many));
    assert_true(too_many);
    assert_int_equal(seen.count, 2 + LABEL_PREFIX_LEVELS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(keys_come_apart_again), TEST(different_inputs_different_keys), TEST(labels), TEST(too_many_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
