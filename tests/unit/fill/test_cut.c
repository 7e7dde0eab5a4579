#include "slices_test.h"

#include "fill/cut.h"

#define CHUNKED FRESH "Transfer-Encoding: chunked\r\n\r\n"

static void cut_site_open(void)
{
    slices_site_open();
    for (unsigned i = 0; i < THREADS; i++)
        site.context[i].has_device = true;
}

static struct store_stats stats_now(void)
{
    struct store_stats stats;

    storage_stats(site.storage, &stats);
    return stats;
}

/* A body whose length nobody has said, on thread 0; its end is still to come. */
static struct wire *begin_unmeasured(const char *head, const char *body)
{
    struct seeker seeker;
    struct wire *wire;
    char answer[1000];

    seek(&seeker, "/a", 0);
    wire = origin_next();
    snprintf(answer, sizeof(answer), "%s%zx\r\n%s\r\n", head, strlen(body), body);
    wire_say(wire, answer);
    expect_outcome(&seeker, FILL_OBJECT);
    seeker_end(&seeker);
    return wire;
}

static void store_unmeasured(const char *head, const char *body)
{
    wire_say(begin_unmeasured(head, body), "0\r\n\r\n");
    run_ms(100);
}

static bool is_in_slices(void)
{
    struct store_object *head = head_of("/a");
    struct sliced body;
    bool is = sliced_of(head, &body);

    store_object_unref(head);
    return is;
}

/* As stored, and read by the other thread with nothing asked of the origin. */
static void expect_slices_whole(void)
{
    struct reader reader;

    assert_true(is_in_slices());
    assert_int_equal(stats_now().slices, COUNT);
    assert_int_equal(stats_now().objects, 1);
    reader_open(&reader, head_of("/a"), 1, 0, LENGTH);
    assert_true(slices_are_stored(reader.slices));
    reader_pull(&reader);
    reader_expect(&reader, SOURCE_END, text);
    assert_false(reader.seen.has_asked || reader.seen.has_followed);
    reader_close(&reader);
    assert_int_equal(site.door->count, 1);
    assert_int_equal(site.context[0].count, 0);
}

static void test_cut(void)
{
    const struct stored *stored;
    struct store_object *head;
    struct fields view;

    cut_site_open();
    store_unmeasured(CHUNKED, text);
    expect_slices_whole();
    head = head_of("/a");
    assert_true(err_is_ok(stored_view(head->meta, &view, &stored)));
    assert_int_equal(stored->body_bytes, LENGTH);
    assert_int_equal(store_object_length(head), 0); /* the head alone */
    store_object_unref(head);
    site_close();
}
SEEDED(test_cut, THREADS)

static void test_cut_without_a_tag(void)
{
    cut_site_open();
    store_unmeasured("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n", text);
    expect_slices_whole();
    site_close();
}
SEEDED(test_cut_without_a_tag, THREADS)

static void expect_one_piece(const char *body)
{
    struct store_object *object = head_of("/a");

    assert_false(is_in_slices());
    assert_int_equal(stats_now().slices, 0);
    assert_int_equal(store_object_length(object), strlen(body));
    expect_read(object, 1, SOURCE_END, body);
    store_object_unref(object);
    site_close();
}

/* RAM has no need of it. */
static void test_no_device(void)
{
    slices_site_open();
    store_unmeasured(CHUNKED, text);
    expect_one_piece(text);
}
SEEDED(test_no_device, THREADS)

static void test_no_longer_than_a_slice(void)
{
    cut_site_open();
    store_unmeasured(CHUNKED, "aaaaaaaaaa");
    expect_one_piece("aaaaaaaaaa");
}
SEEDED(test_no_longer_than_a_slice, THREADS)

/* As many as fills, and not one more. */
static void test_too_many(void)
{
    struct store_object *object;

    slices_site_open(); /* no device yet: it is kept in one piece */
    store_unmeasured(CHUNKED, text);
    object = head_of("/a");
    site.context[0].count = site.context[0].fills_max;
    cut_begin(&site.context[0], object);
    assert_true(list_is_empty(&site.context[0].cuts));
    site.context[0].count--;
    cut_begin(&site.context[0], object);
    assert_false(list_is_empty(&site.context[0].cuts));
    store_object_unref(object);
    run_ms(100);
    site.context[0].count -= site.context[0].fills_max - 1;
    expect_slices_whole();
    site_close();
}
SEEDED(test_too_many, THREADS)

static void test_other_statuses(void)
{
    cut_site_open();
    store_unmeasured("HTTP/1.1 404 Not Found\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n", text);
    expect_one_piece(text);
}
SEEDED(test_other_statuses, THREADS)

/* ---- what comes in between ------------------------------------------------------------------------------ */

static bool has_slices_(void *arg)
{
    return !list_is_empty(&site.context[0].cuts) && stats_now().slices >= *(const unsigned *)arg;
}

/* So many slices are written, no head yet. */
static void cut_until(unsigned slices)
{
    cut_site_open();
    wire_say(begin_unmeasured(CHUNKED, text), "0\r\n\r\n");
    run_until(has_slices_, &slices, "slices");
    assert_false(is_in_slices());
}

static void turn_storage(void)
{
    for (unsigned i = 0; i < 200; i++)
        storage_turn(site.storage, os_wall_ms());
}

