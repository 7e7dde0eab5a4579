/* node_tenants: a set of tenants with their origins, from settings.
 *
 * What a tenant's settings do not change across a reload, its origins keep: health, connections, counters. */
#ifndef WARP_MAIN_NODE_TENANTS_H
#define WARP_MAIN_NODE_TENANTS_H

#include "conf/settings.h"
#include "origin/origin.h"
#include "stat/metrics.h"
#include "store/storage.h"
#include "tenant/registry.h"
#include "tenant/tenant.h"

#define NODE_TENANTS_MESSAGE_BYTES 1024u

struct node_tenants_config {
    const struct settings *settings; /* until the set is released */
    void (*release)(void *settings); /* may be NULL: the settings stay the caller's */
    slice demo_url;                  /* the origin where none is named; empty: that is an error */
    struct tenant_registry *registry;
    const struct tenants *before;    /* the set it takes the place of; may be NULL */
    int64_t wall_s;
};

/* On error message says which setting is wrong, and how. */
MUST_USE err node_tenants_new(const struct node_tenants_config *config, char *message, size_t message_size,
                              struct tenants **ret_tenants);
/* Each setting of origins that is wrong, at its place. */
void node_tenants_check(const struct settings *settings, struct settings_places *places);
/* What each tenant may have of each tier, and of its origins at a time, as its settings say: in force before a request can be
 * the set's. Any thread; cannot fail. */
void node_tenants_limit(struct tenants *tenants, struct storage *storage);
/* Who is in `before` and not in `tenants` has no limits any more, and no guarantee: once no worker begins requests by `before`. */
void node_tenants_unlimit(const struct tenants *before, const struct tenants *tenants, struct storage *storage);
/* Names for all tenants and origins: before anything is counted for them. */
MUST_USE err node_tenants_metrics(struct tenants *tenants, struct metrics *metrics);

#endif
