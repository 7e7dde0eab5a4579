/* rules: compiled from the settings, and what does not depend on a request. */
#include "tenant/tenant_own.h"

#include "base/hash.h"

#include <stdlib.h>

#define TTL_S_MAX       INT32_MAX

static int32_t seconds_of(uint64_t ms)
{
    return (int32_t)MIN(ms / 1000, (uint64_t)TTL_S_MAX);
}

/* ---- usage ---------------------------------------------------------------------------------------------------------- */

err tenant_usage_new(struct tenant_usage **ret_usage)
{
    struct tenant_usage *usage = calloc(1, sizeof(*usage));

    ENSURE(usage != NULL, MEMORY);
    atomic_init(&usage->refs, 1);
    *ret_usage = usage;
    return ERR_OK;
}

struct tenant_usage *tenant_usage_ref(struct tenant_usage *usage)
{
    atomic_fetch_add_explicit(&usage->refs, 1, memory_order_relaxed);
    return usage;
}

struct tenant_usage *tenant_usage_unref(struct tenant_usage *usage)
{
    if (usage != NULL && atomic_fetch_sub_explicit(&usage->refs, 1, memory_order_acq_rel) == 1)
        free(usage);
    return NULL;
}

/* ---- compiling ------------------------------------------------------------------------------------------------------ */

/* Which bucket an address has: the same in the next set, where the rule has kept its name. */
static uint64_t whose_of(const struct tenant *tenant, slice rule)
{
    return hash64(rule, hash64(tenant->name, tenant->id));
}

/* The usage of the rule of that name in the set before, or a new one. */
MUST_USE static err rule_usage(const struct tenant *before, struct rule *rule)
{
    for (unsigned i = 0; before != NULL && before->rules != NULL && i < before->rules->count; i++) {
        struct rule *old = &before->rules->rules[i];
        if (old->usage != NULL && slice_eq(old->name, rule->name)) {
            rule->usage = tenant_usage_ref(old->usage);
            return ERR_OK;
        }
    }
    return tenant_usage_new(&rule->usage);
}

MUST_USE static err rule_compile(const struct tenant *tenant, const struct tenant *before, struct rule *rule)
{
    const struct conf_rule *conf = rule->conf;

    rule->name = conf->name;
    rule->rate = limit_of(&conf->rate, conf->rate_burst);
    rule->client_rate = limit_of(&conf->client_rate, conf->client_rate_burst);
    rule->whose = whose_of(tenant, rule->name);
    return rule->rate.every_ns != 0 ? rule_usage(before, rule) : ERR_OK;
}

err tenant_rules_new(const struct tenant *tenant, const struct tenant *before, struct client_buckets *clients,
                     struct tenant_rules **ret_rules)
{
    const struct conf_tenant *conf = tenant->conf;
    struct limit rate = limit_of(&conf->rate, conf->rate_burst);
    struct limit client_rate = limit_of(&conf->client_rate, conf->client_rate_burst);
    struct tenant_rules *rules;

    *ret_rules = NULL;
    if (conf->rules.count == 0 && rate.every_ns == 0 && client_rate.every_ns == 0 && conf->requests == 0)
        return ERR_OK;
    rules = calloc(1, sizeof(*rules) + conf->rules.count * sizeof(rules->rules[0]));
    ENSURE(rules != NULL, MEMORY);
    *rules = (struct tenant_rules){.clients = clients,
                                   .rate = rate,
                                   .client_rate = client_rate,
                                   .whose = whose_of(tenant, SLICE("")),
                                   .requests_max = conf->requests};
    for (; rules->count < conf->rules.count; rules->count++) {
        struct rule *rule = &rules->rules[rules->count];
        rule->conf = &conf->rules.items[rules->count];
        err compiled = rule_compile(tenant, before, rule);
        if (!err_is_ok(compiled)) {
            tenant_rules_free(rules);
            return compiled;
        }
    }
    *ret_rules = rules;
    return ERR_OK;
}

struct tenant_rules *tenant_rules_free(struct tenant_rules *rules)
{
    for (unsigned i = 0; rules != NULL && i < rules->count; i++)
        tenant_usage_unref(rules->rules[i].usage);
    free(rules);
    return NULL;
}

/* ---- what does not depend on a request ------------------------------------------------------------------------------ */

struct policy tenant_policy(const struct tenant *tenant)
{
    const struct conf_tenant *conf = tenant->conf;

    return (struct policy){.tenant = tenant,
                           .verdict = POLICY_GO,
                           .cache = true,
                           .set_cookie = CONF_SET_COOKIE_ORIGIN,
                           .sie_s = TENANT_STALE_IF_ERROR_S,
                           .max_object_bytes =
                               CONF_GIVEN(conf->given, CONF_TENANT_max_object_bytes) ? conf->max_object_bytes : UINT64_MAX};
}

