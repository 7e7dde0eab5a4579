/* The purge journal: its blocks to the bit, hostile ones, and what a disk may make of them when the power fails. */
#include "store/disk/journal.h"

#include "base/crc32c.h"

#include <stdlib.h>

#define BLOCKS_MAX 64u /* of a half in these tests */

static const struct disk_id store_id = {"0123456789abcde"};

/* ---- a device ------------------------------------------------------------------------------------------------------------- */

/* What is durable, and the writes since the last flush, in order. */
static struct {
    uint64_t blocks; /* of a half */
    char bytes[2 * BLOCKS_MAX * DISK_BLOCK];
    struct {
        uint64_t at;
        char bytes[DISK_BLOCK];
    } pending[4 * BLOCKS_MAX];
    unsigned pending_count;
} device;

static uint64_t random_state;

static uint64_t random_below(uint64_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state * UINT64_C(0x2545f4914f6cdd1d) >> 20) % n;
}

static void device_begin(uint64_t blocks)
{
    assert_true(blocks <= BLOCKS_MAX);
    device.blocks = blocks;
    device.pending_count = 0;
    memset(device.bytes, 0, sizeof(device.bytes));
}

static void device_flush(void)
{
    for (unsigned i = 0; i < device.pending_count; i++)
        memcpy(device.bytes + device.pending[i].at, device.pending[i].bytes, DISK_BLOCK);
    device.pending_count = 0;
}

/* Of each write since the last flush all arrives, nothing, or some sectors. */
static void device_crash(void)
{
    for (unsigned i = 0; i < device.pending_count; i++) {
        uint64_t what = random_below(4);
        for (unsigned sector = 0; sector < DISK_BLOCK / 512; sector++)
            if (what == 0 || (what == 1 && random_below(2) == 0))
                memcpy(device.bytes + device.pending[i].at + sector * 512, device.pending[i].bytes + sector * 512, 512);
    }
    device.pending_count = 0;
}

static void device_write(struct journal *journal, const char *block, const uint64_t at[2])
{
    (void)journal;
    assert_int_equal(at[1], at[0] + device.blocks * DISK_BLOCK);
    assert_true(at[0] % DISK_BLOCK == 0 && at[0] < device.blocks * DISK_BLOCK);
    for (unsigned half = 0; half < 2; half++) {
        assert_true(device.pending_count < ARRAY_LEN(device.pending));
        device.pending[device.pending_count].at = at[half];
        memcpy(device.pending[device.pending_count++].bytes, block, DISK_BLOCK);
    }
}

/* As the keeper does; writes_max: the power fails behind so many. False: it failed. */
static bool journal_flush(struct journal *journal, unsigned writes_max)
{
    char block[DISK_BLOCK];
    uint64_t at[2];

    while (journal_has_work(journal)) {
        while (journal_next_write(journal, block, at)) {
            device_write(journal, block, at);
            if (writes_max-- == 0)
                return false;
        }
        if (writes_max-- == 0)
            return false;
        device_flush();
        journal_written(journal);
    }
    return true;
}

static struct journal *journal_fresh(uint64_t blocks)
{
    struct journal *journal = NULL;

    device_begin(blocks);
    assert_true(err_is_ok(journal_new(&store_id, 2 * blocks * DISK_BLOCK, &journal)));
    assert_int_equal(journal_taken(journal), JOURNAL_BLANK);
    return journal;
}

/* Blocks in any order; unread_mask: those that cannot be read, a bit each. */
static struct journal *journal_read_but(enum journal_state *ret_state, uint64_t unread_mask)
{
    struct journal *journal = NULL;
    uint64_t order[2 * BLOCKS_MAX], count = 2 * device.blocks;

    assert_true(err_is_ok(journal_new(&store_id, count * DISK_BLOCK, &journal)));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t j = random_below(i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    for (uint64_t i = 0; i < count; i++)
        journal_take(journal, unread_mask >> order[i] & 1 ? NULL : device.bytes + order[i] * DISK_BLOCK, order[i] * DISK_BLOCK);
    *ret_state = journal_taken(journal);
    return journal;
}

static struct journal *journal_again(enum journal_state *ret_state)
{
    return journal_read_but(ret_state, 0);
}

static struct purge_entry entry_of(uint64_t seq, uint16_t tenant, uint32_t label, bool is_soft)
{
    return (struct purge_entry){.seq = seq,
                                .wall_ms = (int64_t)(seq * 1000),
                                .matched = seq * 3,
                                .label = label,
                                .tenant = tenant,
                                .kind = label == 0 ? STORE_LABEL_TENANT : STORE_LABEL_TAG,
                                .soft = is_soft,
                                .matched_is_exact = seq % 2 == 0};
}

static void same_entry(const struct purge_entry *a, const struct purge_entry *b)
{
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->wall_ms, b->wall_ms);
    assert_int_equal(a->matched, b->matched);
    assert_int_equal(a->label, b->label);
    assert_int_equal(a->tenant, b->tenant);
    assert_int_equal(a->kind, b->kind);
    assert_int_equal(a->soft, b->soft);
    assert_int_equal(a->matched_is_exact, b->matched_is_exact);
}

