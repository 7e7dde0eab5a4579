#include "cache/stored.h"

#include "cache/hop.h"
#include "cache/vary.h"
#include "http/date.h"
#include "http/etag.h"

static_assert(sizeof(struct stored) == 104, "stored head on disk");
static_assert(sizeof(struct stored_slices) == 24, "end of a stored head on disk");
static_assert(sizeof(struct field) == 12 && _Alignof(struct field) <= 8, "field list of a stored head on disk");

#define STORED_FIELDS_MAX 1024u

/* What happens to a field of the response when it is stored. */
enum keep { KEEP_NOT, KEEP, KEEP_HIDDEN };

struct build {
    const struct response *response;
    const struct freshness *freshness;
    struct hop_names hop;
    struct control_names listed; /* in no-cache="..." or private="..." */
};

static enum keep keep_of(const struct build *build, unsigned i)
{
    const struct fields *fields = &build->response->fields;
    enum field_id id = (enum field_id)fields->list[i].id;
    if (hop_is_field(id) || id == F_AGE || (id == F_CONTENT_RANGE && build->response->status == 206))
        return KEEP_NOT;
    if (build->hop.count > 0 && hop_names_has(&build->hop, field_name(fields, i)))
        return KEEP_NOT;
    if (hop_is_consumed(id))
        return KEEP_HIDDEN;
    return control_names_has(&build->listed, field_name(fields, i)) ? KEEP_NOT : KEEP;
}

static err copy_kept(const struct build *build, enum keep which, struct fields *to)
{
    const struct fields *from = &build->response->fields;
    for (unsigned i = 0; i < from->count; i++)
        if (keep_of(build, i) == which)
            TRY(fields_copy(to, from, i));
    return ERR_OK;
}

/* All that is stored, visible fields first. *ret_visible: how many of them; *ret_text_len: their text. */
static err collect(struct build *build, struct fields *to, unsigned *ret_visible, uint32_t *ret_text_len)
{
    const struct fields *from = &build->response->fields;
    TRY(hop_names_read(from, &build->hop));
    freshness_control_names(from, build->freshness->control_field, &build->listed);
    ENSURE(!build->listed.too_many, LIMIT);
    TRY(fields_reserve(to, from->count + 1u, from->text_len + 64u));
    TRY(copy_kept(build, KEEP, to));
    if (!fields_has(to, F_DATE)) { /* RFC 9110 6.6.1: the time of receipt */
        char date[DATE_BYTES];
        date_format(build->freshness->date_s, date);
        TRY(fields_add(to, F_DATE, slice_of(date, sizeof(date))));
    }
    *ret_visible = to->count;
    *ret_text_len = to->text_len;
    return copy_kept(build, KEEP_HIDDEN, to);
}

static void point_at(const struct fields *fields, enum field_id id, uint32_t *ret_off, uint32_t *ret_len)
{
    slice value = fields_get(fields, id);
    if (value.data == NULL)
        return;
    *ret_off = (uint32_t)(value.data - fields->text);
    *ret_len = (uint32_t)value.len;
}

static void set_freshness(struct stored *stored, const struct freshness *freshness)
{
    stored->flags = freshness->flags;
    stored->date_s = freshness->date_s;
    stored->last_modified_s = freshness->last_modified_s;
    stored->initial_age_s = freshness->initial_age_s;
    stored->lifetime_s = freshness->lifetime_s;
    stored->swr_s = freshness->swr_s;
    stored->sie_s = freshness->sie_s;
    stored->source = (uint8_t)freshness->source;
}

