/* A configuration as a whole: its files, what they include, and their tops in one. */
#include "conf/document_own.h"

#include "base/hash.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define VISITED_SLOTS    (2 * CONF_FILES_MAX) /* a power of two */
#define PATH_BYTES_MAX   4096u
#define PATH_SHOWN_BYTES 320u

static_assert(CONF_FILES_MAX < UINT16_MAX && (VISITED_SLOTS & (VISITED_SLOTS - 1)) == 0, "slots hold file + 1");

/* ---- a document ---------------------------------------------------------------------------------------------- */

err conf_document_new(struct conf_document **ret_document)
{
    struct conf_document *document = calloc(1, sizeof(*document));
    struct arena *arena = malloc(2 * sizeof(*arena));

    if (document == NULL || arena == NULL) {
        free(document);
        free(arena);
        return ERR(MEMORY);
    }
    document->arena = &arena[0];
    document->nodes = &arena[1];
    arena_init(document->arena, NULL, 0, CONF_DOCUMENT_MEMORY);
    arena_init(document->nodes, NULL, 0, CONF_DOCUMENT_MEMORY);
    document->root = arena_zalloc(document->nodes, sizeof(*document->root));
    if (document->root == NULL) {
        conf_document_free(document);
        return ERR(MEMORY);
    }
    document->root->kind = CONF_MAP;
    document->root->mark = (struct conf_mark){.line = 1, .column = 1};
    *ret_document = document;
    return ERR_OK;
}

struct conf_document *conf_document_free(struct conf_document *document)
{
    if (document == NULL)
        return NULL;
    for (uint32_t i = 0; i < document->file_count; i++)
        free((char *)document->files[i].text.data);
    free(document->files);
    arena_done(document->nodes);
    arena_done(document->arena);
    free(document->arena); /* both */
    free(document);
    return NULL;
}

void conf_document_trim(struct conf_document *document)
{
    document->root = document->tenants = NULL;
    document->root_end = document->tenants_end = NULL;
    arena_done(document->nodes);
}

MUST_USE static err files_grow(struct conf_document *document)
{
    uint32_t room = document->file_room == 0 ? 4 : 2 * document->file_room;
    struct conf_file *files = realloc(document->files, room * sizeof(*files));

    ENSURE(files != NULL, MEMORY);
    document->files = files;
    document->file_room = room;
    return ERR_OK;
}

err conf_document_add_file(struct conf_document *document, const char *path, char *text, size_t len, uint16_t *ret_file)
{
    slice kept = arena_printf(document->arena, "%s", path);
    err result = kept.data != NULL ? ERR_OK : ERR(MEMORY);

    if (err_is_ok(result) && document->file_count == document->file_room)
        result = files_grow(document);
    if (!err_is_ok(result)) {
        free(text);
        return result;
    }
    INVARIANT(document->file_count < UINT16_MAX);
    document->files[document->file_count] = (struct conf_file){.path = kept.data, .text = slice_of(text, len)};
    document->text_bytes += len;
    *ret_file = (uint16_t)document->file_count++;
    return ERR_OK;
}

const struct conf_node *conf_node_get(const struct conf_node *map, slice key)
{
    for (const struct conf_node *node = map->kind == CONF_MAP ? map->first : NULL; node != NULL; node = node->next)
        if (slice_eq(node->key, key))
            return node;
    return NULL;
}

/* ---- several tops in one ------------------------------------------------------------------------------------- */

static struct conf_node **end_of(struct conf_node *map)
{
    struct conf_node **end = &map->first;

    while (*end != NULL)
        end = &(*end)->next;
    return end;
}

static void entry_append(struct conf_node *map, struct conf_node ***end, struct conf_node *entry)
{
    if (*end == NULL)
        *end = end_of(map);
    entry->next = NULL;
    **end = entry;
    *end = &entry->next;
    map->count++;
}

static void tenants_join(struct conf_document *document, struct conf_node *tenants, struct conf_report *report)
{
    struct conf_path path = {.key = tenants->key};

    if (tenants->is_bad) {
        document->is_cut = true;
    } else if (tenants->kind != CONF_MAP) {
        document->is_cut = true;
        conf_path_problem(report, document, tenants->mark, &path,
                          "is not a mapping; write the names of tenants, and below each what it has");
    } else if (document->tenants == NULL) {
        document->tenants = tenants;
        entry_append(document->root, &document->root_end, tenants);
    } else {
        for (struct conf_node *entry = tenants->first, *next; entry != NULL; entry = next) {
            next = entry->next;
            entry_append(document->tenants, &document->tenants_end, entry);
        }
    }
}

