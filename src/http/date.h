/* date: HTTP-date (RFC 9110 5.6.7), seconds since 1970. Pure: the clock is an argument. */
#ifndef WARP_HTTP_DATE_H
#define WARP_HTTP_DATE_H

#include "base/slice.h"

#define DATE_BYTES 29u /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* IMF-fixdate, RFC 850 (two-digit years: at most 50 years after now_s) and asctime. Letters in any case (RFC
 * 9111 4.2), everything else to the letter; only GMT. false: not a date, or before 1970; for Expires that means
 * "already expired" (RFC 9111 5.3). */
MUST_USE bool date_parse(slice s, int64_t now_s, int64_t *ret_s);

/* Writes exactly DATE_BYTES, no NUL. Seconds outside 1970..9999 are clamped. */
void date_format(int64_t s, char *ret_text);

#define DATE_ISO_BYTES 24u /* "1994-11-06T08:49:37.123Z" (RFC 3339) */
/* Writes exactly DATE_ISO_BYTES, no NUL. What is outside 1970..9999 is clamped. */
void date_format_iso(int64_t ms, char *ret_text);

#endif