static int32_t rule_ttl_s(const struct conf_rule *conf, unsigned status)
{
    const struct conf_status_time *best = NULL;

    for (uint32_t i = 0; i < conf->ttl_status.count; i++) {
        const struct conf_status_time *time = &conf->ttl_status.items[i];
        if (status >= time->from && status <= time->to && (best == NULL || time->to - time->from < best->to - best->from))
            best = time;
    }
    if (best != NULL)
        return seconds_of(best->ms);
    if (!CONF_GIVEN(conf->given, CONF_RULE_ttl_ms) || !((status >= 200 && status < 300) || status == 301 || status == 308))
        return -1;
    return seconds_of(conf->ttl_ms);
}

static bool is_matched(const struct policy *policy, unsigned rule)
{
    return (policy->rules[rule / 64] >> (rule % 64)) & 1;
}

int32_t policy_ttl_s(const struct policy *policy, unsigned status)
{
    const struct tenant_rules *rules = policy->tenant->rules;

    for (unsigned i = policy->rule_count > 0 ? rules->count : 0; i > 0; i--) {
        int32_t ttl_s = is_matched(policy, i - 1) ? rule_ttl_s(rules->rules[i - 1].conf, status) : -1;
        if (ttl_s >= 0)
            return ttl_s;
    }
    return -1;
}

static const struct conf_rule *matched_with(const struct policy *policy, unsigned *at, enum conf_rule_option option)
{
    const struct tenant_rules *rules = policy->tenant->rules;
    unsigned count = policy->rule_count > 0 ? rules->count : 0;

    while (*at < count) {
        unsigned i = (*at)++;
        if (is_matched(policy, i) && CONF_GIVEN(rules->rules[i].conf->given, option))
            return rules->rules[i].conf;
    }
    return NULL;
}

const struct conf_edit *policy_request_edit(const struct policy *policy, unsigned *at)
{
    const struct conf_rule *rule = matched_with(policy, at, CONF_RULE_request_edit);
    return rule != NULL ? &rule->request_edit : NULL;
}

const struct conf_edit *policy_response_edit(const struct policy *policy, unsigned *at)
{
    const struct conf_rule *rule = matched_with(policy, at, CONF_RULE_response_edit);
    return rule != NULL ? &rule->response_edit : NULL;
}

/* ---- the key rules as a number -------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, slice text)
{
    return hash64(text, hash ^ text.len);
}

static uint64_t mix_list(uint64_t hash, const slice *items, uint32_t count)
{
    hash = hash64(slice_of(&count, sizeof(count)), hash);
    for (uint32_t i = 0; i < count; i++)
        hash = mix(hash, items[i]);
    return hash;
}

static uint64_t mix_pairs(uint64_t hash, const struct conf_pair *items, uint32_t count)
{
    hash = hash64(slice_of(&count, sizeof(count)), hash);
    for (uint32_t i = 0; i < count; i++)
        hash = mix(mix(hash, items[i].name), items[i].value);
    return hash;
}

static uint64_t mix_match(uint64_t hash, const struct conf_match *match)
{
    hash = mix_list(hash, match->paths.items, match->paths.count);
    hash = mix_list(hash, match->methods.items, match->methods.count);
    hash = mix_pairs(hash, match->query.items, match->query.count);
    hash = mix_pairs(hash, match->fields.items, match->fields.count);
    hash = mix_pairs(hash, match->cookies.items, match->cookies.count);
    return hash64(slice_of(match->clients.items, match->clients.count * sizeof(struct conf_range)), hash);
}

static uint64_t mix_key(uint64_t hash, const struct conf_key *key)
{
    uint8_t switches = (uint8_t)(key->query_sort | key->device << 1);

    hash = mix_list(hash, key->query_keep.items, key->query_keep.count);
    hash = mix_list(hash, key->query_drop.items, key->query_drop.count);
    hash = mix_list(hash, key->cookies.items, key->cookies.count);
    hash = mix_list(hash, key->fields.items, key->fields.count);
    return hash64(slice_of(&switches, 1), hash);
}

uint64_t tenant_key_rules(const struct conf_tenant *conf)
{
    uint64_t hash = 0;

    for (uint32_t i = 0; i < conf->rules.count; i++) {
        const struct conf_rule *rule = &conf->rules.items[i];
        if (CONF_GIVEN(rule->given, CONF_RULE_key))
            hash = mix_key(mix_match(hash + 1, &rule->match), &rule->key);
    }
    return hash;
}
