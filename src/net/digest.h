/* digest: what protocols ask to be hashed. Not for secrets of our own. */
#ifndef WARP_NET_DIGEST_H
#define WARP_NET_DIGEST_H

#include "base/slice.h"

#define DIGEST_SHA1_BYTES 20u

/* False: the library has no SHA-1, or no memory. */
MUST_USE bool digest_sha1(slice bytes, uint8_t ret_digest[DIGEST_SHA1_BYTES]);

#endif
