#include "main/control_restart.h"

#include "conf/config_internal.h"

#include <stdio.h>
#include <string.h>

static bool is_changed_at_run_time(unsigned option)
{
    switch (option) {
    case CONFIG_listen:
    case CONFIG_listen_tls:
    case CONFIG_cert:
    case CONFIG_key:
    case CONFIG_cert_dir:
    case CONFIG_admin_cert:
    case CONFIG_admin_key:
    case CONFIG_admin_client_ca:
    case CONFIG_origin:
    case CONFIG_origin_ca:
    case CONFIG_origin_cert:
    case CONFIG_origin_key:
    case CONFIG_origin_name:
    case CONFIG_origin_insecure:
    case CONFIG_origin_http1:
    case CONFIG_origin_host:
    case CONFIG_log_level:
    case CONFIG_metrics_auth:
        return true;
    default:
        return false;
    }
}

static bool texts_differ(const char *a, const char *b)
{
    return (a == NULL) != (b == NULL) || (a != NULL && strcmp(a, b) != 0);
}

static bool lists_differ(const struct config_list *a, const struct config_list *b)
{
    if (a->count != b->count)
        return true;
    for (unsigned i = 0; i < a->count; i++)
        if (texts_differ(a->items[i], b->items[i]))
            return true;
    return false;
}

static bool option_differs(unsigned i, const struct config *a, const struct config *b)
{
    const struct config_option *option = &config_options[i];
    const char *one = (const char *)a + option->offset, *other = (const char *)b + option->offset;

    switch (option->kind) {
    case KIND_STRING:
        return texts_differ(*(const char *const *)(const void *)one, *(const char *const *)(const void *)other);
    case KIND_LIST:
        return lists_differ((const void *)one, (const void *)other);
    case KIND_SIZE:
    case KIND_DURATION:
        return memcmp(one, other, sizeof(uint64_t)) != 0;
    case KIND_SWITCH:
        return *(const bool *)(const void *)one != *(const bool *)(const void *)other;
    case KIND_COUNT:
    case KIND_IO:
    case KIND_LEVEL:
        return memcmp(one, other, sizeof(uint32_t)) != 0;
    }
    return false;
}

static size_t field_size(enum config_kind kind)
{
    static const size_t sizes[] = {
        [KIND_STRING] = sizeof(const char *), [KIND_LIST] = sizeof(struct config_list), [KIND_SIZE] = sizeof(uint64_t),
        [KIND_DURATION] = sizeof(uint64_t),   [KIND_COUNT] = sizeof(uint32_t),          [KIND_SWITCH] = sizeof(bool),
        [KIND_IO] = sizeof(enum config_io),   [KIND_LEVEL] = sizeof(enum log_level)};

    return sizes[kind];
}

void control_restart_keep(const struct config *started, struct config *config)
{
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        uint32_t bit = UINT32_C(1) << (i % 32);
        size_t at = config_options[i].offset;
        if (is_changed_at_run_time(i))
            continue;
        memcpy((char *)config + at, (const char *)started + at, field_size(config_options[i].kind));
        config->given[i / 32] = (config->given[i / 32] & ~bit) | (started->given[i / 32] & bit);
    }
}

void control_restart_note(const struct config *started, const struct config *now, char *note, size_t size)
{
    size_t len = 0;

    note[0] = '\0';
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        if (!is_changed_at_run_time(i) && option_differs(i, started, now) && len < size - 64)
            len += (size_t)snprintf(note + len, size - len, "%s%s", len > 0 ? ", " : "", config_options[i].flag);
    if (len > 0)
        snprintf(note + len, size - len, ": changed in the configuration, in force after a restart");
}
