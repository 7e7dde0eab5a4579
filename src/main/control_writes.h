/* control_writes: what worker 0 wants written in the state directory (struct control_write, admin/control.h): each is made,
 * written and flushed by the control's thread, which asks for them one by one, and reported to the loop by mail. */
#ifndef WARP_MAIN_CONTROL_WRITES_H
#define WARP_MAIN_CONTROL_WRITES_H

#include "admin/control.h"
#include "main/control_audit.h"
#include "main/control_keep.h"

#include <pthread.h>

struct control_writes {
    struct loop *loop; /* worker 0's */
    pthread_mutex_t lock; /* of the next */
    struct list waiting;
};

void control_writes_init(struct control_writes *writes, struct loop *loop);
/* What waits still is never reported. */
void control_writes_done(struct control_writes *writes);
/* Worker 0; whoever wakes the thread does so after it. */
void control_writes_add(struct control_writes *writes, struct control_write *write);

/* The control's thread: the next one; NULL: none waits. */
struct control_write *control_writes_next(struct control_writes *writes);
/* As write->is_true says: what is owed is in debt and audit then. */
void control_writes_run(struct control_write *write, const struct state *state, struct keep_debt *debt, struct control_audit *audit);
void control_writes_report(struct control_writes *writes, struct control_write *write);

#endif
