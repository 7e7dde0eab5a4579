/* The index alone, one thread at a time; what threads do to each other: test_disk_index_steps.c and
 * test_disk_index_stress.c. */
#include "store/disk/index_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALL_KINDS (~0u)

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * UINT64_C(0x2545f4914f6cdd1d);
}

static struct disk_index *index_new(uint64_t first, uint64_t max)
{
    struct disk_index_config config = {.entries_first = first, .entries_max = max};
    struct disk_index *index = NULL;

    random_state = 88172645463325252u;
    assert_true(err_is_ok(disk_index_new(&config, &index)));
    return index;
}

static struct disk_index_stats stats_of(const struct disk_index *index)
{
    struct disk_index_stats stats;

    disk_index_stats(index, &stats);
    return stats;
}

/* The n-th entry: its place is n itself, so that no two are the same. */
static struct disk_entry entry_at(uint64_t n, uint8_t kind)
{
    return (struct disk_entry){.segment = (uint32_t)(n >> 20), .offset = (uint32_t)n & 0xfffff, .kind = kind};
}

static uint64_t number_of(const struct disk_entry *entry)
{
    return (uint64_t)entry->segment << 20 | entry->offset;
}

static struct disk_gone put(struct disk_index *index, uint64_t hash, struct disk_entry entry)
{
    struct disk_gone gone;

    disk_index_put(index, hash, &entry, &gone);
    return gone;
}

static bool is_found(struct disk_index *index, uint64_t hash, uint64_t n, struct disk_entry *ret_entry)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    unsigned count = disk_index_find(index, hash, ALL_KINDS, entries);

    for (unsigned i = 0; i < count; i++)
        if (number_of(&entries[i]) == n) {
            if (ret_entry != NULL)
                *ret_entry = entries[i];
            return true;
        }
    return false;
}

static uint64_t hash_of(const struct disk_index *index, uint64_t group, uint32_t tag)
{
    (void)index;
    return (uint64_t)tag << (64 - TAG_BITS) | group;
}

/* Of no key that is there, or looks like one that is. */
static uint64_t fresh_hash(const struct disk_index *index)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    uint64_t hash;

    do {
        hash = random_next();
    } while (disk_index_find(index, hash, ALL_KINDS, entries) > 0);
    return hash;
}

/* ---- size classes ------------------------------------------------------------------------------------------------------ */

static void test_size_classes(void **state)
{
    (void)state;
    assert_int_equal(disk_size_class(0), 0);
    assert_int_equal(disk_size_of_class(0), 64);
    /* A class holds whole units, so the first and the last byte of each unit are every size. */
    for (uint64_t units = 1; units <= (64u << 20) / DISK_OFFSET_UNIT; units++) {
        uint64_t size = units * DISK_OFFSET_UNIT;
        uint8_t size_class = disk_size_class(size);
        uint64_t holds = disk_size_of_class(size_class);
        assert_int_equal(disk_size_class(size - DISK_OFFSET_UNIT + 1), size_class);
        assert_true(holds >= size && holds * 8 <= size * 9);
        assert_int_equal(holds % DISK_OFFSET_UNIT, 0);
        assert_true(size_class == 0 || disk_size_of_class((uint8_t)(size_class - 1)) < size);
    }
    for (unsigned i = 0; i < 256; i++)
        if (disk_size_of_class((uint8_t)i) <= DISK_SIZE_CLASS_MAX)
            assert_int_equal(disk_size_class(disk_size_of_class((uint8_t)i)), i);
    assert_true(disk_size_of_class(disk_size_class(DISK_SIZE_CLASS_MAX)) == DISK_SIZE_CLASS_MAX);
}

/* ---- entries ------------------------------------------------------------------------------------------------------------- */

static void test_all_fields_come_back(void **state)
{
    struct disk_index *index = index_new(100, 100);
    static const struct disk_entry entries[] = {
        {.segment = DISK_SEGMENTS_MAX - 1, .offset = 0xfffff, .tenant = 0xffff, .size_class = 0xff, .expiry = 0xff, .kind = DISK_SLICE, .hits = 3},
        {.segment = 0, .offset = 0, .tenant = 0, .size_class = 0, .expiry = 0, .kind = DISK_WHOLE, .hits = 0},
        {.segment = 0x5a5a5, .offset = 0xa5a5a, .tenant = 0x1234, .size_class = 0x56, .expiry = 0x78, .kind = DISK_HEAD_SOFT, .hits = 2},
        {.segment = 1, .offset = 0x100, .tenant = 0x8001, .size_class = 1, .expiry = 0x80, .kind = DISK_VARY, .hits = 1},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(entries); i++) {
        struct disk_entry found[DISK_INDEX_FIND_MAX];
        uint64_t hash = hash_of(index, 5, 0x7ffff - i);
        assert_int_equal(put(index, hash, entries[i]).count, 0);
        assert_int_equal(disk_index_find(index, hash, ALL_KINDS, found), 1);
        assert_int_equal(found[0].segment, entries[i].segment);
        assert_int_equal(found[0].offset, entries[i].offset);
        assert_int_equal(found[0].tenant, entries[i].tenant);
        assert_int_equal(found[0].size_class, entries[i].size_class);
        assert_int_equal(found[0].expiry, entries[i].expiry);
        assert_int_equal(found[0].kind, entries[i].kind);
        assert_int_equal(found[0].hits, entries[i].hits);
    }
    assert_int_equal(stats_of(index).entries, ARRAY_LEN(entries));
    disk_index_free(index);
}

