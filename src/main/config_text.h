/* config_text: the texts that a configuration is made of: the file of --config with what it includes, and the tenants that
 * the API made. Changed by copies: a candidate is put together, read and checked, and takes the place of the one in force
 * or is dropped. */
#ifndef WARP_MAIN_CONFIG_TEXT_H
#define WARP_MAIN_CONFIG_TEXT_H

#include "conf/settings.h"
#include "main/control_keep.h"
#include "main/state.h"

struct api_tenant {
    char name[CONF_NAME_MAX + 1];
    char *text; /* the value of tenants.NAME */
    size_t len;
    char *left_out; /* why: the files leave no room for it; NULL: it is in the configuration */
};

struct config_text {
    char *base; /* a bundle of files; NULL: there is no file */
    size_t base_len;
    struct api_tenant *tenants; /* in the order of their names */
    unsigned tenant_count;
};

void config_text_done(struct config_text *text);
MUST_USE err config_text_copy(const struct config_text *text, struct config_text *ret_text);
/* What --config names, read now; path NULL: nothing. Problems are in report. The tenants stay as they are. */
MUST_USE err config_text_read_files(struct config_text *text, const char *path, struct conf_report *report);
/* The API's tenants of the state directory. A file that cannot be read is left out, and said. */
MUST_USE err config_text_read_state(struct config_text *text, const struct state *state);
/* What the state directory has to have of the API's tenants of `text`, where it has those of `before`. ERR_MEMORY. */
MUST_USE err config_text_keep(const struct config_text *text, const struct config_text *before, struct keep *keep);
MUST_USE err config_text_put(struct config_text *text, slice name, slice tenant);
/* False: the API has made none of that name. */
bool config_text_remove(struct config_text *text, slice name);
const struct api_tenant *config_text_tenant(const struct config_text *text, slice name);

/* What the process was started with. */
struct config_start {
    int argc; /* of `warp run` */
    char **argv;
    char *const *environment;
    char *path; /* of --config; NULL: none */
};
/* Reads it all. ERR_INVALID: report says what is wrong. */
MUST_USE err config_text_settings(const struct config_text *text, const struct config_start *start, struct conf_report *report,
                                  struct settings **ret_settings);
/* The same at the start: tenants of the API that the others leave no room for are left out of it, and kept. *report is one of its own
 * each time it is read. */
MUST_USE err config_text_fit(struct config_text *text, const struct config_start *start, struct conf_report **report,
                             struct settings **ret_settings);
/* Of those that are left out, whether all would fit now; then they are in it, and *settings is of all. */
MUST_USE err config_text_refit(struct config_text *text, const struct config_start *start, struct settings **settings);
/* Those that were left out and are in the state directory as they were, of a text that a version was made of. */
MUST_USE err config_text_keep_left_out(struct config_text *text, const struct config_text *before, const struct state *state);
/* A sentence of those that are left out; false: none is. */
bool config_text_left_out(const struct config_text *text, char *buffer, size_t size);
/* As one text, and back. free() it. */
MUST_USE err config_text_write(const struct settings *settings, char **ret_bytes, size_t *ret_len);
MUST_USE err config_text_of(slice bytes, struct conf_report *report, struct config_text *ret_text);

#endif
