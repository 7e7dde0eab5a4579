#include "base/log.h"
#include "base/err.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void expect_safe(slice in, size_t size, const char *out)
{
    char *buffer = malloc(size); /* of exactly that size: one byte more is seen by the sanitizer */

    assert_ptr_equal(log_safe(in, buffer, size), buffer);
    assert_string_equal(buffer, out);
    free(buffer);
}

static void test_safe(void **state)
{
    (void)state;
    expect_safe(SLICE("plain text, all of it ~"), 64, "plain text, all of it ~");
    expect_safe(SLICE_NONE, 8, "");
    expect_safe(SLICE("a\"b\\c"), 64, "a\\x22b\\x5cc");
    expect_safe(SLICE("line\r\n2026 error forged"), 64, "line\\x0d\\x0a2026 error forged");
    expect_safe(slice_of("\0\x1b[2J\x7f\x80\xff", 8), 64, "\\x00\\x1b[2J\\x7f\\x80\\xff");
}

static void test_every_byte_becomes_printable(void **state)
{
    char bytes[256], buffer[1100];

    (void)state;
    for (unsigned i = 0; i < 256; i++)
        bytes[i] = (char)i;
    log_safe(slice_of(bytes, sizeof(bytes)), buffer, sizeof(buffer));
    for (const char *at = buffer; *at != '\0'; at++)
        assert_true(*at >= 0x20 && *at <= 0x7e && *at != '"');
    assert_int_equal(strlen(buffer), 93 + 163 * 4);
}

static void test_cut(void **state)
{
    (void)state;
    expect_safe(SLICE("abcd"), 8, "abcd");
    expect_safe(SLICE("abcdefgh"), 8, "abcd...");
    expect_safe(SLICE("abcdefghijklm"), 12, "abcdefgh...");
    expect_safe(SLICE("\n\n\n"), 8, "\\x0a...");      /* an escape is never cut in two */
    expect_safe(SLICE("abc\ndef"), 10, "abc...");
    for (size_t size = 8; size < 64; size++) {
        char *buffer = malloc(size);
        log_safe(SLICE("\1g\2oo\3zzz\4zzzz\5yyyyy\6xxxxxx\7wwwwwww"), buffer, size);
        assert_true(strlen(buffer) < size);
        free(buffer);
    }
}

static void expect_text(slice in, size_t size, const char *out)
{
    char *buffer = malloc(size);

    assert_ptr_equal(log_text(in, buffer, size), buffer);
    assert_string_equal(buffer, out);
    if (in.len + 4 <= size)
        assert_int_equal(log_text_plain(in) == in.len, slice_eq(in, slice_str(buffer)));
    free(buffer);
}

static void test_texts(void **state)
{
    (void)state;
    expect_text(SLICE_NONE, 8, "");
    expect_text(SLICE("a: \"b\\c\" 'd'"), 64, "a: \"b\\c\" 'd'");
    expect_text(SLICE("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f"), 64, "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9f");
    expect_text(slice_of("\0\t\r\n\x1b[2J\x7f", 9), 64, "\\x00\\x09\\x0d\\x0a\\x1b[2J\\x7f");
    expect_text(SLICE("\xc2\x9b\x31m\xc2\xa0"), 64, "\\xc2\\x9b1m\xc2\xa0");                 /* CSI in one character */
    expect_text(SLICE("\xe2\x80\xae\xe2\x81\xa6"), 64, "\\xe2\\x80\\xae\\xe2\\x81\\xa6"); /* right to left */
    /* not UTF-8: alone, cut, too long, a surrogate, too large */
    expect_text(SLICE("\x80\xff"), 64, "\\x80\\xff");
    expect_text(SLICE("\xc3"), 64, "\\xc3");
    expect_text(SLICE("\xe2\x82" "a"), 64, "\\xe2\\x82a");
    expect_text(SLICE("\xc0\x9b"), 64, "\\xc0\\x9b");
    expect_text(SLICE("\xed\xa0\x80"), 64, "\\xed\\xa0\\x80");
    expect_text(SLICE("\xf4\x90\x80\x80"), 64, "\\xf4\\x90\\x80\\x80");
    expect_text(SLICE("abc\xc3\xa9" "d"), 10, "abc\xc3\xa9" "d"); /* no character is cut in two */
    expect_text(SLICE("abcd\xc3\xa9" "efg"), 9, "abcd...");
}

static void test_level_parse(void **state)
{
    enum log_level level = LOG_DEBUG;

    (void)state;
    assert_true(log_level_parse(SLICE("error"), &level));
    assert_int_equal(level, LOG_ERROR);
    assert_true(log_level_parse(SLICE("debug"), &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_false(log_level_parse(SLICE("Debug"), &level));
    assert_false(log_level_parse(SLICE("debugx"), &level));
    assert_false(log_level_parse(SLICE(""), &level));
    assert_int_equal(level, LOG_DEBUG); /* written on success only */
}

/* What reaches stderr while run() runs. */
static size_t captured(void (*run)(void), char *buffer, size_t size)
{
    int ends[2], saved = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    run();
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    n = read(ends[0], buffer, size - 1);
    close(ends[0]);
    assert_true(n >= 0);
    buffer[n] = '\0';
    return (size_t)n;
}

static void log_long(void)
{
    char text[3000];

    memset(text, 'z', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_warn("%s", text);
}

static void log_below_level(void)
{
    log_level_max = LOG_WARN;
    log_info("not seen");
    log_debug("not seen");
    log_warn("seen %d", 5);
    log_level_max = LOG_INFO;
}

static void test_lines(void **state)
{
    char buffer[8192];
    size_t n;

    (void)state;
    n = captured(log_long, buffer, sizeof(buffer));
    assert_true(n <= 1024);
    assert_int_equal(buffer[n - 1], '\n'); /* cut, but still a line */
    assert_int_equal(buffer[n - 2], 'z');
    n = captured(log_below_level, buffer, sizeof(buffer));
    assert_non_null(strstr(buffer, "Z warn  seen 5\n"));
    assert_null(strstr(buffer, "not seen"));
    assert_ptr_equal(strchr(buffer, '\n'), buffer + n - 1);
}

static void test_err_text(void **state)
{
    (void)state;
    assert_string_equal(err_text(ERR_OK), "no error");
    assert_string_equal(err_text(ERR(TIMEOUT)), "a deadline passed");
    assert_string_equal(err_text(ERR_SYS(ECONNREFUSED)), "Connection refused");
    assert_string_equal(err_text(ERR_SYS(0)), "the operating system reported an error");
    assert_string_equal(err_text((err){ERR_COUNT, 0}), "unknown error");
    assert_string_equal(err_text((err){UINT32_MAX, 0}), "unknown error");
    assert_true(err_is_ok(ERR_OK));
    assert_false(err_is_ok(ERR(LIMIT)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_safe),  cmocka_unit_test(test_every_byte_becomes_printable),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_texts),   cmocka_unit_test(test_level_parse),
        cmocka_unit_test(test_lines), cmocka_unit_test(test_err_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
