/* What warp-sim says of WARP: against a plain simulation of the same policy without segments, ghosts of four bytes or any
 * other of the tier's means; and what a few requests by hand must lead to. */
#include "replay/key_table.h"
#include "replay/policy.h"
#include "store/storage.h"

#include "base/hash.h"
#include "base/list.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MIB  (UINT64_C(1) << 20)
#define S_NS UINT64_C(1000000000)

/* ---- the plain simulation ------------------------------------------------------------------------------------------ */

/* RAM: two lists. Disk: two lists of exact bytes. Ghosts: for each object where it left and the bytes that left there. */
struct object {
    struct list ram, disk; /* links; in no list where it is not there */
    uint64_t bytes;
    uint64_t left_at; /* the clock of where it left; 0: no ghost */
    uint8_t left, ram_use, hits;
    bool is_in_ram, is_in_ram_main, is_on_disk, is_in_main, was_offered;
};
enum { SEEN, SMALL, MAIN, PLACES };

struct plain {
    struct object *objects;
    struct list ram_small, ram_main, small, main;
    uint64_t ram_small_bytes, ram_main_bytes, small_bytes, main_bytes;
    uint64_t ram_max, disk_max, logs_bytes;
    uint64_t clocks[PLACES];
    double share;
    bool was_full;
    uint64_t written;
};

static void left(struct plain *p, struct object *object, uint8_t place)
{
    p->clocks[place] += object->bytes;
    object->left = place;
    object->left_at = p->clocks[place];
}

static bool is_ghost(const struct plain *p, const struct object *object)
{
    return object->left_at != 0 && p->clocks[object->left] - object->left_at <= 2 * p->logs_bytes;
}

static void write_to(struct plain *p, struct object *object, bool to_main, uint8_t hits)
{
    object->is_on_disk = true;
    object->is_in_main = to_main;
    object->hits = hits;
    list_push_back(to_main ? &p->main : &p->small, &object->disk);
    *(to_main ? &p->main_bytes : &p->small_bytes) += object->bytes;
    p->written += object->bytes;
}

static void make_room(struct plain *p)
{
    while (p->small_bytes + p->main_bytes > p->disk_max) {
        bool from_small = (double)p->small_bytes > p->share * (double)(p->small_bytes + p->main_bytes) || p->main_bytes == 0;
        struct object *victim = container_of(list_pop_front(from_small ? &p->small : &p->main), struct object, disk);
        p->was_full = true;
        *(from_small ? &p->small_bytes : &p->main_bytes) -= victim->bytes;
        victim->is_on_disk = false;
        if (victim->hits > 0)
            write_to(p, victim, true, from_small ? 0 : (uint8_t)(victim->hits - 1));
        else
            left(p, victim, from_small ? SMALL : MAIN);
    }
}

/* Of 64 ticks in which a ghost is forgotten. */
static bool is_tick_ago(const struct plain *p, const struct object *object)
{
    uint64_t tick = 2 * p->logs_bytes / 64;

    return p->clocks[object->left] / tick > object->left_at / tick;
}

static void plain_offer(struct plain *p, struct object *object, bool was_used)
{
    bool to_main = is_ghost(p, object) && (object->left != SEEN || (was_used && is_tick_ago(p, object)));

    object->left_at = 0;
    write_to(p, object, to_main, 0);
    make_room(p);
}

static void ram_put(struct plain *p, struct object *object)
{
    object->is_in_ram = true;
    object->is_in_ram_main = false;
    object->ram_use = 0;
    list_push_back(&p->ram_small, &object->ram);
    p->ram_small_bytes += object->bytes;
    while (p->ram_small_bytes + p->ram_main_bytes > p->ram_max) {
        uint64_t all = p->ram_small_bytes + p->ram_main_bytes;
        bool from_small = p->ram_small_bytes * 100 > all * STORE_PROBATION_OVER_DISK_PERCENT || p->ram_main_bytes == 0;
        struct object *victim = container_of(list_pop_front(from_small ? &p->ram_small : &p->ram_main), struct object, ram);
        *(from_small ? &p->ram_small_bytes : &p->ram_main_bytes) -= victim->bytes;
        unsigned wanted = from_small && victim->bytes > 256 * 1024 ? 2 : 1;
        victim->is_in_ram = victim->ram_use >= wanted;
        if (!victim->is_in_ram)
            continue;
        victim->ram_use = from_small ? 0 : (uint8_t)(victim->ram_use - 1);
        victim->is_in_ram_main = true;
        list_push_back(&p->ram_main, &victim->ram);
        p->ram_main_bytes += victim->bytes;
    }
}

static void plain_missed(struct plain *p, struct object *object)
{
    bool was_seen = is_ghost(p, object);
    uint64_t ago = p->clocks[object->left] - object->left_at;

    if (was_seen && object->left != SEEN && ago < p->logs_bytes / 10) {
        double moved = (double)object->bytes / (double)p->logs_bytes;
        p->share = fmax(0.02, fmin(0.9, p->share + (object->left == SMALL ? moved : -moved)));
    }
    if (!was_seen)
        left(p, object, SEEN);
    object->was_offered = was_seen || !p->was_full;
    if (object->was_offered)
        plain_offer(p, object, was_seen);
    ram_put(p, object);
}

