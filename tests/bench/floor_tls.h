/* floor_tls: TLS between two pieces of memory, for a server that does one receive and one send for all that
 * lies ready. What came is read where it lies; what goes out is collected. */
#ifndef BENCH_FLOOR_TLS_H
#define BENCH_FLOOR_TLS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bytes that grow. */
struct bytes {
    char *data;
    size_t len, room;
};

void bytes_add(struct bytes *bytes, const void *data, size_t len);

struct tls {
    SSL *ssl;
    bool shaken;
    const char *in; /* what came and was not read yet: it is read before the next receive */
    size_t in_len;
    struct bytes *out;
};

enum tls_read {
    TLS_DATA,
    TLS_EMPTY,
    TLS_ENDED
};

void tls_prepare(const char *certificate, const char *key);
void tls_open(struct tls *tls, struct bytes *out);
void tls_close(struct tls *tls);
/* One record of what is in `in`, after shaking hands. */
enum tls_read tls_read(struct tls *tls, char *into, size_t room, size_t *ret_len);
void tls_write(struct tls *tls, const void *data, size_t len);
bool tls_is_h2(const struct tls *tls);

#endif
