#include "base/slice.h"

static void expect_u64(const char *text, bool good, uint64_t value)
{
    uint64_t got = 4711;

    assert_int_equal(slice_to_u64(slice_str(text), &got), good);
    assert_true(got == (good ? value : 4711)); /* written on success only */
}

static void test_to_u64(void **state)
{
    (void)state;
    expect_u64("0", true, 0);
    expect_u64("007", true, 7);
    expect_u64("18446744073709551615", true, UINT64_MAX);
    expect_u64("18446744073709551616", false, 0); /* one more: the addition wraps */
    expect_u64("18446744073709551620", false, 0);
    expect_u64("184467440737095516150", false, 0); /* the multiplication wraps */
    expect_u64("99999999999999999999999999", false, 0);
    expect_u64("00000000000000000000000000018446744073709551615", true, UINT64_MAX);
    expect_u64("", false, 0);
    expect_u64("-1", false, 0);
    expect_u64("+1", false, 0);
    expect_u64(" 1", false, 0);
    expect_u64("1 ", false, 0);
    expect_u64("0x10", false, 0);
    expect_u64("1e3", false, 0);
    expect_u64("1,000", false, 0);
    expect_u64("\xb2", false, 0); /* a digit in Latin-1's eyes */
}

static void test_to_u64_stops_at_nul(void **state)
{
    uint64_t got = 0;

    (void)state;
    assert_false(slice_to_u64(slice_of("1\0", 2), &got));
    assert_true(slice_to_u64(slice_of("123", 2), &got)); /* not terminated */
    assert_int_equal(got, 12);
}

static void expect_trim(const char *text, const char *trimmed)
{
    slice got = slice_trim(slice_str(text));

    assert_int_equal(got.len, strlen(trimmed));
    assert_memory_equal(got.data, trimmed, got.len);
}

static void test_trim(void **state)
{
    (void)state;
    expect_trim("a", "a");
    expect_trim(" \t a b\t ", "a b");
    expect_trim(" \t ", "");
    expect_trim("", "");
    expect_trim("\r\n\va\f", "\r\n\va\f"); /* only SP and HTAB are white space here */
    expect_trim("\xa0x", "\xa0x");
    assert_int_equal(slice_trim(SLICE_NONE).len, 0);
}

static void test_eq(void **state)
{
    (void)state;
    assert_true(slice_eq(SLICE(""), SLICE_NONE));
    assert_true(slice_eq(slice_of("a\0b", 3), slice_of("a\0b", 3)));
    assert_false(slice_eq(slice_of("a\0b", 3), slice_of("a\0c", 3)));
    assert_false(slice_eq(SLICE("a"), SLICE("A")));
    assert_false(slice_eq(SLICE("a"), SLICE("ab")));
    assert_true(slice_eq_nocase(SLICE("Host"), SLICE("hOST")));
    assert_false(slice_eq_nocase(SLICE("Host"), SLICE("Hos")));
    assert_false(slice_eq_nocase(SLICE("@"), SLICE("`")));   /* 0x40 and 0x60: not letters */
    assert_false(slice_eq_nocase(SLICE("["), SLICE("{")));
    assert_false(slice_eq_nocase(SLICE("\xc4"), SLICE("\xe4"))); /* ASCII only */
    assert_true(slice_eq_nocase(SLICE_NONE, SLICE("")));
}

static void test_starts_and_ends(void **state)
{
    (void)state;
    assert_true(slice_starts(SLICE("abc"), SLICE("ab")));
    assert_true(slice_starts(SLICE("abc"), SLICE_NONE));
    assert_false(slice_starts(SLICE("ab"), SLICE("abc")));
    assert_true(slice_ends(SLICE("abc"), SLICE("bc")));
    assert_true(slice_ends(SLICE("abc"), SLICE("abc")));
    assert_false(slice_ends(SLICE("bc"), SLICE("abc")));
    assert_true(slice_ends(SLICE_NONE, SLICE_NONE));
}

static void test_find_and_from(void **state)
{
    slice text = SLICE("a:b:c");

    (void)state;
    assert_int_equal(slice_find(text, ':'), 1);
    assert_int_equal(slice_find(text, 'x'), -1);
    assert_int_equal(slice_find(SLICE_NONE, 'x'), -1);
    assert_int_equal(slice_find(slice_of("ab", 1), 'b'), -1); /* not behind its end */
    assert_true(slice_eq(slice_from(text, 2), SLICE("b:c")));
    assert_int_equal(slice_from(text, 5).len, 0);
    assert_int_equal(slice_str(NULL).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_to_u64), cmocka_unit_test(test_to_u64_stops_at_nul),
        cmocka_unit_test(test_trim),   cmocka_unit_test(test_eq),
        cmocka_unit_test(test_starts_and_ends), cmocka_unit_test(test_find_and_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
