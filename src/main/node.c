/* The worker process: its threads, their start, drain and end. */
#include "main/node.h"
#include "main/node_change.h"
#include "main/node_control.h"
#include "main/node_store.h"
#include "main/node_tenants.h"
#include "main/node_tls.h"
#include "main/supervisor_door.h"

#include "base/log.h"
#include "os/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define DRAIN_CHECK_NS UINT64_C(50000000)
#define HOUSEKEEP_NS   UINT64_C(100000000)
#define ACCESS_END_NS UINT64_C(2000000000)
#define NOTE_MS        60000
#define AHEAD_BYTES    (UINT64_C(16) << 20) /* that a fetch runs ahead of its readers */
#define STORE_SHARE    8u                   /* of a tier, that one body may take */
#define SLICE_SLAB_SHARE 64u                /* of memory, that a slice may be to fill a slab */
#define FILLS_MAX      65536u
#define DESCRIPTORS_RESERVED 4096u
#define ADMIN_CONNECTIONS_MAX 512u
#define MS             UINT64_C(1000000)

struct node;

/* What a worker accepts on. */
struct worker_listener {
    struct os_acceptor acceptor;
    struct os_listener shard; /* the worker's own; fd -1: none */
    char text[LISTENER_TEXT_BYTES]; /* as configured */
    bool is_tls;
    bool is_waiting; /* accepting could not begin: tried again with each turn */
};

/* Apart by whole cache lines: what one thread writes, its neighbour does not read. */
struct worker {
    _Alignas(64) struct node *node;
    unsigned index;
    struct loop *loop;
    struct store_near *near; /* may be NULL */
    struct resolver *resolver;
    struct origin_pool *origins;
    struct fill_context fills;
    struct txn_context txns;
    struct server *server;
    struct server *admin_server; /* worker 0 */
    struct worker_listener listeners[NODE_LISTENERS_ROOM];
    struct os_acceptor admin_acceptor;
    struct os_thread *thread;
    struct mail drain_mail;
    struct timer timer; /* housekeeping on worker 0; the drain's end on all */
    uint64_t drain_until_ns;
    bool draining, stopped;
};

struct node {
    struct node_plan *plan;
    struct node_store store;
    struct storage *storage; /* the store's */
    struct fill_table *fills;
    struct peers *peers;
    struct node_tls *tls;
    struct server_limits limits, admin_limits;
    struct tenants *tenants; /* the current set; worker 0 */
    struct node_control *control;
    struct taking *taking; /* under way */
    struct os_event *taken; /* by the last worker */
    _Atomic bool is_over;  /* the workers' loops have ended */
    struct metrics *metrics;
    struct access_log *access;
    struct os_event *access_event;
    struct os_thread *access_thread;
    _Atomic bool access_is_over;
    struct admin_context admin;
    struct refresher refresher; /* worker 0 */
    struct worker *workers;
    struct os_watch signals;
    const char *notes[1];
    char access_note[NODE_MESSAGE_BYTES];
    bool stopping;
};

/* ---- connections -------------------------------------------------------------------------------------------- */

static void accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    struct worker *worker = acceptor->owner;
    server_accept(worker->server, fd, peer);
}

static void accepted_tls(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    struct worker *worker = acceptor->owner;
    struct net_acceptor *tls = node_tls_acceptor(worker->node->tls, worker->index);

    if (tls != NULL)
        server_accept_tls(worker->server, tls, fd, peer);
    else
        os_accepted_close(fd); /* the listener goes with the next mail */
}

static void admin_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    struct worker *worker = acceptor->owner;
    struct net_acceptor *tls = node_tls_admin_acceptor(worker->node->tls);

    if (tls != NULL)
        server_accept_tls(worker->admin_server, tls, fd, peer);
    else if (node_tls_admin_is_lost(worker->node->tls))
        os_accepted_close(fd); /* tokens do not go in the clear because a file is gone */
    else
        server_accept(worker->admin_server, fd, peer);
}

static void accept_failed(struct os_acceptor *acceptor, int error)
{
    struct worker *worker = acceptor->owner;

    log_warn("worker %u cannot accept a connection: %s; trying again in 100 ms", worker->index, err_text(ERR_SYS(error)));
}