static void test_blank_or_not(void **state)
{
    struct journal *journal = journal_fresh(8);
    enum journal_state found;

    (void)state;
    journal_free(journal);
    for (unsigned at = 0; at < 16 * DISK_BLOCK; at += 511) {
        device.bytes[at] = 1;
        journal = journal_again(&found);
        assert_int_equal(found, JOURNAL_EMPTY);
        journal_free(journal);
        device.bytes[at] = 0;
    }
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_BLANK);
    journal_free(journal);
}

/* ---- what it is for ------------------------------------------------------------------------------------------------------- */

static void put_many(struct journal *journal, uint64_t from, uint64_t count)
{
    for (uint64_t seq = from; seq < from + count; seq++) {
        struct purge_entry entry = entry_of(seq, (uint16_t)(seq % 3), (uint32_t)seq, seq % 5 == 0);
        assert_true(journal_append(journal, &entry));
    }
}

static void holds_exactly(const struct journal *journal, uint64_t from, uint64_t count)
{
    const struct purge_entry *entries;

    assert_int_equal(journal_entries(journal, &entries), count);
    for (uint64_t i = 0; i < count; i++) {
        struct purge_entry expected = entry_of(from + i, (uint16_t)((from + i) % 3), (uint32_t)(from + i), (from + i) % 5 == 0);
        same_entry(&entries[i], &expected);
    }
}

static void test_what_was_written_comes_back(void **state)
{
    struct journal *journal = journal_fresh(16);
    enum journal_state found;

    (void)state;
    assert_false(journal_has_work(journal));
    put_many(journal, 1, 250);
    assert_true(journal_has_work(journal));
    assert_true(journal_flush(journal, UINT32_MAX));
    assert_false(journal_has_work(journal));
    put_many(journal, 251, 3);
    journal_reserve(journal, 77777);
    journal_reserve(journal, 5);
    assert_true(journal_flush(journal, UINT32_MAX));
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    holds_exactly(journal, 1, 253);
    assert_int_equal(journal_reserved(journal), 77777);
    assert_int_equal(journal_forgotten(journal), 0);
    journal_free(journal);
    assert_null(journal_free(NULL));
}

static void test_what_was_not_written_does_not(void **state)
{
    struct journal *journal = journal_fresh(16);
    enum journal_state found;

    (void)state;
    put_many(journal, 1, 10);
    assert_true(journal_flush(journal, UINT32_MAX));
    put_many(journal, 11, 10);
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    holds_exactly(journal, 1, 10);
    journal_free(journal);
}

static void test_what_was_forgotten_stays_so(void **state)
{
    struct journal *journal = journal_fresh(16);
    enum journal_state found;

    (void)state;
    put_many(journal, 1, 500);
    assert_true(journal_flush(journal, UINT32_MAX));
    journal_forget(journal, 320);
    journal_forget(journal, 100);
    holds_exactly(journal, 321, 180);
    assert_true(journal_flush(journal, UINT32_MAX));
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    holds_exactly(journal, 321, 180);
    assert_int_equal(journal_forgotten(journal), 320);
    journal_free(journal);
}

/* Many times round the ring, with what is forgotten in the usual way. */
static void test_round_and_round(void **state)
{
    struct journal *journal = journal_fresh(8);
    enum journal_state found;

    (void)state;
    for (uint64_t seq = 1; seq < 5000; seq += 1 + seq % 7) {
        put_many(journal, seq, 1 + seq % 7);
        assert_true(journal_flush(journal, UINT32_MAX));
        if (seq > 150)
            journal_forget(journal, seq - 150);
    }
    journal_forget(journal, 4900);
    assert_true(journal_flush(journal, UINT32_MAX));
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    const struct purge_entry *entries;
    unsigned count = journal_entries(journal, &entries);
    assert_true(count >= 99 && entries[0].seq == 4901);
    holds_exactly(journal, 4901, count);
    journal_free(journal);
}

