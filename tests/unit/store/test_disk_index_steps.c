/* Interleavings of the index's own code, all of them up to a number of preemptions.
 *
 * The code is compiled here with a hook before each access to what threads share (DISK_STEP) and where it waits for
 * another thread (DISK_WAIT). Threads are coroutines; a hook is where another one may go on instead. A scenario is run
 * again and again with another choice each time, until there is none left: where a thread ends or waits, all others are
 * tried; elsewhere too, up to `preemptions` times a run. Accesses happen in the order of the steps here; that they do
 * on a real machine is for acquire and release, which index_own.h explains and the thread sanitizer looks at.
 *
 * Seen to fail, each with the change named:
 *   the first version is not looked at again behind the second bucket      reader_and_move, and all others with a reader
 *   the second version is not looked at again, or read on when odd         reader_and_walk_that_clears
 *   the first version is read on when odd                                  reader_and_move
 *   the count is not looked at again                                       reader_and_split
 *   an unlock behind a change leaves the version as it was                 reader_and_move, reader_and_replacement
 *   a move locks one bucket after the other, in whatever order             reader_and_move, two_chains, walk_and_move
 *   a move does not look whether the entry is still there, or has room     remove_and_move, two_chains
 *   a move does not look whether the pair is still one                     moves_and_split
 *   a split unlocks before it counts the new bucket                        reader_and_split, writer_and_split
 *   a split counts the new bucket before it is filled                      reader_and_split
 *   a split does not lock                                                  writer_and_split
 *   a writer does not look at the count again once it has its locks        writer_and_split
 *   what becomes a body is found, and put as one                           reader_and_body, body_and_reclaim
 *   a put looks for its like before it locks                               two_puts_of_a_key
 *   a walk says where it is before it locks, or behind its unlock          walk_and_move
 *   moves do not look at walks                                             walk_and_move
 *   locks are taken in the order first, second                             two_writers (they wait for each other) */
static void step(void);
static void wait_for_others(void);
#define DISK_STEP()      step()
#define DISK_WAIT(tries) ((void)(tries), wait_for_others())
#include "store/disk/index.c"
#include "store/disk/index_room.c"
#include "store/disk/index_walk.c"

#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#define THREADS_MAX   3u
#define STACK_BYTES   65536u
#define CHOICES_MAX   4096u
#define BUCKETS_MAX   16u
#define PLACES_MAX    64u
#define RUN_STEPS_MAX 5000u /* of a run; more: somebody waits for ever */

/* ---- schedules ------------------------------------------------------------------------------------------------------------ */

struct actor {
    void (*run)(void);
    ucontext_t context;
    bool has_ended, waits;
    uint64_t waits_since; /* what threads share, then */
    _Alignas(16) char stack[STACK_BYTES];
};

static struct {
    struct actor actors[THREADS_MAX];
    unsigned count, current;
    ucontext_t home;
    bool runs; /* false: setting up, or looking at the result */
    uint64_t steps;
    unsigned preemptions, preemptions_max;
    uint16_t chosen[CHOICES_MAX], options[CHOICES_MAX];
    unsigned choice, choices; /* the next one; how many this run repeats */
    uint64_t runs_made;
} schedule;

/* 0 is tried first. */
static unsigned choose(unsigned options)
{
    if (options <= 1)
        return 0;
    assert_true(schedule.choice < CHOICES_MAX);
    if (schedule.choice == schedule.choices) {
        schedule.chosen[schedule.choice] = 0;
        schedule.options[schedule.choice] = (uint16_t)options;
        schedule.choices++;
    }
    INVARIANT(schedule.options[schedule.choice] == options); /* runs are repeatable */
    return schedule.chosen[schedule.choice++];
}

/* The schedule that follows; false: that was the last one. */
static bool choices_next(void)
{
    while (schedule.choices > 0) {
        unsigned last = schedule.choices - 1;
        if (++schedule.chosen[last] < schedule.options[last])
            return true;
        schedule.choices--;
    }
    return false;
}

/* A sum of what threads share: who waits is not ready before it changes. */
static uint64_t shared_sum(void);

static bool is_ready(const struct actor *actor)
{
    return !actor->has_ended && (!actor->waits || shared_sum() != actor->waits_since);
}

