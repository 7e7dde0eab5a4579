/* The tables as data: that they are whole, and that what comes from them is. */
#include "conf/walk.h"
#include "conf_test.h"

#include <stdio.h>
#include <stdlib.h>

/* Nothing in a table that a parser, a message or a page would stumble over. */
static void test_tables(void **state)
{
    (void)state;
    for (unsigned type = 0; type < CONF_TYPE_COUNT_; type++) {
        const struct conf_type_info *info = &conf_types[type];
        const struct conf_table *table = conf_type_table((enum conf_type)type);
        bool has_table = info->kind == CONF_KIND_TABLE || info->kind == CONF_KIND_NAMED;

        assert_non_null(info->name);
        assert_true(strlen(info->allowed) > 0);
        assert_true(info->size > 0);
        assert_int_equal(table != NULL, has_table);
        assert_int_equal(conf_type_names((enum conf_type)type) != NULL, info->kind == CONF_KIND_ENTRY);
        assert_int_equal(info->pattern[0] == '^', !has_table);
        if (table != NULL)
            assert_int_equal(table->size, info->size);
        for (unsigned i = 0; table != NULL && i < table->count; i++) {
            const struct conf_option *option = &table->options[i];

            assert_true(option->offset < table->size);
            assert_ptr_equal(conf_option_find(table, slice_str(option->name)), option);
            assert_int_equal(option->shape == CONF_MAP_OF, conf_types[option->type].kind == CONF_KIND_ENTRY);
        }
    }
    assert_null(conf_option_find(&conf_root_table, SLICE("tenant")));
}

static void test_bonds_name_what_is_there(void **state)
{
    (void)state;
    for (unsigned i = 0; i < conf_bond_count; i++) {
        const struct conf_table *table = conf_type_table((enum conf_type)conf_bonds[i].type);

        assert_non_null(conf_option_find(table, slice_str(conf_bonds[i].setting)));
        assert_non_null(conf_option_find(table, slice_str(conf_bonds[i].other)));
    }
}

/* A setting that is new is the owner's only when somebody has thought of it. */
static void test_each_setting_is_the_operators_or_the_owners(void **state)
{
    static const char *const rules_own[] = {"name", "match", "allow", "deny", "rate", "rate-burst", "client-rate", "client-rate-burst",
        "redirect", "cache", "ttl", "ttl-status", "ttl-override", "stale-while-revalidate", "stale-if-error", "client-directives",
        "static", "set-cookie", "key", "request-fields", "response-fields"};
    (void)state;

    for (unsigned t = 0; t < 2; t++) {
        const struct conf_table *table = conf_type_table(t == 0 ? CONF_IS_TENANT : CONF_IS_RULE);

        for (unsigned i = 0; i < table->count; i++) {
            bool is_own = false, is_whole;
            for (size_t o = 0; t > 0 && o < ARRAY_LEN(rules_own); o++)
                is_own |= strcmp(rules_own[o], table->options[i].name) == 0;
            if (is_own == (conf_operators_part(table, &table->options[i], &is_whole) != NULL))
                fail_msg("%s of %s: whose is it?", table->options[i].name, table->name);
        }
    }
}

static void test_defaults(void **state)
{
    struct conf_document *document = NULL;
    struct conf_report *report;
    struct conf_rule rule;
    (void)state;

    assert_int_equal(conf_report_new(&report).code, ERR_NONE);
    assert_int_equal(conf_document_parse("x", SLICE(""), report, &document).code, ERR_NONE);
    struct conf_walk walk = {.document = document, .report = report};
    memset(&rule, 0xff, sizeof(rule));
    conf_walk_defaults(&walk, conf_type_table(CONF_IS_RULE), &rule);
    assert_true(rule.cache);
    assert_int_equal(rule.ttl_ms, 0);
    assert_int_equal(rule.sie_ms, 86400000);
    assert_int_equal(rule.redirect.status, 301);
    assert_int_equal(rule.given, 0);
    assert_int_equal(rule.match.paths.count, 0);
    assert_null(rule.name.data);
    conf_document_free(document);
    conf_report_free(report);
}

/* Each setting is on the page, and in the schema; brackets close. */
static void test_pages(void **state)
{
    char *page, *schema;
    size_t len, open = 0;
    (void)state;

    assert_int_equal(conf_reference_write(&page, &len).code, ERR_NONE);
    assert_int_equal(len, strlen(page));
    assert_int_equal(conf_json_schema_write(&schema, &len).code, ERR_NONE);
    assert_int_equal(len, strlen(schema));
    for (unsigned type = 0; type < CONF_TYPE_COUNT_; type++) {
        const struct conf_table *table = conf_type_table((enum conf_type)type);

        for (unsigned i = 0; table != NULL && i < table->count; i++) {
            char cell[64], key[64];

            snprintf(cell, sizeof(cell), "| `%s` | ", table->options[i].name);
            assert_non_null(strstr(page, cell));
            snprintf(key, sizeof(key), "\"%s\": {", table->options[i].name);
            assert_non_null(strstr(schema, key));
        }
    }
    for (const char *at = schema; *at != '\0'; at++) {
        if (*at == '"') {
            for (at++; *at != '"'; at++)
                at += *at == '\\';
        }
        open += *at == '{' || *at == '[';
        open -= *at == '}' || *at == ']';
    }
    assert_int_equal(open, 0);
    free(page);
    free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables), cmocka_unit_test(test_bonds_name_what_is_there),
                                       cmocka_unit_test(test_each_setting_is_the_operators_or_the_owners),
                                       cmocka_unit_test(test_defaults), cmocka_unit_test(test_pages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
