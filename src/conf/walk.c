#include "conf/walk.h"

#include "conf/config_internal.h"

#include <stdarg.h>
#include <stdio.h>

#define NAMES_BYTES_MAX 160u /* of a table's settings in a message */

PRINTF(4, 5)
static void problem(struct conf_walk *walk, struct conf_mark mark, const struct conf_path *path, const char *format, ...)
{
    char what[CONF_WHAT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    conf_path_problem(walk->report, walk->document, mark, path, "%s", what);
}

static void *memory(struct conf_walk *walk, size_t size)
{
    void *block = arena_zalloc(walk->document->arena, size);

    walk->is_out_of_memory |= block == NULL;
    return block;
}

/* ---- one value ----------------------------------------------------------------------------------------------- */

static const char *kind_text(const struct conf_node *node)
{
    return node->kind == CONF_LIST ? "is a list" : node->kind == CONF_MAP ? "is a mapping" : "has no value";
}

/* False: something else stands there, which is said, or was said before. */
MUST_USE static bool node_is(struct conf_walk *walk, const struct conf_node *node, enum conf_kind kind, enum conf_type type,
                             const struct conf_path *path)
{
    if (node->is_bad)
        return false;
    if (node->kind == kind)
        return true;
    if (node->kind == CONF_NULL)
        problem(walk, node->mark, path, "has no value; write %s, or leave the line out", conf_types[type].allowed);
    else if (kind == CONF_SCALAR)
        problem(walk, node->mark, path, "%s; write one value: %s", kind_text(node), conf_types[type].allowed);
    else
        problem(walk, node->mark, path, "%s; write a mapping: %s", node->kind == CONF_SCALAR ? "is one value" : kind_text(node),
                conf_types[type].allowed);
    return false;
}

MUST_USE static bool scalar_read(struct conf_walk *walk, enum conf_type type, const struct conf_node *node,
                                 const struct conf_path *path, void *ret_value)
{
    struct conf_scalar scalar = {.walk = walk, .text = node->text, .mark = node->mark};
    char quoted[CONF_QUOTED_BYTES];

    if (!node_is(walk, node, CONF_SCALAR, type, path))
        return false;
    if (conf_value_parse(type, &scalar, ret_value))
        return true;
    problem(walk, node->mark, path, "%s %s", conf_quoted(node->text, quoted), scalar.why);
    return false;
}

/* A key that is a name of the user's: it stays when the tree goes. data NULL: no memory. */
static slice key_keep(struct conf_walk *walk, const struct conf_node *node)
{
    char *kept = arena_alloc(walk->document->arena, node->key.len + 1);

    walk->is_out_of_memory |= kept == NULL;
    if (kept == NULL)
        return SLICE_NONE;
    memcpy(kept, node->key.data, node->key.len);
    kept[node->key.len] = '\0';
    return slice_of(kept, node->key.len);
}

MUST_USE static bool entry_read(struct conf_walk *walk, enum conf_type type, const struct conf_node *node,
                                const struct conf_path *path, void *ret_value)
{
    struct conf_scalar scalar = {.walk = walk, .text = node->text, .mark = node->mark};
    char quoted[CONF_QUOTED_BYTES];
    bool is_name = false;

    if (!node_is(walk, node, CONF_SCALAR, type, path))
        return false;
    slice key = key_keep(walk, node);
    if (key.data == NULL)
        return false;
    if (type != CONF_IS_TIMES)
        ((struct conf_pair *)ret_value)->mark = node->key_mark;
    if (conf_entry_parse(type, key, &scalar, ret_value, &is_name))
        return true;
    problem(walk, is_name ? node->key_mark : node->mark, path, "%s %s", conf_quoted(is_name ? node->key : node->text, quoted),
            scalar.why);
    return false;
}

/* A mapping with a table of its own. */
MUST_USE static bool struct_read(struct conf_walk *walk, enum conf_type type, const struct conf_node *node,
                                 const struct conf_path *path, void *ret_value)
{
    if (!node_is(walk, node, CONF_MAP, type, path))
        return false;
    if (node->count == 0 && conf_types[type].kind == CONF_KIND_TABLE) {
        problem(walk, node->mark, path, "is empty; write %s, or leave the line out", conf_types[type].allowed);
        return false;
    }
    conf_walk_table(walk, conf_type_table(type), node, path, ret_value);
    return true;
}

MUST_USE static bool named_read(struct conf_walk *walk, enum conf_type type, const struct conf_node *node,
                                const struct conf_path *path, void *ret_value)
{
    struct conf_scalar scalar = {.walk = walk, .text = key_keep(walk, node), .mark = node->key_mark};
    const struct conf_table *table = conf_type_table(type);
    char quoted[CONF_QUOTED_BYTES];
    slice name;

    if (scalar.text.data == NULL)
        return false;
    bool is_name = conf_value_parse(CONF_IS_NAME, &scalar, &name);

    if (!is_name)
        problem(walk, node->key_mark, path, "%s %s", conf_quoted(node->key, quoted), scalar.why);
    if (!struct_read(walk, type, node, path, ret_value) || !is_name)
        return false;
    memcpy((char *)ret_value + table->key, &name, sizeof(name));
    memcpy((char *)ret_value + table->mark, &node->key_mark, sizeof(node->key_mark));
    return true;
}

MUST_USE static bool value_read(struct conf_walk *walk, enum conf_type type, const struct conf_node *node,
                                const struct conf_path *path, void *ret_value)
{
    switch ((enum conf_type_kind)conf_types[type].kind) {
    case CONF_KIND_SCALAR:
        return scalar_read(walk, type, node, path, ret_value);
    case CONF_KIND_ENTRY:
        return entry_read(walk, type, node, path, ret_value);
    case CONF_KIND_TABLE:
        return struct_read(walk, type, node, path, ret_value);
    case CONF_KIND_NAMED:
        return named_read(walk, type, node, path, ret_value);
    }
    INVARIANT(!"a kind without a reader");
}

/* ---- lists and maps ------------------------------------------------------------------------------------------ */

MUST_USE static bool count_fits(struct conf_walk *walk, const struct conf_option *option, const struct conf_node *node,
                                const struct conf_path *path)
{
    uint32_t max = conf_items_max((enum conf_type)option->type);

    if (node->count == 0)
        problem(walk, node->mark, path, "is empty; write %s, or leave the line out", conf_types[option->type].allowed);
    else if (node->count > max)
        problem(walk, node->mark, path, "has %u entries; write at most %u", node->count, max);
    return node->count > 0 && node->count <= max;
}

static void items_read(struct conf_walk *walk, const struct conf_option *option, const struct conf_node *first, uint32_t count,
                       const struct conf_path *path, struct conf_items *ret_items)
{
    size_t size = conf_types[option->type].size;
    char *items = memory(walk, count * size);
    uint32_t done = 0, at = 0;

    for (const struct conf_node *node = first; items != NULL && at < count; node = node->next, at++) {
        struct conf_path inner = {.up = path, .key = node->key, .index = at, .is_item = option->shape == CONF_LIST_OF};

        if (value_read(walk, (enum conf_type)option->type, node, &inner, items + done * size))
            done++;
        else
            memset(items + done * size, 0, size);
    }
    ret_items->items = items;
    ret_items->count = items != NULL ? done : 0;
}

static void list_read(struct conf_walk *walk, const struct conf_option *option, const struct conf_node *node,
                      const struct conf_path *path, struct conf_items *ret_items)
{
    if (node->is_bad)
        return;
    if (node->kind == CONF_LIST) {
        if (count_fits(walk, option, node, path))
            items_read(walk, option, node->first, node->count, path, ret_items);
        return;
    }
    /* one alone, whose path is the setting's */
    size_t size = conf_types[option->type].size;
    void *item = memory(walk, size);
    if (item != NULL && value_read(walk, (enum conf_type)option->type, node, path, item))
        *ret_items = (struct conf_items){.items = item, .count = 1};
}

/* Names of fields that differ in case only are one. */
static void pairs_check(struct conf_walk *walk, const struct conf_items *items, const struct conf_path *path)
{
    const struct conf_pair *pairs = items->items;

    for (uint32_t i = 0; i < items->count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (slice_eq_nocase(pairs[i].name, pairs[j].name)) {
                struct conf_path inner = {.up = path, .key = pairs[i].name};
                problem(walk, pairs[i].mark, &inner, "is here twice, first in line %u: case does not matter; write it once",
                        pairs[j].mark.line);
            }
}

static void map_read(struct conf_walk *walk, const struct conf_option *option, const struct conf_node *node,
                     const struct conf_path *path, struct conf_items *ret_items)
{
    if (!node_is(walk, node, CONF_MAP, (enum conf_type)option->type, path) || !count_fits(walk, option, node, path))
        return;
    items_read(walk, option, node->first, node->count, path, ret_items);
    if (option->type == CONF_IS_EDIT_PAIR || option->type == CONF_IS_FIELD_PATTERN)
        pairs_check(walk, ret_items, path);
}

void conf_walk_option(struct conf_walk *walk, const struct conf_option *option, const struct conf_node *node,
                      const struct conf_path *path, void *ret_struct)
{
    void *field = (char *)ret_struct + option->offset;
    struct conf_items items = {0};

    if (option->shape == CONF_ONE) {
        if (!value_read(walk, (enum conf_type)option->type, node, path, field))
            return; /* as the default left it */
    } else {
        if (option->shape == CONF_LIST_OF)
            list_read(walk, option, node, path, &items);
        else
            map_read(walk, option, node, path, &items);
        memcpy(field, &items, sizeof(void *) + sizeof(uint32_t));
    }
}

/* ---- a table ------------------------------------------------------------------------------------------------- */

void conf_walk_defaults(struct conf_walk *walk, const struct conf_table *table, void *ret_struct)
{
    memset(ret_struct, 0, table->size);
    for (unsigned i = 0; i < table->count; i++) {
        const struct conf_option *option = &table->options[i];
        void *field = (char *)ret_struct + option->offset;
        struct conf_scalar scalar = {.walk = walk, .text = slice_str(option->dflt)};

        if (option->shape == CONF_ONE && conf_type_table((enum conf_type)option->type) != NULL)
            conf_walk_defaults(walk, conf_type_table((enum conf_type)option->type), field);
        else if (option->dflt != NULL && !conf_option_is_required(option))
            INVARIANT(conf_value_parse((enum conf_type)option->type, &scalar, field));
    }
}

/* "a, b, c", as far as there is room. */
static const char *names_text(const struct conf_table *table, char buffer[NAMES_BYTES_MAX])
{
    size_t at = 0;

    for (unsigned i = 0; i < table->count; i++) {
        if (at + strlen(table->options[i].name) + 8 > NAMES_BYTES_MAX) {
            snprintf(buffer + at, NAMES_BYTES_MAX - at, " ...");
            break;
        }
        at += (size_t)snprintf(buffer + at, NAMES_BYTES_MAX - at, "%s%s", i > 0 ? ", " : "", table->options[i].name);
    }
    return buffer;
}

static void unknown(struct conf_walk *walk, const struct conf_table *table, const struct conf_node *node,
                    const struct conf_path *path)
{
    const char *words[64], *nearest;
    char names[NAMES_BYTES_MAX], word[CONF_QUOTED_BYTES];

    INVARIANT(table->count <= ARRAY_LEN(words));
    if (!conf_report_has_room(walk->report)) {
        walk->report->more++;
        return;
    }
    for (unsigned i = 0; i < table->count; i++)
        words[i] = table->options[i].name;
    snprintf(word, sizeof(word), SLICE_FMT, (int)MIN(node->key.len, sizeof(word)), node->key.data);
    nearest = config_nearest_of(word, words, table->count);
    if (nearest != NULL)
        problem(walk, node->key_mark, path, "unknown setting; did you mean %s?", nearest);
    else
        problem(walk, node->key_mark, path, "unknown setting; what there is: %s", names_text(table, names));
}

static void bonds_check(struct conf_walk *walk, const struct conf_table *table, const struct conf_node *map,
                        const struct conf_path *path)
{
    for (unsigned i = 0; i < conf_bond_count; i++) {
        const struct conf_bond *bond = &conf_bonds[i];
        struct conf_path inner = {.up = path, .key = slice_str(bond->setting)};
        const struct conf_node *node, *other;

        if (conf_type_table((enum conf_type)bond->type) != table)
            continue;
        node = conf_node_get(map, inner.key);
        other = node != NULL ? conf_node_get(map, slice_str(bond->other)) : NULL;
        if (node != NULL && other == NULL && bond->why == NULL)
            problem(walk, node->key_mark, &inner, "is there without %s; write %s: as well", bond->other, bond->other);
        if (other != NULL && bond->why != NULL)
            problem(walk, node->key_mark, &inner, "is there with %s, %s", bond->other, bond->why);
    }
}

void conf_walk_table(struct conf_walk *walk, const struct conf_table *table, const struct conf_node *map,
                     const struct conf_path *path, void *ret_struct)
{
    uint64_t given = 0;

    conf_walk_defaults(walk, table, ret_struct);
    for (const struct conf_node *node = map->first; node != NULL; node = node->next) {
        struct conf_path inner = {.up = path, .key = node->key};
        const struct conf_option *option = conf_option_find(table, node->key);

        if (option == NULL) {
            unknown(walk, table, node, &inner);
            continue;
        }
        given |= UINT64_C(1) << (option - table->options);
        conf_walk_option(walk, option, node, &inner, ret_struct);
    }
    for (unsigned i = 0; i < table->count; i++) {
        struct conf_path inner = {.up = path, .key = slice_str(table->options[i].name)};
        if (conf_option_is_required(&table->options[i]) && (given >> i & 1) == 0)
            problem(walk, map->mark, &inner, "is missing; write %s", conf_types[table->options[i].type].allowed);
    }
    bonds_check(walk, table, map, path);
    if (table->given != CONF_NOWHERE)
        memcpy((char *)ret_struct + table->given, &given, sizeof(given));
    if (table->mark != CONF_NOWHERE)
        memcpy((char *)ret_struct + table->mark, &map->mark, sizeof(map->mark));
}

void conf_walk_tenant(struct conf_walk *walk, const struct conf_node *node, const struct conf_path *path,
                      struct conf_tenant *ret_tenant)
{
    if (!named_read(walk, CONF_IS_TENANT, node, path, ret_tenant))
        conf_walk_defaults(walk, conf_type_table(CONF_IS_TENANT), ret_tenant);
}
