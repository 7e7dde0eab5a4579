/* Quotas of tenants on the disk tier: several simulated devices, some of which fail, nodes that are killed, quotas that change. */
#include "disk_node.h"

#define NS_MS   UINT64_C(1000000)
#define DISK    1u /* the tier */
#define LOUD    1u
#define QUIET   2u
#define TENANTS 3u /* none among them */
#define KILLS   200u

static struct store_quota quotas[TENANTS];
static uint64_t most_seen[TENANTS]; /* bytes, since the quota was set */

/* ---- the node ----------------------------------------------------------------------------------------------------- */

static uint64_t tenant_bytes(unsigned tenant)
{
    return storage_tenant_bytes(storage_tier(node.storage, DISK), (uint16_t)tenant);
}

static void quota(unsigned tenant, uint64_t guaranteed, uint64_t hard)
{
    quotas[tenant] = (struct store_quota){guaranteed, STORE_NO_LIMIT, hard};
    storage_quota_set(node.storage, DISK, (uint16_t)tenant, &quotas[tenant]);
    most_seen[tenant] = tenant_bytes(tenant);
}

static void node_open(void)
{
    assert_true(err_is_ok(node_open_with(128 * MIB)));
    for (unsigned i = 0; i < TENANTS; i++)
        storage_quota_set(node.storage, DISK, (uint16_t)i, &quotas[i]);
}

/* ---- accounts -------------------------------------------------------------------------------------------------------- */

struct recount {
    uint64_t tenants[TENANTS];
};

static void recount_visit(void *arg, struct disk_entry *entry)
{
    struct recount *recount = arg;

    assert_true(entry->tenant < TENANTS);
    recount->tenants[entry->tenant] += disk_size_of_class(entry->size_class);
}

/* What waits in buffers counts as well. */
static struct recount recount(void)
{
    struct recount recount = {0};
    struct disk_walk walk;

    disk_index_walk_begin(node.disk->index, &walk);
    (void)disk_index_walk(node.disk->index, &walk, UINT64_MAX, recount_visit, &recount);
    disk_index_walk_end(node.disk->index, &walk);
    for (unsigned i = 0; i < disk_device_count(node.disk); i++)
        for (unsigned log = 0; log < EVICT_LOGS; log++) {
            const struct disk_stream *stream = &node.disk->devices[i].streams[log];
            for (unsigned k = 0; k < stream->pending_count; k++)
                if (stream->pending[k].stored != NULL)
                    recount.tenants[stream->pending[k].entry.tenant] += disk_size_of_class(stream->pending[k].entry.size_class);
        }
    return recount;
}

/* At every step of every thread: nobody comes above its hard quota; who is above does not rise. */
static bool check_step(void *arg)
{
    uint64_t sum = 0;

    (void)arg;
    for (unsigned i = 0; i < TENANTS; i++) {
        uint64_t bytes = tenant_bytes(i);
        assert_true(bytes <= MAX(quotas[i].hard_bytes, most_seen[i]));
        most_seen[i] = MAX(quotas[i].hard_bytes, bytes);
        sum += bytes;
    }
    assert_true(sum >= stats().store.size_bytes);
    return false;
}

static void node_run(uint64_t ns)
{
    (void)sim_run(node.threads, node.thread_count, os_clock_ns() + ns, check_step, NULL);
}

static void check_accounts(void)
{
    struct recount found = recount();

    for (unsigned i = 0; i < TENANTS; i++)
        assert_int_equal(found.tenants[i], tenant_bytes(i));
}

/* Nothing waits anywhere: the tier has what its tenants have. */
static void check_idle_accounts(void)
{
    uint64_t sum = 0;

    node_run(2 * NS_S);
    check_accounts();
    for (unsigned i = 0; i < TENANTS; i++)
        sum += tenant_bytes(i);
    assert_int_equal(sum, stats().store.size_bytes);
}

static void node_recover(void)
{
    node_recovered();
    for (unsigned i = 0; i < TENANTS; i++)
        most_seen[i] = tenant_bytes(i);
}

