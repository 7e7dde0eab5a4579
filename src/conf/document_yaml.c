/* One text of YAML into a tree, by libyaml's events.
 *
 * What is refused here leaves a bad node behind and the reading goes on, so that all of it is found at once. Only what
 * libyaml itself cannot read, and the limits, end a file. */
#include "conf/document_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define SMALL_MAP 16u /* entries: compared with one another instead of sorted */

struct reading {
    struct conf_document *document;
    struct conf_report *report;
    const struct conf_path *path; /* of the top */
    uint16_t file;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; zeroed: none */
};

static struct conf_mark mark_of(const struct reading *reading, yaml_mark_t mark)
{
    return (struct conf_mark){
        .line = (uint32_t)mark.line + 1, .column = (uint16_t)MIN(mark.column + 1, (size_t)UINT16_MAX), .file = reading->file};
}

/* What ends the file. */
MUST_USE static err cut(struct reading *reading, yaml_mark_t mark, const struct conf_path *path, const char *what)
{
    conf_path_problem(reading->report, reading->document, mark_of(reading, mark), path, "%s", what);
    reading->document->is_cut = true;
    return ERR(INVALID);
}

/* ---- what libyaml cannot read -------------------------------------------------------------------------------- */

/* The line of the text that holds the mark. */
static slice line_of(slice text, size_t line)
{
    size_t begin = 0, end;

    for (; line > 0 && begin < text.len; begin++)
        line -= text.data[begin] == '\n';
    for (end = begin; end < text.len && text.data[end] != '\n'; end++)
        ;
    return slice_of(text.data + begin, end - begin);
}

/* A tab where the marked line is indented: libyaml says it in more than one way, none of which tells what to do. */
static bool is_tab(const char *problem, slice text, yaml_mark_t *mark)
{
    slice line = line_of(text, mark->line);

    if (strstr(problem, "tab character") == NULL && strstr(problem, "cannot start any token") == NULL)
        return false;
    for (size_t i = 0; i < line.len && (line.data[i] == ' ' || line.data[i] == '\t'); i++) {
        if (line.data[i] == '\t') {
            mark->column = i;
            return true;
        }
    }
    return mark->column < line.len && line.data[mark->column] == '\t';
}

/* Undecodable bytes are known by offset only. */
static yaml_mark_t mark_of_offset(slice text, size_t offset)
{
    yaml_mark_t mark = {0};

    for (size_t i = 0; i < offset && i < text.len; i++) {
        mark.column = text.data[i] == '\n' ? 0 : mark.column + 1;
        mark.line += text.data[i] == '\n';
    }
    return mark;
}

MUST_USE static err cut_syntax(struct reading *reading)
{
    const yaml_parser_t *parser = &reading->parser;
    slice text = reading->document->files[reading->file].text;
    const char *problem = parser->problem != NULL ? parser->problem : "it cannot be read";
    yaml_mark_t mark = parser->problem_mark;
    char what[CONF_WHAT_BYTES];

    ENSURE(parser->error != YAML_MEMORY_ERROR, MEMORY);
    if (parser->error == YAML_READER_ERROR) {
        mark = mark_of_offset(text, parser->problem_offset);
        snprintf(what, sizeof(what), "%s; write plain text in UTF-8", problem);
    } else if (is_tab(problem, text, &mark)) {
        snprintf(what, sizeof(what), "a tab; indent with spaces");
    } else if (parser->context != NULL && parser->context_mark.line != mark.line) {
        snprintf(what, sizeof(what), "%s (%s that begins in line %zu); check quotes, brackets and the indentation", problem,
                 parser->context, parser->context_mark.line + 1);
    } else {
        snprintf(what, sizeof(what), "%s; check quotes, brackets and the indentation", problem);
    }
    return cut(reading, mark, NULL, what);
}

MUST_USE static err next(struct reading *reading)
{
    yaml_event_delete(&reading->event);
    return yaml_parser_parse(&reading->parser, &reading->event) ? ERR_OK : cut_syntax(reading);
}

/* ---- values -------------------------------------------------------------------------------------------------- */

/* Anchors, aliases and tags make a text mean more than it shows, at any size. */
static const char *event_problem(const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (event->type == YAML_ALIAS_EVENT)
        return "aliases (*name) are not allowed; write the value again";
    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (anchor != NULL)
        return "anchors (&name) are not allowed; write the value alone";
    return tag != NULL ? "tags (!name) are not allowed; write the value alone" : NULL;
}

MUST_USE static err text_keep(struct arena *arena, slice text, slice *ret_text)
{
    char *copy = arena_alloc(arena, text.len + 1);

    ENSURE(copy != NULL, MEMORY);
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    *ret_text = slice_of(copy, text.len);
    return ERR_OK;
}

