/* Token buckets. */
#include "tenant/limits.h"

#define S UINT64_C(1000000000)

static void test_a_rate(void **state)
{
    struct limit limit = limit_of(&(struct conf_rate){.requests = 2, .per_s = 1}, 3);
    struct bucket bucket = {0};
    uint64_t wait_ns = 0, now_ns = 100 * S;
    (void)state;

    for (unsigned i = 0; i < 3; i++)
        assert_true(bucket_take(&bucket, &limit, now_ns, &wait_ns));
    assert_false(bucket_take(&bucket, &limit, now_ns, &wait_ns));
    assert_int_equal(wait_ns, S / 2);
    assert_false(bucket_take(&bucket, &limit, now_ns + S / 2 - 1, &wait_ns));
    assert_true(bucket_take(&bucket, &limit, now_ns + S / 2, &wait_ns));
    assert_false(bucket_take(&bucket, &limit, now_ns + S / 2, &wait_ns));
    /* a long rest fills it, no further than the burst */
    for (unsigned i = 0; i < 3; i++)
        assert_true(bucket_take(&bucket, &limit, now_ns + 100 * S, &wait_ns));
    assert_false(bucket_take(&bucket, &limit, now_ns + 100 * S, &wait_ns));
}

static void test_limits_of_rates(void **state)
{
    struct limit limit;
    uint64_t wait_ns;
    struct bucket bucket = {0};
    (void)state;

    limit = limit_of(&(struct conf_rate){0}, 5);
    assert_int_equal(limit.every_ns, 0);
    assert_true(bucket_take(&bucket, &limit, 0, &wait_ns));
    limit = limit_of(&(struct conf_rate){.requests = 100, .per_s = 1}, 0); /* a second's */
    assert_int_equal(limit.depth_ns, S);
    limit = limit_of(&(struct conf_rate){.requests = 1, .per_s = 60}, 0); /* one at least */
    assert_int_equal(limit.depth_ns, 60 * S);
    limit = limit_of(&(struct conf_rate){.requests = UINT32_MAX, .per_s = 1}, 0);
    assert_true(limit.every_ns >= 1 && limit.depth_ns >= limit.every_ns);
    limit = limit_of(&(struct conf_rate){.requests = 1, .per_s = UINT32_MAX}, UINT32_MAX); /* no overflow */
    assert_true(limit.depth_ns >= limit.every_ns && limit.every_ns > S);
}

static void address_of(uint8_t address[16], uint32_t ipv4)
{
    memset(address, 0, 16);
    address[10] = address[11] = 0xff;
    for (unsigned i = 0; i < 4; i++)
        address[12 + i] = (uint8_t)(ipv4 >> (24 - 8 * i));
}

static void test_each_client_has_its_own(void **state)
{
    struct limit limit = limit_of(&(struct conf_rate){.requests = 1, .per_s = 1}, 1);
    struct client_buckets *buckets = NULL;
    uint8_t a[16], b[16], six[16] = {0x20, 0x01, [7] = 1, [15] = 1}, same[16] = {0x20, 0x01, [7] = 1, [15] = 2},
                          other[16] = {0x20, 0x01, [7] = 2};
    uint64_t wait_ns = 0;
    (void)state;

    assert_true(err_is_ok(client_buckets_new(&buckets)));
    address_of(a, 0x0a000001);
    address_of(b, 0x0a000002);
    assert_true(client_buckets_take(buckets, 1, a, &limit, S, &wait_ns));
    assert_false(client_buckets_take(buckets, 1, a, &limit, S, &wait_ns));
    assert_int_equal(wait_ns, S);
    assert_true(client_buckets_take(buckets, 2, a, &limit, S, &wait_ns)); /* another limit */
    assert_true(client_buckets_take(buckets, 1, b, &limit, S, &wait_ns));
    assert_true(client_buckets_take(buckets, 1, six, &limit, S, &wait_ns));
    assert_false(client_buckets_take(buckets, 1, same, &limit, S, &wait_ns)); /* a /64 is one client */
    assert_true(client_buckets_take(buckets, 1, other, &limit, S, &wait_ns));
    assert_true(client_buckets_take(buckets, 1, a, &limit, 2 * S, &wait_ns));
    client_buckets_unref(buckets);
}

/* More clients than there are buckets: nobody is refused who has not had its share. */
static void test_a_flood_refuses_nobody_wrongly(void **state)
{
    struct limit limit = limit_of(&(struct conf_rate){.requests = 1, .per_s = 1}, 1);
    struct client_buckets *buckets = NULL;
    uint8_t address[16];
    uint64_t wait_ns;
    (void)state;

    assert_true(err_is_ok(client_buckets_new(&buckets)));
    for (uint32_t i = 0; i < 4 * LIMITS_SETS * LIMITS_WAYS; i++) {
        address_of(address, i);
        assert_true(client_buckets_take(buckets, 1, address, &limit, S, &wait_ns));
    }
    client_buckets_unref(client_buckets_ref(buckets));
    client_buckets_unref(buckets);
}

/* Only what is taken counts. */
static void test_a_look_takes_nothing(void **state)
{
    struct limit limit = limit_of(&(struct conf_rate){.requests = 1, .per_s = 1}, 2);
    struct client_buckets *buckets = NULL;
    uint8_t address[16];
    uint64_t wait_ns = 0;
    (void)state;

    assert_true(err_is_ok(client_buckets_new(&buckets)));
    address_of(address, 1);
    for (unsigned i = 0; i < 5; i++)
        assert_true(client_buckets_look(buckets, 1, address, &limit, S, &wait_ns));
    assert_true(client_buckets_take(buckets, 1, address, &limit, S, &wait_ns));
    assert_true(client_buckets_take(buckets, 1, address, &limit, S, &wait_ns));
    assert_false(client_buckets_look(buckets, 1, address, &limit, S, &wait_ns));
    assert_int_equal(wait_ns, S);
    client_buckets_unref(buckets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_rate),
        cmocka_unit_test(test_limits_of_rates),
        cmocka_unit_test(test_each_client_has_its_own),
        cmocka_unit_test(test_a_flood_refuses_nobody_wrongly),
        cmocka_unit_test(test_a_look_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
