/* tenants: the set that a configuration makes. */
#include "tenant/pattern.h"
#include "tenant/registry.h"
#include "tenant/tenant_own.h"

#include <stdlib.h>

#define HOST_BYTES_MAX 256u
#define NOBODY         UINT32_MAX

struct tenants {
    _Atomic unsigned refs;
    unsigned count;
    uint32_t default_at; /* whose unknown hosts are; NOBODY */
    bool is_default_only;
    const struct settings *settings;
    void (*release)(struct tenants *tenants, void *arg); /* may be NULL */
    void *release_arg;
    void (*last)(struct tenants *tenants, void *arg); /* may be NULL */
    void *last_arg;
    struct list link; /* of whoever has it after the last reference */
    struct conf_tenant default_conf; /* of the tenant that there is without any */
    struct hosts *hosts, *names;
    struct client_buckets *clients;
    uint32_t *by_id; /* place of an id in list; NOBODY */
    struct tenant list[];
};

/* ---- making it ------------------------------------------------------------------------------------------------------ */

static unsigned hosts_count(const struct settings *settings)
{
    unsigned count = 0;

    for (uint32_t i = 0; i < settings->tenants.count; i++)
        count += settings->tenants.items[i].hosts.count;
    return count;
}

MUST_USE static err tenant_make(struct tenants *tenants, struct tenant *tenant, struct tenant_registry *registry, int64_t wall_s,
                                const struct tenants *before)
{
    const struct tenant *old = before != NULL ? tenants_named(before, tenant->name) : NULL;
    struct tenant_record record;

    TRY(tenant_registry_take(registry, tenant->name, tenant_key_rules(tenant->conf), wall_s, &record));
    tenant->id = record.id;
    tenant->generation = record.generation;
    if (old != NULL)
        tenant->usage = tenant_usage_ref(old->usage);
    else
        TRY(tenant_usage_new(&tenant->usage));
    TRY(tenant_rules_new(tenant, old, tenants->clients, &tenant->rules));
    tenant->policy = tenant_policy(tenant);
    tenants->by_id[tenant->id] = (uint32_t)(tenant - tenants->list);
    return ERR_OK;
}

static void tenant_index(struct tenants *tenants, uint32_t at)
{
    const struct conf_tenant *conf = tenants->list[at].conf;

    hosts_add(tenants->names, tenants->list[at].name, at);
    for (uint32_t i = 0; i < conf->hosts.count; i++)
        hosts_add(tenants->hosts, conf->hosts.items[i], at);
}

MUST_USE static err tenants_fill(struct tenants *tenants, const struct settings *settings, struct tenant_registry *registry,
                                 int64_t wall_s, const struct tenants *before)
{
    tenants->by_id = malloc((TENANT_IDS_MAX + 1) * sizeof(*tenants->by_id));
    ENSURE(tenants->by_id != NULL, MEMORY);
    memset(tenants->by_id, 0xff, (TENANT_IDS_MAX + 1) * sizeof(*tenants->by_id));
    TRY(hosts_new(hosts_count(settings), &tenants->hosts));
    TRY(hosts_new(tenants->count, &tenants->names));
    if (before != NULL)
        tenants->clients = client_buckets_ref(before->clients);
    else
        TRY(client_buckets_new(&tenants->clients));
    for (uint32_t i = 0; i < tenants->count; i++) {
        struct tenant *tenant = &tenants->list[i];
        tenant->conf = tenants->is_default_only ? &tenants->default_conf : &settings->tenants.items[i];
        tenant->name = tenants->is_default_only ? SLICE(TENANT_DEFAULT_NAME) : tenant->conf->name;
        TRY(tenant_make(tenants, tenant, registry, wall_s, before));
        tenant_index(tenants, i);
    }
    return ERR_OK;
}

err tenants_new(const struct settings *settings, struct tenant_registry *registry, int64_t wall_s, const struct tenants *before,
                struct tenants **ret_tenants)
{
    unsigned count = MAX(settings->tenants.count, 1u);
    struct tenants *tenants = calloc(1, sizeof(*tenants) + count * sizeof(tenants->list[0]));
    const struct tenant *unknown;
    err filled;

