/* tenant: whose site a request is for, and what that site's rules say of it.
 *
 *   settings --tenants_new--> a set of tenants, immutable --a view per thread--> transactions and fills
 *
 * A reload makes another set. What must outlive it (buckets, counts) is a tenant's usage, shared by all sets that have the
 * tenant. A tenant's id and generation are in the key of everything stored for it (registry.h): an id never comes to
 * another tenant while something is stored under it, and changed key rules never meet what was stored under others.
 *
 * Pure but for the usage: time and addresses are arguments. Threads: any. */
#ifndef WARP_TENANT_TENANT_H
#define WARP_TENANT_TENANT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "conf/settings.h"
#include "http/message.h"

#define TENANT_DEFAULT      1u
#define TENANT_DEFAULT_NAME "default"
#define TENANT_STALE_IF_ERROR_S 86400 /* where neither a rule nor the origin says more */
#define TENANT_IDS_MAX      65535u /* 0 is nobody */
#define TENANT_STEPS_MAX    1000000u /* that a request is held against rules (pattern.h): some milliseconds */


struct origin_group; /* origin/origin.h: above this folder */
struct tenant_rules;
struct tenant_usage;

/* What becomes of a request. name, status, word: of an own answer (0: none), for Cache-Status, logs and metrics */
#define POLICY_VERDICTS(X)                                                                                             \
    X(GO, 0, "go")                                                                                                     \
    X(DENIED, 403, "denied")              /* by address */                                                             \
    X(COSTLY, 500, "rules-too-costly")    /* not known what the rules say: see TENANT_STEPS_MAX */                     \
    X(RATE, 429, "rate-limit")            /* of the tenant, or a rule */                                               \
    X(CLIENT_RATE, 429, "client-rate-limit")                                                                           \
    X(BUSY, 503, "too-many-requests")     /* of the tenant at a time */                                                \
    X(REDIRECT, 0, "redirect")            /* its own status */

enum policy_verdict {
#define X(name, status, word) POLICY_##name,
    POLICY_VERDICTS(X)
#undef X
    POLICY_VERDICT_COUNT
};
uint16_t policy_verdict_status(enum policy_verdict verdict);
const char *policy_verdict_word(enum policy_verdict verdict);

/* Everything that the tenant's rules say of one request. Copied by a fill: `tenant` leads into the set of tenants, which the
 * fill's view holds; slices lie in the arena of the request. */
struct policy {
    const struct tenant *tenant;
    uint8_t verdict; /* enum policy_verdict */
    uint16_t redirect_status;
    uint32_t retry_after_s; /* of RATE, CLIENT_RATE */
    slice location;         /* of REDIRECT */
    slice rule;             /* the name of the rule that decided an own answer; for explain */

    bool cache; /* false: bypass */
    bool client_directives, is_static, ttl_override;
    uint8_t set_cookie;        /* enum conf_set_cookie */
    int32_t swr_s, sie_s;      /* where the origin does not say */
    uint64_t max_object_bytes; /* UINT64_MAX: no limit of the tenant's */

    slice target;    /* as keyed and forwarded; data NULL: as the client wrote it */
    slice key_extra; /* further part of the key: cookies, fields, device; empty: none */
    slice device;    /* for X-Device-Class; empty: no rule asks for it */

    uint32_t rule_count;              /* that match, of the next: */
    uint64_t rules[(CONF_LIST_MAX + 63) / 64]; /* a bit per rule */
};
/* The lifetime that the rules give an answer of that status, the latest that says one; -1: none. */
int32_t policy_ttl_s(const struct policy *policy, unsigned status);
/* The edits of the rules that match, in order. *at begins with 0. NULL: no more. */
const struct conf_edit *policy_request_edit(const struct policy *policy, unsigned *at);
const struct conf_edit *policy_response_edit(const struct policy *policy, unsigned *at);

struct tenant {
    uint16_t id;
    uint32_t generation; /* of its key rules */
    slice name;
    const struct conf_tenant *conf;
    struct origin_group *origins; /* set by whoever made the set, and his to free */
    struct tenant_usage *usage;
    struct tenant_rules *rules; /* NULL: none, and policy is what holds for every request */
    struct policy policy;       /* where no rule matches */
};

/* Who asks. */
struct tenant_client {
    uint8_t address[16]; /* IPv4 as mapped IPv6 */
    bool is_local;       /* a unix socket: no address, no limits by address */
    bool is_unknown;     /* a trusted peer asks for somebody whose address it does not say; address is zero */
    uint64_t now_ns;     /* a steady clock */
};

/* What the rules and limits say. Counts against the limits; a request with verdict GO is under way until tenant_leave.
 * NULL: no memory. Lies in the tenant or in the arena. */
const struct policy *tenant_enter(const struct tenant *tenant, const struct request *request, const struct tenant_client *client,
                                  struct arena *arena);
void tenant_leave(const struct tenant *tenant);
/* The same without counting, for explain. */
const struct policy *tenant_explain(const struct tenant *tenant, const struct request *request, const struct tenant_client *client,
                                    struct arena *arena);

/* ---- the set ------------------------------------------------------------------------------------------------------ */

struct tenants;
struct tenant_registry;

/* Of checked settings, whose memory it uses and does not own. before: the set it takes the place of; may be NULL. Without
 * tenants in the settings: one, "default", that every host belongs to, with what the options say. */
MUST_USE err tenants_new(const struct settings *settings, struct tenant_registry *registry, int64_t wall_s,
                         const struct tenants *before, struct tenants **ret_tenants);
/* Called once, with the last reference, before anything of the set is freed: for what its maker gave its tenants. */
void tenants_on_release(struct tenants *tenants, void (*release)(struct tenants *tenants, void *arg), void *arg);
struct tenants *tenants_ref(struct tenants *tenants);
struct tenants *tenants_unref(struct tenants *tenants);
/* Called instead of tenants_free by whoever has let go of the last reference: a set of many tenants takes longer to free than
 * a worker may. It has tenants_free called, on some thread, and may put the set into a list until then. */
void tenants_on_last(struct tenants *tenants, void (*last)(struct tenants *tenants, void *arg), void *arg);
struct list *tenants_link(struct tenants *tenants);
struct tenants *tenants_of_link(struct list *link);
struct tenants *tenants_free(struct tenants *tenants);

/* host: the authority of a request; port and case do not matter. NULL: nobody's (421). */
const struct tenant *tenants_find(const struct tenants *tenants, slice authority);
const struct tenant *tenants_named(const struct tenants *tenants, slice name);
const struct tenant *tenants_of_id(const struct tenants *tenants, uint16_t id);
unsigned tenants_count(const struct tenants *tenants);
struct tenant *tenants_at(struct tenants *tenants, unsigned i); /* in the order of the settings */
/* May that peer say on whose behalf it asks? IPv4 as mapped IPv6. */
bool tenants_trusts(const struct tenants *tenants, const uint8_t address[16]);
/* What it was made of. */
const struct settings *tenants_settings(const struct tenants *tenants);
/* No tenant is configured by name. */
bool tenants_is_default_only(const struct tenants *tenants);

#endif
