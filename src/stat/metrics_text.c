/* The page at /metrics: Prometheus text 0.0.4 and OpenMetrics 1.0, from one walk over the table. */
#include "base/hash.h"
#include "stat/metrics_own.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES_FIRST (64u * 1024)
#define TEXT_BYTES_MAX   (256u * 1024 * 1024)

enum metric_kind {
    KIND_C,
    KIND_G,
    KIND_H
};

static const struct metric_row {
    const char *name, *labels, *help;
    enum metric_kind kind;
} rows[] = {
#define X(name, kind, labels, help) {#name, labels, help, KIND_##kind},
    METRICS(X)
#undef X
};

struct metrics_writer {
    char *text;
    size_t len, size;
    bool has_failed, is_open; /* OpenMetrics */
    const struct metric_row *row;
    uint64_t *shown; /* hashes of the names of tenants with series of their own, in order */
    unsigned shown_count;
};

/* ---- text -------------------------------------------------------------------------------------------- */

static bool text_reserve(struct metrics_writer *w, size_t more)
{
    size_t size = w->size;

    if (w->has_failed || w->size - w->len >= more)
        return !w->has_failed;
    while (size - w->len < more)
        size *= 2;
    char *text = size <= TEXT_BYTES_MAX ? realloc(w->text, size) : NULL;
    if (text == NULL) {
        w->has_failed = true;
        return false;
    }
    w->text = text;
    w->size = size;
    return true;
}

static void text_bytes(struct metrics_writer *w, const char *bytes, size_t len)
{
    if (len == 0 || !text_reserve(w, len))
        return;
    memcpy(w->text + w->len, bytes, len);
    w->len += len;
}

static void text_printf(struct metrics_writer *w, const char *format, ...) PRINTF(2, 3);
static void text_printf(struct metrics_writer *w, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    INVARIANT(n >= 0 && (size_t)n < sizeof(line));
    text_bytes(w, line, (size_t)n);
}

/* The page is UTF-8, and a scraper refuses all of it for one bad byte: what is not ASCII is shown as \xNN. */
static void text_value(struct metrics_writer *w, slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c == '"' || c == '\\')
            text_printf(w, "\\%c", c);
        else if (c == '\n')
            text_bytes(w, "\\n", 2);
        else if (c < 0x20 || c >= 0x7f)
            text_printf(w, "\\\\x%02x", c);
        else
            text_bytes(w, (const char *)&c, 1);
    }
}

/* {a="..",b=".."} with le last, where there is one. */
static void text_labels(struct metrics_writer *w, const slice *values, const char *le)
{
    const char *name = w->row->labels;
    unsigned i = 0;

    if (*name == '\0' && le == NULL)
        return;
    text_bytes(w, "{", 1);
    while (*name != '\0') {
        size_t n = strcspn(name, ",");
        text_printf(w, "%s%.*s=\"", i > 0 ? "," : "", (int)n, name);
        text_value(w, values[i++]);
        text_bytes(w, "\"", 1);
        name += n + (name[n] == ',');
    }
    if (le != NULL)
        text_printf(w, "%sle=\"%s\"", i > 0 ? "," : "", le);
    text_bytes(w, "}", 1);
}

static void text_number(struct metrics_writer *w, double value)
{
    if (isnan(value))
        text_printf(w, " NaN\n");
    else if (isinf(value))
        text_printf(w, value > 0 ? " +Inf\n" : " -Inf\n");
    else if (fabs(value) < 9007199254740992.0 && value == (double)(int64_t)value)
        text_printf(w, " %.0f\n", value);
    else
        text_printf(w, " %.17g\n", value);
}

static void text_head(struct metrics_writer *w)
{
    static const char *const kinds[] = {"counter", "gauge", "histogram"};
    const char *total = w->row->kind == KIND_C && !w->is_open ? "_total" : "";

    text_printf(w, "# HELP %s%s %s\n", w->row->name, total, w->row->help);
    text_printf(w, "# TYPE %s%s %s\n", w->row->name, total, kinds[w->row->kind]);
}

void metrics_emit(struct metrics_writer *w, const slice *values, double value)
{
    INVARIANT(w->row->kind != KIND_H);
    text_printf(w, "%s%s", w->row->name, w->row->kind == KIND_C ? "_total" : "");
    text_labels(w, values, NULL);
    text_number(w, value);
}

static void emit_count(struct metrics_writer *w, const slice *values, uint64_t count)
{
    metrics_emit(w, values, (double)count);
}

/* ---- families ---------------------------------------------------------------------------------------- */

