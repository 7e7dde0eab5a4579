#include "net/stream_ops.h"

void net_recv(struct net_stream *stream, void *into, uint32_t into_bytes)
{
    stream->ops->recv(stream, into, into_bytes);
}

bool net_recv_cancel(struct net_stream *stream)
{
    return stream->ops->recv_cancel(stream);
}

bool net_is_silent(struct net_stream *stream)
{
    return stream->ops->is_silent(stream);
}

void net_send(struct net_stream *stream, const struct iovec *iov, unsigned iov_count, bool more)
{
    stream->ops->send(stream, iov, iov_count, more);
}

uint32_t net_unsent_bytes(const struct net_stream *stream)
{
    return stream->ops->unsent_bytes(stream);
}

void net_shutdown(struct net_stream *stream)
{
    stream->ops->shutdown(stream);
}

void net_close(struct net_stream *stream, bool reset)
{
    stream->ops->close(stream, reset);
}

static struct net_tcp *tcp_of(struct net_stream *stream)
{
    return container_of(stream, struct net_tcp, stream);
}

/* After net_close the operations end with -ECANCELED and the reader no longer wants to know. */
static bool tcp_is_open(const struct net_tcp *tcp)
{
    return tcp->socket.fd >= 0;
}

static void tcp_received(struct os_op *op)
{
    struct net_tcp *tcp = container_of(op, struct net_tcp, recv.op);
    if (tcp_is_open(tcp))
        tcp->stream.handler->received(&tcp->stream, op->result, tcp->recv.data);
}

static void tcp_sent(struct os_op *op)
{
    struct net_tcp *tcp = container_of(op, struct net_tcp, send.op);
    if (tcp_is_open(tcp))
        tcp->stream.handler->sent(&tcp->stream, op->result);
}

static void tcp_connected(struct os_op *op)
{
    struct net_tcp *tcp = container_of(op, struct net_tcp, connect.op);
    if (tcp_is_open(tcp))
        tcp->stream.handler->connected(&tcp->stream, op->result, NULL);
}

static void tcp_closed(struct os_socket *socket)
{
    struct net_tcp *tcp = container_of(socket, struct net_tcp, socket);
    struct pool *pool = tcp->pool;

    tcp->stream.handler->closed(&tcp->stream);
    if (pool != NULL)
        pool_put(pool, tcp);
}

static void tcp_recv(struct net_stream *stream, void *into, uint32_t into_bytes)
{
    struct net_tcp *tcp = tcp_of(stream);
    tcp->recv.into = into;
    tcp->recv.into_bytes = into_bytes;
    os_socket_recv(&tcp->socket, &tcp->recv);
}

static bool tcp_recv_cancel(struct net_stream *stream)
{
    return os_socket_recv_cancel(&tcp_of(stream)->socket);
}

static bool tcp_is_silent(struct net_stream *stream)
{
    return os_socket_is_silent(&tcp_of(stream)->socket);
}

static void tcp_send(struct net_stream *stream, const struct iovec *iov, unsigned iov_count, bool more)
{
    struct net_tcp *tcp = tcp_of(stream);
    tcp->send.op.done = tcp_sent; /* the connect lay here */
    tcp->send.iov = iov;
    tcp->send.iov_count = (uint16_t)MIN(iov_count, (unsigned)UINT16_MAX);
    tcp->send.more = more;
    os_socket_send(&tcp->socket, &tcp->send);
}

static uint32_t tcp_unsent_bytes(const struct net_stream *stream)
{
    return os_socket_unsent_bytes(&container_of(stream, struct net_tcp, stream)->socket);
}

static void tcp_shutdown(struct net_stream *stream)
{
    os_socket_shutdown(&tcp_of(stream)->socket);
}

static void tcp_close(struct net_stream *stream, bool reset)
{
    os_socket_close(&tcp_of(stream)->socket, reset);
}

static void tcp_init(struct net_tcp *tcp, struct loop *loop, const struct net_handler *handler)
{
    static const struct net_stream_ops ops = {tcp_recv, tcp_recv_cancel, tcp_is_silent, tcp_send, tcp_unsent_bytes, tcp_shutdown,
                                              tcp_close};

    tcp->stream = (struct net_stream){.ops = &ops, .handler = handler, .loop = loop, .scheme = NET_PLAIN};
    tcp->socket.closed = tcp_closed;
    tcp->recv.op.done = tcp_received;
    tcp->pool = NULL;
}

err net_tcp_adopt(struct net_tcp *tcp, struct loop *loop, int fd, const struct os_peer *peer,
                  const struct net_handler *handler)
{
    tcp_init(tcp, loop, handler);
    tcp->stream.peer = *peer;
    return os_socket_adopt(loop_os(loop), &tcp->socket, fd);
}

err net_tcp_accept(struct pool *pool, struct loop *loop, int fd, const struct os_peer *peer, struct net_stream **ret_stream)
{
    struct net_tcp *tcp = pool_get(pool);
    err result;

    if (tcp == NULL) {
        os_accepted_close(fd);
        return ERR(MEMORY);
    }
    memset(tcp, 0, sizeof(*tcp));
    result = net_tcp_adopt(tcp, loop, fd, peer, NULL);
    if (!err_is_ok(result)) {
        pool_put(pool, tcp);
        return result;
    }
    tcp->pool = pool;
    *ret_stream = &tcp->stream;
    return ERR_OK;
}

err net_tcp_connect(struct net_tcp *tcp, struct loop *loop, const struct os_address *address,
                    const struct net_handler *handler)
{
    tcp_init(tcp, loop, handler);
    tcp->stream.peer = os_peer_of(address);
    tcp->connect.op.done = tcp_connected;
    tcp->connect.address = address;
    return os_socket_connect(loop_os(loop), &tcp->socket, &tcp->connect);
}