static void test_kinds_are_chosen(void **state)
{
    struct disk_index *index = index_new(100, 100);
    struct disk_entry found[DISK_INDEX_FIND_MAX];

    (void)state;
    (void)put(index, 77, entry_at(1, DISK_HEAD));
    (void)put(index, 77, entry_at(2, DISK_BODY));
    assert_int_equal(disk_index_find(index, 77, DISK_KINDS_BUT_BODY, found), 1);
    assert_int_equal(number_of(&found[0]), 1);
    assert_int_equal(disk_index_find(index, 77, 1u << DISK_BODY, found), 1);
    assert_int_equal(number_of(&found[0]), 2);
    assert_int_equal(disk_index_find(index, 77, ALL_KINDS, found), 2);
    assert_int_equal(disk_index_find(index, 77, 1u << DISK_WHOLE | 1u << DISK_NONE, found), 0);
    disk_index_free(index);
}

static void test_put_replaces_its_like(void **state)
{
    struct disk_index *index = index_new(100, 100);
    struct disk_gone gone;
    struct disk_entry hot = entry_at(3, DISK_HEAD), found;

    (void)state;
    (void)put(index, 77, entry_at(1, DISK_WHOLE));
    (void)put(index, 77, entry_at(2, DISK_BODY));
    hot.hits = 2;
    gone = put(index, 77, hot);
    assert_int_equal(gone.count, 1);
    assert_false(gone.is_lost);
    assert_int_equal(number_of(&gone.entries[0]), 1);
    gone = put(index, 77, entry_at(4, DISK_BODY));
    assert_int_equal(gone.count, 1);
    assert_int_equal(number_of(&gone.entries[0]), 2);
    assert_true(is_found(index, 77, 3, &found));
    assert_int_equal(found.hits, 2);
    assert_true(is_found(index, 77, 4, NULL));
    assert_int_equal(stats_of(index).entries, 2);
    disk_index_free(index);
}

static void test_remove(void **state)
{
    struct disk_index *index = index_new(100, 100);
    struct disk_entry gone = {.tenant = 9};

    (void)state;
    (void)put(index, 77, entry_at(1, DISK_WHOLE));
    assert_false(disk_index_remove(index, 77, 0, 2, &gone));
    assert_false(disk_index_remove(index, 77, 1, 1, &gone));
    assert_false(disk_index_remove(index, 77 ^ UINT64_C(1) << 63, 0, 1, &gone)); /* another tag */
    assert_int_equal(gone.tenant, 9);
    assert_true(disk_index_remove(index, 77, 0, 1, &gone));
    assert_int_equal(number_of(&gone), 1);
    assert_int_equal(gone.kind, DISK_WHOLE);
    assert_false(disk_index_remove(index, 77, 0, 1, &gone));
    assert_false(is_found(index, 77, 1, NULL));
    assert_int_equal(stats_of(index).entries, 0);
    disk_index_free(index);
}

static void test_remove_all(void **state)
{
    struct disk_index *index = index_new(100, 100);
    struct disk_gone gone;

    (void)state;
    (void)put(index, 77, entry_at(1, DISK_HEAD));
    (void)put(index, 77, entry_at(2, DISK_BODY));
    (void)put(index, hash_of(index, 77 & 3, 5), entry_at(3, DISK_WHOLE)); /* a neighbour */
    disk_index_remove_all(index, 77, 1u << DISK_WHOLE | 1u << DISK_BODY, &gone);
    assert_int_equal(gone.count, 1);
    assert_int_equal(number_of(&gone.entries[0]), 2);
    (void)put(index, 77, entry_at(2, DISK_BODY));
    disk_index_remove_all(index, 77, ALL_KINDS, &gone);
    assert_int_equal(gone.count, 2);
    assert_false(gone.is_lost);
    disk_index_remove_all(index, 77, ALL_KINDS, &gone);
    assert_int_equal(gone.count, 0);
    assert_int_equal(stats_of(index).entries, 1);
    disk_index_free(index);
}

static void test_move(void **state)
{
    struct disk_index *index = index_new(100, 100);
    struct disk_entry entry = entry_at(9, DISK_WHOLE_SOFT), found;

    (void)state;
    entry.hits = 1;
    (void)put(index, 77, entry_at(1, DISK_WHOLE));
    assert_false(disk_index_move(index, 77, 0, 2, &entry));
    assert_true(disk_index_move(index, 77, 0, 1, &entry));
    assert_false(disk_index_move(index, 77, 0, 1, &entry));
    assert_false(is_found(index, 77, 1, NULL));
    assert_true(is_found(index, 77, 9, &found));
    assert_int_equal(found.kind, DISK_WHOLE_SOFT);
    assert_int_equal(found.hits, 1);
    assert_int_equal(stats_of(index).entries, 1);
    disk_index_free(index);
}