/* Takes the shard over. */
MUST_USE static err worker_listener_open(struct worker *worker, const char *text, bool is_tls, struct os_listener *shard)
{
    struct worker_listener *listener = worker->listeners;

    while (listener->shard.fd >= 0)
        INVARIANT(++listener < worker->listeners + NODE_LISTENERS_ROOM);
    *listener = (struct worker_listener){.shard = *shard, .is_tls = is_tls};
    shard->fd = -1;
    snprintf(listener->text, sizeof(listener->text), "%s", text);
    listener->acceptor = (struct os_acceptor){.listener = &listener->shard,
                                              .owner = worker,
                                              .accepted = is_tls ? accepted_tls : accepted,
                                              .failed = accept_failed};
    err started = os_accept_start(loop_os(worker->loop), &listener->acceptor);
    listener->is_waiting = !err_is_ok(started);
    return started;
}

/* It is open, and clients connect: there is no way back any more. */
static void worker_listeners_turn(struct worker *worker)
{
    for (unsigned i = 0; i < NODE_LISTENERS_ROOM; i++)
        if (worker->listeners[i].is_waiting)
            worker->listeners[i].is_waiting = !err_is_ok(os_accept_start(loop_os(worker->loop), &worker->listeners[i].acceptor));
}

static void worker_listener_close(struct worker_listener *listener)
{
    if (!listener->is_waiting)
        os_accept_stop(&listener->acceptor);
    listener->is_waiting = false;
    os_listener_close(&listener->shard); /* refused is better than never answered */
}

static err worker_listen(struct worker *worker)
{
    struct node_plan *plan = worker->node->plan;

    for (unsigned i = 0; i < NODE_LISTENERS_ROOM; i++)
        worker->listeners[i].shard.fd = -1;
    for (unsigned i = 0; i < plan->listener_count; i++)
        TRY(worker_listener_open(worker, plan->listeners[i].text, plan->listeners[i].is_tls, &plan->listeners[i].shards[worker->index]));
    if (worker->index > 0)
        return ERR_OK;
    worker->admin_acceptor = (struct os_acceptor){
        .listener = &plan->admin, .owner = worker, .accepted = admin_accepted, .failed = accept_failed};
    return os_accept_start(loop_os(worker->loop), &worker->admin_acceptor);
}

/* ---- a change of the configuration ---------------------------------------------------------------------------------- */

struct worker_change {
    struct mail mail;
    struct worker *worker;
    struct taking *taking;
    struct tenant_view *view; /* NULL: taken */
};

struct taking {
    struct node_change *change;
    _Atomic unsigned left; /* workers that have not taken it */
    struct worker_change workers[];
};

static void worker_close_listener(struct worker *worker, const struct listener_change *change)
{
    for (unsigned i = 0; i < NODE_LISTENERS_ROOM; i++) {
        struct worker_listener *listener = &worker->listeners[i];
        if (listener->shard.fd >= 0 && listener->is_tls == change->is_tls && strcmp(listener->text, change->text) == 0)
            worker_listener_close(listener);
    }
}

static void worker_take_listeners(struct worker *worker, struct node_change *change)
{
    for (unsigned i = 0; i < change->listener_count && !worker->draining; i++) {
        struct listener_change *one = &change->listeners[i];
        if (!one->is_opened) {
            worker_close_listener(worker, one);
            continue;
        }
        err opened = worker_listener_open(worker, one->text, one->is_tls, &one->shards[worker->index]);
        if (!err_is_ok(opened))
            log_error("%s: worker %u cannot accept there yet: %s", one->text, worker->index, err_text(opened));
    }
}

static void worker_take(struct mail *mail)
{
    struct worker_change *own = container_of(mail, struct worker_change, mail);
    struct worker *worker = own->worker;
    struct taking *taking = own->taking;

    txn_context_use(&worker->txns, own->view);
    own->view = NULL;
    worker_take_listeners(worker, taking->change);
    if (worker->index == 0) {
        tenants_unref(worker->node->tenants);
        worker->node->tenants = worker->node->admin.tenants = tenants_ref(taking->change->tenants);
    }
    struct os_event *taken = worker->node->taken;
    if (atomic_fetch_sub(&taking->left, 1) == 1)
        os_event_set(taken); /* what was taken is gone by now */
}

