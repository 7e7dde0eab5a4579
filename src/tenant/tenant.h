/* tenant: whose site a request is for. One tenant for now: every Host belongs to "default". */
#ifndef WARP_TENANT_TENANT_H
#define WARP_TENANT_TENANT_H

#include "base/slice.h"

#define TENANT_DEFAULT      1u
#define TENANT_DEFAULT_NAME "default"

static inline uint16_t tenant_of(slice authority, slice target)
{
    (void)authority;
    (void)target;
    return TENANT_DEFAULT;
}

#endif
