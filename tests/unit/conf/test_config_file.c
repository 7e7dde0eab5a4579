/* The YAML file: where a message points, and what is refused. */
#include "conf_test.h"

#include <stdio.h>

#define check(text, expected) assert_file(text, expected)

static void test_every_kind(void **state)
{
    struct conf_test test = {0};
    (void)state;

    conf_test_file = "# a comment\n"
                     "listen: [\":80\", '[::1]:81']\n"
                     "origin:\n"
                     "  - http://a:1\n"
                     "  - http://b:1\n"
                     "cache-dir: none\n"
                     "admin: :8080\n"
                     "memory: 256M\n"
                     "drain-timeout: 5m\n"
                     "workers: 3\n"
                     "no-websocket: true\n"
                     "cache-status-key: false\n"
                     "io: epoll\n"
                     "log-level: \"debug\"\n"
                     "access-log: off\n";
    assert_read(&test, WORDS("--config=warp.yaml"), NO_WORDS);
    assert_list(test.config.listen, ":80", "[::1]:81");
    assert_list(test.config.origin, "http://a:1", "http://b:1");
    assert_list(test.config.cache_dir, "none");
    assert_string_equal(test.config.admin, ":8080");
    assert_int_equal(test.config.memory, 256u << 20);
    assert_int_equal(test.config.drain_timeout_ms, 300000);
    assert_int_equal(test.config.workers, 3);
    assert_true(test.config.no_websocket);
    assert_true(config_is_given(&test.config, CONFIG_cache_status_key));
    assert_int_equal(test.config.io, CONFIG_IO_EPOLL);
    assert_int_equal(test.config.log_level, LOG_DEBUG);
    assert_string_equal(test.config.access_log, "off");
    conf_test_done(&test);
}

static void test_nothing_is_fine(void **state)
{
    (void)state;
    check("", "");
    check("# nothing\n", "");
    check("---\n", "");
    check("{}\n", "");
}

static void test_keys(void **state)
{
    (void)state;
    check("memory: 1g\nlisen: :80\n", "warp.yaml:2:1: lisen: unknown setting; did you mean listen?");
    check("colour: red\n",
          "warp.yaml:1:1: colour: unknown setting; there are the flags that warp help lists, include, default-tenant, trusted-proxies and tenants");
    check("--listen: :80\n", "warp.yaml:1:1: --listen: unknown setting; did you mean listen?");
    check("listen: :80\nmemory: 1g\nlisten: :81\n",
          "warp.yaml:3:1: listen: is here twice, first in warp.yaml:1:1; write it once");
    check("memory: 1g\nmemory: 1g\n", "warp.yaml:2:1: memory: is here twice, first in warp.yaml:1:1; write it once");
    check("config: other.yaml\n",
          "warp.yaml:1:1: config: a file cannot name another one so; write include: FILE");
    check("[a]: b\n", "warp.yaml:1:1: yaml: a key is a list or a mapping; write one name, a colon and a value");
    check("\"a\\u001b\\0b\": c\n", "warp.yaml:1:1: a\\x1b\\x00b: unknown setting; "
                                   "there are the flags that warp help lists, include, default-tenant, trusted-proxies and tenants");
}

static void test_values(void **state)
{
    (void)state;
    check("memory: 1g\n\nworkers:   many\n",
          "warp.yaml:3:12: workers: \"many\" is not such a number; write digits only, from 1 to 1024");
    check("listen:\n  - :80\n  - \"\"\n",
          "warp.yaml:3:5: listen[1]: \"\" is no value; write ADDR, or leave the setting out for its default");
    check("listen: [':1', [b:2]]\n", "warp.yaml:1:16: listen[1]: is a list; write one value");
    check("listen: {a: b}\n", "warp.yaml:1:9: listen: is a mapping; write one value or a list of them");
    check("memory:\n  size: 1g\n", "warp.yaml:2:3: memory: is a mapping; write one value");
    check("memory: [1g]\n", "warp.yaml:1:9: memory: is a list; write one value");
    check("listen: []\n",
          "warp.yaml:1:9: listen: is an empty list; write ADDR, or leave the line out for the default");
    check("admin:\n",
          "warp.yaml:1:7: admin: has no value; write ADDR, or leave the line out for the default");
    check("admin: ~\n",
          "warp.yaml:1:8: admin: has no value; write ADDR, or leave the line out for the default");
    check("no-websocket: null\n", "warp.yaml:1:15: no-websocket: has no value; write true or false, or leave "
                                  "the line out for the default");
    check("no-websocket: yes\n", "warp.yaml:1:15: no-websocket: \"yes\" is neither; write true or false");
    check("admin: \"a\\0b\"\n",
          "warp.yaml:1:8: admin: \"a\\x00b\" holds a control character; write it without");
    check("admin: |\n  two\n  lines\n",
          "warp.yaml:1:8: admin: \"two\\x0alines\\x0a\" holds a control character; write it without");
}

