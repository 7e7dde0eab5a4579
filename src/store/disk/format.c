#include "store/disk/format.h"

#include "base/crc32c.h"

#define SUPER_MAGIC    0x314b534944505257ull /* "WRPDISK1" */
#define SEGMENT_MAGIC  0x47455357u           /* "WSEG" */
#define RECORD_MAGIC   0x00434552u           /* "REC", the kind above */
#define TRAILER_MAGIC  0x444e4557u           /* "WEND" */
#define SNAPSHOT_MAGIC 0x50414e5350415257ull /* "WRAPSNAP" */
#define CHUNK_MAGIC    0x4b4e484350415257ull /* "WRAPCHNK" */

#define JOURNAL_SHARE  128u /* of the store */
#define JOURNAL_MIN    (256u * 1024)
#define JOURNAL_MAX    (64u << 20)
#define SNAPSHOT_SHARE 64u

#define CRC_WORD(type) offsetof(type, crc)

/* The checksum of size bytes as if the four at `hole` were zero. */
static uint32_t crc_but(uint32_t crc, const char *bytes, size_t size, size_t hole)
{
    static const char zero[4];

    crc = crc32c(crc, bytes, hole);
    crc = crc32c(crc, zero, sizeof(zero));
    return crc32c(crc, bytes + hole + sizeof(zero), size - hole - sizeof(zero));
}

static void crc_set(char *bytes, size_t size, size_t hole, uint32_t start)
{
    uint32_t crc = crc_but(start, bytes, size, hole);

    memcpy(bytes + hole, &crc, sizeof(crc));
}

static bool crc_fits(const char *bytes, size_t size, size_t hole, uint32_t start)
{
    uint32_t found;

    memcpy(&found, bytes + hole, sizeof(found));
    return found == crc_but(start, bytes, size, hole);
}

static uint32_t crc_of_place(const struct disk_place *place)
{
    uint32_t words[4] = {place->segment, place->offset, (uint32_t)place->generation, (uint32_t)(place->generation >> 32)};

    return crc32c(crc32c(0, place->store.bytes, sizeof(place->store.bytes)), words, sizeof(words));
}

