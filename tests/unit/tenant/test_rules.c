/* What rules say of requests: matching, the cascade, limits, keys, redirects. */
#include "tenant_test.h"

static slice statics[] = {TEXT("/static/**"), TEXT("/**.css")}, admin[] = {TEXT("/admin/**")}, posts[] = {TEXT("POST"), TEXT("PUT")};

static void test_no_rules_cost_nothing(void **state)
{
    struct site site = {0};
    (void)state;

    site_open(&site, NULL, 0);
    const struct policy *policy = ask(&site, "/");
    assert_ptr_equal(policy, &tenants_named(site.tenants, SLICE("shop"))->policy);
    assert_true(policy->verdict == POLICY_GO && policy->cache);
    assert_int_equal(policy_ttl_s(policy, 200), -1);
    assert_int_equal(policy->sie_s, 86400);
    assert_true(policy->max_object_bytes == UINT64_MAX);
    site_close(&site);
}

static void test_matching(void **state)
{
    struct conf_pair query[] = {{TEXT("v"), TEXT("*"), {0}}}, fields[] = {{TEXT("accept"), TEXT("*json*"), {0}}},
                     cookies[] = {{TEXT("sess*"), TEXT("*"), {0}}};
    struct conf_range clients[] = {{.address = {[10] = 0xff, [11] = 0xff, [12] = 11}, .bits = 104}};
    struct conf_rule rules[] = {
        {.name = TEXT("1"), .match.paths = {statics, 2}}, {.name = TEXT("2"), .match.methods = {posts, 2}},
        {.name = TEXT("3"), .match.query = {query, 1}},   {.name = TEXT("4"), .match.fields = {fields, 1}},
        {.name = TEXT("5"), .match.cookies = {cookies, 1}}, {.name = TEXT("6"), .match.clients = {clients, 1}},
        {.name = TEXT("7"), .match = {.paths = {statics, 2}, .query = {query, 1}}}, {.name = TEXT("8")},
    };
    struct site site = {0};
    (void)state;

    site_open(&site, rules, ARRAY_LEN(rules));
    assert_int_equal(ask(&site, "/")->rules[0], 0x80); /* without a match: always */
    assert_int_equal(ask(&site, "/static/x")->rules[0], 0x81);
    assert_int_equal(ask(&site, "/a.css?v=1")->rules[0], 0xc5);
    assert_int_equal(ask(&site, "/a.css?w=1&v")->rules[0], 0xc5);
    assert_int_equal(ask(&site, "/%73tatic/x")->rules[0], 0x81);
    assert_int_equal(ask(&site, "/x/../static/x")->rules[0], 0x81);
    site.request.method_name = SLICE("PUT");
    assert_int_equal(ask(&site, "/")->rules[0], 0x82);
    site.request.method_name = SLICE("GET");
    with(&site, "Accept", "application/json");
    with(&site, "Cookie", "a=b; session=1");
    assert_int_equal(ask(&site, "/")->rules[0], 0x98);
    site.client.address[12] = 11;
    assert_int_equal(ask(&site, "/")->rules[0], 0xb8);
    site.client.is_local = true;
    assert_int_equal(ask(&site, "/")->rules[0], 0x98);
    site_close(&site);
}

