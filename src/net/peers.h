/* peers: how many connections each client address has, over all threads: one address (IPv6: one /64) cannot take
 * them all. Loopback and unix sockets are not counted.
 *
 * Any thread. Bounded: an address without connections has no entry. */
#ifndef WARP_NET_PEERS_H
#define WARP_NET_PEERS_H

#include "os/os.h"

struct peers;

/* max: connections per address; 0: no limit. */
MUST_USE err peers_new(unsigned max, struct peers **ret_peers);
struct peers *peers_free(struct peers *peers);
/* False: the address has its share, or memory ended; nothing was counted then. */
MUST_USE bool peers_enter(struct peers *peers, const struct os_peer *peer, bool is_unlimited);
/* For each true of peers_enter. */
void peers_leave(struct peers *peers, const struct os_peer *peer);

#endif
