/* Bodies: a writer, readers that follow, windows, and every end. */
#include "store_test.h"

struct reader {
    struct hit_handler hit;
    uint64_t object, total;
    unsigned woken;
    enum source_state last;
    bool is_gone;
};

static void reader_ready(void *arg)
{
    struct reader *reader = arg;

    reader->woken++;
    reader->last = hit_drain(&reader->hit, reader->object, &reader->total);
}

static void reader_gone(struct hit_handler *hit)
{
    container_of(hit, struct reader, hit)->is_gone = true;
}

static void reader_open(struct reader *reader, struct miss_handler *miss, uint64_t object, struct loop *loop)
{
    *reader = (struct reader){.object = object};
    hit_handler_open(&reader->hit, miss_handler_object(miss), loop);
    source_set_reader(&reader->hit.source, reader_ready, reader);
}

static void settle(struct loop *loop)
{
    for (unsigned i = 0; i < 20; i++)
        (void)loop_turn(loop, loop_now_ns(loop));
}

static void test_sizes(void **state)
{
    static const int64_t lengths[] = {0,       1,  16383, 16384,      16385,      65536,       262144, 300000,
                                      1 << 20, -1, -2,    -1 - 16384, -1 - 20000, -1 - 700000, 7000000};
    struct storage *storage = tier_new(64 * MIB);
    uint64_t base = tier_used(storage);

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        uint64_t expect = lengths[i] < 0 ? (uint64_t)(-1 - lengths[i]) : (uint64_t)lengths[i];
        assert_true(put_whole(storage, (struct put){.object = i, .length = lengths[i]}));
        assert_int_equal(read_whole(storage, i), expect);
    }
    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++) {
        struct store_object *object;
        assert_int_equal(find(storage, i, &object), STORE_HIT);
        assert_true(store_object_is_complete(object));
        storage_drop(storage, object);
        store_object_unref(object);
        assert_int_equal(find(storage, i, NULL), STORE_MISS);
    }
    assert_int_equal(tier_used(storage), base);
    storage_free(storage);
}

static void test_seek(void **state)
{
    struct storage *storage = tier_new(256 * MIB);
    struct store_object *object;
    struct hit_handler hit;
    slice slices[2];
    unsigned count;

    (void)state;
    assert_true(put_whole(storage, (struct put){.object = 1, .length = 30000000}));
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    hit_handler_open(&hit, object, NULL);
    for (uint64_t from = 29999000, i = 0; i < 200; i++) {
        uint64_t to = from + 1 + i * 5, total = 0;
        hit_handler_seek(&hit, from, to);
        assert_int_equal(source_peek(&hit.source, slices, 2, &count), SOURCE_READY);
        assert_int_equal(slices[0].data[0], body_byte(1, from));
        assert_int_equal(hit_drain(&hit, 1, &total), SOURCE_END);
        assert_int_equal(total, to - from);
        from = (from * 7919) % 29990000;
    }
    hit_handler_seek(&hit, 5, 5);
    assert_int_equal(source_peek(&hit.source, slices, 2, &count), SOURCE_END);
    hit_handler_seek(&hit, 40000000, UINT64_MAX);
    assert_int_equal(source_peek(&hit.source, slices, 2, &count), SOURCE_END);
    source_close(&hit.source);
    storage_free(storage);
}

/* ---- inline bodies in one piece and in two ----------------------------------------------------------------- */

static struct store_body *body_of(struct storage *storage, uint64_t object, struct hit_handler *hit)
{
    struct store_object *found;

    assert_int_equal(find(storage, object, &found), STORE_HIT);
    hit_handler_open(hit, found, NULL);
    return found->body;
}

/* What the object costs by its parts; is_split: its body lies in two. */
static uint64_t recount(const struct store_object *object, bool *ret_is_split)
{
    const struct store_body *body = object->body;
    size_t size = sizeof(struct stored_with_body) + object->meta.len + object->key_bytes + body->inline_bytes, head;

    assert_int_equal(object->label_count, 0);
    *ret_is_split = body->tail_bytes > 0;
    if (body->tail_bytes == 0)
        return store_charge(size);
    head = size - body->tail_bytes + sizeof(char *);
    assert_true(body->tail_bytes <= body->inline_bytes);
    assert_int_equal(store_charge(head), head); /* nothing of it is padding */
    assert_true(head == 14336 || head + store_charge(body->tail_bytes) < store_charge(size));
    return head + store_charge(body->tail_bytes);
}

