/* The texts that a change asks for: of the files, of a version, or with another tenant of the API's. */
#include "main/control_own.h"

static enum control_result candidate_of_version(struct node_control *control, struct control_job *job, struct conf_report *report,
                                                struct config_text *candidate)
{
    struct control_version version;
    char *text;
    slice bundle;
    err read = control_version_read(&control->state, job->version, &text, &version, &bundle);

    if (read.code == ERR_NOT_FOUND)
        return control_job_say(job, CONTROL_NOT_FOUND, "there is no version %llu; the last %u are kept",
                               (unsigned long long)job->version, CONTROL_VERSIONS);
    if (!err_is_ok(read))
        return control_job_say(job, CONTROL_FAILED, "version %llu cannot be read: %s", (unsigned long long)job->version,
                               err_text(read));
    struct config_text before = *candidate;
    *candidate = (struct config_text){0};
    read = config_text_of(bundle, report, candidate);
    if (err_is_ok(read))
        read = config_text_keep_left_out(candidate, &before, &control->state);
    config_text_done(&before);
    free(text);
    return err_is_ok(read)
               ? CONTROL_DONE
               : control_job_say(job, CONTROL_FAILED, "version %llu: %s", (unsigned long long)job->version, err_text(read));
}

/* A tenant that stands in a file is the file's: the next reload would bring it back as it was. */
static bool is_of_a_file(const struct node_control *control, slice name)
{
    return !tenants_is_default_only(control->tenants) && tenants_named(control->tenants, name) != NULL &&
           config_text_tenant(&control->text, name) == NULL;
}

static enum control_result candidate_tenant(struct node_control *control, struct control_job *job, struct config_text *candidate)
{
    slice name = slice_str(job->tenant);

    if (is_of_a_file(control, name))
        return control_job_say(job, CONTROL_CONFLICT,
                               "tenant %s stands in a file of the configuration: change it there, and reload", job->tenant);
    if (job->kind == CONTROL_TENANT_DELETE)
        return config_text_remove(candidate, name) ? CONTROL_DONE
                                                   : control_job_say(job, CONTROL_NOT_FOUND, "there is no tenant %s", job->tenant);
    err put = config_text_put(candidate, name, slice_of(job->text, job->text_len));
    return err_is_ok(put) ? CONTROL_DONE : control_job_say(job, CONTROL_FAILED, "%s", err_text(put));
}

enum control_result control_candidate(struct node_control *control, struct control_job *job, struct conf_report *report,
                                      struct config_text *candidate)
{
    err made;

    switch (job->kind) {
    case CONTROL_RELOAD:
        made = config_text_read_files(candidate, control->config.plan->start.path, report);
        if (made.code == ERR_INVALID)
            return CONTROL_INVALID;
        return err_is_ok(made) ? CONTROL_DONE : control_job_say(job, CONTROL_FAILED, "%s", err_text(made));
    case CONTROL_ROLL_BACK:
        return candidate_of_version(control, job, report, candidate);
    case CONTROL_TENANT_PUT:
    case CONTROL_TENANT_DELETE:
    case CONTROL_CHECK:
        break;
    }
    return candidate_tenant(control, job, candidate);
}
