/* Whose a host is. */
#include "tenant/tenant_own.h"

#include <stdio.h>

static uint32_t found(const struct hosts *hosts, const char *name)
{
    uint32_t value = 0;
    return hosts_find(hosts, slice_str(name), &value) ? value : 0;
}

static void test_exact_before_wildcard(void **state)
{
    struct hosts *hosts = NULL;
    (void)state;

    assert_true(err_is_ok(hosts_new(8, &hosts)));
    hosts_add(hosts, SLICE("a.example"), 1);
    hosts_add(hosts, SLICE("*.example"), 2);
    hosts_add(hosts, SLICE("*.deep.example"), 3);
    hosts_add(hosts, SLICE("[::1]"), 4);
    hosts_add(hosts, SLICE("a.example"), 9); /* the first one counts */
    assert_int_equal(found(hosts, "a.example"), 1);
    assert_int_equal(found(hosts, "b.example"), 2);
    assert_int_equal(found(hosts, "x.a.example"), 2); /* any depth */
    assert_int_equal(found(hosts, "x.deep.example"), 3); /* the longest */
    assert_int_equal(found(hosts, "deep.example"), 2);
    assert_int_equal(found(hosts, "[::1]"), 4);
    assert_int_equal(found(hosts, "example"), 0); /* a wildcard is not what it is below */
    assert_int_equal(found(hosts, ".example"), 0);
    assert_int_equal(found(hosts, "exampleb.example2"), 0);
    assert_int_equal(found(hosts, "*.example"), 2); /* nothing special as a name: below .example */
    assert_int_equal(found(hosts, ""), 0);
    hosts_free(hosts);
}

static void test_many(void **state)
{
    enum { MANY = 20000 };
    static char names[MANY][24];
    struct hosts *hosts = NULL;
    (void)state;

    assert_true(err_is_ok(hosts_new(MANY, &hosts)));
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "%ssite%u.example", i % 2 ? "*." : "", i);
        hosts_add(hosts, slice_str(names[i]), i + 1);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        char name[32];
        snprintf(name, sizeof(name), "%ssite%u.example", i % 2 ? "www." : "", i);
        assert_int_equal(found(hosts, name), i + 1);
    }
    assert_int_equal(found(hosts, "site1.example"), 0);
    hosts_free(hosts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exact_before_wildcard), cmocka_unit_test(test_many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
