/* Bodies in slices of ten bytes, and who reads them. */
#ifndef WARP_TESTS_SLICES_TEST_H
#define WARP_TESTS_SLICES_TEST_H

#include "fill_test.h"

#include "fill/slices.h"

#define S     10u /* bytes of a slice */
#define AHEAD 4u  /* slices */

static const char text[] = "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggghhhhhhhhhhiiiiiiiiiijjjjjjjjjjkkkkk";
#define LENGTH (sizeof(text) - 1)
#define COUNT  ((LENGTH + S - 1) / S)

static inline void slices_site_open_over(struct storage *storage)
{
    site_open_over(storage);
    for (unsigned i = 0; i < THREADS; i++) {
        site.context[i].slice_bytes = S;
        site.context[i].ahead_bytes = AHEAD * S;
    }
}

static inline void slices_site_open(void)
{
    slices_site_open_over(site_tier());
}

struct reader {
    struct slices *slices;
    struct slices_seen seen;
    struct request request;
    struct taken taken;
    unsigned thread;
};

static inline void reader_start_of(void *owner, char *ip, size_t ip_size, struct fill_start *ret_start)
{
    struct reader *reader = owner;

    (void)ip;
    (void)ip_size;
    *ret_start = (struct fill_start){.context = &site.context[reader->thread],
                                      .view = site.view[reader->thread],
                                      .policy = &tenants_at(site.tenants, 0)->policy,
                                     .request = &reader->request,
                                     .client_ip = SLICE("192.0.2.1"),
                                     .request_id = SLICE("id")};
}

/* Takes the reference over. */
static inline void reader_open(struct reader *reader, struct store_object *head, unsigned thread, uint64_t from, uint64_t to)
{
    struct slices_open open = {.context = &site.context[thread], .head = head, .seen = &reader->seen,
                               .start_of = reader_start_of, .owner = reader};

    *reader = (struct reader){.thread = thread};
    request_of("/a", "X-Asked: again\r\n", &reader->request);
    reader->slices = slices_open(&open);
    assert_non_null(reader->slices);
    store_object_unref(head);
    slices_seek(reader->slices, from, to);
}

static inline void reader_pull(struct reader *reader)
{
    take_begin(&reader->taken, slices_source(reader->slices));
}

static inline void reader_expect(struct reader *reader, enum source_state end, const char *body)
{
    take_expect(&reader->taken, end, body);
}

static inline void reader_close(struct reader *reader)
{
    take_done(&reader->taken);
    source_close(slices_source(reader->slices));
    run_ms(5);
}

static inline struct store_object *head_of(const char *target)
{
    struct store_lookup lookup = look(key_of(target));

    assert_int_equal(lookup.found, STORE_HIT);
    return lookup.object;
}

static inline struct store_key slice_key_of(const struct store_object *head, uint64_t number)
{
    static char buffer[512];
    struct sliced body;

    assert_true(sliced_of(head, &body));
    return storage_key(site.storage, slice_key_write(&body, number, buffer));
}

static inline bool has_slice(uint64_t number)
{
    struct store_object *head = head_of("/a");
    struct store_key key = slice_key_of(head, number);
    bool has = storage_has(site.storage, &key);

    store_object_unref(head);
    return has;
}

#endif
