/* Everything that is read from a device. The first byte chooses the reader and whether the checksums are made right before
 * it looks, so that lengths behind them are reached too. */
#include "base/crc32c.h"
#include "store/disk/format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SEGMENT (512u * 1024)

static const struct disk_place place = {.segment = 1, .generation = 2, .offset = 64};
static const struct disk_id set;

static uint32_t crc_of_place(void)
{
    uint32_t words[4] = {place.segment, place.offset, (uint32_t)place.generation, (uint32_t)(place.generation >> 32)};

    return crc32c(crc32c(0, place.store.bytes, sizeof(place.store.bytes)), words, sizeof(words));
}

static void crc_fix(char *bytes, size_t size, size_t hole, uint32_t start)
{
    uint32_t crc = 0;

    if (size < hole + 4)
        return;
    memcpy(bytes + hole, &crc, 4);
    crc = crc32c(start, bytes, size);
    memcpy(bytes + hole, &crc, 4);
}

static void read_record(char *bytes, size_t size, bool fixes)
{
    struct disk_record record;
    struct disk_record_head head;
    uint64_t need;

    if (fixes && size >= sizeof(head)) {
        memcpy(&head, bytes, sizeof(head));
        uint64_t covered = sizeof(head) + head.key_bytes + head.label_count * 4u + (uint64_t)head.meta_bytes +
                           ((uint64_t)head.body_bytes + 65535) / 65536 * 4;
        if (covered <= size)
            crc_fix(bytes, (size_t)covered, offsetof(struct disk_record_head, crc), crc_of_place());
    }
    if (!err_is_ok(disk_record_read(bytes, size, &place, &record, &need)))
        return;
    INVARIANT(record.key.data >= bytes && record.key.data + record.key.len <= bytes + size);
    INVARIANT(record.meta.data + record.meta.len <= bytes + size && record.body.data + record.body.len <= bytes + size);
    INVARIANT(record.body.len <= record.body_bytes && record.body_bytes <= STORE_SLICE_BYTES);
    for (unsigned i = 0; i < record.label_count; i++)
        (void)disk_label(record.labels, i);
    (void)disk_record_check_body(&record).code;
}

static void read_footer(char *bytes, size_t size, bool fixes)
{
    struct disk_footer_entry entry;
    struct disk_trailer trailer;
    const void *labels;
    uint32_t at = 0;
    char *last = calloc(1, DISK_BLOCK);

    if (size < sizeof(trailer))
        bytes = NULL;
    if (bytes != NULL) {
        memcpy(last + DISK_BLOCK - sizeof(trailer), bytes, sizeof(trailer));
        bytes += sizeof(trailer);
        size -= sizeof(trailer);
        if (fixes) {
            trailer.footer_crc = crc32c(0, bytes, size);
            memcpy(last + DISK_BLOCK - sizeof(trailer) + offsetof(struct disk_trailer, footer_crc), &trailer.footer_crc, 4);
            crc_fix(last + DISK_BLOCK - sizeof(trailer), sizeof(trailer), offsetof(struct disk_trailer, crc), crc_of_place());
        }
        if (err_is_ok(disk_trailer_read(last, SEGMENT, &place, &trailer)) && trailer.footer_bytes == size &&
            err_is_ok(disk_footer_check(bytes, &trailer))) {
            while (disk_footer_next(bytes, &trailer, &at, &entry, &labels))
                INVARIANT((const char *)labels + entry.label_count * 4u <= bytes + size);
            INVARIANT(at == size);
        }
    }
    free(last);
}

static void read_block(char *bytes, size_t size, bool fixes, unsigned which)
{
    char *block = calloc(1, DISK_BLOCK);
    struct disk_super super;
    struct disk_snapshot_head snapshot;

    memcpy(block, bytes, MIN(size, DISK_BLOCK));
    if (fixes)
        crc_fix(block, DISK_BLOCK, which == 0 ? offsetof(struct disk_super, crc) : offsetof(struct disk_snapshot_head, crc), 0);
    if (which == 0 && err_is_ok(disk_super_read(block, &super)))
        INVARIANT(super.segments_at + (uint64_t)super.segments * super.segment_bytes <= super.size_bytes);
    if (which == 1 && err_is_ok(disk_snapshot_head_read(block, &set, &snapshot)))
        INVARIANT(disk_snapshot_bytes(&snapshot) > snapshot.chunks);
    free(block);
}

static void read_segment(char *bytes, size_t size, bool fixes)
{
    struct disk_segment_head head;

    if (size < sizeof(head))
        return;
    if (fixes)
        crc_fix(bytes, sizeof(head), offsetof(struct disk_segment_head, crc), 0);
    if (err_is_ok(disk_segment_head_read(bytes, &place.store, 1, &head)))
        INVARIANT(head.first_wseq > 0 && head.log < 2);
}

static void read_chunk(char *bytes, size_t size, bool fixes)
{
    char *chunk = calloc(1, DISK_CHUNK_BYTES);
    struct disk_chunk_head head;
    uint64_t buckets;

    memcpy(chunk, bytes, MIN(size, DISK_CHUNK_BYTES));
    memcpy(&head, chunk, sizeof(head));
    if (fixes && head.buckets <= DISK_CHUNK_BUCKETS)
        crc_fix(chunk, sizeof(head) + (size_t)head.buckets * DISK_INDEX_BUCKET_BYTES, offsetof(struct disk_chunk_head, crc), 0);
    if (err_is_ok(disk_chunk_read(chunk, &set, head.snapshot, head.number, &buckets)))
        INVARIANT(buckets > 0 && buckets <= DISK_CHUNK_BUCKETS);
    free(chunk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    bool fixes = data[0] & 0x80;
    char *bytes = malloc(size);

    memcpy(bytes, data + 1, size - 1);
    switch (data[0] & 7) {
    case 0:
    case 1:
        read_block(bytes, size - 1, fixes, data[0] & 1);
        break;
    case 2:
        read_segment(bytes, size - 1, fixes);
        break;
    case 3:
        read_footer(bytes, size - 1, fixes);
        break;
    case 4:
        read_chunk(bytes, size - 1, fixes);
        break;
    default:
        read_record(bytes, size - 1, fixes);
        break;
    }
    free(bytes);
    return 0;
}
