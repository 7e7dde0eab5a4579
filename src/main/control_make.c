/* A change on its way: candidate texts -> settings -> tenants, certificates, listeners -> written down -> in force.
 *
 *   making_prepare: nothing that others can see
 *   making_open: listeners, and all memory that workers need to take it
 *   making_keep: the state directory says it
 *   making_commit: in force; cannot fail
 *
 * What fails before the last step is undone, back to the first; of a reload the third does not fail, but may stay owed. */
#include "main/control_own.h"

#include "base/log.h"
#include "main/control_listeners.h"
#include "main/control_restart.h"
#include "main/node_owner.h"
#include "main/node_tenants.h"
#include "main/plan.h"

#include <stdio.h>
#include <stdlib.h>

struct making {
    struct config_text text;
    struct settings *settings; /* the tenants' once these are made */
    struct tenants *tenants;
    struct net_identity *identity, *admin_identity;
    struct node_change change;
    struct control_version version; /* that it will be; unchanged: that is in force */
    struct keep keep;
    bool is_unchanged, is_rolled_back;
    bool is_registry_changed; /* as it is listed */
};

static void making_done(struct making *making)
{
    config_text_done(&making->text);
    if (making->tenants == NULL)
        settings_free(making->settings);
    tenants_unref(making->tenants);
    net_identity_unref(making->identity);
    net_identity_unref(making->admin_identity);
    keep_done(&making->keep);
}

static unsigned workers_of(const struct node_control *control)
{
    return control->config.plan->workers;
}

/* ---- prepared: nobody sees it --------------------------------------------------------------------------------------- */

static void settings_release(void *settings)
{
    settings_free(settings);
}

/* Why, at its place; message: where none is found. */
static enum control_result settings_refused(struct control_job *job, const struct making *making, unsigned what,
                                            struct conf_report *report, const char *message)
{
    if (!err_is_ok(plan_check(making->settings, what, report)))
        return CONTROL_INVALID;
    return control_job_say(job, CONTROL_INVALID, "%s", message);
}

static enum control_result tenants_make(struct node_control *control, struct control_job *job, struct conf_report *report,
                                        struct making *making)
{
    const struct node_plan *plan = control->config.plan;
    struct node_tenants_config config = {.settings = making->settings,
                                         .release = settings_release,
                                         .demo_url = slice_str(plan->demo_url),
                                         .registry = plan->registry,
                                         .before = control->tenants,
                                         .wall_s = os_wall_ms() / 1000};
    char message[NODE_TENANTS_MESSAGE_BYTES];
    err made = node_tenants_new(&config, message, sizeof(message), &making->tenants);

    if (err_is_ok(made))
        return CONTROL_DONE;
    if (made.code == ERR_MEMORY)
        return control_job_say(job, CONTROL_FAILED, "%s", message);
    return settings_refused(job, making, PLAN_CHECK_TENANTS, report, message);
}

static enum control_result identities_make(struct control_job *job, struct conf_report *report, struct making *making)
{
    char message[NODE_TLS_MESSAGE_BYTES];
    err read = node_identity_read(making->settings, message, sizeof(message), &making->identity, &making->admin_identity);

    return err_is_ok(read) ? CONTROL_DONE : settings_refused(job, making, PLAN_CHECK_CERTIFICATES, report, message);
}

static bool is_unchanged(const struct config_text *a, const struct config_text *b)
{
    bool same = a->tenant_count == b->tenant_count && slice_eq(slice_of(a->base, a->base_len), slice_of(b->base, b->base_len));

    for (unsigned i = 0; same && i < a->tenant_count; i++)
        same = strcmp(a->tenants[i].name, b->tenants[i].name) == 0 &&
               (a->tenants[i].left_out == NULL) == (b->tenants[i].left_out == NULL) &&
               slice_eq(slice_of(a->tenants[i].text, a->tenants[i].len), slice_of(b->tenants[i].text, b->tenants[i].len));
    return same;
}

/* What an owner asks for, by itself; from here on it is about the whole. */
static enum control_result candidate_owner(struct node_control *control, struct control_job *job)
{
    enum control_result result = CONTROL_DONE;

    if (!job->is_owner)
        return CONTROL_DONE;
    if (job->kind != CONTROL_TENANT_DELETE)
        result = node_owner_check(tenants_settings(control->tenants), slice_str(job->tenant), slice_of(job->text, job->text_len),
                                  &job->report);
    job->is_of_the_whole = result == CONTROL_DONE;
    return result;
}

static enum control_result making_prepare(struct node_control *control, struct control_job *job, struct conf_report *report,
                                          struct making *making)
{
    enum control_result result;
    err made = config_text_copy(&control->text, &making->text);

