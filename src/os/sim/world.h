/* The simulated world's own state; for os/sim/ only. */
#ifndef WARP_OS_SIM_WORLD_H
#define WARP_OS_SIM_WORLD_H

#include "os/op.h"
#include "os/sim/sim.h"

#define SIM_FD_FIRST 1000

/* Something that happens at a time. key is random: events of one instant come in any order. */
struct sim_event {
    uint64_t at_ns, key;
    void (*run)(void *arg);
    void *arg;
};

/* Bytes on their way to one end: used = arrived (readable) + in flight. */
struct sim_pipe {
    char *bytes;
    uint32_t room, start, used, arrived;
    bool fin, fin_arrived;
    bool scheduled; /* a delivery is under way; one at a time keeps the order */
};

enum sim_owner {
    OWNER_NONE,
    OWNER_SOCKET,
    OWNER_PEER
};

/* One end of a connection. Lives until sim_end, its buffer until it is closed. */
struct sim_end {
    struct list link; /* in a listener's backlog */
    struct sim_end *other, *next_made;
    int fd;
    enum sim_owner owner;
    struct os_socket *socket;
    struct sim_peer *peer;
    struct sim_pipe in;
    struct os_peer address; /* of the other side */
    bool closed, is_reset, reset_on_way, fin_sent;
};

struct sim_listener {
    struct list link;
    int fd;
    struct os_address address;
    struct list backlog; /* struct sim_end */
};

/* A connect on its way. */
struct sim_connecting {
    struct list link;
    struct os_address to;
    struct os_peer from;
    void (*connected)(void *arg, struct sim_end *end, int32_t result); /* NULL: given up */
    void *arg;
};

/* Where the disks stop: nothing happens or is told of any more. */
struct disk_op;
struct sim_stop {
    uint64_t after;     /* so many operations more; 0: not set */
    struct disk_op *at; /* the last one, once it was asked for */
    enum sim_stop_when {
        STOP_ASKED, /* it may have happened when the node is gone, in part even */
        STOP_HAPPENED,
        STOP_TELLING
    } when;
    bool has_stopped;
};

struct sim_world {
    uint64_t seed_state, entropy_state, hash, now_ns;
    struct sim_event *events; /* a heap, the earliest first */
    uint32_t events_count, events_room;
    struct sim_end *ends;   /* all ever made */
    struct sim_end **by_fd; /* from SIM_FD_FIRST; NULL where the number is something else's */
    uint32_t by_fd_room;
    int next_fd;
    uint16_t next_port;
    struct list listeners, servers, timers, connects;
    int accept_error;
    unsigned accept_failures;
    struct list disks;          /* struct sim_disk */
    struct list disk_ops_dead;  /* struct disk_op: of nodes that are gone, until their event has come */
    struct sim_stop disk_stop;
    void (*disk_orphan)(struct os_file_op *op);
    int crashed_fd; /* files with a lesser number were open in a node that is gone */
};

extern struct sim_world *world;

uint64_t world_random(uint64_t below); /* below > 0 */
bool world_chance(unsigned percent);
uint64_t world_latency_ns(void);
void world_trace(unsigned what, uint64_t a, uint64_t b);
void world_later(uint64_t delay_ns, void (*run)(void *arg), void *arg);
void *world_alloc(size_t size); /* zeroed; stops the process when memory ends */

/* A connected pair; *ret_a's other is *ret_b. */
void ends_new(const struct os_peer *address_of_a, const struct os_peer *address_of_b, struct sim_end **ret_a,
              struct sim_end **ret_b);
struct sim_end *end_of_fd(int fd);             /* NULL: the number is no connection's */
uint32_t end_room(const struct sim_end *from); /* what could be sent now */
bool end_can_send(const struct sim_end *from); /* or learn why not */
bool end_can_recv(const struct sim_end *end);
/* As send(2) and recv(2) on a non-blocking socket: -errno, short whenever the seed likes. */
ssize_t end_send(struct sim_end *from, const struct iovec *iov, unsigned iov_count);
ssize_t end_recv(struct sim_end *end, void *into, size_t size);
void end_finish(struct sim_end *end);
void end_close(struct sim_end *end, bool reset);

/* What has happened of a door's operations on disks and is to be told: struct disk_op, by its due. */
struct list *door_disk_due(struct os *os);
bool disks_have_stopped(void);
void disk_op_tell(struct list *due);
/* Of a door that goes: they happen, and nobody is told. */
void disk_ops_drop(struct os *os);
void disks_free(void);

/* The peer's side: bytes, FIN or RST arrived; room to send. */
void peer_turn(struct sim_end *end);

/* Begins a connection: calls connected(arg, end or NULL, result) later, unless it is cancelled. */
void world_connect(const struct os_address *to, const struct os_peer *from,
                   void (*connected)(void *arg, struct sim_end *end, int32_t result), void *arg);
void world_connect_cancel(void *arg);

enum sim_trace {
    TRACE_DELIVER = 1,
    TRACE_RESET,
    TRACE_CONNECT,
    TRACE_SEND,
    TRACE_RECV,
    TRACE_CLOSE,
    TRACE_ACCEPT,
    TRACE_TURN,
    TRACE_CLOCK,
    TRACE_DONE,
    TRACE_DISK_OPEN,
    TRACE_DISK_ASKED,
    TRACE_DISK_HAPPENED,
    TRACE_DISK_TOLD,
    TRACE_DISK_CRASH,
    TRACE_DISK_LOSS
};

#endif
