/* control: changes of the configuration while the process runs, as the API asks for them. main/ does them; this is what the
 * API sees.
 *
 * A change is read, checked, written down and put into force as a whole, on a thread of its own, one after the other; on any
 * error everything stays as it was. (A reload is in force also where what belongs to it in the state directory cannot be
 * written: its files are.) Each that is put into force is a version: numbers grow by one, and the text of each of the
 * last CONTROL_VERSIONS is kept in the state directory.
 *
 * Thread: worker 0's loop, for all calls. */
#ifndef WARP_ADMIN_CONTROL_H
#define WARP_ADMIN_CONTROL_H

#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "loop/loop.h"

#define CONTROL_VERSIONS 100u
#define CONTROL_PROBLEM_BYTES 1200u

enum control_kind {
    CONTROL_RELOAD,        /* the files are read again; a version that was rolled back to is left */
    CONTROL_TENANT_PUT,    /* made, or changed: text is the value of tenants.NAME, as JSON or YAML */
    CONTROL_TENANT_DELETE, /* it goes, and all that is stored for it */
    CONTROL_ROLL_BACK,     /* to `version`: stays in force, also across restarts, until the next reload */
    CONTROL_CHECK,         /* text is a tenant, as for PUT: nothing is changed, only said whether it could be */
};

enum control_result {
    CONTROL_DONE,      /* in force everywhere */
    CONTROL_UNCHANGED, /* it says what is in force already */
    CONTROL_INVALID,   /* report says what is wrong, a line each */
    CONTROL_NOT_FOUND, /* no such tenant, or version */
    CONTROL_CONFLICT,  /* the tenant stands in a file (report says which), or expected_version is not the one in force */
    CONTROL_UNKEPT,    /* it could not be written down: report says which file, and why */
    CONTROL_FAILED,    /* of the machine: report says what */
    CONTROL_FORBIDDEN, /* an owner's change of what is the operator's: report has the paths, a line each */
};

/* Filled by who asks, who keeps it until done. */
struct control_change {
    enum control_kind kind;
    slice tenant, text; /* copied at once */
    uint64_t version;   /* of ROLL_BACK */
    uint64_t expected_version; /* 0: whatever is in force */
    slice who;          /* for the audit log; copied */
    /* Who asks has a token for some tenants alone: he changes what an owner may (tenant/owner.h), and no report says anything of
     * other tenants. */
    bool is_owner;
    void (*done)(struct control_change *change);
    void *asker;
    /* out: valid during done */
    enum control_result result;
    const char *report; /* "" where there is nothing to say */
    uint64_t in_force;  /* the version now */
    void *own;          /* the implementation's */
};

/* A file of the state directory (whole, 0600, flushed) and a line of the audit log (a JSON object with number, time_ms, who, what
 * and these members), written off the loop. Filled by who asks, who keeps it until done. */
struct control_write {
    const char *name;
    /* What is to stand in it, malloc's: on the control's thread. */
    err (*make)(struct control_write *write, char **ret_text, size_t *ret_len);
    void (*done)(struct control_write *write); /* on worker 0's loop, never from inside; not at all when the process ends before */
    slice who, details; /* of the line; details without braces, 1.5 KiB at most */
    const char *what;   /* NULL: no line */
    bool is_true;       /* whatever becomes of it: what cannot be written now is owed. Else both are written, or neither is */
    err result;         /* out */
    char problem[CONTROL_PROBLEM_BYTES]; /* out, of an error: which file, and why */
    /* the implementation's */
    struct list link;
    struct mail mail;
};

struct control_version {
    uint64_t number;
    int64_t wall_ms;   /* when it came into force */
    char who[72];      /* "start", "SIGHUP", a token's name */
    char what[128];    /* "reload", "tenant shop changed", "rolled back to 12" */
    uint32_t tenants;
    bool is_in_force;
};

/* Implemented in main/. arg: admin_context.control_arg. */
struct control_ops {
    void (*submit)(void *arg, struct control_change *change);
    /* Its asker has gone: the change goes on, done is not called. */
    void (*forget)(void *arg, struct control_change *change);
    uint64_t (*in_force)(void *arg);
    /* The i-th sentence for /readyz, in order from 0: what the configuration says and only a restart brings, what is in force and not
     * written down yet; NULL: no more. */
    const char *(*reason)(void *arg, unsigned i);
    /* The kept versions, the newest first; returns how many were written. */
    unsigned (*versions)(void *arg, struct control_version *ret_versions, unsigned max);
    /* The configuration of a version as people would write it: all files, one after the other, each after a line
     * "# FILE". free() it. ERR_NOT_FOUND. */
    err (*version_text)(void *arg, uint64_t number, char **ret_text, size_t *ret_len);
    /* What the API made of a tenant, to give it back; ERR_NOT_FOUND: none of the API's. free() it. */
    err (*tenant_text)(void *arg, slice name, char **ret_text, size_t *ret_len);
    /* The first lines of the audit log behind `since`, as JSON objects, one a line; free() it. */
    err (*audit_read)(void *arg, uint64_t since, unsigned max, char **ret_text, size_t *ret_len);
    /* What is kept under that name in the state directory: tokens.json. Blocks: before the loop runs. */
    err (*state_read)(void *arg, const char *name, char **ret_text, size_t *ret_len);
    void (*state_write)(void *arg, struct control_write *write);
};

#endif
