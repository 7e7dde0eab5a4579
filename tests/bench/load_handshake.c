/* Handshakes: connect, shake hands, say close_notify and FIN, wait until the server has closed, connect
 * again. The server's end of the connection is then behind it, and in its CPU time. Nothing is asked for.
 *
 * To resume, each place keeps the ticket of its first connection, made while warming. The client offers
 * psk_dhe_ke only, as browsers do: a resumed handshake has a key exchange, but no signature. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn {
    struct wire wire;
    SSL_SESSION *session;
    bool shaken, said_goodbye;
    uint64_t began_ns;
};

/* False: there is nothing more to do. */
static bool begin(struct conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
    uint64_t number;

    if (!object_next(&number))
        return false;
    conn->shaken = conn->said_goodbye = false;
    conn->began_ns = run.clock_ns;
    conn->wire.fd = socket_open();
    conn->wire.ssl = tls_new(conn->wire.fd);
    if (conn->session != NULL && SSL_set_session(conn->wire.ssl, conn->session) != 1)
        fail("TLS: %s", tls_why());
    if (fcntl(conn->wire.fd, F_SETFL, O_NONBLOCK) != 0 ||
        epoll_ctl(load_epoll, EPOLL_CTL_ADD, conn->wire.fd, &event) != 0)
        fail("a connection: %s", strerror(errno));
    return true;
}

static void end(struct conn *conn)
{
    /* What OpenSSL noted may lack the close_notify that was sent, if the server sent none: the ticket would
     * be lost. */
    SSL_set_shutdown(conn->wire.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(conn->wire.ssl);
    close(conn->wire.fd);
    run.answered++;
    hist_add(&run.latency, run.clock_ns - conn->began_ns);
}

/* False: not yet. */
static bool shake(struct conn *conn)
{
    int n = SSL_do_handshake(conn->wire.ssl);

    if (n != 1) {
        if (SSL_get_error(conn->wire.ssl, n) == SSL_ERROR_WANT_READ)
            return false;
        fail("TLS handshake: %s", tls_why());
    }
    tls_check(conn->wire.ssl, conn->session != NULL);
    return true;
}

/* Tickets come after the handshake, as something that SSL_read reads. False: the server closed. */
static bool read_on(struct conn *conn)
{
    char byte;
    int n = SSL_read(conn->wire.ssl, &byte, 1);

    if (n > 0)
        fail("bytes that nobody asked for");
    switch (SSL_get_error(conn->wire.ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return true;
    case SSL_ERROR_ZERO_RETURN:
        return false;
    case SSL_ERROR_SYSCALL:
        if (errno == ECONNRESET && conn->said_goodbye) /* closed before it read that we close */
            return false;
        /* fallthrough */
    default:
        fail("TLS after the handshake: %s", tls_why());
    }
}

/* True: it has the ticket it came for, or came for none. */
static bool has_ticket(struct conn *conn)
{
    if (opt.spoken != SPOKEN_RESUME || conn->session != NULL)
        return true;
    if (SSL_SESSION_is_resumable(SSL_get0_session(conn->wire.ssl)) == 1 &&
        SSL_SESSION_has_ticket(SSL_get0_session(conn->wire.ssl)) == 1)
        conn->session = SSL_get1_session(conn->wire.ssl);
    return conn->session != NULL;
}

/* True: the server closed. */
static bool go_on(struct conn *conn)
{
    if (!conn->shaken && !(conn->shaken = shake(conn)))
        return false;
    if (!conn->said_goodbye) {
        if (!has_ticket(conn) && !read_on(conn))
            fail("TLS: closed by the server without a ticket");
        if (!has_ticket(conn))
            return false;
        conn->said_goodbye = true;
        SSL_shutdown(conn->wire.ssl);
        shutdown(conn->wire.fd, SHUT_WR); /* not everybody closes for a close_notify */
    }
    return !read_on(conn);
}

static void handshake_ready(void *of)
{
    struct conn *conn = of;

    while (go_on(conn)) {
        end(conn);
        if (!begin(conn))
            return;
    }
}

static void handshake_start(void *conn)
{
    if (begin(conn))
        handshake_ready(conn);
}

static void handshake_prepare(void)
{
    if (opt.certificate == NULL)
        fail("a handshake needs the certificate");
    if (opt.spoken == SPOKEN_RESUME && opt.warming < (uint64_t)opt.connections)
        fail("tickets come while warming: -w as many as connections at least");
    wire_prepare("http/1.1");
}

const struct protocol protocol_handshake = {
    .conn_size = sizeof(struct conn),
    .prepare = handshake_prepare,
    .start = handshake_start,
    .ready = handshake_ready,
};
