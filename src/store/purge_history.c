#include "store/purge_history.h"

#include <stdlib.h>

struct kept {
    struct purge_entry entry;
    char *texts; /* who, then what; NULL: neither */
    uint16_t who_len, what_len;
    uint8_t source, durability;
    bool is_restored;
};

struct purge_history {
    uint64_t count; /* that ever came in; the newest PURGE_RING_ENTRIES are there */
    uint64_t text_bytes;
    struct kept ring[PURGE_RING_ENTRIES];
};

struct purge_history *purge_history_new(void)
{
    return calloc(1, sizeof(struct purge_history)); /* zero pages until used */
}

struct purge_history *purge_history_free(struct purge_history *history)
{
    for (unsigned i = 0; history != NULL && i < PURGE_RING_ENTRIES; i++)
        free(history->ring[i].texts);
    free(history);
    return NULL;
}

/* ---- the ring ----------------------------------------------------------------------------------------------------- */

static uint64_t kept_count(const struct purge_history *history)
{
    return MIN(history->count, PURGE_RING_ENTRIES);
}

/* i: from 0, the oldest one that is kept. */
static struct kept *kept_at(const struct purge_history *history, uint64_t i)
{
    uint64_t at = history->count - kept_count(history) + i;

    return (struct kept *)(uintptr_t)&history->ring[at % PURGE_RING_ENTRIES];
}

/* The first one above since; kept_count: none is. */
static uint64_t first_above(const struct purge_history *history, uint64_t since)
{
    uint64_t low = 0, high = kept_count(history);

    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (kept_at(history, middle)->entry.seq <= since)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct kept *kept_find(const struct purge_history *history, uint64_t seq)
{
    uint64_t i = seq > 0 ? first_above(history, seq - 1) : 0;
    struct kept *kept = i < kept_count(history) ? kept_at(history, i) : NULL;

    return kept != NULL && kept->entry.seq == seq ? kept : NULL;
}

/* ---- adding ------------------------------------------------------------------------------------------------------- */

static struct kept *kept_add(struct purge_history *history, const struct purge_entry *entry)
{
    struct kept *kept = &history->ring[history->count++ % PURGE_RING_ENTRIES];

    history->text_bytes -= (uint64_t)kept->who_len + kept->what_len;
    free(kept->texts);
    *kept = (struct kept){.entry = *entry};
    return kept;
}

static void kept_set_texts(struct purge_history *history, struct kept *kept, slice who, slice what)
{
    who.len = MIN(who.len, PURGE_WHO_BYTES);
    what.len = MIN(what.len, PURGE_WHAT_BYTES);
    if (who.len + what.len > 0)
        kept->texts = malloc(who.len + what.len);
    if (kept->texts == NULL)
        return;
    if (who.len > 0)
        memcpy(kept->texts, who.data, who.len);
    if (what.len > 0)
        memcpy(kept->texts + who.len, what.data, what.len);
    kept->who_len = (uint16_t)who.len;
    kept->what_len = (uint16_t)what.len;
    history->text_bytes += who.len + what.len;
}

void purge_history_add(struct purge_history *history, const struct purge_entry *entry, const struct purge_note *note)
{
    struct kept *kept = kept_add(history, entry);

    kept->source = note != NULL ? note->source : PURGE_BY_WARP;
    if (note != NULL)
        kept_set_texts(history, kept, note->who, note->what);
}

void purge_history_restore(struct purge_history *history, const struct purge_entry *entry)
{
    struct kept *kept = kept_add(history, entry);

    kept->is_restored = true;
    kept->durability = PURGE_SAFE;
}

/* ---- what was written down ------------------------------------------------------------------------------------------ */

static bool is_same_purge(const struct purge_entry *a, const struct purge_entry *b)
{
    return a->seq == b->seq && a->wall_ms == b->wall_ms && a->tenant == b->tenant && a->kind == b->kind && a->soft == b->soft;
}

static void recall_one(struct purge_history *history, const struct purge_entry *entry, uint8_t durability, const struct purge_record *record)
{
    struct kept *kept = kept_add(history, entry);

    kept->source = record->source;
    kept->durability = durability;
    kept_set_texts(history, kept, slice_str(record->who), slice_str(record->what));
}

/* Takes the texts over. */
static void move_one(struct purge_history *history, struct kept *from)
{
    struct kept *kept = kept_add(history, &from->entry);

    *kept = *from;
    history->text_bytes += (uint64_t)from->who_len + from->what_len;
    from->texts = NULL;
    from->who_len = from->what_len = 0;
}

bool purge_history_recall(struct purge_history *history, const struct purge_record *records, unsigned count)
{
    struct purge_history *old = malloc(sizeof(*old));
    unsigned next = 0;

    if (old == NULL)
        return false;
    *old = *history;
    memset(history, 0, sizeof(*history));
    for (uint64_t i = 0; i < kept_count(old); i++) {
        struct kept *kept = kept_at(old, i);
        while (next < count && records[next].entry.seq < kept->entry.seq) {
            recall_one(history, &records[next].entry, records[next].durability, &records[next]);
            next++;
        }
        if (next < count && kept->is_restored && is_same_purge(&records[next].entry, &kept->entry))
            recall_one(history, &kept->entry, kept->durability, &records[next]);
        else
            move_one(history, kept);
        while (next < count && records[next].entry.seq == kept->entry.seq)
            next++;
    }
    for (; next < count; next++)
        recall_one(history, &records[next].entry, records[next].durability, &records[next]);
    purge_history_free(old);
    return true;
}

/* ---- what comes of one -------------------------------------------------------------------------------------------- */

void purge_history_counted(struct purge_history *history, uint64_t seq, uint64_t matched, bool is_exact)
{
    struct kept *kept = kept_find(history, seq);

    if (kept == NULL)
        return;
    kept->entry.matched = matched;
    kept->entry.matched_is_exact = is_exact;
}

void purge_history_settled(struct purge_history *history, uint64_t seq, bool is_durable)
{
    struct kept *kept = kept_find(history, seq);

    if (kept != NULL)
        kept->durability = is_durable ? PURGE_SAFE : PURGE_UNSAFE;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

static void text_copy(char *to, const char *from, size_t len)
{
    if (len > 0)
        memcpy(to, from, len);
    to[len] = '\0';
}

static void record_of(const struct kept *kept, struct purge_record *ret_record)
{
    ret_record->entry = kept->entry;
    ret_record->source = kept->source;
    ret_record->durability = kept->durability;
    ret_record->is_restored = kept->is_restored;
    text_copy(ret_record->who, kept->texts, kept->who_len);
    text_copy(ret_record->what, kept->texts + kept->who_len, kept->what_len);
}

unsigned purge_history_above(const struct purge_history *history, uint64_t since, struct purge_record *ret_records, unsigned max)
{
    unsigned count = 0;

    for (uint64_t i = first_above(history, since); i < kept_count(history) && count < max; i++)
        record_of(kept_at(history, i), &ret_records[count++]);
    return count;
}

unsigned purge_history_below(const struct purge_history *history, uint64_t before, struct purge_record *ret_records, unsigned max)
{
    unsigned count = 0;

    for (uint64_t i = before > 0 ? first_above(history, before - 1) : 0; i > 0 && count < max; i--)
        record_of(kept_at(history, i - 1), &ret_records[count++]);
    return count;
}

uint64_t purge_history_oldest(const struct purge_history *history)
{
    return history->count > 0 ? kept_at(history, 0)->entry.seq : 0;
}

uint64_t purge_history_bytes(const struct purge_history *history)
{
    return sizeof(*history) + history->text_bytes;
}
