/* digest: what protocols ask to be hashed, and tokens as they are kept. */
#ifndef WARP_NET_DIGEST_H
#define WARP_NET_DIGEST_H

#include "base/slice.h"

#define DIGEST_SHA1_BYTES   20u
#define DIGEST_SHA256_BYTES 32u

/* False: the library has no SHA-1, or no memory. */
MUST_USE bool digest_sha1(slice bytes, uint8_t ret_digest[DIGEST_SHA1_BYTES]);
/* False: no memory. */
MUST_USE bool digest_sha256(slice bytes, uint8_t ret_digest[DIGEST_SHA256_BYTES]);

#endif
