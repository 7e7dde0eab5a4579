/* The disk tier under RAM, on simulated disks: what happens when a device fails in one place. */
#include "disk_node.h"

#define BODY_SIZE 3000u

static const char *const files[KEEPERS] = {"/a/warp.store", "/b/warp.store", "/c/warp.store"};

/* ---- memory that ends ------------------------------------------------------------------------------------------- */

static unsigned memory_left = UINT32_MAX; /* allocations of buffers for files until one fails, once */
static bool memory_failed;

void *__real_os_file_memory(size_t size);
void *__wrap_os_file_memory(size_t size);
void *__wrap_os_file_memory(size_t size)
{
    if (memory_left != UINT32_MAX && memory_left-- == 0) {
        memory_left = UINT32_MAX;
        memory_failed = true;
        return NULL;
    }
    return __real_os_file_memory(size);
}

static size_t malloc_fails; /* the next allocation of that size */

static bool malloc_is_to_fail(size_t size)
{
    bool is_to_fail = malloc_fails != 0 && size == malloc_fails;

    if (is_to_fail)
        malloc_fails = 0;
    return is_to_fail;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return malloc_is_to_fail(size) ? NULL : __real_malloc(size);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    return malloc_is_to_fail(count * size) ? NULL : __real_calloc(count, size);
}

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
    return malloc_is_to_fail(size) ? NULL : __real_realloc(memory, size);
}

/* ---- the node ----------------------------------------------------------------------------------------------------- */

static err node_open_err(void)
{
    return node_open_with(64 * MIB);
}

static void node_open(void)
{
    assert_true(err_is_ok(node_open_err()));
}

static void node_run(uint64_t ns)
{
    (void)sim_run(node.threads, node.thread_count, os_clock_ns() + ns, NULL, NULL);
}

/* ---- objects -------------------------------------------------------------------------------------------------------- */

static struct store_key key_of(unsigned n, char *text)
{
    return storage_key(node.storage, slice_of(text, (size_t)sprintf(text, "key %u", n)));
}

static struct store_label label_of(unsigned n)
{
    char text[32];

    return store_label_of(1, STORE_LABEL_URL, slice_of(text, (size_t)sprintf(text, "url %u", n)));
}

static void fill(unsigned n)
{
    struct store_label label = label_of(n);
    char text[32], body[BODY_SIZE];
    struct store_fill fill = {.op.loop = node.loop, .key = key_of(n, text), .tenant = 1, .kind = STORE_ANSWER, .seq = storage_seq(node.storage),
                              .meta = SLICE("200"), .labels = &label, .label_count = 1, .length_bytes = sizeof(body)};

    memset(body, (int)n, sizeof(body));
    assert_int_equal(storage_get_miss_handler(node.storage, &fill), STORE_DONE);
    assert_true(err_is_ok(fill.result));
    assert_int_equal(miss_handler_write(fill.miss_handler, slice_of(body, sizeof(body))), sizeof(body));
    miss_handler_finish(fill.miss_handler);
}

static void fill_all(unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        fill(n);
    node_run(2 * NS_S);
    assert_int_equal(stats().store.objects, count);
}

static bool is_done;

static void on_done(struct store_op *op)
{
    (void)op;
    is_done = true;
}

static bool is_it_done(void *arg)
{
    (void)arg;
    return is_done;
}

static void until_done(enum store_status status)
{
    is_done = status == STORE_DONE;
    assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 60 * NS_S, is_it_done, NULL));
}

/* Is it a hit? */
static bool look_up(unsigned n)
{
    char text[32];
    struct store_lookup lookup = {.op = {.loop = node.loop, .done = on_done}, .key = key_of(n, text)};

    is_done = false;
    until_done(storage_lookup(node.storage, &lookup));
    bool is_found = lookup.object != NULL;
    store_object_unref(lookup.object);
    return is_found;
}

static unsigned hits(unsigned count)
{
    unsigned found = 0;

    for (unsigned n = 0; n < count; n++)
        found += look_up(n);
    return found;
}

