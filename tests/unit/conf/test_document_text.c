/* Documents of texts at hand, and bundles: what was kept is the same again, and nothing else is taken for it. */
#include "base/crc32c.h"
#include "conf_test.h"

#include <stdio.h>

/* Makes the checksum of a bundle right. */
static void conf_test_crc(char *bytes, size_t len)
{
    hex_write(bytes + 14, crc32c(0, bytes + 22, len - 22), 8);
}

static const struct conf_test_file files[] = {
    {"t/a.yaml", "tenants:\n  a: {hosts: a.example, origins: o, origin-ca: ca.pem}\n"},
    {"t/b.yaml", "include: more/c.yaml\ntenants:\n  b: {hosts: b.example}\n"},
    {"t/more/c.yaml", "tenants:\n  c: {hosts: c.example}\n"},
    {NULL, NULL},
};

static struct conf_document *read_document(struct conf_report *report)
{
    struct conf_document *document = NULL;

    conf_test_file = "include: t/*.yaml\norigin: o:1\nmemory: 1g\n";
    conf_test_files = files;
    assert_int_equal(conf_document_read("warp.yaml", &conf_test_source, report, &document).code, ERR_NONE);
    assert_int_equal(conf_document_add_tenant(document, SLICE("d"), "state/tenants/d.json", SLICE("{\"hosts\": [\"d.example\"]}"), report).code,
                     ERR_NONE);
    conf_test_files = NULL; /* from here on nobody finds them */
    return document;
}

static struct settings *settings_made(struct conf_document *document, struct conf_report *report)
{
    struct settings *settings = NULL;
    err result = settings_of_document(0, NULL, NULL, document, report, &settings);

    assert_string_equal(conf_report_text(report), "");
    assert_int_equal(result.code, ERR_NONE);
    return settings;
}

static void bundle_of(char **ret_bytes, size_t *ret_len)
{
    struct conf_document *document;
    struct conf_report *report;

    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    document = read_document(report);
    assert_string_equal(conf_report_text(report), "");
    assert_int_equal(conf_bundle_write(document, ret_bytes, ret_len).code, ERR_NONE);
    conf_document_free(document);
    conf_report_free(report);
}

static void test_the_same_again(void **state)
{
    struct conf_document *document = NULL;
    struct conf_report *report;
    struct settings *settings;
    char *bytes, *again;
    size_t len, again_len;
    (void)state;

    bundle_of(&bytes, &len);
    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    assert_int_equal(conf_bundle_read(slice_of(bytes, len), report, &document).code, ERR_NONE);
    assert_int_equal(conf_bundle_write(document, &again, &again_len).code, ERR_NONE);
    assert_int_equal(len, again_len);
    assert_memory_equal(bytes, again, len);
    settings = settings_made(document, report);
    assert_int_equal(settings->config.memory, 1u << 30);
    assert_int_equal(settings->tenants.count, 4);
    assert_slice(settings->tenants.items[0].name, "a");
    assert_slice(settings->tenants.items[0].origin_ca, "t/ca.pem");
    assert_slice(settings->tenants.items[2].name, "c");
    assert_slice(settings->tenants.items[3].name, "d");
    assert_slice(settings->tenants.items[3].hosts.items[0], "d.example");
    settings_free(settings);
    conf_report_free(report);
    free(bytes);
    free(again);
}

/* A byte more, a byte less, a byte else: damaged. */
static void test_damaged_bundles(void **state)
{
    struct conf_document *document = NULL;
    struct conf_report *report;
    char *bytes, *changed;
    size_t len;
    (void)state;

    bundle_of(&bytes, &len);
    changed = malloc(len + 1);
    assert_non_null(changed);
    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(conf_bundle_read(slice_of(bytes, i), report, &document).code, ERR_CORRUPT);
        memcpy(changed, bytes, len);
        changed[i] ^= 1;
        assert_int_equal(conf_bundle_read(slice_of(changed, len), report, &document).code, ERR_CORRUPT);
    }
    memcpy(changed, bytes, len);
    changed[len] = '\n';
    assert_int_equal(conf_bundle_read(slice_of(changed, len + 1), report, &document).code, ERR_CORRUPT);
    assert_int_equal(report->count, 0);
    conf_report_free(report);
    free(bytes);
    free(changed);
}

/* With a checksum that is right, lengths that are not are found all the same. */
static void test_lying_bundles(void **state)
{
    static const char *const bad[] = {
        "warp-config 1 00000000\n9 0 1\na\nx\n",       "warp-config 1 00000000\n1 0 9\na\nx\n",
        "warp-config 1 00000000\n1 65 1\nax\n",        "warp-config 1 00000000\n1 0 16777217\nax\n",
        "warp-config 1 00000000\n1 0 -1\nax\n",        "warp-config 1 00000000\n1 0 18446744073709551615\nax\n",
        "warp-config 1 00000000\n4097 0 1\nax\n",      "warp-config 1 00000000\n1 0 1\naxx",
        "warp-config 2 00000000\n1 0 1\nax\n",         "warp-config 1 00000000",
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct conf_document *document = NULL;
        struct conf_report *report;
        char *bytes = strdup(bad[i]);
        size_t len = strlen(bytes);

        if (len > 22)
            conf_test_crc(bytes, len);
        assert_int_equal(conf_report_new(&report).code, ERR_NONE);
        assert_int_equal(conf_bundle_read(slice_of(bytes, len), report, &document).code, ERR_CORRUPT);
        conf_report_free(report);
        free(bytes);
    }
}

static void test_text_without_includes(void **state)
{
    struct conf_document *document = NULL;
    struct conf_report *report;
    (void)state;

    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    assert_int_equal(conf_document_parse("body", SLICE("memory: 1g\ninclude: /etc/passwd\n"), report, &document).code, ERR_NONE);
    assert_string_equal(conf_test_message(report), "body:2:1: include: nothing can be included here; write it into this text");
    assert_int_equal(document->file_count, 1);
    conf_document_free(document);
    conf_report_free(report);
}

static void test_tenant_that_is_there(void **state)
{
    struct conf_document *document;
    struct conf_report *report;
    struct settings *settings = NULL;
    (void)state;

    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    document = read_document(report);
    assert_int_equal(conf_document_add_tenant(document, SLICE("b"), "state/tenants/b.json", SLICE("{\"hosts\": \"x.example\"}"), report).code,
                     ERR_NONE);
    assert_int_equal(conf_document_add_tenant(document, SLICE("e"), "state/tenants/e.json", SLICE("{\"hosts\": "), report).code, ERR_INVALID);
    assert_int_equal(conf_document_add_tenant(document, SLICE("f"), "state/tenants/f.json", SLICE(""), report).code, ERR_INVALID);
    assert_int_equal(settings_of_document(0, NULL, NULL, document, report, &settings).code, ERR_INVALID);
    assert_string_equal(conf_test_message(report),
                        "state/tenants/b.json:1:1: tenants.b: is here twice, first in t/b.yaml:3:3; write it once\n"
                        "state/tenants/e.json:2:1: yaml: did not find expected node content; check quotes, brackets and the indentation\n"
                        "state/tenants/f.json:1:1: tenants.f: has no value; write a mapping, such as hosts: www.example");
    conf_report_free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_again),        cmocka_unit_test(test_damaged_bundles),
        cmocka_unit_test(test_lying_bundles),         cmocka_unit_test(test_text_without_includes),
        cmocka_unit_test(test_tenant_that_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
