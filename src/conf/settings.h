/* settings: everything that a configuration says, checked: the node's own options (config.h), and its tenants.
 *
 * The tables below are the schema. What is parsed, validated, defaulted, documented (docs/reference/config.md, the JSON
 * Schema), shown by the API and written back comes from them; schema.h reads them as data.
 *
 * Pure text and numbers: nothing is opened or resolved here. All memory is the settings' own. */
#ifndef WARP_CONF_SETTINGS_H
#define WARP_CONF_SETTINGS_H

#include "conf/config.h"
#include "conf/document.h"

/* ---- types of values: their form in C ------------------------------------------------------------------------- */

struct conf_share { /* "2g" or "10%" */
    uint64_t bytes;
    uint8_t percent; /* with it, bytes is 0 */
    bool is_given;
};

struct conf_rate { /* "100/s", "20/m": requests; a bucket holds `burst` of them */
    uint32_t requests;
    uint32_t per_s; /* 0: no limit */
};

struct conf_range { /* "10.0.0.0/8", "::1": IPv4 as mapped IPv6 */
    uint8_t address[16];
    uint8_t bits; /* 0 to 128 */
};

struct conf_pair { /* of a map from names to texts */
    slice name, value;
    struct conf_mark mark;
};

struct conf_status_time { /* "404: 10s", "5xx: 1s" */
    uint16_t from, to;    /* inclusive */
    uint64_t ms;
};

/* All texts are followed by a NUL that does not count. */
#define CONF_TYPE_TEXT            slice
#define CONF_TYPE_FILE            slice /* a path; one that is not absolute is made one from the file's directory; opened by others */
#define CONF_TYPE_NAME            slice /* letters, digits, "-", "_", "."; 1 to 64 of them, beginning with a letter or digit */
#define CONF_TYPE_HOST            slice /* lower case, without a port: "www.example", "*.example" (any depth below), "[::1]" */
#define CONF_TYPE_PATH            slice /* a pattern of a path: "*" any run without "/", "**" any run; it begins with "/" */
#define CONF_TYPE_METHOD          slice
#define CONF_TYPE_FIELD           slice /* the name of a field, in lower case */
#define CONF_TYPE_EDIT_FIELD      slice /* one that may be taken out; as written */
#define CONF_TYPE_TOKEN           slice /* the name of a query parameter or cookie; may end in "*" */
#define CONF_TYPE_ORIGIN          slice /* a URL as --origin takes it */
#define CONF_TYPE_SIZE            uint64_t
#define CONF_TYPE_DURATION        uint64_t /* ms */
#define CONF_TYPE_COUNT           uint32_t
#define CONF_TYPE_BURST           uint32_t /* a count from 1 on */
#define CONF_TYPE_REDIRECT_STATUS uint32_t
#define CONF_TYPE_PERCENT         uint8_t
#define CONF_TYPE_SWITCH          bool
#define CONF_TYPE_SHARE           struct conf_share
#define CONF_TYPE_RATE            struct conf_rate
#define CONF_TYPE_RANGE           struct conf_range
#define CONF_TYPE_PARAM_PATTERN   struct conf_pair /* a query parameter or cookie, and a pattern of its value: "*" is any run */
#define CONF_TYPE_FIELD_PATTERN   struct conf_pair /* a field in lower case, and a pattern of its value */
#define CONF_TYPE_EDIT_PAIR       struct conf_pair /* a field as written, and its value (RFC 9110 5.5) */
#define CONF_TYPE_TIMES           struct conf_status_time
#define CONF_TYPE_SET_COOKIE      uint8_t /* enum conf_set_cookie */
#define CONF_TYPE_MATCH           struct conf_match
#define CONF_TYPE_KEY             struct conf_key
#define CONF_TYPE_EDIT            struct conf_edit
#define CONF_TYPE_REDIRECT        struct conf_redirect
#define CONF_TYPE_RULE            struct conf_rule
#define CONF_TYPE_CERT            struct conf_certificate
#define CONF_TYPE_TENANT          struct conf_tenant

/* Shapes: ONE value; LIST: a list, or one value alone; MAP: name: value, in the order of the file, names differ. Lists and maps
 * that are written have something in them. A default of "" is none at all: the setting must be there. */
#define CONF_REQUIRED ""
#define CONF_SHAPE_ONE(type, field)  CONF_TYPE_##type field
#define CONF_SHAPE_LIST(type, field) struct { CONF_TYPE_##type *items; uint32_t count; } field
#define CONF_SHAPE_MAP(type, field)  struct { CONF_TYPE_##type *items; uint32_t count; } field

