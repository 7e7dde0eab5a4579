/* Files and what they include: order, joined tops, and every way in which a file could be read twice or never end. */
#include "conf_test.h"

#include <stdio.h>

#define FILES(...) ((const struct conf_test_file[]){__VA_ARGS__, {NULL, NULL}})

static struct conf_report *report;
static struct conf_document *document;

static err read_files(const char *first, const struct conf_test_file *files)
{
    conf_test_file = first;
    conf_test_files = files;
    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    return conf_document_read("warp.yaml", &conf_test_source, report, &document);
}

static void read_done(void)
{
    document = conf_document_free(document);
    report = conf_report_free(report);
    conf_test_files = NULL;
}

#define assert_problems(first, files, text)                          \
    do {                                                             \
        assert_int_equal(read_files(first, files).code, ERR_NONE);   \
        assert_string_equal(conf_test_message(report), text);        \
        read_done();                                                 \
    } while (0)

static void test_tree(void **state)
{
    const struct conf_node *a, *item;
    (void)state;

    assert_int_equal(read_files("a:\n  - x\n  - {b: 'y'}\n  - ~\nc: \"\"\n", NULL).code, ERR_NONE);
    assert_int_equal(report->count, 0);
    assert_int_equal(document->root->count, 2);
    a = conf_node_get(document->root, SLICE("a"));
    assert_int_equal(a->kind, CONF_LIST);
    assert_int_equal(a->count, 3);
    assert_int_equal(a->key_mark.line, 1);
    assert_int_equal(a->key_mark.column, 1);
    item = a->first;
    assert_slice(item->text, "x");
    assert_int_equal(item->mark.line, 2);
    assert_int_equal(item->mark.column, 5);
    assert_int_equal(item->next->kind, CONF_MAP);
    assert_true(item->next->first->is_quoted);
    assert_slice(item->next->first->key, "b");
    assert_int_equal(item->next->next->kind, CONF_NULL);
    assert_int_equal(conf_node_get(document->root, SLICE("c"))->kind, CONF_SCALAR);
    assert_null(conf_node_get(document->root, SLICE("d")));
    assert_null(conf_node_get(a, SLICE("x")));
    read_done();
}

static void test_tops_are_joined(void **state)
{
    const struct conf_node *tenants;
    const struct conf_test_file *files = FILES({"t/a.yaml", "tenants:\n  a: {}\n"}, {"t/b.yaml", "tenants:\n  b: {}\ne: 1\n"},
                                               {"t/sub/c.yaml", "tenants: {c: {}}\n"});
    (void)state;

    assert_int_equal(read_files("include: [t/*.yaml, ./t//sub/c.yaml]\nd: 1\ntenants:\n  d: {}\n", files).code, ERR_NONE);
    assert_string_equal(conf_report_text(report), "");
    assert_int_equal(document->file_count, 4);
    assert_string_equal(document->files[3].path, "t/sub/c.yaml");
    tenants = conf_node_get(document->root, SLICE("tenants"));
    assert_int_equal(tenants->count, 4);
    assert_slice(tenants->first->key, "d");
    assert_slice(tenants->first->next->key, "a");
    assert_slice(tenants->first->next->next->next->key, "c");
    assert_int_equal(tenants->first->next->key_mark.file, 1);
    assert_int_equal(conf_node_get(document->root, SLICE("e"))->mark.file, 2);
    assert_int_equal(document->root->count, 4);
    read_done();
}

/* From each file's own directory, to any file it names; a pattern may find nothing. */
static void test_paths(void **state)
{
    (void)state;
    assert_problems("include: d/a.yaml\n",
                    FILES({"d/a.yaml", "include: [b.yaml, x/*.yaml, /e/c.yaml]\n"}, {"d/b.yaml", "memory: 1g\n"}, {"/e/c.yaml", "include: f.yaml\n"},
                          {"/e/f.yaml", ""}),
                    "");
    assert_problems("include: [a.yaml, '']\n", NULL,
                    "warp.yaml:1:11: include: \"a.yaml\" cannot be read: is not there; name plain files of at most 16 MiB\n"
                    "warp.yaml:1:19: include: is no path; write one, or a pattern such as tenants/*.yaml, or a list of them");
    assert_problems("include: {a: b}\n", NULL, "warp.yaml:1:10: include: is no path; write one, or a pattern such as tenants/*.yaml, or a list of them");
    assert_problems("include:\n", NULL, "warp.yaml:1:9: include: is no path; write one, or a pattern such as tenants/*.yaml, or a list of them");
    assert_problems("include: \"a\\0b\"\n", NULL, "warp.yaml:1:10: include: is no path; write one, or a pattern such as tenants/*.yaml, or a list of them");
}

