/* walk: a document's tree into the structs of settings.h, by the tables of schema.h. */
#ifndef WARP_CONF_WALK_H
#define WARP_CONF_WALK_H

#include "conf/document_own.h"
#include "conf/schema.h"

#define CONF_WHY_BYTES 256u

struct conf_walk {
    struct conf_document *document; /* its arena holds what is made */
    struct conf_report *report;
    bool is_out_of_memory;
};

/* The settings of one mapping, with the defaults of those that are not there. Problems are in the report; what has one is as
 * if it were not there, but counts as given. */
void conf_walk_table(struct conf_walk *walk, const struct conf_table *table, const struct conf_node *map,
                     const struct conf_path *path, void *ret_struct);
/* One setting of it; path is that of the setting. */
void conf_walk_option(struct conf_walk *walk, const struct conf_option *option, const struct conf_node *node,
                      const struct conf_path *path, void *ret_struct);
void conf_walk_defaults(struct conf_walk *walk, const struct conf_table *table, void *ret_struct);
/* An entry of tenants. */
void conf_walk_tenant(struct conf_walk *walk, const struct conf_node *node, const struct conf_path *path,
                      struct conf_tenant *ret_tenant);

/* What the settings of a tenant cannot be together, and those of its rules. */
void conf_tenant_check(const struct conf_document *document, const struct conf_tenant *tenant, struct conf_report *report);

/* ---- one value (values.c, values_http.c, values_net.c) -------------------------------------------------------- */

/* A scalar, and the room for what is wrong with it. */
struct conf_scalar {
    struct conf_walk *walk;
    slice text;
    struct conf_mark mark;
    char why[CONF_WHY_BYTES]; /* "is not ...; write ..." */
};

/* Into *ret_value, of conf_types[type].size. False: why is written. */
MUST_USE bool conf_value_parse(enum conf_type type, struct conf_scalar *scalar, void *ret_value);
/* "name: scalar" of the kind ENTRY; false: which of them, and why. */
MUST_USE bool conf_entry_parse(enum conf_type type, slice name, struct conf_scalar *scalar, void *ret_value, bool *ret_is_name);
/* Writes why, and returns false. */
bool conf_because(struct conf_scalar *scalar, const char *format, ...) PRINTF(2, 3);
/* "is no such thing; write WHAT IS ALLOWED". */
bool conf_not(struct conf_scalar *scalar, const char *what, enum conf_type type);

bool conf_host_parse(struct conf_scalar *scalar, slice *ret_host);
bool conf_origin_check(struct conf_scalar *scalar);
bool conf_range_parse(struct conf_scalar *scalar, struct conf_range *ret_range);
bool conf_path_check(struct conf_scalar *scalar);
MUST_USE bool conf_stars_check(struct conf_scalar *scalar); /* of a pattern */
bool conf_method_check(struct conf_scalar *scalar);
bool conf_field_check(struct conf_scalar *scalar, slice name);
/* Not one that WARP writes itself. */
bool conf_edit_field_check(struct conf_scalar *scalar, slice name);
bool conf_field_value_check(struct conf_scalar *scalar);
bool conf_param_check(struct conf_scalar *scalar, slice name, bool may_end_in_star);
/* A copy in lower case; the text itself where it is that already. data NULL: no memory. */
slice conf_lower(struct conf_walk *walk, slice text);

#endif
