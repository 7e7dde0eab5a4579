/* What no setting shows alone. */
#include "conf_test.h"

#include <stdio.h>

static char text[65536];

#define T "origin: o\ntenants:\n  t:\n    hosts: t.example\n"

static void test_hosts_are_of_one_tenant(void **state)
{
    (void)state;
    assert_file("origin: o\ntenants:\n  a: {hosts: [x.example, '*.y.example']}\n  b: {hosts: y.example}\n  c: {hosts: '*.x.example'}\n", "");
    assert_file("origin: o\ntenants:\n  a: {hosts: ['*.Y.example', X.example, x.Example]}\n  b: {hosts: [b, '*.y.EXAMPLE']}\n",
                "warp.yaml:3:41: tenants.a.hosts: \"x.example\" is here twice; write it once\n"
                "warp.yaml:4:18: tenants.b.hosts: \"*.y.example\" belongs to tenant a already (warp.yaml:3:3); a host is of one tenant");
    assert_file("origin: o\ntenants:\n  a: {hosts: '[::1]'}\n  b: {hosts: '[0::1]'}\n",
                "warp.yaml:4:14: tenants.b.hosts: \"[::1]\" belongs to tenant a already (warp.yaml:3:3); a host is of one tenant");
}

static void test_guarantees(void **state)
{
    (void)state;
    assert_file("origin: o\ntenants:\n  a: {hosts: a, guaranteed: 35%}\n  b: {hosts: b, guaranteed: 35%}\n", "");
    assert_file("origin: o\ntenants:\n  a: {hosts: a, guaranteed: 35%}\n  b: {hosts: b, guaranteed: 36%}\n  c: {hosts: c, guaranteed: 1%}\n",
                "warp.yaml:4:17: tenants.b.guaranteed: all tenants together are guaranteed 72%; write at most 70% in all");
}

static void test_shares(void **state)
{
    (void)state;
    assert_file(T "    memory-soft: 10%\n    memory-hard: 10%\n", "");
    assert_file(T "    memory-soft: 50%\n    memory-hard: 1m\n", ""); /* not known before the tiers are */
    assert_file(T "    memory-soft: 11%\n    memory-hard: 10%\n    disk-soft: 2g\n    disk-hard: 1g\n",
                "warp.yaml:5:5: tenants.t.memory-soft: is above memory-hard; write less, or leave one of them out\n"
                "warp.yaml:7:5: tenants.t.disk-soft: is above disk-hard; write less, or leave one of them out");
    assert_file(T "    guaranteed: 20%\n    memory-hard: 10%\n",
                "warp.yaml:6:5: tenants.t.memory-hard: is below what is guaranteed (20%); write more, or guarantee less");
}

static void test_origins(void **state)
{
    (void)state;
    assert_file("tenants:\n  a: {hosts: a, origins: x}\n  b: {hosts: b}\n",
                "warp.yaml:3:3: tenants.b.origins: there are none, and no origin at the top either; write one of them: http://host:port or https://host");
    /* one that is wrong is no missing one */
    assert_file("tenants:\n  a: {hosts: a, origins: 'a b'}\n",
                "warp.yaml:2:26: tenants.a.origins: \"a b\" is not an origin; write http://host:port, https://host, h2c://host:port or host:port");
    conf_test_file = "tenants: {a: {hosts: a}}\n";
    struct conf_test test = {0};
    assert_read(&test, WORDS("--config=warp.yaml", "--origin=http://o"), NO_WORDS);
    conf_test_done(&test);
    assert_file(T "    origins: o\n    origin-cert: c.pem\n",
                "warp.yaml:6:5: tenants.t.origin-cert: is there without origin-key; write origin-key: as well");
    /* said of origins that are not the tenant's */
    assert_file(T "    origin-host: h\n", "warp.yaml:5:5: tenants.t.origin-host: is there without origins; write origins: as well");
}

