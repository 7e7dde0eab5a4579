#include "tenant/owner.h"

#include "conf/schema.h"
#include "tenant/tenant_own.h"

#include <stdio.h>
#include <stdlib.h>

struct lines {
    FILE *out;
    slice tenant;
    unsigned count;
};

static void line_add(struct lines *lines, const char *where, const char *what)
{
    if (lines->count++ < OWNER_LINES_MAX)
        fprintf(lines->out, "tenants." SLICE_FMT "%s: %s\n", SLICE_ARG(lines->tenant), where, what);
}

static void operators_found(void *arg, const char *where, const char *why)
{
    char what[160];

    snprintf(what, sizeof(what), "only the operator changes it (%s)", why);
    line_add(arg, where, what);
}

/* ---- hosts ------------------------------------------------------------------------------------------------------------ */

static uint32_t tenant_at(const struct settings *settings, slice name)
{
    uint32_t at = 0;

    while (at < settings->tenants.count && !slice_eq(settings->tenants.items[at].name, name))
        at++;
    return at;
}

/* Among its first `count` hosts. */
static bool has_among(const struct conf_tenant *tenant, uint32_t count, slice host)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_eq(tenant->hosts.items[i], host))
            return true;
    return false;
}

static bool has_host(const struct conf_tenant *tenant, slice host)
{
    return has_among(tenant, tenant->hosts.count, host);
}

static bool is_wildcard(slice host)
{
    return slice_starts(host, SLICE("*."));
}

/* Everybody's hosts; those of a tenant have its number. */
MUST_USE static err hosts_of_all(const struct settings *settings, struct hosts **ret_hosts)
{
    unsigned count = 0;

    for (uint32_t t = 0; t < settings->tenants.count; t++)
        count += settings->tenants.items[t].hosts.count;
    TRY(hosts_new(count, ret_hosts));
    for (uint32_t t = 0; t < settings->tenants.count; t++)
        for (uint32_t i = 0; i < settings->tenants.items[t].hosts.count; i++)
            hosts_add(*ret_hosts, settings->tenants.items[t].hosts.items[i], t);
    return ERR_OK;
}

/* Marks the wildcards among the new hosts that have a name of another tenant below them: taken is one for each host. */
MUST_USE static err wildcards_check(const struct settings *settings, uint32_t own, const struct conf_tenant *after, bool *taken)
{
    struct hosts *wildcards;
    uint32_t at;

    TRY(hosts_new(after->hosts.count, &wildcards));
    for (uint32_t i = 0; i < after->hosts.count; i++)
        if (is_wildcard(after->hosts.items[i]) && !has_host(&settings->tenants.items[own], after->hosts.items[i]))
            hosts_add(wildcards, after->hosts.items[i], i);
    for (uint32_t t = 0; t < settings->tenants.count; t++) {
        const struct conf_tenant *other = &settings->tenants.items[t];

        if (t == own)
            continue;
        for (uint32_t i = 0; i < other->hosts.count; i++) {
            slice name = other->hosts.items[i]; /* of "*.a.test" the star is as good a label as any */
            for (; hosts_find(wildcards, name, &at); name = slice_from(after->hosts.items[at], 2))
                taken[at] = true; /* and those above */
        }
    }
    hosts_free(wildcards);
    return ERR_OK;
}

/* One text for all that is refused: which of these names others have is not the owner's to know. */
MUST_USE static err hosts_check(const struct settings *settings, uint32_t own, const struct conf_tenant *after, struct lines *lines)
{
    bool *taken = calloc(after->hosts.count + 1, sizeof(*taken));
    struct hosts *all = NULL;
    char where[32];
    err made = taken != NULL ? hosts_of_all(settings, &all) : ERR(MEMORY);

    if (err_is_ok(made))
        made = wildcards_check(settings, own, after, taken);
    for (uint32_t i = 0; err_is_ok(made) && i < after->hosts.count; i++) {
        slice host = after->hosts.items[i];
        uint32_t whose;
        snprintf(where, sizeof(where), ".hosts[%u]", i);
        if (has_among(after, i, host))
            line_add(lines, where, "is here twice; write it once");
        if (has_host(&settings->tenants.items[own], host) || (hosts_find(all, host, &whose) && whose == own && !taken[i]))
            continue;
        line_add(lines, where, "is no name of the tenant, and none that is free below a wildcard of its own; only the operator gives it others");
    }
    if (err_is_ok(made) && after->hosts.count == 0 && settings->tenants.items[own].hosts.count > 0)
        line_add(lines, ".hosts", "the last of them stays; whoever wants none deletes the tenant");
    hosts_free(all);
    free(taken);
    return made;
}

