/* What the owner of a tenant may change of it. */
#include "tenant/owner.h"

#include "conf/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct settings *settings;

static struct settings *read_settings(const char *text)
{
    struct conf_document *document;
    struct conf_report *report;
    struct settings *made = NULL;

    assert_true(err_is_ok(conf_report_new(&report)));
    assert_true(err_is_ok(conf_document_parse("x.yaml", slice_str(text), report, &document)));
    if (!err_is_ok(settings_of_document(0, NULL, NULL, document, report, &made)))
        fail_msg("%s", conf_report_text(report));
    conf_report_free(report);
    return made;
}

/* What is refused of the tenant's new text; "" where nothing is. The caller's to free. */
static char *refused(const char *tenant, const char *text)
{
    struct conf_document *document;
    struct conf_report *report;
    struct conf_tenant *after;
    char *lines = NULL;

    assert_true(err_is_ok(conf_report_new(&report)));
    if (!err_is_ok(settings_tenant_read(slice_str(tenant), "put", slice_str(text), report, &document, &after)))
        fail_msg("%s", conf_report_text(report));
    assert_true(err_is_ok(owner_check(settings, after, &lines)));
    conf_document_free(document);
    conf_report_free(report);
    return lines != NULL ? lines : strdup("");
}

static void passes(const char *tenant, const char *text)
{
    char *lines = refused(tenant, text);

    if (lines[0] != '\0')
        fail_msg("%s: %s", text, lines);
    free(lines);
}

/* One line, which begins so. Nobody else's name is in it. */
static void fails(const char *tenant, const char *text, const char *begin)
{
    char *lines = refused(tenant, text);

    if (strncmp(lines, begin, strlen(begin)) != 0 || strchr(lines, '\n') != lines + strlen(lines) - 1)
        fail_msg("%s: \"%s\", not one line %s", text, lines, begin);
    assert_null(strstr(lines, "rival"));
    free(lines);
}

static const char start[] = "origin: http://127.0.0.1:1\n"
                            "default-tenant: rest\n"
                            "tenants:\n"
                            "  shop:\n"
                            "    hosts: [shop.test, '*.shop.test', '*.deep.far.test']\n"
                            "    origins: [http://10.0.0.1, http://10.0.0.2]\n"
                            "    certificates: {cert: /a.crt, key: /a.key}\n"
                            "    guaranteed: 10%\n"
                            "    memory-hard: 2g\n"
                            "    rate: 100/s\n"
                            "    max-object-size: 10m\n"
                            "    rules: [{match: {path: /big/**}, max-object-size: 1g, ttl: 1h}]\n"
                            "  rival:\n"
                            "    hosts: [rival.test, '*.rival.test', '*.r.shop.test', x.s.shop.test, '*.w.shop.test']\n"
                            "  rest: {}\n";

/* All that the operator gave it, but hosts and what is said of them. */
#define HOSTS(hosts)                                                                                                   \
    "{hosts: " hosts ", origins: [http://10.0.0.1, http://10.0.0.2], certificates: [{cert: /a.crt, key: /a.key}], guaranteed: 10%, " \
    "memory-hard: 2048m, rate: 100/s, max-object-size: 10m, origin-http1: false}"
#define OWN "shop.test, '*.shop.test', '*.deep.far.test'"

static void test_hosts(void **state)
{
    (void)state;
    passes("shop", HOSTS("[" OWN "]"));
    passes("shop", HOSTS("['*.deep.far.test', SHOP.test]")); /* another order, and one less */
    passes("shop", HOSTS("[" OWN ", a.shop.test, b.a.shop.test, '*.c.shop.test', x.deep.far.test]"));
    passes("shop", HOSTS("[" OWN ", s.shop.test, r.shop.test]")); /* the names above those of another */
    passes("shop", HOSTS("[a.shop.test]"));                        /* the wildcard goes in the same step */

    fails("shop", HOSTS("[" OWN ", new.test]"), "tenants.shop.hosts[3]: ");        /* the default tenant's, as all unknown ones */
    fails("shop", HOSTS("[" OWN ", rival.test]"), "tenants.shop.hosts[3]: ");      /* another's */
    fails("shop", HOSTS("[" OWN ", a.rival.test]"), "tenants.shop.hosts[3]: ");    /* below another's wildcard */
    fails("shop", HOSTS("[" OWN ", '*.test']"), "tenants.shop.hosts[3]: ");        /* above everything */
    fails("shop", HOSTS("[" OWN ", '*.far.test']"), "tenants.shop.hosts[3]: ");    /* above its own */
    fails("shop", HOSTS("[" OWN ", deep.far.test]"), "tenants.shop.hosts[3]: ");   /* a wildcard is not what it is below */
    fails("shop", HOSTS("[" OWN ", '*.rival.test']"), "tenants.shop.hosts[3]: ");
    fails("shop", HOSTS("[" OWN ", '*.b.rival.test']"), "tenants.shop.hosts[3]: ");
    fails("shop", HOSTS("[" OWN ", notshop.test]"), "tenants.shop.hosts[3]: ");
    fails("shop", HOSTS("[" OWN ", 192.0.2.1]"), "tenants.shop.hosts[3]: ");
    fails("shop", HOSTS("[" OWN ", '[::1]']"), "tenants.shop.hosts[3]: ");

    /* below its own wildcard, where another has something */
    fails("shop", HOSTS("[" OWN ", x.s.shop.test]"), "tenants.shop.hosts[3]: ");
    fails("shop", HOSTS("[" OWN ", '*.s.shop.test']"), "tenants.shop.hosts[3]: "); /* covers it */
    fails("shop", HOSTS("[" OWN ", a.r.shop.test]"), "tenants.shop.hosts[3]: ");   /* below it */
    fails("shop", HOSTS("[" OWN ", '*.a.r.shop.test']"), "tenants.shop.hosts[3]: ");
    fails("shop", HOSTS("[" OWN ", '*.r.shop.test']"), "tenants.shop.hosts[3]: ");

    fails("shop", HOSTS("[" OWN ", shop.test]"), "tenants.shop.hosts[3]: is here twice");
    fails("shop", "{origins: [http://10.0.0.1, http://10.0.0.2], certificates: [{cert: /a.crt, key: /a.key}], guaranteed: 10%, "
                  "memory-hard: 2g, rate: 100/s, max-object-size: 10m}", "tenants.shop.hosts: ");
    fails("rest", "{hosts: [rest.test]}", "tenants.rest.hosts[0]: "); /* all unknown names are its own: the operator says so, not it */
    fails("new", "{hosts: [new.test]}", "tenants.new: only the operator makes tenants");
}

