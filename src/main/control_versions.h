/* control_versions: the configurations that were in force, the last CONTROL_VERSIONS of them: a list, and a file for each in
 * the state directory.
 *
 *   control_versions_next --its text is written (control_keep)--> control_versions_enter: in force, in front
 *
 * Threads: "warp-config" changes the list, under its lock; worker 0 reads it. */
#ifndef WARP_MAIN_CONTROL_VERSIONS_H
#define WARP_MAIN_CONTROL_VERSIONS_H

#include "admin/control.h"
#include "conf/settings.h"
#include "main/state.h"

#define VERSION_FILE_BYTES 40u

struct control_versions;

/* What the state directory has of them. */
MUST_USE err control_versions_new(const struct state *state, struct control_versions **ret_versions);
struct control_versions *control_versions_free(struct control_versions *versions);

uint64_t control_versions_in_force(const struct control_versions *versions); /* 0: none yet */
/* The next one, by whom and what. */
struct control_version control_versions_next(struct control_versions *versions, const char *who, const char *what, uint32_t tenants);
/* It is in force, and the newest; *ret_gone: the file of the one that is not kept any more, "": none. */
void control_versions_enter(struct control_versions *versions, const struct control_version *version, char ret_gone[VERSION_FILE_BYTES]);
/* The newest is in force again as it is. False: there is none, or it says something else. */
MUST_USE bool control_versions_resume(struct control_versions *versions, const struct settings *settings);
/* The newest first; returns how many were written. */
unsigned control_versions_list(struct control_versions *versions, struct control_version *ret_versions, unsigned max);

/* Its file and what that says; free() the text. */
void control_version_file(char file[VERSION_FILE_BYTES], uint64_t number);
MUST_USE err control_version_text(const struct control_version *version, const struct settings *settings, char **ret_text, size_t *ret_len);
/* A version that is kept: its text (free() it), and what lies in it. ERR_NOT_FOUND, ERR_CORRUPT. */
MUST_USE err control_version_read(const struct state *state, uint64_t number, char **ret_text, struct control_version *ret_version,
                                  slice *ret_bundle);

#endif
