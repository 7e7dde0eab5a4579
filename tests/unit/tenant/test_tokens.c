/* Tokens: found by their hash alone, until they expire or are revoked. */
#include "tenant/tokens.h"

#include <stdio.h>
#include <string.h>

#define MINUTE_MS 60000

static struct token make(unsigned n, unsigned rights)
{
    struct token token = {.rights = (uint8_t)rights, .created_ms = 1000};

    snprintf(token.id, sizeof(token.id), "%012x", n);
    snprintf(token.name, sizeof(token.name), "name-%u", n);
    memset(token.hash, (int)n, sizeof(token.hash));
    return token;
}

static struct tokens *set_of(unsigned count)
{
    struct tokens *tokens = NULL;

    assert_true(err_is_ok(tokens_new(&tokens)));
    for (unsigned i = 0; i < count; i++) { /* in no order */
        struct token token = make((i * 7) % count, 1u << TOKEN_READ);
        assert_true(err_is_ok(tokens_add(tokens, &token)));
    }
    return tokens;
}

static bool find(struct tokens *tokens, unsigned n, int64_t now_ms, struct token *ret_token)
{
    struct token token = make(n, 0);

    return tokens_find(tokens, token.hash, now_ms, ret_token);
}

static void test_found_by_the_whole_hash(void **state)
{
    struct tokens *tokens = set_of(20);
    struct token token;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        assert_true(find(tokens, i, 5, &token));
        assert_string_equal(token.name, make(i, 0).name);
    }
    assert_false(find(tokens, 20, 5, &token));
    for (unsigned byte = 0; byte < TOKEN_HASH_BYTES; byte++) {
        struct token near = make(3, 0);
        near.hash[byte] ^= 1;
        assert_false(tokens_find(tokens, near.hash, 5, &token));
    }
    tokens_free(tokens);
}

static void test_expired(void **state)
{
    struct tokens *tokens = set_of(0);
    struct token token = make(1, 1u << TOKEN_READ), found;

    (void)state;
    token.expires_ms = 2000;
    assert_true(err_is_ok(tokens_add(tokens, &token)));
    assert_true(find(tokens, 1, 1999, &found));
    assert_false(find(tokens, 1, 2000, &found));
    tokens_free(tokens);
}

static void test_use_is_noted_to_the_minute(void **state)
{
    struct tokens *tokens = set_of(2);
    struct token token;

    (void)state;
    assert_true(find(tokens, 1, 10 * MINUTE_MS + 59999, &token));
    assert_int_equal(token.used_ms, 10 * MINUTE_MS);
    assert_true(find(tokens, 1, 9 * MINUTE_MS, &token)); /* a clock that was set back */
    assert_int_equal(token.used_ms, 10 * MINUTE_MS);
    assert_true(tokens_next(tokens, SLICE(""), &token));
    assert_int_equal(token.used_ms, 0);
    tokens_free(tokens);
}

static void test_names_and_ids_are_unique(void **state)
{
    struct tokens *tokens = set_of(3);
    struct token token = make(1, 1);

    (void)state;
    assert_int_equal(tokens_add(tokens, &token).code, ERR_EXISTS);
    snprintf(token.name, sizeof(token.name), "another");
    assert_int_equal(tokens_add(tokens, &token).code, ERR_EXISTS);
    token = make(9, 1);
    snprintf(token.name, sizeof(token.name), "name-1");
    assert_int_equal(tokens_add(tokens, &token).code, ERR_EXISTS);
    tokens_free(tokens);
}

static void test_removed_by_id_or_name(void **state)
{
    struct tokens *tokens = set_of(10);
    struct token token;

    (void)state;
    assert_true(tokens_remove(tokens, SLICE("000000000004"), &token));
    assert_string_equal(token.name, "name-4");
    assert_true(tokens_remove(tokens, SLICE("name-7"), &token));
    assert_string_equal(token.id, "000000000007");
    assert_false(tokens_remove(tokens, SLICE("name-7"), &token));
    assert_false(tokens_remove(tokens, SLICE(""), &token));
    assert_false(find(tokens, 4, 5, &token) || find(tokens, 7, 5, &token));
    assert_true(find(tokens, 5, 5, &token));
    tokens_free(tokens);
}

