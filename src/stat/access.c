#include "stat/access.h"

#include <stdatomic.h>
#include <stdlib.h>

#define RING_RECORDS_DEFAULT 4096u
#define BATCH_BYTES          (64u * 1024)
#define WAIT_NS              200000000ull /* lines are at most that late */

/* One producer, one consumer: each writes its own counter, on a line of its own. */
struct ring {
    _Alignas(64) _Atomic uint64_t head; /* records committed, the worker's */
    _Atomic uint64_t dropped;           /* the worker's */
    _Alignas(64) _Atomic uint64_t tail; /* records written, the writer's */
    struct access_record *records;
};

struct access_log {
    struct access_config config;
    char *path;
    struct ring *rings;
    uint32_t mask;
    int fd; /* -1: none; the writer's */
    _Atomic bool stops, reopens;
    _Atomic uint64_t lost; /* failed writes */
    size_t batch_len, batch_records;
    char batch[BATCH_BYTES];
};

/* ---- life ------------------------------------------------------------------------------------------------- */

static err rings_new(struct access_log *log)
{
    uint32_t records = log->config.ring_records > 0 ? log->config.ring_records : RING_RECORDS_DEFAULT;

    ENSURE((records & (records - 1)) == 0, INVALID);
    log->mask = records - 1;
    log->rings = aligned_alloc(64, MAX(log->config.threads, 1) * sizeof(*log->rings));
    ENSURE(log->rings != NULL, MEMORY);
    memset(log->rings, 0, MAX(log->config.threads, 1) * sizeof(*log->rings));
    for (unsigned i = 0; i < log->config.threads; i++) {
        log->rings[i].records = calloc(records, sizeof(struct access_record));
        ENSURE(log->rings[i].records != NULL, MEMORY);
    }
    return ERR_OK;
}

static err log_start(struct access_log *log)
{
    TRY(rings_new(log));
    if (log->config.path == NULL)
        return ERR_OK;
    log->path = strdup(log->config.path);
    ENSURE(log->path != NULL, MEMORY);
    return log->config.door.open(log->path, &log->fd);
}

err access_log_new(const struct access_config *config, struct access_log **ret_log)
{
    struct access_log *log = calloc(1, sizeof(*log));

    ENSURE(log != NULL, MEMORY);
    log->config = *config;
    log->fd = -1;
    err e = log_start(log);
    if (!err_is_ok(e)) {
        log->fd = -1;
        access_log_free(log);
        return e;
    }
    *ret_log = log;
    return ERR_OK;
}

struct access_log *access_log_free(struct access_log *log)
{
    if (log == NULL)
        return NULL;
    if (log->fd >= 0)
        log->config.door.close(log->fd);
    for (unsigned i = 0; log->rings != NULL && i < log->config.threads; i++)
        free(log->rings[i].records);
    free(log->rings);
    free(log->path);
    free(log);
    return NULL;
}

/* ---- the worker's side ------------------------------------------------------------------------------------ */

struct access_record *access_log_begin(struct access_log *log, unsigned thread)
{
    struct ring *ring = &log->rings[thread];
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (head - atomic_load_explicit(&ring->tail, memory_order_acquire) > log->mask) {
        uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
        atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
        return NULL;
    }
    struct access_record *record = &ring->records[head & log->mask];
    memset(record, 0, sizeof(*record));
    return record;
}

/* Wakes the writer when the ring is half full; else it comes by itself. */
void access_log_commit(struct access_log *log, unsigned thread)
{
    struct ring *ring = &log->rings[thread];
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed) + 1;

    atomic_store_explicit(&ring->head, head, memory_order_release);
    if (head - atomic_load_explicit(&ring->tail, memory_order_relaxed) == (log->mask + 1) / 2 &&
        log->config.door.wake != NULL)
        log->config.door.wake(log->config.door.event);
}

/* ---- the writer's side ------------------------------------------------------------------------------------ */

static void batch_write(struct access_log *log)
{
    if (log->batch_len > 0 && log->fd >= 0 &&
        !err_is_ok(log->config.door.write(log->fd, slice_of(log->batch, log->batch_len))))
        atomic_fetch_add_explicit(&log->lost, log->batch_records, memory_order_relaxed);
    log->batch_len = 0;
    log->batch_records = 0;
}

static void record_write(struct access_log *log, const struct access_record *record)
{
    const struct access_config *config = &log->config;
    const char *tenant = config->tenant_name != NULL ? config->tenant_name(config->tenant_arg, record->tenant) : NULL;
    char *at;

    if (sizeof(log->batch) - log->batch_len < ACCESS_LINE_BYTES)
        batch_write(log);
    at = log->batch + log->batch_len;
    size_t n = access_record_json(record, tenant, at);
    log->batch_len += n;
    log->batch_records++;
    if (config->tap != NULL)
        config->tap(config->tap_arg, record, slice_of(at, n - 1));
}

static unsigned ring_drain(struct access_log *log, struct ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    unsigned count = (unsigned)(head - tail);

    for (; tail != head; tail++) {
        record_write(log, &ring->records[tail & log->mask]);
        atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    }
    return count;
}

/* Opens the new file before the old one goes: when that fails, lines go on to the old. */
static void log_reopen(struct access_log *log)
{
    int fd;

    if (!atomic_exchange(&log->reopens, false) || log->path == NULL || !err_is_ok(log->config.door.open(log->path, &fd)))
        return;
    if (log->fd >= 0)
        log->config.door.close(log->fd);
    log->fd = fd;
}

unsigned access_log_drain(struct access_log *log)
{
    unsigned count = 0;

    log_reopen(log);
    for (unsigned i = 0; i < log->config.threads; i++)
        count += ring_drain(log, &log->rings[i]);
    batch_write(log);
    return count;
}

void access_log_run(void *arg)
{
    struct access_log *log = arg;

    while (!atomic_load(&log->stops)) {
        if (access_log_drain(log) == 0)
            log->config.door.wait(log->config.door.event, WAIT_NS);
    }
    (void)access_log_drain(log);
}

void access_log_stop(struct access_log *log)
{
    atomic_store(&log->stops, true);
    if (log->config.door.wake != NULL)
        log->config.door.wake(log->config.door.event);
}

void access_log_reopen(struct access_log *log)
{
    atomic_store(&log->reopens, true);
    if (log->config.door.wake != NULL)
        log->config.door.wake(log->config.door.event);
}

uint64_t access_log_dropped(const struct access_log *log)
{
    uint64_t dropped = atomic_load_explicit(&log->lost, memory_order_relaxed);

    for (unsigned i = 0; i < log->config.threads; i++)
        dropped += atomic_load_explicit(&log->rings[i].dropped, memory_order_relaxed);
    return dropped;
}

void access_log_collector(void *log, enum metric metric, struct metrics_writer *writer)
{
    if (metric == METRIC_warp_access_log_dropped)
        metrics_emit(writer, NULL, (double)access_log_dropped(log));
}