static void begin_with(unsigned count)
{
    sim_begin(1);
    devices = count;
    log_level_max = LOG_ERROR;
    for (unsigned i = 0; i < TENANTS; i++)
        quotas[i] = (struct store_quota){0, STORE_NO_LIMIT, STORE_NO_LIMIT};
    node_open();
    node_recover();
}

/* ---- objects -------------------------------------------------------------------------------------------------------- */

static void fill(unsigned tenant, unsigned n, size_t size)
{
    static char body[700000];
    char text[32];
    struct store_label label = store_label_of((uint16_t)tenant, STORE_LABEL_HOST, SLICE("host"));
    struct store_fill fill = {.op.loop = node.loop, .tenant = (uint16_t)tenant, .kind = STORE_ANSWER, .seq = storage_seq(node.storage),
                              .meta = SLICE("200"), .labels = &label, .label_count = 1, .length_bytes = (int64_t)size};

    fill.key = storage_key(node.storage, slice_of(text, (size_t)sprintf(text, "key %u %u", tenant, n)));
    assert_int_equal(storage_get_miss_handler(node.storage, &fill), STORE_DONE);
    assert_true(err_is_ok(fill.result));
    assert_int_equal(miss_handler_write(fill.miss_handler, slice_of(body, size)), size);
    miss_handler_finish(fill.miss_handler);
}

/* Sizes of all kinds; the keepers take some from time to time. */
static void fill_many(unsigned tenant, unsigned from, unsigned count)
{
    for (unsigned n = from; n < from + count; n++) {
        fill(tenant, n, 200 + n * 7919 % 30000);
        if (n % 7 == 0)
            node_run(20 * NS_MS);
    }
    node_run(2 * NS_S);
}

/* A few to a segment. */
static void fill_large(unsigned tenant, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        fill(tenant, n, 1000 + n * 7919 % 100000);
        if (n % 7 == 0)
            node_run(20 * NS_MS);
    }
    node_run(2 * NS_S);
}

static void lose(unsigned device)
{
    while (!atomic_load(&node.disk->devices[device].is_offline))
        disk_failed(&node.disk->devices[device], DISK_ERROR_READ, "reading for a test", ERR_SYS(EIO));
}

/* ---- hard quotas ---------------------------------------------------------------------------------------------------- */

static void test_a_hard_quota_is_of_all_devices_together(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= KEEPERS; count++) {
        begin_with(count);
        quota(LOUD, 0, 3 * MIB);
        fill_many(QUIET, 0, 100);
        fill_many(LOUD, 0, 1000); /* 15 MB */
        assert_true(tenant_bytes(LOUD) > 2 * MIB);
        assert_true(stats().decisions[EVICT_ADMITTED] > 800);
        check_idle_accounts();
        node_close();
        sim_end();
    }
}

static void test_a_device_fails_and_comes_back(void **state)
{
    (void)state;
    begin_with(3);
    quota(LOUD, 0, 3 * MIB);
    fill_many(LOUD, 0, 500);
    for (unsigned n = 500; n < 520; n++)
        fill(LOUD, n, 20000);
    node_run(60 * NS_MS); /* some of it waits in buffers */
    lose(1);
    check_idle_accounts();
    assert_true(tenant_bytes(LOUD) < 5 * MIB / 2);
    fill_many(LOUD, 1000, 500);
    assert_true(tenant_bytes(LOUD) > 2 * MIB);
    check_idle_accounts();
    node_close();

    node_open();
    node_recover();
    assert_int_equal(stats().devices_offline, 0);
    check_idle_accounts();
    fill_many(LOUD, 2000, 500);
    assert_true(tenant_bytes(LOUD) > 2 * MIB);
    check_idle_accounts();
    lose(0);
    lose(1);
    lose(2);
    node_run(2 * NS_S);
    assert_int_equal(tenant_bytes(LOUD), 0);
    node_close();
    sim_end();
}

