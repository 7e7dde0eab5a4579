#include "net/digest.h"

#include <openssl/evp.h>

bool digest_sha1(slice bytes, uint8_t ret_digest[DIGEST_SHA1_BYTES])
{
    unsigned len = 0;

    return EVP_Digest(bytes.data, bytes.len, ret_digest, &len, EVP_sha1(), NULL) == 1 && len == DIGEST_SHA1_BYTES;
}

bool digest_sha256(slice bytes, uint8_t ret_digest[DIGEST_SHA256_BYTES])
{
    unsigned len = 0;

    return EVP_Digest(bytes.data, bytes.len, ret_digest, &len, EVP_sha256(), NULL) == 1 && len == DIGEST_SHA256_BYTES;
}
