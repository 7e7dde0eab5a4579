#include "conf/config_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define STRINGS_BYTES_MAX  (8u * 1024u * 1024u)
#define VARIABLE_BYTES_MAX 64u
#define VARIABLE_PREFIX    "WARP_"

const struct config_option config_options[CONFIG_OPTION_COUNT] = {
#define X(flag, kind, field, placeholder, dflt, help) \
    {flag, KIND_##kind, offsetof(struct config, field), placeholder, dflt, help},
    CONFIG_OPTIONS(X)
#undef X
};

/* ---- messages ---------------------------------------------------------------------------------------------
 */

err config_fail(struct config_build *build, const char *where, const char *format, ...)
{
    int at = snprintf(build->message, build->message_size, "%s: ", where);
    va_list args;

    if (at > 0 && (size_t)at < build->message_size) {
        va_start(args, format);
        vsnprintf(build->message + at, build->message_size - (size_t)at, format, args);
        va_end(args);
    }
    return ERR(INVALID);
}

const char *config_quoted(slice text, char buffer[CONFIG_QUOTED_BYTES])
{
    size_t len;

    buffer[0] = '"';
    log_safe(text, buffer + 1, CONFIG_QUOTED_BYTES - 2);
    len = strlen(buffer);
    buffer[len] = '"';
    buffer[len + 1] = '\0';
    return buffer;
}

/* ---- one value
 * ---------------------------------------------------------------------------------------------- */

enum config_index config_option_find(slice flag)
{
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        if (slice_eq(flag, slice_str(config_options[i].flag)))
            return (enum config_index)i;
    return CONFIG_OPTION_COUNT;
}

static void *option_field(struct config_build *build, enum config_index option)
{
    return (char *)&build->config + config_options[option].offset;
}

MUST_USE static err string_keep(struct config_build *build, slice value, const char **ret_string)
{
    char *copy = arena_alloc(build->arena, value.len + 1);

    ENSURE(copy != NULL, MEMORY);
    memcpy(copy, value.data, value.len);
    copy[value.len] = '\0';
    *ret_string = copy;
    return ERR_OK;
}

MUST_USE static err list_add(struct config_build *build, enum config_index option, bool begin, slice value,
                             const char *where)
{
    struct config_list *list = option_field(build, option);
    unsigned max = option == CONFIG_cache_dir ? CONFIG_CACHE_DIRS_MAX : CONFIG_LIST_MAX;

    if (begin)
        list->count = 0;
    if (list->count == max)
        return config_fail(build, where, "is given too often; write it at most %u times", max);
    TRY(string_keep(build, value, &list->items[list->count]));
    list->count++;
    return ERR_OK;
}

static void number_store(struct config_build *build, enum config_index option, uint64_t number)
{
    void *field = option_field(build, option);

    switch (config_options[option].kind) {
    case KIND_SIZE:
    case KIND_DURATION:
        *(uint64_t *)field = number;
        break;
    case KIND_COUNT:
        *(uint32_t *)field = (uint32_t)number;
        break;
    case KIND_SWITCH:
        *(bool *)field = number != 0;
        break;
    case KIND_IO:
        *(enum config_io *)field = (enum config_io)number;
        break;
    case KIND_LEVEL:
        *(enum log_level *)field = (enum log_level)number;
        break;
    case KIND_STRING:
    case KIND_LIST:
        INVARIANT(!"a number for a text");
    }
}

err config_set(struct config_build *build, enum config_index option, enum config_source source, slice value,
               const char *where)
{
    char why[CONFIG_WHY_BYTES], quoted[CONFIG_QUOTED_BYTES];
    bool begin = build->set_by[option] != source;
    uint64_t number = 0;

    if (!config_value_parse(option, value, why, &number))
        return config_fail(build, where, "%s %s", config_quoted(value, quoted), why);
    if (build->set_by[option] > source)
        return ERR_OK;
    if (config_options[option].kind == KIND_LIST)
        TRY(list_add(build, option, begin, value, where));
    else if (config_options[option].kind == KIND_STRING)
        TRY(string_keep(build, value, (const char **)option_field(build, option)));
    else
        number_store(build, option, number);
    build->set_by[option] = (uint8_t)source;
    return ERR_OK;
}

/* ---- flags
 * -------------------------------------------------------------------------------------------------- */

MUST_USE static err flag_unknown(struct config_build *build, const char *argument, slice name)
{
    char word[CONFIG_QUOTED_BYTES], safe[CONFIG_QUOTED_BYTES];
    const char *nearest;

    snprintf(word, sizeof(word), SLICE_FMT, (int)MIN(name.len, sizeof(word)), name.data);
    nearest = config_nearest(word);
    log_safe(slice_of(argument, (size_t)(name.data + name.len - argument)), safe, sizeof(safe));
    if (nearest != NULL)
        return config_fail(build, safe, "unknown setting; did you mean --%s?", nearest);
    return config_fail(build, safe, "unknown setting; warp help lists them");
}

/* The first of argv, with its value in the same argument or the next one. */
MUST_USE static err flag_read(struct config_build *build, int argc, char *const *argv, int *ret_used)
{
    slice name = slice_str(argv[0]), value = SLICE_NONE;
    char where[CONFIG_QUOTED_BYTES];
    enum config_index option;
    ptrdiff_t equals;

    while (name.len > 0 && name.data[0] == '-')
        name = slice_from(name, 1);
    equals = slice_find(name, '=');
    if (equals >= 0) {
        value = slice_from(name, (size_t)equals + 1);
        name.len = (size_t)equals;
    }
    option = slice_starts(slice_str(argv[0]), SLICE("--")) ? config_option_find(name) : CONFIG_OPTION_COUNT;
    if (option == CONFIG_OPTION_COUNT || name.data != argv[0] + 2)
        return flag_unknown(build, argv[0], name);

    snprintf(where, sizeof(where), "--%s", config_options[option].flag);
    *ret_used = 1;
    if (equals < 0 && config_options[option].kind == KIND_SWITCH) {
        value = SLICE("true");
    } else if (equals < 0) {
        if (argc < 2 || strncmp(argv[1], "--", 2) == 0)
            return config_fail(build, where, "has no value; write --%s %s", config_options[option].flag,
                               config_options[option].placeholder);
        value = slice_str(argv[1]);
        *ret_used = 2;
    }
    return config_set(build, option, FROM_FLAG, value, where);
}

MUST_USE static err flags_read(struct config_build *build, int argc, char *const *argv)
{
    for (int i = 0, used = 0; i < argc; i += used)
        TRY(flag_read(build, argc - i, argv + i, &used));
    return ERR_OK;
}

/* ---- environment
 * -------------------------------------------------------------------------------------------- */

/* cache-size is WARP_CACHE_SIZE. */
static const char *variable_of(const char *flag, char buffer[VARIABLE_BYTES_MAX])
{
    size_t at = (size_t)snprintf(buffer, VARIABLE_BYTES_MAX, "%s%s", VARIABLE_PREFIX, flag);

    INVARIANT(at < VARIABLE_BYTES_MAX);
    for (char *c = buffer; *c != '\0'; c++)
        *c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    return buffer;
}

MUST_USE static err variable_list_read(struct config_build *build, enum config_index option, slice value,
                                       const char *where)
{
    for (;;) {
        ptrdiff_t comma = slice_find(value, ',');
        slice item = slice_trim(comma >= 0 ? slice_of(value.data, (size_t)comma) : value);

        TRY(config_set(build, option, FROM_ENVIRONMENT, item, where));
        if (comma < 0)
            return ERR_OK;
        value = slice_from(value, (size_t)comma + 1);
    }
}

MUST_USE static err variable_read(struct config_build *build, slice name, slice value,
                                  const char **ret_unknown)
{
    char variable[VARIABLE_BYTES_MAX];

    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        if (!slice_eq(name, slice_str(variable_of(config_options[i].flag, variable))))
            continue;
        if (value.len == 0)
            return ERR_OK;
        return config_options[i].kind == KIND_LIST
                   ? variable_list_read(build, (enum config_index)i, value, variable)
                   : config_set(build, (enum config_index)i, FROM_ENVIRONMENT, value, variable);
    }
    /* For the client commands. WARP_ADMIN and WARP_CACHE_DIR are settings here, too. */
    static const char *const of_clients[] = {"TOKEN", "ADMIN_CA", "ADMIN_CLIENT_CERT", "ADMIN_CLIENT_KEY"};
    for (size_t i = 0; i < ARRAY_LEN(of_clients); i++)
        if (slice_eq(slice_from(name, sizeof(VARIABLE_PREFIX) - 1), slice_str(of_clients[i])))
            return ERR_OK;
    if (*ret_unknown == NULL)
        TRY(string_keep(build, name, ret_unknown));
    return ERR_OK;
}

