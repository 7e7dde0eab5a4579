#include "net/tls_tickets.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define KEY_WORDS (sizeof(struct ticket_key) / sizeof(uint64_t))
static_assert(sizeof(struct ticket_key) % sizeof(uint64_t) == 0, "a key is copied by words");

/* What a reader copies while somebody writes: version is odd then, and another one afterwards. */
struct net_tickets {
    _Atomic uint64_t version;
    _Atomic uint64_t words[TICKET_KEYS][KEY_WORDS]; /* the newest first */
    pthread_mutex_t writer;
};

static void key_store(struct net_tickets *tickets, unsigned at, const struct ticket_key *key)
{
    uint64_t words[KEY_WORDS];

    memcpy(words, key, sizeof(words));
    for (unsigned i = 0; i < KEY_WORDS; i++)
        atomic_store_explicit(&tickets->words[at][i], words[i], memory_order_release); /* behind the odd version */
    OPENSSL_cleanse(words, sizeof(words));
}

/* False: somebody writes; try again. */
static bool key_load(struct net_tickets *tickets, unsigned at, struct ticket_key *ret_key)
{
    uint64_t words[KEY_WORDS], version = atomic_load_explicit(&tickets->version, memory_order_acquire);

    if (version & 1)
        return false;
    for (unsigned i = 0; i < KEY_WORDS; i++)
        words[i] = atomic_load_explicit(&tickets->words[at][i], memory_order_acquire);
    if (atomic_load_explicit(&tickets->version, memory_order_relaxed) != version)
        return false;
    memcpy(ret_key, words, sizeof(*ret_key));
    return true;
}

static void key_copy(struct net_tickets *tickets, unsigned at, struct ticket_key *ret_key)
{
    while (!key_load(tickets, at, ret_key)) {
    }
}

/* False: no random bytes. */
static bool key_make(struct ticket_key *key)
{
    key->made_ns = os_clock_ns();
    return RAND_bytes(key->name, sizeof(key->name)) == 1 && RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1 &&
           RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1;
}

static bool key_is_old(const struct ticket_key *key, uint64_t periods)
{
    return os_clock_ns() - key->made_ns >= periods * TICKET_KEY_NS;
}

/* Under the mutex. Without random bytes the old key goes on. */
static void keys_move(struct net_tickets *tickets)
{
    struct ticket_key keys[TICKET_KEYS];

    if (!key_make(&keys[0]))
        return;
    for (unsigned i = 1; i < TICKET_KEYS; i++)
        key_copy(tickets, i - 1, &keys[i]);
    atomic_fetch_add_explicit(&tickets->version, 1, memory_order_relaxed);
    for (unsigned i = 0; i < TICKET_KEYS; i++)
        key_store(tickets, i, &keys[i]);
    atomic_fetch_add_explicit(&tickets->version, 1, memory_order_release);
    OPENSSL_cleanse(keys, sizeof(keys));
}

void tickets_newest(struct net_tickets *tickets, struct ticket_key *ret_key)
{
    key_copy(tickets, 0, ret_key);
    if (LIKELY(!key_is_old(ret_key, 1)))
        return;
    pthread_mutex_lock(&tickets->writer);
    key_copy(tickets, 0, ret_key);
    if (key_is_old(ret_key, 1))
        keys_move(tickets);
    pthread_mutex_unlock(&tickets->writer);
    key_copy(tickets, 0, ret_key);
}

bool tickets_find(struct net_tickets *tickets, const uint8_t name[16], struct ticket_key *ret_key, bool *ret_is_newest)
{
    for (unsigned i = 0; i < TICKET_KEYS; i++) {
        key_copy(tickets, i, ret_key);
        if (ret_key->made_ns == 0 || memcmp(ret_key->name, name, sizeof(ret_key->name)) != 0)
            continue;
        *ret_is_newest = i == 0 && !key_is_old(ret_key, 1);
        return !key_is_old(ret_key, TICKET_KEYS);
    }
    return false;
}

err net_tickets_new(struct net_tickets **ret_tickets)
{
    struct net_tickets *tickets = calloc(1, sizeof(*tickets));
    struct ticket_key key;

    ENSURE(tickets != NULL, MEMORY);
    if (!key_make(&key)) {
        free(tickets);
        return ERR(UNSUPPORTED);
    }
    pthread_mutex_init(&tickets->writer, NULL);
    key_store(tickets, 0, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    *ret_tickets = tickets;
    return ERR_OK;
}

struct net_tickets *net_tickets_free(struct net_tickets *tickets)
{
    if (tickets == NULL)
        return NULL;
    pthread_mutex_destroy(&tickets->writer);
    OPENSSL_cleanse(tickets, sizeof(*tickets));
    free(tickets);
    return NULL;
}
