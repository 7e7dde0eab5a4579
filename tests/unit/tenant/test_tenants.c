/* Sets of tenants: whose a host is, and what lives across them. */
#include "tenant_test.h"

static slice a_hosts[] = {TEXT("a.example"), TEXT("*.a.example")}, b_hosts[] = {TEXT("b.example"), TEXT("[::1]")};

static void two(struct conf_tenant confs[2], struct settings *settings)
{
    confs[0] = (struct conf_tenant){.name = TEXT("a"), .hosts = {a_hosts, 2}};
    confs[1] = (struct conf_tenant){.name = TEXT("b"), .hosts = {b_hosts, 2}, .rate = {1, 60}, .rate_burst = 1};
    settings->tenants.items = confs;
    settings->tenants.count = 2;
}

static slice owner(const struct tenants *tenants, const char *authority)
{
    const struct tenant *tenant = tenants_find(tenants, slice_str(authority));
    return tenant != NULL ? tenant->name : SLICE("nobody");
}

static void test_hosts(void **state)
{
    static const struct {
        const char *authority, *owner;
    } cases[] = {
        {"a.example", "a"},   {"a.example:8443", "a"}, {"A.Example", "a"},   {"a.example.", "a"}, {"x.y.a.example:80", "a"},
        {"b.example", "b"},   {"[::1]:8000", "b"},     {"[::1]", "b"},       {"[::2]", "nobody"}, {"c.example", "nobody"},
        {"", "nobody"},       {"aa.example", "nobody"}, {"example", "nobody"},
    };
    struct settings settings = {0};
    struct conf_tenant confs[2];
    struct tenant_registry *registry = NULL;
    struct tenants *tenants = NULL;
    char longer[400];
    unsigned bad;
    (void)state;

    two(confs, &settings);
    assert_true(err_is_ok(tenant_registry_new(SLICE(""), &bad, &registry)));
    assert_true(err_is_ok(tenants_new(&settings, registry, 5, NULL, &tenants)));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        if (!slice_eq(owner(tenants, cases[i].authority), slice_str(cases[i].owner)))
            fail_msg("%s: %.*s", cases[i].authority, SLICE_ARG(owner(tenants, cases[i].authority)));
    memset(longer, 'a', sizeof(longer));
    assert_null(tenants_find(tenants, slice_of(longer, sizeof(longer))));
    assert_int_equal(tenants_count(tenants), 2);
    const struct tenant *b = tenants_named(tenants, SLICE("b"));
    assert_ptr_equal(b, tenants_of_id(tenants, b->id));
    assert_null(tenants_of_id(tenants, TENANT_DEFAULT));
    tenants_unref(tenants);

    settings.default_tenant = SLICE("b");
    assert_true(err_is_ok(tenants_new(&settings, registry, 5, NULL, &tenants)));
    assert_true(slice_eq(owner(tenants, "c.example"), SLICE("b")));
    assert_true(slice_eq(owner(tenants, "a.example"), SLICE("a")));
    tenants_unref(tenants);
    tenant_registry_free(registry);
}

static void test_without_any_there_is_one(void **state)
{
    struct settings settings = {0};
    struct tenant_registry *registry = NULL;
    struct tenants *tenants = NULL;
    unsigned bad;
    (void)state;

    assert_true(err_is_ok(tenant_registry_new(SLICE(""), &bad, &registry)));
    assert_true(err_is_ok(tenants_new(&settings, registry, 5, NULL, &tenants)));
    assert_true(tenants_is_default_only(tenants));
    assert_true(slice_eq(owner(tenants, "whatever"), SLICE("default")));
    assert_int_equal(tenants_find(tenants, SLICE(""))->id, TENANT_DEFAULT);
    tenants_unref(tenants);
    tenant_registry_free(registry);
}

