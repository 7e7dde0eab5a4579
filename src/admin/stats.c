/* What the store, the origins and the process say of themselves: /stats, /metrics. */
#include "admin/admin_internal.h"
#include "os/process.h"
#include "store/purge.h"

#include <stdio.h>

/* ---- /metrics: numbers that others keep ------------------------------------------------------------------------ */

static void collect_tier(const struct storage *storage, enum metric metric, struct metrics_writer *writer)
{
    slice tier = slice_str(storage_name(storage));
    struct store_stats stats;

    storage_stats(storage, &stats);
    switch (metric) {
#define X(name, text)                                                                                        \
    case METRIC_warp_cache_##name:                                                                           \
        metrics_emit(writer, &tier, (double)stats.name);                                                     \
        break;
        STORE_COUNTERS(X)
        STORE_GAUGES(X)
#undef X
    default:
        break;
    }
}

static void collect_tenant_bytes(struct admin_context *context, const struct storage *storage, struct metrics_writer *writer)
{
    slice labels[2] = {SLICE("other"), slice_str(storage_name(storage))};
    bool is_any_hidden = false;
    uint64_t other = 0;

    for (unsigned t = 0; t < tenants_count(context->tenants); t++) {
        const struct tenant *tenant = tenants_at(context->tenants, t);
        uint64_t bytes = storage_tenant_bytes(storage, tenant->id);
        if (metrics_shows(writer, tenant->name)) {
            metrics_emit(writer, (slice[]){tenant->name, labels[1]}, (double)bytes);
        } else {
            other += bytes;
            is_any_hidden = true;
        }
    }
    if (is_any_hidden)
        metrics_emit(writer, labels, (double)other);
}

static void collect_store(struct admin_context *context, enum metric metric, struct metrics_writer *writer)
{
    const struct storage *tier;

    for (unsigned i = 0; (tier = storage_tier(context->storage, i)) != NULL; i++) {
        if (metric == METRIC_warp_tenant_bytes)
            collect_tenant_bytes(context, tier, writer);
        else
            collect_tier(tier, metric, writer);
    }
}

static void emit_named(struct metrics_writer *writer, const char *name, uint64_t value)
{
    slice label = slice_str(name);

    metrics_emit(writer, &label, (double)value);
}

static void collect_disk(const struct disk *disk, enum metric metric, struct metrics_writer *writer)
{
    struct disk_stats stats;

    if (disk == NULL)
        return;
    disk_stats(disk, &stats);
    switch (metric) {
    case METRIC_warp_store_recovering:
        emit_named(writer, "disk", stats.recovering > 0);
        break;
    case METRIC_warp_disk_errors:
#define X(name, word) emit_named(writer, word, stats.errors[DISK_ERROR_##name]);
        DISK_ERRORS(X)
#undef X
        break;
    case METRIC_warp_disk_written_bytes:
#define X(name, word) emit_named(writer, word, stats.written_bytes[DISK_CAUSE_##name]);
        DISK_CAUSES(X)
#undef X
        break;
    case METRIC_warp_disk_segments:
        emit_named(writer, "free", stats.segments_free);
        emit_named(writer, "used", stats.segments - stats.segments_free - stats.segments_bad);
        emit_named(writer, "out", stats.segments_bad);
        break;
    case METRIC_warp_disk_devices:
        emit_named(writer, "in", stats.devices - stats.devices_offline);
        emit_named(writer, "out", stats.devices_offline);
        break;
    case METRIC_warp_disk_reads:
        metrics_emit(writer, NULL, (double)stats.reads);
        break;
    case METRIC_warp_disk_false_reads:
        metrics_emit(writer, NULL, (double)stats.reads_false);
        break;
    case METRIC_warp_disk_offers_refused:
        metrics_emit(writer, NULL, (double)stats.offers_refused);
        break;
    case METRIC_warp_disk_spared_lost_bytes:
        metrics_emit(writer, NULL, (double)stats.spared_lost_bytes);
        break;
    case METRIC_warp_disk_too_large:
        metrics_emit(writer, NULL, (double)stats.too_large);
        break;
    case METRIC_warp_disk_index_lost:
        metrics_emit(writer, NULL, (double)stats.index_lost);
        break;
    case METRIC_warp_disk_decisions:
#define X(name, word) emit_named(writer, word, stats.decisions[EVICT_##name]);
        EVICT_DECISIONS(X)
#undef X
        break;
    case METRIC_warp_disk_small_log_bytes:
        metrics_emit(writer, NULL, (double)stats.small_log_bytes);
        break;
    case METRIC_warp_disk_off:
        metrics_emit(writer, NULL, stats.is_off);
        break;
    default:
        break;
    }
}

