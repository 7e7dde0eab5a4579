#include "http/date.h"

#define DAY_S          86400
#define DATE_MAX_S     INT64_C(253402300799) /* 31 December 9999, 23:59:59 */

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char weekdays[] = "SunMonTueWedThuFriSat";

struct civil {
    int year, month, day, hour, minute, second; /* month 1..12 */
};

/* Howard Hinnant's days_from_civil, for years from 1970 on. */
static int64_t days_from_civil(int year, int month, int day)
{
    int y = year - (month <= 2), era = y / 400, yoe = y - era * 400;
    int doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return (int64_t)era * 146097 + doe - 719468;
}

static void civil_from_days(int64_t days, struct civil *ret)
{
    int64_t z = days + 719468, era = z / 146097;
    int doe = (int)(z - era * 146097);
    int yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

    ret->day = doy - (153 * mp + 2) / 5 + 1;
    ret->month = mp < 10 ? mp + 3 : mp - 9;
    ret->year = (int)(yoe + era * 400) + (ret->month <= 2);
}

static int days_in_month(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static bool civil_to_seconds(const struct civil *c, int64_t *ret_s)
{
    if (c->year < 1970 || c->month < 1 || c->day < 1 || c->day > days_in_month(c->year, c->month))
        return false;
    if (c->hour > 23 || c->minute > 59 || c->second > 60) /* a leap second is the next second */
        return false;
    *ret_s = days_from_civil(c->year, c->month, c->day) * DAY_S + c->hour * 3600 + c->minute * 60 + c->second;
    return true;
}

static bool name_read(slice s, size_t at, const char *names, unsigned count, int *ret_index)
{
    if (s.len - at < 3)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (slice_eq_nocase(slice_of(s.data + at, 3), slice_of(names + 3 * i, 3))) {
            *ret_index = (int)i + 1;
            return true;
        }
    return false;
}

static bool digits_read(slice s, size_t at, unsigned count, int *ret_value)
{
    uint64_t value;

    if (s.len - at < count || !slice_to_u64(slice_of(s.data + at, count), &value))
        return false;
    *ret_value = (int)value;
    return true;
}

/* One element of a pattern; how many bytes it took, 0: it is not there. */
static size_t element_read(slice s, size_t at, char kind, struct civil *civil)
{
    int ignored;

    switch (kind) {
    case 'w':
        return name_read(s, at, weekdays, 7, &ignored) ? 3 : 0;
    case 'm':
        return name_read(s, at, months, 12, &civil->month) ? 3 : 0;
    case 'D':
        if (at < s.len && s.data[at] == ' ')
            return digits_read(s, at + 1, 1, &civil->day) ? 2 : 0;
        return digits_read(s, at, 2, &civil->day) ? 2 : 0;
    case 'd':
        return digits_read(s, at, 2, &civil->day) ? 2 : 0;
    case 'y':
        return digits_read(s, at, 4, &civil->year) ? 4 : 0;
    case 'Y':
        return digits_read(s, at, 2, &civil->year) ? 2 : 0;
    case 'H':
        return digits_read(s, at, 2, &civil->hour) ? 2 : 0;
    case 'M':
        return digits_read(s, at, 2, &civil->minute) ? 2 : 0;
    case 'S':
        return digits_read(s, at, 2, &civil->second) ? 2 : 0;
    case 'Z':
        return s.len - at >= 3 && slice_eq_nocase(slice_of(s.data + at, 3), SLICE("GMT")) ? 3 : 0;
    default:
        return at < s.len && s.data[at] == kind ? 1 : 0;
    }
}

/* Reads all of s by a pattern: w weekday, m month, d day, D day with a space for a first zero, y year, Y its last
 * two digits, H M S time, Z "GMT"; any other byte stands for itself. */
static bool pattern_read(slice s, const char *pattern, struct civil *ret)
{
    struct civil civil = {0};
    size_t at = 0;

    for (; *pattern != 0; pattern++) {
        size_t took = element_read(s, at, *pattern, &civil);
        if (took == 0)
            return false;
        at += took;
    }
    *ret = civil;
    return at == s.len;
}

/* "Sunday, 06-Nov-94 08:49:37 GMT": the long weekday of RFC 850 and what is behind it. */
static bool rfc850_read(slice s, struct civil *ret)
{
    static const char *const names[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    ptrdiff_t comma = slice_find(s, ',');

    if (comma < 0)
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (slice_eq_nocase(slice_of(s.data, (size_t)comma), slice_str(names[i])))
            return pattern_read(slice_from(s, (size_t)comma), ", d-m-Y H:M:S Z", ret);
    return false;
}

/* RFC 9110 5.6.7: what appears to be more than 50 years in the future is the most recent year in the past with
 * the same last two digits. */
static bool rfc850_seconds(struct civil *civil, int64_t now_s, int64_t *ret_s)
{
    struct civil now;
    int two_digits = civil->year;

    civil_from_days(MAX(now_s, 0) / DAY_S, &now);
    civil->year = now.year - now.year % 100 + two_digits;
    if (civil->year > now.year + 50)
        civil->year -= 100;
    else if (civil->year + 100 <= now.year + 50)
        civil->year += 100;
    return civil_to_seconds(civil, ret_s);
}

bool date_parse(slice s, int64_t now_s, int64_t *ret_s)
{
    struct civil civil;

    if (pattern_read(s, "w, d m y H:M:S Z", &civil) || pattern_read(s, "w m D H:M:S y", &civil))
        return civil_to_seconds(&civil, ret_s);
    return rfc850_read(s, &civil) && rfc850_seconds(&civil, now_s, ret_s);
}

static void two_digits_write(char *at, int value)
{
    at[0] = (char)('0' + value / 10);
    at[1] = (char)('0' + value % 10);
}

void date_format(int64_t s, char *ret_text)
{
    int64_t seconds = MIN(MAX(s, 0), DATE_MAX_S), days = seconds / DAY_S;
    int in_day = (int)(seconds % DAY_S);
    struct civil c;

    civil_from_days(days, &c);
    memcpy(ret_text, "Sun, 00 Jan 0000 00:00:00 GMT", DATE_BYTES);
    memcpy(ret_text, weekdays + 3 * ((days + 4) % 7), 3);
    two_digits_write(ret_text + 5, c.day);
    memcpy(ret_text + 8, months + 3 * (c.month - 1), 3);
    two_digits_write(ret_text + 12, c.year / 100);
    two_digits_write(ret_text + 14, c.year % 100);
    two_digits_write(ret_text + 17, in_day / 3600);
    two_digits_write(ret_text + 20, in_day / 60 % 60);
    two_digits_write(ret_text + 23, in_day % 60);
}

void date_format_iso(int64_t ms, char *ret_text)
{
    int64_t all_ms = MIN(MAX(ms, 0), DATE_MAX_S * 1000 + 999), seconds = all_ms / 1000;
    int in_day = (int)(seconds % DAY_S), part = (int)(all_ms % 1000);
    struct civil c;

    civil_from_days(seconds / DAY_S, &c);
    memcpy(ret_text, "0000-00-00T00:00:00.000Z", DATE_ISO_BYTES);
    two_digits_write(ret_text, c.year / 100);
    two_digits_write(ret_text + 2, c.year % 100);
    two_digits_write(ret_text + 5, c.month);
    two_digits_write(ret_text + 8, c.day);
    two_digits_write(ret_text + 11, in_day / 3600);
    two_digits_write(ret_text + 14, in_day / 60 % 60);
    two_digits_write(ret_text + 17, in_day % 60);
    ret_text[20] = (char)('0' + part / 100);
    two_digits_write(ret_text + 21, part % 100);
}
