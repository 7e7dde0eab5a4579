#include "proto/h2_priority.h"

#define ID_BYTES 4u

void h2_priority_chunk(struct h2_priorities *all, slice bytes)
{
    if (all->frame_bytes < H2_PRIORITY_BYTES_MAX)
        memcpy(all->text + all->frame_bytes, bytes.data, MIN(bytes.len, (size_t)(H2_PRIORITY_BYTES_MAX - all->frame_bytes)));
    all->frame_bytes += (uint32_t)bytes.len; /* a frame's: no more than 16 KiB */
}

static void early_remove(struct h2_priorities *all, unsigned at)
{
    all->early_count--;
    memmove(&all->early[at], &all->early[at + 1], (all->early_count - at) * sizeof(all->early[0]));
}

static void early_put(struct h2_priorities *all, int32_t id, struct priority priority)
{
    for (unsigned i = 0; i < all->early_count; i++)
        if (all->early[i].id == id) {
            all->early[i].priority = priority;
            return;
        }
    if (all->early_count == H2_PRIORITY_EARLY_MAX)
        early_remove(all, 0);
    all->early[all->early_count++] = (struct h2_priority_early){id, priority};
}

static int32_t id_read(const char text[ID_BYTES])
{
    uint32_t id = 0;

    for (unsigned i = 0; i < ID_BYTES; i++)
        id = id << 8 | (unsigned char)text[i];
    return (int32_t)(id & INT32_MAX); /* the first bit is reserved */
}

enum h2_priority_result h2_priority_end(struct h2_priorities *all, int32_t frame_id, int32_t *ret_id,
                                        struct priority *ret_priority)
{
    uint32_t bytes = all->frame_bytes;
    struct priority priority = PRIORITY_DEFAULT; /* the frame says all of it: what it leaves out is the default */
    int32_t id;

    all->frame_bytes = 0;
    if (frame_id != 0)
        return H2_PRIORITY_INVALID;
    if (bytes < ID_BYTES)
        return H2_PRIORITY_SHORT;
    id = id_read(all->text);
    if (id % 2 == 0) /* 0, or a push that was never promised */
        return H2_PRIORITY_INVALID;
    if (bytes > H2_PRIORITY_BYTES_MAX || !priority_parse(slice_of(all->text + ID_BYTES, bytes - ID_BYTES), &priority))
        return H2_PRIORITY_IGNORED;
    if (id > all->last_id) {
        early_put(all, id, priority);
        return H2_PRIORITY_IGNORED;
    }
    *ret_id = id;
    *ret_priority = priority;
    return H2_PRIORITY_IS;
}

bool h2_priority_open(struct h2_priorities *all, int32_t id, struct priority *ret_priority)
{
    bool found = false;

    all->last_id = MAX(all->last_id, id);
    for (unsigned i = all->early_count; i-- > 0;) {
        if (all->early[i].id > id)
            continue;
        if (all->early[i].id == id) {
            *ret_priority = all->early[i].priority;
            found = true;
        }
        early_remove(all, i);
    }
    return found;
}
