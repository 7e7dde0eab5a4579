#include "net/ask.h"

#include <ares.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/time.h>

#define TRY_MS      1500 /* two tries of all servers end before the resolver's 5 s in the common case */
#define TRIES       2
#define WATCHES_MAX 32u

struct ask_watch {
    struct os_watch watch; /* fd -1: free */
    struct ask *ask;
};

struct ask {
    struct loop *loop;
    ares_channel channel; /* NULL before the first question */
    struct timer timer;
    bool closing;
    char *servers; /* NULL: those of the system */
    struct ask_watch watches[WATCHES_MAX];
};

struct question {
    struct ask *ask;
    void (*answered)(void *arg, const struct ask_answer *answer);
    void *arg;
};

/* ---- c-ares' sockets, by way of os.h
 * --------------------------------------------------------------------------- */

static int errno_return(ssize_t result)
{
    if (result >= 0)
        return (int)result;
    errno = (int)-result;
    return -1;
}

static ares_socket_t dns_socket(int family, int type, int protocol, void *arg)
{
    (void)protocol;
    (void)arg;
    return errno_return(os_resolver_socket(family, type));
}

static int dns_close(ares_socket_t fd, void *arg)
{
    (void)arg;
    os_resolver_close(fd);
    return 0;
}

static int dns_connect(ares_socket_t fd, const struct sockaddr *address, ares_socklen_t len, void *arg)
{
    (void)arg;
    return errno_return(os_resolver_connect(fd, address, len));
}

static ares_ssize_t dns_recv(ares_socket_t fd, void *into, size_t size, int flags, struct sockaddr *from,
                             ares_socklen_t *from_len, void *arg)
{
    (void)flags;
    (void)arg;
    return errno_return(os_resolver_recv(fd, into, size, from, from_len));
}

static ares_ssize_t dns_send(ares_socket_t fd, const struct iovec *iov, int count, void *arg)
{
    (void)arg;
    return errno_return(os_resolver_send(fd, iov, count));
}

/* ---- events
 * ------------------------------------------------------------------------------------------------------ */

static void ask_timer_set(struct ask *ask)
{
    struct timeval room;

    if (ares_timeout(ask->channel, NULL, &room) == NULL) {
        loop_timer_stop(ask->loop, &ask->timer);
        return;
    }
    loop_timer_set(ask->loop, &ask->timer,
                   loop_now_ns(ask->loop) + (uint64_t)room.tv_sec * 1000000000u +
                       (uint64_t)room.tv_usec * 1000u);
}

static void ask_process(struct ask *ask, ares_socket_t readable, ares_socket_t writable)
{
    ares_process_fd(ask->channel, readable, writable);
    ask_timer_set(ask);
}

static void ask_timer_fire(struct timer *timer)
{
    ask_process(container_of(timer, struct ask, timer), ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void ask_ready(struct os_watch *watch, uint32_t which)
{
    struct ask *ask = container_of(watch, struct ask_watch, watch)->ask;
    int fd = watch->fd;

    ask_process(ask, (which & 1) ? fd : ARES_SOCKET_BAD, (which & 2) ? fd : ARES_SOCKET_BAD);
}

static struct os_watch *ask_watch_find(struct ask *ask, int fd)
{
    for (unsigned i = 0; i < WATCHES_MAX; i++)
        if (ask->watches[i].watch.fd == fd)
            return &ask->watches[i].watch;
    return NULL;
}

static void ask_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
    struct ask *ask = arg;
    struct os_watch *watch = ask_watch_find(ask, fd);
    err started = ERR_OK;

    if (!readable && !writable) {
        if (watch != NULL) {
            os_watch_stop(watch);
            watch->fd = -1;
        }
        return;
    }
    if (watch == NULL)
        watch = ask_watch_find(ask, -1);
    if (watch == NULL)
        return; /* the question will time out */
    watch->fd = fd;
    watch->want = (readable ? 1u : 0u) | (writable ? 2u : 0u);
    watch->ready = ask_ready;
    started = os_watch_start(loop_os(ask->loop), watch);
    if (!err_is_ok(started))
        watch->fd = -1;
}

/* ---- life
 * ----------------------------------------------------------------------------------------------------------
 */

static void library_init(void)
{
    ares_library_init(ARES_LIB_INIT_ALL);
}

struct ask *ask_new(struct loop *loop)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ask *ask = calloc(1, sizeof(*ask));

    if (ask == NULL)
        return NULL;
    pthread_once(&once, library_init); /* not safe from several threads */
    ask->loop = loop;
    timer_init(&ask->timer, ask_timer_fire);
    for (unsigned i = 0; i < WATCHES_MAX; i++) {
        ask->watches[i].ask = ask;
        ask->watches[i].watch.fd = -1;
    }
    return ask;
}

