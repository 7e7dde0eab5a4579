/* Between the files of admin/. */
#ifndef WARP_ADMIN_INTERNAL_H
#define WARP_ADMIN_INTERNAL_H

#include "admin/admin.h"
#include "tenant/tokens.h"

#include <jansson.h>

#define ADMIN_BODY_BYTES_MAX 65536u
#define ADMIN_BLOCK_BYTES    4096u

/* One request to the admin listener. */
struct admin_request {
    struct admin_context *context;
    struct server_stream *stream;
    struct arena arena;
    struct request request;
    slice path, query;
    char *body; /* of the request, malloc */
    size_t body_len;
    const struct admin_route *route;
    slice who; /* asks, for logs: "admin", "socket", a token's name; empty: nobody that we know */
    char *answer; /* malloc: what source reads */
    struct source_memory source;
    struct purge_run *purge; /* under way */
    bool answered;
};

enum admin_access {
    ADMIN_OPEN,     /* no token needed */
    ADMIN_LOCAL,    /* none on loopback while no tenant is configured by name */
    ADMIN_SECRET,   /* always, but over the unix socket */
};

struct admin_route {
    const char *path;
    enum method method;
    enum admin_access access;
    void (*handle)(struct admin_request *request);
};

/* May who asks do that for the tenant (NULL: for all of them)? False: answered already, 401 or 403. */
MUST_USE bool admin_allows(struct admin_request *request, enum token_right right, const struct tenant *tenant);
/* The same without an answer: for showing less to who may see less. */
MUST_USE bool admin_may(const struct admin_request *request, enum token_right right, const struct tenant *tenant);
/* The tenant of that name, if who asks may do that for it; NULL: answered already. What somebody may not see is not there
 * for them: 404 in both cases. */
const struct tenant *admin_tenant(struct admin_request *request, enum token_right right, slice name);
/* Answers; the text is copied. */
void admin_answer(struct admin_request *request, uint16_t status, slice type, slice text);
/* text is malloc's and is taken over. */
void admin_answer_owned(struct admin_request *request, uint16_t status, slice type, char *text, size_t len);
/* root is taken over. */
void admin_answer_json(struct admin_request *request, uint16_t status, json_t *root);
/* RFC 9457 problem details. */
void admin_problem(struct admin_request *request, uint16_t status, const char *detail);
bool admin_wants(const struct admin_request *request, slice type);
/* A parameter of the query, decoded into the arena; data NULL when it is not there. */
slice admin_param(struct admin_request *request, slice name);

/* handlers */
void admin_stats(struct admin_request *request);
void admin_cache(struct admin_request *request);
void admin_purge(struct admin_request *request);
void admin_purge_abandon(struct admin_request *request); /* its client has gone: the purges act all the same */
void admin_purges(struct admin_request *request);
void admin_dashboard(struct admin_request *request);

#endif