/* The n-th of those that are ready, not counting the current one; their number where there are not so many. */
static unsigned other_ready(unsigned n, unsigned *ret_actor)
{
    unsigned found = 0;

    for (unsigned i = 0; i < schedule.count; i++) {
        if (i == schedule.current || !is_ready(&schedule.actors[i]))
            continue;
        if (found++ == n)
            *ret_actor = i;
    }
    return found;
}

static void switch_to(unsigned to)
{
    struct actor *from = &schedule.actors[schedule.current];

    schedule.current = to;
    swapcontext(&from->context, &schedule.actors[to].context);
}

static void step(void)
{
    unsigned others, chosen, to = 0;

    if (!schedule.runs)
        return;
    schedule.steps++;
    INVARIANT(schedule.steps < RUN_STEPS_MAX);
    schedule.actors[schedule.current].waits = false;
    if (schedule.preemptions == schedule.preemptions_max)
        return;
    others = other_ready(UINT32_MAX, &to);
    chosen = choose(1 + others);
    if (chosen == 0)
        return;
    schedule.preemptions++;
    (void)other_ready(chosen - 1, &to);
    switch_to(to);
}

/* Where nobody else is ready, on: what was waited for may have been, and who waits for ever makes too many steps. */
static void go_elsewhere(void)
{
    unsigned to = 0, others = other_ready(UINT32_MAX, &to);

    if (others == 0)
        return;
    (void)other_ready(choose(others), &to);
    switch_to(to);
}

static void wait_for_others(void)
{
    struct actor *me = &schedule.actors[schedule.current];

    me->waits = true;
    me->waits_since = shared_sum();
    go_elsewhere();
}

static void actor_main(void)
{
    struct actor *me = &schedule.actors[schedule.current];
    bool is_last = true;

    me->run();
    me->has_ended = true;
    for (unsigned i = 0; i < schedule.count; i++)
        is_last = is_last && schedule.actors[i].has_ended;
    if (is_last)
        setcontext(&schedule.home);
    for (unsigned i = 0; i < schedule.count; i++)
        schedule.actors[i].waits = false; /* it will not come any more */
    go_elsewhere();
}

static void actor_begin(struct actor *actor)
{
    actor->has_ended = actor->waits = false;
    getcontext(&actor->context);
    actor->context.uc_stack.ss_sp = actor->stack;
    actor->context.uc_stack.ss_size = sizeof(actor->stack);
    actor->context.uc_link = NULL;
    makecontext(&actor->context, actor_main, 0);
}

static void run_once(void)
{
    schedule.steps = schedule.preemptions = schedule.choice = 0;
    for (unsigned i = 0; i < schedule.count; i++)
        actor_begin(&schedule.actors[i]);
    schedule.runs = true;
    schedule.current = choose(schedule.count);
    swapcontext(&schedule.home, &schedule.actors[schedule.current].context);
    schedule.runs = false;
    schedule.runs_made++;
}

/* ---- the index of a scenario ---------------------------------------------------------------------------------------------- */

static struct {
    struct disk_index *index;
    struct disk_index before;
    struct disk_bucket buckets_before[BUCKETS_MAX];
    uint64_t hash_of_place[PLACES_MAX]; /* of the entry that is planted or put; no place is of two keys */
} scene;

static uint64_t shared_sum(void)
{
    uint64_t sum = scene.index->count;

    for (unsigned i = 0; i < BUCKETS_MAX; i++)
        sum = sum * 31 + scene.index->buckets[i].version;
    return sum;
}

/* What the threads of a scenario share with its check. */
static struct {
    uint64_t hash, other_hash;
    unsigned found_count;
    struct disk_entry found[DISK_INDEX_FIND_MAX];
    struct disk_gone gone, other_gone;
    bool was_there;
    struct disk_words words;
    uint64_t from, to, mid;
    uint8_t visits[16]; /* of places */
    struct disk_walk walk;
} now;

/* Four groups, four buckets; at most `most` of them. */
static void scene_begin(uint64_t most)
{
    struct disk_index_config config = {.entries_first = 16, .entries_max = 16};

    memset(&now, 0, sizeof(now));
    memset(scene.hash_of_place, 0, sizeof(scene.hash_of_place));
    assert_true(err_is_ok(disk_index_new(&config, &scene.index)));
    assert_int_equal(disk_index_buckets(scene.index), 4);
    assert_true(most <= BUCKETS_MAX);
    scene.index->buckets_max = most;
}

