/* store_threads: what the threads of the RAM tier do to each other, counted, not timed.
 *
 *   store_threads [OPERATIONS [shared]]    per thread; prints a table per workload, numbers per 1,000
 * operations; shared: without near tables
 *
 * A thread's turn of 100 ms comes each 5,000 operations. An operation is what a hit does with the store: a
 * lookup, a second reference for the hit handler, the body read, both references let go. The store is
 * compiled with tests/support/contention.h: every lock and every atomic write counts. Each eighth lock is
 * held across a yield, so that threads meet held locks also on two cores. */
#include "store/storage.h"
#include "tests/support/contention.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    THREADS_MAX = 16,
    OBJECTS = 10000,
    TAGS = 100,
    BODY_BYTES = 1024,
    WARM_UP = 20000,
    SAMPLES = 1 << 16,
    TURN_EVERY = 5000,
    PURGE_EVERY = 2000,
};

enum workload {
    HOT,
    ZIPF,
    MIXED,
    PURGES,
    WORKLOADS
};
static const char *const titles[] = {
    [HOT] = "one hot object",
    [ZIPF] = "Zipf over 10,000 objects",
    [MIXED] = "Zipf, 95 % lookups and 5 % fills, evicting at the cap",
    [PURGES] = "Zipf, with purges of tags running (what was purged is filled again)",
};

struct bench_thread {
    struct os_thread *thread;
    struct store_near *near;
    unsigned index;
    uint64_t random;
    uint64_t operations, found;
    struct contention counted;
};

static struct {
    struct storage *storage;
    enum workload workload;
    uint64_t operations;
    bool has_near;
    uint16_t zipf[SAMPLES];
    char keys[OBJECTS][48];
    pthread_barrier_t barrier;
} bench;

static uint64_t random_next(struct bench_thread *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    return t->random;
}

static void zipf_init(void)
{
    static double sums[OBJECTS];
    double sum = 0;
    unsigned object = 0;

    for (unsigned i = 0; i < OBJECTS; i++)
        sums[i] = sum += 1.0 / (i + 1);
    for (unsigned i = 0; i < SAMPLES; i++) {
        while (sums[object] < sum * (i + 0.5) / SAMPLES)
            object++;
        bench.zipf[i] = (uint16_t)object;
    }
}

static struct store_key key_of(unsigned object)
{
    return storage_key(bench.storage, slice_str(bench.keys[object]));
}

static void fill(unsigned object)
{
    struct store_label label = {object % TAGS};
    uint64_t seq = storage_pin_seq(bench.storage);
    struct store_fill fill = {.key = key_of(object),
                              .seq = seq,
                              .meta = SLICE("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"),
                              .labels = &label,
                              .label_count = 1,
                              .length_bytes = BODY_BYTES};
    size_t room;
    char *at;

    (void)storage_get_miss_handler(bench.storage, &fill);
    storage_unpin_seq(bench.storage, seq);
    if (fill.miss_handler == NULL)
        return;
    while (miss_handler_written(fill.miss_handler) < BODY_BYTES &&
           miss_handler_room(fill.miss_handler, &at, &room)) {
        memset(at, 'b', room);
        miss_handler_wrote(fill.miss_handler, room);
    }
    miss_handler_finish(fill.miss_handler);
}

static bool hit(unsigned object)
{
    struct store_lookup lookup = {.key = key_of(object)};
    struct hit_handler reader;
    unsigned count;
    slice bytes;

    (void)storage_lookup(bench.storage, &lookup);
    if (lookup.object == NULL)
        return false;
    if (store_object_is_complete(lookup.object)) {
        hit_handler_open(&reader, store_object_ref(lookup.object), NULL);
        while (source_peek(&reader.source, &bytes, 1, &count) == SOURCE_READY)
            source_consume(&reader.source, bytes.len);
        hit_handler_close(&reader, NULL);
    }
    store_object_unref(lookup.object);
    return true;
}

