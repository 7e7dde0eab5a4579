/* Lines of a trace: what is one, what is none and why; files; traces that are made. */
#include "replay/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct trace_request parsed(const char *line)
{
    struct trace_request request;
    char problem[TRACE_PROBLEM_BYTES];
    const char *why = trace_parse(slice_str(line), 0, &request, problem);

    if (why != NULL)
        fail_msg("%s: %s", line, why);
    return request;
}

static void assert_bad(slice line, const char *wanted)
{
    struct trace_request request;
    char problem[TRACE_PROBLEM_BYTES];
    const char *why = trace_parse(line, UINT64_C(5000000000), &request, problem);

    if (why == NULL || strstr(why, wanted) == NULL)
        fail_msg("%.*s: %s", SLICE_ARG(line), why != NULL ? why : "taken");
}

static void test_lines(void **state)
{
    (void)state;
    assert_int_equal(parsed("12 key 345").time_ns, UINT64_C(12000000000));
    assert_int_equal(parsed("12 key 345").bytes, 345);
    assert_int_equal(parsed("0.5 key 0").time_ns, 500000000);
    assert_int_equal(parsed("1.000000001 k 1").time_ns, 1000000001);
    assert_int_equal(parsed("  7\thttp://example.com/?a=b&c=\xc3\xa4 \t 1099511627776 ").bytes, TRACE_SIZE_MAX);
    assert_int_equal(parsed("10000000000 k 1").time_ns, TRACE_TIME_S_MAX * 1000000000);
    assert_int_equal(parsed("1 key 10").object, parsed("2 key 10").object);
    assert_int_not_equal(parsed("1 key 10").object, parsed("1 key 11").object); /* what has changed is another object */
    assert_int_not_equal(parsed("1 key 10").object, parsed("1 kez 10").object);
}

