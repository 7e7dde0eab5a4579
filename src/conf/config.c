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

PRINTF(3, 4) static void problem(struct config_build *build, const struct config_place *place, const char *format, ...)
{
    char what[CONF_WHAT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    conf_report_add(build->report, place->document, place->mark, place->where, "%s", what);
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

const char *config_flag(enum config_index option)
{
    return config_options[option].flag;
}

const char *config_name_of(enum config_index option, enum config_source source, char name[CONFIG_NAME_BYTES])
{
    const char *flag = config_options[option].flag;
    size_t len = 0;

    if (source == FROM_ENVIRONMENT) {
        len = (size_t)snprintf(name, CONFIG_NAME_BYTES, "%s", VARIABLE_PREFIX);
        for (; *flag != '\0' && len < CONFIG_NAME_BYTES - 1; flag++)
            name[len++] = *flag == '-' ? '_' : (char)(*flag - (*flag >= 'a' && *flag <= 'z' ? 'a' - 'A' : 0));
        name[len] = '\0';
    } else {
        snprintf(name, CONFIG_NAME_BYTES, "%s%s%s", source == FROM_FLAG ? "--" : "", flag, source == FROM_DEFAULT ? ", by default," : "");
    }
    return name;
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
                             const struct config_place *place)
{
    struct config_list *list = option_field(build, option);
    unsigned max = option == CONFIG_cache_dir ? CONFIG_CACHE_DIRS_MAX : CONFIG_LIST_MAX;

    if (begin)
        list->count = 0;
    if (list->count == max) {
        problem(build, place, "is given too often; write it at most %u times", max);
        return ERR(INVALID);
    }
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
               const struct config_place *place)
{
    char why[CONFIG_WHY_BYTES], quoted[CONF_QUOTED_BYTES];
    bool begin = build->set_by[option] != source;
    uint64_t number = 0;

    if (!config_value_parse(option, value, why, &number)) {
        problem(build, place, "%s %s", conf_quoted(value, quoted), why);
        return ERR(INVALID);
    }
    if (build->set_by[option] > source)
        return ERR_OK;
    if (config_options[option].kind == KIND_LIST)
        TRY(list_add(build, option, begin, value, place));
    else if (config_options[option].kind == KIND_STRING)
        TRY(string_keep(build, value, (const char **)option_field(build, option)));
    else
        number_store(build, option, number);
    build->set_by[option] = (uint8_t)source;
    return ERR_OK;
}

/* Of several values the ones behind a bad one are looked at, too. */
MUST_USE static err unless_invalid(err result)
{
    return result.code == ERR_INVALID ? ERR_OK : result;
}

/* ---- flags --------------------------------------------------------------------------------------------------- */

static void flag_unknown(struct config_build *build, const char *argument, slice name)
{
    char word[CONF_QUOTED_BYTES], safe[CONF_QUOTED_BYTES];
    const struct config_place place = {.where = safe};
    const char *nearest;

    snprintf(word, sizeof(word), SLICE_FMT, (int)MIN(name.len, sizeof(word)), name.data);
    nearest = config_nearest(word);
    log_safe(slice_of(argument, (size_t)(name.data + name.len - argument)), safe, sizeof(safe));
    if (nearest != NULL)
        problem(build, &place, "unknown setting; did you mean --%s?", nearest);
    else
        problem(build, &place, "unknown setting; warp help lists them");
}

/* The first of argv, with its value in the same argument or the next one. */
MUST_USE static err flag_read(struct config_build *build, int argc, char *const *argv, int *ret_used)
{
    bool is_flag = slice_starts(slice_str(argv[0]), SLICE("--")), has_next = argc > 1 && strncmp(argv[1], "--", 2) != 0;
    slice name = slice_str(argv[0]), value = SLICE_NONE;
    char where[CONF_QUOTED_BYTES];
    const struct config_place place = {.where = where};
    enum config_index option;
    ptrdiff_t equals;

    while (name.len > 0 && name.data[0] == '-')
        name = slice_from(name, 1);
    equals = slice_find(name, '=');
    if (equals >= 0) {
        value = slice_from(name, (size_t)equals + 1);
        name.len = (size_t)equals;
    }
    *ret_used = 1;
    option = is_flag ? config_option_find(name) : CONFIG_OPTION_COUNT;
    if (option == CONFIG_OPTION_COUNT || name.data != argv[0] + 2) {
        flag_unknown(build, argv[0], name);
        *ret_used += argv[0][0] == '-' && equals < 0 && has_next; /* its value, most likely */
        return ERR_OK;
    }
    snprintf(where, sizeof(where), "--%s", config_options[option].flag);
    if (equals < 0 && config_options[option].kind == KIND_SWITCH) {
        value = SLICE("true");
    } else if (equals < 0) {
        if (!has_next) {
            problem(build, &place, "has no value; write --%s %s", config_options[option].flag, config_options[option].placeholder);
            return ERR_OK;
        }
        value = slice_str(argv[1]);
        *ret_used = 2;
    }
    return unless_invalid(config_set(build, option, FROM_FLAG, value, &place));
}

err config_read_flags(struct config_build *build, int argc, char *const *argv)
{
    for (int i = 0, used = 0; i < argc; i += used)
        TRY(flag_read(build, argc - i, argv + i, &used));
    return ERR_OK;
}

/* ---- environment --------------------------------------------------------------------------------------------- */

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
                                       const struct config_place *place)
{
    for (;;) {
        ptrdiff_t comma = slice_find(value, ',');
        slice item = slice_trim(comma >= 0 ? slice_of(value.data, (size_t)comma) : value);

        TRY(config_set(build, option, FROM_ENVIRONMENT, item, place));
        if (comma < 0)
            return ERR_OK;
        value = slice_from(value, (size_t)comma + 1);
    }
}

MUST_USE static err variable_read(struct config_build *build, slice name, slice value)
{
    char variable[VARIABLE_BYTES_MAX];
    const struct config_place place = {.where = variable};

    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        if (!slice_eq(name, slice_str(variable_of(config_options[i].flag, variable))))
            continue;
        if (value.len == 0)
            return ERR_OK;
        return unless_invalid(config_options[i].kind == KIND_LIST
                                  ? variable_list_read(build, (enum config_index)i, value, &place)
                                  : config_set(build, (enum config_index)i, FROM_ENVIRONMENT, value, &place));
    }
    /* For the client commands. WARP_ADMIN and WARP_CACHE_DIR are settings here, too. */
    static const char *const of_clients[] = {"TOKEN", "ADMIN_CA", "ADMIN_CLIENT_CERT", "ADMIN_CLIENT_KEY"};
    for (size_t i = 0; i < ARRAY_LEN(of_clients); i++)
        if (slice_eq(slice_from(name, sizeof(VARIABLE_PREFIX) - 1), slice_str(of_clients[i])))
            return ERR_OK;
    if (build->unknown_variable == NULL)
        TRY(string_keep(build, name, &build->unknown_variable));
    return ERR_OK;
}

