#include "cache/slices.h"

#include "cache_test.h"

#define S 1000u

static const struct sliced body = {
    .key = {"Kkey", 4}, .etag = {"\"v\"", 3}, .id = {1, 2}, .length_bytes = 10 * S + 1, .slice_bytes = S};

static void arithmetic(void **state)
{
    (void)state;
    struct sliced even = body;

    even.length_bytes = 10 * S;
    assert_int_equal(sliced_count(&body), 11);
    assert_int_equal(sliced_count(&even), 10);
    assert_int_equal(sliced_at(&body, 10), 10 * S);
    assert_int_equal(sliced_at(&body, 11), 10 * S + 1);
    assert_int_equal(sliced_bytes(&body, 9), S);
    assert_int_equal(sliced_bytes(&body, 10), 1);
    assert_int_equal(sliced_bytes(&even, 9), S);
}

static void keys(void **state)
{
    (void)state;
    char one[64], two[64];
    struct sliced other = body;
    slice key = slice_key_write(&body, 7, one), same = slice_key_write(&body, 8, two);

    assert_int_equal(key.len, body.key.len + SLICE_KEY_MORE);
    assert_false(slice_eq(key, same));
    slice_key_set(key, 8);
    assert_true(slice_eq(key, same));
    other.id.lo = 9;
    assert_false(slice_eq(key, slice_key_write(&other, 8, two)));
}

/* Another tag, another length, a purge in between: another id. */
static void ids(void **state)
{
    (void)state;
    slice text[5];

    OK(slice_id_text(&arena, body.key, SLICE("\"a\""), 5, 1, &text[0]));
    OK(slice_id_text(&arena, body.key, SLICE("\"a\""), 5, 1, &text[1]));
    OK(slice_id_text(&arena, body.key, SLICE("\"b\""), 5, 1, &text[2]));
    OK(slice_id_text(&arena, body.key, SLICE("\"a\""), 6, 1, &text[3]));
    OK(slice_id_text(&arena, body.key, SLICE("\"a\""), 5, 2, &text[4]));
    assert_true(slice_eq(text[0], text[1]));
    for (unsigned i = 2; i < 5; i++)
        assert_false(slice_eq(text[0], text[i]));
}

static bool cold(const char *value, struct slice_ask *ret_ask)
{
    struct range_request asked;

    assert_true(range_parse_value(slice_str(value), &asked));
    return slice_ask_cold(&asked, S, 4, ret_ask);
}

static void what_is_asked_of_something_unknown(void **state)
{
    (void)state;
    struct slice_ask ask;

    assert_false(cold("bytes=0-", &ask)); /* small things come whole, in one answer */
    assert_false(cold("bytes=999-5000", &ask));
    assert_false(cold("bytes=5000-5001,7000-7001", &ask));
    assert_false(cold("bytes=-0", &ask));
    assert_false(cold("bytes=9223372036854775807-", &ask));
    assert_false(cold("bytes=-9223372036854775807", &ask));
    assert_true(cold("bytes=1000-1000", &ask));
    assert_int_equal(ask.first, 1000);
    assert_int_equal(ask.last, 1999);
    assert_true(cold("bytes=1999-2000", &ask));
    assert_int_equal(ask.first, 1000);
    assert_int_equal(ask.last, 2999);
    assert_true(cold("bytes=5500-", &ask)); /* four slices at a time */
    assert_int_equal(ask.first, 5000);
    assert_int_equal(ask.last, 8999);
    assert_true(cold("bytes=5500-999999", &ask));
    assert_int_equal(ask.last, 8999);
    assert_int_equal(ask.suffix, 0);
    assert_true(cold("bytes=-1", &ask));
    assert_int_equal(ask.suffix, S);
    assert_true(cold("bytes=-500", &ask));
    assert_int_equal(ask.suffix, 500 + S - 1);
}

static bool fits(struct slice_ask ask, const char *value)
{
    struct content_range range;

    return content_range_parse(slice_str(value), &range) && slice_ask_fits(&ask, &range);
}

static void only_what_was_asked_for_fits(void **state)
{
    (void)state;
    struct slice_ask ask = {.first = 1000, .last = 2999}, suffix = {.suffix = 100};

    assert_true(fits(ask, "bytes 1000-2999/5000"));
    assert_true(fits(ask, "bytes 1000-2999/3000"));
    assert_true(fits(ask, "bytes 1000-1500/1501"));
    assert_false(fits(ask, "bytes 1000-1500/1502")); /* less than there is */
    assert_false(fits(ask, "bytes 1000-2999/*"));
    assert_false(fits(ask, "bytes 999-2999/5000"));
    assert_false(fits(ask, "bytes 1001-2999/5000"));
    assert_false(fits(ask, "bytes 1000-3000/5000"));
    assert_false(fits(ask, "bytes */5000"));
    assert_true(fits(suffix, "bytes 900-999/1000"));
    assert_true(fits(suffix, "bytes 0-49/50"));
    assert_false(fits(suffix, "bytes 1-49/50"));
    assert_false(fits(suffix, "bytes 899-999/1000"));
    assert_false(fits(suffix, "bytes 900-998/1000"));
}

static void the_range_in_a_request(void **state)
{
    (void)state;
    struct fields fields;

    fields_init(&fields, &arena);
    OK(slice_ask_add(&(struct slice_ask){.suffix = 77}, &fields));
    assert_slice(fields_get(&fields, F_RANGE), "bytes=-77");
    fields_init(&fields, &arena);
    struct slice_ask ask = slice_ask_of(&body, 9, 11);
    OK(slice_ask_add(&ask, &fields));
    assert_slice(fields_get(&fields, F_RANGE), "bytes=9000-10000");
}

static void strong_tags(void **state)
{
    (void)state;

    static const char *const weak[] = {"ETag: W/\"a\"", "ETag: a", "ETag: \"a\"\nETag: \"a\"", "X: y"};
    struct response response = response_of(200, "ETag: \"a\"");

    assert_slice(strong_etag_of(&response.fields), "\"a\"");
    for (size_t i = 0; i < ARRAY_LEN(weak); i++) {
        response = response_of(200, weak[i]);
        assert_null(strong_etag_of(&response.fields).data);
    }
}

static void parts(void **state)
{
    (void)state;
    struct response response = response_of(206, "Content-Range: bytes 5-9/20");
    struct content_range range;

    response.body = BODY_LENGTH;
    response.length_bytes = 5;
    assert_true(part_read(&response, &range));
    assert_int_equal(range.first, 5);
    assert_int_equal(range.length_bytes, 20);
    response.length_bytes = 6;
    assert_false(part_read(&response, &range));
    response.body = BODY_NONE;
    assert_false(part_read(&response, &range));
    response.body = BODY_CHUNKED;
    assert_true(part_read(&response, &range));
    response.status = 200;
    assert_false(part_read(&response, &range));
    response = response_of(206, "Content-Range: bytes 5-9/20\nContent-Range: bytes 5-9/20");
    response.body = BODY_CHUNKED;
    assert_false(part_read(&response, &range));
    response = response_of(206, "Content-Range: bytes */20");
    response.body = BODY_CHUNKED;
    assert_false(part_read(&response, &range));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(arithmetic), TEST(keys), TEST(ids), TEST(what_is_asked_of_something_unknown),
        TEST(only_what_was_asked_for_fits), TEST(the_range_in_a_request), TEST(strong_tags), TEST(parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
