/* What each kind of value takes, and what it does not. */
#include "value_test.h"

static void test_numbers(void **state)
{
    (void)state;
    assert_int_equal(tenant_with("requests: 4294967295")->requests, UINT32_MAX);
    assert_int_equal(tenant_with("max-object-size: 1T")->max_object_bytes, UINT64_C(1) << 40);
    assert_int_equal(tenant_with("guaranteed: 70%")->guaranteed_percent, 70);
    assert_int_equal(tenant_with("guaranteed: 7%")->guaranteed_percent, 7);
    refuse("guaranteed: 30", "guaranteed: \"30\" is a number and no percentage; write 30%");
    refuse("guaranteed: 0", "write 0%");
    refuse("rules: [{ttl: 1s}, {}]", "rules[1]: is empty; write ");
    refuse("rules: {}", "is empty; write ");
    refuse("rules: {match: {}}", "rules.match: is empty; write ");
    refuse("rules: {key: {}}", "is empty; write ");
    refuse("rules: {request-fields: {}}", "is empty; write ");
    assert_true(tenant_with("origin-http1: true")->origin_http1);
    assert_int_equal(rule_with("ttl: 1w")->ttl_ms, 604800000);
    assert_int_equal(rule_with("rate: 5/s, rate-burst: 9")->rate_burst, 9);
    refuse("requests: 4294967296", "\"4294967296\" is not such a number");
    refuse("requests: -1", "\"-1\" is not such a number");
    refuse("requests: 0x10", "is not such a number");
    refuse("requests: 1.5", "is not such a number");
    refuse("rate: 1/s\n    rate-burst: 0", "\"0\" is not such a number; write digits only, from 1 to 4294967295");
    refuse("guaranteed: 101", "is not from 0% to 100%");
    refuse("guaranteed: 5%%", "is not from 0% to 100%");
    refuse("max-object-size: 1kb", "is not a size");
    refuse("origin-http1: yes", "is neither; write true or false");
    refuse("rules: {ttl: 1}", "is not a time");
    refuse("rules: {ttl: -1s}", "is not a time");
}

static void test_shares(void **state)
{
    const struct conf_tenant *tenant = tenant_with("memory-soft: 10%\n    memory-hard: 100%\n    disk-soft: 1g\n    disk-hard: 2g");
    (void)state;

    assert_int_equal(tenant->memory_soft.percent, 10);
    assert_int_equal(tenant->memory_soft.bytes, 0);
    assert_true(tenant->memory_soft.is_given);
    assert_int_equal(tenant->memory_hard.percent, 100);
    assert_int_equal(tenant->disk_soft.bytes, 1u << 30);
    assert_int_equal(tenant->disk_soft.percent, 0);
    assert_false(tenant_with("requests: 1")->memory_soft.is_given);
    refuse("memory-soft: 0%", "is nothing; write 1% or more, or a size");
    refuse("memory-soft: 101%", "is not a share");
    refuse("memory-soft: '%'", "is not a share");
    refuse("memory-soft: half", "is not a share");
}

static void test_rates(void **state)
{
    (void)state;
    assert_int_equal(tenant_with("rate: 100/s")->rate.requests, 100);
    assert_int_equal(test.settings->tenants.items[0].rate.per_s, 1);
    assert_int_equal(tenant_with("client-rate: 20/m")->client_rate.per_s, 60);
    assert_int_equal(tenant_with("client-rate: 20/h")->client_rate.per_s, 3600);
    assert_int_equal(tenant_with("requests: 1")->rate.per_s, 0);
    refuse("rate: 0/s", "is not a rate");
    refuse("rate: 1/d", "is not a rate");
    refuse("rate: /s", "is not a rate");
    refuse("rate: 1/", "is not a rate");
    refuse("rate: 1/s/s", "is not a rate");
    refuse("rate: 4294967296/s", "is not a rate");
}

static void test_texts(void **state)
{
    char longest[8 + 4096 + 4];
    (void)state;

    assert_slice(tenant_with("origin-host: \"a b\"")->origin_host, "a b");
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "origin-host: ", 13);
    longest[sizeof(longest) - 1] = '\0';
    tenant_with(longest);
    refuse("origin-host: \"\"", "is empty; write something, or leave the setting out");
    refuse("origin-host: \"a\\nb\"", "holds a control character; write it without");
    refuse("origin-host: \"a\\0b\"", "\"a\\x00b\" holds a control character");
    refuse("origin-host:", "has no value; write a text, or leave the line out");
    refuse("origin-host: [a]", "is a list; write one value: a text");
    refuse("origin-host: {a: b}", "is a mapping; write one value: a text");
}

