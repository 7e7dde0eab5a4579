/* control_listeners: the listeners that a change opens and closes.
 *
 *   listeners in force, those of the new configuration --prepare: opened by the supervisor--> workers take them --settle-->
 *   those that go are closed; or, where the change is refused, those that were opened
 *
 * A listener is known by its text. Owner: "warp-config". */
#ifndef WARP_MAIN_CONTROL_LISTENERS_H
#define WARP_MAIN_CONTROL_LISTENERS_H

#include "conf/config.h"
#include "main/node_change.h"
#include "main/supervisor_door.h"

#define LISTENERS_MESSAGE_BYTES 512u

/* From those of `now` to those of `config`, for so many workers; started: what the process was started with. On an error message says which address and why; what was
 * opened by then is settle's to close. */
MUST_USE err control_listeners_prepare(struct supervisor_door *door, const struct config *started, const struct config *now,
                                       const struct config *config, unsigned workers, struct node_change *change, char *message,
                                       size_t size);
/* taken: the workers have what was opened, and have closed what goes. */
void control_listeners_settle(struct supervisor_door *door, unsigned workers, struct node_change *change, bool taken);

#endif
