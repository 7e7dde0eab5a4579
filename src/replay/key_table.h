/* key_table: 64-bit keys and a number for each. Open addressing; grows. Out of memory ends the process: it is a tool. */
#ifndef WARP_REPLAY_KEY_TABLE_H
#define WARP_REPLAY_KEY_TABLE_H

#include "base/base.h"

struct key_table {
    struct key_slot *slots;
    uint64_t room, count; /* room: a power of two, or 0 */
};
struct key_slot {
    uint64_t key;
    uint32_t value; /* KEY_NONE: a free slot */
};
#define KEY_NONE UINT32_MAX

void key_table_done(struct key_table *table); /* of a zeroed one, too */
/* KEY_NONE: it is not there. */
uint32_t key_table_find(const struct key_table *table, uint64_t key);
/* The key is not there; value is not KEY_NONE. */
void key_table_add(struct key_table *table, uint64_t key, uint32_t value);
void key_table_remove(struct key_table *table, uint64_t key);

noreturn void replay_out_of_memory(void); /* says so, exit 1 */
/* malloc and realloc that never fail. */
void *replay_memory(void *old, size_t count, size_t size);

#endif
