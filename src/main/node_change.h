/* node_change: what the workers take when the configuration changes, each at its next turn.
 *
 *   node_take_prepare: all memory is there --node_take--> every worker has it      or --node_take_drop--> none has
 *
 * Owner: "warp-config", which waits until all have it; workers read it meanwhile. */
#ifndef WARP_MAIN_NODE_CHANGE_H
#define WARP_MAIN_NODE_CHANGE_H

#include "main/node.h"
#include "main/supervisor_door.h"

struct listener_change {
    char text[LISTENER_TEXT_BYTES]; /* as configured */
    bool is_tls, is_opened;         /* else closed */
    struct os_listener *shards;     /* of an opened one: each worker takes its own over */
};

struct node_change {
    struct tenants *tenants; /* the caller's reference: who keeps it takes his own */
    struct listener_change listeners[NODE_LISTENERS_ROOM];
    unsigned listener_count;
};

struct node;
/* ERR_MEMORY. One change at a time. */
MUST_USE err node_take_prepare(struct node *node, struct node_change *change);
void node_take_drop(struct node *node);
/* False: the process ends, and some may never take it. */
bool node_take(struct node *node);

#endif
