/* What no setting shows alone: those of a rule and of a tenant together, and of all tenants. */
#include "conf/listen_clash.h"
#include "conf/walk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct check {
    const struct conf_document *document;
    struct conf_report *report;
    const struct conf_tenant *tenant; /* the one looked at */
    struct conf_path tenants, name;
};

static void check_tenant(struct check *check, const struct conf_tenant *tenant)
{
    check->tenant = tenant;
    check->tenants = (struct conf_path){.key = SLICE("tenants")};
    check->name = (struct conf_path){.up = &check->tenants, .key = tenant->name};
}

/* Where a tenant's setting is in the text. Only for what is wrong: it searches. */
static const struct conf_node *setting_node(const struct check *check, const char *setting)
{
    const struct conf_node *tenants = check->document->tenants;
    const struct conf_node *node = tenants != NULL ? conf_node_get(tenants, check->tenant->name) : NULL;

    return node != NULL ? conf_node_get(node, slice_str(setting)) : NULL;
}

PRINTF(3, 4) static void tenant_problem(const struct check *check, const char *setting, const char *format, ...)
{
    struct conf_path path = {.up = &check->name, .key = slice_str(setting)};
    char what[CONF_WHAT_BYTES];
    const struct conf_node *node;
    va_list args;

    if (!conf_report_has_room(check->report)) {
        check->report->more++;
        return;
    }
    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    node = setting_node(check, setting);
    conf_path_problem(check->report, check->document, node != NULL ? node->key_mark : check->tenant->mark, &path, "%s", what);
}

/* ---- a rule -------------------------------------------------------------------------------------------------- */

static void rule_problem(const struct check *check, uint32_t rule, const char *setting, const char *what)
{
    const struct conf_path rules = {.up = &check->name, .key = SLICE("rules")},
                           item = {.up = &rules, .index = rule, .is_item = true},
                           path = {.up = &item, .key = slice_str(setting)};

    conf_path_problem(check->report, check->document, check->tenant->rules.items[rule].mark, &path, "%s", what);
}

MUST_USE static const char *redirect_problem(slice to)
{
    static const char *const words[] = {"{host}", "{path}", "{query}"};

    if (!slice_starts(to, SLICE("/")) && !slice_starts(to, SLICE("http://")) && !slice_starts(to, SLICE("https://")) &&
        !slice_starts(to, SLICE("{")))
        return "is neither a URL nor an absolute path; write https://www.example{path} or /new{path}";
    for (size_t i = 0; i < to.len; i++) {
        bool is_known = to.data[i] != '{';

        if ((unsigned char)to.data[i] <= 0x20 || (unsigned char)to.data[i] >= 0x7f)
            return "holds what a URL only has encoded; write it as %XX";
        for (size_t w = 0; w < ARRAY_LEN(words); w++)
            is_known |= slice_starts(slice_from(to, i), slice_str(words[w]));
        if (!is_known)
            return "has a { that begins nothing known; write {host}, {path} or {query}";
    }
    return slice_starts(to, SLICE("{")) && !slice_starts(to, SLICE("{path}"))
               ? "begins with {host} or {query}; write https:// or / before"
               : NULL;
}

static void rule_check(const struct check *check, uint32_t at)
{
    const struct conf_rule *rule = &check->tenant->rules.items[at];
    const char *what = rule->redirect.to.len > 0 ? redirect_problem(rule->redirect.to) : NULL;

    if (what != NULL)
        rule_problem(check, at, "redirect.to", what);
}

/* ---- a tenant ------------------------------------------------------------------------------------------------ */

static void shares_check(const struct check *check, const char *soft_name, struct conf_share soft, const char *hard_name,
                         struct conf_share hard)
{
    if (hard.is_given && hard.percent > 0 && hard.percent < check->tenant->guaranteed_percent)
        tenant_problem(check, hard_name, "is below what is guaranteed (%u%%); write more, or guarantee less",
                       check->tenant->guaranteed_percent);
    /* A percentage and a size can only be compared when the sizes of the tiers are known. */
    if (!soft.is_given || !hard.is_given || (soft.percent > 0) != (hard.percent > 0))
        return;
    if (soft.percent > hard.percent || soft.bytes > hard.bytes)
        tenant_problem(check, soft_name, "is above %s; write less, or leave one of them out", hard_name);
}