err stored_build(struct arena *arena, const struct response *response, const struct freshness *freshness,
                 int64_t request_time_ms, int64_t response_time_ms, int64_t body_bytes, uint32_t extra_flags, slice *ret_blob)
{
    struct build build = {.response = response, .freshness = freshness};
    struct fields kept;
    struct stored stored = {.magic = STORED_MAGIC, .version = STORED_VERSION, .status = response->status};
    unsigned visible;

    fields_init(&kept, arena);
    TRY(collect(&build, &kept, &visible, &stored.text_len));
    set_freshness(&stored, freshness);
    stored.flags |= extra_flags;
    if (!fields_has(&kept, F_SET_COOKIE))
        stored.flags &= ~(uint32_t)CONTROL_SET_COOKIE; /* listed in no-cache="" */
    stored.request_time_ms = request_time_ms;
    stored.response_time_ms = response_time_ms;
    stored.body_bytes = MAX(body_bytes, -1);
    stored.hidden_len = kept.text_len - stored.text_len;
    stored.count = (uint16_t)visible;
    stored.hidden_count = (uint16_t)(kept.count - visible);
    if (stored.flags & CONTROL_ETAG)
        point_at(&kept, F_ETAG, &stored.etag_off, &stored.etag_len);
    if (stored.flags & CONTROL_LAST_MODIFIED)
        point_at(&kept, F_LAST_MODIFIED, &stored.last_modified_off, &stored.last_modified_len);

    size_t list_bytes = kept.count * sizeof(struct field);
    size_t used = sizeof(stored) + list_bytes + kept.text_len;
    size_t total = (used + 7) & ~(size_t)7;
    ENSURE(total <= STORED_BYTES_MAX && kept.count <= STORED_FIELDS_MAX, LIMIT);
    stored.total_bytes = (uint32_t)total;
    char *blob = arena_alloc(arena, total);
    ENSURE(blob != NULL, MEMORY);
    memcpy(blob, &stored, sizeof(stored));
    memcpy(blob + sizeof(stored), kept.list, list_bytes);
    memcpy(blob + sizeof(stored) + list_bytes, kept.text, kept.text_len);
    memset(blob + used, 0, total - used);

    *ret_blob = slice_of(blob, total);
    return ERR_OK;
}

/* Every field lies behind the one before it and has its ": " and its line end. Says which ids there are. */
static bool list_is_sound(const struct field *list, unsigned from, unsigned to, const char *text, uint64_t at, uint64_t end,
                          uint64_t seen[2])
{
    for (unsigned i = from; i < to; i++) {
        const struct field *f = &list[i];
        uint64_t colon = at + f->name_len, line_end = colon + 2 + (uint64_t)f->value_len;
        if (f->name_off != at || f->name_len == 0 || f->id >= F_COUNT || line_end + 2 > end)
            return false;
        if (text[colon] != ':' || text[colon + 1] != ' ' || text[line_end] != '\r' || text[line_end + 1] != '\n')
            return false;
        fields_see(seen, f->id);
        at = line_end + 2;
    }
    return at == end;
}

static bool part_is_sound(uint32_t off, uint32_t len, uint32_t text_len)
{
    return (uint64_t)off + len <= text_len;
}

/* The whole blob, hidden fields too. */
static err open_blob(slice meta, struct fields *ret_all, uint64_t visible[2], const struct stored **ret_stored)
{
    uint64_t hidden[2] = {0};
    const struct stored *s = (const struct stored *)(const void *)meta.data;
    ENSURE(meta.len >= sizeof(*s) && (uintptr_t)meta.data % _Alignof(struct stored) == 0, CORRUPT);
    ENSURE(s->magic == STORED_MAGIC && s->version == STORED_VERSION && s->total_bytes == meta.len, CORRUPT);
    ENSURE(s->status >= 200 && s->status <= 599 && s->source < FRESHNESS_SOURCE_COUNT, CORRUPT);
    ENSURE(s->lifetime_s >= 0 && s->initial_age_s >= 0 && s->swr_s >= 0 && s->sie_s >= 0 && s->body_bytes >= -1, CORRUPT);
    unsigned all = (unsigned)s->count + s->hidden_count;
    uint64_t text_all = (uint64_t)s->text_len + s->hidden_len;
    uint64_t used = sizeof(*s) + (uint64_t)all * sizeof(struct field) + text_all;
    size_t slices = s->is_sliced == 1 ? sizeof(struct stored_slices) : 0;
    ENSURE(s->is_sliced <= 1 && meta.len % 8 == 0, CORRUPT);
    ENSURE(all <= STORED_FIELDS_MAX && used + slices <= meta.len && meta.len - used - slices < 8, CORRUPT);
    ENSURE(slices == 0 || stored_slices_of(s)->slice_bytes > 0, CORRUPT);
    ENSURE(slices == 0 || s->body_bytes > 0, CORRUPT);

    const struct field *list = (const struct field *)(const void *)(meta.data + sizeof(*s));
    const char *text = (const char *)(list + all);
    ENSURE(list_is_sound(list, 0, s->count, text, 0, s->text_len, visible), CORRUPT);
    ENSURE(list_is_sound(list, s->count, all, text, s->text_len, text_all, hidden), CORRUPT);
    ENSURE(part_is_sound(s->etag_off, s->etag_len, s->text_len), CORRUPT);
    ENSURE(part_is_sound(s->last_modified_off, s->last_modified_len, s->text_len), CORRUPT);

    *ret_all = (struct fields){.text = (char *)(uintptr_t)text, .list = (struct field *)(uintptr_t)list,
                               .text_len = (uint32_t)text_all, .text_cap = (uint32_t)text_all,
                               .count = (uint16_t)all, .cap = (uint16_t)all, .arena = NULL,
                               .seen = {visible[0] | hidden[0], visible[1] | hidden[1]}};
    *ret_stored = s;
    return ERR_OK;
}

