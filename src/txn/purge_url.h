/* purge_url: what a URL stands for in the store: the labels and keys of what a GET of it may have stored.
 *
 * A tenant's key rules may leave parameters out of what is keyed and forwarded, or sort them: then the URL as it was
 * written and the one that the rules make of it are both meant. */
#ifndef WARP_TXN_PURGE_URL_H
#define WARP_TXN_PURGE_URL_H

#include "store/purge_batch.h"
#include "tenant/tenant.h"

struct purge_url {
    slice authority, target; /* normal (http/uri.h) */
    bool http, https;        /* at least one */
};

/* Both schemes, as written and as each of the tenant's key rules would have it: which of them applied to a request may have
 * hung on its fields. More are refused: ERR_LIMIT. */
#define PURGE_URL_FORMS_MAX 64u

struct purge_url_form {
    slice target; /* of it */
    slice url;    /* the label's text */
    struct store_key key;
    const hash128 *others; /* variants that are known at once */
    unsigned other_count;
    bool keys_are_all; /* no rule makes further keys of the URL */
};

struct purge_url_forms {
    struct purge_url_form form[PURGE_URL_FORMS_MAX];
    unsigned count;
};

/* All memory is the arena's. */
MUST_USE err purge_url_forms(struct storage *storage, struct loop *loop, struct arena *arena, const struct tenant *tenant, const struct purge_url *url,
                             struct purge_url_forms *ret_forms);
/* A purge of each. */
void purge_url_add(struct purge_batch *batch, const struct tenant *tenant, const struct purge_url_forms *forms, bool soft);

#endif
