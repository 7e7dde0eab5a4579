/* Flags, environment, defaults, and which of them counts. */
#include "conf_test.h"

#include <stdio.h>

static void test_defaults(void **state)
{
    struct conf_test test = {0};
    (void)state;

    assert_read(&test, NO_WORDS, NO_WORDS);
    assert_null(test.config.config_file);
    assert_list(test.config.listen, "127.0.0.1:8000");
    assert_int_equal(test.config.origin.count, 0);
    assert_string_equal(test.config.admin, "127.0.0.1:8080");
    assert_int_equal(test.config.cache_size, UINT64_C(2) << 30);
    assert_int_equal(test.config.memory, 0);
    assert_false(config_is_given(&test.config, CONFIG_memory));
    assert_false(config_is_given(&test.config, CONFIG_listen));
    assert_int_equal(test.config.workers, 0);
    assert_int_equal(test.config.io, CONFIG_IO_AUTO);
    assert_string_equal(test.config.access_log, "off");
    assert_int_equal(test.config.log_level, LOG_INFO);
    assert_false(test.config.no_websocket);
    assert_int_equal(test.config.max_connections_per_ip, 1024);
    assert_int_equal(test.config.drain_timeout_ms, 30000);
    assert_null(test.unknown);
    conf_test_done(&test);
    conf_test_done(&test); /* and once more */
}

static void test_flags(void **state)
{
    struct conf_test test = {0};
    (void)state;

    assert_read(&test,
                WORDS("--listen", ":80", "--listen=[::1]:81", "--origin", "http://a:1", "--memory", "0",
                      "--workers=4", "--io", "epoll", "--access-log", "-", "--log-level=debug",
                      "--no-websocket", "--cache-status-key=true", "--drain-timeout", "250ms",
                      "--origin-host=a=b", "--origin-ca", "/ca.pem", "--origin-cert=/c.pem", "--origin-key=/k.pem",
                      "--origin-name", "inner.test", "--origin-insecure", "--origin-http1=false"),
                NO_WORDS);
    assert_list(test.config.listen, ":80", "[::1]:81");
    assert_list(test.config.origin, "http://a:1");
    assert_int_equal(test.config.memory, 0);
    assert_true(config_is_given(&test.config, CONFIG_memory));
    assert_int_equal(test.config.workers, 4);
    assert_int_equal(test.config.io, CONFIG_IO_EPOLL);
    assert_string_equal(test.config.access_log, "-");
    assert_int_equal(test.config.log_level, LOG_DEBUG);
    assert_true(test.config.no_websocket);
    assert_true(test.config.cache_status_key);
    assert_int_equal(test.config.drain_timeout_ms, 250);
    assert_string_equal(test.config.origin_host, "a=b");
    assert_string_equal(test.config.origin_ca, "/ca.pem");
    assert_string_equal(test.config.origin_cert, "/c.pem");
    assert_string_equal(test.config.origin_key, "/k.pem");
    assert_string_equal(test.config.origin_name, "inner.test");
    assert_true(test.config.origin_insecure);
    assert_false(test.config.origin_http1);

    /* the last one counts; a switch can be taken back */
    assert_read(&test, WORDS("--admin", ":1", "--admin", ":2", "--no-websocket", "--no-websocket=false"),
                NO_WORDS);
    assert_string_equal(test.config.admin, ":2");
    assert_false(test.config.no_websocket);
    assert_true(config_is_given(&test.config, CONFIG_no_websocket));
    conf_test_done(&test);
}

