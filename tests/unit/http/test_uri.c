#include "help.h"
#include "http/uri.h"

static void authorities(void **state)
{
    static const struct {
        const char *raw, *http, *https; /* NULL: refused */
    } rows[] = {
        {"a.example", "a.example", "a.example"},
        {"A.Example:80", "a.example", "a.example:80"},
        {"a.example:443", "a.example:443", "a.example"},
        {"a.example.:8080", "a.example:8080", "a.example:8080"},
        {"a.example.", "a.example", "a.example"},
        {"a.example:", "a.example", "a.example"},
        {"a:080", "a", "a:80"},
        {"a_b~c", "a_b~c", "a_b~c"},
        {"[::1]", "[::1]", "[::1]"},
        {"[2001:DB8::1]:80", "[2001:db8::1]", "[2001:db8::1]:80"},
        {"127.0.0.1:65535", "127.0.0.1:65535", "127.0.0.1:65535"},
        {"", NULL, NULL}, {".", NULL, NULL}, {"a..", NULL, NULL}, {"a..b", NULL, NULL}, {".a", NULL, NULL},
        {":80", NULL, NULL}, {"a:0", NULL, NULL}, {"a:65536", NULL, NULL}, {"a:+80", NULL, NULL},
        {"a:000080", NULL, NULL}, {"a:80:80", NULL, NULL}, {"a:8x", NULL, NULL}, {"u@a", NULL, NULL},
        {"a,b", NULL, NULL}, {"a b", NULL, NULL}, {"a/b", NULL, NULL}, {"a%41", NULL, NULL},
        {"[::1", NULL, NULL}, {"[::1]x", NULL, NULL}, {"[::1%25eth0]", NULL, NULL}, {"[v1.a]", NULL, NULL},
        {"[]", NULL, NULL}, {"[1.2.3.4]", NULL, NULL}, {"::1", NULL, NULL}, {"a\\b", NULL, NULL}, {"\xc3\xa4", NULL, NULL},
        {"[::1]::80", NULL, NULL}, {"a?b", NULL, NULL}, {"a#b", NULL, NULL},
    };
    slice got;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        for (unsigned https = 0; https < 2; https++) {
            const char *want = https ? rows[i].https : rows[i].http;
            err e = authority_normalise(slice_str(rows[i].raw), https, i % 2 == 0, &test_arena, &got);
            assert_int_equal(err_is_ok(e), want != NULL);
            if (want != NULL)
                assert_slice(got, want);
        }
    assert_false(err_is_ok(authority_normalise(slice_of("a\0b", 3), false, true, &test_arena, &got)));
    assert_false(err_is_ok(authority_normalise(slice_of("[::1\0]", 6), false, true, &test_arena, &got)));
}

static void absolute(void **state)
{
    struct uri uri;

    (void)state;
    assert_true(err_is_ok(uri_parse(SLICE("HTTP://A.b:80?x#f"), &test_arena, &uri)));
    assert_slice(uri.authority, "a.b");
    assert_slice(uri.target, "/?x");
    assert_true(err_is_ok(uri_parse(SLICE("https://a/../%2e?/../x"), &test_arena, &uri)));
    assert_true(uri.https);
    assert_slice(uri.target, "/../%2e?/../x");
    assert_int_equal(uri_parse(SLICE("ftp://a/"), &test_arena, &uri).code, ERR_UNSUPPORTED);
    assert_int_equal(uri_parse(SLICE("/a"), &test_arena, &uri).code, ERR_INVALID);
    assert_int_equal(uri_parse(SLICE(""), &test_arena, &uri).code, ERR_INVALID);
    assert_int_equal(uri_parse(SLICE("http://"), &test_arena, &uri).code, ERR_INVALID);
    assert_int_equal(uri_parse(SLICE("http://u:p@a/"), &test_arena, &uri).code, ERR_INVALID);
    assert_int_equal(uri_parse(SLICE("http://a/b c"), &test_arena, &uri).code, ERR_INVALID);
}

/* RFC 3986 5.4.1 and 5.4.2, base http://a/b/c/d;p?q */
static void references(void **state)
{
    static const char *const rows[][2] = {
        {"g", "/b/c/g"}, {"./g", "/b/c/g"}, {"g/", "/b/c/g/"}, {"/g", "/g"}, {"?y", "/b/c/d;p?y"},
        {"g?y", "/b/c/g?y"}, {"#s", "/b/c/d;p?q"}, {"g#s", "/b/c/g"}, {";x", "/b/c/;x"}, {"", "/b/c/d;p?q"},
        {".", "/b/c/"}, {"./", "/b/c/"}, {"..", "/b/"}, {"../", "/b/"}, {"../g", "/b/g"}, {"../..", "/"},
        {"../../g", "/g"}, {"../../../g", "/g"}, {"/./g", "/g"}, {"/../g", "/g"}, {"g.", "/b/c/g."},
        {"..g", "/b/c/..g"}, {"./../g", "/b/g"}, {"./g/.", "/b/c/g/"}, {"g/./h", "/b/c/g/h"},
        {"g/../h", "/b/c/h"}, {"g;x=1/../y", "/b/c/y"}, {"g?y/../x", "/b/c/g?y/../x"},
    };
    struct uri base = {.authority = SLICE("a"), .target = SLICE("/b/c/d;p?q")}, uri;

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        assert_true(err_is_ok(uri_resolve(&base, slice_str(rows[i][0]), &test_arena, &uri)));
        assert_slice(uri.target, rows[i][1]);
        assert_true(uri_same_origin(&base, &uri));
    }
    assert_true(err_is_ok(uri_resolve(&base, SLICE("//A:80"), &test_arena, &uri)));
    assert_slice(uri.target, "/");
    assert_true(uri_same_origin(&base, &uri));
    assert_true(err_is_ok(uri_resolve(&base, SLICE("https://a/x/../y"), &test_arena, &uri)));
    assert_slice(uri.target, "/y");
    assert_false(uri_same_origin(&base, &uri));
    assert_true(err_is_ok(uri_resolve(&base, SLICE("http://a:81/"), &test_arena, &uri)));
    assert_false(uri_same_origin(&base, &uri));
    assert_int_equal(uri_resolve(&base, SLICE("javascript:x"), &test_arena, &uri).code, ERR_UNSUPPORTED);
    assert_false(err_is_ok(uri_resolve(&base, SLICE("//u@a/"), &test_arena, &uri)));
    assert_false(err_is_ok(uri_resolve(&base, SLICE("a\x01"), &test_arena, &uri)));
    base.target = SLICE("*");
    assert_false(err_is_ok(uri_resolve(&base, SLICE("g"), &test_arena, &uri)));
    assert_false(err_is_ok(uri_resolve(&base, SLICE("?g"), &test_arena, &uri)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(authorities), TEST(absolute), TEST(references)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
