/* The purge log against a plain list of what was purged, and its retiring. */
#include "store_test.h"

static uint64_t append(struct purge_log *log, uint16_t tenant, uint32_t label, bool soft)
{
    struct purge_entry entry = {
        .tenant = tenant, .kind = label != 0 ? STORE_LABEL_TAG : STORE_LABEL_TENANT, .label = label, .soft = soft};

    return purge_log_append(log, &entry, NULL, NULL);
}

static enum purge_verdict check1(struct purge_log *log, uint64_t seq, uint16_t tenant, uint32_t label)
{
    return purge_log_check(log, seq, tenant, &(struct store_label){label}, 1);
}

static void test_rule(void **state)
{
    struct purge_log *log = purge_log_new(0);

    (void)state;
    assert_int_equal(purge_log_seq(log), 1);
    assert_int_equal(check1(log, 1, 7, 5), PURGE_NONE);
    assert_int_equal(append(log, 7, 5, false), 2);
    assert_int_equal(check1(log, 1, 7, 5), PURGE_HARD); /* its fill began before */
    assert_int_equal(check1(log, 2, 7, 5), PURGE_NONE); /* began after */
    assert_int_equal(check1(log, 1, 7, 6), PURGE_NONE);
    assert_int_equal(check1(log, 1, 8, 5), PURGE_NONE); /* another tenant */
    assert_int_equal(append(log, 7, 6, true), 3);
    assert_int_equal(check1(log, 2, 7, 6), PURGE_SOFT);
    assert_int_equal(append(log, 7, 0, true), 4);
    assert_int_equal(check1(log, 3, 7, 99), PURGE_SOFT);
    assert_int_equal(append(log, 7, 0, false), 5);
    assert_int_equal(check1(log, 4, 7, 99), PURGE_HARD);
    assert_int_equal(purge_log_check(log, 4, 7, NULL, 0), PURGE_HARD);
    assert_int_equal(check1(log, 5, 7, 5), PURGE_NONE);
    purge_log_free(log);
}

struct model_entry {
    uint16_t tenant;
    uint32_t label;
    bool soft;
};

static enum purge_verdict model_check(const struct model_entry *model, uint64_t count, uint64_t seq,
                                      uint16_t tenant, const struct store_label *labels, unsigned n)
{
    enum purge_verdict verdict = PURGE_NONE;

    for (uint64_t i = 0; i < count; i++) { /* entry i has sequence i + 2 */
        bool matches = model[i].tenant == tenant && model[i].label == 0;
        for (unsigned l = 0; l < n; l++)
            matches = matches || (model[i].tenant == tenant && model[i].label == labels[l].hash);
        if (matches && i + 2 > seq)
            verdict = model[i].soft && verdict != PURGE_HARD ? PURGE_SOFT : PURGE_HARD;
    }
    return verdict;
}

static void test_against_model(void **state)
{
    enum {
        ENTRIES = 3000
    };
    static struct model_entry model[ENTRIES];
    struct purge_log *log = purge_log_new(0);
    unsigned seed = 4711;

    (void)state;
    for (unsigned i = 0; i < ENTRIES; i++) {
        model[i] = (struct model_entry){(uint16_t)(1 + (unsigned)rand_r(&seed) % 3),
                                        1 + (uint32_t)rand_r(&seed) % 2000, rand_r(&seed) % 3 == 0};
        if (rand_r(&seed) % 500 == 0)
            model[i].label = 0;
        assert_int_equal(append(log, model[i].tenant, model[i].label, model[i].soft), i + 2);
        for (unsigned k = 0; k < 3; k++) {
            struct store_label labels[3];
            for (unsigned l = 0; l < 3; l++)
                labels[l].hash = 1 + (uint32_t)rand_r(&seed) % 2000;
            uint64_t seq = 1 + (uint64_t)rand_r(&seed) % (i + 2);
            uint16_t tenant = (uint16_t)(1 + (unsigned)rand_r(&seed) % 3);
            if (purge_log_check(log, seq, tenant, labels, 3) !=
                model_check(model, i + 1, seq, tenant, labels, 3))
                fail_msg("seed 4711, entry %u", i);
        }
    }
    purge_log_free(log);
}

