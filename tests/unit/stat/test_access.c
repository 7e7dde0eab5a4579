/* Access records: lines that any JSON reader takes, whatever a client sent; rings that never block. */
#include "stat/access.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* A file in memory. */
static struct {
    char bytes[1 << 20];
    size_t len;
    unsigned opens, closes, lines;
    bool refuses_open, refuses_write;
} sink;

static err sink_open(const char *path, int *ret_fd)
{
    assert_string_equal(path, "log");
    if (sink.refuses_open)
        return ERR(REFUSED);
    *ret_fd = (int)++sink.opens;
    return ERR_OK;
}

static err sink_write(int fd, slice bytes)
{
    (void)fd;
    if (sink.refuses_write)
        return ERR_SYS(28);
    for (size_t i = 0; i < bytes.len; i++)
        sink.lines += bytes.data[i] == '\n';
    if (sink.len + bytes.len < sizeof(sink.bytes)) {
        memcpy(sink.bytes + sink.len, bytes.data, bytes.len);
        sink.len += bytes.len;
        sink.bytes[sink.len] = '\0';
    }
    return ERR_OK;
}

static void sink_close(int fd)
{
    (void)fd;
    sink.closes++;
}

static void sink_wait(void *event, uint64_t timeout_ns)
{
    (void)event;
    (void)timeout_ns;
}

static struct access_log *make(unsigned threads, unsigned records)
{
    struct access_config config = {
        .threads = threads,
        .ring_records = records,
        .path = "log",
        .door = {.open = sink_open, .write = sink_write, .close = sink_close, .wait = sink_wait}};
    struct access_log *log = NULL;

    memset(&sink, 0, sizeof(sink));
    assert_true(err_is_ok(access_log_new(&config, &log)));
    return log;
}

static const char *json(const struct access_record *record, const char *tenant)
{
    static char line[ACCESS_LINE_BYTES + 1];
    size_t n = access_record_json(record, tenant, line);

    assert_true(n <= ACCESS_LINE_BYTES);
    line[n] = '\0';
    return line;
}

static void test_line(void **state)
{
    struct access_record record = {.wall_ms = 1767225600123,
                                   .key = {0x1234, 0xabcd},
                                   .body_bytes = 77,
                                   .total_ns = 1500000,
                                   .first_byte_ns = 2000,
                                   .reason = "no-store",
                                   .status = 200,
                                   .outcome = OUTCOME_hit,
                                   .tier = TIER_ram,
                                   .version = 11,
                                   .client = "::1"};

    (void)state;
    access_record_method(&record, SLICE("GET"));
    access_record_url(&record, SLICE("example.com"), SLICE("/a?b"));
    access_record_request_id(&record, SLICE("id1"));
    assert_string_equal(
        json(&record, "default"),
        "{\"time\":\"2026-01-01T00:00:00.123Z\",\"tenant\":\"default\",\"client\":\"::1\",\"method\":\"GET\","
        "\"scheme\":\"http\",\"url\":\"example.com/a?b\",\"version\":\"1.1\",\"status\":200,"
        "\"outcome\":\"hit\",\"reason\":\"no-store\",\"tier\":\"ram\","
        "\"key\":\"000000000000abcd0000000000001234\",\"bytes\":77,\"duration\":0.001500,"
        "\"first_byte\":0.000002,\"request_id\":\"id1\"}\n");
    record.tenant = 65535;
    assert_non_null(strstr(json(&record, NULL), "\"tenant\":\"65535\""));
}

static void assert_url(slice target, const char *expected)
{
    struct access_record record = {.version = 11};
    char field[4096];

    access_record_url(&record, SLICE(""), target);
    snprintf(field, sizeof(field), "\"url\":\"%s\"", expected);
    if (strstr(json(&record, NULL), field) == NULL)
        fail_msg("%s is not in %s", field, json(&record, NULL));
}

