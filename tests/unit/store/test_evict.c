/* evict: each knob by itself, in bytes that can be counted by hand. */
#include "store/evict.h"

#define MIB     (UINT64_C(1) << 20)
#define SEGMENT (1 * MIB)
#define LOGS    (100 * SEGMENT)
#define S       UINT64_C(1000000000)
#define RATE    (1 * MIB)
#define DEPTH   (RATE * EVICT_BUDGET_S)

static uint64_t hash_of(uint64_t n)
{
    uint64_t z = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static struct evict *make(uint64_t write_bytes_per_s, uint64_t probation_bytes)
{
    struct evict_config config = {.segments = 100,
                                  .segment_bytes = SEGMENT,
                                  .write_bytes_per_s = write_bytes_per_s,
                                  .probation_bytes = probation_bytes};
    struct evict *evict = NULL;

    assert_true(err_is_ok(evict_new(&config, &evict)));
    return evict;
}

static struct evict_stats stats_of(const struct evict *evict)
{
    struct evict_stats stats;

    evict_stats(evict, &stats);
    return stats;
}

static enum evict_fate fate(struct evict *evict, enum evict_log log, uint64_t n, uint8_t hits)
{
    return evict_fate(evict, log, hash_of(n), MIB, &hits, false, false);
}

static void test_config(void **state)
{
    struct evict_config few = {.segments = 3, .segment_bytes = SEGMENT}, none = {.segments = 8},
                        many = {.segments = UINT64_MAX / 2, .segment_bytes = SEGMENT}, sized = {.segments = 8, .segment_bytes = SEGMENT, .ghosts = 800};
    struct evict *evict = NULL;

    (void)state;
    assert_int_equal(evict_new(&few, &evict).code, ERR_INVALID);
    assert_int_equal(evict_new(&none, &evict).code, ERR_INVALID);
    assert_int_equal(evict_new(&many, &evict).code, ERR_INVALID);
    assert_null(evict);
    assert_true(err_is_ok(evict_new(&sized, &evict)));
    assert_in_range(evict_bytes(evict), 800 * 4, 800 * 4 + 1024);
    evict = evict_free(evict);
    assert_null(evict_free(NULL));
    /* four bytes for each 16 KiB of the logs: a quarter of a thousandth */
    evict = make(0, 0);
    assert_in_range(evict_bytes(evict), LOGS / 4096, LOGS / 4096 + 1024);
    evict_free(evict);
}

/* ---- admission --------------------------------------------------------------------------------------------------- */

static void test_probation_is_the_filter(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, EVICT_FREE_MIN);
    assert_false(evict_is_open(evict));
    assert_int_equal(evict_admit(evict, hash_of(1), MIB, false), EVICT_ADMIT_NOT);
    assert_int_equal(evict_admit(evict, hash_of(1), MIB, true), EVICT_ADMIT_SMALL);
    assert_int_equal(stats_of(evict).admitted, 1);
    assert_int_equal(stats_of(evict).not_admitted, 1);
    assert_int_equal(evict_count(evict, EVICT_REFUSED), 1);
    assert_int_equal(evict_count(evict, EVICT_OVER_BUDGET), 0);
    assert_int_equal(evict_small_log_bytes(evict), 2 * SEGMENT);
    evict_free(evict);
}

static void test_open_while_segments_are_free(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, 100);
    assert_true(evict_is_open(evict));
    assert_int_equal(evict_admit(evict, hash_of(1), MIB, false), EVICT_ADMIT_SMALL);
    evict_turn(evict, S, EVICT_FREE_MIN + 1);
    assert_true(evict_is_open(evict));
    evict_turn(evict, S, EVICT_FREE_MIN);
    assert_false(evict_is_open(evict));
    evict_turn(evict, S, 60); /* a purge has freed most */
    assert_true(evict_is_open(evict));
    evict_free(evict);
}