err stored_view(slice meta, struct fields *ret_fields, const struct stored **ret_stored)
{
    struct fields fields;
    const struct stored *stored;
    uint64_t visible[2] = {0};
    TRY(open_blob(meta, &fields, visible, &stored));
    memcpy(fields.seen, visible, sizeof(visible));
    fields.count = fields.cap = stored->count;
    fields.text_len = fields.text_cap = stored->text_len;
    *ret_fields = fields;
    *ret_stored = stored;
    return ERR_OK;
}

slice stored_etag(const struct fields *fields, const struct stored *stored)
{
    return stored->etag_len > 0 ? slice_of(fields->text + stored->etag_off, stored->etag_len) : SLICE_NONE;
}

slice stored_last_modified(const struct fields *fields, const struct stored *stored)
{
    if (stored->last_modified_len == 0)
        return SLICE_NONE;
    return slice_of(fields->text + stored->last_modified_off, stored->last_modified_len);
}

err stored_set_slices(struct arena *arena, slice blob, const struct stored_slices *slices, slice *ret_blob)
{
    size_t total = blob.len + sizeof(*slices);
    uint32_t total_bytes = (uint32_t)total;
    uint8_t is_sliced = 1;
    char *copy;

    ENSURE(total <= STORED_BYTES_MAX, LIMIT);
    copy = arena_alloc(arena, total);
    ENSURE(copy != NULL, MEMORY);
    memcpy(copy, blob.data, blob.len);
    memcpy(copy + offsetof(struct stored, total_bytes), &total_bytes, sizeof(total_bytes));
    memcpy(copy + offsetof(struct stored, is_sliced), &is_sliced, sizeof(is_sliced));
    memcpy(copy + blob.len, slices, sizeof(*slices));

    *ret_blob = slice_of(copy, total);
    return ERR_OK;
}

const struct stored_slices *stored_slices_of(const struct stored *stored)
{
    if (stored->is_sliced == 0)
        return NULL;
    return (const struct stored_slices *)(const void *)((const char *)stored + stored->total_bytes) - 1;
}

void stored_set_whole(char *blob, int64_t body_bytes)
{
    uint16_t status = 200;

    memcpy(blob + offsetof(struct stored, status), &status, sizeof(status));
    stored_set_body_bytes(blob, body_bytes);
}

void stored_set_body_bytes(char *blob, int64_t body_bytes)
{
    INVARIANT(body_bytes >= -1);
    memcpy(blob + offsetof(struct stored, body_bytes), &body_bytes, sizeof(body_bytes));
}

static bool same_name(const struct fields *a, unsigned i, const struct fields *b, unsigned k)
{
    if (a->list[i].id != b->list[k].id)
        return false;
    return a->list[i].id != F_OTHER || slice_eq_nocase(field_name(a, i), field_name(b, k));
}

static bool has_field_like(const struct fields *fields, const struct fields *from, unsigned i)
{
    for (unsigned k = 0; k < fields->count; k++)
        if (same_name(fields, k, from, i))
            return true;
    return false;
}

/* RFC 9111 3.2: what a 304 (or a HEAD) does not change. */
static bool update_excepts(const struct fields *fields, unsigned i, const struct hop_names *hop)
{
    switch (fields->list[i].id) {
    case F_CONTENT_ENCODING: case F_CONTENT_LENGTH: case F_CONTENT_RANGE: case F_ETAG:
        return true;
    case F_OTHER:
        if (slice_eq_nocase(field_name(fields, i), SLICE("Content-MD5")))
            return true;
        break;
    default:
        break;
    }
    return hop_is_field((enum field_id)fields->list[i].id) || hop_names_has(hop, field_name(fields, i));
}

/* A cookie in a 304 is for the client that asked, unless the origin says that all may have it. */
static bool cookie_may_merge(const struct response *not_modified, const struct freshness *of_304, uint32_t old_flags)
{
    uint32_t shared = CONTROL_PUBLIC | CONTROL_S_MAXAGE | CONTROL_TARGETED;
    bool speaks = of_304->control_field != F_OTHER;
    if (!fields_has(&not_modified->fields, F_SET_COOKIE))
        return true;
    return ((speaks ? of_304->flags : old_flags) & shared) != 0;
}

