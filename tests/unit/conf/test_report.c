/* Problems: their order, their text, paths of keys. */
#include "conf/document_own.h"
#include "conf_test.h"

static void test_order(void **state)
{
    struct conf_document *document = NULL;
    struct conf_report *report;
    uint16_t file;
    (void)state;

    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    assert_true(conf_report_is_clean(report));
    assert_string_equal(conf_report_text(report), "");
    assert_int_equal(conf_document_new(&document).code, ERR_NONE);
    assert_int_equal(conf_document_add_file(document, "a", strdup(""), 0, &file).code, ERR_NONE);
    assert_int_equal(conf_document_add_file(document, "b\n", strdup(""), 0, &file).code, ERR_NONE);
    conf_report_add(report, document, (struct conf_mark){2, 1, 1}, "k", "sixth");
    conf_report_add(report, document, (struct conf_mark){2, 9, 0}, "k", "fourth");
    conf_report_add(report, document, (struct conf_mark){1, 1, 1}, "k", "fifth");
    conf_report_add(report, document, (struct conf_mark){2, 3, 0}, "k", "third");
    conf_report_add(report, NULL, (struct conf_mark){0}, "--flag", "%s", "first");
    conf_report_add(report, document, (struct conf_mark){2, 9, 0}, "", "fourth too");
    conf_report_add(report, NULL, (struct conf_mark){0}, "", "second");
    document = conf_document_free(document); /* the report has what it says */
    assert_string_equal(conf_report_text(report), "--flag: first\nsecond\na:2:3: k: third\na:2:9: k: fourth\na:2:9: fourth too\n"
                                                  "b\\x0a:1:1: k: fifth\nb\\x0a:2:1: k: sixth\n");
    assert_false(conf_report_is_clean(report));
    conf_report_free(report);
    conf_report_free(NULL);
}

static void test_paths(void **state)
{
    char buffer[CONF_WHERE_BYTES], long_key[300];
    struct conf_path a = {.key = SLICE("tenants")}, b = {.up = &a, .key = SLICE("s\"\n")}, c = {.up = &b, .index = 12, .is_item = true},
                     d = {.up = &c, .key = SLICE("ttl")};
    (void)state;

    assert_string_equal(conf_path_text(NULL, buffer), "");
    assert_string_equal(conf_path_text(&d, buffer), "tenants.s\\x22\\x0a[12].ttl");
    memset(long_key, 'x', sizeof(long_key));
    b.key = slice_of(long_key, sizeof(long_key));
    conf_path_text(&d, buffer);
    assert_non_null(strstr(buffer, "..."));
    for (unsigned i = 0; i < 8; i++) { /* as deep as one likes: cut, never overrun */
        struct conf_path deep[8] = {{.up = &b, .key = b.key}};
        for (unsigned j = 1; j < 8; j++)
            deep[j] = (struct conf_path){.up = &deep[j - 1], .key = b.key};
        assert_true(strlen(conf_path_text(&deep[i], buffer)) < CONF_WHERE_BYTES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order), cmocka_unit_test(test_paths)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
