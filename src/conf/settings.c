/* All that a configuration says, from its four sources. */
#include "conf/settings.h"

#include "conf/config_internal.h"
#include "conf/listen_clash.h"
#include "conf/walk.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the top of a file: options of config.h, and what is beside them ------------------------------------------ */

MUST_USE static err option_scalar(struct config_build *build, const struct conf_document *document, enum config_index option,
                                  const struct conf_node *node, const struct conf_path *path)
{
    char where[CONF_WHERE_BYTES];
    const struct config_place place = {.document = document, .mark = node->mark, .where = conf_path_text(path, where)};
    bool is_list = config_options[option].kind == KIND_LIST && !path->is_item;
    err result;

    if (node->is_bad)
        return ERR_OK;
    if (node->kind == CONF_NULL) {
        conf_path_problem(build->report, document, node->mark, path,
                          "has no value; write %s, or leave the line out for the default",
                          config_options[option].kind == KIND_SWITCH ? "true or false" : config_options[option].placeholder);
        return ERR_OK;
    }
    if (node->kind != CONF_SCALAR) {
        conf_path_problem(build->report, document, node->mark, path, "is a %s; write one value%s",
                          node->kind == CONF_LIST ? "list" : "mapping", is_list ? " or a list of them" : "");
        return ERR_OK;
    }
    result = config_set(build, option, FROM_FILE, node->text, &place);
    return result.code == ERR_INVALID ? ERR_OK : result;
}

MUST_USE static err option_read(struct config_build *build, const struct conf_document *document, enum config_index option,
                                const struct conf_node *node)
{
    const struct conf_path path = {.key = node->key};
    struct conf_path item = {.up = &path, .is_item = true};

    if (option == CONFIG_config_file) {
        conf_path_problem(build->report, document, node->key_mark, &path,
                          "a file cannot name another one so; write include: FILE");
        return ERR_OK;
    }
    if (node->kind != CONF_LIST || config_options[option].kind != KIND_LIST)
        return option_scalar(build, document, option, node, &path);
    if (node->count == 0 && !node->is_bad)
        conf_path_problem(build->report, document, node->mark, &path,
                          "is an empty list; write %s, or leave the line out for the default",
                          config_options[option].placeholder);
    for (const struct conf_node *at = node->first; at != NULL; at = at->next, item.index++)
        TRY(option_scalar(build, document, option, at, &item));
    return ERR_OK;
}

static void root_unknown(struct conf_walk *walk, const struct conf_node *node)
{
    const char *words[CONFIG_OPTION_COUNT + 8], *nearest;
    const struct conf_path path = {.key = node->key};
    char word[CONF_QUOTED_BYTES];
    unsigned count = 0;

    INVARIANT(conf_root_table.count <= 8);
    if (!conf_report_has_room(walk->report)) {
        walk->report->more++;
        return;
    }
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        words[count++] = config_options[i].flag;
    for (unsigned i = 0; i < conf_root_table.count; i++)
        words[count++] = conf_root_table.options[i].name;
    snprintf(word, sizeof(word), SLICE_FMT, (int)MIN(node->key.len, sizeof(word)), node->key.data);
    nearest = config_nearest_of(word, words, count);
    if (nearest != NULL)
        conf_path_problem(walk->report, walk->document, node->key_mark, &path, "unknown setting; did you mean %s?", nearest);
    else
        conf_path_problem(
            walk->report, walk->document, node->key_mark, &path,
            "unknown setting; there are the flags that warp help lists, include, default-tenant, trusted-proxies and tenants");
}

