/* hosts: open addressing by the hash of a name; wildcards lie under what is behind "*", apart from exact names. */
#include "tenant/tenant_own.h"

#include "base/hash.h"

#include <stdlib.h>

#define SEED_EXACT    1u
#define SEED_WILDCARD 2u

struct host {
    slice name; /* data NULL: free */
    uint64_t hash;
    uint32_t value;
};

struct hosts {
    uint32_t mask;
    bool has_wildcards;
    struct host slots[];
};

err hosts_new(unsigned room, struct hosts **ret_hosts)
{
    uint32_t slots = 16;
    struct hosts *hosts;

    while (slots < 2 * room)
        slots *= 2;
    hosts = calloc(1, sizeof(*hosts) + slots * sizeof(hosts->slots[0]));
    ENSURE(hosts != NULL, MEMORY);
    hosts->mask = slots - 1;
    *ret_hosts = hosts;
    return ERR_OK;
}

struct hosts *hosts_free(struct hosts *hosts)
{
    free(hosts);
    return NULL;
}

/* Where the name is, or would be. */
static uint32_t host_at(const struct hosts *hosts, slice name, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & hosts->mask;

    while (hosts->slots[at].name.data != NULL && !(hosts->slots[at].hash == hash && slice_eq(hosts->slots[at].name, name)))
        at = (at + 1) & hosts->mask;
    return at;
}

void hosts_add(struct hosts *hosts, slice host, uint32_t value)
{
    bool is_wildcard = slice_starts(host, SLICE("*."));
    slice name = is_wildcard ? slice_from(host, 1) : host; /* ".example" */
    uint64_t hash = hash64(name, is_wildcard ? SEED_WILDCARD : SEED_EXACT);
    struct host *slot = &hosts->slots[host_at(hosts, name, hash)];

    if (slot->name.data != NULL)
        return;
    *slot = (struct host){name, hash, value};
    hosts->has_wildcards |= is_wildcard;
}

static bool name_find(const struct hosts *hosts, slice name, uint64_t seed, uint32_t *ret_value)
{
    const struct host *slot = &hosts->slots[host_at(hosts, name, hash64(name, seed))];

    if (slot->name.data != NULL)
        *ret_value = slot->value;
    return slot->name.data != NULL;
}

bool hosts_find(const struct hosts *hosts, slice host, uint32_t *ret_value)
{
    ptrdiff_t dot;

    if (name_find(hosts, host, SEED_EXACT, ret_value))
        return true;
    if (!hosts->has_wildcards)
        return false;
    for (slice rest = host; (dot = slice_find(rest, '.')) >= 0; rest = slice_from(rest, (size_t)dot + 1))
        if (dot > 0 && name_find(hosts, slice_from(rest, (size_t)dot), SEED_WILDCARD, ret_value))
            return true;
    return false;
}
