/* Addresses that cannot both be listened on. */
#include "conf/listen_clash.h"
#include "conf_test.h"

static bool clash(const char *a, const char *b)
{
    bool one = listen_texts_clash(slice_str(a), slice_str(b));

    assert_int_equal(one, listen_texts_clash(slice_str(b), slice_str(a)));
    return one;
}

static void test_addresses(void **state)
{
    (void)state;
    assert_true(clash("127.0.0.1:80", "127.0.0.1:80"));
    assert_false(clash("127.0.0.1:80", "127.0.0.1:81"));
    assert_false(clash("127.0.0.1:80", "127.0.0.2:80"));
    assert_true(clash("0.0.0.0:80", "127.0.0.1:80"));
    assert_true(clash("[::]:80", "0.0.0.0:80"));
    assert_true(clash(":80", "[::]:80"));
    assert_true(clash(":80", "10.0.0.1:80"));
    assert_true(clash(":80", "[2001:db8::1]:80"));
    assert_true(clash("[0:0::1]:80", "[::1]:80"));
    assert_true(clash("[::ffff:127.0.0.1]:80", "127.0.0.1:80"));
    assert_true(clash("[::ffff:0.0.0.0]:80", "127.0.0.1:80"));
    assert_false(clash("[::1]:80", "127.0.0.1:80"));
    assert_false(clash("[::1]:80", "0.0.0.0:80"));
    assert_false(clash("[::1]:80", "[::2]:80"));
    assert_false(clash("127.0.0.1:0", "127.0.0.1:0")); /* another port each */
    assert_false(clash(":0", "0.0.0.0:0"));
    assert_true(clash("unix:/run/a", "unix:/run/a"));
    assert_false(clash("unix:/run/a", "unix:/run/b"));
    assert_false(clash("unix:/run/a", "127.0.0.1:80"));
}

static void test_what_is_no_address(void **state)
{
    static const char *const texts[] = {"", "80", ":", "x:80", "127.0.0.1:", "127.0.0.1:65536", "[::1:80", "::1:80", "[]:80", "[x]:80",
                                        "127.0.0.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1:80"};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_false(clash(texts[i], texts[i]));
    assert_false(listen_texts_clash(SLICE("127.0.0.1\0x:80"), SLICE("127.0.0.1\0x:80")));
}

static bool reaches(const char *origin, const char *listen)
{
    return listen_text_reached(slice_str(listen), slice_str(origin));
}

static void test_origins(void **state)
{
    static const char *const local[] = {"127.0.0.1:80", "http://127.0.0.1", "http://127.0.0.1:80/", "h2c://127.0.0.1:80", "localhost:80",
                                        "http://LocalHost.", "http://a.localhost/", "0.0.0.0:80", "[::]:80", "http://[::ffff:127.0.0.1]:80",
                                        "[::ffff:0.0.0.0]"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(local); i++) {
        assert_true(reaches(local[i], "127.0.0.1:80"));
        assert_true(reaches(local[i], ":80"));
        assert_true(reaches(local[i], "0.0.0.0:80"));
        assert_false(reaches(local[i], "127.0.0.1:81"));
        assert_false(reaches(local[i], "127.0.0.1:0"));
        assert_false(reaches(local[i], "10.0.0.1:80"));
        assert_false(reaches(local[i], "unix:/run/a"));
    }
    assert_true(reaches("https://localhost", "[::1]:443"));
    assert_true(reaches("http://[::1]:8", "[::]:8"));
    assert_true(reaches("http://10.0.0.1:8", "10.0.0.1:8"));
    assert_true(reaches("127.0.0.2:8", "0.0.0.0:8"));
    assert_false(reaches("http://[::1]:8", "0.0.0.0:8"));
    assert_false(reaches("http://10.0.0.1:8", ":8")); /* whose address that is, only the machine knows */
    assert_false(reaches("127.0.0.2:8", "127.0.0.1:8"));
    assert_false(reaches("http://localhost", "127.0.0.1:443"));
    assert_false(reaches("notlocalhost:80", ":80"));
    assert_false(reaches("localhost.example:80", ":80"));
    assert_false(reaches("", ":80"));
    assert_false(reaches("http://", ":80"));
    assert_false(reaches("localhost:x", ":80"));
    assert_false(reaches("[::1:80", ":80"));
}

#define OWN(origin, name, listen) origin " is where this WARP itself listens (" name " " listen "); write where the site's own server is"

