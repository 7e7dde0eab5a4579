#include "cache/invalidate.h"

#include "cache_test.h"

static char seen[4096];

static void see(void *context, enum label_kind kind, slice text)
{
    (void)context;
    snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s=%.*s|", label_kind_word(kind), (int)text.len, text.data);
}

static const char *items(enum method method, unsigned status, const char *text)
{
    struct request request = request_of(method, "");
    struct key_parts parts = {.tenant = 1, .authority = request.authority, .target = request.target};
    struct response response = response_of(status, text);
    seen[0] = 0;
    OK(invalidate_items(&arena, &request, &parts, &response, see, NULL));
    return seen;
}

#define SELF "url=http://example.com/a/b?c=d|"

static void after_success_only(void **state)
{
    (void)state;
    assert_string_equal(items(METHOD_POST, 200, ""), SELF);
    assert_string_equal(items(METHOD_OTHER, 303, ""), SELF);
    assert_string_equal(items(METHOD_DELETE, 204, ""), SELF);
    assert_string_equal(items(METHOD_POST, 500, ""), "");
    assert_string_equal(items(METHOD_PUT, 404, ""), "");
    assert_string_equal(items(METHOD_GET, 200, "Location: /x\nCache-Group-Invalidation: \"g\""), "");
}

static void references_and_groups(void **state)
{
    (void)state;
    assert_string_equal(items(METHOD_POST, 201, "Location: /x#f\nContent-Location: ../y"), SELF "url=http://example.com/x|url=http://example.com/y|");
    assert_string_equal(items(METHOD_POST, 201, "Location: http://EXAMPLE.com:80/z"), SELF "url=http://example.com/z|");
    assert_string_equal(items(METHOD_POST, 201, "Location: http://victim.example/\nContent-Location: https://example.com/"), SELF);
    assert_string_equal(items(METHOD_POST, 201, "Location: http://[\nContent-Location: mailto:a@b"), SELF);
    assert_string_equal(items(METHOD_POST, 200, "Cache-Group-Invalidation: \"a\", \"b c\""), SELF "group=http://example.com a|group=http://example.com b c|");
    assert_string_equal(items(METHOD_POST, 200, "Cache-Group-Invalidation: \"a\", )"), SELF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(after_success_only), TEST(references_and_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