/* ---- rules ------------------------------------------------------------------------------------------------------------- */

struct cost {
    uint64_t searches, edits, limits, entries;
};

static uint64_t pairs_cost(const struct conf_pair *pairs, uint32_t count)
{
    uint64_t searches = count;

    for (uint32_t i = 0; i < count; i++)
        searches += conf_stars(pairs[i].value);
    return searches;
}

static uint64_t edit_cost(const struct conf_edit *edit)
{
    return (uint64_t)edit->remove.count + edit->set.count + edit->add.count;
}

static struct cost rules_cost(const struct conf_tenant *tenant)
{
    struct cost cost = {0};

    for (uint32_t r = 0; r < tenant->rules.count; r++) {
        const struct conf_rule *rule = &tenant->rules.items[r];
        const struct conf_match *match = &rule->match;

        for (uint32_t i = 0; i < match->paths.count; i++)
            cost.searches += conf_stars(match->paths.items[i]);
        cost.searches += pairs_cost(match->query.items, match->query.count) + pairs_cost(match->fields.items, match->fields.count) +
                         pairs_cost(match->cookies.items, match->cookies.count);
        cost.edits += edit_cost(&rule->request_edit) + edit_cost(&rule->response_edit);
        cost.limits += (rule->rate.per_s > 0) + (rule->client_rate.per_s > 0);
        cost.entries += (uint64_t)match->paths.count + match->methods.count + match->clients.count + rule->allow.count + rule->deny.count;
    }
    return cost;
}

static void cost_check(struct lines *lines, const char *of_what, uint64_t before, uint64_t after, unsigned max)
{
    char what[160];

    if (after <= max || after <= before)
        return;
    snprintf(what, sizeof(what), "there are %llu %s; an owner writes at most %u", (unsigned long long)after, of_what, max);
    line_add(lines, ".rules", what);
}

static void rules_check(const struct conf_tenant *before, const struct conf_tenant *after, struct lines *lines)
{
    struct cost was = rules_cost(before), is = rules_cost(after);

    cost_check(lines, "patterns that search", was.searches, is.searches, OWNER_SEARCHES_MAX);
    cost_check(lines, "edits of fields", was.edits, is.edits, OWNER_EDITS_MAX);
    cost_check(lines, "rates of rules", was.limits, is.limits, OWNER_LIMITS_MAX);
    cost_check(lines, "paths, methods and ranges of addresses", was.entries, is.entries, OWNER_ENTRIES_MAX);
}

/* ---- all of it ---------------------------------------------------------------------------------------------------------- */

MUST_USE static err lines_write(const struct settings *in_force, const struct conf_tenant *after, struct lines *lines)
{
    uint32_t own = tenant_at(in_force, after->name);

    if (own == in_force->tenants.count) {
        line_add(lines, "", "only the operator makes tenants");
        return ERR_OK;
    }
    TRY(hosts_check(in_force, own, after, lines));
    rules_check(&in_force->tenants.items[own], after, lines);
    conf_operators_compare(&in_force->tenants.items[own], after, operators_found, lines);
    if (lines->count > OWNER_LINES_MAX)
        fprintf(lines->out, "and %u more\n", lines->count - OWNER_LINES_MAX);
    return ERR_OK;
}

err owner_check(const struct settings *in_force, const struct conf_tenant *after, char **ret_lines)
{
    char *text = NULL;
    size_t len = 0;
    struct lines lines = {.out = open_memstream(&text, &len), .tenant = after->name};
    err written;

    ENSURE(lines.out != NULL, MEMORY);
    written = lines_write(in_force, after, &lines);
    if (fclose(lines.out) != 0)
        written = ERR(MEMORY);
    if (!err_is_ok(written) || lines.count == 0) {
        free(text);
        text = NULL;
    }
    if (err_is_ok(written))
        *ret_lines = text;
    return written;
}