static void test_a_later_rule_replaces_what_it_says(void **state)
{
    struct conf_status_time times[] = {{404, 404, 10000}, {400, 499, 5000}}, less[] = {{500, 599, 1000}};
    struct conf_rule rules[] = {
        {.name = TEXT("1"), .given = GIVEN(ttl_ms) | GIVEN(ttl_status) | GIVEN(swr_ms) | GIVEN(is_static), .ttl_ms = 3600000,
         .ttl_status = {times, 2}, .swr_ms = 30000, .is_static = true},
        {.name = TEXT("2"), .match.paths = {statics, 2}, .given = GIVEN(ttl_ms) | GIVEN(ttl_status) | GIVEN(cache), .ttl_ms = 60000,
         .ttl_status = {less, 1}, .cache = true},
        {.name = TEXT("3"), .match.paths = {admin, 1}, .given = GIVEN(cache) | GIVEN(set_cookie) | GIVEN(max_object_bytes),
         .cache = false, .set_cookie = CONF_SET_COOKIE_DROP, .max_object_bytes = 5},
    };
    struct site site = {0};
    const struct policy *policy;
    (void)state;

    site_open(&site, rules, ARRAY_LEN(rules));
    policy = ask(&site, "/");
    assert_int_equal(policy_ttl_s(policy, 200), 3600);
    assert_int_equal(policy_ttl_s(policy, 404), 10); /* the narrowest */
    assert_int_equal(policy_ttl_s(policy, 403), 5);
    assert_int_equal(policy_ttl_s(policy, 302), -1); /* a ttl alone is for what is not an error or a moment's redirect */
    assert_int_equal(policy_ttl_s(policy, 500), -1);
    policy = ask(&site, "/static/a");
    assert_int_equal(policy_ttl_s(policy, 200), 60);
    assert_int_equal(policy_ttl_s(policy, 404), 10); /* the second one says nothing of it */
    assert_int_equal(policy_ttl_s(policy, 503), 1);
    assert_int_equal(policy->swr_s, 30);
    assert_true(policy->is_static && policy->cache);
    policy = ask(&site, "/admin/");
    assert_false(policy->cache);
    assert_int_equal(policy->set_cookie, CONF_SET_COOKIE_DROP);
    assert_true(policy->max_object_bytes == 5);
    site_close(&site);
}

static void test_addresses(void **state)
{
    struct conf_range ten[] = {{.address = {[10] = 0xff, [11] = 0xff, [12] = 10}, .bits = 104}};
    struct conf_rule rules[] = {
        {.name = TEXT("office"), .match.paths = {admin, 1}, .given = GIVEN(allow), .allow = {ten, 1}},
        {.name = TEXT("not-ten"), .match.paths = {statics, 2}, .given = GIVEN(deny), .deny = {ten, 1}},
    };
    struct site site = {0};
    const struct policy *policy;
    (void)state;

    site_open(&site, rules, ARRAY_LEN(rules));
    assert_int_equal(ask(&site, "/admin/x")->verdict, POLICY_GO);
    policy = ask(&site, "/static/x");
    assert_int_equal(policy->verdict, POLICY_DENIED);
    assert_true(slice_eq(policy->rule, SLICE("not-ten")));
    site.client.address[12] = 11;
    policy = ask(&site, "/x/..//%61dmin/x");
    assert_int_equal(policy->verdict, POLICY_DENIED);
    assert_true(slice_eq(policy->rule, SLICE("office")));
    assert_int_equal(ask(&site, "/static/x")->verdict, POLICY_GO);
    site_close(&site);
}

/* Whose address a trusted proxy does not say: whoever shuts somebody out shuts him out. */
static void test_an_unknown_address(void **state)
{
    struct conf_range ten[] = {{.address = {[10] = 0xff, [11] = 0xff, [12] = 10}, .bits = 104}}, all[] = {{.bits = 0}};
    static slice denied[] = {TEXT("/deny")}, allowed[] = {TEXT("/allow")}, inner[] = {TEXT("/inner")}, other[] = {TEXT("/other")};
    struct conf_rule rules[] = {
        {.name = TEXT("deny"), .match.paths = {denied, 1}, .given = GIVEN(deny), .deny = {ten, 1}},
        {.name = TEXT("allow"), .match.paths = {allowed, 1}, .given = GIVEN(allow), .allow = {all, 1}},
        {.name = TEXT("inner"), .match = {.paths = {inner, 1}, .clients = {ten, 1}}, .given = GIVEN(deny), .deny = {ten, 1}},
        {.name = TEXT("other"), .match = {.paths = {other, 1}, .clients = {all, 1}}, .given = GIVEN(cache), .cache = false},
    };
    struct site site = {0};
    (void)state;

    site_open(&site, rules, ARRAY_LEN(rules));
    memset(site.client.address, 0, sizeof(site.client.address));
    site.client.is_unknown = true;
    assert_int_equal(ask(&site, "/deny")->verdict, POLICY_DENIED);
    assert_int_equal(ask(&site, "/allow")->verdict, POLICY_DENIED);
    assert_int_equal(ask(&site, "/inner")->verdict, POLICY_DENIED);
    assert_int_equal(ask(&site, "/")->verdict, POLICY_GO);
    assert_true(ask(&site, "/other")->cache); /* no address is none of any list */
    site_close(&site);
}

