#include "os/sim/world.h"

#include <stdlib.h>

#define START_NS UINT64_C(1000000000)
#define WALL_MS  INT64_C(1700000000000)

struct sim_world *world;

/* splitmix64: any seed is a good one. */
static uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

void sim_begin(uint64_t seed)
{
    INVARIANT(world == NULL);
    world = world_alloc(sizeof(*world));
    world->seed_state = seed;
    world->entropy_state =
        seed ^ 0x656e74726f7079u; /* its own, so that using more of it moves nothing else */
    world->hash = 0xcbf29ce484222325u;
    world->now_ns = START_NS;
    world->next_fd = SIM_FD_FIRST;
    world->next_port = 20000;
    list_init(&world->listeners);
    list_init(&world->servers);
    list_init(&world->timers);
    list_init(&world->connects);
    list_init(&world->disks);
    list_init(&world->disk_ops_dead);
}

void sim_end(void)
{
    struct sim_end *end = world->ends;

    while (end != NULL) {
        struct sim_end *next = end->next_made;
        if (end->peer != NULL && !end->closed)
            free(end->peer->out);
        free(end->in.bytes);
        free(end);
        end = next;
    }
    while (!list_is_empty(&world->listeners))
        free(container_of(list_pop_front(&world->listeners), struct sim_listener, link));
    while (!list_is_empty(&world->connects))
        free(container_of(list_pop_front(&world->connects), struct sim_connecting, link));
    disks_free();
    free(world->by_fd);
    free(world->events);
    free(world);
    world = NULL;
}

void *world_alloc(size_t size)
{
    void *block = calloc(1, size);
    INVARIANT(block != NULL); /* a test may stop */
    return block;
}

uint64_t sim_hash(void)
{
    return world->hash;
}

uint64_t world_random(uint64_t below)
{
    return random_next(&world->seed_state) % below;
}

uint64_t sim_random(uint64_t below)
{
    return world_random(below);
}

bool world_chance(unsigned percent)
{
    return world_random(100) < percent;
}

/* Mostly a near network, now and then a far or a stuck one. */
uint64_t world_latency_ns(void)
{
    unsigned kind = (unsigned)world_random(100);
    uint64_t most_ns = kind < 70 ? 200000 : kind < 95 ? 5000000 : 200000000;
    return 10000 + world_random(most_ns);
}

void world_trace(unsigned what, uint64_t a, uint64_t b)
{
    uint64_t parts[4] = {what, a, b, world->now_ns};

    for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
        world->hash ^= parts[i];
        world->hash *= 0x100000001b3u;
        world->hash ^= world->hash >> 29;
    }
}

/* ---- the kernel's clock and entropy ----------------------------------------------------------------------
 */

uint64_t os_clock_ns(void)
{
    return world->now_ns;
}

int64_t os_wall_ms(void)
{
    return WALL_MS + (int64_t)(world->now_ns / 1000000);
}

uint64_t os_thread_cpu_ns(void)
{
    return world->now_ns - START_NS;
}

void os_entropy(void *ret_bytes, size_t size)
{
    unsigned char *at = ret_bytes;

    for (size_t i = 0; i < size; i++)
        at[i] = (unsigned char)random_next(&world->entropy_state);
}

const char *os_backend_name(const struct os *os)
{
    (void)os;
    return "sim";
}

int os_uring_refused(const struct os *os)
{
    (void)os;
    return 0;
}

/* ---- events: a binary heap -------------------------------------------------------------------------------
 */

static bool event_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->key < b->key;
}

static void event_swap(uint32_t i, uint32_t j)
{
    struct sim_event held = world->events[i];
    world->events[i] = world->events[j];
    world->events[j] = held;
}

void world_later(uint64_t delay_ns, void (*run)(void *arg), void *arg)
{
    uint32_t i = world->events_count++;

    if (i == world->events_room) {
        world->events_room = MAX(64u, 2 * world->events_room);
        world->events = realloc(world->events, world->events_room * sizeof(world->events[0]));
        INVARIANT(world->events != NULL);
    }
    world->events[i] =
        (struct sim_event){world->now_ns + delay_ns, random_next(&world->seed_state), run, arg};
    while (i > 0 && event_before(&world->events[i], &world->events[(i - 1) / 2])) {
        event_swap(i, (i - 1) / 2);
        i = (i - 1) / 2;
    }
}

