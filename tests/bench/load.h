/* load: what the generator's parts share. load.c has the options and the run; load_objects.c says what is
 * asked and whether what came is right; load_wire.c is a connection, with TLS or without; load_h1.c,
 * load_h2.c and load_handshake.c are what is spoken on it. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "hist.h"

#include "common.h"

#include <openssl/types.h>
#include <sys/types.h>

#define PROBE_BYTES 16u

enum mode {
    MODE_RUN,
    MODE_DRIP,
    MODE_IDLE
};
enum pick {
    PICK_ONE,
    PICK_ZIPF,
    PICK_CYCLE,
    PICK_FRESH
};
enum spoken {
    SPOKEN_H1,
    SPOKEN_H2,
    SPOKEN_HANDSHAKE,
    SPOKEN_RESUME
};

struct options {
    int connections, status, streams;
    double seconds;
    uint64_t requests, warming, objects, first, size;
    enum mode mode;
    enum pick pick;
    enum spoken spoken;
    bool if_none_match;
    const char *kind, *port, *certificate; /* certificate: over TLS, and the server has to show this one */
};

/* One closed loop: from the first request to the last answer. */
struct run {
    uint64_t issued, answered, bytes, quota, stop_issuing_ns, clock_ns;
    bool warming;
    struct hist latency, firsts;
};

/* A connection: the first member of what each protocol keeps of it. */
struct wire {
    int fd;
    SSL *ssl; /* NULL: in the clear */
};

/* What is spoken. All functions get one of the connections, `conn_size` bytes that begin with a struct wire.
 */
struct protocol {
    size_t conn_size;
    void (*prepare)(void);
    void (*open)(void *conn);  /* connects */
    void (*start)(void *conn); /* asks, as often at once as is wanted */
    void (*ready)(void *conn); /* something came */
};

extern struct options opt;
extern struct run run;
extern int load_epoll;
extern const struct protocol protocol_h1, protocol_h2, protocol_handshake;

_Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...);

/* ---- load_objects.c */

void objects_prepare(void);
/* Whether there is one more to ask for, and which. It counts as asked for. */
bool object_next(uint64_t *ret_number);
/* Fails unless `data` is what belongs at byte `at` of that object: all of it while warming and in drip, else
 * the ends. */
void piece_check(uint64_t number, uint64_t at, const char *data, size_t len);
/* Writes the digits of a number into ten places. */
void number_write(char *into, uint64_t number);

/* ---- load_wire.c */

void wire_prepare(const char *alpn);
/* Connects, blocking, and with TLS shakes hands; then it does not block. */
void wire_open(struct wire *wire);
/* All of it. */
void wire_send(struct wire *wire, const void *data, size_t len);
/* How much came, 0 when the server closed, -1 when nothing is there. */
ssize_t wire_recv(struct wire *wire, void *into, size_t len);
/* TLS has decrypted, or holds, more than wire_recv gave. */
bool wire_more(const struct wire *wire);

/* A socket that is connected and does not block. */
int socket_open(void);
SSL *tls_new(int fd);
/* Fails unless it is TLS 1.3 with the cipher, group, certificate and protocol that all are measured with. */
void tls_check(SSL *ssl, bool resumed);
const char *tls_why(void);

#endif