static void test_pieces_are_charged(void **state)
{
    struct storage *storage = tier_new(64 * MIB);
    uint64_t base = tier_stats(storage).size_bytes;
    unsigned split = 0, whole = 0;

    (void)state;
    for (int64_t length = 0; length <= STORED_INLINE_BYTES; length += length < 4096 ? 1 : 37) {
        struct hit_handler hit;
        uint64_t total = 0;
        bool is_split;
        assert_true(put_whole(storage, (struct put){.object = 1, .length = length}));
        (void)body_of(storage, 1, &hit);
        uint64_t charge = recount(hit.object, &is_split);
        assert_int_equal(tier_stats(storage).size_bytes - base, charge);
        assert_int_equal(stored_bytes(stored_of(hit.object)), charge);
        assert_int_equal(storage_tenant_bytes(storage, 0), charge);
        assert_true(charge - (uint64_t)length < 300 + 64 + (uint64_t)length / 16); /* no length is unlucky */
        *(is_split ? &split : &whole) += 1;
        assert_int_equal(hit_drain(&hit, 1, &total), SOURCE_END);
        assert_int_equal(total, length);
        source_close(&hit.source);
    }
    assert_true(split > 500 && whole > 500);
    storage_drop_hash(storage, storage_key(storage, SLICE("1|http|example.com|/object/1")).hash);
    assert_int_equal(tier_stats(storage).size_bytes, base);
    storage_free(storage);
}

/* A body in two pieces; the first `border` bytes are in the object's own. */
static int64_t split_length(struct storage *storage, uint64_t *ret_border)
{
    for (int64_t length = 900; length < 2000; length += 10) {
        struct hit_handler hit;
        assert_true(put_whole(storage, (struct put){.object = 1, .length = length}));
        struct store_body *body = body_of(storage, 1, &hit);
        *ret_border = (uint64_t)body->inline_bytes - body->tail_bytes;
        bool is_split = body->tail_bytes > 20 && *ret_border > 20;
        source_close(&hit.source);
        if (is_split)
            return length;
    }
    fail();
    return 0;
}

static void test_pieces_are_read(void **state)
{
    struct storage *storage = tier_new(64 * MIB);
    struct hit_handler hit;
    uint64_t border;
    int64_t length = split_length(storage, &border);
    slice slices[2];
    unsigned count;

    (void)state;
    (void)body_of(storage, 1, &hit);
    for (uint64_t from = border - 5; from < border + 5; from++) {
        for (uint64_t to = from + 1; to <= border + 6; to++) {
            uint64_t total = 0, first = from < border ? MIN(to, border) - from : to - from;
            hit_handler_seek(&hit, from, to);
            assert_int_equal(source_peek(&hit.source, slices, 1, &count), SOURCE_READY);
            assert_int_equal(count, 1);
            assert_int_equal(slices[0].len, first);
            assert_int_equal(source_peek(&hit.source, slices, 2, &count), SOURCE_READY);
            assert_int_equal(count, from < border && to > border ? 2 : 1);
            assert_int_equal(hit_drain(&hit, 1, &total), SOURCE_END);
            assert_int_equal(total, to - from);
        }
    }
    hit_handler_seek(&hit, (uint64_t)length, UINT64_MAX);
    assert_int_equal(source_peek(&hit.source, slices, 2, &count), SOURCE_END);
    source_close(&hit.source);
    storage_free(storage);
}

/* Byte by byte, with a reader behind every one; dropped at each place, or whole. */
static void test_pieces_are_filled(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(64 * MIB);
    uint64_t border, base;
    int64_t length = split_length(storage, &border);
    const uint64_t stops[] = {0, 1, border - 1, border, border + 1, (uint64_t)length - 1, (uint64_t)length};

    (void)state;
    storage_drop_hash(storage, storage_key(storage, SLICE("1|http|example.com|/object/1")).hash);
    base = tier_stats(storage).size_bytes;
    for (unsigned i = 0; i < ARRAY_LEN(stops); i++) {
        struct reader reader;
        struct miss_handler *miss =
            put_begin(storage, (struct put){.object = 1, .length = length, .loop = loop}, NULL);
        reader_open(&reader, miss, 1, loop);
        assert_int_equal(hit_drain(&reader.hit, 1, &reader.total), SOURCE_WAIT);
        for (uint64_t at = 0; at < stops[i]; at++) {
            size_t room;
            char *to;
            assert_true(miss_handler_room(miss, &to, &room));
            assert_int_equal(room, at < border ? border - at : (uint64_t)length - at);
            assert_int_equal(put_bytes(miss, 1, 1), 1);
            settle(loop);
            assert_int_equal(reader.total, at + 1);
        }
        bool is_whole = stops[i] == (uint64_t)length;
        if (is_whole)
            miss_handler_finish(miss);
        else
            miss_handler_drop(miss);
        settle(loop);
        assert_int_equal(hit_drain(&reader.hit, 1, &reader.total), is_whole ? SOURCE_END : SOURCE_FAILED);
        hit_handler_close(&reader.hit, reader_gone);
        settle(loop);
        assert_true(reader.is_gone);
        if (!is_whole)
            assert_int_equal(tier_stats(storage).size_bytes, base);
    }
    assert_int_equal(read_whole(storage, 1), length);
    storage_free(storage);
    loop_free(loop);
}

