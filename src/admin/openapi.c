/* GET /api/v1/openapi.json: the API, described by its own table of routes (OpenAPI 3.1). */
#include "admin/admin_internal.h"

#include "conf/schema.h"

#include <stdio.h>
#include <stdlib.h>

#define API_PREFIX  "/api/v1/"
#define SCHEMA_PATH "#/components/schemas/"
#define CONF_DEFS   "#/$defs/" /* where conf/schema.h has them */
#define CONF_PREFIX "Config." /* and what they are called here */

static const struct {
    const char *name, *schema, *text;
} params[] = {
#define X(name, schema, text) {name, schema, text},
    ADMIN_PARAMS(X)
#undef X
};

static const struct {
    const char *name, *schema;
} schemas[] = {
#define X(name, schema) {name, schema},
    ADMIN_SCHEMAS(X)
#undef X
};

/* Of the table's form, in which ' stands for ". */
static json_t *schema_json(const char *text)
{
    char *copy = strdup(text);
    json_error_t error;
    json_t *schema;

    if (copy == NULL)
        return NULL;
    for (char *c = copy; *c != '\0'; c++)
        *c = *c == '\'' ? '"' : *c;
    schema = json_loads(copy, JSON_REJECT_DUPLICATES, &error);
    free(copy);
    return schema;
}

static json_t *schema_ref(const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), SCHEMA_PATH "%s", name);
    return json_pack("{s:s}", "$ref", path);
}

static json_t *param_json(slice name, const char *where)
{
    size_t i = 0;

    while (!slice_eq(name, slice_str(params[i].name))) {
        i++;
        INVARIANT(i < ARRAY_LEN(params)); /* a row of the table of routes names what is not in that of parameters */
    }
    return json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", params[i].name, "in", where, "required", strcmp(where, "path") == 0,
                     "description", params[i].text, "schema", schema_json(params[i].schema));
}

static json_t *params_json(const struct admin_route *route)
{
    json_t *list = json_array();

    for (const char *at = route->path; (at = strchr(at, '{')) != NULL; at++)
        json_array_append_new(list, param_json(slice_of(at + 1, strcspn(at + 1, "}")), "path"));
    for (const char *at = route->params; *at != '\0'; at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
        json_array_append_new(list, param_json(slice_of(at, strcspn(at, ",")), "query"));
    return list;
}

static json_t *content(const char *type, json_t *schema)
{
    return json_pack("{s:{s:o}}", type, "schema", schema);
}

static json_t *responses_json(const struct admin_route *route)
{
    json_t *responses = json_object();
    char status[4] = "";

    for (const char *at = route->statuses; *at != '\0'; at += strcspn(at, " ") + (at[strcspn(at, " ")] == ' ')) {
        json_t *schema = schema_ref(route->answer);
        memcpy(status, at, 3);
        if (status[0] >= '4')
            schema = json_pack("{s:[o, o]}", "anyOf", schema, schema_ref("Problem"));
        json_object_set_new(responses, status,
                            json_pack("{s:s, s:o}", "description", route->text, "content",
                                      content(status[0] >= '4' ? "application/problem+json" : "application/json", schema)));
    }
    json_object_set_new(responses, "default",
                        json_pack("{s:s, s:o}", "description", "what went wrong (RFC 9457)", "content",
                                  content("application/problem+json", schema_ref("Problem"))));
    return responses;
}

static json_t *operation_json(const struct admin_route *route)
{
    json_t *operation = json_pack("{s:s, s:o, s:o}", "summary", route->text, "parameters", params_json(route), "responses",
                                  responses_json(route));
    char right[64];

    snprintf(right, sizeof(right), "%s", route->access == ADMIN_ANY ? "any token" : token_right_word(route->right));
    json_object_set_new(operation, "x-right", json_string(right));
    if (route->body[0] != '\0') {
        json_t *types = content("application/json", schema_ref(route->body));
        if (strcmp(route->body, "TenantConfig") == 0)
            json_object_set_new(types, "application/yaml", json_pack("{s:o}", "schema", schema_ref(route->body)));
        json_object_set_new(operation, "requestBody", json_pack("{s:b, s:o}", "required", 1, "content", types));
    }
    return operation;
}

static json_t *paths_json(void)
{
    static const struct {
        enum method method;
        const char *name;
    } names[] = {{METHOD_GET, "get"}, {METHOD_POST, "post"}, {METHOD_PUT, "put"}, {METHOD_DELETE, "delete"}};
    json_t *paths = json_object();

    for (unsigned i = 0; i < admin_route_count; i++) {
        const struct admin_route *route = &admin_routes[i];
        if (strncmp(route->path, API_PREFIX, strlen(API_PREFIX)) != 0)
            continue;
        if (json_object_get(paths, route->path) == NULL)
            json_object_set_new(paths, route->path, json_object());
        for (size_t m = 0; m < ARRAY_LEN(names); m++)
            if (names[m].method == route->method)
                json_object_set_new(json_object_get(paths, route->path), names[m].name, operation_json(route));
    }
    return paths;
}

/* Every path of a reference, from those of the configuration's own document to those of this one. */
static void refs_move(json_t *schema)
{
    const char *name, *path = json_string_value(json_object_get(schema, "$ref"));
    json_t *value;
    size_t index;
    char moved[128];

    if (path != NULL && strncmp(path, CONF_DEFS, strlen(CONF_DEFS)) == 0) {
        snprintf(moved, sizeof(moved), SCHEMA_PATH CONF_PREFIX "%s", path + strlen(CONF_DEFS));
        json_object_set_new(schema, "$ref", json_string(moved));
    }
    json_object_foreach(schema, name, value)
        refs_move(value);
    json_array_foreach(schema, index, value)
        refs_move(value);
}

/* What may stand in a configuration is said by its tables. */
static void conf_schemas_add(json_t *all)
{
    char *text = NULL, name[64];
    json_t *root, *value;
    json_error_t error;
    const char *key;
    size_t len;

    if (!err_is_ok(conf_json_schema_write(&text, &len)))
        return;
    root = json_loadb(text, len, 0, &error);
    free(text);
    json_object_foreach(json_object_get(root, "$defs"), key, value)
    {
        refs_move(value);
        snprintf(name, sizeof(name), CONF_PREFIX "%s", key);
        json_object_set(all, name, value);
    }
    json_decref(root);
}

static json_t *schemas_json(void)
{
    json_t *all = json_object();

    conf_schemas_add(all);
    for (size_t i = 0; i < ARRAY_LEN(schemas); i++)
        json_object_set_new(all, schemas[i].name, schema_json(schemas[i].schema));
    return all;
}

json_t *admin_openapi_json(const char *version)
{
    return json_pack("{s:s, s:{s:s, s:s}, s:[{s:[]}], s:o, s:{s:o, s:{s:{s:s, s:s}}}}", "openapi", "3.1.0", "info", "title", "WARP",
                     "version", version, "security", "bearer", "paths", paths_json(), "components", "schemas", schemas_json(),
                     "securitySchemes", "bearer", "type", "http", "scheme", "bearer");
}

void admin_openapi(struct admin_request *request)
{
    admin_answer_json(request, 200, admin_openapi_json(request->context->version));
}
