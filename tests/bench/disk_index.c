/* disk_index: what the disk tier's index costs.
 *
 *   disk_index [ENTRIES]    5,000,000 by default; one line of JSON
 *
 * Fills an index that began with room for a hundredth, then asks for each entry and for as many that are not there, in
 * random order. bytes: of resident memory an entry, all in; stats_bytes: what the index says itself. */
#include "store/disk/index.h"

#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>

/* Any bijection that scatters: the n-th key's hash, so that no table of them is in the way. */
static uint64_t hash_of(uint64_t n)
{
    n = (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
    n = (n ^ n >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ n >> 27) * UINT64_C(0x94d049bb133111eb);
    return n ^ n >> 31;
}

static uint64_t resident_bytes(void)
{
    unsigned long long total, resident;
    FILE *file = fopen("/proc/self/statm", "r");

    if (file == NULL || fscanf(file, "%llu %llu", &total, &resident) != 2)
        abort();
    fclose(file);
    return resident * 4096;
}

/* Keys that are asked for are in no order of the table. */
static double find_ns(const struct disk_index *index, uint64_t from, uint64_t count, uint64_t *ret_found)
{
    struct disk_entry entries[DISK_INDEX_FIND_MAX];
    uint64_t start = os_clock_ns();

    *ret_found = 0;
    for (uint64_t i = 0; i < count; i++)
        *ret_found += disk_index_find(index, hash_of(from + i * 7919 % count), DISK_KINDS_BUT_BODY, entries) > 0;
    return (double)(os_clock_ns() - start) / (double)count;
}

static double put_ns(struct disk_index *index, uint64_t count)
{
    uint64_t start = os_clock_ns();

    for (uint64_t i = 0; i < count; i++) {
        struct disk_entry entry = {.segment = (uint32_t)(i >> 20), .offset = (uint32_t)i & 0xfffff, .kind = DISK_WHOLE};
        struct disk_gone gone;
        disk_index_put(index, hash_of(i), &entry, &gone);
    }
    return (double)(os_clock_ns() - start) / (double)count;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 5000000, found, other, before = resident_bytes();
    struct disk_index_config config = {.entries_first = count / 100, .entries_max = count};
    struct disk_index_stats stats;
    struct disk_index *index;

    if (count < 100 || !err_is_ok(disk_index_new(&config, &index))) {
        fprintf(stderr, "disk_index: no index for %llu entries\n", (unsigned long long)count);
        return 1;
    }
    double put = put_ns(index, count), bytes = (double)(resident_bytes() - before);
    disk_index_stats(index, &stats);
    double hit = find_ns(index, 0, count, &found), miss = find_ns(index, count, count, &other);
    printf("{\"entries\": %llu, \"bytes\": %.2f, \"stats_bytes\": %.2f, \"lost\": %llu, \"missing\": %llu, \"false\": %llu, "
           "\"put_ns\": %.1f, \"find_ns\": %.1f, \"miss_ns\": %.1f}\n",
           (unsigned long long)stats.entries, bytes / (double)stats.entries, (double)stats.bytes / (double)stats.entries,
           (unsigned long long)stats.lost, (unsigned long long)(count - found), (unsigned long long)other, put, hit, miss);
    disk_index_free(index);
    return 0;
}
