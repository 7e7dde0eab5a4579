/* A whole configuration into settings; one tenant alone; the memory it implies. */
#include "conf_test.h"

#include <stdio.h>

static void test_everything(void **state)
{
    struct conf_test test = {0};
    const struct conf_tenant *shop, *blog;
    const struct conf_rule *rule;
    (void)state;

    conf_test_file = "origin: o\n"
                     "default-tenant: blog\n"
                     "trusted-proxies: 10.0.0.0/8\n"
                     "state-dir: /srv/state\n"
                     "tenants:\n"
                     "  shop:\n"
                     "    hosts: [shop.example, '*.shop.example']\n"
                     "    certificates: {cert: a.crt, key: a.key}\n"
                     "    origins: [http://a, http://b]\n"
                     "    guaranteed: 20%\n"
                     "    rules:\n"
                     "      - name: first\n"
                     "        match: {path: /a/**, method: [GET, HEAD], client: 192.0.2.0/24}\n"
                     "        cache: false\n"
                     "        ttl: 0s\n"
                     "      - {name: second}\n"
                     "  blog: {hosts: blog.example, rules: {ttl: 1m}}\n";
    assert_read(&test, WORDS("--config=warp.yaml"), NO_WORDS);
    assert_slice(test.settings->default_tenant, "blog");
    assert_string_equal(test.config.state_dir, "/srv/state");
    assert_int_equal(test.settings->trusted_proxies.count, 1);
    assert_int_equal(test.settings->tenants.count, 2);
    shop = &test.settings->tenants.items[0];
    blog = &test.settings->tenants.items[1];
    assert_slice(shop->name, "shop");
    assert_int_equal(shop->mark.line, 6);
    assert_int_equal(shop->hosts.count, 2);
    assert_slice(shop->certificates.items[0].key, "a.key");
    assert_int_equal(shop->origins.count, 2);
    assert_int_equal(shop->guaranteed_percent, 20);
    assert_true(CONF_GIVEN(shop->given, CONF_TENANT_rules));
    assert_false(CONF_GIVEN(shop->given, CONF_TENANT_rate));
    assert_int_equal(shop->rules.count, 2);
    rule = &shop->rules.items[0];
    assert_slice(rule->name, "first");
    assert_int_equal(rule->mark.line, 12);
    assert_int_equal(rule->match.methods.count, 2);
    assert_int_equal(rule->match.clients.items[0].bits, 120);
    assert_false(rule->cache);
    assert_int_equal(rule->ttl_ms, 0);
    assert_true(CONF_GIVEN(rule->given, CONF_RULE_ttl_ms));
    assert_false(CONF_GIVEN(rule->given, CONF_RULE_sie_ms));
    /* what a rule does not say has its default */
    rule = &shop->rules.items[1];
    assert_int_equal(rule->given, UINT64_C(1) << CONF_RULE_name);
    assert_true(rule->cache);
    assert_int_equal(rule->sie_ms, 86400000);
    assert_int_equal(rule->redirect.status, 301);
    assert_int_equal(blog->rules.items[0].name.len, 0);
    assert_int_equal(blog->rules.items[0].ttl_ms, 60000);
    conf_test_done(&test);
}

static void test_nothing(void **state)
{
    struct conf_test test = {0};
    (void)state;

    assert_read(&test, NO_WORDS, NO_WORDS);
    assert_int_equal(test.settings->tenants.count, 0);
    assert_int_equal(test.settings->default_tenant.len, 0);
    assert_non_null(test.settings->document);
    conf_test_done(&test);
}

static void test_unknown_settings(void **state)
{
    (void)state;
    assert_file("origin: o\ntenants:\n  t:\n    hosts: t\n    rules:\n      - tttl: 1s\n        matsch: {}\n        zzz: 1\n        key: {q: 1}\n",
                "warp.yaml:6:9: tenants.t.rules[0].tttl: unknown setting; did you mean ttl?\n"
                "warp.yaml:7:9: tenants.t.rules[0].matsch: unknown setting; did you mean match?\n"
                "warp.yaml:8:9: tenants.t.rules[0].zzz: unknown setting; what there is: name, match, allow, deny, rate, rate-burst, client-rate, "
                "client-rate-burst, redirect, cache, ttl, ttl-status, ttl-override, stale-while-revalidate ...\n"
                "warp.yaml:9:15: tenants.t.rules[0].key.q: unknown setting; what there is: query-keep, query-drop, query-sort, cookies, fields, device");
    assert_file("tenant: {}\n", "warp.yaml:1:1: tenant: unknown setting; did you mean tenants?");
}

