#include "store/near.h"

#define HAND_LOOKS 16u /* sets, for one object that wants in */

_Thread_local struct store_near *near_here;

void near_refill(struct near_entry *entry)
{
    stored_ref(entry->stored, NEAR_BATCH);
    entry->credit += NEAR_BATCH;
}

void near_spill(struct near_entry *entry)
{
    entry->credit -= NEAR_BATCH;
    stored_unref(entry->stored, NEAR_BATCH);
}

static void near_tell_hits(struct near_entry *entry)
{
    if (entry->hits > 0)
        atomic_fetch_add_explicit(&entry->stored->hits, entry->hits, memory_order_relaxed);
    entry->hits = 0;
}

/* Free before the references go: freeing the object may let go of another one that is in the table too. */
void near_let_go(struct store_near *near, struct near_entry *entry)
{
    struct stored *stored = entry->stored;
    uint32_t credit = entry->credit;

    INVARIANT(credit >= 1);
    near_tell_hits(entry);
    near->units -= entry->units;
    near->count--;
    *entry = (struct near_entry){0};
    stored_unref(stored, credit);
}

void near_let_go_all(struct store_near *near)
{
    for (unsigned i = 0; i < NEAR_SETS && near->count > 0; i++)
        for (unsigned way = 0; way < NEAR_WAYS; way++)
            if (near->sets[i].ways[way].stored != NULL)
                near_let_go(near, &near->sets[i].ways[way]);
}

/* Where an object of that hash may go: the place of an older one of the same hash, a free one, or that of the
 * cooler of the two once it has cooled down. NULL: both are asked for more often. */
static struct near_entry *near_place(struct store_near *near, hash128 hash)
{
    struct near_entry *same = near_find(near, hash), *set = near_set_of(near, hash);
    struct near_entry *cooler = set[1].heat < set[0].heat ? &set[1] : &set[0];

    if (same != NULL)
        return same;
    for (unsigned i = 0; i < NEAR_WAYS; i++)
        if (set[i].stored == NULL)
            return &set[i];
    if (cooler->heat > 0) {
        cooler->heat--;
        return NULL;
    }
    return cooler;
}

static void near_cool(struct store_near *near, struct near_entry *entry)
{
    if (entry->stored == NULL)
        return;
    if (entry->heat == 0)
        near_let_go(near, entry);
    else
        entry->heat--;
}

/* The hand goes round; what is cold gives way, the rest cools down. */
static bool near_make_room(struct store_near *near, uint32_t units, uint64_t units_max)
{
    if (units > units_max)
        return false;
    for (unsigned looks = 0; looks < HAND_LOOKS && near->units + units > units_max; looks++) {
        for (unsigned way = 0; way < NEAR_WAYS; way++)
            near_cool(near, &near->sets[near->hand].ways[way]);
        near->hand = (near->hand + 1) % NEAR_SETS;
    }
    return near->units + units <= units_max;
}

void near_keep(struct store_near *near, struct stored *stored, uint32_t units, uint64_t units_max)
{
    struct near_entry *entry;

    if (!near_make_room(near, units, units_max) || (entry = near_place(near, stored->seen.hash)) == NULL)
        return;
    if (entry->stored != NULL)
        near_let_go(near, entry);
    *entry = (struct near_entry){
        .stored = stored, .tag = near_tag(stored->seen.hash), .units = (uint16_t)units, .heat = 1};
    near->units += units;
    near->count++;
    near_refill(entry);
}

void near_turn(struct store_near *near)
{
    if (near->count == 0)
        return;
    for (unsigned i = 0; i < NEAR_SETS; i++) {
        for (unsigned way = 0; way < NEAR_WAYS; way++) {
            struct near_entry *entry = &near->sets[i].ways[way];
            if (entry->stored == NULL)
                continue;
            near_tell_hits(entry);
            if (entry->heat == 0 || !stored_is_indexed(entry->stored))
                near_let_go(near, entry);
            else
                entry->heat /= 2;
        }
    }
}