static struct taking *taking_free(struct taking *taking, unsigned workers)
{
    if (taking == NULL)
        return NULL;
    for (unsigned i = 0; i < workers; i++)
        tenant_view_retire(taking->workers[i].view);
    free(taking);
    return NULL;
}

MUST_USE static err taking_new(struct node *node, struct node_change *change, struct taking **ret_taking)
{
    unsigned workers = node->plan->workers;
    struct taking *taking = calloc(1, sizeof(*taking) + workers * sizeof(taking->workers[0]));

    ENSURE(taking != NULL, MEMORY);
    taking->change = change;
    atomic_init(&taking->left, workers);
    for (unsigned i = 0; i < workers; i++)
        taking->workers[i] = (struct worker_change){
            .mail.run = worker_take, .worker = &node->workers[i], .taking = taking, .view = tenant_view_new(change->tenants)};
    for (unsigned i = 0; i < workers; i++) {
        if (taking->workers[i].view == NULL) {
            taking_free(taking, workers);
            return ERR(MEMORY);
        }
    }
    *ret_taking = taking;
    return ERR_OK;
}

err node_take_prepare(struct node *node, struct node_change *change)
{
    INVARIANT(node->taking == NULL);
    return taking_new(node, change, &node->taking);
}

void node_take_drop(struct node *node)
{
    node->taking = taking_free(node->taking, node->plan->workers);
}

/* Where the loops end first, what they have not taken goes with the node. */
bool node_take(struct node *node)
{
    unsigned workers = node->plan->workers;

    for (unsigned i = 0; i < workers; i++)
        loop_post(node->workers[i].loop, &node->taking->workers[i].mail);
    while (atomic_load(&node->taking->left) > 0) {
        if (atomic_load(&node->is_over))
            return false;
        os_event_wait(node->taken, HOUSEKEEP_NS);
    }
    node_take_drop(node);
    return true;
}

/* ---- draining --------------------------------------------------------------------------------------------------- */

static bool worker_is_empty(const struct worker *worker)
{
    return server_connections(worker->server) == 0 &&
           (worker->admin_server == NULL || server_connections(worker->admin_server) == 0) &&
           worker->fills.count == 0 && origin_pool_open(worker->origins) == 0;
}

static void worker_check_drained(struct worker *worker, uint64_t now_ns)
{
    origin_pool_close_idle(worker->origins);
    if (worker_is_empty(worker)) {
        loop_stop(worker->loop);
        return;
    }
    if (now_ns >= worker->drain_until_ns && !worker->stopped) {
        worker->stopped = true;
        fill_context_stop(&worker->fills);
        server_stop(worker->server);
        if (worker->admin_server != NULL)
            server_stop(worker->admin_server);
    }
    loop_timer_set(worker->loop, &worker->timer, now_ns + DRAIN_CHECK_NS);
}

static void worker_timer(struct timer *timer)
{
    struct worker *worker = container_of(timer, struct worker, timer);
    uint64_t now_ns = loop_now_ns(worker->loop);

    if (worker->index == 0)
        storage_turn(worker->node->storage, loop_wall_ms(worker->loop));
    store_near_turn(worker->near);
    origin_pool_turn(worker->origins);
    worker_listeners_turn(worker);
    if (worker->draining)
        worker_check_drained(worker, now_ns);
    else
        loop_timer_set(worker->loop, timer, now_ns + HOUSEKEEP_NS);
}