/* Heads alone, of which each takes a block, too. */
static void test_heads_alone_do_not_fill_it(void **state)
{
    struct journal *journal = journal_fresh(8);
    enum journal_state found;

    (void)state;
    put_many(journal, 1, 3);
    for (uint64_t i = 0; i < 100; i++) {
        journal_reserve(journal, 1000 + i);
        assert_true(journal_flush(journal, UINT32_MAX));
    }
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    holds_exactly(journal, 1, 3);
    assert_int_equal(journal_reserved(journal), 1099);
    journal_free(journal);
}

/* Purges of the same labels again and again need no more room than one of each. */
static void test_repeated_purges_take_no_room(void **state)
{
    struct journal *journal = journal_fresh(8);
    const struct purge_entry *entries;
    enum journal_state found;
    unsigned count;

    (void)state;
    for (uint64_t seq = 1; seq <= 20000; seq++) {
        struct purge_entry entry = entry_of(seq, (uint16_t)(seq % 2), (uint32_t)(1 + seq % 20), false);
        assert_true(journal_append(journal, &entry));
        if (seq % 50 == 0)
            assert_true(journal_flush(journal, UINT32_MAX));
    }
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    count = journal_entries(journal, &entries);
    for (uint64_t seq = 20000; seq > 20000 - 20; seq--) { /* the last one of each is there */
        bool is_there = false;
        for (unsigned i = 0; i < count; i++)
            is_there |= entries[i].seq == seq;
        assert_true(is_there);
    }
    journal_free(journal);
}

static unsigned reduced(const struct purge_entry *given, unsigned count, const struct purge_entry **ret_left, struct journal **ret_journal)
{
    *ret_journal = journal_fresh(8);
    assert_true(err_is_ok(journal_set(*ret_journal, given, count, 0)));
    return journal_entries(*ret_journal, ret_left);
}

/* What may be left out: never one that something depends on. */
static void test_what_later_purges_make_needless(void **state)
{
    static const struct {
        struct purge_entry given[3];
        unsigned count;
        uint8_t left[3]; /* sequences */
    } cases[] = {
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG}, {.seq = 2, .label = 7, .kind = STORE_LABEL_TAG}}, 2, {2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG}, {.seq = 2, .label = 7, .kind = STORE_LABEL_TAG, .soft = true}}, 2, {1, 2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG, .soft = true}, {.seq = 2, .label = 7, .kind = STORE_LABEL_TAG}}, 2, {2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG, .soft = true}, {.seq = 2, .label = 7, .kind = STORE_LABEL_TAG, .soft = true}}, 2, {2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG}, {.seq = 2, .label = 7, .tenant = 1, .kind = STORE_LABEL_TAG}}, 2, {1, 2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG}, {.seq = 2, .label = 8, .kind = STORE_LABEL_TAG}}, 2, {1, 2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG}, {.seq = 2, .kind = STORE_LABEL_TENANT}}, 2, {2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG}, {.seq = 2, .kind = STORE_LABEL_TENANT, .soft = true}}, 2, {1, 2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG, .soft = true}, {.seq = 2, .kind = STORE_LABEL_TENANT, .soft = true}}, 2, {2}},
        {{{.seq = 1, .kind = STORE_LABEL_TENANT}, {.seq = 2, .label = 7, .kind = STORE_LABEL_TAG}}, 2, {1, 2}},
        {{{.seq = 1, .label = 7, .kind = STORE_LABEL_TAG}, {.seq = 2, .tenant = 1, .kind = STORE_LABEL_TENANT}}, 2, {1, 2}},
        /* everybody's everything: tenant 0 */
        {{{.seq = 1, .label = 7, .tenant = 1, .kind = STORE_LABEL_TAG}, {.seq = 2, .kind = STORE_LABEL_TENANT}}, 2, {2}},
        {{{.seq = 1, .tenant = 1, .kind = STORE_LABEL_TENANT}, {.seq = 2, .kind = STORE_LABEL_TENANT, .soft = true}}, 2, {1, 2}},
        {{{.seq = 1, .kind = STORE_LABEL_TENANT}, {.seq = 2, .tenant = 1, .kind = STORE_LABEL_TENANT}}, 2, {1, 2}},
        {{{.seq = 1, .kind = STORE_LABEL_TENANT}, {.seq = 2, .kind = STORE_LABEL_TENANT}, {.seq = 3, .kind = STORE_LABEL_TENANT, .soft = true}}, 3, {2, 3}},
        /* a label whose hash is 0 is not the tenant */
        {{{.seq = 1, .kind = STORE_LABEL_TENANT}, {.seq = 2, .label = 0, .kind = STORE_LABEL_TAG}}, 2, {1, 2}},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        const struct purge_entry *left;
        struct journal *journal;
        unsigned count = reduced(cases[i].given, cases[i].count, &left, &journal);
        for (unsigned k = 0; k < 3; k++)
            assert_int_equal(k < count ? left[k].seq : 0, cases[i].left[k]);
        journal_free(journal);
    }
}

