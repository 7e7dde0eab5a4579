/* edit: what a tenant's rules change in the fields of requests to its origins and of answers to its clients. */
#ifndef WARP_TENANT_EDIT_H
#define WARP_TENANT_EDIT_H

#include "http/field.h"
#include "tenant/tenant.h"

/* Replaces the set by a copy in the arena where anything changes. ERR_MEMORY, ERR_LIMIT: the set is as it was. */
MUST_USE err edit_request_fields(const struct policy *policy, struct arena *arena, struct fields *fields);
MUST_USE err edit_response_fields(const struct policy *policy, struct arena *arena, struct fields *fields);
bool policy_edits_response(const struct policy *policy);
/* Without the fields of that id. */
MUST_USE err edit_drop(struct arena *arena, enum field_id id, struct fields *fields);

#endif
