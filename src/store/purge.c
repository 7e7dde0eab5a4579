#include "store/purge.h"

#include <pthread.h>
#include <stdlib.h>

#define TENANTS         65536u
#define TABLE_SLOTS_MIN 1024u
#define KEY_USED        (1ull << 63)
#define PINS_FIRST      64u

/* A slot is written by whoever holds the log's mutex, sequences first and key last, and read without. */
struct slot {
    _Atomic uint64_t key; /* KEY_USED | tenant << 32 | label; 0: empty */
    _Atomic uint64_t hard, soft;
};

/* Grows by replacement; those outgrown stay until the end, so that a reader needs no lock: they are together
 * no larger than the one in use. */
struct table {
    struct table *outgrown;
    uint32_t slots; /* power of two */
    struct slot slot[];
};

struct tenant_purges {
    _Atomic uint64_t latest;     /* of anything not retired; 0: nothing to look for */
    _Atomic uint64_t hard, soft; /* the epochs */
};

struct pin {
    uint64_t seq;
    uint32_t count;
};

/* Every lookup reads the first line; every fill writes the second one. */
struct purge_log {
    struct tenant_purges *tenants; /* TENANTS of them, zero pages until used */
    _Atomic(struct table *) table;
    _Atomic uint64_t version; /* odd while entries retire in place */
    _Atomic uint64_t seq;
    _Alignas(64) pthread_mutex_t mutex; /* writers */
    uint32_t used, labels_max;
    uint64_t overflows, retired;
    struct pin *pins;              /* ascending; a ring */
    uint32_t pin_first, pin_count, pin_slots;
    unsigned sweepers;
    uint64_t swept[PURGE_SWEEPERS_MAX], retired_seq;
    struct purge_history *history;
};

/* ---- the table --------------------------------------------------------------------------------------- */

static uint64_t slot_key(uint16_t tenant, uint32_t label)
{
    return KEY_USED | (uint64_t)tenant << 32 | label;
}

static uint32_t slot_home(const struct table *table, uint64_t key)
{
    return (uint32_t)((key * 0x9E3779B97F4A7C15ull) >> 32) & (table->slots - 1);
}

/* The slot with that key, or the empty one where it would be: a table is never full. */
static struct slot *table_find(struct table *table, uint64_t key)
{
    uint32_t i = slot_home(table, key);

    for (;; i = (i + 1) & (table->slots - 1)) {
        uint64_t found = atomic_load_explicit(&table->slot[i].key, memory_order_acquire);
        if (found == key || found == 0)
            return &table->slot[i];
    }
}

static struct table *table_new(uint32_t slots)
{
    struct table *table = calloc(1, sizeof(*table) + slots * sizeof(struct slot));

    if (table != NULL)
        table->slots = slots;
    return table;
}

static void table_put(struct table *table, uint64_t key, uint64_t hard, uint64_t soft)
{
    struct slot *slot = table_find(table, key);

    atomic_store_explicit(&slot->hard, hard, memory_order_release);
    atomic_store_explicit(&slot->soft, soft, memory_order_release);
    atomic_store_explicit(&slot->key, key, memory_order_release);
}