    ENSURE(tenants != NULL, MEMORY);
    atomic_init(&tenants->refs, 1);
    list_init(&tenants->link);
    tenants->count = count;
    tenants->settings = settings;
    tenants->is_default_only = settings->tenants.count == 0;
    filled = tenants_fill(tenants, settings, registry, wall_s, before);
    if (!err_is_ok(filled)) {
        tenants_unref(tenants);
        return filled;
    }
    unknown = tenants->is_default_only ? &tenants->list[0] : tenants_named(tenants, settings->default_tenant);
    tenants->default_at = unknown != NULL ? (uint32_t)(unknown - tenants->list) : NOBODY;
    *ret_tenants = tenants;
    return ERR_OK;
}

void tenants_on_release(struct tenants *tenants, void (*release)(struct tenants *tenants, void *arg), void *arg)
{
    tenants->release = release;
    tenants->release_arg = arg;
}

struct tenants *tenants_ref(struct tenants *tenants)
{
    atomic_fetch_add_explicit(&tenants->refs, 1, memory_order_relaxed);
    return tenants;
}

void tenants_on_last(struct tenants *tenants, void (*last)(struct tenants *tenants, void *arg), void *arg)
{
    tenants->last = last;
    tenants->last_arg = arg;
}

struct list *tenants_link(struct tenants *tenants)
{
    return &tenants->link;
}

struct tenants *tenants_of_link(struct list *link)
{
    return container_of(link, struct tenants, link);
}

struct tenants *tenants_unref(struct tenants *tenants)
{
    if (tenants == NULL || atomic_fetch_sub_explicit(&tenants->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    if (tenants->last == NULL)
        return tenants_free(tenants);
    tenants->last(tenants, tenants->last_arg);
    return NULL;
}

struct tenants *tenants_free(struct tenants *tenants)
{
    if (tenants == NULL)
        return NULL;
    if (tenants->release != NULL)
        tenants->release(tenants, tenants->release_arg);
    for (unsigned i = 0; i < tenants->count; i++) {
        tenant_rules_free(tenants->list[i].rules);
        tenant_usage_unref(tenants->list[i].usage);
    }
    client_buckets_unref(tenants->clients);
    hosts_free(tenants->hosts);
    hosts_free(tenants->names);
    free(tenants->by_id);
    free(tenants);
    return NULL;
}

/* ---- asking it ------------------------------------------------------------------------------------------------------ */

/* Without the port; in lower case, in buffer where it is not so already. data NULL: longer than any name. */
static slice host_of(slice authority, char buffer[HOST_BYTES_MAX])
{
    slice host = authority;
    ptrdiff_t end;

    if (authority.len > 0 && authority.data[0] == '[' && (end = slice_find(authority, ']')) >= 0)
        host.len = (size_t)end + 1;
    else if ((end = slice_find(authority, ':')) >= 0)
        host.len = (size_t)end;
    if (host.len > 0 && host.data[host.len - 1] == '.')
        host.len--;
    if (host.len > HOST_BYTES_MAX)
        return SLICE_NONE;
    for (size_t i = 0; i < host.len; i++)
        buffer[i] = (char)ascii_lower((unsigned char)host.data[i]);
    return slice_of(buffer, host.len);
}

const struct tenant *tenants_find(const struct tenants *tenants, slice authority)
{
    char buffer[HOST_BYTES_MAX];
    uint32_t at = tenants->default_at;
    slice host;

    if (tenants->is_default_only)
        return &tenants->list[0];
    host = host_of(authority, buffer);
    if (host.data != NULL && !hosts_find(tenants->hosts, host, &at))
        at = tenants->default_at;
    return at != NOBODY ? &tenants->list[at] : NULL;
}

const struct tenant *tenants_named(const struct tenants *tenants, slice name)
{
    uint32_t at;

    return hosts_find(tenants->names, name, &at) ? &tenants->list[at] : NULL;
}

const struct tenant *tenants_of_id(const struct tenants *tenants, uint16_t id)
{
    return tenants->by_id[id] != NOBODY ? &tenants->list[tenants->by_id[id]] : NULL;
}

unsigned tenants_count(const struct tenants *tenants)
{
    return tenants->count;
}

struct tenant *tenants_at(struct tenants *tenants, unsigned i)
{
    INVARIANT(i < tenants->count);
    return &tenants->list[i];
}

bool tenants_trusts(const struct tenants *tenants, const uint8_t address[16])
{
    for (uint32_t i = 0; i < tenants->settings->trusted_proxies.count; i++)
        if (range_holds(&tenants->settings->trusted_proxies.items[i], address))
            return true;
    return false;
}

bool tenants_is_default_only(const struct tenants *tenants)
{
    return tenants->is_default_only;
}

const struct settings *tenants_settings(const struct tenants *tenants)
{
    return tenants->settings;
}
