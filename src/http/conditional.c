#include "http/conditional.h"

#include "http/date.h"
#include "http/etag.h"

static struct etag etag_of(slice value)
{
    struct etag tag = {.opaque = SLICE_NONE};
    return value.data != NULL && etag_parse(value, &tag) ? tag : (struct etag){.opaque = SLICE_NONE};
}

/* The date of the only field with that id; a list or an invalid date counts as no field (RFC 9110 13.1.3). */
static bool date_field(const struct fields *fields, enum field_id id, int64_t now_s, int64_t *ret_s)
{
    int i = fields_next(fields, id, 0);

    if (i < 0 || fields_next(fields, id, i + 1) >= 0)
        return false;
    return date_parse(field_value(fields, (unsigned)i), now_s, ret_s);
}

/* RFC 9111 4.3.2: without Last-Modified the date of the answer stands in for it. */
static int64_t modified_s(const struct validators *validators)
{
    return validators->last_modified_s >= 0 ? validators->last_modified_s : validators->date_s;
}

enum cond cond_evaluate(const struct fields *request, enum method method, const struct validators *validators,
                        int64_t now_s)
{
    bool reads = method == METHOD_GET || method == METHOD_HEAD;
    struct etag tag = etag_of(validators->etag);
    int64_t date_s;

    if (fields_has(request, F_IF_MATCH)) {
        if (!etag_list_matches(request, F_IF_MATCH, tag, true))
            return COND_FAILED;
    } else if (validators->last_modified_s >= 0 && date_field(request, F_IF_UNMODIFIED_SINCE, now_s, &date_s)) {
        if (validators->last_modified_s > date_s)
            return COND_FAILED;
    }
    if (fields_has(request, F_IF_NONE_MATCH)) {
        if (etag_list_matches(request, F_IF_NONE_MATCH, tag, false))
            return reads ? COND_NOT_MODIFIED : COND_FAILED;
    } else if (reads && date_field(request, F_IF_MODIFIED_SINCE, now_s, &date_s)) {
        if (modified_s(validators) <= date_s)
            return COND_NOT_MODIFIED;
    }
    return COND_PASS;
}

bool cond_if_range(const struct fields *request, const struct validators *validators, int64_t now_s)
{
    int i = fields_next(request, F_IF_RANGE, 0);
    struct etag tag;
    int64_t date_s;
    slice value;

    if (i < 0)
        return true;
    if (fields_next(request, F_IF_RANGE, i + 1) >= 0)
        return false;
    value = field_value(request, (unsigned)i);
    if (etag_parse(value, &tag))
        return etag_eq_strong(tag, etag_of(validators->etag));
    /* A date is a strong validator only when the answer was made at least a second after it (8.8.2.2). */
    return date_parse(value, now_s, &date_s) && validators->last_modified_s >= 0 &&
           date_s == validators->last_modified_s && validators->date_s > validators->last_modified_s;
}

bool cond_has_any(const struct fields *request)
{
    for (unsigned i = 0; i < request->count; i++) {
        unsigned id = request->list[i].id;
        if (id == F_IF_MATCH || id == F_IF_NONE_MATCH || id == F_IF_MODIFIED_SINCE || id == F_IF_UNMODIFIED_SINCE)
            return true;
    }
    return false;
}
