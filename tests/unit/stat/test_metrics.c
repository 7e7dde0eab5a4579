/* Metrics: what is counted is shown, once, in a form that promtool has no remark on. */
#include "stat/metrics.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const reasons[] = {"no-store", NULL, "private"};
static const struct metrics_config config = {.threads = 3, .tenants_shown = 1000,
                                             .not_stored = {reasons, 3},
                                             .refused = {(const char *const[]){"syntax"}, 1},
                                             .limits = {(const char *const[]){"connections"}, 1}};

static struct metrics *make(void)
{
    struct metrics *metrics = NULL;

    assert_true(err_is_ok(metrics_new(&config, &metrics)));
    return metrics;
}

__attribute__((noinline)) static char *page(struct metrics *metrics, enum metrics_format format)
{
    char *text = NULL;
    size_t len = 0;

    assert_true(err_is_ok(metrics_text(metrics, format, &text, &len)));
    assert_int_equal(strlen(text), len);
    return text;
}

static void assert_shows(struct metrics *metrics, const char *line)
{
    char *text = page(metrics, METRICS_PROMETHEUS);
    const char *at = strstr(text, line);
    bool is_there = at != NULL && (at == text || at[-1] == '\n');
    bool is_twice = at != NULL && strstr(at + 1, line) != NULL;

    free(text);
    if (!is_there)
        fail_msg("not there: %s", line);
    assert_false(is_twice);
}

static void test_requests(void **state)
{
    struct metrics *metrics = make();
    struct metrics_block *a = metrics_block_of(metrics, 0), *b = metrics_block_of(metrics, 2);

    (void)state;
    assert_true(err_is_ok(metrics_tenant_set(metrics, 0, SLICE("default"))));
    assert_true(err_is_ok(metrics_tenant_set(metrics, 65535, SLICE("last"))));
    metric_request(a, 0, OUTCOME_hit, 1000, 40000, 50000); /* 50 us: within the first bucket */
    metric_request(b, 0, OUTCOME_hit, 500, 0, 50001);
    metric_request(b, 65535, OUTCOME_error, 7, 1, 100000000000ull);
    metric_request(b, 300, OUTCOME_miss, 9, 1, 1); /* nobody's page */
    metric_request(b, 3, OUTCOME_miss, 1, 1, 1);   /* on the page of tenant 0 */
    assert_int_equal(metrics_requests(metrics, 0, OUTCOME_hit), 2);
    assert_int_equal(metrics_response_bytes(metrics, 0, OUTCOME_hit), 1500);
    assert_int_equal(metrics_requests_all(metrics, OUTCOME_miss), 2);
    assert_shows(metrics, "warp_requests_total{tenant=\"default\",outcome=\"hit\"} 2\n");
    assert_shows(metrics, "warp_requests_total{tenant=\"default\",outcome=\"synthetic\"} 0\n");
    assert_shows(metrics, "warp_requests_total{tenant=\"last\",outcome=\"error\"} 1\n");
    assert_shows(metrics, "warp_requests_total{tenant=\"unknown\",outcome=\"miss\"} 2\n");
    assert_shows(metrics, "warp_response_bytes_total{tenant=\"unknown\",outcome=\"miss\"} 10\n");
    assert_shows(metrics, "warp_request_duration_seconds_bucket{outcome=\"hit\",le=\"5e-05\"} 1\n");
    assert_shows(metrics, "warp_request_duration_seconds_bucket{outcome=\"hit\",le=\"0.0001\"} 2\n");
    assert_shows(metrics, "warp_request_duration_seconds_bucket{outcome=\"error\",le=\"60.0\"} 0\n");
    assert_shows(metrics, "warp_request_duration_seconds_bucket{outcome=\"error\",le=\"+Inf\"} 1\n");
    assert_shows(metrics, "warp_request_duration_seconds_sum{outcome=\"error\"} 100\n");
    assert_shows(metrics, "warp_time_to_first_byte_seconds_count{outcome=\"hit\"} 1\n");
    assert_true(metrics_duration_quantile(metrics, 0.5) <= 0.0001);
    assert_true(err_is_ok(metrics_tenant_set(metrics, 0, SLICE("renamed"))));
    assert_shows(metrics, "warp_requests_total{tenant=\"renamed\",outcome=\"hit\"} 2\n");
    metrics_free(metrics);
}

