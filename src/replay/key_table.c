#include "replay/key_table.h"

#include <stdio.h>
#include <stdlib.h>

#define ROOM_FIRST 1024u

void replay_out_of_memory(void)
{
    fprintf(stderr, "warp-sim: out of memory\n");
    exit(1);
}

void *replay_memory(void *old, size_t count, size_t size)
{
    void *memory = reallocarray(old, MAX(count, 1), size);

    if (memory == NULL)
        replay_out_of_memory();
    return memory;
}

static uint64_t home_of(const struct key_table *table, uint64_t key)
{
    return (key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (table->room - 1);
}

void key_table_done(struct key_table *table)
{
    free(table->slots);
    *table = (struct key_table){0};
}

/* Where it is, or the free slot where its search ends. */
static struct key_slot *slot_of(const struct key_table *table, uint64_t key)
{
    uint64_t at = home_of(table, key);

    while (table->slots[at].value != KEY_NONE && table->slots[at].key != key)
        at = (at + 1) & (table->room - 1);
    return &table->slots[at];
}

uint32_t key_table_find(const struct key_table *table, uint64_t key)
{
    return table->count == 0 ? KEY_NONE : slot_of(table, key)->value;
}

static void table_grow(struct key_table *table)
{
    struct key_table old = *table;

    table->room = MAX(2 * old.room, ROOM_FIRST);
    table->slots = replay_memory(NULL, table->room, sizeof(*table->slots));
    for (uint64_t i = 0; i < table->room; i++)
        table->slots[i].value = KEY_NONE;
    for (uint64_t i = 0; i < old.room; i++)
        if (old.slots[i].value != KEY_NONE)
            *slot_of(table, old.slots[i].key) = old.slots[i];
    free(old.slots);
}

void key_table_add(struct key_table *table, uint64_t key, uint32_t value)
{
    INVARIANT(value != KEY_NONE);
    if ((table->count + 1) * 3 > table->room * 2)
        table_grow(table);
    struct key_slot *slot = slot_of(table, key);
    INVARIANT(slot->value == KEY_NONE);
    *slot = (struct key_slot){key, value};
    table->count++;
}

void key_table_remove(struct key_table *table, uint64_t key)
{
    struct key_slot *slot = slot_of(table, key);
    uint64_t hole = (uint64_t)(slot - table->slots), at = hole, mask = table->room - 1;

    INVARIANT(slot->value != KEY_NONE);
    table->count--;
    /* what lies behind and would not be found across the hole moves into it */
    for (;;) {
        at = (at + 1) & mask;
        if (table->slots[at].value == KEY_NONE)
            break;
        uint64_t home = home_of(table, table->slots[at].key);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        table->slots[hole] = table->slots[at];
        hole = at;
    }
    table->slots[hole].value = KEY_NONE;
}
