#include "main/control_writes.h"

#include <stdio.h>
#include <stdlib.h>

void control_writes_init(struct control_writes *writes, struct loop *loop)
{
    writes->loop = loop;
    list_init(&writes->waiting);
    pthread_mutex_init(&writes->lock, NULL);
}

void control_writes_done(struct control_writes *writes)
{
    pthread_mutex_destroy(&writes->lock);
}

void control_writes_add(struct control_writes *writes, struct control_write *write)
{
    pthread_mutex_lock(&writes->lock);
    list_push_back(&writes->waiting, &write->link);
    pthread_mutex_unlock(&writes->lock);
}

struct control_write *control_writes_next(struct control_writes *writes)
{
    struct list *first;

    pthread_mutex_lock(&writes->lock);
    first = list_pop_front(&writes->waiting);
    pthread_mutex_unlock(&writes->lock);
    return first != NULL ? container_of(first, struct control_write, link) : NULL;
}

/* ---- the control's thread -------------------------------------------------------------------------------------------- */

/* The line last: what it says is so. */
MUST_USE static err write_both(struct control_write *write, struct keep *keep, struct keep_debt *debt, struct control_audit *audit)
{
    err written = ERR_OK;

    TRY(keep_write(keep, debt, write->problem, sizeof(write->problem)));
    if (write->what != NULL)
        written = control_audit_write(audit, write->who, write->what, write->details);
    if (err_is_ok(written)) {
        keep_settle(keep, debt);
        return ERR_OK;
    }
    state_problem(keep->state, STATE_AUDIT, written, write->problem, sizeof(write->problem));
    keep_undo(keep, debt);
    return written;
}

MUST_USE static err write_or_owe(struct control_write *write, struct keep *keep, struct keep_debt *debt, struct control_audit *audit)
{
    bool is_written = keep_write_or_owe(keep, debt, write->problem, sizeof(write->problem));

    if (write->what != NULL)
        (void)control_audit_add(audit, write->who, write->what, write->details); /* what is owed, /readyz says */
    return is_written ? ERR_OK : ERR(LIMIT);
}

MUST_USE static err keep_made(struct control_write *write, struct keep *keep)
{
    char *text;
    size_t len;
    err result = write->make(write, &text, &len);

    if (err_is_ok(result)) {
        result = keep_put(keep, write->name, slice_of(text, len));
        free(text);
    }
    if (!err_is_ok(result))
        snprintf(write->problem, sizeof(write->problem), "%s: %s", write->name, err_text(result));
    return result;
}

void control_writes_run(struct control_write *write, const struct state *state, struct keep_debt *debt, struct control_audit *audit)
{
    struct keep keep;

    keep_init(&keep, state);
    write->problem[0] = '\0';
    write->result = keep_made(write, &keep);
    if (err_is_ok(write->result))
        write->result = write->is_true ? write_or_owe(write, &keep, debt, audit) : write_both(write, &keep, debt, audit);
    keep_done(&keep);
}

static void write_reported(struct mail *mail)
{
    struct control_write *write = container_of(mail, struct control_write, mail);

    write->done(write);
}

void control_writes_report(struct control_writes *writes, struct control_write *write)
{
    write->mail.run = write_reported;
    loop_post(writes->loop, &write->mail);
}
