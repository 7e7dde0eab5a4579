#include "main/config_text.h"

#include "base/log.h"
#include "main/commands.h"

#include <stdio.h>
#include <stdlib.h>

#define TENANTS_DIR "tenants"
#define SUFFIX      ".json"
#define PATH_BYTES  1024u

static void tenant_done(struct api_tenant *tenant)
{
    free(tenant->text);
    free(tenant->left_out);
}

void config_text_done(struct config_text *text)
{
    free(text->base);
    for (unsigned i = 0; i < text->tenant_count; i++)
        tenant_done(&text->tenants[i]);
    free(text->tenants);
    *text = (struct config_text){0};
}

MUST_USE static err bytes_copy(const char *bytes, size_t len, char **ret_copy)
{
    char *copy = malloc(len + 1);

    ENSURE(copy != NULL, MEMORY);
    if (len > 0)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    *ret_copy = copy;
    return ERR_OK;
}

/* Where it is, or belongs. */
static unsigned tenant_at(const struct config_text *text, slice name, bool *ret_found)
{
    unsigned at = 0;

    *ret_found = false;
    for (; at < text->tenant_count; at++) {
        slice other = slice_str(text->tenants[at].name);
        int order = memcmp(other.data, name.data, MIN(other.len, name.len));
        if (order == 0 && other.len == name.len) {
            *ret_found = true;
            break;
        }
        if (order > 0 || (order == 0 && other.len > name.len))
            break;
    }
    return at;
}

MUST_USE static err tenant_copy(const struct api_tenant *tenant, struct config_text *copy)
{
    bool found;

    TRY(config_text_put(copy, slice_str(tenant->name), slice_of(tenant->text, tenant->len)));
    if (tenant->left_out == NULL)
        return ERR_OK;
    return bytes_copy(tenant->left_out, strlen(tenant->left_out), &copy->tenants[tenant_at(copy, slice_str(tenant->name), &found)].left_out);
}

MUST_USE static err copy_fill(const struct config_text *text, struct config_text *copy)
{
    if (text->base != NULL)
        TRY(bytes_copy(text->base, text->base_len, &copy->base));
    copy->base_len = text->base_len;
    for (unsigned i = 0; i < text->tenant_count; i++)
        TRY(tenant_copy(&text->tenants[i], copy));
    return ERR_OK;
}

