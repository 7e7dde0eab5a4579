/* purge_log: what was purged, and when. A purge is a log, not a search.
 *
 * The sequence starts at 1 and grows by one with each purge. Every object carries the sequence at the START
 * of its fill; a purge with a greater sequence that names one of the object's labels (or its tenant) matches
 * it. So an object whose fill began before a purge is purged, one whose fill began after it is not, whatever
 * the order in which the two end.
 *
 *   purge_log_append -> entry {tenant, label, hard, soft} -> compared at lookup, join, update, publication
 *                    -> the tier's sweep removes what it matched -> purge_log_retire
 *
 * An entry may retire only when a sweep of every tier that began after it has ended, and no fill is in flight that began
 * before it: a fill pins its sequence (purge_log_pin) until its object is published or given up. Each tier that sweeps
 * is a sweeper; what all of them have swept retires.
 *
 * STORE_TENANT_ALL raises the epoch of every tenant. What people want to know of purges is in purge_history.h.
 *
 * After a restart the log is given back what a journal remembers (purge_log_restore), before anybody looks at it.
 *
 * Limits: labels_max entries; when it is full, the tenant's epoch is raised instead: everything of that
 * tenant is purged (softly for a soft purge). That is counted, never wrong. Threads: any. purge_log_check
 * takes no lock except while entries retire. */
#ifndef WARP_STORE_PURGE_H
#define WARP_STORE_PURGE_H

#include "store/purge_history.h"

#define PURGE_LABELS_MAX_DEFAULT (1u << 20)
#define PURGE_SWEEPERS_MAX       32u

struct purge_log;

enum purge_verdict {
    PURGE_NONE,
    PURGE_SOFT,
    PURGE_HARD
};

/* labels_max 0: the default. NULL when memory ends. */
struct purge_log *purge_log_new(unsigned labels_max);
struct purge_log *purge_log_free(struct purge_log *log);

/* The sequence now. */
uint64_t purge_log_seq(const struct purge_log *log);

/* In effect when it returns. entry->seq is ignored; note (may be NULL): for the history. ret_before (may be NULL): the sequence of the last hard
 * purge of the same label, 0 when there is none; for counting what this one adds. Returns the new sequence.
 */
uint64_t purge_log_append(struct purge_log *log, const struct purge_entry *entry, const struct purge_note *note,
                          uint64_t *ret_before);
/* Complete the record of a purge with what it matched, and with whether it will survive a restart. */
void purge_log_counted(struct purge_log *log, uint64_t seq, uint64_t matched, bool is_exact);
void purge_log_settled(struct purge_log *log, uint64_t seq, bool is_durable);

/* The verdict on an object of that sequence and those labels. */
enum purge_verdict purge_log_check(const struct purge_log *log, uint64_t seq, uint16_t tenant,
                                   const struct store_label *labels, unsigned label_count);
/* The same as if the label `except` had never been purged. */
enum purge_verdict purge_log_check_except(const struct purge_log *log, uint64_t seq, uint16_t tenant,
                                          const struct store_label *labels, unsigned label_count,
                                          struct store_label except);
/* The sequence of the tenant's last purge; 0: all have retired. Without a change there is no new verdict. */
uint64_t purge_log_latest(const struct purge_log *log, uint16_t tenant);
/* Has the tenant any purge that has not retired? */
bool purge_log_is_active(const struct purge_log *log, uint16_t tenant);

/* Notes the sequence now as the start of a fill and returns it; each pin is taken back once. */
uint64_t purge_log_pin(struct purge_log *log);
void purge_log_unpin(struct purge_log *log, uint64_t seq);

/* At the start, at most PURGE_SWEEPERS_MAX of them. */
unsigned purge_log_sweeper_new(struct purge_log *log);
/* A sweep asks at its start how far it will allow entries to retire, and says at its end that so far nothing is left that
 * they match. UINT64_MAX: this sweeper has nothing any more that could be matched. */
uint64_t purge_log_sweep_begin(struct purge_log *log);
void purge_log_swept(struct purge_log *log, unsigned sweeper, uint64_t up_to_seq);

/* At the start: a purge from before, entry->seq included; ascending. */
void purge_log_restore(struct purge_log *log, const struct purge_entry *entry);
/* At the start, behind all that is restored: what was written down of purges from before, for the history alone; what lies
 * above the sequence is left out. False: no memory. */
MUST_USE bool purge_log_recall(struct purge_log *log, const struct purge_record *records, unsigned count);
/* At the start, behind all that is restored: the sequence goes on above this. */
void purge_log_begin_at(struct purge_log *log, uint64_t seq);

/* The history: the oldest records above since, ascending; the newest ones below before, descending. */
unsigned purge_log_above(struct purge_log *log, uint64_t since, struct purge_record *ret_records, unsigned max);
unsigned purge_log_below(struct purge_log *log, uint64_t before, struct purge_record *ret_records, unsigned max);
/* The sequence of the oldest record; 0: there is none. */
uint64_t purge_log_oldest(struct purge_log *log);

struct purge_log_stats {
    uint64_t labels;    /* entries now */
    uint64_t overflows; /* times the table was full */
    uint64_t retired;   /* entries so far */
    uint64_t bytes;
    unsigned pins;
};
void purge_log_stats(struct purge_log *log, struct purge_log_stats *ret_stats);

#endif
