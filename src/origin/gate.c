#include "origin/gate.h"

#include <stdlib.h>

struct origin_turn {
    struct list link; /* in the gate, while it waits; under its lock */
    struct mail mail; /* its turn has come */
    struct origin_group *group;
    struct loop *loop;
    void (*go)(void *user); /* the loop's thread; NULL: cancelled while the mail was on its way */
    void *user;
};

void origin_gate_init(struct origin_gate *gate)
{
    pthread_mutex_init(&gate->lock, NULL);
    list_init(&gate->waiting);
}

void origin_gate_done(struct origin_gate *gate)
{
    INVARIANT(list_is_empty(&gate->waiting));
    pthread_mutex_destroy(&gate->lock);
}

static struct origin_turn *turn_free(struct origin_turn *turn)
{
    origin_group_unref(turn->group);
    free(turn);
    return NULL;
}

static void turn_come(struct mail *mail)
{
    struct origin_turn *turn = container_of(mail, struct origin_turn, mail);
    void (*go)(void *user) = turn->go;
    void *user = turn->user;

    if (go == NULL)
        origin_gate_leave(turn->group);
    turn_free(turn);
    if (go != NULL)
        go(user);
}

/* Under the lock: the next one, its turn taken for it; NULL: none, or no room. */
static struct origin_turn *gate_next(struct origin_gate *gate)
{
    uint32_t limit = atomic_load_explicit(&gate->limit, memory_order_relaxed);
    struct list *first = limit == 0 || gate->under_way < limit ? list_pop_front(&gate->waiting) : NULL;

    if (first == NULL)
        return NULL;
    gate->under_way++;
    gate->waiting_count--;
    return container_of(first, struct origin_turn, link);
}

/* Turns that were given are told without the lock: their takers wait for the mail, whatever becomes of them. */
static void gate_tell(struct origin_gate *gate)
{
    for (;;) {
        pthread_mutex_lock(&gate->lock);
        struct origin_turn *turn = gate_next(gate);
        pthread_mutex_unlock(&gate->lock);
        if (turn == NULL)
            return;
        loop_post(turn->loop, &turn->mail);
    }
}

static struct origin_turn *turn_new(struct origin_group *group, struct loop *loop, void (*go)(void *user), void *user)
{
    struct origin_turn *turn = malloc(sizeof(*turn));

    if (turn == NULL)
        return NULL;
    *turn = (struct origin_turn){.mail.run = turn_come, .group = origin_group_ref(group), .loop = loop, .go = go, .user = user};
    list_init(&turn->link);
    return turn;
}

/* Nobody overtakes those who wait. */
static bool gate_try(struct origin_gate *gate, uint32_t limit)
{
    bool is_taken = gate->under_way < limit && list_is_empty(&gate->waiting);

    gate->under_way += is_taken;
    return is_taken;
}

enum gate_entry origin_gate_enter(struct origin_group *group, struct loop *loop, void (*go)(void *user), void *user,
                                  struct origin_turn **ret_turn)
{
    struct origin_gate *gate = &group->gate;
    uint32_t limit = atomic_load_explicit(&gate->limit, memory_order_relaxed);
    struct origin_turn *turn;

    if (LIKELY(limit == 0))
        return GATE_FREE;
    pthread_mutex_lock(&gate->lock);
    bool is_taken = gate_try(gate, limit);
    pthread_mutex_unlock(&gate->lock);
    if (is_taken)
        return GATE_TAKEN;
    turn = turn_new(group, loop, go, user);
    if (turn == NULL)
        return GATE_NO_MEMORY;
    *ret_turn = turn;
    pthread_mutex_lock(&gate->lock);
    list_push_back(&gate->waiting, &turn->link);
    gate->waiting_count++;
    pthread_mutex_unlock(&gate->lock);
    gate_tell(gate); /* one may have left between, or the limit gone */
    return GATE_WAITS;
}

void origin_gate_leave(struct origin_group *group)
{
    struct origin_gate *gate = &group->gate;

    pthread_mutex_lock(&gate->lock);
    INVARIANT(gate->under_way > 0);
    gate->under_way--;
    pthread_mutex_unlock(&gate->lock);
    gate_tell(gate);
}

struct origin_turn *origin_gate_cancel(struct origin_turn *turn)
{
    if (turn == NULL)
        return NULL;
    struct origin_gate *gate = &turn->group->gate;
    pthread_mutex_lock(&gate->lock);
    bool is_waiting = list_is_linked(&turn->link);
    if (is_waiting) {
        list_remove(&turn->link);
        gate->waiting_count--;
    }
    pthread_mutex_unlock(&gate->lock);
    if (is_waiting)
        return turn_free(turn);
    turn->go = NULL;
    return NULL;
}

void origin_group_limit(struct origin_group *group, uint32_t requests)
{
    atomic_store_explicit(&group->gate.limit, requests, memory_order_relaxed);
    gate_tell(&group->gate);
}

void origin_group_load(struct origin_group *group, uint32_t *ret_under_way, uint32_t *ret_waiting)
{
    pthread_mutex_lock(&group->gate.lock);
    *ret_under_way = group->gate.under_way;
    *ret_waiting = group->gate.waiting_count;
    pthread_mutex_unlock(&group->gate.lock);
}
