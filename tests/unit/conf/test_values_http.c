/* Paths, methods, fields, parameters: what could never match, and what would harm. */
#include "value_test.h"

static void test_paths(void **state)
{
    const struct conf_rule *rule = rule_with("match: {path: [/, /img/**, '/*.css', /a..b, /..., /%e4]}");
    char line[320];
    (void)state;

    assert_int_equal(rule->match.paths.count, 6);
    assert_slice(rule->match.paths.items[1], "/img/**");
    refuse("rules: {match: {path: img}}", "is not a pattern of a path");
    refuse("rules: {match: {path: '*'}}", "is not a pattern of a path");
    refuse("rules: {match: {path: '/a?b'}}", "has more than a path; match the query by query:");
    refuse("rules: {match: {path: '/a#b'}}", "has more than a path");
    refuse("rules: {match: {path: '/a b'}}", "write %20 for that byte");
    refuse("rules: {match: {path: /%41}}", "write the character");
    refuse("rules: {match: {path: /a%2fb}}", "write the character");
    refuse("rules: {match: {path: /ü}}", "write %C3 for that byte");
    refuse("rules: {match: {path: \"/a\\x7f\"}}", "holds a control character");
    refuse("rules: {match: {path: /..}}", "has a dot segment");
    refuse("rules: {match: {path: /a/./b}}", "has a dot segment");
    refuse("rules: {match: {path: /a/../b}}", "has a dot segment");
    refuse("rules: {match: {path: /a/.}}", "has a dot segment");
    refuse("rules: {match: {path: /a//b}}", "has slashes that follow each other");
    memset(line, 'x', sizeof(line));
    memcpy(line, "match: {path: /", 15);
    strcpy(line + 15 + 249, "}");
    rule_with(line);
    snprintf(line, sizeof(line), "rules: {match: {path: /%0250u}}", 0);
    refuse(line, "is too long; write at most 250 bytes");
    refuse("rules: {match: {path: []}}", "is empty; write a path");
    rule_with("match: {path: '/**a*b*c*d*e*f*g**', query: {a: '*b*c*d*e*f*g*h*'}}");
    refuse("rules: {match: {path: '/**a*b*c*d*e*f*g*h*'}}", "match.path: \"/**a*b*c*d*e*f*g*h*\" has * in 9 places; write it in at most 8");
    refuse("rules: {match: {query: {a: '*b*c*d*e*f*g*h*i*'}}}", "has * in 9 places");
    refuse("rules: {match: {cookie: {a: '*b*c*d*e*f*g*h*i*'}}}", "has * in 9 places");
    refuse("rules: {match: {field: {a: '*b*c*d*e*f*g*h*i*'}}}", "has * in 9 places");
}

static void test_methods(void **state)
{
    (void)state;
    assert_slice(rule_with("match: {method: M-SEARCH}")->match.methods.items[0], "M-SEARCH");
    refuse("rules: {match: {method: Get}}", "is in small letters");
    refuse("rules: {match: {method: 'GET POST'}}", "is not a method");
    refuse("rules: {match: {method: 'GET,'}}", "is not a method");
}

static void test_fields(void **state)
{
    const struct conf_rule *rule = rule_with("key: {fields: [Accept, x-A]}, match: {field: {User-Agent: '*bot*', X-B: ''}}");
    (void)state;

    assert_slice(rule->key.fields.items[0], "accept");
    assert_slice(rule->key.fields.items[1], "x-a");
    assert_slice(rule->match.fields.items[0].name, "user-agent");
    assert_slice(rule->match.fields.items[0].value, "*bot*");
    assert_slice(rule->match.fields.items[1].value, "");
    refuse("rules: {key: {fields: 'a b'}}", "is not the name of a field");
    refuse("rules: {key: {fields: 'a:'}}", "is not the name of a field");
    refuse("rules: {key: {fields: ü}}", "is not the name of a field");
    refuse("rules: {match: {field: {'a b': x}}}", "match.field.a b: \"a b\" is not the name of a field");
    refuse("rules: {match: {field: {A: x, a: y}}}", "match.field.a: is here twice, first in line 5: case does not matter; write it once");
    refuse("rules: {match: {field: {A: \"x\\r\"}}}", "holds a control character");
    refuse("rules: {match: {field: {A: }}}", "has no value; write a field and a pattern");
}

