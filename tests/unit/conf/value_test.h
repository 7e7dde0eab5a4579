/* Tests of values: a tenant with one setting, and what is said of a wrong one. */
#ifndef WARP_TESTS_CONF_VALUE_TEST_H
#define WARP_TESTS_CONF_VALUE_TEST_H

#include "conf_test.h"

#include <stdio.h>

static struct conf_test test;
static char text[8192];

/* The tenant with one setting more. */
static inline const struct conf_tenant *tenant_with(const char *setting)
{
    snprintf(text, sizeof(text), "tenants:\n  t:\n    hosts: t.example\n    %s\n    %s\n", strncmp(setting, "origins:", 8) == 0 ? "requests: 0" : "origins: o",
             setting);
    conf_test_file = text;
    assert_read(&test, WORDS("--config=warp.yaml"), NO_WORDS);
    return &test.settings->tenants.items[0];
}

static inline const struct conf_rule *rule_with(const char *setting)
{
    char line[4096];

    snprintf(line, sizeof(line), "rules: {%s}", setting);
    return &tenant_with(line)->rules.items[0];
}

/* Each is refused, with that in the message. */
static inline void refuse(const char *setting, const char *why)
{
    err result;

    snprintf(text, sizeof(text), "tenants:\n  t:\n    hosts: t.example\n    %s\n    %s\n", strncmp(setting, "origins:", 8) == 0 ? "requests: 0" : "origins: o",
             setting);
    conf_test_file = text;
    result = conf_test_read(&test, WORDS("--config=warp.yaml"), NO_WORDS);
    assert_int_equal(result.code, ERR_INVALID);
    if (strstr(test.message, why) == NULL || strchr(test.message, '\n') != NULL)
        assert_string_equal(test.message, why);
}

static inline int done(void **state)
{
    (void)state;
    conf_test_done(&test);
    return 0;
}

#endif
