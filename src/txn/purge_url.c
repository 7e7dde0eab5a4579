#include "txn/purge_url.h"

#include "cache/key.h"
#include "cache/vary.h"
#include "tenant/query.h"

/* What a GET without fields, of nobody, would be. */
static const struct policy *policy_of(struct arena *arena, const struct tenant *tenant, const struct purge_url *url, bool https)
{
    struct request get = {.method = METHOD_GET,
                          .method_name = SLICE("GET"),
                          .authority = url->authority,
                          .target = url->target,
                          .https = https,
                          .minor = 1};
    struct tenant_client nobody = {.is_local = true};

    fields_init(&get.fields, arena);
    return tenant_explain(tenant, &get, &nobody, arena);
}

/* The variants that the marker under the primary key knows, where it is in RAM. */
static void variants_of(struct storage *storage, struct loop *loop, struct arena *arena, struct purge_url_form *form)
{
    struct store_lookup lookup = {.key = form->key, .peek = true, .at_hand = true};
    struct vary_marker marker;
    hash128 *hashes = NULL;

    lookup.op.loop = loop;
    lookup.op.done = store_op_ignored;
    if (storage_lookup(storage, &lookup) == STORE_PENDING) {
        storage_cancel(&lookup.op);
        return;
    }
    if (lookup.object == NULL)
        return;
    if (lookup.object->kind == STORE_VARY && err_is_ok(vary_marker_view(lookup.object->meta, &marker)) && marker.variant_count > 0) {
        hashes = arena_alloc(arena, marker.variant_count * sizeof(*hashes));
        if (hashes != NULL) {
            memcpy(hashes, marker.variants, marker.variant_count * sizeof(*hashes));
            form->others = hashes;
            form->other_count = marker.variant_count;
        }
    }
    store_object_unref(lookup.object);
}

MUST_USE static err form_add(struct storage *storage, struct loop *loop, struct arena *arena, const struct key_parts *parts, bool keys_are_all,
                             struct purge_url_forms *forms)
{
    struct purge_url_form *form = &forms->form[forms->count];
    slice key;

    ENSURE(forms->count < PURGE_URL_FORMS_MAX, LIMIT);
    *form = (struct purge_url_form){.target = parts->target, .keys_are_all = keys_are_all};
    TRY(key_url(arena, parts, &form->url));
    TRY(key_build(arena, parts, &key));
    form->key = storage_key(storage, key);
    variants_of(storage, loop, arena, form);
    forms->count++;
    return ERR_OK;
}

static bool is_new_target(const struct purge_url_forms *forms, unsigned first, slice target)
{
    for (unsigned i = first; i < forms->count; i++)
        if (slice_eq(forms->form[i].target, target))
            return false;
    return true;
}

/* first: the scheme's first form. */
MUST_USE static err rules_add(struct storage *storage, struct loop *loop, struct arena *arena, const struct tenant *tenant, slice target,
                              struct key_parts *parts, unsigned first, struct purge_url_forms *forms)
{
    const struct conf_tenant *conf = tenant->conf;

    for (uint32_t i = 0; tenant->rules != NULL && i < conf->rules.count; i++) {
        if (!CONF_GIVEN(conf->rules.items[i].given, CONF_RULE_key))
            continue;
        parts->target = query_rewrite(arena, target, &conf->rules.items[i].key);
        ENSURE(parts->target.data != NULL, MEMORY);
        if (is_new_target(forms, first, parts->target))
            TRY(form_add(storage, loop, arena, parts, false, forms));
    }
    return ERR_OK;
}

MUST_USE static err scheme_add(struct storage *storage, struct loop *loop, struct arena *arena, const struct tenant *tenant, const struct purge_url *url,
                               bool https, struct purge_url_forms *forms)
{
    const struct policy *policy = policy_of(arena, tenant, url, https);
    unsigned first = forms->count;
    struct key_parts parts = {.tenant = tenant->id,
                              .rules = tenant->generation,
                              .https = https,
                              .authority = url->authority,
                              .target = url->target};

    ENSURE(policy != NULL, MEMORY);
    parts.extra = policy->key_extra;
    TRY(form_add(storage, loop, arena, &parts, tenant->rules == NULL, forms));
    return rules_add(storage, loop, arena, tenant, url->target, &parts, first, forms);
}

err purge_url_forms(struct storage *storage, struct loop *loop, struct arena *arena, const struct tenant *tenant, const struct purge_url *url,
                    struct purge_url_forms *ret_forms)
{
    ret_forms->count = 0;
    if (url->http)
        TRY(scheme_add(storage, loop, arena, tenant, url, false, ret_forms));
    if (url->https)
        TRY(scheme_add(storage, loop, arena, tenant, url, true, ret_forms));
    return ERR_OK;
}

void purge_url_add(struct purge_batch *batch, const struct tenant *tenant, const struct purge_url_forms *forms, bool soft)
{
    for (unsigned i = 0; i < forms->count; i++) {
        const struct purge_url_form *form = &forms->form[i];
        struct store_purge *purge = purge_batch_add(batch, tenant->id, STORE_LABEL_URL, form->url, soft);
        purge->key = form->key;
        purge->others = form->others;
        purge->other_count = form->other_count;
        purge->keys_are_all = form->keys_are_all;
    }
}
