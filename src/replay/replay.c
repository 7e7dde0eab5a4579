/* warp-sim: a trace through WARP's eviction and two others (docs/eviction.md). */
#include "replay/key_table.h"
#include "replay/options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2
};

struct replay {
    struct replay_options options;
    struct trace *trace;
    struct policy *policies[REPLAY_SIZES_MAX * REPLAY_POLICIES_MAX];
    unsigned policy_count;
    uint64_t working_set_bytes, trace_bytes;
};

static int failed(const char *what)
{
    fprintf(stderr, "warp-sim: %s\n", what);
    return EXIT_FAILED;
}

static int trace_ended(const struct replay *replay, enum trace_step step)
{
    if (step == TRACE_END)
        return EXIT_DONE;
    fprintf(stderr, "%s\n", trace_problem(replay->trace));
    return step == TRACE_BAD ? EXIT_USAGE : EXIT_FAILED;
}

/* ---- the working set: bytes of all objects, each once ------------------------------------------------------------- */

static int working_set_read(struct replay *replay)
{
    struct key_table seen = {0};
    struct trace_request request;
    enum trace_step step;

    while ((step = trace_next(replay->trace, &request)) == TRACE_REQUEST) {
        if (key_table_find(&seen, request.object) != KEY_NONE)
            continue;
        key_table_add(&seen, request.object, 0);
        if (__builtin_add_overflow(replay->working_set_bytes, request.bytes, &replay->working_set_bytes))
            replay->working_set_bytes = UINT64_MAX;
    }
    key_table_done(&seen);
    if (step != TRACE_END)
        return trace_ended(replay, step);
    if (trace_rewind(replay->trace))
        return EXIT_DONE;
    fprintf(stderr, "warp-sim: a share of the working set is known only when the trace has been read once, and this one cannot be "
                    "read again: give it as a file, or --size in bytes\n");
    return EXIT_USAGE;
}

/* ---- replay ------------------------------------------------------------------------------------------------------- */

static int policies_begin(struct replay *replay)
{
    const struct replay_options *options = &replay->options;

    for (unsigned size = 0; size < options->size_count; size++) {
        for (unsigned i = 0; i < options->policy_count; i++) {
            const struct policy_kind *kind = options->policies[i];
            struct policy_config config;
            if (!replay_options_config(options, kind, size, replay->working_set_bytes, &config))
                return EXIT_USAGE;
            replay->policies[replay->policy_count++] = kind->new(&config);
        }
    }
    return EXIT_DONE;
}

static int requests_run(struct replay *replay)
{
    struct trace_request request;
    enum trace_step step;

    while ((step = trace_next(replay->trace, &request)) == TRACE_REQUEST) {
        if (__builtin_add_overflow(replay->trace_bytes, request.bytes, &replay->trace_bytes)) {
            fprintf(stderr, "warp-sim: the bytes of the trace are more than can be counted\n");
            return EXIT_USAGE;
        }
        for (unsigned i = 0; i < replay->policy_count; i++) {
            struct policy *policy = replay->policies[i];
            policy->requests++;
            policy->bytes += request.bytes;
            policy->hit_bytes += policy->kind->request(policy, &request);
        }
    }
    return trace_ended(replay, step);
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : 0;
}

static int results_print(const struct replay *replay)
{
    printf("policy size requests object_hit_ratio byte_hit_ratio written_bytes\n");
    for (unsigned i = 0; i < replay->policy_count; i++) {
        const struct policy *policy = replay->policies[i];
        printf("%s %" PRIu64 " %" PRIu64 " %.4f %.4f %" PRIu64 "\n", policy->kind->name, policy->config.bytes, policy->requests,
               ratio(policy->hits, policy->requests), ratio(policy->hit_bytes, policy->bytes), policy->written_bytes);
        if (replay->options.has_details && policy->kind->details != NULL)
            policy->kind->details(policy, stderr);
    }
    return EXIT_DONE;
}

static int replay_run(struct replay *replay)
{
    int code = EXIT_DONE;

    if (replay_options_need_working_set(&replay->options))
        code = working_set_read(replay);
    if (code == EXIT_DONE)
        code = policies_begin(replay);
    if (code == EXIT_DONE)
        code = requests_run(replay);
    return code == EXIT_DONE ? results_print(replay) : code;
}

/* ---- print ---------------------------------------------------------------------------------------------------------- */

static int trace_write(const struct generate_config *config)
{
    struct generator *generator = generator_new(config);
    struct generated request;
    char line[80];

    while (generator_next(generator, &request) && ferror(stdout) == 0) {
        (void)trace_print(&request, line, sizeof(line));
        puts(line);
    }
    generator_free(generator);
    return EXIT_DONE;
}

static int replay_begin(struct replay *replay)
{
    const struct replay_options *options = &replay->options;

    if (options->is_printed)
        return trace_write(&options->generate);
    errno = 0;
    replay->trace = options->is_generated ? trace_generate(&options->generate) : trace_open(options->path);
    if (replay->trace == NULL) {
        fprintf(stderr, "warp-sim: %s: %s\n", options->path, strerror(errno));
        return EXIT_FAILED;
    }
    return replay_run(replay);
}

int main(int argc, char **argv)
{
    static struct replay replay;
    int code;

    if (!replay_options_read(argc - 1, argv + 1, &replay.options, &code))
        return code;
    code = replay_begin(&replay);
    for (unsigned i = 0; i < replay.policy_count; i++)
        replay.policies[i]->kind->free(replay.policies[i]);
    trace_free(replay.trace);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        return failed("standard output cannot be written");
    return code;
}
