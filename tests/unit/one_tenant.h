/* A set of tenants as without any configured: one, "default", that every host belongs to. */
#ifndef WARP_TESTS_ONE_TENANT_H
#define WARP_TESTS_ONE_TENANT_H

#include "origin/origin.h"
#include "tenant/registry.h"
#include "tenant/view.h"

static inline void one_tenant_release_(struct tenants *tenants, void *arg)
{
    (void)arg;
    origin_group_leave(tenants_at(tenants, 0)->origins);
}

/* Takes the group over. */
static inline struct tenants *one_tenant(struct origin_group *group)
{
    static const struct settings settings;
    struct tenant_registry *registry = NULL;
    struct tenants *tenants = NULL;
    unsigned bad_lines;
    err made = tenant_registry_new(SLICE(""), &bad_lines, &registry);

    INVARIANT(err_is_ok(made));
    made = tenants_new(&settings, registry, 0, NULL, &tenants);
    INVARIANT(err_is_ok(made));
    tenant_registry_free(registry);
    tenants_at(tenants, 0)->origins = group;
    tenants_on_release(tenants, one_tenant_release_, NULL);
    return tenants;
}

#endif