/* ---- following a fill -------------------------------------------------------------------------------------- */

/* Readers of a fill get each part as it comes, and its end. */
static void follow(int64_t length, uint64_t bytes)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(64 * MIB);
    struct miss_handler *miss =
        put_begin(storage, (struct put){.object = 3, .length = length, .loop = loop}, NULL);
    struct reader readers[5];
    struct store_object *joined;

    assert_non_null(miss);
    for (unsigned i = 0; i < 4; i++) {
        reader_open(&readers[i], miss, 3, loop);
        reader_ready(&readers[i]);
        assert_int_equal(readers[i].last, SOURCE_WAIT);
    }
    assert_true(miss_handler_has_readers(miss));
    for (uint64_t done = 0; done < bytes;) {
        done += put_bytes(miss, 3, MIN(bytes - done, 50001));
        settle(loop);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(readers[i].total, done);
    }
    assert_int_equal(find(storage, 3, &joined), STORE_HIT); /* a late one joins */
    assert_false(store_object_is_complete(joined));
    assert_int_equal(store_object_length(joined), length < 0 ? -1 : length);
    readers[4] = (struct reader){.object = 3};
    hit_handler_open(&readers[4].hit, joined, loop);
    source_set_reader(&readers[4].hit.source, reader_ready, &readers[4]);
    reader_ready(&readers[4]);
    miss_handler_finish(miss);
    settle(loop);
    for (unsigned i = 0; i < 5; i++) {
        if (readers[i].last == SOURCE_WAIT)
            reader_ready(&readers[i]);
        assert_int_equal(readers[i].last, SOURCE_END);
        assert_int_equal(readers[i].total, bytes);
        hit_handler_close(&readers[i].hit, reader_gone);
        assert_true(readers[i].is_gone);
    }
    assert_int_equal(read_whole(storage, 3), bytes);
    storage_free(storage);
    loop_free(loop);
}

static void test_follow(void **state)
{
    (void)state;
    follow(10000, 10000);
    follow(900000, 900000);
    follow(-1, 900000);
    follow(-1, 100);
}

static void test_drop_fails_readers(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(64 * MIB);
    uint64_t base = tier_used(storage);

    (void)state;
    for (int64_t length = -1; length < 1000000; length += 300000) {
        struct miss_handler *miss =
            put_begin(storage, (struct put){.object = 4, .length = length, .loop = loop}, NULL);
        struct reader reader, unread;
        reader_open(&reader, miss, 4, loop);
        reader_open(&unread, miss, 4, loop);
        put_bytes(miss, 4, 1000);
        reader_ready(&reader);
        assert_int_equal(reader.last, SOURCE_WAIT);
        miss_handler_drop(miss);
        assert_int_equal(find(storage, 4, NULL), STORE_MISS);
        settle(loop);
        assert_int_equal(reader.last, SOURCE_FAILED);
        assert_false(reader.hit.is_behind);
        reader_ready(&unread);
        assert_int_equal(unread.last, SOURCE_FAILED);
        assert_true(store_object_is_failed(reader.hit.object));
        source_close(&reader.hit.source);
        source_close(&unread.hit.source);
        assert_int_equal(tier_used(storage), base);
    }
    storage_free(storage);
    loop_free(loop);
}

/* The origin promised more than it sent: finish must not pass it off as whole. */
static void test_short_body_is_dropped(void **state)
{
    struct storage *storage = tier_new(16 * MIB);
    struct miss_handler *miss = put_begin(storage, (struct put){.object = 5, .length = 100000}, NULL);

    (void)state;
    put_bytes(miss, 5, 99999);
    miss_handler_finish(miss);
    assert_int_equal(find(storage, 5, NULL), STORE_MISS);
    storage_free(storage);
}

static void test_close_with_mail_under_way(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB);
    struct miss_handler *miss =
        put_begin(storage, (struct put){.object = 6, .length = 50000, .loop = loop}, NULL);
    struct reader *reader = malloc(sizeof(*reader));
    struct reader quiet;

    (void)state;
    reader_open(reader, miss, 6, loop);
    reader_open(&quiet, miss, 6, loop);
    reader_ready(reader);
    reader->woken = 0;
    put_bytes(miss, 6, 10);
    hit_handler_close(&reader->hit, reader_gone); /* its wake-up is in the mail */
    assert_false(reader->is_gone);
    miss_handler_finish(miss); /* short: dropped; the object goes */
    settle(loop);
    assert_true(reader->is_gone);
    assert_int_equal(reader->woken, 0);
    free(reader);
    hit_handler_close(&quiet.hit, reader_gone); /* nothing in the mail: at once */
    assert_true(quiet.is_gone);
    storage_free(storage);
    loop_free(loop);
}

