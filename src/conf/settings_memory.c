/* How much memory settings imply. The parts are those that docs/configuration.md explains. */
#include "conf/settings.h"

#define WRITE_BUFFER_BYTES (UINT64_C(16) << 20) /* of a RAM tier that is off, over a disk */
#define DISK_BYTES_ENTRY   1024u                /* the index grows no further than to an entry for so much disk */
#define ENTRY_BYTES        13u                  /* 64 bytes for five of them */
#define CONNECTION_BYTES   (UINT64_C(16) << 10) /* busy, with its request */
#define TENANT_USAGE_BYTES (UINT64_C(2) << 10)  /* buckets, counts, compiled rules, for each tenant */
#define FIXED_BYTES        (UINT64_C(64) << 20) /* program, threads, logs, tables of fills */

static bool has_disk(const struct config *config)
{
    return config->cache_dir.count == 0 || strcmp(config->cache_dir.items[0], "none") != 0;
}

void settings_memory(const struct settings *settings, unsigned workers, unsigned descriptors, uint64_t ram_bytes,
                     struct settings_memory *ret_memory)
{
    const struct config *config = &settings->config;
    bool disk = has_disk(config);
    uint64_t text = settings->document->arena->taken_bytes + settings->document->text_bytes;
    struct settings_memory memory = {
        .ram_tier = ram_bytes > 0 || !disk ? ram_bytes : WRITE_BUFFER_BYTES,
        .disk_index = disk ? config->cache_size / DISK_BYTES_ENTRY * ENTRY_BYTES : 0,
        .connections = descriptors * CONNECTION_BYTES,
        /* twice, and the tree that the new ones are read from: while a reload replaces them */
        .tenants = 2 * (text + settings->tenants.count * TENANT_USAGE_BYTES) + settings->document->node_count * sizeof(struct conf_node),
        .fixed = FIXED_BYTES + workers * (UINT64_C(2) << 20),
    };

    memory.total = memory.ram_tier + memory.disk_index + memory.connections + memory.tenants + memory.fixed;
    *ret_memory = memory;
}
