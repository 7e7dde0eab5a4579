#include "replay/options.h"

#include "base/log.h"
#include "conf/config.h"
#include "store/disk/format.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define SAFE_BYTES     80u
#define PERCENT_DIGITS 3u
#define MEMORY_DEFAULT (3u * REPLAY_PERCENT)

static const char usage[] = "usage: warp-sim --size SIZE|N% [--policy warp|lru|fifo] [options] TRACE|-\n"
                            "       warp-sim --size SIZE|N% [--policy warp|lru|fifo] [options] --generate SEED\n"
                            "\n"
                            "Replays a trace, lines of TIME KEY SIZE (seconds, any word, bytes), through WARP's eviction and two others to\n"
                            "compare it with, and prints for each size and policy\n"
                            "\n"
                            "    policy size requests object_hit_ratio byte_hit_ratio written_bytes\n"
                            "\n"
                            "A key with another size is another object. Sizes: 512, 64k, 256m, 2g, 1t (binary).\n";

static const struct {
    const char *name, *placeholder, *text;
} flags[] = {
#define X(name, placeholder, text) {#name, placeholder, text},
    REPLAY_OPTIONS(X)
#undef X
};

static const struct policy_kind *const policies[] = {&policy_warp, &policy_lru, &policy_fifo};
static_assert(ARRAY_LEN(policies) == REPLAY_POLICIES_MAX, "each may be asked for");

/* The table's names have '_' for '-'. */
static const char *flag_name(unsigned option, char *name, size_t size)
{
    snprintf(name, size, "%s", flags[option].name);
    for (char *at = name; *at != '\0'; at++)
        if (*at == '_')
            *at = '-';
    return name;
}

static void help_print(void)
{
    char name[SAFE_BYTES], left[SAFE_BYTES];

    printf("%s\n", usage);
    for (unsigned i = 0; i < REPLAY_OPTION_COUNT; i++) {
        snprintf(left, sizeof(left), "--%.40s %s", flag_name(i, name, sizeof(name)), flags[i].placeholder);
        printf("  %-24s %s\n", left, flags[i].text);
    }
}

static bool wrong(const char *format, ...) PRINTF(1, 2);
static bool wrong(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "warp-sim: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; warp-sim --help lists the options\n");
    return false;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* "10%", "0.1%": up to three digits behind the point, at most 100 %. */
static bool share_parse(slice text, uint64_t *ret_share)
{
    text.len--;
    ptrdiff_t point = slice_find(text, '.');
    slice whole = point >= 0 ? slice_of(text.data, (size_t)point) : text;
    slice fraction = point >= 0 ? slice_from(text, (size_t)point + 1) : SLICE("0");
    uint64_t percent, part;

    if (!slice_to_u64(whole, &percent) || percent > 100 || fraction.len > PERCENT_DIGITS || !slice_to_u64(fraction, &part))
        return false;
    for (size_t i = fraction.len; i < PERCENT_DIGITS; i++)
        part *= 10;
    *ret_share = percent * REPLAY_PERCENT + part;
    return *ret_share <= REPLAY_WHOLE;
}

static bool size_parse(const char *flag, const char *text, bool may_be_none, struct replay_size *ret_size)
{
    slice value = slice_str(text);
    char safe[SAFE_BYTES];

    *ret_size = (struct replay_size){.text = text, .is_share = slice_ends(value, SLICE("%"))};
    if ((ret_size->is_share ? share_parse(value, &ret_size->value) : config_parse_size(value, &ret_size->value)) &&
        (ret_size->value > 0 || may_be_none))
        return true;
    return wrong("--%s \"%s\" is neither a size such as 64k, 256m or 2g nor a share such as 10%% or 0.5%%", flag,
                 log_safe(value, safe, sizeof(safe)));
}

static bool count_parse(const char *flag, const char *text, uint64_t least, uint64_t most, uint64_t *ret_count)
{
    char safe[SAFE_BYTES];

    if (slice_to_u64(slice_str(text), ret_count) && *ret_count >= least && *ret_count <= most)
        return true;
    return wrong("--%s \"%s\" is no number from %" PRIu64 " to %" PRIu64, flag, log_safe(slice_str(text), safe, sizeof(safe)), least, most);
}

