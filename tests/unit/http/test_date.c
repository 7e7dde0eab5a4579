#include "help.h"
#include "http/date.h"

#define NOW INT64_C(1795398344) /* November 2026 */

static int64_t parsed(const char *text)
{
    int64_t s = -7;
    return date_parse(slice_str(text), NOW, &s) ? s : -1;
}

static void three_formats(void **state)
{
    (void)state;
    assert_int_equal(parsed("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
    assert_int_equal(parsed("Sunday, 06-Nov-94 08:49:37 GMT"), 784111777);
    assert_int_equal(parsed("Sun Nov  6 08:49:37 1994"), 784111777);
    assert_int_equal(parsed("Sun Nov 16 08:49:37 1994"), 784975777);
    assert_int_equal(parsed("SUN, 06 NOV 1994 08:49:37 gMT"), 784111777); /* RFC 9111 4.2 */
    assert_int_equal(parsed("Thu, 18 Aug 2050 02:01:18 GMT"), 2544400878);
    assert_int_equal(parsed("Thursday, 18-Aug-50 02:01:18 GMT"), 2544400878);
    assert_int_equal(parsed("Thu Aug  8 02:01:18 2050"), 2543536878);
    assert_int_equal(parsed("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
    assert_int_equal(parsed("Thu, 29 Feb 2024 00:00:00 GMT"), 1709164800);
    assert_int_equal(parsed("Sat, 31 Dec 2016 23:59:60 GMT"), 1483228800);
}

static void fifty_years(void **state)
{
    (void)state;
    assert_int_equal(parsed("Thursday, 01-Jan-76 00:00:00 GMT"), parsed("Wed, 01 Jan 2076 00:00:00 GMT"));
    assert_int_equal(parsed("Saturday, 01-Jan-77 00:00:00 GMT"), parsed("Sat, 01 Jan 1977 00:00:00 GMT"));
    assert_int_equal(parsed("Saturday, 01-Jan-00 00:00:00 GMT"), 946684800);
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "", "0", "-1", "foo", "Thu, 18 Aug 2050 02:01:18 UTC", "Thu, 18 Aug 2050 02:01:18 AEST",
        "Thu, 18 Aug 50 02:01:18 GMT", "Thu 18 Aug 2050 02:01:18 GMT", "Thu, 18  Aug  2050 02:01:18 GMT",
        "Thu, 18-Aug-2050 02:01:18 GMT", "Thu, 18 Aug 2050 02.01.18 GMT", "Thu, 18 Aug 2050 2:01:18 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT ", "Thu, 18 Aug 2050 02:01:18 GM", "Thu, 18 Aug 2050 24:00:00 GMT",
        "Thu, 31 Apr 2050 02:01:18 GMT", "Thu, 29 Feb 2023 00:00:00 GMT", "Thu, 00 Jan 2023 00:00:00 GMT",
        "Xhu, 18 Aug 2050 02:01:18 GMT", "Wed, 31 Dec 1969 23:59:59 GMT", "Thu, 18 Aug 2050 02:60:18 GMT",
        "Thu, +8 Aug 2050 02:01:18 GMT", "Sun Nov  6 08:49:37 94", "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT",
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (parsed(bad[i]) != -1)
            fail_msg("accepted: %s", bad[i]);
}

static void both_ways(void **state)
{
    char text[DATE_BYTES + 1] = "";

    (void)state;
    for (int64_t s = 0; s < 253402300800; s += 86400 * 97 + 12345) {
        date_format(s, text);
        assert_int_equal(parsed(text), s);
    }
    date_format(784111777, text);
    assert_string_equal(text, "Sun, 06 Nov 1994 08:49:37 GMT");
    date_format(-5, text);
    assert_string_equal(text, "Thu, 01 Jan 1970 00:00:00 GMT");
    date_format(INT64_MAX, text);
    assert_string_equal(text, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void iso(void **state)
{
    char text[DATE_ISO_BYTES + 1] = "";

    (void)state;
    date_format_iso(INT64_C(784111777123), text);
    assert_string_equal(text, "1994-11-06T08:49:37.123Z");
    date_format_iso(0, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    date_format_iso(-1, text);
    assert_string_equal(text, "1970-01-01T00:00:00.000Z");
    date_format_iso(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    date_format_iso(INT64_C(951782400005), text);
    assert_string_equal(text, "2000-02-29T00:00:00.005Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(three_formats), TEST(fifty_years), TEST(refused), TEST(both_ways), TEST(iso)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