static void test_origins_of_a_file(void **state)
{
    (void)state;
    assert_file("listen: ['127.0.0.1:1', ':2']\nadmin: 127.0.0.1:4\norigin: [o, 'http://localhost:4', 'https://[::1]:2']\n",
                "warp.yaml:3:13: origin: " OWN("http://localhost:4", "admin", "127.0.0.1:4") "\n"
                "warp.yaml:3:35: origin: " OWN("https://[::1]:2", "listen", ":2"));
    assert_file("origin: o:8080\nadmin: 127.0.0.1:4\ntenants:\n  t:\n    hosts: t\n    origins:\n    - o\n    - localhost:4\n  u: {hosts: u, origins: '127.0.0.1:8000'}\n",
                "warp.yaml:8:7: tenants.t.origins: " OWN("localhost:4", "admin", "127.0.0.1:4") "\n"
                "warp.yaml:9:26: tenants.u.origins: " OWN("127.0.0.1:8000", "listen", "127.0.0.1:8000"));
    assert_file("listen: 127.0.0.1:0\nlisten-tls: 127.0.0.1:0\nadmin: 127.0.0.1:0\norigin: localhost:80\n", "");
    assert_refused(WORDS("--admin", ":1", "--origin", "http://0.0.0.0:1"), NO_WORDS, "--origin: " OWN("http://0.0.0.0:1", "admin", ":1"));
}

#define BESIDE(a, b) " cannot be listened on beside " a " " b ": one is the other, or part of it; write another port, or another address"

static void test_those_of_a_file(void **state)
{
    (void)state;
    assert_file("listen: ['127.0.0.1:1', '127.0.0.1:2']\nlisten-tls: 127.0.0.1:3\nadmin: 127.0.0.1:4\n", "");
    assert_file("listen: 127.0.0.1:0\nlisten-tls: 127.0.0.1:0\nadmin: 127.0.0.1:0\n", "");
    assert_file("listen: ['127.0.0.1:1', '0.0.0.0:1']\n", "warp.yaml:1:25: listen: 0.0.0.0:1" BESIDE("listen", "127.0.0.1:1"));
    assert_file("listen: ':443'\nlisten-tls: ['[::1]:1', '127.0.0.1:443']\n",
                "warp.yaml:2:25: listen-tls: 127.0.0.1:443" BESIDE("listen", ":443"));
    assert_file("admin: '[::]:8000'\n", "warp.yaml:1:8: admin: [::]:8000" BESIDE("listen, by default,", "127.0.0.1:8000"));
    assert_file("listen: ':8080'\n", "warp.yaml:1:9: listen: :8080" BESIDE("admin, by default,", "127.0.0.1:8080"));
    /* each of three is said once */
    assert_file("listen: ['127.0.0.1:1', '127.0.0.1:1', '127.0.0.1:1']\n",
                "warp.yaml:1:25: listen: 127.0.0.1:1" BESIDE("listen", "127.0.0.1:1") "\n"
                "warp.yaml:1:40: listen: 127.0.0.1:1" BESIDE("listen", "127.0.0.1:1"));
}

static void test_those_of_flags_and_variables(void **state)
{
    (void)state;
    assert_refused(WORDS("--listen", ":1", "--listen-tls", "127.0.0.1:1"), NO_WORDS, "--listen-tls: 127.0.0.1:1" BESIDE("--listen", ":1"));
    assert_refused(WORDS("--admin", ":1"), WORDS("WARP_LISTEN_TLS=127.0.0.1:1"), "--admin: :1" BESIDE("WARP_LISTEN_TLS", "127.0.0.1:1"));
    conf_test_file = "listen: 127.0.0.1:1\n";
    assert_refused(WORDS("--config=warp.yaml", "--admin=127.0.0.1:1"), NO_WORDS, "--admin: 127.0.0.1:1" BESIDE("listen", "127.0.0.1:1"));
    conf_test_file = "admin: 127.0.0.1:1\n";
    assert_refused(WORDS("--config=warp.yaml", "--listen=127.0.0.1:1"), NO_WORDS,
                   "warp.yaml:1:8: admin: 127.0.0.1:1" BESIDE("--listen", "127.0.0.1:1"));
    struct conf_test test = {0};
    assert_read(&test, WORDS("--config=warp.yaml", "--listen=127.0.0.1:1", "--admin=127.0.0.1:2"), NO_WORDS); /* the file's is not in force */
    conf_test_done(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_what_is_no_address),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_origins_of_a_file),
        cmocka_unit_test(test_those_of_a_file),
        cmocka_unit_test(test_those_of_flags_and_variables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
