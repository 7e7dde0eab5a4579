#include "cache/freshness.h"

#include "http/cache_control.h"
#include "http/date.h"
#include "http/etag.h"
#include "http/token.h"

const char *freshness_source_word(enum freshness_source source)
{
    static const char *const words[] = {
#define X(name, word, text) word,
        FRESHNESS_SOURCES(X)
#undef X
    };
    return (unsigned)source < FRESHNESS_SOURCE_COUNT ? words[source] : "unknown";
}

bool status_is_heuristically_cacheable(unsigned status)
{
    switch (status) {
    case 200: case 203: case 204: case 206: case 300: case 301: case 308:
    case 404: case 405: case 410: case 414: case 501:
        return true;
    default:
        return false;
    }
}

/* Seconds into 0..FRESHNESS_SECONDS_MAX. */
static int32_t saturate(int64_t seconds)
{
    return (int32_t)MAX(0, MIN(seconds, FRESHNESS_SECONDS_MAX));
}

/* A Unix time in seconds; also right before 1970. Times are far from the ends of int64. */
static int64_t seconds_of(int64_t ms)
{
    return ms >= 0 ? ms / 1000 : -((-ms + 999) / 1000);
}

/* b - a without overflow. */
static int64_t elapsed(int64_t a, int64_t b)
{
    int64_t result;
    return __builtin_sub_overflow(b, a, &result) ? (b > a ? INT64_MAX : INT64_MIN) : result;
}

enum age_parse freshness_age_parse(const struct fields *fields, int32_t *ret_age_s)
{
    int first = fields_next(fields, F_AGE, 0);
    if (first < 0)
        return AGE_NONE;
    /* RFC 9111 5.1 lets us use the first of a list; but a list means that somebody on the way does not know what
     * Age is, and an age that is too small serves stale bytes. So anything but one number counts as stale. */
    if (fields_next(fields, F_AGE, first + 1) >= 0 || !delta_seconds_parse(field_value(fields, (unsigned)first), ret_age_s))
        return AGE_BAD;
    return AGE_OK;
}

int32_t freshness_current_age(int32_t initial_age_s, int64_t response_time_ms, int64_t now_ms)
{
    int64_t resident_ms = MAX(0, elapsed(response_time_ms, now_ms));
    return saturate((int64_t)initial_age_s + resident_ms / 1000);
}

/* RFC 9111 4.2.3: corrected_initial_age. */
static int32_t initial_age(const struct response *response, struct freshness *freshness, int64_t request_time_ms,
                           int64_t response_time_ms)
{
    int32_t age_s = 0;
    if (freshness_age_parse(&response->fields, &age_s) == AGE_BAD) {
        freshness->flags |= CONTROL_AGE_INVALID;
        return FRESHNESS_SECONDS_MAX;
    }
    int64_t apparent_age_s = elapsed(freshness->date_s, seconds_of(response_time_ms));
    int64_t delay_s = MAX(0, elapsed(request_time_ms, response_time_ms)) / 1000;
    return saturate(MAX(apparent_age_s, age_s + delay_s));
}

/* The only line with that id as a date. */
static bool date_of(const struct fields *fields, enum field_id id, int64_t now_s, int64_t *ret_s)
{
    int at = fields_next(fields, id, 0);
    if (at < 0 || fields_next(fields, id, at + 1) >= 0)
        return false;
    return date_parse(field_value(fields, (unsigned)at), now_s, ret_s);
}

static void read_validators(const struct fields *fields, int64_t now_s, struct freshness *freshness)
{
    struct etag tag;
    if (fields_count_of(fields, F_ETAG) == 1 && etag_parse(fields_get(fields, F_ETAG), &tag))
        freshness->flags |= CONTROL_ETAG | (tag.weak ? 0 : CONTROL_ETAG_STRONG);
    freshness->last_modified_s = INT64_MIN;
    if (date_of(fields, F_LAST_MODIFIED, now_s, &freshness->last_modified_s))
        freshness->flags |= CONTROL_LAST_MODIFIED;
    if (fields_has(fields, F_SET_COOKIE))
        freshness->flags |= CONTROL_SET_COOKIE;
    freshness->date_s = now_s;
    if (!fields_has(fields, F_DATE))
        freshness->flags |= CONTROL_DATE_ADDED;
    else if (!date_of(fields, F_DATE, now_s, &freshness->date_s))
        freshness->date_s = now_s; /* no date: as if it were the time of receipt (RFC 9110 6.6.1) */
}

