/* ask: one question at a time to the name servers (c-ares only here), for net/resolve.c. Every byte goes
 * through os.h; c-ares is started at the first question, so that who never asks needs no resolv.conf. */
#ifndef WARP_NET_ASK_H
#define WARP_NET_ASK_H

#include "net/resolve.h"

struct ask_answer {
    struct os_peer addresses[RESOLVE_ADDRESSES_MAX];
    unsigned count;
    uint32_t ttl_s;  /* the least of all addresses */
    bool is_final;   /* count 0: the servers said that there is none */
    const char *why; /* count 0: static */
};

struct ask;
struct ask *ask_new(struct loop *loop); /* NULL: no memory */
/* Questions under way are forgotten. */
struct ask *ask_free(struct ask *ask);
MUST_USE err ask_servers_set(struct ask *ask, const char *servers);
/* answered is called exactly once, perhaps before this returns. name stays until then. */
void ask_start(struct ask *ask, const char *name,
               void (*answered)(void *arg, const struct ask_answer *answer), void *arg);

#endif