/* Sums a histogram that lies at the same place in every block. */
static void emit_histogram(struct metrics_writer *w, struct metrics *metrics, size_t offset,
                           const slice *values)
{
    uint64_t buckets[BUCKET_COUNT + 1] = {0}, sum_ns = 0, count = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++) {
        const struct histogram *h = (const void *)((const char *)&metrics->blocks[i] + offset);
        for (unsigned b = 0; b <= BUCKET_COUNT; b++)
            buckets[b] += tally_read(&h->buckets[b]);
        sum_ns += tally_read(&h->sum_ns);
    }
    for (unsigned b = 0; b <= BUCKET_COUNT; b++) {
        count += buckets[b];
        text_printf(w, "%s_bucket", w->row->name);
        text_labels(w, values, b < BUCKET_COUNT ? bucket_texts[b] : "+Inf");
        text_number(w, (double)count);
    }
    text_printf(w, "%s_sum", w->row->name);
    text_labels(w, values, NULL);
    text_number(w, (double)sum_ns / 1e9);
    text_printf(w, "%s_count", w->row->name);
    text_labels(w, values, NULL);
    text_number(w, (double)count);
}

static void emit_by_outcome(struct metrics_writer *w, struct metrics *metrics, size_t offset)
{
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        emit_histogram(w, metrics, offset + o * sizeof(struct histogram),
                       (slice[]){slice_str(outcome_name(o))});
}

static uint64_t row_read(const struct tenant_row *row, enum outcome outcome, bool is_bytes)
{
    return row != NULL ? tally_read(is_bytes ? &row->bytes[outcome] : &row->requests[outcome]) : 0;
}

/* Rows without a name that share a page with one that has one. */
static uint64_t nameless_sum(struct metrics *metrics, struct metrics_block *block, enum outcome outcome,
                             bool is_bytes)
{
    uint64_t sum = row_read(&block->unknown_tenant, outcome, is_bytes);

    for (unsigned page = 0; page < TENANT_PAGES; page++) {
        if (atomic_load_explicit(&block->tenants[page], memory_order_relaxed) == NULL)
            continue;
        for (unsigned t = page * PAGE_ROWS; t < (page + 1) * PAGE_ROWS; t++)
            if (atomic_load(&metrics->tenants[t]) == NULL)
                sum += row_read(tenant_row_of(block, (uint16_t)t), outcome, is_bytes);
    }
    return sum;
}

static uint64_t tenant_sum(struct metrics *metrics, int tenant, enum outcome outcome, bool is_bytes)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++) {
        struct metrics_block *block = &metrics->blocks[i];
        sum += tenant < 0 ? nameless_sum(metrics, block, outcome, is_bytes)
                          : row_read(tenant_row_of(block, (uint16_t)tenant), outcome, is_bytes);
    }
    return sum;
}

static void emit_outcomes(struct metrics_writer *w, slice name, const uint64_t values[OUTCOME_COUNT])
{
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        emit_count(w, (slice[]){name, slice_str(outcome_name(o))}, values[o]);
}

static void tenant_read(struct metrics *metrics, int tenant, bool is_bytes, uint64_t values[OUTCOME_COUNT])
{
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        values[o] += tenant_sum(metrics, tenant, o, is_bytes);
}

static void emit_tenants(struct metrics_writer *w, struct metrics *metrics, bool is_bytes)
{
    uint64_t other[OUTCOME_COUNT] = {0}, unknown[OUTCOME_COUNT] = {0}, requests[OUTCOME_COUNT] = {0}, sum = 0;
    bool is_any_hidden = false;

    for (unsigned t = 0; t < METRICS_TENANTS_MAX; t++) {
        const char *name = atomic_load(&metrics->tenants[t]);
        uint64_t values[OUTCOME_COUNT] = {0};
        if (name == NULL)
            continue;
        if (metrics_shows(w, slice_str(name))) {
            tenant_read(metrics, (int)t, is_bytes, values);
            emit_outcomes(w, slice_str(name), values);
        } else {
            tenant_read(metrics, (int)t, is_bytes, other);
            is_any_hidden = true;
        }
    }
    if (is_any_hidden)
        emit_outcomes(w, SLICE("other"), other);
    tenant_read(metrics, -1, false, requests);
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        sum += requests[o];
    tenant_read(metrics, -1, is_bytes, unknown);
    if (sum > 0)
        emit_outcomes(w, SLICE("unknown"), unknown);
}

static uint64_t origin_sum(struct metrics *metrics, int origin, unsigned code_class)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++) {
        struct metrics_block *block = &metrics->blocks[i];
        struct origin_row *row = origin < 0 ? &block->unknown_origin : origin_row_of(block, (unsigned)origin);
        sum += row != NULL ? tally_read(&row->requests[code_class]) : 0;
    }
    return sum;
}

