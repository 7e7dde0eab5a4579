/* owner: who has a token for some tenants alone, and what he may change of them without the operator.
 *
 * The rule: rules are the owner's; of hosts he takes out what he likes, and adds names below a wildcard that the tenant has, where
 * nothing of another tenant's lies; the rest is the operator's (CONF_OPERATORS), and so is making a tenant. It is held against what
 * is in force, and looks at nothing else of other tenants than whether a name is one of theirs.
 *
 * Pure. */
#ifndef WARP_TENANT_OWNER_H
#define WARP_TENANT_OWNER_H

#include "base/err.h"
#include "conf/settings.h"

#define OWNER_LINES_MAX 100u

/* What a request is held against costs the thread that serves all tenants: so much of it an owner writes, or as much as there is. */
#define OWNER_SEARCHES_MAX 256u  /* runs of * in patterns; patterns of queries, cookies and fields, which are looked for */
#define OWNER_EDITS_MAX    256u  /* of fields, of requests and answers together */
#define OWNER_LIMITS_MAX   32u   /* rate and client-rate of rules: each client-rate takes a place for each client in the table of all */
#define OWNER_ENTRIES_MAX  4096u /* paths, methods, ranges of addresses */

/* May an owner make that of the tenant? *ret_lines: what not, a line each: "tenants.shop.origins: ..."; NULL: nothing is wrong.
 * free() it. */
MUST_USE err owner_check(const struct settings *in_force, const struct conf_tenant *after, char **ret_lines);

#endif