/* A reader that looks again by itself is not woken for what it has seen. */
static void test_no_wake_up_after_a_look(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB);
    struct miss_handler *miss =
        put_begin(storage, (struct put){.object = 7, .length = 50000, .loop = loop}, NULL);
    struct reader reader;
    slice s;
    unsigned count;

    (void)state;
    reader_open(&reader, miss, 7, loop);
    reader_ready(&reader);
    reader.woken = 0;
    put_bytes(miss, 7, 10);
    assert_int_equal(source_peek(&reader.hit.source, &s, 1, &count), SOURCE_READY);
    settle(loop);
    assert_int_equal(reader.woken, 0);
    source_consume(&reader.hit.source, 10);
    assert_int_equal(source_peek(&reader.hit.source, &s, 1, &count), SOURCE_WAIT);
    assert_int_equal(source_peek(&reader.hit.source, &s, 1, &count), SOURCE_WAIT);
    put_bytes(miss, 7, 10);
    put_bytes(miss, 7, 10);
    settle(loop);
    assert_int_equal(reader.woken, 1);
    source_close(&reader.hit.source);
    miss_handler_drop(miss);
    storage_free(storage);
    loop_free(loop);
}

static void test_ten_thousand_readers(void **state)
{
    enum {
        READERS = 10000
    };
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(64 * MIB);
    struct miss_handler *miss =
        put_begin(storage, (struct put){.object = 8, .length = -1, .loop = loop}, NULL);
    struct reader *readers = calloc(READERS, sizeof(*readers));

    (void)state;
    for (unsigned i = 0; i < READERS; i++) {
        reader_open(&readers[i], miss, 8, loop);
        reader_ready(&readers[i]);
    }
    for (unsigned part = 1; part <= 20; part++) {
        put_bytes(miss, 8, 997);
        settle(loop);
        for (unsigned i = 0; i < READERS; i++)
            assert_int_equal(readers[i].total, part * 997);
    }
    for (unsigned i = 0; i < READERS; i += 2)
        hit_handler_close(&readers[i].hit, reader_gone);
    put_bytes(miss, 8, 3);
    miss_handler_finish(miss);
    settle(loop);
    for (unsigned i = 0; i < READERS; i++) {
        if (i % 2 == 0) {
            assert_true(readers[i].is_gone);
            continue;
        }
        assert_int_equal(readers[i].last, SOURCE_END);
        assert_int_equal(readers[i].total, 20 * 997 + 3);
        hit_handler_close(&readers[i].hit, reader_gone);
    }
    free(readers);
    storage_free(storage);
    loop_free(loop);
}

/* ---- windows ----------------------------------------------------------------------------------------- */

struct writer {
    unsigned rooms;
};

static void writer_room(void *arg)
{
    ((struct writer *)arg)->rooms++;
}

static void window_paced(int64_t length, bool private_copy)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB); /* share 2 MiB, window 1 MiB */
    uint64_t base = tier_used(storage), object = 9, total = 20 * MIB, done;
    struct writer writer = {0};
    struct put put = {.object = object,
                      .length = length,
                      .loop = loop,
                      .on_room = writer_room,
                      .writer = &writer,
                      .private_copy = private_copy};
    struct miss_handler *miss = put_begin(storage, put, NULL);
    struct reader fast;

    assert_non_null(miss);
    done = put_bytes(miss, object, total);
    assert_true(
        miss_handler_is_window(miss)); /* nobody reads yet: the window, and the share where that came first */
    assert_in_range(done, MIB, length >= 0 ? MIB : (private_copy ? 1 : 2) * MIB + 300000);
    reader_open(&fast, miss, object, loop);
    while (done < total) {
        uint64_t before = fast.total;
        writer.rooms = 0;
        reader_ready(&fast);
        assert_true(fast.total > before);
        settle(loop);
        assert_int_equal(writer.rooms, 1);
        if (done > 3 * MIB || private_copy)
            assert_int_equal(find(storage, object, NULL), STORE_MISS); /* nobody new */
        done += put_bytes(miss, object, total - done);
        assert_true(tier_used(storage) <= base + 3 * MIB);
        assert_true(done <= fast.total + 2 * MIB + 300000);
    }
    reader_ready(&fast);
    miss_handler_finish(miss);
    settle(loop);
    assert_int_equal(fast.last, SOURCE_END);
    assert_int_equal(fast.total, total);
    assert_int_equal(find(storage, object, NULL), STORE_MISS); /* its start is gone: it was never whole */
    hit_handler_close(&fast.hit, reader_gone);
    settle(loop);
    assert_int_equal(tier_used(storage), base);
    storage_free(storage);
    loop_free(loop);
}