static void test_edits(void **state)
{
    const struct conf_rule *rule = rule_with("response-fields: {remove: [Server], set: {Cache-Control: 'no-store', X-Empty: ''}, add: {Link: \"a\\tb\"}}");
    (void)state;

    assert_slice(rule->response_edit.remove.items[0], "Server");
    assert_slice(rule->response_edit.set.items[0].name, "Cache-Control");
    assert_slice(rule->response_edit.set.items[0].value, "no-store");
    assert_slice(rule->response_edit.set.items[1].value, "");
    assert_slice(rule->response_edit.add.items[0].value, "a\tb");
    assert_int_equal(rule->response_edit.add.items[0].mark.line, 5);
    refuse("rules: {response-fields: {set: {X: \"a\\r\\nSet-Cookie: b\"}}}", "holds a control character, which a field cannot");
    refuse("rules: {response-fields: {set: {X: \"a\\0b\"}}}", "holds a control character, which a field cannot");
    refuse("rules: {response-fields: {set: {X: ' a'}}}", "begins or ends with a space");
    refuse("rules: {response-fields: {set: {\"X\\r\\nY\": a}}}", "is not the name of a field");
    refuse("rules: {response-fields: {set: {X: a, x: b}}}", "is here twice");
    refuse("rules: {response-fields: {set: {}}}", "is empty; write a field and its value");
}

static void test_what_no_edit_changes(void **state)
{
    static const char *const refused[] = {"Connection", "transfer-ENCODING", "Content-Length", "Host", "Via", "CDN-Loop", "Age", "Cache-Status",
                                          "TE", "Upgrade", "Keep-Alive", "Proxy-Connection", "Trailer", "X-Forwarded-For", "Range", "Set-Cookie"};
    (void)state;

    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        char line[128], why[64];

        snprintf(why, sizeof(why), "\"%s\" cannot be changed: it ", refused[i]);
        snprintf(line, sizeof(line), "rules: {request-fields: {set: {%s: x}}}", refused[i]);
        refuse(line, why);
        snprintf(line, sizeof(line), "rules: {response-fields: {add: {%s: x}}}", refused[i]);
        refuse(line, why);
        snprintf(line, sizeof(line), "rules: {response-fields: {remove: %s}}", refused[i]);
        refuse(line, why);
    }
}

static void test_parameters(void **state)
{
    const struct conf_rule *rule = rule_with("key: {query-drop: [utm_*, fb, '*'], cookies: lang}, match: {query: {q: '', 'a[]': x}, cookie: {c: '*'}}");
    (void)state;

    assert_slice(rule->key.query_drop.items[0], "utm_*");
    assert_slice(rule->key.query_drop.items[2], "*");
    assert_slice(rule->key.cookies.items[0], "lang");
    assert_slice(rule->match.query.items[1].name, "a[]");
    assert_slice(rule->match.cookies.items[0].value, "*");
    refuse("rules: {key: {query-drop: 'a*b'}}", "is not the name of a query parameter or cookie");
    refuse("rules: {key: {query-drop: 'a=b'}}", "is not the name of a query parameter or cookie");
    refuse("rules: {key: {query-drop: 'a&b'}}", "is not the name of a query parameter or cookie");
    refuse("rules: {key: {cookies: 'a;b'}}", "is not the name of a query parameter or cookie");
    refuse("rules: {match: {cookie: {'a*': x}}}", "is not the name of a query parameter or cookie; write one, as requests have it");
    refuse("rules: {match: {query: {'': x}}}", "is not a name; write one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths), cmocka_unit_test(test_methods),             cmocka_unit_test(test_fields),
        cmocka_unit_test(test_edits), cmocka_unit_test(test_what_no_edit_changes), cmocka_unit_test(test_parameters),
    };
    return cmocka_run_group_tests(tests, NULL, done);
}
