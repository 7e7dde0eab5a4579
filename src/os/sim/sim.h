/* sim: os.h without a kernel. One real thread plays all threads, the network and the peers; one seed decides
 * the order of everything, sizes of chunks, latencies, short sends. The same seed gives the same run, and
 * sim_hash proves it. A test driver:
 *
 *   sim_begin(seed) -> make loops over os.h, peers with sim_connect / sim_listen -> sim_run -> sim_end
 *
 * The clock stands still while anything can run and then jumps to the next deadline. Not simulated: files,
 * threads, the resolver's descriptors (IP literals and localhost resolve). */
#ifndef WARP_OS_SIM_SIM_H
#define WARP_OS_SIM_SIM_H

#include "os/os.h"

void sim_begin(uint64_t seed);
void sim_end(void);                  /* after every os_free */
uint64_t sim_hash(void);             /* of all that happened so far */
uint64_t sim_random(uint64_t below); /* from the seed; for the driver's own choices */

/* One simulated thread, in practice a loop: turn says whether anything ran, next_ns when its next timer is
 * due (UINT64_MAX: none). */
struct sim_thread {
    bool (*turn)(void *arg);
    uint64_t (*next_ns)(void *arg);
    void *arg;
};
/* Runs until done(arg) says so (true is returned), the clock reaches until_ns, or nothing can ever happen
 * again. done may be NULL. */
bool sim_run(const struct sim_thread *threads, unsigned count, uint64_t until_ns, bool (*done)(void *arg),
             void *arg);
#define SIM_FOREVER (UINT64_MAX - 1)

/* ---- scripted peers: clients and origins of the code under test -------------------------------------------
 */

struct sim_end;

/* Callbacks may be NULL and may call any of the functions below. Memory: until sim_close, sim_reset or
 * sim_end. */
struct sim_peer {
    void (*connected)(struct sim_peer *peer, int32_t result);               /* of sim_connect: 0 or -errno */
    void (*received)(struct sim_peer *peer, const char *data, size_t size); /* size 0: FIN */
    void (*reset)(struct sim_peer *peer);
    struct sim_end *end;
    char *out; /* not yet in the network */
    size_t out_bytes, out_room;
    bool paused, finishing, fin_told;
};

/* from: NULL means 10.0.0.1 and a port of its own. */
void sim_connect(struct sim_peer *peer, const struct os_address *to, const struct os_peer *from);

struct sim_server {
    /* Returns the peer for the new connection, its callbacks set; NULL refuses it by a reset. */
    struct sim_peer *(*accepted)(struct sim_server *server);
    struct list link;
    struct os_address address;
};
void sim_listen(struct sim_server *server, const struct os_address *address);
void sim_unlisten(struct sim_server *server); /* connects are refused from now on */

void sim_send(struct sim_peer *peer, const void *bytes, size_t size); /* copied; never short */
void sim_finish(struct sim_peer *peer);                               /* FIN behind all that was sent */
void sim_reset(struct sim_peer *peer);                                /* RST; the peer is then closed */
void sim_close(struct sim_peer *peer);                                /* as close(2); drops what is unsent */
void sim_pause(struct sim_peer *peer, bool paused);                   /* stops reading */

struct sim_timer {
    void (*fire)(struct sim_timer *timer);
    uint64_t at_ns; /* 0: not set */
    struct list link;
};
void sim_timer_set(struct sim_timer *timer, uint64_t at_ns); /* zeroed before the first time */
void sim_timer_stop(struct sim_timer *timer);

/* The next `times` accepts of all acceptors fail with that errno (EMFILE). */
void sim_fail_accepts(int error, unsigned times);

#endif
