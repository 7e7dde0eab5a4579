#include "store/disk/journal.h"

#include "base/crc32c.h"
#include "store/object.h"

#include <stdlib.h>

#define MAGIC        0x4c4e4a57u /* "WJNL" */
#define FLAG_SOFT    1u
#define FLAG_EXACT   2u
#define DENSE_SHARE  3u /* of the ring, that what counts may take when written densely */
#define NUMBER_MAX   (UINT64_MAX / 2)

struct journal {
    struct disk_id store;
    uint64_t blocks; /* in each half */
    struct purge_entry *entries;
    unsigned count, room;
    unsigned written;       /* of the entries: in a block that was given out */
    uint64_t first, next;   /* numbers: the oldest that counts, the next to be written */
    uint64_t durable_first; /* as the newest durable head says: what lies before may be written over */
    uint64_t durable_next;  /* the next number when all before it was durable */
    uint64_t forgotten, reserved;
    uint64_t *last_seqs;    /* by number % blocks: the newest sequence in the block */
    bool was_short;         /* of memory, while it was taken */
    bool has_bytes;         /* found, that are no block of a journal */
    bool needs_head;        /* something but entries is to be written */
    bool is_rewriting;      /* all entries are to be written again, from first on; until that is durable the old ones count */
    /* while it is taken: heads by place, both halves; number 0: none */
    struct taken {
        struct journal_head head;
        struct journal_entry *list;
        uint8_t unread; /* halves whose copy could not be read */
    } *taken;
};

/* ---- blocks ------------------------------------------------------------------------------------------------------- */

static uint32_t block_crc(const struct journal *journal, uint64_t place, const char *block)
{
    static const char zero[4];
    uint32_t crc = crc32c(crc32c(0, journal->store.bytes, sizeof(journal->store.bytes)), &place, sizeof(place));
    size_t hole = offsetof(struct journal_head, crc);

    crc = crc32c(crc32c(crc, block, hole), zero, sizeof(zero));
    return crc32c(crc, block + hole + sizeof(zero), DISK_BLOCK - hole - sizeof(zero));
}

static struct journal_entry entry_pack(const struct purge_entry *entry)
{
    return (struct journal_entry){.seq = entry->seq,
                                  .wall_ms = entry->wall_ms,
                                  .matched = entry->matched,
                                  .label = entry->label,
                                  .tenant = entry->tenant,
                                  .kind = entry->kind,
                                  .flags = (uint8_t)((entry->soft ? FLAG_SOFT : 0) | (entry->matched_is_exact ? FLAG_EXACT : 0))};
}

static struct purge_entry entry_unpack(const struct journal_entry *entry)
{
    return (struct purge_entry){.seq = entry->seq,
                                .wall_ms = entry->wall_ms,
                                .matched = entry->matched,
                                .label = entry->label,
                                .tenant = entry->tenant,
                                .kind = entry->kind,
                                .soft = entry->flags & FLAG_SOFT,
                                .matched_is_exact = entry->flags & FLAG_EXACT};
}

static int seq_order(const void *a, const void *b)
{
    uint64_t x = ((const struct purge_entry *)a)->seq, y = ((const struct purge_entry *)b)->seq;

    return x < y ? -1 : x > y;
}

