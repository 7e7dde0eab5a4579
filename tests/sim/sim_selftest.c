/* The simulator against itself: the same seed is the same run, and an echo survives a hundred of them. */
#include "loop/sim_thread.h"
#include "net/net.h"
#include "tests/sim/selftest.h"

#include <errno.h>
#include <string.h>

#define LOOPS       2u
#define CLIENTS     6u
#define MESSAGE_MAX 20000u

uint64_t seed_now;

/* ---- the code under test: an echo over net ----------------------------------------------------------------
 */

struct echo {
    struct net_tcp tcp;
    struct timer idle;
    char bytes[1000];
    struct iovec iov;
    bool closing;
};

struct node {
    struct loop *loop;
    struct os_acceptor acceptor;
    struct os_listener *listener;
    unsigned open, resets;
};

static struct node nodes[LOOPS];

static struct node *node_of(struct net_stream *stream)
{
    return &nodes[loop_index(stream->loop)];
}

static void echo_close(struct echo *echo)
{
    if (echo->closing)
        return;
    echo->closing = true;
    loop_timer_stop(echo->tcp.stream.loop, &echo->idle);
    net_close(&echo->tcp.stream, false);
}

static void echo_received(struct net_stream *stream, int32_t result, const char *data)
{
    struct echo *echo = container_of(stream, struct echo, tcp.stream);

    (void)data;
    if (result <= 0) {
        node_of(stream)->resets += result < 0;
        echo_close(echo);
        return;
    }
    loop_timer_set(stream->loop, &echo->idle, loop_now_ns(stream->loop) + UINT64_C(60000000000));
    echo->iov = (struct iovec){echo->bytes, (size_t)result};
    net_send(stream, &echo->iov, 1, false);
}

static void echo_sent(struct net_stream *stream, int32_t result)
{
    struct echo *echo = container_of(stream, struct echo, tcp.stream);

    if (result < 0) {
        node_of(stream)->resets++;
        echo_close(echo);
        return;
    }
    echo->iov.iov_base = (char *)echo->iov.iov_base + result;
    echo->iov.iov_len -= (size_t)result;
    if (echo->iov.iov_len > 0)
        net_send(stream, &echo->iov, 1, false);
    else
        net_recv(stream, echo->bytes, sizeof(echo->bytes));
}

static void echo_closed(struct net_stream *stream)
{
    node_of(stream)->open--;
    free(container_of(stream, struct echo, tcp.stream));
}

static void echo_idle(struct timer *timer)
{
    echo_close(container_of(timer, struct echo, idle));
}

static const struct net_handler echo_handler = {echo_received, echo_sent, NULL, echo_closed};

static void echo_accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    struct node *node = container_of(acceptor, struct node, acceptor);
    struct echo *echo = calloc(1, sizeof(*echo));

    timer_init(&echo->idle, echo_idle);
    CHECK(err_is_ok(net_tcp_adopt(&echo->tcp, node->loop, fd, peer, &echo_handler)));
    loop_timer_set(node->loop, &echo->idle, loop_now_ns(node->loop) + UINT64_C(60000000000));
    node->open++;
    net_recv(&echo->tcp.stream, echo->bytes, sizeof(echo->bytes));
}

/* ---- the peers
 * ---------------------------------------------------------------------------------------------- */

struct client {
    struct sim_peer peer;
    struct sim_timer unpause;
    char *message;
    size_t size, echoed;
    bool resets; /* half way */
    bool done;
};

static struct client clients[CLIENTS];

static void client_connected(struct sim_peer *peer, int32_t result)
{
    struct client *client = container_of(peer, struct client, peer);

    CHECK(result == 0);
    sim_send(peer, client->message, client->size);
    if (!client->resets)
        sim_finish(peer);
}

static void client_unpause(struct sim_timer *timer)
{
    sim_pause(&container_of(timer, struct client, unpause)->peer, false);
}

static void client_received(struct sim_peer *peer, const char *data, size_t size)
{
    struct client *client = container_of(peer, struct client, peer);

    if (size == 0) {
        CHECK(client->echoed == client->size);
        sim_close(peer);
        client->done = true;
        return;
    }
    CHECK(client->echoed + size <= client->size);
    CHECK(memcmp(client->message + client->echoed, data, size) == 0);
    client->echoed += size;
    if (client->resets && client->echoed > client->size / 2) {
        sim_reset(peer);
        client->done = true;
    } else if (sim_random(10) == 0) {
        sim_pause(peer, true);
        sim_timer_set(&client->unpause, os_clock_ns() + sim_random(1000000000));
    }
}

static void client_reset(struct sim_peer *peer)
{
    (void)peer;
    CHECK(!"the echo does not reset");
}

static void client_start(struct client *client, const struct os_address *to, bool resets)
{
    *client = (struct client){
        .peer = {.connected = client_connected, .received = client_received, .reset = client_reset},
        .unpause = {.fire = client_unpause},
        .size = 1 + sim_random(MESSAGE_MAX),
        .resets = resets};
    client->message = malloc(client->size);
    os_entropy(client->message, client->size);
    sim_connect(&client->peer, to, NULL);
}

