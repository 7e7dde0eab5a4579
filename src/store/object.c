#include "store/near.h"

#include <stdlib.h>

#define TAKE_ATTEMPTS_MAX 64 /* other takers may be faster; then the tier is too busy for this one */
#define OWN_ATTEMPTS_MAX  4
#define CLASS_BYTES_MAX   14336u /* beyond it memory is of whole pages */
#define TAIL_SAVES_MIN    32u    /* what a second allocation must save: to send two pieces costs 150 instructions */

/* ---- budget ------------------------------------------------------------------------------------------ */

/* jemalloc's classes: four to a doubling up to 14 KiB; beyond that whole pages are touched only as used. */
static size_t class_step(size_t size)
{
    size_t step = 16;

    while (step * 8 < size)
        step *= 2;
    return step;
}

uint64_t store_charge(size_t size)
{
    uint64_t step = size > CLASS_BYTES_MAX ? 4096 : class_step(size);

    return ((uint64_t)size + step - 1) & ~(step - 1);
}

size_t store_charge_floor(size_t size)
{
    size = MIN(size, CLASS_BYTES_MAX);
    return size & ~(class_step(size) - 1);
}

static bool budget_try(struct store_budget *budget, uint64_t bytes)
{
    uint64_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);

    do {
        if (bytes > budget->max || used > budget->max - bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, used + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static struct store_share *share_of(const struct store_budget *budget, uint32_t tenant)
{
    return tenant != STORE_TENANT_NONE && budget->shares != NULL ? &budget->shares[tenant] : NULL;
}

/* The tenant's own objects make room under its hard quota. */
MUST_USE static bool tenant_take(struct store_budget *budget, uint32_t tenant, uint64_t bytes, hash128 near)
{
    struct store_share *share = share_of(budget, tenant);

    if (share == NULL)
        return true;
    for (unsigned attempt = 0; UNLIKELY(!store_share_take(share, bytes)); attempt++) {
        if (attempt == OWN_ATTEMPTS_MAX || budget->make_own_room == NULL ||
            !budget->make_own_room(budget, (uint16_t)tenant, bytes, near))
            return false;
    }
    return true;
}

static void tenant_give(struct store_budget *budget, uint32_t tenant, uint64_t bytes)
{
    struct store_share *share = share_of(budget, tenant);

    if (share != NULL)
        store_share_give(share, bytes);
}

bool store_budget_take(struct store_budget *budget, uint32_t tenant, uint64_t bytes, hash128 near)
{
    if (bytes > budget->max || !tenant_take(budget, tenant, bytes, near))
        return false;
    for (unsigned attempt = 0; !budget_try(budget, bytes); attempt++) {
        if (attempt == TAKE_ATTEMPTS_MAX || budget->make_room == NULL ||
            !budget->make_room(budget, tenant, bytes, near)) {
            tenant_give(budget, tenant, bytes);
            return false;
        }
    }
    return true;
}

void store_budget_give(struct store_budget *budget, uint32_t tenant, uint64_t bytes)
{
    uint64_t before = atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);

    INVARIANT(before >= bytes);
    tenant_give(budget, tenant, bytes);
}

bool store_budget_pass(struct store_budget *budget, uint16_t to, uint64_t bytes)
{
    struct store_share *share = share_of(budget, to);

    return share == NULL || store_share_take(share, bytes);
}

bool store_budget_charge(struct store_budget *budget, uint16_t to, uint64_t bytes, hash128 near)
{
    return tenant_take(budget, to, bytes, near);
}

void store_budget_discharge(struct store_budget *budget, uint16_t to, uint64_t bytes)
{
    tenant_give(budget, to, bytes);
}

bool store_budget_fits(const struct store_budget *budget, uint16_t tenant, uint64_t bytes)
{
    return store_share_fits(&budget->shares[tenant], bytes);
}

/* ---- objects ----------------------------------------------------------------------------------------- */

static_assert(sizeof(struct stored) % 8 == 0 && sizeof(struct stored_with_body) % 8 == 0, "metadata is aligned");
static_assert(sizeof(struct store_label) == 4, "so it is behind an even number of labels");

static size_t stored_size(const struct store_object *object, bool has_body, size_t inline_bytes)
{
    return (has_body ? sizeof(struct stored_with_body) : sizeof(struct stored)) +
           store_label_room(object->label_count) * sizeof(struct store_label) + object->meta.len +
           object->key_bytes + inline_bytes;
}

static bool stored_has_body(const struct stored *stored)
{
    return stored->seen.body == &((const struct stored_with_body *)stored)->body;
}

/* The object's one allocation, or two. */
struct pieces {
    size_t head, tail;
};

/* The tail takes of the body alone. What does not save is left in one piece: a hit then touches one place. Memory of
 * whole pages always costs more: jemalloc takes one page more and moves the start about in it, so that not all of
 * them begin on the same cache lines. Measured at 16,230 bytes: 4 KiB saved. */
static struct pieces pieces_of(size_t size, size_t inline_bytes)
{
    size_t head = store_charge_floor(size + sizeof(char *)), tail = size + sizeof(char *) - head;
    bool saves = head + store_charge(tail) + TAIL_SAVES_MIN <= store_charge(size);

    if (tail == 0 || tail > inline_bytes || !(saves || (size > CLASS_BYTES_MAX && tail <= CLASS_BYTES_MAX)))
        return (struct pieces){size, 0};
    return (struct pieces){head, tail};
}

static uint64_t pieces_charge(struct pieces pieces)
{
    return store_charge(pieces.head) + (pieces.tail > 0 ? store_charge(pieces.tail) : 0);
}

static struct pieces stored_pieces(const struct stored *stored)
{
    const struct store_body *body = stored->seen.body;

    if (!stored_has_body(stored))
        return (struct pieces){stored_size(&stored->seen, false, 0), 0};
    size_t size = stored_size(&stored->seen, true, body->inline_bytes);
    if (body->tail_bytes == 0)
        return (struct pieces){size, 0};
    return (struct pieces){size + sizeof(char *) - body->tail_bytes, body->tail_bytes};
}

static char *copy_into(char *at, const void *from, size_t size)
{
    if (size > 0)
        memcpy(at, from, size);
    return at + size;
}

/* Labels, meta, key, then an inline body behind the fixed part. */
static void stored_fill(struct stored *stored, const struct stored_seed *seed)
{
    char *labels = (char *)stored + (seed->has_body ? sizeof(struct stored_with_body) : sizeof(struct stored));
    char *meta = labels + store_label_room(seed->label_count) * sizeof(struct store_label);

    copy_into(labels, seed->labels, seed->label_count * sizeof(struct store_label));
    copy_into(copy_into(meta, seed->meta.data, seed->meta.len), seed->key.full.data, seed->key.full.len);
    stored->seen.meta = slice_of(meta, seed->meta.len);
}

static void stored_body_init(struct stored *stored, const struct stored_seed *seed, char *tail, size_t tail_bytes)
{
    if (seed->has_body) {
        struct store_body *body = &((struct stored_with_body *)stored)->body;
        memset(body, 0, sizeof(*body));
        body->inline_bytes = (uint16_t)seed->inline_bytes;
        body->tail_bytes = (uint16_t)tail_bytes;
        if (tail_bytes > 0)
            memcpy(stored_inline_data(body) + (seed->inline_bytes - tail_bytes), &tail, sizeof(tail));
        stored->seen.body = body;
    } else if (seed->share != NULL) {
        stored->seen.body = &((struct stored_with_body *)seed->share)->body;
        store_object_ref(&seed->share->seen);
    }
}

struct stored *stored_new(struct store_budget *budget, const struct stored_seed *seed)
{
    struct store_object like = {
        .label_count = (uint16_t)seed->label_count,
        .key_bytes = (uint32_t)seed->key.full.len & STORE_KEY_BYTES_MAX,
        .meta = seed->meta,
    };
    struct pieces pieces =
        pieces_of(stored_size(&like, seed->has_body, seed->inline_bytes), seed->inline_bytes);
    uint32_t payer = seed->is_private ? STORE_TENANT_NONE : seed->tenant;
    char *tail = NULL;
    struct stored *stored;

    INVARIANT(seed->label_count <= STORE_LABELS_MAX);
    INVARIANT(seed->inline_bytes <= STORED_INLINE_BYTES);
    if (seed->key.full.len > STORE_KEY_BYTES_MAX ||
        !store_budget_take(budget, payer, pieces_charge(pieces), seed->key.hash))
        return NULL;
    stored = malloc(pieces.head);
    if (stored != NULL && pieces.tail > 0 && (tail = malloc(pieces.tail)) == NULL) {
        free(stored);
        stored = NULL;
    }
    if (stored == NULL) {
        store_budget_give(budget, payer, pieces_charge(pieces));
        return NULL;
    }
    memset(stored, 0, sizeof(*stored));
    stored->seen = like;
    stored->seen.hash = seed->key.hash;
    stored->seen.seq = seed->seq;
    stored->seen.stored_ms = seed->stored_ms;
    stored->seen.expires_ms = seed->expires_ms;
    stored->seen.tenant = seed->tenant;
    stored->seen.kind = seed->kind;
    stored->budget = budget;
    atomic_init(&stored->refs, 1);
    atomic_init(&stored->flags, seed->is_private ? STORED_PRIVATE : 0);
    list_init(&stored->link);
    stored_fill(stored, seed);
    stored_body_init(stored, seed, tail, pieces.tail);
    return stored;
}

uint64_t stored_bytes(const struct stored *stored)
{
    uint64_t bytes = pieces_charge(stored_pieces(stored));

    if (stored->seen.body != NULL && !stored->seen.body->is_inline)
        bytes += body_chunk_bytes(stored->seen.body);
    return bytes;
}

static __attribute__((noinline)) void stored_free(struct stored *stored)
{
    uint64_t charge = pieces_charge(stored_pieces(stored));
    struct store_budget *budget = stored->budget;
    uint32_t payer = stored_payer(stored);

    INVARIANT(!stored_is_indexed(stored));
    INVARIANT(!list_is_linked(&stored->link));
    if (stored_has_body(stored))
        body_done(stored);
    else if (stored->seen.body != NULL)
        store_object_unref(&stored_of_body(stored->seen.body)->seen);
    free(stored);
    store_budget_give(budget, payer, charge);
}

static inline struct near_entry *near_entry_here(const struct stored *stored)
{
    return near_here != NULL ? near_entry_of(near_here, stored) : NULL;
}

struct store_object *store_object_ref(struct store_object *object)
{
    struct near_entry *entry = near_entry_here(stored_of(object));

    if (entry != NULL)
        near_take(entry);
    else
        stored_ref(stored_of(object), 1);
    return object;
}

static inline void stored_unref_shared(struct stored *stored, uint32_t count)
{
    uint32_t before = atomic_fetch_sub_explicit(&stored->refs, count, memory_order_acq_rel);

    INVARIANT(before >= count);
    if (UNLIKELY(before == count))
        stored_free(stored);
}

void stored_unref(struct stored *stored, uint32_t count)
{
    stored_unref_shared(stored, count);
}

struct store_object *store_object_unref(struct store_object *object)
{
    if (object == NULL)
        return NULL;
    struct near_entry *entry = near_entry_here(stored_of(object));
    if (entry != NULL)
        near_give(near_here, entry);
    else
        stored_unref_shared(stored_of(object), 1);
    return NULL;
}