static void test_shapes(void **state)
{
    (void)state;
    assert_file("origin: o\ntenants:\n  t: [1]\n", "warp.yaml:3:6: tenants.t: is a list; write a mapping: names of tenants, and below each what it has");
    assert_file("origin: o\ntenants:\n  t:\n", "warp.yaml:3:5: tenants.t: has no value; write names of tenants, and below each what it has, or leave the line out");
    assert_file("origin: o\ntenants: {t: {hosts: {a: b}}}\n", "warp.yaml:2:22: tenants.t.hosts: is a mapping; write one value: a host without a port: "
                "www.example, *.example for every name below, 192.0.2.1 or [2001:db8::1]");
    assert_file("origin: o\ntenants: {t: {hosts: [a, ~]}}\n", "warp.yaml:2:26: tenants.t.hosts[1]: has no value; write a host without a port: "
                "www.example, *.example for every name below, 192.0.2.1 or [2001:db8::1], or leave the line out");
    assert_file("origin: o\ntenants: {t: {hosts: a, rules: [x]}}\n",
                "warp.yaml:2:33: tenants.t.rules[0]: is one value; write a mapping: rules, each with what it says, such as ttl: 1h");
}

/* Of hosts and rules a thousand, of what each request is compared with 64. */
static void test_lists_are_bounded(void **state)
{
    static char text[32768];
    char *at = text + sprintf(text, "origin: o\ntenants: {t: {hosts: [");
    (void)state;

    for (unsigned i = 0; i < CONF_LIST_MAX; i++)
        at += sprintf(at, "h%u,", i);
    strcpy(at, "]}}");
    assert_file(text, "");
    strcpy(at, "a]}}");
    assert_file(text, "warp.yaml:2:22: tenants.t.hosts: has 1001 entries; write at most 1000");
    at = text + sprintf(text, "origin: o\ntenants: {t: {hosts: a, rules: {key: {fields: [");
    for (unsigned i = 0; i <= CONF_FEW_MAX; i++)
        at += sprintf(at, "f%u,", i);
    strcpy(at, "]}}}}");
    assert_file(text, "warp.yaml:2:47: tenants.t.rules.key.fields: has 65 entries; write at most 64");
}

/* The limit of memory is a problem of the configuration, at whatever allocation it is reached. */
static void test_memory_is_bounded(void **state)
{
    static const char text[] = "origin: o\ntenants:\n  t: {hosts: [T.example, b.example], rules: [{key: {fields: A}}, {match: {path: /x}}]}\n";
    bool is_fine = false;
    (void)state;

    for (uint32_t room = 0; !is_fine; room += 64) {
        struct conf_document *document = NULL;
        struct settings *settings = NULL;
        struct conf_report *report;
        err result;

        assert_int_equal(conf_report_new(&report).code, ERR_NONE);
        assert_int_equal(conf_document_parse("warp.yaml", slice_str(text), report, &document).code, ERR_NONE);
        document->arena->end = document->arena->at; /* nothing is left of what it has */
        document->arena->limit_bytes = document->arena->taken_bytes + room;
        result = settings_of_document(0, NULL, NULL, document, report, &settings);
        is_fine = err_is_ok(result);
        if (!is_fine) {
            assert_int_equal(result.code, ERR_INVALID);
            assert_string_equal(conf_test_message(report), "warp.yaml:1:1: yaml: all settings together take more than 1 GiB of memory; write less");
        }
        settings_free(settings);
        conf_report_free(report);
        assert_true(room > 0 || !is_fine);
        assert_true(room < 65536);
    }
}

/* ---- one tenant ---------------------------------------------------------------------------------------------- */

static void assert_tenant(const char *text, const char *expected)
{
    struct conf_document *document = NULL;
    struct conf_tenant *tenant = NULL;
    struct conf_report *report;
    err result;

    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    result = settings_tenant_read(SLICE("shop"), "body", slice_str(text), report, &document, &tenant);
    assert_string_equal(conf_test_message(report), expected);
    assert_int_equal(result.code, expected[0] == '\0' ? ERR_NONE : ERR_INVALID);
    if (err_is_ok(result)) {
        assert_slice(tenant->name, "shop");
        assert_slice(tenant->hosts.items[0], "shop.example");
    }
    conf_document_free(document);
    conf_report_free(report);
}

