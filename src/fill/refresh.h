/* refresh: what was purged softly and is asked for often is fetched again before somebody asks, at a bounded pace.
 *
 *   add (URL of a stored object) -> queue -> one at a time: still softly purged? -> a fill without readers
 *
 * What is asked for is what a GET without fields of its own would ask for: of a URL with variants that is one of them; the
 * others are fetched when clients come.
 *
 * Limits: REFRESH_QUEUE_MAX URLs, of REFRESH_URL_BYTES_MAX at most; REFRESH_PER_S fetches. Threads: its loop's. */
#ifndef WARP_FILL_REFRESH_H
#define WARP_FILL_REFRESH_H

#include "cache/key.h"
#include "fill/fill.h"

/* An origin that was just told to change must not be stormed: a page of some hundred parts is back within seconds, and the
 * hottest thing is fetched by its first client at once anyway. */
#define REFRESH_PER_S         50u
#define REFRESH_QUEUE_MAX     4096u
#define REFRESH_URL_BYTES_MAX 2048u

/* What becomes of a URL: name, word */
#define REFRESH_RESULTS(X)                                                                                   \
    X(FETCHED, "fetched")   /* a fetch was begun */                                                          \
    X(RUNNING, "running")   /* somebody's fetch was under way */                                             \
    X(NEEDLESS, "needless") /* fetched by a client meanwhile, gone, or not to be cached any more */          \
    X(REFUSED, "refused")   /* too many fetches, or no memory */                                             \
    X(DROPPED, "dropped")   /* the queue was full, or the URL too long */

enum refresh_result {
#define X(name, word) REFRESH_##name,
    REFRESH_RESULTS(X)
#undef X
        REFRESH_RESULT_COUNT
};

struct refresher {
    struct fill_context *fills;
    struct tenant_view *const *view; /* the thread's current one */
    struct timer timer;
    struct list queue;
    unsigned count;
    bool is_stopped;
    _Atomic uint64_t results[REFRESH_RESULT_COUNT];
};

void refresher_init(struct refresher *refresher, struct fill_context *fills, struct tenant_view *const *view);
/* Forgets what waits, and takes no more. */
void refresher_stop(struct refresher *refresher);
/* key: of a stored object, primary or a variant. A URL that waits already is not added again. Calls no store: it may be
 * called while one is browsed. */
void refresher_add(struct refresher *refresher, const struct key_parts *key);
uint64_t refresher_count(const struct refresher *refresher, enum refresh_result result);
const char *refresh_result_word(enum refresh_result result);

#endif
