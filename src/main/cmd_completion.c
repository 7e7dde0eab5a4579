/* warp completion: what shells complete, from the table of commands. */
#include "main/client.h"
#include "main/commands.h"

#include <limits.h>
#include <string.h>

#define WORDS_BYTES 256u
#define EVERYWHERE  UINT_MAX
#define NOWHERE     (UINT_MAX - 1)

/* ---- what the table's forms say ---------------------------------------------------------------------------------------- */

static const struct {
    const char *command, *arguments, *text;
} forms[] = {
#define X(command, arguments, text) {command, arguments, text},
    COMMAND_FORMS(X)
#undef X
};
static const struct {
    const char *command, *flag, *words;
} flag_words[] = {
#define X(command, flag, words) {command, flag, words},
    FLAG_WORDS(X)
#undef X
};

/* The first words that a command's forms know: "list show set delete"; "" where they know none. */
static const char *words_of(const struct command *command, char words[WORDS_BYTES])
{
    size_t len = 0;

    words[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        const char *word = forms[i].arguments;
        size_t size;
        if (strcmp(forms[i].command, command->name) != 0)
            continue;
        word += *word == '[';
        size = strspn(word, "abcdefghijklmnopqrstuvwxyz");
        if (size == 0)
            continue;
        len += (size_t)snprintf(words + len, WORDS_BYTES - len, "%s%.*s", len > 0 ? " " : "", (int)size, word);
        INVARIANT(len < WORDS_BYTES);
    }
    return words;
}

/* Where a form takes that operand (FILE, COMMAND): the number of words before it that are no flags; EVERYWHERE; NOWHERE. */
static unsigned place_in(const char *arguments, const char *operand)
{
    unsigned words = 0;

    for (const char *at = arguments; *at != '\0';) {
        size_t len = strcspn(at, " "), bare = at[0] == '[';
        if (strncmp(at + bare, "--", 2) == 0) { /* "--tag T", "[--since N]", "[--json]" */
            if (at[len - 1] != ']' && at[len] == ' ')
                len += 1 + strcspn(at + len + 1, " ");
        } else {
            if (strncmp(at + bare, operand, strlen(operand)) == 0)
                return strstr(at, "...") != NULL ? EVERYWHERE : words;
            words++;
        }
        at += len + (at[len] == ' ');
    }
    return NOWHERE;
}

/* The i-th form of the command that takes it: where, and behind which first word ("": whatever is first). False: no more. */
static bool place_at(const struct command *command, const char *operand, unsigned i, unsigned *ret_place, slice *ret_first)
{
    for (size_t f = 0; f < ARRAY_LEN(forms); f++) {
        const char *arguments = forms[f].arguments;
        unsigned place = strcmp(forms[f].command, command->name) == 0 ? place_in(arguments, operand) : NOWHERE;
        if (place == NOWHERE || i-- > 0)
            continue;
        *ret_place = place;
        *ret_first = slice_of(arguments, strspn(arguments, "abcdefghijklmnopqrstuvwxyz"));
        return true;
    }
    return false;
}

static bool is_file(const struct command_flag *flag)
{
    return flag->placeholder != NULL && (strstr(flag->placeholder, "FILE") != NULL || strstr(flag->placeholder, "DIR") != NULL);
}

/* The words that a flag knows; "": it knows none. */
static const char *flag_words_of(const struct command *command, const struct command_flag *flag)
{
    for (size_t i = 0; i < ARRAY_LEN(flag_words); i++)
        if (strcmp(flag_words[i].command, command->name) == 0 && strcmp(flag_words[i].flag, flag->name) == 0)
            return flag_words[i].words;
    return "";
}

static void names_print(void)
{
    const char *between = "";

    for (unsigned i = 0; i < command_count; i++) {
        if (commands[i].text[0] == '\0')
            continue;
        printf("%s%s", between, commands[i].name);
        between = " ";
    }
}

/* ---- bash ------------------------------------------------------------------------------------------------------------ */

/* What may follow a flag, and where files are taken: patterns of a case. */
static void bash_values(const struct command *command)
{
    struct command_flag flag;

    for (unsigned f = 0; command_flag_at(command, f, &flag); f++)
        if (flag.placeholder != NULL)
            printf("    %s:--%s) value=\"%s\"; files=%s ;;\n", command->name, flag.name, flag_words_of(command, &flag), is_file(&flag) ? "-f" : "");
}