static void test_a_file_is_there_once(void **state)
{
    (void)state;
    assert_problems("include: warp.yaml\n", NULL, "warp.yaml:1:10: include: \"warp.yaml\" includes itself; write each file once");
    assert_problems("include: a.yaml\n", FILES({"a.yaml", "include: b.yaml\n"}, {"b.yaml", "include: ./a.yaml\n"}),
                    "b.yaml:1:10: include: \"a.yaml\" includes itself; write each file once");
    assert_problems("include: [a.yaml, '?.yaml']\n", FILES({"a.yaml", ""}, {"b.yaml", ""}),
                    "warp.yaml:1:19: include: \"a.yaml\" is included twice; write each file once, and patterns that leave out what is named");
    /* A file beside the one that includes it is no cycle. */
    assert_problems("include: a.yaml\n", FILES({"a.yaml", "include: [b.yaml, c.yaml]\n"}, {"b.yaml", ""}, {"c.yaml", "include: b.yaml\n"}),
                    "c.yaml:1:10: include: \"b.yaml\" is included twice; write each file once, and patterns that leave out what is named");
}

static void test_depth(void **state)
{
    (void)state;
    assert_problems("include: 1.y\n", FILES({"1.y", "include: 2.y"}, {"2.y", "include: 3.y"}, {"3.y", "include: 4.y"}, {"4.y", "memory: 1g"}), "");
    assert_problems("include: 1.y\n",
                    FILES({"1.y", "include: 2.y"}, {"2.y", "include: 3.y"}, {"3.y", "include: 4.y"}, {"4.y", "include: 5.y"}, {"5.y", ""}),
                    "4.y:1:10: include: is included by a file that is included by the fourth; include it nearer to the first file");
}

static void test_twice_in_two_files(void **state)
{
    (void)state;
    assert_problems("include: [a.yaml, b.yaml]\nmemory: 1g\ntenants:\n  x: {}\n",
                    FILES({"a.yaml", "memory: 2g\ntenants:\n  y: {}\n  x: {}\n"}, {"b.yaml", "tenants:\n  x: {}\n  y: {}\n"}),
                    "a.yaml:1:1: memory: is here twice, first in warp.yaml:2:1; write it once\n"
                    "a.yaml:4:3: tenants.x: is here twice, first in warp.yaml:4:3; write it once\n"
                    "b.yaml:2:3: tenants.x: is here twice, first in warp.yaml:4:3; write it once\n"
                    "b.yaml:3:3: tenants.y: is here twice, first in a.yaml:3:3; write it once");
    assert_problems("a:\n  b: 1\n  b: 2\n  c: 3\n  b: 4\n", NULL,
                    "warp.yaml:3:3: a.b: is here twice, first in warp.yaml:2:3; write it once\n"
                    "warp.yaml:5:3: a.b: is here twice, first in warp.yaml:2:3; write it once");
}

/* What a file has wrong does not hide what others have. */
static void test_every_file_is_looked_at(void **state)
{
    (void)state;
    assert_problems("include: [a.yaml, b.yaml, c.yaml, d.yaml]\ntenants: [1]\nx: &a 1\n",
                    FILES({"a.yaml", "- 1\n"}, {"b.yaml", "a: [\n"}, {"c.yaml", "tenants: none\n"}, {"d.yaml", "x: 1\n---\ny: 1\n"}),
                    "warp.yaml:2:10: tenants: is not a mapping; write the names of tenants, and below each what it has\n"
                    "warp.yaml:3:4: x: anchors (&name) are not allowed; write the value alone\n"
                    "a.yaml:1:1: yaml: the file is not a mapping; write one setting a line, such as cache-size: 2g\n"
                    "b.yaml:2:1: yaml: did not find expected node content; check quotes, brackets and the indentation\n"
                    "c.yaml:1:10: tenants: is not a mapping; write the names of tenants, and below each what it has\n"
                    "d.yaml:1:1: x: is here twice, first in warp.yaml:3:1; write it once\n"
                    "d.yaml:2:1: yaml: a second document begins; write one");
}

