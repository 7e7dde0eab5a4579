#include "base/hash.h"
#include "stat/metrics_own.h"

#include <stdlib.h>

static const uint64_t bucket_bounds_ns[] = {
#define X(ns, text) (uint64_t)(ns),
    BUCKETS(X)
#undef X
};
const char *const bucket_texts[] = {
#define X(ns, text) text,
    BUCKETS(X)
#undef X
};

const char *outcome_name(enum outcome outcome)
{
    static const char *const names[] = {
#define X(name) #name,
        OUTCOMES(X)
#undef X
    };
    return names[outcome];
}

const char *tier_name(enum tier tier)
{
    static const char *const names[] = {
#define X(name) #name,
        TIERS(X)
#undef X
    };
    return names[tier];
}

enum code_class code_class_of(unsigned status)
{
    return status >= 100 && status <= 599 ? (enum code_class)(status / 100 - 1) : CODE_CLASS_error;
}

/* ---- life -------------------------------------------------------------------------------------------- */

static err block_init(struct metrics *metrics, struct metrics_block *block)
{
    const struct metrics_config *config = &metrics->config;

    block->metrics = metrics;
    block->not_stored = calloc(config->not_stored.count + 1, sizeof(tally));
    block->refused = calloc(config->refused.count + 1, sizeof(tally));
    block->limits = calloc(config->limits.count + 1, sizeof(tally));
    block->handshake_failures = calloc(config->handshake_failures.count + 1, sizeof(tally));
    ENSURE(block->not_stored != NULL && block->refused != NULL && block->limits != NULL && block->handshake_failures != NULL,
           MEMORY);
    return ERR_OK;
}

static void block_done(struct metrics_block *block)
{
    for (unsigned i = 0; i < TENANT_PAGES; i++)
        free(atomic_load(&block->tenants[i]));
    for (unsigned i = 0; i < ORIGIN_PAGES; i++)
        free(atomic_load(&block->origins[i]));
    free(block->not_stored);
    free(block->refused);
    free(block->limits);
    free(block->handshake_failures);
}

static err metrics_init(struct metrics *metrics)
{
    unsigned threads = metrics->config.threads;

    metrics->tenants = calloc(METRICS_TENANTS_MAX, sizeof(*metrics->tenants));
    metrics->origins = calloc(METRICS_ORIGINS_MAX, sizeof(*metrics->origins));
    metrics->origins_by_name = calloc(2 * METRICS_ORIGINS_MAX, sizeof(*metrics->origins_by_name));
    metrics->blocks = aligned_alloc(64, threads * sizeof(*metrics->blocks));
    ENSURE(metrics->tenants != NULL && metrics->origins != NULL && metrics->origins_by_name != NULL && metrics->blocks != NULL, MEMORY);
    memset(metrics->blocks, 0, threads * sizeof(*metrics->blocks));
    for (unsigned i = 0; i < threads; i++)
        TRY(block_init(metrics, &metrics->blocks[i]));
    return ERR_OK;
}

err metrics_new(const struct metrics_config *config, struct metrics **ret_metrics)
{
    struct metrics *metrics;

    ENSURE(config->threads > 0, INVALID);
    metrics = calloc(1, sizeof(*metrics));
    ENSURE(metrics != NULL, MEMORY);
    pthread_mutex_init(&metrics->mutex, NULL);
    metrics->config = *config;
    err e = metrics_init(metrics);
    if (!err_is_ok(e)) {
        metrics_free(metrics);
        return e;
    }
    *ret_metrics = metrics;
    return ERR_OK;
}

