/* node_tls: the certificates of a worker process, of its data listeners and of its admin listener.
 *
 *   files --start--> identity --acceptor per worker--> handshakes
 *   SIGHUP --> a thread of its own reads the files again --mail--> each worker takes its next acceptor
 *
 * What cannot be read leaves everything as it was. Connections keep what they began with. */
#ifndef WARP_MAIN_NODE_TLS_H
#define WARP_MAIN_NODE_TLS_H

#include "main/node.h"

#define NODE_TLS_MESSAGE_BYTES 4608u /* two paths and a sentence */

/* What the settings name; NULL where there is nothing to read. On error message says which setting or file is wrong. */
MUST_USE err node_identity_read(const struct config *config, char *message, size_t message_size,
                                struct net_identity **ret_identity, struct net_identity **ret_admin);

struct node_tls;
/* Takes over the plan's identities, or reads them. *ret_tls NULL: no listener has TLS. */
MUST_USE err node_tls_new(struct node_plan *plan, struct node_tls **ret_tls);
struct node_tls *node_tls_free(struct node_tls *tls); /* after every worker's node_tls_leave */

/* A worker's part, before its thread runs and after it has ended. */
MUST_USE err node_tls_enter(struct node_tls *tls, unsigned worker, struct loop *loop);
void node_tls_leave(struct node_tls *tls, unsigned worker);

/* The thread that reads again. */
MUST_USE err node_tls_start(struct node_tls *tls);
void node_tls_stop(struct node_tls *tls);
void node_tls_reload(struct node_tls *tls); /* any thread; soon */

/* For the call they are given to; on the worker's thread. Admin: worker 0; NULL: without TLS. */
struct net_acceptor *node_tls_acceptor(struct node_tls *tls, unsigned worker);
struct net_acceptor *node_tls_admin_acceptor(struct node_tls *tls);

/* Expiry of certificates, reloads. On worker 0's thread. arg: struct node_tls. */
void node_tls_collect(void *arg, enum metric metric, struct metrics_writer *writer);

#endif
