/* Between the files of purges: what was asked for, what a walk finds of it. */
#ifndef WARP_ADMIN_PURGE_INTERNAL_H
#define WARP_ADMIN_PURGE_INTERNAL_H

#include "admin/admin_internal.h"
#include "txn/purge_url.h"

#define PURGES_MAX  256u /* of one request: tags */
#define SAMPLE_MAX  20u  /* URLs that a dry run shows */
#define WALKS_MAX   16u  /* dry runs and refreshes under way */

/* One label to be purged. */
struct purge_part {
    enum store_label_kind kind;
    slice text;
    const struct purge_url_form *form; /* of a URL; else NULL */
};

/* What a request wants purged; in its arena. */
struct purge_wish {
    struct admin_request *request;
    const struct tenant *tenant; /* NULL: everybody's everything */
    bool soft, refresh, dry_run;
    struct purge_url_forms forms;
    unsigned count;
    struct purge_part parts[PURGES_MAX];
};

/* purge_wish.c: NULL: answered already. */
struct purge_wish *purge_wish_read(struct admin_request *request);
uint16_t purge_wish_tenant(const struct purge_wish *wish); /* id, or STORE_TENANT_ALL */

/* purge_walk.c: looks at all of RAM in bounded steps, a turn of the loop each. */
struct purge_walk;
/* Answers the request of the wish with what it would match. Answered already where there are too many. NULL then. */
struct purge_walk *purge_walk_dry(const struct purge_wish *wish);
/* Gives what is asked for often of it to the refresher; needs the wish no longer than the call. */
void purge_walk_refresh(const struct purge_wish *wish);
/* Nobody waits for the dry run any more. NULL is fine. */
void purge_walk_abandon(struct purge_walk *walk);

#endif
