/* What lies on a device: what was written is read again, and nothing else is. */
#include "base/crc32c.h"
#include "store/disk/format.h"

#include <stdio.h>
#include <stdlib.h>

#define SEGMENT (1u << 20)

static struct disk_place place_of(uint32_t segment, uint64_t generation, uint32_t offset)
{
    struct disk_place place = {.segment = segment, .generation = generation, .offset = offset};

    memset(place.store.bytes, 7, sizeof(place.store.bytes));
    return place;
}

/* ---- superblock ------------------------------------------------------------------------------------------------- */

static struct disk_super super_of(uint64_t size)
{
    struct disk_super super;

    assert_true(err_is_ok(disk_super_layout(size, 0, &super)));
    super.generation = 3;
    super.devices = 2;
    super.device = 1;
    super.mounts = 9;
    memset(super.secret, 5, sizeof(super.secret));
    return super;
}

static void test_layout(void **state)
{
    struct disk_super super;
    static const uint64_t sizes[] = {16ull << 20, 17ull << 20, 64ull << 20, 2ull << 30, 1ull << 40, 16ull << 40};

    (void)state;
    assert_int_equal(disk_super_layout((16u << 20) - 1, 0, &super).code, ERR_LIMIT);
    assert_int_equal(disk_super_layout(128ull << 40, 0, &super).code, ERR_LIMIT);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_true(err_is_ok(disk_super_layout(sizes[i], 0, &super)));
        uint64_t end = super.segments_at + (uint64_t)super.segments * super.segment_bytes;
        assert_true(end <= sizes[i] && sizes[i] - end < super.segment_bytes);
        assert_true(super.segment_bytes <= MAX(sizes[i] / 32, DISK_SEGMENT_MIN) && super.segment_bytes <= DISK_SEGMENT_MAX);
        assert_true(super.journal_at >= DISK_SUPER_B + DISK_BLOCK && super.journal_at % DISK_BLOCK == 0);
        assert_true(super.snapshot_at[0] >= super.journal_at + super.journal_bytes);
        assert_true(super.snapshot_at[1] >= super.snapshot_at[0] + super.snapshot_bytes);
        assert_true(super.segments_at >= super.snapshot_at[1] + super.snapshot_bytes && super.segments_at % DISK_BLOCK == 0);
    }
}