/* Which of a rule's settings were written: a later rule replaces only what it says. */
#define CONF_GIVEN(given, option) (((given) >> (option)) & 1)

/* ---- tables: name in the file, shape, type, field, default, help ---------------------------------------------- */

#define CONF_SET_COOKIE_WORDS(X)                                                                                       \
    X(ORIGIN, "origin", "stored only where the origin said public, s-maxage or a CDN cache control")                   \
    X(DROP, "drop", "taken out of answers before they are stored, and of all that pass")                              \
    X(NEVER, "never", "an answer with Set-Cookie is never stored")

/* All that are given must hold; of a list one suffices. */
#define CONF_MATCH(X)                                                                                                  \
    X("path", LIST, PATH, paths, NULL, "patterns of the path; %XX of visible characters and dot segments are resolved first") \
    X("method", LIST, METHOD, methods, NULL, "methods")                                                                \
    X("query", MAP, PARAM_PATTERN, query, NULL, "query parameters that must be there, and patterns of their values")            \
    X("field", MAP, FIELD_PATTERN, fields, NULL, "fields of the request that must be there, and patterns of their values")      \
    X("cookie", MAP, PARAM_PATTERN, cookies, NULL, "cookies that must be there, and patterns of their values")                  \
    X("client", LIST, RANGE, clients, NULL, "addresses of clients")

/* What distinguishes stored answers. What is dropped from the key is dropped from what the origin sees. */
#define CONF_KEY(X)                                                                                                    \
    X("query-keep", LIST, TOKEN, query_keep, NULL, "only these query parameters count; the others are dropped")        \
    X("query-drop", LIST, TOKEN, query_drop, NULL, "these query parameters are dropped")                               \
    X("query-sort", ONE, SWITCH, query_sort, "false", "query parameters are sorted by name")                           \
    X("cookies", LIST, TOKEN, cookies, NULL, "cookies whose values are part of the key")                               \
    X("fields", LIST, FIELD, fields, NULL, "request fields whose values are part of the key")                          \
    X("device", ONE, SWITCH, device, "false", "the class of the client's device (phone, tablet, desktop, bot) is part of the key, and sent to the origin as X-Device-Class")

#define CONF_EDIT(X)                                                                                                   \
    X("remove", LIST, EDIT_FIELD, remove, NULL, "fields to take out")                                                       \
    X("set", MAP, EDIT_PAIR, set, NULL, "fields to write, in place of what is there")                                       \
    X("add", MAP, EDIT_PAIR, add, NULL, "fields to write beside what is there")

#define CONF_REDIRECT(X)                                                                                               \
    X("to", ONE, TEXT, to, CONF_REQUIRED, "where to: a URL or an absolute path; {host}, {path} and {query} stand for the request's") \
    X("status", ONE, REDIRECT_STATUS, status, "301", "301, 302, 303, 307 or 308")

#define CONF_RULE(X)                                                                                                   \
    X("name", ONE, NAME, name, NULL, "for explain and logs; default: its number")                                      \
    X("match", ONE, MATCH, match, NULL, "when the rule applies; default: always")                                      \
    X("allow", LIST, RANGE, allow, NULL, "only these clients; others get 403")                                         \
    X("deny", LIST, RANGE, deny, NULL, "not these clients: 403")                                                       \
    X("rate", ONE, RATE, rate, NULL, "requests that the rule lets through, of all clients; more get 429")              \
    X("rate-burst", ONE, BURST, rate_burst, NULL, "how many may come at once; default: one second's, at least one")    \
    X("client-rate", ONE, RATE, client_rate, NULL, "the same for each client address (IPv6: /64)")                     \
    X("client-rate-burst", ONE, BURST, client_rate_burst, NULL, "how many of them at once")                            \
    X("redirect", ONE, REDIRECT, redirect, NULL, "answered by WARP")                                                   \
    X("cache", ONE, SWITCH, cache, "true", "false: requests pass by the cache")                                        \
    X("ttl", ONE, DURATION, ttl_ms, NULL, "how long answers are fresh where the origin does not say")                  \
    X("ttl-status", MAP, TIMES, ttl_status, NULL, "the same for a status (404) or a class (5xx)")                      \
    X("ttl-override", ONE, SWITCH, ttl_override, "false", "these times also where the origin says others; never over no-store, private, no-cache") \
    X("stale-while-revalidate", ONE, DURATION, swr_ms, "0s", "how long a stale answer is served while it is fetched anew, where the origin does not say") \
    X("stale-if-error", ONE, DURATION, sie_ms, "1d", "how long a stale answer is served when the origin fails, where it does not say") \
    X("client-directives", ONE, SWITCH, client_directives, "false", "no-cache, max-age and the like of requests are heeded") \
    X("static", ONE, SWITCH, is_static, "false", "answers whose type contradicts the suffix of the path are not stored") \
    X("set-cookie", ONE, SET_COOKIE, set_cookie, "origin", "origin, drop or never")                                        \
    X("max-object-size", ONE, SIZE, max_object_bytes, NULL, "larger answers are not stored")                           \
    X("key", ONE, KEY, key, NULL, "what distinguishes stored answers besides scheme, host, path and query")            \
    X("request-fields", ONE, EDIT, request_edit, NULL, "fields of requests to the origin")                             \
    X("response-fields", ONE, EDIT, response_edit, NULL, "fields of answers to clients; never stored")

