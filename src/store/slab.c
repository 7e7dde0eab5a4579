#include "store/slab.h"

#include "store/object.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define PROMOTE_BYTES     (16u << 20)            /* sent from a slab until it is worth a huge page */
#define COPY_BYTES_MAX    (SLAB_BYTES / 4)       /* both are charged */
#define MOVES_MAX       50u                    /* attempts while sockets hold pages */
#define MOVE_AGAIN_NS   UINT64_C(100000000)    /* between them */
#define NO_HUGE_NS      UINT64_C(10000000000)  /* the kernel had none: ask again so much later */
#define READY_IDLE_NS   UINT64_C(10000000000)  /* without demand, what is ready is given back */

enum slab_state {
    SLAB_FREE,
    SLAB_READY,
    SLAB_USED,
    SLAB_QUEUED,
    SLAB_MOVING,
    SLAB_LEFT, /* let go of while it moved */
    SLAB_KEPT, /* its bytes have a copy, which counts; readers and sockets may still use these */
};

struct slab {
    struct list link;      /* free, ready or queued */
    _Atomic uint32_t room; /* bytes charged */
    uint32_t used;         /* bytes of the body; room while it is being filled */
    uint16_t tenant;
    uint8_t state;
    uint8_t moves;
    bool is_huge;
    char *_Atomic *place; /* where the body has the address of its bytes; while queued, moving or kept */
    struct slab *kept;    /* of a copy: what it is the copy of; goes with it */
};

struct slabs {
    struct os_region region;
    struct store_budget *budget;
    uint64_t table_charge;
    struct slab *table; /* one for each extent; touched from the first on, as they are needed */
    uint32_t count;
    void (*wake)(void *arg);
    void *arg;
    pthread_mutex_t lock; /* all below */
    uint32_t touched;
    struct list free, ready, queue;
    unsigned ready_count, ready_wanted;
    uint64_t wanted_ns; /* when a whole slab was last asked for */
    uint64_t again_ns;  /* no huge page before; UINT64_MAX: never */
    struct slab_stats stats;
};

/* ---- addresses --------------------------------------------------------------------------------------- */

static size_t page_up(size_t bytes)
{
    size_t page = os_page_bytes();

    return (bytes + page - 1) & ~(page - 1);
}

static char *slab_at(const struct slabs *slabs, const struct slab *slab)
{
    return slabs->region.base + (size_t)(slab - slabs->table) * SLAB_BYTES;
}

static struct slab *slab_of(const struct slabs *slabs, const char *at)
{
    size_t offset = (size_t)(at - slabs->region.base);

    INVARIANT(offset < slabs->region.bytes && offset % SLAB_BYTES == 0);
    return &slabs->table[offset / SLAB_BYTES];
}

static uint32_t slab_room(const struct slab *slab)
{
    return atomic_load_explicit(&slab->room, memory_order_relaxed);
}

/* Addresses that belong to nobody: used ones first, their page tables are there. */
static struct slab *slab_take_addresses(struct slabs *slabs)
{
    struct slab *slab = NULL;

    pthread_mutex_lock(&slabs->lock);
    struct list *link = list_pop_front(&slabs->free);
    if (link != NULL)
        slab = container_of(link, struct slab, link);
    else if (slabs->touched < slabs->count)
        list_init(&(slab = &slabs->table[slabs->touched++])->link);
    pthread_mutex_unlock(&slabs->lock);
    if (slab == NULL)
        return NULL;
    INVARIANT(slab->state == SLAB_FREE);
    INVARIANT(slab_room(slab) == 0);
    slab->is_huge = false;
    slab->moves = 0;
    slab->place = NULL;
    slab->kept = NULL;
    return slab;
}

static void slab_give_addresses(struct slabs *slabs, struct slab *slab)
{
    pthread_mutex_lock(&slabs->lock);
    slab->state = SLAB_FREE;
    list_push_front(&slabs->free, &slab->link);
    pthread_mutex_unlock(&slabs->lock);
}

/* ---- life -------------------------------------------------------------------------------------------- */

