/* control_keep: what a change writes down in the state directory: all of it before the change comes into force, or none.
 *
 *   keep_put, keep_drop --keep_write--> every file written beside its place, and what is there now with it
 *                                       --> every file put in its place --keep_undo--> as it was
 *
 * A full disk shows in the first step, when nothing has changed. What the second one has done is undone by renames, which
 * need no room. Where a change is in force whatever becomes of its files (a reload: the files it comes from are written), and
 * where undoing fails, the files are owed: a *debt*, tried again until it is paid.
 *
 * Owner: "warp-config"; none of it is shared. Blocks. Errors: of the file system. */
#ifndef WARP_MAIN_CONTROL_KEEP_H
#define WARP_MAIN_CONTROL_KEEP_H

#include "main/state.h"

#define KEEP_NAME_BYTES 96u

struct keep_file {
    char name[KEEP_NAME_BYTES];
    char *text; /* NULL: the file goes */
    size_t len;
    char *temp, *backup; /* paths beside its place: what comes there, what was there; NULL: none */
    bool is_done;
};

struct keep {
    const struct state *state;
    struct keep_file *files;
    unsigned count, room;
};

struct keep_debt {
    struct keep files;
    err why;
};

void keep_init(struct keep *keep, const struct state *state);
void keep_done(struct keep *keep); /* what was written stays */
/* Each name once. Copies the text. */
MUST_USE err keep_put(struct keep *keep, const char *name, slice text);
MUST_USE err keep_drop(struct keep *keep, const char *name);

/* All or none; on an error message says which file, and why. Then keep_settle or keep_undo. */
MUST_USE err keep_write(struct keep *keep, struct keep_debt *debt, char *message, size_t size);
/* After keep_write: nothing will undo it, so what was owed of the same files is paid. */
void keep_settle(const struct keep *keep, struct keep_debt *debt);
/* After keep_write, before keep_done: as it was before. */
void keep_undo(struct keep *keep, struct keep_debt *debt);
/* As many as can be; the others are owed. False: some are, and message says the first, and why. */
bool keep_write_or_owe(struct keep *keep, struct keep_debt *debt, char *message, size_t size);

void keep_debt_init(struct keep_debt *debt, const struct state *state);
void keep_debt_done(struct keep_debt *debt);
/* Tries again. True: nothing is owed. */
bool keep_debt_pay(struct keep_debt *debt);
/* A sentence on what is owed; false: nothing is. */
bool keep_debt_reason(const struct keep_debt *debt, char *buffer, size_t size);

#endif