static void test_reasons_and_others(void **state)
{
    struct metrics *metrics = make();
    struct metrics_block *block = metrics_block_of(metrics, 1);
    uint16_t id, again;

    (void)state;
    metric_not_stored(block, 0);
    metric_not_stored(block, 2);
    metric_not_stored(block, 99); /* what has no name is counted all the same */
    metric_refused(block, 0);
    metric_limit(block, 0);
    metric_collapsed(block);
    metric_served(block, TIER_disk);
    metric_purge(block, 900);
    metric_connection(block, CONN_STATE_COUNT, CONN_active);
    metric_connection(block, CONN_STATE_COUNT, CONN_active);
    metric_connection(metrics_block_of(metrics, 2), CONN_active, CONN_idle);
    metric_connection(block, CONN_idle, CONN_STATE_COUNT);
    assert_true(err_is_ok(metrics_tenant_set(metrics, 1, SLICE("t"))));
    assert_true(err_is_ok(metrics_origin_add(metrics, SLICE("t"), SLICE("http://a:80"), &id)));
    assert_true(err_is_ok(metrics_origin_add(metrics, SLICE("t"), SLICE("http://a:80"), &again)));
    assert_int_equal(id, again);
    metric_origin(block, id, code_class_of(204), 1000);
    metric_origin(block, 9999, code_class_of(0), 1000);
    assert_shows(metrics, "warp_not_stored_total{reason=\"private\"} 1\n");
    assert_shows(metrics, "warp_not_stored_total{reason=\"other\"} 1\n");
    assert_shows(metrics, "warp_refused_requests_total{reason=\"syntax\"} 1\n");
    assert_shows(metrics, "warp_limit_hits_total{limit=\"connections\"} 1\n");
    assert_shows(metrics, "warp_collapsed_requests_total 1\n");
    assert_shows(metrics, "warp_cache_served_hits_total{tier=\"disk\"} 1\n");
    assert_shows(metrics, "warp_connections{state=\"active\"} 1\n");
    assert_shows(metrics, "warp_connections{state=\"idle\"} 0\n");
    assert_shows(metrics,
                 "warp_origin_requests_total{tenant=\"t\",origin=\"http://a:80\",code_class=\"2xx\"} 1\n");
    assert_shows(
        metrics,
        "warp_origin_requests_total{tenant=\"unknown\",origin=\"unknown\",code_class=\"error\"} 1\n");
    char *text = page(metrics, METRICS_PROMETHEUS);
    assert_null(strstr(text, "warp_origin_healthy"));
    free(text);
    metrics_free(metrics);
}

static void collect(void *arg, enum metric metric, struct metrics_writer *writer)
{
    unsigned *calls = arg;

    ++*calls;
    if (metric == METRIC_warp_cache_objects)
        metrics_emit(writer, (slice[]){SLICE("ram")}, 12);
    if (metric == METRIC_warp_build_info)
        metrics_emit(writer, (slice[]){SLICE("0.1\"\\\n\xff\x01"), SLICE("epoll")}, 1);
    if (metric == METRIC_process_cpu_seconds)
        metrics_emit(writer, NULL, 1.25);
    if (metric == METRIC_process_open_fds)
        metrics_emit(writer, NULL, 10);
}

static void test_collectors_and_hostile_names(void **state)
{
    struct metrics *metrics = make();
    unsigned calls = 0;

    (void)state;
    assert_true(err_is_ok(metrics_collect(metrics, collect, &calls)));
    assert_shows(metrics, "warp_cache_objects{tier=\"ram\"} 12\n");
    assert_int_equal(calls, METRIC_COUNT);
    assert_shows(metrics, "warp_build_info{version=\"0.1\\\"\\\\\\n\\\\xff\\\\x01\",io=\"epoll\"} 1\n");
    assert_shows(metrics, "process_cpu_seconds_total 1.25\n");
    for (unsigned i = 0; i < 15; i++)
        assert_true(err_is_ok(metrics_collect(metrics, collect, &calls)));
    assert_int_equal(metrics_collect(metrics, collect, &calls).code, ERR_LIMIT);
    metrics_free(metrics);
}

static void test_openmetrics(void **state)
{
    struct metrics *metrics = make();
    unsigned calls = 0;

    (void)state;
    assert_true(err_is_ok(metrics_collect(metrics, collect, &calls)));
    char *text = page(metrics, METRICS_OPENMETRICS);
    assert_non_null(strstr(text, "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1.25\n"));
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    free(text);
    metrics_free(metrics);
}

