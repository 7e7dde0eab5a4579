/* The whole core between scripted origins and clients, everything drawn from one seed; an oracle looks at every
 * answer. What must hold:
 *
 *   I1 the body is that of one version of that URL and variant; one that was cut never ends cleanly
 *   I2 a request that came after a purge was acknowledged never gets what was fetched before it
 *   I3, I4 what was made for one client (private, no-store, Set-Cookie; Authorization, Cookie) reaches no other
 *   I5 one fetch at a time for a cold shareable URL; slices of two versions never meet (that is I1's)
 *   I6 every request has one answer or a visible end within 120 s
 *   I7 at the end nothing is left: no connection, transaction, fill, byte
 *   I8 the same seed is the same run */
#include "tests/sim/cache_client.h"
#include "tests/sim/cache_h2.h"
#include "tests/sim/cache_node.h"
#include "tests/sim/cache_origin.h"

#include "base/log.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct run run;
struct run_counts counts;

static const char *program = "sim_cache";

/* ---- telling ---------------------------------------------------------------------------------------------------- */

void run_trace(const char *format, ...)
{
    va_list args;

    if (!run.tracing)
        return;
    printf("%12.6f ", (double)os_clock_ns() / 1e9);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static void tell_replay(void)
{
    char line[256];
    int n = snprintf(line, sizeof(line), "replay: %s --from %llu --seeds 1 --trace\n", program, (unsigned long long)run.seed);

    fflush(stdout);
    (void)!write(2, line, (size_t)n);
}

noreturn void run_failed(int url, unsigned client, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    fprintf(stderr, "seed %llu: ", (unsigned long long)run.seed);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; at %.6f s", (double)os_clock_ns() / 1e9);
    if (url >= 0)
        fprintf(stderr, ", http://%s%s", model_urls[url].host, model_urls[url].target);
    if (client > 0)
        fprintf(stderr, ", client %u", client);
    fprintf(stderr, "\n");
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

/* ---- purges, outages ---------------------------------------------------------------------------------------------- */

struct pending_purge {
    struct store_purge purge;
    uint32_t url, version[MODEL_URLS]; /* what is owed once it is acknowledged; url MODEL_URLS: all */
};

static struct sim_timer purge_timer, soon_timer, outage_timer;
static uint32_t soon_url;
static unsigned purges_pending;
static bool ending;

static void purge_done(struct store_op *op)
{
    struct pending_purge *pending = container_of(op, struct pending_purge, purge.op);

    purges_pending--;
    for (uint32_t i = 0; i < MODEL_URLS && !pending->purge.soft; i++)
        if (pending->url == i || pending->url == MODEL_URLS)
            model_purged(i, pending->version[i]);
    run_trace("purge of %u is acknowledged", pending->url);
    free(pending);
}

static void purge_name(struct pending_purge *pending)
{
    char text[128];
    struct model_url *url = &model_urls[pending->url];

    snprintf(text, sizeof(text), "http://%s%s", url->host, url->target);
    pending->purge.kind = STORE_LABEL_URL;
    pending->purge.label = store_label_of(1, STORE_LABEL_URL, slice_str(text));
    pending->purge.soft = chance(20);
    counts.soft_purges += pending->purge.soft;
}

static void purge_begin(uint32_t url)
{
    struct pending_purge *pending = calloc(1, sizeof(*pending));

    INVARIANT(pending != NULL);
    pending->url = url;
    pending->purge.tenant = 1;
    pending->purge.op.loop = node_loop((unsigned)sim_random(run.workers));
    pending->purge.op.done = purge_done;
    pending->purge.uncounted = chance(50);
    if (pending->url < MODEL_URLS) {
        purge_name(pending);
    } else {
        pending->purge.kind = STORE_LABEL_TENANT;
        pending->purge.label = store_label_of(1, STORE_LABEL_TENANT, SLICE(""));
        counts.tenant_purges++;
    }
    for (uint32_t i = 0; i < MODEL_URLS; i++) {
        if (pending->url != i && pending->url != MODEL_URLS)
            continue;
        model_moved(i); /* what was fetched before shows from now on */
        model_urls[i].purged_ns = os_clock_ns();
        pending->version[i] = model_urls[i].version;
    }
    counts.purges++;
    purges_pending++;
    if (storage_purge(node_storage(), &pending->purge) == STORE_DONE)
        purge_done(&pending->purge.op);
}

/* ---- slices that go -------------------------------------------------------------------------------------------- */

#define VANISH_MAX 64u

struct vanishing {
    hash128 hash[VANISH_MAX];
    unsigned count, percent;
};

static void vanish_visit(void *arg, const struct store_object *object, uint64_t hits)
{
    struct vanishing *vanishing = arg;

    (void)hits;
    if (object->kind == STORE_SLICE && vanishing->count < VANISH_MAX && chance(vanishing->percent))
        vanishing->hash[vanishing->count++] = object->hash;
}

/* As an eviction takes them, at any time, one without the other. */
static void slices_vanish(void)
{
    struct vanishing vanishing = {.percent = chance(50) ? 10 : 100};

    (void)storage_browse(node_storage(), 0, 1000, vanish_visit, &vanishing);
    for (unsigned i = 0; i < vanishing.count; i++)
        storage_drop_hash(node_storage(), vanishing.hash[i]);
    counts.slices_vanished += vanishing.count;
}

static void purge_fire(struct sim_timer *timer)
{
    if (ending)
        return;
    if (run.slice_bytes > 0 && chance(40))
        slices_vanish();
    if (chance(70))
        purge_begin(chance(8)    ? MODEL_URLS
                    : chance(50) ? (uint32_t)sim_random(10) * 4
                                 : (uint32_t)sim_random(MODEL_URLS));
    else
        model_moved((uint32_t)sim_random(MODEL_URLS)); /* nobody is told: caches may lag */
    sim_timer_set(timer, os_clock_ns() + between(0, 3 * NS_S));
}

static void soon_fire(struct sim_timer *timer)
{
    (void)timer;
    if (!ending)
        purge_begin(soon_url);
}

void run_purge_soon(uint32_t url)
{
    if (soon_timer.at_ns != 0)
        return;
    soon_url = url;
    sim_timer_set(&soon_timer, os_clock_ns() + between(0, 30 * NS_MS));
}

static void outage_fire(struct sim_timer *timer)
{
    bool down = chance(50);

    run.last_outage_ns = os_clock_ns();
    counts.outages += down;
    origin_set_down((unsigned)sim_random(ORIGINS), down && !ending);
    if (!ending)
        sim_timer_set(timer, os_clock_ns() + between(0, 6 * NS_S));
}

/* ---- one seed ------------------------------------------------------------------------------------------------------- */

static void draw_run(uint64_t seed, bool tracing)
{
    unsigned tier = (unsigned)(seed % 5);

    run = (struct run){.seed = seed, .tracing = tracing};
    run.workers = 2 + (unsigned)sim_random(2);
    run.clients = (unsigned)between(25, 60);
    run.memory_bytes = chance(35) ? between(1u << 20, chance(70) ? 3u << 19 : 4u << 20) : 64u << 20;
    run.slice_bytes = chance(75) ? 2048u << sim_random(4) : 0;
    run.ahead = (unsigned)between(1, 17);
    run.late_lookups = tier == 3 || tier == 4;
    run.late_writes = tier == 4 && chance(60);
    run.late_purges = tier >= 3 && chance(50);
    run.has_outages = chance(20);
    run.h2_origins = chance(40) ? 0 : chance(50) ? (1u << ORIGINS) - 1 : 1u << sim_random(ORIGINS);
    run.h2_streams_max = chance(30) ? (unsigned)between(1, 4) : 0;
    run.has_disk = tier < 3 && chance(50);
    run.is_restarted = run.has_disk && chance(60);
}

static int draw_herd_url(void)
{
    if (chance(run.memory_bytes < (8u << 20) ? 50 : 20)) /* readers of a window at different paces */
        return MODEL_URLS - 8 + (int)sim_random(4);
    if (chance(50)) /* whose answers are not everybody's */
        return 16 + (int)sim_random(12);
    return (int)sim_random(MODEL_URLS - 8);
}

/* Half of all that come together share one HTTP/2 connection; others use one of their own. */
static struct carrier *draw_carrier(unsigned members)
{
    return chance(50) ? carrier_new(members) : NULL;
}

/* Those who come together: a crowd that asks for one cold URL, or a herd whose first requests are for the same. */
static unsigned plan_crowd(unsigned at, uint64_t begin_ns, unsigned size)
{
    uint32_t url = MODEL_URLS - 1 - (uint32_t)sim_random(4);
    struct carrier *carrier = draw_carrier(size);

    counts.crowds++;
    for (unsigned i = 0; i < size; i++, at++)
        client_plan_crowd(&clients[at], carrier, run.clients_before + at + 1, begin_ns + between(0, 150 * NS_MS), url);
    return at;
}

static unsigned plan_herd(unsigned at, uint64_t begin_ns, unsigned size)
{
    int url = draw_herd_url();
    struct carrier *carrier = draw_carrier(size);

    counts.herds++;
    for (unsigned i = 0; i < size; i++, at++) {
        client_plan(&clients[at], carrier, run.clients_before + at + 1, begin_ns + between(0, 100 * NS_MS), url);
        if (chance(20)) /* perhaps the one whose request the others wait for */
            sim_timer_set(&clients[at].leave, begin_ns + between(50 * NS_MS, 500 * NS_MS));
    }
    return at;
}

static void plan_clients(void)
{
    unsigned at = 0;

    while (at < run.clients) {
        uint64_t begin_ns = os_clock_ns() + between(0, 15 * NS_S);
        unsigned size = (unsigned)between(3, 10);

        size = MIN(size, run.clients - at);
        if (chance(6)) {
            at = plan_crowd(at, begin_ns, size);
        } else if (chance(10)) {
            at = plan_herd(at, begin_ns, size);
        } else {
            client_plan(&clients[at], chance(25) ? carrier_new(1) : NULL, run.clients_before + at + 1, begin_ns, -1);
            at++;
        }
    }
}

static bool clients_done(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < run.clients; i++)
        if (!clients[i].done)
            return false;
    return true;
}

static bool purges_done(void *arg)
{
    (void)arg;
    return purges_pending == 0;
}

/* All that was acknowledged holds for the next node too; others come to it then. */
static void restart(void)
{
    ending = true;
    sim_timer_stop(&purge_timer);
    sim_timer_stop(&soon_timer);
    if (!node_run_until(SIM_FOREVER, purges_done))
        run_failed(-1, 0, "I6: %u purges were never acknowledged", purges_pending);
    counts.evictions += node_evictions();
    node_restart();
    ending = false;
    for (unsigned i = 0; i < run.clients; i++)
        client_free(&clients[i]);
    carriers_end();
    carriers_begin();
    run.clients_before = run.clients;
    plan_clients();
    sim_timer_set(&purge_timer, os_clock_ns() + between(0, 2 * NS_S));
    if (run.has_outages)
        sim_timer_set(&outage_timer, os_clock_ns() + between(0, 5 * NS_S));
    if (!node_run_until(SIM_FOREVER, clients_done))
        run_failed(-1, 0, "I6: nothing moves any more");
}

static uint64_t run_seed(uint64_t seed, bool tracing)
{
    uint64_t hash;

    sim_begin(seed);
    draw_run(seed, tracing);
    run_trace("slices of %u, %u ahead", run.slice_bytes, run.ahead);
    run_trace("%u workers, %u clients, %llu bytes, late %d%d%d, outages %d, HTTP/2 origins %u, streams %u", run.workers, run.clients,
              (unsigned long long)run.memory_bytes, run.late_lookups, run.late_writes, run.late_purges, run.has_outages,
              run.h2_origins, run.h2_streams_max);
    ending = false;
    model_begin();
    origins_begin();
    carriers_begin();
    node_begin();
    plan_clients();
    purge_timer = (struct sim_timer){.fire = purge_fire};
    soon_timer = (struct sim_timer){.fire = soon_fire};
    outage_timer = (struct sim_timer){.fire = outage_fire};
    sim_timer_set(&purge_timer, os_clock_ns() + between(0, 2 * NS_S));
    if (run.has_outages)
        sim_timer_set(&outage_timer, os_clock_ns() + between(0, 5 * NS_S));
    if (!node_run_until(SIM_FOREVER, clients_done))
        run_failed(-1, 0, "I6: nothing moves any more");
    if (run.is_restarted)
        restart();
    ending = true;
    node_end();
    if (purges_pending > 0)
        run_failed(-1, 0, "I6: %u purges were never acknowledged", purges_pending);
    counts.evictions += node_evictions();
    sim_timer_stop(&purge_timer);
    sim_timer_stop(&soon_timer);
    sim_timer_stop(&outage_timer);
    for (unsigned i = 0; i < run.clients; i++)
        client_free(&clients[i]);
    carriers_end();
    origins_end();
    hash = sim_hash() ^ run.content;
    sim_end();
    return hash;
}

static void check_covered(uint64_t seeds)
{
#define X(name)                                                                                             \
    if (counts.name == 0 && seeds >= 200) {                                                                 \
        fprintf(stderr, "%llu seeds without any %s: this tests nothing\n", (unsigned long long)seeds, #name); \
        exit(1);                                                                                            \
    }
    COVERED(X)
#undef X
#define X(name) printf(" %s %llu", #name, (unsigned long long)counts.name);
    COVERED(X)
#undef X
    printf("\n");
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
        else
            return fprintf(stderr, "usage: %s [--from N] [--seeds N] [--trace]\n", program), 2;
    }
    log_level_max = tracing ? LOG_DEBUG : LOG_ERROR;
    signal(SIGABRT, aborted);
    signal(SIGSEGV, aborted);
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        uint64_t hash = run_seed(seed, tracing);
        if (seed < from + 5 && !tracing && run_seed(seed, false) != hash)
            run_failed(-1, 0, "I8: the same seed gave two different runs");
    }
    printf("%llu seeds:", (unsigned long long)seeds);
    check_covered(seeds);
    return 0;
}