static void test_precedence(void **state)
{
    struct conf_test test = {0};
    char *const *environment = WORDS("WARP_ADMIN=:7", "WARP_LISTEN=:11, :12",
                                     "WARP_LOG_LEVEL=warn", "WARP_CONFIG=warp.yaml");
    (void)state;

    conf_test_file = "admin: ':9'\nlisten: [':1', ':2', ':3']\nlog-level: error\nworkers: 7\norigin: f:9\n";
    assert_read(&test, WORDS("--admin", ":8", "--listen", ":13"), environment);
    assert_string_equal(test.config.admin, ":8");
    assert_list(test.config.listen, ":13");
    assert_int_equal(test.config.log_level, LOG_WARN);
    assert_int_equal(test.config.workers, 7);
    assert_list(test.config.origin, "f:9");
    assert_int_equal(test.config.drain_timeout_ms, 30000);
    assert_string_equal(test.config.config_file, "warp.yaml");

    assert_read(&test, NO_WORDS, environment);
    assert_string_equal(test.config.admin, ":7");
    assert_list(test.config.listen, ":11", ":12");

    assert_read(&test, WORDS("--config", "warp.yaml"), NO_WORDS);
    assert_string_equal(test.config.admin, ":9");
    assert_list(test.config.listen, ":1", ":2", ":3");
    assert_int_equal(test.config.log_level, LOG_ERROR);
    conf_test_done(&test);
}

/* Also a value that is overruled is checked: it would bite the day the flag goes. */
static void test_overruled_is_checked(void **state)
{
    (void)state;
    assert_refused(WORDS("--workers", "2"), WORDS("WARP_WORKERS=many"),
                   "WARP_WORKERS: \"many\" is not such a number; write digits only, from 1 to 1024");
    conf_test_file = "workers: none\n";
    assert_refused(
        WORDS("--workers", "2", "--config", "warp.yaml"), NO_WORDS,
        "warp.yaml:1:10: workers: \"none\" is not such a number; write digits only, from 1 to 1024");
}

static void test_refused_flags(void **state)
{
    (void)state;
    assert_refused(WORDS("--lisen", ":80"), NO_WORDS, "--lisen: unknown setting; did you mean --listen?");
    assert_refused(WORDS("--lisen=:80"), NO_WORDS, "--lisen: unknown setting; did you mean --listen?");
    assert_refused(WORDS("--cache_size=1g"), NO_WORDS,
                   "--cache_size: unknown setting; did you mean --cache-size?");
    assert_refused(WORDS("--max-connections", "1"), NO_WORDS,
                   "--max-connections: unknown setting; did you mean --max-connections-per-ip?");
    assert_refused(WORDS("--colour"), NO_WORDS, "--colour: unknown setting; warp help lists them");
    assert_refused(WORDS("-listen", ":80"), NO_WORDS, "-listen: unknown setting; did you mean --listen?");
    assert_refused(WORDS("---listen", ":80"), NO_WORDS, "---listen: unknown setting; did you mean --listen?");
    assert_refused(WORDS("listen"), NO_WORDS, "listen: unknown setting; did you mean --listen?");
    assert_refused(WORDS("--"), NO_WORDS, "--: unknown setting; warp help lists them");
    assert_refused(WORDS("--a\033[31m"), NO_WORDS, "--a\\x1b[31m: unknown setting; warp help lists them");
    assert_refused(WORDS("--cache-size", "16777215"), NO_WORDS,
                   "--cache-size: \"16777215\" is too small; write 16m or more (--cache-dir none is without a disk, --memory caps RAM)");
    assert_refused(NO_WORDS, WORDS("WARP_CACHE_SIZE=1m", "WARP_CACHE_DIR=none"),
                   "WARP_CACHE_SIZE: \"1m\" is too small; write 16m or more (--cache-dir none is without a disk, --memory caps RAM)");
    assert_refused(NO_WORDS, WORDS("WARP_CACHE_DIR=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"),
                   "WARP_CACHE_DIR: is given too often; write it at most 16 times");
    assert_refused(WORDS("--no-websocket", "false"), NO_WORDS,
                   "false: unknown setting; warp help lists them");
    assert_refused(WORDS("--listen"), NO_WORDS, "--listen: has no value; write --listen ADDR");
    assert_refused(WORDS("--listen", "--admin", ":1"), NO_WORDS,
                   "--listen: has no value; write --listen ADDR");
    assert_refused(WORDS("--listen="), NO_WORDS,
                   "--listen: \"\" is no value; write ADDR, or leave the setting out for its default");
    assert_refused(
        WORDS("--no-websocket="), NO_WORDS,
        "--no-websocket: \"\" is no value; write true or false, or leave the setting out for its default");
    assert_refused(WORDS("--no-websocket=1"), NO_WORDS,
                   "--no-websocket: \"1\" is neither; write true or false");
    assert_refused(WORDS("--origin-host", "a\r\nX: y"), NO_WORDS,
                   "--origin-host: \"a\\x0d\\x0aX: y\" holds a control character; write it without");
    assert_refused(WORDS("--io=poll"), NO_WORDS,
                   "--io: \"poll\" is not an I/O backend; write auto, uring or epoll");
    assert_refused(WORDS("--log-level=INFO"), NO_WORDS,
                   "--log-level: \"INFO\" is not a level; write error, warn, info or debug");
    assert_refused(
        WORDS("--memory", "2x"), NO_WORDS,
        "--memory: \"2x\" is not a size; write bytes, or a number with k, m, g or t: 512, 64k, 256m, 2g, 1t");
    assert_refused(WORDS("--drain-timeout", "30"), NO_WORDS,
                   "--drain-timeout: \"30\" is not a time; write a number with ms, s, m, h, d or w: "
                   "250ms, 30s, 5m, 2h, 7d, 1w");
    assert_refused(WORDS("--workers=0"), NO_WORDS,
                   "--workers: \"0\" is not such a number; write digits only, from 1 to 1024");
    assert_refused(WORDS("--max-connections-per-ip", "4294967296"), NO_WORDS,
                   "--max-connections-per-ip: \"4294967296\" is not such a number; "
                   "write digits only, from 0 to 4294967295");
}

