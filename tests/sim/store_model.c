/* What the origin sent, and what was purged: bytes are functions of numbers, so that nothing need be kept to know them. */
#include "tests/sim/store_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_MAGIC 0x3154454du
#define CANDIDATES 16384u
#define TWINS_MAX  4u

struct model_key model_keys[KEYS_MAX];
unsigned model_key_count;

static struct made *made;
static uint32_t made_count, made_room;
static struct purged *purges;
static uint32_t purge_count, purge_room;
static bool has_twins;

struct meta_head {
    uint32_t magic, number, bytes, key;
};

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static void stream(uint64_t key, uint64_t from, char *into, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint64_t at = from + i, word = (key + at / 8) * 0x9e3779b97f4a7c15u;
        size_t n = MIN(8 - at % 8, size - i);
        word ^= word >> 29;
        memcpy(into + i, (const char *)&word + at % 8, n);
        i += n;
    }
}

void model_body(uint32_t number, uint64_t from, char *into, size_t size)
{
    stream(mix(made[number].body + 1), from, into, size);
}

slice model_meta(uint32_t number, char *memory)
{
    struct meta_head head = {META_MAGIC, number, made[number].meta_bytes, made[number].key};

    memcpy(memory, &head, sizeof(head));
    stream(mix(number + (UINT64_C(1) << 40)), 0, memory + sizeof(head), head.bytes - sizeof(head));
    return slice_of(memory, head.bytes);
}

