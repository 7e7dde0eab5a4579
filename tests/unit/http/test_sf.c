#include "help.h"
#include "http/sf.h"

static struct sf_item item_of(const char *text, bool *ret_ok)
{
    struct sf_item item = {.text = SLICE("")};
    *ret_ok = sf_item_read(slice_str(text), &test_arena, &item);
    return item;
}

static void items(void **state)
{
    static const struct {
        const char *text;
        enum sf_type type;
        int64_t number;
        const char *value;
    } rows[] = {
        {"42", SF_INTEGER, 42, ""}, {" -999999999999999 ", SF_INTEGER, -999999999999999, ""}, {"00", SF_INTEGER, 0, ""},
        {"4.5", SF_DECIMAL, 4500, ""}, {"-0.125", SF_DECIMAL, -125, ""}, {"\"a\\\"\\\\b\"", SF_STRING, 0, "a\"\\b"},
        {"\"\"", SF_STRING, 0, ""}, {"*a/b:c", SF_TOKEN, 0, "*a/b:c"}, {"?1", SF_BOOLEAN, 1, ""}, {"?0", SF_BOOLEAN, 0, ""},
        {":aGk=:", SF_BYTES, 0, "aGk="}, {"@1659578233", SF_DATE, 1659578233, ""}, {"%\"f%c3%bc\"", SF_DISPLAY, 0, "f%c3%bc"},
    };
    static const char *const bad[] = {"", " ", "1000000000000000", "1.", "1.1234", "1234567890123.1", "-", "--1", "+1", ".5",
                                      "\"a", "\"a\\", "\"\\n\"", "\"\x7f\"", "?2", "?", ":a", ":a b:", "@1.5", "%\"%C3\"",
                                      "%\"%c\"", "%a", "a b", "\ta", "a;", "a;A=1", "a;b=", "&", "\xc3", "(a b)", "%\"", "%"};
    bool ok;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct sf_item item = item_of(rows[i].text, &ok);
        if (!ok || item.type != rows[i].type || item.number != rows[i].number)
            fail_msg("%s", rows[i].text);
        assert_slice(item.text, rows[i].value);
    }
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        item_of(bad[i], &ok);
        if (ok)
            fail_msg("accepted: %s", bad[i]);
    }
}

static void dictionaries(void **state)
{
    struct sf_parser p, q;
    struct sf_item item;
    slice key;

    (void)state;
    sf_parser_init(&p, SLICE(" a=1;x=\"y\";z , b;q=2,\tc=(d \"e\" );w=?0  "), &test_arena);
    assert_int_equal(sf_dict_next(&p, &key, &item), SF_ITEM);
    assert_slice(key, "a");
    sf_parser_init(&q, item.params, &test_arena);
    assert_int_equal(sf_param_next(&q, &key, &item), SF_ITEM);
    assert_slice(item.text, "y");
    assert_int_equal(sf_param_next(&q, &key, &item), SF_ITEM);
    assert_slice(key, "z");
    assert_int_equal(item.type, SF_BOOLEAN);
    assert_int_equal(sf_param_next(&q, &key, &item), SF_END);
    assert_int_equal(sf_dict_next(&p, &key, &item), SF_ITEM);
    assert_int_equal(item.number, 1);
    assert_slice(item.params, ";q=2");
    assert_int_equal(sf_dict_next(&p, &key, &item), SF_ITEM);
    assert_int_equal(item.type, SF_INNER);
    sf_parser_init(&q, item.text, &test_arena);
    assert_int_equal(sf_inner_next(&q, &item), SF_ITEM);
    assert_slice(item.text, "d");
    assert_int_equal(sf_inner_next(&q, &item), SF_ITEM);
    assert_slice(item.text, "e");
    assert_int_equal(sf_inner_next(&q, &item), SF_END);
    assert_int_equal(sf_dict_next(&p, &key, &item), SF_END);
}

static bool dict_ok(const char *text)
{
    struct sf_parser p;
    struct sf_item item;
    slice key;
    enum sf_result result;

    sf_parser_init(&p, slice_str(text), &test_arena);
    while ((result = sf_dict_next(&p, &key, &item)) == SF_ITEM)
        ;
    assert_int_equal(sf_dict_next(&p, &key, &item), result); /* it stays that way */
    return result == SF_END;
}

static void bad_dictionaries(void **state)
{
    static const char *const bad[] = {"A=1", "a=1,", "a=1,,b", ",a", "a=1 b=2", "a=(b", "a=(b,c)", "a=((b))", "a= 1", "a =1",
                                      "a=(\"b\"c)", "a=1;", "1=2", "a=()x", "a=1, \t"};
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (dict_ok(bad[i]))
            fail_msg("accepted: %s", bad[i]);
    assert_true(dict_ok(""));
    assert_true(dict_ok("   "));
    assert_true(dict_ok("a=(),b=( )"));
}

static void lists_over_lines(void **state)
{
    struct fields fields;
    struct sf_parser p;
    struct sf_item item;

    (void)state;
    fields = fields_from("Cache-Groups: \"a\", \"b\";x\r\nX: y\r\nCache-Groups: \"c\"\r\n");
    sf_parser_init(&p, fields_joined(&fields, F_CACHE_GROUPS, &test_arena), &test_arena);
    for (const char *want = "abc"; *want != 0; want++) {
        assert_int_equal(sf_list_next(&p, &item), SF_ITEM);
        assert_true(item.type == SF_STRING && item.text.data[0] == *want);
    }
    assert_int_equal(sf_list_next(&p, &item), SF_END);
    assert_null(fields_joined(&fields, F_VIA, &test_arena).data);
}

static void bounded(void **state)
{
    static char text[4096];
    (void)state;
    for (unsigned i = 0; i < 1025; i++)
        memcpy(text + 2 * i, "a,", 2);
    text[2 * 1024 - 1] = 0;
    assert_true(dict_ok(text));
    text[2 * 1024 - 1] = ',';
    text[2 * 1025 - 1] = 0;
    assert_false(dict_ok(text));
}

static void serialise(void **state)
{
    (void)state;
    assert_slice(sf_string(&test_arena, SLICE("a\"b\\")), "\"a\\\"b\\\\\"");
    assert_slice(sf_string(&test_arena, SLICE("")), "\"\"");
    assert_null(sf_string(&test_arena, SLICE("a\n")).data);
    assert_null(sf_string(&test_arena, SLICE("\xff")).data);
    assert_true(sf_token_is_valid(SLICE("a/b")));
    assert_false(sf_token_is_valid(SLICE("1a")));
    assert_false(sf_token_is_valid(SLICE("")));
    assert_true(sf_key_is_valid(SLICE("a-b")));
    assert_false(sf_key_is_valid(SLICE("aB")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(items), TEST(dictionaries), TEST(bad_dictionaries), TEST(lists_over_lines),
                                       TEST(bounded), TEST(serialise)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
