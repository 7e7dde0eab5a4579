/* metrics: every number WARP shows at /metrics, from one table.
 *
 * Counters and histograms belong to a thread: one block per thread, written by it alone without locked
 * instructions, summed when somebody scrapes. Numbers that others keep (store tiers, process, health) are
 * asked for by a collector at the scrape. Tenants and origins are added at configuration time, so that
 * counting allocates nothing; what is counted for one that is not there appears under tenant or origin
 * "unknown": no request is uncounted.
 *
 * Threads: metric_* on the block's own thread; the rest any thread (a mutex inside). */
#ifndef WARP_STAT_METRICS_H
#define WARP_STAT_METRICS_H

#include "base/err.h"
#include "base/slice.h"

/* ---- vocabularies
 * ------------------------------------------------------------------------------------------- */

#define OUTCOMES(X) X(hit) X(stale) X(revalidated) X(miss) X(bypass) X(error) X(synthetic)
enum outcome {
#define X(name) OUTCOME_##name,
    OUTCOMES(X)
#undef X
    OUTCOME_COUNT
};
const char *outcome_name(enum outcome outcome);

#define TIERS(X) X(ram) X(disk) X(remote)
enum tier {
#define X(name) TIER_##name,
    TIERS(X)
#undef X
    TIER_COUNT
};
const char *tier_name(enum tier tier);

/* error: no answer at all */
#define CODE_CLASSES(X) X(1xx) X(2xx) X(3xx) X(4xx) X(5xx) X(error)
enum code_class {
#define X(name) CODE_CLASS_##name,
    CODE_CLASSES(X)
#undef X
    CODE_CLASS_COUNT
};
enum code_class code_class_of(unsigned status); /* 0 and what is no status: error */

#define CONN_STATES(X) X(active) X(idle) X(closing)
enum conn_state {
#define X(name) CONN_##name,
    CONN_STATES(X)
#undef X
    CONN_STATE_COUNT
};

/* What is counted of slices. */
enum slice_event { SLICE_HIT, SLICE_MISS, SLICE_FETCHED, SLICE_RANGE, SLICE_EVENTS };

/* ---- the table: name, kind, labels, help ------------------------------------------------------------- */