static void test_lines_that_are_none(void **state)
{
    (void)state;
    assert_bad(SLICE(""), "has not the three fields");
    assert_bad(SLICE("   "), "has not the three fields");
    assert_bad(SLICE("9 key"), "has not the three fields");
    assert_bad(SLICE("9 key 10 more"), "has not the three fields");
    assert_bad(SLICE("x key 10"), "the time \"x\" is no number of seconds");
    assert_bad(SLICE("-1 key 10"), "is no number of seconds");
    assert_bad(SLICE("1e3 key 10"), "is no number of seconds");
    assert_bad(SLICE("9. key 10"), "is no number of seconds");
    assert_bad(SLICE(".9 key 10"), "is no number of seconds");
    assert_bad(SLICE("9.0000000001 key 10"), "is no number of seconds");
    assert_bad(SLICE("9.1.2 key 10"), "is no number of seconds");
    assert_bad(SLICE("10000000001 key 10"), "is no number of seconds");
    assert_bad(SLICE("99999999999999999999999 key 10"), "is no number of seconds");
    assert_bad(SLICE("4.999 key 10"), "is before that of the request before it");
    assert_bad(SLICE("9 key 10k"), "the size \"10k\" is no number of bytes");
    assert_bad(SLICE("9 key -1"), "is no number of bytes");
    assert_bad(SLICE("9 key 1099511627777"), "is no number of bytes");
    assert_bad(SLICE("9 key 10\r"), "the size \"10\\x0d\" is no number of bytes");
    assert_bad(SLICE("9 k\0y 10"), "holds a control character");
    assert_bad(SLICE("9 k\x1b[2Jy 10"), "holds a control character");
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

struct file {
    char path[40];
    struct trace *trace;
};

static void file_open(struct file *file, const void *bytes, size_t size)
{
    snprintf(file->path, sizeof(file->path), "/tmp/warp-trace-XXXXXX");
    int fd = mkstemp(file->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    file->trace = trace_open(file->path);
    assert_non_null(file->trace);
}

static void file_close(struct file *file)
{
    trace_free(file->trace);
    unlink(file->path);
}

static void assert_problem(const struct file *file, const char *behind_path)
{
    char wanted[200];

    snprintf(wanted, sizeof(wanted), "%s%s", file->path, behind_path);
    assert_string_equal(trace_problem(file->trace), wanted);
}

static void test_a_file(void **state)
{
    const char *lines = "1 a 10\n1 b 20\n2.5 a 10"; /* the last line has no end */
    struct trace_request request;
    struct file file;

    (void)state;
    file_open(&file, lines, strlen(lines));
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(trace_next(file.trace, &request), TRACE_REQUEST);
        uint64_t first = request.object;
        assert_int_equal(trace_next(file.trace, &request), TRACE_REQUEST);
        assert_int_equal(request.bytes, 20);
        assert_int_equal(trace_next(file.trace, &request), TRACE_REQUEST);
        assert_int_equal(request.object, first);
        assert_int_equal(request.time_ns, 2500000000);
        assert_int_equal(trace_next(file.trace, &request), TRACE_END);
        assert_int_equal(trace_next(file.trace, &request), TRACE_END);
        assert_true(trace_rewind(file.trace)); /* the time begins again, too */
    }
    file_close(&file);
    file_open(&file, "", 0);
    assert_int_equal(trace_next(file.trace, &request), TRACE_END);
    file_close(&file);
}

static void test_where_it_is_wrong(void **state)
{
    const char *lines = "1 a 10\n2 b 10\n1.5 c 10\n";
    struct trace_request request;
    struct file file;

    (void)state;
    file_open(&file, lines, strlen(lines));
    assert_int_equal(trace_next(file.trace, &request), TRACE_REQUEST);
    assert_int_equal(trace_next(file.trace, &request), TRACE_REQUEST);
    assert_int_equal(trace_next(file.trace, &request), TRACE_BAD);
    assert_problem(&file, ":3: the time \"1.5\" is before that of the request before it; sort -n puts requests in order");
    file_close(&file);
}

static void test_long_lines(void **state)
{
    static char lines[2 * TRACE_LINE_BYTES_MAX];
    struct trace_request request;
    struct file file;

    (void)state;
    memset(lines, 'k', sizeof(lines));
    memcpy(lines, "1 k", 3);
    memcpy(lines + TRACE_LINE_BYTES_MAX - 2, " 9\n", 3); /* as long as may be */
    file_open(&file, lines, TRACE_LINE_BYTES_MAX + 1);
    assert_int_equal(trace_next(file.trace, &request), TRACE_REQUEST);
    assert_int_equal(request.bytes, 9);
    file_close(&file);
    file_open(&file, lines + TRACE_LINE_BYTES_MAX + 1, TRACE_LINE_BYTES_MAX - 1);
    assert_int_equal(trace_next(file.trace, &request), TRACE_BAD);
    assert_non_null(strstr(trace_problem(file.trace), ":1: the line \"kkkk"));
    file_close(&file);
    memset(lines, 'k', sizeof(lines)); /* without an end: not read to it */
    file_open(&file, lines, sizeof(lines));
    assert_int_equal(trace_next(file.trace, &request), TRACE_BAD);
    assert_problem(&file, ":1: the line is longer than 65536 bytes");
    file_close(&file);
}

static void test_no_file(void **state)
{
    struct trace_request request;
    struct trace *trace;

    (void)state;
    assert_null(trace_open("/no/such/file"));
    trace = trace_open("/tmp"); /* opened, but not read */
    assert_non_null(trace);
    assert_int_equal(trace_next(trace, &request), TRACE_FAILED);
    assert_string_equal(trace_problem(trace), "/tmp: Is a directory");
    assert_null(trace_free(trace));
    assert_null(trace_free(NULL));
}

/* A made trace is the same, printed and read or not. */
static void test_made_and_printed(void **state)
{
    struct generate_config config = {.like = GENERATE_SYN, .seed = 3, .requests = 2000};
    struct generator *generator = generator_new(&config);
    struct trace *trace = trace_generate(&config);
    struct trace_request made, read;
    struct generated generated;
    char line[80], problem[TRACE_PROBLEM_BYTES];

    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        while (generator_next(generator, &generated)) {
            assert_in_range(trace_print(&generated, line, sizeof(line)), 1, sizeof(line) - 1);
            assert_null(trace_parse(slice_str(line), 0, &read, problem));
            assert_int_equal(trace_next(trace, &made), TRACE_REQUEST);
            assert_int_equal(made.object, read.object);
            assert_int_equal(made.bytes, read.bytes);
            assert_int_equal(made.time_ns, read.time_ns);
        }
        assert_int_equal(trace_next(trace, &made), TRACE_END);
        assert_true(trace_rewind(trace));
        generator_free(generator);
        generator = generator_new(&config);
    }
    generator_free(generator);
    trace_free(trace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),      cmocka_unit_test(test_lines_that_are_none), cmocka_unit_test(test_a_file),
        cmocka_unit_test(test_where_it_is_wrong), cmocka_unit_test(test_long_lines),   cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_made_and_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
