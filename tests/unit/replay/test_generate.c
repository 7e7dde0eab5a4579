/* The made traces are what generate.h says, and the same for a seed. */
#include "replay/generate.h"

#include <math.h>
#include <stdlib.h>

enum {
    REQUESTS = 600000
};

struct object {
    uint64_t first, last, uses, bytes;
};

struct seen {
    struct object *objects;
    uint64_t count, bytes, fingerprint;
};

static struct seen see(enum generate_like like, uint64_t seed)
{
    struct generate_config config = {.like = like, .seed = seed, .requests = REQUESTS};
    struct generator *generator = generator_new(&config);
    struct seen seen = {.objects = calloc(2 * REQUESTS, sizeof(*seen.objects))};
    struct generated request;
    uint64_t number = 0;

    while (generator_next(generator, &request)) {
        assert_int_equal(request.number, number++);
        assert_true(request.object < 2 * REQUESTS);
        assert_in_range(request.bytes, 64, 256000000);
        struct object *object = &seen.objects[request.object];
        if (object->uses++ == 0) {
            object->first = request.number;
            object->bytes = request.bytes;
            seen.count++;
        }
        assert_int_equal(object->bytes, request.bytes);
        object->last = request.number;
        seen.bytes += request.bytes;
        seen.fingerprint = (seen.fingerprint ^ request.object ^ request.bytes << 32) * UINT64_C(0x9e3779b97f4a7c15);
    }
    assert_int_equal(number, REQUESTS);
    generator_free(generator);
    return seen;
}

static double part(uint64_t some, uint64_t all)
{
    return (double)some / (double)all;
}

static void assert_near(double is, double wanted, double by)
{
    if (fabs(is - wanted) > by)
        fail_msg("%.4f, not %.4f by %.4f", is, wanted, by);
}

static void test_seeds(void **state)
{
    (void)state;
    for (int like = GENERATE_SYN; like <= GENERATE_SHORT; like++) {
        struct seen one = see((enum generate_like)like, 1), again = see((enum generate_like)like, 1), two = see((enum generate_like)like, 2);
        assert_int_equal(one.fingerprint, again.fingerprint);
        assert_int_not_equal(one.fingerprint, two.fingerprint);
        free(one.objects);
        free(again.objects);
        free(two.objects);
    }
}

/* Of objects, whatever the seed. */
static void assert_sizes(const struct seen *seen)
{
    uint64_t small = 0, large = 0, huge = 0, all = 0;

    for (uint64_t i = 0; i < 2 * REQUESTS; i++) {
        if (seen->objects[i].uses == 0)
            continue;
        all++;
        small += seen->objects[i].bytes < 14000;
        large += seen->objects[i].bytes >= 250000;
        huge += seen->objects[i].bytes >= 2000000;
    }
    assert_near(part(small, all), 0.88 / 2, 0.01);           /* half of the lognormal ones, and next to none of the others */
    assert_near(part(large, all), 0.05 + 0.02 + 0.88 * 0.02, 0.01);
    assert_near(part(huge, all), 0.02 * pow(2, -1.1) + 0.1 * 0.019, 0.003);
}

static void test_syn(void **state)
{
    struct seen seen = see(GENERATE_SYN, 5);
    uint64_t once = 0, most = 0, replaced = 0;

    (void)state;
    assert_sizes(&seen);
    for (uint64_t i = 0; i < 2 * REQUESTS; i++) {
        once += seen.objects[i].uses == 1;
        most = MAX(most, seen.objects[i].uses);
    }
    /* 15 % and the scans, and of the ranks those that come up once */
    assert_in_range(once, REQUESTS * 0.20, REQUESTS * 0.35);
    /* the first of 80,000 ranks of Zipf .9; at most a fifth of them became another object midway */
    double zipf = 0;
    for (unsigned i = 1; i <= 80000; i++)
        zipf += pow(i, -0.9);
    assert_in_range(most, REQUESTS * 0.8 / zipf * 0.5, REQUESTS * 0.8 / zipf * 1.05);
    /* of the first thousand ranks, which are asked for forty times and more, a fifth ends before its time */
    for (unsigned i = 0; i < 1000; i++)
        replaced += seen.objects[i].last < REQUESTS * 0.8;
    assert_near(part(replaced, 1000), 0.2 * 0.8, 0.04);
    free(seen.objects);
}

/* Scans: two requests on is a new object, for as long as the scan. */
static void test_syn_scans(void **state)
{
    struct generate_config config = {.like = GENERATE_SYN, .seed = 9, .requests = REQUESTS};
    struct generator *generator = generator_new(&config);
    struct generated request;
    uint64_t scanned = 0, run = 0, longest = 0, newest = 0;

    (void)state;
    while (generator_next(generator, &request)) {
        if (request.number % 2 == 0)
            continue;
        run = request.object > newest ? run + 1 : 0;
        newest = MAX(newest, request.object);
        longest = MAX(longest, run);
        scanned += run > 20;
    }
    assert_in_range(longest, 4000, 4100); /* a scan of 20,000, scaled */
    assert_near(part(scanned, REQUESTS), 0.05, 0.01);
    generator_free(generator);
}

static void test_short(void **state)
{
    struct seen seen = see(GENERATE_SHORT, 5);
    uint64_t once = 0, lives = 0, short_lives = 0;

    (void)state;
    assert_sizes(&seen);
    for (uint64_t i = 0; i < 2 * REQUESTS; i++) {
        once += seen.objects[i].uses == 1;
        lives += seen.objects[i].uses > 1;
        short_lives += seen.objects[i].uses > 1 && seen.objects[i].last - seen.objects[i].first < 3000;
    }
    assert_near(part(once, seen.count), 0.6, 0.02);
    assert_near(part(seen.count, REQUESTS), 0.334, 0.02); /* three uses each */
    assert_in_range(part(short_lives, lives) * 100, 65, 85);
    free(seen.objects);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds), cmocka_unit_test(test_syn), cmocka_unit_test(test_syn_scans),
                                       cmocka_unit_test(test_short)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
