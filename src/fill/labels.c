/* Labels of an answer, as the store keeps them. */
#include "cache/key.h"
#include "fill/fill.h"

struct label_collector {
    struct label_set *set;
    uint16_t tenant;
};

static enum store_label_kind store_kind_of(enum label_kind kind)
{
    switch (kind) {
    case LABEL_URL:
        return STORE_LABEL_URL;
    case LABEL_HOST:
        return STORE_LABEL_HOST;
    case LABEL_PREFIX:
        return STORE_LABEL_PREFIX;
    case LABEL_TAG:
        return STORE_LABEL_TAG;
    case LABEL_GROUP:
    case LABEL_KIND_COUNT:
        break;
    }
    return STORE_LABEL_GROUP;
}

static void collect(void *context, enum label_kind kind, slice text)
{
    struct label_collector *collector = context;
    struct label_set *set = collector->set;

    if (set->count >= STORE_LABELS_MAX) {
        set->too_many = true;
        return;
    }
    set->labels[set->count++] = store_label_of(collector->tenant, store_kind_of(kind), text);
}

err label_set_build(struct arena *arena, uint16_t tenant, slice primary_key, const struct fields *response,
                    struct label_set *ret_set)
{
    struct label_set set = {.labels = arena_alloc(arena, STORE_LABELS_MAX * sizeof(struct store_label))};
    struct label_collector collector = {&set, tenant};
    struct key_parts parts;
    bool too_many = false;

    ENSURE(set.labels != NULL, MEMORY);
    ENSURE(key_read(primary_key, &parts), INVALID);
    TRY(labels_build(arena, &parts, response, collect, &collector, &too_many));
    set.too_many |= too_many;
    *ret_set = set;
    return ERR_OK;
}

err fill_note_key(struct arena *arena, slice slot_key, bool has_authorization, slice *ret_key)
{
    char *key = arena_alloc(arena, slot_key.len + 2);

    ENSURE(key != NULL, MEMORY);
    memcpy(key, slot_key.data, slot_key.len);
    key[slot_key.len] = 'N';
    key[slot_key.len + 1] = has_authorization ? 'A' : '-';
    *ret_key = slice_of(key, slot_key.len + 2);
    return ERR_OK;
}