MUST_USE static err environment_read(struct config_build *build, char *const *environment,
                                     const char **ret_unknown)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        slice name = slice_str(*environment), value;
        ptrdiff_t equals = slice_find(name, '=');

        if (equals < 0 || !slice_starts(name, SLICE(VARIABLE_PREFIX)))
            continue;
        value = slice_from(name, (size_t)equals + 1);
        name.len = (size_t)equals;
        TRY(variable_read(build, name, value, ret_unknown));
    }
    return ERR_OK;
}

/* ---- file and defaults
 * ---------------------------------------------------------------------------------------- */

MUST_USE static err file_read(struct config_build *build, const char *path, config_file_reader *read_file)
{
    char *text = NULL;
    size_t len = 0;
    err result = read_file(path, CONFIG_FILE_BYTES_MAX, &text, &len);

    if (!err_is_ok(result))
        return config_fail(build, path, "cannot be read: %s; name a plain file of at most 1 MiB",
                           err_file_text(result));
    result = config_file_parse(build, path, slice_of(text, len));
    free(text);
    return result;
}

MUST_USE static err defaults_read(struct config_build *build)
{
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        if (config_options[i].dflt != NULL)
            TRY(config_set(build, (enum config_index)i, FROM_DEFAULT, slice_str(config_options[i].dflt),
                           "default"));
    return ERR_OK;
}

