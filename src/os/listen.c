/* Listening sockets, and the descriptors of the resolver, on the kernel's own calls: common to the backends
 * that use them. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PATIENT_PAUSE_NS 20000000
#define PATIENT_TRIES    100u /* two seconds */
#define UNIX_MODE        0660

MUST_USE static err listen_socket(int family, int *ret_fd)
{
    int on = 1, off = 0;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return ERR_SYS(errno);
    if (family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)); /* [::] takes IPv4 as well */
    *ret_fd = fd;
    return ERR_OK;
}

/* Without SO_REUSEPORT a bind fails when anybody else listens there, whatever they have set; it also
 * resolves port 0 once for all shards. */
MUST_USE static err listen_probe(struct os_address *address)
{
    int fd;
    err result = ERR_OK;

    TRY(listen_socket(address->any.sa_family, &fd));
    if (bind(fd, &address->any, address->len) != 0 || getsockname(fd, &address->any, &address->len) != 0)
        result = ERR_SYS(errno);
    close(fd);
    return result;
}

/* A unix socket's file says who may connect, whatever the umask: bind takes its mode from the descriptor's less the umask, so that
 * it never has more; what the umask took is given back. */
MUST_USE static bool bind_listening(int fd, const struct os_address *address)
{
    bool is_unix = address->any.sa_family == AF_UNIX;

    if (is_unix && fchmod(fd, UNIX_MODE) != 0)
        return false;
    if (bind(fd, &address->any, address->len) != 0)
        return false;
    return !is_unix || chmod(address->un.sun_path, UNIX_MODE) == 0;
}

MUST_USE static err listen_one(const struct os_address *address, int backlog,
                               struct os_listener *ret_listener)
{
    int fd, on = 1;

    TRY(listen_socket(address->any.sa_family, &fd));
    if (address->any.sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (!bind_listening(fd, address) || listen(fd, backlog) != 0) {
        err failed = ERR_SYS(errno);
        close(fd);
        return failed;
    }
    ret_listener->fd = fd;
    ret_listener->address = *address;
    return ERR_OK;
}

MUST_USE static err unix_stale_remove(const struct os_address *address)
{
    struct stat st;
    int fd, error;

    if (lstat(address->un.sun_path, &st) != 0)
        return ERR_OK;
    if (!S_ISSOCK(st.st_mode))
        return ERR_SYS(EADDRINUSE); /* somebody's file: not ours to remove */
    TRY(listen_socket(AF_UNIX, &fd));
    error = connect(fd, &address->any, address->len) == 0 ? 0 : errno;
    close(fd);
    if (error != ECONNREFUSED)
        return ERR_SYS(EADDRINUSE);
    return unlink(address->un.sun_path) == 0 ? ERR_OK : ERR_SYS(errno);
}

MUST_USE static err listen_unix(const struct os_address *address, unsigned shards, int backlog,
                                struct os_listener *listeners)
{
    TRY(unix_stale_remove(address));
    TRY(listen_one(address, backlog, &listeners[0]));
    /* One socket in all shards; a number for each, so that each can be closed. */
    for (unsigned i = 1; i < shards; i++) {
        listeners[i] = listeners[0];
        listeners[i].fd = fcntl(listeners[0].fd, F_DUPFD_CLOEXEC, 3);
        if (listeners[i].fd < 0)
            return ERR_SYS(errno);
    }
    return ERR_OK;
}

MUST_USE static err listen_shards(struct os_address *address, unsigned shards, int backlog,
                                  struct os_listener *listeners)
{
    if (address->any.sa_family == AF_UNIX)
        return listen_unix(address, shards, backlog, listeners);
    TRY(listen_probe(address));
    for (unsigned i = 0; i < shards; i++)
        TRY(listen_one(address, backlog, &listeners[i]));
    return ERR_OK;
}

static bool listen_wants_ipv4(const struct os_address *address, err failed)
{
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr) &&
           (failed.sys == EAFNOSUPPORT || failed.sys == EADDRNOTAVAIL);
}

err os_listen(const struct os_address *address, unsigned shards, int backlog,
              struct os_listener *ret_listeners)
{
    struct os_address at = *address;
    err result;

    INVARIANT(shards > 0);
    for (unsigned i = 0; i < shards; i++)
        ret_listeners[i] = (struct os_listener){.fd = -1};
    result = listen_shards(&at, shards, backlog, ret_listeners);
    if (listen_wants_ipv4(&at, result)) {
        struct os_address any4 = {.in4 = {.sin_family = AF_INET, .sin_port = at.in6.sin6_port},
                                  .len = sizeof(any4.in4)};
        result = listen_shards(&any4, shards, backlog, ret_listeners);
    }
    if (!err_is_ok(result))
        for (unsigned i = 0; i < shards; i++)
            os_listener_close(&ret_listeners[i]);
    return result;
}

err os_listen_patiently(const struct os_address *address, unsigned shards, int backlog,
                        struct os_listener *ret_listeners)
{
    const struct timespec pause = {.tv_nsec = PATIENT_PAUSE_NS};
    err result = os_listen(address, shards, backlog, ret_listeners);

    for (unsigned tries = 0; tries < PATIENT_TRIES && result.sys == EADDRINUSE; tries++) {
        nanosleep(&pause, NULL);
        result = os_listen(address, shards, backlog, ret_listeners);
    }
    return result;
}

void os_listener_close(struct os_listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
}

int os_resolver_socket(int family, int type)
{
    int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 ? fd : -errno;
}

int os_resolver_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    return connect(fd, address, len) == 0 ? 0 : -errno;
}

ssize_t os_resolver_send(int fd, const struct iovec *iov, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count};
    ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
    return n >= 0 ? n : -errno;
}

ssize_t os_resolver_recv(int fd, void *buffer, size_t size, struct sockaddr *from, socklen_t *from_len)
{
    ssize_t n = recvfrom(fd, buffer, size, 0, from, from_len);
    return n >= 0 ? n : -errno;
}

void os_resolver_close(int fd)
{
    close(fd);
}