#define CONF_CERT(X)                                                                                                   \
    X("cert", ONE, FILE, cert, CONF_REQUIRED, "certificate with its chain (PEM)")                                               \
    X("key", ONE, FILE, key, CONF_REQUIRED, "its private key (PEM)")

#define CONF_TENANT(X)                                                                                                 \
    X("hosts", LIST, HOST, hosts, NULL, "names that belong to the tenant; *.example is every name below")              \
    X("certificates", LIST, CERT, certificates, NULL, "for --listen-tls, by their names")                              \
    X("origins", LIST, ORIGIN, origins, NULL, "where content comes from; several share the load")                      \
    X("origin-host", ONE, TEXT, origin_host, NULL, "Host to send to the origin; default: the client's")                \
    X("origin-ca", ONE, FILE, origin_ca, NULL, "trust https origins by these certificates; default: the system's")     \
    X("origin-cert", ONE, FILE, origin_cert, NULL, "certificate shown to https origins that ask for one")              \
    X("origin-key", ONE, FILE, origin_key, NULL, "its private key")                                                    \
    X("origin-name", ONE, TEXT, origin_name, NULL, "server name sent to https origins and verified; default: the URL's") \
    X("origin-insecure", ONE, SWITCH, origin_insecure, "false", "do not verify https origins")                         \
    X("origin-http1", ONE, SWITCH, origin_http1, "false", "keep to HTTP/1.1 with https origins")                       \
    X("origin-concurrency", ONE, COUNT, origin_concurrency, "0", "requests to its origins at a time; more wait; 0: no limit") \
    X("requests", ONE, COUNT, requests, "0", "requests of clients at a time; more get 503; 0: no limit")               \
    X("rate", ONE, RATE, rate, NULL, "requests of all clients; more get 429")                                          \
    X("rate-burst", ONE, BURST, rate_burst, NULL, "how many may come at once; default: one second's, at least one")    \
    X("client-rate", ONE, RATE, client_rate, NULL, "the same for each client address (IPv6: /64)")                     \
    X("client-rate-burst", ONE, BURST, client_rate_burst, NULL, "how many of them at once")                            \
    X("guaranteed", ONE, PERCENT, guaranteed_percent, "0%", "of RAM and disk, that other tenants cannot take; together at most 70%") \
    X("memory-soft", ONE, SHARE, memory_soft, NULL, "beyond it, only what is asked for twice is kept in RAM")          \
    X("memory-hard", ONE, SHARE, memory_hard, NULL, "more of RAM it never has")                                        \
    X("disk-soft", ONE, SHARE, disk_soft, NULL, "beyond it, only what is asked for twice is written to disk")          \
    X("disk-hard", ONE, SHARE, disk_hard, NULL, "more of the disk it never has")                                       \
    X("max-object-size", ONE, SIZE, max_object_bytes, NULL, "larger answers are not stored")                           \
    X("rules", LIST, RULE, rules, NULL, "in order; every rule that matches applies, a later one replaces what an earlier one said")

/* What must be there as well. table, setting, other */
#define CONF_NEEDS(X)                                                                                                  \
    X(RULE, "rate-burst", "rate")                                                                                      \
    X(RULE, "client-rate-burst", "client-rate")                                                                        \
    X(TENANT, "rate-burst", "rate")                                                                                    \
    X(TENANT, "client-rate-burst", "client-rate")                                                                      \
    X(TENANT, "origin-cert", "origin-key")                                                                             \
    X(TENANT, "origin-key", "origin-cert")                                                                             \
    X(TENANT, "origin-host", "origins")                                                                                \
    X(TENANT, "origin-ca", "origins")                                                                                  \
    X(TENANT, "origin-cert", "origins")                                                                                \
    X(TENANT, "origin-name", "origins")                                                                                \
    X(TENANT, "origin-insecure", "origins")                                                                            \
    X(TENANT, "origin-http1", "origins")