/* What the origin brings in less than three seconds fits: leaving probation says nothing. */
static void test_open_while_probation_is_short(void **state)
{
    struct evict *evict = make(0, 10 * MIB);
    uint64_t now = S, n = 0;

    (void)state;
    assert_int_equal(stats_of(evict).probation_ms, UINT64_MAX);
    for (unsigned i = 0; i < 100; i++, now += S) { /* 2 MiB/s: it holds five seconds */
        evict_turn(evict, now, 0);
        assert_false(evict_is_open(evict));
        (void)evict_missed(evict, hash_of(n++), 2 * MIB);
    }
    assert_in_range(stats_of(evict).probation_ms, 4900, 5100);
    for (unsigned i = 0; i < 600; i++, now += S) { /* 5 MiB/s: two */
        evict_turn(evict, now, 0);
        (void)evict_missed(evict, hash_of(n++), 5 * MIB);
    }
    assert_in_range(stats_of(evict).probation_ms, 1900, 2100);
    assert_true(evict_is_open(evict));
    for (unsigned i = 0; i < 600; i++, now += S) { /* 3 MiB/s: 3.3, which is not yet a fifth more than three */
        evict_turn(evict, now, 0);
        (void)evict_missed(evict, hash_of(n++), 3 * MIB);
    }
    assert_true(evict_is_open(evict));
    for (unsigned i = 0; i < 600; i++, now += S) { /* 2.5 MiB/s: four */
        evict_turn(evict, now, 0);
        (void)evict_missed(evict, hash_of(n++), 5 * MIB / 2);
    }
    assert_false(evict_is_open(evict));
    for (unsigned i = 0; i < 600; i++, now += S) /* nothing comes: it holds for ever */
        evict_turn(evict, now, 0);
    assert_true(stats_of(evict).probation_ms > 1000000);
    assert_false(evict_is_open(evict));
    evict_free(evict);
}

/* ---- ghosts ------------------------------------------------------------------------------------------------------ */

static void test_seen_again(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, 0);
    assert_false(evict_missed(evict, hash_of(1), MIB));
    assert_int_equal(evict_admit(evict, hash_of(1), MIB, false), EVICT_ADMIT_NOT);
    assert_true(evict_missed(evict, hash_of(1), MIB)); /* the caller offers it as used */
    assert_int_equal(evict_admit(evict, hash_of(1), MIB, true), EVICT_ADMIT_SMALL);
    assert_false(evict_missed(evict, hash_of(1), MIB)); /* a ghost is good for once */
    assert_int_equal(stats_of(evict).ghost_hits, 1);
    /* seen as long as the misses since then are at most twice what the logs hold */
    assert_false(evict_missed(evict, hash_of(2), MIB));
    for (unsigned i = 0; i < 196; i++)
        assert_false(evict_missed(evict, hash_of(100 + i), MIB));
    assert_true(evict_missed(evict, hash_of(2), MIB));
    for (unsigned i = 0; i < 205; i++)
        assert_false(evict_missed(evict, hash_of(500 + i), MIB));
    assert_false(evict_missed(evict, hash_of(2), MIB));
    evict_free(evict);
}

/* It came back after more than RAM keeps: it needs no small log to tell it from what lives for a moment. */
static void test_seen_again_later_comes_into_main(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, 0);
    assert_false(evict_missed(evict, hash_of(1), MIB));
    assert_false(evict_missed(evict, hash_of(2), MIB));
    assert_true(evict_missed(evict, hash_of(1), MIB));
    assert_int_equal(evict_admit(evict, hash_of(1), MIB, true), EVICT_ADMIT_SMALL); /* at once */
    for (unsigned i = 0; i < 4; i++) /* a tick is 2 * 100 / 64 MiB */
        assert_false(evict_missed(evict, hash_of(100 + i), MIB));
    assert_true(evict_missed(evict, hash_of(2), MIB));
    assert_int_equal(evict_admit(evict, hash_of(2), MIB, true), EVICT_ADMIT_MAIN);
    /* as long in RAM, and never asked for again: written only because admission is open */
    evict_turn(evict, S, 50);
    assert_false(evict_missed(evict, hash_of(3), MIB));
    for (unsigned i = 0; i < 4; i++)
        assert_false(evict_missed(evict, hash_of(200 + i), MIB));
    assert_int_equal(evict_admit(evict, hash_of(3), MIB, false), EVICT_ADMIT_SMALL);
    evict_free(evict);
}

static void test_a_ghost_of_the_logs_comes_into_main(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, 0);
    assert_int_equal(fate(evict, EVICT_SMALL, 1, 0), EVICT_GONE);
    assert_int_equal(fate(evict, EVICT_MAIN, 2, 0), EVICT_GONE);
    assert_int_equal(stats_of(evict).ghosts, 2);
    assert_int_equal(stats_of(evict).dropped, 2);
    assert_true(evict_missed(evict, hash_of(1), MIB));
    assert_true(evict_missed(evict, hash_of(2), MIB));
    assert_int_equal(evict_admit(evict, hash_of(1), MIB, true), EVICT_ADMIT_MAIN);
    assert_int_equal(evict_admit(evict, hash_of(2), MIB, true), EVICT_ADMIT_MAIN);
    assert_int_equal(evict_admit(evict, hash_of(1), MIB, true), EVICT_ADMIT_SMALL); /* a ghost is good for once */
    evict_free(evict);
}

