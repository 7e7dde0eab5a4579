/* large: bytes of any length that are a function of their offset, made as they are sent.
 *
 * Lines of LARGE_LINE_BYTES: the offset of the line in 12 hexadecimal digits, then three numbers of 16 digits
 * drawn from it (splitmix64), separated by spaces, and a line feed: a range found on a disk says where it
 * belongs, and no two lines are alike. */
#ifndef WARP_DEMO_LARGE_H
#define WARP_DEMO_LARGE_H

#include "base/pool.h"
#include "base/source.h"

#define LARGE_LINE_BYTES   64u
#define LARGE_WINDOW_BYTES (32u << 10) /* a whole number of lines */

struct large {
    struct source source;
    struct pool *pool; /* of windows */
    char *window;      /* NULL until the first peek */
    uint64_t at, end;  /* the next byte to make; behind the last */
    slice left;        /* made and not consumed */
};

/* The bytes [first, end). */
void large_init(struct large *large, struct pool *windows, uint64_t first, uint64_t end);

#endif