static slice event_text(const yaml_event_t *event)
{
    return slice_of(event->data.scalar.value, event->data.scalar.length);
}

/* Nothing, null or ~ without quotes. */
static bool event_is_null(const yaml_event_t *event)
{
    slice text = event_text(event);

    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text.len == 0 || slice_eq(text, SLICE("~")) || slice_eq(text, SLICE("null")));
}

MUST_USE static err scalar_read(struct reading *reading, const struct conf_path *path, struct conf_node *node)
{
    const yaml_event_t *event = &reading->event;

    if (event_is_null(event)) {
        node->kind = CONF_NULL;
        return ERR_OK;
    }
    node->kind = CONF_SCALAR;
    node->is_quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (event->data.scalar.length > CONF_SCALAR_BYTES_MAX) {
        conf_path_problem(reading->report, reading->document, node->mark, path, "has %zu bytes; write at most %u",
                          event->data.scalar.length, CONF_SCALAR_BYTES_MAX);
        node->is_bad = true;
        return ERR_OK;
    }
    return text_keep(reading->document->arena, event_text(event), &node->text);
}

MUST_USE static err value_read(struct reading *reading, const struct conf_path *path, unsigned depth,
                               struct conf_node **ret_node);

MUST_USE static err list_read(struct reading *reading, const struct conf_path *path, unsigned depth, struct conf_node *list)
{
    struct conf_node **end = &list->first;

    list->kind = CONF_LIST;
    for (;; list->count++) {
        struct conf_path item = {.up = path, .index = list->count, .is_item = true};

        TRY(next(reading));
        if (reading->event.type == YAML_SEQUENCE_END_EVENT)
            return ERR_OK;
        TRY(value_read(reading, &item, depth + 1, end));
        end = &(*end)->next;
    }
}

/* The current event is the key. */
MUST_USE static err entry_read(struct reading *reading, const struct conf_path *path, unsigned depth,
                               struct conf_node **ret_node)
{
    struct conf_mark key_mark = mark_of(reading, reading->event.start_mark);
    struct conf_path inner = {.up = path};
    const char *problem = event_problem(&reading->event);
    struct conf_node *value, *skipped;

    if (reading->event.type != YAML_SCALAR_EVENT) {
        if (problem == NULL)
            problem = "a key is a list or a mapping; write one name, a colon and a value";
        conf_path_problem(reading->report, reading->document, key_mark, path, "%s", problem);
        if (reading->event.type != YAML_ALIAS_EVENT)
            TRY(value_read(reading, path, depth + 1, &skipped));
        TRY(next(reading));
        return value_read(reading, path, depth + 1, &skipped);
    }
    if (problem != NULL)
        conf_path_problem(reading->report, reading->document, key_mark, path, "%s", problem);
    if (reading->event.data.scalar.length > CONF_SCALAR_BYTES_MAX)
        return cut(reading, reading->event.start_mark, path, "a key has more than 65536 bytes; write a name");
    TRY(text_keep(reading->document->nodes, event_text(&reading->event), &inner.key)); /* most are names of settings */
    TRY(next(reading));
    TRY(value_read(reading, &inner, depth + 1, &value));
    value->key = inner.key;
    value->key_mark = key_mark;
    *ret_node = value;
    return ERR_OK;
}

MUST_USE static err map_read(struct reading *reading, const struct conf_path *path, unsigned depth, struct conf_node *map)
{
    struct conf_node **end = &map->first;

    map->kind = CONF_MAP;
    for (;;) {
        TRY(next(reading));
        if (reading->event.type == YAML_MAPPING_END_EVENT)
            return conf_map_unique(map, path, reading->document, reading->report);
        TRY(entry_read(reading, path, depth, end));
        if (*end == NULL)
            continue; /* its key was none */
        end = &(*end)->next;
        map->count++;
    }
}

/* The current event is the value's first one. */
err value_read(struct reading *reading, const struct conf_path *path, unsigned depth, struct conf_node **ret_node)
{
    const char *problem = event_problem(&reading->event);
    struct conf_node *node;

    if (depth > CONF_DEPTH_MAX)
        return cut(reading, reading->event.start_mark, path, "is nested too deeply; no setting goes deeper than 16");
    if (reading->document->node_count == CONF_NODES_MAX)
        return cut(reading, reading->event.start_mark, path, "is one value too many; write at most 4194304 in all");
    node = arena_zalloc(reading->document->nodes, sizeof(*node));
    ENSURE(node != NULL, MEMORY);
    reading->document->node_count++;
    node->mark = mark_of(reading, reading->event.start_mark);
    if (problem != NULL) {
        conf_path_problem(reading->report, reading->document, node->mark, path, "%s", problem);
        node->is_bad = true;
    }
    if (reading->event.type == YAML_SCALAR_EVENT)
        TRY(scalar_read(reading, path, node));
    else if (reading->event.type == YAML_SEQUENCE_START_EVENT)
        TRY(list_read(reading, path, depth, node));
    else if (reading->event.type == YAML_MAPPING_START_EVENT)
        TRY(map_read(reading, path, depth, node));
    *ret_node = node;
    return ERR_OK;
}