/* ---- the border -------------------------------------------------------------------------------------------------- */

static void test_border(void **state)
{
    struct evict *evict = make(0, 0);
    uint64_t n = 0;

    (void)state;
    evict_turn(evict, S, 0);
    assert_int_equal(stats_of(evict).small_share_percent, 2);
    for (unsigned i = 0; i < 5; i++) { /* a byte that comes back from SMALL moves it up by a byte */
        (void)fate(evict, EVICT_SMALL, n, 0);
        assert_true(evict_missed(evict, hash_of(n++), MIB));
    }
    assert_int_equal(stats_of(evict).small_share_percent, 7);
    for (unsigned i = 0; i < 3; i++) {
        (void)fate(evict, EVICT_MAIN, n, 0);
        assert_true(evict_missed(evict, hash_of(n++), MIB));
    }
    assert_int_equal(stats_of(evict).small_share_percent, 4);
    /* seen in probation alone: it says nothing of either log */
    (void)evict_missed(evict, hash_of(n), MIB);
    assert_true(evict_missed(evict, hash_of(n++), MIB));
    assert_int_equal(stats_of(evict).small_share_percent, 4);
    for (unsigned i = 0; i < 200; i++) {
        (void)fate(evict, EVICT_SMALL, n, 0);
        (void)evict_missed(evict, hash_of(n++), MIB);
    }
    assert_int_equal(stats_of(evict).small_share_percent, 90);
    for (unsigned i = 0; i < 200; i++) {
        (void)fate(evict, EVICT_MAIN, n, 0);
        (void)evict_missed(evict, hash_of(n++), MIB);
    }
    assert_int_equal(stats_of(evict).small_share_percent, 2);
    evict_free(evict);
}

/* It left so long ago that a tenth more of its log would not have kept it: back it comes, but it moves nothing. */
static void test_the_border_takes_no_notice_of_old_ghosts(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, 0);
    (void)fate(evict, EVICT_SMALL, 1, 0);
    for (unsigned i = 0; i < 8; i++)
        (void)fate(evict, EVICT_SMALL, 100 + i, 0);
    assert_true(evict_missed(evict, hash_of(1), MIB));
    assert_int_equal(stats_of(evict).small_share_percent, 3);
    (void)fate(evict, EVICT_SMALL, 2, 0);
    for (unsigned i = 0; i < 13; i++)
        (void)fate(evict, EVICT_SMALL, 200 + i, 0);
    assert_true(evict_missed(evict, hash_of(2), MIB));
    assert_int_equal(stats_of(evict).small_share_percent, 3);
    evict_free(evict);
}

static void test_victim_log(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, 0);
    assert_int_equal(evict_victim_log(evict, (const uint64_t[]){1, 0}), EVICT_SMALL);
    assert_int_equal(evict_victim_log(evict, (const uint64_t[]){0, 1}), EVICT_MAIN);
    assert_int_equal(evict_victim_log(evict, (const uint64_t[]){3, 97}), EVICT_SMALL);
    assert_int_equal(evict_victim_log(evict, (const uint64_t[]){1, 99}), EVICT_MAIN);
    assert_int_equal(evict_victim_log(evict, (const uint64_t[]){1, 20}), EVICT_SMALL); /* of what there is */
    for (unsigned i = 0; i < 10; i++) {
        (void)fate(evict, EVICT_SMALL, i, 0);
        (void)evict_missed(evict, hash_of(i), MIB);
    }
    assert_int_equal(evict_victim_log(evict, (const uint64_t[]){11, 89}), EVICT_MAIN);
    evict_free(evict);
}

/* ---- thresholds -------------------------------------------------------------------------------------------------- */