static bool policy_parse(struct replay_options *options, const char *text)
{
    char safe[SAFE_BYTES];

    for (unsigned i = 0; i < options->policy_count; i++)
        if (strcmp(options->policies[i]->name, text) == 0)
            return wrong("--policy %s is there twice", text);
    for (unsigned i = 0; i < ARRAY_LEN(policies); i++) {
        if (strcmp(policies[i]->name, text) != 0)
            continue;
        options->policies[options->policy_count++] = policies[i];
        return true;
    }
    return wrong("--policy \"%s\" is unknown; write warp, lru or fifo", log_safe(slice_str(text), safe, sizeof(safe)));
}

static bool like_parse(const char *text, enum generate_like *ret_like)
{
    char safe[SAFE_BYTES];

    *ret_like = strcmp(text, "short") == 0 ? GENERATE_SHORT : GENERATE_SYN;
    return *ret_like == GENERATE_SHORT || strcmp(text, "syn") == 0 ||
           wrong("--generate-like \"%s\" is unknown; write syn or short", log_safe(slice_str(text), safe, sizeof(safe)));
}

static bool budget_parse(const char *text, uint64_t *ret_bytes)
{
    char safe[SAFE_BYTES];

    return (config_parse_size(slice_str(text), ret_bytes) && *ret_bytes > 0) ||
           wrong("--write-budget \"%s\" is no size; write bytes a second: 512k, 20m", log_safe(slice_str(text), safe, sizeof(safe)));
}

static bool value_read(struct replay_options *options, enum replay_option option, const char *value)
{
    switch (option) {
    case REPLAY_size:
        if (options->size_count == REPLAY_SIZES_MAX)
            return wrong("there are more than %u sizes", REPLAY_SIZES_MAX);
        return size_parse("size", value, false, &options->sizes[options->size_count++]);
    case REPLAY_policy:
        return policy_parse(options, value);
    case REPLAY_memory:
        return size_parse("memory", value, true, &options->memory);
    case REPLAY_write_budget:
        return budget_parse(value, &options->write_bytes_per_s);
    case REPLAY_generate:
        options->is_generated = true;
        return count_parse("generate", value, 0, UINT64_MAX, &options->generate.seed);
    case REPLAY_generate_like:
        return like_parse(value, &options->generate.like);
    case REPLAY_requests:
        return count_parse("requests", value, GENERATE_REQUESTS_MIN, GENERATE_REQUESTS_MAX, &options->generate.requests);
    case REPLAY_print:
        options->is_printed = true;
        return true;
    case REPLAY_details:
        options->has_details = true;
        return true;
    case REPLAY_help:
    case REPLAY_OPTION_COUNT:
        break;
    }
    return true;
}

/* ---- the line ----------------------------------------------------------------------------------------------------- */

static bool flag_unknown(slice name)
{
    char names[REPLAY_OPTION_COUNT][SAFE_BYTES], word[SAFE_BYTES], safe[SAFE_BYTES];
    const char *known[REPLAY_OPTION_COUNT], *nearest;

    for (unsigned i = 0; i < REPLAY_OPTION_COUNT; i++)
        known[i] = flag_name(i, names[i], sizeof(names[i]));
    snprintf(word, sizeof(word), SLICE_FMT, (int)MIN(name.len, sizeof(word)), name.data);
    nearest = config_nearest_of(word, known, REPLAY_OPTION_COUNT);
    log_safe(name, safe, sizeof(safe));
    return nearest != NULL ? wrong("unknown flag --%s; did you mean --%s?", safe, nearest) : wrong("unknown flag --%s", safe);
}

