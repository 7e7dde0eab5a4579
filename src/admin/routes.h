/* routes: what the admin listener answers, from which the OpenAPI document and docs/reference/api.md come.
 *
 * A text in braces in a path is any one segment; in schemas ' stands for ". */
#ifndef WARP_ADMIN_ROUTES_H
#define WARP_ADMIN_ROUTES_H

#include "http/message.h"
#include "tenant/tokens.h"

struct admin_request;

/* Who may come at all. */
#define ADMIN_ACCESSES(X)                                                                                              \
    X(OPEN, "no token")                                                                                                \
    X(NUMBERS, "none; with --metrics-auth one with that right")                                                        \
    X(LOCAL, "none on loopback while no tenant is configured by name, else one with that right")                      \
    X(SECRET, "a token with that right")                                                                               \
    X(ANY, "any token")

/* For whom: ALL, a right for all tenants is needed; SOME, for those that the request is about, which the handler sees to. */

/* method, path, access, right, for whom, handler, parameters of the query, schema of the body, schema of the answer, statuses
 * with that answer, what it does */
#define ADMIN_ROUTES(X)                                                                                                \
    X(GET, "/", OPEN, READ, ALL, admin_dashboard, "", "", "", "200", "a page that shows the statistics")               \
    X(GET, "/healthz", OPEN, READ, ALL, admin_healthz, "", "", "", "200", "200 once every listener accepts and a worker serves") \
    X(GET, "/readyz", OPEN, READ, ALL, admin_readyz, "", "", "", "200", "200 while ready, 503 while starting or draining; with reasons") \
    X(GET, "/version", OPEN, READ, ALL, admin_version, "", "", "", "200", "name, version and I/O backend")             \
    X(GET, "/metrics", NUMBERS, READ, ALL, admin_metrics, "", "", "", "200", "Prometheus text; OpenMetrics on Accept")    \
    X(GET, "/stats", LOCAL, READ, SOME, admin_stats, "tenant", "", "", "200", "numbers of all, or of one tenant")      \
    X(GET, "/cache", LOCAL, READ, SOME, admin_cache, "tenant,host,path,limit,cursor", "", "", "200",                   \
      "what is stored; JSON, or HTML for a browser")                                                                   \
    X(GET, "/api/v1/openapi.json", ANY, READ, SOME, admin_openapi, "", "", "OpenAPI", "200", "this API, described")    \
    X(POST, "/api/v1/purge", SECRET, PURGE, SOME, admin_purge, "", "Purge", "Purged", "200 503",                       \
      "make stored answers unusable, or stale")                                                                        \
    X(GET, "/api/v1/purges", SECRET, READ, SOME, admin_purges, "tenant,since,limit", "", "Purges", "200",              \
      "the newest purges, or those behind a sequence: who, when, what, how many matched")                              \
    X(GET, "/api/v1/objects", SECRET, READ, SOME, admin_objects, "tenant,prefix,limit,cursor", "", "Objects", "200",   \
      "what is stored")                                                                                                \
    X(GET, "/api/v1/origins", SECRET, READ, SOME, admin_origins, "tenant,limit,cursor", "", "Origins", "200",                       \
      "where content comes from, and whether it is healthy")                                                           \
    X(GET, "/api/v1/tenants", SECRET, READ, SOME, admin_tenants_list, "limit,cursor", "", "Tenants", "200",            \
      "tenants with their limits and usage")                                                                           \
    X(GET, "/api/v1/tenants/{name}", SECRET, READ, SOME, admin_tenant_get, "", "", "Tenant", "200",                    \
      "one tenant; its configuration for who may change it")                                                           \
    X(PUT, "/api/v1/tenants/{name}", SECRET, CONFIGURE, SOME, admin_tenant_put, "dry_run", "TenantConfig", "Changed", "200 201", \
      "make or change a tenant; If-Match with its ETag, or If-None-Match: *")                                          \
    X(DELETE, "/api/v1/tenants/{name}", SECRET, CONFIGURE, SOME, admin_tenant_delete, "", "", "Changed", "200",        \
      "the tenant goes, and all that is stored for it")                                                                \
    X(POST, "/api/v1/reload", SECRET, CONFIGURE, ALL, admin_reload, "", "", "Changed", "200",                          \
      "read the configuration's files again")                                                                          \
    X(GET, "/api/v1/config", SECRET, CONFIGURE, ALL, admin_config_get, "", "", "VersionText", "200", "the configuration in force") \
    X(GET, "/api/v1/config/versions", SECRET, CONFIGURE, ALL, admin_versions, "limit,cursor", "", "Versions", "200",   \
      "the versions that are kept, the newest first")                                                                  \
    X(GET, "/api/v1/config/versions/{version}", SECRET, CONFIGURE, ALL, admin_version_get, "", "", "VersionText", "200", \
      "one version and its text")                                                                                      \
    X(GET, "/api/v1/config/versions/{version}/diff", SECRET, CONFIGURE, ALL, admin_version_diff, "to", "", "Diff", "200", \
      "what is different in another version (to; default: the one in force)")                                          \
    X(POST, "/api/v1/config/versions/{version}/rollback", SECRET, CONFIGURE, ALL, admin_rollback, "", "", "Changed", "200", \
      "the version is in force again, until the next reload; what was purged stays purged")                            \
    X(GET, "/api/v1/audit", SECRET, ADMIN, ALL, admin_audit_list, "since,limit", "", "Audit", "200",                        \
      "who changed what, from a number on")                                                                            \
    X(GET, "/api/v1/tokens", SECRET, ADMIN, ALL, admin_tokens_list, "limit,cursor", "", "Tokens", "200",               \
      "tokens without their texts")                                                                                    \
    X(POST, "/api/v1/tokens", SECRET, ADMIN, ALL, admin_token_create, "", "NewToken", "MadeToken", "201",              \
      "make a token; its text is shown this once")                                                                     \
    X(DELETE, "/api/v1/tokens/{id}", SECRET, ADMIN, ALL, admin_token_revoke, "", "", "Token", "200",                   \
      "revoke a token, by id or name")

