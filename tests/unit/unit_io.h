/* The kernel's door that a test program is built for: each is built once per backend. */
#ifndef WARP_TESTS_UNIT_IO_H
#define WARP_TESTS_UNIT_IO_H

#include "os/os.h"

#include <stdio.h>

#define TEST_SKIPPED 77 /* meson's word for it; the run counts and names it */

static inline bool test_io_is_there(void)
{
    struct os *os;

    if (!err_is_ok(os_new(&(struct os_config){.io = TEST_IO}, &os)))
        return false;
    os_free(os);
    return true;
}

/* First in main(): a kernel that forbids io_uring is the only reason to go. */
#define TEST_IO_NEEDED()                                            \
    do {                                                            \
        if (!test_io_is_there()) {                                  \
            printf("io_uring is not to be had here: not run\n");   \
            return TEST_SKIPPED;                                    \
        }                                                           \
    } while (0)

#endif
