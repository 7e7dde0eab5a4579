/* decide: what the rules say of one request. */
#include "tenant/device.h"
#include "tenant/pattern.h"
#include "tenant/query.h"
#include "tenant/tenant_own.h"

#define NS_PER_S UINT64_C(1000000000)

/* One request held against the rules. What rules ask for often is made once, when the first of them asks. */
struct decision {
    const struct tenant *tenant;
    const struct request *request;
    const struct tenant_client *client;
    struct arena *arena;
    struct policy *policy;
    slice path;                    /* as rules see it; data NULL: not made yet */
    const struct conf_key *key;    /* of the last rule that has one */
    const struct conf_redirect *redirect;
    struct pattern_steps steps;    /* for all rules */
    bool is_counted;               /* against limits */
    bool no_memory;
};

uint16_t policy_verdict_status(enum policy_verdict verdict)
{
    static const uint16_t statuses[] = {
#define X(name, status, word) status,
        POLICY_VERDICTS(X)
#undef X
    };
    return statuses[verdict];
}

const char *policy_verdict_word(enum policy_verdict verdict)
{
    static const char *const verdict_words[] = {
#define X(name, status, word) word,
        POLICY_VERDICTS(X)
#undef X
    };
    return verdict_words[verdict];
}

/* ---- does a rule match? ------------------------------------------------------------------------------------------- */

static bool matches_path(struct decision *decision, const struct conf_match *match)
{
    if (match->paths.count == 0)
        return true;
    if (decision->path.data == NULL)
        decision->path = path_of_target(decision->arena, decision->request->target);
    decision->no_memory |= decision->path.data == NULL;
    for (uint32_t i = 0; i < match->paths.count && decision->path.data != NULL && !decision->steps.are_over; i++)
        if (path_matches(match->paths.items[i], decision->path, &decision->steps))
            return true;
    return false;
}

static bool matches_method(struct decision *decision, const struct conf_match *match)
{
    for (uint32_t i = 0; i < match->methods.count && pattern_step(&decision->steps, 1); i++)
        if (slice_eq(match->methods.items[i], decision->request->method_name))
            return true;
    return match->methods.count == 0;
}

static bool has_address(const struct tenant_client *client)
{
    return !client->is_local && !client->is_unknown;
}

static bool matches_client(struct decision *decision, const struct conf_range *ranges, uint32_t count)
{
    for (uint32_t i = 0; i < count && has_address(decision->client) && pattern_step(&decision->steps, 1); i++)
        if (range_holds(&ranges[i], decision->client->address))
            return true;
    return false;
}

/* Is there a pair of that name whose value matches? */
static bool list_has(slice list, char separator, const struct conf_pair *wanted, struct pattern_steps *steps)
{
    slice name, value;

    while (!steps->are_over && pair_next(&list, separator, &name, &value))
        if (pattern_step_bytes(steps, 2 * (name.len + value.len)) && token_matches(wanted->name, name) &&
            pattern_matches(wanted->value, value, steps))
            return true;
    return false;
}

static bool matches_query(struct decision *decision, const struct conf_match *match)
{
    slice query = query_of_target(decision->request->target);

    for (uint32_t i = 0; i < match->query.count; i++)
        if (!list_has(query, '&', &match->query.items[i], &decision->steps))
            return false;
    return true;
}

static bool cookies_have(struct decision *decision, const struct conf_pair *wanted)
{
    const struct fields *fields = &decision->request->fields;

    if (!pattern_step(&decision->steps, 1 + fields->count))
        return false;
    for (int i = -1; (i = fields_next(fields, F_COOKIE, i + 1)) >= 0;)
        if (list_has(field_value(fields, (unsigned)i), ';', wanted, &decision->steps))
            return true;
    return false;
}

static bool matches_cookies(struct decision *decision, const struct conf_match *match)
{
    for (uint32_t i = 0; i < match->cookies.count; i++)
        if (!cookies_have(decision, &match->cookies.items[i]))
            return false;
    return true;
}

static bool fields_match(struct decision *decision, const struct conf_pair *wanted)
{
    const struct fields *fields = &decision->request->fields;

    if (!pattern_step(&decision->steps, 1 + fields->count))
        return false;
    for (unsigned i = 0; i < fields->count; i++)
        if (slice_eq_nocase(field_name(fields, i), wanted->name) &&
            pattern_matches(wanted->value, field_value(fields, i), &decision->steps))
            return true;
    return false;
}

static bool matches_fields(struct decision *decision, const struct conf_match *match)
{
    for (uint32_t i = 0; i < match->fields.count; i++)
        if (!fields_match(decision, &match->fields.items[i]))
            return false;
    return true;
}