static void bash_words(const struct command *command)
{
    char words[WORDS_BYTES];
    unsigned place;
    slice first;

    if (words_of(command, words)[0] != '\0')
        printf("    %s:0:) words=\"%s\" ;;\n", command->name, words);
    for (unsigned i = 0; place_at(command, "COMMAND", i, &place, &first); i++) {
        printf("    %s:%u:*) words=\"", command->name, place);
        names_print();
        printf("\" ;;\n");
    }
    for (unsigned i = 0; place_at(command, "FILE", i, &place, &first); i++) {
        if (place == EVERYWHERE)
            printf("    %s:*) files=-f ;;\n", command->name);
        else
            printf("    %s:%u:" SLICE_FMT "%s) files=-f ;;\n", command->name, place, SLICE_ARG(first), first.len == 0 ? "*" : "");
    }
}

static void bash_print(void)
{
    struct command_flag flag;

    printf("_warp()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} name=${COMP_WORDS[1]} flags= takes= words= value= files= first= i count=0\n"
           "    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"");
    names_print();
    printf("\" -- \"$cur\"))\n        return\n    fi\n    case \"$name\" in\n");
    for (unsigned i = 0; i < command_count; i++) {
        if (commands[i].text[0] == '\0')
            continue;
        printf("    %s)\n        flags=\"", commands[i].name);
        for (unsigned f = 0; command_flag_at(&commands[i], f, &flag); f++)
            printf("%s--%s", f > 0 ? " " : "", flag.name);
        printf("\"\n        takes=\" ");
        for (unsigned f = 0; command_flag_at(&commands[i], f, &flag); f++)
            if (flag.placeholder != NULL)
                printf("--%s ", flag.name);
        printf("\"\n        ;;\n");
    }
    /* Readline makes three words of --flag=value. */
    printf("    esac\n    local before=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    if [ \"$cur\" = = ]; then cur=; elif [ \"$before\" = = ]; then before=${COMP_WORDS[COMP_CWORD - 2]}; fi\n"
           "    case \"$takes\" in *\" $before \"*)\n        case \"$name:$before\" in\n");
    for (unsigned i = 0; i < command_count; i++)
        if (commands[i].text[0] != '\0')
            bash_values(&commands[i]);
    printf("        esac\n        COMPREPLY=($(compgen $files -W \"$value\" -- \"$cur\"))\n        return ;;\n    esac\n"
           "    case \"$cur\" in -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")); return ;; esac\n"
           "    for ((i = 2; i < COMP_CWORD; i++)); do\n"
           "        case \"$takes\" in *\" ${COMP_WORDS[i]} \"*)\n"
           "            if [ \"${COMP_WORDS[i + 1]}\" = = ]; then ((i += 2)); else ((i++)); fi; continue ;;\n        esac\n"
           "        case \"${COMP_WORDS[i]}\" in --*) ;; *) if ((count++ == 0)); then first=${COMP_WORDS[i]}; fi ;; esac\n    done\n"
           "    case \"$name:$count:$first\" in\n");
    for (unsigned i = 0; i < command_count; i++)
        if (commands[i].text[0] != '\0')
            bash_words(&commands[i]);
    printf("    esac\n    COMPREPLY=($(compgen $files -W \"$words\" -- \"$cur\"))\n}\ncomplete -F _warp warp\n");
}

/* ---- zsh, fish: words in '...' --------------------------------------------------------------------------------------- */

/* In zsh's lists a colon parts, in its brackets a bracket ends. */
static void zsh_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else if (strchr(":[]\\", *text) != NULL)
            printf("\\%c", *text);
        else
            putchar(*text);
    }
}

static void zsh_flags(const struct command *command)
{
    struct command_flag flag;

    for (unsigned i = 0; command_flag_at(command, i, &flag); i++) {
        printf(" \\\n            '*--%s%s[", flag.name, flag.placeholder != NULL ? "=" : "");
        zsh_text(flag.text);
        putchar(']');
        if (flag.placeholder != NULL) {
            putchar(':');
            zsh_text(flag.placeholder);
            if (is_file(&flag))
                fputs(":_files", stdout);
            else
                printf(":(%s)", flag_words_of(command, &flag));
        }
        putchar('\'');
    }
}

