/* Asks of the supervisor and their answers: in time, too late, in parts. The test is the supervisor. */
#include "main/supervisor_door.h"
#include "os/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct sides {
    struct supervisor_door door;
    int supervisor;
};

static void sides_open(struct sides *sides)
{
    int ends[2];

    assert_true(err_is_ok(os_channel_pair(ends)));
    sides->supervisor = ends[0];
    supervisor_door_init(&sides->door, ends[1], 0); /* what is there already is in time */
}

static void sides_close(struct sides *sides)
{
    os_channel_close(sides->supervisor);
    os_channel_close(sides->door.channel);
}

/* A descriptor that is gone when all that were made of it are closed: the other end of a pipe says so. */
struct thing {
    int here, there;
};

static struct thing thing_new(void)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    return (struct thing){.here = ends[0], .there = ends[1]};
}

static bool thing_is_gone(const struct thing *thing)
{
    char byte;
    return read(thing->here, &byte, 1) == 0;
}

/* Sends one message with descriptors, and lets go of them as the supervisor's own would. */
static void answer(struct sides *sides, uint64_t number, struct thing *things, unsigned count, unsigned left)
{
    struct supervisor_answer message = {.number = number, .left = left};
    int fds[OS_CHANNEL_FDS_MAX] = {0};

    for (unsigned i = 0; i < count; i++)
        fds[i] = things[i].there;
    assert_true(err_is_ok(os_channel_send(sides->supervisor, slice_of(&message, sizeof(message)), fds, count)));
    for (unsigned i = 0; i < count; i++)
        close(things[i].there);
}

static struct supervisor_ask asked(struct sides *sides)
{
    struct supervisor_ask ask;
    int fds[OS_CHANNEL_FDS_MAX];
    unsigned count;
    size_t len;

    assert_true(err_is_ok(os_channel_receive(sides->supervisor, &ask, sizeof(ask), &len, fds, &count, 0)));
    assert_int_equal(len, sizeof(ask));
    return ask;
}

static void test_in_time(void **state)
{
    struct sides sides;
    struct thing things[3] = {thing_new(), thing_new(), thing_new()};
    struct os_listener shards[3];
    (void)state;

    sides_open(&sides);
    answer(&sides, 1, things, 2, 1); /* in two parts */
    answer(&sides, 1, things + 2, 1, 0);
    assert_true(err_is_ok(supervisor_open(&sides.door, "127.0.0.1:1", true, shards, 3)));
    struct supervisor_ask ask = asked(&sides);
    assert_int_equal(ask.kind, ASK_OPEN);
    assert_int_equal(ask.number, 1);
    assert_true(ask.is_tls);
    assert_string_equal(ask.text, "127.0.0.1:1");
    for (unsigned i = 0; i < 3; i++) {
        assert_false(thing_is_gone(&things[i]));
        os_listener_close(&shards[i]);
        assert_true(thing_is_gone(&things[i]));
        close(things[i].here);
    }
    sides_close(&sides);
}

static void test_a_late_one_is_not_the_next_one_s(void **state)
{
    struct sides sides;
    struct thing late[2] = {thing_new(), thing_new()}, mine[2] = {thing_new(), thing_new()};
    struct os_listener shards[2];
    (void)state;

    sides_open(&sides);
    assert_int_equal(supervisor_open(&sides.door, "127.0.0.1:1", false, shards, 2).code, ERR_TIMEOUT);
    assert_int_equal(shards[0].fd, -1);
    assert_int_equal(asked(&sides).kind, ASK_OPEN);
    struct supervisor_ask ask = asked(&sides); /* whatever is opened yet, nobody wants it */
    assert_int_equal(ask.kind, ASK_CLOSE);
    assert_string_equal(ask.text, "127.0.0.1:1");
    answer(&sides, 1, late, 1, 1);
    answer(&sides, 1, late + 1, 1, 0);
    answer(&sides, 2, mine, 2, 0);
    assert_true(err_is_ok(supervisor_open(&sides.door, "127.0.0.1:2", false, shards, 2)));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(thing_is_gone(&late[i]));
        assert_false(thing_is_gone(&mine[i]));
        os_listener_close(&shards[i]);
        assert_true(thing_is_gone(&mine[i]));
        close(late[i].here);
        close(mine[i].here);
    }
    assert_int_equal(sides.door.late, 0);
    sides_close(&sides);
}