/* Different labels, none forgotten: at some time it is full, and says so; the tenant's purge of everything then fits. */
static void test_full(void **state)
{
    struct journal *journal = journal_fresh(8);
    const struct purge_entry *entries;
    enum journal_state found;
    uint64_t seq = 1;

    (void)state;
    for (;; seq++) {
        struct purge_entry entry = entry_of(seq, 1, (uint32_t)seq, false);
        if (!journal_append(journal, &entry))
            break;
        if (seq == 150)
            assert_true(journal_is_crowded(journal));
        if (seq % 9 == 0)
            assert_true(journal_flush(journal, UINT32_MAX));
        assert_true(seq < 10000);
    }
    assert_true(seq > 8 / 3 * JOURNAL_BLOCK_ENTRIES);
    struct purge_entry all = entry_of(seq + 1, 1, 0, false), other = entry_of(seq + 2, 2, 9, false);
    assert_true(journal_append(journal, &all));
    assert_true(journal_append(journal, &other));
    assert_false(journal_is_crowded(journal));
    assert_true(journal_flush(journal, UINT32_MAX));
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    assert_int_equal(journal_entries(journal, &entries), 2);
    same_entry(&entries[0], &all);
    same_entry(&entries[1], &other);
    journal_free(journal);
}

/* So many tenants that even what is left of each does not fit. */
static void test_full_of_tenants(void **state)
{
    struct journal *journal = journal_fresh(8);
    uint64_t seq = 1;

    (void)state;
    for (;; seq++) {
        struct purge_entry entry = entry_of(seq, (uint16_t)seq, 0, false);
        if (!journal_append(journal, &entry))
            break;
        assert_true(journal_flush(journal, UINT32_MAX));
        assert_true(seq < 10000);
    }
    assert_true(seq > 8 / 3 * JOURNAL_BLOCK_ENTRIES);
    journal_free(journal);
}

static void test_areas(void **state)
{
    struct journal *journal = NULL;
    struct purge_entry *many = calloc(2000, sizeof(*many));

    (void)state;
    assert_int_equal(journal_new(&store_id, 2 * JOURNAL_BLOCKS_MIN * DISK_BLOCK - 1, &journal).code, ERR_LIMIT);
    assert_null(journal);
    /* more than there is room for: nothing has changed, and what forgets everything still fits */
    journal = journal_fresh(8);
    put_many(journal, 1, 5);
    assert_true(journal_flush(journal, UINT32_MAX));
    for (unsigned i = 0; i < 2000; i++)
        many[i] = entry_of(10 + i, 0, 10 + i, false);
    assert_int_equal(journal_set(journal, many, 2000, 0).code, ERR_LIMIT);
    assert_true(err_is_ok(journal_set(journal, NULL, 0, 2010)));
    assert_true(journal_flush(journal, UINT32_MAX));
    assert_int_equal(journal_forgotten(journal), 2010);
    journal_free(journal);
    free(many);
}

/* ---- the bytes ------------------------------------------------------------------------------------------------------------ */

/* docs/formats/purge-journal.md, byte by byte. */
static void test_layout(void **state)
{
    struct journal *journal = journal_fresh(16);
    struct purge_entry entry = {.seq = 0x0102030405060708, .wall_ms = 0x1112131415161718, .matched = 0x2122232425262728, .label = 0x31323334,
                                .tenant = 0x4142, .kind = STORE_LABEL_GROUP, .soft = true, .matched_is_exact = true};
    char expected[DISK_BLOCK] = {0};
    uint64_t place = 1;
    uint32_t crc;

    (void)state;
    assert_true(journal_append(journal, &entry));
    journal_reserve(journal, 0x5152);
    assert_true(journal_flush(journal, UINT32_MAX));
    memcpy(expected, "WJNL\0\0\0\0" "\1\0\0\0\0\0\0\0" "\1\0\0\0\0\0\0\0" "\1\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0" "\x52\x51\0\0\0\0\0\0" "\1\0\0\0", 52);
    memcpy(expected + 64, "\x08\7\6\5\4\3\2\1" "\x18\x17\x16\x15\x14\x13\x12\x11" "\x28\x27\x26\x25\x24\x23\x22\x21" "\x34\x33\x32\x31" "\x42\x41", 30);
    expected[64 + 30] = STORE_LABEL_GROUP;
    expected[64 + 31] = 3;
    crc = crc32c(crc32c(crc32c(0, store_id.bytes, 16), &place, 8), expected, DISK_BLOCK);
    memcpy(expected + 4, &crc, 4);
    assert_memory_equal(device.bytes + DISK_BLOCK, expected, DISK_BLOCK);
    assert_memory_equal(device.bytes + 17 * DISK_BLOCK, expected, DISK_BLOCK);
    journal_free(journal);
}