/* Two wildcards over the same name of another: both are refused. */
static void test_wildcards_over_each_other(void **state)
{
    char *lines;
    (void)state;

    settings_free(settings);
    settings = read_settings("origin: http://127.0.0.1:1\ntenants: {a: {hosts: '*.a.test'}, b: {hosts: x.y.z.a.test}}\n");
    passes("a", "{hosts: ['*.a.test', '*.x.a.test', y.z.a.test]}");
    lines = refused("a", "{hosts: ['*.a.test', '*.z.a.test', '*.y.z.a.test', '*.x.y.z.a.test']}");
    assert_non_null(strstr(lines, "hosts[1]"));
    assert_non_null(strstr(lines, "hosts[2]"));
    assert_null(strstr(lines, "hosts[3]")); /* below the name, not above it */
    free(lines);
}

static void test_what_is_the_operators(void **state)
{
    static const struct {
        const char *from, *to, *setting; /* to takes the place of from */
    } changes[] = {
        {"http://10.0.0.2", "http://10.0.0.3", "origins"},
        {", http://10.0.0.2", "", "origins"},
        {"http://10.0.0.1, http://10.0.0.2", "http://10.0.0.2, http://10.0.0.1", "origins"},
        {"/a.crt", "/b.crt", "certificates"},
        {"10%", "11%", "guaranteed"},
        {"guaranteed: 10%, ", "", "guaranteed"},
        {"2048m", "50%", "memory-hard"},
        {"100/s", "200/s", "rate"},
        {"100/s", "1/s", "rate"},
        {"10m", "11m", "max-object-size"},
        {", max-object-size: 10m", "", "max-object-size"},
        {"false}", "true}", "origin-http1"},
        {"false}", "false, origin-host: admin.internal}", "origin-host"},
        {"false}", "false, origin-ca: /etc/shadow}", "origin-ca"},
        {"false}", "false, origin-name: x}", "origin-name"},
        {"false}", "false, origin-insecure: true}", "origin-insecure"},
        {"false}", "false, origin-concurrency: 5}", "origin-concurrency"},
        {"false}", "false, requests: 5}", "requests"},
        {"false}", "false, rate-burst: 5}", "rate-burst"},
        {"false}", "false, client-rate: 5/s}", "client-rate"},
        {"false}", "false, memory-soft: 1g}", "memory-soft"},
        {"false}", "false, disk-soft: 1g}", "disk-soft"},
        {"false}", "false, disk-hard: 1g}", "disk-hard"},
    };
    const char *same = HOSTS("[" OWN "]");
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        const char *at = strstr(same, changes[i].from);
        char text[1024], where[64];

        assert_non_null(at);
        snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - same), same, changes[i].to, at + strlen(changes[i].from));
        snprintf(where, sizeof(where), "tenants.shop.%s: only the operator", changes[i].setting);
        fails("shop", text, where);
    }
}

#define RULES(rules)                                                                                                   \
    "{hosts: shop.test, origins: [http://10.0.0.1, http://10.0.0.2], certificates: [{cert: /a.crt, key: /a.key}], guaranteed: 10%, " \
    "memory-hard: 2g, rate: 100/s, max-object-size: 10m, rules: [" rules "]}"

