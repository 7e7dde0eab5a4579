/* control_purges: what the purge log knows of purges, written down in purges.log of the state directory (state_log.h), so that
 * who purged what is still known after a restart. A purge is safe by the journals alone: this is for people, about a second
 * behind, and what a crash takes of it is a text.
 *
 * A node without a disk has no other memory of sequences: they go on from here, with a gap for what a crash has taken, so that who
 * follows the log need not begin anew.
 *
 * Threads: one at a time. Blocks. */
#ifndef WARP_MAIN_CONTROL_PURGES_H
#define WARP_MAIN_CONTROL_PURGES_H

#include "main/state_log.h"
#include "store/purge.h"

struct control_purges {
    struct state_log file;
    struct purge_log *log;
    uint64_t written; /* up to this sequence */
    bool is_behind;   /* the file could not be written; said once */
};

/* At the start, before the first purge: gives the purge log back what was written down. is_alone: no journal has begun it.
 * What cannot be read is left. */
void control_purges_open(struct control_purges *purges, const struct state *state, struct purge_log *log, bool is_alone);
/* Writes down what has come since, and is settled. Often enough: 4,096 purges are remembered. */
void control_purges_turn(struct control_purges *purges);

#endif