static void test_hostile_bytes(void **state)
{
    (void)state;
    assert_url(SLICE("/\"\\"), "/\\\"\\\\");
    assert_url(SLICE("/\r\n\t\0\x7f"), "/\\u000d\\u000a\\u0009\\u0000\\u007f");
    assert_url(SLICE("/\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "/\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_url(SLICE("/\xc3"), "/\\u00c3");                       /* cut */
    assert_url(SLICE("/\xc0\xaf"), "/\\u00c0\\u00af");            /* too long */
    assert_url(SLICE("/\xed\xa0\x80"), "/\\u00ed\\u00a0\\u0080"); /* a surrogate */
    assert_url(SLICE("/\xf4\x90\x80\x80"), "/\\u00f4\\u0090\\u0080\\u0080");
    assert_url(SLICE("/\xff\xfe"), "/\\u00ff\\u00fe");
}

static void test_cut(void **state)
{
    struct access_record record;
    char target[5000];

    (void)state;
    memset(&record, 0, sizeof(record));
    memset(target, 1, sizeof(target)); /* the longest escapes */
    access_record_url(&record, SLICE("host"), slice_of(target, sizeof(target)));
    assert_true(record.is_url_cut);
    assert_int_equal(record.url_len, ACCESS_URL_BYTES);
    access_record_method(&record, slice_of(target, sizeof(target)));
    access_record_request_id(&record, slice_of(target, sizeof(target)));
    memset(record.client, 1, sizeof(record.client));
    memset(record.method, 1, sizeof(record.method)); /* not even terminated */
    record.wall_ms = INT64_MAX;
    record.body_bytes = record.total_ns = record.first_byte_ns = record.origin_ns = UINT64_MAX;
    record.outcome = record.tier = 255;
    memset(target, 2, sizeof(target));
    target[4999] = '\0';
    record.reason = target;
    assert_non_null(strstr(json(&record, target), "\"url_cut\":true"));
}

static void commit_one(struct access_log *log, unsigned thread, unsigned status)
{
    struct access_record *record = access_log_begin(log, thread);

    if (record == NULL)
        return;
    record->status = (uint16_t)status;
    access_log_commit(log, thread);
}

static void test_rings(void **state)
{
    struct access_log *log = make(2, 8);

    (void)state;
    for (unsigned i = 0; i < 11; i++)
        commit_one(log, 0, 200 + i);
    commit_one(log, 1, 404);
    assert_int_equal(access_log_dropped(log), 3);
    assert_int_equal(access_log_drain(log), 9);
    assert_int_equal(sink.lines, 9);
    assert_non_null(strstr(sink.bytes, "\"status\":207"));
    assert_null(strstr(sink.bytes, "\"status\":208"));
    commit_one(log, 0, 299);
    assert_int_equal(access_log_drain(log), 1);
    sink.refuses_write = true; /* disk full: counted, and on it goes */
    commit_one(log, 0, 298);
    commit_one(log, 1, 297);
    assert_int_equal(access_log_drain(log), 2);
    assert_int_equal(access_log_dropped(log), 5);
    access_log_free(log);
    assert_int_equal(sink.closes, 1);
}

static void test_reopen(void **state)
{
    struct access_log *log = make(1, 8);

    (void)state;
    assert_int_equal(sink.opens, 1);
    access_log_reopen(log);
    access_log_drain(log);
    assert_int_equal(sink.opens, 2);
    assert_int_equal(sink.closes, 1);
    sink.refuses_open = true; /* the old file stays */
    access_log_reopen(log);
    commit_one(log, 0, 200);
    access_log_drain(log);
    assert_int_equal(sink.closes, 1);
    assert_int_equal(sink.lines, 1);
    access_log_free(log);
}

static void count_tap(void *arg, const struct access_record *record, slice line)
{
    assert_int_equal(record->status, 201);
    assert_int_equal(line.data[line.len - 1], '}');
    ++*(unsigned *)arg;
}

static void test_tap_without_file(void **state)
{
    unsigned taps = 0;
    struct access_config config = {.threads = 1, .tap = count_tap, .tap_arg = &taps};
    struct access_log *log = NULL;

    (void)state;
    assert_true(err_is_ok(access_log_new(&config, &log)));
    commit_one(log, 0, 201);
    assert_int_equal(access_log_drain(log), 1);
    assert_int_equal(taps, 1);
    assert_int_equal(access_log_dropped(log), 0);
    access_log_free(log);
    sink.refuses_open = true;
    config.path = "log";
    config.door.open = sink_open;
    assert_int_equal(access_log_new(&config, &log).code, ERR_REFUSED);
}

static struct access_log *shared;

static void *write_run(void *arg)
{
    access_log_run(shared);
    return arg;
}

static void *produce(void *arg)
{
    unsigned thread = *(unsigned *)arg;

    for (unsigned i = 0; i < 20000; i++)
        commit_one(shared, thread, 200);
    return NULL;
}

static void test_threads(void **state)
{
    pthread_t producers[3], writer;
    unsigned numbers[3] = {0, 1, 2};

    (void)state;
    shared = make(3, 64);
    pthread_create(&writer, NULL, write_run, NULL);
    for (unsigned i = 0; i < 3; i++)
        pthread_create(&producers[i], NULL, produce, &numbers[i]);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(producers[i], NULL);
    access_log_stop(shared);
    pthread_join(writer, NULL);
    assert_int_equal(sink.lines + access_log_dropped(shared), 60000);
    assert_true(sink.lines > 0);
    access_log_free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line),    cmocka_unit_test(test_hostile_bytes),
        cmocka_unit_test(test_cut),     cmocka_unit_test(test_rings),
        cmocka_unit_test(test_reopen),  cmocka_unit_test(test_tap_without_file),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
