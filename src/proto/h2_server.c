/* h2_server: HTTP/2 connections of clients. */
#include "proto/server_own.h"

#include <stdlib.h>

struct h2_server {
    struct server *server;
};

err h2_server_new(struct server *server, struct h2_server **ret_h2)
{
    struct h2_server *h2 = calloc(1, sizeof(*h2));

    ENSURE(h2 != NULL, MEMORY);
    h2->server = server;
    *ret_h2 = h2;
    return ERR_OK;
}

struct h2_server *h2_server_free(struct h2_server *h2)
{
    free(h2);
    return NULL;
}

static void conn_closed(struct net_stream *stream)
{
    server_connection_gone(stream->owner, &stream->peer, CONN_idle);
}

void h2_server_adopt(struct h2_server *h2, struct net_stream *stream, slice bytes)
{
    static const struct net_handler handler = {.closed = conn_closed};

    (void)bytes;
    net_give(stream, &handler, h2->server);
    net_close(stream, true);
}

void h2_server_drain(struct h2_server *h2)
{
    (void)h2;
}

void h2_server_stop(struct h2_server *h2)
{
    (void)h2;
}
