/* The scripted origins of sim_cache: two addresses, one site. Good, slow, cut, wrong and absent by turns. */
#ifndef WARP_TESTS_SIM_CACHE_ORIGIN_H
#define WARP_TESTS_SIM_CACHE_ORIGIN_H

#include "tests/sim/cache_run.h"

#define ORIGINS 2u
extern const char *const origin_addresses[ORIGINS];

void origins_begin(void);
void origins_end(void);
/* Refuses connections, or accepts them again. */
void origin_set_down(unsigned index, bool down);
/* Every connection that lies idle is closed, as at the end of a run. */
unsigned origins_open(void);

/* What a script answers on: a connection of HTTP/1 (branch NULL), or a stream (cache_trunk.h), which hands it the request as
 * text, and says when nobody listens any more. */
struct conn;
struct branch;
struct conn *origin_conn_open(struct branch *branch);
void origin_conn_feed(struct conn *conn, const char *bytes, size_t size);
void origin_conn_lost(struct conn *conn);

#endif
