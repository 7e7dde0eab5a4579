/* control_restart: what a configuration says and only a restart brings. Pure. */
#ifndef WARP_MAIN_CONTROL_RESTART_H
#define WARP_MAIN_CONTROL_RESTART_H

#include "conf/config.h"

#include <stddef.h>

/* "" where there is nothing of the kind. started: what the process was started with. */
void control_restart_note(const struct config *started, const struct config *now, char *note, size_t size);
/* Of what only a restart brings, config gets what the process was started with: a worker process that takes the place of one
 * that crashed is no restart. Strings stay those of started. */
void control_restart_keep(const struct config *started, struct config *config);

#endif
