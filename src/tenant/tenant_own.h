/* Between the files of tenant/. */
#ifndef WARP_TENANT_OWN_H
#define WARP_TENANT_OWN_H

#include "tenant/limits.h"
#include "tenant/tenant.h"

/* What outlives a set of tenants: counted, shared by all sets in which the tenant is. */
struct tenant_usage {
    _Atomic unsigned refs;
    _Atomic uint32_t requests; /* under way */
    struct bucket bucket;
};
MUST_USE err tenant_usage_new(struct tenant_usage **ret_usage);
struct tenant_usage *tenant_usage_ref(struct tenant_usage *usage);
struct tenant_usage *tenant_usage_unref(struct tenant_usage *usage);

/* A rule, compiled. What outlives the set is a usage of its own: its bucket. */
struct rule {
    const struct conf_rule *conf;
    slice name;
    struct limit rate, client_rate;
    uint64_t whose; /* of client_rate */
    struct tenant_usage *usage; /* NULL: no rate */
};
struct tenant_rules {
    struct client_buckets *clients; /* the set's */
    struct limit rate, client_rate; /* of the tenant */
    uint64_t whose;
    uint32_t requests_max; /* 0: no limit */
    unsigned count;
    struct rule rules[];
};
/* Compiles conf's rules and limits. before: the tenant in the set before; may be NULL. *ret_rules NULL: there is nothing a
 * request would have to be held against. */
MUST_USE err tenant_rules_new(const struct tenant *tenant, const struct tenant *before, struct client_buckets *clients,
                              struct tenant_rules **ret_rules);
struct tenant_rules *tenant_rules_free(struct tenant_rules *rules);
/* The policy where no rule matches. */
struct policy tenant_policy(const struct tenant *tenant);
/* A hash of all that the tenant's rules say of keys; 0: nothing. */
uint64_t tenant_key_rules(const struct conf_tenant *conf);

/* Whose a name is: of hosts, and of tenants. */
struct hosts;
/* room: how many hosts at most. */
MUST_USE err hosts_new(unsigned room, struct hosts **ret_hosts);
struct hosts *hosts_free(struct hosts *hosts);
/* host: lower case, "*.example" for all below; stays the caller's. The first of two equal ones counts. */
void hosts_add(struct hosts *hosts, slice host, uint32_t value);
/* The exact name, else the longest wildcard above it. host: lower case, without port. */
MUST_USE bool hosts_find(const struct hosts *hosts, slice host, uint32_t *ret_value);

#endif
