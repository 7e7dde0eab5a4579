#include "loop/wheel.h"

#define WHEEL_SPAN (UINT64_C(1) << (WHEEL_LEVELS * WHEEL_BITS))

void wheel_init(struct wheel *wheel, uint64_t now_ns)
{
    memset(wheel->used, 0, sizeof(wheel->used));
    wheel->tick = wheel->target = now_ns / WHEEL_TICK_NS;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
}

static void wheel_link(struct wheel *wheel, struct timer *timer, uint64_t tick)
{
    uint64_t distance = tick - wheel->tick;
    unsigned level = 0, slot;

    while (level < WHEEL_LEVELS - 1 && distance >> ((level + 1) * WHEEL_BITS) != 0)
        level++;
    slot = (unsigned)(tick >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
    wheel->used[level][slot / 64] |= UINT64_C(1) << (slot % 64);
    list_push_back(&wheel->slots[level][slot], &timer->link);
}

/* By the deadline, rounded up: never early. Beyond the last level it is looked at on the way and put again.
 */
static void wheel_place(struct wheel *wheel, struct timer *timer)
{
    uint64_t tick = timer->deadline_ns / WHEEL_TICK_NS + (timer->deadline_ns % WHEEL_TICK_NS != 0);

    tick = MAX(tick, wheel->target + 1);
    tick = MIN(tick, wheel->tick + WHEEL_SPAN - 1);
    timer->slot_ns = tick * WHEEL_TICK_NS;
    wheel_link(wheel, timer, tick);
}

void wheel_set(struct wheel *wheel, struct timer *timer, uint64_t deadline_ns)
{
    uint64_t before_ns = timer->deadline_ns;

    timer->deadline_ns = deadline_ns = MAX(deadline_ns, 1u);
    /* Later: the old slot comes first, and finds the new deadline. Re-arming an idle limit at every request
     * is therefore one store. */
    if (list_is_linked(&timer->link) && (deadline_ns >= before_ns || deadline_ns >= timer->slot_ns))
        return;
    list_remove(&timer->link);
    wheel_place(wheel, timer);
}

void wheel_stop(struct wheel *wheel, struct timer *timer)
{
    (void)wheel; /* the slot's bit stays until somebody looks: an early look at worst */
    list_remove(&timer->link);
    timer->deadline_ns = 0;
    timer->slot_ns = 0;
}

static void slot_take(struct wheel *wheel, unsigned level, unsigned slot, struct list *taken)
{
    wheel->used[level][slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    list_splice_back(taken, &wheel->slots[level][slot]);
}

static unsigned slot_fire(struct wheel *wheel, unsigned slot, uint64_t now_ns)
{
    struct list due = LIST_INIT(due);
    struct list *link;
    unsigned fired = 0;

    slot_take(wheel, 0, slot, &due);
    while ((link = list_pop_front(&due)) != NULL) {
        struct timer *timer = container_of(link, struct timer, link);
        timer->slot_ns = 0;
        if (timer->deadline_ns > now_ns) {
            wheel_place(wheel, timer);
            continue;
        }
        timer->deadline_ns = 0;
        timer->fire(timer); /* may stop or set any timer, those of this list included */
        fired++;
    }
    return fired;
}

/* At the end of a level's round its next slot moves down. */
static void wheel_cascade(struct wheel *wheel)
{
    for (unsigned level = 1; level < WHEEL_LEVELS; level++) {
        struct list down = LIST_INIT(down);
        struct list *link;
        unsigned slot;

        if ((wheel->tick & ((UINT64_C(1) << (level * WHEEL_BITS)) - 1)) != 0)
            return;
        slot = (unsigned)(wheel->tick >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
        slot_take(wheel, level, slot, &down);
        while ((link = list_pop_front(&down)) != NULL) {
            struct timer *timer = container_of(link, struct timer, link);
            wheel_link(wheel, timer, timer->slot_ns / WHEEL_TICK_NS);
        }
    }
}

/* Steps from the current slot of the level to the next one in use, 1 to 256; 0 when there is none. */
static unsigned level_steps(const struct wheel *wheel, unsigned level)
{
    unsigned current = (unsigned)(wheel->tick >> (level * WHEEL_BITS)) & (WHEEL_SLOTS - 1);
    unsigned at = (current + 1) % WHEEL_SLOTS;

    /* The word of the first slot is looked at twice: from that slot on, and at last up to it. */
    for (unsigned i = 0; i <= WHEEL_SLOTS / 64; i++) {
        unsigned word = (at / 64 + i) % (WHEEL_SLOTS / 64);
        uint64_t bits = wheel->used[level][word];
        if (i == 0)
            bits &= ~UINT64_C(0) << (at % 64);
        if (bits != 0) {
            unsigned slot = word * 64 + (unsigned)__builtin_ctzll(bits);
            return (slot - current - 1) % WHEEL_SLOTS + 1;
        }
    }
    return 0;
}

/* The next tick at which something may fire or move down; UINT64_MAX for none. */
static uint64_t wheel_next_tick(const struct wheel *wheel)
{
    uint64_t next = UINT64_MAX;

    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        unsigned steps = level_steps(wheel, level), shift = level * WHEEL_BITS;
        if (steps != 0)
            next = MIN(next, ((wheel->tick >> shift) + steps) << shift);
    }
    return next;
}

unsigned wheel_advance(struct wheel *wheel, uint64_t now_ns)
{
    unsigned fired = 0;

    wheel->target = MAX(wheel->tick, now_ns / WHEEL_TICK_NS);
    while (wheel->tick < wheel->target) {
        /* Over empty slots in one step: a loop that slept an hour need not look at 3.6 million. */
        wheel->tick = MIN(wheel_next_tick(wheel), wheel->target);
        wheel_cascade(wheel);
        fired += slot_fire(wheel, (unsigned)wheel->tick & (WHEEL_SLOTS - 1), now_ns);
    }
    return fired;
}

uint64_t wheel_next_ns(const struct wheel *wheel)
{
    uint64_t tick = wheel_next_tick(wheel);
    return tick == UINT64_MAX ? UINT64_MAX : tick * WHEEL_TICK_NS;
}
