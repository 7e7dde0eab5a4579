/* access: one record per request, written as lines of JSON by a thread of its own.
 *
 * Each worker thread fills records in its own ring (one producer, one consumer, no locks, no allocation). The
 * writer thread drains all rings. A full ring loses the record and counts it: the log never slows a request.
 *
 * The kernel is reached through the functions in access_door, because stat/ may use base/ only. */
#ifndef WARP_STAT_ACCESS_H
#define WARP_STAT_ACCESS_H

#include "base/err.h"
#include "base/hash.h"
#include "base/slice.h"
#include "stat/metrics.h"

#define ACCESS_URL_BYTES 304u

struct access_record {
    int64_t wall_ms;
    hash128 key;                                 /* zero: none */
    uint64_t body_bytes;                         /* sent to the client */
    uint64_t total_ns, first_byte_ns, origin_ns; /* 0: none */
    const char *reason; /* why not stored, refused or ended: static text, NULL: none */
    uint16_t tenant;
    uint16_t status; /* 0: the client left before there was one */
    uint16_t url_len;
    uint8_t outcome; /* enum outcome */
    uint8_t tier;    /* enum tier, TIER_COUNT: none */
    uint8_t version; /* 10, 11, 20 */
    bool is_tls;
    bool is_url_cut;
    char client[46]; /* terminated texts */
    char method[16];
    char request_id[40];
    char url[ACCESS_URL_BYTES]; /* authority and target, cut where too long; not terminated */
};
static_assert(sizeof(struct access_record) <= 512, "a ring is sized by it");

/* These copy what fits; a cut URL is marked. */
void access_record_url(struct access_record *record, slice authority, slice target);
void access_record_method(struct access_record *record, slice method);
void access_record_request_id(struct access_record *record, slice id);

/* The line for a record with its '\n': JSON whatever the bytes in it. Needs ACCESS_LINE_BYTES; returns its
 * length. */
#define ACCESS_LINE_BYTES 4096u
size_t access_record_json(const struct access_record *record, const char *tenant_name, char *buffer);

struct access_door {
    err (*open)(const char *path, int *ret_fd);
    err (*write)(int fd, slice bytes);
    void (*close)(int fd);
    void (*wait)(void *event, uint64_t timeout_ns);
    void (*wake)(void *event);
    void *event;
};

struct access_config {
    unsigned threads;
    unsigned ring_records; /* power of two; 0: 4096 */
    const char *path;      /* "-": stdout; NULL: no file, only the tap */
    struct access_door door;
    /* Names for tenants, on the writer's thread; NULL: numbers. */
    const char *(*tenant_name)(void *arg, uint16_t tenant);
    void *tenant_arg;
    /* Each record with its line, on the writer's thread (live log). NULL: none. */
    void (*tap)(void *arg, const struct access_record *record, slice line);
    void *tap_arg;
};

struct access_log;
/* ERR of door.open when the file cannot be opened. */
MUST_USE err access_log_new(const struct access_config *config, struct access_log **ret_log);
/* The writer must have returned. */
struct access_log *access_log_free(struct access_log *log);

/* On the worker's thread: the next free record, zeroed, or NULL when the ring is full (counted). */
struct access_record *access_log_begin(struct access_log *log, unsigned thread);
/* Hands the record of the last begin over. */
void access_log_commit(struct access_log *log, unsigned thread);

/* The writer thread: returns after access_log_stop, with everything drained. */
void access_log_run(void *log);
void access_log_stop(struct access_log *log);
void access_log_reopen(struct access_log *log); /* SIGUSR1: any thread, also from a signal's mail */
/* Writes what is in the rings now; for tests without a thread. Returns the number of records. */
unsigned access_log_drain(struct access_log *log);
/* For metrics_collect: warp_access_log_dropped. */
void access_log_collector(void *log, enum metric metric, struct metrics_writer *writer);
uint64_t access_log_dropped(const struct access_log *log); /* by full rings and failed writes */

#endif
