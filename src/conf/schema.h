/* schema: the tables of settings.h as data. Whoever reads, documents, shows or writes settings goes through them. */
#ifndef WARP_CONF_SCHEMA_H
#define WARP_CONF_SCHEMA_H

#include "conf/settings.h"

enum conf_shape { CONF_ONE, CONF_LIST_OF, CONF_MAP_OF };

/* name, kind of value in the file, what it looks like (a regular expression of ECMA-262, of an entry: of its value; for
 * editors, the parsers in values*.c are stricter), what may be written (also in messages: "write ..."). The kinds: SCALAR,
 * TABLE (a mapping with settings of a table of its own), ENTRY (name: scalar), NAMED (name: mapping). */
#define CONF_TYPES(X)                                                                                                  \
    X(TEXT, SCALAR, "^[^\\x00-\\x1f\\x7f]+$", "a text") \
    X(FILE, SCALAR, "^[^\\x00-\\x1f\\x7f]+$", "a path") \
    X(NAME, SCALAR, "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "1 to 64 letters, digits, -, _ or ., beginning with a letter or digit") \
    X(HOST, SCALAR, "^(\\*\\.)?([A-Za-z0-9_-]{1,63}\\.)*[A-Za-z0-9_-]{1,63}$|^\\[[0-9A-Fa-f:.]+\\]$", "a host without a port: www.example, *.example for every name below, 192.0.2.1 or [2001:db8::1]") \
    X(PATH, SCALAR, "^(?!.*/(/|\\.\\.?(/|$)))/[!\\x22$->@-~]{0,249}$", "a path that begins with /, * for any run without /, ** for any run: /img/**") \
    X(METHOD, SCALAR, "^[!#$%&'*+.^_`|~0-9A-Z-]+$", "a method: GET, HEAD, POST") \
    X(FIELD, SCALAR, "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$", "the name of a field: Accept-Language") \
    X(EDIT_FIELD, SCALAR, "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$", "the name of a field: X-Powered-By") \
    X(TOKEN, SCALAR, "^([!$%'()+./0-9:<>?@A-Z\\[\\]^_`a-z{|}~-]+\\*?|\\*)$", "a name; * at its end is any rest: utm_*") \
    X(ORIGIN, SCALAR, "^((https?|h2c)://)?([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?$|^(https?|h2c)://([A-Za-z0-9._-]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?/$", "http://host:port, https://host, h2c://host:port or host:port") \
    X(SIZE, SCALAR, "^[0-9]+[kKmMgGtT]?$", "bytes, or a number with k, m, g or t: 512, 64k, 256m, 2g, 1t") \
    X(DURATION, SCALAR, "^[0-9]+(ms|s|m|h|d|w)$", "a number with ms, s, m, h, d or w: 250ms, 30s, 5m, 2h, 7d, 1w") \
    X(COUNT, SCALAR, "^[0-9]+$", "digits only, from 0 to 4294967295") \
    X(BURST, SCALAR, "^0*[1-9][0-9]*$", "digits only, from 1 to 4294967295") \
    X(REDIRECT_STATUS, SCALAR, "^30[12378]$", "301, 302, 303, 307 or 308") \
    X(PERCENT, SCALAR, "^0*(100|[0-9]{1,2})%$", "a percentage: 10%") \
    X(SWITCH, SCALAR, "^(true|false)$", "true or false") \
    X(SHARE, SCALAR, "^([0-9]+[kKmMgGtT]?|0*(100|[1-9][0-9]?)%)$", "a size or a percentage: 2g, 256m, 10%") \
    X(RATE, SCALAR, "^0*[1-9][0-9]*/[smh]$", "requests a second, minute or hour: 100/s, 20/m, 500/h") \
    X(RANGE, SCALAR, "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$", "an address, or one with the length of its prefix: 192.0.2.1, 10.0.0.0/8, 2001:db8::/32") \
    X(PARAM_PATTERN, ENTRY, "^[^\\x00-\\x1f\\x7f]*$", "a name and a pattern of its value, * for any run: lang: de*") \
    X(FIELD_PATTERN, ENTRY, "^[^\\x00-\\x1f\\x7f]*$", "a field and a pattern of its value, * for any run: Accept: image/*") \
    X(EDIT_PAIR, ENTRY, "^([^\\x00-\\x20\\x7f]([^\\x00-\\x08\\x0a-\\x1f\\x7f]*[^\\x00-\\x20\\x7f])?)?$", "a field and its value: Cache-Control: no-store") \
    X(TIMES, ENTRY, "^[0-9]+(ms|s|m|h|d|w)$", "a status or a class of them, and a time: 404: 10s, 5xx: 1s") \
    X(SET_COOKIE, SCALAR, "^(origin|drop|never)$", "origin, drop or never") \
    X(MATCH, TABLE, "", "what must hold, such as path: /img/**") \
    X(KEY, TABLE, "", "what counts, such as query-drop: utm_*") \
    X(EDIT, TABLE, "", "remove, set and add") \
    X(REDIRECT, TABLE, "", "to: and where to") \
    X(RULE, TABLE, "", "rules, each with what it says, such as ttl: 1h") \
    X(CERT, TABLE, "", "cert: and key:, with their files") \
    X(TENANT, NAMED, "", "names of tenants, and below each what it has")

/* The names of entries. type, what they look like */
#define CONF_ENTRY_NAMES(X)                                                                                            \
    X(PARAM_PATTERN, "^[!$%'()+./0-9:<>?@A-Z\\[\\]^_`a-z{|}~-]+$") \
    X(FIELD_PATTERN, "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$") \
    X(EDIT_PAIR, "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$") \
    X(TIMES, "^[2-5]([0-9][0-9]|xx)$")

enum conf_type {
#define X(name, kind, pattern, allowed) CONF_IS_##name,
    CONF_TYPES(X)
#undef X
    CONF_TYPE_COUNT_
};

enum conf_type_kind { CONF_KIND_SCALAR, CONF_KIND_TABLE, CONF_KIND_ENTRY, CONF_KIND_NAMED };

struct conf_option {
    const char *name;
    uint8_t shape, type;
    size_t offset; /* of the field; of a list or map: of items, count behind it */
    const char *dflt, *help;
};

/* The settings of one struct. */
struct conf_table {
    const char *name; /* in the reference: "rule" */
    const struct conf_option *options;
    unsigned count;
    size_t size;
    size_t given, mark, key; /* offsets in the struct; CONF_NOWHERE: it has none */
};
#define CONF_NOWHERE SIZE_MAX

struct conf_type_info {
    const char *name, *pattern, *allowed;
    uint8_t kind;
    size_t size;
};

extern const struct conf_type_info conf_types[CONF_TYPE_COUNT_];
extern const struct conf_table conf_root_table; /* what stands beside the options of config.h; into struct settings */

/* A list or map in a struct: what CONF_SHAPE_LIST makes. */
struct conf_items {
    void *items;
    uint32_t count;
};

/* Of a type of the kinds TABLE and NAMED; else NULL. */
const struct conf_table *conf_type_table(enum conf_type type);
/* What the names of entries look like; NULL: the type is none of entries. */
const char *conf_type_names(enum conf_type type);
/* The option of that name, or NULL. */
const struct conf_option *conf_option_find(const struct conf_table *table, slice name);
static inline bool conf_option_is_required(const struct conf_option *option)
{
    return option->dflt != NULL && option->dflt[0] == '\0';
}

/* Two settings of a table: the one needs the other, or (why is not NULL) excludes it. */
struct conf_bond {
    uint8_t type; /* enum conf_type: whose table */
    const char *setting, *other, *why;
};
extern const struct conf_bond conf_bonds[];
extern const unsigned conf_bond_count;

/* What of a setting is the operator's: the text of CONF_OPERATORS; NULL: nothing. */
const char *conf_operators_part(const struct conf_table *table, const struct conf_option *option, bool *ret_is_whole);
/* What of a tenant (before) is different in after, and is the operator's, but for hosts: found is called for each, with what stands
 * behind "tenants.NAME": ".origins", ".rules[2].max-object-size". */
void conf_operators_compare(const struct conf_tenant *before, const struct conf_tenant *after,
                            void (*found)(void *arg, const char *where, const char *why), void *arg);

/* So many entries a list or map of the type has at most. */
uint32_t conf_items_max(enum conf_type type);
/* Runs of * in a pattern. */
unsigned conf_stars(slice pattern);
/* The fields that no edit may change, one after the other; NULL behind the last. */
const char *conf_edit_refused(unsigned i);

/* docs/reference/config.md and docs/reference/config.schema.json, from these tables; free() them. */
MUST_USE err conf_reference_write(char **ret_text, size_t *ret_len);
MUST_USE err conf_json_schema_write(char **ret_text, size_t *ret_len);

#endif