static void collect_process(enum metric metric, struct metrics_writer *writer)
{
    struct os_process_numbers numbers;

    os_process_numbers(&numbers);
    switch (metric) {
    case METRIC_process_cpu_seconds:
        metrics_emit(writer, NULL, numbers.cpu_seconds);
        break;
    case METRIC_process_open_fds:
        metrics_emit(writer, NULL, (double)numbers.open_fds);
        break;
    case METRIC_process_max_fds:
        metrics_emit(writer, NULL, (double)numbers.max_fds);
        break;
    case METRIC_process_virtual_memory_bytes:
        metrics_emit(writer, NULL, (double)numbers.virtual_bytes);
        break;
    case METRIC_process_resident_memory_bytes:
        metrics_emit(writer, NULL, (double)numbers.resident_bytes);
        break;
    case METRIC_process_start_time_seconds:
        metrics_emit(writer, NULL, numbers.start_time_seconds);
        break;
    default:
        break;
    }
}

static void collect_origins(struct admin_context *context, struct metrics_writer *writer)
{
    for (unsigned t = 0; t < tenants_count(context->tenants); t++) {
        const struct tenant *tenant = tenants_at(context->tenants, t);
        for (unsigned i = 0; metrics_shows(writer, tenant->name) && i < tenant->origins->count; i++) {
            const struct origin *origin = &tenant->origins->origins[i];
            slice labels[2] = {tenant->name, slice_str(origin->name)};
            metrics_emit(writer, labels, origin_is_healthy(origin, loop_now_ns(context->loop)) ? 1 : 0);
        }
    }
}

static void collect_purges(const struct admin_context *context, enum metric metric, struct metrics_writer *writer)
{
    struct purge_log_stats stats;

    if (metric == METRIC_warp_purge_refreshes) {
        for (unsigned i = 0; context->refresher != NULL && i < REFRESH_RESULT_COUNT; i++)
            emit_named(writer, refresh_result_word((enum refresh_result)i),
                       refresher_count(context->refresher, (enum refresh_result)i));
        return;
    }
    purge_log_stats(storage_purges(context->storage), &stats);
    metrics_emit(writer, NULL,
                 metric == METRIC_warp_purge_labels      ? (double)stats.labels
                 : metric == METRIC_warp_purge_overflows ? (double)stats.overflows
                                                         : (double)context->walks_refused);
}

void admin_collect(void *arg, enum metric metric, struct metrics_writer *writer)
{
    struct admin_context *context = arg;

    switch (metric) {
    case METRIC_warp_build_info: {
        slice labels[2] = {slice_str(context->version), slice_str(os_backend_name(loop_os(context->loop)))};
        metrics_emit(writer, labels, 1);
        break;
    }
    case METRIC_warp_uring_refused:
        metrics_emit(writer, NULL, context->uring_refused);
        break;
    case METRIC_warp_access_log_dropped:
        metrics_emit(writer, NULL, context->access != NULL ? (double)access_log_dropped(context->access) : 0);
        break;
    case METRIC_warp_admin_refusals:
#define X(name, word) emit_named(writer, word, atomic_load_explicit(&context->refused[ADMIN_REFUSED_##name], memory_order_relaxed));
        ADMIN_REFUSALS(X)
#undef X
        break;
    case METRIC_warp_origin_healthy:
        collect_origins(context, writer);
        break;
    case METRIC_warp_purge_refreshes:
    case METRIC_warp_purge_walks_refused:
    case METRIC_warp_purge_labels:
    case METRIC_warp_purge_overflows:
        collect_purges(context, metric, writer);
        break;
    default:
        collect_store(context, metric, writer);
        collect_disk(context->disk, metric, writer);
        collect_process(metric, writer);
        break;
    }
}

/* ---- /stats --------------------------------------------------------------------------------------------------------- */

