#include "base/list.h"

struct item {
    struct list link;
    int number;
};

static struct item items[6];

static void items_init(void)
{
    for (int i = 0; i < 6; i++) {
        list_init(&items[i].link);
        items[i].number = i;
    }
}

/* The numbers of a list, forwards, checked backwards too. */
static void expect(struct list *head, const char *numbers)
{
    const char *at = numbers;
    struct list *back;

    LIST_FOREACH (head, it) {
        assert_true(*at != '\0');
        assert_int_equal(container_of(it, struct item, link)->number, *at++ - '0');
    }
    assert_int_equal(*at, '\0');
    for (back = head->prev; back != head; back = back->prev)
        assert_int_equal(container_of(back, struct item, link)->number, *--at - '0');
    assert_ptr_equal(at, numbers);
}

static void test_push_and_pop(void **state)
{
    struct list head = LIST_INIT(head);

    (void)state;
    items_init();
    assert_true(list_is_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_pop_front(&head));
    list_push_back(&head, &items[1].link);
    list_push_back(&head, &items[2].link);
    list_push_front(&head, &items[0].link);
    expect(&head, "012");
    assert_true(list_is_linked(&items[1].link));
    assert_ptr_equal(list_first(&head), &items[0].link);
    assert_ptr_equal(list_pop_front(&head), &items[0].link);
    assert_false(list_is_linked(&items[0].link));
    expect(&head, "12");
}

static void test_remove(void **state)
{
    struct list head = LIST_INIT(head);

    (void)state;
    items_init();
    for (int i = 0; i < 4; i++)
        list_push_back(&head, &items[i].link);
    list_remove(&items[2].link);
    expect(&head, "013");
    list_remove(&items[2].link); /* in no list: safe */
    expect(&head, "013");
    list_remove(&items[3].link);
    list_remove(&items[0].link);
    list_remove(&items[1].link);
    assert_true(list_is_empty(&head));
    expect(&head, "");
}

static void test_splice(void **state)
{
    struct list to = LIST_INIT(to), from = LIST_INIT(from);

    (void)state;
    items_init();
    list_splice_back(&to, &from);
    expect(&to, "");
    list_push_back(&from, &items[2].link);
    list_push_back(&from, &items[3].link);
    list_splice_back(&to, &from); /* into an empty one */
    expect(&to, "23");
    expect(&from, "");
    list_push_back(&from, &items[4].link);
    list_push_back(&from, &items[5].link);
    list_splice_back(&to, &from);
    expect(&to, "2345");
    list_splice_back(&to, &from); /* nothing */
    expect(&to, "2345");
    list_push_back(&from, &items[0].link); /* from is usable again */
    expect(&from, "0");
}

static void test_walk_while_removing(void **state)
{
    struct list head = LIST_INIT(head);

    (void)state;
    items_init();
    for (int i = 0; i < 6; i++)
        list_push_back(&head, &items[i].link);
    LIST_FOREACH_SAFE (&head, it) {
        if (container_of(it, struct item, link)->number % 2 == 0)
            list_remove(it);
    }
    expect(&head, "135");
    LIST_FOREACH_SAFE (&head, it)
        list_remove(it);
    expect(&head, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_push_and_pop),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_splice),
        cmocka_unit_test(test_walk_while_removing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
