#include "help.h"

static void every_name_is_found(void **state)
{
    (void)state;
    for (unsigned id = 1; id < F_COUNT; id++) {
        char upper[64];
        slice name = field_name_of(id);
        for (size_t i = 0; i < name.len; i++)
            upper[i] = name.data[i] >= 'a' && name.data[i] <= 'z' ? (char)(name.data[i] - 32) : name.data[i];
        assert_int_equal(field_id_of(name), id);
        assert_int_equal(field_id_of(slice_of(upper, name.len)), id);
        assert_int_equal(field_id_of(slice_of(name.data, name.len - 1)) == id, 0);
    }
    assert_int_equal(field_id_of(SLICE("")), F_OTHER);
    assert_int_equal(field_id_of(SLICE("X-Nobody")), F_OTHER);
    assert_int_equal(field_id_of(SLICE("Content\rLength")), F_OTHER);
    assert_int_equal(field_id_of(SLICE("Content_Length")), F_OTHER);
}

static void sets_grow_and_copy(void **state)
{
    struct fields fields, copy;

    (void)state;
    fields_init(&fields, &test_arena);
    fields_init(&copy, &test_arena);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(err_is_ok(fields_addf(&fields, F_AGE, "%u", i)));
    assert_true(err_is_ok(fields_add_named(&fields, SLICE("x-a"), F_OTHER, SLICE(""))));
    for (unsigned i = 0; i < fields.count; i++)
        assert_true(err_is_ok(fields_copy(&copy, &fields, i)));
    assert_true(slice_eq(slice_of(copy.text, copy.text_len), slice_of(fields.text, fields.text_len)));
    assert_int_equal(fields_count_of(&copy, F_AGE), 1000);
    assert_slice(field_value(&copy, 999), "999");
    assert_slice(field_name(&copy, 1000), "x-a");
    assert_slice(field_value(&copy, 1000), "");
    assert_int_equal(fields_find_named(&copy, SLICE("X-A")), 1000);
    assert_int_equal(fields_find_named(&copy, SLICE("X-B")), -1);
}

static void lookups(void **state)
{
    struct fields fields;

    (void)state;
    fields = fields_from("A: 1\r\nAge: 2\r\nAGE: 3\r\n");
    assert_slice(fields_get(&fields, F_AGE), "2");
    assert_int_equal(fields_next(&fields, F_AGE, 2), 2);
    assert_int_equal(fields_next(&fields, F_AGE, 3), -1);
    assert_true(fields_has(&fields, F_AGE));
    assert_false(fields_has(&fields, F_DATE));
    assert_null(fields_get(&fields, F_DATE).data);
}

static void a_full_arena_is_an_error(void **state)
{
    struct arena arena;
    struct fields fields;
    unsigned i = 0;

    (void)state;
    arena_init(&arena, NULL, 0, 8192);
    fields_init(&fields, &arena);
    while (i < 10000 && err_is_ok(fields_add(&fields, F_VIA, SLICE("1.1 somebody"))))
        i++;
    assert_true(i > 10 && i < 1000);
    assert_int_equal(fields.count, i);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(every_name_is_found), TEST(sets_grow_and_copy), TEST(lookups),
                                       TEST(a_full_arena_is_an_error)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
