#include "fill/refresh.h"

#include "fill_test.h"

static struct refresher refresher;

static void refresh_open(void)
{
    site_open();
    refresher_init(&refresher, &site.context[0], &site.view[0]);
}

static void refresh_close(void)
{
    refresher_stop(&refresher);
    assert_int_equal(refresher.count, 0);
    site_close();
}

static void add(const char *target)
{
    refresher_add(&refresher,
                  &(struct key_parts){.tenant = TENANT, .authority = SLICE("h"), .target = slice_str(target)});
}

static void soften_host(void)
{
    struct store_purge purge = {.tenant = TENANT,
                                .kind = STORE_LABEL_HOST,
                                .label = store_label_of(TENANT, STORE_LABEL_HOST, SLICE("h")),
                                .soft = true};

    assert_int_equal(storage_purge(site.storage, &purge), STORE_DONE);
}

#define COUNTED(result) refresher_count(&refresher, REFRESH_##result)

struct wanted {
    enum refresh_result result;
    uint64_t count;
};

static bool is_counted(void *arg)
{
    const struct wanted *wanted = arg;

    return refresher_count(&refresher, wanted->result) == wanted->count;
}

static void expect_counted(enum refresh_result result, uint64_t count)
{
    run_until(is_counted, &(struct wanted){result, count}, refresh_result_word(result));
}

static bool is_there(void *arg)
{
    return is_stored(arg);
}

static bool is_without_fills(void *arg)
{
    (void)arg;
    return site.context[0].count == 0;
}

/* Validated by a request of its own, and stored, without anybody who waits. */
static void test_fetched(void)
{
    struct wire *wire;

    refresh_open();
    wire = store_one("/a?q", FRESH, "old");
    soften_host();
    add("/a?q");
    add("/a?q"); /* it waits already */
    assert_int_equal(refresher.count, 1);
    assert_false(is_stored("/a?q"));
    wire = origin_again(wire);
    assert_ptr_equal(strstr(asked_head, "GET /a?q HTTP/1.1\r\n"), asked_head);
    assert_non_null(strstr(asked_head, "Host: h\r\n"));
    assert_non_null(strstr(asked_head, "If-None-Match: \"v1\"\r\n"));
    assert_non_null(strstr(asked_head, "X-Request-Id: "));
    wire_say(wire, FRESH "Content-Length: 3\r\n\r\nnew");
    run_until(is_there, (char[]){"/a?q"}, "the new one");
    assert_int_equal(COUNTED(FETCHED), 1);
    assert_int_equal(site.door->count, 1);
    refresh_close();
}
SEEDED(test_fetched, THREADS)

/* Fresh again by a client, gone, or of a tenant that there is not: nobody is asked. */
static void test_needless(void)
{
    struct wire *wire;

    refresh_open();
    wire = store_one("/a", FRESH, "x");
    add("/a"); /* not softly purged */
    add("/never");
    refresher_add(&refresher, &(struct key_parts){.tenant = 77, .authority = SLICE("h"), .target = SLICE("/a")});
    expect_counted(REFRESH_NEEDLESS, 3);
    assert_int_equal(wire->len, wire->read);
    assert_int_equal(site.door->count, 1);
    refresh_close();
}
SEEDED(test_needless, THREADS)

static void test_somebody_is_faster(void)
{
    struct seeker seeker;
    struct wire *wire;

    refresh_open();
    wire = store_one("/a", FRESH, "x");
    soften_host();
    struct store_lookup stale = look(key_of("/a"));
    assert_int_equal(stale.found, STORE_HIT_SOFT);
    seek_with(&seeker, (struct seek){.target = "/a", .thread = 1, .stale = stale.object});
    add("/a");
    expect_counted(REFRESH_RUNNING, 1);
    wire = origin_again(wire);
    wire_say(wire, "HTTP/1.1 304 Not Modified\r\n\r\n");
    expect_outcome(&seeker, FILL_VALIDATED);
    seeker_end(&seeker);
    store_object_unref(stale.object);
    refresh_close();
}
SEEDED(test_somebody_is_faster, THREADS)

/* Of a URL with variants: the one that a request without fields selects, stored or not. */
static void test_variants(void)
{
    struct seeker seeker;
    struct wire *wire;

    refresh_open();
    seek_with(&seeker, (struct seek){.target = "/v", .more = "Accept-Language: de\r\n"});
    wire = origin_next();
    wire_say(wire, FRESH "Vary: Accept-Language\r\nContent-Length: 1\r\n\r\nd");
    expect_outcome(&seeker, FILL_OBJECT);
    seeker_end(&seeker);
    soften_host();
    add("/v");
    wire = origin_again(wire);
    assert_null(strstr(asked_head, "Accept-Language"));
    assert_null(strstr(asked_head, "If-None-Match"));
    wire_say(wire, FRESH "Vary: Accept-Language\r\nContent-Length: 1\r\n\r\nn");
    run_until(is_without_fills, NULL, "the end of the fill");
    assert_int_equal(COUNTED(FETCHED), 1);
    add("/v"); /* it is there, and fresh */
    expect_counted(REFRESH_NEEDLESS, 1);
    refresh_close();
}
SEEDED(test_variants, THREADS)

/* One a step of time, however many wait. */
static void test_pace(void)
{
    struct wire *wire;
    char target[32];

    refresh_open();
    wire = store_one("/0", FRESH, "x");
    for (unsigned i = 1; i <= 2 * REFRESH_PER_S; i++) {
        snprintf(target, sizeof(target), "/none/%u", i);
        add(target);
    }
    run_ms(1000);
    assert_in_range(COUNTED(NEEDLESS), REFRESH_PER_S / 2, REFRESH_PER_S);
    run_ms(1500);
    assert_int_equal(COUNTED(NEEDLESS), 2 * REFRESH_PER_S);
    assert_int_equal(wire->len, wire->read);
    refresh_close();
}
SEEDED(test_pace, THREADS)

static void test_full_queue(void)
{
    static char text[REFRESH_URL_BYTES_MAX + 2];
    char target[32];

    refresh_open();
    for (unsigned i = 0; i < REFRESH_QUEUE_MAX + 3; i++) {
        snprintf(target, sizeof(target), "/%u", i);
        add(target);
    }
    assert_int_equal(refresher.count, REFRESH_QUEUE_MAX);
    assert_int_equal(COUNTED(DROPPED), 3);
    refresher_stop(&refresher);
    add("/later");
    assert_int_equal(refresher.count, 0);
    refresher_init(&refresher, &site.context[0], &site.view[0]);
    memset(text, 'x', sizeof(text) - 1);
    text[0] = '/';
    add(text);
    assert_int_equal(COUNTED(DROPPED), 1);
    refresh_close();
}
SEEDED(test_full_queue, THREADS)

static void test_refused(void)
{
    refresh_open();
    store_one("/a", FRESH, "x");
    soften_host();
    site.context[0].fills_max = 0;
    add("/a");
    expect_counted(REFRESH_REFUSED, 1);
    assert_string_equal(refresh_result_word(REFRESH_REFUSED), "refused");
    refresh_close();
}
SEEDED(test_refused, THREADS)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SEEDED_TEST(test_fetched),  SEEDED_TEST(test_needless), SEEDED_TEST(test_somebody_is_faster), SEEDED_TEST(test_variants),
        SEEDED_TEST(test_pace),     SEEDED_TEST(test_full_queue), SEEDED_TEST(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
