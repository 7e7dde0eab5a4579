#include "conf/schema.h"

#define OPTIONS(struct_name, TABLE) static const struct conf_option struct_name##_options[] = {TABLE(ROW)}

#define CONF_SHAPED_ONE  CONF_ONE
#define CONF_SHAPED_LIST CONF_LIST_OF
#define CONF_SHAPED_MAP  CONF_MAP_OF

/* A table that names the struct it is of. */
#define TABLE_OF(struct_name, shown, given_at, mark_at, key_at)                                                        \
    {.name = shown,                                                                                                    \
     .options = struct_name##_options,                                                                                 \
     .count = ARRAY_LEN(struct_name##_options),                                                                        \
     .size = sizeof(struct struct_name),                                                                               \
     .given = given_at,                                                                                                \
     .mark = mark_at,                                                                                                  \
     .key = key_at}

#define ROW(name, shape, type, field, dflt, help)                                                                      \
    {name, CONF_SHAPED_##shape, CONF_IS_##type, offsetof(struct OWNER, field), dflt, help},

#define OWNER conf_match
OPTIONS(conf_match, CONF_MATCH);
#undef OWNER
#define OWNER conf_key
OPTIONS(conf_key, CONF_KEY);
#undef OWNER
#define OWNER conf_edit
OPTIONS(conf_edit, CONF_EDIT);
#undef OWNER
#define OWNER conf_redirect
OPTIONS(conf_redirect, CONF_REDIRECT);
#undef OWNER
#define OWNER conf_certificate
OPTIONS(conf_certificate, CONF_CERT);
#undef OWNER
#define OWNER conf_rule
OPTIONS(conf_rule, CONF_RULE);
#undef OWNER
#define OWNER conf_tenant
OPTIONS(conf_tenant, CONF_TENANT);
#undef OWNER
#define OWNER settings
OPTIONS(settings, CONF_ROOT);
#undef OWNER

static_assert(ARRAY_LEN(conf_rule_options) <= 64 && ARRAY_LEN(conf_tenant_options) <= 64, "given has a bit for each");
static_assert(sizeof(struct conf_items) == sizeof(((struct settings *)0)->tenants), "lists have one layout");
static_assert(offsetof(struct conf_items, count) == sizeof(void *), "and the count is behind the items");

static const struct conf_table match_table = TABLE_OF(conf_match, "match", CONF_NOWHERE, CONF_NOWHERE, CONF_NOWHERE),
    key_table = TABLE_OF(conf_key, "key", CONF_NOWHERE, CONF_NOWHERE, CONF_NOWHERE),
    edit_table = TABLE_OF(conf_edit, "request-fields and response-fields", CONF_NOWHERE, CONF_NOWHERE, CONF_NOWHERE),
    redirect_table = TABLE_OF(conf_redirect, "redirect", CONF_NOWHERE, CONF_NOWHERE, CONF_NOWHERE),
    certificate_table = TABLE_OF(conf_certificate, "certificates", CONF_NOWHERE, CONF_NOWHERE, CONF_NOWHERE),
    rule_table = TABLE_OF(conf_rule, "rules", offsetof(struct conf_rule, given), offsetof(struct conf_rule, mark), CONF_NOWHERE),
    tenant_table = TABLE_OF(conf_tenant, "tenants.NAME", offsetof(struct conf_tenant, given), offsetof(struct conf_tenant, mark),
                            offsetof(struct conf_tenant, name));

const struct conf_table conf_root_table = TABLE_OF(settings, "the file", CONF_NOWHERE, CONF_NOWHERE, CONF_NOWHERE);

static const struct conf_table *const tables[CONF_TYPE_COUNT_] = {
    [CONF_IS_MATCH] = &match_table,       [CONF_IS_KEY] = &key_table,          [CONF_IS_EDIT] = &edit_table,
    [CONF_IS_REDIRECT] = &redirect_table, [CONF_IS_CERT] = &certificate_table, [CONF_IS_RULE] = &rule_table,
    [CONF_IS_TENANT] = &tenant_table,
};

const struct conf_type_info conf_types[CONF_TYPE_COUNT_] = {
#define X(shown, type_kind, looks, may_be)                                                                             \
    [CONF_IS_##shown] = {.name = #shown, .pattern = looks, .allowed = may_be, .kind = CONF_KIND_##type_kind, .size = sizeof(CONF_TYPE_##shown)},
    CONF_TYPES(X)
#undef X
};

const char *conf_type_names(enum conf_type type)
{
    static const char *const names[CONF_TYPE_COUNT_] = {
#define X(type, looks) [CONF_IS_##type] = looks,
        CONF_ENTRY_NAMES(X)
#undef X
    };
    return names[type];
}

const struct conf_bond conf_bonds[] = {
#define X(type, setting, other) {CONF_IS_##type, setting, other, NULL},
    CONF_NEEDS(X)
#undef X
#define X(type, setting, other, why) {CONF_IS_##type, setting, other, why},
    CONF_EXCLUDES(X)
#undef X
};
const unsigned conf_bond_count = ARRAY_LEN(conf_bonds);

/* What each request is compared with one by one is held short. */
uint32_t conf_items_max(enum conf_type type)
{
    switch (type) {
    case CONF_IS_TENANT:
        return CONF_TENANTS_MAX;
    case CONF_IS_HOST:
    case CONF_IS_RULE:
    case CONF_IS_RANGE:
    case CONF_IS_PATH:
    case CONF_IS_CERT:
        return CONF_LIST_MAX;
    default:
        return CONF_FEW_MAX;
    }
}

const struct conf_table *conf_type_table(enum conf_type type)
{
    return tables[type];
}

const struct conf_option *conf_option_find(const struct conf_table *table, slice name)
{
    for (unsigned i = 0; i < table->count; i++)
        if (slice_eq(name, slice_str(table->options[i].name)))
            return &table->options[i];
    return NULL;
}
