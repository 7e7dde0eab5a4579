/* Quotas of tenants in the RAM tier: what is guaranteed stays, soft and hard quotas hold. */
#include "store_test.h"

#define TIER  (4 * MIB)
#define BODY  8000
#define OWNER 1
#define FLOOD 2

static void quota(struct storage *storage, uint16_t tenant, uint64_t guaranteed, uint64_t soft, uint64_t hard)
{
    storage_quota_set(storage, 0, tenant, &(struct store_quota){guaranteed, soft, hard});
}

static bool put(struct storage *storage, uint16_t tenant, uint64_t object)
{
    return put_whole(storage, (struct put){.object = object, .length = BODY, .tenant = tenant});
}

static void put_many(struct storage *storage, uint16_t tenant, uint64_t from, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        (void)put(storage, tenant, from + i);
        assert_true(tier_used(storage) <= TIER);
    }
}

static unsigned count_found(struct storage *storage, uint64_t from, unsigned count)
{
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++)
        found += find(storage, from + i, NULL) == STORE_HIT;
    return found;
}

static void test_what_is_guaranteed_outlives_a_flood(void **state)
{
    (void)state;
    for (int is_guaranteed = 0; is_guaranteed < 2; is_guaranteed++) {
        struct storage *storage = tier_new(TIER);
        quota(storage, OWNER, is_guaranteed ? 2 * MIB : 0, STORE_NO_LIMIT, STORE_NO_LIMIT);
        put_many(storage, OWNER, 0, 100);
        put_many(storage, FLOOD, 1000, 5000);
        if (is_guaranteed)
            assert_int_equal(count_found(storage, 0, 100), 100);
        else
            assert_true(count_found(storage, 0, 100) < 50);
        assert_true(tier_stats(storage).evictions > 4000);
        assert_true(find(storage, 1000 + 4999, NULL) == STORE_HIT); /* who floods still stores */
        storage_free(storage);
    }
}

/* Down to its share, and no further. */
static void test_what_is_above_the_guarantee_goes(void **state)
{
    struct storage *storage = tier_new(TIER);

    (void)state;
    quota(storage, OWNER, MIB, STORE_NO_LIMIT, STORE_NO_LIMIT);
    put_many(storage, OWNER, 0, 300);
    assert_true(storage_tenant_bytes(storage, OWNER) > 2 * MIB);
    put_many(storage, FLOOD, 1000, 5000);
    assert_true(storage_tenant_bytes(storage, OWNER) <= MIB);
    assert_true(storage_tenant_bytes(storage, OWNER) > MIB - 2 * (BODY + 1000));
    storage_free(storage);
}

/* Everything is somebody's guaranteed share: each takes the place of its own. */
static void test_who_may_take_from_nobody_takes_its_own(void **state)
{
    struct storage *storage = tier_new(TIER);

    (void)state;
    quota(storage, OWNER, TIER, STORE_NO_LIMIT, STORE_NO_LIMIT);
    put_many(storage, OWNER, 0, 1000);
    assert_true(find(storage, 999, NULL) == STORE_HIT);
    assert_false(put(storage, FLOOD, 2000));
    assert_int_equal(find(storage, 2000, NULL), STORE_MISS);
    storage_free(storage);
}

static void test_a_hard_quota_is_never_exceeded(void **state)
{
    struct storage *storage = tier_new(TIER);
    uint64_t hard = 400000;

    (void)state;
    put_many(storage, OWNER, 0, 100);
    quota(storage, FLOOD, 0, STORE_NO_LIMIT, hard);
    for (unsigned i = 0; i < 2000; i++) {
        assert_true(put(storage, FLOOD, 1000 + i));
        assert_true(storage_tenant_bytes(storage, FLOOD) <= hard);
        assert_int_equal(find(storage, 1000 + i, NULL), STORE_HIT);
    }
    assert_int_equal(count_found(storage, 0, 100), 100); /* there was no need to take anything of others */
    assert_true(storage_tenant_bytes(storage, FLOOD) > hard / 2);
    storage_free(storage);
}

static void test_what_no_hard_quota_holds_is_not_kept(void **state)
{
    struct storage *storage = tier_new(TIER);
    char buffer[80];
    struct store_fill fill = {.length_bytes = BODY, .tenant = FLOOD, .kind = STORE_ANSWER};

    (void)state;
    quota(storage, FLOOD, 0, STORE_NO_LIMIT, BODY / 2);
    fill.key = storage_key(storage, key_text(buffer, sizeof(buffer), 1));
    fill.seq = storage_seq(storage);
    assert_int_equal(storage_get_miss_handler(storage, &fill), STORE_DONE);
    assert_int_equal(fill.result.code, ERR_REFUSED);
    assert_true(fill.over_quota);
    fill.private_copy = true; /* for who asked, it is there all the same, and nobody's */
    assert_int_equal(storage_get_miss_handler(storage, &fill), STORE_DONE);
    assert_true(err_is_ok(fill.result));
    assert_false(fill.over_quota);
    assert_int_equal(put_bytes(fill.miss_handler, 1, BODY), BODY);
    assert_int_equal(storage_tenant_bytes(storage, FLOOD), 0);
    miss_handler_finish(fill.miss_handler);
    assert_int_equal(find(storage, 1, NULL), STORE_MISS);
    storage_free(storage);
}

