#include "conf/config_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

#define WHERE_BYTES CONFIG_MESSAGE_BYTES
#define EXAMPLE     "write one setting a line, such as cache-size: 2g"

/* A file being read: events of libyaml, one at a time, so that nothing is built that the bounds would then
 * have to be checked on. Values are scalars or sequences of scalars: what is deeper is refused where it
 * begins. */
struct file {
    struct config_build *build;
    const char *path;
    slice text;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one; zeroed: none */
    uint64_t seen;      /* a bit per option */
};

/* Where a message points: FILE:LINE:COLUMN: key, counted from 1. */
static const char *file_where(const struct file *file, yaml_mark_t mark, const char *key,
                              char buffer[WHERE_BYTES])
{
    snprintf(buffer, WHERE_BYTES, "%s:%zu:%zu: %s", file->path, mark.line + 1, mark.column + 1, key);
    return buffer;
}

MUST_USE PRINTF(4, 5) static err
    file_fail(struct file *file, yaml_mark_t mark, const char *key, const char *format, ...)
{
    char where[WHERE_BYTES], what[CONFIG_MESSAGE_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    return config_fail(file->build, file_where(file, mark, key, where), "%s", what);
}

/* What libyaml could not read: undecodable bytes are known by offset only. */
MUST_USE static err file_fail_syntax(struct file *file)
{
    const yaml_parser_t *parser = &file->parser;
    const char *problem = parser->problem != NULL ? parser->problem : "it cannot be read";
    yaml_mark_t mark = parser->problem_mark;

    ENSURE(parser->error != YAML_MEMORY_ERROR, MEMORY);
    if (parser->error == YAML_READER_ERROR) {
        mark = (yaml_mark_t){0};
        for (size_t i = 0; i < parser->problem_offset && i < file->text.len; i++) {
            mark.column = file->text.data[i] == '\n' ? 0 : mark.column + 1;
            mark.line += file->text.data[i] == '\n';
        }
    }
    return file_fail(file, mark, "yaml", "%s; " EXAMPLE, problem);
}

/* Anchors, aliases and tags make a text mean more than it shows, at any size. */
MUST_USE static err file_event_check(struct file *file)
{
    const yaml_event_t *event = &file->event;
    const yaml_char_t *anchor = NULL, *tag = NULL;

    if (event->type == YAML_ALIAS_EVENT)
        return file_fail(file, event->start_mark, "yaml",
                         "aliases (*name) are not allowed; write the value again");
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
        return file_fail(file, event->start_mark, "yaml",
                         "anchors (&name) are not allowed; write the value alone");
    if (tag != NULL)
        return file_fail(file, event->start_mark, "yaml",
                         "tags (!name) are not allowed; write the value alone");
    return ERR_OK;
}

MUST_USE static err file_next(struct file *file)
{
    yaml_event_delete(&file->event);
    if (!yaml_parser_parse(&file->parser, &file->event))
        return file_fail_syntax(file);
    return file_event_check(file);
}

static slice event_text(const yaml_event_t *event)
{
    return slice_of(event->data.scalar.value, event->data.scalar.length);
}

/* Nothing, null or ~ without quotes. */
static bool event_is_null(const yaml_event_t *event)
{
    slice text;

    if (event->type != YAML_SCALAR_EVENT || event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    text = event_text(event);
    return text.len == 0 || slice_eq(text, SLICE("~")) || slice_eq(text, SLICE("null"));
}

/* ---- values
 * --------------------------------------------------------------------------------------------------- */

MUST_USE static err file_scalar(struct file *file, enum config_index option, const char *key)
{
    yaml_mark_t mark = file->event.start_mark;
    char where[WHERE_BYTES];

    if (event_is_null(&file->event))
        return file_fail(file, mark, key, "has no value; write %s, or leave the line out for the default",
                         config_options[option].kind == KIND_SWITCH ? "true or false"
                                                                    : config_options[option].placeholder);
    return config_set(file->build, option, FROM_FILE, event_text(&file->event),
                      file_where(file, mark, key, where));
}

MUST_USE static err file_sequence(struct file *file, enum config_index option)
{
    const char *flag = config_options[option].flag;
    yaml_mark_t mark = file->event.start_mark;
    unsigned count = 0;
    char key[64];

    if (config_options[option].kind != KIND_LIST)
        return file_fail(file, mark, flag, "is a list; write one value");
    for (;; count++) {
        TRY(file_next(file));
        if (file->event.type == YAML_SEQUENCE_END_EVENT)
            break;
        snprintf(key, sizeof(key), "%s[%u]", flag, count);
        if (file->event.type != YAML_SCALAR_EVENT)
            return file_fail(file, file->event.start_mark, key, "is a list or a mapping; write one value");
        TRY(file_scalar(file, option, key));
    }
    if (count == 0)
        return file_fail(file, mark, flag,
                         "is an empty list; write %s, or leave the line out for the default",
                         config_options[option].placeholder);
    return ERR_OK;
}

MUST_USE static err file_value(struct file *file, enum config_index option)
{
    const char *flag = config_options[option].flag;

    TRY(file_next(file));
    switch (file->event.type) {
    case YAML_SCALAR_EVENT:
        return file_scalar(file, option, flag);
    case YAML_SEQUENCE_START_EVENT:
        return file_sequence(file, option);
    default:
        return file_fail(file, file->event.start_mark, flag, "is a mapping; write one value%s",
                         config_options[option].kind == KIND_LIST ? " or a list of them" : "");
    }
}

/* ---- keys
 * ----------------------------------------------------------------------------------------------------- */

MUST_USE static err file_key_unknown(struct file *file, slice text)
{
    yaml_mark_t mark = file->event.start_mark;
    char safe[CONFIG_QUOTED_BYTES];
    const char *nearest = config_nearest((const char *)file->event.data.scalar.value);

    log_safe(text, safe, sizeof(safe));
    if (nearest != NULL)
        return file_fail(file, mark, safe, "unknown setting; did you mean %s?", nearest);
    return file_fail(file, mark, safe,
                     "unknown setting; the names are those of the flags, warp help lists them");
}

/* The current event is the key. */
MUST_USE static err file_entry(struct file *file)
{
    yaml_mark_t mark = file->event.start_mark;
    enum config_index option;

    if (file->event.type != YAML_SCALAR_EVENT)
        return file_fail(file, mark, "yaml", "a key is a list or a mapping; " EXAMPLE);
    option = config_option_find(event_text(&file->event));
    if (option == CONFIG_OPTION_COUNT)
        return file_key_unknown(file, event_text(&file->event));
    if (option == CONFIG_config_file)
        return file_fail(file, mark, "config", "a file cannot name another one; use --config or WARP_CONFIG");
    if (file->seen >> option & 1)
        return file_fail(file, mark, config_options[option].flag, "is here twice; write it once%s",
                         config_options[option].kind == KIND_LIST ? ", with a list" : "");
    file->seen |= UINT64_C(1) << option;
    return file_value(file, option);
}

/* The top level, from its first event to its last. */
MUST_USE static err file_settings(struct file *file)
{
    if (event_is_null(&file->event))
        return ERR_OK;
    if (file->event.type != YAML_MAPPING_START_EVENT)
        return file_fail(file, file->event.start_mark, "yaml", "the file is not a mapping; " EXAMPLE);
    for (;;) {
        TRY(file_next(file));
        if (file->event.type == YAML_MAPPING_END_EVENT)
            return ERR_OK;
        TRY(file_entry(file));
    }
}

MUST_USE static err file_stream(struct file *file)
{
    TRY(file_next(file));
    INVARIANT(file->event.type == YAML_STREAM_START_EVENT);
    TRY(file_next(file));
    if (file->event.type == YAML_STREAM_END_EVENT)
        return ERR_OK; /* nothing but comments */
    INVARIANT(file->event.type == YAML_DOCUMENT_START_EVENT);
    TRY(file_next(file));
    TRY(file_settings(file));
    TRY(file_next(file));
    INVARIANT(file->event.type == YAML_DOCUMENT_END_EVENT);
    TRY(file_next(file));
    if (file->event.type != YAML_STREAM_END_EVENT)
        return file_fail(file, file->event.start_mark, "yaml", "a second document begins; write one");
    return ERR_OK;
}

err config_file_parse(struct config_build *build, const char *path, slice text)
{
    struct file file = {.build = build, .path = path, .text = text};
    err result;

    INVARIANT(text.len <= CONFIG_FILE_BYTES_MAX);
    ENSURE(yaml_parser_initialize(&file.parser), MEMORY);
    yaml_parser_set_input_string(&file.parser, (const unsigned char *)text.data, text.len);
    result = file_stream(&file);
    yaml_event_delete(&file.event);
    yaml_parser_delete(&file.parser);
    return result;
}