struct metrics *metrics_free(struct metrics *metrics)
{
    if (metrics == NULL)
        return NULL;
    for (unsigned i = 0; metrics->blocks != NULL && i < metrics->config.threads; i++)
        block_done(&metrics->blocks[i]);
    for (unsigned i = 0; metrics->tenants != NULL && i < METRICS_TENANTS_MAX; i++)
        free(atomic_load(&metrics->tenants[i]));
    while (metrics->old_names != NULL) {
        struct old_name *old = metrics->old_names;
        metrics->old_names = old->next;
        free(old->name);
        free(old);
    }
    free(metrics->origins_by_name);
    for (unsigned i = 0; i < metrics->origin_count; i++) {
        free(metrics->origins[i].tenant);
        free(metrics->origins[i].origin);
    }
    pthread_mutex_destroy(&metrics->mutex);
    free(metrics->blocks);
    free(metrics->tenants);
    free(metrics->origins);
    free(metrics);
    return NULL;
}

struct metrics_block *metrics_block_of(struct metrics *metrics, unsigned thread)
{
    INVARIANT(thread < metrics->config.threads);
    return &metrics->blocks[thread];
}

/* ---- tenants, origins -------------------------------------------------------------------------------- */

static err tenant_pages_add(struct metrics *metrics, unsigned page)
{
    for (unsigned i = 0; i < metrics->config.threads; i++) {
        struct metrics_block *block = &metrics->blocks[i];
        if (atomic_load_explicit(&block->tenants[page], memory_order_relaxed) != NULL)
            continue;
        struct tenant_page *rows = calloc(1, sizeof(*rows));
        ENSURE(rows != NULL, MEMORY);
        atomic_store_explicit(&block->tenants[page], rows, memory_order_release);
    }
    return ERR_OK;
}

static err origin_pages_add(struct metrics *metrics, unsigned page)
{
    for (unsigned i = 0; i < metrics->config.threads; i++) {
        struct metrics_block *block = &metrics->blocks[i];
        if (atomic_load_explicit(&block->origins[page], memory_order_relaxed) != NULL)
            continue;
        struct origin_page *rows = calloc(1, sizeof(*rows));
        ENSURE(rows != NULL, MEMORY);
        atomic_store_explicit(&block->origins[page], rows, memory_order_release);
    }
    return ERR_OK;
}

static err tenant_set_locked(struct metrics *metrics, uint16_t tenant, slice name)
{
    TRY(tenant_pages_add(metrics, tenant / PAGE_ROWS));
    char *before = atomic_load(&metrics->tenants[tenant]), *copy;
    struct old_name *old;

    if (before != NULL && slice_eq(slice_str(before), name))
        return ERR_OK;
    copy = strndup(name.len > 0 ? name.data : "", name.len);
    old = before != NULL ? malloc(sizeof(*old)) : NULL;
    if (copy == NULL || (before != NULL && old == NULL)) {
        free(copy);
        return ERR(MEMORY);
    }
    if (old != NULL) {
        *old = (struct old_name){metrics->old_names, before};
        metrics->old_names = old;
    }
    atomic_store(&metrics->tenants[tenant], copy);
    return ERR_OK;
}

const char *metrics_tenant_name(const struct metrics *metrics, uint16_t tenant)
{
    const char *name = atomic_load(&metrics->tenants[tenant]);

    return name != NULL ? name : "unknown";
}

err metrics_tenant_set(struct metrics *metrics, uint16_t tenant, slice name)
{
    pthread_mutex_lock(&metrics->mutex);
    err e = tenant_set_locked(metrics, tenant, name);
    pthread_mutex_unlock(&metrics->mutex);
    return e;
}

/* Where the origin's id is, or would be. */
static uint16_t *origin_slot(struct metrics *metrics, slice tenant, slice origin)
{
    unsigned at = (unsigned)(hash64(origin, hash64(tenant, 0)) % (2 * METRICS_ORIGINS_MAX));

    for (;; at = (at + 1) % (2 * METRICS_ORIGINS_MAX)) {
        const struct origin_name *name = &metrics->origins[metrics->origins_by_name[at] > 0 ? metrics->origins_by_name[at] - 1 : 0];
        if (metrics->origins_by_name[at] == 0 ||
            (slice_eq(slice_str(name->tenant), tenant) && slice_eq(slice_str(name->origin), origin)))
            return &metrics->origins_by_name[at];
    }
}

