/* Ids and generations: kept, never given to two, never one that was there before. */
#include "tenant/registry.h"
#include "tenant/tenant.h"

#include <stdio.h>
#include <stdlib.h>

static struct tenant_registry *registry_of(const char *text, unsigned bad)
{
    struct tenant_registry *registry = NULL;
    unsigned lines;

    assert_true(err_is_ok(tenant_registry_new(slice_str(text), &lines, &registry)));
    assert_int_equal(lines, bad);
    return registry;
}

static struct tenant_record taken(struct tenant_registry *registry, const char *name, uint64_t key_rules, int64_t wall_s)
{
    struct tenant_record record;
    assert_true(err_is_ok(tenant_registry_take(registry, slice_str(name), key_rules, wall_s, &record)));
    return record;
}

static void test_a_name_keeps_its_id(void **state)
{
    struct tenant_registry *registry = registry_of("", 0);
    struct tenant_record a = taken(registry, "a", 0, 1000), b = taken(registry, "b", 7, 1000);
    char *text;
    size_t len;
    (void)state;

    assert_int_not_equal(a.id, b.id);
    assert_true(a.id > TENANT_DEFAULT && b.id > TENANT_DEFAULT);
    assert_int_equal(a.generation, 1000);
    assert_int_equal(taken(registry, "a", 0, 2000).generation, 1000);
    assert_true(tenant_registry_is_changed(registry));
    assert_true(err_is_ok(tenant_registry_write(registry, &text, &len)));
    assert_false(tenant_registry_is_changed(registry));
    tenant_registry_free(registry);

    registry = registry_of(text, 0);
    assert_int_equal(taken(registry, "b", 7, 3000).id, b.id);
    assert_int_equal(taken(registry, "b", 7, 3000).generation, b.generation);
    assert_int_equal(taken(registry, "a", 0, 3000).id, a.id);
    assert_false(tenant_registry_is_changed(registry));
    tenant_registry_free(registry);
    free(text);
}

static void test_changed_key_rules_are_another_generation(void **state)
{
    struct tenant_registry *registry = registry_of("", 0);
    struct tenant_record first = taken(registry, "a", 1, 1000), second = taken(registry, "a", 2, 1000), back;
    (void)state;

    assert_int_equal(first.id, second.id);
    assert_true(second.generation > first.generation); /* within the same second too */
    back = taken(registry, "a", 1, 500);               /* rolled back, and the clock as well */
    assert_true(back.generation > second.generation);
    tenant_registry_free(registry);
}

static void test_the_default_tenant(void **state)
{
    struct tenant_registry *registry = registry_of("", 0);
    struct tenant_record record = taken(registry, "default", 0, 1000);
    (void)state;

    assert_int_equal(record.id, TENANT_DEFAULT);
    assert_int_equal(record.generation, 0);
    assert_false(tenant_registry_is_changed(registry));
    record = taken(registry, "default", 5, 1000);
    assert_int_equal(record.id, TENANT_DEFAULT);
    assert_true(record.generation >= 1000);
    assert_true(taken(registry, "default", 0, 1000).generation > record.generation);
    tenant_registry_free(registry);
}

static void test_a_forgotten_id_comes_with_another_generation(void **state)
{
    struct tenant_registry *registry = registry_of("", 0);
    uint16_t id = taken(registry, "gone", 0, 1000).id;
    (void)state;

    tenant_registry_forget(registry, SLICE("gone"));
    tenant_registry_forget(registry, SLICE("never"));
    tenant_registry_left(registry, id);
    for (unsigned i = 0; i < TENANT_IDS_MAX - 1; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%u", i);
        struct tenant_record record = taken(registry, name, 0, 900);
        if (record.id == id)
            assert_true(record.generation > 1000);
    }
    struct tenant_record record;
    assert_int_equal(tenant_registry_take(registry, SLICE("more"), 0, 1, &record).code, ERR_LIMIT);
    tenant_registry_free(registry);
}

static struct tenant_registry *read_again(struct tenant_registry *registry)
{
    char *text;
    size_t len;

    assert_true(err_is_ok(tenant_registry_write(registry, &text, &len)));
    tenant_registry_free(registry);
    registry = registry_of(text, 0);
    free(text);
    return registry;
}

/* Whatever ends meanwhile: who comes next has another id, until nothing is stored for the old one. */
static void test_an_id_that_is_leaving_comes_to_nobody(void **state)
{
    struct tenant_registry *registry = registry_of("", 0);
    uint16_t kept = taken(registry, "kept", 0, 1000).id, id = taken(registry, "gone", 0, 1000).id;
    struct tenant_record record;
    (void)state;

    assert_int_equal(tenant_registry_leaving(registry, 0), 0);
    tenant_registry_forget(registry, SLICE("gone"));
    registry = read_again(registry);
    assert_int_equal(tenant_registry_leaving(registry, 0), id);
    assert_int_equal(tenant_registry_leaving(registry, id), 0);
    for (unsigned i = 0; i < TENANT_IDS_MAX - 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%u", i);
        record = taken(registry, name, 0, 900);
        assert_true(record.id != id && record.id != kept);
    }
    assert_int_equal(tenant_registry_take(registry, SLICE("more"), 0, 1, &record).code, ERR_LIMIT);
    tenant_registry_left(registry, id);
    assert_true(tenant_registry_is_changed(registry));
    registry = read_again(registry);
    assert_int_equal(tenant_registry_leaving(registry, 0), 0);
    record = taken(registry, "more", 0, 1); /* also when the clock has gone back */
    assert_int_equal(record.id, id);
    assert_true(record.generation > 1000);
    tenant_registry_free(registry);
}

/* Over a restart as well. */
static void test_an_id_rests_while_there_are_others(void **state)
{
    struct tenant_registry *registry = registry_of("", 0);
    uint16_t first = taken(registry, "a", 0, 1000).id, second = taken(registry, "b", 0, 1000).id;
    (void)state;

    tenant_registry_forget(registry, SLICE("b"));
    tenant_registry_left(registry, second);
    registry = read_again(registry);
    assert_true(taken(registry, "c", 0, 1000).id > second && second > first);
    tenant_registry_free(registry);
}

static void test_bad_lines_are_left_out(void **state)
{
    struct tenant_registry *registry = registry_of("warp tenants 1\n"
                                                   "2 100 0 good\n"
                                                   "0 100 0 zero\n"
                                                   "70000 100 0 large\n"
                                                   "2 100 0 again\n"
                                                   "3 100 0 good\n"
                                                   "4 100\n"
                                                   "five\n"
                                                   "6 100 ff six more\n"
                                                   "7 7 ff seven\n",
                                                   7);
    (void)state;

    assert_int_equal(taken(registry, "good", 0, 1).id, 2);
    assert_int_equal(taken(registry, "seven", 0xff, 1).generation, 7);
    tenant_registry_free(registry);
    tenant_registry_free(registry_of("another file\n2 100 0 good\n", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_keeps_its_id),
        cmocka_unit_test(test_changed_key_rules_are_another_generation),
        cmocka_unit_test(test_the_default_tenant),
        cmocka_unit_test(test_a_forgotten_id_comes_with_another_generation),
        cmocka_unit_test(test_an_id_that_is_leaving_comes_to_nobody),
        cmocka_unit_test(test_an_id_rests_while_there_are_others),
        cmocka_unit_test(test_bad_lines_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