static void test_window(void **state)
{
    (void)state;
    window_paced(20 * MIB, false);
    window_paced(-1, false);
    window_paced(20 * MIB, true);
    window_paced(-1, true);
}

/* The fast one sets the pace; the slow one keeps what it looked at, and then fails as behind. */
static void test_window_slow_reader(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB);
    uint64_t base = tier_used(storage);
    struct writer writer = {0};
    struct put put = {
        .object = 10, .length = 10 * MIB, .loop = loop, .on_room = writer_room, .writer = &writer};
    struct miss_handler *miss = put_begin(storage, put, NULL);
    struct reader fast, slow;
    slice peeked;
    unsigned count;

    (void)state;
    reader_open(&fast, miss, 10, loop);
    reader_open(&slow, miss, 10, loop);
    put_bytes(miss, 10, 10 * MIB);
    assert_int_equal(source_peek(&slow.hit.source, &peeked, 1, &count), SOURCE_READY);
    for (unsigned i = 0; i < 5; i++) {
        reader_ready(&fast);
        put_bytes(miss, 10, 10 * MIB);
    }
    for (size_t i = 0; i < peeked.len; i++) /* still there, though far behind the window */
        assert_int_equal(peeked.data[i], body_byte(10, i));
    source_consume(&slow.hit.source, peeked.len);
    assert_int_equal(source_peek(&slow.hit.source, &peeked, 1, &count), SOURCE_FAILED);
    assert_true(slow.hit.is_behind);
    settle(loop);
    writer.rooms = 0;
    hit_handler_close(&fast.hit, reader_gone);
    hit_handler_close(&slow.hit, reader_gone); /* the last one: the writer hears of it */
    settle(loop);
    assert_int_equal(writer.rooms, 1);
    assert_false(miss_handler_has_readers(miss));
    miss_handler_drop(miss);
    settle(loop);
    assert_int_equal(tier_used(storage), base);
    storage_free(storage);
    loop_free(loop);
}

/* The writer goes while mail to it is under way. */
static void test_window_drop_with_mail_to_the_writer(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB);
    uint64_t base = tier_used(storage);
    struct writer writer = {0};
    struct put put = {
        .object = 11, .length = 10 * MIB, .loop = loop, .on_room = writer_room, .writer = &writer};
    struct miss_handler *miss = put_begin(storage, put, NULL);
    struct reader fast;

    (void)state;
    reader_open(&fast, miss, 11, loop);
    put_bytes(miss, 11, 10 * MIB);
    reader_ready(&fast);
    miss_handler_drop(miss);
    settle(loop);
    assert_int_equal(writer.rooms, 0);
    assert_int_equal(fast.last, SOURCE_FAILED);
    source_close(&fast.hit.source);
    assert_int_equal(tier_used(storage), base);
    storage_free(storage);
    loop_free(loop);
}

/* A reader that skips ahead is the fastest at once. */
static void test_window_seek_ahead(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB);
    struct writer writer = {0};
    struct put put = {
        .object = 12, .length = 10 * MIB, .loop = loop, .on_room = writer_room, .writer = &writer};
    struct miss_handler *miss = put_begin(storage, put, NULL);
    struct reader reader;

    (void)state;
    reader_open(&reader, miss, 12, loop);
    hit_handler_seek(&reader.hit, 7 * MIB, 7 * MIB + 10);
    for (unsigned i = 0; i < 12 && reader.last != SOURCE_END; i++) {
        put_bytes(miss, 12, 10 * MIB);
        reader_ready(&reader);
        settle(loop);
    }
    assert_int_equal(reader.total, 10);
    assert_int_equal(reader.last, SOURCE_END);
    source_close(&reader.hit.source);
    miss_handler_drop(miss);
    settle(loop);
    storage_free(storage);
    loop_free(loop);
}

