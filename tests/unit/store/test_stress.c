/* Four threads, each with its own loop: fills, readers that follow other threads' fills, updates, purges,
 * sweeps, in a tier too small for all of it. Every byte is checked. Meant for the thread sanitizer as well.
 */
#include "store_test.h"

enum {
    THREADS = 4,
    STEPS = 6000,
    OBJECTS = 300,
    READERS = 24
};

struct stress_reader {
    struct hit_handler hit;
    uint64_t object;
    bool is_open, is_gone;
};

struct stress {
    struct storage *storage;
    struct os_thread *thread;
    struct store_near *near;
    unsigned seed;
    struct loop *loop;
    struct miss_handler *miss;
    uint64_t object, left;
    struct stress_reader readers[READERS];
    uint64_t bytes, ended, failed;
};

/* cmocka's asserts belong to the main thread. */
static void stress_drain(struct stress *s, struct stress_reader *reader)
{
    slice slices[3];
    unsigned count;

    for (;;) {
        enum source_state state = source_peek(&reader->hit.source, slices, 3, &count);
        if (state == SOURCE_END)
            s->ended++;
        if (state == SOURCE_FAILED)
            s->failed++;
        if (state != SOURCE_READY)
            return;
        size_t n = 0;
        for (unsigned k = 0; k < count; k++) {
            for (size_t i = 0; i < slices[k].len; i++)
                INVARIANT(slices[k].data[i] == body_byte(reader->object, reader->hit.at + n + i));
            n += slices[k].len;
        }
        s->bytes += n;
        source_consume(&reader->hit.source, n);
    }
}

static void stress_ready(void *arg)
{
    struct stress_reader *reader = arg;
    slice s;
    unsigned count;

    (void)source_peek(&reader->hit.source, &s, 1, &count);
}

static void stress_gone(struct hit_handler *hit)
{
    container_of(hit, struct stress_reader, hit)->is_gone = true;
}

static void stress_open(struct stress *s, struct stress_reader *reader, uint64_t object)
{
    char buffer[80];
    struct store_lookup lookup = {.key = storage_key(s->storage, key_text(buffer, sizeof(buffer), object))};

    if (reader->is_open) {
        reader->is_gone = false;
        hit_handler_close(&reader->hit, stress_gone);
        while (!reader->is_gone)
            (void)loop_turn(s->loop, loop_now_ns(s->loop));
        reader->is_open = false;
    }
    storage_lookup(s->storage, &lookup);
    if (lookup.object == NULL)
        return;
    reader->is_open = true;
    reader->object = object;
    hit_handler_open(&reader->hit, lookup.object, s->loop);
    source_set_reader(&reader->hit.source, stress_ready, reader);
}

static void stress_fill(struct stress *s, unsigned random)
{
    if (s->miss == NULL) {
        char buffer[80];
        struct store_label label = {(uint32_t)(random % 40)};
        uint64_t seq = storage_pin_seq(s->storage);
        struct store_fill fill = {
            .op = {.loop = s->loop}, .seq = seq, .meta = SLICE("meta"), .labels = &label, .label_count = 1};
        s->object = random % OBJECTS;
        s->left = random % 7 == 0 ? random % 600000 : random % 30000;
        fill.key = storage_key(s->storage, key_text(buffer, sizeof(buffer), s->object));
        fill.length_bytes = random % 3 == 0 ? -1 : (int64_t)s->left;
        storage_get_miss_handler(s->storage, &fill);
        storage_unpin_seq(s->storage, seq);
        s->miss = fill.miss_handler;
    } else if (s->left > 0 && random % 50 != 0) {
        s->left -= put_bytes(s->miss, s->object, MIN(s->left, 1 + random % 60000));
        if (miss_handler_is_window(s->miss) && !miss_handler_has_readers(s->miss)) {
            miss_handler_drop(s->miss);
            s->miss = NULL;
        }
    } else {
        if (s->left == 0)
            miss_handler_finish(s->miss);
        else
            miss_handler_drop(s->miss);
        s->miss = NULL;
    }
}

