/* sim_net: conversations over the simulator. A test says and expects line by line; while it waits, the loops
 * of the code under test are turned by os/sim. Everything made here lives until sim_net_end. */
#ifndef WARP_TESTS_SIM_NET_H
#define WARP_TESTS_SIM_NET_H

#include "loop/sim_thread.h"

#define SIM_NET_LOOPS_MAX 4u

struct sim_net {
    struct loop *loops[SIM_NET_LOOPS_MAX];
    struct sim_thread threads[SIM_NET_LOOPS_MAX];
    unsigned count;
    uint64_t seed;
    struct list wires, doors;
};
extern struct sim_net sim_net;

void sim_net_begin(uint64_t seed, unsigned loops);
/* Closes what is open, runs until nothing happens any more, frees the loops. */
void sim_net_end(void);
/* Nothing more to come: what is in the mail, in the network or behind a timer has happened. */
void sim_net_settle(void);
void run_ms(uint64_t ms);
/* Runs until done; fails after an hour of virtual time or when nothing happens any more. */
void run_until(bool (*done)(void *arg), void *arg, const char *what);
#define RUN_UNTIL_TRUE(flag) run_until(is_true_, &(flag), #flag)
static inline bool is_true_(void *arg)
{
    return *(bool *)arg;
}
/* The same of a counter. */
void run_until_count(const unsigned *count, unsigned n);
struct os_address address_of(const char *text);
uint64_t now_ms(void);

/* ---- a scripted peer ------------------------------------------------------------------------------------ */

struct wire {
    struct sim_peer sim;
    struct list link, accepted;
    char *got;
    size_t len, room, read; /* got[0..read) was expected already */
    bool connected, refused, fin, reset, closed;
    bool in_pieces; /* wire_read_piece */
};

struct wire *wire_connect(const char *to);
void wire_say(struct wire *wire, const char *text);
void wire_say_bytes(struct wire *wire, const void *bytes, size_t len);
void wire_finish(struct wire *wire);
void wire_reset(struct wire *wire);
void wire_close(struct wire *wire);
/* From now on it reads only when it is told to: one piece then, a few kilobytes at most. */
void wire_read_in_pieces(struct wire *wire);
void wire_read_piece(struct wire *wire);
/* Waits until exactly that comes next. */
void wire_expect(struct wire *wire, const char *text);
void wire_expect_bytes(struct wire *wire, const void *bytes, size_t len);
/* Waits for a head; the text (with its empty line) is terminated and valid until the next call. */
const char *wire_expect_head(struct wire *wire);
/* Waits for n bytes, of any value; they are wire->got + wire->read - n then. */
const char *wire_expect_any(struct wire *wire, size_t n);
void wire_expect_fin(struct wire *wire);   /* and nothing before it */
void wire_expect_reset(struct wire *wire); /* whatever came before it */
void wire_expect_end(struct wire *wire);   /* FIN or reset, nothing before it */
/* Nothing comes for that long. */
void wire_expect_silence(struct wire *wire, uint64_t ms);
static inline bool wire_has_ended(const struct wire *wire)
{
    return wire->fin || wire->reset;
}

/* ---- where peers wait for the code under test ------------------------------------------------------------ */

struct door {
    struct sim_server sim;
    struct list link;
    struct list waiting; /* wires */
    unsigned count;
    bool resets;
};
struct door *door_open(const char *address);
void door_shut(struct door *door);
struct wire *door_accept(struct door *door);

/* ---- seeds ------------------------------------------------------------------------------------------------ */

/* A test that is run under several seeds: static void name(void) becomes a cmocka test. */
#define SEEDS 12u
#define SEEDED(name, loops)                                                                                  \
    static void name##_seeds(void **state)                                                                   \
    {                                                                                                        \
        (void)state;                                                                                         \
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {                                                     \
            sim_net_begin(seed, loops);                                                                      \
            name();                                                                                          \
            sim_net_end();                                                                                   \
        }                                                                                                    \
    }
#define SEEDED_TEST(name) cmocka_unit_test_teardown(name##_seeds, sim_net_failed)
/* Prints the seed of a test that did not end. */
int sim_net_failed(void **state);

#endif
