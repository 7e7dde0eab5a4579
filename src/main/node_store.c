#include "main/node_store.h"

#include "base/log.h"
#include "cache/stored_pack.h"
#include "os/process.h"
#include "store/purge.h"
#include "store/tiered.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static_assert(CONFIG_CACHE_DIRS_MAX == DISK_DEVICES_MAX, "each --cache-dir has its place");

#define NONE "none"
#define WRITE_BUFFER_BYTES (16u << 20) /* of a RAM tier that is off: what is on its way to the disk */

bool cache_dir_is_usable(const char *base, const char *rest, char *ret_dir, size_t size)
{
    int len = base != NULL ? snprintf(ret_dir, size, "%s%s", base, rest) : -1;

    return len > 0 && (size_t)len < size && err_is_ok(os_dir_make(ret_dir, 0755)) && access(ret_dir, W_OK | X_OK) == 0;
}

bool cache_dir_default(char *ret_dir, size_t size)
{
    return cache_dir_is_usable("/var/cache/warp", "", ret_dir, size) ||
           cache_dir_is_usable(os_environment("HOME"), "/.cache/warp", ret_dir, size);
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

static bool is_none(const struct config *config)
{
    for (unsigned i = 0; i < config->cache_dir.count; i++)
        if (strcmp(config->cache_dir.items[i], NONE) == 0)
            return true;
    return false;
}

static void disk_paths(const struct config *config, char *standard, size_t size, struct disk_config *disk)
{
    if (is_none(config))
        return;
    for (unsigned i = 0; i < config->cache_dir.count; i++)
        disk->paths[disk->path_count++] = config->cache_dir.items[i];
    if (disk->path_count > 0)
        return;
    if (cache_dir_default(standard, size))
        disk->paths[disk->path_count++] = standard;
    else
        log_warn("no directory for the disk tier can be written (--cache-dir names one, none says that RAM is enough)");
}

static struct disk *disk_of(const struct node_plan *plan, struct purge_log *purges)
{
    char standard[480];
    struct disk_config config = {.size_bytes = plan->config.cache_size,
                                 .write_bytes_per_s = plan->config.cache_write_rate,
                                 .purges = purges};
    uint64_t probation = plan->memory_bytes / 100 * STORE_PROBATION_OVER_DISK_PERCENT;
    struct disk *disk = NULL;

    disk_paths(&plan->config, standard, sizeof(standard), &config);
    if (config.path_count == 0)
        return NULL;
    config.probation_bytes = MAX(probation, 1u); /* none: what leaves it says nothing */
    config.codec = (struct disk_codec){stored_packed_bytes, stored_pack, stored_unpacked_bytes, stored_unpack};
    err opened = disk_open(&config, &disk);
    if (!err_is_ok(opened) && opened.code != ERR_NOT_FOUND)
        log_error("the disk tier cannot be opened: %s; the cache is in RAM", err_text(opened));
    return disk;
}

err node_store_open(const struct node_plan *plan, struct node_store *store)
{
    struct purge_log *purges = purge_log_new(0);
    struct store_ram_config ram = {.max_bytes = plan->memory_bytes, .purges = purges};
    err e = purges != NULL ? ERR_OK : ERR(MEMORY);

    *store = (struct node_store){0};
    if (err_is_ok(e))
        store->disk = disk_of(plan, purges);
    if (store->disk != NULL && plan->memory_bytes == 0)
        ram.max_bytes = WRITE_BUFFER_BYTES;
    if (store->disk != NULL)
        ram.small_percent = STORE_PROBATION_OVER_DISK_PERCENT;
    if (store->disk != NULL && disk_device_count(store->disk) > 0)
        ram.secret = disk_secret(store->disk);
    store->ram_bytes = ram.max_bytes;
    if (err_is_ok(e))
        e = store_ram_new(&ram, &store->storage);
    if (err_is_ok(e) && store->disk != NULL)
        e = store_tiered_new(store->storage, store->disk, plan->memory_bytes == 0, &store->storage);
    store->purges = purges;
    return e;
}

/* ---- keepers -------------------------------------------------------------------------------------------------- */

static void keeper_run(void *arg)
{
    loop_run(arg);
}

/* One that waits for its device most of the time: the plainest door does. */
MUST_USE static err keeper_begin(struct node_store *store, unsigned i)
{
    struct loop_config config = {.index = i, .os.io = OS_IO_EPOLL};

    TRY(loop_new(&config, &store->keepers[i].loop));
    disk_keeper_begin(store->disk, i, store->keepers[i].loop);
    return ERR_OK;
}

MUST_USE static err keeper_start(struct node_keeper *keeper, unsigned i)
{
    char name[16];

    snprintf(name, sizeof(name), "warp-disk%u", i % 100);
    return os_thread_start(name, keeper_run, keeper->loop, &keeper->thread);
}

/* ---- huge pages: on a thread of their own, the kernel takes milliseconds for one ------------------------------- */

static void slabs_wake(void *event)
{
    os_event_set(event);
}

static void slabs_run(void *arg)
{
    struct node_store *store = arg;

    while (!atomic_load(&store->slab_is_over)) {
        uint64_t wait_ns = storage_tend(store->storage);
        if (wait_ns > 0)
            os_event_wait(store->slab_event, wait_ns);
    }
}

MUST_USE static err slabs_start(struct node_store *store)
{
    struct os_event *event = os_event_new();

    ENSURE(event != NULL, MEMORY);
    if (!storage_on_work(store->storage, slabs_wake, event)) {
        os_event_free(event);
        return ERR_OK;
    }
    store->slab_event = event;
    return os_thread_start("warp-slabs", slabs_run, store, &store->slab_thread);
}

static void slabs_stop(struct node_store *store)
{
    if (store->slab_event == NULL)
        return;
    atomic_store(&store->slab_is_over, true);
    os_event_set(store->slab_event);
    os_thread_join(store->slab_thread);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

err node_store_start(struct node_store *store)
{
    unsigned count = store->disk != NULL ? disk_device_count(store->disk) : 0;

    TRY(slabs_start(store));
    for (unsigned i = 0; i < count; i++)
        TRY(keeper_begin(store, i));
    for (unsigned i = 0; i < count; i++) /* they wake each other */
        TRY(keeper_start(&store->keepers[i], i));
    return ERR_OK;
}

void node_store_stop(struct node_store *store)
{
    for (unsigned i = 0; i < DISK_DEVICES_MAX; i++)
        if (store->keepers[i].thread != NULL)
            disk_keeper_end(store->disk, i);
    for (unsigned i = 0; i < DISK_DEVICES_MAX; i++)
        if (store->keepers[i].thread != NULL)
            os_thread_join(store->keepers[i].thread);
}

void node_store_free(struct node_store *store)
{
    slabs_stop(store);
    storage_free(store->storage);
    disk_free(store->disk);
    purge_log_free(store->purges);
    for (unsigned i = 0; i < DISK_DEVICES_MAX; i++)
        loop_free(store->keepers[i].loop);
    os_event_free(store->slab_event);
}