static void stress_update(struct stress *s, struct stress_reader *reader)
{
    struct store_label label = {(uint32_t)(reader->object % 40)};
    struct store_update update = {.meta = SLICE("new meta"), .labels = &label, .label_count = 1};

    if (!reader->is_open)
        return;
    update.object = reader->hit.object;
    update.seq = storage_pin_seq(s->storage);
    storage_update_meta(s->storage, &update);
    storage_unpin_seq(s->storage, update.seq);
    store_object_unref(update.updated);
}

static void stress_purge(struct stress *s, unsigned random)
{
    struct store_purge purge = {.kind = random % 60 == 0 ? STORE_LABEL_TENANT : STORE_LABEL_TAG,
                                .label = {(uint32_t)(random % 40)},
                                .soft = random % 3 == 0};

    storage_purge(s->storage, &purge);
}

static void stress_run(void *arg)
{
    struct stress *s = arg;
    struct loop_config config = {.os.io = OS_IO_EPOLL};

    INVARIANT(err_is_ok(loop_new(&config, &s->loop)));
    s->near = storage_near_new(s->storage);
    INVARIANT(s->near != NULL);
    store_near_enter(s->near);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned random = (unsigned)rand_r(&s->seed);
        struct stress_reader *reader = &s->readers[random / 64 % READERS];
        switch (random % 16) {
        case 0:
        case 1:
        case 2:
            stress_open(s, reader, (unsigned)rand_r(&s->seed) % OBJECTS);
            break;
        case 3:
            stress_update(s, reader);
            break;
        case 4:
            if (random % 5 == 0)
                stress_purge(s, (unsigned)rand_r(&s->seed));
            break;
        case 5:
        case 6:
        case 7:
        case 8:
            if (reader->is_open)
                stress_drain(s, reader);
            break;
        default:
            stress_fill(s, (unsigned)rand_r(&s->seed));
            break;
        }
        (void)loop_turn(s->loop, loop_now_ns(s->loop));
        if (step % 64 == 0)
            store_near_turn(s->near);
    }
    miss_handler_drop(s->miss);
    store_near_free(s->near);
}

/* Mail of one thread may come from another: readers close when all have stopped filling. */
static void stress_end(struct stress *s)
{
    for (unsigned i = 0; i < READERS; i++)
        if (s->readers[i].is_open)
            hit_handler_close(&s->readers[i].hit, stress_gone);
    for (unsigned i = 0; i < 10; i++)
        (void)loop_turn(s->loop, loop_now_ns(s->loop));
    loop_free(s->loop);
}

static void test_threads(void **state)
{
    struct storage *storage = tier_new(3 * MIB);
    static struct stress all[THREADS];
    uint64_t bytes = 0, ended = 0, failed = 0;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        all[i] = (struct stress){.storage = storage, .seed = 1000 + i};
        assert_true(err_is_ok(os_thread_start("stress", stress_run, &all[i], &all[i].thread)));
    }
    for (unsigned i = 0; i < 200; i++) {
        storage_turn(storage, os_wall_ms());
        assert_true(tier_used(storage) <= 3 * MIB);
    }
    for (unsigned i = 0; i < THREADS; i++)
        os_thread_join(all[i].thread);
    for (unsigned i = 0; i < THREADS; i++) {
        stress_end(&all[i]);
        bytes += all[i].bytes;
        ended += all[i].ended;
        failed += all[i].failed;
    }
    print_message("%llu bytes read, %llu ends, %llu failures, %llu evictions\n", (unsigned long long)bytes,
                  (unsigned long long)ended, (unsigned long long)failed,
                  (unsigned long long)tier_stats(storage).evictions);
    assert_true(ended > 100);
    purge_label(storage, 0, STORE_LABEL_TENANT, (struct store_label){0}, false);
    sweep(storage);
    assert_int_equal(tier_stats(storage).objects, 0);
    assert_int_equal(storage_tenant_bytes(storage, 0), 0);
    assert_int_equal(tier_stats(storage).size_bytes, 0);
    storage_free(storage);
}

static void test_threads_in_slabs(void **state)
{
    tier_slabs.from_bytes = 8192;
    tier_slabs.bytes = 16384;
    test_threads(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_threads_in_slabs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
