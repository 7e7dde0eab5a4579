#include "tests/support/sim_net.h"
#include "os/sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#define HOUR_NS UINT64_C(3600000000000)

struct sim_net sim_net;

void sim_net_begin(uint64_t seed, unsigned loops)
{
    sim_net = (struct sim_net){.seed = seed, .count = loops};
    list_init(&sim_net.wires);
    list_init(&sim_net.doors);
    sim_begin(seed);
    for (unsigned i = 0; i < loops; i++) {
        struct loop_config config = {.index = i};
        assert_true(err_is_ok(loop_new(&config, &sim_net.loops[i])));
        sim_net.threads[i] = sim_thread_of(sim_net.loops[i]);
    }
}

void sim_net_settle(void)
{
    sim_run(sim_net.threads, sim_net.count, SIM_FOREVER, NULL, NULL);
}

void sim_net_end(void)
{
    LIST_FOREACH (&sim_net.wires, link)
        wire_close(container_of(link, struct wire, link));
    sim_net_settle();
    for (unsigned i = 0; i < sim_net.count; i++)
        sim_net.loops[i] = loop_free(sim_net.loops[i]);
    sim_end();
    for (struct list *link; (link = list_pop_front(&sim_net.wires)) != NULL;) {
        struct wire *wire = container_of(link, struct wire, link);
        free(wire->got);
        free(wire);
    }
    for (struct list *link; (link = list_pop_front(&sim_net.doors)) != NULL;)
        free(container_of(link, struct door, link));
    sim_net.seed = 0;
}

int sim_net_failed(void **state)
{
    (void)state;
    if (sim_net.seed != 0) {
        fprintf(stderr, "seed %llu\n", (unsigned long long)sim_net.seed);
        sim_net.seed = 0;
        world = NULL; /* what it holds is lost: the test has failed */
    }
    return 0;
}

uint64_t now_ms(void)
{
    return os_clock_ns() / 1000000;
}

void run_ms(uint64_t ms)
{
    sim_run(sim_net.threads, sim_net.count, os_clock_ns() + ms * 1000000, NULL, NULL);
    for (unsigned i = 0; i < sim_net.count; i++)
        (void)loop_turn(sim_net.loops[i], 0); /* so that they know the time */
}

void run_until(bool (*done)(void *arg), void *arg, const char *what)
{
    if (!done(arg) && !sim_run(sim_net.threads, sim_net.count, os_clock_ns() + HOUR_NS, done, arg))
        fail_msg("waited in vain: %s", what);
}

struct counting {
    const unsigned *count;
    unsigned n;
};

static bool has_counted(void *arg)
{
    const struct counting *counting = arg;
    return *counting->count >= counting->n;
}

void run_until_count(const unsigned *count, unsigned n)
{
    struct counting counting = {count, n};
    run_until(has_counted, &counting, "a counter");
}

struct os_address address_of(const char *text)
{
    struct os_address address;

    assert_true(err_is_ok(os_address_parse(slice_str(text), &address)));
    return address;
}

/* ---- a scripted peer ------------------------------------------------------------------------------------ */

static struct wire *wire_of(struct sim_peer *peer)
{
    return container_of(peer, struct wire, sim);
}

static void wire_connected(struct sim_peer *peer, int32_t result)
{
    wire_of(peer)->connected = result == 0;
    wire_of(peer)->refused = result != 0;
}

static void wire_received(struct sim_peer *peer, const char *data, size_t size)
{
    struct wire *wire = wire_of(peer);

    if (size == 0) {
        wire->fin = true;
        return;
    }
    if (wire->len + size + 1 > wire->room) {
        wire->room = 2 * (wire->len + size + 1);
        wire->got = realloc(wire->got, wire->room);
        assert_non_null(wire->got);
    }
    memcpy(wire->got + wire->len, data, size);
    wire->len += size;
    wire->got[wire->len] = '\0';
    if (wire->in_pieces)
        sim_pause(peer, true);
}

void wire_read_in_pieces(struct wire *wire)
{
    wire->in_pieces = true;
    sim_pause(&wire->sim, true);
}

void wire_read_piece(struct wire *wire)
{
    sim_pause(&wire->sim, false);
}

static void wire_was_reset(struct sim_peer *peer)
{
    wire_of(peer)->reset = true;
}

static struct wire *wire_new(void)
{
    struct wire *wire = calloc(1, sizeof(*wire));

    assert_non_null(wire);
    wire->sim.connected = wire_connected;
    wire->sim.received = wire_received;
    wire->sim.reset = wire_was_reset;
    list_init(&wire->accepted);
    list_push_back(&sim_net.wires, &wire->link);
    return wire;
}

struct wire *wire_connect(const char *to)
{
    struct wire *wire = wire_new();
    struct os_address address = address_of(to);

