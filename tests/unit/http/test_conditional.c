#include "help.h"
#include "http/conditional.h"

#define OLD "Sun, 06 Nov 1994 08:49:36 GMT"
#define AT  "Sun, 06 Nov 1994 08:49:37 GMT"
#define NEW "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct validators both = {.etag = {"\"a\"", 3}, .last_modified_s = 784111777, .date_s = 784111800};
static const struct validators weak = {.etag = {"W/\"a\"", 5}, .last_modified_s = -1, .date_s = 784111777};

static enum cond eval(const char *lines, const struct validators *v)
{
    struct fields fields = fields_from(lines);
    return cond_evaluate(&fields, METHOD_GET, v, 1800000000);
}

static void order_of_rfc9110(void **state)
{
    (void)state;
    assert_int_equal(eval("", &both), COND_PASS);
    assert_int_equal(eval("If-Match: \"a\"\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-Match: \"b\"\r\n", &both), COND_FAILED);
    assert_int_equal(eval("If-Match: *\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-Match: W/\"a\"\r\n", &weak), COND_FAILED);
    assert_int_equal(eval("If-Match: \"a\"\r\nIf-Unmodified-Since: " OLD "\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-Unmodified-Since: " OLD "\r\n", &both), COND_FAILED);
    assert_int_equal(eval("If-Unmodified-Since: " AT "\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-Unmodified-Since: nonsense\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-None-Match: W/\"a\"\r\n", &both), COND_NOT_MODIFIED);
    assert_int_equal(eval("If-None-Match: \"b\"\r\nIf-Modified-Since: " AT "\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-None-Match: *\r\n", &both), COND_NOT_MODIFIED);
    assert_int_equal(eval("If-None-Match: a\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-Modified-Since: " AT "\r\n", &both), COND_NOT_MODIFIED);
    assert_int_equal(eval("If-Modified-Since: " NEW "\r\n", &both), COND_NOT_MODIFIED);
    assert_int_equal(eval("If-Modified-Since: " OLD "\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-Modified-Since: " AT "\r\nIf-Modified-Since: " AT "\r\n", &both), COND_PASS);
    assert_int_equal(eval("If-Modified-Since: " AT "\r\n", &weak), COND_NOT_MODIFIED); /* Date stands in */
    assert_int_equal(eval("If-Match: \"a\"\r\nIf-None-Match: \"a\"\r\n", &both), COND_NOT_MODIFIED);
}

static void other_methods(void **state)
{
    struct fields fields;

    (void)state;
    fields = fields_from("If-None-Match: \"a\"\r\n");
    assert_int_equal(cond_evaluate(&fields, METHOD_PUT, &both, 0), COND_FAILED);
    assert_true(cond_has_any(&fields));
    fields = fields_from("If-Modified-Since: " AT "\r\n");
    assert_int_equal(cond_evaluate(&fields, METHOD_PUT, &both, 0), COND_PASS);
    fields = fields_from("If-Range: \"a\"\r\n");
    assert_false(cond_has_any(&fields));
}

static bool applies(const char *lines, const struct validators *v)
{
    struct fields fields = fields_from(lines);
    return cond_if_range(&fields, v, 1800000000);
}

static void if_range(void **state)
{
    struct validators young = {.etag = SLICE_NONE, .last_modified_s = 784111777, .date_s = 784111777};

    (void)state;
    assert_true(applies("", &both));
    assert_true(applies("If-Range: \"a\"\r\n", &both));
    assert_false(applies("If-Range: \"b\"\r\n", &both));
    assert_false(applies("If-Range: W/\"a\"\r\n", &weak));
    assert_false(applies("If-Range: \"a\"\r\n", &weak));
    assert_true(applies("If-Range: " AT "\r\n", &both));
    assert_false(applies("If-Range: " NEW "\r\n", &both));
    assert_false(applies("If-Range: " AT "\r\n", &young)); /* not strong: changed in the second it was made */
    assert_false(applies("If-Range: x\r\n", &both));
    assert_false(applies("If-Range: \"a\"\r\nIf-Range: \"a\"\r\n", &both));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(order_of_rfc9110), TEST(other_methods), TEST(if_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