/* Of queries and paths: name, schema, what it is. */
#define ADMIN_PARAMS(X)                                                                                                \
    X("tenant", "{'type':'string'}", "of this tenant alone")                                                           \
    X("host", "{'type':'string'}", "of this host alone")                                                               \
    X("path", "{'type':'string'}", "only where the path begins so")                                                    \
    X("prefix", "{'type':'string'}", "only URLs that begin so: http://host/path; without a scheme both")               \
    X("limit", "{'type':'integer','minimum':1,'maximum':1000}", "how many at most; default: 100")                      \
    X("cursor", "{'type':'string'}", "what the page before said under next")                                           \
    X("since", "{'type':'integer','minimum':0}", "only behind this number")                                            \
    X("to", "{'type':'integer','minimum':1}", "the other version")                                                     \
    X("dry_run", "{'type':'boolean'}", "true: only say whether it could be")                                           \
    X("name", "{'type':'string'}", "of the tenant")                                                                    \
    X("version", "{'type':'integer','minimum':1}", "its number")                                                       \
    X("id", "{'type':'string'}", "of the token, or its name")

#define SCHEMA_COUNT "{'type':'integer','minimum':0}"
#define SCHEMA_TEXT  "{'type':'string'}"
#define SCHEMA_TEXTS "{'type':'array','items':{'type':'string'}}"
#define SCHEMA_RIGHTS                                                                                                  \
    "{'type':'array','items':{'enum':['read','purge','configure','admin']},'minItems':1,'uniqueItems':true}"