static void test_become_body(void **state)
{
    static const uint8_t kinds[] = {DISK_WHOLE, DISK_WHOLE_SOFT};
    struct disk_index *index = index_new(100, 100);
    struct disk_entry whole, found;
    struct disk_gone gone;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
        whole = entry_at(1, kinds[i]);
        whole.hits = 2;
        (void)put(index, 77, whole);
        disk_index_become_body(index, 77, &gone);
        assert_int_equal(gone.count, 0);
        assert_int_equal(stats_of(index).entries, 1);
        assert_true(is_found(index, 77, 1, &found));
        assert_int_equal(found.kind, DISK_BODY);
        assert_int_equal(found.hits, 2);
        disk_index_become_body(index, 77, &gone); /* no whole one */
        assert_int_equal(gone.count, 0);
        assert_true(is_found(index, 77, 1, &found));
        (void)put(index, 77, entry_at(2, DISK_WHOLE)); /* the older body goes */
        disk_index_become_body(index, 77, &gone);
        assert_int_equal(gone.count, 1);
        assert_int_equal(number_of(&gone.entries[0]), 1);
        assert_int_equal(stats_of(index).entries, 1);
        assert_true(is_found(index, 77, 2, &found));
        assert_int_equal(found.kind, DISK_BODY);
        (void)put(index, 77, entry_at(3, DISK_HEAD)); /* stays */
        disk_index_become_body(index, 77, &gone);
        assert_int_equal(gone.count, 0);
        assert_true(is_found(index, 77, 3, &found));
        disk_index_remove_all(index, 77, ALL_KINDS, &gone);
        assert_int_equal(gone.count, 2);
    }
    disk_index_free(index);
}

static uint32_t version_of_entry(const struct disk_index *index, uint64_t hash)
{
    struct disk_pair pair = pair_of(index, count_now(index), home_of_hash(index, hash));

    return index->buckets[pair.bucket[0]].version + index->buckets[pair.bucket[1]].version;
}

static void test_hits(void **state)
{
    struct disk_index *index = index_new(100, 100);
    struct disk_entry found;
    uint32_t version;

    (void)state;
    (void)put(index, 77, entry_at(1, DISK_WHOLE));
    for (unsigned i = 1; i <= DISK_HITS_MAX; i++) {
        disk_index_hit(index, 77, 0, 1);
        assert_true(is_found(index, 77, 1, &found));
        assert_int_equal(found.hits, i);
        assert_int_equal(found.kind, DISK_WHOLE);
    }
    version = version_of_entry(index, 77);
    disk_index_hit(index, 77, 0, 1);
    disk_index_hit(index, 77, 0, 2);
    disk_index_hit(index, 78, 0, 1);
    assert_int_equal(version_of_entry(index, 77), version); /* nothing was written */
    assert_true(is_found(index, 77, 1, &found));
    assert_int_equal(found.hits, DISK_HITS_MAX);
    disk_index_free(index);
}

/* Two keys that the index cannot tell apart are one to it; the same tag in other groups, another tag in the same ones are
 * not. */
static void test_tag_collisions(void **state)
{
    struct disk_index *index = index_new(1000, 1000);
    uint64_t hash = hash_of(index, 17, 4711), twin = hash_of(index, group_other(index, 17, 4711), 4711);
    struct disk_gone gone;

    (void)state;
    (void)put(index, hash, entry_at(1, DISK_WHOLE));
    (void)put(index, hash_of(index, 17, 4712), entry_at(2, DISK_WHOLE));
    (void)put(index, hash_of(index, 18, 4711), entry_at(3, DISK_WHOLE));
    assert_true(is_found(index, twin, 1, NULL));
    assert_false(is_found(index, twin, 2, NULL));
    assert_false(is_found(index, twin, 3, NULL));
    gone = put(index, twin, entry_at(4, DISK_WHOLE));
    assert_int_equal(gone.count, 1);
    assert_int_equal(number_of(&gone.entries[0]), 1);
    assert_true(is_found(index, hash, 4, NULL));
    assert_true(is_found(index, hash_of(index, 17, 4712), 2, NULL));
    assert_true(is_found(index, hash_of(index, 18, 4711), 3, NULL));
    disk_index_free(index);
}

/* ---- room ------------------------------------------------------------------------------------------------------------------ */

