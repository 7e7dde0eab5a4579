#include "main/node_tenants.h"

#include "base/hash.h"
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (1u << 20)

/* What a tenant's settings say of its origins, or the options where they say nothing. */
struct origin_settings {
    const slice *urls;
    unsigned count;
    slice host, ca, cert, key, name;
    bool insecure, http1;
    bool is_option; /* from the options: messages name flags */
};

/* Trust stores and keys take memory: tenants that say the same share them. */
struct tls_shared {
    uint64_t settings;
    struct net_tls_config *tls;
};

struct making {
    const struct node_tenants_config *config;
    char *message;
    size_t message_size;
    struct tls_shared *shared;
    unsigned shared_count, shared_room;
    slice option_urls[CONFIG_LIST_MAX];
};

/* ---- what is said of origins ---------------------------------------------------------------------------------------- */

static struct origin_settings settings_of_options(struct making *making)
{
    const struct config *config = &making->config->settings->config;
    unsigned count = config->origin.count;

    for (unsigned i = 0; i < count; i++)
        making->option_urls[i] = slice_str(config->origin.items[i]);
    if (count == 0 && making->config->demo_url.len > 0)
        making->option_urls[count++] = making->config->demo_url;
    return (struct origin_settings){.urls = making->option_urls,
                                    .count = count,
                                    .host = slice_str(config->origin_host),
                                    .ca = slice_str(config->origin_ca),
                                    .cert = slice_str(config->origin_cert),
                                    .key = slice_str(config->origin_key),
                                    .name = slice_str(config->origin_name),
                                    .insecure = config->origin_insecure,
                                    .http1 = config->origin_http1,
                                    .is_option = true};
}

static struct origin_settings settings_of_tenant(struct making *making, const struct conf_tenant *conf)
{
    if (conf->origins.count == 0)
        return settings_of_options(making);
    return (struct origin_settings){.urls = conf->origins.items,
                                    .count = conf->origins.count,
                                    .host = conf->origin_host,
                                    .ca = conf->origin_ca,
                                    .cert = conf->origin_cert,
                                    .key = conf->origin_key,
                                    .name = conf->origin_name,
                                    .insecure = conf->origin_insecure,
                                    .http1 = conf->origin_http1};
}

static uint64_t mix(uint64_t hash, slice text)
{
    return hash64(text, hash ^ text.len);
}

/* A file that was written anew is another setting. What cannot be read is said by who needs it. */
static uint64_t mix_file(uint64_t hash, slice path)
{
    char *bytes;
    size_t len;

    hash = mix(hash, path);
    if (path.len == 0 || !err_is_ok(os_file_read(path.data, FILE_BYTES_MAX, &bytes, &len)))
        return hash;
    hash = mix(hash, slice_of(bytes, len));
    free(bytes);
    return hash;
}

static uint64_t tls_hash(const struct origin_settings *origins)
{
    uint8_t switches = (uint8_t)(origins->insecure | origins->http1 << 1);

    return hash64(slice_of(&switches, 1),
                  mix(mix_file(mix_file(mix_file(0, origins->ca), origins->cert), origins->key), origins->name));
}

static uint64_t origins_hash(const struct origin_settings *origins, uint64_t tls)
{
    uint64_t hash = mix(tls, origins->host);

    for (unsigned i = 0; i < origins->count; i++)
        hash = mix(hash, origins->urls[i]);
    return hash;
}

/* ---- making them ---------------------------------------------------------------------------------------------------- */

MUST_USE static err tls_pair_check(struct making *making, const struct origin_settings *origins)
{
    const char *dashes = origins->is_option ? "--" : "";

    if ((origins->cert.len == 0) == (origins->key.len == 0))
        return ERR_OK;
    snprintf(making->message, making->message_size, "%sorigin-%s is given without %sorigin-%s", dashes,
             origins->cert.len > 0 ? "cert" : "key", dashes, origins->cert.len > 0 ? "key" : "cert");
    return ERR(INVALID);
}

static const char *text_of(slice text)
{
    return text.len > 0 ? text.data : NULL; /* settings are terminated */
}

MUST_USE static err tls_make(struct making *making, const struct origin_settings *origins, uint64_t hash,
                             struct net_tls_config **ret_tls)
{
    struct net_tls_options options = {.ca_file = text_of(origins->ca),
                                      .cert_file = text_of(origins->cert),
                                      .key_file = text_of(origins->key),
                                      .name = text_of(origins->name),
                                      .verify = !origins->insecure,
                                      .h2 = !origins->http1};

    if (making->shared_count == making->shared_room) {
        unsigned room = making->shared_room == 0 ? 16 : 2 * making->shared_room;
        struct tls_shared *grown = realloc(making->shared, room * sizeof(*grown));
        ENSURE(grown != NULL, MEMORY);
        making->shared = grown;
        making->shared_room = room;
    }
    TRY(net_tls_config_new(&options, making->message, making->message_size, ret_tls));
    making->shared[making->shared_count++] = (struct tls_shared){hash, *ret_tls};
    return ERR_OK;
}