/* Fewer addresses where there are not enough: bodies that find none lie in memory of malloc. */
MUST_USE static err slabs_open(struct slabs *slabs, uint64_t extents)
{
    uint64_t least = slabs->budget->max / SLAB_BYTES + 1;
    err opened;

    for (;;) {
        opened = os_region_open((size_t)extents * SLAB_BYTES, &slabs->region);
        if (err_is_ok(opened) || opened.code != ERR_SYSTEM || extents / 2 < least)
            break;
        extents /= 2;
    }
    TRY(opened);
    slabs->count = (uint32_t)(slabs->region.bytes / SLAB_BYTES);
    slabs->table_charge = store_charge(slabs->count * sizeof(*slabs->table));
    if (!store_budget_take(slabs->budget, STORE_TENANT_NONE, slabs->table_charge, (hash128){0})) {
        slabs->table_charge = 0;
        return ERR(LIMIT);
    }
    slabs->table = calloc(slabs->count, sizeof(*slabs->table));
    ENSURE(slabs->table != NULL, MEMORY);
    return ERR_OK;
}

err slabs_new(struct store_budget *budget, size_t bytes_min, struct slabs **ret_slabs)
{
    struct slabs *slabs = calloc(1, sizeof(*slabs));
    err opened;

    ENSURE(slabs != NULL, MEMORY);
    slabs->budget = budget;
    pthread_mutex_init(&slabs->lock, NULL);
    list_init(&slabs->free);
    list_init(&slabs->ready);
    list_init(&slabs->queue);
    opened = slabs_open(slabs, MIN(budget->max / bytes_min + 1, UINT32_MAX));
    if (!err_is_ok(opened)) {
        slabs_free(slabs);
        return opened;
    }
    *ret_slabs = slabs;
    return ERR_OK;
}

static unsigned ready_most(const struct slabs *slabs)
{
    return (unsigned)MIN(slabs->budget->max / SLAB_READY_SHARE / SLAB_BYTES, (uint64_t)SLAB_READY_MAX);
}

/* Without demand too: a large body that comes alone may be the one that all want. */
static unsigned ready_least(const struct slabs *slabs)
{
    return MIN(ready_most(slabs), SLAB_READY_LEAST);
}

static void ready_drop(struct slabs *slabs, unsigned keep)
{
    struct list *link;

    for (;;) {
        pthread_mutex_lock(&slabs->lock);
        link = slabs->ready_count > keep ? list_pop_front(&slabs->ready) : NULL;
        if (link != NULL) {
            slabs->ready_count--;
            slabs->stats.held_bytes -= SLAB_BYTES;
        }
        pthread_mutex_unlock(&slabs->lock);
        if (link == NULL)
            return;
        struct slab *slab = container_of(link, struct slab, link);
        os_region_punch(&slabs->region, slab_at(slabs, slab), SLAB_BYTES);
        atomic_store_explicit(&slab->room, 0, memory_order_relaxed);
        slab_give_addresses(slabs, slab);
        store_budget_give(slabs->budget, STORE_TENANT_NONE, SLAB_BYTES);
    }
}

struct slabs *slabs_free(struct slabs *slabs)
{
    if (slabs == NULL)
        return NULL;
    ready_drop(slabs, 0);
    INVARIANT(slabs->stats.used == 0);
    INVARIANT(slabs->stats.held_bytes == 0);
    store_budget_give(slabs->budget, STORE_TENANT_NONE, slabs->table_charge);
    free(slabs->table);
    os_region_close(&slabs->region);
    pthread_mutex_destroy(&slabs->lock);
    free(slabs);
    return NULL;
}

/* ---- a body's slab ----------------------------------------------------------------------------------- */

/* Under the lock. */
static void count_used(struct slabs *slabs, const struct slab *slab, int sign)
{
    slabs->stats.used += (uint64_t)sign;
    slabs->stats.used_bytes += (uint64_t)sign * slab_room(slab);
    slabs->stats.huge += slab->is_huge ? (uint64_t)sign : 0;
    slabs->stats.rounding_bytes += (uint64_t)sign * (slab_room(slab) - slab->used);
}

static void slabs_wake(struct slabs *slabs)
{
    if (slabs->wake != NULL)
        slabs->wake(slabs->arg);
}

/* Under the lock. */
static bool may_round(const struct slabs *slabs, size_t more, unsigned share)
{
    return more == 0 || slabs->stats.rounding_bytes + more <= slabs->budget->max / share;
}