static void scene_end(void)
{
    scene.index = disk_index_free(scene.index);
}

static uint64_t hash_of(uint64_t group, uint32_t tag)
{
    return (uint64_t)tag << (64 - TAG_BITS) | group;
}

/* The first tag from `from` on whose other group is that one. */
static uint32_t tag_for(uint64_t group, uint64_t other, uint32_t from)
{
    while (group_other(scene.index, group, from) != other)
        from++;
    return from;
}

/* One whose lowest bit is that: 1 goes with the first split of its bucket. */
static uint32_t tag_for_split(uint64_t group, uint64_t other, uint32_t bit, uint32_t from)
{
    do {
        from = tag_for(group, other, from + 1);
    } while ((from & 1) != bit);
    return from;
}

static struct disk_entry entry_at(uint32_t place)
{
    return (struct disk_entry){.segment = place, .offset = 0xff000 + place, .tenant = (uint16_t)(place * 257), .size_class = (uint8_t)place,
                               .expiry = (uint8_t)~place, .kind = DISK_WHOLE, .hits = place & 3};
}

/* Whole, or the body it has become. */
static bool is_entry_at(const struct disk_entry *entry, uint32_t place)
{
    struct disk_entry expected = entry_at(place);

    return entry->segment == expected.segment && entry->offset == expected.offset && entry->tenant == expected.tenant &&
           entry->size_class == expected.size_class && entry->expiry == expected.expiry && (entry->kind == expected.kind || entry->kind == DISK_BODY);
}

/* Straight into a bucket. */
static void plant(uint64_t bucket, unsigned slot, uint32_t tag, uint32_t place)
{
    struct disk_entry entry = entry_at(place);
    struct disk_words words = words_of(&entry, tag);

    slot_write(&scene.index->buckets[bucket], slot, &words);
    scene.index->entries++;
    scene.hash_of_place[place] = hash_of(group_of(scene.index, bucket), tag);
}

/* As many others as to leave `left` slots free; they belong to bucket and to `other`. */
static void plant_others(uint64_t bucket, uint64_t other, unsigned from_slot, unsigned left, uint32_t from_tag)
{
    for (unsigned slot = from_slot; slot < DISK_INDEX_BUCKET_ENTRIES - left; slot++) {
        from_tag = tag_for(bucket, other, from_tag);
        plant(bucket, slot, from_tag, 20 + (uint32_t)bucket * 5 + slot);
        from_tag++;
    }
}

static void scene_save(void)
{
    memcpy(&scene.before, scene.index, sizeof(scene.before));
    memcpy(scene.buckets_before, scene.index->buckets, sizeof(scene.buckets_before));
}

static void scene_restore(void)
{
    memcpy(scene.index, &scene.before, sizeof(scene.before));
    memcpy(scene.index->buckets, scene.buckets_before, sizeof(scene.buckets_before));
}

static struct disk_words words_in(uint64_t bucket, unsigned slot)
{
    return slot_read(&scene.index->buckets[bucket], slot);
}

static unsigned times_there(uint32_t place)
{
    unsigned times = 0;

    for (uint64_t bucket = 0; bucket < BUCKETS_MAX; bucket++)
        for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
            struct disk_words words = words_in(bucket, slot);
            struct disk_entry entry = words_entry(&words);
            times += entry.kind != DISK_NONE && is_entry_at(&entry, place);
        }
    return times;
}

/* It is found, alone of its sort. */
static void entry_check(const struct disk_words *words)
{
    struct disk_entry entry = words_entry(words), found[DISK_INDEX_FIND_MAX];

    assert_true(entry.segment < PLACES_MAX && is_entry_at(&entry, entry.segment));
    assert_int_equal(home_of_hash(scene.index, scene.hash_of_place[entry.segment]).tag, words_tag(words));
    assert_int_equal(disk_index_find(scene.index, scene.hash_of_place[entry.segment], ~0u, found), 1);
    assert_true(is_entry_at(&found[0], entry.segment));
}

/* What is true of every index that nobody writes: no lock is held, entries are counted and lie where they are looked for,
 * a key has one of a sort. */