/* Counters are named without _total here; the writer adds it. C: counter, G: gauge, H: histogram. */
#define METRICS(X)                                                                                         \
    X(warp_requests, C, "tenant,outcome", "Requests answered, by outcome")                                 \
    X(warp_response_bytes, C, "tenant,outcome", "Body bytes sent to clients")                              \
    X(warp_request_duration_seconds, H, "outcome",                                                         \
      "From the first byte of a request to the last byte of its answer")                                   \
    X(warp_time_to_first_byte_seconds, H, "outcome",                                                       \
      "From the first byte of a request to the first of its answer")                                       \
    X(warp_cache_lookup_hits, C, "tier", "Lookups that found an object")                                   \
    X(warp_cache_served_hits, C, "tier", "Requests answered from the tier")                                \
    X(warp_cache_misses, C, "tier", "Lookups that found nothing")                                          \
    X(warp_cache_inserts, C, "tier", "Objects written")                                                    \
    X(warp_cache_purge_attempts, C, "tier", "Purges asked for")                                            \
    X(warp_cache_evictions, C, "tier", "Objects removed to make room")                                     \
    X(warp_cache_evicted_bytes, C, "tier", "Bytes removed to make room")                                   \
    X(warp_cache_size_bytes, G, "tier", "Bytes in use: bodies, metadata, keys, padding and structures")    \
    X(warp_cache_objects, G, "tier", "Objects in the index, without slices")                               \
    X(warp_cache_slices, G, "tier", "Slices of large bodies in the index")                                 \
    X(warp_cache_index_bytes, G, "tier", "Bytes of the index")                                             \
    X(warp_cache_max_bytes, G, "tier", "The cap on size and index together")                               \
    X(warp_cache_slab_moves, C, "tier", "Slabs and ready extents that were made one huge page")            \
    X(warp_cache_slab_move_failures, C, "tier",                                                            \
      "Attempts at it that failed: sockets held pages, or the kernel had none")                            \
    X(warp_cache_slabs, G, "tier", "Slabs that large bodies lie in, of up to 2 MiB")                       \
    X(warp_cache_slab_bytes, G, "tier", "Bytes of these slabs")                                            \
    X(warp_cache_slab_huge, G, "tier", "Slabs that are one huge page")                                     \
    X(warp_cache_slab_rounding_bytes, G, "tier",                                                           \
      "Bytes of slabs that hold nothing: the ends of bodies, rounded up")                                  \
    X(warp_cache_slab_ready_bytes, G, "tier", "Bytes of huge pages ready for the next large body")         \
    X(warp_store_recovering, G, "tier", "1 while what is stored is still being found again after a start")  \
    X(warp_disk_errors, C, "kind", "What went wrong with the devices of the disk tier, by kind")            \
    X(warp_disk_written_bytes, C, "cause", "Bytes written to the devices, by cause")                        \
    X(warp_disk_segments, G, "state", "Segments of the devices: free, used, or out of use")                 \
    X(warp_disk_devices, G, "state", "Devices of the disk tier: in use, or out of use since they failed")   \
    X(warp_disk_reads, C, "", "Reads of the devices for lookups")                                           \
    X(warp_disk_false_reads, C, "", "Those that brought the record of another key")                         \
    X(warp_disk_offers_refused, C, "", "Objects that were not written because too many waited")             \
    X(warp_disk_too_large, C, "",                                                                          \
      "Objects that were not written because no segment of so small a store holds them")                   \
    X(warp_disk_spared_lost_bytes, C, "", "Bytes guaranteed to tenants that left the disk all the same")    \
    X(warp_disk_index_lost, C, "", "Objects that left the index because their buckets were full")           \
    X(warp_disk_decisions, C, "decision", "What became of objects that were to be written or given up")     \
    X(warp_disk_small_log_bytes, G, "", "Room of the small log, of all that the two logs have")             \
    X(warp_disk_off, G, "", "1 when a purge could not be made durable, and nothing of the disk is served")  \
    X(warp_slice_lookups, C, "result",                                                                     \
      "Slices that readers of large bodies came to: hit (in the store) or miss (still to be written)")     \
    X(warp_slices_fetched, C, "", "Slices written from answers of origins")                                \
    X(warp_slice_ranges, C, "", "Requests with Range that origins were sent for slices")                   \
    X(warp_not_stored, C, "reason", "Answers that were not stored, by reason")                             \
    X(warp_refused_requests, C, "reason", "Requests refused before they were understood, by reason")       \
    X(warp_limit_hits, C, "limit", "Times a limit was reached")                                            \
    X(warp_collapsed_requests, C, "", "Requests that followed another request's fetch")                    \
    X(warp_origin_requests, C, "tenant,origin,code_class",                                                 \
      "Requests sent to origins, by class of the answer")                                                  \
    X(warp_origin_duration_seconds, H, "", "From sending a request to an origin to the end of its answer") \
    X(warp_origin_healthy, G, "tenant,origin", "1 while the origin is used, 0 while it is left out")       \
    X(warp_connections, G, "state", "Client connections, by state")                                        \
    X(warp_tls_handshakes, C, "version,resumed", "TLS handshakes of clients that succeeded")               \
    X(warp_tls_handshake_failures, C, "reason", "TLS handshakes of clients that failed, by reason")        \
    X(warp_certificate_expiry_timestamp_seconds, G, "name",                                                \
      "End of validity of a certificate in use, by its file, since unix epoch in seconds")                 \
    X(warp_reloads, C, "result", "Times the configuration was read again or changed: success, failure (the old one stays)") \
    X(warp_state_owed, G, "kind", "What is true and not written down in the state directory yet: files, audit_lines") \
    X(warp_audit_lines_lost, C, "", "Lines of the audit log that were given up because too many could not be written") \
    X(warp_purge_duration_seconds, H, "", "From a purge's arrival to its effect")                          \
    X(warp_purge_refreshes, C, "result", "Softly purged URLs that were to be fetched again, by what became of them") \
    X(warp_purge_walks_refused, C, "", "Dry runs and refreshes that were not begun because too many were under way") \
    X(warp_purge_labels, G, "", "Labels that objects in the cache are compared with")                      \
    X(warp_purge_overflows, C, "", "Purges that took all of their tenant because there were too many labels") \
    X(warp_tenant_bytes, G, "tenant,tier", "Bytes stored for a tenant")                                    \
    X(warp_access_log_dropped, C, "", "Access records lost because the log could not keep up")             \
    X(warp_admin_refusals, C, "reason", "Requests to the admin listener, and PURGE, that were refused for who asked") \
    X(warp_build_info, G, "version,io", "Constant 1: the version that runs")                               \
    X(warp_uring_refused, G, "", "Workers on epoll because io_uring was asked for and refused")            \
    X(process_cpu_seconds, C, "", "Total user and system CPU time spent in seconds")                       \
    X(process_open_fds, G, "", "Number of open file descriptors")                                          \
    X(process_max_fds, G, "", "Maximum number of open file descriptors")                                   \
    X(process_virtual_memory_bytes, G, "", "Virtual memory size in bytes")                                 \
    X(process_resident_memory_bytes, G, "", "Resident memory size in bytes")                               \
    X(process_start_time_seconds, G, "", "Start time of the process since unix epoch in seconds")