static void test_retire_waits_for_pins(void **state)
{
    struct purge_log *log = purge_log_new(0);
    struct purge_log_stats stats;
    uint64_t old = purge_log_pin(log), up_to;

    (void)state;
    assert_int_equal(purge_log_sweeper_new(log), 0);
    append(log, 1, 5, false);
    uint64_t young = purge_log_pin(log);
    append(log, 1, 6, false);
    up_to = purge_log_sweep_begin(log);
    assert_int_equal(up_to, old);
    purge_log_swept(log, 0, up_to);
    assert_int_equal(check1(log, old, 1, 5), PURGE_HARD);
    purge_log_unpin(log, old);
    purge_log_swept(log, 0, up_to); /* the sweep asked while it was pinned */
    assert_int_equal(check1(log, old, 1, 5), PURGE_HARD);
    purge_log_swept(log, 0, purge_log_sweep_begin(log));
    assert_int_equal(check1(log, old, 1, 5), PURGE_NONE);
    assert_int_equal(check1(log, young, 1, 6), PURGE_HARD);
    assert_true(purge_log_is_active(log, 1));
    purge_log_unpin(log, young);
    purge_log_swept(log, 0, purge_log_sweep_begin(log));
    assert_false(purge_log_is_active(log, 1));
    purge_log_stats(log, &stats);
    assert_int_equal(stats.labels, 0);
    assert_int_equal(stats.pins, 0);
    purge_log_free(log);
}

static void test_pins_in_any_order(void **state)
{
    enum {
        PINS = 1000
    };
    struct purge_log *log = purge_log_new(0);
    uint64_t pins[PINS];

    (void)state;
    for (unsigned i = 0; i < PINS; i++) {
        pins[i] = purge_log_pin(log);
        if (i % 3 == 0)
            append(log, 1, i + 1, false);
    }
    for (unsigned i = 0; i < PINS; i++) {
        unsigned k = (i * 617) % PINS;
        uint64_t oldest = UINT64_MAX;
        purge_log_unpin(log, pins[k]);
        pins[k] = UINT64_MAX;
        for (unsigned j = 0; j < PINS; j++)
            oldest = MIN(oldest, pins[j]);
        if (oldest != UINT64_MAX)
            assert_int_equal(purge_log_sweep_begin(log), oldest);
    }
    assert_int_equal(purge_log_sweep_begin(log), purge_log_seq(log));
    purge_log_free(log);
}

static void test_full_table_purges_the_tenant(void **state)
{
    struct purge_log *log = purge_log_new(100);
    struct purge_log_stats stats;

    (void)state;
    assert_int_equal(purge_log_sweeper_new(log), 0);
    for (unsigned i = 1; i <= 100; i++)
        append(log, 1, i, false);
    assert_int_equal(check1(log, 50, 1, 4000), PURGE_NONE);
    append(log, 1, 100, false); /* a known label has its place */
    uint64_t seq = append(log, 1, 4000, true);
    assert_int_equal(check1(log, seq - 1, 1, 5000), PURGE_SOFT);
    seq = append(log, 2, 4000, false);
    assert_int_equal(check1(log, seq - 1, 2, 5000), PURGE_HARD);
    assert_int_equal(check1(log, seq, 2, 4000), PURGE_NONE);
    purge_log_stats(log, &stats);
    assert_int_equal(stats.overflows, 2);
    assert_int_equal(stats.labels, 100);
    purge_log_swept(log, 0, purge_log_seq(log));
    append(log, 2, 4000, false);
    purge_log_stats(log, &stats);
    assert_int_equal(stats.overflows, 2);
    purge_log_free(log);
}

static uint64_t append_noted(struct purge_log *log, uint16_t tenant, uint32_t label, const char *who, const char *what)
{
    struct purge_entry entry = {.tenant = tenant, .kind = STORE_LABEL_TAG, .label = label};
    struct purge_note note = {slice_str(who), slice_str(what), PURGE_BY_METHOD};

    return purge_log_append(log, &entry, &note, NULL);
}

static void test_history(void **state)
{
    struct purge_log *log = purge_log_new(0);
    static struct purge_record records[10];

    (void)state;
    assert_int_equal(purge_log_above(log, 0, records, 10), 0);
    assert_int_equal(purge_log_below(log, UINT64_MAX, records, 10), 0);
    assert_int_equal(purge_log_oldest(log), 0);
    for (unsigned i = 0; i < PURGE_RING_ENTRIES + 50; i++)
        purge_log_counted(log, append_noted(log, 3, 1 + i % 7, "somebody", "a tag"), i, true);
    uint64_t last = purge_log_seq(log), oldest = purge_log_oldest(log);
    assert_int_equal(oldest, last - PURGE_RING_ENTRIES + 1);
    assert_int_equal(purge_log_above(log, last - 4, records, 10), 4);
    assert_int_equal(records[0].entry.seq, last - 3);
    assert_int_equal(records[3].entry.seq, last);
    assert_int_equal(records[3].entry.matched, PURGE_RING_ENTRIES + 49);
    assert_true(records[3].entry.matched_is_exact);
    assert_string_equal(records[3].who, "somebody");
    assert_string_equal(records[3].what, "a tag");
    assert_int_equal(records[3].source, PURGE_BY_METHOD);
    assert_int_equal(records[3].durability, PURGE_UNSETTLED);
    purge_log_settled(log, last, true);
    purge_log_settled(log, last - 1, false);
    assert_int_equal(purge_log_above(log, last - 2, records, 10), 2);
    assert_int_equal(records[0].durability, PURGE_UNSAFE);
    assert_int_equal(records[1].durability, PURGE_SAFE);
    assert_int_equal(purge_log_above(log, 0, records, 10), 10); /* what has fallen out is passed over */
    assert_int_equal(records[0].entry.seq, oldest);
    assert_int_equal(purge_log_below(log, UINT64_MAX, records, 10), 10);
    assert_int_equal(records[0].entry.seq, last);
    assert_int_equal(records[9].entry.seq, last - 9);
    assert_int_equal(purge_log_below(log, oldest + 2, records, 10), 2);
    assert_int_equal(records[0].entry.seq, oldest + 1);
    assert_int_equal(purge_log_below(log, oldest, records, 10), 0);
    purge_log_counted(log, 2, 99, true); /* long forgotten */
    purge_log_settled(log, 2, true);
    assert_int_equal(purge_log_above(log, last, records, 10), 0);
    purge_log_free(log);
}

