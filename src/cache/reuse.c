#include "cache/reuse.h"

#include "http/cache_control.h"

static const char *const verdict_words[] = {
#define X(name, word, text) word,
    REUSE_VERDICTS(X)
#undef X
};

static const struct {
    const char *word, *fwd;
} reasons[] = {
#define X(name, word, fwd, text) {word, fwd},
    REUSE_REASONS(X)
#undef X
};

const char *reuse_verdict_word(enum reuse_verdict verdict)
{
    return (unsigned)verdict < REUSE_VERDICT_COUNT ? verdict_words[verdict] : "unknown";
}

const char *reuse_reason_word(enum reuse_reason reason)
{
    return (unsigned)reason < REUSE_REASON_COUNT ? reasons[reason].word : "unknown";
}

const char *reuse_reason_fwd(enum reuse_reason reason)
{
    return (unsigned)reason < REUSE_REASON_COUNT ? reasons[reason].fwd : "";
}

void request_control_of(const struct fields *request, struct request_control *ret_control)
{
    struct cache_control cc;
    bool has_control = fields_has(request, F_CACHE_CONTROL);
    struct request_control control = {.max_age_s = -1, .min_fresh_s = -1, .max_stale_s = -1};
    control.has_authorization = fields_has(request, F_AUTHORIZATION);
    control.has_credentials = control.has_authorization || fields_has(request, F_COOKIE);
    if (has_control) {
        cache_control_read(request, F_CACHE_CONTROL, &cc);
        control.no_store = cc.no_store;
        control.no_cache = cc.no_cache;
        control.only_if_cached = cc.only_if_cached;
        control.max_age_s = cc.max_age_s;
        control.min_fresh_s = cc.min_fresh_s;
        control.max_stale_s = cc.max_stale_s;
    } else {
        control.no_cache = pragma_no_cache(request); /* RFC 9111 5.4 */
    }
    *ret_control = control;
}

/* The directives that forbid stale answers by name; what s-maxage implies is weaker here (RFC 9111 5.2.2.10). */
#define FORBIDS_STALE (CONTROL_NO_CACHE | CONTROL_MUST_REVALIDATE | CONTROL_PROXY_REVALIDATE)

static bool may_revalidate_behind(const struct stored *stored, int32_t stale_for_s, const struct reuse_policy *policy)
{
    if (stored->flags & FORBIDS_STALE)
        return false;
    if (stored->flags & CONTROL_SWR)
        return stale_for_s < stored->swr_s;
    return !(stored->flags & CONTROL_S_MAXAGE) && stale_for_s < policy->swr_default_s;
}

/* What speaks against using a fresh response as it is, or FRESH. */
static enum reuse_reason objection(const struct request_control *control, const struct stored *stored, int32_t age_s,
                                   const struct reuse_policy *policy)
{
    bool listens = policy->honour_client_directives;
    if (stored->flags & CONTROL_NO_CACHE)
        return REUSE_REASON_NO_CACHE;
    if ((stored->flags & CONTROL_HEURISTIC) && control->has_credentials)
        return REUSE_REASON_HEURISTIC_CREDENTIALS;
    if (listens && control->no_cache)
        return REUSE_REASON_CLIENT_NO_CACHE;
    if (policy->soft_purged)
        return REUSE_REASON_SOFT_PURGED;
    if (stored->lifetime_s <= age_s)
        return REUSE_REASON_EXPIRED;
    if (listens && control->max_age_s >= 0 && age_s > control->max_age_s)
        return REUSE_REASON_CLIENT_MAX_AGE;
    if (listens && control->min_fresh_s >= 0 && stored->lifetime_s - age_s < control->min_fresh_s)
        return REUSE_REASON_CLIENT_MIN_FRESH;
    return REUSE_REASON_FRESH;
}

/* Stale, and nothing else speaks against it: may it be used nevertheless? */
static enum reuse_verdict stale_verdict(const struct request_control *control, const struct stored *stored, int32_t age_s,
                                        const struct reuse_policy *policy)
{
    int32_t stale_for_s = MAX(0, age_s - stored->lifetime_s);
    if (may_revalidate_behind(stored, stale_for_s, policy))
        return REUSE_STALE_WHILE_REVALIDATE;
    if (policy->honour_client_directives && stale_for_s <= control->max_stale_s && !policy->soft_purged &&
        !(stored->flags & (FORBIDS_STALE | CONTROL_S_MAXAGE | CONTROL_AGE_INVALID)))
        return REUSE_STALE_ALLOWED;
    return REUSE_FETCH;
}

struct reuse reuse_decide(const struct request_control *control, const struct stored *stored, int64_t now_ms,
                          const struct reuse_policy *policy)
{
    struct reuse reuse = {.verdict = REUSE_FETCH};
    reuse.age_s = freshness_current_age(stored->initial_age_s, stored->response_time_ms, now_ms);
    reuse.ttl_s = stored->lifetime_s - reuse.age_s;
    reuse.reason = objection(control, stored, reuse.age_s, policy);
    if (reuse.reason == REUSE_REASON_FRESH) {
        reuse.verdict = REUSE_FRESH;
        return reuse;
    }
    if (reuse.reason == REUSE_REASON_EXPIRED || reuse.reason == REUSE_REASON_SOFT_PURGED)
        reuse.verdict = stale_verdict(control, stored, reuse.age_s, policy);
    if (reuse.verdict != REUSE_FETCH)
        return reuse;
    if (control->only_if_cached)
        reuse.verdict = REUSE_GATEWAY_TIMEOUT; /* RFC 9111 5.2.1.7 */
    else if (stored->flags & (CONTROL_ETAG | CONTROL_LAST_MODIFIED))
        reuse.verdict = REUSE_VALIDATE;
    return reuse;
}

bool stale_if_error_allowed(const struct stored *stored, int64_t now_ms, const struct reuse_policy *policy)
{
    int32_t age_s = freshness_current_age(stored->initial_age_s, stored->response_time_ms, now_ms);
    int32_t stale_for_s = MAX(0, age_s - stored->lifetime_s);
    if (stored->flags & (FORBIDS_STALE | CONTROL_AGE_INVALID))
        return false;
    if (stored->flags & CONTROL_SIE)
        return stale_for_s <= stored->sie_s;
    if (stored->flags & CONTROL_S_MAXAGE)
        return (stored->flags & CONTROL_SWR) && stale_for_s <= stored->swr_s;
    return stale_for_s <= policy->stale_limit_s;
}
