#include "help.h"
#include <stdio.h>
#include "http/range.h"

/* "0-4,10-19" of what a Range gives for a length; "full" or "416". */
static const char *resolved(const char *value, uint64_t length)
{
    static char text[1024];
    struct range_request request;
    struct range_set set;
    size_t at = 0;

    if (!range_parse_value(slice_str(value), &request))
        return "full";
    switch (range_resolve(&request, length, &set)) {
    case RANGE_FULL:
        return "full";
    case RANGE_UNSATISFIABLE:
        return "416";
    case RANGE_SET:
        break;
    }
    for (unsigned i = 0; i < set.count; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%llu-%llu", i > 0 ? "," : "",
                               (unsigned long long)set.list[i].first, (unsigned long long)set.list[i].last);
    return text;
}

static void good(void **state)
{
    (void)state;
    assert_string_equal(resolved("bytes=0-4", 10000), "0-4");
    assert_string_equal(resolved("Bytes=9500-", 10000), "9500-9999");
    assert_string_equal(resolved("bytes=-500", 10000), "9500-9999");
    assert_string_equal(resolved("bytes=-50000", 10000), "0-9999");
    assert_string_equal(resolved("bytes=0-99999999999", 10000), "0-9999");
    assert_string_equal(resolved("bytes=500-600,0-1", 10000), "500-600,0-1");
    assert_string_equal(resolved("bytes=0-1 , ,500-600", 10000), "0-1,500-600");
    assert_string_equal(resolved("bytes=0-9,5-20,21-30", 10000), "0-30");
    assert_string_equal(resolved("bytes=0-0,2-2,1-1", 10000), "0-2");
    assert_string_equal(resolved("bytes=0-,0-,0-,0-,0-,0-", 10000), "0-9999");
    assert_string_equal(resolved("bytes=100-,5-6", 100), "5-6");
    assert_string_equal(resolved("bytes=0-0,10-10", 100), "full"); /* the parts would cost more than all of it */
}

static void hostile(void **state)
{
    static const char *const ignored[] = {
        "", "bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=5-4", "bytes=+1-2", "bytes=1--2", "items=0-1",
        "bytes=0-1;2-3", "bytes = 0-1", "bytes=0 -1", "bytes=99999999999999999999-", "bytes=0-18446744073709551616",
        "bytes=1", "bytes=0-1,x", "bytes=\"0-1\"",
        "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,32-32"};
    struct fields two;
    struct range_request request;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(ignored); i++)
        assert_string_equal(resolved(ignored[i], 1000000), "full");
    assert_string_equal(resolved("bytes=10000-", 10000), "416");
    assert_string_equal(resolved("bytes=-0", 10000), "416");
    assert_string_equal(resolved("bytes=0-0", 0), "416");
    assert_string_equal(resolved("bytes=-1", 0), "full");
    assert_string_equal(resolved("bytes=18446744073709551615-18446744073709551615", 10000), "416");
    assert_string_equal(resolved("bytes=-18446744073709551615", 10000), "0-9999");
    assert_string_equal(resolved("bytes=0-18446744073709551615", INT64_MAX), "0-9223372036854775806");
    assert_string_equal(resolved("bytes=0-4999,5001-9999", 10000), "0-4999,5001-9999");
    two = fields_from("Range: bytes=0-1\r\nRange: bytes=2-3\r\n");
    assert_false(range_parse(&two, &request));
}

static void sixteen_stay_sixteen(void **state)
{
    (void)state;
    assert_string_equal(resolved("bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,"
                                 "30-30", 1000000),
                        "0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30");
}

static void content_range(void **state)
{
    static const char *const bad[] = {"", "bytes", "bytes 0-1", "bytes 1-0/5", "bytes 0-5/5", "bytes -5/10", "bytes 0-/5",
                                      "bytes */*", "bytes 0-1/", "bytes=0-1/5", "bytes 0-1/+5", "items 0-1/5",
                                      "bytes 0-1/5, bytes 2-3/5", "bytes  0-1/5", "bytes 0-1/5 ",
                                      "bytes 0-18446744073709551614/*", "bytes 0-1/18446744073709551615"};
    char text[CONTENT_RANGE_BYTES_MAX];
    struct content_range range;

    (void)state;
    assert_true(content_range_parse(SLICE("bytes 2-5/10"), &range));
    assert_true(range.satisfied && range.first == 2 && range.last == 5 && range.length_bytes == 10);
    assert_slice(slice_of(text, content_range_format(&range, text)), "bytes 2-5/10");
    assert_true(content_range_parse(SLICE("bytes 2-5/*"), &range));
    assert_slice(slice_of(text, content_range_format(&range, text)), "bytes 2-5/*");
    assert_true(content_range_parse(SLICE("bytes */7"), &range));
    assert_false(range.satisfied);
    assert_slice(slice_of(text, content_range_format(&range, text)), "bytes */7");
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(content_range_parse(slice_str(bad[i]), &range));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(good), TEST(hostile), TEST(sixteen_stay_sixteen), TEST(content_range)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
