#include "cache/vary.h"

#include "cache_test.h"

static slice spec_of(const char *text, enum vary_result expected)
{
    struct response r = response_of(200, text);
    enum vary_result result;
    slice spec;
    OK(vary_parse(&arena, &r.fields, &result, &spec));
    assert_int_equal(result, expected);
    return spec;
}

static void specs(void **state)
{
    (void)state;
    spec_of("", VARY_NONE);
    spec_of("Vary:", VARY_NONE);
    spec_of("Vary: Host, X-Forwarded-Proto", VARY_NONE);
    assert_slice(spec_of("Vary: Foo, Accept-Encoding\nVary: bar,, FOO", VARY_SPEC), "accept-encoding,bar,foo");
    static const char *const stars[] = {"Vary: *", "Vary: *, *", "Vary: *\nVary: *", "Vary: , *", "Vary:\nVary: *", "Vary: *, Foo",
                                        "Vary: Foo, *", "Vary: a b", "Vary: \"a", "Vary: X-Forwarded-For", "Vary: foo, X-Request-ID"};
    for (size_t i = 0; i < ARRAY_LEN(stars); i++)
        spec_of(stars[i], VARY_STAR);
    char many[600] = "Vary: ";
    for (unsigned i = 0; i < 33; i++)
        snprintf(many + strlen(many), 16, "n%u,", i);
    spec_of(many, VARY_TOO_LONG);
    spec_of(arena_printf(&arena, "%s*", many).data, VARY_STAR);
}

static slice values(const char *spec, const char *request_text)
{
    struct request request = request_of(METHOD_GET, request_text);
    slice result;
    OK(vary_values(&arena, slice_str(spec), &request.fields, &result));
    return result;
}

static void same(const char *spec, const char *a, const char *b)
{
    if (!slice_eq(values(spec, a), values(spec, b)))
        fail_msg("for %s these differ: %s | %s", spec, a, b);
}

static void differ(const char *spec, const char *a, const char *b)
{
    if (slice_eq(values(spec, a), values(spec, b)))
        fail_msg("for %s these are equal: %s | %s", spec, a, b);
}

static void any_field(void **state)
{
    (void)state;
    same("foo", "Foo: 1", "foo: 1");
    same("foo", "Foo: 1\nOther: 2", "Foo: 1\nOther: 3");
    same("foo", "Foo: 1, 2", "Foo: 1\nFoo: 2");
    same("foo", "Foo: 1,2", "Foo: 1 \t,  2");
    differ("foo", "Foo: 1", "Foo: 2");
    differ("foo", "Foo: 1", "");
    differ("foo", "Foo:", "");
    differ("foo", "Foo: a", "Foo: a\nFoo: b");
    differ("foo", "Foo: a b", "Foo: a  b");
    differ("foo", "Foo: A", "Foo: a");
    differ("foo", "Foo: \"a, b\"", "Foo: \"a,b\"");
    differ("foo", "Foo: \"a\nFoo: b\"", "Foo: \"a,b\"");
    differ("foo,goo", "Foo: ab\nGoo: c", "Foo: a\nGoo: bc");
    differ("foo,goo", "Foo: x", "Goo: x");
    same("bar,baz,foo", "Foo: 1\nBaz: 789", "Baz: 789\nFoo: 1");
    differ("bar,baz,foo", "Foo: 1\nBar: abc4\nBaz: 789", "Foo: 1\nBar: abc\nBaz: 789");
    same("foo", "", "Connection: foo\nFoo: 1"); /* the origin never saw it */
}

/* White space must not cost its square: this takes minutes then. */
static void long_runs(void **state)
{
    (void)state;
    static char text[2000000];
    memset(text, ' ', sizeof(text) - 1);
    memcpy(text, "Foo: a", 6);
    text[sizeof(text) - 2] = 'b';
    assert_int_equal(values("foo", text).len, 4 + sizeof(text) - 1 - 5);
}