static void test_addresses_and_origins(void **state)
{
    static const char *const bad[] = {"foo", ":99999", "x:80", "[::1:80", "unix:"};
    char where[96], expected[192];
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        snprintf(where, sizeof(where), "--listen-tls=%s", bad[i]);
        snprintf(expected, sizeof(expected),
                 "--listen-tls: \"%s\" is not an address; write 127.0.0.1:8000, [::1]:8000, :8000 or unix:/path", bad[i]);
        assert_refused(WORDS(where), NO_WORDS, expected);
    }
    assert_refused(WORDS("--admin", "nonsense"), NO_WORDS,
                   "--admin: \"nonsense\" is not an address; write 127.0.0.1:8000, [::1]:8000, :8000 or unix:/path");
    assert_refused(WORDS("--origin", "ftp://x"), NO_WORDS,
                   "--origin: \"ftp://x\" is not an origin; write http://host:port, https://host, h2c://host:port or host:port");
}

static void test_environment(void **state)
{
    struct conf_test test = {0};
    (void)state;

    assert_read(&test, NO_WORDS,
                WORDS("PATH=/bin", "WARP", "WARP_ORIGIN=http://a , http://b", "WARP_NO_WEBSOCKET=true",
                      "WARP_MAX_CONNECTIONS_PER_IP=0", "WARP_CACHE_SIZE=", "WARP_CACHE_DIR=none"));
    assert_list(test.config.origin, "http://a", "http://b");
    assert_list(test.config.cache_dir, "none");
    assert_true(test.config.no_websocket);
    assert_int_equal(test.config.max_connections_per_ip, 0);
    assert_true(config_is_given(&test.config, CONFIG_max_connections_per_ip));
    assert_int_equal(test.config.cache_size, UINT64_C(2) << 30); /* empty: not set */
    assert_false(config_is_given(&test.config, CONFIG_cache_size));
    conf_test_done(&test);

    assert_refused(NO_WORDS, WORDS("WARP_LISTEN=:80,,:81"),
                   "WARP_LISTEN: \"\" is no value; write ADDR, or leave the setting out for its default");
    assert_refused(NO_WORDS, WORDS("WARP_CACHE_STATUS_KEY=yes"),
                   "WARP_CACHE_STATUS_KEY: \"yes\" is neither; write true or false");
}

