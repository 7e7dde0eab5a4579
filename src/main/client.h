/* client: one question to the admin listener of a running WARP, for the commands that ask one.
 *
 *   flags --client_flags_read--> where to ask --client_ask--> answer --client_refusal--> exit code
 *
 * What goes wrong is said on standard error, with what to do about it; the caller returns the exit code.
 * Limits: CLIENT_ANSWER_BYTES_MAX of answer, CLIENT_TIMEOUT_MS in all. */
#ifndef WARP_MAIN_CLIENT_H
#define WARP_MAIN_CLIENT_H

#include "base/err.h"
#include "http/message.h"
#include "main/commands_table.h"
#include "net/net.h"

#include <jansson.h>

#define CLIENT_ANSWER_BYTES_MAX (16u * 1024u * 1024u)
#define CLIENT_TIMEOUT_MS       10000u

enum {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2
};

/* ---- flags (cmd_flags.c)
 * ------------------------------------------------------------------------------------ */

/* What a flag that may come several times was given. */
struct client_list {
    const char **items;
    unsigned count, max;
};

/* Where what a flag of the table (commands_table.h) says goes: one of the three. */
struct client_flag {
    const char *name;        /* without dashes */
    const char *placeholder; /* NULL: a switch */
    const char **value;      /* what follows the flag */
    bool *on;                /* of a switch */
    struct client_list *list; /* instead of value: it may come again */
};

/* Flags that every client command has; NULL: not given. */
struct client_where {
#define X(flag, placeholder, field, text) const char *field;
    CLIENT_FLAGS(X)
#undef X
};

struct client_syntax {
    const char *command; /* of the table: its help is shown, and its flags are these */
    const struct client_flag *flags;
    unsigned flag_count;
    struct client_where *where; /* NULL: the command asks nobody */
    const char **word;          /* the arguments that are no flags; NULL: there are none */
    unsigned words_max;         /* of word; 0: one */
};

/* argv without program and command. False: the command ends here with *ret_code, all is said. */
MUST_USE bool client_flags_read(const struct client_syntax *syntax, int argc, char **argv, int *ret_code);
/* "warp COMMAND: message" on standard error; returns EXIT_USAGE. */
int client_usage(const struct client_syntax *syntax, const char *format, ...) PRINTF(2, 3);

/* ---- where (client_target.c)
 * --------------------------------------------------------------------------------- */

struct client_target {
    struct os_address address;
    struct net_tls_config *tls; /* NULL: plain */
    slice name;                 /* that its certificate must have; of the text given */
};

/* EXIT_DONE, or all is said. */
MUST_USE int client_target_find(const struct client_where *where, const char *admin, struct client_target *ret_target);
void client_target_done(struct client_target *target);

/* ---- asking (client.c)
 * --------------------------------------------------------------------------------------- */

struct client_question {
    enum method method; /* GET, POST, PUT or DELETE */
    const char *path;
    const char *json; /* the body, or NULL */
    const char *type; /* of the body; NULL: JSON */
    const char *if_match; /* NULL: whatever is there */
    bool if_none;         /* only where there is nothing yet */
    const char *named, *file; /* how answers name the body, and how whoever asks knows it; NULL: they do not name it */
};

struct client_answer {
    unsigned status;
    char *body; /* terminated; client_answer_done frees it */
    size_t len;
    bool had_token;
};

/* EXIT_DONE: there is an answer, of any status. */
MUST_USE int client_ask(const struct client_where *where, const struct client_question *question,
                        struct client_answer *ret_answer);
void client_answer_done(struct client_answer *answer);
/* EXIT_DONE for a 2xx; otherwise says what the answer says and returns EXIT_USAGE for a bad configuration (422), else
 * EXIT_FAILED. */
MUST_USE int client_refusal(const struct client_where *where, const struct client_answer *answer);
/* Asks, and shows what it answers: as it is, or by show. */
MUST_USE int client_show(const struct client_where *where, const struct client_question *question, bool is_raw,
                         int (*show)(const json_t *root));
/* For show: what became of a change of the configuration. */
int client_changed(const json_t *changed);
/* All pages of a list, as one array, to be let go of: path has no query, list names the member. */
MUST_USE int client_pages(const struct client_where *where, const char *path, const char *list, json_t **ret_array);
/* path and word, of which what cannot stand in a path is encoded; free() it, NULL: no memory. */
char *client_path(const char *path, const char *word, const char *behind);

#endif