#define COSTLY_PATHS 1000u

/* Nothing is known of what comes behind, which may deny: refused, and no limit is counted against. */
static void test_what_costs_too_much_is_refused(void **state)
{
    static char path[7800];
    static slice paths[COSTLY_PATHS];
    struct conf_range all[] = {{.bits = 0}};
    struct conf_rule rules[] = {
        {.name = TEXT("many"), .match.paths = {paths, COSTLY_PATHS}},
        {.name = TEXT("closed"), .given = GIVEN(deny), .deny = {all, 1}},
    };
    struct site site = {.conf = {.client_rate = {1, 60}, .client_rate_burst = 1}};
    const struct policy *policy;
    (void)state;

    for (unsigned i = 0; i < COSTLY_PATHS; i++)
        paths[i] = SLICE("/**a*a*a*a*a*aN*");
    memset(path, 'a', sizeof(path) - 1);
    path[0] = '/';
    site_open(&site, rules, 2);
    for (unsigned i = 0; i < 2; i++) {
        policy = ask(&site, path);
        assert_int_equal(policy->verdict, POLICY_COSTLY);
        assert_true(slice_eq(policy->rule, SLICE("many")));
        assert_int_equal(policy_verdict_status(POLICY_COSTLY), 500);
    }
    assert_int_equal(ask(&site, "/a")->verdict, POLICY_DENIED);
    site_close(&site);
}

/* The same where the steps end while addresses are looked at, for queries, cookies and fields, and between rules. */
static void test_all_that_is_looked_at_costs(void **state)
{
    static struct conf_pair pairs[64];
    static struct conf_range ranges[1000];
    static struct conf_rule rules[1000];
    static char query[4000] = "/?";
    struct arena names;
    struct site site;
    (void)state;

    arena_init(&names, NULL, 0, 0);
    for (unsigned i = 0; i < ARRAY_LEN(pairs); i++)
        pairs[i] = (struct conf_pair){TEXT("n"), TEXT("*x*"), {0}};
    for (unsigned i = 0; i < ARRAY_LEN(ranges); i++)
        ranges[i] = (struct conf_range){.bits = 128};
    memset(query + 2, '&', sizeof(query) - 3);
    for (unsigned kind = 0; kind < 5; kind++) {
        for (unsigned i = 0; i < ARRAY_LEN(rules); i++) {
            struct conf_rule *rule = &rules[i];
            *rule = (struct conf_rule){.name = arena_printf(&names, "%u", i)};
            if (kind == 0)
                *rule = (struct conf_rule){.name = rule->name, .given = GIVEN(deny), .deny = {ranges, ARRAY_LEN(ranges)}};
            else if (kind == 1)
                rule->match.query.items = pairs, rule->match.query.count = 1;
            else if (kind == 2)
                rule->match.cookies.items = pairs, rule->match.cookies.count = 1;
            else if (kind == 3)
                rule->match.fields.items = pairs, rule->match.fields.count = 1;
            else
                rule->match.clients.items = ranges, rule->match.clients.count = ARRAY_LEN(ranges);
        }
        site = (struct site){0};
        site_open(&site, rules, ARRAY_LEN(rules));
        for (unsigned i = 0; kind == 2 && i < 20; i++)
            with(&site, "Cookie", "a; b; c; d; e; f; g; h; i; j; k; l; m; o; p; q; r; s; t; u; v; w; x; y; z; A; B; C; D");
        for (unsigned i = 0; kind == 3 && i < 1100; i++)
            with(&site, "A", "b");
        if (ask(&site, kind == 1 ? query : "/")->verdict != POLICY_COSTLY)
            fail_msg("%u", kind);
        site_close(&site);
    }
    arena_done(&names);
}

