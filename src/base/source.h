/* source: where a body comes from. The side that can send pulls; back-pressure needs no other code.
 *
 * A source has one reader at a time. Everything happens on the reader's thread: a source fed by another
 * thread posts to the reader's loop. Implemented by request bodies, origin answers, hit handlers, memory.
 *
 *   peek --READY--> (send the slices) --> consume(n) --> peek ...
 *   peek --WAIT---> on_ready(reader) is called once --> peek ...
 *   peek --END----> close        peek --FAILED--> end visibly (reset, no last chunk), close
 *
 * Bytes handed out by peek stay where they are until they are consumed or the source is closed. */
#ifndef WARP_BASE_SOURCE_H
#define WARP_BASE_SOURCE_H

#include "base/slice.h"

enum source_state {
    SOURCE_READY,  /* at least one byte in ret_slices */
    SOURCE_WAIT,   /* nothing now; on_ready will be called */
    SOURCE_END,    /* all bytes were consumed; the body is complete */
    SOURCE_FAILED, /* the body will never be complete */
};

struct source;
struct fields;

struct source_ops {
    /* Up to max slices of the next unconsumed bytes, in order. */
    enum source_state (*peek)(struct source *source, slice *ret_slices, unsigned max, unsigned *ret_count);
    /* The first n bytes of what peek showed are done with. */
    void (*consume)(struct source *source, size_t n);
    /* The reader leaves, at the end or before. Called exactly once; the source must not be touched after. */
    void (*close)(struct source *source);
    /* At SOURCE_END: trailers that came behind the body, valid until close. May be NULL; may return NULL. */
    const struct fields *(*trailers)(struct source *source);
};

struct source {
    const struct source_ops *ops;
    void (*on_ready)(void *reader);
    void *reader;
};

static inline enum source_state source_peek(struct source *s, slice *ret_slices, unsigned max, unsigned *ret_count)
{
    return s->ops->peek(s, ret_slices, max, ret_count);
}

static inline void source_consume(struct source *s, size_t n)
{
    s->ops->consume(s, n);
}

/* Safe on NULL; returns NULL: body = source_close(body). */
static inline struct source *source_close(struct source *s)
{
    if (s != NULL)
        s->ops->close(s);
    return NULL;
}

static inline const struct fields *source_trailers(struct source *s)
{
    return s->ops->trailers != NULL ? s->ops->trailers(s) : NULL;
}

static inline void source_set_reader(struct source *s, void (*on_ready)(void *), void *reader)
{
    s->on_ready = on_ready;
    s->reader = reader;
}

/* A source over bytes in memory that outlive it. */
struct source_memory {
    struct source source;
    slice left;
};
void source_memory_init(struct source_memory *memory, slice bytes);

#endif
