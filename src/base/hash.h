/* hash: keyed 128-bit XXH3 for store keys, 64-bit for tables and labels. */
#ifndef WARP_BASE_HASH_H
#define WARP_BASE_HASH_H

#include "base/slice.h"

#define HASH_SECRET_BYTES 192u /* XXH3 asks for at least 136 */

typedef struct hash128 {
    uint64_t lo, hi;
} hash128;

/* secret: HASH_SECRET_BYTES random bytes, one secret per store (hash flooding: ../docs/decisions/). */
hash128 hash128_keyed(slice bytes, const uint8_t *secret);
uint64_t hash64(slice bytes, uint64_t seed);

static inline bool hash128_eq(hash128 a, hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

#endif