static void scene_check(void)
{
    uint64_t entries = 0;

    for (uint64_t bucket = 0; bucket < BUCKETS_MAX; bucket++) {
        assert_int_equal(scene.index->buckets[bucket].version & 1, 0);
        for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
            struct disk_words words = words_in(bucket, slot);
            if (words_kind(&words) == DISK_NONE)
                continue;
            entries++;
            entry_check(&words);
        }
    }
    assert_int_equal(entries, scene.index->entries);
}

static void run_all(const char *name, unsigned preemptions, void (*check)(void), void (*const *runs)(void), unsigned count)
{
    schedule.count = count;
    for (unsigned i = 0; i < count; i++)
        schedule.actors[i].run = runs[i];
    schedule.preemptions_max = preemptions;
    schedule.choices = 0;
    schedule.runs_made = 0;
    scene_save();
    do {
        scene_restore();
        run_once();
        scene_check();
        check();
    } while (choices_next());
    scene_restore();
    print_message("%s: %llu schedules\n", name, (unsigned long long)schedule.runs_made);
    assert_true(schedule.runs_made > 100);
}

#define RUN_ALL(preemptions, check, ...)                                                                                              \
    do {                                                                                                                              \
        static void (*const runs_[])(void) = {__VA_ARGS__};                                                                           \
        run_all(__func__, preemptions, check, runs_, ARRAY_LEN(runs_));                                                               \
    } while (0)

/* ---- readers ---------------------------------------------------------------------------------------------------------------- */

static void find_key(void)
{
    now.found_count = disk_index_find(scene.index, now.hash, ~0u, now.found);
}

static void key_is_found(void)
{
    assert_int_equal(now.found_count, 1);
    assert_true(is_entry_at(&now.found[0], 1));
}

static void move_away(void)
{
    assert_true(entry_shift(scene.index, now.from, now.to, &now.words));
}

static void move_there_and_back(void)
{
    assert_true(entry_shift(scene.index, now.from, now.to, &now.words));
    assert_true(entry_shift(scene.index, now.to, now.from, &now.words));
}

/* The key's entry is in bucket 1 and may go to bucket 2, or the other way round; it has either group. */
static void key_begin(uint64_t group, uint64_t other, uint64_t in)
{
    uint32_t tag = tag_for(group, other, 0x100);

    now.hash = hash_of(group, tag);
    plant(in, 2, tag, 1);
    now.words = words_in(in, 2);
    now.from = in;
    now.to = in == group ? other : group;
}

static void reader_and_move(void **state)
{
    static const uint8_t cases[][3] = {{1, 2, 1}, {1, 2, 2}, {2, 1, 1}, {2, 1, 2}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        scene_begin(4);
        key_begin(cases[i][0], cases[i][1], cases[i][2]);
        RUN_ALL(4, key_is_found, find_key, move_away);
        RUN_ALL(4, key_is_found, find_key, move_there_and_back);
        scene_end();
    }
}

static void put_other(void)
{
    struct disk_entry entry = entry_at(2);

    scene.hash_of_place[2] = now.other_hash;
    disk_index_put(scene.index, now.other_hash, &entry, &now.other_gone);
}

static void key_is_found_and_other_is_in(void)
{
    key_is_found();
    assert_int_equal(now.other_gone.count, 0);
    assert_int_equal(times_there(2), 1);
}

/* The new entry's buckets 0 and 1 are full; one of the key's moves on: in a chain of one, or of two. */
static void reader_and_put_that_moves(void **state)
{
    (void)state;
    for (unsigned chain = 1; chain <= 2; chain++) {
        scene_begin(4);
        uint32_t tag = tag_for(1, 2, 0x100);
        now.hash = hash_of(1, tag);
        plant(1, 0, tag, 1);
        plant_others(1, 0, 1, 0, 0x200);
        plant_others(0, 1, 0, 0, 0x300);
        if (chain == 2) {
            plant_others(2, 3, 0, 0, 0x400);
            plant_others(3, 2, 0, 2, 0x500);
        }
        now.other_hash = hash_of(0, tag_for(0, 1, 0x600));
        RUN_ALL(3, key_is_found_and_other_is_in, find_key, put_other);
        scene_end();
    }
}

static void split(void)
{
    bucket_split(scene.index);
}

