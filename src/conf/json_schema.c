/* docs/reference/config.schema.json (JSON Schema 2020-12), from the tables: for editors, which then complete and complain as
 * one types. It refuses nothing that is read; what several settings are together is only in it where a table says so. */
#include "conf/config_internal.h"
#include "conf/schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define SCHEMA_ID "https://json-schema.org/draft/2020-12/schema"

/* JSON as it is written: commas and lines come by themselves. */
struct writer {
    FILE *out;
    unsigned depth;
    bool has_item; /* in what is open */
};

static void text(struct writer *writer, const char *value)
{
    fputc('"', writer->out);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            fputc('\\', writer->out);
        fputc(*value, writer->out);
    }
    fputc('"', writer->out);
}

static void item(struct writer *writer)
{
    fprintf(writer->out, "%s\n%*s", writer->has_item ? "," : "", (int)(2 * writer->depth), "");
    writer->has_item = true;
}

static void key(struct writer *writer, const char *name)
{
    item(writer);
    text(writer, name);
    fputs(": ", writer->out);
}

static void begin(struct writer *writer, char bracket)
{
    fputc(bracket, writer->out);
    writer->depth++;
    writer->has_item = false;
}

static void end(struct writer *writer, char bracket)
{
    writer->depth--;
    fprintf(writer->out, "\n%*s%c", (int)(2 * writer->depth), "", bracket);
    writer->has_item = true;
}

static void key_text(struct writer *writer, const char *name, const char *value)
{
    key(writer, name);
    text(writer, value);
}

static void key_number(struct writer *writer, const char *name, unsigned long long value)
{
    key(writer, name);
    fprintf(writer->out, "%llu", value);
}

/* ---- values -------------------------------------------------------------------------------------------------- */

/* An editor sees 5 as a number and true as a truth value; to WARP each is a text of its type. */
static void scalar(struct writer *writer, const char *types, const char *pattern)
{
    key(writer, "type");
    fputs(types, writer->out);
    key_text(writer, "pattern", pattern);
    key_number(writer, "maxLength", 4096);
}

static void words(struct writer *writer, const char *values)
{
    key(writer, "enum");
    fputs(values, writer->out);
}

static void scalar_value(struct writer *writer, enum conf_type type)
{
    const char *pattern = conf_types[type].pattern;

    switch (type) {
    case CONF_IS_SWITCH:
        words(writer, "[true, false, \"true\", \"false\"]");
        break;
    case CONF_IS_REDIRECT_STATUS:
        words(writer, "[301, 302, 303, 307, 308, \"301\", \"302\", \"303\", \"307\", \"308\"]");
        break;
    case CONF_IS_SIZE:
    case CONF_IS_SHARE:
        scalar(writer, "[\"string\", \"integer\"]", pattern);
        key_number(writer, "minimum", 0);
        break;
    case CONF_IS_COUNT:
    case CONF_IS_BURST:
        scalar(writer, "[\"string\", \"integer\"]", pattern);
        key_number(writer, "minimum", type == CONF_IS_BURST);
        key_number(writer, "maximum", UINT32_MAX);
        break;
    case CONF_IS_PERCENT:
    case CONF_IS_DURATION:
    case CONF_IS_RATE:
    case CONF_IS_TIMES:
    case CONF_IS_PATH:
    case CONF_IS_SET_COOKIE:
    case CONF_IS_RANGE:
        scalar(writer, "\"string\"", pattern);
        break;
    default:
        scalar(writer, "[\"string\", \"number\", \"boolean\"]", pattern);
    }
}

/* "Host" as [Hh][Oo][Ss][Tt]: patterns have no switch for case. */
static void refused_fields(struct writer *writer)
{
    key(writer, "not");
    begin(writer, '{');
    key(writer, "pattern");
    fputs("\"^(", writer->out);
    for (unsigned i = 0; conf_edit_refused(i) != NULL; i++) {
        fputs(i > 0 ? "|" : "", writer->out);
        for (const char *c = conf_edit_refused(i); *c != '\0'; c++)
            if (isalpha((unsigned char)*c))
                fprintf(writer->out, "[%c%c]", toupper((unsigned char)*c), tolower((unsigned char)*c));
            else
                fputc(*c, writer->out);
    }
    fputs(")$\"", writer->out);
    end(writer, '}');
}