#define SCHEMA_SHARE "{'type':['object','null'],'properties':{'bytes':" SCHEMA_COUNT ",'percent':" SCHEMA_COUNT "},'additionalProperties':false}"
#define SCHEMA_RATE                                                                                                    \
    "{'type':['object','null'],'required':['requests','seconds'],'properties':{'requests':" SCHEMA_COUNT               \
    ",'seconds':" SCHEMA_COUNT "},'additionalProperties':false}"
#define SCHEMA_TOKEN                                                                                                   \
    "'id':{'type':'string','pattern':'^[0-9a-f]{12}$'},'name':" SCHEMA_TEXT ",'rights':" SCHEMA_RIGHTS                 \
    ",'tenants':" SCHEMA_TEXTS ",'created_ms':" SCHEMA_COUNT ",'expires_ms':" SCHEMA_COUNT ",'used_ms':" SCHEMA_COUNT \
    ",'expired':{'type':'boolean','description':'in lists'}"
#define SCHEMA_TOKEN_REQUIRED "'id','name','rights','tenants','created_ms','expires_ms','used_ms'"
#define SCHEMA_TENANT                                                                                                  \
    "'name':" SCHEMA_TEXT ",'id':" SCHEMA_COUNT ",'generation':" SCHEMA_COUNT ",'hosts':" SCHEMA_TEXTS                 \
    ",'limits':{'$ref':'#/components/schemas/Limits'},'usage':{'$ref':'#/components/schemas/Usage'},"                  \
    "'origins':{'type':'array','items':{'$ref':'#/components/schemas/Origin'}}"
#define SCHEMA_VERSION                                                                                                 \
    "'version':{'type':'integer','minimum':1},'time_ms':" SCHEMA_COUNT ",'who':" SCHEMA_TEXT ",'what':" SCHEMA_TEXT    \
    ",'tenants':" SCHEMA_COUNT ",'in_force':{'type':'boolean'}"
#define SCHEMA_VERSION_REQUIRED "'version','time_ms','who','what','tenants','in_force'"