static void worker_drain(struct mail *mail)
{
    struct worker *worker = container_of(mail, struct worker, drain_mail);
    uint64_t now_ns = loop_now_ns(worker->loop);

    if (worker->draining)
        return;
    worker->draining = true;
    for (unsigned i = 0; i < NODE_LISTENERS_ROOM; i++)
        if (worker->listeners[i].shard.fd >= 0)
            worker_listener_close(&worker->listeners[i]);
    worker->drain_until_ns = now_ns + worker->node->plan->config.drain_timeout_ms * MS;
    server_drain(worker->server, NULL, NULL);
    if (worker->index == 0) {
        os_accept_stop(&worker->admin_acceptor);
        os_listener_close(worker->admin_acceptor.listener);
        refresher_stop(&worker->node->refresher);
        server_drain(worker->admin_server, NULL, NULL);
    }
    worker_check_drained(worker, now_ns);
}

static void node_drain(struct node *node)
{
    if (node->stopping) {
        log_info("stopping at once");
        os_process_exit(0);
    }
    node->stopping = true;
    node->admin.readiness = ADMIN_DRAINING;
    for (unsigned i = 0; i < node->plan->workers; i++) {
        node->workers[i].drain_mail.run = worker_drain;
        loop_post(node->workers[i].loop, &node->workers[i].drain_mail);
    }
}

static void signals_ready(struct os_watch *watch, uint32_t which)
{
    struct node *node = container_of(watch, struct node, signals);
    int signal;

    (void)which;
    while ((signal = os_signals_next(watch->fd)) != 0) {
        switch (signal) {
        case SIGTERM:
        case SIGINT:
            node_drain(node);
            break;
        case SIGHUP:
            node_control_reload(node->control, "SIGHUP");
            break;
        case SIGUSR1:
            if (node->access != NULL)
                access_log_reopen(node->access);
            break;
        case SIGUSR2:
            log_warn("handing over to a new binary is not in this version");
            break;
        default:
            break;
        }
    }
}

/* ---- one thread ---------------------------------------------------------------------------------------------------- */

/* For PURGE on the data listeners. */
static uint16_t may_purge(void *arg, slice bearer, const struct tenant_client *client, const struct tenant *tenant,
                          char ret_who[PURGE_WHO_BYTES + 1], uint32_t *ret_retry_after_s)
{
    struct node *node = arg;

    return admin_purge_refused(&node->admin, bearer, client, tenant, ret_who, ret_retry_after_s);
}

/* A tier keeps whole what is at most an eighth of it; where that is less than a slice, bodies go through a window. Without a
 * disk, whose records hold no more, a slice fills a slab where memory is not small. */
static uint32_t slice_bytes_of(const struct node_store *store)
{
    if (store->disk == NULL && store->ram_bytes / SLICE_SLAB_SHARE >= STORE_SLICE_SLAB_BYTES)
        return STORE_SLICE_SLAB_BYTES;
    return store->ram_bytes / STORE_SHARE >= STORE_SLICE_BYTES ? STORE_SLICE_BYTES : 0;
}

static err worker_contexts(struct worker *worker)
{
    struct node *node = worker->node;
    struct origin_pool_config pool = {
        .loop = worker->loop, .resolver = worker->resolver, .limits = &origin_limits_default,
        .metrics = metrics_block_of(node->metrics, worker->index)};

    TRY(origin_pool_new(&pool, &worker->origins));
    worker->fills = (struct fill_context){
        .loop = worker->loop,
        .table = node->fills,
        .storage = node->storage,
        .pool = worker->origins,
        .note_ms = NOTE_MS,
        .node = node->plan->node_id,
        .fills_max = FILLS_MAX,
        .slice_bytes = slice_bytes_of(&node->store),
        .has_device = node->store.disk != NULL && slice_bytes_of(&node->store) > 0,
        .ahead_bytes = MIN(AHEAD_BYTES, node->store.ram_bytes / STORE_SHARE),
        .metrics = metrics_block_of(node->metrics, worker->index),
    };
    fill_context_init(&worker->fills);
    worker->txns = (struct txn_context){
        .loop = worker->loop,
        .thread = worker->index,
        .storage = node->storage,
        .fills = &worker->fills,
        .origins = worker->origins,
        .metrics = metrics_block_of(node->metrics, worker->index),
        .access = node->access,
        .may_purge = may_purge,
        .may_purge_arg = node,
        .acme_dir = node->plan->config.acme_dir,
        .node = node->plan->node_id,
        .websocket = !node->plan->config.no_websocket,
        .status_key = node->plan->config.cache_status_key,
    };
    txn_context_init(&worker->txns);
    txn_context_use(&worker->txns, tenant_view_new(node->tenants));
    ENSURE(worker->txns.view != NULL, MEMORY);
    return ERR_OK;
}