/* How much a tenant is charged for: at least as much as its records are, at most an eighth more. */
static void test_how_exact_a_hard_quota_is(void **state)
{
    uint64_t hard = 4 * MIB, records = 0, bytes = 0;

    (void)state;
    begin_with(1);
    for (unsigned n = 0; n < 300; n++) {
        uint64_t size = disk_record_bytes(8, 1, 3, 200 + n * 7919 % 30000);
        records += size;
        bytes += disk_size_of_class(disk_size_class(size));
    }
    fill_many(LOUD, 0, 300);
    assert_true(tenant_bytes(LOUD) > 0);
    fill(LOUD, 3000, 700000); /* no segment holds it */
    check_idle_accounts();
    assert_int_equal(stats().too_large, 1);
    assert_true(bytes >= records && bytes - records <= records / 8);
    assert_true(bytes - records > records * 3 / 100 && bytes - records < records * 5 / 100); /* of sizes drawn evenly: 4 % */
    quota(LOUD, 0, hard);
    fill_many(LOUD, 1000, 1000);
    assert_true(tenant_bytes(LOUD) <= hard && tenant_bytes(LOUD) > hard - 64 * 1024);
    node_close();
    sim_end();
}

struct coming_down {
    uint64_t bytes; /* at the last look */
    unsigned steps;
};

static bool is_down(void *arg)
{
    struct coming_down *down = arg;
    uint64_t bytes = tenant_bytes(LOUD);

    (void)check_step(NULL);
    down->steps += bytes < down->bytes;
    assert_true(down->bytes - bytes < 4 * MIB); /* in a step of a thread */
    down->bytes = bytes;
    return bytes <= quotas[LOUD].hard_bytes;
}

static unsigned come_down(void)
{
    struct coming_down down = {.bytes = tenant_bytes(LOUD)};

    assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 10 * NS_S, is_down, &down));
    return down.steps;
}

/* Nothing new comes: the keepers take it down, some buckets of the index at a time. */
static void test_a_lowered_quota_is_reached(void **state)
{
    uint64_t quiet, evictions;

    (void)state;
    begin_with(2);
    fill_many(LOUD, 0, 1000);
    fill_many(QUIET, 0, 100);
    quiet = tenant_bytes(QUIET);
    assert_true(tenant_bytes(LOUD) > 10 * MIB);
    quota(LOUD, 0, 2 * MIB);
    assert_true(come_down() >= 4);
    assert_true(tenant_bytes(LOUD) > 2 * MIB - 64 * 1024);
    assert_int_equal(tenant_bytes(QUIET), quiet);
    check_idle_accounts();
    evictions = stats().store.evictions;
    node_run(5 * NS_S);
    assert_int_equal(stats().store.evictions, evictions);
    node_close();
    sim_end();
}

/* The device whose keeper is at it fails: another one goes on. */
static void test_a_device_fails_while_a_quota_is_reached(void **state)
{
    (void)state;
    for (unsigned lost = 0; lost < 2; lost++) {
        begin_with(2);
        fill_many(LOUD, 0, 1000);
        quota(LOUD, 0, MIB);
        while (!node.disk->devices[0].is_excess_lap && !node.disk->devices[1].is_excess_lap)
            node_run(NS_MS);
        lose(lost);
        node_run(5 * NS_S);
        assert_true(tenant_bytes(LOUD) <= MIB && tenant_bytes(LOUD) > MIB - 64 * 1024);
        check_idle_accounts();
        node_close();
        sim_end();
    }
}

/* ---- the ends of nodes --------------------------------------------------------------------------------------------------- */

