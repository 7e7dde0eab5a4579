#include "main/control_audit.h"

#include "base/log.h"
#include "os/os.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define LINE_BYTES     2048u
#define OWED_BYTES_MAX (1u << 20)

/* What others are shown of it. */
struct shown {
    unsigned owed_count, lost_count; /* lost: since all was written */
    uint64_t lost_total;
    err why;
};

struct control_audit {
    struct state_log file;
    uint64_t number; /* of the last line, written or owed */
    char *owed;      /* lines that are not written yet; the oldest first */
    size_t owed_len;
    struct shown now;
    pthread_mutex_t lock; /* of the next: never held while a file is written */
    struct shown shown;
};

/* ---- lines ---------------------------------------------------------------------------------------------------------- */

/* 0: it is too long. */
static size_t line_make(char line[LINE_BYTES], uint64_t number, slice who, const char *what, slice details)
{
    char safe[160];
    int len;

    log_safe(who, safe, sizeof(safe));
    len = snprintf(line, LINE_BYTES, "{\"number\":%llu,\"time_ms\":%lld,\"who\":\"%s\",\"what\":\"%s\"%s" SLICE_FMT "}\n",
                   (unsigned long long)number, (long long)os_wall_ms(), safe, what, details.len > 0 ? "," : "", SLICE_ARG(details));
    return len > 0 && (size_t)len < LINE_BYTES ? (size_t)len : 0;
}

/* ---- writing ---------------------------------------------------------------------------------------- */

MUST_USE static err owed_write(struct control_audit *audit)
{
    if (audit->now.owed_count == 0)
        return ERR_OK;
    audit->now.why = state_log_append(&audit->file, slice_of(audit->owed, audit->owed_len), audit->number);
    if (!err_is_ok(audit->now.why))
        return audit->now.why;
    log_info("the audit log is written again: %u lines were owed", audit->now.owed_count);
    free(audit->owed);
    audit->owed = NULL;
    audit->owed_len = 0;
    audit->now.owed_count = audit->now.lost_count = 0;
    return ERR_OK;
}

MUST_USE static err line_write(struct control_audit *audit, slice who, const char *what, slice details)
{
    char line[LINE_BYTES];
    size_t len = line_make(line, audit->number + 1, who, what, details);

    ENSURE(len > 0, INVALID);
    TRY(owed_write(audit));
    TRY(state_log_append(&audit->file, slice_of(line, len), audit->number + 1));
    audit->number++;
    audit->now.lost_count = 0;
    return ERR_OK;
}

static void line_owe(struct control_audit *audit, slice who, const char *what, slice details, err why)
{
    char line[LINE_BYTES], problem[STATE_PROBLEM_BYTES];
    size_t len = line_make(line, audit->number + 1, who, what, details);
    char *grown = audit->owed_len + len <= OWED_BYTES_MAX ? realloc(audit->owed, audit->owed_len + len) : NULL;

    if (len == 0) {
        log_warn("a line of the audit log is too long: %s", what);
        return;
    }
    if (audit->now.owed_count == 0 && audit->now.lost_count == 0)
        log_warn("%s; the audit log is behind until it can be written",
                 state_problem(audit->file.state, STATE_AUDIT, why, problem, sizeof(problem)));
    audit->now.why = why;
    if (grown == NULL) {
        audit->now.lost_count++;
        audit->now.lost_total++;
        return;
    }
    memcpy(grown + audit->owed_len, line, len);
    audit->owed = grown;
    audit->owed_len += len;
    audit->now.owed_count++;
    audit->number++;
}

/* ---- for others ----------------------------------------------------------------------------------------------------- */

static void show(struct control_audit *audit)
{
    pthread_mutex_lock(&audit->lock);
    audit->shown = audit->now;
    pthread_mutex_unlock(&audit->lock);
}

err control_audit_write(struct control_audit *audit, slice who, const char *what, slice details)
{
    err written = line_write(audit, who, what, details);

    show(audit);
    return written;
}

bool control_audit_add(struct control_audit *audit, slice who, const char *what, slice details)
{
    err written = line_write(audit, who, what, details);

    if (!err_is_ok(written))
        line_owe(audit, who, what, details, written);
    show(audit);
    return err_is_ok(written);
}

bool control_audit_turn(struct control_audit *audit)
{
    err written = owed_write(audit);

    show(audit);
    return err_is_ok(written);
}

/* ---- reading -------------------------------------------------------------------------------------------------------- */

static struct shown shown_of(struct control_audit *audit)
{
    pthread_mutex_lock(&audit->lock);
    struct shown shown = audit->shown;
    pthread_mutex_unlock(&audit->lock);
    return shown;
}

bool control_audit_reason(struct control_audit *audit, char *buffer, size_t size)
{
    struct shown shown = shown_of(audit);
    char problem[STATE_PROBLEM_BYTES];

    if (shown.owed_count == 0 && shown.lost_count == 0)
        return false;
    snprintf(buffer, size, "%s; %u lines are not written down yet, %u are lost",
             state_problem(audit->file.state, STATE_AUDIT, shown.why, problem, sizeof(problem)), shown.owed_count, shown.lost_count);
    return true;
}

void control_audit_count(struct control_audit *audit, unsigned *ret_owed, uint64_t *ret_lost)
{
    struct shown shown = shown_of(audit);

    *ret_owed = shown.owed_count;
    *ret_lost = shown.lost_total;
}

err control_audit_read(const struct control_audit *audit, uint64_t since, unsigned max, char **ret_text, size_t *ret_len)
{
    return state_log_read(&audit->file, since, max, ret_text, ret_len);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

err control_audit_new(const struct state *state, struct control_audit **ret_audit)
{
    struct control_audit *audit = calloc(1, sizeof(*audit));

    ENSURE(audit != NULL, MEMORY);
    state_log_open(&audit->file, state, STATE_AUDIT);
    audit->number = audit->file.last;
    pthread_mutex_init(&audit->lock, NULL);
    *ret_audit = audit;
    return ERR_OK;
}

struct control_audit *control_audit_free(struct control_audit *audit)
{
    if (audit == NULL)
        return NULL;
    if (audit->now.owed_count > 0)
        log_error("%u lines of the audit log could not be written: they are lost", audit->now.owed_count);
    free(audit->owed);
    pthread_mutex_destroy(&audit->lock);
    free(audit);
    return NULL;
}