static void test_rules_are_the_owners(void **state)
{
    (void)state;
    passes("shop", RULES("{ttl: 5m}, {match: {cookie: {a: '*'}}, cache: false}, {redirect: {to: /x}, match: {path: /y}}"));
    passes("shop", RULES("{deny: 10.0.0.0/8, client-rate: 5/s, request-fields: {set: {X-Key: secret}}, ttl-status: {404: 1s}}"));
    passes("shop", RULES("{max-object-size: 1m}, {max-object-size: 10m, ttl: 1s}"));
    passes("shop", RULES("{ttl: 1s}, {ttl: 60m, max-object-size: 1024m, match: {path: /big/**}}")); /* what was there, elsewhere */
    fails("shop", RULES("{max-object-size: 11m}"), "tenants.shop.rules[0].max-object-size: ");
    fails("shop", RULES("{ttl: 1s}, {match: {path: /**}, max-object-size: 1g, ttl: 1h}"), "tenants.shop.rules[1].max-object-size: ");
    fails("shop", RULES("{match: {path: /big/**}, max-object-size: 1g, ttl: 1h, cache: true}"), "tenants.shop.rules[0].max-object-size: ");
    passes("rival", "{hosts: rival.test, rules: [{max-object-size: 100g}]}"); /* no limit was given */
}

/* A rule so often, and what is refused of it, or "". */
static void many(const char *rule, unsigned count, const char *begin)
{
    const char *head = RULES(""); /* ends in "]}" */
    size_t len = strlen(head) - 2, room = len + count * (strlen(rule) + 2) + 3;
    char *text = malloc(room), *lines;

    memcpy(text, head, len);
    for (unsigned i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, room - len, "%s%s", i > 0 ? ", " : "", rule);
    snprintf(text + len, room - len, "]}");
    lines = refused("shop", text);
    if (begin[0] == '\0' ? lines[0] != '\0' : strncmp(lines, begin, strlen(begin)) != 0)
        fail_msg("%u times %s: %s", count, rule, lines);
    free(lines);
    free(text);
}

static void test_what_requests_are_held_against(void **state)
{
    (void)state;
    many("{match: {path: /**/a*b/**}, ttl: 1s}", 85, "");
    many("{match: {path: /**/a*b/**}, ttl: 1s}", 86, "tenants.shop.rules: there are 258 patterns that search; an owner writes at most 256\n");
    many("{match: {query: {a: 'x*'}, cookie: {b: c}, field: {d: '*'}}, ttl: 1s}", 51, "");
    many("{match: {query: {a: 'x*'}, cookie: {b: c}, field: {d: '*'}}, ttl: 1s}", 52, "tenants.shop.rules: there are 260 patterns");
    many("{request-fields: {remove: X-A, set: {X-B: c}}, response-fields: {add: {X-C: d}}}", 85, "");
    many("{request-fields: {remove: X-A, set: {X-B: c}}, response-fields: {add: {X-C: d}}}", 86, "tenants.shop.rules: there are 258 edits");
    many("{match: {path: [/a, /b], method: [GET], client: 10.0.0.0/8}, deny: 10.1.0.0/16, allow: 10.0.0.0/8}", 682, "");
    many("{match: {path: [/a, /b], method: [GET], client: 10.0.0.0/8}, deny: 10.1.0.0/16, allow: 10.0.0.0/8}", 683,
         "tenants.shop.rules: there are 4098 paths, methods");
    many("{rate: 1/s, client-rate: 2/m}", 16, "");
    many("{rate: 1/s, client-rate: 2/m}", 17, "tenants.shop.rules: there are 34 rates");
    many("{ttl: 1s}", 1000, "");
}

/* The operator gave it more: it stays, and may become less. */
static void test_more_than_an_owner_writes(void **state)
{
    char text[16384] = "origin: http://127.0.0.1:1\ntenants: {a: {hosts: a.test, rules: [";
    size_t len = strlen(text);
    (void)state;

    for (unsigned i = 0; i < 300; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s{match: {path: /%u*}, ttl: 1s}", i > 0 ? ", " : "", i);
    snprintf(text + len, sizeof(text) - len, "]}}\n");
    settings_free(settings);
    settings = read_settings(text);
    for (unsigned more = 0; more <= 2; more++) {
        len = (size_t)snprintf(text, sizeof(text), "{hosts: a.test, rules: [{ttl: 5s}");
        for (unsigned i = 0; i < 299 + more; i++)
            len += (size_t)snprintf(text + len, sizeof(text) - len, ", {match: {path: /%u*}, ttl: 1s}", i);
        snprintf(text + len, sizeof(text) - len, "]}");
        if (more < 2)
            passes("a", text);
        else
            fails("a", text, "tenants.a.rules: there are 301 patterns");
    }
}

static int begin(void **state)
{
    (void)state;
    settings = read_settings(start);
    return 0;
}

static int end(void **state)
{
    (void)state;
    settings = settings_free(settings);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hosts, begin, end),
        cmocka_unit_test_setup_teardown(test_wildcards_over_each_other, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_the_operators, begin, end),
        cmocka_unit_test_setup_teardown(test_rules_are_the_owners, begin, end),
        cmocka_unit_test_setup_teardown(test_what_requests_are_held_against, begin, end),
        cmocka_unit_test_setup_teardown(test_more_than_an_owner_writes, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