/* As many rules as there may be, of the kinds that sites write, and a path longer than theirs. */
static void test_what_sites_write_is_within_bounds(void **state)
{
    static struct conf_rule rules[CONF_LIST_MAX];
    static slice paths[CONF_LIST_MAX];
    struct site site = {0};
    struct arena names;
    (void)state;

    arena_init(&names, NULL, 0, 0);
    for (unsigned i = 0; i < CONF_LIST_MAX; i++) {
        paths[i] = arena_printf(&names, i % 2 == 0 ? "/**/part-%u/**" : "/*/part-%u/*.html", i);
        rules[i] = (struct conf_rule){.name = arena_printf(&names, "%u", i), .match.paths = {&paths[i], 1}};
    }
    site_open(&site, rules, CONF_LIST_MAX);
    assert_int_equal(ask(&site, "/shop/en/part-998/a-category-of-things/another-one-below-it/and-a-page-whose-name-is-long-as-well/index.html")->verdict,
                     POLICY_GO);
    site_close(&site);
    arena_done(&names);
}

static void test_rates(void **state)
{
    struct conf_rule rules[] = {
        {.name = TEXT("slow"), .match.paths = {admin, 1}, .rate = {2, 1}, .rate_burst = 2, .given = GIVEN(rate)},
    };
    struct site site = {.conf = {.client_rate = {3, 60}, .client_rate_burst = 3}};
    const struct policy *policy;
    (void)state;

    site_open(&site, rules, 1);
    assert_int_equal(ask(&site, "/admin/")->verdict, POLICY_GO);
    assert_int_equal(ask(&site, "/admin/")->verdict, POLICY_GO);
    policy = ask(&site, "/admin/");
    assert_int_equal(policy->verdict, POLICY_RATE);
    assert_int_equal(policy->retry_after_s, 1);
    policy = ask(&site, "/");
    assert_int_equal(policy->verdict, POLICY_CLIENT_RATE);
    assert_int_equal(policy->retry_after_s, 20);
    site.client.address[15] = 1; /* another client */
    assert_int_equal(ask(&site, "/")->verdict, POLICY_GO);
    site_close(&site);
}

static void test_requests_at_a_time(void **state)
{
    struct site site = {.conf = {.requests = 2}};
    const struct tenant *tenant;
    (void)state;

    site_open(&site, NULL, 0);
    tenant = tenants_named(site.tenants, SLICE("shop"));
    assert_int_equal(ask(&site, "/")->verdict, POLICY_GO);
    assert_int_equal(ask(&site, "/")->verdict, POLICY_GO);
    assert_int_equal(ask(&site, "/")->verdict, POLICY_BUSY);
    assert_int_equal(tenant_explain(tenant, &site.request, &site.client, &site.arena)->verdict, POLICY_GO); /* counts nothing */
    tenant_leave(tenant);
    assert_int_equal(ask(&site, "/")->verdict, POLICY_GO);
    assert_int_equal(ask(&site, "/")->verdict, POLICY_BUSY);
    site_close(&site);
}

static slice key_cookies[] = {TEXT("lang")}, key_fields[] = {TEXT("X-Country")}, drop[] = {TEXT("utm_*")};

static void test_keys(void **state)
{
    struct conf_rule rules[] = {
        {.name = TEXT("1"), .given = GIVEN(key),
         .key = {.query_drop = {drop, 1}, .cookies = {key_cookies, 1}, .fields = {key_fields, 1}, .device = true}},
    };
    struct site site = {0};
    const struct policy *plain, *other;
    (void)state;

    site_open(&site, rules, 1);
    plain = ask(&site, "/a?utm_x=1&b=2");
    assert_true(slice_eq(plain->target, SLICE("/a?b=2")));
    assert_true(slice_eq(plain->device, SLICE("desktop")));
    assert_null(ask(&site, "/a?b=2")->target.data); /* as it was written */
    with(&site, "Cookie", "x=1; lang=de");
    other = ask(&site, "/a");
    assert_false(slice_eq(plain->key_extra, other->key_extra));
    with(&site, "Cookie", "y=2");
    assert_true(slice_eq(other->key_extra, ask(&site, "/a")->key_extra)); /* not in the key */
    with(&site, "x-country", "at");
    assert_false(slice_eq(other->key_extra, ask(&site, "/a")->key_extra));
    site_close(&site);
}