/* ---- a file -------------------------------------------------------------------------------------------------- */

MUST_USE static err stream_read(struct reading *reading, struct conf_node **ret_top)
{
    struct conf_node *top = NULL;

    TRY(next(reading));
    INVARIANT(reading->event.type == YAML_STREAM_START_EVENT);
    TRY(next(reading));
    if (reading->event.type == YAML_STREAM_END_EVENT)
        return ERR_OK; /* nothing but comments */
    INVARIANT(reading->event.type == YAML_DOCUMENT_START_EVENT);
    TRY(next(reading));
    TRY(value_read(reading, reading->path, 0, &top));
    *ret_top = top;
    TRY(next(reading));
    INVARIANT(reading->event.type == YAML_DOCUMENT_END_EVENT);
    TRY(next(reading));
    if (reading->event.type != YAML_STREAM_END_EVENT)
        return cut(reading, reading->event.start_mark, NULL, "a second document begins; write one");
    return ERR_OK;
}

err conf_yaml_read(struct conf_document *document, uint16_t file, const struct conf_path *path, struct conf_report *report,
                   struct conf_node **ret_top)
{
    struct reading reading = {.document = document, .report = report, .file = file, .path = path};
    slice text = document->files[file].text;
    err result;

    *ret_top = NULL;
    ENSURE(yaml_parser_initialize(&reading.parser), MEMORY);
    /* Not guessed from the first bytes: UTF-16 would show something else in every editor that takes it for UTF-8. */
    yaml_parser_set_encoding(&reading.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reading.parser, (const unsigned char *)text.data, text.len);
    result = stream_read(&reading, ret_top);
    yaml_event_delete(&reading.event);
    yaml_parser_delete(&reading.parser);
    return result.code == ERR_INVALID ? ERR_OK : result;
}

/* ---- keys that stand twice ----------------------------------------------------------------------------------- */

static bool mark_is_behind(struct conf_mark a, struct conf_mark b)
{
    if (a.file != b.file)
        return a.file > b.file;
    return a.line != b.line ? a.line > b.line : a.column > b.column;
}

/* By key, and by place where the keys are one. */
static int entry_order(const void *a, const void *b)
{
    const struct conf_node *x = *(struct conf_node *const *)a, *y = *(struct conf_node *const *)b;
    size_t len = MIN(x->key.len, y->key.len);
    int order = len > 0 ? memcmp(x->key.data, y->key.data, len) : 0;

    if (order != 0)
        return order;
    if (x->key.len != y->key.len)
        return x->key.len < y->key.len ? -1 : 1;
    return mark_is_behind(x->key_mark, y->key_mark) ? 1 : -1;
}

/* Marks what is not the first of its key; these are taken out together afterwards. */
static unsigned twins_mark(struct conf_node **sorted, unsigned count, const struct conf_path *path,
                           const struct conf_document *document, struct conf_report *report)
{
    const struct conf_node *first = sorted[0];
    unsigned found = 0;

    for (unsigned i = 1; i < count; i++) {
        struct conf_path inner = {.up = path, .key = sorted[i]->key};
        char place[CONF_WHERE_BYTES];

        if (!slice_eq(first->key, sorted[i]->key)) {
            first = sorted[i];
            continue;
        }
        conf_path_problem(report, document, sorted[i]->key_mark, &inner, "is here twice, first in %s; write it once",
                          conf_mark_text(document, first->key_mark, place, sizeof(place)));
        sorted[i]->key.data = NULL;
        found++;
    }
    return found;
}

err conf_map_unique(struct conf_node *map, const struct conf_path *path, const struct conf_document *document,
                    struct conf_report *report)
{
    struct conf_node *few[SMALL_MAP], **sorted = few, *node = map->first;
    unsigned found;

    if (map->count < 2)
        return ERR_OK;
    if (map->count > SMALL_MAP)
        sorted = malloc(map->count * sizeof(struct conf_node *));
    ENSURE(sorted != NULL, MEMORY);
    for (unsigned i = 0; i < map->count; i++, node = node->next)
        sorted[i] = node;
    qsort(sorted, map->count, sizeof(*sorted), entry_order);
    found = twins_mark(sorted, map->count, path, document, report);
    if (sorted != few)
        free(sorted);
    for (struct conf_node **link = &map->first; found > 0 && *link != NULL;) {
        if ((*link)->key.data != NULL) {
            link = &(*link)->next;
            continue;
        }
        *link = (*link)->next;
        map->count--;
        found--;
    }
    return ERR_OK;
}
