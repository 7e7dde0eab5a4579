#include "http/field.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "http/token.h"

static const slice field_names[F_COUNT] = {
#define X(id, name) [F_##id] = {name, sizeof(name) - 1},
    HTTP_FIELDS(X)
#undef X
};

static char lower_text[F_COUNT][32];

/* Open addressing, built once before main: names are found with one hash and, nearly always, one comparison. */
#define FIELD_SLOTS 512u
static uint8_t field_slots[FIELD_SLOTS];
static_assert(F_COUNT <= 255 && F_COUNT < FIELD_SLOTS / 2, "a slot is a byte and many slots are free");

static unsigned field_slot(slice name)
{
    unsigned first = (unsigned char)name.data[0] | 0x20u;
    unsigned middle = (unsigned char)name.data[name.len / 2] | 0x20u;
    unsigned last = (unsigned char)name.data[name.len - 1] | 0x20u;
    return (first * 5u + middle * 13u + last * 47u + (unsigned)name.len * 101u) % FIELD_SLOTS;
}

static void lower_fill(unsigned id)
{
    INVARIANT(field_names[id].len <= sizeof(lower_text[id]));
    for (size_t i = 0; i < field_names[id].len; i++)
        lower_text[id][i] = (char)ascii_lower((unsigned char)field_names[id].data[i]);
}

__attribute__((constructor)) static void field_slots_fill(void)
{
    for (unsigned id = 1; id < F_COUNT; id++) {
        lower_fill(id);
        unsigned slot = field_slot(field_names[id]);
        while (field_slots[slot] != 0)
            slot = (slot + 1) % FIELD_SLOTS;
        field_slots[slot] = (uint8_t)id;
    }
}

enum field_id field_id_of(slice name)
{
    if (name.len == 0)
        return F_OTHER;
    for (unsigned slot = field_slot(name); field_slots[slot] != 0; slot = (slot + 1) % FIELD_SLOTS) {
        slice known = field_names[field_slots[slot]];
        /* Most peers write a name as we do, or as HTTP/2 does: memcmp first. */
        if (known.len == name.len &&
            (memcmp(known.data, name.data, name.len) == 0 ||
             memcmp(lower_text[field_slots[slot]], name.data, name.len) == 0 || slice_eq_nocase(known, name)))
            return field_slots[slot];
    }
    return F_OTHER;
}

slice field_name_of(enum field_id id)
{
    INVARIANT(id > F_OTHER);
    INVARIANT(id < F_COUNT);
    return field_names[id];
}

void fields_init(struct fields *fields, struct arena *arena)
{
    *fields = (struct fields){.arena = arena};
}

slice field_name_lower(enum field_id id)
{
    INVARIANT(id > F_OTHER);
    INVARIANT(id < F_COUNT);
    return slice_of(lower_text[id], field_names[id].len);
}

/* Doubles, so that n additions cost O(n). */
static uint32_t grown(uint32_t cap, uint32_t need, uint32_t least)
{
    return MAX(MAX(need, least), cap <= UINT32_MAX / 2 ? cap * 2 : need);
}

err fields_reserve(struct fields *fields, unsigned count, size_t text_bytes)
{
    ENSURE(count <= (unsigned)(UINT16_MAX - fields->count), LIMIT);
    ENSURE(text_bytes <= (size_t)(UINT32_MAX / 2 - fields->text_len), LIMIT);
    if (fields->count + count > fields->cap) {
        uint32_t cap = MIN(grown(fields->cap, fields->count + count, 16), UINT16_MAX);
        struct field *list;

        INVARIANT(fields->arena != NULL);
        list = arena_grow(fields->arena, fields->list, fields->count * sizeof(*list), cap * sizeof(*list));
        ENSURE(list != NULL, MEMORY);
        fields->list = list;
        fields->cap = (uint16_t)cap;
    }
    if (fields->text_len + text_bytes > fields->text_cap) {
        uint32_t cap = grown(fields->text_cap, fields->text_len + (uint32_t)text_bytes, 512);
        char *text;

        INVARIANT(fields->arena != NULL);
        text = arena_grow(fields->arena, fields->text, fields->text_cap, cap);
        ENSURE(text != NULL, MEMORY);
        fields->text = text;
        fields->text_cap = cap;
    }
    return ERR_OK;
}

/* Name and value are valid. */
static err fields_append(struct fields *fields, slice name, enum field_id id, slice value)
{
    char *at;

    ENSURE(name.len <= UINT16_MAX && value.len <= UINT32_MAX / 4, LIMIT);
    TRY(fields_reserve(fields, 1, name.len + value.len + 4));
    at = fields->text + fields->text_len;
    memcpy(at, name.data, name.len);
    memcpy(at + name.len, ": ", 2);
    if (value.len > 0)
        memcpy(at + name.len + 2, value.data, value.len);
    memcpy(at + name.len + 2 + value.len, "\r\n", 2);
    fields->list[fields->count++] = (struct field){
        .name_off = fields->text_len,
        .value_len = (uint32_t)value.len,
        .name_len = (uint16_t)name.len,
        .id = (uint16_t)id,
    };
    fields_see(fields->seen, id);
    fields->text_len += (uint32_t)(name.len + value.len + 4);
    return ERR_OK;
}

err fields_add_seen(struct fields *fields, slice name, enum field_id id, slice value)
{
    return fields_append(fields, name, id, value);
}

err fields_add_named(struct fields *fields, slice name, enum field_id id, slice value)
{
    assert(token_is_valid(name));
    assert(field_value_is_valid(value));
    return fields_append(fields, name, id, value);
}

err fields_add(struct fields *fields, enum field_id id, slice value)
{
    assert(field_value_is_valid(value));
    return fields_append(fields, field_name_of(id), id, value);
}

err fields_addf(struct fields *fields, enum field_id id, const char *format, ...)
{
    char buffer[1024];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(buffer, sizeof(buffer), format, args);
    va_end(args);
    ENSURE(len >= 0 && (size_t)len < sizeof(buffer), LIMIT);
    return fields_add(fields, id, slice_of(buffer, (size_t)len));
}

err fields_copy(struct fields *fields, const struct fields *from, unsigned i)
{
    INVARIANT(i < from->count);
    return fields_append(fields, field_name(from, i), from->list[i].id, field_value(from, i));
}

int fields_next(const struct fields *fields, enum field_id id, int from)
{
    if (!fields_has(fields, id))
        return -1;
    for (int i = from; i < fields->count; i++)
        if (fields->list[i].id == id)
            return i;
    return -1;
}

unsigned fields_count_of(const struct fields *fields, enum field_id id)
{
    unsigned count = 0;
    for (unsigned i = 0; i < fields->count; i++)
        count += fields->list[i].id == id;
    return count;
}

slice fields_get(const struct fields *fields, enum field_id id)
{
    int i = fields_next(fields, id, 0);
    return i >= 0 ? field_value(fields, (unsigned)i) : SLICE_NONE;
}

int fields_find_named(const struct fields *fields, slice name)
{
    for (unsigned i = 0; i < fields->count; i++)
        if (slice_eq_nocase(field_name(fields, i), name))
            return (int)i;
    return -1;
}