/* Buckets of every size of the table: each (group, bits of the tag) has one, each bucket knows its group. */
static void test_every_bucket_has_its_group(void **state)
{
    struct disk_index *index = index_new(8 * 4, 8 * 4 * 256);
    static uint8_t seen[8 * 256];

    (void)state;
    index->first_bits = 3;
    for (uint64_t count = 8; count <= 8 * 256; count++) {
        memset(seen, 0, sizeof(seen));
        for (uint64_t group = 0; group < 8; group++)
            for (uint32_t tag = 0; tag < 512; tag++) {
                uint64_t bucket = bucket_of(index, count, group, tag);
                assert_true(bucket < count);
                assert_int_equal(group_of(index, bucket), group);
                assert_int_equal(bucket_of(index, count, group, tag | 0x400), bucket);
                seen[bucket] = 1;
            }
        for (uint64_t bucket = 0; bucket < count; bucket++)
            assert_int_equal(seen[bucket], 1);
    }
    for (uint32_t tag = 0; tag < 1u << TAG_BITS; tag++) {
        uint64_t other = group_other(index, tag & 7, tag);
        assert_true(other != (tag & 7) && other < 8);
        assert_int_equal(group_other(index, other, tag), tag & 7);
    }
    disk_index_free(index);
}

struct loads {
    double load_min, bytes_max, lost_max;
};

static void loads_note(const struct disk_index *index, uint64_t put_so_far, struct loads *loads)
{
    struct disk_index_stats stats = stats_of(index);

    loads->load_min = MIN(loads->load_min, (double)stats.entries / ((double)stats.buckets * DISK_INDEX_BUCKET_ENTRIES));
    loads->bytes_max = MAX(loads->bytes_max, (double)stats.bytes / (double)stats.entries);
    loads->lost_max = MAX(loads->lost_max, (double)stats.lost / (double)put_so_far);
}

/* From the first size to the last one; each entry that was not lost is found. */
static void grow_through(uint64_t first, uint64_t max)
{
    struct disk_index *index = index_new(first, max);
    uint64_t *hashes = malloc(max * sizeof(*hashes)), missing = 0;
    struct loads loads = {.load_min = 1};

    assert_non_null(hashes);
    for (uint64_t n = 0; n < max; n++) {
        struct disk_gone gone = put(index, hashes[n] = random_next(), entry_at(n, DISK_WHOLE));
        assert_true(gone.count <= 1);
        if (gone.count > 0)
            hashes[number_of(&gone.entries[0])] = 0;
        if (n > 100000 && n % 1000 == 0)
            loads_note(index, n, &loads);
    }
    for (uint64_t n = 0; n < max; n++)
        missing += hashes[n] != 0 && !is_found(index, hashes[n], n, NULL);
    print_message("%llu to %llu entries: load at least %.3f, bytes an entry at most %.2f, lost at most %.6f %%\n", (unsigned long long)first,
                  (unsigned long long)max, loads.load_min, loads.bytes_max, 100 * loads.lost_max);
    assert_int_equal(missing, 0);
    assert_true(loads.load_min >= 0.80);
    assert_true(loads.bytes_max <= 20);
    assert_true(loads.lost_max < 0.01);
    free(hashes);
    disk_index_free(index);
}

static void test_growth(void **state)
{
    (void)state;
    grow_through(4000, 1000000);
    grow_through(60000, 1000000);
    grow_through(300, 300);
}

static void test_growth_is_as_asked(void **state)
{
    struct disk_index *index = index_new(1000, 2000);
    struct disk_index_stats stats = stats_of(index);

    (void)state;
    assert_int_equal(stats.buckets, 256); /* 1000 / (5 * 0.87), up to a power of two */
    assert_int_equal(stats.entries, 0);
    for (uint64_t n = 0; n < 3000; n++)
        (void)put(index, random_next(), entry_at(n, DISK_WHOLE));
    assert_int_equal(stats_of(index).buckets, 460); /* 2000 / (5 * 0.87) */
    assert_int_equal(disk_index_buckets(index), 460);
    disk_index_free(index);
}

/* Every entry that leaves is told of; the table fills up to where chains end. */
static void test_full_table(void **state)
{
    struct disk_index *index = index_new(4096, 4096);
    uint64_t lost = 0, slots = disk_index_buckets(index) * DISK_INDEX_BUCKET_ENTRIES, n;
    struct disk_index_stats stats;

    (void)state;
    for (n = 0; n < 2 * slots; n++) {
        struct disk_gone gone = put(index, fresh_hash(index), entry_at(n, DISK_WHOLE));
        if (gone.count > 0) {
            assert_int_equal(gone.count, 1);
            assert_true(gone.is_lost);
            if (lost++ == 0)
                print_message("the first one is lost at %.2f %% of slots\n", 100 * (double)n / (double)slots);
            assert_true(n > slots * 95 / 100);
        }
        assert_int_equal(stats_of(index).entries + lost, n + 1);
    }
    stats = stats_of(index);
    assert_true(stats.entries > slots * 99 / 100);
    assert_int_equal(stats.lost, lost);
    disk_index_free(index);
}

