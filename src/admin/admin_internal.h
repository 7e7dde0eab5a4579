/* Between the files of admin/. */
#ifndef WARP_ADMIN_INTERNAL_H
#define WARP_ADMIN_INTERNAL_H

#include "admin/admin.h"
#include "admin/routes.h"

#include <jansson.h>

#define ADMIN_BODY_BYTES_MAX   65536u
#define ADMIN_TENANT_BYTES_MAX (1u << 20) /* of a body that is a tenant's configuration */
#define ADMIN_LIMIT_DEFAULT    100u
#define ADMIN_LIMIT_MAX        1000u
#define ADMIN_FIELD_BYTES      96u

enum admin_identity { ADMIN_NOBODY, ADMIN_LOOPBACK /* reads, without a token */, ADMIN_BEARER, ADMIN_EVERYTHING };

/* One request to the admin listener. */
struct admin_request {
    struct admin_context *context;
    struct server_stream *stream;
    struct arena arena;
    struct request request;
    slice path, query;
    slice captures[ADMIN_CAPTURES_MAX]; /* what stands for the braces of the route's path, decoded */
    char *body; /* of the request, malloc; NUL-terminated */
    size_t body_len, body_room;
    const struct admin_route *route;
    uint8_t identity;          /* enum admin_identity */
    const struct token *token; /* of a bearer */
    slice who; /* asks, for logs: "admin", "socket", "token NAME"; empty: nobody that we know */
    /* of the answer; empty: not sent */
    char etag[ADMIN_FIELD_BYTES], location[ADMIN_FIELD_BYTES], allow[ADMIN_FIELD_BYTES];
    uint32_t retry_after_s;
    char *answer; /* malloc: what source reads */
    struct source_memory source;
    struct purge_run *purge; /* under way */
    struct admin_change *change; /* under way */
    struct token_change *token_change; /* the same */
    /* of a change of a tenant */
    uint64_t expected_version;
    unsigned tries;
    bool is_new;
    bool answered;
};

/* ---- who may (access.c) ------------------------------------------------------------------------------------------- */

/* Not one that this node sent as a proxy? False: answered already, 508. Before anything else of it is looked at. */
MUST_USE bool admin_is_no_loop(struct admin_request *request);
/* Who asks? False: answered already, 401 or 429. */
MUST_USE bool admin_identify(struct admin_request *request);
/* May who asks do that for the tenant (NULL: for all of them)? For showing less to who may see less. */
MUST_USE bool admin_may(const struct admin_request *request, enum token_right right, const struct tenant *tenant);
/* The same by name, which need not be there yet; empty: for all. */
MUST_USE bool admin_may_name(const struct admin_request *request, enum token_right right, slice tenant);
/* May who asks do that at all, for whomever? False: answered already, 403. */
MUST_USE bool admin_has_right(struct admin_request *request, enum token_right right);
/* The same for a tenant, or NULL for all; false: answered already, 403. */
MUST_USE bool admin_allows(struct admin_request *request, enum token_right right, const struct tenant *tenant);
/* Is that name any business of who asks? What somebody may not see is not there for them. */
MUST_USE bool admin_sees(const struct admin_request *request, slice tenant);
/* Has who asks a token for some tenants alone? */
MUST_USE bool admin_is_owner(const struct admin_request *request);
/* The tenant that their token is for, where it is one; data NULL: it is for several or all, or there is none. */
slice admin_only_tenant(const struct admin_request *request);
/* Owners change a tenant so often alone: each change is the work of the whole configuration. False: answered already, 429. */
MUST_USE bool admin_owner_may_change_now(struct admin_request *request, slice tenant);
/* The tenant of that name, if who asks may do that for it; NULL: answered already, 404 or 403. */
const struct tenant *admin_tenant(struct admin_request *request, enum token_right right, slice name);

/* ---- answers (answer.c) ------------------------------------------------------------------------------------------- */

/* The text is copied. */
void admin_answer(struct admin_request *request, uint16_t status, slice type, slice text);
/* text is malloc's and is taken over. */
void admin_answer_owned(struct admin_request *request, uint16_t status, slice type, char *text, size_t len);
/* root is taken over. */
void admin_answer_json(struct admin_request *request, uint16_t status, json_t *root);
/* RFC 9457 problem details. */
void admin_problem(struct admin_request *request, uint16_t status, const char *detail);
void admin_problemf(struct admin_request *request, uint16_t status, const char *format, ...) PRINTF(3, 4);
/* The same with the lines of a report. */
void admin_problem_lines(struct admin_request *request, uint16_t status, const char *detail, const char *lines);
/* An array of the lines of a text. */
json_t *admin_lines(const char *lines);
json_t *admin_text(slice text); /* what is not UTF-8 is said to be so */

/* ---- what is asked ------------------------------------------------------------------------------------------------ */

bool admin_wants(const struct admin_request *request, slice type);
/* A parameter of the query, decoded into the arena; data NULL when it is not there. */
slice admin_param(struct admin_request *request, slice name);
/* A number; *ret_value stays where it is not there. False: answered already, 400. */
MUST_USE bool admin_number(struct admin_request *request, slice name, uint64_t min, uint64_t max, uint64_t *ret_value);
/* The limit of a page. */
MUST_USE bool admin_limit(struct admin_request *request, unsigned *ret_limit);
/* Only such as the route knows, each once? False: answered already, 400. */
MUST_USE bool admin_params_are_known(struct admin_request *request);
/* %XX decoded, and + where it is a space. */
slice admin_decode(struct admin_request *request, slice raw, bool is_query);
/* The body as a JSON object with no members but those; NULL: answered already. known ends with NULL. */
json_t *admin_object(struct admin_request *request, const char *const *known);

/* As tenants and tokens have it. */
bool admin_is_name(slice name);

/* ---- changes of the configuration (change.c) ---------------------------------------------------------------------- */

/* What a change is about. The answer is the caller's to give; its client may be gone before (then it is not called). */
struct admin_wish {
    enum control_kind kind;
    slice tenant, text;
    uint64_t version, expected_version;
    void (*answer)(struct admin_request *request, const struct control_change *change);
};
void admin_change(struct admin_request *request, const struct admin_wish *wish);
void admin_change_abandon(struct admin_request *request);
/* What became of it, with that status where it was done. */
void admin_changed(struct admin_request *request, const struct control_change *change, uint16_t status);
/* False: answered already, 503. */
MUST_USE bool admin_has_control(struct admin_request *request);

/* ---- others ------------------------------------------------------------------------------------------------------- */

json_t *admin_openapi_json(const char *version);
MUST_USE err admin_tokens_read(struct admin_context *context);
/* Notes of use are written now and then. */
void admin_tokens_turn(struct admin_context *context);
void admin_tokens_abandon(struct admin_request *request); /* its client has gone */
void admin_tokens_close(struct admin_context *context);
json_t *admin_origin_json(const struct admin_context *context, const struct tenant *tenant, unsigned i);
json_t *admin_usage_json(const struct admin_context *context, const struct tenant *tenant);
/* The purges' part of admin_open and admin_close. */
void admin_purge_open(struct admin_context *context);
void admin_purge_close(struct admin_context *context);
void admin_purge_abandon(struct admin_request *request); /* its client has gone: the purges act all the same */

#endif