/* Others have filled the tier and hold it: a fill goes on as a window on what it has. */
static void test_no_room_makes_a_window(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(4 * MIB);
    struct writer writer = {0};
    struct put put = {
        .object = 13, .length = 400000, .loop = loop, .on_room = writer_room, .writer = &writer};
    struct miss_handler *miss = put_begin(storage, put, NULL);
    struct hit_handler held[200];
    struct reader reader;
    unsigned count = 0;

    (void)state;
    for (unsigned i = 100; i < 300 && put_whole(storage, (struct put){.object = i, .length = 30000}); i++) {
        struct store_object *object;
        if (find(storage, i, &object) == STORE_HIT)
            hit_handler_open(&held[count++], object, loop);
    }
    assert_true(count > 100);
    reader_open(&reader, miss, 13, loop);
    for (unsigned i = 0; i < 100 && miss_handler_written(miss) < 400000; i++) {
        put_bytes(miss, 13, 400000);
        reader_ready(&reader);
        settle(loop);
        assert_true(tier_used(storage) <= 4 * MIB);
    }
    assert_int_equal(miss_handler_written(miss), 400000);
    assert_true(miss_handler_is_window(miss));
    miss_handler_finish(miss);
    settle(loop);
    reader_ready(&reader);
    assert_int_equal(reader.total, 400000);
    source_close(&reader.hit.source);
    for (unsigned i = 0; i < count; i++)
        source_close(&held[i].source);
    storage_free(storage);
    loop_free(loop);
}

/* ---- slabs ------------------------------------------------------------------------------------------- */

static uint64_t tier_slab_bytes(struct storage *storage)
{
    return tier_stats(storage).slab_bytes;
}

/* Which bodies lie in slabs, and what they are charged: the pages they need. */
static void test_slab_sizes(void **state)
{
    static const struct {
        int64_t length;
        uint64_t slabs, slab_bytes;
    } cases[] = {
        {65535, 0, 0},
        {65536, 1, 65536},
        {65537, 1, 65536 + 4096},
        {2 * MIB, 1, 2 * MIB},
        {2 * MIB + 65535, 1, 2 * MIB}, /* a short end is not worth a slab */
        {2 * MIB + 65536, 2, 2 * MIB + 65536},
        {5 * MIB + 1, 3, 5 * MIB + 4096},
        {-1 - 200000, 0, 0},
        {-1 - (int64_t)MIB, 1, 0},     /* the first half of a MiB is not, what follows is trimmed to its pages */
        {-1 - (int64_t)5 * MIB, 3, 0},
    };
    struct storage *storage = tier_new(64 * MIB);

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        uint64_t used = tier_used(storage);
        struct store_object *object;
        assert_true(put_whole(storage, (struct put){.object = i, .length = cases[i].length}));
        struct store_stats stats = tier_stats(storage);
        uint64_t length = (uint64_t)(cases[i].length < 0 ? -1 - cases[i].length : cases[i].length);
        assert_int_equal(stats.slabs, cases[i].slabs);
        if (cases[i].length >= 0)
            assert_int_equal(stats.slab_bytes, cases[i].slab_bytes);
        assert_true(stats.slab_rounding_bytes < 4096);
        assert_in_range(tier_used(storage) - used, length, length + length / 50 + 4096 + 1024);
        assert_int_equal(read_whole(storage, i), length);
        assert_int_equal(find(storage, i, &object), STORE_HIT);
        assert_int_equal(stored_bytes(stored_of(object)), tier_used(storage) - used);
        storage_drop(storage, object);
        assert_int_equal(tier_slab_bytes(storage), stats.slab_bytes); /* still held */
        store_object_unref(object);
        assert_int_equal(tier_slab_bytes(storage), 0);
        assert_int_equal(tier_used(storage), used);
    }
    storage_free(storage);
}

/* A copy for one client, and a body that is too large to be kept, are written over: not in slabs. */
static void test_windows_are_not_in_slabs(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB);
    static const struct put puts[] = {{.object = 1, .length = 3 * MIB}, {.object = 1, .length = MIB, .private_copy = true}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(puts); i++) {
        struct put put = puts[i];
        put.loop = loop;
        struct miss_handler *miss = put_begin(storage, put, NULL);
        assert_true(put_bytes(miss, 1, 600000) == 600000);
        assert_int_equal(tier_slab_bytes(storage), 0);
        miss_handler_drop(miss);
    }
    storage_free(storage);
    loop_free(loop);
}

/* A body of unknown length outgrows its share: its slabs go as they are read, and are never written again. */
static void test_slabs_of_a_window_go(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(64 * MIB); /* share 8 MiB */
    struct writer writer = {0};
    struct put put = {.object = 4, .length = -1, .loop = loop, .on_room = writer_room, .writer = &writer};
    struct miss_handler *miss = put_begin(storage, put, NULL);
    struct reader reader;
    uint64_t done = put_bytes(miss, 4, 40 * MIB);

    (void)state;
    assert_true(done >= 8 * MIB);
    assert_true(tier_slab_bytes(storage) > 7 * MIB);
    reader_open(&reader, miss, 4, loop);
    while (done < 40 * MIB) {
        reader_ready(&reader);
        settle(loop);
        uint64_t more = put_bytes(miss, 4, 40 * MIB - done);
        assert_true(more > 0);
        done += more;
        if (done > 20 * MIB)
            assert_int_equal(tier_slab_bytes(storage), 0);
    }
    miss_handler_finish(miss);
    reader_ready(&reader);
    assert_int_equal(reader.last, SOURCE_END);
    assert_int_equal(reader.total, 40 * MIB);
    source_close(&reader.hit.source);
    storage_free(storage);
    loop_free(loop);
}