static err worker_servers(struct worker *worker)
{
    struct server_config config = {
        .loop = worker->loop,
        .events = &txn_events,
        .context = &worker->txns,
        .limits = &worker->node->limits,
        .peers = worker->node->peers,
        .is_trusted = txn_trusts,
        .metrics = worker->txns.metrics,
        .websocket = worker->txns.websocket,
    };

    TRY(server_new(&config, &worker->server));
    if (worker->index > 0)
        return ERR_OK;
    worker->node->admin.loop = worker->loop;
    worker->node->admin.block = worker->txns.metrics;
    refresher_init(&worker->node->refresher, &worker->fills, &worker->txns.view);
    worker->node->admin.refresher = &worker->node->refresher;
    TRY(admin_open(&worker->node->admin));
    config.events = &admin_events;
    config.context = &worker->node->admin;
    config.metrics = NULL;
    config.websocket = false;
    config.peers = NULL;
    config.is_trusted = NULL;
    config.limits = &worker->node->admin_limits;
    return server_new(&config, &worker->admin_server);
}

static enum os_io io_of(enum config_io io)
{
    switch (io) {
    case CONFIG_IO_URING:
        return OS_IO_URING;
    case CONFIG_IO_EPOLL:
        return OS_IO_EPOLL;
    case CONFIG_IO_AUTO:
        break;
    }
    return OS_IO_AUTO;
}

static err worker_open_loop(struct worker *worker)
{
    struct loop_config config = {.index = worker->index, .os.io = io_of(worker->node->plan->config.io)};
    err opened = loop_new(&config, &worker->loop);

    if (err_is_ok(opened) && os_uring_refused(loop_os(worker->loop)) != 0)
        worker->node->admin.uring_refused++;
    return opened;
}

static err worker_init(struct worker *worker, struct node *node, unsigned index)
{
    worker->node = node;
    worker->index = index;
    timer_init(&worker->timer, worker_timer);
    TRY(worker_open_loop(worker));
    TRY(resolver_new(worker->loop, &worker->resolver));
    TRY(worker_contexts(worker));
    TRY(worker_servers(worker));
    TRY(node_tls_enter(node->tls, index, worker->loop));
    return worker_listen(worker);
}

static void worker_run(void *arg)
{
    struct worker *worker = arg;

    worker->near = storage_near_new(worker->node->storage);
    store_near_enter(worker->near);
    loop_timer_set(worker->loop, &worker->timer, loop_now_ns(worker->loop) + HOUSEKEEP_NS);
    loop_run(worker->loop);
}

static void worker_done(struct worker *worker)
{
    worker->server = server_free(worker->server);
    worker->admin_server = server_free(worker->admin_server);
    if (worker->index == 0)
        admin_close(&worker->node->admin);
    if (worker->node != NULL)
        node_tls_leave(worker->node->tls, worker->index);
    txn_context_done(&worker->txns);
    fill_context_done(&worker->fills);
    worker->origins = origin_pool_free(worker->origins);
    worker->resolver = resolver_free(worker->resolver);
    worker->loop = loop_free(worker->loop);
    worker->near = store_near_free(worker->near);
}

/* ---- the process --------------------------------------------------------------------------------------------------- */

/* The access log's thread. */
static const char *tenant_name(void *arg, uint16_t tenant)
{
    struct node *node = arg;

    return metrics_tenant_name(node->metrics, tenant);
}

static void access_wait(void *event, uint64_t timeout_ns)
{
    os_event_wait(event, timeout_ns);
}

static void access_wake(void *event)
{
    os_event_set(event);
}

static void access_run(void *arg)
{
    struct node *node = arg;

    access_log_run(node->access);
    atomic_store(&node->access_is_over, true);
    os_event_set(node->access_event);
}