static bool all_done(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < CLIENTS; i++)
        if (!clients[i].done)
            return false;
    for (unsigned i = 0; i < LOOPS; i++)
        if (nodes[i].open > 0)
            return false;
    return true;
}

static uint64_t echo_run(uint64_t seed)
{
    struct os_listener listeners[LOOPS];
    struct sim_thread threads[LOOPS];
    struct os_address address;
    uint64_t hash;

    seed_now = seed;
    sim_begin(seed);
    CHECK(err_is_ok(os_address_parse(SLICE(":80"), &address)));
    CHECK(err_is_ok(os_listen(&address, LOOPS, 128, listeners)));
    CHECK(os_listen(&address, LOOPS, 128, listeners).sys == EADDRINUSE);
    CHECK(err_is_ok(os_address_parse(SLICE("10.9.8.7:80"), &address)));
    for (unsigned i = 0; i < LOOPS; i++) {
        struct loop_config config = {.index = i};
        nodes[i] = (struct node){.acceptor = {.accepted = echo_accepted, .listener = &listeners[i]}};
        CHECK(err_is_ok(loop_new(&config, &nodes[i].loop)));
        CHECK(err_is_ok(os_accept_start(loop_os(nodes[i].loop), &nodes[i].acceptor)));
        threads[i] = sim_thread_of(nodes[i].loop);
    }
    sim_fail_accepts(EMFILE, (unsigned)sim_random(3));
    for (unsigned i = 0; i < CLIENTS; i++)
        client_start(&clients[i], &address, i % 3 == 2);

    CHECK(sim_run(threads, LOOPS, SIM_FOREVER, all_done, NULL));
    hash = sim_hash();
    for (unsigned i = 0; i < LOOPS; i++) {
        os_accept_stop(&nodes[i].acceptor);
        os_listener_close(&listeners[i]);
        loop_free(nodes[i].loop);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        free(clients[i].message);
    sim_end();
    return hash;
}

/* ---- the code under test as a client
 * ---------------------------------------------------------------------------- */

static int32_t connect_result = 1, receive_result = 1;
static unsigned closes;

static void out_connected(struct net_stream *stream, int32_t result, const char *detail)
{
    (void)detail;
    connect_result = result;
    if (result == 0)
        net_recv(stream, NULL, 0);
}

static void out_received(struct net_stream *stream, int32_t result, const char *data)
{
    (void)data;
    receive_result = result;
    if (result > 0)
        net_recv(stream, NULL, 0);
}

static void out_closed(struct net_stream *stream)
{
    (void)stream;
    closes++;
}

static bool answer_resets;

static struct sim_peer *server_accepted(struct sim_server *server)
{
    static struct sim_peer peer;

    (void)server;
    if (answer_resets)
        return NULL;
    peer = (struct sim_peer){.paused = false};
    sim_send(&peer, "hello", 5);
    sim_finish(&peer);
    return &peer;
}

static bool out_done(void *arg)
{
    (void)arg;
    return connect_result < 0 || receive_result <= 0;
}

static void client_run(uint64_t seed, bool listens, bool resets, int32_t want_connect, int32_t want_receive)
{
    static const struct net_handler handler = {out_received, NULL, out_connected, out_closed};
    struct sim_server server = {.accepted = server_accepted};
    struct loop_config config = {.index = 0};
    struct net_tcp tcp;
    struct loop *loop;
    struct os_address address;
    struct sim_thread thread;

    seed_now = seed;
    connect_result = receive_result = 1;
    closes = 0;
    answer_resets = resets;
    sim_begin(seed);
    CHECK(err_is_ok(os_address_parse(SLICE("10.0.0.9:80"), &address)));
    if (listens)
        sim_listen(&server, &address);
    CHECK(err_is_ok(loop_new(&config, &loop)));
    thread = sim_thread_of(loop);
    CHECK(err_is_ok(net_tcp_connect(&tcp, loop, &address, &handler)));
    CHECK(sim_run(&thread, 1, SIM_FOREVER, out_done, NULL));
    CHECK(connect_result == want_connect);
    CHECK(connect_result < 0 || receive_result == want_receive);
    net_close(&tcp.stream, false);
    sim_run(&thread, 1, SIM_FOREVER, NULL, NULL);
    CHECK(closes == 1);
    loop_free(loop);
    sim_end();
}

int main(void)
{
    uint64_t before = 0;

    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t hash = echo_run(seed);
        CHECK(hash == echo_run(seed));
        CHECK(hash != before);
        before = hash;
        CHECK(disk_run(seed) == disk_run(seed));
        client_run(seed, false, false, -ECONNREFUSED, 0);
        client_run(seed, true, false, 0, 0);
        client_run(seed, true, true, 0, -ECONNRESET);
    }
    disk_check_seen();
    printf("100 seeds, last hash %016llx\n", (unsigned long long)before);
    return 0;
}