static void purge_begin(struct store_purge *purge, unsigned n)
{
    *purge = (struct store_purge){.op = {.loop = node.loop, .done = on_done}, .tenant = 1, .kind = STORE_LABEL_URL, .label = label_of(n), .uncounted = true};
    is_done = false;
    is_done = storage_purge(node.storage, purge) == STORE_DONE;
}

/* Is it durable? */
static bool purge(unsigned n)
{
    struct store_purge asked;

    purge_begin(&asked, n);
    until_done(is_done ? STORE_DONE : STORE_PENDING);
    return asked.durable;
}

static int begin_with(unsigned count)
{
    sim_begin(1);
    devices = count;
    log_level_max = LOG_ERROR;
    memory_left = UINT32_MAX;
    memory_failed = false;
    return 0;
}

static int setup_one(void **state)
{
    (void)state;
    return begin_with(1);
}

static int setup_two(void **state)
{
    (void)state;
    return begin_with(2);
}

static int teardown(void **state)
{
    (void)state;
    sim_end();
    return 0;
}

static struct disk_super super_of(unsigned device)
{
    char block[DISK_BLOCK];
    struct disk_super super;

    sim_disk_peek(sim_disk_at(files[device]), DISK_SUPER_B, block, DISK_BLOCK);
    assert_true(err_is_ok(disk_super_read(block, &super)));
    return super;
}

/* ---- superblocks ---------------------------------------------------------------------------------------------------- */

static void test_one_superblock_cannot_be_read(void **state)
{
    static const uint64_t places[] = {DISK_SUPER_A, DISK_SUPER_B};

    (void)state;
    node_open();
    node_recovered();
    fill_all(20);
    node_close();
    for (unsigned i = 0; i < ARRAY_LEN(places); i++) {
        sim_disk_set_bad(sim_disk_at(files[0]), places[i], DISK_BLOCK, SIM_DISK_READS);
        node_open();
        node_recovered();
        assert_int_equal(hits(20), 20);
        assert_null(disk_note(node.disk, 0));
        node_close();
    }
}

static void test_no_superblock_can_be_read(void **state)
{
    (void)state;
    node_open();
    node_recovered();
    fill_all(20);
    node_close();
    sim_disk_set_bad(sim_disk_at(files[0]), 0, DISK_SUPER_B + DISK_BLOCK, SIM_DISK_READS);
    assert_int_equal(node_open_err().code, ERR_NOT_FOUND);
    assert_non_null(disk_note(node.disk, 0));
    node_close();
    sim_disk_set_bad(sim_disk_at(files[0]), 0, 0, 0);
    node_open();
    node_recovered();
    assert_int_equal(hits(20), 20);
    node_close();
}

/* ---- journals ------------------------------------------------------------------------------------------------------- */

/* Objects 0 to 19, of which 3 was purged. */
static void node_begin(void)
{
    node_open();
    node_recovered();
    fill_all(20);
    assert_true(purge(3));
    node_close();
}

static void node_check(void)
{
    node_recovered();
    assert_int_equal(hits(20), 19);
    assert_false(look_up(3));
}

static bool tells(const char *path, const char *what)
{
    const char *note;

    for (unsigned i = 0; (note = disk_note(node.disk, i)) != NULL; i++)
        if (strncmp(note, path, strlen(path)) == 0 && strstr(note, what) != NULL)
            return true;
    return false;
}

/* In both halves there is only one that can be read. */
static void test_journal_blocks_cannot_be_read(void **state)
{
    (void)state;
    node_begin();
    struct disk_super super = super_of(0);
    for (unsigned half = 0; half < 2; half++) {
        uint64_t bytes = super.journal_bytes / DISK_BLOCK / 2 * DISK_BLOCK;
        sim_disk_set_bad(sim_disk_at(files[0]), super.journal_at + half * bytes, bytes, SIM_DISK_READS);
        node_open();
        node_check();
        assert_int_equal(stats().errors[DISK_ERROR_FORMATTED], 0);
        assert_true(stats().errors[DISK_ERROR_READ] > 0);
        assert_null(disk_note(node.disk, 0));
        node_kill();
    }
}