static bool table_grow(struct purge_log *log)
{
    struct table *old = atomic_load_explicit(&log->table, memory_order_relaxed),
                 *table = table_new(old->slots * 2);

    if (table == NULL)
        return false;
    for (uint32_t i = 0; i < old->slots; i++) {
        struct slot *slot = &old->slot[i];
        uint64_t key = atomic_load_explicit(&slot->key, memory_order_relaxed);
        if (key != 0)
            table_put(table, key, atomic_load_explicit(&slot->hard, memory_order_relaxed),
                      atomic_load_explicit(&slot->soft, memory_order_relaxed));
    }
    table->outgrown = old;
    atomic_store_explicit(&log->table, table, memory_order_release);
    return true;
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct purge_log *purge_log_new(unsigned labels_max)
{
    struct purge_log *log = aligned_alloc(64, sizeof(*log));

    if (log == NULL)
        return NULL;
    memset(log, 0, sizeof(*log));
    pthread_mutex_init(&log->mutex, NULL);
    log->labels_max = labels_max > 0 ? labels_max : PURGE_LABELS_MAX_DEFAULT;
    log->pin_slots = PINS_FIRST;
    log->pins = calloc(log->pin_slots, sizeof(*log->pins));
    log->tenants = calloc(TENANTS, sizeof(*log->tenants));
    atomic_init(&log->table, table_new(TABLE_SLOTS_MIN));
    atomic_init(&log->seq, 1);
    log->history = purge_history_new();
    if (log->pins == NULL || log->tenants == NULL || log->history == NULL || atomic_load(&log->table) == NULL)
        return purge_log_free(log);
    return log;
}

struct purge_log *purge_log_free(struct purge_log *log)
{
    if (log == NULL)
        return NULL;
    struct table *table = atomic_load(&log->table);
    while (table != NULL) {
        struct table *outgrown = table->outgrown;
        free(table);
        table = outgrown;
    }
    pthread_mutex_destroy(&log->mutex);
    purge_history_free(log->history);
    free(log->tenants);
    free(log->pins);
    free(log);
    return NULL;
}

uint64_t purge_log_seq(const struct purge_log *log)
{
    return atomic_load_explicit(&log->seq, memory_order_acquire);
}

/* ---- append ------------------------------------------------------------------------------------------ */

static uint64_t epoch_raise(struct purge_log *log, uint16_t tenant, uint64_t seq, bool soft)
{
    struct tenant_purges *purges = &log->tenants[tenant];
    uint64_t before = atomic_load_explicit(&purges->hard, memory_order_relaxed);

    atomic_store_explicit(soft ? &purges->soft : &purges->hard, seq, memory_order_release);
    return before;
}

/* Rare: every tenant's line is written. */
static uint64_t everybody_raise(struct purge_log *log, uint64_t seq, bool soft)
{
    for (unsigned i = 0; i < TENANTS; i++) {
        epoch_raise(log, (uint16_t)i, seq, soft);
        atomic_store_explicit(&log->tenants[i].latest, seq, memory_order_release);
    }
    return 0;
}

/* False: no room for another label. */
static bool label_raise(struct purge_log *log, uint64_t key, uint64_t seq, bool soft, uint64_t *ret_before)
{
    struct table *table = atomic_load_explicit(&log->table, memory_order_relaxed);
    struct slot *slot = table_find(table, key);

    if (atomic_load_explicit(&slot->key, memory_order_relaxed) == 0) {
        if (log->used >= log->labels_max)
            return false;
        if ((log->used + 1) * 2 > table->slots) {
            if (!table_grow(log))
                return false;
            slot = table_find(atomic_load_explicit(&log->table, memory_order_relaxed), key);
        }
        log->used++;
    }
    *ret_before = atomic_load_explicit(&slot->hard, memory_order_relaxed);
    atomic_store_explicit(soft ? &slot->soft : &slot->hard, seq, memory_order_release);
    atomic_store_explicit(&slot->key, key, memory_order_release);
    return true;
}

/* First what is purged, then the sequence: a fill that begins with the new one began after it. */
static uint64_t raise_all(struct purge_log *log, const struct purge_entry *entry, uint64_t seq)
{
    uint64_t before = 0;

    if (entry->kind == STORE_LABEL_TENANT && entry->tenant == STORE_TENANT_ALL) {
        before = everybody_raise(log, seq, entry->soft);
    } else if (entry->kind == STORE_LABEL_TENANT) {
        before = epoch_raise(log, entry->tenant, seq, entry->soft);
    } else if (!label_raise(log, slot_key(entry->tenant, entry->label), seq, entry->soft, &before)) {
        log->overflows++;
        before = epoch_raise(log, entry->tenant, seq, entry->soft);
    }
    atomic_store_explicit(&log->tenants[entry->tenant].latest, seq, memory_order_release);
    atomic_store_explicit(&log->seq, seq, memory_order_release);
    return before;
}

void purge_log_restore(struct purge_log *log, const struct purge_entry *entry)
{
    pthread_mutex_lock(&log->mutex);
    if (entry->seq > atomic_load_explicit(&log->seq, memory_order_relaxed)) { /* what is not comes from a damaged journal, and matches nothing */
        raise_all(log, entry, entry->seq);
        purge_history_restore(log->history, entry);
    }
    pthread_mutex_unlock(&log->mutex);
}

bool purge_log_recall(struct purge_log *log, const struct purge_record *records, unsigned count)
{
    pthread_mutex_lock(&log->mutex);
    while (count > 0 && records[count - 1].entry.seq > atomic_load_explicit(&log->seq, memory_order_relaxed))
        count--;
    bool is_done = purge_history_recall(log->history, records, count);
    pthread_mutex_unlock(&log->mutex);
    return is_done;
}

void purge_log_begin_at(struct purge_log *log, uint64_t seq)
{
    pthread_mutex_lock(&log->mutex);
    INVARIANT(seq >= atomic_load_explicit(&log->seq, memory_order_relaxed));
    atomic_store_explicit(&log->seq, seq, memory_order_release);
    pthread_mutex_unlock(&log->mutex);
}

uint64_t purge_log_append(struct purge_log *log, const struct purge_entry *entry, const struct purge_note *note,
                          uint64_t *ret_before)
{
    struct purge_entry kept = *entry;

    pthread_mutex_lock(&log->mutex);
    kept.seq = atomic_load_explicit(&log->seq, memory_order_relaxed) + 1;
    uint64_t before = raise_all(log, &kept, kept.seq);
    purge_history_add(log->history, &kept, note);
    pthread_mutex_unlock(&log->mutex);
    if (ret_before != NULL)
        *ret_before = before;
    return kept.seq;
}

void purge_log_counted(struct purge_log *log, uint64_t seq, uint64_t matched, bool is_exact)
{
    pthread_mutex_lock(&log->mutex);
    purge_history_counted(log->history, seq, matched, is_exact);
    pthread_mutex_unlock(&log->mutex);
}

void purge_log_settled(struct purge_log *log, uint64_t seq, bool is_durable)
{
    pthread_mutex_lock(&log->mutex);
    purge_history_settled(log->history, seq, is_durable);
    pthread_mutex_unlock(&log->mutex);
}

/* ---- check ------------------------------------------------------------------------------------------- */

struct question {
    uint64_t seq;
    uint16_t tenant;
    const struct store_label *labels;
    unsigned label_count;
    const struct store_label *except;
};

static enum purge_verdict labels_check(const struct purge_log *log, const struct question *q)
{
    struct table *table = atomic_load_explicit(&log->table, memory_order_acquire);
    enum purge_verdict verdict = PURGE_NONE;

    for (unsigned i = 0; i < q->label_count; i++) {
        if (q->except != NULL && q->except->hash == q->labels[i].hash)
            continue;
        struct slot *slot = table_find(table, slot_key(q->tenant, q->labels[i].hash));
        if (atomic_load_explicit(&slot->key, memory_order_acquire) == 0)
            continue;
        if (atomic_load_explicit(&slot->hard, memory_order_acquire) > q->seq)
            return PURGE_HARD;
        if (atomic_load_explicit(&slot->soft, memory_order_acquire) > q->seq)
            verdict = PURGE_SOFT;
    }
    return verdict;
}

/* Entries retire in place under an odd version: who meets one waits for the mutex. All loads above acquire,
 * so none of them moves behind the second look at the version. */
static enum purge_verdict labels_check_stable(const struct purge_log *log, const struct question *q)
{
    uint64_t version = atomic_load_explicit(&log->version, memory_order_acquire);
    pthread_mutex_t *mutex =
        (pthread_mutex_t *)(uintptr_t)&log->mutex; /* the log is not changed by looking */
    enum purge_verdict verdict;

    if ((version & 1) == 0) {
        verdict = labels_check(log, q);
        if (atomic_load_explicit(&log->version, memory_order_relaxed) == version)
            return verdict;
    }
    pthread_mutex_lock(mutex);
    verdict = labels_check(log, q);
    pthread_mutex_unlock(mutex);
    return verdict;
}

static enum purge_verdict check(const struct purge_log *log, const struct question *q)
{
    const struct tenant_purges *purges = &log->tenants[q->tenant];

    if (LIKELY(atomic_load_explicit(&purges->latest, memory_order_acquire) <= q->seq))
        return PURGE_NONE;
    if (atomic_load_explicit(&purges->hard, memory_order_acquire) > q->seq)
        return PURGE_HARD;
    enum purge_verdict verdict = labels_check_stable(log, q);
    if (verdict == PURGE_NONE && atomic_load_explicit(&purges->soft, memory_order_acquire) > q->seq)
        return PURGE_SOFT;
    return verdict;
}

enum purge_verdict purge_log_check(const struct purge_log *log, uint64_t seq, uint16_t tenant,
                                   const struct store_label *labels, unsigned label_count)
{
    return check(log, &(struct question){seq, tenant, labels, label_count, NULL});
}

enum purge_verdict purge_log_check_except(const struct purge_log *log, uint64_t seq, uint16_t tenant,
                                          const struct store_label *labels, unsigned label_count,
                                          struct store_label except)
{
    return check(log, &(struct question){seq, tenant, labels, label_count, &except});
}

uint64_t purge_log_latest(const struct purge_log *log, uint16_t tenant)
{
    return atomic_load_explicit(&log->tenants[tenant].latest, memory_order_acquire);
}

bool purge_log_is_active(const struct purge_log *log, uint16_t tenant)
{
    return purge_log_latest(log, tenant) != 0;
}

/* ---- pins -------------------------------------------------------------------------------------------- */

static struct pin *pin_at(struct purge_log *log, uint32_t i)
{
    return &log->pins[(log->pin_first + i) % log->pin_slots];
}

static bool pins_grow(struct purge_log *log)
{
    struct pin *pins = calloc(log->pin_slots * 2, sizeof(*pins));

    if (pins == NULL)
        return false;
    for (uint32_t i = 0; i < log->pin_count; i++)
        pins[i] = *pin_at(log, i);
    free(log->pins);
    log->pins = pins;
    log->pin_slots *= 2;
    log->pin_first = 0;
    return true;
}

/* Without memory for another entry the fill shares the last one: to be taken for older than it is costs at
 * most a miss. */
uint64_t purge_log_pin(struct purge_log *log)
{
    pthread_mutex_lock(&log->mutex);
    uint64_t seq = atomic_load_explicit(&log->seq, memory_order_relaxed);
    struct pin *last = log->pin_count > 0 ? pin_at(log, log->pin_count - 1) : NULL;
    if (last == NULL || (last->seq != seq && (log->pin_count < log->pin_slots || pins_grow(log)))) {
        last = pin_at(log, log->pin_count++);
        *last = (struct pin){seq, 0};
    }
    last->count++;
    seq = last->seq;
    pthread_mutex_unlock(&log->mutex);
    return seq;
}

void purge_log_unpin(struct purge_log *log, uint64_t seq)
{
    uint32_t low = 0, high;

    pthread_mutex_lock(&log->mutex);
    for (high = log->pin_count; low < high;) {
        uint32_t middle = (low + high) / 2;
        if (pin_at(log, middle)->seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    INVARIANT(low < log->pin_count && pin_at(log, low)->seq == seq);
    INVARIANT(pin_at(log, low)->count > 0);
    pin_at(log, low)->count--;
    while (log->pin_count > 0 && pin_at(log, 0)->count == 0) {
        log->pin_first = (log->pin_first + 1) % log->pin_slots;
        log->pin_count--;
    }
    pthread_mutex_unlock(&log->mutex);
}

/* ---- retiring ---------------------------------------------------------------------------------------- */

uint64_t purge_log_sweep_begin(struct purge_log *log)
{
    pthread_mutex_lock(&log->mutex);
    uint64_t up_to = atomic_load_explicit(&log->seq, memory_order_relaxed);
    if (log->pin_count > 0)
        up_to = MIN(up_to, pin_at(log, 0)->seq);
    pthread_mutex_unlock(&log->mutex);
    return up_to;
}

struct survivor {
    uint64_t key, hard, soft;
};

/* What of the table is newer. */
static uint32_t table_survivors(struct table *table, uint64_t up_to, struct survivor *ret)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < table->slots; i++) {
        struct slot *slot = &table->slot[i];
        struct survivor s = {atomic_load_explicit(&slot->key, memory_order_relaxed),
                             atomic_load_explicit(&slot->hard, memory_order_relaxed),
                             atomic_load_explicit(&slot->soft, memory_order_relaxed)};
        if (s.key != 0 && MAX(s.hard, s.soft) > up_to)
            ret[count++] = s;
    }
    return count;
}

static void table_rebuild(struct purge_log *log, struct table *table, const struct survivor *survivors,
                          uint32_t count)
{
    uint64_t version = atomic_load_explicit(&log->version, memory_order_relaxed);

    atomic_store_explicit(&log->version, version + 1, memory_order_release);
    for (uint32_t i = 0; i < table->slots; i++) {
        atomic_store_explicit(&table->slot[i].key, 0, memory_order_release);
        atomic_store_explicit(&table->slot[i].hard, 0, memory_order_release);
        atomic_store_explicit(&table->slot[i].soft, 0, memory_order_release);
    }
    for (uint32_t i = 0; i < count; i++)
        table_put(table, survivors[i].key, survivors[i].hard, survivors[i].soft);
    atomic_store_explicit(&log->version, version + 2, memory_order_release);
}

/* A tenant's latest may fall only when nothing of it is left; it goes to 0 then. A tenant's own newest label
 * is its latest, unless the epoch is, so it is enough to look at the latest itself. */
static void tenants_retire(struct purge_log *log, uint64_t up_to)
{
    for (unsigned i = 0; i < TENANTS; i++) {
        struct tenant_purges *purges = &log->tenants[i];
        uint64_t latest = atomic_load_explicit(&purges->latest, memory_order_relaxed);
        if (latest == 0)
            continue;
        if (latest <= up_to)
            atomic_store_explicit(&purges->latest, 0, memory_order_release);
        if (atomic_load_explicit(&purges->hard, memory_order_relaxed) <= up_to)
            atomic_store_explicit(&purges->hard, 0, memory_order_release);
        if (atomic_load_explicit(&purges->soft, memory_order_relaxed) <= up_to)
            atomic_store_explicit(&purges->soft, 0, memory_order_release);
    }
}

unsigned purge_log_sweeper_new(struct purge_log *log)
{
    pthread_mutex_lock(&log->mutex);
    unsigned sweeper = log->sweepers++;
    INVARIANT(sweeper < PURGE_SWEEPERS_MAX);
    pthread_mutex_unlock(&log->mutex);
    return sweeper;
}

/* Under the mutex. */
static void retire(struct purge_log *log, uint64_t up_to_seq)
{
    struct table *table = atomic_load_explicit(&log->table, memory_order_relaxed);
    struct survivor *survivors = malloc((log->used + 1) * sizeof(*survivors));
    if (survivors != NULL) {
        uint32_t count = table_survivors(table, up_to_seq, survivors);
        if (count < log->used) {
            table_rebuild(log, table, survivors, count);
            log->retired += log->used - count;
            log->used = count;
        }
        tenants_retire(log, up_to_seq);
        free(survivors);
    }
}

void purge_log_swept(struct purge_log *log, unsigned sweeper, uint64_t up_to_seq)
{
    uint64_t up_to = UINT64_MAX;

    pthread_mutex_lock(&log->mutex);
    INVARIANT(sweeper < log->sweepers && up_to_seq >= log->swept[sweeper]);
    log->swept[sweeper] = up_to_seq;
    for (unsigned i = 0; i < log->sweepers; i++)
        up_to = MIN(up_to, log->swept[i]);
    /* a sweeper that has gone has no say about what came after it */
    up_to = MIN(up_to, atomic_load_explicit(&log->seq, memory_order_relaxed));
    if (up_to > log->retired_seq) {
        retire(log, up_to);
        log->retired_seq = up_to;
    }
    pthread_mutex_unlock(&log->mutex);
}

/* ---- the history -------------------------------------------------------------------------------------- */

unsigned purge_log_above(struct purge_log *log, uint64_t since, struct purge_record *ret_records, unsigned max)
{
    pthread_mutex_lock(&log->mutex);
    unsigned count = purge_history_above(log->history, since, ret_records, max);
    pthread_mutex_unlock(&log->mutex);
    return count;
}

unsigned purge_log_below(struct purge_log *log, uint64_t before, struct purge_record *ret_records, unsigned max)
{
    pthread_mutex_lock(&log->mutex);
    unsigned count = purge_history_below(log->history, before, ret_records, max);
    pthread_mutex_unlock(&log->mutex);
    return count;
}

uint64_t purge_log_oldest(struct purge_log *log)
{
    pthread_mutex_lock(&log->mutex);
    uint64_t seq = purge_history_oldest(log->history);
    pthread_mutex_unlock(&log->mutex);
    return seq;
}

void purge_log_stats(struct purge_log *log, struct purge_log_stats *ret_stats)
{
    pthread_mutex_lock(&log->mutex);
    uint64_t bytes = sizeof(*log) + log->pin_slots * sizeof(struct pin) + purge_history_bytes(log->history);
    for (struct table *t = atomic_load_explicit(&log->table, memory_order_relaxed); t != NULL;
         t = t->outgrown)
        bytes += sizeof(*t) + t->slots * sizeof(struct slot);
    *ret_stats = (struct purge_log_stats){
        .labels = log->used, .overflows = log->overflows, .retired = log->retired, .bytes = bytes};
    for (uint32_t i = 0; i < log->pin_count; i++)
        ret_stats->pins += pin_at(log, i)->count;
    pthread_mutex_unlock(&log->mutex);
}