/* The entry with the fewest hits goes; the new one, if all others have more. */
static void test_who_is_lost(void **state)
{
    struct disk_index *index = index_new(4, 4); /* four buckets */
    struct disk_entry entry, found;
    struct disk_gone gone;
    uint64_t hash, n;

    (void)state;
    for (n = 0; stats_of(index).entries < 20; n++) {
        entry = entry_at(n, DISK_WHOLE);
        entry.hits = 1;
        gone = put(index, random_next(), entry);
        assert_true(n < 1000);
    }
    hash = random_next();
    gone = put(index, hash, entry_at(5000, DISK_WHOLE));
    assert_true(gone.is_lost);
    assert_int_equal(gone.count, 1);
    assert_int_equal(number_of(&gone.entries[0]), 5000);
    assert_false(is_found(index, hash, 5000, NULL));
    entry = entry_at(5001, DISK_WHOLE);
    entry.hits = 1;
    gone = put(index, hash, entry);
    assert_true(gone.is_lost);
    assert_true(number_of(&gone.entries[0]) < 5000);
    assert_true(is_found(index, hash, 5001, &found));
    assert_int_equal(found.hits, 1);
    assert_int_equal(stats_of(index).entries, 20);
    assert_true(stats_of(index).lost >= 2);
    disk_index_free(index);
}

static void test_configs(void **state)
{
    static const struct disk_index_config bad[] = {
        {.entries_first = 1000, .entries_max = 999},
        {.entries_first = 1000, .entries_max = 1000000},
        {.entries_first = UINT64_C(1) << 40, .entries_max = UINT64_C(1) << 40},
        {.entries_first = UINT64_MAX, .entries_max = UINT64_MAX},
    };
    struct disk_index *index = NULL;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(disk_index_new(&bad[i], &index).code, ERR_INVALID);
    assert_null(index);
    assert_null(disk_index_free(NULL));
    index = index_new(0, 0);
    assert_int_equal(disk_index_buckets(index), 4);
    disk_index_free(index);
}

/* ---- walks and snapshots ---------------------------------------------------------------------------------------------------- */

struct visits {
    uint8_t *times; /* of entry n */
    uint64_t total;
};

static void visit_count(void *arg, struct disk_entry *entry)
{
    struct visits *visits = arg;

    visits->times[number_of(entry)]++;
    visits->total++;
}

static void visit_change(void *arg, struct disk_entry *entry)
{
    uint64_t n = number_of(entry);

    (void)arg;
    if (n % 3 == 0)
        entry->kind = DISK_NONE;
    else if (n % 3 == 1)
        entry->hits = 2;
}

static void test_walk_sees_and_changes(void **state)
{
    enum { COUNT = 3000 };
    struct disk_index *index = index_new(2000, 20000);
    struct visits visits = {.times = calloc(COUNT, 1)};
    uint64_t hashes[COUNT];
    struct disk_walk walk;
    unsigned calls = 1;

    (void)state;
    for (uint64_t n = 0; n < COUNT; n++)
        assert_int_equal(put(index, hashes[n] = fresh_hash(index), entry_at(n, DISK_WHOLE)).count, 0);
    disk_index_walk_begin(index, &walk);
    while (disk_index_walk(index, &walk, 100, visit_count, &visits))
        calls++;
    assert_false(disk_index_walk(index, &walk, 100, visit_count, &visits));
    disk_index_walk_end(index, &walk);
    assert_int_equal(calls, (disk_index_buckets(index) + 99) / 100);
    assert_int_equal(visits.total, COUNT);
    for (uint64_t n = 0; n < COUNT; n++)
        assert_int_equal(visits.times[n], 1);
    disk_index_walk_begin(index, &walk);
    assert_false(disk_index_walk(index, &walk, UINT64_MAX, visit_change, NULL));
    disk_index_walk_end(index, &walk);
    assert_int_equal(stats_of(index).entries, COUNT - COUNT / 3);
    for (uint64_t n = 0; n < COUNT; n++) {
        struct disk_entry found = {.hits = 9};
        assert_int_equal(is_found(index, hashes[n], n, &found), n % 3 != 0);
        assert_int_equal(found.hits, n % 3 == 0 ? 9 : n % 3 == 1 ? 2 : 0);
    }
    free(visits.times);
    disk_index_free(index);
}