/* Words that are no flags; what is not said is not completed. */
static void zsh_places(const struct command *command)
{
    unsigned place;
    slice first;

    for (unsigned i = 0; place_at(command, "FILE", i, &place, &first); i++) {
        if (place == EVERYWHERE)
            printf(" \\\n            '*:file:_files'");
        for (unsigned p = 1; place != EVERYWHERE && p < place; p++)
            printf(" \\\n            '%u: : '", p + 1);
        if (place != EVERYWHERE) /* words[2]: shifted once, so behind the name */
            printf(" \\\n            '%u:file:{ [[ $words[2] == " SLICE_FMT " ]] && _files }'", place + 1, SLICE_ARG(first));
    }
    for (unsigned i = 0; place_at(command, "COMMAND", i, &place, &first); i++) {
        printf(" \\\n            '%u:command:(", place + 1);
        names_print();
        printf(")'");
    }
}

static void zsh_print(void)
{
    char words[WORDS_BYTES];

    printf("#compdef warp\n_warp()\n{\n    local -a names\n    names=(\n");
    for (unsigned i = 0; i < command_count; i++) {
        if (commands[i].text[0] == '\0')
            continue;
        printf("        '%s:", commands[i].name);
        zsh_text(commands[i].text);
        printf("'\n");
    }
    printf("    )\n    if (( CURRENT == 2 )); then\n        _describe command names\n        return\n    fi\n"
           "    local name=${words[2]}\n    shift words\n    (( CURRENT-- ))\n    case $name in\n");
    for (unsigned i = 0; i < command_count; i++) {
        if (commands[i].text[0] == '\0')
            continue;
        printf("    %s)\n        _arguments", commands[i].name);
        zsh_flags(&commands[i]);
        if (words_of(&commands[i], words)[0] != '\0')
            printf(" \\\n            '1: :(%s)'", words);
        zsh_places(&commands[i]);
        printf("\n        ;;\n");
    }
    printf("    esac\n}\nif [ \"$funcstack[1]\" = _warp ]; then _warp \"$@\"; else compdef _warp warp; fi\n");
}

static void fish_text(const char *text)
{
    putchar('\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'' || *text == '\\')
            putchar('\\');
        putchar(*text);
    }
    putchar('\'');
}

static void fish_command(const struct command *command)
{
    struct command_flag flag;
    char words[WORDS_BYTES];
    unsigned place;
    slice first;

    printf("complete -c warp -n __fish_use_subcommand -f -a %s -d ", command->name);
    fish_text(command->text);
    putchar('\n');
    if (words_of(command, words)[0] != '\0')
        printf("complete -c warp -n '__fish_seen_subcommand_from %s; and not __fish_seen_subcommand_from %s' -a '%s'\n", command->name, words,
               words);
    for (unsigned i = 0; place_at(command, "FILE", i, &place, &first); i++)
        printf("complete -c warp -n '__fish_seen_subcommand_from %s%s" SLICE_FMT "' -F\n", command->name,
               first.len > 0 ? "; and __fish_seen_subcommand_from " : "", SLICE_ARG(first));
    if (place_at(command, "COMMAND", 0, &place, &first)) {
        printf("complete -c warp -n '__fish_seen_subcommand_from %s' -a '", command->name);
        names_print();
        printf("'\n");
    }
    for (unsigned i = 0; command_flag_at(command, i, &flag); i++) {
        printf("complete -c warp -n '__fish_seen_subcommand_from %s' -l %s%s -d ", command->name, flag.name,
               flag.placeholder == NULL ? "" : is_file(&flag) ? " -r -F" : " -x");
        fish_text(flag.text);
        if (flag_words_of(command, &flag)[0] != '\0')
            printf(" -a '%s'", flag_words_of(command, &flag));
        putchar('\n');
    }
}

static void fish_print(void)
{
    printf("complete -c warp -f\n");
    for (unsigned i = 0; i < command_count; i++)
        if (commands[i].text[0] != '\0')
            fish_command(&commands[i]);
}

int cmd_completion(int argc, char **argv)
{
    const char *shell = NULL;
    const struct client_syntax syntax = {.command = "completion", .word = &shell};
    int code;

    if (!client_flags_read(&syntax, argc, argv, &code))
        return code;
    if (shell != NULL && strcmp(shell, "bash") == 0)
        bash_print();
    else if (shell != NULL && strcmp(shell, "zsh") == 0)
        zsh_print();
    else if (shell != NULL && strcmp(shell, "fish") == 0)
        fish_print();
    else
        return client_usage(&syntax, "which shell? bash, zsh or fish");
    return EXIT_DONE;
}
