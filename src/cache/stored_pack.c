#include "cache/stored_pack.h"

#include "cache/stored.h"

#define PACK_VERSION     1
#define PACK_VARINT_MAX  10u
#define PACK_FIELDS_MAX  2048u /* as stored_build allows, twice */

static_assert(sizeof(struct stored) == 104, "a new member has a line in the table below, and the version is another one");

/* member, the one it is near to (or ZERO) */
#define ZERO(stored) 0
#define OF_REQUEST(stored) ((stored)->request_time_ms)
#define OF_DATE(stored)    ((stored)->request_time_ms / 1000)
#define PACKED_MEMBERS(X)                 \
    X(count, ZERO)                        \
    X(hidden_count, ZERO)                 \
    X(text_len, ZERO)                     \
    X(hidden_len, ZERO)                   \
    X(status, ZERO)                       \
    X(flags, ZERO)                        \
    X(request_time_ms, ZERO)              \
    X(response_time_ms, OF_REQUEST)       \
    X(date_s, OF_DATE)                    \
    X(last_modified_s, OF_DATE)           \
    X(body_bytes, ZERO)                   \
    X(initial_age_s, ZERO)                \
    X(lifetime_s, ZERO)                   \
    X(swr_s, ZERO)                        \
    X(sie_s, ZERO)                        \
    X(etag_off, ZERO)                     \
    X(etag_len, ZERO)                     \
    X(last_modified_off, ZERO)            \
    X(last_modified_len, ZERO)            \
    X(source, ZERO)                       \
    X(is_sliced, ZERO)

#define X(name, near) MEMBER_##name,
enum { PACKED_MEMBERS(X) MEMBERS };
#undef X
#define HEAD_BYTES_MAX (1 + MEMBERS * PACK_VARINT_MAX)

/* ---- variable-length integers: 7 bits a byte, the sign in the lowest bit ----------------------------------------- */

static char *varint_put(char *at, int64_t value)
{
    uint64_t bits = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);

    while (bits >= 0x80) {
        *at++ = (char)(bits | 0x80);
        bits >>= 7;
    }
    *at++ = (char)bits;
    return at;
}

static bool varint_get(slice *from, int64_t *ret_value)
{
    uint64_t bits = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (from->len == 0)
            return false;
        uint8_t byte = (uint8_t)from->data[0];
        *from = slice_from(*from, 1);
        bits |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret_value = (int64_t)(bits >> 1) ^ -(int64_t)(bits & 1);
            return true;
        }
    }
    return false;
}

/* Differences wrap: both sides do. */
static int64_t apart(int64_t value, int64_t near)
{
    return (int64_t)((uint64_t)value - (uint64_t)near);
}

static int64_t back(int64_t difference, int64_t near)
{
    return (int64_t)((uint64_t)difference + (uint64_t)near);
}

/* ---- packing -------------------------------------------------------------------------------------------------- */

static size_t head_put(const struct stored *stored, char to[HEAD_BYTES_MAX])
{
    char *at = to;

    *at++ = PACK_VERSION;
#define X(name, near) at = varint_put(at, apart((int64_t)stored->name, (int64_t)near(stored)));
    PACKED_MEMBERS(X)
#undef X
    return (size_t)(at - to);
}

static size_t list_bytes(const struct stored *stored)
{
    return ((size_t)stored->count + stored->hidden_count) * sizeof(struct field);
}

static size_t tail_bytes(const struct stored *stored)
{
    return stored->is_sliced ? sizeof(struct stored_slices) : 0;
}

static size_t blob_bytes(const struct stored *stored)
{
    size_t fields = (sizeof(*stored) + list_bytes(stored) + stored->text_len + (size_t)stored->hidden_len + 7) & ~(size_t)7;

    return fields + tail_bytes(stored);
}

