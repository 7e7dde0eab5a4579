/* filler: writes slices of one large body, one after the other, from one answer of the origin: the whole (200) or a
 * range (206). Between the files of fill/.
 *
 *   (a fill, after it has chosen to store) ----------.
 *   (a reader that misses a slice) --> asks by Range --+--> WRITING --> DONE --> gone when nobody follows
 *                                                            '--> ended: its followers look further
 *
 * At most one per slice of a version, across all threads: they are in a table by the body's id. Readers follow: the
 * filler is never more than `ahead` slices before the fastest of them, keeps a reference to what it wrote last for
 * the slower ones, and goes on without readers only for a little rest (filler_decide).
 *
 * Threads: the filler belongs to its context's thread, a follower to its reader's. What both look at is under the lock
 * of the table's shard; both are told by mail. */
#ifndef WARP_FILL_FILLER_H
#define WARP_FILL_FILLER_H

#include "cache/slices.h"
#include "fill/fill_internal.h"

#define FILLER_AHEAD_MAX 16u
#define FILLER_RING      (FILLER_AHEAD_MAX + 1u) /* and the one that is read */

/* Why a follower has no filler (any more). */
enum filler_end {
    FILLER_AGAIN,   /* look into the store again */
    FILLER_BROKEN,  /* the origin broke off, or gave nothing usable */
    FILLER_CHANGED, /* what is there has another validator now */
};

struct filler;

/* One reader of a body, while it reads where a filler writes. Embedded in it. */
struct follower {
    struct list link;
    struct filler_shard *shard; /* of the body; NULL before the first join */
    struct loop *loop;
    void (*look)(struct follower *follower); /* by mail: something has changed; also after it has left */
    struct mail mail;
    /* under the lock */
    struct filler *filler; /* NULL: none */
    uint64_t slice;        /* what it reads or waits for */
    uint64_t wanted;       /* it will read the slices before this one */
    uint8_t ended;         /* enum filler_end, of the last filler */
    bool waits, is_mailed;
};

struct filler {
    struct list own; /* in context->fillers */
    struct fill_context *context;
    struct filler_shard *shard;
    struct arena *arena; /* owned: with all below */
    struct sliced body;
    struct label_set labels;
    slice target, slice_key;
    struct fields request; /* of a range */
    struct store_object *head;
    struct origin_fetch *fetch;
    struct source *source;
    struct store_fill put;
    struct miss_handler *miss; /* of slice ring_to - 1 */
    struct timer tick;
    struct mail mail;
    uint64_t seq;  /* when its request began: that of its slices */
    uint64_t pin;  /* the sequence that is held, renewed: no purge between the two has hit it */
    int64_t request_ms;
    uint64_t skip_bytes;   /* of the answer, before its first slice */
    uint64_t first, limit; /* the slices it writes */
    uint64_t ahead;
    unsigned ticks, ticks_starved;
    struct tenant_view *view;
    struct policy policy;
    uint16_t tenant;
    bool is_putting, is_private, has_length, is_starved, is_ended;
    /* under the lock; the filler's thread alone moves ring_from and ring_to */
    struct list link; /* in the shard's list */
    struct list followers;
    struct store_object *ring[FILLER_RING]; /* slices [ring_from, ring_to), at their number modulo */
    uint64_t ring_from, ring_to;
    bool is_paused, is_mailed, had_followers, is_done, in_table;
    bool has_no_ranges; /* the origin sends the whole whatever it is asked for */
};

/* ---- filler_table.c: who follows ------------------------------------------------------------------------- */

struct filler_shard *filler_shard_of(struct fill_table *table, const struct sliced *body);
/* Joins the filler that writes this slice, or has just done so. False: there is none. */
MUST_USE bool follower_join(struct fill_context *context, const struct sliced *body, struct follower *follower);
enum follower_gets {
    FOLLOWER_OBJECT, /* the slice: a reference, the caller's */
    FOLLOWER_WAIT,   /* look will be called */
    FOLLOWER_STORE,  /* it was written before: in the store, or nowhere */
    FOLLOWER_NONE,   /* it follows nobody (any more): `ended` says why */
};
/* The slice that follower->slice was set to, from the filler it follows. */
enum follower_gets follower_take(struct follower *follower, uint64_t number, uint64_t wanted, struct store_object **ret_object);
void follower_leave(struct follower *follower);
/* False: memory must stay until look has been called. */
bool follower_is_settled(struct follower *follower);

/* Into the table with its first follower, unless another filler covers the slice by now: then the follower has joined
 * that, and false. limit is lowered to where another one begins. follower NULL: none yet. */
MUST_USE bool filler_enter(struct filler *filler, struct follower *follower);
/* The slice ring_to is there; takes over the reference. */
void filler_push(struct filler *filler, struct store_object *object);
/* All of its stretch is written, or no more will be: it ends with the slices there are; followers are told. */
void filler_complete(struct filler *filler);
/* Somebody follows, or is still to come. */
bool filler_is_wanted(struct filler *filler);
/* Nobody has come until now: nobody is waited for any more. False: they have. */
bool filler_give_up(struct filler *filler);
/* Out of the table; followers are told. */
void filler_leave(struct filler *filler, enum filler_end end);
/* A 200 in the place of a 206: it begins at 0. */
void filler_rewind(struct filler *filler);

enum filler_next { FILLER_GO, FILLER_PAUSE, FILLER_STOP };
/* What the next slice to be opened depends on. */
struct filler_view {
    uint64_t first, next, limit; /* slices */
    uint64_t fastest, wanted;    /* of its followers */
    uint64_t ahead;
    uint64_t left_bytes, all_bytes, slice_bytes;
    bool has_followers, had_followers, is_strong;
};
enum filler_next filler_decide(const struct filler_view *view);
/* The same for this filler; after PAUSE it gets mail when its followers move. */
enum filler_next filler_may_go_on(struct filler *filler);

/* ---- filler.c --------------------------------------------------------------------------------------------- */

/* A fill has chosen to store a large body: takes its fetch, arena and body over, on true. The first slice of the
 * answer is `first`, after skip_bytes. head may be set later, before filler_begin. */
MUST_USE bool filler_of_fill(struct fill *fill, const struct sliced *body, const struct label_set *labels, uint64_t first,
                             uint64_t limit, uint64_t skip_bytes, bool has_length, struct filler **ret_filler);
void filler_begin(struct filler *filler, struct store_object *head);
/* For a reader that misses follower->slice: asks the origin for it, and for what is missing behind it, up to
 * follower->wanted. False: no memory, or too many fills. */
MUST_USE bool filler_start(const struct fill_start *start, const struct sliced *body, struct store_object *head,
                           struct follower *follower);
void filler_end(struct filler *filler, enum filler_end end);
void filler_mailed(struct mail *mail);

#endif
