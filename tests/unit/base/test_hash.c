#include "base/hash.h"

static void secret_fill(uint8_t *secret, unsigned seed)
{
    for (unsigned i = 0; i < HASH_SECRET_BYTES; i++)
        secret[i] = (uint8_t)(i * 37 + seed * 101 + (i * seed >> 3));
}

/* Short inputs too: XXH3 reads different parts of the secret for different lengths. */
static void test_another_secret_another_hash(void **state)
{
    uint8_t one[HASH_SECRET_BYTES], other[HASH_SECRET_BYTES];
    char bytes[1000];

    (void)state;
    secret_fill(one, 1);
    secret_fill(other, 2);
    memset(bytes, 'k', sizeof(bytes));
    for (size_t len = 1; len < sizeof(bytes); len++) {
        hash128 a = hash128_keyed(slice_of(bytes, len), one), b = hash128_keyed(slice_of(bytes, len), other);
        assert_false(hash128_eq(a, b));
        assert_true(hash128_eq(a, hash128_keyed(slice_of(bytes, len), one)));
    }
}

static void test_every_byte_counts(void **state)
{
    uint8_t secret[HASH_SECRET_BYTES];
    char bytes[300] = {0};
    hash128 before;

    (void)state;
    secret_fill(secret, 3);
    before = hash128_keyed(slice_of(bytes, sizeof(bytes)), secret);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = 1;
        assert_false(hash128_eq(before, hash128_keyed(slice_of(bytes, sizeof(bytes)), secret)));
        bytes[i] = 0;
    }
    assert_false(hash128_eq(before, hash128_keyed(slice_of(bytes, sizeof(bytes) - 1), secret)));
}

static void test_eq_looks_at_both_halves(void **state)
{
    (void)state;
    assert_true(hash128_eq((hash128){1, 2}, (hash128){1, 2}));
    assert_false(hash128_eq((hash128){1, 2}, (hash128){1, 3}));
    assert_false(hash128_eq((hash128){1, 2}, (hash128){0, 2}));
}

static void test_hash64_is_seeded(void **state)
{
    (void)state;
    assert_true(hash64(SLICE("tag"), 1) == hash64(SLICE("tag"), 1));
    assert_true(hash64(SLICE("tag"), 1) != hash64(SLICE("tag"), 2));
    assert_true(hash64(SLICE("tag"), 1) != hash64(SLICE("taG"), 1));
    assert_true(hash64(SLICE(""), 1) != hash64(SLICE(""), 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_secret_another_hash),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_eq_looks_at_both_halves),
        cmocka_unit_test(test_hash64_is_seeded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