static void three_blocks(void)
{
    struct journal *journal = journal_fresh(8);

    put_many(journal, 1, 2);
    assert_true(journal_flush(journal, UINT32_MAX));
    put_many(journal, 3, 2);
    assert_true(journal_flush(journal, UINT32_MAX));
    put_many(journal, 5, 2);
    assert_true(journal_flush(journal, UINT32_MAX));
    journal_free(journal);
}

/* Every bit of a block: the other copy is taken, and where both are flipped the hole is seen. */
static void test_every_bit_flipped(void **state)
{
    enum journal_state found;

    (void)state;
    three_blocks();
    for (unsigned bit = 0; bit < DISK_BLOCK * 8; bit += bit < 1600 ? 1 : 37) {
        char *first = device.bytes + 2 * DISK_BLOCK + bit / 8, *second = first + 8 * DISK_BLOCK;
        *first ^= (char)(1 << bit % 8);
        struct journal *journal = journal_again(&found);
        assert_int_equal(found, JOURNAL_INTACT);
        holds_exactly(journal, 1, 6);
        journal_free(journal);
        *second ^= (char)(1 << bit % 8);
        journal = journal_again(&found);
        assert_int_equal(found, JOURNAL_BROKEN);
        const struct purge_entry *entries;
        assert_int_equal(journal_entries(journal, &entries), 4);
        journal_free(journal);
        *first ^= (char)(1 << bit % 8);
        *second ^= (char)(1 << bit % 8);
    }
}

static void test_blocks_of_elsewhere(void **state)
{
    static const struct disk_id other_id = {"another store !"};
    struct journal *journal;
    enum journal_state found;
    char block[DISK_BLOCK];

    (void)state;
    /* in another place */
    three_blocks();
    memcpy(device.bytes + 4 * DISK_BLOCK, device.bytes + 2 * DISK_BLOCK, DISK_BLOCK);
    memcpy(device.bytes + 3 * DISK_BLOCK, device.bytes + 2 * DISK_BLOCK, DISK_BLOCK);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    holds_exactly(journal, 1, 6);
    /* places that are none */
    journal_free(journal);
    assert_true(err_is_ok(journal_new(&store_id, 17 * DISK_BLOCK, &journal)));
    journal_take(journal, device.bytes + DISK_BLOCK, 16 * DISK_BLOCK);
    journal_take(journal, device.bytes + DISK_BLOCK, UINT64_MAX);
    assert_int_equal(journal_taken(journal), JOURNAL_BLANK);
    journal_free(journal);
    /* of another store */
    assert_true(err_is_ok(journal_new(&other_id, 16 * DISK_BLOCK, &journal)));
    for (unsigned i = 0; i < 16; i++)
        journal_take(journal, device.bytes + i * DISK_BLOCK, i * DISK_BLOCK);
    assert_int_equal(journal_taken(journal), JOURNAL_EMPTY);
    journal_free(journal);
    /* an older copy of a place is not taken, whichever comes first */
    journal = journal_fresh(8);
    put_many(journal, 1, 1);
    assert_true(journal_flush(journal, UINT32_MAX));
    memcpy(block, device.bytes + DISK_BLOCK, DISK_BLOCK);
    for (uint64_t seq = 2; memcmp(block, device.bytes + DISK_BLOCK, DISK_BLOCK) == 0; seq++) {
        journal_forget(journal, seq - 1);
        put_many(journal, seq, 1);
        assert_true(journal_flush(journal, UINT32_MAX));
        assert_true(seq < 100);
    }
    journal_free(journal);
    memcpy(device.bytes + DISK_BLOCK, block, DISK_BLOCK);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    const struct purge_entry *entries;
    assert_int_equal(journal_entries(journal, &entries), 1);
    assert_true(entries[0].seq > 8);
    journal_free(journal);
}

