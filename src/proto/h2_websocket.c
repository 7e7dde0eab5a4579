#include "net/digest.h"
#include "proto/h2_own.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* len is a multiple of 3 but for its last group. */
static void base64_write(const uint8_t *bytes, size_t len, char *at)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < len; i += 3, at += 4) {
        size_t left = len - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (left > 2 ? bytes[i + 2] : 0u);
        at[0] = digits[group >> 18];
        at[1] = digits[group >> 12 & 63];
        at[2] = left > 1 ? digits[group >> 6 & 63] : '=';
        at[3] = left > 2 ? digits[group & 63] : '=';
    }
}

void h2_websocket_key(char ret_key[24])
{
    uint8_t random[16];

    os_entropy(random, sizeof(random));
    base64_write(random, sizeof(random), ret_key);
}

static slice accept_of(const struct fields *fields)
{
    if (fields == NULL || fields_count_of(fields, F_SEC_WEBSOCKET_ACCEPT) != 1)
        return SLICE_NONE;
    return fields_get(fields, F_SEC_WEBSOCKET_ACCEPT);
}

bool h2_websocket_is_accepted(const char key[24], const struct reply *reply)
{
    char text[24 + sizeof(GUID) - 1], expected[28];
    uint8_t digest[DIGEST_SHA1_BYTES];

    memcpy(text, key, 24);
    memcpy(text + 24, GUID, sizeof(GUID) - 1);
    if (!digest_sha1(slice_of(text, sizeof(text)), digest))
        return false;
    base64_write(digest, sizeof(digest), expected);
    return slice_eq(accept_of(reply->added), slice_of(expected, sizeof(expected)));
}