static void test_super_bits(void **state)
{
    static _Alignas(8) char block[DISK_BLOCK];
    struct disk_super super = super_of(64u << 20), found;

    (void)state;
    disk_super_write(&super, block);
    assert_true(err_is_ok(disk_super_read(block, &found)));
    assert_int_equal(found.mounts, 9);
    assert_int_equal(found.segments, super.segments);
    assert_memory_equal(found.secret, super.secret, sizeof(super.secret));
    for (size_t bit = 0; bit < DISK_BLOCK * 8; bit++) {
        block[bit / 8] ^= (char)(1 << bit % 8);
        err e = disk_super_read(block, &found);
        assert_int_equal(e.code, bit < 64 ? ERR_NOT_FOUND : ERR_CORRUPT);
        block[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(err_is_ok(disk_super_read(block, &found)));
}

/* What a checksum alone would let pass. */
static void test_super_lies(void **state)
{
    static _Alignas(8) char block[DISK_BLOCK];
    struct disk_super good = super_of(64u << 20), found, bad;

    (void)state;
#define LIE(member, value)                                                        \
    bad = good;                                                                   \
    bad.member = (value);                                                         \
    disk_super_write(&bad, block);                                                \
    assert_int_equal(disk_super_read(block, &found).code, ERR_CORRUPT)
    LIE(segment_bytes, 3000);
    LIE(segment_bytes, DISK_SEGMENT_MAX * 2);
    LIE(segments, good.segments + 1);
    LIE(journal_at, 0);
    LIE(journal_bytes, good.journal_bytes + DISK_BLOCK);
    LIE(snapshot_at[1], good.snapshot_at[0]);
    LIE(segments_at, 0);
    LIE(size_bytes, good.size_bytes + 4096);
    LIE(device, 2);
    LIE(devices, 0);
#undef LIE
}

/* The checksum of version 2, by hand: its block is left alone. */
static void test_super_version(void **state)
{
    static _Alignas(8) char block[DISK_BLOCK], other[DISK_BLOCK];
    struct disk_super super = super_of(64u << 20), found;

    (void)state;
    disk_super_write(&super, block);
    memcpy(other, block, sizeof(block));
    uint32_t version = 2, crc = 0;
    memcpy(other + offsetof(struct disk_super, version), &version, 4);
    memcpy(other + offsetof(struct disk_super, crc), &crc, 4);
    crc = crc32c(0, other, sizeof(other));
    memcpy(other + offsetof(struct disk_super, crc), &crc, 4);
    assert_int_equal(disk_super_read(other, &found).code, ERR_UNSUPPORTED);
    other[100] ^= 1;
    assert_int_equal(disk_super_read(other, &found).code, ERR_CORRUPT);
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

static const struct store_label some_labels[] = {{1}, {0xffffffff}, {77}};

static size_t record_make(char *at, const struct disk_place *place, size_t body_bytes)
{
    char *meta, *body;
    struct disk_record record = {.kind = DISK_WHOLE,
                                 .wseq = 42,
                                 .body_id = 41,
                                 .purge_seq = 40,
                                 .stored_ms = 123456789,
                                 .tenant = 3,
                                 .key = SLICE("the key of it"),
                                 .meta = SLICE("metadata"),
                                 .labels = some_labels,
                                 .label_count = 3,
                                 .body_bytes = (uint32_t)body_bytes};

    disk_record_begin(&record, at, &meta, &body);
    for (size_t i = 0; i < body_bytes; i++)
        body[i] = (char)(i * 7 + i / 251);
    disk_record_seal(at, place);
    return (size_t)disk_record_bytes(record.key.len, 3, record.meta.len, body_bytes);
}

static void test_record_sizes(void **state)
{
    static const size_t bodies[] = {0, 1, 64, 65535, 65536, 65537, 131072, STORE_SLICE_BYTES};
    struct disk_place place = place_of(5, 1000, 64);
    char *at = malloc(2 * STORE_SLICE_BYTES);
    struct disk_record record;
    uint64_t bytes;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        size_t size = record_make(at, &place, bodies[i]);
        assert_int_equal(size % DISK_OFFSET_UNIT, 0);
        assert_true(err_is_ok(disk_record_read(at, size, &place, &record, &bytes)));
        assert_int_equal(bytes, size);
        assert_int_equal(record.kind, DISK_WHOLE);
        assert_int_equal(record.wseq, 42);
        assert_int_equal(record.body_id, 41);
        assert_int_equal(record.purge_seq, 40);
        assert_int_equal(record.tenant, 3);
        assert_true(slice_eq(record.key, SLICE("the key of it")) && slice_eq(record.meta, SLICE("metadata")));
        assert_int_equal(disk_label(record.labels, 1).hash, 0xffffffff);
        assert_int_equal(record.body.len, bodies[i]);
        assert_true(err_is_ok(disk_record_check_body(&record)));
        for (size_t j = 0; j < bodies[i]; j++)
            assert_true(record.body.data[j] == (char)(j * 7 + j / 251));
    }
    assert_int_equal(disk_record_bytes(1, 0, 0, STORE_SLICE_BYTES + 1), 0);
    assert_int_equal(disk_record_bytes(DISK_KEY_BYTES_MAX + 1, 0, 0, 0), 0);
    assert_int_equal(disk_record_bytes(1, STORE_LABELS_MAX + 1, 0, 0), 0);
    free(at);
}

/* Every bit of it is under some checksum, but the zeros behind it. */
static void test_record_bits(void **state)
{
    struct disk_place place = place_of(5, 1000, 64);
    static char at[4096];
    struct disk_record record;
    size_t size = record_make(at, &place, 700), used = 56 + 13 + 12 + 8 + 4 + 700;
    uint64_t bytes;

    (void)state;
    for (size_t bit = 0; bit < used * 8; bit++) {
        at[bit / 8] ^= (char)(1 << bit % 8);
        err e = disk_record_read(at, size, &place, &record, &bytes);
        if (err_is_ok(e))
            e = record.body.len == record.body_bytes ? disk_record_check_body(&record) : ERR(CORRUPT);
        assert_false(err_is_ok(e));
        at[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(err_is_ok(disk_record_read(at, size, &place, &record, &bytes)));
}

/* The same bytes at another place are not that record. */
static void test_record_place(void **state)
{
    struct disk_place place = place_of(5, 1000, 64), other;
    static char at[4096];
    struct disk_record record;
    size_t size = record_make(at, &place, 700);
    uint64_t bytes;

    (void)state;
#define ELSEWHERE(change)                                                                          \
    other = place;                                                                                 \
    change;                                                                                        \
    assert_int_equal(disk_record_read(at, size, &other, &record, &bytes).code, ERR_CORRUPT)
    ELSEWHERE(other.segment++);
    ELSEWHERE(other.generation++);
    ELSEWHERE(other.generation += 1ull << 32);
    ELSEWHERE(other.offset += 64);
    ELSEWHERE(other.store.bytes[15] ^= 1);
#undef ELSEWHERE
    assert_true(err_is_ok(disk_record_read(at, size, &place, &record, &bytes)));
}

/* Cut anywhere: it says how much it needs, or that it is none. */
static void test_record_cut(void **state)
{
    struct disk_place place = place_of(5, 1000, 64);
    static char at[4096];
    struct disk_record record;
    size_t size = record_make(at, &place, 700), covered = 56 + 13 + 12 + 8 + 4;

    (void)state;
    for (size_t n = 0; n < size; n++) {
        uint64_t bytes = 0;
        char *cut = malloc(n + 1);
        memcpy(cut, at, n);
        err e = disk_record_read(cut, n, &place, &record, &bytes);
        if (n < 56) {
            assert_int_equal(e.code, ERR_CORRUPT);
        } else if (n < covered) {
            assert_int_equal(e.code, ERR_LIMIT);
            assert_int_equal(bytes, size);
        } else {
            assert_true(err_is_ok(e));
            assert_int_equal(record.body.len, MIN(n - covered, 700));
        }
        free(cut);
    }
}

/* A range of a body is checked as far as its blocks are whole. */
static void test_record_part_of_a_body(void **state)
{
    struct disk_place place = place_of(5, 1000, 64);
    char *at = malloc(200000);
    struct disk_record record;
    size_t covered = 56 + 13 + 12 + 8 + 8;
    uint64_t bytes;

    (void)state;
    record_make(at, &place, 100000);
    at[covered + 65536] ^= 1; /* in the second block */
    assert_true(err_is_ok(disk_record_read(at, covered + 65536 + 100, &place, &record, &bytes)));
    assert_true(err_is_ok(disk_record_check_body(&record)));
    assert_true(err_is_ok(disk_record_read(at, (size_t)bytes, &place, &record, &bytes)));
    assert_int_equal(disk_record_check_body(&record).code, ERR_CORRUPT);
    free(at);
}

/* ---- segments --------------------------------------------------------------------------------------------------- */

static void test_segment_head(void **state)
{
    struct disk_place place = place_of(5, 1000, 0);
    struct disk_segment_head head = {.store = place.store, .segment = 5, .first_wseq = 1000, .log = 1}, found;
    char bytes[sizeof(head)];

    (void)state;
    disk_segment_head_write(&head);
    assert_true(err_is_ok(disk_segment_head_read(&head, &place.store, 5, &found)));
    assert_int_equal(found.first_wseq, 1000);
    assert_int_equal(disk_segment_head_read(&head, &place.store, 6, &found).code, ERR_CORRUPT);
    memcpy(bytes, &head, sizeof(bytes));
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(err_is_ok(disk_segment_head_read(bytes, &place.store, 5, &found)));
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
}

static uint32_t footer_make(char *to, unsigned entries)
{
    uint32_t at = 0, offset = 1;

    for (unsigned i = 0; i < entries; i++) {
        struct disk_footer_entry entry = {
            .hash = i, .purge_seq = 2, .offset = offset, .units = i % 5 + 1, .wseq = i, .tenant = 1, .label_count = i % 4, .kind = DISK_WHOLE};
        memcpy(to + at, &entry, sizeof(entry));
        memcpy(to + at + sizeof(entry), some_labels, (i % 4 < 3 ? i % 4 : 3) * sizeof(some_labels[0]));
        at += (uint32_t)(sizeof(entry) + (i % 4) * sizeof(some_labels[0]));
        offset += entry.units;
    }
    return at;
}

static void test_footer(void **state)
{
    static char footer[65536], room[65536 + 2 * DISK_BLOCK];
    struct disk_place place = place_of(5, 1000, SEGMENT - DISK_TRAILER_BYTES), other = place;
    struct disk_trailer trailer = {.entries = 1000, .last_wseq = 2000, .purge_seq_min = 1, .purge_seq_max = 9}, found;
    struct disk_footer_entry entry;
    const void *labels;
    uint32_t at = 0, n = 0;

    (void)state;
    trailer.footer_bytes = footer_make(footer, 1000);
    uint32_t bytes = disk_footer_room(trailer.footer_bytes);
    disk_footer_write(room, SEGMENT, footer, &trailer, &place);
    const char *last = room + bytes - DISK_BLOCK;
    assert_true(err_is_ok(disk_trailer_read(last, SEGMENT, &place, &found)));
    assert_int_equal(found.footer_at, SEGMENT - bytes);
    assert_true(err_is_ok(disk_footer_check(room, &found)));
    while (disk_footer_next(room, &found, &at, &entry, &labels)) {
        assert_int_equal(entry.hash, n);
        assert_int_equal(entry.label_count, n % 4);
        if (entry.label_count > 1)
            assert_int_equal(disk_label(labels, 1).hash, 0xffffffff);
        n++;
    }
    assert_int_equal(n, 1000);
    other.generation++;
    assert_int_equal(disk_trailer_read(last, SEGMENT, &other, &found).code, ERR_CORRUPT);
    assert_int_equal(disk_trailer_read(last, SEGMENT * 2, &place, &found).code, ERR_CORRUPT);
    for (size_t i = 0; i < trailer.footer_bytes; i += 13) {
        room[i] ^= 4;
        assert_int_equal(disk_footer_check(room, &trailer).code, ERR_CORRUPT);
        room[i] ^= 4;
    }
}

static void test_footer_empty(void **state)
{
    static char room[DISK_BLOCK];
    struct disk_place place = place_of(5, 1000, SEGMENT - DISK_TRAILER_BYTES);
    struct disk_trailer trailer = {0}, found;

    (void)state;
    assert_int_equal(disk_footer_room(0), DISK_BLOCK);
    disk_footer_write(room, SEGMENT, room, &trailer, &place);
    assert_true(err_is_ok(disk_trailer_read(room, SEGMENT, &place, &found)));
    assert_true(err_is_ok(disk_footer_check(room, &found)));
}

/* ---- snapshots -------------------------------------------------------------------------------------------------- */

static void test_snapshot(void **state)
{
    static char block[DISK_BLOCK], chunk[DISK_CHUNK_BYTES];
    struct disk_id set = {{1, 2, 3}}, other = {{1, 2, 4}};
    struct disk_snapshot_head head = {.set = set, .number = 7, .segments = 30, .chunks = 2, .shape = {DISK_CHUNK_BUCKETS + 5, 4}}, found;
    uint64_t buckets;

    (void)state;
    disk_snapshot_head_write(&head, block);
    assert_true(err_is_ok(disk_snapshot_head_read(block, &set, &found)));
    assert_int_equal(found.number, 7);
    assert_int_equal(disk_snapshot_bytes(&found), 2 * DISK_BLOCK + DISK_CHUNK_BYTES + disk_chunk_bytes(&found, 1));
    assert_int_equal(disk_snapshot_head_read(block, &other, &found).code, ERR_CORRUPT);
    head.chunks = 3;
    disk_snapshot_head_write(&head, block);
    assert_int_equal(disk_snapshot_head_read(block, &set, &found).code, ERR_CORRUPT);
    memset(chunk, 9, sizeof(chunk));
    disk_chunk_write(chunk, &set, 7, 1, 5);
    assert_true(err_is_ok(disk_chunk_read(chunk, &set, 7, 1, &buckets)));
    assert_int_equal(buckets, 5);
    assert_int_equal(disk_chunk_read(chunk, &set, 7, 2, &buckets).code, ERR_CORRUPT);
    assert_int_equal(disk_chunk_read(chunk, &set, 8, 1, &buckets).code, ERR_CORRUPT);
    assert_int_equal(disk_chunk_read(chunk, &other, 7, 1, &buckets).code, ERR_CORRUPT);
    chunk[64 + 5 * 64 - 1] ^= 1;
    assert_int_equal(disk_chunk_read(chunk, &set, 7, 1, &buckets).code, ERR_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_super_bits),
        cmocka_unit_test(test_super_lies),
        cmocka_unit_test(test_super_version),
        cmocka_unit_test(test_record_sizes),
        cmocka_unit_test(test_record_bits),
        cmocka_unit_test(test_record_place),
        cmocka_unit_test(test_record_cut),
        cmocka_unit_test(test_record_part_of_a_body),
        cmocka_unit_test(test_segment_head),
        cmocka_unit_test(test_footer),
        cmocka_unit_test(test_footer_empty),
        cmocka_unit_test(test_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
