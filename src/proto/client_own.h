/* Between client.c, h1_client.c and h2_client.c: what a connection of either kind has to do with its owner. */
#ifndef WARP_PROTO_CLIENT_OWN_H
#define WARP_PROTO_CLIENT_OWN_H

#include "proto/client.h"

#define CLIENT_INTERIM_MAX          8u
#define CLIENT_EVENT_STREAM_IDLE_MS 3600000u
#define CLIENT_BODY_MIN_BYTES_PER_S 500u
#define CLIENT_HEAD_BYTES_MAX       65536u
#define CLIENT_HEAD_FIELDS_MAX      200u

struct h1_client;
struct h2_client;

struct client {
    struct client_config config;
    struct net_stream *net; /* &tcp.stream, or a TLS stream of its own */
    struct net_tcp tcp;
    struct os_address address;
    struct timer timer; /* of connecting */
    struct h1_client *h1;
    struct h2_client *h2; /* neither: connecting, or never connected */
    bool is_closing;
};

/* The stream and everything else is gone: tells the owner, frees. */
void client_gone(struct client *client);

/* Whether bodies of that answer may come as slowly as they like: event streams, gRPC, tunnels. */
bool client_is_endless(const struct response *response);

/* What serves a protocol. client->net is idle, with nothing under way; the callee closes it in the end, and calls
 * client_gone when that is told and its exchanges are finished. */
MUST_USE err h1_client_new(struct client *client, struct h1_client **ret_h1);
unsigned h1_client_room(const struct h1_client *h1);
struct client_stream *h1_client_begin(struct h1_client *h1, const struct client_request *request,
                                    const struct client_events *events, void *user);
void h1_client_close(struct h1_client *h1);

MUST_USE err h2_client_new(struct client *client, struct h2_client **ret_h2);
unsigned h2_client_room(const struct h2_client *h2);
unsigned h2_client_room_max(const struct h2_client *h2);
struct client_stream *h2_client_begin(struct h2_client *h2, const struct client_request *request,
                                    const struct client_events *events, void *user);
void h2_client_close(struct h2_client *h2);

#endif
