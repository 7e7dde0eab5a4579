/* feed: a source that the test opens by hand: so many bytes, then an end, a failure, or nothing yet. */
#ifndef WARP_TESTS_FEED_H
#define WARP_TESTS_FEED_H

#include "base/source.h"

struct feed {
    struct source source;
    slice bytes;          /* all there will ever be */
    size_t at, available; /* consumed; may be shown */
    size_t piece_bytes;   /* of one slice; 0: all in one */
    bool ended, failed;
    unsigned closes, pulls;
    const struct fields *trailers;
};

static inline enum source_state feed_peek_(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    struct feed *feed = container_of(source, struct feed, source);
    size_t at = feed->at;
    unsigned count = 0;

    assert_int_equal(feed->closes, 0);
    feed->pulls++;
    while (at < feed->available && count < max) {
        size_t n = feed->available - at;
        if (feed->piece_bytes != 0)
            n = MIN(n, feed->piece_bytes);
        ret_slices[count++] = slice_of(feed->bytes.data + at, n);
        at += n;
    }
    *ret_count = count;
    if (count > 0)
        return SOURCE_READY;
    return feed->failed ? SOURCE_FAILED : feed->ended ? SOURCE_END : SOURCE_WAIT;
}

static inline void feed_consume_(struct source *source, size_t n)
{
    struct feed *feed = container_of(source, struct feed, source);

    assert_int_equal(feed->closes, 0);
    feed->at += n;
    assert_true(feed->at <= feed->available);
}

static inline void feed_close_(struct source *source)
{
    struct feed *feed = container_of(source, struct feed, source);
    feed->closes++;
}

static inline const struct fields *feed_trailers_(struct source *source)
{
    return container_of(source, struct feed, source)->trailers;
}

static inline void feed_init(struct feed *feed, slice bytes)
{
    static const struct source_ops ops = {feed_peek_, feed_consume_, feed_close_, feed_trailers_};
    *feed = (struct feed){.source = {.ops = &ops}, .bytes = bytes};
}

static inline void feed_ready_(struct feed *feed)
{
    if (feed->source.on_ready != NULL && feed->closes == 0)
        feed->source.on_ready(feed->source.reader);
}

static inline void feed_more(struct feed *feed, size_t n)
{
    feed->available = MIN(feed->bytes.len, feed->available + n);
    feed_ready_(feed);
}

static inline void feed_end(struct feed *feed)
{
    feed->ended = true;
    feed_ready_(feed);
}

static inline void feed_fail(struct feed *feed)
{
    feed->failed = true;
    feed_ready_(feed);
}

/* Everything, and its end. */
static inline void feed_all(struct feed *feed)
{
    feed->ended = true;
    feed_more(feed, feed->bytes.len);
}

#endif