enum metric {
#define X(name, kind, labels, help) METRIC_##name,
    METRICS(X)
#undef X
    METRIC_COUNT
};

/* ---- set-up ------------------------------------------------------------------------------------------ */

#define METRICS_TENANTS_MAX 65536u
#define METRICS_ORIGINS_MAX 16384u
#define METRICS_ORIGIN_UNKNOWN UINT16_MAX /* an id that counts as "unknown" */

struct metric_names {
    const char *const *names; /* static; a NULL name is left out */
    unsigned count;
};

struct metrics_config {
    unsigned threads;               /* blocks */
    unsigned tenants_shown; /* that have series of their own: those with the most requests */
    struct metric_names not_stored; /* reasons not to store, indexed by their enum */
    struct metric_names refused;    /* reasons to refuse a request */
    struct metric_names limits;
    struct metric_names handshake_failures;
};

struct metrics;
struct metrics_block;

MUST_USE err metrics_new(const struct metrics_config *config, struct metrics **ret_metrics);
struct metrics *metrics_free(struct metrics *metrics);
struct metrics_block *metrics_block_of(struct metrics *metrics, unsigned thread);

/* Again with another name: renames. The name is copied. */
MUST_USE err metrics_tenant_set(struct metrics *metrics, uint16_t tenant, slice name);
/* "unknown" for one that is not there. Any thread; stays valid until metrics_free. */
const char *metrics_tenant_name(const struct metrics *metrics, uint16_t tenant);
/* The same names again give the same id. ERR_LIMIT beyond METRICS_ORIGINS_MAX. */
MUST_USE err metrics_origin_add(struct metrics *metrics, slice tenant, slice origin, uint16_t *ret_id);

/* ---- counting: on the block's own thread, no allocation
 * ------------------------------------------------------ */

void metric_request(struct metrics_block *block, uint16_t tenant, enum outcome outcome, uint64_t body_bytes,
                    uint64_t first_byte_ns, uint64_t total_ns); /* first_byte_ns 0: none was sent */
void metric_served(struct metrics_block *block, enum tier tier);
void metric_slice(struct metrics_block *block, enum slice_event event);
void metric_not_stored(struct metrics_block *block, unsigned reason);
void metric_refused(struct metrics_block *block, unsigned reason);
void metric_limit(struct metrics_block *block, unsigned limit);
void metric_handshake(struct metrics_block *block, bool is_tls12, bool is_resumed);
void metric_handshake_failure(struct metrics_block *block, unsigned reason);
void metric_collapsed(struct metrics_block *block);
void metric_origin(struct metrics_block *block, uint16_t origin, enum code_class code_class,
                   uint64_t duration_ns);
void metric_purge(struct metrics_block *block, uint64_t duration_ns);
/* A connection goes from one state to another; CONN_STATE_COUNT: is new, or is gone. */
void metric_connection(struct metrics_block *block, enum conn_state from, enum conn_state to);

/* ---- numbers of others
 * ------------------------------------------------------------------------------------- */

struct metrics_writer;
/* Has that tenant series of its own in this page? What is said of the others is summed under "other". */
bool metrics_shows(const struct metrics_writer *writer, slice tenant);
/* Called at each scrape once per metric of the table; emits the samples of that one, if it has any. */
typedef void metrics_collector(void *arg, enum metric metric, struct metrics_writer *writer);
MUST_USE err metrics_collect(struct metrics *metrics, metrics_collector *collector, void *arg);
/* values: as many as the metric has labels, in the table's order; any bytes. */
void metrics_emit(struct metrics_writer *writer, const slice *values, double value);

/* ---- reading
 * ------------------------------------------------------------------------------------------------ */

/* Sums over all threads; for the API and tests. */
uint64_t metrics_requests(struct metrics *metrics, uint16_t tenant, enum outcome outcome);
uint64_t metrics_response_bytes(struct metrics *metrics, uint16_t tenant, enum outcome outcome);
uint64_t metrics_requests_all(struct metrics *metrics, enum outcome outcome);
uint64_t metrics_collapsed(struct metrics *metrics);
uint64_t metrics_served(struct metrics *metrics, enum tier tier);
int64_t metrics_connections(struct metrics *metrics, enum conn_state state);
/* Upper bound of the bucket that holds the quantile (0..1) of all request durations, in seconds; 0 without
 * any. */
double metrics_duration_quantile(struct metrics *metrics, double quantile);

enum metrics_format {
    METRICS_PROMETHEUS,
    METRICS_OPENMETRICS
};
#define METRICS_TYPE_PROMETHEUS  "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
/* The whole page; free() it. */
MUST_USE err metrics_text(struct metrics *metrics, enum metrics_format format, char **ret_text,
                          size_t *ret_len);

#endif
