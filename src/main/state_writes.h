/* state_writes: files of the state directory that worker 0 wants written (admin/control.h): each is made and flushed on the
 * control's thread, which asks for them one by one, and reported to the loop by mail. */
#ifndef WARP_MAIN_STATE_WRITES_H
#define WARP_MAIN_STATE_WRITES_H

#include "admin/control.h"
#include "main/state.h"

#include <pthread.h>

struct state_writes {
    const struct state *state;
    struct loop *loop; /* worker 0's */
    pthread_mutex_t lock; /* of the next */
    struct list waiting;
};

void state_writes_init(struct state_writes *writes, const struct state *state, struct loop *loop);
/* What waits still is never reported. */
void state_writes_done(struct state_writes *writes);
/* Worker 0; whoever wakes the thread does so after it. */
void state_writes_add(struct state_writes *writes, struct control_write *write);
/* The control's thread: one of them. False: none waits. */
bool state_writes_run(struct state_writes *writes);

#endif
