/* Quotas that change while others fill, look up and keep house: three threads of tenants, one that sets. Meant for the thread
 * sanitizer as well. */
#include "store_test.h"

enum {
    TENANTS = 3,
    THREADS = TENANTS + 1,
    STEPS = 3000,
    OBJECTS = 400,
    BODY_MAX = 20000,
    TIER = 4 * MIB,
    HARD = 700000, /* of the first one: it never changes */
};

struct filler {
    struct storage *storage;
    struct os_thread *thread;
    _Atomic bool *are_done;
    struct store_near *near;
    unsigned seed;
    uint16_t tenant;
    uint64_t stored, found;
};

static unsigned filler_random(struct filler *f)
{
    f->seed = f->seed * 1103515245u + 12345u;
    return f->seed >> 8;
}

static slice filler_key(const struct filler *f, unsigned object, char *text)
{
    return slice_of(text, (size_t)sprintf(text, "%u %u", f->tenant, object));
}

static void filler_fill(struct filler *f, unsigned object)
{
    static const char body[BODY_MAX];
    char text[32];
    size_t left = 1 + filler_random(f) % BODY_MAX, taken = 1;
    bool is_known = filler_random(f) % 3 != 0;
    struct store_fill fill = {.key = storage_key(f->storage, filler_key(f, object, text)), .tenant = f->tenant, .kind = STORE_ANSWER,
                              .meta = SLICE("meta"), .length_bytes = is_known ? (int64_t)left : -1};

    fill.seq = storage_pin_seq(f->storage);
    storage_get_miss_handler(f->storage, &fill);
    storage_unpin_seq(f->storage, fill.seq);
    if (fill.miss_handler == NULL)
        return;
    while (left > 0 && taken > 0) {
        taken = miss_handler_write(fill.miss_handler, slice_of(body, left));
        left -= taken;
    }
    f->stored += left == 0;
    if (left == 0)
        miss_handler_finish(fill.miss_handler);
    else
        miss_handler_drop(fill.miss_handler);
}

/* cmocka's asserts belong to the main thread. */
static void filler_run(void *arg)
{
    struct filler *f = arg;
    char text[32];

    store_near_enter(f->near);
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned object = filler_random(f) % OBJECTS;
        struct store_lookup lookup = {.key = storage_key(f->storage, filler_key(f, object, text))};
        storage_lookup(f->storage, &lookup);
        f->found += lookup.object != NULL;
        if (lookup.object == NULL || filler_random(f) % 8 == 0)
            filler_fill(f, object);
        store_object_unref(lookup.object);
        if (i % 64 == 0)
            store_near_turn(f->near);
        INVARIANT(storage_tenant_bytes(f->storage, 1) <= HARD);
    }
    store_near_enter(NULL);
}

static void setter_run(void *arg)
{
    struct filler *f = arg;

    for (unsigned i = 0; !atomic_load(f->are_done); i++) {
        unsigned random = filler_random(f);
        struct store_quota quota = {.guaranteed_bytes = random % 2 == 0 ? random % (TIER / 4) : 0,
                                    .soft_bytes = random % 3 == 0 ? filler_random(f) % TIER : STORE_NO_LIMIT,
                                    .hard_bytes = random % 5 < 2 ? filler_random(f) % TIER : STORE_NO_LIMIT};
        uint16_t tenant = (uint16_t)(1 + filler_random(f) % TENANTS);
        if (tenant == 1)
            quota.hard_bytes = HARD;
        storage_quota_set(f->storage, 0, tenant, &quota);
        if (i % 4 == 0)
            storage_turn(f->storage, 0);
    }
}

static uint64_t used_bytes(const struct storage *storage)
{
    struct store_stats stats;

    storage_stats(storage, &stats);
    return stats.size_bytes;
}

static void test_quotas_change_under_fills(void **state)
{
    struct storage *storage = tier_new(TIER);
    struct filler fillers[THREADS];
    _Atomic bool are_done = false;
    uint64_t sum = 0, stored = 0;

    (void)state;
    storage_quota_set(storage, 0, 1, &(struct store_quota){0, STORE_NO_LIMIT, HARD});
    for (unsigned i = 0; i < THREADS; i++)
        fillers[i] = (struct filler){.storage = storage, .are_done = &are_done, .near = i < TENANTS ? storage_near_new(storage) : NULL, .seed = i + 1, .tenant = (uint16_t)(i + 1)};
    for (unsigned i = 0; i < THREADS; i++)
        assert_true(err_is_ok(os_thread_start("quotas", i < TENANTS ? filler_run : setter_run, &fillers[i], &fillers[i].thread)));
    for (unsigned i = 0; i < TENANTS; i++)
        os_thread_join(fillers[i].thread);
    atomic_store(&are_done, true);
    os_thread_join(fillers[TENANTS].thread);
    for (unsigned i = 0; i < TENANTS; i++) {
        stored += fillers[i].stored;
        store_near_free(fillers[i].near);
    }
    for (uint16_t i = 1; i <= TENANTS; i++)
        sum += storage_tenant_bytes(storage, i);
    assert_true(stored > 100);
    assert_int_equal(sum, used_bytes(storage));

    /* all of it goes, and nothing is left of the accounts */
    for (uint16_t i = 1; i <= TENANTS; i++)
        storage_quota_set(storage, 0, i, &(struct store_quota){0, STORE_NO_LIMIT, 0});
    for (unsigned i = 0; i < 100; i++)
        storage_turn(storage, 0);
    for (uint16_t i = 1; i <= TENANTS; i++)
        assert_int_equal(storage_tenant_bytes(storage, i), 0);
    assert_int_equal(used_bytes(storage), 0);
    storage_free(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quotas_change_under_fills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
