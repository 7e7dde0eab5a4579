/* What the files of sim_store share: the run, the model of what the origin sent and of what was purged, the node, and how a
 * failure is told. */
#ifndef WARP_TESTS_SIM_STORE_RUN_H
#define WARP_TESTS_SIM_STORE_RUN_H

#include "os/sim/sim.h"
#include "store/disk/disk_own.h"
#include "store/storage.h"

#define NS_MS UINT64_C(1000000)
#define NS_S  UINT64_C(1000000000)

/* ---- the run ---------------------------------------------------------------------------------------------------- */

/* What happened, over all seeds: a run that never saw one of these tested less than it says. */
#define COVERED(X)                                                                                                     \
    X(lives) X(clean_ends) X(kills) X(powers) X(stops) X(stops_in_open) X(stops_in_recovery) X(stops_at_work)           \
    X(lookups) X(hits) X(disk_hits) X(soft_hits) X(late) X(cancelled) X(fills) X(fills_dropped) X(fills_refused)        \
    X(fills_unknown) X(vary) X(slices) X(empty_bodies) X(updates) X(updates_refused) X(purges) X(soft_purges) X(tenant_purges) X(durable_purges) X(heads) X(drops) X(peeks)         \
    X(ram_evictions) X(disk_evictions) X(copied) X(sweeps) X(snapshots) X(false_reads) X(audits) X(recovered)           \
    X(kept_checked) X(second_openers) X(budgets) X(compared) X(harms) X(flips) X(vanished) X(offline) X(off) X(formatted) X(unopened) X(not_durable)           \
    X(quotas) X(hard_quotas) X(over_quota) X(fills_over_quota) X(quota_steps) X(floods) X(floods_spared)

struct run_counts {
#define X(name) uint64_t name;
    COVERED(X)
#undef X
    uint64_t began_full, spared_lost; /* bytes; so seldom that it need not happen */
};

#define WORKERS_MAX 3u
#define DEVICES_MAX 3u