/* A value that looks like the end of one and the beginning of another. */
static void test_keys_cannot_be_forged(void **state)
{
    static slice two[] = {TEXT("a"), TEXT("b")};
    struct conf_rule rules[] = {{.name = TEXT("1"), .given = GIVEN(key), .key = {.fields = {two, 2}}}};
    struct site one = {0}, both = {0};
    (void)state;

    site_open(&one, rules, 1);
    site_open(&both, rules, 1);
    with(&one, "a", "1fb2");
    with(&both, "a", "1");
    with(&both, "b", "2");
    assert_false(slice_eq(ask(&one, "/")->key_extra, ask(&both, "/")->key_extra));
    site_close(&one);
    site_close(&both);
}

static void test_redirects(void **state)
{
    static const struct {
        const char *to, *target, *location;
    } cases[] = {
        {"https://new.example{path}?{query}", "/a/b?c=d", "https://new.example/a/b?c=d"},
        {"https://new.example{path}?{query}", "/a/b", "https://new.example/a/b"},
        {"https://www.{host}{path}", "/", "https://www.shop.example/"},
        {"{path}", "//evil.example/", "/evil.example/"}, /* a path, not another host */
        {"/fixed", "/x?y", "/fixed"},
        {"/{other}", "/x", "/%7Bother%7D"},
        {"{path}", "/\\evil.example?x=1", "/%5Cevil.example"}, /* browsers take it for a slash */
        {"{path}?{query}", "/a<b>\"`{c}|^d?e=\"\\f", "/a%3Cb%3E%22%60%7Bc%7D%7C%5Ed?e=%22%5Cf"},
        {"{path}", "/a%5Cb%41", "/a%5Cb%41"}, /* what is written so stays */
        {"/a b\tc", "/", "/a%20b%09c"},
        {"{path}", "/\xc3\xbc\x7f", "/%C3%BC%7F"},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct conf_rule rules[] = {
            {.name = TEXT("go"), .given = GIVEN(redirect), .redirect = {.to = slice_str(cases[i].to), .status = 308}}};
        struct site site = {0};
        site_open(&site, rules, 1);
        const struct policy *policy = ask(&site, cases[i].target);
        assert_int_equal(policy->verdict, POLICY_REDIRECT);
        assert_int_equal(policy->redirect_status, 308);
        assert_true(slice_eq(policy->rule, SLICE("go")));
        if (!slice_eq(policy->location, slice_str(cases[i].location)))
            fail_msg("%s: %.*s", cases[i].to, SLICE_ARG(policy->location));
        site_close(&site);
    }
}

static void test_edits_come_in_order(void **state)
{
    struct conf_rule rules[] = {
        {.name = TEXT("1"), .given = GIVEN(request_edit)},
        {.name = TEXT("2"), .match.paths = {admin, 1}, .given = GIVEN(request_edit) | GIVEN(response_edit)},
        {.name = TEXT("3"), .given = GIVEN(response_edit)},
    };
    struct site site = {0};
    unsigned at = 0;
    (void)state;

    site_open(&site, rules, ARRAY_LEN(rules));
    const struct policy *policy = ask(&site, "/admin/");
    assert_ptr_equal(policy_request_edit(policy, &at), &rules[0].request_edit);
    assert_ptr_equal(policy_request_edit(policy, &at), &rules[1].request_edit);
    assert_null(policy_request_edit(policy, &at));
    policy = ask(&site, "/");
    at = 0;
    assert_ptr_equal(policy_response_edit(policy, &at), &rules[2].response_edit);
    assert_null(policy_response_edit(policy, &at));
    site_close(&site);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_rules_cost_nothing),
        cmocka_unit_test(test_matching),
        cmocka_unit_test(test_a_later_rule_replaces_what_it_says),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_an_unknown_address),
        cmocka_unit_test(test_what_costs_too_much_is_refused),
        cmocka_unit_test(test_all_that_is_looked_at_costs),
        cmocka_unit_test(test_what_sites_write_is_within_bounds),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_requests_at_a_time),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_keys_cannot_be_forged),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_edits_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
