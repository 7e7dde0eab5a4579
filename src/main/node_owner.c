#include "main/node_owner.h"

#include "tenant/owner.h"

#include <stdio.h>
#include <stdlib.h>

#define PATH_BYTES (CONF_NAME_MAX + 32u)

static char *report_copy(struct conf_report *report)
{
    return report->count > 0 ? strdup(conf_report_text(report)) : NULL;
}

MUST_USE static err tenant_check(const struct settings *in_force, slice name, slice text, struct conf_report *report, char **ret_lines)
{
    struct conf_document *document;
    struct conf_tenant *tenant;
    char path[PATH_BYTES];
    err checked;

    snprintf(path, sizeof(path), "tenant " SLICE_FMT " (made by the API)", SLICE_ARG(name));
    TRY(settings_tenant_read(name, path, text, report, &document, &tenant));
    checked = owner_check(in_force, tenant, ret_lines);
    conf_document_free(document);
    return checked;
}

enum control_result node_owner_check(const struct settings *in_force, slice name, slice text, char **ret_report)
{
    struct conf_report *report = NULL;
    char *lines = NULL;
    err checked = conf_report_new(&report);

    if (err_is_ok(checked))
        checked = tenant_check(in_force, name, text, report, &lines);
    *ret_report = lines != NULL ? lines : report != NULL ? report_copy(report) : NULL;
    conf_report_free(report);
    if (checked.code == ERR_INVALID)
        return CONTROL_INVALID;
    if (!err_is_ok(checked))
        return CONTROL_FAILED;
    return lines != NULL ? CONTROL_FORBIDDEN : CONTROL_DONE;
}
