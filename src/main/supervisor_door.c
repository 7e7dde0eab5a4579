#include "main/supervisor_door.h"

#include "base/log.h"
#include "os/process.h"

#include <stdio.h>

#define NS_PER_MS UINT64_C(1000000)

void supervisor_door_init(struct supervisor_door *door, int channel, int answer_ms)
{
    *door = (struct supervisor_door){.channel = channel, .answer_ms = answer_ms};
}

MUST_USE static err ask_send(struct supervisor_door *door, struct supervisor_ask *ask, const char *text)
{
    ENSURE((size_t)snprintf(ask->text, sizeof(ask->text), "%s", text) < sizeof(ask->text), INVALID);
    return os_channel_send(door->channel, slice_of(ask, sizeof(*ask)), NULL, 0);
}

/* ---- answers -------------------------------------------------------------------------------------------------------- */

struct received {
    struct supervisor_answer answer;
    int fds[OS_CHANNEL_FDS_MAX];
    unsigned fd_count;
};

MUST_USE static err message_receive(struct supervisor_door *door, int timeout_ms, struct received *ret_received)
{
    size_t len;

    TRY(os_channel_receive(door->channel, &ret_received->answer, sizeof(ret_received->answer), &len, ret_received->fds,
                           &ret_received->fd_count, timeout_ms));
    if (len == sizeof(ret_received->answer))
        return ERR_OK;
    for (unsigned i = 0; i < ret_received->fd_count; i++)
        os_listener_close(&(struct os_listener){.fd = ret_received->fds[i]});
    return ERR(PROTOCOL);
}

static void late_drop(struct supervisor_door *door, const struct received *received)
{
    bool is_last = !err_is_ok(received->answer.result) || received->answer.left == 0;

    for (unsigned i = 0; i < received->fd_count; i++)
        os_listener_close(&(struct os_listener){.fd = received->fds[i]});
    if (is_last && door->late > 0)
        door->late--;
    if (is_last)
        log_warn("an answer of the supervisor came too late: it was dropped");
}

static int left_ms(uint64_t until_ns)
{
    uint64_t now_ns = os_clock_ns();

    return now_ns < until_ns ? (int)((until_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS) : 0;
}

/* The next message of the answer to the last ask. */
MUST_USE static err answer_receive(struct supervisor_door *door, uint64_t until_ns, struct received *ret_received)
{
    for (;;) {
        TRY(message_receive(door, left_ms(until_ns), ret_received));
        if (ret_received->answer.number == door->number)
            return ERR_OK;
        late_drop(door, ret_received);
    }
}

/* *ret_refused: the error is the supervisor's own, and nothing is open. */
MUST_USE static err shards_receive(struct supervisor_door *door, struct os_listener *shards, unsigned count, bool *ret_refused)
{
    uint64_t until_ns = os_clock_ns() + (uint64_t)door->answer_ms * NS_PER_MS;
    struct received received;
    unsigned got = 0;

    while (got < count) {
        unsigned room = count - got;
        TRY(answer_receive(door, until_ns, &received));
        *ret_refused = !err_is_ok(received.answer.result);
        TRY(received.answer.result);
        for (unsigned i = 0; i < received.fd_count; i++) {
            struct os_listener shard = {.fd = received.fds[i], .address = received.answer.address};
            if (i < room)
                shards[got++] = shard;
            else
                os_listener_close(&shard);
        }
        ENSURE(received.fd_count <= room, PROTOCOL);
        ENSURE(got + received.answer.left == count, LIMIT); /* the kernel leaves out what finds no number */
    }
    return ERR_OK;
}

static void shards_close(struct os_listener *shards, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        os_listener_close(&shards[i]);
}

err supervisor_open(struct supervisor_door *door, const char *text, bool is_tls, struct os_listener *ret_shards, unsigned count)
{
    struct supervisor_ask ask = {.kind = ASK_OPEN, .number = ++door->number, .is_tls = is_tls};
    bool is_refused = false;
    err opened;

    for (unsigned i = 0; i < count; i++)
        ret_shards[i].fd = -1;
    TRY(ask_send(door, &ask, text));
    opened = shards_receive(door, ret_shards, count, &is_refused);
    if (err_is_ok(opened))
        return ERR_OK;
    shards_close(ret_shards, count);
    if (is_refused || opened.code == ERR_CLOSED)
        return opened;
    if (opened.code == ERR_TIMEOUT)
        door->late++; /* it may be opened yet: whatever comes of it is closed behind it */
    TRY(supervisor_close(door, text, is_tls));
    return opened;
}

err supervisor_close(struct supervisor_door *door, const char *text, bool is_tls)
{
    struct supervisor_ask ask = {.kind = ASK_CLOSE, .is_tls = is_tls};

    return ask_send(door, &ask, text);
}

err supervisor_tell_version(struct supervisor_door *door, uint64_t version)
{
    struct supervisor_ask ask = {.kind = ASK_VERSION, .version = version};

    return ask_send(door, &ask, "");
}

err supervisor_tell_ready(int channel)
{
    struct supervisor_ask ask = {.kind = ASK_READY};

    return os_channel_send(channel, slice_of(&ask, sizeof(ask)), NULL, 0);
}

void supervisor_door_turn(struct supervisor_door *door)
{
    struct received received;

    while (door->late > 0) {
        err got = message_receive(door, 0, &received);
        if (got.code == ERR_CLOSED)
            door->late = 0;
        if (!err_is_ok(got))
            return;
        late_drop(door, &received);
    }
}