static void test_history_bounds_texts(void **state)
{
    static char text[2000];
    struct purge_log *log = purge_log_new(0);
    struct purge_log_stats before, after;
    struct purge_record record;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    purge_log_stats(log, &before);
    for (unsigned i = 0; i < 3 * PURGE_RING_ENTRIES; i++)
        append_noted(log, 1, 5, text, text);
    purge_log_stats(log, &after);
    assert_int_equal(after.bytes - before.bytes, PURGE_RING_ENTRIES * (PURGE_WHO_BYTES + PURGE_WHAT_BYTES));
    assert_int_equal(purge_log_below(log, UINT64_MAX, &record, 1), 1);
    assert_int_equal(strlen(record.who), PURGE_WHO_BYTES);
    assert_int_equal(strlen(record.what), PURGE_WHAT_BYTES);
    append(log, 1, 5, false);
    assert_int_equal(purge_log_below(log, UINT64_MAX, &record, 1), 1);
    assert_string_equal(record.who, "");
    assert_string_equal(record.what, "");
    purge_log_free(log);
}

/* What a journal gives back is in the history, without texts; sequences have gaps then. */
static void test_history_of_before(void **state)
{
    struct purge_log *log = purge_log_new(0);
    struct purge_record records[4];

    (void)state;
    for (uint64_t seq = 10; seq <= 30; seq += 10) {
        struct purge_entry entry = {
            .seq = seq, .wall_ms = 5000, .tenant = 2, .kind = STORE_LABEL_TAG, .label = 9, .soft = true, .matched = seq};
        purge_log_restore(log, &entry);
    }
    purge_log_begin_at(log, 1000);
    assert_int_equal(append_noted(log, 2, 9, "me", "tag"), 1001);
    purge_log_counted(log, 20, 77, true);
    assert_int_equal(purge_log_above(log, 10, records, 4), 3);
    assert_int_equal(records[0].entry.seq, 20);
    assert_int_equal(records[0].entry.matched, 77);
    assert_int_equal(records[0].entry.wall_ms, 5000);
    assert_true(records[0].is_restored);
    assert_int_equal(records[0].durability, PURGE_SAFE);
    assert_string_equal(records[0].who, "");
    assert_int_equal(records[1].entry.seq, 30);
    assert_false(records[2].is_restored);
    assert_string_equal(records[2].who, "me");
    assert_int_equal(purge_log_below(log, 1001, records, 1), 1);
    assert_int_equal(records[0].entry.seq, 30);
    assert_int_equal(purge_log_oldest(log), 10);
    purge_log_free(log);
}

static struct purge_record record_of(uint64_t seq, const char *who)
{
    struct purge_record record = {.entry = {.seq = seq, .wall_ms = 5000, .tenant = 2, .kind = STORE_LABEL_TAG, .soft = true, .matched = 1},
                                  .source = PURGE_BY_API, .durability = PURGE_UNSETTLED};

    snprintf(record.who, sizeof(record.who), "%s", who);
    snprintf(record.what, sizeof(record.what), "tag %d", (int)seq);
    return record;
}

