/* common: what the generator, the origin and the floors agree upon.
 *
 * Bodies: one block of bytes without a period, the same in every program. Object number K begins at byte
 * K % PATTERN_STARTS of it, so that a body is told from another's and a piece from another place, and nobody
 * computes. Paths: /size/BYTES/K; the origin gives other words than `size` another meaning. The ETag is
 * "BYTES-K". */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_STARTS   4093u
#define OBJECT_SIZE_MAX  (16u << 20)
#define REQUEST_HEAD_MAX 4096u
#define ETAG_LEN_MAX     48u
/* The generator's head is longer only with If-None-Match: the floors need not look for it in a shorter one.
 */
#define PLAIN_HEAD_MAX 96u

struct request {
    char kind[12]; /* "size" and so on */
    uint64_t size;
    uint64_t number;
    bool if_none_match;
};

void pattern_init(uint64_t size_bytes_max);
const char *pattern_of(uint64_t number);

/* Reads a head that ends in a blank line; looks for If-None-Match in one of more than plain_len_max. False:
 * not ours. */
bool request_read(const char *head, size_t len, size_t plain_len_max, struct request *ret_request);
/* Reads a path that ends in a byte that is no digit, as a string does. */
bool path_read(const char *path, size_t len, struct request *ret_request);
/* The length of the first head in data, its blank line included, or 0 when it is not complete. */
size_t head_length(const char *data, size_t len);

/* A listener on 127.0.0.1; ends the program when that fails. */
int listen_on(const char *port);
uint64_t now_ns(void);
_Noreturn void die(const char *what);
/* Raises the limit of open files to the hard one. */
void raise_files(void);

#endif