/* A targeted field that is there and can be read (RFC 9213 2.2). Without memory to read it: as no-store. */
static bool read_targeted(const struct fields *fields, enum field_id id, struct cache_control *ret_control)
{
    char buffer[1024];
    struct arena scratch;
    if (!fields_has(fields, id))
        return false;
    arena_init(&scratch, buffer, sizeof(buffer), 0);
    err result = cache_control_read_targeted(fields, id, &scratch, ret_control);
    arena_done(&scratch);
    if (!err_is_ok(result)) {
        *ret_control = (struct cache_control){.no_store = true, .valid = true};
        return true;
    }
    return ret_control->valid;
}

static bool read_surrogate(const struct fields *fields, struct cache_control *ret_control)
{
    if (!fields_has(fields, F_SURROGATE_CONTROL))
        return false;
    surrogate_control_read(fields, SLICE(FRESHNESS_DEVICE), ret_control);
    ret_control->no_store |= ret_control->no_store_remote;
    return ret_control->valid && (ret_control->no_store || ret_control->max_age_s != CC_ABSENT);
}

/* The field that decides, read. */
static enum freshness_source read_control(const struct fields *fields, struct freshness *freshness,
                                          struct cache_control *ret_control)
{
    freshness->flags |= CONTROL_TARGETED;
    freshness->control_field = F_WARP_CACHE_CONTROL;
    if (read_targeted(fields, F_WARP_CACHE_CONTROL, ret_control))
        return FRESHNESS_WARP_CACHE_CONTROL;
    freshness->control_field = F_CDN_CACHE_CONTROL;
    if (read_targeted(fields, F_CDN_CACHE_CONTROL, ret_control))
        return FRESHNESS_CDN_CACHE_CONTROL;
    freshness->control_field = F_SURROGATE_CONTROL;
    if (read_surrogate(fields, ret_control))
        return FRESHNESS_SURROGATE_CONTROL;
    freshness->flags &= ~(uint32_t)CONTROL_TARGETED;
    cache_control_read(fields, F_CACHE_CONTROL, ret_control);
    freshness->control_field = fields_has(fields, F_CACHE_CONTROL) ? F_CACHE_CONTROL : F_OTHER;
    return FRESHNESS_NONE;
}

static void read_flags(const struct cache_control *control, struct freshness *freshness)
{
    uint32_t flags = 0;
    flags |= control->no_store ? CONTROL_NO_STORE : 0;
    flags |= control->no_cache && !control->no_cache_has_fields ? CONTROL_NO_CACHE : 0;
    flags |= control->is_private && !control->is_private_has_fields ? CONTROL_PRIVATE : 0;
    flags |= control->is_public ? CONTROL_PUBLIC : 0;
    flags |= control->must_revalidate ? CONTROL_MUST_REVALIDATE : 0;
    flags |= control->proxy_revalidate ? CONTROL_PROXY_REVALIDATE : 0;
    flags |= control->s_maxage_s != CC_ABSENT ? CONTROL_S_MAXAGE : 0;
    flags |= control->must_understand ? CONTROL_MUST_UNDERSTAND : 0;
    flags |= control->immutable ? CONTROL_IMMUTABLE : 0;
    if (control->stale_while_revalidate_s != CC_ABSENT) {
        flags |= CONTROL_SWR;
        freshness->swr_s = control->stale_while_revalidate_s;
    }
    if (control->stale_if_error_s != CC_ABSENT) {
        flags |= CONTROL_SIE;
        freshness->sie_s = control->stale_if_error_s;
    }
    freshness->flags |= flags;
}

/* Expires - Date; anything that is not one date has expired already (RFC 9111 5.3). */
static int32_t lifetime_of_expires(const struct fields *fields, const struct freshness *freshness, int64_t now_s)
{
    int64_t expires_s;
    if (!date_of(fields, F_EXPIRES, now_s, &expires_s))
        return 0;
    return saturate(elapsed(freshness->date_s, expires_s));
}

