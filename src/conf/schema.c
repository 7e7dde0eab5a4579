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
#define X(name, kind, allowed) {#name, allowed, CONF_KIND_##kind, sizeof(CONF_TYPE_##name)},
    CONF_TYPES(X)
#undef X
};

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