/* Puts that make others move, and buckets split, between the steps of two walks. */
static void test_walk_misses_nothing_that_stays(void **state)
{
    enum { COUNT = 20000, MORE = 40000 };
    struct disk_index *index = index_new(2000, 100000);
    struct visits visits[2] = {{.times = calloc(COUNT + MORE, 1)}, {.times = calloc(COUNT + MORE, 1)}};
    struct disk_walk walks[2];
    uint64_t n, twice = 0;

    (void)state;
    for (n = 0; n < COUNT; n++)
        assert_int_equal(put(index, fresh_hash(index), entry_at(n, DISK_WHOLE)).is_lost, false);
    disk_index_walk_begin(index, &walks[0]);
    disk_index_walk_begin(index, &walks[1]);
    (void)disk_index_walk(index, &walks[1], 2000, visit_count, &visits[1]);
    for (unsigned left = 3; left != 0;) {
        for (unsigned i = 0; i < 20 && n < COUNT + MORE; i++, n++) {
            struct disk_gone gone = put(index, fresh_hash(index), entry_at(n, DISK_WHOLE));
            for (unsigned w = 0; w < 2 && gone.count > 0; w++)
                visits[w].times[number_of(&gone.entries[0])]++; /* did not stay */
        }
        for (unsigned w = 0; w < 2; w++)
            if ((left & 1u << w) != 0 && !disk_index_walk(index, &walks[w], 13, visit_count, &visits[w]))
                left &= ~(1u << w);
    }
    for (uint64_t i = 0; i < COUNT; i++) {
        assert_true(visits[0].times[i] > 0);
        assert_true(visits[1].times[i] > 0);
        twice += visits[0].times[i] > 1;
    }
    assert_true(twice > 0);
    for (unsigned w = 0; w < 2; w++) {
        disk_index_walk_end(index, &walks[w]);
        free(visits[w].times);
    }
    disk_index_free(index);
}

static void test_hold_keeps_the_size(void **state)
{
    struct disk_index *index = index_new(1000, 100000);
    uint64_t buckets = disk_index_buckets(index);

    (void)state;
    disk_index_hold(index);
    disk_index_hold(index);
    for (uint64_t n = 0; n < 3 * buckets * DISK_INDEX_BUCKET_ENTRIES; n++)
        (void)put(index, random_next(), entry_at(n, DISK_WHOLE));
    disk_index_release(index);
    (void)put(index, random_next(), entry_at(1u << 20, DISK_WHOLE));
    assert_int_equal(disk_index_buckets(index), buckets);
    assert_true(stats_of(index).lost > 0);
    disk_index_release(index);
    (void)put(index, random_next(), entry_at((1u << 20) + 1, DISK_WHOLE));
    assert_int_equal(disk_index_buckets(index), buckets + 2);
    disk_index_free(index);
}

static bool keep_all(void *arg, const struct disk_entry *entry)
{
    (void)entry;
    if (arg != NULL)
        ++*(uint64_t *)arg;
    return true;
}

static bool keep_even(void *arg, const struct disk_entry *entry)
{
    (void)arg;
    return number_of(entry) % 2 == 0;
}

/* A snapshot copied while puts and removes go on brings back what was there throughout. */
static void test_snapshot(void **state)
{
    enum { COUNT = 10000, MORE = 4000, STEP = 64 };
    struct disk_index *index = index_new(2000, 100000), *again = index_new(2000, 100000);
    struct disk_index_shape shape;
    struct disk_walk walk;
    uint64_t hashes[COUNT + MORE], n, taken = 0, asked = 0, at = 0, copied;
    char *bytes;
    struct disk_entry gone;

    (void)state;
    for (n = 0; n < COUNT; n++)
        assert_int_equal(put(index, hashes[n] = fresh_hash(index), entry_at(n, n % 7 == 0 ? DISK_BODY : DISK_WHOLE)).count, 0);
    disk_index_hold(index);
    disk_index_walk_begin(index, &walk);
    disk_index_shape(index, &shape);
    bytes = malloc((shape.buckets + STEP) * DISK_INDEX_BUCKET_BYTES);
    assert_non_null(bytes);
    while ((copied = disk_index_copy(index, &walk, STEP, bytes + at * DISK_INDEX_BUCKET_BYTES)) > 0) {
        at += copied;
        for (unsigned i = 0; i < 80 && n < COUNT + MORE; i++, n++) {
            struct disk_gone lost = put(index, hashes[n] = fresh_hash(index), entry_at(n, DISK_WHOLE));
            if (lost.count > 0)
                hashes[number_of(&lost.entries[0])] = 0;
            (void)disk_index_remove(index, hashes[n - COUNT], 0, (uint32_t)(n - COUNT), &gone);
            hashes[n - COUNT] = 0;
        }
    }
    assert_int_equal(at, shape.buckets);
    disk_index_walk_end(index, &walk);
    disk_index_release(index);

    assert_true(err_is_ok(disk_index_reshape(again, &shape)));
    assert_int_equal(disk_index_buckets(again), shape.buckets);
    for (uint64_t i = 0; i < shape.buckets; i++)
        taken += disk_index_load(again, i, bytes + i * DISK_INDEX_BUCKET_BYTES, keep_all, &asked);
    assert_int_equal(stats_of(again).entries, taken);
    assert_int_equal(asked, taken);
    for (n = 0; n < COUNT; n++)
        if (hashes[n] != 0)
            assert_true(is_found(again, hashes[n], n, NULL));
    free(bytes);
    disk_index_free(index);
    disk_index_free(again);
}

