/* Where a setting was written: settings lead to texts, whose tree is gone, and is made again. */
#include "conf/config_internal.h"
#include "conf/settings.h"

#include <stdlib.h>

MUST_USE static err document_again(const struct conf_document *document, struct conf_document **ret_document)
{
    struct conf_report *report;
    char *bytes = NULL;
    size_t len;
    err read;

    TRY(conf_report_new(&report));
    read = conf_bundle_write(document, &bytes, &len);
    if (err_is_ok(read))
        read = conf_bundle_read(slice_of(bytes, len), report, ret_document);
    free(bytes);
    conf_report_free(report);
    return read;
}

static struct conf_document *places_document(struct settings_places *places)
{
    if (places->document == NULL && !err_is_ok(document_again(places->settings->document, &places->document)))
        places->document = NULL;
    return places->document;
}

void settings_places_done(struct settings_places *places)
{
    conf_document_free(places->document);
}

static const struct conf_node *node_in(const struct conf_node *node, const char *key)
{
    return node != NULL && node->kind == CONF_MAP ? conf_node_get(node, slice_str(key)) : NULL;
}

void settings_option_problem(struct settings_places *places, enum config_index option, const char *what)
{
    enum config_source source = (enum config_source)places->settings->set_by[option];
    const struct conf_document *document = source == FROM_FILE ? places_document(places) : NULL;
    const struct conf_node *node = document != NULL ? node_in(document->root, config_options[option].flag) : NULL;
    char name[CONFIG_NAME_BYTES];

    conf_report_add(places->report, node != NULL ? document : NULL, node != NULL ? node->mark : (struct conf_mark){0},
                    config_name_of(option, source, name), "%s", what);
}

/* An item of a list; of what is written as one alone, that. */
static const struct conf_node *item_at(const struct conf_node *list, uint32_t index)
{
    const struct conf_node *node = list != NULL && list->kind == CONF_LIST ? list->first : list;

    for (uint32_t i = 0; i < index && node != NULL; i++)
        node = node->next;
    return node;
}

static const struct conf_node *nearest(const struct conf_node *node, const struct conf_node *above)
{
    return node != NULL ? node : above;
}

void settings_tenant_problem(struct settings_places *places, const struct conf_tenant *tenant, const char *setting, uint32_t index,
                             const char *part, const char *what)
{
    const struct conf_path tenants = {.key = SLICE("tenants")}, name = {.up = &tenants, .key = tenant->name},
                           own = {.up = &name, .key = slice_str(setting)}, item = {.up = &own, .index = index, .is_item = true},
                           inner = {.up = &item, .key = slice_str(part)};
    const struct conf_document *again = places_document(places), *document = again != NULL ? again : places->settings->document;
    const struct conf_node *node = again != NULL ? node_in(again->tenants, tenant->name.data) : NULL, *found;

    found = nearest(node_in(node, setting), node);
    if (part != NULL && found != node)
        found = nearest(node_in(item_at(found, index), part), found);
    conf_path_problem(places->report, document, found != NULL ? found->mark : tenant->mark, part != NULL ? &inner : &own, "%s", what);
}