/* A hit that is being read keeps its slabs, whatever becomes of the object. */
static void test_slabs_stay_for_readers(void **state)
{
    struct storage *storage = tier_new(64 * MIB);
    struct store_object *object;
    struct hit_handler hit;
    slice slices[4];
    unsigned count;
    uint64_t total = 0;

    (void)state;
    assert_true(put_whole(storage, (struct put){.object = 1, .length = 6 * MIB}));
    assert_int_equal(find(storage, 1, &object), STORE_HIT);
    hit_handler_open(&hit, object, NULL);
    hit_handler_seek(&hit, 2 * MIB - 5, UINT64_MAX);
    assert_int_equal(source_peek(&hit.source, slices, 4, &count), SOURCE_READY);
    storage_drop(storage, object);
    for (unsigned i = 2; i < 40; i++) /* whatever is free is taken and given back */
        assert_true(put_whole(storage, (struct put){.object = i, .length = 5 * MIB}));
    assert_int_equal(slices[0].data[0], body_byte(1, 2 * MIB - 5));
    assert_int_equal(slices[1].data[0], body_byte(1, 2 * MIB));
    assert_int_equal(hit_drain(&hit, 1, &total), SOURCE_END);
    assert_int_equal(total, 4 * MIB + 5);
    source_close(&hit.source);
    storage_free(storage);
}

/* Takes all memory there is and holds it: objects that were evicted and are still being read. Returns how many. */
static unsigned hold_everything(struct storage *storage, struct store_object **held, unsigned max)
{
    static const int64_t lengths[] = {50000, 5000, 500};
    unsigned count = 0;

    for (unsigned i = 0; i < ARRAY_LEN(lengths); i++)
        while (count < max && put_whole(storage, (struct put){.object = 1000 + count, .length = lengths[i]})) {
            assert_int_equal(find(storage, 1000 + count, &held[count]), STORE_HIT);
            count++;
        }
    assert_true(count < max);
    return count;
}

/* The first pages of a slab are read, and there are no more to be had: the reader that waits does not keep those from
 * being turned round. */
static void test_slab_ends_under_a_waiting_reader(void **state)
{
    enum { LENGTH = 900000, FIRST = 512 * 1024, HELD_MAX = 2000 };
    static struct store_object *held[HELD_MAX];
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB);
    struct writer writer = {0};
    struct miss_handler *miss = put_begin(
        storage, (struct put){.object = 4, .length = LENGTH, .loop = loop, .on_room = writer_room, .writer = &writer}, NULL);
    uint64_t done = put_bytes(miss, 4, FIRST);
    struct reader reader;

    (void)state;
    assert_int_equal(done, FIRST);
    reader_open(&reader, miss, 4, loop);
    reader_ready(&reader);
    assert_int_equal(reader.last, SOURCE_WAIT);
    assert_int_equal(reader.total, FIRST);
    unsigned count = hold_everything(storage, held, HELD_MAX);
    while (done < LENGTH) {
        uint64_t more = put_bytes(miss, 4, LENGTH - done);
        settle(loop);
        assert_true(more > 0);
        done += more;
    }
    miss_handler_finish(miss);
    settle(loop);
    assert_int_equal(reader.last, SOURCE_END);
    assert_int_equal(reader.total, LENGTH);
    source_close(&reader.hit.source);
    for (unsigned i = 0; i < count; i++)
        store_object_unref(held[i]);
    storage_free(storage);
    loop_free(loop);
}

/* The writer waits for what a slow reader has pinned; that reader leaves, others stay. */
static void test_leaving_reader_makes_room(void **state)
{
    struct loop *loop = test_loop_new();
    struct storage *storage = tier_new(16 * MIB); /* share 2 MiB: a window of 1 MiB */
    struct writer writer = {0};
    struct miss_handler *miss = put_begin(
        storage, (struct put){.object = 4, .length = 8 * MIB, .loop = loop, .on_room = writer_room, .writer = &writer}, NULL);
    static struct store_object *held[2000];
    struct reader fast, slow;
    slice slices[4];
    unsigned shown;

    (void)state;
    assert_true(put_bytes(miss, 4, 1000) == 1000);
    reader_open(&slow, miss, 4, loop);
    assert_int_equal(source_peek(&slow.hit.source, slices, 4, &shown), SOURCE_READY); /* pins the first chunk */
    reader_open(&fast, miss, 4, loop);
    unsigned count = hold_everything(storage, held, ARRAY_LEN(held));
    while (put_bytes(miss, 4, 1000) > 0) {
        reader_ready(&fast);
        settle(loop);
    }
    assert_int_equal(fast.last, SOURCE_WAIT);
    unsigned rooms = writer.rooms;
    source_close(&slow.hit.source);
    settle(loop);
    assert_int_equal(writer.rooms, rooms + 1);
    assert_int_equal(put_bytes(miss, 4, 1000), 1000);
    source_close(&fast.hit.source);
    miss_handler_drop(miss);
    settle(loop);
    for (unsigned i = 0; i < count; i++)
        store_object_unref(held[i]);
    storage_free(storage);
    loop_free(loop);
}

