/* Slabs: what is charged is what is there, and nothing is written over. */
#include "os/region_own.h"
#include "store/object.h"
#include "store/slab.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB  (1024u * 1024)
#define PAGE 4096u
#define NEAR ((hash128){0, 0})

static struct store_budget budget;
static struct slabs *slabs;
static unsigned woken;

static void wake(void *arg)
{
    (void)arg;
    woken++;
}

static void begin(uint64_t max, size_t bytes_min)
{
    budget = (struct store_budget){.max = max};
    budget.shares = store_shares_new();
    woken = 0;
    assert_true(err_is_ok(slabs_new(&budget, bytes_min, &slabs)));
}

static void end(void)
{
    slabs = slabs_free(slabs);
    assert_int_equal(budget.used, 0);
    for (unsigned i = 0; i < STORE_TENANTS; i++)
        assert_int_equal(budget.shares[i].bytes, 0);
    free(budget.shares);
    assert_null(os_region_open_one.base);
}

static struct slab_stats stats(void)
{
    struct slab_stats stats;

    slabs_stats(slabs, &stats);
    return stats;
}

/* The kernel's own count. */
static uint64_t region_bytes(void)
{
    struct stat stat;

    assert_int_equal(fstat(os_region_open_one.fd, &stat), 0);
    return (uint64_t)stat.st_blocks * 512;
}

static void check_charge(void)
{
    struct slab_stats now = stats();

    assert_int_equal(budget.used, now.table_bytes + now.used_bytes + now.held_bytes);
    assert_int_equal(region_bytes(), now.used_bytes + now.held_bytes);
    assert_true(budget.used <= budget.max);
}

static void fill(char *at, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        at[i] = (char)(seed * 31 + i * 7 + (i >> 8));
}

static bool is_filled(const char *at, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != (char)(seed * 31 + i * 7 + (i >> 8)))
            return false;
    return true;
}

/* Bytes of a slab in a socket that nobody has read yet. */
struct flight {
    int ends[2];
    size_t bytes;
};

static struct flight flight_begin(char *at, size_t bytes)
{
    struct flight flight;
    struct iovec iov = {at, bytes};
    ssize_t n;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, flight.ends), 0);
    n = region_send(flight.ends[0], &iov, 1, false);
    assert_true(n >= (ssize_t)REGION_SEND_BYTES_MIN);
    flight.bytes = (size_t)n;
    return flight;
}

static bool flight_is_right(struct flight flight, unsigned seed)
{
    char *bytes = malloc(flight.bytes);
    size_t got = 0;

    assert_non_null(bytes);
    while (got < flight.bytes) {
        ssize_t n = read(flight.ends[1], bytes + got, flight.bytes - got);
        assert_true(n > 0);
        got += (size_t)n;
    }
    bool right = is_filled(bytes, flight.bytes, seed);
    free(bytes);
    close(flight.ends[0]);
    close(flight.ends[1]);
    return right;
}

/* ---- room -------------------------------------------------------------------------------------------- */

