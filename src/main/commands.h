/* The commands of the binary. Each returns the exit code: 0 done, 1 failed at run time, 2 usage or settings. */
#ifndef WARP_MAIN_COMMANDS_H
#define WARP_MAIN_COMMANDS_H

#include "conf/settings.h"
#include "main/commands_table.h"
#include "os/os.h"

#include <stdio.h>

#define X(name, function, asks, text) int function(int argc, char **argv);
COMMANDS(X)
#undef X
/* For commands of the contract that a later version brings: says so, 2. */
int cmd_not_yet(const char *name);

/* ---- the table as data (help.c) ------------------------------------------------------------------------------------ */

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    bool is_client; /* has the flags that say whom to ask */
    const char *text;
};
extern const struct command commands[];
extern const unsigned command_count;
const struct command *command_find(const char *name); /* NULL: there is none */

struct command_flag {
    const char *name, *placeholder, *text; /* placeholder NULL: a switch */
};
/* The i-th flag of a command, those that say whom to ask last; false: no more. */
MUST_USE bool command_flag_at(const struct command *command, unsigned i, struct command_flag *ret_flag);
/* "usage: warp ..." for each form. */
void command_usage(FILE *out, const struct command *command);
/* All there is to say of it. */
void command_help(FILE *out, const struct command *command);

/* The page of a command, or of the binary (NULL), as roff (man(7)). */
void command_man(FILE *out, const struct command *command);

/* ---- what they share ------------------------------------------------------------------------------------------------ */

/* The demo origin behind a listener, until SIGTERM; for a child process. */
int demo_serve(struct os_listener *listener);
/* Settings of `warp run` from argv, environment and file; says what is wrong with them. They may be
 * lacking what the state directory has (is_lacking). */
int command_settings(int argc, char **argv, struct settings **ret_settings);
/* A line each on standard error. */
void command_problems_print(struct conf_report *report);
/* Files of settings. They may be reached through a link, as orchestrators mount them; what that leads to is a plain file. */
extern const struct conf_source command_source;
/* The admin token of a server: read, or made. Without one *ret_token is "". */
int token_prepare(const struct config *config, char *ret_token, size_t size, char *ret_path, size_t path_size);

#endif