static void wake_nobody(void *arg)
{
    (void)arg;
}

/* What is asked for often moves into huge pages; a move changes no byte, and the object is charged for it. */
static void test_often(void **state)
{
    struct storage *storage = tier_new(64 * MIB);
    uint64_t base = tier_used(storage);

    (void)state;
    assert_true(storage_on_work(storage, wake_nobody, NULL));
    assert_true(put_whole(storage, (struct put){.object = 1, .length = 3 * MIB + 500000}));
    for (unsigned i = 0; i < 15; i++)
        assert_int_equal(find(storage, 1, NULL), STORE_HIT);
    assert_int_equal(storage_tend(storage), UINT64_MAX);
    assert_int_equal(find(storage, 1, NULL), STORE_HIT);
    for (unsigned i = 0; i < 10; i++)
        (void)storage_tend(storage);
    struct store_stats stats = tier_stats(storage);
    if (stats.slab_moves > 0) {
        assert_int_equal(stats.slab_huge, 2);
        assert_int_equal(stats.slab_bytes, 4 * MIB);
        assert_int_equal(stats.slab_rounding_bytes, MIB - 500000);
    } else {
        assert_true(stats.slab_move_failures > 0);
    }
    assert_int_equal(read_whole(storage, 1), 3 * MIB + 500000);
    storage_drop_hash(storage, storage_key(storage, SLICE("1|http|example.com|/object/1")).hash);
    assert_int_equal(tier_used(storage), base);
    storage_free(storage);
}

/* ---- all of the above, wherever bodies lie ----------------------------------------------------------------- */

static int in_default(void **state)
{
    (void)state;
    memset(&tier_slabs, 0, sizeof(tier_slabs));
    return 0;
}

static int in_no_slabs(void **state)
{
    (void)state;
    tier_slabs.from_bytes = UINT64_MAX;
    return 0;
}

static int in_small_slabs(void **state)
{
    (void)state;
    tier_slabs.from_bytes = 20000;
    tier_slabs.bytes = 32768;
    return 0;
}

static int in_large_slabs(void **state)
{
    (void)state;
    tier_slabs.from_bytes = 4096;
    tier_slabs.bytes = 0;
    return 0;
}

int main(void)
{
    const struct CMUnitTest slab_tests[] = {
        cmocka_unit_test(test_slab_sizes),
        cmocka_unit_test(test_windows_are_not_in_slabs),
        cmocka_unit_test(test_slabs_of_a_window_go),
        cmocka_unit_test(test_slabs_stay_for_readers),
        cmocka_unit_test(test_slab_ends_under_a_waiting_reader),
        cmocka_unit_test(test_leaving_reader_makes_room),
        cmocka_unit_test(test_often),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_seek),
        cmocka_unit_test(test_pieces_are_charged),
        cmocka_unit_test(test_pieces_are_read),
        cmocka_unit_test(test_pieces_are_filled),
        cmocka_unit_test(test_follow),
        cmocka_unit_test(test_drop_fails_readers),
        cmocka_unit_test(test_short_body_is_dropped),
        cmocka_unit_test(test_close_with_mail_under_way),
        cmocka_unit_test(test_no_wake_up_after_a_look),
        cmocka_unit_test(test_ten_thousand_readers),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_window_slow_reader),
        cmocka_unit_test(test_window_drop_with_mail_to_the_writer),
        cmocka_unit_test(test_window_seek_ahead),
        cmocka_unit_test(test_no_room_makes_a_window),
    };
    int failed = cmocka_run_group_tests_name("slabs", slab_tests, in_default, NULL);
    failed += cmocka_run_group_tests_name("bodies", tests, in_default, NULL);
    failed += cmocka_run_group_tests_name("bodies without slabs", tests, in_no_slabs, NULL);
    failed += cmocka_run_group_tests_name("bodies in many small slabs", tests, in_small_slabs, NULL);
    failed += cmocka_run_group_tests_name("bodies in slabs from the start", tests, in_large_slabs, in_default);
    return failed;
}