    sim_connect(&wire->sim, &address, NULL);
    return wire;
}

void wire_say_bytes(struct wire *wire, const void *bytes, size_t len)
{
    sim_send(&wire->sim, bytes, len);
}

void wire_say(struct wire *wire, const char *text)
{
    wire_say_bytes(wire, text, strlen(text));
}

void wire_finish(struct wire *wire)
{
    sim_finish(&wire->sim);
}

void wire_reset(struct wire *wire)
{
    wire->closed = true;
    sim_reset(&wire->sim);
}

void wire_close(struct wire *wire)
{
    if (wire->closed)
        return;
    wire->closed = true;
    sim_close(&wire->sim);
}

struct wanting {
    struct wire *wire;
    size_t bytes;
};

static bool wire_has_bytes(void *arg)
{
    const struct wanting *wanting = arg;
    return wanting->wire->len - wanting->wire->read >= wanting->bytes || wire_has_ended(wanting->wire);
}

const char *wire_expect_any(struct wire *wire, size_t n)
{
    struct wanting wanting = {wire, n};

    run_until(wire_has_bytes, &wanting, "bytes");
    if (wire->len - wire->read < n)
        fail_msg("%zu bytes expected, ended after %zu: %.*s", n, wire->len - wire->read,
                 (int)(wire->len - wire->read), wire->got != NULL ? wire->got + wire->read : "");
    wire->read += n;
    return wire->got + wire->read - n;
}

void wire_expect_bytes(struct wire *wire, const void *bytes, size_t len)
{
    const char *got = wire_expect_any(wire, len);

    if (memcmp(got, bytes, len) != 0)
        fail_msg("expected: %.*s\n     got: %.*s", (int)len, (const char *)bytes, (int)len, got);
}

void wire_expect(struct wire *wire, const char *text)
{
    wire_expect_bytes(wire, text, strlen(text));
}

static bool wire_has_head(void *arg)
{
    struct wire *wire = arg;
    return wire_has_ended(wire) || (wire->len > wire->read && strstr(wire->got + wire->read, "\r\n\r\n") != NULL);
}

const char *wire_expect_head(struct wire *wire)
{
    static char head[65536];
    const char *end;
    size_t len;

    run_until(wire_has_head, wire, "a head");
    end = wire->len > wire->read ? strstr(wire->got + wire->read, "\r\n\r\n") : NULL;
    if (end == NULL)
        fail_msg("no head, but: %s", wire->len > wire->read ? wire->got + wire->read : "an end");
    len = (size_t)(end + 4 - (wire->got + wire->read));
    assert_true(len < sizeof(head));
    memcpy(head, wire->got + wire->read, len);
    head[len] = '\0';
    wire->read += len;
    return head;
}

static bool wire_is_over(void *arg)
{
    return wire_has_ended(arg);
}

static void wire_expect_no_bytes(const struct wire *wire)
{
    if (wire->len > wire->read)
        fail_msg("bytes nobody expected: %s", wire->got + wire->read);
}

void wire_expect_end(struct wire *wire)
{
    run_until(wire_is_over, wire, "an end");
    wire_expect_no_bytes(wire);
}

void wire_expect_fin(struct wire *wire)
{
    wire_expect_end(wire);
    assert_true(wire->fin);
}

void wire_expect_reset(struct wire *wire)
{
    run_until(is_true_, &wire->reset, "a reset");
    assert_false(wire->fin);
}

void wire_expect_silence(struct wire *wire, uint64_t ms)
{
    run_ms(ms);
    wire_expect_no_bytes(wire);
    assert_false(wire_has_ended(wire));
}

/* ---- doors ------------------------------------------------------------------------------------------------ */

static struct sim_peer *door_accepted(struct sim_server *server)
{
    struct door *door = container_of(server, struct door, sim);
    struct wire *wire;

    door->count++;
    if (door->resets)
        return NULL;
    wire = wire_new();
    wire->connected = true;
    list_push_back(&door->waiting, &wire->accepted);
    return &wire->sim;
}

struct door *door_open(const char *text)
{
    struct door *door = calloc(1, sizeof(*door));
    struct os_address address = address_of(text);

    assert_non_null(door);
    door->sim.accepted = door_accepted;
    list_init(&door->waiting);
    list_push_back(&sim_net.doors, &door->link);
    sim_listen(&door->sim, &address);
    return door;
}

void door_shut(struct door *door)
{
    sim_unlisten(&door->sim);
}

static bool door_has_wire(void *arg)
{
    return !list_is_empty(&((struct door *)arg)->waiting);
}

struct wire *door_accept(struct door *door)
{
    run_until(door_has_wire, door, "a connection");
    return container_of(list_pop_front(&door->waiting), struct wire, accepted);
}
