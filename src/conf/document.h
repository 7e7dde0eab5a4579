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
#define CONF_NODES_MAX       (4u << 20)
#define CONF_SCALAR_BYTES_MAX (64u << 10)
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
    slice key;               /* of a map's entry; goes with the node */
    slice text;              /* of a scalar; a NUL follows */
    struct conf_mark key_mark, mark;
    uint32_t count; /* of a list or a map */
    uint8_t kind;   /* enum conf_kind */
    bool is_quoted;
    bool is_bad; /* what is wrong with it is in the report; it says nothing */
};

/* How files are read and found: the kernel's, or a test's. What they return is free()d. */
struct conf_source {
    err (*read)(const char *path, size_t max, char **ret_bytes, size_t *ret_len);
    /* The paths that match, sorted; none is fine for a pattern, not for a plain path. NULL-terminated, each free()d. */
    err (*glob)(const char *pattern, char ***ret_paths);
    /* The one name that a file has however it is reached; NULL: it has none. May be NULL: paths are as they are. */
    char *(*name)(const char *path);
    /* There may be more elsewhere: what only the whole can show is no problem here (settings.is_lacking). */
    bool is_part;
};

struct conf_file {
    const char *path;
    slice text; /* as read: a configuration can be kept and read again (conf_bundle) */
    slice tenant; /* the text is the value of tenants.NAME alone; empty: a file as --config takes it */
};

struct conf_document {
    struct arena *arena; /* of everything here but nodes */
    struct arena *nodes;
    struct conf_file *files; /* the first one is that of --config */
    uint32_t file_count, file_room, node_count;
    uint64_t text_bytes;    /* of all files */
    struct conf_node *root; /* a map; the tops of all files in one, their `tenants` maps joined; include is the first file's */
    struct conf_node *tenants, **root_end, **tenants_end; /* for what is joined next; ends NULL: to be looked for */
    bool is_cut;            /* a file, or the end of one, could not be read: what is not there is not missing */
};

/* The tree is not needed any more: its memory goes, while texts stay that settings made of it lead to. */
void conf_document_trim(struct conf_document *document);

/* ---- what is wrong with it -------------------------------------------------------------------------------------- */

struct conf_problem {
    const char *path; /* of the file; "" for a flag or the environment */
    struct conf_mark mark;
    const char *where; /* path.of.key: "tenants.shop.rules[2].ttl" */
    const char *what;  /* what is wrong; what is allowed */
};

/* All that is wrong; conf_report_sort brings it in the order of files and lines. */
struct conf_report {
    struct arena *arena;
    struct conf_problem problems[CONF_PROBLEMS_MAX];
    unsigned count;
    unsigned more; /* that found no room */
};
MUST_USE err conf_report_new(struct conf_report **ret_report);
static inline bool conf_report_is_clean(const struct conf_report *report)
{
    return report->count == 0;
}
struct conf_report *conf_report_free(struct conf_report *report);
void conf_report_add(struct conf_report *report, const struct conf_document *document, struct conf_mark mark, const char *where,
                     const char *format, ...) PRINTF(5, 6);
void conf_report_sort(struct conf_report *report);
/* "FILE:LINE:COLUMN: path.of.key: what is wrong; what is allowed", a line each; in the report's memory. */
const char *conf_report_text(struct conf_report *report);

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/* All three: ERR_INVALID only where there is nothing to look at. Else there is a document, even when the report has
 * problems: others may be found in what could be read. */

/* path, and what it includes. */
MUST_USE err conf_document_read(const char *path, const struct conf_source *source, struct conf_report *report,
                                struct conf_document **ret_document);
/* One text without includes; an empty one makes an empty document. */
MUST_USE err conf_document_parse(const char *path, slice text, struct conf_report *report, struct conf_document **ret_document);
/* A text more, which is the value of tenants.NAME: YAML, or JSON, which is YAML. ERR_INVALID: nothing was added. */
MUST_USE err conf_document_add_tenant(struct conf_document *document, slice name, const char *path, slice text,
                                      struct conf_report *report);
struct conf_document *conf_document_free(struct conf_document *document);

const struct conf_node *conf_node_get(const struct conf_node *map, slice key);

/* A document as one text, from which the same document can be read later, wherever the files are then: a version of the
 * configuration (docs/formats/config-bundle.md). free() it. */
MUST_USE err conf_bundle_write(const struct conf_document *document, char **ret_bytes, size_t *ret_len);
/* ERR_CORRUPT: it is not what was written. Else as conf_document_read. */
MUST_USE err conf_bundle_read(slice bytes, struct conf_report *report, struct conf_document **ret_document);

#endif