static void block_sign(uint64_t place, char *block)
{
    uint32_t crc = 0;

    memcpy(block + 4, &crc, 4);
    crc = crc32c(crc32c(crc32c(0, store_id.bytes, 16), &place, 8), block, DISK_BLOCK);
    memcpy(block + 4, &crc, 4);
}

/* What no journal writes, under a checksum that is right: it is not taken, or has no entries; and it goes on from there. */
static void test_heads_that_cannot_be(void **state)
{
    static const struct {
        struct journal_head head;
        enum journal_state found;
    } cases[] = {
        {{.number = 0, .first = 0, .durable = 0}, JOURNAL_EMPTY},
        {{.number = 11, .first = 12, .durable = 11}, JOURNAL_EMPTY},
        {{.number = 3, .first = 0, .durable = 0}, JOURNAL_EMPTY},
        {{.number = 11, .first = 11, .durable = 12}, JOURNAL_EMPTY},
        {{.number = 11, .first = 11, .durable = 11, .count = JOURNAL_BLOCK_ENTRIES + 1}, JOURNAL_EMPTY},
        {{.number = 3 + 8 * 100, .first = 3, .durable = 3}, JOURNAL_EMPTY},
        {{.number = 11, .first = 4, .durable = 11}, JOURNAL_EMPTY}, /* no place would be left */
        {{.number = 11, .first = 5, .durable = 11}, JOURNAL_BROKEN},
        {{.number = UINT64_MAX - 4, .first = UINT64_MAX - 4, .durable = 3}, JOURNAL_EMPTY},
        {{.number = 11, .first = 11, .durable = 11, .forgotten = UINT64_MAX, .reserved = UINT64_MAX}, JOURNAL_INTACT},
        {{.number = 11, .first = 11, .durable = 11, .count = 2}, JOURNAL_INTACT}, /* of which one entry has no kind */
    };
    enum journal_state found;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct journal_head head = cases[i].head;
        struct purge_entry entry = entry_of(5, 1, 5, false);
        const struct purge_entry *entries;
        struct journal *journal;
        device_begin(8);
        head.magic = 0x4c4e4a57;
        uint64_t place = head.number % 8;
        char *block = device.bytes + place * DISK_BLOCK;
        memcpy(block, &head, sizeof(head));
        memset(block + sizeof(head) + sizeof(struct journal_entry), 0xff, sizeof(struct journal_entry));
        block_sign(place, block);
        journal = journal_again(&found);
        assert_int_equal(found, cases[i].found);
        assert_int_equal(journal_entries(journal, &entries), 0);
        err set = journal_set(journal, &entry, 1, 4);
        assert_int_equal(set.code, found == JOURNAL_BROKEN ? ERR_LIMIT : ERR_NONE); /* there is one place only */
        if (!err_is_ok(set))
            assert_true(err_is_ok(journal_set(journal, NULL, 0, 5)));
        assert_true(journal_flush(journal, UINT32_MAX));
        journal_free(journal);
        journal = journal_again(&found);
        assert_int_equal(found, JOURNAL_INTACT);
        assert_int_equal(journal_entries(journal, &entries), err_is_ok(set) && head.forgotten < 5);
        journal_free(journal);
    }
}

/* A block that was never answered is missing, a later one is there: nothing is broken, also not later on. */
static void test_hole_of_what_was_not_answered(void **state)
{
    struct journal *journal = journal_fresh(16);
    const struct purge_entry *entries;
    enum journal_state found;
    char block[DISK_BLOCK];
    uint64_t at[2];

    (void)state;
    put_many(journal, 1, 5);
    assert_true(journal_flush(journal, UINT32_MAX));
    put_many(journal, 6, 250);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(journal_next_write(journal, block, at));
        if (i != 1)
            device_write(journal, block, at);
    }
    device_flush();
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    assert_int_equal(journal_entries(journal, &entries), 155);
    for (uint64_t seq = 300; seq < 303; seq++) {
        put_many(journal, seq, 1);
        assert_true(journal_flush(journal, UINT32_MAX));
    }
    journal_free(journal);
    journal = journal_again(&found);
    assert_int_equal(found, JOURNAL_INTACT);
    assert_int_equal(journal_entries(journal, &entries), 158);
    journal_free(journal);
}

/* ---- when the power fails --------------------------------------------------------------------------------------------------- */

