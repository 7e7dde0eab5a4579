/* The wrappers: deadlines, cancel, labels, over a tier that is late. */
#include "store_test.h"
#include "tests/support/late_tier.h"

static unsigned done_count;

static void count_done(struct store_op *op)
{
    (void)op;
    done_count++;
}

static struct store_lookup lookup_of(struct storage *storage, struct loop *loop, slice key)
{
    return (struct store_lookup){.op = {.loop = loop, .done = count_done}, .key = storage_key(storage, key)};
}

static struct storage *late_new(bool early)
{
    struct storage *inner = tier_new(16 * MIB);

    assert_true(put_whole(inner, (struct put){.object = 1, .length = 100}));
    done_count = 0;
    return late_tier_new(inner, early);
}

static void test_late_and_shuffled(void **state)
{
    enum { CALLS = 50 };
    struct loop *loop = test_loop_new();
    struct storage *storage = late_new(false);
    struct store_lookup lookups[CALLS];
    char buffer[80];

    (void)state;
    late_tier_shuffle(storage, 42);
    for (unsigned i = 0; i < CALLS; i++) {
        lookups[i] = lookup_of(storage, loop, key_text(buffer, sizeof(buffer), 1));
        lookups[i].key.full = key_text(buffer, sizeof(buffer), 1);
        assert_int_equal(storage_lookup(storage, &lookups[i]), STORE_PENDING);
    }
    assert_int_equal(late_tier_release(storage, 20), 20);
    assert_int_equal(done_count, 20);
    assert_int_equal(late_tier_release(storage, 100), CALLS - 20);
    for (unsigned i = 0; i < CALLS; i++) {
        assert_int_equal(lookups[i].found, STORE_HIT);
        store_object_unref(lookups[i].object);
    }
    storage_free(storage);
    loop_free(loop);
}

static void wait_for_done(struct loop *loop, unsigned count)
{
    for (unsigned i = 0; i < 1000 && done_count < count; i++)
        (void)loop_turn(loop, loop_now_ns(loop) + 5000000);
    assert_int_equal(done_count, count);
}

static void deadlines(bool early)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = late_new(early), *inner = late_tier_inner(storage);
    uint64_t base = tier_used(inner);
    char buffer[80], other[80];
    struct store_lookup lookup = lookup_of(storage, loop, key_text(buffer, sizeof(buffer), 1));
    struct store_fill fill = {.op = {.loop = loop, .done = count_done},
                              .key = storage_key(storage, key_text(other, sizeof(other), 2)),
                              .seq = storage_seq(storage),
                              .length_bytes = 100000};
    struct store_update update = {.op = {.loop = loop, .done = count_done}, .seq = storage_seq(storage)};
    struct store_purge purge = {.op = {.loop = loop, .done = count_done}, .tenant = 5, .kind = LABEL_TENANT};

    assert_int_equal(find(inner, 1, &update.object), STORE_HIT);
    late_tier_hold_forever(storage, true);
    (void)loop_turn(loop, 0);
    lookup.op.deadline_ns = fill.op.deadline_ns = update.op.deadline_ns = purge.op.deadline_ns =
        loop_now_ns(loop) + 20000000;
    assert_int_equal(storage_lookup(storage, &lookup), STORE_PENDING);
    assert_int_equal(storage_get_miss_handler(storage, &fill), STORE_PENDING);
    assert_int_equal(storage_update_meta(storage, &update), STORE_PENDING);
    assert_int_equal(storage_purge(storage, &purge), STORE_PENDING);
    assert_int_equal(late_tier_release(storage, 10), 0);
    wait_for_done(loop, 4);
    assert_int_equal(lookup.found, STORE_LATE);
    assert_null(lookup.object);
    assert_true(lookup.op.late);
    assert_int_equal(fill.result.code, ERR_TIMEOUT);
    assert_null(fill.miss_handler);
    assert_int_equal(update.result.code, ERR_TIMEOUT);
    assert_null(update.updated);
    assert_false(purge.durable);
    assert_int_equal(late_tier_cancelled(storage), 4);
    storage_cancel(&lookup.op); /* no longer pending: nothing */
    store_object_unref(update.object);
    assert_int_equal(tier_used(inner), base); /* all results were let go */
    storage_free(storage);
    loop_free(loop);
}

static void test_deadlines(void **state)
{
    (void)state;
    deadlines(false);
    deadlines(true);
}

static void test_cancel(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = late_new(true);
    char buffer[80];
    struct store_lookup lookup = lookup_of(storage, loop, key_text(buffer, sizeof(buffer), 1));

    (void)state;
    lookup.op.deadline_ns = loop_now_ns(loop) + 1000000;
    assert_int_equal(storage_lookup(storage, &lookup), STORE_PENDING);
    storage_cancel(&lookup.op);
    storage_cancel(&lookup.op);
    for (unsigned i = 0; i < 10; i++)
        (void)loop_turn(loop, loop_now_ns(loop) + 1000000);
    assert_int_equal(done_count, 0);
    assert_int_equal(late_tier_pending(storage), 0);
    storage_free(storage);
    loop_free(loop);
}

static void test_labels(void **state)
{
    struct store_label a = store_label_of(1, LABEL_TAG, SLICE("news"));

    (void)state;
    assert_int_equal(a.hash, store_label_of(1, LABEL_TAG, SLICE("news")).hash);
    assert_int_not_equal(a.hash, store_label_of(2, LABEL_TAG, SLICE("news")).hash);
    assert_int_not_equal(a.hash, store_label_of(1, LABEL_HOST, SLICE("news")).hash);
    assert_int_not_equal(a.hash, store_label_of(1, LABEL_TAG, SLICE("newt")).hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_and_shuffled),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
