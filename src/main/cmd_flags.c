/* Flags of the client commands: few, strict, with the nearest known one for a misspelled one. */
#include "conf/config.h"
#include "main/client.h"
#include "main/commands.h"

#include <stdarg.h>
#include <stdio.h>

#define FLAGS_MAX       16u
#define FLAG_NAME_BYTES 80u

enum {
#define X(...) +1
    WHERE_FLAGS = 0 CLIENT_FLAGS(X)
#undef X
};

int client_usage(const struct client_syntax *syntax, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "warp %s: ", syntax->command);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\n");
    command_usage(stderr, command_find(syntax->command));
    fprintf(stderr, "warp %s --help says more\n", syntax->command);
    return EXIT_USAGE;
}

/* What a command reads is what the table says of it, to the letter. */
static void syntax_check(const struct client_syntax *syntax)
{
    const struct command *command = command_find(syntax->command);
    struct command_flag flag;
    unsigned count = 0;

    INVARIANT(command != NULL && command->is_client == (syntax->where != NULL));
    while (command_flag_at(command, count, &flag)) {
        if (count < syntax->flag_count) {
            const struct client_flag *read = &syntax->flags[count];
            INVARIANT(strcmp(read->name, flag.name) == 0);
            INVARIANT((read->placeholder == NULL) == (flag.placeholder == NULL));
            INVARIANT(read->placeholder == NULL || strcmp(read->placeholder, flag.placeholder) == 0);
        }
        count++;
    }
    INVARIANT(count == syntax->flag_count + (syntax->where != NULL ? (unsigned)WHERE_FLAGS : 0u));
}

/* The command's own flags, then those that say where to ask. */
static unsigned flags_all(const struct client_syntax *syntax, struct client_flag flags[FLAGS_MAX])
{
    struct client_where *where = syntax->where;
    unsigned count = 0;

    INVARIANT(syntax->flag_count + WHERE_FLAGS <= FLAGS_MAX);
    for (; count < syntax->flag_count; count++)
        flags[count] = syntax->flags[count];
    if (where == NULL)
        return count;
#define X(flag, placeholder, field, text) flags[count++] = (struct client_flag){flag, placeholder, &where->field, NULL, NULL};
    CLIENT_FLAGS(X)
#undef X
    return count;
}

static int flag_unknown(const struct client_syntax *syntax, const struct client_flag *flags, unsigned count,
                        slice name)
{
    const char *names[FLAGS_MAX], *nearest;
    char word[FLAG_NAME_BYTES], safe[FLAG_NAME_BYTES];

    snprintf(word, sizeof(word), SLICE_FMT, (int)MIN(name.len, sizeof(word)), name.data);
    for (unsigned i = 0; i < count; i++)
        names[i] = flags[i].name;
    nearest = config_nearest_of(word, names, count);
    log_safe(name, safe, sizeof(safe));
    return nearest != NULL ? client_usage(syntax, "unknown flag --%s; did you mean --%s?", safe, nearest)
                           : client_usage(syntax, "unknown flag --%s", safe);
}

static bool flag_set(const struct client_syntax *syntax, const struct client_flag *flag, const char *value, int *ret_code)
{
    struct client_list *list = flag->list;

    if (list == NULL) {
        *flag->value = value;
        return true;
    }
    if (list->count == list->max) {
        *ret_code = client_usage(syntax, "--%s comes more than %u times", flag->name, list->max);
        return false;
    }
    list->items[list->count++] = value;
    return true;
}

/* The first of argv, which begins with "--"; false: *ret_code. */
static bool flag_read(const struct client_syntax *syntax, int argc, char **argv, int *ret_used, int *ret_code)
{
    struct client_flag flags[FLAGS_MAX];
    unsigned count = flags_all(syntax, flags), i = 0;
    slice name = slice_str(argv[0] + 2);
    ptrdiff_t equals = slice_find(name, '=');
    const char *value = equals >= 0 ? name.data + equals + 1 : NULL;

    if (equals >= 0)
        name.len = (size_t)equals;
    while (i < count && !slice_eq(name, slice_str(flags[i].name)))
        i++;
    if (i == count) {
        *ret_code = flag_unknown(syntax, flags, count, name);
        return false;
    }
    *ret_used = 1;
    if (flags[i].placeholder == NULL) {
        if (value != NULL)
            *ret_code = client_usage(syntax, "--%s takes no value", flags[i].name);
        else
            *flags[i].on = true;
        return value == NULL;
    }
    if (value == NULL && argc > 1 && strncmp(argv[1], "--", 2) != 0) {
        value = argv[1];
        *ret_used = 2;
    }
    if (value == NULL || value[0] == '\0') {
        *ret_code = client_usage(syntax, "--%s has no value; write --%s %s", flags[i].name, flags[i].name,
                                 flags[i].placeholder);
        return false;
    }
    return flag_set(syntax, &flags[i], value, ret_code);
}

bool client_flags_read(const struct client_syntax *syntax, int argc, char **argv, int *ret_code)
{
    unsigned words = 0, words_max = syntax->word == NULL ? 0 : MAX(1u, syntax->words_max);
    char safe[FLAG_NAME_BYTES];

    syntax_check(syntax);
    for (int i = 0, used = 1; i < argc; i += used) {
        used = 1;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            command_help(stdout, command_find(syntax->command));
            *ret_code = EXIT_DONE;
            return false;
        }
        if (strncmp(argv[i], "--", 2) == 0) {
            if (!flag_read(syntax, argc - i, argv + i, &used, ret_code))
                return false;
            continue;
        }
        if (words == words_max || (argv[i][0] == '-' && argv[i][1] != '\0') || argv[i][0] == '\0') {
            *ret_code = client_usage(syntax, "\"%s\" is one argument too many",
                                     log_safe(slice_str(argv[i]), safe, sizeof(safe)));
            return false;
        }
        syntax->word[words++] = argv[i];
    }
    return true;
}
