#include "main/control_listeners.h"

#include "base/log.h"
#include "conf/listen_clash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which ---------------------------------------------------------------------------------------------------------- */

static bool list_has(const struct config_list *list, const char *text)
{
    for (unsigned i = 0; i < list->count; i++)
        if (strcmp(list->items[i], text) == 0)
            return true;
    return false;
}

static void listeners_differ(const struct config_list *from, const struct config_list *to, bool is_tls, bool is_opened,
                             struct node_change *change)
{
    for (unsigned i = 0; i < to->count; i++) {
        struct listener_change *one = &change->listeners[change->listener_count];
        if (list_has(from, to->items[i]) || change->listener_count == ARRAY_LEN(change->listeners))
            continue;
        *one = (struct listener_change){.is_tls = is_tls, .is_opened = is_opened};
        snprintf(one->text, sizeof(one->text), "%s", to->items[i]);
        change->listener_count++;
    }
}

/* ---- opening -------------------------------------------------------------------------------------------------------- */

static const char *option_of(bool is_tls)
{
    return is_tls ? "listen-tls" : "listen";
}

/* The option in force whose address this is, too: it is open until the change has come into force. NULL: none. */
static const char *list_clash(const struct config_list *list, const char *text)
{
    for (unsigned i = 0; i < list->count; i++)
        if (listen_texts_clash(slice_str(list->items[i]), slice_str(text)))
            return list->items[i];
    return NULL;
}

/* started_admin: a reload does not move it. */
static void open_problem(const struct config *now, const char *started_admin, const struct listener_change *one, err why,
                         char *message, size_t size)
{
    const char *option = option_of(one->is_tls), *other = NULL, *held_by = "listen";

    if (why.sys == EADDRINUSE && (other = list_clash(&now->listen, one->text)) == NULL) {
        held_by = "listen-tls";
        other = list_clash(&now->listen_tls, one->text);
    }
    if (other != NULL)
        snprintf(message, size,
                 "%s: %s: cannot listen there while %s %s is open; take that away first, and bring this with a reload of its own",
                 option, one->text, held_by, other);
    else if (why.sys == EADDRINUSE && listen_texts_clash(slice_str(started_admin), slice_str(one->text)))
        snprintf(message, size, "%s: %s: cannot listen there: admin %s is open until a restart", option, one->text, started_admin);
    else if (why.code == ERR_TIMEOUT)
        snprintf(message, size, "%s: %s: cannot listen there: the supervisor does not answer", option, one->text);
    else
        snprintf(message, size, "%s: %s: cannot listen there: %s", option, one->text, err_text(why));
}

MUST_USE static err listener_open(struct supervisor_door *door, unsigned workers, struct listener_change *one)
{
    struct os_listener *shards = calloc(workers, sizeof(*shards));
    err opened;

    ENSURE(shards != NULL, MEMORY);
    opened = supervisor_open(door, one->text, one->is_tls, shards, workers);
    if (err_is_ok(opened))
        one->shards = shards;
    else
        free(shards);
    return opened;
}

err control_listeners_prepare(struct supervisor_door *door, const struct config *started, const struct config *now,
                              const struct config *config, unsigned workers, struct node_change *change, char *message, size_t size)
{
    snprintf(message, size, "listen, listen-tls: at most %u addresses", NODE_LISTENERS_MAX);
    ENSURE(config->listen.count + config->listen_tls.count <= NODE_LISTENERS_MAX, LIMIT);
    listeners_differ(&config->listen, &now->listen, false, false, change);
    listeners_differ(&config->listen_tls, &now->listen_tls, true, false, change);
    listeners_differ(&now->listen, &config->listen, false, true, change);
    listeners_differ(&now->listen_tls, &config->listen_tls, true, true, change);
    for (unsigned i = 0; i < change->listener_count; i++) {
        struct listener_change *one = &change->listeners[i];
        err opened = one->is_opened ? listener_open(door, workers, one) : ERR_OK;
        if (err_is_ok(opened))
            continue;
        open_problem(now, started->admin, one, opened, message, size);
        return opened;
    }
    return ERR_OK;
}

/* ---- closing -------------------------------------------------------------------------------------------------------- */

static void listener_close(struct supervisor_door *door, const struct listener_change *one)
{
    err sent = supervisor_close(door, one->text, one->is_tls);

    if (!err_is_ok(sent))
        log_warn("%s: the supervisor does not close it: %s", one->text, err_text(sent));
}

void control_listeners_settle(struct supervisor_door *door, unsigned workers, struct node_change *change, bool taken)
{
    for (unsigned i = 0; i < change->listener_count; i++) {
        struct listener_change *one = &change->listeners[i];
        bool was_opened = one->shards != NULL;
        for (unsigned shard = 0; was_opened && !taken && shard < workers; shard++)
            os_listener_close(&one->shards[shard]);
        free(one->shards);
        one->shards = NULL;
        if (taken ? !one->is_opened : was_opened)
            listener_close(door, one);
    }
}