static void test_unknown_variable(void **state)
{
    struct conf_test test = {0};
    (void)state;

    conf_test_file = "";
    assert_read(
        &test, NO_WORDS,
        WORDS("WARP_TOKEN=secret", "WARP_ADMIN=:1", "WARP_CONFIG=warp.yaml", "WARP_CACHE_DIR=/x", "WARPED=1"));
    assert_null(test.unknown);
    assert_read(&test, NO_WORDS, WORDS("WARP_LISTE=:80", "WARP_OTHER=1"));
    assert_string_equal(test.unknown, "WARP_LISTE"); /* the name only: the value may be a secret */
    assert_read(&test, NO_WORDS, WORDS("WARP_listen=:80"));
    assert_string_equal(test.unknown, "WARP_listen");
    assert_list(test.config.listen, "127.0.0.1:8000");
    assert_read(&test, NO_WORDS, WORDS("WARP_=1"));
    assert_string_equal(test.unknown, "WARP_");
    conf_test_done(&test);
}

static void test_list_is_bounded(void **state)
{
    struct conf_test test = {0};
    char one[] = "--listen=:0", *argv[CONFIG_LIST_MAX + 2] = {0};
    (void)state;

    for (unsigned i = 0; i < CONFIG_LIST_MAX; i++)
        argv[i] = one;
    assert_read(&test, argv, NO_WORDS);
    assert_int_equal(test.config.listen.count, CONFIG_LIST_MAX);
    conf_test_done(&test);
    argv[CONFIG_LIST_MAX] = one;
    assert_refused(argv, NO_WORDS, "--listen: is given too often; write it at most 64 times");
}

/* Of all sources, in their order; a value that belongs to an unknown flag is not another problem. */
static void test_all_at_once(void **state)
{
    (void)state;
    conf_test_file = "workers: none\nlisen: x\n";
    assert_refused(WORDS("--memory", "2x", "--colour", "red", "--config", "warp.yaml", "--io=poll"), WORDS("WARP_WORKERS=many"),
                   "--memory: \"2x\" is not a size; write bytes, or a number with k, m, g or t: 512, 64k, 256m, 2g, 1t\n"
                   "--colour: unknown setting; warp help lists them\n"
                   "--io: \"poll\" is not an I/O backend; write auto, uring or epoll\n"
                   "WARP_WORKERS: \"many\" is not such a number; write digits only, from 1 to 1024\n"
                   "warp.yaml:1:10: workers: \"none\" is not such a number; write digits only, from 1 to 1024\n"
                   "warp.yaml:2:1: lisen: unknown setting; did you mean listen?");
}

static void test_file_of_flags(void **state)
{
    char *path = NULL;
    (void)state;

    assert_int_equal(settings_file(2, WORDS("--config", "a.yaml"), WORDS("WARP_CONFIG=b.yaml"), &path).code, ERR_NONE);
    assert_string_equal(path, "a.yaml");
    free(path);
    assert_int_equal(settings_file(0, NULL, WORDS("WARP_CONFIG=b.yaml"), &path).code, ERR_NONE);
    assert_string_equal(path, "b.yaml");
    free(path);
    assert_int_equal(settings_file(0, NULL, NULL, &path).code, ERR_NONE);
    assert_null(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),           cmocka_unit_test(test_flags),
        cmocka_unit_test(test_precedence),         cmocka_unit_test(test_overruled_is_checked),
        cmocka_unit_test(test_refused_flags),      cmocka_unit_test(test_addresses_and_origins),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_unknown_variable),   cmocka_unit_test(test_list_is_bounded),
        cmocka_unit_test(test_all_at_once),        cmocka_unit_test(test_file_of_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