static json_t *stats_requests(struct admin_context *context)
{
    json_t *requests = json_object();
    uint64_t all = 0, hits = 0;

    for (unsigned i = 0; i < OUTCOME_COUNT; i++) {
        uint64_t n = metrics_requests_all(context->metrics, (enum outcome)i);
        json_object_set_new(requests, outcome_name((enum outcome)i), json_integer((json_int_t)n));
        all += n;
        if (i == OUTCOME_hit || i == OUTCOME_stale || i == OUTCOME_revalidated)
            hits += n;
    }
    json_object_set_new(requests, "all", json_integer((json_int_t)all));
    json_object_set_new(requests, "hit_ratio", json_real(all > 0 ? (double)hits / (double)all : 0));
    return requests;
}

static json_t *stats_tier(const struct storage *storage)
{
    struct store_stats stats;
    json_t *tier = json_object();

    storage_stats(storage, &stats);
#define X(name, text) json_object_set_new(tier, #name, json_integer((json_int_t)stats.name));
    STORE_COUNTERS(X)
    STORE_GAUGES(X)
#undef X
    return tier;
}

static json_t *stats_tiers(struct admin_context *context)
{
    const struct storage *tier;
    json_t *tiers = json_object();

    for (unsigned i = 0; (tier = storage_tier(context->storage, i)) != NULL; i++)
        json_object_set_new(tiers, storage_name(tier), stats_tier(tier));
    return tiers;
}

static json_t *stats_disk(const struct disk *disk)
{
    struct disk_stats stats;
    json_t *errors = json_object(), *written = json_object();

    if (disk == NULL)
        return json_null();
    disk_stats(disk, &stats);
#define X(name, word) json_object_set_new(errors, word, json_integer((json_int_t)stats.errors[DISK_ERROR_##name]));
    DISK_ERRORS(X)
#undef X
#define X(name, word) json_object_set_new(written, word, json_integer((json_int_t)stats.written_bytes[DISK_CAUSE_##name]));
    DISK_CAUSES(X)
#undef X
    return json_pack("{s:i, s:i, s:b, s:b, s:I, s:I, s:I, s:o, s:o}", "devices", (int)stats.devices, "devices_out", (int)stats.devices_offline,
                     "recovering", stats.recovering > 0, "off", (int)stats.is_off, "segments", (json_int_t)stats.segments, "segments_free",
                     (json_int_t)stats.segments_free, "reads", (json_int_t)stats.reads, "errors", errors, "written_bytes", written);
}

static json_t *stats_connections(struct admin_context *context)
{
    return json_pack("{s:I, s:I, s:I}", "active", (json_int_t)metrics_connections(context->metrics, CONN_active), "idle",
                     (json_int_t)metrics_connections(context->metrics, CONN_idle), "closing",
                     (json_int_t)metrics_connections(context->metrics, CONN_closing));
}

json_t *admin_origin_json(const struct admin_context *context, const struct tenant *tenant, unsigned i)
{
    struct origin *origin = &tenant->origins->origins[i];

    return json_pack("{s:o, s:o, s:b, s:I, s:I}", "tenant", admin_text(tenant->name), "url", admin_text(slice_str(origin->name)), "healthy",
                     (int)origin_is_healthy(origin, loop_now_ns(context->loop)), "answers",
                     (json_int_t)atomic_load_explicit(&origin->answers, memory_order_relaxed), "failures",
                     (json_int_t)atomic_load_explicit(&origin->fetch_failures, memory_order_relaxed));
}

/* only: NULL for those of all tenants that may be seen. */
static json_t *stats_origins(struct admin_request *request, const struct tenant *only)
{
    struct tenants *tenants = request->context->tenants;
    json_t *origins = json_array();

    for (unsigned t = 0; t < tenants_count(tenants); t++) {
        const struct tenant *tenant = tenants_at(tenants, t);
        if ((only != NULL && only != tenant) || !admin_may(request, TOKEN_READ, tenant))
            continue;
        for (unsigned i = 0; i < tenant->origins->count; i++)
            json_array_append_new(origins, admin_origin_json(request->context, tenant, i));
    }
    return origins;
}

/* A place in the list of all origins: by the tenants' ids, which never change. */
struct origins_place {
    uint32_t tenant, origin;
};

