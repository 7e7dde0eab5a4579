/* node_tls: the certificates of a worker process, of its data listeners and of its admin listener.
 *
 *   files --start, or a change of the configuration--> identity --acceptor per worker, by mail--> handshakes
 *
 * Connections keep what they began with. */
#ifndef WARP_MAIN_NODE_TLS_H
#define WARP_MAIN_NODE_TLS_H

#include "main/node.h"

#define NODE_TLS_MESSAGE_BYTES 4608u /* two paths and a sentence */

/* What the settings name; NULL where there is nothing to read. On error message says which setting or file is wrong. */
MUST_USE err node_identity_read(const struct settings *settings, char *message, size_t message_size,
                                struct net_identity **ret_identity, struct net_identity **ret_admin);

/* Where that failed: each setting that is wrong, at its place. */
void node_identity_check(const struct settings *settings, struct settings_places *places);

struct node_tls;
/* Takes over the plan's identities, or reads them. After a crash what cannot be read any more is left out, and said in plan->lost. */
MUST_USE err node_tls_new(struct node_plan *plan, struct node_tls **ret_tls);
struct node_tls *node_tls_free(struct node_tls *tls); /* after every worker's node_tls_leave */

/* A worker's part, before its thread runs and after it has ended. */
MUST_USE err node_tls_enter(struct node_tls *tls, unsigned worker, struct loop *loop);
void node_tls_leave(struct node_tls *tls, unsigned worker);

/* For "warp-config": everything that can fail is in prepare; then each worker takes its own at its next turn, before any mail
 * that is posted later, or nothing has happened. NULL: no listener of that kind has TLS. */
MUST_USE err node_tls_prepare(struct node_tls *tls, struct net_identity *identity, struct net_identity *admin);
void node_tls_drop(struct node_tls *tls); /* what was prepared; nothing is fine */
void node_tls_hand(struct node_tls *tls);
void node_tls_settle(struct node_tls *tls); /* all workers have it: those before go */

/* For the call they are given to; on the worker's thread. Admin: worker 0; NULL: without TLS. */
struct net_acceptor *node_tls_acceptor(struct node_tls *tls, unsigned worker);
struct net_acceptor *node_tls_admin_acceptor(struct node_tls *tls);

/* Its certificate is configured and could not be read: nothing is served there. Worker 0. */
bool node_tls_admin_is_lost(struct node_tls *tls);

/* Expiry of certificates. On worker 0's thread. arg: struct node_tls. */
void node_tls_collect(void *arg, enum metric metric, struct metrics_writer *writer);

#endif