static void test_default_tenant(void **state)
{
    (void)state;
    assert_file("default-tenant: t\n" T, "");
    assert_file("origin: o\ndefault-tenant: all\ntenants: {all: {}}\n", ""); /* it needs no hosts */
    assert_file("default-tenant: nobody\n" T, "warp.yaml:1:17: default-tenant: there is no tenant of that name; write one of tenants");
    assert_file("default-tenant: shopp\norigin: o\ntenants: {shop: {hosts: a}}\n",
                "warp.yaml:1:17: default-tenant: there is no tenant of that name; did you mean shop?");
    assert_file("origin: o\ndefault-tenant: t\ntenants: {t: [1]}\n",
                "warp.yaml:3:14: tenants.t: is a list; write a mapping: names of tenants, and below each what it has");
    assert_file("origin: o\ndefault-tenant: t\ntenants: &a {t: {hosts: t}}\n",
                "warp.yaml:3:10: tenants: anchors (&name) are not allowed; write the value alone");
    assert_file("default-tenant: t\norigin: o\n", "warp.yaml:1:17: default-tenant: there is no tenant of that name; write one of tenants");
}

static void test_rules(void **state)
{
    (void)state;
    assert_file(T "    rules: [{rate-burst: 1}, {client-rate-burst: 1}, {rate: 1/s, rate-burst: 1}]\n",
                "warp.yaml:5:14: tenants.t.rules[0].rate-burst: is there without rate; write rate: as well\n"
                "warp.yaml:5:31: tenants.t.rules[1].client-rate-burst: is there without client-rate; write client-rate: as well");
    assert_file(T "    rules: {redirect: {to: /}, response-fields: {set: {A: b}}, deny: 10.0.0.0/8, rate: 1/s}\n", "");
    assert_file(T "    rules: {redirect: {to: /}, cache: true}\n",
                "warp.yaml:5:32: tenants.t.rules.cache: is there with redirect, which asks neither cache nor origin; write another rule for it");
    assert_file(T "    rules: {key: {query-keep: a, query-drop: b}}\n",
                "warp.yaml:5:34: tenants.t.rules.key.query-drop: is there with query-keep, which drops all others already; write one of them");
}

static void test_redirects(void **state)
{
    static const char *const fine[] = {"/", "{path}", "/a{path}?{query}", "https://{host}{path}", "http://a/%20"};
    static const char *const wrong[][2] = {
        {"a", "is neither a URL nor an absolute path; write https://www.example{path} or /new{path}"},
        {"javascript:alert(1)", "is neither a URL nor an absolute path; write https://www.example{path} or /new{path}"},
        {"{host}/a", "begins with {host} or {query}; write https:// or / before"},
        {"/{Path}", "has a { that begins nothing known; write {host}, {path} or {query}"},
        {"/{", "has a { that begins nothing known; write {host}, {path} or {query}"},
        {"/a b", "holds what a URL only has encoded; write it as %XX"},
    };
    char expected[256];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(fine); i++) {
        snprintf(text, sizeof(text), T "    rules: [{redirect: {to: '%s'}}]\n", fine[i]);
        assert_file(text, "");
    }
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        snprintf(text, sizeof(text), T "    rules: [{redirect: {to: '%s'}}]\n", wrong[i][0]);
        snprintf(expected, sizeof(expected), "warp.yaml:5:13: tenants.t.rules[0].redirect.to: %s", wrong[i][1]);
        assert_file(text, expected);
    }
}

/* What could not be read is not missing. */
static void test_a_cut_text_lacks_nothing(void **state)
{
    (void)state;
    assert_file("default-tenant: shop\ninclude: gone.yaml\ntenants:\n  a: {}\n",
                "warp.yaml:2:10: include: \"gone.yaml\" cannot be read: is not there; name plain files of at most 16 MiB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts_are_of_one_tenant), cmocka_unit_test(test_guarantees), cmocka_unit_test(test_shares),
        cmocka_unit_test(test_origins),                 cmocka_unit_test(test_default_tenant), cmocka_unit_test(test_rules),
        cmocka_unit_test(test_redirects),  cmocka_unit_test(test_a_cut_text_lacks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