static void test_a_body_of_unknown_length_keeps_to_the_quota(void **state)
{
    struct storage *storage = tier_new(TIER);

    (void)state;
    quota(storage, FLOOD, 0, STORE_NO_LIMIT, 100000);
    struct miss_handler *miss = put_begin(storage, (struct put){.object = 1, .length = -1, .tenant = FLOOD}, NULL);
    assert_non_null(miss);
    uint64_t written = put_bytes(miss, 1, 300000);
    assert_true(written < 300000);
    assert_true(storage_tenant_bytes(storage, FLOOD) <= 100000);
    miss_handler_drop(miss);
    assert_int_equal(storage_tenant_bytes(storage, FLOOD), 0);
    storage_free(storage);
}

/* A reload makes it less: what is above goes when more comes. */
static void test_a_hard_quota_is_lowered(void **state)
{
    struct storage *storage = tier_new(TIER);

    (void)state;
    put_many(storage, FLOOD, 0, 100);
    quota(storage, FLOOD, 0, STORE_NO_LIMIT, 200000);
    assert_true(storage_tenant_bytes(storage, FLOOD) > 700000);
    assert_true(put(storage, FLOOD, 500));
    assert_true(storage_tenant_bytes(storage, FLOOD) <= 200000);
    assert_int_equal(find(storage, 500, NULL), STORE_HIT);
    quota(storage, FLOOD, 0, STORE_NO_LIMIT, STORE_NO_LIMIT);
    put_many(storage, FLOOD, 1000, 100);
    assert_true(storage_tenant_bytes(storage, FLOOD) > 700000);
    storage_free(storage);
}

/* Nothing more comes: house-keeping takes it down, a bounded piece at a time, and no further than to the quota. */
static void test_a_lowered_quota_is_reached_without_new_objects(void **state)
{
    struct storage *storage = tier_new(TIER);
    uint64_t hard = 200000, before, turns = 0;

    (void)state;
    put_many(storage, FLOOD, 0, 150);
    put_many(storage, OWNER, 1000, 50);
    for (unsigned i = 0; i < 150; i++) /* what was used lately goes as well, when its turn has come often enough */
        assert_int_equal(find(storage, i, NULL), STORE_HIT);
    before = storage_tenant_bytes(storage, OWNER);
    quota(storage, FLOOD, 0, STORE_NO_LIMIT, hard);
    assert_true(storage_tenant_bytes(storage, FLOOD) > 5 * hard);
    while (storage_tenant_bytes(storage, FLOOD) > hard) {
        storage_turn(storage, 0);
        assert_true(++turns < 10);
    }
    assert_true(turns > 1); /* objects that were used are passed over at first */
    assert_true(storage_tenant_bytes(storage, FLOOD) > hard - 2 * BODY);
    assert_int_equal(storage_tenant_bytes(storage, OWNER), before);
    uint64_t evictions = tier_stats(storage).evictions;
    for (unsigned i = 0; i < 10; i++)
        storage_turn(storage, 0);
    assert_int_equal(tier_stats(storage).evictions, evictions);
    storage_free(storage);
}

/* Many are looked at in several turns: none takes long. */
static void test_a_lowered_quota_stalls_nothing(void **state)
{
    struct storage *storage = tier_new(64 * MIB);
    unsigned turns = 0;

    (void)state;
    for (unsigned i = 0; i < 20000; i++)
        (void)put_whole(storage, (struct put){.object = i, .length = 100, .tenant = FLOOD});
    assert_int_equal(tier_stats(storage).objects, 20000);
    quota(storage, FLOOD, 0, STORE_NO_LIMIT, 0);
    for (uint64_t last = 20000; last > 0; turns++) {
        storage_turn(storage, 0);
        uint64_t now = tier_stats(storage).objects;
        assert_true(last - now <= 4096 + 64);
        last = now;
        assert_true(turns < 20);
    }
    assert_true(turns >= 4);
    assert_int_equal(storage_tenant_bytes(storage, FLOOD), 0);
    storage_free(storage);
}

static void test_above_the_soft_quota_the_second_request_counts(void **state)
{
    struct storage *storage = tier_new(TIER);

    (void)state;
    quota(storage, FLOOD, 0, 200000, STORE_NO_LIMIT);
    put_many(storage, FLOOD, 0, 100);
    uint64_t bytes = storage_tenant_bytes(storage, FLOOD);
    assert_true(bytes > 200000 && bytes < 200000 + 2 * (BODY + 1000));
    assert_false(put(storage, FLOOD, 500));
    assert_int_equal(find(storage, 500, NULL), STORE_MISS);
    assert_true(put(storage, FLOOD, 500));
    assert_int_equal(find(storage, 500, NULL), STORE_HIT);
    assert_true(put(storage, FLOOD, 500)); /* in its own place */
    assert_true(put(storage, OWNER, 600)); /* others are not concerned */
    storage_free(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_guaranteed_outlives_a_flood),
        cmocka_unit_test(test_what_is_above_the_guarantee_goes),
        cmocka_unit_test(test_who_may_take_from_nobody_takes_its_own),
        cmocka_unit_test(test_a_hard_quota_is_never_exceeded),
        cmocka_unit_test(test_what_no_hard_quota_holds_is_not_kept),
        cmocka_unit_test(test_a_body_of_unknown_length_keeps_to_the_quota),
        cmocka_unit_test(test_a_hard_quota_is_lowered),
        cmocka_unit_test(test_a_lowered_quota_is_reached_without_new_objects),
        cmocka_unit_test(test_a_lowered_quota_stalls_nothing),
        cmocka_unit_test(test_above_the_soft_quota_the_second_request_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