/* Nothing of it is found again, and nothing stays. */
static void purged_after(unsigned slices)
{
    cut_until(slices);
    purge_host();
    run_ms(100);
    assert_false(is_stored("/a"));
    turn_storage();
    assert_int_equal(stats_now().slices, 0);
    assert_int_equal(stats_now().objects, 0);
    assert_int_equal(site.context[0].count, 0);
    site_close();
}

static void test_purged_before_a_slice(void)
{
    purged_after(0);
}
SEEDED(test_purged_before_a_slice, THREADS)

static void test_purged_in_the_middle(void)
{
    purged_after(COUNT / 2);
}
SEEDED(test_purged_in_the_middle, THREADS)

static void test_purged_before_the_head(void)
{
    purged_after(COUNT);
}
SEEDED(test_purged_before_the_head, THREADS)

/* What is soft stays soft, in slices as well. */
static void test_softly_purged_in_the_middle(void)
{
    struct store_purge purge = {.tenant = TENANT, .kind = STORE_LABEL_HOST, .soft = true,
                                .label = store_label_of(TENANT, STORE_LABEL_HOST, SLICE("h"))};
    struct store_lookup lookup;

    cut_until(COUNT / 2);
    assert_int_equal(storage_purge(site.storage, &purge), STORE_DONE);
    run_ms(100);
    turn_storage();
    lookup = look(key_of("/a"));
    assert_int_equal(lookup.found, STORE_HIT_SOFT);
    assert_int_equal(lookup.object->meta.len % 8, 0);
    store_object_unref(lookup.object);
    site_close();
}
SEEDED(test_softly_purged_in_the_middle, THREADS)

/* What has come since is newer. */
static void test_replaced_in_the_middle(void)
{
    struct store_fill put = {.op.done = store_op_ignored, .key = storage_key(site.storage, SLICE_NONE), .tenant = TENANT, .kind = STORE_ANSWER, .length_bytes = 3};
    struct store_object *old, *object;

    cut_until(COUNT / 2);
    old = head_of("/a");
    put.key = storage_key(site.storage, key_of("/a"));
    put.op.loop = sim_net.loops[0];
    put.meta = old->meta;
    put.seq = old->seq;
    assert_int_equal(storage_get_miss_handler(site.storage, &put), STORE_DONE);
    assert_non_null(put.miss_handler);
    assert_int_equal(miss_handler_write(put.miss_handler, SLICE("new")), 3);
    miss_handler_finish(put.miss_handler);
    store_object_unref(old);
    run_ms(100);
    object = head_of("/a");
    expect_read(object, 1, SOURCE_END, "new");
    store_object_unref(object);
    assert_int_equal(stats_now().slices, 0);
    site_close();
}
SEEDED(test_replaced_in_the_middle, THREADS)

/* An update (304) shares the body: it is another object, which stays as it is. */
static void test_validated_in_the_middle(void)
{
    struct store_update update = {.op.done = store_op_ignored};

    cut_until(COUNT / 2);
    update.object = head_of("/a");
    update.meta = update.object->meta;
    update.seq = update.object->seq;
    update.labels = store_object_labels(update.object);
    update.label_count = update.object->label_count;
    assert_int_equal(storage_update_meta(site.storage, &update), STORE_DONE);
    assert_true(err_is_ok(update.result));
    store_object_unref(update.updated);
    store_object_unref(update.object);
    run_ms(100);
    expect_one_piece(text);
}
SEEDED(test_validated_in_the_middle, THREADS)

/* The end of a drain. */
static void test_stopped_in_the_middle(void)
{
    cut_until(COUNT / 2);
    fill_context_stop(&site.context[0]);
    run_ms(100);
    expect_one_piece(text);
}
SEEDED(test_stopped_in_the_middle, THREADS)

/* ---- memory --------------------------------------------------------------------------------------------- */

static uint64_t bytes_of_a_cut(void)
{
    uint64_t bytes;

    cut_site_open();
    store_unmeasured(CHUNKED, text);
    bytes = storage_tenant_bytes(site.storage, TENANT);
    site_close();
    return bytes;
}

/* There is no room for both, so something of it goes: nobody has more than the quota meanwhile, and nothing stays open. */
static void test_a_small_quota(void)
{
    struct store_quota quota = {0, STORE_NO_LIMIT, bytes_of_a_cut()};

    cut_until(0);
    assert_true(storage_tenant_bytes(site.storage, TENANT) > 0);
    storage_quota_set(site.storage, 0, TENANT, &quota);
    while (!list_is_empty(&site.context[0].cuts)) {
        run_ms(1);
        assert_true(storage_tenant_bytes(site.storage, TENANT) <= quota.hard_bytes);
    }
    assert_int_equal(stats_now().objects, 1);
    assert_in_range(stats_now().slices, 1, COUNT);
    assert_int_equal(site.context[0].count, 0);
    site_close();
}
SEEDED(test_a_small_quota, THREADS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_cut),
        SEEDED_TEST(test_cut_without_a_tag),
        SEEDED_TEST(test_no_device),
        SEEDED_TEST(test_no_longer_than_a_slice),
        SEEDED_TEST(test_too_many),
        SEEDED_TEST(test_other_statuses),
        SEEDED_TEST(test_purged_before_a_slice),
        SEEDED_TEST(test_purged_in_the_middle),
        SEEDED_TEST(test_purged_before_the_head),
        SEEDED_TEST(test_softly_purged_in_the_middle),
        SEEDED_TEST(test_replaced_in_the_middle),
        SEEDED_TEST(test_validated_in_the_middle),
        SEEDED_TEST(test_stopped_in_the_middle),
        SEEDED_TEST(test_a_small_quota),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
