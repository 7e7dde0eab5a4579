#include "tenant/registry.h"

#include "base/hash.h"
#include "tenant/tenant.h"

#include <stdio.h>
#include <stdlib.h>

#define HEAD       "warp tenants 1\n"
#define LINE_BYTES 160u

struct entry {
    char name[CONF_NAME_MAX + 1]; /* "": the id is free, or leaving */
    struct tenant_record record;
    bool is_leaving;
};

struct tenant_registry {
    struct entry *entries; /* by id */
    uint32_t *by_name;     /* open addressing: ids; 0: free */
    uint32_t mask;
    uint16_t last_id; /* given out */
    bool is_changed;
};

static uint32_t *slot_of(const struct tenant_registry *registry, slice name)
{
    uint32_t at = (uint32_t)hash64(name, 0) & registry->mask;

    while (registry->by_name[at] != 0 && !slice_eq(slice_str(registry->entries[registry->by_name[at]].name), name))
        at = (at + 1) & registry->mask;
    return &registry->by_name[at];
}

static void entry_set(struct tenant_registry *registry, slice name, const struct tenant_record *record)
{
    struct entry *entry = &registry->entries[record->id];

    memcpy(entry->name, name.data, name.len);
    entry->name[name.len] = '\0';
    entry->record = *record;
    *slot_of(registry, name) = record->id;
}

/* ---- the file: a line each -------------------------------------------------------------------------------------------
 *
 *   ID GENERATION KEY-RULES NAME    a tenant's
 *   leaving ID GENERATION           nobody's; something may be stored for it
 *   left ID GENERATION              free; a tenant had it, with that generation
 *   last ID                         given out */

/* false: it is none of these. */
static bool line_take_other(struct tenant_registry *registry, const char *text, int len)
{
    unsigned id = 0, generation = 0;
    int end = 0;
    bool is_leaving = sscanf(text, "leaving %5u %10u%n", &id, &generation, &end) == 2 && end == len;

    if (!is_leaving && !(sscanf(text, "left %5u %10u%n", &id, &generation, &end) == 2 && end == len)) {
        if (sscanf(text, "last %5u%n", &id, &end) != 1 || end != len || id == 0 || id > TENANT_IDS_MAX)
            return false;
        registry->last_id = (uint16_t)id;
        return true;
    }
    if (id == 0 || id > TENANT_IDS_MAX || registry->entries[id].name[0] != '\0')
        return false;
    registry->entries[id].record = (struct tenant_record){.id = (uint16_t)id, .generation = generation};
    registry->entries[id].is_leaving = is_leaving;
    return true;
}

static bool line_take(struct tenant_registry *registry, slice line)
{
    char text[LINE_BYTES], name[CONF_NAME_MAX + 1];
    unsigned id, generation;
    unsigned long long key_rules;
    int end = 0;

    if (line.len >= sizeof(text) || slice_find(line, '\0') >= 0)
        return false;
    memcpy(text, line.data, line.len);
    text[line.len] = '\0';
    if (line_take_other(registry, text, (int)line.len))
        return true;
    if (sscanf(text, "%5u %10u %16llx %64s%n", &id, &generation, &key_rules, name, &end) != 4 || (size_t)end != line.len ||
        id == 0 || id > TENANT_IDS_MAX || registry->entries[id].name[0] != '\0' || *slot_of(registry, slice_str(name)) != 0)
        return false;
    entry_set(registry, slice_str(name),
              &(struct tenant_record){.id = (uint16_t)id, .generation = generation, .key_rules = key_rules});
    return true;
}

static unsigned text_take(struct tenant_registry *registry, slice text)
{
    unsigned bad = 0;

    if (text.len > 0 && !slice_starts(text, SLICE(HEAD)))
        return 1;
    for (text = slice_from(text, MIN(text.len, sizeof(HEAD) - 1)); text.len > 0;) {
        ptrdiff_t end = slice_find(text, '\n');
        slice line = end >= 0 ? slice_of(text.data, (size_t)end) : text;
        bad += !line_take(registry, line);
        text = slice_from(text, end >= 0 ? (size_t)end + 1 : text.len);
    }
    return bad;
}

err tenant_registry_new(slice text, unsigned *ret_bad_lines, struct tenant_registry **ret_registry)
{
    struct tenant_registry *registry = calloc(1, sizeof(*registry));

    ENSURE(registry != NULL, MEMORY);
    registry->mask = 2 * (TENANT_IDS_MAX + 1) - 1;
    registry->last_id = TENANT_DEFAULT;
    registry->entries = calloc(TENANT_IDS_MAX + 1, sizeof(*registry->entries));
    registry->by_name = calloc(registry->mask + 1, sizeof(*registry->by_name));
    if (registry->entries == NULL || registry->by_name == NULL) {
        tenant_registry_free(registry);
        return ERR(MEMORY);
    }
    *ret_bad_lines = text_take(registry, text);
    *ret_registry = registry;
    return ERR_OK;
}

