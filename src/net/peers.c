#include "net/peers.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define SHARDS  64u
#define BUCKETS 256u

/* An address with at least one connection. */
struct peer_count {
    struct peer_count *next;
    uint8_t network[16];
    unsigned count;
};

struct peers {
    unsigned max;
    uint64_t seed; /* addresses are the clients' to choose */
    struct peers_shard {
        pthread_mutex_t lock;
        struct peer_count *buckets[BUCKETS];
    } shards[SHARDS];
};

err peers_new(unsigned max, struct peers **ret_peers)
{
    struct peers *peers = calloc(1, sizeof(*peers));

    ENSURE(peers != NULL, MEMORY);
    peers->max = max;
    os_entropy(&peers->seed, sizeof(peers->seed));
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_init(&peers->shards[i].lock, NULL);
    *ret_peers = peers;
    return ERR_OK;
}

struct peers *peers_free(struct peers *peers)
{
    if (peers == NULL)
        return NULL;
    for (unsigned i = 0; i < SHARDS; i++) {
        for (unsigned j = 0; j < BUCKETS; j++)
            INVARIANT(peers->shards[i].buckets[j] == NULL);
        pthread_mutex_destroy(&peers->shards[i].lock);
    }
    free(peers);
    return NULL;
}

static bool is_counted(const struct peers *peers, const struct os_peer *peer)
{
    return peers->max != 0 && peer->family != AF_UNIX && !os_peer_is_loopback(peer);
}

/* An IPv4 address whole, of IPv6 the /64 that one customer has. */
static void network_of(const struct os_peer *peer, uint8_t *ret_network)
{
    memcpy(ret_network, peer->ip, 16);
    if (peer->family == AF_INET6)
        memset(ret_network + 8, 0, 8);
}

static struct peer_count **peers_slot(struct peers *peers, const uint8_t *network, struct peers_shard **ret_shard)
{
    uint64_t hash = hash64(slice_of(network, 16), peers->seed);
    struct peers_shard *shard = &peers->shards[hash % SHARDS];
    struct peer_count **slot = &shard->buckets[(hash / SHARDS) % BUCKETS];

    *ret_shard = shard;
    pthread_mutex_lock(&shard->lock);
    while (*slot != NULL && memcmp((*slot)->network, network, 16) != 0)
        slot = &(*slot)->next;
    return slot;
}

bool peers_enter(struct peers *peers, const struct os_peer *peer, bool is_unlimited)
{
    struct peers_shard *shard;
    struct peer_count **slot;
    uint8_t network[16];
    bool entered = false;

    if (!is_counted(peers, peer))
        return true;
    network_of(peer, network);
    slot = peers_slot(peers, network, &shard);
    if (*slot == NULL && (*slot = calloc(1, sizeof(**slot))) != NULL)
        memcpy((*slot)->network, network, 16);
    if (*slot != NULL && (is_unlimited || (*slot)->count < peers->max)) {
        (*slot)->count++;
        entered = true;
    }
    pthread_mutex_unlock(&shard->lock);
    return entered;
}

void peers_leave(struct peers *peers, const struct os_peer *peer)
{
    struct peers_shard *shard;
    struct peer_count **slot, *gone = NULL;
    uint8_t network[16];

    if (!is_counted(peers, peer))
        return;
    network_of(peer, network);
    slot = peers_slot(peers, network, &shard);
    INVARIANT(*slot != NULL);
    INVARIANT((*slot)->count > 0);
    if (--(*slot)->count == 0) {
        gone = *slot;
        *slot = gone->next;
    }
    pthread_mutex_unlock(&shard->lock);
    free(gone);
}