/* It goes back to those that are ready. */
static void ready_return(struct slabs *slabs, struct slab *slab)
{
    pthread_mutex_lock(&slabs->lock);
    count_used(slabs, slab, -1);
    slab->state = SLAB_READY;
    list_push_back(&slabs->ready, &slab->link);
    slabs->ready_count++;
    slabs->stats.held_bytes += SLAB_BYTES;
    pthread_mutex_unlock(&slabs->lock);
}

static struct slab *ready_take(struct slabs *slabs, uint16_t tenant, size_t need)
{
    struct slab *slab = NULL;
    bool wake;

    pthread_mutex_lock(&slabs->lock);
    struct list *link =
        may_round(slabs, SLAB_BYTES - need, SLAB_ROUNDING_SHARE * 2) ? list_pop_front(&slabs->ready) : NULL;
    if (link != NULL) {
        slab = container_of(link, struct slab, link);
        slabs->ready_count--;
        slabs->stats.held_bytes -= SLAB_BYTES;
        slab->state = SLAB_USED;
        slab->tenant = tenant;
        slab->used = (uint32_t)need;
        count_used(slabs, slab, 1);
    }
    slabs->wanted_ns = os_clock_ns();
    slabs->ready_wanted = ready_most(slabs);
    wake = slabs->ready_count < slabs->ready_wanted && slabs->again_ns <= slabs->wanted_ns;
    pthread_mutex_unlock(&slabs->lock);
    if (wake)
        slabs_wake(slabs);
    if (slab == NULL || store_budget_pass(slabs->budget, tenant, SLAB_BYTES))
        return slab;
    ready_return(slabs, slab);
    return NULL;
}

/* Pages behind the first `room` ones, charged to whoever; false: nothing was taken. */
static bool pages_take(struct slabs *slabs, const struct slab *slab, uint32_t tenant, hash128 near, size_t room, size_t more)
{
    if (!store_budget_take(slabs->budget, tenant, more, near))
        return false;
    if (err_is_ok(os_region_take(&slabs->region, slab_at(slabs, slab) + room, more)))
        return true;
    store_budget_give(slabs->budget, tenant, more);
    return false;
}

char *slab_new(struct slabs *slabs, uint16_t tenant, hash128 near, size_t bytes, size_t need)
{
    struct slab *slab = need >= SLAB_BYTES / 2 ? ready_take(slabs, tenant, need) : NULL;
    size_t room = page_up(bytes);

    INVARIANT(bytes > 0 && bytes <= SLAB_BYTES);
    INVARIANT(need <= SLAB_BYTES);
    if (slab != NULL)
        return slab_at(slabs, slab);
    slab = slab_take_addresses(slabs);
    if (slab == NULL)
        return NULL;
    if (!pages_take(slabs, slab, tenant, near, 0, room)) {
        slab_give_addresses(slabs, slab);
        return NULL;
    }
    pthread_mutex_lock(&slabs->lock);
    slab->state = SLAB_USED;
    slab->tenant = tenant;
    slab->used = (uint32_t)room;
    atomic_store_explicit(&slab->room, (uint32_t)room, memory_order_relaxed);
    count_used(slabs, slab, 1);
    pthread_mutex_unlock(&slabs->lock);
    return slab_at(slabs, slab);
}

static void slab_resize(struct slabs *slabs, struct slab *slab, size_t room, size_t used)
{
    pthread_mutex_lock(&slabs->lock);
    count_used(slabs, slab, -1);
    slab->used = (uint32_t)used;
    atomic_store_explicit(&slab->room, (uint32_t)room, memory_order_relaxed);
    count_used(slabs, slab, 1);
    pthread_mutex_unlock(&slabs->lock);
}

bool slab_grow(struct slabs *slabs, char *at, hash128 near, size_t bytes)
{
    struct slab *slab = slab_of(slabs, at);
    size_t room = slab_room(slab), more;

    INVARIANT(slab->state == SLAB_USED);
    INVARIANT(bytes <= SLAB_BYTES);
    if (bytes <= room)
        return true;
    more = page_up(bytes) - room;
    if (!pages_take(slabs, slab, slab->tenant, near, room, more))
        return false;
    slab_resize(slabs, slab, room + more, room + more);
    return true;
}