/* Whoever hides where he comes from is held against every rule that shuts somebody out. */
static bool is_suspect(const struct decision *decision, const struct conf_rule *conf)
{
    return decision->client->is_unknown && conf->deny.count + conf->allow.count > 0;
}

static bool rule_matches(struct decision *decision, const struct conf_rule *conf)
{
    const struct conf_match *match = &conf->match;

    return matches_method(decision, match) && matches_path(decision, match) &&
           (match->clients.count == 0 || is_suspect(decision, conf) ||
            matches_client(decision, match->clients.items, match->clients.count)) &&
           matches_query(decision, match) && matches_cookies(decision, match) && matches_fields(decision, match);
}

/* ---- what it says ------------------------------------------------------------------------------------------------- */

static int32_t seconds_of(uint64_t ms)
{
    return (int32_t)MIN(ms / 1000, (uint64_t)INT32_MAX);
}

static bool is_denied(struct decision *decision, const struct conf_rule *conf)
{
    return is_suspect(decision, conf) || matches_client(decision, conf->deny.items, conf->deny.count) ||
           (conf->allow.count > 0 && !decision->client->is_local &&
            !matches_client(decision, conf->allow.items, conf->allow.count));
}

/* What is not known is refused: behind a rule that was not looked at may be one that denies. */
static bool is_too_costly(struct decision *decision, const struct rule *rule)
{
    if (!pattern_step(&decision->steps, 1)) {
        decision->policy->verdict = POLICY_COSTLY;
        decision->policy->rule = rule->name;
    }
    return decision->steps.are_over;
}

/* What the rule says takes the place of what earlier ones said. */
static void rule_apply(struct decision *decision, const struct conf_rule *conf)
{
    struct policy *policy = decision->policy;

    if (CONF_GIVEN(conf->given, CONF_RULE_cache))
        policy->cache = conf->cache;
    if (CONF_GIVEN(conf->given, CONF_RULE_ttl_override))
        policy->ttl_override = conf->ttl_override;
    if (CONF_GIVEN(conf->given, CONF_RULE_swr_ms))
        policy->swr_s = seconds_of(conf->swr_ms);
    if (CONF_GIVEN(conf->given, CONF_RULE_sie_ms))
        policy->sie_s = seconds_of(conf->sie_ms);
    if (CONF_GIVEN(conf->given, CONF_RULE_client_directives))
        policy->client_directives = conf->client_directives;
    if (CONF_GIVEN(conf->given, CONF_RULE_is_static))
        policy->is_static = conf->is_static;
    if (CONF_GIVEN(conf->given, CONF_RULE_set_cookie))
        policy->set_cookie = conf->set_cookie;
    if (CONF_GIVEN(conf->given, CONF_RULE_max_object_bytes))
        policy->max_object_bytes = conf->max_object_bytes;
    if (CONF_GIVEN(conf->given, CONF_RULE_key))
        decision->key = &conf->key;
    if (CONF_GIVEN(conf->given, CONF_RULE_redirect))
        decision->redirect = &conf->redirect;
}