/* What was answered, and what of it may have been forgotten. */
static struct {
    struct purge_entry purges[20000];
    bool is_lost[20000];      /* it was not answered, and is gone with the power */
    unsigned count, answered; /* of them, the first ones */
    uint64_t forgotten;       /* asked for, whether it was written or not */
    uint64_t reserved;        /* written */
} model;

static bool is_covered(const struct purge_entry *purge, const struct purge_entry *entries, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bool is_it = entries[i].kind == STORE_LABEL_TENANT || (purge->kind != STORE_LABEL_TENANT && entries[i].label == purge->label);
        bool is_whose = entries[i].tenant == purge->tenant ||
                        (entries[i].kind == STORE_LABEL_TENANT && entries[i].tenant == STORE_TENANT_ALL);
        if (is_it && is_whose && entries[i].seq >= purge->seq && (!entries[i].soft || purge->soft))
            return true;
    }
    return false;
}

static void model_check(const struct journal *journal)
{
    const struct purge_entry *entries;
    unsigned count = journal_entries(journal, &entries);

    assert_true(journal_forgotten(journal) <= model.forgotten);
    assert_true(journal_reserved(journal) >= model.reserved);
    for (unsigned i = 0; i < count; i++) {
        assert_true(entries[i].seq > journal_forgotten(journal) && entries[i].seq <= model.count);
        same_entry(&entries[i], &model.purges[entries[i].seq - 1]);
        assert_true(i == 0 || entries[i].seq > entries[i - 1].seq);
    }
    for (unsigned i = model.answered; i < model.count; i++)
        model.is_lost[i] = !is_covered(&model.purges[i], entries, count);
    for (unsigned i = 0; i < model.answered; i++)
        if (!model.is_lost[i] && model.purges[i].seq > model.forgotten)
            assert_true(is_covered(&model.purges[i], entries, count));
}

static void model_append(struct journal *journal, unsigned labels)
{
    struct purge_entry entry = entry_of(model.count + 1, (uint16_t)random_below(3), (uint32_t)(random_below(labels) + (random_below(50) != 0)),
                                        random_below(3) == 0);

    model.purges[model.count++] = entry;
    if (journal_append(journal, &entry))
        return;
    entry = entry_of(model.count + 1, entry.tenant, 0, entry.soft);
    model.purges[model.count++] = entry;
    if (journal_append(journal, &entry))
        return;
    /* what is left of the tenant are hard purges of labels */
    entry = entry_of(model.count + 1, entry.tenant, 0, false);
    model.purges[model.count++] = entry;
    assert_true(journal_append(journal, &entry));
}

/* A copy of some blocks is damaged, lost or old; never both copies of one. */
static void device_damage(const char *before)
{
    uint64_t half = random_below(2);

    for (uint64_t i = 0; i < device.blocks; i++) {
        uint64_t at = ((half * device.blocks) + i) * DISK_BLOCK;
        switch (random_below(8)) {
        case 0:
            device.bytes[at + random_below(DISK_BLOCK)] ^= (char)(1 << random_below(8));
            break;
        case 1:
            memset(device.bytes + at, 0, DISK_BLOCK);
            break;
        case 2:
            memcpy(device.bytes + at, before + at, DISK_BLOCK);
            break;
        case 3:
            memcpy(device.bytes + at, device.bytes + random_below(2 * device.blocks) * DISK_BLOCK, DISK_BLOCK);
            break;
        }
    }
}

static bool model_flush(struct journal *journal, unsigned crash_share)
{
    uint64_t reserved = journal_reserved(journal);

    if (!journal_flush(journal, random_below(100) < crash_share ? (unsigned)random_below(6) : UINT32_MAX))
        return false;
    model.answered = model.count;
    model.reserved = reserved;
    return true;
}

/* One life: until the power fails, or the end. */
static void model_live(struct journal *journal, unsigned labels, unsigned batch, unsigned crash_share)
{
    for (unsigned step = 0; step < 60 && model.count + 3 * batch < ARRAY_LEN(model.purges); step++) {
        uint64_t appended = random_below(10) == 0 ? random_below(batch) : random_below(3);
        for (uint64_t i = 0; i < appended; i++)
            model_append(journal, labels);
        if (random_below(4) == 0 && model.answered > 0) {
            uint64_t up_to = random_below(model.answered) + 1;
            model.forgotten = MAX(model.forgotten, up_to);
            journal_forget(journal, model.forgotten);
        }
        if (random_below(8) == 0)
            journal_reserve(journal, journal_reserved(journal) + random_below(1000));
        if (random_below(4) != 0 && !model_flush(journal, crash_share))
            return;
    }
}

