#include "os/os.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static struct os_address address_any6(uint16_t port)
{
    struct os_address address = {.len = sizeof(struct sockaddr_in6)};
    address.in6.sin6_family = AF_INET6;
    address.in6.sin6_port = htons(port);
    address.in6.sin6_addr = in6addr_any;
    return address;
}

err os_address_from_ip(slice ip, uint16_t port, struct os_address *ret_address)
{
    char text[INET6_ADDRSTRLEN];
    struct os_address address = {.len = 0};

    /* A NUL inside would make inet_pton read less than the caller believes. */
    ENSURE(ip.len > 0 && ip.len < sizeof(text) && slice_find(ip, '\0') < 0, INVALID);
    memcpy(text, ip.data, ip.len);
    text[ip.len] = '\0';
    if (inet_pton(AF_INET, text, &address.in4.sin_addr) == 1) {
        address.in4.sin_family = AF_INET;
        address.in4.sin_port = htons(port);
        address.len = sizeof(address.in4);
    } else {
        address = address_any6(port);
        ENSURE(inet_pton(AF_INET6, text, &address.in6.sin6_addr) == 1, INVALID);
    }
    *ret_address = address;
    return ERR_OK;
}

MUST_USE static err unix_parse(slice path, struct os_address *ret_address)
{
    struct os_address address = {.len = sizeof(struct sockaddr_un)};

    ENSURE(path.len > 0 && path.len < sizeof(address.un.sun_path) && slice_find(path, '\0') < 0, INVALID);
    address.un.sun_family = AF_UNIX;
    memcpy(address.un.sun_path, path.data, path.len);
    *ret_address = address;
    return ERR_OK;
}

err os_address_parse(slice text, struct os_address *ret_address)
{
    slice host = text, port_text;
    uint64_t port;

    if (slice_starts(text, SLICE("unix:")))
        return unix_parse(slice_from(text, 5), ret_address);
    while (host.len > 0 && host.data[host.len - 1] != ':')
        host.len--;
    ENSURE(host.len > 0, INVALID);
    port_text = slice_from(text, host.len--);
    ENSURE(slice_to_u64(port_text, &port) && port <= UINT16_MAX, INVALID);

    if (host.len == 0) {
        /* os_listen falls back to IPv4 where the host has no IPv6. */
        *ret_address = address_any6((uint16_t)port);
        return ERR_OK;
    }
    if (host.data[0] == '[') {
        ENSURE(host.len > 2 && host.data[host.len - 1] == ']', INVALID);
        host = slice_of(host.data + 1, host.len - 2);
        ENSURE(slice_find(host, ':') >= 0, INVALID);
    } else {
        ENSURE(slice_find(host, ':') < 0, INVALID); /* an IPv6 literal needs its brackets */
    }
    return os_address_from_ip(host, (uint16_t)port, ret_address);
}

const char *os_address_text(const struct os_address *address, char *buffer, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "?";

    INVARIANT(size > 0);
    buffer[0] = '\0';
    if (address->len == 0)
        return buffer;
    switch (address->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &address->in4.sin_addr, ip, sizeof(ip));
        snprintf(buffer, size, "%s:%u", ip, ntohs(address->in4.sin_port));
        break;
    case AF_INET6:
        inet_ntop(AF_INET6, &address->in6.sin6_addr, ip, sizeof(ip));
        snprintf(buffer, size, "[%s]:%u", ip, ntohs(address->in6.sin6_port));
        break;
    case AF_UNIX:
        snprintf(buffer, size, "unix:%s", address->un.sun_path);
        break;
    default:
        break;
    }
    return buffer;
}

static const uint8_t mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct os_peer os_peer_of(const struct os_address *address)
{
    struct os_peer peer = {.family = AF_UNIX};

    if (address->len == 0)
        return peer;
    if (address->any.sa_family == AF_INET) {
        peer.family = AF_INET;
        peer.port = ntohs(address->in4.sin_port);
        memcpy(peer.ip, mapped_prefix, 12);
        memcpy(peer.ip + 12, &address->in4.sin_addr, 4);
    } else if (address->any.sa_family == AF_INET6) {
        /* An IPv4 client of a listener for both is an IPv4 client. */
        peer.family = IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr) ? AF_INET : AF_INET6;
        peer.port = ntohs(address->in6.sin6_port);
        memcpy(peer.ip, &address->in6.sin6_addr, 16);
    }
    return peer;
}

/* Every request to an origin says for whom it is: without printf, which inet_ntop uses. */
static void ipv4_write(const uint8_t *ip, char *at)
{
    for (unsigned i = 0; i < 4; i++) {
        if (i > 0)
            *at++ = '.';
        if (ip[i] >= 100)
            *at++ = (char)('0' + ip[i] / 100);
        if (ip[i] >= 10)
            *at++ = (char)('0' + ip[i] / 10 % 10);
        *at++ = (char)('0' + ip[i] % 10);
    }
    *at = '\0';
}

const char *os_peer_text(const struct os_peer *peer, char *buffer, size_t size)
{
    INVARIANT(size >= INET6_ADDRSTRLEN);
    if (peer->family == AF_INET)
        ipv4_write(peer->ip + 12, buffer);
    else if (peer->family == AF_INET6)
        inet_ntop(AF_INET6, peer->ip, buffer, (socklen_t)size);
    else
        snprintf(buffer, size, "unix");
    return buffer;
}

bool os_peer_is_ipv4(const struct os_peer *peer)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(peer->ip, mapped, sizeof(mapped)) == 0;
}

bool os_peer_is_loopback(const struct os_peer *peer)
{
    if (peer->family == AF_INET)
        return peer->ip[12] == 127;
    if (peer->family == AF_INET6)
        return memcmp(peer->ip, &in6addr_loopback, 16) == 0;
    return peer->family == AF_UNIX;
}
