/* document: a configuration as written: files of YAML, read into a tree of marked values, with what they include.
 *
 * A text means what it shows: anchors, aliases, tags, tabs, duplicate keys and second documents are refused, and there are
 * limits on everything, so that no text costs more than it is long. */
#ifndef WARP_CONF_DOCUMENT_H
#define WARP_CONF_DOCUMENT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/slice.h"

#define CONF_FILES_MAX       16384u
#define CONF_FILE_BYTES_MAX  (16u << 20)
#define CONF_BYTES_MAX       (128u << 20) /* of all files */
#define CONF_DEPTH_MAX       16u
#define CONF_INCLUDE_DEPTH_MAX 4u
#define CONF_PROBLEMS_MAX    100u

/* Where something stands; line and column from 1. line 0: nowhere (a flag, the environment). */
struct conf_mark {
    uint32_t line;
    uint16_t column, file;
};

enum conf_kind { CONF_NULL, CONF_SCALAR, CONF_LIST, CONF_MAP };

struct conf_node {
    struct conf_node *next;  /* the next item or entry */
    struct conf_node *first; /* of a list or a map */
    slice key;               /* of a map's entry */
    slice text;              /* of a scalar */
    struct conf_mark key_mark, mark;
    uint32_t count; /* of a list or a map */
    uint8_t kind;   /* enum conf_kind */
    bool is_quoted;
};

/* How files are read and found: the kernel's, or a test's. Both free() what they return. */
struct conf_source {
    err (*read)(const char *path, size_t max, char **ret_bytes, size_t *ret_len);
    /* The paths that match, sorted; none is fine for a pattern, not for a plain path. NULL-terminated, each free()d. */
    err (*glob)(const char *pattern, char ***ret_paths);
};

struct conf_file {
    const char *path;
    slice text; /* as read: a configuration can be kept and read again (conf_bundle) */
};

struct conf_document {
    struct arena *arena; /* of everything here */
    struct conf_file *files; /* the first one is that of --config */
    uint32_t file_count;
    struct conf_node *root; /* a map; the tops of all files in one, a list of included `tenants` maps joined */
};

/* ---- what is wrong with it -------------------------------------------------------------------------------------- */

struct conf_problem {
    const char *path; /* of the file; "" for a flag or the environment */
    struct conf_mark mark;
    const char *where; /* path.of.key: "tenants.shop.rules[2].ttl" */
    const char *what;  /* what is wrong; what is allowed */
};

/* All that is wrong, in the order of files and lines. */
struct conf_report {
    struct arena *arena;
    struct conf_problem problems[CONF_PROBLEMS_MAX];
    unsigned count;
    unsigned more; /* that found no room */
};
MUST_USE err conf_report_new(struct conf_report **ret_report);
struct conf_report *conf_report_free(struct conf_report *report);
void conf_report_add(struct conf_report *report, const struct conf_document *document, struct conf_mark mark, const char *where,
                     const char *format, ...) PRINTF(5, 6);
/* "FILE:LINE:COLUMN: path.of.key: what is wrong; what is allowed", a line each; in the report's memory. */
const char *conf_report_text(struct conf_report *report);

/* ---- reading ------------------------------------------------------------------------------------------------------ */

MUST_USE err conf_document_read(const char *path, const struct conf_source *source, struct conf_report *report,
                                struct conf_document **ret_document);
/* One text without includes. */
MUST_USE err conf_document_parse(const char *path, slice text, struct conf_report *report, struct conf_document **ret_document);
struct conf_document *conf_document_free(struct conf_document *document);

const struct conf_node *conf_node_get(const struct conf_node *map, slice key);

/* A document as one text, from which the same document can be read later, wherever the files are then: a version of the
 * configuration. free() it. */
MUST_USE err conf_bundle_write(const struct conf_document *document, char **ret_bytes, size_t *ret_len);
MUST_USE err conf_bundle_read(slice bytes, struct conf_report *report, struct conf_document **ret_document);

#endif