static err origin_add_locked(struct metrics *metrics, slice tenant, slice origin, uint16_t *ret_id)
{
    unsigned id = metrics->origin_count;
    uint16_t *slot = origin_slot(metrics, tenant, origin);

    if (*slot != 0) {
        *ret_id = (uint16_t)(*slot - 1);
        return ERR_OK;
    }
    ENSURE(id < METRICS_ORIGINS_MAX, LIMIT);
    TRY(origin_pages_add(metrics, id / PAGE_ROWS));
    struct origin_name *name = &metrics->origins[id];
    name->tenant = strndup(tenant.len > 0 ? tenant.data : "", tenant.len);
    name->origin = strndup(origin.len > 0 ? origin.data : "", origin.len);
    if (name->tenant == NULL || name->origin == NULL) {
        free(name->tenant);
        free(name->origin);
        *name = (struct origin_name){0};
        return ERR(MEMORY);
    }
    metrics->origin_count++;
    *slot = (uint16_t)(id + 1);
    *ret_id = (uint16_t)id;
    return ERR_OK;
}

err metrics_origin_add(struct metrics *metrics, slice tenant, slice origin, uint16_t *ret_id)
{
    pthread_mutex_lock(&metrics->mutex);
    err e = origin_add_locked(metrics, tenant, origin, ret_id);
    pthread_mutex_unlock(&metrics->mutex);
    return e;
}

err metrics_collect(struct metrics *metrics, metrics_collector *collector, void *arg)
{
    err e = ERR_OK;

    pthread_mutex_lock(&metrics->mutex);
    if (metrics->collector_count < COLLECTORS_MAX)
        metrics->collectors[metrics->collector_count++] = (struct collector){collector, arg};
    else
        e = ERR(LIMIT);
    pthread_mutex_unlock(&metrics->mutex);
    return e;
}

struct tenant_row *tenant_row_of(struct metrics_block *block, uint16_t tenant)
{
    struct tenant_page *page =
        atomic_load_explicit(&block->tenants[tenant / PAGE_ROWS], memory_order_acquire);

    return page != NULL ? &page->rows[tenant % PAGE_ROWS] : NULL;
}

struct origin_row *origin_row_of(struct metrics_block *block, unsigned origin)
{
    if (origin >= METRICS_ORIGINS_MAX)
        return NULL;
    struct origin_page *page =
        atomic_load_explicit(&block->origins[origin / PAGE_ROWS], memory_order_acquire);
    return page != NULL ? &page->rows[origin % PAGE_ROWS] : NULL;
}

/* ---- counting ---------------------------------------------------------------------------------------- */

static void histogram_add(struct histogram *histogram, uint64_t ns)
{
    unsigned i = 0;

    while (i < BUCKET_COUNT && ns > bucket_bounds_ns[i])
        i++;
    tally_add(&histogram->buckets[i], 1);
    tally_add(&histogram->sum_ns, ns);
}

void metric_request(struct metrics_block *block, uint16_t tenant, enum outcome outcome, uint64_t body_bytes,
                    uint64_t first_byte_ns, uint64_t total_ns)
{
    struct tenant_row *row = tenant_row_of(block, tenant);

    INVARIANT(outcome < OUTCOME_COUNT);
    if (row == NULL)
        row = &block->unknown_tenant;
    tally_add(&row->requests[outcome], 1);
    tally_add(&row->bytes[outcome], body_bytes);
    histogram_add(&block->durations[outcome], total_ns);
    if (first_byte_ns != 0)
        histogram_add(&block->first_bytes[outcome], first_byte_ns);
}

void metric_served(struct metrics_block *block, enum tier tier)
{
    INVARIANT(tier < TIER_COUNT);
    tally_add(&block->served[tier], 1);
}

void metric_slice(struct metrics_block *block, enum slice_event event)
{
    INVARIANT(event < SLICE_EVENTS);
    tally_add(&block->slices[event], 1);
}

void metric_not_stored(struct metrics_block *block, unsigned reason)
{
    tally_add(&block->not_stored[MIN(reason, block->metrics->config.not_stored.count)], 1);
}