static void split_twice(void)
{
    bucket_split(scene.index);
    bucket_split(scene.index);
}

/* Bucket 0 is split into 0 and 4, then 1 into 1 and 5; the key's entry goes or stays. */
static void reader_and_split(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t group = i & 1, other = (i & 1) ^ 1;
        scene_begin(8);
        uint32_t tag = tag_for_split(group, other, i >> 1 & 1, 0x100);
        now.hash = hash_of(group, tag);
        plant(i & 4 ? group : other, 3, tag, 1);
        plant(0, 1, tag_for(0, 2, tag + 1), 5);
        RUN_ALL(4, key_is_found, find_key, split);
        RUN_ALL(3, key_is_found, find_key, split_twice);
        scene_end();
    }
}

static void move_later(void)
{
    (void)entry_shift(scene.index, now.from, now.to, &now.words);
}

static void reader_move_and_split(void **state)
{
    (void)state;
    for (unsigned in = 0; in < 2; in++) {
        scene_begin(8);
        uint32_t tag = tag_for_split(0, 1, 1, 0x100);
        now.hash = hash_of(0, tag);
        plant(in, 2, tag, 1);
        now.words = words_in(in, 2);
        now.from = in;
        now.to = 1 - in;
        RUN_ALL(3, key_is_found, find_key, move_later, split);
        scene_end();
    }
}

static void replace_key(void)
{
    struct disk_entry entry = entry_at(2);

    scene.hash_of_place[2] = now.hash;
    disk_index_put(scene.index, now.hash, &entry, &now.gone);
}

static void old_or_new_is_found(void)
{
    assert_int_equal(now.found_count, 1);
    assert_true(is_entry_at(&now.found[0], 1) || is_entry_at(&now.found[0], 2));
    assert_int_equal(times_there(1), 0);
    assert_int_equal(times_there(2), 1);
}

static void move_record(void)
{
    struct disk_entry entry = entry_at(2);

    scene.hash_of_place[2] = now.hash;
    assert_true(disk_index_move(scene.index, now.hash, 1, 0xff001, &entry));
}

static void reader_and_replacement(void **state)
{
    (void)state;
    for (unsigned in = 1; in <= 2; in++) {
        scene_begin(4);
        key_begin(1, 2, in);
        RUN_ALL(4, old_or_new_is_found, find_key, replace_key);
        RUN_ALL(4, old_or_new_is_found, find_key, move_record);
        scene_end();
    }
}

static void become_body(void)
{
    disk_index_become_body(scene.index, now.hash, &now.gone);
}

static void key_is_found_as_body(void)
{
    struct disk_entry found[DISK_INDEX_FIND_MAX];

    key_is_found();
    assert_int_equal(now.gone.count, 0);
    assert_int_equal(times_there(1), 1);
    assert_int_equal(disk_index_find(scene.index, now.hash, 1u << DISK_BODY, found), 1);
}

static void reader_and_body(void **state)
{
    (void)state;
    for (unsigned in = 1; in <= 2; in++) {
        scene_begin(4);
        key_begin(1, 2, in);
        RUN_ALL(4, key_is_found_as_body, find_key, become_body);
        scene_end();
    }
}

static void try_remove_key(void)
{
    now.was_there = disk_index_remove(scene.index, now.hash, 1, 0xff001, &now.other_gone.entries[0]);
}

static void key_is_nowhere(void)
{
    assert_true(now.was_there);
    assert_int_equal(times_there(1), 0);
}

static void try_move_record(void)
{
    struct disk_entry entry = entry_at(2);

    scene.hash_of_place[2] = now.hash;
    now.was_there = disk_index_move(scene.index, now.hash, 1, 0xff001, &entry);
}

/* Moved first, or refused since it was the body by then. */
static void body_is_in_one_place(void)
{
    struct disk_entry found[DISK_INDEX_FIND_MAX];

    assert_int_equal(times_there(1), now.was_there ? 0 : 1);
    assert_int_equal(times_there(2), now.was_there ? 1 : 0);
    assert_int_equal(disk_index_find(scene.index, now.hash, 1u << DISK_BODY, found), 1);
}