static void test_room(void **state)
{
    char *a, *b;

    (void)state;
    begin(64 * MIB, 256 * 1024);
    a = slab_new(slabs, 1, NEAR, 100, 0);
    b = slab_new(slabs, 2, NEAR, 2 * MIB, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_int_equal(slab_bytes(slabs, a), PAGE);
    assert_int_equal(slab_bytes(slabs, b), 2 * MIB);
    check_charge();
    assert_int_equal(budget.shares[1].bytes, PAGE);
    assert_true(slab_grow(slabs, a, NEAR, PAGE)); /* it has that */
    assert_true(slab_grow(slabs, a, NEAR, 100000));
    assert_int_equal(slab_bytes(slabs, a), 25 * PAGE);
    assert_int_equal(stats().rounding_bytes, 0); /* being filled: all of it counts as used */
    check_charge();
    slab_trim(slabs, a, 90000);
    assert_int_equal(slab_bytes(slabs, a), 22 * PAGE);
    assert_int_equal(stats().rounding_bytes, 22 * PAGE - 90000);
    slab_trim(slabs, b, 2 * MIB);
    assert_int_equal(stats().rounding_bytes, 22 * PAGE - 90000);
    check_charge();
    assert_int_equal(stats().used, 2);
    slab_free(slabs, a);
    check_charge();
    slab_free(slabs, b);
    check_charge();
    assert_int_equal(region_bytes(), 0);
    end();
}

static void test_budget_ends(void **state)
{
    char *taken[16], *more;
    unsigned count = 0;

    (void)state;
    begin(8 * MIB, 256 * 1024);
    while (count < 16 && (taken[count] = slab_new(slabs, 1, NEAR, MIB, 0)) != NULL)
        count++;
    assert_int_equal(count, 7); /* the table needs a little */
    check_charge();
    assert_false(slab_grow(slabs, taken[0], NEAR, 2 * MIB));
    assert_int_equal(slab_bytes(slabs, taken[0]), MIB);
    check_charge();
    slab_free(slabs, taken[3]);
    more = slab_new(slabs, 1, NEAR, MIB, 0);
    assert_ptr_equal(more, taken[3]); /* the same addresses: their page table is there */
    for (unsigned i = 0; i < count; i++)
        slab_free(slabs, taken[i]);
    end();
}

static void test_addresses_end(void **state)
{
    char *taken[8];
    unsigned count = 0;

    (void)state;
    begin(8 * MIB, 2 * MIB);
    while (count < 8 && (taken[count] = slab_new(slabs, 1, NEAR, PAGE, 0)) != NULL)
        count++;
    assert_int_equal(count, 5);
    check_charge();
    while (count > 0)
        slab_free(slabs, taken[--count]);
    end();
}

static void test_exchange(void **state)
{
    char *slab;

    (void)state;
    begin(8 * MIB, 256 * 1024);
    slab = slab_new(slabs, 3, NEAR, MIB, 0);
    uint64_t before = budget.used;
    slab_exchange(slabs, slab, 300000);
    assert_int_equal(budget.used, before - MIB + 300000);
    assert_int_equal(budget.shares[3].bytes, 300000);
    assert_int_equal(region_bytes(), 0);
    store_budget_give(&budget, 3, 300000);
    end();
}

/* ---- what is in flight ------------------------------------------------------------------------------- */

static void test_reuse_keeps_what_is_in_flight(void **state)
{
    char *slab, *again;
    struct flight flight;

    (void)state;
    begin(64 * MIB, 256 * 1024);
    slab = slab_new(slabs, 1, NEAR, MIB, 0);
    fill(slab, MIB, 1);
    flight = flight_begin(slab, MIB);
    slab_free(slabs, slab);
    again = slab_new(slabs, 1, NEAR, MIB, 0);
    assert_ptr_equal(again, slab);
    for (unsigned i = 0; i < MIB; i++)
        assert_int_equal(again[i], 0); /* new pages */
    fill(again, MIB, 2);
    assert_true(flight_is_right(flight, 1));
    slab_free(slabs, again);
    end();
}

/* ---- huge pages -------------------------------------------------------------------------------------- */

/* False: this kernel gives none, and the slab says so. */
static bool tend_until_still(void)
{
    for (unsigned i = 0; i < 100; i++) {
        uint64_t wait_ns = slabs_tend(slabs);
        check_charge();
        if (wait_ns != 0)
            return stats().moved > 0 || stats().move_failures == 0;
    }
    fail_msg("tending never ends");
    return false;
}

static bool no_huge_pages(void)
{
    if (tend_until_still())
        return false;
    print_message("no huge pages here\n");
    return true;
}

static void test_promote(void **state)
{
    char *_Atomic full, *_Atomic half, *_Atomic small;

    (void)state;
    begin(64 * MIB, 256 * 1024);
    full = slab_new(slabs, 1, NEAR, 2 * MIB, 0);
    half = slab_new(slabs, 1, NEAR, MIB + 5 * PAGE, 0);
    small = slab_new(slabs, 1, NEAR, MIB - PAGE, 0);
    fill(full, 2 * MIB, 1);
    fill(half, MIB + 5 * PAGE, 2);
    slab_promote(slabs, &full, 16); /* nobody would tend it */
    assert_int_equal(slabs_tend(slabs), UINT64_MAX);
    assert_int_equal(stats().huge, 0);
    slabs_on_work(slabs, wake, NULL);
    slab_promote(slabs, &full, 16);
    slab_promote(slabs, &full, 16);
    slab_promote(slabs, &half, 16);
    slab_promote(slabs, &small, 16);
    assert_int_equal(woken, 2);
    if (!no_huge_pages()) {
        assert_int_equal(stats().huge, 2);
        assert_int_equal(slab_bytes(slabs, half), 2 * MIB);
        assert_int_equal(stats().rounding_bytes, 2 * MIB - MIB - 5 * PAGE);
        slab_promote(slabs, &half, 16); /* is one already */
        assert_int_equal(woken, 2);
        slab_promote(slabs, &small, 17); /* a small one has to be asked for more often */
        assert_int_equal(woken, 3);
    }
    assert_true(is_filled(full, 2 * MIB, 1));
    assert_true(is_filled(half, MIB + 5 * PAGE, 2));
    slab_free(slabs, half);
    slab_free(slabs, full);
    slab_free(slabs, small);
    check_charge();
    end();
}

static void test_rounding_has_a_bound(void **state)
{
    char *_Atomic halves[6];

    (void)state;
    begin(64 * MIB, 256 * 1024); /* at most 4 MiB of rounding */
    slabs_on_work(slabs, wake, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(halves); i++) {
        halves[i] = slab_new(slabs, 1, NEAR, MIB, 0);
        slab_promote(slabs, &halves[i], 16);
    }
    if (!no_huge_pages()) {
        assert_int_equal(stats().huge, 4);
        assert_int_equal(stats().rounding_bytes, 4 * MIB);
    }
    for (unsigned i = 0; i < ARRAY_LEN(halves); i++)
        slab_free(slabs, halves[i]);
    end();
}

static void test_promote_waits_for_sockets(void **state)
{
    char *_Atomic slab;

    (void)state;
    begin(64 * MIB, 256 * 1024);
    slabs_on_work(slabs, wake, NULL);
    slab = slab_new(slabs, 1, NEAR, 2 * MIB, 0);
    fill(slab, 2 * MIB, 1);
    struct flight flight = flight_begin(slab, 2 * MIB);
    slab_promote(slabs, &slab, 16);
    uint64_t wait_ns = slabs_tend(slabs);
    if (stats().moved == 0 && wait_ns > 0 && wait_ns < UINT64_C(1000000000)) {
        assert_int_equal(stats().move_failures, 1);
        assert_true(flight_is_right(flight, 1));
        assert_false(no_huge_pages());
        assert_int_equal(stats().huge, 1);
    } else {
        assert_true(flight_is_right(flight, 1));
        assert_true(no_huge_pages());
    }
    assert_true(is_filled(slab, 2 * MIB, 1));
    slab_promote(slabs, &slab, 16);
    slab_free(slabs, slab); /* maybe queued */
    assert_int_equal(slabs_tend(slabs), UINT64_MAX);
    end();
}

static void test_freed_in_the_queue(void **state)
{
    char *_Atomic slab;

    (void)state;
    begin(64 * MIB, 256 * 1024);
    slabs_on_work(slabs, wake, NULL);
    slab = slab_new(slabs, 1, NEAR, 2 * MIB, 0);
    slab_promote(slabs, &slab, 16);
    slab_free(slabs, slab);
    check_charge();
    assert_int_equal(slabs_tend(slabs), UINT64_MAX);
    assert_int_equal(stats().moved + stats().move_failures, 0);
    end();
}

/* What is asked for all the time cannot be moved: it is copied. */
static void test_copy_while_sockets_hold(void **state)
{
    enum { BYTES = 64 * 1024 };
    char *_Atomic small;
    char *before;

    (void)state;
    begin(512 * MIB, BYTES);
    slabs_on_work(slabs, wake, NULL);
    bool none = no_huge_pages();
    before = small = slab_new(slabs, 1, NEAR, BYTES, BYTES);
    fill(small, BYTES, 1);
    struct flight flight = flight_begin(small, BYTES);
    slab_promote(slabs, &small, 256);
    for (unsigned i = 0; i < 5; i++)
        (void)slabs_tend(slabs);
    if (!none) {
        assert_ptr_not_equal(small, before);
        assert_int_equal(slab_bytes(slabs, small), 2 * MIB + BYTES);
        assert_int_equal(stats().used, 2);
        assert_int_equal(stats().huge, 1);
        assert_true(is_filled(small, BYTES, 1));
        slab_promote(slabs, &small, 512); /* is huge */
    }
    assert_true(is_filled(before, BYTES, 1)); /* for who has its address */
    assert_true(flight_is_right(flight, 1));
    check_charge();
    slab_free(slabs, before); /* as one that looked before the copy was there */
    assert_int_equal(stats().used, 0);
    check_charge();
    end();
}

/* A tier that can hold a few is ready for the first large body; a small one waits until there is demand. */
static void test_ready_before_demand(void **state)
{
    char *first;

    (void)state;
    begin(512 * MIB, 256 * 1024);
    slabs_on_work(slabs, wake, NULL);
    if (!no_huge_pages()) {
        assert_int_equal(stats().held_bytes, 4 * MIB);
        first = slab_new(slabs, 1, NEAR, 4 * PAGE, 2 * MIB);
        assert_int_equal(slab_bytes(slabs, first), 2 * MIB);
        assert_int_equal(woken, 1);
        assert_false(no_huge_pages());
        assert_int_equal(stats().held_bytes, 8 * MIB); /* more as long as there is demand */
        slab_free(slabs, first);
        check_charge();
    }
    end();
    begin(64 * MIB, 256 * 1024);
    slabs_on_work(slabs, wake, NULL);
    assert_int_equal(slabs_tend(slabs), UINT64_MAX);
    assert_int_equal(stats().held_bytes, 0);
    end();
}

static void test_ready(void **state)
{
    char *first, *second, *half, *third;

    (void)state;
    begin(256 * MIB, 256 * 1024); /* two are kept ready, and no more */
    slabs_on_work(slabs, wake, NULL);
    first = slab_new(slabs, 1, NEAR, 4 * PAGE, 2 * MIB);
    assert_int_equal(slab_bytes(slabs, first), 4 * PAGE); /* nobody has tended them yet */
    assert_int_equal(woken, 1);
    if (no_huge_pages()) {
        slab_free(slabs, first);
        end();
        return;
    }
    assert_int_equal(stats().held_bytes, 4 * MIB);
    assert_int_equal(budget.shares[2].bytes, 0);
    second = slab_new(slabs, 2, NEAR, 4 * PAGE, 2 * MIB);
    half = slab_new(slabs, 2, NEAR, 4 * PAGE, MIB);
    third = slab_new(slabs, 2, NEAR, 4 * PAGE, 2 * MIB); /* none left */
    assert_int_equal(slab_bytes(slabs, second), 2 * MIB);
    assert_int_equal(slab_bytes(slabs, half), 2 * MIB);
    assert_int_equal(slab_bytes(slabs, third), 4 * PAGE);
    assert_int_equal(budget.shares[2].bytes, 4 * MIB + 4 * PAGE);
    assert_int_equal(stats().huge, 2);
    assert_int_equal(stats().rounding_bytes, MIB);
    assert_int_equal(stats().held_bytes, 0);
    check_charge();
    for (unsigned i = 0; i < 2 * MIB; i++)
        assert_int_equal(second[i], 0);
    fill(second, 2 * MIB, 9);
    slab_trim(slabs, half, MIB); /* no part of a huge page is punched */
    assert_int_equal(slab_bytes(slabs, half), 2 * MIB);
    assert_false(no_huge_pages());
    assert_int_equal(stats().held_bytes, 4 * MIB); /* two again */
    assert_true(is_filled(second, 2 * MIB, 9));
    slab_free(slabs, first);
    slab_free(slabs, second);
    slab_free(slabs, half);
    slab_free(slabs, third);
    check_charge();
    end();
}

/* ---- threads ----------------------------------------------------------------------------------------- */

static _Atomic bool is_over;

static void tend_run(void *arg)
{
    (void)arg;
    while (!atomic_load(&is_over))
        (void)slabs_tend(slabs);
}

/* Slabs come and go while another thread makes huge pages of them: bytes stay, the charge is right in the end. */
static void test_moving_while_used(void **state)
{
    struct os_thread *thread;
    char *_Atomic held[6] = {0};
    unsigned seeds[6];
    uint64_t random = 88172645463325252;

    (void)state;
    begin(128 * MIB, 256 * 1024);
    slabs_on_work(slabs, wake, NULL);
    atomic_store(&is_over, false);
    assert_true(err_is_ok(os_thread_start("tend", tend_run, NULL, &thread)));
    for (unsigned i = 0; i < 600; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        unsigned at = random % 6;
        if (held[at] == NULL) {
            size_t need = MIB + (random >> 8) % (MIB + 1);
            held[at] = slab_new(slabs, 1, NEAR, need, (random >> 40) % 2 ? need : 0);
            assert_non_null(held[at]);
            seeds[at] = i;
            fill(held[at], MIB, i);
            slab_trim(slabs, held[at], need);
        } else if ((random >> 20) % 2) {
            slab_promote(slabs, &held[at], 16);
        } else {
            assert_true(is_filled(held[at], MIB, seeds[at]));
            slab_free(slabs, held[at]);
            held[at] = NULL;
        }
    }
    for (unsigned at = 0; at < 6; at++) {
        if (held[at] != NULL) {
            assert_true(is_filled(held[at], MIB, seeds[at]));
            slab_free(slabs, held[at]);
        }
    }
    atomic_store(&is_over, true);
    os_thread_join(thread);
    check_charge();
    end();
}

static void test_no_region(void **state)
{
    struct slabs *second = NULL;
    struct store_budget other = {.max = 64 * MIB};

    (void)state;
    begin(64 * MIB, 256 * 1024);
    assert_int_equal(slabs_new(&other, 256 * 1024, &second).code, ERR_REFUSED);
    assert_null(second);
    assert_int_equal(other.used, 0);
    assert_null(slabs_free(NULL));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_budget_ends),
        cmocka_unit_test(test_addresses_end),
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_reuse_keeps_what_is_in_flight),
        cmocka_unit_test(test_promote),
        cmocka_unit_test(test_rounding_has_a_bound),
        cmocka_unit_test(test_promote_waits_for_sockets),
        cmocka_unit_test(test_freed_in_the_queue),
        cmocka_unit_test(test_copy_while_sockets_hold),
        cmocka_unit_test(test_ready_before_demand),
        cmocka_unit_test(test_ready),
        cmocka_unit_test(test_moving_while_used),
        cmocka_unit_test(test_no_region),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
