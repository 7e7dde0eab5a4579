/* What the tests of the store share: a tier, a loop, fills and reads in one line. */
#ifndef WARP_TESTS_STORE_TEST_H
#define WARP_TESTS_STORE_TEST_H

#include "store/object.h"
#include "store/purge.h"
#include "store/storage_ops.h"

#include <stdio.h>
#include <stdlib.h>

#define MIB (1024u * 1024)

#define PUT_META "200 OK\r\ncontent-type: text/plain\r\n" /* of what put_begin fills */

/* Where bodies lie: as they come, or what a group of tests sets. */
static struct {
    uint64_t from_bytes, bytes;
} tier_slabs;

static inline struct storage *tier_new(uint64_t max_bytes)
{
    static const uint8_t secret[HASH_SECRET_BYTES] = {1, 2, 3};
    struct store_ram_config config = {.max_bytes = max_bytes,
                                      .secret = secret,
                                      .slab_from_bytes = tier_slabs.from_bytes,
                                      .slab_bytes = tier_slabs.bytes};
    struct storage *storage = NULL;

    assert_true(err_is_ok(store_ram_new(&config, &storage)));
    return storage;
}

static inline struct loop *test_loop_new(void)
{
    struct loop_config config = {.os.io = OS_IO_EPOLL};
    struct loop *loop = NULL;

    assert_true(err_is_ok(loop_new(&config, &loop)));
    return loop;
}

/* Bytes of a tier in use, with its index. */
static inline uint64_t tier_used(struct storage *storage)
{
    struct store_stats stats;

    storage_stats(storage, &stats);
    return stats.size_bytes + stats.index_bytes;
}

static inline struct store_stats tier_stats(struct storage *storage)
{
    struct store_stats stats;

    storage_stats(storage, &stats);
    return stats;
}

static inline slice key_text(char *buffer, size_t size, uint64_t n)
{
    int len = snprintf(buffer, size, "1|http|example.com|/object/%llu", (unsigned long long)n);
    return slice_of(buffer, (size_t)len);
}

/* What every body holds at a position: so that a wrong byte shows. */
static inline char body_byte(uint64_t object, uint64_t at)
{
    return (char)((object * 131 + at * 7 + (at >> 8) * 13) & 0xff);
}

struct put {
    uint64_t object;
    int64_t length; /* of the body; -1 - n: unknown beforehand, n in the end */
    uint16_t tenant;
    uint8_t kind;
    uint64_t seq; /* 0: now */
    struct store_label label;
    bool has_label, private_copy;
    struct loop *loop;
    void (*on_room)(void *);
    void *writer;
    int64_t ttl_ms;
    const struct store_object *replaces;
};

/* Begins a fill; NULL with the error in ret_err. */
static inline struct miss_handler *put_begin(struct storage *storage, struct put put, err *ret_err)
{
    char buffer[80];
    struct store_fill fill = {.op = {.loop = put.loop}};

    fill.key = storage_key(storage, key_text(buffer, sizeof(buffer), put.object));
    fill.tenant = put.tenant;
    fill.kind = put.kind;
    fill.seq = put.seq != 0 ? put.seq : storage_seq(storage);
    fill.meta = SLICE(PUT_META);
    fill.labels = &put.label;
    fill.label_count = put.has_label ? 1 : 0;
    fill.length_bytes = put.length < 0 ? -1 : put.length;
    fill.private_copy = put.private_copy;
    fill.on_room = put.on_room;
    fill.writer = put.writer;
    fill.ttl_ms = put.ttl_ms;
    fill.replaces = put.replaces;
    assert_int_equal(storage_get_miss_handler(storage, &fill), STORE_DONE);
    if (ret_err != NULL)
        *ret_err = fill.result;
    return fill.miss_handler;
}

/* Writes up to n bytes of the object's pattern; returns how many there was room for. */
static inline uint64_t put_bytes(struct miss_handler *miss, uint64_t object, uint64_t n)
{
    uint64_t done = 0;
    size_t room;
    char *at;

    while (done < n && miss_handler_room(miss, &at, &room)) {
        uint64_t from = miss_handler_written(miss);
        room = (size_t)MIN(room, n - done);
        for (size_t i = 0; i < room; i++)
            at[i] = body_byte(object, from + i);
        miss_handler_wrote(miss, room);
        done += room;
    }
    return done;
}

/* A whole object; false when there was no room. */
static inline bool put_whole(struct storage *storage, struct put put)
{
    uint64_t length = put.length < 0 ? (uint64_t)(-1 - put.length) : (uint64_t)put.length;
    err e;
    struct miss_handler *miss = put_begin(storage, put, &e);

    if (miss == NULL)
        return err_is_ok(e) && put.kind != STORE_ANSWER;
    if (put_bytes(miss, put.object, length) < length) {
        miss_handler_drop(miss);
        return false;
    }
    miss_handler_finish(miss);
    return true;
}

static inline enum store_found find(struct storage *storage, uint64_t object,
                                    struct store_object **ret_object)
{
    char buffer[80];
    struct store_lookup lookup = {.key = storage_key(storage, key_text(buffer, sizeof(buffer), object))};

    assert_int_equal(storage_lookup(storage, &lookup), STORE_DONE);
    if (ret_object != NULL)
        *ret_object = lookup.object;
    else
        store_object_unref(lookup.object);
    return lookup.found;
}

/* Reads what there is, checking each byte; returns the state that ended it. */
static inline enum source_state hit_drain(struct hit_handler *hit, uint64_t object, uint64_t *total)
{
    slice slices[4];
    unsigned count;

    for (;;) {
        enum source_state state = source_peek(&hit->source, slices, 4, &count);
        if (state != SOURCE_READY)
            return state;
        size_t n = 0;
        assert_true(count >= 1);
        for (unsigned s = 0; s < count; s++) {
            assert_true(slices[s].len > 0);
            for (size_t i = 0; i < slices[s].len; i++)
                if (slices[s].data[i] != body_byte(object, hit->at + n + i))
                    fail_msg("wrong byte at %llu", (unsigned long long)(hit->at + n + i));
            n += slices[s].len;
        }
        source_consume(&hit->source, n);
        *total += n;
    }
}

/* Bytes of a stored object, all checked. */
static inline uint64_t read_whole(struct storage *storage, uint64_t object)
{
    struct store_object *found;
    struct hit_handler hit;
    uint64_t total = 0;

    assert_int_equal(find(storage, object, &found), STORE_HIT);
    hit_handler_open(&hit, found, NULL);
    assert_int_equal(hit_drain(&hit, object, &total), SOURCE_END);
    hit_handler_close(&hit, NULL);
    return total;
}

static inline struct store_purge purge_label(struct storage *storage, uint16_t tenant,
                                             enum store_label_kind kind, struct store_label label, bool soft)
{
    struct store_purge purge = {.tenant = tenant, .kind = kind, .label = label, .soft = soft};

    assert_int_equal(storage_purge(storage, &purge), STORE_DONE);
    return purge;
}

static inline void sweep(struct storage *storage)
{
    for (unsigned i = 0; i < 1000; i++)
        storage_turn(storage, os_wall_ms());
}

#endif