void slab_trim(struct slabs *slabs, char *at, size_t bytes)
{
    struct slab *slab = slab_of(slabs, at);
    size_t room = slab_room(slab), keep = slab->is_huge ? room : page_up(MAX(bytes, 1u));

    INVARIANT(slab->state == SLAB_USED);
    INVARIANT(bytes <= room);
    if (keep < room) /* no reader has seen a byte of them */
        os_region_punch(&slabs->region, at + keep, room - keep);
    slab_resize(slabs, slab, keep, bytes);
    if (keep < room)
        store_budget_give(slabs->budget, slab->tenant, room - keep);
}

/* Counted out by now: pages, charge, addresses, in that order. */
static void slab_done(struct slabs *slabs, struct slab *slab, size_t keep)
{
    size_t room = slab_room(slab);

    INVARIANT(keep <= room);
    os_region_punch(&slabs->region, slab_at(slabs, slab), SLAB_BYTES);
    atomic_store_explicit(&slab->room, 0, memory_order_relaxed);
    store_budget_give(slabs->budget, slab->tenant, room - keep);
    slab_give_addresses(slabs, slab);
}

void slab_free(struct slabs *slabs, char *at)
{
    struct slab *slab = slab_of(slabs, at), *kept;
    bool is_moving;

    pthread_mutex_lock(&slabs->lock);
    if (slab->state == SLAB_KEPT) /* copied since the caller looked */
        slab = slab_of(slabs, atomic_load_explicit(slab->place, memory_order_relaxed));
    INVARIANT(slab->state == SLAB_USED || slab->state == SLAB_QUEUED || slab->state == SLAB_MOVING);
    kept = slab->kept;
    is_moving = slab->state == SLAB_MOVING;
    if (slab->state == SLAB_QUEUED)
        list_remove(&slab->link);
    slab->state = SLAB_LEFT;
    if (!is_moving)
        count_used(slabs, slab, -1);
    if (kept != NULL)
        count_used(slabs, kept, -1);
    pthread_mutex_unlock(&slabs->lock);
    if (!is_moving)
        slab_done(slabs, slab, 0);
    if (kept != NULL)
        slab_done(slabs, kept, 0);
}

void slab_exchange(struct slabs *slabs, char *at, size_t bytes)
{
    struct slab *slab = slab_of(slabs, at);

    pthread_mutex_lock(&slabs->lock);
    INVARIANT(slab->state == SLAB_USED);
    count_used(slabs, slab, -1);
    pthread_mutex_unlock(&slabs->lock);
    slab_done(slabs, slab, bytes);
}

size_t slab_bytes(const struct slabs *slabs, const char *at)
{
    const struct slab *slab = slab_of(slabs, at);

    return slab_room(slab) + (slab->kept != NULL ? slab_room(slab->kept) : 0);
}

/* ---- huge pages -------------------------------------------------------------------------------------- */

void slabs_on_work(struct slabs *slabs, void (*wake)(void *arg), void *arg)
{
    slabs->wake = wake;
    slabs->arg = arg;
    slabs->ready_wanted = ready_least(slabs);
}

void slab_promote(struct slabs *slabs, char *_Atomic *place, uint32_t hits)
{
    bool queued = false;

    pthread_mutex_lock(&slabs->lock);
    struct slab *slab = slab_of(slabs, atomic_load_explicit(place, memory_order_relaxed));
    if (slab->state == SLAB_USED && !slab->is_huge && (uint64_t)hits * slab->used >= PROMOTE_BYTES &&
        slabs->again_ns != UINT64_MAX && slabs->wake != NULL) {
        slab->state = SLAB_QUEUED;
        slab->place = place;
        slab->moves = 0;
        list_push_back(&slabs->queue, &slab->link);
        queued = true;
    }
    pthread_mutex_unlock(&slabs->lock);
    if (queued)
        slabs_wake(slabs);
}

static hash128 near_of(const struct slabs *slabs, const struct slab *slab)
{
    return (hash128){0, (uint64_t)(slab - slabs->table) * UINT64_C(0x9E3779B97F4A7C15)};
}

/* The kernel copies: for that time a second huge page is needed. It is charged as well, and comes with room to round
 * the slab up. */
