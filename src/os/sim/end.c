/* Connections: two ends, a bounded pipe each way. */
#include "os/sim/world.h"

#include <errno.h>
#include <stdlib.h>

static void end_number(struct sim_end *end)
{
    uint32_t at;

    end->fd = world->next_fd++;
    at = (uint32_t)(end->fd - SIM_FD_FIRST);
    if (at >= world->by_fd_room) {
        uint32_t before = world->by_fd_room;
        world->by_fd_room = MAX(256u, 2 * at);
        world->by_fd = realloc(world->by_fd, world->by_fd_room * sizeof(world->by_fd[0]));
        INVARIANT(world->by_fd != NULL);
        memset(world->by_fd + before, 0, (world->by_fd_room - before) * sizeof(world->by_fd[0]));
    }
    world->by_fd[at] = end;
}

static struct sim_end *end_new(const struct os_peer *address)
{
    struct sim_end *end = world_alloc(sizeof(*end));

    list_init(&end->link);
    end_number(end);
    end->address = *address;
    end->in.room = 512u << world_random(8); /* 512 B to 64 KiB: sends are short early and late */
    end->in.bytes = world_alloc(end->in.room);
    end->next_made = world->ends;
    world->ends = end;
    return end;
}

void ends_new(const struct os_peer *address_of_a, const struct os_peer *address_of_b, struct sim_end **ret_a,
              struct sim_end **ret_b)
{
    struct sim_end *a = end_new(address_of_b), *b = end_new(address_of_a);

    a->other = b;
    b->other = a;
    *ret_a = a;
    *ret_b = b;
}

struct sim_end *end_of_fd(int fd)
{
    uint32_t at = (uint32_t)(fd - SIM_FD_FIRST);
    return fd >= SIM_FD_FIRST && at < world->by_fd_room ? world->by_fd[at] : NULL;
}

/* ---- what happens on the way
 * -------------------------------------------------------------------------------- */

static void end_notify(struct sim_end *end)
{
    if (end->owner == OWNER_PEER && !end->closed)
        peer_turn(end);
}

static void reset_arrives(void *arg)
{
    struct sim_end *end = arg;

    if (end->closed || end->is_reset)
        return;
    world_trace(TRACE_RESET, (uint64_t)end->fd, end->in.arrived);
    end->is_reset = true;
    /* What was in flight is lost; what had arrived may be read or not, as on different systems. */
    end->in.used = end->in.arrived = world_chance(50) ? 0 : end->in.arrived;
    end_notify(end);
}

static void reset_send(struct sim_end *to)
{
    if (to->reset_on_way)
        return;
    to->reset_on_way = true;
    world_later(world_latency_ns(), reset_arrives, to);
}

static void pipe_schedule(struct sim_end *to);

static void pipe_deliver(void *arg)
{
    struct sim_end *to = arg;
    struct sim_pipe *in = &to->in;
    uint32_t flying = in->used - in->arrived;

    in->scheduled = false;
    if (to->is_reset)
        return;
    if (to->closed) {
        if (flying > 0)
            reset_send(to->other); /* data for a closed socket is answered by RST */
        in->used = in->arrived;
        return;
    }
    if (flying > 0) {
        uint32_t n = world_chance(60) ? flying : 1 + (uint32_t)world_random(flying);
        in->arrived += n;
        world_trace(TRACE_DELIVER, (uint64_t)to->fd, n);
    }
    if (in->fin && in->used == in->arrived)
        in->fin_arrived = true;
    pipe_schedule(to);
    end_notify(to);
}

static void pipe_schedule(struct sim_end *to)
{
    struct sim_pipe *in = &to->in;
    bool more = in->used > in->arrived || (in->fin && !in->fin_arrived);

    if (!more || in->scheduled)
        return;
    in->scheduled = true;
    world_later(world_latency_ns(), pipe_deliver, to);
}

/* ---- as the kernel's calls
 * ---------------------------------------------------------------------------------- */

uint32_t end_room(const struct sim_end *from)
{
    const struct sim_pipe *out = &from->other->in;
    return out->room - out->used;
}

bool end_can_send(const struct sim_end *from)
{
    return from->is_reset || from->fin_sent || from->other->closed || end_room(from) > 0;
}

bool end_can_recv(const struct sim_end *end)
{
    return end->in.arrived > 0 || end->in.fin_arrived || end->is_reset;
}

static void pipe_put(struct sim_pipe *pipe, const char *bytes, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        pipe->bytes[(pipe->start + pipe->used + i) % pipe->room] = bytes[i];
    pipe->used += n;
}

ssize_t end_send(struct sim_end *from, const struct iovec *iov, unsigned iov_count)
{
    struct sim_end *to = from->other;
    size_t total = 0;
    uint32_t left, sent;

    if (from->is_reset || from->fin_sent)
        return from->fin_sent ? -EPIPE : -ECONNRESET;
    for (unsigned i = 0; i < iov_count; i++)
        total += iov[i].iov_len;
    if (to->closed) {
        reset_send(from);
        return (ssize_t)total;
    }
    left = (uint32_t)MIN(total, (size_t)end_room(from));
    if (left == 0)
        return total == 0 ? 0 : -EAGAIN;
    if (world_chance(20))
        left = 1 + (uint32_t)world_random(left);
    sent = left;
    for (unsigned i = 0; left > 0; i++) {
        uint32_t n = (uint32_t)MIN((size_t)left, iov[i].iov_len);
        pipe_put(&to->in, iov[i].iov_base, n);
        left -= n;
    }
    world_trace(TRACE_SEND, (uint64_t)from->fd, sent);
    pipe_schedule(to);
    return sent;
}

static void room_told(void *arg)
{
    end_notify(arg);
}

ssize_t end_recv(struct sim_end *end, void *into, size_t size)
{
    struct sim_pipe *in = &end->in;
    uint32_t n = (uint32_t)MIN(size, (size_t)in->arrived);

    if (n == 0) {
        if (end->is_reset)
            return -ECONNRESET;
        return in->fin_arrived ? 0 : -EAGAIN;
    }
    if (world_chance(10))
        n = 1 + (uint32_t)world_random(n);
    for (uint32_t i = 0; i < n; i++)
        ((char *)into)[i] = in->bytes[(in->start + i) % in->room];
    in->start = (in->start + n) % in->room;
    in->used -= n;
    in->arrived -= n;
    world_trace(TRACE_RECV, (uint64_t)end->fd, n);
    if (end->other->owner == OWNER_PEER)
        world_later(world_latency_ns(), room_told, end->other);
    return n;
}

void end_finish(struct sim_end *end)
{
    if (end->fin_sent)
        return;
    end->fin_sent = true;
    end->other->in.fin = true;
    pipe_schedule(end->other);
}

void end_close(struct sim_end *end, bool reset)
{
    struct sim_pipe *out = &end->other->in;

    INVARIANT(!end->closed);
    world_trace(TRACE_CLOSE, (uint64_t)end->fd, reset);
    end->closed = true;
    if (!end->is_reset && (reset || end->in.arrived > 0)) {
        out->used = out->arrived; /* what was in flight goes no further */
        reset_send(end->other);   /* also after a plain close with unread bytes, as Linux does */
    } else {
        end_finish(end);
    }
    end->in.used = end->in.arrived = 0;
    free(end->in.bytes);
    end->in.bytes = NULL;
}