static struct sim_event event_pop(void)
{
    struct sim_event first = world->events[0];
    uint32_t i = 0;

    world->events[0] = world->events[--world->events_count];
    for (;;) {
        uint32_t least = i, left = 2 * i + 1, right = left + 1;
        if (left < world->events_count && event_before(&world->events[left], &world->events[least]))
            least = left;
        if (right < world->events_count && event_before(&world->events[right], &world->events[least]))
            least = right;
        if (least == i)
            return first;
        event_swap(i, least);
        i = least;
    }
}

/* ---- timers of the driver --------------------------------------------------------------------------------
 */

void sim_timer_set(struct sim_timer *timer, uint64_t at_ns)
{
    sim_timer_stop(timer);
    timer->at_ns = MAX(at_ns, 1u);
    list_push_back(&world->timers, &timer->link);
}

void sim_timer_stop(struct sim_timer *timer)
{
    if (timer->at_ns != 0)
        list_remove(&timer->link);
    timer->at_ns = 0;
}

static struct sim_timer *timer_first(void)
{
    struct sim_timer *first = NULL;

    LIST_FOREACH (&world->timers, link) {
        struct sim_timer *timer = container_of(link, struct sim_timer, link);
        if (first == NULL || timer->at_ns < first->at_ns)
            first = timer;
    }
    return first;
}

/* ---- running ----------------------------------------------------------------------------------------------
 */

/* One thing of the network or the driver that is due; false when there is none. */
static bool world_step(void)
{
    struct sim_timer *timer = timer_first();

    if (timer != NULL && timer->at_ns <= world->now_ns) {
        sim_timer_stop(timer);
        timer->fire(timer);
        return true;
    }
    if (world->events_count > 0 && world->events[0].at_ns <= world->now_ns) {
        struct sim_event event = event_pop();
        event.run(event.arg);
        return true;
    }
    return false;
}

/* Every thread once in random order; now and then one is not scheduled at all. */
static bool threads_turn(const struct sim_thread *threads, unsigned count)
{
    unsigned order[64];
    bool ran = false;

    INVARIANT(count <= ARRAY_LEN(order));
    for (unsigned i = 0; i < count; i++) {
        unsigned at = (unsigned)world_random(i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    for (unsigned i = 0; i < count; i++) {
        const struct sim_thread *thread = &threads[order[i]];
        if (count > 1 && world_chance(20)) {
            ran = true; /* its turn is still to come */
            continue;
        }
        world_trace(TRACE_TURN, order[i], 0);
        ran |= thread->turn(thread->arg);
    }
    return ran;
}

/* UINT64_MAX: nothing will ever happen again. */
static uint64_t world_next_ns(const struct sim_thread *threads, unsigned count)
{
    struct sim_timer *timer = timer_first();
    uint64_t next = timer != NULL ? timer->at_ns : UINT64_MAX;

    if (world->events_count > 0)
        next = MIN(next, world->events[0].at_ns);
    for (unsigned i = 0; i < count; i++)
        next = MIN(next, threads[i].next_ns(threads[i].arg));
    return next;
}

bool sim_run(const struct sim_thread *threads, unsigned count, uint64_t until_ns, bool (*done)(void *arg),
             void *arg)
{
    uint64_t passes = 0;

    for (;;) {
        bool ran = world_step();
        ran |= threads_turn(threads, count);
        if (done != NULL && done(arg))
            return true;
        if (ran) {
            INVARIANT(++passes < 100000000); /* somebody spins: time does not move */
            continue;
        }
        uint64_t next = world_next_ns(threads, count);
        if (next > until_ns) {
            if (next != UINT64_MAX || until_ns != SIM_FOREVER)
                world->now_ns = MAX(world->now_ns, until_ns);
            return done == NULL;
        }
        world->now_ns = MAX(world->now_ns, next);
        world_trace(TRACE_CLOCK, 0, 0);
        passes = 0;
    }
}