/* What is the operator's: an owner, who has a token for some tenants alone, cannot change it (tenant/owner.h). Each setting of
 * a tenant is here, or is the owner's by intent: a unit test has the list. PART: up to a limit, which the text says. table, setting,
 * how far, what it is */
#define CONF_OPERATORS(X)                                                                                              \
    X(TENANT, "hosts", PART, "an owner takes hosts out, or adds names below a wildcard that the tenant has")          \
    X(TENANT, "certificates", WHOLE, "files of the server")                                                            \
    X(TENANT, "origins", WHOLE, "what WARP connects to")                                                               \
    X(TENANT, "origin-host", WHOLE, "what WARP connects to")                                                           \
    X(TENANT, "origin-ca", WHOLE, "files of the server")                                                               \
    X(TENANT, "origin-cert", WHOLE, "files of the server")                                                             \
    X(TENANT, "origin-key", WHOLE, "files of the server")                                                              \
    X(TENANT, "origin-name", WHOLE, "what WARP connects to")                                                           \
    X(TENANT, "origin-insecure", WHOLE, "what WARP connects to")                                                       \
    X(TENANT, "origin-http1", WHOLE, "what WARP connects to")                                                          \
    X(TENANT, "origin-concurrency", WHOLE, "what others have less of")                                                 \
    X(TENANT, "requests", WHOLE, "what others have less of")                                                           \
    X(TENANT, "rate", WHOLE, "what others have less of")                                                               \
    X(TENANT, "rate-burst", WHOLE, "what others have less of")                                                         \
    X(TENANT, "client-rate", WHOLE, "what others have less of")                                                        \
    X(TENANT, "client-rate-burst", WHOLE, "what others have less of")                                                  \
    X(TENANT, "guaranteed", WHOLE, "what others have less of")                                                         \
    X(TENANT, "memory-soft", WHOLE, "what others have less of")                                                        \
    X(TENANT, "memory-hard", WHOLE, "what others have less of")                                                        \
    X(TENANT, "disk-soft", WHOLE, "what others have less of")                                                          \
    X(TENANT, "disk-hard", WHOLE, "what others have less of")                                                          \
    X(TENANT, "max-object-size", WHOLE, "what others have less of")                                                    \
    X(TENANT, "rules", PART, "an owner's have at most 256 patterns that search, 256 edits of fields, 32 rates and 4096 other entries") \
    X(RULE, "max-object-size", PART, "an owner writes at most the tenant's own max-object-size")

