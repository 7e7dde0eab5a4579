#include "cache/stored_pack.h"

#include "base/hash.h"
#include "cache/stored.h"

#include <stdatomic.h>

#define PACK_VERSION     1u
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
#define HEAD_BYTES_MAX (2 + MEMBERS * PACK_VARINT_MAX)

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

/* The names that have numbers are part of the version: with another table what was packed is no longer understood, and
 * never taken for something else. */
static uint16_t pack_version(void)
{
    static _Atomic uint32_t known; /* 0: not yet */
    uint32_t version = atomic_load_explicit(&known, memory_order_relaxed);

    if (version == 0) {
        uint64_t hash = PACK_VERSION;
        for (unsigned id = F_OTHER + 1; id < F_COUNT; id++)
            hash = hash64(field_name_of((enum field_id)id), hash);
        version = (uint32_t)(hash & 0xffff) | 0x10000;
        atomic_store_explicit(&known, version, memory_order_relaxed);
    }
    return (uint16_t)version;
}

/* ---- packing -------------------------------------------------------------------------------------------------- */

static size_t head_put(const struct stored *stored, char to[HEAD_BYTES_MAX])
{
    uint16_t version = pack_version();
    char *at = to;

    memcpy(at, &version, sizeof(version));
    at += sizeof(version);
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

/* One field: its id where the name is written as everybody writes it, else 0 and the name; then the value. NULL to: only
 * counts. Returns the bytes. */
static size_t field_put(const struct field *field, const char *text, char *to)
{
    char head[3 * PACK_VARINT_MAX], *at = head;
    slice name = slice_of(text + field->name_off, field->name_len), value = slice_of(name.data + name.len + 2, field->value_len);
    bool is_usual = field->id != F_OTHER && slice_eq(name, field_name_of((enum field_id)field->id));
    size_t head_bytes, name_bytes = is_usual ? 0 : name.len;

    at = varint_put(at, is_usual ? field->id : F_OTHER);
    if (!is_usual)
        at = varint_put(at, (int64_t)name.len);
    at = varint_put(at, (int64_t)value.len);
    head_bytes = (size_t)(at - head);
    if (to != NULL) {
        memcpy(to, head, head_bytes);
        memcpy(to + head_bytes, name.data, name_bytes);
        memcpy(to + head_bytes + name_bytes, value.data, value.len);
    }
    return head_bytes + name_bytes + value.len;
}

static size_t fields_put(const struct stored *stored, char *to)
{
    const struct field *list = (const struct field *)(const void *)(stored + 1);
    unsigned count = (unsigned)stored->count + stored->hidden_count;
    const char *text = (const char *)(list + count);
    size_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += field_put(&list[i], text, to != NULL ? to + bytes : NULL);
    return bytes;
}

size_t stored_packed_bytes(slice meta)
{
    char head[HEAD_BYTES_MAX];
    const struct stored *stored;
    struct fields view;

    if (!err_is_ok(stored_view(meta, &view, &stored)))
        return 0;
    return head_put(stored, head) + fields_put(stored, NULL) + tail_bytes(stored);
}

void stored_pack(slice meta, char *to)
{
    const struct stored *stored = (const struct stored *)(const void *)meta.data;

    to += head_put(stored, to);
    to += fields_put(stored, to);
    memcpy(to, meta.data + meta.len - tail_bytes(stored), tail_bytes(stored));
}

/* ---- unpacking ------------------------------------------------------------------------------------------------ */

static bool head_get(slice *from, struct stored *ret_stored)
{
    struct stored stored = {.magic = STORED_MAGIC, .version = STORED_VERSION};
    int64_t value;

    uint16_t version;

    if (from->len < sizeof(version))
        return false;
    memcpy(&version, from->data, sizeof(version));
    if (version != pack_version())
        return false;
    *from = slice_from(*from, sizeof(version));
#define X(name, near)                                            \
    if (!varint_get(from, &value))                               \
        return false;                                            \
    value = back(value, (int64_t)near(&stored));                 \
    stored.name = (__typeof__(stored.name))value;                \
    if ((int64_t)stored.name != value)                           \
        return false;
    PACKED_MEMBERS(X)
#undef X
    if (stored.is_sliced > 1 || from->len < tail_bytes(&stored) || stored.count > PACK_FIELDS_MAX || stored.hidden_count > PACK_FIELDS_MAX ||
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

/* What is being unpacked, and where to. */
struct unpacking {
    slice from; /* fields that are left */
    char *text;
    uint32_t at, text_bytes;
};

static bool take(slice *from, int64_t bytes, slice *ret_taken)
{
    if (bytes < 0 || (uint64_t)bytes > from->len)
        return false;
    *ret_taken = slice_of(from->data, (size_t)bytes);
    *from = slice_from(*from, (size_t)bytes);
    return true;
}

static char *append(char *at, slice s)
{
    memcpy(at, s.data, s.len);
    return at + s.len;
}

static bool field_get(struct unpacking *unpacking, struct field *ret_field)
{
    int64_t id, name_len = 0, value_len;
    slice name, value;

    if (!varint_get(&unpacking->from, &id) || id < 0 || id >= F_COUNT ||
        (id == F_OTHER && (!varint_get(&unpacking->from, &name_len) || name_len > UINT16_MAX)) ||
        !varint_get(&unpacking->from, &value_len) || !take(&unpacking->from, name_len, &name) ||
        !take(&unpacking->from, value_len, &value))
        return false;
    if (id != F_OTHER)
        name = field_name_of((enum field_id)id);
    if (name.len + value.len + 4 > unpacking->text_bytes - unpacking->at)
        return false;
    *ret_field = (struct field){.name_off = unpacking->at,
                                .value_len = (uint32_t)value.len,
                                .name_len = (uint16_t)name.len,
                                .id = (uint16_t)(id != F_OTHER ? (enum field_id)id : field_id_of(name))};
    char *at = append(append(append(append(unpacking->text + unpacking->at, name), SLICE(": ")), value), SLICE("\r\n"));
    unpacking->at = (uint32_t)(at - unpacking->text);
    return true;
}

bool stored_unpack(slice packed, char *to)
{
    struct stored stored;

    if (!head_get(&packed, &stored))
        return false;
    struct field *list = (struct field *)(void *)(to + sizeof(stored));
    char *tail = to + stored.total_bytes - tail_bytes(&stored);
    struct unpacking unpacking = {.from = slice_of(packed.data, packed.len - tail_bytes(&stored)),
                                  .text = to + sizeof(stored) + list_bytes(&stored),
                                  .text_bytes = stored.text_len + stored.hidden_len};
    for (unsigned i = 0; i < (unsigned)stored.count + stored.hidden_count; i++)
        if (!field_get(&unpacking, &list[i]))
            return false;
    if (unpacking.from.len > 0 || unpacking.at != unpacking.text_bytes)
        return false;
    memcpy(to, &stored, sizeof(stored));
    memset(unpacking.text + unpacking.at, 0, (size_t)(tail - unpacking.text) - unpacking.at);
    memcpy(tail, packed.data + packed.len - tail_bytes(&stored), tail_bytes(&stored));
    return true;
}
