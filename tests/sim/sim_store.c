/* The tiered store alone, RAM over one to three simulated disks, everything drawn from one seed: workers look up, fill, renew,
 * drop and purge, and the node is ended in order, killed, or loses its power at any operation of a disk, again and again.
 * What must hold (the numbers of the invariants are the design's):
 *
 *   I1  what is handed out was once sent for exactly that key: metadata, labels, every byte
 *   I2  nothing is handed out that a purge hit: one that was answered as durable for ever, any other until the node ends; what
 *       was softly purged is handed out as such
 *   I3  what the index names is on the disk; what was on the disk when the node ended is found again
 *   I4  recovery ends, whatever it was interrupted by, and comes to the same index again
 *   I6  the accounts of tenants and segments are what a recount says, and tiers have what their tenants have at every step; no
 *       tenant comes above its hard quota, over all devices together; a flood by one takes nothing that is guaranteed to
 *       others out of RAM, nor off the disk
 *   I8  a device that fails costs what lies on it, and no request
 *   I9  reclaim ends: free segments come back
 *   I10 one process at a time
 *   I12 bytes written are counted as the devices count them, and the budget is kept
 *   I14 counters at their end are seen when the store is opened
 *       the same seed is the same run */
#include "tests/sim/store_run.h"

#include "base/log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECOVER_NS (600 * NS_S)

struct run run;
struct run_counts counts;

static const char *program = "sim_store";

/* ---- telling ---------------------------------------------------------------------------------------------------- */

void run_trace(const char *format, ...)
{
    va_list args;

    if (!run.tracing)
        return;
    printf("%u %12.6f ", run.life, (double)os_clock_ns() / 1e9);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static void tell_replay(void)
{
    char line[256];
    int n = snprintf(line, sizeof(line), "replay: %s --seed %llu --trace\n", program, (unsigned long long)run.seed);

    fflush(stdout);
    (void)!write(2, line, (size_t)n);
}

noreturn void run_failed(const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "seed %llu: ", (unsigned long long)run.seed);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; in life %u at %.6f s\n", run.life, (double)os_clock_ns() / 1e9);
    tell_replay();
    exit(1);
}

