/* Both ways to the same sum: the file itself is included, so that the tables are seen where the processor has the
 * instruction too. */
#include "base/crc32c.c"

#include <stdlib.h>

static uint32_t by_tables(uint32_t crc, const void *bytes, size_t len)
{
    return ~crc_tables(~crc, bytes, len);
}

static uint32_t bit_by_bit(uint32_t crc, const uint8_t *bytes, size_t len)
{
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

/* RFC 3720 B.4; there the bytes of the sum are shown in the order they are sent, the lowest first. */
static void test_rfc_3720(void **state)
{
    static const uint8_t read_pdu[48] = {0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28, [40] = 0x02};
    uint8_t bytes[32] = {0};

    (void)state;
    assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
    assert_int_equal(by_tables(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
    assert_int_equal(by_tables(0, bytes, 32), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(by_tables(0, bytes, 32), 0x46dd794e);
    for (unsigned i = 0; i < 32; i++)
        bytes[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(0, bytes, 32), 0x113fdb5c);
    assert_int_equal(by_tables(0, bytes, 32), 0x113fdb5c);
    assert_int_equal(crc32c(0, read_pdu, 48), 0xd9963a56);
    assert_int_equal(by_tables(0, read_pdu, 48), 0xd9963a56);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
}

static void test_nothing(void **state)
{
    (void)state;
    assert_int_equal(crc32c(0, NULL, 0), 0);
    assert_int_equal(crc32c(0x12345678, NULL, 0), 0x12345678);
    assert_int_equal(by_tables(0x12345678, NULL, 0), 0x12345678);
}

/* Lengths round every step of the loops, from every offset within a word. */
static void test_every_length_and_offset(void **state)
{
    static uint8_t bytes[7000];

    (void)state;
    srand(1);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)rand();
    for (size_t len = 0; len + 8 <= sizeof(bytes); len += len < 1200 ? 1 : 61) {
        const uint8_t *at = bytes + len % 8;
        uint32_t crc = bit_by_bit((uint32_t)len * 77, at, len);
        assert_int_equal(crc32c((uint32_t)len * 77, at, len), crc);
        assert_int_equal(by_tables((uint32_t)len * 77, at, len), crc);
    }
}

static void test_in_two_parts(void **state)
{
    static uint8_t bytes[5000];
    uint32_t whole;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31 + (i >> 8));
    whole = crc32c(0, bytes, sizeof(bytes));
    for (size_t cut = 0; cut <= sizeof(bytes); cut++)
        assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof(bytes) - cut), whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_3720),
        cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_every_length_and_offset),
        cmocka_unit_test(test_in_two_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