static void test_accounts_after_a_crash(void **state)
{
    uint64_t before;

    (void)state;
    for (unsigned is_killed = 0; is_killed < 2; is_killed++) {
        begin_with(2);
        fill_many(LOUD, 0, 300);
        fill_many(QUIET, 0, 200);
        before = tenant_bytes(LOUD);
        if (is_killed)
            node_kill();
        else
            node_close();
        node_open();
        node_recover();
        assert_int_equal(tenant_bytes(LOUD), before);
        check_idle_accounts();
        if (is_killed)
            node_kill();
        else
            node_close();
        quotas[LOUD].hard_bytes = MIB; /* lowered while it was down */
        node_open();
        node_recover();
        assert_true(tenant_bytes(LOUD) == before);
        node_run(5 * NS_S);
        assert_true(tenant_bytes(LOUD) <= MIB && tenant_bytes(LOUD) > MIB - 64 * 1024);
        check_idle_accounts();
        node_close();
        sim_end();
    }
}

static void purged(struct store_op *op)
{
    assert_true(container_of(op, struct store_purge, op)->durable);
}

/* As when it is deleted: purged, and without a quota. Then it comes back under the same number. */
static void test_a_tenant_goes_and_comes_back(void **state)
{
    struct store_purge purge;

    (void)state;
    begin_with(2);
    quota(LOUD, MIB, 2 * MIB);
    fill_many(LOUD, 0, 300);
    fill_many(QUIET, 0, 100);
    quota(LOUD, 0, STORE_NO_LIMIT);
    purge = (struct store_purge){.op.loop = node.loop, .tenant = LOUD, .kind = STORE_LABEL_TENANT, .uncounted = true};
    purge.op.done = NULL;
    purge.op.done = purged;
    assert_int_equal(storage_purge(node.storage, &purge), STORE_PENDING);
    for (unsigned i = 0; i < 60 && tenant_bytes(LOUD) > 0; i++) {
        storage_turn(node.storage, os_wall_ms());
        node_run(NS_S / 5);
    }
    assert_int_equal(tenant_bytes(LOUD), 0);
    assert_int_equal(storage_tenant_bytes(storage_tier(node.storage, 0), LOUD), 0);
    check_idle_accounts();
    quota(LOUD, 0, MIB);
    fill_many(LOUD, 0, 300);
    assert_true(tenant_bytes(LOUD) <= MIB && tenant_bytes(LOUD) > MIB / 2);
    check_idle_accounts();
    node_close();
    sim_end();
}

/* ---- what is guaranteed ------------------------------------------------------------------------------------------------- */

static void ask(unsigned tenant, unsigned n)
{
    char text[32];
    struct store_lookup lookup = {.op.loop = node.loop, .at_hand = true};

    lookup.key = storage_key(node.storage, slice_of(text, (size_t)sprintf(text, "key %u %u", tenant, n)));
    assert_int_equal(storage_lookup(node.storage, &lookup), STORE_DONE);
    store_object_unref(lookup.object);
}

static void flood(unsigned from, unsigned count)
{
    for (unsigned n = from; n < from + count; n++) {
        fill(LOUD, n, 20000);
        ask(LOUD, n); /* wanted: a full disk takes it */
        if (n % 7 == 0)
            node_run(20 * NS_MS);
    }
    node_run(2 * NS_S);
}

static void test_a_flood_takes_nothing_that_is_guaranteed(void **state)
{
    uint64_t before;

    (void)state;
    begin_with(2);
    quota(QUIET, 10 * MIB, STORE_NO_LIMIT);
    fill_many(QUIET, 0, 500);
    before = tenant_bytes(QUIET);
    assert_true(before > 7 * MIB && before < 10 * MIB);
    flood(0, 5000); /* 100 MB over 32 */
    assert_true(stats().store.evictions > 2000);
    assert_int_equal(tenant_bytes(QUIET), before);
    assert_int_equal(stats().spared_lost_bytes, 0);
    check_idle_accounts();
    node_close();
    sim_end();
}

static bool has_stopped(void *arg)
{
    (void)arg;
    return sim_disk_has_stopped();
}

