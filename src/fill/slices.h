/* slices: reads a large body whose bytes lie in objects of their own (cache/slices.h) as a source. What is missing it
 * asks of the origin, together with all others who miss it (filler.h).
 *
 *   for each slice: the filler that writes it, if there is one; else the store; else a range request of its own
 *
 * The object it is opened on is only the head: its stored_slices_of says where the body is. Bytes of two versions never
 * meet: where the origin has another one by now the source fails, and slices_loss says why. A reader that has sent
 * nothing yet can then begin anew.
 *
 * Thread: its context's. Memory: of the context's pool, until all mail has come; the caller lets go by source_close. */
#ifndef WARP_FILL_SLICES_H
#define WARP_FILL_SLICES_H

#include "cache/slices.h"
#include "fill/fill.h"

struct slices;

/* What a reader has seen; the caller's memory, written while the source is open. */
struct slices_seen {
    bool has_asked;    /* the origin, for slices that were missing */
    bool has_followed; /* what another one has asked for */
};

struct slices_open {
    struct fill_context *context;
    struct store_object *head; /* a reference is taken */
    struct slices_seen *seen;
    /* What a request to the origin is made of; called when the first slice is missing. ip is scratch. */
    void (*start_of)(void *owner, char *ip, size_t ip_size, struct fill_start *ret_start);
    void *owner;
};

/* NULL: no memory, or a head that does not describe slices. Reads all of it until slices_seek says otherwise. */
MUST_USE struct slices *slices_open(const struct slices_open *open);
struct source *slices_source(struct slices *slices);
/* Bytes [from, to), at most the body's; before the first peek or after any consume. Slices behind `to` are not asked for. */
void slices_seek(struct slices *slices, uint64_t from, uint64_t to);
/* Are all slices of what it will read in the store, as far as can be said at once? */
bool slices_are_stored(struct slices *slices);

/* Why the source has failed. */
enum slices_loss {
    SLICES_LOST_NOTHING,
    SLICES_LOST_CHANGED, /* what is stored is no more what the origin has, or can never be complete again */
    SLICES_LOST_BROKEN,  /* the origin gives nothing now */
};
enum slices_loss slices_loss(const struct slices *slices);

/* The body that a stored head describes; false: not in slices. Points into the head. */
bool sliced_of(const struct store_object *head, struct sliced *ret_body);

size_t slices_block_bytes(void);

#endif
