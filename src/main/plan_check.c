/* What is wrong with settings on this machine: files that cannot be read, numbers that contradict its memory. Nothing is bound. */
#include "main/node_tenants.h"
#include "main/node_tls.h"
#include "main/plan.h"

#include <stdio.h>

#define WHY_BYTES 512u

static void access_log_check(const struct config *config, struct settings_places *places)
{
    err opened = config_has_access_log(config) ? os_append_check(config->access_log) : ERR_OK;
    char why[WHY_BYTES];

    if (err_is_ok(opened))
        return;
    snprintf(why, sizeof(why), "%s: %s", config->access_log, err_file_text(opened));
    settings_option_problem(places, CONFIG_access_log, why);
}

static void listeners_check(const struct config *config, struct settings_places *places)
{
    if (config->listen.count + config->listen_tls.count > NODE_LISTENERS_MAX)
        settings_option_problem(places, config->listen.count > 1 ? CONFIG_listen : CONFIG_listen_tls,
                                "listen, listen-tls: at most 16 addresses; write less of them");
}

static void shares_check(const struct settings *settings, struct settings_places *places)
{
    const struct config *config = &settings->config;
    uint64_t ram_bytes = plan_memory_bytes(config);
    char why[WHY_BYTES];

    for (uint32_t i = 0; i < settings->tenants.count && config_is_given(config, CONFIG_memory); i++) {
        const struct conf_tenant *tenant = &settings->tenants.items[i];
        uint64_t guaranteed_bytes = ram_bytes / 100 * tenant->guaranteed_percent;
        if (!tenant->memory_hard.is_given || tenant->memory_hard.percent > 0 || tenant->memory_hard.bytes >= guaranteed_bytes)
            continue;
        snprintf(why, sizeof(why), "is below what is guaranteed (%u%% of memory: %llu bytes); write more, or guarantee less",
                 tenant->guaranteed_percent, (unsigned long long)guaranteed_bytes);
        settings_tenant_problem(places, tenant, "memory-hard", 0, NULL, why);
    }
}

err plan_check(const struct settings *settings, unsigned what, struct conf_report *report)
{
    struct settings_places places = {.settings = settings, .report = report};

    if (what & PLAN_CHECK_REST) {
        listeners_check(&settings->config, &places);
        shares_check(settings, &places);
        access_log_check(&settings->config, &places);
    }
    if (what & PLAN_CHECK_TENANTS)
        node_tenants_check(settings, &places);
    if (what & PLAN_CHECK_CERTIFICATES)
        node_identity_check(settings, &places);
    settings_places_done(&places);
    conf_report_sort(report);
    return conf_report_is_clean(report) ? ERR_OK : ERR(INVALID);
}
