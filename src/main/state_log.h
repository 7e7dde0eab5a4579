/* state_log: numbered lines in a file of the state directory that is only appended to.
 *
 *   NAME    the newest lines
 *   NAME.1  those before them: where NAME would grow beyond STATE_LOG_BYTES, it takes its place
 *
 * So there is always as much as that of what was, and never more than twice as much. A line is a JSON object that begins with
 * its number, {"number":17, and numbers ascend. What a power cut has torn is passed over; nothing is flushed.
 *
 * Memory: the caller's, which state and name outlive. Threads: one that appends; any may read meanwhile. Blocks. */
#ifndef WARP_MAIN_STATE_LOG_H
#define WARP_MAIN_STATE_LOG_H

#include "main/state.h"

#define STATE_LOG_BYTES (4u << 20)

struct state_log {
    const struct state *state;
    const char *name;
    uint64_t last;  /* the number of the last line; 0: there is none */
    uint64_t bytes; /* of NAME */
    bool is_torn;   /* NAME ends in the middle of a line */
};

/* Looks at what is there; nothing is fine. */
void state_log_open(struct state_log *log, const struct state *state, const char *name);
/* Whole lines, with the number of the last one. On an error they are not there, or will be passed over. */
MUST_USE err state_log_append(struct state_log *log, slice lines, uint64_t last);
/* The first lines behind the one numbered since, at most max; or the newest ones. Each with its '\n'; free() it. */
MUST_USE err state_log_read(const struct state_log *log, uint64_t since, unsigned max, char **ret_text, size_t *ret_len);
MUST_USE err state_log_newest(const struct state_log *log, unsigned max, char **ret_text, size_t *ret_len);

#endif
