/* One tenant, made by hand, and requests to it. */
#ifndef WARP_TESTS_TENANT_TEST_H
#define WARP_TESTS_TENANT_TEST_H

#include "tenant/registry.h"
#include "tenant/tenant.h"

#define NS UINT64_C(1000000000)
#define GIVEN(option) (UINT64_C(1) << CONF_RULE_##option)
#define TEXT(s)       {s, sizeof(s) - 1}

struct site {
    struct conf_tenant conf;
    struct settings settings;
    struct tenant_registry *registry;
    struct tenants *tenants;
    struct arena arena;
    struct request request;
    struct tenant_client client;
};

static inline void site_open(struct site *site, struct conf_rule *rules, uint32_t count)
{
    unsigned bad;

    site->conf.name = SLICE("shop");
    site->conf.rules.items = rules;
    site->conf.rules.count = count;
    site->settings.tenants.items = &site->conf;
    site->settings.tenants.count = 1;
    site->settings.default_tenant = SLICE("shop");
    assert_true(err_is_ok(tenant_registry_new(SLICE(""), &bad, &site->registry)));
    assert_true(err_is_ok(tenants_new(&site->settings, site->registry, 1000, NULL, &site->tenants)));
    arena_init(&site->arena, NULL, 0, 0);
    site->request = (struct request){.method = METHOD_GET, .method_name = SLICE("GET"), .authority = SLICE("shop.example")};
    fields_init(&site->request.fields, &site->arena);
    site->client = (struct tenant_client){.now_ns = 100 * NS};
    site->client.address[10] = site->client.address[11] = 0xff;
    site->client.address[12] = 10;
}

static inline void site_close(struct site *site)
{
    arena_done(&site->arena);
    tenants_unref(site->tenants);
    tenant_registry_free(site->registry);
}

static inline const struct policy *ask(struct site *site, const char *target)
{
    const struct policy *policy;

    site->request.target = slice_str(target);
    policy = tenant_enter(tenants_find(site->tenants, site->request.authority), &site->request, &site->client, &site->arena);
    assert_non_null(policy);
    return policy;
}

static inline void with(struct site *site, const char *name, const char *value)
{
    assert_true(err_is_ok(fields_add_named(&site->request.fields, slice_str(name), field_id_of(slice_str(name)), slice_str(value))));
}

#endif
