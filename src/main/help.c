/* What the table of commands says, for people: warp help, --help, man pages. */
#include "main/commands.h"

#include "conf/config.h"

#include <string.h>

#define COLUMN 24

const struct command commands[] = {
#define NOBODY false
#define ADMIN  true
#define X(name, function, asks, text) {name, function, asks, text},
    COMMANDS(X)
#undef X
#undef NOBODY
#undef ADMIN
};
const unsigned command_count = ARRAY_LEN(commands);

struct row {
    const char *command, *first, *second, *third;
};
static const struct row forms[] = {
#define X(command, arguments, text) {command, arguments, text, NULL},
    COMMAND_FORMS(X)
#undef X
};
static const struct row flags[] = {
#define X(command, flag, placeholder, text) {command, flag, placeholder, text},
    COMMAND_FLAGS(X)
#undef X
};
static const struct command_flag client_flags[] = {
#define X(flag, placeholder, field, text) {flag, placeholder, text},
    CLIENT_FLAGS(X)
#undef X
};
static const struct row examples[] = {
#define X(command, line, text) {command, line, text, NULL},
    COMMAND_EXAMPLES(X)
#undef X
};
static const struct {
    int code;
    const char *text;
} exits[] = {
#define X(code, text) {code, text},
    COMMAND_EXITS(X)
#undef X
};
static const struct command_flag options[] = {
#define X(flag, kind, field, placeholder, dflt, text) {flag, placeholder, text},
    CONFIG_OPTIONS(X)
#undef X
};

const struct command *command_find(const char *name)
{
    for (unsigned i = 0; i < command_count; i++)
        if (strcmp(name, commands[i].name) == 0)
            return &commands[i];
    return NULL;
}

bool command_flag_at(const struct command *command, unsigned i, struct command_flag *ret_flag)
{
    if (strcmp(command->name, "run") == 0) {
        if (i < ARRAY_LEN(options)) {
            *ret_flag = options[i];
            if (options[i].placeholder[0] == '\0')
                ret_flag->placeholder = NULL;
        }
        return i < ARRAY_LEN(options);
    }
    for (size_t row = 0; row < ARRAY_LEN(flags); row++) {
        if (strcmp(flags[row].command, command->name) != 0)
            continue;
        if (i-- == 0) {
            *ret_flag = (struct command_flag){flags[row].first, flags[row].second, flags[row].third};
            return true;
        }
    }
    if (!command->is_client || i >= ARRAY_LEN(client_flags))
        return false;
    *ret_flag = client_flags[i];
    return true;
}

/* ---- as text -------------------------------------------------------------------------------------------------------- */

void command_usage(FILE *out, const struct command *command)
{
    const char *before = "usage:";

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (strcmp(forms[i].command, command->name) != 0)
            continue;
        fprintf(out, "%s warp %s%s%s\n", before, command->name, forms[i].first[0] != '\0' ? " " : "", forms[i].first);
        before = "      ";
    }
}

static void entry_print(FILE *out, const char *name, const char *text)
{
    if (strlen(name) + 2 > COLUMN)
        fprintf(out, "  %s\n  %-*s %s\n", name, COLUMN, "", text);
    else
        fprintf(out, "  %-*s %s\n", COLUMN, name, text);
}

static void forms_print(FILE *out, const struct command *command)
{
    char name[80];

    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (strcmp(forms[i].command, command->name) != 0 || forms[i].second[0] == '\0')
            continue;
        snprintf(name, sizeof(name), "%s %s", command->name, forms[i].first);
        entry_print(out, name, forms[i].second);
    }
}

static void flags_print(FILE *out, const struct command *command)
{
    struct command_flag flag;
    char name[80];

    for (unsigned i = 0; command_flag_at(command, i, &flag); i++) {
        if (i == 0)
            fprintf(out, "\noptions:\n");
        snprintf(name, sizeof(name), "--%s%s%s", flag.name, flag.placeholder != NULL ? " " : "",
                 flag.placeholder != NULL ? flag.placeholder : "");
        entry_print(out, name, flag.text);
    }
}

void command_help(FILE *out, const struct command *command)
{
    bool is_first = true;

    command_usage(out, command);
    fprintf(out, "\n%s\n", command->text);
    forms_print(out, command);
    if (strcmp(command->name, "run") == 0) {
        fprintf(out, "\noptions, also as WARP_NAME in the environment and as name: in a file:\n");
        fflush(out);
        config_print_options();
    } else {
        flags_print(out, command);
    }
    for (size_t i = 0; i < ARRAY_LEN(examples); i++) {
        if (strcmp(examples[i].command, command->name) != 0)
            continue;
        fprintf(out, "%s  %s\n      %s\n", is_first ? "\nexamples:\n" : "", examples[i].first, examples[i].second);
        is_first = false;
    }
    fprintf(out, "\nexit codes:\n");
    for (size_t i = 0; i < ARRAY_LEN(exits); i++)
        fprintf(out, "  %d  %s\n", exits[i].code, exits[i].text);
}