static void rules_match(struct decision *decision)
{
    const struct tenant_rules *rules = decision->tenant->rules;
    struct policy *policy = decision->policy;

    for (unsigned i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        bool matches = rule_matches(decision, rule->conf), denied = matches && is_denied(decision, rule->conf);
        if (is_too_costly(decision, rule))
            return;
        if (!matches)
            continue;
        policy->rules[i / 64] |= (uint64_t)1 << (i % 64);
        policy->rule_count++;
        if (denied) {
            policy->verdict = POLICY_DENIED;
            policy->rule = rule->name;
            return;
        }
        if (CONF_GIVEN(rule->conf->given, CONF_RULE_redirect))
            policy->rule = rule->name;
        rule_apply(decision, rule->conf);
    }
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

static void refuse(struct policy *policy, enum policy_verdict verdict, slice rule, uint64_t wait_ns)
{
    policy->verdict = (uint8_t)verdict;
    policy->rule = rule;
    policy->retry_after_s = (uint32_t)MIN((wait_ns + NS_PER_S - 1) / NS_PER_S, UINT64_C(86400));
}

static bool client_takes(struct decision *decision, uint64_t whose, const struct limit *limit, slice rule)
{
    const struct tenant_client *client = decision->client;
    uint64_t wait_ns = 0;

    if (limit->every_ns == 0 || client->is_local ||
        client_buckets_take(decision->tenant->rules->clients, whose, client->address, limit, client->now_ns, &wait_ns))
        return true;
    refuse(decision->policy, POLICY_CLIENT_RATE, rule, wait_ns);
    return false;
}

static bool all_take(struct decision *decision, struct tenant_usage *usage, const struct limit *limit, slice rule)
{
    uint64_t wait_ns = 0;

    if (limit->every_ns == 0 || bucket_take(&usage->bucket, limit, decision->client->now_ns, &wait_ns))
        return true;
    refuse(decision->policy, POLICY_RATE, rule, wait_ns);
    return false;
}

/* A client's own limit first: what it may not have is not taken from the others' either. */
static bool rates_take(struct decision *decision)
{
    const struct tenant_rules *rules = decision->tenant->rules;
    struct policy *policy = decision->policy;

    if (!client_takes(decision, rules->whose, &rules->client_rate, SLICE("")) ||
        !all_take(decision, decision->tenant->usage, &rules->rate, SLICE("")))
        return false;
    for (unsigned i = 0; i < rules->count; i++) {
        const struct rule *rule = &rules->rules[i];
        if (((policy->rules[i / 64] >> (i % 64)) & 1) == 0)
            continue;
        if (!client_takes(decision, rule->whose, &rule->client_rate, rule->name) ||
            !all_take(decision, rule->usage, &rule->rate, rule->name))
            return false;
    }
    return true;
}

static void place_take(struct decision *decision)
{
    const struct tenant_rules *rules = decision->tenant->rules;
    struct tenant_usage *usage = decision->tenant->usage;

    if (rules->requests_max == 0 ||
        atomic_fetch_add_explicit(&usage->requests, 1, memory_order_relaxed) < rules->requests_max)
        return;
    atomic_fetch_sub_explicit(&usage->requests, 1, memory_order_relaxed);
    refuse(decision->policy, POLICY_BUSY, SLICE(""), 0);
}

/* ---- key ---------------------------------------------------------------------------------------------------------- */

/* Parts of key_extra: kind, length and bytes of name and value each, so that no two sets of values look the same. */
struct extra {
    char *at;
    size_t bytes;
};

static void extra_put(struct extra *extra, const void *bytes, size_t len)
{
    if (extra->at != NULL && len > 0)
        memcpy(extra->at + extra->bytes, bytes, len);
    extra->bytes += len;
}

static void extra_part(struct extra *extra, char kind, slice name, slice value)
{
    uint32_t lengths[2] = {(uint32_t)name.len, (uint32_t)value.len};

    extra_put(extra, &kind, 1);
    extra_put(extra, lengths, sizeof(lengths));
    extra_put(extra, name.data, name.len);
    extra_put(extra, value.data, value.len);
}

static void extra_cookies(struct extra *extra, const struct fields *fields, slice wanted)
{
    for (int i = -1; (i = fields_next(fields, F_COOKIE, i + 1)) >= 0;) {
        slice list = field_value(fields, (unsigned)i), name, value;
        while (pair_next(&list, ';', &name, &value))
            if (token_matches(wanted, name))
                extra_part(extra, 'c', name, value);
    }
}

/* The name as the settings have it: its case in the request does not matter. */
static void extra_fields(struct extra *extra, const struct fields *fields, slice wanted)
{
    for (unsigned i = 0; i < fields->count; i++)
        if (slice_eq_nocase(field_name(fields, i), wanted))
            extra_part(extra, 'f', wanted, field_value(fields, i));
}

/* Written twice: once to measure it. */
static void extra_write(const struct decision *decision, struct extra *extra)
{
    const struct conf_key *key = decision->key;
    const struct fields *fields = &decision->request->fields;

    for (uint32_t i = 0; i < key->cookies.count; i++)
        extra_cookies(extra, fields, key->cookies.items[i]);
    for (uint32_t i = 0; i < key->fields.count; i++)
        extra_fields(extra, fields, key->fields.items[i]);
    if (key->device)
        extra_part(extra, 'd', SLICE(""), decision->policy->device);
}

static void key_decide(struct decision *decision)
{
    struct policy *policy = decision->policy;
    struct extra extra = {0};
    slice target;

    if (decision->key == NULL)
        return;
    target = query_rewrite(decision->arena, decision->request->target, decision->key);
    decision->no_memory |= target.data == NULL;
    if (target.data != decision->request->target.data)
        policy->target = target;
    if (decision->key->device)
        policy->device = device_class_word(device_class_of(fields_get(&decision->request->fields, F_USER_AGENT)));
    extra_write(decision, &extra);
    if (extra.bytes == 0)
        return;
    extra.at = arena_alloc(decision->arena, extra.bytes);
    decision->no_memory |= extra.at == NULL;
    extra.bytes = 0;
    if (extra.at != NULL)
        extra_write(decision, &extra);
    policy->key_extra = slice_of(extra.at, extra.bytes);
}

/* ---- redirects ---------------------------------------------------------------------------------------------------- */

struct placeholder {
    slice name, value;
};

/* What a URL does not hold (RFC 3986 2): browsers read "\\" as a slash, and pages that quote it end early. */
static bool is_escaped(unsigned char c)
{
    return c <= 0x20 || c >= 0x7f || strchr("\\<>\"`{}|^", c) != NULL;
}

/* Returns the length; writes nothing where out is NULL. */
static size_t escape(slice text, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (out != NULL && is_escaped(c)) {
            out[len] = '%';
            out[len + 1] = "0123456789ABCDEF"[c >> 4];
            out[len + 2] = "0123456789ABCDEF"[c & 15];
        } else if (out != NULL) {
            out[len] = (char)c;
        }
        len += is_escaped(c) ? 3 : 1;
    }
    return len;
}