/* A log that takes nothing (a full pipe) must not hold up the end: its thread goes with the process. */
static void access_close(struct node *node)
{
    uint64_t until_ns = os_clock_ns() + ACCESS_END_NS;

    access_log_stop(node->access);
    while (!atomic_load(&node->access_is_over) && os_clock_ns() < until_ns)
        os_event_wait(node->access_event, ACCESS_END_NS / 16);
    if (!atomic_load(&node->access_is_over)) {
        log_warn("the access log takes nothing: its last records are lost");
        return;
    }
    os_thread_join(node->access_thread);
    access_log_free(node->access);
    os_event_free(node->access_event);
}

/* After a crash: serving without a log is better than not serving. At the first start it is said instead. */
static err access_failed(struct node *node, const char *path, err why)
{
    snprintf(node->access_note, sizeof(node->access_note), "access-log: %s: %s%s", path, err_file_text(why),
             node->plan->is_restarted ? "; there is no access log until a restart" : "");
    log_error("%s", node->access_note);
    node->access_event = os_event_free(node->access_event);
    if (!node->plan->is_restarted)
        return why;
    node->notes[node->admin.note_count++] = node->access_note;
    return ERR_OK;
}

static err node_open_access_log(struct node *node)
{
    const char *path = node->plan->config.access_log;
    struct access_config config = {
        .threads = node->plan->workers,
        .path = path,
        .door = {os_append_open, os_append_write, os_append_close, access_wait, access_wake, NULL},
        .tenant_name = tenant_name,
        .tenant_arg = node,
    };

    if (!config_has_access_log(&node->plan->config))
        return ERR_OK;
    node->access_event = os_event_new();
    ENSURE(node->access_event != NULL, MEMORY);
    config.door.event = node->access_event;
    err opened = access_log_new(&config, &node->access);
    if (!err_is_ok(opened))
        return access_failed(node, path, opened);
    return os_thread_start("warp-log", access_run, node, &node->access_thread);
}

static err node_open_metrics(struct node *node)
{
    static const char *not_stored[NOT_STORED_COUNT];
    struct metrics_config config = {
        .threads = node->plan->workers,
        .tenants_shown = node->plan->config.metrics_tenants,
        .not_stored = {not_stored, NOT_STORED_COUNT},
        .refused = {stream_refusals, stream_refusals_count},
        .limits = {stream_limits, STREAM_LIMIT_COUNT},
        .handshake_failures = {net_handshake_failures, NET_HANDSHAKE_FAILURE_COUNT},
    };

    for (unsigned i = 1; i < NOT_STORED_COUNT; i++)
        not_stored[i] = not_stored_word((enum not_stored)i);
    TRY(metrics_new(&config, &node->metrics));
    TRY(node_tenants_metrics(node->tenants, node->metrics));
    TRY(metrics_collect(node->metrics, node_tls_collect, node->tls));
    return metrics_collect(node->metrics, admin_collect, &node->admin);
}

/* Per worker: what the process may open, without what origins, files and the admin listener need. */
static uint32_t connections_of(unsigned descriptors, unsigned workers)
{
    unsigned reserve = MIN(descriptors / 4, DESCRIPTORS_RESERVED);
    return MAX(16u, (descriptors - reserve) / workers);
}

static err node_open(struct node *node)
{
    node->tenants = node->plan->tenants;
    node->plan->tenants = NULL;
    TRY(node_store_open(node->plan, &node->store));
    node->storage = node->store.storage;
    node_tenants_limit(node->tenants, node->storage);
    TRY(fill_table_new(&node->fills));
    TRY(peers_new(node->plan->config.max_connections_per_ip, &node->peers));
    node->limits = server_limits_default;
    node->limits.connections_max = connections_of(node->plan->descriptors, node->plan->workers);
    node->admin_limits = server_limits_default;
    node->admin_limits.connections_max = MIN(ADMIN_CONNECTIONS_MAX, MAX(16u, node->plan->descriptors / 16));
    TRY(node_tls_new(node->plan, &node->tls));
    TRY(node_open_metrics(node));
    TRY(node_open_access_log(node));
    node->admin.storage = node->storage;
    node->admin.disk = node->store.disk;
    node->admin.metrics = node->metrics;
    node->admin.access = node->access;
    node->admin.tenants = node->tenants;
    node->admin.token = node->plan->token;
    node->admin.version = WARP_VERSION;
    node->admin.started_ms = node->plan->started_ms;
    node->admin.node = node->plan->node_id;
    node->admin.workers = node->plan->workers;
    node->admin.notes = node->notes;
    struct os_peer peer = os_peer_of(&node->plan->admin.address);
    node->admin.is_loopback = os_peer_is_loopback(&peer);
    node->admin.is_unix = peer.family == AF_UNIX;
    return ERR_OK;
}

