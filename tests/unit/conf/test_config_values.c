/* Sizes, times, and the word that was meant. */
#include "conf/config.h"

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {
        {"0", 0},
        {"512", 512},
        {"64k", 65536},
        {"256m", UINT64_C(256) << 20},
        {"2g", UINT64_C(2) << 30},
        {"2G", UINT64_C(2) << 30},
        {"1t", UINT64_C(1) << 40},
        {"9223372036854775807", INT64_MAX},
        {"8388607t", UINT64_C(8388607) << 40},
    };
    static const char *const bad[] = {"",
                                      "k",
                                      "2x",
                                      "2kb",
                                      "2 k",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1.5g",
                                      "0x10",
                                      "1e3",
                                      "2kk",
                                      "8388608t",
                                      "9223372036854775808",
                                      "99999999999999999999"};
    uint64_t bytes = 7;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(config_parse_size(slice_str(good[i].text), &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
    bytes = 7;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(config_parse_size(slice_str(bad[i]), &bytes));
    assert_false(config_parse_size(slice_of("2k\0", 3), &bytes));
    assert_int_equal(bytes, 7); /* written on success only */
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t ms;
    } good[] = {
        {"250ms", 250}, {"30s", 30000},    {"5m", 300000},    {"2h", 7200000},
        {"0s", 0},      {"7d", 604800000}, {"1w", 604800000}, {"36500d", CONFIG_DURATION_MS_MAX},
    };
    static const char *const bad[] = {"",
                                      "30",
                                      "s",
                                      "30S",
                                      "5M",
                                      "30sec",
                                      "1h30m",
                                      "-1s",
                                      "1.5s",
                                      "30 s",
                                      "36501d",
                                      "18446744073709551615w",
                                      "18446744073709551616ms"};
    uint64_t ms = 7;
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        assert_true(config_parse_duration(slice_str(good[i].text), &ms));
        assert_int_equal(ms, good[i].ms);
    }
    ms = 7;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(config_parse_duration(slice_str(bad[i]), &ms));
    assert_int_equal(ms, 7);
}

static void test_nearest(void **state)
{
    static const char *const commands[] = {"run", "check", "purge", "stats", "top"};
    char endless[1000];
    (void)state;

    assert_string_equal(config_nearest("listen"), "listen");
    assert_string_equal(config_nearest("lsiten"), "listen"); /* a swap is one mistake */
    assert_string_equal(config_nearest("orign"), "origin");
    assert_string_equal(config_nearest("origins"), "origin");
    assert_string_equal(config_nearest("websocket"), "no-websocket");
    assert_string_equal(config_nearest("cert-fil"), "cert-dir");
    assert_string_equal(config_nearest("max_connections_per_ip"), "max-connections-per-ip");
    assert_string_equal(config_nearest("drain"), "drain-timeout");
    assert_string_equal(config_nearest("oi"), "io");
    assert_null(config_nearest(""));
    assert_null(config_nearest("x"));
    assert_null(config_nearest("verbose"));
    memset(endless, 'a', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    assert_null(config_nearest(endless));

    assert_string_equal(config_nearest_of("stat", commands, ARRAY_LEN(commands)), "stats");
    assert_string_equal(config_nearest_of("rn", commands, ARRAY_LEN(commands)), "run");
    assert_null(config_nearest_of("explode", commands, ARRAY_LEN(commands)));
    assert_null(config_nearest_of("run", commands, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