/* What is being reclaimed becomes a body. */
static void body_and_reclaim(void **state)
{
    (void)state;
    for (unsigned in = 1; in <= 2; in++) {
        scene_begin(4);
        key_begin(1, 2, in);
        RUN_ALL(4, key_is_nowhere, become_body, try_remove_key);
        RUN_ALL(4, body_is_in_one_place, become_body, try_move_record);
        scene_end();
    }
}

static void remove_and_put(void)
{
    struct disk_entry gone;

    assert_true(disk_index_remove(scene.index, now.hash, 1, 0xff001, &gone));
    assert_true(is_entry_at(&gone, 1));
    replace_key();
}

static void old_new_or_none_is_found(void)
{
    assert_true(now.found_count <= 1);
    if (now.found_count == 1)
        assert_true(is_entry_at(&now.found[0], 1) || is_entry_at(&now.found[0], 2));
    assert_int_equal(times_there(1), 0);
    assert_int_equal(times_there(2), 1);
}

/* The second bucket is the emptier one: the new entry goes there, the old one was in the first. */
static void reader_and_remove_and_put(void **state)
{
    (void)state;
    for (unsigned in = 1; in <= 2; in++) {
        scene_begin(4);
        key_begin(1, 2, in);
        plant(in, 0, tag_for(in, 0, 0x200), 7);
        RUN_ALL(4, old_new_or_none_is_found, find_key, remove_and_put);
        scene_end();
    }
}

static void visit_clear(void *arg, struct disk_entry *entry)
{
    (void)arg;
    if (is_entry_at(entry, 1))
        entry->kind = DISK_NONE;
}

static void walk_and_clear(void)
{
    struct disk_walk walk;

    disk_index_walk_begin(scene.index, &walk);
    INVARIANT(!disk_index_walk(scene.index, &walk, UINT64_MAX, visit_clear, NULL));
    disk_index_walk_end(scene.index, &walk);
}

static void key_or_none_is_found(void)
{
    assert_true(now.found_count <= 1);
    if (now.found_count == 1)
        assert_true(is_entry_at(&now.found[0], 1));
    assert_int_equal(times_there(1), 0);
}

/* Of the key's buckets only the one changes. */
static void reader_and_walk_that_clears(void **state)
{
    (void)state;
    for (unsigned in = 1; in <= 2; in++) {
        scene_begin(4);
        key_begin(1, 2, in);
        RUN_ALL(4, key_or_none_is_found, find_key, walk_and_clear);
        scene_end();
    }
}

/* ---- writers ---------------------------------------------------------------------------------------------------------------- */

static void put_key(void)
{
    struct disk_entry entry = entry_at(1);

    scene.hash_of_place[1] = now.hash;
    disk_index_put(scene.index, now.hash, &entry, &now.gone);
}

static void both_are_in(void)
{
    assert_int_equal(now.gone.count + now.other_gone.count, 0);
    assert_int_equal(times_there(1), 1);
    assert_int_equal(times_there(2), 1);
}

/* The same buckets, named in either order; room for exactly both. */
static void two_writers(void **state)
{
    (void)state;
    scene_begin(4);
    uint32_t tag = tag_for(1, 2, 0x100);
    now.hash = hash_of(1, tag);
    now.other_hash = hash_of(2, tag_for(2, 1, tag + 1));
    plant_others(1, 2, 0, 1, 0x200);
    plant_others(2, 1, 0, 1, 0x300);
    RUN_ALL(4, both_are_in, put_key, put_other);
    scene_end();
}

static void put_key_too(void)
{
    struct disk_entry entry = entry_at(2);

    scene.hash_of_place[2] = now.hash;
    disk_index_put(scene.index, now.hash, &entry, &now.other_gone);
}

static void one_of_two_is_in(void)
{
    assert_int_equal(times_there(1) + times_there(2), 1);
    assert_int_equal(now.gone.count + now.other_gone.count, 1);
    if (now.gone.count == 1)
        assert_true(is_entry_at(&now.gone.entries[0], 2) && times_there(1) == 1);
    else
        assert_true(is_entry_at(&now.other_gone.entries[0], 1) && times_there(2) == 1);
}

static void two_puts_of_a_key(void **state)
{
    (void)state;
    scene_begin(4);
    now.hash = hash_of(1, tag_for(1, 2, 0x100));
    RUN_ALL(4, one_of_two_is_in, put_key, put_key_too);
    scene_end();
}