static bool plain_ask(struct plain *p, struct object *object)
{
    if (object->is_on_disk)
        object->hits = (uint8_t)MIN(object->hits + 1, 3);
    if (object->is_in_ram) {
        object->ram_use = (uint8_t)MIN(object->ram_use + 1, 3);
        if (!object->is_on_disk && !object->was_offered) {
            object->was_offered = true;
            plain_offer(p, object, true);
        }
        return true;
    }
    if (object->is_on_disk) {
        ram_put(p, object);
        return true;
    }
    plain_missed(p, object);
    return false;
}

/* Byte hit ratio of a generated trace; capacity: what the tier's logs can hold without their reserve. */
static double plain_ratio(const struct generate_config *config, uint64_t ram_bytes, uint64_t logs_bytes, uint64_t capacity, uint64_t *ret_written)
{
    struct plain p = {.ram_max = ram_bytes, .disk_max = capacity, .logs_bytes = logs_bytes, .share = 0.02};
    struct key_table first = {0}; /* an object's first slice */
    struct generator *generator = generator_new(config);
    uint64_t bytes = 0, hit_bytes = 0, count = 0, room = 4 * config->requests;
    struct generated request;

    p.objects = calloc(room, sizeof(*p.objects));
    list_init(&p.ram_small);
    list_init(&p.ram_main);
    list_init(&p.small);
    list_init(&p.main);
    while (generator_next(generator, &request)) {
        uint64_t slices = (request.bytes + MIB - 1) / MIB;
        if (key_table_find(&first, request.object) == KEY_NONE) {
            key_table_add(&first, request.object, (uint32_t)count);
            for (uint64_t i = 0; i < slices; i++, count++)
                p.objects[count].bytes = MIN(request.bytes - i * MIB, MIB);
            assert_true(count + 300 < room);
        }
        uint32_t at = key_table_find(&first, request.object);
        for (uint64_t i = 0; i < slices; i++)
            hit_bytes += plain_ask(&p, &p.objects[at + i]) ? p.objects[at + i].bytes : 0;
        bytes += request.bytes;
    }
    generator_free(generator);
    key_table_done(&first);
    free(p.objects);
    *ret_written = p.written;
    return (double)hit_bytes / (double)bytes;
}

/* ---- the tier ------------------------------------------------------------------------------------------------------- */

static uint64_t working_set(const struct generate_config *config)
{
    struct generator *generator = generator_new(config);
    struct key_table seen = {0};
    struct generated request;
    uint64_t bytes = 0;

    while (generator_next(generator, &request)) {
        if (key_table_find(&seen, request.object) != KEY_NONE)
            continue;
        key_table_add(&seen, request.object, 0);
        bytes += request.bytes;
    }
    generator_free(generator);
    key_table_done(&seen);
    return bytes;
}

static double tier_ratio(const struct generate_config *config, const struct policy_config *policy_config, uint64_t *ret_written)
{
    struct policy *policy = policy_warp.new(policy_config);
    struct trace *trace = trace_generate(config);
    struct trace_request request;
    uint64_t bytes = 0, hit_bytes = 0;

    while (trace_next(trace, &request) == TRACE_REQUEST) {
        bytes += request.bytes;
        hit_bytes += policy->kind->request(policy, &request);
    }
    *ret_written = policy->written_bytes;
    trace_free(trace);
    policy->kind->free(policy);
    return (double)hit_bytes / (double)bytes;
}

/* 1,000 requests a second for a million of them: probation holds less than three seconds, unless RAM is larger. */
static void assert_alike(enum generate_like like, uint64_t seed)
{
    struct generate_config config = {.like = like, .seed = seed, .requests = 1000000};
    struct policy_config policy = {.bytes = working_set(&config) / 10};
    uint64_t logs, capacity;
    uint64_t tier_written, plain_written;

    policy.memory_bytes = policy.bytes / 5;
    struct policy_shape shape = policy_warp_shape(&policy);
    logs = shape.segments * shape.segment_bytes;
    capacity = logs - 4 * shape.segment_bytes; /* three free, two filling */
    double tier = tier_ratio(&config, &policy, &tier_written);
    double plain = plain_ratio(&config, policy.memory_bytes, logs, capacity, &plain_written);
    print_message("%s %llu: tier %.4f, plain %.4f; written %.2f GB, %.2f GB\n", like == GENERATE_SYN ? "syn" : "short",
                  (unsigned long long)seed, tier, plain, (double)tier_written / 1e9, (double)plain_written / 1e9);
    assert_true(fabs(tier - plain) < 0.005);
    assert_true(fabs((double)tier_written / (double)plain_written - 1) < 0.1);
}

static void test_against_plain(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++)
        assert_alike(GENERATE_SYN, seed);
    assert_alike(GENERATE_SHORT, 1);
}

