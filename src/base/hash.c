#include "base/hash.h"

#include <xxhash.h>

hash128 hash128_keyed(slice bytes, const uint8_t *secret)
{
    XXH128_hash_t h = XXH3_128bits_withSecret(bytes.data, bytes.len, secret, HASH_SECRET_BYTES);
    return (hash128){h.low64, h.high64};
}

uint64_t hash64(slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data, bytes.len, seed);
}
