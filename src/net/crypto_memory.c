/* Where OpenSSL's memory comes from. */
#include "net/tls.h"

#ifdef WARP_WITH_JEMALLOC

#include <openssl/crypto.h>

/* The C library's own malloc, under the names it keeps for programs that replace malloc. */
void *__libc_malloc(size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

static void *crypto_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return __libc_malloc(size);
}

static void *crypto_realloc(void *block, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    return __libc_realloc(block, size);
}

static void crypto_free(void *block, const char *file, int line)
{
    (void)file, (void)line;
    __libc_free(block);
}

/* An idle TLS connection is a dozen blocks that jemalloc's classes round up by 1 KiB together, 570 bytes of it for the SSL
 * alone (7.6 KB to 8 KiB). The C library adds 8 to 16 bytes to each. */
void net_tls_use_tight_memory(void)
{
    INVARIANT(CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) == 1);
}

#else

void net_tls_use_tight_memory(void)
{
}

#endif