MUST_USE static err root_read(struct conf_walk *walk, struct config_build *build, struct settings *settings)
{
    conf_walk_defaults(walk, &conf_root_table, settings);
    for (const struct conf_node *node = walk->document->root->first; node != NULL; node = node->next) {
        const struct conf_option *option = conf_option_find(&conf_root_table, node->key);
        enum config_index flag = config_option_find(node->key);
        struct conf_path path = {.key = node->key};

        if (flag != CONFIG_OPTION_COUNT)
            TRY(option_read(build, walk->document, flag, node));
        else if (option != NULL)
            conf_walk_option(walk, option, node, &path, settings);
        else
            root_unknown(walk, node);
    }
    return walk->is_out_of_memory ? ERR(MEMORY) : ERR_OK;
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

struct sources {
    int argc;
    char *const *argv;
    char *const *environment;
};

MUST_USE static err build_begin(struct config_build *build, const struct sources *sources, struct conf_report *report)
{
    TRY(config_begin(build, report));
    err result = config_read_flags(build, sources->argc, sources->argv);
    if (err_is_ok(result))
        result = config_read_environment(build, sources->environment);
    if (!err_is_ok(result))
        config_done(&build->config);
    return result;
}

/* document is in the settings, which the caller frees. */
MUST_USE static err settings_fill(struct settings *settings, struct config_build *build)
{
    struct conf_walk walk = {.document = settings->document, .report = build->report};
    struct conf_document *document = settings->document;
    err result;

    if (document->tenants != NULL) { /* some may have been added one by one */
        static const struct conf_path path = {.key = {"tenants", 7}};
        document->tenants_end = NULL;
        TRY(conf_map_unique(document->tenants, &path, document, build->report));
    }
    result = root_read(&walk, build, settings);
    settings->document = document; /* the walk began with a clean struct */
    TRY(result);
    return config_read_defaults(build);
}

/* The machine has memory, the limit for a configuration is reached: that is no failure but a problem of the configuration. */
static bool is_too_much(const struct conf_document *document, err result)
{
    return result.code == ERR_MEMORY && MAX(document->arena->taken_bytes, document->nodes->taken_bytes) > document->arena->limit_bytes / 2;
}

/* What is wrong with a part may be right in the whole. */
MUST_USE static err part_check(struct settings *settings)
{
    struct conf_report *report;

    TRY(conf_report_new(&report));
    err result = settings_check(settings, report);
    settings->is_lacking = !conf_report_is_clean(report);
    conf_report_free(report);
    return result;
}

/* build is taken over into the settings. */
MUST_USE static err settings_make(struct config_build *build, struct conf_document *document, bool is_part, struct settings **ret_settings)
{
    struct settings *settings = calloc(1, sizeof(*settings));
    err result = settings != NULL ? ERR_OK : ERR(MEMORY);

    if (settings == NULL) {
        conf_document_free(document);
        config_done(&build->config);
        return result;
    }
    settings->document = document;
    result = settings_fill(settings, build);
    settings->config = build->config;
    settings->unknown_variable = build->unknown_variable;
    memcpy(settings->set_by, build->set_by, sizeof(settings->set_by));
    /* What a cut text lacks would be missed here. */
    if (err_is_ok(result) && !document->is_cut) {
        listen_check(build, document);
        result = is_part ? part_check(settings) : settings_check(settings, build->report);
    }
    if (is_too_much(document, result)) {
        conf_report_add(build->report, document, document->root->mark, "yaml", "all settings together take more than 1 GiB of memory; write less");
        result = ERR(INVALID);
    }
    conf_report_sort(build->report);
    if (err_is_ok(result) && !conf_report_is_clean(build->report))
        result = ERR(INVALID);
    if (err_is_ok(result)) {
        conf_document_trim(document);
        *ret_settings = settings;
    } else {
        settings_free(settings);
    }
    return result;
}

err settings_of_document(int argc, char *const *argv, char *const *environment, struct conf_document *document,
                         struct conf_report *report, struct settings **ret_settings)
{
    const struct sources sources = {.argc = argc, .argv = argv, .environment = environment};
    struct config_build build;
    err result = build_begin(&build, &sources, report);

    if (err_is_ok(result))
        return settings_make(&build, document, false, ret_settings);
    conf_document_free(document);
    return result;
}

MUST_USE static err document_find(const char *path, const struct conf_source *source, struct conf_report *report,
                                  struct conf_document **ret_document)
{
    return path != NULL ? conf_document_read(path, source, report, ret_document) : conf_document_new(ret_document);
}

err settings_read(int argc, char *const *argv, char *const *environment, const struct conf_source *source,
                  struct conf_report *report, struct settings **ret_settings)
{
    const struct sources sources = {.argc = argc, .argv = argv, .environment = environment};
    struct conf_document *document;
    struct config_build build;
    err result;

    TRY(build_begin(&build, &sources, report));
    result = document_find(build.config.config_file, source, report, &document);
    if (err_is_ok(result))
        return settings_make(&build, document, source->is_part, ret_settings);
    config_done(&build.config);
    return result;
}

err settings_file(int argc, char *const *argv, char *const *environment, char **ret_path)
{
    const struct sources sources = {.argc = argc, .argv = argv, .environment = environment};
    struct conf_report *report;
    struct config_build build;
    err result;

    TRY(conf_report_new(&report));
    result = build_begin(&build, &sources, report);
    if (err_is_ok(result)) {
        const char *path = build.config.config_file;
        *ret_path = path != NULL ? strdup(path) : NULL;
        if (path != NULL && *ret_path == NULL)
            result = ERR(MEMORY);
        config_done(&build.config);
    }
    conf_report_free(report);
    return result;
}

struct settings *settings_free(struct settings *settings)
{
    if (settings == NULL)
        return NULL;
    conf_document_free(settings->document);
    config_done(&settings->config);
    free(settings);
    return NULL;
}

/* ---- one tenant ---------------------------------------------------------------------------------------------- */

MUST_USE static err tenant_read(struct conf_document *document, slice name, const char *path, slice text,
                                struct conf_report *report, struct conf_tenant **ret_tenant)
{
    const struct conf_path tenants = {.key = SLICE("tenants")};
    struct conf_path own = {.up = &tenants};
    struct conf_walk walk = {.document = document, .report = report};
    struct conf_tenant *tenant = arena_zalloc(document->arena, sizeof(*tenant));
    const struct conf_node *node;

    ENSURE(tenant != NULL, MEMORY);
    TRY(conf_document_add_tenant(document, name, path, text, report));
    node = document->tenants->first;
    own.key = node->key;
    conf_walk_tenant(&walk, node, &own, tenant);
    conf_tenant_check(document, tenant, report);
    ENSURE(!walk.is_out_of_memory, MEMORY);
    ENSURE(conf_report_is_clean(report), INVALID);
    *ret_tenant = tenant;
    return ERR_OK;
}

err settings_tenant_read(slice name, const char *path, slice text, struct conf_report *report,
                         struct conf_document **ret_document, struct conf_tenant **ret_tenant)
{
    struct conf_document *document;
    err result;

    TRY(conf_document_new(&document));
    result = tenant_read(document, name, path, text, report, ret_tenant);
    conf_report_sort(report);
    if (err_is_ok(result))
        *ret_document = document;
    else
        conf_document_free(document);
    return result;
}
