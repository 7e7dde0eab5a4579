/* What the files of conf share about documents: paths of keys, and a document that is being put together. */
#ifndef WARP_CONF_DOCUMENT_OWN_H
#define WARP_CONF_DOCUMENT_OWN_H

#include "conf/document.h"

#define CONF_WHERE_BYTES     256u
#define CONF_WHAT_BYTES      512u
#define CONF_QUOTED_BYTES    72u
#define CONF_DOCUMENT_MEMORY (1u << 30) /* texts apart */

/* From the top to a key, innermost first; on the stack of whoever walks. NULL: the top itself. */
struct conf_path {
    const struct conf_path *up;
    slice key;
    uint32_t index;
    bool is_item; /* [index] instead of .key */
};
/* "tenants.shop.rules[2].ttl", cut where it is too long; returns buffer. */
const char *conf_path_text(const struct conf_path *path, char buffer[CONF_WHERE_BYTES]);
/* conf_report_add with such a path; the top is called "yaml". */
void conf_path_problem(struct conf_report *report, const struct conf_document *document, struct conf_mark mark,
                       const struct conf_path *path, const char *format, ...) PRINTF(5, 6);
/* A problem more would be kept: whoever has to search for words for it looks here first. */
static inline bool conf_report_has_room(const struct conf_report *report)
{
    return report->count < CONF_PROBLEMS_MAX;
}
/* "FILE:LINE:COLUMN" in buffer. */
const char *conf_mark_text(const struct conf_document *document, struct conf_mark mark, char *buffer, size_t size);
/* Text in quotes for a message, made safe and short; returns buffer. */
const char *conf_quoted(slice text, char buffer[CONF_QUOTED_BYTES]);

MUST_USE err conf_document_new(struct conf_document **ret_document);
/* Takes over text (malloc's), also when it fails. */
MUST_USE err conf_document_add_file(struct conf_document *document, const char *path, char *text, size_t len,
                                    uint16_t *ret_file);
/* Reads the text of a file that was added; path: what its top is in the whole. *ret_top NULL: nothing is in it, or nothing could be read (is_cut). */
MUST_USE err conf_yaml_read(struct conf_document *document, uint16_t file, const struct conf_path *path,
                            struct conf_report *report, struct conf_node **ret_top);
/* Takes entries out of a map whose key another one before them has, and reports both places. */
MUST_USE err conf_map_unique(struct conf_node *map, const struct conf_path *path, const struct conf_document *document,
                             struct conf_report *report);
/* Reads the text of a file that was added, and moves the entries of its top into the root. *ret_include: what it includes,
 * or NULL. */
MUST_USE err conf_document_join_file(struct conf_document *document, uint16_t file, struct conf_report *report,
                                     const struct conf_node **ret_include);
/* The same of a text that is the value of tenants.NAME. ERR_INVALID: nothing was added. */
MUST_USE err conf_document_join_tenant(struct conf_document *document, uint16_t file, struct conf_report *report);
/* After the last of them: what stands in two files. */
MUST_USE err conf_document_unique(struct conf_document *document, struct conf_report *report);

#endif