err config_read_environment(struct config_build *build, char *const *environment)
{
    for (; environment != NULL && *environment != NULL; environment++) {
        slice name = slice_str(*environment), value;
        ptrdiff_t equals = slice_find(name, '=');

        if (equals < 0 || !slice_starts(name, SLICE(VARIABLE_PREFIX)))
            continue;
        value = slice_from(name, (size_t)equals + 1);
        name.len = (size_t)equals;
        TRY(variable_read(build, name, value));
    }
    return ERR_OK;
}

/* ---- all together -------------------------------------------------------------------------------------------- */

err config_begin(struct config_build *build, struct conf_report *report)
{
    static_assert(CONFIG_OPTION_COUNT <= 64, "given has a bit per option");
    struct arena *arena = malloc(sizeof(*arena));

    ENSURE(arena != NULL, MEMORY);
    arena_init(arena, NULL, 0, STRINGS_BYTES_MAX);
    *build = (struct config_build){.arena = arena, .report = report, .config.owned = arena};
    return ERR_OK;
}

err config_read_defaults(struct config_build *build)
{
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        if (config_options[i].dflt != NULL)
            TRY(config_set(build, (enum config_index)i, FROM_DEFAULT, slice_str(config_options[i].dflt),
                           &(struct config_place){.where = "default"}));
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        if (build->set_by[i] > FROM_DEFAULT)
            build->config.given[i / 32] |= UINT32_C(1) << (i % 32);
    return ERR_OK;
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
