/* A loop as one of the simulator's threads, for test drivers. */
#ifndef WARP_LOOP_SIM_THREAD_H
#define WARP_LOOP_SIM_THREAD_H

#include "loop/loop.h"
#include "os/sim/sim.h"

static inline bool sim_thread_turn_(void *arg)
{
    return loop_turn(arg, 0);
}

static inline uint64_t sim_thread_next_ns_(void *arg)
{
    return loop_next_timer_ns(arg);
}

static inline struct sim_thread sim_thread_of(struct loop *loop)
{
    return (struct sim_thread){sim_thread_turn_, sim_thread_next_ns_, loop};
}

#endif
