/* Diffs: the shortest, readable by patch(1), bounded. */
#include "admin/diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *diff(const char *from, const char *to, size_t max, bool *ret_is_cut)
{
    char *text = NULL;
    size_t len = 0;

    assert_true(err_is_ok(diff_unified(slice_str(from), slice_str(to), "old", "new", max, &text, &len, ret_is_cut)));
    assert_int_equal(strlen(text), len);
    return text;
}

static void expect(const char *from, const char *to, const char *expected)
{
    bool is_cut;
    char *text = diff(from, to, 1 << 20, &is_cut);

    assert_string_equal(text, expected);
    assert_false(is_cut);
    free(text);
}

static void test_small_ones(void **state)
{
    (void)state;
    expect("", "", "");
    expect("a\nb\n", "a\nb\n", "");
    expect("", "a\n", "--- old\n+++ new\n@@ -0,0 +1,1 @@\n+a\n");
    expect("a\n", "", "--- old\n+++ new\n@@ -1,1 +0,0 @@\n-a\n");
    expect("a\nb\nc\n", "a\nx\nc\n", "--- old\n+++ new\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
    expect("1\n2\n3\n4\n5\n6\n", "1\n2\n3\n4\n5\n", "--- old\n+++ new\n@@ -3,4 +3,3 @@\n 3\n 4\n 5\n-6\n");
    expect("a", "a\n", ""); /* the end of the last line is no line */
}

static void test_far_changes_are_apart(void **state)
{
    (void)state;
    expect("a\n1\n2\n3\n4\n5\n6\n7\nb\n", "A\n1\n2\n3\n4\n5\n6\n7\nB\n",
           "--- old\n+++ new\n@@ -1,4 +1,4 @@\n-a\n+A\n 1\n 2\n 3\n@@ -6,4 +6,4 @@\n 5\n 6\n 7\n-b\n+B\n");
    expect("a\n1\n2\n3\n4\n5\n6\nb\n", "A\n1\n2\n3\n4\n5\n6\nB\n",
           "--- old\n+++ new\n@@ -1,8 +1,8 @@\n-a\n+A\n 1\n 2\n 3\n 4\n 5\n 6\n-b\n+B\n");
}

/* What it says, done to the one, makes the other: patch(1)'s work, over random texts. */
static char *apply(const char *from, const char *patch)
{
    size_t room = strlen(from) + strlen(patch) + 2;
    char *made = calloc(1, room), *out = made;
    unsigned line = 1;

    for (const char *at = patch; *at != '\0'; at = strchr(at, '\n') + 1) {
        unsigned start, count;
        if (strncmp(at, "---", 3) == 0 || strncmp(at, "+++", 3) == 0)
            continue;
        if (sscanf(at, "@@ -%u,%u", &start, &count) == 2) {
            for (start += count == 0; line < start; line++) {
                size_t len = (size_t)(strchr(from, '\n') + 1 - from);
                memcpy(out, from, len);
                out += len;
                from += len;
            }
            continue;
        }
        size_t len = (size_t)(strchr(at, '\n') - at);
        if (at[0] != '+') {
            assert_memory_equal(from, at + 1, len);
            from += len;
            line++;
        }
        if (at[0] != '-') {
            memcpy(out, at + 1, len);
            out += len;
        }
    }
    strcpy(out, from);
    return made;
}

static unsigned number(uint64_t *seed, unsigned below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (unsigned)(*seed >> 33) % below;
}

static void test_random_texts(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 3000; round++) {
        uint64_t seed = round;
        char from[512] = "", to[512] = "";
        bool is_cut;
        for (unsigned i = number(&seed, 40); i > 0; i--)
            sprintf(from + strlen(from), "%u\n", number(&seed, 6));
        for (unsigned i = number(&seed, 40); i > 0; i--)
            sprintf(to + strlen(to), "%u\n", number(&seed, 6));
        char *patch = diff(from, to, 1 << 20, &is_cut), *made = apply(from, patch);
        if (strcmp(made, to) != 0)
            fail_msg("seed %u", (unsigned)round);
        free(patch);
        free(made);
    }
}

static void test_the_shortest(void **state)
{
    bool is_cut;
    char *text = diff("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", 1 << 20, &is_cut); /* Myers' own example: five edits */
    unsigned edits = 0;

    (void)state;
    for (const char *at = strstr(text, "@@ -"); at != NULL && *at != '\0'; at = strchr(at, '\n') + 1)
        edits += *at == '-' || *at == '+';
    assert_int_equal(edits, 5);
    free(text);
}

/* Two texts with nothing in common, longer than the shortest way is looked for. */
static void test_beyond_the_limit(void **state)
{
    size_t room = 40000;
    char *from = calloc(1, room), *to = calloc(1, room), *patch, *made;
    bool is_cut;

    (void)state;
    for (unsigned i = 0; i < 2000; i++) {
        sprintf(from + strlen(from), "a%u\n", i);
        sprintf(to + strlen(to), "b%u\n", i);
    }
    patch = diff(from, to, 1 << 20, &is_cut);
    made = apply(from, patch);
    assert_string_equal(made, to);
    free(made);
    free(patch);
    patch = diff(from, to, 1000, &is_cut);
    assert_true(is_cut && strlen(patch) <= 1000 && patch[strlen(patch) - 1] == '\n');
    free(patch);
    free(from);
    free(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_ones),   cmocka_unit_test(test_far_changes_are_apart), cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_the_shortest), cmocka_unit_test(test_beyond_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
