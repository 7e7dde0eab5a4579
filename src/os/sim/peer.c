/* Connecting, and the scripted peers of a test driver. */
#include "os/sim/world.h"

#include <errno.h>
#include <stdlib.h>

/* ---- connecting -------------------------------------------------------------------------------------------
 */

static bool address_serves(const struct os_address *listening, const struct os_address *to)
{
    struct os_peer l = os_peer_of(listening), t = os_peer_of(to);

    if (listening->any.sa_family == AF_UNIX || to->any.sa_family == AF_UNIX)
        return listening->any.sa_family == to->any.sa_family &&
               strcmp(listening->un.sun_path, to->un.sun_path) == 0;
    if (l.port != t.port)
        return false;
    if (listening->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&listening->in6.sin6_addr))
        return true;
    if (listening->any.sa_family == AF_INET && listening->in4.sin_addr.s_addr == INADDR_ANY)
        return t.family == AF_INET;
    return l.family == t.family && memcmp(l.ip, t.ip, sizeof(l.ip)) == 0;
}

static struct sim_server *server_find(const struct os_address *to)
{
    LIST_FOREACH (&world->servers, link) {
        struct sim_server *server = container_of(link, struct sim_server, link);
        if (address_serves(&server->address, to))
            return server;
    }
    return NULL;
}

/* Any of the shards, as the kernel's hash would choose. */
static struct sim_listener *listener_find(const struct os_address *to)
{
    struct sim_listener *found = NULL;
    unsigned seen = 0;

    LIST_FOREACH (&world->listeners, link) {
        struct sim_listener *listener = container_of(link, struct sim_listener, link);
        if (address_serves(&listener->address, to) && world_random(++seen) == 0)
            found = listener;
    }
    return found;
}

static void connect_serve(struct sim_server *server, struct sim_end *far)
{
    struct sim_peer *peer = server->accepted(server);

    if (peer == NULL) {
        end_close(far, true);
        return;
    }
    peer->end = far;
    far->owner = OWNER_PEER;
    far->peer = peer;
    peer_turn(far);
}

static void connect_arrives(void *arg)
{
    struct sim_connecting *connecting = arg;
    struct os_peer at = os_peer_of(&connecting->to);
    struct sim_end *near = NULL, *far;
    struct sim_listener *listener = listener_find(&connecting->to);
    struct sim_server *server = listener == NULL ? server_find(&connecting->to) : NULL;

    list_remove(&connecting->link);
    world_trace(TRACE_CONNECT, listener != NULL, server != NULL);
    if (connecting->connected != NULL && (listener != NULL || server != NULL)) {
        ends_new(&connecting->from, &at, &near, &far);
        connecting->connected(connecting->arg, near, 0);
        if (listener != NULL)
            list_push_back(&listener->backlog, &far->link);
        else
            connect_serve(server, far);
    } else if (connecting->connected != NULL) {
        connecting->connected(connecting->arg, NULL, -ECONNREFUSED);
    }
    free(connecting);
}

void world_connect(const struct os_address *to, const struct os_peer *from,
                   void (*connected)(void *arg, struct sim_end *end, int32_t result), void *arg)
{
    struct sim_connecting *connecting = world_alloc(sizeof(*connecting));

    *connecting = (struct sim_connecting){.to = *to, .from = *from, .connected = connected, .arg = arg};
    list_push_back(&world->connects, &connecting->link);
    world_later(world_latency_ns(), connect_arrives, connecting);
}

void world_connect_cancel(void *arg)
{
    LIST_FOREACH (&world->connects, link) {
        struct sim_connecting *connecting = container_of(link, struct sim_connecting, link);
        if (connecting->arg == arg)
            connecting->connected = NULL;
    }
}

void sim_fail_accepts(int error, unsigned times)
{
    world->accept_error = error;
    world->accept_failures = times;
}

/* ---- peers
 * ---------------------------------------------------------------------------------------------------- */