static void document_join(struct conf_document *document, struct conf_node *top, struct conf_report *report)
{
    if (top == NULL)
        return;
    document->is_cut |= top->is_bad;
    if (top->kind == CONF_NULL || top->is_bad)
        return;
    if (top->kind != CONF_MAP) {
        conf_path_problem(report, document, top->mark, NULL,
                          "the file is not a mapping; write one setting a line, such as cache-size: 2g");
        document->is_cut = true;
        return;
    }
    for (struct conf_node *entry = top->first, *next; entry != NULL; entry = next) {
        next = entry->next;
        if (slice_eq(entry->key, SLICE("tenants")))
            tenants_join(document, entry, report);
        else if (entry->mark.file > 0 && slice_eq(entry->key, SLICE("include")))
            continue; /* each file has its own, which is followed and done with */
        else
            entry_append(document->root, &document->root_end, entry);
    }
}

/* Of all files together: each of them alone was looked at already. */
err conf_document_unique(struct conf_document *document, struct conf_report *report)
{
    static const struct conf_path tenants = {.key = {"tenants", 7}};

    TRY(conf_map_unique(document->root, NULL, document, report));
    document->root_end = document->tenants_end = NULL;
    return document->tenants != NULL ? conf_map_unique(document->tenants, &tenants, document, report) : ERR_OK;
}

err conf_document_join_file(struct conf_document *document, uint16_t file, struct conf_report *report,
                            const struct conf_node **ret_include)
{
    struct conf_node *top;

    TRY(conf_yaml_read(document, file, NULL, report, &top));
    *ret_include = top != NULL && !top->is_bad ? conf_node_get(top, SLICE("include")) : NULL;
    document_join(document, top, report);
    return ERR_OK;
}

/* Below tenants, which is made where there is none. */
MUST_USE static err tenants_make(struct conf_document *document)
{
    struct conf_node *tenants;

    if (document->tenants != NULL)
        return ERR_OK;
    tenants = arena_zalloc(document->nodes, sizeof(*tenants));
    ENSURE(tenants != NULL, MEMORY);
    tenants->kind = CONF_MAP;
    tenants->key = SLICE("tenants");
    document->tenants = tenants;
    entry_append(document->root, &document->root_end, tenants);
    return ERR_OK;
}

err conf_document_join_tenant(struct conf_document *document, uint16_t file, struct conf_report *report)
{
    const struct conf_path tenants = {.key = SLICE("tenants")}, path = {.up = &tenants, .key = document->files[file].tenant};
    bool was_cut = document->is_cut, is_cut;
    struct conf_node *top;

    document->is_cut = false;
    TRY(conf_yaml_read(document, file, &path, report, &top));
    is_cut = document->is_cut;
    document->is_cut |= was_cut;
    if (top == NULL && !is_cut)
        conf_path_problem(report, document, (struct conf_mark){.line = 1, .column = 1, .file = file}, &path,
                          "has no value; write a mapping, such as hosts: www.example");
    ENSURE(top != NULL && !top->is_bad, INVALID);
    TRY(tenants_make(document));
    top->key = document->files[file].tenant;
    top->key_mark = top->mark;
    entry_append(document->tenants, &document->tenants_end, top);
    return ERR_OK;
}

/* ---- files and what they include ----------------------------------------------------------------------------- */

struct include {
    struct include *next;
    const char *path;
    struct conf_mark mark; /* where it was asked for */
    uint16_t from;
    uint8_t depth;
};

struct files {
    struct conf_document *document;
    const struct conf_source *source;
    struct conf_report *report;
    struct include *first, **end;      /* to be read, in the arena */
    uint16_t slots[VISITED_SLOTS];     /* by hash of the name: file + 1; 0: free */
    const char *names[CONF_FILES_MAX]; /* the one that a file has */
    uint16_t from[CONF_FILES_MAX];     /* who included it; itself: nobody */
};

#define INCLUDE_KEY (&(const struct conf_path){.key = {"include", 7}})