err config_text_copy(const struct config_text *text, struct config_text *ret_text)
{
    struct config_text copy = {0};
    err copied = copy_fill(text, &copy);

    if (err_is_ok(copied))
        *ret_text = copy;
    else
        config_text_done(&copy);
    return copied;
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

err config_text_read_files(struct config_text *text, const char *path, struct conf_report *report)
{
    struct conf_document *document;
    char *base = NULL;
    size_t len = 0;
    err read = ERR_OK;

    if (path != NULL) {
        TRY(conf_document_read(path, &command_source, report, &document));
        read = conf_report_is_clean(report) ? conf_bundle_write(document, &base, &len) : ERR(INVALID);
        conf_document_free(document);
    }
    if (!err_is_ok(read))
        return read;
    free(text->base);
    text->base = base;
    text->base_len = len;
    return ERR_OK;
}

/* ---- the API's tenants ---------------------------------------------------------------------------------------------- */

err config_text_put(struct config_text *text, slice name, slice tenant)
{
    bool found;
    unsigned at = tenant_at(text, name, &found);
    struct api_tenant *grown;
    char *copy;

    ENSURE(name.len > 0 && name.len <= CONF_NAME_MAX, INVALID);
    TRY(bytes_copy(tenant.data, tenant.len, &copy));
    if (found) {
        tenant_done(&text->tenants[at]);
        text->tenants[at].left_out = NULL;
    } else {
        grown = realloc(text->tenants, (text->tenant_count + 1) * sizeof(*grown));
        if (grown == NULL) {
            free(copy);
            return ERR(MEMORY);
        }
        text->tenants = grown;
        memmove(&grown[at + 1], &grown[at], (text->tenant_count - at) * sizeof(*grown));
        text->tenant_count++;
        grown[at] = (struct api_tenant){0};
        memcpy(grown[at].name, name.data, name.len);
    }
    text->tenants[at].text = copy;
    text->tenants[at].len = tenant.len;
    return ERR_OK;
}

bool config_text_remove(struct config_text *text, slice name)
{
    bool found;
    unsigned at = tenant_at(text, name, &found);

    if (!found)
        return false;
    tenant_done(&text->tenants[at]);
    text->tenant_count--;
    memmove(&text->tenants[at], &text->tenants[at + 1], (text->tenant_count - at) * sizeof(text->tenants[0]));
    return true;
}

const struct api_tenant *config_text_tenant(const struct config_text *text, slice name)
{
    bool found;
    unsigned at = tenant_at(text, name, &found);

    return found ? &text->tenants[at] : NULL;
}

static bool tenant_file(char file[KEEP_NAME_BYTES], const char *name)
{
    return (size_t)snprintf(file, KEEP_NAME_BYTES, TENANTS_DIR "/%s" SUFFIX, name) < KEEP_NAME_BYTES;
}

MUST_USE static err state_tenant_read(struct config_text *text, const struct state *state, const char *file_name)
{
    slice name = slice_str(file_name);
    char file[PATH_BYTES], *bytes;
    size_t len;
    err read;

    if (!slice_ends(name, SLICE(SUFFIX)))
        return ERR_OK;
    name.len -= sizeof(SUFFIX) - 1;
    snprintf(file, sizeof(file), TENANTS_DIR "/%s", file_name);
    read = state_read(state, file, &bytes, &len);
    if (!err_is_ok(read)) {
        log_warn("%s/%s: %s: the tenant is left out", state->dir, file, err_text(read));
        return ERR_OK;
    }
    read = config_text_put(text, name, slice_of(bytes, len));
    free(bytes);
    return read;
}

err config_text_read_state(struct config_text *text, const struct state *state)
{
    char **names;
    unsigned count;
    err read = ERR_OK;

    TRY(state_names(state, TENANTS_DIR, &names, &count));
    for (unsigned i = 0; i < count && err_is_ok(read); i++)
        read = state_tenant_read(text, state, names[i]);
    os_dir_names_free(names, count);
    return read;
}

static bool is_same(const struct api_tenant *a, const struct api_tenant *b)
{
    return a != NULL && b != NULL && slice_eq(slice_of(a->text, a->len), slice_of(b->text, b->len));
}

err config_text_keep(const struct config_text *text, const struct config_text *before, struct keep *keep)
{
    char file[KEEP_NAME_BYTES];

    for (unsigned i = 0; i < text->tenant_count; i++) {
        const struct api_tenant *tenant = &text->tenants[i];
        if (!is_same(tenant, config_text_tenant(before, slice_str(tenant->name))) && tenant_file(file, tenant->name))
            TRY(keep_put(keep, file, slice_of(tenant->text, tenant->len)));
    }
    for (unsigned i = 0; i < before->tenant_count; i++)
        if (config_text_tenant(text, slice_str(before->tenants[i].name)) == NULL && tenant_file(file, before->tenants[i].name))
            TRY(keep_drop(keep, file));
    return ERR_OK;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------ */

/* What problems call its text. */
static void tenant_path(const struct api_tenant *tenant, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "tenant %s (made by the API)", tenant->name);
}

MUST_USE static err document_base(const struct config_text *text, struct conf_report *report, struct conf_document **ret_document)
{
    if (text->base != NULL)
        return conf_bundle_read(slice_of(text->base, text->base_len), report, ret_document);
    return conf_document_parse("", SLICE(""), report, ret_document);
}

MUST_USE static err document_make(const struct config_text *text, struct conf_report *report, struct conf_document **ret_document)
{
    struct conf_document *document;
    err made = ERR_OK;

    TRY(document_base(text, report, &document));
    for (unsigned i = 0; i < text->tenant_count && err_is_ok(made); i++) {
        const struct api_tenant *tenant = &text->tenants[i];
        char path[PATH_BYTES];
        if (tenant->left_out != NULL)
            continue;
        tenant_path(tenant, path);
        made = conf_document_add_tenant(document, slice_str(tenant->name), path, slice_of(tenant->text, tenant->len), report);
    }
    if (err_is_ok(made))
        *ret_document = document;
    else
        conf_document_free(document);
    return made;
}

err config_text_settings(const struct config_text *text, const struct config_start *start, struct conf_report *report,
                         struct settings **ret_settings)
{
    struct conf_document *document;

    TRY(document_make(text, report, &document));
    return settings_of_document(start->argc, start->argv, start->environment, document, report, ret_settings);
}

/* ---- tenants that there is no room for --------------------------------------------------------------------------------- */

static const struct conf_problem *tenant_problem(const struct api_tenant *tenant, const struct conf_report *report)
{
    char path[PATH_BYTES];

    tenant_path(tenant, path);
    for (unsigned i = 0; i < report->count; i++)
        if (strcmp(report->problems[i].path, path) == 0)
            return &report->problems[i];
    return NULL;
}

/* Those that something is wrong with are left out. ERR_INVALID: none is the API's. */
MUST_USE static err leave_out(struct config_text *text, const struct conf_report *report)
{
    bool is_any = false;

    for (unsigned i = 0; i < text->tenant_count; i++) {
        struct api_tenant *tenant = &text->tenants[i];
        const struct conf_problem *problem = tenant->left_out == NULL ? tenant_problem(tenant, report) : NULL;
        if (problem == NULL)
            continue;
        if (asprintf(&tenant->left_out, "%s: %s", problem->where, problem->what) < 0) {
            tenant->left_out = NULL;
            return ERR(MEMORY);
        }
        is_any = true;
    }
    return is_any ? ERR_OK : ERR(INVALID);
}

err config_text_fit(struct config_text *text, const struct config_start *start, struct conf_report **report,
                    struct settings **ret_settings)
{
    for (;;) {
        err read = config_text_settings(text, start, *report, ret_settings);
        if (read.code != ERR_INVALID)
            return read;
        TRY(leave_out(text, *report));
        *report = conf_report_free(*report);
        TRY(conf_report_new(report));
    }
}

err config_text_refit(struct config_text *text, const struct config_start *start, struct settings **settings)
{
    struct conf_report *report = NULL;
    struct config_text all = {0};
    struct settings *fitting = NULL;
    err read;

    if (!config_text_left_out(text, NULL, 0))
        return ERR_OK;
    TRY(config_text_copy(text, &all));
    for (unsigned i = 0; i < all.tenant_count; i++) {
        free(all.tenants[i].left_out);
        all.tenants[i].left_out = NULL;
    }
    read = conf_report_new(&report);
    if (err_is_ok(read))
        read = config_text_settings(&all, start, report, &fitting);
    conf_report_free(report);
    if (err_is_ok(read)) {
        settings_free(*settings);
        *settings = fitting;
        config_text_done(text);
        *text = all;
        return ERR_OK;
    }
    config_text_done(&all);
    return read.code == ERR_INVALID ? ERR_OK : read;
}

err config_text_keep_left_out(struct config_text *text, const struct config_text *before, const struct state *state)
{
    struct config_text kept = {0};
    err result = config_text_read_state(&kept, state);

    for (unsigned i = 0; i < before->tenant_count && err_is_ok(result); i++) {
        const struct api_tenant *tenant = &before->tenants[i];
        if (tenant->left_out != NULL && config_text_tenant(text, slice_str(tenant->name)) == NULL &&
            is_same(tenant, config_text_tenant(&kept, slice_str(tenant->name))))
            result = tenant_copy(tenant, text);
    }
    config_text_done(&kept);
    return result;
}

bool config_text_left_out(const struct config_text *text, char *buffer, size_t size)
{
    const struct api_tenant *first = NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < text->tenant_count; i++) {
        if (text->tenants[i].left_out == NULL)
            continue;
        first = count++ == 0 ? &text->tenants[i] : first;
    }
    if (count == 0 || buffer == NULL)
        return count > 0;
    int len = snprintf(buffer, size, "tenant %s, made by the API, is left out, and kept: ", first->name);
    if (count > 1 && len > 0 && (size_t)len < size)
        len += snprintf(buffer + len, size - (size_t)len, "(and %u more) ", count - 1);
    if (len > 0 && (size_t)len < size)
        snprintf(buffer + len, size - (size_t)len, "%s", first->left_out);
    return true;
}

err config_text_write(const struct settings *settings, char **ret_bytes, size_t *ret_len)
{
    return conf_bundle_write(settings->document, ret_bytes, ret_len);
}

/* The files of a document come before the tenants that were added to it. */
MUST_USE static err text_of_document(struct conf_document *document, struct config_text *text)
{
    uint32_t count = document->file_count, files = 0;

    while (files < count && document->files[files].tenant.len == 0)
        files++;
    for (uint32_t i = files; i < count; i++)
        TRY(config_text_put(text, document->files[i].tenant, document->files[i].text));
    if (files == 0 || document->files[0].path[0] == '\0')
        return ERR_OK; /* there was no file */
    document->file_count = files;
    return conf_bundle_write(document, &text->base, &text->base_len);
}

err config_text_of(slice bytes, struct conf_report *report, struct config_text *ret_text)
{
    struct conf_document *document;
    struct config_text text = {0};
    err read;

    TRY(conf_bundle_read(bytes, report, &document));
    read = text_of_document(document, &text);
    conf_document_free(document);
    if (err_is_ok(read))
        *ret_text = text;
    else
        config_text_done(&text);
    return read;
}