/* A reload does not give anybody a new burst, and readers of the old set are not disturbed. */
static void test_usage_lives_across_sets(void **state)
{
    struct settings settings = {0};
    struct conf_tenant confs[2];
    struct tenant_registry *registry = NULL;
    struct tenants *before = NULL, *after = NULL;
    struct tenant_client client = {.now_ns = 100 * NS};
    struct request request = {.target = SLICE("/"), .method_name = SLICE("GET")};
    struct arena arena;
    unsigned bad;
    (void)state;

    two(confs, &settings);
    arena_init(&arena, NULL, 0, 0);
    assert_true(err_is_ok(tenant_registry_new(SLICE(""), &bad, &registry)));
    assert_true(err_is_ok(tenants_new(&settings, registry, 5, NULL, &before)));
    assert_int_equal(tenant_enter(tenants_named(before, SLICE("b")), &request, &client, &arena)->verdict, POLICY_GO);
    assert_true(err_is_ok(tenants_new(&settings, registry, 5, before, &after)));
    assert_int_equal(tenants_named(before, SLICE("b"))->id, tenants_named(after, SLICE("b"))->id);
    assert_int_equal(tenant_enter(tenants_named(after, SLICE("b")), &request, &client, &arena)->verdict, POLICY_RATE);
    tenants_ref(before);
    tenants_unref(before);
    assert_int_equal(tenant_enter(tenants_named(before, SLICE("b")), &request, &client, &arena)->verdict, POLICY_RATE);
    tenants_unref(before);
    assert_int_equal(tenant_enter(tenants_named(after, SLICE("b")), &request, &client, &arena)->verdict, POLICY_RATE);
    tenants_unref(after);
    tenant_registry_free(registry);
    arena_done(&arena);
}

static void test_key_rules_are_in_the_generation(void **state)
{
    static slice drop[] = {TEXT("utm_*")}, more[] = {TEXT("utm_*"), TEXT("x")};
    struct conf_rule rules[] = {{.name = TEXT("1"), .given = GIVEN(ttl_ms), .ttl_ms = 1}};
    struct site site = {0};
    struct tenants *next = NULL;
    uint32_t first, second;
    (void)state;

    site_open(&site, rules, 1);
    first = tenants_named(site.tenants, SLICE("shop"))->generation;
    rules[0].ttl_ms = 2; /* says nothing of keys */
    assert_true(err_is_ok(tenants_new(&site.settings, site.registry, 2000, site.tenants, &next)));
    assert_int_equal(tenants_named(next, SLICE("shop"))->generation, first);
    tenants_unref(next);
    rules[0].given |= GIVEN(key);
    rules[0].key.query_drop.items = drop;
    rules[0].key.query_drop.count = 1;
    assert_true(err_is_ok(tenants_new(&site.settings, site.registry, 2000, site.tenants, &next)));
    second = tenants_named(next, SLICE("shop"))->generation;
    assert_true(second > first);
    tenants_unref(next);
    rules[0].key.query_drop.items = more;
    rules[0].key.query_drop.count = 2;
    assert_true(err_is_ok(tenants_new(&site.settings, site.registry, 2000, site.tenants, &next)));
    assert_true(tenants_named(next, SLICE("shop"))->generation > second);
    tenants_unref(next);
    site_close(&site);
}

static struct tenants *lasts[2];
static unsigned last_count;

static void last_has_gone(struct tenants *tenants, void *arg)
{
    assert_ptr_equal(arg, &last_count);
    lasts[last_count++] = tenants;
}

static void released(struct tenants *tenants, void *arg)
{
    assert_ptr_equal(tenants, lasts[0]);
    *(bool *)arg = true;
}

static void test_whoever_lets_go_last_need_not_free(void **state)
{
    struct list gone = LIST_INIT(gone);
    struct site site = {0};
    bool is_released = false;
    (void)state;

    site_open(&site, NULL, 0);
    tenants_on_release(site.tenants, released, &is_released);
    tenants_on_last(site.tenants, last_has_gone, &last_count);
    assert_null(tenants_unref(tenants_ref(site.tenants)));
    assert_int_equal(last_count, 0);
    assert_null(tenants_unref(site.tenants));
    assert_int_equal(last_count, 1);
    assert_false(is_released);
    list_push_back(&gone, tenants_link(lasts[0]));
    assert_ptr_equal(tenants_of_link(list_pop_front(&gone)), site.tenants);
    assert_int_equal(tenants_count(lasts[0]), 1); /* all there still */
    assert_null(tenants_free(lasts[0]));
    assert_true(is_released);
    assert_int_equal(last_count, 1);
    arena_done(&site.arena);
    tenant_registry_free(site.registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_without_any_there_is_one),
        cmocka_unit_test(test_usage_lives_across_sets),
        cmocka_unit_test(test_key_rules_are_in_the_generation),
        cmocka_unit_test(test_whoever_lets_go_last_need_not_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
