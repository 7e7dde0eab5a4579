/* crc32c: the CRC of RFC 3720 (Castagnoli), as iSCSI and most storage formats have it.
 *
 * By the processor's own instruction where it has one (SSE4.2 with PCLMULQDQ, ARMv8 CRC), which is asked at run time,
 * else by tables; the result is the same. Detects what a disk does to bytes by accident; it is no defence against
 * somebody who chooses them. */
#ifndef WARP_BASE_CRC32C_H
#define WARP_BASE_CRC32C_H

#include "base/base.h"

/* crc: of the bytes before these, 0 where these are the first. crc32c(crc32c(0, a), b) is that of a followed by b. */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

#endif
