/* purge_batch: several purges that are asked for and answered as one: both schemes of a URL, each of several tags.
 *
 *   new -> add ... -> start --each acts at once; all are durable, or cannot be--> done
 *                        +--abandon: nobody waits any more; they act all the same
 *
 * A few purges are counted each by itself; of more, one look over what is stored counts for all of them: an object is counted
 * for the first purge that hits it.
 *
 * Limits: as many as new was told; PURGE_BATCH_DURABLE_NS until a device that does not answer is taken for one that failed.
 * Threads: its loop's. */
#ifndef WARP_STORE_PURGE_BATCH_H
#define WARP_STORE_PURGE_BATCH_H

#include "store/storage.h"

#define PURGE_BATCH_DURABLE_NS UINT64_C(10000000000)
#define PURGE_BATCH_APART_MAX  4u     /* purges that are counted each by itself */
#define PURGE_BATCH_LOOKS_MAX  10000u /* objects that are looked at to count for more of them: about a millisecond */

struct purge_batch;

struct purge_batch_result {
    uint64_t seq; /* of the last one */
    uint64_t matched;
    bool matched_is_exact, durable; /* of all */
    bool matched_is_least;          /* of one: there may be any number more */
};

/* who: as in struct purge_note, valid until start has returned. NULL: no memory. */
struct purge_batch *purge_batch_new(struct storage *storage, struct loop *loop, unsigned max, slice who, enum purge_source source);
/* text: of the label, and for the log; valid until start has returned. What is returned may be completed until then. */
struct store_purge *purge_batch_add(struct purge_batch *batch, uint16_t tenant, enum store_label_kind kind, slice text, bool soft);
/* The batch is done's from here on: done is called once, perhaps before this returns, and the batch is gone then. */
void purge_batch_start(struct purge_batch *batch, void (*done)(void *arg, const struct purge_batch_result *result), void *arg);
/* done will not be called. NULL is fine. */
void purge_batch_abandon(struct purge_batch *batch);

#endif