static void test_first_file(void **state)
{
    (void)state;
    conf_test_file = NULL;
    assert_int_equal(read_files(NULL, NULL).code, ERR_INVALID);
    assert_string_equal(conf_test_message(report), "warp.yaml: cannot be read: is not there; name a plain file of at most 16 MiB");
    assert_null(document);
    read_done();
}

/* Tabs, wherever they indent; elsewhere they are white space. */
static void test_tabs(void **state)
{
    (void)state;
    assert_problems("a:\n\tb: 1\n", NULL, "warp.yaml:2:1: yaml: a tab; indent with spaces");
    assert_problems("a:\n  \tb: 1\n  c: 1\n", NULL, "warp.yaml:2:3: yaml: a tab; indent with spaces");
    assert_problems("a:\n  - b\n\t- c\n", NULL, "warp.yaml:3:1: yaml: a tab; indent with spaces");
    assert_problems("a:\t1\n", NULL, "");
    assert_problems("{\n\t\"a\": 1,\n\t\"b\": [\n\t\t2\n\t]\n}\n", NULL, ""); /* JSON as tools write it */
    /* ... with another mistake in it */
    assert_problems("{\n\t\"a\": 1\n\t\"b\": 2\n}\n", NULL,
                    "warp.yaml:3:5: yaml: did not find expected ',' or '}' (while parsing a flow mapping that begins in line 1); "
                    "check quotes, brackets and the indentation");
}

static void test_utf16_is_refused(void **state)
{
    (void)state;
    assert_problems("\xff\xfe" "a", NULL, "warp.yaml:1:1: yaml: invalid leading UTF-8 octet; write plain text in UTF-8");
    assert_problems("\xef\xbb\xbf" "a: 1\n", NULL, ""); /* UTF-8 with its mark */
}

/* Aliases that would make of a kilobyte what no memory holds: refused one by one, and nothing grows. */
static void test_bomb(void **state)
{
    (void)state;
    assert_int_equal(read_files("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n", NULL).code, ERR_NONE);
    assert_int_equal(report->count, 9);
    assert_int_equal(document->node_count, 13);
    read_done();
}

static void test_limits(void **state)
{
    static char text[CONF_SCALAR_BYTES_MAX + 16];
    unsigned deep = 0;
    (void)state;

    memset(text, 'x', sizeof(text));
    memcpy(text, "a: ", 3);
    text[3 + CONF_SCALAR_BYTES_MAX] = '\0';
    assert_problems(text, NULL, "");
    text[3 + CONF_SCALAR_BYTES_MAX] = 'x';
    text[4 + CONF_SCALAR_BYTES_MAX] = '\0';
    assert_problems(text, NULL, "warp.yaml:1:4: a: has 65537 bytes; write at most 65536");
    /* sixteen levels are read, one more is not */
    strcpy(text, "a: ");
    for (; deep < CONF_DEPTH_MAX - 1; deep++)
        strcat(text, "[");
    strcat(text, "b");
    for (deep = 0; deep < CONF_DEPTH_MAX - 1; deep++)
        strcat(text, "]");
    assert_problems(text, NULL, "");
    strcpy(text, "a: ");
    for (deep = 0; deep < CONF_DEPTH_MAX; deep++)
        strcat(text, "{b: ");
    strcat(text, "c");
    for (deep = 0; deep < CONF_DEPTH_MAX; deep++)
        strcat(text, "}");
    assert_problems(text, NULL, "warp.yaml:1:68: a.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b.b: is nested too deeply; no setting goes deeper than 16");
}

/* Past the hundredth they are counted. */
static void test_many_problems(void **state)
{
    static char text[4096];
    char *at = text;
    (void)state;

    for (unsigned i = 0; i < CONF_PROBLEMS_MAX + 7; i++)
        at += sprintf(at, "k%u: &a 1\n", i);
    assert_int_equal(read_files(text, NULL).code, ERR_NONE);
    assert_int_equal(report->count, CONF_PROBLEMS_MAX);
    assert_int_equal(report->more, 7);
    assert_non_null(strstr(conf_report_text(report), "\nand 7 more\n"));
    read_done();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_tops_are_joined),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_a_file_is_there_once),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_twice_in_two_files),
        cmocka_unit_test(test_every_file_is_looked_at),
        cmocka_unit_test(test_first_file),
        cmocka_unit_test(test_tabs),
        cmocka_unit_test(test_utf16_is_refused),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_many_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