/* name, JSON Schema 2020-12 */
#define ADMIN_SCHEMAS(X)                                                                                               \
    X("Problem", "{'type':'object','required':['type','title','status','detail'],'properties':{'type':" SCHEMA_TEXT    \
      ",'title':" SCHEMA_TEXT ",'status':{'type':'integer'},'detail':" SCHEMA_TEXT ",'errors':" SCHEMA_TEXTS           \
      "},'additionalProperties':false}")                                                                               \
    X("OpenAPI", "{'type':'object','required':['openapi','info','paths','components']}")                               \
    X("Purge", "{'type':'object','additionalProperties':false,'properties':{'url':" SCHEMA_TEXT ",'prefix':" SCHEMA_TEXT \
      ",'host':" SCHEMA_TEXT ",'tag':" SCHEMA_TEXT ",'tags':{'type':'array','items':{'type':'string'},'minItems':1,'maxItems':256}," \
      "'group':" SCHEMA_TEXT ",'everything':{'const':true},'tenant':" SCHEMA_TEXT ",'soft':{'type':'boolean'}," \
      "'refresh':{'type':'boolean'},'dry_run':{'type':'boolean'}}}")                                                   \
    X("Purged", "{'type':'object','additionalProperties':false,'required':['matched','matched_is_exact','matched_is_least'],'properties':{" \
      "'seq':" SCHEMA_COUNT ",'matched':" SCHEMA_COUNT ",'matched_is_exact':{'type':'boolean'},'matched_is_least':{'type':'boolean'},'durable':{'type':'boolean'}," \
      "'sample':" SCHEMA_TEXTS "},'anyOf':[{'required':['seq','durable']},{'required':['sample']}]}")                  \
    X("Purges", "{'type':'object','additionalProperties':false,'required':['purges','next','oldest'],'properties':{"  \
      "'next':" SCHEMA_COUNT ",'oldest':" SCHEMA_COUNT ",'purges':{'type':'array','items':{'type':'object','additionalProperties':false," \
      "'required':['seq','time','who','source','tenant','kind','what','soft','matched','matched_is_exact','durable'],'properties':{" \
      "'seq':" SCHEMA_COUNT ",'time':" SCHEMA_TEXT ",'who':{'type':['string','null']},'source':{'type':['string','null']}," \
      "'tenant':{'type':['string','null']},'kind':" SCHEMA_TEXT ",'what':{'type':['string','null']},'soft':{'type':'boolean'}," \
      "'matched':{'type':['integer','null'],'minimum':0},'matched_is_exact':{'type':'boolean'},'durable':{'type':['boolean','null']}}}}}}")   \
    X("Objects", "{'type':'object','required':['objects','next'],'additionalProperties':false,'properties':{'next':" SCHEMA_TEXT \
      ",'objects':{'type':'array','items':{'type':'object','additionalProperties':false,"                              \
      "'required':['tenant','url','vary','status','bytes','age','ttl','hits','complete'],'properties':{"               \
      "'tenant':" SCHEMA_TEXT ",'url':" SCHEMA_TEXT ",'vary':" SCHEMA_TEXT                                             \
      ",'status':{'type':'integer','minimum':100,'maximum':599},'bytes':{'type':'integer','minimum':-1},"              \
      "'age':" SCHEMA_COUNT ",'ttl':{'type':'integer'},'hits':" SCHEMA_COUNT ",'complete':{'type':'boolean'}}}}}}")    \
    X("Origin", "{'type':'object','additionalProperties':false,'required':['tenant','url','healthy','answers','failures']," \
      "'properties':{'tenant':" SCHEMA_TEXT ",'url':" SCHEMA_TEXT ",'healthy':{'type':'boolean'},'answers':" SCHEMA_COUNT \
      ",'failures':" SCHEMA_COUNT "}}")                                                                                \
    X("Origins", "{'type':'object','additionalProperties':false,'required':['origins','next'],'properties':{'next':" SCHEMA_TEXT ",'origins':" \
      "{'type':'array','items':{'$ref':'#/components/schemas/Origin'}}}}")                                             \
    X("Limits", "{'type':'object','additionalProperties':false,'required':['guaranteed_percent','memory_soft','memory_hard'," \
      "'disk_soft','disk_hard','max_object_bytes','requests','origin_concurrency','rate','client_rate'],'properties':{" \
      "'guaranteed_percent':" SCHEMA_COUNT ",'memory_soft':" SCHEMA_SHARE ",'memory_hard':" SCHEMA_SHARE                \
      ",'disk_soft':" SCHEMA_SHARE ",'disk_hard':" SCHEMA_SHARE ",'max_object_bytes':" SCHEMA_COUNT                     \
      ",'requests':" SCHEMA_COUNT ",'origin_concurrency':" SCHEMA_COUNT ",'rate':" SCHEMA_RATE ",'client_rate':" SCHEMA_RATE "}}") \
    X("Usage", "{'type':'object','additionalProperties':false,'required':['bytes','requests','response_bytes'],'properties':{" \
      "'bytes':{'type':'object','additionalProperties':" SCHEMA_COUNT "},'response_bytes':" SCHEMA_COUNT               \
      ",'requests':{'type':'object','required':['all','hit_ratio'],'additionalProperties':{'type':'number','minimum':0}}}}") \
    X("Tenants", "{'type':'object','additionalProperties':false,'required':['tenants','next'],'properties':{'next':" SCHEMA_TEXT \
      ",'tenants':{'type':'array','items':{'type':'object','additionalProperties':false,"                              \
      "'required':['name','id','generation','hosts','limits','usage','origins'],'properties':{" SCHEMA_TENANT "}}}}}") \
    X("Tenant", "{'type':'object','additionalProperties':false,"                                                       \
      "'required':['name','id','generation','hosts','limits','usage','origins','source','etag'],'properties':{" SCHEMA_TENANT  \
      ",'etag':" SCHEMA_TEXT ",'source':{'enum':['options','file','api']},'config':{'$ref':'#/components/schemas/TenantConfig'}}}")           \
    X("TenantConfig", "{'description':'the value of tenants.NAME, as in a file','$ref':'#/components/schemas/Config.TENANT'}") \
    X("Changed", "{'type':'object','additionalProperties':false,'required':['version','changed','notes'],'properties':{" \
      "'version':" SCHEMA_COUNT ",'changed':{'type':'boolean'},'notes':" SCHEMA_TEXTS "}}")                            \
    X("Version", "{'type':'object','additionalProperties':false,'required':[" SCHEMA_VERSION_REQUIRED "],'properties':{" \
      SCHEMA_VERSION "}}")                                                                                             \
    X("Versions", "{'type':'object','additionalProperties':false,'required':['versions','next'],'properties':{'next':" SCHEMA_TEXT \
      ",'versions':{'type':'array','items':{'$ref':'#/components/schemas/Version'}}}}")                                \
    X("VersionText", "{'type':'object','additionalProperties':false,'required':[" SCHEMA_VERSION_REQUIRED ",'text'],'properties':{" \
      SCHEMA_VERSION ",'text':" SCHEMA_TEXT "}}")                                                                      \
    X("Diff", "{'type':'object','additionalProperties':false,'required':['from','to','diff','cut'],'properties':{"     \
      "'from':" SCHEMA_COUNT ",'to':" SCHEMA_COUNT ",'diff':" SCHEMA_TEXT ",'cut':{'type':'boolean'}}}")               \
    X("Audit", "{'type':'object','additionalProperties':false,'required':['entries','next'],'properties':{"            \
      "'entries':{'type':'array','items':{'type':'object'}},'next':" SCHEMA_COUNT "}}")                                \
    X("NewToken", "{'type':'object','additionalProperties':false,'required':['name','rights'],'properties':{"          \
      "'name':{'type':'string','minLength':1,'maxLength':64},'rights':" SCHEMA_RIGHTS ",'tenants':" SCHEMA_TEXTS       \
      ",'expires':{'type':'string','description':'from now: 30d'}}}")                                                  \
    X("Token", "{'type':'object','additionalProperties':false,'required':[" SCHEMA_TOKEN_REQUIRED "],'properties':{" SCHEMA_TOKEN "}}") \
    X("MadeToken", "{'type':'object','additionalProperties':false,'required':[" SCHEMA_TOKEN_REQUIRED ",'token'],'properties':{" \
      SCHEMA_TOKEN ",'token':" SCHEMA_TEXT "}}")                                                                       \
    X("Tokens", "{'type':'object','additionalProperties':false,'required':['tokens','next'],'properties':{'next':" SCHEMA_TEXT \
      ",'tokens':{'type':'array','items':{'$ref':'#/components/schemas/Token'}}}}")

enum admin_access {
#define X(name, text) ADMIN_##name,
    ADMIN_ACCESSES(X)
#undef X
};
enum admin_scope { ADMIN_FOR_ALL, ADMIN_FOR_SOME };

struct admin_route {
    enum method method;
    const char *path;
    enum admin_access access;
    enum token_right right;
    enum admin_scope scope;
    void (*handle)(struct admin_request *request);
    const char *params, *body, *answer, *statuses, *text;
};
extern const struct admin_route admin_routes[];
extern const unsigned admin_route_count;

#define ADMIN_CAPTURES_MAX 2u
/* The route of a request; its braces in captures, as they stand in the path. NULL: *ret_allow has the methods that the path
 * knows ("GET, PUT"), or is "" where there is no such path. */
const struct admin_route *admin_route_find(slice path, enum method method, slice captures[ADMIN_CAPTURES_MAX], char ret_allow[64]);
/* Is name in that list of a route? */
bool admin_route_has_param(const struct admin_route *route, slice name);

#define X(method, path, access, right, scope, handler, ...) void handler(struct admin_request *request);
ADMIN_ROUTES(X)
#undef X

#endif
