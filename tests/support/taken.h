/* taken: a reader that pulls a source to its end, as fast as it can. */
#ifndef WARP_TESTS_TAKEN_H
#define WARP_TESTS_TAKEN_H

#include "base/source.h"
#include "tests/support/sim_net.h"

#include <stdlib.h>

struct taken {
    struct source *source;
    char *bytes;
    size_t len, room;
    enum source_state state;
    bool over;
    unsigned wakes;
};

static inline void taken_pull(void *reader)
{
    struct taken *taken = reader;
    slice slices[3];
    unsigned count;

    taken->wakes++;
    while (!taken->over && (taken->state = source_peek(taken->source, slices, 3, &count)) == SOURCE_READY) {
        size_t n = 0;
        for (unsigned i = 0; i < count; i++) {
            assert_true(slices[i].len > 0);
            if (taken->len + slices[i].len > taken->room) {
                taken->room = 2 * (taken->len + slices[i].len);
                taken->bytes = realloc(taken->bytes, taken->room);
                assert_non_null(taken->bytes);
            }
            memcpy(taken->bytes + taken->len, slices[i].data, slices[i].len);
            taken->len += slices[i].len;
            n += slices[i].len;
        }
        source_consume(taken->source, n);
    }
    if (taken->state == SOURCE_END || taken->state == SOURCE_FAILED)
        taken->over = true;
}

static inline void take_begin(struct taken *taken, struct source *source)
{
    *taken = (struct taken){.source = source};
    source_set_reader(source, taken_pull, taken);
    taken_pull(taken);
}

static inline void take_expect(struct taken *taken, enum source_state end, const char *text)
{
    run_until(is_true_, &taken->over, "the end of a body");
    assert_int_equal(taken->state, end);
    assert_int_equal(taken->len, strlen(text));
    if (taken->len > 0)
        assert_memory_equal(taken->bytes, text, taken->len);
}

static inline void take_done(struct taken *taken)
{
    free(taken->bytes);
    *taken = (struct taken){.over = true};
}

#endif
