/* node_control: changes of the configuration while the process runs (admin/control.h), on a thread of its own
 * ("warp-config"), one after the other:
 *
 *   candidate texts -> settings -> tenants, certificates, listeners -> every worker takes them -> kept as a version
 *
 * Up to the workers nothing has changed, and on any error nothing does. The supervisor opens listeners, which the process
 * may have no right to, and is told which version is in force, so that a worker process that is started after a crash
 * begins with it. */
#ifndef WARP_MAIN_NODE_CONTROL_H
#define WARP_MAIN_NODE_CONTROL_H

#include "admin/control.h"
#include "main/config_text.h"
#include "main/node.h"
#include "main/node_tls.h"

#define LISTENER_TEXT_BYTES 160u

/* ---- what workers take ---------------------------------------------------------------------------------------------- */

struct listener_change {
    char text[LISTENER_TEXT_BYTES]; /* as configured */
    bool is_tls, is_opened;         /* else closed */
    struct os_listener *shards;     /* of an opened one: each worker takes its own over */
};

struct node_change {
    struct tenants *tenants; /* the caller's reference: who keeps it takes his own */
    struct listener_change listeners[2 * NODE_LISTENERS_MAX];
    unsigned listener_count;
};
struct node;
/* On the control's thread: every worker has it when this returns. ERR_MEMORY: none has; ERR_CANCELLED: the process ends. */
MUST_USE err node_take(struct node *node, struct node_change *change);

/* ---- the supervisor ------------------------------------------------------------------------------------------------- */

enum supervisor_ask_kind { ASK_OPEN, ASK_CLOSE, ASK_VERSION };
struct supervisor_ask {
    uint32_t kind; /* enum supervisor_ask_kind */
    uint32_t is_tls;
    uint64_t version;
    char text[LISTENER_TEXT_BYTES];
};
/* Of OPEN: as many messages as the descriptors need. */
struct supervisor_answer {
    err result;
    uint32_t left; /* descriptors that follow in more messages */
    struct os_address address;
};

/* ---- its life ------------------------------------------------------------------------------------------------------- */

struct node_control;
struct node_control_config {
    struct node_plan *plan;
    struct node *node;
    struct loop *loop; /* worker 0's */
    struct storage *storage;
    struct metrics *metrics;
    struct node_tls *tls;
    struct tenants *tenants; /* in force; a reference is taken */
};
MUST_USE err node_control_new(const struct node_control_config *config, struct node_control **ret_control);
/* Ends the thread: what is under way is finished or given up; before the workers' loops go. */
void node_control_stop(struct node_control *control);
struct node_control *node_control_free(struct node_control *control);
MUST_USE err node_control_start(struct node_control *control);

/* A version that is kept: its text (free() it), and what lies in it. */
MUST_USE err node_control_version_read(const struct state *state, uint64_t number, char **ret_text, struct control_version *ret_version,
                                       slice *ret_bundle);
extern const struct control_ops node_control_ops; /* arg: the control */
/* On worker 0: a reload that nobody waits for. */
void node_control_reload(struct node_control *control, const char *who);
/* Reloads, by result. */
void node_control_collect(void *arg, enum metric metric, struct metrics_writer *writer);

#endif
