#include "cache/validate.h"

#include "cache_test.h"

static struct fields fields;
static const struct stored *stored;

static void store(const char *text)
{
    struct response response = response_of(200, text);
    struct freshness freshness;
    slice blob;
    freshness_of(&response, T0_MS, T0_MS, NULL, &freshness);
    OK(stored_build(&arena, &response, &freshness, T0_MS, T0_MS, 5, 0, &blob));
    OK(stored_view(blob, &fields, &stored));
}

static void conditions(void **state)
{
    (void)state;
    struct fields request;
    bool conditional;
    fields_init(&request, &arena);
    store("ETag: W/\"a\"\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT");
    OK(validate_add_conditions(&fields, stored, &request, &conditional));
    assert_true(conditional && request.count == 1);
    assert_slice(value_of(&request, "If-None-Match"), "W/\"a\"");
    fields_init(&request, &arena);
    store("ETag: unquoted\nLast-Modified: Wed, 01 Jan 2020 00:00:00 GMT");
    OK(validate_add_conditions(&fields, stored, &request, &conditional));
    assert_slice(value_of(&request, "If-Modified-Since"), "Wed, 01 Jan 2020 00:00:00 GMT");
    fields_init(&request, &arena);
    store("Last-Modified: yesterday");
    OK(validate_add_conditions(&fields, stored, &request, &conditional));
    assert_true(!conditional && request.count == 0);
}

static enum validate_match match(const char *stored_text, const char *text)
{
    struct response r = response_of(304, text);
    store(stored_text);
    return validate_match_304(&fields, stored, &r);
}

static void matches(void **state)
{
    (void)state;
    assert_int_equal(match("ETag: \"a\"", ""), VALIDATE_MATCH);
    assert_int_equal(match("ETag: \"a\"", "ETag: \"a\""), VALIDATE_MATCH);
    assert_int_equal(match("ETag: \"a\"", "ETag: W/\"a\""), VALIDATE_MATCH);
    assert_int_equal(match("ETag: \"a\"", "ETag: \"b\""), VALIDATE_OTHER_TAG);
    const char *modified = "Last-Modified: Wed, 01 Jan 2020 00:00:00 GMT";
    assert_int_equal(match(modified, modified), VALIDATE_MATCH);
    assert_int_equal(match(modified, ""), VALIDATE_MATCH);
    assert_int_equal(match(modified, "ETag: \"b\""), VALIDATE_MISMATCH);
    assert_int_equal(match(modified, "Last-Modified: Wed, 01 Jan 2020 00:00:01 GMT"), VALIDATE_MISMATCH);
}

static enum cond ask(const char *stored_text, const char *request_text)
{
    struct request request = request_of(METHOD_GET, request_text);
    store(stored_text);
    return client_precondition(&request, &fields, stored, T0_S);
}

static void the_clients_conditions(void **state)
{
    (void)state;
    assert_int_equal(ask("ETag: \"a\"", "If-None-Match: \"x\", \"a\""), COND_NOT_MODIFIED);
    assert_int_equal(ask("ETag: \"a\"", "If-None-Match: W/\"a\""), COND_NOT_MODIFIED);
    assert_int_equal(ask("ETag: \"a\"", "If-None-Match: \"b\""), COND_PASS);
    assert_int_equal(ask(head("ETag: \"a\"", dated("Last-Modified", -5000), NULL, NULL), head("If-None-Match: \"a\"", dated("If-Modified-Since", -9000), NULL, NULL)), COND_NOT_MODIFIED);
    assert_int_equal(ask(dated("Last-Modified", -3000), dated("If-Modified-Since", -2000)), COND_NOT_MODIFIED);
    assert_int_equal(ask(dated("Last-Modified", -3000), dated("If-Modified-Since", -4000)), COND_PASS);
    assert_int_equal(ask("ETag: \"a\"", "If-Match: \"b\""), COND_FAILED);
    struct request range = request_of(METHOD_GET, "Range: bytes=0-1\nIf-Range: \"b\"");
    store("ETag: \"a\"");
    assert_false(client_if_range(&range, &fields, stored, T0_S));
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(conditions), TEST(matches), TEST(the_clients_conditions)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
