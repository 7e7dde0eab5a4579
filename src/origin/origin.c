/* Addresses, groups and health. */
#include "origin/origin.h"
#include "origin/gate.h"
#include "origin/group.h"
#include "base/log.h"
#include "http/uri.h"

#include <stdio.h>
#include <stdlib.h>

#define DOWN_FIRST_NS UINT64_C(1000000000)
#define DOWN_MAX_NS   UINT64_C(30000000000)

static err origin_parse_port(slice text, uint16_t *ret_port)
{
    uint64_t port;

    ENSURE(slice_to_u64(text, &port) && port >= 1 && port <= 65535, INVALID);
    *ret_port = (uint16_t)port;
    return ERR_OK;
}

/* host, [ipv6] or host:port into host and port; the port stays as it was when there is none. */
static err origin_parse_authority(slice text, struct origin *origin)
{
    slice port = SLICE_NONE;

    if (text.len > 0 && text.data[0] == '[') {
        ptrdiff_t close = slice_find(text, ']');
        ENSURE(close > 1, INVALID);
        origin->host = (slice){text.data + 1, (size_t)close - 1};
        text = slice_from(text, (size_t)close + 1);
        ENSURE(text.len == 0 || text.data[0] == ':', INVALID);
        port = text.len > 0 ? slice_from(text, 1) : SLICE_NONE;
    } else {
        ptrdiff_t colon = slice_find(text, ':');
        origin->host = colon >= 0 ? (slice){text.data, (size_t)colon} : text;
        port = colon >= 0 ? slice_from(text, (size_t)colon + 1) : SLICE_NONE;
    }
    ENSURE(origin->host.len > 0, INVALID);
    if (port.data != NULL)
        TRY(origin_parse_port(port, &origin->port));
    for (size_t i = 0; i < origin->host.len; i++) {
        unsigned char c = (unsigned char)origin->host.data[i];
        ENSURE((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ascii_is_digit(c) || c == '-' || c == '.' ||
                   c == '_' || c == ':',
               INVALID);
    }
    return ERR_OK;
}

err origin_parse(slice text, struct origin *ret_origin, const char **ret_why)
{
    slice rest;

    *ret_why = "write http://host:port, https://host, h2c://host:port or host:port";
    ENSURE(text.len > 0 && text.len < ORIGIN_NAME_MAX, INVALID);
    memset(ret_origin, 0, sizeof(*ret_origin));
    memcpy(ret_origin->name, text.data, text.len);
    rest = slice_of(ret_origin->name, text.len);
    ret_origin->port = 80;
    if (slice_starts(rest, SLICE("http://"))) {
        rest = slice_from(rest, 7);
    } else if (slice_starts(rest, SLICE("https://"))) {
        rest = slice_from(rest, 8);
        ret_origin->https = true;
        ret_origin->port = 443;
    } else if (slice_starts(rest, SLICE("h2c://"))) {
        rest = slice_from(rest, 6);
        ret_origin->h2c = true;
        atomic_init(&ret_origin->speaks, NET_ALPN_H2);
    } else if (slice_find(rest, '/') >= 0) {
        return ERR(INVALID);
    }
    if (slice_ends(rest, SLICE("/")))
        rest.len--;
    if (slice_find(rest, '/') >= 0 || slice_find(rest, '?') >= 0) {
        *ret_why = "an origin has no path: what clients ask for is passed on as it is";
        return ERR(INVALID);
    }
    if (slice_find(rest, '@') >= 0) {
        *ret_why = "an origin has no user name";
        return ERR(INVALID);
    }
    TRY(origin_parse_authority(rest, ret_origin));
    if (!err_is_ok(os_address_from_ip(ret_origin->host, ret_origin->port, &ret_origin->address)))
        ret_origin->address.len = 0; /* a name */
    if (rest.data[0] == '[') /* brackets are for IPv6 literals, nothing else */
        ENSURE(ret_origin->address.len != 0 && ret_origin->address.any.sa_family == AF_INET6, INVALID);
    return ERR_OK;
}

static err group_fill(struct origin_group *group, const struct origin_group_config *config, char *message, size_t message_size)
{
    for (unsigned i = 0; i < config->count; i++) {
        struct origin *origin = &group->origins[i];
        const char *why;
        err parsed = origin_parse(config->urls[i], origin, &why);

        if (!err_is_ok(parsed)) {
            char name[80];
            snprintf(message, message_size, "origin %s: %s", log_safe(config->urls[i], name, sizeof(name)), why);
            return parsed;
        }
        INVARIANT(!origin->https || config->tls != NULL);
        origin->tls = origin->https ? group->tls : NULL;
        origin->h1_only = origin->https ? !config->h2 : !origin->h2c;
        if (origin->h1_only)
            atomic_store_explicit(&origin->speaks, NET_ALPN_H1, memory_order_relaxed);
        origin->group = group;
        group->count++;
    }
    return ERR_OK;
}

static char no_override[] = "";

err origin_group_new(const struct origin_group_config *config, char *message, size_t message_size, struct origin_group **ret_group)
{
    struct origin_group *group;
    err result;

    snprintf(message, message_size, "from 1 to %u origins can be named", ORIGINS_MAX);
    ENSURE(config->count > 0 && config->count <= ORIGINS_MAX && config->host_override.len < ORIGIN_NAME_MAX, INVALID);
    snprintf(message, message_size, "out of memory");
    group = calloc(1, sizeof(*group));
    ENSURE(group != NULL, MEMORY);
    atomic_init(&group->refs, 1);
    atomic_init(&group->sets, 1);
    origin_gate_init(&group->gate);
    group->tls = config->tls != NULL ? net_tls_config_ref(config->tls) : NULL;
    group->origins = calloc(config->count, sizeof(*group->origins));
    group->host_override = config->host_override.len > 0 ? strndup(config->host_override.data, config->host_override.len) : no_override;
    result = group->origins != NULL && group->host_override != NULL ? group_fill(group, config, message, message_size) : ERR(MEMORY);
    if (!err_is_ok(result)) {
        origin_group_unref(group);
        return result;
    }
    *ret_group = group;
    return ERR_OK;
}

struct origin_group *origin_group_ref(struct origin_group *group)
{
    atomic_fetch_add_explicit(&group->refs, 1, memory_order_relaxed);
    return group;
}

struct origin_group *origin_group_share(struct origin_group *group)
{
    atomic_fetch_add_explicit(&group->sets, 1, memory_order_relaxed);
    return origin_group_ref(group);
}

struct origin_group *origin_group_leave(struct origin_group *group)
{
    if (group != NULL && atomic_fetch_sub_explicit(&group->sets, 1, memory_order_acq_rel) == 1)
        atomic_store_explicit(&group->is_retired, true, memory_order_release);
    return origin_group_unref(group);
}

struct origin_group *origin_group_unref(struct origin_group *group)
{
    if (group == NULL || atomic_fetch_sub_explicit(&group->refs, 1, memory_order_acq_rel) > 1)
        return NULL;
    origin_gate_done(&group->gate);
    net_tls_config_unref(group->tls);
    if (group->host_override != no_override)
        free(group->host_override);
    free(group->origins);
    free(group);
    return NULL;
}

/* ---- health ------------------------------------------------------------------------------------------------ */

bool origin_is_healthy(const struct origin *origin, uint64_t now_ns)
{
    uint64_t until = atomic_load_explicit(&((struct origin *)(uintptr_t)origin)->down_until_ns, memory_order_relaxed);
    return until <= now_ns;
}

void origin_connected(struct origin *origin)
{
    if (atomic_load_explicit(&origin->failures, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&origin->failures, 0, memory_order_relaxed);
    atomic_store_explicit(&origin->down_until_ns, 0, memory_order_relaxed);
    log_info("origin %s answers again", origin->name);
}

void origin_connect_failed(struct origin *origin, uint64_t now_ns, const char *why)
{
    uint32_t failures = atomic_fetch_add_explicit(&origin->failures, 1, memory_order_relaxed);
    uint64_t pause = failures < 5 ? DOWN_FIRST_NS << failures : DOWN_MAX_NS;

    atomic_store_explicit(&origin->down_until_ns, now_ns + MIN(pause, DOWN_MAX_NS), memory_order_relaxed);
    if (failures == 0)
        log_warn("origin %s: %s", origin->name, why);
}

/* Round robin over the healthy ones not tried yet; where none is healthy, over all not tried yet: the last
 * usable origin is never skipped. */
struct origin *origin_pick(struct origin_group *group, uint64_t tried, uint64_t now_ns)
{
    unsigned turn = group->count > 1 ? atomic_fetch_add_explicit(&group->turn, 1, memory_order_relaxed) : 0;
    struct origin *fallback = NULL;

    for (unsigned i = 0; i < group->count; i++) {
        unsigned at = (turn + i) % group->count;

        if (tried & (UINT64_C(1) << at))
            continue;
        if (origin_is_healthy(&group->origins[at], now_ns))
            return &group->origins[at];
        if (fallback == NULL)
            fallback = &group->origins[at];
    }
    return fallback;
}