static void names(struct writer *writer, enum conf_type type)
{
    key(writer, "propertyNames");
    begin(writer, '{');
    key_text(writer, "pattern",
             conf_types[type].kind == CONF_KIND_NAMED ? conf_types[CONF_IS_NAME].pattern : conf_type_names(type));
    if (type == CONF_IS_EDIT_PAIR)
        refused_fields(writer);
    end(writer, '}');
}

static void definition_reference(struct writer *writer, enum conf_type type)
{
    char path[64];

    snprintf(path, sizeof(path), "#/$defs/%s", conf_types[type].name);
    key_text(writer, "$ref", path);
}

/* Of a map: all that may stand behind a name. */
static void map_value(struct writer *writer, enum conf_type type)
{
    key_text(writer, "type", "object");
    key_number(writer, "minProperties", 1);
    key_number(writer, "maxProperties", conf_items_max(type));
    names(writer, type);
    key(writer, "additionalProperties");
    begin(writer, '{');
    definition_reference(writer, type);
    end(writer, '}');
}

static void list_value(struct writer *writer, enum conf_type type)
{
    key(writer, "anyOf");
    begin(writer, '[');
    item(writer);
    begin(writer, '{');
    definition_reference(writer, type);
    end(writer, '}');
    item(writer);
    begin(writer, '{');
    key_text(writer, "type", "array");
    key(writer, "items");
    begin(writer, '{');
    definition_reference(writer, type);
    end(writer, '}');
    key_number(writer, "minItems", 1);
    key_number(writer, "maxItems", conf_items_max(type));
    end(writer, '}');
    end(writer, ']');
}

/* ---- tables -------------------------------------------------------------------------------------------------- */

/* For those who write for an owner: what a token for one tenant cannot change. */
static void operators(struct writer *writer, const struct conf_table *table, const struct conf_option *option)
{
    bool is_whole;
    const char *why = conf_operators_part(table, option, &is_whole);

    if (why == NULL)
        return;
    key_text(writer, "x-operator", is_whole ? "whole" : "part");
    key_text(writer, "$comment", why);
}

static void option_value(struct writer *writer, const struct conf_table *table, const struct conf_option *option)
{
    enum conf_type type = (enum conf_type)option->type;

    key(writer, option->name);
    begin(writer, '{');
    key_text(writer, "description", option->help);
    operators(writer, table, option);
    if (option->dflt != NULL && !conf_option_is_required(option))
        key_text(writer, "default", option->dflt);
    if (option->shape == CONF_LIST_OF)
        list_value(writer, type);
    else if (option->shape == CONF_MAP_OF)
        map_value(writer, type);
    else
        definition_reference(writer, type);
    end(writer, '}');
}

static void required(struct writer *writer, const struct conf_table *table)
{
    bool is_first = true;

    for (unsigned i = 0; i < table->count; i++) {
        if (!conf_option_is_required(&table->options[i]))
            continue;
        if (is_first)
            key(writer, "required");
        fputs(is_first ? "[" : ", ", writer->out);
        text(writer, table->options[i].name);
        is_first = false;
    }
    if (!is_first)
        fputc(']', writer->out);
}

static bool has_bonds(enum conf_type type)
{
    for (unsigned i = 0; i < conf_bond_count; i++)
        if (conf_bonds[i].type == type)
            return true;
    return false;
}

/* "{setting} needs {other}": not (setting and not other); "excludes": not (setting and other). */
static void bond(struct writer *writer, const struct conf_bond *one)
{
    item(writer);
    begin(writer, '{');
    if (one->why == NULL) {
        key(writer, "dependentRequired");
        fputc('{', writer->out);
        text(writer, one->setting);
        fputs(": [", writer->out);
        text(writer, one->other);
        fputs("]}", writer->out);
    } else {
        key(writer, "not");
        fputs("{\"required\": [", writer->out);
        text(writer, one->setting);
        fputs(", ", writer->out);
        text(writer, one->other);
        fputs("]}", writer->out);
    }
    end(writer, '}');
}

static void bonds(struct writer *writer, enum conf_type type)
{
    if (!has_bonds(type))
        return;
    key(writer, "allOf");
    begin(writer, '[');
    for (unsigned i = 0; i < conf_bond_count; i++)
        if (conf_bonds[i].type == type)
            bond(writer, &conf_bonds[i]);
    end(writer, ']');
}