static void emit_origins(struct metrics_writer *w, struct metrics *metrics)
{
    uint64_t other[CODE_CLASS_COUNT] = {0};
    static const char *const names[] = {
#define X(name) #name,
        CODE_CLASSES(X)
#undef X
    };

    for (int o = -1; o < (int)metrics->origin_count; o++) {
        slice tenant = o < 0 ? SLICE("unknown") : slice_str(metrics->origins[o].tenant);
        slice origin = o < 0 ? SLICE("unknown") : slice_str(metrics->origins[o].origin);
        bool is_shown = o < 0 || metrics_shows(w, tenant);
        for (unsigned c = 0; c < CODE_CLASS_COUNT; c++) {
            uint64_t count = origin_sum(metrics, o, c);
            if (!is_shown)
                other[c] += count;
            else if (count > 0)
                emit_count(w, (slice[]){tenant, origin, slice_str(names[c])}, count);
        }
    }
    for (unsigned c = 0; c < CODE_CLASS_COUNT; c++)
        if (other[c] > 0)
            emit_count(w, (slice[]){SLICE("other"), SLICE("other"), slice_str(names[c])}, other[c]);
}

static uint64_t named_sum(struct metrics *metrics, size_t offset, unsigned at)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++) {
        tally *const *tallies = (tally *const *)(const void *)((const char *)&metrics->blocks[i] + offset);
        sum += tally_read(&(*tallies)[at]);
    }
    return sum;
}

static void emit_named(struct metrics_writer *w, struct metrics *metrics, size_t offset,
                       struct metric_names names)
{
    for (unsigned i = 0; i < names.count; i++)
        if (names.names[i] != NULL)
            emit_count(w, (slice[]){slice_str(names.names[i])}, named_sum(metrics, offset, i));
    uint64_t other = named_sum(metrics, offset, names.count);
    if (other > 0)
        emit_count(w, (slice[]){SLICE("other")}, other);
}

static uint64_t slices_sum(struct metrics *metrics, enum slice_event event)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < metrics->config.threads; i++)
        sum += tally_read(&metrics->blocks[i].slices[event]);
    return sum;
}

static void emit_connections(struct metrics_writer *w, struct metrics *metrics)
{
    static const char *const names[] = {
#define X(name) #name,
        CONN_STATES(X)
#undef X
    };

    for (unsigned s = 0; s < CONN_STATE_COUNT; s++)
        metrics_emit(w, (slice[]){slice_str(names[s])}, (double)metrics_connections(metrics, s));
}

static void emit_handshakes(struct metrics_writer *w, struct metrics *metrics)
{
    for (unsigned i = 0; i < 4; i++) {
        unsigned version = i / 2, resumed = i % 2;
        uint64_t sum = 0;

        for (unsigned t = 0; t < metrics->config.threads; t++)
            sum += tally_read(&metrics->blocks[t].handshakes[version][resumed]);
        emit_count(w, (slice[]){version == 1 ? SLICE("TLSv1.2") : SLICE("TLSv1.3"), resumed == 1 ? SLICE("yes") : SLICE("no")},
                   sum);
    }
}

/* What the blocks hold; everything else comes from collectors. */
static void emit_own(struct metrics_writer *w, struct metrics *metrics, enum metric metric)
{
    const struct metrics_config *config = &metrics->config;

    switch (metric) {
    case METRIC_warp_requests:
        emit_tenants(w, metrics, false);
        break;
    case METRIC_warp_response_bytes:
        emit_tenants(w, metrics, true);
        break;
    case METRIC_warp_request_duration_seconds:
        emit_by_outcome(w, metrics, offsetof(struct metrics_block, durations));
        break;
    case METRIC_warp_time_to_first_byte_seconds:
        emit_by_outcome(w, metrics, offsetof(struct metrics_block, first_bytes));
        break;
    case METRIC_warp_cache_served_hits:
        for (unsigned t = 0; t < TIER_COUNT; t++)
            emit_count(w, (slice[]){slice_str(tier_name(t))}, metrics_served(metrics, t));
        break;
    case METRIC_warp_slice_lookups:
        emit_count(w, (slice[]){SLICE("hit")}, slices_sum(metrics, SLICE_HIT));
        emit_count(w, (slice[]){SLICE("miss")}, slices_sum(metrics, SLICE_MISS));
        break;
    case METRIC_warp_slices_fetched:
        emit_count(w, NULL, slices_sum(metrics, SLICE_FETCHED));
        break;
    case METRIC_warp_slice_ranges:
        emit_count(w, NULL, slices_sum(metrics, SLICE_RANGE));
        break;
    case METRIC_warp_not_stored:
        emit_named(w, metrics, offsetof(struct metrics_block, not_stored), config->not_stored);
        break;
    case METRIC_warp_refused_requests:
        emit_named(w, metrics, offsetof(struct metrics_block, refused), config->refused);
        break;
    case METRIC_warp_limit_hits:
        emit_named(w, metrics, offsetof(struct metrics_block, limits), config->limits);
        break;
    case METRIC_warp_tls_handshakes:
        emit_handshakes(w, metrics);
        break;
    case METRIC_warp_tls_handshake_failures:
        emit_named(w, metrics, offsetof(struct metrics_block, handshake_failures), config->handshake_failures);
        break;
    case METRIC_warp_collapsed_requests:
        emit_count(w, NULL, metrics_collapsed(metrics));
        break;
    case METRIC_warp_origin_requests:
        emit_origins(w, metrics);
        break;
    case METRIC_warp_origin_duration_seconds:
        emit_histogram(w, metrics, offsetof(struct metrics_block, origin), NULL);
        break;
    case METRIC_warp_connections:
        emit_connections(w, metrics);
        break;
    case METRIC_warp_purge_duration_seconds:
        emit_histogram(w, metrics, offsetof(struct metrics_block, purge), NULL);
        break;
    default:
        break;
    }
}

