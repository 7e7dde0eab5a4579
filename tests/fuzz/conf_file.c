/* A configuration: any bytes give settings or problems, nothing else. As a file, as a tenant alone, and as a bundle; what
 * is fine is the same again when it is kept and read. */
#include "conf/settings.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static slice input;

static err read_input(const char *path, size_t max, char **ret_bytes, size_t *ret_len)
{
    char *copy;

    ENSURE(strcmp(path, "fuzz.yaml") == 0, NOT_FOUND); /* what it includes is not there */
    ENSURE(input.len <= max, LIMIT);
    copy = malloc(input.len + 1);
    ENSURE(copy != NULL, MEMORY);
    if (input.len > 0)
        memcpy(copy, input.data, input.len);
    copy[input.len] = '\0';
    *ret_bytes = copy;
    *ret_len = input.len;
    return ERR_OK;
}

/* Finds nothing but the file itself. */
static err glob_input(const char *pattern, char ***ret_paths)
{
    *ret_paths = calloc(2, sizeof(**ret_paths));
    ENSURE(*ret_paths != NULL, MEMORY);
    if (pattern[0] == '*')
        (*ret_paths)[0] = strdup("fuzz.yaml");
    return ERR_OK;
}

static void report_check(struct conf_report *report, err result)
{
    const char *text = conf_report_text(report);

    INVARIANT(result.code == ERR_NONE || result.code == ERR_INVALID);
    INVARIANT(err_is_ok(result) == (report->count == 0)); /* a refusal says what is wrong */
    INVARIANT((text[0] == '\0') == (report->count == 0));
}

static struct conf_report *report_new(void)
{
    struct conf_report *report = NULL;

    INVARIANT(err_is_ok(conf_report_new(&report)));
    return report;
}

static void check_bundle(const struct settings *settings)
{
    struct conf_report *report = report_new();
    struct conf_document *document = NULL;
    struct settings *again = NULL;
    char *bytes = NULL;
    size_t len = 0;

    INVARIANT(err_is_ok(conf_bundle_write(settings->document, &bytes, &len)));
    INVARIANT(err_is_ok(conf_bundle_read(slice_of(bytes, len), report, &document)));
    INVARIANT(err_is_ok(settings_of_document(0, NULL, NULL, document, report, &again)));
    INVARIANT(again->tenants.count == settings->tenants.count && again->config.cache_size == settings->config.cache_size);
    settings_free(again);
    conf_report_free(report);
    free(bytes);
}

static void check_file(void)
{
    const struct conf_source source = {.read = read_input, .glob = glob_input};
    char *const argv[] = {(char *)"--config=fuzz.yaml"};
    struct conf_report *report = report_new();
    struct settings *settings = NULL;
    err result = settings_read(1, argv, NULL, &source, report, &settings);

    report_check(report, result);
    if (err_is_ok(result))
        check_bundle(settings);
    settings_free(settings);
    conf_report_free(report);
}

static void check_tenant(void)
{
    struct conf_report *report = report_new();
    struct conf_document *document = NULL;
    struct conf_tenant *tenant = NULL;

    report_check(report, settings_tenant_read(SLICE("shop"), "shop.json", input, report, &document, &tenant));
    conf_document_free(document);
    conf_report_free(report);
}

static void check_bytes_of_bundle(void)
{
    struct conf_report *report = report_new();
    struct conf_document *document = NULL;
    err result = conf_bundle_read(input, report, &document);

    INVARIANT(err_is_ok(result) || result.code == ERR_CORRUPT);
    conf_document_free(document);
    conf_report_free(report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = slice_of(data, size);
    check_file();
    check_tenant();
    check_bytes_of_bundle();
    return 0;
}