static void test_no_journal_can_be_read(void **state)
{
    (void)state;
    node_begin();
    struct disk_super super = super_of(0);
    sim_disk_set_bad(sim_disk_at(files[0]), super.journal_at, super.journal_bytes, SIM_DISK_READS);
    node_open();
    node_recovered();
    assert_int_equal(stats().errors[DISK_ERROR_FORMATTED], 1);
    assert_int_equal(hits(20), 0);
    fill_all(20);
    node_close();
}

static void test_another_journal_can_be_read(void **state)
{
    (void)state;
    node_begin();
    struct disk_super super = super_of(0);
    sim_disk_set_bad(sim_disk_at(files[0]), super.journal_at, super.journal_bytes, SIM_DISK_READS);
    node_open();
    node_check();
    assert_int_equal(stats().errors[DISK_ERROR_FORMATTED], 0);
    assert_int_equal(stats().devices_offline, 0);
    node_close();
}

/* That device is out, and was away when it comes back. */
static void test_a_journal_cannot_be_begun(void **state)
{
    (void)state;
    node_begin();
    struct disk_super super = super_of(1);
    sim_disk_set_bad(sim_disk_at(files[1]), super.journal_at, super.journal_bytes, SIM_DISK_WRITES);
    node_open();
    node_recovered();
    assert_true(tells(files[1], "purge journal"));
    assert_int_equal(stats().devices_offline, 1);
    assert_false(stats().is_off);
    unsigned left = hits(20);
    assert_true(left > 0 && left < 19);
    for (unsigned n = 10; n < 15; n++)
        assert_true(purge(n));
    node_kill();
    sim_disk_set_bad(sim_disk_at(files[1]), 0, 0, 0);
    node_open();
    node_recovered();
    assert_int_equal(stats().errors[DISK_ERROR_FORMATTED], 1);
    for (unsigned n = 10; n < 15; n++)
        assert_false(look_up(n));
    assert_false(look_up(3));
    assert_int_equal(stats().devices_offline, 0);
    node_close();
}

static void test_no_journal_can_be_begun(void **state)
{
    (void)state;
    node_begin();
    struct disk_super super = super_of(0);
    sim_disk_set_bad(sim_disk_at(files[0]), super.journal_at, super.journal_bytes, SIM_DISK_WRITES);
    assert_false(err_is_ok(node_open_err()));
    assert_true(tells(files[0], "purge journal"));
    assert_false(look_up(4));
    assert_false(purge(4));
    node_kill();
}

/* ---- devices that fail in the middle of a purge --------------------------------------------------------------------- */

static void lost_while_purging(bool is_journal)
{
    node_open();
    node_recovered();
    fill_all(20);
    struct disk_super super = super_of(1);
    if (is_journal)
        sim_disk_set_bad(sim_disk_at(files[1]), super.journal_at, super.journal_bytes, SIM_DISK_WRITES);
    else
        sim_disk_vanish(sim_disk_at(files[1]), ENODEV);
    for (unsigned n = 0; n < 10; n++)
        assert_true(purge(n));
    assert_false(stats().is_off);
    assert_int_equal(stats().devices_offline, 1);
    assert_true(tells(files[1], "out of use"));
    assert_int_equal(super_of(0).out, 2);
    node_kill();
    sim_disk_set_bad(sim_disk_at(files[1]), 0, 0, 0);
    sim_disk_vanish(sim_disk_at(files[1]), 0);
    node_open();
    node_recovered();
    assert_int_equal(stats().errors[DISK_ERROR_FORMATTED], 1);
    assert_int_equal(hits(10), 0);
    assert_true(hits(20) > 0);
    node_close();
}

static void test_a_journal_fails(void **state)
{
    (void)state;
    lost_while_purging(true);
}

static void test_a_device_vanishes(void **state)
{
    (void)state;
    lost_while_purging(false);
}

/* It is out already when the purge comes, and nobody has that on record yet; whichever keeper is the first to look. */
static void purge_in_that_moment(void)
{
    struct store_purge asked;

    node_open();
    node_recovered();
    fill_all(20);
    while (stats().devices_offline == 0)
        disk_failed(&node.disk->devices[1], DISK_ERROR_READ, "reading for a test", ERR_SYS(EIO));
    purge_begin(&asked, 5);
    assert_int_equal(super_of(0).out, 0);
    until_done(is_done ? STORE_DONE : STORE_PENDING);
    assert_true(asked.durable);
    assert_int_equal(super_of(0).out, 2);
    assert_false(stats().is_off);
    node_close();
}

