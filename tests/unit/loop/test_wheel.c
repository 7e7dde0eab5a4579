/* The wheel alone, with a clock of the test's own. */
#include "loop/wheel.h"

#include <stdlib.h>

#define MS UINT64_C(1000000)

struct alarm {
    struct timer timer;
    uint64_t wanted_ns;
    unsigned fired;
    struct alarm *stops; /* when it fires */
};

static struct wheel wheel;
static uint64_t now_ns;

static void alarm_fire(struct timer *timer)
{
    struct alarm *alarm = container_of(timer, struct alarm, timer);

    assert_true(now_ns >= alarm->wanted_ns);
    assert_false(timer_is_set(timer));
    alarm->fired++;
    if (alarm->stops != NULL)
        wheel_stop(&wheel, &alarm->stops->timer);
}

static void alarm_set(struct alarm *alarm, uint64_t at_ns)
{
    if (alarm->timer.fire == NULL)
        timer_init(&alarm->timer, alarm_fire);
    alarm->wanted_ns = at_ns;
    wheel_set(&wheel, &alarm->timer, at_ns);
}

static int setup(void **state)
{
    (void)state;
    now_ns = 12345678901;
    wheel_init(&wheel, now_ns);
    return 0;
}

/* Sleeps as a loop would: to the wheel's own next look. Fails when a timer is more than 2 ms late. */
static void sleep_until_fired(struct alarm *alarm)
{
    unsigned looks = 0, before = alarm->fired;

    while (alarm->fired == before) {
        uint64_t next = wheel_next_ns(&wheel);
        assert_true(next != UINT64_MAX);
        assert_true(next > now_ns);
        now_ns = next;
        wheel_advance(&wheel, now_ns);
        assert_true(++looks < 20);
    }
    assert_true(now_ns <= alarm->wanted_ns + 2 * MS);
}

static void never_early_and_hardly_late(void **state)
{
    static const uint64_t distances[] = {1,
                                         MS - 1,
                                         MS,
                                         255 * MS,
                                         256 * MS,
                                         257 * MS,
                                         65535 * MS,
                                         65536 * MS,
                                         65537 * MS,
                                         3600000 * MS,
                                         16777215 * MS,
                                         16777216 * MS,
                                         16777217 * MS,
                                         4294967295 * MS,
                                         4294967296 * MS,
                                         9000000000 * MS};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(distances); i++) {
        struct alarm alarm = {.fired = 0};
        alarm_set(&alarm, now_ns + distances[i]);
        sleep_until_fired(&alarm);
        assert_int_equal(alarm.fired, 1);
    }
}

static void random_timers_all_fire(void **state)
{
    struct alarm *alarms = calloc(2000, sizeof(*alarms));
    unsigned fired = 0;

    (void)state;
    srand(7);
    for (unsigned i = 0; i < 2000; i++)
        alarm_set(&alarms[i], now_ns + (uint64_t)rand() % (1u << (rand() % 30)) * 1000);
    while (fired < 2000) {
        uint64_t next = wheel_next_ns(&wheel);
        assert_true(next != UINT64_MAX);
        now_ns = next + (uint64_t)rand() % (20 * MS);
        fired += wheel_advance(&wheel, now_ns);
        for (unsigned i = 0; i < 2000; i++)
            assert_true(alarms[i].fired == 1 || alarms[i].wanted_ns + 2 * MS > now_ns);
    }
    assert_true(wheel_next_ns(&wheel) == UINT64_MAX);
    free(alarms);
}

static void moved_later_is_not_linked_again(void **state)
{
    struct alarm alarm = {.fired = 0};
    uint64_t slot_ns;

    (void)state;
    alarm_set(&alarm, now_ns + 100 * MS);
    slot_ns = alarm.timer.slot_ns;
    for (unsigned i = 0; i < 50; i++)
        alarm_set(&alarm, now_ns + (100 + i) * MS);
    assert_true(alarm.timer.slot_ns == slot_ns);
    now_ns += 110 * MS;
    wheel_advance(&wheel, now_ns);
    assert_int_equal(alarm.fired, 0);
    sleep_until_fired(&alarm);
}

static void moved_earlier_fires_earlier(void **state)
{
    struct alarm alarm = {.fired = 0};

    (void)state;
    alarm_set(&alarm, now_ns + 100000 * MS);
    alarm_set(&alarm, now_ns + 3 * MS);
    sleep_until_fired(&alarm);
    now_ns += 200000 * MS;
    wheel_advance(&wheel, now_ns);
    assert_int_equal(alarm.fired, 1);
}

static void stopped_inside_fire(void **state)
{
    struct alarm a = {.fired = 0}, b = {.fired = 0};

    (void)state;
    a.stops = &b;
    b.stops = &a;
    alarm_set(&a, now_ns + 5 * MS);
    alarm_set(&b, now_ns + 5 * MS);
    now_ns += 50 * MS;
    wheel_advance(&wheel, now_ns);
    assert_int_equal(a.fired + b.fired, 1);
    assert_false(timer_is_set(&a.timer));
    assert_false(timer_is_set(&b.timer));
}

static void again_fire(struct timer *timer)
{
    struct alarm *alarm = container_of(timer, struct alarm, timer);
    alarm->fired++;
    wheel_set(&wheel, timer, 1); /* long past: in the next turn, not in this one for ever */
}

static void set_to_the_past_inside_fire(void **state)
{
    struct alarm alarm = {.fired = 0};

    (void)state;
    timer_init(&alarm.timer, again_fire);
    wheel_set(&wheel, &alarm.timer, now_ns);
    now_ns += 1000 * MS;
    assert_int_equal(wheel_advance(&wheel, now_ns), 1);
    assert_int_equal(wheel_advance(&wheel, now_ns), 0);
    now_ns += MS;
    assert_int_equal(wheel_advance(&wheel, now_ns), 1);
    wheel_stop(&wheel, &alarm.timer);
    wheel_stop(&wheel, &alarm.timer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(never_early_and_hardly_late, setup),
        cmocka_unit_test_setup(random_timers_all_fire, setup),
        cmocka_unit_test_setup(moved_later_is_not_linked_again, setup),
        cmocka_unit_test_setup(moved_earlier_fires_earlier, setup),
        cmocka_unit_test_setup(stopped_inside_fire, setup),
        cmocka_unit_test_setup(set_to_the_past_inside_fire, setup),
    };
    return cmocka_run_group_tests_name("loop/wheel", tests, NULL, NULL);
}