static void definition(struct writer *writer, enum conf_type type)
{
    const struct conf_table *table = conf_type_table(type);

    key(writer, conf_types[type].name);
    begin(writer, '{');
    key_text(writer, "title", conf_types[type].allowed);
    if (table == NULL) {
        scalar_value(writer, type);
        if (type == CONF_IS_EDIT_FIELD)
            refused_fields(writer);
    } else {
        key_text(writer, "type", "object");
        key(writer, "additionalProperties");
        fputs("false", writer->out);
        if (conf_types[type].kind == CONF_KIND_TABLE)
            key_number(writer, "minProperties", 1);
        required(writer, table);
        key(writer, "properties");
        begin(writer, '{');
        for (unsigned i = 0; i < table->count; i++)
            option_value(writer, table, &table->options[i]);
        end(writer, '}');
        bonds(writer, type);
    }
    end(writer, '}');
}

/* ---- the options of config.h ---------------------------------------------------------------------------------- */

static void flag_list(struct writer *writer, const char *type, unsigned max)
{
    fprintf(writer->out,
            "{\"anyOf\": [{\"$ref\": \"#/$defs/%s\"}, {\"type\": \"array\", \"items\": {\"$ref\": \"#/$defs/%s\"}, "
            "\"minItems\": 1, \"maxItems\": %u}]}",
            type, type, max);
}

static void flag_value(struct writer *writer, enum config_index option)
{
    key(writer, "allOf");
    fputc('[', writer->out);
    switch (config_options[option].kind) {
    case KIND_STRING:
        fputs("{\"$ref\": \"#/$defs/TEXT\"}", writer->out);
        break;
    case KIND_LIST:
        flag_list(writer, option == CONFIG_origin ? "ORIGIN" : "TEXT", option == CONFIG_cache_dir ? CONFIG_CACHE_DIRS_MAX : CONFIG_LIST_MAX);
        break;
    case KIND_SIZE:
        fputs("{\"$ref\": \"#/$defs/SIZE\"}", writer->out);
        break;
    case KIND_DURATION:
        fputs("{\"$ref\": \"#/$defs/DURATION\"}", writer->out);
        break;
    case KIND_COUNT:
        fputs(option == CONFIG_workers ? "{\"$ref\": \"#/$defs/BURST\"}, {\"maximum\": 1024}" : "{\"$ref\": \"#/$defs/COUNT\"}",
              writer->out);
        break;
    case KIND_SWITCH:
        fputs("{\"$ref\": \"#/$defs/SWITCH\"}", writer->out);
        break;
    case KIND_IO:
        fputs("{\"enum\": [\"auto\", \"uring\", \"epoll\"]}", writer->out);
        break;
    case KIND_LEVEL:
        fputs("{\"enum\": [\"error\", \"warn\", \"info\", \"debug\"]}", writer->out);
        break;
    }
    fputc(']', writer->out);
}

static void flags(struct writer *writer)
{
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        const struct config_option *option = &config_options[i];

        if (i == CONFIG_config_file)
            continue;
        key(writer, option->flag);
        begin(writer, '{');
        key_text(writer, "description", option->help);
        if (option->dflt != NULL)
            key_text(writer, "default", option->dflt);
        flag_value(writer, (enum config_index)i);
        end(writer, '}');
    }
}

err conf_json_schema_write(char **ret_text, size_t *ret_len)
{
    struct writer writer = {.out = open_memstream(ret_text, ret_len)};

    ENSURE(writer.out != NULL, MEMORY);
    begin(&writer, '{');
    key_text(&writer, "$schema", SCHEMA_ID);
    key_text(&writer, "title", "A configuration of WARP");
    key(&writer, "type");
    fputs("[\"object\", \"null\"]", writer.out);
    key(&writer, "additionalProperties");
    fputs("false", writer.out);
    key(&writer, "properties");
    begin(&writer, '{');
    for (unsigned i = 0; i < conf_root_table.count; i++)
        option_value(&writer, &conf_root_table, &conf_root_table.options[i]);
    flags(&writer);
    end(&writer, '}');
    key(&writer, "$defs");
    begin(&writer, '{');
    for (unsigned i = 0; i < CONF_TYPE_COUNT_; i++)
        definition(&writer, (enum conf_type)i);
    end(&writer, '}');
    end(&writer, '}');
    fputc('\n', writer.out);
    if (fclose(writer.out) == 0)
        return ERR_OK;
    free(*ret_text);
    return ERR(MEMORY);
}
