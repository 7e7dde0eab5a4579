/* conn: one end of a connection for tests, which remembers what its callbacks said. */
#ifndef WARP_TESTS_CONN_H
#define WARP_TESTS_CONN_H

#include "os/os.h"

#include <stdlib.h>

struct conn {
    struct os_socket socket;
    struct os_recv recv;
    struct os_send send;
    struct os_connect connect;
    struct iovec iov;
    char got[256];
    int32_t received, sent, connected; /* last results */
    unsigned receives, sends, connects, closes;
    bool inside_call; /* a submitting call is under way: no done() may come */
};

static inline void conn_on_recv(struct os_op *op)
{
    struct conn *c = container_of(op, struct conn, recv.op);
    assert_false(c->inside_call);
    c->received = op->result;
    c->receives++;
    if (op->result > 0 && c->recv.into == NULL)
        memcpy(c->got, c->recv.data, MIN((size_t)op->result, sizeof(c->got)));
}

static inline void conn_on_send(struct os_op *op)
{
    struct conn *c = container_of(op, struct conn, send.op);
    assert_false(c->inside_call);
    c->sent = op->result;
    c->sends++;
}

static inline void conn_on_connect(struct os_op *op)
{
    struct conn *c = container_of(op, struct conn, connect.op);
    assert_false(c->inside_call);
    c->connected = op->result;
    c->connects++;
}

static inline void conn_on_closed(struct os_socket *socket)
{
    struct conn *c = container_of(socket, struct conn, socket);
    assert_false(c->inside_call);
    c->closes++;
}

static inline void conn_init(struct conn *c)
{
    memset(c, 0, sizeof(*c));
    c->socket.fd = -1;
    c->socket.closed = conn_on_closed;
    c->recv.op.done = conn_on_recv;
    c->send.op.done = conn_on_send;
    c->connect.op.done = conn_on_connect;
}

static inline void conn_recv(struct conn *c)
{
    c->inside_call = true;
    os_socket_recv(&c->socket, &c->recv);
    c->inside_call = false;
}

static inline void conn_send(struct conn *c, const void *bytes, size_t size)
{
    c->iov = (struct iovec){(void *)(uintptr_t)bytes, size};
    c->send.iov = &c->iov;
    c->send.iov_count = 1;
    c->inside_call = true;
    os_socket_send(&c->socket, &c->send);
    c->inside_call = false;
}

static inline void conn_close(struct conn *c, bool reset)
{
    c->inside_call = true;
    os_socket_close(&c->socket, reset);
    c->inside_call = false;
}

static inline void conn_connect(struct os *os, struct conn *c, const struct os_address *address)
{
    c->connect.address = address;
    c->inside_call = true;
    assert_true(err_is_ok(os_socket_connect(os, &c->socket, &c->connect)));
    c->inside_call = false;
}

/* Turns until cond; a test that hangs fails after ten seconds. */
#define TURN_UNTIL(os, cond)                            \
    do {                                                \
        uint64_t until_ = os_clock_ns() + 10000000000u; \
        while (!(cond)) {                               \
            assert_true(os_clock_ns() < until_);        \
            os_turn((os), until_);                      \
        }                                               \
    } while (0)

struct acceptor {
    struct os_acceptor acceptor;
    struct os_listener listener;
    int fd;
    unsigned accepts, failures;
    int error;
    struct os_peer peer;
};

static inline void acceptor_on_accepted(struct os_acceptor *base, int fd, const struct os_peer *peer)
{
    struct acceptor *a = container_of(base, struct acceptor, acceptor);
    a->fd = fd;
    a->peer = *peer;
    a->accepts++;
}

static inline void acceptor_on_failed(struct os_acceptor *base, int error)
{
    struct acceptor *a = container_of(base, struct acceptor, acceptor);
    a->error = error;
    a->failures++;
}

static inline void acceptor_start(struct os *os, struct acceptor *a, slice text)
{
    struct os_address address;

    memset(a, 0, sizeof(*a));
    assert_true(err_is_ok(os_address_parse(text, &address)));
    assert_true(err_is_ok(os_listen(&address, 1, 128, &a->listener)));
    a->acceptor.listener = &a->listener;
    a->acceptor.accepted = acceptor_on_accepted;
    a->acceptor.failed = acceptor_on_failed;
    assert_true(err_is_ok(os_accept_start(os, &a->acceptor)));
}

static inline void acceptor_stop(struct acceptor *a)
{
    os_accept_stop(&a->acceptor);
    os_listener_close(&a->listener);
}

/* Both ends of one connection through the acceptor. */
static inline void pair_open(struct os *os, struct acceptor *a, struct conn *client, struct conn *server)
{
    unsigned before = a->accepts;

    conn_init(client);
    conn_init(server);
    conn_connect(os, client, &a->listener.address);
    TURN_UNTIL(os, client->connects == 1 && a->accepts == before + 1);
    assert_int_equal(client->connected, 0);
    assert_true(err_is_ok(os_socket_adopt(os, &server->socket, a->fd)));
}

static inline void pair_close(struct os *os, struct conn *client, struct conn *server)
{
    if (client->socket.fd >= 0)
        conn_close(client, false);
    if (server->socket.fd >= 0)
        conn_close(server, false);
    TURN_UNTIL(os, client->closes == 1 && server->closes == 1);
}

#endif
