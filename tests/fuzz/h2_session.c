/* Any bytes of an HTTP/2 client, in any pieces, against a server over the simulator whose requests are answered in
 * several ways. Every request ends exactly once, every block comes back.
 *
 * The input: pieces, each a byte of its length in tens, then the bytes; 0 lets a second pass instead. The preface and
 * SETTINGS are said before. */
#include "loop/sim_thread.h"
#include "os/sim/sim.h"
#include "proto/server.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"

struct exchange {
    struct server_stream *stream;
    struct arena arena;
    struct source_memory body;
    bool ended;
};

static struct loop *loop;
static struct sim_thread thread;
static struct server *server;
static unsigned begun, ended;
static char text[100000];

static void *exchange_begin(void *context, struct server_stream *stream, struct arena **ret_arena)
{
    struct exchange *exchange = calloc(1, sizeof(*exchange));

    (void)context;
    INVARIANT(exchange != NULL);
    exchange->stream = stream;
    arena_init(&exchange->arena, NULL, 0, 0);
    *ret_arena = &exchange->arena;
    begun++;
    return exchange;
}

/* The body of the request is read to its end and thrown away. */
static void drop_body(void *reader)
{
    struct exchange *exchange = reader;
    slice slices[4];
    unsigned count;

    while (source_peek(exchange->stream->body, slices, 4, &count) == SOURCE_READY) {
        size_t bytes = 0;
        for (unsigned i = 0; i < count; i++)
            bytes += slices[i].len;
        source_consume(exchange->stream->body, bytes);
    }
}

static void exchange_request(void *user, struct request *request)
{
    struct exchange *exchange = user;
    struct reply reply = {.status = 200, .length_bytes = sizeof(text)};

    INVARIANT(request->h2);
    INVARIANT(request->authority.len > 0);
    if (exchange->stream->body != NULL) {
        source_set_reader(exchange->stream->body, drop_body, exchange);
        drop_body(exchange);
    }
    switch (request->target.len % 4) {
    case 0: /* never answered */
        return;
    case 1:
        source_memory_init(&exchange->body, slice_of(text, sizeof(text)));
        stream_respond(exchange->stream, &reply, &exchange->body.source);
        return;
    case 2:
        reply = (struct reply){.status = 204, .no_body = true, .length_bytes = -1};
        stream_interim(exchange->stream, 103, NULL);
        stream_respond(exchange->stream, &reply, NULL);
        return;
    default:
        stream_abort(exchange->stream);
    }
}

static void exchange_refused(void *user, unsigned index, uint16_t status, const char *reason, const char *why)
{
    struct exchange *exchange = user;
    struct reply reply = {.status = status, .no_body = true, .length_bytes = 0};

    INVARIANT(index < stream_refusals_count);
    INVARIANT(strcmp(reason, stream_refusals[index]) == 0);
    INVARIANT(why != NULL);
    stream_respond(exchange->stream, &reply, NULL);
}

static void exchange_ended(void *user, enum stream_end end)
{
    struct exchange *exchange = user;

    INVARIANT(!exchange->ended);
    INVARIANT(end < STREAM_END_COUNT);
    exchange->ended = true;
    ended++;
    arena_done(&exchange->arena);
    free(exchange);
}

static void accepted(struct os_acceptor *acceptor, int fd, const struct os_peer *peer)
{
    (void)acceptor;
    server_accept(server, fd, peer);
}

static void pass_time(uint64_t ms)
{
    sim_run(&thread, 1, os_clock_ns() + ms * 1000000, NULL, NULL);
}

static void say(struct sim_peer *peer, slice input)
{
    sim_send(peer, PREFACE, sizeof(PREFACE) - 1);
    while (input.len > 0) {
        size_t len = MIN((size_t)(unsigned char)input.data[0] * 10, input.len - 1);
        bool is_pause = input.data[0] == 0;
        sim_send(peer, input.data + 1, len);
        input = slice_from(input, 1 + len);
        pass_time(is_pause ? 1000 : 1);
    }
    pass_time(100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct server_events events = {exchange_begin, exchange_request, exchange_refused, exchange_ended};
    struct loop_config loop_config = {.index = 0};
    struct os_address address;
    struct os_listener listener;
    struct os_acceptor acceptor = {.accepted = accepted, .listener = &listener};
    struct server_config config = {.events = &events, .limits = &server_limits_default, .websocket = true};
    struct sim_peer peer = {0};

    begun = ended = 0;
    sim_begin(1);
    INVARIANT(err_is_ok(os_address_parse(SLICE("10.0.0.2:80"), &address)));
    INVARIANT(err_is_ok(loop_new(&loop_config, &loop)));
    thread = sim_thread_of(loop);
    config.loop = loop;
    INVARIANT(err_is_ok(server_new(&config, &server)));
    INVARIANT(err_is_ok(os_listen(&address, 1, 16, &listener)));
    INVARIANT(err_is_ok(os_accept_start(loop_os(loop), &acceptor)));
    sim_connect(&peer, &address, NULL);
    say(&peer, slice_of((const char *)data, size));
    os_accept_stop(&acceptor);
    os_listener_close(&listener);
    server_stop(server);
    sim_close(&peer);
    sim_run(&thread, 1, SIM_FOREVER, NULL, NULL);
    INVARIANT(server_connections(server) == 0);
    INVARIANT(begun == ended);
    server_free(server);
    loop_free(loop);
    sim_end();
    return 0;
}