/* One seed's choices. */
struct run {
    uint64_t seed;
    bool tracing;
    uint64_t content; /* a hash of all answers, beside the simulator's own */
    unsigned workers, devices, lives;
    unsigned block_devices; /* a bit each; others are files */
    uint64_t device_bytes, ram_bytes, snapshot_ns, write_bytes_per_s;
    uint64_t recovery_step_ns; /* what a step of recovery may take */
    bool is_buffered, is_ram_off, is_harmed, has_quotas;
    unsigned life;    /* from 1 */
    uint64_t event;   /* counts what the model orders */
    uint64_t floods;
    bool has_faults;  /* since the disks were new: some of what was written may be wrong or gone */
    bool had_power_loss, had_open_stopped;
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
/* Prints what, when and how to see it again; exits. */
noreturn void run_failed(const char *format, ...) PRINTF(1, 2);
void run_note(uint64_t content); /* into run.content */

/* ---- the model -------------------------------------------------------------------------------------------------- */

#define TENANTS   3u
#define HOSTS     4u /* of each tenant */
#define PREFIXES  3u /* of each host */
#define TAGS      8u /* of each tenant */
#define KEYS_MAX  800u
#define MADE_NONE UINT32_MAX

struct model_key {
    char *full;
    uint32_t full_bytes;
    uint16_t tenant; /* from 1 */
    uint8_t host, prefix;
    uint8_t kind;       /* enum store_kind */
    uint32_t url;       /* keys of one URL are variants of it */
    uint32_t now;       /* the newest object that was stored under it; MADE_NONE */
    uint64_t least;     /* what was stored before this event was replaced or dropped in this life */
    bool is_twin;       /* the index cannot tell it from another key */
    uint32_t kept;      /* what was on the disk when the life before ended, and must be found; MADE_NONE: nothing need be */
};
extern struct model_key model_keys[KEYS_MAX];
extern unsigned model_key_count;

/* What the origin once sent: an object with a body, or the new metadata of one. */
struct made {
    uint32_t key;
    uint32_t body;   /* whose body: its own number, or that of the object whose metadata this renews */
    uint32_t before; /* that object; MADE_NONE */
    uint64_t started, published; /* run.event; published 0: not yet */
    uint32_t length, meta_bytes;
    uint32_t tags; /* bits */
};

void model_begin(void);
void model_end(void);
/* Keys hashes collide of are known once the secret is. */
bool model_has_twins(void);
void model_keys_hash(const struct storage *storage);
/* A new object of that key, or new metadata of an old one. */
uint32_t model_make(uint32_t key, uint32_t before);
const struct made *model_made(uint32_t number);
void model_published(uint32_t number);
/* Of a key, that object and what was stored before it are not to be seen again; MADE_NONE: nothing stored so far is. */
void model_dropped(uint32_t key, uint32_t number);
slice model_meta(uint32_t number, char *memory); /* META_MAX of it */
#define META_MAX 12000u
void model_body(uint32_t number, uint64_t from, char *into, size_t size);
unsigned model_labels(uint32_t number, struct store_label *ret_labels); /* at most 16 */
slice model_key_of(uint32_t key);

/* Of an object that was handed out: whose it is, whether it may be; its metadata, labels, and as much of its body as is
 * there are checked. */
void model_check(const struct store_lookup *lookup, uint32_t key, struct loop *loop);
/* Whose metadata that is; MADE_NONE: nobody's. */
uint32_t model_number_of(slice meta);

/* Purges. */
enum durability { PURGE_ASKED, PURGE_DURABLE, PURGE_LOST };
struct purged {
    uint64_t event;
    uint32_t what; /* URL, host, prefix or tag */
    uint16_t tenant;
    uint8_t kind; /* enum store_label_kind */
    bool soft;
    uint8_t durability;
    uint64_t devices; /* that have it in their journals */
};
uint32_t model_purge(struct store_purge *ret_purge, uint32_t key); /* draws one, by the key's URL unless MADE_NONE: it acts from now on */
uint32_t model_purge_url(uint32_t number); /* the key that a purge by URL names */
void model_purge_answered(uint32_t number, bool is_durable);
bool model_is_purged(uint32_t number); /* hard */
bool model_was_ever_purged(uint32_t number); /* or what it renewed was, whenever: a body may go by the labels it came with */
/* The store was opened again: what only journals knew that are gone may be forgotten. Devices: a bit each. */
void model_opened(uint64_t known, uint64_t open);
/* The node has gone: purges that were not durable may be forgotten. */
void model_restart(void);

/* ---- the node --------------------------------------------------------------------------------------------------- */

struct node {
    struct loop *loops[WORKERS_MAX], *keeper_loops[DEVICES_MAX];
    struct store_near *nears[WORKERS_MAX];
    struct sim_thread threads[WORKERS_MAX + DEVICES_MAX];
    unsigned thread_count;
    struct purge_log *purges;
    struct disk *disk;
    struct storage *storage;
    uint64_t written_at_open[DEVICES_MAX];
    bool is_up, was_recovered, was_noted;
    uint64_t began_ns;
};
extern struct node node;

void node_disks_begin(void); /* of a seed */
struct sim_disk *node_disk(unsigned device);
void node_open(void);
uint64_t node_devices(bool fresh_too); /* in use now, a bit each */
bool node_is_recovered(void);
/* In order: everything comes to the disk. False: the disks stopped meanwhile. */
bool node_close(void);
/* The end of the process, or of the machine: memory goes, and with it whatever was under way. */
void node_crash(enum sim_crash kind);
void node_open_twice(void); /* I10 */
uint64_t node_digest(void); /* of the index */
void node_check_free(void); /* I9 */
void node_audit(void);      /* I3, I6, I12, at any time between two turns */
void node_note_kept(void);  /* what must be found after a restart */
void node_check_kept(void); /* I3 */
void node_forget_kept(void);
bool node_run(uint64_t for_ns, bool (*done)(void *arg));

/* ---- quotas ------------------------------------------------------------------------------------------------------ */

void quotas_set(void); /* of this node, drawn anew */
void quotas_audit(void);
void quotas_begin(void); /* nothing is stored yet */
void quotas_step(void);  /* after any turn of any thread */
void quotas_flood(void); /* when all work is over: one tenant fills RAM */

/* ---- harm ------------------------------------------------------------------------------------------------------- */

void harm_begin(void); /* of a seed */
void harm_before_open(bool has_harm);
void harm_after_open(void);
void harm_end(void);
bool harm_is_whole(unsigned device); /* nothing is wrong with it in this life */

/* ---- work ------------------------------------------------------------------------------------------------------- */

void work_begin(unsigned operations);
bool work_is_done(void);  /* all were begun */
bool work_is_over(void);  /* and have ended */
void work_stop(void);     /* begins no more */
void work_cancel(void);   /* what is under way is given up: no callback comes any more, nothing of the store is held but fills */
void work_end(void);      /* and fills; memory goes */

#endif