static void test_tenant_alone(void **state)
{
    (void)state;
    assert_tenant("{\"hosts\": [\"shop.example\"], \"rules\": [{\"ttl\": \"1h\", \"ttl-status\": {\"404\": \"1s\"}}], \"requests\": 5}", "");
    assert_tenant("{\n\t\"hosts\": \"Shop.Example\",\n\t\"origins\": \"a:1\",\n\t\"origin-http1\": true\n}", "");
    assert_tenant("hosts: shop.example\n", "");
    assert_tenant("", "body:1:1: tenants.shop: has no value; write a mapping, such as hosts: www.example");
    assert_tenant("null", "body:1:1: tenants.shop: has no value; write names of tenants, and below each what it has, or leave the line out");
    assert_tenant("[1]", "body:1:1: tenants.shop: is a list; write a mapping: names of tenants, and below each what it has");
    assert_tenant("{\"hosts\": [1, 1}", "body:1:16: yaml: did not find expected ',' or ']'; check quotes, brackets and the indentation");
    assert_tenant("hosts: shop.example\ninclude: /etc/passwd\n",
                  "body:2:1: tenants.shop.include: unknown setting; what there is: hosts, certificates, origins, origin-host, origin-ca, origin-cert, "
                  "origin-key, origin-name, origin-insecure, origin-http1, origin-concurrency, requests ...");
    assert_tenant("hosts: shop.example\nrate-burst: 1\nrules: {redirect: {to: x}}\n",
                  "body:2:1: tenants.shop.rate-burst: is there without rate; write rate: as well\n"
                  "body:3:8: tenants.shop.rules[0].redirect.to: is neither a URL nor an absolute path; write https://www.example{path} or /new{path}");
}

static void test_name_of_a_tenant(void **state)
{
    struct conf_document *document = NULL;
    struct conf_tenant *tenant = NULL;
    struct conf_report *report;
    (void)state;

    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    assert_int_equal(settings_tenant_read(SLICE("../shop"), "body", SLICE("hosts: a"), report, &document, &tenant).code, ERR_INVALID);
    assert_string_equal(conf_test_message(report), "body:1:1: tenants.../shop: \"../shop\" is not a name; write 1 to 64 letters, digits, -, _ or ., "
                                                   "beginning with a letter or digit");
    assert_null(document);
    conf_report_free(report);
    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    assert_int_equal(settings_tenant_read(SLICE("a\0b"), "body", SLICE("hosts: a"), report, &document, &tenant).code, ERR_INVALID);
    assert_string_equal(conf_test_message(report), "body:1:1: tenants.a\\x00b: \"a\\x00b\" holds a control character; write it without");
    conf_report_free(report);
}

/* ---- memory -------------------------------------------------------------------------------------------------- */

static void test_memory(void **state)
{
    struct settings_memory memory;
    struct conf_test test = {0};
    (void)state;

    assert_read(&test, WORDS("--cache-size=1g"), NO_WORDS);
    settings_memory(test.settings, 2, 1000, 1u << 20, &memory);
    assert_int_equal(memory.ram_tier, 1u << 20);
    assert_int_equal(memory.disk_index, (1u << 20) * 13);
    assert_int_equal(memory.connections, 1000 * 16384);
    assert_int_equal(memory.total, memory.ram_tier + memory.disk_index + memory.connections + memory.tenants + memory.fixed);
    settings_memory(test.settings, 2, 1000, 0, &memory);
    assert_int_equal(memory.ram_tier, 16u << 20); /* write buffers */
    assert_read(&test, WORDS("--cache-dir=none"), NO_WORDS);
    settings_memory(test.settings, 2, 1000, 0, &memory);
    assert_int_equal(memory.disk_index, 0);
    assert_int_equal(memory.ram_tier, 0);
    conf_test_done(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),        cmocka_unit_test(test_nothing),      cmocka_unit_test(test_unknown_settings),
        cmocka_unit_test(test_shapes),            cmocka_unit_test(test_lists_are_bounded), cmocka_unit_test(test_memory_is_bounded), cmocka_unit_test(test_tenant_alone),
        cmocka_unit_test(test_name_of_a_tenant), cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