struct ask *ask_free(struct ask *ask)
{
    if (ask == NULL)
        return NULL;
    ask->closing = true;
    if (ask->channel != NULL)
        ares_destroy(ask->channel);
    loop_timer_stop(ask->loop, &ask->timer);
    free(ask->servers);
    free(ask);
    return NULL;
}

static int ask_open(struct ask *ask)
{
    static const struct ares_socket_functions functions = {dns_socket, dns_close, dns_connect, dns_recv,
                                                           dns_send};
    struct ares_options options = {
        .timeout = TRY_MS, .tries = TRIES, .sock_state_cb = ask_socket_state, .sock_state_cb_data = ask};
    ares_channel channel;
    int status;

    if (ask->channel != NULL)
        return ARES_SUCCESS;
    status =
        ares_init_options(&channel, &options, ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS)
        return status;
    ares_set_socket_functions(channel, &functions, ask);
    if (ask->servers != NULL)
        status = ares_set_servers_ports_csv(channel, ask->servers);
    if (status != ARES_SUCCESS) {
        ares_destroy(channel);
        return status;
    }
    ask->channel = channel;
    return ARES_SUCCESS;
}

err ask_servers_set(struct ask *ask, const char *servers)
{
    char *copy = strdup(servers);

    ENSURE(copy != NULL, MEMORY);
    free(ask->servers);
    ask->servers = copy;
    if (ask->channel != NULL)
        ENSURE(ares_set_servers_ports_csv(ask->channel, servers) == ARES_SUCCESS, INVALID);
    return ERR_OK;
}

/* ---- questions
 * -------------------------------------------------------------------------------------------------------- */

static const char *why_of(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
        return "no such name";
    case ARES_ENODATA:
        return "the name has no address";
    case ARES_ETIMEOUT:
        return "timed out";
    default:
        return ares_strerror(status); /* static text */
    }
}

static void answer_read(const struct ares_addrinfo *info, struct ask_answer *answer)
{
    answer->ttl_s = UINT32_MAX;
    for (const struct ares_addrinfo_node *node = info->nodes; node != NULL; node = node->ai_next) {
        struct os_address address = {.len = 0};
        if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
            continue;
        if (answer->count == RESOLVE_ADDRESSES_MAX)
            break;
        address.len = MIN((socklen_t)node->ai_addrlen, (socklen_t)sizeof(address.in6));
        memcpy(&address.in6, node->ai_addr, address.len);
        answer->addresses[answer->count++] = os_peer_of(&address);
        answer->ttl_s = MIN(answer->ttl_s, (uint32_t)MAX(node->ai_ttl, 0));
    }
}

static void question_done(void *arg, int status, int timeouts, struct ares_addrinfo *info)
{
    struct question *question = arg;
    struct ask_answer answer = {.count = 0};

    (void)timeouts;
    if (status == ARES_SUCCESS && info != NULL)
        answer_read(info, &answer);
    if (status == ARES_SUCCESS && answer.count == 0)
        status = ARES_ENODATA;
    answer.is_final = status == ARES_ENOTFOUND || status == ARES_ENODATA;
    answer.why = why_of(status);
    if (info != NULL)
        ares_freeaddrinfo(info);
    if (!question->ask->closing)
        question->answered(question->arg, &answer);
    free(question);
}

void ask_start(struct ask *ask, const char *name,
               void (*answered)(void *arg, const struct ask_answer *answer), void *arg)
{
    static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct question *question = malloc(sizeof(*question));
    int status = question != NULL ? ask_open(ask) : ARES_ENOMEM;

    if (status != ARES_SUCCESS) {
        struct ask_answer answer = {.why = why_of(status)};
        free(question);
        answered(arg, &answer);
        return;
    }
    *question = (struct question){ask, answered, arg};
    ares_getaddrinfo(ask->channel, name, NULL, &hints, question_done, question);
    ask_timer_set(ask);
}