/* The stored fields as the 304 leaves them, in arena. */
static err merge_fields(const struct fields *old, const struct response *not_modified, bool merge_cookie, int64_t now_s,
                        struct fields *merged)
{
    const struct fields *new = &not_modified->fields;
    struct fields update;
    struct hop_names hop;
    char date[DATE_BYTES];
    TRY(hop_names_read(new, &hop));
    fields_init(&update, merged->arena);
    for (unsigned i = 0; i < new->count; i++)
        if (!update_excepts(new, i, &hop) && (merge_cookie || new->list[i].id != F_SET_COOKIE))
            TRY(fields_copy(&update, new, i));
    if (!fields_has(&update, F_DATE)) { /* else an old Date would make it old (RFC 9110 6.6.1) */
        date_format(now_s, date);
        TRY(fields_add(&update, F_DATE, slice_of(date, sizeof(date))));
    }
    for (unsigned i = 0; i < old->count; i++)
        if (!has_field_like(&update, old, i))
            TRY(fields_copy(merged, old, i));
    for (unsigned i = 0; i < update.count; i++)
        TRY(fields_copy(merged, &update, i));
    return ERR_OK;
}

static err vary_is_same(struct arena *arena, const struct fields *a, const struct fields *b, bool *ret_same)
{
    enum vary_result result_a, result_b;
    slice spec_a, spec_b;
    TRY(vary_parse(arena, a, &result_a, &spec_a));
    TRY(vary_parse(arena, b, &result_b, &spec_b));
    *ret_same = result_a == result_b && (result_a != VARY_SPEC || slice_eq(spec_a, spec_b));
    return ERR_OK;
}

static err merged_reason(struct arena *arena, const struct fields *old, const struct response *merged,
                         const struct freshness *freshness, enum not_stored *ret_reason)
{
    bool same;
    TRY(vary_is_same(arena, old, &merged->fields, &same));
    *ret_reason = NOT_STORED_NONE;
    if ((freshness->flags & CONTROL_NO_STORE) && !(freshness->flags & CONTROL_MUST_UNDERSTAND))
        *ret_reason = NOT_STORED_NO_STORE;
    else if (freshness->flags & CONTROL_PRIVATE)
        *ret_reason = NOT_STORED_PRIVATE;
    else if (!same)
        *ret_reason = NOT_STORED_VARIANT_MISMATCH;
    return ERR_OK;
}

err stored_merge_304(struct arena *arena, slice old, const struct response *not_modified, int64_t request_time_ms,
                     int64_t response_time_ms, const struct freshness_rule *rule, slice *ret_blob, enum not_stored *ret_reason)
{
    struct fields old_fields;
    const struct stored *stored;
    struct freshness freshness;
    uint64_t visible[2] = {0};
    TRY(open_blob(old, &old_fields, visible, &stored));
    freshness_of(not_modified, request_time_ms, response_time_ms, NULL, &freshness);
    bool merge_cookie = cookie_may_merge(not_modified, &freshness, stored->flags);

    struct response merged = {.status = stored->status, .minor = 1};
    fields_init(&merged.fields, arena);
    TRY(merge_fields(&old_fields, not_modified, merge_cookie, response_time_ms / 1000, &merged.fields));
    freshness_of(&merged, request_time_ms, response_time_ms, rule, &freshness);
    TRY(merged_reason(arena, &old_fields, &merged, &freshness, ret_reason));
    TRY(stored_build(arena, &merged, &freshness, request_time_ms, response_time_ms, stored->body_bytes,
                     stored->flags & CONTROL_REQUEST_AUTHORIZED, ret_blob));
    if (stored_slices_of(stored) != NULL) /* the body stays where it is */
        return stored_set_slices(arena, *ret_blob, stored_slices_of(stored), ret_blob);
    return ERR_OK;
}

enum head_compare stored_head_compare(const struct fields *fields, const struct stored *stored, const struct response *head)
{
    struct etag ours = {0}, theirs = {0};
    if (head->status != 200)
        return HEAD_UNRELATED;
    if (etag_parse(fields_get(&head->fields, F_ETAG), &theirs) &&
        (!etag_parse(stored_etag(fields, stored), &ours) || !etag_eq_weak(ours, theirs)))
        return HEAD_DIFFERENT;
    slice modified = fields_get(&head->fields, F_LAST_MODIFIED);
    if (modified.data != NULL && !slice_eq(modified, stored_last_modified(fields, stored)))
        return HEAD_DIFFERENT;
    if (head->has_length && stored->body_bytes >= 0 && head->length_bytes != (uint64_t)stored->body_bytes)
        return HEAD_DIFFERENT;
    return HEAD_SAME;
}