static bool id_eq(const struct disk_id *a, const struct disk_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static uint64_t up_to(uint64_t bytes, uint64_t unit)
{
    return (bytes + unit - 1) / unit * unit;
}

/* ---- superblock ----------------------------------------------------------------------------------------------- */

static uint32_t segment_bytes_of(uint64_t size_bytes)
{
    uint32_t bytes = DISK_SEGMENT_MAX;

    while (bytes > DISK_SEGMENT_MIN && bytes > size_bytes / DISK_SEGMENTS_SHARE)
        bytes /= 2;
    return bytes;
}

err disk_super_layout(uint64_t size_bytes, uint32_t segment_bytes, struct disk_super *ret_super)
{
    struct disk_super super = {.version = DISK_VERSION};
    uint64_t segments;

    size_bytes -= size_bytes % DISK_BLOCK;
    ENSURE(size_bytes >= DISK_SIZE_MIN, LIMIT);
    super.size_bytes = size_bytes;
    super.segment_bytes = segment_bytes > 0 ? segment_bytes : segment_bytes_of(size_bytes);
    super.journal_at = DISK_AREAS_AT;
    super.journal_bytes = up_to(MIN(MAX(size_bytes / JOURNAL_SHARE, JOURNAL_MIN), JOURNAL_MAX), DISK_BLOCK);
    super.snapshot_bytes = up_to(size_bytes / SNAPSHOT_SHARE, DISK_BLOCK);
    super.snapshot_at[0] = super.journal_at + super.journal_bytes;
    super.snapshot_at[1] = super.snapshot_at[0] + super.snapshot_bytes;
    super.segments_at = up_to(super.snapshot_at[1] + super.snapshot_bytes, DISK_BLOCK);
    segments = (size_bytes - super.segments_at) / super.segment_bytes;
    ENSURE(segments >= 8 && segments <= DISK_SEGMENTS_MAX, LIMIT);
    super.segments = (uint32_t)segments;
    *ret_super = super;
    return ERR_OK;
}

void disk_super_write(const struct disk_super *super, void *block)
{
    struct disk_super *to = block;

    memset(block, 0, DISK_BLOCK);
    *to = *super;
    to->magic = SUPER_MAGIC;
    to->version = DISK_VERSION;
    crc_set(block, DISK_BLOCK, CRC_WORD(struct disk_super), 0);
}

/* What a valid checksum cannot promise: that whoever wrote it laid it out as disk_super_layout does. */
MUST_USE static err super_check(const struct disk_super *super)
{
    struct disk_super layout;
    uint32_t bytes = super->segment_bytes;

    ENSURE(bytes >= DISK_SEGMENT_MIN && bytes <= DISK_SEGMENT_MAX && (bytes & (bytes - 1)) == 0, CORRUPT);
    ENSURE(err_is_ok(disk_super_layout(super->size_bytes, bytes, &layout)), CORRUPT);
    ENSURE(layout.size_bytes == super->size_bytes && layout.segments == super->segments, CORRUPT);
    ENSURE(layout.journal_at == super->journal_at && layout.journal_bytes == super->journal_bytes, CORRUPT);
    ENSURE(layout.snapshot_at[0] == super->snapshot_at[0] && layout.snapshot_at[1] == super->snapshot_at[1], CORRUPT);
    ENSURE(layout.snapshot_bytes == super->snapshot_bytes && layout.segments_at == super->segments_at, CORRUPT);
    ENSURE(super->devices > 0 && super->device < super->devices, CORRUPT);
    return ERR_OK;
}

err disk_super_read(const void *block, struct disk_super *ret_super)
{
    struct disk_super super;

    memcpy(&super, block, sizeof(super));
    ENSURE(super.magic == SUPER_MAGIC, NOT_FOUND);
    ENSURE(crc_fits(block, DISK_BLOCK, CRC_WORD(struct disk_super), 0), CORRUPT);
    ENSURE(super.version == DISK_VERSION, UNSUPPORTED);
    TRY(super_check(&super));
    *ret_super = super;
    return ERR_OK;
}

/* ---- segment -------------------------------------------------------------------------------------------------- */

void disk_segment_head_write(struct disk_segment_head *head)
{
    head->magic = SEGMENT_MAGIC;
    memset(head->reserved, 0, sizeof(head->reserved));
    crc_set((char *)head, sizeof(*head), CRC_WORD(struct disk_segment_head), 0);
}

err disk_segment_head_read(const void *bytes, const struct disk_id *store, uint32_t segment, struct disk_segment_head *ret_head)
{
    struct disk_segment_head head;

    memcpy(&head, bytes, sizeof(head));
    ENSURE(head.magic == SEGMENT_MAGIC, NOT_FOUND);
    ENSURE(crc_fits(bytes, sizeof(head), CRC_WORD(struct disk_segment_head), 0), CORRUPT);
    ENSURE(head.segment == segment && id_eq(&head.store, store) && head.first_wseq > 0 && head.log < 2, CORRUPT);
    *ret_head = head;
    return ERR_OK;
}

/* ---- record --------------------------------------------------------------------------------------------------- */

static uint32_t crc_count(uint32_t body_bytes)
{
    return (uint32_t)(((uint64_t)body_bytes + DISK_CRC_BLOCK - 1) / DISK_CRC_BLOCK);
}

/* What the head's checksum covers. */
static uint64_t covered_bytes(const struct disk_record_head *head)
{
    return sizeof(*head) + head->key_bytes + head->label_count * sizeof(struct store_label) + head->meta_bytes +
           (uint64_t)crc_count(head->body_bytes) * sizeof(uint32_t);
}

uint64_t disk_record_bytes(size_t key_bytes, unsigned labels, size_t meta_bytes, uint64_t body_bytes)
{
    struct disk_record_head head = {.body_bytes = (uint32_t)body_bytes};

    if (key_bytes > DISK_KEY_BYTES_MAX || labels > STORE_LABELS_MAX || meta_bytes > DISK_META_BYTES_MAX ||
        body_bytes > STORE_SLICE_BYTES)
        return 0;
    head.key_bytes = (uint16_t)key_bytes;
    head.label_count = (uint16_t)labels;
    head.meta_bytes = (uint32_t)meta_bytes;
    return up_to(covered_bytes(&head) + body_bytes, DISK_OFFSET_UNIT);
}

static char *copy_to(char *at, const void *from, size_t size)
{
    if (size > 0)
        memcpy(at, from, size);
    return at + size;
}

void disk_record_begin(const struct disk_record *record, char *at, char **ret_meta, char **ret_body)
{
    struct disk_record_head head = {.magic = RECORD_MAGIC | (uint32_t)record->kind << 24,
                                    .wseq = record->wseq,
                                    .body_id = record->body_id,
                                    .purge_seq = record->purge_seq,
                                    .stored_ms = record->stored_ms,
                                    .body_bytes = record->body_bytes,
                                    .meta_bytes = (uint32_t)record->meta.len,
                                    .key_bytes = (uint16_t)record->key.len,
                                    .label_count = (uint16_t)record->label_count,
                                    .tenant = record->tenant,
                                    .flags = record->is_packed ? DISK_RECORD_PACKED : 0};
    char *to = copy_to(at, &head, sizeof(head));

    INVARIANT(record->key.len <= DISK_KEY_BYTES_MAX && record->meta.len <= DISK_META_BYTES_MAX);
    INVARIANT(record->label_count <= STORE_LABELS_MAX && record->body_bytes <= STORE_SLICE_BYTES);
    to = copy_to(to, record->key.data, record->key.len);
    *ret_meta = to = copy_to(to, record->labels, record->label_count * sizeof(struct store_label));
    if (record->meta.data != NULL)
        memcpy(to, record->meta.data, record->meta.len);
    *ret_body = to + record->meta.len + crc_count(record->body_bytes) * sizeof(uint32_t);
}

void disk_record_seal(char *at, const struct disk_place *place)
{
    struct disk_record_head head;

    memcpy(&head, at, sizeof(head));
    uint64_t covered = covered_bytes(&head), total = up_to(covered + head.body_bytes, DISK_OFFSET_UNIT);
    char *body = at + covered, *crcs = body - crc_count(head.body_bytes) * sizeof(uint32_t);
    for (uint32_t done = 0; done < head.body_bytes; done += DISK_CRC_BLOCK) {
        uint32_t crc = crc32c(0, body + done, MIN(head.body_bytes - done, DISK_CRC_BLOCK));
        crcs = copy_to(crcs, &crc, sizeof(crc));
    }
    memset(body + head.body_bytes, 0, (size_t)(total - covered - head.body_bytes));
    crc_set(at, (size_t)covered, CRC_WORD(struct disk_record_head), crc_of_place(place));
}

MUST_USE static err record_head_check(const struct disk_record_head *head)
{
    uint32_t kind = head->magic >> 24;

    ENSURE((head->magic & 0xffffff) == RECORD_MAGIC, NOT_FOUND);
    ENSURE(kind > DISK_NONE && kind <= DISK_SLICE && (head->flags & ~DISK_RECORD_PACKED) == 0, CORRUPT);
    ENSURE(head->label_count <= STORE_LABELS_MAX && head->meta_bytes <= DISK_META_BYTES_MAX &&
               head->body_bytes <= STORE_SLICE_BYTES,
           CORRUPT);
    return ERR_OK;
}

err disk_record_read(const char *bytes, size_t size, const struct disk_place *place, struct disk_record *ret_record,
                     uint64_t *ret_bytes)
{
    struct disk_record_head head;

    ENSURE(size >= sizeof(head), CORRUPT);
    memcpy(&head, bytes, sizeof(head));
    TRY(record_head_check(&head));
    uint64_t covered = covered_bytes(&head);
    *ret_bytes = up_to(covered + head.body_bytes, DISK_OFFSET_UNIT);
    ENSURE(covered <= size, LIMIT);
    ENSURE(crc_fits(bytes, (size_t)covered, CRC_WORD(struct disk_record_head), crc_of_place(place)), CORRUPT);

    const char *key = bytes + sizeof(head), *labels = key + head.key_bytes;
    const char *meta = labels + head.label_count * sizeof(struct store_label), *crcs = meta + head.meta_bytes;
    *ret_record = (struct disk_record){.kind = (enum disk_kind)(head.magic >> 24),
                                       .wseq = head.wseq,
                                       .body_id = head.body_id,
                                       .purge_seq = head.purge_seq,
                                       .stored_ms = head.stored_ms,
                                       .tenant = head.tenant,
                                       .is_packed = head.flags & DISK_RECORD_PACKED,
                                       .key = slice_of(key, head.key_bytes),
                                       .meta = slice_of(meta, head.meta_bytes),
                                       .labels = labels,
                                       .label_count = head.label_count,
                                       .body_bytes = head.body_bytes,
                                       .body = slice_of(bytes + covered, (size_t)MIN(head.body_bytes, size - covered)),
                                       .crcs = crcs};
    return ERR_OK;
}

err disk_record_check_body(const struct disk_record *record)
{
    for (uint32_t done = 0; done < record->body.len; done += DISK_CRC_BLOCK) {
        uint32_t size = MIN(record->body_bytes - done, DISK_CRC_BLOCK), crc;
        if (size > record->body.len - done)
            break;
        memcpy(&crc, (const char *)record->crcs + done / DISK_CRC_BLOCK * sizeof(crc), sizeof(crc));
        ENSURE(crc == crc32c(0, record->body.data + done, size), CORRUPT);
    }
    return ERR_OK;
}

/* ---- footer --------------------------------------------------------------------------------------------------- */

uint32_t disk_footer_room(uint64_t footer_bytes)
{
    return (uint32_t)up_to(footer_bytes + DISK_TRAILER_BYTES, DISK_BLOCK);
}

void disk_footer_write(char *room_at, uint32_t segment_bytes, const char *footer, struct disk_trailer *trailer,
                       const struct disk_place *place)
{
    uint32_t room = disk_footer_room(trailer->footer_bytes);
    char *last = room_at + room - sizeof(*trailer);

    if (room_at != footer)
        copy_to(room_at, footer, trailer->footer_bytes);
    memset(room_at + trailer->footer_bytes, 0, room - trailer->footer_bytes);
    trailer->magic = TRAILER_MAGIC;
    trailer->footer_at = segment_bytes - room;
    trailer->footer_crc = crc32c(0, footer, trailer->footer_bytes);
    memcpy(last, trailer, sizeof(*trailer));
    crc_set(last, sizeof(*trailer), CRC_WORD(struct disk_trailer), crc_of_place(place));
}

err disk_trailer_read(const char *last, uint32_t segment_bytes, const struct disk_place *place, struct disk_trailer *ret_trailer)
{
    struct disk_trailer trailer;
    const char *at = last + DISK_BLOCK - sizeof(trailer);

    memcpy(&trailer, at, sizeof(trailer));
    ENSURE(trailer.magic == TRAILER_MAGIC, NOT_FOUND);
    ENSURE(crc_fits(at, sizeof(trailer), CRC_WORD(struct disk_trailer), crc_of_place(place)), CORRUPT);
    ENSURE(trailer.footer_bytes < segment_bytes && disk_footer_room(trailer.footer_bytes) < segment_bytes && trailer.footer_at == segment_bytes - disk_footer_room(trailer.footer_bytes),
           CORRUPT);
    *ret_trailer = trailer;
    return ERR_OK;
}

bool disk_footer_next(const char *footer, const struct disk_trailer *trailer, uint32_t *at, struct disk_footer_entry *ret_entry,
                      const void **ret_labels)
{
    uint64_t end;

    if (trailer->footer_bytes - *at < sizeof(*ret_entry))
        return false;
    memcpy(ret_entry, footer + *at, sizeof(*ret_entry));
    *ret_labels = footer + *at + sizeof(*ret_entry);
    end = (uint64_t)*at + sizeof(*ret_entry) + ret_entry->label_count * sizeof(struct store_label);
    if (end > trailer->footer_bytes)
        return false;
    *at = (uint32_t)end;
    return true;
}

err disk_footer_check(const char *footer, const struct disk_trailer *trailer)
{
    struct disk_footer_entry entry;
    uint32_t at = 0, entries = 0, end = 0;
    const void *labels;

    ENSURE(trailer->footer_crc == crc32c(0, footer, trailer->footer_bytes), CORRUPT);
    while (disk_footer_next(footer, trailer, &at, &entry, &labels)) {
        uint64_t entry_end = ((uint64_t)entry.offset + entry.units) * DISK_OFFSET_UNIT;
        ENSURE(entry.kind > DISK_NONE && entry.kind <= DISK_SLICE && entry.label_count <= STORE_LABELS_MAX, CORRUPT);
        ENSURE(entry.units > 0 && entry.offset >= end && entry_end <= trailer->footer_at, CORRUPT);
        end = entry.offset + entry.units;
        entries++;
    }
    ENSURE(at == trailer->footer_bytes && entries == trailer->entries, CORRUPT);
    return ERR_OK;
}

/* ---- snapshot ------------------------------------------------------------------------------------------------- */

uint64_t disk_snapshot_bytes(const struct disk_snapshot_head *head)
{
    uint64_t bytes = DISK_BLOCK + up_to((uint64_t)head->segments * sizeof(uint64_t), DISK_BLOCK);

    if (head->chunks == 0)
        return bytes;
    return bytes + (uint64_t)(head->chunks - 1) * DISK_CHUNK_BYTES + disk_chunk_bytes(head, head->chunks - 1);
}

uint64_t disk_chunk_buckets(const struct disk_snapshot_head *head, uint32_t number)
{
    uint64_t before = (uint64_t)number * DISK_CHUNK_BUCKETS;

    return head->shape.buckets > before ? MIN(head->shape.buckets - before, DISK_CHUNK_BUCKETS) : 0;
}

uint32_t disk_chunk_bytes(const struct disk_snapshot_head *head, uint32_t number)
{
    return (uint32_t)up_to(sizeof(struct disk_chunk_head) + disk_chunk_buckets(head, number) * DISK_INDEX_BUCKET_BYTES, DISK_BLOCK);
}

void disk_snapshot_head_write(const struct disk_snapshot_head *head, void *block)
{
    struct disk_snapshot_head *to = block;

    memset(block, 0, DISK_BLOCK);
    *to = *head;
    to->magic = SNAPSHOT_MAGIC;
    crc_set(block, DISK_BLOCK, CRC_WORD(struct disk_snapshot_head), 0);
}

err disk_snapshot_head_read(const void *block, const struct disk_id *set, struct disk_snapshot_head *ret_head)
{
    struct disk_snapshot_head head;

    memcpy(&head, block, sizeof(head));
    ENSURE(head.magic == SNAPSHOT_MAGIC, NOT_FOUND);
    ENSURE(crc_fits(block, DISK_BLOCK, CRC_WORD(struct disk_snapshot_head), 0) && id_eq(&head.set, set), CORRUPT);
    ENSURE(head.segments > 0 && head.segments <= DISK_SEGMENTS_MAX && head.swept_seq <= head.seq, CORRUPT);
    ENSURE(head.chunks == (head.shape.buckets + DISK_CHUNK_BUCKETS - 1) / DISK_CHUNK_BUCKETS, CORRUPT);
    *ret_head = head;
    return ERR_OK;
}

void disk_chunk_write(void *chunk, const struct disk_id *set, uint64_t snapshot, uint32_t number, uint64_t buckets)
{
    struct disk_chunk_head head = {
        .magic = CHUNK_MAGIC, .number = number, .set = *set, .snapshot = snapshot, .buckets = buckets};

    memcpy(chunk, &head, sizeof(head));
    crc_set(chunk, sizeof(head) + (size_t)buckets * DISK_INDEX_BUCKET_BYTES, CRC_WORD(struct disk_chunk_head), 0);
}

err disk_chunk_read(const void *chunk, const struct disk_id *set, uint64_t snapshot, uint32_t number, uint64_t *ret_buckets)
{
    struct disk_chunk_head head;

    memcpy(&head, chunk, sizeof(head));
    ENSURE(head.magic == CHUNK_MAGIC && head.number == number && head.snapshot == snapshot && id_eq(&head.set, set), CORRUPT);
    ENSURE(head.buckets > 0 && head.buckets <= DISK_CHUNK_BUCKETS, CORRUPT);
    ENSURE(crc_fits(chunk, sizeof(head) + (size_t)head.buckets * DISK_INDEX_BUCKET_BYTES, CRC_WORD(struct disk_chunk_head), 0),
           CORRUPT);
    *ret_buckets = head.buckets;
    return ERR_OK;
}
