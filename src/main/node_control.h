/* node_control: changes of the configuration while the process runs (admin/control.h), on a thread of its own
 * ("warp-config"), one after the other:
 *
 *   candidate texts -> settings -> tenants, certificates, listeners -> written down -> every worker takes them
 *
 * Up to the last step nothing has changed, and on any error nothing does. The supervisor opens listeners, which the process
 * may have no right to, and is told which version is in force, so that a worker process that is started after a crash
 * begins with it.
 *
 * The thread also frees sets of tenants that nobody uses any more, and writes down what is owed to the state directory. */
#ifndef WARP_MAIN_NODE_CONTROL_H
#define WARP_MAIN_NODE_CONTROL_H

#include "admin/control.h"
#include "main/config_text.h"
#include "main/node_change.h"
#include "main/node_tls.h"

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
/* After the last reference of the last set of tenants has gone. */
struct node_control *node_control_free(struct node_control *control);
MUST_USE err node_control_start(struct node_control *control);

extern const struct control_ops node_control_ops; /* arg: the control */
/* On worker 0: a reload that nobody waits for. */
void node_control_reload(struct node_control *control, const char *who);
/* Changes by result, and what is owed. */
void node_control_collect(void *arg, enum metric metric, struct metrics_writer *writer);

#endif