struct tenant_registry *tenant_registry_free(struct tenant_registry *registry)
{
    if (registry == NULL)
        return NULL;
    free(registry->entries);
    free(registry->by_name);
    free(registry);
    return NULL;
}

err tenant_registry_write(struct tenant_registry *registry, char **ret_text, size_t *ret_len)
{
    FILE *out = open_memstream(ret_text, ret_len);

    ENSURE(out != NULL, MEMORY);
    fputs(HEAD, out);
    for (unsigned id = 1; id <= TENANT_IDS_MAX; id++) {
        const struct entry *entry = &registry->entries[id];
        if (entry->name[0] != '\0')
            fprintf(out, "%u %u %llx %s\n", id, entry->record.generation, (unsigned long long)entry->record.key_rules, entry->name);
        else if (entry->is_leaving || entry->record.generation > 0)
            fprintf(out, "%s %u %u\n", entry->is_leaving ? "leaving" : "left", id, entry->record.generation);
    }
    if (registry->last_id != TENANT_DEFAULT)
        fprintf(out, "last %u\n", (unsigned)registry->last_id);
    if (fclose(out) != 0) {
        free(*ret_text);
        return ERR(MEMORY);
    }
    registry->is_changed = false;
    return ERR_OK;
}

/* ---- records -------------------------------------------------------------------------------------------------------- */

/* The next one after the last: an id that was given back rests for as long as there are others. 0: none is free. */
static uint16_t id_free(struct tenant_registry *registry)
{
    for (unsigned tries = 0; tries < TENANT_IDS_MAX; tries++) {
        registry->last_id = (uint16_t)(registry->last_id == TENANT_IDS_MAX ? TENANT_DEFAULT + 1u : registry->last_id + 1u);
        if (registry->entries[registry->last_id].name[0] == '\0' && !registry->entries[registry->last_id].is_leaving)
            return registry->last_id;
    }
    return 0;
}

/* The tenant that is there without any, and says nothing of keys: the same in every process, written down or not. */
static bool is_plain_default(slice name, uint64_t key_rules)
{
    return slice_eq(name, SLICE(TENANT_DEFAULT_NAME)) && key_rules == 0;
}

static uint32_t later(uint32_t generation, int64_t wall_s)
{
    return MAX(generation + 1, (uint32_t)wall_s);
}

err tenant_registry_take(struct tenant_registry *registry, slice name, uint64_t key_rules, int64_t wall_s,
                         struct tenant_record *ret_record)
{
    uint16_t id = (uint16_t)*slot_of(registry, name);
    struct tenant_record record = {.id = id, .key_rules = key_rules};

    INVARIANT(name.len > 0 && name.len <= CONF_NAME_MAX);
    if (id != 0 && registry->entries[id].record.key_rules == key_rules) {
        *ret_record = registry->entries[id].record;
        return ERR_OK;
    }
    if (id == 0) {
        record.id = slice_eq(name, SLICE(TENANT_DEFAULT_NAME)) ? TENANT_DEFAULT : id_free(registry);
        ENSURE(record.id != 0, LIMIT);
    }
    if (id != 0 || !is_plain_default(name, key_rules))
        record.generation = later(registry->entries[record.id].record.generation, wall_s);
    registry->is_changed |= id != 0 || !is_plain_default(name, key_rules);
    entry_set(registry, name, &record);
    *ret_record = record;
    return ERR_OK;
}

/* Taken out of a table of open addressing: what follows moves up. */
static void slot_clear(struct tenant_registry *registry, uint32_t *slot)
{
    uint32_t at = (uint32_t)(slot - registry->by_name);

    registry->by_name[at] = 0;
    for (at = (at + 1) & registry->mask; registry->by_name[at] != 0; at = (at + 1) & registry->mask) {
        uint32_t id = registry->by_name[at];
        registry->by_name[at] = 0;
        *slot_of(registry, slice_str(registry->entries[id].name)) = id;
    }
}

/* The generation stays, for whoever has the id next. */
void tenant_registry_forget(struct tenant_registry *registry, slice name)
{
    uint32_t *slot = slot_of(registry, name);
    uint32_t id = *slot;

    if (id == 0)
        return;
    slot_clear(registry, slot);
    registry->entries[id].name[0] = '\0';
    registry->entries[id].is_leaving = true;
    registry->is_changed = true;
}

uint16_t tenant_registry_leaving(const struct tenant_registry *registry, uint16_t behind)
{
    for (uint32_t id = behind + 1u; id <= TENANT_IDS_MAX; id++)
        if (registry->entries[id].is_leaving)
            return (uint16_t)id;
    return 0;
}

void tenant_registry_left(struct tenant_registry *registry, uint16_t id)
{
    registry->is_changed |= registry->entries[id].is_leaving;
    registry->entries[id].is_leaving = false;
}

bool tenant_registry_is_changed(const struct tenant_registry *registry)
{
    return registry->is_changed;
}
