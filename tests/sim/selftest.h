/* Parts of the simulator's own test. */
#ifndef WARP_TESTS_SIM_SELFTEST_H
#define WARP_TESTS_SIM_SELFTEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(cond)                                                                                         \
    do {                                                                                                    \
        if (!(cond)) {                                                                                      \
            fprintf(stderr, "seed %llu: %s failed, %s:%d\n", (unsigned long long)seed_now, #cond, __FILE__, \
                    __LINE__);                                                                              \
            exit(1);                                                                                        \
        }                                                                                                   \
    } while (0)

extern uint64_t seed_now;

/* What disks do, well and badly, of one seed; the hash of it. */
uint64_t disk_run(uint64_t seed);
/* After many seeds: everything that may happen at a crash did. */
void disk_check_seen(void);

#endif
