/* Numbered lines that are appended to: what is read again, how they are turned over, what a crash leaves. */
#include "main/state_log.h"
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct state state;

static int dir_make(void **unused)
{
    (void)unused;
    snprintf(state.dir, sizeof(state.dir), "/tmp/warp-state-log-XXXXXX");
    return mkdtemp(state.dir) == NULL;
}

static void path_of(const char *name, char path[STATE_PATH_BYTES])
{
    snprintf(path, STATE_PATH_BYTES, "%s/%s", state.dir, name);
}

static int dir_remove(void **unused)
{
    static const char *const names[] = {"log", "log.1"};
    char path[STATE_PATH_BYTES];

    (void)unused;
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        path_of(names[i], path);
        unlink(path);
        rmdir(path);
    }
    return rmdir(state.dir);
}

static struct state_log log_open(void)
{
    struct state_log log;

    state_log_open(&log, &state, "log");
    return log;
}

static void append(struct state_log *log, uint64_t number)
{
    char line[100];
    int len = snprintf(line, sizeof(line), "{\"number\":%llu,\"x\":\"y\"}\n", (unsigned long long)number);

    assert_true(err_is_ok(state_log_append(log, slice_of(line, (size_t)len), number)));
}

/* The numbers of what was read, with spaces. */
static const char *numbers_of(char *text)
{
    static char numbers[1000];
    size_t at = 0;

    numbers[0] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        at += (size_t)snprintf(numbers + at, sizeof(numbers) - at, "%s%d", at > 0 ? " " : "", atoi(line + strlen("{\"number\":")));
    free(text);
    return numbers;
}

static const char *read_behind(const struct state_log *log, uint64_t since, unsigned max)
{
    char *text;
    size_t len;

    assert_true(err_is_ok(state_log_read(log, since, max, &text, &len)));
    return numbers_of(text);
}

static const char *read_newest(const struct state_log *log, unsigned max)
{
    char *text;
    size_t len;

    assert_true(err_is_ok(state_log_newest(log, max, &text, &len)));
    return numbers_of(text);
}

static void file_put(const char *name, const char *text)
{
    char path[STATE_PATH_BYTES];
    FILE *file;

    path_of(name, path);
    file = fopen(path, "a");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_append_and_read(void **unused)
{
    struct state_log log = log_open();

    (void)unused;
    assert_int_equal(log.last, 0);
    assert_string_equal(read_behind(&log, 0, 10), "");
    assert_string_equal(read_newest(&log, 10), "");
    for (uint64_t i = 1; i <= 9; i += 2)
        append(&log, i);
    assert_int_equal(log.last, 9);
    log = log_open();
    assert_int_equal(log.last, 9);
    assert_string_equal(read_behind(&log, 0, 10), "1 3 5 7 9");
    assert_string_equal(read_behind(&log, 3, 2), "5 7");
    assert_string_equal(read_behind(&log, 4, 2), "5 7");
    assert_string_equal(read_behind(&log, 9, 2), "");
    assert_string_equal(read_newest(&log, 2), "7 9");
}

static void test_torn(void **unused)
{
    struct state_log log;

    (void)unused;
    file_put("log", "{\"number\":1}\nnonsense\n{\"number\":x}\n{\"number\":99999999999999999999}\n\n{\"number\":7,\"wh");
    log = log_open();
    assert_int_equal(log.last, 1);
    append(&log, 2);
    append(&log, 3);
    log = log_open();
    assert_int_equal(log.last, 3);
    assert_string_equal(read_behind(&log, 0, 10), "1 2 3");
}

/* As many as fill the file once, twice, and a half. */
static void test_turn_over(void **unused)
{
    static char pad[10000];
    struct state_log log = log_open();
    char path[STATE_PATH_BYTES], line[sizeof(pad) + 100];
    uint64_t number = 0;
    struct stat st;

    (void)unused;
    memset(pad, 'p', sizeof(pad) - 1);
    while (number < 5 * STATE_LOG_BYTES / 2 / sizeof(pad)) {
        number++;
        int len = snprintf(line, sizeof(line), "{\"number\":%llu,\"pad\":\"%s\"}\n", (unsigned long long)number, pad);
        assert_true(err_is_ok(state_log_append(&log, slice_of(line, (size_t)len), number)));
        path_of("log", path);
        assert_int_equal(stat(path, &st), 0);
        assert_true((uint64_t)st.st_size <= STATE_LOG_BYTES);
    }
    path_of("log.1", path);
    assert_int_equal(stat(path, &st), 0);
    assert_in_range(st.st_size, STATE_LOG_BYTES - sizeof(line), STATE_LOG_BYTES);
    log = log_open();
    assert_int_equal(log.last, number);
    char expected[100];
    snprintf(expected, sizeof(expected), "%d %d", (int)number - 1, (int)number);
    assert_string_equal(read_newest(&log, 2), expected);
    uint64_t middle = number - STATE_LOG_BYTES / sizeof(pad); /* in the file before */
    snprintf(expected, sizeof(expected), "%d %d %d", (int)middle + 1, (int)middle + 2, (int)middle + 3);
    assert_string_equal(read_behind(&log, middle, 3), expected);
    assert_string_not_equal(read_behind(&log, 0, 1), "1"); /* long gone */
}

/* Just turned over: the numbers go on. */
static void test_only_the_file_before(void **unused)
{
    struct state_log log;

    (void)unused;
    file_put("log.1", "{\"number\":41}\n{\"number\":42}\n");
    log = log_open();
    assert_int_equal(log.last, 42);
    append(&log, 43);
    assert_string_equal(read_behind(&log, 41, 10), "42 43");
    assert_string_equal(read_newest(&log, 3), "41 42 43");
}

static void test_cannot_be_written(void **unused)
{
    char path[STATE_PATH_BYTES];
    struct state_log log;

    (void)unused;
    path_of("log", path);
    assert_int_equal(mkdir(path, 0700), 0);
    log = log_open();
    assert_false(err_is_ok(state_log_append(&log, SLICE("{\"number\":1}\n"), 1)));
    assert_int_equal(log.last, 0);
    assert_int_equal(rmdir(path), 0);
    append(&log, 1);
    assert_string_equal(read_behind(&log, 0, 10), "1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_append_and_read, dir_make, dir_remove),
        cmocka_unit_test_setup_teardown(test_torn, dir_make, dir_remove),
        cmocka_unit_test_setup_teardown(test_turn_over, dir_make, dir_remove),
        cmocka_unit_test_setup_teardown(test_only_the_file_before, dir_make, dir_remove),
        cmocka_unit_test_setup_teardown(test_cannot_be_written, dir_make, dir_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