/* What cannot be there besides. table, setting, other, why */
#define CONF_EXCLUDES(X)                                                                                               \
    X(KEY, "query-drop", "query-keep", "which drops all others already; write one of them")                            \
    X(RULE, "cache", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                            \
    X(RULE, "ttl", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                              \
    X(RULE, "ttl-status", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                       \
    X(RULE, "ttl-override", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                     \
    X(RULE, "stale-while-revalidate", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                           \
    X(RULE, "stale-if-error", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                   \
    X(RULE, "client-directives", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                \
    X(RULE, "static", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                           \
    X(RULE, "set-cookie", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                       \
    X(RULE, "max-object-size", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                  \
    X(RULE, "key", "redirect", CONF_REDIRECT_ASKS_NOBODY)                                                              \
    X(RULE, "request-fields", "redirect", CONF_REDIRECT_ASKS_NOBODY)
#define CONF_REDIRECT_ASKS_NOBODY "which asks neither cache nor origin; write another rule for it"

/* What stands in a file beside the options of config.h. */
#define CONF_ROOT(X)                                                                                                   \
    X("include", LIST, TEXT, include, NULL, "more files: paths or patterns, from this file's directory")               \
    X("default-tenant", ONE, NAME, default_tenant, NULL, "whose requests for unknown hosts are; default: 421")         \
    X("trusted-proxies", LIST, RANGE, trusted_proxies, NULL, "who may say the client's address and scheme in X-Forwarded-For and -Proto") \
    X("tenants", MAP, TENANT, tenants, NULL, "by name; without any, every host belongs to the tenant default")

/* ---- the structs that the tables make ------------------------------------------------------------------------- */

#define CONF_FIELD(name, shape, type, field, dflt, help) CONF_SHAPE_##shape(type, field);

enum conf_set_cookie {
#define X(name, word, text) CONF_SET_COOKIE_##name,
    CONF_SET_COOKIE_WORDS(X)
#undef X
};

struct conf_match { CONF_MATCH(CONF_FIELD) };
struct conf_key { CONF_KEY(CONF_FIELD) };
struct conf_edit { CONF_EDIT(CONF_FIELD) };
struct conf_redirect { CONF_REDIRECT(CONF_FIELD) };
struct conf_certificate { CONF_CERT(CONF_FIELD) };

struct conf_rule {
    CONF_RULE(CONF_FIELD)
    uint64_t given; /* a bit per setting: enum conf_rule_option */
    struct conf_mark mark;
};
enum conf_rule_option {
#define X(name, shape, type, field, dflt, help) CONF_RULE_##field,
    CONF_RULE(X)
#undef X
    CONF_RULE_OPTIONS
};

struct conf_tenant {
    slice name;
    CONF_TENANT(CONF_FIELD)
    uint64_t given; /* enum conf_tenant_option */
    struct conf_mark mark;
};
enum conf_tenant_option {
#define X(name, shape, type, field, dflt, help) CONF_TENANT_##field,
    CONF_TENANT(X)
#undef X
    CONF_TENANT_OPTIONS
};

#define CONF_NAME_MAX     64u /* bytes of a tenant's or a rule's */
#define CONF_PATTERN_MAX  250u /* bytes */
#define CONF_STARS_MAX    8u   /* runs of * in a pattern */
#define CONF_TENANTS_MAX  20000u
#define CONF_LIST_MAX     1000u /* of hosts, rules, certificates of a tenant, of paths, of ranges of addresses */
#define CONF_FEW_MAX      64u   /* of any other list or map */
#define CONF_GUARANTEED_MAX 70u /* % of all tenants together */

struct settings {
    struct config config; /* flags, environment, file, defaults */
    CONF_ROOT(CONF_FIELD)
    struct conf_document *document; /* what it was read from; owned, holds the memory of all that is above */
    bool is_lacking;                /* a part (conf_source) that is no whole: settings_check has something to say */
    const char *unknown_variable;   /* a WARP_... of the environment that is no setting, or NULL */
    uint8_t set_by[CONFIG_OPTION_COUNT]; /* enum config_source */
};

/* ---- reading ---------------------------------------------------------------------------------------------------- */

/* Flags (argv without program and command), environment (NULL-terminated "NAME=value"), the file that they name with all
 * that it includes, defaults.
 *
 * Of a flag given twice the last one counts; a list collects. A list that a stronger source gives replaces the
 * weaker's. An empty variable is as good as none. Problems are in report, all of them, sorted; ERR_INVALID when there is
 * any. settings_check is done here; of a part it only says is_lacking. */
MUST_USE err settings_read(int argc, char *const *argv, char *const *environment, const struct conf_source *source,
                           struct conf_report *report, struct settings **ret_settings);
/* The same with a document in place of the file: a bundle, or a file with what else belongs to it. Takes it over, also when
 * it fails. What was found while it was read is in report already. */
MUST_USE err settings_of_document(int argc, char *const *argv, char *const *environment, struct conf_document *document,
                                  struct conf_report *report, struct settings **ret_settings);
/* The path of the file that flags and environment name; NULL: none. */
MUST_USE err settings_file(int argc, char *const *argv, char *const *environment, char **ret_path);
/* One tenant alone, as the API takes it: text is YAML or JSON (which is YAML), the value of tenants.NAME. What concerns
 * several tenants (hosts, guarantees) is settings_check's. The tenant lies in the document. */
MUST_USE err settings_tenant_read(slice name, const char *path, slice text, struct conf_report *report,
                                  struct conf_document **ret_document, struct conf_tenant **ret_tenant);
/* What only the whole can show: a host of two tenants, guarantees above 70 %, a default tenant that is not there. */
MUST_USE err settings_check(const struct settings *settings, struct conf_report *report);
/* What others find wrong with a value, such as a file that cannot be opened: told where it was written, which is looked for only
 * then. */
struct settings_places {
    const struct settings *settings;
    struct conf_report *report;
    struct conf_document *document; /* read again with the first problem; NULL: not yet, or no memory */
};
void settings_places_done(struct settings_places *places);
void settings_option_problem(struct settings_places *places, enum config_index option, const char *what);
/* part, with index: of an item of a list of tables, as certificates[2].cert; NULL: the setting itself. */
void settings_tenant_problem(struct settings_places *places, const struct conf_tenant *tenant, const char *setting, uint32_t index,
                             const char *part, const char *what);
struct settings *settings_free(struct settings *settings);
/* An upper bound of what a process with these settings takes, in bytes (docs/security: RAM tier, index, connections). */
struct settings_memory {
    uint64_t ram_tier, disk_index, connections, tenants, fixed, total;
};
void settings_memory(const struct settings *settings, unsigned workers, unsigned descriptors, uint64_t ram_bytes,
                     struct settings_memory *ret_memory);

#endif
