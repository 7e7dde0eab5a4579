/* The commands of the binary. Each returns the exit code: 0 done, 1 failed at run time, 2 usage or settings. */
#ifndef WARP_MAIN_COMMANDS_H
#define WARP_MAIN_COMMANDS_H

#include "conf/settings.h"
#include "os/os.h"

int cmd_run(int argc, char **argv);
int cmd_origin(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_reference(int argc, char **argv);
int cmd_purge(int argc, char **argv);
int cmd_purges(int argc, char **argv);
int cmd_stats(int argc, char **argv);
/* For commands of the contract that a later version brings: says so, 2. */
int cmd_not_yet(const char *name);

/* The demo origin behind a listener, until SIGTERM; for a child process. */
int demo_serve(struct os_listener *listener);
/* Settings of `warp run` from argv, environment and file; says what is wrong with them. */
int command_settings(int argc, char **argv, struct settings **ret_settings);
/* A line each on standard error. */
void command_problems_print(struct conf_report *report);
/* Files of settings. They may be reached through a link, as orchestrators mount them; what that leads to is a plain file. */
extern const struct conf_source command_source;
/* The admin token of a server: read, or made. Without one *ret_token is "". */
int token_prepare(const struct config *config, char *ret_token, size_t size, char *ret_path, size_t path_size);

#endif