/* Containers often forbid io_uring: a fact, not a fault. */
static void node_tell_refused(const struct node *node)
{
    const struct os *os = loop_os(node->workers[node->plan->workers - 1].loop);

    if (node->admin.uring_refused > 0)
        log_info("io_uring is refused here (%s): %u of %u workers run on epoll", err_text(ERR_SYS(os_uring_refused(os))),
                 node->admin.uring_refused, node->plan->workers);
}

static err node_start_control(struct node *node)
{
    const struct node_control_config config = {.plan = node->plan,
                                               .node = node,
                                               .loop = node->workers[0].loop,
                                               .storage = node->storage,
                                               .metrics = node->metrics,
                                               .tls = node->tls,
                                               .tenants = node->tenants};

    node->taken = os_event_new();
    ENSURE(node->taken != NULL, MEMORY);
    TRY(node_control_new(&config, &node->control));
    node->admin.control = &node_control_ops;
    node->admin.control_arg = node->control;
    TRY(metrics_collect(node->metrics, node_control_collect, node->control));
    return node_control_start(node->control);
}

static err node_start(struct node *node)
{
    unsigned count = node->plan->workers;

    node->workers = aligned_alloc(64, count * sizeof(*node->workers));
    ENSURE(node->workers != NULL, MEMORY);
    memset(node->workers, 0, count * sizeof(*node->workers));
    for (unsigned i = 0; i < count; i++)
        TRY(worker_init(&node->workers[i], node, i));
    node_tell_refused(node);
    node->signals = (struct os_watch){
        .os = loop_os(node->workers[0].loop), .fd = os_signals_open(), .want = 1, .ready = signals_ready};
    TRY(os_watch_start(loop_os(node->workers[0].loop), &node->signals));
    TRY(node_store_start(&node->store));
    TRY(node_start_control(node));
    TRY(admin_start(&node->admin));
    for (unsigned i = 1; i < count; i++) {
        char name[16];
        snprintf(name, sizeof(name), "warp-%u", i);
        TRY(os_thread_start(name, worker_run, &node->workers[i], &node->workers[i].thread));
    }
    node->admin.readiness = ADMIN_READY;
    return supervisor_tell_ready(node->plan->channel);
}

static void node_close(struct node *node)
{
    for (unsigned i = 0; i < node->plan->workers; i++)
        if (node->workers[i].thread != NULL)
            os_thread_join(node->workers[i].thread);
    os_watch_stop(&node->signals);
    atomic_store(&node->is_over, true);
    if (node->control != NULL)
        node_control_stop(node->control);
    node->taking = taking_free(node->taking, node->plan->workers);
    node_store_stop(&node->store);
    for (unsigned i = 0; i < node->plan->workers; i++)
        worker_done(&node->workers[i]);
    free(node->workers);
    node_tls_free(node->tls);
    os_event_free(node->taken);
    if (node->access != NULL)
        access_close(node);
    metrics_free(node->metrics);
    fill_table_free(node->fills);
    peers_free(node->peers);
    node_store_free(&node->store);
    tenants_unref(node->tenants);
    node_control_free(node->control);
}

int node_run(struct node_plan *plan)
{
    struct node node = {.plan = plan};
    err result = node_open(&node);

    if (err_is_ok(result))
        result = node_start(&node);
    if (!err_is_ok(result)) {
        log_error("cannot start: %s", err_text(result));
        return 1;
    }
    worker_run(&node.workers[0]);
    node_close(&node);
    return 0;
}