void conf_tenant_check(const struct conf_document *document, const struct conf_tenant *tenant, struct conf_report *report)
{
    struct check check = {.document = document, .report = report};

    check_tenant(&check, tenant);
    shares_check(&check, "memory-soft", tenant->memory_soft, "memory-hard", tenant->memory_hard);
    shares_check(&check, "disk-soft", tenant->disk_soft, "disk-hard", tenant->disk_hard);
    for (uint32_t i = 0; i < tenant->rules.count; i++)
        rule_check(&check, i);
}

/* ---- hosts ---------------------------------------------------------------------------------------------------- */

struct claim {
    slice host;
    uint32_t tenant; /* number */
};

static int claim_order(const void *a, const void *b)
{
    const struct claim *x = a, *y = b;
    size_t len = MIN(x->host.len, y->host.len);
    int order = len > 0 ? memcmp(x->host.data, y->host.data, len) : 0;

    if (order != 0)
        return order;
    if (x->host.len != y->host.len)
        return x->host.len < y->host.len ? -1 : 1;
    return x->tenant < y->tenant ? -1 : x->tenant > y->tenant;
}

/* The later of two equal claims: where its last writing is. */
static void claim_problem(struct check *check, const struct settings *settings, const struct claim *first,
                          const struct claim *second)
{
    const struct conf_tenant *owner = &settings->tenants.items[first->tenant];
    char place[CONF_WHERE_BYTES], quoted[CONF_QUOTED_BYTES];
    const struct conf_node *hosts, *found;
    struct conf_path path = {.up = &check->name, .key = SLICE("hosts")};

    if (!conf_report_has_room(check->report)) {
        check->report->more++;
        return;
    }
    check_tenant(check, &settings->tenants.items[second->tenant]);
    hosts = found = setting_node(check, "hosts");
    for (const struct conf_node *node = hosts != NULL ? hosts->first : NULL; node != NULL; node = node->next)
        if (slice_eq_nocase(node->text, second->host))
            found = node;
    conf_quoted(second->host, quoted);
    if (first->tenant == second->tenant)
        conf_path_problem(check->report, check->document, found != NULL ? found->mark : check->tenant->mark, &path,
                          "%s is here twice; write it once", quoted);
    else
        conf_path_problem(check->report, check->document, found != NULL ? found->mark : check->tenant->mark, &path,
                          "%s belongs to tenant " SLICE_FMT " already (%s); a host is of one tenant", quoted,
                          SLICE_ARG(owner->name), conf_mark_text(check->document, owner->mark, place, sizeof(place)));
}

MUST_USE static err hosts_check(struct check *check, const struct settings *settings)
{
    size_t count = 0, at = 0;
    struct claim *claims;

    for (uint32_t i = 0; i < settings->tenants.count; i++)
        count += settings->tenants.items[i].hosts.count;
    claims = malloc(MAX(count, (size_t)1) * sizeof(*claims));
    ENSURE(claims != NULL, MEMORY);
    for (uint32_t i = 0; i < settings->tenants.count; i++)
        for (uint32_t h = 0; h < settings->tenants.items[i].hosts.count; h++)
            claims[at++] = (struct claim){.host = settings->tenants.items[i].hosts.items[h], .tenant = i};
    qsort(claims, count, sizeof(*claims), claim_order);
    for (size_t i = 1; i < count; i++)
        if (slice_eq(claims[i - 1].host, claims[i].host))
            claim_problem(check, settings, &claims[i - 1], &claims[i]);
    free(claims);
    return ERR_OK;
}

/* ---- all of them ---------------------------------------------------------------------------------------------- */

static void guarantees_check(struct check *check, const struct settings *settings)
{
    const struct conf_tenant *last = NULL;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < settings->tenants.count; i++) {
        sum += settings->tenants.items[i].guaranteed_percent;
        if (sum > CONF_GUARANTEED_MAX && last == NULL)
            last = &settings->tenants.items[i];
    }
    if (last == NULL)
        return;
    check_tenant(check, last);
    tenant_problem(check, "guaranteed", "all tenants together are guaranteed %llu%%; write at most %u%% in all",
                   (unsigned long long)sum, CONF_GUARANTEED_MAX);
}