    if (!err_is_ok(made))
        return control_job_say(job, CONTROL_FAILED, "%s", err_text(made));
    result = control_candidate(control, job, report, &making->text);
    if (result == CONTROL_DONE)
        result = candidate_owner(control, job);
    if (result != CONTROL_DONE)
        return result;
    made = config_text_settings(&making->text, &control->config.plan->start, report, &making->settings);
    if (!err_is_ok(made))
        return made.code == ERR_INVALID ? CONTROL_INVALID : control_job_say(job, CONTROL_FAILED, "%s", err_text(made));
    made = config_text_refit(&making->text, &control->config.plan->start, &making->settings);
    if (!err_is_ok(made))
        return control_job_say(job, CONTROL_FAILED, "%s", err_text(made));
    making->is_unchanged = is_unchanged(&control->text, &making->text);
    if (job->kind == CONTROL_RELOAD && !err_is_ok(plan_check(making->settings, PLAN_CHECK_REST, report)))
        return CONTROL_INVALID;
    result = tenants_make(control, job, report, making);
    return result == CONTROL_DONE ? identities_make(job, report, making) : result;
}

/* ---- opened: what may fail of what workers take --------------------------------------------------------------------- */

static void making_close(struct node_control *control, struct making *making)
{
    node_take_drop(control->config.node);
    node_tls_drop(control->config.tls);
    control_listeners_settle(&control->door, workers_of(control), &making->change, false);
}

static enum control_result making_open(struct node_control *control, struct control_job *job, struct making *making)
{
    char message[LISTENERS_MESSAGE_BYTES];
    err opened = control_listeners_prepare(&control->door, &control->config.plan->config, &control->listeners,
                                           &making->settings->config, workers_of(control), &making->change, message,
                                           sizeof(message));

    if (!err_is_ok(opened))
        return control_job_say(job, CONTROL_INVALID, "%s", message);
    making->change.tenants = making->tenants;
    opened = node_tls_prepare(control->config.tls, making->identity, making->admin_identity);
    if (err_is_ok(opened))
        opened = node_take_prepare(control->config.node, &making->change);
    if (err_is_ok(opened))
        opened = node_tenants_metrics(making->tenants, control->config.metrics);
    return err_is_ok(opened) ? CONTROL_DONE : control_job_say(job, CONTROL_FAILED, "%s", err_text(opened));
}

/* ---- written down --------------------------------------------------------------------------------------------------- */

/* Ids are written down before anything can be stored under them. */
MUST_USE static err registry_list(struct node_control *control, struct making *making)
{
    struct tenant_registry *registry = control->config.plan->registry;
    char *text;
    size_t len;
    err listed;

    making->is_registry_changed = tenant_registry_is_changed(registry);
    if (!making->is_registry_changed)
        return ERR_OK;
    TRY(tenant_registry_write(registry, &text, &len));
    listed = keep_put(&making->keep, STATE_REGISTRY, slice_of(text, len));
    free(text);
    return listed;
}

MUST_USE static err version_list(const struct control_version *version, const struct settings *settings, struct keep *keep)
{
    char file[VERSION_FILE_BYTES], *text;
    size_t len;
    err listed;

    TRY(control_version_text(version, settings, &text, &len));
    control_version_file(file, version->number);
    listed = keep_put(keep, file, slice_of(text, len));
    free(text);
    return listed;
}

/* A version that was rolled back to stays, with what was changed since, also across restarts, until the files are asked for
 * again. */
MUST_USE static err current_list(const struct control_job *job, struct making *making)
{
    char text[32];

    if (making->is_rolled_back) {
        snprintf(text, sizeof(text), "%llu\n", (unsigned long long)making->version.number);
        return keep_put(&making->keep, STATE_CURRENT, slice_str(text));
    }
    return job->kind == CONTROL_RELOAD ? keep_drop(&making->keep, STATE_CURRENT) : ERR_OK;
}

/* In this order: a tenant that is deleted is nobody's in the registry before its own file goes. */
MUST_USE static err making_list(struct node_control *control, struct control_job *job, struct making *making)
{
    keep_init(&making->keep, &control->state);
    if (job->kind == CONTROL_TENANT_DELETE) {
        const struct tenant *gone = tenants_named(control->tenants, slice_str(job->tenant));
        job->gone_id = gone != NULL ? gone->id : 0;
        tenant_registry_forget(control->config.plan->registry, slice_str(job->tenant));
    }
    TRY(registry_list(control, making));
    if (!making->is_unchanged)
        TRY(version_list(&making->version, making->settings, &making->keep));
    TRY(config_text_keep(&making->text, &control->text, &making->keep));
    return current_list(job, making);
}