/* The template with its placeholders replaced; writes nothing where out is NULL. Returns its length. */
static size_t expand(slice text, const struct placeholder *values, unsigned count, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < text.len;) {
        slice from = slice_of(text.data + i, 1);
        size_t taken = 1;
        for (unsigned v = 0; v < count; v++) {
            if (!slice_starts(slice_from(text, i), values[v].name))
                continue;
            from = values[v].value;
            taken = values[v].name.len;
        }
        len += escape(from, out != NULL ? out + len : NULL);
        i += taken;
    }
    return len;
}

/* "?" before nothing is left out; "//host" would lead to another host, where a path was meant. */
static slice location_of(const char *text, size_t len, bool has_query)
{
    slice location = slice_of(text, len);

    if (!has_query && slice_ends(location, SLICE("?")))
        location.len--;
    while (slice_starts(location, SLICE("//")))
        location = slice_from(location, 1);
    return location;
}

/* {path} is the request's own, not what rules see: the client gets back what it wrote. */
static void redirect_decide(struct decision *decision)
{
    const struct request *request = decision->request;
    struct policy *policy = decision->policy;
    slice query = query_of_target(request->target);
    size_t path_len = slice_find(request->target, '?') >= 0 ? (size_t)slice_find(request->target, '?') : request->target.len;
    struct placeholder values[] = {
        {SLICE("{host}"), request->authority}, {SLICE("{path}"), slice_of(request->target.data, path_len)}, {SLICE("{query}"), query}};
    size_t len;
    char *out;

    if (decision->redirect == NULL)
        return;
    len = expand(decision->redirect->to, values, ARRAY_LEN(values), NULL);
    out = arena_alloc(decision->arena, MAX(len, (size_t)1));
    decision->no_memory |= out == NULL;
    if (out == NULL)
        return;
    expand(decision->redirect->to, values, ARRAY_LEN(values), out);
    policy->location = location_of(out, len, query.len > 0);
    policy->redirect_status = (uint16_t)decision->redirect->status;
    policy->verdict = POLICY_REDIRECT;
}

/* ---- all of it ---------------------------------------------------------------------------------------------------- */

static const struct policy *decide(struct decision *decision)
{
    struct policy *policy = arena_alloc(decision->arena, sizeof(*policy));

    if (policy == NULL)
        return NULL;
    *policy = decision->tenant->policy;
    decision->policy = policy;
    rules_match(decision);
    if (policy->verdict != POLICY_GO || decision->no_memory)
        return decision->no_memory ? NULL : policy;
    if (decision->is_counted && !rates_take(decision))
        return policy;
    redirect_decide(decision);
    if (policy->verdict == POLICY_GO)
        key_decide(decision);
    if (decision->no_memory)
        return NULL;
    if (policy->verdict == POLICY_GO && decision->is_counted)
        place_take(decision);
    return policy;
}

const struct policy *tenant_enter(const struct tenant *tenant, const struct request *request, const struct tenant_client *client,
                                  struct arena *arena)
{
    struct decision decision = {.tenant = tenant, .request = request, .client = client, .arena = arena,
                                .steps.left = TENANT_STEPS_MAX, .is_counted = true};

    return tenant->rules == NULL ? &tenant->policy : decide(&decision);
}

const struct policy *tenant_explain(const struct tenant *tenant, const struct request *request, const struct tenant_client *client,
                                    struct arena *arena)
{
    struct decision decision = {.tenant = tenant, .request = request, .client = client, .arena = arena,
                                .steps.left = TENANT_STEPS_MAX};

    return tenant->rules == NULL ? &tenant->policy : decide(&decision);
}

void tenant_leave(const struct tenant *tenant)
{
    if (tenant->rules != NULL && tenant->rules->requests_max > 0)
        atomic_fetch_sub_explicit(&tenant->usage->requests, 1, memory_order_relaxed);
}
