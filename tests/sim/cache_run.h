/* What the files of sim_cache share: the run, the model site, and how a failure is told. */
#ifndef WARP_TESTS_SIM_CACHE_RUN_H
#define WARP_TESTS_SIM_CACHE_RUN_H

#include "os/sim/sim.h"

#define NS_MS UINT64_C(1000000)
#define NS_S  UINT64_C(1000000000)

/* ---- the run ---------------------------------------------------------------------------------------------- */

/* What happened, over all seeds: a run that never saw one of these tested less than it says. */
#define COVERED(X)                                                                                          \
    X(answers) X(hits) X(stale) X(collapsed) X(revalidated) X(private_answers) X(parts) X(multiparts)          \
    X(not_modified) X(cut_answers) X(own_answers) X(heads) X(uploads) X(purges) X(soft_purges)                 \
    X(tenant_purges) X(purge_requests) X(invalidations) X(origin_cuts) X(origin_junk) X(origin_hangs)          \
    X(origin_304) X(ranges_at_origin) X(resumes) X(interims) X(trailers) X(left) X(stopped_reading)            \
    X(half_closed) X(malformed) X(crowds) X(herds) X(late_calls) X(evictions) X(outages) X(refusals) X(aborted_fetches) \
    X(h2_connections) X(h2_streams) X(origin_h2_connections) X(origin_h2_streams) X(origin_h2_several)             \
    X(origin_h2_refused) X(origin_h2_over_limit) X(origin_h2_goaways) X(origin_h2_above) X(origin_h2_below)        \
    X(origin_h2_posts_again) X(origin_h2_limits) X(origin_h2_settings) X(origin_h2_windows) X(origin_h2_pings)     \
    X(origin_h2_continuations) X(origin_h2_resets) X(origin_h2_ends) X(origin_h2_short) X(origin_h2_malformed)     \
    X(origin_h2_interims) X(origin_h2_late) X(origin_h2_broken) X(origin_h2_floods) X(origin_h2_overruns) \
    X(origin_h2_early) X(slices) X(slice_asks) X(slice_changes) X(slice_suffixes) \
    X(slices_vanished) X(disk_hits) X(disk_writes) X(restarts) X(kills) X(powers)

struct run_counts {
#define X(name) uint64_t name;
    COVERED(X)
#undef X
};

/* One seed's choices. */
struct run {
    uint64_t seed;
    bool tracing;
    uint64_t content; /* a hash of all answers, beside the network's own */
    unsigned workers, clients;
    unsigned clients_before; /* that had numbers before the node was started again */
    uint64_t memory_bytes;
    uint32_t slice_bytes; /* larger bodies are stored in slices of that size; 0: none is */
    unsigned ahead;       /* slices that a fetch may run ahead */
    bool late_lookups, late_writes, late_purges; /* behind late_tier */
    unsigned h2_origins; /* those that speak HTTP/2, a bit each */
    unsigned h2_streams_max; /* WARP's own limit on one of their connections */
    bool has_outages;
    bool has_disk, is_restarted; /* a disk below RAM; the node ends in the middle and begins again */
    uint64_t last_outage_ns; /* while one lasts and 10 s after, requests may fail */
};
extern struct run run;
extern struct run_counts counts;

static inline bool chance(unsigned percent)
{
    return sim_random(100) < percent;
}

static inline uint64_t between(uint64_t least, uint64_t most)
{
    return least + sim_random(most - least + 1);
}

void run_trace(const char *format, ...) PRINTF(1, 2);
/* url < 0 or client 0: none concerned. Prints what, when, where and how to see it again; exits. */
noreturn void run_failed(int url, unsigned client, const char *format, ...) PRINTF(3, 4);
void run_note(uint64_t content); /* into run.content */
/* Purges that URL within some milliseconds: while an answer of before is on its way. */
void run_purge_soon(uint32_t url);

/* ---- the model site: content is a function of (url, version, variant, owner, status) ------------------------- */

#define MODEL_URLS 40u

enum model_kind {
    MODEL_PLAIN,
    MODEL_VARY,    /* on Accept-Encoding */
    MODEL_MIXED,   /* now and then private, no-store or with Set-Cookie */
    MODEL_SECRET,  /* the requester's own where it sent Authorization, else shared */
    MODEL_COOKIE,  /* the requester's own where it sent a Cookie; never explicitly fresh then */
    MODEL_FAILING, /* often an error */
    MODEL_LARGE,
    MODEL_CROWD,   /* always good and fresh for long: what many ask for at once */
    MODEL_KINDS
};

enum model_validator { MODEL_NONE, MODEL_STRONG, MODEL_WEAK, MODEL_DATE, MODEL_VALIDATORS };

struct model_url {
    char host[16], target[32];
    enum model_kind kind;
    enum model_validator validator;
    uint32_t version;
    uint32_t version_min; /* what requests from now on must get at least: purged before it */
    uint32_t length_max;
    bool is_steady; /* all versions are of one length: nothing but their validators tells them apart */
    uint64_t purged_ns;    /* when last, or made invalid */
    unsigned fetches_open; /* plain GETs of a crowd's URL, at the origins */
};
extern struct model_url model_urls[MODEL_URLS];

/* What one answer's body is; in the field X-Mark. */
struct mark {
    uint32_t url, version, variant, owner, status, length;
};

void model_begin(void);
struct mark model_mark(uint32_t url, uint32_t variant, uint32_t owner, uint32_t status); /* of today's version */
void model_moved(uint32_t url);                                                          /* a new version */
/* The version now is the least that a later request may get. */
void model_purged(uint32_t url, uint32_t version);
void model_body(const struct mark *mark, uint64_t from, char *into, size_t size);
/* The first byte that is not the model's; size: all are. */
size_t model_compare(const struct mark *mark, uint64_t from, const char *bytes, size_t size);
void model_mark_text(const struct mark *mark, char *text, size_t size);
bool model_mark_read(const char *text, struct mark *ret_mark); /* false also when the length is not the model's */
void model_etag(const struct mark *mark, char *text, size_t size); /* "" without one */
int64_t model_date_s(const struct mark *mark);                     /* Last-Modified */
int model_find(const char *host, const char *target);              /* -1 */
/* What an upload consists of. */
void model_upload(unsigned client, unsigned request, char *into, size_t size);
/* The variant an origin chooses: 0 identity, 1 gzip, 2 br. */
uint32_t model_variant(uint32_t url, const char *accept_encoding);
extern const char *const model_codings[3];

#endif
