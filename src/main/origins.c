/* The origins that the settings name. */
#include "main/node.h"

#include "base/log.h"

#include <stdio.h>

err origins_of(const struct config *config, slice demo_url, char *message, size_t message_size,
               struct origin_group **ret_group)
{
    struct net_tls_options tls = {
        .ca_file = config->origin_ca,
        .cert_file = config->origin_cert,
        .key_file = config->origin_key,
        .name = config->origin_name,
        .verify = !config->origin_insecure,
        .h2 = !config->origin_http1,
    };
    slice urls[CONFIG_LIST_MAX];
    unsigned count = config->origin.count;

    if ((tls.cert_file == NULL) != (tls.key_file == NULL)) {
        snprintf(message, message_size, "%s is given without %s", tls.cert_file != NULL ? "--origin-cert" : "--origin-key",
                 tls.cert_file != NULL ? "--origin-key" : "--origin-cert");
        return ERR(INVALID);
    }
    for (unsigned i = 0; i < count; i++)
        urls[i] = slice_str(config->origin.items[i]);
    if (count == 0)
        urls[count++] = demo_url;
    return origin_group_new(urls, count, slice_str(config->origin_host), &tls, message, message_size, ret_group);
}

/* Before anything runs: what is wrong now would be wrong in every worker process. */
bool origins_check(const struct config *config, char *message, size_t message_size)
{
    struct origin_group *group = NULL;
    err result = origins_of(config, SLICE("http://127.0.0.1"), message, message_size, &group);

    origin_group_free(group);
    if (err_is_ok(result) && config->origin_insecure)
        log_warn("--origin-insecure: certificates of https origins are NOT verified: anybody between here and there can "
                 "read and change everything");
    return err_is_ok(result);
}
