/* control_own: what the files of node_control (control_*.c) share: the jobs, and the state of the control.
 *
 *   API, SIGHUP --job (worker 0)--> "warp-config": candidate -> making -> in force --mail--> worker 0: answered
 *
 * Who may touch what is said at each member. Errors of a job are its result, with a report in words. */
#ifndef WARP_MAIN_CONTROL_OWN_H
#define WARP_MAIN_CONTROL_OWN_H

#include "base/list.h"
#include "main/control_audit.h"
#include "main/control_keep.h"
#include "main/control_purges.h"
#include "main/control_versions.h"
#include "main/control_writes.h"
#include "main/node_control.h"

#include <pthread.h>

#define CONTROL_NOTE_BYTES  512u
#define CONTROL_WHAT_BYTES  128u
#define CONTROL_REASONS_MAX 5u

struct control_job {
    struct list link;
    struct mail mail;
    struct node_control *control;
    struct control_change *change; /* worker 0's; NULL: nobody asks any more */
    enum control_kind kind;
    char tenant[CONF_NAME_MAX + 1];
    char *text;
    size_t text_len;
    uint64_t version, expected_version;
    char who[sizeof(((struct control_version *)0)->who)];
    bool is_owner;
    /* what came of it */
    bool is_of_the_whole; /* the report: not for owners */
    enum control_result result;
    char *report;
    uint64_t in_force;
    uint16_t gone_id; /* a tenant's that was deleted: what is stored for it goes */
    bool is_audited;  /* written down before it came into force */
};

struct node_control {
    struct node_control_config config;
    struct state state;
    struct os_event *event;
    struct os_thread *thread;
    _Atomic bool is_over;
    _Atomic uint64_t successes, failures;
    _Atomic unsigned owed_files;
    struct control_versions *versions;
    struct control_writes writes;
    struct control_audit *audit;
    pthread_mutex_t lock; /* of the next, up to the thread's own */
    struct list jobs;
    struct list left; /* tenants of which nothing is stored any more */
    struct list gone; /* sets of tenants whose last user has ended */
    struct config_text text; /* in force; only the thread changes it */
    char restart_note[CONTROL_NOTE_BYTES], debt_note[STATE_PROBLEM_BYTES + 80]; /* "": none */
    char lost_note[NODE_MESSAGE_BYTES], left_out_note[NODE_MESSAGE_BYTES];
    /* the thread's own */
    struct supervisor_door door;
    struct keep_debt debt;
    struct control_purges purges;
    bool is_rolled_back; /* a version is in force that the files do not say */
    struct tenants *tenants; /* in force */
    struct config listeners; /* listen and listen_tls in force; their strings are those of the set's settings */
    /* worker 0's own */
    char reasons[CONTROL_REASONS_MAX][STATE_PROBLEM_BYTES + 160];
    unsigned reason_count;
};

/* ---- jobs (control_job.c); job_say: the thread that runs it ---------------------------------------------------------- */

MUST_USE struct control_job *control_job_new(struct node_control *control, const struct control_change *change);
void control_job_free(struct control_job *job);
void control_job_submit(struct node_control *control, struct control_job *job);
struct control_job *control_job_next(struct node_control *control); /* NULL: there is none */
/* Its report, in the place of what was said before; returns the result. */
enum control_result control_job_say(struct control_job *job, enum control_result result, const char *format, ...) PRINTF(3, 4);
/* "tenant shop changed" */
void control_job_what(const struct control_job *job, char what[CONTROL_WHAT_BYTES]);
/* The members of its line in the audit log. */
int control_job_details(enum control_result result, uint64_t version, char *buffer, size_t size);
/* Mail to worker 0: tells who asked. */
void control_job_finished(struct mail *mail);

/* ---- the thread's ---------------------------------------------------------------------------------------------------- */

/* The texts that the job asks for (control_candidate.c); `candidate` has those in force. */
enum control_result control_candidate(struct node_control *control, struct control_job *job, struct conf_report *report,
                                      struct config_text *candidate);
/* Reads, checks and puts into force, or leaves all as it was (control_make.c). */
enum control_result control_make(struct node_control *control, struct control_job *job, struct conf_report *report);
/* What the process begins with is a version (control_make.c). */
void control_begin(struct node_control *control);
/* Purges what is stored for a tenant that was deleted; worker 0 (control_leavers.c). */
void control_leaver_purge(struct node_control *control, uint16_t id);
/* At the start: those that an earlier process has left. */
void control_leavers_begin(struct node_control *control);
/* Ids of which nothing is stored any more are free. */
void control_leavers_turn(struct node_control *control);
/* What is owed has changed, perhaps. */
void control_debt_note(struct node_control *control);

#endif
