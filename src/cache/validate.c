#include "cache/validate.h"

#include "http/etag.h"

err validate_add_conditions(const struct fields *fields, const struct stored *stored, struct fields *ret_request,
                            bool *ret_conditional)
{
    slice etag = stored_etag(fields, stored);
    slice modified = stored_last_modified(fields, stored);
    if (etag.data != NULL)
        TRY(fields_add(ret_request, F_IF_NONE_MATCH, etag));
    else if (modified.data != NULL)
        TRY(fields_add(ret_request, F_IF_MODIFIED_SINCE, modified));
    *ret_conditional = etag.data != NULL || modified.data != NULL;
    return ERR_OK;
}

enum validate_match validate_match_304(const struct fields *fields, const struct stored *stored, const struct response *not_modified)
{
    struct etag ours = {0}, theirs = {0};
    bool has_ours = etag_parse(stored_etag(fields, stored), &ours);
    bool has_theirs = etag_parse(fields_get(&not_modified->fields, F_ETAG), &theirs);
    if (has_ours)
        return !has_theirs || etag_eq_weak(ours, theirs) ? VALIDATE_MATCH : VALIDATE_OTHER_TAG;
    if (has_theirs && !theirs.weak)
        return VALIDATE_MISMATCH; /* nothing stored has that strong validator */
    slice modified = fields_get(&not_modified->fields, F_LAST_MODIFIED);
    if (modified.data != NULL && !slice_eq(modified, stored_last_modified(fields, stored)))
        return VALIDATE_MISMATCH;
    return VALIDATE_MATCH;
}

bool validate_is_stripped(enum field_id id)
{
    switch (id) {
    case F_IF_MATCH: case F_IF_NONE_MATCH: case F_IF_MODIFIED_SINCE: case F_IF_UNMODIFIED_SINCE: case F_IF_RANGE: case F_RANGE:
        return true;
    default:
        return false;
    }
}

void stored_validators(const struct fields *fields, const struct stored *stored, struct validators *ret_validators)
{
    bool has_date = (stored->flags & CONTROL_LAST_MODIFIED) != 0;
    *ret_validators = (struct validators){.etag = stored_etag(fields, stored),
                                          .last_modified_s = has_date ? stored->last_modified_s : -1,
                                          .date_s = stored->date_s};
}

enum cond client_precondition(const struct request *request, const struct fields *fields, const struct stored *stored, int64_t now_s)
{
    struct validators validators;
    stored_validators(fields, stored, &validators);
    return cond_evaluate(&request->fields, request->method, &validators, now_s);
}

bool client_if_range(const struct request *request, const struct fields *fields, const struct stored *stored, int64_t now_s)
{
    struct validators validators;
    stored_validators(fields, stored, &validators);
    return cond_if_range(&request->fields, &validators, now_s);
}
