/* tenant_view: one thread's hold of a set of tenants. Transactions and fills count themselves here, without atomics: the set
 * goes when it has been replaced and its last user on each thread has ended. */
#ifndef WARP_TENANT_VIEW_H
#define WARP_TENANT_VIEW_H

#include "tenant/tenant.h"

#include <stdlib.h>

struct tenant_view {
    struct tenants *tenants; /* a reference */
    uint16_t unknown;        /* whose a request is before its host is known, or when it has none: the default, or 0 */
    uint32_t users;          /* transactions and fills of the thread */
    bool is_retired;         /* a later set has taken its place */
};

/* Takes a reference of its own. NULL: no memory. */
static inline struct tenant_view *tenant_view_new(struct tenants *tenants)
{
    struct tenant_view *view = calloc(1, sizeof(*view));

    if (view == NULL)
        return NULL;
    view->tenants = tenants_ref(tenants);
    view->unknown = tenants_is_default_only(tenants) ? TENANT_DEFAULT : 0;
    return view;
}

static inline void tenant_view_look(struct tenant_view *view)
{
    if (view->users > 0 || !view->is_retired)
        return;
    tenants_unref(view->tenants);
    free(view);
}

static inline struct tenant_view *tenant_view_enter(struct tenant_view *view)
{
    view->users++;
    return view;
}

static inline void tenant_view_leave(struct tenant_view *view)
{
    INVARIANT(view->users > 0);
    view->users--;
    tenant_view_look(view);
}

/* Its thread has another one. NULL is fine. */
static inline void tenant_view_retire(struct tenant_view *view)
{
    if (view == NULL)
        return;
    view->is_retired = true;
    tenant_view_look(view);
}

#endif