static void test_a_purge_in_that_moment(void **state)
{
    (void)state;
    for (uint64_t seed = 2; seed < 12; seed++) {
        purge_in_that_moment();
        sim_end();
        sim_begin(seed);
    }
}

static void test_all_journals_fail(void **state)
{
    (void)state;
    node_open();
    node_recovered();
    fill_all(20);
    for (unsigned i = 0; i < devices; i++)
        sim_disk_set_bad(sim_disk_at(files[i]), super_of(i).journal_at, super_of(i).journal_bytes, SIM_DISK_WRITES);
    assert_false(purge(5));
    assert_true(stats().is_off);
    assert_true(tells("/", "purge again"));
    assert_false(look_up(5));
    node_close();
}

/* ---- snapshots -------------------------------------------------------------------------------------------------------- */

static uint64_t snapshot_number(unsigned area)
{
    struct disk_super super = super_of(0);
    struct disk_snapshot_head head;
    char block[DISK_BLOCK];

    sim_disk_peek(sim_disk_at(files[0]), super.snapshot_at[area], block, DISK_BLOCK);
    return err_is_ok(disk_snapshot_head_read(block, &super.set, &head)) ? head.number : 0;
}

/* The newer one is damaged: it is the one to be written over, as long as the other is all there is. */
static void test_the_good_snapshot_stays(void **state)
{
    (void)state;
    node_begin();
    node_open();
    node_recovered();
    node_close();
    unsigned newer = snapshot_number(0) > snapshot_number(1) ? 0 : 1;
    uint64_t good = snapshot_number(!newer);
    assert_true(good > 0 && snapshot_number(newer) == good + 1);
    sim_disk_flip(sim_disk_at(files[0]), super_of(0).snapshot_at[newer] + DISK_BLOCK, DISK_BLOCK);
    node_open();
    node_check();
    assert_int_equal(stats().errors[DISK_ERROR_SNAPSHOT], 1);
    node_close();
    assert_int_equal(snapshot_number(newer), good + 2);
    assert_int_equal(snapshot_number(!newer), good);
    node_open();
    node_check();
    assert_int_equal(stats().errors[DISK_ERROR_SNAPSHOT], 0);
    node_close();
    assert_int_equal(snapshot_number(newer), good + 2);
    assert_int_equal(snapshot_number(!newer), good + 3);
}

/* ---- memory ----------------------------------------------------------------------------------------------------------- */

/* Nothing was lost, and no device is blamed. */
static void check_recovered(uint64_t segments_free)
{
    node_recovered();
    memory_left = UINT32_MAX; /* lookups need some, too */
    assert_int_equal(hits(20), 19);
    assert_int_equal(stats().devices_offline, 0);
    assert_int_equal(stats().errors[DISK_ERROR_READ], 0);
    assert_int_equal(stats().errors[DISK_ERROR_SNAPSHOT], 0);
    assert_int_equal(stats().segments_bad, 0);
    if (segments_free > 0)
        assert_int_equal(stats().segments_free, segments_free);
}

/* The same start again and again; each time another allocation fails. */
static void recover_without_memory(bool is_closed)
{
    struct sim_disk *disk = sim_disk_at(files[0]);
    uint64_t segments_free;
    unsigned failures = 0;

    node_begin();
    node_open();
    node_recovered();
    for (unsigned n = 0; n < 10; n++) /* in the place of what the snapshot has */
        fill(n == 3 ? 0 : n);
    node_run(2 * NS_S);
    if (is_closed)
        node_close();
    else
        node_kill();
    struct sim_disk_copy *copy = sim_disk_copy_new(disk);
    node_open();
    check_recovered(0);
    segments_free = stats().segments_free;
    node_kill();
    for (unsigned i = 0; memory_failed || i == 0; i++, failures++) {
        sim_disk_restore(disk, copy);
        node_open();
        memory_failed = false;
        memory_left = i;
        check_recovered(segments_free);
        node_kill();
    }
    assert_true(failures > 1);
    size_t sizes[] = {super_of(0).segments, super_of(0).segments * sizeof(uint32_t)};
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        sim_disk_restore(disk, copy);
        node_open();
        malloc_fails = sizes[i];
        check_recovered(segments_free);
        assert_int_equal(malloc_fails, 0);
        node_kill();
    }
    sim_disk_copy_free(copy);
}