/* A family is its head and at least one sample: a head alone says nothing. */
static void emit_family(struct metrics_writer *w, struct metrics *metrics, enum metric metric)
{
    size_t start = w->len, behind_head;

    w->row = &rows[metric];
    text_head(w);
    behind_head = w->len;
    emit_own(w, metrics, metric);
    for (unsigned i = 0; i < metrics->collector_count; i++)
        metrics->collectors[i].call(metrics->collectors[i].arg, metric, w);
    if (w->len == behind_head)
        w->len = start;
}

/* ---- which tenants --------------------------------------------------------------------------------------------------- */

struct candidate {
    uint64_t requests, name;
    unsigned tenant;
};

/* The one with more requests first; of equal ones the older, so that a page is like the one before it. */
static int more_requests(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->requests != y->requests)
        return x->requests > y->requests ? -1 : 1;
    return x->tenant < y->tenant ? -1 : x->tenant > y->tenant;
}

static int hash_order(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* Two tenants may be called as what has no name of its own: they are never shown by it. */
static bool is_reserved(const char *name)
{
    return strcmp(name, "other") == 0 || strcmp(name, "unknown") == 0;
}

static unsigned candidates_of(struct metrics *metrics, struct candidate *candidates)
{
    unsigned count = 0;

    for (unsigned t = 0; t < METRICS_TENANTS_MAX; t++) {
        const char *name = atomic_load(&metrics->tenants[t]);
        struct candidate candidate = {.tenant = t};
        if (name == NULL || is_reserved(name))
            continue;
        candidate.name = hash64(slice_str(name), 0);
        for (unsigned o = 0; o < OUTCOME_COUNT; o++)
            candidate.requests += tenant_sum(metrics, (int)t, o, false);
        candidates[count++] = candidate;
    }
    return count;
}

MUST_USE static err shown_choose(struct metrics *metrics, struct metrics_writer *w)
{
    struct candidate *candidates = malloc(METRICS_TENANTS_MAX * sizeof(*candidates));
    unsigned max = metrics->config.tenants_shown, count;

    ENSURE(candidates != NULL, MEMORY);
    count = candidates_of(metrics, candidates);
    if (count > max)
        qsort(candidates, count, sizeof(*candidates), more_requests);
    count = MIN(count, max);
    w->shown = malloc((count + 1) * sizeof(*w->shown));
    for (unsigned i = 0; w->shown != NULL && i < count; i++)
        w->shown[i] = candidates[i].name;
    free(candidates);
    ENSURE(w->shown != NULL, MEMORY);
    w->shown_count = count;
    qsort(w->shown, count, sizeof(*w->shown), hash_order);
    return ERR_OK;
}

bool metrics_shows(const struct metrics_writer *w, slice tenant)
{
    uint64_t hash = hash64(tenant, 0);

    return bsearch(&hash, w->shown, w->shown_count, sizeof(*w->shown), hash_order) != NULL;
}

err metrics_text(struct metrics *metrics, enum metrics_format format, char **ret_text, size_t *ret_len)
{
    struct metrics_writer w = {.size = TEXT_BYTES_FIRST, .is_open = format == METRICS_OPENMETRICS};

    w.text = malloc(w.size);
    ENSURE(w.text != NULL, MEMORY);
    pthread_mutex_lock(&metrics->mutex);
    w.has_failed = !err_is_ok(shown_choose(metrics, &w));
    for (unsigned m = 0; !w.has_failed && m < METRIC_COUNT; m++)
        emit_family(&w, metrics, m);
    pthread_mutex_unlock(&metrics->mutex);
    free(w.shown);
    if (w.is_open)
        text_printf(&w, "# EOF\n");
    text_bytes(&w, "", 1); /* terminated, not counted */
    if (w.has_failed) {
        free(w.text);
        return ERR(MEMORY);
    }
    *ret_text = w.text;
    *ret_len = w.len - 1;
    return ERR_OK;
}
