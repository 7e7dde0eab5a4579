#include "main/state_writes.h"

#include <stdlib.h>

void state_writes_init(struct state_writes *writes, const struct state *state, struct loop *loop)
{
    writes->state = state;
    writes->loop = loop;
    list_init(&writes->waiting);
    pthread_mutex_init(&writes->lock, NULL);
}

void state_writes_done(struct state_writes *writes)
{
    pthread_mutex_destroy(&writes->lock);
}

void state_writes_add(struct state_writes *writes, struct control_write *write)
{
    pthread_mutex_lock(&writes->lock);
    list_push_back(&writes->waiting, &write->link);
    pthread_mutex_unlock(&writes->lock);
}

static void write_reported(struct mail *mail)
{
    struct control_write *write = container_of(mail, struct control_write, mail);

    write->done(write);
}

MUST_USE static err write_make(const struct state *state, struct control_write *write)
{
    char *text;
    size_t len;
    err written;

    TRY(write->make(write, &text, &len));
    written = state_write(state, write->name, slice_of(text, len));
    free(text);
    return written;
}

bool state_writes_run(struct state_writes *writes)
{
    struct control_write *write;
    struct list *first;

    pthread_mutex_lock(&writes->lock);
    first = list_pop_front(&writes->waiting);
    pthread_mutex_unlock(&writes->lock);
    if (first == NULL)
        return false;
    write = container_of(first, struct control_write, link);
    write->result = write_make(writes->state, write);
    write->mail.run = write_reported;
    loop_post(writes->loop, &write->mail);
    return true;
}
