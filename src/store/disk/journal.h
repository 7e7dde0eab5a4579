/* journal: the purges that a restart must not forget, in a preallocated area of a device (docs/formats/purge-journal.md).
 *
 *   append -> next_write ... (the caller writes both places, flushes) -> written -> next_write ... until there is none
 *   forget: it need not count any more
 *
 * A ring of blocks, each written once and in two halves of the area alike, never over a block that still counts by what is
 * durable: a torn write loses only what was not answered, a damaged block is still there once. Every head says from where
 * on blocks count, so a hole among them is seen: then the journal is broken, and whatever is older than its end must be
 * taken for purged.
 *
 *   forgotten: purges up to it are not here any more, by intent       reserved: sequences up to it may have been given out
 *
 * When the ring is half full it is written again densely, without what later purges have made needless. What does not fit
 * even so is refused: the caller then purges the whole tenant, which takes the place of all its purges.
 *
 * Pure: no I/O. Threads: one. */
#ifndef WARP_STORE_DISK_JOURNAL_H
#define WARP_STORE_DISK_JOURNAL_H

#include "store/disk/format.h"
#include "store/purge.h"

#define JOURNAL_BLOCK_ENTRIES 100u
#define JOURNAL_BLOCKS_MIN    8u /* in each half */

struct journal_head {
    uint32_t magic, crc; /* crc: of the store's id, the place in the half, and the block with this zero */
    uint64_t number;     /* of the block, from 1; it lies at number % blocks of each half */
    uint64_t first;      /* blocks from this one on count */
    uint64_t durable;    /* blocks before this one were durable when this was written: none of those that count may be missing */
    uint64_t forgotten, reserved;
    uint32_t count;
    uint8_t unused[12];
};
struct journal_entry {
    uint64_t seq;
    int64_t wall_ms;
    uint64_t matched;
    uint32_t label;
    uint16_t tenant;
    uint8_t kind; /* enum store_label_kind */
    uint8_t flags; /* 1: soft; 2: matched is exact */
    uint8_t unused[8];
};
static_assert(sizeof(struct journal_head) == 64 && sizeof(struct journal_entry) == 40, "docs/formats/purge-journal.md");
static_assert(sizeof(struct journal_head) + JOURNAL_BLOCK_ENTRIES * sizeof(struct journal_entry) <= DISK_BLOCK, "a block");

struct journal;
/* ERR_LIMIT: too small an area. */
MUST_USE err journal_new(const struct disk_id *store, uint64_t area_bytes, struct journal **ret_journal);
struct journal *journal_free(struct journal *journal);

/* ---- at the start: every block of the area, in any order, then journal_taken ---------------------------------------- */

/* at: its place in the area. NULL: it cannot be read. */
void journal_take(struct journal *journal, const void *block, uint64_t at);
enum journal_state {
    JOURNAL_INTACT,
    JOURNAL_BLANK,  /* all zeros, as formatting leaves it: none was ever written */
    JOURNAL_EMPTY,  /* no block is one, but something is there */
    JOURNAL_BROKEN, /* blocks that count are missing: what is there is given, the rest is not known */
    JOURNAL_UNKNOWN, /* memory was short: nothing is known of it */
};
enum journal_state journal_taken(struct journal *journal);

/* ---- what it holds -------------------------------------------------------------------------------------------------- */

/* Valid until the next change or write. */
unsigned journal_entries(const struct journal *journal, const struct purge_entry **ret_entries);
uint64_t journal_forgotten(const struct journal *journal);
uint64_t journal_reserved(const struct journal *journal);

/* ---- changes -------------------------------------------------------------------------------------------------------- */

/* It holds these from now on, in the place of what it held; written with the next write. entries: ascending. ERR_LIMIT: there
 * is no room for them, and it holds nothing; none at all, with the newest sequence forgotten, always fit. */
MUST_USE err journal_set(struct journal *journal, const struct purge_entry *entries, unsigned count, uint64_t forgotten);
/* Memory for so many more: what is appended then does not fail for want of it. */
MUST_USE err journal_expect(struct journal *journal, unsigned count);
/* In any order of sequences. False: no room even when it is written densely. */
MUST_USE bool journal_append(struct journal *journal, const struct purge_entry *entry);
/* Sequences up to it may be given out once that is written. */
void journal_reserve(struct journal *journal, uint64_t seq);
void journal_forget(struct journal *journal, uint64_t up_to_seq);
/* Much of it counts: whoever can should see to it that some may be forgotten. */
bool journal_is_crowded(const struct journal *journal);

bool journal_has_work(const struct journal *journal);
/* The next block to be written, at both places of the area; false: there is none before what was given is durable. */
MUST_USE bool journal_next_write(struct journal *journal, void *ret_block, uint64_t ret_at[2]);
/* All that next_write gave is durable. What was appended is, when there is no work left. */
void journal_written(struct journal *journal);

#endif
