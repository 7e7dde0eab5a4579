/* What metrics.c and metrics_text.c share. */
#ifndef WARP_STAT_METRICS_OWN_H
#define WARP_STAT_METRICS_OWN_H

#include "stat/metrics.h"

#include <pthread.h>
#include <stdatomic.h>

#define PAGE_ROWS      64u /* tenants or origins in one allocation */
#define TENANT_PAGES   (METRICS_TENANTS_MAX / PAGE_ROWS)
#define ORIGIN_PAGES   (METRICS_ORIGINS_MAX / PAGE_ROWS)
#define COLLECTORS_MAX 16u

/* Written by one thread, read by another at any time. */
typedef _Atomic uint64_t tally;

static inline void tally_add(tally *t, uint64_t n)
{
    atomic_store_explicit(t, atomic_load_explicit(t, memory_order_relaxed) + n, memory_order_relaxed);
}

static inline uint64_t tally_read(const tally *t)
{
    return atomic_load_explicit(t, memory_order_relaxed);
}

#define BUCKETS(X)                                                                                        \
    X(50e3, "5e-05")                                                                                      \
    X(100e3, "0.0001") X(250e3, "0.00025") X(500e3, "0.0005") X(1e6, "0.001") X(2.5e6, "0.0025")          \
        X(5e6, "0.005") X(10e6, "0.01") X(25e6, "0.025") X(50e6, "0.05") X(100e6, "0.1") X(250e6, "0.25") \
            X(500e6, "0.5") X(1e9, "1.0") X(2.5e9, "2.5") X(5e9, "5.0") X(10e9, "10.0") X(30e9, "30.0")   \
                X(60e9, "60.0")
enum {
#define X(ns, text) +1
    BUCKET_COUNT = 0 BUCKETS(X)
#undef X
};

struct histogram {
    tally buckets[BUCKET_COUNT + 1]; /* not cumulative; the last one: above all bounds */
    tally sum_ns;
};

struct tenant_row {
    tally requests[OUTCOME_COUNT], bytes[OUTCOME_COUNT];
};
struct tenant_page {
    struct tenant_row rows[PAGE_ROWS];
};
struct origin_row {
    tally requests[CODE_CLASS_COUNT];
};
struct origin_page {
    struct origin_row rows[PAGE_ROWS];
};

struct metrics_block {
    _Alignas(64) struct metrics *metrics;
    _Atomic(struct tenant_page *) tenants[TENANT_PAGES];
    _Atomic(struct origin_page *) origins[ORIGIN_PAGES];
    struct tenant_row unknown_tenant;
    struct origin_row unknown_origin;
    struct histogram durations[OUTCOME_COUNT], first_bytes[OUTCOME_COUNT], origin, purge;
    tally served[TIER_COUNT], collapsed, slices[SLICE_EVENTS];
    tally connections[CONN_STATE_COUNT];  /* differences, modulo 2^64 */
    tally handshakes[2][2];               /* TLS 1.3, 1.2; full, resumed */
    tally *not_stored, *refused, *limits, *handshake_failures; /* one more each: what has no name */
};

struct origin_name {
    char *tenant, *origin;
};

struct collector {
    metrics_collector *call;
    void *arg;
};

/* A name that others may still read: the access log's thread takes no lock. */
struct old_name {
    struct old_name *next;
    char *name;
};

struct metrics {
    pthread_mutex_t mutex; /* names, pages, scrapes */
    struct metrics_config config;
    struct metrics_block *blocks;
    _Atomic(char *) *tenants; /* METRICS_TENANTS_MAX; NULL: not there */
    struct old_name *old_names;
    struct origin_name *origins;
    uint16_t *origins_by_name; /* open addressing, twice METRICS_ORIGINS_MAX: ids plus one; 0: free */
    unsigned origin_count;
    struct collector collectors[COLLECTORS_MAX];
    unsigned collector_count;
};

extern const char *const bucket_texts[BUCKET_COUNT];
struct tenant_row *tenant_row_of(struct metrics_block *block, uint16_t tenant); /* NULL: unknown */
struct origin_row *origin_row_of(struct metrics_block *block, unsigned origin);

#endif