static void accept_encoding(void **state)
{
    (void)state;
    const char *spec = "accept-encoding";
    same(spec, "Accept-Encoding: gzip, br", "Accept-Encoding: BR ,gzip");
    same(spec, "Accept-Encoding: gzip, br", "Accept-Encoding: gzip\nAccept-Encoding: br");
    same(spec, "Accept-Encoding: x-gzip;q=0.5", "Accept-Encoding: gzip");
    same(spec, "Accept-Encoding: gzip, br;q=0", "Accept-Encoding: gzip");
    same(spec, "Accept-Encoding: gzip;q=0.8, br", "Accept-Encoding: br;q=1.0, gzip ; q=0.2");
    differ(spec, "Accept-Encoding: gzip, br", "Accept-Encoding: gzip, br;q=0.5");
    differ(spec, "Accept-Encoding: gzip;q=0.9, br", "Accept-Encoding: gzip, br;q=0.9");
    differ(spec, "Accept-Encoding: gzip", "Accept-Encoding: gzip, identity;q=0");
    differ(spec, "Accept-Encoding: *", "Accept-Encoding: *, gzip;q=0");
    differ(spec, "Accept-Encoding: *;q=0", "Accept-Encoding: *");
    differ(spec, "Accept-Encoding:", "");
    differ(spec, "Accept-Encoding: gzip", "Accept-Encoding: gzip, compress");
    differ(spec, "Accept-Encoding: gzip;q=2", "Accept-Encoding: gzip");
    differ(spec, "Accept-Encoding: gzip;level=1", "Accept-Encoding: gzip");
    differ(spec, "Accept-Encoding: gzip, gzip;q=0", "Accept-Encoding: gzip");
}

static void accept_language(void **state)
{
    (void)state;
    const char *spec = "accept-language";
    same(spec, "Accept-Language: en, de", "Accept-Language: de, en");
    same(spec, "Accept-Language: en, de", "Accept-Language: eN, De");
    same(spec, "Accept-Language: en, de", "Accept-Language:  en ,   de");
    same(spec, "Accept-Language: en, de;q=0.9", "Accept-Language: de;q=0.5, en");
    differ(spec, "Accept-Language: en, de", "Accept-Language: en, de;q=0.5");
    differ(spec, "Accept-Language: en, de", "Accept-Language: en");
    differ(spec, "Accept-Language: en, de;q=0", "Accept-Language: en");
    differ(spec, "Accept-Language: en-us", "Accept-Language: en, us");
}

static void markers(void **state)
{
    (void)state;
    struct vary_marker marker;
    slice blob = SLICE_NONE;
    hash128 dropped;
    bool drops;
    for (uint64_t i = 0; i < VARY_VARIANTS_MAX; i++) {
        OK(vary_marker_add(&arena, blob, SLICE("foo"), (hash128){i, 1}, &blob, &drops, &dropped));
        assert_false(drops);
    }
    OK(vary_marker_add(&arena, blob, SLICE("foo"), (hash128){0, 1}, &blob, &drops, &dropped)); /* again: the newest now */
    assert_false(drops);
    OK(vary_marker_add(&arena, blob, SLICE("bar,foo"), (hash128){999, 1}, &blob, &drops, &dropped));
    assert_true(drops && dropped.lo == 1);
    OK(vary_marker_view(blob, &marker));
    assert_int_equal(marker.variant_count, VARY_VARIANTS_MAX);
    assert_int_equal(marker.spec_count, 2);
    assert_slice(marker.specs[0], "bar,foo");
    assert_true(vary_marker_has(&marker, SLICE("bar,foo"), (hash128){0, 1}));
    assert_false(vary_marker_has(&marker, SLICE("foo"), (hash128){0, 1}));
    assert_false(vary_marker_has(&marker, SLICE("bar,foo"), (hash128){1, 1}));
    static const char *const more[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < ARRAY_LEN(more); i++)
        OK(vary_marker_add(&arena, blob, slice_str(more[i]), (hash128){999, 1}, &blob, &drops, &dropped));
    OK(vary_marker_view(blob, &marker));
    assert_int_equal(marker.spec_count, VARY_SPECS_MAX);
    assert_slice(marker.specs[0], "d");
    assert_slice(marker.specs[3], "a");
}

static void damaged_markers(void **state)
{
    (void)state;
    struct vary_marker marker;
    slice blob;
    hash128 dropped;
    bool drops;
    OK(vary_marker_add(&arena, SLICE_NONE, SLICE("foo"), (hash128){1, 2}, &blob, &drops, &dropped));
    char *copy = arena_alloc(&arena, blob.len);
    for (size_t i = 0; i < blob.len * 8; i++) {
        memcpy(copy, blob.data, blob.len);
        copy[i / 8] ^= (char)(1u << (i % 8));
        if (err_is_ok(vary_marker_view(slice_of(copy, blob.len), &marker)))
            assert_true(marker.specs[0].data + marker.specs[0].len <= copy + blob.len);
        assert_false(err_is_ok(vary_marker_view(slice_of(blob.data, i / 8), &marker)));
    }
    assert_false(err_is_ok(vary_marker_add(&arena, SLICE("rubbish."), SLICE("foo"), dropped, &blob, &drops, &dropped)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(specs), TEST(any_field), TEST(long_runs), TEST(accept_encoding), TEST(accept_language), TEST(markers), TEST(damaged_markers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
