/* Several purges answered as one: at once, late, too late, and when nobody waits any more. */
#include "store/purge_batch.h"

#include "store_test.h"
#include "tests/support/late_tier.h"

static struct {
    struct purge_batch_result result;
    unsigned count;
} told;

static void tell(void *arg, const struct purge_batch_result *result)
{
    assert_ptr_equal(arg, &told);
    told.result = *result;
    told.count++;
}

/* 30 objects, of three tags. */
static struct storage *tags_new(void)
{
    static const char *const names[] = {"a", "b", "c"};
    struct storage *storage = tier_new(16 * MIB);

    for (unsigned i = 0; i < 30; i++) {
        struct store_label label = store_label_of(1, STORE_LABEL_TAG, slice_str(names[i % 3]));
        assert_true(put_whole(storage, (struct put){.object = i, .length = 10, .tenant = 1, .label = label, .has_label = true}));
    }
    told.count = 0;
    return storage;
}

static struct purge_batch *batch_of(struct storage *storage, struct loop *loop)
{
    struct purge_batch *batch = purge_batch_new(storage, loop, 3, SLICE("me"), PURGE_BY_API);

    assert_non_null(batch);
    purge_batch_add(batch, 1, STORE_LABEL_TAG, SLICE("a"), false);
    purge_batch_add(batch, 1, STORE_LABEL_TAG, SLICE("b"), true);
    return batch;
}

static void test_at_once(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tags_new();
    struct purge_record records[4];

    (void)state;
    purge_batch_start(batch_of(storage, loop), tell, &told);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.result.seq, storage_seq(storage));
    assert_int_equal(told.result.matched, 20);
    assert_true(told.result.matched_is_exact);
    assert_true(told.result.durable);
    assert_int_equal(find(storage, 0, NULL), STORE_MISS);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT_SOFT);
    assert_int_equal(find(storage, 2, NULL), STORE_HIT);
    assert_int_equal(purge_log_above(storage_purges(storage), 0, records, 4), 2);
    assert_string_equal(records[0].who, "me");
    assert_string_equal(records[0].what, "a");
    assert_string_equal(records[1].what, "b");
    assert_int_equal(records[0].source, PURGE_BY_API);
    assert_int_equal(records[0].durability, PURGE_SAFE);
    assert_int_equal(records[0].entry.matched, 10);
    storage_free(storage);
    loop_free(loop);
}

static void test_when_the_last_one_is_done(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = late_tier_new(tags_new(), true);

    (void)state;
    purge_batch_start(batch_of(storage, loop), tell, &told);
    assert_int_equal(told.count, 0);
    assert_int_equal(late_tier_release(storage, 1), 1);
    assert_int_equal(told.count, 0);
    assert_int_equal(late_tier_release(storage, 1), 1);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.result.matched, 20);
    assert_true(told.result.durable);
    storage_free(storage);
    loop_free(loop);
}

static void test_abandoned(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = late_tier_new(tags_new(), true), *inner = late_tier_inner(storage);
    struct purge_batch *batch = batch_of(storage, loop);

    (void)state;
    purge_batch_start(batch, tell, &told);
    assert_int_equal(late_tier_release(storage, 1), 1);
    purge_batch_abandon(batch);
    purge_batch_abandon(NULL);
    assert_int_equal(late_tier_cancelled(storage), 1);
    assert_int_equal(told.count, 0);
    assert_int_equal(find(inner, 0, NULL), STORE_MISS); /* it acts all the same */
    storage_free(storage);
    loop_free(loop);
}

/* Alone: what is freed at once, and counted, by the keys that the caller knows. */
static void test_by_keys(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB);
    struct store_label url = store_label_of(1, STORE_LABEL_URL, SLICE("u"));
    hash128 others[3];
    char buffer[80];

    (void)state;
    told.count = 0;
    for (unsigned i = 0; i < 4; i++) /* 0: leads to the others; 3: nobody knows of */
        assert_true(put_whole(storage, (struct put){.object = i, .kind = i == 0 ? STORE_VARY : STORE_ANSWER, .length = 10, .tenant = 1, .label = url, .has_label = true}));
    for (unsigned i = 0; i < 3; i++)
        others[i] = storage_key(storage, key_text(buffer, sizeof(buffer), i == 2 ? 77 : i + 1)).hash;
    for (unsigned round = 0; round < 2; round++) {
        struct purge_batch *batch = purge_batch_new(storage, loop, 1, SLICE(""), PURGE_BY_METHOD);
        struct store_purge *purge = purge_batch_add(batch, 1, STORE_LABEL_URL, SLICE("u"), false);
        purge->key = storage_key(storage, key_text(buffer, sizeof(buffer), 0));
        purge->others = others;
        purge->other_count = 3;
        purge->keys_are_all = round == 0;
        purge_batch_start(batch, tell, &told);
        assert_int_equal(told.result.matched, round == 0 ? 2 : 0);
        assert_int_equal(told.result.matched_is_exact, round == 0);
        assert_int_equal(tier_stats(storage).objects, 1); /* the one nobody knows of waits for the sweep */
    }
    assert_int_equal(find(storage, 3, NULL), STORE_MISS);
    storage_free(storage);
    loop_free(loop);
}

/* An object with several of the tags is counted once, for the first of them. */
static void count_of(unsigned objects, unsigned max)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(64 * MIB);
    struct purge_batch *batch = purge_batch_new(storage, loop, 6, SLICE("me"), PURGE_BY_API);
    static const char *const names[] = {"b", "a", "x", "y", "b", "z"};
    static struct purge_record records[6];
    bool is_exact = objects <= max;

    told.count = 0;
    for (unsigned i = 0; i < objects; i++)
        assert_true(put_whole(storage, (struct put){.object = i, .length = 1, .tenant = (uint16_t)(1 + i % 2), .has_label = true,
                                                    .label = store_label_of(1, STORE_LABEL_TAG, i % 4 == 0 ? SLICE("a") : SLICE("b"))}));
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        purge_batch_add(batch, 1, STORE_LABEL_TAG, slice_str(names[i]), false);
    purge_batch_start(batch, tell, &told);
    assert_int_equal(told.result.matched_is_exact, is_exact);
    assert_in_range(told.result.matched, objects / 2 * (is_exact ? 10 : 9) / 10, objects / 2 * (is_exact ? 10 : 11) / 10);
    assert_int_equal(purge_log_above(storage_purges(storage), 0, records, 6), 6);
    if (is_exact) {
        assert_int_equal(records[0].entry.matched, objects / 4);
        assert_int_equal(records[1].entry.matched, objects / 4);
        assert_true(records[1].entry.matched_is_exact);
    }
    assert_int_equal(records[2].entry.matched + records[3].entry.matched + records[4].entry.matched + records[5].entry.matched, 0);
    assert_int_equal(find(storage, 0, NULL), STORE_MISS);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT);
    storage_free(storage);
    loop_free(loop);
}

static void test_many(void **state)
{
    (void)state;
    count_of(400, PURGE_BATCH_LOOKS_MAX);
    count_of(40000, PURGE_BATCH_LOOKS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_at_once), cmocka_unit_test(test_when_the_last_one_is_done),
                                       cmocka_unit_test(test_abandoned), cmocka_unit_test(test_by_keys), cmocka_unit_test(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