static void test_not_a_mapping(void **state)
{
    (void)state;
    check("- a\n",
          "warp.yaml:1:1: yaml: the file is not a mapping; write one setting a line, such as cache-size: 2g");
    check("listen\n", "warp.yaml:1:1: yaml: the file is not a mapping; "
                      "write one setting a line, such as cache-size: 2g");
    check("memory: 1g\n---\nmemory: 2g\n", "warp.yaml:2:1: yaml: a second document begins; write one");
}

static void test_more_than_it_shows(void **state)
{
    (void)state;
    check("admin: &a x\n", "warp.yaml:1:8: admin: anchors (&name) are not allowed; write the value alone");
    check("listen: &a [':1']\n", "warp.yaml:1:9: listen: anchors (&name) are not allowed; write the value alone");
    check("admin: *a\n", "warp.yaml:1:8: admin: aliases (*name) are not allowed; write the value again");
    check("<<: *a\n",
          "warp.yaml:1:1: <<: unknown setting; there are the flags that warp help lists, include, default-tenant, trusted-proxies and tenants\n"
          "warp.yaml:1:5: <<: aliases (*name) are not allowed; write the value again");
    check("admin: !!str x\n", "warp.yaml:1:8: admin: tags (!name) are not allowed; write the value alone");
}

static void test_syntax(void **state)
{
    (void)state;
    check("listen: [a\nmemory: 1g\n", "warp.yaml:2:7: yaml: did not find expected ',' or ']' "
                                      "(while parsing a flow sequence that begins in line 1); check quotes, brackets and the indentation");
    check("admin: :1\n\tmemory: 1g\n", "warp.yaml:2:1: yaml: a tab; indent with spaces");
    check("admin: :1\nio: a\xff\n", "warp.yaml:2:6: yaml: invalid leading UTF-8 octet; "
                                   "write plain text in UTF-8");
    check("admin: :1\nio: a\x01\n", "warp.yaml:2:6: yaml: control characters are not allowed; "
                                   "write plain text in UTF-8");
}

/* Brackets in any number: refused at the second one, not followed down. */
static void test_deep(void **state)
{
    static char text[CONF_FILE_BYTES_MAX + 2];
    (void)state;

    memset(text, '[', sizeof(text) - 1);
    memcpy(text, "listen: ", 8);
    text[sizeof(text) - 2] = '\0';
    check(text, "warp.yaml:1:25: listen[0][0][0][0][0][0][0][0][0][0][0][0][0][0][0][0]: is nested too deeply; "
                "no setting goes deeper than 16");
}

static void test_file(void **state)
{
    static char text[CONF_FILE_BYTES_MAX + 2];
    (void)state;

    check(NULL, "warp.yaml: cannot be read: is not there; name a plain file of at most 16 MiB");
    memset(text, '#', sizeof(text) - 1);
    check(text, "warp.yaml: cannot be read: is larger than 16 MiB; name a plain file of at most 16 MiB");
}

/* Every cut of a good file ends in a message or in settings, and leaves nothing behind. */
static void test_every_cut(void **state)
{
    static const char whole[] =
        "listen: [\":80\", ':81']\norigin:\n  - a\n  - \"b\\x41\"\nno-websocket: true\n";
    char text[sizeof(whole)];
    (void)state;

    for (size_t len = 0; len < sizeof(whole); len++) {
        snprintf(text, sizeof(text), "%.*s", (int)len, whole);
        conf_test_file = text;
        struct conf_test test = {0};
        err result = conf_test_read(&test, WORDS("--config=warp.yaml"), NO_WORDS);
        assert_int_equal(err_is_ok(result), test.message[0] == '\0');
        conf_test_done(&test);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),    cmocka_unit_test(test_nothing_is_fine),
        cmocka_unit_test(test_keys),          cmocka_unit_test(test_values),
        cmocka_unit_test(test_not_a_mapping), cmocka_unit_test(test_more_than_it_shows),
        cmocka_unit_test(test_syntax),        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_file),          cmocka_unit_test(test_every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