/* An invariant of WARP's own broke. */
static void aborted(int signal_number)
{
    char line[64];
    int n = snprintf(line, sizeof(line), "seed %llu: signal %d\n", (unsigned long long)run.seed, signal_number);

    (void)!write(2, line, (size_t)n);
    tell_replay();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void run_note(uint64_t content)
{
    run.content = (run.content ^ content) * 0x100000001b3u;
    run.content ^= run.content >> 31;
}

/* ---- one life of the node ----------------------------------------------------------------------------------------- */

enum life_end { END_CLEAN, END_KILL, END_POWER, END_STOP_KILL, END_STOP_POWER };

static bool is_recovered(void *arg)
{
    (void)arg;
    return sim_disk_has_stopped() || node_is_recovered();
}

static bool work_has_ended(void *arg)
{
    (void)arg;
    (void)node_is_recovered();
    return sim_disk_has_stopped() || work_is_over();
}

static bool work_was_begun(void *arg)
{
    (void)arg;
    (void)node_is_recovered();
    return sim_disk_has_stopped() || work_is_done();
}

static enum life_end draw_end(void)
{
    unsigned what = (unsigned)sim_random(100);

    return what < 22 ? END_CLEAN : what < 42 ? END_KILL : what < 57 ? END_POWER : what < 80 ? END_STOP_KILL : END_STOP_POWER;
}

/* Operations of the disks until they stop: often while the store is opened (some hundred) or recovers (some more). */
static uint64_t draw_stop(void)
{
    unsigned what = (unsigned)sim_random(100);

    return what < 15 ? between(1, 250) : what < 40 ? between(150, 500) : between(200, 4000);
}

static unsigned draw_operations(void)
{
    return (unsigned)(chance(20) ? between(0, 100) : between(100, 900));
}

/* What workers do goes on while the node recovers. */
static void life_recover(void)
{
    if (!node_run(RECOVER_NS, is_recovered))
        run_failed("I4: it does not recover");
    if (sim_disk_has_stopped()) {
        counts.stops_in_recovery++;
        return;
    }
    counts.recovered++;
    node_audit();
    if (!run.has_faults)
        node_check_kept();
}

static void life_run(enum life_end end)
{
    unsigned parts = (unsigned)between(1, 4);

    work_begin(draw_operations());
    life_recover();
    for (unsigned i = 0; i < parts && !sim_disk_has_stopped(); i++) {
        (void)node_run(chance(50) ? between(0, 3 * NS_S) : RECOVER_NS, end == END_CLEAN || i + 1 < parts ? work_has_ended : work_was_begun);
        if (!sim_disk_has_stopped())
            node_audit();
        if (!sim_disk_has_stopped() && chance(5))
            node_open_twice();
        if (!sim_disk_has_stopped() && work_is_over() && chance(20))
            quotas_flood();
        if (chance(20))
            quotas_set();
    }
    if (run.life == run.lives && !sim_disk_has_stopped()) {
        (void)node_run(10 * NS_S, NULL);
        if (!sim_disk_has_stopped()) {
            node_audit();
            node_check_free();
        }
    }
}

static void life_end(enum life_end end)
{
    bool is_stopped = sim_disk_has_stopped();

    counts.stops += is_stopped;
    counts.stops_at_work += is_stopped && node.was_recovered;
    if (!is_stopped && end == END_CLEAN && node_close())
        return;
    bool power = end == END_POWER || end == END_STOP_POWER;
    *(power ? &counts.powers : &counts.kills) += 1;
    if (power)
        node_forget_kept();
    else if (!is_stopped) /* else what was found when it was last noted is */
        node_note_kept();
    node_crash(power ? SIM_CRASH_POWER : SIM_CRASH_KILL);
}

/* ---- the same recovery again ------------------------------------------------------------------------------------- */

static uint64_t recovered_digest(bool *ret_counts)
{
    struct disk_stats stats;
    uint64_t digest;

    node_open();
    work_begin(0);
    if (!node_run(RECOVER_NS, is_recovered))
        run_failed("I4: it does not recover");
    disk_stats(node.disk, &stats);
    digest = node_digest();
    *ret_counts = !sim_disk_has_stopped() && stats.store.evictions == 0 && stats.written_bytes[DISK_CAUSE_RECLAIM] == 0;
    return digest;
}

/* I4: from the same disks to the same index, however often it is interrupted. */
static void life_again(void)
{
    struct sim_disk_copy *copies[DEVICES_MAX];
    bool is_first_right, is_second_right;
    uint64_t first, second;

    for (unsigned i = 0; i < run.devices; i++)
        copies[i] = sim_disk_copy_new(node_disk(i));
    first = recovered_digest(&is_first_right);
    node_crash(SIM_CRASH_KILL);
    for (unsigned i = 0; i < run.devices; i++) {
        sim_disk_restore(node_disk(i), copies[i]);
        sim_disk_copy_free(copies[i]);
    }
    for (unsigned i = (unsigned)between(1, 3); i > 0; i--) {
        bool ignored;
        sim_disk_crash_after(between(1, 400));
        (void)recovered_digest(&ignored);
        node_crash(SIM_CRASH_KILL);
    }
    second = recovered_digest(&is_second_right);
    if (is_first_right && is_second_right && !model_has_twins()) { /* of two devices' twins the last one stays */
        counts.compared++;
        if (first != second)
            run_failed("I4: a recovery that was interrupted comes to another index");
    }
    node_crash(SIM_CRASH_KILL);
}

static void life(void)
{
    enum life_end end = draw_end();

    counts.lives++;
    run.life++;
    if (run.life > 1 && chance(10))
        life_again();
    if (end == END_STOP_KILL || end == END_STOP_POWER)
        sim_disk_crash_after(draw_stop());
    harm_before_open(run.is_harmed && run.life < run.lives);
    node_open();
    harm_after_open();
    counts.stops_in_open += sim_disk_has_stopped();
    run.had_open_stopped |= sim_disk_has_stopped();
    life_run(end);
    life_end(end);
    harm_end();
}

/* ---- one seed --------------------------------------------------------------------------------------------------- */

static void draw_run(uint64_t seed, bool tracing)
{
    run = (struct run){.seed = seed, .tracing = tracing};
    run.workers = (unsigned)between(1, WORKERS_MAX);
    run.devices = chance(60) ? 1 : (unsigned)between(2, DEVICES_MAX);
    run.lives = (unsigned)between(2, 5);
    run.device_bytes = (UINT64_C(16) << 20) + (chance(60) ? 0 : between(0, 32 << 20));
    run.ram_bytes = chance(70) ? between(1 << 20, 4 << 20) : between(4 << 20, 16 << 20);
    run.snapshot_ns = chance(30) ? 1000 * NS_S : between(200 * NS_MS, 4 * NS_S);
    run.is_buffered = chance(30);
    run.is_ram_off = chance(5);
    run.block_devices = chance(70) ? 0 : (unsigned)sim_random(1u << run.devices);
    run.write_bytes_per_s = chance(80) ? 0 : 1u << between(8, 20);
    run.is_harmed = chance(50);
    run.has_quotas = chance(60);
    run.recovery_step_ns = chance(50) ? 0 : between(NS_MS, 500 * NS_MS);
}

static uint64_t run_seed(uint64_t seed, bool tracing)
{
    uint64_t hash;

    sim_begin(seed);
    draw_run(seed, tracing);
    run_trace("%u workers, %u devices of %llu bytes, %llu of RAM", run.workers, run.devices, (unsigned long long)run.device_bytes,
              (unsigned long long)run.ram_bytes);
    model_begin();
    node_disks_begin();
    harm_begin();
    for (unsigned i = 0; i < run.lives; i++)
        life();
    model_end();
    hash = sim_hash() ^ run.content;
    sim_end();
    return hash;
}

static void check_covered(uint64_t seeds)
{
#define X(name)                                                                                               \
    if (counts.name == 0 && seeds >= 200) {                                                                   \
        fprintf(stderr, "%llu seeds without any %s: this tests nothing\n", (unsigned long long)seeds, #name); \
        exit(1);                                                                                              \
    }
    COVERED(X)
#undef X
}

static void tell_counts(void)
{
#define X(name) printf(" %s %llu", #name, (unsigned long long)counts.name);
    COVERED(X)
#undef X
    printf(" began_full %llu spared_lost %llu\n", (unsigned long long)counts.began_full, (unsigned long long)counts.spared_lost);
}

int main(int argc, char **argv)
{
    uint64_t from = 1, seeds = 20;
    bool tracing = false;

    program = argv[0];
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--trace") == 0)
            tracing = true;
        else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
            from = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0 && i + 1 < argc)
            seeds = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            from = strtoull(argv[++i], NULL, 10), seeds = 1;
        else
            return fprintf(stderr, "usage: %s [--from N] [--seeds N] [--seed N] [--trace]\n", program), 2;
    }
    if (tracing)
        setvbuf(stdout, NULL, _IOLBF, 0);
    log_level_max = tracing ? LOG_DEBUG : LOG_ERROR;
    signal(SIGABRT, aborted);
    signal(SIGSEGV, aborted);
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        uint64_t hash = run_seed(seed, tracing);
        if (seed < from + 5 && !tracing && run_seed(seed, false) != hash)
            run_failed("the same seed gave two different runs");
    }
    printf("%llu seeds:", (unsigned long long)seeds);
    tell_counts();
    check_covered(seeds);
    return 0;
}
