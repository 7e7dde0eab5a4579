/* What of a configuration is the operator's, and whether a change touches it: by the tables. */
#include "conf/schema.h"

#include <stdio.h>

enum part { PART, WHOLE };

static const struct {
    uint8_t type; /* enum conf_type: whose table */
    uint8_t part;
    const char *setting, *why;
} operators[] = {
#define X(type, setting, part, why) {CONF_IS_##type, part, setting, why},
    CONF_OPERATORS(X)
#undef X
};

const char *conf_operators_part(const struct conf_table *table, const struct conf_option *option, bool *ret_is_whole)
{
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (conf_type_table((enum conf_type)operators[i].type) != table || strcmp(operators[i].setting, option->name) != 0)
            continue;
        *ret_is_whole = operators[i].part == WHOLE;
        return operators[i].why;
    }
    return NULL;
}

/* ---- is a value the same? -------------------------------------------------------------------------------------------- */

static bool tables_are_equal(const struct conf_table *table, const void *a, const void *b);

static bool pairs_are_equal(const struct conf_pair *a, const struct conf_pair *b)
{
    return slice_eq(a->name, b->name) && slice_eq(a->value, b->value);
}

static bool shares_are_equal(const struct conf_share *a, const struct conf_share *b)
{
    return a->is_given == b->is_given && a->bytes == b->bytes && a->percent == b->percent;
}

static bool ranges_are_equal(const struct conf_range *a, const struct conf_range *b)
{
    return a->bits == b->bits && memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

static bool times_are_equal(const struct conf_status_time *a, const struct conf_status_time *b)
{
    return a->from == b->from && a->to == b->to && a->ms == b->ms;
}

static bool values_are_equal(enum conf_type type, const void *a, const void *b)
{
    const struct conf_rate *rate = a, *other = b;

    switch (type) {
    case CONF_IS_TEXT:
    case CONF_IS_FILE:
    case CONF_IS_NAME:
    case CONF_IS_HOST:
    case CONF_IS_PATH:
    case CONF_IS_METHOD:
    case CONF_IS_FIELD:
    case CONF_IS_EDIT_FIELD:
    case CONF_IS_TOKEN:
    case CONF_IS_ORIGIN:
        return slice_eq(*(const slice *)a, *(const slice *)b);
    case CONF_IS_SIZE:
    case CONF_IS_DURATION:
    case CONF_IS_COUNT:
    case CONF_IS_BURST:
    case CONF_IS_REDIRECT_STATUS:
    case CONF_IS_PERCENT:
    case CONF_IS_SWITCH:
    case CONF_IS_SET_COOKIE:
        return memcmp(a, b, conf_types[type].size) == 0; /* a number */
    case CONF_IS_SHARE:
        return shares_are_equal(a, b);
    case CONF_IS_RATE:
        return rate->requests == other->requests && rate->per_s == other->per_s;
    case CONF_IS_RANGE:
        return ranges_are_equal(a, b);
    case CONF_IS_PARAM_PATTERN:
    case CONF_IS_FIELD_PATTERN:
    case CONF_IS_EDIT_PAIR:
        return pairs_are_equal(a, b);
    case CONF_IS_TIMES:
        return times_are_equal(a, b);
    case CONF_IS_MATCH:
    case CONF_IS_KEY:
    case CONF_IS_EDIT:
    case CONF_IS_REDIRECT:
    case CONF_IS_RULE:
    case CONF_IS_CERT:
    case CONF_IS_TENANT:
        return tables_are_equal(conf_type_table(type), a, b);
    case CONF_TYPE_COUNT_:
        break;
    }
    INVARIANT(!"a type without a comparison");
}

/* Lists as lists are: the order counts. */
static bool options_are_equal(const struct conf_option *option, const void *a, const void *b)
{
    const char *one = (const char *)a + option->offset, *other = (const char *)b + option->offset;
    enum conf_type type = (enum conf_type)option->type;
    struct conf_items items, others;

    if (option->shape == CONF_ONE)
        return values_are_equal(type, one, other);
    memcpy(&items, one, sizeof(void *) + sizeof(uint32_t));
    memcpy(&others, other, sizeof(void *) + sizeof(uint32_t));
    if (items.count != others.count)
        return false;
    for (uint32_t i = 0; i < items.count; i++)
        if (!values_are_equal(type, (const char *)items.items + i * conf_types[type].size,
                              (const char *)others.items + i * conf_types[type].size))
            return false;
    return true;
}

/* What has a default is the same written and left out; of the rest it matters whether it was written. */
static bool is_given_alike(const struct conf_table *table, unsigned i, const void *a, const void *b)
{
    uint64_t given, other;

    if (table->given == CONF_NOWHERE || table->options[i].dflt != NULL)
        return true;
    memcpy(&given, (const char *)a + table->given, sizeof(given));
    memcpy(&other, (const char *)b + table->given, sizeof(other));
    return (given >> i & 1) == (other >> i & 1);
}

static bool tables_are_equal(const struct conf_table *table, const void *a, const void *b)
{
    if (table->given != CONF_NOWHERE && memcmp((const char *)a + table->given, (const char *)b + table->given, sizeof(uint64_t)) != 0)
        return false; /* in a rule a default that is written replaces what rules before said */
    for (unsigned i = 0; i < table->count; i++)
        if (!options_are_equal(&table->options[i], a, b))
            return false;
    return true;
}

/* ---- a tenant ---------------------------------------------------------------------------------------------------------- */

static bool rule_was_there(const struct conf_tenant *before, const struct conf_rule *rule)
{
    for (uint32_t i = 0; i < before->rules.count; i++)
        if (before->rules.items[i].max_object_bytes == rule->max_object_bytes &&
            tables_are_equal(conf_type_table(CONF_IS_RULE), &before->rules.items[i], rule))
            return true;
    return false;
}

/* A rule may be stricter than the tenant's limit. One that is laxer is the operator's, and stays while nothing of it changes. */
static bool rule_is_above(const struct conf_tenant *before, const struct conf_rule *rule)
{
    return CONF_GIVEN(before->given, CONF_TENANT_max_object_bytes) && CONF_GIVEN(rule->given, CONF_RULE_max_object_bytes) &&
           rule->max_object_bytes > before->max_object_bytes && !rule_was_there(before, rule);
}

void conf_operators_compare(const struct conf_tenant *before, const struct conf_tenant *after,
                            void (*found)(void *arg, const char *where, const char *why), void *arg)
{
    const struct conf_table *table = conf_type_table(CONF_IS_TENANT);
    char where[64];

    for (unsigned i = 0; i < table->count; i++) {
        const struct conf_option *option = &table->options[i];
        bool is_whole;
        const char *why = conf_operators_part(table, option, &is_whole);

        if (why == NULL || !is_whole || (options_are_equal(option, before, after) && is_given_alike(table, i, before, after)))
            continue;
        snprintf(where, sizeof(where), ".%s", option->name);
        found(arg, where, why);
    }
    for (uint32_t i = 0; i < after->rules.count; i++) {
        if (!rule_is_above(before, &after->rules.items[i]))
            continue;
        snprintf(where, sizeof(where), ".rules[%u].max-object-size", i);
        found(arg, where, "an owner writes at most the tenant's own max-object-size");
    }
}