static void test_recovery_after_a_close_without_memory(void **state)
{
    (void)state;
    recover_without_memory(true);
}

static void test_recovery_after_a_kill_without_memory(void **state)
{
    (void)state;
    recover_without_memory(false);
}

/* A journal of which only a part could be kept is not damaged. */
static void test_a_journal_without_memory(void **state)
{
    (void)state;
    node_begin();
    malloc_fails = JOURNAL_BLOCK_ENTRIES * sizeof(struct journal_entry);
    assert_int_equal(node_open_err().code, ERR_MEMORY);
    assert_int_equal(malloc_fails, 0);
    node_close();
    node_open();
    node_check();
    assert_int_equal(stats().errors[DISK_ERROR_FORMATTED], 0);
    node_close();
}

/* It waits until there is some. */
static void test_a_purge_without_memory(void **state)
{
    (void)state;
    node_open();
    node_recovered();
    fill_all(20);
    malloc_fails = 64 * sizeof(struct purge_entry);
    assert_true(purge(3));
    assert_int_equal(malloc_fails, 0);
    assert_int_equal(stats().devices_offline, 0);
    node_kill();
    node_open();
    node_check();
    node_close();
}

static bool is_swept(void *arg)
{
    uint64_t *seq = arg;

    return atomic_load(&node.disk->devices[0].swept_seq) >= *seq;
}

/* What a sweep cannot look at for now stays. */
static void test_a_sweep_without_memory(void **state)
{
    (void)state;
    node_begin();
    node_open();
    node_recovered();
    uint64_t before = stats().store.objects;
    assert_true(purge(5));
    uint64_t seq = purge_log_seq(node.purges);
    memory_left = 0;
    assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 60 * NS_S, is_swept, &seq));
    assert_true(memory_failed);
    assert_int_equal(stats().store.objects, before - 1);
    assert_int_equal(stats().devices_offline, 0);
    node_close();
}

static bool has_memory_failed(void *arg)
{
    (void)arg;
    return memory_failed;
}

/* The one that was there stays, and the next one comes in its time. */
static void test_a_snapshot_without_memory(void **state)
{
    (void)state;
    node_begin();
    unsigned newer = snapshot_number(0) > snapshot_number(1) ? 0 : 1;
    uint64_t number = snapshot_number(newer);
    node_open();
    node_recovered();
    for (unsigned i = 0; i < 40; i++) { /* more than a device may fail */
        memory_failed = false;
        memory_left = i % 2;
        assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 4000 * NS_S, has_memory_failed, NULL));
    }
    assert_int_equal(stats().errors[DISK_ERROR_SNAPSHOT], 0);
    assert_int_equal(stats().devices_offline, 0);
    assert_int_equal(snapshot_number(newer), number);
    node_run(3700 * NS_S);
    assert_int_equal(snapshot_number(!newer), number + 1);
    node_close();
}

/* ---- devices that fail in the middle of something ---------------------------------------------------------------------- */

static void lose(unsigned device)
{
    while (!atomic_load(&node.disk->devices[device].is_offline))
        disk_failed(&node.disk->devices[device], DISK_ERROR_READ, "reading for a test", ERR_SYS(EIO));
}

static bool is_in_reclaim(void *arg)
{
    (void)arg;
    return node.disk->devices[0].reclaim != NULL;
}

static bool is_in_sweep(void *arg)
{
    (void)arg;
    return node.disk->devices[0].sweep != NULL;
}

static bool is_in_snapshot(void *arg)
{
    (void)arg;
    return node.disk->devices[0].snapshot != NULL;
}

