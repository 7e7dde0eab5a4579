#include "tenant/edit.h"

static bool is_named(const slice *names, uint32_t count, slice name)
{
    for (uint32_t i = 0; i < count; i++)
        if (slice_eq_nocase(names[i], name))
            return true;
    return false;
}

static bool is_set(const struct conf_edit *edit, slice name)
{
    for (uint32_t i = 0; i < edit->set.count; i++)
        if (slice_eq_nocase(edit->set.items[i].name, name))
            return true;
    return false;
}

MUST_USE static err add_pairs(struct fields *fields, const struct conf_pair *pairs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        TRY(fields_add_named(fields, pairs[i].name, field_id_of(pairs[i].name), pairs[i].value));
    return ERR_OK;
}

MUST_USE static err edit_apply(const struct conf_edit *edit, struct arena *arena, struct fields *fields)
{
    struct fields edited;

    fields_init(&edited, arena);
    TRY(fields_reserve(&edited, fields->count + edit->set.count + edit->add.count, fields->text_len + 256u));
    for (unsigned i = 0; i < fields->count; i++) {
        slice name = field_name(fields, i);
        if (!is_named(edit->remove.items, edit->remove.count, name) && !is_set(edit, name))
            TRY(fields_copy(&edited, fields, i));
    }
    TRY(add_pairs(&edited, edit->set.items, edit->set.count));
    TRY(add_pairs(&edited, edit->add.items, edit->add.count));
    *fields = edited;
    return ERR_OK;
}

err edit_request_fields(const struct policy *policy, struct arena *arena, struct fields *fields)
{
    const struct conf_edit *edit;
    struct fields edited = *fields;
    unsigned at = 0;

    while ((edit = policy_request_edit(policy, &at)) != NULL)
        TRY(edit_apply(edit, arena, &edited));
    if (policy->device.len > 0)
        TRY(fields_add_named(&edited, SLICE("X-Device-Class"), F_OTHER, policy->device));
    *fields = edited;
    return ERR_OK;
}

bool policy_edits_response(const struct policy *policy)
{
    unsigned at = 0;

    return policy->rule_count > 0 && policy_response_edit(policy, &at) != NULL;
}

err edit_response_fields(const struct policy *policy, struct arena *arena, struct fields *fields)
{
    const struct conf_edit *edit;
    struct fields edited = *fields;
    unsigned at = 0;

    while ((edit = policy_response_edit(policy, &at)) != NULL)
        TRY(edit_apply(edit, arena, &edited));
    *fields = edited;
    return ERR_OK;
}

err edit_drop(struct arena *arena, enum field_id id, struct fields *fields)
{
    slice name = field_name_of(id);
    const struct conf_edit edit = {.remove = {.items = &name, .count = 1}};

    return fields_has(fields, id) ? edit_apply(&edit, arena, fields) : ERR_OK;
}