/* RFC 9111 4.2.2. Pragma: no-cache without Cache-Control was the way of HTTP/1.0 to say: do not. */
static bool heuristic_applies(const struct response *response, const struct freshness *freshness)
{
    if (!status_is_heuristically_cacheable(response->status) && !(freshness->flags & CONTROL_PUBLIC))
        return false;
    if (freshness->control_field == F_OTHER && pragma_no_cache(&response->fields))
        return false;
    return (freshness->flags & CONTROL_LAST_MODIFIED) != 0 && freshness->last_modified_s < freshness->date_s;
}

static void decide_lifetime(const struct response *response, const struct cache_control *control,
                            enum freshness_source targeted, int64_t now_s, struct freshness *freshness)
{
    const struct fields *fields = &response->fields;
    bool is_targeted = targeted != FRESHNESS_NONE;
    if (control->s_maxage_s != CC_ABSENT) {
        freshness->source = is_targeted ? targeted : FRESHNESS_S_MAXAGE;
        freshness->lifetime_s = control->s_maxage_s;
    } else if (control->max_age_s != CC_ABSENT) {
        freshness->source = is_targeted ? targeted : FRESHNESS_MAX_AGE;
        freshness->lifetime_s = control->max_age_s;
    } else if (!is_targeted && fields_has(fields, F_EXPIRES)) {
        freshness->source = FRESHNESS_EXPIRES;
        freshness->lifetime_s = lifetime_of_expires(fields, freshness, now_s);
    } else if (heuristic_applies(response, freshness)) {
        freshness->source = FRESHNESS_HEURISTIC;
        freshness->flags |= CONTROL_HEURISTIC;
        int64_t span_s = elapsed(freshness->last_modified_s, freshness->date_s);
        freshness->lifetime_s = (int32_t)MIN(span_s / HEURISTIC_DIVISOR, HEURISTIC_SECONDS_MAX);
    }
    freshness->is_explicit = freshness->source != FRESHNESS_NONE && freshness->source != FRESHNESS_HEURISTIC;
}

static void apply_rule(const struct freshness_rule *rule, struct freshness *freshness)
{
    if (rule == NULL || rule->ttl_s < 0 || (freshness->is_explicit && !rule->override_))
        return;
    freshness->source = FRESHNESS_RULE;
    freshness->lifetime_s = rule->ttl_s;
    freshness->is_explicit = true;
    freshness->flags &= ~(uint32_t)CONTROL_HEURISTIC;
}

void freshness_of(const struct response *response, int64_t request_time_ms, int64_t response_time_ms,
                  const struct freshness_rule *rule, struct freshness *ret_freshness)
{
    struct freshness freshness = {0};
    struct cache_control control;
    int64_t now_s = seconds_of(response_time_ms);

    read_validators(&response->fields, now_s, &freshness);
    enum freshness_source targeted = read_control(&response->fields, &freshness, &control);
    read_flags(&control, &freshness);
    decide_lifetime(response, &control, targeted, now_s, &freshness);
    apply_rule(rule, &freshness);
    freshness.initial_age_s = initial_age(response, &freshness, request_time_ms, response_time_ms);
    *ret_freshness = freshness;
}

static void control_names_add(struct control_names *names, slice list)
{
    slice name;
    while (list_next(&list, &name)) {
        if (names->count == CONTROL_NAMES_MAX) {
            names->too_many = true;
            return;
        }
        names->names[names->count++] = name;
    }
}

/* One line's. The list inside is of field names: nothing in it is escaped. */
static void control_names_of_line(struct control_names *names, slice line)
{
    slice item;
    while (list_next(&line, &item) && !names->too_many) {
        struct param param;
        if (!param_parse(item, &param) || !param.has_value)
            continue;
        if (slice_eq_nocase(param.name, SLICE("no-cache")) || slice_eq_nocase(param.name, SLICE("private")))
            control_names_add(names, param.value);
    }
}

void freshness_control_names(const struct fields *fields, enum field_id control_field, struct control_names *ret_names)
{
    ret_names->count = 0;
    ret_names->too_many = false;
    if (control_field == F_OTHER)
        return;
    for (int i = -1; (i = fields_next(fields, control_field, i + 1)) >= 0;)
        control_names_of_line(ret_names, field_value(fields, (unsigned)i));
}

bool control_names_has(const struct control_names *names, slice name)
{
    for (unsigned i = 0; i < names->count; i++)
        if (slice_eq_nocase(names->names[i], name))
            return true;
    return false;
}