static err slab_move(struct slabs *slabs, struct slab *slab)
{
    struct store_budget *budget = slabs->budget;
    size_t more = SLAB_BYTES - slab_room(slab);
    err moved = ERR(LIMIT);

    if (more > 0) {
        pthread_mutex_lock(&slabs->lock);
        bool may = may_round(slabs, more, SLAB_ROUNDING_SHARE);
        pthread_mutex_unlock(&slabs->lock);
        ENSURE(may, REFUSED);
        ENSURE(store_budget_take(budget, slab->tenant, more, near_of(slabs, slab)), LIMIT);
    }
    if (store_budget_take(budget, STORE_TENANT_NONE, SLAB_BYTES, near_of(slabs, slab))) {
        pthread_mutex_lock(&slabs->lock);
        slabs->stats.held_bytes += SLAB_BYTES;
        pthread_mutex_unlock(&slabs->lock);
        moved = os_region_collapse(&slabs->region, slab_at(slabs, slab));
        pthread_mutex_lock(&slabs->lock);
        slabs->stats.held_bytes -= SLAB_BYTES;
        pthread_mutex_unlock(&slabs->lock);
        store_budget_give(budget, STORE_TENANT_NONE, SLAB_BYTES);
    }
    if (!err_is_ok(moved) && more > 0)
        store_budget_give(budget, slab->tenant, more);
    return moved;
}

/* Under the lock: what an attempt has taught. */
static void count_moved(struct slabs *slabs, err moved)
{
    if (err_is_ok(moved)) {
        slabs->stats.moved++;
    } else if (moved.code == ERR_SYSTEM) {
        slabs->stats.move_failures++;
        if (moved.sys == EINVAL || moved.sys == ENOSYS)
            slabs->again_ns = UINT64_MAX; /* this kernel has none */
        else if (moved.sys != EAGAIN)
            slabs->again_ns = os_clock_ns() + NO_HUGE_NS;
    }
}

static struct slab *queue_take(struct slabs *slabs)
{
    pthread_mutex_lock(&slabs->lock);
    struct list *link = list_pop_front(&slabs->queue);
    struct slab *slab = link != NULL ? container_of(link, struct slab, link) : NULL;
    if (slab != NULL)
        slab->state = SLAB_MOVING;
    pthread_mutex_unlock(&slabs->lock);
    return slab;
}

/* What sockets hold cannot be moved. A small slab, which they hold all the time when it is asked for all the time, gets
 * a copy in a ready huge page, and stays as it is for those who have its address. */
static bool slab_copy(struct slabs *slabs, struct slab *slab)
{
    struct slab *huge;
    bool was_left;

    if (slab->used > COPY_BYTES_MAX || (huge = ready_take(slabs, slab->tenant, slab->used)) == NULL)
        return false;
    memcpy(slab_at(slabs, huge), slab_at(slabs, slab), slab->used);
    pthread_mutex_lock(&slabs->lock);
    was_left = slab->state == SLAB_LEFT;
    if (!was_left) {
        huge->kept = slab;
        slab->state = SLAB_KEPT;
        slabs->stats.moved++;
        atomic_store_explicit(slab->place, slab_at(slabs, huge), memory_order_release);
    }
    pthread_mutex_unlock(&slabs->lock);
    if (was_left)
        slab_free(slabs, slab_at(slabs, huge));
    return !was_left;
}

/* Returns when to come again. */
static uint64_t queue_tend(struct slabs *slabs, struct slab *slab)
{
    err moved = slab_move(slabs, slab);
    bool was_left, again = moved.code == ERR_SYSTEM && moved.sys == EAGAIN;

    if (again && slab_copy(slabs, slab))
        return 0;
    pthread_mutex_lock(&slabs->lock);
    count_moved(slabs, moved);
    count_used(slabs, slab, -1);
    if (err_is_ok(moved)) {
        slab->is_huge = true;
        atomic_store_explicit(&slab->room, SLAB_BYTES, memory_order_relaxed);
    }
    was_left = slab->state == SLAB_LEFT;
    if (!was_left) {
        slab->state = SLAB_USED;
        count_used(slabs, slab, 1);
        again = again && ++slab->moves < MOVES_MAX;
        if (again) {
            slab->state = SLAB_QUEUED;
            list_push_back(&slabs->queue, &slab->link);
        }
    }
    pthread_mutex_unlock(&slabs->lock);
    if (was_left)
        slab_done(slabs, slab, 0);
    return again && !was_left ? MOVE_AGAIN_NS : 0;
}