/* argv[0] begins with "--". */
static bool flag_read(struct replay_options *options, int argc, char **argv, int *ret_used)
{
    slice text = slice_str(argv[0] + 2);
    ptrdiff_t equals = slice_find(text, '=');
    const char *value = equals >= 0 ? text.data + equals + 1 : NULL;
    char name[SAFE_BYTES];
    unsigned option = 0;

    if (equals >= 0)
        text.len = (size_t)equals;
    while (option < REPLAY_OPTION_COUNT && !slice_eq(text, slice_str(flag_name(option, name, sizeof(name)))))
        option++;
    if (option == REPLAY_OPTION_COUNT)
        return flag_unknown(text);
    *ret_used = 1;
    if (flags[option].placeholder[0] == '\0') {
        if (value != NULL)
            return wrong("--%s takes no value", name);
    } else if (value == NULL) {
        if (argc < 2 || strncmp(argv[1], "--", 2) == 0)
            return wrong("--%s has no value; write --%s %s", name, name, flags[option].placeholder);
        value = argv[1];
        *ret_used = 2;
    }
    return value_read(options, (enum replay_option)option, value);
}

static bool options_check(struct replay_options *options)
{
    if (options->is_generated && options->path != NULL)
        return wrong("a trace is read or made; leave out %s or --generate", options->path);
    if (!options->is_generated && options->path == NULL)
        return wrong("which trace? Name a file, - for standard input, or --generate SEED");
    if (options->is_printed)
        return options->is_generated || wrong("--print prints a made trace; it needs --generate SEED");
    if (options->size_count == 0)
        return wrong("how large is the cache? Write --size SIZE, or --size 10%% of the working set");
    if (options->policy_count == 0)
        for (; options->policy_count < REPLAY_POLICIES_MAX; options->policy_count++)
            options->policies[options->policy_count] = policies[options->policy_count];
    return true;
}

bool replay_options_read(int argc, char **argv, struct replay_options *ret_options, int *ret_code)
{
    struct replay_options options = {.memory = {.text = "3%", .is_share = true, .value = MEMORY_DEFAULT},
                                     .generate = {.requests = GENERATE_REQUESTS}};
    char safe[SAFE_BYTES];

    *ret_code = 2;
    for (int i = 0, used = 1; i < argc; i += used) {
        used = 1;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help_print();
            *ret_code = 0;
            return false;
        }
        if (strncmp(argv[i], "--", 2) == 0) {
            if (!flag_read(&options, argc - i, argv + i, &used))
                return false;
        } else if (options.path != NULL || argv[i][0] == '\0' || (argv[i][0] == '-' && argv[i][1] != '\0')) {
            return wrong("\"%s\" is one argument too many", log_safe(slice_str(argv[i]), safe, sizeof(safe)));
        } else {
            options.path = argv[i];
        }
    }
    if (!options_check(&options))
        return false;
    *ret_options = options;
    return true;
}

/* ---- what follows from them --------------------------------------------------------------------------------------- */

bool replay_options_need_working_set(const struct replay_options *options)
{
    for (unsigned i = 0; i < options->size_count; i++)
        if (options->sizes[i].is_share)
            return true;
    return false;
}

static uint64_t bytes_of(const struct replay_size *size, uint64_t whole)
{
    if (!size->is_share)
        return size->value;
    return whole / REPLAY_WHOLE * size->value + whole % REPLAY_WHOLE * size->value / REPLAY_WHOLE;
}

/* Only warp has a disk of a format. */
static bool disk_check(const struct replay_size *size, const struct policy_config *config)
{
    struct disk_super layout;

    if (config->memory_bytes < config->bytes && err_is_ok(disk_super_layout(config->bytes - config->memory_bytes, 0, &layout)))
        return true;
    return wrong("--size %s is %" PRIu64 " bytes, %" PRIu64 " of them RAM: warp needs a disk of %u bytes at least, and one of %" PRIu64
                 " segments at most",
                 size->text, config->bytes, config->memory_bytes, DISK_SIZE_MIN, (uint64_t)DISK_SEGMENTS_MAX);
}

bool replay_options_config(const struct replay_options *options, const struct policy_kind *kind, unsigned size,
                           uint64_t working_set_bytes, struct policy_config *ret_config)
{
    struct policy_config config = {.write_bytes_per_s = options->write_bytes_per_s};

    config.bytes = bytes_of(&options->sizes[size], working_set_bytes);
    config.memory_bytes = bytes_of(&options->memory, config.bytes);
    if (kind == &policy_warp && !disk_check(&options->sizes[size], &config))
        return false;
    *ret_config = config;
    return true;
}
