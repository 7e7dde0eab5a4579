/* options: the command line of warp-sim. */
#ifndef WARP_REPLAY_OPTIONS_H
#define WARP_REPLAY_OPTIONS_H

#include "replay/policy.h"

/* flag, placeholder ("": a switch), text */
#define REPLAY_OPTIONS(X)                                                                                             \
    X(size, "SIZE|N%", "of the whole cache, RAM and disk, or of the working set; may be given several times")         \
    X(policy, "NAME", "warp, lru or fifo; may be given several times; all three where none is named")                 \
    X(memory, "SIZE|N%", "the part of --size that is RAM: bytes, or of --size (default 3%)")                         \
    X(write_budget, "SIZE", "bytes a second of the trace's time that may be written to disk; none is given: no limit") \
    X(generate, "SEED", "make the trace instead of reading one: always the same for a seed")                          \
    X(generate_like, "NAME", "syn: popularity that stays (default); short: objects live for seconds")                 \
    X(requests, "N", "how many requests to make (default 3000000)")                                                   \
    X(print, "", "print the made trace, and replay nothing")                                                          \
    X(details, "", "say on standard error what warp decided by")                                                      \
    X(help, "", "this text")

enum replay_option {
#define X(name, placeholder, text) REPLAY_##name,
    REPLAY_OPTIONS(X)
#undef X
        REPLAY_OPTION_COUNT
};

#define REPLAY_SIZES_MAX    64u
#define REPLAY_POLICIES_MAX 3u
#define REPLAY_PERCENT      1000u /* shares count in thousandths of a percent */
#define REPLAY_WHOLE        (100u * REPLAY_PERCENT)

struct replay_size {
    const char *text; /* as given */
    bool is_share;
    uint64_t value; /* bytes, or thousandths of a percent */
};

struct replay_options {
    struct replay_size sizes[REPLAY_SIZES_MAX];
    unsigned size_count;
    const struct policy_kind *policies[REPLAY_POLICIES_MAX];
    unsigned policy_count;
    struct replay_size memory;
    uint64_t write_bytes_per_s;
    bool is_generated, is_printed, has_details;
    struct generate_config generate;
    const char *path; /* NULL: generated */
};

/* argv without the program. False: the program ends here with *ret_code, all is said. */
MUST_USE bool replay_options_read(int argc, char **argv, struct replay_options *ret_options, int *ret_code);
bool replay_options_need_working_set(const struct replay_options *options);
/* One instance's. False: what was asked for cannot be had, which is said. */
MUST_USE bool replay_options_config(const struct replay_options *options, const struct policy_kind *kind, unsigned size,
                                    uint64_t working_set_bytes, struct policy_config *ret_config);

#endif
