#include "tests/unit/one_tenant.h"
#include "tests/sim/cache_node.h"

#include "fill/fill.h"
#include "http/bearer.h"
#include "os/sim/sim.h"
#include "origin/origin.h"
#include "proto/server.h"
#include "store/purge.h"
#include "store/tiered.h"
#include "tests/sim/cache_disk.h"
#include "tests/sim/cache_client.h"
#include "tests/sim/cache_origin.h"
#include "tests/support/late_tier.h"
#include "txn/txn.h"

#include <stdio.h>

#define HOUSEKEEP_NS (100 * NS_MS)
#define DRAIN_NS     (200 * NS_S)

struct worker {
    struct loop *loop;
    struct store_near *near;
    struct resolver *resolver;
    struct origin_pool *origins;
    struct fill_context fills;
    struct txn_context txns;
    struct server *server;
    struct os_acceptor acceptor;
    struct timer timer;
    struct timer late; /* completes the store's calls of this thread */
};

static struct node {
    struct worker workers[NODE_WORKERS_MAX];
    struct os_listener listeners[NODE_WORKERS_MAX];
    struct sim_thread threads[NODE_WORKERS_MAX + DISKS_MAX];
    unsigned thread_count;
    struct storage *storage, *late;
    struct fill_table *fills;
    struct tenants *tenants;
    struct metrics *metrics;
    uint64_t evictions;
    unsigned near_turns; /* of 100 */
    bool draining;
} node;

struct storage *node_storage(void)
{
    return node.storage;
}

struct loop *node_loop(unsigned index)
{
    return node.workers[index].loop;
}

uint64_t node_evictions(void)
{
    struct store_stats stats;

    if (node.storage != NULL) {
        storage_stats(node.storage, &stats);
        node.evictions = stats.evictions;
    }
    return node.evictions;
}

/* ---- the store ------------------------------------------------------------------------------------------------- */

static void node_open_store(void)
{
    struct store_ram_config ram = {.max_bytes = run.memory_bytes, .shards = 4, .window_bytes = run.memory_bytes < (8u << 20) ? 65536 : 0,
                                   .near_at_once = chance(70)};
    unsigned late = (run.late_lookups ? LATE_LOOKUPS : 0) | (run.late_writes ? LATE_WRITES : 0) | (run.late_purges ? LATE_PURGES : 0);

    if (chance(75)) { /* small ones, so that bodies of these sizes lie in several */
        ram.slab_from_bytes = 4096u << sim_random(6);
        ram.slab_bytes = chance(80) ? 4096u << sim_random(6) : 0;
    }
    if (run.has_disk)
        node_disks_open(&ram);
    INVARIANT(err_is_ok(store_ram_new(&ram, &node.storage)));
    if (run.has_disk)
        INVARIANT(err_is_ok(store_tiered_new(node.storage, node_disks_disk(), false, &node.storage)));
    if (late == 0)
        return;
    /* early: a purge acts when it is asked for, only its answer is late, as with a journal on a device */
    node.storage = node.late = late_tier_new(node.storage, run.late_purges || chance(50));
    late_tier_delays(node.late, late);
    late_tier_shuffle(node.late, 1 + sim_random(1000000));
}

/* Some now, some later, now and then none for longer than a lookup's deadline. */
static void late_fire(struct timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, late);
    uint64_t now_ns = loop_now_ns(worker->loop), wait_ns = chance(2) ? between(NS_S / 2, 3 * NS_S) : between(1, 20 * NS_MS);

    counts.late_calls += late_tier_release_on(node.late, worker->loop, node.draining ? 1000 : (unsigned)sim_random(4));
    loop_timer_set(worker->loop, timer, now_ns + (node.draining ? NS_MS : wait_ns));
}

/* ---- one worker -------------------------------------------------------------------------------------------------- */

static void accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    struct worker *worker = acceptor->owner;
    server_accept(worker->server, fd, peer);
}

static void worker_timer(struct timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, timer);

    if (worker == &node.workers[0])
        storage_turn(node.storage, loop_wall_ms(worker->loop));
    if (chance(node.near_turns)) /* seldom: what is in a table stays there long, and gets old */
        store_near_turn(worker->near);
    if (node.draining)
        origin_pool_close_idle(worker->origins);
    loop_timer_set(worker->loop, timer, loop_now_ns(worker->loop) + HOUSEKEEP_NS);
}

/* All workers are one thread here: each has its own near table while it runs. */
static bool worker_turn(void *arg)
{
    struct worker *worker = arg;
    bool ran;

    store_near_enter(worker->near);
    ran = loop_turn(worker->loop, 0);
    store_near_enter(NULL);
    return ran;
}

static uint64_t worker_next_ns(void *arg)
{
    return loop_next_timer_ns(((struct worker *)arg)->loop);
}