static bool keep_any(void *arg, const struct disk_entry *entry)
{
    (void)arg;
    (void)entry;
    return true;
}

static void load_key(void)
{
    struct disk_entry entry = entry_at(2);
    struct disk_words words = words_of(&entry, home_of_hash(scene.index, now.hash).tag);
    uint8_t bytes[DISK_INDEX_BUCKET_BYTES] = {0};

    scene.hash_of_place[2] = now.hash;
    bucket_words_write(bytes, 0, words);
    now.was_there = disk_index_load(scene.index, 2, bytes, keep_any, NULL) == 0;
}

static void what_was_put_is_in(void)
{
    assert_int_equal(times_there(1), 1);
    assert_int_equal(times_there(2), 0);
    assert_int_equal(now.gone.count, now.was_there ? 0 : 1);
}

static void put_and_load_of_a_key(void **state)
{
    (void)state;
    scene_begin(4);
    now.hash = hash_of(1, tag_for(1, 2, 0x100));
    RUN_ALL(4, what_was_put_is_in, put_key, load_key);
    scene_end();
}

static void remove_key(void)
{
    struct disk_entry gone;

    now.was_there = disk_index_remove(scene.index, now.hash, 1, 0xff001, &gone);
    INVARIANT(!now.was_there || is_entry_at(&gone, 1));
}

static void key_is_gone(void)
{
    assert_true(now.was_there);
    assert_int_equal(times_there(1), 0);
}

static void key_is_gone_and_other_is_in(void)
{
    key_is_gone();
    assert_int_equal(now.other_gone.count, 0);
    assert_int_equal(times_there(2), 1);
}

/* Entries that are moved by others meanwhile are removed, too. */
static void remove_and_move(void **state)
{
    (void)state;
    scene_begin(4);
    key_begin(1, 2, 1);
    RUN_ALL(4, key_is_gone, remove_key, move_later);
    plant_others(1, 0, 0, 3, 0x200); /* around the key's slot */
    plant_others(1, 0, 3, 0, 0x240);
    plant_others(0, 1, 0, 0, 0x300);
    now.other_hash = hash_of(0, tag_for(0, 1, 0x600));
    RUN_ALL(3, key_is_gone_and_other_is_in, remove_key, put_other);
    scene_end();
}

static void hit_key(void)
{
    disk_index_hit(scene.index, now.hash, 1, 0xff001);
}

static void key_has_both_hits(void)
{
    find_key();
    key_is_found();
    assert_int_equal(now.found[0].hits, 3); /* one from the start */
}

static void hits_and_move(void **state)
{
    (void)state;
    scene_begin(4);
    key_begin(1, 2, 1);
    RUN_ALL(2, key_has_both_hits, hit_key, hit_key, move_later);
    scene_end();
}

static void both_are_in_or_key_is_gone(void)
{
    assert_int_equal(times_there(2), 1);
    assert_int_equal(now.other_gone.count, 0);
    assert_int_equal(times_there(1), now.was_there ? 0 : 1);
}

/* The other key belongs to the bucket that is split, and goes with it. */
static void writer_and_split(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t group = i & 1, other = (i & 1) ^ 1;
        scene_begin(8);
        uint32_t tag = tag_for_split(group, other, 1, 0x100);
        now.other_hash = hash_of(group, tag);
        plant_others(1, 2, 0, 1, 0x200); /* so that bucket 0, or what was part of it, is the emptier one */
        if (i & 2)
            plant_others(0, 2, 0, 2, 0x300);
        tag = tag_for_split(0, 3, 1, 0x400);
        now.hash = hash_of(0, tag);
        plant(0, 4, tag, 1);
        RUN_ALL(4, both_are_in_or_key_is_gone, put_other, split_twice);
        RUN_ALL(2, both_are_in_or_key_is_gone, put_other, split, remove_key);
        scene_end();
    }
}

static void move_others(void)
{
    (void)entry_shift(scene.index, now.to, now.mid, &now.words);
}

static void key_is_there(void)
{
    assert_int_equal(times_there(1), 1);
}

