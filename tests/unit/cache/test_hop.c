#include "cache/hop.h"

#include "cache_test.h"

static void names(void **state)
{
    (void)state;
    struct fields fields;
    struct hop_names hop;
    fields_from(&fields, "Connection: close, X-A\nconnection: ,x-b ,\nX-A: 1");
    OK(hop_names_read(&fields, &hop));
    assert_int_equal(hop.count, 3);
    assert_true(hop_names_has(&hop, SLICE("x-a")) && hop_names_has(&hop, SLICE("X-B")));
    assert_false(hop_names_has(&hop, SLICE("x-")));
    fields_from(&fields, "");
    OK(hop_names_read(&fields, &hop));
    assert_int_equal(hop.count, 0);
}

static void too_many_names(void **state)
{
    (void)state;
    struct fields fields;
    struct hop_names hop;
    char text[128] = "Connection: a";
    for (unsigned i = 1; i < HOP_NAMES_MAX; i++)
        strcat(text, ",a");
    fields_from(&fields, text);
    OK(hop_names_read(&fields, &hop));
    fields_from(&fields, strcat(text, ",a"));
    assert_int_equal(hop_names_read(&fields, &hop).code, ERR_LIMIT);
}

static void kinds(void **state)
{
    (void)state;
    assert_true(hop_is_field(F_TRANSFER_ENCODING) && hop_is_field(F_CONTENT_LENGTH) && hop_is_field(F_UPGRADE));
    assert_false(hop_is_field(F_OTHER) || hop_is_field(F_SET_COOKIE));
    assert_true(hop_is_consumed(F_WARP_CACHE_CONTROL) && !hop_is_consumed(F_CDN_CACHE_CONTROL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(names), TEST(too_many_names), TEST(kinds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