/* Everything filled in, as a running WARP shows it. */
static void test_promtool(void **state)
{
    struct metrics *metrics = make();
    char path[] = "/tmp/warp-metrics-XXXXXX", command[256];
    unsigned calls = 0;
    uint16_t id;

    (void)state;
    if (PROMTOOL[0] == '\0')
        fail_msg("promtool is missing: make deps");
    assert_true(err_is_ok(metrics_collect(metrics, collect, &calls)));
    assert_true(err_is_ok(metrics_tenant_set(metrics, 0, SLICE("a\"b\\c\xc3\xa9\xff\n"))));
    assert_true(err_is_ok(metrics_origin_add(metrics, SLICE("t"), SLICE("http://[::1]:80"), &id)));
    for (unsigned o = 0; o < OUTCOME_COUNT; o++)
        metric_request(metrics_block_of(metrics, 0), 0, o, 1, 1 + o * 1000000, 1 + o * 20000000);
    metric_origin(metrics_block_of(metrics, 0), id, CODE_CLASS_5xx, 5000000);
    char *text = page(metrics, METRICS_PROMETHEUS);
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    snprintf(command, sizeof(command), "%s check metrics < %s 2>&1", PROMTOOL, path);
    FILE *tool = popen(command, "r");
    assert_non_null(tool);
    char said[512];
    size_t n = fread(said, 1, sizeof(said) - 1, tool);
    said[n] = '\0';
    int status = pclose(tool);
    remove(path);
    assert_string_equal(said, "");
    assert_int_equal(status, 0);
    free(text);
    metrics_free(metrics);
}

static void *count_many(void *arg)
{
    for (unsigned i = 0; i < 200000; i++) {
        metric_request(arg, (uint16_t)(i % 128), OUTCOME_hit, 1, 1, i);
        metric_collapsed(arg);
    }
    return NULL;
}

/* Threads count while another scrapes and adds tenants. */
static void test_threads(void **state)
{
    struct metrics *metrics = make();
    pthread_t threads[3];

    (void)state;
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, count_many, metrics_block_of(metrics, i));
    for (uint16_t i = 0; i < 50; i++) {
        assert_true(err_is_ok(metrics_tenant_set(metrics, (uint16_t)(i * 2), SLICE("t"))));
        free(page(metrics, METRICS_PROMETHEUS));
    }
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metrics_requests_all(metrics, OUTCOME_hit), 600000);
    assert_int_equal(metrics_collapsed(metrics), 600000);
    metrics_free(metrics);
}

/* Those with the most requests have series of their own; nobody's requests are lost, whoever is called how. */
static void test_so_many_tenants(void **state)
{
    struct metrics_config few = config;
    struct metrics *metrics = NULL;
    struct metrics_block *block;
    uint16_t origin;
    char name[16];

    (void)state;
    few.tenants_shown = 2;
    assert_true(err_is_ok(metrics_new(&few, &metrics)));
    block = metrics_block_of(metrics, 1);
    for (uint16_t t = 1; t <= 5; t++) {
        snprintf(name, sizeof(name), t == 5 ? "other" : t == 4 ? "unknown" : "t%u", t);
        assert_true(err_is_ok(metrics_tenant_set(metrics, t, slice_str(name))));
        assert_true(err_is_ok(metrics_origin_add(metrics, slice_str(name), SLICE("http://o"), &origin)));
        for (unsigned i = 0; i < 10u * t; i++)
            metric_request(block, t, OUTCOME_hit, 3, 1, 1);
        metric_origin(block, origin, CODE_CLASS_2xx, 1);
    }
    metric_request(block, 999, OUTCOME_miss, 1, 1, 1);
    assert_shows(metrics, "warp_requests_total{tenant=\"t3\",outcome=\"hit\"} 30\n");
    assert_shows(metrics, "warp_requests_total{tenant=\"t2\",outcome=\"hit\"} 20\n");
    assert_shows(metrics, "warp_requests_total{tenant=\"other\",outcome=\"hit\"} 100\n");
    assert_shows(metrics, "warp_response_bytes_total{tenant=\"other\",outcome=\"hit\"} 300\n");
    assert_shows(metrics, "warp_requests_total{tenant=\"unknown\",outcome=\"miss\"} 1\n");
    assert_shows(metrics, "warp_origin_requests_total{tenant=\"t3\",origin=\"http://o\",code_class=\"2xx\"} 1\n");
    assert_shows(metrics, "warp_origin_requests_total{tenant=\"other\",origin=\"other\",code_class=\"2xx\"} 3\n");
    for (unsigned i = 0; i < 100; i++)
        metric_request(block, 1, OUTCOME_hit, 0, 1, 1);
    assert_shows(metrics, "warp_requests_total{tenant=\"t1\",outcome=\"hit\"} 110\n"); /* who has more now */
    assert_shows(metrics, "warp_requests_total{tenant=\"other\",outcome=\"hit\"} 110\n");
    metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_so_many_tenants),
        cmocka_unit_test(test_reasons_and_others),
        cmocka_unit_test(test_collectors_and_hostile_names),
        cmocka_unit_test(test_openmetrics),
        cmocka_unit_test(test_promtool),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