/* In a version word of a snapshot nothing is kept, words are little-endian. */
static void test_snapshot_bytes(void **state)
{
    struct disk_index *index = index_new(4, 4);
    struct disk_entry entry = {.segment = 0x12345, .offset = 0x6789a, .tenant = 0xbcde, .size_class = 0xf0, .expiry = 0x11, .kind = DISK_VARY, .hits = 1};
    uint8_t bytes[4 * DISK_INDEX_BUCKET_BYTES], expected[DISK_INDEX_BUCKET_BYTES] = {0};
    uint32_t tag = 0x43210;
    struct disk_walk walk;

    (void)state;
    (void)put(index, hash_of(index, 2, tag), entry);
    disk_index_walk_begin(index, &walk);
    assert_int_equal(disk_index_copy(index, &walk, 100, bytes), 4);
    assert_int_equal(disk_index_copy(index, &walk, 100, bytes), 0);
    disk_index_walk_end(index, &walk);
    /* tag 0x43210 << 13 | DISK_VARY << 10 | 1 << 8 | 0xf0; 0x12345 << 12 | 0x678; 0x9a << 24 | 0xbcde << 8 | 0x11 */
    memcpy(expected + 4, "\xf0\x19\x42\x86\x78\x56\x34\x12\x11\xde\xbc\x9a", 12);
    assert_memory_equal(bytes + 2 * DISK_INDEX_BUCKET_BYTES, expected, sizeof(expected));
    disk_index_free(index);
}

static void test_load_leaves_what_is_there(void **state)
{
    struct disk_index *index = index_new(100, 100), *again = index_new(100, 100);
    uint64_t buckets = disk_index_buckets(index), loaded = 0;
    char *bytes = malloc(buckets * DISK_INDEX_BUCKET_BYTES);
    struct disk_walk walk;

    (void)state;
    for (uint64_t n = 0; n < 10; n++)
        (void)put(index, UINT64_C(0x9e3779b97f4a7c15) * (n + 1), entry_at(n, DISK_WHOLE));
    (void)put(index, UINT64_C(0x9e3779b97f4a7c15), entry_at(10, DISK_BODY));
    disk_index_walk_begin(index, &walk);
    assert_int_equal(disk_index_copy(index, &walk, buckets, bytes), buckets);
    disk_index_walk_end(index, &walk);
    (void)put(again, UINT64_C(0x9e3779b97f4a7c15), entry_at(100, DISK_HEAD));
    for (uint64_t i = 0; i < buckets; i++)
        loaded += disk_index_load(again, i, bytes + i * DISK_INDEX_BUCKET_BYTES, keep_even, NULL);
    assert_int_equal(loaded, 5); /* 2, 4, 6, 8 and the body; not 0, whose place is taken */
    assert_true(is_found(again, UINT64_C(0x9e3779b97f4a7c15), 100, NULL));
    assert_true(is_found(again, UINT64_C(0x9e3779b97f4a7c15), 10, NULL));
    assert_false(is_found(again, UINT64_C(0x9e3779b97f4a7c15), 0, NULL));
    assert_false(is_found(again, UINT64_C(0x9e3779b97f4a7c15) * 2, 1, NULL));
    assert_true(is_found(again, UINT64_C(0x9e3779b97f4a7c15) * 3, 2, NULL));
    for (uint64_t i = 0; i < buckets; i++) /* a second time: nothing new */
        assert_int_equal(disk_index_load(again, i, bytes + i * DISK_INDEX_BUCKET_BYTES, keep_even, NULL), 0);
    free(bytes);
    disk_index_free(index);
    disk_index_free(again);
}

static bool keep_any(void *arg, const struct disk_entry *entry)
{
    (void)arg;
    (void)entry;
    return true;
}

static bool is_another(void *arg, uint64_t sight)
{
    return sight != *(const uint64_t *)arg;
}

/* Wherever an entry lies in a table that has grown, it is known by the sight of its key. */
static void test_filter_by_sight(void **state)
{
    struct disk_index *index = index_new(1000, 100000), *again = index_new(1000, 100000);
    uint64_t loaded = 0, hash = UINT64_C(0x9e3779b97f4a7c15), refused;
    struct disk_index_shape shape;
    struct disk_walk walk;

    (void)state;
    for (uint64_t n = 0; n < 5000; n++)
        (void)put(index, hash * (n + 1), entry_at(n, DISK_WHOLE));
    disk_index_shape(index, &shape);
    assert_true(shape.buckets > UINT64_C(1) << shape.first_bits);
    assert_true(err_is_ok(disk_index_reshape(again, &shape)));
    char *bytes = malloc(shape.buckets * DISK_INDEX_BUCKET_BYTES);
    disk_index_walk_begin(index, &walk);
    assert_int_equal(disk_index_copy(index, &walk, shape.buckets, bytes), shape.buckets);
    disk_index_walk_end(index, &walk);
    for (uint64_t n = 0; n < 5000; n += 500) {
        refused = disk_index_sight(again, hash * (n + 1));
        for (uint64_t i = 0; i < shape.buckets; i++)
            disk_index_filter(again, i, bytes + i * DISK_INDEX_BUCKET_BYTES, is_another, &refused);
    }
    for (uint64_t i = 0; i < shape.buckets; i++)
        loaded += disk_index_load(again, i, bytes + i * DISK_INDEX_BUCKET_BYTES, keep_any, NULL);
    assert_int_equal(loaded, 4990);
    for (uint64_t n = 0; n < 5000; n++)
        assert_int_equal(is_found(again, hash * (n + 1), n, NULL), n % 500 != 0);
    free(bytes);
    disk_index_free(index);
    disk_index_free(again);
}