static void entries_squeeze(struct journal *journal, uint64_t above_seq)
{
    unsigned kept = 0, written = 0;

    for (unsigned i = 0; i < journal->count; i++) {
        if (journal->entries[i].seq <= above_seq)
            continue;
        written += i < journal->written;
        journal->entries[kept++] = journal->entries[i];
    }
    journal->count = kept;
    journal->written = written;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

err journal_new(const struct disk_id *store, uint64_t area_bytes, struct journal **ret_journal)
{
    struct journal *journal;

    ENSURE(area_bytes / 2 / DISK_BLOCK >= JOURNAL_BLOCKS_MIN, LIMIT);
    journal = calloc(1, sizeof(*journal));
    ENSURE(journal != NULL, MEMORY);
    journal->store = *store;
    journal->blocks = area_bytes / 2 / DISK_BLOCK;
    journal->first = journal->next = journal->durable_first = journal->durable_next = 1;
    journal->last_seqs = calloc(journal->blocks, sizeof(*journal->last_seqs));
    journal->taken = calloc(journal->blocks, sizeof(*journal->taken));
    if (journal->last_seqs == NULL || journal->taken == NULL) {
        journal_free(journal);
        return ERR(MEMORY);
    }
    *ret_journal = journal;
    return ERR_OK;
}

static void taken_free(struct journal *journal)
{
    for (uint64_t i = 0; journal->taken != NULL && i < journal->blocks; i++)
        free(journal->taken[i].list);
    free(journal->taken);
    journal->taken = NULL;
}

struct journal *journal_free(struct journal *journal)
{
    if (journal == NULL)
        return NULL;
    taken_free(journal);
    free(journal->entries);
    free(journal->last_seqs);
    free(journal);
    return NULL;
}

/* ---- the start ------------------------------------------------------------------------------------------------------ */

MUST_USE static bool head_read(const struct journal *journal, const char *block, uint64_t place, struct journal_head *ret_head)
{
    memcpy(ret_head, block, sizeof(*ret_head));
    return ret_head->magic == MAGIC && ret_head->crc == block_crc(journal, place, block) && ret_head->number <= NUMBER_MAX &&
           ret_head->number % journal->blocks == place && ret_head->count <= JOURNAL_BLOCK_ENTRIES && ret_head->first > 0 &&
           ret_head->first <= ret_head->number && ret_head->durable <= ret_head->number &&
           ret_head->number - ret_head->first < journal->blocks - 1;
}

static bool is_blank(const char *block)
{
    return block[0] == 0 && memcmp(block, block + 1, DISK_BLOCK - 1) == 0;
}

void journal_take(struct journal *journal, const void *block, uint64_t at)
{
    uint64_t place = at / DISK_BLOCK % journal->blocks;
    struct taken *taken = &journal->taken[place];
    struct journal_head head;
    struct journal_entry *list;

    if (at / DISK_BLOCK >= 2 * journal->blocks)
        return;
    if (block == NULL) {
        taken->unread++;
        journal->has_bytes = true;
        return;
    }
    if (!head_read(journal, block, place, &head)) {
        journal->has_bytes |= !is_blank(block);
        return;
    }
    if (head.number <= taken->head.number)
        return;
    list = malloc(JOURNAL_BLOCK_ENTRIES * sizeof(*list));
    journal->was_short |= list == NULL;
    if (list == NULL)
        return;
    memcpy(list, (const char *)block + sizeof(head), JOURNAL_BLOCK_ENTRIES * sizeof(*list));
    free(taken->list);
    taken->head = head;
    taken->list = list;
}

MUST_USE static err entries_room(struct journal *journal, unsigned count)
{
    if (count <= journal->room)
        return ERR_OK;
    unsigned room = MAX(MAX(count, journal->room * 2), 64u);
    struct purge_entry *grown = realloc(journal->entries, room * sizeof(*grown));
    ENSURE(grown != NULL, MEMORY);
    journal->entries = grown;
    journal->room = room;
    return ERR_OK;
}

/* Entries of one block; false: they are not what a journal writes. */
static bool block_restore(struct journal *journal, const struct taken *taken)
{
    if (!err_is_ok(entries_room(journal, journal->count + taken->head.count))) {
        journal->was_short = true;
        return false;
    }
    for (unsigned i = 0; i < taken->head.count; i++) {
        struct purge_entry entry = entry_unpack(&taken->list[i]);
        if (entry.kind > STORE_LABEL_GROUP)
            return false;
        journal->entries[journal->count++] = entry;
        journal->last_seqs[taken->head.number % journal->blocks] = MAX(journal->last_seqs[taken->head.number % journal->blocks], entry.seq);
    }
    return true;
}

/* While the ring is written densely, entries are in it twice. */
static void entries_sort(struct journal *journal)
{
    if (journal->count > 1)
        qsort(journal->entries, journal->count, sizeof(*journal->entries), seq_order);
    for (unsigned i = 1; i < journal->count; i++)
        if (journal->entries[i].seq == journal->entries[i - 1].seq)
            journal->entries[i - 1].seq = 0;
    entries_squeeze(journal, journal->forgotten);
}

/* Everything that counts is to be written again, from the next block on. */
static void rewrite(struct journal *journal)
{
    journal->first = journal->next;
    journal->written = 0;
    journal->needs_head = journal->is_rewriting = true;
}

/* Nobody knows what lies there, nor whether it was durable. */
static bool is_unread(const struct journal *journal, uint64_t number)
{
    return journal->taken[number % journal->blocks].unread == 2;
}

enum journal_state journal_taken(struct journal *journal)
{
    const struct taken *newest = NULL;
    bool is_broken = false, has_hole = false;

    for (uint64_t i = 0; i < journal->blocks; i++)
        if (journal->taken[i].head.number > 0 && (newest == NULL || journal->taken[i].head.number > newest->head.number))
            newest = &journal->taken[i];
    if (newest == NULL) {
        taken_free(journal);
        return journal->was_short ? JOURNAL_UNKNOWN : journal->has_bytes ? JOURNAL_EMPTY : JOURNAL_BLANK;
    }
    journal->first = journal->durable_first = newest->head.first;
    journal->next = newest->head.number + 1;
    journal->durable_next = newest->head.durable; /* more may be, but nobody has said so */
    journal->forgotten = newest->head.forgotten;
    journal->reserved = newest->head.reserved;
    for (uint64_t number = journal->first; number < journal->next; number++) {
        const struct taken *taken = &journal->taken[number % journal->blocks];
        bool is_there = taken->head.number == number && block_restore(journal, taken);
        has_hole |= !is_there;
        is_broken |= !is_there && (number < newest->head.durable || is_unread(journal, number));
    }
    is_broken |= is_unread(journal, journal->next); /* a newer one may lie there */
    entries_sort(journal);
    journal->written = journal->count;
    taken_free(journal);
    if (has_hole)
        rewrite(journal); /* the hole must not count as durable */
    return journal->was_short ? JOURNAL_UNKNOWN : is_broken ? JOURNAL_BROKEN : JOURNAL_INTACT;
}

/* ---- what it holds -------------------------------------------------------------------------------------------------- */

unsigned journal_entries(const struct journal *journal, const struct purge_entry **ret_entries)
{
    *ret_entries = journal->entries;
    return journal->count;
}

uint64_t journal_forgotten(const struct journal *journal)
{
    return journal->forgotten;
}

uint64_t journal_reserved(const struct journal *journal)
{
    return journal->reserved;
}

/* ---- writing densely ------------------------------------------------------------------------------------------------ */

static bool is_tenant(const struct purge_entry *entry)
{
    return entry->kind == STORE_LABEL_TENANT;
}

static int label_order(const void *a, const void *b)
{
    const struct purge_entry *x = *(const struct purge_entry *const *)a, *y = *(const struct purge_entry *const *)b;

    if (x->tenant != y->tenant)
        return x->tenant < y->tenant ? -1 : 1;
    if (is_tenant(x) != is_tenant(y))
        return is_tenant(x) ? -1 : 1;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    return x->seq < y->seq ? 1 : -1; /* the newest first */
}

/* Marks (seq 0) what later purges of the same label make needless: a hard one all before it, a soft one soft ones. */
static void mark_repeated(struct purge_entry **sorted, unsigned count)
{
    bool had_hard = false, had_soft = false;

    for (unsigned i = 0; i < count; i++) {
        struct purge_entry *entry = sorted[i];
        bool is_same = i > 0 && sorted[i - 1]->tenant == entry->tenant && is_tenant(sorted[i - 1]) == is_tenant(entry) &&
                       sorted[i - 1]->label == entry->label;
        had_hard = is_same && had_hard;
        had_soft = is_same && had_soft;
        bool is_needless = had_hard || (had_soft && entry->soft);
        had_hard |= !entry->soft;
        had_soft |= entry->soft;
        if (is_needless)
            entry->seq = 0;
    }
}

/* A tenant's purge of everything makes all of it needless that came before, a soft one the soft ones; so does one of
 * everybody for all. From the newest on. */
static void mark_within_tenants(struct journal *journal)
{
    uint8_t *all = calloc(STORE_TENANTS, sizeof(*all));

    for (unsigned i = journal->count; all != NULL && i-- > 0;) {
        struct purge_entry *entry = &journal->entries[i];
        if (entry->seq == 0)
            continue;
        unsigned over = all[entry->tenant] | all[STORE_TENANT_ALL];
        if ((over & 1) || ((over & 2) && entry->soft))
            entry->seq = 0;
        else if (is_tenant(entry))
            all[entry->tenant] |= entry->soft ? 2 : 1;
    }
    free(all);
}

/* Everything is written anew behind this: the order may change. */
static void entries_reduce(struct journal *journal)
{
    struct purge_entry **sorted = malloc((journal->count + 1) * sizeof(struct purge_entry *));

    if (journal->count > 1)
        qsort(journal->entries, journal->count, sizeof(*journal->entries), seq_order);
    if (sorted != NULL) {
        for (unsigned i = 0; i < journal->count; i++)
            sorted[i] = &journal->entries[i];
        qsort(sorted, journal->count, sizeof(*sorted), label_order);
        mark_repeated(sorted, journal->count);
        free(sorted);
    }
    mark_within_tenants(journal);
    entries_squeeze(journal, 0);
}

static uint64_t blocks_of(uint64_t entries)
{
    return (entries + JOURNAL_BLOCK_ENTRIES - 1) / JOURNAL_BLOCK_ENTRIES;
}

static bool is_dense_enough(const struct journal *journal, unsigned more)
{
    return blocks_of((uint64_t)journal->count + more) <= journal->blocks / DENSE_SHARE;
}

static uint64_t blocks_used(const struct journal *journal)
{
    return journal->next - journal->durable_first;
}

/* One place stays for a block that says that everything is forgotten: however often the power fails while what counts is
 * written again, that fits. */
err journal_set(struct journal *journal, const struct purge_entry *entries, unsigned count, uint64_t forgotten)
{
    TRY(entries_room(journal, count));
    if (count > 0 && entries != journal->entries)
        memmove(journal->entries, entries, count * sizeof(*entries));
    journal->count = count;
    journal->forgotten = MAX(journal->forgotten, forgotten);
    entries_squeeze(journal, journal->forgotten);
    entries_reduce(journal);
    if (journal->count > 0 && (!is_dense_enough(journal, 0) || blocks_used(journal) + blocks_of(journal->count) >= journal->blocks)) {
        journal->count = journal->written = 0;
        return ERR(LIMIT);
    }
    rewrite(journal);
    return ERR_OK;
}

/* ---- changes -------------------------------------------------------------------------------------------------------- */

err journal_expect(struct journal *journal, unsigned count)
{
    return entries_room(journal, journal->count + count);
}

bool journal_append(struct journal *journal, const struct purge_entry *entry)
{
    bool makes_room = is_tenant(entry);

    if (!err_is_ok(entries_room(journal, journal->count + 1)))
        return false;
    if (!is_dense_enough(journal, 1)) {
        if (makes_room)
            journal->entries[journal->count++] = *entry;
        entries_reduce(journal);
        rewrite(journal);
        if (makes_room || !is_dense_enough(journal, 1))
            return makes_room && is_dense_enough(journal, 0);
    }
    journal->entries[journal->count++] = *entry;
    return true;
}

void journal_reserve(struct journal *journal, uint64_t seq)
{
    if (seq <= journal->reserved)
        return;
    journal->reserved = seq;
    journal->needs_head = true;
}

/* Not written at once: until it is, a restart remembers more than it must. */
void journal_forget(struct journal *journal, uint64_t up_to_seq)
{
    if (up_to_seq <= journal->forgotten)
        return;
    journal->forgotten = up_to_seq;
    entries_squeeze(journal, up_to_seq);
    journal->needs_head = true;
    while (!journal->is_rewriting && journal->first < journal->next && journal->last_seqs[journal->first % journal->blocks] <= up_to_seq)
        journal->first++;
}

bool journal_is_crowded(const struct journal *journal)
{
    return blocks_of(journal->count) > journal->blocks / DENSE_SHARE / 2;
}

/* ---- blocks to be written ------------------------------------------------------------------------------------------- */

bool journal_has_work(const struct journal *journal)
{
    return journal->count > journal->written || journal->needs_head || journal->durable_next < journal->next;
}

static unsigned next_count(const struct journal *journal)
{
    return MIN(journal->count - journal->written, JOURNAL_BLOCK_ENTRIES);
}

/* The block that lets the old ones go is written when all others of the new ones are durable. */
static bool must_wait(const struct journal *journal)
{
    bool is_last = journal->written + next_count(journal) == journal->count;

    return journal->is_rewriting && is_last && journal->durable_next < journal->next;
}

/* Fuller than half there might be no room to write what counts again. */
static void rewrite_before_half(struct journal *journal)
{
    uint64_t more = MAX(blocks_of(journal->count - journal->written), 1u);

    if (journal->is_rewriting || blocks_used(journal) + more <= journal->blocks / 2)
        return;
    entries_reduce(journal);
    rewrite(journal);
}

static void block_fill(struct journal *journal, char *block, unsigned count)
{
    uint64_t place = journal->next % journal->blocks;
    bool is_last = journal->written + count == journal->count;
    struct journal_head head = {.magic = MAGIC,
                                .number = journal->next,
                                .first = is_last ? journal->first : journal->durable_first,
                                .durable = journal->durable_next,
                                .forgotten = journal->forgotten,
                                .reserved = journal->reserved,
                                .count = count};

    memset(block, 0, DISK_BLOCK);
    journal->last_seqs[place] = 0;
    for (unsigned i = 0; i < count; i++) {
        struct journal_entry entry = entry_pack(&journal->entries[journal->written + i]);
        memcpy(block + sizeof(head) + i * sizeof(entry), &entry, sizeof(entry));
        journal->last_seqs[place] = MAX(journal->last_seqs[place], entry.seq);
    }
    memcpy(block, &head, sizeof(head));
    head.crc = block_crc(journal, place, block);
    memcpy(block, &head, sizeof(head));
}

bool journal_next_write(struct journal *journal, void *ret_block, uint64_t ret_at[2])
{
    uint64_t place = journal->next % journal->blocks;
    unsigned count;

    if (journal->count == journal->written && !journal->needs_head)
        return false;
    rewrite_before_half(journal);
    if (must_wait(journal))
        return false;
    INVARIANT(blocks_used(journal) < journal->blocks);
    count = next_count(journal);
    block_fill(journal, ret_block, count);
    ret_at[0] = place * DISK_BLOCK;
    ret_at[1] = (journal->blocks + place) * DISK_BLOCK;
    journal->written += count;
    journal->next++;
    if (journal->written == journal->count)
        journal->needs_head = false;
    return true;
}

void journal_written(struct journal *journal)
{
    journal->durable_next = journal->next;
    if (journal->written < journal->count || journal->needs_head)
        return;
    journal->durable_first = journal->first;
    journal->is_rewriting = false;
}
