/* purge_history: the newest purges as people want to see them: who asked for what, and what came of it.
 *
 * Texts are for reading alone: nothing is purged by them, and a journal has no room for them. What comes back from one after
 * a restart is there without, until somebody who wrote them down gives them back (purge_history_recall).
 *
 * Limits: PURGE_RING_ENTRIES purges; texts are cut at PURGE_WHO_BYTES and PURGE_WHAT_BYTES, so 2.5 MiB at most. Sequences
 * ascend, but need not be dense. Threads: one at a time (the purge log's mutex). */
#ifndef WARP_STORE_PURGE_HISTORY_H
#define WARP_STORE_PURGE_HISTORY_H

#include "store/storage.h"

#define PURGE_RING_ENTRIES 4096u
#define PURGE_WHO_BYTES    80u
#define PURGE_WHAT_BYTES   512u

/* One purge, as it acts and as journals keep it. */
struct purge_entry {
    uint64_t seq;
    int64_t wall_ms;
    uint64_t matched; /* set by purge_log_counted */
    uint32_t label;   /* 0 for STORE_LABEL_TENANT */
    uint16_t tenant;  /* STORE_TENANT_ALL: of everybody, with STORE_LABEL_TENANT */
    uint8_t kind; /* enum store_label_kind */
    bool soft;
    bool matched_is_exact;
};

enum purge_durability {
    PURGE_UNSETTLED, /* on its way to the journals */
    PURGE_SAFE,
    PURGE_UNSAFE
};

/* The same with what people want to know. Texts are terminated. */
struct purge_record {
    struct purge_entry entry;
    uint8_t source;     /* enum purge_source */
    uint8_t durability; /* enum purge_durability */
    bool is_restored;   /* from a journal alone: nobody knows any more who, and the text of what */
    char who[PURGE_WHO_BYTES + 1], what[PURGE_WHAT_BYTES + 1];
};

struct purge_history;
struct purge_history *purge_history_new(void);
struct purge_history *purge_history_free(struct purge_history *history);

/* entry->seq is above all that is there. note may be NULL. Without memory for the texts they are left out. */
void purge_history_add(struct purge_history *history, const struct purge_entry *entry, const struct purge_note *note);
void purge_history_restore(struct purge_history *history, const struct purge_entry *entry);
/* At the start: what was written down of purges from before, ascending. Where the history has the purge it gets its texts
 * back, if it is the same one; else it comes between the others. False: no memory; nothing has changed. */
MUST_USE bool purge_history_recall(struct purge_history *history, const struct purge_record *records, unsigned count);
/* Nothing happens where the purge has fallen out. */
void purge_history_counted(struct purge_history *history, uint64_t seq, uint64_t matched, bool is_exact);
void purge_history_settled(struct purge_history *history, uint64_t seq, bool is_durable);

/* The oldest ones above since, ascending; the newest ones below before, descending. At most max; returns how many. */
unsigned purge_history_above(const struct purge_history *history, uint64_t since, struct purge_record *ret_records, unsigned max);
unsigned purge_history_below(const struct purge_history *history, uint64_t before, struct purge_record *ret_records, unsigned max);
/* The sequence of the oldest one that is kept; 0: there is none. */
uint64_t purge_history_oldest(const struct purge_history *history);
uint64_t purge_history_bytes(const struct purge_history *history);

#endif
