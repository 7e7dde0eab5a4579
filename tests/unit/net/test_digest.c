/* Digests: the standards' own examples. */
#include "net/digest.h"

static void assert_hex(const uint8_t *digest, size_t len, const char *hex)
{
    static const char digits[] = "0123456789abcdef";

    assert_int_equal(strlen(hex), 2 * len);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(digits[digest[i] >> 4], hex[2 * i]);
        assert_int_equal(digits[digest[i] & 15], hex[2 * i + 1]);
    }
}

static void test_sha1(void **state)
{
    uint8_t digest[DIGEST_SHA1_BYTES];

    (void)state;
    assert_true(digest_sha1(SLICE("abc"), digest)); /* FIPS 180 */
    assert_hex(digest, sizeof(digest), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

static void test_sha256(void **state)
{
    uint8_t digest[DIGEST_SHA256_BYTES];

    (void)state;
    assert_true(digest_sha256(SLICE("abc"), digest)); /* FIPS 180 */
    assert_hex(digest, sizeof(digest), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(digest_sha256(SLICE(""), digest));
    assert_hex(digest, sizeof(digest), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sha1), cmocka_unit_test(test_sha256)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
