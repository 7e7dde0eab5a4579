/* node: what the threads of one worker process share, and one thread's part of it.
 *
 * Start order: supervisor (listeners, token) -> child: node_new -> workers -> signals. A node ends by draining:
 * listeners are stopped, idle connections closed, requests under way finished or cut at drain_timeout. */
#ifndef WARP_MAIN_NODE_H
#define WARP_MAIN_NODE_H

#include "admin/admin.h"
#include "conf/settings.h"
#include "main/config_text.h"
#include "fill/fill.h"
#include "origin/origin.h"
#include "proto/server.h"
#include "stat/access.h"
#include "stat/metrics.h"
#include "store/storage.h"
#include "tenant/registry.h"
#include "txn/txn.h"

#define NODE_LISTENERS_MAX 16u
#define NODE_LISTENERS_ROOM (2 * NODE_LISTENERS_MAX) /* while a change is taken: new ones open before old ones close */
#define NODE_WORKERS_MAX   256u
#define TOKEN_BYTES_MAX    256u
#define NODE_MESSAGE_BYTES 512u

/* Opened by the supervisor, inherited by every child. shard[i] is worker i's. */
struct node_listener {
    const char *text; /* as configured; malloc */
    struct os_listener *shards;
    bool is_tls;
};

/* What the supervisor prepares, and its children only read. */
struct node_plan {
    struct settings *settings;
    struct config config; /* of the settings */
    struct config_start start; /* what the process was started with */
    struct config_text text;   /* what the settings were made of */
    struct state state;
    struct tenant_registry *registry;
    bool is_registry_owed;   /* it could not be written down */
    struct tenants *tenants; /* the first set, made before the first worker process, which takes it over */
    unsigned workers;
    unsigned descriptors; /* the process may have open */
    uint64_t memory_bytes;
    struct node_listener listeners[NODE_LISTENERS_ROOM];
    unsigned listener_count;
    struct os_listener admin;
    /* Read before the first worker process, so that what is wrong with the files ends the start; NULL: none, or read by
     * the process itself. */
    struct net_identity *identity, *admin_identity;
    bool has_demo;
    char demo_url[64];
    char token[TOKEN_BYTES_MAX];
    char token_path[512];
    uint32_t node_id;
    int64_t started_ms;
    int channel;      /* to the supervisor, in a worker process; -1 else */
    uint64_t version; /* of the configuration that a worker process before this one had in force; 0: none was told */
    bool is_restarted;
    bool is_rolled_back; /* `text` is a version that was rolled back to */
    char lost[NODE_MESSAGE_BYTES]; /* certificates that a worker process after a crash goes without; "": none */
};

/* Runs a worker process to its end; returns its exit code. */
int node_run(struct node_plan *plan);

#endif
