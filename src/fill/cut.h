/* cut: a body whose length was not known when it came lies in one piece, and no device takes a piece of more than a slice.
 * Once complete it is copied into slices (cache/slices.h), one in a turn of the loop; then a head that says where they are
 * takes its place. It is read from one piece until then, and by those who have begun.
 *
 * A cut that cannot be finished (no memory, over the tenant's quota, the object purged or replaced meanwhile) leaves the
 * object as it is, and no slices. Purges: the sequence is pinned from before the object is seen in the store, so whatever
 * hits the object hits its slices.
 *
 * Thread: its context's. */
#ifndef WARP_FILL_CUT_H
#define WARP_FILL_CUT_H

#include "fill/fill.h"

/* object: complete, longer than a slice, a 200 under its key; a reference is taken. Nothing is done where it is not in the
 * store (any more), and where there is no memory or too much under way (fills_max): it stays in one piece then. */
void cut_begin(struct fill_context *context, struct store_object *object);
/* Gives up all that are under way. */
void cut_stop(struct fill_context *context);
/* The context's mail: a slice of the first that is under way. */
void cut_mailed(struct mail *mail);

#endif