static void purge(struct bench_thread *t)
{
    struct store_purge purge = {
        .kind = STORE_LABEL_TAG, .label = {(uint32_t)(random_next(t) % TAGS)}, .uncounted = true};

    (void)storage_purge(bench.storage, &purge);
}

static void operation(struct bench_thread *t, uint64_t n)
{
    unsigned object = bench.workload == HOT ? 0 : bench.zipf[random_next(t) % SAMPLES];

    if (bench.workload == PURGES && n % PURGE_EVERY == 0 && t->index == 0)
        purge(t);
    if (n % TURN_EVERY == 0 && t->index == 0)
        storage_turn(bench.storage, os_wall_ms());
    if (n % TURN_EVERY == 0)
        store_near_turn(t->near);
    if (bench.workload == MIXED && random_next(t) % 20 == 0)
        fill(object);
    else if (hit(object))
        t->found++;
    else if (bench.workload == PURGES || bench.workload == MIXED)
        fill(object);
}

static void run(void *arg)
{
    struct bench_thread *t = arg;

    t->near = bench.has_near ? storage_near_new(bench.storage) : NULL;
    store_near_enter(t->near);
    for (uint64_t i = 0; i < WARM_UP; i++)
        operation(t, i);
    pthread_barrier_wait(&bench.barrier);
    contention = (struct contention){0};
    t->found = 0;
    for (uint64_t i = 1; i <= bench.operations; i++)
        operation(t, i);
    t->counted = contention;
    t->operations = bench.operations;
    t->near = store_near_free(t->near);
    pthread_barrier_wait(&bench.barrier);
}

static void store_open(void)
{
    struct store_ram_config config = {.max_bytes = bench.workload == MIXED ? 8u << 20 : 256u << 20};

    if (!err_is_ok(store_ram_new(&config, &bench.storage)))
        abort();
    for (unsigned i = 0; i < OBJECTS; i++) {
        snprintf(bench.keys[i], sizeof(bench.keys[i]), "1|http|example.com|/object/%u", i);
        fill(i);
    }
}

static void print_row(const struct bench_thread *all, unsigned threads)
{
    struct contention sum = {0};
    uint64_t operations = 0, found = 0;

    for (unsigned i = 0; i < threads; i++) {
        operations += all[i].operations;
        found += all[i].found;
        for (unsigned k = 0; k < CONTENTION_COUNT; k++)
            sum.count[k] += all[i].counted.count[k];
    }
    printf("%7u %5.1f%%", threads, 100.0 * (double)found / (double)operations);
    for (unsigned k = 0; k < CONTENTION_COUNT; k++)
        printf(" %10.2f", 1000.0 * (double)sum.count[k] / (double)operations);
    printf("\n");
}

static void print_head(void)
{
    printf("\n%s; per 1,000 operations\nthreads   hits", titles[bench.workload]);
#define X(name, text) printf(" %10s", #name);
    CONTENTION_KINDS(X)
#undef X
    printf("\n");
}

static void run_with(unsigned threads)
{
    static struct bench_thread all[THREADS_MAX];

    store_open();
    pthread_barrier_init(&bench.barrier, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        all[i] = (struct bench_thread){.index = i, .random = 88172645463325252ull + i * 7919};
        if (!err_is_ok(os_thread_start("bench", run, &all[i], &all[i].thread)))
            abort();
    }
    for (unsigned i = 0; i < threads; i++)
        os_thread_join(all[i].thread);
    pthread_barrier_destroy(&bench.barrier);
    print_row(all, threads);
    bench.storage = storage_free(bench.storage);
}

int main(int argc, char **argv)
{
    bench.operations = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    bench.has_near = argc <= 2 || strcmp(argv[2], "shared") != 0;
    contention_yield_every = 8;
    zipf_init();
    printf("columns:\n");
#define X(name, text) printf("  %-10s %s\n", #name, text);
    CONTENTION_KINDS(X)
#undef X
    for (bench.workload = HOT; bench.workload < WORKLOADS; bench.workload++) {
        print_head();
        for (unsigned threads = 1; threads <= THREADS_MAX; threads *= 2)
            run_with(threads);
    }
    return 0;
}