/* Before a change is written down: what would come of it; nothing is changed. */
static void test_looked_at_without_a_change(void **state)
{
    struct tokens *tokens = set_of(3);
    struct token token = make(3, 1u << TOKEN_READ), found;

    (void)state;
    assert_int_equal(tokens_check(tokens, &token).code, ERR_NONE);
    assert_false(find(tokens, 3, 5, &found));
    token = make(2, 1u << TOKEN_READ);
    assert_int_equal(tokens_check(tokens, &token).code, ERR_EXISTS);
    token = make(2, 1u << TOKEN_READ);
    snprintf(token.id, sizeof(token.id), "%012x", 77);
    assert_int_equal(tokens_check(tokens, &token).code, ERR_EXISTS); /* the name */
    assert_true(find(tokens, 2, 5, &found));
    tokens_free(tokens);
}

static void test_listed_in_the_order_of_ids(void **state)
{
    struct tokens *tokens = set_of(50);
    struct token token = {0};
    unsigned count = 0;

    (void)state;
    while (tokens_next(tokens, slice_str(token.id), &token))
        assert_string_equal(token.id, make(count++, 0).id);
    assert_int_equal(count, 50);
    assert_true(tokens_next(tokens, SLICE("00000000001"), &token)); /* of one that is not there */
    assert_string_equal(token.id, "000000000010");
    tokens_free(tokens);
}

static void test_at_most_so_many(void **state)
{
    struct tokens *tokens = NULL;
    struct token token;

    (void)state;
    assert_true(err_is_ok(tokens_new(&tokens)));
    for (unsigned i = 0; i < TOKENS_MAX; i++) {
        token = make(i, 1);
        assert_true(err_is_ok(tokens_add(tokens, &token)));
    }
    token = make(TOKENS_MAX, 1);
    assert_int_equal(tokens_add(tokens, &token).code, ERR_LIMIT);
    tokens_free(tokens);
}

static void test_rights(void **state)
{
    struct token reader = make(1, 1u << TOKEN_READ), purger = make(2, 1u << TOKEN_PURGE), admin = make(3, 1u << TOKEN_ADMIN);

    (void)state;
    assert_true(token_allows(&reader, TOKEN_READ, SLICE("shop")) && token_allows(&reader, TOKEN_READ, SLICE("")));
    assert_false(token_allows(&reader, TOKEN_PURGE, SLICE("shop")) || token_allows(&reader, TOKEN_ADMIN, SLICE("shop")));
    assert_false(token_allows(&purger, TOKEN_READ, SLICE("shop")) || token_allows(&purger, TOKEN_CONFIGURE, SLICE("shop")));
    for (unsigned right = 0; right < TOKEN_RIGHT_COUNT; right++)
        assert_true(token_allows(&admin, (enum token_right)right, SLICE("")));
}

static void test_scope(void **state)
{
    struct token token = make(1, 1u << TOKEN_PURGE);

    (void)state;
    token.tenant_count = 2;
    strcpy(token.tenants[0], "shop");
    strcpy(token.tenants[1], "blog");
    assert_true(token_allows(&token, TOKEN_PURGE, SLICE("shop")) && token_allows(&token, TOKEN_PURGE, SLICE("blog")));
    assert_false(token_allows(&token, TOKEN_PURGE, SLICE("shop2")) || token_allows(&token, TOKEN_PURGE, SLICE("sho")));
    assert_false(token_allows(&token, TOKEN_PURGE, SLICE(""))); /* all of them, or nobody's */
    assert_false(token_allows(&token, TOKEN_READ, SLICE("shop")));
    token.rights = 1u << TOKEN_ADMIN;
    assert_false(token_allows(&token, TOKEN_READ, SLICE("")) || token_allows(&token, TOKEN_READ, SLICE("other")));
}

static void test_words(void **state)
{
    (void)state;
    for (unsigned right = 0; right < TOKEN_RIGHT_COUNT; right++)
        assert_int_equal(token_right_of(slice_str(token_right_word((enum token_right)right))), right);
    assert_int_equal(token_right_of(SLICE("rea")), TOKEN_RIGHT_COUNT);
    assert_int_equal(token_right_of(SLICE("")), TOKEN_RIGHT_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_by_the_whole_hash), cmocka_unit_test(test_expired),
        cmocka_unit_test(test_use_is_noted_to_the_minute), cmocka_unit_test(test_names_and_ids_are_unique),
        cmocka_unit_test(test_removed_by_id_or_name), cmocka_unit_test(test_listed_in_the_order_of_ids),
        cmocka_unit_test(test_at_most_so_many), cmocka_unit_test(test_rights), cmocka_unit_test(test_scope),
        cmocka_unit_test(test_words), cmocka_unit_test(test_looked_at_without_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
