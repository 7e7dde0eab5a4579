#include "base/crc32c.h"

#include <endian.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected: bit 31 is x^0 */

static inline uint64_t load_u64(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

/* ---- tables ------------------------------------------------------------------------------------------ */

/* [n][byte]: what a byte that n more bytes follow adds. */
static uint32_t tables[8][256];

__attribute__((constructor)) static void tables_fill(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = crc;
    }
    for (unsigned n = 1; n < 8; n++)
        for (unsigned byte = 0; byte < 256; byte++)
            tables[n][byte] = tables[n - 1][byte] >> 8 ^ tables[0][tables[n - 1][byte] & 0xff];
}

static uint32_t crc_tables(uint32_t crc, const uint8_t *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word = load_u64(at) ^ crc;
        crc = 0;
        for (unsigned i = 0; i < 8; i++)
            crc ^= tables[7 - i][word >> (8 * i) & 0xff];
    }
    for (; len > 0; at++, len--)
        crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xff];
    return crc;
}

/* ---- x86-64 ------------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
#include <immintrin.h>

#define HARDWARE __attribute__((target("sse4.2,pclmul")))

/* The instruction takes a word a cycle but answers after three, so long buffers are three streams. A stream's sum is
 * brought past the bytes behind it by a multiplication with x^(8 n) modulo the polynomial; as the instruction, which
 * ends it, multiplies by x^33 here, the factors are x^(8 n - 33). */
#define PAST_128  0x0d3b6092u
#define PAST_256  0xb9e02b86u
#define PAST_1024 0x170076fau
#define PAST_2048 0xa51b6135u

HARDWARE static inline uint64_t crc_past(uint64_t crc, uint32_t factor)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)crc), _mm_cvtsi64_si128(factor), 0);

    return (uint64_t)_mm_cvtsi128_si64(product);
}

HARDWARE static inline uint32_t crc_three(uint32_t crc, const uint8_t *at, size_t stride, uint32_t past_one, uint32_t past_two)
{
    uint64_t a = crc, b = 0, c = 0;

    for (const uint8_t *end = at + stride; at < end; at += 8) {
        a = _mm_crc32_u64(a, load_u64(at));
        b = _mm_crc32_u64(b, load_u64(at + stride));
        c = _mm_crc32_u64(c, load_u64(at + 2 * stride));
    }
    return (uint32_t)(_mm_crc32_u64(0, crc_past(a, past_two) ^ crc_past(b, past_one)) ^ c);
}

HARDWARE static uint32_t crc_hardware(uint32_t crc, const uint8_t *at, size_t len)
{
    for (; len >= 3 * 1024; at += 3 * 1024, len -= 3 * 1024)
        crc = crc_three(crc, at, 1024, PAST_1024, PAST_2048);
    for (; len >= 3 * 128; at += 3 * 128, len -= 3 * 128)
        crc = crc_three(crc, at, 128, PAST_128, PAST_256);
    for (; len >= 8; at += 8, len -= 8)
        crc = (uint32_t)_mm_crc32_u64(crc, load_u64(at));
    for (; len > 0; at++, len--)
        crc = _mm_crc32_u8(crc, *at);
    return crc;
}

static inline bool has_hardware(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

/* ---- ARMv8 ------------------------------------------------------------------------------------------- */

#elif defined(__aarch64__)
#include <sys/auxv.h>

#define AUXILIARY_CRC32 (1ul << 7) /* HWCAP_CRC32 */

/* In assembler, as compilers do not agree on how a single function is let use an extension. */
static inline uint32_t crc_u64(uint32_t crc, uint64_t word)
{
    __asm__(".arch_extension crc\n\tcrc32cx %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    return crc;
}

static inline uint32_t crc_u8(uint32_t crc, uint8_t byte)
{
    __asm__(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(byte));
    return crc;
}

static uint32_t crc_hardware(uint32_t crc, const uint8_t *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8)
        crc = crc_u64(crc, load_u64(at));
    for (; len > 0; at++, len--)
        crc = crc_u8(crc, *at);
    return crc;
}

static inline bool has_hardware(void)
{
    return (getauxval(AT_HWCAP) & AUXILIARY_CRC32) != 0;
}

#else
#define crc_hardware crc_tables

static inline bool has_hardware(void)
{
    return false;
}
#endif

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
    return ~(has_hardware() ? crc_hardware : crc_tables)(~crc, bytes, len);
}