/* Nothing of what it was at is held. */
static void lose_in_the_middle(bool (*is_at_it)(void *arg))
{
    const struct disk_device *device = &node.disk->devices[0];
    struct purge_log_stats purges;

    assert_true(is_at_it(NULL) || sim_run(node.threads, node.thread_count, os_clock_ns() + 4000 * NS_S, is_at_it, NULL));
    lose(0);
    for (unsigned i = 0; i < 30; i++) {
        storage_turn(node.storage, os_wall_ms()); /* RAM sweeps, too */
        node_run(NS_S / 10);
    }
    assert_null(device->reclaim);
    assert_null(device->sweep);
    assert_null(device->snapshot);
    assert_int_equal(stats().store.objects, 0);
    assert_int_equal(stats().store.size_bytes, 0);
    purge_log_stats(node.purges, &purges);
    assert_int_equal(purges.labels, 0);
}

static void test_lost_in_reclaim(void **state)
{
    (void)state;
    node_open();
    node_recovered();
    for (unsigned n = 0; node.disk->devices[0].reclaim == NULL && n < 20000; n++) {
        fill(n);
        (void)look_up(n); /* only what is asked for again comes to a disk that is full */
        (void)sim_run(node.threads, node.thread_count, os_clock_ns() + NS_S / 100, is_in_reclaim, NULL);
    }
    lose_in_the_middle(is_in_reclaim);
    node_close();
}

static void test_lost_in_sweep(void **state)
{
    struct store_purge asked;

    (void)state;
    node_begin();
    node_open();
    node_recovered();
    purge_begin(&asked, 5);
    lose_in_the_middle(is_in_sweep);
    node_close();
}

static void test_lost_in_snapshot(void **state)
{
    (void)state;
    node_begin();
    node_open();
    node_recovered();
    lose_in_the_middle(is_in_snapshot);
    node_close();
}

static void visit_lost(void *arg, struct disk_entry *entry)
{
    *(unsigned *)arg += disk_device_of_segment(node.disk, entry->segment)->number == 1;
}

static unsigned entries_of_the_lost(void)
{
    struct disk_walk walk;
    unsigned count = 0;

    disk_index_walk_begin(node.disk->index, &walk);
    (void)disk_index_walk(node.disk->index, &walk, UINT64_MAX, visit_lost, &count);
    disk_index_walk_end(node.disk->index, &walk);
    return count;
}

static bool are_heads_known(void *arg)
{
    (void)arg;
    return atomic_load(&node.disk->devices[0].are_heads_known) && atomic_load(&node.disk->devices[1].are_heads_known);
}

/* The first device loads the saved index of both; whichever comes first, that or the end of the second one's entries. */
static void test_lost_while_another_loads(void **state)
{
    (void)state;
    for (uint64_t seed = 2; seed < 12; seed++) {
        node_begin();
        node_open();
        assert_true(sim_run(node.threads, node.thread_count, os_clock_ns() + 60 * NS_S, are_heads_known, NULL));
        lose(1);
        node_recovered();
        node_run(NS_S);
        assert_int_equal(entries_of_the_lost(), 0);
        assert_true(stats().store.objects > 0);
        node_close();
        sim_end();
        sim_begin(seed);
    }
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup_one, teardown)
#define TWO(test) cmocka_unit_test_setup_teardown(test, setup_two, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_one_superblock_cannot_be_read),
        ONE(test_no_superblock_can_be_read),
        ONE(test_journal_blocks_cannot_be_read),
        ONE(test_no_journal_can_be_read),
        TWO(test_another_journal_can_be_read),
        TWO(test_a_journal_cannot_be_begun),
        ONE(test_no_journal_can_be_begun),
        TWO(test_a_journal_fails),
        TWO(test_a_device_vanishes),
        TWO(test_a_purge_in_that_moment),
        ONE(test_all_journals_fail),
        TWO(test_all_journals_fail),
        ONE(test_the_good_snapshot_stays),
        ONE(test_recovery_after_a_close_without_memory),
        ONE(test_recovery_after_a_kill_without_memory),
        ONE(test_a_journal_without_memory),
        ONE(test_a_purge_without_memory),
        ONE(test_a_sweep_without_memory),
        ONE(test_a_snapshot_without_memory),
        ONE(test_lost_in_reclaim),
        ONE(test_lost_in_sweep),
        ONE(test_lost_in_snapshot),
        TWO(test_lost_while_another_loads),
    };
    return cmocka_run_group_tests_name("disk_faults", tests, NULL, NULL);
}