static void origins_check(struct check *check, const struct settings *settings)
{
    if (settings->config.origin.count > 0 ||
        (settings->document->root != NULL && conf_node_get(settings->document->root, SLICE("origin")) != NULL))
        return;
    for (uint32_t i = 0; i < settings->tenants.count; i++) {
        const struct conf_tenant *tenant = &settings->tenants.items[i];

        check_tenant(check, tenant);
        if (!CONF_GIVEN(tenant->given, CONF_TENANT_origins))
            tenant_problem(
                check, "origins",
                "there are none, and no origin at the top either; write one of them: http://host:port or https://host");
    }
}

/* Where one of a list, or the value alone, is written. */
static const struct conf_node *item_node(const struct check *check, const char *setting, uint32_t index)
{
    const struct conf_node *node = setting_node(check, setting);

    if (node != NULL && node->kind == CONF_LIST)
        for (node = node->first; node != NULL && index > 0; index--)
            node = node->next;
    return node;
}

/* A tenant whose origin is the admin listener would show its numbers to everybody, and its clients' wrong tokens would be this
 * machine's (docs/security). */
static void own_listeners_check(struct check *check, const struct settings *settings)
{
    struct conf_path path = {.up = &check->name, .key = SLICE("origins")};

    for (uint32_t i = 0; i < settings->tenants.count; i++) {
        const struct conf_tenant *tenant = &settings->tenants.items[i];

        for (uint32_t o = 0; o < tenant->origins.count; o++) {
            const char *name, *own = listen_of_origin(&settings->config, tenant->origins.items[o], &name);
            const struct conf_node *node;

            if (own == NULL)
                continue;
            check_tenant(check, tenant);
            node = item_node(check, "origins", o);
            conf_path_problem(check->report, check->document, node != NULL ? node->mark : tenant->mark, &path, SLICE_FMT LISTEN_IS_OWN,
                              SLICE_ARG(tenant->origins.items[o]), name, own);
        }
    }
}

static void hosts_given_check(struct check *check, const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->tenants.count; i++) {
        const struct conf_tenant *tenant = &settings->tenants.items[i];

        check_tenant(check, tenant);
        if (!CONF_GIVEN(tenant->given, CONF_TENANT_hosts) && !slice_eq(tenant->name, settings->default_tenant))
            tenant_problem(check, "hosts",
                           "there are none, so that no request is the tenant's; write its hosts, or name it in default-tenant");
    }
}

MUST_USE static err default_check(const struct check *check, const struct settings *settings)
{
    const struct conf_node *node = conf_node_get(settings->document->root, SLICE("default-tenant"));
    const struct conf_path path = {.key = SLICE("default-tenant")};
    const char **names, *nearest;
    uint32_t count = settings->tenants.count;

    if (node == NULL || settings->default_tenant.len == 0)
        return ERR_OK;
    /* also one that has a problem is there */
    if (settings->document->tenants != NULL && conf_node_get(settings->document->tenants, settings->default_tenant) != NULL)
        return ERR_OK;
    names = malloc((count + 1) * sizeof(*names));
    ENSURE(names != NULL, MEMORY);
    for (uint32_t i = 0; i < count; i++)
        names[i] = settings->tenants.items[i].name.data;
    nearest = config_nearest_of(settings->default_tenant.data, names, count);
    if (nearest != NULL)
        conf_path_problem(check->report, check->document, node->mark, &path,
                          "there is no tenant of that name; did you mean %s?", nearest);
    else
        conf_path_problem(check->report, check->document, node->mark, &path,
                          "there is no tenant of that name; write one of tenants");
    free(names);
    return ERR_OK;
}

err settings_check(const struct settings *settings, struct conf_report *report)
{
    struct check check = {.document = settings->document, .report = report};

    for (uint32_t i = 0; i < settings->tenants.count; i++)
        conf_tenant_check(settings->document, &settings->tenants.items[i], report);
    guarantees_check(&check, settings);
    origins_check(&check, settings);
    own_listeners_check(&check, settings);
    hosts_given_check(&check, settings);
    TRY(default_check(&check, settings));
    return hosts_check(&check, settings);
}