/* One page is enough for the kernel to make all of them one, and to clear it. */
MUST_USE static err ready_make(struct slabs *slabs)
{
    size_t page = os_page_bytes();
    struct slab *slab = slab_take_addresses(slabs);
    err made;

    ENSURE(slab != NULL, LIMIT);
    if (!store_budget_take(slabs->budget, STORE_TENANT_NONE, SLAB_BYTES, near_of(slabs, slab))) {
        slab_give_addresses(slabs, slab);
        return ERR(LIMIT);
    }
    made = os_region_take(&slabs->region, slab_at(slabs, slab), page);
    if (err_is_ok(made))
        made = os_region_collapse(&slabs->region, slab_at(slabs, slab));
    if (!err_is_ok(made)) {
        os_region_punch(&slabs->region, slab_at(slabs, slab), SLAB_BYTES);
        slab_give_addresses(slabs, slab);
        store_budget_give(slabs->budget, STORE_TENANT_NONE, SLAB_BYTES);
        return made;
    }
    pthread_mutex_lock(&slabs->lock);
    slab->state = SLAB_READY;
    slab->is_huge = true;
    atomic_store_explicit(&slab->room, SLAB_BYTES, memory_order_relaxed);
    slabs->stats.held_bytes += SLAB_BYTES;
    slabs->ready_count++;
    list_push_back(&slabs->ready, &slab->link);
    pthread_mutex_unlock(&slabs->lock);
    return ERR_OK;
}

enum tend { TEND_WAIT, TEND_READY, TEND_DROP, TEND_MOVE };

/* What comes next, and when where nothing does. */
static enum tend tend_next(struct slabs *slabs, uint64_t now_ns, uint64_t *ret_wait_ns)
{
    enum tend next = TEND_WAIT;

    *ret_wait_ns = UINT64_MAX;
    pthread_mutex_lock(&slabs->lock);
    uint64_t idle_ns = now_ns - MIN(now_ns, slabs->wanted_ns);
    bool has_more = MAX(slabs->ready_wanted, slabs->ready_count) > ready_least(slabs);
    if (has_more && idle_ns >= READY_IDLE_NS) {
        slabs->ready_wanted = MIN(slabs->ready_wanted, ready_least(slabs));
        next = TEND_DROP;
    } else if (now_ns < slabs->again_ns) {
        if (slabs->again_ns != UINT64_MAX)
            *ret_wait_ns = slabs->again_ns - now_ns;
    } else if (slabs->ready_count < slabs->ready_wanted) {
        next = TEND_READY;
    } else if (!list_is_empty(&slabs->queue)) {
        next = TEND_MOVE;
    }
    if (has_more && next != TEND_DROP)
        *ret_wait_ns = MIN(*ret_wait_ns, READY_IDLE_NS - idle_ns);
    pthread_mutex_unlock(&slabs->lock);
    return next;
}

uint64_t slabs_tend(struct slabs *slabs)
{
    uint64_t wait_ns;
    struct slab *slab;
    err made;

    switch (tend_next(slabs, os_clock_ns(), &wait_ns)) {
    case TEND_WAIT:
        return wait_ns;
    case TEND_DROP:
        ready_drop(slabs, ready_least(slabs));
        return 0;
    case TEND_MOVE:
        slab = queue_take(slabs);
        return slab != NULL ? queue_tend(slabs, slab) : 0;
    case TEND_READY:
        break;
    }
    made = ready_make(slabs);
    pthread_mutex_lock(&slabs->lock);
    count_moved(slabs, made);
    if (!err_is_ok(made)) /* until a body asks again */
        slabs->ready_wanted = 0;
    pthread_mutex_unlock(&slabs->lock);
    return 0;
}

void slabs_stats(struct slabs *slabs, struct slab_stats *ret_stats)
{
    pthread_mutex_lock(&slabs->lock);
    *ret_stats = slabs->stats;
    pthread_mutex_unlock(&slabs->lock);
    ret_stats->table_bytes = slabs->table_charge;
}
