#include "unit_io.h"

#include "loop/loop.h"

#include <stdlib.h>

#define SENDERS 4u
#define MAILS   20000u

static struct loop *loop;

static int setup(void **state)
{
    struct loop_config config = {.index = 3, .os.io = TEST_IO};
    (void)state;
    assert_true(err_is_ok(loop_new(&config, &loop)));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop = loop_free(loop);
    return 0;
}

struct letter {
    struct mail mail;
    unsigned sender, number;
};

struct sender {
    struct letter *letters;
    unsigned index;
};

static unsigned arrived[SENDERS], arrived_all;

static void letter_run(struct mail *mail)
{
    struct letter *letter = container_of(mail, struct letter, mail);

    assert_int_equal(letter->number, arrived[letter->sender]); /* in order */
    arrived[letter->sender]++;
    if (++arrived_all == SENDERS * MAILS)
        loop_stop(loop);
}

static void sender_run(void *arg)
{
    struct sender *sender = arg;

    for (unsigned i = 0; i < MAILS; i++) {
        sender->letters[i] = (struct letter){{.run = letter_run}, sender->index, i};
        loop_post(loop, &sender->letters[i].mail);
    }
}

static void mail_from_four_threads(void **state)
{
    struct sender senders[SENDERS];
    struct os_thread *threads[SENDERS];

    (void)state;
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){calloc(MAILS, sizeof(struct letter)), i};
        assert_true(err_is_ok(os_thread_start("sender", sender_run, &senders[i], &threads[i])));
    }
    loop_run(loop);
    for (unsigned i = 0; i < SENDERS; i++) {
        assert_int_equal(arrived[i], MAILS);
        os_thread_join(threads[i]);
        free(senders[i].letters);
    }
}

static unsigned runs;

static void again_run(struct mail *mail)
{
    if (++runs < 3)
        loop_post(loop, mail);
}

static void mail_posted_again_from_its_run(void **state)
{
    struct mail mail = {.run = again_run};

    (void)state;
    loop_post(loop, &mail);
    while (runs < 3)
        loop_turn(loop, UINT64_MAX);
    assert_false(loop_turn(loop, 0));
}

static struct task first, second;
static char order[8];

static void first_run(struct task *task)
{
    strcat(order, "1");
    loop_defer(loop, task);
    loop_defer(loop, task);
    task_cancel(&second);
}

static void second_run(struct task *task)
{
    (void)task;
    strcat(order, "2");
}

static void tasks_run_after_and_once_a_turn(void **state)
{
    (void)state;
    task_init(&first, first_run);
    task_init(&second, second_run);
    loop_defer(loop, &second);
    loop_defer(loop, &first);
    assert_true(loop_turn(loop, UINT64_MAX));
    assert_string_equal(order, "21");
    loop_defer(loop, &second);
    assert_true(loop_turn(loop, UINT64_MAX)); /* first runs, and cancels second */
    assert_string_equal(order, "211");
    task_cancel(&first);
    assert_false(loop_turn(loop, 0));
}

static uint64_t fired_ns;

static void timer_fired(struct timer *timer)
{
    (void)timer;
    fired_ns = loop_now_ns(loop);
}

static void turn_ends_with_the_timer(void **state)
{
    struct timer timer;
    uint64_t deadline_ns = os_clock_ns() + 20000000;

    (void)state;
    timer_init(&timer, timer_fired);
    loop_timer_set(loop, &timer, deadline_ns);
    assert_true(loop_next_timer_ns(loop) >= deadline_ns);
    while (fired_ns == 0)
        loop_turn(loop, UINT64_MAX);
    assert_true(fired_ns >= deadline_ns);
    assert_true(loop_next_timer_ns(loop) == UINT64_MAX);
    assert_int_equal(loop_index(loop), 3);
    assert_true(llabs(loop_wall_ms(loop) - os_wall_ms()) < 10000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mail_from_four_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(mail_posted_again_from_its_run, setup, teardown),
        cmocka_unit_test_setup_teardown(tasks_run_after_and_once_a_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(turn_ends_with_the_timer, setup, teardown),
    };
    TEST_IO_NEEDED();
    return cmocka_run_group_tests_name("loop/loop", tests, NULL, NULL);
}