/* Its line comes before it is in force: nothing fails between. */
MUST_USE static err audit_write(struct node_control *control, struct control_job *job, const struct making *making)
{
    char what[CONTROL_WHAT_BYTES], details[128];
    int len = control_job_details(making->is_unchanged ? CONTROL_UNCHANGED : CONTROL_DONE, making->version.number, details,
                                  sizeof(details));

    control_job_what(job, what);
    TRY(control_audit_write(control->audit, slice_str(job->who), what, slice_of(details, (size_t)len)));
    job->is_audited = true;
    return ERR_OK;
}

/* The files of a reload are written down by themselves: it is in force whatever becomes of ours. */
static enum control_result reload_keep(struct node_control *control, struct control_job *job, struct making *making)
{
    char message[STATE_PROBLEM_BYTES];

    if (keep_write_or_owe(&making->keep, &control->debt, message, sizeof(message)))
        return CONTROL_DONE;
    return control_job_say(job, CONTROL_DONE, "%s; it is in force, and is written down as soon as that can be done", message);
}

static enum control_result making_keep(struct node_control *control, struct control_job *job, struct making *making)
{
    char message[STATE_PROBLEM_BYTES];
    err kept = making_list(control, job, making);

    if (!err_is_ok(kept))
        return control_job_say(job, CONTROL_FAILED, "%s", err_text(kept));
    if (job->kind == CONTROL_RELOAD)
        return reload_keep(control, job, making);
    kept = keep_write(&making->keep, &control->debt, message, sizeof(message));
    if (!err_is_ok(kept))
        return control_job_say(job, CONTROL_UNKEPT, "%s", message);
    kept = audit_write(control, job, making);
    if (err_is_ok(kept)) {
        keep_settle(&making->keep, &control->debt);
        return CONTROL_DONE;
    }
    keep_undo(&making->keep, &control->debt);
    return control_job_say(job, CONTROL_UNKEPT, "%s", state_problem(&control->state, STATE_AUDIT, kept, message, sizeof(message)));
}

/* What was taken of it for what does not come into force was never taken: text is how it was before. */
static void registry_undo(struct node_control *control, slice text)
{
    struct tenant_registry *before;
    unsigned bad_lines;

    if (!err_is_ok(tenant_registry_new(text, &bad_lines, &before)))
        return; /* without memory: generations that are too late cost misses */
    tenant_registry_free(control->config.plan->registry);
    control->config.plan->registry = before;
}

/* ---- in force ------------------------------------------------------------------------------------------------------- */

static void set_gone(struct tenants *tenants, void *arg)
{
    struct node_control *control = arg;

    pthread_mutex_lock(&control->lock);
    list_push_back(&control->gone, tenants_link(tenants));
    pthread_mutex_unlock(&control->lock);
    os_event_set(control->event);
}

static void version_tell(struct node_control *control, uint64_t number)
{
    err sent = supervisor_tell_version(&control->door, number);

    if (!err_is_ok(sent))
        log_warn("the supervisor cannot be told what configuration is in force: %s", err_text(sent));
}

static void version_enter(struct node_control *control, const struct control_version *version)
{
    char gone[VERSION_FILE_BYTES], problem[STATE_PROBLEM_BYTES];
    err removed;

    control_versions_enter(control->versions, version, gone);
    if (gone[0] == '\0')
        return;
    removed = state_remove(&control->state, gone);
    if (!err_is_ok(removed))
        log_warn("%s; it goes with a restart", state_problem(&control->state, gone, removed, problem, sizeof(problem)));
}

static void text_take(struct node_control *control, struct making *making)
{
    struct config_text before;

    pthread_mutex_lock(&control->lock);
    before = control->text;
    control->text = making->text;
    control_restart_note(&control->config.plan->config, &making->settings->config, control->restart_note,
                         sizeof(control->restart_note));
    if (!config_text_left_out(&control->text, control->left_out_note, sizeof(control->left_out_note)))
        control->left_out_note[0] = '\0';
    control->lost_note[0] = '\0'; /* all files were read for this */
    pthread_mutex_unlock(&control->lock);
    making->text = before;
    if (control->restart_note[0] != '\0')
        log_warn("%s", control->restart_note);
}

static void making_settle(struct node_control *control, struct making *making)
{
    text_take(control, making);
    node_tenants_unlimit(control->tenants, making->tenants, control->config.storage);
    tenants_unref(control->tenants);
    control->tenants = tenants_ref(making->tenants);
    control->listeners = making->settings->config;
    control->is_rolled_back = making->is_rolled_back;
    log_level_max = making->settings->config.log_level;
    if (!making->is_unchanged)
        version_enter(control, &making->version);
}