/* A stay in MAIN costs the hits that it wants; the others are good for the next one. */
static void test_hits_that_are_kept(void **state)
{
    struct evict *evict = make(RATE, 0), *free_of_budget = make(0, 0);
    uint8_t hits = 3;

    (void)state;
    evict_turn(free_of_budget, S, 0);
    for (uint8_t left = 3; left > 0; left--) {
        assert_int_equal(hits, left);
        assert_int_equal(evict_fate(free_of_budget, EVICT_MAIN, hash_of(1), MIB, &hits, false, false), EVICT_TO_MAIN);
    }
    assert_int_equal(evict_fate(free_of_budget, EVICT_MAIN, hash_of(1), MIB, &hits, false, false), EVICT_GONE);
    hits = 3; /* from SMALL they are spent: it lives for itself from here on */
    assert_int_equal(evict_fate(free_of_budget, EVICT_SMALL, hash_of(1), MIB, &hits, false, false), EVICT_TO_MAIN);
    assert_int_equal(hits, 0);
    evict_turn(evict, S, 0);
    evict_wrote(evict, DEPTH / 4 + 1); /* not rich any more: a stay costs two */
    hits = 3;
    assert_int_equal(evict_fate(evict, EVICT_MAIN, hash_of(1), MIB, &hits, false, false), EVICT_TO_MAIN);
    assert_int_equal(hits, 1);
    assert_int_equal(evict_fate(evict, EVICT_MAIN, hash_of(1), MIB, &hits, false, false), EVICT_GONE);
    evict_free(evict);
    evict_free(free_of_budget);
}

static void test_fates(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, 0);
    assert_int_equal(fate(evict, EVICT_SMALL, 1, 0), EVICT_GONE);
    assert_int_equal(fate(evict, EVICT_SMALL, 1, 1), EVICT_TO_MAIN);
    assert_int_equal(fate(evict, EVICT_MAIN, 1, 0), EVICT_GONE);
    assert_int_equal(fate(evict, EVICT_MAIN, 1, 1), EVICT_TO_MAIN); /* there is no budget to save for */
    assert_int_equal(evict_fate(evict, EVICT_MAIN, hash_of(1), MIB, &(uint8_t){0}, true, false), EVICT_TO_MAIN); /* favoured */
    assert_int_equal(evict_fate(evict, EVICT_SMALL, hash_of(1), MIB, &(uint8_t){3}, true, true), EVICT_GONE); /* forced */
    assert_int_equal(stats_of(evict).promoted, 1);
    assert_int_equal(stats_of(evict).rewritten, 2);
    assert_int_equal(stats_of(evict).dropped, 3);
    evict_free(evict);
}

/* ---- the budget -------------------------------------------------------------------------------------------------- */

static void test_budget_levels(void **state)
{
    struct evict *evict = make(RATE, 0);

    (void)state;
    evict_turn(evict, S, 0);
    assert_int_equal(stats_of(evict).budget_left_bytes, DEPTH);
    assert_true(evict_is_open(evict)); /* rich, though nothing is free */
    assert_int_equal(stats_of(evict).rewrite_hits, 1);
    evict_wrote(evict, DEPTH / 4 + 1);
    evict_turn(evict, S, 0);
    assert_false(evict_is_open(evict));
    assert_int_equal(stats_of(evict).rewrite_hits, 2);
    assert_int_equal(stats_of(evict).promote_hits, 1);
    assert_int_equal(fate(evict, EVICT_MAIN, 1, 1), EVICT_GONE);
    assert_int_equal(fate(evict, EVICT_MAIN, 1, 2), EVICT_TO_MAIN);
    assert_int_equal(evict_fate(evict, EVICT_MAIN, hash_of(1), MIB, &(uint8_t){1}, true, false), EVICT_TO_MAIN); /* favoured */
    evict_turn(evict, S, 50);
    assert_true(evict_is_open(evict)); /* there is room and money */
    evict_wrote(evict, DEPTH / 4);
    assert_false(evict_is_open(evict)); /* at once */
    evict_turn(evict, S, 50);
    assert_false(evict_is_open(evict)); /* room, but the money is short */
    assert_int_equal(stats_of(evict).promote_hits, 2);
    assert_int_equal(fate(evict, EVICT_SMALL, 1, 1), EVICT_GONE);
    assert_int_equal(evict_fate(evict, EVICT_SMALL, hash_of(1), MIB, &(uint8_t){1}, true, false), EVICT_TO_MAIN);
    assert_int_equal(evict_admit(evict, hash_of(5), MIB, true), EVICT_ADMIT_SMALL);
    evict_wrote(evict, DEPTH);
    assert_int_equal(stats_of(evict).budget_left_bytes, 0);
    assert_int_equal(evict_admit(evict, hash_of(5), MIB, true), EVICT_ADMIT_NOT);
    assert_int_equal(evict_count(evict, EVICT_OVER_BUDGET), 1);
    assert_int_equal(evict_count(evict, EVICT_REFUSED), 0);
    assert_int_equal(fate(evict, EVICT_SMALL, 1, 3), EVICT_GONE);
    assert_int_equal(fate(evict, EVICT_MAIN, 1, 3), EVICT_GONE);
    evict_free(evict);
}