/* "TENANT-ORIGIN", of the last one of the page before. False: answered already. */
static bool origins_begin(struct admin_request *request, struct origins_place *ret_place)
{
    slice cursor = admin_param(request, SLICE("cursor"));
    ptrdiff_t dash = slice_find(cursor, '-');
    uint64_t tenant, origin;

    *ret_place = (struct origins_place){.tenant = 1};
    if (cursor.len == 0)
        return true;
    if (dash < 0 || !slice_to_u64(slice_of(cursor.data, (size_t)dash), &tenant) ||
        !slice_to_u64(slice_from(cursor, (size_t)dash + 1), &origin) || tenant > TENANT_IDS_MAX || origin >= UINT32_MAX) {
        admin_problem(request, 400, "cursor is what the page before said under \"next\"");
        return false;
    }
    *ret_place = (struct origins_place){.tenant = (uint32_t)tenant, .origin = (uint32_t)origin + 1};
    return true;
}

/* From the place on, as many as a page has; *next: the cursor, "" at the end. */
static json_t *origins_page(struct admin_request *request, const struct tenant *only, struct origins_place place, unsigned limit,
                            char next[24])
{
    json_t *origins = json_array();

    for (; place.tenant <= TENANT_IDS_MAX; place.tenant++, place.origin = 0) {
        const struct tenant *tenant = tenants_of_id(request->context->tenants, (uint16_t)place.tenant);
        if (tenant == NULL || (only != NULL && only != tenant) || !admin_may(request, TOKEN_READ, tenant))
            continue;
        for (; place.origin < tenant->origins->count; place.origin++) {
            if (json_array_size(origins) == limit)
                return origins;
            json_array_append_new(origins, admin_origin_json(request->context, tenant, place.origin));
            snprintf(next, 24, "%u-%u", place.tenant, place.origin);
        }
    }
    next[0] = '\0';
    return origins;
}

void admin_origins(struct admin_request *request)
{
    slice name = admin_param(request, SLICE("tenant"));
    const struct tenant *only = NULL;
    struct origins_place place;
    char next[24] = "";
    json_t *origins;
    unsigned limit;

    if (!admin_limit(request, &limit) || !origins_begin(request, &place))
        return;
    if (name.data != NULL && (only = admin_tenant(request, TOKEN_READ, name)) == NULL)
        return;
    origins = origins_page(request, only, place, limit, next);
    admin_answer_json(request, 200, json_pack("{s:o, s:s}", "origins", origins, "next", next));
}

static void stats_of_tenant(struct admin_request *request, slice name)
{
    const struct tenant *tenant = admin_tenant(request, TOKEN_READ, name);
    json_t *stats;

    if (tenant == NULL)
        return;
    stats = admin_usage_json(request->context, tenant);
    json_object_set_new(stats, "tenant", admin_text(tenant->name));
    json_object_set_new(stats, "origins", stats_origins(request, tenant));
    admin_answer_json(request, 200, stats);
}

void admin_stats(struct admin_request *request)
{
    struct admin_context *context = request->context;
    int64_t up_ms = loop_wall_ms(context->loop) - context->started_ms;
    slice tenant = admin_param(request, SLICE("tenant"));

    if (tenant.data == NULL)
        tenant = admin_only_tenant(request);
    if (tenant.data != NULL) {
        stats_of_tenant(request, tenant);
        return;
    }
    if (!admin_allows(request, TOKEN_READ, NULL))
        return;
    admin_answer_json(request, 200,
                      json_pack("{s:s, s:f, s:i, s:i, s:o, s:I, s:o, s:o, s:o, s:o, s:f, s:f}", "version", context->version,
                                "uptime_seconds", (double)up_ms / 1000, "workers", (int)context->workers, "tenants",
                                (int)tenants_count(context->tenants), "requests",
                                stats_requests(context), "collapsed",
                                (json_int_t)metrics_collapsed(context->metrics), "connections",
                                stats_connections(context), "tiers", stats_tiers(context), "disk",
                                stats_disk(context->disk), "origins",
                                stats_origins(request, NULL), "duration_p50_seconds",
                                metrics_duration_quantile(context->metrics, 0.5), "duration_p99_seconds",
                                metrics_duration_quantile(context->metrics, 0.99)));
}
