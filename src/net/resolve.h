/* resolve: names to addresses (c-ares), one resolver per loop. IP literals and "localhost" need no resolver
 * and no network. Answers are kept for their TTL (1 s to 1 h) and the last good one beyond it, when asking
 * again fails. */
#ifndef WARP_NET_RESOLVE_H
#define WARP_NET_RESOLVE_H

#include "loop/loop.h"

#define RESOLVE_ADDRESSES_MAX 16u

struct resolver;
MUST_USE err resolver_new(struct loop *loop, struct resolver **ret_resolver);
/* What is still being resolved is forgotten: done is not called. */
struct resolver *resolver_free(struct resolver *resolver);
/* "192.0.2.1:53,[2001:db8::1]:53" in place of what /etc/resolv.conf says. */
MUST_USE err resolver_servers_set(struct resolver *resolver, const char *servers);

struct resolve {
    struct list link; /* the resolver's, as are the next three */
    slice name;
    struct resolve_name *of;
    uint16_t port;
    /* count 0: no address; why says it ("no such name", "timed out"). IPv6 and IPv4 as the system prefers.
     * Called from the loop, never from inside resolve_start. */
    void (*done)(struct resolve *resolve, const struct os_address *addresses, unsigned count, const char *why);
};
/* name stays valid until done. Deadline 5 s. */
void resolve_start(struct resolver *resolver, struct resolve *resolve, slice name, uint16_t port);
void resolve_cancel(struct resolver *resolver, struct resolve *resolve); /* done will not be called */

#endif