PRINTF(3, 4) static void include_problem(struct files *files, const struct include *include, const char *format, ...)
{
    char what[CONF_WHAT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    conf_path_problem(files->report, files->document, include->mark, INCLUDE_KEY, "%s", what);
    files->document->is_cut = true;
}

/* Whole: the end of a path says more than its beginning. */
static const char *path_quoted(const char *path, char buffer[PATH_SHOWN_BYTES])
{
    size_t len;

    buffer[0] = '"';
    log_safe(slice_str(path), buffer + 1, PATH_SHOWN_BYTES - 2);
    len = strlen(buffer);
    buffer[len] = '"';
    buffer[len + 1] = '\0';
    return buffer;
}

/* The slot of a file that was read already, or a free one. */
static uint16_t *slot_of(struct files *files, const char *name)
{
    size_t at = hash64(slice_str(name), 0);

    for (;; at++) {
        uint16_t *slot = &files->slots[at & (VISITED_SLOTS - 1)];
        if (*slot == 0 || strcmp(files->names[*slot - 1], name) == 0)
            return slot;
    }
}

MUST_USE static err name_find(struct files *files, const char *path, const char **ret_name)
{
    char *real = files->source->name != NULL ? files->source->name(path) : NULL;
    slice name = arena_printf(files->document->arena, "%s", real != NULL ? real : path);

    free(real);
    *ret_name = name.data;
    ENSURE(name.data != NULL, MEMORY);
    return ERR_OK;
}

/* False: the file was read already. */
MUST_USE static bool include_is_new(struct files *files, const struct include *include, const char *name)
{
    uint16_t slot = *slot_of(files, name), file = include->from;
    char safe[PATH_SHOWN_BYTES];

    if (slot == 0)
        return true;
    path_quoted(include->path, safe);
    while (file != slot - 1 && files->from[file] != file)
        file = files->from[file];
    if (file == slot - 1)
        include_problem(files, include, "%s includes itself; write each file once", safe);
    else
        include_problem(files, include, "%s is included twice; write each file once, and patterns that leave out what is named",
                        safe);
    return false;
}

static const char *read_problem(err e)
{
    switch ((enum err_code)e.code) {
    case ERR_LIMIT:
        return "is larger than 16 MiB";
    default:
        return err_file_text(e);
    }
}

/* The text of a file into the document; ERR_INVALID: what is wrong is said. */
MUST_USE static err file_load(struct files *files, const struct include *include, uint16_t *ret_file)
{
    struct conf_document *document = files->document;
    char *text = NULL, safe[PATH_SHOWN_BYTES];
    size_t len = 0;
    err result = files->source->read(include->path, CONF_FILE_BYTES_MAX, &text, &len);

    ENSURE(result.code != ERR_MEMORY, MEMORY);
    if (!err_is_ok(result) && document->file_count == 0) {
        conf_report_add(files->report, NULL, include->mark, include->path,
                        "cannot be read: %s; name a plain file of at most 16 MiB", read_problem(result));
        return ERR(INVALID);
    }
    if (!err_is_ok(result)) {
        include_problem(files, include, "%s cannot be read: %s; name plain files of at most 16 MiB",
                        path_quoted(include->path, safe), read_problem(result));
        return ERR(INVALID);
    }
    if (document->text_bytes + len > CONF_BYTES_MAX) {
        free(text);
        include_problem(files, include, "all files together are larger than 128 MiB; write less");
        return ERR(INVALID);
    }
    return conf_document_add_file(document, include->path, text, len, ret_file);
}

/* "a//b/./c" as "a/b/c", so that a file has one name; ".." stays, since the directory before it may be a link. */
static void path_tidy(char *path)
{
    char *to = path;

    for (const char *at = path; *at != '\0';) {
        if (at[0] == '/' && at[1] == '/') {
            at++;
        } else if ((at == path || at[-1] == '/') && at[0] == '.' && at[1] == '/') {
            at += 2;
            while (*at == '/')
                at++;
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
}

/* Beside the file that says it. NULL: no memory. */
static char *path_beside(struct files *files, const char *file, slice text)
{
    const char *slash = strrchr(file, '/');
    slice dir = slash != NULL && text.data[0] != '/' ? slice_of(file, (size_t)(slash - file) + 1) : SLICE_NONE;
    slice path = arena_printf(files->document->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(dir), SLICE_ARG(text));

    if (path.data != NULL)
        path_tidy((char *)path.data);
    return (char *)path.data;
}

MUST_USE static err include_add(struct files *files, const struct include *like, const char *path)
{
    struct include *include = arena_alloc(files->document->arena, sizeof(*include));
    slice kept = arena_printf(files->document->arena, "%s", path);

    ENSURE(include != NULL && kept.data != NULL, MEMORY);
    *include = *like;
    include->next = NULL;
    include->path = kept.data;
    *files->end = include;
    files->end = &include->next;
    return ERR_OK;
}

static void paths_free(char **paths)
{
    for (char **path = paths; paths != NULL && *path != NULL; path++)
        free(*path);
    free(paths);
}

MUST_USE static err pattern_add(struct files *files, const struct include *like, const char *pattern)
{
    char **paths = NULL, safe[PATH_SHOWN_BYTES];
    err result = files->source->glob(pattern, &paths);

    ENSURE(result.code != ERR_MEMORY, MEMORY);
    if (!err_is_ok(result)) {
        include_problem(files, like, "%s cannot be looked for: %s", path_quoted(pattern, safe), err_text(result));
        return ERR_OK;
    }
    for (unsigned i = 0; paths[i] != NULL && err_is_ok(result); i++) {
        path_tidy(paths[i]);
        result = include_add(files, like, paths[i]);
    }
    paths_free(paths);
    return result;
}

MUST_USE static err item_follow(struct files *files, const struct conf_node *item, const struct include *from, uint16_t file)
{
    struct include include = {.mark = item->mark, .from = file, .depth = (uint8_t)(from->depth + 1)};
    char *path;

    if (item->is_bad)
        return ERR_OK;
    if (item->kind != CONF_SCALAR || item->text.len == 0 || item->text.len >= PATH_BYTES_MAX ||
        slice_find(item->text, '\0') >= 0) {
        include_problem(files, &include, "is no path; write one, or a pattern such as tenants/*.yaml, or a list of them");
        return ERR_OK;
    }
    if (include.depth > CONF_INCLUDE_DEPTH_MAX) {
        include_problem(files, &include,
                        "is included by a file that is included by the fourth; include it nearer to the first file");
        return ERR_OK;
    }
    path = path_beside(files, from->path, item->text);
    ENSURE(path != NULL, MEMORY);
    return strpbrk(path, "*?[") != NULL ? pattern_add(files, &include, path) : include_add(files, &include, path);
}

MUST_USE static err includes_follow(struct files *files, const struct conf_node *node, const struct include *from,
                                    uint16_t file)
{
    if (node == NULL || node->kind != CONF_LIST)
        return node == NULL ? ERR_OK : item_follow(files, node, from, file);
    for (const struct conf_node *item = node->first; item != NULL; item = item->next)
        TRY(item_follow(files, item, from, file));
    return ERR_OK;
}

/* Reads one more, and puts what it includes at the end of what is to be read. */
MUST_USE static err file_read(struct files *files, const struct include *include)
{
    const struct conf_node *includes;
    const char *name;
    uint16_t file;

    TRY(name_find(files, include->path, &name));
    if (!include_is_new(files, include, name))
        return ERR(INVALID);
    TRY(file_load(files, include, &file));
    *slot_of(files, name) = (uint16_t)(file + 1);
    files->names[file] = name;
    files->from[file] = file == 0 ? file : include->from;
    TRY(conf_document_join_file(files->document, file, files->report, &includes));
    return includes_follow(files, includes, include, file);
}

MUST_USE static err includes_read(struct files *files)
{
    for (const struct include *include = files->first; include != NULL; include = include->next) {
        err result;

        if (files->document->file_count == CONF_FILES_MAX) {
            include_problem(files, include, "is one file too many; write at most 16384");
            return ERR_OK;
        }
        result = file_read(files, include);
        if (!err_is_ok(result) && result.code != ERR_INVALID)
            return result;
    }
    return ERR_OK;
}

/* The first file's mark has no line: nobody asked for it in a file. */
MUST_USE static err files_read(struct files *files, const char *path)
{
    char tidy[PATH_BYTES_MAX];
    struct include first = {.path = tidy};
    err result;

    if ((size_t)snprintf(tidy, sizeof(tidy), "%s", path) >= sizeof(tidy)) {
        conf_report_add(files->report, NULL, first.mark, "config", "the path is too long; write at most 4095 bytes");
        return ERR(INVALID);
    }
    path_tidy(tidy);
    result = file_read(files, &first);
    TRY(result);
    TRY(includes_read(files));
    return conf_document_unique(files->document, files->report);
}

err conf_document_read(const char *path, const struct conf_source *source, struct conf_report *report,
                       struct conf_document **ret_document)
{
    struct files *files = calloc(1, sizeof(*files));
    err result;

    ENSURE(files != NULL, MEMORY);
    files->source = source;
    files->report = report;
    files->end = &files->first;
    result = conf_document_new(&files->document);
    if (err_is_ok(result))
        result = files_read(files, path);
    if (err_is_ok(result))
        *ret_document = files->document;
    else
        conf_document_free(files->document);
    free(files);
    return result;
}
