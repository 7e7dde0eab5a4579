/* store_lookup: one thread, one hot object; run under callgrind, which counts the instructions.
 *
 *   store_lookup OPERATIONS lookup|hit [shared]    lookup: and the reference let go; hit: the body read as
 * well; shared: without a near table */
#include "store/near.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES 1024

static struct storage *storage;
static volatile unsigned long
    mark; /* written where the second half begins, and at the end: for store_writes.py */

static void fill(slice key)
{
    struct store_fill fill = {
        .key = storage_key(storage, key), .seq = storage_seq(storage), .length_bytes = BODY_BYTES};
    size_t room;
    char *at;

    (void)storage_get_miss_handler(storage, &fill);
    if (fill.miss_handler == NULL || !miss_handler_room(fill.miss_handler, &at, &room) || room < BODY_BYTES)
        abort();
    memset(at, 'b', BODY_BYTES);
    miss_handler_wrote(fill.miss_handler, BODY_BYTES);
    miss_handler_finish(fill.miss_handler);
}

static void body_read(struct store_object *object)
{
    struct hit_handler reader;
    unsigned count;
    slice bytes;

    hit_handler_open(&reader, store_object_ref(object), NULL);
    while (source_peek(&reader.source, &bytes, 1, &count) == SOURCE_READY)
        source_consume(&reader.source, bytes.len);
    hit_handler_close(&reader, NULL);
}

static void run(struct store_key key, unsigned long operations, bool reads)
{
    for (unsigned long i = 0; i < operations; i++) {
        struct store_lookup lookup = {.key = key};
        if (storage_lookup(storage, &lookup) != STORE_DONE || lookup.object == NULL)
            abort();
        if (reads)
            body_read(lookup.object);
        store_object_unref(lookup.object);
    }
}

int main(int argc, char **argv)
{
    struct store_ram_config config = {.max_bytes = 64u << 20};
    slice text = SLICE("1|http|example.com|/a/page/of/some/site.html");
    unsigned long operations = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    bool reads = argc > 2 && strcmp(argv[2], "hit") == 0, near = argc <= 3;

    if (!err_is_ok(store_ram_new(&config, &storage)))
        abort();
    fill(text);
    if (near)
        store_near_enter(storage_near_new(storage));
    struct store_key key = storage_key(storage, text);
    printf("mark %p near %p %zu stack %p\n", (void *)(uintptr_t)&mark, (void *)near_here,
           sizeof(struct store_near), (void *)&config);
    fflush(stdout);
    run(key, operations / 2, reads);
    mark++;
    run(key, operations / 2, reads);
    mark++;
    store_near_free(near_here);
    storage_free(storage);
    return 0;
}
