/* docs/reference/config.md, from the tables. */
#include "conf/config_internal.h"
#include "conf/schema.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* A table's cell: bars would end it. */
static void cell(FILE *out, const char *text)
{
    fputc(' ', out);
    for (; *text != '\0'; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
    fputs(" |", out);
}

/* REDIRECT_STATUS as "redirect status". */
static void type_word(FILE *out, const char *name)
{
    for (; *name != '\0'; name++)
        fputc(*name == '_' ? ' ' : tolower((unsigned char)*name), out);
}

static void head(FILE *out)
{
    fputs("| setting | value | default | what |\n|---|---|---|---|\n", out);
}

/* What of it only the operator changes, when owners of tenants change the rest. */
static const char *operators_word(const struct conf_table *table, const struct conf_option *option)
{
    bool is_whole;

    if (conf_operators_part(table, option, &is_whole) == NULL)
        return "";
    return is_whole ? " (the operator's)" : " (in part the operator's)";
}

static void option_row(FILE *out, const struct conf_table *table, const struct conf_option *option)
{
    const struct conf_type_info *type = &conf_types[option->type];
    char what[512];

    fprintf(out, "| `%s` | ", option->name);
    type_word(out, type->name);
    if (option->shape == CONF_LIST_OF)
        fputs(", or a list of them", out);
    else if (option->shape == CONF_MAP_OF)
        fputs(", by name", out);
    if (conf_option_is_required(option))
        fputs(" | must be there |", out);
    else if (option->dflt != NULL)
        fprintf(out, " | `%s` |", option->dflt);
    else
        fputs(" | |", out);
    snprintf(what, sizeof(what), "%s%s", option->help, operators_word(table, option));
    cell(out, what);
    fputc('\n', out);
}

static void table_section(FILE *out, const struct conf_table *table)
{
    fprintf(out, "\n## %s\n\n", table->name);
    head(out);
    for (unsigned i = 0; i < table->count; i++)
        option_row(out, table, &table->options[i]);
}

static void flag_row(FILE *out, const struct config_option *option)
{
    static const char *const kinds[] = {
        [KIND_STRING] = "text",
        [KIND_LIST] = "text, or a list of them",
        [KIND_SIZE] = "size",
        [KIND_DURATION] = "duration",
        [KIND_COUNT] = "count",
        [KIND_SWITCH] = "switch",
        [KIND_IO] = "auto, uring or epoll",
        [KIND_LEVEL] = "error, warn, info or debug",
    };

    fprintf(out, "| `%s` | %s |", option->flag, kinds[option->kind]);
    if (option->dflt != NULL)
        fprintf(out, " `%s` |", option->dflt);
    else
        fputs(" |", out);
    cell(out, option->help);
    fputc('\n', out);
}

static void root_section(FILE *out)
{
    fputs(
        "\n## The top\n\nBeside these: what is a flag of `warp run` is a setting of the file as well, with the same name.\n\n",
        out);
    head(out);
    for (unsigned i = 0; i < conf_root_table.count; i++)
        option_row(out, &conf_root_table, &conf_root_table.options[i]);
    fputc('\n', out);
    head(out);
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        if (i != CONFIG_config_file)
            flag_row(out, &config_options[i]);
}

/* There is a list or map of them. */
static bool is_of_many(enum conf_type type)
{
    for (unsigned i = 0; i <= CONF_TYPE_COUNT_; i++) {
        const struct conf_table *table = i < CONF_TYPE_COUNT_ ? conf_type_table((enum conf_type)i) : &conf_root_table;

        for (unsigned o = 0; table != NULL && o < table->count; o++)
            if (table->options[o].type == type && table->options[o].shape != CONF_ONE)
                return true;
    }
    return false;
}

static void values_section(FILE *out)
{
    fputs("\n## Values\n\nA list or a mapping that is written has something in it; only a tenant may be `{}`.\n\n| value | what may be written | entries "
          "of a list or mapping |\n|---|---|---|\n",
          out);
    for (unsigned i = 0; i < CONF_TYPE_COUNT_; i++) {
        fputs("| ", out);
        type_word(out, conf_types[i].name);
        fputs(" |", out);
        cell(out, conf_types[i].allowed);
        if (is_of_many((enum conf_type)i))
            fprintf(out, " at most %u |\n", conf_items_max((enum conf_type)i));
        else
            fputs(" |\n", out);
    }
}

static void bonds_section(FILE *out)
{
    fputs("\n## Together\n\n| in | setting | |\n|---|---|---|\n", out);
    for (unsigned i = 0; i < conf_bond_count; i++) {
        const struct conf_bond *bond = &conf_bonds[i];

        fprintf(out, "| %s | `%s` | %s `%s` |\n", conf_type_table((enum conf_type)bond->type)->name, bond->setting,
                bond->why == NULL ? "needs" : "cannot be with", bond->other);
    }
    fprintf(out, "\nAll `guaranteed` together are at most %u%%. A host belongs to one tenant. A pattern of a path has at most %u bytes, "
            "and one of a path or a value has `*` in at most %u places.\n",
            CONF_GUARANTEED_MAX, CONF_PATTERN_MAX, CONF_STARS_MAX);
}

/* The rows that say more than "the operator's". */
static void operators_section(FILE *out)
{
    fputs("\n## The operator's\n\nSettings of a tenant that somebody with a token for that tenant alone cannot change "
          "([security.md](../security.md)):\n403 with their paths. What stands as it stood passes.\n\n| in | setting | |\n|---|---|---|\n",
          out);
    for (unsigned i = 0; i < CONF_TYPE_COUNT_; i++) {
        const struct conf_table *table = conf_type_table((enum conf_type)i);

        for (unsigned o = 0; table != NULL && o < table->count; o++) {
            bool is_whole;
            const char *why = conf_operators_part(table, &table->options[o], &is_whole);
            if (why != NULL)
                fprintf(out, "| %s | `%s` | %s |\n", table->name, table->options[o].name, why);
        }
    }
}

static void edits_section(FILE *out)
{
    fputs("\n## Fields that no edit changes\n\n", out);
    for (unsigned i = 0; conf_edit_refused(i) != NULL; i++)
        fprintf(out, "%s`%s`", i == 0 ? "" : i % 8 == 0 ? ",\n" : ", ", conf_edit_refused(i));
    fputs(".\n", out);
}

err conf_reference_write(char **ret_text, size_t *ret_len)
{
    FILE *out = open_memstream(ret_text, ret_len);

    ENSURE(out != NULL, MEMORY);
    fputs("# The configuration file\n\nWhat stands where; [configuration.md](../configuration.md) explains it, "
          "[config.schema.json](config.schema.json) tells it to editors.\n",
          out);
    root_section(out);
    for (unsigned i = CONF_TYPE_COUNT_; i-- > 0;)
        if (conf_type_table((enum conf_type)i) != NULL)
            table_section(out, conf_type_table((enum conf_type)i));
    values_section(out);
    bonds_section(out);
    operators_section(out);
    edits_section(out);
    if (fclose(out) == 0)
        return ERR_OK;
    free(*ret_text);
    return ERR(MEMORY);
}