static bool is_any_https(const struct origin_settings *origins)
{
    for (unsigned i = 0; i < origins->count; i++)
        if (slice_starts(origins->urls[i], SLICE("https://")))
            return true;
    return false;
}

/* *ret_tls is the making's. */
MUST_USE static err tls_of(struct making *making, const struct origin_settings *origins, uint64_t hash, struct net_tls_config **ret_tls)
{
    *ret_tls = NULL;
    TRY(tls_pair_check(making, origins));
    if (!is_any_https(origins) && origins->ca.len == 0 && origins->cert.len == 0) /* a file that is named is read: it can be wrong */
        return ERR_OK;
    for (unsigned i = 0; i < making->shared_count; i++) {
        if (making->shared[i].settings == hash) {
            *ret_tls = making->shared[i].tls;
            return ERR_OK;
        }
    }
    return tls_make(making, origins, hash, ret_tls);
}

MUST_USE static err group_make(struct making *making, const struct origin_settings *origins, uint64_t tls_settings, uint64_t settings,
                               struct origin_group **ret_group)
{
    struct origin_group_config config = {
        .urls = origins->urls, .count = origins->count, .host_override = origins->host, .h2 = !origins->http1};

    char why[NODE_TENANTS_MESSAGE_BYTES];

    TRY(tls_of(making, origins, tls_settings, &config.tls));
    err made = origin_group_new(&config, why, sizeof(why), ret_group);
    if (!err_is_ok(made)) {
        snprintf(making->message, making->message_size, "%s%s", origins->is_option ? "--" : "", why);
        return made;
    }
    (*ret_group)->settings = settings;
    return ERR_OK;
}

/* The group of the set before where nothing has changed. */
MUST_USE static err tenant_origins(struct making *making, struct tenant *tenant)
{
    struct origin_settings origins = settings_of_tenant(making, tenant->conf);
    uint64_t tls = tls_hash(&origins), settings = origins_hash(&origins, tls);
    const struct tenant *old = making->config->before != NULL ? tenants_named(making->config->before, tenant->name) : NULL;

    if (old != NULL && old->origins->settings == settings) {
        tenant->origins = origin_group_share(old->origins);
        return ERR_OK;
    }
    return group_make(making, &origins, tls, settings, &tenant->origins);
}

MUST_USE static err all_origins(struct making *making, struct tenants *tenants)
{
    char why[NODE_TENANTS_MESSAGE_BYTES];

    for (unsigned i = 0; i < tenants_count(tenants); i++) {
        struct tenant *tenant = tenants_at(tenants, i);
        err made = tenant_origins(making, tenant);
        if (err_is_ok(made))
            continue;
        if (!tenants_is_default_only(tenants)) {
            snprintf(why, sizeof(why), "%s", making->message);
            snprintf(making->message, making->message_size, "tenants." SLICE_FMT ": %s", SLICE_ARG(tenant->name), why);
        }
        return made;
    }
    return ERR_OK;
}

/* ---- which of them is wrong ----------------------------------------------------------------------------------------------- */

/* The setting that the message is about. */
static const char *wrong_setting(struct making *making, const struct origin_settings *origins)
{
    struct net_tls_options options = {.ca_file = text_of(origins->ca), .verify = true, .h2 = true};
    struct net_tls_config *tls = NULL;

    if (!err_is_ok(tls_pair_check(making, origins)))
        return origins->cert.len > 0 ? "origin-cert" : "origin-key";
    if (origins->ca.len > 0 && !err_is_ok(net_tls_config_new(&options, making->message, making->message_size, &tls)))
        return "origin-ca";
    net_tls_config_unref(tls);
    return origins->cert.len > 0 ? "origin-cert" : "origins";
}

static enum config_index option_of(const char *setting)
{
    if (strcmp(setting, "origin-ca") == 0)
        return CONFIG_origin_ca;
    if (strcmp(setting, "origin-cert") == 0)
        return CONFIG_origin_cert;
    return strcmp(setting, "origin-key") == 0 ? CONFIG_origin_key : CONFIG_origin;
}

/* tenant NULL: the options. False: something is wrong, and in the report. */
static bool origins_check(struct making *making, const struct conf_tenant *tenant, struct settings_places *places)
{
    struct origin_settings origins = tenant != NULL ? settings_of_tenant(making, tenant) : settings_of_options(making);
    struct net_tls_config *tls;
    const char *setting;

    if (err_is_ok(tls_of(making, &origins, tls_hash(&origins), &tls)))
        return true;
    setting = wrong_setting(making, &origins);
    if (origins.is_option)
        settings_option_problem(places, option_of(setting), making->message);
    else
        settings_tenant_problem(places, tenant, setting, 0, NULL, making->message);
    return false;
}

void node_tenants_check(const struct settings *settings, struct settings_places *places)
{
    const struct node_tenants_config config = {.settings = settings};
    char message[NODE_TENANTS_MESSAGE_BYTES] = "out of memory";
    struct making making = {.config = &config, .message = message, .message_size = sizeof(message)};
    bool is_fine = origins_check(&making, NULL, places);

    for (uint32_t i = 0; i < settings->tenants.count; i++)
        if (is_fine || settings->tenants.items[i].origins.count > 0) /* the options' are told once */
            (void)origins_check(&making, &settings->tenants.items[i], places);
    for (unsigned i = 0; i < making.shared_count; i++)
        net_tls_config_unref(making.shared[i].tls);
    free(making.shared);
}

