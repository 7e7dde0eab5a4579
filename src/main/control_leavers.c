/* Tenants that were deleted: what is stored for them is purged before their ids may come to others. What has not come to its end
 * when the process ends is begun anew by the next one. */
#include "main/control_own.h"

#include "base/log.h"

#include <stdlib.h>

struct leaver {
    struct list link; /* in control->left */
    struct store_purge purge;
    struct node_control *control;
};

static void leaver_purged(struct store_op *op)
{
    struct leaver *leaver = container_of(op, struct leaver, purge.op);
    struct node_control *control = leaver->control;

    if (!leaver->purge.durable) { /* its id stays as it is: it is purged again at the next start */
        free(leaver);
        return;
    }
    pthread_mutex_lock(&control->lock);
    list_push_back(&control->left, &leaver->link);
    pthread_mutex_unlock(&control->lock);
    os_event_set(control->event);
}

void control_leaver_purge(struct node_control *control, uint16_t id)
{
    struct leaver *leaver = calloc(1, sizeof(*leaver));

    if (leaver == NULL) {
        log_error("no memory to purge a tenant that was deleted: it is done at the next start");
        return;
    }
    leaver->control = control;
    leaver->purge.tenant = id;
    leaver->purge.kind = STORE_LABEL_TENANT;
    leaver->purge.label = store_label_of(id, STORE_LABEL_TENANT, SLICE(""));
    leaver->purge.op.loop = control->config.loop;
    leaver->purge.op.done = leaver_purged;
    leaver->purge.uncounted = true;
    if (storage_purge(control->config.storage, &leaver->purge) == STORE_DONE)
        leaver_purged(&leaver->purge.op);
}

void control_leavers_begin(struct node_control *control)
{
    const struct tenant_registry *registry = control->config.plan->registry;

    for (uint16_t id = tenant_registry_leaving(registry, 0); id != 0; id = tenant_registry_leaving(registry, id))
        control_leaver_purge(control, id);
}

static struct leaver *leaver_next(struct node_control *control)
{
    struct list *first;

    pthread_mutex_lock(&control->lock);
    first = list_pop_front(&control->left);
    pthread_mutex_unlock(&control->lock);
    return first != NULL ? container_of(first, struct leaver, link) : NULL;
}

void control_leavers_turn(struct node_control *control)
{
    struct leaver *leaver;

    while ((leaver = leaver_next(control)) != NULL) {
        tenant_registry_left(control->config.plan->registry, leaver->purge.tenant); /* written with what is written next */
        free(leaver);
    }
}