static int help_of(const char *name)
{
    const struct command *command = command_find(name);

    if (command == NULL || command->text[0] == '\0') {
        fprintf(stderr, "warp: no command \"%s\"; warp help lists them\n", name);
        return 2;
    }
    command_help(stdout, command);
    return 0;
}

int cmd_help(int argc, char **argv)
{
    if (argc > 0 && argv[0][0] != '-')
        return help_of(argv[0]);
    printf("usage: warp COMMAND [options]\n\ncommands:\n");
    for (unsigned i = 0; i < command_count; i++)
        if (commands[i].text[0] != '\0')
            printf("  %-10s %s\n", commands[i].name, commands[i].text);
    printf("\nwarp COMMAND --help says more of one.\n");
    printf("\noptions of warp run, also as WARP_NAME in the environment and as name: in a file:\n");
    config_print_options();
    return 0;
}

/* ---- as man pages ---------------------------------------------------------------------------------------------------- */

/* What roff would take for its own. */
static void roff_text(FILE *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", out);
    for (; *text != '\0'; text++) {
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void roff_line(FILE *out, const char *macro, const char *text)
{
    fprintf(out, "%s", macro);
    roff_text(out, text);
    fputc('\n', out);
}

static void man_head(FILE *out, const char *page, const char *text)
{
    fprintf(out, ".\\\" written by tools/reference.py from src/main/commands_table.h\n.TH %s 1 \"\" \"WARP\" \"WARP\"\n.SH NAME\n", page);
    fprintf(out, "%s \\- ", page);
    roff_text(out, text);
    fputc('\n', out);
}

static void man_entry(FILE *out, const char *bold, const char *placeholder, const char *text)
{
    fputs(".TP\n\\fB", out);
    roff_text(out, bold);
    fputs("\\fR", out);
    if (placeholder != NULL && placeholder[0] != '\0') {
        fputs(" \\fI", out);
        roff_text(out, placeholder);
        fputs("\\fR", out);
    }
    fputc('\n', out);
    roff_line(out, "", text);
}

static void man_forms(FILE *out, const struct command *command)
{
    char line[160];

    fputs(".SH SYNOPSIS\n.nf\n", out);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        if (strcmp(forms[i].command, command->name) != 0)
            continue;
        snprintf(line, sizeof(line), "warp %s%s%s", command->name, forms[i].first[0] != '\0' ? " " : "", forms[i].first);
        roff_line(out, "", line);
    }
    fputs(".fi\n.SH DESCRIPTION\n", out);
    roff_line(out, "", command->text);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        if (strcmp(forms[i].command, command->name) == 0 && forms[i].second[0] != '\0')
            man_entry(out, forms[i].first, NULL, forms[i].second);
}

static void man_flags(FILE *out, const struct command *command)
{
    struct command_flag flag;
    char name[80];

    for (unsigned i = 0; command_flag_at(command, i, &flag); i++) {
        if (i == 0)
            fputs(".SH OPTIONS\n", out);
        snprintf(name, sizeof(name), "--%s", flag.name);
        man_entry(out, name, flag.placeholder, flag.text);
    }
}

static void man_end(FILE *out, const struct command *command)
{
    bool is_first = true;

    for (size_t i = 0; command != NULL && i < ARRAY_LEN(examples); i++) {
        if (strcmp(examples[i].command, command->name) != 0)
            continue;
        if (is_first)
            fputs(".SH EXAMPLES\n", out);
        is_first = false;
        man_entry(out, examples[i].first, NULL, examples[i].second);
    }
    fputs(".SH EXIT STATUS\n", out);
    for (size_t i = 0; i < ARRAY_LEN(exits); i++) {
        char code[12];
        snprintf(code, sizeof(code), "%d", exits[i].code);
        man_entry(out, code, NULL, exits[i].text);
    }
}

void command_man(FILE *out, const struct command *command)
{
    char page[40];

    if (command != NULL) {
        snprintf(page, sizeof(page), "warp-%s", command->name);
        man_head(out, page, command->text);
        man_forms(out, command);
        man_flags(out, command);
        man_end(out, command);
        fputs(".SH SEE ALSO\n.BR warp (1)\n", out);
        return;
    }
    man_head(out, "warp", "an HTTP edge cache");
    fputs(".SH SYNOPSIS\n.nf\nwarp COMMAND [options]\n.fi\n.SH DESCRIPTION\n", out);
    for (unsigned i = 0; i < command_count; i++)
        if (commands[i].text[0] != '\0')
            man_entry(out, commands[i].name, NULL, commands[i].text);
    man_end(out, NULL);
    fputs(".SH SEE ALSO\n", out);
    for (unsigned i = 0, is_more = 0; i < command_count; i++)
        if (commands[i].text[0] != '\0')
            fprintf(out, "%s.BR warp\\-%s (1)", is_more++ > 0 ? ",\n" : "", commands[i].name);
    fputc('\n', out);
}