/* ---- all together
 * ----------------------------------------------------------------------------------------------- */

MUST_USE static err build_begin(struct config_build *build, char *message, size_t message_size)
{
    struct arena *arena = malloc(sizeof(*arena));

    INVARIANT(message_size > 0);
    *build = (struct config_build){.arena = arena, .message = message, .message_size = message_size};
    snprintf(message, message_size, "out of memory");
    ENSURE(arena != NULL, MEMORY);
    arena_init(arena, NULL, 0, STRINGS_BYTES_MAX);
    build->config.owned = arena;
    return ERR_OK;
}

MUST_USE static err build_run(struct config_build *build, int argc, char *const *argv,
                              char *const *environment, config_file_reader *read_file,
                              const char **ret_unknown)
{
    TRY(flags_read(build, argc, argv));
    TRY(environment_read(build, environment, ret_unknown));
    if (build->config.config_file != NULL)
        TRY(file_read(build, build->config.config_file, read_file));
    TRY(defaults_read(build));
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        if (build->set_by[i] > FROM_DEFAULT)
            build->config.given[i / 32] |= UINT32_C(1) << (i % 32);
    return ERR_OK;
}

err config_read(struct config *config, int argc, char *const *argv, char *const *environment,
                config_file_reader *read_file, char *message, size_t message_size,
                const char **ret_unknown_env)
{
    static_assert(CONFIG_OPTION_COUNT <= 64, "given has a bit per option");
    const char *unknown = NULL;
    struct config_build build;
    err result = build_begin(&build, message, message_size);

    if (err_is_ok(result))
        result = build_run(&build, argc, argv, environment, read_file, &unknown);
    if (!err_is_ok(result)) {
        config_done(&build.config);
        return result;
    }
    message[0] = '\0';
    *config = build.config;
    *ret_unknown_env = unknown;
    return ERR_OK;
}

err config_check_file(const char *path, config_file_reader *read_file, char *message, size_t message_size)
{
    struct config_build build;
    err result = build_begin(&build, message, message_size);

    if (err_is_ok(result))
        result = file_read(&build, path, read_file);
    if (err_is_ok(result))
        message[0] = '\0';
    config_done(&build.config);
    return result;
}

void config_done(struct config *config)
{
    struct arena *arena = config->owned;

    if (arena != NULL)
        arena_done(arena);
    free(arena);
    *config = (struct config){0};
}

void config_print_options(void)
{
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        const struct config_option *option = &config_options[i];
        int at = printf("  --%s %s", option->flag, option->placeholder);

        /* two columns; what does not fit the first has a line for itself */
        if (at > 32)
            at = printf("\n") - 1;
        printf("%*s%s", 34 - at, "", option->help);
        if (option->dflt != NULL)
            printf(" [%s]", option->dflt);
        printf("\n");
    }
}