static void moves_and_split(void **state)
{
    (void)state;
    for (unsigned in = 0; in < 2; in++) {
        scene_begin(8);
        uint32_t tag = tag_for_split(0, 1, 1, 0x100);
        plant(in, 2, tag, 1);
        now.words = words_in(in, 2);
        now.from = in;
        now.to = 1 - in;
        RUN_ALL(4, key_is_there, move_later, split_twice);
        now.mid = in;
        RUN_ALL(3, key_is_there, move_later, move_others, split_twice);
        scene_end();
    }
}

static void all_are_in(void)
{
    unsigned planted = 0;

    both_are_in();
    for (uint32_t place = 20; place < 40; place++)
        planted += times_there(place);
    assert_int_equal(planted, 17); /* 20 slots, three free ones at first */
}

/* Two new entries and two chains to the same free slots. */
static void two_chains(void **state)
{
    (void)state;
    scene_begin(4);
    plant_others(0, 1, 0, 0, 0x200);
    plant_others(1, 2, 0, 0, 0x300);
    plant_others(2, 3, 0, 0, 0x400);
    plant_others(3, 2, 0, 3, 0x500);
    now.hash = hash_of(0, tag_for(0, 1, 0x600));
    now.other_hash = hash_of(1, tag_for(1, 0, 0x700));
    RUN_ALL(2, all_are_in, put_key, put_other);
    scene_end();
}

/* ---- walks ------------------------------------------------------------------------------------------------------------------ */

static void visit_note(void *arg, struct disk_entry *entry)
{
    (void)arg;
    if (entry->segment < sizeof(now.visits))
        now.visits[entry->segment]++;
}

static void walk_all(void)
{
    memset(now.visits, 0, sizeof(now.visits));
    disk_index_walk_begin(scene.index, &now.walk);
    while (disk_index_walk(scene.index, &now.walk, 1, visit_note, NULL))
        continue;
    disk_index_walk_end(scene.index, &now.walk);
}

static void copy_all(void)
{
    uint8_t bytes[DISK_INDEX_BUCKET_BYTES];

    memset(now.visits, 0, sizeof(now.visits));
    disk_index_walk_begin(scene.index, &now.walk);
    while (disk_index_copy(scene.index, &now.walk, 1, bytes) > 0)
        for (unsigned slot = 0; slot < DISK_INDEX_BUCKET_ENTRIES; slot++) {
            struct disk_words words = disk_bucket_words(bytes, slot);
            struct disk_entry entry = words_entry(&words);
            if (entry.kind != DISK_NONE)
                visit_note(NULL, &entry);
        }
    disk_index_walk_end(scene.index, &now.walk);
}

static void key_was_met(void)
{
    assert_true(now.visits[1] == 1 || now.visits[1] == 2);
    assert_int_equal(times_there(1), 1);
}

static void walk_and_move(void **state)
{
    static const uint8_t cases[][2] = {{1, 2}, {2, 1}, {0, 3}, {3, 0}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        scene_begin(4);
        key_begin(cases[i][0], cases[i][1], cases[i][0]);
        RUN_ALL(4, key_was_met, walk_all, move_later);
        RUN_ALL(4, key_was_met, copy_all, move_later);
        scene_end();
    }
}

static void walk_and_split(void **state)
{
    (void)state;
    scene_begin(8);
    uint32_t tag = tag_for_split(0, 1, 1, 0x100);
    plant(0, 2, tag, 1);
    RUN_ALL(4, key_was_met, walk_all, split);
    RUN_ALL(3, key_was_met, copy_all, split_twice);
    scene_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_and_move),
        cmocka_unit_test(reader_and_put_that_moves),
        cmocka_unit_test(reader_and_split),
        cmocka_unit_test(reader_move_and_split),
        cmocka_unit_test(reader_and_replacement),
        cmocka_unit_test(reader_and_remove_and_put),
        cmocka_unit_test(reader_and_walk_that_clears),
        cmocka_unit_test(two_writers),
        cmocka_unit_test(two_puts_of_a_key),
        cmocka_unit_test(put_and_load_of_a_key),
        cmocka_unit_test(remove_and_move),
        cmocka_unit_test(hits_and_move),
        cmocka_unit_test(writer_and_split),
        cmocka_unit_test(reader_and_body),
        cmocka_unit_test(body_and_reclaim),
        cmocka_unit_test(moves_and_split),
        cmocka_unit_test(two_chains),
        cmocka_unit_test(walk_and_move),
        cmocka_unit_test(walk_and_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