uint32_t model_number_of(slice meta)
{
    struct meta_head head;

    if (meta.len < sizeof(head))
        return MADE_NONE;
    memcpy(&head, meta.data, sizeof(head));
    return head.magic == META_MAGIC && head.number < made_count ? head.number : MADE_NONE;
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

slice model_key_of(uint32_t key)
{
    return slice_of(model_keys[key].full, model_keys[key].full_bytes);
}

static void key_name(struct model_key *key, uint32_t number, const char *text)
{
    size_t padding = chance(3) ? between(1000, 30000) : between(0, 150);

    free(key->full);
    key->full = malloc(padding + 100);
    INVARIANT(key->full != NULL);
    key->full_bytes = (uint32_t)snprintf(key->full, 100, "%u %u.%s/", key->tenant, number, text);
    stream(number, 0, key->full + key->full_bytes, padding);
    key->full_bytes += (uint32_t)padding;
}

void model_begin(void)
{
    model_key_count = (unsigned)between(60, KEYS_MAX);
    made_count = purge_count = 0;
    has_twins = false;
    for (uint32_t i = 0; i < model_key_count; i++) {
        struct model_key *key = &model_keys[i];
        uint32_t url = i % 4 == 3 ? i - 1 : i;
        unsigned kind = (unsigned)sim_random(100);
        *key = (struct model_key){.tenant = (uint16_t)(1 + url % TENANTS),
                                  .host = (uint8_t)(url / TENANTS % HOSTS),
                                  .prefix = (uint8_t)(url / TENANTS / HOSTS % PREFIXES),
                                  .kind = kind < 88 ? STORE_ANSWER : kind < 95 ? STORE_VARY : STORE_SLICE,
                                  .url = url,
                                  .now = MADE_NONE,
                                  .kept = MADE_NONE};
        key_name(key, i, "k");
    }
}

void model_end(void)
{
    for (uint32_t i = 0; i < model_key_count; i++) {
        free(model_keys[i].full);
        model_keys[i].full = NULL;
    }
    free(made);
    free(purges);
    made = NULL;
    purges = NULL;
    made_room = purge_room = 0;
}

/* What the index knows of a key: the tag, and the group of its first buckets. */
struct candidate {
    uint64_t index_sees;
    uint32_t number;
};

static uint64_t index_sees(const struct storage *storage, slice full)
{
    uint64_t hash = disk_hash(storage_key(storage, full).hash);

    return hash >> 45 << 9 | (hash & 511);
}

static int candidate_order(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;

    if (x->index_sees != y->index_sees)
        return x->index_sees < y->index_sees ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Names that the index cannot tell apart: some keys get them. */
static void twins_name(const struct storage *storage)
{
    struct candidate *all = calloc(CANDIDATES, sizeof(*all));
    unsigned named = 0;
    char text[100];

    INVARIANT(all != NULL);
    for (uint32_t i = 0; i < CANDIDATES; i++) {
        int bytes = snprintf(text, sizeof(text), "twin %u", i);
        all[i] = (struct candidate){index_sees(storage, slice_of(text, (size_t)bytes)), i};
    }
    qsort(all, CANDIDATES, sizeof(*all), candidate_order);
    for (uint32_t i = 0; i + 1 < CANDIDATES && named < 2 * TWINS_MAX; i++) {
        if (all[i].index_sees != all[i + 1].index_sees)
            continue;
        for (unsigned k = 0; k < 2; k++, named++) {
            struct model_key *key = &model_keys[named];
            key->full_bytes = (uint32_t)snprintf(key->full, 100, "twin %u", all[i + k].number);
        }
        i++;
    }
    free(all);
}

bool model_has_twins(void)
{
    for (uint32_t i = 0; i < model_key_count; i++)
        if (model_keys[i].is_twin)
            return true;
    return false;
}

void model_keys_hash(const struct storage *storage)
{
    struct candidate all[KEYS_MAX];

    if (!has_twins && chance(50))
        twins_name(storage);
    has_twins = true;
    for (uint32_t i = 0; i < model_key_count; i++) {
        model_keys[i].is_twin = false;
        all[i] = (struct candidate){index_sees(storage, model_key_of(i)) >> 9, i};
    }
    qsort(all, model_key_count, sizeof(all[0]), candidate_order);
    for (uint32_t i = 0; i + 1 < model_key_count; i++)
        if (all[i].index_sees == all[i + 1].index_sees)
            model_keys[all[i].number].is_twin = model_keys[all[i + 1].number].is_twin = true;
}

/* ---- what was sent ---------------------------------------------------------------------------------------------- */

static uint32_t draw_length(void)
{
    unsigned kind = (unsigned)sim_random(100);

    if (kind < 5)
        return 0;
    if (kind < 45)
        return (uint32_t)between(1, 4200);
    if (kind < 82)
        return (uint32_t)between(4097, 40000);
    return (uint32_t)(kind < 97 ? between(40000, 260000) : between(200000, STORE_SLICE_BYTES));
}

uint32_t model_make(uint32_t key, uint32_t before)
{
    uint32_t number = made_count++;

    if (number >= made_room) {
        made_room = MAX(2 * made_room, 1024u);
        made = realloc(made, made_room * sizeof(*made));
        INVARIANT(made != NULL);
    }
    made[number] = (struct made){.key = key,
                                 .body = before != MADE_NONE ? made[before].body : number,
                                 .before = before,
                                 .started = ++run.event,
                                 .length = before != MADE_NONE ? made[before].length : draw_length(),
                                 .meta_bytes = (uint32_t)(sizeof(struct meta_head) + (chance(90) ? between(0, 400) : between(0, META_MAX - 100))),
                                 .tags = (uint32_t)(chance(50) ? 0 : sim_random(1u << TAGS))};
    if (model_keys[key].kind == STORE_VARY)
        made[number].length = 0;
    return number;
}

const struct made *model_made(uint32_t number)
{
    return &made[number];
}

void model_published(uint32_t number)
{
    struct model_key *key = &model_keys[made[number].key];

    made[number].published = ++run.event;
    key->now = number;
    key->kept = MADE_NONE; /* what was there is replaced */
    key->least = made[number].published;
}

void model_dropped(uint32_t key, uint32_t number)
{
    uint64_t event = number != MADE_NONE ? made[number].published + 1 : ++run.event;

    model_keys[key].kept = MADE_NONE;
    model_keys[key].least = MAX(model_keys[key].least, event);
}

static void label_text(char *text, enum store_label_kind kind, uint32_t what)
{
    snprintf(text, 32, "%u.%u", (unsigned)kind, what);
}

static struct store_label label_of(uint16_t tenant, enum store_label_kind kind, uint32_t what)
{
    char text[32];

    label_text(text, kind, what);
    return store_label_of(tenant, kind, slice_str(text));
}

static uint32_t prefix_of(const struct model_key *key)
{
    return key->host * PREFIXES + key->prefix;
}

unsigned model_labels(uint32_t number, struct store_label *ret_labels)
{
    const struct model_key *key = &model_keys[made[number].key];
    unsigned count = 0;

    ret_labels[count++] = label_of(key->tenant, STORE_LABEL_URL, key->url);
    ret_labels[count++] = label_of(key->tenant, STORE_LABEL_HOST, key->host);
    ret_labels[count++] = label_of(key->tenant, STORE_LABEL_PREFIX, prefix_of(key));
    for (uint32_t i = 0; i < TAGS; i++)
        if (made[number].tags >> i & 1)
            ret_labels[count++] = label_of(key->tenant, STORE_LABEL_TAG, i);
    return count;
}

/* ---- purges ----------------------------------------------------------------------------------------------------- */

static const char *const kind_words[] = {"tenant", "URL", "host", "prefix", "tag", "group"};

uint32_t model_purge(struct store_purge *purge, uint32_t of)
{
    static const enum store_label_kind kinds[] = {STORE_LABEL_URL, STORE_LABEL_URL, STORE_LABEL_URL, STORE_LABEL_URL, STORE_LABEL_URL,
                                                  STORE_LABEL_TAG, STORE_LABEL_TAG, STORE_LABEL_HOST, STORE_LABEL_PREFIX, STORE_LABEL_TENANT};
    const struct model_key *key = &model_keys[of != MADE_NONE ? of : sim_random(model_key_count)];
    struct purged purged = {.event = ++run.event, .tenant = key->tenant, .soft = chance(30)};
    uint32_t number = purge_count++;

    purged.kind = of != MADE_NONE ? (uint8_t)STORE_LABEL_URL : (uint8_t)kinds[sim_random(chance(90) ? ARRAY_LEN(kinds) - 1 : ARRAY_LEN(kinds))];
    switch ((enum store_label_kind)purged.kind) {
    case STORE_LABEL_URL:
        purged.what = key->url;
        break;
    case STORE_LABEL_HOST:
        purged.what = key->host;
        break;
    case STORE_LABEL_PREFIX:
        purged.what = prefix_of(key);
        break;
    case STORE_LABEL_TAG:
        purged.what = (uint32_t)sim_random(TAGS);
        break;
    case STORE_LABEL_TENANT:
    case STORE_LABEL_GROUP:
        break;
    }
    if (number >= purge_room) {
        purge_room = MAX(2 * purge_room, 256u);
        purges = realloc(purges, purge_room * sizeof(*purges));
        INVARIANT(purges != NULL);
    }
    purges[number] = purged;
    purge->tenant = purged.tenant;
    purge->kind = (enum store_label_kind)purged.kind;
    purge->soft = purged.soft;
    if (purged.kind != STORE_LABEL_TENANT)
        purge->label = label_of(purged.tenant, (enum store_label_kind)purged.kind, purged.what);
    run_trace("purge %u: %s %u of tenant %u, %s", number, kind_words[purged.kind], purged.what, purged.tenant, purged.soft ? "soft" : "hard");
    return number;
}

uint32_t model_purge_url(uint32_t number)
{
    return purges[number].what;
}

void model_purge_answered(uint32_t number, bool is_durable)
{
    counts.durable_purges += is_durable;
    counts.not_durable += !is_durable;
    run_trace("purge %u is %sdurable", number, is_durable ? "" : "not ");
    purges[number].durability = is_durable ? PURGE_DURABLE : PURGE_ASKED;
    purges[number].devices = node_devices(true);
}

void model_opened(uint64_t known, uint64_t open)
{
    for (uint32_t i = 0; i < purge_count; i++) {
        if ((purges[i].devices & known) == 0)
            purges[i].durability = PURGE_LOST;
        else
            purges[i].devices |= open;
    }
}

void model_restart(void)
{
    for (uint32_t i = 0; i < purge_count; i++)
        if (purges[i].durability != PURGE_DURABLE)
            purges[i].durability = PURGE_LOST;
    for (uint32_t i = 0; i < model_key_count; i++)
        model_keys[i].least = 0;
}

static bool purge_hits(const struct purged *purge, const struct made *m)
{
    const struct model_key *key = &model_keys[m->key];

    if (purge->tenant != key->tenant || purge->event < m->started)
        return false;
    switch ((enum store_label_kind)purge->kind) {
    case STORE_LABEL_TENANT:
        return true;
    case STORE_LABEL_URL:
        return purge->what == key->url;
    case STORE_LABEL_HOST:
        return purge->what == key->host;
    case STORE_LABEL_PREFIX:
        return purge->what == prefix_of(key);
    case STORE_LABEL_TAG:
        return m->tags >> purge->what & 1;
    case STORE_LABEL_GROUP:
        break;
    }
    return false;
}

/* The purge that hit it; what renewed its metadata was stored before that, or the one before was purged too. */
static const struct purged *hard_purge_of(uint32_t number)
{
    uint64_t until = UINT64_MAX;

    for (; number != MADE_NONE; until = made[number].published, number = made[number].before)
        for (uint32_t i = 0; i < purge_count; i++)
            if (!purges[i].soft && purges[i].durability != PURGE_LOST && purges[i].event < until && purge_hits(&purges[i], &made[number]))
                return &purges[i];
    return NULL;
}

bool model_was_ever_purged(uint32_t number)
{
    for (; number != MADE_NONE; number = made[number].before)
        for (uint32_t i = 0; i < purge_count; i++)
            if (!purges[i].soft && purge_hits(&purges[i], &made[number]))
                return true;
    return false;
}

bool model_is_purged(uint32_t number)
{
    return hard_purge_of(number) != NULL;
}

/* must: a soft purge that counts hit it; may: or one that may have been forgotten. */
static void soft_purges_of(uint32_t number, bool *ret_must, bool *ret_may)
{
    *ret_must = *ret_may = false;
    for (uint32_t i = 0; i < purge_count; i++) {
        if (!purges[i].soft || !purge_hits(&purges[i], &made[number]))
            continue;
        *ret_may = true;
        *ret_must |= purges[i].durability != PURGE_LOST;
    }
}

/* ---- what is handed out ------------------------------------------------------------------------------------------ */

static void check_labels(uint32_t number, const struct store_object *object)
{
    struct store_label labels[16];
    unsigned count = model_labels(number, labels);

    if (object->label_count != count || memcmp(store_object_labels(object), labels, count * sizeof(*labels)) != 0)
        run_failed("I1: object %u has other labels than it was stored with", number);
}

static uint64_t check_bytes(uint32_t number, uint64_t at, slice bytes)
{
    char right[4096];

    for (size_t i = 0; i < bytes.len; i += MIN(sizeof(right), bytes.len - i)) {
        size_t n = MIN(sizeof(right), bytes.len - i);
        model_body(number, at + i, right, n);
        if (memcmp(right, bytes.data + i, n) != 0)
            run_failed("I1: object %u has other bytes than were sent, between %llu and %llu", number, (unsigned long long)(at + i),
                       (unsigned long long)(at + i + n));
    }
    return at + bytes.len;
}

static void check_body(uint32_t number, struct store_object *object, struct loop *loop)
{
    struct hit_handler hit;
    enum source_state state;
    slice slices[8];
    unsigned count;
    uint64_t at = 0;

    if (object->body == NULL)
        return;
    bool is_complete = store_object_is_complete(object);
    hit_handler_open(&hit, store_object_ref(object), loop);
    while ((state = source_peek(&hit.source, slices, ARRAY_LEN(slices), &count)) == SOURCE_READY) {
        uint64_t before = at;
        for (unsigned i = 0; i < count; i++)
            at = check_bytes(number, at, slices[i]);
        source_consume(&hit.source, at - before);
    }
    hit_handler_close(&hit, NULL);
    if (state == SOURCE_END && at != made[number].length)
        run_failed("I1: object %u ends after %llu of %u bytes", number, (unsigned long long)at, made[number].length);
    if (is_complete && state != SOURCE_END)
        run_failed("I1: object %u is complete and cannot be read to its end", number);
    run_note(at);
}

static void check_purges(uint32_t number, enum store_found found)
{
    const struct purged *purge = hard_purge_of(number);
    bool must, may;

    if (purge != NULL)
        run_failed("I2: object %u is served, and was purged (purge %u, %s)", number, (unsigned)(purge - purges),
                   purge->durability == PURGE_DURABLE ? "durable" : "not durable, in this life");
    soft_purges_of(number, &must, &may);
    /* markers and slices are what the answer they belong to is */
    if (must && found != STORE_HIT_SOFT && model_keys[made[number].key].kind == STORE_ANSWER)
        run_failed("I2: object %u is served as fresh, and was softly purged", number);
    if (!may && found == STORE_HIT_SOFT)
        run_failed("object %u is served as softly purged, and never was", number);
}

void model_check(const struct store_lookup *lookup, uint32_t key, struct loop *loop)
{
    struct store_object *object = lookup->object;
    uint32_t number = model_number_of(object->meta);
    char memory[META_MAX];

    if (number == MADE_NONE || !slice_eq(model_meta(number, memory), object->meta))
        run_failed("I1: an object of key %u has metadata that was never stored", key);
    if (made[number].key != key || !slice_eq(store_object_key(object), model_key_of(key)) || object->kind != model_keys[key].kind ||
        object->tenant != model_keys[key].tenant)
        run_failed("I1: object %u of key %u is served for key %u", number, made[number].key, key);
    check_labels(number, object);
    check_purges(number, lookup->found);
    if (made[number].published < model_keys[key].least)
        run_failed("object %u of key %u is served, and was replaced or dropped before", number, key);
    check_body(number, object, loop);
    run_note(number);
}
