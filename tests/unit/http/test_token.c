#include "help.h"
#include "http/token.h"

static void alphabets(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool tchar = alnum || (c != 0 && strchr("!#$%&'*+-.^_`|~", (int)c) != NULL);
        assert_int_equal(char_is((unsigned char)c, CHAR_TOKEN), tchar);
        assert_int_equal(char_is((unsigned char)c, CHAR_FIELD), c == '\t' || (c >= 0x20 && c != 0x7f));
        assert_int_equal(char_is((unsigned char)c, CHAR_TARGET), c > 0x20 && c < 0x7f && c != '#');
        assert_int_equal(char_is((unsigned char)c, CHAR_HOST), alnum || (c != 0 && strchr("-._~", (int)c) != NULL));
        assert_int_equal(char_is((unsigned char)c, CHAR_HEX),
                         (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f'));
    }
    assert_false(token_is_valid(SLICE("")));
    assert_true(field_value_is_valid(SLICE("")));
    assert_false(field_value_is_valid(SLICE(" a")));
    assert_false(field_value_is_valid(SLICE("a\tb\r")));
    assert_true(field_value_is_valid(SLICE("a\tb\xff")));
}

static void lists(void **state)
{
    slice rest = SLICE(" ,a,, b=\"x,\\\",y\" ,\tc ,"), item;

    (void)state;
    assert_true(list_next(&rest, &item));
    assert_slice(item, "a");
    assert_true(list_next(&rest, &item));
    assert_slice(item, "b=\"x,\\\",y\"");
    assert_true(list_next(&rest, &item));
    assert_slice(item, "c");
    assert_false(list_next(&rest, &item));
    rest = SLICE("a, \"b, c");
    assert_true(list_next(&rest, &item));
    assert_true(list_next(&rest, &item));
    assert_slice(item, "\"b, c");
    assert_false(list_next(&rest, &item));
    rest = SLICE("\"\\");
    assert_true(list_next(&rest, &item));
    assert_false(list_next(&rest, &item));
}

static void parameters(void **state)
{
    struct param p;

    (void)state;
    assert_true(param_parse(SLICE("a"), &p));
    assert_false(p.has_value);
    assert_true(param_parse(SLICE("a=b"), &p));
    assert_slice(p.value, "b");
    assert_true(param_parse(SLICE("a=\"b\\\" \\\\c\""), &p));
    assert_true(p.quoted);
    assert_slice(quoted_unescape(&test_arena, p.value), "b\" \\c");
    const char *bad[] = {"", "=", "a=", "a =b", "a= b", "a=\"", "a=\"b\\\"", "a=\"b\"c", "a=\"b\"\"", "a b", "a=b c"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(param_parse(slice_str(bad[i]), &p));
}

static void membership(void **state)
{
    struct fields fields;

    (void)state;
    fields = fields_from("Connection: a, Close\r\nX: y\r\nConnection: upgrade;q=1\r\n");
    assert_true(fields_list_contains(&fields, F_CONNECTION, SLICE("close")));
    assert_true(fields_list_contains(&fields, F_CONNECTION, SLICE("Upgrade")));
    assert_false(fields_list_contains(&fields, F_CONNECTION, SLICE("clos")));
    assert_false(fields_list_contains(&fields, F_VIA, SLICE("close")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(alphabets), TEST(lists), TEST(parameters), TEST(membership)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