static void making_commit(struct node_control *control, struct making *making)
{
    tenants_on_last(making->tenants, set_gone, control);
    node_tenants_limit(making->tenants, control->config.storage);
    node_tls_hand(control->config.tls);
    if (node_take(control->config.node)) /* else the process ends: nobody serves by the old one any more */
        node_tls_settle(control->config.tls);
    control_listeners_settle(&control->door, workers_of(control), &making->change, true);
    making_settle(control, making);
}

static enum control_result making_publish(struct node_control *control, struct control_job *job, struct making *making)
{
    char what[CONTROL_WHAT_BYTES];
    enum control_result result;

    control_job_what(job, what);
    making->is_rolled_back = job->kind == CONTROL_ROLL_BACK || (control->is_rolled_back && job->kind != CONTROL_RELOAD);
    if (making->is_unchanged)
        making->version.number = control_versions_in_force(control->versions);
    else
        making->version = control_versions_next(control->versions, job->who, what, MAX(making->settings->tenants.count, 1u));
    result = making_open(control, job, making);
    if (result == CONTROL_DONE)
        result = making_keep(control, job, making);
    if (result != CONTROL_DONE) {
        making_close(control, making);
        job->gone_id = 0;
        return result;
    }
    version_tell(control, making->version.number); /* it is written down: a crash from here on begins with it */
    making_commit(control, making);
    return CONTROL_DONE;
}

enum control_result control_make(struct node_control *control, struct control_job *job, struct conf_report *report)
{
    uint64_t in_force = control_versions_in_force(control->versions);
    struct making making = {0};
    char *registry = NULL;
    size_t registry_len = 0;
    enum control_result result;

    if (job->expected_version != 0 && job->expected_version != in_force)
        return control_job_say(job, CONTROL_CONFLICT, "version %llu is in force, not %llu", (unsigned long long)in_force,
                               (unsigned long long)job->expected_version);
    if (!err_is_ok(tenant_registry_write(control->config.plan->registry, &registry, &registry_len)))
        return control_job_say(job, CONTROL_FAILED, "out of memory");
    result = making_prepare(control, job, report, &making);
    if (result == CONTROL_DONE && job->kind != CONTROL_CHECK)
        result = making_publish(control, job, &making);
    if ((result != CONTROL_DONE || job->kind == CONTROL_CHECK) &&
        (making.is_registry_changed || tenant_registry_is_changed(control->config.plan->registry)))
        registry_undo(control, slice_of(registry, registry_len));
    if (result == CONTROL_DONE && making.is_unchanged)
        result = CONTROL_UNCHANGED;
    free(registry);
    making_done(&making);
    os_memory_trim(); /* what reading took, and the settings before */
    return result;
}

/* ---- at the start --------------------------------------------------------------------------------------------------- */

static void begin_keep(struct node_control *control, const struct control_version *version)
{
    char message[STATE_PROBLEM_BYTES];
    struct keep keep;
    err listed = ERR_OK;

    keep_init(&keep, &control->state);
    if (control->config.plan->is_registry_owed) {
        char *text = NULL;
        size_t len = 0;
        listed = tenant_registry_write(control->config.plan->registry, &text, &len);
        if (err_is_ok(listed))
            listed = keep_put(&keep, STATE_REGISTRY, slice_of(text, len));
        free(text);
    }
    if (err_is_ok(listed) && version != NULL)
        listed = version_list(version, control->config.plan->settings, &keep);
    if (!err_is_ok(listed))
        log_error("what the process begins with is not written down: %s", err_text(listed));
    (void)keep_write_or_owe(&keep, &control->debt, message, sizeof(message)); /* it has said so */
    keep_done(&keep);
}

/* A version, unless it is the last one again. From flags alone nothing is written before something is changed. */
void control_begin(struct node_control *control)
{
    const struct node_plan *plan = control->config.plan;
    bool is_flags_alone = plan->text.base == NULL && plan->text.tenant_count == 0 && !plan->is_restarted;
    bool is_resumed = !is_flags_alone && control_versions_resume(control->versions, plan->settings);
    struct control_version version =
        control_versions_next(control->versions, "start", "start", MAX(plan->settings->tenants.count, 1u));

    tenants_on_last(control->tenants, set_gone, control);
    state_sweep(&control->state);
    begin_keep(control, is_flags_alone || is_resumed ? NULL : &version);
    if (!is_flags_alone && !is_resumed)
        version_enter(control, &version);
    if (!is_flags_alone)
        version_tell(control, control_versions_in_force(control->versions));
}