static void test_half_of_one_is_let_go(void **state)
{
    struct sides sides;
    struct thing things[2] = {thing_new(), thing_new()};
    struct os_listener shards[2];
    (void)state;

    sides_open(&sides);
    answer(&sides, 1, things, 1, 1);
    assert_int_equal(supervisor_open(&sides.door, "127.0.0.1:1", false, shards, 2).code, ERR_TIMEOUT);
    assert_true(thing_is_gone(&things[0]));
    answer(&sides, 1, things + 1, 1, 0); /* the rest comes when nobody waits */
    assert_int_equal(sides.door.late, 1);
    supervisor_door_turn(&sides.door);
    assert_int_equal(sides.door.late, 0);
    assert_true(thing_is_gone(&things[1]));
    close(things[0].here);
    close(things[1].here);
    sides_close(&sides);
}

static void test_more_and_fewer_than_were_asked_for(void **state)
{
    struct sides sides;
    struct thing things[3] = {thing_new(), thing_new(), thing_new()};
    struct os_listener shards[1];
    (void)state;

    sides_open(&sides);
    answer(&sides, 1, things, 2, 0);
    assert_int_equal(supervisor_open(&sides.door, "127.0.0.1:1", false, shards, 1).code, ERR_PROTOCOL);
    assert_true(thing_is_gone(&things[0]) && thing_is_gone(&things[1]));
    assert_int_equal(asked(&sides).kind, ASK_OPEN);
    assert_int_equal(asked(&sides).kind, ASK_CLOSE); /* the supervisor has it open */
    answer(&sides, 2, things + 2, 0, 0);
    close(things[2].there);
    assert_int_equal(supervisor_open(&sides.door, "127.0.0.1:1", false, shards, 1).code, ERR_LIMIT);
    assert_int_equal(asked(&sides).kind, ASK_OPEN);
    assert_int_equal(asked(&sides).kind, ASK_CLOSE);
    for (unsigned i = 0; i < 3; i++)
        close(things[i].here);
    sides_close(&sides);
}

static void test_refused_and_gone(void **state)
{
    const struct supervisor_answer refusal = {.number = 1, .result = ERR(REFUSED)};
    struct sides sides;
    struct os_listener shards[1];
    char text[LISTENER_TEXT_BYTES + 1];
    (void)state;

    sides_open(&sides);
    assert_true(err_is_ok(os_channel_send(sides.supervisor, slice_of(&refusal, sizeof(refusal)), NULL, 0)));
    assert_int_equal(supervisor_open(&sides.door, "127.0.0.1:1", false, shards, 1).code, ERR_REFUSED);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(supervisor_open(&sides.door, text, false, shards, 1).code, ERR_INVALID);
    assert_true(err_is_ok(supervisor_tell_version(&sides.door, 7)));
    assert_int_equal(asked(&sides).kind, ASK_OPEN);
    struct supervisor_ask ask = asked(&sides);
    assert_int_equal(ask.kind, ASK_VERSION);
    assert_int_equal(ask.version, 7);
    os_channel_close(sides.supervisor);
    assert_int_equal(supervisor_open(&sides.door, "127.0.0.1:1", false, shards, 1).code, ERR_CLOSED);
    os_channel_close(sides.door.channel);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_time),
        cmocka_unit_test(test_a_late_one_is_not_the_next_one_s),
        cmocka_unit_test(test_half_of_one_is_let_go),
        cmocka_unit_test(test_more_and_fewer_than_were_asked_for),
        cmocka_unit_test(test_refused_and_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