static uint16_t may_purge(void *arg, slice bearer, const struct tenant_client *client, const struct tenant *tenant,
                          char ret_who[PURGE_WHO_BYTES + 1], uint32_t *ret_retry_after_s)
{
    (void)arg;
    ret_who[0] = '\0';
    (void)client;
    (void)ret_retry_after_s;
    return tenant->id == TENANT_DEFAULT && bearer_is(bearer, SLICE(CLIENT_TOKEN)) ? 0 : 403;
}

static void worker_contexts(struct worker *worker, unsigned index)
{
    static struct origin_limits limits;
    struct metrics_block *metrics = metrics_block_of(node.metrics, index);
    struct origin_pool_config pool = {
        .loop = worker->loop, .resolver = worker->resolver, .limits = &limits, .metrics = metrics};

    limits = (struct origin_limits){.connect_ms = 2000,
                                    .first_byte_ms = 15000,
                                    .between_ms = 15000,
                                    .idle_ms = 1000,
                                    .idle_max = 8,
                                    .connections_max = 256,
                                    .streams_max = run.h2_streams_max};
    INVARIANT(err_is_ok(origin_pool_new(&pool, &worker->origins)));
    worker->fills = (struct fill_context){.loop = worker->loop,
                                          .table = node.fills,
                                          .storage = node.storage,
                                          .pool = worker->origins,
                                          .note_ms = 5000,
                                          .node = 7,
                                          .fills_max = 1000,
                                          .slice_bytes = run.slice_bytes,
                                          .ahead_bytes = (uint64_t)run.slice_bytes * run.ahead,
                                          .metrics = metrics};
    fill_context_init(&worker->fills);
    worker->txns = (struct txn_context){.loop = worker->loop,
                                        .thread = index,
                                        .storage = node.storage,
                                        .fills = &worker->fills,
                                        .origins = worker->origins,
                                        .metrics = metrics,
                                        .may_purge = may_purge,
                                        .node = 7};
    txn_context_init(&worker->txns);
    txn_context_use(&worker->txns, tenant_view_new(node.tenants));
    INVARIANT(worker->txns.view != NULL);
}

static void worker_begin(struct worker *worker, unsigned index)
{
    struct loop_config config = {.index = index};
    struct server_config server = {.events = &txn_events, .context = &worker->txns, .limits = &server_limits_default};

    INVARIANT(err_is_ok(loop_new(&config, &worker->loop)));
    INVARIANT(err_is_ok(resolver_new(worker->loop, &worker->resolver)));
    worker_contexts(worker, index);
    server.loop = worker->loop;
    server.metrics = worker->txns.metrics;
    INVARIANT(err_is_ok(server_new(&server, &worker->server)));
    worker->acceptor = (struct os_acceptor){.listener = &node.listeners[index], .owner = worker, .accepted = accepted};
    INVARIANT(err_is_ok(os_accept_start(loop_os(worker->loop), &worker->acceptor)));
    timer_init(&worker->timer, worker_timer);
    loop_timer_set(worker->loop, &worker->timer, os_clock_ns() + HOUSEKEEP_NS);
    timer_init(&worker->late, late_fire);
    if (node.late != NULL)
        loop_timer_set(worker->loop, &worker->late, os_clock_ns() + NS_MS);
    worker->near = chance(80) ? storage_near_new(node.storage) : NULL;
    node.threads[index] = (struct sim_thread){worker_turn, worker_next_ns, worker};
}

/* ---- the node -------------------------------------------------------------------------------------------------------- */

static void node_open_metrics(void)
{
    static const char *not_stored[NOT_STORED_COUNT];
    struct metrics_config config = {.threads = run.workers, .tenants_shown = 1000,
                                    .not_stored = {not_stored, NOT_STORED_COUNT},
                                    .refused = {stream_refusals, stream_refusals_count},
                                    .limits = {stream_limits, STREAM_LIMIT_COUNT}};

    for (unsigned i = 1; i < NOT_STORED_COUNT; i++)
        not_stored[i] = not_stored_word((enum not_stored)i);
    INVARIANT(err_is_ok(metrics_new(&config, &node.metrics)));
}