static void peer_flush(struct sim_peer *peer)
{
    while (peer->out_bytes > 0 && !peer->end->closed) {
        struct iovec iov = {peer->out, peer->out_bytes};
        ssize_t n = end_send(peer->end, &iov, 1);
        if (n == -EAGAIN)
            return;
        if (n < 0)
            n = (ssize_t)peer->out_bytes; /* nobody will read it: reset() tells */
        peer->out_bytes -= (size_t)n;
        memmove(peer->out, peer->out + n, peer->out_bytes);
    }
    if (peer->finishing && !peer->end->closed)
        end_finish(peer->end);
}

void peer_turn(struct sim_end *end)
{
    struct sim_peer *peer = end->peer;
    char bytes[4096];

    peer_flush(peer);
    while (!end->closed && !peer->paused && !peer->fin_told && end_can_recv(end)) {
        ssize_t n = end_recv(end, bytes, sizeof(bytes));
        if (n > 0 && peer->received != NULL)
            peer->received(peer, bytes, (size_t)n);
        if (n > 0)
            continue;
        peer->fin_told = true; /* either end is told once */
        if (n == 0 && peer->received != NULL)
            peer->received(peer, NULL, 0);
        if (n < 0 && peer->reset != NULL)
            peer->reset(peer);
    }
    /* A reset behind a FIN is still told. */
    if (!end->closed && peer->fin_told && end->is_reset && end->in.fin_arrived && peer->reset != NULL) {
        end->in.fin_arrived = false;
        peer->reset(peer);
    }
}

static void peer_connected(void *arg, struct sim_end *end, int32_t result)
{
    struct sim_peer *peer = arg;

    if (end != NULL) {
        peer->end = end;
        end->owner = OWNER_PEER;
        end->peer = peer;
    }
    if (peer->connected != NULL)
        peer->connected(peer, result);
    if (end != NULL && !end->closed)
        peer_flush(peer);
}

void sim_connect(struct sim_peer *peer, const struct os_address *to, const struct os_peer *from)
{
    struct os_peer own = {
        .family = AF_INET, .ip = {[10] = 0xff, 0xff, 10, 0, 0, 1}, .port = world->next_port++};
    world_connect(to, from != NULL ? from : &own, peer_connected, peer);
}

void sim_listen(struct sim_server *server, const struct os_address *address)
{
    server->address = *address;
    list_push_back(&world->servers, &server->link);
}

void sim_unlisten(struct sim_server *server)
{
    list_remove(&server->link);
}

void sim_send(struct sim_peer *peer, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    if (peer->out_bytes + size > peer->out_room) {
        peer->out_room = MAX(2 * peer->out_room, peer->out_bytes + size);
        peer->out = realloc(peer->out, peer->out_room);
        INVARIANT(peer->out != NULL);
    }
    memcpy(peer->out + peer->out_bytes, bytes, size);
    peer->out_bytes += size;
    if (peer->end != NULL)
        peer_flush(peer);
}

void sim_finish(struct sim_peer *peer)
{
    peer->finishing = true;
    if (peer->end != NULL)
        peer_flush(peer);
}

static void peer_close(struct sim_peer *peer, bool reset)
{
    if (peer->end != NULL && !peer->end->closed)
        end_close(peer->end, reset);
    else if (peer->end == NULL)
        world_connect_cancel(peer);
    free(peer->out);
    peer->out = NULL;
    peer->out_bytes = peer->out_room = 0;
}

void sim_reset(struct sim_peer *peer)
{
    peer_close(peer, true);
}

void sim_close(struct sim_peer *peer)
{
    peer_close(peer, false);
}

static void pause_over(void *arg)
{
    struct sim_end *end = arg;
    if (!end->closed)
        peer_turn(end);
}

void sim_pause(struct sim_peer *peer, bool paused)
{
    peer->paused = paused;
    if (!paused && peer->end != NULL)
        world_later(world_latency_ns(), pause_over, peer->end);
}
