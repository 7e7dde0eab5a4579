/* Changes of the configuration: the request waits until the change is in force, or until it is known why not. */
#include "admin/admin_internal.h"

#include <stdio.h>
#include <stdlib.h>

struct admin_change {
    struct control_change change;
    struct admin_request *request;
    void (*answer)(struct admin_request *request, const struct control_change *change);
};

bool admin_has_control(struct admin_request *request)
{
    if (request->context->control != NULL)
        return true;
    admin_problem(request, 503, "there is no state directory: nothing can be changed at run time (--state-dir names one)");
    return false;
}

/* It may be answered from inside, or asked again. */
static void change_done(struct control_change *done)
{
    struct admin_change *change = done->asker;
    struct admin_request *request = change->request;

    request->change = NULL;
    request->context->changes_under_way--;
    change->answer(request, done);
    free(change);
}

void admin_change(struct admin_request *request, const struct admin_wish *wish)
{
    struct admin_change *change;

    if (!admin_has_control(request))
        return;
    change = calloc(1, sizeof(*change));
    if (change == NULL) {
        admin_problem(request, 503, "no memory");
        return;
    }
    INVARIANT(request->change == NULL);
    change->request = request;
    change->answer = wish->answer;
    change->change = (struct control_change){.kind = wish->kind,
                                             .tenant = wish->tenant,
                                             .text = wish->text,
                                             .version = wish->version,
                                             .expected_version = wish->expected_version,
                                             .who = request->who,
                                             .is_owner = admin_is_owner(request),
                                             .done = change_done,
                                             .asker = change,
                                             .report = ""};
    request->change = change;
    request->context->changes_under_way++;
    request->context->control->submit(request->context->control_arg, &change->change);
}

void admin_change_abandon(struct admin_request *request)
{
    struct admin_change *change = request->change;

    if (change == NULL)
        return;
    request->change = NULL;
    request->context->changes_under_way--;
    request->context->control->forget(request->context->control_arg, &change->change);
    free(change);
}

void admin_changed(struct admin_request *request, const struct control_change *change, uint16_t status)
{
    switch (change->result) {
    case CONTROL_DONE:
    case CONTROL_UNCHANGED:
        admin_answer_json(request, change->result == CONTROL_DONE ? status : 200,
                          json_pack("{s:I, s:b, s:o}", "version", (json_int_t)change->in_force, "changed",
                                    (int)(change->result == CONTROL_DONE && change->kind != CONTROL_CHECK), "notes",
                                    admin_lines(change->report)));
        break;
    case CONTROL_INVALID:
        admin_problem_lines(request, 422, "the configuration is not valid; nothing was changed", change->report);
        break;
    case CONTROL_NOT_FOUND:
        admin_problem_lines(request, 404, change->kind == CONTROL_ROLL_BACK ? "there is no such version" : "there is no such tenant",
                            change->report);
        break;
    case CONTROL_CONFLICT:
        admin_problem_lines(request, 409, "it stands in a file, or something else was changed meanwhile; nothing was changed",
                            change->report);
        break;
    case CONTROL_UNKEPT:
        admin_problem_lines(request, 507, "the change could not be written down; nothing was changed", change->report);
        break;
    case CONTROL_FORBIDDEN:
        atomic_fetch_add_explicit(&request->context->refused[ADMIN_REFUSED_FORBIDDEN], 1, memory_order_relaxed);
        admin_problem_lines(request, 403, "that is the operator's to change; nothing was changed", change->report);
        break;
    case CONTROL_FAILED:
        admin_problem_lines(request, 500, "the change could not be made; everything is as it was", change->report);
        break;
    }
}