size_t stored_packed_bytes(slice meta)
{
    char head[HEAD_BYTES_MAX];
    const struct stored *stored;
    struct fields view;

    if (!err_is_ok(stored_view(meta, &view, &stored)))
        return 0;
    return head_put(stored, head) + stored->text_len + stored->hidden_len + tail_bytes(stored);
}

void stored_pack(slice meta, char *to)
{
    const struct stored *stored = (const struct stored *)(const void *)meta.data;
    const char *text = meta.data + sizeof(*stored) + list_bytes(stored);

    size_t text_bytes = (size_t)stored->text_len + stored->hidden_len;

    to += head_put(stored, to);
    memcpy(to, text, text_bytes);
    memcpy(to + text_bytes, meta.data + meta.len - tail_bytes(stored), tail_bytes(stored));
}

/* ---- unpacking ------------------------------------------------------------------------------------------------ */

static bool head_get(slice *from, struct stored *ret_stored)
{
    struct stored stored = {.magic = STORED_MAGIC, .version = STORED_VERSION};
    int64_t value;

    if (from->len == 0 || from->data[0] != PACK_VERSION)
        return false;
    *from = slice_from(*from, 1);
#define X(name, near)                                            \
    if (!varint_get(from, &value))                               \
        return false;                                            \
    value = back(value, (int64_t)near(&stored));                 \
    stored.name = (__typeof__(stored.name))value;                \
    if ((int64_t)stored.name != value)                           \
        return false;
    PACKED_MEMBERS(X)
#undef X
    if (stored.is_sliced > 1 || (uint64_t)stored.text_len + stored.hidden_len + tail_bytes(&stored) != from->len || stored.count > PACK_FIELDS_MAX || stored.hidden_count > PACK_FIELDS_MAX ||
        blob_bytes(&stored) > STORED_BYTES_MAX)
        return false;
    stored.total_bytes = (uint32_t)blob_bytes(&stored);
    *ret_stored = stored;
    return true;
}

size_t stored_unpacked_bytes(slice packed)
{
    struct stored stored;

    return head_get(&packed, &stored) ? blob_bytes(&stored) : 0;
}

/* The line at `at`; false: there is none. */
static bool field_read(slice text, uint32_t at, struct field *ret_field)
{
    const char *line = text.data + at, *end = text.data + text.len;
    const char *colon = memchr(line, ':', (size_t)(end - line));
    const char *line_end = colon != NULL ? memchr(colon, '\r', (size_t)(end - colon)) : NULL;

    if (line_end == NULL || line_end - colon < 2 || colon == line || colon - line > UINT16_MAX || line_end + 2 > end)
        return false;
    *ret_field = (struct field){.name_off = at,
                                .value_len = (uint32_t)(line_end - colon - 2),
                                .name_len = (uint16_t)(colon - line),
                                .id = (uint16_t)field_id_of(slice_of(line, (size_t)(colon - line)))};
    return true;
}

bool stored_unpack(slice packed, char *to)
{
    struct stored stored;
    uint32_t at = 0;

    if (!head_get(&packed, &stored))
        return false;
    struct field *list = (struct field *)(void *)(to + sizeof(stored));
    unsigned fields = (unsigned)stored.count + stored.hidden_count;
    slice text_of = slice_of(packed.data, packed.len - tail_bytes(&stored));
    for (unsigned i = 0; i < fields; i++) {
        if (!field_read(text_of, at, &list[i]))
            return false;
        at = list[i].name_off + list[i].name_len + list[i].value_len + 4;
    }
    if (at != text_of.len)
        return false;
    char *text = to + sizeof(stored) + list_bytes(&stored), *tail = to + stored.total_bytes - tail_bytes(&stored);
    memcpy(to, &stored, sizeof(stored));
    memcpy(text, text_of.data, text_of.len);
    memset(text + text_of.len, 0, (size_t)(tail - text) - text_of.len);
    memcpy(tail, text_of.data + text_of.len, tail_bytes(&stored));
    return true;
}