void node_begin(void)
{
    slice urls[ORIGINS];
    char texts[ORIGINS][64];
    struct os_address address;
    char why[256];

    struct origin_group_config origins = {.urls = urls, .count = ORIGINS};
    struct origin_group *group = NULL;

    node = (struct node){0};
    for (unsigned i = 0; i < ORIGINS; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%s%s", run.h2_origins >> i & 1 ? "h2c://" : "", origin_addresses[i]);
        urls[i] = slice_str(texts[i]);
    }
    INVARIANT(err_is_ok(origin_group_new(&origins, why, sizeof(why), &group)));
    node.tenants = one_tenant(group);
    if (chance(20))
        tenants_at(node.tenants, 0)->policy.client_directives = true;
    INVARIANT(err_is_ok(os_address_parse(SLICE(":8080"), &address)));
    INVARIANT(err_is_ok(os_listen(&address, run.workers, 128, node.listeners)));
    INVARIANT(err_is_ok(fill_table_new(&node.fills)));
    node_open_store();
    node.near_turns = chance(50) ? 100 : (unsigned)between(0, 10);
    node_open_metrics();
    for (unsigned i = 0; i < run.workers; i++)
        worker_begin(&node.workers[i], i);
    node.thread_count = run.workers;
    if (run.has_disk)
        node.thread_count += node_disks_begin(node.threads + run.workers);
}

bool node_run_until(uint64_t until_ns, bool (*done)(void *arg))
{
    return sim_run(node.threads, node.thread_count, until_ns, done, NULL);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------ */

static bool node_is_empty(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < run.workers; i++) {
        const struct worker *worker = &node.workers[i];
        if (server_connections(worker->server) > 0 || worker->fills.count > 0 || worker->txns.pool.in_use > 0 ||
            origin_pool_open(worker->origins) > 0)
            return false;
    }
    return node.late == NULL || late_tier_pending(node.late) == 0;
}

static void node_drain(void)
{
    node.draining = true;
    for (unsigned i = 0; i < run.workers; i++) {
        os_accept_stop(&node.workers[i].acceptor);
        server_drain(node.workers[i].server, NULL, NULL);
    }
    if (node_run_until(os_clock_ns() + DRAIN_NS, node_is_empty))
        return;
    for (unsigned i = 0; i < run.workers; i++)
        run_trace("worker %u: %u connections, %u fills, %llu transactions, %u origin connections", i,
                  server_connections(node.workers[i].server), node.workers[i].fills.count,
                  (unsigned long long)node.workers[i].txns.pool.in_use, origin_pool_open(node.workers[i].origins));
    run_failed(-1, 0, "I7: something is left 200 s after the last client went");
}

/* All that is counted is in the index: after everything was purged and swept nothing may be left. */
static void node_check_store(void)
{
    struct storage *ram = node.late != NULL ? late_tier_inner(node.late) : (struct storage *)(uintptr_t)storage_tier(node.storage, 0);
    struct store_purge purge = {.tenant = 1, .kind = STORE_LABEL_TENANT, .label = store_label_of(1, STORE_LABEL_TENANT, SLICE(""))};
    struct store_stats stats;

    (void)node_evictions();
    storage_stats(ram, &stats);
    counts.slices += stats.slices;
    INVARIANT(storage_purge(ram, &purge) == STORE_DONE);
    for (unsigned i = 0; i < 100; i++)
        storage_turn(ram, os_wall_ms() + i * 100);
    for (unsigned i = 0; i < run.workers; i++)
        store_near_turn(node.workers[i].near);
    storage_stats(ram, &stats);
    if (stats.objects != 0 || stats.slices != 0 || stats.size_bytes != 0 || storage_tenant_bytes(ram, 1) != 0)
        run_failed(-1, 0, "I7: %llu objects, %llu bytes, %llu of the tenant are left in the empty store",
                   (unsigned long long)stats.objects, (unsigned long long)stats.size_bytes,
                   (unsigned long long)storage_tenant_bytes(ram, 1));
}

static void node_free(void)
{
    for (unsigned i = 0; i < run.workers; i++) {
        struct worker *worker = &node.workers[i];
        loop_timer_stop(worker->loop, &worker->timer);
        loop_timer_stop(worker->loop, &worker->late);
        server_free(worker->server);
        INVARIANT(worker->txns.view->users == 0); /* every transaction and fill let go */
        txn_context_done(&worker->txns);
        fill_context_done(&worker->fills);
        origin_pool_free(worker->origins);
        resolver_free(worker->resolver);
        loop_free(worker->loop);
        store_near_free(worker->near);
        os_listener_close(&node.listeners[i]);
    }
    metrics_free(node.metrics);
    fill_table_free(node.fills);
    node.storage = storage_free(node.storage);
    if (run.has_disk)
        node_disks_free();
    tenants_unref(node.tenants);
}

void node_end(void)
{
    node_drain();
    if (run.has_disk) {
        node_disks_end();
        node_disks_check();
    }
    node_check_store();
    node_free();
}

void node_restart(void)
{
    unsigned how = (unsigned)sim_random(3);

    node_drain();
    node_disks_check();
    counts.restarts++;
    if (how == 0)
        node_disks_end();
    else
        node_disks_crash(how == 1 ? SIM_CRASH_KILL : SIM_CRASH_POWER);
    node_free();
    node_begin();
}
