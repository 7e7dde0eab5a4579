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
    job->is_owner = change->is_owner;
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
    static const char *const words[] = {"done", "unchanged", "invalid", "not found", "conflict", "not written", "failed", "forbidden"};

    static_assert(ARRAY_LEN(words) == CONTROL_FORBIDDEN + 1, "a word each");
    return snprintf(buffer, size, "\"result\":\"%s\",\"version\":%llu", words[result], (unsigned long long)version);
}

/* ---- back on worker 0 ----------------------------------------------------------------------------------------------- */

void control_job_finished(struct mail *mail)
{
    struct control_job *job = container_of(mail, struct control_job, mail);
    struct control_change *change = job->change;

    if (job->gone_id != 0)
        control_leaver_purge(job->control, job->gone_id);
    if (change != NULL) {
        change->result = job->result;
        change->report = job->report != NULL ? job->report : "";
        change->in_force = job->in_force;
        change->own = NULL;
        change->done(change);
    }
    control_job_free(job);
}