/* It fills by the rate, whatever steps the time takes, up to its depth. */
static void test_budget_fills(void **state)
{
    struct evict *evict = make(1000003, 0);
    uint64_t now = 7 * S;

    (void)state;
    evict_turn(evict, now, 0);
    evict_wrote(evict, 1000003 * EVICT_BUDGET_S);
    assert_int_equal(stats_of(evict).budget_left_bytes, 0);
    for (unsigned i = 0; i < 1000000; i++) /* a microsecond brings one byte and three millionths */
        evict_turn(evict, now += 1000, 0);
    assert_int_equal(stats_of(evict).budget_left_bytes, 1000003);
    evict_turn(evict, now += 99 * S, 0);
    assert_int_equal(stats_of(evict).budget_left_bytes, UINT64_C(100000300));
    evict_turn(evict, now += 1000000 * S, 0);
    assert_int_equal(stats_of(evict).budget_left_bytes, UINT64_C(1000003) * EVICT_BUDGET_S);
    evict_free(evict);
}

/* What is free at the start may be filled beside it, once. */
static void test_the_first_filling_is_granted(void **state)
{
    struct evict *evict = make(RATE, 0);

    (void)state;
    evict_turn(evict, S, 100);
    assert_int_equal(stats_of(evict).budget_left_bytes, DEPTH + LOGS);
    evict_turn(evict, 1000 * S, 100);
    assert_int_equal(stats_of(evict).budget_left_bytes, DEPTH + LOGS);
    evict_wrote(evict, LOGS + DEPTH / 2);
    evict_turn(evict, 1010 * S, 100); /* purged: free again, but not granted again */
    assert_int_equal(stats_of(evict).budget_left_bytes, DEPTH / 2 + 10 * RATE);
    evict_free(evict);
}

static void test_no_budget(void **state)
{
    struct evict *evict = make(0, 0);

    (void)state;
    evict_turn(evict, S, 0);
    evict_wrote(evict, UINT64_C(1) << 60);
    evict_turn(evict, 2 * S, 0);
    assert_int_equal(stats_of(evict).budget_left_bytes, UINT64_MAX);
    assert_int_equal(stats_of(evict).promote_hits, 1);
    assert_int_equal(stats_of(evict).rewrite_hits, 1);
    assert_int_equal(evict_admit(evict, hash_of(5), MIB, true), EVICT_ADMIT_SMALL);
    evict_free(evict);
}

/* I12: over any time no more is written than the rate brings, what may be spent at once, and the first filling. */
static void test_the_budget_is_hard(void **state)
{
    struct evict *evict = make(RATE, 0);
    uint64_t written = 0, now = S, seconds = 3000;

    (void)state;
    for (uint64_t i = 0; i < seconds * 10; i++, now += S / 10) {
        evict_turn(evict, now, i < 50 ? 100 - i : 0);
        for (unsigned k = 0; k < 4; k++) { /* 40 MiB/s are offered */
            uint64_t n = i * 4 + k;
            if (evict_admit(evict, hash_of(n), MIB, true) == EVICT_ADMIT_NOT)
                continue;
            evict_wrote(evict, MIB);
            written += MIB;
        }
    }
    assert_in_range(written, seconds * RATE, seconds * RATE + DEPTH + LOGS + MIB);
    evict_free(evict);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_probation_is_the_filter),
        cmocka_unit_test(test_open_while_segments_are_free),
        cmocka_unit_test(test_open_while_probation_is_short),
        cmocka_unit_test(test_seen_again),
        cmocka_unit_test(test_seen_again_later_comes_into_main),
        cmocka_unit_test(test_a_ghost_of_the_logs_comes_into_main),
        cmocka_unit_test(test_border),
        cmocka_unit_test(test_the_border_takes_no_notice_of_old_ghosts),
        cmocka_unit_test(test_victim_log),
        cmocka_unit_test(test_fates),
        cmocka_unit_test(test_hits_that_are_kept),
        cmocka_unit_test(test_budget_levels),
        cmocka_unit_test(test_budget_fills),
        cmocka_unit_test(test_the_first_filling_is_granted),
        cmocka_unit_test(test_no_budget),
        cmocka_unit_test(test_the_budget_is_hard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