/* A smaller table takes what it has room for. */
static void test_load_into_a_full_table(void **state)
{
    struct disk_index *index = index_new(4, 4);
    struct disk_index_stats stats;
    uint8_t bytes[DISK_INDEX_BUCKET_BYTES];
    uint64_t taken = 0, asked = 0;

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        for (unsigned i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)random_next();
        taken += disk_index_load(index, round % 4, bytes, keep_all, &asked);
    }
    stats = stats_of(index);
    assert_int_equal(stats.entries, taken);
    assert_int_equal(asked, taken);
    assert_true(taken <= 20 && taken >= 15);
    assert_true(stats.lost > 200);
    disk_index_free(index);
}

/* Any bytes: entries perhaps, but nothing breaks, and no key has more entries than it may. */
static void test_load_of_any_bytes(void **state)
{
    struct disk_index *index = index_new(1000, 100000);
    uint8_t bytes[DISK_INDEX_BUCKET_BYTES];
    struct disk_gone gone;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        for (unsigned i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)random_next();
        if (round % 2 == 0)
            memset(bytes + 4 + 12, 0xff, 24); /* twins */
        (void)disk_index_load(index, random_next() % (round % 10 == 0 ? UINT64_MAX : disk_index_buckets(index)), bytes, keep_all, NULL);
    }
    assert_true(stats_of(index).entries > 10000);
    for (uint64_t group = 0; group < UINT64_C(1) << index->first_bits; group++)
        disk_index_remove_all(index, hash_of(index, group, 0x7ffff), ALL_KINDS, &gone);
    disk_index_free(index);
}

static void test_reshape_refuses(void **state)
{
    struct disk_index *index = index_new(1000, 100000);
    uint64_t buckets = disk_index_buckets(index);
    static const struct {
        struct disk_index_shape shape;
        enum err_code code;
    } cases[] = {
        {{.buckets = 1 << 8, .first_bits = 0}, ERR_CORRUPT},       {{.buckets = 1 << 8, .first_bits = 33}, ERR_CORRUPT},
        {{.buckets = (1 << 8) - 1, .first_bits = 8}, ERR_CORRUPT}, {{.buckets = 0, .first_bits = 8}, ERR_CORRUPT},
        {{.buckets = 1025, .first_bits = 2}, ERR_CORRUPT},         {{.buckets = UINT64_MAX, .first_bits = 8}, ERR_CORRUPT},
        {{.buckets = 1 << 16, .first_bits = 8}, ERR_LIMIT},        {{.buckets = 300, .first_bits = UINT32_MAX}, ERR_CORRUPT},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(disk_index_reshape(index, &cases[i].shape).code, cases[i].code);
    assert_int_equal(disk_index_buckets(index), buckets);
    disk_index_free(index);
}

/* A snapshot of a table that began smaller: it takes that shape and grows from there, as far as it may. */
static void test_reshape_to_a_smaller_one(void **state)
{
    struct disk_index *index = index_new(1000, 100000);
    struct disk_index_shape shape = {.buckets = 5, .first_bits = 2}, now;

    (void)state;
    assert_true(err_is_ok(disk_index_reshape(index, &shape)));
    for (uint64_t n = 0; n < 10000; n++)
        (void)put(index, random_next(), entry_at(n, DISK_WHOLE));
    disk_index_shape(index, &now);
    assert_int_equal(now.first_bits, 2);
    assert_int_equal(now.buckets, 4 * 256);
    disk_index_free(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_classes),
        cmocka_unit_test(test_all_fields_come_back),
        cmocka_unit_test(test_kinds_are_chosen),
        cmocka_unit_test(test_put_replaces_its_like),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_remove_all),
        cmocka_unit_test(test_move),
        cmocka_unit_test(test_become_body),
        cmocka_unit_test(test_hits),
        cmocka_unit_test(test_tag_collisions),
        cmocka_unit_test(test_every_bucket_has_its_group),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_growth_is_as_asked),
        cmocka_unit_test(test_full_table),
        cmocka_unit_test(test_who_is_lost),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_walk_sees_and_changes),
        cmocka_unit_test(test_walk_misses_nothing_that_stays),
        cmocka_unit_test(test_hold_keeps_the_size),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_snapshot_bytes),
        cmocka_unit_test(test_load_leaves_what_is_there),
        cmocka_unit_test(test_filter_by_sight),
        cmocka_unit_test(test_load_into_a_full_table),
        cmocka_unit_test(test_load_of_any_bytes),
        cmocka_unit_test(test_reshape_refuses),
        cmocka_unit_test(test_reshape_to_a_smaller_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
