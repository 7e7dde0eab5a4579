/* WARP under test: the workers of one node as main/node.c wires them, over the simulator. */
#ifndef WARP_TESTS_SIM_CACHE_NODE_H
#define WARP_TESTS_SIM_CACHE_NODE_H

#include "store/storage.h"

#define NODE_WORKERS_MAX 3u

void node_begin(void);
/* Drains it; then it ends in order, is killed, or its machine loses power; and begins again on the same disks. */
void node_restart(void);
/* sim_run over all workers. */
bool node_run_until(uint64_t until_ns, bool (*done)(void *arg));
struct storage *node_storage(void);
struct loop *node_loop(unsigned index);
/* Drains it, checks that nothing is left (I7), frees it. */
void node_end(void);
/* What was evicted so far. */
uint64_t node_evictions(void);

#endif
