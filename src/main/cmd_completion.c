/* warp completion: what shells complete, from the table of commands. */
#include "main/client.h"
#include "main/commands.h"

#include <string.h>

#define WORDS_BYTES 256u

/* The first words that a command's forms know: "list show set delete"; "" where they know none. */
static const char *words_of(const struct command *command, char words[WORDS_BYTES])
{
    static const struct {
        const char *command, *arguments, *text;
    } forms[] = {
#define X(command, arguments, text) {command, arguments, text},
        COMMAND_FORMS(X)
#undef X
    };
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

static bool is_file(const struct command_flag *flag)
{
    return flag->placeholder != NULL && (strstr(flag->placeholder, "FILE") != NULL || strstr(flag->placeholder, "DIR") != NULL);
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

static void bash_print(void)
{
    struct command_flag flag;
    char words[WORDS_BYTES];

    printf("_warp()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} words= flags= files= values=\n    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W \"");
    names_print();
    printf("\" -- \"$cur\"))\n        return\n    fi\n    case \"${COMP_WORDS[1]}\" in\n");
    for (unsigned i = 0; i < command_count; i++) {
        if (commands[i].text[0] == '\0')
            continue;
        printf("    %s)\n        words=\"%s\"\n        flags=\"", commands[i].name, words_of(&commands[i], words));
        for (unsigned f = 0; command_flag_at(&commands[i], f, &flag); f++)
            printf("%s--%s", f > 0 ? " " : "", flag.name);
        printf("\"\n        files=\" ");
        for (unsigned f = 0; command_flag_at(&commands[i], f, &flag); f++)
            if (is_file(&flag))
                printf("--%s ", flag.name);
        printf("\"\n        values=\" ");
        for (unsigned f = 0; command_flag_at(&commands[i], f, &flag); f++)
            if (flag.placeholder != NULL && !is_file(&flag))
                printf("--%s ", flag.name);
        printf("\"\n        ;;\n");
    }
    printf("    esac\n    local before=${COMP_WORDS[COMP_CWORD - 1]}\n"
           "    case \"$files\" in *\" $before \"*) COMPREPLY=($(compgen -f -- \"$cur\")); return ;; esac\n"
           "    case \"$values\" in *\" $before \"*) return ;; esac\n"
           "    case \"$cur\" in\n    -*) COMPREPLY=($(compgen -W \"$flags\" -- \"$cur\")) ;;\n"
           "    *) if [ \"$COMP_CWORD\" -eq 2 ] && [ -n \"$words\" ]; then COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "       else COMPREPLY=($(compgen -f -- \"$cur\")); fi ;;\n    esac\n}\ncomplete -F _warp warp\n");
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
            fputs(is_file(&flag) ? ":_files" : ": ", stdout);
        }
        putchar('\'');
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
        printf(" \\\n            '*:file:_files'\n        ;;\n");
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

    printf("complete -c warp -n __fish_use_subcommand -f -a %s -d ", command->name);
    fish_text(command->text);
    putchar('\n');
    if (words_of(command, words)[0] != '\0')
        printf("complete -c warp -n '__fish_seen_subcommand_from %s' -a '%s'\n", command->name, words);
    for (unsigned i = 0; command_flag_at(command, i, &flag); i++) {
        printf("complete -c warp -n '__fish_seen_subcommand_from %s' -l %s%s -d ", command->name, flag.name,
               flag.placeholder == NULL ? "" : is_file(&flag) ? " -r -F" : " -x");
        fish_text(flag.text);
        putchar('\n');
    }
}

static void fish_print(void)
{
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
