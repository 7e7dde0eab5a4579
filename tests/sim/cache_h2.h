/* HTTP/2 connections of scripted clients. Several clients share one connection, each with one stream at a time; what a
 * client says and hears stays the text of HTTP/1, which is translated here on the client side of nghttp2: the oracle and the
 * drawing of requests are the same for both protocols. */
#ifndef WARP_TESTS_SIM_CACHE_H2_H
#define WARP_TESTS_SIM_CACHE_H2_H

#include "tests/sim/cache_client.h"

struct carrier;

void carriers_begin(void);
void carriers_end(void);
/* A connection for the next `members` clients. */
struct carrier *carrier_new(unsigned members);

/* The client begins: connects where nobody has yet. client_connected follows, maybe at once. */
void carrier_join(struct client *client);
/* The next bytes of its request's text. The stream is opened when the head is complete. */
void carrier_send(struct client *client, const char *bytes, size_t size);
/* The client asks no more; a stream that is open is reset. */
void carrier_leave(struct client *client);
/* Stops taking its bytes: no more window for its stream. */
void carrier_pause(struct client *client, bool paused);

#endif
