/* state: what must outlive a restart beside the cache: a directory of small files, each written whole.
 *
 *   tenants.registry   ids and generations (tenant/registry.h)
 *   tenants/NAME.json  tenants that the API made: the value of tenants.NAME
 *   versions/NUMBER    configurations that were in force (docs/formats/config-bundle.md, behind one line)
 *   current            the number of the version that was rolled back to; not there: the files count
 *   tokens.json        tokens, hashed
 *   audit.log          who changed what, a JSON object a line; audit.log.1: what came before (state_log.h)
 *   purges.log         who purged what, likewise (control_purges.h)
 *
 * Nothing is made before something is written. Blocks: at start, and on threads of its users' own. */
#ifndef WARP_MAIN_STATE_H
#define WARP_MAIN_STATE_H

#include "base/err.h"
#include "base/slice.h"
#include "conf/config.h"

#define STATE_REGISTRY  "tenants.registry"
#define STATE_CURRENT   "current"
#define STATE_TOKENS    "tokens.json"
#define STATE_AUDIT     "audit.log"
#define STATE_PURGES    "purges.log"
#define STATE_DIR_BYTES  512u
#define STATE_PATH_BYTES 1024u
#define STATE_PROBLEM_BYTES (STATE_PATH_BYTES + 160u)
#define STATE_FILE_BYTES_MAX (256u << 20)

struct state {
    char dir[STATE_DIR_BYTES]; /* "": there is none that can be written */
};

void state_open(struct state *state, const struct config *config);
/* name: "current", "tenants/shop.json". ERR_NOT_FOUND. free() it; NUL-terminated. */
MUST_USE err state_read(const struct state *state, const char *name, char **ret_text, size_t *ret_len);
/* Whole or not at all, flushed, 0600. ERR_NOT_FOUND: there is no directory for it. */
MUST_USE err state_write(const struct state *state, const char *name, slice text);
/* Fine when it is not there. */
MUST_USE err state_remove(const struct state *state, const char *name);
/* The directories above it are there. */
MUST_USE err state_make_room(const struct state *state, const char *name);
/* Which file cannot be written, or removed, and why. */
const char *state_problem(const struct state *state, const char *name, err why, char *buffer, size_t size);
/* The names in a directory of it, sorted; os_dir_names_free. None is fine. */
MUST_USE err state_names(const struct state *state, const char *dir, char ***ret_names, unsigned *ret_count);
/* Removes what a process that was killed while it wrote has left beside the files (os_file_stage). */
void state_sweep(const struct state *state);
/* For one that is appended to; ERR_NOT_FOUND: there is no directory. */
MUST_USE err state_path(const struct state *state, const char *name, char *ret_path, size_t size);

#endif