static struct journal *model_restart(const char *before, bool has_damage)
{
    enum journal_state found;
    struct journal *journal;
    const struct purge_entry *entries;

    device_crash();
    if (has_damage)
        device_damage(before);
    journal = journal_again(&found);
    assert_true(found == JOURNAL_INTACT || (model.answered == 0 && found != JOURNAL_BROKEN));
    model_check(journal);
    unsigned count = journal_entries(journal, &entries);
    if (!err_is_ok(journal_set(journal, entries, count, journal_forgotten(journal)))) {
        /* torn so often while it was written anew that there is no room: everything is purged */
        model.forgotten = model.answered = model.count;
        assert_true(err_is_ok(journal_set(journal, NULL, 0, model.count)));
    }
    return journal;
}

static unsigned model_run(uint64_t seed, bool has_damage)
{
    static char before[sizeof(device.bytes)];
    struct journal *journal;
    unsigned gave_up = 0;
    bool is_up = true;

    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    unsigned labels = 1 + (unsigned)random_below(1000), batch = 2 + (unsigned)random_below(300), crash_share = (unsigned)random_below(60);
    memset(&model, 0, offsetof(typeof(model), count));
    model.count = model.answered = 0;
    model.forgotten = model.reserved = 0;
    journal = journal_fresh(8 + random_below(6));
    for (unsigned life = 0; life < 25; life++) {
        memcpy(before, device.bytes, sizeof(before));
        if (is_up)
            model_live(journal, labels, batch, crash_share);
        journal_free(journal);
        uint64_t forgotten = model.forgotten;
        journal = model_restart(before, has_damage && is_up); /* a second time only once all is written anew */
        gave_up += model.forgotten != forgotten;
        is_up = model_flush(journal, crash_share / 2); /* the power fails at the start, too */
    }
    journal_free(journal);
    return gave_up;
}

static void test_power_fails(void **state)
{
    unsigned gave_up = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 400; seed++)
        gave_up += model_run(seed, seed % 2 == 0);
    print_message("10,000 lives, %u times everything was purged for want of room\n", gave_up);
}

/* Blocks 1 to 3 count; the area has 8 places twice. */
static void test_blocks_that_cannot_be_read(void **state)
{
    static const struct {
        uint64_t mask;
        enum journal_state state;
        unsigned entries;
    } cases[] = {
        {0x00ff, JOURNAL_INTACT, 3}, /* one half */
        {0xff00, JOURNAL_INTACT, 3},
        {0x0e00 | 0x00f1, JOURNAL_INTACT, 3}, /* of each what the other has */
        {0x0202, JOURNAL_BROKEN, 2}, /* both copies of what counts */
        {0x0808, JOURNAL_BROKEN, 2}, /* of the newest: it was durable, nobody has said so yet */
        {0x1010, JOURNAL_BROKEN, 3}, /* of what may be newer */
        {0x2020, JOURNAL_INTACT, 3}, /* of what cannot be: the one before it is not there */
        {0xffff, JOURNAL_EMPTY, 0},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct journal *journal = journal_fresh(8);
        const struct purge_entry *entries;
        enum journal_state found;
        for (uint64_t seq = 1; seq <= 3; seq++) {
            struct purge_entry entry = entry_of(seq, 1, (uint32_t)seq, false);
            assert_true(journal_append(journal, &entry));
            assert_true(journal_flush(journal, UINT32_MAX));
        }
        journal_free(journal);
        journal = journal_read_but(&found, cases[i].mask);
        assert_int_equal(found, cases[i].state);
        assert_int_equal(journal_entries(journal, &entries), cases[i].entries);
        journal_free(journal);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blank_or_not),
        cmocka_unit_test(test_what_was_written_comes_back),
        cmocka_unit_test(test_what_was_not_written_does_not),
        cmocka_unit_test(test_what_was_forgotten_stays_so),
        cmocka_unit_test(test_round_and_round),
        cmocka_unit_test(test_heads_alone_do_not_fill_it),
        cmocka_unit_test(test_repeated_purges_take_no_room),
        cmocka_unit_test(test_what_later_purges_make_needless),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_full_of_tenants),
        cmocka_unit_test(test_areas),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_every_bit_flipped),
        cmocka_unit_test(test_blocks_of_elsewhere),
        cmocka_unit_test(test_heads_that_cannot_be),
        cmocka_unit_test(test_hole_of_what_was_not_answered),
        cmocka_unit_test(test_blocks_that_cannot_be_read),
        cmocka_unit_test(test_power_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