/* Killed again and again while what is guaranteed is copied with the last segments that are free. */
static void test_what_is_guaranteed_survives_kills(void **state)
{
    unsigned n = 1000;
    uint64_t before;

    (void)state;
    begin_with(1);
    quota(QUIET, 11 * MIB, STORE_NO_LIMIT);
    fill_large(QUIET, 200);
    before = tenant_bytes(QUIET);
    assert_true(before > 9 * MIB && before < 11 * MIB);
    flood(0, 1000);
    for (unsigned kills = 0; kills < KILLS; kills++) {
        sim_disk_crash_after(1 + sim_random(400));
        for (; !sim_disk_has_stopped(); n++) {
            fill(LOUD, n, 20000);
            ask(LOUD, n);
            if (n % 7 == 0)
                (void)sim_run(node.threads, node.thread_count, os_clock_ns() + 20 * NS_MS, has_stopped, NULL);
        }
        node_kill();
        node_open();
        node_recover();
        assert_int_equal(tenant_bytes(QUIET), before);
        node_run(NS_S);
        assert_int_equal(tenant_bytes(QUIET), before);
        assert_int_equal(stats().spared_lost_bytes, 0);
    }
    check_idle_accounts();
    node_close();
    sim_end();
}

/* More is guaranteed than the device that is left can hold: reclaim ends all the same, and does not copy all of it for ever. */
static void test_more_is_guaranteed_than_is_left(void **state)
{
    uint64_t written;

    (void)state;
    begin_with(2);
    quota(QUIET, 22 * MIB, STORE_NO_LIMIT);
    fill_many(QUIET, 0, 1200);
    lose(0);
    for (unsigned n = 2000; n < 8000; n++) {
        fill(QUIET, n, 15000);
        ask(QUIET, n);
        if (n % 7 == 0)
            node_run(50 * NS_MS);
    }
    node_run(10 * NS_S);
    assert_true(atomic_load(&node.disk->devices[1].free_count) >= 3);
    assert_true(tenant_bytes(QUIET) > 8 * MIB);
    assert_int_equal(stats().spared_lost_bytes, 0); /* what is guaranteed is less by what the other device would hold */
    written = stats().written_bytes[DISK_CAUSE_RECLAIM];
    node_run(60 * NS_S);
    assert_int_equal(stats().written_bytes[DISK_CAUSE_RECLAIM], written);
    check_idle_accounts();
    node_close();
    sim_end();
}

/* Nothing limits it but the share of copies: a device that is larger than another gets more than it can keep. */
static void test_all_of_a_device_is_guaranteed(void **state)
{
    uint64_t written;

    (void)state;
    begin_with(1);
    quota(QUIET, 1000 * MIB, STORE_NO_LIMIT);
    for (unsigned n = 0; n < 3000; n++) {
        fill(QUIET, n, 15000);
        ask(QUIET, n);
        if (n % 7 == 0)
            node_run(50 * NS_MS);
    }
    node_run(10 * NS_S);
    assert_true(atomic_load(&node.disk->devices[0].free_count) >= 3);
    assert_true(stats().spared_lost_bytes > 0);
    written = stats().written_bytes[DISK_CAUSE_RECLAIM];
    assert_true(written < 9 * stats().written_bytes[DISK_CAUSE_OBJECTS]);
    node_run(60 * NS_S);
    assert_int_equal(stats().written_bytes[DISK_CAUSE_RECLAIM], written);
    check_idle_accounts();
    node_close();
    sim_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_hard_quota_is_of_all_devices_together),
        cmocka_unit_test(test_a_device_fails_and_comes_back),
        cmocka_unit_test(test_how_exact_a_hard_quota_is),
        cmocka_unit_test(test_a_lowered_quota_is_reached),
        cmocka_unit_test(test_a_device_fails_while_a_quota_is_reached),
        cmocka_unit_test(test_accounts_after_a_crash),
        cmocka_unit_test(test_a_tenant_goes_and_comes_back),
        cmocka_unit_test(test_a_flood_takes_nothing_that_is_guaranteed),
        cmocka_unit_test(test_what_is_guaranteed_survives_kills),
        cmocka_unit_test(test_more_is_guaranteed_than_is_left),
        cmocka_unit_test(test_all_of_a_device_is_guaranteed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
