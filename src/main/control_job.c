/* Changes as jobs: from who asks on worker 0 to "warp-config", and back. */
#include "main/control_own.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

MUST_USE static err job_copy(struct control_job *job, const struct control_change *change)
{
    ENSURE(change->tenant.len < sizeof(job->tenant), LIMIT);
    memcpy(job->tenant, change->tenant.data != NULL ? change->tenant.data : "", change->tenant.len);
    job->text = malloc(change->text.len + 1);
    ENSURE(job->text != NULL, MEMORY);
    memcpy(job->text, change->text.data != NULL ? change->text.data : "", change->text.len);
    job->text_len = change->text.len;
    return ERR_OK;
}

struct control_job *control_job_new(struct node_control *control, const struct control_change *change)
{
    struct control_job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->control = control;
    job->mail.run = control_job_finished;
    job->kind = change->kind;
    job->version = change->version;
    job->expected_version = change->expected_version;
    snprintf(job->who, sizeof(job->who), SLICE_FMT, (int)MIN(change->who.len, sizeof(job->who) - 1), change->who.data);
    if (!err_is_ok(job_copy(job, change))) {
        control_job_free(job);
        return NULL;
    }
    return job;
}

void control_job_free(struct control_job *job)
{
    free(job->text);
    free(job->report);
    free(job);
}

void control_job_submit(struct node_control *control, struct control_job *job)
{
    pthread_mutex_lock(&control->lock);
    list_push_back(&control->jobs, &job->link);
    pthread_mutex_unlock(&control->lock);
    os_event_set(control->event);
}

struct control_job *control_job_next(struct node_control *control)
{
    struct list *first;

    pthread_mutex_lock(&control->lock);
    first = list_pop_front(&control->jobs);
    pthread_mutex_unlock(&control->lock);
    return first != NULL ? container_of(first, struct control_job, link) : NULL;
}

/* ---- in words ------------------------------------------------------------------------------------------------------- */

enum control_result control_job_say(struct control_job *job, enum control_result result, const char *format, ...)
{
    va_list args;

    free(job->report);
    va_start(args, format);
    if (vasprintf(&job->report, format, args) < 0)
        job->report = NULL;
    va_end(args);
    return result;
}

void control_job_what(const struct control_job *job, char what[CONTROL_WHAT_BYTES])
{
    switch (job->kind) {
    case CONTROL_TENANT_PUT:
        snprintf(what, CONTROL_WHAT_BYTES, "tenant %s changed", job->tenant);
        break;
    case CONTROL_TENANT_DELETE:
        snprintf(what, CONTROL_WHAT_BYTES, "tenant %s deleted", job->tenant);
        break;
    case CONTROL_ROLL_BACK:
        snprintf(what, CONTROL_WHAT_BYTES, "rolled back to %llu", (unsigned long long)job->version);
        break;
    case CONTROL_RELOAD:
    case CONTROL_CHECK:
        snprintf(what, CONTROL_WHAT_BYTES, "reload");
        break;
    }
}

int control_job_details(enum control_result result, uint64_t version, char *buffer, size_t size)
{
    static const char *const words[] = {"done", "unchanged", "invalid", "not found", "conflict", "not written", "failed"};

    static_assert(ARRAY_LEN(words) == CONTROL_FAILED + 1, "a word each");
    return snprintf(buffer, size, "\"result\":\"%s\",\"version\":%llu", words[result], (unsigned long long)version);
}

/* ---- back on worker 0 ----------------------------------------------------------------------------------------------- */

static void tenant_purged(struct store_op *op)
{
    free(container_of(op, struct store_purge, op));
}

/* A tenant that is deleted has nothing stored: not even for one of its name that comes later. */
static void tenant_purge(struct node_control *control, uint16_t id)
{
    struct store_purge *purge = calloc(1, sizeof(*purge));

    if (purge == NULL) {
        log_error("no memory to purge a tenant that was deleted: what it had stays until it is evicted");
        return;
    }
    purge->tenant = id;
    purge->kind = STORE_LABEL_TENANT;
    purge->label = store_label_of(id, STORE_LABEL_TENANT, SLICE(""));
    purge->op.loop = control->config.loop;
    purge->op.done = tenant_purged;
    purge->uncounted = true;
    if (storage_purge(control->config.storage, purge) == STORE_DONE)
        free(purge);
}

static void job_add(struct control_job *job, const char *line)
{
    char *before = job->report;

    if (asprintf(&job->report, "%s%s%s", before != NULL ? before : "", before != NULL ? "\n" : "", line) < 0)
        job->report = before;
    else
        free(before);
}

/* Whoever asked for it, and whether or not he still waits. What an API change brought into force is in it already. */
static void job_audit(struct control_job *job)
{
    char what[CONTROL_WHAT_BYTES], details[128], reason[STATE_PROBLEM_BYTES + 160];
    bool is_good = job->result == CONTROL_DONE || job->result == CONTROL_UNCHANGED;
    int len;

    if (job->kind == CONTROL_CHECK || job->is_audited)
        return;
    control_job_what(job, what);
    len = control_job_details(job->result, job->in_force, details, sizeof(details));
    if (control_audit_add(job->control->audit, slice_str(job->who), what, slice_of(details, (size_t)len)))
        return;
    os_event_set(job->control->event); /* it tries again */
    if (is_good && control_audit_reason(job->control->audit, reason, sizeof(reason)))
        job_add(job, reason);
}

void control_job_finished(struct mail *mail)
{
    struct control_job *job = container_of(mail, struct control_job, mail);
    struct control_change *change = job->change;

    if (job->gone_id != 0)
        tenant_purge(job->control, job->gone_id);
    job_audit(job);
    if (change != NULL) {
        change->result = job->result;
        change->report = job->report != NULL ? job->report : "";
        change->in_force = job->in_force;
        change->own = NULL;
        change->done(change);
    }
    control_job_free(job);
}
