/* What every connection to an origin goes through before it is HTTP/1 or HTTP/2. */
#include "proto/client_own.h"

#include <errno.h>
#include <stdlib.h>

#define MS UINT64_C(1000000)

void client_gone(struct client *client)
{
    loop_timer_stop(client->config.loop, &client->timer);
    client->config.events->gone(client->config.owner);
    free(client);
}

static bool type_begins(slice type, slice with)
{
    return type.len >= with.len && slice_eq_nocase(slice_of(type.data, with.len), with);
}

bool client_is_endless(const struct response *response)
{
    slice type = fields_get(&response->fields, F_CONTENT_TYPE);

    return response->status == 101 || type_begins(type, SLICE("text/event-stream")) || type_begins(type, SLICE("application/grpc"));
}

/* ---- connecting ------------------------------------------------------------------------------------------------ */

static void connecting_close(struct client *client)
{
    if (client->is_closing)
        return;
    client->is_closing = true;
    loop_timer_stop(client->config.loop, &client->timer);
    net_close(client->net, true);
}

/* Before a protocol has taken the stream over, or when it could not. */
static void connecting_failed(struct client *client, int32_t result, const char *detail)
{
    client->config.events->connected(client->config.owner, result, detail);
    connecting_close(client);
}

static void connecting_closed(struct net_stream *net)
{
    client_gone(net->owner);
}

static void connecting_timer(struct timer *timer)
{
    connecting_failed(container_of(timer, struct client, timer), -ETIMEDOUT, "no connection in time");
}

static bool client_speaks_h2(const struct client *client)
{
    return client->config.speaks == CLIENT_H2 || client->net->alpn == NET_ALPN_H2;
}

static void connecting_connected(struct net_stream *net, int32_t result, const char *detail)
{
    struct client *client = net->owner;
    err made;

    if (client->is_closing)
        return;
    if (result == 0 && client->config.speaks == CLIENT_H1 && net->alpn == NET_ALPN_H2) {
        result = -EPROTO;
        detail = "HTTP/2 chosen, which was not offered";
    }
    if (result != 0) {
        connecting_failed(client, result, detail);
        return;
    }
    loop_timer_stop(client->config.loop, &client->timer);
    made = client_speaks_h2(client) ? h2_client_new(client, &client->h2) : h1_client_new(client, &client->h1);
    if (!err_is_ok(made)) {
        connecting_failed(client, -ENOMEM, err_text(made));
        return;
    }
    client->config.events->connected(client->config.owner, 0, NULL);
}

static err client_connect(struct client *client)
{
    static const struct net_handler handler = {NULL, NULL, connecting_connected, connecting_closed};
    const struct client_config *config = &client->config;
    struct net_tls_target target = {
        .address = &client->address,
        .name = config->name,
        .memory = config->memory,
        .h1_only = config->speaks == CLIENT_H1,
    };

    if (config->tls == NULL)
        return net_tcp_connect(&client->tcp, config->loop, &client->address, &handler);
    return net_tls_connect(config->tls, config->loop, &target, &handler, &client->net);
}

err client_new(const struct client_config *config, struct client **ret_client)
{
    struct client *client = calloc(1, sizeof(*client));
    err result;

    INVARIANT(config->shared != NULL || config->speaks == CLIENT_H1);
    INVARIANT(config->tls != NULL ? config->speaks != CLIENT_H2 : config->speaks != CLIENT_ALPN);
    ENSURE(client != NULL, MEMORY);
    client->config = *config;
    client->address = *config->address;
    client->net = &client->tcp.stream;
    timer_init(&client->timer, connecting_timer);
    result = client_connect(client);
    if (!err_is_ok(result)) {
        free(client);
        return result;
    }
    client->net->owner = client;
    loop_timer_set(config->loop, &client->timer, loop_now_ns(config->loop) + config->connect_ms * MS);
    *ret_client = client;
    return ERR_OK;
}

/* ---- the connection --------------------------------------------------------------------------------------------- */

unsigned client_room(const struct client *client)
{
    if (client->is_closing)
        return 0;
    return client->h2 != NULL ? h2_client_room(client->h2) : client->h1 != NULL ? h1_client_room(client->h1) : 0;
}

unsigned client_room_max(const struct client *client)
{
    return client->h2 != NULL ? h2_client_room_max(client->h2) : 1;
}

enum net_alpn client_protocol(const struct client *client)
{
    return client->h2 != NULL ? NET_ALPN_H2 : NET_ALPN_H1;
}

enum client_failure client_connect_failure(const struct client *client, int32_t result)
{
    static const uint8_t certificates[] = {
        [NET_CERTIFICATE_FINE] = CLIENT_FAILURE_TLS,
        [NET_CERTIFICATE_UNTRUSTED] = CLIENT_FAILURE_CERTIFICATE_UNTRUSTED,
        [NET_CERTIFICATE_EXPIRED] = CLIENT_FAILURE_CERTIFICATE_EXPIRED,
        [NET_CERTIFICATE_NAME] = CLIENT_FAILURE_CERTIFICATE_NAME,
        [NET_CERTIFICATE_BAD] = CLIENT_FAILURE_CERTIFICATE_BAD,
    };

    if (result == -ETIMEDOUT)
        return CLIENT_FAILURE_CONNECT_TIMEOUT;
    return result == -EPROTO ? certificates[client->net->certificate] : CLIENT_FAILURE_CONNECT;
}

struct client_stream *client_begin(struct client *client, const struct client_request *request,
                                 const struct client_events *events, void *user)
{
    if (client->is_closing)
        return NULL;
    INVARIANT(client->h1 != NULL || client->h2 != NULL);
    return client->h2 != NULL ? h2_client_begin(client->h2, request, events, user)
                              : h1_client_begin(client->h1, request, events, user);
}

void client_close(struct client *client)
{
    if (client->h2 != NULL)
        h2_client_close(client->h2);
    else if (client->h1 != NULL)
        h1_client_close(client->h1);
    else
        connecting_close(client);
}
