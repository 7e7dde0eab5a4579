/* The control as others see it: its life, its thread, and what is asked of it. */
#include "main/control_own.h"

#include "base/log.h"
#include "main/control_restart.h"
#include "main/node_owner.h"

#include <stdio.h>
#include <stdlib.h>

#define TURN_NS UINT64_C(1000000000) /* what is owed is tried again, what was purged is written down */

/* ---- the thread ----------------------------------------------------------------------------------------------------- */

static void lines_log(const char *text)
{
    while (*text != '\0') {
        int len = (int)strcspn(text, "\n");
        log_error("%.*s", len, text);
        text += len + (text[len] == '\n');
    }
}

static void job_tell(struct node_control *control, const struct control_job *job)
{
    bool is_good = job->result == CONTROL_DONE || job->result == CONTROL_UNCHANGED;
    char what[CONTROL_WHAT_BYTES];

    if (job->kind == CONTROL_CHECK)
        return;
    control_job_what(job, what);
    atomic_fetch_add(is_good ? &control->successes : &control->failures, 1);
    if (job->result == CONTROL_UNCHANGED)
        log_info("%s, by %s: nothing has changed; certificates were read again", what, job->who);
    else if (is_good)
        log_info("%s, by %s: version %llu of the configuration is in force", what, job->who, (unsigned long long)job->in_force);
    if (is_good)
        return;
    log_error("%s, by %s: refused; everything stays as it was", what, job->who);
    lines_log(job->report != NULL ? job->report : "out of memory");
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
static void job_audit(struct node_control *control, struct control_job *job)
{
    char what[CONTROL_WHAT_BYTES], details[128], reason[STATE_PROBLEM_BYTES + 160];
    bool is_good = job->result == CONTROL_DONE || job->result == CONTROL_UNCHANGED;
    int len;

    if (job->kind == CONTROL_CHECK || job->is_audited)
        return;
    control_job_what(job, what);
    len = control_job_details(job->result, job->in_force, details, sizeof(details));
    if (control_audit_add(control->audit, slice_str(job->who), what, slice_of(details, (size_t)len)))
        return;
    if (is_good && control_audit_reason(control->audit, reason, sizeof(reason)))
        job_add(job, reason);
}

/* An owner learns nothing of other tenants by what is wrong with them. */
static void job_hush(struct control_job *job)
{
    if (job->is_owner && job->is_of_the_whole && job->result != CONTROL_DONE && job->result != CONTROL_UNCHANGED)
        job->result = control_job_say(job, job->result, "%s", job->result == CONTROL_UNKEPT ? NODE_OWNER_UNKEPT : NODE_OWNER_HUSHED);
}

/* What of it who asked may not expect. was_for_all: before it every host was served. */
static void job_note(struct node_control *control, struct control_job *job, bool was_for_all)
{
    if (job->kind == CONTROL_CHECK || job->is_owner || (job->result != CONTROL_DONE && job->result != CONTROL_UNCHANGED))
        return;
    if (was_for_all && !tenants_is_default_only(control->tenants) && tenants_settings(control->tenants)->default_tenant.len == 0)
        job_add(job, "there are tenants by name now: requests for hosts that none of them has get 421; default-tenant in a file names who "
                     "has them");
    if ((job->kind == CONTROL_RELOAD || job->kind == CONTROL_ROLL_BACK) && control->restart_note[0] != '\0')
        job_add(job, control->restart_note);
}

static void job_run(struct node_control *control, struct control_job *job)
{
    bool was_for_all = tenants_is_default_only(control->tenants);
    struct conf_report *report = NULL;

    job->result = CONTROL_FAILED;
    if (err_is_ok(conf_report_new(&report)))
        job->result = control_make(control, job, report);
    if (job->report == NULL && report != NULL && report->count > 0)
        job->report = strdup(conf_report_text(report));
    conf_report_free(report);
    job_note(control, job, was_for_all);
    job->in_force = control_versions_in_force(control->versions);
    job_tell(control, job);
    job_audit(control, job);
    job_hush(job);
    control_debt_note(control); /* before who asked is answered */
    loop_post(control->config.loop, &job->mail);
}

void control_debt_note(struct node_control *control)
{
    atomic_store(&control->owed_files, control->debt.files.count);
    pthread_mutex_lock(&control->lock);
    if (!keep_debt_reason(&control->debt, control->debt_note, sizeof(control->debt_note)))
        control->debt_note[0] = '\0';
    pthread_mutex_unlock(&control->lock);
}

/* Sets that no worker uses any more: of many tenants, that takes longer than a worker may. */
static void gone_free(struct node_control *control)
{
    struct list *link;
    bool is_any = false;

    for (;;) {
        pthread_mutex_lock(&control->lock);
        link = list_pop_front(&control->gone);
        pthread_mutex_unlock(&control->lock);
        if (link == NULL)
            break;
        tenants_free(tenants_of_link(link));
        is_any = true;
    }
    if (is_any)
        os_memory_trim();
}

/* What is owed, what has come too late, and what was purged. */
static void control_turn(struct node_control *control)
{
    (void)keep_debt_pay(&control->debt);
    control_debt_note(control);
    (void)control_audit_turn(control->audit);
    supervisor_door_turn(&control->door);
    control_purges_turn(&control->purges);
    control_leavers_turn(control);
}

/* False: there is none. */
static bool write_run(struct node_control *control)
{
    struct control_write *write = control_writes_next(&control->writes);

    if (write == NULL)
        return false;
    control_writes_run(write, &control->state, &control->debt, control->audit);
    control_debt_note(control); /* before who asked is answered */
    control_writes_report(&control->writes, write);
    return true;
}

static void control_thread(void *arg)
{
    struct node_control *control = arg;

    while (!atomic_load(&control->is_over)) {
        control_turn(control);
        if (write_run(control))
            continue;
        struct control_job *job = control_job_next(control);
        if (job != NULL)
            job_run(control, job);
        gone_free(control);
        if (job == NULL)
            os_event_wait(control->event, TURN_NS);
    }
    control_purges_turn(&control->purges);
}

/* ---- what is asked of it; worker 0 ----------------------------------------------------------------------------------- */

static void ops_submit(void *arg, struct control_change *change)
{
    struct node_control *control = arg;
    struct control_job *job = control_job_new(control, change);

    change->own = job;
    if (job == NULL) {
        change->result = CONTROL_FAILED;
        change->report = "out of memory";
        change->done(change);
        return;
    }
    job->change = change;
    control_job_submit(control, job);
}

static void ops_forget(void *arg, struct control_change *change)
{
    struct control_job *job = change->own;

    (void)arg;
    if (job != NULL)
        job->change = NULL;
}

static uint64_t ops_in_force(void *arg)
{
    struct node_control *control = arg;

    return control_versions_in_force(control->versions);
}

static void reason_add(struct node_control *control, const char *reason)
{
    if (reason[0] != '\0')
        snprintf(control->reasons[control->reason_count++], sizeof(control->reasons[0]), "%s", reason);
}

static void reasons_collect(struct node_control *control)
{
    char audit[sizeof(control->reasons[0])];

    control->reason_count = 0;
    pthread_mutex_lock(&control->lock);
    reason_add(control, control->restart_note);
    reason_add(control, control->debt_note);
    reason_add(control, control->lost_note);
    reason_add(control, control->left_out_note);
    pthread_mutex_unlock(&control->lock);
    if (control_audit_reason(control->audit, audit, sizeof(audit)))
        reason_add(control, audit);
}

static const char *ops_reason(void *arg, unsigned i)
{
    struct node_control *control = arg;

    if (i == 0)
        reasons_collect(control);
    return i < control->reason_count ? control->reasons[i] : NULL;
}

static unsigned ops_versions(void *arg, struct control_version *ret_versions, unsigned max)
{
    struct node_control *control = arg;

    return control_versions_list(control->versions, ret_versions, max);
}

MUST_USE static err document_text(const struct conf_document *document, char **ret_text, size_t *ret_len)
{
    FILE *out = open_memstream(ret_text, ret_len);

    ENSURE(out != NULL, MEMORY);
    for (uint32_t i = 0; i < document->file_count; i++) {
        const struct conf_file *file = &document->files[i];
        if (file->path[0] == '\0' && file->text.len == 0)
            continue;
        fprintf(out, "# %s\n", file->path);
        fwrite(file->text.data, 1, file->text.len, out);
        if (!slice_ends(file->text, SLICE("\n")))
            fputc('\n', out);
    }
    return fclose(out) == 0 ? ERR_OK : ERR(MEMORY);
}

static err ops_version_text(void *arg, uint64_t number, char **ret_text, size_t *ret_len)
{
    struct node_control *control = arg;
    struct conf_document *document = NULL;
    struct conf_report *report;
    struct control_version version;
    char *text;
    slice bundle;
    err read;

    TRY(control_version_read(&control->state, number, &text, &version, &bundle));
    read = conf_report_new(&report);
    if (err_is_ok(read)) {
        read = conf_bundle_read(bundle, report, &document);
        conf_report_free(report);
    }
    free(text);
    if (err_is_ok(read))
        read = document_text(document, ret_text, ret_len);
    conf_document_free(document);
    return read;
}

static err ops_tenant_text(void *arg, slice name, char **ret_text, size_t *ret_len)
{
    struct node_control *control = arg;
    const struct api_tenant *tenant;

    pthread_mutex_lock(&control->lock);
    tenant = config_text_tenant(&control->text, name);
    *ret_text = tenant != NULL ? strndup(tenant->text, tenant->len) : NULL;
    *ret_len = tenant != NULL ? tenant->len : 0;
    pthread_mutex_unlock(&control->lock);
    ENSURE(tenant != NULL, NOT_FOUND);
    return *ret_text != NULL ? ERR_OK : ERR(MEMORY);
}

static err ops_state_read(void *arg, const char *name, char **ret_text, size_t *ret_len)
{
    struct node_control *control = arg;

    return state_read(&control->state, name, ret_text, ret_len);
}

static void ops_state_write(void *arg, struct control_write *write)
{
    struct node_control *control = arg;

    control_writes_add(&control->writes, write);
    os_event_set(control->event);
}

static err ops_audit_read(void *arg, uint64_t since, unsigned max, char **ret_text, size_t *ret_len)
{
    struct node_control *control = arg;

    return control_audit_read(control->audit, since, max, ret_text, ret_len);
}

const struct control_ops node_control_ops = {
    .submit = ops_submit,
    .forget = ops_forget,
    .in_force = ops_in_force,
    .reason = ops_reason,
    .versions = ops_versions,
    .version_text = ops_version_text,
    .tenant_text = ops_tenant_text,
    .audit_read = ops_audit_read,
    .state_read = ops_state_read,
    .state_write = ops_state_write,
};

void node_control_reload(struct node_control *control, const char *who)
{
    const struct control_change change = {.kind = CONTROL_RELOAD, .who = slice_str(who)};
    struct control_job *job = control_job_new(control, &change);

    if (job != NULL)
        control_job_submit(control, job);
    else
        log_error("reload, by %s: out of memory", who);
}

static void collect_owed(struct node_control *control, enum metric metric, struct metrics_writer *writer)
{
    uint64_t lost_lines;
    unsigned owed_lines;

    control_audit_count(control->audit, &owed_lines, &lost_lines);
    if (metric == METRIC_warp_audit_lines_lost) {
        metrics_emit(writer, NULL, (double)lost_lines);
        return;
    }
    metrics_emit(writer, (slice[]){SLICE("files")}, (double)atomic_load(&control->owed_files));
    metrics_emit(writer, (slice[]){SLICE("audit_lines")}, (double)owed_lines);
}

void node_control_collect(void *arg, enum metric metric, struct metrics_writer *writer)
{
    struct node_control *control = arg;

    switch (metric) {
    case METRIC_warp_reloads:
        metrics_emit(writer, (slice[]){SLICE("success")}, (double)atomic_load(&control->successes));
        metrics_emit(writer, (slice[]){SLICE("failure")}, (double)atomic_load(&control->failures));
        break;
    case METRIC_warp_state_owed:
    case METRIC_warp_audit_lines_lost:
        collect_owed(control, metric, writer);
        break;
    default:
        break;
    }
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static err control_init(struct node_control *control)
{
    struct node_plan *plan = control->config.plan;

    control->event = os_event_new();
    ENSURE(control->event != NULL, MEMORY);
    TRY(config_text_copy(&plan->text, &control->text));
    TRY(control_audit_new(&control->state, &control->audit));
    TRY(control_versions_new(&control->state, &control->versions));
    control_purges_open(&control->purges, &control->state, storage_purges(control->config.storage),
                        storage_tier(control->config.storage, 1) == NULL);
    control->listeners = plan->config;
    control->tenants = tenants_ref(control->config.tenants);
    control->is_rolled_back = plan->is_rolled_back;
    control_restart_note(&plan->config, &plan->settings->config, control->restart_note, sizeof(control->restart_note));
    (void)config_text_left_out(&control->text, control->left_out_note, sizeof(control->left_out_note)); /* "": none */
    memcpy(control->lost_note, plan->lost, sizeof(control->lost_note));
    control_begin(control);
    control_debt_note(control);
    return ERR_OK;
}

err node_control_new(const struct node_control_config *config, struct node_control **ret_control)
{
    struct node_control *control = calloc(1, sizeof(*control));
    err made;

    ENSURE(control != NULL, MEMORY);
    control->config = *config;
    control->state = config->plan->state;
    list_init(&control->jobs);
    list_init(&control->gone);
    list_init(&control->left);
    pthread_mutex_init(&control->lock, NULL);
    control_writes_init(&control->writes, config->loop);
    keep_debt_init(&control->debt, &control->state);
    supervisor_door_init(&control->door, config->plan->channel, SUPERVISOR_ANSWER_MS);
    made = control_init(control);
    if (!err_is_ok(made)) {
        node_control_free(control);
        return made;
    }
    *ret_control = control;
    return ERR_OK;
}

err node_control_start(struct node_control *control)
{
    control_leavers_begin(control);
    return os_thread_start("warp-config", control_thread, control, &control->thread);
}

void node_control_stop(struct node_control *control)
{
    atomic_store(&control->is_over, true);
    os_event_set(control->event);
    if (control->thread != NULL)
        os_thread_join(control->thread);
    control->thread = NULL;
}

struct node_control *node_control_free(struct node_control *control)
{
    struct control_job *job;

    if (control == NULL)
        return NULL;
    while ((job = control_job_next(control)) != NULL)
        control_job_free(job);
    tenants_unref(control->tenants);
    gone_free(control);
    control_leavers_turn(control);
    config_text_done(&control->text);
    keep_debt_done(&control->debt);
    control_versions_free(control->versions);
    control_audit_free(control->audit);
    os_event_free(control->event);
    pthread_mutex_destroy(&control->lock);
    control_writes_done(&control->writes);
    free(control);
    return NULL;
}
