#include "os/kernel.h"
#include "os/op.h"
#include "os/region_own.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* fails on a unix socket, where it means nothing */
}

int kernel_socket(sa_family_t family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && family != AF_UNIX)
        no_delay(fd);
    return fd;
}

void kernel_listener_no_delay(int fd)
{
    no_delay(fd);
}

size_t kernel_send_bytes(const struct os_send *op)
{
    size_t size = 0;
    for (unsigned i = 0; i < op->iov_count; i++)
        size += op->iov[i].iov_len;
    return size;
}

int kernel_send_flags(const struct os_send *op)
{
    return MSG_NOSIGNAL | (op->more ? MSG_MORE : 0);
}

ssize_t kernel_send(int fd, const struct os_send *op)
{
    int flags = kernel_send_flags(op);
    ssize_t n;

    if (region_has_any(op->iov, op->iov_count))
        return region_send(fd, op->iov, op->iov_count, op->more);
    do {
        if (op->iov_count == 1) {
            n = send(fd, op->iov[0].iov_base, op->iov[0].iov_len, flags);
        } else {
            struct msghdr message = {.msg_iov = (struct iovec *)op->iov,
                                     .msg_iovlen = MIN((size_t)op->iov_count, (size_t)OS_IOV_MAX)};
            n = sendmsg(fd, &message, flags);
        }
    } while (n < 0 && errno == EINTR);
    return n;
}

bool kernel_is_silent(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

void kernel_close(int fd, bool reset)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(fd);
}

bool kernel_accept_error_passes(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: /* a firewall rule */
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

void os_accepted_close(int fd)
{
    close(fd);
}

uint32_t os_socket_unsent_bytes(const struct os_socket *socket)
{
    int bytes = 0;

    if (socket->fd < 0 || ioctl(socket->fd, SIOCOUTQ, &bytes) != 0 || bytes < 0)
        return 0;
    return (uint32_t)bytes;
}

uint32_t os_process_id(void)
{
    return (uint32_t)getpid();
}