/* What was written down has the texts; the journal has the last word on what it knows. */
static void test_history_recalled(void **state)
{
    struct purge_log *log = purge_log_new(0);
    struct purge_record written[] = {record_of(5, "old"), record_of(10, "first"), record_of(15, "between"), record_of(20, "another"),
                                     record_of(30, "last"), record_of(990, "later"), record_of(1001, "never")};
    struct purge_record records[10];

    (void)state;
    written[3].entry.wall_ms = 4000; /* another purge, of another log */
    for (uint64_t seq = 10; seq <= 30; seq += 10) {
        struct purge_entry entry = {
            .seq = seq, .wall_ms = 5000, .tenant = 2, .kind = STORE_LABEL_TAG, .label = 9, .soft = true, .matched = seq};
        purge_log_restore(log, &entry);
    }
    purge_log_begin_at(log, 1000);
    assert_true(purge_log_recall(log, written, ARRAY_LEN(written)));
    assert_int_equal(purge_log_seq(log), 1000);
    assert_int_equal(purge_log_above(log, 0, records, 10), 6);
    static const struct {
        uint64_t seq;
        const char *who, *what;
        uint64_t matched;
        uint8_t durability;
    } expected[] = {{5, "old", "tag 5", 1, PURGE_UNSETTLED}, {10, "first", "tag 10", 10, PURGE_SAFE}, {15, "between", "tag 15", 1, PURGE_UNSETTLED},
                    {20, "", "", 20, PURGE_SAFE}, {30, "last", "tag 30", 30, PURGE_SAFE}, {990, "later", "tag 990", 1, PURGE_UNSETTLED}};
    for (unsigned i = 0; i < ARRAY_LEN(expected); i++) {
        assert_int_equal(records[i].entry.seq, expected[i].seq);
        assert_string_equal(records[i].who, expected[i].who);
        assert_string_equal(records[i].what, expected[i].what);
        assert_int_equal(records[i].entry.matched, expected[i].matched);
        assert_int_equal(records[i].durability, expected[i].durability);
        assert_int_equal(records[i].is_restored, i == 3);
        assert_int_equal(records[i].source, i == 3 ? 0 : PURGE_BY_API);
    }
    assert_int_equal(check1(log, 4, 2, 9), PURGE_SOFT);
    assert_int_equal(check1(log, 500, 2, 9), PURGE_NONE); /* what is written down alone purges nothing */
    purge_log_free(log);
}

static void test_history_recalls_no_more_than_it_has_room_for(void **state)
{
    static struct purge_record written[PURGE_RING_ENTRIES];
    struct purge_log *log = purge_log_new(0);
    struct purge_log_stats before, after;
    struct purge_record record;

    (void)state;
    purge_log_stats(log, &before);
    for (unsigned i = 0; i < PURGE_RING_ENTRIES; i++)
        written[i] = record_of(100 + i, "x");
    for (uint64_t seq = 1; seq <= 10; seq++)
        purge_log_restore(log, &(struct purge_entry){.seq = seq, .tenant = 1, .kind = STORE_LABEL_TAG, .label = 1});
    purge_log_begin_at(log, 10000);
    assert_true(purge_log_recall(log, written, PURGE_RING_ENTRIES));
    assert_int_equal(purge_log_oldest(log), 100);
    assert_int_equal(append_noted(log, 2, 9, "me", "tag"), 10001);
    assert_int_equal(purge_log_oldest(log), 101);
    assert_int_equal(purge_log_above(log, 100 + PURGE_RING_ENTRIES - 1, &record, 1), 1);
    assert_string_equal(record.who, "me");
    for (unsigned i = 0; i < PURGE_RING_ENTRIES; i++)
        append(log, 1, 5, false);
    purge_log_stats(log, &after);
    assert_int_equal(after.bytes, before.bytes); /* texts are given back */
    purge_log_free(log);
}

static void test_everybody(void **state)
{
    struct purge_log *log = purge_log_new(0);

    (void)state;
    assert_int_equal(purge_log_sweeper_new(log), 0);
    append(log, STORE_TENANT_ALL, 0, true);
    assert_int_equal(check1(log, 1, 1, 5), PURGE_SOFT);
    assert_int_equal(check1(log, 1, UINT16_MAX, 5), PURGE_SOFT);
    uint64_t seq = append(log, STORE_TENANT_ALL, 0, false);
    assert_int_equal(check1(log, seq - 1, 1, 5), PURGE_HARD);
    assert_int_equal(check1(log, seq - 1, 777, 5), PURGE_HARD);
    assert_int_equal(check1(log, seq, 777, 5), PURGE_NONE);
    purge_log_swept(log, 0, purge_log_sweep_begin(log));
    assert_false(purge_log_is_active(log, 1));
    assert_false(purge_log_is_active(log, 777));
    purge_log_free(log);
    log = purge_log_new(0); /* from a journal */
    purge_log_restore(log, &(struct purge_entry){.seq = 50, .tenant = STORE_TENANT_ALL, .kind = STORE_LABEL_TENANT});
    assert_int_equal(check1(log, 49, 12, 5), PURGE_HARD);
    purge_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_retire_waits_for_pins),
        cmocka_unit_test(test_pins_in_any_order),
        cmocka_unit_test(test_full_table_purges_the_tenant),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_history_bounds_texts),
        cmocka_unit_test(test_history_of_before),
        cmocka_unit_test(test_history_recalled),
        cmocka_unit_test(test_history_recalls_no_more_than_it_has_room_for),
        cmocka_unit_test(test_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