/* ---- by hand -------------------------------------------------------------------------------------------------------- */

#define SIZE (64 * MIB)

static struct policy *tier_make(uint64_t memory_bytes, uint64_t write_bytes_per_s)
{
    struct policy_config config = {.bytes = SIZE, .memory_bytes = memory_bytes, .write_bytes_per_s = write_bytes_per_s};

    return policy_warp.new(&config);
}

static uint64_t ask(struct policy *policy, uint64_t seconds, uint64_t object, uint64_t bytes)
{
    struct trace_request request = {.time_ns = seconds * S_NS, .object = hash64(slice_of(&object, sizeof(object)), 0), .bytes = bytes};

    return policy->kind->request(policy, &request);
}

/* While there is room everything is written, once. */
static void test_everything_fits(void **state)
{
    struct policy *tier = tier_make(4 * MIB, 0);

    (void)state;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(ask(tier, round, i, 100000), round == 0 ? 0 : 100000);
    assert_int_equal(tier->hits, 200);
    assert_in_range(tier->written_bytes, 100 * 100000, 100 * (100000 + 512) + 30 * 4096);
    tier->kind->free(tier);
}

/* Once it is full, what nobody asks for again is not written; what is asked for twice is. */
static void test_probation(void **state)
{
    struct policy *tier = tier_make(8 * MIB, 0);
    uint64_t now = 1, full;

    (void)state;
    for (unsigned i = 0; i < 2000; i++) /* a second each: probation is long */
        assert_int_equal(ask(tier, now++, i, 100000), 0);
    full = tier->written_bytes;
    assert_in_range(full, SIZE * 7 / 10, SIZE);
    for (unsigned i = 5000; i < 6000; i++)
        assert_int_equal(ask(tier, now++, i, 100000), 0);
    assert_int_equal(tier->written_bytes, full);
    assert_int_equal(ask(tier, now++, 7000, 100000), 0);
    assert_int_equal(ask(tier, now++, 7000, 100000), 100000); /* in RAM */
    assert_in_range(tier->written_bytes, full + 100000, full + 100512 + 8192);
    for (unsigned i = 8000; i < 8200; i++)
        (void)ask(tier, now++, i, 100000);
    assert_int_equal(ask(tier, now++, 7000, 100000), 100000); /* gone from RAM, found on disk */
    assert_int_equal(ask(tier, now++, 8000, 100000), 0);      /* gone from RAM, and seen not long ago */
    for (unsigned i = 9000; i < 9200; i++)
        (void)ask(tier, now++, i, 100000);
    assert_int_equal(ask(tier, now++, 8000, 100000), 100000);
    tier->kind->free(tier);
}

/* A large body is there by slices: what is left of it counts. */
static void test_slices(void **state)
{
    struct policy *tier = tier_make(4 * MIB, 0);

    (void)state;
    assert_int_equal(ask(tier, 1, 1, 10 * MIB + 5), 0);
    assert_int_equal(ask(tier, 2, 1, 10 * MIB + 5), 10 * MIB + 5);
    assert_int_equal(tier->hits, 1);
    assert_int_equal(ask(tier, 3, 2, 500 * MIB), 0); /* larger than all of it */
    uint64_t left = ask(tier, 4, 2, 500 * MIB);
    assert_true(left < SIZE);
    assert_int_equal(tier->hits, 1);
    assert_int_equal(ask(tier, 5, 3, 0), 0);
    assert_int_equal(ask(tier, 6, 3, 0), 0);
    assert_int_equal(tier->hits, 2); /* nothing at all, and it was there */
    tier->kind->free(tier);
}

/* Without RAM there is no probation: while it is full, only what was seen lately is written. */
static void test_no_memory(void **state)
{
    struct policy *tier = tier_make(0, 0);
    uint64_t now = 1, full;

    (void)state;
    for (unsigned i = 0; i < 2000; i++)
        (void)ask(tier, now++, i, 100000);
    full = tier->written_bytes;
    assert_int_equal(ask(tier, now++, 5000, 100000), 0);
    assert_int_equal(tier->written_bytes, full);
    assert_int_equal(ask(tier, now++, 5000, 100000), 0);
    assert_int_equal(ask(tier, now++, 5000, 100000), 100000);
    tier->kind->free(tier);
}

/* I12 with segments round it: rate times time, what may be spent at once, the first filling; one segment's rest. */
static void test_budget(void **state)
{
    struct policy *tier = tier_make(4 * MIB, 20000);
    uint64_t seconds = 4000;

    (void)state;
    for (uint64_t i = 0; i < 20 * seconds; i++)
        (void)ask(tier, i / 20, i % 5 < 2 ? i / 5 : i, 100000);
    assert_true(tier->written_bytes <= SIZE + 20000 * (seconds + 600) + 2 * MIB);
    assert_true(tier->written_bytes > 20000 * seconds);
    tier->kind->free(tier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_plain), cmocka_unit_test(test_everything_fits), cmocka_unit_test(test_probation),
        cmocka_unit_test(test_slices),        cmocka_unit_test(test_no_memory),       cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