/* ---- the set -------------------------------------------------------------------------------------------------------- */

struct held {
    const struct settings *settings;
    void (*release)(void *settings);
};

/* A group that the next set has taken over has one more reference. */
static void tenants_let_go(struct tenants *tenants, void *arg)
{
    struct held *held = arg;

    for (unsigned i = 0; i < tenants_count(tenants); i++)
        origin_group_leave(tenants_at(tenants, i)->origins);
    if (held->release != NULL)
        held->release((void *)(uintptr_t)held->settings);
    free(held);
}

err node_tenants_new(const struct node_tenants_config *config, char *message, size_t message_size, struct tenants **ret_tenants)
{
    struct making making = {.config = config, .message = message, .message_size = message_size};
    struct held *held = calloc(1, sizeof(*held));
    struct tenants *tenants = NULL;
    err made = ERR(MEMORY);

    snprintf(message, message_size, "out of memory");
    if (held != NULL)
        made = tenants_new(config->settings, config->registry, config->wall_s, config->before, &tenants);
    if (made.code == ERR_LIMIT)
        snprintf(message, message_size, "there are no ids left for more tenants: %u were given out", TENANT_IDS_MAX);
    if (!err_is_ok(made)) {
        free(held);
        return made;
    }
    held->settings = config->settings;
    tenants_on_release(tenants, tenants_let_go, held);
    made = all_origins(&making, tenants);
    for (unsigned i = 0; i < making.shared_count; i++)
        net_tls_config_unref(making.shared[i].tls);
    free(making.shared);
    if (!err_is_ok(made)) {
        tenants_unref(tenants);
        return made;
    }
    held->release = config->release; /* on failure the settings stay the caller's */
    *ret_tenants = tenants;
    return ERR_OK;
}

/* More than there is room for are counted together, as "unknown". */
MUST_USE static err origin_metric(struct origin *origin, slice tenant, struct metrics *metrics)
{
    err added = metrics_origin_add(metrics, tenant, slice_str(origin->name), &origin->metric);

    if (added.code != ERR_LIMIT)
        return added;
    origin->metric = METRICS_ORIGIN_UNKNOWN;
    return ERR_OK;
}

err node_tenants_metrics(struct tenants *tenants, struct metrics *metrics)
{
    for (unsigned i = 0; i < tenants_count(tenants); i++) {
        const struct tenant *tenant = tenants_at(tenants, i);
        TRY(metrics_tenant_set(metrics, tenant->id, tenant->name));
        for (unsigned o = 0; o < tenant->origins->count; o++)
            TRY(origin_metric(&tenant->origins->origins[o], tenant->name, metrics));
    }
    return ERR_OK;
}

/* ---- quotas --------------------------------------------------------------------------------------------------------- */

static const struct store_quota no_quota = {0, STORE_NO_LIMIT, STORE_NO_LIMIT};

static uint64_t limit_of(const struct conf_share *share, uint64_t tier_bytes)
{
    if (!share->is_given)
        return STORE_NO_LIMIT;
    return share->percent > 0 ? tier_bytes / 100 * share->percent : share->bytes;
}

/* The first tier is RAM, the second the disk. */
static struct store_quota quota_of(const struct conf_tenant *conf, bool is_disk, uint64_t tier_bytes)
{
    return (struct store_quota){.guaranteed_bytes = tier_bytes / 100 * conf->guaranteed_percent,
                                .soft_bytes = limit_of(is_disk ? &conf->disk_soft : &conf->memory_soft, tier_bytes),
                                .hard_bytes = limit_of(is_disk ? &conf->disk_hard : &conf->memory_hard, tier_bytes)};
}

void node_tenants_limit(struct tenants *tenants, struct storage *storage)
{
    const struct storage *tier;

    for (unsigned i = 0; i < tenants_count(tenants); i++)
        origin_group_limit(tenants_at(tenants, i)->origins, tenants_at(tenants, i)->conf->origin_concurrency);
    for (unsigned t = 0; (tier = storage_tier(storage, t)) != NULL; t++) {
        struct store_stats stats;
        storage_stats(tier, &stats);
        for (unsigned i = 0; i < tenants_count(tenants); i++) {
            const struct tenant *tenant = tenants_at(tenants, i);
            struct store_quota quota = quota_of(tenant->conf, t > 0, stats.max_bytes);
            storage_quota_set(storage, t, tenant->id, &quota);
        }
    }
}

void node_tenants_unlimit(const struct tenants *before, const struct tenants *tenants, struct storage *storage)
{
    for (unsigned t = 0; storage_tier(storage, t) != NULL; t++) {
        for (unsigned i = 0; i < tenants_count(before); i++) {
            uint16_t id = tenants_at((struct tenants *)(uintptr_t)before, i)->id;
            if (tenants_of_id(tenants, id) == NULL)
                storage_quota_set(storage, t, id, &no_quota);
        }
    }
}