static void test_names(void **state)
{
    char name[80] = "rules: {name: ";
    (void)state;

    assert_slice(rule_with("name: A-b_c.9")->name, "A-b_c.9");
    memset(name + 14, 'a', 64);
    strcpy(name + 78, "}");
    tenant_with(name);
    assert_int_equal(test.settings->tenants.items[0].rules.items[0].name.len, 64);
    refuse("rules: {name: -a}", "is not a name; write 1 to 64 letters");
    refuse("rules: {name: a/b}", "is not a name");
    refuse("rules: {name: ../x}", "is not a name");
    refuse("rules: {name: \"a\\0\"}", "holds a control character");
}

/* Beside the file; an absolute one as it is. */
static void test_files(void **state)
{
    static const struct conf_test_file files[] = {{"d/e/a.yaml", "tenants: {u: {hosts: u.example, origins: o, origin-ca: x/ca.pem}}"},
                                                  {"d/e/b.yaml", "tenants: {v: {hosts: v.example, origins: o, origin-ca: /ca.pem}}"},
                                                  {NULL, NULL}};
    (void)state;

    assert_slice(tenant_with("origin-ca: ca.pem")->origin_ca, "ca.pem");
    conf_test_files = files;
    conf_test_file = "origin: o\ninclude: d/e/*.yaml\n";
    assert_read(&test, WORDS("--config=warp.yaml"), NO_WORDS);
    assert_slice(test.settings->tenants.items[0].origin_ca, "d/e/x/ca.pem");
    assert_slice(test.settings->tenants.items[1].origin_ca, "/ca.pem");
    conf_test_files = NULL;
}

static void test_times(void **state)
{
    const struct conf_rule *rule = rule_with("ttl-status: {404: 10s, 5xx: 1s, 301: 0s}");
    (void)state;

    assert_int_equal(rule->ttl_status.count, 3);
    assert_int_equal(rule->ttl_status.items[0].from, 404);
    assert_int_equal(rule->ttl_status.items[0].to, 404);
    assert_int_equal(rule->ttl_status.items[0].ms, 10000);
    assert_int_equal(rule->ttl_status.items[1].from, 500);
    assert_int_equal(rule->ttl_status.items[1].to, 599);
    refuse("rules: {ttl-status: {1xx: 1s}}", "\"1xx\" is not a status");
    refuse("rules: {ttl-status: {199: 1s}}", "is not a status");
    refuse("rules: {ttl-status: {0404: 1s}}", "is not a status");
    refuse("rules: {ttl-status: {4x4: 1s}}", "is not a status");
    refuse("rules: {ttl-status: {404: 10}}", "rules.ttl-status.404: \"10\" is not a time");
    refuse("rules: {ttl-status: {404: 1s, 404: 2s}}", "is here twice");
    refuse("rules: {ttl-status: {}}", "is empty; write a status or a class of them");
    refuse("rules: {ttl-status: 1s}", "is one value; write a mapping: a status");
}

static void test_words(void **state)
{
    (void)state;
    assert_int_equal(rule_with("set-cookie: drop")->set_cookie, CONF_SET_COOKIE_DROP);
    assert_int_equal(rule_with("set-cookie: never")->set_cookie, CONF_SET_COOKIE_NEVER);
    assert_int_equal(rule_with("ttl: 1s")->set_cookie, CONF_SET_COOKIE_ORIGIN);
    refuse("rules: {set-cookie: Drop}", "is not a policy; write origin, drop or never");
    assert_int_equal(rule_with("redirect: {to: /x, status: 308}")->redirect.status, 308);
    assert_int_equal(rule_with("redirect: {to: /x}")->redirect.status, 301);
    refuse("rules: {redirect: {to: /x, status: 0301}}", "is not the status of a redirect");
    refuse("rules: {redirect: {to: /x, status: 304}}", "is not the status of a redirect");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_shares), cmocka_unit_test(test_rates),
        cmocka_unit_test(test_texts),   cmocka_unit_test(test_names),  cmocka_unit_test(test_files),
        cmocka_unit_test(test_times),   cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