void metric_refused(struct metrics_block *block, unsigned reason)
{
    tally_add(&block->refused[MIN(reason, block->metrics->config.refused.count)], 1);
}

void metric_limit(struct metrics_block *block, unsigned limit)
{
    tally_add(&block->limits[MIN(limit, block->metrics->config.limits.count)], 1);
}

void metric_handshake(struct metrics_block *block, bool is_tls12, bool is_resumed)
{
    tally_add(&block->handshakes[is_tls12][is_resumed], 1);
}

void metric_handshake_failure(struct metrics_block *block, unsigned reason)
{
    tally_add(&block->handshake_failures[MIN(reason, block->metrics->config.handshake_failures.count)], 1);
}

void metric_collapsed(struct metrics_block *block)
{
    tally_add(&block->collapsed, 1);
}

void metric_origin(struct metrics_block *block, uint16_t origin, enum code_class code_class,
                   uint64_t duration_ns)
{
    struct origin_row *row = origin_row_of(block, origin); /* an id is given only to what has a name */

    INVARIANT(code_class < CODE_CLASS_COUNT);
    tally_add(&(row != NULL ? row : &block->unknown_origin)->requests[code_class], 1);
    histogram_add(&block->origin, duration_ns);
}

void metric_purge(struct metrics_block *block, uint64_t duration_ns)
{
    histogram_add(&block->purge, duration_ns);
}

void metric_connection(struct metrics_block *block, enum conn_state from, enum conn_state to)
{
    if (from < CONN_STATE_COUNT)
        tally_add(&block->connections[from], UINT64_MAX);
    if (to < CONN_STATE_COUNT)
        tally_add(&block->connections[to], 1);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

uint64_t metrics_requests(struct metrics *metrics, uint16_t tenant, enum outcome outcome)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++) {
        struct tenant_row *row = tenant_row_of(&metrics->blocks[i], tenant);
        sum += row != NULL ? tally_read(&row->requests[outcome]) : 0;
    }
    return sum;
}

uint64_t metrics_response_bytes(struct metrics *metrics, uint16_t tenant, enum outcome outcome)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++) {
        struct tenant_row *row = tenant_row_of(&metrics->blocks[i], tenant);
        sum += row != NULL ? tally_read(&row->bytes[outcome]) : 0;
    }
    return sum;
}

/* Every request has a duration. */
uint64_t metrics_requests_all(struct metrics *metrics, enum outcome outcome)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++)
        for (unsigned bucket = 0; bucket <= BUCKET_COUNT; bucket++)
            sum += tally_read(&metrics->blocks[i].durations[outcome].buckets[bucket]);
    return sum;
}

uint64_t metrics_collapsed(struct metrics *metrics)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++)
        sum += tally_read(&metrics->blocks[i].collapsed);
    return sum;
}

uint64_t metrics_served(struct metrics *metrics, enum tier tier)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++)
        sum += tally_read(&metrics->blocks[i].served[tier]);
    return sum;
}

int64_t metrics_connections(struct metrics *metrics, enum conn_state state)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++)
        sum += tally_read(&metrics->blocks[i].connections[state]);
    return (int64_t)sum;
}

double metrics_duration_quantile(struct metrics *metrics, double quantile)
{
    uint64_t buckets[BUCKET_COUNT + 1] = {0}, total = 0, below = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++)
        for (unsigned o = 0; o < OUTCOME_COUNT; o++)
            for (unsigned b = 0; b <= BUCKET_COUNT; b++)
                buckets[b] += tally_read(&metrics->blocks[i].durations[o].buckets[b]);
    for (unsigned b = 0; b <= BUCKET_COUNT; b++)
        total += buckets[b];
    if (total == 0)
        return 0;
    for (unsigned b = 0; b < BUCKET_COUNT; b++) {
        below += buckets[b];
        if ((double)below >= quantile * (double)total)
            return (double)bucket_bounds_ns[b] / 1e9;
    }
    return (double)bucket_bounds_ns[BUCKET_COUNT - 1] / 1e9;
}
