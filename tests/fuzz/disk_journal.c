/* The purge journal of any blocks, and life with what was found there.
 *
 * The input: a byte of options (1: checksums are made right), then pieces of a byte of place, a byte of length and so many
 * bytes, which become a block; the same place again is the other copy. The rest drives appends, writes and forgetting. */
#include "base/crc32c.h"
#include "store/disk/journal.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCKS 8u

static const struct disk_id store_id;
static char area[2 * BLOCKS][DISK_BLOCK];

static void block_sign(uint64_t place, char *block)
{
    uint32_t crc = 0;

    memcpy(block + offsetof(struct journal_head, crc), &crc, 4);
    crc = crc32c(crc32c(crc32c(0, store_id.bytes, sizeof(store_id.bytes)), &place, 8), block, DISK_BLOCK);
    memcpy(block + offsetof(struct journal_head, crc), &crc, 4);
}

/* Returns what is left of the input. */
static slice area_fill(slice input, bool signs)
{
    memset(area, 0, sizeof(area));
    for (unsigned i = 0; i < 2 * BLOCKS && input.len >= 2; i++) {
        unsigned place = (uint8_t)input.data[0] % (2 * BLOCKS);
        size_t len = MIN((size_t)(uint8_t)input.data[1], input.len - 2);
        memset(area[place], 0, DISK_BLOCK);
        memcpy(area[place], input.data + 2, len);
        if (signs)
            block_sign(place % BLOCKS, area[place]);
        input = slice_from(input, 2 + len);
    }
    return input;
}

static struct journal *journal_open(enum journal_state *ret_state)
{
    struct journal *journal;

    INVARIANT(err_is_ok(journal_new(&store_id, sizeof(area), &journal)));
    for (unsigned i = 0; i < 2 * BLOCKS; i++)
        journal_take(journal, area[i], i * DISK_BLOCK);
    *ret_state = journal_taken(journal);
    return journal;
}

static void check(const struct journal *journal)
{
    const struct purge_entry *entries;
    unsigned count = journal_entries(journal, &entries);

    for (unsigned i = 0; i < count; i++)
        INVARIANT(entries[i].seq > journal_forgotten(journal) && entries[i].kind <= STORE_LABEL_GROUP);
}

static void flush(struct journal *journal)
{
    char block[DISK_BLOCK];
    uint64_t at[2];

    while (journal_has_work(journal)) {
        while (journal_next_write(journal, block, at))
            for (unsigned half = 0; half < 2; half++)
                memcpy(area[at[half] / DISK_BLOCK], block, DISK_BLOCK);
        journal_written(journal);
    }
}

static void live(struct journal *journal, slice input)
{
    uint64_t seq = 1000000;

    for (size_t i = 0; i < input.len; i++) {
        uint8_t what = (uint8_t)input.data[i];
        struct purge_entry entry = {.seq = ++seq, .label = what / 8, .kind = what & 64 ? STORE_LABEL_TENANT : STORE_LABEL_TAG, .soft = what & 128};
        if (what % 8 < 5 && journal_forgotten(journal) < seq)
            (void)!journal_append(journal, &entry);
        else if (what % 8 == 5)
            journal_forget(journal, seq - what / 8);
        else
            flush(journal);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum journal_state found;
    struct journal *journal;
    const struct purge_entry *entries;
    unsigned count;

    if (size < 1)
        return 0;
    slice input = area_fill(slice_of((const char *)data + 1, size - 1), data[0] & 1);
    journal = journal_open(&found);
    check(journal);
    count = journal_entries(journal, &entries);
    if (!err_is_ok(journal_set(journal, entries, count, journal_forgotten(journal))))
        INVARIANT(err_is_ok(journal_set(journal, NULL, 0, journal_forgotten(journal))));
    flush(journal);
    live(journal, input);
    flush(journal);
    count = journal_entries(journal, &entries);
    journal_free(journal);
    journal = journal_open(&found);
    INVARIANT(found == JOURNAL_INTACT);
    INVARIANT(journal_entries(journal, &entries) == count);
    check(journal);
    journal_free(journal);
    return 0;
}
