/* The keys of session tickets (RFC 5077, RFC 8446 4.6.1); for net/ only.
 *
 * One key is made tickets with, for TICKET_KEY_NS; those before it are still accepted until TICKET_KEYS of that time have
 * passed since they were made. Readers copy a key without a lock; whoever finds the first one too old makes the next. */
#ifndef WARP_NET_TLS_TICKETS_H
#define WARP_NET_TLS_TICKETS_H

#include "net/net.h"

#define TICKET_KEYS   3u
#define TICKET_KEY_NS (UINT64_C(12) * 3600 * 1000000000)

struct ticket_key {
    uint64_t made_ns; /* 0: none */
    uint8_t name[16];
    uint8_t cipher[32]; /* AES-256-CBC */
    uint8_t mac[32];    /* HMAC-SHA256 */
};

/* The one to make tickets with. */
void tickets_newest(struct net_tickets *tickets, struct ticket_key *ret_key);
/* The one with that name, if it is still accepted. ret_is_newest: false: the client should get another ticket. */
MUST_USE bool tickets_find(struct net_tickets *tickets, const uint8_t name[16], struct ticket_key *ret_key, bool *ret_is_newest);

#endif
