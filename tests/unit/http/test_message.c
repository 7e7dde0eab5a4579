#include "help.h"

static void methods(void **state)
{
    (void)state;
    assert_int_equal(method_of(SLICE("GET")), METHOD_GET);
    assert_int_equal(method_of(SLICE("PURGE")), METHOD_PURGE);
    assert_int_equal(method_of(SLICE("get")), METHOD_OTHER);
    assert_int_equal(method_of(SLICE("")), METHOD_OTHER);
    assert_int_equal(method_of(SLICE("GETX")), METHOD_OTHER);
    assert_true(method_is_safe(METHOD_HEAD));
    assert_false(method_is_safe(METHOD_POST));
    assert_false(method_is_safe(METHOD_OTHER));
    assert_true(method_is_idempotent(METHOD_PUT));
    assert_false(method_is_idempotent(METHOD_OTHER));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(methods)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
